//! What `attach` gets of a running container: its output from now on, and the end that writes its input.
//!
//! Descriptors go, not bytes: whoever is attached reads pipes of its own and writes to the container itself, and costs the loop
//! nothing between. With `stdinOnce` the input is given away: when that client goes, however it goes, the container reads the end.
//! Source: Kubernetes `core/v1`, Container, `stdin` and `stdinOnce`.

use crate::base::InstanceId;
use crate::pod::Refusal;
use crate::stdio::{Tap, Tapped};
use crate::supervisor::world::World;
use std::io;
use std::os::fd::OwnedFd;

/// What a client gets.
#[derive(Debug)]
pub struct Attached {
    /// Of this attempt to run the container.
    pub instance: InstanceId,
    /// `None` if it has closed all of it.
    pub output: Option<Tapped>,
    /// Its terminal, or the writing end of its standard input if that was asked for.
    pub input: Option<OwnedFd>,
    /// Whether `input` is a terminal.
    pub is_terminal: bool,
}

impl World {
    /// Attaches a client to a container. *Errors*: it does not run; its input is another's for good.
    pub fn attach(&mut self, name: &str, with_input: bool) -> Result<Attached, Refusal> {
        let container = self.context.plan.pod.container(name);
        let container = container.ok_or_else(|| Refusal::NoSuchContainer(name.to_owned()))?;
        let is_its = |id: &InstanceId| {
            let of = self.context.container_of(id);
            of.is_some_and(|of| of.name == name)
        };
        let found = self.live.iter_mut().find(|(id, _)| is_its(id));
        let (instance, pump) = found
            .and_then(|(id, live)| Some((id, live.pump.as_mut()?)))
            .ok_or_else(|| Refusal::NotRunning(name.to_owned()))?;
        let gives_away = with_input && container.stdin_once && !container.tty;
        let wanted = container.tty || (with_input && container.stdin);
        let input = match &pump.input {
            Some(_) if !wanted => None,
            Some(_) if gives_away => pump.input.take(),
            Some(input) => input.try_clone().ok(),
            None if wanted => return Err(Refusal::InputTaken(name.to_owned())),
            None => None,
        };
        let tap = || -> io::Result<Option<Tapped>> {
            let (tap, tapped) = Tap::new()?;
            // A pump that has ended has nobody to tell.
            Ok(pump.taps.try_send(tap).is_ok().then_some(tapped))
        };
        let output = tap().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot show the output to who attaches");
            None
        });
        if gives_away {
            self.context.release_input(instance);
        }
        Ok(Attached {
            instance: instance.clone(),
            output,
            input,
            is_terminal: container.tty,
        })
    }
}
