//! The crash matrix of the specification, and files that are not as expected. spec: platform 4.3, 20

use super::*;
use crate::dns::config::MAGIC;
use std::{
    fs::File,
    sync::atomic::{AtomicU32, Ordering},
};

const ORIGINAL: &str = "# mine\nnameserver 192.0.2.1\noptions timeout:2\n";
const EDITED: &str = "nameserver 198.51.100.9\n";
pub(super) const SENTINEL: &str = "100.100.111.1";

/// A directory that goes away with its files.
pub(super) struct Etc(PathBuf);

impl Etc {
    pub(super) fn new(content: &str) -> (Self, ResolvConfPaths) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("resolv-conf-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let paths = ResolvConfPaths {
            file: directory.join("resolv.conf"),
            backup: directory.join("resolv.conf.before-firezone"),
        };
        fs::write(&paths.file, content).unwrap();
        (Self(directory), paths)
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(super) fn set(paths: &ResolvConfPaths) -> Result<(), PlatformFault> {
    paths.set(&[SENTINEL.parse().unwrap()], None)
}

pub(super) fn put_back(paths: &ResolvConfPaths) -> Result<(), PlatformFault> {
    paths.put_back(&[SENTINEL.parse().unwrap()], None)
}

fn content(paths: &ResolvConfPaths) -> String {
    fs::read_to_string(&paths.file).unwrap()
}

pub(super) fn resolvers(paths: &ResolvConfPaths) -> Vec<IpAddr> {
    let resolvers = paths.resolvers(false).unwrap().into_iter();
    resolvers.map(|resolver| resolver.address).collect()
}

fn backup(paths: &ResolvConfPaths) -> String {
    fs::read_to_string(&paths.backup).unwrap()
}

#[test]
fn clean_run_is_backed_up_set_and_restored() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    assert!(!paths.is_set());
    set(&paths).unwrap();
    assert!(paths.is_set());
    assert!(content(&paths).contains("nameserver 100.100.111.1\noptions timeout:2\n"));
    assert_eq!(backup(&paths), ORIGINAL);
    assert_eq!(resolvers(&paths), [IpAddr::from([192, 0, 2, 1])]);
    paths.revert().unwrap();
    assert_eq!(content(&paths), ORIGINAL);
    assert_eq!(backup(&paths), ORIGINAL, "the backup was not kept");
}

#[test]
fn crashed_run_does_not_become_the_original() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    // No revert: the next run finds our file.
    set(&paths).unwrap();
    assert_eq!(backup(&paths), ORIGINAL);
    paths.revert().unwrap();
    assert_eq!(content(&paths), ORIGINAL);
}

#[test]
fn file_rewritten_after_a_crash_becomes_the_original() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    fs::write(&paths.file, EDITED).unwrap();
    set(&paths).unwrap();
    assert_eq!(backup(&paths), EDITED);
    paths.revert().unwrap();
    assert_eq!(content(&paths), EDITED);
}

#[test]
fn edit_without_a_running_client_is_respected_at_the_next_start() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    paths.revert().unwrap();
    fs::write(&paths.file, EDITED).unwrap();
    paths.revert().unwrap();
    assert_eq!(content(&paths), EDITED);
}

#[test]
fn edit_that_deletes_the_magic_line_is_respected_at_the_end() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    let edited = content(&paths).replacen(MAGIC, "# edited", 1);
    fs::write(&paths.file, &edited).unwrap();
    paths.revert().unwrap();
    assert_eq!(content(&paths), edited);
}

#[test]
fn revert_twice_and_without_set_changes_nothing() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    paths.revert().unwrap();
    assert!(!paths.backup.exists());
    set(&paths).unwrap();
    paths.revert().unwrap();
    paths.revert().unwrap();
    assert_eq!(content(&paths), ORIGINAL);
}

#[test]
fn setting_the_same_again_does_not_touch_the_file() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let file = File::options().write(true).open(&paths.file).unwrap();
    file.set_modified(long_ago).unwrap();
    set(&paths).unwrap();
    let modified = fs::metadata(&paths.file).unwrap().modified().unwrap();
    assert_eq!(modified, long_ago);
    // Other resolvers are written, also if the text gets shorter.
    paths.set(&["::1".parse().unwrap()], None).unwrap();
    assert!(content(&paths).contains("nameserver ::1\noptions timeout:2\n\n"));
    assert!(!content(&paths).contains(SENTINEL));
}

