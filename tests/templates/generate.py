#!/usr/bin/env python3
"""Writes the golden values beside the template cases: what ansible-core makes of each of them.

Needs a Python that has ansible-core 2.19; the tests themselves don't. Run it after changing a *.yml file:
    PYTHON tests/templates/generate.py
"""
import json
import os
import pathlib

import yaml

HERE = pathlib.Path(__file__).parent
# One environment for all: lookups and `now` must not depend on who runs it.
os.environ["KDEPLOY_GOLDEN"] = "golden"

from ansible.errors import AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
import ansible.template as at


def trusted(value):
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {k: trusted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [trusted(v) for v in value]
    return value


def outcome(run):
    try:
        value = run()
        text = json.dumps(value, allow_nan=False)
        return {"value": json.loads(text)}
    except Exception as error:  # every kind of failure is a result here
        kind = type(error).__name__
        if isinstance(error, AnsibleUndefinedVariable):
            return {"error": "undefined"}
        if "Omit" in kind:
            return {"error": "omit"}
        return {"error": "failed"}


def main():
    for path in sorted(HERE.glob("*.yml")):
        cases = yaml.safe_load(path.read_text())
        variables = cases.get("vars", {})
        golden = []
        for kind in ("templates", "conditions"):
            for text in cases.get(kind, []):
                templar = Templar(DataLoader(), variables=trusted(variables))
                given = trusted(text)
                if kind == "templates":
                    result = outcome(lambda: templar.template(given))
                else:
                    result = outcome(lambda: templar.evaluate_conditional(given))
                golden.append({"kind": kind, "text": text, **result})
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in golden)
        path.with_suffix(".json").write_text(f"[\n{lines}\n]\n")


main()
