// Official MCP clients (1.32, 2.4) at the ingress, official MCP servers behind the gateway, in all the transports that there have
// been: 2026-07-28 without sessions, 2025-11-25 with and without them, HTTP+SSE of 2024-11-05. What a client can see is as it is
// without a tunnel.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import * as v2 from '@modelcontextprotocol/client';
import '../lib/localhost-names.mjs';
import { authority } from '../lib/egress.mjs';
import { FULL, ms, tempDir, until, within } from '../lib/own.mjs';
import { everythingServer, referenceServer } from '../lib/mcp.mjs';
import { edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const INFO = { name: 'test', version: '1.0.0' };
const RECONNECT = { initialReconnectionDelay: 200, maxReconnectionDelay: 500, reconnectionDelayGrowFactor: 1, maxRetries: 100 };
const SILENCE_MS = FULL ? 65000 : 20000;   // longer than any pause in which something is looked at: 5, 10 and 15 s
let s, t, g, up, silence;
const clients = new Set();
const url = (name, at = '/mcp') => new URL(`https://${name}.${t.domain}:${s.ingress}${at}`);

/** A client of 1.32 for a server of the 2025 revisions. */
async function connect(name, { at = '/mcp', Transport = StreamableHTTPClientTransport, ...options } = {}) {
  const c = new Client(INFO, { capabilities: {} });
  c.transport_ = new Transport(url(name, at), { reconnectionOptions: RECONNECT, ...options });
  clients.add(c);
  await c.connect(c.transport_);
  return c;
}
/** A client of 2.4; `mode` as it has it. */
async function connect2(name, mode, capabilities = {}) {
  const c = new v2.Client(INFO, { capabilities, versionNegotiation: { mode } });
  clients.add(c);
  await c.connect(new v2.StreamableHTTPClientTransport(url(name)));
  return c;
}
const textOf = (r) => { assert(!r.isError, JSON.stringify(r)); return r.content[0].text; };
const names = async (c) => (await c.listTools()).tools.map((x) => x.name);

/** Progress comes when it is made: the server takes its next step when the last one has been seen here. */
async function seenOneByOne(call, server) {
  const seen = [], n = 5;
  const result = call({ name: 'steps', arguments: { n } }, (p) => seen.push(p.progress));
  result.catch(() => {});
  for (let i = 1; i <= n; i++) {
    server.step();
    await until(`step ${i}`, () => seen.length === i, ms(10000));
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  server.step();
  assert.equal(textOf(await result), `${n} steps`);
}

before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  const inside = authority(tempDir('inside'));
  const kinds = { modern: ['modern'], stateful: ['stateful'], stateless: ['stateless'], sse: ['sse'], secure: ['modern', { leaf: inside.issue(['127.0.0.1']) }], socket: ['modern', { socket: path.join(tempDir('mcp'), 'mcp.sock') }] };
  up = Object.fromEntries(await Promise.all([
    ...Object.entries(kinds).map(async ([k, args]) => [k, await referenceServer(...args)]),
    ...[['every', 'streamableHttp'], ['everysse', 'sse']].map(async ([k, how]) => [k, await everythingServer(how)]),
  ]));
  const upstream = { allowed_ips: ['127.0.0.0/8'], tls: { ca_file: inside.file } };
  g = await startGateway(s, t, Object.fromEntries(Object.entries(up).map(([k, v]) => [k, v.upstream])), { config: { upstream } });
  tls.setDefaultCACertificates([...tls.getCACertificates(), fs.readFileSync(t.ca.file, 'utf8')]);
  // Beside the others; looked at when they are over.
  const quiet = { name: 'quiet', arguments: { ms: SILENCE_MS } }, timeout = SILENCE_MS + ms(60000);
  const [c, m] = [await connect('stateful'), await connect2('modern', { pin: '2026-07-28' })];
  silence = Promise.all([c.callTool(quiet, undefined, { timeout }), m.callTool(quiet, { timeout })]);
  silence.catch(() => {});
});
after(async () => {
  for (const c of clients) await c.close().catch(() => {});
  await g?.stop();
  await s?.stop();
  for (const u of Object.values(up ?? {})) await u.stop();
});

