// Routes whose servers are programs: real ones of npm, the official clients of both eras, and what a route does with them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { fetchThrough, sdk1Client, sdk2Client } from '../lib/tunnel-mcp.mjs';
import { authority } from '../lib/egress.mjs';
import { packageRoute, stdioRoute } from '../lib/mcp-stdio.mjs';
import { alive, BIN, descendants, ms, run, tempDir, until } from '../lib/own.mjs';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, LoggingMessageNotificationSchema, ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const dir = tempDir('stdio');
fs.chmodSync(dir, 0o755);
fs.writeFileSync(path.join(dir, 'page.txt'), 'a page of this machine');
let s, t, t2, g;
const routes = {
  every: packageRoute('@modelcontextprotocol/server-everything/dist/index.js', ['stdio']),
  files: packageRoute('@modelcontextprotocol/server-filesystem/dist/index.js', [dir], { sandbox: { binds: [dir] } }),
  modern: stdioRoute('modern'),
  legacy: stdioRoute('legacy'),
  shared: stdioRoute('legacy', { shared: true }),
  rules: stdioRoute('legacy', { tools: { allow: ['echo', 'steps', 'big'] }, limits: { result_bytes: '64KiB', deadline: '2s' } }),
  strict: stdioRoute('legacy', { tools: { confirm: ['say'], arguments: { echo: { text: { enum: ['this'] } } } } }),
  pinned: stdioRoute('legacy', { pin_tools: 'ask' }),
  short: stdioRoute('legacy', { session_idle: '1s', sessions: 2 }),
  env: stdioRoute('legacy', { sandbox: { env: { MODE: 'quiet', EMPTY: '' }, workdir: '/tmp' }, args: ['--flag', 'a b', '$HOME'] }),
};
const audit = path.join(dir, 'audit.jsonl');
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  t2 = await makeTunnel(s);
  g = await startGateway(s, t, routes, { config: { audit: { file: audit } } });
});
after(async () => { await g?.stop(); await s?.stop(); });
const at = (name) => `${name}.${t.domain}`;

/** One POST; {status, headers, text, json}. `session` may be the headers of an answer. */
async function post(name, body, { session, headers = {}, tunnel = t } = {}) {
  const r = await call(s, tunnel, `${name}.${tunnel.domain}`, { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...(session ? { 'mcp-session-id': session } : {}), ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) });
  r.json = r.text.startsWith('{') ? JSON.parse(r.text) : undefined;
  r.events = [...r.text.matchAll(/^data: (.*)$/gm)].map((m) => JSON.parse(m[1]));
  return r;
}
const rpc = (method, params = {}, id = 1) => ({ jsonrpc: '2.0', id, method, params });
const note = (method, params = {}) => ({ jsonrpc: '2.0', method, params });
const hello = (capabilities = {}) => rpc('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo: { name: 'raw', version: '1' } });
const session = async (name, tunnel = t) => (await post(name, hello(), { tunnel })).headers['mcp-session-id'];
const tool = (name, args = {}, id = 1, more = {}) => rpc('tools/call', { name, arguments: args, ...more }, id);
const META = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} };
const modern = (name, method, params = {}, id = 1) => post(name, rpc(method, { ...params, _meta: { ...META, ...params._meta } }, id), { headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(params.name ? { 'mcp-name': params.name } : {}) } });
const textOf = (r) => (r.json ?? r.events.at(-1)).result.content[0].text;

async function client1(name, { capabilities = {}, handlers = {} } = {}) {
  const c = new Client1({ name: 'c1', version: '1' }, { capabilities });
  for (const [schema, fn] of handlers instanceof Map ? handlers : []) schema.shape.method.value.startsWith('notifications/') ? c.setNotificationHandler(schema, fn) : c.setRequestHandler(schema, fn);
  const transport = new Transport1(new URL(`https://${at(name)}/mcp`), { fetch: fetchThrough(s, t) });
  await c.connect(transport);
  c.transportOfTest = transport;
  return c;
}

