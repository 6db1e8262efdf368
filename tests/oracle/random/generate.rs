//! A random repository: inventory, playbook, roles, included files, and the command line they are run with.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::expressions::{
    Kind, REGISTERS, Sight, any_kind, condition, conditional, expression, literal, text, value, variables,
};
use super::rng::Rng;

/// Files by name, and arguments. A file that is text is written as it is, data as YAML.
#[derive(Debug, Clone, PartialEq)]
pub struct Repository {
    pub files: BTreeMap<String, Value>,
    pub args: Vec<String>,
}

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
const HANDLERS: [&str; 3] = ["handler one", "handler two", "handler three"];
const TOPICS: [&str; 2] = ["topic a", "topic b"];
const TAGS: [&str; 3] = ["red", "green", "blue"];
const ROLES: [&str; 2] = ["one", "two"];

pub fn generate(seed: u64) -> Repository {
    let maker =
        Maker { rng: Rng::new(seed), files: BTreeMap::new(), names: 0, hosts: 1, budget: 0, roles: 0, included: 0 };
    maker.repository()
}

/// Where a task stands, as far as that matters for what may stand there.
#[derive(Clone)]
struct Place {
    sight: Sight,
    depth: usize,
    /// Included files and roles below this number may be used: none includes itself.
    file: usize,
    role: usize,
    handler: bool,
}

struct Maker {
    rng: Rng,
    files: BTreeMap<String, Value>,
    names: usize,
    hosts: usize,
    /// How many tasks there may still be.
    budget: usize,
    roles: usize,
    included: usize,
}

impl Maker {
    fn repository(mut self) -> Repository {
        self.hosts = 1 + self.rng.weighted(&[50, 38, 12]);
        self.inventory();
        self.roles = self.rng.weighted(&[45, 35, 20]);
        self.included = self.rng.weighted(&[50, 30, 20]);
        self.budget = 3;
        for index in 0..self.roles {
            self.role(index);
        }
        for index in 0..self.included {
            self.budget = 3;
            let place = Place { sight: Sight::all(), depth: 1, file: index, role: 0, handler: false };
            let tasks = self.tasks(&place, 2);
            self.files.insert(format!("inc{index}.yml"), Value::Array(tasks));
            if self.rng.chance(60) {
                let vars = self.vars(25, Sight::all());
                self.files.insert(format!("vars/v{index}.yml"), Value::Object(vars));
            }
        }
        let plays = if self.rng.chance(20) { 2 } else { 1 };
        let list = (0..plays).map(|_| self.play()).collect();
        self.files.insert("site.yml".into(), Value::Array(list));
        let args = self.args();
        Repository { files: self.files, args }
    }

    fn args(&mut self) -> Vec<String> {
        let mut args = vec![];
        if self.rng.chance(15) {
            args.extend([
                "--tags".into(),
                self.rng.pick(&["red", "green", "red,blue", "tagged", "untagged", "all", "never"]).into(),
            ]);
        }
        if self.rng.chance(12) {
            args.extend([
                "--skip-tags".into(),
                self.rng.pick(&["red", "green,blue", "tagged", "always", "untagged"]).into(),
            ]);
        }
        if self.rng.chance(25) {
            let vars = Value::Object(self.vars(12, Sight::all()));
            args.extend(["-e".into(), vars.to_string()]);
        }
        if self.rng.chance(8) {
            args.extend(["-e".into(), "n2=5 s2=extra".into()]);
        }
        args
    }

