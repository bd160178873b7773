// Tasks through the gateway: under the rules of the tool that made them, for the caller that made them, at the server that made them.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { InMemoryTaskMessageQueue, InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { authority } from '../lib/egress.mjs';
import { tempDir, until } from '../lib/own.mjs';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { sdk1Client, standIn } from '../lib/tunnel-mcp.mjs';

const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const MODERN = '2026-07-28';
let s, t, g, official, odd, log, staff, caFile, answer;

/** SDK 1.x with a tool that is a task: it is over when the test says so. */
async function taskServer() {
  const store = new InMemoryTaskStore(), sessions = new Map(), x = { seen: [] };
  const make = () => {
    const m = new McpServer({ name: 'tasks', version: '1' }, { capabilities: { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }, taskStore: store, taskMessageQueue: new InMemoryTaskMessageQueue() });
    m.experimental.tasks.registerToolTask('report', { description: 'a report', inputSchema: { n: z.number() }, execution: { taskSupport: 'required' } }, {
      createTask: async ({ n }, extra) => {
        const task = await extra.taskStore.createTask({ ttl: 600000, pollInterval: 20 });
        x.finish = () => extra.taskStore.storeTaskResult(task.taskId, 'completed', { content: [{ type: 'text', text: 'r'.repeat(n) }] });
        return { task };
      },
      getTask: async (_, extra) => extra.taskStore.getTask(extra.taskId),
      getTaskResult: async (_, extra) => extra.taskStore.getTaskResult(extra.taskId),
    });
    return m;
  };
  x.server = http.createServer((q, r) => {
    const parts = [];
    q.on('data', (d) => parts.push(d)).on('end', async () => {
      const body = parts.length ? JSON.parse(Buffer.concat(parts)) : undefined;
      x.seen.push(body);
      const id = q.headers['mcp-session-id'];
      if (id && sessions.has(id)) return sessions.get(id).handleRequest(q, r, body);
      const tr = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (n) => sessions.set(n, tr) });
      await make().connect(tr);
      return tr.handleRequest(q, r, body);
    });
  });
  await new Promise((ok) => x.server.listen(0, '127.0.0.1', ok));
  x.port = x.server.address().port;
  x.stop = () => { x.server.closeAllConnections(); x.server.close(); };
  return x;
}

const at = (x, more) => ({ upstream: `http://127.0.0.1:${x.port}`, ...more });
const routes = (tools = { deny: ['delete_*'] }) => ({
  official: at(official, { tools, limits: { result_bytes: '4KiB' } }),
  odd: at(odd, { tools }),
  free: at(odd),
});
const host = (name) => `${name}.${t.domain}`;
const json = (r, id, more) => { r.setHeader('content-type', 'application/json'); r.end(JSON.stringify({ jsonrpc: '2.0', id, ...more })); };
let id = 100;
const msg = (method, params) => ({ jsonrpc: '2.0', id: id++, method, params });
const head = (m) => ({ ...JSON_TYPE, ...(m.params._meta ? { 'mcp-protocol-version': MODERN, 'mcp-method': m.method, 'mcp-name': m.params.name ?? m.params.taskId } : {}) });
const meta = { _meta: { 'io.modelcontextprotocol/protocolVersion': MODERN } };
const post = async (name, m, more = {}) => {
  const r = await call(s, t, host(name), { method: 'POST', path: '/mcp', headers: { ...head(m), ...more.headers }, body: JSON.stringify(m) });
  return { ...r, json: JSON.parse(r.text) };
};
const rule = (r) => r.json.error?.data?.gateway_failure?.rule;
const records = () => fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => JSON.parse(l));
const reread = async (r) => {
  const n = (g.proc.err.match(/msg="files read anew"/g) ?? []).length;
  g.write(r);
  g.proc.kill('SIGHUP');
  await until('the files are read anew', () => (g.proc.err.match(/msg="files read anew"/g) ?? []).length > n);
};

