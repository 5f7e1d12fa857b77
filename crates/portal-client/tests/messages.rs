//! Messages of the specification, of the real programs, and of nobody's.

use model::{Filter, IpStack, PortRange, Resource};
use portal_client::{
    DecodeError, Message,
    frame::Frame,
    v1::{client, gateway, relay},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every JSON example of the specification for this generation, one frame a line.
const EXAMPLES: &str = include_str!("spec_examples.jsonl");

/// All frames of the traces `2025-07/direct` and `2025-07/relayed`, in the order of the capture;
/// `dir` is seen from the portal.
const TRACES: [(&str, &str); 2] = [
    (
        "2025-07/direct",
        include_str!("traces/2025-07-direct.jsonl"),
    ),
    (
        "2025-07/relayed",
        include_str!("traces/2025-07-relayed.jsonl"),
    ),
];

fn decode<M: Message>(event: &str, payload: &Value) -> Result<M, DecodeError> {
    M::decode(event, payload.clone())
}

/// Decodes a message of whatever party and direction, and encodes it again.
fn rewritten(
    topic: &str,
    event: &str,
    payload: &Value,
) -> Result<(&'static str, Value), DecodeError> {
    fn of<M: Message>(event: &str, payload: &Value) -> Result<(&'static str, Value), DecodeError> {
        decode::<M>(event, payload).map(|message| message.encode())
    }
    match topic {
        "client" => of::<client::FromPortal>(event, payload)
            .or_else(|_| of::<client::ToPortal>(event, payload)),
        "gateway" => of::<gateway::FromPortal>(event, payload)
            .or_else(|_| of::<gateway::ToPortal>(event, payload)),
        _ => of::<relay::FromPortal>(event, payload)
            .or_else(|_| of::<relay::ToPortal>(event, payload)),
    }
}

fn is_control(event: &str) -> bool {
    matches!(event, "phx_join" | "phx_reply" | "heartbeat")
}

#[test]
fn examples_of_the_specification_are_understood_and_survive() {
    let mut seen = 0;
    for line in EXAMPLES.lines() {
        let frame = Frame::parse(line).unwrap();
        assert_eq!(Frame::parse(&frame.emit()), Ok(frame.clone()));
        if is_control(&frame.event) {
            continue;
        }
        let (event, once) = rewritten(&frame.topic, &frame.event, &frame.payload).expect(line);
        assert_eq!(event, frame.event);
        let twice = rewritten(&frame.topic, event, &once).expect(line);
        assert_eq!((event, once), twice);
        seen += 1;
    }
    assert_eq!(seen, 18);
}

#[test]
fn everything_the_real_programs_sent_is_written_back_as_it_was() {
    for (name, trace) in TRACES {
        let mut seen = 0;
        for line in trace.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let frame = Frame::parse(&row["frame"].to_string()).unwrap();
            if row["dir"] != "in" || is_control(&frame.event) {
                continue;
            }
            let rewritten = rewritten(&frame.topic, &frame.event, &frame.payload);
            let expected = (frame.event.as_str(), frame.payload.clone());
            assert_eq!(rewritten, Ok((expected.0, expected.1)), "{name}: {line}");
            seen += 1;
        }
        assert_eq!(seen, 6, "{name}");
    }
}

#[test]
fn everything_the_portal_sent_is_understood_and_nothing_is_lost() {
    for (name, trace) in TRACES {
        let mut seen = 0;
        for line in trace.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let frame = Frame::parse(&row["frame"].to_string()).unwrap();
            if row["dir"] != "out" || is_control(&frame.event) {
                continue;
            }
            let rewritten = rewritten(&frame.topic, &frame.event, &frame.payload);
            let (event, payload) = rewritten.unwrap_or_else(|e| panic!("{name}: {e}: {line}"));
            assert_eq!(
                (event, payload),
                (frame.event.as_str(), frame.payload),
                "{name}"
            );
            seen += 1;
        }
        assert_eq!(seen, 10, "{name}");
    }
}

fn init(payload: Value) -> client::Init {
    match decode("init", &payload) {
        Ok(client::FromPortal::Init(init)) => init,
        other => panic!("{other:?}"),
    }
}

fn interface() -> Value {
    json!({"ipv4": "100.64.0.7", "ipv6": "fd00:2021:1111::7"})
}

