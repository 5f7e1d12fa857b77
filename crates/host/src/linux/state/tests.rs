//! Directories of their own, and people who would like to get at the files of root.

use super::*;
use crate::StateDirectory;
use rustix::{
    fs::Uid,
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tempfile::TempDir;

/// Nobody in particular.
const USER: u32 = 65534;

const NAME: &str = "firezone-id.json";

/// A group that every system has and root is not in.
fn group() -> Group {
    Group::find("daemon").unwrap().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode_of(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A file of root that nobody else may read, in a folder that everybody may enter.
fn secret(folder: &TempDir) -> std::path::PathBuf {
    set_mode_of(folder.path(), 0o755);
    let path = folder.path().join("secret");
    fs::write(&path, "{\"id\":\"of root\"}").unwrap();
    set_mode_of(&path, 0o600);
    path
}

/// Whether nobody gave that file away.
fn is_secret(path: &Path) -> bool {
    let metadata = fs::metadata(path).unwrap();
    (metadata.mode() & 0o7777, metadata.gid()) == (0o600, 0)
}

/// Turns the calling thread, and no other, into a user with a group.
fn become_user(group: u32) {
    let (user, group) = (Uid::from_raw(USER), Gid::from_raw(group));
    set_thread_groups(&[group]).unwrap();
    set_thread_res_gid(group, group, group).unwrap();
    set_thread_res_uid(user, user, user).unwrap();
}

#[test]
fn sharing_lets_a_group_read_and_not_write() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/config");
    let state = StateDirectory::new(&path);
    state.share(&group(), &[NAME]).unwrap();
    assert_eq!(mode(&path), 0o750);
    state.write_new(NAME, b"{}").unwrap();
    state.write("settings", b"{}").unwrap();
    state.share(&group(), &[NAME]).unwrap();
    for (path, expected) in [(path.clone(), 0o750), (path.join(NAME), 0o640)] {
        let group = fs::metadata(&path).unwrap().gid();
        assert_eq!((mode(&path), group), (expected, 1), "{}", path.display());
    }
    let settings = fs::metadata(path.join("settings")).unwrap();
    assert_eq!((settings.mode() & 0o7777, settings.gid()), (0o600, 0));
}

#[test]
fn links_to_files_of_root_are_not_given_away() {
    let folder = TempDir::new().unwrap();
    let secret = secret(&folder);
    let state = StateDirectory::new(folder.path().join("config"));
    state.share(&group(), &[NAME]).unwrap();
    let name = state.path().join(NAME);
    for kind in ["symbolic", "hard"] {
        let linked = match kind {
            "hard" => fs::hard_link(&secret, &name),
            _ => symlink(&secret, &name),
        };
        linked.unwrap();
        let fault = state.share(&group(), &[NAME]).unwrap_err();
        assert!(matches!(fault, FileFault::Kind(_)), "{kind}: {fault}");
        assert!(is_secret(&secret), "{kind}");
        fs::remove_file(&name).unwrap();
    }
    // The directory itself may not be one, either.
    symlink(folder.path(), folder.path().join("link")).unwrap();
    let state = StateDirectory::new(folder.path().join("link"));
    assert!(state.share(&group(), &[]).is_err());
    assert_eq!(mode(folder.path()), 0o755);
}

#[test]
fn what_others_put_there_is_not_shared() {
    let folder = TempDir::new().unwrap();
    let state = StateDirectory::new(folder.path().join("config"));
    state.write_new(NAME, b"{}").unwrap();
    chown(state.path().join(NAME), Some(USER), None).unwrap();
    assert!(state.share(&group(), &[NAME]).is_err());
    assert_eq!(fs::metadata(state.path().join(NAME)).unwrap().gid(), 0);

    let state = StateDirectory::new(folder.path().join("other"));
    state.write_new(NAME, b"{}").unwrap();
    chown(state.path(), Some(USER), None).unwrap();
    assert!(state.share(&group(), &[NAME]).is_err());
    for path in [state.path(), &state.path().join(NAME)] {
        assert_eq!(fs::metadata(path).unwrap().gid(), 0);
    }
}

#[test]
fn a_group_gets_in_only_after_it_can_write_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config");
    fs::create_dir(&path).unwrap();
    set_mode_of(folder.path(), 0o755);
    chown(&path, Some(USER), Some(USER)).unwrap();
    set_mode_of(&path, 0o770);
    let state = StateDirectory::new(&path);
    // Its owner may set the mode and may not give it to the group: what comes first happens.
    let shared = thread::scope(|scope| {
        let share = || {
            become_user(USER);
            state.share(&group(), &[])
        };
        scope.spawn(share).join().unwrap()
    });
    assert!(matches!(shared, Err(FileFault::Os { .. })), "{shared:?}");
    assert_eq!(mode(&path), 0o750);
}

#[test]
fn a_member_of_the_group_gets_at_nothing_while_it_is_shared() {
    let folder = TempDir::new().unwrap();
    let secret = secret(&folder);
    let state = StateDirectory::new(folder.path().join("config"));
    let name = state.path().join(NAME);
    let is_over = AtomicBool::new(false);
    let mut modes = vec![];
    thread::scope(|scope| {
        scope.spawn(|| {
            become_user(*group().raw());
            while !is_over.load(Ordering::Relaxed) {
                symlink(&secret, &name).ok();
                fs::hard_link(&secret, &name).ok();
            }
        });
        for _ in 0..100 {
            // As older programs left it.
            fs::create_dir(state.path()).unwrap();
            chown(state.path(), None, Some(*group().raw())).unwrap();
            set_mode_of(state.path(), 0o770);
            // It may refuse what it finds.
            state.share(&group(), &[NAME]).ok();
            modes.push(mode(state.path()));
            fs::remove_dir_all(state.path()).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(is_secret(&secret));
    assert!(modes.iter().all(|mode| *mode == 0o750), "{modes:?}");
}

#[test]
fn directories_are_never_open_to_a_group_for_writing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/config");
    let state = StateDirectory::new(&path);
    state.write_new(NAME, b"{}").unwrap();
    assert_eq!((mode(&path), mode(&path.join(NAME))), (0o750, 0o640));
    assert_eq!(mode(path.parent().unwrap()) & 0o022, 0);
}

#[test]
fn an_identity_is_closed_to_a_group_that_could_write_it() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("config");
    close(&directory, NAME).unwrap();
    assert!(!directory.exists(), "nothing is made");
    fs::create_dir(&directory).unwrap();
    let path = directory.join(NAME);
    for (before, after) in [(0o770, 0o750), (0o702, 0o750), (0o755, 0o755)] {
        set_mode_of(&directory, before);
        close(&directory, NAME).unwrap();
        assert_eq!(mode(&directory), after, "{before:o}");
    }
    fs::write(&path, "{}").unwrap();
    set_mode_of(&path, 0o666);
    close(&directory, NAME).unwrap();
    assert_eq!(mode(&path), 0o640);
    assert_eq!(read_shared(&path).unwrap().unwrap(), b"{}");
}

#[test]
fn an_identity_that_others_put_there_is_neither_read_nor_closed() {
    let folder = TempDir::new().unwrap();
    let secret = secret(&folder);
    let directory = folder.path().join("config");
    fs::create_dir(&directory).unwrap();
    let path = directory.join(NAME);
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 5] = [
        ("symbolic link", |secret, name| {
            symlink(secret, name).unwrap();
        }),
        ("hard link", |secret, name| {
            fs::hard_link(secret, name).unwrap();
        }),
        ("pipe", |_, name| {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(CWD, name, kind, Mode::RWXU, 0).unwrap();
        }),
        ("directory", |_, name| fs::create_dir(name).unwrap()),
        ("file of somebody else", |_, name| {
            fs::write(name, "{\"id\":\"planted\"}").unwrap();
            chown(name, Some(USER), None).unwrap();
        }),
    ];
    for (kind, plant) in plants {
        plant(&secret, &path);
        let before = mode(&path);
        let results = [
            close(&directory, NAME).map(|()| None),
            read_shared(&path),
            read(&path),
        ];
        for (way, result) in ["close", "read_shared", "read"].iter().zip(results) {
            assert!(result.is_err(), "{kind}, {way}: {result:?}");
        }
        assert_eq!(mode(&path), before, "{kind}");
        assert!(is_secret(&secret), "{kind}");
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => fs::remove_dir(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
    }
}

#[test]
fn a_directory_of_somebody_else_is_not_used() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("config");
    fs::create_dir(&directory).unwrap();
    chown(&directory, Some(USER), None).unwrap();
    set_mode_of(&directory, 0o770);
    let state = StateDirectory::new(&directory);
    assert!(state.write_new(NAME, b"{}").is_err());
    assert!(close(&directory, NAME).is_err());
    assert_eq!(mode(&directory), 0o770);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_there_is_not_replaced_by_a_new_one() {
    let folder = TempDir::new().unwrap();
    let state = StateDirectory::new(folder.path());
    state.write_new(NAME, b"first").unwrap();
    assert!(state.write_new(NAME, b"second").is_err());
    assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), b"first");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_that_others_may_have_written_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let state = StateDirectory::new(folder.path());
    state.write("settings", b"{}").unwrap();
    let path = folder.path().join("settings");
    assert_eq!(mode(&path), 0o600);
    for mode in [0o620, 0o602] {
        set_mode_of(&path, mode);
        let fault = state.read("settings").unwrap_err();
        assert!(matches!(fault, FileFault::Permissions { .. }), "{fault}");
    }
    set_mode_of(&path, 0o600);
    chown(&path, Some(USER), None).unwrap();
    assert!(state.read("settings").is_err());
    symlink(&path, folder.path().join("link")).unwrap();
    assert!(matches!(state.read("link"), Err(FileFault::Kind(_))));
}
