//! The supervisor is killed at random moments of a pod's whole life: init container, crashes and restarts, stop with grace.

use super::processes::{COUNT, Life, assert_counted, contents, counter, kill_now};
use crate::support::{Pod, on_each_runtime, pod, sh, state, status, with};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

/// Kills in a row: each waits longer for the next supervisor, and the pod has to get on.
const KILLS_WHILE_IT_STARTS: u64 = 4;
const KILLS_WHILE_IT_STOPS: u64 = 2;
/// Longest pause before a kill, in microseconds: most of what a supervisor does happens in its first tenths of a second.
const LONGEST_PAUSE: u64 = 300_000;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn number(variable: &str) -> Option<u64> {
    Some(
        std::env::var(variable)
            .ok()?
            .parse()
            .expect("a number in the environment"),
    )
}

fn script() -> Value {
    let on_disk = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
    let crash = format!(
        "echo x >>/d/runs; n=$(wc -l </d/runs); echo run $n; if [ $n -lt 3 ]; then exit 3; fi\n{COUNT}"
    );
    pod(json!({
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 20,
        "volumes": [{"name": "d", "emptyDir": {}}],
        "initContainers": [with(sh("init", "echo init >>/d/inits; echo prepared"), on_disk.clone())],
        "containers": [counter("steady"), with(sh("crasher", &crash), on_disk)],
    }))
}

/// Kills whichever supervisor the pod has, so many times, each at a random moment.
fn kill_some(pod: &Pod, random: &mut Random, times: u64) {
    for _ in 0..times {
        sleep(Duration::from_micros(random.below(LONGEST_PAUSE)));
        // None, for once, while the keeper waits or the pod is over.
        if let Some(pid) = Life::Supervisor.of(pod) {
            kill_now(pid);
        }
    }
}

#[test]
fn kills_at_any_moment_of_a_pod_s_life_change_nothing_of_it() {
    #[allow(clippy::disallowed_methods, reason = "a test has its own clock")]
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| since.as_micros() as u64);
    let seed = number("PODSHIM_SEED").unwrap_or(clock | 1);
    let kills = number("PODSHIM_CRASHES").unwrap_or(40);
    let lives = kills.div_ceil(KILLS_WHILE_IT_STARTS + KILLS_WHILE_IT_STOPS);
    eprintln!("PODSHIM_SEED={seed}");
    let mut seeds = Random(seed);
    for life in 0..lives {
        let seed = seeds.below(u64::MAX) | 1;
        eprintln!("life {life} of seed {seed}");
        on_each_runtime(|host| {
            let mut random = Random(seed);
            let pod = host.start(&script());
            kill_some(&pod, &mut random, KILLS_WHILE_IT_STARTS);
            pod.until_restarted("crasher", 2);
            pod.until_running();
            let stop = host.background(["stop", "p"]);
            kill_some(&pod, &mut random, KILLS_WHILE_IT_STOPS);
            stop.wait().expect(0);
            assert_life(&pod);
            let replayed = host.podshim(["debug", "replay", "p"]).expect(0).text();
            assert!(replayed.contains("identical: "), "{replayed}");
        });
    }
}

fn assert_life(pod: &Pod) {
    let json = pod.json();
    assert_eq!(json["status"]["phase"], "Succeeded", "{json:#}");
    for (container, restarts) in [("init", 0), ("steady", 0), ("crasher", 2)] {
        assert_eq!(
            status(&json, container)["restartCount"],
            restarts,
            "{container}: {json:#}"
        );
        let (kind, detail) = state(&json, container);
        assert_eq!(
            (kind, &detail["exitCode"]),
            ("terminated", &json!(0)),
            "{container}"
        );
    }
    let before = &status(&json, "crasher")["lastState"]["terminated"]["exitCode"];
    assert_eq!(*before, 3, "{json:#}");
    assert_eq!(contents(&pod.log("init", 0)), "prepared\n");
    assert_eq!(contents(&pod.log("crasher", 1)), "run 2\n");
    let last = pod.log("crasher", 2);
    let (first, counted) = last.split_once('\n').expect("two lines");
    assert!(first.ends_with("run 3"), "{last}");
    assert_counted(counted);
    assert_counted(&pod.log("steady", 0));
}
