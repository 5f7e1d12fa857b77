//! The text of `resolv.conf`: what we keep of it and what we write. spec: platform 4.2, 4.4
//!
//! Lines that nobody here understands are kept as they are, so that a new option of the C library
//! does not cost the user DNS.

use model::DomainName;
use std::{net::IpAddr, path::Path};

/// First line of a file that we wrote. spec: platform 17
pub(crate) const MAGIC: &str = "# BEGIN Firezone DNS configuration";

/// Some editors begin a file with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A resolver as `resolv.conf` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameserver {
    /// Where it is asked, on port 53.
    pub address: IpAddr,
    /// Name or index of the interface that a link-local address belongs to. RFC 4007 section 11
    pub zone: Option<String>,
}

/// A parsed `resolv.conf`. What is kept of it are bytes: some day somebody may mean something by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Resolvers in order.
    pub nameservers: Vec<Nameserver>,
    search: Vec<Vec<u8>>,
    domain: Option<Vec<u8>>,
    sortlist: Option<Vec<u8>>,
    options: Vec<Vec<u8>>,
    unknown: Vec<Vec<u8>>,
}

impl ResolvConf {
    /// Whether the text is one that we wrote.
    pub fn is_ours(text: &[u8]) -> bool {
        text.starts_with(MAGIC.as_bytes())
    }