describe('servers of npm', () => {
  for (const [what, client] of [['1.x', sdk1Client], ['2.x', sdk2Client]]) {
    test(`server-everything, the SDK ${what}: tools, progress, resources, prompts`, async () => {
      const c = await client(s, t, at('every'));
      assert.match((await c.callTool({ name: 'echo', arguments: { message: 'through a pipe' } })).content[0].text, /through a pipe/);
      assert((await c.listTools()).tools.length > 5);
      assert((await c.listResources()).resources.length > 0);
      assert((await c.listPrompts()).prompts.length > 0);
      await c.close();
    });
    test(`server-filesystem, the SDK ${what}: reads what its sandbox shows, and not what it does not`, async () => {
      const c = await client(s, t, at('files'));
      assert.equal((await c.callTool({ name: 'read_text_file', arguments: { path: path.join(dir, 'page.txt') } })).content[0].text, 'a page of this machine');
      const r = await c.callTool({ name: 'read_text_file', arguments: { path: '/etc/passwd' } });
      assert(r.isError, JSON.stringify(r));
      await c.close();
    });
  }

  test('a server that may write nothing: its bind is read-only', async () => {
    const c = await sdk1Client(s, t, at('files'));
    const r = await c.callTool({ name: 'write_file', arguments: { path: path.join(dir, 'new.txt'), content: 'x' } });
    assert(r.isError, JSON.stringify(r));
    assert(!fs.existsSync(path.join(dir, 'new.txt')));
    await c.close();
  });

  test('progress, one by one, with the caller\'s own token', async () => {
    const c = await sdk1Client(s, t, at('every'));
    const seen = [];
    const name = (await c.listTools()).tools.map((o) => o.name).find((n) => /long/i.test(n));
    assert(name, 'server-everything has a long one');
    await c.callTool({ name, arguments: { duration: 0.5, steps: 3 } }, undefined, { onprogress: (p) => seen.push(p.progress) });
    assert.deepEqual(seen, [1, 2, 3]);
    await c.close();
  });

  test('what the server asks (sampling, elicitation) is answered by the client of its session', async () => {
    const c = await client1('every', { capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} }, handlers: new Map([
      [CreateMessageRequestSchema, async () => ({ role: 'assistant', model: 'test', content: { type: 'text', text: 'sampled by the test' } })],
      [ElicitRequestSchema, async () => ({ action: 'decline' })],
      [ListRootsRequestSchema, async () => ({ roots: [{ uri: 'file:///of-the-test', name: 'r' }] })],
    ]) });
    const names = (await c.listTools()).tools.map((o) => o.name);
    const sampling = names.find((n) => /sampling/i.test(n) && !/async|task/i.test(n));
    const r = await c.callTool({ name: sampling, arguments: { prompt: 'hello', maxTokens: 10 } });
    assert.match(JSON.stringify(r), /sampled by the test/);
    await c.close();
  });
});

