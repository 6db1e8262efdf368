"""Writes golden.json: how ansible-core's YAML loader reads each text of the corpus.

Run it with a Python that has ansible-core 2.19: python generate.py > golden.json
"""
import datetime
import glob
import io
import itertools
import json
import os
import sys
import contextlib

from ansible.parsing.dataloader import DataLoader

here = os.path.dirname(os.path.abspath(__file__))

scalars = """
y n Y N yes No ON oFf On off true True TRUE tRue false null Null NULL nULL ~ none None
0 00 -0 +0 1 -1 +12 010 -017 0755 0644 08 09 0o644 0_7 0_ 0b101 0b1_0 0b2 0x1F 0x_1f 0xg 1_000 1__0_ _1 1e3 1E3 1e+5 1.0e5 1.0e+5
1.0E-3 1.e+5 1. .5 -.5 +.5 ._5 . .. 1.5 -1.5 +1.5 1_0.5_0 1.5.6 08.5 685_230.15 .inf -.inf +.inf .Inf .INF .iNf .nan .NaN -.nan
22:22 1:30 1:60 0:1 -1:30 1:30:00 190:20:30 190:20:30.15 1:2.5 1:2:59. 12:30:45 00:11:22:33:44:55 1:1:1:1 20:61
2001-12-14 2001-1-1 2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43Z 2001-01-01T10:10:10.5 2001-12-14t21:59:43.1234567Z 2001-13-45 2001-02-29
99999999999999999999 -99999999999999999999 18446744073709551616 9223372036854775807 -9223372036854775808 0x7fffffffffffffff
1.2.3.4 10.0.0.0/8 v1.2 1.25 1.30 1,000 1-2 - -- --- -x ?x !x &x *x @x `x %x |x >x ,x ]x }x [x {x #x x# =  == << < > a:b a=b a?b
fe80::1 ::1 1e 1e+ 0x 0b + - e1 infinity nan inf NaN 1_ 1_.5 12e03 0.1 0.10 100.0 1.0 3.14e+300 3.14e+400 1.7976931348623157e+308
0.30000000000000004 5e-324 123456789012345678 1.23456789012345678 !!str !unsafe 00001 0777 0888 01.5 -01 +01 -08 0.0 -0.0
""".split()

lines = [
    "2001-12-14 21:59:43", "2001-1-1 1:02:03 Z", "2001-01-01 10:10:10 +1", "2001-01-01 10:10:10 -01:30", "2001-01-01 25:10:10",
    "!!str 5", "!!int '5'", "!!int 0x1F", "!!int x", "!!int 1:30", "!!float 5", "!!float 1:30", "!!float x", "!!bool yes", "!!bool maybe",
    "!!null x", "!!str", "!!str yes", "!!timestamp 2001-01-01", "!!timestamp x", "! 5", "! ''", "!unsafe 5", "!unsafe yes", "!unsafe '{{ x }}'",
    "!unsafe [1, x]", "!unsafe {a: '{{ b }}'}", "!unsafe", "!foo x", "!!foo x", "!<tag:yaml.org,2002:str> 5", "!!seq [1]", "!!map {a: 1}",
    "!!seq {a: 1}", "!!map [1]", "!!map x", "!!str {x: 1}", "!!str [1]",
    "'yes'", '"yes"', "'it''s'", '"\\x41\\u0041\\U00000041"', '"a\\tb\\n\\\\\\"\\/"', '"\\e\\0\\a\\b\\v\\f\\r\\N\\_\\L\\P"', '"\\z"', "''", '""',
    '"a\n  b\n\n  c"', "'a\n  b\n\n\n  c'", "a\n  b\n\n  c", '"a \\\n   b"', '"a\\  \n   b"', '"a  \n   b  "', "a # c", "a#c", "'a'#c", "a: b", "a : b", "'a': b",
    "[a, b]", "[a, b,]", "[a, , b]", "[]", "{}", "{a, b}", "{a: 1, b}", "{a:1}", "{'a':1}", '{"a":1}', "[a: b]", "[a: b, c]", "[{a: b}]", "[a\n b]",
    "{a: [1, {b: c}]}", "[1, 2", "{a: 1", "[}", "{]", "{,}", "[,]", "{{ x }}", "{{ x }}/y", "x {{ y }}", "'{{ x }}'", "{% if x %}", "{a: {{ x }}}",
    "|\n  a\n   b\n\n  c\n", "|-\n  a\n\n", "|+\n  a\n\n", ">\n  a\n  b\n\n  c\n   d\n   e\n  f\n", ">-\n  a\n  b", ">+\n  a\n\n\n", "|2\n    a\n   b\n", "|2-\n    a",
    "|\n\n  a\n", ">\n\n  a\n\n\n  b\n", "|\n", "|-\n", "|\n \n  a\n", ">\n  a\n   - b\n   - c\n  d\n", "|\n  a\n b\n", "|\n\ta\n", "|\n  \ta\n", ">\n  a  \n  b\n", "|  # comment\n  a",
    "|x\n  a", "|0\n  a", ">2\n    a\n    b\n", "|\n  a # b\n# c\n", ">-\n  {{ a\n  | b }}\n", ">\n  a\\\n  b\n",
    "&a x", "&a [1, 2]", "*a", "&a", "&a &b x", "x y z", "x, y", "x: y: z", "- a", "a - b", "a -b", "\ta", "a\tb", "a\t# c", "é ü 日本 🎉", "a\u00a0b", "'a' b", "a 'b'", "a\"b",
]

