//! Which crates are of which system, and which tests need more than Wine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Members of the workspace that are not built for Windows, and why.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("platform-linux", "it is the other system"),
    ("testbed", "it is made of network namespaces"),
    (
        "devnet",
        "its parties run where the networks of tests are, and are for development",
    ),
    ("firezone-devnet", "the program of that"),
    ("fuzz-targets", "they are run by libFuzzer on Linux"),
    ("xtask", "it works with packages of Linux distributions"),
];

/// How the reason of a test begins that Wine cannot run.
const REASON: &str = "#[ignore = \"needs Windows: ";

/// Arguments that leave these out.
pub(super) fn excluded() -> impl Iterator<Item = &'static str> {
    ELSEWHERE.iter().flat_map(|(name, _)| ["--exclude", *name])
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
        let Some(rest) = line.trim().strip_prefix(REASON) else {
            continue;
        };
        let reason = rest.trim_end_matches("\"]").to_owned();
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
        assert_eq!(ignored_in(text), [expected]);
    }

    #[test]
    fn every_crate_that_is_left_out_exists() {
        let manifests = ["crates", "bins"].iter().flat_map(|folder| {
            let folder = crate::workspace::root().join(folder);
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap())
        });
        let texts: Vec<String> = manifests
            .map(|entry| fs::read_to_string(entry.path().join("Cargo.toml")).unwrap())
            .collect();
        for (name, _) in ELSEWHERE.iter().filter(|(name, _)| *name != "xtask") {
            let line = format!("name = \"{name}\"\n");
            assert!(texts.iter().any(|text| text.contains(&line)), "{name}");
        }
    }
}
