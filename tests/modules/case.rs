//! Case files, and the tasks they stand for.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    module: Option<String>,
    /// Programs without which neither side can work.
    #[serde(default)]
    needs: Vec<String>,
    /// Of both programs on the machine that controls.
    #[serde(default)]
    umask: Option<String>,
    /// Paths that are not compared: a regular expression.
    #[serde(default)]
    leave: Option<String>,
    /// On lab nodes: a shell text that says what a step left behind.
    #[serde(default)]
    state: Option<String>,
    cases: Map<String, Value>,
}

/// The cases of one module.
pub struct File {
    pub name: String,
    pub needs: Vec<String>,
    pub umask: String,
    pub leave: Option<fancy_regex::Regex>,
    /// On lab nodes: what says how a step left the node.
    pub state: Option<String>,
    pub cases: Vec<Case>,
}

pub struct Case {
    pub name: String,
    pub steps: Vec<Step>,
    /// Keys of the result that are not compared, and those of whose value only the keys are.
    pub apart: Vec<String>,
    pub keys: Vec<String>,
    /// Why kdeploy is different on purpose: in all steps, or in those in check mode only.
    pub differs: Option<String>,
    pub check_differs: Option<String>,
    /// What says how a step left the node, if not what the file says.
    pub state: Option<String>,
    /// The facts are what the module is for: they are compared too.
    pub facts: bool,
    /// Where kdeploy still differs and should not (open.yml): it must, so that the mark goes when it is mended.
    pub open: Option<String>,
}

/// One task of a case.
#[derive(serde::Serialize)]
pub struct Step {
    /// Its number in the case, and words that say which it is.
    pub number: usize,
    pub what: &'static str,
    pub hand: Option<String>,
    /// Keywords of the task, the module among them; none: only a change by hand.
    pub task: Map<String, Value>,
}

impl Step {
    /// The task's name, alike with both programs: `name_of_case.12 in earnest`.
    pub fn name(&self, case: &str) -> String {
        format!("{} {}", self.key(case), self.what)
    }

    /// The name's first word: files that belong to the step are named after it.
    pub fn key(&self, case: &str) -> String {
        format!("{case}.{}", self.number)
    }
}

/// `often`: arguments are run twice in check mode and twice in earnest; else not a second time in check mode.
pub fn read(path: &Path, often: bool) -> Result<File, Box<dyn std::error::Error>> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let written: Written = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
    let module = written.module.unwrap_or_else(|| format!("ansible.builtin.{name}"));
    let only = std::env::var("KDEPLOY_PROOF_CASE").ok();
    let list = std::fs::read_to_string(path.with_file_name("../open.yml")).unwrap_or_default();
    let open: Option<BTreeMap<String, BTreeMap<String, String>>> = serde_yaml::from_str(&list).unwrap_or_default();
    let open = open.unwrap_or_default().get(&name).cloned().unwrap_or_default();
    let mut cases = vec![];
    for (case, value) in written.cases {
        if only.as_ref().is_some_and(|o| *o != case) {
            continue;
        }
        let (steps, apart, keys, facts, [differs, check_differs, state]) = match value {
            Value::Array(steps) => (steps, vec![], vec![], false, [None, None, None]),
            Value::Object(mut map) => {
                let list = |v: Option<Value>| serde_json::from_value::<Vec<String>>(v.unwrap_or(json!([])));
                let steps = map.remove("steps").and_then(|v| v.as_array().cloned()).ok_or("`steps` is missing")?;
                let (apart, keys) = (list(map.remove("apart"))?, list(map.remove("keys"))?);
                let facts = map.remove("facts").is_some();
                let texts = ["differs", "check_differs", "state"]
                    .map(|key| map.remove(key).and_then(|v| v.as_str().map(str::to_owned)));
                if let Some(key) = map.keys().next() {
                    return Err(format!("case {case}: `{key}` is not known").into());
                }
                (steps, apart, keys, facts, texts)
            }
            other => return Err(format!("case {case}: {other}").into()),
        };
        let open = open.get(&case).cloned();
        let mut case = Case { name: case, steps: vec![], apart, keys, differs, check_differs, state, facts, open };
        let mut last: Option<Map<String, Value>> = None;
        for step in steps {
            match step {
                Value::String(hand) => {
                    add(&mut case, "by hand", Some(hand), None);
                    if let Some(task) = &last {
                        add(&mut case, "in check mode, after that", None, Some(checked(task)));
                        add(&mut case, "in earnest, after that", None, Some(task.clone()));
                    }
                }
                Value::Object(args) => {
                    let (task, once) = task(&module, args);
                    add(&mut case, "in check mode", None, Some(checked(&task)));
                    add(&mut case, "in earnest", None, Some(task.clone()));
                    if !once {
                        if often {
                            add(&mut case, "again in check mode", None, Some(checked(&task)));
                        }
                        add(&mut case, "again in earnest", None, Some(task.clone()));
                    }
                    last = Some(task);
                }
                other => return Err(format!("case {}: {other}", case.name).into()),
            }
        }
        cases.push(case);
    }
    let leave = written.leave.map(|l| fancy_regex::Regex::new(&l)).transpose()?;
    Ok(File {
        leave,
        name,
        needs: written.needs,
        state: written.state,
        umask: written.umask.unwrap_or_else(|| "022".to_owned()),
        cases,
    })
}

fn add(case: &mut Case, what: &'static str, hand: Option<String>, task: Option<Map<String, Value>>) {
    let number = case.steps.len() + 1;
    case.steps.push(Step { number, what, hand, task: task.unwrap_or_default() });
}

fn checked(task: &Map<String, Value>) -> Map<String, Value> {
    let mut task = task.clone();
    task.insert("check_mode".to_owned(), json!(true));
    task
}

fn task(module: &str, mut args: Map<String, Value>) -> (Map<String, Value>, bool) {
    let mut task = match args.remove("_task") {
        Some(Value::Object(task)) => task,
        _ => Map::new(),
    };
    let module = args.remove("_module").and_then(|m| m.as_str().map(str::to_owned)).unwrap_or(module.to_owned());
    let once = args.remove("_once").is_some();
    // Arguments that are only known when the task runs: kdeploy finds wrong ones before it begins.
    let late = args.remove("_late").is_some();
    task.insert("ignore_errors".to_owned(), json!(true));
    // Free-form modules take a text.
    let args = args.remove("_text").unwrap_or(Value::Object(args));
    if late {
        task.insert("args".to_owned(), json!("{{ late }}"));
        task.insert("vars".to_owned(), json!({ "late": args }));
        task.insert(module, Value::Null);
    } else {
        task.insert(module, args);
    }
    (task, once)
}
