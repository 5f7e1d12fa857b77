//! The whole: builds hosts, plugs them together, starts the services.

use super::{
    fault::{Context as _, Fault},
    host::Host,
    layout::{self, Access, CLIENT, GATEWAYS},
    link::Netlink,
    namespace,
    router::{self, Counters, Nat},
    services::Service,
};
use std::{io, net::IpAddr};

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// How the client's router translates.
    pub client_nat: Nat,
    /// How the gateways' routers translate.
    pub gateway_nat: Nat,
    /// How many gateways there are, at most two.
    pub gateways: usize,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            client_nat: Nat::Cone,
            gateway_nat: Nat::Cone,
            gateways: 1,
        }
    }
}

/// Makes this process root of a user namespace of its own, unless it is root already.
///
/// Must be called before any thread starts.
///
/// # Errors
///
/// When the kernel does not allow it.
pub fn become_root() -> Result<(), Fault> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    namespace::become_root().map_err(|source| Fault::Missing {
        what: "the permission to make namespaces",
        remedy: format!("run as root, or allow user namespaces for everybody ({source})"),
    })
}

/// A running network without the programs.
#[derive(Debug)]
pub struct Testbed {
    // Services end before the hosts on which they run.
    _services: Vec<Service>,
    portal: Host,
    relays: Vec<Host>,
    client_router: Host,
    client: Host,
    gateways: Vec<Host>,
    gateway_routers: Vec<Host>,
    resource: Host,
    resolver: Host,
    _switch: Host,
}