before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  official = await taskServer();
  odd = await standIn((q, r, body, raw) => answer(q, r, body, raw));
  log = path.join(tempDir('tasks'), 'audit.jsonl');
  g = await startGateway(s, t, routes(), { config: { audit: { file: log } } });
});
after(async () => { await g?.stop(); await s?.stop(); official?.stop(); odd?.stop(); });

/** A stand-in that makes tasks in either form and answers what is asked of them. */
const tasks = (made, more = {}) => (q, r, body) => {
  if (body.method !== 'tools/call') return json(r, body.id, { result: { taskId: body.params.taskId, status: 'completed', ...more } });
  return json(r, body.id, { result: made });
};
const FORMS = {
  '2025-11-25': [(n) => ({ task: { taskId: n, status: 'working', ttl: 60000, createdAt: 'x', lastUpdatedAt: 'x' } }), {}, ['tasks/get', 'tasks/result']],
  '2026-07-28': [(n) => ({ resultType: 'task', taskId: n, status: 'working', ttlMs: 60000 }), meta, ['tasks/get', 'tasks/update']],
};

test('the official server and client: a task is made, fetched and named in the record; a disconnect does not end it', async () => {
  const c = await sdk1Client(s, t, host('official'));
  try {
    const stream = c.experimental.tasks.callToolStream({ name: 'report', arguments: { n: 100 } }, undefined, { task: { ttl: 600000 } });
    let made, text;
    for await (const m of stream) {
      if (m.type === 'taskCreated') { made = m.task.taskId; setTimeout(() => official.finish(), 50); }
      if (m.type === 'result') text = m.result.content[0].text;
      if (m.type === 'error') throw m.error;
    }
    assert.equal(text, 'r'.repeat(100));
    const of = (method) => records().filter((l) => l.method === method && l.note?.includes(made));
    await until('the records', () => of('tasks/result').length === 1 && of('tools/call').length === 1);
    assert.deepEqual([of('tasks/result')[0].tool, of('tools/call')[0].tool, of('tasks/result')[0].verdict], ['report', 'report', 'allow']);
    // One that waits for the result leaves: the task goes on, and its result is there for who asks again.
    const next = c.experimental.tasks.callToolStream({ name: 'report', arguments: { n: 50 } }, undefined, { task: { ttl: 600000 } });
    const second = (await next.next()).value.task.taskId;
    const gone = new AbortController();
    const waits = assert.rejects(c.experimental.tasks.getTaskResult(second, CallToolResultSchema, { signal: gone.signal }));
    await until('the server was asked', () => official.seen.some((b) => b?.method === 'tasks/result' && b.params.taskId === second));
    gone.abort();
    await waits;
    assert.equal((await c.experimental.tasks.getTask(second)).status, 'working');
    await official.finish();
    assert.equal((await c.experimental.tasks.getTaskResult(second, CallToolResultSchema)).content[0].text, 'r'.repeat(50));
    assert.equal(official.seen.filter((b) => b?.method === 'tasks/cancel').length, 0);
    // A result that is fetched later has no more room than one that comes at once.
    const third = c.experimental.tasks.callToolStream({ name: 'report', arguments: { n: 5000 } }, undefined, { task: { ttl: 600000 } });
    const big = (await third.next()).value.task.taskId;
    await official.finish();
    await assert.rejects(c.experimental.tasks.getTaskResult(big, CallToolResultSchema), (e) => e.data?.gateway_failure?.rule === 'limits.result_bytes');
  } finally { await c.close(); }
});

