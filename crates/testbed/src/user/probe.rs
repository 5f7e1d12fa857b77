//! Names, datagrams and pings.

use super::Family;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, RecordType},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fs,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// How long a single answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often to ask before giving up.
const ATTEMPTS: u16 = 3;

/// Looks a name up at the resolvers of `/etc/resolv.conf`, one after the other.
///
/// # Errors
///
/// When no resolver answers, or none has an address of that family.
pub fn resolve(name: &str, family: Family) -> io::Result<IpAddr> {
    let text = fs::read_to_string("/etc/resolv.conf")?;
    let servers = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver "));
    let servers: Vec<IpAddr> = servers
        .filter_map(|server| server.trim().parse().ok())
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no resolver");
    for id in 1..=ATTEMPTS {
        for &server in &servers {
            match ask(server, id, name, family) {
                Ok(Some(address)) => return Ok(address),
                Ok(None) => last = io::Error::new(io::ErrorKind::NotFound, "the name is unknown"),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

fn ask(server: IpAddr, id: u16, name: &str, family: Family) -> io::Result<Option<IpAddr>> {
    let kind = match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    let mut query = Message::new(id, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    let name = Name::from_ascii(format!("{name}.")).map_err(io::Error::other)?;
    query.add_query(Query::query(name, kind));
    let socket = connected(SocketAddr::new(server, 53))?;
    socket.send(&query.to_vec().map_err(io::Error::other)?)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    let answer = Message::from_vec(&buffer[..length]).map_err(io::Error::other)?;
    Ok(answer.answers.iter().find_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }))
}

/// Sends a datagram of `length` bytes to an echo service `count` times; returns the time that the
/// first echo took.
///
/// # Errors
///
/// When an echo does not come, after some attempts, or is another datagram.
pub fn udp_echo(server: SocketAddr, length: usize, count: u8) -> io::Result<Duration> {
    let socket = connected(server)?;
    repeat(count, |number| {
        let sent = vec![number; length];
        let mut received = vec![0; length + 1];
        attempt(|| {
            socket.send(&sent)?;
            socket.recv(&mut received)
        })
        .and_then(|length| match received[..length] == sent {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the echo differs",
            )),
        })
    })
}

/// Pings an address `count` times with `length` bytes of payload; returns the time that the first
/// answer took.
///
/// # Errors
///
/// When an answer does not come, after some attempts, or is another one.
pub fn ping(address: IpAddr, length: usize, count: u8) -> io::Result<Duration> {
    let (domain, protocol, request, reply) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    // The kernel fills in checksum and identifier of such a socket.
    let mut socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SocketAddr::new(address, 0).into())?;
    repeat(count, |number| {
        let mut message = vec![request, 0, 0, 0, 0, 0, 0, number];
        message.extend(std::iter::repeat_n(number, length));
        let mut answer = vec![0; message.len() + 1];
        let received = attempt(|| {
            socket.send(&message)?;
            socket.read(&mut answer)
        })?;
        let right = received == message.len()
            && answer[0] == reply
            && answer[7] == number
            && answer[8..received] == message[8..];
        match right {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer differs",
            )),
        }
    })
}

fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Does something with the numbers from 1; returns how long the first time took.
fn repeat(count: u8, mut each: impl FnMut(u8) -> io::Result<()>) -> io::Result<Duration> {
    let start = Instant::now();
    let mut first = None;
    for number in 1..=count {
        each(number)?;
        first = first.or(Some(start.elapsed()));
    }
    Ok(first.unwrap_or_default())
}

/// Tries again when nothing comes: datagrams may be lost.
fn attempt<T>(mut exchange: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut result = exchange();
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => result = exchange(),
            _ => break,
        }
    }
    result
}
