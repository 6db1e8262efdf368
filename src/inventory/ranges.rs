//! Host names as inventories write them: `web[01:20:2].example.org`, `db[a:f]`, `host:2222`, `[fe80::1]:22`.

use std::net::Ipv6Addr;

/// More hosts than any inventory has; stops `[0:999999999]`.
const MAX_HOSTS: usize = 100_000;

/// The hosts a pattern stands for and the port it ends with; `Err` says what is wrong.
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<i64>), String> {
    let (name, port) = split_port(pattern);
    if name.ends_with(':') && !name.contains('[') && name.parse::<Ipv6Addr>().is_err() {
        return Err(format!("`{name}` ends with a colon, but no port follows"));
    }
    if name.starts_with("---") {
        return Err("`---` starts a YAML document, but this file is read as INI".into());
    }
    let mut hosts = vec![];
    ranges(name, &mut hosts)?;
    Ok((hosts, port))
}

/// `host:2222` and `[address]:2222`. What is no valid host name before the colon keeps it.
fn split_port(pattern: &str) -> (&str, Option<i64>) {
    let whole = (pattern, None);
    let Some((host, digits)) = pattern.rsplit_once(':') else { return whole };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return whole;
    }
    let Ok(port) = digits.parse() else { return whole };
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'))
        && (inner.parse::<Ipv6Addr>().is_ok() || is_name(inner))
    {
        return (inner, Some(port));
    }
    // An IPv6 address without brackets has no port.
    if is_name(host) { (host, Some(port)) } else { whole }
}

/// Letters, digits, `-`, `_`, dots and bracketed ranges.
pub(super) fn is_name(text: &str) -> bool {
    let mut bracket = false;
    for c in text.chars() {
        match c {
            '[' if !bracket => bracket = true,
            ']' if bracket => bracket = false,
            _ if bracket => {
                if !(c.is_alphanumeric() || c == ':') {
                    return false;
                }
            }
            _ => {
                if !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                    return false;
                }
            }
        }
    }
    !bracket && !text.is_empty()
}

fn ranges(name: &str, out: &mut Vec<String>) -> Result<(), String> {
    let Some((head, rest)) = name.split_once('[') else {
        if out.len() >= MAX_HOSTS {
            return Err(format!("the ranges stand for more than {MAX_HOSTS} hosts"));
        }
        out.push(name.to_owned());
        return Ok(());
    };
    let Some((range, tail)) = rest.split_once(']') else {
        return Err(format!("the range in `{name}` is never closed"));
    };
    let parts: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err(format!("the range `[{range}]` reads neither `[first:last]` nor `[first:last:step]`")),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(format!("the range `[{range}]` has no last value"));
    }
    let number = |text: &str| {
        text.trim().parse::<usize>().map_err(|_| format!("`{text}` in the range `[{range}]` is not a number"))
    };
    let step = number(step)?;
    if step == 0 {
        return Err(format!("the step of the range `[{range}]` is 0"));
    }
    let letter = |text: &str| {
        let mut chars = text.chars();
        let c = chars.next().filter(char::is_ascii_alphabetic)?;
        // Python's order: lower case first.
        chars
            .next()
            .is_none()
            .then(|| if c.is_ascii_lowercase() { c as usize - 'a' as usize } else { c as usize - 'A' as usize + 26 })
    };
    if let (Some(first), Some(last)) = (letter(begin), letter(end)) {
        if first > last {
            return Err(format!("the range `[{range}]` ends before it begins"));
        }
        for i in (first..=last).step_by(step) {
            let base = if i < 26 { b'a' + i as u8 } else { b'A' + (i - 26) as u8 };
            ranges(&format!("{head}{}{tail}", base as char), out)?;
        }
        return Ok(());
    }
    let width = if begin.len() > 1 && begin.starts_with('0') { begin.len() } else { 0 };
    if width > 0 && width != end.len() {
        return Err(format!("both ends of the range `[{range}]` need the same number of digits"));
    }
    for i in (number(begin)?..=number(end)?).step_by(step) {
        ranges(&format!("{head}{i:0width$}{tail}"), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn hosts(pattern: &str) -> String {
        match expand(pattern) {
            Ok((hosts, port)) => format!("{}{}", hosts.join(" "), port.map_or(String::new(), |p| format!(" port {p}"))),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn expands_as_ansible() {
        for (pattern, expected) in [
            ("web[01:20:5].x", "web01.x web06.x web11.x web16.x"),
            ("db-[a:c].x", "db-a.x db-b.x db-c.x"),
            ("w[1:2][a:b]", "w1a w1b w2a w2b"),
            ("a[:2]", "a0 a1 a2"),
            ("a[2:1]", ""),
            ("a[1:2]:22", "a1 a2 port 22"),
            ("host:2222", "host port 2222"),
            ("[fe80::1]:22", "fe80::1 port 22"),
            ("fe80::1", "fe80::1"),
            ("a:b", "a:b"),
            ("user@host:22", "user@host:22"),
            ("a[001:3]", "error: both ends of the range `[001:3]` need the same number of digits"),
            ("a[1-3]", "error: the range `[1-3]` reads neither `[first:last]` nor `[first:last:step]`"),
            ("a[1:", "error: the range in `a[1:` is never closed"),
            ("a[1:]", "error: the range `[1:]` has no last value"),
            ("a[A:c]", "error: the range `[A:c]` ends before it begins"),
            ("a:", "error: `a:` ends with a colon, but no port follows"),
            ("a[0:999999999]", "error: the ranges stand for more than 100000 hosts"),
        ] {
            assert_eq!(hosts(pattern), expected, "{pattern}");
        }
    }
}
