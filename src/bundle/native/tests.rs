//! Bundles of pause, and what else somebody might put in them.

use super::*;
use crate::bundle::{HostFacts, PauseInput, SandboxKind, pause_spec, to_json};
use crate::manifest::Pod;
use serde_json::json;

fn pod() -> Pod {
    serde_json::from_str(include_str!("../../../tests/fixtures/bundle/pod.json"))
        .expect("fixture reads")
}

fn host() -> HostFacts {
    serde_json::from_str(include_str!("../../../tests/fixtures/bundle/host.json"))
        .expect("fixture reads")
}

fn config_of(pod: &Pod, host: &HostFacts) -> Value {
    let spec = pause_spec(&PauseInput {
        pod,
        instance: &crate::base::InstanceId("pause-0".to_owned()),
        attempt: 0,
        host,
        netns: None,
        seccomp_default: SandboxKind::Native.seccomp(),
        apparmor_default: None,
    });
    serde_json::from_slice(&to_json(&spec.expect("valid"))).expect("JSON")
}

fn read(config: &Value) -> Result<NativePlan, Refusal> {
    NativePlan::read(config.to_string().as_bytes())
}

/// The pause bundle with one value set, or taken away by `null`.
fn with(pointer: &str, value: Value) -> Result<NativePlan, Refusal> {
    let mut config = config_of(&pod(), &host());
    let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
    config
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("an object")
        .insert(member.to_owned(), value);
    read(&config)
}

#[test]
fn bundles_of_pause_are_understood_whatever_the_pod_is() {
    let mut privileged = pod();
    privileged.containers[0].security.privileged = true;
    let mut of_host = pod();
    (of_host.host_network, of_host.host_ipc, of_host.host_pid) = (true, true, true);
    let mut other = pod();
    other.security.run_as_user = Some(7);
    other.security.supplemental_groups = vec![1, 2];
    let ipc = ("kernel.shm_rmid_forced".to_owned(), "1".to_owned());
    other.security.sysctls = vec![ipc];
    for pod in [pod(), privileged, of_host, other] {
        for machine in ["x86_64", "aarch64"] {
            let host = HostFacts {
                machine: machine.into(),
                seccomp: true,
                ..host()
            };
            let plan = read(&config_of(&pod, &host)).expect("known");
            let filter = plan.process.filter.as_ref();
            assert_eq!(filter.map(|f| f.machine), Some(machine));
            assert_eq!(plan.has(NamespaceKind::Network), !pod.host_network);
            assert_eq!(plan.has(NamespaceKind::Pid), !pod.host_pid);
        }
    }
}

#[test]
fn a_plan_says_what_the_bundle_says() {
    let plan = with("/linux/namespaces/0/path", json!("/run/netns/x")).expect("known");
    let made = |kind| Namespace { kind, path: None };
    let joined = Namespace {
        kind: NamespaceKind::Network,
        path: Some("/run/netns/x".into()),
    };
    let others = [
        NamespaceKind::Uts,
        NamespaceKind::Ipc,
        NamespaceKind::Pid,
        NamespaceKind::Mount,
    ];
    let all = [joined].into_iter().chain(others.map(made));
    assert_eq!(plan.namespaces, all.collect::<Vec<_>>());
    assert_eq!(
        plan.sysctls[0],
        ("net/ipv4/ip_unprivileged_port_start".into(), "0".into())
    );
    assert_eq!((plan.cpu_shares, plan.no_devices), (Some(2), true));
    assert!(plan.root.readonly && plan.root.has_proc());
    let dev = &plan.root.mounts[1];
    assert_eq!(
        (dev.kind, dev.nosuid, dev.nodev, dev.strictatime),
        (MountKind::Tmpfs, true, false, true)
    );
    assert_eq!(dev.data, "mode=755,size=65536k");
    assert_eq!(plan.root.masked[0], PathBuf::from("proc/asound"));
    let sets = plan.process.capabilities;
    assert_eq!((sets.bounding, sets.permitted, sets.effective), (0, 0, 0));
    assert_eq!((sets.inheritable, sets.ambient), (0, 0));
    assert_eq!(plan.process.user.umask, 0o022);
    assert!(plan.process.no_new_privileges);
}

#[test]
fn capabilities_are_bits_by_their_numbers() {
    let names = json!(["CAP_CHOWN", "CAP_SETFCAP"]);
    let plan = with("/process/capabilities/bounding", names).expect("known");
    assert_eq!(plan.process.capabilities.bounding, 1 | 1 << 31);
}