documents = [
    "", "\n", "# c\n", "---\n", "--- a\n...\n", "a", "- a\n- b\n", "- a\n-b\n", "-a\n-b\n", "- - a\n  - b\n- c\n", "-\n  a\n-\n", "- a: 1\n  b: 2\n-\n  a: 3\n",
    "a: 1\nb: 2\n", "a:\n- 1\n- 2\nb: 3\n", "a:\n  - 1\n - 2\n", "a:\n    b: 1\n  c: 2\n", "a:\n  b: 1\n    c: 2\n", "a: x\n  y: z\n", "a: x\n  y\n", "a: x\ny\n", "x\ny: 1\n",
    "a: 1\na: 2\n", "1: a\n'1': b\n", "1: a\ntrue: b\n1.0: c\n", "yes: a\nno: b\n", "null: a\n~: b\n", "? a\n: b\n", "? a\n", "? [a]\n: b\n", "? {a: b}\n: c\n", "? |\n  x\n: y\n",
    "a: &x 1\nb: *x\n", "a: &x {p: 1}\nb: *x\nc: *x\n", "a: &x 1\nb: &x 2\n", "a: *x\nb: &x 1\n", "a: &x [*x]\n", "&k a: 1\nb: *k\n", "*k : 1\n",
    "b: &b {x: 1, y: 2}\na:\n  <<: *b\n  y: 3\n  z: 4\n", "b: &b {x: 1}\nc: &c {x: 2, y: 3}\na:\n  z: 0\n  <<: [*b, *c]\n", "a:\n  y: 1\n  <<: {y: 2, z: 3}\n",
    "a:\n  <<: {x: 1}\n  <<: {x: 2, y: 2}\n", "a: {<<: 5}\n", "a: {<<: [1]}\n", "a: {'<<': {x: 1}}\n", "a: {<<: null}\n", "a: {<<: []}\n", "a: [<<]\n", "<<: {a: 1}\n",
    "b: &b\n  <<: {p: 1}\n  q: 2\na:\n  <<: *b\n  r: 3\n", "a: {<<: {1: x}, true: y}\n",
    "%YAML 1.1\n---\na: yes\n", "%YAML 1.2\n---\na: yes\n", "%TAG !e! tag:yaml.org,2002:\n---\na: !e!str 5\n", "a: 1\n---\nb: 2\n", "a: 1\n...\n", "...\n", "a: 1\n--- \n",
    "a: 5\r\nb: |\r\n  x\r\n  y\r\n", "\ufeffa: 1\n", "a:\n\t- b\n", "a:\n  b: 1\n\tc: 2\n", "a: \tb\n", "a:\tb\n", "a: b\t\n", "a: 'x\n", "a: \"x\n", "a: \"x\u0001\"\n",
    "[1e3]", "[1e3,]", '{"a": 1e3, "b": "\\ud83d\\ude00", "a": 2}', '{"a": [true, null, 1, 1.0, -2]}', '{\n\t"a": 1\n}', '{"a": yes}', '{"a": "x\\/y"}', '[\n{"x": 1},\n{"x": 2}\n]\n', '"x"', "1e3",
    "a: [\n  1,\n  2\n]\nb: {\n  c: d,\n}\n", "a: [\n1,\n2\n]\n", "key: {\n}\n", "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3030\n",
    "a: >-\n  b\n\n\n  c\n\n   d\n\n  e\n", "a: b # c\n# d\n   # e\nf: g\n", "a:\n# c\n  b: 1\n # d\n  e: 2\n", "a:\n  - b\n  # c\n  - d\n", "a: 'b'\n'c': \"d\"\n\"e\" : f\n", "a: - b\n", "a: @b\n", "a: `b\n", "a: %b\n",
    "- name: x\n  shell: >\n    a b\n    c\n  args:\n    chdir: /\n", "- a: {b: c}\n  d: [e]\n", "a:\n- b:\n  - c\n- d\n", "a: ? b\n", "a: -\n", "a: - \n", "- \n- \n", "a:\n\nb:\n", "a: b:\n", "a:: b\n", "a:b: c\n", ": a\n", "{: a}\n",
]


def shape(value):
    if value is None:
        return {"null": None}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(int(value))}
    if isinstance(value, float):
        return {"float": repr(float(value))}
    if isinstance(value, str):
        return {"str": str.__str__(value)}
    if isinstance(value, (datetime.date, datetime.datetime)):
        return {"str": str(value)}
    if isinstance(value, (list, tuple)):
        return {"list": [shape(v) for v in value]}
    if isinstance(value, dict):
        return {"map": [[shape(k), shape(v)] for k, v in value.items()]}
    if type(value).__name__ == "EncryptedString":
        return {"vault": value._ciphertext}
    raise TypeError(type(value))


def read(text):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            return {"text": text, "value": shape(DataLoader().load(text))}
        except RecursionError:
            return {"text": text, "error": True}
        except Exception:
            return {"text": text, "error": True}


texts = documents + ["a: " + s + "\nb: 1\n" for s in scalars + lines] + ["- " + s + "\n- 1\n" for s in scalars + lines] + ["[" + s + ", 1]\n" for s in scalars]
texts += [s + ": 1\n" for s in scalars]
seen = set()
out = []
for text in texts:
    if text not in seen:
        seen.add(text)
        out.append(json.dumps(read(text)))
print("[\n" + ",\n".join(out) + "\n]")
