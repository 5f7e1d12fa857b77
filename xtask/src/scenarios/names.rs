//! Names, asked by `dig` as browsers and people ask.

mod dig;
mod unbound;

use super::Scene;
use crate::requirements;
use anyhow::{Context as _, Result, ensure};
use dig::Answer;
use serde_json::json;
use testbed::layout;
use unbound::Unbound;

/// How many addresses of each family stand for a name.
const PROXIES: usize = 4;

/// Makes sure of `dig` and `unbound`.
pub(super) fn require() -> Result<()> {
    requirements::program("dig", &["-v"], "bind9-dnsutils", false)?;
    requirements::program("unbound", &["-V"], "unbound", false)
}

/// Names of resources are answered at once over both transports, and nothing else may say
/// otherwise. spec: data-plane 12
pub(super) fn of_resources(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    scene.network.start_client()?;
    for transport in ["+notcp", "+tcp"] {
        ask_like_a_browser(scene, transport)?;
        for kind in ["A", "AAAA"] {
            let canary = dig::ask(scene, &[transport, "use-application-dns.net", kind])?;
            canary.require("NXDOMAIN", 0)?;
        }
        dig::ask(scene, &[transport, "www.public.test", "A"])?.require("NOERROR", 1)?;
        dig::ask(scene, &[transport, "nothing.test", "A"])?.require("NXDOMAIN", 0)?;
    }
    scene.use_it()?;
    scene.stop(&state)
}

/// Addresses of both families and services of one name, at the same time.
fn ask_like_a_browser(scene: &Scene<'_>, transport: &str) -> Result<()> {
    let kinds = [("A", PROXIES), ("AAAA", PROXIES), ("HTTPS", 0)];
    let asking: Vec<_> = kinds
        .iter()
        .map(|(kind, _)| dig::start(scene, &[transport, layout::RESOURCE_NAME, kind]))
        .collect::<Result<_>>()?;
    for (child, (kind, records)) in asking.into_iter().zip(kinds) {
        let answer = Answer::of(child)?;
        answer
            .require("NOERROR", records)
            .with_context(|| format!("{kind} over {transport}"))?;
        let addresses = answer.addresses();
        ensure!(
            addresses.iter().all(|address| is_proxy(address)),
            "these do not stand for a name: {addresses:?}"
        );
    }
    Ok(())
}

/// Whether an address stands for a name. spec: data-plane 12
fn is_proxy(address: &str) -> bool {
    address.starts_with("100.96.") || address.starts_with("fd00:2021:1111:8000:")
}

/// The portal names a resolver of another make. spec: data-plane 12.9
pub(super) fn of_a_resolver(scene: &mut Scene<'_>) -> Result<()> {
    let state = scene.testbed.client().network_state()?;
    let unbound = Unbound::start(scene)?;
    let upstream = json!({"cmd": "account", "upstream_dns": [unbound.address()]});
    scene.network.tell_portal(&upstream)?;
    scene.network.start_client()?;
    for transport in ["+notcp", "+tcp"] {
        let ask = |name: &str, kind: &str| dig::ask(scene, &[transport, name, kind]);
        ask_like_a_browser(scene, transport)?;
        for (kind, address) in [("A", layout::RESOLVER), ("AAAA", layout::RESOLVER6)] {
            let answer = ask(unbound::NAME, kind)?;
            ensure!(answer.addresses() == [address], "{kind}: {answer:?}");
        }
        ask(unbound::NAME, "HTTPS")?.require("NOERROR", 0)?;
        ask("nothing.public.test", "A")?.require("NXDOMAIN", 0)?;
        ask("use-application-dns.net", "A")?.require("NXDOMAIN", 0)?;
    }
    ask_for_texts(scene)?;
    scene.use_it()?;
    scene.stop(&state)
}

/// What does not fit a datagram is cut, and comes whole over TCP.
fn ask_for_texts(scene: &Scene<'_>) -> Result<()> {
    let texts = [
        // Name, options, whether the answer is cut.
        (unbound::MEDIUM, &["+noedns", "+ignore"][..], true),
        (unbound::MEDIUM, &["+bufsize=512", "+ignore"], true),
        (unbound::MEDIUM, &["+bufsize=1232", "+ignore"], false),
        (unbound::MEDIUM, &["+noedns"], false),
        (unbound::BIG, &["+bufsize=1232", "+ignore"], true),
        (unbound::BIG, &["+bufsize=4096", "+ignore"], true),
        (unbound::BIG, &["+bufsize=4096"], false),
        (unbound::BIG, &["+tcp"], false),
        (unbound::BIG, &["+tcp", "+noedns"], false),
    ];
    for ((name, length), options, is_cut) in texts {
        let answer = dig::ask(scene, &[options, &[name, "TXT"]].concat())?;
        let records = usize::from(!is_cut);
        answer
            .require("NOERROR", records)
            .with_context(|| format!("{name} with {options:?}"))?;
        ensure!(
            answer.is_cut == is_cut,
            "{name} with {options:?}: {answer:?}"
        );
        let expected = if is_cut { 0 } else { length };
        ensure!(
            answer.text_length() == expected,
            "{name} with {options:?} has {} bytes of text, not {expected}",
            answer.text_length()
        );
    }
    Ok(())
}
