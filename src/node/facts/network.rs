//! Interfaces, addresses, default routes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{Facts, Raw};

#[derive(Default)]
struct Interface {
    v4: Vec<V4>,
    v6: Vec<Value>,
    mac: Option<String>,
    mtu: Option<u32>,
    promisc: bool,
}

struct V4 {
    address: Ipv4Addr,
    prefix: u32,
    broadcast: String,
    label: String,
}

impl V4 {
    fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::MAX.checked_shl(32 - self.prefix.min(32)).unwrap_or(0))
    }

    fn facts(&self) -> Value {
        let network = Ipv4Addr::from(u32::from(self.address) & u32::from(self.netmask()));
        json!({
            "address": self.address.to_string(),
            "broadcast": self.broadcast,
            "netmask": self.netmask().to_string(),
            "network": network.to_string(),
            "prefix": self.prefix.to_string(),
        })
    }
}

pub fn add(raw: &Raw, facts: &mut Facts) {
    let mut interfaces: BTreeMap<String, Interface> = raw
        .flag_list
        .iter()
        .filter_map(|f| f.strip_prefix("/sys/class/net/"))
        .filter(|name| !name.contains('/') && *name != "bonding_masters" && *name != "*")
        .map(|name| (name.to_owned(), Interface::default()))
        .collect();
    if raw.reply.has("a") {
        read_ip(&raw.section("a"), &mut interfaces);
    } else {
        read_proc(raw, &mut interfaces);
    }
    let mut all4 = vec![];
    let mut all6 = vec![];
    for (name, interface) in &interfaces {
        for v4 in &interface.v4 {
            if !v4.address.is_loopback() {
                all4.push(json!(v4.address.to_string()));
            }
        }
        all6.extend(interface.v6.iter().filter(|v| v["address"] != "::1").map(|v| v["address"].clone()));
        facts.insert(name.replace(['-', ':'], "_"), interface_facts(raw, name, interface));
    }
    facts.insert("interfaces".into(), json!(interfaces.keys().collect::<Vec<_>>()));
    facts.insert("all_ipv4_addresses".into(), Value::Array(all4));
    facts.insert("all_ipv6_addresses".into(), Value::Array(all6));
    facts.insert("default_ipv4".into(), default_v4(raw, &interfaces));
    facts.insert("default_ipv6".into(), default_v6(raw, &interfaces));
}

/// `ip addr`.
fn read_ip(text: &str, interfaces: &mut BTreeMap<String, Interface>) {
    let mut current: Option<String> = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).and_then(|i| words.get(i + 1)).copied();
        if !line.starts_with(' ') {
            // `2: eth0@if7: <BROADCAST,UP> mtu 1500 …`
            let Some(name) = words.get(1) else { continue };
            let name = name.trim_end_matches(':').split('@').next().unwrap_or("").to_owned();
            let interface = interfaces.entry(name.clone()).or_default();
            interface.mtu = after("mtu").and_then(|m| m.parse().ok());
            interface.promisc = words.get(2).is_some_and(|flags| flags.contains("PROMISC"));
            current = Some(name);
            continue;
        }
        let Some(interface) = current.as_ref().and_then(|n| interfaces.get_mut(n)) else { continue };
        match words[..] {
            [kind, mac, ..] if kind.starts_with("link/") => interface.mac = Some(mac.to_owned()),
            ["inet", address, ..] => {
                let (address, prefix) = address.split_once('/').unwrap_or((address, "32"));
                // A point-to-point address is written without a prefix, the peer has it.
                let prefix = after("peer").and_then(|p| p.split_once('/')).map_or(prefix, |(_, p)| p);
                if let (Ok(address), Ok(prefix)) = (address.parse(), prefix.parse()) {
                    interface.v4.push(V4 {
                        address,
                        prefix,
                        broadcast: after("brd").unwrap_or("").to_owned(),
                        label: label(&words),
                    });
                }
            }
            ["inet6", address, ..] => {
                let (address, prefix) = address.split_once('/').unwrap_or((address, "128"));
                let scope = after("scope").unwrap_or("");
                interface.v6.push(json!({ "address": address, "prefix": prefix, "scope": scope }));
            }
            _ => {}
        }
    }
}

