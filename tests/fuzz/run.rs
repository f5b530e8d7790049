//! Tries one reader with spoilt inputs for some time.

use super::mutate::spoil;
use crate::support::{Random, number, seed};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// CPU time that one input may take, in a build without optimisation on a busy machine.
const QUICK: Duration = Duration::from_secs(5);
/// Memory that this program may take altogether, in KiB: inputs have up to 256 KiB.
const MAX_KIB: i64 = 1024 * 1024;

fn cpu_time() -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock_gettime(clock).expect("a clock").into()
}

fn wall_clock() -> Duration {
    let clock = ClockId::CLOCK_MONOTONIC;
    clock_gettime(clock).expect("a clock").into()
}

/// Gives `read` spoilt inputs until time is up. First it gets the corpus itself, with what the guided fuzzer has found.
pub fn try_out(name: &str, corpus: &[Vec<u8>], mut read: impl FnMut(&[u8])) {
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let corpus = &[corpus, &found(name)].concat();
    let seconds = number("PODSHIM_FUZZ_SECONDS").unwrap_or(2);
    let mut seed = seed();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("fuzz")
        .join(name);
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory of ours");
    eprintln!("{name}: PODSHIM_SEED={seed}");
    keep(name, corpus);
    for input in corpus {
        one(name, &file, input, &mut read);
    }
    let end = wall_clock() + Duration::from_secs(seconds);
    let mut count = 0_u64;
    while wall_clock() < end {
        // Each input follows from its own seed, so that the last one printed repeats it at once.
        let input = spoil(corpus, &mut Random(seed));
        let done = catch_unwind(AssertUnwindSafe(|| one(name, &file, &input, &mut read)));
        if let Err(panic) = done {
            eprintln!(
                "{name}: PODSHIM_SEED={seed} fails at once, with {}",
                file.display()
            );
            resume_unwind(panic);
        }
        seed = seed.wrapping_add(1);
        count += 1;
    }
    assert!(count > 0 || seconds == 0, "{name}: no input was tried");
    fs::remove_file(&file).expect("a file of ours");
    eprintln!("{name}: {count} inputs");
}

/// A part of what the guided fuzzer kept of this reader, because each input came somewhere that no other did.
fn found(name: &str) -> Vec<Vec<u8>> {
    let directory = format!("tests/fuzz/corpus/{name}");
    match Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(&directory)
        .is_dir()
    {
        true => files(&directory, &[""]),
        false => Vec::new(),
    }
}

/// Where somebody wants them, inputs are kept for the guided fuzzer of this name to begin with.
pub fn keep(name: &str, corpus: &[Vec<u8>]) {
    let Some(seeds) = std::env::var_os("PODSHIM_FUZZ_SEEDS") else {
        return;
    };
    let directory = Path::new(&seeds).join(name);
    fs::create_dir_all(&directory).expect("a directory of ours");
    for (index, input) in corpus.iter().enumerate() {
        fs::write(directory.join(index.to_string()), input).expect("a file of ours");
    }
}

fn one(name: &str, file: &Path, input: &[u8], read: &mut impl FnMut(&[u8])) {
    // Before it is read: a stack that overflows leaves no other trace.
    fs::write(file, input).expect("a file of ours");
    let before = cpu_time();
    read(input);
    let took = cpu_time() - before;
    assert!(took < QUICK, "{name} takes {took:?}");
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage");
    assert!(usage.max_rss() < MAX_KIB, "{name}: {} KiB", usage.max_rss());
}

/// The files below a directory of the repository that have one of these endings.
pub fn files(directory: &str, endings: &[&str]) -> Vec<Vec<u8>> {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&root).expect("a directory of the repository");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| {
        endings
            .iter()
            .any(|end| path.to_string_lossy().ends_with(end))
    });
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a file"))
        .collect()
}
