//! `crypt(3)` hashes of passwords: MD5 (`$1$`), SHA-256 (`$5$`) and SHA-512 (`$6$`), after Drepper's specification.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

/// Which kind of hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Md5,
    Sha256,
    Sha512,
}

impl Method {
    /// By Ansible's names and passlib's.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "md5" | "md5_crypt" => Self::Md5,
            "sha256" | "sha256_crypt" => Self::Sha256,
            "sha512" | "sha512_crypt" => Self::Sha512,
            _ => return None,
        })
    }

    /// How long a salt is if none is given.
    pub fn salt_size(self) -> usize {
        if self == Self::Md5 { 8 } else { 16 }
    }

    /// passlib's default, which Ansible uses.
    fn default_rounds(self) -> u32 {
        match self {
            Self::Md5 => 1000,
            Self::Sha256 => 535_000,
            Self::Sha512 => 656_000,
        }
    }
}

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A salt drawn from the system.
pub fn random_salt(size: usize) -> String {
    let mut random = super::random::PyRandom::system();
    (0..size).map(|_| ALPHABET[random.below(64) as usize] as char).collect()
}

/// The hash of a password, in the form of /etc/shadow.
pub fn crypt(method: Method, password: &[u8], salt: &str, rounds: Option<u32>) -> Result<String, String> {
    if !salt.bytes().all(|b| ALPHABET.contains(&b)) {
        return Err("a salt holds only letters, digits, `.` and `/`".into());
    }
    if salt.is_empty() && method != Method::Md5 || salt.len() > method.salt_size() {
        return Err(format!("a salt has 1 to {} characters here, not {}", method.salt_size(), salt.len()));
    }
    if method == Method::Md5 {
        return Ok(format!("$1${salt}${}", md5_crypt(password, salt.as_bytes())));
    }
    let rounds = rounds.unwrap_or_else(|| method.default_rounds());
    if !(1000..=999_999_999).contains(&rounds) {
        return Err(format!("`rounds` must lie between 1000 and 999999999, not at {rounds}"));
    }
    let (id, hash) = match method {
        Method::Sha512 => ('6', sha_crypt::<Sha512>(password, salt.as_bytes(), rounds, &ORDER_512)),
        _ => ('5', sha_crypt::<Sha256>(password, salt.as_bytes(), rounds, &ORDER_256)),
    };
    // 5000 is the scheme's own default and is left out
    Ok(if rounds == 5000 { format!("${id}${salt}${hash}") } else { format!("${id}$rounds={rounds}${salt}${hash}") })
}

/// A `bcrypt` hash (`blowfish`), as passlib makes it: 12 rounds, `$2b$`.
pub fn bcrypt_hash(
    password: &[u8],
    salt: Option<&str>,
    rounds: Option<u32>,
    ident: Option<&str>,
) -> Result<String, String> {
    const BASE: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let version = match ident.unwrap_or("2b") {
        "2a" => bcrypt::Version::TwoA,
        "2b" => bcrypt::Version::TwoB,
        "2y" => bcrypt::Version::TwoY,
        other => return Err(format!("`{other}` is no kind of bcrypt: there are 2a, 2b, 2y")),
    };
    let text: Vec<u8> = match salt {
        Some(salt) => salt.bytes().collect(),
        None => {
            let mut random = super::random::PyRandom::system();
            (0..22).map(|_| BASE[random.below(64) as usize]).collect()
        }
    };
    if text.len() != 22 {
        return Err(format!("a salt of bcrypt has 22 characters, not {}", text.len()));
    }
    let (mut bytes, mut bits, mut count) = (vec![], 0u32, 0);
    for c in text {
        let value = BASE.iter().position(|b| *b == c).ok_or("a salt holds only letters, digits, `.` and `/`")?;
        bits = (bits << 6) | u32::try_from(value).unwrap_or(0);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or(0));
        }
    }
    let salt: [u8; 16] = bytes[..16].try_into().map_err(|_| "a salt of bcrypt has 22 characters".to_owned())?;
    let hashed = bcrypt::hash_with_salt(password, rounds.unwrap_or(12), salt).map_err(|e| e.to_string())?;
    Ok(hashed.format_for_version(version))
}

fn encode(out: &mut String, mut value: u32, digits: usize) {
    for _ in 0..digits {
        out.push(ALPHABET[(value & 63) as usize] as char);
        value >>= 6;
    }
}

