//! The identity of this device. spec: client-app 6

use crate::files::{FileFault, os, set_mode};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Directory of the file. spec: client-app 7
const DIRECTORY: &str = "/var/lib/dev.firezone.client/config";

/// Where the system keeps an identity of its own.
const MACHINE_ID: &str = "/etc/machine-id";

/// What tells identities of clients from those of other programs. spec: client-app 6.3
const KEY: &str = "e1e465ce763e4759945c650ac334501f";

/// Where an identity comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceIdOrigin {
    /// It was made at an earlier start, or put there.
    File(PathBuf),
    /// It is derived from the identity of the system, `/etc/machine-id`.
    Machine,
    /// It is to be made, or was just made, and is kept in this file.
    Fresh(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct DeviceId {
    id: String,
}

/// The identity of this device; made and kept if there is none.
///
/// # Errors
///
/// When the file is damaged, or none can be made.
pub fn load_or_create_device_id() -> Result<String, FileFault> {
    in_places(Path::new(DIRECTORY), Path::new(MACHINE_ID))
}

/// Where the identity comes from, without changing anything.
///
/// # Errors
///
/// When the file is damaged or cannot be read.
pub fn device_id_origin() -> Result<DeviceIdOrigin, FileFault> {
    let path = file_in(Path::new(DIRECTORY));
    Ok(if read(&path)?.is_some() {
        DeviceIdOrigin::File(path)
    } else if of_machine(Path::new(MACHINE_ID)).is_some() {
        DeviceIdOrigin::Machine
    } else {
        DeviceIdOrigin::Fresh(path)
    })
}

fn in_places(directory: &Path, machine_id: &Path) -> Result<String, FileFault> {
    let path = file_in(directory);
    if let Some(id) = read(&path)? {
        // A service without root's rights may not own it.
        if let Err(error) = set_mode(&path, 0o640) {
            tracing::debug!(%error, "The device id keeps its mode");
        }
        return Ok(id);
    }
    if let Some(id) = of_machine(machine_id) {
        return Ok(id);
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o770);
    builder
        .create(directory)
        .map_err(|source| os("create", directory, source))?;
    set_mode(directory, 0o770)?;
    create(&path)
}

fn file_in(directory: &Path) -> PathBuf {
    directory.join("firezone-id.json")
}

fn read(path: &Path) -> Result<Option<String>, FileFault> {
    match fs::read(path) {
        Ok(content) => {
            let parsed = serde_json::from_slice::<DeviceId>(&content);
            let DeviceId { id } = parsed.map_err(|_| FileFault::Damaged(path.to_owned()))?;
            Ok(Some(id))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(os("read", path, source)),
    }
}

/// An identity that follows from the system's, if that has one: images are made without.
fn of_machine(path: &Path) -> Option<String> {
    let content = fs::read(path).ok()?;
    let digits = content.trim_ascii();
    let is_set = digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit);
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    is_set.then(|| hex(hmac::sign(&key, &content).as_ref()))
}

/// Writes a fresh id beside the file and moves it there, unless somebody was faster.
fn create(path: &Path) -> Result<String, FileFault> {
    let text = uuid::Uuid::new_v4().to_string();
    let id = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;
    use tempfile::TempDir;

    /// Places for an identity, removed at the end.
    struct Places(TempDir);

    impl Places {
        fn new() -> Self {
            Self(TempDir::new().unwrap())
        }

        /// Its identity, with what the system's own holds.
        fn id(&self, machine_id: &str) -> Result<String, FileFault> {
            let path = self.0.path().join("machine-id");
            fs::write(&path, machine_id).unwrap();
            in_places(&self.0.path().join("a/config"), &path)
        }

        fn file(&self) -> PathBuf {
            file_in(&self.0.path().join("a/config"))
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn it_is_made_once_and_kept() {
        let directory = Places::new();
        let id = directory.id("uninitialized\n").unwrap();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(directory.id("").unwrap(), id);
        let path = directory.file();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{{\"id\":\"{id}\"}}"));
        let config = path.parent().unwrap();
        assert_eq!((mode(config), mode(&path)), (0o770, 0o640));
        assert_eq!(fs::read_dir(config).unwrap().count(), 1);
    }

    #[test]
    fn the_systems_identity_comes_before_a_fresh_one_and_after_the_file() {
        let directory = Places::new();
        // Computed with openssl over the digits and the newline.
        let expected = "25746dc26c1cc478780348a72316d3f4c2869a29b2a4836b38bc2ad3c3d69e8c";
        let machine = "0123456789abcdef0123456789abcdef\n";
        assert_eq!(directory.id(machine).unwrap(), expected);
        assert!(!directory.file().exists());
        let kept = directory.id("").unwrap();
        assert_eq!(directory.id(machine).unwrap(), kept);
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let directory = Places::new();
        let path = directory.file();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(matches!(directory.id(""), Err(FileFault::Damaged(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    }
}
