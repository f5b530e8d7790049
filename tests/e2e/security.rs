//! Who a container is and what it may do.

use crate::support::{Host, IMAGE, on_each_runtime, pod, sh, status_field, with};
use serde_json::{Value, json};

/// What a script prints in a container with these fields added.
#[track_caller]
fn prints(host: &Host, script: &str, container: Value) -> String {
    prints_in(host, script, container, json!({}))
}

/// The same with fields added to the pod too.
#[track_caller]
fn prints_in(host: &Host, script: &str, container: Value, spec: Value) -> String {
    let containers = json!({"containers": [with(sh("c", script), container)]});
    let pod = host.start(&pod(with(containers, spec)));
    let output = pod.output("c");
    pod.podshim("delete", &[]).expect(0);
    output
}

#[test]
fn c17_command_and_args_replace_what_the_image_says() {
    on_each_runtime(|host| {
        let image = host.variant("entry", |config| {
            config["Entrypoint"] = json!(["echo", "entry"]);
            config["Cmd"] = json!(["cmd"]);
        });
        for (fields, output) in [
            (json!({}), "entry cmd\n"),
            (json!({"args": ["a"]}), "entry a\n"),
            (json!({"command": ["echo", "c"]}), "c\n"),
            (json!({"command": ["echo", "c"], "args": ["a"]}), "c a\n"),
        ] {
            let pod = host.start(&pod(
                json!({"containers": [with(json!({"name": "c", "image": image}), fields)]}),
            ));
            assert_eq!(pod.output("c"), output);
            pod.podshim("delete", &[]).expect(0);
        }
        let bare = host.variant("bare", |config| {
            config["Cmd"] = Value::Null;
        });
        let pod = host.start(&pod(json!({"containers": [{"name": "c", "image": bare}]})));
        let message = pod.until_waiting("c", "CreateContainerError");
        assert!(message.contains("no command specified"), "{message}");
    });
}

#[test]
fn c18_user_and_groups_come_from_pod_image_and_passwd() {
    on_each_runtime(|host| {
        // The image's passwd has user 1000 with group 100; its group file lists that user in group 7000.
        let ids = "echo $(id -u) $(id -g) $(for g in $(id -G); do echo $g; done | sort -n | tr '\\n' ' ')";
        let context = |policy: Value| {
            let base = json!({"runAsUser": 1000, "supplementalGroups": [5000], "fsGroup": 6000});
            json!({"securityContext": with(base, policy)})
        };
        assert_eq!(
            prints_in(host, ids, json!({}), context(json!({}))),
            "1000 100 100 5000 6000 7000\n"
        );
        let strict = context(json!({"supplementalGroupsPolicy": "Strict"}));
        assert_eq!(
            prints_in(host, ids, json!({}), strict),
            "1000 100 100 5000 6000\n"
        );
    });
}

#[test]
fn c19_run_as_non_root_refuses_root_and_names() {
    on_each_runtime(|host| {
        let user =
            |name: &str, user: &str| host.variant(name, |config| config["User"] = json!(user));
        let (named, numbered) = (user("named", "user"), user("numbered", "1000"));
        for (image, context, text) in [
            (
                IMAGE,
                json!({}),
                "container has runAsNonRoot and image will run as root",
            ),
            (
                named.as_str(),
                json!({}),
                "container has runAsNonRoot and image has non-numeric user (user), cannot verify user is non-root",
            ),
            (
                IMAGE,
                json!({"runAsUser": 0}),
                "container's runAsUser breaks non-root policy",
            ),
        ] {
            let context = with(json!({"runAsNonRoot": true}), context);
            let fields = json!({"image": image, "securityContext": context});
            let pod = host.start(&pod(
                json!({"containers": [with(sh("c", "id -u"), fields)]}),
            ));
            let message = pod.until_waiting("c", "CreateContainerConfigError");
            let expected = format!("{text} (pod: \"p_default({})\", container: c)", pod.uid);
            assert!(message.contains(&expected), "{message}");
            pod.podshim("delete", &[]).expect(0);
        }
        let fields = json!({"image": numbered, "securityContext": {"runAsNonRoot": true}});
        assert_eq!(prints(host, "id -u", fields), "1000\n");
    });
}

