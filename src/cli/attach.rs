//! `attach`: what a running container writes, as it comes, and with `-i` what it reads. It ends with the container, and with its exit
//! code; Ctrl-C, or Ctrl-P Ctrl-Q at a terminal, only leaves.
//!
//! ```text
//!  stdin ──▶ its input, or its terminal         pipes of our own, which the supervisor fills ──▶ stdout, stderr
//! ```
//! The pod's view, watched meanwhile, says when the container has ended. Where the supervisor was replaced, or we were too slow and
//! were let go, we attach again and say so.

use crate::api::{Client, ClientError, Streams};
use crate::base::InstanceId;
use crate::cli::args::AttachArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::terminal::{Input, Raw, copy, fit, type_into};
use crate::cli::{follow, pods, report};
use crate::pod::{ContainerState, PodView, Refusal};
use crate::supervisor::PodRecord;
use crate::sys;
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// How long the end of a container may be told after the end of its output; a supervisor takes milliseconds.
const LINGER: Duration = Duration::from_secs(1);
/// Tries to reach a supervisor that is being started, [`follow::RETRY`] apart.
const MAX_TRIES: u32 = 200;

/// What can happen while we are attached. Of an attachment before this one nothing counts.
enum Event {
    /// The container ended, with this code.
    Ended(u8),
    /// The supervisor of this attachment has gone.
    Unwatched(u32),
    /// The output of this attachment has ended.
    Silent(u32),
    /// Somebody typed the keys to leave, or nobody reads us any more.
    Left,
    /// A signal asks us to end.
    Signalled(Signal),
}

/// Every error of our own is 125, lest it be taken for the container's.
pub(super) fn attach(settings: &Settings, args: &AttachArgs) -> Outcome {
    enter(settings, args).map_err(Failed::own)
}

fn enter(settings: &Settings, args: &AttachArgs) -> Outcome {
    let (pod, named) = pods::find_with_container(settings, &args.pod)?;
    let container = pods::container(&pod, args.container.as_deref().or(named.as_deref()))?;
    let name = &container.name;
    if args.stdin && !container.stdin {
        let failed = Failed::new(
            Code::Own,
            format!("container `{name}` has no standard input"),
        );
        return Err(failed.hint("`stdin: true` in its manifest opens one"));
    }
    if args.tty && !container.tty {
        report::warn(format!(
            "container `{name}` has no terminal; `tty: true` in its manifest gives it one"
        ));
    }
    let (client, streams) = match connect(&pod, name, args.stdin) {
        Ok(attached) => attached,
        Err(error) => return Err(follow::refused(error)),
    };
    let (tell, told) = mpsc::channel();
    let raw = match &streams.terminal {
        Some(terminal) if args.tty && args.stdin => at_terminal(terminal, &tell)?,
        _ => None,
    };
    let with = |fd: &OwnedFd| fd.try_clone().map(Input).map_err(cannot("share the input"));
    let input = streams.terminal.as_ref().filter(|_| args.stdin);
    if let Some(to) = input.or(streams.stdin.as_ref()).map(with).transpose()? {
        let (tell, may_leave) = (tell.clone(), raw.is_some());
        // It waits for what is typed until this process ends.
        thread::spawn(move || {
            if type_into(to, may_leave) {
                let _ = tell.send(Event::Left);
            }
        });
    }
    let mut session = Session {
        pod: &pod,
        name,
        instance: streams.instance.clone(),
        tell,
        number: 0,
    };
    let outcome = session.last(client, streams, &told);
    drop(raw);
    outcome
}

/// Our terminal becomes the container's: raw, and of one size. `None` if we have none.
fn at_terminal(terminal: &OwnedFd, tell: &Sender<Event>) -> Result<Option<Raw>, Failed> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    // Before any thread starts, so that only one of ours takes them; and before the terminal is raw, which they would leave raw.
    let caught = [
        Signal::SIGWINCH,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];
    let mut signals = sys::block_signals(&caught).map_err(cannot("block signals"))?;
    let raw = Raw::new();
    let terminal = terminal.try_clone().map_err(cannot("share the terminal"))?;
    let terminal = File::from(terminal);
    fit(&terminal);
    let tell = tell.clone();
    thread::spawn(move || {
        loop {
            match signals.wait(None).and_then(|n| Signal::try_from(n).ok()) {
                Some(Signal::SIGWINCH) => fit(&terminal),
                Some(signal) => drop(tell.send(Event::Signalled(signal))),
                None => {}
            }
        }
    });
    Ok(raw)
}

