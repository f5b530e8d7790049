//! Why a bundle cannot be built. The texts of the security checks are the kubelet's, which users search for.

/// What Kubernetes calls a failure to build a container. Source: kubelet, waiting reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The pod's own configuration forbids or lacks something.
    CreateContainerConfigError,
    /// Pod, image and machine do not fit together.
    CreateContainerError,
}

/// Why a bundle cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// `runAsNonRoot` is broken; the text says how.
    #[error("{rule} (pod: \"{pod}\", container: {container})")]
    NonRoot {
        /// Which rule.
        rule: NonRootRule,
        /// `<name>_<namespace>(<uid>)`.
        pod: String,
        /// Its name.
        container: String,
    },
    /// A ConfigMap or Secret that must be there is not.
    #[error("{kind} \"{name}\" not found")]
    ObjectMissing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key that must be there is not.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    KeyMissing {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace of the pod.
        namespace: String,
        /// Name of the object.
        name: String,
        /// Which key.
        key: String,
    },
    /// A value that no process environment can hold. The value itself is not told: it may be secret.
    #[error("cannot set environment variable `{0}`: its value has a NUL byte or is not UTF-8")]
    EnvValue(String),
    /// `recursiveReadOnly: Enabled` and a runtime that does not know it.
    #[error("cannot mount volume `{0}` recursively read-only: the runtime does not support it")]
    RecursiveReadOnly(String),
    /// Neither the container nor the image says what to run.
    #[error("no command specified")]
    NoCommand,
    /// The image's user is not in its passwd file.
    #[error("cannot find user `{0}` in the image's passwd file")]
    UnknownUser(String),
    /// A variable of a `subPathExpr` that is unset or empty.
    #[error("missing value for {0}")]
    SubPathVariable(String),
    /// A `subPathExpr` that came out absolute.
    #[error("error SubPath `{0}` must not be an absolute path")]
    SubPathAbsolute(String),
    /// A `subPathExpr` that came out with a `..`.
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    SubPathBackstep(String),
    /// A volume that the caller gave no path for.
    #[error("cannot mount volume `{0}`: it is not set up")]
    VolumeMissing(String),
    /// A security module that the host does not have, or a profile that is not there.
    #[error("cannot apply {module} profile `{profile}`: {why}")]
    Profile {
        /// `seccomp` or `AppArmor`.
        module: &'static str,
        /// Its name, or `RuntimeDefault`.
        profile: String,
        /// What is missing.
        why: &'static str,
    },
    /// A seccomp profile that does not read.
    #[error("cannot read seccomp profile `{profile}`")]
    SeccompSyntax {
        /// Its name, or `RuntimeDefault`.
        profile: String,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// The host name with its domain is longer than the kernel takes.
    #[error("cannot set host name `{0}`: it is longer than 64 characters")]
    HostnameTooLong(String),
}

/// The three ways to break `runAsNonRoot`. Source: kubelet, `verifyRunAsNonRoot`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NonRootRule {
    /// `runAsUser: 0`.
    #[error("container's runAsUser breaks non-root policy")]
    RunAsUser,
    /// The image's user is root.
    #[error("container has runAsNonRoot and image will run as root")]
    ImageRoot,
    /// The image's user is a name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({0}), cannot verify user is non-root"
    )]
    ImageName(String),
}

impl BundleError {
    /// Kubernetes' word for it.
    pub fn reason(&self) -> Reason {
        match self {
            BundleError::NonRoot { .. }
            | BundleError::ObjectMissing { .. }
            | BundleError::KeyMissing { .. }
            | BundleError::EnvValue(_)
            | BundleError::SubPathVariable(_)
            | BundleError::SubPathAbsolute(_)
            | BundleError::SubPathBackstep(_)
            | BundleError::RecursiveReadOnly(_) => Reason::CreateContainerConfigError,
            BundleError::NoCommand
            | BundleError::UnknownUser(_)
            | BundleError::VolumeMissing(_)
            | BundleError::Profile { .. }
            | BundleError::SeccompSyntax { .. }
            | BundleError::HostnameTooLong(_) => Reason::CreateContainerError,
        }
    }
}
