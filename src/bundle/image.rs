//! What a container takes from its image beside environment and user.

use crate::base::Signal;
use crate::bundle::mounts::clean;
use crate::bundle::{BundleError, ImageConfig};
use crate::manifest::Container;

/// Most image VOLUME paths that are honoured per container: each costs a directory and a mount.
const MAX_IMAGE_VOLUMES: usize = 256;

/// `process.args`: command and args of the container over entrypoint and command of the image. Source: Kubernetes, "define a
/// command and arguments for a container".
pub(crate) fn arguments(
    command: Vec<String>,
    args: Vec<String>,
    image: &ImageConfig,
) -> Result<Vec<String>, BundleError> {
    let entrypoint: &[String] = match image.entrypoint.as_slice() {
        [only] if only.is_empty() => &[],
        all => all,
    };
    let line = match (command.is_empty(), args.is_empty()) {
        (true, true) => [entrypoint, &image.cmd].concat(),
        (true, false) => [entrypoint, &args].concat(),
        (false, _) => [command, args].concat(),
    };
    if line.is_empty() {
        return Err(BundleError::NoCommand);
    }
    Ok(line)
}

/// `process.cwd`: absolute.
pub(crate) fn working_dir(container: &Container, image: &ImageConfig, default: &str) -> String {
    let dir = container
        .working_dir
        .as_deref()
        .filter(|d| !d.is_empty())
        .or(Some(image.working_dir.as_str()).filter(|d| !d.is_empty()))
        .unwrap_or(default);
    if dir.starts_with('/') {
        dir.to_owned()
    } else {
        format!("/{dir}")
    }
}

/// The signal that asks the container to stop: the container's, else the image's, else TERM. A word of the image that names no
/// signal counts as none.
pub fn effective_stop_signal(container: &Container, image: &ImageConfig) -> Signal {
    container
        .stop_signal
        .or_else(|| image.stop_signal.parse().ok())
        .unwrap_or(Signal::TERM)
}

/// VOLUME paths of the image at which the pod mounts nothing, absolute and clean, in the image's order: each instance gets a
/// fresh directory there, filled with what the image has at the path.
pub fn image_volumes(container: &Container, image: &ImageConfig) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for volume in &image.volumes {
        let path = clean(volume);
        let is_taken = path == "/"
            || paths.contains(&path)
            || container.mounts.iter().any(|m| clean(&m.path) == path);
        if !is_taken && paths.len() < MAX_IMAGE_VOLUMES {
            paths.push(path);
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_combinations_of_command_and_args() {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let image = ImageConfig {
            entrypoint: list(&["/e"]),
            cmd: list(&["x"]),
            ..ImageConfig::default()
        };
        let run = |command: &[&str], args: &[&str]| {
            arguments(list(command), list(args), &image).expect("there is a command")
        };
        assert_eq!(run(&[], &[]), ["/e", "x"]);
        assert_eq!(run(&[], &["a"]), ["/e", "a"]);
        assert_eq!(run(&["c"], &[]), ["c"]);
        assert_eq!(run(&["c"], &["a"]), ["c", "a"]);
        let empty = ImageConfig {
            entrypoint: list(&[""]),
            ..ImageConfig::default()
        };
        let error = arguments(vec![], vec![], &empty).expect_err("nothing to run");
        assert_eq!(error.to_string(), "no command specified");
    }
}