/// Which bytes of the digest are put together into which four characters; the rest follows.
static ORDER_512: [[usize; 3]; 21] = [
    [0, 21, 42],
    [22, 43, 1],
    [44, 2, 23],
    [3, 24, 45],
    [25, 46, 4],
    [47, 5, 26],
    [6, 27, 48],
    [28, 49, 7],
    [50, 8, 29],
    [9, 30, 51],
    [31, 52, 10],
    [53, 11, 32],
    [12, 33, 54],
    [34, 55, 13],
    [56, 14, 35],
    [15, 36, 57],
    [37, 58, 16],
    [59, 17, 38],
    [18, 39, 60],
    [40, 61, 19],
    [62, 20, 41],
];
static ORDER_256: [[usize; 3]; 10] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
];

fn repeated(block: &[u8], len: usize) -> Vec<u8> {
    block.iter().copied().cycle().take(len).collect()
}

fn sha_crypt<D: Digest>(password: &[u8], salt: &[u8], rounds: u32, order: &[[usize; 3]]) -> String {
    let hash = |parts: &[&[u8]]| {
        let mut hasher = D::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().to_vec()
    };
    let b = hash(&[password, salt, password]);
    let mut a = D::new();
    a.update(password);
    a.update(salt);
    a.update(repeated(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            a.update(&b)
        } else {
            a.update(password)
        }
        bits >>= 1;
    }
    let mut current = a.finalize().to_vec();
    let mut dp = D::new();
    for _ in 0..password.len() {
        dp.update(password);
    }
    let p = repeated(&dp.finalize(), password.len());
    let mut ds = D::new();
    for _ in 0..16 + usize::from(current[0]) {
        ds.update(salt);
    }
    let s = repeated(&ds.finalize(), salt.len());
    for round in 0..rounds {
        let mut hasher = D::new();
        if round % 2 == 1 {
            hasher.update(&p)
        } else {
            hasher.update(&current)
        }
        if round % 3 != 0 {
            hasher.update(&s);
        }
        if round % 7 != 0 {
            hasher.update(&p);
        }
        if round % 2 == 1 {
            hasher.update(&current)
        } else {
            hasher.update(&p)
        }
        current = hasher.finalize().to_vec();
    }
    let mut out = String::new();
    for [x, y, z] in order {
        encode(&mut out, u32::from(current[*x]) << 16 | u32::from(current[*y]) << 8 | u32::from(current[*z]), 4);
    }
    if current.len() == 64 {
        encode(&mut out, u32::from(current[63]), 2);
    } else {
        encode(&mut out, u32::from(current[31]) << 8 | u32::from(current[30]), 3);
    }
    out
}

fn md5_crypt(password: &[u8], salt: &[u8]) -> String {
    let b = {
        let mut h = Md5::new();
        h.update(password);
        h.update(salt);
        h.update(password);
        h.finalize()
    };
    let mut a = Md5::new();
    a.update(password);
    a.update(b"$1$");
    a.update(salt);
    a.update(repeated(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            a.update([0])
        } else {
            a.update(&password[..1])
        }
        bits >>= 1;
    }
    let mut current = a.finalize();
    for round in 0..1000 {
        let mut h = Md5::new();
        if round % 2 == 1 {
            h.update(password)
        } else {
            h.update(current)
        }
        if round % 3 != 0 {
            h.update(salt);
        }
        if round % 7 != 0 {
            h.update(password);
        }
        if round % 2 == 1 {
            h.update(current)
        } else {
            h.update(password)
        }
        current = h.finalize();
    }
    let mut out = String::new();
    for [x, y, z] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        encode(&mut out, u32::from(current[x]) << 16 | u32::from(current[y]) << 8 | u32::from(current[z]), 4);
    }
    encode(&mut out, u32::from(current[11]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What crypt(3) of the C library gives.
    #[test]
    fn hashes_as_the_c_library_does() {
        let hash = |method, salt, rounds| crypt(method, b"Hello world!", salt, rounds).unwrap();
        assert_eq!(
            hash(Method::Sha512, "saltstring", Some(5000)),
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
        );
        assert_eq!(
            hash(Method::Sha256, "saltstringsaltst", Some(10000)),
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"
        );
        assert_eq!(hash(Method::Md5, "saltstri", None), "$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1");
    }

    #[test]
    fn refuses_salts_and_rounds_that_crypt_refuses() {
        assert!(crypt(Method::Sha512, b"x", "has space", None).is_err());
        assert!(crypt(Method::Sha512, b"x", "seventeen.letters", None).is_err());
        assert!(crypt(Method::Sha256, b"x", "salt", Some(10)).is_err());
    }
}
