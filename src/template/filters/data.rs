//! Hashes, passwords, encodings and identifiers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use minijinja::{Error, State, Value};
use sha1::Digest;

use super::crypt;
use crate::template::args::{Call, Entry, err, flag, opt_integer, opt_string, string, text};

pub const FILTERS: &[Entry] = &[
    ("hash", hash),
    ("md5", |_, c| digest_of(c, "md5")),
    ("sha1", |_, c| digest_of(c, "sha1")),
    ("checksum", |_, c| digest_of(c, "sha1")),
    ("password_hash", password_hash),
    ("to_uuid", to_uuid),
    ("b64encode", b64encode),
    ("b64decode", b64decode),
];

/// The hexadecimal digest of bytes, by the algorithm's name; `None` for an unknown one.
pub fn digest(bytes: &[u8], algorithm: &str) -> Option<String> {
    Some(match algorithm.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "md5" => hex::encode(md5::Md5::digest(bytes)),
        "sha1" => hex::encode(sha1::Sha1::digest(bytes)),
        "sha224" => hex::encode(sha2::Sha224::digest(bytes)),
        "sha256" => hex::encode(sha2::Sha256::digest(bytes)),
        "sha384" => hex::encode(sha2::Sha384::digest(bytes)),
        "sha512" => hex::encode(sha2::Sha512::digest(bytes)),
        "sha512224" => hex::encode(sha2::Sha512_224::digest(bytes)),
        "sha512256" => hex::encode(sha2::Sha512_256::digest(bytes)),
        "sha3224" => hex::encode(sha3::Sha3_224::digest(bytes)),
        "sha3256" => hex::encode(sha3::Sha3_256::digest(bytes)),
        "sha3384" => hex::encode(sha3::Sha3_384::digest(bytes)),
        "sha3512" => hex::encode(sha3::Sha3_512::digest(bytes)),
        "blake2b" | "blake2b512" => hex::encode(blake2::Blake2b512::digest(bytes)),
        "blake2s" | "blake2s256" => hex::encode(blake2::Blake2s256::digest(bytes)),
        "ripemd160" => hex::encode(ripemd::Ripemd160::digest(bytes)),
        "sm3" => hex::encode(sm3::Sm3::digest(bytes)),
        "md5sha1" => hex::encode(md5::Md5::digest(bytes)) + &hex::encode(sha1::Sha1::digest(bytes)),
        _ => return None,
    })
}

fn bytes_of(value: &Value) -> Vec<u8> {
    match value.as_bytes() {
        Some(bytes) => bytes.to_vec(),
        None => text(value).into_bytes(),
    }
}

fn digest_of(mut call: Call, algorithm: &str) -> Result<Value, Error> {
    let value = call.subject()?;
    Ok(digest(&bytes_of(&value), algorithm).map_or(Value::UNDEFINED, Value::from))
}

fn hash(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, kind] = call.bind(["data", "hashtype"], 1)?;
    let kind = opt_string(kind.as_ref(), "hashtype")?.unwrap_or_else(|| "sha1".into());
    match digest(&bytes_of(&value.unwrap_or_default()), &kind) {
        Some(digest) => Ok(Value::from(digest)),
        None => Err(err(format!(
            "there is no hash `{kind}`: there are md5, sha1, sha2 (sha256 …), sha3 (sha3_256 …), blake2b, blake2s, ripemd160, sm3"
        ))),
    }
}

fn password_hash(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, kind, salt, salt_size, rounds, ident] =
        call.bind(["password", "hashtype", "salt", "salt_size", "rounds", "ident"], 1)?;
    let password = string(&value.unwrap_or_default(), "password")?;
    let kind = opt_string(kind.as_ref(), "hashtype")?.unwrap_or_else(|| "sha512".into());
    let salt = salt.filter(|s| !s.is_none()).map(|s| text(&s));
    let salt_size = opt_integer(salt_size.as_ref(), "salt_size")?;
    let rounds = opt_integer(rounds.as_ref(), "rounds")?.map(|r| u32::try_from(r).unwrap_or(0));
    let ident = opt_string(ident.as_ref(), "ident")?;
    if matches!(kind.as_str(), "blowfish" | "bcrypt") {
        return crypt::bcrypt_hash(password.as_bytes(), salt.as_deref(), rounds, ident.as_deref())
            .map(Value::from)
            .map_err(err);
    }
    let Some(method) = crypt::Method::by_name(&kind) else {
        return Err(err(format!("`{kind}` is no way to hash a password: there are md5, sha256, sha512, blowfish")));
    };
    if let Some(size) = salt_size.filter(|s| !(0..=i64::try_from(method.salt_size()).unwrap_or(0)).contains(s)) {
        return Err(err(format!("`salt_size` is at most {} here, not {size}", method.salt_size())));
    }
    let salt = match salt {
        Some(salt) => salt,
        None => crypt::random_salt(salt_size.and_then(|s| usize::try_from(s).ok()).unwrap_or(method.salt_size())),
    };
    crypt::crypt(method, password.as_bytes(), &salt, rounds).map(Value::from).map_err(err)
}

/// A version 5 UUID of a name in a namespace.
pub fn uuid5(namespace: &[u8; 16], name: &[u8]) -> String {
    let mut hasher = sha1::Sha1::new();
    hasher.update(namespace);
    hasher.update(name);
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize()[..16]);
    id[6] = (id[6] & 0x0f) | 0x50;
    id[8] = (id[8] & 0x3f) | 0x80;
    let h = hex::encode(id);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

