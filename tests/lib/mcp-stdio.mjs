// Programs that speak MCP over standard input and output, for routes with `command`; and the route that runs one.
//   node mcp-stdio.mjs KIND [ARGUMENT]
// KIND says what it does wrong, if anything. What it hears it writes to standard error, one line of `heard METHOD` each.
//   legacy     a server of the older revisions: echo, count, ask, say, steps, wait, big, where, get, socket
//   modern     an official one of both eras (SDK 2.x, serveStdio)
//   dies, dies-once FILE, hangs, garbage, gigantic, unknown, twice, slow, floods, deaf, stays
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(import.meta.url);
export const TESTS = path.dirname(path.dirname(here));

/** A route that runs this file. `more`: of the route; `sandbox`: of its sandbox. */
export const stdioRoute = (kind, { args = [], sandbox = {}, node = process.execPath, ...more } = {}) => {
  const binds = [TESTS, path.dirname(node), ...(sandbox.binds ?? [])].filter((d, i, all) => !d.startsWith('/usr/') && all.indexOf(d) === i);
  return { command: [node, here, kind, ...args], sandbox: { ...sandbox, binds }, ...more };
};
/** One that runs a package's program. */
export const packageRoute = (name, args = [], more = {}) => {
  const r = stdioRoute('none', more);
  r.command = [r.command[0], path.join(TESTS, 'node_modules', name), ...args];
  return r;
};

// ---- as a program ----

const kind = process.argv[1] === here ? process.argv[2] : undefined, argument = process.argv[3];
const send = (m) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...m })}\n`);
const text = (t) => ({ content: [{ type: 'text', text: t }] });
const pause = (n) => new Promise((ok) => { setTimeout(ok, n); });
let count = 0, asked = 0, before = [];
const waiting = new Map();

const TOOLS = {
  echo: (a) => text(a.text),
  // Which process it is, and how often it was called.
  count: () => text(`${process.pid} ${++count}`),
  ids: (a, m) => text(`${JSON.stringify(m.id)} ${JSON.stringify(m.params._meta?.progressToken ?? null)} ${JSON.stringify(before)}`),
  ask: (a, m) => { const id = `of-the-server-${++asked}`; waiting.set(id, (r) => send({ id: m.id, result: text(JSON.stringify(r.result ?? r.error)) })); send({ id, method: a.method ?? 'roots/list', params: a.params }); },
  say: (a) => { send({ method: 'notifications/message', params: { level: 'info', data: a.text } }); return text('said'); },
  changed: () => { send({ method: 'notifications/tools/list_changed' }); return text('told'); },
  steps: async (a, m) => {
    for (let i = 1; i <= a.n; i++) { send({ method: 'notifications/progress', params: { progressToken: m.params._meta?.progressToken, progress: i, total: a.n } }); await pause(a.ms ?? 20); }
    return text(`${a.n} steps`);
  },
  wait: () => new Promise(() => {}),
  fill: (a) => { const all = []; for (let i = 0; i < a.n; i++) all.push(Buffer.alloc(1 << 20, i)); return text(`${all.length}`); },
  big: (a) => text('x'.repeat(a.n)),
  exact: (a, m) => { process.stdout.write(`{"jsonrpc":"2.0","result":{"content":[],"n":1.0,"big":123456789012345678901,"s":"\\u00e9\\/"},"id":${JSON.stringify(m.id)}}\n`); },
  where: () => text(JSON.stringify({ cwd: process.cwd(), env: process.env, argv: process.argv.slice(2) })),
  read: (a) => { try { return text(fs.readFileSync(a.path, 'utf8')); } catch (e) { return { ...text(e.code), isError: true }; } },
  // What the sandbox lets it have: a page of a host, with the credential of $TOKEN; a Unix socket of the machine.
  get: async (a) => { try { const r = await fetch(a.url, { headers: { authorization: `Bearer ${process.env.TOKEN}` } }); return text(JSON.stringify({ token: process.env.TOKEN, status: r.status, body: await r.text() })); } catch (e) { return { ...text(`${e.cause?.code ?? e}`), isError: true }; } },
  socket: (a) => new Promise((ok) => { net.connect(a.path).on('data', (d) => ok(text(String(d)))).on('error', (e) => ok({ ...text(e.code), isError: true })); }),
  die: () => process.exit(3),
};

async function legacy(m) {
  if (m.method === 'initialize') return { protocolVersion: m.params.protocolVersion, capabilities: { tools: { listChanged: true }, logging: {}, resources: { subscribe: true } }, serverInfo: { name: 'scripted', version: '1' } };
  if (m.method === 'ping') return {};
  if (m.method === 'tools/list') return { tools: Object.keys(TOOLS).map((name) => ({ name, description: name, inputSchema: { type: 'object' } })) };
  if (m.method === 'tools/call') return TOOLS[m.params.name](m.params.arguments ?? {}, m);
  return undefined;
}

async function hear(m) {
  process.stderr.write(`heard ${m.method ?? 'answer'}${m.params?.requestId !== undefined ? ` ${JSON.stringify(m.params.requestId)}` : ''}\n`);
  if (m.method === undefined) { waiting.get(m.id)?.(m); waiting.delete(m.id); return; }
  before.push(m.method);
  if (m.id === undefined) return;
  if (kind === 'dies') process.exit(1);
  if (kind === 'hangs') return;
  if (kind === 'slow') await pause(Number(argument));
  if (m.method === 'server/discover') { send({ id: m.id, error: { code: -32601, message: 'Method not found' } }); return; }
  const call = m.method === 'tools/call';
  if (call && kind === 'garbage') { process.stdout.write('Server started!\n{"jsonrpc":"1.0"}\nnull\n\n[1]\n'); }
  if (call && kind === 'gigantic') { for (;;) if (!process.stdout.write('x'.repeat(1 << 20))) await new Promise((ok) => { process.stdout.once('drain', ok); }); }
  if (call && kind === 'unknown') { for (const id of [0, 999, -1, 1e300, null, '1', String(m.id), [m.id]]) send({ id, result: text('not yours') }); }
  if (call && kind === 'floods') { for (let i = 0; ; i++) if (!process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: m.params._meta?.progressToken, progress: i, message: 'x'.repeat(500) } })}\n`)) await new Promise((ok) => { process.stdout.once('drain', ok); }); }
  const result = await legacy(m);
  if (result) send({ id: m.id, result });
  else if (!call) send({ id: m.id, error: { code: -32601, message: 'Method not found' } });
  if (call && kind === 'twice') send({ id: m.id, result: text('a second time') });
}

