//! How containerd says how to run a container: `containerd.runc.v1.Options`, `runtimeoptions.v1.Options` (a file or text in
//! TOML with the same keys), or nothing. What a container says goes before what its pod said.

use crate::supervisor::task::{Refusal, RuntimeChoice, TaskError};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{CodedInputStream, Message, UnknownValueRef};
use containerd_shim_protos::shim::oci::Options;

/// The field `criu_path`, which is in no message any more. Source: containerd until 1.7.
const CRIU_PATH: u32 = 8;

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct ShimOptions {
    pub runtime: RuntimeChoice,
    /// The cgroup that the shim itself shall live in.
    pub shim_cgroup: String,
    /// The checkpoint that a container is made of: its own, never its pod's.
    pub criu_image_path: String,
}

fn invalid(what: impl std::fmt::Display) -> TaskError {
    TaskError::new(
        Refusal::Invalid,
        format!("cannot read the runtime options: {what}"),
    )
}

impl ShimOptions {
    /// Reads options; an unknown type is an error, an empty one says nothing.
    pub fn read(any: &Any) -> Result<ShimOptions, TaskError> {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        match name {
            "" => Ok(ShimOptions::default()),
            "containerd.runc.v1.Options" => {
                let options = Options::parse_from_bytes(&any.value).map_err(invalid)?;
                Ok(ShimOptions::from(options))
            }
            name if name.ends_with("runtimeoptions.v1.Options") => generic(&any.value),
            name => Err(invalid(format!("their type `{name}` is unknown"))),
        }
    }

    /// These, and what they do not say from those of the pod.
    pub fn over(self, pod: &ShimOptions) -> ShimOptions {
        let (own, pod_choice) = (self.runtime, &pod.runtime);
        let text = |own: String, pod: &String| if own.is_empty() { pod.clone() } else { own };
        let number = |own: u32, pod: u32| if own == 0 { pod } else { own };
        ShimOptions {
            runtime: RuntimeChoice {
                binary: text(own.binary, &pod_choice.binary),
                root: text(own.root, &pod_choice.root),
                systemd_cgroup: own.systemd_cgroup || pod_choice.systemd_cgroup,
                no_pivot_root: own.no_pivot_root || pod_choice.no_pivot_root,
                no_new_keyring: own.no_new_keyring || pod_choice.no_new_keyring,
                io_uid: number(own.io_uid, pod_choice.io_uid),
                io_gid: number(own.io_gid, pod_choice.io_gid),
                criu_path: text(own.criu_path, &pod_choice.criu_path),
                criu_work_path: text(own.criu_work_path, &pod_choice.criu_work_path),
            },
            criu_image_path: self.criu_image_path,
            shim_cgroup: text(self.shim_cgroup, &pod.shim_cgroup),
        }
    }
}

impl From<Options> for ShimOptions {
    fn from(options: Options) -> ShimOptions {
        let unknown = options.special_fields.unknown_fields();
        let criu_path = match unknown.get(CRIU_PATH) {
            Some(UnknownValueRef::LengthDelimited(bytes)) => String::from_utf8_lossy(bytes).into(),
            _ => String::new(),
        };
        ShimOptions {
            runtime: RuntimeChoice {
                binary: options.binary_name,
                root: options.root,
                systemd_cgroup: options.systemd_cgroup,
                no_pivot_root: options.no_pivot_root,
                no_new_keyring: options.no_new_keyring,
                io_uid: options.io_uid,
                io_gid: options.io_gid,
                criu_path,
                criu_work_path: options.criu_work_path,
            },
            criu_image_path: options.criu_image_path,
            shim_cgroup: options.shim_cgroup,
        }
    }
}

/// `runtimeoptions.v1.Options`: 1 type_url, 2 config_path, 3 config_body. Source: containerd.
fn generic(bytes: &[u8]) -> Result<ShimOptions, TaskError> {
    let (mut path, mut body) = (String::new(), String::new());
    let mut input = CodedInputStream::from_bytes(bytes);
    while let Some(tag) = input.read_raw_tag_or_eof().map_err(invalid)? {
        match tag {
            // Field number × 8 + 2, the wire type of bytes.
            10 => drop(input.read_string().map_err(invalid)?),
            18 => path = input.read_string().map_err(invalid)?,
            26 => body = input.read_string().map_err(invalid)?,
            _ => return Err(invalid("they have a field that is unknown")),
        }
    }
    if body.is_empty() && !path.is_empty() {
        body = std::fs::read_to_string(&path).map_err(|e| invalid(format!("`{path}`: {e}")))?;
    }
    toml(&body)
}

