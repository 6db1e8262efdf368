#!/usr/bin/env python3
"""Writes the golden values beside the cases: what ansible-core and the collections make of each expression.

Needs a Python with ansible-core 2.19, passlib, netaddr and jmespath, and the collections ansible.utils, ansible.netcommon and
community.general; the tests themselves need none of it. Run it after changing a *.yml file:
    PYTHON tests/library/generate.py [NAME…]
"""
import datetime
import json
import os
import pathlib
import sys
import time

import yaml

HERE = pathlib.Path(__file__).parent
# The same surroundings for everyone: lookups must not depend on who runs this.
os.environ.update(KDEPLOY_GOLDEN="golden", HOME="/root", TZ="UTC")
time.tzset()
os.chdir(HERE)

from ansible.errors import AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.display import Display

init_plugin_loader()
for name in ("deprecated", "warning", "error_as_warning"):
    setattr(Display, name, lambda *args, **kwargs: None)


def trusted(value):
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {k: trusted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [trusted(v) for v in value]
    return value


def plain(value):
    if isinstance(value, (datetime.datetime, datetime.timedelta)):
        return str(value)
    raise TypeError(type(value).__name__)


def outcome(text, variables):
    loader = DataLoader()
    loader.set_basedir(str(HERE))
    templar = Templar(loader, variables=variables)
    try:
        value = templar.template(trust_as_template("{{ " + text + " }}"))
        return {"value": json.dumps(value, default=plain, ensure_ascii=False)}
    except Exception as error:  # every kind of failure is a result here
        if isinstance(error, AnsibleUndefinedVariable):
            return {"error": "undefined", "why": str(error).splitlines()[0][:160]}
        return {"error": "failed", "why": str(error).splitlines()[0][:160]}


def main():
    for path in sorted(HERE.glob("*.yml")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        cases = yaml.safe_load(path.read_text())
        variables = trusted(cases.get("vars") or {})
        golden = [{"case": text, **outcome(text, variables)} for text in cases["cases"]]
        # the wording of errors is Ansible's own; it helps while writing cases and is not kept
        for case in golden:
            why = case.pop("why", None)
            if why and os.environ.get("SHOW"):
                print(f"{path.stem}: {case['case']}: {why}", file=sys.stderr)
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in golden)
        path.with_suffix(".json").write_text(f"[\n{lines}\n]\n")


main()
