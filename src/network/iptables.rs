//! The rules of [`super::rules`] for machines without nftables: chains of our own, replaced as a whole by `iptables-restore`, and
//! one jump to each from the chains of the kernel.

use crate::network::NetworkError;
use crate::network::program::Program;
use crate::network::rules::{DEADLINE, Rules, comment, find};
use crate::network::{Published, Subnet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A chain of ours: the table, the kernel's chain that jumps to it, the condition of the jump, the end of its name.
type Chain = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
);

/// The chains of the rules.
const CHAINS: [Chain; 4] = [
    (
        "nat",
        "PREROUTING",
        &["-m", "addrtype", "--dst-type", "LOCAL"],
        "ports",
    ),
    (
        "nat",
        "OUTPUT",
        &["-m", "addrtype", "--dst-type", "LOCAL"],
        "ports",
    ),
    ("nat", "POSTROUTING", &[], "post"),
    ("raw", "PREROUTING", &[], "guard"),
];
/// The chain that lets through what the policy of `FORWARD` would drop.
const FORWARD: [Chain; 1] = [("filter", "FORWARD", &[], "fwd")];

/// The programs of a family, those of a variant first: `-nft`, `-legacy`.
fn programs(is_v6: bool, variant: &str) -> Option<(PathBuf, PathBuf)> {
    let name = if is_v6 { "ip6tables" } else { "iptables" };
    let both = |name: String| Some((find(&name)?, find(&format!("{name}-restore"))?));
    both(format!("{name}{variant}")).or_else(|| both(name.to_owned()))
}

/// Puts the rules in place.
pub(super) fn apply(rules: &Rules<'_>) -> Result<(), NetworkError> {
    for subnet in rules.subnets {
        match programs(subnet.is_v6(), "") {
            Some(programs) => put(&programs, &rules.name, &CHAINS, &text(rules, subnet))?,
            None if subnet.is_v6() => {}
            None => return Err(NetworkError::NoFirewall),
        }
    }
    Ok(())
}

/// Removes them; none there is no error.
pub(super) fn remove(name: &str, subnets: &[Subnet]) -> Result<(), NetworkError> {
    for subnet in subnets {
        if let Some((program, _)) = programs(subnet.is_v6(), "") {
            take(&program, name, &CHAINS)?;
        }
    }
    Ok(())
}

/// Lets what comes from a bridge, and what was asked for from there, through a `FORWARD` that drops by its policy. The jump is the
/// last rule: what the machine's owner has decided stays decided.
pub(super) fn open_forward(name: &str, is_v6: bool, variant: &str) -> Result<(), NetworkError> {
    let programs = programs(is_v6, variant).ok_or(NetworkError::NoFirewall)?;
    let text = format!(
        "*filter\n:{name}-fwd - [0:0]\n-A {name}-fwd -i {name} -j ACCEPT\n\
         -A {name}-fwd -o {name} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\nCOMMIT\n"
    );
    put(&programs, name, &FORWARD, &text)
}

/// Undoes it; nothing there is no error.
pub(super) fn close_forward(name: &str, is_v6: bool, variant: &str) -> Result<(), NetworkError> {
    match programs(is_v6, variant) {
        Some((program, _)) => take(&program, name, &FORWARD),
        None => Ok(()),
    }
}

/// Whether the policy of the legacy tables drops what is forwarded; they exist in the kernel.
pub(super) fn legacy_forward_drops(is_v6: bool) -> bool {
    let listed = programs(is_v6, "-legacy").and_then(|(program, _)| {
        let program = program_of(&program, &["--wait", "-S", "FORWARD"], b"");
        program.succeed().ok()
    });
    listed.is_some_and(|rules| rules.starts_with(b"-P FORWARD DROP"))
}

/// Fills chains of ours anew and makes sure that there is one jump to each.
fn put(
    (program, restore): &(PathBuf, PathBuf),
    name: &str,
    chains: &[Chain],
    text: &str,
) -> Result<(), NetworkError> {
    program_of(restore, &["--noflush", "--wait"], text.as_bytes()).succeed()?;
    for chain in chains {
        let own = format!("{name}-{}", chain.3);
        if run(program, &jump("-C", chain, &own)).is_err() {
            run(program, &jump("-A", chain, &own))?;
        }
    }
    Ok(())
}

/// Removes chains of ours and the jumps to them.
fn take(program: &Path, name: &str, chains: &[Chain]) -> Result<(), NetworkError> {
    for chain in chains {
        let own = format!("{name}-{}", chain.3);
        // One that is not there cannot be told from one that stays; the chain below cannot go while there is a jump to it.
        let _ = run(program, &jump("-D", chain, &own));
    }
    for (table, _, _, end) in chains {
        let own = format!("{name}-{end}");
        if run(program, &["--wait", "-t", table, "-S", &own]).is_ok() {
            run(program, &["--wait", "-t", table, "-F", &own])?;
            run(program, &["--wait", "-t", table, "-X", &own])?;
        }
    }
    Ok(())
}

