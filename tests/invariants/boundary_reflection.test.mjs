// Invariant 1 at the boundary: what an origin was given does not come back in its answers. Each origin here hands back the
// secret on purpose; `sh` and `py` fail when it is in what the sandbox gets, in any form. That the placeholder stands in its
// place is asserted, too: an answer that was lost would prove nothing.
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const HARD = 'p@ss "w\\rd/+&<7xQ>\'%41;=zzY';
const b64 = (s) => Buffer.from(s).toString('base64');
const given = (req) => req.headers.authorization?.replace(/^Bearer /, '') ?? req.headers['x-key'];
const behind = (o, more = {}, credentials = [credential(`api.test:${o.port}`)]) => boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials, ...more });
const pause = () => new Promise((r) => setImmediate(() => setImmediate(r)));

const bodies = {
  plain: (k) => `your key is ${k}, keep it`,
  json: (k) => JSON.stringify({ error: { headers: { authorization: `Bearer ${k}` } } }),
  json_in_json: (k) => JSON.stringify({ log: JSON.stringify({ k }) }),
  unicode: (k) => [...k].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  html: (k) => `<pre>${k.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;')}</pre>`,
  percent: (k) => encodeURIComponent(k),
  percent_all: (k) => [...k].map((c) => `%${c.charCodeAt(0).toString(16)}`).join(''),
  percent_twice: (k) => encodeURIComponent(encodeURIComponent(k)),
  form: (k) => new URLSearchParams({ k }).toString(),
  base64: (k) => b64(k),
  base64_1: (k) => b64(`x${k}y`),
  base64_2: (k) => b64(`xx${k}yy`),
  base64url: (k) => Buffer.from(`u:${k}`).toString('base64url'),
  hex: (k) => Buffer.from(k).toString('hex'),
  HEX: (k) => Buffer.from(k).toString('hex').toUpperCase(),
};
/** What an answer says, with every encoding above undone: where the placeholder or the secret would show. */
function undo(name, text) {
  const t = text.trim();
  if (name === 'json') return JSON.parse(t).error.headers.authorization;
  if (name === 'json_in_json') return JSON.parse(JSON.parse(t).log).k;
  if (name === 'unicode') return t.replace(/\\u([0-9a-f]{4})/gi, (_, h) => String.fromCharCode(parseInt(h, 16)));
  if (name === 'percent_twice') return decodeURIComponent(decodeURIComponent(t));
  if (name.startsWith('percent')) return decodeURIComponent(t);
  if (name === 'form') return new URLSearchParams(t).get('k');
  if (name.startsWith('base64')) return Buffer.from(t.replaceAll('-', '+').replaceAll('_', '/'), 'base64').toString('latin1');
  if (name.toLowerCase() === 'hex') return Buffer.from(t, 'hex').toString('latin1');
  return t;
}

test('A1 reflection: a body that repeats the secret, in every encoding', async () => {
  for (const secret of [SECRET, HARD]) {
    const o = await origin({ tls, handler: (req, res) => res.end(bodies[req.url.slice(1)](given(req))) });
    const b = behind(o, { secrets: [secret] }, [credential(`api.test:${o.port}`, {}, { secret })]);
    const names = Object.keys(bodies);
    const out = await b.ok(`echo "$TOKEN"; for n in ${names.join(' ')}; do curl -sS https://api.test:${o.port}/$n -H "Authorization: Bearer $TOKEN" | base64 -w0; echo; done`);
    const [placeholder, ...answers] = out.trim().split('\n');
    names.forEach((name, i) => {
      const body = Buffer.from(answers[i], 'base64').toString('latin1');
      const text = undo(name, body);
      assert.ok(!text.includes(secret), `${name}: ${body}`);
      assert.ok(text.includes(placeholder), `${name}: the placeholder is in place of the secret: ${body}`);
    });
    assert.equal(o.seen.length, names.length);
    assert.ok(o.seen.every((r) => given(r) === secret), 'the origin had the secret to give back');
  }
});

