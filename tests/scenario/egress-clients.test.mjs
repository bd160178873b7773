// Real clients in a sandbox behind the boundary: no proxy variable, no switch that turns verification off, nothing told
// about a certificate. Each sends a placeholder, the origin gets the secret, the client sees its own placeholder again.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rawOrigin, rule, scripts } from '../lib/egress.mjs';
import { ms, start, BIN, tempDir } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test', 'h2.test', 'other.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1', 'h2.test': '127.0.0.1', 'other.test': '127.0.0.1' });
const SLOW = ms(120000);

/** A boundary that allows one host, with the credential. */
const behind = (host, port, { credentials, ...more } = {}) => boundary({ ca, dns, allow: [rule(host, port)], credentials: credentials ?? [credential(`${host}:${port}`)], ...more });
const sha = (b) => crypto.createHash('sha256').update(b).digest('hex');
/** Answers with a hash of the body instead of the body. */
const hashing = (req, res, record, extra = {}) => {
  const h = crypto.createHash('sha256');
  let n = 0;
  req.on('data', (d) => { h.update(d); n += d.length; });
  req.on('end', () => res.end(JSON.stringify({ n, sha: h.digest('hex'), version: req.httpVersion, ...extra })));
};

test('no variable of a sandbox names a proxy, and none turns verification off', async () => {
  const b = behind('api.test', 443);
  const env = await b.ok('env');
  assert.doesNotMatch(env, /proxy/i);
  assert.doesNotMatch(env, /NODE_TLS_REJECT|GIT_SSL_NO_VERIFY|PYTHONHTTPSVERIFY|npm_config_strict_ssl|PIP_TRUSTED/i);
});

test('curl: versions mirrored, methods, and the status and head of every answer', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind('h2.test', o.port);
  const url = `https://h2.test:${o.port}`;
  const auth = '-H "Authorization: Bearer $TOKEN"';
  const out = await b.ok([
    `curl -sS -o /dev/null -w 'two=%{http_version} %{http_code}\\n' ${auth} ${url}/a`,
    `curl -sS --http1.1 -o /dev/null -w 'one=%{http_version} %{http_code}\\n' ${auth} ${url}/b`,
    `curl -sS -I -w 'head=%{http_code}\\n' -o /dev/null ${auth} ${url}/c`,
    `curl -sS --http1.1 -I -w 'head1=%{http_code}\\n' -o /dev/null ${auth} ${url}/c`,
    `curl -sS -d k=v -o /dev/null -w 'post=%{http_code}\\n' ${auth} ${url}/d`,
    `curl -sS -X PATCH -d '{"a":1}' -H 'content-type: application/json' -o /dev/null -w 'patch=%{http_code}\\n' ${auth} ${url}/e`,
    `curl -sS -X DELETE -o /dev/null -w 'delete=%{http_code}\\n' ${auth} ${url}/f`,
    `curl -sS -o /dev/null -o /dev/null -w 'again=%{num_connects}\\n' ${auth} ${url}/g ${url}/h`,
  ].join('\n'));
  for (const want of ['two=2 200', 'one=1.1 200', 'head=200', 'head1=200', 'post=200', 'patch=200', 'delete=200', 'again=1\nagain=0']) assert.ok(out.includes(want), `${want} in ${out}`);
  assert.deepEqual(o.seen.map((r) => [r.method, r.url, r.body]), [
    ['GET', '/a', ''], ['GET', '/b', ''], ['HEAD', '/c', ''], ['HEAD', '/c', ''], ['POST', '/d', 'k=v'],
    ['PATCH', '/e', '{"a":1}'], ['DELETE', '/f', ''], ['GET', '/g', ''], ['GET', '/h', '']]);
  for (const r of o.seen) assert.equal(r.headers.authorization, `Bearer ${SECRET}`);
});