/// The last word of an `inet` line that is no keyword's value.
fn label(words: &[&str]) -> String {
    words.last().copied().unwrap_or("").to_owned()
}

/// A node without `ip`: /proc/net and `ifconfig`.
fn read_proc(raw: &Raw, interfaces: &mut BTreeMap<String, Interface>) {
    for line in raw.whole("/proc/net/if_inet6").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [hex, _, prefix, scope, _, name] = words[..] else { continue };
        let (Ok(bits), Ok(prefix)) = (u128::from_str_radix(hex, 16), u32::from_str_radix(prefix, 16)) else { continue };
        let scope = match scope {
            "10" => "host",
            "20" => "link",
            "40" => "site",
            _ => "global",
        };
        let address = std::net::Ipv6Addr::from(bits).to_string();
        let entry = json!({ "address": address, "prefix": prefix.to_string(), "scope": scope });
        interfaces.entry(name.to_owned()).or_default().v6.push(entry);
    }
    let mut current = String::new();
    for line in raw.section("ifconfig").lines() {
        if !line.starts_with([' ', '\t']) {
            current = line.split([' ', ':']).next().unwrap_or("").to_owned();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        // `inet addr:10.0.0.1 Bcast:… Mask:…` (busybox) or `inet 10.0.0.1 netmask … broadcast …`.
        let value = |old: &str, new: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(old))
                .or_else(|| words.iter().position(|w| *w == new).and_then(|i| words.get(i + 1)).copied())
        };
        if let (Some("inet"), false) = (words.first().copied(), current.is_empty()) {
            let address = value("addr:", "inet").and_then(|a| a.parse().ok());
            let mask: Option<Ipv4Addr> = value("Mask:", "netmask").and_then(|m| m.parse().ok());
            if let (Some(address), Some(mask)) = (address, mask) {
                interfaces.entry(current.clone()).or_default().v4.push(V4 {
                    address,
                    prefix: u32::from(mask).count_ones(),
                    broadcast: value("Bcast:", "broadcast").unwrap_or("").to_owned(),
                    label: current.clone(),
                });
            }
        }
    }
}

fn interface_facts(raw: &Raw, name: &str, interface: &Interface) -> Value {
    let sys = |file: &str| raw.file(&format!("/sys/class/net/{name}/{file}"));
    let mut facts = Map::new();
    facts.insert("device".into(), json!(name));
    facts.insert("active".into(), json!(sys("operstate").is_none_or(|s| s != "down")));
    let mtu = sys("mtu").and_then(|m| m.parse::<u32>().ok()).or(interface.mtu);
    if let Some(mtu) = mtu {
        facts.insert("mtu".into(), json!(mtu));
    }
    let mac = sys("address").map(str::to_owned).or_else(|| interface.mac.clone());
    if let Some(mac) = mac.filter(|m| m != "00:00:00:00:00:00" && m.contains(':')) {
        facts.insert("macaddress".into(), json!(mac));
    }
    let flags = sys("flags").and_then(|f| u32::from_str_radix(f.trim_start_matches("0x"), 16).ok());
    facts.insert("promisc".into(), json!(flags.map_or(interface.promisc, |f| f & 0x100 != 0)));
    if let Some(speed) = sys("speed").and_then(|s| s.parse::<i64>().ok()) {
        facts.insert("speed".into(), json!(speed));
    }
    let mut kind = match sys("type") {
        Some("1") => Some("ether"),
        Some("32") => Some("infiniband"),
        Some("512") => Some("ppp"),
        Some("772") => Some("loopback"),
        Some("65534") => Some("tunnel"),
        _ => None,
    };
    if raw.has(&format!("/sys/class/net/{name}/bridge")) {
        kind = Some("bridge");
        let prefix = format!("/sys/class/net/{name}/brif/");
        let members: Vec<&str> = raw.flag_list.iter().filter_map(|f| f.strip_prefix(prefix.as_str())).collect();
        facts.insert("interfaces".into(), json!(members));
        if let Some(id) = sys("bridge/bridge_id") {
            facts.insert("id".into(), json!(id));
        }
        if let Some(stp) = sys("bridge/stp_state") {
            facts.insert("stp".into(), json!(stp == "1"));
        }
    }
    if raw.has(&format!("/sys/class/net/{name}/bonding")) {
        kind = Some("bonding");
        let slaves: Vec<&str> = sys("bonding/slaves").map(|s| s.split(' ').collect()).unwrap_or_default();
        facts.insert("slaves".into(), json!(slaves));
        facts.insert("mode".into(), json!(sys("bonding/mode").and_then(|m| m.split(' ').next()).unwrap_or("")));
        facts.insert("miimon".into(), json!(sys("bonding/miimon").unwrap_or("")));
    }
    if let Some(kind) = kind {
        facts.insert("type".into(), json!(kind));
    }
    // `lrwxrwxrwx … /sys/class/net/eth0/device -> ../../../virtio2`
    let listing = raw.section("dev");
    let device =
        listing.lines().find_map(|l| l.split_once(&format!("/net/{name}/device -> "))).map(|(_, target)| target);
    if let Some(id) = device.and_then(|t| t.rsplit('/').next()) {
        facts.insert("pciid".into(), json!(id));
    }
    if let Some((first, rest)) = interface.v4.split_first() {
        facts.insert("ipv4".into(), first.facts());
        if !rest.is_empty() {
            facts.insert("ipv4_secondaries".into(), rest.iter().map(V4::facts).collect());
        }
    }
    if !interface.v6.is_empty() {
        facts.insert("ipv6".into(), Value::Array(interface.v6.clone()));
    }
    Value::Object(facts)
}

