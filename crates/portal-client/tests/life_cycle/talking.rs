//! A channel that is up: messages, heartbeats, and what the websocket brings beside them.

use crate::fake_portal::{client, hiccup, joined, quietly, secs, timed};
use model::{Candidate, GatewayId, ResourceId};
use portal_client::{ChannelEvent, ConnectError, MAX_MESSAGE, Sent, v1::client as wire};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

fn wish() -> wire::ToPortal {
    wire::ToPortal::CreateFlow {
        resource_id: ResourceId::from_bytes([3; 16]),
        connected_gateway_ids: BTreeSet::new(),
    }
}

fn candidate(port: u16) -> wire::ToPortal {
    let candidate: Candidate = format!("candidate:77 1 udp 5 203.0.113.30 {port} typ host")
        .parse()
        .unwrap();
    wire::ToPortal::BroadcastIceCandidates(wire::CandidatesForGateways {
        gateway_ids: vec![GatewayId::from_bytes([2; 16])],
        candidates: vec![candidate],
    })
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_in_order_and_odd_ones_are_counted() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    let first = "33333333-3333-4333-8333-333333333331";
    let second = "33333333-3333-4333-8333-333333333332";
    socket.push("resource_deleted", json!(first)).await;
    for text in ["nonsense", r#"{"topic":"client","event":"ini"#, "[]"] {
        socket.text(text).await;
    }
    socket.raw(Message::binary(b"\xff\xfe".to_vec())).await;
    socket.push("weather", json!({})).await;
    socket.push("resource_deleted", json!({"id": first})).await;
    socket.push("resource_deleted", json!(second)).await;
    for expected in [first, second] {
        match channel.next().await {
            Ok(ChannelEvent::Message(wire::FromPortal::ResourceDeleted(id))) => {
                assert_eq!(id.to_string(), expected);
            }
            other => panic!("{:?}", other.err()),
        }
    }
    let drops = channel.drops();
    assert_eq!((drops.binary, drops.malformed_frames), (1, 3));
    assert_eq!((drops.malformed_messages, drops.unknown_events), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_empty_frame_makes_the_channel_connect_anew() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    socket.text("").await;
    let (error, _) = hiccup(&mut channel).await;
    assert!(matches!(error, ConnectError::EmptyFrame), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_flow_every_ten_seconds_whatever_else_is_said() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    let ((), took) = timed(async {
        for _ in 0..60 {
            channel.send(wish());
            let wish = quietly(&mut channel, socket.any_frame()).await;
            assert_eq!(wish.event, "create_flow");
            let beat = quietly(&mut channel, socket.any_frame()).await;
            assert_eq!(
                (beat.topic.as_str(), beat.event.as_str()),
                ("phoenix", "heartbeat")
            );
            assert_eq!(beat.payload, json!({}));
            socket.reply(&beat, Ok(())).await;
        }
    })
    .await;
    assert_eq!(took, secs(600));
    socket.barrier(&mut channel).await;
    assert!(channel.is_joined());
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_falls_silent_is_noticed_after_forty_seconds() {
    let (mut channel, mut portal) = client();
    let _socket = joined(&mut channel, &mut portal).await;
    let ((error, _), took) = timed(hiccup(&mut channel)).await;
    assert!(matches!(error, ConnectError::Silent), "{error:?}");
    assert_eq!(took, secs(40));
}

#[tokio::test(start_paused = true)]
async fn one_answer_stands_for_all_heartbeats_before_it() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    for _ in 0..4 {
        let mut last = None;
        for _ in 0..3 {
            last = Some(quietly(&mut channel, socket.any_frame()).await);
        }
        socket.reply(&last.unwrap(), Ok(())).await;
    }
    socket.barrier(&mut channel).await;
    assert!(channel.is_joined());
}

#[tokio::test(start_paused = true)]
async fn what_may_wait_goes_out_after_the_join_and_the_rest_does_not() {
    let (mut channel, mut portal) = client();
    assert_eq!(channel.send(candidate(1)), Sent::Held);
    assert_eq!(channel.send(wish()), Sent::Dropped);
    assert_eq!(channel.send(candidate(1)), Sent::Held);
    assert_eq!(channel.send(candidate(2)), Sent::Held);
    let mut socket = joined(&mut channel, &mut portal).await;
    // Said at once after the join, it goes before what has waited.
    assert_eq!(channel.send(wish()), Sent::Queued);
    for (event, port) in [
        ("create_flow", None),
        ("broadcast_ice_candidates", Some("1")),
        ("broadcast_ice_candidates", Some("2")),
    ] {
        let frame = quietly(&mut channel, socket.frame()).await;
        assert_eq!(frame.event, event);
        let candidate = frame.payload["candidates"][0].as_str();
        assert_eq!(candidate.map(|text| text.split(' ').nth(5).unwrap()), port);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_makes_old_candidates_worthless() {
    let (mut channel, mut portal) = client();
    channel.send(candidate(1));
    channel.connect(Some(crate::fake_portal::OTHER_KEY));
    channel.send(candidate(2));
    let mut socket = joined(&mut channel, &mut portal).await;
    let frame = quietly(&mut channel, socket.frame()).await;
    let text = frame.payload["candidates"][0].as_str().unwrap();
    assert!(text.contains(" 2 typ host"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_does_not_read_fills_no_memory() {
    let (mut channel, mut portal) = client();
    portal.network.lock().unwrap().capacity = 512;
    let mut socket = joined(&mut channel, &mut portal).await;
    let queued = (0..10_000)
        .filter(|_| channel.send(wish()) == Sent::Queued)
        .count();
    assert!((1..=512).contains(&queued), "{queued}");
    for port in 0..10_000 {
        assert_eq!(channel.send(candidate(port)), Sent::Held);
    }
    // Once it reads, the newest candidates come out.
    let last = quietly(&mut channel, async {
        loop {
            let frame = socket.frame().await;
            let text = frame.payload["candidates"][0].as_str();
            if text.is_some_and(|text| text.contains(" 9999 ")) {
                return frame;
            }
        }
    })
    .await;
    assert!(last.reference.unwrap() < 1_000);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_and_pongs_ignored() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    socket.raw(Message::Pong("p".into())).await;
    socket.raw(Message::Ping("who".into())).await;
    socket.raw(Message::Ping("".into())).await;
    socket.barrier(&mut channel).await;
    let pong = quietly(
        &mut channel,
        futures_util::StreamExt::next(&mut socket.socket),
    )
    .await;
    assert!(matches!(pong, Some(Ok(Message::Pong(_)))), "{pong:?}");
    assert!(channel.is_joined());
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_is_echoed_and_its_reason_told() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    let frame = CloseFrame {
        code: CloseCode::Restart,
        reason: "deploy\n".into(),
    };
    socket.raw(Message::Close(Some(frame.clone()))).await;
    let (error, _) = hiccup(&mut channel).await;
    let ConnectError::Closed { code, reason } = error else {
        panic!("{error:?}")
    };
    assert_eq!((code, reason.as_str()), (1012, "deploy"));
    let echo = futures_util::StreamExt::next(&mut socket.socket).await;
    assert!(matches!(echo, Some(Ok(Message::Close(Some(echo)))) if echo.code == frame.code));
    assert!(socket.ends_within(secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn oversized_messages_break_the_connection_and_no_more() {
    let (mut channel, mut portal) = client();
    let mut socket = joined(&mut channel, &mut portal).await;
    let flood = async {
        // The channel hangs up on it, so sending may fail.
        let text = "x".repeat(MAX_MESSAGE + 1);
        drop(futures_util::SinkExt::send(&mut socket.socket, Message::text(text)).await);
    };
    let ((error, _), ()) = tokio::join!(hiccup(&mut channel), flood);
    assert!(matches!(error, ConnectError::Websocket { .. }), "{error:?}");
    joined(&mut channel, &mut portal).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_waiting_is_interrupted_all_the_time() {
    let (mut channel, mut portal) = client();
    let serving = tokio::spawn(async move {
        let mut socket = portal.accept().await;
        socket.let_in().await;
        for number in 0..50_u8 {
            let id = ResourceId::from_bytes([number; 16]);
            socket.push("resource_deleted", json!(id)).await;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        socket
    });
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let brief = tokio::time::timeout(Duration::from_millis(1), channel.next()).await;
        if let Ok(Ok(ChannelEvent::Message(wire::FromPortal::ResourceDeleted(id)))) = brief {
            seen.push(id.as_bytes()[0]);
        }
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    drop(serving.await);
}
