//! Resources in messages: the client's view and the gateway's. spec: portal 5.4, 8.1

use super::{MAX_RESOURCES, MAX_SMALL_LIST, display_text, lenient, lenient_typed, typed};
use crate::DecodeError;
use ipnet::IpNet;
use model::{CidrResource, DnsResource, Filter, InternetResource, IpStack, Resource, ResourceId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What clients call the Internet Resource when the portal gives no name.
const INTERNET_NAME: &str = "Internet Resource";

/// All fields that a resource of any type has.
#[derive(Deserialize)]
struct WireResource {
    r#type: String,
    id: ResourceId,
    name: Option<String>,
    address: Option<String>,
    address_description: Option<String>,
    #[serde(default)]
    ip_stack: Option<IpStack>,
    gateway_groups: Option<Vec<Value>>,
    sites: Option<Vec<Value>>,
    filters: Option<Vec<Filter>>,
}

/// Reads a client's list of resources; bad ones and those of unknown types are left out.
pub(crate) fn client_resources(list: Option<Vec<Value>>) -> Vec<Resource> {
    lenient("resources", list, MAX_RESOURCES, client_resource)
}

/// Reads a resource as clients see it.
pub(crate) fn client_resource(value: Value) -> Result<Resource, DecodeError> {
    known_type(&value)?;
    let wire: WireResource = typed(value)?;
    if wire.sites.is_none() && wire.gateway_groups.is_none() {
        return Err(DecodeError::Malformed("the sites of a resource"));
    }
    resource(wire)
}

/// Reads a resource as gateways see it: without sites.
pub(crate) fn gateway_resource(value: Value) -> Result<Resource, DecodeError> {
    known_type(&value)?;
    let wire: WireResource = typed(value)?;
    // A missing list must not grant everything.
    if wire.filters.is_none() && wire.r#type != "internet" {
        return Err(DecodeError::Malformed("the filters of a resource"));
    }
    resource(wire)
}

/// Tells a type that a later portal may bring from a defect, before anything else is looked at.
fn known_type(value: &Value) -> Result<(), DecodeError> {
    match value.get("type").and_then(Value::as_str) {
        Some("cidr" | "dns" | "internet") => Ok(()),
        Some(_) => Err(DecodeError::Unknown),
        None => Err(DecodeError::Malformed("the type of a resource")),
    }
}

fn resource(wire: WireResource) -> Result<Resource, DecodeError> {
    const NAME: DecodeError = DecodeError::Malformed("the name of a resource");
    const ADDRESS: DecodeError = DecodeError::Malformed("the address of a resource");

    let sites = lenient_typed("sites", wire.sites.or(wire.gateway_groups), MAX_SMALL_LIST);
    let mut filters = wire.filters.unwrap_or_default();
    filters.truncate(MAX_SMALL_LIST);
    let name = wire.name.map(display_text);
    let address_description = wire.address_description.map(display_text);
    Ok(match wire.r#type.as_str() {
        "cidr" => Resource::Cidr(CidrResource {
            id: wire.id,
            name: name.ok_or(NAME)?,
            address: wire
                .address
                .and_then(|text| text.parse().ok())
                .filter(|net: &IpNet| *net == net.trunc())
                .ok_or(ADDRESS)?,
            address_description,
            sites,
            filters,
        }),
        "dns" => Resource::Dns(DnsResource {
            id: wire.id,
            name: name.ok_or(NAME)?,
            address: wire.address.filter(|a| a.len() <= 512).ok_or(ADDRESS)?,
            address_description,
            ip_stack: wire.ip_stack.unwrap_or_default(),
            sites,
            filters,
        }),
        "internet" => Resource::Internet(InternetResource {
            id: wire.id,
            name: name.unwrap_or_else(|| INTERNET_NAME.to_owned()),
            sites,
        }),
        _ => return Err(DecodeError::Unknown),
    })
}

/// The resource as clients of the older generation see it, with `gateway_groups`.
pub(crate) fn emit_for_client(resource: &Resource) -> Value {
    let mut fields = common(resource);
    let sites = json!(resource.sites());
    fields.insert("gateway_groups".into(), sites);
    match resource {
        Resource::Cidr(cidr) => {
            fields.insert(
                "address_description".into(),
                json!(cidr.address_description),
            );
        }
        Resource::Dns(dns) => {
            fields.insert("address_description".into(), json!(dns.address_description));
            if dns.ip_stack != IpStack::Dual {
                fields.insert("ip_stack".into(), json!(dns.ip_stack));
            }
        }
        Resource::Internet(_) => {
            fields.insert("name".into(), json!(resource.name()));
            fields.insert("can_be_disabled".into(), json!(true));
        }
    }
    Value::Object(fields)
}

/// The resource as gateways see it.
pub(crate) fn emit_for_gateway(resource: &Resource) -> Value {
    Value::Object(common(resource))
}

/// The members that both views have.
fn common(resource: &Resource) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("id".into(), json!(resource.id()));
    let (kind, address, filters) = match resource {
        Resource::Cidr(cidr) => ("cidr", cidr.address.to_string(), &cidr.filters),
        Resource::Dns(dns) => ("dns", dns.address.clone(), &dns.filters),
        Resource::Internet(_) => {
            fields.insert("type".into(), json!("internet"));
            return fields;
        }
    };
    fields.insert("type".into(), json!(kind));
    fields.insert("name".into(), json!(resource.name()));
    fields.insert("address".into(), json!(address));
    fields.insert("filters".into(), json!(filters));
    fields
}