    /// Parses a file. Invalid addresses are left out: the C library ignores them, too.
    pub fn parse(text: &[u8]) -> Self {
        let mut config = Self::default();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n') {
            let content = line.split(|byte| b"#;".contains(byte)).next();
            let mut words = words(content.unwrap_or_default());
            let Some(directive) = words.next() else {
                continue;
            };
            match directive {
                b"nameserver" => config.nameservers.extend(words.next().and_then(nameserver)),
                b"domain" => config.domain = words.next().map(<[u8]>::to_owned),
                b"search" => config.search = words.map(<[u8]>::to_owned).collect(),
                b"sortlist" => config.sortlist = Some(words.collect::<Vec<_>>().join(&b' ')),
                b"options" => config.options.extend(words.map(<[u8]>::to_owned)),
                // Meaningless here, and dropped by the original.
                b"lookup" | b"family" => {}
                _ => config.unknown.push(line.trim_ascii_end().to_owned()),
            }
        }
        config
    }

    /// The same file with our resolvers and search domain.
    pub fn with_tunnel(&self, servers: &[IpAddr], search: Option<&DomainName>) -> Self {
        let mut config = self.clone();
        config.nameservers = servers.iter().copied().map(Nameserver::from).collect();
        let search = search.map(|domain| domain.to_string().into_bytes());
        config.search = search.into_iter().collect();
        // A larger value than the default of 1 would bypass the search domain.
        config
            .options
            .retain(|option| !option.starts_with(b"ndots:"));
        config
    }

    /// The file's text with the magic line in front. `backup` is named in it for humans.
    pub fn render(&self, backup: &Path) -> Vec<u8> {
        let mut text = format!(
            "{MAGIC}\n\
             # Delete the line above after editing this file, or the edit is undone.\n\
             # If you read this while no client is running, it crashed; its next start repairs\n\
             # this file. The original is {}.\n",
            backup.display()
        )
        .into_bytes();
        for Nameserver { address, zone } in &self.nameservers {
            let zone = zone.iter().flat_map(|zone| ["%", zone.as_str()]);
            let value: String = zone.fold(address.to_string(), |text, part| text + part);
            line(&mut text, "nameserver", value.as_bytes());
        }
        if let Some(domain) = &self.domain {
            line(&mut text, "domain", domain);
        }
        if !self.search.is_empty() {
            line(&mut text, "search", &self.search.join(&b' '));
        }
        if let Some(sortlist) = &self.sortlist {
            line(&mut text, "sortlist", sortlist);
        }
        for option in &self.options {
            line(&mut text, "options", option);
        }
        for unknown in &self.unknown {
            text.extend_from_slice(unknown);
            text.push(b'\n');
        }
        text.push(b'\n');
        text
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn line(text: &mut Vec<u8>, directive: &str, value: &[u8]) {
    for part in [directive.as_bytes(), b" ", value, b"\n"] {
        text.extend_from_slice(part);
    }
}

fn nameserver(word: &[u8]) -> Option<Nameserver> {
    let word = str::from_utf8(word).ok()?;
    let (address, zone) = match word.split_once('%') {
        Some((address, zone)) => (address, Some(zone.to_owned())),
        None => (word, None),
    };
    let address = address.parse().ok()?;
    Some(Nameserver { address, zone })
}

impl From<IpAddr> for Nameserver {
    fn from(address: IpAddr) -> Self {
        Self {
            address,
            zone: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGINAL: &str = "\
        # made by hand\n\
        domain old.example\n\
        search a.example b.example\n\
        nameserver 192.0.2.1 # the router\n\
        nameserver fe80::1%eth0\n\
        nameserver not-an-address\n\
        sortlist 192.0.2.0/24 10.0.0.0\n\
        options timeout:2 ndots:5 trust-ad\n\
        options no-aaaa ; new in the C library\n\
        lookup file bind\n\
        some-day yes\n";

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn nameservers(texts: &[&str]) -> Vec<Nameserver> {
        texts
            .iter()
            .map(|t| nameserver(t.as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn resolvers_are_found() {
        let config = ResolvConf::parse(ORIGINAL.as_bytes());
        let expected = nameservers(&["192.0.2.1", "fe80::1%eth0"]);
        assert_eq!(config.nameservers, expected);
        assert_eq!(expected[1].address, addresses(&["fe80::1"])[0]);
        assert_eq!(expected[1].zone.as_deref(), Some("eth0"));
    }

    #[test]
    fn byte_order_mark_hides_nothing() {
        let config = ResolvConf::parse("\u{feff}nameserver 192.0.2.1\r\n".as_bytes());
        assert_eq!(config.nameservers, nameservers(&["192.0.2.1"]));
    }

    #[test]
    fn everything_but_resolvers_search_list_and_ndots_is_kept() {
        let search = "corp.example".parse().unwrap();
        let text = ResolvConf::parse(ORIGINAL.as_bytes())
            .with_tunnel(&addresses(&["100.100.111.1"]), Some(&search))
            .render(Path::new("/etc/backup"));
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let expected = [
            "nameserver 100.100.111.1",
            "domain old.example",
            "search corp.example",
            "sortlist 192.0.2.0/24 10.0.0.0",
            "options timeout:2",
            "options trust-ad",
            "options no-aaaa",
            "some-day yes",
            "",
        ];
        assert_eq!(lines, expected);
        assert!(
            text.starts_with(MAGIC)
                && ResolvConf::is_ours(text.as_bytes())
                && text.contains("/etc/backup")
        );
        assert!(text.ends_with("\n\n"));
    }

    #[test]
    fn example_of_the_specification_is_reproduced() {
        let search = "corp.example".parse().unwrap();
        let text = ResolvConf::parse(b"nameserver 192.0.2.1\noptions timeout:2 trust-ad\n")
            .with_tunnel(&addresses(&["100.100.111.1"]), Some(&search))
            .render(Path::new("/etc/resolv.conf.before-firezone"));
        let text = String::from_utf8(text).unwrap();
        let body = text.lines().filter(|l| !l.starts_with('#'));
        let expected = "nameserver 100.100.111.1\nsearch corp.example\noptions timeout:2\n\
                        options trust-ad\n";
        assert_eq!(body.collect::<Vec<_>>().join("\n"), expected);
        assert_eq!(text.lines().next(), Some(MAGIC));
    }

    #[test]
    fn no_search_domain_empties_the_search_list() {
        let config = ResolvConf::parse(ORIGINAL.as_bytes()).with_tunnel(&addresses(&["::1"]), None);
        let text = String::from_utf8(config.render(Path::new("x"))).unwrap();
        assert!(!text.contains("search"));
    }

    /// Bytes that a parsed file holds on to.
    fn kept(config: &ResolvConf) -> usize {
        let lists = [&config.search, &config.options, &config.unknown];
        let words = lists.into_iter().flatten();
        let single = config.domain.iter().chain(&config.sortlist);
        let zones = config.nameservers.iter().filter_map(|s| s.zone.as_ref());
        let bytes: usize = words.chain(single).map(Vec::len).sum();
        bytes + zones.map(String::len).sum::<usize>()
    }

    /// Files of lines that mean something, and of bytes that do not.
    fn files() -> impl Strategy<Value = Vec<u8>> {
        let directives = [
            "nameserver",
            "domain",
            "search",
            "sortlist",
            "options",
            "x",
            "#",
        ];
        let value = prop_oneof![
            "[a-z0-9.:%#; \\t\\r-]{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..20),
            Just(b"192.0.2.1".to_vec()),
            Just(b"fe80::1%eth0".to_vec()),
        ];
        let line = (prop::sample::select(directives.to_vec()), value)
            .prop_map(|(directive, value)| [directive.as_bytes(), b" ", &value, b"\n"].concat());
        prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn any_file_parses_and_what_is_rendered_parses_to_the_same(text in files()) {
            let parsed = ResolvConf::parse(&text);
            prop_assert!(kept(&parsed) <= text.len());
            let longest = text.len() / "nameserver ::".len() + 1;
            prop_assert!(parsed.nameservers.len() <= longest);
            let config = parsed.with_tunnel(&addresses(&["192.0.2.7"]), None);
            let again = ResolvConf::parse(&config.render(Path::new("x")));
            prop_assert_eq!(again, config);
        }
    }
}
