//! The part of kubectl's JSONPath templates that scripts use: text, `{.a.b}`, `['key']`, `[0]`, `[-1]`, `[*]`.

use serde_json::Value;

/// The template cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the JSONPath template at `{0}`")]
pub(super) struct TemplateError(String);

/// Fills a template. A path that leads nowhere prints nothing; several values are joined by a space; a template without braces is
/// one path.
pub(super) fn print(template: &str, value: &Value) -> Result<String, TemplateError> {
    if !template.contains('{') {
        return path(template, value);
    }
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after
            .split_once('}')
            .ok_or_else(|| TemplateError(after.to_owned()))?;
        text.push_str(before);
        match inside.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(literal) => text.push_str(&literal.replace("\\n", "\n").replace("\\t", "\t")),
            None => text.push_str(&path(inside, value)?),
        }
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

fn path(text: &str, value: &Value) -> Result<String, TemplateError> {
    let mut found = vec![value];
    let mut rest = text.trim().trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        let wrong = || TemplateError(rest.to_owned());
        let (step, after) = if let Some(inner) = rest.strip_prefix('[') {
            inner.split_once(']').ok_or_else(wrong)?
        } else {
            let name = rest.strip_prefix('.').ok_or_else(wrong)?;
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        let quoted = step.strip_prefix('\'').and_then(|s| s.strip_suffix('\''));
        found = match (quoted, step) {
            (None, "") => found,
            (None, "*") => found.into_iter().flat_map(children).collect(),
            (None, step) if rest.starts_with('[') => {
                let index: i64 = step.parse().map_err(|_| wrong())?;
                found
                    .into_iter()
                    .filter_map(|value| at(value, index))
                    .collect()
            }
            (quoted, step) => found
                .into_iter()
                .filter_map(|value| value.get(quoted.unwrap_or(step)))
                .collect(),
        };
        rest = after;
    }
    let shown = found.into_iter().map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    Ok(shown.collect::<Vec<_>>().join(" "))
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn at(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let index = if index < 0 {
        i64::try_from(items.len()).ok()? + index
    } else {
        index
    };
    items.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_read_as_kubectl_reads_them() {
        let value =
            json!({ "a": { "b": [1, "x"], "k.l": true }, "items": [{ "n": "p" }, { "n": "q" }] });
        for (template, text) in [
            ("{.a.b[0]}", "1"),
            ("{.a.b[-1]}", "x"),
            ("{.a['k.l']}", "true"),
            ("{.items[*].n}", "p q"),
            (".items[1].n", "q"),
            ("n={.a.b[1]}{\"\\n\"}", "n=x\n"),
            ("{.missing.x}", ""),
            ("{$.a.b}", "[1,\"x\"]"),
        ] {
            assert_eq!(print(template, &value).as_deref(), Ok(text), "{template}");
        }
        for bad in ["{.a", "{a b}", "{.a[x]}", "{.a[}"] {
            assert!(print(bad, &value).is_err(), "{bad}");
        }
    }
}
