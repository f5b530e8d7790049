//! Verbs that show pods.

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct GetArgs {
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
pub(in crate::cli) struct LogsArgs {
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
pub(in crate::cli) struct EventsArgs {
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
pub(in crate::cli) struct PodArgs {
    /// Pods
    #[arg(value_name = "POD", required = true)]
    pub pods: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
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
pub(in crate::cli) struct WaitArgs {
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
