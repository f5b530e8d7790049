//! The rules of [`super::rules`] for machines without nftables: chains of our own, replaced as a whole by `iptables-restore`, and
//! one jump to each from the chains of the kernel.

use crate::network::NetworkError;
use crate::network::program::Program;
use crate::network::rules::{DEADLINE, Rules, comment, find};
use crate::network::{Published, Subnet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

/// Our chains: the table, the kernel's chain, the condition of the jump, the end of the name.
const CHAINS: [(&str, &str, &[&str], &str); 4] = [
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

/// The programs of a family.
fn programs(is_v6: bool) -> Option<(PathBuf, PathBuf)> {
    let name = if is_v6 { "ip6tables" } else { "iptables" };
    Some((find(name)?, find(&format!("{name}-restore"))?))
}

/// Puts the rules in place.
pub(super) fn apply(rules: &Rules<'_>) -> Result<(), NetworkError> {
    for subnet in rules.subnets {
        let Some((program, restore)) = programs(subnet.is_v6()) else {
            if subnet.is_v6() {
                continue;
            }
            return Err(NetworkError::NoFirewall);
        };
        Program {
            path: &restore,
            args: &["--noflush", "--wait"],
            env: &[],
            input: text(rules, subnet).as_bytes(),
            deadline: DEADLINE,
        }
        .succeed()?;
        for (table, chain, condition, end) in CHAINS {
            let own = format!("{}-{end}", rules.name);
            let jump = |verb| {
                [
                    &["--wait", "-t", table, verb, chain],
                    condition,
                    &["-j", &own],
                ]
                .concat()
            };
            let run = |args: &[&str]| run(&program, args);
            if run(&jump("-C")).is_err() {
                run(&jump("-A"))?;
            }
        }
    }
    Ok(())
}

/// Removes them; none there is no error.
pub(super) fn remove(name: &str, subnets: &[Subnet]) -> Result<(), NetworkError> {
    for subnet in subnets {
        let Some((program, _)) = programs(subnet.is_v6()) else {
            continue;
        };
        for (table, chain, condition, end) in CHAINS {
            let own = format!("{name}-{end}");
            let jump = [
                &["--wait", "-t", table, "-D", chain],
                condition,
                &["-j", &own],
            ]
            .concat();
            // One that is not there cannot be told from one that stays; the chain below cannot go while there is a jump to it.
            let _ = run(&program, &jump);
        }
        for (table, _, _, end) in CHAINS {
            let own = format!("{name}-{end}");
            if run(&program, &["--wait", "-t", table, "-S", &own]).is_ok() {
                run(&program, &["--wait", "-t", table, "-F", &own])?;
                run(&program, &["--wait", "-t", table, "-X", &own])?;
            }
        }
    }
    Ok(())
}

fn run(program: &std::path::Path, args: &[&str]) -> Result<(), NetworkError> {
    Program {
        path: program,
        args,
        env: &[],
        input: b"",
        deadline: DEADLINE,
    }
    .succeed()?;
    Ok(())
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