for (const h2 of [true, false]) {
  test(`curl: 100 MB up and 100 MB down arrive whole over ${h2 ? 'HTTP/2' : 'HTTP/1.1'}`, async () => {
    const MB = 1 << 20, block = crypto.randomBytes(MB), all = crypto.createHash('sha256');
    for (let i = 0; i < 100; i++) all.update(block);
    const want = all.digest('hex');
    const handler = (req, res, record) => {
      if (req.method === 'POST') return hashing(req, res, record);
      let i = 0;
      const more = () => { while (i < 100) { i++; if (!res.write(block)) return void res.once('drain', more); } res.end(); };
      more();
    };
    handler.streaming = true;
    const o = await origin({ tls, h2, handler });
    const b = behind('h2.test', o.port);
    const out = await b.ok(`set -e; curl -sS -H "Authorization: Bearer $TOKEN" -o big https://h2.test:${o.port}/; sha256sum <big
      curl -sS -H "Authorization: Bearer $TOKEN" --data-binary @big https://h2.test:${o.port}/up`, { timeout: SLOW });
    const [down, up] = out.trim().split('\n');
    assert.ok(down.startsWith(want), 'what came down');
    assert.deepEqual(JSON.parse(up), { n: 100 * MB, sha: want, version: h2 ? '2.0' : '1.1' });
    const requests = b.records({ kind: 'request' });
    assert.deepEqual(requests.map((r) => r.status), [200, 200]);
  });
}

test('curl: 100 (Continue) is the origin’s, and a final answer instead leaves the body unsent', async () => {
  const o = await origin({ tls });
  const said = [];
  o.server.on('checkContinue', (req, res) => {
    said.push(req.url);
    if (req.url === '/no') { res.writeHead(413, { connection: 'close' }); return void res.end('too large'); }
    res.writeContinue();
    hashing(req, res, null);
  });
  const b = behind('api.test', o.port);
  const out = await b.ok(`head -c 3000000 /dev/zero >body
    for p in yes no; do curl -sS --http1.1 -H 'Expect: 100-continue' -H "Authorization: Bearer $TOKEN" -T body -X POST --expect100-timeout 20 -w '\\n%{http_code} %{size_upload}\\n' https://api.test:${o.port}/$p; done`);
  assert.deepEqual(said, ['/yes', '/no']);
  const [yes, yesCode, no, noCode] = out.trim().split('\n');
  assert.equal(JSON.parse(yes).n, 3000000);
  assert.equal(yesCode, '200 3000000');
  assert.deepEqual([no, noCode], ['too large', '413 0']);
});

test('wget: a redirect that is followed, and HEAD', async () => {
  const o = await origin({ tls, handler: (req, res) => (req.url === '/from' ? res.writeHead(302, { location: '/to' }).end() : res.end('arrived\n')) });
  const b = behind('api.test', o.port);
  const out = await b.ok(`wget -q --header "Authorization: Bearer $TOKEN" -O - https://api.test:${o.port}/from; wget -q --spider --header "Authorization: Bearer $TOKEN" https://api.test:${o.port}/x && echo spider`);
  assert.equal(out, 'arrived\nspider\n');
  assert.deepEqual(o.seen.map((r) => `${r.method} ${r.url}`), ['GET /from', 'GET /to', 'HEAD /x']);
  for (const r of o.seen) assert.equal(r.headers.authorization, `Bearer ${SECRET}`);
});

