//! The text of a file of variables (`fileKeyRef`). Source: Kubernetes, KEP-3721: a part of what a POSIX shell reads.

/// The value of `key`; of several the last counts. Errors: the number of the first line that does not read.
///
/// ```text
/// # a comment
/// NAME='value, may
/// span lines'
/// EMPTY= 'ignored'
/// ```
pub fn env_file_value(text: &str, key: &str) -> Result<Option<String>, usize> {
    let mut found = None;
    let mut rest = text;
    while !rest.is_empty() {
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = first.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = after;
            continue;
        }
        let (name, value) = first.trim_start().split_once('=').ok_or(line)?;
        if name.is_empty() || name.ends_with(char::is_whitespace) {
            return Err(line);
        }
        let value = if let Some(quoted) = value.strip_prefix('\'') {
            let start = text.len() - rest.len() + (first.len() - quoted.len());
            let (value, tail) = text[start..].split_once('\'').ok_or(line)?;
            let (end, after) = tail.split_once('\n').unwrap_or((tail, ""));
            if !end.trim().is_empty() && !end.trim_start().starts_with('#') {
                return Err(line);
            }
            rest = after;
            value
        } else if value.trim().is_empty() || value.starts_with(char::is_whitespace) {
            rest = after;
            ""
        } else {
            return Err(line);
        };
        if name == key {
            found = Some(value.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_read_as_kubernetes_reads_them() {
        let text =
            "# one\n\nA='1'\n  B='two\n lines # no comment' # but this\nE=\nF= 'x'\nA='é=\"2\"'";
        for (key, want) in [
            ("A", Some("é=\"2\"")),
            ("B", Some("two\n lines # no comment")),
            ("E", Some("")),
            ("F", Some("")),
            ("C", None),
            ("one", None),
        ] {
            assert_eq!(
                env_file_value(text, key),
                Ok(want.map(str::to_owned)),
                "{key}"
            );
        }
    }

    #[test]
    fn what_does_not_read_is_told_by_its_line() {
        for (text, line) in [
            ("A='1'\nB=2", 2),
            ("A", 1),
            ("A ='1'", 1),
            ("='1'", 1),
            ("# x\n\nA='1\n2", 3),
            ("A='1'x", 1),
            ("A=\"1\"", 1),
        ] {
            assert_eq!(env_file_value(text, "A"), Err(line), "{text:?}");
        }
    }
}
