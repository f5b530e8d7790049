//! Container output through real pipes into real files and back.

use podshim::stdio::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn on_a_loop<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn never() -> impl Future<Output = Stop> {
    std::future::pending()
}

/// Nobody attaches.
fn nobody() -> tokio::sync::mpsc::Receiver<Tap> {
    tokio::sync::mpsc::channel(1).1
}

/// Runs a pump into `log` while `write` has the container's side of stdout and stderr.
fn pumped(log: LogFile, write: impl FnOnce(File, File) + Send + 'static) -> PumpReport {
    let StdioPipes { ours, container } = StdioPipes::new(false).expect("pipes");
    let writer =
        std::thread::spawn(move || write(container.stdout.into(), container.stderr.into()));
    let report = on_a_loop(pump(ours.stdout, Some(ours.stderr), log, nobody(), never()));
    writer.join().expect("the writer ends");
    report
}

fn open(dir: &Path) -> (PathBuf, LogFile) {
    let path = dir.join("ns_p_uid/c/0.log");
    let log = LogFile::open(path.clone(), LogLimits::default()).expect("a log file");
    (path, log)
}

/// (stream, tag, content) of each record of a file, in order.
fn records(path: &Path) -> Vec<(Stream, bool, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("the log");
    let lines = bytes.split_inclusive(|b| *b == b'\n');
    lines
        .map(|line| {
            assert!(line.ends_with(b"\n"), "a torn record");
            let record = Record::parse(line).expect("a record");
            (record.stream, record.ends_line, record.content.to_vec())
        })
        .collect()
}

/// All files of a log, oldest first.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let dir = path.parent().expect("a directory");
    let mut files: Vec<_> = dir
        .read_dir()
        .expect("the directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| file != path)
        .collect();
    files.sort();
    files.push(path.to_owned());
    files
}

fn printed(path: &Path, query: LogQuery) -> String {
    let mut out = Vec::new();
    print(path, &query, &mut out).expect("printed");
    String::from_utf8(out).expect("text")
}

#[test]
fn output_of_every_shape_becomes_the_records_of_the_specification() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    let report = pumped(log, |mut out, mut err| {
        out.write_all(b"line\n\ncrlf\r\n\xff\0\n").expect("written");
        out.write_all(&[b'x'; 40_000]).expect("written");
        out.write_all(b"\nno newline").expect("written");
        drop(out);
        err.write_all(b"bad\n").expect("written");
    });
    assert_eq!(
        report,
        PumpReport {
            bytes: 15 + 40_000 + 11 + 4,
            lost_bytes: 0,
            cut: false
        }
    );
    let (err, out): (Vec<_>, Vec<_>) = records(&path)
        .into_iter()
        .partition(|r| r.0 == Stream::Stderr);
    assert_eq!(err, [(Stream::Stderr, true, b"bad".to_vec())]);
    let shapes: Vec<_> = out
        .iter()
        .map(|(_, f, content)| (*f, content.len(), content.first().copied()))
        .collect();
    let x = Some(b'x');
    assert_eq!(
        shapes,
        [
            (true, 4, Some(b'l')),
            (true, 0, None),
            (true, 4, Some(b'c')),
            (true, 2, Some(0xff)),
            (false, 16384, x),
            (false, 16384, x),
            (true, 7232, x),
            (false, 10, Some(b'n'))
        ]
    );
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o640);
    assert_eq!(mode(path.parent().expect("a directory")), 0o755);
}

#[test]
fn a_burst_through_rotations_has_every_line_once_and_in_order() {
    const LINES: usize = 1_000_000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("0.log");
    let limits = LogLimits {
        file_bytes: 20 << 20,
        files: 50,
        ..LogLimits::default()
    };
    let log = LogFile::open(path.clone(), limits).expect("a log file");
    let report = pumped(log, |out, _err| {
        let mut out = std::io::BufWriter::with_capacity(1 << 16, out);
        for n in 0..LINES {
            writeln!(out, "{n:0199}").expect("written");
        }
    });
    assert_eq!((report.bytes, report.lost_bytes), (LINES as u64 * 200, 0));
    let files = files_of(&path);
    assert!(files.len() >= 10, "{} files", files.len());
    let mut next = 0;
    for file in &files {
        let size = file.metadata().expect("there").len();
        assert!(size > 0 && size < limits.file_bytes + (1 << 20), "{size}");
        let bytes = std::fs::read(file).expect("the log");
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let record = Record::parse(line).expect("a record");
            let content = std::str::from_utf8(record.content).expect("digits");
            assert!(record.ends_line);
            assert_eq!(content.parse(), Ok(next));
            next += 1;
        }
    }
    assert_eq!(next, LINES);
}

