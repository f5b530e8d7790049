//! Operations on the pod as a whole: prepare, network, clean up. Each may be repeated and goes on from what it finds.

use crate::bundle;
use crate::manifest::downward;
use crate::network;
use crate::pod::{Failure, FailureReason};
use crate::runtime::arm;
use crate::store::{Dirs, PodDir};
use crate::supervisor::Hands;
use crate::supervisor::context::{Context, failure, other, plain};
use crate::supervisor::strays::kill_strays;
use crate::sys;
use crate::volume::{self, VolumeDirs, VolumeInput};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Largest hosts file that is overwritten with empty lines before it is cut, in bytes: none of ours is longer.
const MAX_PADDED_BYTES: u64 = 1024 * 1024;
/// Size of the pod's `/dev/shm`. Source: the kubelet's and Docker's default.
const SHM_OPTIONS: &str = "size=67108864,mode=1777";

/// Makes the cgroup, directories, files, `/dev/shm` and volumes of the pod; gives the host path of each volume.
pub(super) async fn prepare(context: &Context) -> Result<BTreeMap<String, PathBuf>, Failure> {
    // First of all: parallel creates of some runtimes race for a parent that is not there.
    context
        .cgroup
        .create(&context.cgroup_values)
        .map_err(|e| other("", &e))?;
    // The earliest moment: while this waits nobody can make a cgroup.
    arm();
    for (dir, mode) in [
        ("instances", 0o700),
        ("runtime", 0o700),
        ("files", 0o755),
        ("volumes", 0o700),
    ] {
        sys::create_dirs(&context.dir.file(dir), mode)
            .map_err(|e| other("cannot make a directory of the pod", &e))?;
    }
    write_pause(&context.pause_root()).map_err(|e| other("cannot write the pause program", &e))?;
    let pod = &context.plan.pod;
    let host = &context.plan.host;
    let files = context.dir.file("files");
    let resolv_conf = bundle::resolv_conf(pod, host);
    for warning in &resolv_conf.warnings {
        tracing::warn!("{warning}");
    }
    let hostname = bundle::hostname_file(pod, host).map_err(|e| other("", &e))?;
    let write = |name: &str, text: &str| {
        sys::write_atomic(&files.join(name), text.as_bytes(), 0o644)
            .map_err(|e| other("cannot write a file of the pod", &e))
    };
    write("hostname", &hostname)?;
    write("resolv.conf", &resolv_conf.text)?;
    write("hosts", &bundle::hosts_file(pod, host, &[], &[]))?;
    if !pod.host_ipc {
        mount_shm(&context.shm()).map_err(|e| other("cannot mount the pod's /dev/shm", &e))?;
    }
    prepare_volumes(context)
}

/// Makes the volumes of the pod as far as they are not there; gives the host path of each.
pub(super) fn prepare_volumes(context: &Context) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let (pod, host) = (&context.plan.pod, &context.plan.host);
    let facts = downward::Facts {
        pod_ips: &[],
        host_ips: &host.ips,
        node_name: &host.hostname,
        cpu_milli: host.cpu_milli,
        memory_bytes: host.memory_bytes,
        storage_bytes: host.storage_bytes,
    };
    let input = VolumeInput {
        pod,
        objects: &context.plan.objects,
        facts: &facts,
        memory_limit: context
            .cgroup_values
            .memory_limit
            .and_then(|bytes| bytes.try_into().ok()),
    };
    let dirs = volume_dirs(&context.plan.dirs, &context.dir);
    let mut paths = volume::prepare(&input, &dirs).map_err(|e| other("", &e))?;
    for volume in pod.shared_volumes() {
        let host = context.host_mounts.as_ref().map(AsFd::as_fd);
        let host = host.filter(|_| volume.source.is_of_host());
        if host.is_none() && volume.source.is_of_host() {
            return Err(plain(format!(
                "cannot share the mounts of volume `{}`: the keeper has lost the host's mount namespace",
                volume.name
            )));
        }
        if let Some(path) = paths.get_mut(&volume.name) {
            let place = dirs.shared.join(&volume.name);
            volume::share(path, &place, host).map_err(|e| {
                other(
                    &format!("cannot share the mounts of volume `{}`", volume.name),
                    &e,
                )
            })?;
            *path = place;
        }
    }
    Ok(paths)
}

/// The places of a pod's volumes.
pub fn volume_dirs(dirs: &Dirs, dir: &PodDir) -> VolumeDirs {
    VolumeDirs {
        disk: dir.data.join("volumes"),
        memory: dir.file("volumes"),
        shared: dir.file("shared"),
        claims: dirs.claims(),
    }
}

