//! Where one shim is: its socket, which every container of the pod finds by the same name, and its directory.

use super::Error;
use crate::supervisor::task::{Group, SHIMS, annotations};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where containerd's shims have their sockets.
const SOCKETS: &str = "/run/containerd/s";
/// Containers with the same value share a shim: first what `ctr` sets, then what CRI sets. Source: containerd.
const GROUP_ANNOTATIONS: [&str; 2] = [
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
];
/// How long a shim may take to answer. containerd gives up `delete` after 5 s.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// A ttrpc request for nothing, which is refused by whoever lives: no bytes, stream 1, type 1. To connect is not enough: the
/// kernel closes what a killed process had open one after the other, and containerd may hear of it before the listener is closed.
const EMPTY_REQUEST: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 1, 1, 0];
/// How containerd writes the address of a unix socket.
const SCHEME: &str = "unix://";

/// Where a shim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path of the socket.
    pub socket: PathBuf,
}

impl Place {
    /// Of the pod that a bundle belongs to.
    pub fn of_bundle(
        bundle: &Path,
        containerd: &str,
        namespace: &str,
        id: &str,
        sockets: Option<&str>,
    ) -> Place {
        let group = group(bundle).unwrap_or_else(|| id.to_owned());
        let joined = [containerd, namespace, &group].join("/");
        let digest = Sha256::digest(joined.as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let sockets = sockets.filter(|dir| !dir.is_empty()).unwrap_or(SOCKETS);
        Place {
            socket: Path::new(sockets).join(name),
        }
    }

    /// As written into a bundle.
    pub fn read(bundle: &Path) -> Option<Place> {
        let text = std::fs::read_to_string(bundle.join("address")).ok()?;
        let socket = text.trim().strip_prefix(SCHEME)?;
        Some(Place {
            socket: socket.into(),
        })
    }

    /// Writes it into a bundle: a containerd that comes back finds the shim by it.
    pub fn write(&self, bundle: &Path) -> Result<(), Error> {
        let path = bundle.join("address");
        crate::sys::write_atomic(&path, self.address().as_bytes(), 0o600)
            .map_err(|e| format!("cannot write `{}`: {e}", path.display()).into())
    }

    /// The address of its socket.
    pub fn address(&self) -> String {
        format!("{SCHEME}{}", self.socket.display())
    }

    /// Its directory.
    pub fn group(&self) -> Group {
        let name = self.socket.file_name().unwrap_or_default();
        Group {
            dir: state().join(name),
        }
    }

    /// Whether somebody answers at its socket, or keeps it without an answer: whoever hangs may come back.
    pub fn is_alive(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(&self.socket) else {
            return false;
        };
        let asked = stream.set_read_timeout(Some(ANSWER_DEADLINE));
        match asked.and_then(|()| stream.write_all(&EMPTY_REQUEST)) {
            Ok(()) => match stream.read(&mut [0]) {
                Ok(length) => length > 0,
                // Both mean that the time is over.
                Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            },
            Err(_) => false,
        }
    }
}

/// The directory of all shims.
fn state() -> PathBuf {
    let root = std::env::var_os("PODSHIM_STATE").filter(|root| !root.is_empty());
    PathBuf::from(root.unwrap_or("/run/podshim".into())).join(SHIMS)
}

/// The file that remembers what runtimes said of themselves.
pub(super) fn known_runtimes() -> PathBuf {
    state().join("runtimes.json")
}

fn group(bundle: &Path) -> Option<String> {
    let mut told = annotations(bundle);
    GROUP_ANNOTATIONS
        .iter()
        .find_map(|name| told.remove(*name).filter(|group| !group.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_a_pod_share_a_socket_and_no_others_do() {
        let bundle = |annotations: &str| {
            let dir = tempfile::tempdir().expect("dir");
            std::fs::write(dir.path().join("config.json"), annotations).expect("file");
            dir
        };
        let pod = bundle(r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"p"}}"#);
        let own = bundle("{}");
        let at = |dir: &tempfile::TempDir, ns, id| {
            Place::of_bundle(dir.path(), "/run/c.sock", ns, id, Some("/s")).socket
        };
        assert_eq!(at(&pod, "n", "a"), at(&pod, "n", "b"));
        assert_eq!(
            at(&pod, "n", "a"),
            at(&own, "n", "p"),
            "the pause is the group"
        );
        assert_ne!(at(&own, "n", "a"), at(&own, "n", "b"));
        assert_ne!(at(&pod, "n", "a"), at(&pod, "m", "a"));
        let place = Place {
            socket: at(&pod, "n", "a"),
        };
        place.write(pod.path()).expect("written");
        assert_eq!(Place::read(pod.path()), Some(place));
        assert_eq!(Place::read(own.path()), None);
    }
}