#[test]
fn only_so_many_files_are_kept_and_long_lines_are_not_split_between_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("3.log");
    let limits = LogLimits {
        // Some eight of the largest reads, one of which ends where a file may.
        file_bytes: 1_000_000,
        files: 3,
        ..LogLimits::default()
    };
    let log = LogFile::open(path.clone(), limits).expect("a log file");
    pumped(log, |mut out, _err| {
        for n in 0..300 {
            let line = format!("{n:03}{}\n", "x".repeat(19_997));
            out.write_all(line.as_bytes()).expect("written");
        }
    });
    let files = files_of(&path);
    assert_eq!(files.len(), 3);
    let mut lines = Vec::new();
    for file in &files {
        let text = printed(file, LogQuery::default());
        for line in text.lines() {
            assert_eq!(line.len(), 20_000);
            lines.push(line[..3].parse::<usize>().expect("a number"));
        }
        assert!(text.ends_with('\n'));
    }
    let first = lines[0];
    assert_eq!(lines, (first..300).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_neither_blocks_the_container_nor_tears_a_record() {
    std::thread::spawn(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = dir.path().join("disk");
        std::fs::create_dir(&disk).expect("made");
        in_own_mounts();
        mount_tmpfs(&disk, "size=64k");
        let filler = disk.join("filler");
        std::fs::write(&filler, vec![0; 20_000]).expect("written");
        let path = disk.join("0.log");
        let log = LogFile::open(path.clone(), LogLimits::default()).expect("a log file");
        let counters = log.counters();
        let report = pumped(log, move |mut out, _err| {
            for n in 0..100_000 {
                writeln!(out, "{n:020}").expect("the container is never stopped");
            }
        });
        assert_eq!(report.bytes, 2_100_000);
        assert!(report.lost_bytes > 2_000_000, "{}", report.lost_bytes);
        let error = counters.last_error().expect("a reason");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        let before = records(&path).len();
        assert!(before > 100);
        std::fs::remove_file(filler).expect("removed");
        let log = LogFile::open(path.clone(), LogLimits::default()).expect("a log file");
        let report = pumped(log, |mut out, _err| {
            out.write_all(b"again\n").expect("written")
        });
        assert_eq!(report.lost_bytes, 0);
        let after = records(&path);
        assert_eq!(after.len(), before + 1);
        assert_eq!(after[before].2, b"again");
        nix::mount::umount(&disk).expect("unmounted");
    })
    .join()
    .expect("passed");
}

fn in_own_mounts() {
    use nix::mount::{MsFlags, mount};
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS | nix::sched::CloneFlags::CLONE_NEWNS)
        .expect("a mount namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
}

fn mount_tmpfs(path: &Path, options: &str) {
    use nix::mount::{MsFlags, mount};
    mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options),
    )
    .expect("mounted");
}

#[test]
fn a_child_that_keeps_the_output_open_is_waited_for_one_second_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    let StdioPipes { ours, container } = StdioPipes::new(false).expect("pipes");
    File::from(container.stdout.try_clone().expect("a copy"))
        .write_all(b"last words")
        .expect("written");
    let ended = async { Stop::Ended };
    let report = on_a_loop(async {
        let pumping = pump(ours.stdout, Some(ours.stderr), log, nobody(), ended);
        tokio::time::timeout(Duration::from_secs(5), pumping).await
    })
    .expect("in time");
    assert!(report.cut);
    assert_eq!(
        records(&path),
        [(Stream::Stdout, false, b"last words".to_vec())]
    );
    drop(container);
}

