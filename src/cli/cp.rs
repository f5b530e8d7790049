//! `cp`: files and directories to and from a running container. The image needs nothing for it: we reach into the container's root
//! through its process. Whoever is in the container may change everything meanwhile, so every path is resolved by the kernel below
//! that root, and nothing is opened before it is known what it is.
//!
//! ```text
//!  pack: a tree → tar ──pipe or standard streams──▶ unpack: tar → a tree
//! ```
//!
//! Where things go is kubectl's rule: into a container, an existing directory gets the source under its own name; out of a
//! container, the content of a directory goes into the destination.

mod pack;
mod unpack;

use crate::cli::args::CpArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::pods;
use crate::cli::settings::Settings;
use crate::store::read_json;
use crate::supervisor::PodRecord;
use crate::sys::{self, Leaving, open_beneath};
use pack::pack;
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use unpack::{Links, Target, unpack};

/// What a path of the container or of this machine is below.
struct Root {
    fd: OwnedFd,
    /// Uid and gid of the container's process: what is copied into the container is its own.
    user: (u32, u32),
}

/// One side of a copy.
enum Side {
    /// The standard stream, as a tar archive.
    Stream,
    /// A path of this machine.
    Local(PathBuf),
    /// A path in a container.
    Container {
        /// `[namespace/]pod[/container]`.
        pod: String,
        /// As written.
        path: PathBuf,
    },
}

impl Side {
    /// `-`, a local path, or `[namespace/]pod[/container]:path`. Source: kubectl, with `./` or `/` in front a path is local.
    fn parse(text: &str) -> Side {
        match text.split_once(':') {
            _ if text == "-" => Side::Stream,
            Some((pod, path)) if !pod.is_empty() && !pod.starts_with(['.', '/']) => {
                Side::Container {
                    pod: pod.to_owned(),
                    path: PathBuf::from(path),
                }
            }
            _ => Side::Local(PathBuf::from(text)),
        }
    }
}

pub(super) fn cp(settings: &Settings, args: &CpArgs) -> Outcome {
    let open = |pod: &str| container_root(settings, pod, args.container.as_deref());
    match (Side::parse(&args.source), Side::parse(&args.destination)) {
        (Side::Container { pod, path }, Side::Stream) => {
            let root = open(&pod)?;
            let inside = relative(&path)?;
            let name = inside.file_name().map(PathBuf::from).unwrap_or_default();
            let mut out = io::BufWriter::new(io::stdout().lock());
            pack(&root.fd, &inside, Leaving::Rebased, &name, &mut out)?;
            out.flush().map_err(cannot("write the archive"))?;
        }
        (Side::Stream, Side::Container { pod, path }) => {
            let root = open(&pod)?;
            unpack(io::stdin().lock(), &into(&root, relative(&path)?))?;
        }
        (Side::Container { pod, path }, Side::Local(local)) => {
            from_container(&open(&pod)?, &relative(&path)?, &local)?;
        }
        (Side::Local(local), Side::Container { pod, path }) => {
            to_container(&local, &open(&pod)?, &relative(&path)?)?;
        }
        (Side::Container { .. }, Side::Container { .. }) => {
            return Err(usage("cannot copy from a container to a container").hint(
                "copy to this machine first, or pipe: `podshim cp A:x - | podshim cp - B:y`",
            ));
        }
        _ => {
            return Err(
                usage("neither the source nor the destination is in a container")
                    .hint("write [namespace/]pod[/container]:path for one of them"),
            );
        }
    }
    DONE
}

fn usage(message: &str) -> Failed {
    Failed::new(Code::Usage, message.to_owned())
}

