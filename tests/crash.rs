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
}
