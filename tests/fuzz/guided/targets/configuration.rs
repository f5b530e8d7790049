#![no_main]

use podshim_fuzz::{DIRECTORY, readers};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // An empty archive is a layer, too.
    let good = readers::parts(vec![0; 1024]);
    readers::configuration(DIRECTORY.path(), &good, bytes);
});
