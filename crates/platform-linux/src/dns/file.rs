//! Setting and restoring `resolv.conf` on disk. spec: platform 4.2, 4.3
//!
//! Symbolic links are never written through: they belong to another program.
//!
//! The file is always written in place, because in containers it is a bind mount that can be neither
//! replaced nor deleted. The backup is replaced atomically and never deleted: file systems may
//! reorder writes, and a deleted backup with a lost restore could not be repaired.

use super::config::{Nameserver, ResolvConf, is_ours};
use model::DomainName;
use platform::PlatformFault;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::IpAddr,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

const NOT_REGULAR: &str = "choose another DNS control method, or replace it by a regular file";
const WRITABLE: &str = "run as root with a writable /etc, or choose another DNS control method";
const NO_BACKUP: &str = "write your resolvers into the file again";

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConfPaths {
    /// The file that the C library reads.
    pub file: PathBuf,
    /// The user's file while ours is in place.
    pub backup: PathBuf,
}

impl Default for ResolvConfPaths {
    fn default() -> Self {
        Self {
            file: "/etc/resolv.conf".into(),
            backup: "/etc/resolv.conf.before-firezone".into(),
        }
    }
}

impl ResolvConfPaths {
    /// Points the file at our resolvers, which must be some.
    pub(crate) fn set(
        &self,
        servers: &[IpAddr],
        search: Option<&DomainName>,
    ) -> Result<(), PlatformFault> {
        self.require_regular()?;
        let current = self.read(&self.file)?;
        let original = if is_ours(&current) {
            self.backed_up()?
        } else {
            self.back_up(&current)?;
            current.clone()
        };
        let wanted = ResolvConf::parse(&original)
            .with_tunnel(servers, search)
            .render(&self.backup);
        // Watchers of the file should not wake up for nothing.
        if wanted == current {
            return Ok(());
        }
        self.write(&wanted)
    }

    /// Like [`Self::set`] after somebody else replaced the file, or deleted it, in which case it is
    /// made again.
    pub(crate) fn put_back(
        &self,
        servers: &[IpAddr],
        search: Option<&DomainName>,
    ) -> Result<(), PlatformFault> {
        if !self.is_missing() {
            return self.set(servers, search);
        }
        let text = ResolvConf::parse(&self.backed_up()?)
            .with_tunnel(servers, search)
            .render(&self.backup);
        self.create(&text)
    }

    /// Restores the user's file, if ours is in place.
    pub(crate) fn revert(&self) -> Result<(), PlatformFault> {
        self.require_regular()?;
        if !is_ours(&self.read(&self.file)?) {
            return Ok(());
        }
        match fs::read(&self.backup) {
            Ok(original) => self.write(&String::from_utf8_lossy(&original)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("The backup of resolv.conf is gone, so it keeps our resolvers");
                Ok(())
            }
            Err(error) => Err(problem(&self.backup, "read", &error, WRITABLE)),
        }
    }

    /// Like [`Self::revert`] at the end of a run that had our resolvers in place: what others made
    /// of the file stays as it is, and a deleted one comes back as it was before us.
    pub(crate) fn revert_own(&self) -> Result<(), PlatformFault> {
        match fs::symlink_metadata(&self.file) {
            Ok(metadata) if !metadata.is_file() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&self.backed_up()?)
            }
            _ => self.revert(),
        }
    }

    /// What the file holds without us, symbolic links followed.
    pub(crate) fn original(&self) -> Result<String, PlatformFault> {
        let text = self.read(&self.file)?;
        if is_ours(&text) {
            return self.read(&self.backup);
        }
        Ok(text)
    }

    /// The resolvers that the system would use without us. After a run of ours set them, a deleted
    /// file counts as an accident.
    pub(crate) fn resolvers(&self, was_set: bool) -> Result<Vec<Nameserver>, PlatformFault> {
        let text = if was_set && self.is_missing() {
            self.backed_up()?
        } else {
            self.original()?
        };
        Ok(ResolvConf::parse(&text).nameservers)
    }

    /// Whether our text is in place, in the file itself and not behind a symbolic link.
    pub(crate) fn is_set(&self) -> bool {
        self.require_regular().is_ok() && self.read(&self.file).is_ok_and(|text| is_ours(&text))
    }

    fn is_missing(&self) -> bool {
        let kind = fs::symlink_metadata(&self.file).map_err(|error| error.kind());
        kind.is_err_and(|kind| kind == io::ErrorKind::NotFound)
    }

    fn backed_up(&self) -> Result<String, PlatformFault> {
        match self.read(&self.backup) {
            Ok(text) if !is_ours(&text) => Ok(text),
            // Without the original there would be no resolver to forward queries to.
            _ => Err(PlatformFault::Dns {
                problem: format!(
                    "{} was left by a crashed run and {} is gone",
                    self.file.display(),
                    self.backup.display()
                ),
                remedy: NO_BACKUP,
            }),
        }
    }

    fn back_up(&self, text: &str) -> Result<(), PlatformFault> {
        let temporary = self.backup.with_added_extension("new");
        let written = File::create(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &self.backup));
        written.map_err(|error| problem(&self.backup, "write", &error, WRITABLE))
    }

    fn write(&self, text: &str) -> Result<(), PlatformFault> {
        let written = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.file)
            .and_then(|file| {
                // Cut off last: a reader in between sees a whole new file and a rest, not half.
                file.write_all_at(text.as_bytes(), 0)?;
                file.set_len(u64::try_from(text.len()).map_err(io::Error::other)?)?;
                file.sync_all()
            });
        written.map_err(|error| problem(&self.file, "write", &error, WRITABLE))
    }

    fn create(&self, text: &str) -> Result<(), PlatformFault> {
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&self.file)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        created.map_err(|error| problem(&self.file, "create", &error, WRITABLE))
    }

    fn read(&self, path: &Path) -> Result<String, PlatformFault> {
        read_bounded(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| problem(path, "read", &error, NOT_REGULAR))
    }

    fn require_regular(&self) -> Result<(), PlatformFault> {
        let kind = fs::symlink_metadata(&self.file)
            .map_err(|error| problem(&self.file, "read", &error, NOT_REGULAR))?
            .file_type();
        if kind.is_file() {
            return Ok(());
        }
        let what = if kind.is_symlink() {
            "a symbolic link, so another program manages it"
        } else {
            "not a regular file"
        };
        Err(PlatformFault::Dns {
            problem: format!("{} is {what}", self.file.display()),
            remedy: NOT_REGULAR,
        })
    }
}

/// Reads a regular file; anything else could keep us waiting.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(io::Error::other("no regular file of a reasonable size"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn problem(path: &Path, verb: &str, error: &io::Error, remedy: &'static str) -> PlatformFault {
    PlatformFault::Dns {
        problem: format!("cannot {verb} {}: {error}", path.display()),
        remedy,
    }
}

#[cfg(test)]
mod tests;
