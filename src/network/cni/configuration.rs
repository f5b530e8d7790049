//! Network configurations as they lie on disk. Source: CNI spec 1.1, "Network configuration format". They are read once, by the
//! command that starts the pod; what it found goes with the plan, so that taking down uses what set up used.

use crate::network::NetworkError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest configuration that is read, in bytes. Those of clusters are some thousand.
const MAX_BYTES: u64 = 1024 * 1024;
/// Most plugins of one network.
const MAX_PLUGINS: usize = 32;
/// Versions that are spoken, oldest first. Source: the spec's own list; before 0.3 results had another form.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniNetwork {
    /// Its name.
    pub name: String,
    /// The version that is spoken with its plugins.
    pub version: String,
    /// Plugins in the order of `ADD`.
    pub plugins: Vec<Plugin>,
    /// `disableCheck`.
    pub disable_check: bool,
    /// `disableGC`.
    pub disable_gc: bool,
    /// Where it was found.
    pub path: PathBuf,
    /// Where plugins are looked for.
    pub plugin_dirs: Vec<PathBuf>,
}

/// One plugin of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// `type`: the name of its program.
    pub kind: String,
    /// Capabilities that it wants to be told of.
    pub capabilities: Vec<String>,
    /// Its own keys.
    pub configuration: Map<String, Value>,
}

impl CniNetwork {
    /// Whether the version is at least this one of [`VERSIONS`].
    pub(super) fn speaks(&self, version: &str) -> bool {
        let rank = |wanted: &str| VERSIONS.iter().position(|known| *known == wanted);
        rank(&self.version) >= rank(version)
    }

    /// Whether a plugin wants to be told of this capability.
    pub fn has_capability(&self, name: &str) -> bool {
        let wants = |plugin: &Plugin| plugin.capabilities.iter().any(|wanted| wanted == name);
        self.plugins.iter().any(wants)
    }

    /// The program of a plugin. Its name has been checked to be no path.
    pub(super) fn program(&self, plugin: &Plugin) -> Result<PathBuf, NetworkError> {
        let places = self.plugin_dirs.iter().map(|dir| dir.join(&plugin.kind));
        let mut programs = places.filter(|path| path.is_file());
        programs.next().ok_or_else(|| NetworkError::NoPlugin {
            plugin: plugin.kind.clone(),
            dirs: self.plugin_dirs.clone(),
        })
    }
}

/// Finds a network in a directory of configurations: by its name, or the first that can be used. `None` when there is none.
/// *Errors*: the one that is meant cannot be used.
pub fn find(
    dir: &Path,
    name: Option<&str>,
    plugin_dirs: &[PathBuf],
) -> Result<Option<CniNetwork>, NetworkError> {
    let wrong = |path: &Path, why: String| NetworkError::Configuration {
        path: path.to_owned(),
        why,
    };
    let mut paths = match list(dir) {
        Ok(paths) => paths,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(wrong(dir, e.to_string())),
    };
    paths.sort();
    for path in paths {
        let network = read(&path).and_then(|value| parse(value, &path, plugin_dirs));
        match (network, name) {
            (Ok(network), Some(name)) if network.name != name => {}
            (Ok(network), _) => return Ok(Some(network)),
            // It may be another network's. Without a name it is the one that everybody would take.
            (Err(_), Some(_)) => {}
            (Err(why), None) => return Err(wrong(&path, why)),
        }
    }
    Ok(None)
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let known = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str());
        extension.is_some_and(|e| ["conflist", "conf", "json"].contains(&e))
    };
    let entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(known)
        .collect())
}

fn read(path: &Path) -> Result<Value, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

fn parse(value: Value, path: &Path, plugin_dirs: &[PathBuf]) -> Result<CniNetwork, String> {
    let Value::Object(mut list) = value else {
        return Err("it is no JSON object".into());
    };
    let name = text(&list, "name").ok_or("it has no `name`")?;
    if !is_plain(&name) {
        return Err(format!("`{name}` is no name of a network"));
    }
    let version = version(&list)?;
    let flag = |key: &str| list.get(key).is_some_and(|v| *v == true || v == "true");
    let (disable_check, disable_gc) = (flag("disableCheck"), flag("disableGC"));
    let plugins = match list.remove("plugins") {
        Some(Value::Array(plugins)) => plugins,
        Some(_) => return Err("`plugins` is no list".into()),
        // A configuration of one plugin, without a list around it.
        None => vec![Value::Object(list)],
    };
    if plugins.is_empty() || plugins.len() > MAX_PLUGINS {
        return Err(format!("it has {} plugins", plugins.len()));
    }
    Ok(CniNetwork {
        name,
        version,
        plugins: plugins.into_iter().map(plugin).collect::<Result<_, _>>()?,
        disable_check,
        disable_gc,
        path: path.to_owned(),
        plugin_dirs: plugin_dirs.to_vec(),
    })
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(str::to_owned)
}

