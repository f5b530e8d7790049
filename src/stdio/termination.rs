//! The termination message of an instance: a file it may write, else the end of its log. The file is the container's, thus hostile.

use crate::stdio::read::last_lines;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Bytes of the file's end that count. Source: kubelet `MaxContainerTerminationMessageLength`.
pub const MESSAGE_BYTES: u64 = 4096;
/// Bytes of all messages of a pod. Source: kubelet `MaxPodTerminationMessageLogLength`.
const POD_MESSAGES_BYTES: usize = 12_288;
/// Records of the log that stand in for a message. Source: kubelet `MaxContainerTerminationMessageLogLines`.
const LOG_LINES: u64 = 80;
/// Bytes of the same. Source: kubelet `MaxContainerTerminationMessageLogLength`.
const LOG_BYTES: usize = 2048;

/// Makes the empty file (mode 0666, whatever the umask) that is bound at `terminationMessagePath`; one that is there stays.
pub fn create_message_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(hostile_flags())
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o666))
}

/// The message of an ended instance of a pod with `containers` containers of all kinds. `log` is given when the policy is
/// `FallbackToLogsOnError` and the instance failed: its end is taken if the file is empty. *Errors*: when either cannot be read.
pub fn termination_message(
    file: &Path,
    log: Option<&Path>,
    containers: usize,
) -> io::Result<String> {
    let mut message = read_end(file)?;
    if let Some(log) = log.filter(|_| message.is_empty()) {
        message = last_lines(log, LOG_LINES, LOG_BYTES)?;
    }
    Ok(cut_message(message, containers))
}

/// Cuts a message to its container's share, at a character's end.
pub fn cut_message(mut message: String, containers: usize) -> String {
    let share = POD_MESSAGES_BYTES / containers.max(1);
    message.truncate(message.floor_char_boundary(share));
    message
}

/// The end of a regular file as text; empty if there is no such file.
fn read_end(path: &Path) -> io::Result<String> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(hostile_flags())
        .open(path);
    let mut file: File = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        other => other?,
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    file.seek(SeekFrom::Start(meta.len().saturating_sub(MESSAGE_BYTES)))?;
    let mut end = Vec::new();
    file.take(MESSAGE_BYTES).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

/// No link followed, no FIFO waited for.
fn hostile_flags() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0)
}
