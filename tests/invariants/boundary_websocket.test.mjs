// A1 and A20 for WebSockets: a placeholder in the first text frame becomes the secret, and no frame brings it back, however
// it is cut into fragments and pieces.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });

const frame = (first, text) => { const b = Buffer.from(text); return Buffer.concat([b.length < 126 ? Buffer.from([first, b.length]) : Buffer.from([first, 126, b.length >> 8, b.length & 255]), b]); };
/** Frames of a client: unmasked payloads, and what is left. */
function unframe(buf) {
  const got = [];
  while (buf.length >= 6) {
    let n = buf[1] & 127, at = 2;
    if (n === 126) { n = buf.readUInt16BE(2); at = 4; }
    if (buf.length < at + 4 + n) break;
    const mask = buf.subarray(at, at + 4);
    got.push({ first: buf[0], masked: !!(buf[1] & 128), text: Buffer.from(buf.subarray(at + 4, at + 4 + n).map((c, i) => c ^ mask[i % 4])).toString('latin1') });
    buf = buf.subarray(at + 4 + n);
  }
  return { got, rest: buf };
}
/** An origin that takes WebSockets; `on(message, socket)` for every frame. */
async function socketOrigin(on) {
  const o = await origin({ tls });
  o.frames = [];
  o.heads = [];
  o.server.on('upgrade', (req, socket) => {
    o.heads.push(req.headers);
    const accept = crypto.createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Was: ${SECRET}\r\n\r\n`);
    let buf = Buffer.alloc(0);
    socket.on('error', () => {}).on('data', (d) => { const u = unframe(Buffer.concat([buf, d])); buf = u.rest; for (const f of u.got) { o.frames.push(f); on(f, socket); } });
  });
  return o;
}
const PY = `
p = P['port']
def ws(more=''):
    s = dial('api.test', p)
    say(s, 'GET /ws HTTP/1.1\\r\\nHost: api.test:%d\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Extensions: permessage-deflate\\r\\n%s\\r\\n' % (p, more))
    out['head'] = hear(s, '\\r\\n\\r\\n')
    return s
def put(s, text, first=0x81):
    t = text.encode()
    say(s, bytes([first]) + (bytes([0x80 | len(t)]) if len(t) < 126 else bytes([0xfe]) + struct.pack('>H', len(t))) + b'\\1\\2\\3\\4' + bytes(c ^ (1, 2, 3, 4)[i % 4] for i, c in enumerate(t)))
def messages(s, n):
    got, text, buf = [], b'', b''
    s.settimeout(10)
    while len(got) < n:
        while len(buf) < 2 or len(buf) < 2 + (2 if buf[1] == 126 else 0) + (buf[1] if buf[1] < 126 else int.from_bytes(buf[2:4], 'big')):
            d = s.recv(65536)
            if not d: return got
            buf += d
        size, at = (buf[1], 2) if buf[1] < 126 else (int.from_bytes(buf[2:4], 'big'), 4)
        text += buf[at:at + size]
        if buf[0] & 0x80: got.append(text.decode('latin1')); text = b''
        buf = buf[at + size:]
    return got
out['h'] = TOKEN
`;
const behind = (o, places) => boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`, { inject: places })] });

test('A1 reflection in frames: whole, in two fragments, byte by byte, base64, and in the answer’s head', async () => {
  const o = await socketOrigin((f, s) => {
    s.write(frame(0x81, `whole ${SECRET}`));
    s.write(Buffer.concat([frame(0x01, `cut ${SECRET.slice(0, 15)}`), frame(0x80, SECRET.slice(15))]));
    s.write(frame(0x82, Buffer.from(`u:${SECRET}`).toString('base64')));
    for (const c of frame(0x81, `bytes ${SECRET}`)) s.write(Buffer.from([c]));
  });
  const b = behind(o, { header: ['authorization'], websocket: 'first' });
  const r = await b.py(`${PY}
s = ws('Authorization: Bearer %s\\r\\n' % TOKEN)
put(s, 'login ' + TOKEN)
out['got'] = messages(s, 4)
`, { port: o.port });
  assert.match(r.head, /^HTTP\/1.1 101/);
  assert.ok(r.head.includes(`: ${r.h}\r\n`), r.head);
  assert.deepEqual(r.got, [`whole ${r.h}`, `cut ${r.h}`, Buffer.from(`u:${r.h}`).toString('base64'), `bytes ${r.h}`].map((t, i) => (i === 2 ? r.got[2] : t)));
  assert.ok(Buffer.from(r.got[2], 'base64').toString('latin1').startsWith(`u:${r.h}`), r.got[2]);
  assert.deepEqual(o.frames.map((f) => [f.masked, f.text]), [[true, `login ${SECRET}`]]);
  assert.equal(o.heads[0]['sec-websocket-extensions'], undefined, 'compressed messages could not be looked into');
});

test('A20 only in the places that are named: the second message is not one, and a real secret in a message ends both', async () => {
  const o = await socketOrigin((f, s) => s.write(frame(0x81, 'ok')));
  const b = behind(o, { websocket: 'first' });
  const r = await b.py(`${PY}
s = ws()
put(s, 'one ' + TOKEN); out['one'] = messages(s, 1)
put(s, 'two ' + TOKEN); out['two'] = messages(s, 1)
put(s, 'three ' + P['half'][0] + P['half'][1])
out['end'] = hear(s)
`, { port: o.port, half: [SECRET.slice(0, 9), SECRET.slice(9)] });
  assert.deepEqual(o.frames.slice(0, 2).map((f) => f.text), [`one ${SECRET}`, `two ${r.h}`]);
  assert.ok(o.frames.slice(2).every((f) => !f.text.includes(SECRET)), 'what the sandbox should not know did not go out');
  assert.doesNotMatch(r.end, /ok|no more within/, 'both directions ended');
  assert.ok(r.end.startsWith('\x88'), 'with a Close that says why');
});
