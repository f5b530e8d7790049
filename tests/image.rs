//! Images as other programs write them, and as an enemy would. Needs root, skopeo, umoci and GNU tar.

use flate2::write::GzEncoder;
use podshim::bundle::ImageConfig;
use podshim::image::{
    self, Image, ImageError, InUse, Prune, Pull, inspect, list, load, mount_overlay, user_files,
};
use podshim::manifest::PullPolicy;
use podshim::pod::FailureReason;
use rustix::fs::{CWD, FileType, Gid, Mode, Uid, XattrFlags, makedev, mknodat};
use serde_json::{Value, json};
use sha2::Digest;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tar::{EntryType, Header};
use tempfile::TempDir;

const POLICY: PullPolicy = PullPolicy::IfNotPresent;
/// Tells the child test below what to bring: `<data>\n<reference>`.
const CHILD: &str = "PODSHIM_TEST_ENSURE";

fn ensure(data: &Path, reference: &str, policy: PullPolicy) -> Result<Image, ImageError> {
    image::ensure(data, reference, policy, &Pull::default())
}

fn in_use(layers: &[PathBuf]) -> InUse {
    InUse {
        layers: layers.to_vec(),
        ..InUse::default()
    }
}

fn remove(data: &Path, reference: &str, layers: &[PathBuf]) -> Result<(), ImageError> {
    image::remove(data, reference, || in_use(layers))
}

fn prune(data: &Path, layers: &[PathBuf]) -> Result<Vec<String>, ImageError> {
    image::prune(data, Prune::Remains, || in_use(layers))
}

fn tool(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in sha2::Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("strings grow");
    }
    hex
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A layout made by hand, and a data directory, and something outside both that nothing may touch.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let scene = Scene { dir };
        fs::create_dir_all(scene.layout().join("blobs/sha256")).expect("blobs");
        fs::create_dir(scene.outside()).expect("outside");
        fs::write(scene.outside().join("file"), "untouched").expect("a file");
        fs::write(
            scene.layout().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .expect("oci-layout");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    fn data(&self) -> PathBuf {
        self.path("data")
    }
    fn layout(&self) -> PathBuf {
        self.path("layout")
    }
    fn outside(&self) -> PathBuf {
        self.path("outside")
    }
    fn reference(&self) -> String {
        format!("oci:{}", text(&self.layout()))
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let hex = sha256(bytes);
        fs::write(self.layout().join("blobs/sha256").join(&hex), bytes).expect("a blob");
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    }

    fn json_blob(&self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    /// A manifest with these layers (blob, uncompressed), with a change made to it before it is written.
    fn manifest(&self, layers: &[(&[u8], &[u8])], change: impl Fn(&mut Value)) -> Value {
        let diffs: Vec<String> = layers
            .iter()
            .map(|(_, tar)| format!("sha256:{}", sha256(tar)))
            .collect();
        let config = json!({"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05.6Z",
            "config": {"Cmd": ["/bin/true"], "Entrypoint": null}, "rootfs": {"type": "layers", "diff_ids": diffs}});
        let config = self.json_blob("application/vnd.oci.image.config.v1+json", &config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|(blob, _)| self.blob("application/vnd.oci.image.layer.v1.tar", blob))
            .collect();
        let mut manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        change(&mut manifest);
        self.json_blob("application/vnd.oci.image.manifest.v1+json", &manifest)
    }

    fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.layout().join("index.json"), index.to_string()).expect("index.json");
    }

    fn image(&self, tar: &[u8]) {
        self.index(&[self.manifest(&[(tar, tar)], |_| {})]);
    }

    fn ensure(&self) -> Result<Image, ImageError> {
        ensure(&self.data(), &self.reference(), POLICY)
    }

    /// The single layer of an image that must be accepted.
    fn layer(&self, tar: &[u8]) -> PathBuf {
        self.image(tar);
        let image = self
            .ensure()
            .unwrap_or_else(|error| panic!("accepted: {}", chain(&error)));
        self.assert_untouched();
        image.layers[0].clone()
    }

    /// The image as it stands must be refused, for this reason, and nothing may be left of it.
    fn refused(&self, because: &str) {
        let error = self.ensure().expect_err(because);
        assert!(
            chain(&error).contains(because),
            "{because}: {}",
            chain(&error)
        );
        assert_eq!(error.reason(), FailureReason::ErrImagePull);
        let left = fs::read_dir(self.data().join("layers"))
            .into_iter()
            .flatten();
        let left: Vec<_> = left.map(|e| e.expect("entry").path()).collect();
        assert!(
            left.iter()
                .all(|p| p.extension().is_some_and(|e| e == "lock")),
            "{because}: {left:?}"
        );
        self.assert_untouched();
    }

    fn refused_layer(&self, tar: &[u8], because: &str) {
        self.image(tar);
        self.refused(because);
    }

    fn assert_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.outside())
            .expect("outside")
            .map(|e| e.expect("entry").file_name())
            .collect();
        assert_eq!(names, ["file"]);
        let file = self.outside().join("file");
        assert_eq!(fs::read_to_string(&file).expect("file"), "untouched");
        assert_eq!(fs::metadata(&file).expect("file").nlink(), 1);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// A tar written block by block, so that names and links can be anything.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn member(mut self, kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) -> Tar {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_device_major(1).expect("gnu");
        header.set_device_minor(3).expect("gnu");
        self = self.raw(&mut header, data);
        self
    }

    fn raw(mut self, header: &mut Header, data: &[u8]) -> Tar {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &str) -> Tar {
        self.member(EntryType::Regular, name.as_bytes(), b"", data.as_bytes())
    }
    fn dir(self, name: &str) -> Tar {
        self.member(EntryType::Directory, name.as_bytes(), b"", b"")
    }
    fn link(self, kind: EntryType, name: &str, target: &str) -> Tar {
        self.member(kind, name.as_bytes(), target.as_bytes(), b"")
    }
    fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..10)
                .map(|digits| rest + digits)
                .find(|n| n.to_string().len() == n - rest);
            data.extend_from_slice(format!("{} {key}=", length.expect("short")).as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.member(EntryType::XHeader, b"pax", b"", &data)
    }
    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    let stat = fs::symlink_metadata(path).expect("exists");
    stat.file_type().is_char_device() && stat.rdev() == 0
}

