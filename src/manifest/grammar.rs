//! The grammar of names, keys, paths and numbers: pure predicates that say what is wrong. Source: `apimachinery`
//! util/validation, `core/v1` validation.
//!
//! A text that a rule accepts is bounded in length unless the rule says otherwise.

use crate::base::Signal;

/// `Err` holds the words of the API server for what is wrong.
pub type Outcome = Result<(), &'static str>;

/// Longest label, in bytes.
const LABEL_MAX: usize = 63;
/// Longest subdomain, in bytes.
const SUBDOMAIN_MAX: usize = 253;
/// Longest IANA service name, in bytes.
const PORT_NAME_MAX: usize = 15;
/// Longest path of a file in a volume, in bytes (PATH_MAX).
const PATH_MAX: usize = 4096;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

fn ensure(holds: bool, otherwise: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Non-empty, all characters `inside`, the first and last also `ends`.
fn shaped(text: &str, inside: impl Fn(u8) -> bool, ends: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&a), Some(&z)) if ends(a) && ends(z))
        && bytes.iter().all(|&b| inside(b))
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    shaped(text, |b| lower_or_digit(b) || b == b'-', lower_or_digit)
}

/// DNS-1123 label: names of containers and volumes, host names, namespaces.
pub fn label(text: &str) -> Outcome {
    ensure(text.len() <= LABEL_MAX, "must be no more than 63 bytes")?;
    if !is_label(text) && text.contains('.') && text.split('.').all(is_label) {
        return Err("must not contain dots");
    }
    ensure(is_label(text), LABEL)
}

/// DNS-1123 subdomain: names of objects.
pub fn subdomain(text: &str) -> Outcome {
    ensure(
        text.len() <= SUBDOMAIN_MAX,
        "must be no more than 253 bytes",
    )?;
    ensure(text.split('.').all(is_label), SUBDOMAIN)
}

/// A search domain: as a subdomain, but `_` is fine, and so is a dot at the end.
pub fn search_domain(text: &str) -> Outcome {
    let domain = text.strip_suffix('.').unwrap_or(text);
    ensure(
        domain.len() <= SUBDOMAIN_MAX,
        "must be no more than 253 bytes",
    )?;
    let part = |part: &str| {
        shaped(
            part,
            |b| lower_or_digit(b) || b"-_".contains(&b),
            |b| lower_or_digit(b) || b == b'_',
        )
    };
    ensure(text == "." || domain.split('.').all(part), SUBDOMAIN)
}

/// Name of a port (IANA service name).
pub fn port_name(text: &str) -> Outcome {
    ensure(
        text.len() <= PORT_NAME_MAX,
        "must be no more than 15 characters",
    )?;
    ensure(
        text.bytes().all(|b| lower_or_digit(b) || b == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    )?;
    ensure(
        text.bytes().any(|b| b.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    )?;
    ensure(!text.contains("--"), "must not contain consecutive hyphens")?;
    ensure(
        !text.starts_with('-') && !text.ends_with('-'),
        "must not begin or end with a hyphen",
    )
}

/// Port number.
pub fn port(number: i64) -> Outcome {
    ensure(
        (1..=65535).contains(&number),
        "must be between 1 and 65535, inclusive",
    )
}

/// Name of an environment variable, or a prefix of one; of any length.
pub fn env_name(text: &str) -> Outcome {
    ensure(
        !text.is_empty()
            && text
                .bytes()
                .all(|b| (b' '..=b'~').contains(&b) && b != b'='),
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
    )
}

fn is_name_part(text: &str) -> bool {
    shaped(
        text,
        |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b),
        |b| b.is_ascii_alphanumeric(),
    )
}

/// Key of a label or an annotation: `[prefix/]name`.
pub fn qualified_name(text: &str) -> Outcome {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if let Some(prefix) = prefix {
        ensure(!prefix.is_empty(), "prefix part must be non-empty")?;
        ensure(
            subdomain(prefix).is_ok(),
            "prefix part must be a lowercase RFC 1123 subdomain",
        )?;
    }
    ensure(!name.is_empty(), "name part must be non-empty")?;
    ensure(
        name.len() <= LABEL_MAX,
        "name part must be no more than 63 bytes",
    )?;
    ensure(is_name_part(name), NAME_PART)
}

/// Value of a label; may be empty.
pub fn label_value(text: &str) -> Outcome {
    ensure(text.len() <= LABEL_MAX, "must be no more than 63 bytes")?;
    ensure(
        text.is_empty() || is_name_part(text),
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    )
}

/// Key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Outcome {
    ensure(
        text.len() <= SUBDOMAIN_MAX,
        "must be no more than 253 characters",
    )?;
    ensure(
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    )?;
    ensure(text != ".", "must not be '.'")?;
    ensure(!text.starts_with(".."), "must not start with '..'")
}

