use super::*;

fn sub(pattern: &str, replacement: &str, text: &str) -> String {
    PyRegex::new(pattern, Flags::default()).unwrap().subn(replacement, text, 0).unwrap().0
}

#[test]
fn substitutes_as_python_does() {
    assert_eq!(sub("x*", "-", "abxd"), "-a-b--d-");
    assert_eq!(sub(r"^(?P<k>\w+)=(.*)$", r"\g<k>: \2", "a=b\n"), "a: b\n");
    assert_eq!(sub("[[]", "<", "a[b"), "a<b");
    assert_eq!(sub("[]x]", "", "a]xb"), "ab");
    assert_eq!(sub("{{(.*?)}}", r"<\1>", "a{{b}}"), "a<b>");
    assert_eq!(sub(r"(a)?b", r"[\1]", "ab b"), "[a] []");
    assert_eq!(sub(r"\.", r"\\.", "a.b"), r"a\.b");
    assert_eq!(sub(r"a{,2}", "x", "aaa"), "xxx");
    assert_eq!(sub(r"(?<=\d)(?=(\d{3})+\b)", ",", "1234567"), "1,234,567");
    assert_eq!(sub(r"[\w-]+", "x", "a-b c"), "x x");
    assert_eq!(sub(r"(\w)\1", "<\\1>", "aabc"), "<a>bc");
}

#[test]
fn dollar_matches_before_a_final_newline_only() {
    let re = PyRegex::new("a$", Flags::default()).unwrap();
    assert!(re.is_match("a\n").unwrap());
    assert!(!re.is_match("a\n\n").unwrap());
    assert!(!re.is_match("a\nb").unwrap());
    assert!(PyRegex::new("a$", Flags { multiline: true, ..Flags::default() }).unwrap().is_match("a\nb").unwrap());
    assert!(!PyRegex::new(r"a\Z", Flags::default()).unwrap().is_match("a\n").unwrap());
}

#[test]
fn refuses_what_python_refuses() {
    for pattern in ["(", ")", "[a", r"\q", "(?P<1>a)", "(?P<a>x)(?P<a>y)", r"\2(a)", "*"] {
        assert!(PyRegex::new(pattern, Flags::default()).is_err(), "{pattern}");
    }
    let re = PyRegex::new("(a)", Flags::default()).unwrap();
    for template in [r"\2", r"\q", r"\g<x>", "\\"] {
        assert!(re.subn(template, "a", 0).is_err(), "{template}");
    }
}
