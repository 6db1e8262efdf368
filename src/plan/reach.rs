//! What a command line may change, read off its words: the paths, units, accounts and packages it names.
//!
//! Only running it tells what a command does. But what it names it most likely touches, so a plan calls that unknown from there on.
//! Programs that only look touch nothing but what their output is redirected to.

/// What a command may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// These and what is below them.
    pub paths: Vec<String>,
    /// Units by their full names; true: they run afterwards, whatever they did before.
    pub units: Vec<(String, bool)>,
    pub accounts: Vec<String>,
    pub packages: Vec<String>,
}

impl Reach {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn path(&mut self, path: &str) {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let told_apart = path.starts_with('/')
            && path.len() > 1
            && !["/dev", "/proc", "/sys"].iter().any(|d| path == *d || path.starts_with(&format!("{d}/")));
        if told_apart && !self.paths.iter().any(|p| p == path) {
            self.paths.push(path.to_owned());
        }
    }
}

/// Programs that change nothing by themselves.
const LOOKS: &[&str] = &[
    "test",
    "[",
    "[[",
    "true",
    "false",
    ":",
    "echo",
    "printf",
    "cat",
    "ls",
    "stat",
    "grep",
    "egrep",
    "fgrep",
    "zgrep",
    "head",
    "tail",
    "wc",
    "cut",
    "tr",
    "sort",
    "uniq",
    "awk",
    "diff",
    "cmp",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "which",
    "type",
    "id",
    "groups",
    "getent",
    "uname",
    "date",
    "sleep",
    "pgrep",
    "ps",
    "pidof",
    "ss",
    "netstat",
    "lsmod",
    "modinfo",
    "lsblk",
    "blkid",
    "df",
    "du",
    "free",
    "uptime",
    "whoami",
    "pwd",
    "readlink",
    "realpath",
    "basename",
    "dirname",
    "file",
    "dpkg-query",
    "apt-cache",
    "journalctl",
    "jq",
    "ping",
    "findmnt",
    "mountpoint",
    "nproc",
    "arch",
    "lscpu",
    "cd",
    "exit",
    "return",
    "read",
    "set",
    "shift",
    "trap",
    "export",
    "unset",
    "umask",
    "wait",
    "in",
    "case",
    "esac",
    "for",
    "done",
    "fi",
];

/// Words before the program's name.
const BEFORE: &[&str] = &[
    "sudo", "env", "nohup", "time", "exec", "command", "nice", "ionice", "setsid", "if", "then", "else", "elif", "do",
    "while", "until", "!",
];

/// Programs whose last word alone is where they put something.
const TO_THE_LAST: &[&str] = &["cp", "install", "ln", "rsync"];

/// Options whose path is read.
const READ_OPTIONS: &[&str] =
    &["--config", "--kubeconfig", "--cert", "--key", "--ca", "--from", "--reference", "--input"];

/// Of words that are a program and its arguments.
pub fn of_words(words: &[String], dir: Option<&str>) -> Reach {
    let mut reach = Reach::default();
    command(words, &mut dir.map(str::to_owned), &mut reach);
    reach
}

/// Of a shell's text.
pub fn of_shell(text: &str, dir: Option<&str>) -> Reach {
    let mut reach = Reach::default();
    let mut dir = dir.map(str::to_owned);
    for (words, targets) in simple_commands(text) {
        command(&words, &mut dir, &mut reach);
        for target in targets {
            reach.path(&absolute(&target, dir.as_deref()));
        }
    }
    reach
}

/// Whether all that a shell's text runs are programs that change nothing, as far as its words tell.
pub fn shell_only_looks(text: &str) -> bool {
    // What is substituted within quotes is not read.
    let hidden = text.contains('`') || text.contains("$(");
    let to_nowhere = |target: &String| target == "/dev/null";
    !hidden && simple_commands(text).iter().all(|(words, targets)| only_looks(words) && targets.iter().all(to_nowhere))
}

/// The same of one program with its arguments.
pub fn only_looks(words: &[String]) -> bool {
    let Some((program, rest)) = program_of(words) else { return true };
    match program {
        "systemctl" => matches!(
            rest.iter().find(|w| !w.starts_with('-')),
            Some(&("status" | "show" | "cat" | "is-active" | "is-enabled" | "is-failed" | "list-units"))
        ),
        // They can run programs and write files too.
        "awk" | "trap" | "read" => false,
        "sort" => !rest.iter().any(|w| w.starts_with("-o") || w.starts_with("--output")),
        _ => is_look(program, &rest),
    }
}

fn absolute(path: &str, dir: Option<&str>) -> String {
    match dir {
        Some(dir) if !path.starts_with('/') => {
            format!("{}/{}", dir.trim_end_matches('/'), path.trim_start_matches("./"))
        }
        _ => path.to_owned(),
    }
}