/// The newest version that both sides know. `cniVersions` is of 1.1.
fn version(list: &Map<String, Value>) -> Result<String, String> {
    let mut offered = vec![text(list, "cniVersion").ok_or("it has no `cniVersion`")?];
    let more = list.get("cniVersions").and_then(Value::as_array);
    let more = more.into_iter().flatten().filter_map(Value::as_str);
    offered.extend(more.map(str::to_owned));
    let newest = VERSIONS.iter().rev();
    let mut common = newest.filter(|known| offered.iter().any(|version| version == *known));
    common
        .next()
        .map(|version| (*version).to_owned())
        .ok_or_else(|| {
            let known = VERSIONS.join(", ");
            format!("`cniVersion` is {}; known are {known}", offered.join(", "))
        })
}

fn plugin(value: Value) -> Result<Plugin, String> {
    let Value::Object(mut configuration) = value else {
        return Err("a plugin is no JSON object".into());
    };
    let kind = text(&configuration, "type").ok_or("a plugin has no `type`")?;
    // It becomes the name of a file in a directory of programs.
    if !is_plain(&kind) {
        return Err(format!("`{kind}` is no type of a plugin"));
    }
    let capabilities = match configuration.remove("capabilities") {
        Some(Value::Object(all)) => all,
        _ => Map::new(),
    };
    let wanted = capabilities.into_iter().filter(|(_, wants)| *wants == true);
    Ok(Plugin {
        kind,
        capabilities: wanted.map(|(name, _)| name).collect(),
        configuration,
    })
}

/// Source: CNI spec, "Network configuration": begins with a letter or digit; then `_`, `.` and `-`, too.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_as(value: Value) -> Result<CniNetwork, String> {
        parse(value, Path::new("/x"), &[])
    }

    #[test]
    fn a_list_and_a_single_plugin_are_both_a_network() {
        let list = read_as(json!({"cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.0.0", "9.0.0"], "name": "n",
            "plugins": [{"type": "bridge", "x": 1}, {"type": "portmap", "capabilities": {"portMappings": true, "ips": false}}]}))
        .expect("good");
        assert_eq!(
            (
                list.name.as_str(),
                list.version.as_str(),
                list.plugins.len()
            ),
            ("n", "1.0.0", 2)
        );
        assert!(list.has_capability("portMappings") && !list.has_capability("ips"));
        assert!(list.speaks("0.4.0") && !list.speaks("1.1.0"));
        assert!(!list.plugins[1].configuration.contains_key("capabilities"));
        let single = read_as(json!({"cniVersion": "0.3.1", "name": "n", "type": "ptp", "mtu": 1}))
            .expect("good");
        assert_eq!(
            (
                single.plugins[0].kind.as_str(),
                &single.plugins[0].configuration["mtu"]
            ),
            ("ptp", &json!(1))
        );
    }

    #[test]
    fn what_is_no_network_is_refused_and_says_why() {
        let plugins = json!([{"type": "bridge"}]);
        for (value, why) in [
            (json!([]), "no JSON object"),
            (
                json!({"cniVersion": "1.0.0", "plugins": plugins}),
                "no `name`",
            ),
            (
                json!({"cniVersion": "1.0.0", "name": "../n", "plugins": plugins}),
                "no name of a network",
            ),
            (json!({"name": "n", "plugins": plugins}), "no `cniVersion`"),
            (
                json!({"cniVersion": "0.2.0", "name": "n", "plugins": plugins}),
                "known are 0.3.0",
            ),
            (
                json!({"cniVersion": "1.0.0", "name": "n", "plugins": []}),
                "0 plugins",
            ),
            (
                json!({"cniVersion": "1.0.0", "name": "n", "plugins": {}}),
                "no list",
            ),
            (
                json!({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "../../bin/sh"}]}),
                "no type of a plugin",
            ),
            (json!({"cniVersion": "1.0.0", "name": "n"}), "no `type`"),
        ] {
            let error = read_as(value.clone()).expect_err("it is wrong");
            assert!(error.contains(why), "{value}: {error}");
        }
    }

    #[test]
    fn the_first_file_counts_unless_a_name_is_given() {
        let dir = tempfile::tempdir().expect("a directory");
        let conf =
            |name: &str| json!({"cniVersion": "1.0.0", "name": name, "type": "ptp"}).to_string();
        std::fs::write(dir.path().join("20-b.conf"), conf("b")).expect("written");
        std::fs::write(dir.path().join("10-a.conflist"), conf("a")).expect("written");
        std::fs::write(dir.path().join("00-no.txt"), "no").expect("written");
        let name = |wanted| find(dir.path(), wanted, &[]).expect("good").map(|n| n.name);
        assert_eq!(name(None).as_deref(), Some("a"));
        assert_eq!(name(Some("b")).as_deref(), Some("b"));
        assert_eq!(name(Some("c")), None);
        std::fs::write(dir.path().join("05-bad.conf"), "{").expect("written");
        assert!(
            find(dir.path(), None, &[]).is_err(),
            "nobody would see that it is skipped"
        );
        assert_eq!(name(Some("b")).as_deref(), Some("b"));
        assert_eq!(
            find(&dir.path().join("none"), None, &[]).expect("no directory"),
            None
        );
    }
}
