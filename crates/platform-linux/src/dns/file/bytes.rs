//! Files that are no plain text: they come back byte by byte. spec: platform 4.2

use super::{
    tests::{Etc, SENTINEL, put_back, resolvers, set},
    *,
};
use proptest::prelude::*;
use std::{
    fs::File,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
};

/// What a file may hold, with a resolver that has to be found nevertheless.
fn members() -> Vec<(&'static str, Vec<u8>)> {
    let server = &b"nameserver 192.0.2.1\n"[..];
    let mut largest = server.to_vec();
    largest.extend_from_slice(b"# ");
    largest.resize(usize::try_from(MAX_FILE).unwrap(), b'x');
    vec![
        ("latin-1", [b"# caf\xe9\n", server].concat()),
        (
            "no text at all",
            [server, &[0x80, 0xff, 0xfe, b'\n']].concat(),
        ),
        ("half a character", [server, b"# \xe2\x82"].concat()),
        ("mark of byte order", [b"\xef\xbb\xbf", server].concat()),
        (
            "lines of DOS",
            b"nameserver 192.0.2.1\r\noptions rotate\r\n".to_vec(),
        ),
        (
            "no last newline",
            b"options rotate\nnameserver 192.0.2.1".to_vec(),
        ),
        ("blank lines", [b"\n\n", server, b"\n \n\n"].concat()),
        ("zero bytes", [b"\0\n# \0\0\n", server, b"\0"].concat()),
        ("an unknown line", [b"some-day caf\xe9\n", server].concat()),
        ("the largest size", largest),
    ]
}

#[test]
fn every_file_comes_back_byte_by_byte() {
    for (name, original) in members() {
        let (_etc, paths) = Etc::new("");
        let bytes = || fs::read(&paths.file).unwrap();
        fs::write(&paths.file, &original).unwrap();
        set(&paths).unwrap();
        assert!(paths.is_set(), "{name}");
        assert!(
            bytes()
                .windows(SENTINEL.len())
                .any(|part| part == SENTINEL.as_bytes())
        );
        assert_eq!(resolvers(&paths), [IpAddr::from([192, 0, 2, 1])], "{name}");
        // Another run, without an end of the first one.
        set(&paths).unwrap();
        assert!(
            fs::read(&paths.backup).unwrap() == original,
            "{name}: the backup"
        );
        paths.revert().unwrap();
        assert!(bytes() == original, "{name}");
        // A file that was deleted meanwhile comes back in the same way.
        set(&paths).unwrap();
        fs::remove_file(&paths.file).unwrap();
        put_back(&paths).unwrap();
        fs::remove_file(&paths.file).unwrap();
        paths.revert_own().unwrap();
        assert!(bytes() == original, "{name}, deleted");
    }
}

#[test]
fn an_unknown_line_is_kept_as_it_is() {
    let (_etc, paths) = Etc::new("");
    fs::write(&paths.file, b"some-day caf\xe9\nnameserver 192.0.2.1\n").unwrap();
    set(&paths).unwrap();
    let ours = fs::read(&paths.file).unwrap();
    assert!(ours.windows(14).any(|part| part == b"some-day caf\xe9\n"));
}

#[test]
fn a_file_that_could_not_be_read_again_is_not_written() {
    let (_etc, paths) = Etc::new("");
    // Each option becomes a line, so that our file is larger than the original.
    let mut original = b"options".to_vec();
    while original.len() < usize::try_from(MAX_FILE).unwrap() - 2 {
        original.extend_from_slice(b" a");
    }
    fs::write(&paths.file, &original).unwrap();
    let fault = set(&paths).unwrap_err().to_string();
    assert!(fault.contains("too large"), "{fault}");
    assert!(fs::read(&paths.file).unwrap() == original);
    assert!(!paths.backup.exists());
    // One more than the largest size is not even read.
    fs::write(
        &paths.file,
        vec![b'#'; usize::try_from(MAX_FILE).unwrap() + 1],
    )
    .unwrap();
    assert!(set(&paths).is_err() && !paths.backup.exists());
}

#[test]
fn owner_and_mode_stay_also_if_the_file_is_made_again() {
    for mode in [0o644, 0o600, 0o664] {
        let (_etc, paths) = Etc::new("nameserver 192.0.2.1\n");
        fs::set_permissions(&paths.file, fs::Permissions::from_mode(mode)).unwrap();
        chown(&paths.file, Some(0), Some(1)).unwrap();
        let look = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
        };
        let expected = (mode, 0, 1);
        set(&paths).unwrap();
        assert_eq!(look(&paths.file), expected);
        assert_eq!(
            look(&paths.backup),
            expected,
            "nobody else may read the backup"
        );
        fs::remove_file(&paths.file).unwrap();
        put_back(&paths).unwrap();
        assert_eq!(look(&paths.file), expected, "{mode:o}");
        fs::remove_file(&paths.file).unwrap();
        paths.revert_own().unwrap();
        assert_eq!(look(&paths.file), expected, "{mode:o}");
    }
}

#[test]
fn a_backup_that_is_ours_is_never_taken_for_the_original() {
    let (_etc, paths) = Etc::new("nameserver 192.0.2.1\n");
    set(&paths).unwrap();
    let ours = fs::read(&paths.file).unwrap();
    fs::write(&paths.backup, &ours).unwrap();
    let fault = set(&paths).unwrap_err().to_string();
    assert!(fault.contains("left by a crashed run"), "{fault}");
    // Queries for ourselves would go round in circles.
    assert!(paths.resolvers(false).is_err());
    assert!(paths.original().is_err());
    paths.revert().unwrap();
    assert_eq!(
        fs::read(&paths.file).unwrap(),
        ours,
        "there is nothing better"
    );
    fs::remove_file(&paths.file).unwrap();
    assert!(put_back(&paths).is_err() && paths.revert_own().is_err());
    assert!(paths.resolvers(true).is_err());
    assert!(!paths.file.exists());
}

#[test]
fn no_file_is_written_through_a_link_or_into_a_pipe() {
    let (_etc, paths) = Etc::new("nameserver 192.0.2.1\n");
    let other = paths.file.with_file_name("other");
    let temporary = paths.backup.with_added_extension("new");
    fs::write(&other, "precious").unwrap();
    for name in [&paths.file, &paths.backup, &temporary] {
        fs::remove_file(name).ok();
        symlink(&other, name).unwrap();
    }
    assert!(
        disk::write(&paths.file, b"x").is_err(),
        "without the check before it"
    );
    assert!(disk::create(&paths.file, b"x", None).is_err());
    assert!(disk::read_own(&paths.backup).is_err());
    disk::replace(&paths.backup, b"new", &fs::metadata(&other).unwrap()).unwrap();
    assert_eq!(fs::read(&other).unwrap(), b"precious");
    assert!(fs::symlink_metadata(&paths.backup).unwrap().is_file());
    assert!(!temporary.exists());

    fs::remove_file(&paths.file).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &paths.file, kind, mode, 0).unwrap();
    assert!(disk::write(&paths.file, b"x").is_err());
    let _reader = File::options()
        .read(true)
        .write(true)
        .open(&paths.file)
        .unwrap();
    assert!(disk::write(&paths.file, b"x").is_err(), "somebody reads it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_come_back(original in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_etc, paths) = Etc::new("");
        fs::write(&paths.file, &original).unwrap();
        let was_ours = ResolvConf::is_ours(&original);
        prop_assume!(!was_ours);
        set(&paths).unwrap();
        paths.revert().unwrap();
        prop_assert_eq!(fs::read(&paths.file).unwrap(), original);
    }
}