/// The program's name and its arguments, without what stands before it.
fn program_of(words: &[String]) -> Option<(&str, Vec<&str>)> {
    let is_assignment = |w: &str| {
        w.split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
    };
    let mut words = words.iter().map(String::as_str).skip_while(|w| BEFORE.contains(w) || is_assignment(w));
    let program = words.next()?;
    Some((program.rsplit('/').next().unwrap_or(program), words.collect()))
}

/// Programs that change nothing, called as they are.
fn is_look(program: &str, rest: &[&str]) -> bool {
    match program {
        "sed" => !rest.iter().any(|w| w.starts_with("-i") || w.starts_with("--in-place")),
        "find" => !rest.iter().any(|w| matches!(*w, "-delete" | "-exec" | "-execdir" | "-ok")),
        _ => LOOKS.contains(&program),
    }
}

/// One program with its arguments.
fn command(words: &[String], dir: &mut Option<String>, reach: &mut Reach) {
    let Some((program, rest)) = program_of(words) else { return };
    let plain = || rest.iter().copied().filter(|w| !w.starts_with('-'));
    match program {
        "cd" => {
            if let Some(to) = plain().next() {
                *dir = Some(absolute(to, dir.as_deref()));
            }
        }
        "systemctl" => systemctl(&rest, reach),
        "service" | "rc-service" => {
            if let [name, verb, ..] = rest[..] {
                unit(name, verb, reach);
            }
        }
        "useradd" | "adduser" | "usermod" | "userdel" | "deluser" | "groupadd" | "addgroup" | "groupmod"
        | "groupdel" | "delgroup" | "gpasswd" | "passwd" | "chage" => reach.accounts.extend(plain().map(str::to_owned)),
        "apt" | "apt-get" | "aptitude" | "dnf" | "yum" | "microdnf" | "zypper" | "apk" | "pacman" => {
            reach.packages.extend(
                plain()
                    .skip(usize::from(program != "pacman"))
                    .map(|p| p.split(['=', '/']).next().unwrap_or(p).to_owned()),
            );
        }
        "dpkg" | "rpm"
            if rest.iter().any(|w| {
                w.starts_with("-i")
                    || w.starts_with("-U")
                    || *w == "--install"
                    || *w == "-P"
                    || *w == "-r"
                    || *w == "-e"
            }) =>
        {
            let name = |p: &str| {
                let file = p.rsplit('/').next().unwrap_or(p);
                file.split(['_']).next().unwrap_or(file).to_owned()
            };
            reach.packages.extend(plain().map(name));
        }
        "dpkg" | "rpm" => {}
        program if is_look(program, &rest) => {}
        program if TO_THE_LAST.contains(&program) => {
            if let Some(last) = plain().next_back() {
                reach.path(&absolute(last, dir.as_deref()));
            }
        }
        _ => paths_of(program, &rest, dir.as_deref(), reach),
    }
}

/// The paths among the arguments; where there is none, the folder it runs in.
fn paths_of(program: &str, words: &[&str], dir: Option<&str>, reach: &mut Reach) {
    let before = reach.paths.len();
    let mut read_next = false;
    let mut relative = matches!(program, "make" | "tar" | "unzip" | "git" | "configure") || words.is_empty();
    for word in words {
        let reads = READ_OPTIONS.iter().any(|o| word.starts_with(o));
        if std::mem::take(&mut read_next) {
            continue;
        }
        if reads {
            read_next = !word.contains('=');
            continue;
        }
        let value = match word.split_once('=') {
            Some((option, value)) if option.starts_with('-') => value,
            _ => word,
        };
        if value.starts_with('/') {
            reach.path(value);
        } else if !word.starts_with('-') && dir.is_some() && value.contains(['/', '.']) {
            reach.path(&absolute(value, dir));
        } else {
            relative |= matches!(program, "touch" | "mkdir" | "rm" | "mv" | "tee");
            if relative && !word.starts_with('-') && dir.is_some() {
                reach.path(&absolute(value, dir));
            }
        }
    }
    if let Some(dir) = dir.filter(|_| reach.paths.len() == before) {
        reach.path(dir);
    }
}

fn systemctl(words: &[&str], reach: &mut Reach) {
    let mut plain = words.iter().copied().filter(|w| !w.starts_with('-'));
    let Some(verb) = plain.next() else { return };
    for name in plain {
        unit(name, verb, reach);
    }
}

fn unit(name: &str, verb: &str, reach: &mut Reach) {
    let runs = match verb {
        "start" | "restart" | "reload" | "reload-or-restart" | "force-reload" => true,
        "stop" | "kill" | "enable" | "disable" | "mask" | "unmask" | "try-restart" | "condrestart" | "isolate"
        | "reset-failed" => false,
        _ => return,
    };
    let full = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
    reach.units.push((full, runs));
}