/// One container of which output is shown.
struct Session<'a> {
    pod: &'a PodRecord,
    name: &'a str,
    instance: InstanceId,
    tell: Sender<Event>,
    /// Attachments so far.
    number: u32,
}

impl Session<'_> {
    /// Shows what comes until there is a reason to end.
    fn last(&mut self, client: Client, streams: Streams, told: &Receiver<Event>) -> Outcome {
        let mut printer = self.show(client, streams);
        let mut silent = false;
        loop {
            let event = match silent {
                false => told.recv().ok(),
                true => told.recv_timeout(LINGER).ok(),
            };
            match event {
                Some(Event::Ended(code)) => {
                    let _ = printer.join();
                    return Ok(code);
                }
                Some(Event::Left) => return Ok(Code::Done as u8),
                Some(Event::Signalled(signal)) => return Ok(128 + signal as u8),
                Some(Event::Silent(number)) => silent |= number == self.number,
                Some(Event::Unwatched(number)) if number != self.number => {}
                Some(Event::Unwatched(_)) | None => {
                    silent = false;
                    match connect(self.pod, self.name, false) {
                        Ok((client, streams)) if streams.instance == self.instance => {
                            if streams.stdout.is_some() {
                                report::warn(format!(
                                    "what container `{}` wrote just now may be missing; `podshim logs` has it",
                                    self.name
                                ));
                            }
                            printer = self.show(client, streams);
                        }
                        Ok(_) | Err(ClientError::Refused(Refusal::NotRunning(_))) => {
                            return self.ended();
                        }
                        Err(_) if follow::has_ended(&follow::reread(self.pod)?) => {
                            return self.ended();
                        }
                        Err(error) => return Err(follow::refused(error)),
                    }
                }
            }
        }
    }

    /// Shows one attachment: its output, and in the end how the container ended.
    fn show(&mut self, mut client: Client, streams: Streams) -> thread::JoinHandle<()> {
        self.number += 1;
        let (number, tell) = (self.number, self.tell.clone());
        let (name, instance) = (self.name.to_owned(), self.instance.clone());
        thread::spawn(move || {
            let mut watched = || {
                client.watch().ok()?;
                loop {
                    if let Some(code) = code(&client.next_view().ok()??, &name, &instance) {
                        return Some(code);
                    }
                }
            };
            let event = watched().map_or(Event::Unwatched(number), Event::Ended);
            let _ = tell.send(event);
        });
        let tell = self.tell.clone();
        thread::spawn(move || {
            let Some((out, err)) = streams.stdout.zip(streams.stderr) else {
                return;
            };
            let errors = thread::spawn(move || copy(File::from(err), io::stderr()));
            let is_taken = copy(File::from(out), io::stdout()) && errors.join().unwrap_or(false);
            let _ = tell.send(match is_taken {
                true => Event::Silent(number),
                false => Event::Left,
            });
        })
    }

    /// It ended while nobody told us.
    fn ended(&self) -> Outcome {
        let mut found = None;
        follow::until(self.pod, None, |view| {
            found = code(view, self.name, &self.instance);
            found.is_some()
        })?;
        Ok(found.unwrap_or(Code::Own as u8))
    }
}

/// How this instance ended, if it has.
fn code(view: &PodView, name: &str, instance: &InstanceId) -> Option<u8> {
    let container = view.containers.iter().find(|c| c.name == name)?;
    let now = match &container.state {
        ContainerState::Terminated(end) => Some(end),
        ContainerState::Running { .. } | ContainerState::Waiting { .. } => None,
    };
    let mut ends = now.into_iter().chain(&container.last_state);
    match ends.find(|end| end.instance == *instance) {
        Some(end) => Some(u8::try_from(end.exit_code).unwrap_or(u8::MAX)),
        // Two ends in one view: nobody can tell any more.
        None => (container.instance.as_ref() != Some(instance)).then_some(Code::Own as u8),
    }
}

/// Attaches, to the input, too, if asked. A supervisor that is being started is waited for.
fn connect(pod: &PodRecord, name: &str, input: bool) -> Result<(Client, Streams), ClientError> {
    let mut tries = 0;
    loop {
        // If it cannot be brought back, the connection says why.
        let _ = follow::ensure_supervised(pod);
        let attached = Client::connect(&pod.dir).and_then(|mut client| {
            let streams = client.attach(name, input)?;
            Ok((client, streams))
        });
        match attached {
            Err(ClientError::Io { .. })
                if tries < MAX_TRIES
                    && follow::reread(pod).is_ok_and(|pod| !follow::has_ended(&pod)) =>
            {
                tries += 1;
                thread::sleep(follow::RETRY);
            }
            other => return other,
        }
    }
}
