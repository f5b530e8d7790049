//! A container of a pod as an OCI configuration. Every field is set here: the defaults of `oci-spec` are another program's.

use crate::bundle::env::{Environment, pod_environment, process_environment, unusable_names};
use crate::bundle::skeleton::Skeleton;
use crate::bundle::{
    BundleError, ContainerInput, annotations, capabilities, cgroup, confinement, devices, hostname,
    image, mounts, namespaces, oom, resources, user,
};
use crate::manifest::expand;
use oci_spec::runtime::{Capabilities, Linux, Process, Spec};

/// The OCI configuration of one container instance. Errors: [`BundleError`], whose reason says which of Kubernetes' words it is.
pub fn container_spec(input: &ContainerInput) -> Result<Spec, BundleError> {
    let skeleton = Skeleton::load();
    let security = &input.container.security;
    let bounding = capabilities::bounding_set(
        security,
        &skeleton.process.capabilities.bounding,
        input.host,
    );
    let process = process(input, &skeleton, &bounding)?;
    let linux = linux(input, skeleton.paths(security, input.host), &bounding)?;
    let mut spec = skeleton.spec(security.read_only_root);
    spec.set_mounts(Some(mounts::of_container(input, &skeleton)?))
        .set_process(Some(process))
        .set_linux(Some(linux))
        .set_annotations(Some(annotations::annotations(
            input.pod,
            Some(&input.container.name),
            input.attempt,
        )));
    Ok(spec)
}

/// What [`container_spec`] leaves out or changes although it is asked for, one line for people each.
pub fn container_warnings(input: &ContainerInput) -> Vec<String> {
    let name = &input.container.name;
    let mut list: Vec<String> = Vec::new();
    for capability in capabilities::unknown(&input.container.security, input.host) {
        list.push(format!(
            "container `{name}`: capability `{capability}` is unknown or not available"
        ));
    }
    for variable in unusable_names(input) {
        list.push(format!(
            "container `{name}`: `{variable}` is no name of an environment variable"
        ));
    }
    if resources::has_uncounted_huge_pages(input.container, input.host) {
        list.push(format!(
            "container `{name}`: huge pages are not limited: no hugetlb controller"
        ));
    }
    let score = oom::of_container(input.pod, input.container, input.host);
    if score < input.host.oom_score_adj_floor {
        list.push(format!(
            "container `{name}`: oom_score_adj {score} is below {}, the lowest that can be set",
            input.host.oom_score_adj_floor
        ));
    }
    list
}

fn process(
    input: &ContainerInput,
    skeleton: &Skeleton,
    bounding: &Capabilities,
) -> Result<Process, BundleError> {
    let container = input.container;
    let user = user::user(input)?;
    let environment = pod_environment(input)?;
    let args = image::arguments(
        expanded(&container.command, &environment),
        expanded(&container.args, &environment),
        input.image,
    )?;
    let hostname = hostname::kernel_hostname(input.pod, input.host)?;
    let env = process_environment(input, &skeleton.process.env, &hostname, environment)?;
    let cwd = image::working_dir(container, input.image, &skeleton.process.cwd);
    let score = oom::of_container(input.pod, container, input.host);
    let mut process = bare_process();
    process
        .set_terminal(Some(container.tty))
        .set_user(user)
        .set_args(Some(args))
        .set_env(Some(env))
        .set_cwd(cwd.into())
        .set_capabilities(Some(capabilities::as_oci(bounding)))
        .set_no_new_privileges(Some(
            container.security.allow_privilege_escalation == Some(false),
        ))
        .set_apparmor_profile(confinement::apparmor_of(input)?)
        .set_oom_score_adj(Some(oom::settable(score, input.host)))
        .set_selinux_label(confinement::selinux_of(input).map(|(process, _)| process));
    Ok(process)
}

fn expanded(words: &[String], environment: &Environment) -> Vec<String> {
    let words = words.iter();
    words
        .map(|word| expand(word, |name| environment.value(name)))
        .collect()
}

fn linux(
    input: &ContainerInput,
    (masked, readonly): (Vec<String>, Vec<String>),
    bounding: &Capabilities,
) -> Result<Linux, BundleError> {
    let (pod, container, host) = (input.pod, input.container, input.host);
    let security = &container.security;
    let path = cgroup::cgroups_path(pod, &host.cgroups, input.instance);
    let own = devices::of_volumes(input)?;
    let mut nodes = match security.privileged {
        true => devices::of_host(host),
        false => Vec::new(),
    };
    nodes.retain(|node| own.iter().all(|own| own.path() != node.path()));
    nodes.extend(own);
    let has_nodes = security.privileged || !nodes.is_empty();
    let mut linux = bare_linux();
    linux
        .set_namespaces(Some(namespaces::of_container(
            pod,
            security,
            host,
            &input.sandbox.pause_proc,
            input.target_proc,
        )))
        .set_resources(Some(resources::of_container(input)?))
        .set_cgroups_path(Some(path.into()))
        .set_devices(has_nodes.then_some(nodes))
        .set_seccomp(confinement::seccomp_of(input, bounding)?)
        .set_rootfs_propagation(mounts::rootfs_propagation(&container.mounts))
        .set_masked_paths(Some(masked))
        .set_readonly_paths(Some(readonly))
        .set_mount_label(confinement::selinux_of(input).map(|(_, mount)| mount));
    Ok(linux)
}

/// A process without anything of `oci-spec`'s defaults that we do not set ourselves.
pub(crate) fn bare_process() -> Process {
    let mut process = Process::default();
    process.set_rlimits(None).set_env(None).set_args(None);
    process
}

/// The same for the Linux part.
pub(crate) fn bare_linux() -> Linux {
    let mut linux = Linux::default();
    linux
        .set_resources(None)
        .set_namespaces(None)
        .set_masked_paths(None)
        .set_readonly_paths(None);
    linux
}
