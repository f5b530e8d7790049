//! Images from registries, as a user gets them: the finished program against Debian's docker-registry and against one that
//! misbehaves. Needs root, docker-registry, skopeo and umoci.

mod support;

#[path = "registry/certificates.rs"]
mod certificates;
#[path = "registry/hostile.rs"]
mod hostile;
#[path = "registry/login.rs"]
mod login;
#[path = "registry/names.rs"]
mod names;
#[path = "registry/pods.rs"]
mod pods;
#[path = "registry/pull.rs"]
mod pull;
#[path = "registry/scene.rs"]
mod scene;
#[path = "registry/server.rs"]
mod server;
#[path = "registry/store.rs"]
mod store;
