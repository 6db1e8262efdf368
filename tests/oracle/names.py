"""Runs Ansible's programs for the names suite without starting Python and importing ansible each time.

    names.py serve SOCKET                        a process that has imported ansible; it forks for each request
    names.py call SOCKET BIN PROGRAM ARG...      what stands for a program of Ansible's in a case's PATH

A request hands over standard input, output and error, the working directory, the environment and the arguments; the answer is
the exit code. Settings are read when ansible is imported: a call that has settings of its own runs the program in BIN instead.
"""
import array
import json
import os
import socket
import sys

# Nothing is left beside the tests.
sys.dont_write_bytecode = True
import forking  # noqa: E402

# Settings of all calls (tests/oracle/names.rs), which the server was started with.
SHARED = {"ANSIBLE_NOCOLOR", "ANSIBLE_LOCALHOST_WARNING", "ANSIBLE_DEPRECATION_WARNINGS", "ANSIBLE_HOME"}


def call(path, bin_dir, program, args):
    own = any(k.startswith("ANSIBLE_") and k not in SHARED for k in os.environ)
    own = own or not SHARED <= os.environ.keys() or os.path.exists("ansible.cfg")
    if own:
        os.execv(os.path.join(bin_dir, program), [program, *args])
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        peer.connect(path)
    except OSError:
        # The server is gone: slower, but the same.
        os.execv(os.path.join(bin_dir, program), [program, *args])
    request = {"program": program, "args": args, "cwd": os.getcwd(), "env": dict(os.environ)}
    fds = array.array("i", [0, 1, 2])
    peer.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    peer.sendall(json.dumps(request).encode() + b"\n")
    answer = peer.makefile().readline()
    sys.exit(int(answer) if answer.strip() else 251)


def serve(path):
    # What the programs need, imported once.
    import ansible.cli.adhoc  # noqa: F401
    import ansible.cli.inventory  # noqa: F401
    import ansible.cli.playbook  # noqa: F401
    import ansible.cli.vault  # noqa: F401
    import ansible.executor.playbook_executor  # noqa: F401
    import ansible.plugins.action.normal  # noqa: F401
    import ansible.plugins.callback.default  # noqa: F401
    import ansible.plugins.connection.local  # noqa: F401
    import ansible.plugins.shell.sh  # noqa: F401
    import ansible.plugins.strategy.linear  # noqa: F401

    forking.serve(path, answer)


def answer(connection):
    code = 250
    fds = array.array("i")
    try:
        first, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * fds.itemsize))
        if not first:
            os._exit(0)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        request = json.loads(connection.makefile().readline())
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        code = run(**request)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(b"%d\n" % code)
    os._exit(0)


def run(program, args, cwd, env):
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [program, *args]
    if program == "ansible-playbook":
        from ansible.cli.playbook import PlaybookCLI as CLI
    elif program == "ansible-inventory":
        from ansible.cli.inventory import InventoryCLI as CLI
    elif program == "ansible-vault":
        from ansible.cli.vault import VaultCLI as CLI
    else:
        from ansible.cli.adhoc import AdHocCLI as CLI
    try:
        code = CLI.cli_executor(sys.argv)
    except SystemExit as end:
        code = end.code
    return code or 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        call(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
