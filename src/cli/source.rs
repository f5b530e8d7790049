//! Manifests from files, directories and standard input, and what they come to.

use crate::cli::args::{Files, Validate};
use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::report;
use crate::manifest::{self, LoadOptions, Loaded, Source, Strictness};
use crate::sys;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest input that is read, in bytes; a document may have 1 MiB, a file a few of them.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;

/// The manifest is wrong: every finding is a line of its own on standard error already.
#[derive(Debug, thiserror::Error)]
#[error("{0} in the manifest; nothing was changed")]
struct Invalid(String);

/// Reads and resolves the manifests; prints warnings, or all findings.
pub(super) fn load(files: &Files) -> Result<Loaded, Failed> {
    let sources = read(&files.file)?;
    let strictness = match files.validate {
        Validate::Strict => Strictness::Strict,
        Validate::Warn => Strictness::Warn,
        Validate::Ignore => Strictness::Ignore,
    };
    let first: [u8; 16] = sys::random().map_err(cannot("get random bytes"))?;
    let mut next = Some(first);
    let mut random = move || next.take().or_else(|| sys::random().ok()).unwrap_or(first);
    match manifest::load(
        &sources,
        LoadOptions {
            strictness,
            random: &mut random,
        },
    ) {
        Ok(loaded) => {
            for finding in loaded.warnings.iter() {
                report::warn(finding.located());
            }
            Ok(loaded)
        }
        Err(findings) => {
            for finding in findings.iter() {
                let word = if finding.warning { "warning" } else { "error" };
                eprintln!("{word}: {}", finding.located());
                if let Some(hint) = &finding.hint {
                    eprintln!("hint: {hint}");
                }
            }
            let errors = findings.iter().filter(|f| !f.warning).count();
            let count = if errors == 1 {
                "1 error".to_owned()
            } else {
                format!("{errors} errors")
            };
            Err(Failed::new(Code::Usage, Invalid(count)))
        }
    }
}

/// Reads all inputs; of a directory its `.yaml`, `.yml` and `.json` files in order of name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Failed> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            for file in manifests_of(path)? {
                sources.push(read_one(&file)?);
            }
        } else {
            sources.push(read_one(path)?);
        }
    }
    Ok(sources)
}

fn manifests_of(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let fail = |e| {
        Failed::new(
            Code::Usage,
            cannot(format!("read directory `{}`", dir.display()))(e),
        )
    };
    let mut files = Vec::new();
    for entry in dir.read_dir().map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let is_manifest = path
            .extension()
            .is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
        if is_manifest && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_one(path: &Path) -> Result<Source, Failed> {
    let fail = |e| Failed::new(Code::Usage, cannot(format!("read `{}`", path.display()))(e));
    let mut bytes = Vec::new();
    let limit = MAX_INPUT_BYTES + 1;
    if path == Path::new("-") {
        std::io::stdin()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
    } else {
        let file = std::fs::File::open(path).map_err(fail)?;
        file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    }
    if bytes.len() as u64 >= limit {
        let message = format!(
            "`{}` is larger than {} MiB",
            path.display(),
            MAX_INPUT_BYTES / 1024 / 1024
        );
        return Err(Failed::new(Code::Usage, message));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        Failed::new(
            Code::Usage,
            cannot(format!("read `{}` as UTF-8", path.display()))(e),
        )
    })?;
    Ok(Source {
        name: path.display().to_string(),
        text,
    })
}
