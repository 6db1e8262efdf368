//! The text around a cipher: header line, hexadecimal digits in lines of 80.

use super::VaultError;

const MARK: &str = "$ANSIBLE_VAULT";

/// A vaulted text taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The id in the header of format 1.2.
    pub id: Option<String>,
    pub salt: Vec<u8>,
    pub code: Vec<u8>,
    pub cipher: Vec<u8>,
}

/// True if a file's content is vaulted as a whole.
pub fn is_vaulted(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

fn unhex(text: &str) -> Result<Vec<u8>, VaultError> {
    hex::decode(text).map_err(|_| VaultError::Damaged("it holds something else than hexadecimal digits".into()))
}

impl Envelope {
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let mut lines = text.trim_start().lines().map(str::trim);
        let header: Vec<&str> = lines.next().unwrap_or_default().split(';').map(str::trim).collect();
        if header.first() != Some(&MARK) {
            return Err(VaultError::NotVaulted);
        }
        let id = match header.get(1) {
            Some(&"1.1") => None,
            Some(&"1.2") => header.get(3).filter(|id| !id.is_empty()).map(|id| (*id).to_owned()),
            Some(version) => return Err(VaultError::Damaged(format!("the format `{version}` is not known"))),
            None => return Err(VaultError::Damaged("its header has no version".into())),
        };
        match header.get(2) {
            Some(&"AES256") => {}
            other => return Err(VaultError::UnknownCipher(other.copied().unwrap_or_default().to_owned())),
        }
        let inner = unhex(&lines.collect::<String>())?;
        let inner = String::from_utf8(inner).map_err(|_| VaultError::Damaged("its body is no text".into()))?;
        let mut parts = inner.splitn(3, '\n');
        let mut next = || parts.next().ok_or_else(|| VaultError::Damaged("a part of it is missing".into()));
        Ok(Self { salt: unhex(next()?)?, code: unhex(next()?)?, cipher: unhex(next()?)?, id })
    }

    /// The text as Ansible writes it, with a newline at the end.
    pub fn write(&self) -> String {
        let inner = format!("{}\n{}\n{}", hex::encode(&self.salt), hex::encode(&self.code), hex::encode(&self.cipher));
        let mut out = match &self.id {
            Some(id) => format!("{MARK};1.2;AES256;{id}\n"),
            None => format!("{MARK};1.1;AES256\n"),
        };
        for line in hex::encode(inner).as_bytes().chunks(80) {
            out.push_str(&String::from_utf8_lossy(line));
            out.push('\n');
        }
        out
    }
}
