//! The process id a runtime leaves in the file of `--pid-file`. Nothing but a plausible number is believed.

use crate::runtime::small_file;
use std::io;
use std::path::Path;

/// Longest content: ten digits and white space; more is garbage.
const PID_FILE_MAX_BYTES: u64 = 32;
/// Largest process id. Source: Linux `PID_MAX_LIMIT`.
const PID_MAX: u32 = 1 << 22;

/// Why a pid file is not believed.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// It is absent or not a regular file.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// It does not hold the id of a process that could be a container's init.
    #[error("cannot take `{0}` for a process id")]
    Garbage(String),
}

/// Reads a process id: 2 to 2^22, digits only, white space around it allowed.
pub fn read(path: &Path) -> Result<u32, PidFileError> {
    let text = small_file::read_head(path, PID_FILE_MAX_BYTES).map_err(PidFileError::Read)?;
    let digits = text.trim();
    digits
        .parse()
        .ok()
        .filter(|pid| (2..=PID_MAX).contains(pid) && digits.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| PidFileError::Garbage(digits.escape_debug().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_plausible_process_id_is_believed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("pid");
        assert!(matches!(read(&path), Err(PidFileError::Read(_))), "absent");
        for (text, pid) in [("42", 42), ("42\n", 42), (" 4194304 ", 4_194_304)] {
            fs::write(&path, text).expect("written");
            assert_eq!(read(&path).ok(), Some(pid), "{text:?}");
        }
        for text in [
            "", "\n", "0", "1", "-5", "+5", "4194305", "12x", "1 2", "\0\0",
        ] {
            fs::write(&path, text).expect("written");
            assert!(
                matches!(read(&path), Err(PidFileError::Garbage(_))),
                "{text:?}"
            );
        }
        fs::write(&path, "7".repeat(100_000)).expect("written");
        assert!(matches!(read(&path), Err(PidFileError::Garbage(_))));
        fs::write(&path, [0xff, 0xfe, b'1']).expect("written");
        assert!(matches!(read(&path), Err(PidFileError::Garbage(_))));
    }

    #[test]
    fn a_fifo_or_link_in_place_of_the_file_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        assert!(matches!(read(&fifo), Err(PidFileError::Read(_))));
        let link = dir.path().join("link");
        fs::write(dir.path().join("real"), "42").expect("written");
        std::os::unix::fs::symlink("real", &link).expect("link");
        assert!(matches!(read(&link), Err(PidFileError::Read(_))));
    }
}
