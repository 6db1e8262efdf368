//! Jinja's `urlize`: addresses in a text become links.

use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, items, opt_integer, opt_string, string};
use crate::template::markup;

pub const FILTERS: &[Entry] = &[("urlize", urlize)];

fn regex(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "the patterns are constants, and a test uses each")]
    Regex::new(pattern).expect("a pattern of urlize")
}

/// With a scheme or `www.`; a bare name below one of the old domains; an address in digits with a scheme.
static WEB: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"(?i)^(?:(?:https?://|www\.)(?:(?:[\w%-]+\.)+)?(?:[a-z]{2,63}|xn--[\w%]{2,59})",
        r"|(?:[\w%-]{2,63}\.)+(?:com|net|int|edu|gov|org|info|mil)",
        r"|https?://(?:\d{1,3}(?:\.\d{1,3}){3}|\[(?:[\da-f]{0,4}:){2}(?:[\da-f]{0,4}:?){1,6}\]))",
        r"(?::\d{1,5})?(?:[/?#]\S*)?$",
    ))
});
static MAIL: LazyLock<Regex> = LazyLock::new(|| regex(r"^\S+@\w[\w.-]*\.\w+$"));
static SCHEME: LazyLock<Regex> = LazyLock::new(|| regex(r"^[\w.+-]{2,}:/{0,2}$"));

fn is(regex: &Regex, text: &str) -> bool {
    regex.is_match(text).unwrap_or(false)
}

fn urlize(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, limit, nofollow, target, rel, schemes] =
        call.bind(["value", "trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], 1)?;
    let limit = opt_integer(limit.as_ref(), "trim_url_limit")?;
    let rel = opt_string(rel.as_ref(), "rel")?.unwrap_or_default();
    let mut relations: Vec<&str> = rel.split_whitespace().collect();
    relations.push("noopener");
    if flag(nofollow.as_ref(), false) {
        relations.push("nofollow");
    }
    relations.sort_unstable();
    relations.dedup();
    let mut attributes = format!(" rel=\"{}\"", super::text::escaped(&relations.join(" ")));
    if let Some(target) = opt_string(target.as_ref(), "target")?.filter(|t| !t.is_empty()) {
        attributes.push_str(&format!(" target=\"{}\"", super::text::escaped(&target)));
    }
    let mut all = vec![];
    for scheme in schemes.filter(|s| !s.is_none()).map(|s| items(&s)).transpose()?.unwrap_or_default() {
        let scheme = string(&scheme, "extra_schemes")?;
        if !is(&SCHEME, &scheme) {
            return Err(err(format!("`{scheme}` is no scheme of an address")));
        }
        all.push(scheme);
    }
    let html = markup::html(&value.unwrap_or_default());
    let link = Link { limit, attributes, schemes: all };
    let mut out = String::new();
    let mut rest = html.as_str();
    while !rest.is_empty() {
        let blank = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        out.push_str(&rest[..blank]);
        rest = &rest[blank..];
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        link.word(&rest[..word], &mut out);
        rest = &rest[word..];
    }
    Ok(Value::from(out))
}

struct Link {
    limit: Option<i64>,
    attributes: String,
    schemes: Vec<String>,
}

impl Link {
    /// A word with what stands around its address.
    fn word(&self, word: &str, out: &mut String) {
        let (head, rest) = after_any(word, &["(", "<", "&lt;"]);
        let (middle, tail) = before_any(rest, &[")", ">", ".", ",", "&gt;"]);
        let (mut middle, mut tail) = (middle.to_owned(), tail);
        // A bracket opened within the address is closed within it.
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let opened = middle.matches(open).count();
            if opened <= middle.matches(close).count() {
                continue;
            }
            for _ in 0..opened.min(tail.matches(close).count()) {
                let Some(at) = tail.find(close) else { break };
                middle.push_str(&tail[..at + close.len()]);
                tail = &tail[at + close.len()..];
            }
        }
        out.push_str(head);
        self.address(&middle, out);
        out.push_str(tail);
    }

    fn address(&self, text: &str, out: &mut String) {
        let attributes = &self.attributes;
        if is(&WEB, text) {
            let scheme = if text.starts_with("http://") || text.starts_with("https://") { "" } else { "https://" };
            let shown = match self.limit.map(|l| usize::try_from(l).unwrap_or(0)) {
                Some(limit) if text.chars().count() > limit => {
                    format!("{}...", text.chars().take(limit).collect::<String>())
                }
                _ => text.to_owned(),
            };
            out.push_str(&format!("<a href=\"{scheme}{text}\"{attributes}>{shown}</a>"));
        } else if let Some(mail) = text.strip_prefix("mailto:").filter(|mail| is(&MAIL, mail)) {
            out.push_str(&format!("<a href=\"{text}\">{mail}</a>"));
        } else if text.contains('@') && !text.starts_with("www.") && !text.contains(':') && is(&MAIL, text) {
            out.push_str(&format!("<a href=\"mailto:{text}\">{text}</a>"));
        } else if self.schemes.iter().any(|scheme| text != scheme && text.starts_with(scheme.as_str())) {
            out.push_str(&format!("<a href=\"{text}\"{attributes}>{text}</a>"));
        } else {
            out.push_str(text);
        }
    }
}

/// What of these begins a text, and the rest.
fn after_any<'t>(text: &'t str, marks: &[&str]) -> (&'t str, &'t str) {
    let mut at = 0;
    while let Some(mark) = marks.iter().find(|m| text[at..].starts_with(**m)) {
        at += mark.len();
    }
    text.split_at(at)
}

/// A text without what of these ends it, and that.
fn before_any<'t>(text: &'t str, marks: &[&str]) -> (&'t str, &'t str) {
    let mut at = text.len();
    while let Some(mark) = marks.iter().find(|m| text[..at].ends_with(**m)) {
        at -= mark.len();
    }
    text.split_at(at)
}
