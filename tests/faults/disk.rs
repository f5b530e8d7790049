//! Disks that are full: of state, of data, of logs.

use super::faulty::sandbox;
use crate::support::{
    Background, Host, Pod, Ran, background, life_of, on_each_runtime, pod, sh, state, until, with,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal::SIGKILL, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Most files that a pod of one container needs in one directory; a test that needs more is not ended by a full disk.
const MAX_FILES: usize = 60;

/// A small file system on a directory, gone with this.
struct Disk(PathBuf);

impl Disk {
    fn new(path: PathBuf, options: &str) -> Disk {
        fs::create_dir_all(&path).expect("a directory of ours");
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options),
        )
        .expect("a tmpfs");
        Disk(path)
    }

    /// Takes all room there is.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file of ours");
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Takes all files that there may be.
    fn fill_names(&self) {
        let name = |n| self.0.join(format!("filler.{n}"));
        let mut number = 0;
        while File::create(name(number)).is_ok() {
            number += 1;
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("it was full");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn sleeper() -> Value {
    pod(json!({"containers": [sh("c", "sleep 1000")]}))
}

fn run(host: &Host, pod: &Value) -> Background {
    run_with(host, pod, &[])
}

fn run_with(host: &Host, pod: &Value, options: &[&str]) -> Background {
    let file = host.manifest(std::slice::from_ref(pod));
    let mut command = host.command(["run", "-d", "-f"]);
    background(command.arg(file).args(options), b"")
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn a_pod_that_cannot_be_written_down_is_not_begun() {
    on_each_runtime(|host| {
        let disk = Disk::new(host.path("state"), "size=64k");
        disk.fill();
        let ran = run(host, &sleeper()).wait().expect(1);
        assert!(
            ran.stderr.contains("No space left on device"),
            "{}",
            ran.stderr
        );
        assert_eq!(host.podshim(["get", "-q"]).text(), "");
        for path in [
            host.path("state/pods"),
            host.path("state/names"),
            host.path("data/pods"),
        ] {
            assert!(entries(&path).is_empty(), "{:?}", entries(&path));
        }
    });
}

/// It is the disk that is blamed; what the runtime stumbles over is said in its own words, which may be poorer: runc has one such
/// message, youki names a file and no reason.
#[track_caller]
fn blames_the_disk(files: usize, host: &Host, ran: &Ran) {
    let said = ran.stderr.to_lowercase();
    let by_runtime = said.contains("unable to store init state")
        || (host.runtime().ends_with("youki") && said.starts_with("warning: "));
    assert!(
        by_runtime || said.contains("no space left on device"),
        "{files}: {said}"
    );
}

/// Each step of a pod's way meets a full disk once: with no file free, with one, with two, …
fn wherever_it_ends(host: &Host, path: &str, room: impl Fn(usize) -> String) {
    for files in 2..MAX_FILES {
        let disk = Disk::new(host.path(path), &room(files));
        let ran = run(host, &sleeper()).wait();
        if ran.code == Some(0) {
            let pod = host.pod("p");
            let [up, ..] = sandbox(&pod.json());
            let runs = up == "True" && ran.stderr.is_empty();
            if !runs {
                blames_the_disk(files, host, &ran);
            }
            pod.podshim("delete", &["--grace-period", "0"]).expect(0);
            host.assert_nothing_left_but(&disk.0);
            if runs {
                return;
            }
        } else {
            let ran = ran.expect(1);
            blames_the_disk(files, host, &ran);
            assert_eq!(host.podshim(["get", "-q"]).text(), "", "{files}");
            assert_eq!(
                entries(&host.path("state/pods")),
                [] as [PathBuf; 0],
                "{files}"
            );
            assert_eq!(
                entries(&host.path("state/names")),
                [] as [PathBuf; 0],
                "{files}"
            );
        }
    }
    panic!("a pod never runs");
}

#[test]
fn wherever_the_disk_of_the_state_is_full_it_is_said_and_the_pod_can_be_deleted() {
    on_each_runtime(|host| wherever_it_ends(host, "state", |files| format!("nr_inodes={files}")));
}

#[test]
fn wherever_the_bytes_of_the_state_end_it_is_said_and_the_pod_can_be_deleted() {
    on_each_runtime(|host| {
        wherever_it_ends(host, "state", |pages| format!("size={}k", 4 * pages));
    });
}

#[test]
fn wherever_the_disk_of_the_data_is_full_it_is_said_and_the_pod_can_be_deleted() {
    on_each_runtime(|host| {
        wherever_it_ends(host, "data/pods", |files| format!("nr_inodes={files}"));
    });
}

#[test]
fn what_happens_while_the_disk_is_full_is_written_when_there_is_room() {
    on_each_runtime(|host| {
        let disk = Disk::new(host.path("state"), "size=4m");
        let two = [
            sh("a", "trap 'exit 7' TERM; while :; do sleep 0.1; done"),
            sh("b", "sleep 1000"),
        ];
        run(host, &pod(json!({"containers": two}))).wait().expect(0);
        let pod = host.pod("p");
        pod.until_running();
        disk.fill();
        pod.podshim("kill", &["-c", "a"]).expect(0);
        until(30, "a is gone", || {
            let pids = crate::support::instance_pids(&pod.uid, "a-0");
            if pids.is_empty() {
                Ok(())
            } else {
                Err(format!("{pids:?}"))
            }
        });
        disk.make_room();
        assert_eq!(pod.until_terminated("a")["exitCode"], 7);
        let numbers: Vec<_> = pod.events().iter().map(|e| e["seq"].as_u64()).collect();
        let gapless: Vec<_> = (0..numbers.len() as u64).map(Some).collect();
        assert_eq!(numbers, gapless, "no event is lost");
        disk.fill();
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
    });
}

#[test]
fn what_happens_is_told_while_a_disk_takes_no_further_file() {
    on_each_runtime(|host| {
        let disk = Disk::new(host.path("state"), "nr_inodes=200");
        run(host, &sleeper()).wait().expect(0);
        let pod = host.pod("p");
        let before = pod.until_running();
        assert!(before["metadata"]["deletionTimestamp"].is_null());
        disk.fill_names();
        let stop = host.background(["stop", "p", "--grace-period", "1000"]);
        pod.until("it is being stopped", |pod| {
            !pod["metadata"]["deletionTimestamp"].is_null()
        });
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
        stop.wait().expect(0);
    });
}

#[test]
fn a_pod_ends_on_a_full_disk_with_the_right_exit_code() {
    on_each_runtime(|host| {
        let disk = Disk::new(host.path("state"), "size=4m");
        let trap = "trap 'exit 7' TERM; while :; do sleep 0.1; done";
        run(host, &pod(json!({"containers": [sh("c", trap)]})))
            .wait()
            .expect(0);
        let pod = host.pod("p");
        pod.until_running();
        disk.fill();
        pod.podshim("stop", &[]).expect(0);
        assert_eq!(pod.until_terminated("c")["exitCode"], 7);
        pod.podshim("delete", &[]).expect(0);
    });
}

#[test]
fn a_container_goes_on_when_its_log_cannot_be_written() {
    on_each_runtime(|host| {
        let disk = Disk::new(host.logs(), "size=64k");
        disk.fill();
        let script = "yes | head -c 1000000; exit 3";
        run(host, &pod(json!({"containers": [sh("c", script)]})))
            .wait()
            .expect(0);
        let pod = host.pod("p");
        assert_eq!(
            pod.until_terminated("c")["exitCode"],
            3,
            "nothing blocked it"
        );
        let events = messages(&pod);
        let said = |text: &str| events.iter().any(|event| event.contains(text));
        assert!(
            said("LogRefused cannot write the log of container c"),
            "{events:?}"
        );
        assert!(said("its output is dropped"), "{events:?}");
        assert!(
            said("bytes of the output of container c are in no log"),
            "{events:?}"
        );
        pod.podshim("delete", &[]).expect(0);
    });
}

/// Reason and message of each event.
fn messages(pod: &Pod) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = pod.events();
    let events = events.iter();
    events
        .map(|event| format!("{} {}", text(&event["reason"]), text(&event["message"])))
        .collect()
}

#[test]
fn output_waits_for_the_disk_where_that_is_asked_and_none_is_lost() {
    const LINES: usize = 30_000;
    on_each_runtime(|host| {
        let disk = Disk::new(host.logs(), "size=8m");
        disk.fill();
        let script = format!("seq 1 {LINES}; exit 3");
        let asked = ["--log-when-full", "block"];
        run_with(
            host,
            &pod(json!({"containers": [sh("c", &script)]})),
            &asked,
        )
        .wait()
        .expect(0);
        let pod = host.pod("p");
        until(10, "it is told", || {
            let events = messages(&pod);
            match events
                .iter()
                .any(|event| event.ends_with("its output waits"))
            {
                true => Ok(()),
                false => Err(format!("{events:?}")),
            }
        });
        // It has said more than a pipe holds, so it waits, also for a supervisor that comes later.
        let supervisor = life_of("__supervisor", &pod.uid).expect("it lives");
        kill(Pid::from_raw(supervisor), SIGKILL).expect("it lives");
        until(20, "there is another", || {
            life_of("__supervisor", &pod.uid)
                .filter(|pid| *pid != supervisor)
                .ok_or("none")
                .map_err(str::to_owned)
        });
        assert!(!state(&pod.json(), "c").1["startedAt"].is_null());
        assert_eq!(state(&pod.json(), "c").0, "running", "it waits");
        disk.make_room();
        assert_eq!(pod.until_terminated("c")["exitCode"], 3);
        let log = pod.log("c", 0);
        let said = log
            .lines()
            .map(|line| line.splitn(4, ' ').nth(3).unwrap_or(line));
        let counted = (1..=LINES).map(|n| n.to_string());
        assert!(said.eq(counted), "{} lines", log.lines().count());
        let events = messages(&pod);
        assert!(
            !events.iter().any(|e| e.starts_with("LogLost")),
            "{events:?}"
        );
        pod.podshim("delete", &[]).expect(0);
    });
}

#[test]
fn a_container_whose_log_cannot_be_made_waits_and_says_why() {
    on_each_runtime(|host| {
        fs::write(host.logs(), "in the way").expect("a file of ours");
        let ran = run(host, &sleeper()).wait().expect(0);
        assert!(
            ran.stderr.contains("cannot open the container's log"),
            "{}",
            ran.stderr
        );
        let pod = host.pod("p");
        let message = pod.until_waiting("c", "CreateContainerError");
        assert!(
            message.contains("cannot open the container's log"),
            "{message}"
        );
        fs::remove_file(host.logs()).expect("a file of ours");
        pod.until_running();
    });
}

#[test]
fn a_container_sees_the_full_disk_of_its_writable_layer() {
    on_each_runtime(|host| {
        let _disk = Disk::new(host.path("data/pods"), "size=4m");
        let script =
            "dd if=/dev/zero of=/big bs=1M count=8 2>&1 | grep -q 'No space left' && exit 4";
        let failing = with(
            sleeper(),
            json!({"spec": {"containers": [sh("c", script)]}}),
        );
        run(host, &failing).wait().expect(0);
        let pod = host.pod("p");
        assert_eq!(pod.until_terminated("c")["exitCode"], 4);
        pod.podshim("delete", &[]).expect(0);
    });
}
