//! The journal of a pod: every input of its machine, as JSON lines, in two halves. The younger one is cut when it is full and becomes the older one; each begins with the machine's state, so that what is left can
//! always be heard again. A journal that cannot be written never stops a pod: it then has a gap, and says so.

use crate::base::{Now, to_json};
use crate::pod::{Begun, Entry, Input, State};
use crate::store::PodDir;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Size at which a half is cut, in bytes: several hundred restarts. Both halves lie in memory, as all of `/run` does.
const HALF_BYTES: u64 = 128 * 1024;
/// Longest line that is read back, in bytes: the state of a pod of a thousand containers.
const MAX_LINE_BYTES: u64 = 8 * 1024 * 1024;
/// How often a journal is read again because it was cut meanwhile.
const MAX_READS: usize = 5;

const YOUNGER: &str = "journal.jsonl";
const OLDER: &str = "journal.old.jsonl";

/// A journal being written. Has one writer.
#[derive(Debug)]
pub struct Journal {
    younger: PathBuf,
    older: PathBuf,
    file: Option<File>,
    length: u64,
    half_bytes: u64,
    /// Something could not be written: what follows needs a state of its own.
    has_gap: bool,
}

impl Journal {
    /// Goes on with the journal of a pod, whose machine has this state now.
    pub fn open(dir: &PodDir, is_new: bool, now: Now, state: &State) -> Journal {
        let mut journal = Journal {
            younger: dir.file(YOUNGER),
            older: dir.file(OLDER),
            file: None,
            length: 0,
            half_bytes: HALF_BYTES,
            has_gap: false,
        };
        let why = if is_new { Begun::Start } else { Begun::Restart };
        journal.has_gap = journal.begin(why, now, state).is_err();
        journal
    }

    /// An input as it is written; made before the machine takes it.
    pub fn line(at: Now, input: &Input) -> Vec<u8> {
        line(&Entry::<&State, &Input>::Heard { at, input })
    }

    /// Appends an input; `state` is the machine's after it.
    pub fn hear(&mut self, line: &[u8], now: Now, state: &State) {
        let written = if self.has_gap {
            self.begin(Begun::Gap, now, state)
        } else if self.length >= self.half_bytes {
            self.append(line).and_then(|()| self.cut(now, state))
        } else {
            self.append(line)
        };
        self.has_gap = written.is_err();
    }

    /// The younger half becomes the older one.
    fn cut(&mut self, now: Now, state: &State) -> io::Result<()> {
        self.file = None;
        if std::fs::rename(&self.younger, &self.older).is_err() {
            // Rather a shorter journal than one that grows.
            std::fs::remove_file(&self.younger)?;
        }
        self.begin(Begun::Cut, now, state)
    }

    fn begin(&mut self, why: Begun, at: Now, state: &State) -> io::Result<()> {
        if self.file.is_none() {
            let file = File::options()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.younger)?;
            self.length = file.metadata()?.len();
            self.file = Some(file);
        }
        if self.length >= self.half_bytes && why != Begun::Cut {
            return self.cut(at, state);
        }
        let mut text = line(&Entry::<&State, &Input>::Begin {
            why,
            at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state,
        });
        if self.length > 0 {
            // What is before it may be torn.
            text.insert(0, b'\n');
        }
        self.append(&text)
    }

    /// With one write, whole or not at all.
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = file.write_all(text) {
            let _ = file.set_len(self.length);
            return Err(error);
        }
        self.length += text.len() as u64;
        Ok(())
    }
}

