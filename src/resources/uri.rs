//! `uri`: a request to a web service, from the node. The manual is doc/uri.md.
//!
//! The node's curl does it; what it is to do goes to its standard input, so that no secret stands on a command line.

mod multipart;

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::common::attributes::COMMON;
use super::common::{concat, invalid, paths};
use super::{
    ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, copy,
    text_of,
};
use crate::node::{Command, Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Query, Stop, View};

const OWN: &[ArgSpec] = &[
    ArgSpec::new("url", Kind::Str, "what is asked").required(),
    ArgSpec::new("method", Kind::Str, "the request's method").default("GET"),
    ArgSpec::new("body", Kind::Raw, "what is sent"),
    ArgSpec::new("body_format", Kind::Str, "how a body that is no text is written").default("raw").choices(&[
        "form-multipart",
        "form-urlencoded",
        "json",
        "raw",
    ]),
    ArgSpec::new("src", Kind::Path, "a file that is sent: of the control machine, with `remote_src` of the node"),
    ArgSpec::new("remote_src", Kind::Bool, "`src` is on the node").default("no"),
    ArgSpec::new("headers", Kind::Dict, "further request headers"),
    ArgSpec::new("status_code", Kind::List, "codes that count as success").default("200"),
    ArgSpec::new("return_content", Kind::Bool, "return the answer's text").default("no"),
    ArgSpec::new("dest", Kind::Path, "a file of the node that gets the answer"),
    ArgSpec::new("creates", Kind::Path, "do nothing if this is there"),
    ArgSpec::new("removes", Kind::Path, "do nothing if this is not there"),
    ArgSpec::new("timeout", Kind::Int, "seconds").default("30"),
    ArgSpec::new("follow_redirects", Kind::Str, "which redirections are followed")
        .default("safe")
        .choices(&["all", "no", "none", "safe", "urllib2", "yes"]),
    ArgSpec::new("url_username", Kind::Str, "user for basic authentication").aliases(&["user"]),
    ArgSpec::new("url_password", Kind::Str, "password for basic authentication").aliases(&["password"]),
    ArgSpec::new("force_basic_auth", Kind::Bool, "accepted; credentials are always sent at once").default("no"),
    ArgSpec::new("validate_certs", Kind::Bool, "check the server's certificate").default("yes"),
    ArgSpec::new("ca_path", Kind::Path, "a file of certificates of authorities on the node"),
    ArgSpec::new("client_cert", Kind::Path, "a client certificate on the node"),
    ArgSpec::new("client_key", Kind::Path, "its key on the node"),
    ArgSpec::new("unix_socket", Kind::Path, "a socket of the node to connect to"),
    ArgSpec::new("http_agent", Kind::Str, "the User-Agent header").default("ansible-httpget"),
    ArgSpec::new("use_proxy", Kind::Bool, "use the node's proxy settings").default("yes"),
    ArgSpec::new("force", Kind::Bool, "ask caches for a fresh answer").aliases(&["thirsty"]).default("no"),
    ArgSpec::new("decompress", Kind::Bool, "decompress a compressed answer").default("yes"),
    ArgSpec::new("unredirected_headers", Kind::List, "accepted"),
    ArgSpec::new("use_netrc", Kind::Bool, "accepted").default("yes"),
    ArgSpec::new("use_gssapi", Kind::Bool, "authenticate by Kerberos, where the node's curl can").default("no"),
    ArgSpec::new("ciphers", Kind::List, "ciphers that are offered"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "uri",
    qualified: &["ansible.builtin.uri"],
    doc: include_str!("doc/uri.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Fleeting,
    build,
};

struct Uri {
    url: String,
    /// curl's settings.
    config: String,
    status: Vec<u16>,
    return_content: bool,
    creates: Option<String>,
    removes: Option<String>,
    dest: Option<String>,
    /// What is sent behind curl's settings.
    sent: Option<Vec<u8>>,
    /// Ask for the answer although `dest` is as new.
    force: bool,
    /// Owner, group and mode of `dest`, for chown, chgrp and chmod; empty: as they come.
    attributes: [String; 3],
    check_mode: bool,
    timeout: u64,
    env: Vec<(String, String)>,
}

/// curl with its settings in the first `$1` bytes of standard input, and what is sent behind them. With a file `$3` the answer goes there
/// if its code is among `$2` and its content differs; behind the figures stands whether it changed, and its path.
const WITH_FILES: &str = r#"
settings=$(dd bs=1 count="$1" 2>/dev/null) || exit
codes=$2 dest=$3 name=$4 owner=$5 group=$6 mode=$7 newer=$8
if [ -z "$dest" ]; then
exec curl --config /dev/fd/3 3<<END
$settings
END
fi
if [ -d "$dest" ]; then dest=${dest%/}/$name; fi
new=$dest.kdeploy-$$
trap 'rm -f -- "$new" "$new.2"' EXIT
look() { [ ! -e "$dest" ] || { set -- $(ls -ldn -- "$dest"); echo "$1 $3 $4 $5"; }; }
before=$(look) changed=0
# Only what is newer than the file, unless it is forced.
if [ "$newer" ] && [ -f "$dest" ]; then newer=$dest; else newer=; fi
figures=$(curl --config /dev/fd/3 --output "$new" ${newer:+--time-cond "$newer"} 3<<END
$settings
END
) || exit
[ ! -e "$new" ] || cat -- "$new"
printf '%s' "$figures"
code=${figures#*--kdeploy--uri--}
case " $codes " in *" ${code%% *} "*)
  [ -e "$new" ] || : >"$new"
  if ! cmp -s -- "$new" "$dest"; then
    changed=1
    if [ -e "$dest" ]; then
      cp -p -- "$dest" "$new.2" && cat -- "$new" >"$new.2" && mv -f -- "$new.2" "$dest" || exit
    else
      mv -f -- "$new" "$dest" || exit
    fi
  fi
  { [ -z "$owner" ] || chown -- "$owner" "$dest"; } && { [ -z "$group" ] || chgrp -- "$group" "$dest"; } &&
    { [ -z "$mode" ] || chmod -- "$mode" "$dest"; } || exit
  [ "$before" = "$(look)" ] || changed=1
esac
names=$(set -- $(ls -ld -- "$dest" 2>/dev/null); echo "$3 $4")
look=$(look)
printf ' %s %s %s %s' "$changed" "${look:--}" "${names:--}" "$dest"
"#;

/// Stands before the figures behind the answer's body.
const MARK: &str = "\n--kdeploy--uri--";

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(decode(&args, setting)?)
}

fn decode(args: &Args, setting: &Setting) -> Result<Arc<dyn Resource>, Problem> {
    let url = args.need("url")?;
    let format = args.need("body_format")?;
    let mut headers: Vec<(String, String)> = args.dict("headers")?.into_iter().map(|(k, v)| (k, text_of(&v))).collect();
    // What curl gets after its settings: bytes that a line of settings could not hold.
    let mut sent: Option<Vec<u8>> = None;
    let body = match args.raw("body") {
        None => None,
        Some(_) if format == "form-multipart" => {
            let (bytes, kind) = multipart::body(args, setting)?;
            headers.retain(|(k, _)| !k.eq_ignore_ascii_case("content-type"));
            headers.push(("Content-Type".to_owned(), kind));
            sent = Some(bytes);
            None
        }
        Some(body) => Some(match format.as_str() {
            "json" if matches!(body.kind(), ValueKind::String) => text_of(body),
            "json" => copy::python_json(body),
            "form-urlencoded" if body.kind() == ValueKind::Map => args
                .dict("body")?
                .iter()
                .flat_map(|(k, v)| {
                    // A list gives the name once for each item.
                    let values: Vec<Value> = match v.kind() {
                        ValueKind::Seq => v.try_iter().into_iter().flatten().collect(),
                        _ => vec![v.clone()],
                    };
                    values
                        .into_iter()
                        .map(|v| format!("{}={}", urlencode(k), urlencode(&text_of(&v))))
                        .collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
                .join("&"),
            _ if matches!(body.kind(), ValueKind::Map | ValueKind::Seq) => copy::python_json(body),
            _ => text_of(body),
        }),
    };
    let typed = headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("content-type"));
    match format.as_str() {
        "json" if !typed => headers.push(("Content-Type".to_owned(), "application/json".to_owned())),
        "form-urlencoded" if !typed => {
            headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        _ => {}
    }
    if args.flag("force")? {
        headers.push(("Cache-Control".to_owned(), "no-cache".to_owned()));
    }
    let path = |name: &str| -> Result<Option<String>, Problem> {
        Ok(paths::expand(args, name, setting)?.map(|p| paths::clean(&p)))
    };
    let method = args.need("method")?.to_uppercase();
    let timeout = u64::try_from(args.int("timeout")?.unwrap_or(30)).unwrap_or(30);
    let mut config = Config::default();
    config.set("url", &url);
    config.flag("silent").flag("show-error").flag("globoff");
    config.set("max-time", &timeout.to_string());
    config.set("dump-header", "/dev/stderr");
    config.set("user-agent", &args.need("http_agent")?);
    config.set("write-out", &format!("{MARK}%{{http_code}} %{{url_effective}} %{{num_redirects}}"));
    if method == "HEAD" {
        config.flag("head");
    } else {
        config.set("request", &method);
    }
    for (name, value) in &headers {
        config.set("header", &format!("{name}: {value}"));
    }
    match (&body, path("src")?) {
        (Some(_), Some(_)) => return Err(invalid("`body` and `src` exclude each other").at(args.span("src"))),
        (Some(body), None) => {
            // Without a type curl calls it a form, and so does Ansible.
            config.set("data-raw", body);
        }
        (None, Some(_)) if !args.flag("remote_src")? => {
            let path = (setting.find_file)("files", &args.need("src")?).map_err(|p| p.or_at(args.span("src")))?;
            sent = Some(std::fs::read(&path).map_err(|e| {
                Problem::new("unreadable-file", format!("cannot read `{}`: {e}", path.display())).at(args.span("src"))
            })?);
        }
        (None, Some(src)) => {
            config.set("data-binary", &format!("@{src}"));
        }
        (None, None) => {}
    }
    if sent.is_some() {
        config.set("data-binary", "@-");
    }
    if args.flag("use_gssapi")? {
        config.flag("negotiate");
        if args.str("url_username")?.is_none_or(|t| t.is_empty()) {
            config.set("user", ":");
        }
    }
    if let ciphers @ [_, ..] = args.list("ciphers")?.as_slice() {
        config.set("ciphers", &ciphers.join(":"));
    }
    let redirects = args.need("follow_redirects")?;
    if matches!(redirects.as_str(), "all" | "yes")
        || redirects == "safe" && matches!(method.as_str(), "GET" | "HEAD")
        || redirects == "urllib2"
    {
        config.flag("location");
    }
    if let Some(user) = args.str("url_username")?.filter(|t| !t.is_empty()) {
        config.set("user", &format!("{user}:{}", args.str("url_password")?.unwrap_or_default()));
    }
    if !args.bool("validate_certs")?.unwrap_or(true) {
        config.flag("insecure");
    }
    if args.bool("decompress")?.unwrap_or(true) {
        config.flag("compressed");
    }
    if !args.bool("use_proxy")?.unwrap_or(true) {
        config.set("noproxy", "*");
    }
    for (name, option) in
        [("ca_path", "cacert"), ("client_cert", "cert"), ("client_key", "key"), ("unix_socket", "unix-socket")]
    {
        if let Some(value) = path(name)? {
            config.set(option, &value);
        }
    }
    let dest = path("dest")?;
    let mode = match args.mode("mode")? {
        Some(super::ModeSpec::Octal(mode)) => format!("{mode:o}"),
        Some(super::ModeSpec::Symbolic(text)) => text,
        None => String::new(),
    };
    let attributes = [args.str("owner")?.unwrap_or_default(), args.str("group")?.unwrap_or_default(), mode];
    let status = args
        .list("status_code")?
        .iter()
        .map(|code| {
            code.trim().parse().map_err(|_| invalid(format!("`{code}` is no status code")).at(args.span("status_code")))
        })
        .collect::<Result<Vec<u16>, _>>()?;
    Ok(Arc::new(Uri {
        url,
        config: config.0,
        status,
        return_content: args.flag("return_content")?,
        creates: path("creates")?,
        removes: path("removes")?,
        dest,
        sent,
        force: args.flag("force")?,
        attributes,
        check_mode: setting.check_mode,
        timeout,
        env: setting.environment.clone(),
    }))
}

/// A file of settings as `curl --config` reads it.
#[derive(Default)]
struct Config(String);

impl Config {
    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        let mut quoted = String::new();
        for c in value.chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c => quoted.push(c),
            }
        }
        self.0.push_str(&format!("{name} = \"{quoted}\"\n"));
        self
    }

    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push_str(name);
        self.0.push('\n');
        self
    }
}

