//! (pod, container, image config, namespaces, host facts) → `oci_spec::runtime::Spec`, and the small files of a pod. Plain
//! functions: the same input gives the same bytes. Rules: Kubernetes' node behaviour and the OCI runtime specification.

mod annotations;
mod capabilities;
mod cgroup;
mod confinement;
mod devices;
mod env;
mod error;
mod exec;
mod files;
mod hostname;
mod image;
mod input;
mod json;
mod mounts;
mod namespaces;
mod native;
mod neighbours;
mod oom;
mod pause;
mod render;
mod resolv;
mod resources;
mod seccomp;
mod skeleton;
mod spec;
mod sub_path;
mod sysctl;
#[cfg(test)]
mod tests;
mod user;

pub use annotations::{ATTEMPT, CONTAINER_NAME, KIND, POD_NAME, POD_NAMESPACE, POD_UID};
pub use cgroup::{PodCgroup, pod_cgroup};
pub use devices::has_privileged;
pub use env::env_files;
pub use error::{BundleError, NonRootRule, Reason};
pub use exec::{ExecInput, exec_process, program_paths};
pub use files::{hostname_file, hosts_file};
pub use hostname::kernel_hostname;
pub use image::{effective_stop_signal, image_volumes};
pub use input::*;
pub use json::to_json;
pub use mounts::{MOUNT_POINTS, MountPoints, WAIT_COMMAND};
pub use namespaces::joinable;
pub use native::{
    CAPABILITIES, CapabilitySets, Filter, Instruction, MountKind, Namespace, NamespaceKind,
    NativeMount, NativePlan, NativeUser, PAUSE_SECCOMP, Process as NativeProcess, Refusal,
    Root as NativeRoot, system_calls,
};
pub use neighbours::{Neighbour, fqdn};
pub use pause::{PAUSE_PROGRAM, SandboxKind, pause_spec};
pub use render::{
    FILE_PLACEHOLDER, IMAGE_VOLUME_PLACEHOLDER, RenderImage, RenderInput, Rendered,
    SECRET_PLACEHOLDER, TERMINATION_LOG_PLACEHOLDER, render,
};
pub use resolv::{ResolvConf, resolv_conf};
pub use resources::{CPU_PERIOD_US, MAX_SHARES, MIN_SHARES, cpu_quota, cpu_shares, cpu_weight};
pub use seccomp::DEFAULT_SECCOMP;
pub use spec::{container_spec, container_warnings};
pub use sub_path::sub_paths;
pub use sysctl::forbidden_sysctl;
