//! Volumes made for real, as root, in a mount namespace of the test's own.

use nix::mount::{MsFlags, mount};
use podshim::manifest::downward::Facts;
use podshim::manifest::*;
use podshim::volume::*;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const FACTS: Facts<'_> = Facts {
    pod_ips: &[],
    host_ips: &[],
    node_name: "node",
    cpu_milli: 2000,
    memory_bytes: 1 << 30,
    storage_bytes: 1 << 40,
};

/// Runs `test` with a directory, in a thread whose mounts nobody else sees and which vanish with it.
fn in_own_mounts(test: impl FnOnce(&Path) + Send + 'static) {
    let run = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS | nix::sched::CloneFlags::CLONE_NEWNS)
            .expect("a mount namespace");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        // Modes must come out exact whatever this is; with CLONE_FS unshared it is this thread's alone.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let dir = tempfile::tempdir().expect("a directory");
        test(&dir.path().canonicalize().expect("resolved"));
        let dirs = of(dir.path());
        release(&dirs).expect("released");
        assert!(!dirs.memory.exists());
    };
    std::thread::spawn(run).join().expect("passed");
}

fn of(dir: &Path) -> VolumeDirs {
    VolumeDirs {
        disk: dir.join("disk"),
        memory: dir.join("memory"),
        shared: dir.join("shared"),
        claims: dir.join("claims"),
    }
}

/// What the tests do not ask about.
const POD: &str = r#"{
        "name": "p", "namespace": "ns", "uid": "u-1", "labels": {"b": "2", "a": "1\"x"}, "annotations": {},
        "restart_policy": "Never", "termination_grace_period_seconds": 30, "host_network": false,
        "host_pid": false, "host_ipc": false, "share_process_namespace": false, "set_hostname_as_fqdn": false,
        "dns_policy": "Default", "dns_config": {"nameservers": [], "searches": [], "options": []},
        "host_aliases": [], "overhead": {}, "service_account": "default", "volumes": [], "object": null,
        "security": {"supplemental_groups": [], "supplemental_groups_strict": false, "sysctls": []},
        "containers": [{
            "name": "c", "role": "App", "image": "i", "pull_policy": "Never", "command": [], "args": [],
            "env_from": [], "env": [], "ports": [], "restart_rules": [], "lifecycle": {}, "mounts": [], "termination_message_path": "/t",
            "resources": {"requests": {}, "limits": {"memory": "64Mi"}}, "termination_message_from_logs": false,
            "stdin": false, "stdin_once": false, "tty": false,
            "security": {"privileged": false, "read_only_root": false, "capabilities_add": [],
                         "capabilities_drop": [], "proc_unmasked": false}
        }]
    }"#;

fn pod(volumes: Vec<(&str, VolumeSource)>) -> Pod {
    let mut pod: Pod = serde_json::from_str(POD).expect("a pod");
    let named = |(name, source): (&str, VolumeSource)| Volume {
        name: name.to_owned(),
        source,
    };
    pod.volumes = volumes.into_iter().map(named).collect();
    pod
}

fn mounted_at(pod: &mut Pod, volume: &str, path: &str) {
    pod.containers[0].mounts.push(VolumeMount {
        volume: volume.to_owned(),
        path: path.to_owned(),
        sub_path: None,
        read_only: false,
        propagation: Propagation::None,
        recursive_read_only: RecursiveReadOnly::Disabled,
        options: Vec::new(),
    });
}

fn object(kind: ObjectKind, name: &str, data: &[(&str, &str)]) -> ConfigObject {
    let data = data.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    ConfigObject {
        kind,
        name: name.to_owned(),
        namespace: "ns".to_owned(),
        data: data.collect(),
        binary: BTreeMap::new(),
    }
}

fn object_ref(kind: ObjectKind, name: &str, optional: bool) -> ObjectRef {
    ObjectRef {
        kind,
        name: name.to_owned(),
        optional,
    }
}

fn files(memory: bool, mode: u32, sources: Vec<FilesSource>) -> VolumeSource {
    VolumeSource::Files(FilesVolume {
        default_mode: mode,
        memory,
        sources,
    })
}

