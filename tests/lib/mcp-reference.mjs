// A reference MCP server, on the official SDKs: what the conformance suite asks a server for, and tools that tests of the tunnel
// time and count by. Run as a program, one process each: `node mcp-reference.mjs KIND`, with KIND
//   modern     2026-07-28, @modelcontextprotocol/server's createMcpHandler: no sessions, input_required, caching
//   stateful   2025-11-25, @modelcontextprotocol/sdk: sessions, GET streams, events that can be resumed
//   stateless  2025-11-25 without sessions
//   sse        the transport of 2024-11-05: GET /sse and POST /messages
// The endpoint is /mcp. It says `listening PORT` when it is there, and then one line of JSON for each thing that it noticed:
// {"at": ms of its own clock, "what": ...}. With LISTEN=PATH it listens on a Unix socket; with TLS_CERT and TLS_KEY it speaks TLS, and
// HTTP/2 with those who can (not `stateful` and `sse`, whose SDK knows HTTP/1.1 alone). It serves the loopback alone and checks Host and Origin, as servers there must.
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { z } from 'zod';
import * as v1 from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CompleteRequestSchema, ElicitResultSchema, CreateMessageResultSchema, SetLevelRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import * as v2 from '@modelcontextprotocol/server';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=';
const kind = process.argv[2];
const say = (what, more = {}) => process.stdout.write(`${JSON.stringify({ at: Date.now(), what, ...more })}\n`);
const text = (t) => ({ content: [{ type: 'text', text: t }] });
const pause = (ms, signal) => new Promise((ok) => { const timer = setTimeout(ok, ms); signal?.addEventListener('abort', () => { clearTimeout(timer); ok(); }); });
const resource = (uri, body, mimeType = 'text/plain') => ({ type: 'resource', resource: { uri, mimeType, text: body } });

// ---- what both eras have; `c` is what a call may do, the same for either SDK: notify, signal, token, close ----

const progress = (c, n, total) => (c.token === undefined ? undefined : c.notify({ method: 'notifications/progress', params: { progressToken: c.token, progress: n, total, message: `step ${n} of ${total}` } }));
const log = (c, data) => c.notify({ method: 'notifications/message', params: { level: 'info', logger: 'reference', data } });

const TOOLS = {
  test_simple_text: ['One text', {}, () => text('This is a simple text response for testing.')],
  test_image_content: ['One image', {}, () => ({ content: [{ type: 'image', data: PNG, mimeType: 'image/png' }] })],
  test_audio_content: ['One sound', {}, () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] })],
  test_embedded_resource: ['One resource', {}, () => ({ content: [resource('test://embedded-resource', 'This is an embedded resource content.')] })],
  test_multiple_content_types: ['Text, image and resource', {}, () => ({ content: [{ type: 'text', text: 'Multiple content types test:' }, { type: 'image', data: PNG, mimeType: 'image/png' }, resource('test://mixed-content-resource', '{"test":"data","value":123}', 'application/json')] })],
  test_error_handling: ['Fails', {}, () => { throw new Error('This tool intentionally returns an error for testing'); }],
  test_tool_with_progress: ['Three steps', {}, async (_, c) => { for (const n of [0, 50, 100]) { await progress(c, n, 100); await pause(50); } return text(String(c.token)); }],
  test_logging_tool: ['Logs for those who asked for it', {}, async (_, c) => { await c.log?.('logged'); return text('done'); }],
  // of the tunnel's tests
  echo: ['Says it back', { text: z.string() }, (a) => text(a.text)],
  big: ['So many characters', { bytes: z.number() }, (a) => text('x'.repeat(a.bytes))],
  steps: ['Progress and then a result, each when a byte on standard input lets it', { n: z.number() }, async (a, c) => {
    for (let i = 1; i <= a.n; i++) { await told(); await progress(c, i, a.n); say('step', { i }); }
    await told();
    return text(`${a.n} steps`);
  }],
  quiet: ['Says nothing for a while', { ms: z.number() }, async (a, c) => { say('quiet begins'); await pause(a.ms, c.signal); return text('and then something'); }],
  wait: ['Until it is cancelled', {}, async (_, c) => {
    say('waiting');
    await new Promise((ok) => c.signal.addEventListener('abort', ok));
    say('cancelled');
    return text('cancelled');
  }],
};

