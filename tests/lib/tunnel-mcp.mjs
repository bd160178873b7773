// MCP servers of the official SDKs, and their clients, for what stands between them: every server has the same tools, and
// counts what it was asked in `seen`.
import http from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer as McpServer2, createMcpHandler } from '@modelcontextprotocol/server';
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';
import { z } from 'zod';
import { callerSocket } from './tunnel.mjs';

const text = (s) => ({ content: [{ type: 'text', text: s }] });

function withTools(server, calls) {
  const tool = (name, schema, fn) => server.registerTool(name, { description: `the tool ${name}`, inputSchema: z.object(schema) },
    async (a, extra) => { calls.push({ name, arguments: a }); return fn(a, extra); });
  tool('search', { q: z.string() }, async ({ q }) => text(`found ${q}`));
  tool('get_page', { id: z.number(), project: z.string().optional() }, async ({ id }) => text(`page ${id}`));
  tool('delete_page', { id: z.number() }, async () => text('gone'));
  tool('close_ticket', { id: z.number() }, async () => text('closed'));
  tool('big', { n: z.number() }, async ({ n }) => text('x'.repeat(n)));
  // Waits until the test says so; tells progress meanwhile.
  tool('slow', { steps: z.number(), ms: z.number() }, async ({ steps, ms }, extra) => {
    const token = extra._meta?.progressToken ?? extra.mcpReq?._meta?.progressToken;
    const notify = extra.sendNotification ?? extra.mcpReq?.notify;
    for (let i = 1; i <= steps; i++) {
      await new Promise((ok) => setTimeout(ok, ms));
      if (token !== undefined) await notify({ method: 'notifications/progress', params: { progressToken: token, progress: i, total: steps } });
    }
    return text('at last');
  });
  return server;
}

async function listen(s, answer) {
  s.calls = []; s.seen = [];
  s.server = http.createServer((q, r) => {
    const parts = [];
    q.on('data', (d) => parts.push(d)).on('end', () => {
      const raw = Buffer.concat(parts).toString();
      let body;
      try { body = JSON.parse(raw); } catch { /* none */ }
      s.seen.push({ method: q.method, url: q.url, headers: q.headers, raw, body });
      Promise.resolve(answer(q, r, body, raw)).catch((e) => { r.writeHead(500); r.end(String(e)); });
    });
  });
  await new Promise((ok) => s.server.listen(0, '127.0.0.1', ok));
  s.port = s.server.address().port;
  s.stop = () => { s.server.closeAllConnections(); s.server.close(); };
  return s;
}

/** SDK 1.x, with sessions. */
export async function sdk1Server({ enableJsonResponse = false } = {}) {
  const sessions = new Map(), s = {};
  return listen(s, async (q, r, body) => {
    const id = q.headers['mcp-session-id'];
    if (id && sessions.has(id)) return sessions.get(id).handleRequest(q, r, body);
    const t = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, enableJsonResponse, onsessioninitialized: (n) => sessions.set(n, t) });
    await withTools(new McpServer({ name: 'sdk1', version: '1.0.0' }), s.calls).connect(t);
    return t.handleRequest(q, r, body);
  });
}

/** SDK 2.x: 2026-07-28 alone. */
export async function sdk2Server() {
  const s = {};
  const handler = createMcpHandler(() => withTools(new McpServer2({ name: 'sdk2', version: '2.0.0' }), s.calls), { legacy: 'reject' });
  return listen(s, async (q, r, body, raw) => {
    const gone = new AbortController();
    r.on('close', () => gone.abort());
    const a = await handler.fetch(new Request(`http://127.0.0.1${q.url}`, { method: q.method, headers: q.headers, signal: gone.signal, ...(q.method === 'POST' ? { body: raw } : {}) }));
    r.writeHead(a.status, Object.fromEntries(a.headers));
    r.flushHeaders();
    if (a.body) for await (const part of a.body) r.write(part);
    r.end();
  });
}

/** A server whose every answer the test writes. */
export const standIn = (answer) => listen({}, answer);

/** fetch through the ingress, for the transports of the SDKs. */
export const fetchThrough = (s, t, extra = {}) => (url, init = {}) => new Promise((ok, no) => {
  const u = new URL(url), headers = { ...Object.fromEntries(new Headers(init.headers)), host: u.host, ...extra };
  const q = https.request({ method: init.method ?? 'GET', path: u.pathname + u.search, headers,
    createConnection: (o, done) => { callerSocket(s, t, u.hostname).then((k) => done(null, k), done); } }, (r) => {
    const body = [204, 304].includes(r.statusCode) ? null : Readable.toWeb(r);
    ok(new Response(body, { status: r.statusCode, headers: Object.entries(r.headers).map(([k, v]) => [k, String(v)]) }));
  });
  q.on('error', no);
  init.signal?.addEventListener('abort', () => q.destroy(new Error('aborted')), { once: true });
  q.end(init.body ?? undefined);
});

export async function sdk1Client(s, t, host, options = {}) {
  const c = new Client1({ name: 'c1', version: '1' });
  await c.connect(new Transport1(new URL(`https://${host}/mcp`), { fetch: fetchThrough(s, t), ...options }));
  return c;
}
export async function sdk2Client(s, t, host, options = {}) {
  const c = new Client2({ name: 'c2', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await c.connect(new Transport2(new URL(`https://${host}/mcp`), { fetch: fetchThrough(s, t), ...options }));
  return c;
}
