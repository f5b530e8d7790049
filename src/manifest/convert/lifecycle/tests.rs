//! What probes, hooks and rules become, after the defaults.

use super::*;
use crate::manifest::{ProbeKind, defaults};
use serde_json::{Value, json};

/// The one container of a pod with the defaults of Kubernetes.
fn container(fields: &Value) -> core::Container {
    let mut one = json!({"name": "c", "image": "i"});
    for (name, value) in fields.as_object().expect("an object") {
        one[name] = value.clone();
    }
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [one]}});
    let mut pod: core::Pod = serde_json::from_value(pod).expect("a pod");
    defaults::apply(&mut pod);
    let mut spec = pod.spec.expect("a spec");
    spec.containers.pop().expect("a container")
}

fn converted(fields: &Value) -> Lifecycle {
    let one = container(fields);
    let (ports, env) = (one.ports.unwrap_or_default(), one.env.unwrap_or_default());
    let names = Names {
        ports: &ports,
        env: &env,
    };
    let probes = [one.startup_probe, one.liveness_probe, one.readiness_probe];
    lifecycle(probes, one.lifecycle, &names).expect("it is valid")
}

fn readiness(fields: &Value) -> Probe {
    converted(fields).readiness.expect("a probe")
}

/// The words of a probe's command in a container with this environment.
fn words(env: &Value, command: &Value) -> Vec<String> {
    let fields = json!({"env": env, "readinessProbe": {"exec": {"command": command}}});
    match readiness(&fields).handler {
        Handler::Exec(words) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_probe_without_numbers_has_those_of_kubernetes() {
    for numbers in [
        json!({}),
        json!({"timeoutSeconds": 0, "periodSeconds": 0, "successThreshold": 0, "failureThreshold": 0}),
    ] {
        let mut probe = numbers;
        probe["tcpSocket"] = json!({"port": 80});
        let want = Probe {
            handler: Handler::Tcp {
                host: String::new(),
                port: HandlerPort::Number(80),
            },
            initial_delay_seconds: 0,
            timeout_seconds: 1,
            period_seconds: 10,
            success_threshold: 1,
            failure_threshold: 3,
            grace_seconds: None,
        };
        assert_eq!(readiness(&json!({"readinessProbe": probe})), want);
    }
}

#[test]
fn every_probe_comes_with_its_own_numbers() {
    let probe = |first: i32| {
        json!({"exec": {"command": ["x"]}, "initialDelaySeconds": first, "timeoutSeconds": first + 1,
            "periodSeconds": first + 2, "failureThreshold": first + 3})
    };
    let (mut live, mut ready) = (probe(10), probe(20));
    live["terminationGracePeriodSeconds"] = json!(14);
    ready["successThreshold"] = json!(24);
    let all = converted(
        &json!({"startupProbe": probe(0), "livenessProbe": live, "readinessProbe": ready}),
    );
    let numbers = |kind| {
        let one: &Probe = all.probe(kind).expect("a probe");
        (
            [
                one.initial_delay_seconds,
                one.timeout_seconds,
                one.period_seconds,
            ],
            [one.failure_threshold, one.success_threshold],
            one.grace_seconds,
        )
    };
    assert_eq!(numbers(ProbeKind::Startup), ([0, 1, 2], [3, 1], None));
    assert_eq!(
        numbers(ProbeKind::Liveness),
        ([10, 11, 12], [13, 1], Some(14))
    );
    assert_eq!(
        numbers(ProbeKind::Readiness),
        ([20, 21, 22], [23, 24], None)
    );
}

#[test]
fn an_http_get_has_a_path_a_scheme_and_its_headers_in_order() {
    let http =
        |action: Value| match readiness(&json!({"readinessProbe": {"httpGet": action}})).handler {
            Handler::Http(http) => http,
            other => panic!("{other:?}"),
        };
    let plain = HttpGet {
        host: String::new(),
        port: HandlerPort::Number(80),
        path: "/".into(),
        https: false,
        headers: Vec::new(),
    };
    assert_eq!(http(json!({"port": 80})), plain);
    let given = json!({"port": 443, "host": "h", "path": "a?b=c", "scheme": "HTTPS",
        "httpHeaders": [{"name": "X", "value": "2"}, {"name": "A"}, {"name": "X", "value": "1"}]});
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let want = HttpGet {
        host: "h".into(),
        port: HandlerPort::Number(443),
        path: "/a?b=c".into(),
        https: true,
        headers: vec![header("X", "2"), header("A", ""), header("X", "1")],
    };
    assert_eq!(http(given), want);
}

#[test]
fn a_grpc_check_is_of_the_server_unless_it_names_a_service() {
    let grpc = |action: Value| readiness(&json!({"readinessProbe": {"grpc": action}})).handler;
    let want = |service: &str| Handler::Grpc {
        port: 5000,
        service: service.into(),
    };
    assert_eq!(grpc(json!({"port": 5000})), want(""));
    assert_eq!(grpc(json!({"port": 5000, "service": "s"})), want("s"));
}

#[test]
fn a_port_is_looked_up_among_those_of_the_container_then_read_as_a_number() {
    let ports = json!([{"name": "web", "containerPort": 8080}, {"name": "web", "containerPort": 1}, {"containerPort": 2}]);
    for (port, want) in [
        (json!("web"), HandlerPort::Number(8080)),
        (json!(9), HandlerPort::Number(9)),
        (json!("9"), HandlerPort::Number(9)),
        (json!("admin"), HandlerPort::Unknown("admin".into())),
        (json!("0"), HandlerPort::Unknown("0".into())),
        (json!("70000"), HandlerPort::Unknown("70000".into())),
    ] {
        let fields = json!({"ports": ports, "readinessProbe": {"tcpSocket": {"host": "h", "port": port}},
            "lifecycle": {"preStop": {"httpGet": {"port": port}}}});
        let all = converted(&fields);
        let tcp = Handler::Tcp {
            host: "h".into(),
            port: want.clone(),
        };
        assert_eq!(all.readiness.map(|probe| probe.handler), Some(tcp));
        let Some(Handler::Http(hook)) = all.pre_stop else {
            panic!("no hook");
        };
        assert_eq!(hook.port, want);
    }
}

#[test]
fn a_command_of_a_probe_sees_the_values_of_env_as_they_are_written() {
    let env = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, {"name": "A", "value": "2"}, {"name": "E"},
        {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let command = json!([
        "x",
        "$(A)",
        "<$(B)>",
        "<$(E)$(F)>",
        "$(G)",
        "$$(A)",
        "$(A",
        "$$$(A)"
    ]);
    // B is not expanded, F is empty, G is unknown: what comes from `envFrom` would be too.
    let want = ["x", "2", "<$(A)>", "<>", "$(G)", "$(A)", "$(A", "$2"];
    assert_eq!(words(&env, &command), want);
}

#[test]
fn a_command_of_a_hook_is_left_as_it_is() {
    let fields = json!({"env": [{"name": "A", "value": "1"}], "lifecycle": {
        "postStart": {"exec": {"command": ["x", "$(A)", "$$"]}}, "preStop": {"sleep": {"seconds": 3}}}});
    let all = converted(&fields);
    let words = ["x", "$(A)", "$$"].map(str::to_owned).to_vec();
    assert_eq!(all.post_start, Some(Handler::Exec(words)));
    assert_eq!(all.pre_stop, Some(Handler::Sleep(3)));
    assert_eq!(converted(&json!({})), Lifecycle::default());
}

#[test]
fn a_rule_matches_the_codes_it_lists_or_all_others() {
    let rule = |action: &str, operator: &str, codes: &[i32]| {
        let raw = json!({"action": action, "exitCodes": {"operator": operator, "values": codes}});
        restart_rule(serde_json::from_value(raw).expect("a rule"))
    };
    let matches = |operator: &str, codes: &[i32], code: i32| {
        let rule = rule("Restart", operator, codes).expect("a valid rule");
        rule.matches(code)
    };
    for (operator, codes, code, want) in [
        ("In", &[1, 42][..], 42, true),
        ("In", &[1, 42], 2, false),
        ("In", &[], 0, false),
        ("NotIn", &[1, 42], 42, false),
        ("NotIn", &[1, 42], 2, true),
        ("NotIn", &[], 0, true),
    ] {
        assert_eq!(
            matches(operator, codes, code),
            want,
            "{operator} {codes:?} {code}"
        );
    }
    let all = rule("RestartAllContainers", "In", &[1]).map(|rule| rule.action);
    assert_eq!(all, Some(RestartAction::RestartAllContainers));
    let one = rule("Restart", "In", &[1]).map(|rule| rule.action);
    assert_eq!(one, Some(RestartAction::Restart));
    assert_eq!(rule("Jump", "In", &[1]), None);
    assert_eq!(rule("Restart", "Eq", &[1]), None);
}
