//! The text of `resolv.conf`: what we keep of it and what we write. spec: platform 4.2, 4.4
//!
//! Lines that nobody here understands are kept as they are, so that a new option of the C library
//! does not cost the user DNS.

use model::DomainName;
use std::{fmt::Write as _, net::IpAddr, path::Path};

/// First line of a file that we wrote. spec: platform 17
pub(crate) const MAGIC: &str = "# BEGIN Firezone DNS configuration";

/// A resolver as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nameserver {
    pub(crate) address: IpAddr,
    /// Name or index of the interface that a link-local address belongs to. RFC 4007 section 11
    pub(crate) zone: Option<String>,
}

/// A parsed file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// Resolvers in order.
    pub(crate) nameservers: Vec<Nameserver>,
    search: Vec<String>,
    domain: Option<String>,
    sortlist: Option<String>,
    options: Vec<String>,
    unknown: Vec<String>,
}

impl ResolvConf {
    /// Parses a file. Invalid addresses are left out: the C library ignores them, too.
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in text.lines() {
            let content = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = content.split_whitespace();
            let Some(directive) = words.next() else {
                continue;
            };
            match directive {
                "nameserver" => config.nameservers.extend(words.next().and_then(nameserver)),
                "domain" => config.domain = words.next().map(str::to_owned),
                "search" => config.search = words.map(str::to_owned).collect(),
                "sortlist" => config.sortlist = Some(words.collect::<Vec<_>>().join(" ")),
                "options" => config.options.extend(words.map(str::to_owned)),
                // Meaningless here, and dropped by the original.
                "lookup" | "family" => {}
                _ => config.unknown.push(line.trim_end().to_owned()),
            }
        }
        config
    }

    /// The same file with our resolvers and search domain.
    pub(crate) fn with_tunnel(&self, servers: &[IpAddr], search: Option<&DomainName>) -> Self {
        let mut config = self.clone();
        config.nameservers = servers.iter().copied().map(Nameserver::from).collect();
        config.search = search.map(ToString::to_string).into_iter().collect();
        // A larger value than the default of 1 would bypass the search domain.
        config
            .options
            .retain(|option| !option.starts_with("ndots:"));
        config
    }

    /// The file's text with the magic line in front. `backup` is named in it for humans.
    pub(crate) fn render(&self, backup: &Path) -> String {
        let mut text = format!(
            "{MAGIC}\n\
             # Delete the line above after editing this file, or the edit is undone.\n\
             # If you read this while no client is running, it crashed; its next start repairs\n\
             # this file. The original is {}.\n",
            backup.display()
        );
        for server in &self.nameservers {
            let zone = server.zone.iter().flat_map(|zone| ["%", zone.as_str()]);
            let value: String = zone.fold(server.address.to_string(), |text, part| text + part);
            line(&mut text, "nameserver", &value);
        }
        if let Some(domain) = &self.domain {
            line(&mut text, "domain", domain);
        }
        if !self.search.is_empty() {
            line(&mut text, "search", &self.search.join(" "));
        }
        if let Some(sortlist) = &self.sortlist {
            line(&mut text, "sortlist", sortlist);
        }
        for option in &self.options {
            line(&mut text, "options", option);
        }
        for unknown in &self.unknown {
            text.push_str(unknown);
            text.push('\n');
        }
        text.push('\n');
        text
    }
}

/// Whether we wrote the text.
pub(crate) fn is_ours(text: &str) -> bool {
    text.starts_with(MAGIC)
}

fn line(text: &mut String, directive: &str, value: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{directive} {value}").ok();
}

fn nameserver(word: &str) -> Option<Nameserver> {
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
        texts.iter().map(|t| nameserver(t).unwrap()).collect()
    }

    #[test]
    fn resolvers_are_found() {
        let config = ResolvConf::parse(ORIGINAL);
        let expected = nameservers(&["192.0.2.1", "fe80::1%eth0"]);
        assert_eq!(config.nameservers, expected);
        assert_eq!(expected[1].address, addresses(&["fe80::1"])[0]);
        assert_eq!(expected[1].zone.as_deref(), Some("eth0"));
    }

    #[test]
    fn byte_order_mark_hides_nothing() {
        let config = ResolvConf::parse("\u{feff}nameserver 192.0.2.1\r\n");
        assert_eq!(config.nameservers, nameservers(&["192.0.2.1"]));
    }

    #[test]
    fn everything_but_resolvers_search_list_and_ndots_is_kept() {
        let search = "corp.example".parse().unwrap();
        let text = ResolvConf::parse(ORIGINAL)
            .with_tunnel(&addresses(&["100.100.111.1"]), Some(&search))
            .render(Path::new("/etc/backup"));
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
        assert!(text.starts_with(MAGIC) && is_ours(&text) && text.contains("/etc/backup"));
        assert!(text.ends_with("\n\n"));
    }

    #[test]
    fn example_of_the_specification_is_reproduced() {
        let search = "corp.example".parse().unwrap();
        let text = ResolvConf::parse("nameserver 192.0.2.1\noptions timeout:2 trust-ad\n")
            .with_tunnel(&addresses(&["100.100.111.1"]), Some(&search))
            .render(Path::new("/etc/resolv.conf.before-firezone"));
        let body = text.lines().filter(|l| !l.starts_with('#'));
        let expected = "nameserver 100.100.111.1\nsearch corp.example\noptions timeout:2\n\
                        options trust-ad\n";
        assert_eq!(body.collect::<Vec<_>>().join("\n"), expected);
        assert_eq!(text.lines().next(), Some(MAGIC));
    }

    #[test]
    fn no_search_domain_empties_the_search_list() {
        let config = ResolvConf::parse(ORIGINAL).with_tunnel(&addresses(&["::1"]), None);
        assert!(!config.render(Path::new("x")).contains("search"));
    }

    proptest! {
        #[test]
        fn any_text_parses_and_what_is_rendered_parses_to_the_same(text in any::<String>()) {
            let config = ResolvConf::parse(&text).with_tunnel(&addresses(&["192.0.2.7"]), None);
            let again = ResolvConf::parse(&config.render(Path::new("x")));
            prop_assert_eq!(again, config);
        }
    }
}
