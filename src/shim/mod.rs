//! The second face: containerd's runtime v2 shim `io.containerd.podshim.v1`, this program under another name.
//!
//! ```text
//!  containerd ──start──▶ this program ──▶ a server per pod ◀──ttrpc── containerd, one connection per container
//!             ──delete─▶ this program: what is left of a container whose server is dead
//! ```
//!
//! It translates the wire and nothing else: what containers do is [`crate::supervisor::task`]. Both names of the task service,
//! `containerd.task.v2.Task` (1.6, 1.7) and `containerd.task.v3.Task` (2.x), are the same here. The sandbox service of 2.x
//! would stand beside them in `serve`.

mod args;
mod bootstrap;
mod checkpoint;
mod delete;
mod events;
mod info;
mod metrics;
mod options;
mod place;
mod serve;
mod service;
mod start;

use args::{Action, Args};
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

/// The name that makes this program a shim. Source: containerd, runtime type `io.containerd.podshim.v1`.
pub const PROGRAM: &str = "containerd-shim-podshim-v1";
/// The runtime type that containerd is configured with.
pub const RUNTIME_TYPE: &str = "io.containerd.podshim.v1";

type Error = Box<dyn std::error::Error>;

/// Whether a program of this name is the shim.
pub fn is_named(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(PROGRAM))
}

/// Runs the shim; its exit code. Standard output is for containerd alone, and standard error says why it failed.
pub fn main() -> u8 {
    let args = Args::read(std::env::args().skip(1));
    let done = match args.action {
        Action::Version => print(format!("{PROGRAM}:\n  Version:  {}\n", version()).as_bytes()),
        Action::Info => info::info().and_then(|bytes| print(&bytes)),
        Action::Start => start::start(&args).and_then(|bytes| print(&bytes)),
        Action::Delete => delete::delete(&args).and_then(|bytes| print(&bytes)),
        Action::Serve => serve::serve(&args),
    };
    let Err(error) = done else {
        return 0;
    };
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr().lock(), "{PROGRAM}: {text}");
    1
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}
