//! Arithmetic on networks: subnets, hosts by their place, ranges, merging; hardware addresses.

use minijinja::{Error, State, Value};

use super::ip::Net;
use super::ipaddr::read;
use super::numbers::int_value;
use crate::template::args::{Call, Entry, err, integer, items, list, map, opt_string, string, text};

pub const FILTERS: &[Entry] = &[
    ("ipsubnet", ipsubnet),
    ("nthhost", nthhost),
    ("network_in_usable", |_, c| {
        two_nets(c, |net, test| net.usable().is_some_and(|(a, b)| a <= test.first() && test.last() <= b))
    }),
    ("network_in_network", |_, c| two_nets(c, Net::contains)),
    ("reduce_on_network", reduce_on_network),
    ("next_nth_usable", |_, c| nth_usable(c, 1)),
    ("previous_nth_usable", |_, c| nth_usable(c, -1)),
    ("usable_range", usable_range),
    ("ipmath", ipmath),
    ("cidr_merge", cidr_merge),
    ("ip4_hex", ip4_hex),
    ("ipv6form", ipv6form),
    ("slaac", slaac),
    ("hwaddr", hwaddr),
    ("macaddr", hwaddr),
];

fn no() -> Value {
    Value::from(false)
}

fn ipsubnet(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, query, index] = call.bind(["value", "query", "index"], 1)?;
    let Some(given) = read(&value.unwrap_or_default(), "ipsubnet")? else { return Ok(no()) };
    let alone = given.net.size() == 1;
    let net = given.net.network();
    let query = query.map(|q| text(&q)).unwrap_or_default();
    if query.is_empty() {
        return Ok(Value::from(net.cidr()));
    }
    let index = match index {
        Some(i) if i.as_str() == Some("x") => None,
        Some(i) => Some(match i.as_str() {
            Some(s) => s.trim().parse().map_err(|_| err(format!("`index` must be a whole number, not `{s}`")))?,
            None => integer(&i, "index")?,
        }),
        None => None,
    };
    if let Ok(prefix) = query.trim().parse::<u32>() {
        if prefix > net.bits() {
            return Ok(Value::from(false));
        }
        return if alone { supernet(net, prefix, index) } else { subnet(net, prefix, index) };
    }
    let Some(outer) = Net::parse(&query) else {
        return Err(err(format!("`{query}` is neither a subnet nor an address")));
    };
    if !outer.contains(net) {
        return Err(err(format!("`{}` is not in the subnet `{}`", net.cidr(), outer.network().cidr())));
    }
    let place = (net.first() - outer.first()) >> (net.bits() - net.prefix).min(127);
    Ok(Value::from((place + 1).to_string()))
}

/// The network of that size around an address; by an index, the one with that many bits more.
fn supernet(net: Net, prefix: u32, index: Option<i64>) -> Result<Value, Error> {
    let Some(index) = index else { return Ok(Value::from(net.with_prefix(prefix).cidr())) };
    let count = i64::from(net.bits()) - i64::from(prefix);
    let place = if index < 0 { index + count } else { index };
    match u32::try_from(place) {
        Ok(place) if i64::from(place) < count => Ok(Value::from(net.with_prefix(prefix + place).cidr())),
        _ => Ok(no()),
    }
}

/// How many networks of a size are in one; by an index, one of them.
fn subnet(net: Net, prefix: u32, index: Option<i64>) -> Result<Value, Error> {
    if prefix < net.prefix {
        return Err(err(format!("a subnet of /{prefix} does not fit into `{}`", net.cidr())));
    }
    let count = 1u128.checked_shl(prefix - net.prefix).unwrap_or(u128::MAX);
    let Some(index) = index else { return Ok(Value::from(count.to_string())) };
    let offset = u128::from(index.unsigned_abs());
    let place = if index >= 0 { (offset < count).then_some(offset) } else { count.checked_sub(offset) };
    Ok(match place {
        Some(place) => {
            Value::from(net.at(net.first() + (place << (net.bits() - prefix).min(127))).with_prefix(prefix).cidr())
        }
        None => no(),
    })
}

