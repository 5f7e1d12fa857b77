//! Vectors out of the specification, and what the generations do not share.

use super::*;
use crate::resource::{Addressed, Internet, ResourceStatus};
use Generation::{August2026, July2025};
use model::Site;
use serde_json::Value;

const ID: &str = "0b7f8c0e-4a55-4f1c-9d7e-0d5b7c1a2f11";
const SITE: &str = "6a1d1f36-3d3c-4e0c-8f0e-2b6a0f0a9e01";

fn settings() -> AdvancedSettings {
    AdvancedSettings {
        auth_url: "https://app.example.org/".parse().unwrap(),
        api_url: "wss://api.example.org/".parse().unwrap(),
        log_filter: "info".into(),
    }
}

fn resources() -> Resources {
    let sites = vec![Site {
        id: SITE.parse().unwrap(),
        name: "HQ".into(),
    }];
    Resources {
        resources: vec![
            Resource::Internet(Internet {
                name: "Internet Resource".into(),
                id: ID.parse().unwrap(),
                sites: sites.clone(),
                status: ResourceStatus::Offline,
            }),
            Resource::Dns(Addressed {
                id: ID.parse().unwrap(),
                address: "*.corp.example".into(),
                name: "Corp".into(),
                address_description: None,
                sites: sites.clone(),
                status: ResourceStatus::Online,
            }),
            Resource::Cidr(Addressed {
                id: ID.parse().unwrap(),
                address: "10.20.0.0/16".into(),
                name: "Lab".into(),
                address_description: Some("lab net".into()),
                sites,
                status: ResourceStatus::Unknown,
            }),
        ],
        connected_devices: vec![],
    }
}

fn resources_json() -> String {
    let sites = format!(r#"[{{"id":"{SITE}","name":"HQ"}}]"#);
    format!(
        r#"[{{"type":"internet","name":"Internet Resource","id":"{ID}","sites":{sites},"status":"Offline"}},
            {{"type":"dns","id":"{ID}","address":"*.corp.example","name":"Corp","address_description":null,"sites":{sites},"status":"Online"}},
            {{"type":"cidr","id":"{ID}","address":"10.20.0.0/16","name":"Lab","address_description":"lab net","sites":{sites},"status":"Unknown"}}]"#
    )
}

fn failed() -> Result<(), String> {
    Err("Failed to create TUN device: …".into())
}

fn ended(requires_sign_in: bool) -> ToGui {
    ToGui::OnDisconnect {
        error_msg: "…".into(),
        requires_sign_in,
    }
}

