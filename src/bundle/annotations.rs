//! What a bundle says of itself. The pod's own annotations are not passed on: runtimes act on some.

use crate::manifest::Pod;
use std::collections::HashMap;

/// Pod name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Pod namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Pod uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Container name; absent from pause.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// How many instances came before this one.
pub const ATTEMPT: &str = "io.podshim.attempt";
/// `pause` or `container`.
pub const KIND: &str = "io.podshim.kind";

/// `annotations` of an instance: of pause if `container` is `None`.
pub(crate) fn annotations(
    pod: &Pod,
    container: Option<&str>,
    attempt: u32,
) -> HashMap<String, String> {
    let kind = if container.is_some() {
        "container"
    } else {
        "pause"
    };
    let mut all = vec![
        (POD_NAME, pod.name.clone()),
        (POD_NAMESPACE, pod.namespace.clone()),
        (POD_UID, pod.uid.to_string()),
        (ATTEMPT, attempt.to_string()),
        (KIND, kind.to_owned()),
    ];
    all.extend(container.map(|name| (CONTAINER_NAME, name.to_owned())));
    all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}
