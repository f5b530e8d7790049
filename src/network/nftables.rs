//! Questions to the kernel's nf_tables, asked without a program. Source: `linux/netfilter/nf_tables.h`.

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::io;
use std::os::fd::AsRawFd;

/// `NFNL_SUBSYS_NFTABLES`, the upper byte of every message.
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_GETTABLE`, `NFT_MSG_GETCHAIN`.
const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_CHAIN_NAME`, `NFTA_CHAIN_POLICY`.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_POLICY: u16 = 5;
/// `NFPROTO_INET`, `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `NF_DROP`, in network order as every number of nf_tables.
const DROP: [u8; 4] = [0; 4];
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST: u16 = 1 | 4;
/// `NLMSG_ERROR`, which is the acknowledgement, too.
const ERROR: u16 = 2;
/// Of a message and of what nf_tables puts before its attributes, in bytes.
const HEADERS: usize = 16 + 4;

/// Whether there is a table of this name in the family `inet`. What cannot be asked is not there.
pub(super) fn table_exists(name: &str) -> bool {
    let answer = ask(GET_TABLE, INET, &[(TABLE_NAME, name)]);
    answer.is_ok_and(|answer| answer.is_some())
}

/// Whether the chain that iptables calls `FORWARD` drops what none of its rules decides about.
pub(super) fn forward_drops(is_v6: bool) -> bool {
    let family = if is_v6 { IPV6 } else { IPV4 };
    let names = [(CHAIN_TABLE, "filter"), (CHAIN_NAME, "FORWARD")];
    let answer = ask(GET_CHAIN, family, &names).ok().flatten();
    answer.is_some_and(|chain| attribute(&chain, CHAIN_POLICY) == Some(&DROP))
}

/// The attributes of the one thing that is asked for; none if there is no such thing.
fn ask(kind: u16, family: u8, names: &[(u16, &str)]) -> io::Result<Option<Vec<u8>>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let mut attributes = Vec::new();
    for (kind, name) in names {
        let length = u16::try_from(4 + name.len() + 1).map_err(io::Error::other)?;
        attributes.extend(length.to_ne_bytes());
        attributes.extend(kind.to_ne_bytes());
        attributes.extend(name.as_bytes());
        attributes.push(0);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(HEADERS + attributes.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    for half in [kind, REQUEST] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(attributes);
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
    let mut answer = [0; 8192];
    let n = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = &answer[..n];
    let kind = answer.get(4..6).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    let is_one = kind.is_some_and(|kind| kind != ERROR);
    Ok(answer.get(HEADERS..).filter(|_| is_one).map(<[u8]>::to_vec))
}

/// The value of an attribute.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let [a, b, c, d, ..] = *attributes else {
            return None;
        };
        let (length, kind) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..usize::from(length))?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(usize::from(length).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;

    #[test]
    fn a_table_that_nobody_made_does_not_exist() {
        assert!(!table_exists("podshim-nobody"));
    }

    /// In a network namespace of this thread's own, which the program inherits.
    #[test]
    fn a_policy_is_read_as_iptables_has_set_it() {
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
            assert!(!forward_drops(false) && !forward_drops(true), "no chain");
            let set = |program: &str, policy: &str| {
                let mut command = Command::new(program);
                let set = command.args(["-P", "FORWARD", policy]).status();
                assert!(set.expect("iptables is installed").success());
            };
            set("iptables-nft", "ACCEPT");
            assert!(!forward_drops(false));
            set("iptables-nft", "DROP");
            assert!(forward_drops(false) && !forward_drops(true));
            set("ip6tables-nft", "DROP");
            assert!(forward_drops(true));
        })
        .join()
        .expect("a thread");
    }

    #[test]
    fn attributes_that_end_early_are_none() {
        for text in [
            &b""[..],
            b"\x04",
            b"\xff\x00\x05\x00",
            b"\x00\x00\x01\x00",
            b"\x03\x00\x01\x00",
        ] {
            assert_eq!(attribute(text, 5), None, "{text:?}");
        }
        let two = [8, 0, 1, 0, b'a', 0, 0, 0, 8, 0, 5, 0, 0, 0, 0, 0];
        assert_eq!(attribute(&two, 5), Some(&DROP[..]));
    }
}
