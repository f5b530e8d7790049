//! Pods on podshim beside the same pods on containerd's own shim, with each runtime: what a client can see is the same.

use crate::cri::{Cri, READY, RUNNING};
use crate::daemon::{Daemon, with_cri, with_cri_without_unified};
use crate::plugin::{begin, ended, log};
use crate::support::{runtimes, until};
use crate::versions::{Version, on_each_version};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

on_each_version! {
    a_pod_of_the_cri_plugin_looks_the_same_on_podshim_and_on_the_stock_shim,
}

/// What may differ between the shims, and why. Whatever is not in this list is the same.
const DIFFERENCES: [Difference; 2] = [IGNORED_SIGNALS, LOST_OOM];

const IGNORED_SIGNALS: Difference = Difference {
    why: "whoever starts a program with posix_spawn leaves it the signals that the C library keeps for itself ignored; each C \
          library sets them before it uses them; what the caller of containerd ignores is no business of a container",
    is_known: |own, stock| {
        let ignored =
            |line: &str| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok();
        let (Some(own), Some(stock)) = (ignored(own), ignored(stock)) else {
            return false;
        };
        // SIGHUP, which whoever ran us may ignore, as nohup does: the stock shim hands that on. Signals 32, 33 and 34.
        let handed_on = stock & !own & 1;
        (own ^ stock) & !(0b111 << 31) == handed_on
    },
};

const LOST_OOM: Difference = Difference {
    why: "the stock shim tells no OOM kill of a cgroup that is gone before it looks",
    is_known: |own, stock| (own, stock) == ("137 \"OOMKilled\"", "137 \"Error\""),
};

struct Difference {
    why: &'static str,
    /// Of a line with podshim and the same line with the stock shim.
    is_known: fn(&str, &str) -> bool,
}

/// How often the plugin is asked whether it has heard of an OOM kill: for ten seconds.
const OOM_TRIES: u32 = 200;

/// Limits, signals, rights and variables of a process.
const INHERITED: &str = "cat /proc/self/limits /proc/self/oom_score_adj; tr '\\0' '\\n' </proc/self/environ | sort; \
    grep -E '^(Umask|Groups|NoNewPrivs|Seccomp|Cap|Sig(Blk|Ign))' /proc/self/status";

