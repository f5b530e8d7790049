//! Builds `bundles/pause/pause.rs` for the target with the same rustc, static and without libc, for `include_bytes!`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "bundles/pause/pause.rs";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let target = var("TARGET");
    let out = PathBuf::from(var("OUT_DIR")).join("pause");
    let mut rustc = Command::new(var("RUSTC"));
    rustc.args([
        "--edition=2024",
        "--crate-name=pause",
        "--crate-type=bin",
        "--target",
        &target,
        SOURCE,
    ]);
    rustc.args([
        "-Copt-level=z",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "-Crelocation-model=static",
        "-Ctarget-feature=+crt-static",
    ]);
    if target.contains("musl") {
        rustc.arg("-Clink-self-contained=no");
    }
    // One page-aligned segment less on disk and in memory: the program has no data to protect from its code.
    rustc.args(["-Clinker-flavor=gcc", "-Clinker=cc"]);
    rustc.args(
        [
            "-nostartfiles",
            "-nostdlib",
            "-static",
            "-no-pie",
            "-Wl,-z,noseparate-code",
            "-Wl,--build-id=none",
        ]
        .map(|arg| format!("-Clink-arg={arg}")),
    );
    let status = rustc.arg("-o").arg(&out).status().expect("rustc runs");
    assert!(status.success(), "cannot build {SOURCE} for {target}");
    println!("cargo:rustc-env=PODSHIM_PAUSE={}", out.display());
}
