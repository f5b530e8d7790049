//! (pod, container, image config, namespaces, host facts) → `oci_spec::runtime::Spec`, and the small files of a pod. Plain
//! functions: the same input gives the same bytes. Rules: Kubernetes' node behaviour and the OCI runtime specification.

mod input;

pub use input::*;
