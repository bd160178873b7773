"""raw.py serve ADDRESS PORT FILE | get HOST PORT N SIZE: bytes of no protocol that anybody knows, for what passes through.

Who says a line gets the file and the end; after half an hour in which nobody came the server ends. `get` takes it N times, one
after the other, and prints a line as https_load does; what has not SIZE bytes is a failure.
"""
import json, os, socket, sys, time


def serve(address, port, name):
    s = socket.create_server((address, port))
    s.settimeout(1800)
    with open(name, "rb") as f:
        n = os.fstat(f.fileno()).st_size
        while True:
            try:
                c, _ = s.accept()
            except TimeoutError:
                return
            try:
                if c.recv(16):
                    at = 0
                    while at < n:
                        at += os.sendfile(c.fileno(), f.fileno(), at, n - at)
            except OSError as e:
                print(e, file=sys.stderr)
            c.close()


def get(host, port, n, expected):
    buffer, took, size, failures = bytearray(1 << 20), [], 0, 0
    for _ in range(n):
        began, one = time.monotonic(), 0
        with socket.create_connection((host, port)) as s:
            s.sendall(b"\x01go\n")
            try:
                while k := s.recv_into(buffer):
                    one += k
            except OSError as e:
                print(e, file=sys.stderr)
        took.append(time.monotonic() - began)
        size += one
        failures += one != expected
    print(json.dumps({"rps": n / sum(took), "mb_per_s": size / sum(took) / 1e6, "bytes": size, "n": n, "failures": failures}, separators=(",", ":")))


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    get(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
