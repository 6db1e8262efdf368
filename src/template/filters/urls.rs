//! `urlsplit`: a URL taken apart as Python's `urllib.parse.urlsplit` does.

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, map, opt_string, string};

pub const FILTERS: &[Entry] = &[("urlsplit", urlsplit)];

const PARTS: [&str; 9] = ["fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username"];

/// The parts of a URL; absent ones are empty.
struct Url<'u> {
    scheme: String,
    netloc: &'u str,
    path: &'u str,
    query: &'u str,
    fragment: &'u str,
}

fn split(url: &str) -> Url<'_> {
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_lowercase(), rest),
        _ => (String::new(), url),
    };
    let (netloc, rest) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Url { scheme, netloc, path, query, fragment }
}

impl Url<'_> {
    fn host_and_port(&self) -> (Option<String>, Option<&str>) {
        let place = self.netloc.rsplit_once('@').map_or(self.netloc, |(_, p)| p);
        let (host, port) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(h, p)| (h, Some(p))),
        };
        (Some(host.to_lowercase()).filter(|h| !h.is_empty()), port.filter(|p| !p.is_empty()))
    }

    fn part(&self, name: &str) -> Result<Value, Error> {
        let none = || Value::from(());
        let user = self.netloc.rsplit_once('@').map(|(user, _)| user);
        Ok(match name {
            "scheme" => Value::from(self.scheme.as_str()),
            "netloc" => Value::from(self.netloc),
            "path" => Value::from(self.path),
            "query" => Value::from(self.query),
            "fragment" => Value::from(self.fragment),
            "username" => user.map_or_else(none, |u| Value::from(u.split(':').next().unwrap_or(u))),
            "password" => user.and_then(|u| u.split_once(':')).map_or_else(none, |(_, p)| Value::from(p)),
            "hostname" => self.host_and_port().0.map_or_else(none, Value::from),
            _ => match self.host_and_port().1 {
                None => none(),
                Some(port) => Value::from(port.parse::<u16>().map_err(|_| err(format!("`{port}` is no port")))?),
            },
        })
    }
}

fn urlsplit(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, query, _alias] = call.bind(["value", "query", "alias"], 1)?;
    let value = string(&value.unwrap_or_default(), "value")?;
    let url = split(&value);
    match opt_string(query.as_ref(), "query")?.filter(|q| !q.is_empty()) {
        Some(part) if PARTS.contains(&part.as_str()) => url.part(&part),
        Some(part) => Err(err(format!("a URL has no part `{part}`: there are {}", PARTS.join(", ")))),
        None => {
            let mut pairs = vec![];
            for name in PARTS {
                pairs.push((Value::from(name), url.part(name)?));
            }
            Ok(map(pairs))
        }
    }
}
