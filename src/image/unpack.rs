//! One layer's tar stream → one directory, as overlayfs reads layers: whiteouts become character devices 0/0 and opaque directories.
//!
//! Every path is resolved by the kernel below the layer's root (`openat2`); only its last component, which can be no path, is used
//! by name, and never followed. Source: OCI image-spec, layer; kernel `overlayfs.rst`.

use crate::image::entries::{Entries, Entry, Streamed};
use crate::image::error::shown;
use crate::image::metadata::{copy_metadata, owner, set_metadata, times};
use crate::image::root::{PATH_BYTES, open_below, open_root, relative, remove_tree};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, XattrFlags, chmodat, chownat, fchmod, fsetxattr,
    ftruncate, futimens, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// How much one layer may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of the uncompressed stream, and of all files together.
    pub bytes: u64,
    /// How many times larger than its blob a stream may be…
    pub ratio: u64,
    /// …once it is larger than this many bytes.
    pub ratio_free_bytes: u64,
    /// Members.
    pub entries: u64,
    /// Bytes of directory names kept until the end for their times.
    pub directory_name_bytes: usize,
}

impl Limits {
    /// Far above real layers, far below a disk: 64 GiB and four million files; 250 times (gzip reaches 1,030 on zeros, real layers 20)
    /// beyond 128 MiB; 64 MiB of directory names.
    pub const LAYER: Limits = Limits {
        bytes: 64 << 30,
        ratio: 250,
        ratio_free_bytes: 128 << 20,
        entries: 4_000_000,
        directory_name_bytes: 64 << 20,
    };

    /// Bytes that a blob of `size` bytes may become.
    pub fn stream_bytes(&self, size: u64) -> u64 {
        size.saturating_mul(self.ratio)
            .max(self.ratio_free_bytes)
            .min(self.bytes)
    }
}

