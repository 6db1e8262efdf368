"""Writes dumps.json: how ansible-core's to_yaml and to_nice_yaml write values of all kinds (random, with a fixed seed).

Run it with a Python that has ansible-core 2.19: python generate_dumps.py > dumps.json
"""
import json
import random
import sys

from ansible.plugins.filter.core import to_nice_yaml, to_yaml

r = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 20261121)
count = int(sys.argv[2]) if len(sys.argv) > 2 else 400
words = ["a", "word", "yes", "no", "null", "5", "0x1F", "1e3", "1.0", "~", "", " ", "  ", "it's", 'say "x"', "a: b", "a:b", "#x", " # y", "- z", "-", "?", "? x", ":", "x:", "{", "}", "[q]", ",", "&a",
         "*a", "!t", "|", ">", "%", "@", "`", "é", "日本語", "🎉", "\t", "\n", "\n\n", "\n ", " \n", "\r\n", "\x07", "\x85", "\u2028", "\xa0", "\ufeff", "\\", "\\n", "=", "<<", "2001-01-01", "12:30:45", "...", "---", "/usr/local/bin",
         "--cgroup-driver=systemd", "http://x/y?z=1#w", "{{ v }}", "key=value", "100%", "longer-than-most-words-in-here", "x" * 50]


def text():
    k = r.random()
    if k < 0.5:
        return r.choice(words)
    if k < 0.8:
        return " ".join(r.choice(words) for _ in range(r.randint(1, 6)))
    if k < 0.9:
        return "".join(r.choice(words) for _ in range(r.randint(1, 6)))
    return r.choice([" ", "  ", "\n", " "]).join(r.choice(words) for _ in range(r.randint(10, 60)))


def scalar():
    k = r.random()
    if k < 0.7:
        return text()
    return r.choice([None, True, False, 0, 1, -5, 123456789, 2**63, 1.5, -0.0, 1e20, 1e-7, 123456789.123, 1e16, 1e15, 0.0001, 0.00001, 3.14, 1.5e300, float("inf"), float("-inf")])


def key():
    return r.choice([text, text, text, lambda: r.choice([1, 2, 3, True, None, 1.5])])() if r.random() < 0.2 else text()


def value(depth):
    k = r.random()
    if depth == 0 or k < 0.5:
        return scalar()
    if k < 0.75:
        return [value(depth - 1) for _ in range(r.randint(0, 4))]
    return {key(): value(depth - 1) for _ in range(r.randint(0, 4))}


def pairs(v):
    """JSON has only text keys and no inf: maps as lists of pairs, floats by name."""
    if isinstance(v, dict):
        return {"map": [[pairs(k), pairs(x)] for k, x in v.items()]}
    if isinstance(v, list):
        return {"list": [pairs(x) for x in v]}
    if isinstance(v, float):
        return {"float": repr(v)}
    if isinstance(v, int) and not isinstance(v, bool):
        return {"int": str(v)}
    return v


out = []
for _ in range(count):
    v = value(r.randint(0, 4))
    o = {}
    if r.random() < 0.3:
        o["indent"] = r.randint(1, 10)
    if r.random() < 0.3:
        o["width"] = r.choice([-1, 3, 10, 20, 40, 120, 1000])
    if r.random() < 0.2:
        o["sort_keys"] = False
    if r.random() < 0.2:
        o["default_flow_style"] = r.choice([True, False, None])
    if r.random() < 0.15:
        o["default_style"] = r.choice(["'", '"', "|", ">"])
    if r.random() < 0.2:
        o["explicit_start"] = True
    if r.random() < 0.1:
        o["explicit_end"] = True
    nice = r.random() < 0.5
    out.append(json.dumps({"value": pairs(v), "nice": nice, "options": o, "text": (to_nice_yaml if nice else to_yaml)(v, **o)}))
print("[\n" + ",\n".join(out) + "\n]")
