//! Directories that somebody else owns, and what may wait there.

use super::*;
use rustix::fs::mknodat;
use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::PathBuf,
};
use tempfile::TempDir;

const NAME: &str = "base.1.log";

/// Nobody in particular.
const USER: u32 = 65534;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// A directory of somebody else, and a file of root that only root may use.
fn world() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    chown(&logs, Some(USER), Some(USER)).unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "of root").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    (folder, logs, secret)
}

#[test]
fn what_waits_under_the_name_of_a_log_gets_no_lines() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 5] = [
        ("symbolic link", |secret, name| {
            symlink(secret, name).unwrap();
        }),
        ("hard link", |secret, name| {
            fs::hard_link(secret, name).unwrap();
        }),
        ("pipe", |_, name| {
            mknodat(CWD, name, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }),
        ("directory", |_, name| fs::create_dir(name).unwrap()),
        ("file of somebody else", |_, name| {
            fs::write(name, "").unwrap();
            chown(name, Some(USER), None).unwrap();
        }),
    ];
    for (kind, plant) in plants {
        let (_folder, logs, secret) = world();
        plant(&secret, &logs.join(NAME));
        let before = mode(&logs.join(NAME));
        let created = create(&logs, "base", "1");
        assert!(
            matches!(created, Err(FileFault::Kind(_))),
            "{kind}: {created:?}"
        );
        assert_eq!(mode(&logs.join(NAME)), before, "{kind}");
        assert_eq!(mode(&secret), 0o600, "{kind}");
        assert_eq!(fs::read(&secret).unwrap(), b"of root", "{kind}");
    }
}

#[test]
fn a_pipe_that_somebody_reads_gets_no_lines() {
    let (_folder, logs, _) = world();
    let name = logs.join(NAME);
    mknodat(CWD, &name, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let _reader = rustix::fs::openat(CWD, &name, flags, Mode::empty()).unwrap();
    let created = create(&logs, "base", "1");
    assert!(matches!(created, Err(FileFault::Kind(_))), "{created:?}");
}

#[test]
fn the_latest_log_file_has_a_link() {
    let (_folder, logs, secret) = world();
    // Nothing is written through what has its name, whatever that is.
    fs::hard_link(&secret, logs.join("base.latest")).unwrap();
    for stamp in ["1", "2"] {
        let mut file = create(&logs, "base", stamp).unwrap();
        file.write_all(stamp.as_bytes()).unwrap();
    }
    let latest = logs.join("base.latest");
    assert_eq!(fs::read_to_string(&latest).unwrap(), "2");
    assert_eq!(mode(&logs.join(NAME)), 0o640);
    assert_eq!(fs::read(&secret).unwrap(), b"of root");
}

#[test]
fn a_directory_that_has_the_name_of_the_link_stays() {
    let (_folder, logs, _) = world();
    fs::create_dir(logs.join("base.latest")).unwrap();
    create(&logs, "base", "1").unwrap();
    assert!(logs.join("base.latest").is_dir());
}

#[test]
fn a_directory_that_is_swapped_keeps_its_own_files_and_loses_no_others() {
    let (folder, logs, _) = world();
    for name in ["a.log", "b.log"] {
        fs::write(logs.join(name), "12345").unwrap();
    }
    symlink("a.log", logs.join("latest")).unwrap();
    fs::create_dir(logs.join("c.log")).unwrap();
    let held = LogDirectory::open(&logs).unwrap().unwrap();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.log"), "of root").unwrap();
    fs::rename(&logs, folder.path().join("moved")).unwrap();
    symlink(&other, &logs).unwrap();
    let mut entries = held.entries().unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let found = entries
        .iter()
        .map(|e| (e.name.as_str(), e.is_file, e.is_directory));
    let expected = [
        ("a.log", true, false),
        ("b.log", true, false),
        ("c.log", false, true),
        ("latest", false, false),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert_eq!(entries[0].size, 5);
    assert!(entries[0].changed > SystemTime::UNIX_EPOCH);
    held.remove("a.log").unwrap();
    held.remove("a.log").unwrap();
    assert!(held.remove("../other/a.log").is_err() && held.remove("c.log").is_err());
    assert_eq!(fs::read(other.join("a.log")).unwrap(), b"of root");
    assert!(!folder.path().join("moved/a.log").exists());

    let fault = LogDirectory::open_itself(&logs).unwrap_err();
    assert!(matches!(fault, FileFault::NoDirectory(_)), "{fault}");
    assert!(LogDirectory::open_itself(&other).unwrap().is_some());
    assert!(LogDirectory::open(&logs).unwrap().is_some());
    assert!(
        LogDirectory::open(&folder.path().join("missing"))
            .unwrap()
            .is_none()
    );
    assert!(LogDirectory::open(&other.join("a.log")).is_err());
}
