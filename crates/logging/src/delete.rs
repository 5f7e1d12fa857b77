//! Removes logs because somebody wants them gone. spec: client-app 8.5

use crate::{listing::Listing, retention::is_log_of};
use std::io;

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

/// Removes log files. One failure does not keep the rest. A program that is logging starts another file.
///
/// # Errors
///
/// The last one.
pub fn delete_logs(directory: &dyn Listing, which: Which<'_>) -> io::Result<()> {
    let mut result = Ok(());
    for entry in directory.entries()? {
        if which.covers(&entry.name) && !entry.is_directory {
            result = directory.remove(&entry.name).and(result);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{Entry, tests::Plain};
    use std::fs;
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
        delete_logs(&Plain::new(directory), Which::Of("p")).unwrap();
        let others = ["directory.log", "latest", "notes.txt", "old-log", "q.1.log"];
        assert_eq!(left(), others);
        fill();
        delete_logs(&Plain::new(directory), Which::All).unwrap();
        assert_eq!(left(), ["directory.log", "notes.txt"]);
    }
    #[test]
    fn a_failure_is_told_and_keeps_nobody_else() {
        struct Stubborn(std::cell::RefCell<Vec<String>>);
        impl Listing for Stubborn {
            fn entries(&self) -> io::Result<Vec<Entry>> {
                let entry = |name: &str| Entry {
                    name: name.into(),
                    is_file: true,
                    is_directory: false,
                    size: 1,
                    changed: std::time::SystemTime::UNIX_EPOCH,
                };
                Ok(["p.1.log", "p.2.log", "p.3.log"].map(entry).into())
            }

            fn remove(&self, name: &str) -> io::Result<()> {
                self.0.borrow_mut().push(name.to_owned());
                match name {
                    "p.2.log" => Err(io::ErrorKind::PermissionDenied.into()),
                    _ => Ok(()),
                }
            }
        }
        let directory = Stubborn(Vec::new().into());
        let error = delete_logs(&directory, Which::All).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(directory.0.into_inner().len(), 3);
    }
}
