// A tunnel: callers at the ingress, the edge, a gateway that dialled in, private servers behind it.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { ms, run, until, within } from '../lib/own.mjs';
import { alertOf, call, callerSession, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

/** A private server; `seen` collects what it was asked. */
async function privateServer(handler) {
  const seen = [];
  const s = http.createServer((q, r) => {
    const parts = [];
    q.on('data', (d) => parts.push(d));
    q.on('end', () => { seen.push({ method: q.method, url: q.url, headers: q.headers, body: Buffer.concat(parts) }); });
    handler(q, r);
  });
  await new Promise((ok) => s.listen(0, '127.0.0.1', ok));
  return { port: s.address().port, seen, server: s, stop: () => { s.closeAllConnections(); s.close(); } };
}
const json = (q, r) => { q.resume(); q.on('end', () => { r.setHeader('content-type', 'application/json'); r.end('{"ok":true}'); }); };

describe('a tunnel', () => {
  let s, t, g, wiki;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    wiki = await privateServer(json);
    g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.port}` });
  });
  after(async () => { await g?.stop(); await s?.stop(); wiki?.stop(); });
  const host = (name) => `${name}.${t.domain}`;

  test('a request goes through, and what is private to each side stays there', async () => {
    const r = await call(s, t, host('wiki'), { method: 'POST', path: '/mcp?x=1', headers: { 'content-type': 'application/json', authorization: 'Bearer of-the-caller', 'x-forwarded-for': '6.6.6.6', 'mcp-param-x': 'y' }, body: '{"q":"what"}' });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.text, '{"ok":true}');
    const q = wiki.seen.at(-1);
    assert.deepEqual([q.method, q.url, q.body.toString()], ['POST', '/mcp?x=1', '{"q":"what"}']);
    assert.equal(q.headers.authorization, undefined, 'no token passthrough');
    assert.equal(q.headers['x-forwarded-for'], undefined);
    assert.equal(q.headers['x-forwarded-host'], host('wiki'));
    assert.equal(q.headers['mcp-param-x'], 'y');
    assert.equal(q.headers.host, `127.0.0.1:${wiki.port}`);
  });

  test('the certificate is the gateway\'s, and curl trusts its CA alone', async () => {
    const at = `${host('wiki')}:${s.ingress}`;
    const ok = await run('curl', ['-sS', '--cacert', t.ca.file, '--connect-to', `${at}:127.0.0.1:${s.ingress}`, `https://${at}/hello`]);
    assert.equal(ok.code, 0, ok.err);
    assert.equal(ok.out, '{"ok":true}');
    const no = await run('curl', ['-sS', '--connect-to', `${at}:127.0.0.1:${s.ingress}`, `https://${at}/hello`]);
    assert.equal(no.code, 60, 'an unknown issuer');
  });

  test('HTTP/2 by ALPN, many requests on one connection', async () => {
    const session = await callerSession(s, t, host('wiki'));
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => new Promise((ok, no) => {
      const q = session.request({ ':path': `/n/${i}`, ':method': 'POST' });
      let text = '', status;
      q.on('response', (h) => { status = h[':status']; });
      q.on('data', (d) => { text += d; });
      q.on('end', () => ok({ status, text }));
      q.on('error', no);
      q.end('x'.repeat(i * 1000));
    })));
    assert(answers.every((a) => a.status === 200 && a.text === '{"ok":true}'));
    for (let i = 0; i < 50; i++) assert.equal(wiki.seen.find((q) => q.url === `/n/${i}`).body.length, i * 1000);
    session.close();
  });

  test('names that cannot be served are refused with the alert for it', async () => {
    assert.equal(await alertOf(s, 'wiki.t-nobody.tunnel.localhost'), 112, 'unrecognized_name');
    assert.equal(await alertOf(s, 'example.com'), 112);
    assert.equal(await alertOf(s, undefined), 112, 'no name');
    const without = await makeTunnel(s);
    assert.equal(await alertOf(s, `wiki.${without.domain}`), 80, 'no gateway: internal_error');
  });

  test('a host without a route is told so, under TLS', async () => {
    const r = await call(s, t, host('nothing'));
    assert.equal(r.status, 404);
    const e = JSON.parse(r.text);
    assert.equal(e.error.data.gateway_failure.source, 'policy');
    assert.match(e.error.message, /no route/);
  });

  test('Host must be that of the TLS connection', async () => {
    const r = await call(s, t, host('wiki'), { headers: { host: 'other.example' } });
    assert.equal(r.status, 421);
    assert.equal(JSON.parse(r.text).error.data.gateway_failure.source, 'policy');
  });

  test('a server that is not there, and an address that is not open, each with whose fault it was', async () => {
    g.write({ wiki: `http://127.0.0.1:${wiki.port}`, dead: 'http://127.0.0.1:1', noname: 'http://no-such-name.invalid:80' });
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew" routes=3/);
    const source = async (name) => {
      const r = await call(s, t, host(name));
      return [r.status, JSON.parse(r.text).error.data.gateway_failure.source];
    };
    assert.deepEqual(await source('dead'), [502, 'connect']);
    assert.deepEqual(await source('noname'), [502, 'dns']);
    assert.equal((await call(s, t, host('wiki'))).status, 200, 'the others do not notice');
    // A name may lead anywhere, at any moment: it is looked at where it leads, not only when the file is read.
    g.write({ wiki: `http://localhost:${wiki.port}` }, { upstream: { allowed_ips: ['10.0.0.0/8'] } });
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew" routes=1/);
    assert.deepEqual(await source('wiki'), [403, 'policy']);
    g.write({ wiki: 'http://169.254.169.254:80' });
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="the changed files cannot be used.*169\.254\.169\.254/);
    assert.deepEqual(await source('wiki'), [403, 'policy'], 'what was read before goes on');
  });
});

