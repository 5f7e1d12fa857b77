//! What a GUI that behaves can do. spec: client-app 12, 13, 14

use crate::{
    portal::Portal,
    world::{Gui, LIMIT, World},
};
use serde_json::json;
use service_ipc::{
    AdvancedSettings, Connect, Generation, Resource, Resources, ToGui, ToService,
    control::{Answer, Ask, SessionState},
};
use std::{collections::BTreeSet, io::ErrorKind, time::Duration};
use tokio::time::timeout;
use tunnel_service::{AdminCommand, Lifetime};

/// A GUI with a session that is up, and the resources that it was told.
async fn connected(world: &World, portal: &Portal) -> (Gui, Resources) {
    let mut gui = world.gui().await;
    let result = gui.connect(portal.url(), "right").await;
    assert_eq!(result, ToGui::ConnectResult(Ok(())));
    let resources = resources_where(&mut gui, |all| all.resources.len() == 3).await;
    world.eventually(|machine| machine.is_connected()).await;
    (gui, resources)
}

async fn resources_where(gui: &mut Gui, is_meant: impl Fn(&Resources) -> bool) -> Resources {
    loop {
        if let ToGui::OnUpdateResources(all) = gui.recv().await
            && is_meant(&all)
        {
            return all;
        }
    }
}

#[tokio::test]
async fn a_session_is_told_and_leaves_nothing_behind() {
    let (world, portal) = (World::new().await, Portal::start().await);
    let (mut gui, all) = connected(&world, &portal).await;
    let names: Vec<&str> = all.resources.iter().map(Resource::name).collect();
    assert_eq!(
        names,
        ["all", "corp", "net"],
        "the Internet first, then by name"
    );
    assert!(world.machine.has_route("10.20.0.0/16"));
    assert!(
        !world.machine.has_route("0.0.0.0/0"),
        "the newer generation opts in"
    );

    let status = world.status().await;
    assert_eq!(status.session, SessionState::Connected);
    assert_eq!(status.resources.len(), 3);
    assert!(
        status
            .gui
            .unwrap()
            .contains(&std::process::id().to_string())
    );
    assert_eq!(world.machine.state().status, "Serving a GUI, connected");

    gui.send(ToService::Disconnect).await;
    gui.recv_where(|message| *message == ToGui::DisconnectedGracefully)
        .await;
    assert!(world.machine.is_clean());
    assert_eq!(world.status().await.session, SessionState::None);
    world.stop().await;
}

#[tokio::test]
async fn the_greeting_brings_identity_and_settings() {
    let world = World::new().await;
    let gui = world.gui().await;
    let hello = gui.0.hello().unwrap();
    assert_eq!(hello.firezone_id, "5b0f");
    assert_eq!(hello.advanced_settings, AdvancedSettings::default());
    world.stop().await;

    let world = World::with(Generation::July2025, Lifetime::Unlimited).await;
    assert!(world.gui().await.0.hello().is_none());
    world.stop().await;
}

#[tokio::test]
async fn the_end_of_a_gui_is_the_end_of_its_session() {
    let (world, portal) = (World::new().await, Portal::start().await);
    for _ in 0..2 {
        let (gui, _) = connected(&world, &portal).await;
        drop(gui);
        world.eventually(|machine| machine.is_clean()).await;
    }
    let _next = world.gui().await;
    world.stop().await;
}

