//! The verbs that read: render, check, logs, info, doctor. Those with a pod need root and runc.

mod support;

use crate::support::{Host, cgroups_of, until};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const UNNAMED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {generateName: p-}
spec:
  volumes: [{name: files, secret: {secretName: s}}]
  containers:
  - name: c
    image: "localhost/absent:1"
    command: [sh]
    env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]
    volumeMounts: [{name: files, mountPath: /files}]
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {k: swordfish}
"#;

/// A root file system with busybox, as an image reference.
fn rootfs(host: &Host) -> String {
    let bin = host.path("rootfs/bin");
    fs::create_dir_all(&bin).expect("a directory of ours");
    fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
    for applet in ["sh", "echo", "head", "sleep", "test", "touch"] {
        symlink("busybox", bin.join(applet)).expect("a link of ours");
    }
    format!("rootfs:{}", host.path("rootfs").display())
}

/// A pod `p` of shell scripts, one for each container.
fn scripts(host: &Host, containers: &[(&str, &str)]) -> Value {
    let image = rootfs(host);
    let container = |(name, script): &(&str, &str)| json!({"name": name, "image": image, "command": ["sh", "-c", script]});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": containers.iter().map(container).collect::<Value>(),
        },
    })
}

/// Runs in a loop that a signal ends at once: PID 1 has no default actions.
const STAYS: &str = "trap 'exit 0' TERM; echo up; while true; do sleep 0.1; done";

#[test]
fn render_prints_the_same_bytes_every_time_without_root_and_makes_nothing() {
    let host = Host::new("runc");
    let first = host
        .podshim_with_input(["render", "-f", "-"], UNNAMED)
        .text();
    let file = host.file("pod.yaml", UNNAMED);
    let again = host
        .podshim(["render".as_ref(), "-f".as_ref(), file.as_os_str()])
        .text();
    assert_eq!(first, again);
    assert!(!first.contains("swordfish"));
    let document: Value = serde_json::from_str(&first).expect("JSON");
    let pod = &document["pods"][0];
    assert!(pod["uid"].as_str().is_some_and(|uid| uid.len() == 36));
    let env = &pod["bundles"]["c"]["process"]["env"];
    assert!(env.to_string().contains("A=<secret>"), "{env}");
    assert!(pod["bundles"]["pause"]["root"].is_object());
    assert!(
        pod["files"]["hosts"]
            .as_str()
            .is_some_and(|t| t.starts_with("# Kubernetes"))
    );
    assert_eq!(pod["volumes"][0]["memory"], true);

    // As somebody else: the program where that one can reach it.
    fs::set_permissions(host.path(""), fs::Permissions::from_mode(0o755)).expect("ours");
    let program = host.path("podshim");
    fs::copy(env!("CARGO_BIN_EXE_podshim"), &program).expect("a copy of ours");
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program);
        command.args(["--root", "/nonexistent/a", "--state", "/nonexistent/b"]);
        command.args(["render", "-f"]).arg(&file);
        support::run(&mut command).text()
    };
    assert_eq!(as_nobody(), as_nobody());
    assert!(!host.path("state").exists() && !host.path("data").exists());
}

