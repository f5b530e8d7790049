//! Volumes.

use super::{lines, minimal, of_volume, over};
use serde_json::json;

#[test]
fn volumes_have_a_name_and_one_source() {
    of_volume(vec![
        (
            json!({"name": "a.b"}),
            vec!["{}.name: Invalid value: \"a.b\": must not contain dots"],
        ),
        (json!({"name": ""}), vec!["{}.name: Required value"]),
        (
            json!({"emptyDir": {}, "hostPath": {"path": "/x"}, "configMap": {"name": "m"}}),
            vec![
                "{}.emptyDir: Forbidden: may not specify more than 1 volume type",
                "{}.hostPath: Forbidden: may not specify more than 1 volume type",
            ],
        ),
        (
            json!({"csi": {"driver": "d"}}),
            vec!["{}.csi: Forbidden: not supported: mount it on the host and use hostPath"],
        ),
        (
            json!({"persistentVolumeClaim": {"claimName": ""}}),
            vec!["{}.persistentVolumeClaim.claimName: Required value"],
        ),
        (
            json!({"image": {"pullPolicy": "X"}}),
            vec![
                "{}.image.pullPolicy: Unsupported value: \"X\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                "{}.image.reference: Required value",
            ],
        ),
    ]);
    let twice = json!({"volumes": [{"name": "v"}, {"name": "v"}]});
    assert_eq!(
        lines(&over(minimal(), &twice)),
        ["spec.volumes[1].name: Duplicate value: \"v\""]
    );
}

#[test]
fn directories_are_checked() {
    of_volume(vec![
        (
            json!({"emptyDir": {"medium": "Tape", "sizeLimit": "-1"}}),
            vec![
                "{}.emptyDir.sizeLimit: Invalid value: \"-1\": must be greater than or equal to 0",
                "{}.emptyDir.medium: Unsupported value: \"Tape\": supported values: \"\", \"HugePages\", \"HugePages-<size>\", \"Memory\"",
            ],
        ),
        (
            json!({"emptyDir": {"medium": "HugePages-2Mi"}}),
            vec![
                "{}.emptyDir.medium: Invalid value: \"HugePages-2Mi\": needs a container that asks for huge pages of this size",
            ],
        ),
        (
            json!({"emptyDir": {"medium": "HugePages"}}),
            vec![
                "{}.emptyDir.medium: Invalid value: \"HugePages\": needs containers that ask for huge pages of one size",
            ],
        ),
        (
            json!({"ephemeral": {}}),
            vec!["{}.ephemeral.volumeClaimTemplate: Required value"],
        ),
        (
            json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Block"}}}}),
            vec![
                "{}.ephemeral.volumeClaimTemplate.spec.volumeMode: Forbidden: not supported: volumes of claims are directories; for a block device, use hostPath of type BlockDevice",
            ],
        ),
        (
            json!({"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}),
            vec![],
        ),
        (
            json!({"hostPath": {"path": "/a/../b", "type": "Dir"}}),
            vec![
                "{}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "{}.hostPath.type: Unsupported value: \"Dir\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
            ],
        ),
        (
            json!({"hostPath": {}}),
            vec!["{}.hostPath.path: Required value"],
        ),
    ]);
}

#[test]
fn volumes_of_files_are_checked() {
    let mode = "must be a number between 0 and 0777 (octal), both inclusive";
    of_volume(vec![
        (
            json!({"configMap": {"defaultMode": 512, "items": [{"key": "", "path": "../x", "mode": -1}, {"key": "k", "path": "a"}, {"key": "l", "path": "./a"}]}}),
            vec![
                "{}.configMap.name: Required value",
                &format!("{{}}.configMap.defaultMode: Invalid value: 512: {mode}"),
                "{}.configMap.items[0].key: Required value",
                "{}.configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
                &format!("{{}}.configMap.items[0].mode: Invalid value: -1: {mode}"),
            ],
        ),
        (
            json!({"secret": {"items": [{"key": "k", "path": "..data"}]}}),
            vec![
                "{}.secret.secretName: Required value",
                "{}.secret.items[0].path: Invalid value: \"..data\": must not start with '..'",
            ],
        ),
        (
            json!({"downwardAPI": {"items": [{"path": "a"}, {"path": "b", "fieldRef": {"fieldPath": "status.podIP"}},
                {"path": "c", "resourceFieldRef": {"resource": "limits.gpu"}},
                {"path": "d", "fieldRef": {"fieldPath": "metadata.name"}, "resourceFieldRef": {"resource": "limits.cpu"}}]}}),
            vec![
                "{}.downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required",
                "{}.downwardAPI.items[1].fieldRef.fieldPath: Unsupported value: \"status.podIP\": supported values: \"metadata.annotations\", \"metadata.annotations['<key>']\", \"metadata.labels\", \"metadata.labels['<key>']\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"",
                "{}.downwardAPI.items[2].resourceFieldRef.containerName: Required value",
                "{}.downwardAPI.items[2].resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.hugepages-<size>\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\"",
                "{}.downwardAPI.items[3]: Invalid value: \"resource\": fieldRef and resourceFieldRef can not be specified simultaneously",
            ],
        ),
        (
            json!({"projected": {"sources": [
                {"configMap": {"name": "m", "items": [{"key": "k", "path": "a/b"}]}},
                {"secret": {"name": "s", "items": [{"key": "k", "path": "a//b"}]}, "downwardAPI": {"items": []}},
                {},
                {"serviceAccountToken": {"path": "t"}}]}}),
            vec![
                "{}.projected.sources[1].secret: Forbidden: may not specify more than 1 volume type per source",
                "{}.projected.sources[1].secret.items[0].path: Invalid value: \"a//b\": conflicting duplicate paths",
                "{}.projected.sources[2]: Required value: must specify a source type",
                "{}.projected.sources[3].serviceAccountToken: Forbidden: not supported: needs an API server to issue it",
            ],
        ),
        (
            json!({"projected": {"sources": [{"configMap": {"name": "m", "items": [{"key": "k", "path": "p", "user": 1}]}}]}}),
            vec![
                "{}.projected.sources[0].configMap.items[0].user: Forbidden: not supported: files of volumes belong to root or to fsGroup",
            ],
        ),
    ]);
}
