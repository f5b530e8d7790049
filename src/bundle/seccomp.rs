//! A seccomp profile in the shape that containers and moby share, or a plain OCI one → `linux.seccomp` for one container:
//! rules are kept when they are meant for this architecture, kernel and bounding set.

use crate::bundle::{BundleError, HostFacts};
use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;
use std::path::PathBuf;

/// podshim's own profile, as text. Names of system calls are facts of Linux; which are allowed follows the profiles of moby and
/// of containers/common.
pub const DEFAULT_SECCOMP: &str = include_str!("../../bundles/default/seccomp.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchEntry>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The shape of 2015 has one `name` for each rule.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Machine name, the name profiles use for it, and libseccomp's.
const MACHINES: [(&str, &str, &str); 6] = [
    ("x86_64", "amd64", "SCMP_ARCH_X86_64"),
    ("aarch64", "arm64", "SCMP_ARCH_AARCH64"),
    ("riscv64", "riscv64", "SCMP_ARCH_RISCV64"),
    ("s390x", "s390x", "SCMP_ARCH_S390X"),
    ("ppc64le", "ppc64le", "SCMP_ARCH_PPC64LE"),
    ("loongarch64", "loong64", "SCMP_ARCH_LOONGARCH64"),
];

/// Reads `text` and keeps what holds for this host and the container's final bounding set. `profile` is its name, for errors.
pub(crate) fn expand(
    profile: &str,
    text: &str,
    host: &HostFacts,
    bounding: &Capabilities,
) -> Result<LinuxSeccomp, BundleError> {
    let parsed: Profile =
        serde_json::from_str(text).map_err(|source| BundleError::SeccompSyntax {
            profile: profile.to_owned(),
            source,
        })?;
    let machine = MACHINES.iter().find(|(name, ..)| *name == host.machine);
    let architectures = architectures(&parsed, machine.map(|(_, _, scmp)| *scmp));
    let place = Place {
        arch: machine.map_or(host.machine.as_str(), |(_, arch, _)| arch),
        kernel: host.kernel,
        bounding,
    };
    let rules = parsed.syscalls.into_iter().flatten();
    let syscalls = rules
        .filter(|rule| place.admits(rule))
        .filter_map(syscall)
        .collect();

    let mut seccomp = LinuxSeccomp::default();
    seccomp
        .set_default_action(parsed.default_action)
        .set_default_errno_ret(parsed.default_errno_ret)
        .set_architectures(Some(architectures).filter(|a| !a.is_empty()))
        .set_flags(parsed.flags.filter(|f| !f.is_empty()))
        .set_listener_path(parsed.listener_path)
        .set_listener_metadata(parsed.listener_metadata)
        .set_syscalls(Some(syscalls));
    Ok(seccomp)
}

/// The listed architectures, else the entry of the machine in the map with those below it. Names that this program does not
/// know are of other machines.
fn architectures(profile: &Profile, native: Option<&str>) -> Vec<Arch> {
    let listed = profile.architectures.iter().flatten();
    let mapped = profile.arch_map.iter().flatten();
    let mapped = mapped
        .filter(|e| Some(e.architecture.as_str()) == native)
        .flat_map(|e| std::iter::once(&e.architecture).chain(e.sub_architectures.iter().flatten()));
    listed
        .chain(mapped)
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn syscall(rule: Rule) -> Option<LinuxSyscall> {
    let names: Vec<String> = rule.names.into_iter().flatten().chain(rule.name).collect();
    let mut syscall = LinuxSyscall::default();
    syscall
        .set_names(names)
        .set_action(rule.action)
        .set_errno_ret(rule.errno_ret)
        .set_args(rule.args.filter(|a| !a.is_empty()));
    (!syscall.names().is_empty()).then_some(syscall)
}

/// Where a profile is applied.
struct Place<'a> {
    arch: &'a str,
    kernel: (u32, u32),
    bounding: &'a Capabilities,
}

impl Place<'_> {
    /// Whether everything the rule includes holds and nothing it excludes does.
    fn admits(&self, rule: &Rule) -> bool {
        let empty = Filter::default();
        let includes = rule.includes.as_ref().unwrap_or(&empty);
        let excludes = rule.excludes.as_ref().unwrap_or(&empty);
        listed(&includes.arches).is_none_or(|list| list.iter().any(|a| a == self.arch))
            && listed(&includes.caps).is_none_or(|list| list.iter().all(|c| self.has(c)))
            && self.is_at_least(&includes.min_kernel).unwrap_or(true)
            && !listed(&excludes.arches).is_some_and(|list| list.iter().any(|a| a == self.arch))
            && !listed(&excludes.caps).is_some_and(|list| list.iter().any(|c| self.has(c)))
            && !self.is_at_least(&excludes.min_kernel).unwrap_or(false)
    }

    fn has(&self, name: &str) -> bool {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        bare.parse().is_ok_and(|c| self.bounding.contains(&c))
    }

    /// `None` if no version is said. One that does not read is taken as newer than any kernel.
    fn is_at_least(&self, version: &Option<String>) -> Option<bool> {
        let version = version.as_deref().filter(|v| !v.is_empty())?;
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        let wanted = (major.parse().ok(), minor.parse().ok());
        Some(match wanted {
            (Some(major), Some(minor)) => self.kernel >= (major, minor),
            (None, _) | (_, None) => false,
        })
    }
}