/// What can be observed of a pod with this handler, in order.
fn life(c: &Daemon, cri: &mut Cri, handler: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let pod = begin(c, cri, handler, handler);
    let of_pod = json!({"pod_sandbox_id": pod.id});
    let status = cri.call("PodSandboxStatus", of_pod.clone())["status"].take();
    assert_eq!(status["state"], READY);
    let ip = status["network"]["ip"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert!(ip.starts_with("10.217.93."), "{ip}");
    let a = cri.sh(
        &pod,
        "a",
        "trap 'exit 3' TERM; echo \"I am $WHO\"; while :; do sleep 0.05; done",
    );
    let b = cri.sh(
        &pod,
        "b",
        "mkdir /www; echo hello >/www/x; exec httpd -f -p 8080 -h /www",
    );
    assert_eq!(cri.status(&a)["state"], RUNNING);
    // One network for both, with the address of the pod.
    let fetched = until(20, "b serves", || {
        let (code, text) = cri.exec(&a, &format!("wget -q -O - http://{ip}:8080/x"));
        (code == 0).then(|| text.clone()).ok_or(text)
    });
    seen.push(fetched);
    for script in [
        "hostname",
        "echo out; echo err >&2; exit 5",
        "kill -9 $$",
        "cat /proc/1/cmdline",
        // What a process has from those that made it.
        INHERITED,
        &INHERITED.replace("self", "1"),
    ] {
        let (code, output) = cri.exec(&a, script);
        seen.push(format!("{code}: {script}\n{output}"));
    }
    let of_a = json!({"container_id": a});
    let stats = cri.call("ContainerStats", of_a.clone());
    let used = stats["stats"]["memory"]["working_set_bytes"]["value"].as_u64();
    assert!(used.is_some_and(|used| used > 0), "{stats}");
    let cpu = stats["stats"]["cpu"]["usage_core_nano_seconds"]["value"].as_u64();
    assert!(cpu.is_some_and(|used| used > 0), "{stats}");
    cri.call(
        "UpdateContainerResources",
        json!({"container_id": a, "linux": {"memory_limit_in_bytes": 64 << 20}}),
    );
    for refused in [
        (
            "ExecSync",
            json!({"container_id": a, "cmd": ["/no/such"], "timeout": 9}),
        ),
        (
            "ExecSync",
            json!({"container_id": a, "cmd": ["sleep", "1000"], "timeout": 1}),
        ),
        ("StartContainer", of_a.clone()),
        ("RemovePodSandbox", json!({"pod_sandbox_id": "none"})),
        ("ContainerStatus", json!({"container_id": "none"})),
    ] {
        let code = cri.ask(refused.0, &refused.1).map_err(|(code, _)| code);
        seen.push(format!(
            "{} {:?}",
            refused.0,
            code.map(|answer| answer["exit_code"].clone())
        ));
    }
    cri.call("StopContainer", json!({"container_id": a, "timeout": 20}));
    for container in [&a, &b] {
        if *container == b {
            cri.call("StopContainer", json!({"container_id": b, "timeout": 0}));
        }
        let status = ended(cri, container);
        seen.push(format!(
            "{} {} {}",
            status["exit_code"], status["reason"], status["message"]
        ));
    }
    let m = cri.container(&pod, "m", "x=a; while :; do x=$x$x; done", |config| {
        config["linux"]["resources"] = json!({"memory_limit_in_bytes": 16 << 20});
    });
    let status = out_of_memory(cri, &m);
    seen.push(format!("{} {}", status["exit_code"], status["reason"]));
    let q = cri.sh(&pod, "q", "exit 9");
    let status = ended(cri, &q);
    seen.push(format!("{} {}", status["exit_code"], status["reason"]));
    cri.call("RemoveContainer", json!({"container_id": q}));
    cri.call("StopPodSandbox", of_pod.clone());
    seen.push(format!("stopped: {}", cri.pod_state(&pod)));
    seen.push(log(c, handler, "a"));
    cri.call("StopPodSandbox", of_pod.clone());
    cri.call("RemovePodSandbox", of_pod.clone());
    cri.call("RemovePodSandbox", of_pod);
    seen
}

/// How a container ended that had too little memory. That is an event beside the exit, which the plugin may see first.
fn out_of_memory(cri: &mut Cri, container: &str) -> Value {
    let mut status = ended(cri, container);
    for _ in 0..OOM_TRIES {
        if status["reason"] == "OOMKilled" {
            break;
        }
        sleep(Duration::from_millis(50));
        status = ended(cri, container);
    }
    status
}

fn a_pod_of_the_cri_plugin_looks_the_same_on_podshim_and_on_the_stock_shim(on: Version) {
    with_cri(on, |c, cri| {
        for runtime in runtimes() {
            look_the_same(c, cri, &runtime);
        }
    });
}

/// crun refuses machines that have both versions of cgroups: containerd is shown the first alone.
#[test]
fn a_pod_looks_the_same_with_crun() {
    for suite in ["trixie", "forky"] {
        with_cri_without_unified(Version::Fetched(suite), |c, cri| {
            look_the_same(c, cri, "crun");
        });
    }
}

#[track_caller]
fn look_the_same(c: &Daemon, cri: &mut Cri, runtime: &str) {
    let [own, stock] = ["podshim", "stock"].map(|shim| {
        let handler = format!("{shim}-{runtime}");
        let seen = life(c, cri, &handler);
        let lines = seen.iter().map(|line| line.replace(&handler, "NAME"));
        lines.collect::<Vec<String>>()
    });
    for wanted in [
        "hello\n",
        "I am a\n",
        "3 \"Error\" \"\"",
        "137 \"OOMKilled\"",
        "9 \"Error\"",
        "stopped: 1",
    ] {
        assert!(own.iter().any(|line| line == wanted), "{wanted}: {own:#?}");
    }
    let [own, stock] = [&own, &stock].map(|seen| seen.join("\n"));
    let mut unknown = Vec::new();
    assert_eq!(own.lines().count(), stock.lines().count());
    for (own, stock) in own.lines().zip(stock.lines()) {
        if own == stock {
            continue;
        }
        match DIFFERENCES.iter().find(|d| (d.is_known)(own, stock)) {
            Some(known) => eprintln!("{runtime}: {own}, stock: {stock}: {}", known.why),
            None => unknown.push((own, stock)),
        }
    }
    assert!(
        unknown.is_empty(),
        "{runtime}, podshim and stock: {unknown:#?}"
    );
}
