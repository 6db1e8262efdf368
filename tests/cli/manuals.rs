//! docs/resources is made from the same source as `kdeploy doc`.
//!
//! `KDEPLOY_BLESS=1 cargo test --test cli manuals` writes it.

use std::collections::BTreeMap;
use std::path::Path;

use kdeploy::resources::{all_manuals, index};

#[test]
fn docs_are_in_step_with_the_resources() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/resources");
    let mut wanted: BTreeMap<String, String> = all_manuals().map(|(name, text)| (format!("{name}.md"), text)).collect();
    wanted.insert("README.md".to_owned(), index());
    if std::env::var_os("KDEPLOY_BLESS").is_some() {
        std::fs::create_dir_all(&dir).expect("the folder");
        for (name, text) in &wanted {
            std::fs::write(dir.join(name), text).expect("the manual");
        }
    }
    for (name, text) in &wanted {
        let found = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        assert!(found == *text, "docs/resources/{name} is out of step: KDEPLOY_BLESS=1 cargo test --test cli manuals");
    }
    let extra: Vec<String> = std::fs::read_dir(&dir)
        .expect("the folder")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| !wanted.contains_key(n))
        .collect();
    assert!(extra.is_empty(), "docs of resources that are not there: {extra:?}");
}