#[test]
fn file_is_written_in_place() {
    use std::os::unix::fs::MetadataExt as _;
    let (_etc, paths) = Etc::new(ORIGINAL);
    let inode = || fs::metadata(&paths.file).unwrap().ino();
    let before = inode();
    set(&paths).unwrap();
    paths.revert().unwrap();
    assert_eq!(inode(), before);
}

#[test]
fn symbolic_link_is_refused_with_advice() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    let target = paths.file.with_file_name("stub");
    fs::rename(&paths.file, &target).unwrap();
    std::os::unix::fs::symlink(&target, &paths.file).unwrap();
    for result in [set(&paths), paths.revert()] {
        let text = result.unwrap_err().to_string();
        assert!(text.contains("is a symbolic link"), "{text}");
        assert!(text.contains("another DNS control method"), "{text}");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), ORIGINAL);
    // The resolvers behind it are known nevertheless.
    assert_eq!(resolvers(&paths).len(), 1);
}

#[test]
fn missing_file_is_refused() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    fs::remove_file(&paths.file).unwrap();
    assert!(set(&paths).is_err());
    assert!(paths.revert().is_err());
    assert!(paths.resolvers(false).is_err());
    assert!(!paths.is_set() && !paths.backup.exists());
}

#[test]
fn lost_backup_of_a_crashed_run_is_not_papered_over() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    fs::remove_file(&paths.backup).unwrap();
    let ours = content(&paths);
    let text = set(&paths).unwrap_err().to_string();
    assert!(text.contains("left by a crashed run"), "{text}");
    paths.revert().unwrap();
    assert_eq!(content(&paths), ours);
    assert!(!paths.backup.exists());
}

#[test]
fn unwritable_backup_leaves_the_file_alone() {
    let (_etc, mut paths) = Etc::new(ORIGINAL);
    // A directory that does not exist stands for a read-only one, which root ignores.
    paths.backup = paths.file.with_file_name("missing").join("backup");
    let text = set(&paths).unwrap_err().to_string();
    assert!(text.contains("cannot write"), "{text}");
    assert_eq!(content(&paths), ORIGINAL);
}

#[test]
fn file_that_others_replaced_is_what_remains() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    let other = paths.file.with_file_name("other");
    fs::write(&other, EDITED).unwrap();
    fs::rename(&other, &paths.file).unwrap();
    put_back(&paths).unwrap();
    assert!(content(&paths).contains(SENTINEL) && paths.is_set());
    assert_eq!(resolvers(&paths), [IpAddr::from([198, 51, 100, 9])]);
    paths.revert_own().unwrap();
    assert_eq!(content(&paths), EDITED);
}

#[test]
fn file_that_others_deleted_comes_back() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    fs::remove_file(&paths.file).unwrap();
    let kept = paths.resolvers(true).unwrap();
    assert_eq!(kept[0].address, IpAddr::from([192, 0, 2, 1]));
    put_back(&paths).unwrap();
    assert!(content(&paths).contains(SENTINEL));
    for _ in 0..2 {
        fs::remove_file(&paths.file).unwrap();
        paths.revert_own().unwrap();
        assert_eq!(content(&paths), ORIGINAL);
    }
}

#[test]
fn link_that_others_made_is_left_to_them() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    set(&paths).unwrap();
    let target = paths.file.with_file_name("theirs");
    fs::write(&target, EDITED).unwrap();
    fs::remove_file(&paths.file).unwrap();
    std::os::unix::fs::symlink(&target, &paths.file).unwrap();
    assert!(!paths.is_set());
    assert!(put_back(&paths).is_err());
    assert_eq!(resolvers(&paths), [IpAddr::from([198, 51, 100, 9])]);
    paths.revert_own().unwrap();
    assert_eq!(fs::read_link(&paths.file).unwrap(), target);
    assert_eq!(content(&paths), EDITED);
}

#[test]
fn what_is_no_reasonable_file_is_not_read() {
    let (_etc, paths) = Etc::new(ORIGINAL);
    let file = File::options().write(true).open(&paths.file).unwrap();
    file.set_len(MAX_FILE + 1).unwrap();
    assert!(set(&paths).is_err() && paths.resolvers(false).is_err());
    fs::remove_file(&paths.file).unwrap();
    // Reading a pipe would wait for a writer.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &paths.file,
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    assert!(set(&paths).is_err() && paths.resolvers(false).is_err());
}
