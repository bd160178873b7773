// A tunnel when things go wrong: servers that break, callers that do not read, files that change under those who are connected.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { authority } from '../lib/egress.mjs';
import path from 'node:path';
import { BIN, end, ms, run, start, tempDir, until } from '../lib/own.mjs';
import { alertOf, call, callerSocket, edgeServer, gatewayConfig, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const listen = async (s) => { await new Promise((ok) => s.listen(0, '127.0.0.1', ok)); return s.address().port; };
const failure = (r) => JSON.parse(r.text).error.data.gateway_failure.source;

describe('servers that break', () => {
  let s, t;
  before(async () => { s = await edgeServer(); t = await makeTunnel(s); });
  after(() => s?.stop());

  test('one that ends each connection before it is asked costs its callers an answer, and nothing else', async () => {
    const rude = net.createServer((k) => { k.on('error', () => {}); k.end('220 hello\r\n'); });
    const fine = http.createServer((q, r) => r.end('ok'));
    const g = await startGateway(s, t, { rude: `http://127.0.0.1:${await listen(rude)}`, fine: `http://127.0.0.1:${await listen(fine)}` });
    for (let i = 0; i < 30; i++) {
      const r = await call(s, t, `rude.${t.domain}`);
      assert.equal(r.status, 502);
      assert(['upstream_closed', 'protocol'].includes(failure(r)), r.text);
    }
    assert.equal((await call(s, t, `fine.${t.domain}`)).text, 'ok');
    rude.close(); fine.close();
    await g.stop();
    assert.equal(g.proc.code, 0, g.proc.tail());
  });

  test('one that breaks off while the request is still being sent: the caller is told', async () => {
    const cut = http.createServer((q) => { q.once('data', () => q.socket.destroy()); });
    const g = await startGateway(s, t, { cut: `http://127.0.0.1:${await listen(cut)}` });
    const k = await callerSocket(s, t, `cut.${t.domain}`);
    let got = '';
    k.on('data', (d) => { got += d; });
    k.write(`POST / HTTP/1.1\r\nHost: cut.${t.domain}\r\nContent-Length: 1000000\r\n\r\nabc`);
    await until('an answer', () => /^HTTP\/1\.1 502 [^]*upstream_closed/.test(got));
    k.destroy();
    cut.close();
    await g.stop();
  });

  test('a caller hears whose fault it was, and no address of the inside', async () => {
    const g = await startGateway(s, t, { dead: 'http://127.0.0.1:1', sock: 'unix:/nowhere/private.sock' });
    for (const name of ['dead', 'sock']) {
      const r = await call(s, t, `${name}.${t.domain}`);
      assert.equal(failure(r), 'connect');
      assert.doesNotMatch(r.text, /127\.0\.0\.1|private\.sock|refused/i);
    }
    await g.proc.line(/msg="a request was not forwarded".*127\.0\.0\.1 port 1/); // the log has it
    await g.stop();
  });

  test('what only a proxy in front may say is taken out, however it is spelled', async () => {
    let seen;
    const echo = http.createServer((q, r) => { seen = q.headers; r.end(); });
    const g = await startGateway(s, t, { echo: `http://127.0.0.1:${await listen(echo)}` });
    await call(s, t, `echo.${t.domain}`, { headers: { 'x-forwarded-user': 'root', 'X_Forwarded_For': '1', 'x-forwarded-port': '1', 'x-real-ip': '1', 'x-original-url': '/', forwarded: 'for=1', 'x-mine': 'stays' } });
    assert.deepEqual(Object.keys(seen).filter((n) => /forward|real|original/.test(n)).sort(), ['x-forwarded-host', 'x-forwarded-proto']);
    assert.equal(seen['x-mine'], 'stays');
    echo.close();
    await g.stop();
  });
});

describe('callers that do not read', () => {
  test('they hold up neither the end of a gateway nor that of the server', async () => {
    const s = await edgeServer(), t = await makeTunnel(s);
    const big = http.createServer((q, r) => { r.writeHead(200); const more = () => { while (r.write(Buffer.alloc(65536))); }; r.on('drain', more).on('error', () => {}); more(); });
    const g = await startGateway(s, t, { big: `http://127.0.0.1:${await listen(big)}` });
    try {
      const callers = await Promise.all([0, 1, 2].map(() => callerSocket(s, t, `big.${t.domain}`)));
      for (const k of callers) { k.write(`GET / HTTP/1.1\r\nHost: big.${t.domain}\r\n\r\n`); k.pause(); }
      await new Promise((ok) => setTimeout(ok, ms(1000)));   // their buffers are full by now
      await end(g.proc, { signal: 'SIGKILL' });
      await until('the server lets all connections go', () => (s.proc.err.match(/msg="gateway gone"/g) ?? []).length >= 4, ms(10000));
      const again = await startGateway(s, t, { big: `http://127.0.0.1:${big.address().port}` });
      const k = await callerSocket(s, t, `big.${t.domain}`);
      k.write(`GET / HTTP/1.1\r\nHost: big.${t.domain}\r\n\r\n`);
      k.pause();
      await new Promise((ok) => setTimeout(ok, ms(500)));
      const began = Date.now();
      await s.stop();
      assert.equal(s.proc.code, 0);
      assert(Date.now() - began < ms(8000), `${Date.now() - began} ms`);
      await again.stop();
    } finally { big.closeAllConnections(); big.close(); await s.stop('SIGKILL'); }
  });
});

describe('files that change', () => {
  let s, t, a, b, secure;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    [a, b] = [authority(tempDir('ca-a')), authority(tempDir('ca-b'))];
    secure = https.createServer(a.issue(['127.0.0.1']), (q, r) => r.end('secure'));
    await listen(secure);
  });
  after(async () => { secure?.closeAllConnections(); secure?.close(); await s?.stop(); });
  const upstream = (tls) => ({ upstream: { allowed_ips: ['127.0.0.0/8'], ...(tls ? { tls } : {}) } });
  const routes = () => ({ safe: `https://127.0.0.1:${secure.address().port}` });
  const reload = async (g, n) => { g.proc.kill('SIGHUP'); await until('read anew', () => (g.proc.err.match(/msg="files read anew"/g) ?? []).length >= n); };

  test('the system\'s CAs are trusted only where the file says so', { skip: process.getuid() !== 0 && 'only root can put a bundle in the system\'s place' }, async () => {
    // In a mount namespace of its own.
    const wrap = (bin, argv) => ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"', a.file, bin, ...argv];
    const g = await startGateway(s, t, routes(), { wrap, config: upstream({ ca_file: b.file }) });
    try {
      assert.equal(failure(await call(s, t, `safe.${t.domain}`)), 'tls', 'ca_file alone');
      g.write(routes(), upstream({ ca_file: b.file, include_system_cas: true }));
      await reload(g, 1);
      assert.equal((await call(s, t, `safe.${t.domain}`)).text, 'secure');
    } finally { await g.stop(); }
  });

  test('a connection that was made by the rules of before is not used again', async () => {
    const g = await startGateway(s, t, routes(), { config: upstream({ ca_file: a.file }) });
    assert.equal((await call(s, t, `safe.${t.domain}`)).text, 'secure');
    g.write(routes(), upstream({ ca_file: b.file }));
    await reload(g, 1);
    assert.equal(failure(await call(s, t, `safe.${t.domain}`)), 'tls');
    await g.stop();
  });

  test('a route that was taken away is gone for those who are connected, too', async () => {
    const plain = http.createServer((q, r) => r.end('plain'));
    const port = await listen(plain);
    const g = await startGateway(s, t, routes(), { config: upstream({ ca_file: a.file }) });
    const k = await callerSocket(s, t, `safe.${t.domain}`);
    let got = '';
    k.on('data', (d) => { got += d; });
    const ask = () => k.write(`GET / HTTP/1.1\r\nHost: safe.${t.domain}\r\n\r\n`);
    ask();
    await until('an answer', () => /secure$/.test(got));
    g.write({ plain: `http://127.0.0.1:${port}` }, upstream());
    await reload(g, 1);
    got = '';
    ask();
    await until('the refusal', () => /^HTTP\/1\.1 404 [^]*no route/.test(got));
    assert.equal(g.proc.ended, false);
    assert.equal((await call(s, t, `plain.${t.domain}`)).text, 'plain');
    k.destroy();
    plain.close();
    await g.stop();
  });

  test('what a person would not notice is told: a certificate for other names, an edge that takes a restart', async () => {
    const g = await startGateway(s, t, { ...routes(), 'full.example': `https://127.0.0.1:${secure.address().port}` }, { config: upstream({ ca_file: a.file }) });
    await g.proc.line(/msg="callers will refuse the certificate for a route" route=full\.example/);
    assert.doesNotMatch(g.proc.err, /route=safe/);
    g.write(routes(), { ...upstream({ ca_file: a.file }), edge: 'http://127.0.0.1:1' });
    await reload(g, 1);
    await g.proc.line(/msg="the way to the edge is another one in the changed file: restart to take it"/);
    await g.stop();
  });

  test('admin and log_level of the file count', async () => {
    const probe = net.createServer();
    const port = await listen(probe);
    probe.close();
    const file = path.join(tempDir('gw'), 'g.yaml');
    fs.writeFileSync(file, gatewayConfig(s, t, routes(), { ...upstream({ ca_file: a.file }), log_level: 'error', admin: `127.0.0.1:${port}` }));
    const p = start(BIN, ['gateway', '--config', file]);
    await p.line(/^ready edge=127\.0\.0\.1:\d+ routes=1$/m);
    await until('its route was probed', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200);
    assert.doesNotMatch(p.err, /connected to the edge/);
    await end(p);
    assert.equal(p.code, 0);
  });
});

