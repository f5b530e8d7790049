//! What the global flags come to.

use crate::cli::args::Global;
use crate::store::Dirs;

/// The resolved global settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub dirs: Dirs,
    pub runtime: Option<String>,
    pub namespace: String,
}

impl Settings {
    pub fn new(global: &Global) -> Settings {
        Settings {
            dirs: Dirs {
                state: global.state.clone(),
                data: global.root.clone(),
                logs: global.logs.clone(),
            },
            runtime: global.runtime.clone(),
            namespace: global.namespace.clone(),
        }
    }
}
