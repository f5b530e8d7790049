#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podshim_fuzz::readers::request(bytes));
