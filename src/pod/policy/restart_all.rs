//! A container that ends with a code which starts all containers again, in the same sandbox. Source: `pod-semantics` 4.4.

use crate::manifest::RestartAction;
use crate::pod::Terminated;
use crate::pod::policy::{Look, Turn};
use crate::pod::state::{Cause, Hold, Teardown, Why};
use std::time::Duration;

impl Look<'_> {
    /// What the container's own rules say of this end; `None` leaves it to the policy.
    pub fn rule(&self, k: usize, ended: &Terminated) -> Option<RestartAction> {
        let mut rules = self.spec.containers[k].rules.iter();
        let rule = rules.find(|rule| rule.matches(ended.exit_code))?;
        Some(rule.action)
    }

    /// The container whose end starts all of them again.
    pub fn wants_all_again(&self) -> Option<usize> {
        (0..self.spec.containers.len()).find(|k| {
            let ended = self.state.containers[*k].ended.as_ref();
            ended.is_some_and(|ended| {
                self.restarts(*k, ended)
                    && self.rule(*k, ended) == Some(RestartAction::RestartAllContainers)
            })
        })
    }
}

impl Turn<'_> {
    /// Everything ends without hooks, order or grace.
    pub fn begin_restart_all(&mut self, trigger: usize) {
        let name = &self.spec.containers[trigger].name;
        let text = format!("Container {name} ended with a code that restarts all containers");
        self.tell("RestartingAllContainers", Some(trigger), &text);
        self.state.teardown = Some(Teardown {
            cause: Cause::RestartAll { trigger },
            grace: self.grace(Duration::ZERO),
            force: false,
        });
    }

    /// Nothing of the containers is left: they begin anew, from the first, once the one that wanted it may.
    pub fn restart_all(&mut self, trigger: usize) {
        self.state.teardown = None;
        self.state.sandbox.apps_begun = false;
        let own = self.state.containers[trigger].hold.as_ref();
        let until = own.map_or(self.now.mono, |hold| hold.until);
        let look = self.look();
        let lasting: Vec<usize> = look.without_ephemeral().collect();
        for k in lasting {
            let facts = &mut self.state.containers[k];
            if let Some(ended) = facts.ended.take() {
                facts.previous = Some(ended);
            }
            let why = match facts.hold.take() {
                Some(hold) if k == trigger => hold.why,
                Some(_) | None => Why::Together,
            };
            facts.hold = Some(Hold { until, why });
        }
    }
}
