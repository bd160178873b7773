// HTTP/2 of src/http/pipe, in plain text, against implementations of others: curl, nghttp, h2load and Node, on either side.
// tests/lib/h2_talk.c is the program.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import path from 'node:path';
import { BIN, end, ms, run, start, tempDir } from '../lib/own.mjs';
import fs from 'node:fs';

const TALK = path.join(path.dirname(BIN), 'tests', 'lib', 'h2_talk');

/** Our server, for one test. */
async function server(t) {
  const p = start(TALK, ['serve'], { stdin: 'pipe' });
  t.after(() => end(p));
  const [addr] = await p.line(/127\.0\.0\.1:\d+/);
  return { p, addr };
}

/** A server of Node; `stream` gets each request. */
async function nodeServer(t, stream, settings = {}) {
  const s = http2.createServer({ settings });
  const sessions = new Set();
  s.on('session', (x) => { sessions.add(x); x.on('error', () => {}); });
  s.on('stream', stream);
  await new Promise((done) => s.listen(0, '127.0.0.1', done));
  t.after(() => { for (const x of sessions) x.destroy(); s.close(); });
  return `127.0.0.1:${s.address().port}`;
}

const ask = (addr, method, target, n, bytes) => run(TALK, ['ask', addr, method, target, String(n), String(bytes)], { timeout: ms(60000) });

test('curl asks, sends and gets large bodies', async (t) => {
  const { addr } = await server(t);
  const curl = (...args) => run('curl', ['-sS', '--http2-prior-knowledge', ...args]);
  let r = await curl(`http://${addr}/a?b=c`, '-H', 'Cookie: a=1; b=2');
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /^GET 127\.0\.0\.1:\d+ \/a\?b=c\n/);
  assert.match(r.out, /cookie: a=1; b=2\n/);
  const file = path.join(tempDir('h2'), 'body');
  fs.writeFileSync(file, Buffer.alloc(5_000_000, 'x'));
  r = await curl('--data-binary', `@${file}`, '-H', 'Expect: 100-continue', '-o', `${file}.back`, '-w', '%{http_code} %{http_version}', `http://${addr}/echo`);
  assert.equal(r.out, '200 2', r.err);
  assert.ok(fs.readFileSync(file).equals(fs.readFileSync(`${file}.back`)));
  r = await curl('-I', `http://${addr}/`);
  assert.match(r.out, /^HTTP\/2 200/);
  r = await curl('-o', `${file}.big`, '-w', '%{size_download}', `http://${addr}/bytes/50000000`);
  assert.equal(r.out, '50000000');
});

