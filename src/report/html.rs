//! A plan or a run as one HTML file that needs no network, and as Markdown for a merge request.
//!
//! Both are made from the JSON document, so that a saved plan can be shown as it was.

use serde_json::Value;

use super::graph::escaped;

/// The playbook as a title names it: from the folder it was run in.
fn playbook_of(document: &Value) -> String {
    crate::source::display_path(std::path::Path::new(text(document, "playbook")))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a step did or would do, in one word.
fn word(step: &Value) -> &str {
    match text(step, "status") {
        status @ ("failed" | "unreachable" | "skipped") => status,
        status => match text(step, "planned") {
            "" => status,
            "none" => "ok",
            planned => planned,
        },
    }
}

fn is_quiet(step: &Value) -> bool {
    matches!(word(step), "ok" | "skipped")
}

fn steps(document: &Value) -> Vec<&Value> {
    document["steps"].as_array().into_iter().flatten().collect()
}

fn label(step: &Value) -> String {
    match step["item"].as_str() {
        Some(item) => format!("{} ({item})", text(step, "task")),
        None => text(step, "task").to_owned(),
    }
}

/// Who may have changed what a step is about, for drift.
fn blame_text(step: &Value) -> String {
    let parts: Vec<&str> = step["blame"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    parts.join(", ")
}

fn blame_note(step: &Value) -> String {
    let text = blame_text(step);
    if text.is_empty() { text } else { format!("<p class=\"note blame\">{}</p>", escaped(&text)) }
}

/// The differences of a step as unified text.
fn diffs(step: &Value) -> String {
    let list: Vec<&Value> = match &step["diff"] {
        Value::Array(all) => all.iter().collect(),
        Value::Null => vec![],
        one => vec![one],
    };
    list.into_iter()
        .map(|d| {
            super::diff::unified(&crate::resources::Diff {
                before_header: text(d, "before_header").to_owned(),
                after_header: text(d, "after_header").to_owned(),
                before: text(d, "before").to_owned(),
                after: text(d, "after").to_owned(),
            })
        })
        .collect()
}

/// How many steps of each kind, in the order people look for them.
fn tally(steps: &[&Value]) -> Vec<(&'static str, usize)> {
    const WORDS: [&str; 11] =
        ["failed", "unreachable", "create", "change", "remove", "run", "changed", "unknown", "none", "ok", "skipped"];
    WORDS.iter().map(|w| (*w, steps.iter().filter(|s| word(s) == *w).count())).filter(|(_, count)| *count > 0).collect()
}

/// The report as HTML.
pub fn html(document: &Value, graph: &str) -> String {
    let planned = document["counts"].is_object();
    let all = steps(document);
    let title = format!("{} of {}", if planned { "Plan" } else { "Run" }, playbook_of(document));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{0}</title><style>{STYLE}</style></head><body>\n<header><h1>{0}</h1><p>{1} – {2}, kdeploy {3}</p></header>\n<main>\n",
        escaped(&title),
        escaped(text(document, "started")),
        escaped(text(document, "finished")),
        escaped(text(document, "kdeploy")),
    );
    out.push_str("<section><h2>Summary</h2>\n");
    out.push_str(&tallies(&tally(&all)));
    if planned {
        let count = |key: &str| document["counts"][key].as_u64().unwrap_or_default();
        out.push_str(&format!(
            "<p>{} steps are known from what was observed, {} are predicted from earlier steps, {} are known only after a run.</p>\n",
            count("known"),
            count("predicted"),
            count("unknown")
        ));
    }
    out.push_str("<table><thead><tr><th>Host</th><th>Steps</th></tr></thead><tbody>\n");
    for host in document["hosts"].as_object().into_iter().flatten().map(|(name, _)| name) {
        let own: Vec<&Value> = all.iter().copied().filter(|s| s["host"] == host.as_str()).collect();
        out.push_str(&format!(
            "<tr><td><a href=\"#host-{0}\">{0}</a></td><td>{1}</td></tr>\n",
            escaped(host),
            tallies(&tally(&own))
        ));
    }
    out.push_str("</tbody></table></section>\n");
    out.push_str(&unknowns(&all));
    for host in document["hosts"].as_object().into_iter().flatten().map(|(name, _)| name) {
        let own: Vec<&Value> = all.iter().copied().filter(|s| s["host"] == host.as_str()).collect();
        out.push_str(&host_section(host, &own));
        if !planned {
            out.push_str(&timeline(&own));
        }
    }
    if !graph.is_empty() {
        out.push_str(&format!("<section><h2>Graph</h2><div class=\"graph\">{graph}</div></section>\n"));
    }
    out.push_str("</main></body></html>\n");
    out
}

fn tallies(counts: &[(&str, usize)]) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|(w, n)| format!("<span class=\"tag {w}\">{n} {}</span>", if *w == "none" { "ok" } else { w }))
        .collect();
    format!("<p class=\"tally\">{}</p>", parts.join(" "))
}

