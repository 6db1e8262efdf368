//! `random`, `shuffle`, `random_mac`: with a seed the same as Python's generator gives, else from the system.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};
use sha2::{Digest, Sha512};

use crate::template::args::{Call, Entry, err, integer, items, list, opt_integer, string, text, truth};
use crate::template::call::unsupported;
use crate::template::types::type_name;

pub const FILTERS: &[Entry] = &[("random", random), ("shuffle", shuffle), ("random_mac", random_mac)];

/// Python's `random.Random`: a Mersenne Twister.
pub struct PyRandom {
    state: [u32; 624],
    index: usize,
}

impl PyRandom {
    /// Seeded by a text or a whole number.
    pub fn seeded(seed: &Value) -> Result<Self, Error> {
        if let Some(s) = seed.as_str() {
            let mut bytes = s.as_bytes().to_vec();
            bytes.extend(Sha512::digest(s.as_bytes()));
            bytes.reverse();
            return Ok(Self::from_words(&words(&bytes)));
        }
        match seed.kind() {
            ValueKind::Bool | ValueKind::Number if seed.kind() == ValueKind::Bool || seed.is_integer() => {
                let n = i128::try_from(seed.clone()).map_err(|_| err("the seed is too large"))?.unsigned_abs();
                Ok(Self::from_words(&words(&n.to_le_bytes())))
            }
            _ => Err(unsupported(format!("a seed of type {}", type_name(seed)))),
        }
    }

    /// Seeded by the system.
    pub fn system() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let mut bytes = vec![];
        for _ in 0..8 {
            // each RandomState carries fresh keys drawn from the system's generator
            bytes.extend(std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes());
        }
        if let Ok(mut file) = std::fs::File::open("/dev/urandom") {
            let mut more = [0; 32];
            if std::io::Read::read_exact(&mut file, &mut more).is_ok() {
                bytes.extend(more);
            }
        }
        Self::from_words(&words(&bytes))
    }

    fn from_words(key: &[u32]) -> Self {
        let mut state = [0u32; 624];
        state[0] = 19_650_218;
        for i in 1..624 {
            state[i] = 1_812_433_253u32.wrapping_mul(state[i - 1] ^ (state[i - 1] >> 30)).wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        for _ in 0..624.max(key.len()) {
            state[i] = (state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(key[j])
                .wrapping_add(j as u32);
            i += 1;
            j += 1;
            if i >= 624 {
                state[0] = state[623];
                i = 1;
            }
            if j >= key.len() {
                j = 0;
            }
        }
        for _ in 0..623 {
            state[i] =
                (state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i += 1;
            if i >= 624 {
                state[0] = state[623];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, index: 624 }
    }

    fn next_u32(&mut self) -> u32 {
        if self.index >= 624 {
            for i in 0..624 {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
                let mut next = self.state[(i + 397) % 624] ^ (y >> 1);
                if y & 1 != 0 {
                    next ^= 0x9908_b0df;
                }
                self.state[i] = next;
            }
            self.index = 0;
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn bits(&mut self, count: u32) -> u64 {
        if count <= 32 {
            return u64::from(self.next_u32() >> (32 - count));
        }
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32() >> (64 - count)) << 32
    }

    /// A number below `n` (0 for 0).
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let count = 64 - n.leading_zeros();
        loop {
            let drawn = self.bits(count);
            if drawn < n {
                return drawn;
            }
        }
    }

    /// `random.shuffle`.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            values.swap(i, j);
        }
    }
}

/// Little-endian bytes as 32-bit words without leading zeros, at least one.
fn words(bytes: &[u8]) -> Vec<u32> {
    let mut out: Vec<u32> = bytes
        .chunks(4)
        .map(|c| {
            let mut word = [0; 4];
            word[..c.len()].copy_from_slice(c);
            u32::from_le_bytes(word)
        })
        .collect();
    while out.len() > 1 && out.last() == Some(&0) {
        out.pop();
    }
    out
}

fn generator(seed: Option<&Value>) -> Result<PyRandom, Error> {
    match seed.filter(|s| !s.is_none()) {
        Some(seed) => PyRandom::seeded(seed),
        None => Ok(PyRandom::system()),
    }
}

fn random(_: &mut State, call: Call) -> Result<Value, Error> {
    let [end, start, step, seed] = call.bind(["end", "start", "step", "seed"], 1)?;
    let end = end.unwrap_or_default();
    let mut random = generator(seed.as_ref())?;
    let given = |v: &Option<Value>| v.as_ref().is_some_and(truth);
    if end.is_integer() || end.kind() == ValueKind::Bool {
        let start = if given(&start) { opt_integer(start.as_ref(), "start")?.unwrap_or(0) } else { 0 };
        let step = if given(&step) { opt_integer(step.as_ref(), "step")?.unwrap_or(1) } else { 1 };
        let width = integer(&end, "end")? - start;
        let count = if step > 0 { (width + step - 1).div_euclid(step) } else { (width + step + 1).div_euclid(step) };
        if count <= 0 {
            return Err(err("`random` has an empty range to choose from"));
        }
        return Ok(Value::from(start + step * random.below(count as u64) as i64));
    }
    if !matches!(end.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Iterable) {
        return Err(err(format!("`random` takes a list or a whole number, not {}", type_name(&end))));
    }
    if given(&start) || given(&step) {
        return Err(err("`start` and `step` of `random` are for whole numbers"));
    }
    let all = items(&end)?;
    if all.is_empty() {
        return Err(err("`random` can't choose from nothing"));
    }
    let chosen = random.below(all.len() as u64) as usize;
    Ok(all[chosen].clone())
}

fn shuffle(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, seed] = call.bind(["mylist", "seed"], 1)?;
    let value = value.unwrap_or_default();
    let Ok(mut all) = items(&value) else { return Ok(value) };
    generator(seed.as_ref().filter(|s| truth(s)))?.shuffle(&mut all);
    Ok(list(all))
}

fn random_mac(_: &mut State, call: Call) -> Result<Value, Error> {
    let [value, seed] = call.bind(["value", "seed"], 1)?;
    let prefix = string(&value.unwrap_or_default(), "value")?.to_lowercase();
    let parts: Vec<&str> = prefix.split(':').collect();
    let filled = parts.len();
    if filled > 5 {
        return Err(err(format!("`{}` is no prefix of a MAC address of 1 to 5 parts", text(&Value::from(prefix)))));
    }
    for part in &parts {
        if part.len() != 2 || !part.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(err(format!("`{part}` is no hexadecimal byte of a MAC address")));
        }
    }
    let mut random = generator(seed.as_ref())?;
    // 68719476736 is 0x1000000000: ten hexadecimal digits, of which the last are taken
    let drawn = 68_719_476_736 + random.below(1_099_511_627_775 - 68_719_476_736 + 1);
    let digits = format!("{drawn:x}");
    let missing = 6 - filled;
    let mut out = prefix.trim_end_matches(':').to_owned();
    let mut bytes = digits.as_bytes().chunks(2);
    for _ in 0..missing {
        if let Some(pair) = bytes.next() {
            out.push(':');
            out.push_str(&String::from_utf8_lossy(pair));
        }
    }
    Ok(Value::from(out))
}
