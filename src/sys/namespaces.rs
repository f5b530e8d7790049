//! Namespaces that we enter ourselves.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Something could not be done in a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum NetworkNamespaceError {
    /// The namespace cannot be opened.
    #[error("cannot open network namespace `{}`", .0.display())]
    Open(PathBuf, #[source] std::io::Error),
    /// A system call refused.
    #[error("cannot {call} in network namespace `{}`", namespace.display())]
    Call {
        /// Which.
        call: &'static str,
        /// Where.
        namespace: PathBuf,
        /// Why.
        source: nix::Error,
    },
    /// The thread that would enter it could not be started.
    #[error("cannot start a thread for network namespace `{}`", .0.display())]
    Thread(PathBuf, #[source] std::io::Error),
}

/// Puts this process into a mount namespace of its own that still receives the host's mounts: what is mounted here is not seen
/// there, and vanishes with the last process of the namespace.
pub fn enter_private_mounts() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
}

/// Whether a process has left each of our namespaces of these names, which are those below `/proc/<pid>/ns`.
pub fn has_left(pid: u32, namespaces: &[&str]) -> bool {
    let link = |of: &str, name| std::fs::read_link(format!("/proc/{of}/ns/{name}")).ok();
    let process = pid.to_string();
    namespaces.iter().all(|name| {
        let (theirs, ours) = (link(&process, name), link("self", name));
        theirs.is_some() && ours.is_some() && theirs != ours
    })
}

/// How much [`clone_mount`] copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountCopy {
    /// What is mounted at the very path, without what is mounted below it. A symbolic link is not followed.
    Single,
    /// Everything that is mounted at the path and below it.
    Tree,
}

/// A copy of what is mounted at `path` of another mount namespace, attached nowhere. Where it is shared, the copy shares with it. A
/// thread of its own enters the namespace, so that the caller stays where it is. Whoever owns that namespace may have put anything
/// at the path: look at what came.
pub fn clone_mount(
    namespace: BorrowedFd<'_>,
    path: &Path,
    extent: MountCopy,
) -> io::Result<OwnedFd> {
    let extent = match extent {
        MountCopy::Single => OpenTreeFlags::AT_SYMLINK_NOFOLLOW,
        MountCopy::Tree => OpenTreeFlags::AT_RECURSIVE,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | extent;
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // Only one that shares its root directory with nobody may change its mounts.
            unshare(CloneFlags::CLONE_FS)?;
            setns(namespace, CloneFlags::CLONE_NEWNS)?;
            Ok(open_tree(CWD, path, flags)?)
        });
        worker
            .join()
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}

/// Mounts what [`clone_mount`] gave.
pub fn attach_mount(tree: &OwnedFd, path: &Path) -> io::Result<()> {
    let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(tree, "", CWD, path, whole)?)
}

nix::ioctl_readwrite_bad!(
    get_interface_flags,
    nix::libc::SIOCGIFFLAGS,
    nix::libc::ifreq
);
nix::ioctl_write_ptr_bad!(
    set_interface_flags,
    nix::libc::SIOCSIFFLAGS,
    nix::libc::ifreq
);

/// What was tried in a namespace, and why it did not work.
type Refused = (&'static str, nix::Error);

/// Where a process finds its own network namespace.
const OWN_NETWORK: &str = "/proc/self/ns/net";

/// Does something in a network namespace, e.g. `/proc/<pid>/ns/net`. A thread of its own enters it and ends afterwards, so that
/// the caller stays where it is and no thread is ever changed back.
fn in_network<T: Send + 'static>(
    namespace: &Path,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, NetworkNamespaceError> {
    let path = || namespace.to_owned();
    let file = File::open(namespace).map_err(|e| NetworkNamespaceError::Open(path(), e))?;
    let thread = std::thread::Builder::new()
        .name("netns".into())
        .stack_size(64 * 1024);
    let worker = thread
        .spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET).map_err(|e| ("enter", e))?;
            work()
        })
        .map_err(|e| NetworkNamespaceError::Thread(path(), e))?;
    let result = worker.join().unwrap_or(Err(("run", nix::Error::EIO)));
    result.map_err(|(call, source)| NetworkNamespaceError::Call {
        call,
        namespace: path(),
        source,
    })
}