describe('a flood at the ingress', () => {
  test('callers that say nothing keep nobody out who speaks', async () => {
    const s = await edgeServer({ args: ['--ingress-peer-rate', '0'], wrap: (bin, argv) => ['/bin/bash', '-c', 'ulimit -n 400; exec "$@"', 'bash', bin, ...argv] });
    const t = await makeTunnel(s), wiki = await privateServer(json);
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.port}` });
    const flood = [];
    try {
      for (let i = 0; i < 600; i++) {
        const k = net.connect(s.ingress, '127.0.0.1');
        k.on('error', () => {});
        if (i % 3 === 0) k.write(Buffer.from([0x16, 3, 1]));
        flood.push(k);
        if (i % 100 === 99) assert.equal((await call(s, t, `wiki.${t.domain}`)).status, 200, `after ${i + 1}`);
      }
      assert.equal(s.proc.ended, false);
    } finally {
      for (const k of flood) k.destroy();
      await g.stop(); await s.stop(); wiki.stop();
    }
  });
});

describe('a tunnel\'s streams', () => {
  let s, t, g, events;
  const open = new Set();
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    events = await privateServer((q, r) => {
      q.resume();
      r.writeHead(200, { 'content-type': 'text/event-stream' });
      r.flushHeaders();
      open.add(r);
      r.on('close', () => open.delete(r));
    });
    g = await startGateway(s, t, { events: `http://127.0.0.1:${events.port}` });
  });
  after(async () => { await g?.stop(); await s?.stop(); events?.stop(); });

  const listen = () => new Promise((ok, no) => {
    const got = { text: '' };
    call(s, t, `events.${t.domain}`, {
      onResponse: (r, q) => { got.status = r.statusCode; got.request = q; r.on('data', (d) => { got.text += d; }); r.on('error', () => {}); r.on('close', () => { got.closed = true; }); ok(got); },
    }).catch((e) => { got.error = e; no(e); });
  });

  test('heads and events come at once', async () => {
    const a = await within(listen(), ms(5000), 'the head comes before any event');
    assert.equal(a.status, 200);
    const [r] = open;
    for (let i = 0; i < 5; i++) {
      r.write(`data: ${i}\n\n`);
      await until(`event ${i}`, () => a.text.endsWith(`data: ${i}\n\n`), ms(2000));
    }
    r.end();
    await until('the end', () => a.closed);
  });

  test('a caller that leaves is known to the server', async () => {
    const a = await listen();
    assert.equal(open.size, 1);
    a.request.destroy();
    await until('the server hears of it', () => open.size === 0, ms(5000));
  });

  test('a server that breaks off ends the answer, not in order', async () => {
    const a = await listen();
    const [r] = open;
    r.write('data: 1\n\n');
    await until('an event', () => a.text.length > 0);
    r.destroy();
    await until('the answer is cut', () => a.closed);
    assert(!a.request.res.complete, 'a cut answer is not a whole one');
  });

  test('large bodies both ways, whole', async () => {
    const size = 8 << 20;
    const big = await privateServer((q, r) => { let n = 0; q.on('data', (d) => { n += d.length; }); q.on('end', () => { r.setHeader('x-got', String(n)); r.end(Buffer.alloc(size, 'z')); }); });
    g.write({ events: `http://127.0.0.1:${events.port}`, big: `http://127.0.0.1:${big.port}` });
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew" routes=2/);
    const r = await call(s, t, `big.${t.domain}`, { method: 'POST', body: Buffer.alloc(size, 'a') });
    assert.equal(r.headers['x-got'], String(size));
    assert.equal(r.text.length, size);
    big.stop();
  });
});

