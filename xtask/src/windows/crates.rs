//! Which crates are of which system, and which tests need more than Wine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Members of the workspace that are there for Windows.
pub(super) const MEMBERS: [&str; 5] = [
    "model",
    "ip-packet",
    "dns-message",
    "socket-factory",
    "platform-windows",
];

/// What is not built for Windows, and why.
pub(super) const ELSEWHERE: [(&str, &str); 3] = [
    (
        "host, local-socket and all that depends on them",
        "their modules for Windows are missing",
    ),
    (
        "platform-linux, testbed, devnet, firezone-devnet",
        "they are of Linux, or run on it only",
    ),
    ("fuzz-targets, xtask", "they work with tools of Linux"),
];

/// How the reason of a test begins that Wine cannot run.
const REASON: &str = "ignore = \"needs Windows: ";

/// Arguments that choose the members.
pub(super) fn packages() -> impl Iterator<Item = &'static str> {
    MEMBERS.iter().flat_map(|name| ["--package", name])
}

/// The tests that only a real Windows runs: file, name and reason.
pub(super) fn ignored(root: &Path) -> io::Result<Vec<String>> {
    let mut found = vec![];
    for folder in ["crates", "bins"] {
        for file in rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&file)?;
            let name = file.strip_prefix(root).unwrap_or(&file).display();
            let tests = ignored_in(&text).into_iter();
            found.extend(tests.map(|(test, reason)| format!("{name}: {test}: {reason}")));
        }
    }
    Ok(found)
}

/// All source files below a folder, in the order of their names.
fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Names of tests and the reasons why they are ignored.
fn ignored_in(text: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        // The attribute itself, or the second half of one that depends on the system.
        let Some((before, rest)) = line.split_once(REASON) else {
            continue;
        };
        let is_attribute = ["", "#["].contains(&before.trim());
        let (true, Some((reason, _))) = (is_attribute, rest.split_once('"')) else {
            continue;
        };
        let reason = reason.to_owned();
        let name = lines.by_ref().find_map(function_name);
        found.push((name.unwrap_or_default(), reason));
    }
    found
}

/// The name in the first line of a function.
fn function_name(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("fn ")?;
    let (name, _) = rest.split_once('(')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_are_found_with_their_reasons() {
        let text = "    #[test]\n    #[ignore = \"needs Windows: Wine 8 lacks X\"]\n    \
                    async fn it_works() {\n#[ignore = \"slow\"]\nfn slow() {}\n";
        let expected = ("it_works".to_owned(), "Wine 8 lacks X".to_owned());
        assert_eq!(ignored_in(text), std::slice::from_ref(&expected));
        let text = "#[cfg_attr(\n    windows,\n    ignore = \"needs Windows: Wine 8 lacks X\"\n)]\n\
                    fn it_works() {}\n";
        assert_eq!(ignored_in(text), [expected]);
    }

    #[test]
    fn every_member_exists() {
        for name in MEMBERS {
            let folder = crate::workspace::root().join("crates").join(name);
            assert!(folder.join("Cargo.toml").exists(), "{name}");
        }
    }
}
