//! Files of the client: token and logs; with the owners and modes they must have.

use secrecy::SecretSlice;
use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, symlink},
    path::{Path, PathBuf},
};

/// Where the token is unless the operator says otherwise. spec: client-app 5.1
pub const TOKEN_PATH: &str = "/etc/dev.firezone.client/token";

/// Longest token and longest device id file, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// Its owner is not root.
    #[error("{} must be owned by user root: chown root:root it", .0.display())]
    Owner(PathBuf),
    /// Its group is not root.
    #[error("{} must be owned by group root: chown root:root it", .0.display())]
    Group(PathBuf),
    /// Others may read it.
    #[error("{} must have mode 0400 or 0600: chmod 0600 it", .0.display())]
    Mode(PathBuf),
    /// Others may write it.
    #[error("{} may be written by others: chmod go-w it", .0.display())]
    Writable(PathBuf),
    /// It is no regular file, or too large.
    #[error("{} is no regular file of a reasonable size", .0.display())]
    Kind(PathBuf),
    /// It holds something else than expected.
    #[error("{} is damaged: remove it", .0.display())]
    Damaged(PathBuf),
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Os {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Reads a secret that only root can read; none if there is no such file. spec: client-app 5.3
///
/// # Errors
///
/// When the file does not belong to root, when others may read it, when reading fails.
pub fn read_secret_file(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    let Some((file, metadata)) = open_secret(path)? else {
        return Ok(None);
    };
    let owned = |fault: fn(PathBuf) -> FileFault| fault(path.to_owned());
    if metadata.uid() != 0 {
        return Err(owned(FileFault::Owner));
    }
    if metadata.gid() != 0 {
        return Err(owned(FileFault::Group));
    }
    if metadata.mode() & 0o177 != 0 {
        return Err(owned(FileFault::Mode));
    }
    read_all(file, &metadata, path).map(Some)
}

/// Checks and reading go through one descriptor, so that the file cannot be swapped meanwhile.
fn open_secret(path: &Path) -> Result<Option<(File, Metadata)>, FileFault> {
    // Without waiting for somebody who writes into a pipe.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(os("open", path, source)),
    };
    let metadata = file
        .metadata()
        .map_err(|source| os("examine", path, source))?;
    Ok(Some((file, metadata)))
}

fn read_all(
    mut file: File,
    metadata: &Metadata,
    path: &Path,
) -> Result<SecretSlice<u8>, FileFault> {
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(FileFault::Kind(path.to_owned()));
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    file.read_to_end(&mut content)
        .map_err(|source| os("read", path, source))?;
    Ok(SecretSlice::from(content))
}

/// Reads a secret that the service manager hands to this service; none if there is no such file.
/// See `CREDENTIALS_DIRECTORY` in systemd.exec(5).
///
/// # Errors
///
/// When it belongs to somebody else, when everybody may read it or others write it, when reading
/// fails.
pub fn read_credential(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    // The group bits are the mask of an access list that names the user of the service.
    read_handed(path, 0o037, FileFault::Mode)
}

/// Reads a secret that the manager of this container hands over in a file; none if there is no such
/// file. Such files may be read by everybody in the container. spec: client-app 4
///
/// # Errors
///
/// When it belongs to somebody else, when others may write it, when reading fails.
pub fn read_container_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    read_handed(path, 0o022, FileFault::Writable)
}

/// Reads a secret that somebody hands to this process: root, or its own user.
fn read_handed(
    path: &Path,
    forbidden: u32,
    fault: fn(PathBuf) -> FileFault,
) -> Result<Option<SecretSlice<u8>>, FileFault> {
    let Some((file, metadata)) = open_secret(path)? else {
        return Ok(None);
    };
    let own = rustix::process::geteuid().as_raw();
    if ![0, own].contains(&metadata.uid()) {
        return Err(FileFault::Owner(path.to_owned()));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(fault(path.to_owned()));
    }
    read_all(file, &metadata, path).map(Some)
}

/// Writes a token that only root can read, with its directory. spec: client-app 2.1
///
/// # Errors
///
/// When this is not root, when the file cannot be written. What was there before stays then.
pub fn write_secret_file(path: &Path, secret: &[u8]) -> Result<(), FileFault> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(|source| os("create", directory, source))?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        fchown(&file, Some(0), Some(0))?;
        file.write_all(secret)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // It may not exist.
        fs::remove_file(&temporary).ok();
        os("write", path, source)
    })
}

