//! The architecture is a test. Reads the sources as text and fails on what the picture in `src/lib.rs` does not have.
//!
//! The rules are one pure function over (path, text); the second half of this file plants a violation of each and looks
//! whether it is found.

use std::fmt;
use std::fs;
use std::path::Path;

/// Most lines of a file, its tests not counted. An allowlist would stand here; it is empty and stays so.
const MAX_LINES: usize = 500;

/// What may lie at the top of the repository, apart from dot-files.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "NOTICE",
    "README.md",
    "build.rs",
    "bundles",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "scripts",
    "src",
    "target",
    "tests",
];

/// The dot-files that may lie beside them.
const TOP_LEVEL_DOT: &[&str] = &[".ci", ".git", ".gitignore", ".github"];

/// Words that MIND may not say: they reach for the world.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime",
    "Instant",
    "rand::",
    "getrandom",
    "rustix",
    "nix::",
    "tempfile",
    "which::",
];

/// What nobody may leave behind.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// A row of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Ground,
    Mind,
    Hands,
    Loop,
    Door,
    Faces,
}

/// Where a module stands in the picture; `None` means it is not in it.
fn layer(module: &str) -> Option<Layer> {
    Some(match module {
        "base" | "sys" => Layer::Ground,
        "manifest" | "bundle" | "pod" => Layer::Mind,
        "runtime" | "image" | "network" | "volume" | "store" | "stdio" | "probe" => Layer::Hands,
        "supervisor" => Layer::Loop,
        "api" => Layer::Door,
        "cli" | "shim" | "cri" => Layer::Faces,
        _ => return None,
    })
}

/// Whether the picture has an arrow between two modules.
fn may_import(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    let (Some(above), Some(below)) = (layer(from), layer(to)) else {
        return false;
    };
    match (from, to) {
        ("sys", "base") | ("bundle" | "pod", "manifest") => true,
        _ if above == Layer::Mind => to == "base",
        _ => above > below,
    }
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Everything wrong with one source file. `path` starts at the repository.
fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| {
        found.push(Finding {
            path: path.to_owned(),
            line,
            what,
        });
    };
    if !text.starts_with("//!") {
        report(1, "a module opens with `//!`: what it is for".to_owned());
    }
    let code = without_comments_and_strings(text);
    let module = module_of(path);
    let length = code_lines(path, text);
    if length > MAX_LINES {
        report(length, format!("{length} lines, at most {MAX_LINES}"));
    }
    if let Some(from) = module {
        for (at, to) in crate_modules(&code) {
            if !may_import(from, to) {
                let number = code[..at].matches('\n').count() + 1;
                report(number, format!("the picture has no arrow {from} → {to}"));
            }
        }
    }
    for (number, line) in code.lines().enumerate() {
        let number = number + 1;
        if let Some(from) = module
            && layer(from) == Some(Layer::Mind)
            && let Some(word) = IMPURE.iter().find(|word| has_word(line, word))
        {
            report(number, format!("{from} is pure and may not say `{word}`"));
        }
        if has_word(line, "unsafe") && !path.starts_with("src/sys/") {
            report(number, "`unsafe` lives in src/sys".to_owned());
        }
        if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
            report(number, format!("`{word}` is unfinished work"));
        }
    }
    found
}

/// `src/<module>/…` or `src/<module>.rs`; `None` for the roots, which may name everything.
fn module_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let first = rest.split('/').next()?.trim_end_matches(".rs");
    (!matches!(first, "lib" | "main")).then_some(first)
}

/// Lines before the unit tests at the bottom of a file; none of a file that is only tests.
fn code_lines(path: &str, text: &str) -> usize {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return 0;
    }
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
    tests.unwrap_or(lines.len())
}

/// The modules that the code names by `crate::`, those of `crate::{a, b::c}` included, each with the place of its `crate::`.
fn crate_modules(code: &str) -> Vec<(usize, &str)> {
    let mut modules = Vec::new();
    for (at, word) in code.match_indices("crate::") {
        if is_word_byte(code[..at].bytes().last()) {
            continue;
        }
        let rest = &code[at + word.len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => outer_names(group),
            None => vec![rest],
        };
        for name in names {
            let name = name.trim_start();
            let end = name.bytes().position(|b| !is_word_byte(Some(b)));
            let name = &name[..end.unwrap_or(name.len())];
            if !name.is_empty() {
                modules.push((at, name));
            }
        }
    }
    modules
}

/// The entries of `a, b::{c, d}, e}…`, each from its first letter.
fn outer_names(group: &str) -> Vec<&str> {
    let (mut names, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(&group[start..at]);
                return names;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    names.push(&group[start..]);
    names
}

/// Whether a line says a word, not a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].bytes().next();
        !is_word_byte(line[..at].bytes().last())
            && (!is_word_byte(word.bytes().last()) || !is_word_byte(after))
    })
}