/// One `Key = value` per line: all that these options are. Keys of runc's options; others are an error, since a limit that is
/// not kept must not look as if it were.
fn toml(body: &str) -> Result<ShimOptions, TaskError> {
    let mut options = ShimOptions::default();
    for line in body.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', '[']) {
            continue;
        }
        let bad = || invalid(format!("`{line}` is not understood"));
        let (key, value) = line.split_once('=').ok_or_else(bad)?;
        let value = value.trim();
        let text = || -> Result<String, TaskError> {
            let quoted = [('"', '"'), ('\'', '\'')]
                .into_iter()
                .find_map(|(open, close)| {
                    let inside = value.strip_prefix(open)?.strip_suffix(close)?;
                    (!inside.contains([close, '\\'])).then_some(inside)
                });
            quoted.map(str::to_owned).ok_or_else(bad)
        };
        let flag = || value.parse::<bool>().map_err(|_| bad());
        let number = || value.parse::<u32>().map_err(|_| bad());
        let runtime = &mut options.runtime;
        match key.trim() {
            "BinaryName" => runtime.binary = text()?,
            "Root" => runtime.root = text()?,
            "SystemdCgroup" => runtime.systemd_cgroup = flag()?,
            "NoPivotRoot" => runtime.no_pivot_root = flag()?,
            "NoNewKeyring" => runtime.no_new_keyring = flag()?,
            "IoUid" => runtime.io_uid = number()?,
            "IoGid" => runtime.io_gid = number()?,
            "ShimCgroup" => options.shim_cgroup = text()?,
            "CriuPath" => runtime.criu_path = text()?,
            "CriuWorkPath" => runtime.criu_work_path = text()?,
            "CriuImagePath" => options.criu_image_path = text()?,
            "TypeUrl" | "ConfigPath" => {}
            _ => return Err(bad()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any {
            type_url: type_url.into(),
            value,
            ..Any::default()
        }
    }

    #[test]
    fn options_of_each_kind_are_read_and_merged() {
        let runc = Options {
            binary_name: "crun".into(),
            io_uid: 7,
            ..Options::default()
        };
        let bytes = runc.write_to_bytes().expect("encoded");
        for prefix in ["", "types.containerd.io/"] {
            let name = format!("{prefix}containerd.runc.v1.Options");
            let read = ShimOptions::read(&any(&name, bytes.clone())).expect("runc");
            assert_eq!(read.runtime.binary, "crun");
        }
        let body = "BinaryName = \"youki\"\n# c\nSystemdCgroup = true\nRoot = '/r'\n";
        let mut value = vec![26, u8::try_from(body.len()).expect("short")];
        value.extend(body.bytes());
        let pod = ShimOptions::read(&any("runtimeoptions.v1.Options", value)).expect("generic");
        assert_eq!(pod.runtime.binary, "youki");
        let own = ShimOptions::from(Options {
            io_uid: 7,
            ..Options::default()
        });
        let both = own.over(&pod).runtime;
        assert_eq!((both.io_uid, both.root.as_str()), (7, "/r"));
        assert!(both.systemd_cgroup && both.binary == "youki");
        let pod = toml("CriuImagePath = '/i'\nCriuPath = '/c'\nCriuWorkPath = '/w'").expect("TOML");
        let both = ShimOptions::default().over(&pod);
        assert_eq!(both.criu_image_path, "", "of one container");
        let criu = (both.runtime.criu_path, both.runtime.criu_work_path);
        assert_eq!((criu.0.as_str(), criu.1.as_str()), ("/c", "/w"));
        // As containerd 1.6 writes it.
        let old = any("containerd.runc.v1.Options", vec![66, 2, b'/', b'x']);
        let old = ShimOptions::read(&old).expect("runc");
        assert_eq!(old.runtime.criu_path, "/x");
        assert_eq!(
            ShimOptions::read(&any("", vec![])),
            Ok(ShimOptions::default())
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for body in [
            "Binary = \"x\"",
            "BinaryName = x",
            "SystemdCgroup = 1",
            "x",
            "Root = \"\\x\"",
        ] {
            assert!(toml(body).is_err(), "{body}");
        }
        assert!(ShimOptions::read(&any("x.Options", vec![])).is_err());
        assert!(generic(&[26, 200]).is_err(), "cut off");
    }
}
