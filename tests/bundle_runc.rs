//! Bundles in the hands of a real runc: what the configuration asks for is what the process sees. Needs root, runc and a static
//! busybox; their absence is a failure, not a reason to pass.

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use podshim::base::Quantity;
use podshim::bundle::{
    CgroupLayout, HostFacts, PAUSE_PLACEHOLDER, PodPaths, RenderImage, RenderInput, SandboxKind,
    TERMINATION_LOG_PLACEHOLDER, render,
};
use podshim::manifest::{
    Container, ContainerSecurity, Medium, Pod, Profile, Propagation, RecursiveReadOnly, Volume,
    VolumeMount, VolumeSource,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A pod with a running pause. Everything it leaves on the machine goes when it is dropped.
struct Stage {
    dir: tempfile::TempDir,
    runc: PathBuf,
    host: HostFacts,
    pod: Pod,
    image: RenderImage,
    pause_pid: u32,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.pause_pid != 0 {
            let _ = kill(self.pause(), Signal::SIGKILL);
            let _ = waitpid(self.pause(), None);
        }
        let _ = self.runc(&["delete", "--force", "c-0"]);
        let _ = self.runc(&["delete", "--force", "pause-0"]);
        for controller in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            remove_cgroups(&controller.path().join(&self.host.cgroups.root));
        }
        remove_cgroups(&Path::new("/sys/fs/cgroup").join(&self.host.cgroups.root));
    }
}

/// Removes a cgroup with all below it.
fn remove_cgroups(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}

/// A file that is the pod's, with nothing of note in it.
const POD_FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];
const PASSWD: &str = "root:x:0:0::/:/bin/sh\nu:x:1000:100::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nusers:x:100:\ng:x:7000:u\n";

impl Stage {
    /// Starts pause of the fixture pod after `change`.
    fn start(change: impl FnOnce(&mut Pod)) -> Stage {
        let mut pod: Pod =
            serde_json::from_str(include_str!("fixtures/bundle/pod.json")).expect("fixture reads");
        change(&mut pod);
        // Pause becomes our child when runc ends: it is reaped here, not by whoever is process 1.
        set_child_subreaper(true).expect("prctl");
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        for name in POD_FILES {
            fs::write(dir.path().join(name), "x\n").expect("pod file");
        }
        fs::write(dir.path().join("termination-log"), "").expect("termination log");
        fs::create_dir(dir.path().join("shm")).expect("shm");
        let unique = dir.path().file_name().expect("a name").to_string_lossy();
        let host = host(&unique);
        let mut image = RenderImage::default();
        image.config.cmd = vec!["/bin/true".to_owned()];
        let mut stage = Stage {
            runc: which::which("runc").expect("runc is installed"),
            host,
            pod,
            image,
            pause_pid: 0,
            dir,
        };
        stage.write_bundle("pause");
        let pid_file = stage.path("pause.pid");
        let bundle = stage.path("pause");
        stage.must(&[
            "create",
            "--bundle",
            &bundle,
            "--pid-file",
            &pid_file,
            "pause-0",
        ]);
        stage.must(&["start", "pause-0"]);
        let pid = fs::read_to_string(&pid_file).expect("runc wrote the pid");
        stage.pause_pid = pid.trim().parse().expect("a pid");
        stage
    }

