//! What a pod may cost, as counts and ratios, never as time. Needs root.

mod support;

mod budget {
    use crate::support::{on_each_runtime, pod, proc_file, pss_kib, sh, until};
    use serde_json::json;
    use std::fs;
    use std::path::Path;

    /// Memory of supervisor, keeper and pause of an idle pod of three, in KiB of proportional set size. The goal is 1024, which
    /// `scripts/bench` tells; kernels and C libraries differ by a few pages, and a test must not.
    const MAX_IDLE_PSS_KIB: u64 = 1280;
    /// The same for the program of a test build, which is not optimised and linked against the C library of the machine.
    const MAX_IDLE_PSS_KIB_UNOPTIMISED: u64 = 8 * 1024;
    /// Calls of the runtime to start a pod that is like one before: `create` and `start` of pause and of each container.
    const CALLS_PER_INSTANCE: usize = 2;

    /// Processes of podshim whose command line names this directory.
    fn processes_of(directory: &Path) -> Vec<i32> {
        let text = directory.to_string_lossy();
        let pids = fs::read_dir("/proc").expect("/proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| proc_file(*pid, "cmdline").contains(&*text))
            .collect()
    }

    #[test]
    fn a_start_calls_the_runtime_twice_for_each_instance_and_not_otherwise() {
        on_each_runtime(|host| {
            let calls = host.path("calls");
            let real = which::which(host.runtime()).expect("the runtime");
            let text = format!(
                "#!/bin/sh\necho \"$*\" >>'{}'\nexec '{}' \"$@\"\n",
                calls.display(),
                real.display()
            );
            let wrapper = host.file("runtime", &text);
            fs::set_permissions(
                &wrapper,
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .expect("a program of ours");
            let manifest = host.manifest(&[pod(json!({"containers": [
                sh("a", "exec sleep 1000"), sh("b", "exec sleep 1000"),
            ]}))]);
            let run = || {
                let manifest = manifest.to_str().expect("a path");
                let mut command = host.command(["run", "-d", "-f", manifest]);
                command.env("PODSHIM_RUNTIME", &wrapper);
                crate::support::run(&mut command).expect(0);
                host.pod("p").until_running();
            };
            // The first makes the place where the second writes down who the runtime is.
            for _ in 0..2 {
                run();
                host.podshim(["delete", "p", "--force"]).expect(0);
            }
            fs::remove_file(&calls).expect("calls of the first pod");
            run();
            let made = fs::read_to_string(&calls).expect("calls");
            let count = made.lines().count();
            assert_eq!(count, 3 * CALLS_PER_INSTANCE, "{made}");
        });
    }

    /// `PODSHIM_TEST_BIN` names the released program; `scripts/test` runs this once with it.
    #[test]
    fn an_idle_pod_of_three_stays_within_its_memory() {
        let max = match std::env::var_os("PODSHIM_TEST_BIN") {
            Some(_) => MAX_IDLE_PSS_KIB,
            None => MAX_IDLE_PSS_KIB_UNOPTIMISED,
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
                let each: Vec<u64> = pids.map(|pid| pss_kib(*pid)).collect();
                match own.len() == 2 && each.iter().sum::<u64>() <= max {
                    true => Ok(()),
                    false => Err(format!("{each:?} KiB of {own:?} and pause")),
                }
            });
        });
    }
}
