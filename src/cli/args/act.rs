//! Verbs on running pods.

use crate::cli::port_forward::Forward;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExecArgs {
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

/// It ends with the container, and with its exit code. Ctrl-C only leaves; at a container's terminal, where that is the container's,
/// Ctrl-P Ctrl-Q does.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttachArgs {
    /// Pod, or pod/container
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which container
    #[arg(short, long)]
    pub container: Option<String>,
    /// Give it our standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Our terminal becomes the container's
    #[arg(short = 't', long, requires = "stdin")]
    pub tty: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CpArgs {
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
pub(in crate::cli) struct PortForwardArgs {
    /// Pod
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Which: a port of the pod by number or name, before it the local one, before that the address to listen on
    #[arg(value_name = "[[ADDRESS:]LOCAL:]REMOTE", required = true)]
    pub ports: Vec<Forward>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StopArgs {
    /// Pods
    #[arg(value_name = "POD", required = true)]
    pub pods: Vec<String>,
    /// Seconds between the stop signal and SIGKILL [default: the pod's own]
    #[arg(long, visible_alias = "time", value_name = "SECONDS")]
    pub grace_period: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KillArgs {
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
pub(in crate::cli) struct DeleteArgs {
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
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct DebugArgs {
    #[command(subcommand)]
    pub verb: Option<DebugVerb>,
    #[command(flatten)]
    pub container: DebugContainer,
}

/// A container for debugging.
#[derive(Debug, Args)]
pub(in crate::cli) struct DebugContainer {
    /// Pod
    #[arg(value_name = "POD", required = true)]
    pub pod: Option<String>,
    /// Image with the tools
    #[arg(long, required = true)]
    pub image: Option<String>,
    /// See the processes of this container
    #[arg(long, value_name = "CONTAINER")]
    pub target: Option<String>,
    /// Name of the new container [default: debugger- and five characters]
    #[arg(short, long)]
    pub container: Option<String>,
    /// Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY")]
    pub image_pull_policy: Option<String>,
    /// Pass standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// More environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// The command [default: sh]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DebugVerb {
    /// Hear a pod's journal again: the machine must come to the state that was found
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// Pod, or a copy of its state directory
    #[arg(value_name = "POD|DIR")]
    pub pod: String,
    /// Show the inputs too
    #[arg(long)]
    pub inputs: bool,
    /// table or json
    #[arg(short, long, default_value = "table")]
    pub output: String,
}
