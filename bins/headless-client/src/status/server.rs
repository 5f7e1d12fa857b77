//! The socket's end in the running client.

use super::{Report, socket};
use anyhow::{Context as _, Result};
use service_ipc::{Access, BindFault, Listener as _, Socket, group_id};
use std::{
    fs::DirBuilder, future::pending, io::ErrorKind, os::unix::fs::DirBuilderExt as _, path::Path,
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, net::UnixStream};

/// Those who may ask, besides root.
const GROUP: &str = "firezone-client";

/// How long somebody may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens at the usual place; none if that is not possible, which is no reason not to run.
pub(crate) async fn listen() -> Option<Socket> {
    let path = socket();
    bind(&path)
        .await
        .inspect_err(|error| {
            let error = &**error as &dyn std::error::Error;
            tracing::info!(error, "Nobody can ask for the status");
        })
        .ok()
}

async fn bind(path: &Path) -> Result<Socket> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o755).create(directory);
    made.with_context(|| format!("cannot create {}", directory.display()))?;
    let access = |group| Access { mode: 0o660, group };
    match Socket::bind(path, access(group_id(GROUP)?)).await {
        // A service with a user of its own may not give files away: root and its own group may ask.
        Err(BindFault::Os { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            Ok(Socket::bind(path, access(None)).await?)
        }
        bound => Ok(bound?),
    }
}

/// Waits for somebody who wants to know; for ever if nobody can. Cancel-safe.
pub(crate) async fn accept(socket: Option<&mut Socket>) -> UnixStream {
    let Some(socket) = socket else {
        return pending().await;
    };
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::debug!(%error, "Somebody who asked for the status is gone");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Tells somebody, as one line of JSON, in a task of its own: a slow reader holds up nobody.
pub(crate) fn tell(mut stream: UnixStream, report: &Report) {
    let Ok(mut line) = serde_json::to_vec(report) else {
        return;
    };
    line.push(b'\n');
    tokio::spawn(async move {
        let told = tokio::time::timeout(PATIENCE, stream.write_all(&line)).await;
        tracing::trace!(?told, "Told the status");
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::{fs::MetadataExt as _, net::UnixStream as Probe},
    };
    use tempfile::TempDir;

    const NAME: &str = "status.sock";

    #[tokio::test]
    async fn only_owner_and_group_may_ask_and_nothing_is_left() {
        let directory = TempDir::new().unwrap();
        let server = bind(&directory.path().join(NAME)).await.unwrap();
        let mode = fs::metadata(directory.path().join(NAME)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(server);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_second_client_leaves_the_first_ones_socket_alone() {
        let directory = TempDir::new().unwrap();
        let _first = bind(&directory.path().join(NAME)).await.unwrap();
        let fault = bind(&directory.path().join(NAME)).await.unwrap_err();
        assert!(fault.to_string().contains("already"), "{fault}");
        assert!(Probe::connect(directory.path().join(NAME)).is_ok());
    }

    #[tokio::test]
    async fn what_a_killed_client_left_is_taken_over() {
        let directory = TempDir::new().unwrap();
        let first = bind(&directory.path().join(NAME)).await.unwrap();
        // A killed client closes its socket and does not remove the name.
        let orphan = directory.path().join("orphan");
        fs::rename(directory.path().join(NAME), &orphan).unwrap();
        drop(first);
        fs::rename(&orphan, directory.path().join(NAME)).unwrap();
        assert!(Probe::connect(directory.path().join(NAME)).is_err());
        let second = bind(&directory.path().join(NAME)).await.unwrap();
        assert!(Probe::connect(directory.path().join(NAME)).is_ok());
        drop(second);
    }
}
