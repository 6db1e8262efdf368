//! The running system: kernel, names, user, environment, clock, service manager, security, local facts.

use serde_json::{Value, json};

use super::{Facts, Raw};

pub fn add(raw: &Raw, facts: &mut Facts) {
    let mut put = |key: &str, value: Value| {
        facts.insert(key.to_owned(), value);
    };
    let machine = raw.section("m").trim().to_owned();
    let kernel = |name: &str| raw.file(&format!("/proc/sys/kernel/{name}")).unwrap_or("").to_owned();
    put("system", json!(kernel("ostype")));
    put("kernel", json!(kernel("osrelease")));
    put("kernel_version", json!(kernel("version")));
    put("machine", json!(machine));
    let bits = if machine.ends_with("64") || machine == "s390x" || machine == "ppc64le" { "64" } else { "32" };
    put("userspace_bits", json!(bits));
    let user_arch = match (bits, machine.as_str()) {
        ("32", m) if m.starts_with('i') && m.ends_with("86") => "i386".to_owned(),
        (_, m) => m.to_owned(),
    };
    put("userspace_architecture", json!(user_arch));
    put("architecture", json!(user_arch));
    let nodename = kernel("hostname");
    put("nodename", json!(nodename));
    put("hostname", json!(nodename.split('.').next().unwrap_or("")));
    let fqdn = fqdn(raw, &nodename);
    put("domain", json!(fqdn.split_once('.').map_or("", |(_, d)| d)));
    put("fqdn", json!(fqdn));
    let machine_id = raw.file("/var/lib/dbus/machine-id").or_else(|| raw.file("/etc/machine-id"));
    put("machine_id", machine_id.map_or(Value::Null, |id| json!(id)));
    user(raw, &mut put);
    let environ = raw.whole("/proc/self/environ");
    let env: serde_json::Map<String, Value> =
        environ.split('\0').filter_map(|e| e.split_once('=')).map(|(k, v)| (k.to_owned(), json!(v))).collect();
    put("env", Value::Object(env));
    if let Some(clock) = date_time(&raw.section("t")) {
        put("date_time", clock);
    }
    put("service_mgr", json!(service_manager(raw)));
    put("fips", json!(raw.file("/proc/sys/crypto/fips_enabled") == Some("1")));
    put("apparmor", json!({ "status": if raw.has("/sys/kernel/security/apparmor") { "enabled" } else { "disabled" } }));
    put("selinux", selinux(raw));
    put("selinux_python_present", json!(true));
    put("is_chroot", json!(is_chroot(raw)));
    let command_line = raw.whole("/proc/cmdline");
    put("cmdline", cmdline(command_line, false));
    put("proc_cmdline", cmdline(command_line, true));
    put("dns", dns(raw.whole("/etc/resolv.conf")));
    for kind in ["dsa", "rsa", "ecdsa", "ed25519"] {
        if let Some(key) = raw.file(&format!("/etc/ssh/ssh_host_{kind}_key.pub")) {
            let mut words = key.split_whitespace();
            if let (Some(name), Some(blob)) = (words.next(), words.next()) {
                put(&format!("ssh_host_key_{kind}_public_keytype"), json!(name));
                put(&format!("ssh_host_key_{kind}_public"), json!(blob));
            }
        }
    }
    let initiator = raw.whole("/etc/iscsi/initiatorname.iscsi");
    let iqn = initiator.lines().find_map(|l| l.trim().strip_prefix("InitiatorName=")).unwrap_or("");
    put("iscsi_iqn", json!(iqn));
    put("hostnqn", json!(raw.file("/etc/nvme/hostnqn").unwrap_or("")));
    python(raw, &mut put);
    put("local", local(raw));
}

fn user(raw: &Raw, put: &mut dyn FnMut(&str, Value)) {
    let ids = raw.section("ids");
    let mut ids = ids.split(' ').map(|n| n.trim().parse::<u32>().unwrap_or_default());
    let (uid, gid) = (ids.next().unwrap_or_default(), ids.next().unwrap_or_default());
    let passwd = raw.section("u");
    let number = uid.to_string();
    let entry = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&number.as_str()));
    if let Some(fields) = entry {
        let field = |i: usize| fields.get(i).copied().unwrap_or("");
        put("user_id", json!(field(0)));
        put("user_uid", json!(uid));
        put("user_gid", json!(field(3).parse::<u32>().unwrap_or(gid)));
        put("user_gecos", json!(field(4)));
        put("user_dir", json!(field(5)));
        put("user_shell", json!(field(6)));
    }
    put("real_user_id", json!(uid));
    put("effective_user_id", json!(uid));
    put("real_group_id", json!(gid));
    put("effective_group_id", json!(gid));
}

