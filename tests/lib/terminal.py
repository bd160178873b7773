#!/usr/bin/env python3
"""terminal.py STEPS COMMAND [ARG...]: runs a command on a terminal of its own, as a person would.

STEPS is a JSON array of objects, done in order. Each may wait for "wait": text that comes out after that
of the last step that waited; "same" or "differ": NAME, the modes of the terminal compared with those
remembered by "modes": NAME; "state": [pattern, letters] of a process. Then it may do "send": text typed;
"resize": [rows, columns]; "signal": [name, pattern]. A pattern stands for the first process of the
terminal's session whose command line contains it. Prints one JSON object:
out, status (wait status of the command), failed (the step that did not come true, or null)."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 30 * float(os.environ.get("SALLYPORT_TEST_SLOWDOWN", "1"))
steps, argv = json.loads(sys.argv[1]), sys.argv[2:]


def resize(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


fd, slave = pty.openpty()
resize(fd, 31, 97)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for n in range(3):
        os.dup2(slave, n)
    os.closerange(3, 100)
    os.execvp(argv[0], argv)
out, seen, over = b"", 0, False


def read_some(timeout):
    global out, over
    if over or not select.select([fd], [], [], timeout)[0]:
        return
    try:
        d = os.read(fd, 65536)
    except OSError:
        d = b""
    out += d
    over = not d


def until(what):
    end = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > end:
            return False
        read_some(0.02)
    return True


def processes(pattern):
    for d in sorted((int(d) for d in os.listdir("/proc") if d.isdigit())):
        try:
            with open(f"/proc/{d}/stat") as f:
                stat = f.read().rsplit(")", 1)[1].split()
            with open(f"/proc/{d}/cmdline") as f:
                line = f.read().replace("\0", " ")
        except OSError:
            continue
        if int(stat[3]) == pid and pattern in line and d != pid:
            yield d, stat[0]


def waited(text):
    global seen
    at = out.find(text.encode(), seen)
    if at >= 0:
        seen = at + len(text.encode())
    return at >= 0


def do(step):
    if "wait" in step and not until(lambda: waited(step["wait"])):
        return False
    if "modes" in step:
        modes[step["modes"]] = termios.tcgetattr(slave)
    if "same" in step and not until(lambda: termios.tcgetattr(slave) == modes[step["same"]]):
        return False
    if "differ" in step and not until(lambda: termios.tcgetattr(slave) != modes[step["differ"]]):
        return False
    if "state" in step:
        pattern, letters = step["state"]
        if not until(lambda: any(s in letters for _, s in processes(pattern))):
            return False
    if "send" in step:
        os.write(fd, step["send"].encode())
    if "resize" in step:
        resize(fd, *step["resize"])
    if "signal" in step:
        name, pattern = step["signal"]
        found = list(processes(pattern))
        if not found:
            return False
        os.kill(found[0][0], getattr(signal, "SIG" + name))
    return True


modes, failed = {}, None
for step in steps:
    if not do(step):
        failed = step
        os.kill(pid, signal.SIGKILL)
        break
os.close(slave)
end = time.monotonic() + PATIENCE
while not over and time.monotonic() < end:
    read_some(0.1)
if not over:
    failed = failed or "the command did not end"
    os.kill(pid, signal.SIGKILL)
status = os.waitpid(pid, 0)[1]
print(json.dumps({"out": out.decode("utf-8", "replace"), "status": status, "failed": failed}))
