//! The patterns of DNS resources: what they match and which of them is the more specific.
//! spec: data-plane 12.3

use std::{cmp::Ordering, str::FromStr};

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// A label is empty, or longer than a name may be.
    #[error("a label is empty or too long")]
    Label,
    /// `**` stands beside other characters of a label.
    #[error("`**` must be a label of its own")]
    Wildcard,
}

/// Names of a DNS resource, in lower case without the final dot.
///
/// `?` stands for one character, `*` for any run of characters within a label, `**` for any
/// number of whole labels; a leading `*.` covers the bare parent, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    has_wildcard: bool,
}

impl Pattern {
    /// Reads a pattern; case and a final dot do not matter.
    ///
    /// # Errors
    ///
    /// Labels have 1 to 63 characters and at most 253 in all, and `**` stands alone in its label.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if text.len() > 253 {
            return Err(PatternFault::Label);
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(PatternFault::Label);
            }
            if label.contains("**") && label != "**" {
                return Err(PatternFault::Wildcard);
            }
        }
        let has_wildcard = text.contains(['*', '?']);
        Ok(Self { text, has_wildcard })
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches more than its own text.
    pub fn has_wildcard(&self) -> bool {
        self.has_wildcard
    }

    /// The labels at the end that are the same in every name it covers; empty if there are none.
    pub fn literal_suffix(&self) -> &str {
        let Some(wildcard) = self.text.rfind(['*', '?']) else {
            return &self.text;
        };
        let rest = &self.text[wildcard..];
        rest.split_once('.').map_or("", |(_, suffix)| suffix)
    }

    /// Whether it covers a name, given in lower case without the final dot.
    pub fn matches(&self, name: &str) -> bool {
        if !self.has_wildcard {
            return self.text == name;
        }
        // A leading `*.` covers the bare parent, too.
        if self.text.strip_prefix("*.") == Some(name) {
            return true;
        }
        labels_match(Some(&self.text), Some(name))
    }

    /// Orders the more specific pattern first: the texts are compared from the right.
    pub fn by_specificity(&self, other: &Self) -> Ordering {
        let mut left = self.text.bytes().rev();
        let mut right = other.text.bytes().rev();
        loop {
            match (left.next(), right.next()) {
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => return Ordering::Less,
                (Some(_), None) => return Ordering::Greater,
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) => return rank(a).cmp(&rank(b)).then(b.cmp(&a)),
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternFault;

    fn from_str(text: &str) -> Result<Self, PatternFault> {
        Self::parse(text)
    }
}

/// Literal characters before `?` before `*`.
fn rank(character: u8) -> u8 {
    match character {
        b'*' => 2,
        b'?' => 1,
        _ => 0,
    }
}

/// Splits off the first label.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('.') {
        Some((label, rest)) => (label, Some(rest)),
        None => (text, None),
    }
}

/// Whether pattern labels cover name labels; each is `None` when used up.
///
/// The last `**` alone needs to be reconsidered, as with globs, so the work is bounded by the
/// product of the label counts.
fn labels_match(mut pattern: Option<&str>, mut name: Option<&str>) -> bool {
    let mut retry: Option<(Option<&str>, &str)> = None;
    loop {
        let step = match (pattern, name) {
            (None, None) => return true,
            (Some(p), n) if split(p).0 == "**" => {
                pattern = split(p).1;
                retry = n.map(|n| (pattern, n));
                true
            }
            (Some(p), Some(n)) => {
                let ((p, p_rest), (n, n_rest)) = (split(p), split(n));
                let matched = label_matches(p.as_bytes(), n.as_bytes());
                if matched {
                    (pattern, name) = (p_rest, n_rest);
                }
                matched
            }
            _ => false,
        };
        if step {
            continue;
        }
        // Let the last `**` swallow one label more.
        let Some((after, from)) = retry else {
            return false;
        };
        name = split(from).1;
        pattern = after;
        retry = name.map(|n| (after, n));
    }
}

