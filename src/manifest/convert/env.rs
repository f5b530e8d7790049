//! Variables and the references of the downward API.

use crate::base::Quantity;
use crate::manifest::{
    EnvFile, EnvFrom, EnvValue, EnvVar, FieldRef, ObjectKind, ObjectRef, ResourceRef, grammar,
};
use k8s_openapi::api::core::v1 as core;

/// A reference to a ConfigMap or Secret.
pub fn object(kind: ObjectKind, name: String, optional: Option<bool>) -> ObjectRef {
    ObjectRef {
        kind,
        name,
        optional: optional == Some(true),
    }
}

/// One of `envFrom`.
pub fn env_from(raw: core::EnvFromSource) -> Option<EnvFrom> {
    let core::EnvFromSource {
        config_map_ref,
        prefix,
        secret_ref,
    } = raw;
    let source = match (config_map_ref, secret_ref) {
        (Some(core::ConfigMapEnvSource { name, optional }), None) => {
            object(ObjectKind::ConfigMap, name, optional)
        }
        (None, Some(core::SecretEnvSource { name, optional })) => {
            object(ObjectKind::Secret, name, optional)
        }
        _ => return None,
    };
    Some(EnvFrom {
        prefix: prefix.unwrap_or_default(),
        source,
    })
}

/// One of `env`.
pub fn env(raw: core::EnvVar) -> Option<EnvVar> {
    let core::EnvVar {
        name,
        value,
        value_from,
    } = raw;
    let value = match value_from {
        Some(source) => value_from_source(source)?,
        None => EnvValue::Literal(value.unwrap_or_default()),
    };
    Some(EnvVar { name, value })
}

fn value_from_source(raw: core::EnvVarSource) -> Option<EnvValue> {
    let core::EnvVarSource {
        config_map_key_ref,
        field_ref,
        file_key_ref,
        resource_field_ref,
        secret_key_ref,
    } = raw;
    if let Some(core::FileKeySelector {
        key,
        optional,
        path,
        volume_name,
    }) = file_key_ref
    {
        return Some(EnvValue::File {
            file: EnvFile {
                volume: volume_name,
                path: grammar::shortest(&path),
            },
            key,
            optional: optional == Some(true),
        });
    }
    if let Some(core::ConfigMapKeySelector {
        key,
        name,
        optional,
    }) = config_map_key_ref
    {
        return Some(EnvValue::Key {
            object: object(ObjectKind::ConfigMap, name, optional),
            key,
        });
    }
    if let Some(core::SecretKeySelector {
        key,
        name,
        optional,
    }) = secret_key_ref
    {
        return Some(EnvValue::Key {
            object: object(ObjectKind::Secret, name, optional),
            key,
        });
    }
    downward(field_ref, resource_field_ref)
}

/// A field or an amount of the pod.
pub fn downward(
    field: Option<core::ObjectFieldSelector>,
    resource: Option<core::ResourceFieldSelector>,
) -> Option<EnvValue> {
    match (field, resource) {
        (
            Some(core::ObjectFieldSelector {
                api_version: _,
                field_path,
            }),
            None,
        ) => Some(EnvValue::Field(self::field_ref(&field_path)?)),
        (None, Some(resource)) => Some(EnvValue::Resource(resource_ref(resource)?)),
        _ => None,
    }
}

/// A field of the pod by its path.
pub fn field_ref(path: &str) -> Option<FieldRef> {
    let subscript = |map: &str| {
        path.strip_prefix(map)?
            .strip_prefix("['")?
            .strip_suffix("']")
    };
    if let Some(key) = subscript("metadata.labels") {
        return Some(FieldRef::Label(key.to_owned()));
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Some(FieldRef::Annotation(key.to_owned()));
    }
    Some(match path {
        "metadata.name" => FieldRef::Name,
        "metadata.namespace" => FieldRef::Namespace,
        "metadata.uid" => FieldRef::Uid,
        "metadata.labels" => FieldRef::Labels,
        "metadata.annotations" => FieldRef::Annotations,
        "spec.nodeName" => FieldRef::NodeName,
        "spec.serviceAccountName" => FieldRef::ServiceAccountName,
        "status.hostIP" => FieldRef::HostIp,
        "status.hostIPs" => FieldRef::HostIps,
        "status.podIP" => FieldRef::PodIp,
        "status.podIPs" => FieldRef::PodIps,
        _ => return None,
    })
}

fn resource_ref(raw: core::ResourceFieldSelector) -> Option<ResourceRef> {
    let core::ResourceFieldSelector {
        container_name,
        divisor,
        resource,
    } = raw;
    let (kind, name) = resource.split_once('.')?;
    let divisor = divisor
        .and_then(|text| text.0.parse().ok())
        .filter(|divisor: &Quantity| !divisor.is_zero());
    Some(ResourceRef {
        container: super::pod::present(container_name),
        limit: kind == "limits",
        resource: name.to_owned(),
        divisor: divisor.unwrap_or(Quantity::from_units(1)),
    })
}
