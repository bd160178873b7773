// MCP servers for tests, of the official SDKs: 1.x with sessions, without them, and over HTTP+SSE; 2.x, which speaks 2026-07-28.
// And a stand-in whose every answer a test writes. All listen on loopback; each has `url`, `requests` and `close`.
import http from 'node:http';
import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { McpServer as McpServer2, createMcpHandler } from '@modelcontextprotocol/server';
import { z } from 'zod';

/** `answer(req, res, body)` serves one request; `body` is the JSON, or the text where it is none. */
export async function mcpStandIn(answer, { path = '/mcp' } = {}) {
  const s = { requests: [], closed: 0 };
  s.server = http.createServer((req, res) => {
    let text = '';
    req.setEncoding('utf8').on('data', (d) => { text += d; }).on('end', () => {
      let body = text;
      try { body = JSON.parse(text); } catch { /* as text */ }
      s.requests.push({ http: req.method, url: req.url, headers: req.headers, body });
      res.on('close', () => { if (!res.writableFinished) s.closed++; });
      answer(req, res, body, s);
    });
  });
  await new Promise((r) => s.server.listen(0, '127.0.0.1', r));
  s.origin = `http://127.0.0.1:${s.server.address().port}`;
  s.url = s.origin + path;
  s.methods = () => s.requests.map((r) => (r.http === 'POST' ? r.body.method ?? 'answer' : r.http));
  s.close = () => new Promise((r) => { s.server.close(r); s.server.closeAllConnections(); });
  return s;
}

export const json = (res, status, body, headers = {}) => {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify(body));
};
export const result = (id, value) => ({ jsonrpc: '2.0', id, result: value });
export const error = (id, code, message, data) => ({ jsonrpc: '2.0', id, error: { code, message, ...(data ? { data } : {}) } });
export const event = (message, id) => `${id ? `id: ${id}\n` : ''}event: message\ndata: ${JSON.stringify(message)}\n\n`;

/** The same three tools for every SDK: echo, add (with progress), fail. */
function withTools(server) {
  server.registerTool('echo', { description: 'says it again', inputSchema: z.object({ text: z.string() }) },
    async ({ text }) => ({ content: [{ type: 'text', text: `echo: ${text}` }] }));
  server.registerTool('add', { description: 'adds', inputSchema: z.object({ a: z.number(), b: z.number() }) },
    async ({ a, b }, extra) => {
      const token = extra._meta?.progressToken ?? extra.mcpReq?._meta?.progressToken;
      const notify = extra.sendNotification ?? extra.mcpReq?.notify;
      if (token !== undefined && notify)
        await notify({ method: 'notifications/progress', params: { progressToken: token, progress: 1, total: 2, message: 'half' } });
      return { content: [{ type: 'text', text: String(a + b) }] };
    });
  server.registerTool('fail', { description: 'fails', inputSchema: z.object({}) },
    async () => ({ isError: true, content: [{ type: 'text', text: 'it broke' }] }));
  return server;
}
const sdk1 = () => withTools(new McpServer({ name: 'sdk1', version: '1.0.0' }));

/** SDK 1.x with sessions. `forget()` drops them all, as a restart does. */
export async function sdkStateful() {
  const sessions = new Map();
  const s = await mcpStandIn(async (req, res, body) => {
    const id = req.headers['mcp-session-id'];
    if (id && !sessions.has(id)) return json(res, 404, error(null, -32001, 'Session not found'));
    if (id) return sessions.get(id).handleRequest(req, res, body || undefined);
    const t = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (n) => sessions.set(n, t) });
    await sdk1().connect(t);
    return t.handleRequest(req, res, body || undefined);
  });
  return Object.assign(s, { sessions, forget: () => sessions.clear() });
}

/** SDK 1.x without sessions: a server for each request. */
export const sdkStateless = () => mcpStandIn(async (req, res, body) => {
  const t = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await sdk1().connect(t);
  return t.handleRequest(req, res, body || undefined);
});

/** SDK 1.x over HTTP+SSE of 2024-11-05: nothing but GET /sse and POST /messages. */
export async function sdkSse() {
  const sessions = new Map();
  return mcpStandIn(async (req, res, body) => {
    const u = new URL(req.url, 'http://x');
    if (req.method === 'GET' && u.pathname === '/sse') {
      const t = new SSEServerTransport('/messages', res);
      sessions.set(t.sessionId, t);
      return sdk1().connect(t);
    }
    const t = req.method === 'POST' && u.pathname === '/messages' && sessions.get(u.searchParams.get('sessionId'));
    if (!t) { res.writeHead(404); return res.end('no such thing'); }
    return t.handlePostMessage(req, res, body);
  }, { path: '/sse' });
}

/** SDK 2.x. `legacy`: 'reject' (2026-07-28 alone) or 'stateless' (both). */
export async function sdkModern({ legacy = 'reject' } = {}) {
  const handler = createMcpHandler(() => withTools(new McpServer2({ name: 'sdk2', version: '2.0.0' })), { legacy });
  const s = await mcpStandIn(async (req, res, body) => {
    const gone = new AbortController();
    res.on('close', () => gone.abort());
    const r = await handler.fetch(new Request(`http://127.0.0.1${req.url}`, {
      method: req.method, headers: req.headers, signal: gone.signal, ...(req.method === 'POST' ? { body: JSON.stringify(body) } : {}),
    }));
    res.writeHead(r.status, Object.fromEntries(r.headers));
    if (r.body) for await (const part of r.body) res.write(part);
    res.end();
  });
  const close = s.close;
  return Object.assign(s, { close: async () => { await handler.close(); await close(); } });
}
