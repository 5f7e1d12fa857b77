//! Both halves of a conversation, and a GUI that says anything at all.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use proptest::prelude::*;
use service_ipc::{
    Client, Connect, Fault, Generation, HELLO_TIME, Hello, Resources, Server, ToGui, ToService,
    control::{Answer, Ask, Status},
    receive_one, send_one,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

fn hello() -> ToGui {
    ToGui::Hello(Some(Box::new(Hello {
        firezone_id: "5b0f".into(),
        ..Hello::default()
    })))
}

async fn pair(generation: Generation) -> (Server<DuplexStream>, Client<DuplexStream>) {
    let (ours, theirs) = duplex(64);
    let mut server = Server::new(ours, generation);
    server.send(&hello()).unwrap();
    let (flushed, client) = tokio::join!(server.flush(), Client::open(theirs));
    flushed.unwrap();
    (server, client.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_gui_of_either_generation_is_greeted_and_understood() {
    for generation in Generation::ALL {
        let (mut server, mut client) = pair(generation).await;
        assert_eq!(client.generation(), generation);
        let id = client.hello().map(|hello| hello.firezone_id.as_str());
        assert_eq!(id, (generation == Generation::August2026).then_some("5b0f"));

        client
            .send(&ToService::Connect(Connect::new("token".into())))
            .unwrap();
        client.send(&ToService::Disconnect).unwrap();
        let receive = async {
            let first = server.next().await.unwrap().unwrap();
            assert!(matches!(first, ToService::Connect(_)), "{first:?}");
            let second = server.next().await.unwrap().unwrap();
            assert!(matches!(second, ToService::Disconnect), "{second:?}");
        };
        let (flushed, ()) = tokio::join!(client.flush(), receive);
        flushed.unwrap();

        let messages = [
            ToGui::ConnectResult(Err("no".into())),
            ToGui::OnUpdateResources(Resources::default()),
            ToGui::OnDisconnect {
                error_msg: "over".into(),
                requires_sign_in: true,
            },
            ToGui::TerminatingGracefully,
        ];
        for message in &messages {
            server.send(message).unwrap();
        }
        let receive = async {
            for message in messages.clone() {
                assert_eq!(client.next().await.unwrap(), Some(message));
            }
        };
        let (flushed, ()) = tokio::join!(server.flush(), receive);
        flushed.unwrap();
        drop(server);
        assert!(client.next().await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_knows_whether_all_is_sent() {
    for generation in Generation::ALL {
        let (mut server, _client) = pair(generation).await;
        assert_eq!(server.generation(), generation);
        assert!(server.is_flushed());
        server.send(&ToGui::DisconnectedGracefully).unwrap();
        assert!(!server.is_flushed());
        server.flush().await.unwrap();
        assert!(server.is_flushed());
    }
}

#[tokio::test(start_paused = true)]
async fn neither_half_prints_what_waits_to_be_sent() {
    let (mut server, mut client) = pair(Generation::July2025).await;
    let connect = Connect::new("a-very-secret-token".into());
    client.send(&ToService::Connect(connect)).unwrap();
    let error = ToGui::ConnectResult(Err("a-very-secret-reason".into()));
    server.send(&error).unwrap();
    for printed in [format!("{server:?}"), format!("{client:?}")] {
        assert!(printed.contains("July2025"), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_older_generation_lacks_is_left_out() {
    let (mut server, mut client) = pair(Generation::July2025).await;
    server
        .send(&ToGui::AdvancedSettingsApplied(Err("no".into())))
        .unwrap();
    server.send(&ToGui::DisconnectedGracefully).unwrap();
    let (flushed, received) = tokio::join!(server.flush(), client.next());
    flushed.unwrap();
    assert_eq!(received.unwrap(), Some(ToGui::DisconnectedGracefully));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_greet_is_given_up() {
    let (_busy, theirs) = duplex(64);
    let fault = Client::open(theirs).await.unwrap_err();
    assert!(matches!(fault, Fault::NoHello(HELLO_TIME)), "{fault}");

    let (refusing, theirs) = duplex(64);
    drop(refusing);
    let fault = Client::open(theirs).await.unwrap_err();
    assert!(matches!(fault, Fault::Refused), "{fault}");

    for wrong in [
        &b"\0\0\0\x02{}"[..],
        b"\0\0\0\x18\"DisconnectedGracefully\"",
    ] {
        let (mut stranger, theirs) = duplex(64);
        stranger.write_all(wrong).await.unwrap();
        let fault = Client::open(theirs).await.unwrap_err();
        assert!(matches!(fault, Fault::Refused), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gui_that_does_not_read_is_not_listened_to() {
    let (ours, mut gui) = duplex(32);
    let mut server = Server::new(ours, Generation::August2026);
    server.send(&hello()).unwrap();
    gui.write_all(b"\0\0\0\x0c\"Disconnect\"").await.unwrap();
    let fault = server.next().await.unwrap_err();
    assert!(matches!(fault, Fault::Stalled(_)), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn bytes_on_the_wire_are_those_of_the_specification() {
    let (mut wire, ours) = duplex(256);
    let mut server = Server::new(ours, Generation::July2025);
    server.send(&ToGui::Hello(None)).unwrap();
    server.flush().await.unwrap();
    let mut bytes = [0; 11];
    wire.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"\0\0\0\x07\"Hello\"");
    wire.write_all(b"\0\0\0\x0c\"Disconnect\"").await.unwrap();
    let received = server.next().await.unwrap();
    assert!(matches!(received, Some(ToService::Disconnect)));
}

#[tokio::test(start_paused = true)]
async fn faults_do_not_quote_what_was_received() {
    for payload in [
        r#"{"Connect":"a-very-secret-token"}"#,
        r#"{"Connect":{"token":"a-very-secret-token","api_url":"a-very-secret-token"}}"#,
        r#"{"a-very-secret-token":1}"#,
    ] {
        let (mut wire, ours) = duplex(256);
        let mut server = Server::new(ours, Generation::August2026);
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        wire.write_all(&[&length, payload.as_bytes()].concat())
            .await
            .unwrap();
        let fault = server.next().await.unwrap_err();
        assert!(matches!(fault, Fault::Malformed(_)), "{fault}");
        let shown = format!("{fault} {fault:?}");
        assert!(!shown.contains("a-very-secret-token"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_gets_an_answer() {
    let (mut ours, mut theirs) = duplex(64);
    let asked = async {
        send_one(&mut theirs, &Ask::Status).await.unwrap();
        receive_one::<_, Answer>(&mut theirs).await.unwrap()
    };
    let answered = async {
        let ask = receive_one::<_, Ask>(&mut ours).await.unwrap();
        assert_eq!(ask, Some(Ask::Status));
        let answer = Answer::Status(Status::default());
        send_one(&mut ours, &answer).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asked, answered);
    assert_eq!(answer, Some(Answer::Status(Status::default())));

    let (mut ours, _silent) = duplex(64);
    let fault = receive_one::<_, Ask>(&mut ours).await.unwrap_err();
    assert!(matches!(fault, Fault::Stalled(_)), "{fault}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_end_the_conversation_and_nothing_else(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut wire, ours) = duplex(512);
            wire.write_all(&bytes).await.unwrap();
            drop(wire);
            let mut server = Server::new(ours, Generation::August2026);
            while let Ok(Some(_)) = server.next().await {}
        });
    }

    #[test]
    fn arbitrary_json_is_a_message_or_a_fault(
        text in "[\\[\\]{}:,\"a-zA-Z0-9_ ]{0,60}",
        tag in prop::sample::select(vec!["Connect", "ApplyLogFilter", "SetDisabledResources", "Disconnect"]),
    ) {
        for payload in [text.clone(), format!("{{\"{tag}\":{text}}}"), format!("\"{tag}\"")] {
            // It must come back, whatever it says.
            if let Ok(message) = serde_json::from_str::<ToService>(&payload) {
                let again = serde_json::to_string(&message).unwrap();
                prop_assert!(serde_json::from_str::<ToService>(&again).is_ok());
            }
        }
    }
}