/// The root of a container as its process sees it, with all its volumes.
fn container_root(settings: &Settings, pod: &str, container: Option<&str>) -> Result<Root, Failed> {
    let (pod, named) = pods::find_with_container(settings, pod)?;
    let container = pods::container(&pod, container.or(named.as_deref()))?;
    let gone = || {
        let (name, pod) = (&container.name, &pod.plan.pod.name);
        let message = format!("container `{name}` of pod `{pod}` is not running");
        Failed::new(Code::Failed, message).hint(
            "the root of a container goes with its process; a volume outlives it: copy from another container that mounts it",
        )
    };
    let view = pods::container_view(&pod, &container.name);
    let running = view.and_then(|view| Some((view.pid?, view.instance.as_ref()?)));
    let (pid, instance) = running.ok_or_else(gone)?;
    let hands = pod.snapshot.as_ref().map(|snapshot| &snapshot.hands);
    let process = hands.and_then(|hands| hands.processes.get(instance));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty());
    // Looked at after it was opened: if it is the same process now, it was then.
    if process.is_none_or(|known| sys::start_time(pid) != Some(known.start_time)) {
        return Err(gone());
    }
    Ok(Root {
        fd: fd.map_err(|e| cannot("open the root of the container")(io::Error::from(e)))?,
        user: user(&pod, instance)?,
    })
}

fn user(pod: &PodRecord, instance: &crate::base::InstanceId) -> Result<(u32, u32), Failed> {
    let config = pod.dir.bundle(instance).join("config.json");
    let config: Option<Value> =
        read_json(&config).map_err(cannot("read the container's bundle"))?;
    let user = &config.unwrap_or_default()["process"]["user"];
    let id = |name: &str| user[name].as_u64().and_then(|id| u32::try_from(id).ok());
    Ok((id("uid").unwrap_or(0), id("gid").unwrap_or(0)))
}

/// A path of a container from its root. A `..` goes up, and at the root it stays there.
fn relative(path: &Path) -> Result<PathBuf, Failed> {
    if path.as_os_str().is_empty() {
        return Err(usage("the path in the container is empty"));
    }
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => _ = inside.pop(),
            _ => {}
        }
    }
    Ok(inside)
}

fn into(root: &Root, base: PathBuf) -> Target<'_> {
    Target {
        root: &root.fd,
        base,
        leaving: Leaving::Rebased,
        owner: Some(root.user),
        links: Links::Make,
    }
}

/// What kind of file a path leads to; `None` if it leads to nothing.
fn kind_at(root: &OwnedFd, path: &Path, leaving: Leaving) -> Result<Option<FileType>, Failed> {
    let look = || match open_beneath(root, path, OFlags::PATH, leaving) {
        Err(Errno::NOENT) => Ok(None),
        other => Ok(Some(FileType::from_raw_mode(fstat(other?)?.st_mode))),
    };
    look()
        .map_err(|e: Errno| cannot(format!("open `{}`", path.display()))(io::Error::from(e)).into())
}

fn from_container(root: &Root, path: &Path, local: &Path) -> Result<(), Failed> {
    let shown = path.display();
    let kind = kind_at(&root.fd, path, Leaving::Rebased)?.ok_or_else(|| {
        Failed::new(
            Code::NotFound,
            format!("`/{shown}` is not in the container"),
        )
    })?;
    let (dir, name) = if local.is_dir() {
        let name = match kind {
            FileType::Directory => PathBuf::new(),
            _ => path.file_name().map(PathBuf::from).unwrap_or_default(),
        };
        (local.to_owned(), name)
    } else {
        split(local)?
    };
    let dir = local_dir(&dir)?;
    let target = Target {
        root: &dir,
        base: PathBuf::new(),
        leaving: Leaving::NoLinks,
        owner: None,
        links: Links::Skip,
    };
    stream(
        |out| pack(&root.fd, path, Leaving::Rebased, &name, out),
        |input| unpack(input, &target),
    )
}

