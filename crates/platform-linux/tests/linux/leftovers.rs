//! What crashed runs and other clients leave, and who may clean it up. spec: platform 16

use crate::namespace::{Etc, Peer, connect, inside, network_fingerprint, plan, read, run, started};
use platform::{Platform as _, TunFault};
use rustix::mount::{MountFlags, mount};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

/// Makes the state that a killed client leaves: rules, copies of connected networks, and our
/// `resolv.conf` with its backup. The interface and its routes die with the process.
fn crash(etc: &Etc) {
    for family in ["-4", "-6"] {
        for (priority, table) in [(100, 539_098_368), (200, 539_098_369), (300, 539_098_370)] {
            let rule = format!("not fwmark 0xfd002021 lookup {table} priority {priority}");
            run("ip", &format!("{family} rule add {rule}"));
        }
        // Older clients give no priority, and one more rule piles up with every update.
        for priority in [32764, 32765] {
            let rule = format!("not fwmark 0xfd002021 lookup 539098368 priority {priority}");
            run("ip", &format!("{family} rule add {rule}"));
        }
    }
    run("ip", "route add 192.0.2.0/24 dev near table 539098369");
    fs::copy(etc.file(), etc.paths().backup).unwrap();
    let ours = "# BEGIN Firezone DNS configuration\nnameserver 100.100.111.1\n";
    fs::write(etc.file(), ours).unwrap();
}

/// A real client. What it prints stays readable, or else it would panic instead of being killed.
pub(crate) struct Client {
    pub(crate) process: Child,
    _output: BufReader<ChildStdout>,
}

/// The program of a real client.
fn holder() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.ancestors().nth(2).unwrap().join("examples/hold")
}

/// Starts a real client and returns when it is as far as wanted.
pub(crate) fn hold(etc: &Etc, method: &str, phase: &str) -> Client {
    let program = holder();
    let paths = etc.paths();
    let mut process = Command::new(&program)
        .args([paths.file, paths.backup, method.into()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("build {} (cargo build --examples): {e}", program.display()));
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != phase {
        line.clear();
        let length = output.read_line(&mut line).unwrap();
        assert_ne!(length, 0, "the client ended before it was {phase}");
    }
    Client {
        process,
        _output: output,
    }
}

/// Runs a real client as somebody who may change the network and nothing else; returns what it
/// complains about.
pub(crate) fn hold_as_nobody(etc: &Etc, method: &str) -> String {
    mount("tmpfs", "/dev/net", "tmpfs", MountFlags::empty(), None).unwrap();
    run("mknod", "--mode=0666 /dev/net/tun c 10 200");
    let paths = etc.paths();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["--inh-caps=+net_admin", "--ambient-caps=+net_admin"])
        .arg(holder())
        .args([paths.file, paths.backup, method.into()])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run setpriv (install util-linux?): {error}"));
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn killed_client_leaves_nothing_that_the_next_start_does_not_clean() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        connect(&peer, "near", "far");
        run("ip", "address add 192.0.2.1/24 dev near");
        let before = (network_fingerprint(), read(&etc.file()));
        for phase in ["started", "reverted", "created", "applied", "changed"] {
            // Twice in a row: what piles up would be seen.
            for _ in 0..2 {
                let mut client = hold(&etc, "etc-resolv-conf", phase);
                client.process.kill().unwrap();
                client.process.wait().unwrap();
            }
            let mut platform = etc.platform();
            platform.revert().unwrap();
            let after = (network_fingerprint(), read(&etc.file()));
            assert_eq!(after, before, "killed when {phase}");
        }
    });
}

#[test]
fn client_that_ends_by_itself_leaves_nothing() {
    inside(|| async {
        let etc = Etc::new();
        let before = (network_fingerprint(), read(&etc.file()));
        let mut client = hold(&etc, "etc-resolv-conf", "changed");
        drop(client.process.stdin.take());
        assert!(client.process.wait().unwrap().success());
        assert_eq!((network_fingerprint(), read(&etc.file())), before);
    });
}

#[test]
fn next_start_cleans_up_after_a_crash() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        connect(&peer, "near", "far");
        let before = (network_fingerprint(), read(&etc.file()));
        crash(&etc);
        assert_ne!((network_fingerprint(), read(&etc.file())), before);
        let mut platform = etc.platform();
        platform.revert().unwrap();
        assert_eq!((network_fingerprint(), read(&etc.file())), before);
        platform.revert().unwrap();
        assert_eq!((network_fingerprint(), read(&etc.file())), before);
    });
}

#[test]
fn start_without_revert_works_after_a_crash() {
    inside(|| async {
        let etc = Etc::new();
        let peer = Peer::new();
        connect(&peer, "near", "far");
        let before = (network_fingerprint(), read(&etc.file()));
        crash(&etc);
        let mut platform = etc.platform();
        let tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        assert!(crate::namespace::table("-4", 539_098_369).is_empty());
        drop(tun);
        drop(platform);
        assert_eq!((network_fingerprint(), read(&etc.file())), before);
    });
}

#[test]
fn running_client_is_not_disturbed_by_a_second_one() {
    inside(|| async {
        let etc = Etc::new();
        let mut first = started(&etc);
        let _tun = first.create_tun().unwrap();
        first.apply(&plan()).await.unwrap();
        let running = (network_fingerprint(), read(&etc.file()));

        let mut second = etc.platform();
        second.revert().unwrap();
        let fault = second.create_tun().unwrap_err();
        assert!(matches!(fault, TunFault::Held { .. }), "{fault}");
        assert!(second.apply(&plan()).await.is_err());
        drop(second);
        assert_eq!((network_fingerprint(), read(&etc.file())), running);
    });
}

#[test]
fn device_of_several_queues_is_recognised_as_held() {
    inside(|| async {
        let etc = Etc::new();
        run("ip", "tuntap add dev tun-firezone mode tun multi_queue");
        let mut platform = etc.platform();
        let fault = platform.create_tun().unwrap_err();
        assert!(matches!(fault, TunFault::Held { .. }), "{fault}");
        assert!(fault.to_string().contains("tun-firezone exists already"));
        run("ip", "link delete tun-firezone");
        drop(platform.create_tun().unwrap());
    });
}
