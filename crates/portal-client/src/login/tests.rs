//! Tests of URLs and their parameters.

use super::*;

fn client(url: &str) -> Result<Login, LoginError> {
    let token = SecretString::from("t+1");
    let url = Url::parse(url).unwrap();
    Login::new(&url, Party::Client, &token, "my-box", "relay/1.0.0")
}

#[test]
fn urls_are_those_of_the_specification() {
    let base = Url::parse("https://portal.example.test:8443/base/?x=1").unwrap();
    let key = PublicKey::from_bytes([1; 32]);
    let login = client(base.as_str()).unwrap().named("Anna's box").unwrap();
    assert_eq!(
        login.url(Some(&key)).as_str(),
        "wss://portal.example.test:8443/base/client/websocket?token=t%2B1&external_id=my-box\
         &name=Anna%27s+box&public_key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE%3D"
    );

    let relay = Party::Relay {
        ipv4: Some("198.51.100.9".parse().unwrap()),
        ipv6: Some("2001:db8::9".parse().unwrap()),
        port: 3478,
        stamp_secret: SecretString::from("secret"),
    };
    let login = Login::new(&base, relay, &"t+1".into(), "", "relay/1.0.0").unwrap();
    assert_eq!(
        login.url(None).as_str(),
        "wss://portal.example.test:8443/base/relay/websocket?token=t%2B1\
         &ipv4=198.51.100.9&ipv6=2001%3Adb8%3A%3A9&port=3478"
    );
}

#[test]
fn port_is_443_unless_the_url_says_otherwise() {
    for (url, port, secure) in [
        ("ws://portal.test", 443, false),
        ("ws://portal.test:80", 443, false),
        ("http://portal.test:8081", 8081, false),
        ("https://portal.test:443/", 443, true),
        ("wss://portal.test:80", 80, true),
        ("ws://[::1]:9000", 9000, false),
    ] {
        let login = client(url).unwrap();
        assert_eq!((login.port(), login.secure()), (port, secure), "{url}");
    }
}

#[test]
fn literal_hosts_of_both_families_need_no_resolver() {
    let login = client("ws://[2001:db8::1]:9000").unwrap();
    assert_eq!(login.literal(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(login.host(), "[2001:db8::1]");
    assert!(
        login
            .url(None)
            .starts_with("ws://[2001:db8::1]:9000/client/websocket?")
    );
    let login = client("ws://192.0.2.1:9000").unwrap();
    assert_eq!(login.literal(), Some("192.0.2.1".parse().unwrap()));
    assert_eq!(client("ws://portal.test").unwrap().literal(), None);
}

#[test]
fn impossible_logins_are_refused() {
    assert!(matches!(
        client("ftp://portal.test"),
        Err(LoginError::Scheme)
    ));
    assert!(matches!(client("mailto:a@b"), Err(LoginError::Scheme)));
    let url = Url::parse("wss://portal.test").unwrap();
    let login = |token: &str, id: &str, agent: &str| {
        Login::new(&url, Party::Client, &token.into(), id, agent)
    };
    assert!(matches!(
        login(" \n", "id", "a/1"),
        Err(LoginError::NoToken)
    ));
    assert!(matches!(
        login("t", "id", "a\r\n"),
        Err(LoginError::UserAgent)
    ));
    let long = "x".repeat(256);
    assert!(matches!(
        login("t", &long, "a/1"),
        Err(LoginError::TooLong(_))
    ));
    assert!(login("t", "id", "a/1").unwrap().named(&long).is_err());
    let nowhere = Party::Relay {
        ipv4: None,
        ipv6: None,
        port: 3478,
        stamp_secret: "s".into(),
    };
    let relay = Login::new(&url, nowhere, &"t".into(), "", "relay/1.0.0");
    assert!(matches!(relay, Err(LoginError::NoAddress)));
}

#[test]
fn token_loses_white_space_and_never_prints() {
    let url = Url::parse("wss://portal.test").unwrap();
    let token = SecretString::from(" se\ncret\n");
    let login = Login::new(&url, Party::Gateway, &token, "id", "a/1").unwrap();
    assert!(login.url(None).contains("token=secret&"));
    assert!(!format!("{login:?}").contains("secret"));
}

#[test]
fn placeholder_serials_stay_at_home() {
    let device = |serial| DeviceIds::new(Some(serial), Some("some-uuid"));
    let url = |serial| {
        let login = client("wss://portal.test").unwrap();
        login.device(&device(serial)).unwrap().url(None)
    };
    assert!(url("123456789").ends_with("external_id=my-box&device_uuid=some-uuid"));
    assert!(url("ABC 1").contains("&device_serial=ABC+1&device_uuid=some-uuid"));
}

#[test]
fn extra_roots_that_are_no_certificates_are_refused() {
    let login = client("wss://portal.test").unwrap();
    for roots in ["", "not a certificate", "-----BEGIN CERTIFICATE-----\n????"] {
        let refused = login.clone().trusting(&[roots.as_bytes().to_vec()]);
        assert!(matches!(refused, Err(LoginError::Certificate)), "{roots}");
    }
}
