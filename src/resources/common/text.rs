//! Bytes as text and back without loss, for the resources that edit files line by line.
//!
//! Bytes that are not UTF-8 become private characters (U+10FF80 to U+10FFFF) and turn back into those bytes.

const BASE: u32 = 0x10_FF00;

/// Text that stands for the bytes.
pub fn decode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // The private characters themselves, should a file really hold them, travel as bytes too.
        for c in chunk.valid().chars() {
            if (BASE + 0x80..=BASE + 0xff).contains(&u32::from(c)) {
                let mut buffer = [0; 4];
                out.extend(c.encode_utf8(&mut buffer).bytes().filter_map(stand_in));
            } else {
                out.push(c);
            }
        }
        out.extend(chunk.invalid().iter().copied().filter_map(stand_in));
    }
    out
}

fn stand_in(byte: u8) -> Option<char> {
    char::from_u32(BASE + u32::from(byte))
}

/// The bytes a text stands for.
pub fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match u32::from(c).checked_sub(BASE) {
            Some(b @ 0x80..=0xff) => out.push(b as u8),
            _ => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    out
}

/// Bytes as the characters of the same number.
pub fn decode_latin(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// The way back, if every character has a byte.
pub fn encode_latin(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Lines with their line feeds, as Python's `readlines` gives them.
pub fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn nothing_is_lost(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(super::encode(&super::decode(&bytes)), bytes);
        }

        #[test]
        fn not_even_private_characters(text in "[\u{10FF00}-\u{10FFFF}a]*") {
            proptest::prop_assert_eq!(super::encode(&super::decode(text.as_bytes())), text.as_bytes());
        }
    }
}