/// A glob with `*` and `?` over one label.
fn label_matches(pattern: &[u8], label: &[u8]) -> bool {
    let (mut p, mut l) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while l < label.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, l));
            }
            Some(&c) if c == b'?' || c == label[l] => (p, l) = (p + 1, l + 1),
            _ => match retry {
                Some((after, from)) => {
                    (p, l) = (after, from + 1);
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn tokens_match_as_specified() {
        for (text, matching, other) in [
            (
                "example.com",
                vec!["example.com"],
                vec!["a.example.com", "example.co", "xexample.com"],
            ),
            ("EXAMPLE.com.", vec!["example.com"], vec![]),
            (
                "*.example.com",
                vec!["example.com", "a.example.com"],
                vec!["a.b.example.com", "com"],
            ),
            (
                "**.example.com",
                vec!["example.com", "a.example.com", "a.b.c.example.com"],
                vec!["com"],
            ),
            (
                "?.example.com",
                vec!["a.example.com"],
                vec!["example.com", "ab.example.com"],
            ),
            (
                "*ample.com",
                vec!["example.com", "ample.com"],
                vec!["a.ample.com", "amplex.com"],
            ),
            (
                "foo-*.com",
                vec!["foo-.com", "foo-bar.com"],
                vec!["foo.com", "foo-a.b.com"],
            ),
            (
                "a.**.d",
                vec!["a.d", "a.b.d", "a.b.c.d"],
                vec!["a.b.c", "b.d"],
            ),
            ("a.*.d", vec!["a.b.d"], vec!["a.d", "a.b.c.d"]),
            ("**.b.**", vec!["b", "a.b", "b.c", "a.a.b.c.c"], vec!["a.c"]),
            ("**", vec!["a", "a.b"], vec![]),
            (
                "a?c*e.x",
                vec!["abcde.x", "abce.x"],
                vec!["ace.x", "abcd.x"],
            ),
        ] {
            let pattern = pattern(text);
            for name in matching {
                assert!(pattern.matches(name), "{text} covers {name}");
            }
            for name in other {
                assert!(!pattern.matches(name), "{text} does not cover {name}");
            }
        }
    }

    #[test]
    fn reference_order_holds() {
        let order = [
            "example.com",
            "bar.example.com",
            "*.bar.example.com",
            "foo.example.com",
            "?.example.com",
            "*.example.com",
            "**.example.com",
            "*ample.com",
            "*.com",
        ];
        let mut sorted: Vec<Pattern> = order.iter().rev().map(|text| pattern(text)).collect();
        sorted.sort_by(Pattern::by_specificity);
        let sorted: Vec<&str> = sorted.iter().map(Pattern::as_str).collect();
        assert_eq!(sorted, order);
    }

    #[test]
    fn specificity_follows_the_table() {
        use Ordering::{Equal, Greater, Less};
        for (left, right, expected) in [
            ("?.test", "*.test", Less),
            ("a.?", "a.*", Less),
            ("test", "*test", Less),
            ("b.test", "b?test", Less),
            (".test", "?test", Less),
            ("a.test", "?.test", Less),
            ("a.test", "*.test", Less),
            ("b.test", "a.test", Less),
            ("test", "a.test", Less),
            ("*.test", "**.test", Less),
            ("a.*", "a.**", Less),
            ("*.a.test", "*.test", Less),
            ("a.test", "A.Test.", Equal),
            ("*.com", "*ample.com", Greater),
        ] {
            let (left, right) = (left.trim_start_matches('.'), right);
            let (a, b) = (pattern(left), pattern(right));
            assert_eq!(a.by_specificity(&b), expected, "{left} {right}");
            assert_eq!(b.by_specificity(&a), expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn the_literal_suffix_has_whole_labels() {
        for (text, suffix) in [
            ("a.example.com", "a.example.com"),
            ("*.example.com", "example.com"),
            ("*ample.com", "com"),
            ("a.*.b?c.example.com", "example.com"),
            ("**", ""),
            ("a.*", ""),
        ] {
            assert_eq!(pattern(text).literal_suffix(), suffix, "{text}");
        }
    }

    #[test]
    fn many_wildcards_take_little_time() {
        let text = format!("{}.x", ["**"; 60].join("."));
        assert!(!pattern(&text).matches(&["a"; 126].join(".")));
        let label = format!("{}b.x", "*a".repeat(31));
        assert!(!pattern(&label).matches(&format!("{}.x", "a".repeat(63))));
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a**.com",
            "***.com",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    /// The obvious matcher: recursion over labels and characters.
    fn naive(pattern: &[&str], name: &[&str]) -> bool {
        fn glob(p: &[u8], n: &[u8]) -> bool {
            match (p.first(), n.first()) {
                (None, None) => true,
                (Some(b'*'), _) => glob(&p[1..], n) || (!n.is_empty() && glob(p, &n[1..])),
                (Some(b'?'), Some(_)) => glob(&p[1..], &n[1..]),
                (Some(a), Some(b)) if a == b => glob(&p[1..], &n[1..]),
                _ => false,
            }
        }
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(&"**"), _) => {
                naive(&pattern[1..], name) || (!name.is_empty() && naive(pattern, &name[1..]))
            }
            (Some(p), Some(n)) => {
                glob(p.as_bytes(), n.as_bytes()) && naive(&pattern[1..], &name[1..])
            }
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn agrees_with_the_naive_matcher(
            text in proptest::collection::vec(prop_oneof![Just("**".to_owned()), "[ab*?]{1,4}"], 1..5),
            name in proptest::collection::vec("[ab]{1,4}", 1..6),
        ) {
            let text = text.iter().map(|l| if l.len() > 2 { l.replace("**", "*a") } else { l.clone() }).collect::<Vec<_>>().join(".");
            let name = name.join(".");
            if let Ok(pattern) = Pattern::parse(&text) {
                let labels: Vec<&str> = text.split('.').collect();
                let names: Vec<&str> = name.split('.').collect();
                let parent = text.strip_prefix("*.") == Some(&name);
                prop_assert_eq!(pattern.matches(&name), parent || naive(&labels, &names), "{} {}", text, name);
            }
        }

        #[test]
        fn order_is_total(a in "[ab.*?]{1,6}", b in "[ab.*?]{1,6}", c in "[ab.*?]{1,6}") {
            let mut all: Vec<Pattern> = [a, b, c].iter().filter_map(|t| Pattern::parse(t).ok()).collect();
            all.sort_by(Pattern::by_specificity);
            for pair in all.windows(2) {
                prop_assert_ne!(pair[0].by_specificity(&pair[1]), Ordering::Greater);
                prop_assert_eq!(pair[1].by_specificity(&pair[0]), pair[0].by_specificity(&pair[1]).reverse());
            }
        }
    }
}