/** A byte on standard input lets one `steps` go on. */
const waiting = [];
let steps = 0;
process.stdin.on('data', (d) => { steps += d.length; while (steps > 0 && waiting.length) { steps--; waiting.shift()(); } }).on('error', () => {});
const told = () => new Promise((ok) => { if (steps > 0) { steps--; ok(); } else waiting.push(ok); });

const RESOURCES = [
  ['static-text', 'test://static-text', 'text/plain', { text: 'This is the content of the static text resource.' }],
  ['static-binary', 'test://static-binary', 'image/png', { blob: PNG }],
  ['watched-resource', 'test://watched-resource', 'text/plain', { text: 'Watched resource content' }],
];
const one = (uri, mimeType, body) => ({ contents: [{ uri, mimeType, ...body }] });
const user = (...content) => ({ messages: content.map((c) => ({ role: 'user', content: c })) });
const PROMPTS = {
  test_simple_prompt: ['No arguments', undefined, () => user({ type: 'text', text: 'This is a simple prompt for testing.' })],
  test_prompt_with_arguments: ['Two arguments', { arg1: z.string(), arg2: z.string() }, (a) => user({ type: 'text', text: `Prompt with arguments: arg1='${a.arg1}', arg2='${a.arg2}'` })],
  test_prompt_with_embedded_resource: ['A resource', { resourceUri: z.string() }, (a) => user(resource(a.resourceUri, 'Embedded resource content for testing.'), { type: 'text', text: 'Please process the embedded resource above.' })],
  test_prompt_with_image: ['An image', undefined, () => user({ type: 'image', data: PNG, mimeType: 'image/png' }, { type: 'text', text: 'Please analyze the image above.' })],
};

/** Registers what both eras have. `of(sdk's context)` makes the `c` above; `shape` makes a schema of a table of fields. */
function common(m, Template, of, shape) {
  for (const [name, [description, fields, run]] of Object.entries(TOOLS))
    m.registerTool(name, { description, inputSchema: shape(fields) }, (a, x) => run(a, of(x)));
  for (const [name, uri, mimeType, body] of RESOURCES)
    m.registerResource(name, uri, { description: name, mimeType }, () => one(uri, mimeType, body));
  m.registerResource('template', new Template('test://template/{id}/data', { list: undefined }), { description: 'by id', mimeType: 'application/json' },
    (uri, { id }) => one(uri.href, 'application/json', { text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }));
  for (const [name, [description, fields, run]] of Object.entries(PROMPTS))
    m.registerPrompt(name, { description, ...(fields ? { argsSchema: shape(fields) } : {}) }, (a) => run(a));
}

// ---- 2025-11-25 ----

const DEFAULTS = {
  name: { type: 'string', description: 'a name', default: 'John Doe' },
  age: { type: 'integer', description: 'an age', default: 30 },
  score: { type: 'number', description: 'a score', default: 95.5 },
  status: { type: 'string', description: 'a status', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', description: 'verified', default: true },
};
const titled = (...all) => all.map((t, i) => ({ const: `value${i + 1}`, title: t }));
const ENUMS = {
  untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
  titledSingle: { type: 'string', oneOf: titled('First Option', 'Second Option', 'Third Option') },
  legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
  untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
  titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled('First Choice', 'Second Choice', 'Third Choice') } },
};

