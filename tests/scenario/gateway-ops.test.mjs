// Operations of the gateway: what /readyz, /status and /metrics say, `gateway status`, and `gateway doctor` with one real
// fault at a time.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { authority } from '../lib/egress.mjs';
import { BIN, end, here, ms, run, start, tempDir, until } from '../lib/own.mjs';
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
async function doctor(config, { env } = {}) {
  const file = path.join(tempDir('doctor'), 'gateway.yaml');
  fs.writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  const r = await run(BIN, ['gateway', 'doctor', '--config', file, '--json'], { timeout: ms(60000), env });
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
      assert.deepEqual([j.ready, j.why, j.connections, j.routes, j.routes_up], [true, null, 2, 2, 1], 'one dead route is told and keeps nobody else out');
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

  test('/status, the table that is made of it, and series of each route; no secret in any', async () => {
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.port}`, dead: 'http://127.0.0.1:1' });
    try {
      assert.equal((await call(s, t, `wiki.${t.domain}`)).status, 200);
      assert.equal((await call(s, t, `dead.${t.domain}`)).status, 502);
      assert.equal((await call(s, t, `nothing.${t.domain}`)).status, 404);
      const j = await until('a PING was answered', async () => { const p = (await page(g, '/status')).json(); return p.connections.every((c) => c.rtt_us > 0) && p; }, ms(30000));
      assert.equal(j.type, 'gateway_status');
      assert.deepEqual(j.connections.map((c) => c.state), ['up', 'up']);
      assert.equal(j.tunnel_domain, t.domain);
      assert.equal(j.certificate.hosts, `*.${t.domain}`);
      assert.match(j.certificate.issuer, /test authority/);
      assert(Date.parse(j.certificate.ends_at) > Date.now());
      assert.deepEqual([j.config.generation, j.config.trouble], [1, null]);
      const routes = Object.fromEntries(j.routes.map((r) => [r.route, r]));
      assert.deepEqual([routes.wiki.requests.answered, routes.dead.requests.failed, routes.dead.last_failure], [1, 1, 'connect']);
      assert.deepEqual(j.failures.map((f) => [f.source, f.status, f.route]), [['policy', 404, null], ['connect', 502, 'dead']]);
      assert.equal(j.failures[0].host, `nothing.${t.domain}`);
      const m = (await page(g, '/metrics')).text;
      for (const line of ['sallyport_gateway_route_up{route="wiki"} 1', 'sallyport_gateway_route_up{route="dead"} 0', 'sallyport_gateway_route_requests_total{route="wiki",outcome="answered"} 1', 'sallyport_gateway_route_failures_total{route="dead",source="connect"} 1', 'sallyport_gateway_route_duration_seconds_count{route="wiki"} 1'])
        assert(m.includes(`${line}\n`), `${line}\n${m}`);
      assert.match(m, /^sallyport_gateway_request_seconds_count 2$/m);
      const shown = await run(BIN, ['gateway', 'status', '--admin', g.page]);
      assert.equal(shown.code, 0, shown.err);
      assert.match(shown.out, /connections +up/);
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