#[test]
fn what_was_written_before_the_end_is_logged_before_the_pump_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    let StdioPipes { ours, container } = StdioPipes::new(false).expect("pipes");
    let full = vec![b"0123456789abcde\n".to_vec(); 65_536].concat();
    File::from(container.stdout)
        .write_all(&full)
        .expect("1 MiB fits");
    drop(container.stderr);
    let report = on_a_loop(pump(ours.stdout, Some(ours.stderr), log, nobody(), async {
        Stop::Ended
    }));
    assert_eq!((report.bytes, report.cut), (1 << 20, false));
    assert_eq!(printed(&path, LogQuery::default()).as_bytes(), full);
}

#[test]
fn another_process_goes_on_with_the_pipes_without_losing_a_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    let StdioPipes { ours, container } = StdioPipes::new(false).expect("pipes");
    let kept: OwnedFd = ours.stdout.try_clone().expect("a copy");
    let mut out = File::from(container.stdout);
    drop(container.stderr);
    out.write_all(b"one\nhalf").expect("written");
    let seen = log.counters();
    on_a_loop(async {
        let handover = async {
            while seen.read_bytes() < 8 {
                tokio::task::yield_now().await;
            }
            Stop::HandedOver
        };
        pump(ours.stdout, None, log, nobody(), handover).await
    });
    out.write_all(b" and half\n").expect("written");
    drop(out);
    let log = LogFile::open(path.clone(), LogLimits::default()).expect("a log file");
    on_a_loop(pump(kept, None, log, nobody(), never()));
    assert_eq!(printed(&path, LogQuery::default()), "one\nhalf and half\n");
    let tags: Vec<_> = records(&path).iter().map(|r| r.1).collect();
    assert_eq!(tags, [true, false, true]);
}

#[test]
fn a_pump_that_is_killed_is_followed_by_one_that_goes_on_with_the_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    let StdioPipes { ours, container } = StdioPipes::new(false).expect("pipes");
    let (mut out, mut err) = (File::from(container.stdout), File::from(container.stderr));
    let mut log = Some(log);
    for (n, (text, warning)) in [("one\nPass", "wa"), ("word", "rn\n"), (": ", "e")]
        .iter()
        .enumerate()
    {
        out.write_all(text.as_bytes()).expect("written");
        err.write_all(warning.as_bytes()).expect("written");
        let log = log.take().unwrap_or_else(|| open(dir.path()).1);
        let seen = log.counters();
        let all = (text.len() + warning.len()) as u64;
        let (stdout, stderr) = (ours.stdout.try_clone(), ours.stderr.try_clone());
        on_a_loop(async {
            let killed = async {
                while seen.read_bytes() < all {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                _ = pump(stdout.expect("a copy"), stderr.ok(), log, nobody(), never()) => panic!("ended at {n}"),
                () = killed => {}
            }
        });
    }
    out.write_all(b"secret\n").expect("written");
    drop((out, err));
    let log = open(dir.path()).1;
    on_a_loop(pump(ours.stdout, Some(ours.stderr), log, nobody(), never()));
    let mut got = records(&path);
    got.sort_by_key(|record| record.0 == Stream::Stderr);
    let want = [
        (Stream::Stdout, true, &b"one"[..]),
        (Stream::Stdout, true, b"Password: secret"),
        (Stream::Stderr, true, b"warn"),
        (Stream::Stderr, false, b"e"),
    ];
    assert_eq!(
        got,
        want.map(|(stream, full, text)| (stream, full, text.to_vec()))
    );
    assert_eq!(files_of(&path), [path], "nothing is left beside the log");
}

#[test]
fn a_record_torn_by_a_crash_does_not_swallow_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("0.log");
    std::fs::write(&path, "2026-01-02T15:04:05.000000000Z stdout F tor").expect("written");
    let log = LogFile::open(path.clone(), LogLimits::default()).expect("a log file");
    pumped(log, |mut out, _err| {
        out.write_all(b"next\n").expect("written")
    });
    assert_eq!(printed(&path, LogQuery::default()), "tor\nnext\n");
}

#[test]
fn a_planted_link_is_not_written_through() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = dir.path().join("target");
    std::fs::write(&target, "").expect("written");
    let path = dir.path().join("0.log");
    std::os::unix::fs::symlink(&target, &path).expect("linked");
    assert!(LogFile::open(path, LogLimits::default()).is_err());
}

