//! Images for containers: what is on this machine is used at once; anything else is brought by a short-lived process of this program, so
//! that unpacking and TLS stay out of the resident one.

use crate::image::{self, Image};
use crate::manifest::{Container, ObjectKind};
use crate::pod::{Failure, FailureReason};
use crate::supervisor::context::{Context, other};
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

/// The image if it is here and need not be asked for.
pub(super) fn ready(context: &Context, container: &str) -> Option<Image> {
    let container = context.plan.pod.container(container)?;
    image::ready(
        &context.plan.dirs.data,
        &container.image,
        container.pull_policy,
    )
}

/// Brings the image from wherever it is.
pub(super) async fn bring(context: &Context, container: &str) -> Result<Image, Failure> {
    let Some(container) = context.plan.pod.container(container) else {
        return Err(failed(format!("pod has no container `{container}`")));
    };
    let helper = tokio::time::timeout(DEADLINE, help(context, container));
    helper.await.unwrap_or_else(|_| {
        let name = &container.image;
        Err(failed(format!("image `{name}` did not come in time")))
    })
}

fn failed(message: String) -> Failure {
    Failure {
        reason: FailureReason::ErrImagePull,
        message,
    }
}

async fn help(context: &Context, container: &Container) -> Result<Image, Failure> {
    let mut command = Command::new("/proc/self/exe");
    let policy = serde_json::to_string(&container.pull_policy).unwrap_or_default();
    command.args([
        IMAGE_VERB.as_ref(),
        context.plan.dirs.data.as_os_str(),
        container.image.as_ref(),
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