/// Everything that matters of each file below a directory.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("entry").path();
            let stat = fs::symlink_metadata(&path).expect("stat");
            let kind = stat.file_type();
            let content = if kind.is_file() {
                sha256(&fs::read(&path).expect("reads"))
            } else if kind.is_symlink() {
                format!("{:?}", fs::read_link(&path).expect("link"))
            } else {
                format!("{:x}", stat.rdev())
            };
            let xattrs: Vec<_> = ["user.note", "security.capability"]
                .iter()
                .map(|n| xattr(&path, n))
                .collect();
            let links = if kind.is_dir() { 0 } else { stat.nlink() };
            let name = path.strip_prefix(root).expect("below").to_owned();
            found.insert(
                name,
                format!(
                    "{:o} {}:{} {} {links} {content} {xattrs:?}",
                    stat.mode(),
                    stat.uid(),
                    stat.gid(),
                    stat.mtime()
                ),
            );
            if kind.is_dir() {
                walk(root, &path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

fn assert_same(found: &BTreeMap<PathBuf, String>, wanted: &BTreeMap<PathBuf, String>) {
    let names = found.keys().chain(wanted.keys());
    let differ: Vec<_> = names
        .filter(|n| found.get(*n) != wanted.get(*n))
        .map(|n| (n, found.get(n), wanted.get(n)))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

/// Gives everything one time without a fraction, which some writers round and others cut.
fn settle_times(root: &Path) {
    tool(
        "find",
        &[
            text(root),
            "-exec",
            "touch",
            "-h",
            "-d",
            "@1700000000",
            "{}",
            "+",
        ],
    );
}

/// Mounts an image, looks at it, and unmounts it.
fn with_root<T>(image: &Image, look: impl FnOnce(&Path) -> T) -> T {
    let dir = tempfile::tempdir().expect("a directory");
    let place = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).expect("a directory");
        path
    };
    let (upper, work, target) = (place("upper"), place("work"), place("root"));
    mount_overlay(&image.layers, &upper, &work, &target).expect("mounts");
    let _mounted = Mounted(target.clone());
    look(&target)
}

/// Unmounts also when an assertion fails.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::empty();
        rustix::mount::unmount(&self.0, flags).expect("unmounts");
    }
}

/// One of everything a root file system can hold.
fn populate(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("etc/deep")).expect("dirs");
    fs::create_dir_all(at("gone")).expect("dirs");
    fs::write(
        at("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n",
    )
    .expect("file");
    fs::write(at("etc/group"), "root:x:0:\napp:x:1000:\n").expect("file");
    fs::write(at("gone/file"), "soon gone").expect("file");
    fs::write(at("etc/deep/changes"), "one").expect("file");
    fs::write(at("su"), "setuid").expect("file");
    rustix::fs::chown(
        at("su"),
        Some(Uid::from_raw(1234)),
        Some(Gid::from_raw(4321)),
    )
    .expect("chown");
    fs::set_permissions(at("su"), fs::Permissions::from_mode(0o6755)).expect("chmod");
    fs::set_permissions(at("etc/deep"), fs::Permissions::from_mode(0o1770)).expect("chmod");
    // VFS_CAP_REVISION_2, effective; 0x0a is a newline inside the value.
    let capability = [
        1, 0, 0, 2, 0x0a, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    rustix::fs::setxattr(
        at("su"),
        "security.capability",
        &capability,
        XattrFlags::empty(),
    )
    .expect("xattr");
    rustix::fs::setxattr(
        at("etc/passwd"),
        "user.note",
        b"a\nb=c",
        XattrFlags::empty(),
    )
    .expect("xattr");
    fs::hard_link(at("etc/passwd"), at("etc/passwd-")).expect("link");
    symlink("../etc/passwd", at("etc/relative")).expect("symlink");
    symlink("/etc/passwd", at("absolute")).expect("symlink");
    let mode = Mode::from_raw_mode(0o640);
    mknodat(CWD, at("fifo"), FileType::Fifo, mode, 0).expect("fifo");
    mknodat(
        CWD,
        at("null"),
        FileType::CharacterDevice,
        mode,
        makedev(1, 3),
    )
    .expect("node");
    mknodat(
        CWD,
        at("disk"),
        FileType::BlockDevice,
        mode,
        makedev(7, 300),
    )
    .expect("node");
    let long = at(&"directory-with-a-long-name/".repeat(12));
    fs::create_dir_all(&long).expect("dirs");
    fs::write(long.join("n".repeat(200)), "long").expect("file");
    symlink("t".repeat(300), at("long-link")).expect("symlink");
    let sparse = fs::File::create(at("sparse")).expect("file");
    sparse.set_len(3 << 20).expect("size");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 20).expect("write");
}

/// A layout with `base`, and `v2` on top of it, made by umoci; gives the two root file systems as umoci saw them.
fn umoci_layout(scene: &Scene) -> (PathBuf, PathBuf, PathBuf) {
    let layout = scene.path("umoci");
    let image = |tag: &str| format!("{}:{tag}", text(&layout));
    tool("umoci", &["init", "--layout", text(&layout)]);
    tool("umoci", &["new", "--image", &image("base")]);
    let bundle = scene.path("bundle");
    tool(
        "umoci",
        &["unpack", "--image", &image("base"), text(&bundle)],
    );
    let root = bundle.join("rootfs");
    populate(&root);
    settle_times(&root);
    tool(
        "umoci",
        &["repack", "--image", &image("base"), text(&bundle)],
    );
    tool(
        "umoci",
        &[
            "config",
            "--image",
            &image("base"),
            "--config.user",
            "app",
            "--config.cmd",
            "serve",
            "--config.entrypoint",
            "/bin/app",
            "--config.env",
            "A=b",
            "--config.workingdir",
            "/srv",
            "--config.volume",
            "/data",
            "--config.stopsignal",
            "SIGQUIT",
        ],
    );
    let first = scene.path("first");
    tool("cp", &["-a", text(&root), text(&first)]);
    let bundle = scene.path("bundle2");
    tool(
        "umoci",
        &["unpack", "--image", &image("base"), text(&bundle)],
    );
    let root = bundle.join("rootfs");
    fs::remove_dir_all(root.join("gone")).expect("removes");
    fs::remove_file(root.join("absolute")).expect("removes");
    fs::create_dir(root.join("absolute")).expect("dir");
    fs::write(root.join("etc/deep/changes"), "two").expect("file");
    fs::write(root.join("new"), "new").expect("file");
    settle_times(&root);
    tool("umoci", &["repack", "--image", &image("v2"), text(&bundle)]);
    (layout, first, root)
}

