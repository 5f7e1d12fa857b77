//! Removes logs because somebody wants them gone. spec: client-app 8.5

use crate::retention::is_log_of;
use std::{fs, io, path::Path};

/// Which files of a directory are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// All whose name ends in `log`, and links to the latest: for a directory that nobody else uses.
    All,
    /// Those of the program with this base name.
    Of(&'a str),
}

impl Which<'_> {
    fn covers(self, name: &str) -> bool {
        match self {
            Self::All => name.ends_with("log") || name == "latest" || name.ends_with(".latest"),
            Self::Of(base) => is_log_of(name, base) || name.strip_prefix(base) == Some(".latest"),
        }
    }
}

/// Removes log files. A directory that does not exist is success, and one failure does not keep
/// the rest. A program that is logging starts another file.
///
/// # Errors
///
/// The last one.
pub fn delete_logs(directory: &Path, which: Which<'_>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut result = Ok(());
    for entry in entries {
        let removed = entry.and_then(|entry| {
            let is_meant = which.covers(&entry.file_name().to_string_lossy());
            match is_meant && !entry.file_type()?.is_dir() {
                true => fs::remove_file(entry.path()),
                false => Ok(()),
            }
        });
        result = removed
            .or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
            .and(result);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn logs_and_links_go_and_the_rest_stays() {
        let directory = TempDir::new().unwrap();
        let directory = directory.path();
        let fill = || {
            fs::create_dir_all(directory.join("directory.log")).unwrap();
            for name in [
                "p.1.log",
                "p.latest",
                "latest",
                "old-log",
                "q.1.log",
                "notes.txt",
            ] {
                fs::write(directory.join(name), "").unwrap();
            }
        };
        let left = || {
            let entries = fs::read_dir(directory).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        fill();
        delete_logs(directory, Which::Of("p")).unwrap();
        let others = ["directory.log", "latest", "notes.txt", "old-log", "q.1.log"];
        assert_eq!(left(), others);
        fill();
        delete_logs(directory, Which::All).unwrap();
        assert_eq!(left(), ["directory.log", "notes.txt"]);
        fs::remove_dir_all(directory).unwrap();
        delete_logs(directory, Which::All).unwrap();
    }
}
