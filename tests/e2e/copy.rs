//! `cp`: files to and from containers, whatever is in their way.

use crate::support::{Host, Pod, on_each_runtime, pod, run, sh, with};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// A pod whose container has made `script`'s files and waits.
fn waiting<'h>(host: &'h Host, script: &str) -> Pod<'h> {
    let container = sh("c", &format!("{script}\ntouch /ready; sleep 1000"));
    let pod = host.start(&pod(json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [with(container, json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))],
    })));
    pod.until_running();
    crate::support::until(10, "it has made its files", || {
        match pod.exec("c", "test -e /ready") {
            ran if ran.code == Some(0) => Ok(()),
            ran => Err(ran.stderr),
        }
    });
    pod
}

fn cp(host: &Host, from: impl AsRef<Path>, to: impl AsRef<Path>) -> crate::support::Ran {
    host.podshim(["cp".as_ref(), from.as_ref(), to.as_ref()])
}

#[test]
fn files_and_directories_are_copied_both_ways_with_mode_and_time() {
    on_each_runtime(|host| {
        let pod = waiting(
            host,
            "mkdir -p /v/d/e; echo one >/v/d/f; chmod 640 /v/d/f; touch -d '2001-02-03 04:05:06' /v/d/f; chmod 700 /v/d/e",
        );
        // Out: a file to a name, a file into a directory, the content of a directory.
        let (file, dir) = (host.path("file"), host.path("dir"));
        cp(host, "p:/v/d/f", &file).expect(0);
        assert_eq!(fs::read_to_string(&file).expect("copied"), "one\n");
        let meta = file.metadata().expect("copied");
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o640, 981_173_106));
        cp(host, "p/c:v/d", &dir).expect(0);
        assert_eq!(fs::read_to_string(dir.join("f")).expect("copied"), "one\n");
        assert_eq!(
            dir.join("e").metadata().expect("copied").mode() & 0o7777,
            0o700
        );
        cp(host, "default/p:/v/d/f", host.path("dir/e")).expect(0);
        assert!(dir.join("e/f").exists());
        // In: into a directory under its own name, or under a new name; over what is there.
        fs::write(dir.join("e/f"), "two\n").expect("written");
        cp(host, &dir, "p:/v").expect(0);
        cp(host, &dir, "p:/v/new").expect(0);
        cp(host, dir.join("e/f"), "p:/v/d/f").expect(0);
        let look = "cat /v/dir/f /v/new/e/f /v/d/f; stat -c %a /v/new/e; stat -c %Y /v/new/f";
        assert_eq!(
            pod.exec("c", look).text(),
            "one\ntwo\ntwo\n700\n981173106\n"
        );
        // A file that is mounted keeps its place.
        let hosts = host.file("hosts", "127.0.0.1 own\n");
        cp(host, &hosts, "p:/etc/hosts").expect(0);
        assert_eq!(pod.exec("c", "cat /etc/hosts").text(), "127.0.0.1 own\n");
    });
}

#[test]
fn what_is_copied_in_belongs_to_the_containers_user() {
    on_each_runtime(|host| {
        let user = json!({"securityContext": {"runAsUser": 1000, "runAsGroup": 100}});
        let pod = host.start(&pod(
            json!({"containers": [with(sh("c", "sleep 1000"), user)]}),
        ));
        pod.until_running();
        let file = host.file("file", "x");
        cp(host, &file, "p:/tmp-file").expect(0);
        assert_eq!(
            pod.exec("c", "stat -c '%u %g' /tmp-file").text(),
            "1000 100\n"
        );
    });
}

#[test]
fn streams_are_tar_archives() {
    on_each_runtime(|host| {
        let pod = waiting(
            host,
            "mkdir -p /v/d /v/into; echo x >/v/d/f; ln -s /etc/passwd /v/d/link",
        );
        let archive = host.path("out.tar");
        let out = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&archive)
            .expect("a file of ours");
        let status = host.command(["cp", "p:/v/d", "-"]).stdout(out).status();
        assert!(status.expect("runs").success());
        let listed = run(Command::new("tar").arg("-tf").arg(&archive)).text();
        let mut names: Vec<&str> = listed.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["d/", "d/f", "d/link"]);
        let input = fs::File::open(&archive).expect("a file of ours");
        let status = host.command(["cp", "-", "p:/v/into"]).stdin(input).status();
        assert!(status.expect("runs").success());
        let look = "cat /v/into/d/f; readlink /v/into/d/link";
        assert_eq!(pod.exec("c", look).text(), "x\n/etc/passwd\n");
    });
}

