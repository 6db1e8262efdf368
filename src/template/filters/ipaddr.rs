//! `ipaddr`, `ipv4`, `ipv6`, `ipwrap`: questions about addresses and networks.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::ip::Net;
use super::numbers::int_value;
use crate::template::args::{Call, Entry, err, is_sequence, items, list, text, truth};
use crate::template::types::type_name;

pub const FILTERS: &[Entry] = &[
    ("ipaddr", |_, c| filter(c, None)),
    ("ipv4", |_, c| filter(c, Some(4))),
    ("ipv6", |_, c| filter(c, Some(6))),
    ("ipwrap", ipwrap),
];

/// A value that could be read: the network, whether a prefix was written, and the text as it was given.
pub struct Given {
    pub net: Net,
    pub prefixed: bool,
    pub raw: String,
}

/// Reads a text or number; `None` if it is neither an address nor a network.
pub fn read(value: &Value, filter: &str) -> Result<Option<Given>, Error> {
    let number = |n: u128| {
        let version = if n <= u128::from(u32::MAX) { 4 } else { 6 };
        let net = Net::host(version, n);
        Given { net, prefixed: false, raw: net.address() }
    };
    match value.kind() {
        ValueKind::Bool => Ok(None),
        ValueKind::Number if value.is_integer() => Ok(u128::try_from(value.clone()).ok().map(number)),
        ValueKind::String => {
            let raw = value.as_str().unwrap_or_default();
            if !raw.is_empty() && raw.chars().all(|c| c.is_ascii_digit()) {
                return Ok(raw.parse().ok().map(number));
            }
            Ok(Net::parse(raw).map(|net| Given { net, prefixed: raw.contains('/'), raw: raw.to_owned() }))
        }
        _ => Err(err(format!("`{filter}` takes addresses as text, not {}", type_name(value)))),
    }
}

fn no() -> Value {
    Value::from(false)
}

fn none() -> Value {
    Value::from(())
}

fn filter(call: Call, version: Option<u8>) -> Result<Value, Error> {
    let name = call.name;
    let [value, query, own_version, _alias] = call.bind(["value", "query", "version", "alias"], 1)?;
    let value = value.unwrap_or_default();
    let query = query.map(|q| text(&q)).unwrap_or_default();
    let version = match own_version.filter(truth).map(|v| text(&v)) {
        None => version,
        Some(v) => v.trim_start_matches('v').parse().ok(),
    };
    answer(&value, &query, version, name)
}

/// The answer for one value, or for each of a list (those without an answer are left out).
pub fn answer(value: &Value, query: &str, version: Option<u8>, filter: &str) -> Result<Value, Error> {
    if is_sequence(value) {
        let mut out = vec![];
        for item in items(value)? {
            let one = answer(&item, query, version, filter)?;
            if truth(&one) {
                out.push(one);
            }
        }
        return Ok(list(out));
    }
    let Some(given) = read(value, filter)? else { return Ok(no()) };
    if version.is_some_and(|v| v != given.net.version) {
        return Ok(no());
    }
    ask(&given, query)
}