for (const [form, [made, extra, methods]] of Object.entries(FORMS)) {
  test(`${form}: a task of a tool that is denied meanwhile is refused, and may be cancelled`, async () => {
    const n = `task-${form}`;
    answer = tasks(made(n));
    assert.ok((await post('odd', msg('tools/call', { name: 'search', arguments: {}, ...extra }))).json.result);
    for (const m of methods) assert.equal((await post('odd', msg(m, { taskId: n, ...extra }))).json.result?.status, 'completed', m);
    await reread(routes({ deny: ['search'] }));
    const before = odd.seen.length;
    for (const m of methods) {
      const r = await post('odd', msg(m, { taskId: n, ...extra }));
      assert.equal(r.status, 200);
      assert.equal(rule(r), 'tools.deny: search', r.text);
      assert.match(r.json.error.message, /"search" here, which has made this task/);
    }
    assert.equal(odd.seen.length, before, 'the server was not asked');
    assert.ok((await post('odd', msg('tasks/cancel', { taskId: n, ...extra }))).json.result);
    assert.equal((await post('odd', msg(methods[0], { taskId: `${n}x`, ...extra }))).json.result?.status, 'completed', 'an unknown one passes');
    const r = await until('the record', () => records().find((l) => l.method === methods[1] && l.verdict === 'deny' && l.note === `task ${n}`));
    assert.deepEqual([r.tool, r.rule], ['search', 'tools.deny: search']);
    await reread(routes());
  });

  test(`${form}: a request about a task names one, in one spelling`, async () => {
    answer = tasks(made('x'));
    const before = odd.seen.length;
    for (const m of [...methods, 'tasks/cancel']) {
      for (const params of [{}, { taskId: 7 }, { taskId: '' }, { taskId: ['x'] }])
        assert.equal(rule(await post('odd', msg(m, { ...params }))), 'tasks', JSON.stringify([m, params]));
      assert.equal((await post('odd', msg(m, { taskId: 'x', TaskId: 'y' }))).json.error.code, -32600);
      assert.equal((await post('odd', msg(m.toUpperCase(), { taskId: 'x' }))).json.error.code, -32600);
    }
    assert.equal((await post('odd', msg('tasks/get', { taskId: 'x' }), { headers: { 'mcp-method': 'tasks/get', 'mcp-name': 'y' } })).json.error.code, -32020);
    assert.equal(odd.seen.length, before);
  });
}