#[test]
fn c20_capabilities_are_what_was_asked_for() {
    on_each_runtime(|host| {
        let script = "for f in CapBnd CapAmb NoNewPrivs; do grep $f /proc/self/status; done | awk '{print $2}' | tr '\\n' ' '";
        // ALL means all of ours: nobody can give what he does not have.
        let own = status_field(
            i32::try_from(std::process::id()).expect("a process id"),
            "CapBnd",
        );
        let all = u64::from_str_radix(&own, 16).expect("a mask");
        for (context, bounding, no_new_privileges) in [
            (json!({}), 0xa804_25fb, 0),
            (json!({"capabilities": {"drop": ["ALL"]}}), 0, 0),
            (
                json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
                0x400,
                0,
            ),
            (
                json!({"capabilities": {"add": ["ALL"], "drop": ["CHOWN"]}}),
                all & !1,
                0,
            ),
            (
                json!({"allowPrivilegeEscalation": false}),
                0xa804_25fb & all,
                1,
            ),
        ] {
            let expected = format!("{:016x} {:016x} {no_new_privileges} ", bounding & all, 0);
            assert_eq!(
                prints(host, script, json!({"securityContext": context})),
                expected,
                "{context}"
            );
        }
    });
}

#[test]
fn c21_a_read_only_root_leaves_volumes_and_hosts_writable() {
    on_each_runtime(|host| {
        let script = "try() { (echo >>$1) 2>/dev/null && echo $1 writable || echo $1 read-only; }
            for f in /x /w/x /etc/hosts /etc/resolv.conf; do try $f; done; touch /x 2>&1 | grep -o 'Read-only file system'";
        let output = prints_in(
            host,
            script,
            json!({
                "securityContext": {"readOnlyRootFilesystem": true},
                "volumeMounts": [{"name": "w", "mountPath": "/w"}],
            }),
            json!({"volumes": [{"name": "w", "emptyDir": {}}]}),
        );
        assert_eq!(
            output,
            "/x read-only\n/w/x writable\n/etc/hosts writable\n/etc/resolv.conf read-only\nRead-only file system\n"
        );
    });
}

#[test]
fn c22_only_a_privileged_container_sees_the_machine() {
    on_each_runtime(|host| {
        // Not every kernel has each of them.
        let masked = ["/proc/kcore", "/proc/keys", "/proc/timer_list"];
        let masked = masked
            .iter()
            .find(|path| std::path::Path::new(path).exists());
        let masked = masked.expect("a file that is masked");
        let script = "stat -c %t:%T MASKED
            for m in /proc/sys /sys; do awk -v m=$m '$2 == m { split($4, o, \",\"); print o[1] }' /proc/mounts | tail -n 1; done
            ls /dev | wc -l; awk '/CapEff|Seccomp:/ { print $2 }' /proc/self/status; readlink /proc/self/ns/pid"
            .replace("MASKED", masked);
        let default = prints(host, &script, json!({}));
        let default: Vec<&str> = default.lines().collect();
        assert_eq!(
            default[..3],
            ["1:3", "ro", "ro"],
            "it is /dev/null, /proc/sys and /sys are read-only"
        );
        let few: u32 = default[3].parse().expect("a number");
        assert!(few < 25, "{few} devices");

        let privileged = prints(
            host,
            &script,
            json!({"securityContext": {"privileged": true}}),
        );
        let privileged: Vec<&str> = privileged.lines().collect();
        let [secret, sys, devices, effective, seccomp, pid_namespace] = privileged[..] else {
            panic!("{privileged:?}: /proc/sys is no mount of its own");
        };
        assert_ne!(secret, "1:3");
        assert_eq!(sys, "rw");
        assert!(devices.parse::<u32>().expect("a number") > few, "{devices}");
        let own = i32::try_from(std::process::id()).expect("a process id");
        assert_eq!(effective, status_field(own, "CapBnd"));
        assert_eq!(seccomp, "0");
        let ours = std::fs::read_link("/proc/self/ns/pid").expect("a link");
        assert_ne!(
            pid_namespace,
            ours.to_string_lossy(),
            "its PID namespace is still its own"
        );
    });
}

#[test]
fn c23_the_default_seccomp_profile_filters_or_the_container_does_not_run() {
    on_each_runtime(|host| {
        let context = |more: Value| json!({"securityContext": with(json!({"seccompProfile": {"type": "RuntimeDefault"}}), more)});
        let script = "awk '/^Seccomp:/ { print $2 }' /proc/self/status; unshare -U true 2>/dev/null; echo $?";
        let filtered = pod(json!({"containers": [with(sh("c", script), context(json!({})))]}));
        if host.runtime().ends_with("youki") {
            // The youki of these tests is built without seccomp and would ignore the profile in silence.
            let file = host.manifest(&[filtered]);
            host.podshim([
                "run".as_ref(),
                "-d".as_ref(),
                "-f".as_ref(),
                file.as_os_str(),
            ])
            .expect(7);
            host.podshim(["get", "p"]).expect(3);
            return;
        }
        let pod = host.start(&filtered);
        assert_eq!(pod.output("c"), "2\n1\n");
        pod.podshim("delete", &[]).expect(0);
        let admin = context(json!({"capabilities": {"add": ["SYS_ADMIN"]}}));
        assert_eq!(prints(host, script, admin), "2\n0\n");
    });
}
