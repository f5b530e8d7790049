//! How containerd says how to make a checkpoint: `containerd.runc.v1.CheckpointOptions`, or nothing.

use crate::runtime::CheckpointOptions;
use crate::supervisor::task::{CheckpointTask, Refusal, TaskError};
use containerd_shim_protos::api::CheckpointTaskRequest;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci::CheckpointOptions as WireOptions;
use std::path::PathBuf;

/// Reads what is asked; options of an unknown type are an error.
pub(super) fn read(request: CheckpointTaskRequest) -> Result<CheckpointTask, TaskError> {
    let options = options(&request.options.into_option().unwrap_or_default())?;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    // containerd says both if it was told where.
    let image = some(request.path).or_else(|| some(options.image_path));
    let image = image.ok_or_else(|| invalid("it is not said where the checkpoint goes"))?;
    Ok(CheckpointTask {
        id: request.id,
        image: image.into(),
        work: some(options.work_path).map(PathBuf::from),
        options: CheckpointOptions {
            leave_running: !options.exit,
            open_tcp: options.open_tcp,
            external_unix_sockets: options.external_unix_sockets,
            terminal: options.terminal,
            file_locks: options.file_locks,
            empty_namespaces: options.empty_namespaces,
            cgroups_mode: options.cgroups_mode,
        },
    })
}

fn options(any: &Any) -> Result<WireOptions, TaskError> {
    match any.type_url.rsplit('/').next().unwrap_or_default() {
        "" => Ok(WireOptions::default()),
        "containerd.runc.v1.CheckpointOptions" => {
            WireOptions::parse_from_bytes(&any.value).map_err(invalid)
        }
        name => Err(invalid(format!("their type `{name}` is unknown"))),
    }
}

fn invalid(what: impl std::fmt::Display) -> TaskError {
    let text = format!("cannot read the options of the checkpoint: {what}");
    TaskError::new(Refusal::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_shim_protos::protobuf::MessageField;
    use std::path::Path;

    fn request(path: &str, type_url: &str, options: &WireOptions) -> CheckpointTaskRequest {
        let value = options.write_to_bytes().expect("encoded");
        CheckpointTaskRequest {
            id: "c".into(),
            path: path.into(),
            options: MessageField::some(Any {
                type_url: type_url.into(),
                value,
                ..Any::default()
            }),
            ..CheckpointTaskRequest::default()
        }
    }

    #[test]
    fn a_checkpoint_goes_on_unless_it_is_to_end_and_needs_a_place() {
        let nothing = CheckpointTaskRequest {
            path: "/i".into(),
            ..CheckpointTaskRequest::default()
        };
        let read_nothing = read(nothing).expect("no options");
        assert!(read_nothing.options.leave_running && read_nothing.work.is_none());
        let options = WireOptions {
            exit: true,
            file_locks: true,
            image_path: "/j".into(),
            work_path: "/w".into(),
            ..WireOptions::default()
        };
        let name = "types.containerd.io/containerd.runc.v1.CheckpointOptions";
        let task = read(request("", name, &options)).expect("a place");
        assert_eq!(task.image, Path::new("/j"));
        assert_eq!(task.work.as_deref(), Some(Path::new("/w")));
        assert!(!task.options.leave_running && task.options.file_locks);
        let task = read(request("/i", name, &options)).expect("a place");
        assert_eq!(task.image, Path::new("/i"));
        let none = WireOptions::default();
        for (path, name) in [("", name), ("/i", "other.CheckpointOptions")] {
            let refused = read(request(path, name, &none)).map(|_| ());
            assert_eq!(refused.map_err(|e| e.refusal), Err(Refusal::Invalid));
        }
    }
}
