//! Settings that are asked for deep inside, by code that knows no project: they hold for the whole process and are put here when
//! the settings are loaded.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// What is done about a key that stands twice in a YAML mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    Warn,
    Error,
    Ignore,
}

static DUPLICATES: AtomicU8 = AtomicU8::new(0);
static MAX_DIFF_SIZE: AtomicU64 = AtomicU64::new(104_448);
static DIFF_CONTEXT: AtomicUsize = AtomicUsize::new(3);
static STRICT_UTF8: AtomicBool = AtomicBool::new(true);

pub fn duplicates() -> Duplicates {
    match DUPLICATES.load(Ordering::Relaxed) {
        1 => Duplicates::Error,
        2 => Duplicates::Ignore,
        _ => Duplicates::Warn,
    }
}

/// Bytes of a content above which it is not shown in a difference.
pub fn max_diff_size() -> u64 {
    MAX_DIFF_SIZE.load(Ordering::Relaxed)
}

/// Lines shown around a difference.
pub fn diff_context() -> usize {
    DIFF_CONTEXT.load(Ordering::Relaxed)
}

/// Whether a command whose output is not UTF-8 fails.
pub fn strict_utf8() -> bool {
    STRICT_UTF8.load(Ordering::Relaxed)
}

/// Takes over what the settings say.
pub fn hold(settings: &crate::config::Settings) {
    let duplicates = match settings.text("duplicate_dict_key") {
        Some("error") => 1,
        Some("ignore") => 2,
        _ => 0,
    };
    DUPLICATES.store(duplicates, Ordering::Relaxed);
    MAX_DIFF_SIZE.store(settings.count("max_diff_size").unwrap_or(104_448), Ordering::Relaxed);
    let context = settings.count("diff_context").and_then(|n| usize::try_from(n).ok());
    DIFF_CONTEXT.store(context.unwrap_or(3), Ordering::Relaxed);
    STRICT_UTF8.store(settings.flag("module_strict_utf8_response", true), Ordering::Relaxed);
}
