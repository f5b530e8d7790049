//! Whoever can reach the control socket of a pod: whatever they send, or do not, changes nothing for the pod.

use crate::support::{Host, Pod, life_of, on_each_runtime, pod, sh, status, until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::scope;
use std::time::Duration;

/// Memory of its own, in KiB: more than a quiet supervisor of an unoptimised build has, and far less than these callers send.
const MAX_SUPERVISOR_KIB: u64 = 8 * 1024;

fn socket(host: &Host, pod: &Pod) -> PathBuf {
    host.path("state/pods").join(&pod.uid).join("control.sock")
}

/// A container that says nothing and ends with 7 when asked.
fn quiet() -> Value {
    pod(json!({"containers": [sh("c", "trap 'exit 7' TERM; while :; do sleep 0.05; done")]}))
}

/// While and after `mischief`, a pod of one container is as it was: it answers, and it ends as it should.
fn unmoved(mischief: impl Fn(&Host, &Pod)) {
    on_each_runtime(|host| {
        let pod = host.start(&quiet());
        pod.until_running();
        let pid = pod.pid("c");
        let supervisor = life_of("__supervisor", &pod.uid);
        mischief(host, &pod);
        assert_eq!(life_of("__supervisor", &pod.uid), supervisor, "it lives");
        let kib = own_kib(supervisor.expect("it lives"));
        assert!(kib < MAX_SUPERVISOR_KIB, "it has {kib} KiB");
        assert_eq!(pod.pid("c"), pid);
        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        assert_eq!(status(&json, "c")["state"]["terminated"]["exitCode"], 7);
        assert_eq!(status(&json, "c")["restartCount"], 0);
    });
}

/// What a process has that is no file's: the program's own pages count for more or less by how many others run it.
fn own_kib(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it lives");
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.expect("the kernel says it")
}

fn connect(path: &PathBuf) -> UnixStream {
    let stream = UnixStream::connect(path).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    stream
}

#[test]
fn another_user_is_refused_even_where_files_would_let_them_in() {
    unmoved(|host, pod| {
        let path = socket(host, pod);
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        for dir in path
            .ancestors()
            .skip(1)
            .take_while(|dir| *dir != std::path::Path::new("/tmp"))
        {
            std::fs::set_permissions(dir, mode(0o711)).expect("ours");
        }
        std::fs::set_permissions(&path, mode(0o666)).expect("ours");
        let stop = json!({"method": "io.podshim.Pod.Request",
            "parameters": {"request": {"Stop": {"grace_seconds": 0, "force": true}}}});
        let script = "use IO::Socket::UNIX; $SIG{PIPE} = 'IGNORE'; $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; \
                      print $s $ARGV[1].\"\\0\"; $s->flush; print scalar(<$s>) // 'nothing'";
        let mut command = Command::new("perl");
        command
            .args(["-e", script])
            .arg(&path)
            .arg(stop.to_string());
        command.uid(65534).gid(65534);
        let ran = crate::support::run(&mut command).expect(0);
        assert_eq!(ran.stdout, "nothing", "{}", ran.stderr);
    });
}

#[test]
fn malformed_requests_are_answered_and_huge_ones_end_the_connection() {
    unmoved(|host, pod| {
        let path = socket(host, pod);
        for bad in [
            "",
            "{",
            "[]",
            "{\"method\": 7}",
            "{\"method\": \"io.podshim.Pod.Fly\"}",
            "\u{1}\u{2}",
        ] {
            let mut stream = connect(&path);
            stream
                .write_all(format!("{bad}\0").as_bytes())
                .expect("it reads");
            let mut reply = [0; 512];
            let n = stream.read(&mut reply).expect("it answers");
            assert!(
                String::from_utf8_lossy(&reply[..n]).contains("error"),
                "{bad}"
            );
        }
        let mut stream = connect(&path);
        let sent = (0..1024).try_for_each(|_| stream.write_all(&[b'x'; 64 * 1024]));
        assert!(sent.is_err(), "64 MiB without an end are not read");
    });
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out() {
    unmoved(|host, pod| {
        let path = socket(host, pod);
        let _silent: Vec<UnixStream> = (0..1000).map(|_| connect(&path)).collect();
        pod.podshim("wait", &["--for", "phase=Running", "--timeout", "5s"])
            .expect(0);
        let trickle = connect(&path);
        (&trickle).write_all(b"{\"method\"").expect("it reads");
        pod.podshim("wait", &["--for", "phase=Running", "--timeout", "5s"])
            .expect(0);
    });
}

#[test]
fn callers_that_never_stop_asking_delay_nothing() {
    unmoved(|host, pod| {
        let path = socket(host, pod);
        let ask = "{\"method\":\"io.podshim.Pod.Watch\"}\0".repeat(64);
        let done = std::sync::atomic::AtomicBool::new(false);
        scope(|threads| {
            for reads in [true, true, true, false] {
                let (path, ask, done) = (&path, &ask, &done);
                threads.spawn(move || {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let mut stream = connect(path);
                        let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
                        let mut replies = [0; 64 * 1024];
                        // One reads what it asked for, the other does not; both are let go of in the end.
                        for _ in 0..64 {
                            if stream.write_all(ask.as_bytes()).is_err()
                                || (reads && stream.read(&mut replies).is_err())
                            {
                                break;
                            }
                        }
                    }
                });
            }
            for _ in 0..5 {
                pod.podshim("wait", &["--for", "phase=Running", "--timeout", "5s"])
                    .expect(0);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

#[test]
fn a_client_that_vanishes_leaves_nothing_open() {
    unmoved(|host, pod| {
        let path = socket(host, pod);
        let supervisor = life_of("__supervisor", &pod.uid).expect("it lives");
        let open = || {
            std::fs::read_dir(format!("/proc/{supervisor}/fd"))
                .expect("it lives")
                .count()
        };
        let before = open();
        for _ in 0..100 {
            let mut stream = connect(&path);
            stream
                .write_all(b"{\"method\":\"io.podshim.Pod.Watch\",\"more\":true}\0")
                .expect("it reads");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it answers");
        }
        until(10, "all are closed", || match open() {
            now if now <= before => Ok(()),
            now => Err(format!("{now} of {before}")),
        });
    });
}
