//! The events of a pod: those that say the same are one line, with how often and how long ago.

use super::Tree;
use crate::base::{Now, Wall};
use crate::cli::table;
use crate::pod::Event;
use std::time::Duration;

/// Events that say the same.
struct Group<'a> {
    event: &'a Event,
    first: Wall,
    last: Wall,
    count: usize,
}

/// Appends the events of a pod, in the order in which they were last said.
pub(super) fn section(head: &mut Tree, events: &[Event], now: Now) {
    let mut groups: Vec<Group> = Vec::new();
    for event in events {
        let is_same = |group: &&mut Group| {
            let other = group.event;
            (
                other.warning,
                &other.reason,
                &other.container,
                &other.message,
            ) == (
                event.warning,
                &event.reason,
                &event.container,
                &event.message,
            )
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => {
                group.last = event.at.wall;
                group.count += 1;
            }
            None => groups.push(Group {
                event,
                first: event.at.wall,
                last: event.at.wall,
                count: 1,
            }),
        }
    }
    if groups.is_empty() {
        return head.line("Events", "<none>");
    }
    groups.sort_by_key(|group| group.last);
    let ago = |at: Wall| table::age(Duration::from_millis(now.wall.0.saturating_sub(at.0)));
    let heading = ["Type", "Reason", "Age", "From", "Message"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.push(heading.map(|word| "-".repeat(word.len())).to_vec());
    for group in &groups {
        let event = group.event;
        let age = match group.count {
            1 => ago(group.last),
            count => format!("{} (x{count} over {})", ago(group.last), ago(group.first)),
        };
        let from = match &event.container {
            Some(container) => format!("podshim/{container}"),
            None => "podshim".to_owned(),
        };
        let kind = if event.warning { "Warning" } else { "Normal" };
        rows.push(vec![
            kind.into(),
            event.reason.clone(),
            age,
            from,
            event.message.clone(),
        ]);
    }
    let mut tree = Tree::default();
    tree.table(rows);
    head.branch("Events", tree);
}
