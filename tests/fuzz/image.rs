//! Images whose parts are spoilt.

use super::readers::{self, archive, directory, header, parts};
use super::run::try_out;
use tar::{Builder, EntryType};

/// A layer with one of each: directory, file, links, whiteouts, a long name, a PAX record.
fn layer() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut add = |path: &str, kind: EntryType, mode: u32, data: &[u8]| {
        let mut header = header(kind, mode, data.len());
        tar.append_data(&mut header, path, data).expect("a member");
    };
    add("etc/", EntryType::Directory, 0o755, b"");
    add(
        "etc/passwd",
        EntryType::Regular,
        0o644,
        b"root:x:0:0::/:/bin/sh\na:x:7:8::/a:\n",
    );
    add(
        "etc/group",
        EntryType::Regular,
        0o4644,
        b"root:x:0:\nb:x:8:a,root\n",
    );
    add(
        &format!("{}/file", "long".repeat(40)),
        EntryType::Regular,
        0o600,
        &[b'x'; 700],
    );
    add("etc/.wh.gone", EntryType::Regular, 0, b"");
    add("var/.wh..wh..opq", EntryType::Regular, 0, b"");
    for (path, target, kind) in [
        ("etc/link", "../etc/passwd", EntryType::Symlink),
        ("out", "/../..", EntryType::Symlink),
        ("hard", "etc/passwd", EntryType::Link),
    ] {
        let mut header = header(kind, 0o777, 0);
        tar.append_link(&mut header, path, target).expect("a link");
    }
    let record = b"30 mtime=1700000000.123456789\n";
    let mut pax = header(EntryType::XHeader, 0o644, record.len());
    tar.append_data(&mut pax, "pax", &record[..])
        .expect("a record");
    let mut last = header(EntryType::Fifo, 0o644, 0);
    tar.append_data(&mut last, "pipe", &b""[..])
        .expect("a member");
    tar.into_inner().expect("a layer")
}

#[test]
fn layers() {
    let (directory, good) = (directory(), layer());
    assert!(
        readers::layer(directory.path(), &good),
        "the corpus is good"
    );
    try_out("layer", &[good], |bytes| {
        readers::layer(directory.path(), bytes);
    });
}

#[test]
fn configurations() {
    let (directory, good) = (directory(), parts(layer()));
    let corpus = [good.list.clone(), good.config.clone()];
    try_out("configuration", &corpus, |bytes| {
        readers::configuration(directory.path(), &good, bytes);
    });
}

#[test]
fn archives() {
    let directory = directory();
    let good = archive(&parts(layer()));
    try_out("archive", &[good], |bytes| {
        readers::whole_archive(directory.path(), bytes);
    });
}