/// A word of `ip route get`'s answer.
fn route_word(text: &str, word: &str) -> Option<String> {
    let mut words = text.lines().next()?.split_whitespace();
    words.find(|w| *w == word)?;
    words.next().map(str::to_owned)
}

fn common(raw: &Raw, name: &str, interface: &Interface) -> Map<String, Value> {
    let facts = interface_facts(raw, name, interface);
    let mut map = Map::new();
    for key in ["macaddress", "mtu", "type"] {
        if let Some(value) = facts.get(key) {
            map.insert(key.into(), value.clone());
        }
    }
    map
}

fn default_v4(raw: &Raw, interfaces: &BTreeMap<String, Interface>) -> Value {
    let route = raw.section("r4");
    let mut map = Map::new();
    let mut gateway = route_word(&route, "via");
    let mut device = route_word(&route, "dev");
    let source = route_word(&route, "src");
    if device.is_none() {
        // /proc/net/route: the destination 00000000, addresses as little-endian hex.
        let default = raw.whole("/proc/net/route").lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        if let Some(fields) = default.into_iter().find(|f| f.get(1) == Some(&"00000000")) {
            device = fields.first().map(|s| (*s).to_owned());
            gateway = fields
                .get(2)
                .and_then(|g| u32::from_str_radix(g, 16).ok())
                .map(|g| Ipv4Addr::from(g.swap_bytes()).to_string());
        }
    }
    let Some(device) = device else { return json!({}) };
    if let Some(gateway) = gateway {
        map.insert("gateway".into(), json!(gateway));
    }
    map.insert("interface".into(), json!(device));
    if let Some(interface) = interfaces.get(&device) {
        let chosen = interface
            .v4
            .iter()
            .find(|v| source.as_ref().is_some_and(|s| *s == v.address.to_string()))
            .or_else(|| interface.v4.first());
        if let Some(v4) = chosen {
            if let Value::Object(more) = v4.facts() {
                map.extend(more);
            }
            map.insert("alias".into(), json!(v4.label));
            map.extend(common(raw, &device, interface));
        }
    }
    Value::Object(map)
}

fn default_v6(raw: &Raw, interfaces: &BTreeMap<String, Interface>) -> Value {
    let route = raw.section("r6");
    let Some(device) = route_word(&route, "dev").filter(|_| !route.contains("unreachable")) else { return json!({}) };
    let mut map = Map::new();
    if let Some(gateway) = route_word(&route, "via") {
        map.insert("gateway".into(), json!(gateway));
    }
    map.insert("interface".into(), json!(device));
    let source = route_word(&route, "src");
    if let (Some(interface), Some(source)) = (interfaces.get(&device), source)
        && let Some(Value::Object(v6)) = interface.v6.iter().find(|v| v["address"] == json!(source))
    {
        map.extend(v6.clone());
        map.extend(common(raw, &device, interface));
    }
    Value::Object(map)
}
