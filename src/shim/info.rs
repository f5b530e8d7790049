//! `-info`: what the runtime can do. Without its features containerd 2.x silently drops recursive read-only mounts and user
//! namespaces.

use super::bootstrap::STDIN_MAX_BYTES;
use super::options::ShimOptions;
use super::place::known_runtimes;
use super::{Error, RUNTIME_TYPE, version};
use crate::runtime::find_known;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};
use std::io::{IsTerminal, Read};

/// How containerd names the document of an OCI runtime's `features`.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

pub(super) fn info() -> Result<Vec<u8>, Error> {
    let mut input = Vec::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().take(STDIN_MAX_BYTES).read_to_end(&mut input)?;
    }
    let any = Any::parse_from_bytes(&input).unwrap_or_default();
    // Options of an unknown kind say nothing of the runtime, and must not hide what it can do.
    let options = ShimOptions::read(&any).unwrap_or_default();
    let wanted = Some(options.runtime.binary).filter(|name| !name.is_empty());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let features = runtime.block_on(async {
        let found = find_known(wanted.as_deref(), &known_runtimes()).await?;
        Ok::<_, Error>(found.features_document().await)
    })?;
    let features = features.map(|document| Any {
        type_url: FEATURES.to_owned(),
        value: document.into_bytes(),
        ..Any::default()
    });
    let info = RuntimeInfo {
        name: RUNTIME_TYPE.to_owned(),
        version: MessageField::some(RuntimeVersion {
            version: version().to_owned(),
            ..RuntimeVersion::default()
        }),
        options: (!input.is_empty()).then_some(any).into(),
        features: features.into(),
        ..RuntimeInfo::default()
    };
    Ok(info.write_to_bytes()?)
}
