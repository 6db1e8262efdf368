//! What can be told of a file before it is on a node, because the control machine has its bytes or can download them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use crate::blob::{Algorithm, Blob};

type Key = (PathBuf, u64, Option<std::time::SystemTime>, Algorithm);

/// Digests of files that were read: every host asks for the same ones.
static DIGESTS: LazyLock<Mutex<HashMap<Key, String>>> = LazyLock::new(Mutex::default);

/// The file that holds a blob's bytes; downloads it if need be. `None`: it cannot be had.
fn file_of(blob: &Blob) -> Option<PathBuf> {
    match blob {
        Blob::Bytes(_) => None,
        Blob::File(path) => Some(path.clone()),
        Blob::Download(download) => crate::node::fetch(download).ok().map(|(path, _)| path),
    }
}

pub fn size(blob: &Blob) -> Option<u64> {
    match blob {
        Blob::Bytes(bytes) => Some(bytes.len() as u64),
        _ => Some(std::fs::metadata(file_of(blob)?).ok()?.len()),
    }
}

pub fn digest(blob: &Blob, algorithm: Algorithm) -> Option<String> {
    match blob {
        Blob::Bytes(bytes) => Some(algorithm.hex(bytes)),
        Blob::Download(d) if d.checksum.as_ref().is_some_and(|(a, _)| *a == algorithm) => {
            d.checksum.as_ref().map(|(_, hex)| hex.clone())
        }
        _ => {
            let path = file_of(blob)?;
            let meta = std::fs::metadata(&path).ok()?;
            let key = (path, meta.len(), meta.modified().ok(), algorithm);
            if let Some(known) = DIGESTS.lock().ok().and_then(|map| map.get(&key).cloned()) {
                return Some(known);
            }
            let hex = algorithm.hex(&std::fs::read(&key.0).ok()?);
            if let Ok(mut map) = DIGESTS.lock() {
                map.insert(key, hex.clone());
            }
            Some(hex)
        }
    }
}

/// The bytes, if there are not more than so many.
pub fn content(blob: &Blob, at_most: u64) -> Option<Arc<Vec<u8>>> {
    match blob {
        Blob::Bytes(bytes) => Some(bytes.clone()),
        _ if size(blob)? > at_most => None,
        _ => Some(Arc::new(std::fs::read(file_of(blob)?).ok()?)),
    }
}
