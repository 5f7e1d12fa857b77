//! What every system owes, with real sockets in directories of their own.

use local_socket::{
    Claim, FileId, Listener as _, Permissions, Program, Socket, SocketFault, Trust, connect,
    path_in,
};
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn peers_are_known_and_streams_carry_bytes_both_ways() {
    let folder = TempDir::new().unwrap();
    let claim = Claim::take(&folder.path().join("deep/er"), "lock").unwrap();
    let mut socket = claim.bind("s", &Permissions::OwnGroup).await.unwrap();
    let path = socket.path().to_owned();
    assert_eq!(path, path_in(&folder.path().join("deep/er"), "s"));
    let client = connect(&path, Trust::Administrators, 1);
    let (client, accepted) = tokio::join!(client, socket.accept());
    let (mut client, (mut server, peer)) = (client.unwrap(), accepted.unwrap());
    client.write_all(b"hi").await.unwrap();
    server.write_all(b"ho").await.unwrap();
    for (stream, expected) in [(&mut server, b"hi"), (&mut client, b"ho")] {
        let mut buffer = [0; 2];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, expected);
    }
    drop(client);
    let end = timeout(LIMIT, server.read(&mut [0])).await.unwrap();
    assert_eq!(end.unwrap(), 0);

    assert_eq!(peer.process, Some(std::process::id()));
    assert!(peer.is_administrator, "it is the user of the server");
    let ourselves = std::env::current_exe().unwrap();
    let running = Program::File {
        path: ourselves.clone(),
        id: FileId::of(&ourselves).unwrap(),
    };
    assert_eq!(peer.program, running);
    let printed = peer.to_string();
    assert!(printed.contains(ourselves.to_str().unwrap()), "{printed}");
}

#[test]
fn files_are_told_apart_whatever_they_are_called() {
    let folder = TempDir::new().unwrap();
    let [file, same, copy] = ["file", "same", "copy"].map(|name| folder.path().join(name));
    fs::write(&file, "content").unwrap();
    fs::hard_link(&file, &same).unwrap();
    fs::copy(&file, &copy).unwrap();
    let id = FileId::of(&file).unwrap();
    assert_eq!(FileId::of(&same).unwrap(), id);
    assert_ne!(FileId::of(&copy).unwrap(), id);
    fs::rename(&copy, &file).unwrap();
    assert_ne!(FileId::of(&file).unwrap(), id, "it was replaced");
    fs::remove_file(&file).unwrap();
    assert!(FileId::of(&file).is_err());
}

#[tokio::test]
async fn a_living_server_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let claim = Claim::take(folder.path(), "lock").unwrap();
    let second = Claim::take(folder.path(), "lock").unwrap_err();
    assert!(matches!(second, SocketFault::Claimed(_)), "{second}");

    // One that knows nothing of claims.
    let path = path_in(folder.path(), "s");
    let _first = Socket::bind(&path, &Permissions::Owner).await.unwrap();
    let fault = claim.bind("s", &Permissions::Owner).await.unwrap_err();
    assert!(matches!(&fault, SocketFault::Taken(_)), "{fault}");
    assert!(fault.to_string().contains("stop it first"));
    connect(&path, Trust::Anyone, 1).await.unwrap();

    drop(claim);
    Claim::take(folder.path(), "lock").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_run_is_named() {
    let folder = TempDir::new().unwrap();
    let path = path_in(folder.path(), "s");
    for attempts in [0, 1, 10] {
        let fault = connect(&path, Trust::Anyone, attempts).await.unwrap_err();
        assert!(matches!(&fault, SocketFault::NotListening(_)), "{fault}");
        assert!(fault.to_string().contains(path.to_str().unwrap()));
    }
}

#[tokio::test]
async fn a_server_that_has_ended_does_not_listen() {
    let folder = TempDir::new().unwrap();
    let path = path_in(folder.path(), "s");
    let socket = Socket::bind(&path, &Permissions::Owner).await.unwrap();
    drop(socket);
    let fault = connect(&path, Trust::Anyone, 1).await.unwrap_err();
    assert!(matches!(&fault, SocketFault::NotListening(_)), "{fault}");
    Socket::bind(&path, &Permissions::Owner).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_starting_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = path_in(folder.path(), "s");
    let start = async |path: &Path| {
        sleep(Duration::from_millis(350)).await;
        Socket::bind(path, &Permissions::Owner).await.unwrap()
    };
    let client = connect(&path, Trust::Administrators, 10);
    let (connected, _socket) = tokio::join!(client, start(&path));
    connected.unwrap();
}
