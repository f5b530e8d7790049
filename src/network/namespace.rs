//! Network namespaces, opened and entered.

use crate::network::NetworkError;
use crate::network::error::cannot;
use crate::network::netlink::Netlink;
use crate::sys;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A network namespace, held open.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// That of a process, known by its number and when it started: a number alone may be another's by now. `None` when the
    /// process is gone.
    pub fn of_process(pid: u32, start_time: u64) -> Option<Namespace> {
        let file = File::open(format!("/proc/{pid}/ns/net")).ok()?;
        // Looked at after the file was opened, so that it is this process's.
        (sys::start_time(pid) == Some(start_time)).then(|| Namespace(file.into()))
    }

    /// That at a path.
    pub fn at(path: &Path) -> Result<Namespace, NetworkError> {
        let what = format!("open network namespace `{}`", path.display());
        let file = File::open(path).map_err(cannot(&what))?;
        // Of a file that is none, entering fails; here is the better place to say so.
        let kind = nix::sys::statfs::fstatfs(&file).map_err(|e| cannot(&what)(e.into()))?;
        if kind.filesystem_type() != nix::sys::statfs::NSFS_MAGIC {
            let not = io::Error::new(io::ErrorKind::InvalidInput, "it is none");
            return Err(cannot(&what)(not));
        }
        Ok(Namespace(file.into()))
    }

    /// Its descriptor.
    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// A path by which other processes can open it while this one lives.
    pub(super) fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs something in it, in a thread that ends afterwards: this process stays where it is.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        let done = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(self.fd(), CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            });
            thread.join().unwrap_or(Err(nix::Error::EIO))
        });
        done.map_err(|e| cannot("enter the network namespace")(e.into()))
    }

    /// Brings `lo` up and gives the addresses that the namespace has.
    pub fn look(&self) -> Result<Vec<IpAddr>, NetworkError> {
        self.run(|| {
            let mut netlink = Netlink::open()?;
            if let Some(lo) = netlink.link("lo")? {
                netlink.raise(lo.index)?;
            }
            netlink.addresses()
        })?
        .map_err(cannot("look into the network namespace"))
    }
}
