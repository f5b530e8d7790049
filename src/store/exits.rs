//! The exit record: what the keeper saw end, in fixed-size records that are appended with one write each. A torn last record
//! (the machine was cut off) is not read.

use crate::base::{Exit, Mono, Now, Wall};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Size of one record on disk: pid, wait status, boot-time and wall-clock milliseconds, little-endian.
pub const EXIT_RECORD_BYTES: usize = 24;

/// One process that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// Its number while it lived.
    pub pid: u32,
    /// How it ended, as `waitpid` says.
    pub status: i32,
    /// When the keeper saw it.
    pub at: Now,
}

impl ExitRecord {
    /// As written.
    pub fn to_bytes(self) -> [u8; EXIT_RECORD_BYTES] {
        let mut bytes = [0; EXIT_RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.pid.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.status.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.mono.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.at.wall.0.to_le_bytes());
        bytes
    }

    /// As read; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<ExitRecord> {
        let bytes: &[u8; EXIT_RECORD_BYTES] = bytes.try_into().ok()?;
        Some(ExitRecord {
            pid: u32::from_le_bytes(bytes[..4].try_into().ok()?),
            status: i32::from_le_bytes(bytes[4..8].try_into().ok()?),
            at: Now {
                mono: Mono(u64::from_le_bytes(bytes[8..16].try_into().ok()?)),
                wall: Wall(u64::from_le_bytes(bytes[16..].try_into().ok()?)),
            },
        })
    }

    /// How it ended.
    pub fn exit(self) -> Exit {
        Exit::from_wait_status(self.status)
    }
}

/// Opens a record for appending, making it if needed. What a torn write left at its end is cut off: later records would be
/// read out of step.
pub fn open_exits(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).open(path)?;
    cut_to_whole_records(&file)?;
    Ok(file)
}

/// Appends one record to a file of [`open_exits`], whole or not at all.
pub fn append_exit(mut file: &File, record: ExitRecord) -> io::Result<()> {
    let written = file.write_all(&record.to_bytes());
    if written.is_err() {
        cut_to_whole_records(file)?;
    }
    written
}

fn cut_to_whole_records(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    match length % EXIT_RECORD_BYTES as u64 {
        0 => Ok(()),
        torn => file.set_len(length - torn),
    }
}

/// All whole records, oldest first; empty when there is no file.
pub fn read_exits(path: &Path) -> io::Result<Vec<ExitRecord>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    Ok(bytes
        .chunks_exact(EXIT_RECORD_BYTES)
        .filter_map(ExitRecord::from_bytes)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_a_torn_tail_is_not_read() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("exits");
        assert_eq!(read_exits(&path).expect("absent"), []);
        let record = |pid| ExitRecord {
            pid,
            status: 7 << 8,
            at: Now {
                mono: Mono(1),
                wall: Wall(2),
            },
        };
        let mut file = open_exits(&path).expect("open");
        append_exit(&file, record(10)).expect("append");
        append_exit(&file, record(11)).expect("append");
        file.write_all(&[1, 2, 3]).expect("torn");
        assert_eq!(read_exits(&path).expect("read"), [record(10), record(11)]);
        let file = open_exits(&path).expect("open again");
        append_exit(&file, record(12)).expect("append");
        assert_eq!(
            read_exits(&path).expect("read"),
            [record(10), record(11), record(12)],
            "what comes after a torn record is in step"
        );
        assert_eq!(record(10).exit(), Exit::Code(7));
    }
}
