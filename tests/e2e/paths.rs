//! Paths of the host that a manifest may choose.

use crate::support::{Host, Pod, on_each_runtime, pod, sh, with};
use serde_json::json;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A pod that lists `path` of the host, mounted as this type.
fn lists<'h>(host: &'h Host, name: &str, path: &Path, kind: &str) -> Pod<'h> {
    let spec = json!({
        "volumes": [{"name": "h", "hostPath": {"path": path, "type": kind}}],
        "containers": [with(sh("c", "stat -c %F /h"), json!({"volumeMounts": [{"name": "h", "mountPath": "/h"}]}))],
    });
    host.start(&with(pod(spec), json!({"metadata": {"name": name}})))
}

#[test]
fn c40_each_type_of_host_path_is_checked() {
    on_each_runtime(|host| {
        let (directory, file, socket) = (host.path("dir"), host.path("file"), host.path("socket"));
        fs::create_dir(&directory).expect("a directory of ours");
        fs::write(&file, "").expect("a file of ours");
        let _listener = UnixListener::bind(&socket).expect("a socket of ours");
        let null = Path::new("/dev/null");
        for (n, (path, kind, output)) in [
            (directory.as_path(), "Directory", "directory"),
            (&host.path("made-dir"), "DirectoryOrCreate", "directory"),
            (&host.path("made/plain"), "", "directory"),
            (&file, "File", "regular empty file"),
            (
                &host.path("made-file"),
                "FileOrCreate",
                "regular empty file",
            ),
            (&socket, "Socket", "socket"),
            (null, "CharDevice", "character special file"),
        ]
        .into_iter()
        .enumerate()
        {
            let pod = lists(host, &format!("good{n}"), path, kind);
            assert_eq!(pod.output("c").trim(), output, "{kind}");
        }
        for (n, (path, kind, what)) in [
            (&host.path("absent"), "Directory", "directory"),
            (&file, "Directory", "directory"),
            (&directory, "File", "file"),
            (&file, "Socket", "socket file"),
            (&file, "CharDevice", "character device"),
            (&file, "BlockDevice", "block device"),
        ]
        .into_iter()
        .enumerate()
        {
            let pod = lists(host, &format!("bad{n}"), path, kind);
            let text = format!(
                "hostPath type check failed: {} is not a {what}",
                path.display()
            );
            pod.until(&text, |_| {
                pod.events()
                    .iter()
                    .any(|event| event["message"].as_str().is_some_and(|m| m.contains(&text)))
            });
            pod.until_waiting("c", "ContainerCreating");
        }
    });
}
