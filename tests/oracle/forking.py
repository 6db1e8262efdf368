"""A server that has imported what its work needs and forks for each connection; it ends by itself after a while without work."""
import os
import select
import signal
import socket

IDLE_SECONDS = 45


def serve(path, answer):
    """Listens on a socket; `answer` gets each connection in a process of its own, which it ends."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path + ".new")
    listener.listen(16)
    os.rename(path + ".new", path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        while select.select([listener], [], [], IDLE_SECONDS)[0] or busy():
            if not select.select([listener], [], [], 0)[0]:
                continue
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(connection)
            connection.close()
    finally:
        os.unlink(path)


def busy():
    """True while a case runs: children are reaped by themselves, so one that can be waited for is at work."""
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
