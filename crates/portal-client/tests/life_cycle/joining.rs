//! Being let in, being kept waiting, being thrown out.

use crate::fake_portal::{channel_of, client, hiccup, joined, login, quietly, secs, timed};
use portal_client::{
    ChannelError, ChannelEvent, ConnectError, Party, RetryPolicy, Sent, TokenError, v1,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn wish() -> v1::client::ToPortal {
    v1::client::ToPortal::CreateFlow {
        resource_id: model::ResourceId::from_bytes([3; 16]),
        connected_gateway_ids: BTreeSet::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn join_is_the_first_frame_and_has_the_payload_of_the_party() {
    let (mut channel, mut portal) = client();
    let join = quietly(&mut channel, async {
        portal.accept().await.any_frame().await
    })
    .await;
    assert_eq!(
        join.emit(),
        r#"{"topic":"client","event":"phx_join","payload":null,"ref":0}"#
    );

    let relay = Party::Relay {
        ipv4: Some([192, 0, 2, 9].into()),
        ipv6: None,
        port: 3478,
        stamp_secret: "stamp".into(),
    };
    let login = login("ws://portal.test:8081", relay);
    let (mut channel, mut portal) = channel_of::<v1::Relay>(login, RetryPolicy::default());
    channel.connect(None);
    let (event, socket) = tokio::join!(channel.next(), async {
        let mut socket = portal.accept().await;
        let join = socket.frame().await;
        assert_eq!(join.topic, "relay");
        assert_eq!(join.payload, json!({"stamp_secret": "stamp"}));
        socket.reply(&join, Ok(())).await;
        socket
    });
    assert!(matches!(event, Ok(ChannelEvent::Joined)));
    assert_eq!(socket.path, "/relay/websocket");
    assert_eq!(socket.query["ipv4"], "192.0.2.9");
    assert!(!socket.query.contains_key("public_key"));
}

#[tokio::test(start_paused = true)]
async fn nothing_but_heartbeats_is_said_before_the_join_is_answered() {
    let (mut channel, mut portal) = client();
    let mut socket = quietly(&mut channel, portal.accept()).await;
    assert_eq!(channel.send(wish()), Sent::Dropped);
    let join = quietly(&mut channel, socket.any_frame()).await;
    assert_eq!(join.event, "phx_join");
    let silence = tokio::time::timeout(secs(4), socket.any_frame());
    assert!(quietly(&mut channel, silence).await.is_err());
    socket.reply(&join, Ok(())).await;
    assert!(matches!(channel.next().await, Ok(ChannelEvent::Joined)));
    assert_eq!(channel.send(wish()), Sent::Queued);
    let frame = quietly(&mut channel, socket.frame()).await;
    assert_eq!(
        (frame.event.as_str(), frame.reference),
        ("create_flow", Some(1))
    );
}

#[tokio::test(start_paused = true)]
async fn references_start_over_with_each_connection() {
    let (mut channel, mut portal) = client();
    for _ in 0..2 {
        let mut socket = joined(&mut channel, &mut portal).await;
        channel.send(wish());
        let frame = quietly(&mut channel, socket.frame()).await;
        assert_eq!(frame.reference, Some(1));
        drop(socket);
        hiccup(&mut channel).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_join_is_given_up_after_five_seconds() {
    let (mut channel, mut portal) = client();
    let _socket = quietly(&mut channel, portal.accept()).await;
    let ((error, _), took) = timed(hiccup(&mut channel)).await;
    assert!(matches!(error, ConnectError::JoinTimeout), "{error:?}");
    assert_eq!(took, secs(5));
    joined(&mut channel, &mut portal).await;
}

#[tokio::test(start_paused = true)]
async fn refused_joins_are_final() {
    for (reason, token) in [
        ("disabled", false),
        ("invalid_version", false),
        ("unmatched topic", false),
        ("token_expired", true),
    ] {
        let (mut channel, mut portal) = client();
        let (end, _socket) = tokio::join!(channel.next(), async {
            let mut socket = portal.accept().await;
            let join = socket.frame().await;
            socket.reply(&join, Err(reason)).await;
            socket
        });
        match end {
            Err(ChannelError::JoinRefused(told)) => {
                assert_eq!((told.as_str(), token), (reason, false));
            }
            Err(ChannelError::TokenInvalid(TokenError::Expired)) => assert!(token, "{reason}"),
            other => panic!("{reason}: {:?}", other.err()),
        }
        channel.connect(None);
        assert!(matches!(channel.next().await, Err(ChannelError::Ended)));
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_none_leave_the_join_open() {
    let (mut channel, mut portal) = client();
    let mut socket = quietly(&mut channel, portal.accept()).await;
    let join = quietly(&mut channel, socket.frame()).await;
    let reply = |payload: Value, reference: Value| {
        json!({"topic": "client", "event": "phx_reply", "payload": payload, "ref": reference})
            .to_string()
    };
    let ok = json!({"status": "ok", "response": {}});
    let odd = json!({"status": "error", "response": {"reason": 5}});
    for text in [
        reply(ok.clone(), json!(null)),
        reply(ok.clone(), json!("0")),
        reply(ok, json!(17)),
        reply(odd, json!(0)),
    ] {
        socket.text(&text).await;
    }
    socket.barrier(&mut channel).await;
    assert!(!channel.is_joined());
    assert_eq!(channel.drops().malformed_frames, 3);
    socket.reply(&join, Ok(())).await;
    assert!(matches!(channel.next().await, Ok(ChannelEvent::Joined)));
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_has_lost_the_channel_is_joined_again_on_the_same_socket() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    channel.send(wish());
    let frame = quietly(&mut channel, socket.frame()).await;
    socket.reply(&frame, Err("unmatched topic")).await;
    let join = quietly(&mut channel, socket.frame()).await;
    assert_eq!((join.event.as_str(), join.reference), ("phx_join", Some(2)));
    assert_eq!(channel.send(wish()), Sent::Dropped);
    // The end of the channel that was there before is not the end of the new one.
    socket.push("phx_close", json!({})).await;
    socket.reply(&frame, Err("unmatched topic")).await;
    socket.reply(&join, Ok(())).await;
    assert!(matches!(channel.next().await, Ok(ChannelEvent::Joined)));
    assert_eq!(channel.send(wish()), Sent::Queued);
}

#[tokio::test(start_paused = true)]
async fn other_refusals_change_nothing() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    channel.send(wish());
    let frame = quietly(&mut channel, socket.frame()).await;
    socket.reply(&frame, Err("unknown_message")).await;
    socket.barrier(&mut channel).await;
    assert!(channel.is_joined());
}

#[tokio::test(start_paused = true)]
async fn only_an_expired_token_makes_a_disconnect_final() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    for payload in [
        json!({"reason": "certificate_revoked"}),
        json!({"reason": 1}),
        json!({}),
    ] {
        socket.push("disconnect", payload).await;
    }
    socket.barrier(&mut channel).await;
    assert!(channel.is_joined());
    socket
        .push("disconnect", json!({"reason": "token_expired", "extra": 1}))
        .await;
    let end = channel.next().await;
    assert!(matches!(
        end,
        Err(ChannelError::TokenInvalid(TokenError::Expired))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_closed_channel_is_reopened_and_a_crashed_one_is_not() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    socket.push("phx_error", json!({})).await;
    socket.push("phx_close", json!({"extra": 1})).await;
    socket.barrier(&mut channel).await;
    assert!(channel.is_joined());
    socket.push("phx_close", json!({})).await;
    let (error, _) = hiccup(&mut channel).await;
    assert!(matches!(error, ConnectError::ChannelClosed), "{error:?}");
    joined(&mut channel, &mut portal).await;
}
