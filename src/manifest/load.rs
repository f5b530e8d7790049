//! The way in: texts → everything that a command needs to know of them.

use crate::base::PodUid;
use crate::manifest::documents::{self, Documents, RawPod, Source};
use crate::manifest::resolve::{ResolveContext, resolve};
use crate::manifest::{ConfigObject, FindingKind, Findings, Pod, locate};

/// What happens to unknown fields and duplicate keys. Source: `kubectl --validate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// They are errors.
    #[default]
    Strict,
    /// They are warnings; of a duplicate key the last value counts.
    Warn,
    /// Nothing is said.
    Ignore,
}

impl Strictness {
    /// Whether they are warnings; `None` when nothing is said.
    pub(super) fn warning(self) -> Option<bool> {
        match self {
            Strictness::Strict => Some(false),
            Strictness::Warn => Some(true),
            Strictness::Ignore => None,
        }
    }
}

/// What the caller decides and provides.
pub struct LoadOptions<'a> {
    /// What happens to unknown fields and duplicate keys.
    pub strictness: Strictness,
    /// Random bytes for UIDs and generated names: this layer has none.
    pub random: &'a mut dyn FnMut() -> [u8; 16],
}

/// What the input holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The pods, in the order of the input.
    pub pods: Vec<Pod>,
    /// The ConfigMaps and Secrets, in the order of the input.
    pub objects: Vec<ConfigObject>,
    /// What the user should know, in the order of the input.
    pub warnings: Findings,
}

/// Reads the inputs. Errors: all findings of all inputs in their order, warnings included, as soon as one is an error.
pub fn load(sources: &[Source], options: LoadOptions<'_>) -> Result<Loaded, Findings> {
    let mut findings = Findings::new();
    let Documents { pods, objects } = documents::read(sources, options.strictness, &mut findings);
    let pods = pods
        .into_iter()
        .filter_map(|raw| {
            let context = ResolveContext {
                uid: PodUid::from_random((options.random)()),
                name_suffix: name_suffix((options.random)()),
            };
            pod(raw, &context, &mut findings)
        })
        .collect();
    findings.sort();
    if findings.has_errors() {
        return Err(findings);
    }
    Ok(Loaded {
        pods,
        objects,
        warnings: findings,
    })
}

/// Resolves one pod. What is only wrong because a value of a wrong type was left out is not told again.
fn pod(raw: RawPod, context: &ResolveContext, findings: &mut Findings) -> Option<Pod> {
    let mut found = Findings::new();
    let pod = resolve(raw.pod, context, &mut found);
    found.locate(|path| locate(&raw.node, path));
    let follows = |path: &str| {
        raw.refused.iter().any(|refused| {
            path.strip_prefix(refused.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    findings.extend(found.into_iter().filter(|finding| !follows(&finding.path)));
    pod
}

/// Five characters that look like no word. Source: `apimachinery` util/rand.
fn name_suffix(random: [u8; 16]) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    random.iter().take(5).map(letter).collect()
}

/// Paths of the values that were refused for their type.
pub(super) fn refused(findings: &Findings) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| matches!(finding.kind, FindingKind::Invalid(_)))
        .map(|finding| finding.path.clone())
        .collect()
}
