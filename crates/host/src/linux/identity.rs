//! What Linux and the firmware say about the machine. spec: portal 2.5, client-app 6.4

use crate::device_id::MachineIdentity;
use model::{DeviceIds, OsInfo};
use std::{fs, path::Path};

/// Where the system keeps an identity of its own, machine-id(5).
const MACHINE_ID: &str = "/etc/machine-id";

pub(crate) fn machine_identity() -> Option<MachineIdentity> {
    machine_identity_in(Path::new(MACHINE_ID))
}

/// Images are made without an identity, or with the word for it.
fn machine_identity_in(path: &Path) -> Option<MachineIdentity> {
    let content = fs::read(path).ok()?;
    let digits = content.trim_ascii();
    let is_set = digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit);
    is_set.then(|| MachineIdentity {
        content,
        place: path.to_owned(),
    })
}

pub(crate) fn os_info() -> OsInfo {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let (name, version) = distribution(&text);
    let uname = rustix::system::uname();
    OsInfo {
        name,
        version,
        arch: Some(uname.machine().to_string_lossy().into_owned()),
        kernel: Some(uname.release().to_string_lossy().into_owned()),
    }
}

pub(crate) fn host_name() -> Option<String> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    Some(name).filter(|name| !name.is_empty())
}

pub(crate) fn device_ids() -> DeviceIds {
    device_ids_in(Path::new("/sys/class/dmi/id"))
}

fn device_ids_in(directory: &Path) -> DeviceIds {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let (serial, uuid) = (read("product_serial"), read("product_uuid"));
    DeviceIds::new(serial.as_deref(), uuid.as_deref())
}

/// Name and version out of `os-release`.
fn distribution(text: &str) -> (String, String) {
    let field = |key: &str| {
        let value = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then_some(value)
        })?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty())
    };
    let name = match field("ID").as_deref() {
        Some("debian") => "Debian".to_owned(),
        _ => field("NAME").unwrap_or_else(|| "Linux".to_owned()),
    };
    let is_rolling = field("BUILD_ID").is_some_and(|id| id == "rolling");
    let version = match field("VERSION_ID") {
        Some(version) => three_part(&version).unwrap_or(version),
        None if is_rolling => "Rolling Release".to_owned(),
        None => "Unknown".to_owned(),
    };
    (name, version)
}

/// `24.04` as `24.4.0`; nothing if it is not made of numbers.
fn three_part(version: &str) -> Option<String> {
    let parts: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    match parts?[..] {
        [major] => Some(format!("{major}.0.0")),
        [major, minor] => Some(format!("{major}.{minor}.0")),
        [major, minor, patch] => Some(format!("{major}.{minor}.{patch}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_named_as_portals_know_them() {
        let cases = [
            (
                "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"24.04\"\n",
                "Ubuntu",
                "24.4.0",
            ),
            (
                "NAME='Debian GNU/Linux'\nID=debian\nVERSION_ID=12\n",
                "Debian",
                "12.0.0",
            ),
            (
                "NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n",
                "Arch Linux",
                "Rolling Release",
            ),
            (
                "NAME=\"Alpine Linux\"\nVERSION_ID=3.20.3\n",
                "Alpine Linux",
                "3.20.3",
            ),
            ("NAME=NixOS\nVERSION_ID=\"24.11pre\"\n", "NixOS", "24.11pre"),
            ("", "Linux", "Unknown"),
        ];
        for (text, name, version) in cases {
            assert_eq!(distribution(text), (name.into(), version.into()), "{text}");
        }
    }

    #[test]
    fn machines_without_an_identity_are_known() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("machine-id");
        assert!(machine_identity_in(&path).is_none());
        let digits = "0123456789abcdef0123456789abcdef";
        for (content, is_set) in [
            (format!("{digits}\n"), true),
            (digits.to_owned(), true),
            ("uninitialized\n".to_owned(), false),
            (String::new(), false),
            (format!("{digits}0\n"), false),
            (format!("{}g\n", &digits[1..]), false),
        ] {
            fs::write(&path, &content).unwrap();
            let found = machine_identity_in(&path).map(|machine| machine.content);
            assert_eq!(found, is_set.then(|| content.into_bytes()));
        }
    }

    #[test]
    fn this_machine_has_a_kernel_and_an_architecture() {
        let info = os_info();
        assert!(!info.kernel.unwrap().is_empty() && !info.name.is_empty());
        assert_eq!(info.arch.as_deref(), Some(std::env::consts::ARCH));
    }

    #[test]
    fn placeholders_are_not_serial_numbers() {
        let folder = tempfile::TempDir::new().unwrap();
        let directory = folder.path();
        let serials = [
            ("123456789\n", None),
            ("\n", None),
            ("AB-12\n", Some("AB-12")),
        ];
        for (content, serial) in serials {
            fs::write(directory.join("product_serial"), content).unwrap();
            let ids = device_ids_in(directory);
            assert_eq!(ids.serial(), serial);
            assert_eq!(ids.uuid(), None);
            assert!(!format!("{ids:?}").contains("AB-12"));
        }
    }
}
