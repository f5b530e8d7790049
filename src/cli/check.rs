//! `check`: what podshim makes of a manifest, field by field, and all that is wrong with it; nothing is changed.

use crate::cli::args::CheckArgs;
use crate::cli::exit::{Code, DONE, Outcome};
use crate::cli::{report, source, table};
use crate::manifest::{self, Finding, Findings, RawPod, Strictness, Verdict};
use serde_json::{Value, json};

pub(super) fn check(args: &CheckArgs) -> Outcome {
    let as_json = table::is_json(&args.output, "table")?;
    let sources = source::read(&args.files.file)?;
    let findings = match source::resolve(&sources, args.files.validate, source::Ids::OfContent) {
        Ok(loaded) => loaded.warnings,
        Err(findings) => findings,
    };
    // The findings have been made: of what can be read at all, every pod gets its table.
    let pods = manifest::read(&sources, Strictness::Ignore, &mut Findings::new()).pods;
    let pods: Vec<(String, Vec<Row>)> = pods.iter().map(|pod| (title(pod), rows(pod))).collect();
    if as_json {
        report::data(format_args!("{:#}", document(&pods, &findings)));
    } else {
        source::tell(&findings);
        print(&pods);
    }
    match (findings.has_errors(), as_json) {
        (false, _) => DONE,
        (true, true) => Ok(Code::Usage as u8),
        (true, false) => Err(source::invalid(&findings)),
    }
}

/// One field that is set: path, verdict, reason.
type Row = (String, &'static str, &'static str);

fn title(pod: &RawPod) -> String {
    let meta = &pod.pod.metadata;
    let name = meta.name.as_ref().or(meta.generate_name.as_ref());
    let namespace = meta.namespace.as_deref().unwrap_or("default");
    format!("{namespace}/{}", name.map_or("", String::as_str))
}

fn rows(pod: &RawPod) -> Vec<Row> {
    let object = serde_json::to_value(&pod.pod).unwrap_or_default();
    let verdicts = manifest::verdicts(&object).into_iter();
    verdicts
        .map(|(path, verdict, reason)| (path, word(verdict), reason))
        .collect()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Supported => "supported",
        Verdict::SupportedLater => "unsupported",
        Verdict::Ignored => "ignored",
        Verdict::Refused => "refused",
    }
}

fn print(pods: &[(String, Vec<Row>)]) {
    let several = pods.len() > 1;
    let mut lines = Vec::new();
    for (pod, rows) in pods {
        for (path, verdict, reason) in rows {
            let mut line = vec![path.clone(), (*verdict).to_owned(), (*reason).to_owned()];
            if several {
                line.insert(0, pod.clone());
            }
            lines.push(line);
        }
    }
    let heading = ["POD", "PATH", "VERDICT", "REASON"];
    if !lines.is_empty() {
        table::print(Some(&heading[usize::from(!several)..]), &lines);
    }
}

fn document(pods: &[(String, Vec<Row>)], findings: &Findings) -> Value {
    let fields = |rows: &[Row]| -> Value {
        let one = |(path, verdict, reason): &Row| json!({ "path": path, "verdict": verdict, "reason": reason });
        rows.iter().map(one).collect()
    };
    let pods: Value = pods
        .iter()
        .map(|(pod, rows)| json!({ "pod": pod, "fields": fields(rows) }))
        .collect();
    let found: Value = findings.iter().map(finding).collect();
    json!({ "valid": !findings.has_errors(), "findings": found, "pods": pods })
}

fn finding(finding: &Finding) -> Value {
    let at = finding.location.as_ref();
    json!({
        "file": at.map(|at| &at.file), "line": at.map(|at| at.line), "column": at.map(|at| at.column),
        "severity": if finding.warning { "warning" } else { "error" },
        "path": finding.path, "message": finding.to_string(), "hint": finding.hint,
    })
}
