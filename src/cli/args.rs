//! The grammar of the command line.

mod act;
mod look;
mod machine;
mod manifest;
mod store;

pub(super) use act::{
    AttachArgs, CpArgs, DebugArgs, DebugContainer, DebugVerb, DeleteArgs, ExecArgs, KillArgs,
    PortForwardArgs, ReplayArgs, StopArgs,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub(super) use look::{EventsArgs, GetArgs, LogsArgs, PodArgs, WaitArgs, WhyArgs};
pub(super) use machine::{
    DoctorArgs, GenerateArgs, GenerateVerb, OutputArgs, ShutdownArgs, UpgradeArgs,
};
pub(super) use manifest::{
    CheckArgs, Files, LogArgs, LogWhenFull, RenderArgs, RunArgs, SimulateArgs, Validate,
};
use std::path::PathBuf;
pub(super) use store::{ImageArgs, ImageVerb, VolumeArgs, VolumeVerb};
use tracing::level_filters::LevelFilter;

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
    /// Show what a container writes from now on, and give it what it reads
    Attach(AttachArgs),
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
    /// After a boot: run the pods again that ran detached, clear away the rest
    Up,
    /// Stop all pods, before the machine goes down
    Shutdown(ShutdownArgs),
    /// Let running pods go on under this version of podshim
    UpgradeSupervisors(UpgradeArgs),
    /// Print text for other programs
    Generate(GenerateArgs),
    /// Show the configuration and this machine
    Info(OutputArgs),
    /// Show the version
    Version(OutputArgs),
}
