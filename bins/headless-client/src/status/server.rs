//! The socket's end in the running client.

use super::{Report, socket};
use std::{
    fs::{self, DirBuilder, Permissions},
    future::pending,
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    os::unix::net::UnixStream as Probe,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
};

/// Those who may ask, besides root.
const GROUP: &str = "firezone-client";

/// How long somebody may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Server {
    /// Listens at the usual place; none if that is not possible, which is no reason not to run.
    pub(crate) fn start() -> Option<Self> {
        let path = socket();
        Self::bind(&path)
            .inspect_err(|error| {
                tracing::info!(%error, path = %path.display(), "Nobody can ask for the status");
            })
            .ok()
    }

    fn bind(path: &Path) -> io::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)?;
        if Probe::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another client answers there",
            ));
        }
        // It gets its name once nobody else can connect any more. A name left by a client that was
        // killed is replaced.
        let hidden = path.with_extension(format!("{}.tmp", std::process::id()));
        let listener = UnixListener::bind(&hidden)?;
        let settle = || {
            if let Some(group) = crate::host::group_id(GROUP) {
                std::os::unix::fs::chown(&hidden, None, Some(group))?;
            }
            fs::set_permissions(&hidden, Permissions::from_mode(0o660))?;
            let inode = fs::metadata(&hidden)?.ino();
            fs::rename(&hidden, path)?;
            Ok(inode)
        };
        let inode = settle().inspect_err(|_: &io::Error| drop(fs::remove_file(&hidden)))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
        })
    }

    async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::debug!(%error, "Somebody who asked for the status is gone");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Waits for somebody who wants to know; for ever if nobody can. Cancel-safe.
pub(crate) async fn accept(server: Option<&Server>) -> UnixStream {
    match server {
        Some(server) => server.accept().await,
        None => pending().await,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Another client may have taken the name over.
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            drop(fs::remove_file(&self.path));
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

    /// A directory of its own, removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("status-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn socket(&self) -> PathBuf {
            self.0.join("status.sock")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[tokio::test]
    async fn only_owner_and_group_may_ask_and_nothing_is_left() {
        let directory = Directory::new("mode");
        let server = Server::bind(&directory.socket()).unwrap();
        let mode = fs::metadata(directory.socket()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
        drop(server);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_second_client_leaves_the_first_ones_socket_alone() {
        let directory = Directory::new("second");
        let _first = Server::bind(&directory.socket()).unwrap();
        let error = Server::bind(&directory.socket()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(Probe::connect(directory.socket()).is_ok());
    }

    #[tokio::test]
    async fn what_a_killed_client_left_is_taken_over() {
        let directory = Directory::new("left");
        let first = Server::bind(&directory.socket()).unwrap();
        let Server { listener, .. } = &first;
        let _closed = listener;
        // A killed client closes its socket and does not remove the name.
        let orphan = directory.0.join("orphan");
        fs::rename(directory.socket(), &orphan).unwrap();
        drop(first);
        fs::rename(&orphan, directory.socket()).unwrap();
        assert!(Probe::connect(directory.socket()).is_err());
        let second = Server::bind(&directory.socket()).unwrap();
        assert!(Probe::connect(directory.socket()).is_ok());
        drop(second);
    }
}