fn write_pause(root: &Path) -> io::Result<()> {
    sys::create_dirs(root, 0o755)?;
    sys::write_atomic(
        &root.join("pause"),
        include_bytes!(env!("PODSHIM_PAUSE")),
        0o555,
    )
}

fn mount_shm(path: &Path) -> io::Result<()> {
    sys::create_dirs(path, 0o700)?;
    if is_mount_point(path)? {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("shm"), path, Some("tmpfs"), flags, Some(SHM_OPTIONS))?;
    Ok(())
}

/// Whether something is mounted there that has a device number of its own.
pub(super) fn is_mount_point(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let parent = path.parent().unwrap_or(path);
    Ok(path.symlink_metadata()?.dev() != parent.symlink_metadata()?.dev())
}

/// Unmounts whatever is mounted at a path; nothing there is no error.
pub(super) fn unmount(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Releases everything but status, logs and data. What is gone already is no error.
pub(super) async fn clean_up(context: &Context) -> Result<(), Failure> {
    kill_strays(context).await?;
    volume::release(&volume_dirs(&context.plan.dirs, &context.dir)).map_err(|e| other("", &e))?;
    if !context.plan.pod.host_ipc {
        unmount(&context.shm()).map_err(|e| other("cannot unmount the pod's /dev/shm", &e))?;
    }
    context.cgroup.remove().await.map_err(|e| other("", &e))?;
    for path in ["instances", "runtime", "files", "shm"]
        .map(|dir| context.dir.file(dir))
        .into_iter()
        .chain([context.pause_root(), context.dir.data.join("instances")])
    {
        remove_tree(&path).map_err(|e| other("cannot remove a directory of the pod", &e))?;
    }
    Ok(())
}

/// Removes a directory of ours with everything below; symbolic links are removed, not followed.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Writes the pod's `/etc/hosts` anew, in place: it is bind-mounted into running containers. Source: the kubelet does so at each
/// container start.
pub(super) fn write_hosts(context: &Context, hands: &Hands) -> Result<(), Failure> {
    let ips = hands
        .sandbox
        .as_ref()
        .map_or(&[][..], |sandbox| &sandbox.pod_ips);
    let plan = &context.plan;
    let others = match plan.pod_names {
        true => network::neighbours(&plan.dirs.state, &plan.pod.namespace),
        false => Vec::new(),
    };
    let text = bundle::hosts_file(&plan.pod, &plan.host, ips, &others);
    rewrite(&hosts(context), &text).map_err(|e| {
        failure(
            FailureReason::CreateContainerError,
            "cannot write the pod's hosts file",
            &e,
        )
    })
}

/// The pod's `/etc/hosts`.
pub(super) fn hosts(context: &Context) -> PathBuf {
    context.dir.file("files").join("hosts")
}

/// Gives a file that others read at any time another text, in place. Until it is cut to its length, what is left of the longer one
/// before is empty lines. Containers may write there, too, as much as they like: no more is read than what could be ours.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true);
    let file = options.truncate(false).open(path)?;
    let (length, wanted) = (file.metadata()?.len(), text.len() as u64);
    let mut now = vec![0; text.len()];
    if length == wanted && file.read_exact_at(&mut now, 0).is_ok() && now == text.as_bytes() {
        return Ok(());
    }
    let mut bytes = text.as_bytes().to_vec();
    if (wanted..=MAX_PADDED_BYTES).contains(&length) {
        bytes.resize(usize::try_from(length).unwrap_or(text.len()), b'\n');
    }
    file.write_all_at(&bytes, 0)?;
    file.set_len(wanted)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_another_text_in_place_whatever_was_written_into_it() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("hosts");
        rewrite(&path, "first\n").expect("made");
        let same = File::open(&path).expect("there");
        let huge = || File::options().write(true).open(&path)?.set_len(1 << 40);
        for (text, before) in [
            ("longer than the first\n", None),
            ("short\n", None),
            ("short\n", Some("other\n")),
            ("", None),
            ("again\n", Some("x")),
        ] {
            if let Some(before) = before {
                std::fs::write(&path, before).expect("a container wrote");
            }
            rewrite(&path, text).expect("written");
            assert_eq!(
                io::read_to_string(File::open(&path).expect("there")).expect("read"),
                text
            );
        }
        // A terabyte of holes is neither read nor filled.
        huge().expect("a container wrote");
        rewrite(&path, "end\n").expect("written");
        assert_eq!(io::read_to_string(same).expect("the same file"), "end\n");
    }
}
