//! A small HTTP/1.1 server.
//!
//! * `GET /` says who asks, as text;
//! * `GET /bytes/N` sends N bytes, always the same;
//! * `POST /upload` answers with the SHA-256 of the body in hexadecimal;
//! * `POST /discard` answers with the length of the body.

use ring::digest::{Context, SHA256};
use std::{io, sync::LazyLock};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Length of what is repeated in streams, in bytes.
const BLOCK: usize = 65_536;

/// The longest head of a request, in bytes.
const MAX_HEAD: u64 = 16 * 1024;

/// What streams of bytes repeat: it looks random, so that nothing can compress it or hide a
/// missing part.
pub(crate) fn block() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.take(BLOCK / 8).flatten().collect()
    });
    &BYTES
}

/// The digest of the first bytes of a stream, in hexadecimal.
pub(crate) fn digest_of_stream(length: u64) -> String {
    let mut digest = Context::new(&SHA256);
    let mut left = length;
    while left > 0 {
        let part = part(left);
        digest.update(&block()[..part]);
        left -= part as u64;
    }
    hex(digest.finish().as_ref())
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How much of a block is left to send.
fn part(left: u64) -> usize {
    usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)
}

/// Serves connections.
pub(crate) async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(converse(stream));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The part of a request that matters.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    path: String,
    length: u64,
}

async fn converse(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?.ip().to_canonical();
    let mut stream = BufReader::with_capacity(BLOCK, stream);
    while let Some(head) = read_head(&mut stream).await? {
        let amount = head
            .path
            .strip_prefix("/bytes/")
            .and_then(|n| n.parse().ok());
        match (head.method.as_str(), head.path.as_str(), amount) {
            ("GET", "/", _) => answer(&mut stream, "200 OK", &format!("{peer}\n")).await?,
            ("GET", _, Some(amount)) => send_bytes(&mut stream, amount).await?,
            ("POST", "/upload", _) => {
                let mut digest = Context::new(&SHA256);
                receive(&mut stream, head.length, |bytes| digest.update(bytes)).await?;
                answer(&mut stream, "200 OK", &hex(digest.finish().as_ref())).await?;
            }
            ("POST", "/discard", _) => {
                receive(&mut stream, head.length, |_| {}).await?;
                answer(&mut stream, "200 OK", &head.length.to_string()).await?;
            }
            _ => answer(&mut stream, "404 Not Found", "there is no such thing\n").await?,
        }
    }
    Ok(())
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut text = String::new();
    let mut limited = stream.take(MAX_HEAD);
    while !text.ends_with("\r\n\r\n") {
        if limited.read_line(&mut text).await? == 0 {
            return Ok(None);
        }
    }
    Ok(parse_head(&text))
}

fn parse_head(text: &str) -> Option<Head> {
    let mut lines = text.lines();
    let mut request = lines.next()?.split(' ');
    let (method, path) = (request.next()?.to_owned(), request.next()?.to_owned());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    Some(Head {
        method,
        path,
        length: length.unwrap_or(0),
    })
}

async fn answer(stream: &mut BufReader<TcpStream>, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await
}

async fn send_bytes(stream: &mut BufReader<TcpStream>, amount: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {amount}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut left = amount;
    while left > 0 {
        let part = part(left);
        stream.write_all(&block()[..part]).await?;
        left -= part as u64;
    }
    Ok(())
}

async fn receive(
    stream: &mut BufReader<TcpStream>,
    length: u64,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let bytes = stream.fill_buf().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let used = part(left).min(bytes.len());
        each(&bytes[..used]);
        stream.consume(used);
        left -= used as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_understood() {
        let text = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";
        let expected = Head {
            method: "POST".into(),
            path: "/upload".into(),
            length: 12,
        };
        assert_eq!(parse_head(text), Some(expected));
        assert_eq!(parse_head("GET\r\n\r\n"), None);
        assert_eq!(parse_head(""), None);
    }

    #[test]
    fn the_digest_of_a_stream_is_that_of_its_bytes() {
        for length in [0, 1, 65_536, 100_000] {
            let bytes: Vec<u8> = block().iter().copied().cycle().take(length).collect();
            let expected = hex(ring::digest::digest(&SHA256, &bytes).as_ref());
            assert_eq!(digest_of_stream(length as u64), expected);
        }
    }
}