function legacyServer() {
  const m = new v1.McpServer({ name: 'reference', version: '1.0.0' }, { capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: { listChanged: true }, logging: {}, completions: {} } });
  common(m, v1.ResourceTemplate, (x) => ({ notify: x.sendNotification, signal: x.signal, token: x._meta?.progressToken }), (fields) => fields);
  const ask = async (x, message, properties, required) => {
    const r = await x.sendRequest({ method: 'elicitation/create', params: { message, requestedSchema: { type: 'object', properties, required } } }, ElicitResultSchema);
    return text(`action=${r.action}, content=${JSON.stringify(r.content ?? {})}`);
  };
  m.registerTool('test_tool_with_logging', { description: 'Three lines of log', inputSchema: {} }, async (_, x) => {
    for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) { await log({ notify: x.sendNotification }, line); await pause(50); }
    return text('Tool with logging executed successfully');
  });
  m.registerTool('test_sampling', { description: 'Asks the model', inputSchema: { prompt: z.string() } }, async (a, x) => {
    const r = await x.sendRequest({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: { type: 'text', text: a.prompt } }], maxTokens: 100 } }, CreateMessageResultSchema);
    return text(`LLM response: ${r.content.text}`);
  });
  m.registerTool('test_elicitation', { description: 'Asks a person', inputSchema: { message: z.string() } }, (a, x) => ask(x, a.message, { response: { type: 'string', description: 'the answer' } }, ['response']));
  m.registerTool('test_elicitation_sep1034_defaults', { description: 'Asks with defaults', inputSchema: {} }, (_, x) => ask(x, 'Please review', DEFAULTS, []));
  m.registerTool('test_elicitation_sep1330_enums', { description: 'Asks with enums', inputSchema: {} }, (_, x) => ask(x, 'Please select', ENUMS, []));
  m.registerTool('test_reconnection', { description: 'Ends its stream and answers on another', inputSchema: {} }, async (_, x) => { x.closeSSEStream?.(); await pause(100); return text('Reconnection test completed'); });
  // On the GET stream, not on that of the call.
  m.registerTool('shout', { description: 'A line of log on the GET stream', inputSchema: { text: z.string() } }, async (a) => { await m.server.notification({ method: 'notifications/message', params: { level: 'info', data: a.text } }); return text('shouted'); });
  m.server.setRequestHandler(SubscribeRequestSchema, () => ({}));
  m.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}));
  m.server.setRequestHandler(SetLevelRequestSchema, () => ({}));
  m.server.setRequestHandler(CompleteRequestSchema, () => ({ completion: { values: ['paris', 'park'], total: 2, hasMore: false } }));
  return m;
}

/** Events that can be sent again. */
class Events {
  all = [];
  async storeEvent(stream, message) { this.all.push({ stream, message }); return String(this.all.length - 1); }
  async getStreamIdForEventId(id) { return this.all[Number(id)]?.stream; }
  async replayEventsAfter(last, { send }) {
    const { stream } = this.all[Number(last)];
    say('resumed', { after: last });
    for (let i = Number(last) + 1; i < this.all.length; i++)
      if (this.all[i].stream === stream && Object.keys(this.all[i].message).length) await send(String(i), this.all[i].message);
    return stream;
  }
}

/** Sessions of the stateful kind. One that is deleted, or that nobody knows, is a 404. */
function stateful() {
  const sessions = new Map();
  return async (q, r, body) => {
    const id = q.headers['mcp-session-id'];
    let t = sessions.get(id);
    if (!t && id) return refuse(r, 404, 'no such session; it ended');
    if (!t) {
      t = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, eventStore: new Events(), retryInterval: 200, onsessioninitialized: (s) => sessions.set(s, t), onsessionclosed: (s) => { say('session deleted'); sessions.delete(s); } });
      await legacyServer().connect(t);
    }
    if (q.method === 'GET') { say('stream opened'); r.on('close', () => say('stream closed')); }
    await t.handleRequest(q, r, body);
  };
}

const stateless = () => async (q, r, body) => {
  if (q.method !== 'POST') return refuse(r, 405, 'POST alone');
  const t = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  const m = legacyServer();
  r.on('close', () => { t.close(); m.close(); });
  await m.connect(t);
  await t.handleRequest(q, r, body);
};

function oldest() {
  const all = new Map();
  return async (q, r, body) => {
    const u = new URL(q.url, 'http://x');
    if (q.method === 'GET' && u.pathname === '/sse') {
      const t = new SSEServerTransport('/messages', r);
      all.set(t.sessionId, t);
      r.on('close', () => { say('stream closed'); all.delete(t.sessionId); });
      await legacyServer().connect(t);
      return;
    }
    const t = all.get(u.searchParams.get('sessionId'));
    if (!t) return refuse(r, 404, 'no such session');
    await t.handlePostMessage(q, r, body);
  };
}