/// uid or gid.
pub fn id(number: i64) -> Outcome {
    ensure(
        (0..=i64::from(i32::MAX)).contains(&number),
        "must be between 0 and 2147483647, inclusive",
    )
}

/// Permission bits of a file in a volume.
pub fn mode(number: i64) -> Outcome {
    ensure(
        (0..=0o777).contains(&number),
        "must be a number between 0 and 0777 (octal), both inclusive",
    )
}

/// Text that can be an argument of a system call.
pub fn no_nul(text: &str) -> Outcome {
    ensure(!text.contains('\0'), "must not contain NUL")
}

/// A path without a `..` element: absolute or not.
pub fn without_backsteps(text: &str) -> Outcome {
    no_nul(text)?;
    ensure(text.len() <= PATH_MAX, "must be no more than 4096 bytes")?;
    ensure(
        text.split('/').all(|element| element != ".."),
        "must not contain '..'",
    )
}

/// A path below a directory that it cannot leave.
pub fn descending(text: &str) -> Outcome {
    ensure(!text.starts_with('/'), "must be a relative path")?;
    without_backsteps(text)
}

/// Path of a file in a volume that podshim writes: `..data` and its like are taken.
pub fn volume_file(text: &str) -> Outcome {
    descending(text)?;
    let first = elements(text).next().ok_or("must name a file")?;
    ensure(!first.starts_with(".."), "must not start with '..'")?;
    ensure(
        elements(text).all(|element| element.len() <= 255),
        "each element must be no more than 255 bytes",
    )
}

/// The elements of a path that lead somewhere.
pub fn elements(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter(|element| !matches!(*element, "" | "."))
}

/// A path in its shortest form.
pub fn shortest(path: &str) -> String {
    elements(path).collect::<Vec<_>>().join("/")
}

/// Name of a sysctl, `.` or `/` between its parts.
pub fn sysctl(text: &str) -> Outcome {
    let part = |part: &str| {
        shaped(
            part,
            |b| lower_or_digit(b) || b"-_".contains(&b),
            lower_or_digit,
        )
    };
    ensure(
        text.len() <= SUBDOMAIN_MAX,
        "must be no more than 253 characters",
    )?;
    ensure(
        text.split(['.', '/']).all(part),
        "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
    )
}

/// The `.` form of a sysctl's name.
pub fn sysctl_with_dots(text: &str) -> String {
    text.replace('/', ".")
}

/// Name of an HTTP header.
pub fn http_header(text: &str) -> Outcome {
    ensure(
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "a valid HTTP header must consist of alphanumeric characters or '-'",
    )
}

/// An IPv4 or IPv6 address.
pub fn ip(text: &str) -> Outcome {
    ensure(
        text.parse::<std::net::IpAddr>().is_ok(),
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    )
}

/// A lower-case UUID: the key of the pod's files, cgroup and logs.
pub fn uuid(text: &str) -> Outcome {
    let hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, b): (usize, u8)| {
        if hyphen(at) {
            b == b'-'
        } else {
            b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
        }
    };
    ensure(
        text.len() == 36 && text.bytes().enumerate().all(fits),
        "must be a lower-case UUID",
    )
}

/// Every name that `lifecycle.stopSignal` may have: upper case, with `SIG`, other spellings of a number included.
pub fn stop_signals() -> Vec<String> {
    let named = |number: &i32| !matches!(number, 32 | 33);
    let canonical = (1..=64).filter(named).filter_map(Signal::from_number);
    let aliases = ["SIGCLD", "SIGIOT", "SIGPOLL"].map(str::to_owned);
    canonical
        .map(|signal| signal.to_string())
        .chain(aliases)
        .collect()
}

