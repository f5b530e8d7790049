//! Images for containers: what is on this machine is used at once; anything else is brought by a short-lived process of this program, so
//! that unpacking and TLS stay out of the resident one.

use crate::image::{self, Image};
use crate::manifest::{ObjectKind, PullPolicy, VolumeSource};
use crate::pod::{Failure, FailureReason};
use crate::supervisor::Hands;
use crate::supervisor::context::{Context, other};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// First argument of the program that makes it bring one image and print it.
pub const IMAGE_VERB: &str = "__image";
/// How long bringing an image may take: a large one over a slow line takes many minutes. What has come by then is kept, and the next
/// attempt goes on from there.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Where Secrets for registries keep the credentials. Source: `core/v1` DockerConfigJsonKey, DockerConfigKey.
const SECRET_KEYS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];

/// An image that a container needs: its own, or that of a volume that it mounts.
struct Wanted<'a> {
    /// Its name in [`Hands`].
    key: String,
    reference: &'a str,
    policy: PullPolicy,
}

fn wanted<'a>(context: &'a Context, container: &str) -> Option<Vec<Wanted<'a>>> {
    let pod = &context.plan.pod;
    let container = pod.container(container)?;
    let own = Wanted {
        key: container.name.clone(),
        reference: &container.image,
        policy: container.pull_policy,
    };
    let volumes = pod.image_volumes(container);
    let volumes = volumes.filter_map(|volume| match &volume.source {
        VolumeSource::Image {
            reference,
            pull_policy,
        } => Some(Wanted {
            key: Hands::image_volume(&volume.name),
            reference,
            policy: *pull_policy,
        }),
        _ => None,
    });
    Some(std::iter::once(own).chain(volumes).collect())
}

fn here(context: &Context, wanted: &Wanted<'_>) -> Option<Image> {
    image::ready(&context.plan.dirs.data, wanted.reference, wanted.policy)
}

/// The images of a container, by their names in [`Hands`], if all are here and none need be asked for.
pub(super) fn ready(context: &Context, container: &str) -> Option<BTreeMap<String, Image>> {
    let wanted = wanted(context, container)?.into_iter();
    wanted
        .map(|wanted| here(context, &wanted).map(|image| (wanted.key, image)))
        .collect()
}

/// Brings the images of a container from wherever they are.
pub(super) async fn bring(
    context: &Context,
    container: &str,
) -> Result<BTreeMap<String, Image>, Failure> {
    let Some(all) = wanted(context, container) else {
        return Err(failed(format!("pod has no container `{container}`")));
    };
    let mut images = BTreeMap::new();
    for wanted in all {
        let image = match here(context, &wanted) {
            Some(image) => image,
            None => match tokio::time::timeout(DEADLINE, help(context, &wanted)).await {
                Ok(brought) => brought?,
                Err(_) => {
                    let name = wanted.reference;
                    return Err(failed(format!("image `{name}` did not come in time")));
                }
            },
        };
        images.insert(wanted.key, image);
    }
    Ok(images)
}

fn failed(message: String) -> Failure {
    Failure {
        reason: FailureReason::ErrImagePull,
        message,
    }
}

async fn help(context: &Context, wanted: &Wanted<'_>) -> Result<Image, Failure> {
    let mut command = Command::new("/proc/self/exe");
    let policy = serde_json::to_string(&wanted.policy).unwrap_or_default();
    command.args([
        IMAGE_VERB.as_ref(),
        context.plan.dirs.data.as_os_str(),
        wanted.reference.as_ref(),
        policy.as_ref(),
    ]);
    command
        .envs(&context.plan.image_environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let cannot_start = |error| other("cannot start the image helper", &error);
    let mut helper = command.spawn().map_err(cannot_start)?;
    let secrets = serde_json::to_vec(&secrets(context)).unwrap_or_default();
    if let Some(mut stdin) = helper.stdin.take() {
        // A helper that ended early is judged by its answer.
        let _ = stdin.write_all(&secrets).await;
    }
    let output = helper.wait_with_output().await.map_err(cannot_start)?;
    let answer: Result<Image, Failure> = serde_json::from_slice(&output.stdout).map_err(|_| {
        failed(format!(
            "the image helper ended with {} and no answer",
            output.status
        ))
    })?;
    answer
}

/// What the pod's `imagePullSecrets` hold, in their order. One that is absent opens nothing, as in Kubernetes.
fn secrets(context: &Context) -> Vec<&[u8]> {
    let named = context.plan.pod.image_pull_secrets.iter();
    let objects = named.filter_map(|name| {
        let mut objects = context.plan.objects.iter();
        objects.find(|object| object.kind == ObjectKind::Secret && object.name == *name)
    });
    objects
        .filter_map(|secret| SECRET_KEYS.iter().find_map(|key| secret.data.get(*key)))
        .map(Vec::as_slice)
        .collect()
}