test('nghttp sees heads, data and trailers as they should be', async (t) => {
  const { addr } = await server(t);
  const file = path.join(tempDir('h2'), 'body');
  fs.writeFileSync(file, 'hello');
  const r = await run('nghttp', ['-v', '-d', file, '--trailer', 'x-sum: 5', `http://${addr}/echo`]);
  assert.equal(r.code, 0, r.err);
  const plain = r.out.replace(/\x1b\[[\d;]*m/g, '');
  assert.match(plain, /recv \(stream_id=\d+\) :status: 200/);
  assert.match(plain, /recv \(stream_id=\d+\) x-sum: 5/);
  assert.doesNotMatch(plain, /RST_STREAM|PROTOCOL_ERROR/);
});

test('h2load: no request fails', async (t) => {
  const { p, addr } = await server(t);
  const load = async (...args) => {
    const r = await run('h2load', [...args], { timeout: ms(60000) });
    assert.equal(r.code, 0, r.err);
    return r.out;
  };
  assert.match(await load('-n', '20000', '-c', '20', '-m', '50', `http://${addr}/bytes/1000`), /20000 succeeded, 0 failed, 0 errored/);
  assert.match(await load('-n', '20', '-c', '2', '-m', '5', `http://${addr}/bytes/5000000`), /20 succeeded, 0 failed, 0 errored/);
  const body = path.join(tempDir('h2'), 'body');
  fs.writeFileSync(body, Buffer.alloc(300_000));
  assert.match(await load('-n', '200', '-c', '4', '-m', '10', '-d', body, `http://${addr}/echo`), /200 succeeded, 0 failed, 0 errored/);
  await end(p);
  assert.doesNotMatch(p.err, /connection: -(?!104|125)/, 'every connection ends in order, or with ours');
});

test('a client of Node: both directions at once, trailers, a tunnel', async (t) => {
  const { addr } = await server(t);
  const c = http2.connect(`http://${addr}`);
  // The server is ended first, which the client may see as a reset.
  c.on('error', (e) => assert.equal(over && e.code, 'ECONNRESET'));
  let over = false;
  t.after(() => c.destroy());
  await new Promise((done) => c.once('remoteSettings', done));
  assert.equal(c.remoteSettings.enableConnectProtocol, true);
  const said = (s) => new Promise((done) => s.once('data', (d) => done(String(d))));

  const s = c.request({ ':method': 'POST', ':path': '/echo', te: 'trailers' }, { waitForTrailers: true });
  const head = await new Promise((done) => { s.once('response', done); s.write('one'); });
  assert.equal(head[':status'], 200);
  assert.equal(await said(s), 'one');
  s.write('two');
  assert.equal(await said(s), 'two');
  s.on('wantTrailers', () => s.sendTrailers({ 'grpc-status': '0' }));
  const trailers = new Promise((done) => s.once('trailers', done));
  s.end();
  s.resume();
  assert.equal((await trailers)['grpc-status'], '0');

  const tunnel = c.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' });
  assert.equal((await new Promise((done) => tunnel.once('response', done)))[':status'], 200);
  tunnel.write('raw');
  assert.equal(await said(tunnel), 'raw');
  tunnel.close(http2.constants.NGHTTP2_CANCEL);

  // Without a protocol: only an authority (RFC 9113 8.5). The first bytes go with the request.
  const plain = c.request({ ':method': 'CONNECT', ':authority': 'wiki.example:443' });
  plain.write('first flight');
  assert.equal((await new Promise((done) => plain.once('response', done)))[':status'], 200);
  assert.equal(await said(plain), 'first flight');
  plain.end('last');
  assert.equal(await said(plain), 'last');
  await new Promise((done) => plain.once('end', done).resume());

  // Others are not disturbed.
  const again = c.request({ ':path': '/x' });
  assert.match(await said(again), /^GET .* \/x\n/);
  over = true;
});

test('a server of Node: many requests, bodies both ways, trailers', async (t) => {
  // (Node calls a stream too many while an ended one waits to be collected: room for some of those.)
  const addr = await nodeServer(t, (s, h) => {
    if (h[':path'] === '/trailers') {
      s.respond({ ':status': 200 }, { waitForTrailers: true });
      s.on('wantTrailers', () => s.sendTrailers({ 'grpc-status': '0' }));
      s.end('message');
    } else if (h[':path'] === '/early') {
      s.additionalHeaders({ ':status': 103, link: 'x' });
      s.respond({ ':status': 200, 'content-length': '3' });
      s.resume();
      s.end('now');
    } else {
      s.respond({ ':status': 200 });
      s.pipe(s);
    }
  }, { maxConcurrentStreams: 100 });
  let r = await ask(addr, 'GET', '/trailers', 300, 0);
  assert.match(r.out, /done=300 received=2100 trailers=300/, r.err);
  r = await ask(addr, 'POST', '/echo', 40, 1_000_000);
  assert.match(r.out, /done=40 received=40000000 /, r.err);
  r = await ask(addr, 'POST', '/early', 40, 200_000);
  assert.match(r.out, /done=40 received=120 /, r.err);
});

test('a server of Node: tunnels', async (t) => {
  const addr = await nodeServer(t, (s, h) => {
    assert.equal(h[':method'], 'CONNECT');
    assert.equal(h[':path'], undefined);
    s.respond({ ':status': 200 });
    s.pipe(s);
  });
  const r = await ask(addr, 'CONNECT', '/', 40, 300_000);
  assert.match(r.out, /done=40 received=12000000 /, r.err);
});

test('a server of Node that goes away is an error for those who wait', async (t) => {
  let n = 0;
  const addr = await nodeServer(t, (s) => { if (++n === 3) s.session.destroy(); else if (n < 3) { s.respond({ ':status': 200 }); s.end('x'); } s.on('error', () => {}); });
  const r = await ask(addr, 'GET', '/', 20, 0);
  assert.notEqual(r.code, 0);
  assert.equal(r.timedOut, false, 'nobody waits for ever');
});
