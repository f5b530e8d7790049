//! What the bundle functions are told: everything that a pure function cannot find out by itself.

use crate::base::InstanceId;
use crate::manifest::{ConfigObject, Container, EnvFile, Pod};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The part of an image's configuration that a container inherits. Source: OCI image-spec, config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, `NAME=value`.
    pub env: Vec<String>,
    /// `User`, as written.
    pub user: String,
    /// `WorkingDir`.
    pub working_dir: String,
    /// `StopSignal`, as written.
    pub stop_signal: String,
    /// `Volumes`: paths.
    pub volumes: Vec<String>,
}

/// `etc/passwd` and `etc/group` of a root file system, as text; `None` if absent.
#[derive(Clone, Debug, Default)]
pub struct UserFiles {
    /// `etc/passwd`.
    pub passwd: Option<String>,
    /// `etc/group`.
    pub group: Option<String>,
}

/// What this machine is. Collected once by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Lower-case host name.
    pub hostname: String,
    /// Addresses of the host, the source of the default route first; `127.0.0.1` if there is none.
    pub ips: Vec<String>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Milli-CPUs online.
    pub cpu_milli: u64,
    /// Bytes of the file system that holds containers.
    pub storage_bytes: u64,
    /// Whether the controllers are on cgroup v2.
    pub cgroup_v2: bool,
    /// Whether memory+swap can be limited (v1: `memory.memsw.*`; v2: `memory.swap.max`).
    pub swap_limit: bool,
    /// Huge page sizes as the OCI spec writes them (`2MB`), with the hugetlb controller usable; empty if not.
    pub huge_page_sizes: Vec<String>,
    /// `oom_score_adj` below which this process may not go; -1000 if it may.
    pub oom_score_adj_floor: i64,
    /// Capabilities (without `CAP_`) in our own bounding set: what a privileged container gets.
    pub capabilities: Vec<String>,
    /// Whether the kernel has seccomp filters.
    pub seccomp: bool,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// Whether SELinux enforces labels.
    pub selinux: bool,
    /// Machine name as `uname -m` gives it.
    pub machine: String,
    /// Kernel release, major and minor.
    pub kernel: (u32, u32),
    /// Existing `/sys/devices/system/cpu/cpu*/thermal_throttle` directories.
    pub thermal_throttle: Vec<String>,
    /// Where cgroups are made.
    #[serde(default)]
    pub cgroups: CgroupLayout,
    /// Device nodes of the host, if a container is privileged: hundreds, of which the others need none.
    pub devices: Vec<HostDevice>,
    /// `/etc/hosts` of the host.
    pub etc_hosts: String,
    /// The host's resolver file.
    pub resolv_conf: String,
}

/// Where the cgroups of pods are, and who makes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLayout {
    /// Name of the directory or slice above all pods.
    pub root: String,
    /// Made by systemd as slices and scopes, not as plain directories.
    pub systemd: bool,
}

impl Default for CgroupLayout {
    fn default() -> CgroupLayout {
        CgroupLayout {
            root: "podshim".to_owned(),
            systemd: false,
        }
    }
}

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDevice {
    /// Its path.
    pub path: String,
    /// Block, not character.
    pub block: bool,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What the sandbox of the pod is, or a placeholder for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// `/proc/<pid>` of the pause process. `render` puts [`PAUSE_PLACEHOLDER`] here.
    pub pause_proc: String,
    /// Addresses of the pod; empty if it has only loopback.
    pub pod_ips: Vec<String>,
}

/// What `render` writes where the pid of pause will stand.
pub const PAUSE_PLACEHOLDER: &str = "/proc/@PAUSE_PID@";

/// Host paths that the mounts of a pod's containers start from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPaths {
    /// The pod's `hosts` file.
    pub hosts: PathBuf,
    /// The pod's `hostname` file.
    pub hostname: PathBuf,
    /// The pod's `resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The pod's `/dev/shm` (the host's with `hostIPC`).
    pub shm: PathBuf,
    /// The directory with the pause program.
    pub pause: PathBuf,
    /// Volume name → directory or file to bind.
    pub volumes: BTreeMap<String, PathBuf>,
}

/// What had to be looked up in the volumes when an instance is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeParts {
    /// Place in the container's `mounts` → what [`sub_paths`](crate::bundle::sub_paths) names, on the host.
    pub sub_paths: BTreeMap<usize, PathBuf>,
    /// What [`env_files`](crate::bundle::env_files) names → its text; absent files are absent here.
    pub env_files: BTreeMap<EnvFile, String>,
    /// Volume of the container's `devices` → its node on the host.
    pub devices: BTreeMap<String, HostDevice>,
}

/// One container instance to be described.
#[derive(Clone, Copy, Debug)]
pub struct ContainerInput<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// Itself.
    pub container: &'a Container,
    /// Its instance id, which is its OCI id.
    pub instance: &'a InstanceId,
    /// 0 for the first instance.
    pub attempt: u32,
    /// ConfigMaps and Secrets of the pod's namespace.
    pub objects: &'a [ConfigObject],
    /// What its image says.
    pub image: &'a ImageConfig,
    /// The users of its root file system.
    pub users: &'a UserFiles,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// `/proc/<pid>` of the container whose processes an ephemeral one sees.
    pub target_proc: Option<&'a str>,
    /// The machine.
    pub host: &'a HostFacts,
    /// The pod's files and volumes.
    pub paths: &'a PodPaths,
    /// What was looked up in the volumes.
    pub volume_parts: &'a VolumeParts,
    /// Host file to bind at `terminationMessagePath`.
    pub termination_log: &'a std::path::Path,
    /// Image VOLUME path → fresh host directory, for those without a pod mount.
    pub image_volumes: &'a BTreeMap<String, PathBuf>,
    /// Text of the `Localhost` seccomp profile that applies, if one does.
    pub seccomp_localhost: Option<&'a str>,
    /// Text of podshim's default seccomp profile (`bundles/default/seccomp.json`).
    pub seccomp_default: &'a str,
    /// Name of the AppArmor profile of podshim if loaded.
    pub apparmor_default: Option<&'a str>,
    /// Whether the runtime knows `rro` mounts.
    pub runtime_rro: bool,
}

/// The pause instance to be described.
#[derive(Clone, Copy, Debug)]
pub struct PauseInput<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// Its instance id, which is its OCI id.
    pub instance: &'a InstanceId,
    /// 0 for the pod's first sandbox.
    pub attempt: u32,
    /// The machine.
    pub host: &'a HostFacts,
    /// A prepared network namespace to join; `None` means a new one (or the host's with `hostNetwork`).
    pub netns: Option<&'a std::path::Path>,
    /// Text of its seccomp profile: [`SandboxKind::seccomp`](crate::bundle::SandboxKind::seccomp).
    pub seccomp_default: &'a str,
    /// Name of the AppArmor profile of podshim if loaded.
    pub apparmor_default: Option<&'a str>,
}
