//! The language of scripts: one fact a line, `#` begins a comment.

use super::script::{Happening, Life, OnStop, Script, ScriptError, Sickness, Step, Times};
use crate::base::{Exit, Signal, duration};
use crate::manifest::{Pod, ProbeKind};
use crate::pod::{FailureReason, Request};
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest script in bytes; one of a person has a few lines.
const MAX_BYTES: usize = 1024 * 1024;
/// Most repetitions of one fact.
const MAX_TIMES: u32 = 1_000_000;

/// Words that begin a line and are no container's name.
const KEYWORDS: [&str; 8] = [
    "image", "probe", "hook", "network", "sandbox", "pause", "signal", "stop",
];

impl Script {
    /// What a script may say, for help texts.
    pub const LANGUAGE: &str = "\
Scripts: one fact a line; # begins a comment; where the script is silent everything goes well.
Times are like 300ms, 5s, 2m. Lines about one container are used up in order, one an
instance; `N times` repeats a line, and the last one without a number stays.

  CTR exits CODE after TIME [N times]
  CTR dies of SIGNAL after TIME [N times]
  CTR runs out of memory after TIME [N times]
  CTR runs [N times]                      until it is stopped
  CTR stops in TIME [with CODE]           after its stop signal; else at once, with 0
  CTR never stops                         it ignores its stop signal
  CTR cannot be created [N times]
  CTR cannot be started [N times]
  image CTR fails [N times]
  image CTR takes TIME
  probe CTR KIND fails [from TIME] [to TIME]
                                          KIND: startup, readiness, liveness
  hook CTR HOOK fails [N times]           HOOK: postStart, preStop
  hook CTR HOOK takes TIME
  sandbox fails [N times]
  network fails [N times]
  pause dies at TIME
  signal CTR SIGNAL at TIME
  stop at TIME [grace SECONDS] [force]

A container with the name of a keyword is named as `container NAME`. When all goes well,
init containers run for 1s, app containers for 10s if restartPolicy lets them end, else
until they are stopped, probes succeed, and images, creations, starts and hooks take no time.";

    /// Reads a script for a pod: its containers must be the pod's.
    pub fn parse(text: &str, pod: &Pod) -> Result<Script, ScriptError> {
        let mut script = Script::default();
        let wrong = |line: usize, message: String| ScriptError { line, message };
        if text.len() > MAX_BYTES {
            return Err(wrong(1, format!("a script has at most {MAX_BYTES} bytes")));
        }
        for (n, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.is_empty() {
                script
                    .take(&words, pod)
                    .map_err(|message| wrong(n + 1, message))?;
            }
        }
        script.moments.sort_by_key(|(at, _)| *at);
        Ok(script)
    }

    fn take(&mut self, words: &[&str], pod: &Pod) -> Result<(), String> {
        let known = |name: &str| match pod.container(name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(unknown_container(name, pod)),
        };
        match words {
            ["image", name, "takes", time] => {
                let step = Step::Image(known(name)?);
                self.delays.insert(step, moment(time)?);
            }
            ["image", name, "fails", rest @ ..] => {
                let step = Step::Image(known(name)?);
                self.fail(step, FailureReason::ErrImagePull, rest)?;
            }
            ["probe", name, kind, "fails", rest @ ..] => {
                let (from, to) = span(rest)?;
                self.sick.push(Sickness {
                    container: known(name)?,
                    kind: probe_kind(kind)?,
                    from,
                    to,
                });
            }
            ["hook", name, hook, "takes", time] => {
                let step = hook_step(hook, known(name)?)?;
                self.delays.insert(step, moment(time)?);
            }
            ["hook", name, hook, "fails", rest @ ..] => {
                let step = hook_step(hook, known(name)?)?;
                self.fail(step, FailureReason::Other, rest)?;
            }
            ["sandbox", "fails", rest @ ..] => {
                self.fail(Step::Sandbox, FailureReason::StartError, rest)?;
            }
            ["network", "fails", rest @ ..] => {
                self.fail(Step::Network, FailureReason::Other, rest)?;
            }
            ["pause", "dies", "at", time] => self.at(time, Happening::PauseDies)?,
            ["signal", name, signal, "at", time] => {
                let request = Request::Signal {
                    container: Some(known(name)?),
                    signal: signal_of(signal)?,
                };
                self.at(time, Happening::Request(request))?;
            }
            ["stop", "at", time, rest @ ..] => {
                let (grace_seconds, force) = stop(rest)?;
                let request = Request::Stop {
                    grace_seconds,
                    force,
                };
                self.at(time, Happening::Request(request))?;
            }
            ["container", name, rest @ ..] => self.container(known(name)?, rest)?,
            [word, ..] if KEYWORDS.contains(word) => {
                return Err(format!("cannot understand `{}`", words.join(" ")));
            }
            [name, rest @ ..] => self.container(known(name)?, rest)?,
            [] => {}
        }
        Ok(())
    }

