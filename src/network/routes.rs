//! Where this machine sends packets to: what no bridge may claim.

use crate::network::Subnet;
use crate::network::error::{NetworkError, cannot};
use crate::network::netlink::{Link, Netlink};

/// The routing table, our own bridges aside.
pub(super) struct Routes {
    taken: Vec<Subnet>,
    /// The link of the default route.
    pub uplink: Option<u32>,
}

impl Routes {
    /// Reads it; `ours` do not count.
    pub fn read(netlink: &mut Netlink, ours: &[Link]) -> Result<Routes, NetworkError> {
        let routes = netlink.routes().map_err(cannot("list the routes"))?;
        let is_ours = |link: Option<u32>| ours.iter().any(|own| Some(own.index) == link);
        let taken = routes
            .iter()
            .filter(|(_, prefix, link)| *prefix > 0 && !is_ours(*link));
        Ok(Routes {
            taken: taken
                .map(|(to, prefix, _)| Subnet::around(*to, *prefix))
                .collect(),
            uplink: routes
                .iter()
                .find_map(|(_, prefix, link)| link.filter(|_| *prefix == 0)),
        })
    }

    /// An error if one of these ranges is taken.
    pub fn allow(&self, subnets: &[Subnet]) -> Result<(), NetworkError> {
        let clash = |subnet: &Subnet| self.taken.iter().find(|taken| taken.overlaps(subnet));
        match subnets
            .iter()
            .find_map(|subnet| Some((subnet, clash(subnet)?)))
        {
            None => Ok(()),
            Some((wanted, taken)) => Err(NetworkError::Overlap {
                wanted: wanted.to_string(),
                taken: taken.to_string(),
            }),
        }
    }
}
