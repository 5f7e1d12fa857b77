//! Files, modes, users and numbers of processes.

use super::*;
use crate::{Claim, Listener as _, Socket, connect};
use host::Group;
use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_res_gid, set_thread_res_uid},
};
use std::{
    os::unix::net::{UnixListener as StdListener, UnixStream as StdStream},
    thread,
};
use tempfile::TempDir;

/// Nobody in particular.
const USER: u32 = 65534;

/// The file of a socket called `s`.
const NAME: &str = "s.sock";

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// What a thread gets done that belongs to another user than the rest of this process.
fn as_user<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let become_user = || {
            let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
            body()
        };
        scope.spawn(become_user).join().unwrap()
    })
}

/// A folder that everybody may write to.
fn public_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[tokio::test]
async fn sockets_and_locks_have_the_modes_that_were_wanted() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("deep/er");
    let claim = Claim::take(&directory, "tunnel").unwrap();
    assert_eq!(mode(&directory), 0o755);
    assert_eq!(mode(&directory.join("tunnel.lock")), 0o600);
    let group = Group::find("daemon").unwrap().unwrap();
    for (permissions, expected) in [
        (Permissions::Owner, (0o600, 0)),
        (Permissions::OwnGroup, (0o660, 0)),
        (Permissions::Group(group), (0o660, 1)),
    ] {
        let socket = claim.bind("s", &permissions).await.unwrap();
        let group = fs::metadata(socket.path()).unwrap().gid();
        assert_eq!((mode(socket.path()), group), expected, "{permissions:?}");
    }
}

#[tokio::test]
async fn a_process_without_rights_makes_sockets_as_well() {
    let folder = public_folder();
    let directory = folder.path().join("run");
    let runtime = tokio::runtime::Handle::current();
    let (socket, fault) = as_user(|| {
        // The kernel hides from such a thread what it hides from a process without core dumps.
        let bind = |name, permissions| {
            let path = directory.join(name);
            runtime.block_on(async { Socket::bind(&path, &permissions).await })
        };
        let group = Group::find("daemon").unwrap().unwrap();
        let strange = bind("strange", Permissions::Group(group)).unwrap_err();
        (bind(NAME, Permissions::OwnGroup).unwrap(), strange)
    });
    let file = fs::metadata(socket.path()).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o7777), (USER, 0o660));
    // Callers have to know that it is about rights.
    let is_refusal = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
    assert!(matches!(&fault, SocketFault::Os { source, .. } if is_refusal(source)));
    assert!(!directory.join("strange").exists());
}

#[tokio::test]
async fn the_file_goes_with_the_socket_but_not_with_another_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    let socket = Socket::bind(&path, &Permissions::Owner).await.unwrap();
    drop(socket);
    assert!(!path.exists());

    let socket = Socket::bind(&path, &Permissions::Owner).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _other = StdListener::bind(&path).unwrap();
    drop(socket);
    assert!(path.exists(), "it belongs to somebody else");
}

#[tokio::test]
async fn what_a_crash_left_is_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    // Dropping these keeps their files.
    drop(StdListener::bind(&path).unwrap());
    drop(StdListener::bind(folder.path().join("s.sock.new")).unwrap());
    let mut socket = Socket::bind(&path, &Permissions::Owner).await.unwrap();
    let client = connect(&path, Trust::Anyone, 1);
    let (client, accepted) = tokio::join!(client, socket.accept());
    client.unwrap();
    accepted.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn files_of_other_kinds_are_not_removed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    fs::write(&path, "precious").unwrap();
    let bound = Socket::bind(&path, &Permissions::Owner).await;
    let fault = bound.unwrap_err();
    assert!(matches!(fault, SocketFault::NoSocket(_)), "{fault}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn only_root_and_our_own_user_are_administrators() {
    let folder = public_folder();
    let path = folder.path().join(NAME);
    let mut socket = Socket::bind(&path, &Permissions::OwnGroup).await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let _own = StdStream::connect(&path).unwrap();
    let (_, peer) = socket.accept().await.unwrap();
    assert_eq!((peer.user.as_str(), peer.is_administrator), ("0", true));
    let _stranger = as_user(|| StdStream::connect(&path).unwrap());
    let (_, peer) = socket.accept().await.unwrap();
    assert_eq!(peer.user, USER.to_string());
    assert!(!peer.is_administrator);
}

#[tokio::test]
async fn a_stranger_in_the_place_of_a_server_is_not_talked_to() {
    let folder = public_folder();
    let path = folder.path().join(NAME);
    let _stranger = as_user(|| StdListener::bind(&path).unwrap());
    let fault = connect(&path, Trust::Administrators, 10).await.unwrap_err();
    match fault {
        SocketFault::Stranger { user, .. } => assert_eq!(user, USER.to_string()),
        fault => panic!("{fault}"),
    }
    connect(&path, Trust::Anyone, 1).await.unwrap();
}

#[tokio::test]
async fn who_may_not_connect_is_told_so() {
    let folder = public_folder();
    let path = folder.path().join(NAME);
    let _socket = Socket::bind(&path, &Permissions::OwnGroup).await.unwrap();
    let error = as_user(|| StdStream::connect(&path).unwrap_err());
    let fault = unreachable(&path, error);
    assert!(
        matches!(&fault, SocketFault::NotPermitted { .. }),
        "{fault}"
    );
}

#[test]
fn programs_that_were_replaced_are_seen() {
    let id = FileId((8, 1, 7));
    let path = PathBuf::from("/usr/bin/gui");
    let replaced = Program::Replaced(path.clone());
    for (link, program) in [
        ("/usr/bin/gui", Program::File { path, id }),
        ("/usr/bin/gui (deleted)", replaced),
    ] {
        assert_eq!(program_of_link(Path::new(link), id), program);
    }
    assert!(matches!(program_of_pid(None), Program::Unknown(_)));
    assert!(matches!(
        program_of_pid(Some(u32::MAX)),
        Program::Unknown(_)
    ));
}

#[test]
fn a_process_that_ends_while_it_is_examined_has_no_program() {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let file = || Program::File {
        path: "/usr/bin/gui".into(),
        id: FileId((8, 1, 7)),
    };
    let examined = |ends: &mut dyn FnMut()| {
        program_of_pidfd(pidfd.as_raw_fd(), |found| {
            assert_eq!(found, Some(child_id(pid)));
            ends();
            // Another process that was given the number meanwhile.
            file()
        })
    };
    assert_eq!(examined(&mut || {}), file());
    let after = examined(&mut || {
        child.kill().unwrap();
        child.wait().unwrap();
    });
    assert_eq!(after, Program::Unknown(ENDED.into()));
}

fn child_id(pid: rustix::process::Pid) -> u32 {
    u32::try_from(pid.as_raw_nonzero().get()).unwrap()
}
