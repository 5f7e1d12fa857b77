//! Requests to the HTTP server of the resource host.

use super::{
    super::{
        layout::HTTP_PORT,
        services::{block, digest_of_stream, hex},
    },
    Target,
};
use ring::digest::{Context, SHA256};
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// How long a connection may take, and how long nothing may come.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest line of a response, in bytes.
const MAX_LINE: u64 = 4096;

/// Length of buffers, in bytes.
const BUFFER: usize = 256 * 1024;

/// How a transfer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// From the start, which includes looking up the name, to the first byte of the response.
    pub first_byte: Duration,
    /// From the start to the end.
    pub total: Duration,
    /// How much was transferred in the direction that counts, in bytes.
    pub bytes: u64,
}

impl Transfer {
    /// Bits per second.
    pub fn rate(&self) -> f64 {
        let bits = u32::try_from(self.bytes / 1000).map_or(f64::MAX, f64::from) * 8000.0;
        bits / self.total.as_secs_f64().max(1e-9)
    }
}

/// Gets the first page.
///
/// # Errors
///
/// When there is no proper answer.
pub fn exchange(target: &Target) -> io::Result<Transfer> {
    let start = Instant::now();
    let mut response = Request::get("/").send(target)?;
    let first_byte = start.elapsed();
    let body = response.body_text()?;
    let text_is_address = body.trim().parse::<std::net::IpAddr>().is_ok();
    match text_is_address {
        true => Ok(Transfer {
            first_byte,
            total: start.elapsed(),
            bytes: body.len() as u64,
        }),
        false => Err(wrong("the page is another one")),
    }
}

/// Downloads `amount` bytes and checks their hash.
///
/// # Errors
///
/// When they do not all come or are others.
pub fn download(target: &Target, amount: u64) -> io::Result<Transfer> {
    let expected = digest_of_stream(amount);
    let start = Instant::now();
    let mut response = Request::get(&format!("/bytes/{amount}")).send(target)?;
    let first_byte = start.elapsed();
    let mut digest = Context::new(&SHA256);
    let bytes = response.read_body(|bytes| {
        digest.update(bytes);
        true
    })?;
    let total = start.elapsed();
    if bytes != amount {
        return Err(wrong("the download is too short"));
    }
    match hex(digest.finish().as_ref()) == expected {
        true => Ok(Transfer {
            first_byte,
            total,
            bytes,
        }),
        false => Err(wrong("the hash of the download is wrong")),
    }
}

/// Uploads `amount` bytes and checks the hash of what has arrived.
///
/// # Errors
///
/// When they do not all arrive or are others.
pub fn upload(target: &Target, amount: u64) -> io::Result<Transfer> {
    let expected = digest_of_stream(amount);
    let start = Instant::now();
    let mut response = Request {
        method: "POST",
        path: "/upload",
        body: amount,
    }
    .send(target)?;
    let first_byte = start.elapsed();
    let body = response.body_text()?;
    match body == expected {
        true => Ok(Transfer {
            first_byte,
            total: start.elapsed(),
            bytes: amount,
        }),
        false => Err(wrong("the hash of the upload is wrong")),
    }
}

/// Downloads for some time.
///
/// # Errors
///
/// When the stream breaks off.
pub fn stream_down(target: &Target, time: Duration) -> io::Result<Transfer> {
    let start = Instant::now();
    let mut response = Request::get(&format!("/bytes/{}", u64::MAX / 2)).send(target)?;
    let first_byte = start.elapsed();
    let bytes = response.read_body(|_| start.elapsed() < time)?;
    Ok(Transfer {
        first_byte,
        total: start.elapsed(),
        bytes,
    })
}

/// Uploads for some time.
///
/// # Errors
///
/// When the stream breaks off.
pub fn stream_up(target: &Target, time: Duration) -> io::Result<Transfer> {
    let start = Instant::now();
    let mut stream = connect(target)?;
    let request = Request {
        method: "POST",
        path: "/discard",
        body: u64::MAX / 2,
    };
    stream.write_all(request.head(target).as_bytes())?;
    let first_byte = start.elapsed();
    let mut bytes = 0;
    while start.elapsed() < time {
        stream.write_all(block())?;
        bytes += block().len() as u64;
    }
    Ok(Transfer {
        first_byte,
        total: start.elapsed(),
        bytes,
    })
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    body: u64,
}

impl<'a> Request<'a> {
    const fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            body: 0,
        }
    }

    fn head(&self, target: &Target) -> String {
        let Self { method, path, body } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {target}\r\ncontent-length: {body}\r\n\
             connection: close\r\n\r\n"
        )
    }

    /// Sends the request; returns when the first line of the response is there.
    fn send(&self, target: &Target) -> io::Result<Response> {
        let mut stream = connect(target)?;
        stream.write_all(self.head(target).as_bytes())?;
        let mut left = self.body;
        while left > 0 {
            let part = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(block().len());
            stream.write_all(&block()[..part])?;
            left -= part as u64;
        }
        let mut reader = BufReader::with_capacity(BUFFER, stream);
        let status = read_line(&mut reader)?;
        if status.split(' ').nth(1) != Some("200") {
            return Err(wrong(&format!("the server answers {status:?}")));
        }
        let mut length = None;
        loop {
            let line = read_line(&mut reader)?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        let length = length.ok_or_else(|| wrong("the response has no length"))?;
        Ok(Response { reader, length })
    }
}

struct Response {
    reader: BufReader<TcpStream>,
    length: u64,
}

impl Response {
    /// Reads the body until its end or until `each` says no more; returns how much it was.
    fn read_body(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
        let mut read = 0;
        while read < self.length {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = bytes.len();
            let more = each(bytes);
            self.reader.consume(length);
            read += length as u64;
            if !more {
                break;
            }
        }
        Ok(read)
    }

    /// A short body.
    fn body_text(&mut self) -> io::Result<String> {
        let mut text = String::new();
        let length = self.length.min(MAX_LINE);
        (&mut self.reader).take(length).read_to_string(&mut text)?;
        Ok(text)
    }
}

fn connect(target: &Target) -> io::Result<TcpStream> {
    let address = SocketAddr::new(target.address()?, HTTP_PORT);
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MAX_LINE).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
