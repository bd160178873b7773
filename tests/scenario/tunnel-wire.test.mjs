// Both ends of a tunnel's connection against strangers that were written from docs/internals/tunnel-wire.md with Node's HTTP/2: a
// stand-in edge for our gateway, a stand-in gateway for our edge.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { authority } from '../lib/egress.mjs';
import { end, ms, tempDir, until, within } from '../lib/own.mjs';
import { alertOf, call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import path from 'node:path';

const OK = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: ptth', 'ALPN: h2', '', ''].join('\r\n');

/**
 * What comes on a socket, cut behind the first head: {head: a promise, over: the rest, as a stream of its own}. So Node's HTTP/2
 * begins at the right byte, whatever came with the head, and however late it begins.
 */
function cutHead(k) {
  const over = new Duplex({ read() { k.resume(); }, write(d, _, done) { k.write(d, done); }, final(done) { k.end(done); }, destroy(e, done) { k.destroy(); done(e); } });
  over.on('error', () => {});
  let got = '', cut = false;
  const head = new Promise((ok) => {
    k.on('data', (d) => {
      if (cut) { if (!over.push(d)) k.pause(); return; }
      got += d.toString('latin1');
      const at = got.indexOf('\r\n\r\n') + 4;
      if (at < 4) return;
      cut = true;
      if (got.length > at) over.push(Buffer.from(got.slice(at), 'latin1'));
      ok(got.slice(0, at));
    });
    k.on('close', () => { over.destroy(); ok(got); });
  });
  k.on('error', () => {}).on('end', () => over.push(null));
  return { head, over };
}

/** A stand-in edge: hands each connection, once its head has come, to `serve(stream, head)`. */
async function standInEdge(serve) {
  const e = { heads: [], sockets: new Set() };
  e.server = net.createServer((k) => {
    e.sockets.add(k);
    k.on('close', () => e.sockets.delete(k));
    const { head, over } = cutHead(k);
    head.then((h) => {
      if (!h.endsWith('\r\n\r\n')) return;   // it left
      e.heads.push(h);
      assert.equal(over.readableLength, 0, 'nothing is said behind the question');
      serve(over, h);
    });
  });
  await new Promise((ok) => e.server.listen(0, '127.0.0.1', ok));
  e.url = `http://127.0.0.1:${e.server.address().port}`;
  e.stop = () => { for (const k of e.sockets) k.destroy(); e.server.close(); };
  return e;
}

/** The client of HTTP/2 on a connection whose direction was changed. */
function sessionOn(k) {
  const s = http2.connect('http://edge', { createConnection: () => k });
  s.on('error', () => {});
  return s;
}
/** One caller on it: the CONNECT stream and its status. */
function connect(s, authorityOf) {
  const st = s.request({ ':method': 'CONNECT', ':authority': authorityOf });
  st.on('error', () => {});
  const status = new Promise((ok) => { st.on('response', (h) => ok(h[':status'])); st.on('close', () => ok(undefined)); });
  return { st, status };
}
/** TLS in a stream, as a caller does it. */
const inner = (st, servername, ca) => new Promise((ok, no) => {
  const k = tls.connect({ socket: st, servername, ca });
  k.once('secureConnect', () => ok(k));
  k.once('error', no);
});
const get = (k, host, at = '/') => new Promise((ok, no) => {
  let text = '';
  k.on('data', (d) => { text += d; if (/\r\n\r\n[^]*\{"ok":true\}$/.test(text)) ok(text); });
  k.on('error', no).on('close', () => no(new Error(`closed after: ${text}`)));
  k.write(`GET ${at} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
});

describe('our gateway, a stranger\'s edge', () => {
  const domain = 't-stranger.tunnel.example', host = `wiki.${domain}`;
  let wiki, t, ca;
  before(async () => {
    wiki = http.createServer((q, r) => { q.resume(); r.end('{"ok":true}'); });
    await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
    const a = authority(tempDir('tunnel-ca'));
    ca = fs.readFileSync(a.file);
    const tokenFile = path.join(tempDir('token'), 'token');
    fs.writeFileSync(tokenFile, 'sk-sp-tun-of-this-test\n', { mode: 0o600 });
    t = { domain, tokenFile, leaf: a.issue([`*.${domain}`]) };
  });
  after(() => wiki?.close());
  const gatewayOf = (e, more = {}) => startGateway({ url: e.url }, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, more);

  test('the question has each of its parts, and an answer may come in crumbs', async () => {
    const sessions = [];
    const e = await standInEdge(async (k) => {
      const odd = 'HTTP/1.1 101 Go\r\ndate: Mon, 30 Nov 2026 12:00:00 GMT\r\nUPGRADE:  PTTH \r\nconnection: foo, UPGRADE\r\nalpn: h2\r\nx-y: z\r\n\r\n';
      for (const c of odd) { k.write(c); await new Promise((ok) => setImmediate(ok)); }
      sessions.push(sessionOn(k));
    });
    const g = await gatewayOf(e);
    const [line, ...fields] = e.heads[0].trim().split('\r\n');
    assert.equal(line, 'GET /v1/tunnels/connect HTTP/1.1');
    const f = Object.fromEntries(fields.map((x) => x.split(': ')));
    assert.equal(f.Host, new URL(e.url).host);
    assert.deepEqual([f.Connection, f.Upgrade, f.ALPN, f.Authorization], ['Upgrade', 'ptth', 'h2', 'Bearer sk-sp-tun-of-this-test']);
    assert.match(f['Sallyport-Connector'], /^gw-[0-9a-f]{16}$/);
    const { st, status } = connect(sessions[0], `${host}:443`);
    assert.equal(await status, 200);
    assert.match(await get(await inner(st, host, ca), host), /^HTTP\/1\.1 200 /);
    await g.stop();
    e.stop();
  });

  test('callers come and go, many at once; a host of another tunnel is refused with 404', async () => {
    let s;
    const e = await standInEdge((k) => { k.write(OK); s ??= sessionOn(k); });
    const g = await gatewayOf(e);
    await Promise.all(Array.from({ length: 40 }, async (_, i) => {
      const { st, status } = connect(s, `${host}:443`);
      assert.equal(await status, 200);
      const k = await inner(st, host, ca);
      assert.match(await get(k, host, `/${i}`), /^HTTP\/1\.1 200 /);
      if (i % 2) k.end(); else st.close(http2.constants.NGHTTP2_CANCEL);
    }));
    for (const bad of ['wiki.t-other.tunnel.example:443', 'example.com:443', '10.0.0.1:443', `${domain}:443`]) assert.equal(await connect(s, bad).status, 404, bad);
    assert.equal(await connect(s, 'example.com').status, 400, 'CONNECT names a port (RFC 9113 8.5)');
    const again = connect(s, `${host}:443`);
    assert.equal(await again.status, 200, 'the connection goes on');
    await g.stop();
    e.stop();
  });

  test('a stop is told by GOAWAY, and what is there is served', async () => {
    const seen = [];
    const sessions = [];
    const e = await standInEdge((k) => {
      k.write(OK);
      const s = sessionOn(k);
      s.on('goaway', (code) => seen.push(code));
      sessions.push(s);
    });
    const g = await gatewayOf(e);
    const { st, status } = connect(sessions[0], `${host}:443`);
    assert.equal(await status, 200);
    const k = await inner(st, host, ca);
    g.proc.kill('SIGTERM');
    await until('all connections hear of it', () => seen.length >= 4, ms(5000));
    assert(seen.every((c) => c === http2.constants.NGHTTP2_NO_ERROR));
    assert.match(await get(k, host), /^HTTP\/1\.1 200 /);
    k.destroy();
    st.close();
    await within(g.proc.exit, ms(10000), 'it ends when the last caller has left');
    assert.equal(g.proc.code, 0);
    e.stop();
  });

  for (const [what, answer, words] of [
    ['401', 'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n', /does not know the token/],
    ['404', 'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n', /no edge of Sallyport is there/],
    ['426', 'HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n', /a proxy in between takes `Upgrade` out/],
    ['503', 'HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n', /takes nobody now \(503\)/],
    ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', /answers 200/],
    ['another protocol', OK.replace('ptth', 'websocket'), /switches to something else/],
    ['no ALPN', OK.replace('ALPN: h2\r\n', ''), /switches to something else/],
    ['what is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', /is no edge: /],
    ['nothing', '', /ended the connection without an answer/],
  ]) test(`an answer of ${what} is told with what it means, and asked again`, async () => {
    const e = await standInEdge((k) => { if (answer) k.end(answer); else k.destroy(); });
    const g = await gatewayOf(e, { up: false });
    await g.proc.line(words);
    await until('it is asked again', () => e.heads.length >= 5, ms(15000));
    assert.doesNotMatch(g.proc.err + g.proc.out, /of-this-test/, 'the token is in no line');
    // Without an answer the kernel may call it an end or a reset, which are two sentences.
    if (answer) assert.equal((g.proc.err.match(/level=warn.*cannot be reached/g) ?? []).length, 1, 'the same sentence is told once, not at each attempt');
    await g.stop();
    e.stop();
  });

  test('a connection that was lost is dialled again within a second or two', async () => {
    const sessions = [];
    const e = await standInEdge((k) => { k.write(OK); sessions.push(sessionOn(k)); });
    const g = await gatewayOf(e);
    const before = Date.now();
    for (const s of sessions.splice(0)) s.destroy();
    await until('both are back', () => sessions.length === 2, ms(5000));
    assert(Date.now() - before < ms(2500), `${Date.now() - before} ms`);
    await g.stop();
    e.stop();
  });
});

describe('a line that falls silent', () => {
  test('a gateway that says nothing is given up within ten seconds, and its callers with it', async () => {
    const s = await edgeServer(), t = await makeTunnel(s);
    try {
      const g = await standInGateway(s, t, (st) => { st.respond({ ':status': 200 }); const k = new tls.TLSSocket(st, { isServer: true, key: t.leaf.key, cert: t.leaf.cert }); k.on('error', () => {}); });
      const k = await callerSocket(s, t, `wiki.${t.domain}`);
      const gone = new Promise((ok) => k.on('close', ok));
      g.hush();
      const began = Date.now();
      await within(gone, ms(14000), 'the caller is cut off');
      assert(Date.now() - began > 4000, 'a pause is no end');
      assert.equal(await alertOf(s, `wiki.${t.domain}`), 80);
      g.stop();
    } finally { await s.stop(); }
  });

  test('an edge that says nothing is given up within ten seconds, and dialled again', async () => {
    const e = await standInEdge((k) => { k.write(OK); sessionOn(k); });
    const a = authority(tempDir('tunnel-ca'));
    const tokenFile = path.join(tempDir('token'), 'token');
    fs.writeFileSync(tokenFile, 'sk-sp-tun-x\n', { mode: 0o600 });
    const g = await startGateway({ url: e.url }, { domain: 't.example', tokenFile, leaf: a.issue(['*.t.example']) }, { wiki: 'http://127.0.0.1:1' });
    try {
      for (const k of e.sockets) { k.removeAllListeners('data'); k.pause(); k.resume = () => k; }   // never read again
      await until('both are dialled again', () => e.heads.length >= 4, ms(16000));
      await g.proc.line(/msg="the connection to the edge has ended".*why=/);
    } finally { await g.stop(); e.stop(); }
  });
});

/** A stand-in gateway on our edge. `serve(stream, headers)` for each caller. */
async function standInGateway(s, t, serve, { more = [], offer = 'h2' } = {}) {
  const k = net.connect(s.port, '127.0.0.1');
  k.on('error', () => {});
  k.write(['GET /v1/tunnels/connect HTTP/1.1', 'Host: edge', 'connection: upgrade', 'upgrade: PTTH', `alpn: ${offer}`, `authorization: bearer ${t.token}`, ...more, '', ''].join('\r\n'));
  const cut = cutHead(k), head = await cut.head;
  assert.match(head, /^HTTP\/1\.1 101 /, head);
  const session = http2.performServerHandshake(cut.over);
  session.on('error', () => {});
  session.on('stream', (st, h) => { st.on('error', () => {}); serve(st, h); });
  await within(new Promise((ok) => session.once('remoteSettings', ok)), ms(5000), 'the edge speaks HTTP/2');
  return { session, socket: k, head, stop: () => { session.destroy(); k.destroy(); }, hush: () => { k.removeAllListeners('data'); k.pause(); k.resume = () => k; } };
}

describe('our edge, a stranger\'s gateway', () => {
  let s, t, leaf;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    leaf = { key: t.leaf.key, cert: t.leaf.cert };
  });
  after(() => s?.stop());
  const host = (name = 'wiki') => `${name}.${t.domain}`;
  /** Ends TLS in the stream and answers one request. */
  const serveTls = (st) => {
    st.respond({ ':status': 200 });
    const k = new tls.TLSSocket(st, { isServer: true, ...leaf });
    k.on('error', () => {});
    k.on('data', () => k.write('HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}'));
  };

  test('a caller\'s first bytes come with the question, and the rest both ways', async () => {
    const asked = [];
    const g = await standInGateway(s, t, (st, h) => { asked.push(h); serveTls(st); });
    assert.match(g.head, /\r\nUpgrade: ptth\r\n/i);
    assert.match(g.head, /\r\nALPN: h2\r\n/i);
    const r = await call(s, t, host());
    assert.equal(r.text, '{"ok":true}');
    assert.equal(asked[0][':method'], 'CONNECT');
    assert.equal(asked[0][':authority'], `${host()}:443`);
    assert.equal(asked[0][':path'], undefined);
    assert.equal(asked[0][':scheme'], undefined);
    g.stop();
  });

  test('each answer of a gateway becomes the alert for it', async () => {
    let status = 404;
    const g = await standInGateway(s, t, (st) => { st.respond({ ':status': status }, { endStream: true }); });
    assert.equal(await alertOf(s, host()), 112);
    for (status of [503, 500, 302]) assert.equal(await alertOf(s, host()), 80, `${status}`);
    g.stop();
    const h = await standInGateway(s, t, (st) => st.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
    assert.equal(await alertOf(s, host()), 80, 'reset');
    h.stop();
  });

  test('interim answers of a gateway are skipped, a few of them', async () => {
    let n = 3;
    const g = await standInGateway(s, t, (st) => { for (let i = 0; i < n; i++) st.additionalHeaders({ ':status': 103 }); if (n < 100) serveTls(st); });
    assert.equal((await call(s, t, host())).text, '{"ok":true}');
    n = 100;
    assert.equal(await alertOf(s, host()), 80, 'it is not waited for until it ends');
    g.stop();
  });

  test('a gateway that takes nobody is passed over', async () => {
    let busy = 0;
    const a = await standInGateway(s, t, (st) => { busy++; st.close(http2.constants.NGHTTP2_REFUSED_STREAM); });
    const b = await standInGateway(s, t, serveTls);
    for (let i = 0; i < 6; i++) assert.equal((await call(s, t, host())).text, '{"ok":true}');
    assert(busy > 0, 'it was asked');
    a.stop(); b.stop();
  });

  test('callers are spread, and those of a gateway that dies are cut off at once', async () => {
    const at = [0, 0];
    const gs = await Promise.all([0, 1].map((i) => standInGateway(s, t, (st) => { at[i]++; serveTls(st); })));
    const callers = [];
    for (let i = 0; i < 10; i++) callers.push(await callerSocket(s, t, host()));
    assert.deepEqual(at, [5, 5], 'to the one that has the fewest');
    const gone = callers.map((k) => new Promise((ok) => { k.on('error', () => {}); k.on('close', () => ok(true)); }));
    let n = 0;
    for (const g of gone) g.then(() => { n++; });
    gs[0].socket.destroy();
    await until('its callers hear of it', () => n === 5, ms(3000));
    assert.equal((await call(s, t, host())).text, '{"ok":true}', 'the other carries on');
    assert.equal(n, 5);
    gs[1].stop();
  });

  test('after GOAWAY nothing new comes, and what is there goes on', async () => {
    const a = await standInGateway(s, t, serveTls);
    const k = await callerSocket(s, t, host());
    a.session.goaway(0);
    await until('it is out of the table', async () => await alertOf(s, host()) === 80, ms(5000));
    const answer = new Promise((ok) => k.once('data', ok));
    k.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match((await within(answer, ms(5000), 'an answer')).toString(), /^HTTP\/1\.1 200/);
    a.stop();
  });

  for (const [what, change, status] of [
    ['a wrong token', { token: 'sk-sp-tun-' + '0'.repeat(64) }, 401],
    ['an API key', { key: true }, 403],
    ['no ALPN of ours', { offer: 'http%2F1.1' }, 400],
    ['no upgrade', { upgrade: 'websocket' }, 426],
    ['bytes ahead of the answer', { ahead: 'PRI * HTTP/2.0\r\n\r\n' }, 400],
  ]) test(`refused: ${what}`, async () => {
    const k = net.connect(s.port, '127.0.0.1');
    k.on('error', () => {});
    k.write(['GET /v1/tunnels/connect HTTP/1.1', 'Host: edge', 'connection: upgrade', `upgrade: ${change.upgrade ?? 'ptth'}`, `alpn: ${change.offer ?? 'h2'}`, `authorization: Bearer ${change.key ? s.apiKey : change.token ?? t.token}`, '', ''].join('\r\n') + (change.ahead ?? ''));
    const got = await new Promise((ok) => k.once('data', (d) => ok(d.toString())));
    assert.match(got, new RegExp(`^HTTP/1\\.1 ${status} `), got);
    k.destroy();
  });

  test('a question with Sallyport-Check is answered, and connects nothing', async () => {
    const seen = s.proc.err.length;
    const ask = (token, more = []) => new Promise((ok) => {
      const k = net.connect(s.port, '127.0.0.1');
      let got = '';
      k.on('error', () => {}).on('close', () => ok(got)).on('data', (d) => { got += d; const [h, b] = got.split('\r\n\r\n'); if (b !== undefined && b.length >= Number(h.match(/content-length: (\d+)/i)?.[1] ?? 0)) k.destroy(); });
      k.write(['GET /v1/tunnels/connect HTTP/1.1', 'Host: edge', 'connection: upgrade', ...(more.length ? more : ['upgrade: ptth', 'alpn: h2']), 'sallyport-check: 1', `authorization: Bearer ${token}`, '', ''].join('\r\n'));
    });
    const got = await ask(t.token);
    assert.match(got, /^HTTP\/1\.1 200 /);
    const j = JSON.parse(got.split('\r\n\r\n')[1]);
    assert.deepEqual([j.type, j.tunnel_id, j.domain, j.trusted_certificates], ['tunnel_check', t.id, t.domain, 1]);
    assert.deepEqual(j.certificates.map((c) => [c.id, c.fingerprint, c.ca_certificate_pem.trim()]), [[t.certificate.id, t.certificate.fingerprint, fs.readFileSync(t.ca.file, 'utf8').trim()]]);
    assert(Math.abs(Date.parse(j.now) - Date.now()) < ms(60000));
    assert.match(await ask('sk-sp-tun-nobody'), /^HTTP\/1\.1 401 /, 'it passes what a connection passes');
    assert.match(await ask(s.apiKey), /^HTTP\/1\.1 403 /);
    assert.match(await ask(t.token, ['upgrade: websocket', 'alpn: h2']), /^HTTP\/1\.1 426 /);
    assert.doesNotMatch(s.proc.err.slice(seen), /gateway connected/);
  });

  test('a tunnel\'s token opens nothing but its connection', async () => {
    for (const [method, at] of [['GET', '/v1/agents'], ['GET', '/v1/tunnels'], ['POST', `/v1/tunnels/${t.id}/reveal_token`], ['GET', '/v1/sessions']]) {
      const r = await s.api(method, at, method === 'POST' ? {} : undefined, { key: t.token, headers: { 'anthropic-beta': 'managed-agents-2026-04-01,mcp-tunnels-2026-06-22' } });
      assert.equal(r.status, 403, `${method} ${at}: ${r.text}`);
    }
  });

  test('what the edge passes on is ciphertext', async () => {
    const heard = [];
    const g = await standInGateway(s, t, (st) => {
      st.respond({ ':status': 200 });
      const pair = net.createServer((c) => { st.on('data', (d) => { heard.push(d); c.write(d); }); c.on('data', (d) => { heard.push(d); st.write(d); }); c.on('error', () => {}); st.on('close', () => { c.destroy(); pair.close(); }); });
      pair.listen(0, '127.0.0.1', () => {
        const raw = net.connect(pair.address().port, '127.0.0.1');
        const k = new tls.TLSSocket(raw, { isServer: true, ...leaf });
        k.on('error', () => {});
        k.on('data', () => k.write('HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nsecret-answer'));
      });
    });
    const r = await call(s, t, host(), { path: '/secret-question', headers: { 'x-key': 'secret-key' } });
    assert.equal(r.text, 'secret-answer');
    const all = Buffer.concat(heard);
    assert(all.length > 1000, 'something was heard');
    for (const word of ['secret-question', 'secret-key', 'secret-answer']) assert.equal(all.indexOf(word), -1, word);
    g.stop();
  });
});
