// A local server that speaks the wire format of the Messages API (POST /v1/messages, streaming), so
// that the anthropic provider is tested against the real shape of good, cut, malformed, slow and
// refusing answers. Each request is answered by the next queued behaviour, else by `fallback`.
// `requests` records what came in: {headers, body, at, aborted}.
import http from 'node:http';
import zlib from 'node:zlib';
import crypto from 'node:crypto';

const id = (p) => `${p}_${crypto.randomBytes(9).toString('hex')}`;
const wait = (t) => new Promise((r) => setTimeout(r, t));
const split = (text, n) => {
  const s = [...text];   // by characters: the API cuts no character in two, only bytes on the wire are
  const out = [];
  const step = Math.max(1, Math.ceil(s.length / Math.max(1, n)));
  for (let i = 0; i < s.length; i += step) out.push(s.slice(i, i + step).join(''));
  return out.length ? out : [''];
};

/** Content blocks. */
export const textBlock = (text) => ({ type: 'text', text });
export const thinkingBlock = (thinking, signature = 'c2lnbmF0dXJl') => ({ type: 'thinking', thinking, signature });
export const toolBlock = (name, input, toolId = id('toolu')) => ({ type: 'tool_use', id: toolId, name, input });
/** A call whose input is this text, JSON or not. */
export const rawToolBlock = (name, text) => ({ ...toolBlock(name, {}), text });

/**
 * The frames of one good answer: a list of [event, data]. `pieces` splits every block, `usage` and
 * `stop_reason` are what message_delta reports.
 */
