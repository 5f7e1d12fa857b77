//! The words of the report.

use client::{DropReason, PathKind, PortalState, SiteState};
use model::Resource;

pub(super) const fn portal(state: PortalState) -> &'static str {
    match state {
        PortalState::Connecting => "connecting",
        PortalState::Connected => "connected",
        PortalState::Disconnected => "disconnected",
    }
}

pub(super) const fn path(kind: Option<PathKind>) -> &'static str {
    match kind {
        None => "connecting",
        Some(PathKind::PeerToPeer) => "direct",
        Some(PathKind::RelayToPeer) => "through our relay",
        Some(PathKind::PeerToRelay) => "through its relay",
        Some(PathKind::RelayToRelay) => "through both relays",
    }
}

pub(super) const fn site(state: SiteState) -> &'static str {
    match state {
        SiteState::Unknown => "unknown",
        SiteState::Offline => "offline",
        SiteState::Online => "online",
    }
}

pub(super) fn address(resource: &Resource) -> String {
    match resource {
        Resource::Cidr(resource) => resource.address.to_string(),
        Resource::Dns(resource) => resource.address.clone(),
        Resource::Internet(_) => "everything else".to_owned(),
    }
}

/// The reason's name in lower case with hyphens, the inner one behind a dot.
pub(super) fn reason(reason: DropReason) -> String {
    let mut name = String::new();
    for c in format!("{reason:?}").chars() {
        let at_start = name.is_empty() || name.ends_with('.');
        match c {
            '(' => name.push('.'),
            'A'..='Z' if !at_start => name.extend(['-', c.to_ascii_lowercase()]),
            c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_names_for_scripts() {
        assert_eq!(reason(DropReason::NoResource), "no-resource");
        assert_eq!(reason(DropReason::NotDns), "not-dns");
    }

    #[test]
    fn every_path_has_words_of_its_own() {
        let paths = [
            None,
            Some(PathKind::PeerToPeer),
            Some(PathKind::PeerToRelay),
            Some(PathKind::RelayToPeer),
            Some(PathKind::RelayToRelay),
        ];
        let words: std::collections::BTreeSet<_> = paths.into_iter().map(path).collect();
        assert_eq!(words.len(), paths.len());
    }
}