/// Creates `<base>.<stamp>.log` in a directory and lets `<base>.latest` point to it.
/// spec: client-app 8.3
///
/// # Errors
///
/// When the directory or the file cannot be created.
pub fn create_log_file(directory: &Path, base: &str, stamp: &str) -> Result<File, FileFault> {
    let create = || fs::create_dir_all(directory);
    create().map_err(|source| os("create", directory, source))?;
    let name = format!("{base}.{stamp}.log");
    let path = directory.join(&name);
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(&path);
    let file = file.map_err(|source| os("create", &path, source))?;
    set_mode(&path, 0o640)?;
    let link = directory.join(format!("{base}.latest"));
    let linked = fs::remove_file(&link)
        .or_else(ignore_missing)
        .and_then(|()| symlink(&name, &link));
    if let Err(error) = linked {
        tracing::debug!(%error, "No link to the latest log file");
    }
    Ok(file)
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), FileFault> {
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    set.map_err(|source| os("set the mode of", path, source))
}

pub(crate) fn os(action: &'static str, path: &Path, source: io::Error) -> FileFault {
    FileFault::Os {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use tempfile::TempDir;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn only_files_of_root_alone_are_secrets() {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root to make root's files"
        );
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        assert!(read_secret_file(&path).unwrap().is_none());
        fs::write(&path, "secret\n").unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o000, true),
            (0o640, false),
            (0o604, false),
            (0o700, false),
        ] {
            set_mode(&path, mode).unwrap();
            let result = read_secret_file(&path);
            assert_eq!(result.is_ok(), good, "{mode:o}");
            if let Ok(content) = result {
                assert_eq!(content.unwrap().expose_secret(), b"secret\n");
            }
        }
        set_mode(&path, 0o600).unwrap();
        std::os::unix::fs::chown(&path, Some(1), Some(0)).unwrap();
        assert!(matches!(read_secret_file(&path), Err(FileFault::Owner(_))));
        std::os::unix::fs::chown(&path, Some(0), Some(1)).unwrap();
        assert!(matches!(read_secret_file(&path), Err(FileFault::Group(_))));
        assert!(matches!(
            read_secret_file(directory.path()),
            Err(FileFault::Mode(_))
        ));
    }

    #[test]
    fn credentials_belong_to_root_or_the_service_and_not_to_everybody() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("firezone-token");
        assert!(read_credential(&path).unwrap().is_none());
        fs::write(&path, "secret").unwrap();
        for (mode, good) in [
            (0o400, true),
            (0o440, true),
            (0o600, true),
            (0o420, false),
            (0o404, false),
        ] {
            set_mode(&path, mode).unwrap();
            assert_eq!(read_credential(&path).is_ok(), good, "{mode:o}");
        }
        set_mode(&path, 0o400).unwrap();
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert!(matches!(read_credential(&path), Err(FileFault::Owner(_))));
    }

    #[test]
    fn files_of_containers_may_be_read_by_everybody_and_written_by_nobody_else() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        assert!(read_container_secret(&path).unwrap().is_none());
        fs::write(&path, "secret").unwrap();
        for (mode, good) in [(0o444, true), (0o644, true), (0o620, false), (0o602, false)] {
            set_mode(&path, mode).unwrap();
            assert_eq!(read_container_secret(&path).is_ok(), good, "{mode:o}");
        }
        set_mode(&path, 0o444).unwrap();
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        let fault = read_container_secret(&path);
        assert!(matches!(fault, Err(FileFault::Owner(_))));
    }

    #[test]
    fn a_pipe_is_no_secret_and_is_not_waited_for() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        assert!(matches!(read_secret_file(&path), Err(FileFault::Kind(_))));
        assert!(matches!(read_credential(&path), Err(FileFault::Kind(_))));
    }

    #[test]
    fn a_written_secret_can_be_read_by_root_alone() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("deep/er/token");
        for secret in ["first", "second"] {
            write_secret_file(&path, secret.as_bytes()).unwrap();
            let content = read_secret_file(&path).unwrap().unwrap();
            assert_eq!(content.expose_secret(), secret.as_bytes());
            assert_eq!(mode(&path), 0o600);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_latest_log_file_has_a_link() {
        let directory = TempDir::new().unwrap();
        for stamp in ["1", "2"] {
            let mut file = create_log_file(directory.path(), "base", stamp).unwrap();
            file.write_all(stamp.as_bytes()).unwrap();
        }
        let latest = directory.path().join("base.latest");
        assert_eq!(fs::read_to_string(&latest).unwrap(), "2");
        assert_eq!(mode(&directory.path().join("base.1.log")), 0o640);
    }
}
