"""Runs a program at a terminal of its own and types answers when their prompts have come: typing_at.py FILE PROGRAM ARG…

FILE holds lines of JSON: [prompt, answer]. What the program says goes to standard output.
"""

import json
import os
import pty
import select
import sys
import time

with open(sys.argv[1], encoding="utf-8") as file:
    answers = [json.loads(line) for line in file]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
end = time.time() + 120
while time.time() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            more = os.read(terminal, 65536)
        except OSError:
            break
        if not more:
            break
        sys.stdout.buffer.write(more)
        said += more
    if answers and answers[0][0].encode() in said:
        prompt, answer = answers.pop(0)
        said = said.split(prompt.encode(), 1)[1]
        # A program that hides what is typed throws away what came before.
        time.sleep(0.3)
        os.write(terminal, answer.encode() + b"\n")
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