// ---- 2026-07-28 ----

const form = (message, properties) => ({ method: 'elicitation/create', params: { mode: 'form', message, requestedSchema: { type: 'object', properties, required: Object.keys(properties) } } });
const sample = (t, maxTokens = 100) => ({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: { type: 'text', text: t } }], maxTokens } });
const roots = { method: 'roots/list', params: {} };
const STRING = { type: 'string' };
const SCHEMA_2020 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: STRING, city: STRING } } },
  properties: { name: STRING, address: { $ref: '#/$defs/address' }, contactMethod: { type: 'string', enum: ['phone', 'email'] }, phone: STRING, email: STRING },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] }, then: { required: ['phone'] }, else: { required: ['email'] },
  additionalProperties: false,
};
const NAME = form('What is your name?', { name: STRING });

function modern() {
  const state = v2.createRequestStateCodec({ key: randomBytes(32) });
  let changed;
  /** Whatever of `wanted` has not come yet is asked for; with all of it, `done(answers)`. */
  const rounds = (wanted, done, { kept } = {}) => async (c) => {
    const got = c.mcpReq.inputResponses ?? {};
    const missing = Object.fromEntries(Object.entries(wanted).filter(([k, q]) => v2.inputResponse(got, k).kind !== { 'elicitation/create': 'elicit', 'sampling/createMessage': 'sampling', 'roots/list': 'roots' }[q.method]));
    if (Object.keys(missing).length) return v2.inputRequired({ inputRequests: missing, ...(kept ? { requestState: await state.mint(kept, c) } : {}) });
    return done(got, c);
  };
  const simple = (t) => () => text(t);
  const confirm = { confirm: form('Please confirm', { ok: { type: 'boolean' } }) };
  const needs = {
    test_input_required_result_elicitation: rounds({ user_name: NAME }, (got) => text(`Hello, ${v2.acceptedContent(got, 'user_name')?.name}!`)),
    test_input_required_result_sampling: rounds({ capital_question: sample('What is the capital of France?') }, (got) => text(JSON.stringify(got.capital_question))),
    test_input_required_result_list_roots: rounds({ client_roots: roots }, (got) => text(JSON.stringify(got.client_roots))),
    test_input_required_result_request_state: rounds(confirm, (_, c) => text(c.mcpReq.requestState()?.round === 1 ? 'state-ok' : 'state lost'), { kept: { round: 1 } }),
    test_input_required_result_multiple_inputs: rounds({ user_name: NAME, greeting: sample('Generate a greeting', 50), client_roots: roots }, simple('all there'), { kept: { round: 1 } }),
    test_input_required_result_tampered_state: rounds(confirm, simple('confirmed'), { kept: { round: 1 } }),
    test_input_required_result_multi_round: (c) => {
      const round = c.mcpReq.requestState()?.round ?? 0;
      if (round === 2) return rounds({ step2: form('Step 2: What is your favorite color?', { color: STRING }) }, simple('done'), { kept: { round: 2 } })(c);
      return rounds({ step1: form('Step 1: What is your name?', { name: STRING }) }, async () => v2.inputRequired({ inputRequests: { step2: form('Step 2: What is your favorite color?', { color: STRING }) }, requestState: await state.mint({ round: 2 }, c) }), { kept: { round: 1 } })(c);
    },
    test_input_required_result_capabilities: (c) => {
      const has = c.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};
      return rounds({ ...(has.sampling ? { a: sample('Anything') } : {}), ...(has.elicitation ? { b: NAME } : {}) }, simple('nothing to ask'))(c);
    },
    test_streaming_elicitation: async (c) => { await progress(of(c), 1, 2); return rounds({ user_name: NAME }, simple('done'))(c); },
    test_missing_capability: (c) => rounds({ a: sample('Anything') }, simple('done'))(c),
    test_trigger_tool_change: () => { changed.toolsChanged(); return text('changed'); },
    test_trigger_prompt_change: () => { changed.promptsChanged(); return text('changed'); },
  };
  const of = (x) => ({ notify: x.mcpReq.notify, signal: x.mcpReq.signal, token: x.mcpReq._meta?.progressToken, log: (t) => x.mcpReq.log('info', t) });
  const handler = v2.createMcpHandler(() => {
    const m = new v2.McpServer({ name: 'reference', version: '1.0.0' }, { capabilities: { tools: { listChanged: true }, resources: { listChanged: true }, prompts: { listChanged: true }, completions: {}, logging: {} }, requestState: { verify: state.verify } });
    common(m, v2.ResourceTemplate, of, (fields) => z.object(fields));
    for (const [name, run] of Object.entries(needs)) m.registerTool(name, { description: name, inputSchema: z.object({}) }, (_, c) => run(c));
    m.registerTool('test_header', { description: 'A header beside its argument', inputSchema: v2.fromJsonSchema({ type: 'object', properties: { region: { ...STRING, 'x-mcp-header': 'Region' } }, required: ['region'] }) }, (a) => text(a.region));
    m.registerTool('json_schema_2020_12_tool', { description: 'Tool with JSON Schema 2020-12 features', inputSchema: v2.fromJsonSchema(SCHEMA_2020) }, (a) => text(JSON.stringify(a)));
    m.registerPrompt('test_input_required_result_prompt', { description: 'Asks first' }, (c) => rounds({ user_context: form('What context should the prompt use?', { context: STRING }) }, () => user({ type: 'text', text: 'with context' }))(c));
    m.server.setRequestHandler('completion/complete', () => ({ completion: { values: ['paris', 'park'], total: 2, hasMore: false } }));
    return m;
  }, { legacy: 'reject' });
  changed = handler.notify;
  return async (q, r, body) => {
    const gone = new AbortController();
    r.on('close', () => gone.abort());
    const headers = Object.entries(q.headers).filter(([k]) => !k.startsWith(':')).flatMap(([k, v]) => [v].flat().map((x) => [k, x]));
    say('asked', { version: q.httpVersion });
    const w = await handler.fetch(new Request(`http://${q.headers.host}${q.url}`, { method: q.method, headers, signal: gone.signal, ...(['GET', 'HEAD'].includes(q.method) ? {} : { body: q.raw }) }));
    r.writeHead(w.status, Object.fromEntries(w.headers));
    r.flushHeaders();
    if (w.body) Readable.fromWeb(w.body).on('error', () => r.destroy()).pipe(r);
    else r.end();
  };
}

