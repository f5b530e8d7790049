//! podshim: see the library. Dispatches on the program's name.

use podshim::{cli, shim};
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    ExitCode::from(if shim::is_named(&name) {
        shim::main()
    } else {
        cli::main()
    })
}