/// The name with its domain: of the host's names in the host database the first with a dot, else the first.
fn fqdn(raw: &Raw, nodename: &str) -> String {
    if nodename.contains('.') {
        // Already qualified, unless the database says otherwise below.
    }
    let lookup = raw.section("h");
    let hosts = raw.section("hosts");
    let line = lookup.lines().rev().find(|l| !l.trim().is_empty()).or_else(|| {
        hosts.lines().find(|l| !l.starts_with('#') && l.split_whitespace().skip(1).any(|name| name == nodename))
    });
    let Some(line) = line else { return nodename.to_owned() };
    let names: Vec<&str> = line.split_whitespace().skip(1).collect();
    let named = names.iter().find(|n| n.contains('.')).or(names.first());
    named.map_or(nodename, |n| n).to_owned()
}

/// `EPOCH|Y|m|d|H|M|S|A|w|W|Z|z|N` in the node's own zone.
fn date_time(line: &str) -> Option<Value> {
    let f: Vec<&str> = line.trim().split('|').collect();
    let [epoch, year, month, day, hour, minute, second, weekday, number, week, zone, offset, nanos] = f[..] else {
        return None;
    };
    let seconds: i64 = epoch.parse().ok()?;
    let micros = nanos.get(..6).filter(|n| n.bytes().all(|b| b.is_ascii_digit())).unwrap_or("000000");
    let utc = jiff::Timestamp::from_second(seconds).ok()?.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let basic = format!("{year}{month}{day}T{hour}{minute}{second}");
    Some(json!({
        "date": format!("{year}-{month}-{day}"),
        "day": day,
        "epoch": epoch,
        "epoch_int": epoch,
        "hour": hour,
        "iso8601": format!("{utc}Z"),
        "iso8601_basic": format!("{basic}{micros}"),
        "iso8601_basic_short": basic,
        "iso8601_micro": format!("{utc}.{micros}Z"),
        "minute": minute,
        "month": month,
        "second": second,
        "time": format!("{hour}:{minute}:{second}"),
        "tz": zone,
        "tz_dst": zone,
        "tz_offset": offset,
        "weekday": weekday,
        "weekday_number": number,
        "weeknumber": week,
        "year": year,
    }))
}

fn service_manager(raw: &Raw) -> String {
    let systemd_runs = raw.has("systemctl")
        && ["/run/systemd/system", "/dev/.run/systemd", "/dev/.systemd"].iter().any(|p| raw.has(p));
    match raw.file("/proc/1/comm") {
        Some("procd") => return "openwrt_init".into(),
        Some("runit-init") => return "runit".into(),
        Some("svscan") => return "svc".into(),
        Some("openrc-init") => return "openrc".into(),
        // A shell as the first process says nothing about how services are managed.
        Some(comm) if comm != "init" && !comm.ends_with("sh") => return comm.to_owned(),
        _ => {}
    }
    let name = if systemd_runs {
        "systemd"
    } else if raw.has("/sbin/initctl") && raw.has("/etc/init") {
        "upstart"
    } else if raw.has("/sbin/openrc") {
        "openrc"
    } else if raw.has("systemctl") && raw.has("init-is-link") {
        "systemd"
    } else if raw.has("/etc/init.d") {
        "sysvinit"
    } else {
        "service"
    };
    name.into()
}

fn selinux(raw: &Raw) -> Value {
    let Some(enforce) = raw.file("/sys/fs/selinux/enforce") else { return json!({ "status": "disabled" }) };
    let config = super::assignments(raw.whole("/etc/selinux/config"));
    json!({
        "status": "enabled",
        "policyvers": raw.file("/sys/fs/selinux/policyvers").and_then(|v| v.parse::<u32>().ok()),
        "config_mode": config.get("SELINUX").map_or("unknown", String::as_str),
        "mode": if enforce == "1" { "enforcing" } else { "permissive" },
        "type": config.get("SELINUXTYPE").map_or("unknown", String::as_str),
    })
}

