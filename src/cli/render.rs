//! `render`: the OCI bundles of a manifest with all that belongs to them, as they would be made. Needs no root, makes nothing but what
//! it was told to write, and prints the same bytes every time.

use crate::bundle::{self, HostFacts, PodPaths, RenderImage, RenderInput, UserFiles};
use crate::cli::args::RenderArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::source::{self, Ids};
use crate::cli::{host, report};
use crate::image::{self, ImageError, Pull, Reference};
use crate::manifest::{
    ConfigObject, Medium, Pod, Profile, PullPolicy, RecursiveReadOnly, Volume, VolumeSource,
};
use crate::store::Dirs;
use crate::supervisor::{SECCOMP_PROFILES, volume_dirs};
use crate::sys;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn render(settings: &Settings, args: &RenderArgs) -> Outcome {
    let loaded = source::load_with(&args.files, Ids::OfContent)?;
    let host = host::facts(settings, &loaded.pods)?;
    let mut rendered = Vec::new();
    for pod in &loaded.pods {
        rendered.push(one(settings, args, pod, &loaded.objects, &host)?);
    }
    match args.output.as_str() {
        "json" | "yaml" => {
            let pods: Result<Value, Failed> = rendered.iter().map(|r| r.document(&host)).collect();
            let document = json!({ "pods": pods? });
            if args.output == "json" {
                report::data(format_args!("{document:#}"));
            } else {
                report::data(serde_saphyr::to_string(&document)?.trim_end());
            }
        }
        dir => {
            let fail = |e| Failed::new(Code::Usage, cannot(format!("write to `{dir}`"))(e));
            let dir = Path::new(dir);
            make_empty(dir).map_err(fail)?;
            for pod in &rendered {
                pod.write(&dir.join(&pod.pod.name)).map_err(fail)?;
            }
        }
    }
    DONE
}

/// A pod with its bundles.
struct RenderedPod<'a> {
    pod: &'a Pod,
    paths: PodPaths,
    bundles: Vec<bundle::Rendered>,
}

fn one<'a>(
    settings: &Settings,
    args: &RenderArgs,
    pod: &'a Pod,
    objects: &[ConfigObject],
    host: &HostFacts,
) -> Result<RenderedPod<'a>, Failed> {
    let title = format!("{}/{}", pod.namespace, pod.name);
    let mine = |object: &&ConfigObject| object.namespace == pod.namespace;
    let objects: Vec<_> = objects.iter().filter(mine).cloned().collect();
    let mut absent = false;
    let images = pod.containers.iter().map(|container| {
        let image = image(&settings.dirs, &container.image).unwrap_or_else(|error| {
            absent = true;
            report::warn(format!(
                "container `{}` of pod `{title}`: the entrypoint and users of its image are not known: {}",
                container.name,
                report::chain(&error)
            ));
            RenderImage::default()
        });
        (container.name.clone(), image)
    });
    let images: BTreeMap<_, _> = images.collect();
    let paths = paths(pod, &settings.dirs);
    let bundles = bundle::render(&RenderInput {
        pod,
        objects: &objects,
        images: &images,
        host,
        paths: &paths,
        seccomp_localhost: &seccomp_profiles(pod)?,
        apparmor_default: None,
        sandbox: args.sandbox.who.into(),
        runtime_rro: asks_for_rro(pod) && host::runtime(settings)?.features.rro.unwrap_or(false),
        show_secrets: args.show_secrets,
    });
    let bundles = bundles.map_err(|error| {
        let failed = Failed::new(
            Code::Usage,
            cannot(format!("render pod `{title}`"))(error),
        );
        match absent {
            true => failed.hint(
                "load the image with `podshim image load`, or say `command` and numeric users in the manifest",
            ),
            false => failed,
        }
    })?;
    Ok(RenderedPod {
        pod,
        paths,
        bundles,
    })
}

/// What is known of an image on this machine. Nothing is unpacked for it.
fn image(dirs: &Dirs, reference: &str) -> Result<RenderImage, ImageError> {
    let config = image::inspect(&dirs.data, reference)?;
    let users = match reference.parse()? {
        // These are directories already: bringing them only looks.
        Reference::Rootfs(_) | Reference::Registry(_) => users(
            &image::ensure(&dirs.data, reference, PullPolicy::Never, &Pull::default())?.layers,
        ),
        Reference::Oci(..) | Reference::OciArchive(..) | Reference::DockerArchive(..) => {
            UserFiles::default()
        }
    };
    Ok(RenderImage { config, users })
}

