//! A container with tools in a running pod.

use crate::support::{IMAGE, on_each_runtime, pod, sh, state, status};
use serde_json::json;

#[test]
fn tools_of_another_image_are_brought_into_a_running_pod() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(
            json!({"containers": [sh("c", "echo hello >/tmp/secret; exec sleep 1234")]}),
        ));
        pod.until_running();
        let debug = |args: &[&str]| pod.podshim("debug", &[&["--image", IMAGE], args].concat());
        let seen = debug(&[
            "--target",
            "c",
            "-c",
            "tools",
            "--",
            "sh",
            "-c",
            "hostname; cat /proc/1/root/tmp/secret; ps | grep -c '[s]leep 1234'; exit 7",
        ]);
        assert_eq!(seen.expect(7).stdout, "p\nhello\n1\n");
        let json = pod.until("it ends with the command", |pod| {
            state(pod, "tools").0 == "terminated"
        });
        assert_eq!(status(&json, "tools")["restartCount"], 0);
        assert_eq!(json["status"]["phase"], "Running", "nothing waits for it");
        assert_eq!(status(&json, "c")["restartCount"], 0);

        let taken = debug(&["-c", "tools", "--", "true"]).expect(125);
        assert!(taken.stderr.contains("tools"), "{}", taken.stderr);
        let missing = debug(&["--target", "nobody", "--", "true"]).expect(125);
        assert!(missing.stderr.contains("nobody"), "{}", missing.stderr);
        let own = debug(&["--", "sh", "-c", "ps | grep '[s]leep 1234' || echo alone"]);
        assert_eq!(own.expect(0).stdout, "alone\n");
    });
}