fn key(key: &str, path: &str, mode: Option<u32>) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        mode,
    }
}

fn whole(kind: ObjectKind, name: &str) -> FilesSource {
    FilesSource::Object {
        object: object_ref(kind, name, false),
        items: None,
    }
}

fn made(
    dir: &Path,
    pod: &Pod,
    objects: &[ConfigObject],
) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
    let input = VolumeInput {
        pod,
        objects,
        facts: &FACTS,
        memory_limit: Some(64 << 20),
    };
    prepare(&input, &of(dir))
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("there").permissions().mode() & 0o7777
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(path).expect("text")
}

fn names(path: &Path) -> Vec<String> {
    let entries = path.read_dir().expect("a directory");
    let mut names: Vec<_> = entries
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    names
}

fn empty_dir(memory: bool, limit: Option<&str>) -> VolumeSource {
    VolumeSource::EmptyDir {
        mode: None,
        medium: if memory { Medium::Memory } else { Medium::Disk },
        size_limit: limit.map(|text| text.parse().expect("a quantity")),
    }
}

#[test]
fn an_empty_dir_keeps_what_containers_wrote_until_the_pod_is_removed() {
    in_own_mounts(|dir| {
        let pod = pod(vec![
            ("d", empty_dir(false, None)),
            ("m", empty_dir(true, Some("8Mi"))),
        ]);
        let first = made(dir, &pod, &[]).expect("made");
        for path in first.values() {
            assert_eq!(mode(path), 0o777, "{path:?}");
            assert_eq!((path.metadata().expect("there").uid()), 0);
            std::fs::write(path.join("data"), "kept").expect("written");
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).expect("changed");
        }
        assert_eq!(made(dir, &pod, &[]).expect("made again"), first);
        for path in first.values() {
            assert_eq!(text(path.join("data")), "kept");
            assert_eq!(mode(path), 0o700, "what the pod did to it stays");
        }
        assert_eq!(mode(&dir.join("disk")), 0o700);
        assert_eq!(names(&dir.join("disk")), ["d"]);
        let fs = nix::sys::statfs::statfs(&first["m"]).expect("a file system");
        assert_eq!(fs.filesystem_type(), nix::sys::statfs::TMPFS_MAGIC);
        assert_eq!(fs.blocks() * fs.block_size().unsigned_abs(), 8 << 20);
    });
}

#[test]
fn a_tmpfs_is_as_large_as_its_least_limit() {
    in_own_mounts(|dir| {
        let limits = [
            ("a", Some("1Ti"), 64 << 20),
            ("b", None, 64 << 20),
            ("c", Some("0"), 64 << 20),
            ("e", Some("4Ki"), 4096_u64),
        ];
        let volumes = limits
            .iter()
            .map(|(name, limit, _)| (*name, empty_dir(true, *limit)));
        let paths = made(dir, &pod(volumes.collect()), &[]).expect("made");
        for (name, _, want) in limits {
            let fs = nix::sys::statfs::statfs(&paths[name]).expect("a file system");
            assert_eq!(fs.blocks() * fs.block_size().unsigned_abs(), want, "{name}");
        }
        let mounts = text("/proc/thread-self/mountinfo".into());
        let ours = mounts
            .lines()
            .filter(|l| l.contains(dir.to_str().expect("text")));
        assert_eq!(ours.count(), 4);
        made(dir, &pod(vec![("a", empty_dir(true, None))]), &[]).expect("made");
        assert_eq!(
            text("/proc/thread-self/mountinfo".into()).lines().count(),
            mounts.lines().count(),
            "never mounted twice"
        );
    });
}

