//! The finished program on this machine, with each runtime of `PODSHIM_TEST_RUNTIMES`. Needs root.
//!
//! Tests named `cNN_…` are rows of the conformance list; the others are the everyday use of the command line. Each runs on a
//! host of its own and ends with a look at what is left: processes, mounts, cgroups, files.

mod support;

mod e2e {
    mod attach;
    mod claims;
    mod commands;
    mod copy;
    mod debug;
    mod devices;
    mod environment;
    mod eviction;
    mod execs;
    mod explain;
    mod foreground;
    mod health;
    mod lifecycle;
    mod logs;
    mod manifests;
    mod native;
    mod paths;
    mod propagation;
    mod resources;
    mod sandbox;
    mod security;
    mod sharing;
    mod sub_paths;
    mod volumes;
    mod watching;
}