test('A1 reflection: headers of an answer, of every status', async () => {
  const kinds = {
    redirect: (k, res) => res.writeHead(302, { location: `https://evil.test/?k=${encodeURIComponent(k)}` }),
    cookie: (k, res) => res.writeHead(200, { 'set-cookie': [`s=${k}; Path=/`, `t=${b64(`a:${k}`)}`] }),
    challenge: (k, res) => res.writeHead(401, { 'www-authenticate': `Bearer realm="x", error_description="bad token ${k}"` }),
    debug: (k, res) => res.writeHead(500, { 'x-debug': JSON.stringify({ k }), 'x-hex': Buffer.from(k).toString('hex') }),
    disposition: (k, res) => res.writeHead(200, { 'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(k)}` }),
    link: (k, res) => res.writeHead(206, { link: `<https://api.test/${k}>; rel=next`, etag: `"${k}"` }),
    not_modified: (k, res) => res.writeHead(304, { etag: `"${k}"`, 'x-was': k }),
    name: (k, res) => res.writeHead(200, { [`x-${k}`]: '1' }),
    reason: (k, res) => res.writeHead(418, `no ${k}`),
  };
  const o = await origin({ tls, handler: (req, res) => { kinds[req.url.slice(1)](given(req), res); res.end(); } });
  const b = behind(o);
  const out = await b.ok(`echo "$TOKEN"; for n in ${Object.keys(kinds).join(' ')}; do echo "== $n"; curl -sSi https://api.test:${o.port}/$n -H "Authorization: Bearer $TOKEN"; curl -sSI https://api.test:${o.port}/$n -H "Authorization: Bearer $TOKEN"; done`);
  const placeholder = out.split('\n')[0];
  const part = Object.fromEntries(out.split('== ').slice(1).map((p) => [p.slice(0, p.indexOf('\n')), p]));
  for (const n of ['redirect', 'cookie', 'challenge', 'debug', 'disposition', 'not_modified']) assert.ok(part[n].split(placeholder).length > 2, `${n}, of GET and HEAD: ${part[n]}`);
  assert.ok(part.cookie.includes(b64(`a:${placeholder}`).slice(4, -4)) || part.cookie.includes('t='), part.cookie);
  assert.match(part.link, /HTTP\/1.1 502/, 'half of a document may hold half of a secret');
  assert.match(part.name, /HTTP\/1.1 200/);
  assert.doesNotMatch(part.name, /^x-/im, 'a field whose name is the secret is taken off, whatever case the origin wrote');
  assert.match(part.reason, /HTTP\/1.1 418 I'm a teapot|HTTP\/1.1 418/);
  assert.equal(o.seen.length, 18);
});

test('A1 reflection: cut into chunks, byte by byte, and across the border of records', async () => {
  const o = await origin({ tls, h2: true, handler: async (req, res) => {
    const text = `<<${given(req)}>>`.repeat(3);
    const n = Number(req.url.slice(1));
    for (let i = 0; i < text.length; i += n) { res.write(text.slice(i, i + n)); await pause(); }
    res.end();
  } });
  const b = behind(o);
  for (const v of ['--http1.1', '--http2']) { // in sandboxes of their own: a kept link is used by both versions
    const out = await b.ok(`echo "$TOKEN"; for n in 1 7 19 31; do curl -sS ${v} https://api.test:${o.port}/$n -H "Authorization: Bearer $TOKEN"; echo; done`);
    const [placeholder, ...answers] = out.trim().split('\n');
    // What an idle origin left unfinished is let go after a while, 8 bytes of it at most (scrub.md, 3).
    const head = new RegExp(`<<(?:${SECRET.slice(0, 8).split('').reduceRight((r, c) => `${c}(?:${r})?`)})?(?=${placeholder})`, 'g');
    assert.deepEqual(answers.map((a) => a.replace(head, '<<')), Array(4).fill(`<<${placeholder}>>`.repeat(3)));
  }
  assert.deepEqual(o.seen.map((r) => r.version), [...Array(4).fill('1.1'), ...Array(4).fill('2.0')]);
});

test('A1 reflection: inside a content coding that nobody asked for', async () => {
  const codings = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync, ...(zlib.zstdCompressSync ? { zstd: zlib.zstdCompressSync } : {}) };
  const o = await origin({ tls, handler: (req, res) => {
    const [, list] = req.url.split('/');
    const body = list.split(',').reduce((d, c) => codings[c](d), Buffer.from(`k=${given(req)}`));
    res.writeHead(200, { 'content-encoding': list }).end(body);
  } });
  const b = behind(o);
  const out = await b.ok(`echo "$TOKEN"; for c in ${Object.keys(codings).join(' ')}; do curl -sS https://api.test:${o.port}/$c -H 'Accept-Encoding: gzip, br, zstd' -H "Authorization: Bearer $TOKEN"; echo; done; curl -sS -o /dev/stdout -w '\\n%{http_code}\\n' https://api.test:${o.port}/gzip,br -H "Authorization: Bearer $TOKEN"`);
  const [placeholder, ...answers] = out.trim().split('\n');
  const n = Object.keys(codings).length;
  assert.deepEqual(answers.slice(0, n), Array(n).fill(`k=${placeholder}`));
  assert.equal(answers.at(-1), '502', 'a list of codings is not undone and does not pass');
  assert.ok(o.seen.every((r) => r.headers['accept-encoding'] === 'identity'), 'nothing else was asked for');
});

test('A1 reflection: halves of a secret by ranges', async () => {
  const o = await origin({ tls, handler: (req, res) => {
    const m = /bytes=(\d+)-(\d+)/.exec(req.headers.range ?? '');
    if (m) res.writeHead(206, { 'content-range': `bytes ${m[1]}-${m[2]}/${SECRET.length}` }).end(SECRET.slice(+m[1], +m[2] + 1));
    else res.end(SECRET);
  } });
  const b = behind(o);
  const out = await b.ok(`echo "$TOKEN"; for r in 0-9 10-30; do curl -sS -r $r https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"; echo; done`);
  const [placeholder, ...halves] = out.trim().split('\n');
  assert.deepEqual(halves, [placeholder, placeholder], 'no range was asked for, so all came, and all was mended');
  assert.ok(o.seen.every((r) => !r.headers.range));
});

test('A2 session material: challenges, Authentication-Info and an answer with tokens repeat no injected secret', async () => {
  const o = await origin({ tls, handler: (req, res) => {
    const k = given(req);
    res.writeHead(200, { 'authentication-info': `nextnonce="${k}"`, 'proxy-authenticate': `Basic realm="${k}"`, 'set-cookie': `__Host-s=${Buffer.from(k).toString('hex')}` });
    res.end(JSON.stringify({ access_token: k, refresh_token: b64(k), token_type: 'Bearer' }));
  } });
  const b = behind(o);
  const out = await b.ok(`echo "$TOKEN"; curl -sSi https://api.test:${o.port}/token -H "Authorization: Bearer $TOKEN"`);
  const placeholder = out.split('\n')[0];
  const tokens = JSON.parse(out.slice(out.indexOf('{')));
  assert.equal(tokens.access_token, placeholder);
  assert.ok(Buffer.from(tokens.refresh_token, 'base64').toString().startsWith(placeholder));
  assert.ok(out.includes(`nextnonce="${placeholder}"`) && out.includes(`__Host-s=${Buffer.from(placeholder).toString('hex')}`), out);
});

test('A31 a reflected header: the secret goes into named fields only', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  const names = ['user-agent', 'x-request-id', 'cookie', 'referer', 'x-forwarded-for', 'traceparent', 'accept'];
  const out = await b.ok(`for h in ${names.join(' ')}; do curl -sS https://api.test:${o.port}/ -H "$h: x $TOKEN"; echo; done; curl -sS "https://api.test:${o.port}/$TOKEN"; echo; curl -sS "https://api.test:${o.port}/?q=$TOKEN"; echo; curl -sS "https://api.test:${o.port}/" -H "$TOKEN: 1"`);
  assert.equal(out.trim().split('\n').filter((l) => JSON.parse(l).error.type === 'misplaced_placeholder').length, names.length + 3, out);
  assert.equal(o.seen.length, 0, 'none of them reached the origin');
});

test('A35 an interim answer or a trailer that carries the secret', async () => {
  const o = await origin({ tls, handler: (req, res) => {
    const k = given(req);
    req.socket.write(`HTTP/1.1 103 Early Hints\r\nLink: </${k}>; rel=preload\r\nX-Hint: ${b64(`ab${k}`)}\r\n\r\n`);
    res.writeHead(200, { trailer: 'x-sum, x-hex' });
    res.write('body');
    res.addTrailers({ 'x-sum': k, 'x-hex': Buffer.from(k).toString('hex') });
    res.end();
  } });
  const b = behind(o);
  const r = await b.py(`
out['h'] = TOKEN
out['all'] = talk('api.test', P['port'], 'GET / HTTP/1.1\\r\\nHost: api.test:%d\\r\\nTE: trailers\\r\\nAuthorization: Bearer %s\\r\\nConnection: close\\r\\n\\r\\n' % (P['port'], TOKEN))
`, { port: o.port });
  assert.match(r.all, /^HTTP\/1.1 103/);
  assert.ok(r.all.includes(`</${r.h}>; rel=preload`), r.all);
  assert.ok(r.all.toLowerCase().includes(`x-sum: ${r.h.toLowerCase()}`), r.all);
  assert.ok(r.all.includes(Buffer.from(r.h).toString('hex')), r.all);
});

test('A19 server-sent events: each passes before the next is sent, scrubbed as it goes', async () => {
  const wait = [];
  const o = await origin({ tls, h2: true, handler: async (req, res) => {
    if (req.url === '/ack') { wait.shift()?.(); return void res.end(); }
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let i = 0; i < 3; i++) { // goes on only when the client says that it has the one before
      res.write(`data: ${i} ${given(req)}\n\n`);
      await new Promise((ok) => wait.push(ok));
    }
    res.end();
  } });
  const b = behind(o);
  const r = await b.py(`
host = 'api.test:%d' % P['port']
head = ' HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' % (host, TOKEN)
s = dial('api.test', P['port'])
say(s, 'GET /events' + head)
out['h'], out['got'] = TOKEN, ''
for i in range(3):
    out['got'] += hear(s, TOKEN + '\\n\\n')
    a = dial('api.test', P['port'])
    say(a, 'POST /ack' + head.replace('\\r\\n\\r\\n', '\\r\\nContent-Length: 0\\r\\n\\r\\n'))
    hear(a, '\\r\\n\\r\\n')
out['got'] += hear(s, '0\\r\\n\\r\\n')
`, { port: o.port });
  assert.deepEqual(r.got.match(/data: .*/g), [0, 1, 2].map((i) => `data: ${i} ${r.h}`), r.got);
  assert.ok(!r.got.includes('<no more'), r.got);
});

