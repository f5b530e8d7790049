//! One call of one plugin. Source: CNI spec 1.1, "CNI operations", "Error", "Result types".

use super::attachment::Attachment;
use super::configuration::Plugin;
use crate::network::CniNetwork;
use crate::network::error::NetworkError;
use crate::network::program::{Program, printable};
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::time::Duration;

/// How long one plugin may take: one that asks a DHCP server waits for it.
const DEADLINE: Duration = Duration::from_secs(60);
/// Most addresses of one pod.
const MAX_IPS: usize = 64;
/// Name of the link in the pod. Source: what every CNI runtime calls it.
const POD_LINK: &str = "eth0";

/// What a plugin is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Del,
    Check,
    Status,
    Gc,
}

impl Command {
    pub fn word(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Del => "DEL",
            Command::Check => "CHECK",
            Command::Status => "STATUS",
            Command::Gc => "GC",
        }
    }
}

/// Calls a plugin for a pod; what it returns, null if nothing. `namespace` is empty if it is gone.
pub(super) fn call(
    attachment: &Attachment,
    plugin: &Plugin,
    command: Command,
    namespace: &str,
) -> Result<Value, NetworkError> {
    let network = &attachment.network;
    let mut configuration = common(network, plugin);
    // `DEL` knows of results since 0.4.
    let told = command == Command::Add || network.speaks("0.4.0");
    if let Some(result) = attachment.result.as_ref().filter(|_| told) {
        configuration.insert("prevResult".into(), result.clone());
    }
    let mut capabilities = attachment.capabilities.clone();
    capabilities.retain(|name, _| plugin.capabilities.contains(name));
    if !capabilities.is_empty() {
        configuration.insert("runtimeConfig".into(), capabilities.into());
    }
    let env = [
        ("CNI_CONTAINERID", attachment.container_id.as_str()),
        ("CNI_NETNS", namespace),
        ("CNI_IFNAME", POD_LINK),
        ("CNI_ARGS", &attachment.args),
    ];
    run(network, plugin, command, configuration, &env)
}

/// Calls a plugin about its network as a whole. `valid` are the attachments that are in use, for `GC`.
pub(super) fn call_network(
    network: &CniNetwork,
    plugin: &Plugin,
    command: Command,
    valid: Option<Value>,
) -> Result<(), NetworkError> {
    let mut configuration = common(network, plugin);
    if let Some(valid) = valid {
        configuration.insert("cni.dev/valid-attachments".into(), valid);
    }
    run(network, plugin, command, configuration, &[]).map(|_| ())
}

/// `eth0` of a pod in a list of attachments.
pub(super) fn attachment_of(uid: &str) -> Value {
    serde_json::json!({"containerID": uid, "ifname": POD_LINK})
}

fn common(network: &CniNetwork, plugin: &Plugin) -> Map<String, Value> {
    let mut configuration = plugin.configuration.clone();
    configuration.insert("cniVersion".into(), network.version.as_str().into());
    configuration.insert("name".into(), network.name.as_str().into());
    configuration
}

fn run(
    network: &CniNetwork,
    plugin: &Plugin,
    command: Command,
    configuration: Map<String, Value>,
    env: &[(&str, &str)],
) -> Result<Value, NetworkError> {
    let dirs: Vec<String> = network
        .plugin_dirs
        .iter()
        .map(|d| d.display().to_string())
        .collect();
    let dirs = dirs.join(":");
    let mut all = vec![("CNI_COMMAND", command.word()), ("CNI_PATH", &dirs)];
    all.extend(env);
    let path = network.program(plugin)?;
    let input = Value::Object(configuration).to_string();
    let ended = Program {
        path: &path,
        args: &[],
        env: &all,
        input: input.as_bytes(),
        deadline: DEADLINE,
    }
    .run()?;
    let answer = serde_json::from_slice::<Value>(&ended.stdout);
    if !ended.status.success() {
        let error = answer.unwrap_or_default();
        let said = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let texts = [said("msg"), said("details"), printable(&ended.stderr)];
        let texts: Vec<String> = texts
            .iter()
            .map(|t| printable(t.as_bytes()))
            .filter(|t| !t.is_empty())
            .collect();
        let message = match texts.is_empty() {
            true => ended.status.to_string(),
            false => texts.join("; "),
        };
        return Err(NetworkError::Plugin {
            plugin: plugin.kind.clone(),
            command: command.word(),
            code: error["code"].as_u64().unwrap_or(0),
            message,
        });
    }
    if command != Command::Add {
        return Ok(Value::Null);
    }
    let answer = answer.map_err(|e| e.to_string()).and_then(checked);
    answer.map_err(|why| NetworkError::Answer {
        plugin: plugin.kind.clone(),
        command: command.word(),
        why,
    })
}

/// A result that can be used and handed on.
fn checked(result: Value) -> Result<Value, String> {
    if !result.is_object() {
        return Err("it is no JSON object".into());
    }
    ips(&result).map(|_| result)
}

/// The pod's addresses in a result: those of no interface, or of one in the pod.
pub(super) fn ips(result: &Value) -> Result<Vec<IpAddr>, String> {
    let none = Vec::new();
    let all = result["ips"].as_array().unwrap_or(&none);
    if all.len() > MAX_IPS {
        return Err(format!("it has more than {MAX_IPS} addresses"));
    }
    let mut ips = Vec::new();
    for entry in all {
        let text = entry["address"].as_str().unwrap_or_default();
        let ip = text.split_once('/').map_or(text, |(address, _)| address);
        let ip: IpAddr = ip
            .parse()
            .map_err(|_| format!("`{}` is no address", printable(text.as_bytes())))?;
        let interface = entry["interface"]
            .as_u64()
            .and_then(|at| usize::try_from(at).ok());
        let interface = interface.map(|at| &result["interfaces"][at]);
        // An interface without a sandbox is the host's.
        let is_of_pod =
            interface.is_none_or(|i| !i["sandbox"].as_str().unwrap_or_default().is_empty());
        if is_of_pod && !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    Ok(ips)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_addresses_of_the_pod_are_those_of_its_own_interfaces() {
        let result = json!({
            "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/x"}],
            "ips": [
                {"address": "10.0.0.1/24", "interface": 0},
                {"address": "10.0.0.2/24", "interface": 1},
                {"address": "fd00::2/64"},
            ],
        });
        let texts: Vec<String> = ips(&result)
            .expect("good")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["10.0.0.2", "fd00::2"]);
        assert_eq!(
            ips(&json!({})).expect("a plugin may give none"),
            Vec::<IpAddr>::new()
        );
        assert!(ips(&json!({"ips": [{"address": "ten"}]})).is_err());
        assert!(checked(json!([1])).is_err());
    }
}