fn unknowns(all: &[&Value]) -> String {
    let found: Vec<&&Value> = all.iter().filter(|s| word(s) == "unknown").collect();
    if found.is_empty() {
        return String::new();
    }
    let mut out = String::from("<section><h2>Not known before</h2><ul>\n");
    for step in found {
        out.push_str(&format!(
            "<li><b>{}</b> {} <span class=\"note\">{}</span></li>\n",
            escaped(text(step, "host")),
            escaped(&label(step)),
            escaped(text(step, "because"))
        ));
    }
    out.push_str("</ul></section>\n");
    out
}

fn host_section(host: &str, own: &[&Value]) -> String {
    let mut out = format!("<section id=\"host-{0}\"><h2>{0}</h2>\n", escaped(host));
    let mut role: Option<&str> = None;
    for step in own.iter().filter(|s| !is_quiet(s)) {
        let of = text(step, "role");
        if role != Some(of) {
            out.push_str(&format!("<h3>{}</h3>\n", escaped(if of.is_empty() { "tasks" } else { of })));
            role = Some(of);
        }
        let because = text(step, "because");
        let because =
            if because.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>", escaped(because)) };
        let affects: String = step["affects"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|line| format!("<p class=\"affects\">{}</p>", escaped(line)))
            .collect();
        let because = because + &affects + &blame_note(step);
        let head = format!(
            "<span class=\"tag {0}\">{0}</span> {1} <span class=\"place\">{2}</span>",
            word(step),
            escaped(&label(step)),
            escaped(text(step, "path"))
        );
        let diff = diffs(step);
        if diff.is_empty() {
            out.push_str(&format!("<div class=\"step\">{head}{because}</div>\n"));
        } else {
            let open = if diff.lines().count() <= 40 { " open" } else { "" };
            out.push_str(&format!(
                "<details class=\"step\"{open}><summary>{head}</summary>{because}<pre>{}</pre></details>\n",
                painted(&diff)
            ));
        }
    }
    let quiet = own.iter().filter(|s| is_quiet(s)).count();
    if quiet > 0 {
        out.push_str(&format!("<details class=\"rest\"><summary>{quiet} steps with nothing to do</summary><ul>\n"));
        for step in own.iter().filter(|s| is_quiet(s)) {
            out.push_str(&format!(
                "<li><span class=\"tag {0}\">{0}</span> {1} <span class=\"note\">{2}</span></li>\n",
                word(step),
                escaped(&label(step)),
                escaped(text(step, "because"))
            ));
        }
        out.push_str("</ul></details>\n");
    }
    out.push_str("</section>\n");
    out
}

fn painted(diff: &str) -> String {
    diff.lines()
        .map(|line| {
            let class = match line.as_bytes().first() {
                Some(b'+') => "add",
                Some(b'-') => "del",
                Some(b'@') => "hunk",
                _ => "same",
            };
            format!("<span class=\"{class}\">{}</span>\n", escaped(line))
        })
        .collect()
}

