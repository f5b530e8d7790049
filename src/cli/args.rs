//! The grammar of the command line.

mod debug;
mod store;

pub(super) use debug::{DebugArgs, DebugContainer, DebugVerb, ReplayArgs};
pub(super) use store::{ImageArgs, ImageVerb, VolumeArgs, VolumeVerb};

use crate::cli::network::NetworkArg;
use crate::cli::port_forward::Forward;
use crate::pod::Script;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tracing_subscriber::filter::LevelFilter;

/// Run Kubernetes pods with nothing but an OCI runtime.
#[derive(Debug, Parser)]
#[command(name = "podshim", version, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Clone, Debug, Args)]
pub(super) struct Global {
    /// Directory of images, layers and volumes
    #[arg(
        long,
        global = true,
        env = "PODSHIM_ROOT",
        default_value = "/var/lib/podshim",
        value_name = "DIR"
    )]
    pub root: PathBuf,
    /// Directory of running pods, gone at reboot
    #[arg(
        long,
        global = true,
        env = "PODSHIM_STATE",
        default_value = "/run/podshim",
        value_name = "DIR"
    )]
    pub state: PathBuf,
    /// Directory of container logs
    #[arg(
        long,
        global = true,
        env = "PODSHIM_LOGS",
        default_value = "/var/log/pods",
        value_name = "DIR"
    )]
    pub logs: PathBuf,
    /// OCI runtime: a name or a path [default: the first of runc, crun, youki]
    #[arg(long, global = true, env = "PODSHIM_RUNTIME", value_name = "NAME|PATH")]
    pub runtime: Option<String>,
    /// Namespace of pods named without one
    #[arg(
        short,
        long,
        global = true,
        env = "PODSHIM_NAMESPACE",
        default_value = "default"
    )]
    pub namespace: String,
    /// What to tell on standard error: off, error, warn, info, debug, trace
    #[arg(
        long,
        global = true,
        env = "PODSHIM_LOG_LEVEL",
        default_value = "warn",
        value_name = "LEVEL"
    )]
    pub log_level: LevelFilter,
    /// How errors are written
    #[arg(
        long,
        global = true,
        env = "PODSHIM_LOG_FORMAT",
        value_enum,
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// How errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the pods of a manifest
    #[command(visible_alias = "play")]
    Run(RunArgs),
    /// Show pods
    #[command(visible_aliases = ["ps", "inspect"])]
    Get(GetArgs),
    /// Print the output of a container
    Logs(LogsArgs),
    /// Run a command in a container
    Exec(ExecArgs),
    /// Copy files to or from a container
    Cp(CpArgs),
    /// Stop a pod; its status and logs stay
    Stop(StopArgs),
    /// Send a signal to containers
    Kill(KillArgs),
    /// Stop a pod and remove everything of it
    #[command(visible_aliases = ["rm", "down"])]
    Delete(DeleteArgs),
    /// Wait until something is so
    Wait(WaitArgs),
    /// Show what happened
    Events(EventsArgs),
    /// Say what podshim makes of a manifest, field by field
    Check(CheckArgs),
    /// Print the OCI bundles of a manifest; changes nothing, needs no root
    Render(RenderArgs),
    /// Show everything about pods, for people
    Describe(PodArgs),
    /// Lead local ports to ports of a pod
    PortForward(PortForwardArgs),
    /// Say why a pod is as it is, and what comes next
    Why(WhyArgs),
    /// Show the life of a pod on a virtual clock; nothing is run
    Simulate(SimulateArgs),
    /// A container with tools in a running pod; or a replay of its journal
    Debug(DebugArgs),
    /// Local images
    Image(ImageArgs),
    /// Named volumes
    Volume(VolumeArgs),
    /// Check this machine and look for leftovers
    Doctor(DoctorArgs),
    /// Show the configuration and this machine
    Info(OutputArgs),
    /// Show the version
    Version(OutputArgs),
}

/// Manifests.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Manifest: a file, a directory, or - for standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub file: Vec<PathBuf>,
    /// What to do about unknown fields
    #[arg(long, value_enum, default_value = "strict")]
    pub validate: Validate,
}

