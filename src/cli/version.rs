//! `version`.

use crate::cli::args::OutputArgs;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::report;
use serde_json::json;

pub(super) fn version(args: &OutputArgs) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if args.output == "json" {
        report::data(json!({ "version": version, "kubernetes": "v1.37", "oci": "1.0.2" }));
    } else {
        report::data(format_args!("podshim {version}"));
    }
    DONE
}
