//! Address ranges of a bridge: arithmetic only.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Ports that a bridge of the kernel has, and so the most pods of one. Source: `BR_MAX_PORTS`.
pub(super) const BRIDGE_PORTS: u32 = 1024;
/// Where the built-in bridges get their IPv4 ranges: a private range that few use, cut into pieces of a bridge's size.
const POOL: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);
const POOL_PREFIX: u8 = 10;
const PIECE_PREFIX: u8 = 22;
/// Pieces of the pool.
pub(super) const PIECES: u16 = 1 << (PIECE_PREFIX - POOL_PREFIX);
/// Length of the prefix of an IPv6 range. Source: RFC 4291, 2.5.1.
const PREFIX_V6: u8 = 64;
/// Longest prefix that leaves room for a gateway and a pod, IPv4 and IPv6.
const LONGEST: (u8, u8) = (30, 126);

/// A range of addresses, written `10.0.0.0/22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The piece of the pool with this number, below [`PIECES`].
    pub(super) fn piece(number: u16) -> Subnet {
        let offset = u32::from(number % PIECES) << (32 - PIECE_PREFIX);
        Subnet {
            first: IpAddr::V4(Ipv4Addr::from(u32::from(POOL) + offset)),
            prefix: PIECE_PREFIX,
        }
    }

    /// A unique local IPv6 range. Source: RFC 4193: `fd`, 40 random bits, 16 bits of subnet.
    pub(super) fn local_v6(random: [u8; 5], number: u16) -> Subnet {
        let mut bytes = [0; 16];
        bytes[0] = 0xfd;
        bytes[1..6].copy_from_slice(&random);
        bytes[6..8].copy_from_slice(&number.to_be_bytes());
        Subnet {
            first: IpAddr::V6(Ipv6Addr::from(bytes)),
            prefix: PREFIX_V6,
        }
    }

    /// The smallest range with this address and length of prefix.
    pub(super) fn around(address: IpAddr, prefix: u8) -> Subnet {
        let first = match address {
            IpAddr::V4(ip) => {
                let rest = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(ip) & !rest))
            }
            IpAddr::V6(ip) => {
                let rest = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(ip) & !rest))
            }
        };
        Subnet { first, prefix }
    }

    /// Whether it is an IPv6 range.
    pub fn is_v6(&self) -> bool {
        self.first.is_ipv6()
    }

    pub(super) fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The address that the bridge has.
    pub(super) fn gateway(&self) -> IpAddr {
        self.address(1)
    }

    /// The address with this number.
    pub(super) fn address(&self, number: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip).wrapping_add(number))),
            IpAddr::V6(ip) => {
                IpAddr::V6(Ipv6Addr::from(u128::from(ip).wrapping_add(number.into())))
            }
        }
    }

    /// The numbers that pods may have end before this one. The last address of an IPv4 range is for broadcasts.
    pub(super) fn end(&self) -> u32 {
        let bits = if self.is_v6() { 128 } else { 32 } - self.prefix;
        let size = 1_u32.checked_shl(bits.into()).unwrap_or(u32::MAX);
        size.saturating_sub(1).min(BRIDGE_PORTS)
    }

    /// Whether two ranges have an address in common.
    pub(super) fn overlaps(&self, other: &Subnet) -> bool {
        let prefix = self.prefix.min(other.prefix);
        self.is_v6() == other.is_v6()
            && Subnet::around(self.first, prefix) == Subnet::around(other.first, prefix)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Subnet, String> {
        let wrong = || format!("`{text}` is no address range like 10.9.0.0/22 or fd09::/64");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv6() {
            LONGEST.1
        } else {
            LONGEST.0
        };
        if prefix == 0 || prefix > longest {
            return Err(format!(
                "`{text}` has no room for pods: its prefix is 1 to {longest} bits long"
            ));
        }
        Ok(Subnet::around(address, prefix))
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Subnet, String> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect("a range")
    }

    #[test]
    fn a_range_is_cut_to_its_prefix_and_counts_its_addresses() {
        let small = subnet("10.9.8.7/29");
        assert_eq!(small.to_string(), "10.9.8.0/29");
        assert_eq!(small.gateway().to_string(), "10.9.8.1");
        assert_eq!(small.address(2).to_string(), "10.9.8.2");
        assert_eq!(small.end(), 7, "the eighth is for broadcasts");
        assert_eq!(subnet("10.0.0.0/8").end(), BRIDGE_PORTS);
        assert_eq!(subnet("fd09::/64").end(), BRIDGE_PORTS);
        assert_eq!(subnet("fd09::/64").gateway().to_string(), "fd09::1");
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/31",
            "10.0.0.0/0",
            "fd::/127",
            "x/8",
            "1.2.3.4/x",
        ] {
            assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        assert!(subnet("10.0.0.0/8").overlaps(&subnet("10.64.4.0/22")));
        assert!(subnet("10.64.4.0/22").overlaps(&subnet("10.0.0.0/8")));
        assert!(!subnet("10.64.4.0/22").overlaps(&subnet("10.64.8.0/22")));
        assert!(!subnet("10.64.4.0/22").overlaps(&subnet("fd00::/8")));
    }

    #[test]
    fn the_pieces_of_the_pool_lie_side_by_side() {
        assert_eq!(Subnet::piece(0).to_string(), "10.64.0.0/22");
        assert_eq!(Subnet::piece(1).to_string(), "10.64.4.0/22");
        assert_eq!(Subnet::piece(PIECES - 1).to_string(), "10.127.252.0/22");
        let local = Subnet::local_v6([1, 2, 3, 4, 5], 7);
        assert_eq!(local.to_string(), "fd01:203:405:7::/64");
    }
}