    fn inventory(&mut self) {
        let hosts = &HOSTS[..self.hosts];
        let mut text = String::new();
        for (index, host) in hosts.iter().enumerate() {
            let inline = if self.rng.chance(30) {
                format!(" n{}={}", 1 + self.rng.below(3), self.rng.below(9))
            } else {
                String::new()
            };
            text += &format!("[{}]\n{host}{inline}\n", if index == 0 { "parent" } else { "child" });
        }
        if self.hosts == 1 || self.rng.chance(50) {
            text += "[child]\nh1\n";
        }
        text += "[parent:children]\nchild\n[all:vars]\nansible_connection=local\n";
        text += &format!(
            "ansible_python_interpreter={{{{ ansible_playbook_python }}}}\ns3={}\n",
            self.rng.pick(&["inv", "5", "True"])
        );
        self.files.insert("hosts".into(), json!(text));
        for (name, percent) in [
            ("group_vars/all", 30),
            ("group_vars/parent", 20),
            ("group_vars/child", 20),
            ("host_vars/h1", 15),
            ("host_vars/h2", 10),
        ] {
            if self.rng.chance(60) {
                let vars = self.vars(percent, Sight::all());
                self.files.insert(format!("{name}.yml"), Value::Object(vars));
            }
        }
    }

    /// Some variables, each with a value that speaks of those of a lower rank.
    fn vars(&mut self, percent: usize, sight: Sight) -> Map<String, Value> {
        let mut map = Map::new();
        for (name, kind, rank) in variables() {
            if self.rng.chance(percent) {
                let rank = if self.rng.chance(3) { sight.rank } else { rank - 1 };
                let sight = Sight { rank, ..sight.clone() };
                map.insert(name, value(&mut self.rng, kind, &sight));
            }
        }
        map
    }

    fn role(&mut self, index: usize) {
        let name = ROLES[index];
        let place = Place { sight: Sight::all(), depth: 1, file: 0, role: index, handler: false };
        self.budget = 3;
        let count = 1 + self.rng.below(2);
        let tasks = self.tasks(&place, count);
        self.files.insert(format!("roles/{name}/tasks/main.yml"), Value::Array(tasks));
        for (part, percent) in [("defaults", 30), ("vars", 15)] {
            if self.rng.chance(70) {
                let vars = self.vars(percent, Sight::all());
                self.files.insert(format!("roles/{name}/{part}/main.yml"), Value::Object(vars));
            }
        }
        if self.rng.chance(30) {
            let handlers = self.handlers(1);
            self.files.insert(format!("roles/{name}/handlers/main.yml"), Value::Array(handlers));
        }
        if index > 0 && self.rng.chance(30) {
            self.files.insert(format!("roles/{name}/meta/main.yml"), json!({"dependencies": [ROLES[0]]}));
        }
    }

    fn play(&mut self) -> Value {
        let mut play = Map::new();
        let hosts = self.rng.pick(&["all", "all", "all", "child", "parent", "h1", "all:!h2", "child:&all"]);
        play.insert("hosts".into(), json!(hosts));
        play.insert("gather_facts".into(), json!(false));
        if self.rng.chance(50) {
            let vars = self.vars(22, Sight::all());
            play.insert("vars".into(), Value::Object(vars));
        }
        if self.included > 0 && self.rng.chance(25) && self.files.contains_key("vars/v0.yml") {
            play.insert("vars_files".into(), json!(["vars/v0.yml"]));
        }
        if self.rng.chance(6) {
            play.insert("serial".into(), json!(1));
        }
        if self.rng.chance(6) {
            play.insert("any_errors_fatal".into(), json!(true));
        }
        if self.rng.chance(8) {
            play.insert("force_handlers".into(), json!(true));
        }
        if self.rng.chance(6) {
            let tag = self.rng.pick(&TAGS);
            play.insert("tags".into(), json!([tag]));
        }
        if self.roles > 0 && self.rng.chance(45) {
            let index = self.rng.below(self.roles);
            let role = self.role_use(ROLES[index]);
            play.insert("roles".into(), json!([role]));
        }
        // Every name and topic is there: a notification that nobody hears ends the whole run.
        let handlers = self.handlers(HANDLERS.len());
        play.insert("handlers".into(), Value::Array(handlers));
        let place = Place { sight: Sight::all(), depth: 0, file: self.included, role: self.roles, handler: false };
        self.budget = 9;
        if self.rng.chance(15) {
            let tasks = self.tasks(&place, 1);
            play.insert("pre_tasks".into(), Value::Array(tasks));
        }
        let count = 3 + self.rng.below(5);
        let tasks = self.tasks(&place, count);
        // In the end everything is shown, also where something failed.
        let names: Vec<Value> =
            variables().iter().map(|(name, ..)| json!(name)).chain(REGISTERS.iter().map(|r| json!(r))).collect();
        let shown = json!({
            "name": "the end",
            "debug": {"msg": "{{ lookup('vars', item, default='(not defined)') }}"},
            "loop": names,
            "ignore_errors": true,
            "tags": ["always"],
        });
        play.insert("tasks".into(), json!([{"block": tasks, "always": [shown]}]));
        Value::Object(play)
    }

