// Stdio servers that die, hang, flood and write what is no message; and what is left of one when its gateway ends. Beside each of them another
// route goes on as if nothing were.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { stdioRoute } from '../lib/mcp-stdio.mjs';
import { alive, descendants, end, ms, tempDir, until } from '../lib/own.mjs';

const dir = tempDir('hostile'), once = path.join(dir, 'once');
fs.chmodSync(dir, 0o777);
let s, t, g;
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  const limits = { deadline: '1s' };
  g = await startGateway(s, t, {
    fine: stdioRoute('legacy', { shared: true }),
    dies: stdioRoute('dies'), 'dies-shared': stdioRoute('dies', { shared: true }), 'dies-once': stdioRoute('dies-once', { args: [once], sandbox: { binds: [`${dir}:rw-all`] } }),
    missing: { command: ['/no/such/program'] }, unbound: { command: ['node', '/no/such/file.js'], sandbox: { binds: ['/no/such/directory'] } },
    crashes: stdioRoute('legacy'), 'crashes-shared': stdioRoute('legacy', { shared: true }),
    hangs: stdioRoute('legacy', { limits }), garbage: stdioRoute('garbage'), gigantic: stdioRoute('gigantic'), unknown: stdioRoute('unknown'), twice: stdioRoute('twice', { shared: true }),
    slow: stdioRoute('slow', { args: ['1500'] }), floods: stdioRoute('floods'), 'floods-shared': stdioRoute('floods', { shared: true }), deaf: stdioRoute('deaf', { limits: { deadline: '2s' } }),
    stays: stdioRoute('stays'),
  });
  steady = await session('fine');
});
after(async () => { await g?.stop(); await s?.stop(); });
const at = (name) => `${name}.${t.domain}`;
const RPC = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

async function post(name, body, { session, tunnel = t } = {}) {
  const r = await call(s, tunnel, `${name}.${tunnel.domain}`, { method: 'POST', path: '/mcp', headers: { ...RPC, ...(session ? { 'mcp-session-id': session } : {}) }, body: JSON.stringify(body) });
  r.messages = r.text.startsWith('{') ? [JSON.parse(r.text)] : [...r.text.matchAll(/^data: (.*)$/gm)].map((m) => JSON.parse(m[1]));
  r.last = r.messages.at(-1);
  r.source = r.last?.error?.data?.gateway_failure?.source;
  return r;
}
const rpc = (method, params = {}, id = 1) => ({ jsonrpc: '2.0', id, method, params });
const hello = () => rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } });
const tool = (name, args = {}, id = 1, more = {}) => rpc('tools/call', { name, arguments: args, ...more }, id);
const session = async (name, tunnel = t) => { const r = await post(name, hello(), { tunnel }); assert.equal(r.status, 200, r.text); return r.headers['mcp-session-id']; };
const textOf = (r) => r.last.result.content[0].text;

let steady;
// After each of them: the other route has not noticed.
afterEach(async () => { if (steady) assert.equal(textOf(await post('fine', tool('echo', { text: 'here' }), { session: steady })), 'here'); });

