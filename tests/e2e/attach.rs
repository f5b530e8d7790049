//! `attach`: what a container writes and reads, for people and scripts.

use crate::support::{Background, at_terminal, life_of, on_each_runtime, pod, sh, until, with};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

/// Answers each line, and ends with its input.
const ECHO: &str = "echo ready; while read -r x; do echo got $x; done; exit 7";

/// Waits until this much has been printed.
#[track_caller]
fn until_printed(attached: &Background, text: &str) {
    until(20, text, || {
        let seen = attached.stdout();
        if seen.contains(text) {
            Ok(())
        } else {
            Err(format!("{seen}{}", attached.stderr()))
        }
    });
}

#[test]
fn what_is_given_once_ends_with_the_one_who_gives_it() {
    on_each_runtime(|host| {
        let once = |name| with(sh(name, ECHO), json!({"stdin": true, "stdinOnce": true}));
        let pod = host.start(&pod(json!({"containers": [once("a"), once("b")]})));
        pod.until_running();
        let run = |input: &str| host.podshim_with_input(["attach", "p", "-i", "-c", "a"], input);
        let ran = run("one\ntwo\n").expect(7);
        assert_eq!(
            ran.stdout.trim_start_matches("ready\n"),
            "got one\ngot two\n"
        );
        assert_eq!(pod.log("a", 0).lines().count(), 3, "all of it is logged");
        let late = run("").expect(125);
        assert!(
            late.stderr.contains("`a` is not running"),
            "{}",
            late.stderr
        );

        // Whoever has it may be killed.
        let mut holder = host.command(["attach", "p/b", "-i"]);
        let mut holder = holder
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        holder
            .stdin
            .as_mut()
            .expect("a pipe")
            .write_all(b"x\n")
            .expect("written");
        let mut out = String::new();
        let mut pipe = holder.stdout.take().expect("a pipe");
        read_until(&mut pipe, &mut out, "got x\n");
        let second = host.podshim(["attach", "p/b", "-i"]).expect(125);
        assert!(
            second.stderr.contains("given to another client"),
            "{}",
            second.stderr
        );
        holder.kill().expect("ours");
        holder.wait().expect("ours");
        pod.until_terminated("b");
        let ended = pod.json();
        assert_eq!(crate::support::state(&ended, "b").1["exitCode"], 7);
    });
}

#[test]
fn an_input_that_stays_open_serves_one_after_the_other() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(
            json!({"containers": [with(sh("c", ECHO), json!({"stdin": true}))]}),
        ));
        pod.until_running();
        for word in ["one", "two"] {
            let mut command = host.command(["attach", "p", "-i"]);
            let attached = crate::support::background(&mut command, format!("{word}\n").as_bytes());
            until_printed(&attached, &format!("got {word}\n"));
            kill(Pid::from_raw(attached.pid()), Signal::SIGTERM).expect("it lives");
            assert_eq!(attached.wait().code, None, "it only leaves");
        }
        pod.until_running();
        // The supervisor's death does not close it.
        let supervisor = life_of("__supervisor", &pod.uid).expect("it lives");
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it lives");
        let mut command = host.command(["attach", "p", "-i"]);
        let attached = crate::support::background(&mut command, b"three\n");
        until_printed(&attached, "got three\n");
        pod.podshim("kill", &["-s", "KILL"]).expect(0);
        assert_eq!(attached.wait().code, Some(137));
    });
}

