//! Questions to the operator at a terminal.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use minijinja::Value;

use crate::playbook::{Play, Playbook};
use crate::problem::{Problem, Problems};
use crate::vars::Scope;
use crate::yaml::{Node, Yaml};

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

/// Answers to each play's `vars_prompt`, one scope per play. What `-e` gives is not asked for; without a terminal the default holds.
/// `render`: a default's templates, over the play's variables.
pub fn ask_vars(
    playbook: &Playbook,
    given: &[String],
    render: &dyn Fn(&Arc<Play>, &Node) -> Result<Value, Problem>,
) -> Result<Vec<Arc<Scope>>, Problems> {
    let mut all = vec![];
    for play in &playbook.plays {
        let mut answers: Vec<(String, Value)> = vec![];
        for entry in &play.vars_prompt {
            let Some(map) = entry.as_map() else { continue };
            let text = |key: &str| map.get(key).and_then(Node::scalar_text);
            let flag = |key: &str, otherwise: bool| match map.get(key) {
                Some(node) => match &node.value {
                    Yaml::Bool(b) => *b,
                    _ => node.scalar_text().and_then(|t| crate::resources::truth(&t)).unwrap_or(otherwise),
                },
                None => otherwise,
            };
            let Some(name) = text("name").filter(|n| !given.contains(n)) else { continue };
            let hidden = flag("private", true);
            let default = match map.get("default").filter(|n| !n.is_null()) {
                Some(node) => Some(Value::from(crate::resources::text_of(&render(play, node)?))),
                None => None,
            };
            let prompt = match map.get("prompt").filter(|n| !n.is_null()) {
                Some(node) => crate::resources::text_of(&render(play, node)?),
                None => name.clone(),
            };
            let question = match &default {
                Some(value) => format!("{prompt} [{}]: ", crate::resources::text_of(value)),
                None => format!("{prompt}: "),
            };
            let at_terminal = std::io::stdin().is_terminal();
            let answer = if at_terminal { asked(&question, hidden, flag("confirm", false)) } else { None };
            let mut value = match answer {
                Some(answer) if !answer.is_empty() => Value::from(answer),
                // Ansible's text of nothing, where nobody was asked.
                _ => default.unwrap_or_else(|| Value::from(if at_terminal { "" } else { "None" })),
            };
            if let Some(kind) = text("encrypt").filter(|k| !k.is_empty()) {
                let password = crate::resources::text_of(&value);
                let size = text("salt_size").and_then(|s| s.trim().parse().ok());
                let at = &map.get("encrypt").unwrap_or(entry).span;
                value = Value::from(hashed(&password, &kind, text("salt"), size).map_err(|p| p.at(at))?);
            }
            answers.push((name, value));
        }
        all.push(Scope::finals("vars_prompt", answers));
    }
    Ok(all)
}

/// Answers as texts, one of each play, for a saved plan; empty where nothing was asked.
pub fn kept(prompted: &[Arc<Scope>]) -> Vec<String> {
    if prompted.iter().all(|scope| scope.vars.is_empty()) {
        return vec![];
    }
    let text = |scope: &Arc<Scope>| {
        let mut answers = serde_json::Map::new();
        for (name, definition) in &scope.vars {
            if let crate::vars::Definition::Final(value) = definition {
                answers.insert(name.clone(), crate::report::value_json(value));
            }
        }
        serde_json::Value::Object(answers).to_string()
    };
    prompted.iter().map(text).collect()
}

/// The scopes of answers that were kept.
pub fn answered(kept: &[String]) -> Vec<Arc<Scope>> {
    kept.iter()
        .map(|text| {
            let answers: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
            let value = |json: &serde_json::Value| crate::resources::common::kit::from_json(json);
            Scope::finals("vars_prompt", answers.iter().map(|(name, json)| (name.clone(), value(json))))
        })
        .collect()
}

/// One answer; with `confirm` it is given twice alike.
fn asked(question: &str, hidden: bool, confirm: bool) -> Option<String> {
    let once = |question: &str| if hidden { secret(question).ok() } else { ask(question) };
    loop {
        let answer = once(question)?;
        if !confirm || once(&format!("confirm {question}"))? == answer {
            return Some(answer);
        }
        drop(writeln!(std::io::stderr(), "***** VALUES ENTERED DO NOT MATCH ****"));
    }
}

/// `encrypt`: the hash of an answer.
fn hashed(password: &str, kind: &str, salt: Option<String>, size: Option<usize>) -> Result<String, Problem> {
    use crate::template::filters::crypt;
    let Some(method) = crypt::Method::by_name(kind) else {
        return Err(Problem::unsupported(format!("`encrypt: {kind}` of vars_prompt"))
            .help("there are md5_crypt, sha256_crypt and sha512_crypt"));
    };
    let salt = salt.unwrap_or_else(|| crypt::random_salt(size.unwrap_or(method.salt_size())));
    crypt::crypt(method, password.as_bytes(), &salt, None).map_err(|why| Problem::new("invalid-value", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_hashed_as_passlib_does() {
        let hash = hashed("secret", "sha512_crypt", Some("saltsalt".into()), None).expect("hashed");
        assert!(hash.starts_with("$6$rounds=656000$saltsalt$"), "{hash}");
        let hash = hashed("secret", "md5_crypt", None, Some(4)).expect("hashed");
        assert_eq!(hash.split('$').nth(2).map(str::len), Some(4));
        assert!(
            hashed("secret", "bcrypt", None, None).expect_err("none such").message.starts_with("not supported yet")
        );
    }
}
