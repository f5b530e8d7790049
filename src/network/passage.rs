//! Machines whose `FORWARD` drops by its policy, as Docker leaves them: what pods send to others would be lost in a chain that is
//! not ours, and no table of ours can overrule it. A chain of ours lets it through, for as long as there is the bridge.

use crate::network::{NetworkError, Subnet, iptables, nftables};
use std::fs;

/// Variants, by the ends of the names of their programs.
const NFT: &str = "-nft";
const LEGACY: &str = "-legacy";

/// Where the policy stands: a family, and the variant of iptables that has set it.
type Policy = (bool, &'static str);

/// The policies that drop what is forwarded, of the families of these ranges.
pub(super) fn closed(subnets: &[Subnet]) -> Vec<Policy> {
    let mut closed = Vec::new();
    for is_v6 in subnets.iter().map(Subnet::is_v6) {
        if nftables::forward_drops(is_v6) {
            closed.push((is_v6, NFT));
        }
        if has_legacy_filter(is_v6) && iptables::legacy_forward_drops(is_v6) {
            closed.push((is_v6, LEGACY));
        }
    }
    closed
}

/// Whether the kernel has the older kind of table; a program that asks for it would make it.
fn has_legacy_filter(is_v6: bool) -> bool {
    let kind = if is_v6 { "ip6" } else { "ip" };
    let names = fs::read_to_string(format!("/proc/thread-self/net/{kind}_tables_names"));
    names.is_ok_and(|names| names.lines().any(|name| name == "filter"))
}

/// Lets the traffic of a bridge through.
pub(super) fn open(name: &str, closed: &[Policy]) -> Result<(), NetworkError> {
    let open = |(is_v6, variant): &Policy| iptables::open_forward(name, *is_v6, variant);
    closed.iter().try_for_each(open)
}

/// Undoes it, whatever the policies are by now.
pub(super) fn close(name: &str, subnets: &[Subnet]) -> Result<(), NetworkError> {
    for is_v6 in subnets.iter().map(Subnet::is_v6) {
        iptables::close_forward(name, is_v6, NFT)?;
        if has_legacy_filter(is_v6) {
            iptables::close_forward(name, is_v6, LEGACY)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;

    fn run(words: &str) -> String {
        let mut words = words.split(' ');
        let output = Command::new(words.next().expect("a program"))
            .args(words)
            .output();
        let output = output.expect("iptables is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// In a network namespace of this thread's own, which the programs inherit.
    #[test]
    fn each_kind_of_iptables_is_opened_where_it_drops_and_left_as_it_was() {
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            let subnets: Vec<Subnet> = ["10.9.0.0/24", "fd09::/64"]
                .map(|text| text.parse().expect("a range"))
                .into();
            assert_eq!(closed(&subnets), []);
            let kinds = [
                ("iptables-nft", (false, NFT)),
                ("ip6tables-nft", (true, NFT)),
                ("iptables-legacy", (false, LEGACY)),
                ("ip6tables-legacy", (true, LEGACY)),
            ];
            let look = || kinds.map(|(program, _)| run(&format!("{program} -S FORWARD")));
            for (program, policy) in kinds {
                run(&format!("{program} -P FORWARD DROP"));
                assert!(closed(&subnets).contains(&policy), "{program}");
            }
            let before = look();
            for _twice in 0..2 {
                open("podshim9", &closed(&subnets)).expect("opened");
                for rules in look() {
                    assert_eq!(rules.matches("-j podshim9-fwd").count(), 1, "{rules}");
                }
            }
            for _twice in 0..2 {
                close("podshim9", &subnets).expect("closed");
                assert_eq!(look(), before);
            }
            for (program, _) in kinds {
                assert!(!run(&format!("{program} -S")).contains("podshim9"));
            }
        })
        .join()
        .expect("a thread");
    }
}
