//! Who may put another program in the place of one.

use super::files::{CLOSE_TO_WRITERS, OWN, WRITABLE, permissions};
use crate::{FileFault, fault::os};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The bit of directories in which nobody can touch what is not his.
const STICKY: u32 = 0o1000;

pub(crate) fn check(path: &Path) -> Result<(), FileFault> {
    // The directories of the name, and those of the file if a link leads to it.
    let real = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => PathBuf::new(),
        real => real.map_err(|source| os("find", path, source))?,
    };
    let all = path.ancestors().skip(1).chain(real.ancestors());
    all.filter(|path| !path.as_os_str().is_empty())
        .try_for_each(check_one)
}

fn check_one(path: &Path) -> Result<(), FileFault> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|source| os("examine", path, source))?,
    };
    let (mode, is_sticky) = (found.mode(), found.is_dir() && found.mode() & STICKY != 0);
    // Members of root's own group are as good as root on systems that use it at all.
    let is_open = mode & 0o002 != 0 || (mode & 0o020 != 0 && found.gid() != 0);
    match (found.uid() == 0, is_open && !is_sticky) {
        (true, false) => Ok(()),
        (false, _) => Err(permissions(path, "does not belong to root", OWN)),
        (true, true) => Err(permissions(path, WRITABLE, CLOSE_TO_WRITERS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use tempfile::TempDir;

    #[test]
    fn a_program_that_others_may_replace_is_named_with_what_they_may_write() {
        let folder = TempDir::new().unwrap();
        let directory = folder.path().join("bin");
        let program = directory.join("gui");
        fs::create_dir(&directory).unwrap();
        fs::write(&program, "").unwrap();
        let culprit = |path: &Path| match check(path) {
            Ok(()) => None,
            Err(FileFault::Permissions { path, .. }) => Some(path),
            Err(fault) => panic!("{fault}"),
        };
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let link = folder.path().join("link");
        symlink(&program, &link).unwrap();
        for (path, mode, good) in [
            (&program, 0o755, true),
            (&program, 0o757, false),
            (&program, 0o775, true),
            (&directory, 0o755, true),
            (&directory, 0o777, false),
            (&directory, 0o1777, true),
        ] {
            let before = fs::metadata(path).unwrap().mode();
            set_mode(path, mode);
            let expected = (!good).then(|| path.clone());
            assert_eq!(culprit(&program), expected, "{mode:o}");
            assert_eq!(culprit(&link), expected, "{mode:o}, by the link");
            set_mode(path, before);
        }
        // Also before there is a program.
        set_mode(&directory, 0o777);
        assert_eq!(culprit(&directory.join("missing")), Some(directory.clone()));
        set_mode(&directory, 0o755);
        assert_eq!(culprit(&directory.join("missing")), None);
        for path in [&program, &directory] {
            chown(path, Some(65534), None).unwrap();
            assert_eq!(culprit(&program), Some(path.clone()));
            chown(path, Some(0), None).unwrap();
        }
        // The sticky bit of a file means nothing.
        set_mode(&program, 0o1757);
        assert_eq!(culprit(&program), Some(program.clone()));
        set_mode(&program, 0o755);
        chown(&program, None, Some(1)).unwrap();
        set_mode(&program, 0o775);
        assert_eq!(culprit(&program), Some(program.clone()));
    }
}