#[test]
fn resources_of_the_newer_generation_are_read_as_far_as_they_go() {
    let site = json!([{"id": "55555555-5555-4555-8555-555555555551", "name": "site-a"}]);
    let resources = json!([
        {"type": "dns", "id": "33333333-3333-4333-8333-333333333331", "name": "Wiki",
         "address": "*.wiki.example.test", "address_description": "https://wiki.example.test",
         "ip_stack": "ipv4_only", "gateway_groups": site,
         "filters": [{"protocol": "tcp", "port_range_start": 443, "port_range_end": 443},
                     {"protocol": "icmp"}]},
        {"type": "cidr", "id": "33333333-3333-4333-8333-333333333332", "name": "Lab net",
         "address": "10.20.0.0/16", "address_description": null, "sites": site,
         "filters": [{"protocol": "udp"}]},
        {"type": "internet", "id": "33333333-3333-4333-8333-333333333333",
         "can_be_disabled": true, "sites": site},
        {"type": "static_device_pool", "id": "33333333-3333-4333-8333-333333333334",
         "name": "Kiosks", "filters": [], "devices": []},
        {"type": "dynamic_device_pool", "id": "33333333-3333-4333-8333-333333333335",
         "name": "Laptops", "address": "*.laptops.example.test", "filters": []},
    ]);
    let init = init(json!({"interface": interface(), "resources": resources}));
    let [
        Resource::Dns(dns),
        Resource::Cidr(cidr),
        Resource::Internet(internet),
    ] = init.resources.as_slice()
    else {
        panic!("{:?}", init.resources)
    };
    assert_eq!(dns.ip_stack, IpStack::Ipv4Only);
    let https = PortRange {
        first: 443,
        last: 443,
    };
    assert_eq!(dns.filters, [Filter::Tcp(https), Filter::Icmp]);
    assert_eq!(dns.sites, cidr.sites);
    assert_eq!(internet.sites, cidr.sites);
    assert_eq!(internet.name, "Internet Resource");
}

#[test]
fn defects_cost_no_more_than_what_has_them() {
    let good = json!({"type": "cidr", "id": "33333333-3333-4333-8333-333333333332",
        "name": "Lab net", "address": "10.20.0.0/16", "sites": [], "filters": []});
    let with = |key: &str, value: Value| {
        let mut resource = good.clone();
        resource[key] = value;
        resource
    };
    let without = |key: &str| {
        let mut resource = good.clone();
        resource.as_object_mut().unwrap().remove(key);
        resource
    };
    let bad = [
        with("address", json!("10.20.0.1/16")),
        with("address", json!("10.20.0.0")),
        with("address", json!("*.example.test")),
        with("filters", json!([{"protocol": "sctp"}])),
        with(
            "filters",
            json!([{"protocol": "tcp", "port_range_end": 70_000}]),
        ),
        with("id", json!("x")),
        with("name", json!(null)),
        with("type", json!("quantum")),
        without("type"),
        without("sites"),
        json!(7),
    ];
    for defect in bad {
        let relay = json!({"type": "turn", "id": "44444444-4444-4444-8444-444444444441",
            "addr": "198.51.100.9:3478", "username": "1:s", "password": "p", "expires_at": 1});
        let init = init(json!({
            "interface": interface(),
            "resources": [defect, good],
            "relays": [{"type": "turn", "addr": "nowhere"}, {"type": "stun"}, 5, relay],
        }));
        assert_eq!(
            (init.resources.len(), init.relays.len()),
            (1, 1),
            "{defect}"
        );
    }
    let empty = init(json!({"interface": interface(), "resources": null, "later": {}}));
    assert!(empty.resources.is_empty() && empty.relays.is_empty());
}

#[test]
fn a_resource_that_becomes_one_that_is_not_understood_is_gone() {
    let good = json!({"type": "cidr", "id": "33333333-3333-4333-8333-333333333332",
        "name": "Lab net", "address": "10.20.0.0/16", "sites": [], "filters": []});
    let updated =
        |resource: &Value| decode::<client::FromPortal>("resource_created_or_updated", resource);
    assert!(matches!(
        updated(&good),
        Ok(client::FromPortal::ResourceCreatedOrUpdated(_))
    ));
    let id = good["id"].as_str().unwrap().parse().unwrap();
    for (key, value) in [
        ("address", json!("10.20.0.1/16")),
        ("address", json!(null)),
        ("filters", json!([{"protocol": "sctp"}])),
        ("name", json!(7)),
        ("sites", json!(null)),
        ("type", json!("quantum")),
        ("type", json!(null)),
    ] {
        let mut resource = good.clone();
        resource[key] = value;
        let gone = Ok(client::FromPortal::ResourceDeleted(id));
        assert_eq!(updated(&resource), gone, "{resource}");
    }
    // Nobody knows which one it is.
    for nameless in [json!({"id": "x"}), json!({"id": 7}), json!([]), json!(null)] {
        assert!(updated(&nameless).is_err(), "{nameless}");
    }
}

