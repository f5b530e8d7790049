//! stub
use crate::manifest::{ConfigObject, Pod, downward::Facts};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
/// x
pub struct VolumeDirs<'a> {
    /// x
    pub disk: &'a Path,
    /// x
    pub memory: &'a Path,
}
/// x
pub fn prepare(
    _: &Pod,
    _: &[ConfigObject],
    _: &Facts<'_>,
    _: &VolumeDirs<'_>,
) -> Result<BTreeMap<String, PathBuf>, std::io::Error> {
    Ok(BTreeMap::new())
}
/// x
pub fn release(_: &VolumeDirs<'_>) -> Result<(), std::io::Error> {
    Ok(())
}