#[test]
fn logs_before_the_previous_attempt_are_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in [
        "0.log",
        "1.log",
        "1.log.20260102-150405.gz",
        ".1.log.held",
        "2.log",
        "2.log.20260102-150405",
        "3.log",
        "notes",
    ] {
        std::fs::write(dir.path().join(name), "").expect("written");
    }
    prune_attempts(dir.path(), 3).expect("pruned");
    let mut left: Vec<_> = dir
        .path()
        .read_dir()
        .expect("the directory")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    left.sort();
    assert_eq!(left, ["2.log", "2.log.20260102-150405", "3.log", "notes"]);
}

const LOG: &str = "\
2026-01-02T15:04:05.000000001Z stdout F one
2026-01-02T15:04:06.5Z stderr F two
no record
2026-01-02T16:04:07.25+01:00 stdout P thr
2026-01-02T15:04:08.000000000Z stdout F ee
2026-01-02T15:04:09.000000000Z stdout P end";

fn log_of(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

#[test]
fn logs_are_printed_as_kubectl_does() {
    let file = log_of(LOG);
    let at = |text: &str| Some(text.parse().expect("a time"));
    let all = LogQuery::default();
    let cases: Vec<(LogQuery, &str)> = vec![
        (all.clone(), "one\ntwo\nthree\nend"),
        (
            LogQuery {
                tail: Some(0),
                ..all.clone()
            },
            "",
        ),
        (
            LogQuery {
                tail: Some(1),
                ..all.clone()
            },
            "ee\nend",
        ),
        (
            LogQuery {
                tail: Some(2),
                ..all.clone()
            },
            "three\nend",
        ),
        (
            LogQuery {
                tail: Some(99),
                ..all.clone()
            },
            "one\ntwo\nthree\nend",
        ),
        (
            LogQuery {
                since: at("2026-01-02T15:04:06.5Z"),
                ..all.clone()
            },
            "two\nthree\nend",
        ),
        (
            LogQuery {
                since: at("2026-01-02T15:04:08Z"),
                tail: Some(2),
                ..all.clone()
            },
            "ee\nend",
        ),
        (
            LogQuery {
                limit_bytes: Some(6),
                ..all.clone()
            },
            "one\ntw",
        ),
        (
            LogQuery {
                limit_bytes: Some(0),
                prefix: Some("[c] ".into()),
                ..all.clone()
            },
            "",
        ),
        (
            LogQuery {
                prefix: Some("[c] ".into()),
                ..all.clone()
            },
            "[c] one\n[c] two\n[c] three\n[c] end",
        ),
        (
            LogQuery {
                timestamps: true,
                tail: Some(3),
                prefix: Some("[c] ".into()),
                ..all.clone()
            },
            "[c] 2026-01-02T15:04:07.250000000Z three\n[c] 2026-01-02T15:04:09.000000000Z end",
        ),
    ];
    for (query, want) in cases {
        assert_eq!(printed(file.path(), query.clone()), want, "{query:?}");
    }
}

#[test]
fn the_tail_is_found_across_blocks() {
    let line = |n: usize| format!("2026-01-02T15:04:05.000000000Z stdout F {n:0>9}\n");
    let file = log_of(&(0..20_000).map(line).collect::<String>());
    for tail in [0, 1, 1260, 1261, 1262, 19_999, 20_000, 20_001] {
        let query = LogQuery {
            tail: Some(tail),
            ..LogQuery::default()
        };
        let text = printed(file.path(), query);
        let first = 20_000_u64.saturating_sub(tail);
        assert_eq!(text.lines().count() as u64, 20_000 - first, "{tail}");
        let want = (tail > 0).then(|| format!("{first:0>9}"));
        assert_eq!(text.lines().next().map(str::to_owned), want);
    }
}

#[test]
fn a_follower_sees_every_line_across_rotations_and_ends_with_the_instance() {
    // More than 10 of the largest reads, each of which is more than a file.
    const LINES: usize = 20_000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("0.log");
    let limits = LogLimits {
        file_bytes: 100_000,
        files: 1000,
        ..LogLimits::default()
    };
    let log = LogFile::open(path.clone(), limits).expect("a log file");
    let source = LogSource {
        path: path.clone(),
        query: LogQuery::default(),
    };
    let missing = LogSource {
        path: dir.path().join("never.log"),
        query: LogQuery::default(),
    };
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let follower = std::thread::spawn(move || {
        let (told, mut out) = (
            source.path.parent().expect("a directory").to_owned(),
            Vec::new(),
        );
        let ended = |_| is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected);
        follow(&[source, missing], Told::ByFileIn(&told), &mut out, ended).expect("followed");
        String::from_utf8(out).expect("text")
    });
    pumped(log, |mut out, _err| {
        for n in 0..LINES {
            writeln!(out, "{n:099}").expect("written");
        }
    });
    drop(done);
    let text = follower.join().expect("the follower ends");
    assert!(files_of(&path).len() > 10);
    let got: Vec<usize> = text.lines().map(|l| l.parse().expect("a number")).collect();
    assert_eq!(got, (0..LINES).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_vanishes_ends_the_following_and_nothing_else() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let file = log_of(LOG);
    let told = tempfile::tempdir().expect("a directory");
    let source = LogSource {
        path: file.path().to_owned(),
        query: LogQuery::default(),
    };
    let error =
        follow(&[source], Told::ByFileIn(told.path()), &mut Gone, |_| false).expect_err("ends");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn the_termination_message_is_the_end_of_its_file_or_of_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("message");
    create_message_file(&file).expect("made");
    let mode = file.metadata().expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode, 0o666);
    let line = |n: usize| format!("2026-01-02T15:04:05.000000000Z stdout F line {n}\n");
    let log = log_of(&(0..100).map(line).collect::<String>());
    let want: String = (20..100).map(|n| format!("line {n}\n")).collect();
    let message = |log: Option<&Path>, n| termination_message(&file, log, n).expect("read");
    assert_eq!(message(Some(log.path()), 1), want);
    assert_eq!(message(None, 1), "");
    let long = log_of(&line(7).replace("line", &"y".repeat(5000)));
    assert_eq!(message(Some(long.path()), 1).len(), 2048);
    assert_eq!(message(Some(&dir.path().join("absent")), 1), "");

    let text = [vec![b'a'; 904], vec![b'b'; 4093], "é\n".into()].concat();
    std::fs::write(&file, &text).expect("written");
    assert_eq!(message(Some(log.path()), 3).as_bytes(), &text[904..]);
    assert_eq!(message(None, 6).len(), 2048);
    std::fs::write(&file, "ééé").expect("written");
    assert_eq!(message(None, 12_288 / 3), "é", "no character is cut in two");
    std::fs::write(&file, b"\xff!").expect("written");
    assert_eq!(message(None, 1), "\u{fffd}!");

    let secret = log_of("secret");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(message(None, 1), "");
    std::os::unix::fs::symlink(secret.path(), &file).expect("linked");
    assert!(termination_message(&file, None, 1).is_err());
    std::fs::remove_file(&file).expect("removed");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("made");
    assert!(
        termination_message(&file, None, 1).is_err(),
        "and does not hang"
    );
}