    fn pause(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pause_pid).expect("a pid"))
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// runc with its state below our directory. Its output goes to files: a container that is created keeps it open.
    fn runc(&self, args: &[&str]) -> Output {
        let file = |name| fs::File::create(self.dir.path().join(name)).expect("output file");
        let status = Command::new(&self.runc)
            .args(["--root", &self.path("state")])
            .args(args)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .status()
            .expect("runc starts");
        let read = |name| fs::read(self.dir.path().join(name)).expect("output file");
        Output {
            status,
            stdout: read("stdout"),
            stderr: read("stderr"),
        }
    }

    fn must(&self, args: &[&str]) -> String {
        let output = self.runc(args);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "runc {args:?}: {}\n{stdout}{stderr}",
            output.status
        );
        format!("{stdout}{stderr}")
    }

    /// Renders the pod and writes the bundle of this name with a root file system of its own.
    fn write_bundle(&self, name: &str) {
        let images = BTreeMap::from([("c".to_owned(), self.image.clone())]);
        let at = |name| self.dir.path().join(name);
        let volumes = self
            .pod
            .volumes
            .iter()
            .map(|v| (v.name.clone(), at("volume")));
        let bundles = render(&RenderInput {
            pod: &self.pod,
            objects: &[],
            images: &images,
            host: &self.host,
            paths: &PodPaths {
                hosts: at("hosts"),
                hostname: at("hostname"),
                resolv_conf: at("resolv.conf"),
                pause: at("pause"),
                shm: at("shm"),
                volumes: volumes.collect(),
            },
            seccomp_localhost: &BTreeMap::new(),
            apparmor_default: None,
            sandbox: SandboxKind::Runtime,
            runtime_rro: false,
            show_secrets: true,
        })
        .expect("the pod is valid");
        let bundle = bundles
            .iter()
            .find(|b| b.name == name)
            .expect("it is there");
        let text = String::from_utf8(bundle.config_json.clone())
            .expect("JSON is UTF-8")
            .replace(PAUSE_PLACEHOLDER, &format!("/proc/{}", self.pause_pid))
            .replace(TERMINATION_LOG_PLACEHOLDER, &self.path("termination-log"));
        let dir = at(name);
        let _ = fs::remove_dir_all(&dir);
        root_file_system(&dir.join("rootfs"));
        fs::write(dir.join("config.json"), text).expect("config.json");
    }

    /// Runs a shell script as the container `c` and gives what it printed.
    fn run(&mut self, script: &str, change: impl FnOnce(&mut Container)) -> String {
        let container = &mut self.pod.containers[0];
        container.security = ContainerSecurity::default();
        // A dollar of the script is the shell's, not a reference to the pod's environment.
        let script = script.replace('$', "$$");
        container.command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        change(container);
        self.write_bundle("c");
        self.must(&["run", "--bundle", &self.path("c"), "c-0"])
    }
}

/// A static busybox under its usual names, a pause that is a shell script, and a few users.
fn root_file_system(root: &Path) {
    let busybox = which::which("busybox").expect("busybox-static is installed");
    for dir in ["bin", "etc", "w", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(dir)).expect("mkdir");
    }
    fs::copy(busybox, root.join("bin/busybox")).expect("copy");
    for name in [
        "sh", "cat", "grep", "hostname", "id", "sleep", "touch", "unshare", "readlink", "wc",
        "true", "ls", "stat",
    ] {
        symlink("busybox", root.join("bin").join(name)).expect("symlink");
    }
    let pause = root.join("pause");
    fs::write(&pause, "#!/bin/sh\nexec /bin/sleep 1000\n").expect("pause");
    fs::set_permissions(&pause, fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(root.join("etc/passwd"), PASSWD).expect("passwd");
    fs::write(root.join("etc/group"), GROUP).expect("group");
}

/// What this machine is, as far as these bundles need it.
fn host(cgroup_root: &str) -> HostFacts {
    let mut host: HostFacts =
        serde_json::from_str(include_str!("fixtures/bundle/host.json")).expect("fixture reads");
    let real = podshim::runtime::host_facts(Path::new("/"), false).expect("this machine");
    host.capabilities = real.capabilities;
    host.oom_score_adj_floor = real.oom_score_adj_floor;
    host.cgroup_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    host.swap_limit = false;
    host.thermal_throttle.clear();
    let control = "/dev/loop-control".to_owned();
    host.devices.retain(|device| device.path == "/dev/null");
    for device in &mut host.devices {
        device.path.clone_from(&control);
        (device.major, device.minor) = (10, 237);
    }
    host.cgroups = CgroupLayout {
        root: format!("podshim-test-{}", cgroup_root.trim_start_matches('.')),
        systemd: false,
    };
    host
}

fn own_bounding_set() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc is there");
    hex(&status, "CapBnd:")
}

/// The hexadecimal number after `name` in a `/proc/<pid>/status`.
fn hex(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    u64::from_str_radix(line.expect("the line is there").trim(), 16).expect("hexadecimal")
}

/// The word after `name`.
fn word<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the line is there").trim()
}

const STATUS: &str = "cat /proc/self/status";

#[test]
fn capability_sets_are_what_add_and_drop_say() {
    let mut stage = Stage::start(|_| {});
    let full = own_bounding_set();
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for (add, drop, want) in [
        (list(&[]), list(&[]), 0xa804_25fb & full),
        (list(&[]), list(&["ALL"]), 0),
        (list(&["NET_BIND_SERVICE"]), list(&["ALL"]), 0x400),
        (list(&["ALL"]), list(&["CHOWN"]), full & !1),
    ] {
        let status = stage.run(STATUS, |c| {
            c.security.capabilities_add = add;
            c.security.capabilities_drop = drop;
        });
        assert_eq!(hex(&status, "CapBnd:"), want);
        assert_eq!(hex(&status, "CapEff:"), want, "as root");
        assert_eq!(hex(&status, "CapAmb:"), 0);
        assert_eq!(hex(&status, "CapInh:"), 0);
    }
}

