#![no_main]

use podshim_fuzz::{DIRECTORY, readers};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    readers::layer(DIRECTORY.path(), bytes);
});
