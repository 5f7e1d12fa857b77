//! Log lines: one convention for messages and names of fields, nothing personal above DEBUG.

use super::{
    finding::Finding,
    source::{Source, positions},
};

/// The macros, and whether users see their lines without asking for more.
const MACROS: &[(&str, bool)] = &[
    ("error!(", true),
    ("warn!(", true),
    ("info!(", true),
    ("debug!(", false),
    ("trace!(", false),
];

/// Fields that tell where somebody is or goes. They belong to DEBUG and below.
const PERSONAL: &[&str] = &[
    "address",
    "destination",
    "domain",
    "host",
    "server",
    "source",
];

/// Words for something else that has a name: the first is the one to use.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("error", &["err", "e", "fault", "cause"]),
    ("gateway", &["gateway_id", "gid"]),
    ("reason", &["why"]),
    ("relay", &["relay_id", "rid"]),
    ("resource", &["resource_id"]),
    ("server", &["upstream", "resolver"]),
];

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &(name, is_shown) in MACROS {
        for at in positions(&source.masked.code, name) {
            let line = 1 + source.masked.code[..at].matches('\n').count();
            if source.is_test(line) {
                continue;
            }
            let whats = arguments(source, at + name.len()).into_iter();
            let whats = whats.filter_map(|argument| wrong(&argument, is_shown));
            findings.extend(whats.map(|what| Finding::new(&source.path, line, what)));
        }
    }
    findings
}

/// The arguments of a macro whose parenthesis opens right before a place in the code, as they stand
/// in the file.
fn arguments(source: &Source, start: usize) -> Vec<String> {
    let (before, code) = source.masked.code.split_at(start);
    // Both have equally many characters, but not bytes.
    let mut text = source.text.chars().skip(before.chars().count());
    let mut arguments = vec![String::new()];
    let mut depth = 1_usize;
    for c in code.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        let raw = text.next().unwrap_or_default();
        match arguments.last_mut() {
            Some(last) if c != ',' || depth > 1 => last.push(raw),
            _ => arguments.push(String::new()),
        }
    }
    let arguments = arguments
        .into_iter()
        .map(|argument| argument.trim().to_owned());
    arguments.filter(|argument| !argument.is_empty()).collect()
}

/// What is wrong with an argument.
fn wrong(argument: &str, is_shown: bool) -> Option<String> {
    if let Some(message) = argument.strip_prefix('"') {
        let message = message.strip_suffix('"').unwrap_or(message);
        return wrong_message(message);
    }
    if argument.contains("target:") || argument.contains("parent:") {
        return None;
    }
    let (name, value) = match argument.split_once('=') {
        Some((name, value)) if !value.starts_with('=') => (name.trim(), value.trim()),
        _ => (argument, argument),
    };
    if value.starts_with('?') {
        return Some(format!(
            "`{argument}` shows Debug output: log a text that is meant for readers"
        ));
    }
    let name = name.trim_start_matches('%');
    if let Some((right, _)) = SYNONYMS.iter().find(|(_, wrong)| wrong.contains(&name)) {
        return Some(format!("the field `{name}` is called `{right}` everywhere"));
    }
    if name.chars().any(char::is_uppercase) {
        return Some(format!("the field `{name}` is not in lower case"));
    }
    if is_shown && PERSONAL.contains(&name) {
        return Some(format!("the field `{name}` is personal: log it at DEBUG"));
    }
    None
}

fn wrong_message(message: &str) -> Option<String> {
    let what = if message.starts_with(char::is_lowercase) {
        "does not begin with a capital"
    } else if message.ends_with('.') {
        "ends with a full stop"
    } else if message.contains('{') {
        "holds values: make them fields"
    } else {
        return None;
    };
    let start: String = message.chars().take(30).collect();
    Some(format!("the message `{start}` {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(text: &str) -> Vec<String> {
        let findings = check(&Source::new("crates/x/src/x.rs", text));
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn good_lines_are_not_found() {
        for text in [
            "tracing::info!(gateway = %id, \"Connected, at last\");\n",
            "tracing::debug!(%address, server = %a, \"Asked\");\n",
            "tracing::warn!(\n    %error,\n    count = list.len(),\n    \"Is it (really) so?\"\n);\n",
            "tracing::info!(ready = a == b, \"Compared\");\n",
            "#[cfg(test)]\nmod tests {\n    fn f() { tracing::info!(?x, \"no {x}.\"); }\n}\n",
            "let text = \"info!(?x)\"; // info!(?x)\n",
        ] {
            assert_eq!(whats(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn bad_lines_are_found() {
        for (text, word) in [
            ("tracing::info!(\"connected\");\n", "capital"),
            ("tracing::info!(\"Connected.\");\n", "full stop"),
            ("tracing::info!(\"Connected to {gateway}\");\n", "fields"),
            ("tracing::debug!(?reason, \"Closed\");\n", "Debug"),
            ("tracing::debug!(reason = ?r, \"Closed\");\n", "Debug"),
            ("tracing::debug!(fault = %f, \"Closed\");\n", "`error`"),
            ("tracing::debug!(%fault, \"Closed\");\n", "`error`"),
            ("tracing::debug!(CAPACITY, \"Full\");\n", "lower case"),
            ("tracing::warn!(server = %a, \"Silent\");\n", "personal"),
            ("info!(%address, \"Bound\");\n", "personal"),
            ("tracing::info!(a = f(x, y), ?b, \"B\");\n", "Debug"),
            ("let ü = \"ü\"; tracing::info!(\"ünlike\");\n", "capital"),
        ] {
            let whats = whats(text);
            assert_eq!(whats.len(), 1, "{text}: {whats:?}");
            assert!(whats[0].contains(word), "{text}: {whats:?}");
        }
    }
}
