use super::*;
use proptest::prelude::*;

type Row = (&'static str, Read, Read);
type Read = Option<(&'static [(&'static str, &'static str)], Option<&'static str>)>;

/// Text, what ansible-core 2.19's `parse_kv` makes of it, and what it makes of it for a command.
#[rustfmt::skip]
const ORACLE: &[Row] = &[
    ("echo a \\ b   \"c  d\" x=1 chdir=/tmp creates='/no pe'",
        Some((&[("x", "1"), ("chdir", "/tmp"), ("creates", "/no pe")], Some("echo a b   \"c  d\""))),
        Some((&[("chdir", "/tmp"), ("creates", "/no pe")], Some("echo a b   \"c  d\" x=1")))),
    ("echo a \\\n  b \\\n  c\n",
        Some((&[], Some("echo a  b  c\n"))),
        Some((&[], Some("echo a  b  c\n")))),
    ("echo a \\\n  b\n# creates=/etc/passwd\necho z \\\n",
        Some((&[("creates", "/etc/passwd")], Some("echo a  b\n# echo z"))),
        Some((&[("creates", "/etc/passwd")], Some("echo a  b\n# echo z")))),
    ("echo \"{{ 'a b' }}\" {{ 1 + 2 }}  x\\=1 \"q\\\"t\" 'it''s' \\n \\\\ a\\ b",
        Some((&[], Some("echo \"{{ 'a b' }}\" {{ 1 + 2 }}  x=1 \"q\\\"t\" 'it''s' \\n \\\\ a\\ b"))),
        Some((&[], Some("echo \"{{ 'a b' }}\" {{ 1 + 2 }}  x=1 \"q\\\"t\" 'it''s' \\n \\\\ a\\ b")))),
    ("src=a dest=b mode=0644",
        Some((&[("src", "a"), ("dest", "b"), ("mode", "0644")], None)),
        Some((&[], Some("src=a dest=b mode=0644")))),
    ("msg=\"a=b c\"",
        Some((&[("msg", "a=b c")], None)),
        Some((&[], Some("msg=\"a=b c\"")))),
    ("msg={{ 'x  y' }} verbosity=0",
        Some((&[("msg", "{{ 'x  y' }}"), ("verbosity", "0")], None)),
        Some((&[], Some("msg={{ 'x  y' }} verbosity=0")))),
    ("msg='a' b",
        Some((&[("msg", "a")], Some("b"))),
        Some((&[], Some("msg='a' b")))),
    ("b",
        Some((&[], Some("b"))),
        Some((&[], Some("b")))),
    ("a=1 b=\"x y\"",
        Some((&[("a", "1"), ("b", "x y")], None)),
        Some((&[], Some("a=1 b=\"x y\"")))),
    ("a=b=c",
        Some((&[("a", "b=c")], None)),
        Some((&[], Some("a=b=c")))),
    ("a = b",
        Some((&[], Some("a = b"))),
        Some((&[], Some("a = b")))),
    ("=x",
        Some((&[], Some("=x"))),
        Some((&[], Some("=x")))),
    ("x=",
        Some((&[("x", "")], None)),
        Some((&[], Some("x=")))),
    ("x='",
        None,
        None),
    ("x=\"a",
        None,
        None),
    ("{{ a",
        None,
        None),
    ("{{ a }} b={{ c }}d",
        Some((&[("b", "{{ c }}d")], Some("{{ a }}"))),
        Some((&[], Some("{{ a }} b={{ c }}d")))),
    ("{% if x %} a=b {% endif %} c=d",
        Some((&[("a", "b"), ("c", "d")], Some("{% if x %} {% endif %}"))),
        Some((&[], Some("{% if x %} a=b {% endif %} c=d")))),
    ("  lead  two  ",
        Some((&[], Some("  lead  two  "))),
        Some((&[], Some("  lead  two  ")))),
    ("a\tb c",
        Some((&[], Some("a\tb c"))),
        Some((&[], Some("a\tb c")))),
    ("\n\na=1\n\nb=2\n",
        Some((&[("a", "1"), ("b", "2")], Some("\n\n"))),
        Some((&[], Some("\n\na=1\n\nb=2\n")))),
    ("msg=\\\"hi\\\"",
        Some((&[("msg", "hi")], None)),
        Some((&[], Some("msg=\\\"hi\\\"")))),
    ("path=C:\\\\new\\t",
        Some((&[("path", "C:\\new")], None)),
        Some((&[], Some("path=C:\\\\new\\t")))),
    ("creates=/x /bin/foo a=b warn=no",
        Some((&[("creates", "/x"), ("a", "b"), ("warn", "no")], Some("/bin/foo"))),
        Some((&[("creates", "/x"), ("warn", "no")], Some("/bin/foo a=b")))),
    ("a='x' 'y'",
        Some((&[("a", "x")], Some("'y'"))),
        Some((&[], Some("a='x' 'y'")))),
    ("a=''b''",
        Some((&[("a", "'b'")], None)),
        Some((&[], Some("a=''b''")))),
    ("{# c d #} e",
        Some((&[], Some("{# c d #} e"))),
        Some((&[], Some("{# c d #} e")))),
    ("a=\"b 'c d' e\" f",
        Some((&[("a", "b 'c d' e")], Some("f"))),
        Some((&[], Some("a=\"b 'c d' e\" f")))),
    ("x\\=1=2",
        Some((&[("x\\=1", "2")], None)),
        Some((&[], Some("x\\=1=2")))),
    ("stdin='a b' cat",
        Some((&[("stdin", "a b")], Some("cat"))),
        Some((&[("stdin", "a b")], Some("cat")))),
    ("free chdir=/a b chdir=/c",
        Some((&[("chdir", "/c")], Some("free b"))),
        Some((&[("chdir", "/c")], Some("free b")))),
    ("\\",
        Some((&[], None)),
        Some((&[], None))),
    ("\\ a",
        Some((&[], Some("a"))),
        Some((&[], Some("a")))),
    ("a \\",
        Some((&[], Some("a"))),
        Some((&[], Some("a")))),
    ("\"a b\"=c",
        Some((&[("\"a b\"", "c")], None)),
        Some((&[], Some("\"a b\"=c")))),
    ("echo 'a\n b' c",
        Some((&[], Some("echo 'a\n b' c"))),
        Some((&[], Some("echo 'a\n b' c")))),
    ("echo \"a \\\n b\" c",
        Some((&[], Some("echo \"a \\\n b\" c"))),
        Some((&[], Some("echo \"a \\\n b\" c")))),
    ("é=ü ñ",
        Some((&[("é", "ü")], Some("ñ"))),
        Some((&[], Some("é=ü ñ")))),
];

#[test]
fn reads_as_ansible_does() {
    for (text, plain, command) in ORACLE {
        for (wanted, command_like) in [(plain, false), (command, true)] {
            let wanted = wanted.map(|(pairs, free)| FreeForm {
                pairs: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                free: free.map(str::to_owned),
            });
            assert_eq!(parse(text, command_like).ok(), wanted, "{text:?}, command-like: {command_like}");
        }
    }
}

proptest! {
    #[test]
    fn never_panics_and_keeps_plain_words(text in "[-a-z/ '\"{}%#=\\\\\n]{0,40}", words in prop::collection::vec("[-a-z/.]{1,8}", 1..6)) {
        let _ = parse(&text, true);
        let line = words.join(" ");
        prop_assert_eq!(parse(&line, true).unwrap().free, Some(line));
    }
}
