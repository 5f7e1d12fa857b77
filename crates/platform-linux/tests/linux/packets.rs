//! Real packets through the device.
//!
//! A reflector reads packets, swaps source and destination address (which leaves every checksum
//! valid) and writes them back: a connection to `10.0.1.1` becomes one to ourselves from there.

use crate::namespace::{Etc, PATIENCE, inside, plan, run};
use platform::{PacketBatch, Platform as _, Tun};
use platform_linux::{LinuxOptions, LinuxPlatform, LinuxTun};
use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

/// The other end of the tunnel, which is ourselves.
const FAR: [&str; 2] = ["10.0.1.1", "fd00:2021:1111:1::1"];

async fn device(etc: &Etc, offload: bool) -> (LinuxPlatform, LinuxTun) {
    let mut platform = LinuxPlatform::new(LinuxOptions {
        offload,
        ..etc.options()
    })
    .unwrap();
    let tun = platform.create_tun().unwrap();
    assert_eq!(tun.has_offload(), offload, "this kernel lacks TUN offload");
    platform.apply(&plan()).await.unwrap();
    (platform, tun)
}

fn near(far: IpAddr) -> IpAddr {
    match far {
        IpAddr::V4(_) => plan().ipv4.into(),
        IpAddr::V6(_) => plan().ipv6.into(),
    }
}

fn swap_addresses(packet: &mut [u8]) {
    let (start, length) = match packet[0] >> 4 {
        4 => (12, 4),
        _ => (8, 16),
    };
    let (source, destination) = packet[start..start + 2 * length].split_at_mut(length);
    source.swap_with_slice(destination);
}

/// How the packets of a connection looked.
#[derive(Default)]
struct Seen {
    packets: usize,
    batches: usize,
    oversized: usize,
}

/// Reflects until the other future is done.
async fn reflect<T>(tun: &mut LinuxTun, done: impl Future<Output = T>) -> (T, Seen) {
    let mut seen = Seen::default();
    let mut batch = PacketBatch::new(128);
    tokio::pin!(done);
    loop {
        tokio::select! {
            result = &mut done => return (result, seen),
            readable = tun.readable() => readable.unwrap(),
        }
        match tun.try_read(&mut batch) {
            Ok(()) => {
                seen.batches += 1;
                seen.packets += batch.len();
                seen.oversized += batch.iter().filter(|p| p.len() > 1280).count();
                batch.iter_mut().for_each(swap_addresses);
                tun.try_write(&mut batch).unwrap();
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
    }
}

/// Packets that the stack has received from the device.
fn delivered() -> usize {
    let statistics = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let ours = statistics
        .lines()
        .find_map(|line| line.trim().strip_prefix("tun-firezone:"))
        .unwrap();
    ours.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn finish<T: Send + 'static>(thread: thread::JoinHandle<T>) -> T {
    let join = tokio::task::spawn_blocking(move || thread.join().unwrap());
    tokio::time::timeout(PATIENCE * 3, join)
        .await
        .expect("the transfer hangs")
        .unwrap()
}

/// Bytes that tell where they belong.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i / 251 + i % 251).to_le_bytes()[0])
        .collect()
}

async fn bulk_transfer(tun: &mut LinuxTun, far: IpAddr) -> Seen {
    const LENGTH: usize = 4 * 1024 * 1024;
    let listener = TcpListener::bind(SocketAddr::new(near(far), 0)).unwrap();
    let remote = SocketAddr::new(far, listener.local_addr().unwrap().port());
    let sender = thread::spawn(move || {
        let mut stream = TcpStream::connect(remote).unwrap();
        stream.write_all(&pattern(LENGTH)).unwrap();
    });
    let receiver = thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), far);
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let both = async {
        finish(sender).await;
        finish(receiver).await
    };
    let (received, seen) = reflect(tun, both).await;
    assert_eq!(received.len(), LENGTH);
    assert!(received == pattern(LENGTH), "the transfer is corrupted");
    assert_eq!(seen.oversized, 0, "packets above the MTU");
    seen
}