fn jump<'a>(verb: &'a str, (table, chain, condition, _): &Chain, own: &'a str) -> Vec<&'a str> {
    [
        &["--wait", "-t", table, verb, chain],
        *condition,
        &["-j", own],
    ]
    .concat()
}

fn run(program: &Path, args: &[&str]) -> Result<(), NetworkError> {
    program_of(program, args, b"").succeed()?;
    Ok(())
}

fn program_of<'a>(path: &'a Path, args: &'a [&'a str], input: &'a [u8]) -> Program<'a> {
    Program {
        path,
        args,
        env: &[],
        input,
        deadline: DEADLINE,
    }
}

/// The chains of one family as `iptables-restore` reads them; naming a chain empties it.
fn text(rules: &Rules<'_>, subnet: &Subnet) -> String {
    let name = &rules.name;
    let mut nat = String::new();
    for (pod, published) in &rules.ports {
        if pod.is_ipv6() == subnet.is_v6() {
            let _ = writeln!(nat, "-A {name}-ports {}", port_rule(*pod, published));
        }
    }
    let mut guard = String::new();
    if !subnet.is_v6() {
        let _ = writeln!(nat, "-A {name}-post -s 127.0.0.0/8 -o {name} -j MASQUERADE");
        let owner = comment(rules.owner);
        let _ = writeln!(
            guard,
            "-A {name}-guard -i {name} -d 127.0.0.0/8 -m comment --comment \"{owner}\" -j DROP"
        );
    }
    let multicast = if subnet.is_v6() {
        "ff00::/8"
    } else {
        "224.0.0.0/4"
    };
    let _ = write!(
        nat,
        "-A {name}-post -s {subnet} -o {name} -m conntrack --ctstate DNAT -j MASQUERADE\n\
         -A {name}-post -s {subnet} -d {subnet} -j RETURN\n\
         -A {name}-post -s {subnet} -d {multicast} -j RETURN\n\
         -A {name}-post -s {subnet} ! -o {name} -j MASQUERADE\n"
    );
    format!(
        "*nat\n:{name}-ports - [0:0]\n:{name}-post - [0:0]\n{nat}COMMIT\n\
         *raw\n:{name}-guard - [0:0]\n{guard}COMMIT\n"
    )
}

fn port_rule(pod: IpAddr, published: &Published) -> String {
    let protocol = published.word();
    let on = match published.address() {
        Some(on) => format!("-d {on} "),
        // What comes from ::1 could not be answered.
        None if pod.is_ipv6() => "! -d ::1 ".to_owned(),
        None => String::new(),
    };
    let to = match pod {
        IpAddr::V4(to) => to.to_string(),
        IpAddr::V6(to) => format!("[{to}]"),
    };
    let (from, to_port) = (published.host_port, published.container_port);
    format!("-p {protocol} {on}--dport {from} -j DNAT --to-destination {to}:{to_port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Protocol;
    use nix::sched::{CloneFlags, unshare};

    /// In a network namespace of this thread's own, which the programs inherit.
    #[test]
    fn the_chains_are_made_anew_each_time_and_removed_without_a_trace() {
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            let subnets: Vec<Subnet> = ["10.9.0.0/24", "fd09::/64"]
                .map(|text| text.parse().expect("a range"))
                .into();
            let published = |host_port| Published {
                protocol: Protocol::Tcp,
                host_ip: None,
                host_port,
                container_port: 80,
            };
            let pods = ["10.9.0.2", "fd09::2"].map(|ip| ip.parse().expect("an address"));
            let rules = |port| Rules {
                name: "podshim9".into(),
                subnets: &subnets,
                owner: "/run/x",
                ports: pods.map(|pod| (pod, published(port))).into(),
            };
            let list = |program: &str| {
                let program = find(program).expect("iptables is installed");
                let printed = |table| {
                    let listed = Program {
                        path: &program,
                        args: &["-t", table, "-S"],
                        env: &[],
                        input: b"",
                        deadline: DEADLINE,
                    };
                    String::from_utf8(listed.succeed().expect("listed")).expect("text")
                };
                printed("nat") + &printed("raw")
            };
            for port in [8080, 9090] {
                apply(&rules(port)).expect("applied");
                for (program, to) in [("iptables", "10.9.0.2:80"), ("ip6tables", "[fd09::2]:80")] {
                    let all = list(program);
                    assert_eq!(all.matches("-j DNAT").count(), 1, "{all}");
                    let rule = format!("--dport {port} -j DNAT --to-destination {to}");
                    assert!(all.contains(&rule), "{all}");
                    assert_eq!(all.matches("-j podshim9-post").count(), 1, "{all}");
                }
            }
            remove("podshim9", &subnets).expect("removed");
            remove("podshim9", &subnets).expect("nothing is left to remove");
            for program in ["iptables", "ip6tables"] {
                assert!(!list(program).contains("podshim9"));
            }
        })
        .join()
        .expect("a thread");
    }
}