fn urlencode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Resource for Uri {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        for path in [&self.creates, &self.removes].into_iter().flatten() {
            view.want([Query::Stat { path: path.clone(), follow: true }]);
        }
        let skipped = |msg: String| Ok(Verdict::Unchanged(TaskResult::unchanged().with("stdout", msg)));
        if let Some(path) = &self.creates
            && view.stat(path, true)?.is_some()
        {
            return skipped(format!("skipped, since '{path}' exists"));
        }
        if let Some(path) = &self.removes
            && view.stat(path, true)?.is_none()
        {
            return skipped(format!("skipped, since '{path}' does not exist"));
        }
        if self.check_mode {
            return Ok(Verdict::Skipped(
                TaskResult::unchanged().with("msg", "remote module (uri) does not support check mode"),
            ));
        }
        let mut stdin = self.config.clone().into_bytes();
        let mut argv = ["curl", "--config", "-"].map(str::to_owned).to_vec();
        if self.sent.is_some() || self.dest.is_some() {
            let codes: Vec<String> = self.status.iter().map(u16::to_string).collect();
            let name = self.url.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            let name = if name.is_empty() { "index.html" } else { name };
            let dest = self.dest.as_deref().unwrap_or_default();
            argv = ["sh", "-c", WITH_FILES, "sh", &stdin.len().to_string(), &codes.join(" "), dest, name]
                .map(str::to_owned)
                .to_vec();
            argv.extend(self.attributes.iter().cloned());
            argv.push(if self.force { "" } else { "yes" }.to_owned());
            stdin.extend(self.sent.iter().flatten());
        }
        let spec = ExecSpec {
            command: Command::Argv(argv),
            stdin: Some(stdin),
            env: self.env.clone(),
            timeout: self.timeout + 10,
            ..ExecSpec::default()
        };
        Ok(Verdict::Change(Change {
            kind: ChangeKind::Run,
            diff: vec![],
            actions: vec![spec.into_action()],
            effects: vec![],
            opaque: true,
            result: TaskResult { changed: self.dest.is_some(), ..TaskResult::default() }.with("url", self.url.as_str()),
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let result = TaskResult { changed: false, ..change.result.clone() }.with("elapsed", 0);
        let output = match done.first() {
            Some(Done::Ok(output)) => output,
            Some(Done::Failed { message, .. }) => return Err(result.with("msg", message.as_str())),
            None => return Err(result.with("msg", "the request was not sent")),
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.rc == 127 {
            return Err(result.with("msg", "`uri` needs `curl` on the node").with("status", -1));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (content, figures) = text.rsplit_once(MARK).unwrap_or((&text, ""));
        let mut figures = figures.split(' ');
        let status: u16 = figures.next().and_then(|code| code.parse().ok()).unwrap_or(0);
        let effective = figures.next().unwrap_or(&self.url).to_owned();
        let redirected = figures.next().is_some_and(|n| n.trim() != "0");
        let wrote = figures.next() == Some("1");
        // Of the file: mode, numbers of owner and group, size, names of both, and at last its path, which may hold blanks.
        let file: Vec<&str> = figures.by_ref().take(6).collect();
        let path = figures.collect::<Vec<_>>().join(" ");
        if output.rc != 0 || status == 0 {
            let why = said.lines().rfind(|l| l.starts_with("curl:")).unwrap_or(said.trim()).to_owned();
            let status_message = format!("Status code was -1 and not {:?}: Request failed: <{why}>", self.status);
            return Err(result.with("status", -1).with("msg", status_message).with("redirected", redirected));
        }
        let mut result = TaskResult { changed: wrote, ..result };
        // The last answer's headers, as Ansible names them.
        let block = said.rsplit("\r\n\r\n").find(|b| b.contains("HTTP/")).unwrap_or(&said);
        let mut lines = block.lines().skip_while(|l| !l.starts_with("HTTP/"));
        let reason = lines.next().and_then(|l| l.splitn(3, ' ').nth(2)).unwrap_or("").trim().to_owned();
        let (mut kind, mut length) = (String::new(), "unknown".to_owned());
        let mut cookies: Vec<(String, Value)> = vec![];
        let mut cookies_string: Vec<String> = vec![];
        for (name, value) in lines.filter_map(|l| l.split_once(':')) {
            let key = name.trim().to_lowercase().replace('-', "_");
            if key == "content_length" {
                value.trim().clone_into(&mut length);
            }
            if key == "content_type" {
                value.trim().clone_into(&mut kind);
            }
            if key == "set_cookie"
                && let Some((name, value)) = value.split(';').next().and_then(|pair| pair.trim().split_once('='))
            {
                cookies.push((name.to_owned(), Value::from(value)));
                cookies_string.push(format!("{name}={value}"));
            }
            if key == "location" {
                result = result.with(&key, absolute(&self.url, value.trim()));
                continue;
            }
            if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                result = result.with(&key, value.trim());
            }
        }
        result = result.with("status", status).with("url", effective).with("redirected", redirected).with(
            "msg",
            match status {
                200..300 => format!("OK ({length} bytes)"),
                _ => format!("HTTP Error {status}: {reason}"),
            },
        );
        if (200..300).contains(&status) {
            result =
                result.with("cookies", Value::from_pairs(cookies)).with("cookies_string", cookies_string.join("; "));
        }
        if !path.is_empty() {
            result = result.with("path", path);
            if let [mode, uid, gid, size, owner, group] = file[..] {
                let number = |text: &str| text.parse::<u64>().unwrap_or_default();
                result = result
                    .with("mode", octal(mode))
                    .with("uid", number(uid))
                    .with("gid", number(gid))
                    .with("size", number(size))
                    .with("owner", owner)
                    .with("group", group)
                    .with("state", "file");
            }
        }
        if kind.contains("json")
            && let Ok(json) = serde_json::from_str::<serde_json::Value>(content)
        {
            result = result.with("json", super::kit::from_json(&json));
        }
        let good = self.status.contains(&status);
        if self.return_content || !good {
            result = result.with("content", content);
        }
        if good {
            return Ok(result);
        }
        let wanted: Vec<String> = self.status.iter().map(u16::to_string).collect();
        let msg = format!("Status code was {status} and not [{}]: HTTP Error {status}: {reason}", wanted.join(", "));
        Err(TaskResult { changed: false, ..result }.with("msg", msg))
    }
}

/// `-rw-r--r--` as `0644`.
fn octal(text: &str) -> String {
    let bits = text.bytes().skip(1).take(9).enumerate().fold(0_u32, |mode, (i, c)| {
        let place = 8 - i;
        let set = u32::from(!matches!(c, b'-' | b'S' | b'T')) << place;
        // Set-id and sticky bits stand in the place of `x`.
        let special = if matches!(c, b's' | b'S' | b't' | b'T') { 1 << (9 + place / 3) } else { 0 };
        mode | set | special
    });
    format!("{bits:04o}")
}

/// A place that an answer names, as an address of its own.
fn absolute(url: &str, place: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return place.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    match place {
        _ if place.contains("://") => place.to_owned(),
        _ if place.starts_with("//") => format!("{scheme}:{place}"),
        _ if place.starts_with('/') => format!("{scheme}://{host}{place}"),
        _ => format!(
            "{}/{place}",
            url.rsplit_once('/').filter(|(head, _)| head.len() > scheme.len() + 2).map_or(url, |(head, _)| head)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_hold_anything() {
        let mut config = Config::default();
        config.set("data-raw", "a \"b\"\n\\c").flag("silent");
        assert_eq!(config.0, "data-raw = \"a \\\"b\\\"\\n\\\\c\"\nsilent\n");
        assert_eq!(urlencode("a b&ä"), "a+b%26%C3%A4");
        assert_eq!([octal("-rw-r-----"), octal("-rwsr-xr-T"), octal("drwxr-sr-t")], ["0640", "5754", "3755"]);
    }
}
