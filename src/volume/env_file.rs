//! Files of variables (`fileKeyRef`), which containers wrote: read without following a link out of the volume.

use crate::sys::{Leaving, open_beneath};
use crate::volume::error::Error;
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Bytes of a file of variables. Source: Kubernetes, 64 KiB.
const BYTES_MAX: u64 = 64 * 1024;

/// The text of the file at `path` in the volume at `root`; `None` if there is none.
pub fn read_env_file(root: &Path, path: &str) -> Result<Option<String>, Error> {
    let read = || -> io::Result<Option<String>> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let volume = rustix::fs::open(root, directory, Mode::empty())?;
        let found = match open_beneath(&volume, Path::new(path), OFlags::PATH, Leaving::Refused) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        // Before it is opened: a device or a pipe would do something.
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no regular file"));
        }
        let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
        let mut text = String::new();
        if file.take(BYTES_MAX + 1).read_to_string(&mut text)? as u64 > BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has more than {BYTES_MAX} bytes"
            )));
        }
        Ok(Some(text))
    };
    read().map_err(Error::system("read variables from", Path::new(path)))
}
