//! What a pod may cost, as counts and ratios, never as time. Needs root.

mod support;

mod budget {
    use crate::support::{
        Host, anonymous_kib, on_each_runtime, pod, proc_file, pss_kib, sh, until,
    };
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::thread;
    use std::time::Duration;

    /// Memory of supervisor, keeper and pause of an idle pod of three, in KiB of proportional set size. The goal is 1024, which
    /// `scripts/bench` tells; kernels and C libraries differ by a few pages, and a test must not.
    const MAX_IDLE_PSS_KIB: u64 = 1152;
    /// The same for the program of a test build, which is not optimised and linked against the C library of the machine.
    const MAX_IDLE_PSS_KIB_UNOPTIMISED: u64 = 8 * 1024;
    /// The part of it that no other pod shares, whatever else runs on the machine: some 260 where this was written.
    const MAX_IDLE_OWN_KIB: u64 = 400;
    /// The same of a test build: its frames are larger, and it is not linked at a fixed address.
    const MAX_IDLE_OWN_KIB_UNOPTIMISED: u64 = 6 * 1024;
    /// Calls of the runtime to start pause or a container of a pod that is like one before: `create`, and `start` where that does
    /// more than to open a fifo.
    const CALLS_PER_START: [(&str, usize); 3] = [("runc", 1), ("crun", 2), ("youki", 1)];
    /// Signals go by pidfd, exits come from the kernel, and these runtimes keep nothing but files.
    const CALLS_PER_END: usize = 0;
    const CALLS_PER_EXEC: usize = 1;
    /// Longer than anything that a supervisor could do again and again to look after a pod: probes have a period of a second.
    const IDLE: Duration = Duration::from_secs(4);

    /// Processes of podshim whose command line names this directory.
    fn processes_of(directory: &Path) -> Vec<i32> {
        let text = directory.to_string_lossy();
        let pids = fs::read_dir("/proc").expect("/proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| proc_file(*pid, "cmdline").contains(&*text))
            .collect()
    }

    /// A runtime that writes down how it is called.
    struct Counted {
        program: PathBuf,
        calls: PathBuf,
    }

    impl Counted {
        fn new(host: &Host) -> Counted {
            let calls = host.path("calls");
            let real = which::which(host.runtime()).expect("the runtime");
            let text = format!(
                "#!/bin/sh\necho \"$*\" >>'{}'\nexec '{}' \"$@\"\n",
                calls.display(),
                real.display()
            );
            let program = host.file("runtime", &text);
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
            Counted { program, calls }
        }

        /// The calls since the last time.
        fn take(&self) -> Vec<String> {
            // None, if there was no call.
            let made = fs::read_to_string(&self.calls).unwrap_or_default();
            let _ = fs::remove_file(&self.calls);
            made.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn a_pod_calls_the_runtime_as_often_as_it_must() {
        on_each_runtime(|host| {
            let counted = Counted::new(host);
            let manifest = host.manifest(&[pod(json!({"containers": [
                sh("a", "exec sleep 1000"), sh("b", "exec sleep 1000"),
            ]}))]);
            let run = || {
                let manifest = manifest.to_str().expect("a path");
                let mut command = host.command(["run", "-d", "-f", manifest]);
                command.env("PODSHIM_RUNTIME", &counted.program);
                crate::support::run(&mut command).expect(0);
                host.pod("p").until_running();
            };
            let delete = || host.podshim(["delete", "p", "--force"]).expect(0);
            // The first makes the place where the second writes down who the runtime is.
            for _ in 0..2 {
                run();
                delete();
            }
            counted.take();
            run();
            let made = counted.take();
            let calls = CALLS_PER_START
                .iter()
                .find(|(name, _)| *name == host.runtime());
            let (_, calls) = calls.expect("a runtime of the table");
            assert_eq!(made.len(), 3 * calls, "{made:#?}");
            host.pod("p").exec("a", "true").expect(0);
            let made = counted.take();
            assert_eq!(made.len(), CALLS_PER_EXEC, "{made:#?}");
            delete();
            let made = counted.take();
            assert_eq!(made.len(), 3 * CALLS_PER_END, "{made:#?}");
        });
    }

    /// Whatever a process does after it has slept, it was switched to for it: where nothing is switched to, nothing is called.
    #[test]
    fn an_idle_pod_does_nothing_at_all() {
        on_each_runtime(|host| {
            let pod = host.start(&pod(json!({"containers": [sh("a", "exec sleep 1000")]})));
            pod.until_running();
            let switches = || {
                let own = processes_of(&host.path("state"));
                let pids: Vec<i32> = own.into_iter().chain([pod.pause()]).collect();
                let each = |pid: &i32| {
                    let status = proc_file(*pid, "status");
                    let line = status
                        .lines()
                        .find(|line| line.starts_with("voluntary_ctxt_"));
                    (*pid, line.unwrap_or_default().to_owned())
                };
                pids.iter().map(each).collect::<Vec<_>>()
            };
            // A start leaves things to do for a second or so; from some moment on there is nothing more.
            until(60, "nothing is done for a while", || {
                let before = switches();
                thread::sleep(IDLE);
                let after = switches();
                match before == after && after.len() == 3 {
                    true => Ok(()),
                    false => Err(format!("{before:?}, then {after:?}")),
                }
            });
            // A copy of the runtime would take as much memory as the runtime has bytes, and nobody's PSS would show it.
            for pid in processes_of(&host.path("state")) {
                let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
                let open = open
                    .flatten()
                    .filter_map(|fd| fs::read_link(fd.path()).ok());
                let copies: Vec<_> = open
                    .filter(|link| link.to_string_lossy().starts_with("/memfd:"))
                    .collect();
                assert!(copies.is_empty(), "{copies:?}");
            }
        });
    }

    /// `PODSHIM_TEST_BIN` names the released program; `scripts/test` runs this once with it.
    #[test]
    fn an_idle_pod_of_three_stays_within_its_memory() {
        let (max, max_own) = match std::env::var_os("PODSHIM_TEST_BIN") {
            Some(_) => (MAX_IDLE_PSS_KIB, MAX_IDLE_OWN_KIB),
            None => (MAX_IDLE_PSS_KIB_UNOPTIMISED, MAX_IDLE_OWN_KIB_UNOPTIMISED),
        };
        on_each_runtime(|host| {
            let containers = ["a", "b", "c"].map(|name| sh(name, "exec sleep 1000"));
            let pod = host.start(&pod(json!({ "containers": containers })));
            pod.until_running();
            let pause = pod.pause();
            // What starting needed is given back once the pod is quiet; whoever asked has left by then.
            until(10, "it is within its budget", || {
                let own = processes_of(&host.path("state"));
                let pids = own.iter().chain([&pause]);
                let each: Vec<_> = pids
                    .map(|pid| (pss_kib(*pid), anonymous_kib(*pid)))
                    .collect();
                let sum = |of: fn(&(u64, u64)) -> u64| each.iter().map(of).sum::<u64>();
                let is_within = sum(|(pss, _)| *pss) <= max && sum(|(_, own)| *own) <= max_own;
                match own.len() == 2 && is_within {
                    true => Ok(()),
                    false => Err(format!("{each:?} KiB of {own:?} and pause")),
                }
            });
        });
    }
}