fn is_word_byte(byte: Option<u8>) -> bool {
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The text with comments and the contents of strings blanked; lines keep their numbers.
fn without_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => end_of_line(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => end_of_block(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !is_word_byte(out.bytes().last()) => end_of_raw_string(bytes, at),
            b'\'' => end_of_char(bytes, at),
            _ => at + 1,
        };
        if end == at + 1 {
            out.push(if bytes[at].is_ascii() {
                char::from(bytes[at])
            } else {
                ' '
            });
        } else {
            out.extend(bytes[at..end].iter().filter(|b| **b == b'\n').map(|_| '\n'));
        }
        at = end;
    }
    out
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(bytes.len(), |n| at + n)
}

fn end_of_block(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < bytes.len() {
        match &bytes[i..bytes.len().min(i + 2)] {
            b"/*" => {
                depth += 1;
                i += 2;
            }
            b"*/" => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#`; one byte if it is no raw string.
fn end_of_raw_string(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return at + 1;
    }
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let start = at + hashes + 2;
    bytes[start..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(bytes.len(), |n| start + n + close.len())
}

/// `'"'`, `'\''`; one byte if it is a lifetime.
fn end_of_char(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at + 1) {
        Some(b'\\') => bytes[at + 3..]
            .iter()
            .position(|b| *b == b'\'')
            .map_or(bytes.len(), |n| at + 3 + n + 1),
        Some(_) if bytes.get(at + 2) == Some(&b'\'') => at + 3,
        _ => at + 1,
    }
}

/// The entries of the repository's top that do not belong there.
fn strangers<'a>(entries: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    entries
        .filter(|name| !TOP_LEVEL.contains(name) && !TOP_LEVEL_DOT.contains(name))
        .collect()
}

/// The verbs of the `enum` that derives clap's `Subcommand`, as the command line spells them.
fn verbs(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("Subcommand)]") else {
        return Vec::new();
    };
    let Some((body, _)) = rest
        .split_once('{')
        .and_then(|(_, body)| body.split_once("\n}"))
    else {
        return Vec::new();
    };
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| {
            line.chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect::<String>()
        })
        .map(|name| snake(&name))
        .collect()
}

/// `PortForward` → `port_forward`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Each Rust file under a directory of the repository, with its path from there.
fn sources(root: &Path, directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![root.join(directory)];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root)
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned();
                found.push((
                    name,
                    fs::read_to_string(&path).expect("a source file is text"),
                ));
            }
        }
    }
    found.sort();
    found
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_source_file_keeps_to_the_picture() {
    let sources = sources(repository(), "src");
    assert!(sources.len() > 10, "the sources were not found");
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| findings(path, text))
        .map(|finding| finding.to_string())
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_module_of_the_library_is_in_the_picture() {
    let library = fs::read_to_string(repository().join("src/lib.rs")).expect("src/lib.rs");
    let picture: String = library
        .lines()
        .filter(|line| line.starts_with("//!"))
        .collect();
    let modules: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(!modules.is_empty());
    for module in modules {
        assert!(layer(module).is_some(), "{module} has no layer");
        assert!(has_word(&picture, module), "{module} is not in the picture");
    }
}

#[test]
fn the_top_of_the_repository_has_only_what_belongs_there() {
    let names: Vec<String> = fs::read_dir(repository())
        .expect("the repository")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(
        strangers(names.iter().map(String::as_str)),
        Vec::<&str>::new()
    );
}

#[test]
fn every_verb_of_the_command_line_has_its_file() {
    let cli = repository().join("src/cli");
    let verbs: Vec<String> = sources(repository(), "src/cli")
        .iter()
        // Below it stand the verbs of verbs.
        .filter(|(path, _)| path == "src/cli/args.rs")
        .flat_map(|(_, text)| verbs(text))
        .collect();
    assert!(!verbs.is_empty(), "the grammar is in src/cli/args.rs");
    let missing: Vec<&String> = verbs
        .iter()
        .filter(|verb| !cli.join(format!("{verb}.rs")).exists() && !cli.join(verb).is_dir())
        .collect();
    assert!(!verbs.is_empty(), "the grammar is in src/cli/args.rs");
    assert!(missing.is_empty(), "no file in src/cli for {missing:?}");
}

mod planted {
    //! One violation of each rule, and its innocent neighbour.

    use super::*;

