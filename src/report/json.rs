//! `--output json`: one document, in the schema of the architecture notes.

use minijinja::Value;
use serde_json::{Map, Value as Json, json};

use crate::plan::{Knowledge, Outcome, Planned, Status, Step};
use crate::template::Unknown;

use super::redact::Redactor;

/// The head of the document.
pub struct Document<'a> {
    pub command: &'a str,
    pub playbook: &'a str,
    pub started: String,
    pub finished: String,
}

/// The whole document of a plan (`planned`) or a run.
pub fn document(head: &Document, outcome: &Outcome, planned: bool, redactor: &Redactor) -> String {
    let hosts: Map<String, Json> = outcome
        .hosts
        .iter()
        .map(|(host, figures)| (host.clone(), serde_json::to_value(figures).unwrap_or(Json::Null)))
        .collect();
    let steps: Vec<Json> = outcome.steps.iter().map(|s| step_json(s, planned)).collect();
    let mut document = json!({
        "schema": 1,
        "kdeploy": env!("CARGO_PKG_VERSION"),
        "command": head.command,
        "playbook": head.playbook,
        "started": head.started,
        "finished": head.finished,
        "hosts": hosts,
        "steps": steps,
    });
    if planned && let Some(map) = document.as_object_mut() {
        let counts = super::PlanCounts::of(&outcome.steps);
        map.insert(
            "counts".to_owned(),
            json!({
                "create": counts.create, "change": counts.change, "remove": counts.remove, "run": counts.run,
                "none": counts.none, "skipped": counts.skipped, "failed": counts.failed, "unreachable": counts.unreachable,
                "known": counts.known, "predicted": counts.predicted, "unknown": counts.not_known,
            }),
        );
    }
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    redactor.clean(&text)
}

/// One step.
pub fn step_json(step: &Step, planned: bool) -> Json {
    let mut map = Map::new();
    let mut put = |key: &str, value: Json| {
        map.insert(key.to_owned(), value);
    };
    put("host", json!(step.host));
    put("play", json!(step.play));
    put("role", json!(step.role));
    put("task", json!(step.task));
    put("action", json!(step.action));
    put("item", json!(step.item));
    if planned {
        let planned = match (step.planned, step.changed, step.status) {
            // Runs, but counts as no change.
            (Planned::Unknown, _, _) | (_, _, Status::Unknown) => json!("unknown"),
            (p, true, _) => json!(p),
            _ => json!("none"),
        };
        put("planned", planned);
        let knowledge = match step.knowledge {
            Knowledge::Known => "known",
            Knowledge::Predicted => "predicted",
            Knowledge::Unknown => "unknown",
        };
        put("knowledge", json!(knowledge));
    }
    put("status", json!(step.status));
    put("changed", json!(step.changed));
    put("tags", json!(step.tags));
    put("path", json!(step.path));
    let (diff, result) = if step.no_log {
        (Json::Null, json!({"censored": "the output is hidden: no_log is set"}))
    } else {
        let diff = match step.diff.as_slice() {
            [] => Json::Null,
            [one] => {
                json!({"before": one.before, "after": one.after, "before_header": one.before_header, "after_header": one.after_header})
            }
            many => json!(many),
        };
        let mut result = Map::new();
        // The difference stands beside the result.
        for (key, value) in step.result.values.iter().filter(|(key, _)| *key != "diff") {
            result.insert(key.clone(), value_json(value));
        }
        (diff, Json::Object(result))
    };
    put("diff", diff);
    put("result", result);
    put("because", json!(step.because));
    put("ms", json!((step.ms * 1000.0).round() / 1000.0));
    if step.begin > 0.0 {
        put("begin", json!((step.begin * 1000.0).round() / 1000.0));
    }
    if !step.blame.is_empty() {
        put("blame", json!(step.blame));
    }
    if !step.affects.is_empty() {
        put("affects", json!(step.affects));
    }
    if !step.waited.is_empty() {
        let waited: Vec<Json> = step.waited.iter().map(|(what, ms)| json!({"for": what, "ms": ms.round()})).collect();
        put("waited", Json::Array(waited));
    }
    if step.stopped {
        put("stopped", json!(true));
    }
    if step.handler {
        put("handler", json!(true));
    }
    if step.ignored {
        put("ignored", json!(true));
    }
    if step.rescued {
        put("rescued", json!(true));
    }
    if let Some(target) = &step.delegated_to {
        put("delegated_to", json!(target));
    }
    Json::Object(map)
}

/// A value as JSON; what is not known yet says so.
pub fn value_json(value: &Value) -> Json {
    if let Some(unknown) = Unknown::of(value) {
        return json!(format!("({unknown})"));
    }
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            Json::Array(value.try_iter().into_iter().flatten().map(|v| value_json(&v)).collect())
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().into_iter().flatten() {
                // As JSON names keys that are no text.
                let name = match key.kind() {
                    ValueKind::None => "null".to_owned(),
                    ValueKind::Bool => key.is_true().to_string(),
                    _ => crate::resources::text_of(&key),
                };
                map.insert(name, value_json(&value.get_item(&key).unwrap_or_default()));
            }
            Json::Object(map)
        }
        ValueKind::Undefined => Json::Null,
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match (i64::try_from(value.clone()), f64::try_from(value.clone())) {
            (Ok(int), _) if value.is_integer() => json!(int),
            _ if value.is_integer() && u64::try_from(value.clone()).is_ok() => {
                json!(u64::try_from(value.clone()).unwrap_or_default())
            }
            (_, Ok(float)) => json!(float),
            _ => Json::String(value.to_string()),
        },
        _ => Json::String(crate::resources::text_of(value)),
    }
}
