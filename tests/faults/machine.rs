//! What this machine lacks, and names and manifests that are wrong: refused before anything is there.

use super::faulty::Faulty;
use crate::support::{Host, Ran, on_each_runtime, pod, run, run_with_input, sh};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn sleeper() -> Value {
    pod(json!({"containers": [sh("c", "sleep 1000")]}))
}

/// `run -d` of a good manifest with another runtime.
fn run_with(host: &Host, runtime: &Path) -> Ran {
    let file = host.manifest(&[sleeper()]);
    let args = [
        "run".as_ref(),
        "-d".as_ref(),
        "-f".as_ref(),
        file.as_os_str(),
    ];
    run(host.command(args).env("PODSHIM_RUNTIME", runtime))
}

/// Refused with advice, and no trace of a pod.
#[track_caller]
fn refused(host: &Host, ran: Ran, says: &str) {
    let ran = ran.expect(7);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(!host.path("state").exists(), "a state directory");
    assert!(!host.path("data/pods").exists() && !host.logs().exists());
}

#[test]
fn a_missing_runtime_is_named_with_what_to_install() {
    on_each_runtime(|host| {
        refused(
            host,
            run_with(host, Path::new("/no/such/runc")),
            "/no/such/runc",
        );
    });
}

#[test]
fn a_program_that_is_no_runtime_is_refused() {
    on_each_runtime(|host| {
        refused(
            host,
            run_with(host, Path::new("/bin/true")),
            "cannot read the version",
        );
        let faulty = Faulty::new(host);
        faulty.fault("version", "die");
        refused(host, run_with(host, &faulty.program()), "died of SIGKILL");
    });
}

/// crun refuses cgroup v1 beside v2 controllers. Source: crun's "cgroups in hybrid mode not supported".
#[test]
fn crun_is_refused_where_it_would_refuse_the_cgroups() {
    on_each_runtime(|host| {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let of = |kind: &str| {
            let mut lines = mounts
                .lines()
                .map(|line| line.split(' ').collect::<Vec<_>>());
            lines
                .find(|words| words[2] == kind)
                .map(|words| words[1].to_owned())
        };
        let controllers =
            of("cgroup2").map(|mount| fs::read_to_string(format!("{mount}/cgroup.controllers")));
        let controllers = controllers.map_or(String::new(), |text| text.expect("controllers"));
        let is_mixed = of("cgroup").is_some() && !controllers.trim().is_empty();
        let ran = run_with(host, Path::new("crun"));
        if which::which("crun").is_err() {
            refused(host, ran, "cannot find an OCI runtime");
        } else if is_mixed {
            refused(host, ran, "with the cgroups of this machine");
        } else {
            ran.expect(0);
        }
    });
}

#[test]
fn a_user_who_is_not_root_is_told_so() {
    on_each_runtime(|host| {
        // The program and the way to it must be theirs to use.
        let program = host.path("podshim");
        let command = host.command(["run", "-d", "-f", "-"]);
        fs::copy(command.get_program(), &program).expect("the program");
        fs::set_permissions(host.path(""), fs::Permissions::from_mode(0o711)).expect("ours");
        let mut as_nobody = Command::new("setpriv");
        as_nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        as_nobody.arg(program).args(command.get_args());
        for (name, value) in command.get_envs() {
            as_nobody.env(name, value.expect("it is set"));
        }
        let ran = run_with_input(&mut as_nobody, &sleeper().to_string().into_bytes());
        refused(host, ran, "cannot run pods as this user");
    });
}

#[test]
fn a_name_that_is_taken_is_a_conflict_that_harms_nobody() {
    on_each_runtime(|host| {
        let pod = host.start(&sleeper());
        pod.until_running();
        let file = host.manifest(&[sleeper()]);
        let args = [
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ];
        let ran = host.podshim(args).expect(5);
        assert!(ran.stderr.contains("already exists"), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
        for path in ["state/pods", "data/pods", "state/names"] {
            let entries = fs::read_dir(host.path(path)).expect("a pod is there");
            assert_eq!(entries.count(), 1, "{path}");
        }
        assert_eq!(host.podshim(["get", "-q"]).word(), pod.uid);
    });
}

#[test]
fn a_manifest_with_many_errors_names_them_all_and_leaves_no_trace() {
    on_each_runtime(|host| {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: Not_A_Name}\nspec:\n  restartPolicy: Sometimes\n  containers:\n  - {name: c, image: \"\"}\n  - {name: c, image: i, imagePullPolcy: Never}\n";
        let file = host.file("bad.yaml", text);
        let args = [
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ];
        let ran = host.podshim(args).expect(2);
        for field in [
            "metadata.name",
            "spec.restartPolicy",
            "containers[0].image",
            "containers[1].name",
            "imagePullPolcy",
        ] {
            assert!(ran.stderr.contains(field), "{field} in:\n{}", ran.stderr);
        }
        assert!(!host.path("state").exists() && !host.path("data/pods").exists());
        assert!(!host.logs().exists());
    });
}
