//! YAML texts: written byte for byte as PyYAML does, read as YAML 1.1.

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, flag, integer, list, opt_integer};
use crate::template::types::type_name;
use crate::yaml::{self, EmitOptions};

pub const FILTERS: &[Entry] =
    &[("to_yaml", to_yaml), ("to_nice_yaml", to_nice_yaml), ("from_yaml", from_yaml), ("from_yaml_all", from_yaml_all)];

fn options(call: Call, mut options: EmitOptions) -> Result<(Value, EmitOptions), Error> {
    let mut call = call;
    let value = call.subject()?;
    if crate::template::eval::is_range(&value) {
        return Err(err(format!("`{}` cannot write a range: make it a list (`| list`)", call.name)));
    }
    let mut positional = call.positional.into_iter();
    // `to_nice_yaml(2)` is its indent
    if call.name == "to_nice_yaml"
        && let Some(indent) = positional.next()
    {
        call.named.insert("indent".into(), indent);
    }
    for (name, value) in call.named {
        match name.as_str() {
            "indent" => options.indent = opt_integer(Some(&value), "indent")?,
            "width" => {
                options.width = match value.as_i64() {
                    _ if value.is_none() => None,
                    Some(width) => Some(width),
                    // `width=inf` and the like: never fold
                    None => match crate::template::args::float(&value) {
                        Some(f) if f > 1e9 => Some(-1),
                        _ => Some(integer(&value, "width")?),
                    },
                };
            }
            "sort_keys" => options.sort_keys = flag(Some(&value), true),
            "default_flow_style" if value.is_none() => options.default_flow_style = None,
            "default_flow_style" => options.default_flow_style = Some(flag(Some(&value), false)),
            "default_style" => options.default_style = value.as_str().and_then(|s| s.chars().next()),
            "explicit_start" => options.explicit_start = flag(Some(&value), false),
            "explicit_end" => options.explicit_end = flag(Some(&value), false),
            "version" if !value.is_none() => {
                let parts = crate::template::args::items(&value)?;
                options.version = Some(parts.iter().map(crate::template::args::text).collect::<Vec<_>>().join("."));
            }
            "line_break" => match value.as_str() {
                Some("\r\n") => options.line_break = "\r\n",
                Some("\r") => options.line_break = "\r",
                _ => {}
            },
            // Ansible gives it itself: twice is an error.
            "allow_unicode" => return Err(err(format!("`{}` sets `allow_unicode` itself", call.name))),
            "canonical" | "tags" if flag(Some(&value), false) => {
                return Err(crate::template::call::unsupported(format!("`{}` with `{name}`", call.name)));
            }
            "canonical" | "encoding" | "version" | "tags" => {}
            "vault_to_text" | "dump_vault_tags" => {}
            other => return Err(err(format!("`{}` has no argument `{other}`", call.name))),
        }
    }
    Ok((value, options))
}

fn to_yaml(_: &mut State, call: Call) -> Result<Value, Error> {
    let (value, options) = options(call, EmitOptions::default())?;
    Ok(Value::from(yaml::emit(&value, &options)))
}

fn to_nice_yaml(_: &mut State, call: Call) -> Result<Value, Error> {
    let (value, options) = options(call, EmitOptions::nice())?;
    Ok(Value::from(yaml::emit(&value, &options)))
}

fn read(value: &Value, filter: &str) -> Result<Option<yaml::Loaded>, Error> {
    if value.is_none() {
        return Ok(None);
    }
    let Some(text) = value.as_str() else {
        return Err(err(format!("`{filter}` takes text, not {}", type_name(value))));
    };
    yaml::parse_text(&format!("<{filter}>"), text)
        .map(Some)
        .map_err(|p| err(format!("`{filter}` can't read the text: {p}")))
}

fn from_yaml(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    // data stays as it is
    if value.as_str().is_none() && !value.is_none() {
        return Ok(value);
    }
    match read(&value, "from_yaml")? {
        None => Ok(Value::from(())),
        Some(loaded) => {
            let node = loaded.single().map_err(|p| err(format!("`from_yaml` can't read the text: {}", p.message)))?;
            Ok(node.to_value())
        }
    }
}

fn from_yaml_all(_: &mut State, mut call: Call) -> Result<Value, Error> {
    let value = call.subject()?;
    if value.as_str().is_none() && !value.is_none() {
        return Ok(value);
    }
    match read(&value, "from_yaml_all")? {
        None => Ok(list([])),
        Some(loaded) => Ok(list(loaded.documents.iter().map(yaml::Node::to_value))),
    }
}
