//! `body_format: form-multipart`: the body as Python's email package writes it.

use base64::Engine;
use minijinja::Value;
use minijinja::value::ValueKind;

use crate::problem::Problem;
use crate::resources::common::{invalid, paths};
use crate::resources::{Args, Setting, text_of};

/// The body of a form whose fields are texts or mappings of `content`, `filename`, `mime_type` and `multipart_encoding`, and its type.
pub(super) fn body(args: &Args, setting: &Setting) -> Result<(Vec<u8>, String), Problem> {
    let wrong = |what: String| invalid(what).at(args.span("body"));
    let Some(fields) = args.raw("body").filter(|b| b.kind() == ValueKind::Map) else {
        return Err(wrong("`body_format: form-multipart` takes a mapping as `body`".to_owned()));
    };
    let remote = args.flag("remote_src")?;
    let mut names: Vec<Value> = fields.try_iter().into_iter().flatten().collect();
    names.sort_by_key(text_of);
    let mut parts = vec![];
    for key in names {
        let name = text_of(&key);
        let value = fields.get_item(&key).unwrap_or_default();
        let mut part = vec![];
        match value.kind() {
            ValueKind::String => {
                part.extend(head(None, "text/plain", &name, None));
                part.extend(text_of(&value).replace('\n', "\r\n").into_bytes());
            }
            ValueKind::Map => {
                let text = |name: &str| {
                    value.get_attr(name).ok().filter(|v| !v.is_undefined() && !v.is_none()).map(|v| text_of(&v))
                };
                let (content, file) = (text("content"), text("filename"));
                let shown = file.as_deref().map(|f| paths::basename(f).to_owned());
                let kind = text("mime_type").or_else(|| shown.as_deref().map(|f| guessed(f).to_owned()));
                let kind = kind.unwrap_or_else(|| "text/plain".to_owned());
                match (content, file) {
                    (Some(content), _) => {
                        part.extend(head(None, &kind, &name, shown.as_deref()));
                        part.extend(content.replace('\n', "\r\n").into_bytes());
                    }
                    (None, Some(_)) if remote => {
                        return Err(
                            Problem::unsupported("a file of the node in a form (`remote_src`)").at(args.span("body"))
                        );
                    }
                    (None, Some(file)) => {
                        let path = (setting.find_file)("files", &file).map_err(|p| p.or_at(args.span("body")))?;
                        let bytes = std::fs::read(&path).map_err(|e| {
                            Problem::new("unreadable-file", format!("cannot read `{}`: {e}", path.display()))
                                .at(args.span("body"))
                        })?;
                        let encoding = text("multipart_encoding").unwrap_or_else(|| "base64".to_owned());
                        match encoding.as_str() {
                            "base64" => {
                                part.extend(head(Some("base64"), &kind, &name, shown.as_deref()));
                                part.extend(wrapped(&bytes));
                            }
                            "7or8bit" => {
                                let bits = if bytes.is_ascii() { "7bit" } else { "8bit" };
                                part.extend(head(Some(bits), &kind, &name, shown.as_deref()));
                                part.extend(bytes.iter().flat_map(|b| match b {
                                    b'\n' => vec![b'\r', b'\n'],
                                    b => vec![*b],
                                }));
                            }
                            other => {
                                return Err(wrong(format!(
                                    "`multipart_encoding` is `base64` or `7or8bit`, not `{other}`"
                                )));
                            }
                        }
                    }
                    (None, None) => {
                        return Err(wrong(format!("the form's field `{name}` needs `content` or `filename`")));
                    }
                }
            }
            _ => return Err(wrong(format!("the form's field `{name}` must be a text or a mapping"))),
        }
        parts.push(part);
    }
    let boundary = boundary(&parts);
    let mut body = vec![];
    for part in parts {
        body.extend(format!("--{boundary}\r\n").into_bytes());
        body.extend(part);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    Ok((body, format!("multipart/form-data; boundary=\"{boundary}\"")))
}

fn head(encoding: Option<&str>, kind: &str, name: &str, file: Option<&str>) -> Vec<u8> {
    let encoding = encoding.map(|e| format!("Content-Transfer-Encoding: {e}\r\n")).unwrap_or_default();
    let file = file.map(|f| format!("; filename=\"{f}\"")).unwrap_or_default();
    format!("{encoding}Content-Type: {kind}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
        .into_bytes()
}

/// Base64 in lines of 76.
fn wrapped(bytes: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// One that no part holds; the same for the same form, so that a plan's request is its apply's.
fn boundary(parts: &[Vec<u8>]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(parts.concat());
    let number = digest.iter().take(8).fold(0_u64, |n, b| n << 8 | u64::from(*b));
    // Nineteen digits, as Python has it.
    format!("==============={:019}==", number % 10_000_000_000_000_000_000)
}

/// By the name's ending, for the types that Python knows without the system's list.
fn guessed(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, e)| e.to_lowercase()).unwrap_or_default().as_str() {
        "txt" | "bat" | "c" | "h" | "ksh" | "pl" | "srt" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "md" => "text/markdown",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "xml" => "text/xml",
        "py" => "text/x-python",
        "sh" => "application/x-sh",
        "tar" => "application/x-tar",
        "zip" => "application/zip",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "gif" => "image/gif",
        "jpg" | "jpeg" | "jpe" => "image/jpeg",
        "svg" => "image/svg+xml",
        "ico" => "image/vnd.microsoft.icon",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_wrapped_as_mail_is() {
        let bytes: Vec<u8> = [0, 1, 255].repeat(30);
        let text = String::from_utf8(wrapped(&bytes)).unwrap();
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [76, 44]);
        assert_eq!(
            String::from_utf8(head(Some("7bit"), "text/plain", "g", Some("mp.txt"))).unwrap(),
            "Content-Transfer-Encoding: 7bit\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"g\"; filename=\"mp.txt\"\r\n\r\n"
        );
        assert_ne!(boundary(&[vec![1]]), boundary(&[vec![2]]));
    }
}
