//! Secrets and logs: who may read them, and how they come to be whole.

use crate::{FileFault, imp};
use secrecy::SecretSlice;
use std::{fs::File, path::Path};

/// Longest secret and longest file of a [`crate::StateDirectory`], in bytes.
pub(crate) const MAX_FILE: u64 = 64 * 1024;

/// Reads a secret that nobody but the administrator of the machine can read or write; none if there
/// is no such file. spec: client-app 5.3
///
/// # Errors
///
/// When others may read or write it, when it is no regular file of at most 64 KiB, when reading
/// fails.
pub fn read_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    imp::files::read_secret(path)
}

/// Reads a secret that the service manager hands to this service; none if there is no such file.
///
/// # Errors
///
/// When it belongs to somebody else than the administrator or this user, when everybody may read it
/// or others write it, when it is no regular file of at most 64 KiB, when reading fails.
pub fn read_credential(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    imp::files::read_credential(path)
}

/// Reads a secret that the manager of this container hands over in a file; none if there is no such
/// file. Such files may be read by everybody in the container. spec: client-app 4
///
/// # Errors
///
/// When it belongs to somebody else than the administrator or this user, when others may write it,
/// when it is no regular file of at most 64 KiB, when reading fails.
pub fn read_container_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    imp::files::read_container_secret(path)
}

/// Reads a secret of this user, or of the administrator, that nobody else can read or write; none if
/// there is no such file.
///
/// # Errors
///
/// When it belongs to somebody else, when others may read or write it, when it is no regular file of
/// at most 64 KiB, when reading fails.
pub fn read_own_secret(path: &Path) -> Result<Option<SecretSlice<u8>>, FileFault> {
    imp::files::read_own_secret(path)
}

/// Writes a secret that [`read_secret`] takes, with its directory. It is there whole, or what was
/// there before stays. spec: client-app 2.1
///
/// # Errors
///
/// When this is not the administrator, when it is longer than [`read_secret`] takes, when the file
/// cannot be written.
pub fn write_secret(path: &Path, secret: &[u8]) -> Result<(), FileFault> {
    check_length(path, secret)?;
    imp::files::write_secret(path, secret)
}

/// Whether nobody but the administrator can have written a program, or put another one in its place. One
/// that is not there yet is checked as far as its directories go.
///
/// # Errors
///
/// When others can, naming the file or the directory that they may write; those of the system.
pub fn check_program(path: &Path) -> Result<(), FileFault> {
    imp::program::check(path)
}

/// Whether the content can be read again.
pub(crate) fn check_length(path: &Path, content: &[u8]) -> Result<(), FileFault> {
    match u64::try_from(content.len()) {
        Ok(length) if length <= MAX_FILE => Ok(()),
        _ => Err(FileFault::TooLong {
            path: path.to_owned(),
            limit: MAX_FILE,
        }),
    }
}

/// Creates `<base>.<stamp>.log` in a directory, for others at most to read, and lets
/// `<base>.latest` point to it where the system has links. The directory is made if it is missing; it
/// may belong to somebody else. spec: client-app 8.3
///
/// # Errors
///
/// When something else has the name of the file, when the directory or the file cannot be created.
pub fn create_log_file(directory: &Path, base: &str, stamp: &str) -> Result<File, FileFault> {
    imp::log_files::create(directory, base, stamp)
}
