//! Symbolic file modes (`u=rw,g=r,o=`, `a+X`, `g+s`), read as Ansible reads them.
//!
//! The value of a symbolic mode depends on the mode a file has; every resource evaluates it here against the observed mode.

use crate::problem::Problem;
use crate::resources::{Args, ModeSpec};

/// What a symbolic mode makes of `current`. `Err`: what is wrong with the text.
pub fn evaluate(symbolic: &str, current: u32, is_dir: bool, umask: u32) -> Result<u32, String> {
    let mut mode = current & 0o7777;
    for clause in symbolic.split(',') {
        let at = clause.find(['+', '-', '=']).ok_or_else(|| format!("bad symbolic permission for mode: {clause}"))?;
        let users = &clause[..at];
        // Without `u`, `g`, `o` or `a` the umask limits what is set; with `a` it does not.
        let limit = if users.is_empty() { !umask } else { !0 };
        let users = match users {
            "" | "a" => "ugo",
            given => given,
        };
        if users.chars().any(|c| !"ugo".contains(c)) {
            return Err(format!("bad symbolic permission for mode: {clause}"));
        }
        let mut rest = &clause[at..];
        while !rest.is_empty() {
            let operator = rest.as_bytes()[0];
            let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |i| i + 1);
            let perms = &rest[1..end];
            rest = &rest[end..];
            if perms.chars().any(|c| !"rwxXstugo".contains(c)) {
                return Err(format!("bad symbolic permission for mode: {clause}"));
            }
            for user in users.chars() {
                let bits = perms.chars().fold(0, |all, p| all | bits_of(user, p, mode, is_dir, limit));
                mode = match operator {
                    b'=' => (mode & !mask_of(user)) | bits,
                    b'+' => mode | bits,
                    _ => mode & !bits,
                };
            }
        }
    }
    Ok(mode)
}

/// True if the text is a symbolic mode at all.
pub fn check(symbolic: &str) -> Result<(), String> {
    evaluate(symbolic, 0, false, 0o022).map(|_| ())
}

fn shift_of(user: char) -> u32 {
    match user {
        'u' => 6,
        'g' => 3,
        _ => 0,
    }
}

fn mask_of(user: char) -> u32 {
    match user {
        'u' => 0o4700,
        'g' => 0o2070,
        _ => 0o1007,
    }
}

fn bits_of(user: char, perm: char, mode: u32, is_dir: bool, limit: u32) -> u32 {
    let shift = shift_of(user);
    match perm {
        'r' => (4 << shift) & limit,
        'w' => (2 << shift) & limit,
        'x' => (1 << shift) & limit,
        'X' if is_dir || mode & 0o111 != 0 => 1 << shift,
        's' if user == 'u' => 0o4000,
        's' if user == 'g' => 0o2000,
        't' if user == 'o' => 0o1000,
        'u' | 'g' | 'o' => ((mode >> shift_of(perm)) & 7) << shift,
        _ => 0,
    }
}

/// The `mode` of a file that a resource writes itself; 0644 where none was asked for.
pub fn octal(args: &Args) -> Result<u32, Problem> {
    match args.mode("mode")? {
        None => Ok(0o644),
        Some(ModeSpec::Octal(mode)) => Ok(mode),
        Some(ModeSpec::Symbolic(_)) => Err(Problem::unsupported("a symbolic mode here").at(args.span("mode"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses() {
        assert_eq!(evaluate("u=rw,g=r,o=", 0o777, false, 0o022), Ok(0o640));
        assert_eq!(evaluate("a+X", 0o644, false, 0o022), Ok(0o644));
        assert_eq!(evaluate("a+X", 0o744, false, 0o022), Ok(0o755));
        assert_eq!(evaluate("u=rwX,go=rX", 0o600, true, 0o022), Ok(0o755));
        assert_eq!(evaluate("g+s,o+t", 0o755, true, 0o022), Ok(0o3755));
        assert_eq!(evaluate("u-x+w", 0o544, false, 0o022), Ok(0o644));
        assert_eq!(evaluate("+w", 0o444, false, 0o022), Ok(0o644));
        assert_eq!(evaluate("a+w", 0o444, false, 0o022), Ok(0o666));
        assert_eq!(evaluate("g=u", 0o700, false, 0o022), Ok(0o770));
        assert!(evaluate("u=q", 0, false, 0).is_err());
        assert!(evaluate("rw", 0, false, 0).is_err());
        assert!(evaluate("z+r", 0, false, 0).is_err());
    }

    proptest::proptest! {
        /// With explicit users a mode means to us what it means to chmod (which the node would run).
        #[test]
        fn agrees_with_chmod(start in 0u32..0o1000, clauses in proptest::collection::vec("[ugo]{1,2}[-+=][rwxX]{0,3}", 1..4), is_dir: bool) {
            use std::os::unix::fs::PermissionsExt;
            let symbolic = clauses.join(",");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            if is_dir { std::fs::create_dir(&path).unwrap() } else { std::fs::write(&path, "").unwrap() }
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(start)).unwrap();
            let ok = std::process::Command::new("chmod").arg("--").arg(&symbolic).arg(&path).status().unwrap().success();
            let real = std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            proptest::prop_assert!(ok);
            proptest::prop_assert_eq!(evaluate(&symbolic, start, is_dir, 0o022), Ok(real), "{} on {:o}", symbolic, start);
        }
    }
}
