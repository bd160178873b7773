// What a gateway records: every call, every use of a credential, and that nothing goes out that cannot be recorded.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { holdsNo, SECRET } from '../lib/egress.mjs';
import { BIN, run, tempDir, until } from '../lib/own.mjs';
import { call, callerSession, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { sdk1Client, sdk1Server, standIn } from '../lib/tunnel-mcp.mjs';

const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const CALL = (name, args = {}, id = 7) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } });
let s, t, g, one, odd, dir, log, secret;
const routes = () => ({
  one: { upstream: `http://127.0.0.1:${one.port}`, tools: { deny: ['delete_*'] }, credential: { header: 'X-Key', value: `\${file:${secret}}`, name: 'the-key', plaintext: true } },
  plain: `http://127.0.0.1:${odd.port}`,
  dead: 'http://127.0.0.1:1',
});
const config = (more = {}) => ({ audit: { file: log, ...more } });
const lines = () => fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => JSON.parse(l));
const records = () => lines().filter((l) => !['start', 'checkpoint', 'note'].includes(l.kind));
const find = (what, fn) => until(what, () => records().find(fn));
const host = (name) => `${name}.${t.domain}`;
const post = (name, body, at = '/mcp') => call(s, t, host(name), { method: 'POST', path: at, headers: JSON_TYPE, body: JSON.stringify(body) });

before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  dir = tempDir('audit');
  log = path.join(dir, 'audit.jsonl');
  secret = path.join(dir, 'key');
  fs.writeFileSync(secret, SECRET, { mode: 0o600 });
  one = await sdk1Server();
  odd = await standIn((q, r) => { r.setHeader('content-type', 'application/json'); r.end('{"jsonrpc":"2.0","id":1,"result":{}}'); });
  g = await startGateway(s, t, routes(), { config: config() });
});
after(async () => { await g?.stop(); await s?.stop(); one?.stop(); odd?.stop(); });

test('a call has one record, and its credential another one that came before', async () => {
  const c = await sdk1Client(s, t, host('one'));
  await c.callTool({ name: 'search', arguments: { q: 'not to be recorded' } });
  await assert.rejects(c.callTool({ name: 'delete_page', arguments: { id: 1 } }));
  await c.close();
  const r = await find('the call', (l) => l.kind === 'tool_call' && l.tool === 'search');
  assert.equal(r.verdict, 'allow');
  assert.equal(r.by, 'gateway');
  assert.deepEqual([r.method, r.host, r.path, r.credential, r.protocol, r.status, r.port, r.peer], ['tools/call', host('one'), '/mcp', 'the-key', 'mcp', 200, one.port, '127.0.0.1']);
  assert(r.sent > 0 && r.received > 0 && r.duration_us > 0, JSON.stringify(r));
  assert.match(r.policy, /^[0-9a-f]{64}$/);
  assert.match(r.call, /^\d+$/);
  const no = await find('the refusal', (l) => l.tool === 'delete_page');
  assert.deepEqual([no.kind, no.verdict, no.reason, no.rule], ['tool_call', 'deny', 'policy', 'tools.deny: delete_*']);
  const all = records(), used = all.filter((l) => l.kind === 'credential');
  assert(used.every((l) => l.credential === 'the-key' && l.place === 'x-key'));
  await until('one for each request that went out', () => {
    const now = records();
    return now.filter((l) => l.kind === 'credential').length === now.filter((l) => l.kind !== 'credential' && l.verdict !== 'deny').length;
  });
  // A record's method has 24 bytes; what is cut is said to be.
  assert.deepEqual(all.find((l) => l.method === 'notifications/initialize')?.cut, 'method');
  for (const method of ['initialize']) assert(all.some((l) => l.method === method), `${method} of ${all.map((l) => l.method)}`);
  assert(!fs.readFileSync(log, 'utf8').includes('not to be recorded'), 'arguments are not recorded unless that is wanted');
});

