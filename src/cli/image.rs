//! `image`: what is in the local store.

use crate::cli::args::ImageVerb;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{report, table};
use crate::image::{self, ImageError};
use crate::supervisor::list_pods;
use serde_json::json;
use std::path::PathBuf;

pub(super) fn image(settings: &Settings, verb: &ImageVerb) -> Outcome {
    match verb {
        ImageVerb::Load { source, name } => load(settings, source, name.as_deref()),
        ImageVerb::Ls { output } => list(settings, output),
        ImageVerb::Rm { images } => remove(settings, images),
    }
}

fn load(settings: &Settings, source: &str, name: Option<&str>) -> Outcome {
    let loaded = image::load(&settings.dirs.data, source, name)
        .map_err(cannot(format!("load `{source}`")))?;
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
                    ]
                })
                .collect();
            table::print(Some(&["IMAGE", "ID", "LAYERS"]), &rows);
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

fn remove(settings: &Settings, names: &[String]) -> Outcome {
    let in_use: Vec<PathBuf> = list_pods(&settings.dirs)
        .0
        .into_iter()
        .filter_map(|pod| pod.snapshot)
        .flat_map(|snapshot| {
            snapshot
                .hands
                .images
                .into_values()
                .flat_map(|image| image.layers)
        })
        .collect();
    let mut failures = Vec::new();
    for name in names {
        match image::remove(&settings.dirs.data, name, &in_use) {
            Ok(()) => report::data(format_args!("{name} removed")),
            Err(error) => {
                let code = match &error {
                    ImageError::Absent(_) => Code::NotFound,
                    ImageError::InUse(_) => Code::Conflict,
                    _ => Code::Failed,
                };
                failures.push(Failed::new(code, error));
            }
        }
    }
    match failures.len() {
        0 => DONE,
        n if n == names.len() && n == 1 => Err(failures.remove(0)),
        n => {
            failures.iter().for_each(|failed| {
                report::print(failed, false);
            });
            Ok(if n == names.len() {
                failures[0].code
            } else {
                Code::Partly
            } as u8)
        }
    }
}
