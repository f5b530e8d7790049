//! Any bytes as a request at the control socket, and as the reply that a client reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podshim::api::{Call, Reply};
use podshim::pod::PodView;

fuzz_target!(|data: &[u8]| {
    match Call::parse(data) {
        Ok(call) => {
            let bytes = call.to_bytes();
            let (last, body) = bytes.split_last().expect("it ends in a NUL");
            assert_eq!(*last, 0);
            assert!(!body.contains(&0), "a message has one NUL");
            assert_eq!(Call::parse(body), Ok(call), "written and read again");
        }
        Err(reply) => drop(reply.to_bytes()),
    }
    if let Ok(mut reply) = serde_json::from_slice::<Reply>(data) {
        let view = reply.parameters.get_mut("view").map(serde_json::Value::take);
        let _ = serde_json::from_value::<PodView>(view.unwrap_or_default());
    }
});
