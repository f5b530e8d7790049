//! One row per rule: a piece of a pod, and the lines that it brings.

mod container;
mod mount;
mod pod;
mod resources;
mod volume;

use crate::base::PodUid;
use crate::manifest::Findings;
use crate::manifest::resolve::tests::resolved;
use crate::manifest::resolve::{ResolveContext, resolve};
use serde_json::{Value, json};

/// A list of (what, lines it must bring).
type Rows<'a> = Vec<(Value, Vec<&'a str>)>;

fn lines(spec: &Value) -> Vec<String> {
    resolved(spec).err().unwrap_or_default()
}

/// What is said without being refused.
fn warnings(spec: &Value) -> Vec<String> {
    let pod = json!({"metadata": {"name": "p"}, "spec": spec});
    let context = ResolveContext {
        uid: PodUid::from_random([7; 16]),
        name_suffix: String::new(),
    };
    let mut findings = Findings::new();
    // Whether it is refused is for other tests.
    let _ = resolve(
        serde_json::from_value(pod).expect("a pod"),
        &context,
        &mut findings,
    );
    let warnings = findings.iter().filter(|one| one.warning);
    warnings.map(ToString::to_string).collect()
}

/// `base` with the fields of `patch` put over its own.
fn over(mut base: Value, patch: &Value) -> Value {
    for (key, value) in patch.as_object().expect("an object") {
        base[key] = value.clone();
    }
    base
}

fn minimal() -> Value {
    json!({"containers": [{"name": "c", "image": "i"}]})
}

/// Rows of `spec` fields.
fn of_spec(rows: Rows<'_>) {
    for (patch, want) in rows {
        assert_eq!(lines(&over(minimal(), &patch)), want, "{patch}");
    }
}

/// Rows of container fields; `{}` in a line stands for the container's path. The pod has an emptyDir `v`.
fn of_container(rows: Rows<'_>) {
    for (patch, want) in rows {
        let one = over(json!({"name": "c", "image": "i"}), &patch);
        let spec = json!({"containers": [one], "volumes": [{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/"}}]});
        let want: Vec<_> = want
            .iter()
            .map(|line| line.replace("{}", "spec.containers[0]"))
            .collect();
        assert_eq!(lines(&spec), want, "{patch}");
    }
}

/// Rows of volume fields; `{}` in a line stands for the volume's path.
fn of_volume(rows: Rows<'_>) {
    for (patch, want) in rows {
        let volume = over(json!({"name": "v"}), &patch);
        let want: Vec<_> = want
            .iter()
            .map(|line| line.replace("{}", "spec.volumes[0]"))
            .collect();
        assert_eq!(
            lines(&over(minimal(), &json!({"volumes": [volume]}))),
            want,
            "{patch}"
        );
    }
}
