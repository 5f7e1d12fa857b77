//! The socket's end in the running client.

use super::{Report, socket};
use anyhow::Result;
use host::Group;
use local_socket::{Listener as _, Permissions, Socket, SocketFault, Stream};
use std::{future::pending, io::ErrorKind, path::Path, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, sync::Semaphore};

/// Those who may ask, besides the administrator.
const GROUP: &str = "firezone-client";

/// How long somebody may take to read the answer.
const READ_TIME: Duration = Duration::from_secs(5);

/// Those who are sent a report at the same time. Each of them keeps one in memory.
const MAX_READERS: usize = 16;

/// Where people ask.
#[derive(Debug)]
pub(crate) struct Server {
    socket: Option<Socket>,
    /// A permit for each reader.
    readers: Arc<Semaphore>,
}

impl Server {
    /// Listens at the usual place, or nowhere if that is not possible, which is no reason not to run.
    pub(crate) async fn listen() -> Self {
        let socket = bind(&socket()).await.inspect_err(|error| {
            let error = &**error as &dyn std::error::Error;
            tracing::info!(error, "Nobody can ask for the status");
        });
        Self::new(socket.ok())
    }

    fn new(socket: Option<Socket>) -> Self {
        Self {
            socket,
            readers: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    /// Waits for somebody who wants to know; for ever if nobody can. Cancel-safe.
    pub(crate) async fn accept(&mut self) -> Stream {
        let Some(socket) = &mut self.socket else {
            return pending().await;
        };
        loop {
            match socket.accept().await {
                Ok((stream, _)) if self.readers.available_permits() > 0 => return stream,
                Ok(_) => tracing::debug!("Too many ask for the status at the same time"),
                Err(error) => {
                    tracing::debug!(%error, "Somebody who asked for the status is gone");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Sends the report as one line of JSON, in a task of its own: a slow reader holds up nobody.
    pub(crate) fn send(&self, mut stream: Stream, report: &Report) {
        let reader = Arc::clone(&self.readers).try_acquire_owned();
        let (Ok(reader), Ok(mut line)) = (reader, serde_json::to_vec(report)) else {
            return;
        };
        line.push(b'\n');
        tokio::spawn(async move {
            let sent = tokio::time::timeout(READ_TIME, stream.write_all(&line)).await;
            match sent {
                Ok(Ok(())) => tracing::trace!("Sent the status"),
                Ok(Err(error)) => tracing::debug!(%error, "Cannot send the status"),
                Err(_) => tracing::debug!("Nobody reads the status that was asked for"),
            }
            drop(reader);
        });
    }
}

async fn bind(path: &Path) -> Result<Socket> {
    let group = Group::find(GROUP)?;
    let permissions = group.map_or(Permissions::OwnGroup, Permissions::Group);
    match Socket::bind(path, &permissions).await {
        // A client without rights to change groups serves its own.
        Err(SocketFault::Os { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            Ok(Socket::bind(path, &Permissions::OwnGroup).await?)
        }
        bound => Ok(bound?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{query::ask, report::tests::report};
    use tempfile::TempDir;

    #[tokio::test]
    async fn a_second_client_leaves_the_first_ones_socket_alone() {
        let folder = TempDir::new().unwrap();
        let path = local_socket::path_in(folder.path(), "status");
        let first = bind(&path).await.unwrap();
        let fault = bind(&path).await.unwrap_err();
        assert!(fault.to_string().contains("already"), "{fault}");
        drop(first);
        bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_asks_gets_the_report() {
        let folder = TempDir::new().unwrap();
        let path = local_socket::path_in(folder.path(), "status");
        let mut server = Server::new(Some(bind(&path).await.unwrap()));
        let answer = async {
            let stream = server.accept().await;
            server.send(stream, &report());
        };
        let (asked, ()) = tokio::join!(ask(&path), answer);
        assert_eq!(asked.unwrap(), report());

        drop(server);
        let error = ask(&path).await.unwrap_err();
        assert!(format!("{error:#}").contains("is it running?"), "{error:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_do_not_read_keep_a_few_reports_and_not_for_long() {
        let folder = TempDir::new().unwrap();
        let path = local_socket::path_in(folder.path(), "status");
        let mut server = Server::new(Some(bind(&path).await.unwrap()));
        let mut report = report();
        // More than a socket takes.
        report.portal.url = "x".repeat(512 * 1024);
        let mut silent = vec![];
        for _ in 0..MAX_READERS {
            let (stream, asking) = tokio::join!(
                server.accept(),
                local_socket::connect(&path, local_socket::Trust::Anyone, 1)
            );
            server.send(stream, &report);
            silent.push(asking.unwrap());
        }
        let one_more = tokio::select! {
            biased;
            _ = server.accept() => panic!("there is no room"),
            asked = ask(&path) => asked,
        };
        assert!(one_more.is_err());
        // Time goes on as soon as everybody waits.
        tokio::time::sleep(READ_TIME * 2).await;
        let answer = async {
            let stream = server.accept().await;
            server.send(stream, &report);
        };
        let (asked, ()) = tokio::join!(ask(&path), answer);
        assert_eq!(asked.unwrap(), report);
    }
}
