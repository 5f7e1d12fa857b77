//! From nothing to a websocket, and what happens when it does not come to that.

use crate::fake_portal::{
    KEY, Network, OTHER_KEY, channel_of, client, client_with, hiccup, joined, login, quietly, secs,
    timed,
};
use portal_client::{
    Channel, ChannelError, ConnectError, InitialRetries, Party, RetryPolicy, Stage, TokenError, v1,
};
use std::{io, net::IpAddr, time::Duration};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(start_paused = true)]
async fn upgrade_has_the_parameters_and_headers_of_the_specification() {
    let (mut channel, mut portal) = client();
    let socket = joined(&mut channel, &mut portal).await;
    assert_eq!(socket.path, "/client/websocket");
    assert_eq!(socket.query["token"], "s3cr3t-t0ken");
    assert_eq!(socket.query["external_id"], "my-box");
    assert_eq!(socket.query["public_key"], KEY.to_string());
    assert!(!socket.query.contains_key("vsn"));
    let mut headers: Vec<String> = socket
        .headers
        .iter()
        .filter(|(name, _)| *name != "sec-websocket-key")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    assert_eq!(
        headers,
        [
            "connection: Upgrade",
            "host: portal.test",
            "sec-websocket-version: 13",
            "upgrade: websocket",
            "user-agent: Ubuntu/24.4.0 connlib/1.5.2 (x86_64)",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn literal_addresses_of_both_families_are_dialled_as_they_are() {
    for (url, address, host) in [
        (
            "ws://[2001:db8::1]:8081",
            "[2001:db8::1]:8081",
            "[2001:db8::1]",
        ),
        ("ws://198.51.100.1", "198.51.100.1:443", "198.51.100.1"),
    ] {
        let login = login(url, Party::Gateway);
        let (mut channel, mut portal) =
            channel_of::<v1::Gateway>(login.clone(), RetryPolicy::default());
        portal.network.lock().unwrap().addresses = Err(io::ErrorKind::NotFound);
        channel.connect(Some(KEY));
        let dialed = quietly(&mut channel, portal.dialed()).await;
        assert_eq!(dialed.address.to_string(), address);
        drop(dialed);
        let (_, retry_in) = hiccup(&mut channel).await;
        assert_eq!(retry_in, secs(1));
        let socket = joined(&mut channel, &mut portal).await;
        assert_eq!(socket.headers["host"], host);
        assert_eq!(socket.path, "/gateway/websocket");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_swallows_everything_starves_no_other() {
    let (mut channel, mut portal) = client();
    let ip = |last| IpAddr::from([192, 0, 2, last]);
    *portal.network.lock().unwrap() = Network {
        addresses: Ok(vec![ip(1), ip(2), ip(3)]),
        black_holes: vec![ip(1)],
        closed: vec![ip(2)],
        ..Network::default()
    };
    let ((), took) = timed(async {
        joined(&mut channel, &mut portal).await;
    })
    .await;
    assert!(took < secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn every_step_has_a_limit() {
    let (mut channel, portal) = client();
    let ip = IpAddr::from([192, 0, 2, 1]);
    portal.network.lock().unwrap().black_holes = vec![ip];
    let ((error, _), took) = timed(hiccup(&mut channel)).await;
    assert!(
        matches!(
            error,
            ConnectError::Timeout {
                stage: Stage::Tcp,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(took, secs(5));

    portal.network.lock().unwrap().black_holes.clear();
    let ((error, _), took) = timed(hiccup(&mut channel)).await;
    assert!(
        matches!(
            error,
            ConnectError::Timeout {
                stage: Stage::Upgrade,
                ..
            }
        ),
        "{error:?}"
    );
    // A second of backoff comes before it.
    assert_eq!(took, secs(16));
}

#[tokio::test(start_paused = true)]
async fn names_that_do_not_resolve_are_fatal_after_fifteen_seconds() {
    for addresses in [Err(io::ErrorKind::NotFound), Ok(vec![])] {
        let (mut channel, portal) = client();
        portal.network.lock().unwrap().addresses = addresses;
        let (error, took) = timed(async {
            for _ in 0..15 {
                let (error, retry_in) = hiccup(&mut channel).await;
                assert!(error.to_string().contains("portal.test"), "{error}");
                assert_eq!(retry_in, secs(1));
            }
            channel.next().await.unwrap_err()
        })
        .await;
        assert!(matches!(
            error,
            ChannelError::RetriesExhausted(
                ConnectError::Resolve { .. } | ConnectError::NoAddresses { .. }
            )
        ));
        assert_eq!(took, secs(15));
        assert!(matches!(channel.next().await, Err(ChannelError::Ended)));
    }
}

#[tokio::test(start_paused = true)]
async fn only_401_and_403_end_the_session() {
    for status in [302, 400, 402, 404, 409, 422, 429, 500, 503] {
        let (mut channel, mut portal) = client();
        let ((error, retry_in), ()) =
            tokio::join!(hiccup(&mut channel), portal.refuse(status, &[], "text"));
        let ConnectError::Status { status: told, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((told, retry_in), (status, secs(1)));
    }
    let problem = r#"{"code":"invalid_token","detail":"Invalid\ttoken"}"#;
    let json = [("Content-Type", "application/problem+json; charset=utf-8")];
    for (status, headers, body, fault) in [
        (
            401,
            &[][..],
            "Missing token",
            TokenError::Rejected(Some("Missing token".into())),
        ),
        (401, &[], "", TokenError::Rejected(None)),
        (
            401,
            &json,
            problem,
            TokenError::Rejected(Some("Invalid token".into())),
        ),
        (
            403,
            &[],
            "disabled\r\n",
            TokenError::Forbidden(Some("disabled".into())),
        ),
    ] {
        let (mut channel, mut portal) = client();
        let (end, ()) = tokio::join!(channel.next(), portal.refuse(status, headers, body));
        match end {
            Err(ChannelError::TokenInvalid(told)) => assert_eq!(told, fault),
            other => panic!("{:?}", other.err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_is_busy_is_left_alone_for_as_long_as_it_wants() {
    let (mut channel, mut portal) = client();
    for (header, expected) in [
        ("7", secs(7)),
        ("0", Duration::from_millis(500)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Duration::from_millis(500)),
        ("86400", secs(600)),
        ("nonsense", secs(1)),
    ] {
        let headers = [("Retry-After", header)];
        let ((_, retry_in), ()) =
            tokio::join!(hiccup(&mut channel), portal.refuse(503, &headers, ""));
        assert_eq!(retry_in, expected, "{header}");
    }
    joined(&mut channel, &mut portal).await;
}

#[tokio::test(start_paused = true)]
async fn waits_after_a_lost_connection_grow_and_end_with_the_budget() {
    let policy = RetryPolicy {
        budget: Some(secs(60)),
        initial: Some(InitialRetries {
            delay: secs(1),
            attempts: 1,
        }),
        ..RetryPolicy::default()
    };
    let (mut channel, mut portal) = client_with(policy);
    drop(joined(&mut channel, &mut portal).await);
    portal.network.lock().unwrap().closed = vec![IpAddr::from([192, 0, 2, 1])];
    let mut waits = Vec::new();
    let end = loop {
        match channel.next().await {
            Ok(portal_client::ChannelEvent::Reconnecting { retry_in, .. }) => waits.push(retry_in),
            Ok(_) => panic!(),
            Err(end) => break end,
        }
    };
    let mut base = Duration::from_millis(500);
    let (_, full) = waits.split_last().unwrap();
    for wait in full {
        assert!(base <= *wait && *wait <= base * 2, "{waits:?}");
        base = base * 3 / 2;
    }
    assert_eq!(waits.iter().sum::<Duration>(), secs(60));
    let ChannelError::RetriesExhausted(last) = end else {
        panic!("{end:?}")
    };
    assert!(matches!(last, ConnectError::Tcp { .. }), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn joining_makes_the_portal_worth_waiting_for_again() {
    let (mut channel, mut portal) = client();
    for _ in 0..30 {
        drop(joined(&mut channel, &mut portal).await);
        let (_, retry_in) = hiccup(&mut channel).await;
        assert!(retry_in <= secs(1), "{retry_in:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_explicit_connect_does_not_wait() {
    let (mut channel, mut portal) = client();
    let headers = [("Retry-After", "300")];
    tokio::join!(hiccup(&mut channel), portal.refuse(503, &headers, ""));
    channel.connect(None);
    let (socket, took) = timed(joined(&mut channel, &mut portal)).await;
    assert!(took < secs(1), "{took:?}");
    assert_eq!(socket.query["public_key"], KEY.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_fresh_key_closes_the_old_connection_and_lasts() {
    let (mut channel, mut portal) = client();
    let mut old = joined(&mut channel, &mut portal).await;
    channel.connect(Some(OTHER_KEY));
    assert!(!channel.is_joined());
    let new = joined(&mut channel, &mut portal).await;
    assert_eq!(new.query["public_key"], OTHER_KEY.to_string());
    let Some(Ok(Message::Close(Some(frame)))) =
        futures_util::StreamExt::next(&mut old.socket).await
    else {
        panic!("the old connection gets a close frame")
    };
    assert_eq!(u16::from(frame.code), 1000);

    drop(new);
    hiccup(&mut channel).await;
    let later = joined(&mut channel, &mut portal).await;
    assert_eq!(later.query["public_key"], OTHER_KEY.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_key_does_not_even_dial() {
    let login = login("ws://portal.test:8081", Party::Client);
    let (mut channel, _portal): (Channel<v1::Client>, _) =
        channel_of(login, RetryPolicy::default());
    let idle = tokio::time::timeout(secs(3600), channel.next()).await;
    assert!(idle.is_err(), "nothing happens before the first connect");
    channel.connect(None);
    assert!(matches!(
        channel.next().await,
        Err(ChannelError::KeyMissing)
    ));
}

#[tokio::test(start_paused = true)]
async fn the_token_is_in_no_error_and_no_debug_output() {
    let (mut channel, mut portal) = client();
    let refusals = async {
        for status in [500, 404] {
            portal.refuse(status, &[], "").await;
        }
        drop(portal.dialed().await);
        portal.refuse(401, &[], "").await;
    };
    let errors = async {
        let mut texts = vec![format!("{channel:?}")];
        for _ in 0..3 {
            let (error, _) = hiccup(&mut channel).await;
            texts.push(format!("{error} {error:?}"));
        }
        let end = channel.next().await.unwrap_err();
        texts.push(format!("{end} {end:?}"));
        texts
    };
    let (texts, ()) = tokio::join!(errors, refusals);
    for text in texts {
        assert!(
            !text.contains("s3cr3t") && !text.contains("public_key"),
            "{text}"
        );
    }
}
