"""raw.py serve ADDRESS PORT FILE | get HOST PORT N: bytes of no protocol that anybody knows, for what passes through.

Who says a line gets the file and the end. `get` takes it N times, one after the other, and prints a line as https_load does.
"""
import json, os, socket, sys, time


def serve(address, port, name):
    s = socket.create_server((address, port))
    with open(name, "rb") as f:
        n = os.fstat(f.fileno()).st_size
        while True:
            c, _ = s.accept()
            try:
                if c.recv(16):
                    at = 0
                    while at < n:
                        at += os.sendfile(c.fileno(), f.fileno(), at, n - at)
            except OSError as e:
                print(e, file=sys.stderr)
            c.close()


def get(host, port, n):
    buffer, took, size = bytearray(1 << 20), [], 0
    for _ in range(n):
        began = time.monotonic()
        s = socket.create_connection((host, port))
        s.sendall(b"\x01go\n")
        while k := s.recv_into(buffer):
            size += k
        s.close()
        took.append(time.monotonic() - began)
    print(json.dumps({"rps": n / sum(took), "mb_per_s": size / sum(took) / 1e6, "bytes": size, "n": n, "failures": 0}, separators=(",", ":")))


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    get(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
