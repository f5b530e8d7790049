//! podshim: see the library. Dispatches on the program's name; the containerd shim will be the other one.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(podshim::cli::main())
}