fn line<S: serde::Serialize, I: serde::Serialize>(entry: &Entry<S, I>) -> Vec<u8> {
    // An entry is plain data: there is nothing in it that JSON could not say.
    let mut text = to_json(entry).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The journal of a pod, oldest first; `None` when there is none. A pod that lives goes on writing.
pub fn read_journal(dir: &PodDir) -> io::Result<Option<Vec<Entry>>> {
    let (younger, older) = (dir.file(YOUNGER), dir.file(OLDER));
    let mut entries = Vec::new();
    for _ in 0..MAX_READS {
        let Some(young) = open(&younger)? else {
            return Ok(None);
        };
        let inode = young.metadata()?.ino();
        entries.clear();
        if let Some(old) = open(&older)? {
            read(old, &mut entries)?;
        }
        read(young, &mut entries)?;
        if std::fs::metadata(&younger).is_ok_and(|now| now.ino() == inode) {
            break;
        }
    }
    Ok(Some(entries))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn read(file: File, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?;
        match line.trim_ascii() {
            [] if line.is_empty() => return Ok(()),
            [] => {}
            text => entries.push(serde_json::from_slice(text).unwrap_or(Entry::Torn)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{LoadOptions, Pod, Source, Strictness, load};
    use crate::pod::{Comparison, Machine, Replayed, Request, RequestId, Settings, replay};

    fn pod() -> Pod {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}";
        let source = Source {
            name: "pod.yaml".into(),
            text: text.into(),
        };
        let options = LoadOptions {
            strictness: Strictness::Strict,
            random: &mut || [7; 16],
        };
        let mut loaded = load(&[source], options).expect("a pod");
        loaded.pods.remove(0)
    }

    fn at(ms: u64) -> Now {
        let mut now = Now::default();
        now.mono.0 = ms;
        now.wall.0 = ms;
        now
    }

    /// A machine that hears, and its journal.
    struct Life {
        machine: Machine,
        journal: Journal,
        now: u64,
    }

    impl Life {
        fn begin(dir: &PodDir, half_bytes: u64) -> Life {
            let machine = Machine::new(&pod(), Settings::default(), at(0));
            let mut journal = Journal::open(dir, true, at(0), machine.state());
            journal.half_bytes = half_bytes;
            Life {
                machine,
                journal,
                now: 0,
            }
        }

        fn hear(&mut self, input: Input) {
            self.now += 10;
            let line = Journal::line(at(self.now), &input);
            self.machine.step(at(self.now), input);
            let state = self.machine.state();
            self.journal.hear(&line, at(self.now), state);
        }

        /// Each of these changes the state.
        fn stop(&mut self, grace: u64) {
            let request = Request::Stop {
                grace_seconds: Some(grace),
                force: false,
            };
            let id = RequestId(self.now);
            self.hear(Input::Request { id, request });
        }
    }

    fn heard(dir: &PodDir, state: &State) -> (Replayed, Option<Comparison>) {
        let entries = read_journal(dir).expect("it reads").expect("there is one");
        let settings = Settings::default();
        let replayed = replay(&pod(), &settings, &entries, Some(state), |_, _, _, _| {});
        let comparison = replayed.compare(state);
        (replayed, comparison)
    }

    fn dir() -> (tempfile::TempDir, PodDir) {
        let dir = tempfile::tempdir().expect("dir");
        let pod = PodDir::new(dir.path(), dir.path());
        (dir, pod)
    }

    #[test]
    fn a_journal_is_heard_again_to_the_same_state() {
        let (_keep, dir) = dir();
        let mut life = Life::begin(&dir, HALF_BYTES);
        life.hear(Input::Timer);
        life.stop(30);
        life.stop(5);
        let (replayed, comparison) = heard(&dir, life.machine.state());
        assert_eq!(comparison, Some(Comparison::Identical));
        assert_eq!(replayed.inputs, 3);
        assert!(replayed.from_start);
        let mode = std::fs::metadata(dir.file(YOUNGER)).expect("it is").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_journal_that_is_cut_stays_small_and_can_still_be_heard() {
        let (_keep, dir) = dir();
        let mut life = Life::begin(&dir, 4096);
        life.hear(Input::Timer);
        for grace in (0..2000).rev() {
            life.stop(grace);
        }
        let size = |name| std::fs::metadata(dir.file(name)).expect("a half").len();
        assert!(size(YOUNGER) < 8192 && size(OLDER) < 8192);
        let (replayed, comparison) = heard(&dir, life.machine.state());
        assert_eq!(comparison, Some(Comparison::Identical));
        assert!(!replayed.from_start && replayed.inputs > 10 && replayed.gaps == 0);
    }

    #[test]
    fn an_input_that_died_with_its_supervisor_is_no_difference() {
        let (_keep, dir) = dir();
        let mut life = Life::begin(&dir, HALF_BYTES);
        life.hear(Input::Timer);
        let written = life.machine.state().clone();
        life.stop(30);
        let (_, comparison) = heard(&dir, &written);
        assert_eq!(comparison, Some(Comparison::Behind(1)));
        life.machine = Machine::restore(&pod(), Settings::default(), written.clone());
        life.journal = Journal::open(&dir, false, at(life.now), &written);
        life.hear(Input::Recovered(Vec::new()));
        life.stop(7);
        let (replayed, comparison) = heard(&dir, life.machine.state());
        assert_eq!(comparison, Some(Comparison::Identical));
        assert_eq!((replayed.restarts, replayed.gaps), (1, 0));
    }

    #[test]
    fn what_could_not_be_written_is_a_gap_and_not_a_difference() {
        let (_keep, dir) = dir();
        let mut life = Life::begin(&dir, HALF_BYTES);
        life.hear(Input::Timer);
        let full = File::options()
            .append(true)
            .open("/dev/full")
            .expect("a disk that is always full");
        let real = life.journal.file.replace(full);
        life.stop(30);
        life.stop(29);
        life.journal.file = real;
        life.stop(28);
        life.stop(27);
        let (replayed, comparison) = heard(&dir, life.machine.state());
        assert_eq!(comparison, Some(Comparison::Identical));
        assert_eq!((replayed.inputs, replayed.gaps), (2, 1));
    }

    #[test]
    fn another_state_is_told_by_its_first_difference() {
        let (_keep, dir) = dir();
        let mut life = Life::begin(&dir, HALF_BYTES);
        life.hear(Input::Timer);
        let mut text = serde_json::to_value(life.machine.state()).expect("it is data");
        text["containers"][0]["attempts"] = 9.into();
        let other = serde_json::from_value(text).expect("a state");
        let Some(Comparison::Different(difference)) = heard(&dir, &other).1 else {
            panic!("they differ");
        };
        assert_eq!(difference.path, "state.containers[0].attempts");
        assert_eq!((&*difference.recorded, &*difference.replayed), ("9", "0"));
    }
}