#[test]
fn a_user_without_privileges_keeps_the_bounding_set_only() {
    let mut stage = Stage::start(|_| {});
    let status = stage.run(STATUS, |c| c.security.run_as_user = Some(1000));
    assert_eq!(hex(&status, "CapBnd:"), 0xa804_25fb & own_bounding_set());
    assert_eq!(hex(&status, "CapEff:"), 0);
    assert_eq!(hex(&status, "CapPrm:"), 0);
}

#[test]
fn privilege_escalation_is_forbidden_on_request_only() {
    let mut stage = Stage::start(|_| {});
    let status = stage.run(STATUS, |_| {});
    assert_eq!(word(&status, "NoNewPrivs:"), "0");
    let status = stage.run(STATUS, |c| {
        c.security.allow_privilege_escalation = Some(false)
    });
    assert_eq!(word(&status, "NoNewPrivs:"), "1");
}

#[test]
fn a_container_lives_in_the_namespaces_of_pause_with_its_own_pids() {
    let mut stage = Stage::start(|pod| pod.hostname = Some("h".to_owned()));
    let script = "echo $$; hostname; for n in net uts ipc pid; do readlink /proc/self/ns/$n; done";
    let seen = stage.run(script, |_| {});
    let seen: Vec<&str> = seen.lines().collect();
    let of_pause = |name: &str| {
        let link = format!("/proc/{}/ns/{name}", stage.pause_pid);
        fs::read_link(link)
            .expect("pause runs")
            .display()
            .to_string()
    };
    assert_eq!(seen[..2], ["1", "h"]);
    assert_eq!(seen[2..5], ["net", "uts", "ipc"].map(of_pause));
    assert_ne!(seen[5], of_pause("pid"));
    let ours = fs::read_link("/proc/self/ns/net").expect("proc is there");
    assert_ne!(seen[2], ours.display().to_string());
}

#[test]
fn a_shared_pid_namespace_has_pause_as_process_1() {
    let mut stage = Stage::start(|pod| pod.share_process_namespace = true);
    let seen = stage.run(
        "cat /proc/1/cmdline | grep -c sleep; readlink /proc/self/ns/pid",
        |_| {},
    );
    let of_pause = fs::read_link(format!("/proc/{}/ns/pid", stage.pause_pid)).expect("pause runs");
    assert_eq!(seen, format!("1\n{}\n", of_pause.display()));
}

#[test]
fn pause_runs_in_each_of_the_hosts_namespaces() {
    let is_hosts = |stage: &Stage, name: &str| {
        let inode = |pid: &str| {
            fs::metadata(format!("/proc/{pid}/ns/{name}"))
                .expect("it runs")
                .ino()
        };
        inode(&stage.pause_pid.to_string()) == inode("self")
    };
    let shared = |change: fn(&mut Pod)| {
        let stage = Stage::start(change);
        ["net", "uts", "ipc", "pid", "mnt"].map(|name| is_hosts(&stage, name))
    };
    assert_eq!(shared(|_| {}), [false; 5]);
    assert_eq!(
        shared(|p| p.host_network = true),
        [true, true, false, false, false]
    );
    assert_eq!(
        shared(|p| p.host_ipc = true),
        [false, false, true, false, false]
    );
    assert_eq!(
        shared(|p| p.host_pid = true),
        [false, false, false, true, false]
    );
}

#[test]
fn low_ports_need_no_privilege_and_the_pod_may_say_otherwise() {
    let file = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(Stage::start(|_| {}).run(file, |_| {}), "0\n");
    let name = "net.ipv4.ip_unprivileged_port_start".to_owned();
    let mut stage = Stage::start(|pod| pod.security.sysctls = vec![(name, "1000".to_owned())]);
    assert_eq!(stage.run(file, |_| {}), "1000\n");
}

#[test]
fn kernel_files_are_hidden_or_read_only_unless_privileged() {
    let mut stage = Stage::start(|pod| pod.containers[0].security.privileged = true);
    let script = "stat -c %F /proc/keys; \
        (: >> /proc/sys/kernel/domainname) 2>/dev/null && echo writable || echo fixed; \
        grep -c '^sysfs /sys sysfs ro' /proc/mounts; \
        ls /dev | grep -c loop-control; echo $$; cat /proc/self/status";
    let seen = stage.run(script, |_| {});
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(
        lines[..5],
        ["character special file", "fixed", "1", "0", "1"]
    );
    assert_eq!(word(&seen, "Seccomp:"), "0");

    let seen = stage.run(script, |c| {
        c.security.privileged = true;
        c.security.seccomp = Some(Profile::RuntimeDefault);
    });
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(
        lines[..5],
        ["regular empty file", "writable", "0", "1", "1"]
    );
    assert_eq!(word(&seen, "Seccomp:"), "0");
    assert_eq!(hex(&seen, "CapEff:"), own_bounding_set());
}