/// A list that is there and says something.
fn listed(list: &Option<Vec<String>>) -> Option<&Vec<String>> {
    list.as_ref().filter(|l| !l.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Capability;

    fn host() -> HostFacts {
        HostFacts {
            machine: "x86_64".to_owned(),
            kernel: (6, 18),
            ..HostFacts::default()
        }
    }

    /// Whether the name is allowed whatever its arguments are.
    fn allows(seccomp: &LinuxSeccomp, name: &str) -> bool {
        seccomp.syscalls().iter().flatten().any(|s| {
            s.action() == LinuxSeccompAction::ScmpActAllow
                && s.args().is_none()
                && s.names().iter().any(|n| n == name)
        })
    }

    fn default_with(caps: &[Capability], host: &HostFacts) -> LinuxSeccomp {
        let set = caps.iter().copied().collect();
        expand("RuntimeDefault", DEFAULT_SECCOMP, host, &set).expect("the default profile reads")
    }

    #[test]
    fn a_capability_of_the_bounding_set_opens_its_calls() {
        for (name, capability) in [
            ("unshare", Capability::SysAdmin),
            ("clone3", Capability::SysAdmin),
            ("bpf", Capability::Bpf),
            ("perf_event_open", Capability::Perfmon),
            ("syslog", Capability::Syslog),
            ("open_by_handle_at", Capability::DacReadSearch),
            ("reboot", Capability::SysBoot),
            ("chroot", Capability::SysChroot),
            ("acct", Capability::SysPacct),
            ("vhangup", Capability::SysTtyConfig),
            ("finit_module", Capability::SysModule),
            ("kcmp", Capability::SysPtrace),
            ("iopl", Capability::SysRawio),
            ("settimeofday", Capability::SysTime),
            ("mbind", Capability::SysNice),
        ] {
            assert!(!allows(&default_with(&[], &host()), name), "{name}");
            assert!(
                allows(&default_with(&[capability], &host()), name),
                "{name}"
            );
        }
    }

    #[test]
    fn some_calls_are_never_allowed() {
        let every = [
            Capability::SysAdmin,
            Capability::SysModule,
            Capability::SysBoot,
            Capability::SysPtrace,
            Capability::SysRawio,
            Capability::SysNice,
            Capability::Bpf,
            Capability::SysTime,
        ];
        let seccomp = default_with(&every, &host());
        for name in [
            "_sysctl",
            "add_key",
            "afs_syscall",
            "create_module",
            "get_kernel_syms",
            "getpmsg",
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "kexec_file_load",
            "kexec_load",
            "keyctl",
            "migrate_pages",
            "move_pages",
            "nfsservctl",
            "pivot_root",
            "putpmsg",
            "query_module",
            "request_key",
            "security",
            "swapoff",
            "swapon",
            "sysfs",
            "tuxcall",
            "uselib",
            "userfaultfd",
            "ustat",
            "vserver",
        ] {
            assert!(!allows(&seccomp, name), "{name}");
        }
    }

    #[test]
    fn what_every_program_needs_is_allowed() {
        let seccomp = default_with(&[], &host());
        for name in [
            "read",
            "execve",
            "futex",
            "openat2",
            "rt_sigreturn",
            "epoll_wait",
            "ptrace",
            "arch_prctl",
            "modify_ldt",
        ] {
            assert!(allows(&seccomp, name), "{name}");
        }
    }

    #[test]
    fn architecture_and_kernel_choose_rules() {
        let arm = HostFacts {
            machine: "aarch64".to_owned(),
            kernel: (4, 7),
            ..HostFacts::default()
        };
        let seccomp = default_with(&[], &arm);
        assert_eq!(
            seccomp.architectures(),
            &Some(vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm])
        );
        assert!(!allows(&seccomp, "ptrace"), "needs 4.8");
        assert!(!allows(&seccomp, "modify_ldt"));
        assert!(allows(&seccomp, "set_tls"));
    }

    #[test]
    fn vsock_and_af_alg_sockets_are_not_allowed() {
        let seccomp = default_with(&[], &host());
        let rules = seccomp.syscalls().iter().flatten();
        let families: Vec<u64> = rules
            .filter(|s| s.names().iter().any(|n| n == "socket"))
            .flat_map(|s| {
                s.args()
                    .iter()
                    .flatten()
                    .map(LinuxSeccompArg::value)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(families.contains(&16) && families.contains(&17));
        assert!(!families.contains(&38) && !families.contains(&40));
        assert!(!allows(&seccomp, "socket"));
    }

    #[test]
    fn a_plain_oci_profile_reads_too() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"args":null}]}"#;
        let seccomp = expand("p", text, &host(), &Capabilities::new()).expect("reads");
        assert_eq!(seccomp.architectures(), &Some(vec![Arch::ScmpArchX86_64]));
        assert_eq!(seccomp.syscalls().iter().flatten().count(), 1);
        let error = expand("p", "{", &host(), &Capabilities::new()).expect_err("no JSON");
        assert_eq!(error.to_string(), "cannot read seccomp profile `p`");
    }
}
