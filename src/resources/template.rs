//! `template`: a rendered file onto a node. The manual is doc/template.md.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use minijinja::Value;

use super::common::attributes::{Attributes, COMMON};
use super::common::place::{self, Wanted};
use super::common::{concat, invalid, paths};
use super::copy::{Manner, One, local_mode};
use super::{ArgSpec, Args, Conduct, Kind, ModeSpec, Resource, ResourceType, Setting, TemplateRequest};
use crate::problem::Problem;
use crate::world::Stop;

const OWN: &[ArgSpec] = &[
    ArgSpec::new("src", Kind::Path, "the template, of the control machine").required(),
    ArgSpec::new("dest", Kind::Path, "where it goes; a folder if it ends with `/` or is one").required(),
    ArgSpec::new("force", Kind::Bool, "replace a file that differs; otherwise only make one that is missing")
        .default("yes"),
    ArgSpec::new("backup", Kind::Bool, "keep the replaced file under a name with the time").default("no"),
    ArgSpec::new("validate", Kind::Str, "a command with `%s` that checks the new file before it is put in place"),
    ArgSpec::new("follow", Kind::Bool, "if `dest` is a link, write what it points to").default("no"),
    ArgSpec::new("newline_sequence", Kind::Str, "how lines end")
        .default("\\n")
        .choices(&["\n", "\r", "\r\n", "\\n", "\\r", "\\r\\n"]),
    ArgSpec::new("block_start_string", Kind::Str, "what opens a statement").default("{%"),
    ArgSpec::new("block_end_string", Kind::Str, "what closes a statement").default("%}"),
    ArgSpec::new("variable_start_string", Kind::Str, "what opens an expression").default("{{"),
    ArgSpec::new("variable_end_string", Kind::Str, "what closes an expression").default("}}"),
    ArgSpec::new("comment_start_string", Kind::Str, "what opens a comment"),
    ArgSpec::new("comment_end_string", Kind::Str, "what closes a comment"),
    ArgSpec::new("trim_blocks", Kind::Bool, "drop the line feed after a statement").default("yes"),
    ArgSpec::new("lstrip_blocks", Kind::Bool, "drop blanks before a statement").default("no"),
    ArgSpec::new("output_encoding", Kind::Str, "the encoding of the file; UTF-8, ASCII, Latin-1 or UTF-16")
        .default("utf-8"),
];
static ARGS: [ArgSpec; OWN.len() + COMMON.len()] = concat(OWN, COMMON);

pub static TYPE: ResourceType = ResourceType {
    name: "template",
    qualified: &["ansible.builtin.template"],
    doc: include_str!("doc/template.md"),
    args: &ARGS,
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let src = args.need("src")?;
    let path = (setting.find_file)("templates", &src).map_err(|p| p.or_at(args.span("src")))?;
    let bytes = std::fs::read(&path).map_err(|e| {
        Problem::new("unreadable-file", format!("cannot read the template `{}`: {e}", path.display()))
            .at(args.span("src"))
    })?;
    let secret = bytes.starts_with(b"$ANSIBLE_VAULT;");
    let bytes = if secret { (setting.decrypt)(&bytes).map_err(|p| p.or_at(args.span("src")))? } else { bytes };
    let text = String::from_utf8(bytes).map_err(|_| {
        Problem::new("invalid-template", format!("the template `{}` is not UTF-8", path.display())).at(args.span("src"))
    })?;
    let dest = paths::need(&args, "dest", setting)?;
    let mut attributes = Attributes::from_args(&args, setting)?;
    if attributes.preserves_mode() {
        attributes = attributes.with_mode(Some(ModeSpec::Octal(local_mode(&path))));
    }
    let newline = args.need("newline_sequence")?.replace("\\r", "\r").replace("\\n", "\n");
    // A delimiter is handed over only where it differs from the language's own.
    let delimiter = |name: &str, default: &str| -> Result<Option<String>, Problem> {
        Ok(args.str(name)?.filter(|text| text != default && !text.is_empty()))
    };
    let request = TemplateRequest {
        variables: variables(setting, &src, &path, &dest).map_err(|p| p.or_at(args.span("src")))?,
        trim_blocks: args.flag("trim_blocks")?,
        lstrip_blocks: args.flag("lstrip_blocks")?,
        newline_sequence: newline,
        variable_start: delimiter("variable_start_string", "{{")?,
        variable_end: delimiter("variable_end_string", "}}")?,
        block_start: delimiter("block_start_string", "{%")?,
        block_end: delimiter("block_end_string", "%}")?,
        comment_start: delimiter("comment_start_string", "{#")?,
        comment_end: delimiter("comment_end_string", "#}")?,
        text,
        path: path.clone(),
    };
    let rendered = (setting.render)(&request)?;
    let wanted = Wanted { secret, ..Wanted::bytes(encode(rendered, &args)?) };
    Ok(Arc::new(One {
        wanted,
        dest,
        name: paths::basename(&src).to_owned(),
        source: path.display().to_string(),
        manner: Manner {
            attributes,
            directory_mode: None,
            backup: args.flag("backup")? && !setting.check_mode,
            force: args.flag("force")?,
            follow: args.flag("follow")?,
            validate: place::check_validate(&args)?,
            checksum: None,
        },
    }))
}

