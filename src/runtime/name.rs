//! Which words may become a directory name or an argument.

/// Longest container id. Source: NAME_MAX is 255; runtimes and cgroup drivers append to it.
const NAME_MAX_BYTES: usize = 200;

/// Whether `name` is safe as one path component and as one argument: ASCII letters, digits and `_ + - .`, starting with a
/// letter or digit, at most 200 bytes. Source: runc `validateID`, narrowed by the first character.
pub fn is_plain_name(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_or_become_a_flag_are_refused() {
        for good in ["web-3", "a", "0", "pod1a2b.x_y+z"] {
            assert!(is_plain_name(good), "{good}");
        }
        let long = "a".repeat(NAME_MAX_BYTES + 1);
        for bad in [
            "", ".", "..", "../x", "a/b", "-f", "--force", "a b", "a\n", "a\0", "ä", &long,
        ] {
            assert!(!is_plain_name(bad), "{bad:?}");
        }
    }
}
