//! Where kdeploy differs on purpose: the cases that show it and docs/differences.md name each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;

/// Every case marked `# differs:` or `# foretold:` is in the table of docs/differences.md, and every case named there is marked.
pub fn documented(cases: &[PathBuf]) -> Result<(), Failed> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md"))?;
    let told: BTreeSet<String> = text
        .lines()
        .filter(|l| l.starts_with('|'))
        .filter_map(|l| l.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut marked = BTreeSet::new();
    for case in cases {
        let case_options = crate::options(&crate::text(case)?);
        if case_options.differs.is_some() || case_options.foretold.is_some() {
            marked.insert(crate::name(case));
        }
    }
    let lines: Vec<String> = marked
        .difference(&told)
        .map(|c| format!("case `{c}` is not in docs/differences.md"))
        .chain(
            told.difference(&marked).map(|c| format!("docs/differences.md names `{c}`: no case marked `# differs:`")),
        )
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n").into()) }
}
