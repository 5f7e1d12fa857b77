//! Which names the pattern of a DNS resource covers. spec: data-plane 12.3

/// Whether a pattern covers a name, given in lower case without the final dot.
///
/// Clients choose the resource of a name; this keeps them from naming other domains than theirs.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    let pattern = pattern
        .strip_suffix('.')
        .unwrap_or(pattern)
        .to_ascii_lowercase();
    // A leading `*.` covers the bare parent, too.
    if pattern.strip_prefix("*.") == Some(name) {
        return true;
    }
    let pattern: Vec<&str> = pattern.split('.').collect();
    let is_wrong = |label: &&str| label.contains("**") && *label != "**";
    if pattern.iter().any(is_wrong) {
        return false;
    }
    let name: Vec<&str> = name.split('.').collect();
    matches(&pattern, &name, |label| label == "**", covers_label)
}

fn covers_label(pattern: &str, label: &str) -> bool {
    let fits = |wanted, character| wanted == b'?' || wanted == character;
    matches(
        pattern.as_bytes(),
        label.as_bytes(),
        |character| character == b'*',
        fits,
    )
}

/// Matches item by item; a run stands for any number of items. Quadratic at worst.
fn matches<T: Copy>(
    pattern: &[T],
    text: &[T],
    is_run: impl Fn(T) -> bool,
    fits: impl Fn(T, T) -> bool,
) -> bool {
    let (mut wanted, mut at) = (0, 0);
    // Behind the latest run, and where the text goes on if the run takes one item more.
    let mut retry = None;
    loop {
        match (pattern.get(wanted), text.get(at)) {
            (Some(&run), _) if is_run(run) => {
                wanted += 1;
                retry = Some((wanted, at + 1));
            }
            (Some(&item), Some(&other)) if fits(item, other) => {
                wanted += 1;
                at += 1;
            }
            (None, None) => return true,
            _ => match retry {
                Some((behind, next)) if next <= text.len() => {
                    (wanted, at) = (behind, next);
                    retry = Some((behind, next + 1));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_cover_what_the_language_says_and_nothing_else() {
        for (pattern, covered, foreign) in [
            (
                "example.com",
                &["example.com"][..],
                &["a.example.com", "xample.com", "com"][..],
            ),
            ("Example.COM.", &["example.com"], &["example.org"]),
            (
                "*.example.com",
                &["example.com", "a.example.com"],
                &["a.b.example.com", "aexample.com"],
            ),
            (
                "**.example.com",
                &["example.com", "a.example.com", "a.b.example.com"],
                &["aexample.com", "example.com.evil.org"],
            ),
            (
                "?.example.com",
                &["a.example.com"],
                &["example.com", "ab.example.com", "..example.com"],
            ),
            (
                "db?.example.com",
                &["db1.example.com"],
                &["db.example.com", "evil.example.com"],
            ),
            (
                "*ample.com",
                &["example.com", "ample.com"],
                &["a.ample.com", "example.org"],
            ),
            (
                "foo-*.com",
                &["foo-.com", "foo-bar.com"],
                &["foo.com", "foo-a.b.com"],
            ),
            (
                "a*b*c.com",
                &["abc.com", "axbxbxc.com"],
                &["axbxbx.com", "ac.com"],
            ),
            (
                "app.*",
                &["app.test"],
                &["bank.test", "app.a.test", "evil.com"],
            ),
            ("app.**", &["app", "app.a.test"], &["bank.test"]),
            (
                "a.**.b.**.c",
                &["a.b.c", "a.x.b.y.z.c", "a.b.b.c.c"],
                &["a.c", "a.b.x", "b.c"],
            ),
            ("*", &["intranet"], &["intranet.test"]),
            ("**", &["intranet", "a.b.c"], &[]),
            ("a**.com", &[], &["ab.com", "a.b.com"]),
        ] {
            for name in covered {
                assert!(covers(pattern, name), "{pattern} {name}");
            }
            for name in foreign {
                assert!(!covers(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn many_wildcards_take_little_time() {
        let pattern = format!("{}.x", ["**"; 60].join("."));
        assert!(!covers(&pattern, &["a"; 126].join(".")));
    }

    proptest! {
        #[test]
        fn every_name_is_covered_by_itself_and_by_its_parents(
            labels in proptest::collection::vec("[a-z0-9-]{1,9}", 2..6),
        ) {
            let (name, parent) = (labels.join("."), labels[1..].join("."));
            prop_assert!(covers(&name, &name));
            for pattern in [format!("*.{parent}"), format!("**.{parent}")] {
                prop_assert!(covers(&pattern, &name));
            }
            prop_assert!(!covers(&parent, &name));
        }

        #[test]
        fn no_text_makes_it_panic(pattern in "[a*?.]{0,40}", name in "[a.]{0,40}") {
            covers(&pattern, &name);
        }
    }
}
