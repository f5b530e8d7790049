//! The volumes of a pod.

use super::{Tree, list, or, text_of};
use serde_json::Value;

/// Kinds of volumes as kubectl tells of them; another one is called by its field.
const KINDS: [(&str, &str); 7] = [
    (
        "emptyDir",
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
    ),
    ("hostPath", "HostPath (bare host directory volume)"),
    ("configMap", "ConfigMap (a volume populated by a ConfigMap)"),
    ("secret", "Secret (a volume populated by a Secret)"),
    (
        "downwardAPI",
        "DownwardAPI (a volume populated by information about the pod)",
    ),
    (
        "projected",
        "Projected (a volume that contains injected data from multiple sources)",
    ),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
    ),
];

/// Appends the volumes.
pub(super) fn section(head: &mut Tree, spec: &Value) {
    let mut tree = Tree::default();
    for volume in list(&spec["volumes"]) {
        tree.branch(&text_of(&volume["name"]), one(volume));
    }
    if tree.is_empty() {
        head.line("Volumes", "<none>");
    } else {
        head.branch("Volumes", tree);
    }
}

fn one(volume: &Value) -> Tree {
    let mut tree = Tree::default();
    let mut kinds = volume.as_object().into_iter().flatten();
    let Some((field, source)) = kinds.find(|(field, _)| *field != "name") else {
        tree.line("Type", KINDS[0].1);
        return tree;
    };
    let kind = KINDS.iter().find(|(name, _)| name == field);
    tree.line("Type", kind.map_or(field.as_str(), |(_, text)| text));
    match field.as_str() {
        "emptyDir" => {
            tree.line("Medium", text_of(&source["medium"]));
            tree.line("SizeLimit", or(&source["sizeLimit"], "<unset>"));
        }
        "hostPath" => {
            tree.line("Path", text_of(&source["path"]));
            tree.line("HostPathType", text_of(&source["type"]));
        }
        "configMap" => object(&mut tree, "Name", &source["name"], source),
        "secret" => object(&mut tree, "SecretName", &source["secretName"], source),
        "downwardAPI" => items(&mut tree, source),
        "projected" => {
            for source in list(&source["sources"]) {
                if source["configMap"].is_object() {
                    object(
                        &mut tree,
                        "ConfigMapName",
                        &source["configMap"]["name"],
                        &source["configMap"],
                    );
                } else if source["secret"].is_object() {
                    object(
                        &mut tree,
                        "SecretName",
                        &source["secret"]["name"],
                        &source["secret"],
                    );
                } else if source["downwardAPI"].is_object() {
                    items(&mut tree, &source["downwardAPI"]);
                }
            }
        }
        // What it says of itself, in the manifest's own words.
        _ => {
            for (name, value) in source.as_object().into_iter().flatten() {
                tree.line(name, text_of(value));
            }
        }
    }
    tree
}

fn object(tree: &mut Tree, title: &str, name: &Value, source: &Value) {
    tree.line(title, text_of(name));
    tree.line("Optional", or(&source["optional"], "False").to_lowercase());
}

fn items(tree: &mut Tree, source: &Value) {
    let mut items = Tree::default();
    for item in list(&source["items"]) {
        let from = text_of(&item["fieldRef"]["fieldPath"])
            + &text_of(&item["resourceFieldRef"]["resource"]);
        items.text(format!("{from} -> {}", text_of(&item["path"])));
    }
    tree.branch("Items", items);
}
