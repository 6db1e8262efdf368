//! OpenPGP public keys: as much as tells which key one is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest as _;

/// A key's number or fingerprint, without blanks and `0x`, in capitals.
pub fn plain(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<String>().to_uppercase();
    text.strip_prefix("0X").map(str::to_owned).unwrap_or(text)
}

/// Whether a text is a key's number (8 or 16 digits) or fingerprint (32, 40 or 64).
pub fn is_id(text: &str) -> bool {
    let text = plain(text);
    matches!(text.len(), 8 | 16 | 32 | 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The fingerprint of the first public key in a key file, armored or binary, in capitals.
pub fn fingerprint(bytes: &[u8]) -> Option<String> {
    let binary = dearmored(bytes);
    let (tag, body) = packet(binary.as_deref().unwrap_or(bytes))?;
    if tag != 6 {
        return None;
    }
    let len = u16::try_from(body.len()).ok();
    match body.first()? {
        4 => {
            let mut hash = sha1::Sha1::new();
            hash.update([0x99]);
            hash.update(len?.to_be_bytes());
            hash.update(body);
            Some(hex::encode_upper(hash.finalize()))
        }
        6 => {
            let mut hash = sha2::Sha256::new();
            hash.update([0x9b]);
            hash.update(u32::try_from(body.len()).ok()?.to_be_bytes());
            hash.update(body);
            Some(hex::encode_upper(hash.finalize()))
        }
        _ => None,
    }
}

/// The bytes within the armor; `None` if there is no armor.
pub fn dearmored(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let start = text.find("-----BEGIN PGP PUBLIC KEY BLOCK-----")?;
    let block = text[start..].lines().skip(1);
    // Headers end with an empty line; the checksum begins with `=`.
    let data: String = block
        .skip_while(|l| !l.trim().is_empty())
        .map(str::trim)
        .skip(1)
        .take_while(|l| !l.starts_with('=') && !l.starts_with("-----"))
        .collect();
    STANDARD.decode(data).ok()
}

/// Tag and body of the first packet.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let head = *bytes.first()?;
    if head & 0x80 == 0 {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<usize> {
        Some(bytes.get(from..to)?.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)))
    };
    let (tag, start, len): (u8, usize, usize) = if head & 0x40 == 0 {
        let tag = head >> 2 & 0x0f;
        match head & 3 {
            0 => (tag, 2, number(1, 2)?),
            1 => (tag, 3, number(1, 3)?),
            2 => (tag, 5, number(1, 5)?),
            _ => (tag, 1, bytes.len() - 1),
        }
    } else {
        let tag = head & 0x3f;
        match *bytes.get(1)? {
            n @ 0..192 => (tag, 2, usize::from(n)),
            n @ 192..224 => (tag, 3, ((usize::from(n) - 192) << 8) + usize::from(*bytes.get(2)?) + 192),
            255 => (tag, 6, number(2, 6)?),
            // A key is never in parts.
            _ => return None,
        }
    };
    Some((tag, bytes.get(start..start.checked_add(len)?)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = include_str!("testdata/key.asc");

    #[test]
    fn fingerprints_are_gpgs() {
        let expected = include_str!("testdata/key.fingerprint").trim();
        assert_eq!(fingerprint(KEY.as_bytes()).as_deref(), Some(expected));
        assert_eq!(fingerprint(&dearmored(KEY.as_bytes()).unwrap()).as_deref(), Some(expected));
        assert_eq!(plain("0x de15 b144"), "DE15B144");
        assert!(is_id("9a296436") && !is_id("key.asc") && !is_id("https://x"));
    }

    proptest! {
        #[test]
        fn anything_else_is_no_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = fingerprint(&bytes);
            let _ = dearmored(&bytes);
        }
    }
}
