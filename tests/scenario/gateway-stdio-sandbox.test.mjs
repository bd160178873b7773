// What a stdio server may have of this machine and of the network, by the `sandbox` of its route; each option with a server that uses it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';
import { stdioRoute } from '../lib/mcp-stdio.mjs';
import { BIN, run, tempDir, until } from '../lib/own.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const ca = authority(), dns = await nameServer({ 'api.test': '127.0.0.1', 'other.test': '127.0.0.1' });
const o = await origin({ tls: ca.issue(['api.test', 'other.test']) });
let s, t, g, b, sockets;
before(async () => {
  b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const dir = tempDir('stdio-sandbox');
  fs.chmodSync(dir, 0o755);
  sockets = net.createServer((k) => k.end('from a socket of this machine'));
  await new Promise((ok) => sockets.listen(path.join(dir, 'door'), ok));
  fs.chmodSync(path.join(dir, 'door'), 0o777);
  s = await edgeServer();
  t = await makeTunnel(s);
  g = await startGateway(s, t, {
    out: stdioRoute('legacy', { sandbox: { egress: b.file, audit: b.audit } }),
    shut: stdioRoute('legacy'),
    door: stdioRoute('legacy', { sandbox: { sockets: [`${path.join(dir, 'door')}:/tmp/door`] } }),
    allowed: stdioRoute('legacy', { sandbox: { allow: ['api.test'], audit: path.join(dir, 'audit.jsonl') } }),
    small: stdioRoute('legacy', { sandbox: { memory: '192MiB', processes: 64 } }),
  });
});
after(async () => { await g?.stop(); await s?.stop(); sockets?.close(); });

/** The logs that there are, of all processes of `out`; and what is in them. */
const logs = () => fs.readdirSync(b.dir).filter((n) => /^audit(\+\d+)?\.jsonl$/.test(n)).map((n) => path.join(b.dir, n));
const records = () => logs().flatMap((f) => fs.readFileSync(f, 'utf8').trim().split('\n').map((l) => ({ ...JSON.parse(l), log: f })));

/** A session's calls of tools: `(name, args)` -> the result. */
async function session(route) {
  const post = (body, headers = {}) => call(s, t, `${route}.${t.domain}`, { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers }, body: JSON.stringify(body) });
  const r = await post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } });
  assert.equal(r.status, 200, r.text);
  return async (name, args) => {
    const a = await post({ jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name, arguments: args } }, { 'mcp-session-id': r.headers['mcp-session-id'] });
    const m = JSON.parse(a.text.startsWith('{') ? a.text : a.text.match(/^data: (.*)$/m)[1]);
    assert(m.result, a.text);
    return { error: m.result.isError === true, text: m.result.content[0].text };
  };
}

test('egress: it reaches the host of a rule, with a credential that it has as a placeholder alone', async () => {
  const tool = await session('out');
  const r = await tool('get', { url: `https://api.test:${o.port}/page` });
  assert.equal(r.error, false, r.text);
  const { token, status, body } = JSON.parse(r.text);
  assert.equal(status, 200);
  assert.match(token, /^sp_ph_\w{32}$/);
  assert.equal(o.seen.at(-1).headers.authorization, `Bearer ${SECRET}`, 'the key was added outside');
  assert.equal(JSON.parse(body).headers.authorization, `Bearer ${token}`, 'and an echo of it is the placeholder again');
  holdsNo('what the caller got', SECRET, r.text);
  holdsNo("the gateway's log", SECRET, g.proc.err);
  assert.deepEqual(b.records({ kind: 'request' }).map((x) => [x.verdict, x.host, x.path]), [['allow', 'api.test', '/page']]);
});

test('egress: another host is refused by name, and was not asked', async () => {
  const before = o.seen.length, tool = await session('out');
  const r = await tool('get', { url: `https://other.test:${o.port}/` });
  assert.match(r.text, /egress_denied|missing_rule/);
  assert.equal(o.seen.length, before);
  await until('it is recorded', () => records().some((x) => x.verdict === 'deny' && x.host === 'other.test'));
});

test('several processes at once keep a log each, whose chains hold', async () => {
  const tools = await Promise.all(Array.from({ length: 4 }, () => session('out')));
  await Promise.all(tools.flatMap((tool) => Array.from({ length: 5 }, () => tool('get', { url: `https://api.test:${o.port}/many` }))));
  const many = () => records().filter((x) => x.kind === 'request' && x.path === '/many');
  await until('all is recorded', () => many().length >= 20);
  assert.equal(many().length, 20);
  assert.equal(new Set(many().map((x) => x.log)).size, 4, 'each of the four sessions has one');
  for (const f of logs()) {
    const v = await run(BIN, ['audit', 'verify', '--log', f]);
    assert.equal(v.code, 0, v.out + v.err);
  }
});

test('allow: a name in the route, without a policy', async () => {
  const tool = await session('allowed');
  const r = await tool('get', { url: 'https://nobody.test/' });
  assert.match(r.text, /egress_denied|missing_rule/, 'what it does not name');
});

test('without any of it there is no network', async () => {
  const tool = await session('shut');
  const r = await tool('get', { url: `https://127.0.0.1:${o.port}/` });
  assert.deepEqual([r.error, r.text], [true, 'ECONNREFUSED'], 'the loopback is its own');
  const named = await tool('get', { url: `https://api.test:${o.port}/` });
  assert.equal(named.error, true);
  assert.match(named.text, /EAI_AGAIN|ENOTFOUND|ENETUNREACH/);
});

test('sockets: the one that is named, and no other', async () => {
  assert.equal((await (await session('door'))('socket', { path: '/tmp/door' })).text, 'from a socket of this machine');
  assert.equal((await (await session('shut'))('socket', { path: '/tmp/door' })).error, true);
});

test('memory: one that takes too much ends, and its caller is told', async () => {
  const tool = await session('small');
  await assert.rejects(tool('fill', { n: 512 }), /upstream_closed/);
});