#[test]
fn relay_entries_of_one_id_become_one_relay() {
    let entry = |id: u8, addr: &str| {
        json!({"type": "turn", "id": format!("44444444-4444-4444-8444-4444444444{id:02}"),
            "addr": addr, "username": "9:salt", "password": "p", "expires_at": 9})
    };
    let init = init(json!({"interface": interface(), "relays": [
        entry(1, "198.51.100.9:3478"),
        entry(2, "[2001:db8::10]:3478"),
        entry(1, "[2001:db8::9]:3478"),
        entry(1, "192.0.2.99:3478"),
    ]}));
    let addresses: Vec<Vec<String>> = init
        .relays
        .iter()
        .map(|relay| relay.addresses().map(|a| a.to_string()).collect())
        .collect();
    assert_eq!(
        addresses,
        [
            vec!["198.51.100.9:3478", "[2001:db8::9]:3478"],
            vec!["[2001:db8::10]:3478"]
        ]
    );
}

#[test]
fn resolvers_that_are_not_understood_do_not_turn_into_none() {
    let interface = |upstream: Value| {
        let mut interface = interface();
        interface["upstream_dns"] = upstream;
        decode::<client::FromPortal>("config_changed", &json!({"interface": interface}))
    };
    let good = json!({"protocol": "ip_port", "address": "192.0.2.53:53"});
    let odd = json!({"protocol": "dns_over_tls", "address": "192.0.2.53:853"});
    let Ok(client::FromPortal::ConfigChanged(read)) = interface(json!([odd, good])) else {
        panic!()
    };
    assert_eq!(read.upstream_dns, ["192.0.2.53:53".parse().unwrap()]);
    assert!(interface(json!([odd])).is_err());
    assert!(interface(json!([])).is_ok());
}

#[test]
fn search_domains_that_are_none_are_left_out() {
    let mut odd = interface();
    odd["search_domain"] = json!("not a domain");
    assert_eq!(
        init(json!({"interface": odd})).interface.search_domain,
        None
    );
    odd["search_domain"] = json!("Corp.Example.Test");
    let domain = init(json!({"interface": odd})).interface.search_domain;
    assert_eq!(domain.unwrap().as_str(), "corp.example.test");
}

#[test]
fn bad_candidates_are_skipped_and_nothing_but_bad_ones_is_a_defect() {
    let good = "candidate:77 1 udp 2130706175 203.0.113.30 52625 typ host";
    let message = |candidates: Value| {
        let payload = json!({"gateway_id": "22222222-2222-2222-2222-222222222222",
            "candidates": candidates});
        decode::<client::FromPortal>("ice_candidates", &payload)
    };
    let Ok(client::FromPortal::IceCandidates(of)) = message(json!(["x", good, 5])) else {
        panic!()
    };
    assert_eq!(of.candidates, [good.parse().unwrap()]);
    assert!(message(json!(["x"])).is_err());
    assert!(message(json!([])).is_err());
    let many = vec![good; 1000];
    let Ok(client::FromPortal::IceCandidates(of)) = message(json!(many)) else {
        panic!()
    };
    assert_eq!(of.candidates.len(), 64);
}

#[test]
fn leniency_never_widens_access() {
    let example = EXAMPLES
        .lines()
        .map(|line| Frame::parse(line).unwrap())
        .find(|frame| frame.event == "authorize_flow")
        .unwrap();
    let understood = |change: &dyn Fn(&mut Value)| {
        let mut payload = example.payload.clone();
        change(&mut payload);
        decode::<gateway::FromPortal>("authorize_flow", &payload)
    };
    assert!(understood(&|_| {}).is_ok());
    let endless = understood(&|payload| payload["expires_at"] = json!(null)).unwrap();
    let gateway::FromPortal::AuthorizeFlow(flow) = endless else {
        panic!()
    };
    assert_eq!(flow.expires_at, None);
    let remove = |pointer: &'static str, key: &'static str| {
        understood(&move |payload| {
            let parent = payload.pointer_mut(pointer).unwrap();
            parent.as_object_mut().unwrap().remove(key);
        })
    };
    assert!(remove("", "expires_at").is_err());
    assert!(remove("/resource", "filters").is_err());
    let odd = json!([{"protocol": "sctp"}]);
    assert!(understood(&|payload| payload["resource"]["filters"] = odd.clone()).is_err());
}