describe('sessions of the older revisions', () => {
  test('belong to the caller who has made them, where callers show certificates', async () => {
    const staff = authority(tempDir('stdio-staff')), caFile = path.join(dir, 'staff.pem');
    fs.copyFileSync(staff.file, caFile);
    const [alice, bob] = ['/CN=alice', '/CN=bob'].map((n) => { const c = staff.issue(['a.example'], { subject: n }); return { cert: c.cert, key: c.key }; });
    const own = await startGateway(s, t2, { legacy: routes.legacy, shared: routes.shared }, { config: { tls: { cert_file: t2.leaf.certFile, key_file: t2.leaf.keyFile, client_ca_file: caFile } } });
    const as = (who, name, body, headers = {}) => call(s, t2, `${name}.${t2.domain}`, { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers }, body: JSON.stringify(body), shown: who });
    try {
      for (const name of ['legacy', 'shared']) {
        const id = (await as(alice, name, hello())).headers['mcp-session-id'];
        const echo = tool('echo', { text: 'mine' });
        assert.match((await as(alice, name, echo, { 'mcp-session-id': id })).text, /mine/);
        const other = await as(bob, name, echo, { 'mcp-session-id': id });
        assert.deepEqual([other.status, JSON.parse(other.text).error.code], [404, -32001]);
        // What stands in the place of the gateway's own word does not come through.
        const lies = await as(bob, name, echo, { 'mcp-session-id': id, 'sallyport-caller': 'x', sallyport_caller: 'x' });
        assert.equal(lies.status, 404);
        assert.match((await as(alice, name, echo, { 'mcp-session-id': id, 'sallyport-caller': 'x' })).text, /mine/, 'nor does it lose the session');
      }
    } finally { await own.stop(); }
  });
  test('have an id that cannot be guessed; without one 400, with another one 404', async () => {
    const a = await post('legacy', hello()), b = await post('legacy', hello());
    assert.match(a.headers['mcp-session-id'], /^[0-9a-f]{32}$/);
    assert.notEqual(a.headers['mcp-session-id'], b.headers['mcp-session-id']);
    assert.equal((await post('legacy', tool('echo', { text: 'x' }))).status, 400);
    const gone = await post('legacy', tool('echo', { text: 'x' }, 7), { session: 'f'.repeat(32) });
    assert.equal(gone.status, 404);
    assert.deepEqual([gone.json.id, gone.json.error.code], [7, -32001]);
  });

  test('each has a process of its own', async () => {
    const a = await session('legacy'), b = await session('legacy');
    const count = async (n) => textOf(await post('legacy', tool('count'), { session: n })).split(' ');
    const [first, second, other] = [await count(a), await count(a), await count(b)];
    assert.equal(second[1], '2');
    assert.equal(other[1], '1');
    assert.equal(first[0], second[0]);
  });

  test('end by DELETE: then 404, and the process is gone', async () => {
    const before = descendants(g.proc.pid).length, n = await session('legacy');
    assert(descendants(g.proc.pid).length > before, 'presence');
    assert.equal((await call(s, t, at('legacy'), { method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': n } })).status, 200);
    assert.equal((await post('legacy', tool('count'), { session: n })).status, 404);
    await until('the process is gone', () => descendants(g.proc.pid).length <= before, ms(15000));
    await g.proc.line(/a stdio server says" route=legacy line="end of input"/);
  });

  test('end when they are idle; there are no more at once than `sessions`', async () => {
    const a = await session('short'), b = await session('short');
    assert(a && b);
    const more = await post('short', hello());
    assert.equal(more.status, 503);
    assert.equal(more.json.error.data.gateway_failure.source, 'busy');
    await until('the idle ones have ended', async () => (await post('short', hello())).status === 200, ms(15000));
    assert.equal((await post('short', tool('count'), { session: a })).status, 404);
  });

  test('one with an open stream is not idle', async () => {
    const n = await until('there is room', async () => await session('short'), ms(15000));
    const c = await callerSocket(s, t, at('short'));
    let got = '';
    c.on('data', (d) => { got += d; });
    c.write(`GET /mcp HTTP/1.1\r\nHost: ${at('short')}\r\nAccept: text/event-stream\r\nMcp-Session-Id: ${n}\r\n\r\n`);
    await until('the stream is there', () => /200 OK[^]*text\/event-stream/.test(got), ms(10000));
    await new Promise((ok) => { setTimeout(ok, 2500); });   // more than twice what an idle one has
    assert.equal((await post('short', tool('echo', { text: 'still' }), { session: n })).status, 200);
    c.destroy();
  });

  test('notifications/initialized comes before all else, once, whoever forgets it or says it twice', async () => {
    const n = await session('legacy');
    const of = async () => JSON.parse(textOf(await post('legacy', tool('ids'), { session: n })).split(' ').slice(2).join(' '));
    assert.deepEqual((await of()).slice(0, 3), ['initialize', 'notifications/initialized', 'tools/call']);
    for (let i = 0; i < 2; i++) assert.equal((await post('legacy', note('notifications/initialized', {}), { session: n })).status, 202);
    assert.equal((await of()).filter((m) => m === 'notifications/initialized').length, 1);
    const m = await session('legacy');
    await post('legacy', note('notifications/initialized', {}), { session: m });
    assert.deepEqual(JSON.parse(textOf(await post('legacy', tool('ids'), { session: m })).split(' ').slice(2).join(' ')).slice(0, 3), ['initialize', 'notifications/initialized', 'tools/call']);
  });

  test('a caller that leaves does not cancel; notifications/cancelled does, under the id of the process', async () => {
    const n = await session('legacy');
    const q = call(s, t, at('legacy'), { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-session-id': n }, body: JSON.stringify(tool('wait', {}, 'my-id')), onResponse: (r, req) => req.destroy() }).catch(() => {});
    await g.proc.line(/route=legacy line="heard tools\/call"/);
    await q;
    assert.equal(textOf(await post('legacy', tool('echo', { text: 'on' }), { session: n })), 'on');
    assert.doesNotMatch(g.proc.err, /route=legacy line="heard notifications\/cancelled/);
    const waits = post('legacy', tool('wait', {}, 'my-id'), { session: n });
    await until('it waits', async () => (await post('legacy', note('notifications/cancelled', { requestId: 'my-id' }), { session: n })).status === 202 && /heard notifications\/cancelled \d+"/.test(g.proc.err));
    assert.doesNotMatch(g.proc.err, /heard notifications\/cancelled \\?"my-id/);
    assert.equal((await call(s, t, at('legacy'), { method: 'DELETE', path: '/mcp', headers: { 'mcp-session-id': n } })).status, 200);
    const r = await waits;
    assert.equal((r.json ?? r.events.at(-1)).error.data.gateway_failure.source, 'upstream_closed');
  });

  test('the server\'s own messages go to the stream of the session, and its questions\' answers back', async () => {
    const logs = [], c = await client1('legacy', { capabilities: { roots: {} }, handlers: new Map([
      [ListRootsRequestSchema, async () => ({ roots: [{ uri: 'file:///mine' }] })],
      [LoggingMessageNotificationSchema, (m) => { logs.push(m.params.data); }],
      [ToolListChangedNotificationSchema, () => { logs.push('changed'); }],
    ]) });
    assert.match((await c.callTool({ name: 'ask', arguments: {} })).content[0].text, /file:\/\/\/mine/);
    await c.callTool({ name: 'say', arguments: { text: 'a line' } });
    await c.callTool({ name: 'changed', arguments: {} });
    await until('both have come', () => logs.includes('a line') && logs.includes('changed'));
    await c.close();
  });

  test('without a stream a question of the server comes with the answer to the request', async () => {
    const n = await session('legacy');
    const seen = [];
    const done = call(s, t, at('legacy'), { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-session-id': n }, body: JSON.stringify(tool('ask', {}, 1)), onResponse: (r) => r.on('data', (d) => seen.push(String(d))) });
    await until('it asks', () => /roots\/list/.test(seen.join('')));
    assert.equal((await post('legacy', { jsonrpc: '2.0', id: 'of-the-server-2', result: { roots: ['wrong'] } }, { session: n })).status, 202);
    assert.equal((await post('legacy', { jsonrpc: '2.0', id: 'of-the-server-1', result: { roots: ['right'] } }, { session: n })).status, 202);
    assert.match((await done).text, /right/);
    assert.doesNotMatch((await done).text, /wrong/);
  });
});

describe('many callers of one process', () => {
  test('with the same ids and tokens each gets its own answer and progress', async () => {
    const [a, b] = [await session('shared'), await session('shared')];
    const ask = (n, k, id) => post('shared', tool('steps', { n: k, ms: 100 }, id, { _meta: { progressToken: 'tok' } }), { session: n });
    const all = await Promise.all([ask(a, 3, 1), ask(b, 4, 1), ask(a, 5, 'x'), ask(b, 6, 'x')]);
    [[3, 1], [4, 1], [5, 'x'], [6, 'x']].forEach(([k, id], i) => {
      const events = all[i].events;
      assert.deepEqual(events.slice(0, -1).map((e) => [e.params.progressToken, e.params.progress, e.params.total]), Array.from({ length: k }, (_, j) => ['tok', j + 1, k]));
      assert.deepEqual([events.at(-1).id, events.at(-1).result.content[0].text], [id, `${k} steps`]);
    });
    const [pa, pb] = [await post('shared', tool('count'), { session: a }), await post('shared', tool('count'), { session: b })].map((r) => textOf(r).split(' '));
    assert.equal(pa[0], pb[0], 'one process');
    assert.equal(Number(pb[1]), Number(pa[1]) + 1);
  });

  test('one sees nothing of another, and changes nothing for it', async () => {
    const r = await post('shared', hello({ sampling: {}, roots: {} }));
    assert.deepEqual(r.json.result.capabilities, { tools: { listChanged: true }, resources: {} });
    assert.equal(r.json.result.serverInfo.name, 'scripted');
    const n = r.headers['mcp-session-id'];
    for (const method of ['logging/setLevel', 'resources/subscribe', 'resources/unsubscribe', 'tasks/list']) assert.equal((await post('shared', rpc(method), { session: n })).json.error.code, -32601, method);
    // Its server may ask nothing.
    assert.match(textOf(await post('shared', tool('ask'), { session: n })), /cannot be asked/);
    // A session's request is cancelled by that session alone.
    const other = await session('shared'), waits = post('shared', tool('steps', { n: 3, ms: 300 }, 'mine'), { session: n });
    await post('shared', note('notifications/cancelled', { requestId: 'mine' }), { session: other });
    assert.equal(textOf(await waits), '3 steps');
    assert.doesNotMatch(g.proc.err, /route=shared line="heard notifications\/cancelled/);
  });

  test('an older revision is answered with its own name', async () => {
    const r = await post('shared', rpc('initialize', { protocolVersion: '2025-03-26', capabilities: {}, clientInfo: { name: 'r', version: '1' } }));
    assert.equal(r.json.result.protocolVersion, '2025-03-26');
  });

  test('"the list has changed" goes to all', async () => {
    const seen = [], one = (k) => client1('shared', { handlers: new Map([[ToolListChangedNotificationSchema, () => { seen.push(k); }], [LoggingMessageNotificationSchema, () => { seen.push('log'); }]]) });
    const [a, b] = [await one('a'), await one('b')];
    await until('their streams are there', async () => { await a.callTool({ name: 'changed', arguments: {} }); return seen.includes('a') && seen.includes('b'); });
    await a.callTool({ name: 'say', arguments: { text: 'not for b' } });
    await a.callTool({ name: 'changed', arguments: {} });
    assert(!seen.includes('log'));
    await a.close(); await b.close();
  });
});

describe('2026-07-28', () => {
  test('what the revision has no more does not reach the process, nor do notifications: others share it', async () => {
    assert.equal(textOf(await modern('modern', 'tools/call', { name: 'echo', arguments: { text: 'before' } })), 'before');
    for (const method of ['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe']) {
      const r = await modern('modern', method, { level: 'debug', uri: 'x:y' }, 8);
      assert.deepEqual([r.status, r.json.id, r.json.error.code, r.json.error.message], [404, 8, -32601, 'this revision has no such method'], method);
    }
    const r = await post('modern', note('notifications/roots/list_changed', { _meta: META }), { headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'notifications/roots/list_changed' } });
    assert.deepEqual([r.status, r.text], [202, '']);
    assert.equal(textOf(await modern('modern', 'tools/call', { name: 'echo', arguments: { text: 'after' } })), 'after');
  });
  test('a server of both eras: one process for all, no session, progress, and a JSON answer where nothing else is said', async () => {
    const r = await modern('modern', 'tools/call', { name: 'echo', arguments: { text: 'hi' } }, 'id-1');
    assert.deepEqual([r.status, r.headers['content-type'], r.headers['mcp-session-id'], r.json.id, textOf(r)], [200, 'application/json', undefined, 'id-1', 'hi']);
    const pids = await Promise.all([1, 1, 1].map(() => modern('modern', 'tools/call', { name: 'count', arguments: {} })));
    assert.equal(new Set(pids.map((p) => textOf(p).split(' ')[0])).size, 1);
    const p = await modern('modern', 'tools/call', { name: 'steps', arguments: { n: 2 }, _meta: { progressToken: 'T' } }, 5);
    assert.deepEqual(p.events.slice(0, -1).map((e) => [e.params.progressToken, e.params.progress]), [['T', 1], ['T', 2]]);
    assert.equal(p.events.at(-1).id, 5);
  });

  test('unknown methods, GET and DELETE, a header that lies', async () => {
    const r = await modern('modern', 'no/such');
    assert.deepEqual([r.status, r.json.error.code], [404, -32601]);
    for (const method of ['GET', 'DELETE']) assert.equal((await call(s, t, at('modern'), { method, path: '/mcp', headers: { 'mcp-protocol-version': '2026-07-28', accept: 'text/event-stream' } })).status, 405);
    const lie = await post('modern', rpc('tools/list', { _meta: META }), { headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call' } });
    assert.deepEqual([lie.status, lie.json.error.code], [400, -32020]);
  });

  test('whoever leaves cancels, within a tenth of a second', async () => {
    const k = await callerSocket(s, t, at('modern'));
    const body = JSON.stringify(rpc('tools/call', { name: 'wait', arguments: {}, _meta: META }, 1));
    k.write(`POST /mcp HTTP/1.1\r\nHost: ${at('modern')}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: wait\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await g.proc.line(/route=modern line="waits \d+"/);
    const left = Date.now();
    k.destroy();
    const cancelled = Number((await g.proc.line(/route=modern line="cancelled (\d+)"/))[1]);
    assert(cancelled - left < ms(100), `${cancelled - left} ms`);
  });

  test('subscriptions/listen: acknowledged under the caller\'s id, told of a change, two of the same id', async () => {
    const listen = (id) => {
      const seen = [];
      const done = call(s, t, at('modern'), { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen' }, body: JSON.stringify(rpc('subscriptions/listen', { notifications: { toolsListChanged: true }, _meta: META }, id)), onResponse: (r, q) => { seen.q = q; r.on('data', (d) => seen.push(...[...String(d).matchAll(/^data: (.*)$/gm)].map((m) => JSON.parse(m[1])))); r.on('error', () => {}); } }).catch(() => {});
      return Object.assign(seen, { done });
    };
    const a = listen('same'), b = listen('same');
    await until('both are acknowledged', () => a[0] && b[0]);
    for (const l of [a, b]) assert.deepEqual([l[0].method, l[0].params._meta['io.modelcontextprotocol/subscriptionId']], ['notifications/subscriptions/acknowledged', 'same']);
    await modern('modern', 'tools/call', { name: 'more', arguments: { name: 'another' } });
    await until('both are told', () => a[1] && b[1]);
    for (const l of [a, b]) assert.deepEqual([l[1].method, l[1].params._meta['io.modelcontextprotocol/subscriptionId']], ['notifications/tools/list_changed', 'same']);
    a.q.destroy(); b.q.destroy();
    await Promise.all([a.done, b.done]);
  });

  test('a server that knows the older revisions alone: -32022, and what it knows; the client goes on with it', async () => {
    const r = await modern('legacy', 'tools/list', {}, 9);
    assert.equal(r.status, 400);
    assert.deepEqual([r.json.id, r.json.error.code, r.json.error.data.requested, r.json.error.data.supported.includes('2025-11-25')], [9, -32022, '2026-07-28', true]);
    const c = await sdk2Client(s, t, at('legacy'));
    assert.equal((await c.callTool({ name: 'echo', arguments: { text: 'older' } })).content[0].text, 'older');
    await c.close();
  });

  test('the SDK 2.x with a server of both', async () => {
    const c = await sdk2Client(s, t, at('modern'));
    assert.equal((await c.callTool({ name: 'echo', arguments: { text: 'newer' } })).content[0].text, 'newer');
    await c.close();
  });
});

describe('what any route has', () => {
  test('rules about tools, and lists without what is not allowed', async () => {
    const n = await session('rules');
    const no = await post('rules', tool('die', {}, 3), { session: n });
    assert.equal(no.json.error.data.gateway_failure.source, 'policy');
    assert.equal(no.json.id, 3);
    assert.deepEqual((await post('rules', rpc('tools/list'), { session: n })).json.result.tools.map((o) => o.name).sort(), ['big', 'echo', 'steps']);
    const large = await post('rules', tool('big', { n: 100000 }), { session: n });
    assert.equal((large.json ?? large.events.at(-1)).error.data.gateway_failure.rule, 'limits.result_bytes');
    const long = await post('rules', tool('steps', { n: 1, ms: 4000 }), { session: n });
    assert.equal((long.json ?? long.events.at(-1)).error.data.gateway_failure.source, 'timeout');
    assert.equal(textOf(await post('rules', tool('echo', { text: 'fine' }), { session: n })), 'fine');
  });

  test('arguments, pins and approvals', async () => {
    const n = await session('strict');
    assert.equal(textOf(await post('strict', tool('echo', { text: 'this' }), { session: n })), 'this');
    const other = await post('strict', tool('echo', { text: 'that' }, 4), { session: n });
    assert.deepEqual([other.json.id, other.json.error.data.gateway_failure.source], [4, 'policy']);
    assert.match(other.json.error.data.gateway_failure.rule, /tools\.arguments/);
    const asks = post('strict', tool('say', { text: 'x' }, 5), { session: n });
    const id = await until('a person is asked', async () => (await run(BIN, ['gateway', 'pending', '--config', g.file])).out.match(/^(\S+)\s.*say/m)?.[1]);
    assert.equal((await run(BIN, ['gateway', 'deny', id, '--config', g.file])).code, 0);
    assert.equal(((a) => a.json ?? a.events.at(-1))(await asks).error.data.gateway_failure.source, 'policy');
    assert.doesNotMatch(g.proc.err, /route=strict line="heard tools\/call".*\n(.*\n)*.*route=strict line="heard tools\/call"/, 'one call has reached it');
    const p = await session('pinned');
    assert.deepEqual((await post('pinned', rpc('tools/list'), { session: p })).json.result.tools, [], 'nobody has accepted any');
    assert.match(JSON.stringify((await post('pinned', tool('echo', { text: 'x' }), { session: p })).json.error), /pin_tools|not accepted|pins/);
  });
  test('a record of every call', async () => {
    const n = await session('legacy');
    await post('legacy', tool('echo', { text: 'recorded' }), { session: n });
    await until('it is there', () => fs.readFileSync(audit, 'utf8').split('\n').some((l) => /"tools\/call"/.test(l) && /legacy/.test(l) && /"echo"/.test(l)));
  });

  test('results pass as they were written, but for the id', async () => {
    const n = await session('legacy');
    const r = await post('legacy', tool('exact', {}, 'é"'), { session: n });
    assert.equal(r.text, '{"jsonrpc":"2.0","result":{"content":[],"n":1.0,"big":123456789012345678901,"s":"\\u00e9\\/"},"id":"é\\""}');
  });

  test('bodies over several lines are one line for the server; what is not one message is refused', async () => {
    const n = await session('legacy');
    assert.equal(textOf(await post('legacy', JSON.stringify(tool('echo', { text: 'a\nb' }), null, 2), { session: n })), 'a\nb');
    for (const bad of ['[]', `[${JSON.stringify(tool('echo', { text: 'x' }))}]`, 'no', '{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}']) {
      const r = await post('legacy', bad, { session: n });
      assert.equal(r.status, 400, bad);
      assert(r.json.error, bad);
    }
    assert.equal((await call(s, t, at('legacy'), { path: '/elsewhere' })).status, 404);
    assert.equal((await call(s, t, at('legacy'), { method: 'PUT', path: '/mcp', body: '{}' })).status, 405);
  });
});

describe('the sandbox', () => {
  test('nothing of this machine: no variable, no file, no network; arguments come as they are written', async () => {
    const n = await session('env'), where = JSON.parse(textOf(await post('env', tool('where'), { session: n })));
    assert.equal(where.env.MODE, 'quiet');
    assert.equal(where.env.EMPTY, '');
    assert.equal(where.cwd, '/tmp');
    assert.deepEqual(where.argv, ['legacy', '--flag', 'a b', '$HOME']);
    for (const name of ['SALLYPORT_BIN', 'SUDO_USER', 'OLDPWD']) assert(!(name in where.env), name);
    for (const file of [t.tokenFile, t.leaf.keyFile, g.file]) {
      assert(fs.existsSync(file), 'presence');
      assert.equal(textOf(await post('env', tool('read', { path: file }), { session: n })), 'ENOENT', file);
    }
  });
});

describe('operations', () => {
  test('status shows processes and sessions; a route that nobody has called is up, and has none', async () => {
    const n = await session('legacy');
    const status = await (await fetch(`http://${g.page}/status`)).json();
    const of = (name) => status.routes.find((r) => r.route === name);
    assert(of('legacy').processes >= 1 && of('legacy').sessions >= 1);
    assert.match(of('legacy').upstream, /^stdio:.*node$/);
    const r = await run(BIN, ['gateway', 'status', '--config', g.file, '--admin', g.page]);
    assert.equal(r.code, 0, r.err);
    assert.match(r.out, /legacy.* -> stdio:[^]*\d+ process(es)?, \d+ session/);
    assert(n);
  });

  test('a probe starts no process', async () => {
    const quiet = await startGateway(s, await makeTunnel(s), { never: stdioRoute('legacy') });
    await until('it is ready', async () => (await fetch(`http://${quiet.page}/readyz`)).status === 200);
    assert.equal((await (await fetch(`http://${quiet.page}/status`)).json()).routes[0].processes, 0);
    assert.equal(descendants(quiet.proc.pid).length, 1, 'the gateway proper alone');
    await quiet.stop();
  });

  test('doctor starts it, and says what it answers; what is wrong it says with the program\'s own words', async () => {
    const file = path.join(dir, 'doctor.yaml');
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(g.file, 'utf8')), audit: undefined, routes: { good: routes.legacy, newer: routes.modern, missing: { command: ['/no/such/program'] }, dies: stdioRoute('dies') } }));
    const r = await run(BIN, ['gateway', 'doctor', '--config', file, '--json'], { timeout: ms(90000) });
    const checks = JSON.parse(r.out).checks, of = (id, title) => checks.find((c) => c.id === id && c.title === title);
    assert.equal(of('route_reach', 'good').verdict, 'ok');
    assert.match(of('route_mcp', 'good').text, /speaks MCP 2025-11-25 at \/mcp as scripted, \d+ tools/);
    assert.match(of('route_mcp', 'newer').text, /speaks MCP 2026-07-28 at \/mcp/);
    assert.equal(of('route_reach', 'missing').verdict, 'fail');
    assert.match(of('route_reach', 'missing').text, /no\/such\/program/);
    assert.equal(of('route_reach', 'dies').verdict, 'fail');
    assert.match(of('route_reach', 'dies').text, /last words: heard /);
  });

  test('another program for a route: sessions are unknown, and the old process ends', async () => {
    const mine = await makeTunnel(s), own = await startGateway(s, mine, { mine: stdioRoute('legacy'), rest: stdioRoute('legacy') });
    const [n, rest] = await Promise.all(['mine', 'rest'].map((name) => session(name, mine)));
    const before = descendants(own.proc.pid);
    own.write({ mine: stdioRoute('legacy', { args: ['other'] }), rest: stdioRoute('legacy') });
    own.proc.child.kill('SIGHUP');
    await own.proc.line(/msg="files read anew"/);
    await until('it is unknown', async () => (await post('mine', tool('count'), { session: n, tunnel: mine })).status === 404);
    assert.equal(textOf(await post('rest', tool('count'), { session: rest, tunnel: mine })).split(' ')[1], '1', 'what has not changed goes on');
    await until('its process is gone', () => before.some((pid) => !alive(pid)), ms(15000));
    assert.deepEqual(JSON.parse(textOf(await post('mine', tool('where'), { session: await session('mine', mine), tunnel: mine }))).argv, ['legacy', 'other']);
    await own.stop();
  });
});