/// The user files of layers, lowest first: of each the uppermost counts.
fn users(layers: &[PathBuf]) -> UserFiles {
    let mut users = UserFiles::default();
    for layer in layers.iter().rev() {
        // A layer that hides the file has none either.
        let Ok(found) = image::user_files(layer) else {
            break;
        };
        users.passwd = users.passwd.or(found.passwd);
        users.group = users.group.or(found.group);
    }
    users
}

fn asks_for_rro(pod: &Pod) -> bool {
    let mut mounts = pod.containers.iter().flat_map(|c| &c.mounts);
    mounts.any(|mount| mount.recursive_read_only != RecursiveReadOnly::Disabled)
}

/// Container → text of its `Localhost` profile.
fn seccomp_profiles(pod: &Pod) -> Result<BTreeMap<String, String>, Failed> {
    let mut profiles = BTreeMap::new();
    for container in &pod.containers {
        let profile = container.security.seccomp.as_ref();
        if let Some(Profile::Localhost(name)) = profile.or(pod.security.seccomp.as_ref()) {
            let path = Path::new(SECCOMP_PROFILES).join(name);
            let text = std::fs::read_to_string(&path).map_err(|e| {
                let what = format!("read the seccomp profile `{}`", path.display());
                Failed::new(Code::Usage, cannot(what)(e))
            })?;
            profiles.insert(container.name.clone(), text);
        }
    }
    Ok(profiles)
}

/// Where the pod's files and volumes would be.
fn paths(pod: &Pod, dirs: &Dirs) -> PodPaths {
    let dir = dirs.pod(&pod.uid);
    let files = dir.file("files");
    let volumes = volume_dirs(dirs, &dir);
    let place = |volume: &Volume| (volume.name.clone(), volumes.place(pod, volume));
    PodPaths {
        hosts: files.join("hosts"),
        hostname: files.join("hostname"),
        resolv_conf: files.join("resolv.conf"),
        pause: dir.data.join("pause"),
        shm: if pod.host_ipc {
            PathBuf::from("/dev/shm")
        } else {
            dir.file("shm")
        },
        volumes: pod.volumes.iter().map(place).collect(),
    }
}

impl RenderedPod<'_> {
    fn document(&self, host: &HostFacts) -> Result<Value, Failed> {
        let pod = self.pod;
        let mut bundles = Map::new();
        for bundle in &self.bundles {
            let config = serde_json::from_slice(&bundle.config_json)?;
            bundles.insert(bundle.name.clone(), config);
        }
        let hostname = bundle::hostname_file(pod, host)
            .map_err(|e| Failed::new(Code::Usage, cannot("make the pod's host name")(e)))?;
        let cgroup = bundle::pod_cgroup(pod, &host.cgroups);
        let volumes: Value = pod.volumes.iter().map(|v| self.volume(v)).collect();
        Ok(json!({
            "pod": format!("{}/{}", pod.namespace, pod.name),
            "uid": pod.uid,
            "bundles": bundles,
            "files": {
                "hosts": bundle::hosts_file(pod, host, &[], &[]),
                "hostname": hostname,
                "resolv.conf": bundle::resolv_conf(pod, host).text,
            },
            "cgroup": {
                "path": cgroup.path,
                "cpuShares": cgroup.cpu_shares,
                "cpuWeight": cgroup.cpu_weight,
                "cpuQuotaUs": cgroup.cpu_quota_us,
                "cpuPeriodUs": cgroup.cpu_period_us,
                "memoryLimitBytes": cgroup.memory_limit_bytes,
            },
            "volumes": volumes,
        }))
    }

    fn volume(&self, volume: &Volume) -> Value {
        let (kind, memory) = match &volume.source {
            VolumeSource::HostPath { .. } => ("hostPath", false),
            VolumeSource::Claim(_) => ("persistentVolumeClaim", false),
            VolumeSource::Image { .. } => ("image", false),
            VolumeSource::EmptyDir { medium, .. } => ("emptyDir", *medium != Medium::Disk),
            VolumeSource::Files(files) => ("files", files.memory),
        };
        let path = self.paths.volumes.get(&volume.name);
        json!({ "name": volume.name, "kind": kind, "memory": memory, "path": path })
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        for bundle in &self.bundles {
            let dir = dir.join(&bundle.name);
            sys::create_dirs(&dir, 0o755)?;
            // 0600 as the real ones: an environment is nobody else's.
            sys::write_atomic(&dir.join("config.json"), &bundle.config_json, 0o600)?;
        }
        Ok(())
    }
}

/// Makes a directory, or takes one that is empty.
fn make_empty(dir: &Path) -> io::Result<()> {
    sys::create_dirs(dir, 0o755)?;
    match dir.read_dir()?.next() {
        None => Ok(()),
        Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
    }
}