// ---- HTTP ----

const refuse = (r, status, message) => { r.writeHead(status, { 'content-type': 'application/json' }); r.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message } })); };
const isLocal = (h) => /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(h);

const serve = { modern, stateful, stateless, sse: oldest }[kind]?.();
if (!serve) throw new Error(`no kind ${kind}`);
const { LISTEN, TLS_CERT, TLS_KEY } = process.env;
const create = (on) => (TLS_CERT ? http2.createSecureServer({ allowHTTP1: true, cert: fs.readFileSync(TLS_CERT), key: fs.readFileSync(TLS_KEY) }, on) : http.createServer(on));
const server = create((q, r) => {
  q.headers.host ??= q.headers[':authority'];
  const parts = [];
  q.on('data', (d) => parts.push(d));
  q.on('end', async () => {
    try {
      if (!isLocal(q.headers.host ?? '') || (q.headers.origin && !isLocal(new URL(q.headers.origin).host))) return refuse(r, 403, 'this Host or Origin is not served');
      q.raw = Buffer.concat(parts);
      let body;
      if (q.raw.length && kind !== 'modern') try { body = JSON.parse(q.raw); } catch { return refuse(r, 400, 'that is no JSON'); }
      await serve(q, r, body);
    } catch (e) { say('failed', { error: String(e?.stack) }); if (!r.headersSent) refuse(r, 500, String(e)); else r.destroy(); }
  });
});
process.on('unhandledRejection', (e) => say('unhandled', { error: String(e?.stack) }));
const ready = () => process.stdout.write(`listening ${LISTEN ?? server.address().port}\n`);
if (LISTEN) server.listen(LISTEN, ready);
else server.listen(0, '127.0.0.1', ready);
