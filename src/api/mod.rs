//! The door of a running pod: varlink over its control socket (NUL-terminated JSON), interface `io.podshim.Pod`. The server
//! translates and passes on; it decides nothing. The client blocks: it serves short-lived commands.
//!
//! A caller is root or the user the pod belongs to; requests are small, few at a time and must come soon, so that a hostile or
//! broken client changes nothing for the pod.

mod client;
mod server;
mod wire;

pub use client::{Client, ClientError, Streams, listen};
pub use server::serve;
pub use wire::{Call, INTERFACE, Reply};
