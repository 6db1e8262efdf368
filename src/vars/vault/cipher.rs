//! The AES256 vault cipher: PBKDF2-SHA256 gives two keys and a counter; AES-CTR, HMAC-SHA256 over the cipher text.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const ROUNDS: u32 = 10_000;
const BLOCK: usize = 16;

/// What a password and a salt give.
#[derive(Clone)]
pub struct Keys {
    cipher: [u8; 32],
    mac: [u8; 32],
    counter: [u8; 16],
}

impl Keys {
    /// The slow part (some 10 ms).
    pub fn derive(password: &[u8], salt: &[u8]) -> Self {
        let mut all = [0; 80];
        pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, ROUNDS, &mut all);
        let mut keys = Self { cipher: [0; 32], mac: [0; 32], counter: [0; 16] };
        keys.cipher.copy_from_slice(&all[..32]);
        keys.mac.copy_from_slice(&all[32..64]);
        keys.counter.copy_from_slice(&all[64..]);
        keys
    }

    fn run(&self, bytes: &mut [u8]) {
        Ctr128BE::<Aes256>::new(&self.cipher.into(), &self.counter.into()).apply_keystream(bytes);
    }

    fn mac(&self) -> Hmac<Sha256> {
        // an HMAC takes keys of any length
        Hmac::<Sha256>::new_from_slice(&self.mac).unwrap_or_else(|_| unreachable!("HMAC keys may have any length"))
    }

    /// The cipher text and its authentication code.
    pub fn encrypt(&self, plain: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let missing = BLOCK - plain.len() % BLOCK;
        let mut bytes = plain.to_vec();
        bytes.extend(std::iter::repeat_n(missing as u8, missing));
        self.run(&mut bytes);
        let mut mac = self.mac();
        mac.update(&bytes);
        let code = mac.finalize().into_bytes().to_vec();
        (bytes, code)
    }

    /// The plain text, if the code fits.
    pub fn decrypt(&self, bytes: &[u8], code: &[u8]) -> Option<Vec<u8>> {
        let mut mac = self.mac();
        mac.update(bytes);
        mac.verify_slice(code).ok()?;
        let mut plain = bytes.to_vec();
        self.run(&mut plain);
        let padding = usize::from(*plain.last()?);
        if padding == 0 || padding > BLOCK || padding > plain.len() {
            return None;
        }
        plain.truncate(plain.len() - padding);
        Some(plain)
    }
}