#[test]
fn all_who_are_attached_see_the_same_also_after_the_supervisor_died() {
    on_each_runtime(|host| {
        let script = "i=0; until test -e /tmp/end; do i=$((i+1)); echo line $i; echo err $i >&2; sleep 0.1; done; exit 3";
        let pod = host.start(&pod(json!({"containers": [sh("c", script)]})));
        pod.until_running();
        let attach = || host.background(["attach", "p"]);
        let all = [attach(), attach()];
        let count = |one: &Background| one.stdout().lines().count();
        let until_more = |one: &Background| {
            let before = count(one);
            until(20, "more lines", || match count(one) {
                now if now > before + 3 => Ok(()),
                now => Err(format!("{now}: {}", one.stderr())),
            });
        };
        all.iter().for_each(until_more);
        let supervisor = life_of("__supervisor", &pod.uid).expect("it lives");
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it lives");
        all.iter().for_each(until_more);
        pod.exec("c", "touch /tmp/end").expect(0);
        for one in all {
            let ran = one.wait().expect(3);
            assert!(
                ran.stderr.contains("`podshim logs` has it"),
                "{}",
                ran.stderr
            );
            assert!(
                ran.stdout.lines().all(|line| line.starts_with("line ")),
                "{}",
                ran.stdout
            );
            assert!(ran.stderr.contains("err "), "{}", ran.stderr);
            let last = pod.log("c", 0);
            let last = last
                .lines()
                .rfind(|line| line.contains(" stdout "))
                .expect("lines");
            let seen = ran.stdout.lines().last().expect("lines");
            assert!(last.ends_with(seen), "{last} is the last, not {seen}");
        }
    });
}

/// Reads until this was printed.
#[track_caller]
fn read_until(from: &mut ChildStdout, seen: &mut String, text: &str) {
    let mut block = [0; 1024];
    while !seen.contains(text) {
        let n = from.read(&mut block).expect("readable");
        assert!(n > 0, "it ended before `{text}`: {seen}");
        seen.push_str(&String::from_utf8_lossy(&block[..n]));
    }
}

#[test]
fn a_terminal_shows_its_prompt_and_is_left_by_two_keys() {
    on_each_runtime(|host| {
        let script = "stty -echo; until stty size | grep '33 99'; do sleep 0.1; done; printf 'name? '; read -r x; echo hello $x; exit 5";
        let tty = with(
            sh("c", script),
            json!({"stdin": true, "tty": true, "stdinOnce": true}),
        );
        let pod = host.start(&pod(json!({"containers": [tty]})));
        pod.until_running();
        let attach = |act: &dyn Fn(&mut ChildStdin, &mut ChildStdout, &mut String)| {
            let mut command = at_terminal(&host.command(["attach", "-it", "p"]));
            let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("script must be installed");
            let (mut to, mut from) = (
                child.stdin.take().expect("a pipe"),
                child.stdout.take().expect("a pipe"),
            );
            let mut seen = String::new();
            act(&mut to, &mut from, &mut seen);
            from.read_to_string(&mut seen).expect("text");
            drop(to);
            (child.wait().expect("ours").code(), seen)
        };
        let (code, seen) = attach(&|to, from, seen| {
            read_until(from, seen, "name? ");
            to.write_all(b"\x10x\x7f\x10\x11").expect("typed");
        });
        assert_eq!(code, Some(0), "{seen}");
        pod.until_running();
        // The prompt was printed long ago, and its line has not ended.
        let (code, seen) = attach(&|to, from, seen| {
            read_until(from, seen, "name? ");
            to.write_all(b"\x15bob\r").expect("typed");
        });
        assert_eq!(code, Some(5), "{seen}");
        assert!(seen.contains("hello bob"), "{seen}");
    });
}

#[test]
fn who_cannot_be_attached_is_told_why() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(
            json!({"containers": [sh("a", "exec sleep 1000"), sh("b", "exit 0")]}),
        ));
        pod.until_terminated("b");
        for (args, why) in [
            (&["p/a", "-i"][..], "`a` has no standard input"),
            (&["p/b"], "`b` is not running"),
            (&["p/c"], "container `c`"),
            (&["q"], "`q`"),
            (&["p"], "a b"),
        ] {
            let ran = host.podshim([&["attach"], args].concat()).expect(125);
            assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
        }
        host.podshim(["attach", "-t", "p/a"]).expect(2);
    });
}
