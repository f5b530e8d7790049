//! Measuring, beside `du` and in the face of what containers may do to it.

use super::{HELD_MAX, Usage, usage};
use rustix::fs::{Mode, mkdirat, openat};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn measure(root: &Path) -> Usage {
    usage(root, crate::sys::now().mono + Duration::from_secs(60)).expect("measures")
}

fn du(root: &Path) -> u64 {
    let mut run = Command::new("du");
    run.args(["-s", "-x", "--block-size=1"]).arg(root);
    let output = run.output().expect("du runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .next()
        .expect("a number")
        .parse()
        .expect("a number")
}

#[test]
fn counts_what_du_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    fs::create_dir_all(root.join("a/b/c")).expect("directories");
    fs::write(root.join("a/file"), vec![1; 100_000]).expect("a file");
    fs::hard_link(root.join("a/file"), root.join("a/b/other name")).expect("a link");
    fs::write(root.join("a/b/c/small"), b"x").expect("a file");
    fs::File::create(root.join("sparse"))
        .and_then(|f| f.set_len(1 << 40))
        .expect("a hole");
    std::os::unix::fs::symlink("/usr", root.join("a/usr")).expect("a link out");
    let found = measure(root);
    assert!(found.is_complete);
    assert_eq!(found.bytes, du(root));
    assert_eq!(measure(&root.join("absent")).bytes, 0);
}

#[test]
fn a_deep_tree_needs_neither_stack_nor_descriptors() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut at = super::dir::open(dir.path()).expect("opens");
    let depth = 20 * HELD_MAX;
    for _ in 0..depth {
        mkdirat(&at, "d", Mode::RWXU).expect("a directory");
        mkdirat(&at, "e", Mode::RWXU).expect("a directory");
        at = super::dir::open_in(&at, "d").expect("opens");
    }
    let file = openat(
        &at,
        "deep",
        rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
        Mode::RUSR,
    );
    rustix::io::write(file.expect("a file"), &[1; 5000]).expect("writes");
    let found = measure(dir.path());
    assert!(found.is_complete);
    assert_eq!(found.bytes, du(dir.path()));
}

#[test]
fn a_tree_that_is_moved_about_ends_the_walk_no_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    let deep = root.join("a").join(vec!["d"; 2 * HELD_MAX].join("/"));
    fs::create_dir_all(&deep).expect("directories");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, other) = (root.join("a/d"), root.join("b"));
            while !is_over.load(Ordering::Relaxed) {
                // Either way it is somebody else's.
                let _ = fs::rename(&one, &other).and_then(|()| fs::rename(&other, &one));
            }
        });
        for _ in 0..100 {
            measure(root);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_deadline_gives_a_lower_bound() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), vec![1; 100_000]).expect("a file");
    let found = usage(dir.path(), crate::sys::now().mono).expect("measures");
    assert!(!found.is_complete && found.bytes <= du(dir.path()));
}
