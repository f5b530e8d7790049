//! Which seccomp, AppArmor and SELinux confinement a container gets. What is asked for and cannot be given is an error, never
//! dropped.

use crate::bundle::{BundleError, ContainerInput, HostFacts, seccomp};
use crate::manifest::{Profile, SeLinux};
use oci_spec::runtime::{Capabilities, LinuxSeccomp};

/// Source: Kubernetes, the annotation that came before the `appArmorProfile` field.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const RUNTIME_DEFAULT: &str = "RuntimeDefault";

/// `linux.seccomp`: the container's profile, else the pod's, else none; none for privileged containers.
pub(crate) fn seccomp_of(
    input: &ContainerInput,
    bounding: &Capabilities,
) -> Result<Option<LinuxSeccomp>, BundleError> {
    let security = &input.container.security;
    let wanted = security.seccomp.as_ref();
    let wanted = wanted.or(input.pod.security.seccomp.as_ref());
    let (name, text) = match wanted {
        _ if security.privileged => return Ok(None),
        None | Some(Profile::Unconfined) => return Ok(None),
        Some(Profile::RuntimeDefault) => (RUNTIME_DEFAULT, Some(input.seccomp_default)),
        Some(Profile::Localhost(name)) => (name.as_str(), input.seccomp_localhost),
    };
    let missing = |why| BundleError::Profile {
        module: "seccomp",
        profile: name.to_owned(),
        why,
    };
    if !input.host.seccomp {
        return Err(missing("the kernel has no seccomp filters"));
    }
    let text = text.ok_or_else(|| missing("there is no such file"))?;
    seccomp::expand(name, text, input.host, bounding).map(Some)
}

/// `linux.seccomp` of pause, where the kernel has filters.
pub(crate) fn seccomp_of_pause(
    host: &HostFacts,
    text: &str,
    bounding: &Capabilities,
) -> Result<Option<LinuxSeccomp>, BundleError> {
    let expand = || seccomp::expand(RUNTIME_DEFAULT, text, host, bounding);
    host.seccomp.then(expand).transpose()
}

/// `process.apparmorProfile`: the container's field, the old annotation, the pod's field, else podshim's profile if the host
/// has it. Privileged containers get a `Localhost` profile only.
pub(crate) fn apparmor_of(input: &ContainerInput) -> Result<Option<String>, BundleError> {
    let security = &input.container.security;
    let annotation = annotated(input);
    let wanted = security.apparmor.as_ref().or(annotation.as_ref());
    let wanted = wanted.or(input.pod.security.apparmor.as_ref());
    let name = match wanted {
        Some(Profile::Unconfined) => return Ok(None),
        Some(Profile::Localhost(name)) => name.as_str(),
        Some(Profile::RuntimeDefault) | None if security.privileged => return Ok(None),
        Some(Profile::RuntimeDefault) => RUNTIME_DEFAULT,
        None => {
            let default = input.apparmor_default.filter(|_| input.host.apparmor);
            return Ok(default.map(str::to_owned));
        }
    };
    let missing = |why| BundleError::Profile {
        module: "AppArmor",
        profile: name.to_owned(),
        why,
    };
    if !input.host.apparmor {
        return Err(missing("the host does not have AppArmor"));
    }
    if name != RUNTIME_DEFAULT {
        return Ok(Some(name.to_owned()));
    }
    match input.apparmor_default {
        Some(profile) => Ok(Some(profile.to_owned())),
        None => Err(missing("it is not loaded")),
    }
}

/// `process.selinuxLabel` and `linux.mountLabel`, where the host enforces labels and the pod gives options. A container's
/// options replace the pod's as a whole.
pub(crate) fn selinux_of(input: &ContainerInput) -> Option<(String, String)> {
    let security = &input.container.security;
    let options = security.selinux.as_ref();
    let options = options.or(input.pod.security.selinux.as_ref())?;
    (input.host.selinux && !security.privileged).then(|| selinux_labels(options))
}

fn selinux_labels(options: &SeLinux) -> (String, String) {
    let part = |text: &str, default: &str| {
        let text = if text.is_empty() { default } else { text };
        text.to_owned()
    };
    let level = part(&options.level, "s0");
    let process = [
        part(&options.user, "system_u"),
        part(&options.role, "system_r"),
        part(&options.kind, "container_t"),
        level.clone(),
    ];
    (
        process.join(":"),
        format!("system_u:object_r:container_file_t:{level}"),
    )
}

fn annotated(input: &ContainerInput) -> Option<Profile> {
    let key = format!("{APPARMOR_ANNOTATION}{}", input.container.name);
    match input.pod.annotations.get(&key)?.as_str() {
        "runtime/default" => Some(Profile::RuntimeDefault),
        "unconfined" => Some(Profile::Unconfined),
        text => {
            let name = text.strip_prefix("localhost/")?;
            Some(Profile::Localhost(name.to_owned()))
        }
    }
}
