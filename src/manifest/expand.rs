//! `$(VAR)` expansion. Source: Kubernetes third_party/forked/golang/expansion.

/// `text` with every `$(NAME)` that `lookup` knows replaced, `$$` as `$`, and all else as it is. One pass: what comes out is
/// not read again.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let reference = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'));
        let Some((name, after)) = reference else {
            // A dollar that starts nothing stays, and the scan goes on right behind it.
            out.push('$');
            continue;
        };
        match lookup(name) {
            Some(value) => out.push_str(value),
            None => out.extend(["$(", name, ")"]),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_a(text: &str) -> String {
        expand(text, |name| match name {
            "A" => Some("1"),
            "REF" => Some("$(A)"),
            "EMPTY" => Some(""),
            "é b" => Some("odd"),
            _ => None,
        })
    }

    #[test]
    fn the_table_of_kubernetes_holds() {
        for (text, want) in [
            ("$(A)", "1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$(B)", "$(B)"),
            ("${A}", "${A}"),
            ("$(A", "$(A"),
            ("$(A $$ x", "$(A $ x"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$", "$"),
            ("$A$(A)", "$A1"),
            ("$()", "$()"),
            ("$($(A))", "$($(A))"),
            ("$(REF)", "$(A)"),
            ("<$(EMPTY)>", "<>"),
            ("$(é b)$é", "odd$é"),
            (
                "$(A) $$(A) $$$(A) $(NOPE) ${A} $(B",
                "1 $(A) $1 $(NOPE) ${A} $(B",
            ),
        ] {
            assert_eq!(with_a(text), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_without_a_dollar_is_left_alone(text in "[^$]*") {
            proptest::prop_assert_eq!(with_a(&text), text);
        }
    }
}