    fn what(path: &str, text: &str) -> Vec<String> {
        let text = format!("//! Doc.\n{text}");
        findings(path, &text)
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn an_arrow_upwards_or_sideways_is_found() {
        for (path, text, arrow) in [
            ("src/pod/step.rs", "use crate::sys::clock;", "pod → sys"),
            (
                "src/pod/step.rs",
                "use crate::bundle::Spec;",
                "pod → bundle",
            ),
            (
                "src/manifest/mod.rs",
                "use crate::pod::Action;",
                "manifest → pod",
            ),
            (
                "src/store/mod.rs",
                "use crate::image::Store;",
                "store → image",
            ),
            (
                "src/base/ids.rs",
                "fn f() { crate::sys::now() }",
                "base → sys",
            ),
            (
                "src/supervisor/mod.rs",
                "use crate::api::Server;",
                "supervisor → api",
            ),
            (
                "src/api/mod.rs",
                "    #[cfg(test)] use crate::cli::main;",
                "api → cli",
            ),
            ("src/cli/mod.rs", "use crate::unheard::of;", "cli → unheard"),
            (
                "src/volume/mod.rs",
                "use crate::{base::Exit, stdio::Log};",
                "volume → stdio",
            ),
            (
                "src/store.rs",
                "use crate::{sys::{lock, mount}, volume};",
                "store → volume",
            ),
            (
                "src/volume/mod.rs",
                "use crate::{\n    base::Exit,\n    stdio::Log,\n};",
                "volume → stdio",
            ),
        ] {
            assert_eq!(
                what(path, text),
                [format!("the picture has no arrow {arrow}")],
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn the_arrows_of_the_picture_are_free() {
        for (path, text) in [
            ("src/sys/clock.rs", "use crate::base::Mono;"),
            (
                "src/pod/step.rs",
                "use crate::{base::Mono, manifest::Pod, pod::Input};",
            ),
            (
                "src/volume/mod.rs",
                "use crate::manifest::Volume; use crate::sys::mount;",
            ),
            (
                "src/supervisor/mod.rs",
                "use crate::{pod, runtime, store::{Dir, Lock}, sys};",
            ),
            ("src/api/mod.rs", "use crate::supervisor::Asked;"),
            ("src/cli/mod.rs", "use crate::{api, image, supervisor};"),
            ("src/lib.rs", "pub use crate::cli::main;"),
            (
                "src/pod/step.rs",
                "// crate::sys is not for us\nlet s = \"crate::sys\";",
            ),
        ] {
            assert_eq!(what(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn a_pure_module_that_reaches_for_the_world_is_found() {
        for word in [
            "use tokio::time;",
            "std::fs::read(x)",
            "std::env::var(x)",
            "SystemTime::now()",
            "Instant::now()",
            "rand::random()",
        ] {
            assert_eq!(what("src/bundle/mounts.rs", word).len(), 1, "{word}");
            assert_eq!(what("src/store/mod.rs", word).len(), 0, "{word}");
        }
        assert_eq!(
            what("src/bundle/mounts.rs", "let operand = unix;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn unsafe_outside_of_sys_is_found() {
        assert_eq!(what("src/store/lock.rs", "unsafe { f() }").len(), 1);
        assert_eq!(what("src/sys/lock.rs", "unsafe { f() }").len(), 0);
        assert_eq!(
            what(
                "src/store/lock.rs",
                "let x = \"unsafe\"; // unsafe\nunsafe_code();"
            )
            .len(),
            0
        );
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in ["todo!()", "unimplemented!(\"later\")", "dbg!(x)"] {
            assert_eq!(what("src/cli/run.rs", word).len(), 1, "{word}");
        }
        assert_eq!(what("src/cli/run.rs", "my_dbg!(x); /* todo!() */").len(), 0);
    }

    #[test]
    fn a_file_without_its_purpose_is_found() {
        assert_eq!(
            findings("src/base/a.rs", "// a comment\nfn f() {}").len(),
            1
        );
        assert_eq!(
            findings("src/base/a.rs", "//! What it is for.\nfn f() {}").len(),
            0
        );
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(MAX_LINES);
        assert_eq!(what("src/base/a.rs", &long).len(), 1);
        let tested = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(what("src/base/a.rs", &tested).len(), 0);
    }

    #[test]
    fn a_stranger_at_the_top_is_found() {
        assert_eq!(
            strangers(["src", "docs", ".gitignore", ".idea"].into_iter()),
            ["docs", ".idea"]
        );
    }

    #[test]
    fn verbs_are_read_from_the_subcommands() {
        let text = "#[derive(Subcommand)]\npub enum Verb {\n    /// Runs.\n    Run(run::Args),\n    #[command(alias = \"rm\")]\n    Delete {\n        Name: String,\n    },\n    PortForward,\n}\n";
        assert_eq!(verbs(text), ["run", "delete", "port_forward"]);
    }

    #[test]
    fn text_that_only_looks_like_code_is_blanked() {
        for (text, blanked) in [
            ("a // b\nc", "a \nc"),
            ("a /* b /* c\n */ d */ e", "a \n e"),
            (r#"f("x\"y") g"#, "f() g"),
            ("f(r#\"x\"y\"#) g", "f() g"),
            (r"'\'' x 'a b", " x 'a b"),
            ("'\"' x", " x"),
            ("for x", "for x"),
        ] {
            assert_eq!(without_comments_and_strings(text), blanked, "{text}");
        }
    }
}
