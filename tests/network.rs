//! Pods on real networks of this machine: addresses, routes, published ports, plugins. Needs root, nft, iproute2, and Debian's
//! `containernetworking-plugins`.
//!
//! Each test has a host of its own, so a bridge of its own; the look at what is left covers links and firewall rules.

mod support;

mod network {
    mod bridge;
    mod cni;
    mod crash;
    mod forward;
    mod machine;
    mod names;
    mod policy;
    mod ports;
    mod wire;
}