fn ask(given: &Given, query: &str) -> Result<Value, Error> {
    let net = given.net;
    let raw = || Value::from(given.raw.as_str());
    let cidr = || Value::from(net.cidr());
    let some = |condition: bool, value: String| if condition { Value::from(value) } else { none() };
    // a network's own address is no host's; of a network of two both are hosts'
    let at_start = net.ip == net.first();
    let host = net.size() <= 2 || !at_start;
    let address = host || net.version == 6;
    let within = |ip: Option<u128>| match (ip, net.usable()) {
        (Some(ip), Some((low, high))) if low <= ip && ip <= high => Value::from(net.show(ip)),
        _ => none(),
    };
    let network_only = || if given.prefixed { Ok(()) } else { Err(err(format!("`{}` is no network", given.raw))) };
    let wide = net.size() > 2 && !at_start;
    Ok(match query {
        "" => Value::from(if given.prefixed { net.cidr() } else { net.address() }),
        "bool" => Value::from(true),
        "address" | "ip" => some(address, net.address()),
        "ip/prefix" => some(wide || net.size() == 2, net.cidr()),
        "ip_netmask" => some(wide || net.size() == 2, format!("{} {}", net.address(), net.show(net.netmask()))),
        "ip_wildcard" => some(wide || net.size() == 2, format!("{} {}", net.address(), net.show(net.hostmask()))),
        "broadcast" => some(net.size() > 2, net.show(net.last())),
        "cidr" => cidr(),
        "address/prefix" | "gateway" | "gw" | "host/prefix" | "hostnet" | "router" => {
            if host {
                cidr()
            } else {
                no()
            }
        }
        "host" => some(host, net.cidr()),
        "hostmask" | "wildcard" => Value::from(net.show(net.hostmask())),
        "netmask" => Value::from(net.show(net.netmask())),
        "int" => {
            if given.prefixed {
                Value::from(format!("{}/{}", net.ip, net.prefix))
            } else {
                i128::try_from(net.ip).map_or_else(|_| Value::from(net.ip), int_value)
            }
        }
        "ipv4" | "v4" => match net.version {
            4 => raw(),
            _ if net.prefix >= 96 && (net.ip >> 32 == 0 || net.ip >> 32 == 0xffff) => {
                let v4 = Net { version: 4, ip: net.ip & u128::from(u32::MAX), prefix: net.prefix - 96 };
                Value::from(v4.cidr())
            }
            _ => no(),
        },
        "ipv6" | "v6" => match net.version {
            6 => raw(),
            _ => Value::from(Net { version: 6, ip: 0xffff << 32 | net.ip, prefix: net.prefix + 96 }.cidr()),
        },
        "first_usable" => {
            network_only()?;
            net.usable().map_or_else(none, |(first, _)| Value::from(net.show(first)))
        }
        "last_usable" => {
            network_only()?;
            net.usable().map_or_else(none, |(_, last)| Value::from(net.show(last)))
        }
        "range_usable" => {
            network_only()?;
            net.usable()
                .map_or_else(none, |(first, last)| Value::from(format!("{}-{}", net.show(first), net.show(last))))
        }
        "next_usable" => {
            network_only()?;
            within(net.ip.checked_add(1))
        }
        "previous_usable" => {
            network_only()?;
            within(net.ip.checked_sub(1))
        }
        "peer" => {
            network_only()?;
            peer(net)?
        }
        "link-local" => {
            if net.is_link_local() {
                raw()
            } else {
                none()
            }
        }
        "loopback" | "lo" => {
            if net.is_loopback() {
                raw()
            } else {
                none()
            }
        }
        "multicast" => {
            if net.is_multicast() {
                raw()
            } else {
                none()
            }
        }
        "unicast" => {
            if net.is_multicast() {
                none()
            } else {
                raw()
            }
        }
        "private" => {
            if net.is_private() {
                raw()
            } else {
                none()
            }
        }
        "public" => {
            if net.is_private() || net.is_multicast() {
                none()
            } else {
                raw()
            }
        }
        "net" => some(net.size() > 1 && at_start, net.cidr()),
        "network" | "network_id" => Value::from(net.show(net.first())),
        "network/prefix" | "subnet" => Value::from(net.network().cidr()),
        "network_netmask" => Value::from(format!("{} {}", net.show(net.first()), net.show(net.netmask()))),
        "network_wildcard" => Value::from(format!("{} {}", net.show(net.first()), net.show(net.hostmask()))),
        "prefix" => Value::from(net.prefix),
        "revdns" => Value::from(reverse_name(net)),
        "size" => i128::try_from(net.size()).map_or_else(|_| Value::from(net.size()), int_value),
        "size_usable" => match net.size() {
            1 => Value::from(0),
            2 => Value::from(2),
            n => i128::try_from(n - 2).map_or_else(|_| Value::from(n - 2), int_value),
        },
        "type" => Value::from(if is_address(net) { "address" } else { "network" }),
        "version" => Value::from(net.version),
        "wrap" => match (net.version, given.raw.split_once('/')) {
            (6, Some((ip, prefix))) => Value::from(format!("[{ip}]/{prefix}")),
            (6, None) => Value::from(format!("[{}]", given.raw)),
            _ => raw(),
        },
        "6to4" => match net.version {
            6 if net.ip >> 112 == 0x2002 => raw(),
            4 if is_address(net) && !net.is_multicast() => {
                Value::from(format!("2002:{:04x}:{:04x}::1/48", net.ip >> 16 & 0xffff, net.ip & 0xffff))
            }
            _ => no(),
        },
        other => return place_or_lookup(given, other),
    })
}

/// A network's own address with room for others is a network, anything else an address.
fn is_address(net: Net) -> bool {
    net.size() == 1 || net.ip != net.first()
}

fn peer(net: Net) -> Result<Value, Error> {
    match net.size() {
        2 => Ok(Value::from(net.show(net.ip ^ 1))),
        4 if net.ip == net.first() => Err(err("the address of a network of four has no peer")),
        4 if net.ip == net.last() => Err(err("the broadcast address of a network of four has no peer")),
        4 => Ok(Value::from(net.show(net.ip ^ 3))),
        _ => Err(err(format!("`{}` is no point-to-point network", net.cidr()))),
    }
}

fn reverse_name(net: Net) -> String {
    if net.version == 4 {
        let bytes = (net.ip as u32).to_be_bytes();
        return format!("{}.{}.{}.{}.in-addr.arpa.", bytes[3], bytes[2], bytes[1], bytes[0]);
    }
    let digits: Vec<String> = format!("{:032x}", net.ip).chars().rev().map(|c| c.to_string()).collect();
    format!("{}.ip6.arpa.", digits.join("."))
}

/// A number asks for an address by its place, a network whether the value lies in it.
fn place_or_lookup(given: &Given, query: &str) -> Result<Value, Error> {
    let net = given.net;
    if let Ok(place) = query.trim().parse::<i128>() {
        if net.size() == 1 {
            return Ok(Value::from(given.raw.as_str()));
        }
        return Ok(net.nth(place).map_or_else(no, |ip| Value::from(net.at(ip).cidr())));
    }
    match Net::parse(query) {
        Some(outer) => Ok(
            if outer.contains(net) || (outer.version == net.version && outer.contains(Net::host(net.version, net.ip))) {
                Value::from(given.raw.as_str())
            } else {
                none()
            },
        ),
        None => Err(err(format!("`ipaddr` does not know the query `{query}`"))),
    }
}

fn ipwrap(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, _query] = call.bind(["value", "query"], 1)?;
    let value = value.unwrap_or_default();
    let one = |value: &Value| -> Result<Value, Error> {
        Ok(match read(value, "ipwrap")? {
            Some(given) if given.net.version == 6 => ask(&given, "wrap")?,
            _ => value.clone(),
        })
    };
    if is_sequence(&value) {
        items(&value)?.iter().map(one).collect::<Result<Vec<_>, _>>().map(list)
    } else {
        one(&value)
    }
}