/// Milliseconds that a host waited, by what for, the longest first.
fn waits(own: &[&Value]) -> Vec<(String, f64)> {
    let mut sums: Vec<(String, f64)> = vec![];
    for wait in own.iter().flat_map(|s| s["waited"].as_array().into_iter().flatten()) {
        let (what, ms) = (text(wait, "for"), wait["ms"].as_f64().unwrap_or_default());
        match sums.iter_mut().find(|(w, _)| w == what) {
            Some((_, sum)) => *sum += ms,
            None => sums.push((what.to_owned(), ms)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}

/// What ran when on a host, what it waited for, and where the time went.
fn timeline(own: &[&Value]) -> String {
    let ms = |s: &Value, key: &str| s[key].as_f64().unwrap_or_default();
    let ran: Vec<&&Value> = own.iter().filter(|s| ms(s, "ms") > 0.0).collect();
    let end = ran.iter().map(|s| ms(s, "begin") + ms(s, "ms")).fold(0.0, f64::max);
    if ran.is_empty() || end <= 0.0 {
        return String::new();
    }
    let mut out = format!("<section class=\"timeline\"><h3>When it ran ({:.1} s in all)</h3>\n", end / 1000.0);
    let worked: f64 = ran.iter().map(|s| ms(s, "ms")).sum();
    let mut went = vec![format!("{:.1} s in its steps", worked / 1000.0)];
    let waits = waits(own);
    went.extend(waits.iter().map(|(what, ms)| format!("{:.1} s waiting for {}", ms / 1000.0, escaped(what))));
    let rest = end - worked - waits.iter().map(|(_, ms)| ms).sum::<f64>();
    if rest > 50.0 {
        went.push(format!("{:.1} s in kdeploy itself", rest / 1000.0));
    }
    out.push_str(&format!("<p class=\"note\">Where the time went: {}</p>\n", went.join(", ")));
    for step in ran {
        let (begin, took) = (ms(step, "begin"), ms(step, "ms"));
        let waited: f64 = step["waited"].as_array().into_iter().flatten().map(|w| ms(w, "ms")).sum();
        let waited = waited.min(begin);
        let why: Vec<String> = step["waited"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|w| format!("waited {:.1} s for {}", ms(w, "ms") / 1000.0, escaped(text(w, "for"))))
            .collect();
        let wait = match waited > 0.0 {
            true => format!(
                "<i class=\"wait\" title=\"{}\" style=\"left:{:.2}%;width:{:.2}%\"></i>",
                why.join(", "),
                (begin - waited) * 100.0 / end,
                waited * 100.0 / end
            ),
            false => String::new(),
        };
        let why = match waited >= 100.0 {
            true => format!("<span class=\"why note\">{}</span>", why.join(", ")),
            false => String::new(),
        };
        out.push_str(&format!(
            "<div class=\"row\"><span class=\"name\">{}</span><span class=\"track\">{wait}<i class=\"{}\" style=\"left:{:.2}%;width:{:.2}%\"></i></span>\
             <span class=\"took\">{:.2} s</span>{why}</div>\n",
            escaped(&label(step)),
            word(step),
            begin * 100.0 / end,
            (took * 100.0 / end).max(0.4),
            took / 1000.0
        ));
    }
    out.push_str("</section>\n");
    out
}

/// The report as Markdown.
pub fn markdown(document: &Value) -> String {
    let planned = document["counts"].is_object();
    let all = steps(document);
    let kind = if planned { "Plan" } else { "Run" };
    let counts = |steps: &[&Value]| {
        let parts: Vec<String> =
            tally(steps).iter().map(|(w, n)| format!("{n} {}", if *w == "none" { "ok" } else { w })).collect();
        parts.join(", ")
    };
    let mut out = format!("## {kind} of {}\n\n{}\n", playbook_of(document), counts(&all));
    for host in document["hosts"].as_object().into_iter().flatten().map(|(name, _)| name) {
        let own: Vec<&Value> = all.iter().copied().filter(|s| s["host"] == host.as_str()).collect();
        let loud: Vec<&&Value> = own.iter().filter(|s| !is_quiet(s)).collect();
        out.push_str(&format!(
            "\n### {host}: {}\n\n",
            if loud.is_empty() { "as desired".to_owned() } else { counts(&own) }
        ));
        for step in loud {
            let role = text(step, "role");
            let name = if role.is_empty() { label(step) } else { format!("{role} : {}", label(step)) };
            let (name, because) = (name.replace('|', "\\|"), text(step, "because"));
            let mut because =
                if because.is_empty() { String::new() } else { format!(" ({})", because.replace('\n', " ")) };
            let blame = blame_text(step);
            if !blame.is_empty() {
                because.push_str(&format!(" – {blame}"));
            }
            let diff = diffs(step);
            if diff.is_empty() {
                out.push_str(&format!("- **{}** {name}{because}\n", word(step)));
                continue;
            }
            // A fence longer than any in the difference.
            let fence = "`".repeat(diff.split(|c| c != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
            out.push_str(&format!(
                "<details><summary><b>{}</b> {}</summary>\n\n{fence}diff\n{diff}{}{fence}\n\n</details>\n",
                word(step),
                escaped(&format!("{name}{because}")),
                if diff.ends_with('\n') { "" } else { "\n" }
            ));
        }
    }
    out
}

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1d2127;--soft:#667;--line:#dde;--card:#f7f8fa}\
@media(prefers-color-scheme:dark){:root{--bg:#15181d;--fg:#e4e7ec;--soft:#9aa3b0;--line:#333a45;--card:#1d2229}}\
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif}\
header,main{max-width:70rem;margin:0 auto;padding:0 1rem}h1{font-size:1.5rem;margin:1.2rem 0 .2rem;overflow-wrap:anywhere}\
h2{font-size:1.2rem;border-bottom:1px solid var(--line);padding-bottom:.2rem;margin-top:1.8rem}h3{font-size:1rem;color:var(--soft);margin:1rem 0 .3rem}\
header p,.note,.place{color:var(--soft);font-size:.85rem}.note{margin:.2rem 0;white-space:pre-wrap;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
.tally{margin:.2rem 0;display:flex;flex-wrap:wrap;gap:.3rem}.tag{display:inline-block;border-radius:4px;padding:0 .45rem;font-size:.8rem;background:#e3e5ea;color:#333}\
.create,.changed{background:#d9f0df;color:#14532d}.change{background:#fdeecb;color:#6b4a00}.remove,.failed,.unreachable{background:#fbdada;color:#7d1414}\
.run{background:#dfe6fb;color:#1f3a8a}.unknown{background:#eddff5;color:#5b2174}\
.step{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.4rem .6rem;margin:.35rem 0;overflow-wrap:anywhere}\
summary{cursor:pointer}pre{overflow-x:auto;margin:.5rem 0 0;font:12.5px/1.4 ui-monospace,monospace}\
pre span{display:inline}.add{color:#1a7f37}.del{color:#c0272d}.hunk{color:#5068b5}.graph{overflow-x:auto;background:#fff;border:1px solid var(--line);border-radius:6px}\
.graph svg{max-width:none;display:block}.row{display:grid;grid-template-columns:minmax(8rem,18rem) 1fr 4rem;gap:.5rem;align-items:center;font-size:.85rem}\
.row .name{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.track{position:relative;height:.8rem;background:var(--card);border-radius:3px}\
.track i{position:absolute;top:0;bottom:0;border-radius:3px;background:#8aa0d6}.track i.wait{background:repeating-linear-gradient(90deg,var(--line) 0 4px,transparent 4px 7px)}.why{grid-column:1/-1}.affects{color:#8a4b00;font-size:.85rem;margin:.2rem 0}.track i.changed{background:#4c9a63}.track i.failed{background:#c0272d}.took{text-align:right;color:var(--soft)}\
@media(max-width:40rem){.row{grid-template-columns:1fr 4rem}.row .track{grid-column:1/3;grid-row:2}.place{display:block}}\
@media print{body{font-size:11px}.step,table{break-inside:avoid}.graph{overflow:visible}.graph svg{width:100%;height:auto}}";

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::json!({
            "playbook": "site.yml", "started": "a", "finished": "b", "kdeploy": "0", "counts": {"known": 1},
            "hosts": {"one": {}},
            "steps": [
                {"host": "one", "task": "File <x>", "role": null, "item": null, "status": "changed", "planned": "create", "path": "site.yml:3",
                 "diff": {"before": "", "after": "```\n<b>\n", "before_header": "/x", "after_header": "content"}},
                {"host": "one", "task": "Same", "status": "ok", "planned": "none", "path": "site.yml:5", "diff": null},
                {"host": "one", "task": "Later", "status": "unknown", "planned": "unknown", "because": "known after: task \"A\"", "diff": null},
            ]
        })
    }

    #[test]
    fn html_escapes_and_needs_no_network() {
        let page = html(&document(), "<svg></svg>");
        assert!(page.contains("File &lt;x&gt;") && page.contains("&lt;b&gt;"), "{page}");
        assert!(!page.contains("<b>\n") && !page.contains("http://") && !page.contains("https://"), "{page}");
        assert!(page.contains("known after: task &quot;A&quot;"));
        assert!(page.contains("1 steps with nothing to do"));
    }

    #[test]
    fn markdown_fences_are_longer_than_those_inside() {
        let text = markdown(&document());
        assert!(text.contains("\n````diff\n"), "{text}");
        assert!(text.contains("- **unknown** Later (known after: task \"A\")"), "{text}");
    }
}
