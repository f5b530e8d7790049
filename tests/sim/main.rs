//! The machine in a model world: random lives under every kind of trouble (`PODSHIM_SEED`, `PODSHIM_STEPS`), and scenarios of
//! the conformance list on a virtual clock.

mod clock;
mod disk;
mod health;
mod pods;
mod random;
mod rules;
mod scenarios;
mod stops;
mod world;

use crate::world::World;

/// Steps of all lives together, unless `PODSHIM_STEPS` says otherwise: about two seconds of a debug build.
const STEPS: u64 = 100_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives one seed; on failure lives it again with a journal and shows it.
fn live(seed: u64) -> u64 {
    let pod = pods::shape(random::Random::new(seed).next());
    let mut world = World::new(&pod, seed, false);
    let Err(problem) = world.live() else {
        return world.steps;
    };
    let mut again = World::new(&pod, seed, true);
    let _ = again.live();
    for line in again.journal.unwrap_or_default() {
        println!("{line}");
    }
    panic!("PODSHIM_SEED={seed}: {problem}");
}

#[test]
fn the_invariants_hold_under_every_kind_of_trouble() {
    if let Some(seed) = number("PODSHIM_SEED") {
        live(seed);
        return;
    }
    let (mut steps, mut seed) = (0, 0);
    while steps < number("PODSHIM_STEPS").unwrap_or(STEPS) {
        steps += live(seed);
        seed += 1;
    }
    println!("{steps} steps in {seed} lives");
}