describe('one that cannot be started, or dies', () => {
  for (const [name, words] of [['missing', /no\/such\/program/], ['unbound', /no\/such\/directory/]]) test(`${name}: an error with whose fault it was, and the reason in the log`, async () => {
    const r = await post(name, hello());
    assert.deepEqual([r.status, r.source, r.last.id], [502, 'upstream_closed', 1]);
    await g.proc.line(new RegExp(`a stdio server says" route=${name} line=.*${words.source}`));
    assert.doesNotMatch(r.text, words, 'the inside stays inside');
  });

  for (const name of ['dies', 'dies-shared']) test(`${name}: it is left alone for longer each time, and the route is down meanwhile`, async () => {
    const first = await post(name, hello());
    assert.deepEqual([first.status, first.source], [502, 'upstream_closed'], first.text);
    const second = await post(name, hello());
    assert.deepEqual([second.status, second.source], [502, 'connect'], 'not started again at once');
    let starts = 0;
    const began = Date.now();
    while (Date.now() - began < ms(3000)) { if ((await post(name, hello())).source === 'upstream_closed') starts++; await new Promise((ok) => { setTimeout(ok, 20); }); }
    // The pauses double, from a quarter of a second on.
    assert(starts >= 1 && starts <= 1 + Math.log2(ms(3000) / 250 + 1), `${starts} more starts in ${ms(3000)} ms`);
  });

  test('one that dies once is started again, and serves', async () => {
    assert.equal((await post('dies-once', hello())).source, 'upstream_closed');
    assert(fs.existsSync(once), 'presence');
    const n = await until('it is there', async () => { const r = await post('dies-once', hello()); return r.status === 200 && r.headers['mcp-session-id']; });
    assert.equal(textOf(await post('dies-once', tool('echo', { text: 'again' }), { session: n })), 'again');
  });

  test('in the middle of a call: every call under way gets its error, the session is unknown, and the next one works', async () => {
    const n = await session('crashes');
    const waits = post('crashes', tool('wait', {}, 'w'), { session: n });
    await until('it waits', () => /route=crashes line="heard tools\/call"/.test(g.proc.err));
    const died = await post('crashes', tool('die', {}, 'd'), { session: n });
    assert.deepEqual([died.last.id, died.source], ['d', 'upstream_closed']);
    assert.deepEqual([(await waits).last.id, (await waits).source], ['w', 'upstream_closed']);
    assert.equal((await post('crashes', tool('echo', { text: 'x' }), { session: n })).status, 404);
    const again = await until('it is started again', async () => { const r = await post('crashes', hello()); return r.status === 200 && r.headers['mcp-session-id']; });
    assert.equal(textOf(await post('crashes', tool('echo', { text: 'x' }), { session: again })), 'x');
  });

  test('a shared one: all sessions of it are unknown', async () => {
    const a = await session('crashes-shared'), b = await session('crashes-shared');
    assert.equal((await post('crashes-shared', tool('die'), { session: a })).source, 'upstream_closed');
    for (const n of [a, b]) assert.equal((await post('crashes-shared', tool('echo', { text: 'x' }), { session: n })).status, 404);
  });

  test('after a stream has begun: its last event is the error', async () => {
    const n = await until('it may be started', async () => { const r = await post('crashes', hello()); return r.status === 200 && r.headers['mcp-session-id']; });
    const steps = post('crashes', tool('steps', { n: 50, ms: 50 }, 's', { _meta: { progressToken: 1 } }), { session: n });
    await until('it runs', async () => (await post('crashes', tool('echo', { text: 'x' }), { session: n })).status === 200);
    await post('crashes', tool('die', {}, 'd'), { session: n });
    const r = await steps;
    assert.deepEqual([r.status, r.last.id, r.source, r.last.error.data.gateway_failure.route], [200, 's', 'upstream_closed', 'crashes']);
    assert.equal(r.messages[0].params.progress, 1);
  });
});

