// Calls that a person has to approve: held as they came, shown whole, decided once, by nobody but the gateway's user.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { SECRET } from '../lib/egress.mjs';
import { BIN, ms, run, tempDir, until } from '../lib/own.mjs';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { sdk1Client, sdk1Server, sdk2Client, sdk2Server, standIn } from '../lib/tunnel-mcp.mjs';

const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const rpc = (method, params = {}, id = 7) => ({ jsonrpc: '2.0', id, method, params });
const close = (args = {}, id = 7, more = {}) => rpc('tools/call', { name: 'close_ticket', arguments: args, ...more }, id);

let s, t, g, one, two, odd, log, secret, tools = [];
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  one = await sdk1Server();
  two = await sdk2Server();
  odd = await standIn((q, r, body) => {
    r.setHeader('content-type', 'application/json');
    if (body?.id === undefined && !Array.isArray(body)) { r.statusCode = 202; return r.end(); }
    const how = body.params?.arguments?.how;
    if (how === 'lines') return r.end(JSON.stringify({ jsonrpc: '2.0', id: body.id, result: { content: [{ type: 'text', text: 'in\nlines' }] } }, null, 2));
    if (how === 'page') { r.writeHead(404, { 'content-type': 'text/html' }); return r.end('<p>not here'); }
    if (how === 'nothing') { r.statusCode = 204; return r.end(); }
    if (how === 'falls') return q.socket.destroy();
    if (how === 'error') { r.statusCode = 400; return r.end(JSON.stringify({ jsonrpc: '2.0', id: body.id, error: { code: -32602, message: 'bad' } })); }
    return r.end(JSON.stringify({ jsonrpc: '2.0', id: body.id, result: body.method === 'tools/list' ? { tools } : { content: [{ type: 'text', text: 'closed' }] } }));
  });
  secret = path.join(tempDir('approvals-key'), 'key');
  fs.writeFileSync(secret, SECRET, { mode: 0o600 });
  log = path.join(tempDir('approvals-audit'), 'audit.jsonl');
  g = await startGateway(s, t, routes(), { config: { audit: { file: log } } });
});
after(async () => { await g?.stop(); await s?.stop(); for (const x of [one, two, odd]) x?.stop(); });
const routes = (confirm = ['close_*'], more = {}) => {
  const rules = { confirm };
  return {
    one: { upstream: `http://127.0.0.1:${one.port}`, tools: rules },
    two: { upstream: `http://127.0.0.1:${two.port}`, tools: rules },
    odd: { upstream: `http://127.0.0.1:${odd.port}`, tools: rules, credential: { header: 'X-Key', value: `\${file:${secret}}`, plaintext: true } },
    short: { upstream: `http://127.0.0.1:${odd.port}`, tools: { confirm, confirm_within: '1s' } },
    pinned: { upstream: `http://127.0.0.1:${odd.port}`, tools: rules, pin_tools: true },
    limited: { upstream: `http://127.0.0.1:${odd.port}`, tools: rules, limits: { concurrent: 1 } },
    ...more,
  };
};
const host = (name) => `${name}.${t.domain}`;
const post = async (name, body, headers = {}, more = {}) => {
  const r = await call(s, t, host(name), { method: 'POST', path: '/mcp', headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body), ...more });
  let json; try { json = JSON.parse(r.text); } catch { /* none */ }
  return { ...r, json };
};
const cli = (...args) => run(BIN, ['gateway', ...args, '--config', g.file]);
const pending = async () => JSON.parse((await cli('pending', '--json')).out).calls;
/** The one call that waits, once it does. */
const waiting = (what = () => true) => until('a call waits', async () => (await pending()).find(what));
const lines = () => fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => JSON.parse(l));
const refused = (r, words) => {
  assert.equal(r.status, 200, r.text);
  const { error } = r.json;
  assert.equal(error.code, -32010);
  assert.deepEqual(error.data.gateway_failure.source, 'policy');
  assert.equal(error.data.gateway_failure.rule, 'tools.confirm: close_*');
  assert.match(error.message, words);
};

