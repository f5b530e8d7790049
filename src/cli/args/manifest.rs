//! Verbs on manifests.

use crate::base::Quantity;
use crate::bundle::SandboxKind;
use crate::cli::network::NetworkArg;
use crate::pod::Script;
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Manifests.
#[derive(Debug, Args)]
pub(in crate::cli) struct Files {
    /// Manifest: a file, a directory, or - for standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub file: Vec<PathBuf>,
    /// What to do about unknown fields
    #[arg(long, value_enum, default_value = "strict")]
    pub validate: Validate,
}

/// What to do about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Validate {
    Strict,
    Warn,
    Ignore,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    pub files: Files,
    /// Return when the containers have started
    #[arg(short, long)]
    pub detach: bool,
    /// Tell on standard error what the start spent its time with
    #[arg(long, requires = "detach")]
    pub timings: bool,
    /// Name of the pod, instead of the manifest's
    #[arg(long)]
    pub name: Option<String>,
    /// Delete a pod of the same name first
    #[arg(long)]
    pub replace: bool,
    /// Delete the pod with its status and logs when it ends
    #[arg(long)]
    pub rm: bool,
    /// Container whose exit code is the command's
    #[arg(long, value_name = "CONTAINER", conflicts_with = "detach")]
    pub exit_code_from: Option<String>,
    /// Network of a pod without hostNetwork: none, host, bridge, bridge:RANGE,RANGE, cni, cni:NAME or ns:PATH; without it cni if one
    /// is configured, otherwise bridge, which turns on the forwarding of packets and leaves it on
    #[arg(long, env = "PODSHIM_NETWORK", value_name = "NETWORK")]
    pub network: Option<NetworkArg>,
    /// Let the pod find the other pods of its namespace on this machine by name, in its /etc/hosts
    #[arg(long, env = "PODSHIM_POD_NAMES", value_parser = BoolishValueParser::new())]
    pub pod_names: bool,
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// First crash back-off in seconds; the rest doubles up to the longest
    #[arg(long, env = "PODSHIM_BACKOFF_INITIAL", value_name = "SECONDS")]
    pub backoff_initial: Option<f64>,
    /// Longest crash back-off in seconds, at most 300
    #[arg(long, env = "PODSHIM_BACKOFF_MAX", value_name = "SECONDS")]
    pub backoff_max: Option<f64>,
    /// For experts: seconds that each call of the OCI runtime gets, at most 600 [default: 60, and 10 to delete]
    #[arg(long, env = "PODSHIM_RUNTIME_DEADLINE", value_name = "SECONDS")]
    pub runtime_deadline: Option<f64>,
    #[command(flatten)]
    pub logs: LogArgs,
    /// Allow these sysctls besides the safe ones: names or prefixes with *
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_sysctl: Vec<String>,
}

/// Logs of the containers.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogArgs {
    /// Size at which the log of a container is rotated, as a Kubernetes quantity
    #[arg(
        long,
        env = "PODSHIM_LOG_SIZE",
        value_name = "QUANTITY",
        default_value = "10Mi"
    )]
    pub log_size: Quantity,
    /// Files of a container's log, the current one included
    #[arg(long, env = "PODSHIM_LOG_FILES", value_name = "N", default_value = "5",
          value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub log_files: u16,
    /// What becomes of output that the disk does not take: it is dropped and counted, or the container waits
    #[arg(
        long,
        env = "PODSHIM_LOG_WHEN_FULL",
        value_enum,
        default_value = "drop"
    )]
    pub log_when_full: LogWhenFull,
}

/// What becomes of output that the disk does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogWhenFull {
    Drop,
    Block,
}

/// Who makes the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum SandboxArg {
    /// Pause is a container of the OCI runtime
    Runtime,
    /// Pause is started by podshim, from the same kind of bundle
    Native,
}

impl From<SandboxArg> for SandboxKind {
    fn from(arg: SandboxArg) -> SandboxKind {
        match arg {
            SandboxArg::Runtime => SandboxKind::Runtime,
            SandboxArg::Native => SandboxKind::Native,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    pub files: Files,
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub output: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SandboxArgs {
    /// Who makes the namespaces of the pod and starts pause in them: the OCI runtime, or podshim itself, which saves a call of the runtime
    #[arg(
        id = "sandbox",
        long = "sandbox",
        env = "PODSHIM_SANDBOX",
        value_enum,
        default_value = "runtime",
        value_name = "WHO"
    )]
    pub who: SandboxArg,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RenderArgs {
    #[command(flatten)]
    pub files: Files,
    /// json, or a directory to write the bundles into
    #[arg(short, long, default_value = "json", value_name = "json|DIR")]
    pub output: String,
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// Print the values of secrets
    #[arg(long)]
    pub show_secrets: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = Script::LANGUAGE)]
pub(in crate::cli) struct SimulateArgs {
    #[command(flatten)]
    pub files: Files,
    /// What happens to the pod, or - for standard input [default: everything goes well]
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Say at the end why the pod is as it is, and what would come next
    #[arg(long)]
    pub why: bool,
    /// Virtual time after which it ends
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub until: String,
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub output: String,
}