/// What a runtime does with `--console-socket`.
fn send_fds(path: &Path, fds: &[&OwnedFd]) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    let socket = std::os::unix::net::UnixStream::connect(path).expect("connected");
    let fds: Vec<_> = fds.iter().map(std::os::fd::AsFd::as_fd).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let text = [std::io::IoSlice::new(b"/dev/pts/0")];
    rustix::net::sendmsg(&socket, &text, &mut control, SendFlags::empty()).expect("sent");
}

#[test]
fn a_terminal_comes_over_the_socket_and_is_logged_as_stdout() {
    let dir = tempfile::tempdir().expect("a directory");
    let deep = dir.path().join("x".repeat(120));
    std::fs::create_dir(&deep).expect("made");
    for place in [dir.path(), &deep] {
        let (path, log) = open(place);
        let report = on_a_loop(async {
            let socket = ConsoleSocket::bind(&place.join("console")).expect("bound");
            assert!(socket.path().as_os_str().len() < 108);
            let target = socket.path().to_owned();
            let runtime = std::thread::spawn(move || {
                let pty = nix::pty::openpty(None, None).expect("a terminal");
                send_fds(&target, &[&pty.master]);
                File::from(pty.slave)
            });
            let terminal = socket.receive(Duration::from_secs(5)).await;
            let terminal = terminal.expect("a terminal");
            resize(std::os::fd::AsFd::as_fd(&terminal), 40, 100).expect("resized");
            let mut shell = runtime.join().expect("the runtime ends");
            let size = rustix::termios::tcgetwinsize(&shell).expect("a size");
            assert_eq!((size.ws_row, size.ws_col), (40, 100));
            shell.write_all(b"$ ls\nfile\n").expect("written");
            let closer = std::thread::spawn(move || drop(shell));
            let report = pump(terminal, None, log, nobody(), never()).await;
            closer.join().expect("closed");
            report
        });
        assert!(!report.cut);
        assert_eq!(printed(&path, LogQuery::default()), "$ ls\nfile\n");
        assert!(!place.join("console").exists());
    }
}

