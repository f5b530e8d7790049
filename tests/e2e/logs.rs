//! What a container writes, and how it is read back.

use crate::support::{on_each_runtime, pod, sh, until, with};
use serde_json::json;

#[test]
fn c35_the_termination_message_is_the_end_of_the_file_or_of_the_log() {
    on_each_runtime(|host| {
        let long = "head -c 904 /dev/zero | tr '\\0' a >/dev/termination-log
            head -c 4096 /dev/zero | tr '\\0' b >>/dev/termination-log; exit 1";
        let lines = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; done; exit 1";
        let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
        let pod = host.start(&pod(
            json!({"containers": [sh("c", long), with(sh("d", lines), fallback)]}),
        ));
        let message = pod.until_terminated("c")["message"].clone();
        assert_eq!(message, "b".repeat(4096));
        let message = pod.until_terminated("d")["message"].clone();
        let expected: Vec<String> = (21..=100).map(|n| format!("line {n}")).collect();
        assert_eq!(
            message.as_str().map(str::trim_end),
            Some(expected.join("\n").as_str())
        );
    });
}

#[test]
fn c42_the_log_file_is_in_the_format_of_the_cri() {
    on_each_runtime(|host| {
        let script =
            "echo line; echo; head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'carriage\\r\\n'
            sleep 0.1; echo error >&2; sleep 0.1; printf unfinished";
        let pod = host.start(&pod(json!({"containers": [sh("c", script)]})));
        pod.until_terminated("c");
        let log = pod.log("c", 0);
        let mut last = String::new();
        let records: Vec<(String, String, String)> = log
            .lines()
            .map(|line| {
                let mut words = line.splitn(4, ' ').map(str::to_owned);
                let mut word = || {
                    words
                        .next()
                        .unwrap_or_else(|| panic!("a short record: {line}"))
                };
                let (time, stream, tag, content) = (word(), word(), word(), word());
                assert!(
                    time.len() == 30 && time.ends_with('Z') && time >= last,
                    "{time} after {last}"
                );
                last = time;
                (stream, tag, content)
            })
            .collect();
        let expect = |stream: &str, tag: &str, content: &str| {
            (stream.to_owned(), tag.to_owned(), content.to_owned())
        };
        let x = "x".repeat(16384);
        assert_eq!(
            records,
            [
                expect("stdout", "F", "line"),
                expect("stdout", "F", ""),
                expect("stdout", "P", &x),
                expect("stdout", "P", &x),
                expect("stdout", "F", &x[..40000 - 2 * 16384]),
                expect("stdout", "F", "carriage"),
                expect("stderr", "F", "error"),
                expect("stdout", "P", "unfinished"),
            ]
        );
        let all = pod.podshim("logs", &["-c", "c"]).text();
        assert_eq!(
            all,
            format!("line\n\n{}\ncarriage\nerror\nunfinished", "x".repeat(40000))
        );
    });
}

#[test]
fn c42_logs_are_read_by_tail_time_and_instance() {
    on_each_runtime(|host| {
        // The first instance fails; the second writes the same and stays.
        let script = "echo one; echo two; echo three; test -e /d/again && exec sleep 1000; touch /d/again; exit 1";
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "d", "emptyDir": {}}],
            "containers": [with(sh("c", script), json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]}))],
        })));
        pod.until_restarted("c", 1);
        let logs = |args: &[&str]| pod.podshim("logs", args);
        until(5, "it has written", || match logs(&[]).text() {
            text if text == "one\ntwo\nthree\n" => Ok(()),
            text => Err(text),
        });
        assert_eq!(logs(&["--tail", "2"]).text(), "two\nthree\n");
        assert_eq!(logs(&["--tail", "0"]).text(), "");
        assert_eq!(logs(&["--tail", "-1"]).text(), "one\ntwo\nthree\n");
        assert_eq!(logs(&["--since", "1h"]).text(), "one\ntwo\nthree\n");
        assert_eq!(logs(&["--since-time", "2999-01-01T00:00:00Z"]).text(), "");
        assert_eq!(logs(&["--limit-bytes", "5"]).text(), "one\nt");
        assert_eq!(logs(&["--previous"]).text(), "one\ntwo\nthree\n");
        let stamped = logs(&["--timestamps", "--tail", "1"]).text();
        let (time, line) = stamped.split_once(' ').expect("a time and a line");
        assert!(time.len() == 30 && time.ends_with('Z'), "{time}");
        assert_eq!(line, "three\n");
        logs(&["-c", "absent"]).expect(3);
    });
}

#[test]
fn following_a_log_ends_with_the_instance() {
    on_each_runtime(|host| {
        let script = "echo before; until test -e /tmp/go; do sleep 0.1; done; echo after";
        let pod = host.start(&pod(json!({"containers": [sh("c", script)]})));
        pod.until_running();
        let follower = host.background(["logs", "p", "-f"]);
        until(10, "the follower shows what was there", || {
            match follower.stdout() {
                text if text == "before\n" => Ok(()),
                text => Err(text),
            }
        });
        pod.exec("c", "touch /tmp/go").expect(0);
        assert_eq!(follower.wait().text(), "before\nafter\n");
    });
}

#[test]
fn logs_of_a_container_that_never_started_say_why() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [
            {"name": "c", "image": "localhost/absent:1", "imagePullPolicy": "Never"}
        ]})));
        pod.until_waiting("c", "ErrImageNeverPull");
        let ran = pod.podshim("logs", &[]);
        assert_ne!(ran.code, Some(0));
        let text = "container \"c\" in pod \"p\" is waiting to start: ErrImageNeverPull";
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
        let ran = pod.podshim("logs", &["--previous"]);
        let text = "previous terminated container \"c\" in pod \"p\" not found";
        assert!(
            ran.code != Some(0) && ran.stderr.contains(text),
            "{}",
            ran.stderr
        );
    });
}