#[test]
fn the_default_seccomp_profile_filters_and_follows_capabilities() {
    let mut stage = Stage::start(|_| {});
    let script = "unshare -U true && echo made || echo refused; cat /proc/self/status";
    let seen = stage.run(script, |c| {
        c.security.seccomp = Some(Profile::RuntimeDefault)
    });
    assert!(
        seen.contains("unshare(0x10000000): Operation not permitted"),
        "{seen}"
    );
    assert_eq!(seen.lines().next(), Some("refused"));
    assert_eq!(word(&seen, "Seccomp:"), "2");

    let seen = stage.run(script, |c| {
        c.security.seccomp = Some(Profile::RuntimeDefault);
        c.security.capabilities_add = vec!["SYS_ADMIN".to_owned()];
    });
    assert_eq!(seen.lines().next(), Some("made"));
    assert_eq!(word(&seen, "Seccomp:"), "2");

    let seen = stage.run(script, |c| c.security.seccomp = Some(Profile::Unconfined));
    assert_eq!(seen.lines().next(), Some("made"));
}

#[test]
fn users_and_groups_are_those_of_pod_and_image() {
    let mut stage = Stage::start(|_| {});
    stage.pod.security.supplemental_groups = vec![5000];
    stage.pod.security.fs_group = Some(6000);
    stage.image.users.passwd = Some(PASSWD.to_owned());
    stage.image.users.group = Some(GROUP.to_owned());
    let script = "id -u; id -g; id -G";
    let as_1000 = |c: &mut Container| c.security.run_as_user = Some(1000);
    assert_eq!(
        stage.run(script, as_1000),
        "1000\n100\n100 5000 6000 7000\n"
    );
    stage.pod.security.supplemental_groups_strict = true;
    assert_eq!(stage.run(script, as_1000), "1000\n100\n100 5000 6000\n");
}

#[test]
fn a_read_only_root_leaves_volumes_and_hosts_writable() {
    let mut stage = Stage::start(|_| {});
    fs::create_dir(stage.dir.path().join("volume")).expect("mkdir");
    stage.pod.volumes = vec![Volume {
        name: "w".to_owned(),
        source: VolumeSource::EmptyDir {
            medium: Medium::Disk,
            size_limit: None,
            mode: None,
        },
    }];
    let script = "for f in /x /w/x /etc/hosts /etc/resolv.conf /dev/shm/x /dev/termination-log; do \
        (: >> $f) 2>/dev/null && echo $f; done; echo said > /dev/termination-log; true";
    let seen = stage.run(script, |c| {
        c.security.read_only_root = true;
        c.mounts = vec![VolumeMount {
            volume: "w".to_owned(),
            path: "/w".to_owned(),
            sub_path: None,
            read_only: false,
            propagation: Propagation::None,
            recursive_read_only: RecursiveReadOnly::Disabled,
            options: Vec::new(),
        }];
    });
    assert_eq!(seen, "/w/x\n/etc/hosts\n/dev/shm/x\n/dev/termination-log\n");
    assert!(stage.dir.path().join("volume/x").exists());
    let log = fs::read_to_string(stage.dir.path().join("termination-log")).expect("the log");
    assert_eq!(log, "said\n");
}

#[test]
fn limits_are_the_cgroups() {
    let mut stage = Stage::start(|_| {});
    let amount = |text: &str| text.parse::<Quantity>().expect("a quantity");
    let (file, want) = if stage.host.cgroup_v2 {
        ("/sys/fs/cgroup/memory.max", "67108864\n")
    } else {
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n")
    };
    let seen = stage.run(&format!("cat {file}"), |c| {
        c.resources.limits = [("cpu", "500m"), ("memory", "64Mi")]
            .map(|(name, text)| (name.to_owned(), amount(text)))
            .into();
        c.resources.requests = c.resources.limits.clone();
    });
    assert_eq!(seen, want);
}

#[test]
fn nothing_of_a_stage_is_left_behind() {
    let stage = Stage::start(|_| {});
    let (pid, root) = (stage.pause_pid, stage.host.cgroups.root.clone());
    drop(stage);
    let gone = fs::metadata(format!("/proc/{pid}")).map_err(|e| e.kind());
    assert_eq!(gone.err(), Some(ErrorKind::NotFound));
    for controller in fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
        assert!(
            !controller.path().join(&root).exists(),
            "{:?}",
            controller.path()
        );
    }
}
