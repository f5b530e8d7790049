//! Cgroups of this machine, for real: needs root and writable cgroups. Each hierarchy kind that is mounted is tried.

use crate::base::InstanceId;
use crate::runtime::cgroup::v1;
use crate::runtime::{Layout, Mode, PodCgroup, PodCgroupValues};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// What is mounted, the two kinds apart.
fn layouts() -> Vec<Layout> {
    let Layout { v1, v2 } = Layout::detect().expect("cgroups");
    let v1 = Layout { v1, v2: None };
    let v2 = Layout { v1: Vec::new(), v2 };
    let mounted = [v1, v2]
        .into_iter()
        .filter(|layout| layout.mounts().count() > 0);
    let mounted: Vec<_> = mounted.collect();
    assert!(!mounted.is_empty());
    mounted
}

/// A name that no other run has.
fn unique() -> String {
    let dir = tempfile::tempdir().expect("temporary directory");
    let name = dir.path().file_name().and_then(|name| name.to_str());
    let name = name.expect("a name").trim_start_matches('.');
    format!("podshim-unit-{name}")
}

fn sleeper(directories: &[PathBuf]) -> Child {
    let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
    for directory in directories {
        std::fs::write(directory.join("cgroup.procs"), child.id().to_string()).expect("moved");
    }
    child
}

/// A container's cgroup in every hierarchy, with one below it, and a process in each.
fn inhabited(pod: &PodCgroup, id: &InstanceId) -> Vec<Child> {
    let outer = pod.relative(Some(id)).expect("a plain name");
    let inner = outer.join("inner");
    for mount in pod.layout.mounts() {
        pod.make(&mount.join(&inner)).expect("made");
        v1::prepare(&pod.layout, mount, &inner).expect("usable");
    }
    [outer, inner]
        .map(|path| sleeper(&pod.directories(&path)))
        .into()
}

#[tokio::test]
async fn every_process_of_a_container_is_killed_and_every_directory_removed() {
    let id = InstanceId("web-1".into());
    for layout in layouts() {
        let name = unique();
        let pod = PodCgroup::at(layout, &format!("/{name}/burstable/pod1")).expect("plain");
        let children = inhabited(&pod, &id);
        assert_eq!(pod.pids(&id).expect("pids").len(), 2);
        assert_eq!(pod.remove_if_empty(&id).ok(), Some(false));
        assert_eq!(pod.pids(&id).expect("pids").len(), 2);
        pod.kill_all(&id).await.expect("killed");
        assert_eq!(pod.pids(&id).expect("pids"), [0; 0]);
        for mut child in children {
            assert_eq!(child.wait().expect("a child").signal(), Some(9));
        }
        assert_eq!(pod.remove_if_empty(&id).ok(), Some(false), "one is below");
        pod.remove_container(&id).await.expect("removed");
        assert_eq!(pod.remove_if_empty(&id).ok(), Some(true));
        pod.remove().await.expect("removed");
        for mount in pod.layout.mounts() {
            assert!(!mount.join(&name).exists(), "{}", mount.display());
        }
    }
}

#[tokio::test]
async fn without_cgroup_kill_everything_is_frozen_killed_and_thawed() {
    let id = InstanceId("web-1".into());
    for layout in layouts() {
        let pod = PodCgroup::at(layout, &format!("/{}/pod1", unique())).expect("plain");
        let children = inhabited(&pod, &id);
        pod.kill_frozen(&pod.relative(Some(&id)).expect("plain"));
        for mut child in children {
            assert_eq!(child.wait().expect("a child").signal(), Some(9));
        }
        pod.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn a_cgroup_in_use_is_not_removed_and_its_processes_are_named() {
    let id = InstanceId("web-1".into());
    let layout = layouts().remove(0);
    let pod = PodCgroup::at(layout, &format!("/{}/pod1", unique())).expect("plain");
    let children = inhabited(&pod, &id);
    let error = pod.remove_container(&id).await.expect_err("in use");
    let said = error.to_string();
    assert!(
        said.contains(&format!("{} (sleep, S)", children[0].id())),
        "{said}"
    );
    pod.kill_all(&id).await.expect("killed");
    for mut child in children {
        child.wait().expect("a child");
    }
    pod.remove().await.expect("removed");
}

#[tokio::test]
async fn the_burstable_parent_weighs_what_its_pods_weigh() {
    let layout = Layout::detect().expect("cgroups");
    let (file, weights) = match layout.mode() {
        Mode::V1 | Mode::Hybrid => ("cpu.shares", ["356", "256"]),
        Mode::V2 => ("cpu.weight", ["52", "35"]),
    };
    let name = unique();
    let at = |pod: &str| PodCgroup::at(layout.clone(), &format!("/{name}/{pod}")).expect("plain");
    let shares = |shares| PodCgroupValues {
        cpu_shares: Some(shares),
        ..PodCgroupValues::default()
    };
    let (first, second, poor) = (at("burstable/a"), at("burstable/b"), at("besteffort/c"));
    assert_eq!(first.create(&shares(256)).expect("made"), [""; 0]);
    second.create(&shares(100)).expect("made");
    poor.create(&shares(2)).expect("made");
    let weight = |parent: &str| {
        let directory = first.directory_below("cpu", Path::new(&format!("{name}/{parent}")));
        let text = std::fs::read_to_string(directory.expect("cpu").join(file)).expect("weight");
        text.trim().to_owned()
    };
    assert_eq!(weight("burstable"), weights[0]);
    second.remove().await.expect("removed");
    assert_eq!(weight("burstable"), weights[1]);
    assert!(["1", "2"].contains(&weight("besteffort").as_str()));
    first.remove().await.expect("removed");
    poor.remove().await.expect("removed");
    for mount in layout.mounts() {
        assert!(!mount.join(&name).exists(), "{}", mount.display());
    }
}

#[tokio::test]
async fn a_limit_without_its_controller_is_reported_and_the_rest_holds() {
    let mut layout = Layout::detect().expect("cgroups");
    let hierarchies = layout.v1.iter_mut().chain(&mut layout.v2);
    for hierarchy in hierarchies {
        hierarchy.controllers.retain(|name| name != "memory");
    }
    let pod = PodCgroup::at(layout, &format!("/{}/pod1", unique())).expect("plain");
    let values = PodCgroupValues {
        memory_limit: Some(1 << 30),
        pids_limit: Some(77),
        ..PodCgroupValues::default()
    };
    assert_eq!(pod.create(&values).expect("made"), ["memory"]);
    let path = pod.relative(None).expect("plain");
    let pids = pod.directory_below("pids", &path).expect("pids");
    let max = std::fs::read_to_string(pids.join("pids.max")).expect("pids.max");
    assert_eq!(max.trim(), "77");
    pod.remove().await.expect("removed");
    pod.write(&values).expect_err("it is gone");
}

#[test]
fn a_path_that_could_leave_the_hierarchy_is_no_cgroup() {
    let layout = Layout::detect().expect("cgroups");
    for bad in ["", "/", "/a//b", "/../x", "/a/../b", "/-x/pod1", "/a/ b"] {
        assert!(PodCgroup::at(layout.clone(), bad).is_err(), "{bad}");
    }
    let pod = PodCgroup::at(layout, "/podshim/pod1").expect("plain");
    for bad in ["..", "a/b", ""] {
        assert!(pod.pids(&InstanceId(bad.into())).is_err(), "{bad}");
    }
}
