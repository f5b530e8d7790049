//! What `scripts/install` puts somewhere, runs there, and is taken away again.

use crate::daemon::{IMAGE, with_containerd};
use crate::support::{Ran, program, run};
use crate::versions::{Version, on_each_version};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

on_each_version! {
    what_is_installed_is_a_shim_and_what_is_uninstalled_is_gone,
}

/// Files and links below a directory.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => drop(found.insert(entry.path())),
        }
    }
    found
}

fn what_is_installed_is_a_shim_and_what_is_uninstalled_is_gone(on: Version) {
    with_containerd(on, |c| {
        let root = c.path("destination");
        let install = |args: &[&str]| -> Ran {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
            let mut command = Command::new(script);
            command.args(args).env("DESTDIR", &root);
            run(command.env("PODSHIM_BIN", program()))
        };
        install(&["relative"]).expect(1);
        // The second time over what is there, and while it runs.
        for _ in 0..2 {
            install(&["/opt/x"]).expect(0);
        }
        let bin = root.join("opt/x/bin");
        let (program, link) = (bin.join("podshim"), bin.join("containerd-shim-podshim-v1"));
        assert_eq!(
            files(&root),
            BTreeSet::from([program.clone(), link.clone()])
        );
        assert_eq!(fs::read_link(&link).expect("a link"), Path::new("podshim"));
        let version = run(Command::new(&link).arg("-v")).text();
        assert!(
            version.starts_with("containerd-shim-podshim-v1"),
            "{version}"
        );
        run(Command::new(&program).arg("version")).expect(0);
        // By its path, as by its type.
        let runtime = link.to_string_lossy();
        let args = [
            "run",
            "-d",
            "--runtime",
            &runtime,
            IMAGE,
            "i",
            "sleep",
            "1000",
        ];
        c.run(&args).expect(0);
        install(&["/opt/x"]).expect(0);
        c.run(&["task", "exec", "--exec-id", "x", "i", "sh", "-c", "exit 3"])
            .expect(3);
        c.remove("i");
        install(&["--uninstall", "/opt/x"]).expect(0);
        assert_eq!(files(&root), BTreeSet::new());
    });
}
