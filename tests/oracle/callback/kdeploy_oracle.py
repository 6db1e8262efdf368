"""Writes what happened as lines of JSON to the file KDEPLOY_ORACLE_OUT names, for the comparison with kdeploy."""
import json
import os

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kdeploy_oracle"

    def _write(self, kind, result, item=False, ignored=False):
        data = dict(result._result)
        task = result._task
        # A loop's items are written one by one; its end is written only where there were none.
        if not item and data.get("results") and (task.loop is not None or task.loop_with is not None):
            return
        record = {
            "kind": kind,
            "host": result._host.get_name(),
            "task": task.get_name().strip(),
            "ignored": bool(ignored),
            "result": data,
        }
        with open(os.environ["KDEPLOY_ORACLE_OUT"], "a") as out:
            out.write(json.dumps(record, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._write("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write("failed", result, ignored=ignore_errors)

    def v2_runner_on_skipped(self, result):
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result):
        self._write("unreachable", result)

    def v2_runner_item_on_ok(self, result):
        self._write("ok", result, item=True)

    def v2_runner_item_on_failed(self, result):
        self._write("failed", result, item=True, ignored=result._task.ignore_errors)

    def v2_runner_item_on_skipped(self, result):
        self._write("skipped", result, item=True)
