//! Secure sessions: who is trusted and who is not.

use crate::fake_portal::{KEY, channel_of, hiccup, login};
use portal_client::{Channel, ChannelEvent, ConnectError, Login, Party, RetryPolicy, v1};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A root that signed `leaf.pem`, whose names are `portal.test` and `::1`; valid for 100 years.
const ROOT: &[u8] = include_bytes!("../tls/ca.pem");

fn acceptor() -> TlsAcceptor {
    let leaf = CertificateDer::from_pem_slice(include_bytes!("../tls/leaf.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tls/leaf.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The first thing the channel tells when it dials a portal with the certificate above.
async fn outcome(login: Login) -> Result<(), ConnectError> {
    let (mut channel, mut portal): (Channel<v1::Client>, _) =
        channel_of(login, RetryPolicy::default());
    channel.connect(Some(KEY));
    let serving = async {
        let dialed = portal.dialed().await;
        let Ok(stream) = acceptor().accept(dialed.stream).await else {
            return;
        };
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        futures_util::StreamExt::next(&mut socket).await;
        let reply = r#"{"topic":"client","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":0}"#;
        futures_util::SinkExt::send(&mut socket, reply.into())
            .await
            .unwrap();
    };
    let told = async {
        match channel.next().await {
            Ok(ChannelEvent::Joined) => Ok(()),
            Ok(ChannelEvent::Reconnecting { error, .. }) => Err(error),
            _ => panic!(),
        }
    };
    let (told, ()) = tokio::join!(told, serving);
    told
}

#[tokio::test]
async fn extra_roots_are_trusted_for_names_and_addresses() {
    let der = CertificateDer::from_pem_slice(ROOT).unwrap().to_vec();
    for root in [ROOT.to_vec(), der] {
        for url in ["wss://portal.test:8443", "wss://[::1]:8443"] {
            let login = login(url, Party::Client)
                .trusting(std::slice::from_ref(&root))
                .unwrap();
            assert!(outcome(login).await.is_ok(), "{url}");
        }
    }
}

#[tokio::test]
async fn unknown_roots_and_other_names_are_not_trusted_and_tried_again() {
    let stranger = login("wss://portal.test:8443", Party::Client);
    let misnamed = login("wss://other.test:8443", Party::Client)
        .trusting(&[ROOT.to_vec()])
        .unwrap();
    for login in [stranger, misnamed] {
        let host = login.host();
        let error = outcome(login).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains(&host));
    }
}

#[tokio::test]
async fn a_portal_without_tls_is_told_apart() {
    let (mut channel, mut portal): (Channel<v1::Client>, _) = channel_of(
        login("wss://portal.test:8443", Party::Client),
        RetryPolicy::default(),
    );
    channel.connect(Some(KEY));
    let plain = async {
        let mut dialed = portal.dialed().await;
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut dialed.stream, answer)
            .await
            .unwrap();
        dialed
    };
    let ((error, _), _dialed) = tokio::join!(hiccup(&mut channel), plain);
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
}
