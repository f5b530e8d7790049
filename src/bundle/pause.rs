//! The pause container: the first of a pod, the owner of its namespaces. It needs a static program at `/pause` of its root.

use crate::bundle::PAUSE_SECCOMP;
use crate::bundle::skeleton::Skeleton;
use crate::bundle::spec::{bare_linux, bare_process};
use crate::bundle::{
    BundleError, PauseInput, annotations, capabilities, cgroup, confinement, hostname, mounts,
    namespaces, oom, resources, user,
};
use crate::manifest::{ContainerSecurity, Pod};
use oci_spec::runtime::{Capabilities, Linux, Process, Spec};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The capabilities of pause: to wait for children and signals it needs none, and what is done to its namespaces (the sysctls, the
/// host name) is done before it runs.
fn rights() -> Capabilities {
    Capabilities::new()
}

/// The profile of a pause that an OCI runtime makes, as text: what pause does, and what is done by runtimes, runc's threads
/// among them, between the moment when the filter holds and pause. Containers' default profile has five times as many names, and
/// rules on arguments: to read, load and keep it is a sixth of a `create`. For one architecture: pause is one native program.
const RUNTIME_SECCOMP: &str = include_str!("../../bundles/pause/seccomp-runtime.json");

/// Where the pause program is in its root file system.
pub const PAUSE_PROGRAM: &str = "/pause";

/// Who makes the namespaces of a pod and starts pause in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxKind {
    /// The OCI runtime, as for every container.
    #[default]
    Runtime,
    /// This program.
    Native,
}

impl SandboxKind {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            SandboxKind::Runtime => "runtime",
            SandboxKind::Native => "native",
        }
    }

    /// The text of the seccomp profile that pause has there.
    pub fn seccomp(self) -> &'static str {
        match self {
            SandboxKind::Runtime => RUNTIME_SECCOMP,
            SandboxKind::Native => PAUSE_SECCOMP,
        }
    }
}

/// The OCI configuration of pause. Errors: the host name is too long; the seccomp text does not read.
pub fn pause_spec(input: &PauseInput) -> Result<Spec, BundleError> {
    let skeleton = Skeleton::load();
    let hostname = hostname::kernel_hostname(input.pod, input.host)?;
    let mut spec = skeleton.spec(true);
    spec.set_hostname((!input.pod.host_network).then_some(hostname))
        .set_mounts(Some(mounts::of_pause(input.pod, &skeleton)))
        .set_process(Some(process(input, &skeleton)))
        .set_linux(Some(linux(input, &skeleton)?))
        .set_annotations(Some(annotations::annotations(
            input.pod,
            None,
            input.attempt,
        )));
    Ok(spec)
}

fn process(input: &PauseInput, skeleton: &Skeleton) -> Process {
    let apparmor = input.apparmor_default.filter(|_| input.host.apparmor);
    let mut process = bare_process();
    process
        .set_user(user::pause_user(&input.pod.security))
        .set_args(Some(vec![PAUSE_PROGRAM.to_owned()]))
        .set_env(Some(skeleton.process.env.clone()))
        .set_cwd(skeleton.process.cwd.clone().into())
        .set_capabilities(Some(capabilities::as_oci(&rights())))
        .set_no_new_privileges(Some(true))
        .set_apparmor_profile(apparmor.map(str::to_owned))
        .set_oom_score_adj(Some(oom::settable(oom::PAUSE, input.host)));
    process
}

fn linux(input: &PauseInput, skeleton: &Skeleton) -> Result<Linux, BundleError> {
    let (pod, host) = (input.pod, input.host);
    let (masked, readonly) = skeleton.paths(&ContainerSecurity::default(), host);
    let path = cgroup::cgroups_path(pod, &host.cgroups, input.instance);
    let seccomp = confinement::seccomp_of_pause(host, input.seccomp_default, &rights())?;
    let mut linux = bare_linux();
    linux
        .set_namespaces(Some(namespaces::of_pause(pod, input.netns)))
        .set_sysctl(Some(sysctls(pod)).filter(|s| !s.is_empty()))
        .set_resources(Some(resources::of_pause()))
        .set_cgroups_path(Some(path.into()))
        .set_seccomp(seccomp)
        .set_masked_paths(Some(masked))
        .set_readonly_paths(Some(readonly));
    Ok(linux)
}

/// The pod's, and two that let containers without privileges use low ports and ping, unless the pod says otherwise.
fn sysctls(pod: &Pod) -> HashMap<String, String> {
    let own = pod.security.sysctls.iter().cloned();
    let mut all = HashMap::new();
    if !pod.host_network {
        all.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
        all.insert(
            "net.ipv4.ping_group_range".to_owned(),
            "0 2147483647".to_owned(),
        );
    }
    all.extend(own);
    all
}
