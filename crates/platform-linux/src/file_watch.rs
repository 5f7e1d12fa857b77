//! Notices changes of one file, whether it is written in place, replaced, deleted or made.

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};
use tokio::io::unix::AsyncFd;

/// A watch on the file and on its directory.
///
/// The directory tells of replacements and of files beside it. The file itself is watched, too, because in containers it is
/// a bind mount whose writers are elsewhere.
pub(crate) struct FileWatch {
    inotify: AsyncFd<OwnedFd>,
    file: PathBuf,
}

impl FileWatch {
    /// Starts watching; needs a runtime.
    pub(crate) fn new(file: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let watch = Self {
            inotify: register(inotify)?,
            file: file.to_owned(),
        };
        let directory = file.parent().unwrap_or(Path::new("/"));
        // What is written beside the file counts, too: its backup says whom to ask.
        let changed = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE;
        inotify::add_watch(watch.inotify.get_ref(), directory, changed)?;
        watch.watch_file();
        Ok(watch)
    }

    /// Waits until something happened in the directory or to the file. Cancel-safe.
    ///
    /// Other files of the directory wake it up, too; the caller compares contents anyway.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        loop {
            let mut guard = self.inotify.readable().await?;
            match guard.try_io(|inotify| drain(inotify.get_ref())) {
                Ok(result) => {
                    result?;
                    self.watch_file();
                    return Ok(());
                }
                Err(_would_block) => {}
            }
        }
    }

    /// Watches the file that has the name at the moment, which may be another one than before.
    fn watch_file(&self) {
        // Each single write counts, so that whoever waits for quiet waits for the writer. Unlinking
        // a file that is still open shows as a change of its attributes.
        let written = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        if let Err(error) = inotify::add_watch(self.inotify.get_ref(), &self.file, written) {
            tracing::debug!(%error, "The watched file does not exist");
        }
    }
}

/// Lets the runtime wait for the descriptor.
#[expect(unsafe_code, reason = "the runtime's safe constructor is deprecated")]
fn register(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the value that is registered, so it stays open and the
    // same for as long as it is registered.
    unsafe { AsyncFd::register(inotify) }.map_err(|error| error.into_parts().1)
}

/// Reads all events that wait; fails with *would block* if there was none.
fn drain(inotify: &OwnedFd) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(inotify, &mut buffer);
    let mut changed = false;
    loop {
        match events.next() {
            Ok(event) => changed |= !event.events().contains(ReadFlags::IGNORED),
            Err(rustix::io::Errno::WOULDBLOCK) if changed => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn every_way_to_change_a_file_is_noticed() {
        let directory = std::env::temp_dir().join(format!("file-watch-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("watched");
        let watch = FileWatch::new(&file).unwrap();
        let write = |text: &str| fs::write(&file, text).unwrap();
        let replace = |text: &str| {
            let other = directory.join("other");
            fs::write(&other, text).unwrap();
            fs::rename(&other, &file).unwrap();
        };
        let changes: [(&str, &dyn Fn()); 5] = [
            ("made", &|| write("1")),
            ("written in place", &|| write("2")),
            ("replaced", &|| replace("3")),
            ("written in place after it was replaced", &|| write("4")),
            ("deleted", &|| fs::remove_file(&file).unwrap()),
        ];
        for (name, change) in changes {
            change();
            let noticed = tokio::time::timeout(std::time::Duration::from_secs(5), watch.changed());
            noticed.await.expect(name).unwrap();
            // A change makes several events; take those that wait.
            drain(watch.inotify.get_ref()).ok();
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
