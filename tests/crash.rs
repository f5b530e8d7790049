//! `kill -9` of supervisor and keeper: no exit code, no log line and no restart is lost, and containers never notice.
//!
//! `PODSHIM_CRASHES` says how often the supervisor is killed at random moments (40), `PODSHIM_CYCLES` how many pods come and go
//! (8); `PODSHIM_SEED` repeats a run.

mod support;

mod crash {
    mod churn;
    mod keeper;
    mod lives;
    mod processes;
    mod reboot;
    mod snapshot;
    mod supervisor;
    mod together;
    mod upgrade;

    /// A number that the environment sets.
    fn number(variable: &str) -> Option<u64> {
        let text = std::env::var(variable).ok()?;
        Some(text.parse().expect("a number in the environment"))
    }

    /// Where random choices begin, as it is printed: `PODSHIM_SEED`, or another each time.
    fn seed() -> u64 {
        #[allow(clippy::disallowed_methods, reason = "a test has its own clock")]
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_micros() as u64);
        let seed = number("PODSHIM_SEED").unwrap_or(clock | 1);
        eprintln!("PODSHIM_SEED={seed}");
        seed
    }
}