#[test]
fn removal_stops_at_what_a_container_mounted_or_linked_into_a_volume() {
    in_own_mounts(|dir| {
        let host = dir.join("host");
        std::fs::create_dir(&host).expect("made");
        std::fs::write(host.join("precious"), "").expect("written");
        let paths = made(dir, &pod(vec![("d", empty_dir(true, None))]), &[]).expect("made");
        symlink(&host, paths["d"].join("link")).expect("linked");
        let point = paths["d"].join("a b\\");
        std::fs::create_dir(&point).expect("made");
        mount(
            Some(&host),
            &point,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .expect("bound");
        assert!(point.join("precious").exists());
        release(&of(dir)).expect("released");
        assert!(!of(dir).memory.exists());
        assert!(host.join("precious").exists());
    });
}

#[test]
fn files_lie_behind_one_link_with_exact_modes() {
    in_own_mounts(|dir| {
        let mut map = object(
            ObjectKind::ConfigMap,
            "m",
            &[("k", "text"), ("other", "x"), ("z", "1")],
        );
        map.binary.insert("bin".into(), vec![0, 255]);
        let some = FilesSource::Object {
            object: object_ref(ObjectKind::ConfigMap, "m", false),
            items: Some(vec![
                key("k", "a/b.txt", Some(0o600)),
                key("bin", "a/c/bin", None),
            ]),
        };
        let pod = pod(vec![
            ("items", files(false, 0o644, vec![some])),
            (
                "all",
                files(false, 0o400, vec![whole(ObjectKind::ConfigMap, "m")]),
            ),
        ]);
        let paths = made(dir, &pod, &[map]).expect("made");
        let items = &paths["items"];
        assert_eq!(mode(items), 0o755);
        let names_of_items = names(items);
        assert_eq!(names_of_items[1..], ["..data", "a"]);
        let stamp = &names_of_items[0];
        assert!(
            stamp.len() == "..2026_01_02_15_04_05.123456789".len(),
            "{stamp}"
        );
        let link = |name: &str| std::fs::read_link(items.join(name)).expect("a link");
        assert_eq!(link("..data").to_str(), Some(stamp.as_str()));
        assert_eq!(link("a"), Path::new("..data/a"));
        assert_eq!(mode(&items.join("a/b.txt")), 0o600);
        assert_eq!(mode(&items.join("a/c/bin")), 0o644);
        assert_eq!(mode(&items.join("a/c")), 0o755);
        assert_eq!(text(items.join("a/b.txt")), "text");
        assert_eq!(
            std::fs::read(items.join("a/c/bin")).expect("read"),
            [0, 255]
        );
        assert_eq!(
            names(&paths["all"].join("..data")),
            ["bin", "k", "other", "z"]
        );
        assert_eq!(mode(&paths["all"].join("k")), 0o400);
    });
}

#[test]
fn files_that_are_right_stay_and_others_are_changed_as_a_whole() {
    in_own_mounts(|dir| {
        let mut pod = pod(vec![(
            "m",
            files(false, 0o644, vec![whole(ObjectKind::ConfigMap, "m")]),
        )]);
        let map = |data: &[(&str, &str)]| [object(ObjectKind::ConfigMap, "m", data)];
        let volume = &made(dir, &pod, &map(&[("a", "1"), ("b", "2")])).expect("made")["m"];
        let stamp = || std::fs::read_link(volume.join("..data")).expect("a link");
        let before = stamp();
        made(dir, &pod, &map(&[("a", "1"), ("b", "2")])).expect("made");
        assert_eq!(stamp(), before);
        made(dir, &pod, &map(&[("a", "1"), ("c", "3")])).expect("made");
        assert_ne!(stamp(), before);
        let left = names(volume);
        assert_eq!(left[1..], ["..data", "a", "c"], "the old files are gone");
        let before = stamp();
        made(dir, &pod, &map(&[("a", "9"), ("c", "3")])).expect("made");
        assert_eq!(text(volume.join("a")), "9");
        assert_ne!(stamp(), before);
        let before = stamp();
        pod.security.fs_group = Some(2000);
        made(dir, &pod, &map(&[("a", "9"), ("c", "3")])).expect("made");
        assert_ne!(stamp(), before, "a new group is a change");
        // A crash left an unfinished set and link behind.
        std::fs::create_dir_all(volume.join("..2020_01_01_00_00_00.000000000/x")).expect("made");
        symlink("nowhere", volume.join("..data_tmp")).expect("linked");
        made(dir, &pod, &map(&[("a", "9"), ("c", "3")])).expect("made");
        assert_eq!(names(volume).len(), 4);
    });
}

#[test]
fn what_is_missing_fails_the_volume_unless_it_is_optional() {
    in_own_mounts(|dir| {
        let map = [object(ObjectKind::ConfigMap, "m", &[("k", "v")])];
        let source = |name: &str, wanted: &str, optional| FilesSource::Object {
            object: object_ref(ObjectKind::ConfigMap, name, optional),
            items: Some(vec![key(wanted, "f", None)]),
        };
        for (name, wanted, message) in [
            ("absent", "k", "cannot find ConfigMap `absent`"),
            ("m", "nope", "cannot find key `nope` in ConfigMap `m`"),
        ] {
            let with = |optional| {
                pod(vec![(
                    "v",
                    files(false, 0o644, vec![source(name, wanted, optional)]),
                )])
            };
            let error = made(dir, &with(false), &map).expect_err("fails");
            assert_eq!(error.to_string(), "cannot set up volume `v`");
            assert_eq!(error.cause.to_string(), message);
            assert!(!dir.join("disk/v").exists(), "nothing half-done");
            let paths = made(dir, &with(true), &map).expect("made");
            assert_eq!(names(&paths["v"].join("..data")), [""; 0]);
            std::fs::remove_dir_all(&paths["v"]).expect("removed");
        }
        let elsewhere = ConfigObject {
            namespace: "other".into(),
            ..map[0].clone()
        };
        let needs = pod(vec![(
            "v",
            files(false, 0o644, vec![whole(ObjectKind::ConfigMap, "m")]),
        )]);
        assert!(
            made(dir, &needs, &[elsewhere]).is_err(),
            "of another namespace"
        );
        let secret = ConfigObject {
            kind: ObjectKind::Secret,
            ..map[0].clone()
        };
        assert!(made(dir, &needs, &[secret]).is_err(), "of another kind");
    });
}

#[test]
fn a_projection_merges_its_sources_on_a_tmpfs() {
    in_own_mounts(|dir| {
        let downward = |path: &str, value| DownwardFile {
            path: path.into(),
            mode: None,
            value,
        };
        let amount = |container: Option<&str>| {
            EnvValue::Resource(ResourceRef {
                container: container.map(str::to_owned),
                limit: true,
                resource: "memory".into(),
                divisor: "1Mi".parse().expect("a quantity"),
            })
        };
        let sources = vec![
            whole(ObjectKind::ConfigMap, "m"),
            whole(ObjectKind::Secret, "s"),
            FilesSource::Downward(vec![
                downward("pod/labels", EnvValue::Field(FieldRef::Labels)),
                downward("pod/memory", amount(Some("c"))),
            ]),
        ];
        let objects = [
            object(ObjectKind::ConfigMap, "m", &[("a", "map"), ("b", "map")]),
            object(ObjectKind::Secret, "s", &[("b", "secret")]),
        ];
        let path = &made(
            dir,
            &pod(vec![("v", files(true, 0o440, sources))]),
            &objects,
        )
        .expect("made")["v"];
        let read = |name: &str| text(path.join(name));
        assert_eq!(
            (read("a"), read("b")),
            ("map".to_owned(), "secret".to_owned())
        );
        assert_eq!(read("pod/labels"), "a=\"1\\\"x\"\nb=\"2\"");
        assert_eq!(read("pod/memory"), "64");
        assert_eq!(mode(&path.join("pod/memory")), 0o440);
        let fs = nix::sys::statfs::statfs(path).expect("a file system");
        assert_eq!(fs.filesystem_type(), nix::sys::statfs::TMPFS_MAGIC);
        assert_eq!(mode(&dir.join("memory")), 0o700);
        let nobody = FilesSource::Downward(vec![downward("x", amount(Some("nobody")))]);
        let error = made(
            dir,
            &pod(vec![("w", files(true, 0o440, vec![nobody]))]),
            &[],
        )
        .expect_err("fails");
        assert!(matches!(error.cause, Error::NoContainer { .. }));
    });
}

#[test]
fn a_file_cannot_leave_its_volume_nor_exceed_it() {
    in_own_mounts(|dir| {
        let long = "x".repeat(256);
        let deep = "a/".repeat(100) + "a";
        let map = [object(ObjectKind::ConfigMap, "m", &[("k", "v")])];
        let with = |paths: &[&str]| {
            let items = paths.iter().map(|path| key("k", path, None)).collect();
            let object = object_ref(ObjectKind::ConfigMap, "m", false);
            let source = FilesSource::Object {
                object,
                items: Some(items),
            };
            pod(vec![("v", files(false, 0o644, vec![source]))])
        };
        for bad in [
            &["../x"][..],
            &["/x"],
            &["a/../../x"],
            &["..data"],
            &["a//b"],
            &[""],
            &["a/./b"],
            &[&long],
            &[&deep],
            &["a", "a/b"],
        ] {
            let error = made(dir, &with(bad), &map).expect_err("fails");
            assert!(matches!(error.cause, Error::FilePath { .. }), "{bad:?}");
        }
        let huge = [object(
            ObjectKind::ConfigMap,
            "m",
            &[("k", &"x".repeat(17 << 20))],
        )];
        let error = made(dir, &with(&["f"]), &huge).expect_err("fails");
        assert!(matches!(error.cause, Error::TooLarge { .. }));
        assert!(!dir.join("disk").exists());
    });
}

#[test]
fn a_volume_has_a_place_for_the_one_mounted_inside_of_it() {
    in_own_mounts(|dir| {
        let mut pod = pod(vec![
            ("outer", empty_dir(false, None)),
            ("memory", empty_dir(true, None)),
            (
                "map",
                files(false, 0o644, vec![whole(ObjectKind::ConfigMap, "m")]),
            ),
        ]);
        mounted_at(&mut pod, "outer", "/data");
        mounted_at(&mut pod, "map", "/data/conf/d");
        mounted_at(&mut pod, "memory", "/data/conf/d/run");
        mounted_at(&mut pod, "outer", "/database");
        let map = [object(ObjectKind::ConfigMap, "m", &[("k", "v")])];
        let paths = made(dir, &pod, &map).expect("made");
        made(dir, &pod, &map).expect("made again");
        assert_eq!(mode(&paths["outer"].join("conf/d")), 0o755);
        assert_eq!(names(&paths["outer"].join("conf/d")), [""; 0]);
        assert_eq!(names(&paths["map"])[1..], ["..data", "k", "run"]);
        assert_eq!(names(&paths["memory"]), [""; 0]);
    });
}

#[test]
fn a_host_path_is_what_its_type_says_or_the_volume_fails() {
    use HostPathType as T;
    in_own_mounts(|dir| {
        let at = |name: &str| dir.join(name);
        std::fs::create_dir(at("dir")).expect("made");
        std::fs::write(at("file"), "text").expect("written");
        symlink(at("dir"), at("link")).expect("linked");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
        let block = nix::sys::stat::SFlag::S_IFBLK;
        let user = nix::sys::stat::Mode::S_IRWXU;
        nix::sys::stat::mknod(&at("block"), block, user, nix::sys::stat::makedev(7, 200))
            .expect("made");
        let check = |path: &Path, kind| {
            let source = VolumeSource::HostPath {
                path: path.to_str().expect("text").to_owned(),
                kind,
            };
            made(dir, &pod(vec![("v", source)]), &[]).map(|paths| paths["v"].clone())
        };
        let null = PathBuf::from("/dev/null");
        let kinds = [
            (T::Directory, at("dir"), "directory"),
            (T::DirectoryOrCreate, at("dir"), "directory"),
            (T::File, at("file"), "file"),
            (T::FileOrCreate, at("file"), "file"),
            (T::Socket, at("socket"), "socket file"),
            (T::CharDevice, null.clone(), "character device"),
            (T::BlockDevice, at("block"), "block device"),
        ];
        for (kind, good, called) in &kinds {
            assert_eq!(&check(good, *kind).expect("there"), good);
            for (_, bad, other) in kinds.iter().filter(|k| k.2 != *called) {
                let error = check(bad, *kind).expect_err("wrong type");
                assert_eq!(error.to_string(), "cannot set up volume `v`");
                let cause = error.source().expect("a cause").to_string();
                let want = format!(
                    "hostPath type check failed: {} is not a {called}",
                    bad.display()
                );
                assert_eq!(cause, want, "{other}");
            }
            if !matches!(kind, T::DirectoryOrCreate | T::FileOrCreate) {
                let error = check(&at("absent"), *kind).expect_err("absent");
                assert!(
                    error
                        .cause
                        .to_string()
                        .ends_with(&format!("absent is not a {called}"))
                );
            }
            check(good, T::Unset).expect("unchecked");
        }
        assert_eq!(
            check(&at("link"), T::Directory).expect("a link"),
            at("dir"),
            "links are resolved"
        );
        for (name, kind) in [("new/deep", T::Unset), ("other/deep", T::DirectoryOrCreate)] {
            let made = check(&at(name), kind).expect("made");
            assert_eq!(
                (mode(&made), mode(made.parent().expect("a parent"))),
                (0o755, 0o755)
            );
        }
        let file = check(&at("new/file"), T::FileOrCreate).expect("made");
        assert_eq!((mode(&file), text(file)), (0o644, String::new()));
        assert!(
            check(&at("absent/file"), T::FileOrCreate).is_err(),
            "its directory must be there"
        );
        assert!(!at("absent").exists());
        assert_eq!(text(at("file")), "text");
    });
}

#[test]
fn volumes_belong_to_the_group_of_the_pod_and_host_paths_do_not() {
    in_own_mounts(|dir| {
        let host = dir.join("host");
        std::fs::create_dir(&host).expect("made");
        let before = (mode(&host), host.metadata().expect("there").gid());
        let path = host.to_str().expect("text").to_owned();
        let mut pod = pod(vec![
            ("disk", empty_dir(false, None)),
            ("memory", empty_dir(true, None)),
            (
                "secret",
                files(
                    true,
                    0o400,
                    vec![FilesSource::Object {
                        object: object_ref(ObjectKind::Secret, "s", false),
                        items: Some(vec![key("k", "d/k", None)]),
                    }],
                ),
            ),
            (
                "host",
                VolumeSource::HostPath {
                    path,
                    kind: HostPathType::Directory,
                },
            ),
        ]);
        pod.security.fs_group = Some(2000);
        mounted_at(&mut pod, "disk", "/disk");
        mounted_at(&mut pod, "memory", "/disk/x/y");
        mounted_at(&mut pod, "secret", "/disk/x/y/z");
        let secret = [object(ObjectKind::Secret, "s", &[("k", "v")])];
        let paths = made(dir, &pod, &secret).expect("made");
        let gid = |path: &Path| path.symlink_metadata().expect("there").gid();
        for name in ["disk", "memory"] {
            assert_eq!(
                (mode(&paths[name]), gid(&paths[name])),
                (0o2777, 2000),
                "{name}"
            );
        }
        for inner in [
            paths["disk"].join("x"),
            paths["disk"].join("x/y"),
            paths["memory"].join("z"),
        ] {
            assert_eq!((mode(&inner), gid(&inner)), (0o2775, 2000), "{inner:?}");
        }
        let file = paths["secret"].join("d/k");
        assert_eq!((mode(&file), gid(&file)), (0o440, 2000));
        let data = paths["secret"].join("..data/d");
        assert_eq!((mode(&data), gid(&data)), (0o2755, 2000));
        for link in ["..data", "d"] {
            assert_eq!(gid(&paths["secret"].join(link)), 2000, "{link}");
        }
        assert_eq!((mode(&host), gid(&host)), before);
        let stamp = || std::fs::read_link(paths["secret"].join("..data")).expect("a link");
        let first = stamp();
        made(dir, &pod, &secret).expect("made again");
        assert_eq!(stamp(), first, "nothing to do");
    });
}

#[test]
fn no_swap_of_a_directory_for_a_link_leads_a_sub_path_out_of_its_volume() {
    use std::sync::atomic::{AtomicBool, Ordering};
    /// How long it is tried. A lookup by name followed by a mount loses within milliseconds.
    const TRIED: std::time::Duration = std::time::Duration::from_secs(3);
    in_own_mounts(|dir| {
        let (volume, outside) = (dir.join("volume"), dir.join("outside"));
        std::fs::create_dir_all(volume.join("a/real/b")).expect("made");
        std::fs::create_dir_all(outside.join("b")).expect("made");
        symlink(&outside, volume.join("a/link")).expect("linked");
        symlink("../../outside", volume.join("a/relative")).expect("linked");
        let outside = [&outside, &outside.join("b")].map(|p| p.metadata().expect("there").ino());
        let done = AtomicBool::new(false);
        let (mut inside, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let names = ["real", "link", "relative"].map(|name| volume.join("a").join(name));
                let open = volume.join("a/x");
                for from in names.iter().cycle() {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    std::fs::rename(from, &open).expect("moved in");
                    std::fs::rename(&open, from).expect("moved out");
                }
            });
            #[allow(clippy::disallowed_methods, reason = "a test has its own clock")]
            let begun = std::time::Instant::now();
            for round in 0_u64.. {
                if begun.elapsed() > TRIED {
                    break;
                }
                let place = dir.join("places").join(round.to_string());
                // What is missing would be made and stand in the way of the next swap: only what is there is asked for.
                match bind_sub_path(&volume, "a/x/b", Part::Directory, &place) {
                    Ok(()) => {
                        let found = place.metadata().expect("mounted").ino();
                        assert!(
                            !outside.contains(&found),
                            "out of the volume in round {round}"
                        );
                        inside += 1;
                    }
                    Err(_) => refused += 1,
                }
                release_places(&dir.join("places")).expect("released");
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(
            inside > 0 && refused > 0,
            "{inside} inside, {refused} refused: no race was run"
        );
    });
}

#[test]
fn making_what_a_sub_path_lacks_never_goes_through_a_link() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const TRIED: std::time::Duration = std::time::Duration::from_secs(2);
    in_own_mounts(|dir| {
        let (volume, outside) = (dir.join("volume"), dir.join("outside"));
        std::fs::create_dir_all(&volume).expect("made");
        std::fs::create_dir_all(&outside).expect("made");
        let done = AtomicBool::new(false);
        let mut made = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let x = volume.join("x");
                while !done.load(Ordering::Relaxed) {
                    // Whatever of this fails, the next turn does not.
                    let _ = symlink(&outside, &x);
                    let _ = std::fs::remove_file(&x);
                    let _ = std::fs::create_dir(&x);
                    let _ = std::fs::remove_dir_all(&x);
                }
            });
            #[allow(clippy::disallowed_methods, reason = "a test has its own clock")]
            let begun = std::time::Instant::now();
            for round in 0_u64.. {
                if begun.elapsed() > TRIED {
                    break;
                }
                let place = dir.join("places").join(round.to_string());
                made += usize::from(bind_sub_path(&volume, "x/y/z", Part::Any, &place).is_ok());
                release_places(&dir.join("places")).expect("released");
                assert_eq!(names(&outside), [""; 0], "something was made outside");
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(made > 0, "no race was run");
    });
}

#[test]
fn an_empty_dir_of_huge_pages_is_a_hugetlbfs_of_its_page_size() {
    in_own_mounts(|dir| {
        let source = VolumeSource::EmptyDir {
            mode: None,
            medium: Medium::HugePages {
                page_bytes: 2 << 20,
            },
            size_limit: Some("4Mi".parse().expect("a quantity")),
        };
        let paths = made(dir, &pod(vec![("h", source)]), &[]).expect("made");
        let fs = nix::sys::statfs::statfs(&paths["h"]).expect("a file system");
        assert_eq!(fs.filesystem_type(), nix::sys::statfs::HUGETLBFS_MAGIC);
        assert_eq!((fs.block_size(), fs.blocks()), (2 << 20, 2));
        assert_eq!(mode(&paths["h"]), 0o777);
    });
}