    fn container(&mut self, name: String, words: &[&str]) -> Result<(), String> {
        let life = |time: &str, exit, oom_killed| {
            Ok::<_, String>(Life {
                runs: Some(moment(time)?),
                exit,
                oom_killed,
            })
        };
        match words {
            ["exits", code, "after", time, rest @ ..] => {
                let exit = Exit::Code(exit_code(code)?);
                self.live(name, life(time, exit, false)?, rest)
            }
            ["dies", "of", signal, "after", time, rest @ ..] => {
                let exit = Exit::Signal(signal_of(signal)?);
                self.live(name, life(time, exit, false)?, rest)
            }
            ["runs", "out", "of", "memory", "after", time, rest @ ..] => {
                let exit = Exit::Signal(Signal::KILL);
                self.live(name, life(time, exit, true)?, rest)
            }
            ["runs", rest @ ..] => self.live(name, Life::FOREVER, rest),
            ["stops", "in", time, rest @ ..] => {
                let code = match rest {
                    [] => None,
                    ["with", code] => Some(exit_code(code)?),
                    other => return Err(superfluous(other)),
                };
                let ends_after = Some(moment(time)?);
                self.on_stop.insert(name, OnStop { ends_after, code });
                Ok(())
            }
            ["never", "stops"] => {
                let deaf = OnStop {
                    ends_after: None,
                    code: None,
                };
                self.on_stop.insert(name, deaf);
                Ok(())
            }
            ["cannot", "be", "created", rest @ ..] => {
                let reason = FailureReason::CreateContainerError;
                self.fail(Step::Create(name), reason, rest)
            }
            ["cannot", "be", "started", rest @ ..] => {
                self.fail(Step::Start(name), FailureReason::StartError, rest)
            }
            other => Err(format!(
                "cannot understand what `{name}` does: `{}`",
                other.join(" ")
            )),
        }
    }

    fn live(&mut self, name: String, what: Life, rest: &[&str]) -> Result<(), String> {
        let times = times(rest)?;
        push(&mut self.lives, name, Times { what, times });
        Ok(())
    }

    fn fail(&mut self, step: Step, what: FailureReason, rest: &[&str]) -> Result<(), String> {
        let times = times(rest)?;
        push(&mut self.failures, step, Times { what, times });
        Ok(())
    }

    fn at(&mut self, time: &str, happening: Happening) -> Result<(), String> {
        self.moments.push((moment(time)?, happening));
        Ok(())
    }
}

fn push<K: Ord, T>(map: &mut BTreeMap<K, Vec<Times<T>>>, key: K, fact: Times<T>) {
    map.entry(key).or_default().push(fact);
}

fn probe_kind(text: &str) -> Result<ProbeKind, String> {
    match text {
        "startup" => Ok(ProbeKind::Startup),
        "readiness" => Ok(ProbeKind::Readiness),
        "liveness" => Ok(ProbeKind::Liveness),
        other => Err(format!(
            "`{other}` is no probe: write startup, readiness or liveness"
        )),
    }
}

fn hook_step(text: &str, container: String) -> Result<Step, String> {
    match text {
        "postStart" => Ok(Step::PostStart(container)),
        "preStop" => Ok(Step::PreStop(container)),
        other => Err(format!("`{other}` is no hook: write postStart or preStop")),
    }
}

fn span(words: &[&str]) -> Result<(Duration, Option<Duration>), String> {
    match words {
        [] => Ok((Duration::ZERO, None)),
        ["from", from] => Ok((moment(from)?, None)),
        ["to", to] => Ok((Duration::ZERO, Some(moment(to)?))),
        ["from", from, "to", to] => Ok((moment(from)?, Some(moment(to)?))),
        other => Err(superfluous(other)),
    }
}

fn stop(words: &[&str]) -> Result<(Option<u64>, bool), String> {
    let (mut grace, mut force) = (None, false);
    let mut rest = words;
    loop {
        rest = match rest {
            [] => return Ok((grace, force)),
            ["grace", seconds, rest @ ..] => {
                let seconds = seconds.strip_suffix('s').unwrap_or(seconds);
                let number = seconds.parse();
                grace = Some(number.map_err(|_| format!("`{seconds}` is no number of seconds"))?);
                rest
            }
            ["force", rest @ ..] => {
                force = true;
                rest
            }
            other => return Err(superfluous(other)),
        };
    }
}

fn times(words: &[&str]) -> Result<Option<u32>, String> {
    match words {
        [] => Ok(None),
        [number, "times" | "time"] => {
            let number = number.parse().ok();
            let number = number.filter(|n| (1..=MAX_TIMES).contains(n));
            let wrong = || format!("a fact is so 1 to {MAX_TIMES} times");
            number.map(Some).ok_or_else(wrong)
        }
        ["once"] => Ok(Some(1)),
        other => Err(superfluous(other)),
    }
}

fn superfluous(words: &[&str]) -> String {
    format!(
        "cannot understand the end of the line: `{}`",
        words.join(" ")
    )
}

fn moment(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| format!("`{text}` is no time: write 300ms, 5s or 2m"))
}

fn exit_code(text: &str) -> Result<u8, String> {
    let code = text.parse();
    code.map_err(|_| format!("`{text}` is no exit code: they are 0 to 255"))
}

fn signal_of(text: &str) -> Result<Signal, String> {
    let signal = text.parse();
    signal.map_err(|_| format!("`{text}` is no signal"))
}

fn unknown_container(name: &str, pod: &Pod) -> String {
    let names: Vec<_> = pod.containers.iter().map(|c| c.name.as_str()).collect();
    let names = names.join(", ");
    format!("`{name}` is neither a keyword nor a container of the pod, which has {names}")
}
