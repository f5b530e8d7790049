//! Resources and security.

use super::{of_container, of_spec};
use serde_json::{Value, json};

const QUANTITY: &str = "must be digits with an optional fraction and one suffix of n u m k M G T P E, Ki Mi Gi Ti Pi Ei or e<exponent>";

#[test]
fn amounts_of_containers_are_checked() {
    let limits = |limits: Value| json!({"resources": {"limits": limits}});
    let mut rows = vec![
        (limits(json!({"foo": "1"})), vec!["{}.resources.limits[foo]: Invalid value: \"foo\": must be a standard resource for containers".to_owned()]),
        (limits(json!({"cpu": "-1"})), vec!["{}.resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0".to_owned()]),
        (
            json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1001m", "memory": "5"}}}),
            vec!["{}.resources.requests[cpu]: Invalid value: \"1001m\": must be less than or equal to cpu limit of 1".to_owned()],
        ),
        (
            json!({"resources": {"requests": {"hugepages-2Mi": "3Mi"}}}),
            vec![
                "{}.resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": must be a multiple of the page size 2Mi".to_owned(),
                "{}.resources.limits[hugepages-2Mi]: Required value: Limit must be set for non overcommitable resources".to_owned(),
                "{}.resources: Forbidden: HugePages require cpu or memory".to_owned(),
            ],
        ),
        (
            json!({"resources": {"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "2Mi"}}}),
            vec!["{}.resources.requests[hugepages-2Mi]: Invalid value: \"2Mi\": must be equal to hugepages-2Mi limit of 4Mi".to_owned()],
        ),
        (
            limits(json!({"example.com/gpu": "500m"})),
            vec![
                "{}.resources.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer".to_owned(),
            ],
        ),
        (
            limits(json!({"example.com/gpu": "1"})),
            vec!["{}.resources.limits[example.com/gpu]: Forbidden: not supported: no device plugin offers this resource; use hostPath for devices".to_owned()],
        ),
        (
            json!({"resources": {"claims": [{"name": "x"}]}}),
            vec!["{}.resources.claims: Forbidden: not supported: dynamic resource allocation needs an API server".to_owned()],
        ),
    ];
    for bad in ["1.5.2", "10KB", "1 Gi", ""] {
        let line = format!("{{}}.resources.limits[memory]: Invalid value: {bad:?}: {QUANTITY}");
        rows.push((limits(json!({"memory": bad})), vec![line]));
    }
    for (patch, want) in &rows {
        of_container(vec![(
            patch.clone(),
            want.iter().map(String::as_str).collect(),
        )]);
    }
}

#[test]
fn amounts_of_the_pod_bound_its_containers() {
    let with = |own: Value, one: Value| json!({"resources": own, "containers": [{"name": "c", "image": "i", "resources": one}]});
    of_spec(vec![
        (
            with(json!({"limits": {"ephemeral-storage": "1"}}), json!({})),
            vec![
                "spec.resources.limits[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-<size>\", \"memory\"",
            ],
        ),
        (
            with(json!({"claims": [{"name": "x"}]}), json!({})),
            vec!["spec.resources.claims: Forbidden: may not be set for resources of the pod"],
        ),
        (
            with(
                json!({"requests": {"cpu": "1"}}),
                json!({"requests": {"cpu": "2"}}),
            ),
            vec![
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            ],
        ),
        (
            with(
                json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "1"}}),
                json!({"limits": {"memory": "2Gi"}, "requests": {"memory": "1"}}),
            ),
            vec![
                "spec.containers[0].resources.limits[memory]: Invalid value: \"2Gi\": must be less than or equal to pod limits of 1Gi",
            ],
        ),
        (
            with(
                json!({"limits": {"cpu": "2"}}),
                json!({"requests": {"cpu": "1"}}),
            ),
            vec![],
        ),
    ]);
}

