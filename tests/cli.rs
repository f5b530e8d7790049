//! What the command line promises without a pod and without root: usage, findings, exit codes, where words go.

mod support;

use crate::support::Host;

const GOOD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: \"img:1\"}\n";
const BAD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: \"img:1\", imagePullPolcy: Never}\n";

#[test]
fn check_ends_with_0_for_a_good_manifest_and_2_for_a_bad_one() {
    let host = Host::new("runc");
    let check = |text: &str| {
        let file = host.file("pod.yaml", text);
        host.podshim(["check".as_ref(), "-f".as_ref(), file.as_os_str()])
    };
    check(GOOD).expect(0);
    let bad = check(BAD).expect(2);
    let said = format!("{}{}", bad.stdout, bad.stderr);
    assert!(said.contains("imagePullPolcy"), "{said}");
    assert!(said.contains("pod.yaml:6"), "the line is named:\n{said}");
    check("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n").expect(2);
    check("{").expect(2);
    assert!(!host.path("state").exists(), "a check changes nothing");
}

#[test]
fn the_examples_of_the_repository_are_good_manifests() {
    let host = Host::new("runc");
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bundles/examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(examples).expect("bundles/examples") {
        let path = entry.expect("an entry").path();
        host.podshim(["check".as_ref(), "-f".as_ref(), path.as_os_str()])
            .expect(0);
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error() {
    let host = Host::new("runc");
    let ran = host
        .podshim([
            "check".as_ref(),
            "-f".as_ref(),
            host.path("absent.yaml").as_os_str(),
        ])
        .expect(2);
    assert!(ran.stderr.contains("absent.yaml"), "{}", ran.stderr);
}

#[test]
fn a_wrong_word_on_the_command_line_is_a_usage_error() {
    let host = Host::new("runc");
    for args in [vec!["frobnicate"], vec!["get", "--frobnicate"]] {
        let ran = host.podshim(&args).expect(2);
        assert!(
            ran.stdout.is_empty(),
            "messages go to standard error: {}",
            ran.stdout
        );
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn help_and_version_are_data() {
    let host = Host::new("runc");
    let help = host.podshim(["--help"]).text();
    for verb in [
        "run", "get", "logs", "exec", "stop", "delete", "check", "render", "events", "wait",
        "kill", "image",
    ] {
        assert!(help.contains(verb), "no {verb} in:\n{help}");
        host.podshim([verb, "--help"]).expect(0);
    }
    let version = host.podshim(["--version"]).text();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn a_host_without_pods_has_an_empty_list_and_no_such_pod() {
    let host = Host::new("runc");
    let list = host.podshim(["get", "-o", "json"]).json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "{list}");
    let ran = host.podshim(["get", "p"]).expect(3);
    assert!(
        ran.stdout.is_empty() && ran.stderr.contains("error: "),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}
