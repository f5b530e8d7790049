//! Parts of volumes: what is mounted, what is made, and that no link leads out.

use crate::support::{on_each_runtime, pod, sh, with};
use serde_json::{Value, json};

/// A container with these mounts.
fn mounting(container: Value, mounts: Value) -> Value {
    with(container, json!({"volumeMounts": mounts}))
}

#[test]
fn c39_a_link_of_one_container_does_not_lead_another_out_of_the_volume() {
    on_each_runtime(|host| {
        let first = "ln -s /etc /v/absolute; ln -s ../../../../../../../../etc /v/relative;
            mkdir /v/real; ln -s real /v/inside; echo x >/v/real/f";
        let second = |name: &str, path: &str| {
            let mount = json!([{"name": "vol", "mountPath": "/v", "subPath": path}]);
            mounting(sh(name, "ls /v"), mount)
        };
        let pod = host.start(&pod(json!({
            "volumes": [{"name": "vol", "emptyDir": {}}],
            "initContainers": [mounting(sh("first", first), json!([{"name": "vol", "mountPath": "/v"}]))],
            "containers": [second("absolute", "absolute"), second("relative", "relative"),
                           second("below", "absolute/ssl"), second("inside", "inside")],
        })));
        for container in ["absolute", "relative", "below"] {
            let message = pod.until_waiting(container, "CreateContainerConfigError");
            let told = format!(
                "failed to prepare subPath for volumeMount \"vol\" of container \"{container}\""
            );
            assert_eq!(message, told, "no path of the host is told");
            assert!(
                !pod.log_file(container, 0).exists() || pod.log(container, 0).is_empty(),
                "it has not run"
            );
        }
        assert_eq!(
            pod.output("inside"),
            "f\n",
            "a link within the volume is followed"
        );
        let status = pod.json();
        assert_eq!(
            crate::support::status(&status, "absolute")["restartCount"],
            0
        );
    });
}

#[test]
fn a_sub_path_that_is_missing_is_made_with_the_mode_of_its_volume() {
    on_each_runtime(|host| {
        let mounts = json!([
            {"name": "d", "mountPath": "/part", "subPath": "a/b"},
            {"name": "d", "mountPath": "/whole"},
            {"name": "m", "mountPath": "/key", "subPath": "k", "readOnly": true},
        ]);
        let script = "touch /part/x; ls /whole/a/b; stat -c %a /whole/a /whole/a/b; cat /key; stat -c %F /key; (echo >/key) 2>&1 | grep -o 'Read-only'";
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "value\n"}});
        let pod = host.start_all(&[
            map,
            pod(json!({
                "volumes": [{"name": "d", "emptyDir": {}}, {"name": "m", "configMap": {"name": "m"}}],
                "containers": [mounting(sh("c", script), mounts)],
            })),
        ]);
        assert_eq!(
            pod.output("c"),
            "x\n777\n777\nvalue\nregular file\nRead-only\n"
        );
    });
}

#[test]
fn a_sub_path_is_looked_at_anew_at_each_start() {
    on_each_runtime(|host| {
        let script = "ls /part; n=$(ls /whole | wc -l); mv /whole/now /whole/was$n; mkdir /whole/now; touch /whole/now/$n
            test $n = 3 && sleep 1000; exit 1";
        let mounts = json!([{"name": "d", "mountPath": "/part", "subPath": "now"}, {"name": "d", "mountPath": "/whole"}]);
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "d", "emptyDir": {}}],
            "containers": [mounting(sh("c", script), mounts)],
        })));
        pod.until_restarted("c", 2);
        crate::support::until(5, "it has listed", || {
            match pod.podshim("logs", &["-c", "c"]).text() {
                log if log == "2\n" => Ok(()),
                log => Err(log),
            }
        });
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn a_sub_path_expression_is_made_of_the_containers_variables() {
    on_each_runtime(|host| {
        let with_expression = |name: &str, expression: &str| {
            let env = json!([
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "ROOT", "value": "/etc"}, {"name": "UP", "value": ".."}, {"name": "NONE", "value": ""},
            ]);
            let mounts = json!([{"name": "d", "mountPath": "/part", "subPathExpr": expression}, {"name": "d", "mountPath": "/whole"}]);
            with(
                mounting(sh(name, "touch /part/x; find /whole -type f"), mounts),
                json!({"env": env}),
            )
        };
        let pod = host.start(&pod(json!({
            "volumes": [{"name": "d", "emptyDir": {}}],
            "containers": [
                with_expression("good", "logs/$(POD)"), with_expression("unset", "$(NONE)/$(NOPE)"),
                with_expression("root", "$(ROOT)"), with_expression("up", "a/$(UP)/$(UP)"),
            ],
        })));
        assert_eq!(pod.output("good"), "/whole/logs/p/x\n");
        for (container, message) in [
            ("unset", "missing value for NONE, NOPE"),
            ("root", "error SubPath `/etc` must not be an absolute path"),
            (
                "up",
                "unable to provision SubPath `a/../..`: must not contain '..'",
            ),
        ] {
            let told = pod.until_waiting(container, "CreateContainerConfigError");
            assert_eq!(told, message);
        }
    });
}