#[test]
fn the_security_of_the_pod_is_checked() {
    let id = "must be between 0 and 2147483647, inclusive";
    let with = |security: Value| json!({"securityContext": security});
    of_spec(vec![
        (
            with(
                json!({"runAsUser": -1, "runAsGroup": 2_147_483_648_i64, "fsGroup": -1, "supplementalGroups": [0, -1]}),
            ),
            vec![
                &format!("spec.securityContext.runAsUser: Invalid value: -1: {id}"),
                &format!("spec.securityContext.runAsGroup: Invalid value: 2147483648: {id}"),
                &format!("spec.securityContext.fsGroup: Invalid value: -1: {id}"),
                &format!("spec.securityContext.supplementalGroups[1]: Invalid value: -1: {id}"),
            ],
        ),
        (
            with(json!({"supplementalGroupsPolicy": "X", "fsGroupChangePolicy": "X"})),
            vec![
                "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"X\": supported values: \"Always\", \"OnRootMismatch\"",
                "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"X\": supported values: \"Merge\", \"Strict\"",
            ],
        ),
        (
            with(
                json!({"seccompProfile": {"type": "Localhost"}, "appArmorProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}}),
            ),
            vec![
                "spec.securityContext.appArmorProfile.localhostProfile: Invalid value: \"x\": can only be set when AppArmor type is Localhost",
                "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
            ],
        ),
        (
            with(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "../x"}})),
            vec![
                "spec.securityContext.seccompProfile.localhostProfile: Invalid value: \"../x\": must not contain '..'",
            ],
        ),
        (
            with(json!({"seccompProfile": {"type": ""}, "appArmorProfile": {"type": "x"}})),
            vec![
                "spec.securityContext.appArmorProfile.type: Unsupported value: \"x\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
                "spec.securityContext.seccompProfile.type: Required value",
            ],
        ),
        (
            with(json!({"windowsOptions": {}})),
            vec![
                "spec.securityContext.windowsOptions: Forbidden: not supported: podshim runs Linux containers",
            ],
        ),
        (
            json!({"hostNetwork": true, "hostIPC": true, "securityContext": {"sysctls": [
                {"name": "net/ipv4/ip_forward", "value": "1"}, {"name": "kernel.shmmax", "value": "1"},
                {"name": "kernel.shm_rmid_forced", "value": "1"}, {"name": "kernel/shmmax", "value": "1"}]}}),
            vec![
                "spec.securityContext.sysctls[0].name: Invalid value: \"net/ipv4/ip_forward\": may not be specified when `hostNetwork` is true",
                "spec.securityContext.sysctls[1].name: Invalid value: \"kernel.shmmax\": may not be specified when `hostIPC` is true",
                "spec.securityContext.sysctls[2].name: Invalid value: \"kernel.shm_rmid_forced\": may not be specified when `hostIPC` is true",
                "spec.securityContext.sysctls[3].name: Invalid value: \"kernel/shmmax\": may not be specified when `hostIPC` is true",
                "spec.securityContext.sysctls[3].name: Duplicate value: \"kernel/shmmax\"",
            ],
        ),
        (
            with(json!({"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]})),
            vec![],
        ),
    ]);
}

#[test]
fn the_security_of_a_container_is_checked() {
    let with = |security: Value| json!({"securityContext": security});
    of_container(vec![
        (
            with(json!({"runAsUser": -1})),
            vec![
                "{}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        ),
        (
            with(json!({"privileged": true, "allowPrivilegeEscalation": false})),
            vec![
                "{}.securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ],
        ),
        (
            with(
                json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
            ),
            vec![
                "{}.securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"capabilities\":{\"add\":[\"CAP_SYS_ADMIN\"]}}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ],
        ),
        (
            with(
                json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["SYS_ADMIN"]}}),
            ),
            vec![],
        ),
        (
            with(json!({"procMount": "Unmasked"})),
            vec![
                "{}.securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
            ],
        ),
        (
            with(json!({"procMount": "Half", "windowsOptions": {"hostProcess": true}})),
            vec![
                "{}.securityContext.procMount: Unsupported value: \"Half\": supported values: \"Default\", \"Unmasked\"",
                "{}.securityContext.windowsOptions: Forbidden: not supported: podshim runs Linux containers",
            ],
        ),
    ]);
}