/// What to do about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Validate {
    Strict,
    Warn,
    Ignore,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub files: Files,
    /// Return when the containers have started
    #[arg(short, long)]
    pub detach: bool,
    /// Name of the pod, instead of the manifest's
    #[arg(long)]
    pub name: Option<String>,
    /// Delete a pod of the same name first
    #[arg(long)]
    pub replace: bool,
    /// Delete the pod when it ends; in the foreground only
    #[arg(long, conflicts_with = "detach")]
    pub rm: bool,
    /// Container whose exit code is the command's
    #[arg(long, value_name = "CONTAINER", conflicts_with = "detach")]
    pub exit_code_from: Option<String>,
    /// Network of a pod without hostNetwork: none, host, bridge, bridge:RANGE,RANGE, cni, cni:NAME or ns:PATH; without it cni if one
    /// is configured, otherwise bridge
    #[arg(long, env = "PODSHIM_NETWORK", value_name = "NETWORK")]
    pub network: Option<NetworkArg>,
    /// First crash back-off in seconds; the rest doubles up to the longest
    #[arg(long, env = "PODSHIM_BACKOFF_INITIAL", value_name = "SECONDS")]
    pub backoff_initial: Option<f64>,
    /// Longest crash back-off in seconds, at most 300
    #[arg(long, env = "PODSHIM_BACKOFF_MAX", value_name = "SECONDS")]
    pub backoff_max: Option<f64>,
    /// For experts: seconds that each call of the OCI runtime gets, at most 600 [default: 60, and 10 to delete]
    #[arg(long, env = "PODSHIM_RUNTIME_DEADLINE", value_name = "SECONDS")]
    pub runtime_deadline: Option<f64>,
    /// Allow these sysctls besides the safe ones: names or prefixes with *
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_sysctl: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// Pods: [namespace/]name, or a UID or its beginning
    #[arg(value_name = "POD")]
    pub pods: Vec<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only pods with these labels: key=value, key!=value, key, !key
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Keep showing changes
    #[arg(short, long)]
    pub watch: bool,
    /// table, wide, json, yaml, name, jsonl or jsonpath=…
    #[arg(short, long, default_value = "table")]
    pub output: String,
    /// No heading line
    #[arg(long)]
    pub no_headers: bool,
    /// UIDs only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Pod, or pod/container
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which container
    #[arg(short, long)]
    pub container: Option<String>,
    /// All containers of the pod
    #[arg(long, conflicts_with_all = ["container", "previous"])]
    pub all_containers: bool,
    /// Keep printing until the container ends
    #[arg(short, long)]
    pub follow: bool,
    /// Of the previous instance
    #[arg(short, long)]
    pub previous: bool,
    /// Only the last lines; -1 means all
    #[arg(
        long,
        allow_hyphen_values = true,
        default_value = "-1",
        value_name = "N"
    )]
    pub tail: i64,
    /// Only lines younger than this, like 5s, 2m, 3h
    #[arg(long, value_name = "DURATION", conflicts_with = "since_time")]
    pub since: Option<String>,
    /// Only lines after this RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub since_time: Option<String>,
    /// Put the time before each line
    #[arg(long)]
    pub timestamps: bool,
    /// Put the container's name before each line
    #[arg(long)]
    pub prefix: bool,
    /// Stop after this many bytes
    #[arg(long, value_name = "N")]
    pub limit_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// Pod, or pod/container
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which container
    #[arg(short, long)]
    pub container: Option<String>,
    /// Pass standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// More environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// As this uid[:gid]
    #[arg(short, long)]
    pub user: Option<String>,
    /// In this directory
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Kill it after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct CpArgs {
    /// A path, [namespace/]pod[/container]:path, or - for a tar archive on standard input
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// A path, [namespace/]pod[/container]:path, or - for a tar archive on standard output
    #[arg(value_name = "DESTINATION")]
    pub destination: String,
    /// Which container
    #[arg(short, long)]
    pub container: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PortForwardArgs {
    /// Pod
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which: a port of the pod by number or name, before it the local one, before that the address to listen on
    #[arg(value_name = "[[ADDRESS:]LOCAL:]REMOTE", required = true)]
    pub ports: Vec<Forward>,
}

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Pods
    #[arg(value_name = "POD", required = true)]
    pub pods: Vec<String>,
    /// Seconds between the stop signal and SIGKILL [default: the pod's own]
    #[arg(long, visible_alias = "time", value_name = "SECONDS")]
    pub grace_period: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// Pod, or pod/container
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which container [default: all]
    #[arg(short, long)]
    pub container: Option<String>,
    /// Signal by name or number
    #[arg(short, long, default_value = "TERM")]
    pub signal: String,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Pods
    #[arg(value_name = "POD", required_unless_present_any = ["file", "selector", "all"])]
    pub pods: Vec<String>,
    /// The pods of a manifest
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// All pods of the namespace
    #[arg(long)]
    pub all: bool,
    /// Seconds between the stop signal and SIGKILL [default: the pod's own]
    #[arg(long, visible_alias = "time", value_name = "SECONDS")]
    pub grace_period: Option<u64>,
    /// SIGKILL at once
    #[arg(long)]
    pub force: bool,
    /// Return when the deletion was accepted
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, value_name = "BOOL")]
    pub wait: bool,
    /// A pod that does not exist is fine
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Delete its named volumes too, unless another pod uses them
    #[arg(long)]
    pub volumes: bool,
}

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// Pods
    #[arg(value_name = "POD", required = true)]
    pub pods: Vec<String>,
    /// condition=Ready[=false], phase=Succeeded, delete or exit
    #[arg(long = "for", default_value = "exit", value_name = "WHAT")]
    pub what: String,
    /// Give up after this long, like 30s or 5m; 0 means never
    #[arg(long, default_value = "0", value_name = "DURATION")]
    pub timeout: String,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Pod [default: all]
    #[arg(value_name = "POD")]
    pub pod: Option<String>,
    /// Keep printing
    #[arg(short, long)]
    pub follow: bool,
    /// Only events younger than this, like 5m
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// table or jsonl
    #[arg(short, long, default_value = "table")]
    pub output: String,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub files: Files,
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub output: String,
}

#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    #[command(flatten)]
    pub files: Files,
    /// json, or a directory to write the bundles into
    #[arg(short, long, default_value = "json", value_name = "json|DIR")]
    pub output: String,
    /// Print the values of secrets
    #[arg(long)]
    pub show_secrets: bool,
}

#[derive(Debug, Args)]
pub(super) struct PodArgs {
    /// Pods
    #[arg(value_name = "POD", required = true)]
    pub pods: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Pod, or pod/container
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Only what was recorded in this time, like 5m
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// text or json
    #[arg(short, long, default_value = "text")]
    pub output: String,
}

#[derive(Debug, Args)]
#[command(after_long_help = Script::LANGUAGE)]
pub(super) struct SimulateArgs {
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

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Remove the leftovers that were found
    #[arg(long)]
    pub fix: bool,
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub output: String,
}