#[test]
fn what_is_not_exactly_one_terminal_is_refused_and_silence_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let received = |fds: usize| {
        on_a_loop(async {
            let file = dir.path().join("console");
            let socket = ConsoleSocket::bind(&file).expect("bound");
            let sender = (fds > 0).then(|| {
                std::thread::spawn(move || {
                    let null: OwnedFd = File::open("/dev/null").expect("null").into();
                    send_fds(&file, &vec![&null; fds]);
                })
            });
            let result = socket
                .receive(Duration::from_millis(if fds > 0 { 5000 } else { 20 }))
                .await;
            if let Some(sender) = sender {
                sender.join().expect("sent");
            }
            result
        })
    };
    assert!(matches!(received(1), Err(ConsoleError::NotATerminal)));
    assert!(matches!(received(2), Err(ConsoleError::NotATerminal)));
    assert!(matches!(received(0), Err(ConsoleError::Late(_))));
}

#[test]
fn standard_input_is_empty_unless_it_is_asked_for() {
    use std::io::Read;
    let read = |pipes: &mut StdioPipes| {
        let stdin = pipes.container.stdin.take().expect("always there");
        let mut text = String::new();
        File::from(stdin).read_to_string(&mut text).expect("read");
        text
    };
    let mut closed = StdioPipes::new(false).expect("pipes");
    assert!(closed.ours.stdin.is_none());
    assert_eq!(read(&mut closed), "");
    let mut open = StdioPipes::new(true).expect("pipes");
    let mut stdin = File::from(open.ours.stdin.take().expect("kept open"));
    stdin.write_all(b"hello").expect("written");
    drop(stdin);
    assert_eq!(read(&mut open), "hello");
}

#[test]
fn streams_that_are_written_at_once_do_not_mix_within_a_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    pumped(log, |mut out, mut err| {
        let other = std::thread::spawn(move || {
            for n in 0..20_000 {
                writeln!(err, "e{n}").expect("written");
            }
        });
        for n in 0..20_000 {
            writeln!(out, "o{n}").expect("written");
        }
        other.join().expect("ends");
    });
    let mut next: BTreeMap<char, usize> = BTreeMap::new();
    for (stream, ends_line, content) in records(&path) {
        let letter = if stream == Stream::Stdout { 'o' } else { 'e' };
        let n = next.entry(letter).or_default();
        assert!(ends_line);
        assert_eq!(content, format!("{letter}{n}").into_bytes());
        *n += 1;
    }
    assert_eq!(next, BTreeMap::from([('e', 20_000), ('o', 20_000)]));
}

#[test]
fn a_flood_on_one_stream_does_not_hold_up_the_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, log) = open(dir.path());
    pumped(log, |mut out, mut err| {
        let (said, heard) = std::sync::mpsc::channel();
        let flood = std::thread::spawn(move || {
            let block = "x\n".repeat(32 * 1024);
            // It ends only when the other stream got through: more than its pipe holds.
            while heard.try_recv().is_err() {
                out.write_all(block.as_bytes()).expect("written");
            }
        });
        let line = "e".repeat(1023) + "\n";
        err.write_all(line.repeat(3 * 1024).as_bytes())
            .expect("written");
        said.send(()).expect("heard");
        flood.join().expect("ends");
    });
    let size = |file: &PathBuf| file.metadata().expect("there").len();
    assert!(files_of(&path).iter().map(size).sum::<u64>() > 3 << 20);
}