test('a task is for the caller that made it, where callers show certificates', async () => {
  staff = authority(tempDir('ca'), { name: 'staff' });
  caFile = path.join(tempDir('callers'), 'clients.pem');
  fs.copyFileSync(staff.file, caFile);
  const own = await startGateway(s, t, { certified: at(odd, { tools: { deny: ['delete_*'] } }) }, { config: { tls: { cert_file: t.leaf.certFile, key_file: t.leaf.keyFile, client_ca_file: caFile } }, up: false });
  await g.stop();
  try {
    await own.isUp();
    const subject = (n) => { const c = staff.issue(['a.example'], { subject: n }); return { cert: c.cert, key: c.key }; };
    const long = `/O=${'o'.repeat(64)}${['a', 'b', 'c', 'd'].map((x) => `/OU=${x.repeat(64)}`).join('')}`; // longer than what a record has of it
    const pairs = [['/CN=ada', '/CN=bob'], [`${long}/CN=ada`, `${long}/CN=bob`], ['/', '/']];
    const as = async (who, m) => {
      const k = await callerSocket(s, t, host('certified'), who), body = JSON.stringify(m);
      return new Promise((ok, no) => {
        let text = '';
        k.on('data', (d) => { text += d; }).on('end', () => ok(JSON.parse(text.split('\r\n\r\n')[1]))).on('error', no);
        k.write(`POST /mcp HTTP/1.1\r\nHost: ${host('certified')}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      });
    };
    for (const [i, names] of pairs.entries()) {
      const [ada, bob] = names.map(subject), hers = `hers-${i}`;
      answer = tasks(FORMS['2025-11-25'][0](hers));
      assert.ok((await as(ada, msg('tools/call', { name: 'search', arguments: {} }))).result);
      assert.equal((await as(ada, msg('tasks/get', { taskId: hers }))).result.status, 'completed');
      const before = odd.seen.length;
      for (const m of ['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel']) {
        const r = await as(bob, msg(m, { taskId: hers }));
        assert.deepEqual([r.error.code, r.error.message], [-32602, 'no task of this id is known'], m);
      }
      assert.equal((await as(bob, msg('tasks/list', {}))).error.data.gateway_failure.rule, 'tasks: list');
      assert.equal(odd.seen.length, before, 'the server was not asked');
      assert.equal((await as(bob, msg('tasks/get', { taskId: 'other' }))).result.status, 'completed');
      assert.equal((await as(ada, msg('tasks/cancel', { taskId: hers }))).result.status, 'completed');
    }
  } finally { await own.stop(); await g.boot(); }
});

test('what asks about a task goes to the address that made it, and elsewhere when that is gone', async () => {
  // A name with two addresses, in a mount namespace of the gateway's own.
  const hosts = path.join(tempDir('hosts'), 'hosts');
  fs.writeFileSync(hosts, '127.0.0.1 localhost\n127.0.0.2 replicas.internal\n127.0.0.3 replicas.internal\n');
  const wrap = (bin, argv) => ['unshare', '-Urm', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, bin, ...argv];
  const listen = (where, port) => new Promise((ok, no) => {
    const seen = [];
    const x = http.createServer((q, r) => { const parts = []; q.on('data', (d) => parts.push(d)).on('end', () => { const b = JSON.parse(Buffer.concat(parts)); seen.push(b.method); tasks(FORMS['2026-07-28'][0](`of-${where}`))(q, r, b); }); });
    x.on('error', no).listen(port, where, () => ok({ where, seen, port: x.address().port, stop: () => { x.closeAllConnections(); return new Promise((done) => x.close(done)); } }));
  });
  const up = {};
  await g.stop();
  let own;
  const start = async (where, port) => { up[where] = await listen(where, port); return up[where]; };
  const stop = async (where) => { await up[where]?.stop(); delete up[where]; };
  try {
    const { port } = await start('127.0.0.2', 0);
    await start('127.0.0.3', port);
    own = await startGateway(s, t, { two: { upstream: `http://replicas.internal:${port}`, tools: { deny: ['x'] } } }, { wrap });
    const ask = async (m, params) => (await post('two', msg(m, { ...params, ...meta }))).json.result;
    const make = async () => (await ask('tools/call', { name: 'search', arguments: {} })).taskId;
    const [, first] = (await make()).split('of-');
    const other = first === '127.0.0.2' ? '127.0.0.3' : '127.0.0.2';
    await stop(first);
    assert.equal(await until('the other one is asked', async () => { const id = await make().catch(() => {}); return id === `of-${other}` && id; }), `of-${other}`);
    await start(first, port);
    await stop(other); // with the link that lies idle
    await start(other, port);
    assert.equal(await make(), `of-${first}`, 'new calls go to the first one again');
    const n = up[first].seen.length;
    for (let i = 0; i < 3; i++) assert.equal((await ask('tasks/get', { taskId: `of-${other}` })).status, 'completed');
    assert.deepEqual(up[other].seen, ['tasks/get', 'tasks/get', 'tasks/get']);
    await ask('tasks/get', { taskId: 'nobody has made it' });
    assert.equal(up[first].seen.length, n + 1, 'an unknown one goes where new calls go');
    await stop(other);
    const gone = await post('two', msg('tasks/get', { taskId: `of-${other}`, ...meta }));
    assert.ok([200, 502].includes(gone.status), gone.text); // the link may be found closed by a request that is not sent twice
    assert.equal((await ask('tasks/get', { taskId: `of-${other}` })).status, 'completed');
    assert.equal(up[first].seen.at(-1), 'tasks/get', 'it is down: another one is asked');
  } finally { await own?.stop(); for (const x of Object.keys(up)) await stop(x); await g.boot(); }
});
