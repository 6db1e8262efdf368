//! Makes a differing case smaller: leaves out whatever can be left out while it still differs.

use serde_json::Value;

use super::generate::Repository;
use super::runner::Runner;

/// Tries at most so many smaller cases.
pub fn shrink(runner: &mut Runner, case: &Repository, most: u64) -> std::io::Result<(Repository, Vec<String>)> {
    let mut small = case.clone();
    let mut differences = runner.differences(case)?;
    let mut tries = 0;
    loop {
        let mut smaller = false;
        let mut index = 0;
        while tries < most {
            let Some(next) = without(&small, index) else { break };
            tries += 1;
            let found = runner.differences(&next)?;
            if found.is_empty() || found.iter().any(|f| f.contains("could not be read")) {
                index += 1;
            } else {
                (small, differences, smaller) = (next, found, true);
            }
        }
        if !smaller || tries >= most {
            return Ok((small, differences));
        }
    }
}

/// The case without its part of this number; the largest parts come first.
fn without(case: &Repository, index: usize) -> Option<Repository> {
    let mut places: Vec<(usize, Vec<Step>)> = vec![];
    for (name, value) in &case.files {
        if name != "site.yml" && name != "hosts" {
            places.push((value.to_string().len(), vec![Step::Key(name.clone())]));
        }
        collect(value, &mut vec![Step::Key(name.clone())], &mut places);
    }
    places.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let mut next = case.clone();
    if index < case.args.len() / 2 {
        next.args.drain(index * 2..index * 2 + 2);
        return Some(next);
    }
    let (_, path) = places.get(index - case.args.len() / 2)?;
    remove(&mut next, path);
    Some(next)
}

#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

fn collect(value: &Value, path: &mut Vec<Step>, places: &mut Vec<(usize, Vec<Step>)>) {
    let children: Vec<(Step, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (Step::Index(i), v)).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (Step::Key(k.clone()), v)).collect(),
        _ => return,
    };
    for (step, child) in children {
        path.push(step);
        places.push((child.to_string().len(), path.clone()));
        collect(child, path, places);
        path.pop();
    }
}

fn remove(case: &mut Repository, path: &[Step]) {
    let [Step::Key(file), rest @ ..] = path else { return };
    let Some((last, way)) = rest.split_last() else {
        case.files.remove(file);
        return;
    };
    let mut at = case.files.get_mut(file);
    for step in way {
        at = at.and_then(|value| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        });
    }
    match (at, last) {
        (Some(Value::Object(map)), Step::Key(key)) => {
            map.shift_remove(key);
        }
        (Some(Value::Array(items)), Step::Index(index)) => {
            items.remove(*index);
        }
        _ => {}
    }
}