/// A shell's text as simple commands: the words of each, and what output is redirected to. Quotes are honoured; what is substituted
/// counts as commands too.
fn simple_commands(text: &str) -> Vec<(Vec<String>, Vec<String>)> {
    #[derive(PartialEq)]
    enum Next {
        Word,
        Target,
        Source,
    }
    let mut found = vec![];
    let (mut words, mut targets): (Vec<String>, Vec<String>) = (vec![], vec![]);
    let mut word: Option<String> = None;
    let mut next = Next::Word;
    let mut chars = text.chars().peekable();
    macro_rules! end_word {
        () => {
            if let Some(word) = word.take() {
                match std::mem::replace(&mut next, Next::Word) {
                    Next::Word => words.push(word),
                    Next::Target => targets.push(word),
                    Next::Source => {}
                }
            }
        };
    }
    macro_rules! end_command {
        () => {
            end_word!();
            if !words.is_empty() || !targets.is_empty() {
                found.push((std::mem::take(&mut words), std::mem::take(&mut targets)));
            }
        };
    }
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next().filter(|c| *c != '\n')),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                for inner in chars.by_ref() {
                    if inner == c {
                        break;
                    }
                    word.push(inner);
                }
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '>' => {
                // `2>`: the number is none of the words.
                if word.as_ref().is_some_and(|w| w.chars().all(|c| c.is_ascii_digit())) {
                    word = None;
                }
                end_word!();
                while chars.next_if(|c| matches!(c, '>' | '|')).is_some() {}
                next = Next::Target;
                if chars.next_if_eq(&'&').is_some() {
                    while chars.next_if(|c| c.is_ascii_digit() || *c == '-').is_some() {}
                    next = Next::Word;
                }
            }
            '<' => {
                end_word!();
                while chars.next_if(|c| matches!(c, '<' | '-')).is_some() {}
                next = Next::Source;
            }
            ';' | '|' | '&' | '\n' | '(' | ')' | '`' => {
                end_command!();
            }
            '$' if chars.peek() == Some(&'(') => {
                end_command!();
            }
            c if c.is_whitespace() => {
                end_word!();
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    end_command!();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Vec<String> {
        of_shell(text, None).paths
    }

    fn words(text: &str, dir: Option<&str>) -> Reach {
        of_words(&text.split(' ').map(str::to_owned).collect::<Vec<_>>(), dir)
    }

    #[test]
    fn a_shell_names_what_it_writes() {
        assert_eq!(shell("echo hi > /etc/motd"), ["/etc/motd"]);
        assert_eq!(
            shell("cat /etc/a | sort>>/etc/b 2>/dev/null; test -e /etc/c && rm -rf '/opt/d e/'"),
            ["/etc/b", "/opt/d e"]
        );
        assert_eq!(shell("cd /opt && ./configure >log 2>&1"), ["/opt", "/opt/log"]);
        assert_eq!(
            shell("x=$(cat /etc/a); kubeadm init --config /etc/k.yml --cert-dir=/etc/pki # /etc/no"),
            Vec::<String>::new()
        );
        assert_eq!(shell("grep -q x /etc/fstab || mount /mnt/data"), ["/mnt/data"]);
        assert_eq!(shell("find /var/log -name '*.gz'"), Vec::<String>::new());
        assert_eq!(shell("find /var/log -name '*.gz' -delete"), ["/var/log"]);
        assert_eq!(shell("sed -i s/a/b/ /etc/x; sed s/a/b/ /etc/y"), ["/etc/x"]);
    }

    #[test]
    fn programs_that_only_look_are_told_from_others() {
        for text in ["echo hi", "cat /etc/a | grep -q x 2>/dev/null && echo y", "systemctl is-active x; sed -n 1p /a"] {
            assert!(shell_only_looks(text), "{text}");
        }
        for text in [
            "echo hi > /etc/motd",
            "echo \"$(rm -rf /opt)\"",
            "kubelet --version",
            "systemctl daemon-reload",
            "sed -i s/a/b/ x",
        ] {
            assert!(!shell_only_looks(text), "{text}");
        }
    }

    #[test]
    fn a_command_touches_what_it_names() {
        assert_eq!(words("/bin/mv /a/b /a/c", None).paths, ["/a/b", "/a/c"]);
        assert_eq!(words("cp /a/b /a/c", None).paths, ["/a/c"]);
        assert_eq!(words("touch x", Some("/opt")).paths, ["/opt/x"]);
        assert_eq!(words("make install", Some("/opt/src")).paths, ["/opt/src/install"]);
        assert_eq!(words("sudo env A=b useradd -m kube", None).accounts, ["kube"]);
        assert_eq!(words("apt-get -y install nginx=1.2", None).packages, ["nginx"]);
        assert_eq!(words("dpkg -i /tmp/nginx_1.2_amd64.deb", None).packages, ["nginx"]);
        assert_eq!(
            words("systemctl --now enable a b.socket", None).units,
            [("a.service".into(), false), ("b.socket".into(), false)]
        );
        assert_eq!(words("service nginx restart", None).units, [("nginx.service".into(), true)]);
        assert!(words("systemctl status nginx", None).is_empty() && words("dpkg -l nginx", None).is_empty());
        assert!(words("kubelet --version", None).is_empty());
    }
}
