//! GUIs that lie, hang, flood or die: each costs its own connection, and the next one is served.

use crate::world::World;
use local_socket::Stream;
use service_ipc::{Client, Fault, Generation, ToGui, ToService};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tunnel_service::Lifetime;

/// A stream that was greeted.
async fn greeted(world: &World) -> Stream {
    let mut stream = world.stream().await;
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let mut hello = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
    stream.read_exact(&mut hello).await.unwrap();
    stream
}

/// Reads until the service closes the connection.
async fn until_closed(stream: &mut Stream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_be_bytes(), payload].concat()
}

/// What is sent after the greeting; the service has to close the connection by itself.
fn lies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("length of 4 GiB", vec![0xff; 4]),
        (
            "length above the limit",
            8_388_609_u32.to_be_bytes().to_vec(),
        ),
        ("no payload", frame(b"")),
        ("no JSON", frame(b"{")),
        ("no UTF-8", frame(b"\"\xff\xfe\"")),
        ("no message", frame(b"\"Dance\"")),
        (
            "message of the service",
            frame(b"\"DisconnectedGracefully\""),
        ),
        ("two values", frame(b"\"Disconnect\"\"Disconnect\"")),
        ("deep nesting", frame(&[b'['; 100_000])),
        ("half a length and silence", vec![0, 0]),
        (
            "largest length and silence",
            8_388_608_u32.to_be_bytes().to_vec(),
        ),
        (
            "half a frame and silence",
            frame(b"\"Disconnect\"")[..9].to_vec(),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn liars_are_given_up_and_the_next_gui_is_served() {
    let world = World::new().await;
    for (name, bytes) in lies() {
        let mut liar = greeted(&world).await;
        // It may be closed already while it is being written to.
        liar.write_all(&bytes).await.ok();
        until_closed(&mut liar).await;
        let mut gui = world.gui().await;
        gui.send(ToService::Disconnect).await;
        assert_eq!(gui.recv().await, ToGui::DisconnectedGracefully, "{name}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn guis_that_die_at_any_moment_harm_nobody() {
    let world = World::new().await;
    let whole = frame(br#"{"ApplyLogFilter":{"directives":"debug"}}"#);
    drop(world.stream().await);
    for length in 0..=whole.len() {
        let mut dying = greeted(&world).await;
        dying.write_all(&whole[..length]).await.unwrap();
    }
    let mut gui = world.gui().await;
    gui.send(ToService::ClearLogs).await;
    assert_eq!(gui.recv().await, ToGui::ClearedLogs(Ok(())));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_and_never_reads_is_given_up() {
    let world = World::new().await;
    let mut flooding = greeted(&world).await;
    let asks = frame(b"\"ClearLogs\"").repeat(1000);
    // Ends with an error when the service gives up; nothing is read meanwhile.
    while flooding.write_all(&asks).await.is_ok() {}
    let cleared = world.machine.state().cleared;
    assert!(
        cleared < 100_000,
        "{cleared} answers wait for somebody who never reads"
    );
    let mut gui = world.gui().await;
    gui.send(ToService::Disconnect).await;
    assert_eq!(gui.recv().await, ToGui::DisconnectedGracefully);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_in_any_order_are_answered() {
    for generation in Generation::ALL {
        let world = World::with(generation, Lifetime::Unlimited).await;
        let mut gui = world.gui().await;
        let settings = gui.0.hello().map(|hello| hello.advanced_settings.clone());
        gui.send(ToService::SetInternetResourceState(true)).await;
        gui.send(ToService::SetDisabledResources([].into())).await;
        gui.send(ToService::StartTelemetry {
            environment: "wss://api.example.org/".into(),
            release: "gui-client@1.2.3".into(),
            account_slug: None,
        })
        .await;
        for _ in 0..3 {
            gui.send(ToService::Disconnect).await;
            assert_eq!(gui.recv().await, ToGui::DisconnectedGracefully);
        }
        if let Some(settings) = settings {
            gui.send(ToService::ApplyAdvancedSettings(settings.clone()))
                .await;
            let applied = ToGui::AdvancedSettingsApplied(Ok(settings));
            assert_eq!(gui.recv().await, applied);
        }
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_gui_waits_for_the_first_one() {
    let world = World::new().await;
    let mut first = world.gui().await;
    let waiting = world.stream().await;
    let impatient = Client::open(world.stream().await).await.unwrap_err();
    assert!(matches!(impatient, Fault::NoHello(_)), "{impatient}");
    first.send(ToService::Disconnect).await;
    assert_eq!(first.recv().await, ToGui::DisconnectedGracefully);
    drop(first);
    Client::open(waiting).await.unwrap();
    // The impatient one is still in front of this one, and gone.
    let _third = world.gui().await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_defect_costs_one_connection() {
    let world = World::new().await;
    world.machine.state().panics = true;
    let refused = Client::open(world.stream().await).await.unwrap_err();
    assert!(matches!(refused, Fault::Refused), "{refused}");
    let _next = world.gui().await;
    world.stop().await;
}
