//! No two modules of a crate use each other. A module and what is below it count as one.

use super::{
    finding::Finding,
    source::{Source, folder_of},
};
use std::collections::{BTreeMap, BTreeSet};

/// The names that lead to a module from the root of its crate.
type Module = Vec<String>;

/// Checks all crates.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, BTreeMap<Module, &Source>> = BTreeMap::new();
    for source in sources {
        if let Some(module) = module_of(&source.path)
            && source.length() > 0
        {
            let modules = crates.entry(folder_of(&source.path)).or_default();
            modules.insert(module, source);
        }
    }
    crates.values().flat_map(circles).collect()
}

/// None for what is no part of the library or program itself.
fn module_of(path: &str) -> Option<Module> {
    let (_, inner) = path.split_once("/src/")?;
    let mut names: Module = inner
        .strip_suffix(".rs")?
        .split('/')
        .map(str::to_owned)
        .collect();
    if names == ["lib"] || names == ["main"] {
        names.clear();
    }
    Some(names)
}

fn circles(modules: &BTreeMap<Module, &Source>) -> Vec<Finding> {
    let uses: BTreeMap<&Module, BTreeMap<&Module, usize>> = modules
        .iter()
        .map(|(module, source)| (module, uses(module, source, modules)))
        .collect();
    let mut findings = Vec::new();
    for (module, targets) in &uses {
        for (target, line) in targets {
            // Reported at the module that comes first, so once for a pair.
            if *module < *target && reaches(target, module, &uses) {
                let what = format!(
                    "`{}` and `{}` use each other, perhaps through others",
                    module.join("::"),
                    target.join("::")
                );
                findings.push(Finding::new(&modules[*module].path, *line, what));
            }
        }
    }
    findings
}

/// The modules that a file uses, with the first line where it does.
fn uses<'a>(
    module: &Module,
    source: &Source,
    modules: &'a BTreeMap<Module, &Source>,
) -> BTreeMap<&'a Module, usize> {
    let mut found = BTreeMap::new();
    for (path, line) in paths(source) {
        if let Some(target) = resolve(module, &path, modules)
            && !is_above(module, target)
            && !is_above(target, module)
        {
            found.entry(target).or_insert(line);
        }
    }
    found
}

fn is_above(above: &Module, below: &Module) -> bool {
    below.starts_with(above)
}

fn reaches(from: &Module, to: &Module, uses: &BTreeMap<&Module, BTreeMap<&Module, usize>>) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        for target in uses.get(module).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(target) {
                next.push(target);
            }
        }
    }
    false
}

/// A word of code, and its line.
type Word<'a> = (&'a str, usize);

/// Paths in code outside of tests that begin at `crate`, `super` or `self`, with their lines; the
/// trees of `use` are spread out.
fn paths(source: &Source) -> Vec<(Vec<&str>, usize)> {
    let lines = source.code_lines();
    let words = lines.flat_map(|(line, code)| words(code).map(move |word| (word, line)));
    let mut words = words.peekable();
    let mut found = Vec::new();
    while let Some((word, line)) = words.next() {
        if word == "use" {
            spread(&mut words, &[], &mut found);
        } else if is_start(word) {
            let mut path = vec![word];
            while words.next_if(|(word, _)| *word == "::").is_some() {
                path.extend(
                    words
                        .next_if(|(word, _)| is_name(word))
                        .map(|(word, _)| word),
                );
            }
            found.push((path, line));
        }
    }
    found.retain(|(path, _)| path.first().is_some_and(|word| is_start(word)));
    found
}

/// Reads the tree of a `use` behind a prefix, up to the end of its braces or of the item.
fn spread<'a>(
    words: &mut impl Iterator<Item = Word<'a>>,
    prefix: &[&'a str],
    found: &mut Vec<(Vec<&'a str>, usize)>,
) {
    let mut path = prefix.to_vec();
    while let Some((word, line)) = words.next() {
        match word {
            "{" => {
                spread(words, &path, found);
                path.truncate(prefix.len());
            }
            "," | "}" | ";" => {
                found.push((path, line));
                path = prefix.to_vec();
                if word != "," {
                    return;
                }
            }
            name if is_name(name) => path.push(name),
            _ => {}
        }
    }
}

fn is_start(word: &str) -> bool {
    ["crate", "super", "self"].contains(&word)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Names, double colons, and every other character alone, without blanks.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code.trim_start();
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = if is_name(rest) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            end.unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, behind) = rest.split_at(length);
        rest = behind.trim_start();
        Some(word)
    })
}

/// The deepest module on the path.
fn resolve<'a>(
    module: &Module,
    path: &[&str],
    modules: &'a BTreeMap<Module, &Source>,
) -> Option<&'a Module> {
    let mut at = module.clone();
    let mut names = path.iter().peekable();
    while let Some(name) = names.peek() {
        match **name {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            _ => break,
        }
        names.next();
    }
    for name in names {
        at.push((*name).to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    modules.get_key_value(&at).map(|(module, _)| module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let path = |name: &str| format!("crates/x/src/{name}.rs");
        let sources = files
            .iter()
            .map(|(name, text)| Source::new(&path(name), text));
        let sources: Vec<_> = sources.collect();
        check(&sources).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn modules_that_use_each_other_are_found() {
        let each_other = ["`a` and `b` use each other, perhaps through others"];
        for (a, b) in [
            ("use crate::b::B;\n", "use crate::a::A;\n"),
            ("use super::b::B;\n", "fn f() -> crate::a::A {}\n"),
            (
                "use crate::{\n    c::C,\n    b::{B, D},\n};\n",
                "use super::{a};\n",
            ),
            ("use crate::{c::{C}, b};\n", "pub(crate) use crate::a::*;\n"),
        ] {
            assert_eq!(
                found(&[("a", a), ("b", b), ("c", "fn f() {}\n")]),
                each_other,
                "{a}"
            );
        }
        let through = [
            ("a", "use crate::b::B;\n"),
            ("b", "use crate::c::C;\n"),
            ("c", "use crate::a::A;\n"),
        ];
        assert_eq!(found(&through).len(), 2);
    }

    #[test]
    fn one_direction_parents_and_tests_are_no_circles() {
        for (a, b) in [
            ("use crate::b::B;\n", "use crate::A;\n"),
            (
                "use crate::b::B;\n",
                "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
            ),
            ("use crate::b::B;\n", "use std::a::A; // use crate::a::A;\n"),
        ] {
            assert_eq!(
                found(&[("a", a), ("b", b), ("lib", "mod a;\nmod b;\n")]),
                [""; 0]
            );
        }
        let parent = [("a", "mod c;\nuse c::C;\n"), ("a/c", "use super::A;\n")];
        assert_eq!(found(&parent), [""; 0]);
        let inner = [
            ("a", "mod c;\nmod d;\n"),
            ("a/c", "use super::d::D;\n"),
            ("a/d", "use super::c::C;\n"),
        ];
        assert_eq!(found(&inner).len(), 1);
    }
}
