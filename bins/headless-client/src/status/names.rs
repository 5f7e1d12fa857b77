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

/// Scripts rely on these names: `DropReason` has them as they are.
pub(super) fn reason(reason: DropReason) -> String {
    reason.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Reason as _;

    #[test]
    fn reasons_have_names_for_scripts() {
        assert_eq!(reason(DropReason::NoResource), "no-resource");
        assert_eq!(reason(DropReason::NotDns), "not-dns");
        let names = DropReason::ALL.iter().map(|&known| reason(known));
        let names: std::collections::BTreeSet<String> = names.collect();
        assert_eq!(names.len(), DropReason::ALL.len());
        for name in ["connectivity.bad-mac", "malformed.fragment"] {
            assert!(names.contains(name), "{name}");
        }
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '-' || c == '.';
        assert!(names.iter().all(|name| name.chars().all(is_plain)));
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