export function frames(blocks, { pieces = 3, stop_reason, stop_details = null, usage = {}, model = 'mock-model', ping = true } = {}) {
  const out = [];
  const put = (type, data) => out.push([type, { type, ...data }]);
  const u = { input_tokens: 11, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1, ...usage };
  put('message_start', { message: { id: id('msg'), type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage: { ...u, output_tokens: 1 } } });
  if (ping) put('ping', {});
  blocks.forEach((b, index) => {
    if (b.type === 'text') {
      put('content_block_start', { index, content_block: { type: 'text', text: '' } });
      for (const t of split(b.text, pieces)) put('content_block_delta', { index, delta: { type: 'text_delta', text: t } });
    } else if (b.type === 'thinking') {
      put('content_block_start', { index, content_block: { type: 'thinking', thinking: '', signature: '' } });
      for (const t of split(b.thinking, pieces)) put('content_block_delta', { index, delta: { type: 'thinking_delta', thinking: t } });
      if (b.signature) put('content_block_delta', { index, delta: { type: 'signature_delta', signature: b.signature } });
    } else if (b.type !== 'tool_use') {   // whole, in its start
      put('content_block_start', { index, content_block: b });
      for (const delta of b.deltas ?? []) put('content_block_delta', { index, delta });
    } else {
      put('content_block_start', { index, content_block: { type: 'tool_use', id: b.id, name: b.name, input: {} } });
      put('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: '' } });
      for (const t of split(b.text ?? JSON.stringify(b.input), pieces)) put('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: t } });
    }
    put('content_block_stop', { index });
  });
  const stop = stop_reason ?? (blocks.some((b) => b.type === 'tool_use') ? 'tool_use' : 'end_turn');
  put('message_delta', { delta: { stop_reason: stop, stop_details, stop_sequence: null }, usage: { output_tokens: u.output_tokens > 1 ? u.output_tokens : 7 } });
  put('message_stop', {});
  return out;
}

const wire = ([event, data]) => `event: ${event}\ndata: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;

// ---- behaviours: async (res, req) => void ------------------------------------------------------

const head = (res, status = 200, headers = {}) => res.writeHead(status, { 'content-type': 'text/event-stream; charset=utf-8', 'request-id': id('req'), ...headers });

/** A good stream. `delay` ms between frames; `bytes` writes the stream in chunks of that many bytes. */
export const good = (blocks, opts = {}) => async (res) => {
  head(res);
  const all = frames(typeof blocks === 'string' ? [textBlock(blocks)] : blocks, opts);
  if (opts.bytes) {
    const whole = Buffer.from(all.map(wire).join(''));
    for (let i = 0; i < whole.length; i += opts.bytes) { res.write(whole.subarray(i, i + opts.bytes)); await new Promise(setImmediate); }
  } else for (const f of all) { if (opts.delay) await wait(opts.delay); if (res.destroyed) return; res.write(wire(f)); }
  res.end();
};

/** A good answer in which `char` is these bytes instead. */
export const replaced = (blocks, char, bytes) => async (res) => {
  head(res);
  const [first, ...rest] = frames(blocks, { pieces: 1 }).map(wire).join('').split(char).map((x) => Buffer.from(x));
  res.end(Buffer.concat([first, ...rest.flatMap((x) => [Buffer.from(bytes), x])]));
};

/** A good answer in a content encoding that nobody asked for. */
export const encoded = (blocks, encoding) => async (res) => {
  const how = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync, zstd: zlib.zstdCompressSync }[encoding] ?? ((x) => x);
  head(res, 200, { 'content-encoding': encoding });
  res.end(how(Buffer.from(frames(blocks).map(wire).join(''))));
};

/** A status with a body of any type, as a proxy in front of the API gives it. */
export const page = (status, type, body, headers = {}) => async (res) => { res.writeHead(status, { 'content-type': type, ...headers }); res.end(body); };

/** An error status with the API's own error body. */
export const fail = (status, type, { retryAfter, message = `mock ${status}`, headers = {} } = {}) => async (res) => {
  res.writeHead(status, { 'content-type': 'application/json', 'request-id': id('req'), ...(retryAfter !== undefined ? { 'retry-after': String(retryAfter) } : {}), ...headers });
  res.end(JSON.stringify({ type: 'error', error: { type, message }, request_id: id('req') }));
};
export const tooMany = (retryAfter) => fail(429, 'rate_limit_error', { retryAfter });
export const overloaded = () => fail(529, 'overloaded_error');
export const broken = () => fail(500, 'api_error');
export const badRequest = (message = 'messages.0: mock says no') => fail(400, 'invalid_request_error', { message });
export const unauthorised = () => fail(401, 'authentication_error', { message: 'invalid x-api-key' });

/** The first `n` frames of a good stream, then the connection is torn down. */
export const cut = (blocks, n, { clean = false } = {}) => async (res) => {
  head(res);
  for (const f of frames(typeof blocks === 'string' ? [textBlock(blocks)] : blocks).slice(0, n)) res.write(wire(f));
  await wait(20);
  if (clean) res.end(); else res.destroy();
};

/** A stream that reports an error in the middle, as the API does when it is overloaded. */
export const errorFrame = (type = 'overloaded_error', after = 3) => async (res) => {
  head(res);
  for (const f of frames([textBlock('half an ans')]).slice(0, after)) res.write(wire(f));
  res.write(wire(['error', { type: 'error', error: { type, message: `mock ${type}` } }]));
  res.end();
};

/** Bytes that are no valid stream. */
export const malformed = (kind) => async (res) => {
  head(res);
  const ok = frames([textBlock('abc')]);
  const send = (...fs) => { for (const f of fs) res.write(wire(f)); };
  switch (kind) {
    case 'json': send(ok[0], ['content_block_start', '{"type":"content_block_start","index":0,']); break;
    case 'order': send(...ok.slice(2)); break;                                          // no message_start
    case 'index': send(ok[0], ['content_block_delta', { type: 'content_block_delta', index: 7, delta: { type: 'text_delta', text: 'x' } }]); break;
    case 'double-start': send(ok[0], ok[0]); break;
    case 'no-stop': send(...ok.slice(0, -2)); break;                                    // neither message_delta nor message_stop
    case 'tool-json': send(ok[0],
      ['content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 'toolu_x', name: 'bash', input: {} } }],
      ['content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{"command": "echo' } }],
      ['content_block_stop', { type: 'content_block_stop', index: 0 }],
      ['message_delta', { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 3 } }],
      ['message_stop', { type: 'message_stop' }]); break;
    case 'binary': res.write(Buffer.from([0, 1, 2, 255, 254, 10, 10, 0])); break;
    case 'deep': send(['message_start', `{"type":"message_start","x":${'['.repeat(5000)}${']'.repeat(5000)}}`]); break;
    default: throw new Error(`unknown kind ${kind}`);
  }
  res.end();
};

export const wrongType = () => async (res) => { res.writeHead(200, { 'content-type': 'text/html' }); res.end('<html>captive portal</html>'); };
/** Never answers; the request is held until the client goes away. */
export const never = () => (res) => new Promise((r) => res.on('close', r));
/** Head and first frames, then silence. */
export const stall = (n = 3) => async (res) => { head(res); for (const f of frames([textBlock('to be continued')]).slice(0, n)) res.write(wire(f)); await new Promise((r) => res.on('close', r)); };
/** One endless line, or endless frames, until the client hangs up. */
export const huge = (kind = 'line') => async (res) => {
  head(res);
  const block = kind === 'line' ? Buffer.alloc(1 << 20, 0x61) : Buffer.from(wire(['content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(1 << 16) } }]));
  if (kind === 'line') res.write('event: message_start\ndata: {"type":"message_start","x":"');
  else for (const f of frames([textBlock('')]).slice(0, 3)) res.write(wire(f));
  for (let i = 0; i < 1024 && !res.destroyed; i++) if (!res.write(block)) await Promise.race([new Promise((r) => res.once('drain', r)), new Promise((r) => res.once('close', r))]);
  res.end();
};
export const redirect = (to) => async (res) => { res.writeHead(307, { location: to }); res.end(); };

// ---- the server ---------------------------------------------------------------------------------

export async function startMessagesApi() {
  const m = { requests: [], queue: [], fallback: good('the default answer') };
  m.server = http.createServer((req, res) => {
    const chunks = [];
    req.on('data', (d) => chunks.push(d));
    req.on('end', async () => {
      const rec = { method: req.method, path: req.url, headers: req.headers, at: Date.now(), aborted: false };
      try { rec.body = JSON.parse(Buffer.concat(chunks).toString()); } catch { rec.raw = Buffer.concat(chunks).toString(); }
      res.on('close', () => { rec.aborted = !res.writableFinished; rec.closedAt = Date.now(); });
      m.requests.push(rec);
      const act = m.queue.shift() ?? m.fallback;
      try { await act(res, rec); } catch (e) { m.error = e; res.destroy(); }
    });
    req.on('error', () => {});
    res.on('error', () => {});
  });
  await new Promise((r) => m.server.listen(0, '127.0.0.1', r));
  m.url = `http://127.0.0.1:${m.server.address().port}`;
  /** Queues behaviours for the next requests. */
  m.next = (...acts) => { m.queue.push(...acts); return m; };
  m.reset = () => { m.queue = []; m.requests.length = 0; m.fallback = good('the default answer'); };
  m.stop = () => new Promise((r) => { m.server.closeAllConnections(); m.server.close(r); });
  return m;
}
