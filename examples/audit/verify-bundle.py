#!/usr/bin/env python3
"""verify-bundle.py BUNDLE PUBLIC-KEY: are these all records of a session in this part of a signed audit log?

Needs Python 3 and openssl (1.1.1 or later). Get the public key from the log's owner, not from the bundle.
The rules are in docs/audit.md, "A bundle"."""
import base64, hashlib, json, subprocess, sys, tempfile


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def need(holds, words):
    if not holds:
        raise ValueError(words)


def signed(line, key):
    text, signature = line.rsplit(b',"sig":"', 1)
    with tempfile.NamedTemporaryFile() as t, tempfile.NamedTemporaryFile() as s:
        t.write(text), t.flush()
        s.write(base64.b64decode(signature[:-2], validate=True)), s.flush()
        return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", t.name,
                               "-sigfile", s.name], capture_output=True).returncode == 0


def main(bundle, key):
    with open(bundle, "rb") as f:
        head, *lines = f.read().removesuffix(b"\n").split(b"\n")
    head = json.loads(head)
    session, chain, seq, shown, last = head["session"], bytes.fromhex(head["chain"]), head["from"], [], None
    for n, line in enumerate(lines, 2):
        here = f"line {n} of the bundle"
        if line.startswith(b"["):  # of another session: its two hashes stand for it
            last, (tag, digest) = None, map(bytes.fromhex, json.loads(line))
            need(len(tag) == len(digest) == 32, f"{here}: not two hashes")
            need(tag != sha(chain, session.encode()), f"{here} hides a record of this session")
        else:
            last = record = json.loads(line)
            need(record["seq"] == seq and bytes.fromhex(record["prev"]) == chain, f"{here} does not fit what is before it")
            if record["kind"] == "checkpoint":
                need(record["log"] == head["log"] and signed(line, key), f"{here}: the signature does not hold")
            elif record.get("session") == session or (record["kind"], record["by"]) == ("note", "log"):
                shown.append(line.decode("ascii"))
            else:
                raise ValueError(f"{here} is not of this session")
            tag, digest = sha(chain, record.get("session", "").encode()), sha(line)
        need(n > 2 or last and last["kind"] == "checkpoint", "the bundle does not begin with a checkpoint")
        chain, seq = sha(chain, tag, digest), seq + 1
    need(last and last["kind"] == "checkpoint", "the bundle does not end with a checkpoint")
    print(*shown, sep="\n")
    print(f"good: all lines of {session} from {head['from']} to {seq - 1}, up to {last['time']}", file=sys.stderr)


if len(sys.argv) != 3:
    sys.exit("usage: verify-bundle.py BUNDLE PUBLIC-KEY")
try:
    main(*sys.argv[1:])
except (ValueError, KeyError, TypeError, AttributeError) as e:
    sys.exit(f"NOT GOOD: {e}")
