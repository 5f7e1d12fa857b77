//! A Rust file, ready to be checked: which lines are tests, and where words stand.

use super::lexer::{Masked, mask};

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the workspace, with slashes.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Code and comments apart.
    pub(crate) masked: Masked,
    /// For each line whether it belongs to tests.
    test_lines: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let masked = mask(text);
        let lines = text.lines().count();
        let mut test_lines = vec![is_test_path(path); lines];
        for (first, last) in test_items(&masked.code) {
            for line in &mut test_lines[first - 1..last.min(lines)] {
                *line = true;
            }
        }
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            masked,
            test_lines,
        }
    }

    /// The crate's folder, such as `crates/model` or `xtask`.
    pub(crate) fn folder(&self) -> &str {
        folder_of(&self.path)
    }

    /// Whether a line, counted from one, belongs to tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// Number of lines that are not tests.
    pub(crate) fn length(&self) -> usize {
        self.test_lines.iter().filter(|&&test| !test).count()
    }

    /// Makes the whole file a test, because the module is declared as one.
    pub(crate) fn become_test(&mut self) {
        self.test_lines.fill(true);
    }

    /// Lines of code that are not tests, numbered from one.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.masked.code.lines().enumerate();
        lines
            .map(|(index, line)| (index + 1, line))
            .filter(|&(line, _)| !self.is_test(line))
    }

    /// Paths that the modules declared with `#[cfg(test)] mod name;` may have.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let code = &self.masked.code;
        let mut paths = Vec::new();
        for (first, last) in test_items(code) {
            let item: Vec<&str> = code
                .lines()
                .skip(first - 1)
                .take(last + 1 - first)
                .collect();
            let item = item.join(" ");
            let Some((_, rest)) = item.split_once("mod ") else {
                continue;
            };
            if let Some((name, _)) = rest.split_once(';')
                && name.chars().all(is_word)
            {
                let folder = child_folder(&self.path);
                paths.push(format!("{folder}/{name}.rs"));
                paths.push(format!("{folder}/{name}/mod.rs"));
            }
        }
        paths
    }
}

/// Marks files whose modules are declared as tests elsewhere.
pub(crate) fn mark_test_modules(sources: &mut [Source]) {
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        if modules.contains(&source.path) {
            source.become_test();
        }
    }
}

/// The crate's folder in a path.
pub(crate) fn folder_of(path: &str) -> &str {
    let levels = if path.starts_with("xtask/") { 1 } else { 2 };
    let end = path.match_indices('/').nth(levels - 1);
    end.map_or(path, |(at, _)| &path[..at])
}

/// Positions of a word in code: not as a part of a longer one.
pub(crate) fn positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let starts_open = !word.starts_with(is_word);
    let ends_open = !word.ends_with(is_word);
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = code[..at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            (starts_open || !before.is_some_and(is_word))
                && (ends_open || !after.is_some_and(is_word))
        })
}

/// Whether the word stands in the code.
pub(crate) fn contains(code: &str, word: &str) -> bool {
    positions(code, word).next().is_some()
}

/// The line, counted from one, of a byte position.
pub(crate) fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The position after the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether the character can be part of an identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path
            .split('/')
            .any(|part| part == "tests" || part == "benches")
}

/// Where the children of a module live.
fn child_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    }
}

/// First and last lines of items under `#[cfg(test)]`, with the attribute.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    for (at, attribute) in code.match_indices("#[cfg(") {
        let open = at + attribute.len() - 1;
        let Some(end) = closing(code, open) else {
            continue;
        };
        if is_test_condition(&code[open + 1..end - 1])
            && let Some(last) = item_end(code, end + 1)
        {
            items.push((line_at(code, at), line_at(code, last)));
        }
    }
    items
}

fn is_test_condition(condition: &str) -> bool {
    let condition = condition.trim();
    condition == "test" || condition.starts_with("all(") && contains(condition, "test")
}

/// Position of the end of the item that starts somewhere after `at`.
fn item_end(code: &str, at: usize) -> Option<usize> {
    let mut position = at;
    loop {
        let c = code[position..].chars().next()?;
        match c {
            '{' => return closing(code, position).map(|end| end - 1),
            ';' | ',' | '}' => return Some(position),
            '(' | '[' => position = closing(code, position)?,
            _ => position += c.len_utf8(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_lines(path: &str, text: &str) -> Vec<usize> {
        let source = Source::new(path, text);
        let count = text.lines().count();
        (1..=count).filter(|&line| source.is_test(line)).collect()
    }

    #[test]
    fn test_modules_and_items_are_found() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { '}'; }\n}\nfn c() {}\n\
                    #[cfg(all(test, target_os = \"linux\"))]\n#[inline]\nfn d() {\n}\n\
                    #[cfg(not(test))]\nfn e() {}\n";
        assert_eq!(
            test_lines("crates/x/src/lib.rs", text),
            [2, 3, 4, 5, 7, 8, 9, 10]
        );
    }

    #[test]
    fn files_of_tests_are_tests_as_a_whole() {
        for path in [
            "crates/x/src/a/tests.rs",
            "crates/x/tests/it/main.rs",
            "crates/x/src/tests/a.rs",
        ] {
            assert_eq!(test_lines(path, "a\nb\n"), [1, 2], "{path}");
        }
        assert_eq!(test_lines("crates/x/src/contests.rs", "a\n"), [0; 0]);
    }

    #[test]
    fn modules_that_are_declared_as_tests_are_tests() {
        let mut sources = [
            Source::new(
                "crates/x/src/lib.rs",
                "#[cfg(test)]\nmod fixtures;\nmod a;\n",
            ),
            Source::new("crates/x/src/fixtures.rs", "x\n"),
            Source::new("crates/x/src/a.rs", "#[cfg(test)]\nmod double;\n"),
            Source::new("crates/x/src/a/double.rs", "x\n"),
        ];
        mark_test_modules(&mut sources);
        assert_eq!(sources.each_ref().map(Source::length), [1, 0, 0, 0]);
    }

    #[test]
    fn words_are_found_whole() {
        for (code, word, found) in [
            ("unsafe { }", "unsafe", true),
            ("unsafe_code", "unsafe", false),
            ("not_unsafe", "unsafe", false),
            ("a.elapsed()", ".elapsed(", true),
            ("std::fs::read", "std::fs", true),
            ("std::fsx", "std::fs", false),
        ] {
            assert_eq!(contains(code, word), found, "{word} in {code}");
        }
    }

    #[test]
    fn paths_name_their_crate() {
        assert_eq!(folder_of("crates/model/src/id.rs"), "crates/model");
        assert_eq!(folder_of("xtask/src/tidy.rs"), "xtask");
    }
}
