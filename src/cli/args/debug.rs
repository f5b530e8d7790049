//! The grammar of `debug`.

use clap::{Args, Subcommand};

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
