//! Directories that belong to somebody else, who would like to get at the files of root.

use super::*;
use crate::{Claim, Socket};
use host::Group;
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::{Gid, Uid},
    thread::{set_thread_res_gid, set_thread_res_uid},
};
use std::{
    os::unix::fs::{chown, symlink},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};
use tempfile::TempDir;

/// Nobody in particular.
const USER: u32 = 65534;

/// A directory of somebody else, a file of root that only root may use, and their folder.
fn world() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let directory = folder.path().join("run");
    fs::create_dir(&directory).unwrap();
    chown(&directory, Some(USER), Some(USER)).unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "of root").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    (folder, directory, secret)
}

fn is_secret(path: &Path) -> bool {
    let file = fs::symlink_metadata(path).unwrap();
    (file.mode() & 0o7777, file.gid()) == (0o600, 0) && fs::read(path).unwrap() == b"of root"
}

#[test]
fn what_waits_under_the_name_of_a_lock_is_not_opened() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 5] = [
        ("symbolic link", |secret, name| {
            symlink(secret, name).unwrap();
        }),
        ("link to nothing", |secret, name| {
            symlink(secret.with_file_name("new"), name).unwrap();
        }),
        ("hard link", |secret, name| {
            fs::hard_link(secret, name).unwrap();
        }),
        ("file of somebody else", |_, name| {
            fs::write(name, "").unwrap();
            chown(name, Some(USER), None).unwrap();
        }),
        ("pipe", |_, name| {
            mknodat(CWD, name, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }),
    ];
    for (kind, plant) in plants {
        let (folder, directory, secret) = world();
        plant(&secret, &directory.join("tunnel.lock"));
        let fault = Claim::take(&directory, "tunnel").expect_err(kind);
        assert!(!matches!(fault, SocketFault::Claimed(_)), "{kind}: {fault}");
        assert!(is_secret(&secret), "{kind}");
        assert!(!folder.path().join("new").exists(), "{kind}");
    }
}

#[tokio::test]
async fn the_owner_of_the_directory_gets_at_nothing_while_a_socket_is_made() {
    let (_folder, directory, secret) = world();
    let path = directory.join("s.sock");
    let temporary = directory.join("s.sock.new");
    let permissions = Permissions::Group(Group::find("daemon").unwrap().unwrap());
    let is_over = AtomicBool::new(false);
    let become_user = || {
        let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
        set_thread_res_gid(group, group, group).unwrap();
        set_thread_res_uid(user, user, user).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            fs::remove_file(&temporary).ok();
            symlink(&secret, &temporary).ok();
        }
    };
    // What it may do to its own directory does not matter.
    let runtime = tokio::runtime::Handle::current();
    thread::scope(|scope| {
        scope.spawn(become_user);
        scope.spawn(|| {
            let _runtime = runtime.enter();
            for _ in 0..300 {
                drop(bind(&path, &permissions));
            }
            is_over.store(true, Ordering::Relaxed);
        });
    });
    assert!(
        is_secret(&secret),
        "{:o}",
        fs::metadata(&secret).unwrap().mode()
    );
}

/// Binds, on a thread that waits for it.
fn bind(path: &Path, permissions: &Permissions) -> Result<Socket, SocketFault> {
    tokio::runtime::Handle::current().block_on(Socket::bind(path, permissions))
}

#[tokio::test]
async fn a_directory_that_is_made_is_no_way_to_another_one() {
    let (folder, directory, _) = world();
    let private = folder.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let made = directory.join("made");
    let is_over = AtomicBool::new(false);
    let swaps = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                if fs::remove_dir(&made).is_ok() {
                    symlink(&private, &made).ok();
                    fs::remove_file(&made).ok();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while swaps.load(Ordering::Relaxed) < 200 {
            make_directory(&made).ok();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let mode = fs::metadata(&private).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o700, "{mode:o}");
}
