//! The logs of a pod's containers: where they are, and what its events tell of them.

use crate::pod::Input;
use crate::stdio::{self, LogFile, LogNews, WhenFull};
use crate::supervisor::context::Context;
use std::io;

/// News that wait for the loop. More of them are not worth waiting for.
pub(super) const MAX_NOTES: usize = 64;

impl Context {
    /// The log of an instance, for appending. *Errors*: whatever the file system says.
    pub fn open_log(&self, container: &str, attempt: u32) -> io::Result<LogFile> {
        let dirs = &self.plan.dirs;
        let path = stdio::container_log(&dirs.logs, &self.plan.pod, container, attempt);
        let log = LogFile::open(path, self.plan.logs)?;
        let (notes, container) = (self.notes.clone(), container.to_owned());
        Ok(log.telling(move |news| {
            // What nobody has the time to hear is told by the counter at the end.
            let _ = notes.try_send(heard(&container, news));
        }))
    }

    /// Tells how much of an instance's output is in no log.
    pub fn tell_lost(&self, container: &str, bytes: u64) {
        let message = format!("{bytes} bytes of the output of container {container} are in no log");
        let _ = self.notes.try_send(note("LogLost", container, message));
    }
}

fn heard(container: &str, news: LogNews) -> Input {
    match news {
        LogNews::Refused(error, when_full) => {
            let fate = match when_full {
                WhenFull::Drop => "is dropped",
                WhenFull::Block => "waits",
            };
            let message = format!(
                "cannot write the log of container {container}: {error}; its output {fate}"
            );
            note("LogRefused", container, message)
        }
        LogNews::Written => {
            let message = format!("The log of container {container} is written again");
            note("LogWritten", container, message)
        }
    }
}

fn note(reason: &str, container: &str, message: String) -> Input {
    Input::Noted {
        reason: reason.to_owned(),
        container: Some(container.to_owned()),
        message,
    }
}