fn nthhost(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, query] = call.bind(["value", "query"], 1)?;
    let Some(given) = read(&value.unwrap_or_default(), "nthhost")? else { return Ok(no()) };
    let Some(query) = query.map(|q| text(&q)).filter(|q| !q.is_empty()) else { return Ok(no()) };
    let place: i128 =
        query.trim().parse().map_err(|_| err(format!("`nthhost` needs a whole number, not `{query}`")))?;
    Ok(given.net.nth(place).map_or_else(no, |ip| Value::from(given.net.show(ip))))
}

fn net(value: &Value) -> Result<Net, Error> {
    read(value, "network")?
        .map(|g| g.net)
        .ok_or_else(|| err(format!("`{}` is neither an address nor a network", text(value))))
}

fn two_nets(call: Call, test: fn(Net, Net) -> bool) -> Result<Value, Error> {
    let [value, other] = call.bind(["value", "test"], 2)?;
    let (outer, inner) = (net(&value.unwrap_or_default())?, net(&other.unwrap_or_default())?);
    Ok(Value::from(outer.version == inner.version && test(outer, inner)))
}

fn reduce_on_network(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, network] = call.bind(["value", "network"], 2)?;
    let outer = net(&network.unwrap_or_default())?;
    let mut kept = vec![];
    for item in items(&value.unwrap_or_default())? {
        if outer.contains(net(&item)?) {
            kept.push(item);
        }
    }
    Ok(list(kept))
}

fn nth_usable(call: Call, sign: i128) -> Result<Value, Error> {
    let [value, offset] = call.bind(["value", "offset"], 2)?;
    let net = net(&value.unwrap_or_default())?;
    let offset = sign * i128::from(integer(&offset.unwrap_or_default(), "offset")?);
    let wanted = net.ip.checked_add_signed(offset);
    Ok(match (wanted, net.usable()) {
        (Some(ip), Some((low, high))) if low <= ip && ip <= high => Value::from(net.show(ip)),
        _ => Value::from(()),
    })
}

fn usable_range(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value] = call.bind(["ip"], 1)?;
    let net = net(&value.unwrap_or_default())?;
    if net.size() > 1 << 20 {
        return Err(err(format!("`{}` holds too many addresses to list them", net.cidr())));
    }
    let all = list((net.first()..=net.last()).map(|ip| Value::from(net.show(ip))));
    Ok(map([(Value::from("number_of_ips"), int_value(net.size() as i128)), (Value::from("usable_ips"), all)]))
}

fn ipmath(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, amount] = call.bind(["value", "amount"], 2)?;
    let net = net(&value.unwrap_or_default())?;
    let amount = i128::from(integer(&amount.unwrap_or_default(), "amount")?);
    match net.ip.checked_add_signed(amount).filter(|ip| net.version == 6 || *ip <= u128::from(u32::MAX)) {
        Some(ip) => Ok(Value::from(net.show(ip))),
        None => Err(err("there is no address so far away")),
    }
}

fn cidr_merge(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, action] = call.bind(["value", "action"], 1)?;
    let action = opt_string(action.as_ref(), "action")?.unwrap_or_else(|| "merge".into());
    let mut nets =
        items(&value.unwrap_or_default())?.iter().map(|v| Ok(net(v)?.network())).collect::<Result<Vec<_>, Error>>()?;
    match action.as_str() {
        "merge" => {
            nets.sort_by_key(|n| (n.version, n.first(), n.prefix));
            let mut merged: Vec<Net> = vec![];
            for net in nets {
                if merged.last().is_some_and(|m| m.contains(net)) {
                    continue;
                }
                merged.push(net);
                // two halves become the whole, again and again
                while let [.., a, b] = merged.as_slice() {
                    if a.version != b.version || a.prefix != b.prefix || a.prefix == 0 {
                        break;
                    }
                    let whole = a.with_prefix(a.prefix - 1);
                    if whole.first() != a.first() || !whole.contains(*b) {
                        break;
                    }
                    merged.truncate(merged.len() - 2);
                    merged.push(whole);
                }
            }
            Ok(list(merged.into_iter().map(|n| Value::from(n.cidr()))))
        }
        "span" => {
            let Some(first) = nets.first().copied() else { return Ok(Value::from(())) };
            let mut span = first;
            while !nets.iter().all(|n| span.contains(*n)) {
                if span.prefix == 0 {
                    return Err(err("addresses of both versions have no common network"));
                }
                span = span.with_prefix(span.prefix - 1);
            }
            Ok(Value::from(span.cidr()))
        }
        other => Err(err(format!("`cidr_merge` knows `merge` and `span`, not `{other}`"))),
    }
}

