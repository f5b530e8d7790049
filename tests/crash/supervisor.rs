//! The supervisor dies, its keeper lives.

use super::processes::{Life, assert_counted, contents, counter, kill_now};
use crate::support::{
    Background, Host, Pod, background, cgroups_of, instance_pids, on_each_runtime, pod, proc_file,
    sh, state, status, until,
};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Pods whose supervisor dies while their sandbox is made.
const SANDBOX_DEATHS: usize = 6;

/// The parent of whoever makes a sandbox natively on this host, once there is one; `None` when the command has ended before.
fn until_sandbox_is_made(host: &Host, run: &mut Background) -> Option<i32> {
    let directory = host.path("");
    let directory = directory.to_str().expect("a path");
    loop {
        let ended = run.ended().is_some();
        let pids = fs::read_dir("/proc").expect("processes").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids {
            let command = proc_file(pid, "cmdline");
            if command.contains("\0__sandbox\0") && command.contains(directory) {
                let status = proc_file(pid, "status");
                let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
                return parent.and_then(|pid| pid.trim().parse().ok());
            }
        }
        if ended {
            return None;
        }
    }
}

#[test]
fn a_supervisor_may_die_while_it_makes_a_sandbox_without_a_runtime() {
    on_each_runtime(|host| {
        host.set_sandbox(Some("native"));
        let manifest = host.manifest(&[pod(json!({"containers": [counter("c")]}))]);
        let mut met = 0;
        for _ in 0..SANDBOX_DEATHS {
            let mut run = host.background(["run", "-d", "-f", manifest.to_str().expect("a path")]);
            let maker = until_sandbox_is_made(host, &mut run);
            // It may have been the one that was made, whose parent is the keeper; or gone by now.
            if let Some(pid) =
                maker.filter(|pid| proc_file(*pid, "cmdline").contains("__supervisor"))
            {
                kill_now(pid);
                met += 1;
            }
            run.wait().expect(0);
            let pod = host.pod("p");
            pod.until_running();
            // One pause, in its cgroup.
            assert!(pod.pause() > 1);
            pod.podshim("delete", &["--grace-period", "0"]).expect(0);
            host.assert_nothing_left();
        }
        eprintln!("{met} of {SANDBOX_DEATHS} supervisors died while they made a sandbox");
    });
}

/// Waits until a container has said this many lines.
#[track_caller]
fn until_lines(pod: &Pod, container: &str, lines: usize) {
    until(30, "it has said more", || {
        let said = std::fs::read_to_string(pod.log_file(container, 0)).unwrap_or_default();
        let count = said.lines().count();
        if count >= lines {
            Ok(())
        } else {
            Err(format!("{count} lines"))
        }
    });
}

#[test]
fn a_running_pod_does_not_notice_the_death_of_its_supervisor() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a"), counter("b")]})));
        pod.until_running();
        let pids = [pod.pid("a"), pod.pid("b"), pod.pause()];
        let keeper = Life::Keeper.of(&pod);
        for round in 1..=3 {
            let dead = Life::Supervisor.kill_of(&pod);
            Life::Supervisor.of_but(&pod, dead);
            until_lines(&pod, "a", 50 * round);
            until_lines(&pod, "b", 50 * round);
        }
        assert_eq!([pod.pid("a"), pod.pid("b"), pod.pause()], pids);
        assert_eq!(Life::Keeper.of(&pod), keeper);
        let json = pod.until_running();
        assert_eq!(json["status"]["phase"], "Running");
        for container in ["a", "b"] {
            assert_eq!(status(&json, container)["restartCount"], 0);
        }
        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        assert_eq!(json["status"]["phase"], "Succeeded");
        for container in ["a", "b"] {
            assert_eq!(state(&json, container).1["exitCode"], 0);
            assert!(assert_counted(&pod.log(container, 0)) > 100);
        }
    });
}

