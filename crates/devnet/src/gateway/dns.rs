//! The DNS server for clients that ask inside a site. spec: data-plane 15.6

use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
};

/// Port of the server on the gateway's tunnel addresses.
pub(super) const PORT: u16 = 53535;

/// How long a name server may take before the next one is asked.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Queries at a time.
const MAX_QUERIES: usize = 1000;

/// Serves one address until the task is dropped.
pub(super) async fn serve(address: SocketAddr) -> io::Result<()> {
    let udp = Arc::new(UdpSocket::bind(address).await?);
    let tcp = TcpListener::bind(address).await?;
    let permits = Arc::new(Semaphore::new(MAX_QUERIES));
    let mut buffer = vec![0; 1500];
    let mut queries = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            received = udp.recv_from(&mut buffer) => {
                let (length, from) = received?;
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
                let (udp, query) = (Arc::clone(&udp), buffer[..length].to_vec());
                queries.spawn(async move {
                    if let Err(error) = udp.send_to(&answer(&query, servers(), over_udp).await, from).await {
                        tracing::debug!(%error, "An answer is lost");
                    }
                    drop(permit);
                });
            }
            accepted = tcp.accept() => {
                let (stream, _) = accepted?;
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
                queries.spawn(async move {
                    if let Err(error) = serve_stream(stream).await {
                        tracing::debug!(%error, "A connection ended");
                    }
                    drop(permit);
                });
            }
            Some(_) = queries.join_next() => {}
        }
    }
}

async fn serve_stream(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let query = tokio::time::timeout(10 * TIMEOUT, read_message(&mut stream)).await??;
        let reply = answer(&query, servers(), over_tcp).await;
        write_message(&mut stream, &reply).await?;
    }
}

/// The first usable answer among the name servers; else "server failure".
async fn answer<F: Future<Output = io::Result<Vec<u8>>>>(
    query: &[u8],
    servers: Vec<SocketAddr>,
    ask: impl Fn(SocketAddr, Vec<u8>) -> F,
) -> Vec<u8> {
    const SERVER_FAILURE: u8 = 2;
    for server in servers {
        match tokio::time::timeout(TIMEOUT, ask(server, query.to_vec())).await {
            Ok(Ok(reply)) if reply.get(..2) == query.get(..2) => return reply,
            Ok(Ok(_) | Err(_)) | Err(_) => tracing::debug!("A name server gave no answer"),
        }
    }
    let mut reply = query.to_vec();
    if let Some(flags) = reply.get_mut(2..4) {
        flags[0] |= 0x80;
        flags[1] = 0x80 | SERVER_FAILURE;
    }
    reply
}

async fn over_udp(server: SocketAddr, query: Vec<u8>) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&query).await?;
    let mut reply = vec![0; 1500];
    let length = socket.recv(&mut reply).await?;
    reply.truncate(length);
    Ok(reply)
}

async fn over_tcp(server: SocketAddr, query: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, &query).await?;
    read_message(&mut stream).await
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await
}

/// The name servers of this host; it may change them at any time.
fn servers() -> Vec<SocketAddr> {
    name_servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// The servers that the text of a resolv.conf names.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        Some(SocketAddr::new(address.parse().ok()?, 53))
    };
    text.lines().filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = &[0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    fn server(n: u8) -> SocketAddr {
        ([192, 0, 2, n], 53).into()
    }

    /// Server 1 fails, 2 is silent, 3 answers something else, 4 answers.
    async fn ask(server: SocketAddr, query: Vec<u8>) -> io::Result<Vec<u8>> {
        match server.to_string().as_str() {
            "192.0.2.1:53" => Err(io::ErrorKind::ConnectionRefused.into()),
            "192.0.2.2:53" => std::future::pending().await,
            "192.0.2.3:53" => Ok([&[0, 0], &query[2..]].concat()),
            _ => Ok([&query, &b"answer"[..]].concat()),
        }
    }

    #[test]
    fn name_servers_are_those_of_the_file() {
        let text = "# nameserver 192.0.2.9\nsearch a.test\nnameserver 192.0.2.1\n\
            nameserver\nnameserver nonsense\n\tnameserver  2001:db8::1  # second\n";
        let found = name_servers(text);
        assert_eq!(found, [server(1), "[2001:db8::1]:53".parse().unwrap()]);
        assert!(name_servers("").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_server_that_answers_the_question_decides() {
        for servers in [&[4][..], &[1, 4], &[2, 4], &[3, 4], &[1, 2, 3, 4, 1]] {
            let servers = servers.iter().map(|&n| server(n)).collect();
            assert_eq!(
                answer(QUERY, servers, ask).await,
                [QUERY, b"answer"].concat()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_answer_the_server_fails() {
        for servers in [vec![], vec![server(1), server(2), server(3)]] {
            let reply = answer(QUERY, servers, ask).await;
            assert_eq!(reply, [0xab, 0xcd, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        assert_eq!(answer(&[1], vec![], ask).await, [1]);
    }

    #[tokio::test]
    async fn both_transports_of_a_server_answer() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("[::1]:0").await.unwrap();
        let addresses = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let served = async {
            let mut buffer = [0; 100];
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            udp.send_to(&buffer[..length], from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let query = read_message(&mut stream).await.unwrap();
            write_message(&mut stream, &query).await.unwrap();
        };
        let asked = async {
            assert_eq!(over_udp(addresses.0, QUERY.to_vec()).await.unwrap(), QUERY);
            assert_eq!(over_tcp(addresses.1, QUERY.to_vec()).await.unwrap(), QUERY);
        };
        tokio::join!(served, asked);
    }
}
