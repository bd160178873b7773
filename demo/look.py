"""demo/look.py - looks for the real keys of the private systems, from inside the sandbox of `make demo`.

It is not told the keys, only how they begin, which is no secret: in environment and arguments of all processes, in their memory,
and in every file, as plain text, hex and base64. It plants decoys that begin as the keys do, and counts those apart: where no
decoy is found, the search cannot find. A file that was not changed since the Makefile of the project was written is older than
the keys and is not read. Prints one line for each place, and what could not be looked into."""

import base64
import os
import re
import stat
import subprocess
import sys

BEGINNINGS = [b"api-real-", b"git-real-", b"book-real-"]
DECOY = b"Decoy" * 5  # what follows the beginning in a decoy, where keys have 20 random characters and more
CHUNK, OVERLAP = 4 << 20, 512


def base64_of(text, skew):
    """The characters that stand for a text alone, when `skew` bytes go before it."""
    return base64.b64encode(b"x" * skew + text)[(skew * 8 + 5) // 6 : (skew + len(text)) * 8 // 6]


# For each form of each beginning: the form, what has to follow it, and what follows it in a decoy
FORMS = []
for b in BEGINNINGS:
    FORMS.append((b, re.compile(rb"[A-Za-z0-9]{20}"), b + DECOY[:20]))
    FORMS.append((b.hex().encode(), re.compile(rb"[0-9a-f]{40}"), (b + DECOY[:20]).hex().encode()))
    for k in range(3):
        FORMS.append((base64_of(b, k), re.compile(rb"[A-Za-z0-9+/]{27}"), base64_of(b + DECOY[:20], k)))


class Place:
    def __init__(self, name):
        self.name, self.keys, self.decoys, self.looked, self.closed = name, 0, 0, 0, 0

    def search(self, data):
        for form, tail, decoy in FORMS:
            at = data.find(form)
            while at >= 0:
                if data.startswith(decoy, at):
                    self.decoys += 1
                elif tail.match(data, at + len(form)):
                    self.keys += 1
                at = data.find(form, at + 1)

    def search_file(self, path):
        try:
            with open(path, "rb", buffering=0) as f:
                rest = b""
                while chunk := f.read(CHUNK):
                    self.search(rest + chunk)
                    rest = chunk[-OVERLAP:]
            self.looked += 1
        except OSError:
            self.closed += 1

    def search_memory(self, pid):
        try:
            with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
                for line in maps.readlines():
                    begin, end, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....)", line).groups()
                    if rights[0] == "r" and not re.search(r"\[v(var|syscall)", line):
                        self.search_range(mem, int(begin, 16), int(end, 16))
            self.looked += 1
        except OSError:
            self.closed += 1

    def search_range(self, mem, begin, end):
        for at in range(begin, end, CHUNK):
            try:
                mem.seek(at)
                self.search(mem.read(min(CHUNK + OVERLAP, end - at)))
            except OSError:
                return  # a hole, or pages behind the end of a file

    def report(self, what):
        print(f"  {self.name:<12} real keys: {self.keys}, decoys: {self.decoys}; {what}: {self.looked} searched, {self.closed} closed")


def search_files(since):
    place, older = Place("files"), 0

    def closed(_):
        place.closed += 1

    for top, dirs, names in os.walk("/", onerror=closed):
        dirs[:] = [d for d in dirs if top != "/" or d not in ("proc", "sys")]
        for name in names:
            path = os.path.join(top, name)
            try:
                st = os.lstat(path)
            except OSError:
                continue  # gone meanwhile
            if not stat.S_ISREG(st.st_mode):
                continue
            if st.st_ctime_ns < since:
                older += 1
            else:
                place.search_file(path)
    place.report(f"{older} files older than the keys, others")
    return place


def main():
    since = os.stat("/mnt/project/Makefile").st_ctime_ns
    decoys = [(b + DECOY).decode() for b in BEGINNINGS]
    with open("/workspace/decoy", "wb") as f:
        f.write(base64.b64encode(decoys[0].encode()))
    waits = "import sys; print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", waits, decoys[0]], env={"DECOY": decoys[1]}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()  # it runs, and not this program's copy
    places = environment, arguments, memory = Place("environment"), Place("arguments"), Place("memory")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        environment.search_file(f"/proc/{pid}/environ")
        arguments.search_file(f"/proc/{pid}/cmdline")
        memory.search_memory(pid)
    for p in places:
        p.report("processes")
    places += (search_files(since),)
    child.stdin.close()
    child.wait()
    os.unlink("/workspace/decoy")
    blind = [p.name for p in places if not p.decoys]
    print(f"keys found: {sum(p.keys for p in places)}; decoys found: {'in every place' if not blind else 'not in ' + ' '.join(blind)}")


main()
