//! A package file of the control machine: which package it is.

use std::io::Read;

/// Name and version of the package in a `.deb`'s bytes.
pub(super) fn package(bytes: &[u8]) -> Option<(String, String)> {
    let mut rest = bytes.strip_prefix(b"!<arch>\n")?;
    // Members of an `ar` archive: 60 bytes of header, then content on an even length.
    while rest.len() > 60 {
        let (head, tail) = rest.split_at(60);
        let name = std::str::from_utf8(&head[..16]).ok()?.trim_end().trim_end_matches('/');
        let size: usize = std::str::from_utf8(&head[48..58]).ok()?.trim().parse().ok()?;
        let content = tail.get(..size)?;
        if let Some(compression) = name.strip_prefix("control.tar") {
            return control(content, compression);
        }
        rest = tail.get(size + size % 2..)?;
    }
    None
}

fn control(content: &[u8], compression: &str) -> Option<(String, String)> {
    let mut plain = vec![];
    match compression {
        "" => plain.extend(content),
        ".gz" => {
            flate2::read::MultiGzDecoder::new(content).read_to_end(&mut plain).ok()?;
        }
        ".xz" => lzma_rs::xz_decompress(&mut std::io::Cursor::new(content), &mut plain).ok()?,
        ".zst" => {
            let mut content = content;
            ruzstd::decoding::StreamingDecoder::new(&mut content).ok()?.read_to_end(&mut plain).ok()?;
        }
        _ => return None,
    }
    let mut archive = tar::Archive::new(plain.as_slice());
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if entry.path().ok()?.file_name().is_some_and(|n| n == "control") {
            let mut text = String::new();
            entry.read_to_string(&mut text).ok()?;
            let get = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).map(|v| v.trim().to_owned());
            return Some((get("Package:")?, get("Version:")?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_package_says_what_it_is() {
        let mut tar = tar::Builder::new(vec![]);
        let text = b"Package: proof\nVersion: 1.2-3\n";
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, "./control", &text[..]).unwrap();
        let mut gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gz.write_all(&tar.into_inner().unwrap()).unwrap();
        let control = gz.finish().unwrap();
        let mut deb = b"!<arch>\n".to_vec();
        for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.gz", &control)] {
            deb.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).into_bytes(),
            );
            deb.extend(content);
            deb.extend(vec![b'\n'; content.len() % 2]);
        }
        assert_eq!(package(&deb), Some(("proof".to_owned(), "1.2-3".to_owned())));
        assert_eq!(package(&deb[..90]), None);
        assert_eq!(package(b"no package"), None);
    }
}