#[tokio::test]
async fn another_connect_replaces_the_session() {
    let (world, portal) = (World::new().await, Portal::start().await);
    let (mut gui, _) = connected(&world, &portal).await;
    let result = gui.connect(portal.url(), "right").await;
    assert_eq!(result, ToGui::ConnectResult(Ok(())));
    resources_where(&mut gui, |all| all.resources.len() == 3).await;
    world.eventually(|machine| machine.is_connected()).await;
    assert_eq!(world.machine.devices(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_stopping_service_says_so() {
    let (world, portal) = (World::new().await, Portal::start().await);
    let (mut gui, _) = connected(&world, &portal).await;
    world.commands.send(AdminCommand::Stop).await.unwrap();
    gui.recv_where(|message| *message == ToGui::TerminatingGracefully)
        .await;
    world.wait_for_end().await;
}

#[tokio::test]
async fn a_smoke_test_serves_one_gui() {
    let world = World::with(Generation::August2026, Lifetime::OneGui).await;
    drop(world.gui().await);
    world.wait_for_end().await;
}

#[tokio::test]
async fn a_wrong_token_needs_a_new_sign_in() {
    for generation in Generation::ALL {
        let portal = Portal::start().await;
        let world = World::with(generation, Lifetime::Unlimited).await;
        let mut gui = world.gui().await;
        let result = gui.connect(portal.url(), "wrong").await;
        assert_eq!(result, ToGui::ConnectResult(Ok(())), "it was started");
        let ToGui::OnDisconnect {
            error_msg,
            requires_sign_in,
        } = gui.recv().await
        else {
            panic!("{generation}")
        };
        assert!(requires_sign_in, "{error_msg}");
        assert!(
            !error_msg.contains("wrong") && !error_msg.contains('\n'),
            "{error_msg}"
        );
        assert!(world.machine.is_clean());
        // The GUI may try again.
        gui.connect(portal.url(), "right").await;
        resources_where(&mut gui, |all| all.resources.len() == 3).await;
        world.stop().await;
    }
}

#[tokio::test]
async fn a_device_that_cannot_be_made_is_told_at_once() {
    let (world, portal) = (World::new().await, Portal::start().await);
    world.machine.state().tun_fault = Some(ErrorKind::PermissionDenied);
    let mut gui = world.gui().await;
    let ToGui::ConnectResult(Err(reason)) = gui.connect(portal.url(), "right").await else {
        panic!("there is a device")
    };
    assert!(reason.contains("create the TUN device"), "{reason}");
    assert_eq!(world.status().await.session, SessionState::None);
    world.stop().await;
}

#[tokio::test]
async fn a_session_without_a_network_waits_for_one() {
    let (world, portal) = (World::new().await, Portal::start().await);
    world.machine.state().tun_fault = Some(ErrorKind::NetworkUnreachable);
    let mut gui = world.gui().await;
    let connect = Connect {
        api_url: Some(portal.url()),
        ..Connect::new("right".into())
    };
    gui.send(ToService::Connect(connect)).await;
    let waiting =
        async { while world.status().await.session != SessionState::WaitingForNetwork {} };
    timeout(LIMIT, waiting).await.unwrap();
    // Still none: nothing is told.
    world.machine.change_network();
    world.machine.state().tun_fault = None;
    world.machine.change_network();
    assert_eq!(gui.recv().await, ToGui::ConnectResult(Ok(())));
    resources_where(&mut gui, |all| all.resources.len() == 3).await;
    world.stop().await;
}

#[tokio::test]
async fn waiting_for_a_network_can_be_given_up() {
    let (world, portal) = (World::new().await, Portal::start().await);
    world.machine.state().tun_fault = Some(ErrorKind::NetworkUnreachable);
    let mut gui = world.gui().await;
    let connect = Connect {
        api_url: Some(portal.url()),
        ..Connect::new("right".into())
    };
    gui.send(ToService::Connect(connect)).await;
    gui.send(ToService::Disconnect).await;
    assert_eq!(gui.recv().await, ToGui::DisconnectedGracefully);
    world.stop().await;
}

#[tokio::test]
async fn resources_come_and_the_internet_is_switched() {
    let (world, portal) = (World::new().await, Portal::start().await);
    let (mut gui, _) = connected(&world, &portal).await;
    let resource =
        json!({ "name": "more", "type": "cidr", "address": "10.30.0.0/16", "sites": ["site"] });
    portal
        .send(json!({ "cmd": "resource_add", "resource": resource }))
        .await;
    resources_where(&mut gui, |all| all.resources.len() == 4).await;
    for enabled in [true, false] {
        gui.send(ToService::SetInternetResourceState(enabled)).await;
        world
            .eventually(|machine| machine.has_route("0.0.0.0/0") == enabled)
            .await;
    }
    world.stop().await;
}

#[tokio::test]
async fn the_older_generation_switches_resources_off_by_their_ids() {
    let portal = Portal::start().await;
    let world = World::with(Generation::July2025, Lifetime::Unlimited).await;
    let mut gui = world.gui().await;
    let connect = json!({ "Connect": { "api_url": portal.url(), "token": "right" } });
    gui.send(serde_json::from_value(connect).unwrap()).await;
    let all = resources_where(&mut gui, |all| all.resources.len() == 3).await;
    world
        .eventually(|machine| machine.has_route("0.0.0.0/0"))
        .await;
    let id = all.resources[0].id();
    gui.send(ToService::SetDisabledResources(BTreeSet::from([id])))
        .await;
    world
        .eventually(|machine| !machine.has_route("0.0.0.0/0"))
        .await;
    gui.send(ToService::SetDisabledResources(BTreeSet::new()))
        .await;
    world
        .eventually(|machine| machine.has_route("0.0.0.0/0"))
        .await;
    // Any resource can be switched off, and stays in the list.
    let net = all.resources.iter().find(|it| it.name() == "net").unwrap();
    for disabled in [BTreeSet::from([net.id()]), BTreeSet::new()] {
        let expected = disabled.is_empty();
        gui.send(ToService::SetDisabledResources(disabled)).await;
        world
            .eventually(|machine| machine.has_route("10.20.0.0/16") == expected)
            .await;
        assert_eq!(world.status().await.resources.len(), 3);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_session_outlives_an_interface_that_cannot_be_configured() {
    let (world, portal) = (World::new().await, Portal::start().await);
    world.machine.state().refuses_interface = true;
    let mut gui = world.gui().await;
    let result = gui.connect(portal.url(), "right").await;
    assert_eq!(result, ToGui::ConnectResult(Ok(())));
    resources_where(&mut gui, |all| all.resources.len() == 3).await;
    world.eventually(|machine| machine.attempts() == 1).await;
    assert!(!world.machine.is_connected());
    world.machine.change_network();
    world.eventually(|machine| machine.is_connected()).await;
    world.stop().await;
}

#[tokio::test]
async fn the_portal_of_the_settings_is_used() {
    let (world, portal) = (World::new().await, Portal::start().await);
    let mut gui = world.gui().await;
    let settings = AdvancedSettings {
        api_url: portal.url(),
        log_filter: "debug".into(),
        ..AdvancedSettings::default()
    };
    gui.send(ToService::ApplyAdvancedSettings(settings.clone()))
        .await;
    let applied = ToGui::AdvancedSettingsApplied(Ok(settings.clone()));
    assert_eq!(gui.recv().await, applied);
    assert_eq!(world.machine.state().log_filter, "debug");
    assert_eq!(world.machine.state().settings, settings);
    gui.send(ToService::Connect(Connect::new("right".into())))
        .await;
    resources_where(&mut gui, |all| all.resources.len() == 3).await;
    world.stop().await;
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_and_the_old_ones_stay() {
    let world = World::new().await;
    let mut gui = world.gui().await;
    let good = AdvancedSettings::default();
    let url = |text: &str| text.parse().unwrap();
    for (settings, is_full) in [
        (
            AdvancedSettings {
                log_filter: "a=b=c".into(),
                ..good.clone()
            },
            false,
        ),
        (
            AdvancedSettings {
                api_url: url("file:///etc"),
                ..good.clone()
            },
            false,
        ),
        (
            AdvancedSettings {
                auth_url: url("javascript:1"),
                ..good.clone()
            },
            false,
        ),
        (
            AdvancedSettings {
                log_filter: "trace".into(),
                ..good.clone()
            },
            true,
        ),
    ] {
        world.machine.state().is_full = is_full;
        gui.send(ToService::ApplyAdvancedSettings(settings)).await;
        let ToGui::AdvancedSettingsApplied(Err(reason)) = gui.recv().await else {
            panic!("they were applied")
        };
        assert!(!reason.is_empty());
        assert_eq!(world.machine.state().settings, good);
        assert!(["", "info"].contains(&world.machine.state().log_filter.as_str()));
    }
    world.stop().await;
}

#[tokio::test]
async fn the_older_generation_sets_the_log_filter() {
    let world = World::with(Generation::July2025, Lifetime::Unlimited).await;
    let mut gui = world.gui().await;
    for (directives, expected) in [("debug", "debug"), ("a=b=c", "debug")] {
        let directives = directives.to_owned();
        gui.send(ToService::ApplyLogFilter { directives }).await;
        gui.send(ToService::Disconnect).await;
        assert_eq!(
            gui.recv().await,
            ToGui::DisconnectedGracefully,
            "no other answer"
        );
        let state = world.machine.state();
        assert_eq!(state.log_filter, expected);
        assert_eq!(state.settings.log_filter, expected);
    }
    world.stop().await;
}

#[tokio::test]
async fn logs_are_cleared() {
    let world = World::new().await;
    let mut gui = world.gui().await;
    gui.send(ToService::ClearLogs).await;
    assert_eq!(gui.recv().await, ToGui::ClearedLogs(Ok(())));
    assert_eq!(world.machine.state().cleared, 1);
    world.stop().await;
}

#[tokio::test]
async fn an_administrator_ends_the_session_and_the_gui_is_told() {
    let (world, portal) = (World::new().await, Portal::start().await);
    assert_eq!(
        world.ask(Ask::Disconnect).await,
        Answer::Disconnected(false)
    );
    let (mut gui, _) = connected(&world, &portal).await;
    assert_eq!(world.ask(Ask::Disconnect).await, Answer::Disconnected(true));
    assert!(world.machine.is_clean());
    let told = gui
        .recv_where(|message| matches!(message, ToGui::OnDisconnect { .. }))
        .await;
    let ToGui::OnDisconnect {
        requires_sign_in, ..
    } = told
    else {
        panic!("{told:?}")
    };
    assert!(!requires_sign_in);
    assert_eq!(
        world.ask(Ask::Disconnect).await,
        Answer::Disconnected(false)
    );
    world.stop().await;
}

/// TCP refuses broadcast addresses with "network unreachable", whatever network there is.
const NOWHERE: &str = "ws://255.255.255.255:9/";

#[tokio::test(start_paused = true)]
async fn a_session_that_finds_no_network_waits_for_one_and_says_nothing() {
    let world = World::new().await;
    let mut gui = world.gui().await;
    let result = gui.connect(NOWHERE.parse().unwrap(), "right").await;
    assert_eq!(result, ToGui::ConnectResult(Ok(())));
    while world.machine.state().status != "Serving a GUI, waiting for a network" {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    gui.send(ToService::Disconnect).await;
    assert_eq!(gui.recv().await, ToGui::DisconnectedGracefully);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_cannot_be_reached_is_told() {
    let world = World::new().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", closed.local_addr().unwrap());
    drop(closed);
    let mut gui = world.gui().await;
    gui.connect(url.parse().unwrap(), "right").await;
    let ToGui::OnDisconnect {
        error_msg,
        requires_sign_in,
    } = gui.recv().await
    else {
        panic!("it goes on")
    };
    assert!(
        error_msg.contains("unreachable") && !requires_sign_in,
        "{error_msg}"
    );
    world.stop().await;
}
