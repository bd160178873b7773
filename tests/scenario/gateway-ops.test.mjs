// Operations of the gateway: what /readyz, /status and /metrics say, `gateway status`, and `gateway doctor` with one real
// fault at a time.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { authority } from '../lib/egress.mjs';
import { BIN, end, here, ms, run, start, tempDir, until } from '../lib/own.mjs';
import { issuer, json, keyServer } from '../lib/tokens.mjs';
import { call, edgeServer, gatewayConfig, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const listen = (s) => new Promise((ok) => s.listen(0, '127.0.0.1', () => ok(s.address().port)));
const closers = [];
after(() => { for (const f of closers) f(); });
/** A listener of this file; `port`, `stop`. Connections are cut at its end. */
async function serve(s) {
  const open = new Set();
  s.on('connection', (c) => { open.add(c); c.on('close', () => open.delete(c)).on('error', () => {}); });
  s.on('tlsClientError', () => {});
  const stop = () => { for (const c of open) c.destroy(); s.close(); };
  closers.push(stop);
  return { port: await listen(s), stop, server: s };
}
const plain = (handler) => serve(http.createServer(handler));
const hello = (q, r) => { q.resume(); r.end('hello'); };

/** A server of the newest revision, by the official package; `methods` collects what it was asked. */
async function modernServer() {
  const methods = [];
  const handler = createMcpHandler(() => {
    const s = new McpServer({ name: 'modern-one', version: '1.0.0' });
    for (const t of ['a', 'b', 'c']) s.registerTool(t, { description: t }, async () => ({ content: [{ type: 'text', text: t }] }));
    return s;
  }, { legacy: 'reject' });
  const s = await plain(async (q, r) => {
    const parts = [];
    for await (const d of q) parts.push(d);
    const body = Buffer.concat(parts);
    try { methods.push(JSON.parse(body).method); } catch { methods.push(q.method); }
    const a = await handler.fetch(new Request(`http://localhost${q.url}`, { method: q.method, headers: q.headers, body: parts.length ? body : undefined }));
    r.writeHead(a.status, Object.fromEntries(a.headers));
    if (a.body) for await (const d of a.body) r.write(d);
    r.end();
  });
  return { ...s, methods };
}

/** The official reference server, of the revisions with sessions. */
async function legacyServer() {
  const free = await serve(net.createServer());
  free.stop();
  const p = start(process.execPath, [path.join(here, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js'), 'streamableHttp'], { env: { PORT: String(free.port) } });
  await p.line(/listening on port/);
  return { port: free.port, stop: () => end(p), proc: p };
}

/** Runs the doctor on a configuration: {code, all, of(id, title)}. */
async function doctor(config, { env, wrap = (bin, argv) => [bin, ...argv] } = {}) {
  const file = path.join(tempDir('doctor'), 'gateway.yaml');
  fs.writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  const [cmd, ...argv] = wrap(BIN, ['gateway', 'doctor', '--config', file, '--json']);
  const r = await run(cmd, argv, { timeout: ms(60000), env });
  assert.equal(r.timedOut, false, r.err);
  const all = JSON.parse(r.out);
  const of = (id, title) => {
    const f = all.checks.filter((c) => c.id === id && (!title || c.title === title));
    assert.equal(f.length, 1, `${id} ${title ?? ''}: ${r.out}`);
    return f[0];
  };
  return { code: r.code, all, of, out: r.out, failed: all.checks.filter((c) => c.verdict === 'fail').map((c) => c.id), file };
}
/** One thing is wrong, and nothing else is said to be. */
function only(d, id, text, fix) {
  assert.deepEqual(d.failed, [id], d.out);
  assert.equal(d.code, 1);
  assert.match(d.of(id).text, text);
  if (fix) assert.match(d.of(id).fix, fix);
}

/** Copies bytes to the edge and back; either direction may be changed on the way. */
async function between(s, { out = (b) => b, back = (b) => b } = {}) {
  const seen = { out: '' };
  const x = await serve(net.createServer((c) => {
    const u = net.connect(s.port, '127.0.0.1');
    c.on('data', (b) => { seen.out += b.toString('latin1'); u.write(out(b)); });
    u.on('data', (b) => c.write(back(b)));
    c.on('close', () => u.destroy()).on('error', () => {});
    u.on('close', () => c.destroy()).on('error', () => {});
  }));
  return { ...x, seen };
}
const changed = (from, to) => (b) => Buffer.from(b.toString('latin1').replace(from, to), 'latin1');

/**
 * A proxy for CONNECT. `answer`: what it says instead of letting it pass. `inspect`: it ends TLS with a certificate of this
 * authority, and passes what it hears on to `to` (a port).
 */
async function connectProxy({ answer, inspect, to } = {}) {
  const seen = [];
  const x = await serve(net.createServer((c) => {
    let head = '';
    const more = (b) => {
      head += b.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      c.off('data', more);
      seen.push(head);
      if (answer) { c.end(`HTTP/1.1 ${answer}\r\ncontent-length: 0\r\nproxy-authenticate: Basic realm="x"\r\n\r\n`); return; }
      const host = head.match(/^CONNECT ([^:]+):/)[1];
      c.write('HTTP/1.1 200 OK\r\n\r\n');
      const pair = inspect.issue([host]);
      const t = new tls.TLSSocket(c, { isServer: true, key: pair.key, cert: pair.cert });
      t.on('error', () => c.destroy());
      const u = net.connect(to ?? 1, '127.0.0.1');
      u.on('error', () => t.destroy()).on('close', () => t.destroy());
      t.on('data', (b) => u.write(b)).on('close', () => u.destroy());
      u.on('data', (b) => t.write(b));
    };
    c.on('data', more);
  }));
  return { ...x, seen };
}

describe('a gateway that runs', () => {
  let s, t, wiki;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    wiki = await plain(hello);
  });
  after(async () => { await s?.stop(); });
  const page = async (g, at) => { const r = await fetch(`http://${g.page}${at}`); return { status: r.status, text: await r.text(), json() { return JSON.parse(this.text); } }; };

  test('/readyz waits for the edge and for every route, and names what is down', async () => {
    const token = fs.readFileSync(t.tokenFile);
    fs.writeFileSync(t.tokenFile, 'sk-sp-tun-not-this-one\n');
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.port}`, dead: 'http://127.0.0.1:1' }, { up: false });
    try {
      const early = await until('routes were probed', async () => { const r = (await page(g, '/readyz')).json(); return r.routes_up === 1 && r; });
      assert.equal(early.ready, false);
      assert.match(early.why, /no connection to the edge/);
      assert.equal((await page(g, '/readyz')).status, 503);
      assert.equal((await page(g, '/healthz')).status, 200, 'it lives all the same');
      fs.writeFileSync(t.tokenFile, token);
      await g.isUp();
      const r = await until('it is ready', async () => { const p = await page(g, '/readyz'); return p.status === 200 && p; });
      const j = r.json();
      assert.deepEqual([j.ready, j.why, j.connections, j.routes, j.routes_up], [true, null, 4, 2, 1], 'one dead route is told and keeps nobody else out');
      assert.equal(j.not_up.length, 1);
      assert.deepEqual([j.not_up[0].route, j.not_up[0].state, j.not_up[0].source], ['dead', 'down', 'connect']);
      assert.match(j.not_up[0].why, /refused/);
      assert.equal(await g.metric('sallyport_gateway_routes\\{state="down"\\}'), 1);
      // Routes that are taken in later are probed at once; when none is left that answers, it is not ready.
      g.write({ dead: 'http://127.0.0.1:1' });
      g.proc.kill('SIGHUP');
      await g.proc.line(/msg="files read anew" routes=1/);
      const none = await until('it is not ready', async () => { const p = (await page(g, '/readyz')).json(); return /no route/.test(p.why) && p; });
      assert.equal(none.ready, false);
      g.write({ wiki: `http://127.0.0.1:${wiki.port}` });
      g.proc.kill('SIGHUP');
      await until('it is ready again', async () => (await page(g, '/readyz')).status === 200);
    } finally { await g.stop(); }
  });

  test('a server that goes is noticed by itself, one that is back is, too; each is told in the log once', async () => {
    const one = await plain(hello);
    const g = await startGateway(s, t, { one: `http://127.0.0.1:${one.port}` });
    const told = (re) => (g.proc.err.match(re) ?? []).length;
    try {
      await until('it is up', async () => (await page(g, '/readyz')).status === 200);
      one.stop();
      const j = await until('it is down', async () => { const p = (await page(g, '/readyz')).json(); return p.not_up[0]?.state === 'down' && p; }, ms(60000));
      assert.deepEqual([j.ready, j.not_up[0].route], [false, 'one']);
      const again = http.createServer(hello);
      await new Promise((ok) => again.listen(one.port, '127.0.0.1', ok));
      closers.push(() => { again.closeAllConnections(); again.close(); });
      g.proc.kill('SIGHUP');   // everything is looked at anew
      await until('it is up again', async () => (await page(g, '/readyz')).status === 200);
      assert.deepEqual([told(/the server of a route cannot be reached/g), told(/the server of a route can be reached again/g)], [1, 1]);
    } finally { await g.stop(); }
  });

  test('its own pages are asked for by address: a name of somebody else\'s may lead here', async () => {
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.port}` });
    try {
      const at = new URL(`http://${g.page}`);
      const ask = (path, host) => new Promise((ok, no) => http.get({ host: at.hostname, port: at.port, path, headers: { host } }, (r) => { r.resume(); ok(r.statusCode); }).on('error', no));
      for (const path of ['/status', '/readyz']) {
        assert.equal(await ask(path, `evil.example:${at.port}`), 421, path);
        for (const host of [at.host, `localhost:${at.port}`, 'localhost']) assert.notEqual(await ask(path, host), 421, `${path} ${host}`);
      }
      assert.equal(await ask('/healthz', 'evil.example'), 200);
    } finally { await g.stop(); }
  });

  test('/status, the table that is made of it, and series of each route; no secret in any', async () => {
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.port}`, dead: 'http://127.0.0.1:1' });
    try {
      assert.equal((await call(s, t, `wiki.${t.domain}`)).status, 200);
      assert.equal((await call(s, t, `dead.${t.domain}`)).status, 502);
      assert.equal((await call(s, t, `nothing.${t.domain}`)).status, 404);
      assert.equal((await call(s, t, `wiki.${t.domain}`, { headers: { host: 'other.example' } })).status, 421);
      const j = await until('a PING was answered', async () => { const p = (await page(g, '/status')).json(); return p.connections.every((c) => c.rtt_us > 0) && p; }, ms(30000));
      assert.equal(j.type, 'gateway_status');
      assert.deepEqual(j.connections.map((c) => c.state), ['up', 'up', 'up', 'up']);
      assert.equal(j.tunnel_domain, t.domain);
      assert.equal(j.certificate.hosts, `*.${t.domain}`);
      assert.match(j.certificate.issuer, /test authority/);
      assert(Date.parse(j.certificate.ends_at) > Date.now());
      assert.deepEqual([j.config.generation, j.config.trouble], [1, null]);
      const routes = Object.fromEntries(j.routes.map((r) => [r.route, r]));
      assert.deepEqual([routes.wiki.requests.answered, routes.wiki.requests.refused, routes.dead.requests.failed, routes.dead.last_failure], [1, 1, 1, 'connect']);
      assert.deepEqual(j.failures.map((f) => [f.source, f.status, f.route]), [['policy', 421, 'wiki'], ['policy', 404, null], ['connect', 502, 'dead']]);
      assert.equal(j.failures[1].host, `nothing.${t.domain}`);
      const m = (await page(g, '/metrics')).text;
      for (const line of ['sallyport_gateway_route_up{route="wiki"} 1', 'sallyport_gateway_route_up{route="dead"} 0', 'sallyport_gateway_route_requests_total{route="wiki",outcome="answered"} 1', 'sallyport_gateway_route_failures_total{route="dead",source="connect"} 1', 'sallyport_gateway_route_duration_seconds_count{route="wiki"} 2'])
        assert(m.includes(`${line}\n`), `${line}\n${m}`);
      assert.match(m, /^sallyport_gateway_request_seconds_count 4$/m);
      const shown = await run(BIN, ['gateway', 'status', '--admin', g.page]);
      assert.equal(shown.code, 0, shown.err);
      assert.match(shown.out, /connections +up/);
      assert(!/\b1 (callers|failures|tools|calls|routes)\b/.test(shown.out), shown.out);
      assert.match(shown.out, /down +dead -> http:\/\/127\.0\.0\.1:1/);
      assert.match(shown.out, /502 connect: dead\./);
      const asJson = await run(BIN, ['gateway', 'status', '--admin', g.page, '--json']);
      assert.equal(JSON.parse(asJson.out).type, 'gateway_status');
      const key = fs.readFileSync(t.leaf.keyFile, 'utf8').split('\n')[1];
      for (const text of [m, shown.out, asJson.out, JSON.stringify(j), g.proc.err]) {
        assert(!text.includes(t.token), 'the token');
        assert(!text.includes(key), 'the key');
      }
      // A change that cannot be used is told, until one can.
      fs.writeFileSync(g.file, 'routes: [');
      g.proc.kill('SIGHUP');
      const bad = await until('it is told', async () => { const p = (await page(g, '/status')).json(); return p.config.trouble && p; });
      assert.equal(bad.config.generation, 1);
      assert.match((await run(BIN, ['gateway', 'status', '--admin', g.page])).out, /a change is not taken/);
      g.write();
      g.proc.kill('SIGHUP');
      await until('it is taken', async () => { const p = (await page(g, '/status')).json(); return p.config.generation === 2 && p.config.trouble === null; });
    } finally { await g.stop(); }
  });

  test('`gateway status` finds the listener by the configuration, and says when nobody is there', async () => {
    const admin = await serve(net.createServer());
    admin.stop();
    const file = path.join(tempDir('status'), 'gateway.yaml');
    fs.writeFileSync(file, gatewayConfig(s, t, { wiki: 'http://127.0.0.1:1' }, { admin: `127.0.0.1:${admin.port}` }));
    const gone = await run(BIN, ['gateway', 'status', '--config', file]);
    assert.equal(gone.code, 1);
    assert.match(gone.err, new RegExp(`no gateway runs here: nobody listens at 127\\.0\\.0\\.1:${admin.port}`));
    const p = start(BIN, ['gateway', '--config', file]);
    try {
      await p.line(/^ready /m);
      const there = await run(BIN, ['gateway', 'status', '--config', file]);
      assert.equal(there.code, 0, there.err);
      assert.match(there.out, /wiki -> http/);
    } finally { await end(p); }
    const other = await plain(hello);
    const no = await run(BIN, ['gateway', 'status', '--admin', `127.0.0.1:${other.port}`]);
    assert.equal(no.code, 1);
    assert.match(no.err, /is no gateway/);
  });
});

describe('gateway doctor', () => {
  let s, t, modern, legacy;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    modern = await modernServer();
    legacy = await legacyServer();
  });
  after(async () => { await legacy?.stop(); await s?.stop(); });
  const good = (more = {}, routes = { modern: `http://127.0.0.1:${modern.port}` }, of = t) => JSON.parse(gatewayConfig(s, of, routes, more));

  test('finds nothing where nothing is wrong, asks each era in its way, and disturbs no gateway', async () => {
    const g = await startGateway(s, t, { modern: `http://127.0.0.1:${modern.port}` });
    try {
      const dials = await g.metric('sallyport_gateway_dials_total\\{outcome="ok"\\}');
      modern.methods.length = 0;
      const d = await doctor(good({}, { modern: `http://127.0.0.1:${modern.port}`, legacy: `http://127.0.0.1:${legacy.port}` }));
      assert.deepEqual(d.failed, [], d.out);
      assert.deepEqual([d.code, d.all.untried, d.all.notes], [0, 0, 0], d.out);
      assert.match(d.of('route_mcp', 'modern').text, /MCP 2026-07-28 at \/mcp as modern-one, 3 tools/);
      assert.match(d.of('route_mcp', 'legacy').text, /MCP 2025-\S+ at \/mcp as \S+, \d+( and more)? tools/);
      assert.match(d.of('tunnel').text, new RegExp(`${t.id}, ${t.domain}, not archived`));
      assert.match(d.of('signature').text, /was signed by a CA that is registered/);
      assert.deepEqual(modern.methods, ['server/discover', 'tools/list'], 'no tool is called, nothing is initialized');
      assert.equal(await g.metric('sallyport_gateway_dials_total\\{outcome="ok"\\}'), dials);
      assert.equal(await g.metric('sallyport_gateway_connections'), 4);
      assert.equal(s.proc.err.match(/msg="gateway connected"/g).length, 4, 'the edge has seen no fifth one');
      assert(!d.out.includes(t.token));
      const words = await run(BIN, ['gateway', 'doctor', '--config', d.file], { timeout: ms(60000) });
      assert.equal(words.code, 0, words.out);
      assert.match(words.out, /Nothing stands in the way of this gateway\.\n$/);
    } finally { await g.stop(); }
  });

  test('a configuration that does not load, and the rest is not taken for good', async () => {
    const d = await doctor('edge: https://e.example\nroutes: 7\n');
    only(d, 'config', /gateway\.yaml:\d+: token_file/);
    assert(d.all.untried > 0);
  });

  test('files with secrets: readable for others, missing, a key of another certificate', async () => {
    const open = path.join(tempDir('token'), 'token');
    fs.writeFileSync(open, `${t.token}\n`, { mode: 0o644 });
    const a = await doctor(good({ token_file: open }));
    only(a, 'token_file', /token/, /chmod 600/);
    assert.equal(a.of('token').verdict, 'untried', 'a file that the gateway would refuse is not used');
    only(await doctor(good({ token_file: `${open}.none` })), 'token_file', /cannot open/, /tunnel token show/);
    const other = t.ca.issue([`*.${t.domain}`]);
    only(await doctor(good({ tls: { cert_file: t.leaf.certFile, key_file: other.keyFile } })), 'certificate', /does not belong/);
  });

  /** What a gateway with this file says: that it does not start. */
  async function fails(d, words) {
    const p = start(BIN, ['gateway', '--config', d.file, '--metrics', 'none']);
    assert.equal((await p.exit).code, 1, p.tail());
    assert.match(p.err, words);
  }
  /** Names, sizes and times of all that is in a directory. */
  const inside = (dir) => fs.readdirSync(dir).sort().map((f) => { const st = fs.statSync(path.join(dir, f)); return [f, st.size, st.mtimeMs, st.mode]; });

  test('a gateway that runs and has not taken the file is told; one that has is not, nor one of another file', async () => {
    const free = await serve(net.createServer());
    free.stop();
    const more = { admin: `127.0.0.1:${free.port}` }, upstream = `http://127.0.0.1:${modern.port}`;
    const file = path.join(tempDir('running'), 'gateway.yaml');
    const write = (route) => fs.writeFileSync(file, JSON.stringify(good(more, { modern: route })));
    const look = async () => JSON.parse((await run(BIN, ['gateway', 'doctor', '--config', file, '--json'], { timeout: ms(60000) })).out);
    const running = (all) => all.checks.filter((c) => c.id === 'running');
    write(upstream);
    const p = start(BIN, ['gateway', '--config', file]);
    try {
      await p.line(/^ready /m);
      assert.deepEqual(running(await look()), []);
      write({ upstream, pin_tools: true });
      p.kill('SIGHUP');
      await p.line(/pin_tools or tools\.confirm is new in it: restart to take it/);
      const [it] = running(await look());
      assert.deepEqual([it.verdict, it.group], ['note', 'The gateway that runs']);
      assert.match(it.text, /has not taken the changed files \(.*gateway\.yaml\): .*pin_tools or tools\.confirm is new in it: restart to take it/);
      const another = await doctor(good(more));
      assert.deepEqual(another.all.checks.filter((c) => c.id === 'running'), [], 'it is another gateway there');
      write(upstream);
      p.kill('SIGHUP');
      await until('it is taken', async () => running(await look()).length === 0);
    } finally { await end(p); }
  });

  test('one route is not several', async () => {
    const file = path.join(tempDir('one'), 'gateway.yaml');
    fs.writeFileSync(file, JSON.stringify(good({}, { modern: `http://127.0.0.1:${modern.port}` })));
    const r = await run(BIN, ['gateway', 'doctor', '--config', file], { timeout: ms(60000) });
    assert.match(r.out, /gateway\.yaml, 1 route$/m);
  });

  test('whom callers are signed by: a file that is missing, and one that is damaged', async () => {
    const file = path.join(tempDir('clients'), 'ca.pem');
    const of = () => doctor(good({ tls: { cert_file: t.leaf.certFile, key_file: t.leaf.keyFile, client_ca_file: file } }));
    const missing = await of();
    only(missing, 'client_ca_file', /tls\.client_ca_file: cannot open .*ca\.pem/, /certificates \(PEM\)/);
    await fails(missing, /tls\.client_ca_file: cannot open/);
    fs.writeFileSync(file, fs.readFileSync(t.ca.file, 'utf8').slice(0, 200));
    const damaged = await of();
    only(damaged, 'client_ca_file', /tls\.client_ca_file: .*ca\.pem/, /certificates \(PEM\)/);
    await fails(damaged, /tls\.client_ca_file: .*ca\.pem/);
    fs.copyFileSync(t.ca.file, file);
    const fine = await of();
    assert.deepEqual([fine.code, fine.of('client_ca_file').verdict], [0, 'ok'], fine.out);
  });

  test('what callers\' tokens are checked by: a file that is missing or none, an issuer that is not there or answers otherwise', async () => {
    const file = path.join(tempDir('keys'), 'jwks.json'), idp = await issuer(), jwt = { issuer: idp.iss, audience: idp.aud };
    const of = (more) => doctor(good({ callers: { jwt: { ...jwt, ...more } } }));
    const missing = await of({ jwks_file: file });
    only(missing, 'caller_keys', /callers\.jwt\.jwks_file: cannot open .*jwks\.json/, /JSON Web Key Set/);
    await fails(missing, /callers\.jwt\.jwks_file: cannot open/);
    fs.writeFileSync(file, '{}');
    const none = await of({ jwks_file: file });
    only(none, 'caller_keys', /callers\.jwt\.jwks_file .*no set of keys/, /JSON Web Key Set/);
    await fails(none, /callers\.jwt\.jwks_file .*no set of keys/);
    fs.writeFileSync(file, JSON.stringify(await idp.jwks()));
    const fine = await of({ jwks_file: file });
    assert.deepEqual([fine.code, fine.of('caller_keys').verdict], [0, 'ok'], fine.out);
    const keys = await keyServer(json(await idp.jwks()));
    try {
      const asked = await of({ jwks_url: keys.url });
      assert.deepEqual([asked.code, asked.of('caller_keys').verdict], [0, 'ok'], asked.out);
      assert.match(asked.out, /publishes 1 that can be used/);
      keys.answer = (q, r) => { r.writeHead(404); r.end(); };
      only(await of({ jwks_url: keys.url }), 'caller_keys', /HTTP 404 instead of keys/, /jwks_uri/);
      keys.answer = json({ keys: [] });
      only(await of({ jwks_url: keys.url }), 'caller_keys', /none of the 0 keys/, /jwks_uri/);
    } finally { keys.stop(); }
    only(await of({ jwks_url: keys.url }), 'caller_keys', /connect/, /is the issuer running/);
  });

  test('the state directory: not there, writable for others, somebody else\'s; pins that are damaged or somebody else\'s', async () => {
    const dir = path.join(tempDir('state'), 'pins'), pins = path.join(dir, 'pins.json');
    const of = () => doctor(good({ state_dir: dir }, { modern: { upstream: `http://127.0.0.1:${modern.port}`, pin_tools: true } }));
    const bad = async (id, words, fix) => { const d = await of(); only(d, id, words, fix); await fails(d, words); };
    await bad('state_dir', /state_dir: cannot open .*pins/, /mkdir -m 700 .*state_dir: DIR/);
    assert(!fs.existsSync(dir), 'nothing is made');
    assert.equal((await of()).of('pins_file').verdict, 'untried');
    fs.mkdirSync(dir, { mode: 0o700 });
    fs.chmodSync(dir, 0o777);
    await bad('state_dir', /has to belong to the gateway's user, and nobody else may write to it/, /chmod 700/);
    fs.chmodSync(dir, 0o700);
    if (process.getuid() === 0) {
      fs.chownSync(dir, 65534, 65534);
      await bad('state_dir', /has to belong to the gateway's user/, /owner/);
      fs.chownSync(dir, 0, 0);
    }
    const none = await of();
    assert.deepEqual([none.code, none.of('state_dir').verdict, none.of('pins_file').verdict], [0, 'ok', 'ok'], none.out);
    assert.match(none.of('pins_file').text, /there is no .*pins\.json yet: nothing is pinned/);
    assert.deepEqual(fs.readdirSync(dir), [], 'and made nothing');
    fs.writeFileSync(pins, '{"version":1,"routes":{', { mode: 0o600 });
    await bad('pins_file', /pins\.json is damaged/, /put back a copy/);
    assert.equal(fs.readFileSync(pins, 'utf8'), '{"version":1,"routes":{');
    fs.writeFileSync(pins, '{"type":"gateway_pins","version":1,"routes":{}}');
    assert.match((await of()).of('pins_file').text, /pins\.json can be read/);
    fs.chmodSync(pins, 0o622);
    await bad('pins_file', /was written by somebody else, or may be/, /mode 600/);
  });

  test('without pins and approvals no state directory is asked for', async () => {
    const d = await doctor(good({ state_dir: '/nowhere/at/all' }));
    assert.deepEqual([d.code, d.all.checks.filter((c) => ['state_dir', 'pins_file'].includes(c.id))], [0, []], d.out);
  });

  test('the audit log: no directory, a directory in its place, a key that is gone, an end that does not hold', async () => {
    const dir = path.join(tempDir('audit'), 'log'), file = path.join(dir, 'a.jsonl');
    const of = () => doctor(good({ audit: { file } }));
    const bad = async (words, said = words) => {
      const before = fs.existsSync(dir) && inside(dir), d = await of();
      only(d, 'audit_file', words, /let the gateway's user write .*a\.jsonl/);
      assert.deepEqual(fs.existsSync(dir) && inside(dir), before, 'nothing is made or changed');
      await fails(d, said);
    };
    await bad(/cannot read directory .*log: No such file/, /audit: cannot lock .*No such file/);
    fs.mkdirSync(file, { recursive: true });
    await bad(/a\.jsonl/);
    fs.rmdirSync(file);
    for (const f of fs.readdirSync(dir)) fs.unlinkSync(path.join(dir, f));
    const fresh = await of();
    assert.deepEqual([fresh.code, fresh.of('audit_file').verdict, fs.readdirSync(dir)], [0, 'ok', []], fresh.out);
    // One that is written while it is looked at is none the worse.
    const g = await startGateway(s, t, { modern: `http://127.0.0.1:${modern.port}` }, { config: { audit: { file } } });
    try {
      const before = inside(dir), d = await of();
      assert.deepEqual([d.code, d.of('audit_file').verdict], [0, 'ok'], d.out);
      assert.deepEqual(inside(dir), before);
    } finally { await g.stop(); }
    fs.chmodSync(`${file}.key`, 0o644);
    await bad(/a\.jsonl\.key/);
    fs.chmodSync(`${file}.key`, 0o600);
    fs.renameSync(`${file}.key`, `${file}.away`);
    await bad(/the key .*a\.jsonl\.key of an audit log that is there is gone/);
    fs.renameSync(`${file}.away`, `${file}.key`);
    assert.equal((await of()).code, 0);
    fs.writeFileSync(file, 'this is no log\n');
    await bad(/has no checkpoint at its end/);
  });

  test('as another user, a state directory and a log that this one may not write', { skip: process.getuid() !== 0 && 'only root can be somebody else' }, async () => {
    const dir = tempDir('theirs'), log = tempDir('log');
    fs.chmodSync(dir, 0o755);
    fs.chmodSync(log, 0o755);
    const config = good({ state_dir: dir, audit: { file: path.join(log, 'a.jsonl') } }, { modern: { upstream: `http://127.0.0.1:${modern.port}`, pin_tools: true } });
    const as = (bin, argv) => ['sh', '-c', 'for f in "$(dirname "$1")"; do chmod 755 "$f"; done; shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"', 'sh', argv[argv.indexOf('--config') + 1], bin, ...argv];
    const d = await doctor(config, { wrap: as });
    assert.match(d.of('state_dir').text, /has to belong to the gateway's user/);
    assert.match(d.of('audit_file').text, /no file can be made in .*: permission denied/i);
  });

  test('the certificate: expired, of other names, of a CA that is not registered', async () => {
    const pair = (l) => ({ tls: { cert_file: l.certFile, key_file: l.keyFile } });
    only(await doctor(good(pair(t.ca.issue([`*.${t.domain}`], { days: 0 })))), 'certificate_dates', /has expired on 2020-01-02/);
    only(await doctor(good(pair(t.ca.issue(['*.other.example'])))), 'certificate_names', /is for \*\.other\.example, and not for the routes modern/, /subjectAltName=DNS:\*\./);
    only(await doctor(good(pair(authority(tempDir('ca')).issue([`*.${t.domain}`])))), 'signature', /signed by none of them/, /tunnel cert add/);
    const soon = await doctor(good(pair(t.ca.issue([`*.${t.domain}`], { days: 5 }))));
    assert.deepEqual([soon.code, soon.of('certificate_dates').verdict], [0, 'note']);
  });

  test('the edge\'s name, and an edge that is not there', async () => {
    const d = await doctor(good({ edge: 'https://no-such-name.invalid:443' }));
    only(d, 'edge_name', /no-such-name\.invalid/, /DNS/);
    for (const id of ['edge_connect', 'clock', 'token', 'tunnel', 'authority', 'signature']) assert.equal(d.of(id).verdict, 'untried', id);
    only(await doctor(good({ edge: 'http://127.0.0.1:1' })), 'edge_connect', /refused/);

  });

  test('the token: another one, of an archived tunnel, an API key', async () => {
    const file = (text) => { const f = path.join(tempDir('token'), 'token'); fs.writeFileSync(f, `${text}\n`, { mode: 0o600 }); return { token_file: f }; };
    only(await doctor(good(file(`${t.token.slice(0, -4)}aaaa`))), 'token', /does not know it \(401\)/, /tunnel token show/);
    only(await doctor(good(file(s.apiKey))), 'token', /no tunnel's token \(403\)/);
    const gone = await makeTunnel(s);
    await s.tunnels().archive(gone.id);
    only(await doctor(good({}, undefined, gone)), 'token', /archived/);
  });

  test('the tunnel: of another domain, without a CA', async () => {
    const l = t.ca.issue(['*.t-other.tunnel.localhost']);
    only(await doctor(good({ tunnel_domain: 't-other.tunnel.localhost', tls: { cert_file: l.certFile, key_file: l.keyFile } })), 'tunnel', new RegExp(`whose domain is ${t.domain}`), new RegExp(`tunnel_domain: ${t.domain}`));
    const bare = await makeTunnel(s, { register: false });
    only(await doctor(good({}, undefined, bare)), 'authority', /has no certificate/, /tunnel cert add/);
  });

  test('what is no edge, an edge of an older version, and one behind something that takes upgrades out', async () => {
    const not = await plain((q, r) => { r.statusCode = 404; r.end(); });
    only(await doctor(good({ edge: `http://127.0.0.1:${not.port}` })), 'token', /no edge of Sallyport is there/);
    const old = await serve(net.createServer((c) => { c.once('data', () => c.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ptth\r\nalpn: h2\r\ndate: ${new Date().toUTCString()}\r\n\r\n`)); }));
    const d = await doctor(good({ edge: `http://127.0.0.1:${old.port}` }));
    assert.deepEqual([d.code, d.of('token').verdict, d.of('tunnel').verdict, d.of('signature').verdict], [0, 'ok', 'untried', 'untried']);
    assert.match(d.all.summary, /3 could not be looked at/);
    const b = await between(s, { out: changed(/upgrade: ptth\r\n/i, '') });
    only(await doctor(good({ edge: `http://127.0.0.1:${b.port}` })), 'token', /takes `Upgrade` out/);
    assert.match(b.seen.out, /upgrade: ptth/i, 'it was asked for');
  });

  test('a clock that is off, by the edge\'s date; an edge without one', async () => {
    const at = (sec) => between(s, { back: changed(/Date: [^\r]+/, `Date: ${new Date(Date.now() + sec * 1000).toUTCString()}`) });
    for (const [sec, word] of [[-600, 'ahead of'], [600, 'behind']]) {
      const b = await at(sec);
      only(await doctor(good({ edge: `http://127.0.0.1:${b.port}` })), 'clock', new RegExp(`is \\d+ seconds ${word} the edge's`), /timedatectl/);
    }
    const near = await at(30);
    assert.equal((await doctor(good({ edge: `http://127.0.0.1:${near.port}` }))).of('clock').verdict, 'ok');
    const none = await between(s, { back: changed(/Date: [^\r]+\r\n/, '') });
    assert.equal((await doctor(good({ edge: `http://127.0.0.1:${none.port}` }))).of('clock').verdict, 'untried');
  });

  test('a proxy: none there, one that wants a user (407), one that forbids (403)', async () => {
    const via = (port) => good({ edge: 'https://edge.example:443', proxy: `http://127.0.0.1:${port}` });
    only(await doctor(via(1)), 'edge_proxy', /nothing answers at 127\.0\.0\.1:1/);
    const wants = await connectProxy({ answer: '407 Proxy Authentication Required' });
    const d = await doctor(via(wants.port));
    only(d, 'edge_proxy', /wants a user \(407\)/, /proxy_password_file/);
    assert.match(wants.seen[0], /^CONNECT edge\.example:443 /);
    assert.equal(d.of('token').verdict, 'untried');
    const forbids = await connectProxy({ answer: '403 Forbidden' });
    only(await doctor(via(forbids.port)), 'edge_proxy', /does not allow edge\.example:443 \(403\)/, /ask who runs the proxy/);
  });

  test('a box that inspects TLS is named, and is not told the token', async () => {
    const via = (p, more) => good({ edge: 'https://edge.example:443', proxy: `http://127.0.0.1:${p.port}`, ...more });
    const b = await between(s);
    const known = await connectProxy({ inspect: authority(tempDir('ca'), { name: 'Zscaler Root CA' }), to: b.port });
    const d = await doctor(via(known));
    assert.deepEqual(d.failed, ['edge_tls', 'edge_inspection'], d.out);
    assert.match(d.of('edge_inspection').text, /inspects TLS is in the path: Zscaler.*made by \\?"CN=Zscaler Root CA/);
    assert.equal(d.of('token').verdict, 'untried');
    assert.equal(b.seen.out, '', 'not a byte was said in it');
    const ca = authority(tempDir('ca'), { name: 'ACME Corp Secure CA' });
    const unknown = await connectProxy({ inspect: ca, to: b.port });
    const u = await doctor(via(unknown));
    only(u, 'edge_tls', /unknown authority/, /ca_file/);
    assert.equal(u.of('edge_inspection').verdict, 'note');
    assert.match(u.of('edge_inspection').text, /ACME Corp Secure CA.*which nobody here trusts/);
    // An administrator has made this machine trust it: everything works, and the box is named all the same.
    const zs = authority(tempDir('ca'), { name: 'Netskope CA' });
    const trusted = await connectProxy({ inspect: zs, to: s.port });
    const w = await doctor(via(trusted, { ca_file: zs.file }));
    assert.deepEqual(w.failed, [], w.out);
    assert.equal(w.of('edge_inspection').verdict, 'note');
    assert.match(w.of('edge_inspection').text, /Netskope/);
    assert.equal(w.of('token').verdict, 'ok');
    // Behind ca_file an edge with its own authority is no box.
    const own = await connectProxy({ inspect: ca, to: s.port });
    assert.equal((await doctor(via(own, { ca_file: ca.file }))).of('edge_inspection').verdict, 'ok');
  });

  test('an authority that this machine was given is told from one that came with it', { skip: process.getuid() !== 0 && 'only root can put files in the system\'s place' }, async () => {
    const ca = authority(tempDir('ca'), { name: 'ACME Corp Secure CA' });
    const folder = tempDir('anchors'), empty = tempDir('anchors');
    for (const d of [folder, empty]) fs.writeFileSync(path.join(d, 'other.crt'), fs.readFileSync(authority(tempDir('ca')).file));
    fs.copyFileSync(ca.file, path.join(folder, 'acme.crt'));
    const box = await connectProxy({ inspect: ca, to: s.port });
    // In a mount namespace of its own: the system's bundle is this CA, and the folder of additions has it, or has not.
    const within = (dir) => (bin, argv) => ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && mount --bind "$1" /usr/local/share/ca-certificates && shift && exec "$@"', ca.file, dir, bin, ...argv];
    const config = good({ edge: 'https://edge.example:443', proxy: `http://127.0.0.1:${box.port}` });
    const given = await doctor(config, { wrap: within(folder) });
    assert.deepEqual([given.code, given.of('edge_inspection').verdict], [0, 'note'], given.out);
    assert.match(given.of('edge_inspection').text, /ACME Corp Secure CA.*was added to this machine/);
    const came = await doctor(config, { wrap: within(empty) });
    assert.deepEqual([came.code, came.of('edge_inspection').verdict], [0, 'ok'], came.out);
    assert.match(came.of('edge_inspection').text, /came with this machine/);
  });

  test('what an edge says about the tunnel is read as a stranger\'s', async () => {
    const pem = fs.readFileSync(t.ca.file, 'utf8');
    const says = async (body, status = 200) => {
      const e = await plain((q, r) => { q.resume(); r.writeHead(status, { 'content-type': 'application/json' }); r.end(typeof body === 'string' ? body : JSON.stringify(body)); });
      e.server.on('upgrade', (q, k) => { const text = typeof body === 'string' ? body : JSON.stringify(body); k.end(`HTTP/1.1 ${status} X\r\ndate: ${new Date().toUTCString()}\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`); });
      return doctor(good({ edge: `http://127.0.0.1:${e.port}` }));
    };
    const fine = { type: 'tunnel_check', tunnel_id: t.id, domain: t.domain, certificates: [{ ca_certificate_pem: pem, expires_at: null }] };
    assert.deepEqual((await says(fine)).failed, []);
    only(await says({ ...fine, certificates: [{ ca_certificate_pem: pem, expires_at: '2020-01-01T00:00:00Z' }] }), 'authority', /have all expired/);
    only(await says({ ...fine, certificates: [{ ca_certificate_pem: 'not PEM', expires_at: null }, 7, null] }), 'signature', /none of them/);
    only(await says({ ...fine, certificates: 'many' }), 'authority', /has no certificate/);
    const odd = await says({ ...fine, domain: 'a\u001b[31m\n\u202e', tunnel_id: 7 });
    only(odd, 'tunnel', /whose domain is a\\x1b\[31m/);
    assert(!/[\u001b\u202e]/.test(odd.of('tunnel').fix), 'nothing in it drives a terminal');
    for (const body of ['', 'what?', '{}', '[]', '{"type":"other"}']) {
      const d = await says(body);
      assert.deepEqual([d.code, d.of('token').verdict, d.of('tunnel').verdict, d.of('authority').verdict, d.of('signature').verdict], [0, 'ok', 'untried', 'untried', 'untried'], body);
    }
    only(await says('{}', 418), 'token', /says 418, which no edge does/);
    assert.deepEqual([(await says('{}', 503)).of('token').verdict, (await says('{}', 503)).code], ['untried', 0]);
  });

  test('routes: down, of no address, not open, with a wrong certificate, not MCP, wanting a credential', async () => {
    const ca = authority(tempDir('ca'));
    const wrong = ca.issue(['other.example']);
    const tlsServer = await serve(https.createServer({ key: wrong.key, cert: wrong.cert }, hello));
    const right = ca.issue(['127.0.0.1']);
    const secure = await serve(http2.createSecureServer({ key: right.key, cert: right.cert, allowHTTP1: true }, hello));
    const web = await plain(hello);
    const wants = await plain((q, r) => { q.resume(); r.statusCode = 401; r.end('{}'); });
    const noHttp = await serve(net.createServer((c) => c.end('220 mail.example ESMTP\r\n')));
    const d = await doctor(good({ upstream: { allowed_ips: ['127.0.0.0/8'], tls: { ca_file: ca.file } } }, {
      down: 'http://127.0.0.1:1', noname: 'http://no-such-name.invalid:80', tls: `https://127.0.0.1:${tlsServer.port}`, secure: `https://127.0.0.1:${secure.port}`,
      web: `http://127.0.0.1:${web.port}`, wants: `http://127.0.0.1:${wants.port}`, mail: `http://127.0.0.1:${noHttp.port}`, fine: `http://127.0.0.1:${modern.port}`,
    }));
    const reach = (name) => d.of('route_reach', name), mcp = (name) => d.of('route_mcp', name);
    assert.equal(d.code, 1);
    assert.match(reach('down').text, /connect: .*refused/);
    assert.match(reach('noname').text, /dns: /);
    assert.match(reach('tls').text, /tls: .*its certificate is for other hosts: other\.example/);
    assert.match(reach('tls').fix, /ca_file/);
    for (const name of ['down', 'noname', 'tls']) assert.deepEqual([reach(name).verdict, mcp(name).verdict], ['fail', 'untried'], name);
    for (const name of ['secure', 'web', 'wants', 'mail', 'fine']) assert.equal(reach(name).verdict, 'ok', name);
    assert.deepEqual([mcp('web').verdict, mcp('wants').verdict, mcp('mail').verdict, mcp('fine').verdict], ['note', 'note', 'fail', 'ok']);
    assert.match(reach('secure').text, /its certificate is good/);
    assert.match(mcp('secure').text, /it answers HTTP \(200\), and does not speak MCP/);
    assert.match(mcp('web').text, /does not speak MCP/);
    assert.match(mcp('wants').text, /wants a credential \(401\)/);
    assert.match(mcp('mail').text, /no answer in HTTP/);
    const c = await doctor(good({ upstream: { allowed_ips: ['10.0.0.0/8'] } }, { here: `http://localhost:${modern.port}` }));
    only(c, 'route_reach', /policy: .*has to be named/, /allowed_ips/);
  });

  test('tools that the server has against those that are offered, and rules that are about none', async () => {
    const tools = ['read_page', 'write_page', 'delete_page', 'drop\u001b[2J'].map((name) => ({ name, description: 'x', inputSchema: { type: 'object' } }));
    const make = (more) => plain((q, r) => {
      let text = '';
      q.on('data', (b) => { text += b; }).on('end', () => {
        const m = JSON.parse(text || '{}'), result = m.method === 'server/discover' ? { supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } } : { tools, ...more };
        r.setHeader('content-type', 'application/json');
        r.end(JSON.stringify({ jsonrpc: '2.0', id: m.id, result }));
      });
    });
    const one = await make({}), paged = await make({ nextCursor: 'next' });
    const rules = { allow: ['*_page', 'search_*'], deny: ['delete_*', 'remove_*'], confirm: ['Write_page', 'close_ticket'], arguments: { read_page: { page: { type: 'string' } }, get_page: { page: { type: 'string' } } } };
    const d = await doctor(good({}, {
      ruled: { upstream: `http://127.0.0.1:${one.port}`, tools: rules }, paged: { upstream: `http://127.0.0.1:${paged.port}`, tools: rules }, free: `http://127.0.0.1:${one.port}`,
      shut: { upstream: `http://127.0.0.1:${one.port}`, tools: { allow: ['nothing'] } }, fits: { upstream: `http://127.0.0.1:${one.port}`, tools: { deny: ['delete_page'] } },
    }));
    assert.equal(d.code, 0, d.out);
    const ruled = d.of('route_tools', 'ruled');
    assert.equal(ruled.verdict, 'ok');
    assert.match(ruled.text, /^of 4 tools of the server 2 are offered; not delete_page \(tools\.deny: delete_\*\), drop\S* \(tools\.allow\)/);
    assert(!d.out.includes('\u001b'), 'a name is shown escaped');
    assert.equal(d.of('route_rules', 'ruled').verdict, 'note');
    assert.match(d.of('route_rules', 'ruled').text, /: search_\* \(tools\.allow\), remove_\* \(tools\.deny\), close_ticket \(tools\.confirm\), get_page \(tools\.arguments\)$/);
    assert.match(d.of('route_tools', 'paged').text, /^of 4 first tools/);
    const no = (id, title) => assert.equal(d.all.checks.some((c) => c.id === id && c.title === title), false, `${id} ${title}`);
    no('route_rules', 'paged');   // the next page may have them
    no('route_tools', 'free');
    assert.deepEqual([d.of('route_tools', 'shut').verdict, d.of('route_tools', 'shut').text.slice(0, 39)], ['note', 'of 4 tools of the server 0 are offered;']);
    no('route_rules', 'fits');
  });
});
