//! Images for containers: what is on this machine is used at once; anything else is brought by a short-lived process of this program, so
//! that unpacking and TLS stay out of the resident one.

use crate::image::{self, Image};
use crate::manifest::{ObjectKind, PullPolicy, VolumeSource};
use crate::pod::{Failure, FailureReason};
use crate::supervisor::Hands;
use crate::supervisor::context::Context;
use crate::supervisor::helper::{self, Question};
use std::collections::BTreeMap;
use std::time::Duration;

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
            None => help(context, &wanted).await?,
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
    let policy = serde_json::to_string(&wanted.policy).unwrap_or_default();
    let question = Question {
        what: "image",
        args: &[
            IMAGE_VERB.as_ref(),
            context.plan.dirs.data.as_os_str(),
            wanted.reference.as_ref(),
            policy.as_ref(),
        ],
        environment: &context.plan.image_environment,
        input: serde_json::to_vec(&secrets(context)).unwrap_or_default(),
        deadline: Some(DEADLINE),
    };
    let name = wanted.reference;
    helper::ask(question, |problem| {
        failed(format!("image `{name}`: {problem}"))
    })
    .await
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
