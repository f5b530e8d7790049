//! Where output goes: terminals, files, logging programs, readers that are away.

use crate::daemon::with_containerd;
use crate::support::{run, until};
use crate::versions::{Version, on_each_version};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

on_each_version! {
    a_terminal_has_its_size_and_its_input,
    output_goes_to_a_file_or_to_a_logging_program,
    input_ends_when_its_writer_does,
}

fn a_terminal_has_its_size_and_its_input(on: Version) {
    with_containerd(on, |c| {
        // `script` gives ctr the terminal that it wants to have.
        let ctr = |rest: &str| {
            format!(
                "stty rows 33 cols 44; ctr --address {} --namespace {} {rest}",
                c.socket().display(),
                c.namespace
            )
        };
        let script = |line: String| {
            let mut command = Command::new("script");
            command.args(["-qec", &line, "/dev/null"]);
            run(command.env("PATH", on.path()))
        };
        let flags = format!("--runtime {}", crate::daemon::PODSHIM);
        let ran = script(ctr(&format!(
            "run --rm -t {flags} {} t sh -c 'until [ \"$(stty size)\" = \"33 44\" ]; do :; done; tty; exit 3'",
            crate::daemon::IMAGE
        )));
        assert_eq!(ran.code, Some(3), "{}", ran.stdout);
        assert!(ran.stdout.contains("/dev/"), "{}", ran.stdout);
        c.sh(&["-d"], "e", "exec sleep 1000").expect(0);
        let ran = script(ctr("task exec -t --exec-id x e sh -c 'tty && exit 4'"));
        assert_eq!(ran.code, Some(4), "{}", ran.stdout);
        c.remove("e");
    });
}

fn output_goes_to_a_file_or_to_a_logging_program(on: Version) {
    with_containerd(on, |c| {
        let file = c.path("logs/of/container.log");
        let uri = format!("file://{}", file.display());
        c.sh(&["-d", "--log-uri", &uri], "f", "echo out; echo err >&2")
            .expect(0);
        until(20, "it has ended", || {
            let state = c.task("f");
            (state.as_deref() == Some("STOPPED"))
                .then_some(())
                .ok_or(format!("{state:?}"))
        });
        c.remove("f");
        let mut lines: Vec<_> = fs::read_to_string(&file)
            .expect("a log")
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        assert_eq!(lines, ["err", "out"]);

        let (program, out) = (c.path("logger"), c.path("logged"));
        let text = format!(
            "#!/bin/sh\nexec 5>&-\necho \"$CONTAINER_NAMESPACE $CONTAINER_ID $*\" >{0}\ncat <&3 >>{0}\ncat <&4 >>{0}\necho end >>{0}\n",
            out.display()
        );
        fs::write(&program, text).expect("a program of ours");
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a program of ours");
        let uri = format!("binary://{}?key=value", program.display());
        c.sh(&["-d", "--log-uri", &uri], "b", "echo out; echo err >&2")
            .expect(0);
        until(20, "it has ended", || {
            let state = c.task("b");
            (state.as_deref() == Some("STOPPED"))
                .then_some(())
                .ok_or(format!("{state:?}"))
        });
        c.remove("b");
        let logged = fs::read_to_string(&out).expect("a log");
        assert_eq!(
            logged,
            format!("{} b key value\nout\nerr\nend\n", c.namespace)
        );
    });
}

fn input_ends_when_its_writer_does(on: Version) {
    with_containerd(on, |c| {
        let mut args = vec!["run", "--rm", "--runtime", crate::daemon::PODSHIM];
        args.extend([crate::daemon::IMAGE, "i", "sh", "-c", "cat; echo end"]);
        let ran = crate::support::run_with_input(&mut c.ctr(&args), b"one\ntwo\n").expect(0);
        assert_eq!(ran.stdout, "one\ntwo\nend\n");
    });
}