    fn role_use(&mut self, name: &str) -> Value {
        let mut role = Map::new();
        role.insert("role".into(), json!(name));
        match self.rng.below(5) {
            0 => return json!(name),
            1 => role.extend(self.vars(15, Sight::all())),
            2 => {
                let vars = self.vars(15, Sight::all());
                role.insert("vars".into(), Value::Object(vars));
            }
            3 => {
                let when = conditional(&mut self.rng, &Sight::all());
                role.insert("when".into(), when);
            }
            _ => {
                let tag = self.rng.pick(&TAGS);
                role.insert("tags".into(), json!(tag));
            }
        }
        Value::Object(role)
    }

    fn handlers(&mut self, count: usize) -> Vec<Value> {
        let place = Place { sight: Sight::all(), depth: 9, file: 0, role: 0, handler: true };
        (0..count)
            .map(|index| {
                self.budget += 1;
                let mut task = self.simple(&place);
                task.insert("name".into(), json!(HANDLERS[index]));
                task.remove("tags");
                if let Some(topic) = TOPICS.get(index) {
                    task.insert("listen".into(), json!(topic));
                } else if self.rng.chance(50) {
                    task.insert("listen".into(), json!(TOPICS));
                }
                if index + 1 < count && self.rng.chance(40) {
                    task.insert("notify".into(), json!(HANDLERS[index + 1]));
                    task.insert("changed_when".into(), json!(true));
                } else {
                    task.remove("notify");
                }
                Value::Object(task)
            })
            .collect()
    }

    fn tasks(&mut self, place: &Place, count: usize) -> Vec<Value> {
        let mut tasks = vec![];
        for _ in 0..count {
            if self.budget == 0 {
                break;
            }
            tasks.push(Value::Object(self.task(place)));
        }
        if tasks.is_empty() {
            tasks.push(json!({"name": "nothing", "debug": {"msg": "nothing"}}));
        }
        tasks
    }

    fn task(&mut self, place: &Place) -> Map<String, Value> {
        let block = if place.depth < 2 { 16 } else { 0 };
        let file = if place.file > 0 { 7 } else { 0 };
        let role = if place.role > 0 { 6 } else { 0 };
        match self.rng.weighted(&[70, block, file, role, 4]) {
            1 => self.block(place),
            2 => self.files_of_tasks(place),
            3 => self.roles_of_tasks(place),
            4 => self.meta(),
            _ => self.simple(place),
        }
    }

    fn name(&mut self) -> Value {
        self.names += 1;
        json!(format!("t{}", self.names))
    }