fn to_container(local: &Path, root: &Root, path: &Path) -> Result<(), Failed> {
    let source = local
        .canonicalize()
        .map_err(cannot(format!("open `{}`", local.display())))?;
    let (dir, own_name) = split(&source)?;
    let (base, name) = match kind_at(&root.fd, path, Leaving::Rebased)? {
        Some(FileType::Directory) => (path.to_owned(), own_name.clone()),
        _ => split(path)?,
    };
    let base_kind = kind_at(&root.fd, &base, Leaving::Rebased)?;
    if base_kind != Some(FileType::Directory) {
        let message = format!("`/{}` is no directory in the container", base.display());
        return Err(Failed::new(Code::NotFound, message));
    }
    let dir = local_dir(&dir)?;
    let target = into(root, base);
    stream(
        |out| pack(&dir, &own_name, Leaving::NoLinks, &name, out),
        |input| unpack(input, &target),
    )
}

/// Directory and name.
fn split(path: &Path) -> Result<(PathBuf, PathBuf), Failed> {
    let name = path.file_name().map(PathBuf::from);
    let name = name.ok_or_else(|| usage(&format!("`{}` has no name to copy", path.display())))?;
    Ok((path.parent().unwrap_or(Path::new("")).to_owned(), name))
}

fn local_dir(path: &Path) -> Result<OwnedFd, Failed> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    Ok(opened
        .map_err(|e| cannot(format!("open directory `{}`", path.display()))(io::Error::from(e)))?)
}

/// Lets one end write an archive while the other reads it. If both fail, the reader knows why.
fn stream(
    write: impl FnOnce(&mut dyn Write) -> Result<(), CopyError> + Send,
    read: impl FnOnce(Box<dyn Read>) -> Result<(), CopyError>,
) -> Result<(), Failed> {
    let (reader, writer) = io::pipe().map_err(cannot("make a pipe"))?;
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut out = io::BufWriter::new(writer);
            write(&mut out)?;
            out.flush().map_err(CopyError::Archive)
        });
        let read = read(Box::new(io::BufReader::new(reader)));
        // The reader's end of the pipe is closed by now: a writer that still writes ends.
        let written = writer.join();
        read?;
        written.unwrap_or_else(|_| Err(CopyError::Archive(io::ErrorKind::BrokenPipe.into())))
    });
    Ok(written?)
}

/// What went wrong in a copy.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    /// With one file.
    #[error("cannot {verb} `{}`", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// Which, from the root or the destination.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// With the stream between.
    #[error("cannot copy the archive")]
    Archive(#[source] io::Error),
    /// A member would land outside of the destination.
    #[error("cannot take `{}` from the archive: its path has `..`", .0.display())]
    Outside(PathBuf),
    /// More directories in each other than anybody makes.
    #[error("cannot copy `{}`: directories are nested too deep", .0.display())]
    Deep(PathBuf),
}

impl CopyError {
    /// For `map_err`.
    fn file<E: Into<io::Error>>(verb: &'static str, path: &Path) -> impl FnOnce(E) -> CopyError {
        let path = path.to_owned();
        move |source| CopyError::File {
            verb,
            path,
            source: source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_container_has_its_pod_in_front() {
        for (text, want) in [
            ("p:/x", Some(("p", "/x"))),
            ("ns/p/c:x:y", Some(("ns/p/c", "x:y"))),
            ("./p:x", None),
            ("/p:x", None),
            (":x", None),
            ("x", None),
        ] {
            let found = match Side::parse(text) {
                Side::Container { pod, path } => Some((pod, path)),
                _ => None,
            };
            let want = want.map(|(pod, path)| (pod.to_owned(), PathBuf::from(path)));
            assert_eq!(found, want, "{text}");
        }
        assert!(matches!(Side::parse("-"), Side::Stream));
    }

    #[test]
    fn no_path_leads_above_the_root() {
        for (path, want) in [
            ("/a/../../b", "b"),
            ("a/./b//c", "a/b/c"),
            ("/", ""),
            ("..", ""),
        ] {
            let inside = relative(Path::new(path)).expect("a path");
            assert_eq!(inside, Path::new(want), "{path}");
        }
    }
}