describe('a tunnel that is changed', () => {
  let s, wiki;
  before(async () => { s = await edgeServer(); wiki = await privateServer(json); });
  after(async () => { await s?.stop(); wiki?.stop(); });
  const routes = () => ({ wiki: `http://127.0.0.1:${wiki.port}` });

  test('a rotated token opens nothing new, and what is open goes on until it is told otherwise', async () => {
    const t = await makeTunnel(s);
    const g = await startGateway(s, t, routes());
    await s.tunnels().rotateToken(t.id, {});
    assert.equal((await call(s, t, `wiki.${t.domain}`)).status, 200, 'established ones stay');
    const r = await s.api('POST', `/v1/tunnels/${t.id}/disconnect`, {});
    assert.deepEqual(r.body, { id: t.id, type: 'tunnel_disconnected', connections: 4 });
    await g.proc.line(/does not know the token/);
    assert.equal(await alertOf(s, `wiki.${t.domain}`), 80);
    await t.takeToken();
    await g.isUp(5);
    assert.equal((await call(s, t, `wiki.${t.domain}`)).status, 200, 'the new token is read from its file');
    await g.stop();
  });

  test('archiving ends everything', async () => {
    const t = await makeTunnel(s);
    const g = await startGateway(s, t, routes());
    const k = await callerSocket(s, t, `wiki.${t.domain}`);
    const ended = new Promise((ok) => k.on('close', ok));
    k.on('error', () => {});
    await s.tunnels().archive(t.id);
    await within(ended, ms(5000), 'callers are cut off');
    assert.equal(await alertOf(s, `wiki.${t.domain}`), 112);
    await g.stop();
  });

  test('without a certificate nothing goes through; with one again, it does', async () => {
    const t = await makeTunnel(s);
    const g = await startGateway(s, t, routes());
    await s.tunnels().certificates.archive(t.certificate.id, { tunnel_id: t.id });
    await until('it is noticed', async () => await alertOf(s, `wiki.${t.domain}`) === 80, ms(5000));
    const other = await makeTunnel(s, { register: false });
    await s.tunnels().certificates.create(t.id, { ca_certificate_pem: fs.readFileSync(other.ca.file, 'utf8') });
    await until('callers come through', async () => (await call(s, t, `wiki.${t.domain}`).catch(() => ({}))).status === 200, ms(5000));
    await g.stop();
  });

  test('a gateway comes back by itself when the server was killed', async () => {
    const t = await makeTunnel(s);
    const g = await startGateway(s, t, routes());
    await s.kill9();
    await s.reboot();
    s.ingress = Number(s.proc.out.match(/^ingress 127\.0\.0\.1:(\d+)$/m)[1]);
    await g.isUp(8);
    assert.equal((await call(s, t, `wiki.${t.domain}`)).status, 200);
    await g.stop();
  });

  test('a gateway that is told to stop lets its callers finish', async () => {
    const t = await makeTunnel(s);
    let answer;
    const slow = await privateServer((q, r) => { q.resume(); answer = () => r.end('late'); });
    const g = await startGateway(s, t, { slow: `http://127.0.0.1:${slow.port}` });
    const r = call(s, t, `slow.${t.domain}`);
    await until('the server is asked', () => answer);
    g.proc.kill('SIGTERM');
    await until('no new callers', async () => await alertOf(s, `slow.${t.domain}`) === 80, ms(5000));
    answer();
    assert.equal((await r).text, 'late');
    await within(g.proc.exit, ms(5000), 'it ends');
    assert.equal(g.proc.code, 0, g.proc.tail());
    slow.stop();
  });
});