    fn block(&mut self, place: &Place) -> Map<String, Value> {
        let mut block = Map::new();
        let inner = Place { depth: place.depth + 1, ..place.clone() };
        if self.rng.chance(50) {
            block.insert("name".into(), self.name());
        }
        let count = 1 + self.rng.below(3);
        let mut tasks = self.tasks(&inner, count);
        if self.rng.chance(50) {
            // Otherwise few blocks would need their rescue.
            let name = self.name();
            let failing = match self.rng.below(3) {
                0 => json!({"name": name, "fail": {"msg": "case: on purpose"}}),
                1 => json!({"name": name, "command": "false"}),
                _ => json!({"name": name, "debug": {"msg": "{{ u2.a }}"}}),
            };
            tasks.push(failing);
        }
        block.insert("block".into(), Value::Array(tasks));
        if self.rng.chance(70) {
            let mut tasks = self.tasks(&inner, 1);
            if self.rng.chance(30) {
                let name = self.name();
                tasks.push(json!({"name": name, "debug": {"msg": "{{ ansible_failed_task.name }} {{ ansible_failed_result.failed | default('?') }}"}}));
            }
            block.insert("rescue".into(), Value::Array(tasks));
        }
        if self.rng.chance(45) {
            let tasks = self.tasks(&inner, 1);
            block.insert("always".into(), Value::Array(tasks));
        }
        if self.rng.chance(25) {
            block.insert("when".into(), conditional(&mut self.rng, &place.sight));
        }
        if self.rng.chance(25) {
            let vars = self.vars(12, place.sight.clone());
            block.insert("vars".into(), Value::Object(vars));
        }
        if self.rng.chance(10) {
            block.insert("ignore_errors".into(), json!(true));
        }
        if self.rng.chance(6) {
            block.insert("run_once".into(), json!(true));
        }
        self.tags(&mut block, 15);
        block
    }

    fn files_of_tasks(&mut self, place: &Place) -> Map<String, Value> {
        let index = self.rng.below(place.file);
        let mut task = Map::new();
        task.insert("name".into(), self.name());
        self.budget = self.budget.saturating_sub(2);
        if self.rng.chance(35) {
            task.insert("import_tasks".into(), json!(format!("inc{index}.yml")));
            self.around(&mut task, place, false);
        } else {
            let name =
                if self.rng.chance(20) { format!("inc{{{{ {index} }}}}.yml") } else { format!("inc{index}.yml") };
            if self.rng.chance(20) {
                let tag = self.rng.pick(&TAGS);
                task.insert("include_tasks".into(), json!({"file": name, "apply": {"tags": [tag]}}));
            } else {
                task.insert("include_tasks".into(), json!(name));
            }
            let looping = self.rng.chance(20);
            self.around(&mut task, place, looping);
        }
        task
    }

    fn roles_of_tasks(&mut self, place: &Place) -> Map<String, Value> {
        let index = self.rng.below(place.role);
        let mut task = Map::new();
        task.insert("name".into(), self.name());
        self.budget = self.budget.saturating_sub(2);
        let mut args = Map::new();
        args.insert("name".into(), json!(ROLES[index]));
        if self.rng.chance(40) {
            task.insert("import_role".into(), Value::Object(args));
            self.around(&mut task, place, false);
        } else {
            if self.rng.chance(25) {
                args.insert("public".into(), json!(true));
            }
            task.insert("include_role".into(), Value::Object(args));
            let looping = self.rng.chance(15);
            self.around(&mut task, place, looping);
        }
        task
    }

    /// Keywords that imports and includes take.
    fn around(&mut self, task: &mut Map<String, Value>, place: &Place, looping: bool) {
        let mut sight = place.sight.clone();
        if looping {
            task.insert("loop".into(), json!([1, 2]));
            sight.item = Some("item".into());
        }
        if self.rng.chance(30) {
            task.insert("when".into(), conditional(&mut self.rng, &sight));
        }
        if self.rng.chance(30) {
            let vars = self.vars(12, sight);
            task.insert("vars".into(), Value::Object(vars));
        }
        self.tags(task, 20);
    }

    fn meta(&mut self) -> Map<String, Value> {
        let mut task = Map::new();
        let what = match self.rng.below(10) {
            0 => "end_host",
            1 => "end_play",
            2 => "clear_host_errors",
            3 => "noop",
            _ => "flush_handlers",
        };
        task.insert("meta".into(), json!(what));
        if what.starts_with("end_") || self.rng.chance(15) {
            // One that fails ends ansible-playbook as a whole: not what is looked at here.
            let when = self.rng.pick(&["n1 is defined", "u1 is defined", "s2 is string", "inventory_hostname == 'h1'"]);
            task.insert("when".into(), json!(when));
        }
        task
    }

