//! Which user and groups a container runs as. Source: kubelet `verifyRunAsNonRoot`, CRI `RunAsUser`, containerd `oci.WithUser`.

use crate::bundle::{BundleError, ContainerInput, NonRootRule};
use crate::manifest::PodSecurity;
use oci_spec::runtime::User;
use std::collections::BTreeSet;

/// One line of `etc/passwd`.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

/// `process.user`. Errors: `runAsNonRoot` is broken, or the image's user name is unknown.
pub(crate) fn user(input: &ContainerInput) -> Result<User, BundleError> {
    let (own, pod) = (&input.container.security, &input.pod.security);
    check_non_root(input)?;
    let passwd = input.users.passwd.as_deref().unwrap_or_default();
    let image_user = image_user(input);
    let account = match own.run_as_user.or(pod.run_as_user) {
        Some(uid) => by_uid(passwd, uid),
        None if image_user.is_empty() => by_uid(passwd, 0),
        None => match image_user.parse() {
            Ok(uid) => by_uid(passwd, uid),
            Err(_) => accounts(passwd)
                .find(|a| a.name == image_user)
                .ok_or_else(|| BundleError::UnknownUser(image_user.to_owned()))?,
        },
    };
    let gid = own.run_as_group.or(pod.run_as_group).unwrap_or(account.gid);
    let mut groups = pod_groups(pod, gid);
    if !pod.supplemental_groups_strict {
        let group = input.users.group.as_deref().unwrap_or_default();
        groups.extend(groups_listing(group, account.name));
    }
    Ok(as_oci(account.uid, gid, groups))
}

/// The user of pause, which has no image: what the pod says, else root.
pub(crate) fn pause_user(pod: &PodSecurity) -> User {
    let gid = pod.run_as_group.unwrap_or(0);
    as_oci(pod.run_as_user.unwrap_or(0), gid, pod_groups(pod, gid))
}

/// The primary group and those that the pod adds.
fn pod_groups(pod: &PodSecurity, gid: u32) -> BTreeSet<u32> {
    let mut groups: BTreeSet<u32> = pod.supplemental_groups.iter().copied().collect();
    groups.insert(gid);
    groups.extend(pod.fs_group);
    groups
}

fn as_oci(uid: u32, gid: u32, groups: BTreeSet<u32>) -> User {
    let mut user = User::default();
    user.set_uid(uid)
        .set_gid(gid)
        .set_additional_gids(Some(groups.into_iter().collect()));
    user
}

fn check_non_root(input: &ContainerInput) -> Result<(), BundleError> {
    let (own, pod) = (&input.container.security, &input.pod.security);
    if own.run_as_non_root.or(pod.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let image_user = image_user(input);
    let rule = match own.run_as_user.or(pod.run_as_user) {
        Some(0) => NonRootRule::RunAsUser,
        Some(_) => return Ok(()),
        None if image_user.is_empty() => NonRootRule::ImageRoot,
        None => match image_user.parse::<u32>() {
            Ok(0) => NonRootRule::ImageRoot,
            Ok(_) => return Ok(()),
            Err(_) => NonRootRule::ImageName(image_user.to_owned()),
        },
    };
    Err(BundleError::NonRoot {
        rule,
        pod: format!(
            "{}_{}({})",
            input.pod.name, input.pod.namespace, input.pod.uid
        ),
        container: input.container.name.clone(),
    })
}

/// The image's user; its `:group` part is not used, as in Kubernetes.
fn image_user<'a>(input: &ContainerInput<'a>) -> &'a str {
    let user = &input.image.user;
    user.split_once(':').map_or(user.as_str(), |(name, _)| name)
}

/// The account of this uid; one that no line describes has no name and the root group.
fn by_uid(passwd: &str, uid: u32) -> Account<'_> {
    accounts(passwd).find(|a| a.uid == uid).unwrap_or(Account {
        name: "",
        uid,
        gid: 0,
    })
}

/// The lines of a passwd file that read.
fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.trim();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid })
    })
}

/// Groups that list the user, but for the one of its own name.
fn groups_listing<'a>(group: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    group.lines().filter_map(move |line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        let lists = fields.next()?.split(',').any(|m| m.trim() == user);
        (lists && name != user && !user.is_empty()).then_some(gid)
    })
}