describe('processes that die under load', () => {
  let s, t, echo, port;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    echo = http.createServer((q, r) => { let b = ''; q.on('data', (d) => { b += d; }); q.on('end', () => { r.setHeader('x-length', b.length); r.end(b); }); });
    port = await listen(echo);
  });
  after(async () => { echo?.closeAllConnections(); echo?.close(); await s?.stop(); });
  const routes = () => ({ echo: `http://127.0.0.1:${port}` });

  /** Callers that go on calling until they are told to stop: each answer is right or none. {good, failed, stop}. */
  function load(n) {
    const l = { good: 0, failed: 0, wrong: [], on: true };
    const one = async (i) => {
      for (let k = 0; l.on; k++) {
        const body = `${i}-${k}-`.repeat(2000);
        const r = await call(s, t, `echo.${t.domain}`, { method: 'POST', body }).catch(() => null);
        if (r?.status === 200) { if (r.text === body) l.good++; else l.wrong.push(`${r.text.length} of ${body.length} bytes`); } else { l.failed++; await new Promise((ok) => setTimeout(ok, 50)); }
      }
    };
    const all = Promise.all(Array.from({ length: n }, (_, i) => one(i)));
    l.stop = () => { l.on = false; return all; };
    return l;
  }

  test('the server is killed twice: no answer is a wrong one, and all come through again', async () => {
    const g = await startGateway(s, t, routes());
    const l = load(10);
    for (let i = 0; i < 2; i++) {
      const good = l.good;
      await until('calls come through', () => l.good > good + 20, ms(30000));
      await s.kill9();
      await until('callers notice', () => l.failed > 0);
      await s.reboot();
      s.ingress = Number(s.proc.out.match(/^ingress 127\.0\.0\.1:(\d+)$/m)[1]);
    }
    const good = l.good;
    await until('and again', () => l.good > good + 20, ms(30000));
    await l.stop();
    assert.deepEqual(l.wrong, []);
    assert.equal(g.proc.ended, false);
    await until('nothing is left of the calls that were cut', async () => await g.metric('sallyport_gateway_callers') === 0);
    await g.stop();
    assert.equal(g.proc.code, 0);
  });

  test('one gateway of two is killed: its callers are cut, those of the other go on, new ones come through at once', async () => {
    const held = new Map();
    const stream = http.createServer((q, r) => { r.writeHead(200, { 'content-type': 'text/event-stream' }); r.flushHeaders(); held.set(q.url, r); r.on('close', () => held.delete(q.url)); });
    const more = { ...routes(), stream: `http://127.0.0.1:${await listen(stream)}` };
    const gs = [await startGateway(s, t, more), await startGateway(s, t, more)];
    const callers = await Promise.all(Array.from({ length: 16 }, async (_, i) => {
      const c = { k: await callerSocket(s, t, `stream.${t.domain}`), text: '', closed: false };
      c.k.on('data', (d) => { c.text += d; }).on('close', () => { c.closed = true; });
      c.k.write(`GET /${i} HTTP/1.1\r\nHost: stream.${t.domain}\r\n\r\n`);
      return c;
    }));
    await until('all are open', () => held.size === 16 && callers.every((c) => /event-stream/.test(c.text)));
    const at = [await gs[0].metric('sallyport_gateway_callers'), await gs[1].metric('sallyport_gateway_callers')];
    assert.deepEqual(at, [8, 8], 'spread over both');
    gs[0].proc.kill('SIGKILL');
    await until('its callers are cut', () => callers.filter((c) => c.closed).length === 8, ms(5000));
    assert.equal((await call(s, t, `echo.${t.domain}`, { method: 'POST', body: 'x' })).text, 'x');
    for (const r of held.values()) r.write('data: on\n\n');
    await until('the others go on', () => callers.filter((c) => !c.closed && /data: on/.test(c.text)).length === 8);
    assert(callers.filter((c) => c.closed).every((c) => !/\r\n0\r\n\r\n$/.test(c.text)), 'a cut stream is not a whole one');
    await until('the private server is let go', () => held.size === 8, ms(5000));
    for (const c of callers) c.k.destroy();
    stream.closeAllConnections(); stream.close();
    await gs[1].stop();
  });
});

