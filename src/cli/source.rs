//! Manifests from files, directories and standard input, and what they come to.

use crate::cli::args::{Files, Validate};
use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::report;
use crate::manifest::{self, Findings, LoadOptions, Loaded, Source, Strictness};
use crate::sys;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest input that is read, in bytes; a document may have 1 MiB, a file a few of them.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;

/// The manifest is wrong: every finding is a line of its own on standard error already.
#[derive(Debug, thiserror::Error)]
#[error("{0} in the manifest; nothing was changed")]
struct Invalid(String);

/// Where UIDs and generated names come from when the manifest says none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// The kernel's random bytes: each call gives others.
    Random,
    /// A digest of the input: the same input gives the same ones.
    OfContent,
}

/// Reads and resolves the manifests; prints warnings, or all findings.
pub(super) fn load(files: &Files) -> Result<Loaded, Failed> {
    load_with(files, Ids::Random)
}

/// The same with a choice of identities.
pub(super) fn load_with(files: &Files, ids: Ids) -> Result<Loaded, Failed> {
    match resolve(&read(&files.file)?, files.validate, ids) {
        Ok(loaded) => {
            tell(&loaded.warnings);
            Ok(loaded)
        }
        Err(findings) => {
            tell(&findings);
            Err(invalid(&findings))
        }
    }
}

/// What the inputs come to, or all findings. Should the kernel have no random bytes, a digest serves: a UID that is taken
/// already is refused later.
pub(super) fn resolve(
    sources: &[Source],
    validate: Validate,
    ids: Ids,
) -> Result<Loaded, Findings> {
    let strictness = match validate {
        Validate::Strict => Strictness::Strict,
        Validate::Warn => Strictness::Warn,
        Validate::Ignore => Strictness::Ignore,
    };
    let mut digests = Digests::of(sources);
    let mut random = move || match ids {
        Ids::Random => sys::random().unwrap_or_else(|_| digests.next()),
        Ids::OfContent => digests.next(),
    };
    manifest::load(
        sources,
        LoadOptions {
            strictness,
            random: &mut random,
        },
    )
}

/// Prints findings, each on a line of its own, with what would mend it.
pub(super) fn tell(findings: &Findings) {
    for finding in findings.iter() {
        let word = if finding.warning { "warning" } else { "error" };
        report::say(format_args!("{word}: {}", finding.located()));
        if let Some(hint) = &finding.hint {
            report::say(format_args!("hint: {hint}"));
        }
    }
}

/// The failure that these findings are.
pub(super) fn invalid(findings: &Findings) -> Failed {
    let count = match findings.iter().filter(|f| !f.warning).count() {
        1 => "1 error".to_owned(),
        errors => format!("{errors} errors"),
    };
    Failed::new(Code::Usage, Invalid(count))
}

/// Bytes that follow from the content of the inputs, not from their names.
struct Digests {
    seed: Sha256,
    count: u64,
}

impl Digests {
    fn of(sources: &[Source]) -> Digests {
        let mut seed = Sha256::new();
        for source in sources {
            seed.update((source.text.len() as u64).to_le_bytes());
            seed.update(source.text.as_bytes());
        }
        Digests { seed, count: 0 }
    }

    fn next(&mut self) -> [u8; 16] {
        self.count += 1;
        let digest = self.seed.clone().chain_update(self.count.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    const UNNAMED: &str = "apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\nspec: {containers: [{name: c, image: i}]}\n";

    fn identities(texts: &[&str], ids: Ids) -> Vec<(String, String)> {
        let source = |text: &&str| Source {
            name: "f".to_owned(),
            text: (*text).to_owned(),
        };
        let sources: Vec<_> = texts.iter().map(source).collect();
        let loaded = resolve(&sources, Validate::Strict, ids).expect("good manifests");
        let identity = |pod: manifest::Pod| (pod.uid.0, pod.name);
        loaded.pods.into_iter().map(identity).collect()
    }

    #[test]
    fn identities_of_content_are_the_same_every_time_and_differ_between_pods() {
        let twice = [UNNAMED, UNNAMED];
        let first = identities(&twice, Ids::OfContent);
        assert_eq!(first, identities(&twice, Ids::OfContent));
        assert_ne!(first[0].0, first[1].0);
        assert_ne!(first[0].1, first[1].1);
        let other = UNNAMED.replace("image: i", "image: j");
        assert_ne!(first, identities(&[&other, UNNAMED], Ids::OfContent));
        assert_ne!(
            identities(&twice, Ids::Random),
            identities(&twice, Ids::Random)
        );
    }
}