#[test]
fn whatever_is_not_known_is_refused_by_name() {
    for (pointer, value) in [
        ("/hooks", json!({})),
        ("/domainname", json!("d")),
        ("/ociVersion", json!("2.0.0")),
        ("/ociVersion", json!(null)),
        ("/process/apparmorProfile", json!("p")),
        ("/process/selinuxLabel", json!("l")),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}]),
        ),
        ("/process/terminal", json!(true)),
        ("/process/args", json!(["pause"])),
        ("/process/args", json!([])),
        ("/process/args", json!(["/pause\0"])),
        ("/process/cwd", json!("here")),
        ("/process/user/username", json!("root")),
        ("/process/user/uid", json!(u32::MAX)),
        ("/process/capabilities/bounding", json!(["CAP_NO_SUCH"])),
        ("/process/capabilities/bounding", json!(["CHOWN"])),
        ("/process/noNewPrivileges", json!(false)),
        ("/linux/uidMappings", json!([])),
        ("/linux/timeOffsets", json!({})),
        ("/linux/rootfsPropagation", json!("rshared")),
        ("/linux/mountLabel", json!("l")),
        ("/linux/devices", json!([])),
        ("/linux/cgroupsPath", json!("a.slice:b:c")),
        ("/linux/cgroupsPath", json!(null)),
        (
            "/linux/namespaces",
            json!([{"type": "user"}, {"type": "mount"}]),
        ),
        (
            "/linux/namespaces",
            json!([{"type": "time"}, {"type": "mount"}]),
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "mount"}]),
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount", "path": "/proc/1/ns/mnt"}]),
        ),
        (
            "/linux/namespaces",
            json!([{"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "mount"}]),
        ),
        ("/linux/namespaces", json!([{"type": "network"}])),
        ("/linux/namespaces/0/path", json!("relative")),
        ("/linux/sysctl", json!({"kernel.panic": "1"})),
        ("/linux/sysctl", json!({"net.ipv4../../kernel/panic": "1"})),
        ("/linux/sysctl", json!({"net./ipv4": "1"})),
        ("/linux/sysctl", json!({"net.ipv4.tcp_rmem": 1})),
        ("/linux/resources/memory", json!({"limit": 1})),
        ("/linux/resources/cpu/quota", json!(1)),
        (
            "/linux/resources/devices",
            json!([{"allow": true, "access": "rwm"}]),
        ),
        (
            "/linux/resources/devices",
            json!([{"allow": false, "access": "rwm", "major": 1}]),
        ),
        ("/linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_LOG"])),
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_LOG")),
        (
            "/linux/seccomp/architectures",
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        ),
        ("/linux/seccomp/architectures", json!(["SCMP_ARCH_RISCV64"])),
        ("/linux/seccomp/syscalls/0/names", json!(["read"])),
        (
            "/linux/seccomp/syscalls/0/args",
            json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]),
        ),
        ("/linux/maskedPaths", json!(["proc"])),
        ("/linux/maskedPaths", json!(["/proc/../../x"])),
        ("/linux/readonlyPaths", json!(["/proc//x"])),
        ("/mounts/0/type", json!("bind")),
        ("/mounts/0/options", json!(["nosuid", "mode=755"])),
        ("/mounts/1/options", json!(["bind"])),
        ("/mounts/1/options", json!(["size=1,uid=7"])),
        ("/mounts/1/destination", json!("/")),
        ("/mounts/1/destination", json!("/elsewhere")),
        ("/mounts/0/uidMappings", json!([])),
        ("/root/path", json!(null)),
        ("/root/other", json!(1)),
    ] {
        let plan = with(pointer, value.clone());
        assert!(plan.is_err(), "{pointer} = {value} was taken");
    }
}

#[test]
fn errors_name_the_member() {
    let error = with("/linux/uidMappings", json!([])).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "the native sandbox does not know `linux.uidMappings`"
    );
    let error = with("/mounts/0/type", json!("bind")).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "the native sandbox cannot give `mounts[0].type` the value \"bind\""
    );
}

#[test]
fn a_host_namespace_takes_what_belongs_to_it_along() {
    let mut config = config_of(&pod(), &host());
    config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "uts"}]);
    let error = read(&config).expect_err("sysctls of the host's network");
    assert!(error.to_string().contains("sysctl"), "{error}");
    config["linux"]["sysctl"] = json!(null);
    read(&config).expect("nothing of the host is changed");
    config["linux"]["namespaces"] = json!([{"type": "mount"}]);
    let error = read(&config).expect_err("a name for the host");
    assert!(error.to_string().contains("hostname"), "{error}");
}

#[test]
fn nobody_s_sysctls_are_set_without_a_proc_of_the_sandbox() {
    let mounts = json!([{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]);
    assert!(with("/mounts", mounts).is_err());
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let plan = read(&config_of(
        &pod(),
        &HostFacts {
            machine: "x86_64".into(),
            seccomp: true,
            ..host()
        },
    ));
    let filter = plan.expect("known").process.filter.expect("a filter");
    // The calls of pause, and two.
    for (call, answer) in [(14, 0x7fff_0000), (59, 0x7fff_0000), (2, 0x0005_0001)] {
        assert_eq!(run(&filter.program, 0xc000_003e, call), answer, "{call}");
        assert_eq!(run(&filter.program, 0x4000_0003, call), 0x8000_0000);
    }
    assert_eq!(
        run(&filter.program, 0xc000_003e, 0x4000_0000 + 59),
        0x0005_0001
    );
}

/// What the kernel would do.
fn run(program: &[Instruction], machine: u32, call: u32) -> u32 {
    let (mut at, mut word) = (0, 0);
    loop {
        let (code, yes, no, constant) = program[at];
        at += 1;
        match code {
            0x20 => word = if constant == 0 { call } else { machine },
            0x15 => at += usize::from(if word == constant { yes } else { no }),
            _ => return constant,
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([{}\\[\\]\":,a-z/]|\\PC)*") {
        let _ = NativePlan::read(text.as_bytes());
    }
}
