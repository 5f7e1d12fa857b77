//! Setting and restoring `resolv.conf` on disk. spec: platform 4.2, 4.3
//!
//! The file is always written in place, because in containers it is a bind mount that can be neither
//! replaced nor deleted. The backup is replaced atomically and never deleted: file systems may
//! reorder writes, and a deleted backup with a lost restore could not be repaired.

use super::config::{ResolvConf, is_ours};
use model::DomainName;
use platform::PlatformFault;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::FileExt as _,
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

    /// Restores the user's file, if ours is in place.
    pub(crate) fn revert(&self) -> Result<(), PlatformFault> {
        self.require_regular()?;
        if !is_ours(&self.read(&self.file)?) {
            return Ok(());
        }
        match fs::read_to_string(&self.backup) {
            Ok(original) => self.write(&original),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("the backup of resolv.conf is gone, so it keeps our resolvers");
                Ok(())
            }
            Err(error) => Err(problem(&self.backup, "read", &error, WRITABLE)),
        }
    }

    /// The resolvers that the system would use without us.
    pub(crate) fn resolvers(&self) -> Result<Vec<IpAddr>, PlatformFault> {
        let mut text = self.read(&self.file)?;
        if is_ours(&text) {
            text = self.read(&self.backup)?;
        }
        Ok(ResolvConf::parse(&text).nameservers)
    }

    /// Whether our text is in place.
    pub(crate) fn is_set(&self) -> bool {
        self.read(&self.file).is_ok_and(|text| is_ours(&text))
    }

    fn backed_up(&self) -> Result<String, PlatformFault> {
        match fs::read_to_string(&self.backup) {
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
            .open(&self.file)
            .and_then(|file| {
                // Cut off last: a reader in between sees a whole new file and a rest, not half.
                file.write_all_at(text.as_bytes(), 0)?;
                file.set_len(u64::try_from(text.len()).map_err(io::Error::other)?)?;
                file.sync_all()
            });
        written.map_err(|error| problem(&self.file, "write", &error, WRITABLE))
    }

    fn read(&self, path: &Path) -> Result<String, PlatformFault> {
        fs::read(path)
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

fn problem(path: &Path, verb: &str, error: &io::Error, remedy: &'static str) -> PlatformFault {
    PlatformFault::Dns {
        problem: format!("cannot {verb} {}: {error}", path.display()),
        remedy,
    }
}

#[cfg(test)]
mod tests;