for (const [what, server, name, client] of [
  ['SDK 1.x', () => one, 'one', sdk1Client], ['SDK 2.x of 2026-07-28', () => two, 'two', sdk2Client],
])
  test(`${what}: a call waits until it is approved, and others do not`, async () => {
    const x = server(), c = await client(s, t, host(name));
    try {
      const called = c.callTool({ name: 'close_ticket', arguments: { id: 4 } });
      const w = await waiting((i) => i.route === name);
      assert.deepEqual([w.tool, w.arguments, w.rule], ['close_ticket', '{"id":4}', 'tools.confirm: close_*']);
      assert.match(w.id, /^appr_01[A-Za-z0-9]{22}$/);
      assert.match(w.digest, /^[0-9a-f]{64}$/);
      assert.equal((await c.callTool({ name: 'search', arguments: { q: 'x' } })).content[0].text, 'found x', 'other tools go on meanwhile');
      assert(!x.calls.some((i) => i.name === 'close_ticket'), 'the server has not seen it');
      assert.equal(await g.metric('sallyport_gateway_approvals_pending'), 1);
      assert.match((await run(BIN, ['gateway', 'status', '--admin', g.page])).out, /^decisions {3}0 tools pinned, 0 wait, 1 call waits \(sallyport gateway pending\)$/m);
      const yes = await cli('approve', w.id);
      assert.equal(yes.code, 0, yes.err);
      assert.match(yes.out, /close_ticket[^]*arguments +\{"id":4\}[^]*approved/);
      assert.equal((await called).content[0].text, 'closed');
      assert.deepEqual(x.calls.filter((i) => i.name === 'close_ticket').map((i) => i.arguments), [{ id: 4 }], 'once, as it was shown');
      const twice = await cli('approve', w.id);
      assert.equal(twice.code, 1);
      assert.match(twice.err, /no call of this id waits/);
      const denied = c.callTool({ name: 'close_ticket', arguments: { id: 5 } });
      denied.catch(() => {});
      const v = await waiting((i) => i.route === name);
      assert.notEqual(v.id, w.id);
      assert.notEqual(v.digest, w.digest);
      assert.equal((await cli('deny', v.id, '--reason', 'not on a Friday')).code, 0);
      await assert.rejects(denied, (e) => e.code === -32010 && /has denied this call: not on a Friday/.test(e.message) && e.data.gateway_failure.rule === 'tools.confirm: close_*');
      assert.equal(x.calls.filter((i) => i.name === 'close_ticket').length, 1);
    } finally { await c.close(); }
  });

test('what is asked, decided and done is recorded', async () => {
  const call1 = post('odd', close({ id: 1 }, 'rec-1'));
  const w = await waiting((i) => i.route === 'odd');
  const asked = await until('asked', () => lines().find((l) => l.reason === 'approval_asked' && l.call === w.id));
  assert.deepEqual([asked.verdict, asked.tool, asked.rule, asked.note], ['wait', 'close_ticket', 'tools.confirm: close_*', `sha256 ${w.digest}`]);
  await cli('approve', w.id);
  assert.equal((await call1).json.result.content[0].text, 'closed');
  const given = lines().find((l) => l.reason === 'approval_given' && l.call === w.id);
  assert.equal(given.note, `uid ${process.getuid()}, sha256 ${w.digest}`, 'before the call went out');
  const used = await until('used', () => lines().find((l) => l.kind === 'tool_call' && l.call === '"rec-1"'));
  assert.deepEqual([used.verdict, used.rule, used.status], ['allow', 'tools.confirm: close_*', 200]);
  assert(lines().findIndex((l) => l.reason === 'approval_given' && l.call === w.id) < lines().findIndex((l) => l.kind === 'credential'), 'and before its credential');
});

test('a call that comes again with answers is another call: it waits anew, and the answers are shown', async () => {
  const before = odd.seen.length;
  const first = post('odd', close({ id: 1 }));
  await cli('approve', (await waiting()).id);
  assert.ok((await first).json.result);
  const more = { inputResponses: { sure: { action: 'accept', content: { force: true } } }, requestState: 'opaque' };
  const again = post('odd', close({ id: 1 }, 8, more));
  const w = await waiting();
  const shown = JSON.stringify(w);
  assert.ok(shown.includes('inputResponses') && shown.includes('force') && shown.includes('opaque'), shown);
  assert.equal(odd.seen.length, before + 1, 'the leave of before is used up');
  await cli('deny', w.id);
  refused(await again, /./);
  assert.equal(odd.seen.length, before + 1);
});

test('time runs out', async () => {
  const before = odd.seen.length;
  const r = await post('short', close());
  refused(r, /has not answered in time/);
  assert.equal(odd.seen.length, before);
  await until('recorded', () => lines().some((l) => l.reason === 'approval_expired'));
});

