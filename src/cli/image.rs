//! `image`: what is in the local store.

use crate::cli::args::ImageVerb;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::progress::{Shown, size};
use crate::cli::settings::Settings;
use crate::cli::{report, table};
use crate::image::{self, ImageError, InUse, Prune, Pull, Times};
use crate::manifest::{PullPolicy, VolumeSource};
use crate::supervisor::list_pods;
use serde_json::json;
use std::time::Duration;

/// Most seconds that `--patience` may be.
const PATIENCE_SECONDS: u64 = 3600;
/// Most seconds that `--retry-wait` may be: each further wait is twice as long.
const RETRY_SECONDS: f64 = 60.0;

pub(super) fn image(settings: &Settings, verb: &ImageVerb) -> Outcome {
    match verb {
        ImageVerb::Pull {
            images,
            policy,
            patience,
            retry_wait,
            quiet,
        } => pull(settings, images, policy, (*patience, *retry_wait), *quiet),
        ImageVerb::Load { source, name } => load(settings, source, name.as_deref()),
        ImageVerb::Ls { output } => list(settings, output),
        ImageVerb::Rm { images } => remove(settings, images),
        ImageVerb::Inspect { images } => inspect(settings, images),
        ImageVerb::Save { target, images } => {
            image::save(&settings.dirs.data, images, target).map_err(failed)?;
            DONE
        }
        ImageVerb::Prune { all } => prune(settings, *all),
    }
}

/// Pulls each image and prints its name with the digest that the registry has for it.
fn pull(
    settings: &Settings,
    names: &[String],
    policy: &str,
    (patience, retry_wait): (u64, f64),
    quiet: bool,
) -> Outcome {
    let policy = match policy {
        "Always" => PullPolicy::Always,
        "IfNotPresent" => PullPolicy::IfNotPresent,
        other => {
            let message = format!("unknown pull policy `{other}`");
            return Err(Failed::new(Code::Usage, message).hint("Always or IfNotPresent"));
        }
    };
    if !(1..=PATIENCE_SECONDS).contains(&patience) {
        let message = format!("the patience is between 1 and {PATIENCE_SECONDS} seconds");
        return Err(Failed::new(Code::Usage, message));
    }
    if !(0.0..=RETRY_SECONDS).contains(&retry_wait) {
        let message = format!("the wait before a retry is between 0 and {RETRY_SECONDS} seconds");
        return Err(Failed::new(Code::Usage, message));
    }
    let times = Times {
        patience: Duration::from_secs(patience),
        first_wait: Duration::from_secs_f64(retry_wait),
    };
    each(names, |name| {
        let shown = Shown::new(name, quiet);
        let how = Pull {
            times,
            progress: &|progress| shown.tell(progress),
            ..Pull::default()
        };
        let image = image::ensure(&settings.dirs.data, name, policy, &how);
        shown.end();
        let image = image.map_err(failed)?;
        report::data(format_args!("{}", image.id));
        Ok(())
    })
}

/// An error with its code and hint.
fn failed(error: ImageError) -> Failed {
    let hint = error.hint();
    Failed {
        hint,
        ..Failed::new(failed_code(&error), error)
    }
}

fn failed_code(error: &ImageError) -> Code {
    match error {
        ImageError::Absent(_) => Code::NotFound,
        ImageError::InUse(_) => Code::Conflict,
        ImageError::Reference { .. } => Code::Usage,
        _ => Code::Failed,
    }
}

/// Does something for each image; what fails does not keep the others from it.
fn each(names: &[String], mut act: impl FnMut(&str) -> Result<(), Failed>) -> Outcome {
    let failures = names.iter().filter_map(|name| act(name).err());
    let mut failures: Vec<Failed> = failures.collect();
    match failures.len() {
        0 => DONE,
        1 if names.len() == 1 => Err(failures.remove(0)),
        count => {
            failures.iter().for_each(|failed| {
                report::print(failed, false);
            });
            Ok(match count == names.len() {
                true => failures[0].code,
                false => Code::Partly,
            } as u8)
        }
    }
}

fn load(settings: &Settings, source: &str, name: Option<&str>) -> Outcome {
    let fail = |error: ImageError| Failed {
        code: failed_code(&error),
        ..Failed::from(cannot(format!("load `{source}`"))(error))
    };
    let loaded = image::load(&settings.dirs.data, source, name).map_err(fail)?;
    for name in loaded {
        report::data(format_args!("{name}"));
    }
    DONE
}

fn list(settings: &Settings, output: &str) -> Outcome {
    let records = image::list(&settings.dirs.data)?;
    match output {
        "json" => report::data(format_args!("{:#}", json!(records))),
        "table" => {
            let rows: Vec<_> = records
                .iter()
                .map(|record| {
                    let id = record.id.strip_prefix("sha256:").unwrap_or(&record.id);
                    vec![
                        record.reference.clone(),
                        id.get(..12).unwrap_or(id).to_owned(),
                        record.layers.len().to_string(),
                        size(record.size_bytes),
                    ]
                })
                .collect();
            table::print(Some(&["IMAGE", "ID", "LAYERS", "SIZE"]), &rows);
        }
        other => {
            return Err(
                Failed::new(Code::Usage, format!("unknown output format `{other}`"))
                    .hint("table or json"),
            );
        }
    }
    DONE
}

fn inspect(settings: &Settings, names: &[String]) -> Outcome {
    each(names, |name| {
        let value = image::describe(&settings.dirs.data, name).map_err(failed)?;
        report::data(format_args!("{value:#}"));
        Ok(())
    })
}

/// What the pods that exist use: what their manifests name, and what they have resolved.
fn in_use(settings: &Settings) -> InUse {
    let mut in_use = InUse::default();
    let (pods, unreadable) = list_pods(&settings.dirs);
    for (uid, error) in unreadable {
        report::say(format_args!(
            "warning: pod {uid} cannot be read ({error}): every image counts as used"
        ));
        in_use.is_unknown = true;
    }
    for pod in pods {
        let containers = pod.plan.pod.containers.into_iter();
        in_use
            .references
            .extend(containers.map(|container| container.image));
        for volume in pod.plan.pod.volumes {
            if let VolumeSource::Image { reference, .. } = volume.source {
                in_use.references.push(reference);
            }
        }
        let images = pod
            .snapshot
            .map(|snapshot| snapshot.hands.images.into_values());
        in_use
            .layers
            .extend(images.into_iter().flatten().flat_map(|image| image.layers));
    }
    in_use
}

fn tell_wait(settings: &Settings) {
    if image::is_busy(&settings.dirs.data) {
        report::say("waiting until the images that are being brought now are here");
    }
}

fn remove(settings: &Settings, names: &[String]) -> Outcome {
    tell_wait(settings);
    each(names, |name| {
        image::remove(&settings.dirs.data, name, || in_use(settings)).map_err(failed)?;
        report::data(format_args!("{name} removed"));
        Ok(())
    })
}

fn prune(settings: &Settings, all: bool) -> Outcome {
    tell_wait(settings);
    let what = if all { Prune::Unused } else { Prune::Remains };
    for name in image::prune(&settings.dirs.data, what, || in_use(settings)).map_err(failed)? {
        report::data(format_args!("{name} removed"));
    }
    DONE
}
