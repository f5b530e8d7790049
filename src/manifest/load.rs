//! The way in: texts → everything that a command needs to know of them.

use crate::base::PodUid;
use crate::manifest::claims;
use crate::manifest::documents::{self, Documents, RawPod, Source};
use crate::manifest::resolve::{ResolveContext, resolve};
use crate::manifest::{ConfigObject, FindingKind, Findings, Pod, locate};
use k8s_openapi::api::core::v1 as core;

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
    load_with(sources, options, resolve)
}

/// How a decoded pod becomes one that can run.
trait Resolve: Fn(core::Pod, &ResolveContext, &mut Findings) -> Option<Pod> {}

impl<F: Fn(core::Pod, &ResolveContext, &mut Findings) -> Option<Pod>> Resolve for F {}

fn load_with(
    sources: &[Source],
    options: LoadOptions<'_>,
    resolve: impl Resolve,
) -> Result<Loaded, Findings> {
    let mut findings = Findings::new();
    let Documents {
        pods,
        objects,
        claims,
    } = documents::read(sources, options.strictness, &mut findings);
    let pods = pods
        .into_iter()
        .filter_map(|raw| {
            let context = ResolveContext {
                uid: PodUid::from_random((options.random)()),
                name_suffix: name_suffix((options.random)()),
            };
            let mut pod = pod(raw, &context, &resolve, &mut findings)?;
            claims::apply(&claims, &mut pod);
            Some(pod)
        })
        .collect();
    findings.sort(sources.iter().map(|source| source.name.as_str()));
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
fn pod(
    raw: RawPod,
    context: &ResolveContext,
    resolve: &impl Resolve,
    findings: &mut Findings,
) -> Option<Pod> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn source(text: &str) -> Source {
        Source {
            name: "f".to_owned(),
            text: text.to_owned(),
        }
    }

    fn run(text: &str, resolve: impl Resolve) -> Result<Loaded, Findings> {
        let mut count = 0;
        let mut random = || {
            count += 1;
            [count; 16]
        };
        let options = LoadOptions {
            strictness: Strictness::Strict,
            random: &mut random,
        };
        load_with(&[source(text)], options, resolve)
    }

    const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{image: 5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {containers: [{image: x}]}
";

    #[test]
    fn findings_of_all_stages_come_in_the_order_of_the_input() {
        let findings = run(PODS, |_, _, findings| {
            findings.required("spec.containers[0].image");
            findings.required("spec.containers[0].name");
            None
        });
        assert_eq!(
            findings.expect_err("errors").to_string(),
            "f:4:21: spec.containers[0].name: Required value\n\
             f:4:29: spec.containers[0].image: Invalid value: 5: must be a string, got integer (quote it)\n\
             f:9:21: spec.containers[0].name: Required value\n\
             f:9:29: spec.containers[0].image: Required value"
        );
    }

    #[test]
    fn each_pod_gets_its_own_uid_and_suffix() {
        let contexts = RefCell::new(Vec::new());
        let text = PODS.replace("image: 5", "image: y.z");
        let loaded = run(&text, |_, context, _| {
            let name = context.name_suffix.clone();
            contexts.borrow_mut().push((context.uid.0.clone(), name));
            None
        });
        assert!(loaded.is_ok());
        let contexts = contexts.into_inner();
        assert_eq!(contexts[0].0, "01010101-0101-4101-8101-010101010101");
        assert_eq!(
            (contexts[0].1.as_str(), contexts[1].1.as_str()),
            ("ddddd", "ggggg")
        );
        assert_ne!(contexts[0].0, contexts[1].0);
    }

    #[test]
    fn warnings_alone_are_no_error() {
        let text = PODS.replace("image: 5", "image: y.z") + "---\napiVersion: v1\nkind: Node\n";
        let loaded = run(&text, |_, _, findings| {
            findings.warn("spec.containers", "is odd");
            None
        });
        let warnings = loaded.expect("no error").warnings.to_string();
        assert_eq!(
            warnings,
            "f:4:8: spec.containers: is odd\nf:9:8: spec.containers: is odd\n\
             f:11:1: Node is skipped, podshim runs pods"
        );
    }
}
