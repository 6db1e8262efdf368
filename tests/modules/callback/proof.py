"""ansible's side of a proof: after each task the case's folder is copied; a task named `by hand …` runs its shell text first.

KDEPLOY_PROOF names a folder: `records` gets a line of JSON per result, `shots/N` the copies, `hands/N` holds the shell texts. Where the
module runs on another machine, `on-node` there is a program that runs a shell text on it, and `states/N` are texts whose output is
what the step left behind: a record too.
"""
import json
import os
import subprocess

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "proof"

    def __init__(self):
        super().__init__()
        self.root = os.environ["KDEPLOY_PROOF"]

    def v2_playbook_on_task_start(self, task, is_conditional):
        hand = os.path.join(self.root, "hands", task.get_name().split(" ")[0])
        if os.path.exists(hand):
            self._run(hand, check=True)

    def _run(self, text, **how):
        on_node = os.path.join(self.root, "on-node")
        command = ["sh", text]
        if os.path.exists(on_node):
            command = [on_node, open(text).read()]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **how)

    def _write(self, kind, result):
        task = result._task
        name = task.get_name().strip()
        key = name.split(" ")[0]
        record = {"task": name, "kind": kind, "result": result._result}
        with open(os.path.join(self.root, "records"), "a") as out:
            out.write(json.dumps(record, default=str) + "\n")
        state = os.path.join(self.root, "states", key)
        if os.path.exists(state):
            said = self._run(state).stdout.decode("utf-8", "replace")
            shot = {"task": key + " shot", "kind": "ok", "result": {"stdout": said}}
            with open(os.path.join(self.root, "records"), "a") as out:
                out.write(json.dumps(shot) + "\n")
        folder = os.path.join(self.root, "out", key.split(".")[0])
        if os.path.isdir(folder):
            subprocess.run(["cp", "-a", folder, os.path.join(self.root, "shots", key)], check=True)

    def v2_runner_on_ok(self, result):
        self._write("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("failed", result)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)
