//! Tests of the configuration file.

use super::*;

/// The example of the documentation of [`Settings`].
fn example() -> String {
    let source = include_str!("../config.rs");
    let start = source.find("/// ```json").unwrap();
    source[start..]
        .lines()
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| line.trim_start_matches("///"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn fault(text: &str) -> Result<Directory, SettingsFault> {
    Settings::parse(text)?.directory()
}

#[test]
fn the_documented_example_works() {
    let directory = fault(&example()).unwrap();
    assert_eq!(directory.account.slug, "dev");
    assert_eq!(directory.tokens.len(), 3);
    let names: Vec<_> = directory
        .resources
        .values()
        .map(|policy| (policy.resource.name(), policy.admits("bob")))
        .collect();
    for expected in [("Lab net", true), ("Wiki", true), ("Everything", false)] {
        assert!(names.contains(&expected), "{names:?}");
    }
    let lab = directory
        .resources
        .values()
        .find(|p| p.resource.name() == "Lab net");
    let Some(Resource::Cidr(lab)) = lab.map(|policy| &policy.resource) else {
        panic!()
    };
    let tcp = |first, last| Filter::Tcp(PortRange { first, last });
    assert_eq!(lab.filters, [tcp(443, 443), tcp(8000, 8080), Filter::Icmp]);
}

#[test]
fn ids_survive_renaming_once_they_are_written() {
    let settings = Settings::parse(&example()).unwrap();
    let text = serde_json::to_string(&settings).unwrap();
    let mut again = Settings::parse(&text.replace("Lab net", "Renamed")).unwrap();
    let position = again.position("Renamed").unwrap();
    assert_eq!(
        again.resources[position].id,
        settings.resources[position].id
    );
    assert_eq!(
        serde_json::to_string(&again).unwrap(),
        text.replace("Lab net", "Renamed")
    );
    again.resources[position].id = None;
    again.give_ids();
    assert_ne!(
        again.resources[position].id,
        settings.resources[position].id
    );
}

#[test]
fn tokens_are_found_by_their_whole_text_until_they_end() {
    let text = r#"{"tokens": [{"token": "secret", "kind": "relay", "expires_at": 100}]}"#;
    let directory = fault(text).unwrap();
    assert!(directory.token("secret", 99).is_some());
    assert!(directory.token("secret", 100).is_none());
    for other in ["", "secre", "secret ", "Secret"] {
        assert!(directory.token(other, 1).is_none(), "{other}");
    }
    assert!(!format!("{directory:?}").contains("secret"));
    assert!(!format!("{:?}", Settings::parse(text).unwrap()).contains("\"secret\""));
}

#[test]
fn impossible_configurations_are_refused() {
    let resource = |members: &str| {
        format!(r#"{{"sites": [{{"name": "a"}}], "resources": [{{"name": "r", {members}}}]}}"#)
    };
    type Check = fn(&SettingsFault) -> bool;
    let cases: [(String, Check); 15] = [
        ("5".into(), |f| matches!(f, SettingsFault::Json(_))),
        (r#"{"site": []}"#.into(), |f| {
            matches!(f, SettingsFault::Json(_))
        }),
        (r#"{"sites": [{"name": "a"}, {"name": "a"}]}"#.into(), |f| {
            matches!(f, SettingsFault::Twice(_))
        }),
        (
            r#"{"tokens": [{"token": "t", "kind": "client"}]}"#.into(),
            |f| matches!(f, SettingsFault::Owner(0)),
        ),
        (
            r#"{"tokens": [{"token": "t", "kind": "gateway", "site": "b"}]}"#.into(),
            |f| matches!(f, SettingsFault::Site(_)),
        ),
        (
            resource(r#""type": "cidr", "address": "10.0.0.1/8""#),
            |f| matches!(f, SettingsFault::Address(_)),
        ),
        (resource(r#""type": "cidr""#), |f| {
            matches!(f, SettingsFault::Address(_))
        }),
        (resource(r#""type": "cidr", "address": "a.test""#), |f| {
            matches!(f, SettingsFault::Address(_))
        }),
        (resource(r#""type": "dns", "address": """#), |f| {
            matches!(f, SettingsFault::Address(_))
        }),
        (resource(r#""type": "internet", "address": "::/0""#), |f| {
            matches!(f, SettingsFault::Address(_))
        }),
        (resource(r#""type": "pool""#), |f| {
            matches!(f, SettingsFault::Json(_))
        }),
        (resource(r#""type": "internet", "sites": ["b"]"#), |f| {
            matches!(f, SettingsFault::Site(_))
        }),
        (
            resource(r#""type": "internet", "filters": [{"protocol": "tcp", "ports": ["9-8"]}]"#),
            |f| matches!(f, SettingsFault::Ports(_)),
        ),
        (
            resource(r#""type": "internet", "filters": [{"protocol": "udp", "ports": ["x"]}]"#),
            |f| matches!(f, SettingsFault::Ports(_)),
        ),
        (
            resource(r#""type": "internet"}, {"name": "r", "type": "internet""#),
            |f| matches!(f, SettingsFault::Twice(_)),
        ),
    ];
    for (text, check) in cases {
        let fault = fault(&text).expect_err(&text);
        assert!(check(&fault), "{text}: {fault:?}");
    }
}

#[test]
fn single_addresses_become_networks() {
    for (address, expected) in [
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:db8::1", "2001:db8::1/128"),
    ] {
        let text = format!(
            r#"{{"resources": [{{"name": "r", "type": "cidr", "address": "{address}"}}]}}"#
        );
        let directory = fault(&text).unwrap();
        let resource = &directory.resources.values().next().unwrap().resource;
        let Resource::Cidr(cidr) = resource else {
            panic!()
        };
        assert_eq!(cidr.address.to_string(), expected);
    }
}
