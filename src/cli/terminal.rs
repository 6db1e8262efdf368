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
        crate::template::halt::soon();
        say("\ninterrupted: running steps end, nothing new is begun (again: stop at once)");
    });
    drop(result);
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Who answers questions of a run; `None` without a terminal to ask at.
pub fn operator() -> Option<crate::resources::AskOperator> {
    (std::io::stdin().is_terminal() && std::io::stderr().is_terminal()).then_some(ask_operator as _)
}

/// One question at a time. An interrupt while it waits ends the wait: `None`.
fn ask_operator(question: &str, echo: bool) -> Option<String> {
    static TERMINAL: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = TERMINAL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if interrupted() {
        return None;
    }
    drop(write!(std::io::stderr(), "\r\x1b[K{question}"));
    drop(std::io::stderr().flush());
    let stdin = std::io::stdin();
    let shown = rustix::termios::tcgetattr(&stdin).ok();
    if let (false, Some(shown)) = (echo, &shown) {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
        let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Flush, &hidden);
    }
    let answer = wait_for_line(&stdin);
    if let (false, Some(shown)) = (echo, &shown) {
        let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, shown);
        say("");
    }
    answer
}

fn wait_for_line(stdin: &std::io::Stdin) -> Option<String> {
    let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    loop {
        if interrupted() {
            return None;
        }
        let mut fds = [rustix::event::PollFd::new(stdin, rustix::event::PollFlags::IN)];
        if rustix::event::poll(&mut fds, Some(&tick)).is_ok_and(|ready| ready > 0) {
            let mut line = String::new();
            return match stdin.read_line(&mut line) {
                Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
                Err(_) => None,
            };
        }
    }
}