if (kind === 'modern') {
  const { McpServer } = await import('@modelcontextprotocol/server');
  const { serveStdio } = await import('@modelcontextprotocol/server/stdio');
  const { z } = await import('zod');
  serveStdio(() => {
    const s = new McpServer({ name: 'modern', version: '2' }, { capabilities: { tools: { listChanged: true } } });
    s.registerTool('echo', { description: 'says it again', inputSchema: z.object({ text: z.string() }) }, async (a) => text(a.text));
    s.registerTool('count', { description: 'which process', inputSchema: z.object({}) }, async () => text(`${process.pid} ${++count}`));
    s.registerTool('steps', { description: 'progress', inputSchema: z.object({ n: z.number() }) }, async (a, x) => {
      for (let i = 1; i <= a.n; i++) { await x.mcpReq.notify({ method: 'notifications/progress', params: { progressToken: x.mcpReq._meta?.progressToken, progress: i, total: a.n } }); await pause(20); }
      return text(`${a.n} steps`);
    });
    s.registerTool('wait', { description: 'until it is cancelled', inputSchema: z.object({}) }, async (a, x) => {
      process.stderr.write(`waits ${Date.now()}\n`);
      await new Promise((ok) => { x.mcpReq.signal.addEventListener('abort', ok); });
      process.stderr.write(`cancelled ${Date.now()}\n`);
      return text('cancelled');
    });
    s.registerTool('more', { description: 'adds a tool', inputSchema: z.object({ name: z.string() }) }, async (a) => { s.registerTool(a.name, { description: 'new', inputSchema: z.object({}) }, async () => text('new')); return text('added'); });
    return s;
  });
} else if (kind && kind !== 'deaf') {
  if (kind === 'stays') { process.on('SIGTERM', () => process.stderr.write('not yet\n')); setInterval(() => {}, 1000); }
  if (kind === 'dies-once' && !fs.existsSync(argument)) { fs.writeFileSync(argument, ''); process.exit(1); }
  let rest = '';
  process.stdin.setEncoding('utf8').on('data', (d) => {
    const lines = (rest + d).split('\n');
    rest = lines.pop();
    for (const line of lines) hear(JSON.parse(line));
  });
  process.stdin.on('end', () => { process.stderr.write('end of input\n'); });
} else if (kind === 'deaf') setInterval(() => {}, 1000);