describe('clients and servers', () => {
  for (const name of ['stateful', 'stateless']) test(`1.32 to 1.32, ${name}: list, call, a failing tool, progress as it is made`, async () => {
    const c = await connect(name);
    assert((await names(c)).includes('echo'));
    assert.equal((await c.listPrompts()).prompts.length, 4);
    assert.equal((await c.readResource({ uri: 'test://static-text' })).contents[0].text, 'This is the content of the static text resource.');
    assert.equal(textOf(await c.callTool({ name: 'echo', arguments: { text: 'ångström \u{1f680}' } })), 'ångström \u{1f680}');
    assert.equal((await c.callTool({ name: 'test_error_handling', arguments: {} })).isError, true);
    await seenOneByOne((q, onprogress) => c.callTool(q, undefined, { onprogress }), up[name]);
  });

  test('1.32 over HTTP+SSE', async () => {
    const c = await connect('sse', { at: '/sse', Transport: SSEClientTransport });
    assert((await names(c)).includes('echo'));
    assert.equal(textOf(await c.callTool({ name: 'echo', arguments: { text: 'old' } })), 'old');
    await seenOneByOne((q, onprogress) => c.callTool(q, undefined, { onprogress }), up.sse);
    await c.close();
    await up.sse.heard('stream closed');
  });

  for (const [name, how] of [['every', {}], ['everysse', { at: '/sse', Transport: SSEClientTransport }]]) test(`server-everything, ${name}`, async () => {
    const c = await connect(name, how);
    const tools = await names(c);
    assert(tools.includes('get-sum') && tools.length >= 10, tools.join());
    assert.match(textOf(await c.callTool({ name: 'get-sum', arguments: { a: 2, b: 3 } })), /\b5\b/);
    assert.equal((await c.callTool({ name: 'get-tiny-image', arguments: {} })).content.find((x) => x.type === 'image').mimeType, 'image/png');
    const seen = [];
    await c.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 1, steps: 4 } }, undefined, { onprogress: (p) => seen.push(p.progress) });
    assert.deepEqual(seen.slice(0, 3), [1, 2, 3]);
    assert((await c.listResources()).resources.length > 0);
    assert((await c.listPrompts()).prompts.length > 0);
  });

  for (const [name, version] of [['modern', '1.1'], ['socket', '1.1'], ['secure', '2.0']]) test(`2.4 to 2.4 in 2026-07-28, ${name} (HTTP/${version} inside): list, call, progress, input_required`, async () => {
    const c = await connect2(name, { pin: '2026-07-28' }, { elicitation: { form: {} } });
    c.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { name: 'Ada' } }));
    assert((await names(c)).includes('echo'));
    assert.equal(textOf(await c.callTool({ name: 'echo', arguments: { text: 'new' } })), 'new');
    assert.equal(textOf(await c.callTool({ name: 'test_header', arguments: { region: 'nörth' } })), 'nörth', 'Mcp-Param-* goes through');
    assert.equal(textOf(await c.callTool({ name: 'test_input_required_result_elicitation', arguments: {} })), 'Hello, Ada!');
    assert.equal((await c.readResource({ uri: 'test://template/7/data' })).contents[0].text, '{"id":"7","templateTest":true,"data":"Data for ID: 7"}');
    await seenOneByOne((q, onprogress) => c.callTool(q, { onprogress }), up[name]);
    assert(up[name].said('asked').every((a) => a.version === version));
  });

  for (const name of ['stateful', 'stateless', 'every']) test(`2.4 finds out by itself that ${name} is of 2025`, async () => {
    const c = await connect2(name, 'auto');
    const [tool, args] = name === 'every' ? ['echo', { message: 'hello' }] : ['echo', { text: 'hello' }];
    assert.match(textOf(await c.callTool({ name: tool, arguments: args })), /hello/);
  });
});

describe('streams', () => {
  test('what a server says by itself comes on the GET stream', async () => {
    const opened = up.stateful.said('stream opened').length;
    const c = await connect('stateful'), heard = [];
    await up.stateful.heard('stream opened', opened + 1);
    c.setNotificationHandler(LoggingMessageNotificationSchema, (n) => { heard.push(n.params.data); });
    await up.stateful.heard('stream opened', up.stateful.said('stream opened').length || 1);
    for (const word of ['one', 'two', 'three']) {
      await c.callTool({ name: 'shout', arguments: { text: word } });
      await until(`${word} is heard`, () => heard.at(-1) === word, ms(5000));
    }
    assert.deepEqual(heard, ['one', 'two', 'three']);
  });

  for (const name of ['modern', 'socket', 'secure']) test(`2026-07-28, ${name}: a caller that leaves has cancelled, and the server knows at once`, async (x) => {
    const c = await connect2(name, { pin: '2026-07-28' }), u = up[name];
    const took = [];
    for (let i = 0; i < 5; i++) {
      const [w, k] = [u.said('waiting').length, u.said('cancelled').length];
      const stop = new AbortController();
      const r = c.callTool({ name: 'wait', arguments: {} }, { signal: stop.signal });
      r.catch(() => {});
      await u.heard('waiting', w + 1);
      const at = Date.now();
      stop.abort();
      took.push((await u.heard('cancelled', k + 1)).at - at);
      await assert.rejects(r);
    }
    took.sort((a, b) => a - b);
    x.diagnostic(`the server's clock said cancelled after ${took.join(', ')} ms`);
    assert(took[0] <= ms(100), `${took} ms`);
    assert(took.at(-1) <= ms(2000), `${took} ms`);
  });

  test('2025-11-25: a caller that leaves has not cancelled; one that says so has', async () => {
    const c = await connect('stateful'), u = up.stateful;
    const [w, k] = [u.said('waiting').length, u.said('cancelled').length];
    const stop = new AbortController();
    const r = c.callTool({ name: 'wait', arguments: {} }, undefined, { signal: stop.signal, timeout: ms(60000) });
    r.catch(() => {});
    await u.heard('waiting', w + 1);
    const gone = await connect('stateful');
    gone.callTool({ name: 'wait', arguments: {} }).catch(() => {});
    await u.heard('waiting', w + 2);
    await gone.close();
    stop.abort();
    await u.heard('cancelled', k + 1);
    assert.equal(textOf(await c.callTool({ name: 'echo', arguments: { text: 'on' } })), 'on');
    assert.equal(u.said('cancelled').length, k + 1, 'the other one is still waiting');
  });
});