#[test]
fn render_writes_bundles_into_an_empty_directory_only_and_shows_secrets_when_asked() {
    let host = Host::new("runc");
    let text = UNNAMED.replace("generateName: p-", "name: p");
    let file = host.file("pod.yaml", &text);
    let out = host.path("out");
    let render = |more: &[&str]| {
        let words = ["render".as_ref(), "-f".as_ref(), file.as_os_str()];
        let more = more.iter().map(AsRef::as_ref);
        host.podshim(words.into_iter().chain(more))
    };
    let directory = out.to_str().expect("plain");
    render(&["-o", directory, "--show-secrets"]).expect(0);
    let config = fs::read_to_string(out.join("p/c/config.json")).expect("the bundle");
    assert!(config.contains("A=swordfish"), "{config}");
    assert!(out.join("p/pause/config.json").exists());
    render(&["-o", directory]).expect(2);
    let nothing_to_run = host.file("bare.yaml", &text.replace("    command: [sh]\n", ""));
    let ran = host.podshim(["render".as_ref(), "-f".as_ref(), nothing_to_run.as_os_str()]);
    let ran = ran.expect(2);
    assert!(ran.stderr.contains("localhost/absent:1"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("no command specified"),
        "{}",
        ran.stderr
    );
}

#[test]
fn check_gives_a_verdict_on_every_field_and_all_findings() {
    let host = Host::new("runc");
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  nodeSelector: {a: b}\n  containers:\n  \
        - {name: c, image: \"img:1\", readinessProbe: {grpc: {port: 1, mode: TLS}}, typo: 1}\n";
    let file = host.file("pod.yaml", text);
    let check = |more: &[&str]| {
        let words = ["check".as_ref(), "-f".as_ref(), file.as_os_str()];
        let more = more.iter().map(AsRef::as_ref);
        host.podshim(words.into_iter().chain(more))
    };
    let table = check(&[]).expect(2);
    let verdict = |path: &str| {
        let line = table.stdout.lines().find(|line| line.starts_with(path));
        let line = line.unwrap_or_else(|| panic!("no {path} in:\n{}", table.stdout));
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    assert_eq!(verdict("PATH").as_deref(), Some("VERDICT"));
    assert_eq!(
        verdict("spec.containers[0].image").as_deref(),
        Some("supported")
    );
    assert_eq!(verdict("spec.nodeSelector").as_deref(), Some("ignored"));
    let probe = verdict("spec.containers[0].readinessProbe.grpc.mode");
    assert_eq!(probe.as_deref(), Some("unsupported"));
    assert!(table.stderr.contains("pod.yaml:7:"), "{}", table.stderr);

    let ran = check(&["-o", "json"]).expect(2);
    let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(document["valid"], false);
    assert_eq!(document["pods"][0]["pod"], "default/p");
    let findings = document["findings"].as_array().expect("a list");
    let typo = findings
        .iter()
        .find(|f| f["path"] == "spec.containers[0].typo")
        .expect("the unknown field");
    assert_eq!(
        (&typo["line"], &typo["severity"]),
        (&json!(7), &json!("error"))
    );

    let good = host.file("good.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: \"img:1\"}\n");
    let arguments = ["check", "-o", "json", "-f"].map(AsRef::as_ref);
    let ran = host.podshim(arguments.into_iter().chain([good.as_os_str()]));
    assert_eq!(ran.json()["valid"], true);
}

#[test]
fn info_tells_each_setting_with_its_origin() {
    let host = Host::new("runc");
    let info = host.podshim(["info", "-o", "json", "-n", "apps"]).json();
    let setting = |name: &str| info["settings"][name].clone();
    assert_eq!(
        setting("namespace"),
        json!({"value": "apps", "origin": "flag"})
    );
    assert_eq!(setting("state")["origin"], "env");
    assert_eq!(
        setting("log-format"),
        json!({"value": "text", "origin": "default"})
    );
    assert_eq!(info["runtimes"][0]["name"], "runc");
    assert_eq!(info["pods"]["total"], 0);
    let none = json!({"runtime": 0, "native": 0});
    assert_eq!(info["pods"]["sandboxes"], none);
    assert!(host.podshim(["info"]).text().contains("settings.namespace"));
}

#[test]
fn images_are_loaded_from_and_saved_to_where_one_is() {
    let host = Host::new("runc");
    let name = "localhost/busybox:1";
    let images = support::images();
    let here = host.path("here");
    fs::create_dir(&here).expect("a directory of ours");
    let image = |dir: &Path, args: &[&str]| {
        let args = std::iter::once("image").chain(args.iter().copied());
        support::run(host.command(args).current_dir(dir))
    };
    image(images, &["load", "oci:busybox", name]).expect(0);
    for (number, target) in ["docker-archive:d.tar", "oci-archive:./o.tar", "oci:l"]
        .iter()
        .enumerate()
    {
        image(&here, &["save", target, name]).expect(0);
        let copy = format!("localhost/copy:{number}");
        assert_eq!(image(&here, &["load", target, &copy]).word(), copy);
    }
    let mut made: Vec<_> = fs::read_dir(&here)
        .expect("our directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    made.sort();
    assert_eq!(made, ["d.tar", "l", "o.tar"]);
    let absent = image(&here, &["load", "oci:absent"]).expect(1).stderr;
    let path = here.join("absent");
    assert!(absent.contains(&path.display().to_string()), "{absent}");
    let empty = image(&here, &["load", "oci:"]).expect(2).stderr;
    assert!(empty.contains("no path follows the transport"), "{empty}");
    let nowhere = image(&here, &["save", "elsewhere/x", name])
        .expect(2)
        .stderr;
    assert!(nowhere.contains("oci-archive:"), "{nowhere}");
}

/// Starts a pod, lets the test look at it, deletes it, and looks whether anything is left.
fn with_pod(host: &Host, manifest: &Value, look: impl FnOnce()) {
    let file = host.manifest(std::slice::from_ref(manifest));
    host.podshim([
        "run".as_ref(),
        "-d".as_ref(),
        "-f".as_ref(),
        file.as_os_str(),
    ])
    .expect(0);
    host.pod("p");
    look();
    host.podshim(["delete", "p", "--ignore-not-found"])
        .expect(0);
    host.assert_nothing_left();
}

#[test]
fn logs_are_read_from_files_by_container_while_it_runs_and_after() {
    let host = Host::new("runc");
    let script = "echo one; echo two; until test -e /go; do sleep 0.1; done; printf three";
    let manifest = scripts(&host, &[("a", script), ("b", "echo other")]);
    with_pod(&host, &manifest, || {
        let logs = |args: &[&str]| host.podshim([&["logs"], args].concat());
        let ran = logs(&["p"]).expect(3);
        assert!(ran.stderr.contains("[a b]"), "{}", ran.stderr);
        until(10, "both have written", || {
            let text = logs(&["p", "--all-containers"]).stdout;
            if text == "one\ntwo\nother\n" {
                Ok(())
            } else {
                Err(text)
            }
        });
        assert_eq!(logs(&["p/a", "--tail", "1"]).text(), "two\n");
        assert_eq!(
            logs(&["p", "-c", "a", "--limit-bytes", "5"]).text(),
            "one\nt"
        );
        let prefixed = logs(&["p", "-c", "b", "--prefix", "--timestamps"]).text();
        assert!(prefixed.starts_with("[pod/p/b] 2"), "{prefixed}");
        assert!(prefixed.ends_with("Z other\n"), "{prefixed}");
        assert_eq!(
            logs(&["p/a", "--since-time", "2999-01-01T00:00:00+01:00"]).text(),
            ""
        );
        for wrong in [
            ["--tail", "-2"],
            ["--since", "x"],
            ["--since-time", "x"],
            ["--limit-bytes", "0"],
        ] {
            logs(&[&["p", "-c", "a"], &wrong[..]].concat()).expect(2);
        }
        logs(&["p", "-c", "absent"]).expect(3);
        let ran = logs(&["p/a", "--previous"]).expect(1);
        let text = "previous terminated container \"a\" in pod \"p\" not found";
        assert!(ran.stderr.contains(text), "{}", ran.stderr);

        let follower = host.background(["logs", "p", "-c", "a", "-f"]);
        until(10, "the follower shows what was there", || {
            let text = follower.stdout();
            if text == "one\ntwo\n" {
                Ok(())
            } else {
                Err(text)
            }
        });
        host.podshim(["exec", "p", "-c", "a", "--", "touch", "/go"])
            .expect(0);
        assert_eq!(follower.wait().text(), "one\ntwo\nthree");
        host.podshim(["wait", "p", "--for", "exit"]);
        assert_eq!(logs(&["p", "-c", "a"]).text(), "one\ntwo\nthree");
        assert_eq!(logs(&["p", "-c", "a", "-f"]).text(), "one\ntwo\nthree");
    });
}

#[test]
fn logs_of_what_never_started_say_why() {
    let host = Host::new("runc");
    let mut manifest = scripts(&host, &[("c", "echo never")]);
    manifest["spec"]["containers"][0]["image"] = "localhost/absent:1".into();
    manifest["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    with_pod(&host, &manifest, || {
        let ran = host.podshim(["logs", "p"]).expect(1);
        let text = "container \"c\" in pod \"p\" is waiting to start: ErrImageNeverPull";
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    });
}

#[test]
fn a_command_whose_time_is_up_is_killed_in_the_container_too() {
    let host = Host::new("runc");
    let manifest = scripts(&host, &[("c", STAYS)]);
    with_pod(&host, &manifest, || {
        let uid = host.pod("p").uid;
        let sleeping = || {
            let pids = cgroups_of(&uid).into_iter().flat_map(|dir| {
                let text = fs::read_to_string(dir.join("c-0/cgroup.procs")).unwrap_or_default();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            });
            let line = |pid: String| fs::read_to_string(format!("/proc/{pid}/cmdline"));
            pids.filter(|pid| line(pid.clone()).is_ok_and(|line| line.contains("98765")))
                .count()
        };
        let script = "sleep 98765 & sleep 98765";
        let limited = host.background(["exec", "p", "--timeout", "2", "--", "sh", "-c", script]);
        until(10, "it runs in the container", || match sleeping() {
            0 => Err("nothing sleeps".to_owned()),
            _ => Ok(()),
        });
        limited.wait().expect(124);
        assert_eq!(sleeping(), 0);
        let state = host.path("state/pods").join(&uid);
        let left = fs::read_dir(state).expect("the pod's directory").flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(
            !left
                .iter()
                .any(|name| name.to_string_lossy().starts_with(".tmp")),
            "{left:?}"
        );
        host.podshim(["exec", "p", "--timeout", "30", "--", "sh", "-c", "exit 7"])
            .expect(7);
    });
}

#[test]
fn exec_prints_all_that_was_written_and_passes_signals_on() {
    let host = Host::new("runc");
    let manifest = scripts(&host, &[("c", STAYS)]);
    with_pod(&host, &manifest, || {
        let script = "head -c 3000000 /dev/zero; echo end";
        let ran = host.podshim(["exec", "p", "--", "sh", "-c", script]);
        assert_eq!(ran.text().len(), 3_000_004);
        let script = "trap 'echo caught; exit 9' INT; echo ready; while true; do sleep 0.1; done";
        let running = host.background(["exec", "p", "--", "sh", "-c", script]);
        until(10, "it runs", || match running.stdout() {
            text if text == "ready\n" => Ok(()),
            text => Err(text),
        });
        let pid = nix::unistd::Pid::from_raw(running.pid());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("our child");
        assert_eq!(running.wait().expect(9).stdout, "ready\ncaught\n");
    });
}

/// Lets a file, link or directory look as old as leftovers are.
fn age(path: &Path) {
    let hour = SystemTime::now() - Duration::from_secs(3600);
    File::open(path)
        .and_then(|file| file.set_modified(hour))
        .expect("a file of ours");
}

/// Makes a directory with a file in it.
fn plant(path: PathBuf) -> PathBuf {
    fs::create_dir_all(&path).expect("a directory of ours");
    fs::write(path.join("file"), "x").expect("a file of ours");
    path
}

/// A mounted cgroup hierarchy.
fn cgroup_mount() -> PathBuf {
    let known = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(PathBuf::from);
    let mut mounted = known
        .into_iter()
        .filter(|dir| dir.join("cgroup.procs").exists());
    mounted.next().expect("cgroups are mounted")
}

#[test]
fn doctor_finds_what_pods_left_behind_and_clears_it_away() {
    let host = Host::new("runc");
    let uid = "6f1d7c1e-0000-4000-8000-00000000d0c7";
    let kept = plant(host.path("kept"));
    let data = plant(host.path("data/pods").join(uid));
    symlink(&kept, data.join("link")).expect("a link of ours");
    let state = plant(host.path("state/pods").join(uid));
    let logs = plant(host.logs().join(format!("default_gone_{uid}")));
    let not_ours = plant(host.logs().join("something"));
    let names = host.path("state/names");
    fs::create_dir_all(&names).expect("a directory of ours");
    let name = names.join("default_gone");
    fs::write(&name, uid).expect("a file of ours");
    let young = plant(host.path("data/pods/6f1d7c1e-0000-4000-8000-00000000d0c8"));
    let cgroup = cgroup_mount().join(format!("podshim/besteffort/pod{uid}"));
    until(5, "the cgroup is made", || {
        fs::create_dir_all(&cgroup).map_err(|e| e.to_string())
    });
    for path in [&data, &state, &logs, &not_ours, &name, &cgroup] {
        age(path);
    }

    let planted = [&data, &state, &logs, &cgroup];
    let found = host.podshim(["doctor"]).expect(1).stdout;
    let shown = |path: &Path| {
        let below_mount = path.strip_prefix(cgroup_mount()).unwrap_or(path);
        found.contains(&*below_mount.to_string_lossy())
    };
    for path in planted {
        assert!(shown(path), "no {} in:\n{found}", path.display());
    }
    assert!(found.contains("default/gone"), "{found}");
    assert!(!shown(&young) && !shown(&not_ours), "{found}");
    assert!(state.exists() && cgroup.exists(), "looking changes nothing");

    let fixed = host.podshim(["doctor", "--fix"]).expect(0).stdout;
    for path in planted {
        assert!(!path.exists(), "{} is left:\n{fixed}", path.display());
    }
    assert!(!name.exists() && young.exists() && not_ours.exists());
    assert!(kept.join("file").exists(), "no link was followed");
    let clean = host.podshim(["doctor"]).stdout;
    assert!(!clean.contains(uid), "{clean}");
}

#[test]
fn doctor_gives_a_pod_without_a_keeper_a_new_one() {
    let host = Host::new("runc");
    let manifest = scripts(&host, &[("c", STAYS)]);
    with_pod(&host, &manifest, || {
        let pod = host.pod("p");
        let directory = host.path("state/pods").join(&pod.uid);
        let text = directory.to_string_lossy().into_owned();
        let ours = || {
            let processes = fs::read_dir("/proc").expect("/proc").flatten();
            let pids = processes.filter_map(|p| p.file_name().to_str()?.parse::<i32>().ok());
            pids.filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&text)
            })
            .collect::<Vec<_>>()
        };
        // The keeper first: it would start a new supervisor.
        let mut pids = ours();
        pids.sort_unstable();
        assert_eq!(pids.len(), 2, "keeper and supervisor");
        for pid in pids {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
        }
        until(5, "they are gone", || {
            let left = ours();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        });
        age(&directory.join("plan.json"));
        let found = host.podshim(["doctor"]).expect(1).stdout;
        assert!(found.contains(&pod.uid), "{found}");
        let fixed = host.podshim(["doctor", "--fix"]).expect(0).stdout;
        assert!(fixed.contains(&pod.uid), "{fixed}");
        assert_eq!(ours().len(), 2, "keeper and supervisor are back");
        assert_eq!(pod.json()["status"]["phase"], "Running");
        assert_eq!(
            pod.json()["status"]["containerStatuses"][0]["restartCount"],
            0
        );
    });
}

#[test]
fn doctor_removes_what_is_kept_of_an_earlier_boot() {
    let host = Host::new("runc");
    let manifest = scripts(&host, &[("c", "echo done")]);
    with_pod(&host, &manifest, || {
        host.podshim(["wait", "p", "--for", "exit"]);
        let pod = host.pod("p");
        let directory = host.path("state/pods").join(&pod.uid);
        let snapshot = directory.join("snapshot.json");
        until(10, "its keeper has left", || {
            let text = fs::read_to_string(&snapshot).map_err(|e| e.to_string())?;
            let mut value: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            if value["view"]["settled"] != true {
                return Err(text);
            }
            let lock = File::open(directory.join("lock")).map_err(|e| e.to_string())?;
            lock.try_lock().map_err(|e| e.to_string())?;
            value["boot_id"] = "of another boot".into();
            fs::write(&snapshot, value.to_string()).map_err(|e| e.to_string())
        });
        age(&directory.join("plan.json"));
        let found = host.podshim(["doctor"]).expect(1).stdout;
        assert!(found.contains("earlier boot"), "{found}");
        host.podshim(["doctor", "--fix"]).expect(0);
        assert!(!directory.exists());
        host.podshim(["get", "p"]).expect(3);
    });
}