describe('one that does not keep to it', () => {
  test('hangs: the deadline ends the call, and others of the session go on', async () => {
    const n = await session('hangs');
    const r = await post('hangs', tool('wait', {}, 5), { session: n });
    assert.deepEqual([r.status, r.last.id, r.source], [504, 5, 'timeout'], r.text);
    assert.equal(textOf(await post('hangs', tool('echo', { text: 'on' }), { session: n })), 'on');
  });

  test('lines that are no message: told in the log, escaped, and not heard', async () => {
    const n = await session('garbage');
    assert.equal(textOf(await post('garbage', tool('echo', { text: 'between' }), { session: n })), 'between');
    await g.proc.line(/writes what is no message" route=garbage why=.* line="Server started!"/);
  });

  test('a line without an end: the process is ended, memory stays', async () => {
    const n = await session('gigantic'), rss = () => Number(fs.readFileSync(`/proc/${g.pid()}/status`, 'utf8').match(/VmHWM:\s+(\d+)/)[1]) / 1024;
    const r = await post('gigantic', tool('echo', { text: 'x' }), { session: n });
    assert.deepEqual([r.status, r.source], [502, 'protocol'], r.text);
    await g.proc.line(/a stdio server is gone" route=gigantic why="has written a line that is longer/);
    if (!process.env.ASAN_OPTIONS) assert(rss() < 150, `${rss()} MiB at most`);
  });

  test('answers to ids that nobody has asked with are not heard', async () => {
    const n = await session('unknown');
    assert.equal(textOf(await post('unknown', tool('echo', { text: 'mine' }, 999), { session: n })), 'mine');
  });

  test('a second answer finds nobody, also when the next request has the same id', async () => {
    const n = await session('twice');
    for (let i = 0; i < 5; i++) assert.equal(textOf(await post('twice', tool('echo', { text: `no ${i}` }, 1), { session: n })), `no ${i}`);
  });

  test('slow to start: the caller waits', async () => {
    assert.equal(textOf(await post('slow', tool('echo', { text: 'late' }), { session: await session('slow') })), 'late');
  });

  for (const name of ['floods', 'floods-shared']) test(`${name}: a caller that does not read loses its call, and nobody else`, async () => {
    const n = await session(name), k = await callerSocket(s, t, at(name)), body = JSON.stringify(tool('echo', { text: 'x' }, 1, { _meta: { progressToken: 'p' } }));
    k.pause();
    k.write(`POST /mcp HTTP/1.1\r\nHost: ${at(name)}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMcp-Session-Id: ${n}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const began = Date.now();
    for (let i = 0; i < 20; i++) assert.equal(textOf(await post('fine', tool('echo', { text: 'here' }), { session: steady })), 'here');
    assert(Date.now() - began < ms(4000), `${(Date.now() - began) / 20} ms for each request of another route`);
    k.destroy();
    assert.equal((await call(s, t, at(name), { method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': n } })).status, 200);
  });

  test('reads nothing: a large request does not hold anything up for ever', async () => {
    const began = Date.now(), r = await post('deaf', { ...hello(), params: { ...hello().params, _meta: { large: 'x'.repeat(3 << 20) } } });
    assert.deepEqual([r.status, r.source], [504, 'timeout'], r.text);
    assert(Date.now() - began < ms(15000));
  });
});

describe('the end', () => {
  test('input ends first, then SIGTERM, then it is killed', { timeout: ms(60000) }, async () => {
    const n = await session('stays'), began = Date.now(), before = descendants(g.proc.pid);
    assert.equal((await call(s, t, at('stays'), { method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': n } })).status, 200);
    const line = (re) => g.proc.line(re, ms(30000));
    await line(/route=stays line="end of input"/);
    await line(/a stdio server goes on without input, and is told to end" route=stays/);
    await line(/route=stays line="not yet"/);
    assert(Date.now() - began > 4000, 'it had time to end by itself');
    await until('it is gone', () => before.some((pid) => !alive(pid)), ms(30000));
  });

  const running = async () => {
    const own = await makeTunnel(s), gateway = await startGateway(s, own, { a: stdioRoute('stays'), b: stdioRoute('legacy', { shared: true }) });
    await session('a', own); await session('b', own);
    const all = descendants(gateway.proc.pid);
    assert(all.length > 4, `${all.length} processes`);
    return { gateway, all };
  };
  const gone = (all, within) => until('nothing is left', () => all.every((pid) => !alive(pid)), within);

  test('the gateway proper is killed: all its programs end, and another serves', async () => {
    const { gateway, all } = await running();
    process.kill(gateway.pid(), 'SIGKILL');
    await gone(all, ms(30000));
    await gateway.proc.line(/msg="the gateway serves again"/);
    await gateway.stop();
  });

  test('the keeper is killed: nothing is left', async () => {
    const { gateway, all } = await running();
    gateway.proc.child.kill('SIGKILL');
    await gone(all, ms(15000));
  });

  test('SIGTERM: nothing is left when it has ended', async () => {
    const { gateway, all } = await running();
    await end(gateway.proc, { timeout: ms(40000) });
    assert.equal(gateway.proc.code, 0, gateway.proc.err);
    assert.deepEqual(all.filter(alive), []);
  });
});
