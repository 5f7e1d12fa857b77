//! Sends datagrams back.

use tokio::net::UdpSocket;

/// Sends back whatever comes.
pub(crate) async fn serve(socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // Whoever is gone needs no echo.
            drop(socket.send_to(&buffer[..length], from).await);
        }
    }
}