    fn tags(&mut self, task: &mut Map<String, Value>, percent: usize) {
        if self.rng.chance(percent) {
            let tags = match self.rng.below(10) {
                0 => json!("always"),
                1 => json!(["never", "red"]),
                2 => json!("red,blue"),
                _ => json!([self.rng.pick(&TAGS)]),
            };
            task.insert("tags".into(), tags);
        }
    }

    /// A task with a module.
    fn simple(&mut self, place: &Place) -> Map<String, Value> {
        self.budget = self.budget.saturating_sub(1);
        let mut task = Map::new();
        task.insert("name".into(), self.name());
        let mut sight = place.sight.clone();
        if self.rng.chance(if place.handler { 5 } else { 20 }) {
            self.looping(&mut task, &mut sight);
        }
        self.module(&mut task, &sight, place);
        if self.rng.chance(28) {
            task.insert("when".into(), conditional(&mut self.rng, &sight));
        }
        let register = if !task.contains_key("include_vars") && self.rng.chance(28) {
            Some(self.rng.pick(&REGISTERS))
        } else {
            None
        };
        if let Some(register) = register {
            task.insert("register".into(), json!(register));
        }
        if self.rng.chance(12) {
            let vars = self.vars(12, sight.clone());
            task.insert("vars".into(), Value::Object(vars));
        }
        if self.rng.chance(10) {
            let ignore = if self.rng.chance(80) {
                json!(true)
            } else {
                json!(format!("{{{{ {} }}}}", condition(&mut self.rng, &sight)))
            };
            task.insert("ignore_errors".into(), ignore);
        }
        for (key, percent) in [("changed_when", 10), ("failed_when", 6)] {
            if self.rng.chance(percent) {
                let what = match register {
                    Some(register) if self.rng.chance(50) => {
                        json!(format!("'a' in ({register}.msg | default({register}.stdout) | default('') | string)"))
                    }
                    _ if self.rng.chance(40) => json!(key == "changed_when"),
                    _ => conditional(&mut self.rng, &sight),
                };
                task.insert(key.into(), what);
            }
        }
        if self.rng.chance(if place.handler { 0 } else { 15 }) {
            let notified = match self.rng.below(6) {
                0 => json!(self.rng.pick(&TOPICS)),
                1 => json!([self.rng.pick(&HANDLERS), self.rng.pick(&TOPICS)]),
                _ => json!(self.rng.pick(&HANDLERS)),
            };
            task.insert("notify".into(), notified);
            if self.rng.chance(80) {
                task.insert("changed_when".into(), json!(true));
            }
        }
        if self.hosts > 1 && self.rng.chance(7) {
            let to = self.rng.pick(&["h2", "h1", "{{ groups['all'] | last }}", "localhost"]);
            task.insert("delegate_to".into(), json!(to));
            if task.contains_key("set_fact") && self.rng.chance(40) {
                task.insert("delegate_facts".into(), json!(true));
            }
        }
        if self.hosts > 1 && self.rng.chance(7) {
            task.insert("run_once".into(), json!(true));
        }
        if self.rng.chance(4)
            && let Some(register) = register
        {
            let until =
                if self.rng.chance(50) { format!("{register} is succeeded") } else { condition(&mut self.rng, &sight) };
            task.insert("until".into(), json!(until));
            task.insert("retries".into(), json!(1 + self.rng.below(2)));
            task.insert("delay".into(), json!(0));
        }
        if self.rng.chance(3) {
            task.insert("no_log".into(), json!(false));
        }
        self.tags(&mut task, 14);
        task
    }