const OPAQUE: &str = "trusted.overlay.opaque";
const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// A layer could not be turned into a directory.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream is broken, too large or not a tar.
    #[error("cannot read the layer's stream")]
    Stream(#[source] io::Error),
    /// A member breaks a rule or a limit.
    #[error("cannot accept `{path}`: {problem}")]
    Refused {
        /// The member.
        path: String,
        /// The rule.
        problem: &'static str,
    },
    /// A member could not be created.
    #[error("cannot create `{path}`")]
    Create {
        /// The member.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Unpacks a tar stream below `dir`, and reads it to its end. `below` are the directories of the layers
/// underneath, highest first.
pub(super) fn unpack<R: Read>(
    stream: R,
    dir: &Path,
    below: &[PathBuf],
    limits: &Limits,
) -> Result<(), UnpackError> {
    let here = |source| UnpackError::Create {
        path: dir.display().to_string(),
        source,
    };
    let mut layer = Layer::new(dir, below).map_err(here)?;
    let mut entries = Entries::new(Streamed(stream));
    let mut count = 0;
    while let Some(entry) = entries.next().map_err(UnpackError::Stream)? {
        count += 1;
        let problem = if count > limits.entries {
            Some("the layer has too many members")
        } else {
            layer.admit(&entry, limits).err()
        };
        if let Some(problem) = problem {
            return Err(UnpackError::Refused {
                path: shown(&entry.path),
                problem,
            });
        }
        layer
            .place(&entry, &mut entries)
            .map_err(|failure| match failure {
                Failure::Refused(problem) => UnpackError::Refused {
                    path: shown(&entry.path),
                    problem,
                },
                Failure::Io(source) => UnpackError::Create {
                    path: shown(&entry.path),
                    source,
                },
            })?;
    }
    layer
        .set_directory_times()
        .map_err(|errno| here(errno.into()))?;
    entries.finish().map_err(UnpackError::Stream)
}

enum Failure {
    Refused(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Failure {
        Failure::Io(error.into())
    }
}

struct Layer {
    root: OwnedFd,
    /// The layers underneath, highest first.
    below: Vec<OwnedFd>,
    /// The directory of the previous member: members come grouped.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Directories and their times, set last because creating what is in them changes them.
    directories: Vec<(PathBuf, (i64, u32))>,
    directory_name_bytes: usize,
    bytes: u64,
}

impl Layer {
    fn new(dir: &Path, below: &[PathBuf]) -> io::Result<Layer> {
        let below: io::Result<_> = below.iter().map(|dir| open_root(dir)).collect();
        let mut layer = Layer {
            root: open_root(dir)?,
            below: below?,
            parent: None,
            directories: Vec::new(),
            directory_name_bytes: 0,
            bytes: 0,
        };
        layer.inherit(Path::new(""))?;
        Ok(layer)
    }

    /// Gives a directory that the layer has no member for what it has underneath, as a copy-up would: writers leave out the directories
    /// that they did not change.
    fn inherit(&mut self, path: &Path) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        for lower in &self.below {
            match open_below(lower, path, flags) {
                Err(Errno::NOENT) => {}
                // Whited out, or something else there.
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                opened => {
                    let mtime = copy_metadata(&opened?, &open_below(&self.root, path, flags)?)?;
                    self.directories.push((path.to_owned(), mtime));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Counts a member against the limits before anything is written.
    fn admit(&mut self, entry: &Entry, limits: &Limits) -> Result<(), &'static str> {
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.bytes > limits.bytes {
            return Err("the layer's files are too large");
        }
        if entry.kind == EntryType::Directory {
            self.directory_name_bytes += entry.path.len();
            if self.directory_name_bytes > limits.directory_name_bytes {
                return Err("the layer has too many directories");
            }
        }
        Ok(())
    }

    fn place<R: Read>(
        &mut self,
        entry: &Entry,
        data: &mut Entries<Streamed<R>>,
    ) -> Result<(), Failure> {
        let path = relative(&entry.path).map_err(Failure::Refused)?;
        let Some(name) = path.file_name() else {
            // The root itself: `./`.
            if entry.kind != EntryType::Directory {
                return Err(Failure::Refused("only a directory can be the root"));
            }
            let root = open_below(
                &self.root,
                Path::new("."),
                OFlags::RDONLY | OFlags::DIRECTORY,
            )?;
            set_metadata(&root, entry)?;
            self.directories.push((PathBuf::new(), entry.mtime));
            return Ok(());
        };
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = self.open_parent(parent_path)?;
        let placed = if name.as_bytes().starts_with(WHITEOUT) {
            white_out(&parent, name.as_bytes())
        } else {
            self.create(entry, &path, &parent, name, data)
        };
        self.parent.get_or_insert((parent_path.to_owned(), parent));
        placed
    }

    /// Opens the directory of a member, creating what is missing with mode 0755.
    fn open_parent(&mut self, path: &Path) -> Result<OwnedFd, Failure> {
        if let Some((_, fd)) = self.parent.take().filter(|(known, _)| known == path) {
            return Ok(fd);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match open_below(&self.root, path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            opened => return Ok(opened?),
        }
        let mut prefix = PathBuf::new();
        let mut parent = open_below(&self.root, &prefix, flags)?;
        for component in path {
            let made = make_directory(&parent, component, false)?;
            prefix.push(component);
            if made {
                self.inherit(&prefix)?;
            }
            parent = open_below(&self.root, &prefix, flags)?;
        }
        Ok(parent)
    }

    fn create<R: Read>(
        &mut self,
        entry: &Entry,
        path: &Path,
        parent: &OwnedFd,
        name: &OsStr,
        data: &mut Entries<Streamed<R>>,
    ) -> Result<(), Failure> {
        match entry.kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = replacing(parent, name, || {
                    openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
                })?;
                let file = std::fs::File::from(file);
                data.copy(entry, |piece, offset| file.write_all_at(piece, offset))?;
                if entry.kind == EntryType::GNUSparse {
                    // It may end with a hole.
                    ftruncate(&file, entry.size)?;
                }
                let file = OwnedFd::from(file);
                set_metadata(&file, entry)?;
                futimens(&file, &times(entry.mtime))?;
                return Ok(());
            }
            EntryType::Directory => {
                make_directory(parent, name, true)?;
                set_metadata(&open_directory(parent, name)?, entry)?;
                self.directories.push((path.to_owned(), entry.mtime));
                return Ok(());
            }
            EntryType::Link => return self.hard_link(entry, parent, name),
            EntryType::Symlink => {
                if entry.link.len() >= PATH_BYTES {
                    return Err(Failure::Refused("its target is longer than 4095 bytes"));
                }
                replacing(parent, name, || {
                    symlinkat(entry.link.as_slice(), parent, name)
                })?;
            }
            EntryType::Char => make_node(entry, parent, name, FileType::CharacterDevice)?,
            EntryType::Block => make_node(entry, parent, name, FileType::BlockDevice)?,
            EntryType::Fifo => make_node(entry, parent, name, FileType::Fifo)?,
            _ => return Err(Failure::Refused("its type is unknown")),
        }
        let (uid, gid) = owner(entry);
        chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        if entry.kind != EntryType::Symlink {
            let mode = Mode::from_raw_mode(entry.mode);
            chmodat(parent, name, mode, AtFlags::empty())?;
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(utimensat(parent, name, &times(entry.mtime), flags)?)
    }

    /// The target is a path from the root of the layer, and must be there already; a symlink is linked to, not through.
    fn hard_link(&self, entry: &Entry, parent: &OwnedFd, name: &OsStr) -> Result<(), Failure> {
        let target = relative(&entry.link)
            .map_err(|_| Failure::Refused("its link target is no path below the root"))?;
        let Some(target_name) = target.file_name() else {
            return Err(Failure::Refused("a hard link cannot name the root"));
        };
        let dir = target.parent().unwrap_or(Path::new(""));
        let from = open_below(&self.root, dir, OFlags::PATH | OFlags::DIRECTORY)?;
        let link = || linkat(&from, target_name, parent, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                let same = |a: &Stat, b: &Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
                if same(&look(&from, target_name)?, &look(parent, name)?) {
                    return Ok(());
                }
                Ok(replacing(parent, name, link)?)
            }
            done => Ok(done?),
        }
    }

    fn set_directory_times(&self) -> Result<(), Errno> {
        for (path, mtime) in &self.directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match open_below(&self.root, path, flags) {
                Ok(directory) => futimens(&directory, &times(*mtime))?,
                // Replaced by a later member.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// `.wh.name` hides what lower layers have at `name`, `.wh..wh..opq` all that they have in this directory; never what this layer has.
fn white_out(parent: &OwnedFd, name: &[u8]) -> Result<(), Failure> {
    if name == WHITEOUT_OPAQUE {
        return Ok(set_opaque(parent)?);
    }
    if name.starts_with(WHITEOUT_META) {
        // aufs' own files.
        return Ok(());
    }
    let hidden = OsString::from_vec(name[WHITEOUT.len()..].to_vec());
    if matches!(hidden.as_bytes(), b"" | b"." | b"..") {
        return Err(Failure::Refused("it is a whiteout of nothing"));
    }
    let none = makedev(0, 0);
    match mknodat(
        parent,
        &hidden,
        FileType::CharacterDevice,
        Mode::empty(),
        none,
    ) {
        Err(Errno::EXIST) => match look(parent, &hidden)? {
            stat if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                Ok(set_opaque(&open_directory(parent, &hidden)?)?)
            }
            _ => Ok(()),
        },
        done => Ok(done?),
    }
}

fn set_opaque(directory: &OwnedFd) -> Result<(), Errno> {
    fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
}

fn look(parent: &OwnedFd, name: &OsStr) -> Result<Stat, Errno> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn open_directory(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Makes sure that a directory has this name. A whiteout in its place makes it opaque: the two together mean "not what lower layers
/// have". Anything else in its place is replaced for a member (`replace`), and left for the directories above one: a symlink there is
/// followed, below the root. Gives whether it is new and may have something underneath.
fn make_directory(parent: &OwnedFd, name: &OsStr, replace: bool) -> Result<bool, Failure> {
    let make = || mkdirat(parent, name, Mode::from_raw_mode(0o755));
    let mut opaque = false;
    match make() {
        Err(Errno::EXIST) => {
            let stat = look(parent, name)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            opaque = kind == FileType::CharacterDevice && stat.st_rdev == makedev(0, 0);
            if kind.is_dir() || !(replace || opaque) {
                return Ok(false);
            }
            unlinkat(parent, name, AtFlags::empty())?;
            make()?;
        }
        made => made?,
    }
    let directory = open_directory(parent, name)?;
    fchmod(&directory, Mode::from_raw_mode(0o755))?;
    if opaque {
        set_opaque(&directory)?;
    }
    Ok(!opaque)
}

/// Creates what cannot be created while something has its name: that is removed first, whatever it is.
fn replacing<T>(
    parent: &OwnedFd,
    name: &OsStr,
    create: impl Fn() -> Result<T, Errno>,
) -> io::Result<T> {
    match create() {
        Err(Errno::EXIST) => {
            remove_tree(parent, name)?;
            Ok(create()?)
        }
        done => Ok(done?),
    }
}

fn make_node(entry: &Entry, parent: &OwnedFd, name: &OsStr, kind: FileType) -> Result<(), Failure> {
    let device = makedev(entry.device.0, entry.device.1);
    replacing(parent, name, || {
        mknodat(parent, name, kind, Mode::empty(), device)
    })?;
    Ok(())
}