/// Messages with their JSON in the older and in the newer generation.
fn vectors() -> Vec<(ToGui, Option<String>, Option<String>)> {
    let both = |message: ToGui, json: &str| (message, Some(json.into()), Some(json.into()));
    let newer = |message: ToGui, json: String| (message, None, Some(json));
    let id: ResourceId = ID.parse().unwrap();
    let settings_json = r#"{"auth_url":"https://app.example.org/","api_url":"wss://api.example.org/","log_filter":"info"}"#;
    let mdm_json = r#"{"auth_url":null,"api_url":null,"log_filter":null,"account_slug":null,"hide_admin_portal_menu_item":null,"connect_on_start":null,"check_for_updates":null,"support_url":null}"#;
    let hello = Hello {
        firezone_id: "5b0f".into(),
        advanced_settings: settings(),
        mdm_settings: MdmSettings::default(),
    };
    let all = resources_json();
    vec![
        (ToGui::Hello(None), Some(r#""Hello""#.into()), None),
        newer(
            ToGui::Hello(Some(Box::new(hello))),
            format!(
                r#"{{"Hello":{{"firezone_id":"5b0f","advanced_settings":{settings_json},"mdm_settings":{mdm_json}}}}}"#
            ),
        ),
        both(ToGui::ClearedLogs(Ok(())), r#"{"ClearedLogs":{"Ok":null}}"#),
        both(
            ToGui::ClearedLogs(Err("no".into())),
            r#"{"ClearedLogs":{"Err":"no"}}"#,
        ),
        both(
            ToGui::ConnectResult(Ok(())),
            r#"{"ConnectResult":{"Ok":null}}"#,
        ),
        both(
            ToGui::ConnectResult(failed()),
            r#"{"ConnectResult":{"Err":"Failed to create TUN device: …"}}"#,
        ),
        both(ToGui::DisconnectedGracefully, r#""DisconnectedGracefully""#),
        both(ToGui::TerminatingGracefully, r#""TerminatingGracefully""#),
        (
            ended(true),
            Some(r#"{"OnDisconnect":{"error_msg":"…","is_authentication_error":true}}"#.into()),
            Some(r#"{"OnDisconnect":{"error_msg":"…","requires_sign_in":true}}"#.into()),
        ),
        (
            ToGui::OnUpdateResources(resources()),
            Some(format!(r#"{{"OnUpdateResources":{all}}}"#)),
            Some(format!(
                r#"{{"OnUpdateResources":{{"resources":{all},"connected_devices":[]}}}}"#
            )),
        ),
        newer(
            ToGui::AllGatewaysOffline(id),
            format!(r#"{{"AllGatewaysOffline":{{"resource_id":"{ID}"}}}}"#),
        ),
        newer(
            ToGui::GatewayVersionMismatch(id),
            format!(r#"{{"GatewayVersionMismatch":{{"resource_id":"{ID}"}}}}"#),
        ),
        newer(
            ToGui::AdvancedSettingsApplied(Ok(settings())),
            format!(r#"{{"AdvancedSettingsApplied":{{"Ok":{settings_json}}}}}"#),
        ),
    ]
}

#[test]
fn the_vectors_are_read_and_written_alike() {
    for (message, older, newer) in vectors() {
        for (generation, json) in [(July2025, older), (August2026, newer)] {
            let Some(json) = json else { continue };
            let read = ToGui::from_json(generation, json.as_bytes());
            assert_eq!(read.unwrap(), message, "{generation}: {json}");
            let written = message.to_json(generation).unwrap().unwrap();
            let written: Value = serde_json::from_slice(&written).unwrap();
            let expected: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(written, expected, "{generation}");
        }
    }
}

#[test]
fn what_the_older_generation_does_not_know_is_not_told_to_it() {
    for (message, older, _) in vectors() {
        let told = message.to_json(July2025).unwrap().is_some();
        let expected = older.is_some() || matches!(message, ToGui::Hello(_));
        assert_eq!(told, expected, "{message:?}");
    }
}

#[test]
fn neither_generation_understands_the_greeting_of_the_other() {
    let older = ToGui::Hello(None).to_json(July2025).unwrap().unwrap();
    assert!(ToGui::from_json(August2026, &older).is_err());
    let newer = ToGui::Hello(None).to_json(August2026).unwrap().unwrap();
    assert!(ToGui::from_json(July2025, &newer).is_err());
}

#[test]
fn devices_are_read() {
    let json = format!(
        r#"{{"OnUpdateResources":{{"resources":[],"connected_devices":[{{"id":"{ID}","name":"laptop","tun_ipv4":"100.64.0.7","tun_ipv6":"fd00:2021:1111::7","pools":["Staff"]}}]}}}}"#
    );
    let read = ToGui::from_json(August2026, json.as_bytes()).unwrap();
    let ToGui::OnUpdateResources(all) = read else {
        panic!("{read:?}")
    };
    assert_eq!(all.connected_devices[0].name, "laptop");
    assert_eq!(all.connected_devices[0].pools, ["Staff"]);
}

#[test]
fn the_internet_comes_first_then_names_then_ids() {
    let sorted = resources().resources;
    let mut shuffled: Vec<Resource> = sorted.iter().rev().cloned().collect();
    shuffled.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    assert_eq!(shuffled, sorted);
}

#[test]
fn generations_are_named() {
    for generation in Generation::ALL {
        assert_eq!(generation.to_string().parse(), Ok(generation));
    }
    assert!(
        "2024-01"
            .parse::<Generation>()
            .unwrap_err()
            .contains("2025-07, 2026-08")
    );
}