#[test]
fn what_umoci_and_skopeo_write_is_read() {
    let scene = Scene::new();
    let (layout, first, second) = umoci_layout(&scene);
    let oci = |tag: &str| format!("oci:{}:{tag}", text(&layout));
    let expected = ImageConfig {
        entrypoint: vec!["/bin/app".into()],
        cmd: vec!["serve".into()],
        env: vec!["A=b".into()],
        user: "app".into(),
        working_dir: "/srv".into(),
        stop_signal: "SIGQUIT".into(),
        volumes: vec!["/data".into()],
    };
    assert_eq!(
        inspect(&scene.data(), &oci("base")).expect("inspects"),
        expected
    );
    assert!(!scene.data().exists(), "inspect creates nothing");

    let base = ensure(&scene.data(), &oci("base"), POLICY).expect("base");
    assert_eq!((base.layers.len(), &base.config), (1, &expected));
    assert_same(&tree(&base.layers[0]), &tree(&first));
    let blocks = |root: &Path| fs::metadata(root.join("sparse")).expect("stat").size();
    assert_eq!(blocks(&base.layers[0]), 3 << 20);

    let v2 = ensure(&scene.data(), &oci("v2"), POLICY).expect("v2");
    assert_eq!(
        (v2.layers.len(), &v2.layers[0]),
        (2, &base.layers[0]),
        "the base is shared"
    );
    assert!(is_whiteout(&v2.layers[1].join("gone")));
    with_root(&v2, |root| {
        assert_same(&tree(root), &tree(&second));
        let users = user_files(root).expect("users");
        assert!(users.passwd.expect("passwd").contains("app:x:1000"));
    });

    let (oci_tar, docker_tar) = (scene.path("oci.tar"), scene.path("docker.tar"));
    let docker_name = "example.org/app:1";
    tool(
        "skopeo",
        &[
            "copy",
            &oci("v2"),
            &format!("oci-archive:{}:v2", text(&oci_tar)),
        ],
    );
    tool(
        "skopeo",
        &[
            "copy",
            &oci("v2"),
            &format!("docker-archive:{}:{docker_name}", text(&docker_tar)),
        ],
    );
    tool("gzip", &["-k", text(&docker_tar)]);
    for reference in [
        format!("oci-archive:{}", text(&oci_tar)),
        format!("oci-archive:{}:v2", text(&oci_tar)),
        format!("docker-archive:{}", text(&docker_tar)),
        format!("docker-archive:{}:{docker_name}", text(&docker_tar)),
        format!("docker-archive:{}.gz", text(&docker_tar)),
    ] {
        let image =
            ensure(&scene.data(), &reference, POLICY).unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(
            (&image.layers, &image.config),
            (&v2.layers, &expected),
            "{reference}"
        );
        // From nothing, not from the layers that are there.
        let fresh = ensure(&scene.path("fresh"), &reference, POLICY).expect("unpacks");
        with_root(&fresh, |root| assert_same(&tree(root), &tree(&second)));
        fs::remove_dir_all(scene.path("fresh")).expect("removes");
    }
}

#[test]
fn what_gnu_tar_writes_is_read_in_both_formats() {
    for (format, sparse) in [("gnu", true), ("posix", false)] {
        let scene = Scene::new();
        let (root, file) = (scene.path("root"), scene.path("layer.tar"));
        fs::create_dir(&root).expect("dir");
        populate(&root);
        settle_times(&root);
        let mut args = vec![
            "--format",
            format,
            "--numeric-owner",
            "-cf",
            text(&file),
            "-C",
            text(&root),
            ".",
        ];
        if sparse {
            args.insert(0, "--sparse");
        } else {
            args.splice(0..0, ["--xattrs", "--xattrs-include=*"]);
        }
        tool("tar", &args);
        let tar = fs::read(&file).expect("reads");
        assert_eq!(
            tar.windows(6).any(|w| w == b"middle") && tar.len() < 1 << 20,
            sparse
        );
        let layer = scene.layer(&tar);
        let mut wanted = tree(&root);
        if sparse {
            // The old format has no attributes.
            for line in wanted.values_mut() {
                let at = line.find(" [").expect("attributes");
                line.replace_range(at.., " [None, None]");
            }
            let blocks = fs::metadata(layer.join("sparse")).expect("stat").blocks();
            assert!(blocks * 512 < 1 << 20, "holes stay holes: {blocks}");
        }
        assert_same(&tree(&layer), &wanted);
    }
}

#[test]
fn compressed_layers_are_read_whatever_their_type_says() {
    let scene = Scene::new();
    let tar = Tar::default().file("a", "content").end();
    // Two gzip members make one stream.
    let blob = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    scene.index(&[scene.manifest(&[(&blob, &tar)], |_| {})]);
    let image = scene.ensure().expect("accepted");
    assert_eq!(
        fs::read_to_string(image.layers[0].join("a")).expect("a"),
        "content"
    );

    let scene = Scene::new();
    // Frames of raw blocks, one of them to be skipped. Source: RFC 8878.
    let frame = |data: &[u8]| {
        let size = u32::try_from(data.len()).expect("small");
        let block = (size << 3 | 1).to_le_bytes();
        let header = [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes()].concat();
        [&header, &block[..3], data].concat()
    };
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let zstd = [
        skipped.clone(),
        frame(&tar[..700]),
        skipped,
        frame(&tar[700..]),
    ]
    .concat();
    scene.index(&[scene.manifest(&[(&zstd, &tar)], |_| {})]);
    let image = scene.ensure().expect("accepted");
    assert!(image.layers[0].join("a").exists());

    let scene = Scene::new();
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    scene.index(&[scene.manifest(&[(&wide, &tar)], |_| {})]);
    scene.refused("window");
}

#[test]
fn whiteouts_hide_lower_layers_and_never_their_own() {
    let scene = Scene::new();
    let lower = Tar::default()
        .file("a", "lower")
        .file("dir/lower", "")
        .file("opaque/lower", "")
        .file("late/lower", "")
        .file("deep/x/lower", "")
        .end();
    let upper = Tar::default()
        .file(".wh.a", "")
        .file(".wh.dir", "")
        .file("dir/own", "")
        .file("opaque/own", "")
        .file("opaque/.wh..wh..opq", "")
        .file("late/own", "")
        .file(".wh.late", "")
        .file("deep/.wh.x", "")
        .dir("deep/x/")
        .file("kept", "own")
        .file(".wh.kept", "")
        .file(".wh..wh.plnk", "")
        .end();
    scene.index(&[scene.manifest(&[(&lower, &lower), (&upper, &upper)], |_| {})]);
    let image = scene.ensure().expect("accepted");
    assert!(is_whiteout(&image.layers[1].join("a")));
    let opaque = xattr(&image.layers[1].join("opaque"), "trusted.overlay.opaque");
    assert_eq!(opaque.as_deref(), Some(b"y".as_slice()));
    with_root(&image, |root| {
        let names: Vec<String> = tree(root)
            .into_keys()
            .map(|p| text(&p).to_owned())
            .collect();
        assert_eq!(
            names,
            [
                "deep",
                "deep/x",
                "dir",
                "dir/own",
                "kept",
                "late",
                "late/own",
                "opaque",
                "opaque/own"
            ]
        );
    });
    scene_refuses_alone(
        &Tar::default().file("d/.wh...", "").end(),
        "whiteout of nothing",
    );
    scene_refuses_alone(
        &Tar::default().file(".wh.", "").end(),
        "whiteout of nothing",
    );
    scene_refuses_alone(
        &Tar::default().file("d/.wh..", "").end(),
        "whiteout of nothing",
    );
}