test('A34 a compressed bomb ends the answer, and the boundary lives on', async () => {
  const bomb = zlib.gzipSync(Buffer.alloc(64 << 20)), br = zlib.brotliCompressSync(Buffer.alloc(64 << 20), { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } });
  const o = await origin({ tls, handler: (req, res) => {
    if (req.url === '/fine') return void res.end('fine');
    res.writeHead(200, { 'content-encoding': req.url.slice(1) }).end(req.url === '/gzip' ? bomb : br);
  } });
  const b = behind(o);
  const out = await b.ok(`for c in gzip br; do curl -sS https://api.test:${o.port}/$c -H "Authorization: Bearer $TOKEN" | wc -c; done; curl -sS https://api.test:${o.port}/fine`, { timeout: 60000 });
  const [gzip, brotli, fine] = out.trim().split('\n');
  assert.ok(Number(gzip) < 64 << 20 && Number(brotli) < 64 << 20, out);
  assert.equal(fine, 'fine');
  assert.ok(b.records({ kind: 'request' }).filter((r) => r.verdict !== 'allow' || r.reason).length >= 2, JSON.stringify(b.records()));
});

test('A35 the same over HTTP/2', async () => {
  const o = await origin({ tls, h2: true, handler: (req, res) => {
    const k = given(req);
    res.stream.additionalHeaders({ ':status': 103, link: `</${k}>; rel=preload` });
    res.write(`body ${k}`);
    res.addTrailers({ 'grpc-message': encodeURIComponent(k), 'x-sum': k });
    res.end();
  } });
  const b = behind(o);
  const out = await b.ok(`echo "$TOKEN"; curl -sSi --http2 https://api.test:${o.port}/ -H 'TE: trailers' -H "Authorization: Bearer $TOKEN"`);
  const placeholder = out.split('\n')[0];
  assert.equal(o.seen[0].version, '2.0');
  assert.equal(out.split(placeholder).length, 6, out);
});
