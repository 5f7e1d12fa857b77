//! What every system owes, as far as one process can tell. It takes the rights of the administrator.

use host::{Group, ServiceManager, Signals, StateDirectory};
use secrecy::ExposeSecret as _;
use std::{fs, io::Write as _, path::Path};
use tempfile::TempDir;

#[test]
fn the_machine_has_a_system_and_an_architecture() {
    let info = host::os_info();
    assert!(!info.name.is_empty());
    assert!(info.arch.is_some_and(|arch| !arch.is_empty()));
    assert!(host::host_name().is_none_or(|name| !name.is_empty()));
    assert!(!host::uptime().is_zero());
}

#[test]
fn looking_for_an_identity_changes_nothing() {
    let is_there = || host::places::state().exists();
    let before = is_there();
    host::device_id_origin().unwrap();
    assert_eq!(is_there(), before);
}

#[test]
fn places_are_whole_paths_and_differ() {
    let places = [
        host::places::token(),
        host::places::state(),
        host::places::service_logs(),
        host::places::service_sockets(),
        host::places::client_sockets(),
        host::places::gui(),
    ];
    for (index, place) in places.iter().enumerate() {
        assert!(place.is_absolute(), "{}", place.display());
        assert!(!places[..index].contains(place), "{}", place.display());
    }
}

#[test]
fn secrets_are_read_as_they_were_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep/er/token");
    type Read = fn(&Path) -> Result<Option<secrecy::SecretSlice<u8>>, host::FileFault>;
    let ways: [Read; 4] = [
        host::read_secret,
        host::read_credential,
        host::read_container_secret,
        host::read_own_secret,
    ];
    for read in ways {
        assert!(read(&path).unwrap().is_none());
    }
    for secret in [&b"first"[..], b"", b"\0\xff second"] {
        host::write_secret(&path, secret).unwrap();
        for read in ways {
            assert_eq!(read(&path).unwrap().unwrap().expose_secret(), secret);
        }
    }
    // What could not be read again is not written.
    for (excess, is_taken) in [(0, true), (1, false)] {
        let secret = vec![b'x'; 64 * 1024 + excess];
        assert_eq!(host::write_secret(&path, &secret).is_ok(), is_taken);
        for read in ways {
            assert_eq!(
                read(&path).unwrap().unwrap().expose_secret().len(),
                64 * 1024
            );
        }
    }
    let files = fs::read_dir(folder.path().join("deep/er")).unwrap();
    assert_eq!(files.count(), 1);
    // A directory is no secret.
    for read in ways {
        assert!(read(folder.path()).is_err());
    }
}

#[test]
fn state_is_there_whole_or_as_it_was() {
    let folder = TempDir::new().unwrap();
    let state = StateDirectory::new(folder.path().join("a/state"));
    assert_eq!(state.read("file").unwrap(), None);
    state.write_new("file", b"first").unwrap();
    assert!(state.write_new("file", b"second").is_err());
    assert_eq!(state.read("file").unwrap().unwrap(), b"first");
    state.write("file", b"third").unwrap();
    assert_eq!(state.read("file").unwrap().unwrap(), b"third");

    for (excess, is_taken) in [(0, true), (1, false)] {
        let content = vec![b'x'; 64 * 1024 + excess];
        assert_eq!(state.write("large", &content).is_ok(), is_taken);
        assert_eq!(
            state.write_new(&format!("{excess}"), &content).is_ok(),
            is_taken
        );
        assert_eq!(state.read("large").unwrap().unwrap().len(), 64 * 1024);
    }
    assert!(fs::metadata(state.path().join("1")).is_err());
}

#[test]
fn a_log_file_takes_lines_and_keeps_older_ones() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("logs");
    for line in ["one", "two"] {
        let mut file = host::create_log_file(&directory, "base", "stamp").unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
    let text = fs::read_to_string(directory.join("base.stamp.log")).unwrap();
    assert_eq!(text, "onetwo");
}

#[test]
fn groups_that_do_not_exist_are_not_found() {
    assert_eq!(Group::find("no-such-group-here").unwrap(), None);
}

#[test]
fn hardening_can_be_repeated() {
    for _ in 0..2 {
        host::forbid_core_dumps();
        host::use_small_pages();
    }
}

#[tokio::test]
async fn without_a_signal_nobody_wants_anything() {
    let signals = [Signals::new(), Signals::without_hang_up()];
    for signals in signals {
        let mut signals = signals.unwrap();
        tokio::select! {
            biased;
            signal = signals.next() => panic!("{signal}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn a_service_manager_that_is_not_there_is_satisfied() {
    let mut manager = ServiceManager::with_watchdog();
    manager.ready().unwrap();
    assert!(manager.status("well"));
    assert!(!manager.status("well"), "nothing is said twice");
    assert!(manager.status("better"));
    manager.reloading();
    manager.reloaded();
    manager.alive();
    manager.stopping();
}

#[test]
fn words_of_help_are_words() {
    for words in [
        host::help::SIGNALS,
        host::help::ADMINISTRATOR,
        host::help::ADMINISTRATOR_NAME,
        host::help::EXAMINE_PROCESSES,
    ] {
        assert!(!words.is_empty() && !words.contains('\n'), "{words}");
    }
    assert!(host::help::make_group("the-group").contains("the-group"));
}