fn is_chroot(raw: &Raw) -> bool {
    if raw.has("debian_chroot") {
        return true;
    }
    let stats = raw.section("c");
    let mut lines = stats.lines();
    match (lines.next(), lines.next()) {
        (Some(root), Some(init)) => root != init,
        // Without leave to look at the first process: the usual inode numbers of a root directory.
        (Some(root), None) => !matches!(root.split(':').next(), Some("2" | "128" | "256")),
        _ => false,
    }
}

/// Words of the kernel's command line; a repeated key is a list in `proc_cmdline`, the last wins in `cmdline`.
fn cmdline(text: &str, lists: bool) -> Value {
    let mut map = serde_json::Map::new();
    for word in super::super::act::split_words(text.trim()).unwrap_or_default() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), json!(value)),
            None => (word, json!(true)),
        };
        match map.get_mut(&key) {
            Some(Value::Array(values)) if lists => values.push(value),
            Some(old) if lists => *old = json!([old.clone(), value]),
            _ => {
                map.insert(key, value);
            }
        }
    }
    Value::Object(map)
}

fn dns(text: &str) -> Value {
    let mut map = serde_json::Map::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(keyword) = words.next() else { continue };
        let rest: Vec<&str> = words.take_while(|w| !w.starts_with('#') && !w.starts_with(';')).collect();
        match keyword {
            "nameserver" => {
                let list = map.entry("nameservers").or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.extend(rest.iter().map(|w| json!(w)));
                }
            }
            "domain" => {
                map.insert("domain".into(), json!(rest.first().copied().unwrap_or("")));
            }
            "search" | "sortlist" => {
                map.insert(keyword.into(), json!(rest));
            }
            "options" => {
                let options = rest.iter().map(|o| match o.split_once(':') {
                    Some((key, value)) => (key.to_owned(), json!(value)),
                    None => ((*o).to_owned(), json!(true)),
                });
                map.insert("options".into(), Value::Object(options.collect()));
            }
            _ => {}
        }
    }
    Value::Object(map)
}

/// Only what can be told without starting more than `python3 --version`.
fn python(raw: &Raw, put: &mut dyn FnMut(&str, Value)) {
    let section = raw.section("y");
    let mut lines = section.lines();
    let (Some(path), Some(version)) = (lines.next(), lines.next().and_then(|l| l.strip_prefix("Python "))) else {
        return;
    };
    let version = version.trim();
    let mut numbers =
        version.split('.').map(|n| n.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0));
    let (major, minor, micro) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    put("python_version", json!(version));
    put(
        "python",
        json!({
            "executable": path,
            "type": "cpython",
            "version": { "major": major, "minor": minor, "micro": micro, "releaselevel": "final", "serial": 0 },
            "version_info": [major, minor, micro, "final", 0],
        }),
    );
}

/// `facts.d`: JSON or INI, from a file's content or a program's output.
fn local(raw: &Raw) -> Value {
    let mut map = serde_json::Map::new();
    let mut take = |path: &str, text: &str| {
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".fact").to_owned();
        map.insert(name, parse_local(path, text));
    };
    let mut plain: Vec<_> = raw.files.iter().filter(|(p, _)| p.starts_with("/etc/ansible/facts.d/")).collect();
    plain.sort();
    for (path, text) in plain {
        take(path, text);
    }
    for section in &raw.reply.sections {
        let Some((rc, path)) = section.tag.strip_prefix("l ").and_then(|t| t.split_once(' ')) else { continue };
        if rc == "0" {
            take(path, &String::from_utf8_lossy(&section.body));
        } else {
            take(path, "");
        }
    }
    Value::Object(map)
}

fn parse_local(path: &str, text: &str) -> Value {
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    let mut sections = serde_json::Map::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            current = Some(name.to_owned());
            sections.entry(name.to_owned()).or_insert_with(|| json!({}));
            continue;
        }
        let (Some(section), Some((key, value))) = (&current, line.split_once(['=', ':'])) else {
            return json!(format!("error loading facts as JSON or ini - please check content: {path}"));
        };
        if let Some(Value::Object(values)) = sections.get_mut(section) {
            values.insert(key.trim().to_lowercase(), json!(value.trim()));
        }
    }
    if sections.is_empty() {
        return json!(format!("error loading facts as JSON or ini - please check content: {path}"));
    }
    Value::Object(sections)
}