fn socket(family: AddressFamily, kind: SocketType, flags: SocketFlags) -> Result<OwnedFd, Refused> {
    socket_with(family, kind, flags | SocketFlags::CLOEXEC, None)
        .map_err(|e| ("open a socket", nix::Error::from_raw(e.raw_os_error())))
}

/// A TCP socket that lives in a network namespace, or in that of this process: not connected, non-blocking, closed on exec.
/// A socket stays in the namespace where it was made, whoever uses it.
pub fn tcp_socket(namespace: Option<&Path>, is_v6: bool) -> Result<OwnedFd, NetworkNamespaceError> {
    let family = if is_v6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let make = move || socket(family, SocketType::STREAM, SocketFlags::NONBLOCK);
    match namespace {
        Some(namespace) => in_network(namespace, make),
        None => make().map_err(|(call, source)| NetworkNamespaceError::Call {
            call,
            namespace: OWN_NETWORK.into(),
            source,
        }),
    }
}

/// Brings `lo` up in a network namespace.
pub fn raise_loopback(namespace: &Path) -> Result<(), NetworkNamespaceError> {
    in_network(namespace, raise_loopback_here)
}

/// Brings up `lo` in the network namespace of this process.
pub fn raise_own_loopback() -> Result<(), NetworkNamespaceError> {
    raise_loopback_here().map_err(|(call, source)| NetworkNamespaceError::Call {
        call,
        namespace: OWN_NETWORK.into(),
        source,
    })
}

fn raise_loopback_here() -> Result<(), Refused> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, SocketFlags::empty())?;
    // SAFETY: an all-zero `ifreq` is valid: it is a plain C struct of bytes and integers.
    let mut request: nix::libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = nix::libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: `request` is a valid `ifreq` that outlives the call and names the device.
    unsafe { get_interface_flags(socket.as_raw_fd(), &raw mut request) }
        .map_err(|e| ("read the flags of lo", e))?;
    // SAFETY: after SIOCGIFFLAGS the flags are the member of the union that is set.
    unsafe { request.ifr_ifru.ifru_flags |= nix::libc::IFF_UP as nix::libc::c_short };
    // SAFETY: as for the read.
    unsafe { set_interface_flags(socket.as_raw_fd(), &raw const request) }
        .map_err(|e| ("bring up lo", e))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn loopback_works_in_a_new_namespace_after_it_was_raised() {
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            let listener = TcpListener::bind("0.0.0.0:0").expect("bind");
            let port = listener.local_addr().expect("address").port();
            assert!(
                TcpStream::connect(("127.0.0.1", port)).is_err(),
                "lo starts down"
            );
            raise_loopback(Path::new("/proc/thread-self/ns/net")).expect("raise");
            TcpStream::connect(("127.0.0.1", port)).expect("lo is up");
        })
        .join()
        .expect("thread");
    }

    #[test]
    fn a_socket_belongs_to_the_namespace_it_was_made_in_and_the_caller_stays_in_its_own() {
        let own = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).expect("a link");
        let before = own("thread-self");
        let (sender, receiver) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            let namespace = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
            raise_loopback(Path::new(&namespace)).expect("raise");
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            let address = listener.local_addr().expect("address");
            sender.send((namespace, address)).expect("sent");
            let accepted = listener.accept().map(drop);
            wait.recv().expect("told to end");
            accepted.expect("a connection from within");
        });
        let (namespace, address) = receiver.recv().expect("received");
        let socket = tcp_socket(Some(Path::new(&namespace)), false).expect("a socket");
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(own("thread-self"), before);
        done.send(()).expect("sent");
        other.join().expect("thread");
        assert!(matches!(
            tcp_socket(Some(Path::new("/nonexistent")), false),
            Err(NetworkNamespaceError::Open(..))
        ));
    }
}
