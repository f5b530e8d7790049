//! Which runtime there is and what it can do.

use crate::runtime::RuntimeError;
use crate::runtime::call::Call;
use crate::runtime::known::{Known, Program};
use crate::runtime::quirks::{Kind, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long `--version` and `features` may take: 5-11 ms each on an idle machine; a busy disk may have to load 20 MiB.
pub(super) const QUERY_DEADLINE: Duration = Duration::from_secs(10);

/// Where distributions install runtimes; cron and systemd units may have a path without them.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin"];

/// A runtime's program. Serialises, so that a plan can name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Absolute path.
    pub path: PathBuf,
    /// Which runtime it is.
    pub kind: Kind,
    /// Its version as it writes it.
    pub version: String,
    /// What it says it can do.
    pub features: Features,
}

/// What a runtime says of itself; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Seccomp filters.
    pub seccomp: Option<bool>,
    /// Recursive read-only mounts.
    pub rro: Option<bool>,
    /// cgroup v1.
    pub cgroup_v1: Option<bool>,
    /// cgroup v2.
    pub cgroup_v2: Option<bool>,
    /// cgroups through systemd.
    pub cgroup_systemd: Option<bool>,
    /// Checkpoints, if `criu` is there.
    #[serde(default)]
    pub checkpoints: Option<bool>,
}

/// Finds a runtime: `wanted` is a name looked up on the path, or a path; `None` takes the first of runc, crun, youki.
/// Asks the program for its version and features; each question has a deadline.
pub async fn find(wanted: Option<&str>) -> Result<Runtime, RuntimeError> {
    ask(locate(wanted)?).await
}

/// The same, unless `known`, a file of this function's own, has the answers of this very program.
pub async fn find_known(wanted: Option<&str>, known: &Path) -> Result<Runtime, RuntimeError> {
    let path = locate(wanted)?;
    let (program, known) = (Program::at(&path), Known::read(known));
    if let Some(runtime) = program.as_ref().and_then(|program| known.of(program)) {
        return Ok(runtime.clone());
    }
    let runtime = ask(path).await?;
    if let Some(program) = program {
        known.remember(program, &runtime);
    }
    Ok(runtime)
}

async fn ask(path: PathBuf) -> Result<Runtime, RuntimeError> {
    let printed = Runtime::ask(&path, "read the version", "--version").await?;
    let (kind, version) =
        read_version(&printed).ok_or_else(|| RuntimeError::Version { path: path.clone() })?;
    let quirks = kind.quirks();
    // A runtime too old for the question refuses it; then the table is all there is.
    let said = Runtime::ask(&path, "read the features", "features").await;
    let said = said.map_or(None, |text| read_features(&text));
    let silence = (said.is_some() && quirks.silence_is_no_seccomp).then_some(false);
    // What others say of it has another form.
    let has_no_checkpoints = (said.is_some() && kind != Kind::Other).then_some(false);
    let said = said.unwrap_or_default();
    let marked = quirks.seccomp_mark.map(|mark| printed.contains(mark));
    let has_criu = quirks.checkpoint_mark.map(|mark| printed.contains(mark));
    let since = quirks.rro_since.zip(Version::read(&version));
    let features = Features {
        seccomp: said.seccomp.or(marked).or(silence),
        rro: said.rro.or(since.map(|(since, version)| version >= since)),
        checkpoints: said.checkpoints.or(has_no_checkpoints).or(has_criu),
        ..said
    };
    Ok(Runtime {
        path,
        kind,
        version,
        features,
    })
}

impl Runtime {
    /// The whole document that its `features` prints; `None` from a runtime that knows no such question.
    pub async fn features_document(&self) -> Option<String> {
        let text = Runtime::ask(&self.path, "read the features", "features").await;
        text.ok()
            .filter(|text| serde_json::from_str::<Value>(text).is_ok())
    }

