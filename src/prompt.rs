//! Questions to the operator at a terminal.

use std::io::Write;
use std::sync::Arc;

use minijinja::Value;

use crate::playbook::Playbook;
use crate::problem::{Problem, Problems};
use crate::vars::Scope;

/// Asks yes or no; anything but yes is no.
pub fn confirm(question: &str) -> bool {
    ask(&format!("{question} [y/N] "))
        .is_some_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line that may be seen.
pub fn ask(question: &str) -> Option<String> {
    drop(write!(std::io::stderr(), "{question}"));
    drop(std::io::stderr().flush());
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(read) if read > 0 => Some(answer.trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}

/// Reads a password without showing it.
pub fn secret(prompt: &str) -> Result<String, Problem> {
    rpassword::prompt_password(prompt)
        .map_err(|e| Problem::new("no-terminal", format!("cannot ask for a password: {e}")))
}

/// Answers to each play's `vars_prompt`, one scope per play.
pub fn ask_vars(playbook: &Playbook) -> Result<Vec<Arc<Scope>>, Problems> {
    let mut all = vec![];
    for play in &playbook.plays {
        let mut answers: Vec<(String, Value)> = vec![];
        for entry in &play.vars_prompt {
            let Some(map) = entry.as_map() else { continue };
            let text = |key: &str| map.get(key).and_then(|n| n.as_str().map(str::to_owned));
            let Some(name) = text("name") else { continue };
            for key in ["encrypt", "salt", "salt_size", "unsafe"] {
                if let Some(node) = map.get(key) {
                    return Err(Problem::unsupported(format!("`{key}` of vars_prompt")).at(&node.span).into());
                }
            }
            let hidden = map.get("private").is_none_or(|n| {
                !matches!(n.value, crate::yaml::Yaml::Bool(false))
                    && n.as_str().and_then(crate::resources::truth) != Some(false)
            });
            let prompt = text("prompt").unwrap_or_else(|| name.clone());
            let default = map.get("default").map(|n| n.to_value());
            let question = match (&default, hidden) {
                (Some(value), false) => format!("{prompt} [{}]: ", crate::resources::text_of(value)),
                _ => format!("{prompt}: "),
            };
            let answer = if hidden { secret(&question).ok() } else { ask(&question) };
            let value = match answer {
                Some(answer) if !answer.is_empty() => Value::from(answer),
                _ => default.unwrap_or_else(|| Value::from("")),
            };
            answers.push((name, value));
        }
        all.push(Scope::finals("vars_prompt", answers));
    }
    Ok(all)
}
