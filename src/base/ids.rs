//! Ids as types, so that one is never taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;

/// `metadata.uid` of a pod: a lower-case UUID; every file, cgroup and log path of the pod is keyed by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodUid(pub String);

/// One attempt to run one container (or the pause container). Also its OCI container id. Never used twice: it is made of the
/// container's name and a number that only grows within the pod, e.g. `web-3`, and it is recorded before it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl PodUid {
    /// A version 4 UUID from 16 random bytes. The caller brings the bytes: this layer has no random.
    /// Source: RFC 9562, section 5.4.
    pub fn from_random(mut bytes: [u8; 16]) -> PodUid {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        PodUid(format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        ))
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uid_is_a_version_4_uuid() {
        assert_eq!(
            PodUid::from_random([0xff; 16]).0,
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
    }
}
