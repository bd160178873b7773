// The gateway behind a connector, as the published proxy stands behind one: listen_addr, a plain WebSocket, the caller's TLS in it. The
// peer is the `ws` package.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import WebSocket, { createWebSocketStream } from 'ws';
import { authority } from '../lib/egress.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { BIN, end, ms, run, start, tempDir, until, within } from '../lib/own.mjs';

const DOMAIN = 't-1.tunnel.example';
const ca = authority(tempDir('ws-ca'));
const leaf = ca.issue([`*.${DOMAIN}`]);
const listen = (s) => new Promise((ok) => s.listen(0, '127.0.0.1', () => ok(s.address().port)));
async function freePort() { const s = net.createServer(); const p = await listen(s); await new Promise((ok) => s.close(ok)); return p; }

/** A gateway with the published file's fields and no other. */
async function startListener(routes, more = {}) {
  const g = { port: await freePort(), file: path.join(tempDir('ws'), 'gateway.yaml') };
  fs.writeFileSync(g.file, JSON.stringify({
    listen_addr: `127.0.0.1:${g.port}`, log_level: 'debug', shutdown_timeout: '5s', tunnel_domain: DOMAIN,
    tls: { cert_file: leaf.certFile, key_file: leaf.keyFile }, upstream: { allowed_ips: ['127.0.0.1/32'] }, routes, ...more,
  }));
  g.proc = start(BIN, ['gateway', '--config', g.file, '--metrics', '127.0.0.1:0']);
  await g.proc.line(/^ready /m);
  g.page = (await g.proc.line(/msg="?metrics"? listen="?([0-9.:]+)/))[1];
  g.stop = (signal = 'SIGTERM') => end(g.proc, { signal });
  return g;
}
const dial = (g, opts = {}) => new Promise((ok, no) => { const w = new WebSocket(`ws://127.0.0.1:${g.port}/`, opts); w.on('open', () => ok(w)); w.on('error', no); });
/** The caller's TLS in a WebSocket. */
async function caller(g, host, { alpn = ['http/1.1'], via = (w) => createWebSocketStream(w) } = {}) {
  const w = await dial(g);
  return new Promise((ok, no) => {
    const socket = via(w);
    socket.on('error', no);
    const k = tls.connect({ socket, servername: host, ca: fs.readFileSync(ca.file), ALPNProtocols: alpn });
    k.once('secureConnect', () => { k.off('error', no).on('error', () => {}); ok(Object.assign(k, { ws: w })); });
    k.once('error', no);
  });
}
function ask(k, host, { method = 'GET', path: at = '/', body } = {}) {
  return new Promise((ok, no) => {
    const q = http.request({ method, path: at, headers: { host }, createConnection: () => k }, (r) => {
      const parts = [];
      r.on('data', (d) => parts.push(d)).on('end', () => ok({ status: r.statusCode, body: Buffer.concat(parts) })).on('error', no);
    });
    q.on('error', no);
    q.setTimeout(ms(30000), () => q.destroy(new Error('no answer')));
    q.end(body);
  });
}
/** What comes on a raw socket that says this. */
const raw = (g, text, wait = ms(5000)) => within(new Promise((ok) => {
  const k = net.connect(g.port, '127.0.0.1');
  let got = Buffer.alloc(0);
  k.on('data', (d) => { got = Buffer.concat([got, d]); }).on('close', () => ok(got)).on('error', () => {});
  for (const t of [text].flat()) k.write(t);
}), wait, 'the end of a connection');
const OPEN = ['GET / HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
const head = (lines) => [...lines, '', ''].join('\r\n');

describe('a gateway behind a connector', () => {
  let g, server, seen;
  const host = `wiki.${DOMAIN}`;
  before(async () => {
    seen = [];
    server = http.createServer((q, r) => {
      let n = 0;
      q.on('data', (d) => { n += d.length; });
      q.on('end', () => { seen.push({ url: q.url, headers: q.headers, n }); r.end(q.url === '/big' ? Buffer.alloc(8 << 20, 'z') : `got ${n}`); });
    });
    g = await startListener({ wiki: `http://127.0.0.1:${await listen(server)}` });
  });
  after(async () => { await g?.stop(); server?.closeAllConnections(); server?.close(); });
  const metric = async (name) => Number((await (await fetch(`http://${g.page}/metrics`)).text()).match(new RegExp(`^${name} (\\S+)$`, 'm'))?.[1]);

  test('the published file is taken as it is; a call goes through, with the gateway\'s certificate', async () => {
    assert.match(g.proc.out, new RegExp(`^ready listen=127\\.0\\.0\\.1:${g.port} routes=1$`, 'm'));
    const k = await caller(g, host);
    assert.equal(await metric('sallyport_gateway_callers'), 1);
    const r = await ask(k, host, { method: 'POST', path: '/mcp?x=1', body: 'hello' });
    assert.deepEqual([r.status, r.body.toString()], [200, 'got 5']);
    assert.equal(seen.at(-1).headers['x-forwarded-host'], host);
    k.destroy();
    await until('it has left', async () => await metric('sallyport_gateway_callers') === 0);
    const other = await ask(await caller(g, `nothing.${DOMAIN}`), `nothing.${DOMAIN}`);
    assert.equal(other.status, 404);
    assert.equal(JSON.parse(other.body).error.data.gateway_failure.source, 'policy');
  });

  test('HTTP/2 by ALPN, many requests on one WebSocket', async () => {
    const k = await caller(g, host, { alpn: ['h2'] });
    const session = http2.connect(`https://${host}`, { createConnection: () => k });
    session.on('error', () => {});
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => new Promise((ok, no) => {
      const q = session.request({ ':path': `/n/${i}`, ':method': 'POST' });
      let text = '';
      q.setEncoding('utf8').on('data', (d) => { text += d; }).on('end', () => ok(text)).on('error', no);
      q.end('x'.repeat(i));
    })));
    assert.deepEqual(all, Array.from({ length: 40 }, (_, i) => `got ${i}`));
    session.destroy();
  });

  test('large bodies both ways, whole', async () => {
    const up = await ask(await caller(g, host), host, { method: 'POST', body: Buffer.alloc(8 << 20, 'a') });
    assert.equal(up.body.toString(), `got ${8 << 20}`);
    const down = await ask(await caller(g, host), host, { path: '/big' });
    assert.equal(down.body.length, 8 << 20);
    assert(down.body.equals(Buffer.alloc(8 << 20, 'z')));
  });

  test('frames may be cut anywhere, with pings in between, and pings are answered', async () => {
    let pongs = 0;
    const crumbs = (w) => {
      w.on('pong', (d) => { pongs += d.toString() === 'are you there'; });
      const s = createWebSocketStream(w);
      const real = w.send.bind(w);
      w.send = (data, opts, done) => {
        const b = Buffer.from(data);
        for (let i = 0; i < b.length; i += 7) {
          const fin = i + 7 >= b.length;
          if (i % 21 === 0) w.ping('are you there');
          real(b.subarray(i, i + 7), { binary: true, fin }, fin ? (typeof opts === 'function' ? opts : done) : undefined);
        }
      };
      return s;
    };
    const k = await caller(g, host, { via: crumbs });
    assert.equal((await ask(k, host, { method: 'POST', body: 'y'.repeat(3000) })).body.toString(), 'got 3000');
    assert(pongs > 0, 'pongs came');
    k.destroy();
  });

  test('a name that is not ours gets unrecognized_name; what is no TLS, an end', async () => {
    await assert.rejects(caller(g, 'wiki.elsewhere.example'), (e) => /unrecognized name|alert number 112/i.test(String(e)) || e.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME');
    const w = await dial(g);
    const gone = new Promise((ok) => w.on('close', ok));
    w.on('error', () => {});
    w.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await within(gone, ms(5000), 'it is ended');
    assert.equal(g.proc.ended, false);
  });

  test('a page of a browser is refused, whatever its site', async () => {
    await assert.rejects(dial(g, { origin: 'https://evil.example' }), /403/);
    (await dial(g)).close();
  });

  test('the opening handshake is that of RFC 6455, and nothing else', async () => {
    const good = await new Promise((ok) => { const k = net.connect(g.port, '127.0.0.1'); k.once('data', (d) => { ok(d.toString()); k.destroy(); }); k.write(head(OPEN)); });
    assert.match(good, /^HTTP\/1\.1 101 /);
    assert.match(good, /^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/mi, 'the example of RFC 6455 1.3');
    assert.doesNotMatch(good, /extensions/i);
    for (const [what, lines, status] of [
      ['no upgrade', ['GET / HTTP/1.1', 'Host: x', 'Connection: close'], 426],
      ['another version', OPEN.map((l) => l.replace(': 13', ': 12')), 400],
      ['no key', OPEN.filter((l) => !/Key/.test(l)), 400],
      ['two keys', [...OPEN, OPEN.at(-1)], 400],
      ['a short key', OPEN.map((l) => l.replace('dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZQ==')), 400],
    ]) assert.match((await raw(g, head(lines))).toString(), new RegExp(`^HTTP/1\\.1 ${status} `), what);
  });

  test('what is no frame of a client is an end: text, no mask, a flood of frames without data', async () => {
    const w = await dial(g);
    const code = new Promise((ok) => w.on('close', ok));
    w.on('error', () => {});
    w.send('text');
    assert.equal(await within(code, ms(5000), 'it is closed'), 1002);
    const after101 = (b) => b.subarray(b.indexOf('\r\n\r\n') + 4);
    const unmasked = await new Promise((ok) => {
      const k = net.connect(g.port, '127.0.0.1');
      let got = Buffer.alloc(0);
      k.on('data', (d) => { if (got.length === 0) k.write(Buffer.from([0x82, 1, 0x16])); got = Buffer.concat([got, d]); }).on('close', () => ok(got)).on('error', () => {});
      k.write(head(OPEN));
    });
    const end1 = after101(unmasked);
    assert.deepEqual([end1[0], end1.readUInt16BE(2)], [0x88, 1002]);
    const flood = await within(new Promise((ok) => {
      const k = net.connect(g.port, '127.0.0.1');
      const empty = Buffer.from([0x82, 0x80, 0, 0, 0, 0]);
      const many = Buffer.concat(Array.from({ length: 20000 }, () => empty));
      let going = false;
      const more = () => { while (!k.destroyed && k.write(many)); };
      k.on('data', () => { if (!going) { going = true; k.on('drain', more); more(); } }).on('close', () => ok(true)).on('error', () => {});
      k.write(head(OPEN));
    }), ms(15000), 'the flood is ended');
    assert(flood);
    assert.equal((await ask(await caller(g, host), host)).status, 200, 'others do not notice');
  });

  test('status, readiness and doctor know the listener', async () => {
    const ready = await until('ready', async () => { const r = await fetch(`http://${g.page}/readyz`); return r.status === 200 && r.json(); });
    assert.equal(ready.ready, true);
    const j = await (await fetch(`http://${g.page}/status`)).json();
    assert.deepEqual([j.listen, j.edge, j.connections], [`127.0.0.1:${g.port}`, null, []]);
    const shown = await run(BIN, ['gateway', 'status', '--admin', g.page]);
    assert.match(shown.out, new RegExp(`listens +127\\.0\\.0\\.1:${g.port}`));
    const d = await run(BIN, ['gateway', 'doctor', '--config', g.file, '--json'], { timeout: ms(60000) });
    const checks = JSON.parse(d.out).checks;
    assert.deepEqual(checks.filter((c) => c.verdict === 'fail'), []);
    assert.equal(checks.find((c) => c.id === 'edge').verdict, 'untried');
  });
});

describe('a gateway behind a connector that ends', () => {
  test('callers that are there are served to their end, nobody new comes', async () => {
    let answer;
    const server = http.createServer((q, r) => { r.write('first'); answer = () => r.end('last'); });
    const g = await startListener({ wiki: `http://127.0.0.1:${await listen(server)}` });
    const host = `wiki.${DOMAIN}`, k = await caller(g, host);
    const all = ask(k, host);
    await until('it is under way', () => answer);
    g.proc.kill('SIGTERM');
    await g.proc.line(/msg="?stopping"? callers=1/);
    await assert.rejects(dial(g));
    answer();
    assert.equal((await all).body.toString(), 'firstlast');
    k.destroy();
    await within(g.proc.exit, ms(5000), 'it ends when the last caller has left');
    assert.equal(g.proc.code, 0);
    server.close();
  });

  test('after shutdown_timeout those who are left are cut off', async () => {
    const server = http.createServer((q, r) => { r.write('first'); });
    const g = await startListener({ wiki: `http://127.0.0.1:${await listen(server)}` }, { shutdown_timeout: '1s' });
    const k = await caller(g, `wiki.${DOMAIN}`);
    const cut = new Promise((ok) => k.ws.on('close', ok));
    ask(k, `wiki.${DOMAIN}`).catch(() => {});
    await until('it is under way', async () => Number((await (await fetch(`http://${g.page}/metrics`)).text()).match(/^sallyport_gateway_callers (\d+)$/m)[1]) === 1);
    g.proc.kill('SIGTERM');
    await within(Promise.all([cut, g.proc.exit]), ms(8000), 'it ends');
    assert.equal(g.proc.code, 0);
    server.closeAllConnections();
    server.close();
  });

  test('an edge and a connector lead to the same routes', async () => {
    const s = await edgeServer(), t = await makeTunnel(s), port = await freePort();
    const server = http.createServer((q, r) => r.end('here'));
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${await listen(server)}` }, { config: { listen_addr: `127.0.0.1:${port}` } });
    const host = `wiki.${t.domain}`;
    try {
      assert.equal((await call(s, t, host)).text, 'here');
      const w = await dial({ port });
      const k = await new Promise((ok, no) => { const x = tls.connect({ socket: createWebSocketStream(w), servername: host, ca: fs.readFileSync(t.ca.file) }, () => ok(x)); x.on('error', no); });
      assert.equal((await ask(k, host)).body.toString(), 'here');
      g.write(undefined, { listen_addr: '127.0.0.1:1' });
      g.proc.kill('SIGHUP');
      await g.proc.line(/is another one in the changed file: restart to take it/);
    } finally { await g.stop(); await s.stop(); server.close(); }
    assert.equal(g.proc.code, 0);
  });

  test('":PORT" is every address of both families, which the log warns of', { skip: process.getuid() !== 0 && 'only root makes a network of its own for it' }, async () => {
    const file = path.join(tempDir('ws'), 'g.yaml');
    fs.writeFileSync(file, JSON.stringify({ listen_addr: ':8080', tunnel_domain: DOMAIN, tls: { cert_file: leaf.certFile, key_file: leaf.keyFile }, routes: { x: 'http://10.0.0.1:1' } }));
    const p = start('unshare', ['-n', BIN, 'gateway', '--config', file, '--metrics', 'none']);
    await p.line(/^ready listen=0\.0\.0\.0:8080 and \[::\]:8080 routes=1$/m);
    await p.line(/can be reached from other machines/);
    await end(p);
  });

  test('an address that is taken is told at the start', async () => {
    const taken = net.createServer(), port = await listen(taken);
    const file = path.join(tempDir('ws'), 'g.yaml');
    fs.writeFileSync(file, JSON.stringify({ listen_addr: `127.0.0.1:${port}`, tunnel_domain: DOMAIN, tls: { cert_file: leaf.certFile, key_file: leaf.keyFile }, routes: { x: 'http://10.0.0.1:1' } }));
    const r = await run(BIN, ['gateway', '--config', file, '--metrics', 'none']);
    assert.equal(r.code, 1);
    assert.match(r.err, new RegExp(`listen_addr: 127\\.0\\.0\\.1:${port} is in use`));
    taken.close();
  });
});
