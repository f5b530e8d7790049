//! The file system of the sandbox: root, mounts, what is hidden and what is read-only.

use crate::bundle::native::Refusal;
use crate::bundle::native::fields::Fields;
use std::path::{Path, PathBuf};

/// The file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its directory; relative to the bundle.
    pub path: PathBuf,
    /// Whether nothing can be written to it.
    pub readonly: bool,
    /// In this order.
    pub mounts: Vec<NativeMount>,
    /// Hidden, as far as they are there; relative to the root.
    pub masked: Vec<PathBuf>,
    /// Not to be written to, as far as they are there; relative to the root.
    pub readonly_paths: Vec<PathBuf>,
}

/// A file system that comes from nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeMount {
    /// Relative to the root.
    pub destination: PathBuf,
    /// Which.
    pub kind: MountKind,
    /// Nothing can be written.
    pub readonly: bool,
    /// Set-user-ID bits mean nothing.
    pub nosuid: bool,
    /// Device nodes mean nothing.
    pub nodev: bool,
    /// Nothing can be executed.
    pub noexec: bool,
    /// Every access is noted.
    pub strictatime: bool,
    /// Options of the file system itself.
    pub data: String,
}

/// File systems that show or hold nothing of the host but what the namespaces of the sandbox do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Processes.
    Proc,
    /// Memory.
    Tmpfs,
    /// Devices, and the network's part of them.
    Sysfs,
}

impl MountKind {
    /// Its name for the kernel.
    pub fn name(self) -> &'static str {
        match self {
            MountKind::Proc => "proc",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Sysfs => "sysfs",
        }
    }
}

impl Root {
    pub(super) fn read(config: &mut Fields, linux: &mut Fields) -> Result<Root, Refusal> {
        let root = config.object("root")?;
        let mut root = config.needed("root", root)?;
        let path = root.text("path")?;
        let plan = Root {
            path: root.needed("path", path)?.into(),
            readonly: root.flag("readonly")?,
            mounts: config
                .objects("mounts")?
                .into_iter()
                .map(NativeMount::read)
                .collect::<Result<_, _>>()?,
            masked: relative_paths(linux, "maskedPaths")?,
            readonly_paths: relative_paths(linux, "readonlyPaths")?,
        };
        root.end()?;
        // For a device of its own.
        if !plan.has(MountKind::Tmpfs, "dev") {
            return Err(Refusal::Absent("mounts: tmpfs at /dev".into()));
        }
        Ok(plan)
    }

    /// Whether `/proc` is that of the sandbox.
    pub fn has_proc(&self) -> bool {
        self.has(MountKind::Proc, "proc")
    }

    fn has(&self, kind: MountKind, destination: &str) -> bool {
        let mut mounts = self.mounts.iter();
        mounts.any(|m| m.kind == kind && m.destination == Path::new(destination))
    }
}

impl NativeMount {
    fn read(mut mount: Fields) -> Result<NativeMount, Refusal> {
        let destination = mount.text("destination")?;
        let destination = mount.needed("destination", destination)?;
        let kind = mount.text("type")?;
        let kind = mount.needed("type", kind)?;
        let mut plan = NativeMount {
            destination: relative(&destination)
                .ok_or_else(|| mount.refuse("destination", &destination.as_str().into()))?,
            kind: match kind.as_str() {
                "proc" => MountKind::Proc,
                "tmpfs" => MountKind::Tmpfs,
                "sysfs" => MountKind::Sysfs,
                _ => return Err(mount.refuse("type", &kind.into())),
            },
            readonly: false,
            nosuid: false,
            nodev: false,
            noexec: false,
            strictatime: false,
            data: String::new(),
        };
        // A name without a meaning for these.
        mount.text("source")?;
        let mut data = Vec::new();
        for option in mount.texts("options")? {
            match option.as_str() {
                "ro" => plan.readonly = true,
                "rw" => plan.readonly = false,
                "nosuid" => plan.nosuid = true,
                "nodev" => plan.nodev = true,
                "noexec" => plan.noexec = true,
                "strictatime" => plan.strictatime = true,
                _ if plan.kind == MountKind::Tmpfs && is_data(&option) => data.push(option),
                _ => return Err(mount.refuse("options", &option.into())),
            }
        }
        plan.data = data.join(",");
        mount.end()?;
        Ok(plan)
    }
}

/// `mode=755`, `size=65536k`.
fn is_data(option: &str) -> bool {
    let number = option.strip_prefix("mode=").or_else(|| {
        option
            .strip_prefix("size=")
            .map(|n| n.trim_end_matches('k'))
    });
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn relative_paths(linux: &mut Fields, member: &str) -> Result<Vec<PathBuf>, Refusal> {
    let paths = linux.texts(member)?;
    let path = |path: String| relative(&path).ok_or_else(|| linux.refuse(member, &path.into()));
    paths.into_iter().map(path).collect()
}

/// An absolute path without `.`, `..` and empty parts, below the root.
fn relative(path: &str) -> Option<PathBuf> {
    let below = path.strip_prefix('/')?;
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    below.split('/').all(is_plain).then(|| below.into())
}