    fn looping(&mut self, task: &mut Map<String, Value>, sight: &mut Sight) {
        let rng = &mut self.rng;
        let list = |rng: &mut Rng, sight: &Sight| {
            if rng.chance(50) {
                let mut list = literal(rng, Kind::List);
                if rng.chance(30)
                    && let Some(items) = list.as_array_mut()
                {
                    let kind = any_kind(rng);
                    items.push(value(rng, kind, sight));
                }
                list
            } else {
                json!(format!("{{{{ {} }}}}", expression(rng, Kind::List, sight, 1)))
            }
        };
        let keyword = rng.pick(&[
            "loop",
            "loop",
            "loop",
            "loop",
            "with_items",
            "with_items",
            "with_list",
            "with_dict",
            "with_indexed_items",
            "with_nested",
            "with_together",
            "with_sequence",
        ]);
        let items = match keyword {
            "with_dict" => {
                if rng.chance(50) {
                    literal(rng, Kind::Dict)
                } else {
                    json!(format!("{{{{ {} }}}}", expression(rng, Kind::Dict, sight, 1)))
                }
            }
            "with_nested" | "with_together" => json!([literal(rng, Kind::List), list(rng, sight)]),
            "with_sequence" => json!(rng.pick(&["count=3", "start=1 end=5 stride=2", "start=0 end=2 format=x%02d"])),
            _ => list(rng, sight),
        };
        task.insert(keyword.into(), items);
        let mut item = "item".to_owned();
        let mut control = Map::new();
        if rng.chance(20) {
            item = "thing".into();
            control.insert("loop_var".into(), json!(item));
        }
        if rng.chance(20) {
            control.insert("index_var".into(), json!("position"));
            sight.index = Some("position".into());
        }
        if rng.chance(12) {
            control.insert("label".into(), json!(format!("{{{{ {item} }}}}")));
        }
        if rng.chance(10) {
            control.insert("extended".into(), json!(true));
            sight.index = Some("ansible_loop.index".into());
        }
        if !control.is_empty() {
            task.insert("loop_control".into(), Value::Object(control));
        }
        sight.item = Some(item);
    }

    fn module(&mut self, task: &mut Map<String, Value>, sight: &Sight, place: &Place) {
        let rng = &mut self.rng;
        match rng.weighted(&[34, 10, 26, 9, 4, 3, 4]) {
            1 => {
                let all = variables();
                let (name, ..) = &all[rng.below(all.len())];
                task.insert("debug".into(), json!({"var": name}));
            }
            2 => {
                let mut facts = Map::new();
                for _ in 0..1 + rng.below(2) {
                    let all = variables();
                    let (name, kind, _) = &all[rng.below(all.len())];
                    facts.insert(name.clone(), value(rng, *kind, sight));
                }
                task.insert("set_fact".into(), Value::Object(facts));
            }
            3 => {
                let mut that: Vec<Value> = (0..1 + rng.below(2)).map(|_| json!(condition(rng, sight))).collect();
                if rng.chance(60) {
                    that = vec![json!(format!("{} or true", that[0].as_str().unwrap_or_default()))];
                }
                task.insert("assert".into(), json!({"that": that}));
            }
            4 => {
                task.insert(
                    "fail".into(),
                    json!({"msg": format!("case: {}", text(rng, sight).as_str().unwrap_or_default())}),
                );
                if rng.chance(50) {
                    task.insert("ignore_errors".into(), json!(true));
                }
            }
            5 => {
                let what = match rng.below(4) {
                    0 => "false".to_owned(),
                    1 => "true".to_owned(),
                    _ => format!("echo {{{{ {} | quote }}}}", expression(rng, Kind::Text, sight, 1)),
                };
                task.insert("command".into(), json!(what));
            }
            6 if place.file > 0 && self.files.contains_key("vars/v0.yml") => {
                let args = if rng.chance(25) { json!({"file": "v0.yml", "name": "d4"}) } else { json!("vars/v0.yml") };
                task.insert("include_vars".into(), args);
            }
            _ => {
                let msg = if rng.chance(60) {
                    text(rng, sight)
                } else {
                    let kind = any_kind(rng);
                    value(rng, kind, sight)
                };
                task.insert("debug".into(), json!({"msg": msg}));
            }
        }
    }
}
