"""Runs ansible-playbook for the oracle's cases without starting Python and importing ansible each time.

A process that has imported ansible's command line listens on a socket; for every request it forks a child that calls that
command line's own entry point, as `ansible-playbook` does. It ends by itself after a while without work.

    runner.py SOCKET

A request is one line of JSON: {"cwd", "args", "env", "output"}; the answer is the exit code. Settings are read when ansible is
imported, so the server's environment holds those that all cases share, and a case with settings of its own is not for this.
"""
import json
import os
import sys

# Nothing is left beside the tests.
sys.dont_write_bytecode = True
import forking  # noqa: E402


def serve(path):
    # What every case needs, imported once.
    import ansible.cli.playbook  # noqa: F401
    import ansible.executor.playbook_executor  # noqa: F401
    import ansible.plugins.action.normal  # noqa: F401
    import ansible.plugins.connection.local  # noqa: F401
    import ansible.plugins.shell.sh  # noqa: F401
    import ansible.plugins.strategy.linear  # noqa: F401
    import ansible.plugins.callback.default  # noqa: F401

    forking.serve(path, answer)


def answer(connection):
    code = 250
    try:
        request = json.loads(connection.makefile().readline())
        code = run(**request)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    connection.sendall(b"%d\n" % code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def run(cwd, args, env, output):
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(cwd)
    os.environ.update(env)
    os.environ["PWD"] = cwd
    sys.argv = ["ansible-playbook", *args]
    from ansible.cli.playbook import PlaybookCLI

    try:
        code = PlaybookCLI.cli_executor(sys.argv)
    except SystemExit as end:
        code = end.code
    return code or 0


if __name__ == "__main__":
    serve(sys.argv[1])
