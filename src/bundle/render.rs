//! The bundles of a pod as `podshim render` shows them: without a machine touched, with placeholders for what only a running
//! pod has.

use crate::base::InstanceId;
use crate::bundle::{
    BundleError, ContainerInput, DEFAULT_SECCOMP, HostDevice, HostFacts, ImageConfig,
    PAUSE_PLACEHOLDER, PauseInput, PodPaths, Sandbox, SandboxKind, UserFiles, VolumeParts,
    container_spec, image_volumes, pause_spec, sub_paths, to_json,
};
use crate::manifest::{ConfigObject, Container, EnvFile, EnvValue, ObjectKind, Pod, VolumeDevice};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands in a rendered environment for the value of a Secret.
pub const SECRET_PLACEHOLDER: &str = "<secret>";
/// What stands in a rendered environment for the value of a `fileKeyRef`.
pub const FILE_PLACEHOLDER: &str = "<file>";
/// Where the termination log of an instance will be.
pub const TERMINATION_LOG_PLACEHOLDER: &str = "/@TERMINATION_LOG@";
/// Below it, where the fresh directory for an image VOLUME will be.
pub const IMAGE_VOLUME_PLACEHOLDER: &str = "/@IMAGE_VOLUME@";

/// One bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// `pause`, or the container's name.
    pub name: String,
    /// Its `config.json`.
    pub config_json: Vec<u8>,
}

/// What is known of an image before anything runs.
#[derive(Clone, Debug, Default)]
pub struct RenderImage {
    /// Its configuration.
    pub config: ImageConfig,
    /// Its users.
    pub users: UserFiles,
}

/// What `render` is told.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// ConfigMaps and Secrets of its namespace.
    pub objects: &'a [ConfigObject],
    /// Container name → image; an absent one counts as empty.
    pub images: &'a BTreeMap<String, RenderImage>,
    /// The machine.
    pub host: &'a HostFacts,
    /// Where the pod's files and volumes will be.
    pub paths: &'a PodPaths,
    /// Container name → text of its `Localhost` seccomp profile.
    pub seccomp_localhost: &'a BTreeMap<String, String>,
    /// Name of podshim's AppArmor profile if it is loaded.
    pub apparmor_default: Option<&'a str>,
    /// Who makes the sandbox.
    pub sandbox: SandboxKind,
    /// Whether the runtime knows `rro` mounts.
    pub runtime_rro: bool,
    /// Print values of Secrets.
    pub show_secrets: bool,
}

/// Pause and then every container in the pod's order. Errors: those of the first bundle that cannot be built.
pub fn render(input: &RenderInput) -> Result<Vec<Rendered>, BundleError> {
    let objects: Cow<[ConfigObject]> = if input.show_secrets {
        Cow::Borrowed(input.objects)
    } else {
        Cow::Owned(input.objects.iter().map(masked).collect())
    };
    let pause = pause_spec(&PauseInput {
        pod: input.pod,
        instance: &InstanceId("pause-0".to_owned()),
        attempt: 0,
        host: input.host,
        netns: None,
        seccomp_default: input.sandbox.seccomp(),
        apparmor_default: input.apparmor_default,
    })?;
    let mut list = vec![Rendered {
        name: "pause".to_owned(),
        config_json: to_json(&pause),
    }];
    for container in &input.pod.containers {
        list.push(Rendered {
            name: container.name.clone(),
            config_json: container_json(input, &objects, container)?,
        });
    }
    Ok(list)
}

fn container_json(
    input: &RenderInput,
    objects: &[ConfigObject],
    container: &Container,
) -> Result<Vec<u8>, BundleError> {
    let nothing = RenderImage::default();
    let image = input.images.get(&container.name).unwrap_or(&nothing);
    let volumes: BTreeMap<String, PathBuf> = image_volumes(container, &image.config)
        .into_iter()
        .map(|path| {
            let place = format!("{IMAGE_VOLUME_PLACEHOLDER}{path}");
            (path, place.into())
        })
        .collect();
    let localhost = input.seccomp_localhost.get(&container.name);
    let mut parts = VolumeParts {
        env_files: placeholder_files(container),
        devices: placeholder_devices(container),
        ..VolumeParts::default()
    };
    let container_input = ContainerInput {
        target_proc: None,
        pod: input.pod,
        container,
        instance: &InstanceId(format!("{}-0", container.name)),
        attempt: 0,
        objects,
        image: &image.config,
        users: &image.users,
        sandbox: &Sandbox {
            pause_proc: PAUSE_PLACEHOLDER.to_owned(),
            pod_ips: Vec::new(),
        },
        host: input.host,
        paths: input.paths,
        volume_parts: &parts.clone(),
        termination_log: Path::new(TERMINATION_LOG_PLACEHOLDER),
        image_volumes: &volumes,
        seccomp_localhost: localhost.map(String::as_str),
        seccomp_default: DEFAULT_SECCOMP,
        apparmor_default: input.apparmor_default,
        runtime_rro: input.runtime_rro,
    };
    for (place, path) in sub_paths(&container_input)? {
        let volume = input.paths.volumes.get(&container.mounts[place].volume);
        parts
            .sub_paths
            .extend(volume.map(|dir| (place, dir.join(path))));
    }
    let spec = container_spec(&ContainerInput {
        volume_parts: &parts,
        ..container_input
    })?;
    Ok(to_json(&spec))
}

/// Files of variables that containers have not written yet.
fn placeholder_files(container: &Container) -> BTreeMap<EnvFile, String> {
    let mut files: BTreeMap<EnvFile, String> = BTreeMap::new();
    for variable in &container.env {
        if let EnvValue::File { file, key, .. } = &variable.value {
            let text = files.entry(file.clone()).or_default();
            *text += &format!("{key}='{FILE_PLACEHOLDER}'\n");
        }
    }
    files
}

/// Devices whose numbers only the machine of the pod knows.
fn placeholder_devices(container: &Container) -> BTreeMap<String, HostDevice> {
    let devices = container.devices.iter();
    let unknown = |device: &VolumeDevice| HostDevice {
        path: device.path.clone(),
        block: true,
        major: 0,
        minor: 0,
        mode: 0o660,
        uid: 0,
        gid: 0,
    };
    devices
        .map(|device| (device.volume.clone(), unknown(device)))
        .collect()
}

/// The object with its values hidden if it is a Secret, so that nothing made of them can show them.
fn masked(object: &ConfigObject) -> ConfigObject {
    let mut object = object.clone();
    if object.kind == ObjectKind::Secret {
        for value in object.data.values_mut() {
            *value = SECRET_PLACEHOLDER.as_bytes().to_vec();
        }
    }
    object
}
