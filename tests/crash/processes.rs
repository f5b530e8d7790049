//! Keeper and supervisor of a pod, found and killed from outside; containers that count what they say.

use crate::support::{Pod, life_of, sh, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What a process of podshim is to a pod.
#[derive(Clone, Copy, Debug)]
pub enum Life {
    Keeper,
    Supervisor,
}

impl Life {
    fn verb(self) -> &'static str {
        match self {
            Life::Keeper => "__keeper",
            Life::Supervisor => "__supervisor",
        }
    }

    /// The process that leads this life for the pod now.
    pub fn of(self, pod: &Pod) -> Option<i32> {
        life_of(self.verb(), &pod.uid)
    }

    /// Waits until there is one that is not `other`.
    #[track_caller]
    pub fn of_but(self, pod: &Pod, other: i32) -> i32 {
        until(30, &format!("a new {self:?}"), || {
            self.of(pod)
                .filter(|pid| *pid != other)
                .ok_or_else(|| format!("{other} is the last"))
        })
    }

    /// Kills the one that the pod has now, and waits until it is gone.
    #[track_caller]
    pub fn kill_of(self, pod: &Pod) -> i32 {
        let pid = self.of_but(pod, 0);
        kill_now(pid);
        until(5, &format!("{self:?} {pid} is dead"), || {
            match self.of(pod) {
                Some(other) if other == pid => Err("it lives".to_owned()),
                _ => Ok(()),
            }
        });
        pid
    }
}

/// SIGKILL; a process that has just ended needs none.
pub fn kill_now(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Kills both at one moment: neither has the time to notice the other's death.
#[track_caller]
pub fn kill_both(pod: &Pod) {
    until(5, "both are dead", || {
        // The keeper may just have started another.
        let both = [Life::Keeper, Life::Supervisor].map(|life| life.of(pod));
        both.into_iter().flatten().for_each(kill_now);
        match both {
            [None, None] => Ok(()),
            _ => Err(format!("{both:?}")),
        }
    });
}

/// A container that says `line 1`, `line 2`, … in bursts and two writes each, and `end <last>` when it is asked to end.
pub fn counter(name: &str) -> Value {
    sh(name, COUNT)
}

/// The script of [`counter`].
pub const COUNT: &str = "go=1; i=0; trap 'go=0' TERM
while [ $go = 1 ]; do
    for n in 1 2 3 4 5 6 7 8; do i=$((i+1)); printf li; printf 'ne %s\\n' $i; done
    sleep 0.01
done
echo end $i";

/// Checks what a [`counter`] has said: every line once and in order, to the last.
#[track_caller]
pub fn assert_counted(log: &str) -> usize {
    let contents = contents(log);
    let lines: Vec<&str> = contents.lines().collect();
    let (end, lines) = lines.split_last().expect("it said something");
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {}", index + 1), "in\n{log}");
    }
    assert_eq!(*end, format!("end {}", lines.len()), "of\n{log}");
    lines.len()
}

/// The text of a log file without what the CRI format adds.
#[track_caller]
pub fn contents(log: &str) -> String {
    let contents = log.lines().map(|record| {
        let words: Vec<&str> = record.splitn(4, ' ').collect();
        match words[..] {
            [_, _, "F", content] => format!("{content}\n"),
            [_, _, "P", content] => content.to_owned(),
            _ => panic!("no record: {record:?} in\n{log}"),
        }
    });
    contents.collect()
}
