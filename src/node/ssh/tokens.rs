//! The `%` tokens of OpenSSH's configuration, which `ssh -G` leaves in names of files.

use sha1::Digest;

/// What the tokens stand for.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// `%d`
    pub home: String,
    /// `%h`: the resolved host name
    pub host: String,
    /// `%n`: as it was asked for
    pub name: String,
    /// `%p`
    pub port: u16,
    /// `%r`: the user there
    pub user: String,
    /// `%k`: HostKeyAlias, or the host
    pub alias: Option<String>,
    /// `%j`
    pub jump: String,
}

impl Tokens {
    /// The text with every known token replaced; an unknown one stays.
    pub fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let mut after = rest[at + 1..].chars();
            let token = after.next();
            match token {
                Some('%') => out.push('%'),
                Some('d') => out.push_str(&self.home),
                Some('h') => out.push_str(&self.host),
                Some('n') => out.push_str(&self.name),
                Some('p') => out.push_str(&self.port.to_string()),
                Some('r') => out.push_str(&self.user),
                Some('k') => out.push_str(self.alias.as_ref().unwrap_or(&self.host)),
                Some('j') => out.push_str(&self.jump),
                Some('u') => out.push_str(&super::config::own_name()),
                Some('i') => out.push_str(&rustix::process::getuid().as_raw().to_string()),
                Some('l') => out.push_str(&node_name()),
                Some('L') => out.push_str(node_name().split('.').next().unwrap_or_default()),
                Some('C') => out.push_str(&self.connection()),
                other => {
                    out.push('%');
                    out.extend(other);
                }
            }
            rest = after.as_str();
        }
        out + rest
    }

    /// `%C`: a hash of `%l%h%p%r%j`.
    fn connection(&self) -> String {
        let text = format!("{}{}{}{}{}", node_name(), self.host, self.port, self.user, self.jump);
        hex::encode(sha1::Sha1::digest(text))
    }
}

/// This machine's own name.
fn node_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|n| n.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced() {
        let tokens = Tokens {
            home: "/home/me".into(),
            host: "10.0.0.1".into(),
            name: "w1".into(),
            port: 2200,
            user: "bob".into(),
            ..Tokens::default()
        };
        assert_eq!(tokens.expand("%d/.ssh/%n-%h-%p-%r-%k-%%-%y%"), "/home/me/.ssh/w1-10.0.0.1-2200-bob-10.0.0.1-%-%y%");
        assert_eq!(tokens.expand("%C").len(), 40);
    }
}
