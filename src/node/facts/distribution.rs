//! Which distribution: `distribution*`, `os_family`, `pkg_mgr`, `lsb`.

use serde_json::{Value, json};

use super::{Facts, Raw, assignments};

pub fn add(raw: &Raw, facts: &mut Facts) {
    let path = if raw.file("/etc/os-release").is_some() { "/etc/os-release" } else { "/usr/lib/os-release" };
    let os = assignments(raw.whole(path));
    let get = |key: &str| os.get(key).cloned().unwrap_or_default();
    let id = get("ID");
    let version_id = get("VERSION_ID");
    let first_word = |s: &str| s.split_whitespace().next().unwrap_or("").to_owned();
    let mut version = version_id.clone();
    let mut release = get("VERSION_CODENAME");
    let mut minor = None;
    let mut file = path;
    let mut variety = "NA".to_owned();
    let name = match id.as_str() {
        "debian" => {
            variety = "Debian".into();
            // os-release knows the major version only, /etc/debian_version the point release (`trixie/sid` in unstable).
            if let Some(full) = raw.file("/etc/debian_version").filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
            {
                version = full.to_owned();
                minor = full.split('.').nth(1).map(str::to_owned);
            }
            "Debian".to_owned()
        }
        "ubuntu" => {
            variety = "Debian".into();
            "Ubuntu".to_owned()
        }
        "raspbian" => "Debian".to_owned(),
        "linuxmint" => "Linux Mint".to_owned(),
        "kali" => "Kali".to_owned(),
        "devuan" => "Devuan".to_owned(),
        "rhel" | "centos" | "fedora" | "rocky" | "almalinux" | "ol" | "scientific" | "cloudlinux" => {
            file = "/etc/redhat-release";
            variety = "RedHat".into();
            let text = raw.file(file).unwrap_or("").to_owned();
            if let Some(found) = text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
                version = found.to_owned();
            }
            if let Some(code) = text.split('(').nth(1).and_then(|t| t.split(')').next()) {
                release = code.to_owned();
            }
            match id.as_str() {
                "rhel" => "RedHat".to_owned(),
                "centos" => "CentOS".to_owned(),
                "fedora" => "Fedora".to_owned(),
                "rocky" => "Rocky".to_owned(),
                "almalinux" => "AlmaLinux".to_owned(),
                "ol" => "OracleLinux".to_owned(),
                "cloudlinux" => "CloudLinux".to_owned(),
                _ => "Scientific".to_owned(),
            }
        }
        "amzn" => {
            variety = "Amazon".into();
            "Amazon".to_owned()
        }
        "alpine" => {
            file = "/etc/alpine-release";
            variety = "Alpine".into();
            version = raw.file(file).unwrap_or(&version_id).to_owned();
            "Alpine".to_owned()
        }
        "arch" | "archarm" => {
            variety = "Archlinux".into();
            "Archlinux".to_owned()
        }
        "sles" => "SLES".to_owned(),
        "opensuse-leap" => "openSUSE Leap".to_owned(),
        "opensuse-tumbleweed" => "openSUSE Tumbleweed".to_owned(),
        "gentoo" => "Gentoo".to_owned(),
        "flatcar" => "Flatcar".to_owned(),
        "" => "Linux".to_owned(),
        _ => first_word(&get("NAME")),
    };
    if minor.is_none() {
        minor = version.split('.').nth(1).map(str::to_owned);
    }
    let or_na = |s: &str| if s.is_empty() { Value::from("NA") } else { Value::from(s) };
    let major = version.split('.').next().unwrap_or("").to_owned();
    facts.insert("distribution".into(), json!(name));
    facts.insert("distribution_version".into(), or_na(&version));
    facts.insert("distribution_major_version".into(), or_na(&major));
    if let Some(minor) = minor.filter(|m| !m.is_empty()) {
        facts.insert("distribution_minor_version".into(), json!(minor));
    }
    facts.insert("distribution_release".into(), or_na(&release));
    facts.insert("distribution_file_path".into(), json!(file));
    facts.insert("distribution_file_variety".into(), json!(variety));
    facts.insert("distribution_file_parsed".into(), json!(true));
    let family = family(&name, &get("ID_LIKE"));
    facts.insert("os_family".into(), json!(family));
    facts.insert("pkg_mgr".into(), json!(package_manager(raw, &family)));
    facts.insert("lsb".into(), lsb(raw, &os));
}

fn family(name: &str, like: &str) -> String {
    match name {
        "Debian" | "Ubuntu" | "Linux Mint" | "Kali" | "Devuan" => "Debian",
        "RedHat" | "CentOS" | "Fedora" | "Rocky" | "AlmaLinux" | "OracleLinux" | "CloudLinux" | "Scientific"
        | "Amazon" => "RedHat",
        "SLES" | "openSUSE Leap" | "openSUSE Tumbleweed" => "Suse",
        _ if like.split(' ').any(|l| l == "debian" || l == "ubuntu") && name != "Linux" => "Debian",
        other => other,
    }
    .to_owned()
}

fn package_manager(raw: &Raw, family: &str) -> &'static str {
    if family == "RedHat" {
        if raw.has("/run/ostree-booted") {
            return "atomic_container";
        }
        if raw.has("/usr/bin/dnf") || raw.has("/usr/bin/microdnf") {
            return if raw.has("/usr/bin/dnf5") { "dnf5" } else { "dnf" };
        }
        return if raw.has("/usr/bin/yum") { "dnf" } else { "unknown" };
    }
    if family == "Debian" {
        return "apt";
    }
    // Where several are installed the last of this order counts, as Ansible has it.
    [
        ("/usr/bin/rpm-ostree", "atomic_container"),
        ("/usr/bin/yum", "dnf"),
        ("/usr/bin/dnf-3", "dnf"),
        ("/usr/bin/dnf5", "dnf5"),
        ("/usr/bin/apt-get", "apt"),
        ("/usr/bin/zypper", "zypper"),
        ("/usr/bin/pacman", "pacman"),
        ("/bin/opkg", "opkg"),
        ("/sbin/apk", "apk"),
        ("/usr/bin/emerge", "portage"),
        ("/usr/bin/xbps-install", "xbps"),
        ("/usr/bin/swupd", "swupd"),
    ]
    .into_iter()
    .rfind(|(path, _)| raw.has(path))
    .map_or("unknown", |(_, name)| name)
}

/// What `lsb_release -a` would say, without starting it (it is a Python program on many systems).
fn lsb(raw: &Raw, os: &std::collections::HashMap<String, String>) -> Value {
    if !raw.has("lsb_release") && raw.file("/etc/lsb-release").is_none() {
        return json!({});
    }
    let file = assignments(raw.whole("/etc/lsb-release"));
    let pick = |key: &str, other: &str| file.get(key).or_else(|| os.get(other)).cloned().unwrap_or_default();
    let release = pick("DISTRIB_RELEASE", "VERSION_ID");
    let mut id = pick("DISTRIB_ID", "ID");
    if id == "debian" {
        id = "Debian".into();
    }
    if id.is_empty() {
        return json!({});
    }
    let major = release.split('.').next().unwrap_or("").to_owned();
    json!({
        "codename": pick("DISTRIB_CODENAME", "VERSION_CODENAME"),
        "description": pick("DISTRIB_DESCRIPTION", "PRETTY_NAME"),
        "id": id,
        "major_release": major,
        "release": release,
    })
}
