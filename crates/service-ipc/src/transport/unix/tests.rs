//! Real sockets in directories of their own.

use super::*;
use std::os::unix::net::UnixListener as StdListener;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ACCESS: Access = Access {
    mode: 0o660,
    group: None,
};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn peers_are_known_and_streams_carry_bytes() {
    let directory = TempDir::new().unwrap();
    let claim = Claim::take(&directory.path().join("deep/er")).unwrap();
    let mut socket = claim.bind("s.sock", ACCESS).await.unwrap();
    assert_eq!(mode(socket.path()), 0o660);
    let path = socket.path().to_owned();
    let (client, accepted) = tokio::join!(connect(&path), socket.accept());
    let (mut client, (mut server, peer)) = (client.unwrap(), accepted.unwrap());
    client.write_all(b"hi").await.unwrap();
    let mut buffer = [0; 2];
    server.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"hi");

    assert_eq!(peer.process, Some(std::process::id()));
    assert_eq!(peer.user, geteuid().to_string());
    assert!(peer.is_administrator, "it is the service's own user");
    let ourselves = std::env::current_exe().unwrap();
    assert_eq!(peer.program, Program::File(ourselves.clone()));
    let printed = peer.to_string();
    assert!(printed.contains(ourselves.to_str().unwrap()), "{printed}");
}

#[tokio::test]
async fn the_file_goes_with_the_socket_but_not_with_another_one() {
    let directory = TempDir::new().unwrap();
    let claim = Claim::take(directory.path()).unwrap();
    let socket = claim.bind("s.sock", ACCESS).await.unwrap();
    let path = socket.path().to_owned();
    drop(socket);
    assert!(!path.exists());

    let socket = claim.bind("s.sock", ACCESS).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _other = StdListener::bind(&path).unwrap();
    drop(socket);
    assert!(path.exists(), "it belongs to somebody else");
}

#[tokio::test]
async fn what_a_crash_left_is_replaced() {
    let directory = TempDir::new().unwrap();
    let claim = Claim::take(directory.path()).unwrap();
    let path = directory.path().join("s.sock");
    // Dropping these keeps their files.
    drop(StdListener::bind(&path).unwrap());
    drop(StdListener::bind(directory.path().join("s.sock.new")).unwrap());
    let mut socket = claim.bind("s.sock", ACCESS).await.unwrap();
    let (client, accepted) = tokio::join!(connect(&path), socket.accept());
    client.unwrap();
    accepted.unwrap();
}

#[tokio::test]
async fn a_living_service_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let claim = Claim::take(directory.path()).unwrap();
    let second = Claim::take(directory.path()).unwrap_err();
    assert!(matches!(second, BindFault::InUse(_)), "{second}");

    // One that knows nothing of claims.
    let path = directory.path().join("s.sock");
    let _other = StdListener::bind(&path).unwrap();
    let fault = claim.bind("s.sock", ACCESS).await.unwrap_err();
    assert!(matches!(&fault, BindFault::Taken(_)), "{fault}");
    assert!(fault.to_string().contains("stop it first"));

    drop(claim);
    Claim::take(directory.path()).unwrap();
}

#[tokio::test]
async fn files_of_other_kinds_are_not_removed() {
    let directory = TempDir::new().unwrap();
    let claim = Claim::take(directory.path()).unwrap();
    let path = directory.path().join("s.sock");
    fs::write(&path, "precious").unwrap();
    let fault = claim.bind("s.sock", ACCESS).await.unwrap_err();
    assert!(matches!(fault, BindFault::NoSocket(_)), "{fault}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_run_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s.sock");
    let fault = connect(&path).await.unwrap_err();
    assert!(matches!(&fault, ConnectFault::NotRunning(_)), "{fault}");
    assert!(fault.to_string().contains(path.to_str().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_starting_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let claim = Claim::take(directory.path()).unwrap();
    let path = directory.path().join("s.sock");
    let start = async {
        sleep(PAUSE * 3).await;
        claim.bind("s.sock", ACCESS).await.unwrap()
    };
    let (connected, _socket) = tokio::join!(connect(&path), start);
    connected.unwrap();
}

#[test]
fn programs_that_were_replaced_are_seen() {
    for (link, program) in [
        ("/usr/bin/gui", Program::File("/usr/bin/gui".into())),
        (
            "/usr/bin/gui (deleted)",
            Program::Replaced("/usr/bin/gui".into()),
        ),
    ] {
        assert_eq!(program_of_link(Path::new(link)), program);
    }
    assert!(matches!(program_of_pid(None), Program::Unknown(_)));
    assert!(matches!(
        program_of_pid(Some(u32::MAX)),
        Program::Unknown(_)
    ));
}

#[test]
fn groups_are_found_by_name() {
    assert_eq!(group_id("root").unwrap(), Some(0));
    assert_eq!(group_id("no-such-group-here").unwrap(), None);
    assert!(means_absent(Errno::ENOENT) && !means_absent(Errno::EMFILE));
}
