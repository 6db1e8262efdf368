"""Python for ansible's modules without starting it each time: a server that has imported what modules import, and forks.

    interpreter.py SOCKET

`python.py` beside it stands in for the interpreter: it hands its three streams, environment, folder and umask to the server, whose
child reads the program from standard input as `python3` does. The modules are those of ansible-core, unchanged.
"""
import array
import json
import os
import signal
import socket
import sys


def preload():
    import ansible.module_utils.basic  # noqa: F401
    import ansible.module_utils.common.respawn  # noqa: F401
    import ansible.module_utils.facts.system.distribution  # noqa: F401
    import ansible.module_utils.urls  # noqa: F401
    import encodings.idna  # noqa: F401
    import grp, pwd, tarfile, tempfile, zipfile, pathlib, runpy, base64, shutil  # noqa: F401, E401


def serve(path):
    preload()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path + ".new")
    listener.listen(16)
    os.rename(path + ".new", path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(connection)
        connection.close()


def answer(connection):
    fds = array.array("i")
    text, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_LEN(3 * fds.itemsize))
    for _, _, data in ancillary:
        fds.frombytes(data[: 3 * fds.itemsize])
    length = b""
    while not length.endswith(b"\n"):
        length += connection.recv(1)
    request = b""
    while len(request) < int(length):
        request += connection.recv(int(length) - len(request))
    request = json.loads(request)
    child = os.fork()
    if child == 0:
        connection.close()
        run(fds, **request)
    for fd in fds:
        os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(b"%d\n" % (status if status >= 0 else 128 - status))
    os._exit(0)


def run(fds, cwd, env, umask):
    code = 1
    try:
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        for fd in fds:
            if fd > 2:
                os.close(fd)
        os.chdir(cwd)
        os.umask(umask)
        os.environ.clear()
        os.environ.update(env)
        sys.stdin = open(0, closefd=False)
        sys.stdout = open(1, "w", closefd=False)
        sys.stderr = open(2, "w", closefd=False)
        sys.argv = ["-"]
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else (0 if end.code is None else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
