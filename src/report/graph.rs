//! The plan's graph for people and programs: Graphviz, Mermaid, JSON, and a picture (SVG).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::plan::{EdgeKind, Outcome, PlanGraph, Planned, Status, Step, shown_steps};

/// Graphviz text of the steps that would do something.
pub fn dot(outcome: &Outcome, graph: &PlanGraph) -> String {
    let steps = &outcome.steps;
    let shown = shown_steps(steps);
    let mut text = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for index in &shown {
        let step = &steps[*index];
        let label = format!("{}\\n{}", quoted(&step.host), quoted(&step.label()));
        text.push_str(&format!("  s{index} [label=\"{label}\"];\n"));
    }
    for (from, to, kind) in graph.shown_edges(steps, &shown) {
        let style = match kind {
            EdgeKind::Order => " [color=gray]".to_owned(),
            EdgeKind::Notify => " [style=dashed, label=\"notifies\"]".to_owned(),
            EdgeKind::Batch => " [style=dotted]".to_owned(),
            EdgeKind::Needs(thing) => format!(" [color=blue, label=\"{}\"]", quoted(&thing.to_string())),
            EdgeKind::Predicted => " [color=blue]".to_owned(),
        };
        text.push_str(&format!("  s{from} -> s{to}{style};\n"));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}

/// A Mermaid flow chart, a subgraph for each host.
pub fn mermaid(outcome: &Outcome, graph: &PlanGraph) -> String {
    let steps = &outcome.steps;
    let shown = shown_steps(steps);
    let clean = |text: &str| text.replace('"', "#quot;").replace('\n', " ");
    let mut text = String::from("flowchart TD\n");
    for (number, host) in outcome.hosts.keys().enumerate() {
        text.push_str(&format!("  subgraph h{number}[\"{}\"]\n", clean(host)));
        for index in shown.iter().filter(|i| steps[**i].host == *host) {
            text.push_str(&format!("    s{index}[\"{}\"]\n", clean(&steps[*index].label())));
        }
        text.push_str("  end\n");
    }
    for (from, to, kind) in graph.shown_edges(steps, &shown) {
        text.push_str(&match kind {
            EdgeKind::Order | EdgeKind::Predicted => format!("  s{from} --> s{to}\n"),
            EdgeKind::Notify => format!("  s{from} -. notifies .-> s{to}\n"),
            EdgeKind::Batch => format!("  s{from} -.-> s{to}\n"),
            EdgeKind::Needs(thing) => format!("  s{from} -->|\"{}\"| s{to}\n", clean(&thing.to_string())),
        });
    }
    text
}

/// Every step and every edge.
pub fn graph_json(outcome: &Outcome, graph: &PlanGraph) -> serde_json::Value {
    let steps: Vec<serde_json::Value> = outcome
        .steps
        .iter()
        .enumerate()
        .map(|(index, s)| {
            json!({
                "id": index, "host": s.host, "role": s.role, "task": s.task, "item": s.item, "path": s.path,
                "planned": s.planned, "makes": s.basis.makes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let edges: Vec<serde_json::Value> = graph
        .graph
        .edge_indices()
        .filter_map(|e| {
            let (from, to) = graph.graph.edge_endpoints(e)?;
            let (kind, thing) = match &graph.graph[e] {
                EdgeKind::Order => ("order", None),
                EdgeKind::Notify => ("notify", None),
                EdgeKind::Batch => ("batch", None),
                EdgeKind::Predicted => ("predicted", None),
                EdgeKind::Needs(thing) => ("needs", Some(thing.to_string())),
            };
            Some(json!({"from": graph.graph[from], "to": graph.graph[to], "kind": kind, "thing": thing}))
        })
        .collect();
    json!({ "schema": 1, "steps": steps, "edges": edges })
}

/// Why a step waits or runs: the chains of edges back from each step of that name.
pub fn why(outcome: &Outcome, graph: &PlanGraph, wanted: &BTreeSet<usize>) -> String {
    let steps = &outcome.steps;
    let mut out = String::new();
    for index in wanted {
        let step = &steps[*index];
        out.push_str(&format!("{}  {}  ({}, {})\n", step.host, step.label(), planned_word(step), step.path));
        if let Some(because) = &step.because {
            out.push_str(&format!("  {}\n", because.lines().next().unwrap_or_default()));
        }
        let mut seen = BTreeSet::from([*index]);
        chain(steps, graph, *index, 1, &mut seen, &mut out);
        if seen.len() == 1 {
            out.push_str("  depends on no other step\n");
        }
    }
    out
}

fn chain(steps: &[Step], graph: &PlanGraph, at: usize, depth: usize, seen: &mut BTreeSet<usize>, out: &mut String) {
    let mut by_step: BTreeMap<usize, Vec<&EdgeKind>> = BTreeMap::new();
    for (from, kind) in graph.reasons(at) {
        by_step.entry(from).or_default().push(kind);
    }
    for (from, kinds) in by_step {
        // What is foretold follows from the thing that is needed, where both are told.
        let telling: Vec<&&EdgeKind> = match kinds.iter().any(|k| !matches!(k, EdgeKind::Predicted)) {
            true => kinds.iter().filter(|k| !matches!(k, EdgeKind::Predicted)).collect(),
            false => kinds.iter().collect(),
        };
        let things: Vec<String> = telling
            .iter()
            .filter_map(|k| match k {
                EdgeKind::Needs(thing) => Some(thing.to_string()),
                _ => None,
            })
            .collect();
        let mut words: Vec<String> = vec![];
        if !things.is_empty() {
            words.push(format!("needs {} of", things.join(" and ")));
        }
        words.extend(telling.iter().filter(|k| !matches!(k, EdgeKind::Needs(_))).map(|k| k.words()));
        let step = &steps[from];
        let again = if seen.insert(from) { "" } else { " (see above)" };
        out.push_str(&format!(
            "{}{} {}  ({}, {}){again}\n",
            "  ".repeat(depth),
            words.join(", and "),
            step.label(),
            planned_word(step),
            step.path
        ));
        if again.is_empty() {
            chain(steps, graph, from, depth + 1, seen, out);
        }
    }
}

/// What a step does, in one word.
pub fn planned_word(step: &Step) -> &'static str {
    match (step.status, step.planned) {
        (Status::Failed, _) => "fails",
        (Status::Unreachable, _) => "unreachable",
        (Status::Skipped, _) => "skipped",
        (_, Planned::Unknown) => "unknown",
        (_, Planned::Create) => "create",
        (_, Planned::Change) => "change",
        (_, Planned::Remove) => "remove",
        (_, Planned::Run) => "run",
        (_, Planned::None) => "ok",
    }
}

const LANE: usize = 300;
const BOX: usize = 250;
const HIGH: usize = 36;
const ROW: usize = 58;
const TOP: usize = 44;

/// A picture: a lane for each host, its steps downwards, and curves for what needs what. Colours come from the page's style, or from
/// the picture's own where it stands alone.
pub fn svg(outcome: &Outcome, graph: &PlanGraph) -> String {
    let steps = &outcome.steps;
    let shown = shown_steps(steps);
    let edges = graph.shown_edges(steps, &shown);
    // A step stands one row below the lowest it waits for; order within a lane is an edge, so no two share a place.
    let mut row: BTreeMap<usize, usize> = BTreeMap::new();
    for index in &shown {
        let below = edges.iter().filter(|(_, to, _)| to == index).filter_map(|(from, _, _)| row.get(from)).max();
        row.insert(*index, below.map_or(0, |r| r + 1));
    }
    let lanes: BTreeMap<&str, usize> = outcome
        .hosts
        .keys()
        .filter(|h| shown.iter().any(|i| steps[*i].host == **h))
        .enumerate()
        .map(|(lane, host)| (host.as_str(), lane))
        .collect();
    let rows = row.values().max().map_or(0, |r| r + 1);
    let (width, height) = (lanes.len().max(1) * LANE + 40, TOP + rows.max(1) * ROW + 10);
    let x = |i: usize| 20 + lanes.get(steps[i].host.as_str()).copied().unwrap_or(0) * LANE;
    let y = |i: usize| TOP + row.get(&i).copied().unwrap_or(0) * ROW;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"graph of the plan\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<style>{SVG_STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#888\"/></marker></defs>\n"
    );
    for (host, lane) in &lanes {
        let x = 20 + lane * LANE;
        out.push_str(&format!("<text class=\"lane\" x=\"{x}\" y=\"26\">{}</text>\n", escaped(host)));
    }
    if shown.is_empty() {
        out.push_str("<text class=\"note\" x=\"20\" y=\"60\">Nothing would change.</text>\n");
    }
    for (from, to, kind) in &edges {
        let class = match kind {
            EdgeKind::Order => "order",
            EdgeKind::Notify => "notify",
            EdgeKind::Batch => "batch",
            _ => "needs",
        };
        let (fx, fy, tx, ty) = (x(*from), y(*from), x(*to), y(*to));
        let neighbours = fx == tx && ty == fy + ROW;
        let path = if neighbours {
            let middle = fx + BOX / 2;
            format!("M{middle} {} L{middle} {}", fy + HIGH, ty)
        } else if fx == tx {
            // Around the boxes between, on the right.
            let (right, out_x) = (fx + BOX, fx + BOX + 14 + (ty - fy).min(600) / 24);
            format!("M{right} {} C{out_x} {} {out_x} {} {right} {}", fy + HIGH / 2, fy + HIGH, ty, ty + HIGH / 2)
        } else {
            let (fm, tm) = (fx + BOX / 2, tx + BOX / 2);
            format!("M{fm} {} C{fm} {} {tm} {} {tm} {ty}", fy + HIGH, fy + ROW, ty.saturating_sub(20))
        };
        out.push_str(&format!(
            "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#tip)\"><title>{} {}</title></path>\n",
            escaped(&steps[*to].label()),
            escaped(&format!("{} {}", kind.words(), steps[*from].label()))
        ));
    }
    for index in &shown {
        let step = &steps[*index];
        let (x, y) = (x(*index), y(*index));
        let word = planned_word(step);
        out.push_str(&format!(
            "<g class=\"step {word}\"><title>{}: {word} ({})</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX}\" height=\"{HIGH}\" rx=\"5\"/>\
             <text x=\"{}\" y=\"{}\" class=\"role\">{}</text><text x=\"{}\" y=\"{}\">{}</text></g>\n",
            escaped(&step.label()),
            escaped(&step.path),
            x + 10,
            y + 14,
            escaped(&cut(&format!("{word}{}", step.role.as_ref().map(|r| format!(" · {r}")).unwrap_or_default()), 38)),
            x + 10,
            y + 29,
            escaped(&cut(&label_in_role(step), 38)),
        ));
    }
    out.push_str("</svg>\n");
    out
}

const SVG_STYLE: &str = ".lane{font-weight:600;font-size:14px;fill:#222}.note{fill:#555}\
.step rect{fill:#fff;stroke:#999;stroke-width:1.2}.step text{fill:#222}.step .role{fill:#666;font-size:10px}\
.create rect{fill:#e9f6ec;stroke:#3b8b4e}.change rect{fill:#fff6df;stroke:#b98a1b}.remove rect,.fails rect{fill:#fdeaea;stroke:#b83a3a}\
.run rect{fill:#eef1fb;stroke:#5068b5}.unknown rect{fill:#f5ecf9;stroke:#8a52a5;stroke-dasharray:4 3}\
path{fill:none;stroke:#bbb;stroke-width:1.2}path.needs{stroke:#4f7cc2}path.notify{stroke:#8a52a5;stroke-dasharray:5 3}path.batch{stroke-dasharray:2 3}";

fn label_in_role(step: &Step) -> String {
    match &step.item {
        Some(item) => format!("{} ({item})", step.task),
        None => step.task.clone(),
    }
}

fn cut(text: &str, width: usize) -> String {
    super::plan::one_line(text, width)
}

/// Text for HTML and SVG.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no place for control characters.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
