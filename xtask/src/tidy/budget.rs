//! How long files and functions may be. Tests do not count.

use super::{
    finding::Finding,
    source::{Source, closing, is_word, line_at, positions},
};
use std::collections::BTreeMap;

/// Lines of a file.
const FILE: usize = 700;

/// Lines of a file that only routes, and of a program's entry.
const SPECIAL_FILES: &[(&str, usize)] = &[
    ("crates/connectivity/src/connectivity.rs", 500),
    ("crates/tunnel-core/src/tunnel.rs", 500),
];

/// Lines of `bins/*/src/main.rs`.
const ENTRY: usize = 120;

/// Lines of a function, signature and closing brace included.
const FUNCTION: usize = 100;

/// Lines that 95 of 100 functions of a crate keep to.
const FUNCTION_P95: usize = 45;

/// Parameters of a function, `self` included.
const PARAMETERS: usize = 7;

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    length: usize,
    parameters: usize,
}

/// Checks all files.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_crate: BTreeMap<&str, Vec<(usize, Finding)>> = BTreeMap::new();
    for source in sources {
        file(source, &mut findings);
        for function in functions(source) {
            let Function {
                name,
                line,
                length,
                parameters,
            } = &function;
            let mut found = |what| findings.push(Finding::new(&source.path, *line, what));
            if *length > FUNCTION {
                found(format!("`{name}` has {length} lines, more than {FUNCTION}"));
            }
            if *parameters > PARAMETERS {
                found(format!(
                    "`{name}` has {parameters} parameters, more than {PARAMETERS}"
                ));
            }
            let what = format!(
                "`{name}` has {length} lines, too many functions of this crate have more than {FUNCTION_P95}"
            );
            let finding = Finding::new(&source.path, *line, what);
            by_crate
                .entry(source.folder())
                .or_default()
                .push((*length, finding));
        }
    }
    for mut functions in by_crate.into_values() {
        functions.sort();
        if percentile_95(&functions).is_some_and(|(length, _)| *length > FUNCTION_P95) {
            let long = functions
                .into_iter()
                .filter(|(length, _)| *length > FUNCTION_P95);
            findings.extend(long.map(|(_, finding)| finding));
        }
    }
    findings
}

fn percentile_95<T>(sorted: &[T]) -> Option<&T> {
    sorted.get((sorted.len() * 95).div_ceil(100).checked_sub(1)?)
}

fn file(source: &Source, findings: &mut Vec<Finding>) {
    let path = source.path.as_str();
    let special = SPECIAL_FILES.iter().find(|(name, _)| *name == path);
    let is_entry = path.starts_with("bins/") && path.ends_with("/src/main.rs");
    let budget = match special {
        Some((_, budget)) => *budget,
        None if is_entry => ENTRY,
        None => FILE,
    };
    let length = source.length();
    if length > budget {
        let what = format!("the file has {length} lines without tests, more than {budget}");
        findings.push(Finding::new(path, 1, what));
    }
}

fn functions(source: &Source) -> Vec<Function> {
    let code = &source.masked.code;
    let found = positions(code, "fn").filter_map(|at| function(code, at));
    found
        .filter(|function| !source.is_test(function.line))
        .collect()
}

/// The function whose keyword is at `at`; none for a type or a declaration without body.
fn function(code: &str, at: usize) -> Option<Function> {
    let rest = code[at + 2..].trim_start();
    let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
    if name.is_empty() {
        return None;
    }
    let after_name = code.len() - rest.len() + name.len();
    let open = skip_generics(code, after_name)?;
    let end = closing(code, open)?;
    let body = body(code, end)?;
    let last = closing(code, body)? - 1;
    let line = line_at(code, at);
    Some(Function {
        name,
        line,
        length: line_at(code, last) + 1 - line,
        parameters: count_items(&code[open + 1..end - 1]),
    })
}