/// A fresh scene in which this layer must be refused.
fn scene_refuses_alone(tar: &[u8], because: &str) {
    Scene::new().refused_layer(tar, because);
}

#[test]
fn a_path_with_two_dots_is_refused() {
    for name in [
        "../outside/evil",
        "a/../../outside/evil",
        "/../outside/evil",
        "a/..",
    ] {
        scene_refuses_alone(
            &Tar::default().file(name, "evil").end(),
            "its path has `..`",
        );
    }
}

#[test]
fn an_absolute_path_is_below_the_root() {
    let scene = Scene::new();
    let evil = text(&scene.outside()).to_owned() + "/evil";
    let layer = scene.layer(&Tar::default().file(&evil, "evil").end());
    assert_eq!(
        fs::read_to_string(layer.join(&evil[1..])).expect("inside"),
        "evil"
    );
}

#[test]
fn a_stream_may_end_with_its_last_byte_of_data() {
    // As `umoci insert` writes: neither an end marker nor what fills the last block.
    let whole = Tar::default().file("a", "first").file("b", "last").0;
    let end = whole.len() - 512 + "last".len();
    for length in [end, end + 1, whole.len() - 1, whole.len()] {
        let scene = Scene::new();
        let layer = scene.layer(&whole[..length]);
        let read = |name: &str| fs::read_to_string(layer.join(name)).expect("a file");
        assert_eq!((read("a"), read("b")), ("first".into(), "last".into()));
    }
    scene_refuses_alone(&whole[..end - 1], "cut off");
}

#[test]
fn a_symlink_on_the_way_does_not_lead_out() {
    for up in ["", "../../../../../../../.."] {
        let scene = Scene::new();
        let target = format!("{up}{}", text(&scene.outside()));
        let tar = Tar::default()
            .link(EntryType::Symlink, "out", &target)
            .file("out/evil", "evil")
            .end();
        scene.refused_layer(&tar, "cannot create `out/evil`");
        // The same link, once its target exists inside, leads there.
        let scene = Scene::new();
        let target = format!("{up}{}", text(&scene.outside()));
        let tar = Tar::default()
            .dir(&target.replace("../", "").replace("..", ""))
            .link(EntryType::Symlink, "out", &target)
            .file("out/evil", "evil")
            .end();
        let layer = scene.layer(&tar);
        assert!(
            layer
                .join(&text(&scene.outside())[1..])
                .join("evil")
                .exists()
        );
    }
}

#[test]
fn a_symlink_in_the_place_of_a_file_is_replaced_and_not_written_through() {
    let scene = Scene::new();
    let target = scene.outside().join("file");
    let tar = Tar::default()
        .link(EntryType::Symlink, "x", text(&target))
        .file("x", "evil")
        .end();
    let layer = scene.layer(&tar);
    assert!(fs::symlink_metadata(layer.join("x")).expect("x").is_file());
    let scene = Scene::new();
    let tar = Tar::default()
        .link(EntryType::Symlink, "d", text(&scene.outside()))
        .dir("d")
        .file("d/evil", "evil")
        .file("e/full", "")
        .link(EntryType::Symlink, "e", text(&scene.outside()))
        .end();
    let layer = scene.layer(&tar);
    assert!(fs::symlink_metadata(layer.join("d")).expect("d").is_dir());
    assert!(
        fs::symlink_metadata(layer.join("e"))
            .expect("e")
            .is_symlink()
    );
}

#[test]
fn a_hard_link_does_not_lead_out() {
    let scene = Scene::new();
    let file = scene.outside().join("file");
    let hard = |target: &str| Tar::default().link(EntryType::Link, "x", target).end();
    scene.refused_layer(&hard(text(&file)), "cannot create `x`");
    scene_refuses_alone(
        &hard("../../../outside/file"),
        "link target is no path below the root",
    );
    scene_refuses_alone(&hard("."), "cannot name the root");
    let scene = Scene::new();
    let through = Tar::default()
        .link(EntryType::Symlink, "out", text(&scene.outside()))
        .link(EntryType::Link, "x", "out/file")
        .end();
    scene.refused_layer(&through, "cannot create `x`");
    // A hard link to a symlink is the symlink, and what is then written there replaces it.
    let scene = Scene::new();
    let onto = Tar::default()
        .link(EntryType::Symlink, "s", text(&scene.outside().join("file")))
        .link(EntryType::Link, "x", "s")
        .file("x", "evil")
        .end();
    let layer = scene.layer(&onto);
    assert!(
        fs::symlink_metadata(layer.join("s"))
            .expect("s")
            .is_symlink()
    );
}

#[test]
fn a_hard_link_to_itself_keeps_the_file() {
    let layer = Scene::new();
    let tar = Tar::default()
        .file("a", "kept")
        .link(EntryType::Link, "a", "a")
        .end();
    assert_eq!(
        fs::read_to_string(layer.layer(&tar).join("a")).expect("a"),
        "kept"
    );
}

#[test]
fn a_device_is_what_the_tar_says_and_inside() {
    let scene = Scene::new();
    let tar = Tar::default()
        .member(EntryType::Char, b"dev/null", b"", b"")
        .file("dev/null", "data")
        .end();
    let layer = scene.layer(&tar);
    assert!(
        fs::symlink_metadata(layer.join("dev/null"))
            .expect("null")
            .is_file(),
        "never written to"
    );
    let scene = Scene::new();
    let tar = Tar::default()
        .link(EntryType::Symlink, "out", text(&scene.outside()))
        .member(EntryType::Block, b"out/disk", b"", b"")
        .end();
    scene.refused_layer(&tar, "cannot create `out/disk`");
}

#[test]
fn attributes_that_steer_overlayfs_are_dropped() {
    let scene = Scene::new();
    let tar = Tar::default()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/../../outside"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"evil"),
            ("SCHILY.xattr.user.note", b"kept\nwhole"),
            ("mtime", b"12.5"),
        ])
        .dir("d")
        .end();
    let dir = scene.layer(&tar).join("d");
    for name in [
        "trusted.overlay.redirect",
        "trusted.overlay.opaque",
        "user.overlay.opaque",
        "security.selinux",
    ] {
        assert_eq!(xattr(&dir, name), None, "{name}");
    }
    assert_eq!(
        xattr(&dir, "user.note").as_deref(),
        Some(b"kept\nwhole".as_slice())
    );
    let stat = fs::metadata(&dir).expect("d");
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (12, 500_000_000));
}