describe('certificates and tokens that are not good', () => {
  let s, echo, port;
  before(async () => {
    s = await edgeServer();
    echo = http.createServer((q, r) => { q.resume(); r.writeHead(200, { 'content-type': 'text/event-stream' }); r.write('data: 1\n\n'); echo.last = r; });
    port = await listen(echo);
  });
  after(async () => { echo?.closeAllConnections(); echo?.close(); await s?.stop(); });
  const routes = () => ({ echo: `http://127.0.0.1:${port}` });
  const why = (promise) => promise.then(() => assert.fail('it was taken'), (e) => e.code);

  test('a gateway\'s certificate that is for other names or of another CA: callers refuse it, each for its reason', async () => {
    const t = await makeTunnel(s), stranger = authority(tempDir('stranger'));
    const host = `echo.${t.domain}`;
    for (const [what, leaf, code, words] of [
      ['other names', t.ca.issue(['*.example.com']), 'ERR_TLS_CERT_ALTNAME_INVALID', /msg="callers will refuse the certificate for a route" route=echo/],
      ['another CA', stranger.issue([`*.${t.domain}`]), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', null],
    ]) {
      const g = await startGateway(s, { ...t, leaf }, routes());
      assert.equal(await why(callerSocket(s, t, host)), code, what);
      if (words) await g.proc.line(words);
      await until('it is counted', async () => /callers_total\{outcome="no_tls"\} [1-9]/.test(await (await fetch(`http://${g.page}/metrics`)).text()));
      await g.stop();
    }
  });

  test('one that has expired is not taken: neither at the start, nor in the place of a good one', async () => {
    const t = await makeTunnel(s), old = t.ca.issue([`*.${t.domain}`], { days: -1 });
    const file = path.join(tempDir('gw'), 'g.yaml');
    fs.writeFileSync(file, gatewayConfig(s, { ...t, leaf: old }, routes()));
    const r = await run(BIN, ['gateway', '--config', file]);
    assert.equal(r.code, 1);
    assert.match(r.err, /the certificate in \S+ has expired; make a new one/);
    const g = await startGateway(s, t, routes());
    fs.copyFileSync(old.certFile, t.leaf.certFile);
    fs.copyFileSync(old.keyFile, t.leaf.keyFile);
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="the changed files cannot be used[^"]*" why="[^"]*has expired/);
    (await callerSocket(s, t, `echo.${t.domain}`)).destroy();
    await g.stop();
  });

  test('the last CA is archived: nobody new, and what was open is ended, too', async () => {
    const t = await makeTunnel(s), g = await startGateway(s, t, routes()), host = `echo.${t.domain}`;
    const k = await callerSocket(s, t, host);
    let text = '', closed = false;
    k.on('data', (d) => { text += d; }).on('close', () => { closed = true; });
    k.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await until('a stream', () => /data: 1/.test(text));
    // One of two: those who trust the other go on.
    const second = await s.tunnels().certificates.create(t.id, { ca_certificate_pem: fs.readFileSync(authority(tempDir('second')).file, 'utf8') });
    await s.tunnels().certificates.archive(second.id, { tunnel_id: t.id });
    await new Promise((ok) => setTimeout(ok, ms(300)));
    echo.last.write('data: 2\n\n');
    await until('it goes on', () => /data: 2/.test(text));
    await s.tunnels().certificates.archive(t.certificate.id, { tunnel_id: t.id });
    await until('it is ended', () => closed, ms(8000));
    assert.equal(await alertOf(s, host), 80);
    assert.doesNotMatch(text, /\r\n0\r\n\r\n$/);
    await s.tunnels().certificates.create(t.id, { ca_certificate_pem: fs.readFileSync(authority(tempDir('third')).file, 'utf8') });
    await until('callers come through again, on the connections of before', async () => (await alertOf(s, host)) === undefined, ms(8000));
    assert.equal((g.proc.err.match(/msg="connected to the edge"/g) ?? []).length, 4);
    await g.stop();
  });

  test('a wrong token is told by the gateway and by the server, and neither says it', async () => {
    const t = await makeTunnel(s);
    fs.writeFileSync(t.tokenFile, `sk-sp-tun-${'0'.repeat(64)}\n`, { mode: 0o600 });
    const g = await startGateway(s, t, routes(), { up: false });
    await g.proc.line(/msg="the edge cannot be reached, will retry" why=".*does not know the token/);
    assert.equal(await alertOf(s, `echo.${t.domain}`), 80);
    for (const p of [g.proc, s.proc]) assert.doesNotMatch(p.err, /0{64}/);
    await t.takeToken();
    await g.isUp();
    await g.stop();
  });
});

describe('a clock that is wrong', { skip: !!process.env.ASAN_OPTIONS && 'the sanitizer wants to be loaded first' }, () => {
  const DAY = 86400, SO = path.join(path.dirname(BIN), 'tests', 'lib', 'clock_off.so');
  const off = (days) => (bin, argv) => ['env', `LD_PRELOAD=${SO}`, `LD_CLOCK_OFF=${days * DAY}`, bin, ...argv];
  /** Presence: its log has the day that it believes in. */
  const believes = (p, days) => assert.match(p.err, new RegExp(`^ts=${new Date(Date.now() + days * DAY * 1000).toISOString().slice(0, 10)}T`, 'm'));
  let ca, leaf, echo, port;
  before(async () => {
    ca = authority(tempDir('edge-ca'));
    leaf = ca.issue(['127.0.0.1'], { days: 2 });
    echo = http.createServer((q, r) => r.end('echo'));
    port = await listen(echo);
  });
  after(() => { echo?.closeAllConnections(); echo?.close(); });
  const routes = () => ({ echo: `http://127.0.0.1:${port}` });

  test('a gateway a day ahead works; a day behind it does not begin with a certificate of tomorrow, and asks for the clock', async () => {
    const s = await edgeServer(), t = await makeTunnel(s);
    const g = await startGateway(s, t, routes(), { wrap: off(1) });
    believes(g.proc, 1);
    assert.equal((await call(s, t, `echo.${t.domain}`)).text, 'echo');
    await g.stop();
    const file = path.join(tempDir('gw'), 'g.yaml');
    fs.writeFileSync(file, gatewayConfig(s, t, routes()));
    const [cmd, ...argv] = off(-1)(BIN, ['gateway', '--config', file]);
    const r = await run(cmd, argv);
    assert.equal(r.code, 1);
    assert.match(r.err, /the certificate in \S+ is not valid yet: is the clock of this machine right\?/);
    await s.stop();
  });

  test('the edge\'s certificate, seen three days ahead: the day on which it ended is told', async () => {
    const plain = await edgeServer(), t = await makeTunnel(plain);
    const tls = https.createServer(leaf, (q, r) => r.end()).on('tlsClientError', () => {});
    const at = await listen(tls);
    const g = await startGateway({ url: `https://127.0.0.1:${at}` }, t, routes(), { config: { ca_file: ca.file }, up: false, wrap: off(3) });
    await g.proc.line(/msg="the edge cannot be reached, will retry" why="TLS with 127\.0\.0\.1: its certificate has expired on \d{4}-\d\d-\d\d"/);
    believes(g.proc, 3);
    tls.closeAllConnections(); tls.close();
    await g.stop();
    await plain.stop();
  });

  for (const days of [1, -1]) test(`a server ${days > 0 ? 'a day ahead' : 'a day behind'} carries all the same`, async () => {
    const s = await edgeServer({ wrap: off(days) }), t = await makeTunnel(s);
    const g = await startGateway(s, t, routes());
    believes(s.proc, days);
    assert.equal((await call(s, t, `echo.${t.domain}`)).text, 'echo');
    await s.tunnels().rotateToken(t.id, {});
    await t.takeToken();
    await g.stop();
    await s.stop();
  });
});
