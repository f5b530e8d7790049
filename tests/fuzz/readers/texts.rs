//! What people and programs write: manifests, image names, requests to a supervisor, host ranges.

use podshim::api::Call;
use podshim::base::Now;
use podshim::image::Reference;
use podshim::manifest::{LoadOptions, Source, Strictness, env_file_value, load};
use podshim::network::Subnet;
use podshim::pod::{Machine, Settings};

/// What can be run has a machine; what cannot is said.
pub fn manifest(bytes: &[u8]) {
    let source = Source {
        name: "f".to_owned(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    };
    for strictness in [Strictness::Strict, Strictness::Ignore] {
        let options = LoadOptions {
            strictness,
            random: &mut || [7; 16],
        };
        match load(std::slice::from_ref(&source), options) {
            Ok(loaded) => loaded.pods.iter().for_each(|pod| {
                let machine = Machine::new(pod, Settings::default(), Now::default());
                assert!(!machine.view().settled, "{:?}", pod.name);
            }),
            Err(findings) => findings.iter().for_each(|finding| {
                assert!(!finding.located().to_string().is_empty());
            }),
        }
    }
}

/// What is a name is the same name in its normal form.
pub fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(reference) = text.parse::<Reference>() {
        let normal = reference.to_string();
        let again = normal.parse::<Reference>();
        let again = again.unwrap_or_else(|e| panic!("{text:?} is {normal:?}, which is none: {e}"));
        assert_eq!(again.to_string(), normal, "of {text:?}");
    }
}

/// What was understood is said in the same way.
pub fn request(bytes: &[u8]) {
    match Call::parse(bytes) {
        Ok(call) => {
            let said = call.to_bytes();
            let again = Call::parse(said.strip_suffix(b"\0").expect("its end"));
            assert_eq!(again.expect("its own words").to_bytes(), said);
        }
        Err(reply) => assert!(reply.error.is_some()),
    }
}

/// Environment files, and ranges of addresses.
pub fn small(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = env_file_value(&text, "A");
    if let Ok(subnet) = text.parse::<Subnet>() {
        assert_eq!(subnet.to_string().parse(), Ok(subnet));
    }
}
