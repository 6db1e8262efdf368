//! Debian's order of versions.

/// Order of two Debian versions, as dpkg compares them.
pub fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    let split = |v: &str| -> (u64, String, String) {
        let (epoch, rest) = v.split_once(':').map_or((0, v), |(e, r)| (e.parse().unwrap_or(0), r));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream.to_owned(), revision.to_owned())
    };
    let (ea, ua, ra) = split(a);
    let (eb, ub, rb) = split(b);
    ea.cmp(&eb).then_with(|| compare_part(&ua, &ub)).then_with(|| compare_part(&ra, &rb))
}

fn compare_part(a: &str, b: &str) -> std::cmp::Ordering {
    // `~` sorts before everything, even the end; letters before other characters.
    fn weight(c: Option<&u8>) -> i32 {
        match c {
            Some(b'~') => -1,
            None => 0,
            Some(c) if c.is_ascii_digit() => 0,
            Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
            Some(c) => i32::from(*c) + 256,
        }
    }
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit()) {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order.is_ne() {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
        let (da, db) = (digits(a), digits(b));
        let strip = |s: &[u8]| s.iter().position(|c| *c != b'0').map_or(vec![], |i| s[i..].to_vec());
        let (na, nb) = (strip(&a[..da]), strip(&b[..db]));
        let order = na.len().cmp(&nb.len()).then_with(|| na.cmp(&nb));
        if order.is_ne() {
            return order;
        }
        a = &a[da..];
        b = &b[db..];
    }
    std::cmp::Ordering::Equal
}
