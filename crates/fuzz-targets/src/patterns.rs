//! Patterns of resources and names that programs ask for.

use model::{DomainName, Pattern};

/// The first line is a pattern, the others are names.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.lines();
    let Some(pattern) = lines.next().and_then(|line| Pattern::parse(line).ok()) else {
        return;
    };
    assert_eq!(
        Pattern::parse(pattern.as_str()).as_ref(),
        Ok(&pattern),
        "what was read is written as it was read"
    );
    for name in lines.filter_map(|line| line.parse::<DomainName>().ok()) {
        let name = name.as_str();
        let covers = pattern.matches(name);
        assert_eq!(covers, covers_slowly(&pattern, name), "{name}");
        if covers {
            assert!(name.ends_with(pattern.literal_suffix()));
        }
        if !pattern.has_wildcard() {
            assert_eq!(covers, pattern.as_str() == name);
        }
    }
}

/// The same rule, by a table of which beginnings match. spec: data-plane 12.3
fn covers_slowly(pattern: &Pattern, name: &str) -> bool {
    let pattern = pattern.as_str();
    let is_parent = pattern.strip_prefix("*.") == Some(name);
    is_parent
        || (pattern == name)
        || matches(&labels(pattern), &labels(name), |p| *p == "**", label)
}

fn labels(text: &str) -> Vec<&str> {
    text.split('.').collect()
}

/// `*` stands for any characters of a label, `?` for one.
fn label(pattern: &&str, text: &&str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches(&pattern, &text, |p| *p == '*', |p, t| *p == '?' || p == t)
}

/// Whether items match a pattern in which some stand for any number of items.
fn matches<P, T>(
    pattern: &[P],
    text: &[T],
    is_any: impl Fn(&P) -> bool,
    is_one: impl Fn(&P, &T) -> bool,
) -> bool {
    // After each item of the pattern: the lengths of the beginnings that it matches.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for item in pattern {
        let mut next = vec![false; text.len() + 1];
        for end in 0..=text.len() {
            next[end] = match is_any(item) {
                true => ends[..=end].contains(&true),
                false => end > 0 && ends[end - 1] && is_one(item, &text[end - 1]),
            };
        }
        ends = next;
    }
    ends[text.len()]
}