test('Python: urllib, http.client with a kept connection, requests’ bundle', async () => {
  const o = await origin({ tls });
  const b = behind('api.test', o.port);
  const dir = scripts({ 'a.py': `
import http.client, json, os, ssl, urllib.request
token = os.environ['TOKEN']
r = urllib.request.urlopen(urllib.request.Request('https://api.test:${o.port}/one', headers={'X-Api-Key': token}))
print(r.status, json.load(r)['headers']['x-api-key'] == token)
c = http.client.HTTPSConnection('api.test', ${o.port})
for i in range(3):
    c.request('POST', '/two', body=b'x' * 70000, headers={'Authorization': 'Bearer ' + token})
    r = c.getresponse()
    print(r.status, json.loads(r.read())['headers']['authorization'] == 'Bearer ' + token)
c.request('POST', '/three', body=iter([b'a' * 10, b'b' * 10]), headers={'Authorization': 'Bearer ' + token}, encode_chunked=True)
print(json.loads(c.getresponse().read())['body'])
try:
    urllib.request.urlopen('https://other.test/')
except urllib.error.HTTPError as e:
    print(e.code, json.load(e)['error']['type'])
ctx = ssl.create_default_context(cafile=os.environ['REQUESTS_CA_BUNDLE'])
print(urllib.request.urlopen('https://api.test:${o.port}/four', context=ctx).status)
` });
  const out = await b.ok('python3 /s/a.py', { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, `200 True\n${'200 True\n'.repeat(3)}aaaaaaaaaabbbbbbbbbb\n403 egress_denied\n200\n`);
  assert.equal(o.seen[0].headers['x-api-key'], SECRET);
  for (const r of o.seen.slice(1, 5)) assert.equal(r.headers.authorization, `Bearer ${SECRET}`);
});

test('Node: fetch, and an agent that keeps its connections', async () => {
  const o = await origin({ tls });
  const b = behind('api.test', o.port);
  const dir = scripts({ 'a.mjs': `
import https from 'node:https';
const url = 'https://api.test:${o.port}', token = process.env.TOKEN, headers = { authorization: 'Bearer ' + token };
for (let i = 0; i < 3; i++) { const r = await fetch(url + '/f' + i, { headers }); console.log(r.status, (await r.json()).headers.authorization === headers.authorization); }
const up = await fetch(url + '/stream', { method: 'POST', headers, duplex: 'half', body: new ReadableStream({ start(c) { for (let i = 0; i < 5; i++) c.enqueue(Buffer.from('part' + i)); c.close(); } }) });
console.log((await up.json()).body);
const denied = await fetch('https://other.test/');
console.log(denied.status, (await denied.json()).error.type);
const agent = new https.Agent({ keepAlive: true, maxSockets: 4 });
const get = (p) => new Promise((ok, no) => https.get(url + p, { agent, headers }, (r) => { const port = r.socket.localPort; let t = ''; r.on('data', (d) => t += d).on('end', () => ok([r.statusCode, JSON.parse(t).url, port])); }).on('error', no));
const all = await Promise.all(Array.from({ length: 40 }, (_, i) => get('/k' + i)));
console.log(all.every(([s, u], i) => s === 200 && u === '/k' + i), new Set(all.map((a) => a[2])).size);
agent.destroy();
` });
  const out = await b.ok('node /s/a.mjs', { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, '200 true\n200 true\n200 true\npart0part1part2part3part4\n403 egress_denied\ntrue 4\n');
  assert.equal(o.seen.length, 44);
  for (const r of o.seen) assert.equal(r.headers.authorization, `Bearer ${SECRET}`);
});

test('HTTP/2: a stream in both directions with trailers, message for message', async () => {
  const o = await origin({ tls, h2: true, handler: (req, res, record) => {
    res.writeHead(200, { 'content-type': 'application/grpc', 'x-got': record.headers.authorization });
    res.addTrailers({ 'grpc-status': '0', 'grpc-message': `ok ${SECRET}` });
    req.on('data', (d) => res.write(`echo ${d}`)).on('end', () => res.end());
  } });
  const b = behind('h2.test', o.port);
  const dir = scripts({ 'a.mjs': `
import http2 from 'node:http2';
const c = http2.connect('https://h2.test:${o.port}');
const one = (n) => new Promise((ok, no) => {
  const s = c.request({ ':method': 'POST', ':path': '/pkg.Service/Call' + n, 'content-type': 'application/grpc', te: 'trailers', authorization: 'Bearer ' + process.env.TOKEN });
  let k = 0; const lines = [];
  s.on('response', (h) => { lines.push(h[':status'], h['x-got'] === 'Bearer ' + process.env.TOKEN); s.write('m0'); });
  s.on('data', (d) => { lines.push(String(d)); k++; if (k < 5) s.write('m' + k); else s.end(); });
  s.on('trailers', (t) => lines.push(t['grpc-status'], t['grpc-message'] === 'ok ' + process.env.TOKEN));
  s.on('close', () => ok(lines.join(' '))).on('error', no);
});
const all = await Promise.all(Array.from({ length: 20 }, (_, n) => one(n)));
console.log([...new Set(all)].join('\\n'));
c.close();
` });
  const out = await b.ok('node /s/a.mjs', { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, '200 true echo m0 echo m1 echo m2 echo m3 echo m4 0 true\n');
  assert.equal(o.seen.length, 20);
});

test('server-sent events: each arrives before the next one is sent', async () => {
  let arrived, sent = [];
  const handler = async (req, res) => {
    if (req.url === '/ack') { req.resume(); res.end(); return void arrived(); }
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    for (let k = 0; k < 20; k++) {
      const next = new Promise((ok) => { arrived = ok; });
      res.write(`id: ${k}\ndata: {"n":${k},"key":"${SECRET}"}\n\n`);
      sent.push(k);
      await next;   // the client has told on another connection that it has event k
    }
    res.end();
  };
  handler.streaming = true;
  for (const h2 of [false, true]) {
    sent = [];
    const o = await origin({ tls, h2, handler });
    const b = behind('h2.test', o.port);
    const dir = scripts({ 'a.py': `
import os, subprocess
p = subprocess.Popen(['curl', '-sSN', '-H', 'Authorization: Bearer ' + os.environ['TOKEN'], 'https://h2.test:${o.port}/events'], stdout=subprocess.PIPE)
n = 0
while True:
    line = p.stdout.readline()
    if not line: break
    if line.startswith(b'data:'):
        assert os.environ['TOKEN'].encode() in line
        assert p.stdout.readline() == b'\\n'
        n += 1
        subprocess.run(['curl', '-sS', 'https://h2.test:${o.port}/ack'], check=True)
print(n, p.wait())
` });
    assert.equal(await b.ok('python3 /s/a.py', { args: ['--bind', `${dir}:/s`] }), '20 0\n');
    assert.deepEqual(sent, [...Array(20).keys()]);
  }
});

test('a TCP client reaches a port by name, and a server that speaks first', async () => {
  const o = await rawOrigin((c) => { c.write('220 hello\n'); c.on('data', (d) => c.write(`got ${d}`)); });
  const b = behind('api.test', o.port, { credentials: [] });
  const dir = scripts({ 'a.py': `
import socket
s = socket.create_connection(('api.test', ${o.port}))
f = s.makefile('rb')
print(f.readline().decode().strip())
s.sendall(b'EHLO x\\n'); print(f.readline().decode().strip())
` });
  const out = await b.ok(`python3 /s/a.py; printf 'QUIT\\n' | busybox nc -w 5 api.test ${o.port} | head -2`, { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, '220 hello\ngot EHLO x\n220 hello\ngot QUIT\n');
  assert.equal(b.records({ verdict: 'allow' }).length, 2);
});

test('a static client with another resolver (musl, busybox) finds the host', async () => {
  const o = await origin({ plain: true });
  const b = behind('api.test', o.port, { credentials: [credential(`api.test:${o.port}`, { plaintext: true })] });
  const dir = scripts({ 'c.c': `
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
    struct addrinfo *a, hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo("api.test", "${o.port}", &hints, &a)) return 1;
    for (; a; a = a->ai_next) {
        int s = socket(a->ai_family, SOCK_STREAM, 0);
        if (connect(s, a->ai_addr, a->ai_addrlen)) { close(s); continue; }
        const char *q = "GET /musl HTTP/1.1\\r\\nHost: api.test:${o.port}\\r\\nConnection: close\\r\\n\\r\\n";
        if (write(s, q, strlen(q)) < 0) return 3;
        char buf[4096];
        ssize_t n, all = 0;
        while ((n = read(s, buf + all, sizeof buf - 1 - all)) > 0) all += n;
        buf[all] = 0;
        puts(strstr(buf, "200 OK") ? "ok" : buf);
        return 0;
    }
    return 2;
}` });
  const { execFileSync } = await import('node:child_process');
  execFileSync('musl-gcc', ['-static', '-O1', '-o', path.join(dir, 'c'), path.join(dir, 'c.c')]);
  const out = await b.ok(`/s/c; busybox wget -q -O - --header "Authorization: Bearer $TOKEN" http://api.test:${o.port}/busy | grep -c /busy`, { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, 'ok\n1\n');
  assert.deepEqual(o.seen.map((r) => r.url), ['/musl', '/busy']);
  assert.equal(o.seen[1].headers.authorization, `Bearer ${SECRET}`);
});

test('h2load: 2,000 requests on 4 connections with 20 streams each, every one with the secret', async () => {
  const o = await origin({ tls, h2: true, handler: (req, res) => res.end('x'.repeat(2000)) });
  const b = behind('h2.test', o.port);
  const out = await b.ok(`h2load -n 2000 -c 4 -m 20 -H "authorization: Bearer $TOKEN" https://h2.test:${o.port}/ 2>&1`, { timeout: SLOW });
  assert.match(out, /2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/);
  assert.match(out, /2000 2xx, 0 3xx, 0 4xx, 0 5xx/);
  assert.equal(o.seen.length, 2000);
  assert.ok(o.seen.every((r) => r.headers.authorization === `Bearer ${SECRET}`));
});

test('a WebSocket over TLS: messages both ways, of every size, and its end', async () => {
  const o = await origin({ tls });
  o.server.on('upgrade', (req, sock) => serveEcho(req, sock, o));
  const b = behind('api.test', o.port);
  const dir = scripts({ 'ws.mjs': WS_CLIENT(o.port) });
  const out = await b.ok('node /s/ws.mjs', { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, 'open\nsmall true\nlarge true\nsecret true\npong p\nclose 1000 bye\n');
  assert.equal(o.seen.length, 0);
  assert.equal(o.upgrade.headers.authorization, `Bearer ${SECRET}`);
  assert.equal(b.records({ kind: 'request' })[0].status, 101);
});

test('a WebSocket over HTTP/1.1 beside requests over HTTP/2 to the same host', async () => {
  const o = await origin({ tls, h2: true });
  o.server.on('upgrade', (req, sock) => serveEcho(req, sock, o));
  const b = behind('api.test', o.port);
  const dir = scripts({ 'ws.mjs': WS_CLIENT(o.port) });
  const out = await b.ok(`curl -sS --http2 -o /dev/null -w '%{http_version} ' https://api.test:${o.port}/; node /s/ws.mjs`, { args: ['--bind', `${dir}:/s`] });
  assert.equal(out, '2 open\nsmall true\nlarge true\nsecret true\npong p\nclose 1000 bye\n');
  assert.equal(o.seen[0].version, '2.0');
});

/** The origin's side of a WebSocket: echoes text, tells the secret on demand. RFC 6455. */
function serveEcho(req, sock, o) {
  o.upgrade = req;
  sock.on('error', () => {});
  const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  sock.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let buf = Buffer.alloc(0), message = [];
  const send = (op, data) => {
    const n = data.length, head = n < 126 ? Buffer.from([0x80 | op, n]) : n < 65536 ? Buffer.from([0x80 | op, 126, n >> 8, n & 255]) : Buffer.concat([Buffer.from([0x80 | op, 127]), (() => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; })()]);
    sock.write(Buffer.concat([head, data]));
  };
  sock.on('data', (d) => {
    buf = Buffer.concat([buf, d]);
    for (;;) {
      if (buf.length < 2) return;
      let n = buf[1] & 127, at = 2;
      if (n === 126) { if (buf.length < 4) return; n = buf.readUInt16BE(2); at = 4; } else if (n === 127) { if (buf.length < 10) return; n = Number(buf.readBigUInt64BE(2)); at = 10; }
      assert.ok(buf[1] & 128, 'a client masks');
      if (buf.length < at + 4 + n) return;
      const mask = buf.subarray(at, at + 4), data = Buffer.from(buf.subarray(at + 4, at + 4 + n)), op = buf[0] & 15, fin = buf[0] & 128;
      for (let i = 0; i < n; i++) data[i] ^= mask[i & 3];
      buf = buf.subarray(at + 4 + n);
      if (op === 8) { send(8, data); sock.end(); return; }
      if (op === 9) { send(10, data); continue; }
      if (op > 2) continue;
      message.push(data);
      if (!fin) continue;
      const all = Buffer.concat(message);
      message = [];
      send(1, String(all) === 'tell' ? Buffer.from(`{"key":"${SECRET}"}`) : all);
    }
  });
}

/** A client over Node's own upgrade, since Node 20 has no WebSocket. */
function WS_CLIENT(port) {
  return `
import https from 'node:https';
import crypto from 'node:crypto';
const req = https.request({ host: 'api.test', port: ${port}, path: '/ws', headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Extensions': 'permessage-deflate', 'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64'), Authorization: 'Bearer ' + process.env.TOKEN } });
req.end();
const [res, sock, head] = await new Promise((ok, no) => { req.on('upgrade', (...a) => ok(a)); req.on('response', (r) => no(new Error('status ' + r.statusCode))); req.on('error', no); });
if (res.headers['sec-websocket-extensions']) throw new Error('an extension was taken');
console.log('open');
let buf = head, parts = [], waiting = [], queue = [];
const put = (m) => (waiting.length ? waiting.shift()(m) : queue.push(m));
const next = () => new Promise((ok) => (queue.length ? ok(queue.shift()) : waiting.push(ok)));
function parse() {
  for (;;) {
    if (buf.length < 2) return;
    let n = buf[1] & 127, at = 2;
    if (n === 126) { if (buf.length < 4) return; n = buf.readUInt16BE(2); at = 4; } else if (n === 127) { if (buf.length < 10) return; n = Number(buf.readBigUInt64BE(2)); at = 10; }
    if (buf.length < at + n) return;
    const op = buf[0] & 15, fin = buf[0] & 128, data = buf.subarray(at, at + n);
    buf = buf.subarray(at + n);
    if (op >= 8) { put({ op, data }); continue; }
    parts.push(data);
    if (fin) { put({ op: 1, data: Buffer.concat(parts) }); parts = []; }
  }
}
sock.on('data', (d) => { buf = Buffer.concat([buf, d]); parse(); });
function send(op, data, fin = true) {
  data = Buffer.from(data);
  const n = data.length, f = fin ? 128 : 0, mask = crypto.randomBytes(4);
  const len = n < 126 ? Buffer.from([n | 128]) : n < 65536 ? Buffer.from([126 | 128, n >> 8, n & 255]) : (() => { const b = Buffer.alloc(9); b[0] = 127 | 128; b.writeBigUInt64BE(BigInt(n), 1); return b; })();
  const body = Buffer.from(data);
  for (let i = 0; i < n; i++) body[i] ^= mask[i & 3];
  sock.write(Buffer.concat([Buffer.from([f | op]), len, mask, body]));
}
send(1, 'hello'); console.log('small', String((await next()).data) === 'hello');
const large = 'a long text '.repeat(100000);
send(1, large.slice(0, 500000), false); send(0, large.slice(500000)); console.log('large', String((await next()).data) === large);
send(1, 'tell'); console.log('secret', String((await next()).data) === '{"key":"' + process.env.TOKEN + '"}');
send(9, 'p'); const pong = await next(); console.log(pong.op === 10 ? 'pong' : 'op ' + pong.op, String(pong.data));
send(8, Buffer.concat([Buffer.from([3, 232]), Buffer.from('bye')])); const c = await next(); console.log(c.op === 8 ? 'close' : 'op ' + c.op, c.data.readUInt16BE(0), String(c.data.subarray(2)));
sock.end();
`;
}