#[test]
fn hostile_names_and_headers_are_refused() {
    let pax = |records: &[(&str, &[u8])]| Tar::default().pax(records).file("a", "").end();
    scene_refuses_alone(&pax(&[("path", b"a\0b")]), "NUL byte");
    scene_refuses_alone(
        &pax(&[("path", "a/".repeat(3000).as_bytes())]),
        "longer than 4095 bytes",
    );
    scene_refuses_alone(
        &pax(&[("path", "a".repeat(300).as_bytes())]),
        "cannot create",
    );
    scene_refuses_alone(
        &pax(&[("comment", &vec![b'x'; 2 << 20])]),
        "larger than 1 MiB",
    );
    scene_refuses_alone(&pax(&[("uid", b"4294967295")]), "does not fit in 32 bits");
    scene_refuses_alone(&pax(&[("size", b"18446744073709551615")]), "too large");
    scene_refuses_alone(&pax(&[("size", b"99999999999999")]), "too large");
    scene_refuses_alone(
        &pax(&[("GNU.sparse.major", b"1")]),
        "sparse files in PAX form",
    );
    scene_refuses_alone(
        &Tar::default()
            .member(EntryType::XHeader, b"p", b"", b"7 a=1")
            .file("a", "")
            .end(),
        "malformed PAX",
    );
    scene_refuses_alone(
        &Tar::default()
            .member(EntryType::new(b'M'), b"m", b"", b"")
            .end(),
        "type is unknown",
    );
    scene_refuses_alone(
        &Tar::default()
            .file("./", "")
            .member(EntryType::Fifo, b".", b"", b"")
            .end(),
        "only a directory can be the root",
    );
    scene_refuses_alone(
        b"this is no tar".repeat(100).as_slice(),
        "cannot read the layer's stream",
    );
    let mut cut = Tar::default().file("a", &"x".repeat(5000)).end();
    cut.truncate(2000);
    scene_refuses_alone(&cut, "cut off");
    let names = (0..3000).fold(Tar::default(), |tar, _| {
        tar.member(EntryType::GNULongName, b"l", b"", &[b'x'; 500])
    });
    scene_refuses_alone(&names.end(), "larger than 1 MiB");
}

#[test]
fn a_sparse_file_may_not_claim_more_than_the_limit_or_lie() {
    let sparse = |real: u64, offset: u64, length: u64| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.as_old_mut().name[0] = b's';
        header.set_size(4);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let gnu = header.as_gnu_mut().expect("gnu");
        gnu.set_real_size(real);
        gnu.sparse[0].set_offset(offset);
        gnu.sparse[0].set_length(length);
        Tar::default().raw(&mut header, b"data").end()
    };
    let layer = Scene::new();
    let file = layer.layer(&sparse(1 << 30, 4096, 4)).join("s");
    assert_eq!(fs::metadata(file).expect("s").size(), 1 << 30);
    scene_refuses_alone(&sparse(1 << 62, 0, 4), "too large");
    scene_refuses_alone(&sparse(2, 0, 4), "not its size");
    scene_refuses_alone(&sparse(10, 0, 9), "not its size");
}

#[test]
fn a_tree_of_any_depth_is_removed_again() {
    let scene = Scene::new();
    let mut tar = Tar::default();
    // Each round starts at a symlink to the deepest directory of the one before: 13 × 45 levels. The kernel follows 40 links at
    // most, and counts them again when it has to start a path again, twice at most.
    for round in 0..13 {
        let start = if round == 0 {
            String::new()
        } else {
            format!("s{}/", round - 1)
        };
        let deep = format!("{start}{}", "d/".repeat(45));
        let target = if round == 0 {
            deep.clone()
        } else {
            format!("{start}{}", "d/".repeat(45))
        };
        tar = tar.dir(&deep).link(
            EntryType::Symlink,
            &format!("s{round}"),
            &format!("/{target}"),
        );
    }
    let tar = tar.end();
    let layer = scene.layer(&tar);
    assert!(layer.exists());
    remove(&scene.data(), &scene.reference(), &[]).expect("removes");
    assert_eq!(
        fs::read_dir(scene.data().join("layers"))
            .expect("layers")
            .count(),
        0
    );
}

#[test]
fn wrong_digests_and_sizes_are_refused_one_by_one() {
    let tar = Tar::default().file("a", "content").end();
    let other = Tar::default().file("b", "other").end();
    let corrupt = |what: &Value| {
        let digest = what["digest"].as_str().expect("digest");
        let name = digest.strip_prefix("sha256:").expect("sha256").to_owned();
        move |scene: &Scene| {
            let path = scene.layout().join("blobs/sha256").join(&name);
            let mut bytes = fs::read(&path).expect("blob");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(path, bytes).expect("blob");
        }
    };
    let scene = Scene::new();
    let manifest = scene.manifest(&[(&tar, &tar)], |_| {});
    scene.index(std::slice::from_ref(&manifest));
    corrupt(&manifest)(&scene);
    scene.refused("cannot verify");

    for part in ["config", "layer"] {
        let scene = Scene::new();
        let seen = std::cell::RefCell::new(Value::Null);
        scene.index(&[scene.manifest(&[(&tar, &tar)], |manifest| {
            *seen.borrow_mut() = match part {
                "config" => manifest["config"].clone(),
                _ => manifest["layers"][0].clone(),
            };
        })]);
        corrupt(&seen.borrow())(&scene);
        scene.refused("cannot verify");
    }
    for size in [0, tar.len() - 1, tar.len() + 1, usize::MAX >> 1] {
        let scene = Scene::new();
        scene.index(&[scene.manifest(&[(&tar, &tar)], |m| m["layers"][0]["size"] = json!(size))]);
        scene.refused("cannot verify");
    }
    let scene = Scene::new();
    scene.index(&[scene.manifest(&[(&tar, &other)], |_| {})]);
    scene.refused("expected diff id");

    let scene = Scene::new();
    scene.index(&[scene.manifest(&[(&tar, &tar)], |m| {
        m["layers"][0]["digest"] = json!("sha256:../../outside/file")
    })]);
    scene.refused("cannot read");
    let scene = Scene::new();
    scene.index(&[scene.manifest(&[(&tar, &tar)], |m| m["layers"] = json!([]))]);
    scene.refused("not as many diff ids");
    let scene = Scene::new();
    scene.index(&[scene.manifest(&[], |_| {})]);
    scene.refused("without layers");
    let scene = Scene::new();
    let many: Vec<(&[u8], &[u8])> = vec![(&tar, &tar); 501];
    scene.index(&[scene.manifest(&many, |_| {})]);
    scene.refused("at most 500 layers");
}

