//! `delete`: containerd calls this when a container is gone or its server does not answer.

use super::Error;
use super::args::Args;
use super::place::Place;
use super::service::timestamp;
use crate::supervisor::task::clean;
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::{Message, MessageField};
use std::path::PathBuf;

pub(super) fn delete(args: &Args) -> Result<Vec<u8>, Error> {
    let bundle = match args.bundle.as_str() {
        "" => std::env::current_dir()?,
        path => PathBuf::from(path),
    };
    let computed = || Place::of_bundle(&bundle, &args.address, &args.namespace, &args.id, None);
    let place = Place::read(&bundle).unwrap_or_else(computed);
    let lives = place.is_alive();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let cleaned = runtime.block_on(clean(&place.group(), &args.id, &bundle, lives))?;
    if !lives {
        // Absent is what is wanted.
        let _ = std::fs::remove_file(&place.socket);
    }
    let response = DeleteResponse {
        pid: cleaned.pid,
        exit_status: cleaned.ended.code(),
        exited_at: MessageField::some(timestamp(cleaned.ended.at)),
        ..DeleteResponse::default()
    };
    Ok(response.write_to_bytes()?)
}