    async fn ask(path: &Path, verb: &'static str, arg: &str) -> Result<String, RuntimeError> {
        let call = Call {
            verb,
            program: path,
            copy: None,
            args: vec![arg.into()],
            deadline: QUERY_DEADLINE,
            log: None,
            first_in_path: None,
        };
        let answer = call.captured().await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn locate(wanted: Option<&str>) -> Result<PathBuf, RuntimeError> {
    let found = match wanted {
        Some(name) => on_path(name),
        None => Kind::KNOWN
            .iter()
            .find_map(|kind| on_path(kind.quirks().name)),
    };
    found.ok_or_else(|| RuntimeError::NotFound {
        tried: wanted.map_or_else(|| "runc`, `crun` or `youki".to_owned(), str::to_owned),
    })
}

/// An executable by name or path, made absolute but not resolved: a link's name may matter to what it points at.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(SYSTEM_DIRECTORIES.map(PathBuf::from));
    let joined = std::env::join_paths(directories).ok()?;
    let found = which::which_in(name, Some(joined), std::env::current_dir().ok()?).ok()?;
    std::path::absolute(found).ok()
}

/// Kind and version of a line like `runc version 1.1.5+ds1`.
fn read_version(printed: &str) -> Option<(Kind, String)> {
    printed.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let version = match words.next()?.trim_end_matches(':') {
            "version" => words.next()?,
            word => word,
        };
        Version::read(version)?;
        Some((Kind::of_name(name), version.to_owned()))
    })
}

/// The document that `features` prints. Source: OCI runtime-spec, features.md.
fn read_features(text: &str) -> Option<Features> {
    let value: Value = serde_json::from_str(text).ok()?;
    let flag = |pointer: &str| value.pointer(pointer).and_then(Value::as_bool);
    let mounts = value.pointer("/mountOptions").and_then(Value::as_array);
    Some(Features {
        seccomp: flag("/linux/seccomp/enabled"),
        rro: mounts.map(|options| options.iter().any(|option| option == "rro")),
        cgroup_v1: flag("/linux/cgroup/v1"),
        cgroup_v2: flag("/linux/cgroup/v2"),
        cgroup_systemd: flag("/linux/cgroup/systemd"),
        checkpoints: value
            .pointer("/annotations/org.opencontainers.runc.checkpoint.enabled")
            .and_then(|text| text.as_str()?.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_is_known_by_what_it_says() {
        for (printed, kind, version) in [
            (
                "runc version 1.1.5+ds1\nspec: 1.0.2-dev\n",
                Kind::Runc,
                "1.1.5+ds1",
            ),
            (
                "crun version 1.8.1\ncommit: f8\n+SECCOMP",
                Kind::Crun,
                "1.8.1",
            ),
            ("youki version: 0.7.0\ncommit: x", Kind::Youki, "0.7.0"),
            ("youki 0.7.0", Kind::Youki, "0.7.0"),
            ("sandboxer version 3.1", Kind::Other, "3.1"),
        ] {
            assert_eq!(
                read_version(printed),
                Some((kind, version.to_owned())),
                "{printed}"
            );
        }
        for printed in ["", "hello", "usage: x [y]"] {
            assert_eq!(read_version(printed), None, "{printed}");
        }
    }

    #[test]
    fn features_that_are_not_said_are_unknown() {
        assert_eq!(read_features("not json"), None);
        assert_eq!(read_features("{}"), Some(Features::default()));
        let said = r#"{"mountOptions":["ro","rro"],"linux":{"seccomp":{"enabled":false},"cgroup":{"v1":true}},
            "annotations":{"org.opencontainers.runc.checkpoint.enabled":"true"}}"#;
        assert_eq!(
            read_features(said),
            Some(Features {
                seccomp: Some(false),
                rro: Some(true),
                cgroup_v1: Some(true),
                cgroup_v2: None,
                cgroup_systemd: None,
                checkpoints: Some(true)
            })
        );
    }
}
