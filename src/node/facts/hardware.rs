//! Memory, processors, firmware's names, mounts, load, uptime.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Facts, Raw};

pub fn add(raw: &Raw, facts: &mut Facts) {
    memory(raw, facts);
    processors(raw, facts);
    let dmi = [
        ("bios_date", "bios_date"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("board_asset_tag", "board_asset_tag"),
        ("board_name", "board_name"),
        ("board_serial", "board_serial"),
        ("board_vendor", "board_vendor"),
        ("board_version", "board_version"),
        ("chassis_asset_tag", "chassis_asset_tag"),
        ("chassis_serial", "chassis_serial"),
        ("chassis_vendor", "chassis_vendor"),
        ("chassis_version", "chassis_version"),
        ("product_name", "product_name"),
        ("product_serial", "product_serial"),
        ("product_uuid", "product_uuid"),
        ("product_version", "product_version"),
        ("system_vendor", "sys_vendor"),
    ];
    for (fact, file) in dmi {
        facts.insert(fact.into(), json!(raw.dmi(file).unwrap_or("NA")));
    }
    facts.insert("form_factor".into(), json!(raw.dmi("chassis_type").map_or("NA", form_factor)));
    facts.insert("mounts".into(), mounts(raw));
    let load: Vec<f64> = raw.whole("/proc/loadavg").split(' ').take(3).filter_map(|n| n.parse().ok()).collect();
    if let [one, five, fifteen] = load[..] {
        facts.insert("loadavg".into(), json!({ "1m": one, "5m": five, "15m": fifteen }));
    }
    if let Some(up) = raw.whole("/proc/uptime").split('.').next().and_then(|s| s.parse::<u64>().ok()) {
        facts.insert("uptime_seconds".into(), json!(up));
    }
}

fn memory(raw: &Raw, facts: &mut Facts) {
    let text = raw.whole("/proc/meminfo");
    let read: HashMap<&str, i64> = text
        .lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key, value.split_whitespace().next()?.parse::<i64>().ok()? / 1024))
        })
        .collect();
    if read.is_empty() {
        return;
    }
    let get = |key: &str| read.get(key).copied().unwrap_or_default();
    let (total, free) = (get("MemTotal"), get("MemFree"));
    let nocache = free + get("Cached") + get("Buffers");
    facts.insert("memtotal_mb".into(), json!(total));
    facts.insert("memfree_mb".into(), json!(free));
    facts.insert("swaptotal_mb".into(), json!(get("SwapTotal")));
    facts.insert("swapfree_mb".into(), json!(get("SwapFree")));
    facts.insert(
        "memory_mb".into(),
        json!({
            "real": { "total": total, "used": total - free, "free": free },
            "nocache": { "free": nocache, "used": total - nocache },
            "swap": {
                "total": get("SwapTotal"),
                "free": get("SwapFree"),
                "used": get("SwapTotal") - get("SwapFree"),
                "cached": get("SwapCached"),
            },
        }),
    );
}

fn processors(raw: &Raw, facts: &mut Facts) {
    let text = raw.whole("/proc/cpuinfo");
    let mut list: Vec<Value> = vec![];
    let mut sockets: BTreeSet<String> = BTreeSet::new();
    let mut cores_of: HashMap<String, u64> = HashMap::new();
    let mut siblings_of: HashMap<String, u64> = HashMap::new();
    let mut socket = String::new();
    let mut count = 0u64;
    let mut models = 0u64;
    let machine = raw.section("m");
    let flags_key = if machine.trim() == "aarch64" { "Features" } else { "flags" };
    let mut flags: Option<Vec<&str>> = None;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "processor" => {
                count += 1;
                list.push(json!(value));
            }
            "model name" | "Model" | "vendor_id" | "cpu" | "Vendor" | "Processor" => {
                if key != "vendor_id" {
                    models += 1;
                }
                list.push(json!(value));
            }
            "physical id" => {
                socket = value.to_owned();
                sockets.insert(socket.clone());
            }
            "cpu cores" => {
                cores_of.insert(socket.clone(), value.parse().unwrap_or(1));
            }
            "siblings" => {
                siblings_of.insert(socket.clone(), value.parse().unwrap_or(1));
            }
            k if k == flags_key && flags.is_none() => flags = Some(value.split_whitespace().collect()),
            _ => {}
        }
    }
    let _ = models;
    let nproc = allowed_processors(raw.whole("/proc/self/status")).unwrap_or(count);
    let arm_or_power = ["arm", "aarch", "ppc"].iter().any(|m| machine.trim().starts_with(m));
    let (packages, cores, threads) = if arm_or_power || sockets.is_empty() {
        (count, if arm_or_power { 1 } else { count.max(1) }, 1)
    } else {
        let cores = cores_of.values().copied().next().unwrap_or(1).max(1);
        let siblings = siblings_of.values().copied().next().unwrap_or(cores);
        (sockets.len() as u64, cores, (siblings / cores).max(1))
    };
    let (cores, vcpus) =
        if sockets.is_empty() && !arm_or_power { (count, count) } else { (cores, threads * packages * cores) };
    facts.insert("processor".into(), Value::Array(list));
    facts.insert("processor_count".into(), json!(packages));
    facts.insert("processor_cores".into(), json!(cores));
    facts.insert("processor_threads_per_core".into(), json!(threads));
    facts.insert("processor_vcpus".into(), json!(vcpus));
    facts.insert("processor_nproc".into(), json!(nproc));
    facts.insert("flags".into(), json!(flags.unwrap_or_default()));
}