impl Testbed {
    /// Lays the network.
    ///
    /// # Errors
    ///
    /// When a permission or a program is missing, or the kernel refuses something.
    pub fn build(spec: Spec) -> Result<Self, Fault> {
        let switch = Host::new("switch", None)?;
        switch.block_on("make a bridge", || async {
            Netlink::open()?.add_bridge("br0").await
        })?;
        let public = |name: &str, v4: &str, v6: &str| -> Result<Host, Fault> {
            let host = Host::new(name, Some(layout::RESOLVER))?;
            plug(
                &host,
                "eth0",
                &switch,
                &[format!("{v4}/24"), format!("{v6}/64")],
            )?;
            Ok(host)
        };
        let portal = public("portal", layout::PORTAL, layout::PORTAL6)?;
        let resolver = public("resolver", layout::RESOLVER, layout::RESOLVER6)?;
        let relays = (0..2)
            .map(|n| {
                let name = format!("relay{}", n + 1);
                public(
                    &name,
                    layout::RELAY_ADDRESSES[n],
                    layout::RELAY_ADDRESSES6[n],
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (client_router, client) = access("client", "natc", CLIENT, spec.client_nat, &switch)?;
        let resource = resource_host()?;
        let (mut gateways, mut gateway_routers) = (Vec::new(), Vec::new());
        for (n, (net, inner4, inner6)) in GATEWAYS.into_iter().take(spec.gateways).enumerate() {
            let (name, router) = (format!("gateway{}", n + 1), format!("natg{}", n + 1));
            let (router, gateway) = access(&name, &router, net, spec.gateway_nat, &switch)?;
            set_up_gateway(&gateway, &resource, inner4, inner6)?;
            gateways.push(gateway);
            gateway_routers.push(router);
        }
        let services = vec![Service::resource(&resource)?, Service::resolver(&resolver)?];
        let testbed = Self {
            _services: services,
            portal,
            relays,
            client_router,
            client,
            gateways,
            gateway_routers,
            resource,
            resolver,
            _switch: switch,
        };
        testbed.route_untranslated(&spec)?;
        Ok(testbed)
    }

    /// The host with the client.
    pub const fn client(&self) -> &Host {
        &self.client
    }

    /// The router in front of the client.
    pub const fn client_router(&self) -> &Host {
        &self.client_router
    }

    /// The hosts with the gateways.
    pub fn gateways(&self) -> &[Host] {
        &self.gateways
    }

    /// The routers in front of the gateways.
    pub fn gateway_routers(&self) -> &[Host] {
        &self.gateway_routers
    }

    /// The portal's host.
    pub const fn portal(&self) -> &Host {
        &self.portal
    }

    /// The relays' hosts.
    pub fn relays(&self) -> &[Host] {
        &self.relays
    }

    /// The host with everything that is to be reached.
    pub const fn resource(&self) -> &Host {
        &self.resource
    }

    /// The public resolver's host.
    pub const fn resolver(&self) -> &Host {
        &self.resolver
    }

    /// Datagrams that went through the client's router so far.
    ///
    /// # Errors
    ///
    /// When they cannot be counted.
    pub fn counters(&self) -> Result<Counters, Fault> {
        router::counters(&self.client_router)
    }

    /// Networks without translation are reachable from the whole public network.
    fn route_untranslated(&self, spec: &Spec) -> Result<(), Fault> {
        let mut open = Vec::new();
        if spec.client_nat == Nat::None {
            open.push(CLIENT);
        }
        if spec.gateway_nat == Nat::None {
            open.extend(GATEWAYS.iter().take(spec.gateways).map(|(net, _, _)| *net));
        }
        let everybody = [&self.portal, &self.resolver, &self.client_router]
            .into_iter()
            .chain(&self.relays)
            .chain(&self.gateway_routers);
        for host in everybody {
            for net in &open {
                let (to, via) = (net.network, bare(net.public));
                // A router needs no route to its own network, and the kernel says so.
                if let Err(fault) = add_route(host, to, via) {
                    tracing::debug!(error = %fault, host = host.name(), "Left a route out");
                }
            }
        }
        Ok(())
    }
}

/// Connects a host with a switch.
fn plug(host: &Host, link: &'static str, switch: &Host, addresses: &[String]) -> Result<(), Fault> {
    let port = format!("to-{}", host.name());
    connect(switch, port.clone(), host, link)?;
    let attach = move || async move { Netlink::open()?.attach(&port, "br0").await };
    switch.block_on(&format!("plug {} in", host.name()), attach)?;
    add_addresses(host, link, addresses)
}

fn connect(a: &Host, a_link: String, b: &Host, b_link: &'static str) -> Result<(), Fault> {
    let there = b
        .network()
        .try_clone_to_owned()
        .context(|| "share a namespace".to_owned())?;
    let add = move || async move { Netlink::open()?.add_pair(&a_link, b_link, there).await };
    a.block_on(&format!("make a link to {}", b.name()), add)
}

fn add_addresses(host: &Host, link: &'static str, addresses: &[String]) -> Result<(), Fault> {
    let addresses = addresses.to_owned();
    host.block_on("add addresses", move || async move {
        let netlink = Netlink::open()?;
        netlink.up("lo").await?;
        netlink.up(link).await?;
        for address in addresses {
            let address = address.parse().map_err(io::Error::other)?;
            netlink.add_address(link, address).await?;
        }
        Ok(())
    })
}

fn add_route(host: &Host, network: &'static str, via: &'static str) -> Result<(), Fault> {
    host.block_on(&format!("add a route to {network}"), move || async move {
        let network = network.parse().map_err(io::Error::other)?;
        let via: IpAddr = via.parse().map_err(io::Error::other)?;
        Netlink::open()?.add_route(network, via).await
    })
}

/// A router on the public network with a host behind it.
fn access(
    name: &str,
    router_name: &str,
    net: Access,
    nat: Nat,
    switch: &Host,
) -> Result<(Host, Host), Fault> {
    let router = Host::new(router_name, Some(layout::RESOLVER))?;
    plug(&router, "wan0", switch, &[net.public.to_owned()])?;
    let host = Host::new(name, Some(layout::RESOLVER))?;
    connect(&router, "lan0".to_owned(), &host, "eth0")?;
    add_addresses(&router, "lan0", &[net.router.to_owned()])?;
    router.set(&[("net/ipv4/ip_forward", "1")])?;
    router::load(&router, router::rules(nat, net.network))?;
    add_addresses(&host, "eth0", &[net.host.to_owned()])?;
    add_route(&host, "0.0.0.0/0", bare(net.router))?;
    // Everybody may ping, as on any desktop.
    host.set(&[("net/ipv4/ping_group_range", "0 0")])?;
    Ok((router, host))
}

fn resource_host() -> Result<Host, Fault> {
    let host = Host::new("resource", None)?;
    host.block_on("make a bridge", || async {
        Netlink::open()?.add_bridge("br0").await
    })?;
    let addresses = [
        format!("{}/24", layout::RESOURCE),
        format!("{}/64", layout::RESOURCE6),
    ];
    add_addresses(&host, "br0", &addresses)?;
    host.block_on("add many addresses", || async {
        let many = layout::MANY_NET.parse().map_err(io::Error::other)?;
        Netlink::open()?.add_local(many).await
    })?;
    Ok(host)
}

fn set_up_gateway(
    gateway: &Host,
    resource: &Host,
    inner4: &str,
    inner6: &str,
) -> Result<(), Fault> {
    plug(
        gateway,
        "eth1",
        resource,
        &[inner4.to_owned(), inner6.to_owned()],
    )?;
    add_route(gateway, layout::MANY_NET, layout::RESOURCE)?;
    gateway.set(&[
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
    ])?;
    // Its programs look names up where the resources are.
    gateway
        .run(|| {
            std::fs::write(
                "/etc/resolv.conf",
                format!("nameserver {}\n", layout::RESOURCE),
            )
        })?
        .context(|| "write the gateway's resolv.conf".to_owned())?;
    router::load(gateway, router::GATEWAY_RULES.to_owned())
}

/// An address without its prefix.
fn bare(address: &'static str) -> &'static str {
    address.split('/').next().unwrap_or(address)
}
