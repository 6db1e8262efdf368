//! Files of checksums in all the shapes projects publish them.

use crate::problem::Problem;
use crate::resources::common::invalid;
use crate::world::Algorithm;

/// `algorithm:rest`.
pub(super) fn split(text: &str) -> Result<(Algorithm, String), Problem> {
    let text: String = text.trim().to_owned();
    let Some((name, rest)) = text.split_once(':') else {
        return Err(invalid(format!("`checksum` must be `algorithm:digest` or `algorithm:URL`, not `{text}`")));
    };
    let algorithm = Algorithm::by_name(&name.trim().to_lowercase()).ok_or_else(|| {
        invalid(format!("`{name}` is no checksum algorithm")).help("one of: md5, sha1, sha224, sha256, sha384, sha512")
    })?;
    Ok((algorithm, rest.trim().to_owned()))
}

/// The last part of a URL's path, under which a sums file lists it and a folder keeps it.
pub(super) fn file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or("");
    let name = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or("");
    if name.is_empty() { "index.html".to_owned() } else { name.to_owned() }
}

/// The digest a sums file gives for a name: the first entry of that name, or the only thing in the file.
pub(super) fn find(list: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(list);
    let lines: Vec<&str> = text.lines().map(|l| l.trim_end_matches('\r')).collect();
    let filled: Vec<&str> = lines.iter().copied().filter(|l| !l.trim().is_empty()).collect();
    if let [only] = filled.as_slice()
        && only.split_whitespace().count() == 1
    {
        return Some(only.trim().to_owned());
    }
    filled.iter().find_map(|line| entry(line).filter(|(_, file)| *file == name).map(|(digest, _)| digest.to_owned()))
}

/// Digest and name of one line: `hash  name`, `hash *name`, `SHA256 (name) = hash`.
fn entry(line: &str) -> Option<(&str, &str)> {
    if let Some((head, digest)) = line.rsplit_once(" = ")
        && let Some((_, name)) = head.split_once(" (")
    {
        return Some((digest.trim(), without_dot(name.strip_suffix(')')?)));
    }
    let (digest, rest) = line.split_once([' ', '\t'])?;
    let name = rest.strip_prefix([' ', '*']).unwrap_or(rest);
    Some((digest, without_dot(name.trim())))
}

fn without_dot(name: &str) -> &str {
    name.trim_start_matches("./")
}

/// A digest without anything that is no letter or digit (blanks, invisible marks).
pub(super) fn clean(digest: &str) -> String {
    digest.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape() {
        let h = "4a1e67f2fe1d1cc7b31d0ca2ec441da4778203a036a77da10344c85e24ff0f92";
        let other = "0000000000000000000000000000000000000000000000000000000000000000";
        for list in [
            format!("{h}\n"),
            h.to_owned(),
            format!("{h}  x.tgz\n"),
            format!("{other}  y.tgz\n{h}  x.tgz\n"),
            format!("{h} *x.tgz\r\n"),
            format!("# sums\n\njunk\n{h}  ./x.tgz\n"),
            format!("SHA256 (y.tgz) = {other}\nSHA256 (x.tgz) = {h}\n"),
            format!("-----BEGIN PGP SIGNED MESSAGE-----\n{other}  a x.tgz\n{h}  x.tgz"),
        ] {
            assert_eq!(find(list.as_bytes(), "x.tgz").as_deref(), Some(h), "{list}");
        }
        assert_eq!(find(format!("{h}  y.tgz\n").as_bytes(), "x.tgz"), None);
        assert_eq!(find(b"", "x.tgz"), None);
    }

    #[test]
    fn names() {
        assert_eq!(file_name("http://h/a/b.tgz?x=1#y"), "b.tgz");
        assert_eq!(file_name("http://h/a/"), "index.html");
        assert_eq!(file_name("http://h"), "index.html");
    }
}
