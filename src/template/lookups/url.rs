//! `url`: what a web server answers.

use std::time::Duration;

use base64::Engine as _;
use indexmap::IndexMap;
use minijinja::{Error, Value};

use super::options::{boolean, number, only, string};
use crate::template::Context;
use crate::template::args::{err, pairs, text};
use crate::template::filters::text::split_lines;

pub fn url(_: &Context, terms: &[Value], options: &IndexMap<String, Value>) -> Result<Vec<Value>, Error> {
    only(
        options,
        "url",
        &[
            "validate_certs",
            "split_lines",
            "use_proxy",
            "username",
            "password",
            "headers",
            "force",
            "timeout",
            "http_agent",
            "force_basic_auth",
            "follow_redirects",
            "use_gssapi",
            "use_netrc",
            "unix_socket",
            "ca_path",
            "unredirected_headers",
            "ciphers",
        ],
    )?;
    for name in ["unix_socket", "use_gssapi", "ca_path", "ciphers"] {
        if options.get(name).is_some_and(crate::template::args::truth) {
            return Err(crate::template::call::unsupported(format!("`{name}` of the lookup `url`")));
        }
    }
    let mut out = vec![];
    for term in terms {
        let body = fetch(&text(term), options)?;
        if boolean(options, "split_lines", true) {
            out.extend(split_lines(&body, false).into_iter().map(Value::from));
        } else {
            out.push(Value::from(body));
        }
    }
    Ok(out)
}

fn fetch(url: &str, options: &IndexMap<String, Value>) -> Result<String, Error> {
    let failed = |e: &dyn std::fmt::Display| err(format!("can't fetch `{url}`: {e}"));
    if let Some(path) = url.strip_prefix("file://") {
        return std::fs::read_to_string(path).map_err(|e| failed(&e));
    }
    let timeout = number(options, "timeout")?.unwrap_or(10);
    let tls = ureq::tls::TlsConfig::builder().disable_verification(!boolean(options, "validate_certs", true)).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(u64::try_from(timeout).unwrap_or(10))))
        .tls_config(tls)
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some(headers) = options.get("headers") {
        for (name, value) in pairs(headers)? {
            request = request.header(text(&name), text(&value));
        }
    }
    if let Some(agent) = string(options, "http_agent")? {
        request = request.header("User-Agent", agent);
    }
    if let Some(user) = string(options, "username")? {
        let password = string(options, "password")?.unwrap_or_default();
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        request = request.header("Authorization", format!("Basic {credentials}"));
    }
    let mut response = request.call().map_err(|e| failed(&e))?;
    response.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|e| failed(&e))
}
