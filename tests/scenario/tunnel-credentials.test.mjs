// Credentials at the gateway: what the private server gets, what the caller never does.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import path from 'node:path';
import zlib from 'node:zlib';
import { authority, formsOf, holdsNo, SECRET } from '../lib/egress.mjs';
import { BIN, run, tempDir, until } from '../lib/own.mjs';
import { call, callerSession, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const STANDIN = '[secret of the gateway]';
const OTHER = 'sk-next-M8zQ1wE5rT9yU3iO7pA2sD4f';

let later; // what ends a stream that waits
/** A private server that says again whatever it was told, in the way the path asks for. */
function echo(q, r) {
  const told = JSON.stringify(q.headers), how = q.url.split('?')[0];
  r.setHeader('x-told', q.headers.authorization ?? q.headers['x-api-key'] ?? '');
  if (how === '/gzip') { r.setHeader('content-encoding', 'gzip'); r.end(zlib.gzipSync(told)); return; }
  if (how === '/odd') { r.setHeader('content-encoding', 'x-odd'); r.end(told); return; }
  if (how === '/redirect') { r.writeHead(307, { location: `http://elsewhere.example/?k=${q.headers.authorization ?? q.url}` }); r.end(); return; }
  if (how === '/error') { r.writeHead(500); r.end(`<html>${told}</html>`); return; }
  if (how === '/forms') { r.end(formsOf(q.headers.authorization.slice(7)).join('\n')); return; }
  if (how === '/later') { r.write('begun\n'); later = (text) => r.end(text); return; }
  if (how === '/slow') { for (let i = 0; i < told.length; i += 7) r.write(told.slice(i, i + 7)); r.end(); return; }
  if (how === '/trailer') { r.writeHead(200, { trailer: 'x-end', 'transfer-encoding': 'chunked' }); r.write('body'); r.addTrailers({ 'x-end': q.headers.authorization }); r.end(); return; }
  r.setHeader('content-length', Buffer.byteLength(told));
  r.end(told);
}

describe('a route with a credential', () => {
  let s, t, g, ca, secure, plain, file, dir, seen, sockets;
  const routes = (more = {}) => ({
    tickets: { upstream: `https://localhost:${secure.port}`, credential: { header: 'Authorization', value: `Bearer \${file:${file}}` } },
    keyed: { upstream: `http://127.0.0.1:${plain.port}`, credential: { header: 'X-Api-Key', value: '${secret}', source: { exec: ['/bin/cat', file], ttl: 0 }, name: 'the-key', plaintext: true } },
    asked: { upstream: `https://localhost:${secure.port}`, credential: { query: 'api key', value: `\${file:${file}}` } },
    open: `http://127.0.0.1:${plain.port}`,
    own: { upstream: `http://127.0.0.1:${plain.port}`, pass_authorization: true },
    ...more,
  });
  const config = () => ({ upstream: { allowed_ips: ['127.0.0.0/8', '::1'], tls: { ca_file: ca.file } } });
  const host = (name) => `${name}.${t.domain}`;
  const ask = (name, at = '/', headers = {}) => call(s, t, host(name), { path: at, headers });
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    ca = authority(tempDir('upstream-ca'));
    dir = tempDir('secrets');
    file = path.join(dir, 'tickets');
    fs.writeFileSync(file, `${SECRET}\n`, { mode: 0o600 });
    seen = []; sockets = new Set();
    const handler = (q, r) => { seen.push({ url: q.url, headers: q.headers }); sockets.add(q.socket); q.resume(); echo(q, r); };
    secure = https.createServer(ca.issue(['localhost']), handler);
    plain = http.createServer(handler);
    for (const x of [secure, plain]) { await new Promise((ok) => x.listen(0, '127.0.0.1', ok)); x.port = x.address().port; }
    g = await startGateway(s, t, routes(), { config: config() });
  });
  after(async () => {
    await g?.stop();
    for (const what of [g?.proc.err, g?.proc.out, s?.proc.err]) if (what) holdsNo('a log', SECRET, what);
    await s?.stop();
    for (const x of [secure, plain]) { x?.closeAllConnections(); x?.close(); }
  });

  test('the server gets it, and the caller gets what stands for it', async () => {
    const r = await ask('tickets', '/', { authorization: 'Bearer of-the-caller' });
    assert.equal(r.status, 200, r.text);
    assert.equal(seen.at(-1).headers.authorization, `Bearer ${SECRET}`);
    assert.equal(JSON.parse(r.text).authorization, `Bearer ${STANDIN}`);
    assert.equal(Number(r.headers['content-length']), Buffer.byteLength(r.text), 'a small body keeps a length');
    assert.equal(r.headers['x-told'], `Bearer ${STANDIN}`);
  });

  test('the caller cannot say the field itself, in any spelling', async () => {
    for (const headers of [{ 'x-api-key': 'of-the-caller' }, { 'X_Api_Key': 'of-the-caller' }, { 'x-API-key': ['a', 'b'] }]) {
      const r = await ask('keyed', '/', headers);
      assert.equal(r.status, 200, r.text);
      assert.equal(seen.at(-1).headers['x-api-key'], SECRET);
      assert.equal(seen.at(-1).headers.x_api_key, undefined);
    }
  });

  test('in the query: whatever the caller has said of that name goes', async () => {
    const r = await ask('asked', '/redirect?api+key=of-the-caller&x=1&api%20key=2&%61pi%20key=3');
    assert.equal(seen.at(-1).url, `/redirect?x=1&api%20key=${SECRET}`);
    assert.equal(seen.at(-1).headers.authorization, undefined);
    assert.equal(r.status, 307, r.text);
    holdsNo('the answer', SECRET, r.text + JSON.stringify(r.headers));
  });

  for (const at of ['/gzip', '/redirect', '/error', '/forms', '/slow', '/trailer'])
    test(`it does not come back: ${at}`, async () => {
      const before = seen.length;
      let trailers = '';
      const r = await call(s, t, host('tickets'), { path: at, onResponse: (m) => m.on('end', () => { trailers = JSON.stringify(m.trailers); }) });
      assert.equal(seen[before].headers.authorization, `Bearer ${SECRET}`, 'it went out');
      holdsNo(at, SECRET, r.text + JSON.stringify(r.headers) + trailers);
      if (at === '/trailer') assert(trailers.includes(STANDIN), trailers);
      else assert((r.text + JSON.stringify(r.headers)).includes('gateway]') || at === '/forms', r.text);
      assert.equal(seen.length, before + 1, 'a redirect is not followed');
    });

  test('over HTTP/2, too', async () => {
    const session = await callerSession(s, t, host('tickets'));
    const text = await new Promise((ok, no) => {
      const q = session.request({ ':path': '/slow' });
      let got = '';
      q.on('data', (d) => { got += d; }).on('end', () => ok(got)).on('error', no);
      q.end();
    });
    session.close();
    holdsNo('the answer', SECRET, text);
    assert(text.includes(STANDIN), text);
  });

  test('what cannot be looked into is not passed on', async () => {
    const r = await ask('tickets', '/odd');
    assert.equal(r.status, 502);
    assert.equal(JSON.parse(r.text).error.data.gateway_failure.source, 'protocol');
    holdsNo('the answer', SECRET, r.text);
  });

  test('a value that repeats itself is not taken, and is forgotten when it was mended', async () => {
    const good = fs.readFileSync(file);
    const put = (v) => { fs.writeFileSync(`${file}.new`, v, { mode: 0o600 }); fs.renameSync(`${file}.new`, file); };
    assert.equal((await ask('tickets')).status, 200);
    const before = seen.length;
    put('a'.repeat(64));
    const r = await ask('tickets');
    assert.equal(r.status, 502, r.text);
    assert.equal(JSON.parse(r.text).error.data.gateway_failure.source, 'credential');
    assert.equal(seen.length, before, 'nothing went out');
    put(good);
    const again = await ask('tickets');
    assert.equal(again.status, 200, again.text);
    assert.equal(seen.at(-1).headers.authorization, `Bearer ${SECRET}`);
  });

  test('what a server repeats does not reach the callers of another route to it', async () => {
    await ask('keyed');
    assert.equal(seen.at(-1).headers['x-api-key'], SECRET, 'the server has it');
    const r = await ask('open', '/', { 'x-remembered': SECRET });
    assert.equal(seen.at(-1).headers['x-api-key'], undefined);
    assert.equal(seen.at(-1).headers['x-remembered'], SECRET, 'the server says it');
    holdsNo('the answer', SECRET, r.text);
    assert.equal(JSON.parse(r.text)['x-remembered'], STANDIN);
    // Also when the route that had it is gone, and another name leads to the server.
    const { keyed, ...rest } = routes();
    g.write({ tickets: rest.tickets, renamed: rest.open });
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew" routes=2/);
    const q = await ask('renamed', '/', { 'x-remembered': SECRET });
    assert.equal(JSON.parse(q.text)['x-remembered'], STANDIN, q.text);
    g.write(routes());
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew" routes=5/);
  });

  test('nor on a stream that began before the server had it', async () => {
    const fresh = 'sk-late-Zq7Wm2Xc9Vb4Nn1Lk6Jh3Gf8', good = fs.readFileSync(file);
    const put = (v) => { fs.writeFileSync(`${file}.new`, v, { mode: 0o600 }); fs.renameSync(`${file}.new`, file); };
    let got = '';
    const stream = call(s, t, host('open'), { path: '/later', onResponse: (r) => r.on('data', (d) => { got += d; }) });
    await until('it has begun', () => got.includes('begun'));
    put(fresh);
    await ask('keyed');
    assert.equal(seen.at(-1).headers['x-api-key'], fresh, 'the server has it');
    later(`the key is ${fresh}`);
    const r = await stream;
    put(good);
    holdsNo('the stream', fresh, r.text);
    assert.equal(r.text, `begun\nthe key is ${STANDIN}`);
  });

  test('other routes do not have it; pass_authorization passes the caller\'s', async () => {
    await ask('open', '/', { authorization: 'Bearer of-the-caller' });
    assert.equal(seen.at(-1).headers.authorization, undefined);
    const r = await ask('own', '/', { authorization: 'Bearer of-the-caller' });
    assert.equal(seen.at(-1).headers.authorization, 'Bearer of-the-caller');
    assert.equal(JSON.parse(r.text).authorization, 'Bearer of-the-caller');
    assert.equal((await ask('own', '/', { authorization: 'NTLM TlRMTVNTUAAB' })).status, 403);
  });

  test('connections are not shared between routes that go to the same server', async () => {
    sockets.clear();
    await ask('open'); await ask('own'); await ask('keyed'); await ask('open'); await ask('own');
    assert.equal(sockets.size, 3, 'one each, used again by its own route');
  });

  test('a rotation counts from the next call on, and the old value still does not come back', async () => {
    await ask('tickets');
    sockets.clear();
    fs.writeFileSync(`${file}.new`, OTHER, { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
    let r = await ask('tickets');
    assert.equal(seen.at(-1).headers.authorization, `Bearer ${OTHER}`);
    holdsNo('the answer', OTHER, r.text);
    r = await ask('tickets', '/', { 'x-remembered': SECRET });
    holdsNo('the answer', SECRET, r.text);
    assert(JSON.parse(r.text)['x-remembered'] === STANDIN);
    // Also when the files are read anew.
    g.write(routes({ another: `http://127.0.0.1:${plain.port}` }));
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew" routes=6/);
    r = await ask('tickets', '/', { 'x-remembered': SECRET });
    assert(JSON.parse(r.text)['x-remembered'] === STANDIN, r.text);
  });

  test('a secret that cannot be read: the call is refused, with whose fault it was', async () => {
    fs.renameSync(file, `${file}.away`);
    const before = seen.length;
    const r = await ask('tickets');
    assert.equal(r.status, 502);
    assert.equal(JSON.parse(r.text).error.data.gateway_failure.source, 'credential');
    assert(!r.text.includes(dir), 'no path of the inside');
    assert.equal(seen.length, before, 'nothing went out');
    fs.writeFileSync(file, 'short', { mode: 0o600 });
    await until('it is seen', async () => (await ask('tickets')).status === 502);
    assert.equal(seen.length, before);
    fs.renameSync(`${file}.away`, file);
    await until('it is back', async () => (await ask('tickets')).status === 200);
  });
});

test('a field that may not be indexed is not indexed on the way to the server either', async () => {
  const s = await edgeServer();
  const t = await makeTunnel(s);
  const ca = authority(tempDir('upstream-ca'));
  let told;
  const server = http2.createSecureServer(ca.issue(['localhost']), (q, r) => { told = q.headers; r.end('x'); });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
  let g, session;
  try {
    g = await startGateway(s, t, { a: `https://localhost:${server.address().port}` }, { config: { upstream: { allowed_ips: ['127.0.0.0/8', '::1'], tls: { ca_file: ca.file } } } });
    session = await callerSession(s, t, `a.${t.domain}`);
    await new Promise((ok, no) => {
      const q = session.request({ ':path': '/', 'x-private': 'of-the-caller', 'x-plain': 'y', [http2.sensitiveHeaders]: ['x-private'] });
      q.on('data', () => {}).on('end', ok).on('error', no);
      q.end();
    });
    assert.equal(told['x-private'], 'of-the-caller');
    assert.equal(told['x-plain'], 'y');
    assert(told[http2.sensitiveHeaders].includes('x-private'), String(told[http2.sensitiveHeaders]));
    assert(!told[http2.sensitiveHeaders].includes('x-plain'));
  } finally { session?.close(); await g?.stop(); await s.stop(); server.close(); }
});

test('a configuration with a source that is none is told at the start', async () => {
  const s = await edgeServer();
  const t = await makeTunnel(s);
  try {
    const g = await startGateway(s, t, { a: 'http://127.0.0.1:1' });
    await g.stop();
    g.write({ a: { upstream: 'https://127.0.0.1:1', credential: { header: 'X-Key', value: '${secret}', source: { fiel: '/x' } } } });
    const r = await run(BIN, ['gateway', '--config', g.file, '--metrics', 'none']);
    assert.equal(r.code, 1);
    assert.match(r.err, /gateway\.yaml:\d+: routes\.a\.credential: /);
  } finally { await s.stop(); }
});