/// Counted from the affinity of our own shell: `Cpus_allowed_list: 0-3,8`.
fn allowed_processors(status: &str) -> Option<u64> {
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?;
    let mut n = 0;
    for range in list.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        n += to.parse::<u64>().ok()?.checked_sub(from.parse().ok()?)? + 1;
    }
    Some(n)
}

/// SMBIOS's chassis types.
fn form_factor(number: &str) -> &'static str {
    const NAMES: [&str; 36] = [
        "Unknown",
        "Other",
        "Unknown",
        "Desktop",
        "Low Profile Desktop",
        "Pizza Box",
        "Mini Tower",
        "Tower",
        "Portable",
        "Laptop",
        "Notebook",
        "Hand Held",
        "Docking Station",
        "All In One",
        "Sub Notebook",
        "Space-saving",
        "Lunch Box",
        "Main Server Chassis",
        "Expansion Chassis",
        "Sub Chassis",
        "Bus Expansion Chassis",
        "Peripheral Chassis",
        "RAID Chassis",
        "Rack Mount Chassis",
        "Sealed-case PC",
        "Multi-system",
        "CompactPCI",
        "AdvancedTCA",
        "Blade",
        "Blade Enclosure",
        "Tablet",
        "Convertible",
        "Detachable",
        "IoT Gateway",
        "Embedded PC",
        "Mini PC",
    ];
    number.parse::<usize>().ok().and_then(|n| NAMES.get(n)).copied().unwrap_or("NA")
}

fn mounts(raw: &Raw) -> Value {
    let figures = raw.section("d");
    // The same mount point may be listed twice; the figures are the visible file system's.
    let sizes: HashMap<&str, Vec<u64>> = figures
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.splitn(8, ':').collect();
            let numbers = fields.iter().take(7).map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>()?;
            Some((*fields.get(7)?, numbers))
        })
        .collect();
    let uuids = uuids(&raw.section("i"));
    let unescape =
        |s: &str| s.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    let mut list = vec![];
    for line in raw.whole("/proc/mounts").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [device, mount, fstype, options, dump, passno] = fields[..] else { continue };
        if !(device.starts_with('/') || device.contains(":/")) || fstype == "none" {
            continue;
        }
        let (device, mount) = (unescape(device), unescape(mount));
        let mut entry = json!({
            "mount": mount,
            "device": device,
            "fstype": fstype,
            "options": options,
            "dump": dump.parse::<u32>().unwrap_or(0),
            "passno": passno.parse::<u32>().unwrap_or(0),
            "uuid": uuids.get(device.trim_start_matches("/dev/")).map_or("N/A", String::as_str),
        });
        if let (Some(n), Value::Object(entry)) = (sizes.get(mount.as_str()), &mut entry) {
            let (fragment, block) = (n[0], n[1]);
            let figures = [
                ("size_total", fragment * n[2]),
                ("size_available", fragment * n[4]),
                ("block_size", block),
                ("block_total", n[2]),
                ("block_available", n[4]),
                ("block_used", n[2].saturating_sub(n[4])),
                ("inode_total", n[5]),
                ("inode_available", n[6]),
                ("inode_used", n[5].saturating_sub(n[6])),
            ];
            entry.extend(figures.map(|(key, value)| (key.to_owned(), json!(value))));
        }
        list.push(entry);
    }
    Value::Array(list)
}

/// `ls -l /dev/disk/by-uuid`: device name → uuid.
fn uuids(listing: &str) -> HashMap<String, String> {
    listing
        .lines()
        .filter_map(|line| {
            let (left, target) = line.split_once(" -> ")?;
            let uuid = left.rsplit(' ').next()?;
            Some((target.rsplit('/').next()?.to_owned(), uuid.to_owned()))
        })
        .collect()
}