test('one who leaves, or cancels, takes it back; one who asks again is another one', async () => {
  const k = await callerSocket(s, t, host('odd'));
  const text = JSON.stringify(close({ id: 'leaves' }));
  k.write(`POST /mcp HTTP/1.1\r\nhost: ${host('odd')}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
  const w = await waiting((i) => i.route === 'odd');
  k.destroy();
  await until('nothing waits', async () => (await pending()).length === 0);
  assert.match((await cli('approve', w.id)).err, /its caller has left/);

  const session = { 'mcp-session-id': 'one' };
  const first = post('odd', close({ id: 1 }, 1), session), second = post('odd', close({ id: 1 }, 1), { 'mcp-session-id': 'two' });
  await until('both wait', async () => (await pending()).length === 2);
  const [a, b] = await pending();
  assert.equal(a.digest, b.digest);
  assert.notEqual(a.id, b.id);
  assert.equal((await post('odd', { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1, reason: 'x' } }, session)).status, 202);
  refused(await first, /was taken back: the caller has cancelled it/);
  const rest = await pending();
  assert.equal(rest.length, 1, 'not that of another session');
  await cli('deny', rest[0].id);
  refused(await second, /a person at the gateway was asked, and has denied this call$/);

  // Without a session an id is everybody's: nobody takes back another one's call with it.
  const third = post('odd', close({ id: 2 }, 1)), mine = await waiting();
  assert.equal((await post('odd', { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } })).status, 202);
  assert.deepEqual((await pending()).map((i) => i.id), [mine.id]);
  await cli('deny', mine.id);
  refused(await third, /denied this call$/);
});

test('one who waits long gets a stream with comments, and the answer in it, whatever it is', async () => {
  const hows = ['lines', 'page', 'nothing', 'falls', 'error', 'denied'];
  const heads = new Map();
  const held = hows.map((how, i) => post('odd', close({ how }, i), {}, { onResponse: (r) => heads.set(how, Date.now()) }));
  const plain = post('odd', close({ how: 'lines', plain: true }, 99), { accept: 'application/json' });
  const c = await sdk1Client(s, t, host('one'));
  const official = c.callTool({ name: 'close_ticket', arguments: { id: 77 } });
  await until('all wait', async () => (await pending()).length === hows.length + 2);
  const asked = Date.now();
  await until('all have a stream', () => heads.size === hows.length, ms(30000));
  assert(Date.now() - asked > 10000, 'and not before');
  for (const w of await pending()) {
    const done = w.arguments.includes('denied') ? await cli('deny', w.id, '--reason', 'no\nand no') : await cli('approve', w.id);
    assert.equal(done.code, 0, done.err);
  }
  const got = Object.fromEntries(await Promise.all(held.map(async (r, i) => {
    const { status, headers, text } = await r;
    assert.deepEqual([status, headers['content-type'], headers['x-accel-buffering']], [200, 'text/event-stream', 'no'], hows[i]);
    assert(text.startsWith(':\n\n'), text);
    const events = text.split('\n\n').filter((e) => e && !e.startsWith(':'));
    assert.equal(events.length, 1, text);
    const data = events[0].split('\n').filter((l) => l.startsWith('data: ')).map((l) => l.slice(6)).join('\n');
    const m = JSON.parse(data);
    assert.equal(m.id, i);
    return [hows[i], m];
  })));
  assert.equal(got.lines.result.content[0].text, 'in\nlines');
  assert.deepEqual(got.error.error, { code: -32602, message: 'bad' });
  for (const how of ['page', 'nothing']) assert.equal(got[how].error.data.gateway_failure.source, 'protocol', JSON.stringify(got[how]));
  assert.equal(got.falls.error.data.gateway_failure.source, 'upstream_closed');
  assert.match(got.denied.error.message, /has denied this call: no\nand no/);
  assert.equal((await official).content[0].text, 'closed', 'events of the server go on in the stream');
  await c.close();
  const late = await plain;
  assert.deepEqual([late.status, late.headers['content-type'], late.json.result.content[0].text], [200, 'application/json', 'in\nlines'], 'who takes no events waits for the answer itself');
});

test('what cannot be shown whole, comes in a batch or without an id is not asked about', async () => {
  const before = odd.seen.length;
  refused(await post('odd', close({ text: 'x'.repeat(70000) })), /small enough to be looked at: 64 KiB/);
  refused(await post('odd', close({}, 7, { task: { x: 'x'.repeat(70000) } })), /64 KiB/);
  refused(await post('odd', close({}, 7, { _meta: { x: 'x'.repeat(140000) } })), /128 KiB/);
  // Short to be shown, and long when each number is written out.
  refused(await call(s, t, host('odd'), { method: 'POST', path: '/mcp', headers: JSON_TYPE, body: JSON.stringify(close({ n: ['N'] })).replace('"N"', Array(12000).fill('9e15').join(',')) }).then((r) => ({ ...r, json: JSON.parse(r.text) })), /64 KiB/);
  const batch = await post('odd', [rpc('tools/call', { name: 'search' }, 1), close({}, 2)]);
  assert.match(batch.json[1].error.message, /comes alone, not in a batch/);
  assert.match(batch.json[0].error.message, /nothing of this batch was sent/);
  const silent = await post('odd', { jsonrpc: '2.0', method: 'tools/call', params: { name: 'close_ticket' } });
  assert.equal(silent.status, 403);
  assert.match(silent.json.error.message, /has an id/);
  const other = post('odd', rpc('tools/call', { name: 'CLOSE_Ticket', arguments: {} }));
  const w = await waiting();
  assert.equal(w.tool, 'CLOSE_Ticket', 'the case of letters opens nothing');
  await cli('deny', w.id);
  await other;
  assert.equal(odd.seen.length, before);
});

test('what a person sees: everything, without secrets, and nothing that drives a terminal', async () => {
  const called = post('odd', close({ note: `a\u001b[2J${SECRET}\u202e`, deep: { x: [1, '\n'] } }, 7, { task: { ttl: 5 } }), { 'user-agent': 'evil \u00e9' });
  const w = await waiting();
  assert(!JSON.stringify(w).includes(SECRET));
  assert.equal(w.also, '{"task":{"ttl":5}}');
  const shown = (await cli('pending')).out;
  assert(!shown.includes('\u001b[2J') && !shown.includes('\u202e') && !shown.includes(SECRET), shown);
  assert.match(shown, /arguments +\{"note":"a\\u001b\[2J/i);
  assert.match(shown, /"deep":\{"x":\[1,"\\n"\]\}/);
  assert.match(shown, /also +\{"task":\{"ttl":5\}\}/);
  assert.match(shown, /waits for \d+s, 4m5\ds left/);
  await cli('approve', w.id);
  assert.equal((await called).status, 200);
  const raw = odd.seen.at(-1).body;
  assert.deepEqual(raw.params.task, { ttl: 5 }, 'the body goes as it came');
  assert.match((await cli('approve', 'appr_01nothing')).err, /no call of this id waits/);
  assert.match((await cli('approve', 'x y')).err, /a decision has the id of a call/);
  assert.equal((await cli('approve')).code, 2);
});

test('held calls are bounded, and take nothing of the limits', async () => {
  const all = Array.from({ length: 17 }, (x, i) => post('limited', close({ i }, i)));
  const over = await Promise.race(all);
  refused(over, /as many calls as can be held wait/);
  assert.equal((await pending()).length, 16);
  assert.equal((await post('limited', rpc('tools/call', { name: 'search', arguments: {} }))).json.result.content[0].text, 'closed', 'none of them counts as under way');
  // New rules: what was asked under the old ones is asked again.
  g.write(routes(['close_*'], { more: `http://127.0.0.1:${odd.port}` }));
  g.proc.child.kill('SIGHUP');
  for (const r of (await Promise.all(all)).filter((x) => x !== over)) refused(r, /was taken back: the rules were read anew/);
  assert.equal((await pending()).length, 0);
});

test('a tool that changes while its call waits is not called', async () => {
  tools = [{ name: 'close_ticket', inputSchema: { type: 'object' } }];
  await post('pinned', rpc('tools/list'));
  const called = post('pinned', close());
  const w = await waiting();
  tools = [{ name: 'close_ticket', description: 'closes everything', inputSchema: { type: 'object' } }];
  await post('pinned', rpc('tools/list'));
  await cli('approve', w.id);
  assert.equal((await called).json.error.data.gateway_failure.rule, 'pin_tools: changed');
});

test('the gateway ends: who waits is told, and nothing is left', async () => {
  const called = post('odd', close());
  const w = await waiting();
  const stopped = g.stop();
  refused(await called, /was taken back: the gateway ends/);
  await stopped;
  await g.boot();
  assert.deepEqual(await pending(), []);
  assert.match((await cli('approve', w.id)).err, /no call of this id waits/);
  const page = await (await fetch(`http://${g.page}/metrics`)).text();
  assert.match(page, /^sallyport_gateway_approvals_total\{outcome="approved"\} 0$/m);
});

test('where it goes, and what else goes along, is shown and part of what is approved', async () => {
  const digests = [];
  for (const at of ['/mcp?dry_run=true', '/prod/mcp?dry_run=false']) {
    const r = call(s, t, host('odd'), { method: 'POST', path: at, headers: JSON_TYPE, body: JSON.stringify(close({ id: 3 }, 7, { _meta: { progressToken: 1, 'io.modelcontextprotocol/protocolVersion': '2025-11-25', 'x/amount': 'one million\u200b' } })) });
    const w = await waiting();
    assert.equal(w.path, at);
    assert.deepEqual(JSON.parse(w.also), { _meta: { 'x/amount': 'one million\u200b' } });
    const shown = (await cli('pending')).out;
    assert(shown.includes(`path      ${at}`), shown);
    assert(shown.includes('one million\\u200b'), shown);
    digests.push(w.digest);
    await cli('deny', w.id);
    refused({ ...(await r), json: JSON.parse((await r).text) }, /denied this call$/);
  }
  assert.notEqual(digests[0], digests[1]);
});
