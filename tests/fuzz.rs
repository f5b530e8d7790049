//! Hostile bytes for everything that reads them: real inputs are spoilt a little, again and again, from a seed. Nothing may panic,
//! hang, take memory without bound or write where it must not. What it says of the input is its own business.
//!
//! `PODSHIM_FUZZ_SECONDS` is how long each reader is tried (2); `PODSHIM_SEED` repeats a run. The input at hand is in
//! `target/tmp/fuzz/<reader>` while it is read, and stays there if the reader fails. `PODSHIM_FUZZ_SEEDS` is a directory for what
//! the inputs are made of: `scripts/fuzz` begins with it and is led by what the readers' code does with an input.

mod support;

mod fuzz {
    mod image;
    mod mutate;
    mod readers;
    mod records;
    mod run;
    mod texts;
}
