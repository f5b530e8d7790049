//! What containerd says to `start` on standard input, and what it wants to hear.
//!
//! Until 2.2 there are the options or nothing, and the answer is an address; since 2.3 there are protobuf parameters, and the answer is protobuf,
//! too. An old message parses as a new one (its type is read as the id), so that alone decides nothing: the parameters must be
//! about the same container as the flags.

use super::options::ShimOptions;
use crate::supervisor::task::TaskError;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;

/// Longest message that is read, in bytes. Source: containerd.
pub(super) const STDIN_MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Who called.
#[derive(Debug)]
pub(super) struct Bootstrap {
    /// containerd 2.3 or later.
    is_new: bool,
    /// What it says of the runtime.
    pub options: ShimOptions,
    /// Where events go, if it says so itself.
    pub ttrpc_address: Option<String>,
    /// Where sockets go, if it says so.
    pub socket_dir: Option<String>,
}

impl Bootstrap {
    /// Reads what came on standard input of a `start` for this container.
    pub fn read(bytes: &[u8], id: &str, namespace: &str) -> Result<Bootstrap, TaskError> {
        let params = BootstrapParams::parse_from_bytes(bytes).ok();
        match params.filter(|p| p.instance_id == id && p.namespace == namespace) {
            Some(params) => {
                let mut options = ShimOptions::default();
                // Extensions of other kinds are for other shims.
                for value in params.extensions.iter().filter_map(|e| e.value.as_ref()) {
                    if value.type_url.ends_with(".Options") {
                        options = ShimOptions::read(value)?.over(&options);
                    }
                }
                let some = |text: String| Some(text).filter(|text| !text.is_empty());
                Ok(Bootstrap {
                    is_new: true,
                    options,
                    ttrpc_address: some(params.containerd_ttrpc_address),
                    socket_dir: params.socket_dir.and_then(some),
                })
            }
            None => {
                let any = Any::parse_from_bytes(bytes).map_err(|e| {
                    let what = format!("cannot read what came on standard input: {e}");
                    TaskError::new(crate::supervisor::task::Refusal::Invalid, what)
                })?;
                Ok(Bootstrap {
                    is_new: false,
                    options: ShimOptions::read(&any)?,
                    ttrpc_address: None,
                    socket_dir: None,
                })
            }
        }
    }

    /// The answer with the address of the server.
    pub fn answer(&self, address: &str) -> Result<Vec<u8>, super::Error> {
        if !self.is_new {
            return Ok(address.as_bytes().to_vec());
        }
        let result = BootstrapResult {
            version: 3,
            address: address.to_owned(),
            protocol: "ttrpc".to_owned(),
            ..BootstrapResult::default()
        };
        Ok(result.write_to_bytes()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_shim_protos::bootstrap_api::Extension;
    use containerd_shim_protos::protobuf::MessageField;
    use containerd_shim_protos::shim::oci::Options;

    fn runc_options() -> Any {
        let options = Options {
            binary_name: "crun".into(),
            ..Options::default()
        };
        Any {
            type_url: "containerd.runc.v1.Options".into(),
            value: options.write_to_bytes().expect("encoded"),
            ..Any::default()
        }
    }

    #[test]
    fn old_and_new_callers_are_told_apart_and_answered_in_their_way() {
        let old = runc_options().write_to_bytes().expect("encoded");
        let read = Bootstrap::read(&old, "c", "n").expect("old");
        assert!(!read.is_new && read.options.runtime.binary == "crun");
        assert_eq!(read.answer("unix:///s").expect("address"), b"unix:///s");
        assert!(!Bootstrap::read(&[], "c", "n").expect("nothing").is_new);
        let params = BootstrapParams {
            instance_id: "c".into(),
            namespace: "n".into(),
            containerd_ttrpc_address: "/t".into(),
            socket_dir: Some("/d".into()),
            extensions: vec![Extension {
                value: MessageField::some(runc_options()),
                ..Extension::default()
            }],
            ..BootstrapParams::default()
        };
        let bytes = params.write_to_bytes().expect("encoded");
        let read = Bootstrap::read(&bytes, "c", "n").expect("new");
        assert_eq!(read.options.runtime.binary, "crun");
        assert_eq!(read.ttrpc_address.as_deref(), Some("/t"));
        assert_eq!(read.socket_dir.as_deref(), Some("/d"));
        let answer = read.answer("unix:///s").expect("encoded");
        let answer = BootstrapResult::parse_from_bytes(&answer).expect("decoded");
        assert_eq!((answer.version, answer.protocol.as_str()), (3, "ttrpc"));
        assert!(
            Bootstrap::read(&bytes, "other", "n").is_err(),
            "of another container"
        );
    }
}
