//! `generate`: text for other programs. `unit` is a systemd unit that brings the machine's pods up after a boot and down before the
//! next.

use crate::cli::args::{GenerateArgs, GenerateVerb};
use crate::cli::exit::{DONE, Failed, Outcome, cannot};
use crate::cli::report;
use crate::cli::settings::Settings;
use std::path::Path;

pub(super) fn generate(settings: &Settings, args: &GenerateArgs) -> Outcome {
    match args.verb {
        GenerateVerb::Unit => report::data(unit(settings)?.trim_end()),
    }
    DONE
}

/// Pods are in the unit's cgroup, because `up` starts their keepers; when it stops, `shutdown` ends them, and systemd what is left.
/// Source: systemd.service(5), systemd.exec(5), systemd.kill(5).
fn unit(settings: &Settings) -> Result<String, Failed> {
    let program = std::env::current_exe().map_err(cannot("find this program"))?;
    let dirs = &settings.dirs;
    let [program, root, logs] = [&program, &dirs.data, &dirs.logs].map(|path| quoted(path));
    let variable = |name: &str, path: &Path| quoted(format!("{name}={}", path.display()).as_ref());
    Ok(format!(
        "[Unit]
Description=Pods of podshim
After=network-online.target local-fs.target
Wants=network-online.target
RequiresMountsFor={root} {logs}

[Service]
Type=oneshot
RemainAfterExit=yes
Environment={} {} {}
ExecStart={program} up
ExecStop={program} shutdown --all
# A pod may take as long as its grace; none is waited for longer.
TimeoutStopSec=infinity
KillMode=mixed
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
",
        variable("PODSHIM_ROOT", &dirs.data),
        variable("PODSHIM_STATE", &dirs.state),
        variable("PODSHIM_LOGS", &dirs.logs),
    ))
}

/// A word as systemd reads it. Source: systemd.syntax(7), quoting; `%` begins a specifier.
fn quoted(word: &Path) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:".contains(c);
    if word.chars().all(plain) {
        return word.into_owned();
    }
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_systemd() {
        assert_eq!(quoted(Path::new("/var/lib/podshim")), "/var/lib/podshim");
        assert_eq!(quoted(Path::new("/a b%\"c")), "\"/a b%%\\\"c\"");
    }
}