#[test]
fn tcp_crosses_the_device_with_offload() {
    inside(|| async {
        let etc = Etc::new();
        let (_platform, mut tun) = device(&etc, true).await;
        for far in FAR {
            let before = delivered();
            let seen = bulk_transfer(&mut tun, far.parse().unwrap()).await;
            // Super-packets were split: several packets per read.
            assert!(seen.packets > 4 * seen.batches, "{far}: {}", seen.packets);
            // And merged: the stack received fewer packets than were written.
            let merged = delivered() - before;
            assert!(
                2 * merged < seen.packets,
                "{far}: {merged} of {}",
                seen.packets
            );
        }
    });
}

#[test]
fn tcp_crosses_the_device_without_offload() {
    inside(|| async {
        let etc = Etc::new();
        let (_platform, mut tun) = device(&etc, false).await;
        for far in FAR {
            bulk_transfer(&mut tun, far.parse().unwrap()).await;
        }
    });
}

#[test]
fn udp_crosses_the_device_in_order() {
    inside(|| async {
        for offload in [true, false] {
            let etc = Etc::new();
            let (_platform, mut tun) = device(&etc, offload).await;
            for far in FAR {
                let far: IpAddr = far.parse().unwrap();
                let receiver = UdpSocket::bind(SocketAddr::new(near(far), 0)).unwrap();
                receiver.set_read_timeout(Some(PATIENCE)).unwrap();
                let remote = SocketAddr::new(far, receiver.local_addr().unwrap().port());
                let sender = UdpSocket::bind(SocketAddr::new(near(far), 0)).unwrap();
                // Sizes go up to the MTU; the last is a datagram without payload.
                let sizes = [1, 100, 1000, 1232, 1232, 1232, 500, 0];
                for size in sizes {
                    sender.send_to(&pattern(size), remote).unwrap();
                }
                let receiver = thread::spawn(move || {
                    let mut buffer = [0; 2000];
                    sizes.map(|_| {
                        let (length, from) = receiver.recv_from(&mut buffer).unwrap();
                        assert_eq!(from.ip(), far);
                        assert_eq!(buffer[..length], pattern(length));
                        length
                    })
                });
                let (received, _) = reflect(&mut tun, finish(receiver)).await;
                assert_eq!(received, sizes, "{far}, offload {offload}");
            }
        }
    });
}

#[test]
fn malformed_packets_do_not_stop_the_device() {
    inside(|| async {
        for offload in [true, false] {
            let etc = Etc::new();
            let (_platform, mut tun) = device(&etc, offload).await;
            let mut batch = PacketBatch::new(64);
            let junk: [&[u8]; 6] = [
                &[],
                &[0x45],
                &[0x00; 40],
                &[0x6f; 39],
                &[0xff; 1280],
                &[
                    0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 1, 1, 100, 64, 0, 1,
                ],
            ];
            for packet in junk {
                batch.push(packet);
                // The kernel may refuse it; the batch is empty and the device lives on.
                tun.try_write(&mut batch).ok();
                assert!(batch.is_empty());
            }
            for packet in junk {
                batch.push(packet);
            }
            tun.try_write(&mut batch).ok();
            bulk_transfer(&mut tun, FAR[0].parse().unwrap()).await;
        }
    });
}

#[test]
fn device_that_was_deleted_says_so() {
    inside(|| async {
        let etc = Etc::new();
        let (mut platform, mut tun) = device(&etc, true).await;
        run("ip", "link delete tun-firezone");
        let readable = tokio::time::timeout(PATIENCE, tun.readable());
        readable.await.expect("the reader hangs").ok();
        let mut batch = PacketBatch::new(64);
        let error = tun.try_read(&mut batch).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        assert!(platform.apply(&plan()).await.is_err());
        drop(tun);
        // A new device works.
        let tun = platform.create_tun().unwrap();
        platform.apply(&plan()).await.unwrap();
        drop(tun);
    });
}
