//! What subcommands share about the terminal: printing, asking, interrupts.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::problem::Problems;
use crate::report::{ColorChoice, Style, problems_text};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Problems to standard error, with their source lines.
pub fn show_problems(problems: &Problems) {
    let style = Style::new(ColorChoice::Auto, std::io::stderr().is_terminal());
    drop(write!(std::io::stderr(), "{}", problems_text(problems, style)));
}

/// A result to standard output; a reader that closed the pipe has what it wanted.
pub fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// As [`print`], for what may be no text.
pub fn print_bytes(bytes: &[u8]) {
    drop(std::io::stdout().write_all(bytes));
    drop(std::io::stdout().flush());
}

/// Words to standard error.
pub fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// From now on the first interrupt lets running steps end, the second ends the program.
pub fn catch_interrupts() {
    let result = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        say("\ninterrupted: running steps end, nothing new is begun (again: stop at once)");
    });
    drop(result);
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
