//! The mounts of this process. Source: proc(5), mountinfo.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where.
    pub(super) point: PathBuf,
    /// What is mounted below appears at its peers.
    pub(super) is_shared: bool,
    /// What is mounted below its master appears here.
    pub(super) is_slave: bool,
}

/// All mounts in the order in which they were made.
pub(super) fn all() -> io::Result<Vec<Mounted>> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    Ok(table.split(|b| *b == b'\n').filter_map(parse).collect())
}

/// The mount that `path` is on; links on the way are followed.
pub(super) fn of(path: &Path) -> io::Result<Option<Mounted>> {
    let path = path.canonicalize()?;
    let on = all()?.into_iter().filter(|m| path.starts_with(&m.point));
    // Of several at one point the last is on top.
    Ok(on.max_by_key(|m| m.point.components().count()))
}

/// Field 5 is the mount point; from field 7 to a `-` there are optional ones.
fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|b| *b == b' ');
    let point = PathBuf::from(unescaped(fields.nth(4)?));
    let optional: Vec<&[u8]> = fields.skip(1).take_while(|field| *field != b"-").collect();
    let has = |tag: &[u8]| optional.iter().any(|field| field.starts_with(tag));
    Some(Mounted {
        point,
        is_shared: has(b"shared:"),
        is_slave: has(b"master:"),
    })
}

/// Blank, tab, newline and backslash stand as `\` and three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_where_and_who_hears_of_it() {
        let line = br"36 35 98:0 /x /mnt/a\040b rw,noatime shared:1 master:2 - ext3 /dev/root rw";
        let want = Mounted {
            point: "/mnt/a b".into(),
            is_shared: true,
            is_slave: true,
        };
        assert_eq!(parse(line), Some(want));
        let private = parse(b"1 2 0:1 / / rw - tmpfs shared:1 rw").expect("a line");
        assert!(!private.is_shared && !private.is_slave);
        assert_eq!(parse(b""), None);
    }
}
