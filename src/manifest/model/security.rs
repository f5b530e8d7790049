//! Users, capabilities, profiles.

use serde::{Deserialize, Serialize};

/// `spec.securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSecurity {
    /// Uid of containers that say none.
    pub run_as_user: Option<u32>,
    /// Gid of containers that say none.
    pub run_as_group: Option<u32>,
    /// Refuse uid 0.
    pub run_as_non_root: Option<bool>,
    /// Supplementary groups.
    pub supplemental_groups: Vec<u32>,
    /// `supplementalGroupsPolicy: Strict`.
    pub supplemental_groups_strict: bool,
    /// Group of the pod's volumes.
    pub fs_group: Option<u32>,
    /// `fsGroupChangePolicy: OnRootMismatch`: a claim whose root belongs to the group is not walked through.
    #[serde(default)]
    pub fs_group_on_root_mismatch: bool,
    /// Seccomp profile of containers that say none.
    pub seccomp: Option<Profile>,
    /// AppArmor profile of containers that say none.
    pub apparmor: Option<Profile>,
    /// SELinux options of containers that say none.
    pub selinux: Option<SeLinux>,
    /// Names in `.` form and values.
    pub sysctls: Vec<(String, String)>,
}

/// `securityContext` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSecurity {
    /// All capabilities and devices, nothing masked.
    pub privileged: bool,
    /// Uid.
    pub run_as_user: Option<u32>,
    /// Gid.
    pub run_as_group: Option<u32>,
    /// Refuse uid 0.
    pub run_as_non_root: Option<bool>,
    /// The root file system is read-only.
    pub read_only_root: bool,
    /// `allowPrivilegeEscalation`.
    pub allow_privilege_escalation: Option<bool>,
    /// `capabilities.add`, as written.
    pub capabilities_add: Vec<String>,
    /// `capabilities.drop`, as written.
    pub capabilities_drop: Vec<String>,
    /// `procMount: Unmasked`.
    pub proc_unmasked: bool,
    /// Seccomp profile; `None` means the pod's.
    pub seccomp: Option<Profile>,
    /// AppArmor profile; `None` means the pod's.
    pub apparmor: Option<Profile>,
    /// SELinux options; `None` means the pod's.
    pub selinux: Option<SeLinux>,
}

/// A seccomp or AppArmor profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// podshim's own.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// By name; seccomp: a file below the profile directory.
    Localhost(String),
}

/// `seLinuxOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeLinux {
    /// User part.
    pub user: String,
    /// Role part.
    pub role: String,
    /// Type part.
    pub kind: String,
    /// Level part.
    pub level: String,
}