/// Variables a template sees besides the task's own.
fn variables(
    setting: &Setting,
    src: &str,
    path: &std::path::Path,
    dest: &str,
) -> Result<Vec<(String, Value)>, Problem> {
    let meta = std::fs::metadata(path).ok();
    let time = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or(String::new(), |t| {
            t.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        })
    };
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let uid = meta.as_ref().map_or(0, MetadataExt::uid);
    let mut all: Vec<(String, Value)> = vec![
        ("template_host".to_owned(), host.clone().into()),
        ("template_path".to_owned(), full.clone().into()),
        ("template_fullpath".to_owned(), full.into()),
        ("template_destpath".to_owned(), dest.into()),
        ("template_uid".to_owned(), owner_name(uid).into()),
        ("template_mtime".to_owned(), time(meta.as_ref().map_or(0, MetadataExt::mtime)).into()),
        ("template_run_date".to_owned(), time(jiff::Timestamp::now().as_second()).into()),
    ];
    // A variable of that name, given by the operator, wins.
    let given = (setting.evaluate)("ansible_managed").is_ok_and(|v| !v.is_undefined());
    if !given {
        let text = (setting.evaluate)("lookup('config', 'DEFAULT_MANAGED_STR')").map(|v| super::text_of(&v));
        let text = text.unwrap_or_else(|_| "Ansible managed".to_owned());
        all.push(("ansible_managed".to_owned(), managed(&text, src, &host, meta.as_ref())?.into()));
    }
    Ok(all)
}

/// The setting `ansible_managed`, with `{file}`, `{host}`, `{uid}` and the template's own time filled in.
fn managed(text: &str, src: &str, host: &str, meta: Option<&std::fs::Metadata>) -> Result<String, Problem> {
    let wrong = |e: minijinja::Error| {
        let why = e.detail().map_or_else(|| e.to_string(), str::to_owned);
        Problem::new("bad-setting", format!("the setting `ansible_managed` cannot be filled in: {why}"))
    };
    let names = [("file", src), ("host", host), ("uid", &owner_name(meta.map_or(0, MetadataExt::uid)))];
    let names = names.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let filled = crate::template::str_format(text, &names).map_err(wrong)?;
    let at = jiff::Timestamp::from_second(meta.map_or(0, MetadataExt::mtime)).unwrap_or_default();
    let at = at.to_zoned(jiff::tz::TimeZone::system());
    crate::template::format_time(&filled, &at).map_err(wrong)
}

/// The control machine's name of a uid.
fn owner_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.to_string().as_str()))
        .map_or_else(|| uid.to_string(), |fields| fields[0].to_owned())
}

fn encode(text: String, args: &Args) -> Result<Vec<u8>, Problem> {
    let encoding = args.need("output_encoding")?;
    let name = encoding.to_ascii_lowercase().replace(['_', ' '], "-");
    let limited = |most: u32| -> Result<Vec<u8>, Problem> {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).ok().filter(|b| u32::from(*b) <= most))
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| {
                invalid(format!("the rendered text cannot be written as `{encoding}`")).at(args.span("output_encoding"))
            })
    };
    match name.as_str() {
        "utf-8" | "utf8" => Ok(text.into_bytes()),
        "utf-8-sig" => Ok([b"\xef\xbb\xbf", text.as_bytes()].concat()),
        "ascii" | "us-ascii" => limited(0x7f),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => limited(0xff),
        "utf-16" => Ok(std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()),
        "utf-16-le" | "utf-16le" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf-16-be" | "utf-16be" => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        _ => Err(Problem::unsupported(format!("the output encoding `{encoding}`")).at(args.span("output_encoding"))),
    }
}
