//! The device node, which minimal containers lack. spec: platform 2.1

use platform::PlatformFault;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::{fs, fs::OpenOptions, io, os::unix::fs::PermissionsExt as _, path::Path};

/// Where the kernel's TUN driver is reached.
pub(super) const NODE: &str = "/dev/net/tun";

/// Makes the node if it is missing.
///
/// # Errors
///
/// If it is missing and cannot be made.
pub(super) fn ensure(node: &Path) -> io::Result<()> {
    if fs::exists(node)? {
        return Ok(());
    }
    if let Some(directory) = node.parent()
        && !directory.exists()
    {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o751))?;
    }
    let device = makedev(10, 200);
    mknodat(CWD, node, FileType::CharacterDevice, Mode::empty(), device)?;
    tracing::info!("Made the missing device node of the TUN driver");
    Ok(())
}

/// Whether the driver can be reached, without changing anything.
///
/// # Errors
///
/// If the node is there and cannot be opened.
pub(crate) fn check() -> Result<String, PlatformFault> {
    let opened = OpenOptions::new().read(true).write(true).open(NODE);
    match opened {
        Ok(_) => Ok(format!("TUN device: {NODE}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(format!("TUN device: {NODE} is missing and will be made"))
        }
        Err(source) => Err(crate::fault("open /dev/net/tun", source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    #[test]
    fn missing_node_is_made_with_its_directory() {
        let root = std::env::temp_dir().join(format!("tun-node-{}", std::process::id()));
        let node = root.join("net/tun");
        for _ in 0..2 {
            ensure(&node).expect("making a device node needs root");
            let metadata = fs::metadata(&node).unwrap();
            assert!(metadata.file_type().is_char_device());
            assert_eq!(metadata.rdev(), makedev(10, 200));
            assert_eq!(metadata.permissions().mode() & 0o777, 0);
        }
        let directory = fs::metadata(root.join("net")).unwrap();
        assert_eq!(directory.permissions().mode() & 0o777, 0o751);
        fs::remove_dir_all(&root).unwrap();
    }
}
