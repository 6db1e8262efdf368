#!/usr/bin/env python3
"""Writes the golden values beside the template cases: what ansible-core makes of each of them.

Needs a Python that has ansible-core 2.19; the tests themselves don't. Run it after changing a *.yml file:
    PYTHON tests/templates/generate.py
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

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

    files()


def files():
    """Template files: what the `template` module writes."""
    cases = yaml.safe_load((HERE / "files/cases.yml").read_text())
    golden = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tasks = []
        for i, text in enumerate(cases["files"]):
            (folder / f"{i}.j2").write_bytes(text.encode())
            tasks.append({"template": {"src": f"{folder}/{i}.j2", "dest": f"{folder}/{i}.out"}, "ignore_errors": True})
        variables = {"ansible_python_interpreter": sys.executable, **cases["vars"]}
        play = {"hosts": "localhost", "gather_facts": False, "connection": "local", "vars": variables, "tasks": tasks}
        (folder / "play.yml").write_text(json.dumps([play]))
        command = [pathlib.Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", folder / "play.yml"]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for i, text in enumerate(cases["files"]):
            out = folder / f"{i}.out"
            golden.append({"text": text, "value": out.read_bytes().decode() if out.exists() else None})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in golden)
    (HERE / "files/golden.json").write_text(f"[\n{lines}\n]\n")


main()
