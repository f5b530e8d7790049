//! Whose a bridge is, and the names that follow from it.

use crate::base::PodUid;
use crate::network::error::{NetworkError, cannot};
use crate::network::netlink::{Link, Netlink};
use crate::network::subnet::PIECES;
use sha2::{Digest, Sha256};
use std::path::Path;

/// How the name of a bridge begins.
pub(super) const BRIDGE: &str = "podshim";
/// Where an installation is whose bridge gets number 0.
const USUAL_STATE: &str = "/run/podshim";

/// The installation whose bridge is meant.
pub(super) struct Owner {
    pub hash: [u8; 32],
    /// Its state directory.
    pub state: String,
}

impl Owner {
    pub fn of(state: &Path) -> Owner {
        let real = std::fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
        let state = real.to_string_lossy().into_owned();
        Owner {
            hash: Sha256::digest(state.as_bytes()).into(),
            state,
        }
    }

    /// Locally administered, unicast. Source: IEEE 802, 8.4.
    pub fn mac(&self) -> [u8; 6] {
        [
            0x02,
            self.hash[0],
            self.hash[1],
            self.hash[2],
            self.hash[3],
            self.hash[4],
        ]
    }

    /// The first number that its bridge tries.
    pub fn first_number(&self) -> u16 {
        if self.state == USUAL_STATE {
            return 0;
        }
        u16::from_be_bytes([self.hash[5], self.hash[6]]) % PIECES
    }

    /// The bridges of this installation: at most one, unless a set-up was cut short.
    pub fn bridges(&self, netlink: &mut Netlink) -> Result<Vec<Link>, NetworkError> {
        let mut links = netlink.links().map_err(cannot("list the links"))?;
        links.retain(|link| link.mac == self.mac() && link.name.starts_with(BRIDGE));
        Ok(links)
    }

    /// Name of our end of a pod's link: 15 bytes are all that a name has.
    pub fn link_of(&self, uid: &PodUid) -> String {
        let text = format!("{} {uid}", self.state);
        let hash = Sha256::digest(text.as_bytes());
        let hex: String = hash
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("pod{hex}")
    }
}