/// The signal that `lifecycle.stopSignal` names.
pub fn stop_signal(text: &str) -> Option<Signal> {
    stop_signals()
        .iter()
        .any(|name| name == text)
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rule: fn(&str) -> Outcome, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Ok(()), "{text:?}");
        }
        for text in bad {
            assert!(rule(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_follow_the_grammar_of_the_api_server() {
        let long = "a".repeat(64);
        table(
            label,
            &["a", "a-b", "0", &long[..63]],
            &["", "-a", "a-", "A", "a_b", "a.b", &long, "é"],
        );
        assert_eq!(label("a.b"), Err("must not contain dots"));
        assert_eq!(label("a..b"), Err(LABEL));
        let domain = format!("{}.{}", "a".repeat(126), "b".repeat(127));
        table(
            subdomain,
            &["a", "a.b-c.0"],
            &["", ".", "a.", ".a", "a..b", "A.b", &domain],
        );
        table(
            search_domain,
            &["a.b", "a.b.", ".", "_tcp.x"],
            &["", "a..b", "a b"],
        );
        table(
            port_name,
            &["http", "a", "p-1", "1a"],
            &["", "80", "-a", "a-", "a--b", "A", "sixteen-letters-", "a_b"],
        );
    }

    #[test]
    fn an_env_name_is_any_printable_text_without_an_equals_sign() {
        table(
            env_name,
            &["A", "1", "a b", "~!.-/"],
            &["", "A=", "A\n", "é", "\u{7f}"],
        );
    }

    #[test]
    fn keys_of_labels_and_their_values() {
        let long = "n".repeat(64);
        table(
            qualified_name,
            &["a", "A_b.c-d", "example.com/Name"],
            &["", "a b", "/a", "a/", "a/b/c", "UP.com/a", "-a", &long],
        );
        table(label_value, &["", "A.b_c-1"], &["-a", "a b", "a/b", &long]);
        table(
            config_key,
            &["a", ".hidden", "A_b-c.d"],
            &["", ".", "..", "..a", "a/b", "a b"],
        );
    }

    #[test]
    fn paths_stay_where_they_belong() {
        table(
            descending,
            &["a", "a/b", "a..b", "..a/b", "./a"],
            &["/a", "..", "a/..", "a/../b", "a\0"],
        );
        let long = "e".repeat(256);
        table(
            volume_file,
            &["a", "a/..b", "./a", "a/"],
            &[
                "..a", "..data/x", "./..data", "...", "/a", "..", ".", "", &long,
            ],
        );
        table(without_backsteps, &["/a/b", "a"], &["/a/..", "../a"]);
    }

    #[test]
    fn sysctls_headers_addresses_and_uuids() {
        table(
            sysctl,
            &["net.ipv4.ip_forward", "net/ipv4/conf", "a"],
            &["", "a..b", "A", ".a", "a.", "a b"],
        );
        table(http_header, &["X-A", "a1"], &["", "a b", "a_b", "a:"]);
        table(
            ip,
            &["10.0.0.1", "::1", "2001:db8::ffff"],
            &["", "10.0.0", "010.0.0.1", "::1%eth0", "10.0.0.1/8"],
        );
        table(
            uuid,
            &["0f9c1a52-5d7e-4c1b-9a53-0123456789ab"],
            &[
                "",
                "0F9C1A52-5d7e-4c1b-9a53-0123456789ab",
                "../../../../etc/passwd/xxxxxxxxxxxxxx",
            ],
        );
    }

    #[test]
    fn numbers_have_bounds() {
        assert!(port(1).is_ok() && port(65535).is_ok() && port(0).is_err() && port(65536).is_err());
        assert!(
            id(0).is_ok()
                && id(2_147_483_647).is_ok()
                && id(-1).is_err()
                && id(2_147_483_648).is_err()
        );
        assert!(
            mode(0).is_ok() && mode(0o777).is_ok() && mode(0o1000).is_err() && mode(-1).is_err()
        );
    }

    #[test]
    fn stop_signals_are_the_listed_names_and_nothing_else() {
        let plain = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS \
                     TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";
        let up = (1..=15).map(|n| format!("RTMIN+{n}"));
        let down = (1..=14).map(|n| format!("RTMAX-{n}"));
        for name in plain
            .split_whitespace()
            .map(str::to_owned)
            .chain(up)
            .chain(down)
        {
            assert!(stop_signal(&format!("SIG{name}")).is_some(), "{name}");
        }
        for bad in [
            "TERM",
            "sigterm",
            "SIGterm",
            "15",
            "SIG15",
            "SIGRTMIN+16",
            "SIGRTMIN+01",
            "SIGRTMAX-15",
            "",
        ] {
            assert!(stop_signal(bad).is_none(), "{bad}");
        }
    }
}
