"""Runs ansible-playbook many times in one process: ansible-core is imported once, and each case runs in a fork of it.

Reads one JSON object a line: {"dir": working directory, "args": arguments, "records": file for the callback, "output": file}; writes
the exit code of each.
"""
import gc
import json
import os
import sys
import tempfile
import warnings
from unittest import mock

import ansible.executor.playbook_executor  # noqa: F401 - imported before the fork, not in each
import ansible.executor.task_executor  # noqa: F401
import ansible.plugins.loader as loader
from ansible.cli.playbook import PlaybookCLI
from ansible.parsing.vault import VaultSecretsContext
from ansible.utils.context_objects import GlobalCLIArgs

WARM_UP = """
- hosts: all
  gather_facts: false
  tasks:
    - {debug: {msg: "{{ [1] | map('string') | list }}"}, when: 'x is not defined', tags: a}
    - {set_fact: {x: 1}, loop: [1], when: false}
"""


def run(job):
    os.chdir(job["dir"])
    os.environ["KDEPLOY_ORACLE_OUT"] = job["records"]
    out = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        PlaybookCLI.cli_executor(["ansible-playbook"] + job["args"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


# Once here, so that what is loaded at the first use is loaded before the forks.
with tempfile.TemporaryDirectory() as folder, mock.patch.object(VaultSecretsContext, "initialize"):
    with open(folder + "/site.yml", "w") as out:
        out.write(WARM_UP)
    with open(folder + "/hosts", "w") as out:
        out.write("[g]\nh1 ansible_connection=local\n")
    warnings.simplefilter("ignore")
    saved = [os.dup(n) for n in range(3)]
    job = {"dir": folder, "args": ["-i", "hosts", "site.yml"], "records": "records", "output": "output"}
    run(job)
    os.chdir("/")
    for number, copy in enumerate(saved):
        os.dup2(copy, number)
# The arguments of the first run would stay those of the process.
GlobalCLIArgs._Singleton__instance = None
for group in (loader.filter_loader, loader.test_loader):
    list(group.all(class_only=True))
gc.collect()
gc.freeze()
gc.disable()

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 250
        try:
            code = run(json.loads(line))
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