fn ip4_hex(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, delimiter] = call.bind(["arg", "delimiter"], 1)?;
    let net = net(&value.unwrap_or_default())?;
    if net.version != 4 {
        return Err(err("`ip4_hex` takes a version 4 address"));
    }
    let delimiter = opt_string(delimiter.as_ref(), "delimiter")?.unwrap_or_default();
    let bytes = (net.ip as u32).to_be_bytes();
    Ok(Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(&delimiter)))
}

fn ipv6form(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, form] = call.bind(["value", "format"], 2)?;
    let net = net(&value.unwrap_or_default())?;
    let groups = (0..8).rev().map(|i| (net.ip >> (16 * i)) as u16);
    Ok(Value::from(match opt_string(form.as_ref(), "format")?.unwrap_or_default().as_str() {
        _ if net.version == 4 => net.address(),
        "expand" => groups.map(|g| format!("{g:04x}")).collect::<Vec<_>>().join(":"),
        "x509" => groups.map(|g| format!("{g:x}")).collect::<Vec<_>>().join(":"),
        _ => net.address(),
    }))
}

/// The six bytes of a hardware address in any usual notation.
fn hardware(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split([':', '-', '.']).collect();
    let width = match parts.len() {
        1 => 12,
        2 => 6,
        3 => 4,
        6 => 2,
        _ => return None,
    };
    let mut digits = String::new();
    for part in parts {
        if part.is_empty() || part.len() > width {
            return None;
        }
        digits.push_str(&format!("{part:0>width$}"));
    }
    u64::from_str_radix(&digits, 16).ok()
}

fn slaac(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, query] = call.bind(["value", "query"], 1)?;
    let Some(given) = read(&value.unwrap_or_default(), "slaac")?.filter(|g| g.net.version == 6) else {
        return Ok(no());
    };
    let mac = string(&query.unwrap_or_default(), "query")?;
    let Some(mac) = hardware(&mac) else { return Ok(no()) };
    let (high, low) = (mac >> 24, mac & 0xff_ffff);
    let interface = ((high ^ 0x02_0000) << 40) | 0xff_fe00_0000 | low;
    let network = given.net.ip & !u128::from(u64::MAX);
    Ok(Value::from(given.net.show(network | u128::from(interface))))
}

fn hwaddr(_: &mut State, call: Call) -> Result<Value, Error> {
    let name = call.name;
    let [value, query, _alias] = call.bind(["value", "query", "alias"], 1)?;
    let value = text(&value.unwrap_or_default());
    let query = opt_string(query.as_ref(), "query")?.unwrap_or_default();
    let Some(mac) = hardware(&value) else {
        return match query.as_str() {
            "" | "bool" => Ok(Value::from(())),
            _ => Err(err(format!("`{value}` is no hardware address"))),
        };
    };
    let bytes: Vec<u8> = mac.to_be_bytes()[2..].to_vec();
    let joined = |width: usize, separator: &str, upper: bool| {
        let text = bytes
            .chunks(width)
            .map(|c| c.iter().map(|b| format!("{b:02x}")).collect::<String>())
            .collect::<Vec<_>>()
            .join(separator);
        Value::from(if upper { text.to_uppercase() } else { text })
    };
    Ok(match query.as_str() {
        "" => Value::from(value),
        "bool" => Value::from(true),
        "int" => Value::from(mac),
        "bare" => joined(6, "", true),
        "cisco" => joined(2, ".", false),
        "eui48" | "win" => joined(1, "-", true),
        "linux" => joined(1, ":", false),
        "unix" => Value::from(bytes.iter().map(|b| format!("{b:x}")).collect::<Vec<_>>().join(":")),
        "pgsql" | "postgresql" | "psql" => joined(3, ":", false),
        other => return Err(err(format!("`{name}` does not know the query `{other}`"))),
    })
}
