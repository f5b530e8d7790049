//! `run --timings`: what the start of a pod spent its time with, from the command to its last container, as its journal tells.

use crate::base::Mono;
use crate::cli::exit::{Failed, cannot};
use crate::cli::table;
use crate::pod::{Span, Timings, replay};
use crate::store::read_journal;
use crate::supervisor::PodRecord;

/// Writes a table to standard error; `command` is when the command began.
pub(super) fn tell(pod: &PodRecord, command: Mono) -> Result<(), Failed> {
    let name = &pod.plan.pod.name;
    let journal = read_journal(&pod.dir).map_err(cannot("read the journal"))?;
    let journal = journal.ok_or_else(|| cannot(format!("time pod `{name}`"))(NoJournal))?;
    let (mut timings, mut first) = (Timings::default(), None);
    replay(
        &pod.plan.pod,
        &pod.plan.settings(),
        &journal,
        None,
        |at, _, input, actions| {
            first.get_or_insert(at.mono);
            timings.after(at.mono, input, actions);
        },
    );
    let supervised = Span {
        what: "read the manifest, start the supervisor".to_owned(),
        begun: command,
        ended: first,
    };
    let row = |span: Span| {
        let ms = |from: Mono, to: Mono| format!("{} ms", to.since(from).as_millis());
        let took = span.ended.map(|ended| ms(span.begun, ended));
        vec![
            ms(command, span.begun),
            took.unwrap_or_else(|| "-".to_owned()),
            span.what,
        ]
    };
    let all = [supervised].into_iter().chain(timings.spans());
    let rows: Vec<_> = all.map(row).collect();
    // Who does not listen does not want to know.
    let _ = table::write(
        &mut std::io::stderr().lock(),
        Some(&["AT", "TOOK", name]),
        &rows,
    );
    Ok(())
}

/// The pod is over and gone.
#[derive(Debug, thiserror::Error)]
#[error("it has no journal")]
struct NoJournal;
