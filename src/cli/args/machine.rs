//! Verbs on this machine and all its pods.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// Remove the leftovers that were found
    #[arg(long)]
    pub fix: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShutdownArgs {
    /// All pods of all namespaces
    #[arg(long, required = true)]
    pub all: bool,
    /// Seconds between the stop signal and SIGKILL [default: each pod's own]
    #[arg(long, visible_alias = "time", value_name = "SECONDS")]
    pub grace_period: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UpgradeArgs {
    /// Pods [default: all that run]
    #[arg(value_name = "POD")]
    pub pods: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GenerateArgs {
    #[command(subcommand)]
    pub verb: GenerateVerb,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GenerateVerb {
    /// A systemd unit that runs `up` after a boot and `shutdown` before the next
    Unit,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OutputArgs {
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub output: String,
}
