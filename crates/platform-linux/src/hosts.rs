//! The table of hosts, hosts(5).

use std::{net::IpAddr, path::Path};

/// Largest table that is read, in bytes.
const MAX_TABLE: u64 = 1 << 20;

/// The addresses that the table gives a name; none if there is no table.
pub(crate) fn look_up(table: &Path, name: &str) -> Vec<IpAddr> {
    let small = std::fs::metadata(table).is_ok_and(|metadata| metadata.len() <= MAX_TABLE);
    let text = if small {
        std::fs::read_to_string(table).unwrap_or_default()
    } else {
        String::new()
    };
    addresses(&text, name)
}

fn addresses(table: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_found_whatever_their_case() {
        let table = "# portal 9.9.9.9\n192.0.2.1 portal.test Portal # old.test\n\
                     2001:db8::1\tportal.test\nbroken portal.test\n192.0.2.2\n";
        let found = |name| addresses(table, name);
        assert_eq!(
            found("PORTAL.test."),
            ["192.0.2.1", "2001:db8::1"].map(|a| a.parse::<IpAddr>().unwrap())
        );
        assert_eq!(found("portal").len(), 1);
        assert!(found("old.test").is_empty());
    }

    #[test]
    fn without_a_table_no_name_is_known() {
        assert!(look_up(Path::new("/nonexistent/hosts"), "localhost").is_empty());
    }
}