#[test]
fn links_in_the_container_lead_nowhere_on_this_machine() {
    on_each_runtime(|host| {
        let secret = host.file("secret", "of the host");
        let outside = host.path("outside");
        fs::create_dir(&outside).expect("a directory of ours");
        let (secret_path, outside_path) = (secret.display(), outside.display());
        let pod = waiting(host, &format!(
            "mkdir -p /v/d/sub; ln -s {secret_path} /v/secret; ln -s {secret_path} /v/d/link; ln -s ../../../../../../..{outside_path} /v/up
             ln -s {outside_path} /v/out; echo x >/v/d/f; mkfifo /v/d/pipe /v/pipe; mknod /v/d/disk b 8 0; mknod /v/disk b 8 0; chmod 4755 /v/d/f
             ln -s /proc/1/root/etc /v/magic; ln -s d/sub /v/near"
        ));
        // Reading through a link stays in the container, where there is no such file.
        let copied = host.path("copied");
        cp(host, "p:/v/secret", &copied).expect(3);
        assert!(!copied.exists());
        // Of a directory, links and special files stay behind, and power too.
        let ran = cp(host, "p:/v/d", &copied).expect(0);
        for name in ["link", "pipe", "disk"] {
            assert!(
                ran.stderr.contains("skipping") && ran.stderr.contains(name),
                "{}",
                ran.stderr
            );
            assert!(copied.join(name).symlink_metadata().is_err(), "{name}");
        }
        assert_eq!(
            copied.join("f").metadata().expect("copied").mode() & 0o7777,
            0o755
        );
        // Writing through a link stays in the container too.
        let file = host.file("file", "new");
        for to in ["p:/v/out/x", "p:/v/up/x"] {
            cp(host, &file, to).expect(3);
        }
        cp(host, &file, "p:/v/near").expect(0);
        assert_eq!(pod.exec("c", "cat /v/d/sub/file").text(), "new");
        for to in ["p:/v/secret", "p:/v/pipe", "p:/v/disk"] {
            cp(host, &file, to).expect(0);
        }
        let look = "for f in secret pipe disk; do stat -c %F /v/$f; cat /v/$f; echo; done";
        let replaced = "regular file\nnew\n".repeat(3);
        assert_eq!(
            pod.exec("c", look).text(),
            replaced,
            "what stands in the way is replaced, not opened"
        );
        assert_ne!(
            cp(host, "p:/v/magic/passwd", copied.join("magic")).code,
            Some(0)
        );
        assert_eq!(fs::read_to_string(&secret).expect("ours"), "of the host");
        assert_eq!(fs::read_dir(&outside).expect("ours").count(), 0);
        // A link on this machine, in the destination, is not followed either.
        let trap = host.path("trap");
        fs::create_dir(&trap).expect("a directory of ours");
        symlink(&outside, trap.join("sub")).expect("a link of ours");
        assert_ne!(cp(host, "p:/v/d", &trap).code, Some(0));
        assert_eq!(fs::read_dir(&outside).expect("ours").count(), 0);
    });
}

#[test]
fn a_hostile_archive_does_not_leave_its_directory() {
    on_each_runtime(|host| {
        let pod = waiting(host, "mkdir /v/into /v/beside");
        // tar keeps `..` with -P: a member whose path leads up.
        let work = host.path("work/below");
        fs::create_dir_all(&work).expect("a directory of ours");
        fs::write(host.path("work/evil"), "evil").expect("a file of ours");
        let archive = host.path("evil.tar");
        run(Command::new("tar")
            .current_dir(&work)
            .args(["-P", "-cf"])
            .arg(&archive)
            .arg("../evil"))
        .expect(0);
        let input = fs::File::open(&archive).expect("a file of ours");
        let status = host.command(["cp", "-", "p:/v/into"]).stdin(input).status();
        assert_eq!(status.expect("runs").code(), Some(1));
        assert_eq!(
            pod.exec("c", "ls /v /v/into").text(),
            "/v:\nbeside\ninto\n\n/v/into:\n"
        );
    });
}

#[test]
fn no_swap_of_links_during_a_copy_leads_out_of_the_container() {
    on_each_runtime(|host| {
        let outside = host.path("outside");
        fs::create_dir(&outside).expect("a directory of ours");
        fs::write(outside.join("f"), "host").expect("a file of ours");
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o777)).expect("ours");
        let swap = format!(
            "mkdir -p /v/a /v/real; echo mine >/v/real/f; ln -s {} /v/link
             (while :; do mv /v/real /v/a/x; mv /v/a/x /v/real; mv /v/link /v/a/x; mv /v/a/x /v/link; done) &",
            outside.display()
        );
        let pod = waiting(host, &swap);
        let file = host.file("f", "written");
        let to = host.path("to");
        for _ in 0..40 {
            let _ = fs::remove_file(&to);
            let ran = cp(host, "p:/v/a/x/f", &to);
            if ran.code == Some(0) {
                assert_ne!(fs::read_to_string(&to).expect("copied"), "host");
            }
            cp(host, &file, "p:/v/a/x/f");
            assert_eq!(fs::read_to_string(outside.join("f")).expect("ours"), "host");
        }
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
    });
}

#[test]
fn a_copy_that_cannot_be_says_why() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [sh("c", "true")]})));
        pod.until_phase("Succeeded");
        let ran = cp(host, "p:/etc/passwd", host.path("x")).expect(1);
        assert!(
            ran.stderr
                .contains("container `c` of pod `p` is not running"),
            "{}",
            ran.stderr
        );
        cp(host, "nobody:/x", host.path("x")).expect(3);
        cp(host, "p/nobody:/x", host.path("x")).expect(3);
        cp(host, "a", "b").expect(2);
        cp(host, "p:/a", "p:/b").expect(2);
    });
}