#[test]
fn failures_of_later_portals_are_told_apart_from_defects() {
    let failure = |reason: Value| {
        let payload = json!({"resource_id": "33333333-3333-4333-8333-333333333332",
            "reason": reason, "violated_properties": ["remote_ip", 4, "x"]});
        decode::<client::FromPortal>("flow_creation_failed", &payload)
    };
    let Ok(client::FromPortal::FlowCreationFailed(read)) = failure(json!("moon_phase")) else {
        panic!()
    };
    assert_eq!(read.reason, client::FailureReason::Unknown);
    assert_eq!(read.violated_properties, ["remote_ip", "x"]);
    assert!(failure(json!(5)).is_err());
}

#[test]
fn site_of_a_flow_has_either_name() {
    let example = EXAMPLES
        .lines()
        .map(|line| Frame::parse(line).unwrap())
        .find(|frame| frame.event == "flow_created")
        .unwrap();
    let mut payload = example.payload.clone();
    let site = payload.as_object_mut().unwrap().remove("gateway_group_id");
    assert!(decode::<client::FromPortal>("flow_created", &payload).is_err());
    payload["site_id"] = site.unwrap();
    assert_eq!(
        decode::<client::FromPortal>("flow_created", &payload),
        decode::<client::FromPortal>("flow_created", &example.payload)
    );
}

#[test]
fn secrets_do_not_print() {
    for line in EXAMPLES.lines() {
        let frame = Frame::parse(line).unwrap();
        let texts = [
            format!(
                "{:?}",
                decode::<client::FromPortal>(&frame.event, &frame.payload)
            ),
            format!(
                "{:?}",
                decode::<gateway::FromPortal>(&frame.event, &frame.payload)
            ),
        ];
        for secret in [
            "dzLSQxkHUKRN",
            "l0lnRpxhggXG",
            "w7V9V3jiiyaE",
            "5w74fcbvvsg4",
            "gz7fur7x6zgu",
        ] {
            assert!(texts.iter().all(|text| !text.contains(secret)), "{line}");
        }
    }
}

const EVENTS: [&str; 17] = [
    "init",
    "config_changed",
    "resource_created_or_updated",
    "resource_deleted",
    "relays_presence",
    "flow_created",
    "flow_creation_failed",
    "ice_candidates",
    "invalidate_ice_candidates",
    "authorize_flow",
    "reject_access",
    "resource_updated",
    "access_authorization_expiry_updated",
    "create_flow",
    "broadcast_ice_candidates",
    "flow_authorized",
    "no such event",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("candidate:")),
        Just(json!("turn")),
        Just(json!("cidr")),
        Just(json!("::/0")),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,12}", inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Replaces the `at`-th node of a tree.
fn replace(node: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *node = with.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match node {
        Value::Array(list) => list.iter_mut().for_each(|child| replace(child, at, with)),
        Value::Object(map) => map.values_mut().for_each(|child| replace(child, at, with)),
        _ => {}
    }
}

/// Bytes of the text.
fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// What may be kept of a payload: no more than it has, and what every message is made of.
fn most(payload: &Value) -> usize {
    2 * size(payload) + 1000
}

proptest! {
    #[test]
    fn any_payload_is_a_message_or_a_fault(event in prop::sample::select(&EVENTS[..]), payload in any_json()) {
        for topic in ["client", "gateway", "relay"] {
            if let Ok((_, kept)) = rewritten(topic, event, &payload) {
                prop_assert!(size(&kept) <= most(&payload), "{kept} of {payload}");
            }
        }
    }

    #[test]
    fn a_damaged_message_is_a_message_or_a_fault(
        line in 0_usize..20,
        mut at in 0_usize..80,
        with in any_json(),
    ) {
        let line = EXAMPLES.lines().nth(line).unwrap();
        let mut frame = Frame::parse(line).unwrap();
        replace(&mut frame.payload, &mut at, &with);
        for topic in ["client", "gateway", "relay"] {
            if let Ok((event, once)) = rewritten(topic, &frame.event, &frame.payload) {
                prop_assert!(size(&once) <= most(&frame.payload), "{once}");
                prop_assert!(rewritten(topic, event, &once).is_ok());
            }
        }
    }
}
