//! Any text as a manifest: it is read or refused with findings that can be shown, and what is read reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podshim::manifest::{LoadOptions, Source, Strictness, load};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let source = || Source { name: "-".into(), text: text.into() };
    for strictness in [Strictness::Strict, Strictness::Ignore] {
        let read = || load(&[source()], LoadOptions { strictness, random: &mut || [7; 16] });
        match read() {
            Ok(loaded) => assert_eq!(read().ok(), Some(loaded), "the same again"),
            Err(findings) => drop(format!("{findings:?}")),
        }
    }
});
