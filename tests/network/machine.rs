//! Other machines: network namespaces, and a cable from one to the next.

use super::wire::command;
use crate::support::Host;
use std::sync::atomic::{AtomicU32, Ordering};

/// Numbers of cables of this program.
static CABLES: AtomicU32 = AtomicU32::new(0);

/// A machine of the test's own that podshim runs on: nothing in it is this machine's but the files.
pub struct Island<'h> {
    host: &'h Host,
    name: String,
}

impl Island<'_> {
    /// Podshim runs there from now on.
    pub fn new(host: &Host) -> Island<'_> {
        let island = Island {
            host,
            name: format!("isle-of-test-{}-{}", std::process::id(), number()),
        };
        command(&format!("ip netns add {}", island.name));
        island.run("ip link set lo up");
        host.set_before(&island.before());
        island
    }

    /// The words that bring a command there. (`ip netns exec` would hide the cgroups.)
    pub fn before(&self) -> Vec<String> {
        let path = format!("--net=/run/netns/{}", self.name);
        vec!["nsenter".to_owned(), path]
    }

    /// Runs a command there.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        command(&format!("{} {line}", self.before().join(" ")))
    }
}

impl Drop for Island<'_> {
    fn drop(&mut self) {
        // Whatever the end of the test asks for, it asks here.
        self.host.set_before(&[]);
        let _gone = std::process::Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

/// Another machine, by a cable: a namespace and a pair of links.
pub struct Machine {
    name: String,
    link: String,
    /// The machine at the near end, if it is not this one.
    near: Option<String>,
    /// Its address.
    pub address: String,
    /// That of the near end of the cable.
    pub host: String,
}

impl Machine {
    /// Beside this machine.
    pub fn new() -> Machine {
        Machine::plug(None)
    }

    /// Beside an island, which sends to it whatever is for others.
    pub fn beside(island: &Island<'_>) -> Machine {
        let machine = Machine::plug(Some(island.name.clone()));
        island.run(&format!("ip route add default via {}", machine.address));
        machine
    }

    fn plug(near: Option<String>) -> Machine {
        let (process, cable) = (std::process::id() % 200, number());
        let machine = Machine {
            name: format!("far-of-test-{process}-{cable}"),
            link: format!("far{process}x{cable}"),
            near,
            address: format!("10.214.{process}.{}", cable * 4 + 2),
            host: format!("10.214.{process}.{}", cable * 4 + 1),
        };
        let Machine {
            name,
            link,
            near,
            address,
            host,
        } = &machine;
        command(&format!("ip netns add {name}"));
        let there = near.as_ref().map(|near| format!("-n {near} "));
        let there = there.unwrap_or_default();
        command(&format!(
            "ip {there}link add {link} type veth peer name eth0 netns {name}"
        ));
        command(&format!("ip {there}addr add {host}/30 dev {link}"));
        command(&format!("ip {there}link set {link} up"));
        command(&format!("ip -n {name} addr add {address}/30 dev eth0"));
        command(&format!("ip -n {name} link set eth0 up"));
        machine
    }

    /// The words that bring a command there.
    pub fn before(&self) -> [String; 2] {
        [
            "nsenter".to_owned(),
            format!("--net=/run/netns/{}", self.name),
        ]
    }

    /// Runs a command on it.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        command(&format!("{} {line}", self.before().join(" ")))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let mut unplug = vec!["link", "delete", &self.link];
        if let Some(near) = &self.near {
            unplug.splice(0..0, ["-n", near]);
        }
        for words in [unplug, vec!["netns", "delete", &self.name]] {
            let _gone = std::process::Command::new("ip").args(words).status();
        }
    }
}

/// One that no other test of this program has at the same time; at most 63, for the last byte of an address.
fn number() -> u32 {
    CABLES.fetch_add(1, Ordering::Relaxed) % 63
}
