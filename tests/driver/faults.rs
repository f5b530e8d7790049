//! Each fault ends in the right error, without a hang and without a process left.

use crate::faulty::Faulty;
use crate::id;
use crate::processes::{drained, is_process, stdio};
use podshim::base::{Exit, Signal};
use podshim::runtime::{ExecCall, RuntimeError, find};
use std::fs;
use std::time::Duration;
use tokio::time::timeout;

/// The deadline of calls that are to miss it.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_call_that_hangs_is_killed_with_all_it_started() {
    let mut faulty = Faulty::alone();
    faulty.fault("create", "hang");
    faulty.driver.deadlines.create = SHORT;
    let (io, output) = stdio();
    let error = faulty.create(io).await.expect_err("it hangs");
    assert!(
        matches!(error, RuntimeError::Hung { deadline, .. } if deadline == SHORT),
        "{error}"
    );
    assert!(error.is_hung());
    assert!(!is_process(faulty.pids()[0]), "the leader is reaped");
    assert_eq!(drained(output).await, "", "nobody holds the pipe");
}

#[tokio::test]
async fn start_and_delete_are_given_up_too() {
    let mut faulty = Faulty::alone();
    faulty.driver.deadlines.start = SHORT;
    faulty.driver.deadlines.delete = SHORT;
    faulty.fault("start", "hang");
    faulty.fault("delete", "hang");
    let error = faulty.start().await.expect_err("it hangs");
    assert!(matches!(error, RuntimeError::Hung { .. }), "{error}");
    assert!(!is_process(faulty.pids()[0]));
    fs::create_dir_all(faulty.driver.root.join("c-1")).expect("state");
    let deleting = faulty
        .driver
        .delete(&id("c-1"), &faulty.path("log"), true)
        .await;
    let error = deleting.expect_err("it hangs");
    assert!(matches!(error, RuntimeError::Hung { .. }), "{error}");
    assert!(!is_process(faulty.pids()[0]));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_killed() {
    let faulty = Faulty::alone();
    faulty.fault("create", "hang");
    let (io, output) = stdio();
    let given_up = timeout(SHORT, faulty.create(io)).await;
    assert!(given_up.is_err());
    assert_eq!(drained(output).await, "", "nobody holds the pipe");
}

#[tokio::test]
async fn a_call_that_dies_of_a_signal_leaves_the_unknown() {
    let error = Faulty::alone().create_with("die").await;
    let error = error.expect_err("it dies");
    assert!(
        matches!(&error, RuntimeError::Died { signal, .. } if *signal == Signal::KILL),
        "{error}"
    );
    assert!(error.is_hung());
}

#[tokio::test]
async fn a_yes_without_a_process_id_is_not_believed() {
    let faulty = Faulty::alone();
    fs::write(faulty.path("pid"), "4242").expect("a file of an earlier call");
    for fault in ["ok", "pid-garbage", "pid-empty", "pid-negative", "pid-fifo"] {
        let error = faulty.create_with(fault).await.expect_err(fault);
        assert!(
            matches!(error, RuntimeError::PidFile { .. }),
            "{fault}: {error}"
        );
        assert!(error.is_hung(), "{fault}");
    }
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_the_last_error_of_the_log() {
    let faulty = Faulty::alone();
    let error = faulty.create_with("log-error").await.expect_err("refused");
    assert_eq!(error.reason(), "no such thing");
    assert!(!error.is_hung());
    let RuntimeError::Refused(refused) = error else {
        panic!("{error}")
    };
    assert_eq!(refused.exit, Exit::Code(1));
    assert!(
        refused.argv.contains(" create --bundle "),
        "{}",
        refused.argv
    );
    assert_eq!(refused.stderr, "", "that was the container's");

    let error = faulty
        .create_with("log-garbage")
        .await
        .expect_err("refused");
    assert_eq!(
        error.reason(),
        "exit code 3",
        "an earlier call's reason is not this one's"
    );
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_its_end_kept() {
    let faulty = Faulty::alone();
    faulty.fault("start", "flood");
    let error = faulty.start().await.expect_err("refused");
    assert_eq!(error.reason(), "the end");
    let RuntimeError::Refused(refused) = error else {
        panic!("{error}")
    };
    assert_eq!(refused.exit, Exit::Code(4));
    assert!(refused.stderr.len() <= 4096, "{}", refused.stderr.len());
}

#[tokio::test]
async fn output_that_stays_open_holds_up_nothing() {
    let faulty = Faulty::alone();
    faulty.fault("start", "leak");
    faulty.start().await.expect("its exit is its end");
    let survivor = faulty.pids()[0];
    assert!(is_process(survivor), "it holds our pipe");
    drop(
        fs::OpenOptions::new()
            .write(true)
            .open(faulty.path("never")),
    );
}

#[tokio::test]
async fn nothing_of_our_environment_reaches_a_runtime_but_what_it_needs() {
    let faulty = Faulty::alone();
    faulty.fault("start", "env");
    faulty.start().await.expect("it prints its environment");
    let text = fs::read_to_string(faulty.path("env")).expect("environment");
    let names: Vec<_> = text.lines().filter_map(|l| l.split_once('=')).collect();
    assert!(names.iter().any(|(name, _)| *name == "PATH"));
    assert!(
        std::env::vars().any(|(name, _)| name.starts_with("CARGO_")),
        "cargo gives us some that must not pass"
    );
    // The last three are the shell's own.
    let expected = [
        "PATH",
        "HOME",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "PWD",
        "SHLVL",
        "_",
    ];
    for (name, _) in names {
        assert!(expected.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_plain_name_reaches_no_program() {
    let faulty = Faulty::alone();
    faulty.fault("start", "hang");
    for bad in ["../x", "--force", "", "a/b"] {
        let error = faulty
            .driver
            .start(&id(bad), None, &faulty.path("log"))
            .await;
        assert!(
            matches!(error, Err(RuntimeError::InvalidId { .. })),
            "{bad}"
        );
        assert!(!faulty.driver.knows(&id(bad)));
    }
}

#[tokio::test]
async fn a_program_that_is_absent_or_no_runtime_is_named() {
    let absent = find(Some("/nonexistent/runc")).await;
    assert!(matches!(absent, Err(RuntimeError::NotFound { .. })));
    let other = find(Some("/bin/echo")).await;
    assert!(matches!(other, Err(RuntimeError::Version { .. })));
    let failing = find(Some("/bin/false")).await;
    assert!(matches!(failing, Err(RuntimeError::Refused(_))));
}

#[tokio::test]
async fn exec_argv_detaches_and_ends_in_the_container() {
    let faulty = Faulty::alone();
    let id = id("c-1");
    let exec = ExecCall {
        id: &id,
        process: "/j".as_ref(),
        pid_file: "/p".as_ref(),
        console: Some("/s".as_ref()),
    };
    let argv = faulty.driver.exec_argv(&exec).expect("argv");
    let root = faulty.driver.root.as_os_str();
    assert_eq!(argv[0], faulty.path("runc"));
    assert_eq!(argv[1..4], ["--root".as_ref(), root, "exec".as_ref()]);
    let rest = "--detach --process /j --pid-file /p --console-socket /s c-1";
    assert_eq!(argv[4..], rest.split(' ').collect::<Vec<_>>());
}