#[test]
fn a_blob_with_the_right_content_and_the_wrong_digest_is_refused() {
    let scene = Scene::new();
    let tar = Tar::default().file("a", "content").end();
    let blob = gzip(&tar);
    scene.index(&[scene.manifest(&[(&blob, &tar)], |_| {})]);
    // The time in the gzip header changes the blob and not what it unpacks to.
    let mut other = blob.clone();
    other[4] ^= 1;
    let path = scene.layout().join("blobs/sha256").join(sha256(&blob));
    fs::write(path, other).expect("blob");
    scene.refused("cannot verify");
}

#[test]
fn a_link_has_no_data_whatever_its_size_says() {
    let scene = Scene::new();
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Link);
    link.as_old_mut().name[0] = b'l';
    link.as_old_mut().linkname[0] = b'a';
    link.set_size(512);
    link.set_mode(0o644);
    let tar = Tar::default()
        .file("a", "x")
        .raw(&mut link, b"")
        .file("b", "kept")
        .end();
    let layer = scene.layer(&tar);
    assert_eq!(fs::metadata(layer.join("l")).expect("l").nlink(), 2);
    assert_eq!(fs::read_to_string(layer.join("b")).expect("b"), "kept");
}

#[test]
fn enormous_and_endless_documents_are_refused() {
    let tar = Tar::default().file("a", "").end();
    let padding = " ".repeat(5 << 20);
    let scene = Scene::new();
    let mut manifest = scene.blob(
        "application/vnd.oci.image.manifest.v1+json",
        padding.as_bytes(),
    );
    scene.index(std::slice::from_ref(&manifest));
    scene.refused("at most 4 MiB");
    manifest["size"] = json!(10);
    scene.index(&[manifest]);
    scene.refused("at most 4 MiB");
    fs::write(scene.layout().join("index.json"), &padding).expect("index");
    scene.refused("at most 4 MiB");

    let scene = Scene::new();
    let index_type = "application/vnd.oci.image.index.v1+json";
    let nest = |depth: usize| {
        (0..depth).fold(scene.manifest(&[(&tar, &tar)], |_| {}), |inner, _| {
            scene.json_blob(index_type, &json!({"manifests": [inner]}))
        })
    };
    scene.index(&[nest(4)]);
    scene.refused("nested more than four deep");
    scene.index(&[nest(3)]);
    scene.ensure().expect("three are fine");

    let scene = Scene::new();
    fs::write(scene.layout().join("index.json"), "[".repeat(100_000)).expect("index");
    scene.refused("cannot read `index.json`");
}

#[test]
fn a_blob_that_is_no_file_of_the_layout_is_refused() {
    let tar = Tar::default().file("a", "").end();
    let scene = Scene::new();
    let manifest = scene.manifest(&[(&tar, &tar)], |_| {});
    scene.index(std::slice::from_ref(&manifest));
    let blob = scene.layout().join("blobs/sha256").join(sha256(&tar));
    fs::rename(&blob, scene.path("tar")).expect("moves");
    symlink(scene.path("tar"), &blob).expect("symlink");
    scene.refused("cannot open");
    fs::remove_file(&blob).expect("removes");
    mknodat(CWD, &blob, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("fifo");
    scene.refused("not a regular file");
    // No driver has this number: to open it, even to look at it, would fail differently.
    fs::remove_file(&blob).expect("removes");
    let mode = Mode::from_raw_mode(0o600);
    mknodat(
        CWD,
        &blob,
        FileType::CharacterDevice,
        mode,
        makedev(511, 77),
    )
    .expect("node");
    scene.refused("not a regular file");
    fs::remove_file(&blob).expect("removes");
    scene.refused("cannot open");
}

#[test]
fn the_platform_and_the_tag_choose_the_image() {
    let tar = |name: &str| Tar::default().file(name, "").end();
    let scene = Scene::new();
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("name {other} as Go does here"),
    };
    let named = |name: &str, tag: &str, platform: Option<(&str, &str)>| {
        let layer = tar(name);
        let mut manifest = scene.manifest(&[(&layer, &layer)], |_| {});
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        if let Some((os, architecture)) = platform {
            manifest["platform"] = json!({"os": os, "architecture": architecture});
        }
        manifest
    };
    let get = |tag: &str| {
        let reference = format!("{}{tag}", scene.reference());
        ensure(&scene.data(), &reference, POLICY)
    };
    let has = |tag: &str, name: &str| get(tag).expect(tag).layers[0].join(name).exists();
    let platforms = [
        named("foreign", "v1", Some(("linux", "s390x"))),
        named("windows", "v1", Some(("windows", here))),
        named("mine", "v1", Some(("linux", here))),
    ];
    scene.index(&platforms);
    assert!(has(":v1", "mine") && has("", "mine"));
    let nested = scene.json_blob(
        "application/vnd.oci.image.index.v1+json",
        &json!({"manifests": platforms}),
    );
    scene.index(&[nested]);
    assert!(has("", "mine"));
    scene.index(&platforms[..2]);
    assert!(chain(&get("").expect_err("foreign")).contains(here));
    scene.index(&[named("one", "v1", None), named("two", "v2", None)]);
    assert!(has(":v1", "one") && has(":v2", "two"));
    for bad in ["", ":v3"] {
        let message = chain(&get(bad).expect_err("ambiguous"));
        assert!(message.contains("`v1`, `v2`"), "{message}");
    }
    // Only images for this machine are loaded, under whole names.
    scene.index(&[
        named("foreign", "host/app:1", Some(("linux", "s390x"))),
        named("mine", "host/app:1", Some(("linux", here))),
        named("two", "host/app:2", None),
    ]);
    let names = load(&scene.data(), &scene.reference(), None).expect("loads");
    assert_eq!(names, ["host/app:1", "host/app:2"]);
    let image = ensure(&scene.data(), "host/app:1", POLICY).expect("loaded");
    assert!(image.layers[0].join("mine").exists());
    // The layout changes under an image that is known.
    scene.index(&[named("two", "v1", None)]);
    assert!(has(":v1", "two"));
}

#[test]
fn known_layers_are_not_read_again() {
    let scene = Scene::new();
    let tar = Tar::default().file("a", "").end();
    scene.image(&tar);
    let first = scene.ensure().expect("unpacks");
    let inode = fs::metadata(&first.layers[0]).expect("layer").ino();
    fs::remove_file(scene.layout().join("blobs/sha256").join(sha256(&tar))).expect("removes");
    assert_eq!(scene.ensure().expect("is there"), first);
    assert_eq!(fs::metadata(&first.layers[0]).expect("layer").ino(), inode);
}