/// Position of the parenthesis after the generic parameters, if there are any.
fn skip_generics(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (offset, c) in code[at..].char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.checked_sub(1)?,
            '(' if depth == 0 => return Some(at + offset),
            _ => {}
        }
        before = c;
    }
    None
}

/// Position of the brace that opens the body.
fn body(code: &str, mut at: usize) -> Option<usize> {
    loop {
        match code[at..].chars().next()? {
            '{' => return Some(at),
            ';' => return None,
            '(' | '[' => at = closing(code, at)?,
            c => at += c.len_utf8(),
        }
    }
}

/// Number of items that commas separate, outside of all brackets.
fn count_items(list: &str) -> usize {
    let (mut depth, mut commas, mut before) = (0_usize, 0, ' ');
    for c in list.trim().trim_end_matches(',').chars() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '>' if before != '-' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => commas += 1,
            _ => {}
        }
        before = c;
    }
    if list.trim().is_empty() {
        0
    } else {
        commas + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(path: &str, text: &str) -> Vec<String> {
        let findings = check(&[Source::new(path, text)]);
        findings.into_iter().map(|finding| finding.what).collect()
    }

    fn function_of(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn functions_are_measured() {
        let text = "fn a() {}\nimpl<T> X<T> {\n    pub(crate) const fn b<F: Fn(u8) -> u8>(\n        \
                    &self,\n        map: BTreeMap<u8, [u8; 4]>,\n        f: fn(u8, u8),\n    ) -> [u8; 2] {\n        \
                    todo\n    }\n}\ntrait Y {\n    fn c(&self) -> [u8; 3];\n}\ntype Z = fn(u8);\n";
        let found = functions(&Source::new("crates/x/src/x.rs", text));
        let found: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.length, f.parameters))
            .collect();
        assert_eq!(found, [("a", 1, 1, 0), ("b", 3, 7, 3)]);
    }

    #[test]
    fn long_files_are_found() {
        for (path, budget) in [
            ("crates/model/src/id.rs", 700),
            ("crates/tunnel-core/src/tunnel.rs", 500),
            ("crates/connectivity/src/connectivity.rs", 500),
            ("bins/devnet/src/main.rs", 120),
        ] {
            assert_eq!(whats(path, &"x\n".repeat(budget)), [""; 0], "{path}");
            let what = format!(
                "the file has {} lines without tests, more than {budget}",
                budget + 1
            );
            assert_eq!(whats(path, &"x\n".repeat(budget + 1)), [what], "{path}");
        }
    }

    #[test]
    fn tests_do_not_count() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function_of(900));
        assert_eq!(whats("crates/model/src/id.rs", &text), [""; 0]);
    }

    #[test]
    fn long_functions_are_found() {
        let short = "fn g() {}\n".repeat(30);
        let path = "crates/model/src/id.rs";
        assert_eq!(whats(path, &(short.clone() + &function_of(100))), [""; 0]);
        assert_eq!(
            whats(path, &(short + &function_of(101))),
            ["`f` has 101 lines, more than 100"]
        );
    }

    #[test]
    fn one_long_function_in_twenty_is_the_most() {
        let path = "crates/model/src/id.rs";
        let with = |short: usize| whats(path, &("fn g() {}\n".repeat(short) + &function_of(46)));
        assert_eq!(with(19), [""; 0]);
        assert_eq!(
            with(18),
            ["`f` has 46 lines, too many functions of this crate have more than 45"]
        );
    }

    #[test]
    fn many_parameters_are_found() {
        let path = "crates/model/src/id.rs";
        assert_eq!(
            whats(path, "fn f(&self, a: A, b: B, c: C, d: D, e: E, f: F) {}\n"),
            [""; 0]
        );
        assert_eq!(
            whats(
                path,
                "fn f(&self, a: A, b: B, c: C, d: D, e: E, f: F, g: G,) {}\n"
            ),
            ["`f` has 8 parameters, more than 7"]
        );
    }
}