test('other requests, failures, and each message of a batch', async () => {
  await post('plain', CALL('x'), '/mcp?key=in-the-query');
  const plain = await find('a route without rules', (l) => l.host === host('plain'));
  assert.deepEqual([plain.kind, plain.method, plain.path, plain.verdict, plain.tool], ['request', 'POST', '/mcp', 'allow', undefined]);
  await post('dead', {});
  const dead = await find('a server that is not there', (l) => l.host === host('dead'));
  assert.deepEqual([dead.verdict, dead.reason, dead.status], ['error', 'connect', 502]);
  await post('one', [CALL('search', { q: '1' }, 'b1'), CALL('delete_page', { id: 1 }, 'b2')]);
  await find('the second', (l) => l.call === '"b2"');
  const both = records().filter((l) => ['"b1"', '"b2"'].includes(l.call));
  assert.deepEqual(both.map((l) => [l.tool, l.verdict]), [['search', 'deny'], ['delete_page', 'deny']]);
  await post('one', 'no message');
  await find('what is no message', (l) => l.rule === 'one reading' && l.verdict === 'deny' && l.status === 400);
});

test('arguments when they are wanted, freed of secrets', async () => {
  g.write(routes(), config({ arguments: true }));
  g.proc.kill('SIGHUP');
  await g.proc.line(/msg="files read anew"/);
  // The first call since then: no other one has made the gateway read the secret.
  await post('one', CALL('nothing_of_the_kind', { q: `first ${SECRET}` }));
  assert.match((await find('the first call', (l) => l.tool === 'nothing_of_the_kind')).note, /first \[secret of the gateway\]/);
  const c = await sdk1Client(s, t, host('one'));
  await c.callTool({ name: 'get_page', arguments: { id: 4, project: `it was ${SECRET}` } });
  await c.close();
  const r = await find('the call', (l) => l.tool === 'get_page');
  assert.match(r.note, /"id":4/);
  assert.match(r.note, /it was \[secret of the gateway\]/);
});

test('the chain holds, no secret is in it, and it goes on after a restart', async () => {
  await g.stop();
  for (const f of fs.readdirSync(dir)) if (f !== 'key') holdsNo(f, SECRET, fs.readFileSync(path.join(dir, f), 'latin1'));
  const n = records().length;
  await g.boot();
  await post('plain', CALL('x'));
  await until('one more', () => records().length === n + 1);
  await g.stop();
  const v = await run(BIN, ['audit', 'verify', '--log', log]);
  assert.equal(v.code, 0, v.out + v.err);
});

test('what cannot be recorded does not happen', async () => {
  const other = path.join(tempDir('full'), 'audit.jsonl');
  const full = await startGateway(s, t, { full: `http://127.0.0.1:${odd.port}` }, { config: { audit: { file: other } }, wrap: (bin, argv) => ['prlimit', ['--fsize=1048576', bin, ...argv].map(String)].flat() });
  try {
    assert.equal((await post('full', CALL('x'))).status, 200, 'at first there is room');
    let last;
    // Thousands of calls: on one connection.
    const session = await callerSession(s, t, host('full'));
    const ask = () => new Promise((yes) => {
      const q = session.request({ ':method': 'POST', ':path': '/mcp', ...JSON_TYPE });
      q.on('error', () => {}).on('close', yes).resume();
      q.end(JSON.stringify(CALL('x')));
    });
    await until('it is full', async () => {
      await Promise.all(Array.from({ length: 40 }, ask));
      last = await post('full', CALL('x')); // alone: nobody else gives room back
      return last.status !== 200;
    }, 120000);
    session.destroy();
    assert.equal(last.status, 503);
    assert.equal(JSON.parse(last.text).error.data.gateway_failure.source, 'audit');
    const before = odd.seen.length;
    assert.equal((await post('full', CALL('x'))).status, 503);
    assert.equal(odd.seen.length, before);
  } finally { await full.stop(); }
});

test('a log that cannot be opened is told at the start', async () => {
  g.write(routes(), { audit: { file: '/nowhere/audit.jsonl' } });
  const r = await run(BIN, ['gateway', '--config', g.file, '--metrics', 'none']);
  assert.equal(r.code, 1);
  assert.match(r.err, /audit: .*\/nowhere/);
});