#[test]
fn a_layer_that_comes_twice_can_be_mounted() {
    let scene = Scene::new();
    let (a, b) = (
        Tar::default().file("x", "a").end(),
        Tar::default().file("x", "b").end(),
    );
    scene.index(&[scene.manifest(&[(&a, &a), (&b, &b), (&a, &a)], |_| {})]);
    let image = scene.ensure().expect("accepted");
    let seen = with_root(&image, |root| {
        fs::read_to_string(root.join("x")).expect("x")
    });
    assert_eq!((image.layers.len(), seen.as_str()), (3, "a"));
}

#[test]
fn a_plain_directory_is_an_image() {
    let scene = Scene::new();
    let reference = format!("rootfs:{}", text(&scene.outside()));
    let image = ensure(&scene.data(), &reference, PullPolicy::Never).expect("a directory");
    assert_eq!(image.layers, [scene.outside()]);
    assert_eq!(
        (image.id.as_str(), image.config),
        (reference.as_str(), ImageConfig::default())
    );
    let file = format!("rootfs:{}/file", text(&scene.outside()));
    assert_eq!(
        ensure(&scene.data(), &file, POLICY)
            .expect_err("a file")
            .reason(),
        FailureReason::ErrImagePull
    );
    assert!(!scene.data().exists());
}

#[test]
fn a_registry_reference_is_only_what_was_loaded_under_that_name() {
    let scene = Scene::new();
    scene.image(&Tar::default().file("a", "").end());
    let reason = |name: &str, policy| {
        ensure(&scene.data(), name, policy)
            .expect_err(name)
            .reason()
    };
    assert_eq!(
        reason("app", PullPolicy::Never),
        FailureReason::ErrImageNeverPull
    );
    assert_eq!(reason("App", POLICY), FailureReason::InvalidImageName);
    assert!(!scene.data().exists(), "asking creates nothing");
    let layout = scene.layout();
    assert!(matches!(
        load(&scene.data(), text(&layout), None),
        Err(ImageError::Choose { .. })
    ));
    assert_eq!(
        load(&scene.data(), text(&layout), Some("app")).expect("loads"),
        ["app:latest"]
    );
    assert!(load(&scene.data(), text(&layout), Some("oci:/app")).is_err());
    fs::remove_dir_all(&layout).expect("removes");
    for policy in [PullPolicy::IfNotPresent, PullPolicy::Never] {
        for name in ["app:latest", "docker.io/library/app", "docker.io/app"] {
            let image = ensure(&scene.data(), name, policy).expect("is there");
            assert!(image.layers[0].join("a").exists());
        }
    }
    let records = list(&scene.data()).expect("lists");
    assert_eq!(records.len(), 1);
    assert_eq!(
        records[0].created.as_deref(),
        Some("2026-01-02T03:04:05.6Z")
    );
    assert_eq!(
        inspect(&scene.data(), "app").expect("known").cmd,
        ["/bin/true"]
    );
}

#[test]
fn archives_load_under_the_names_they_have_and_removal_keeps_what_is_shared() {
    let scene = Scene::new();
    let (layout, ..) = umoci_layout(&scene);
    let data = scene.data();
    for (tag, name) in [("base", "example.org/base:1"), ("v2", "example.org/app:2")] {
        let archive = scene.path(&format!("{tag}.tar"));
        tool(
            "skopeo",
            &[
                "copy",
                &format!("oci:{}:{tag}", text(&layout)),
                &format!("docker-archive:{}:{name}", text(&archive)),
            ],
        );
        assert_eq!(load(&data, text(&archive), None).expect("loads"), [name]);
    }
    let base = ensure(&data, "example.org/base:1", POLICY).expect("base");
    let app = ensure(&data, "example.org/app:2", POLICY).expect("app");
    assert_eq!(base.layers[0], app.layers[0]);
    assert!(matches!(
        remove(&data, "example.org/app:2", &app.layers),
        Err(ImageError::InUse(_))
    ));
    assert!(matches!(
        remove(&data, "nothing", &[]),
        Err(ImageError::Absent(_))
    ));
    remove(&data, "example.org/app:2", &base.layers).expect("removes");
    assert!(base.layers[0].is_dir() && !app.layers[1].exists());
    assert!(base.layers[0].join("etc/passwd").exists());
    let orphan = base.layers[0].with_file_name("0".repeat(64));
    fs::create_dir(&orphan).expect("dir");
    prune(&data, std::slice::from_ref(&orphan)).expect("prunes");
    assert!(
        orphan.exists() && base.layers[0].exists(),
        "used and needed layers stay"
    );
    prune(&data, &[]).expect("prunes");
    assert!(!orphan.exists() && base.layers[0].exists());
    remove(&data, "example.org/base:1", &[]).expect("removes");
    assert!(!base.layers[0].exists() && list(&data).expect("lists").is_empty());
}

