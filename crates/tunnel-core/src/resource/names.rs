//! Which resource a name belongs to.

use model::{Pattern, ResourceId};
use std::collections::{BTreeSet, HashMap};

/// Patterns with their resources, found by the most specific one that covers a name.
///
/// Patterns are filed by the labels at their end that are no wildcards. Of two patterns that cover
/// a name, the one with more such labels is the more specific, so that one hash lookup per label
/// of the name is enough, however many patterns there are. spec: data-plane 12.3
#[derive(Debug, Default)]
pub(crate) struct NameMap {
    /// Patterns without a wildcard.
    exact: HashMap<String, BTreeSet<ResourceId>>,
    /// Patterns with a wildcard by literal suffix, the most specific first.
    wildcards: HashMap<String, Vec<(Pattern, ResourceId)>>,
}

impl NameMap {
    pub(crate) fn insert(&mut self, pattern: Pattern, id: ResourceId) {
        if !pattern.has_wildcard() {
            let ids = self.exact.entry(pattern.as_str().to_owned());
            ids.or_default().insert(id);
            return;
        }
        let suffix = pattern.literal_suffix().to_owned();
        let filed = self.wildcards.entry(suffix).or_default();
        // Of equal patterns the higher id is first.
        let before = |(other, other_id): &(Pattern, ResourceId)| {
            let order = other.by_specificity(&pattern);
            order.then(id.cmp(other_id)).is_lt()
        };
        let at = filed.partition_point(before);
        filed.insert(at, (pattern, id));
    }

    pub(crate) fn remove(&mut self, pattern: &Pattern, id: ResourceId) {
        if !pattern.has_wildcard() {
            if let Some(ids) = self.exact.get_mut(pattern.as_str()) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.exact.remove(pattern.as_str());
                }
            }
            return;
        }
        let suffix = pattern.literal_suffix();
        if let Some(filed) = self.wildcards.get_mut(suffix) {
            filed.retain(|(_, other)| *other != id);
            if filed.is_empty() {
                self.wildcards.remove(suffix);
            }
        }
    }

    /// The resource with the most specific pattern that covers the name; of equal ones the
    /// highest id.
    pub(crate) fn get(&self, name: &str) -> Option<ResourceId> {
        if let Some(id) = self.exact.get(name).and_then(BTreeSet::last) {
            return Some(*id);
        }
        if self.wildcards.is_empty() {
            return None;
        }
        let covering = |suffix| {
            let filed = self.wildcards.get(suffix)?.iter();
            let mut covering = filed.filter(|(pattern, _)| pattern.matches(name));
            covering.next().map(|(_, id)| *id)
        };
        suffixes(name).find_map(covering)
    }
}

/// The name, the name without its first label, and so on until nothing is left.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    fn shorter<'a>(suffix: &&'a str) -> Option<&'a str> {
        match suffix.split_once('.') {
            Some((_, rest)) => Some(rest),
            None => (!suffix.is_empty()).then_some(""),
        }
    }

    std::iter::successors(Some(name), shorter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: usize) -> ResourceId {
        ResourceId::from_bytes([u8::try_from(n).unwrap(); 16])
    }

    #[test]
    fn suffixes_end_with_nothing() {
        assert_eq!(
            suffixes("a.b.c").collect::<Vec<_>>(),
            ["a.b.c", "b.c", "c", ""]
        );
        assert_eq!(suffixes("a").collect::<Vec<_>>(), ["a", ""]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn agrees_with_a_search_through_all_patterns(
            texts in proptest::collection::vec("(\\*\\*\\.|[ab*?]{1,2}\\.){0,3}([ab]{1,2}|\\*|\\*\\*|\\?b)", 1..12),
            removed in any::<prop::sample::Index>(),
            name in "([ab]{1,2}\\.){0,3}[ab]{1,2}",
        ) {
            let parsed = texts.iter().filter_map(|text| Pattern::parse(text).ok());
            let mut patterns: Vec<(Pattern, ResourceId)> = parsed.enumerate().map(|(n, p)| (p, id(n))).collect();
            let mut map = NameMap::default();
            for (pattern, id) in &patterns {
                map.insert(pattern.clone(), *id);
            }
            if !patterns.is_empty() {
                let (pattern, id) = patterns.remove(removed.index(patterns.len()));
                map.remove(&pattern, id);
            }
            patterns.retain(|(pattern, _)| pattern.matches(&name));
            patterns.sort_by(|(a, a_id), (b, b_id)| a.by_specificity(b).then(b_id.cmp(a_id)));
            let expected = patterns.first().map(|(_, id)| *id);
            prop_assert_eq!(map.get(&name), expected);
        }
    }
}
