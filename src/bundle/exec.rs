//! The OCI `process` of a command that is run in a running container: that of the container itself, so with its user, groups,
//! capabilities and environment, but for what is asked.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct ExecInput<'a> {
    /// The command and its arguments; not empty.
    pub args: &'a [String],
    /// More environment, `NAME=value`; replaces what the container has of the same name.
    pub env: &'a [String],
    /// `uid` or `uid:gid`; the container's groups stay.
    pub user: Option<(u32, Option<u32>)>,
    /// Absolute directory in the container.
    pub cwd: Option<&'a str>,
    /// A terminal of so many rows and columns.
    pub terminal: Option<(u16, u16)>,
}

/// The process; `config` is the container's `config.json`. `None` if that has no process.
/// Source: OCI runtime-spec, config, Process.
pub fn exec_process(config: &Value, input: &ExecInput<'_>) -> Option<Value> {
    let mut process = config.get("process")?.clone();
    let name = |entry: &str| entry.split('=').next().map(str::to_owned);
    let env = process.get_mut("env").and_then(Value::as_array_mut)?;
    for entry in input.env {
        env.retain(|known| known.as_str().and_then(name) != name(entry));
        env.push(entry.as_str().into());
    }
    process["args"] = json!(input.args);
    if let Some((uid, gid)) = input.user {
        process["user"]["uid"] = uid.into();
        if let Some(gid) = gid {
            process["user"]["gid"] = gid.into();
        }
    }
    if let Some(cwd) = input.cwd {
        process["cwd"] = cwd.into();
    }
    process["terminal"] = input.terminal.is_some().into();
    if let Some((rows, columns)) = input.terminal {
        process["consoleSize"] = json!({ "height": rows, "width": columns });
    }
    Some(process)
}

/// Where the program of a process is looked for, as paths below its root: its own path, or one for each directory of its `PATH`.
/// Source: runc and execvp(3); a directory without a name is the working directory.
pub fn program_paths(process: &Value) -> Vec<PathBuf> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (program, cwd) = (text(&process["args"][0]), text(&process["cwd"]));
    let below = |directory: &str| Path::new("/").join(&cwd).join(directory).join(&program);
    if program.contains('/') {
        return vec![below("")];
    }
    let env = process["env"].as_array();
    let mut entries = env.into_iter().flatten().filter_map(Value::as_str);
    let path = entries.find_map(|entry| entry.strip_prefix("PATH="));
    path.into_iter()
        .flat_map(|path| path.split(':'))
        .map(below)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_containers_process_but_for_what_is_asked() {
        let config = json!({ "process": {
            "args": ["init"], "cwd": "/", "env": ["A=1", "B=2"], "noNewPrivileges": true,
            "user": { "uid": 5, "gid": 6, "additionalGids": [7] },
        }});
        let args = ["sh".to_owned()];
        let plain = ExecInput {
            args: &args,
            env: &[],
            user: None,
            cwd: None,
            terminal: None,
        };
        let same = exec_process(&config, &plain).expect("it has a process");
        assert_eq!(same["user"], config["process"]["user"]);
        assert_eq!(
            (&same["args"], &same["terminal"]),
            (&json!(["sh"]), &json!(false))
        );
        let env = ["A=x=y".to_owned()];
        let asked = ExecInput {
            env: &env,
            user: Some((0, None)),
            cwd: Some("/tmp"),
            terminal: Some((33, 99)),
            ..plain
        };
        let other = exec_process(&config, &asked).expect("it has a process");
        assert_eq!(other["env"], json!(["B=2", "A=x=y"]));
        assert_eq!(
            other["user"],
            json!({ "uid": 0, "gid": 6, "additionalGids": [7] })
        );
        assert_eq!(other["consoleSize"], json!({ "height": 33, "width": 99 }));
        assert_eq!(other["noNewPrivileges"], json!(true));
        assert_eq!(exec_process(&json!({}), &plain), None);
    }

    #[test]
    fn a_program_is_looked_for_where_the_kernel_would() {
        let paths = |program: &str, path: &str| {
            let process = json!({ "args": [program], "cwd": "/w", "env": ["A=1", path] });
            let paths = program_paths(&process);
            paths
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            paths("sh", "PATH=/bin:/usr/bin:"),
            "/bin/sh /usr/bin/sh /w/sh"
        );
        assert_eq!(paths("bin/sh", "PATH=/bin"), "/w/bin/sh");
        assert_eq!(paths("/bin/sh", "PATH=/usr"), "/bin/sh");
        assert_eq!(paths("sh", "B=2"), "");
    }
}
