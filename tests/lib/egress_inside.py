# What tests of the boundary run inside a sandbox: connections byte by byte, as no client would make them. `b.py(code)` of
# egress.mjs puts this before the code. `P` is what the test gave; what is put into `out` comes back to it.
import base64, json, os, socket, ssl, struct, sys, time

sys.stdin = open('/dev/null')
out = {}
TOKEN = os.environ.get('TOKEN', '')


def dial(host, port, tls=True, sni=None, alpn=None, verify=True, timeout=10):
    """A connection, with TLS unless told otherwise; the name in TLS is that of the host unless `sni` says another."""
    s = socket.create_connection((host, port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return s
    return secure(s, sni or host, alpn, verify)


def secure(s, sni, alpn=None, verify=True):
    c = ssl.create_default_context()
    if not verify:
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if alpn:
        c.set_alpn_protocols(alpn)
    return c.wrap_socket(s, server_hostname=sni)


def hear(s, until=None, timeout=10):
    """What comes until the end, or until the text `until` is in it. A reset is an end."""
    got, end = b'', time.monotonic() + timeout
    while not (until and until.encode('latin1') in got):
        left = end - time.monotonic()
        if left <= 0:
            return got.decode('latin1') + '<no more within the time>'
        s.settimeout(left)
        try:
            d = s.recv(65536)
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError, OSError) as e:
            return got.decode('latin1') + '<' + type(e).__name__ + '>'
        if not d:
            break
        got += d
    return got.decode('latin1')


def say(s, data):
    try:
        s.sendall(data.encode('latin1') if isinstance(data, str) else data)
        return True
    except OSError:
        return False


def talk(host, port, data, until=None, timeout=10, **how):
    """Sends bytes over a connection of its own; what comes back, or why there is no connection."""
    try:
        s = dial(host, port, **how)
    except (OSError, ssl.SSLError) as e:
        return '<' + type(e).__name__ + '>'
    with s:
        say(s, data)
        return hear(s, until, timeout)


def connect(target, **how):
    """Through the explicit proxy: its answer's first line, and the socket."""
    s = dial('127.0.0.1', 3128, tls=False)
    say(s, 'CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (target, target))
    return s, hear(s, '\r\n\r\n')


def status(answer):
    """The numbers of all answers in a text."""
    return [int(x[:3]) for x in ('\r\n' + answer).split('HTTP/1.1 ')[1:] if x[:3].isdigit()]


# ---- HTTP/2, frame by frame (RFC 9113). Fields go out as literals without an index; of what comes only :status is read.

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload


def hpack(fields):
    def text(t):
        t = t.encode('latin1') if isinstance(t, str) else t
        n = len(t)
        if n < 127:
            return bytes([n]) + t
        n, more = n - 127, b''
        while n >= 128:
            more, n = more + bytes([n % 128 + 128]), n // 128
        return b'\x7f' + more + bytes([n]) + t
    return b''.join(b'\x00' + text(n) + text(v) for n, v in fields)


def request(authority, path='/', method='GET', more=()):
    return [(':method', method), (':scheme', 'https'), (':authority', authority), (':path', path), *more]


def status_of(block):
    """:status of a block whose first field it is: an entry of the static table, or a literal of digits."""
    static = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
    while block and block[0] & 0xe0 == 0x20:
        block = block[1:]
    if block[0] & 0x80:
        return static.get(block[0] & 0x7f)
    n, text = block[1] & 0x7f, block[2:]
    if not block[1] & 0x80:
        return int(text[:n])
    bits, digits = ''.join('{:08b}'.format(b) for b in text[:n]), ''
    while len(digits) < 3:
        w = 5 if bits[:5] in ('00000', '00001', '00010') else 6
        digits, bits = digits + str(int(bits[:w], 2) - (0 if w == 5 else 0x19 - 3)), bits[w:]
    return int(digits)


class H2:
    def __init__(self, host, port, **how):
        self.s = dial(host, port, alpn=['h2'], **how)
        self.alpn, self.buf, self.seen = self.s.selected_alpn_protocol(), b'', []
        say(self.s, PREFACE + frame(SETTINGS, 0, 0))

    def send(self, *frames):
        return say(self.s, b''.join(frames))

    def next(self, timeout=10):
        """The next frame as (kind, flags, stream, payload); None at the end or when the time is over."""
        self.s.settimeout(timeout)
        try:
            while len(self.buf) < 9 or len(self.buf) < 9 + int.from_bytes(self.buf[:3], 'big'):
                d = self.s.recv(65536)
                if not d:
                    return None
                self.buf += d
        except OSError:
            return None
        n = int.from_bytes(self.buf[:3], 'big')
        f = (self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], 'big') & 0x7fffffff, self.buf[9:9 + n])
        self.buf = self.buf[9 + n:]
        if f[0] == SETTINGS and not f[1] & 1:
            self.send(frame(SETTINGS, 1, 0))
        return f

    def fate(self, stream, timeout=10):
        """What became of a stream: {'status': n}, {'rst': code}, {'goaway': code} or {'end': True}; with the body."""
        got = {'body': ''}
        while True:
            f = self.next(timeout)
            if f is None:
                return {**got, 'end': True}
            kind, flags, of, payload = f
            if kind == GOAWAY and int.from_bytes(payload[4:8], 'big'):
                return {**got, 'goaway': int.from_bytes(payload[4:8], 'big')}
            if of != stream:
                continue
            if kind == HEADERS and 'status' not in got:
                got['status'] = status_of(payload)
            if kind == DATA:
                got['body'] += payload.decode('latin1')
                self.send(frame(WINDOW, 0, 0, struct.pack('>I', max(1, len(payload)))))
            if kind == RST_STREAM:
                return {**got, 'rst': int.from_bytes(payload, 'big')}
            if kind in (HEADERS, DATA) and flags & 1:
                return got

    def ask(self, stream, fields, flags=5):
        self.send(frame(HEADERS, flags, stream, hpack(fields)))
        return self.fate(stream)
