//! The identity of this device. spec: client-app 6

use crate::{FileFault, StateDirectory, imp, places};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// The name of the file with the identity, in the [`StateDirectory`] at [`places::state`].
pub const DEVICE_ID_FILE: &str = "firezone-id.json";

/// What tells identities of clients from those of other programs. spec: client-app 6.3
const KEY: &str = "e1e465ce763e4759945c650ac334501f";

/// Where an identity comes from. It prints as the rest of a sentence about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceIdOrigin {
    /// It was made at an earlier start, or put there.
    File(PathBuf),
    /// It is derived from the identity of the system, which is kept there.
    Machine(PathBuf),
    /// It is to be made, and will be kept in this file.
    Fresh(PathBuf),
}

impl fmt::Display for DeviceIdOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the identity in {}", path.display()),
            Self::Machine(path) => write!(f, "an identity that follows from {}", path.display()),
            Self::Fresh(path) => write!(f, "a new identity, to be kept in {}", path.display()),
        }
    }
}

/// The system's own identity, as bytes, and where it is kept.
pub(crate) struct MachineIdentity {
    pub(crate) content: Vec<u8>,
    pub(crate) place: PathBuf,
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
    load_or_create(&directory(), imp::identity::machine_identity())
}

/// Where the identity comes from, without changing anything.
///
/// # Errors
///
/// When the file is damaged or cannot be read.
pub fn device_id_origin() -> Result<DeviceIdOrigin, FileFault> {
    let directory = directory();
    let path = directory.path().join(DEVICE_ID_FILE);
    Ok(
        match (read(&directory)?, imp::identity::machine_identity()) {
            (Some(_), _) => DeviceIdOrigin::File(path),
            (None, Some(machine)) => DeviceIdOrigin::Machine(machine.place),
            (None, None) => DeviceIdOrigin::Fresh(path),
        },
    )
}

fn directory() -> StateDirectory {
    StateDirectory::new(places::state())
}

fn load_or_create(
    directory: &StateDirectory,
    machine: Option<MachineIdentity>,
) -> Result<String, FileFault> {
    imp::state::close(directory.path(), DEVICE_ID_FILE)?;
    if let Some(id) = read(directory)? {
        return Ok(id);
    }
    if let Some(machine) = machine {
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        return Ok(hex(hmac::sign(&key, &machine.content).as_ref()));
    }
    let text = uuid::Uuid::new_v4().to_string();
    let id = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let content = serde_json::json!(DeviceId { id: id.clone() }).to_string();
    directory.write_new(DEVICE_ID_FILE, content.as_bytes())?;
    Ok(id)
}

fn read(directory: &StateDirectory) -> Result<Option<String>, FileFault> {
    let path = directory.path().join(DEVICE_ID_FILE);
    let Some(content) = imp::state::read_shared(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice::<DeviceId>(&content) {
        Ok(DeviceId { id }) => Ok(Some(id)),
        Err(_) => Err(FileFault::Damaged(path)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn state() -> (StateDirectory, TempDir) {
        let folder = TempDir::new().unwrap();
        (StateDirectory::new(folder.path().join("a/config")), folder)
    }

    fn machine(content: &str) -> Option<MachineIdentity> {
        Some(MachineIdentity {
            content: content.into(),
            place: "/machine".into(),
        })
    }

    #[test]
    fn it_is_made_once_and_kept() {
        let (state, _folder) = state();
        let id = load_or_create(&state, None).unwrap();
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(load_or_create(&state, None).unwrap(), id);
        let text = fs::read_to_string(state.path().join(DEVICE_ID_FILE)).unwrap();
        assert_eq!(text, format!("{{\"id\":\"{id}\"}}"));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_systems_identity_comes_before_a_fresh_one_and_after_the_file() {
        let (state, _folder) = state();
        // Computed with openssl over the digits and the newline.
        let expected = "25746dc26c1cc478780348a72316d3f4c2869a29b2a4836b38bc2ad3c3d69e8c";
        let of_machine = || machine("0123456789abcdef0123456789abcdef\n");
        assert_eq!(load_or_create(&state, of_machine()).unwrap(), expected);
        assert!(!state.path().exists());
        let kept = load_or_create(&state, None).unwrap();
        assert_eq!(load_or_create(&state, of_machine()).unwrap(), kept);
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let (state, _folder) = state();
        fs::create_dir_all(state.path()).unwrap();
        let path = state.path().join(DEVICE_ID_FILE);
        for content in ["{".to_owned(), "x".repeat(70_000)] {
            fs::write(&path, &content).unwrap();
            assert!(load_or_create(&state, None).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn origins_are_told_in_words() {
        for (origin, words) in [
            (DeviceIdOrigin::File("/f".into()), "the identity in /f"),
            (
                DeviceIdOrigin::Machine("/m".into()),
                "an identity that follows from /m",
            ),
            (
                DeviceIdOrigin::Fresh("/f".into()),
                "a new identity, to be kept in /f",
            ),
        ] {
            assert_eq!(origin.to_string(), words);
        }
    }
}
