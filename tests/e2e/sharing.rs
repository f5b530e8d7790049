//! What podshim exists for: a main application and its side container in one pod, and what that costs.

use crate::support::{NGINX, on_each_runtime, pod, pss_kib, sh, state, status, until, with};
use serde_json::json;

/// Most proportional memory of pause, in KiB. Source: `features` row 13.
const MAX_PAUSE_PSS_KIB: u64 = 100;

#[test]
fn nginx_and_busybox_share_network_processes_and_a_volume() {
    on_each_runtime(|host| {
        host.load_nginx();
        let logs = |path: &str| json!({"volumeMounts": [{"name": "logs", "mountPath": path}]});
        let nginx = with(
            json!({"name": "nginx", "image": NGINX}),
            logs("/var/log/nginx"),
        );
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "shareProcessNamespace": true,
            "terminationGracePeriodSeconds": 10,
            "volumes": [{"name": "logs", "emptyDir": {}}],
            "containers": [nginx, with(sh("busybox", "exec sleep infinity"), logs("/logs"))],
        })));
        pod.until_running();
        let page = || {
            until(10, "nginx answers", || {
                let ran = pod.exec("busybox", "wget -q -O - http://localhost/");
                if ran.code == Some(0) {
                    Ok(ran.stdout)
                } else {
                    Err(ran.stderr)
                }
            })
        };
        assert!(page().contains("Hello from nginx"));
        let processes = pod.exec("busybox", "ps").text();
        assert!(
            processes.contains("nginx: master") && processes.contains("pause"),
            "{processes}"
        );
        assert!(
            pod.exec("busybox", "cat /logs/access.log")
                .text()
                .contains("GET / ")
        );

        let look =
            "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done; pidof sleep";
        let before = pod.exec("busybox", look).text();
        pod.podshim("kill", &["-c", "nginx", "-s", "KILL"])
            .expect(0);
        let json = pod.until_restarted("nginx", 1);
        assert_eq!(
            status(&json, "nginx")["lastState"]["terminated"]["exitCode"],
            137
        );
        assert_eq!(status(&json, "busybox")["restartCount"], 0);
        assert_eq!(
            pod.exec("busybox", look).text(),
            before,
            "the same namespaces, the same process"
        );
        assert!(page().contains("Hello from nginx"));

        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        let (kind, detail) = state(&json, "nginx");
        assert_eq!(
            (kind, &detail["exitCode"]),
            ("terminated", &json!(0)),
            "SIGQUIT of the image: nginx ends by itself"
        );
    });
}

#[test]
fn pause_reaps_a_thousand_orphans_and_stays_small() {
    on_each_runtime(|host| {
        let spec =
            json!({"shareProcessNamespace": true, "containers": [sh("c", "exec sleep 1000")]});
        let pod = host.start(&pod(spec));
        pod.until_running();
        // The inner shell ends before its child, which becomes an orphan and pause's.
        pod.exec(
            "c",
            "i=0; while [ $i -lt 1000 ]; do (sleep 0.01 &); i=$((i+1)); done",
        )
        .expect(0);
        until(10, "no zombie and no orphan is left", || {
            // The one `sleep` that may be there is the container's own.
            let left = pod
                .exec(
                    "c",
                    "cat /proc/[0-9]*/stat 2>/dev/null | grep -c -e ') Z ' -e '(sleep)'",
                )
                .stdout;
            if left.trim() == "1" {
                Ok(())
            } else {
                Err(left)
            }
        });
        let pss = pss_kib(pod.pause());
        assert!(pss < MAX_PAUSE_PSS_KIB, "{pss} KiB");
    });
}

#[test]
fn the_second_to_bind_a_port_of_the_pod_is_refused() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [
            sh("a", "exec httpd -f -p 8080 -h /"),
            sh("b", "until wget -q -O /dev/null http://127.0.0.1:8080/etc/passwd; do sleep 0.1; done; httpd -f -p 8080 -h / 2>&1"),
        ]})));
        let output = pod.output("b");
        assert!(output.contains("Address already in use"), "{output}");
    });
}
