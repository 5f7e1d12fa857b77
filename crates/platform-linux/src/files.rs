//! Files of the client: token, device id, logs; with the owners and modes they must have.

use ring::digest;
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
    },
    path::{Path, PathBuf},
};

/// Where the token is unless the operator says otherwise. spec: client-app 5.1
pub const TOKEN_PATH: &str = "/etc/dev.firezone.client/token";

/// Directory of the device id. spec: client-app 7
const CONFIG_DIRECTORY: &str = "/var/lib/dev.firezone.client/config";

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
    // Checks and reading go through one descriptor, so that the file cannot be swapped meanwhile.
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(os("open", path, source)),
    };
    let metadata = file
        .metadata()
        .map_err(|source| os("examine", path, source))?;
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
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(owned(FileFault::Kind));
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    file.read_to_end(&mut content)
        .map_err(|source| os("read", path, source))?;
    Ok(Some(SecretSlice::from(content)))
}

#[derive(Serialize, Deserialize)]
struct DeviceId {
    id: String,
}

/// The identity of this device, made at the first call and kept. spec: client-app 6
///
/// # Errors
///
/// When the directory or the file cannot be used.
pub fn load_or_create_device_id() -> Result<String, FileFault> {
    device_id_in(Path::new(CONFIG_DIRECTORY))
}

fn device_id_in(directory: &Path) -> Result<String, FileFault> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o770);
    builder
        .create(directory)
        .map_err(|source| os("create", directory, source))?;
    set_mode(directory, 0o770)?;
    let path = directory.join("firezone-id.json");
    match fs::read(&path) {
        Ok(content) => {
            let parsed = serde_json::from_slice::<DeviceId>(&content);
            let DeviceId { id } = parsed.map_err(|_| FileFault::Damaged(path.clone()))?;
            set_mode(&path, 0o640)?;
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_device_id(&path),
        Err(source) => Err(os("read", &path, source)),
    }
}

/// Writes a fresh id beside the file and moves it there, unless somebody was faster.
fn create_device_id(path: &Path) -> Result<String, FileFault> {
    let text = uuid::Uuid::new_v4().to_string();
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let id: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let content = serde_json::to_vec(&DeviceId { id: id.clone() }).map_err(io::Error::other);
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = |content: Vec<u8>| {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        // A link never replaces an existing file, a rename would.
        fs::hard_link(&temporary, path)
    };
    let result = content.and_then(write);
    let removed = fs::remove_file(&temporary);
    result
        .and(removed)
        .map_err(|source| os("create", path, source))?;
    set_mode(path, 0o640)?;
    Ok(id)
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

fn set_mode(path: &Path, mode: u32) -> Result<(), FileFault> {
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    set.map_err(|source| os("set the mode of", path, source))
}

fn os(action: &'static str, path: &Path, source: io::Error) -> FileFault {
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

    /// A directory of its own, removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("files-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn only_files_of_root_alone_are_secrets() {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test needs root to make root's files"
        );
        let directory = Directory::new("secret");
        let path = directory.0.join("token");
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
            read_secret_file(&directory.0),
            Err(FileFault::Mode(_))
        ));
    }

    #[test]
    fn the_device_id_is_made_once_and_kept() {
        let directory = Directory::new("id");
        let config = directory.0.join("a/config");
        let id = device_id_in(&config).unwrap();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(device_id_in(&config).unwrap(), id);
        let path = config.join("firezone-id.json");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{{\"id\":\"{id}\"}}")
        );
        assert_eq!((mode(&config), mode(&path)), (0o770, 0o640));
        assert_eq!(fs::read_dir(&config).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_device_id_is_not_overwritten() {
        let directory = Directory::new("damaged");
        let path = directory.0.join("firezone-id.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(
            device_id_in(&directory.0),
            Err(FileFault::Damaged(_))
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    }

    #[test]
    fn the_latest_log_file_has_a_link() {
        let directory = Directory::new("log");
        for stamp in ["1", "2"] {
            let mut file = create_log_file(&directory.0, "base", stamp).unwrap();
            file.write_all(stamp.as_bytes()).unwrap();
        }
        let latest = directory.0.join("base.latest");
        assert_eq!(fs::read_to_string(&latest).unwrap(), "2");
        assert_eq!(mode(&directory.0.join("base.1.log")), 0o640);
    }
}
