//! Every tolerated duplicate in `deny.toml` has a reason; the rest of that file is for `cargo deny`.

use super::finding::Finding;
use toml_edit::{Document, Item};

const DENY: &str = "deny.toml";

/// Checks the list of versions that may stand beside another one.
pub(crate) fn check(deny: &str) -> Vec<Finding> {
    let document = match Document::parse(deny) {
        Ok(document) => document,
        Err(error) => return vec![Finding::new(DENY, 1, error.message())],
    };
    let skip = document.get("bans").and_then(|bans| bans.get("skip"));
    let skip = skip.and_then(Item::as_array);
    let mut findings = Vec::new();
    for skipped in skip.into_iter().flatten() {
        let text = |key| {
            let table = skipped.as_inline_table();
            table.and_then(|table| table.get(key)?.as_str())
        };
        if text("reason").is_none_or(|reason| reason.len() < 10) {
            let before = skipped.span().and_then(|span| deny.get(..span.start));
            let line = 1 + before.map_or(0, |before| before.matches('\n').count());
            let name = text("crate").unwrap_or("a version");
            let what = format!("no reason says why {name} is tolerated beside another version");
            findings.push(Finding::new(DENY, line, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(skip: &str) -> Vec<(usize, String)> {
        let findings = check(&format!("[bans]\nskip = [\n{skip}\n]\n"));
        findings.into_iter().map(|f| (f.line, f.what)).collect()
    }

    #[test]
    fn tolerated_duplicates_have_reasons() {
        let told = "{ crate = \"a@1\", reason = \"b 0.3 uses it\" },";
        assert_eq!(found(told), []);
        for silent in [
            "{ crate = \"a@1\" },",
            "{ crate = \"a@1\", reason = \"\" },",
        ] {
            let what = "no reason says why a@1 is tolerated beside another version".to_owned();
            assert_eq!(found(&format!("{told}\n{silent}")), [(4, what)]);
        }
        assert_eq!(found("\"a@1\",").len(), 1);
        assert_eq!(check("[bans").len(), 1);
        assert_eq!(check("").len(), 0);
    }
}