#[test]
fn the_journal_of_many_supervisors_replays_to_the_identical_state() {
    on_each_runtime(|host| {
        let script = "echo x >>/d/runs; [ $(wc -l </d/runs) -ge 3 ] || exit 3; sleep 1000";
        let mut c = sh("c", script);
        c["volumeMounts"] = json!([{"name": "d", "mountPath": "/d"}]);
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "containers": [c],
            "volumes": [{"name": "d", "emptyDir": {}}],
        })));
        let mut dead = 0;
        until(30, "it has begun", || {
            let why = host.podshim(["why", "p"]);
            if why.code == Some(0) {
                Ok(())
            } else {
                Err(why.stderr)
            }
        });
        for _ in 0..3 {
            dead = Life::Supervisor.of_but(&pod, dead);
            kill_now(dead);
            // It answers from what was written, whoever lives.
            let reasons = host.podshim(["why", "p"]).expect(0).text();
            assert!(reasons.starts_with("pod/p is "), "{reasons}");
        }
        Life::Supervisor.of_but(&pod, dead);
        pod.until_restarted("c", 2);
        pod.podshim("stop", &["--grace-period", "0"]).expect(0);
        let replayed = host.podshim(["debug", "replay", "p", "-o", "json"]);
        let replayed = replayed.expect(0).json();
        assert_eq!(
            (&replayed["identical"], &replayed["behind"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(replayed["fromStart"], true);
        let restarts = replayed["restarts"].as_u64();
        assert!(
            restarts.is_some_and(|n| (1..=3).contains(&n)),
            "{replayed:#}"
        );
    });
}

/// The seconds since the machine began that a container has written behind a word.
fn times(log: &str, word: &str) -> Vec<f64> {
    let said = log.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
    let times = said.filter_map(|text| text.strip_prefix(word));
    times.filter_map(|time| time.trim().parse().ok()).collect()
}

#[test]
fn a_stop_goes_on_under_the_next_supervisor_with_the_whole_grace() {
    let script = "say() { read t rest </proc/uptime; echo $1 $t; }
trap 'say asked' TERM
while :; do say beat; sleep 0.1; done";
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({
            "terminationGracePeriodSeconds": 6, "containers": [sh("a", script)],
        })));
        pod.until_running();
        let stopping = background(&mut host.command(["stop", "p"]), b"");
        let asked = |times_asked: usize| {
            until(20, "it is asked to end", || {
                let asked = times(&pod.log("a", 0), "asked");
                match asked.len() == times_asked {
                    true => Ok(asked),
                    false => Err(format!("{asked:?}")),
                }
            })
        };
        let first = asked(1)[0];
        until(20, "most of the grace is over", || {
            match times(&pod.log("a", 0), "beat").last() {
                Some(now) if *now >= first + 4.0 => Ok(()),
                last => Err(format!("{first}, {last:?}")),
            }
        });
        Life::Supervisor.kill_of(&pod);
        let again = asked(2)[1];
        stopping.wait().expect(0);
        let (log, json) = (pod.log("a", 0), pod.json());
        let last = *times(&log, "beat").last().expect("it has said when");
        // Two seconds less than the grace: a busy machine lets it say nothing for a while.
        assert!(last - again >= 4.0, "{first} {again} {last}");
        assert_eq!(state(&json, "a").1["exitCode"], 137);
        assert_eq!(times(&log, "asked").len(), 2);
    });
}

#[test]
fn what_ends_while_no_supervisor_lives_is_told_to_the_last_word() {
    on_each_runtime(|host| {
        let script = "until [ -e /d/go ]; do sleep 0.01; done; echo last words; printf farewell \
                      >/dev/termination-log; exit 7";
        let directory = host.path("shared");
        std::fs::create_dir(&directory).expect("a directory of ours");
        let mut c = sh("c", script);
        c["volumeMounts"] = json!([{"name": "d", "mountPath": "/d"}]);
        let pod = host.start(&pod(json!({
            "containers": [c],
            "volumes": [{"name": "d", "hostPath": {"path": directory}}],
        })));
        pod.until_running();
        let pid = pod.pid("c");
        // The second and later deaths are followed by a pause: in it the container ends.
        let mut dead = 0;
        for _ in 0..4 {
            dead = Life::Supervisor.of_but(&pod, dead);
            kill_now(dead);
        }
        std::fs::write(directory.join("go"), "").expect("a file of ours");
        until(10, "it has ended", || {
            match Path::new(&format!("/proc/{pid}")).exists() {
                true => Err("it lives".to_owned()),
                false => Ok(()),
            }
        });
        assert_eq!(Life::Supervisor.of(&pod), None, "it ended unsupervised");
        pod.until_phase("Failed");
        let json = pod.json();
        let (kind, detail) = state(&json, "c");
        assert_eq!(
            (kind, &detail["exitCode"], &detail["message"]),
            ("terminated", &json!(7), &json!("farewell"))
        );
        assert_eq!(contents(&pod.log("c", 0)), "last words\n");
    });
}

