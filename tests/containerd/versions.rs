//! The containerds that the tests run on: the one that is installed, and those that `scripts/containerds` has fetched, each with
//! `ctr`, shim and runtimes of its own. One CRIU for all.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Installed,
    /// Of this suite of Debian.
    Fetched(&'static str),
}

impl Version {
    /// Where its programs are, if not in `PATH`.
    pub fn bin(self) -> Option<PathBuf> {
        let Version::Fetched(suite) = self else {
            return None;
        };
        Some(fetched(suite))
    }

    /// A search path with its programs, and a CRIU of today, before those of the machine.
    pub fn path(self) -> String {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let path = format!("{}:{path}", kept("criu").display());
        match self.bin() {
            Some(bin) => format!("{}:{path}", bin.display()),
            None => path,
        }
    }

    /// Major and minor number.
    pub fn number(self) -> (u32, u32) {
        let mut command = Command::new("containerd");
        command.arg("--version").env("PATH", self.path());
        let text = crate::support::run(&mut command).text();
        let numbers = text.split_whitespace().find_map(|word| {
            let mut parts = word.strip_prefix('v').unwrap_or(word).split('.');
            let major = parts.next()?.parse().ok()?;
            Some((major, parts.next()?.parse().ok()?))
        });
        numbers.unwrap_or_else(|| panic!("no version in `{text}`"))
    }
}

/// The CRIU that all of them use is there. Not every architecture has one: only what needs it fails without.
pub fn needs_criu() {
    fetched("criu");
}

/// Where programs are that were fetched.
fn fetched(name: &str) -> PathBuf {
    let bin = kept(name);
    assert!(
        bin.is_dir(),
        "no `{}`: scripts/containerds fetches it",
        bin.display()
    );
    bin
}

fn kept(name: &str) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("containerds");
    all.join(name).join("bin")
}

/// Makes each of these functions a test on each containerd.
macro_rules! on_each_version {
    ($($test:ident),+ $(,)?) => {
        on_each_version!(@ installed: $crate::versions::Version::Installed; $($test),+);
        on_each_version!(@ trixie: $crate::versions::Version::Fetched("trixie"); $($test),+);
        on_each_version!(@ forky: $crate::versions::Version::Fetched("forky"); $($test),+);
    };
    (@ $name:ident: $version:expr; $($test:ident),+) => {
        mod $name {
            $(#[test]
            fn $test() {
                super::$test($version);
            })+
        }
    };
}
pub(crate) use on_each_version;