#[test]
fn old_archives_with_linked_layers_load() {
    let scene = Scene::new();
    let layer = Tar::default().file("a", "").end();
    let config =
        json!({"rootfs": {"diff_ids": vec![format!("sha256:{}", sha256(&layer)); 2]}}).to_string();
    let manifest = json!([{"Config": "c.json", "RepoTags": ["app:1", "app:2"], "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let archive = |link: &str| {
        let tar = Tar::default()
            .member(EntryType::Regular, b"x/layer.tar", b"", &layer)
            .link(EntryType::Symlink, "y/layer.tar", link)
            .file("c.json", &config)
            .file("manifest.json", &manifest.to_string())
            .end();
        let path = scene.path("old.tar");
        fs::write(&path, tar).expect("archive");
        path
    };
    let outside = scene.outside().join("file");
    let error = load(&scene.data(), text(&archive(text(&outside))), None).expect_err("leads out");
    assert!(matches!(error, ImageError::Open { .. }), "{error}");
    let names = load(&scene.data(), text(&archive("../x/layer.tar")), None).expect("loads");
    assert_eq!(names, ["app:1", "app:2"]);
}

#[test]
fn an_archive_names_only_its_own_members() {
    let scene = Scene::new();
    let outside = text(&scene.outside().join("file")).to_owned();
    let archive = |tar: Tar| {
        let path = scene.path("hostile.tar");
        fs::write(&path, tar.end()).expect("archive");
        ensure(
            &scene.data(),
            &format!("docker-archive:{}", text(&path)),
            POLICY,
        )
        .map_err(|error| chain(&error))
        .expect_err("refused")
    };
    let manifest = |config: &str, layers: &[&str]| {
        let manifest = json!([{"Config": config, "Layers": layers}]).to_string();
        let config = json!({"rootfs": {"diff_ids": [format!("sha256:{}", sha256(b"untouched"))]}});
        Tar::default()
            .file("manifest.json", &manifest)
            .file("c.json", &config.to_string())
    };
    for path in [outside.as_str(), "../outside/file", "missing"] {
        assert!(archive(manifest(path, &[])).contains("cannot open"));
        assert!(archive(manifest("c.json", &[path])).contains("cannot open"));
    }
    assert!(archive(manifest("c.json\n", &["c.json"])).contains("control characters"));
    assert!(archive(manifest("c.json", &[])).contains("not as many diff ids"));
    assert!(archive(Tar::default().file("../manifest.json", "[]")).contains("`..`"));
    assert!(archive(Tar::default().file("manifest.json", "[]")).contains("0 images"));
    assert!(archive(Tar::default()).contains("cannot open `manifest.json`"));
    let linked = manifest("c.json", &["a"]).link(EntryType::Link, "a", "b");
    assert!(archive(linked.link(EntryType::Link, "b", "a")).contains("a link to a link"));
    scene.assert_untouched();
}

#[test]
fn user_files_are_read_below_the_root_only() {
    let scene = Scene::new();
    let root = scene.path("root");
    fs::create_dir_all(root.join("etc")).expect("dirs");
    let users = user_files(&root).expect("absent is fine");
    assert!(users.passwd.is_none() && users.group.is_none());
    symlink(scene.outside().join("file"), root.join("etc/passwd")).expect("symlink");
    assert!(user_files(&root).expect("leads nowhere").passwd.is_none());
    fs::write(root.join("real"), "inside").expect("file");
    fs::remove_file(root.join("etc/passwd")).expect("removes");
    symlink("/../../real", root.join("etc/passwd")).expect("symlink");
    assert_eq!(
        user_files(&root).expect("reads").passwd.as_deref(),
        Some("inside")
    );
    mknodat(
        CWD,
        root.join("etc/group"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .expect("fifo");
    assert!(
        user_files(&root).is_err(),
        "a FIFO is refused and not waited for"
    );
    fs::remove_file(root.join("etc/group")).expect("removes");
    fs::File::create(root.join("etc/group"))
        .expect("file")
        .set_len(1 << 40)
        .expect("size");
    assert!(user_files(&root).is_err(), "a terabyte is refused");
}

/// Run by the tests below in a process of its own; alone it has nothing to do.
#[test]
fn child_that_ensures() {
    if let Ok(order) = std::env::var(CHILD) {
        let (data, reference) = order.split_once('\n').expect("two lines");
        ensure(Path::new(data), reference, POLICY).expect("ensures");
    }
}

fn child(scene: &Scene) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child_that_ensures", "--nocapture"])
        .env(
            CHILD,
            format!("{}\n{}", text(&scene.data()), scene.reference()),
        )
        .stdout(Stdio::null())
        .spawn()
        .expect("starts")
}

fn many_files(count: usize) -> Vec<u8> {
    (0..count)
        .fold(Tar::default(), |tar, n| {
            tar.file(&format!("d{}/f{n}", n / 1000), "x")
        })
        .end()
}

#[test]
fn processes_that_want_the_same_layer_unpack_it_once() {
    let scene = Scene::new();
    let tar = many_files(300);
    scene.image(&tar);
    // This test is the first of three processes: it has the lock, and finishes with a layer that it can recognise.
    let layers = scene.data().join("layers");
    fs::create_dir_all(&layers).expect("dirs");
    let layer = layers.join(sha256(&tar));
    let lock = fs::File::create(layer.with_added_extension("lock")).expect("lock");
    lock.lock().expect("locks");
    let mut waiting = [child(&scene), child(&scene)];
    fs::create_dir(&layer).expect("dir");
    fs::write(layer.join("made by the first"), "").expect("file");
    drop(lock);
    for child in &mut waiting {
        assert!(child.wait().expect("waits").success());
    }
    let names: Vec<_> = fs::read_dir(&layer)
        .expect("layer")
        .map(|e| e.expect("entry").file_name())
        .collect();
    assert_eq!(names, ["made by the first"]);

    fs::remove_dir_all(scene.data()).expect("removes");
    let mut racing: Vec<Child> = (0..4).map(|_| child(&scene)).collect();
    for child in &mut racing {
        assert!(child.wait().expect("waits").success());
    }
    assert_eq!(tree(&layer).len(), 301);
    assert!(!layer.with_added_extension("tmp").exists());
}

#[test]
fn a_store_killed_in_the_middle_of_a_layer_is_usable() {
    let scene = Scene::new();
    let tar = many_files(20_000);
    scene.image(&tar);
    let layer = scene.data().join("layers").join(sha256(&tar));
    let started = layer.with_added_extension("tmp").join("d1");
    let mut victim = child(&scene);
    while !started.exists() {
        assert!(
            victim.try_wait().expect("waits").is_none(),
            "it must be caught in the middle"
        );
        std::thread::yield_now();
    }
    victim.kill().expect("kills");
    assert_eq!(victim.wait().expect("waits").signal(), Some(9));
    assert!(
        started.exists() && !layer.exists(),
        "half a layer is left, under no name that counts"
    );
    let image = scene.ensure().expect("again");
    assert_eq!(tree(&image.layers[0]).len(), 20_020);
    assert!(!started.exists());

    // The same leftovers of a layer that nobody asks for again go with the next removal.
    fs::create_dir_all(&started).expect("dirs");
    fs::write(scene.data().join("images/.tmp0"), "").expect("file");
    remove(&scene.data(), &scene.reference(), &[]).expect("removes");
    for directory in ["layers", "images"] {
        let left = fs::read_dir(scene.data().join(directory))
            .expect("dir")
            .count();
        assert_eq!(left, 0, "{directory}");
    }
}

#[test]
fn removing_a_layer_follows_no_link() {
    let scene = Scene::new();
    let tar = Tar::default()
        .link(EntryType::Symlink, "out", text(&scene.outside()))
        .end();
    scene.layer(&tar);
    remove(&scene.data(), &scene.reference(), &[]).expect("removes");
    scene.assert_untouched();
}

#[test]
fn mount_points_are_made_once_by_however_many_at_once() {
    let data = tempfile::tempdir().expect("a directory");
    let made: Vec<PathBuf> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| image::mount_points(data.path()).expect("made")))
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().expect("ends"))
            .collect()
    });
    assert!(made.iter().all(|path| *path == made[0]), "{made:?}");
    let left: Vec<_> = fs::read_dir(data.path()).expect("dir").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let is = |name: &str| made[0].join(name).symlink_metadata().expect("there");
    assert!(is("proc").is_dir() && is("etc/hosts").is_file());
    assert_eq!(
        (is("etc/hosts").len(), is("etc").mode() & 0o7777),
        (0, 0o755)
    );
}
