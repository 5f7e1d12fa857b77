//! Which files are checked.

use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// Everything that is checked: path from the root, with slashes, and text.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Rust.
    pub(crate) rust: Vec<(String, String)>,
    /// Manifests of members.
    pub(crate) manifests: Vec<(String, String)>,
    /// Documents, settings and scripts.
    pub(crate) documents: Vec<(String, String)>,
}

/// Folders with crates.
const CRATES: &[&str] = &["bins", "crates", "xtask"];

/// Other folders.
const OTHERS: &[&str] = &[".cargo", ".ci", ".config", ".github", "docs"];

/// Endings of files at the root and in the other folders.
const DOCUMENTS: &[&str] = &[".md", ".toml", ".yml"];

/// Reads all files, in the order of their paths.
pub(crate) fn read(root: &Path) -> Result<Files> {
    let mut paths = Vec::new();
    for folder in CRATES.iter().chain(OTHERS) {
        walk(root, folder, &mut paths)?;
    }
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if DOCUMENTS.iter().any(|ending| name.ends_with(ending)) {
            paths.push(name);
        }
    }
    paths.sort();
    let mut files = Files::default();
    for path in paths {
        let in_crate = CRATES
            .iter()
            .any(|folder| path.starts_with(&format!("{folder}/")));
        let list = match in_crate {
            true if path.ends_with(".rs") => &mut files.rust,
            true if path.ends_with("/Cargo.toml") => &mut files.manifests,
            true if !DOCUMENTS.iter().any(|ending| path.ends_with(ending)) => continue,
            _ => &mut files.documents,
        };
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.clone())?;
        list.push((path, text));
    }
    Ok(files)
}

fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> Result<()> {
    let full = root.join(folder);
    if !full.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&full).with_context(|| folder.to_owned())? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                walk(root, &path, paths)?;
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_files_of_this_workspace_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let files = read(&root).unwrap();
        let has = |list: &[(String, String)], path: &str| list.iter().any(|(name, _)| name == path);
        assert!(has(&files.rust, "xtask/src/tidy/files.rs"));
        assert!(has(&files.rust, "crates/model/src/lib.rs"));
        assert!(has(&files.manifests, "bins/devnet/Cargo.toml"));
        assert!(has(&files.documents, "Cargo.toml"));
        assert!(has(&files.documents, ".cargo/config.toml"));
        assert!(!has(&files.documents, "xtask/Cargo.toml"));
    }
}
