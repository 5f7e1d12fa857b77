//! The installer. `wixl` makes most of it, `msibuild` what `wixl` has no words for.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use ring::digest;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What all versions of the product share.
const UPGRADE_CODE: &str = "{6D3A2C5E-6F0A-4F5E-9F43-0C4B7A1D2E90}";

/// A version replaces itself, too. The service is started again when it fails: three times, after five
/// seconds each, and a day without a failure is a new beginning. spec: client-app 16.1
fn additions() -> [String; 5] {
    // The minimum and the maximum are included.
    let attributes = 0x100 | 0x200;
    [
        "DELETE FROM `Upgrade` WHERE `ActionProperty` = 'OLDER'".to_owned(),
        format!(
            "INSERT INTO `Upgrade` (`UpgradeCode`, `VersionMin`, `VersionMax`, `Attributes`, \
             `ActionProperty`) VALUES ('{UPGRADE_CODE}', '0.0.0', '{VERSION}', {attributes}, 'OLDER')"
        ),
        "CREATE TABLE `MsiServiceConfigFailureActions` (`MsiServiceConfigFailureActions` CHAR(72) NOT \
         NULL, `Name` CHAR(255) NOT NULL LOCALIZABLE, `Event` INT NOT NULL, `ResetPeriod` LONG, \
         `RebootMessage` CHAR(255) LOCALIZABLE, `Command` CHAR(255) LOCALIZABLE, `Actions` CHAR(255), \
         `DelayActions` CHAR(255), `Component_` CHAR(72) NOT NULL PRIMARY KEY \
         `MsiServiceConfigFailureActions`)"
            .to_owned(),
        "INSERT INTO `MsiServiceConfigFailureActions` (`MsiServiceConfigFailureActions`, `Name`, `Event`, \
         `ResetPeriod`, `Actions`, `DelayActions`, `Component_`) VALUES ('Restart', \
         'FirezoneClientTunnelService', 5, 86400, '1[~]1[~]1', '5000[~]5000[~]5000', 'Service')"
            .to_owned(),
        "INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES \
         ('MsiConfigureServices', 'VersionMsi >= \"5.00\"', 5850)"
            .to_owned(),
    ]
}

/// Builds it of the files in a folder; returns it.
pub(super) fn build(files: &Path, out: &Path, epoch: &str) -> Result<PathBuf> {
    let installer = out.join(format!("firezone-client-{VERSION}-x64.msi"));
    let mut command = at(epoch, "wixl");
    command
        .args(["--arch", "x64", "--define"])
        .arg(format!("Version={VERSION}"))
        .arg("--define")
        .arg(format!(
            "ProductCode={}",
            guid(&format!("product {VERSION} {epoch}"))
        ))
        .arg("--define")
        .arg(format!("UpgradeCode={UPGRADE_CODE}"))
        .arg("--output")
        .arg(&installer)
        .arg(workspace::root().join("packaging/msi/firezone-client.wxs"))
        // It takes no files by whole paths.
        .current_dir(files);
    succeed(command)?;
    for query in additions() {
        let mut command = at(epoch, "msibuild");
        command.arg(&installer).arg("-q").arg(query);
        succeed(command)?;
    }
    name(&installer, &guid(&format!("package {VERSION} {epoch}")))?;
    Ok(installer)
}

/// A command for which the clock stands still.
fn at(epoch: &str, program: &str) -> Command {
    let mut command = Command::new("faketime");
    command
        .args(["-f", epoch, program])
        .env("TZ", "UTC")
        .env("FAKETIME_FMT", "%s");
    command
}

/// Puts a name in the place of the one that was made up for the package.
fn name(installer: &Path, name: &str) -> Result<()> {
    let mut command = Command::new("msiinfo");
    command.arg("suminfo").arg(installer);
    let output = command.output().context("cannot start msiinfo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let old = text
        .lines()
        .find_map(|line| line.strip_prefix("Revision number (UUID): "))
        .context("the installer has no name")?;
    let content = fs::read(installer)?;
    fs::write(installer, replaced(&content, old.trim(), name)?)?;
    Ok(())
}

fn replaced(content: &[u8], old: &str, new: &str) -> Result<Vec<u8>> {
    ensure!(old.len() == new.len(), "{old} is no GUID");
    let mut places = content
        .windows(old.len())
        .enumerate()
        .filter(|(_, window)| *window == old.as_bytes());
    let (at, _) = places.next().context("the installer lacks its own name")?;
    ensure!(places.next().is_none(), "the installer has its name twice");
    let mut content = content.to_owned();
    content[at..at + new.len()].copy_from_slice(new.as_bytes());
    Ok(content)
}

/// A GUID that follows from a text, of the kind that is free to make (RFC 9562 section 5.8).
fn guid(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    format!("{{{}}}", parts.join("-"))
}

fn succeed(mut command: Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_what_they_stand_for() {
        let one = guid("one");
        assert_eq!(one, guid("one"));
        assert_ne!(one, guid("two"));
        assert_eq!(one.len(), 38);
        assert_eq!(&one[15..16], "8");
    }

    #[test]
    fn a_name_is_replaced_where_it_is_unique() {
        assert_eq!(replaced(b"a{1}b", "{1}", "{2}").unwrap(), b"a{2}b");
        assert!(replaced(b"a{1}b{1}", "{1}", "{2}").is_err());
        assert!(replaced(b"ab", "{1}", "{2}").is_err());
    }
}
