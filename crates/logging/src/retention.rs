//! Keeps log files below a cap. spec: client-app 8.4

use crate::listing::{Entry, Listing};
use std::{
    io,
    time::{Duration, SystemTime},
};

/// Bytes that all log files of a program may have.
pub const CAP: u64 = 100 * 1024 * 1024;

/// Files younger than this stay: somebody may be looking at them.
const YOUNG: Duration = Duration::from_secs(5 * 60);

/// Removes the oldest log files of a program until all of them are below the cap; the bytes that
/// were removed. The newest file stays, and so do those younger than five minutes.
///
/// # Errors
///
/// If the directory cannot be listed, or the last file that could not be removed; a cap of 0 is
/// refused.
pub fn enforce_cap(
    directory: &dyn Listing,
    base: &str,
    cap: u64,
    now: SystemTime,
) -> io::Result<u64> {
    if cap == 0 {
        let what = "a cap of 0 would remove every log file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut files = directory.entries()?;
    files.retain(|entry| entry.is_file && is_log_of(&entry.name, base));
    files.sort_by(|a, b| (a.changed, &a.name).cmp(&(b.changed, &b.name)));
    let total = files.iter().map(|file| file.size).sum();
    files.pop();
    remove_oldest(directory, &files, total, cap, now)
}

fn remove_oldest(
    directory: &dyn Listing,
    files: &[Entry],
    total: u64,
    cap: u64,
    now: SystemTime,
) -> io::Result<u64> {
    let (mut removed, mut result) = (0, Ok(()));
    for file in files {
        let age = now.duration_since(file.changed);
        let is_old = age.is_ok_and(|age| age >= YOUNG);
        if total - removed <= cap || !is_old {
            break;
        }
        match directory.remove(&file.name) {
            Ok(()) => removed += file.size,
            Err(error) => result = Err(error),
        }
    }
    result.map(|()| removed)
}

/// Whether a file is a log of the program: `<base>.<stamp>.log`.
pub(crate) fn is_log_of(name: &str, base: &str) -> bool {
    let stamp = name
        .strip_prefix(base)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_suffix(".log"));
    stamp.is_some_and(|stamp| !stamp.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::tests::Plain;
    use std::{
        fs::{self, File},
        path::Path,
    };
    use tempfile::TempDir;

    const HOUR: Duration = Duration::from_secs(3600);

    struct Directory(TempDir);

    impl Directory {
        /// Files by name, size and age.
        fn new(now: SystemTime, files: &[(&str, usize, Duration)]) -> Self {
            let this = Self(TempDir::new().unwrap());
            for (name, size, age) in files {
                let path = this.0.path().join(name);
                fs::write(&path, vec![b'x'; *size]).unwrap();
                let file = File::options().append(true).open(path).unwrap();
                file.set_modified(now - *age).unwrap();
            }
            this
        }

        fn listing(&self) -> Plain {
            Plain::new(self.0.path())
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            let mut names: Vec<_> = entries
                .map(|entry| name(entry).to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let now = SystemTime::now();
        let files = [
            ("p.4.log", 10, HOUR),
            ("p.1.log", 10, HOUR * 4),
            ("p.3.log", 10, HOUR * 2),
            ("p.2.log", 10, HOUR * 3),
        ];
        let directory = Directory::new(now, &files);
        assert_eq!(enforce_cap(&directory.listing(), "p", 40, now).unwrap(), 0);
        assert_eq!(enforce_cap(&directory.listing(), "p", 25, now).unwrap(), 20);
        assert_eq!(directory.names(), ["p.3.log", "p.4.log"]);
        assert_eq!(enforce_cap(&directory.listing(), "p", 1, now).unwrap(), 10);
        assert_eq!(directory.names(), ["p.4.log"], "the last one stays");
    }

    #[test]
    fn what_is_young_or_not_ours_stays() {
        let now = SystemTime::now();
        let files = [
            ("p.1.log", 10, Duration::from_secs(299)),
            ("p.2.log", 10, Duration::from_secs(10)),
            ("syslog.log", 1000, HOUR),
            ("p.log", 1000, HOUR),
            ("p.1.txt", 1000, HOUR),
            ("other.1.log", 1000, HOUR),
        ];
        let directory = Directory::new(now, &files);
        assert_eq!(enforce_cap(&directory.listing(), "p", 1, now).unwrap(), 0);
        // A clock that was set back makes files of the future.
        assert_eq!(
            enforce_cap(&directory.listing(), "p", 1, now - HOUR).unwrap(),
            0
        );
        assert_eq!(directory.names().len(), files.len());
        assert_eq!(
            enforce_cap(&directory.listing(), "p", 1, now + HOUR).unwrap(),
            10
        );
    }

    #[test]
    fn directories_and_links_are_no_log_files() {
        let now = SystemTime::now();
        let directory = Directory::new(now, &[("p.2.log", 10, HOUR)]);
        fs::create_dir(directory.0.path().join("p.1.log")).unwrap();
        assert_eq!(enforce_cap(&directory.listing(), "p", 1, now).unwrap(), 0);
        assert_eq!(directory.names(), ["p.1.log", "p.2.log"]);
    }

    #[test]
    fn no_cap_and_no_directory_are_errors() {
        let now = SystemTime::now();
        assert!(enforce_cap(&Plain::new(&std::env::temp_dir()), "p", 0, now).is_err());
        assert!(enforce_cap(&Plain::new(Path::new("/nonexistent/logs")), "p", 1, now).is_err());
    }
}
