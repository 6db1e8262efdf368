//! Reports in headless Chromium: they open without a network and without errors, fit on a phone, and print.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::Bench;

/// A phone's width in CSS pixels.
const PHONE: u32 = 375;

fn chromium() -> String {
    let found = ["chromium", "chromium-browser", "google-chrome", "chrome"]
        .iter()
        .find(|name| Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok());
    (*found.expect("a Chromium is there; ./test installs one, or skips this")).to_owned()
}

/// Runs it on a page; what it wrote to standard output and error.
fn browse(profile: &Path, page: &Path, args: &[&str]) -> (String, String) {
    let out = Command::new(chromium())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        // Nothing resolves: what a page wants of a network fails and is told.
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=5000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("Chromium runs");
    (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// The report in a frame as wide as a phone, and what is found there, as text in the page.
fn in_a_frame(report: &str) -> String {
    let escaped = report.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!DOCTYPE html><meta charset=utf-8><iframe id=f style=\"width:{PHONE}px;height:800px;border:0\" srcdoc=\"{escaped}\"></iframe>\
         <pre id=found></pre><script>\
         onload = () => {{ const w = f.contentWindow, d = f.contentDocument.documentElement;\
         for (const one of f.contentDocument.querySelectorAll('details')) one.open = true;\
         const small = [...f.contentDocument.querySelectorAll('p,li,td,summary,span')].filter(e => parseFloat(w.getComputedStyle(e).fontSize) < 11);\
         found.textContent = `width ${{d.scrollWidth}} resources ${{w.performance.getEntriesByType('resource').length}} \
         small ${{small.length}} steps ${{f.contentDocument.querySelectorAll('.step').length}} scripts ${{f.contentDocument.scripts.length}}`; }};\
         </script>"
    )
}

const SITE: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - name: A folder with quite a long name that does not fit on a phone in one line, whatever one does
      file: {path: "{{ playbook_dir }}/out/a-folder/with-a-long-path/that-has-no-blank/in-it-anywhere/at-all-whatever-comes", state: directory}
    - name: Long lines
      copy: {content: "{{ 'x' * 400 }}\n{{ 'word ' * 100 }}\n", dest: "{{ playbook_dir }}/out/long"}
      notify: Handler
    - name: Said
      command: echo said
      register: said
    - name: Known later
      copy: {content: "{{ said.stdout }}\n", dest: "{{ playbook_dir }}/out/said"}
  handlers:
    - name: Handler
      command: sleep 0.2
"#;

#[test]
#[ignore = "needs Chromium: ./test runs it"]
fn reports_open_without_a_network_fit_on_a_phone_and_print() {
    let bench = Bench::new(&[("site.yml", SITE), ("out/.keep", "")]);
    assert_eq!(bench.run(&["plan", "--report", "plan.html"]).rc, 0);
    assert_eq!(bench.run(&["apply", "--report", "run.html"]).rc, 0);
    let profile = tempfile::tempdir().expect("a temporary folder");
    for report in ["plan.html", "run.html"] {
        bench.write("frame.html", &in_a_frame(&bench.read(report)));
        let (dom, log) = browse(profile.path(), &bench.path().join("frame.html"), &["--dump-dom"]);
        let found = dom.split("<pre id=\"found\">").nth(1).and_then(|t| t.split('<').next()).unwrap_or_default();
        let number = |name: &str| -> u32 {
            let mut words = found.split_whitespace().skip_while(|w| *w != name);
            words.nth(1).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no {name} in `{found}`\n{dom}\n{log}"))
        };
        assert!(number("width") <= PHONE, "{report} is wider than a phone: {found}");
        assert_eq!((number("resources"), number("scripts"), number("small")), (0, 0, 0), "{report}: {found}");
        assert!(number("steps") >= 4, "{report}: {found}");
        let (_, log) = browse(profile.path(), &bench.path().join(report), &["--dump-dom"]);
        assert!(!log.contains("CONSOLE"), "{report}: {log}");
        let pdf = bench.path().join("print.pdf");
        let (_, log) =
            browse(profile.path(), &bench.path().join(report), &[&format!("--print-to-pdf={}", pdf.display())]);
        let printed = std::fs::read(&pdf).unwrap_or_default();
        assert!(printed.starts_with(b"%PDF") && printed.len() > 10_000, "{report}: {} bytes\n{log}", printed.len());
        std::fs::remove_file(&pdf).expect("was printed");
    }
}