describe('sessions and errors', () => {
  test('a session that was deleted is the server\'s 404, as it is', async () => {
    const c = await connect('stateful');
    const id = c.transport_.sessionId;
    await c.transport_.terminateSession();
    await up.stateful.heard('session deleted');
    const ask = (base) => fetch(base, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-session-id': id }, body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' });
    const r = await ask(url('stateful'));
    assert.equal(r.status, 404);
    assert.match(await r.text(), /no such session; it ended/);
  });

  test('what a server refuses is refused in its words', async () => {
    const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': INFO, 'io.modelcontextprotocol/clientCapabilities': {} };
    const rpc = (method, params) => JSON.stringify({ jsonrpc: '2.0', id: 7, method, params });
    const modern = (method, more = {}) => ({ method: 'POST', headers: { ...json, 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...more }, body: rpc(method, { _meta: meta }) });
    const cases = [
      ['stateful', 404, { method: 'POST', headers: { ...json, 'mcp-session-id': 'nobody' }, body: rpc('ping') }],
      ['stateful', 400, { method: 'POST', headers: json, body: '{' }],
      ['stateful', 400, { method: 'POST', headers: json, body: rpc('tools/list') }],
      ['stateful', 406, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/html' }, body: rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: INFO }) }],
      ['stateful', 415, { method: 'POST', headers: { ...json, 'content-type': 'text/plain' }, body: rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: INFO }) }],
      ['stateless', 405, { method: 'GET', headers: { accept: 'text/event-stream' } }],
      ['stateless', 405, { method: 'DELETE' }],
      ['modern', 404, modern('unknown/method')],
      ['modern', 400, modern('tools/list', { 'mcp-protocol-version': 'v999' })],
      ['modern', 400, modern('tools/list', { 'mcp-method': 'tools/call' })],
      ['modern', 405, { method: 'GET' }],
      ['sse', 404, { method: 'POST', headers: json, body: rpc('ping') }],
    ];
    for (const [name, status, q] of cases) {
      const seen = await Promise.all([`${up[name].upstream}/mcp`, url(name)].map(async (u) => { const r = await fetch(u, q); return { status: r.status, type: r.headers.get('content-type'), allow: r.headers.get('allow'), text: await r.text() }; }));
      assert.equal(seen[0].status, status, `${name} directly: ${JSON.stringify(seen[0])}`);
      assert.deepEqual(seen[1], seen[0], name);
      assert(seen[0].text.length > 0, `${name} ${status} has words`);
    }
  });
});

describe('much', () => {
  test('a result of 8 MiB, and an argument of 2 MiB', async () => {
    for (const c of [await connect('stateful'), await connect2('modern', { pin: '2026-07-28' })]) {
      assert.equal(textOf(await c.callTool({ name: 'big', arguments: { bytes: 8 << 20 } })).length, 8 << 20);
      const text = 'é'.repeat(1 << 20);
      assert(textOf(await c.callTool({ name: 'echo', arguments: { text } })) === text);
    }
  });

  test('200 calls at once, each with its own answer', async () => {
    for (const c of [await connect('stateful'), await connect2('modern', { pin: '2026-07-28' })]) {
      const all = await Promise.all(Array.from({ length: 200 }, (_, i) => c.callTool({ name: 'echo', arguments: { text: `call ${i}` } })));
      assert.deepEqual(all.map(textOf), Array.from({ length: 200 }, (_, i) => `call ${i}`));
    }
  });
});

test(`calls that say nothing for ${SILENCE_MS / 1000} s are not cut`, async () => {
  assert.deepEqual((await silence).map(textOf), ['and then something', 'and then something']);
});

describe('a gateway that is killed', () => {
  test('a call goes on where it was, by Last-Event-ID, when another gateway has taken its place', async () => {
    const c = await connect('stateful'), seen = [], u = up.stateful;
    const resumed = u.said('resumed').length;
    const result = c.callTool({ name: 'steps', arguments: { n: 6 } }, undefined, { onprogress: (p) => seen.push(p.progress), timeout: ms(100000) });
    result.catch(() => {});
    for (const i of [1, 2]) { u.step(); await until(`step ${i}`, () => seen.length === i); }
    g.proc.kill('SIGKILL');
    await g.proc.exit;
    u.step(2);   // nobody hears of these when they are made
    await g.boot();
    await u.heard('resumed', resumed + 1, ms(30000));
    u.step(3);
    assert.equal(textOf(await within(result, ms(30000), 'the result')), '6 steps');
    assert.deepEqual(seen, [1, 2, 3, 4, 5, 6], 'each once');
    assert.equal(textOf(await c.callTool({ name: 'echo', arguments: { text: 'same session' } })), 'same session');
  });
});