/// The runtime, but the first `VERB` takes its time before it begins, and says in the file `slow` that it was asked. A file
/// below `calls` for each instance says when each call begins and ends. Where that is `start` or `delete`, nobody knows its name, or it
/// would not be asked; youki would not be asked either if the socket of a start were where it should be, and must be known by its name.
fn slow(host: &Host, verb: &str) -> PathBuf {
    let text = format!(
        "#!/bin/sh
{renamed}
case \" $* \" in *' create '*|*' start '*|*' delete '*) ;; *) exec {runtime} \"$@\" ;; esac
previous=
for instance; do
	[ \"$previous\" != --root ] || root=$instance
	previous=$instance
done
socket=$root/$instance/notify.sock
echo begin >>{calls}/$instance
case \" $* \" in *' {verb} '*) test -e {slow} || {{ touch {slow}; sleep 1.5; }} ;; esac
[ ! -e $socket.away ] || mv $socket.away $socket
{runtime} \"$@\"
code=$?
case \" $* \" in *' create '*) {away} ;; esac
echo end >>{calls}/$instance
exit $code
",
        renamed = match (verb, host.runtime()) {
            ("delete", _) | ("start", "runc") =>
                "[ \"$*\" != --version ] || { echo 'other version 1.0.0'; exit; }",
            _ => "",
        },
        away = match (verb, host.runtime()) {
            ("start", "youki") => "mv $socket $socket.away",
            _ => ":",
        },
        calls = host.path("calls").display(),
        slow = host.path("slow").display(),
        runtime = which::which(host.runtime()).expect("the runtime").display(),
    );
    std::fs::create_dir(host.path("calls")).expect("ours");
    let script = host.file("slow-runtime", &text);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("ours");
    script
}

/// Calls on the one container of a pod follow one another, whoever makes them, and so do those on its pause.
#[track_caller]
fn assert_one_call_at_a_time(host: &Host) {
    let files = std::fs::read_dir(host.path("calls")).expect("it was called");
    let files: Vec<_> = files.map(|file| file.expect("ours").path()).collect();
    assert!(files.len() >= 2, "pause and the container: {files:?}");
    for file in files {
        let calls = std::fs::read_to_string(&file).expect("ours");
        let words: Vec<&str> = calls.lines().collect();
        for call in words.chunks(2) {
            assert_eq!(call, ["begin", "end"], "{}: {words:?}", file.display());
        }
    }
}

#[test]
fn a_runtime_call_that_outlives_its_supervisor_does_nothing_behind_the_next_one_s_back() {
    for verb in ["create", "start", "delete"] {
        on_each_runtime(|host| {
            let runtime = slow(host, verb);
            let manifest = host.manifest(&[pod(json!({"containers": [counter("c")]}))]);
            let words = [
                "--runtime".as_ref(),
                runtime.as_os_str(),
                "run".as_ref(),
                "-d".as_ref(),
                "-f".as_ref(),
                manifest.as_os_str(),
            ];
            let mut run = host.background(words);
            if verb == "delete" {
                until(30, "it runs", || {
                    match host.podshim(["wait", "p", "--for", "phase=Running"]) {
                        ran if ran.code == Some(0) => Ok(()),
                        ran => Err(format!(
                            "{}run: {:?}: {}",
                            ran.stderr,
                            run.ended(),
                            run.stderr()
                        )),
                    }
                });
                // Told to stop, it is deleted; the request itself is not what this is about.
                host.podshim(["delete", "p", "--wait=false"]);
            }
            until(30, &format!("{verb} is asked for"), || {
                match host.path("slow").exists() {
                    true => Ok(()),
                    false => Err("not yet".to_owned()),
                }
            });
            let pod = host.pod("p");
            let dead = Life::Supervisor.kill_of(&pod);
            if verb == "delete" {
                pod.podshim("stop", &[]).expect(0);
                assert_one_call_at_a_time(host);
                assert_counted(&pod.log("c", 0));
                assert_eq!(status(&pod.json(), "c")["restartCount"], 0);
                return;
            }
            Life::Supervisor.of_but(&pod, dead);
            let json = pod.until_running();
            run.wait().expect(0);
            assert_eq!(status(&json, "c")["restartCount"], 0);
            let mut instances: Vec<String> = cgroups_of(&pod.uid)
                .iter()
                .flat_map(|cgroup| std::fs::read_dir(cgroup).into_iter().flatten().flatten())
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|instance| !instance_pids(&pod.uid, instance).is_empty())
                .collect();
            instances.sort();
            instances.dedup();
            assert_eq!(instances.len(), 2, "pause and the container: {instances:?}");
            pod.podshim("stop", &[]).expect(0);
            assert_one_call_at_a_time(host);
            assert_counted(&pod.log("c", 0));
        });
    }
}
