//! Setting and restoring `resolv.conf` on disk. spec: platform 4.2, 4.3
//!
//! Symbolic links are never written through: they belong to another program.
//!
//! The file is always written in place, because in containers it is a bind mount that can be neither
//! replaced nor deleted; so it keeps its owner, mode and labels. The backup is replaced atomically and
//! never deleted: file systems may reorder writes, and a deleted backup with a lost restore could not
//! be repaired. Both are bytes: what nobody understands comes back as it was.

mod disk;

use super::config::{Nameserver, ResolvConf};
use disk::MAX_FILE;
use model::DomainName;
use platform::PlatformFault;
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

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
        if ResolvConf::is_ours(&current) {
            let wanted = self.render(&self.backed_up()?, servers, search)?;
            // Watchers of the file should not wake up for nothing.
            return match wanted == current {
                true => Ok(()),
                false => self.write(&wanted),
            };
        }
        let wanted = self.render(&current, servers, search)?;
        self.back_up(&current)?;
        self.write(&wanted)
    }

    /// The original with our resolvers; no larger than what is read again.
    fn render(
        &self,
        original: &[u8],
        servers: &[IpAddr],
        search: Option<&DomainName>,
    ) -> Result<Vec<u8>, PlatformFault> {
        let config = ResolvConf::parse(original).with_tunnel(servers, search);
        let text = config.render(&self.backup);
        match u64::try_from(text.len()) {
            Ok(length) if length <= MAX_FILE => Ok(text),
            _ => Err(PlatformFault::Dns {
                problem: format!("{} is too large", self.file.display()),
                remedy: NOT_REGULAR,
            }),
        }
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
        let text = self.render(&self.backed_up()?, servers, search)?;
        self.create(&text)
    }

    /// Restores the user's file, if ours is in place.
    pub(crate) fn revert(&self) -> Result<(), PlatformFault> {
        self.require_regular()?;
        if !ResolvConf::is_ours(&self.read(&self.file)?) {
            return Ok(());
        }
        match disk::read_own(&self.backup) {
            Ok(original) if !ResolvConf::is_ours(&original) => self.write(&original),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(problem(&self.backup, "read", &error, WRITABLE))
            }
            _ => {
                tracing::warn!("The backup of resolv.conf is gone, so it keeps our resolvers");
                Ok(())
            }
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
    pub(crate) fn original(&self) -> Result<Vec<u8>, PlatformFault> {
        let text = self.read(&self.file)?;
        if ResolvConf::is_ours(&text) {
            return self.backed_up();
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
        self.require_regular().is_ok()
            && self
                .read(&self.file)
                .is_ok_and(|text| ResolvConf::is_ours(&text))
    }

    fn is_missing(&self) -> bool {
        let kind = fs::symlink_metadata(&self.file).map_err(|error| error.kind());
        kind.is_err_and(|kind| kind == io::ErrorKind::NotFound)
    }

    fn backed_up(&self) -> Result<Vec<u8>, PlatformFault> {
        match disk::read_own(&self.backup) {
            Ok(text) if !ResolvConf::is_ours(&text) => Ok(text),
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

    fn back_up(&self, text: &[u8]) -> Result<(), PlatformFault> {
        let written = fs::symlink_metadata(&self.file)
            .and_then(|like| disk::replace(&self.backup, text, &like));
        written.map_err(|error| problem(&self.backup, "write", &error, WRITABLE))
    }

    fn write(&self, text: &[u8]) -> Result<(), PlatformFault> {
        let written = disk::write(&self.file, text);
        written.map_err(|error| problem(&self.file, "write", &error, WRITABLE))
    }

    /// Makes the file again, as it was when it was backed up.
    fn create(&self, text: &[u8]) -> Result<(), PlatformFault> {
        let like = fs::symlink_metadata(&self.backup).ok();
        let created = disk::create(&self.file, text, like.as_ref());
        created.map_err(|error| problem(&self.file, "create", &error, WRITABLE))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, PlatformFault> {
        disk::read(path).map_err(|error| problem(path, "read", &error, NOT_REGULAR))
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

fn problem(path: &Path, verb: &str, error: &io::Error, remedy: &'static str) -> PlatformFault {
    PlatformFault::Dns {
        problem: format!("cannot {verb} {}: {error}", path.display()),
        remedy,
    }
}

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod tests;
