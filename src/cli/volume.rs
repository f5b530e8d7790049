//! `volume`: named volumes, which outlive pods until they are removed here.

use crate::cli::args::VolumeVerb;
use crate::cli::exit::{Code, DONE, Failed, Outcome};
use crate::cli::settings::Settings;
use crate::cli::{report, table};
use crate::manifest::VolumeSource;
use crate::supervisor::{PodRecord, list_pods};
use crate::volume::{Claims, Record};
use serde_json::{Value, json};

pub(super) fn volume(settings: &Settings, verb: &VolumeVerb) -> Outcome {
    match verb {
        VolumeVerb::Ls {
            output,
            all_namespaces,
        } => list(settings, output, *all_namespaces),
        VolumeVerb::Inspect { volumes } => inspect(settings, volumes),
        VolumeVerb::Rm { volumes } => remove(settings, volumes),
        VolumeVerb::Prune { all_namespaces } => prune(settings, *all_namespaces),
    }
}

/// The claims, and the pods that there are. In this order: a pod that is made later waits for the lock before it uses a claim.
struct Store {
    claims: Claims,
    pods: Vec<PodRecord>,
}

impl Store {
    fn open(settings: &Settings) -> Result<Store, Failed> {
        let claims = Claims::open(&settings.dirs.claims())?;
        let (pods, broken) = list_pods(&settings.dirs);
        if let Some((uid, error)) = broken.first() {
            // It may use any claim.
            let message = format!("cannot tell which volumes pod `{uid}` uses: {error}");
            return Err(Failed::new(Code::Failed, message).hint("`podshim doctor` looks at it"));
        }
        Ok(Store { claims, pods })
    }

    fn all(&self, settings: &Settings, all_namespaces: bool) -> Result<Vec<Record>, Failed> {
        let mut all = self.claims.list()?;
        all.retain(|claim| all_namespaces || claim.namespace == settings.namespace);
        Ok(all)
    }

    /// The claim that `[namespace/]name` means.
    fn find(&self, settings: &Settings, text: &str) -> Result<Record, Failed> {
        let (namespace, name) = text
            .split_once('/')
            .unwrap_or((settings.namespace.as_str(), text));
        // What is no name of a claim leads nowhere in its directory.
        let is_name = |part: &str| !part.contains(['/', '_']) && !part.starts_with('.');
        let found = match is_name(namespace) && is_name(name) {
            true => self.claims.find(namespace, name)?,
            false => None,
        };
        found.ok_or_else(|| {
            Failed::new(Code::NotFound, format!("volume `{text}` not found"))
                .hint("`podshim volume ls -A` lists all volumes")
        })
    }

    /// Pods that name the claim, whether they run or have ended.
    fn users(&self, claim: &Record) -> Vec<&str> {
        let names = |pod: &&PodRecord| {
            let mut volumes = pod.plan.pod.volumes.iter();
            pod.plan.pod.namespace == claim.namespace
                && volumes.any(|volume| {
                    matches!(&volume.source, VolumeSource::Claim(used) if used.claim == claim.name)
                })
        };
        let users = self.pods.iter().filter(names);
        users.map(|pod| pod.plan.pod.name.as_str()).collect()
    }

    fn remove(&self, claim: &Record) -> Result<(), Failed> {
        let users = self.users(claim);
        if let Some(first) = users.first() {
            let message = format!(
                "volume `{}` is used by pod `{}`",
                claim.name,
                users.join("`, `")
            );
            let hint = format!(
                "delete it first: `podshim delete -n {} {first}`",
                claim.namespace
            );
            return Err(Failed::new(Code::Conflict, message).hint(hint));
        }
        Ok(self.claims.remove(claim)?)
    }

    fn shown(&self, claim: &Record) -> Value {
        json!({
            "namespace": claim.namespace,
            "name": claim.name,
            "created": claim.created,
            "path": self.claims.data(claim),
            "options": claim.options,
            "usedBy": self.users(claim),
        })
    }
}

fn list(settings: &Settings, output: &str, all_namespaces: bool) -> Outcome {
    let store = Store::open(settings)?;
    let claims = store.all(settings, all_namespaces)?;
    match output {
        "json" => {
            let shown: Value = claims.iter().map(|claim| store.shown(claim)).collect();
            report::data(format_args!("{shown:#}"));
        }
        "table" => {
            let row = |claim: &Record| {
                let users = store.users(claim).join(",");
                let used = if users.is_empty() {
                    "-".to_owned()
                } else {
                    users
                };
                vec![claim.namespace.clone(), claim.name.clone(), used]
            };
            let rows: Vec<_> = claims.iter().map(row).collect();
            table::print(Some(&["NAMESPACE", "VOLUME", "USED BY"]), &rows);
        }
        other => {
            let message = format!("unknown output format `{other}`");
            return Err(Failed::new(Code::Usage, message).hint("table or json"));
        }
    }
    DONE
}

fn inspect(settings: &Settings, names: &[String]) -> Outcome {
    let store = Store::open(settings)?;
    let mut shown = Vec::new();
    for name in names {
        shown.push(store.shown(&store.find(settings, name)?));
    }
    report::data(format_args!("{:#}", Value::from(shown)));
    DONE
}

fn remove(settings: &Settings, names: &[String]) -> Outcome {
    let store = Store::open(settings)?;
    report::each(names, |name| {
        store.remove(&store.find(settings, name)?)?;
        report::data(format_args!("{name} removed"));
        Ok(())
    })
}

fn prune(settings: &Settings, all_namespaces: bool) -> Outcome {
    let store = Store::open(settings)?;
    let mut unused = store.all(settings, all_namespaces)?;
    unused.retain(|claim| store.users(claim).is_empty());
    report::each(&unused, |claim| {
        store.remove(claim)?;
        report::data(format_args!("{}/{} removed", claim.namespace, claim.name));
        Ok(())
    })
}

/// Removes the claims of pods that have been deleted, as far as no other pod uses them.
pub(super) fn remove_of(settings: &Settings, deleted: &[PodRecord]) -> Outcome {
    let store = Store::open(settings)?;
    let mut claims = Vec::new();
    for pod in deleted.iter().map(|pod| &pod.plan.pod) {
        for volume in &pod.volumes {
            if let VolumeSource::Claim(used) = &volume.source {
                claims.extend(store.claims.find(&pod.namespace, &used.claim)?);
            }
        }
    }
    claims.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    claims.dedup();
    claims.retain(|claim| store.users(claim).is_empty());
    report::each(&claims, |claim| {
        store.remove(claim)?;
        report::data(format_args!("volume/{} deleted", claim.name));
        Ok(())
    })
}