fn to_uuid(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, namespace] = call.bind(["string", "namespace"], 1)?;
    let namespace =
        opt_string(namespace.as_ref(), "namespace")?.unwrap_or_else(|| "361E6D51-FAEC-444A-9079-341386DA8E2E".into());
    let digits: String =
        namespace.replace("urn:", "").replace("uuid:", "").chars().filter(|c| !"{}-".contains(*c)).collect();
    let mut id = [0; 16];
    hex::decode_to_slice(&digits, &mut id).map_err(|_| err(format!("`{namespace}` is no UUID for `namespace`")))?;
    Ok(Value::from(uuid5(&id, text(&value.unwrap_or_default()).as_bytes())))
}

/// Text in one of the encodings people name; `None` for an unknown encoding, `Some(None)` if the text can't be written in it.
pub fn encode(s: &str, encoding: &str) -> Option<Option<Vec<u8>>> {
    let wide = |little: bool| {
        s.encode_utf16().flat_map(|u| if little { u.to_le_bytes() } else { u.to_be_bytes() }).collect::<Vec<u8>>()
    };
    Some(match encoding.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => Some(s.as_bytes().to_vec()),
        "utf-16-le" | "utf-16le" => Some(wide(true)),
        "utf-16-be" | "utf-16be" => Some(wide(false)),
        "utf-16" | "utf16" => Some([vec![0xff, 0xfe], wide(true)].concat()),
        "ascii" | "us-ascii" => s.is_ascii().then(|| s.as_bytes().to_vec()),
        "latin-1" | "latin1" | "iso-8859-1" => s.chars().map(|c| u8::try_from(c as u32).ok()).collect(),
        _ => return None,
    })
}

fn decode(bytes: &[u8], encoding: &str) -> Option<Option<String>> {
    let wide = |bytes: &[u8], little: bool| {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|c| if little { u16::from_le_bytes([c[0], c[1]]) } else { u16::from_be_bytes([c[0], c[1]]) })
            .collect();
        bytes.len().is_multiple_of(2).then(|| String::from_utf16(&units).ok()).flatten()
    };
    Some(match encoding.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => String::from_utf8(bytes.to_vec()).ok(),
        "utf-16-le" | "utf-16le" => wide(bytes, true),
        "utf-16-be" | "utf-16be" => wide(bytes, false),
        "utf-16" | "utf16" => match bytes {
            [0xff, 0xfe, rest @ ..] => wide(rest, true),
            [0xfe, 0xff, rest @ ..] => wide(rest, false),
            all => wide(all, true),
        },
        "ascii" | "us-ascii" => bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned()),
        "latin-1" | "latin1" | "iso-8859-1" => Some(bytes.iter().map(|b| *b as char).collect()),
        _ => return None,
    })
}

fn b64encode(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, encoding, urlsafe] = call.bind(["string", "encoding", "urlsafe"], 1)?;
    let value = value.unwrap_or_default();
    let encoding = opt_string(encoding.as_ref(), "encoding")?.unwrap_or_else(|| "utf-8".into());
    let bytes = match value.as_bytes().filter(|_| value.as_str().is_none()) {
        Some(bytes) => bytes.to_vec(),
        None => match encode(&text(&value), &encoding) {
            Some(Some(bytes)) => bytes,
            Some(None) => return Err(err(format!("the text can't be written in the encoding `{encoding}`"))),
            None => return Err(err(format!("the encoding `{encoding}` is not known"))),
        },
    };
    Ok(Value::from(if flag(urlsafe.as_ref(), false) { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }))
}

fn b64decode(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, encoding, urlsafe] = call.bind(["string", "encoding", "urlsafe"], 1)?;
    let value = string(&value.unwrap_or_default(), "string")?;
    let encoding = opt_string(encoding.as_ref(), "encoding")?.unwrap_or_else(|| "utf-8".into());
    let bytes = base64_lenient(&value, flag(urlsafe.as_ref(), false)).ok_or_else(|| err("the text is no base64"))?;
    match decode(&bytes, &encoding) {
        Some(Some(text)) => Ok(Value::from(text)),
        // Ansible keeps what is no text in a form that shows as this too.
        Some(None) => Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned())),
        None => Err(err(format!("the encoding `{encoding}` is not known"))),
    }
}

/// Python's base64: characters outside the alphabet are skipped, the padding must be there.
pub fn base64_lenient(s: &str, urlsafe: bool) -> Option<Vec<u8>> {
    let mut clean = String::with_capacity(s.len());
    let mut padding = 0;
    for c in s.chars() {
        let c = match c {
            '-' if urlsafe => '+',
            '_' if urlsafe => '/',
            c => c,
        };
        if c == '=' {
            padding += 1;
            if clean.len() % 4 >= 2 && clean.len() % 4 + padding >= 4 {
                break;
            }
        } else if c.is_ascii_alphanumeric() || c == '+' || c == '/' {
            clean.push(c);
            padding = 0;
        }
    }
    let rest = clean.len() % 4;
    if rest == 1 || (rest > 0 && rest + padding < 4) {
        return None;
    }
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(true),
    );
    engine.decode(clean).ok()
}
