//! What can go wrong with a pod's network.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A network could not be set up or taken down.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel or a file refused.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// Every address of the bridge belongs to a pod.
    #[error("no address is free in {0}")]
    Full(String),
    /// No range of the pool is free.
    #[error("no address range of 10.64.0.0/10 is free on this machine")]
    NoRange,
    /// The wanted range is in use.
    #[error("address range {wanted} overlaps {taken}, to which this machine has a route")]
    Overlap {
        /// Wanted.
        wanted: String,
        /// In the routing table.
        taken: String,
    },
    /// Two ranges of one bridge at the same time.
    #[error("the bridge has the address range {has}, which pods use, and not {wanted}")]
    OtherRange {
        /// What it has.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// Neither nft nor iptables is there.
    #[error("cannot find the program `nft` or `iptables`")]
    NoFirewall,
    /// The sandbox whose network is wanted is not there any more.
    #[error("the sandbox has ended")]
    NoSandbox,
    /// A program did not do what it should.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A CNI configuration cannot be used.
    #[error("cannot use CNI configuration `{}`: {why}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such CNI network.
    #[error("cannot find CNI network `{name}` in {}", dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoNetwork {
        /// Its name; `*` for any.
        name: String,
        /// Where it was looked for.
        dirs: Vec<PathBuf>,
    },
    /// An annotation asks for what it cannot.
    #[error("annotation `{key}: {text}` of pod `{pod}` is not {wanted}")]
    Annotation {
        /// `<namespace>/<name>`.
        pod: String,
        /// Its key.
        key: String,
        /// Its value.
        text: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A plugin is not installed.
    #[error("cannot find CNI plugin `{plugin}` in {}", dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoPlugin {
        /// Its type.
        plugin: String,
        /// Where it was looked for.
        dirs: Vec<PathBuf>,
    },
    /// A plugin refused.
    #[error("CNI plugin `{plugin}` failed to {command}: {message} (code {code})")]
    Plugin {
        /// Its type.
        plugin: String,
        /// `ADD`, `DEL`, …
        command: &'static str,
        /// The code of its error. Source: CNI spec, "Error".
        code: u64,
        /// What it says.
        message: String,
    },
    /// A plugin answered what is no answer.
    #[error("cannot understand what CNI plugin `{plugin}` answered to {command}: {why}")]
    Answer {
        /// Its type.
        plugin: String,
        /// `ADD`, `DEL`, …
        command: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl NetworkError {
    /// What a person can do about it; empty if that is plain.
    pub fn hint(&self) -> &'static str {
        match self {
            NetworkError::Io { source, .. } if is_impossible(source) => {
                "this machine cannot make such a network; run with `--network none` or `--network host`"
            }
            NetworkError::Full(_) => "give the bridge a larger range with `--network bridge:RANGE`",
            NetworkError::NoRange | NetworkError::Overlap { .. } => {
                "choose a free range with `--network bridge:RANGE`"
            }
            NetworkError::OtherRange { .. } => {
                "delete the pods of the bridge first, or leave the range out"
            }
            NetworkError::NoFirewall => {
                "install nftables, or run with `--network host`, where ports need no publishing"
            }
            NetworkError::NoNetwork { .. } => {
                "install a configuration, or run with `--network bridge`"
            }
            NetworkError::NoPlugin { .. } => {
                "install the CNI plugins (Debian: containernetworking-plugins), or set CNI_PATH"
            }
            _ => "",
        }
    }
}

/// What a kernel says that lacks a module or does not let us.
fn is_impossible(error: &io::Error) -> bool {
    use nix::libc::{EACCES, EAFNOSUPPORT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT};
    let number = error.raw_os_error();
    [EACCES, EAFNOSUPPORT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT]
        .iter()
        .any(|known| number == Some(*known))
}

/// Makes an I/O error say what was to be done.
pub(super) fn cannot(what: impl fmt::Display) -> impl FnOnce(io::Error) -> NetworkError {
    let what = what.to_string();
    move |source| NetworkError::Io { what, source }
}

/// A program could not be run to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started or watched.
    #[error("cannot run `{program}`")]
    Run {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("`{program}` did not end within {seconds} s")]
    Hung {
        /// Which.
        program: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It printed too much.
    #[error("`{program}` printed more than {limit} bytes")]
    Flood {
        /// Which.
        program: String,
        /// How much is read.
        limit: u64,
    },
    /// It ended badly.
    #[error("`{program}` ended with {status}: {said}")]
    Failed {
        /// Which.
        program: String,
        /// How.
        status: String,
        /// Its last words.
        said: String,
    },
}
