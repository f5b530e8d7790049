//! What an installation knows of its bridge: one file, written whole, under one lock. It is the allocation: an address belongs to
//! the pod whose lease is here, from before anything is made until after it is gone.

use crate::base::PodUid;
use crate::network::error::{NetworkError, cannot};
use crate::network::owner::BRIDGE;
use crate::network::rules::Firewall;
use crate::network::{Published, Subnet};
use crate::sys::{self, Lock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest record that is read, in bytes: a thousand pods with some dozen ports each.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The first number of a pod: 0 is the range itself, 1 the bridge.
const FIRST: u32 = 2;

/// The bridge of an installation and who uses it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// The boot it is of: nothing of an earlier one is true.
    pub boot: String,
    /// Names the bridge: `podshim<number>`.
    pub number: u16,
    pub subnets: Vec<Subnet>,
    /// Of its links, in bytes.
    pub mtu: u32,
    pub firewall: Option<Firewall>,
    /// Whether something was let through a `FORWARD` that drops: from before it is done.
    #[serde(default)]
    pub passage: bool,
    /// The number given last: a free one is given again as late as possible.
    pub last: u32,
    pub leases: BTreeMap<PodUid, Lease>,
}

/// What one pod has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Which address of each range.
    pub number: u32,
    /// `<namespace>/<name>`.
    pub pod: String,
    pub ports: Vec<Published>,
}

impl Record {
    /// Name of the bridge and of the table.
    pub fn name(&self) -> String {
        format!("{BRIDGE}{}", self.number)
    }

    /// Gives a pod its number, the one it has or the next that is free.
    pub fn lease(
        &mut self,
        uid: &PodUid,
        pod: &str,
        ports: Vec<Published>,
    ) -> Result<u32, NetworkError> {
        let number = match self.leases.get(uid) {
            Some(lease) => lease.number,
            None => self.next()?,
        };
        let pod = pod.to_owned();
        let lease = Lease { number, pod, ports };
        self.leases.insert(uid.clone(), lease);
        Ok(number)
    }

    fn next(&mut self) -> Result<u32, NetworkError> {
        let end = self.subnets.iter().map(Subnet::end).min().unwrap_or(0);
        let taken: BTreeSet<u32> = self.leases.values().map(|lease| lease.number).collect();
        let after = self.last.saturating_add(1).clamp(FIRST, end.max(FIRST));
        let free = (after..end)
            .chain(FIRST..after.min(end))
            .find(|number| !taken.contains(number));
        let all = || {
            let subnets: Vec<String> = self.subnets.iter().map(Subnet::to_string).collect();
            NetworkError::Full(subnets.join(" and "))
        };
        self.last = free.ok_or_else(all)?;
        Ok(self.last)
    }

    /// Published ports with the addresses they lead to.
    pub fn ports(&self) -> Vec<(std::net::IpAddr, Published)> {
        let of = |lease: &Lease| {
            let mut rows = Vec::new();
            for subnet in &self.subnets {
                let address = subnet.address(lease.number);
                let meant = lease.ports.iter().filter(|port| port.is_for(address));
                rows.extend(meant.map(|port| (address, *port)));
            }
            rows
        };
        self.leases.values().flat_map(of).collect()
    }
}

/// The ranges of the bridge, if there is one. Needs no lock: a record is replaced as a whole.
pub(super) fn subnets(state: &Path) -> Result<Option<Vec<Subnet>>, NetworkError> {
    let path = state.join("network").join("bridge.json");
    let record = read_record(&path).map_err(cannot(format!("read `{}`", path.display())))?;
    let record = record.filter(|record| record.boot == sys::boot_id());
    Ok(record.map(|record| record.subnets))
}

/// The record, for whoever holds its lock.
pub(super) struct Locked {
    path: PathBuf,
    pub record: Record,
    _lock: Lock,
}

impl Locked {
    /// Waits for the lock and reads. `<state>/network` is made if it is not there.
    pub fn take(state: &Path) -> Result<Locked, NetworkError> {
        let dir = state.join("network");
        sys::create_dirs(&dir, 0o700)
            .map_err(cannot(format!("make directory `{}`", dir.display())))?;
        let lock = Lock::take(&dir.join("bridge.lock"))
            .map_err(cannot("lock the record of the bridge"))?;
        let path = dir.join("bridge.json");
        let read = cannot(format!("read `{}`", path.display()));
        let boot = sys::boot_id();
        let record = read_record(&path).map_err(read)?;
        let record = record.filter(|record| record.boot == boot);
        let empty = || Record {
            boot,
            ..Record::default()
        };
        Ok(Locked {
            path,
            record: record.unwrap_or_else(empty),
            _lock: lock,
        })
    }

    /// Writes it down; without a lease there is nothing to know.
    pub fn write(&self) -> Result<(), NetworkError> {
        let write = || match self.record.leases.is_empty() {
            true => match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            },
            false => {
                let bytes = serde_json::to_vec(&self.record)?;
                sys::write_atomic(&self.path, &bytes, 0o600)
            }
        };
        write().map_err(cannot(format!("write `{}`", self.path.display())))
    }
}

fn read_record(path: &Path) -> io::Result<Option<Record>> {
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(Some(serde_json::from_slice(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> PodUid {
        PodUid(n.to_string())
    }

    #[test]
    fn no_address_is_given_twice_and_a_free_one_comes_back_last() {
        let mut record = Record {
            subnets: vec!["10.0.0.0/29".parse().expect("a range")],
            ..Record::default()
        };
        let lease = |record: &mut Record, n| record.lease(&uid(n), "d/p", Vec::new());
        for n in 2..7 {
            assert_eq!(lease(&mut record, n).expect("free"), n);
        }
        assert!(matches!(lease(&mut record, 7), Err(NetworkError::Full(_))));
        assert_eq!(lease(&mut record, 3).expect("its own"), 3);
        record.leases.remove(&uid(3));
        record.leases.remove(&uid(5));
        assert_eq!(lease(&mut record, 8).expect("free"), 3);
        record.leases.remove(&uid(8));
        assert_eq!(lease(&mut record, 9).expect("free"), 5, "3 was the last");
    }

    #[test]
    fn a_record_of_an_earlier_boot_or_without_leases_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut locked = Locked::take(dir.path()).expect("new");
        locked.record.subnets = vec!["10.0.0.0/29".parse().expect("a range")];
        locked
            .record
            .lease(&uid(1), "d/p", Vec::new())
            .expect("free");
        locked.write().expect("written");
        drop(locked);
        let mut locked = Locked::take(dir.path()).expect("read");
        assert_eq!(locked.record.leases.len(), 1);
        locked.record.boot = "another".into();
        locked.write().expect("written");
        drop(locked);
        let mut locked = Locked::take(dir.path()).expect("read");
        assert!(locked.record.leases.is_empty());
        locked.record.leases.clear();
        locked.write().expect("removed");
        assert!(!dir.path().join("network/bridge.json").exists());
    }
}
