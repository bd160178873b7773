// What calls through a gateway may take: arguments, how many, how large, how long; streams that are silent; pages of other sites.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import zlib from 'node:zlib';
import { ms, until } from '../lib/own.mjs';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { sdk1Client, sdk1Server, sdk2Client, sdk2Server, standIn } from '../lib/tunnel-mcp.mjs';

const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const CALL = (name, args = {}, id = 7) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } });
let s, t, g, one, two, odd, mute, answer;
const routes = () => {
  const at = (x, more) => ({ upstream: `http://127.0.0.1:${x.port}`, ...more });
  return {
    arguments: at(one, { tools: { arguments: { get_page: { project: { enum: ['ACME'] }, 'id?': { type: 'integer', maximum: 9 } } } } }),
    strict: at(odd, { tools: { arguments: { query: {
      'sql?': { type: 'array', items: { type: 'string', not: { type: 'string', pattern: '(?s)DROP.*TABLE' } } },
      'filter?': { type: 'object', properties: { project: { enum: ['ACME'] } } } } } } }),
    modern: at(two, { tools: { arguments: { get_page: { project: { enum: ['ACME'] } } } } }),
    rate: at(odd, { limits: { rate: '3/h' } }),
    few: at(odd, { limits: { concurrent: 2 } }),
    small: at(one, { limits: { result_bytes: '2KiB' } }),
    smallodd: at(odd, { limits: { result_bytes: 2048 } }),
    quick: at(one, { limits: { deadline: `${ms(1500)}ms`, max_deadline: `${ms(8000)}ms` } }),
    quickodd: at(odd, { limits: { deadline: '700ms' } }),
    endless: at(one, { limits: { deadline: `${ms(1500)}ms`, max_deadline: `${ms(3000)}ms` } }),
    stuck: at(odd, { limits: { concurrent: 1, max_deadline: `${ms(1500)}ms` } }),
    // TLS that never comes about: the way there takes longer than the call may.
    mute: { upstream: `https://127.0.0.1:${mute.address().port}`, limits: { deadline: '700ms' } },
    odd: at(odd),
    oddtools: at(odd, { tools: { deny: ['nothing'] } }),
  };
};
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  one = await sdk1Server();
  two = await sdk2Server();
  odd = await standIn((q, r, body, raw) => answer(q, r, body, raw));
  mute = net.createServer((k) => k.on('error', () => {})).listen(0, '127.0.0.1');
  await once(mute, 'listening');
  g = await startGateway(s, t, routes(), { config: { allowed_origins: ['https://Inspector.example:6274'] } });
});
after(async () => { await g?.stop(); await s?.stop(); for (const x of [one, two, odd]) x?.stop(); mute?.close(); });
const host = (name) => `${name}.${t.domain}`;
const post = async (name, body, headers = {}, more = {}) => {
  const r = await call(s, t, host(name), { method: 'POST', path: '/mcp', headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body), ...more });
  let json; try { json = JSON.parse(r.text); } catch { /* none */ }
  return { ...r, json };
};
const rule = (e) => e.data?.gateway_failure?.rule;
const ok = (q, r, body) => { r.setHeader('content-type', 'application/json'); r.end(JSON.stringify({ jsonrpc: '2.0', id: body.id, result: { content: [] } })); };

for (const [name, client, what] of [['arguments', sdk1Client, 'SDK 1.x'], ['modern', sdk2Client, 'SDK 2.x']])
  test(`arguments that do not meet the rules do not reach the server: ${what}`, async () => {
    const server = name === 'arguments' ? one : two, c = await client(s, t, host(name));
    try {
      const page = (args) => c.callTool({ name: 'get_page', arguments: args });
      assert.equal((await page({ id: 4, project: 'ACME' })).content[0].text, 'page 4');
      const before = server.calls.length;
      await assert.rejects(page({ id: 4, project: 'EVIL' }), (e) => rule(e) === 'tools.arguments.get_page.project: enum' && !e.message.includes('EVIL'));
      await assert.rejects(page({ id: 4 }), (e) => rule(e) === 'tools.arguments.get_page.project: required');
      await assert.rejects(page({ id: 4, project: 'ACME', Project: 'EVIL' }), (e) => rule(e) === 'tools.arguments.get_page.project: in another spelling');
      if (name === 'arguments') await assert.rejects(page({ id: 10, project: 'ACME' }), (e) => rule(e) === 'tools.arguments.get_page.id: maximum');
      assert.equal(server.calls.length, before);
      assert.equal((await c.listTools()).tools.length, 6, 'lists are about names');
      assert.equal((await c.callTool({ name: 'search', arguments: { q: 'x' } })).content[0].text, 'found x');
    } finally { await c.close(); }
  });

test('what cannot be told about arguments is refused', async () => {
  const at = 'tools.arguments.query.', seen = [];
  answer = (q, r, body) => { seen.push(body); ok(q, r, body); };
  const told = async (args) => { const { json } = await post('strict', CALL('query', args)); return json.result ? 'passed' : rule(json.error); };
  assert.equal(await told({ sql: ['fine', 'a'.repeat(4096)] }), 'passed');
  assert.equal(await told({ sql: ['DROP the TABLE'] }), `${at}sql: not`);
  assert.equal(await told({ sql: [`DROP TABLE${'a'.repeat(1200000)}`] }), `${at}sql: pattern, of a text above 4096 bytes`);
  assert.equal(await told({ sql: Array(900).fill('a'.repeat(4096)) }), `${at}sql: pattern, of texts above 64 KiB together`);
  assert.equal(await told({ sql: 'DROP TABLE' }), `${at}sql: type`);
  assert.equal(await told({ filter: { project: 'ACME' } }), 'passed');
  assert.equal(await told({ filter: { Project: 'X' } }), `${at}filter: a member in another spelling`);
  assert.equal(seen.length, 2, 'what was refused did not reach the server');
});

test('a rate: as many at once, then one by one; other methods are not counted', async () => {
  answer = ok;
  for (let i = 0; i < 3; i++) assert.ok((await post('rate', CALL('a'))).json.result);
  const r = await post('rate', CALL('a', {}, 'x'));
  assert.equal(r.status, 200);
  assert.equal(r.json.id, 'x');
  assert.equal(rule(r.json.error), 'limits.rate');
  assert.match(r.json.error.message, /in \d+ ms/);
  assert.ok((await post('rate', { jsonrpc: '2.0', id: 1, method: 'tools/list' })).json.result);
  // What was used is not given back by a change of the files.
  g.write({ ...routes(), more: 'http://127.0.0.1:1' });
  g.proc.kill('SIGHUP');
  await g.proc.line(new RegExp(`msg="files read anew" routes=${Object.keys(routes()).length + 1}`));
  assert.equal(rule((await post('rate', CALL('a'))).json.error), 'limits.rate');
});

test('so many at once, and a place is free again when a call is over, or its caller gone', async () => {
  const open = [];
  answer = (q, r, body) => { open.push(() => ok(q, r, body)); };
  const first = post('few', CALL('a', {}, 1)), second = post('few', CALL('a', {}, 2)).catch(() => 'gone');
  await until('both are there', () => open.length === 2);
  assert.equal(rule((await post('few', CALL('a', {}, 3))).json.error), 'limits.concurrent');
  assert.equal(rule((await post('few', [CALL('a', {}, 3), CALL('a', {}, 4)])).json[0].error), 'limits.concurrent');
  open[0]();
  assert.ok((await first).json.result);
  const third = post('few', CALL('a', {}, 5));
  await until('it is there', () => open.length === 3);
  open[1](); open[2]();
  assert.ok((await third).json.result);
  await second;
  answer = (q, r) => { r.setHeader('content-type', 'text/event-stream'); r.write(': hi\n\n'); };
  for (let i = 0; i < 3; i++)
    await call(s, t, host('few'), { method: 'POST', path: '/mcp', headers: JSON_TYPE, body: JSON.stringify(CALL('a', {}, 6)), onResponse: (r, q) => q.destroy(new Error('leaves')) }).catch(() => {});
  answer = ok;
  await until('the places are free', async () => (await post('few', [CALL('a', {}, 7), CALL('a', {}, 8)])).json?.result);
});

test('a caller that reads nothing loses its place when the last deadline is over', async () => {
  answer = ok;
  const k = await callerSocket(s, t, host('stuck'), { alpn: ['h2'] });
  const session = http2.connect(`https://${host('stuck')}`, { createConnection: () => k, settings: { initialWindowSize: 0 } });
  session.on('error', () => {});
  try {
    const q = session.request({ ':method': 'POST', ':path': '/mcp', ...JSON_TYPE });
    q.on('error', () => {});
    const head = new Promise((yes) => q.once('response', yes));
    q.end(JSON.stringify(CALL('a', {}, 1)));
    assert.equal((await head)[':status'], 200, 'the head needs no window');
    assert.equal(rule((await post('stuck', CALL('a', {}, 2))).json.error), 'limits.concurrent');
    await until('the place is free', async () => (await post('stuck', CALL('a', {}, 3))).json?.result, ms(15000));
  } finally { session.destroy(); }
});

describe('results', () => {
  test('one that is too large is told as the failure of its call, over events', async () => {
    const c = await sdk1Client(s, t, host('small'));
    try {
      assert.equal((await c.callTool({ name: 'big', arguments: { n: 100 } })).content[0].text.length, 100);
      await assert.rejects(c.callTool({ name: 'big', arguments: { n: 100000 } }), (e) => rule(e) === 'limits.result_bytes');
      assert.equal((await c.callTool({ name: 'big', arguments: { n: 100 } })).content[0].text.length, 100, 'the session goes on');
    } finally { await c.close(); }
  });
  test('and as JSON', async () => {
    answer = (q, r, body) => { r.setHeader('content-type', 'application/json'); r.end(JSON.stringify({ jsonrpc: '2.0', id: body.id, result: { x: 'x'.repeat(9000) } })); };
    const r = await post('smallodd', CALL('a', {}, 'q'));
    assert.equal(r.status, 200);
    assert.equal(r.json.id, 'q');
    assert.equal(rule(r.json.error), 'limits.result_bytes');
    assert(r.text.length < 2000);
  });
});

describe('deadlines', () => {
  test('progress begins the deadline anew', async () => {
    const c = await sdk1Client(s, t, host('quick'));
    try {
      let n = 0;
      const r = await c.callTool({ name: 'slow', arguments: { steps: 6, ms: ms(500) } }, undefined, { onprogress: () => { n++; } });
      assert.equal(r.content[0].text, 'at last');
      assert.equal(n, 6);
      await assert.rejects(c.callTool({ name: 'slow', arguments: { steps: 1, ms: ms(6000) } }), (e) => e.data.gateway_failure.source === 'timeout');
    } finally { await c.close(); }
  });
  test('there is a last one that progress does not move', async () => {
    const c = await sdk1Client(s, t, host('endless'));
    try {
      let n = 0;
      await assert.rejects(c.callTool({ name: 'slow', arguments: { steps: 40, ms: ms(300) } }, undefined, { onprogress: () => { n++; } }), (e) => e.data.gateway_failure.source === 'timeout');
      assert(n > 3, `${n} told`);
    } finally { await c.close(); }
  });
  test('the way to the server counts, too', async () => {
    const began = Date.now(), r = await post('mute', CALL('a', {}, 'm'));
    assert.equal(r.status, 504, r.text);
    assert.equal(r.json.id, 'm');
    assert.equal(r.json.error.data.gateway_failure.source, 'timeout');
    assert(Date.now() - began < ms(4000), `${Date.now() - began} ms`);
  });
  test('before an answer has begun it is 504, with the id; a stream that listens has none', async () => {
    let left = 0;
    answer = (q, r) => { r.on('close', () => left++); };
    const r = await post('quickodd', CALL('a', {}, 'z'));
    assert.equal(r.status, 504);
    assert.equal(r.json.id, 'z');
    assert.equal(r.json.error.data.gateway_failure.source, 'timeout');
    await until('the server sees that nobody waits', () => left === 1);
    let end; const gate = new Promise((ok2) => { end = ok2; });
    answer = async (q, x, body) => { if (body.id === 'y') return; x.setHeader('content-type', 'text/event-stream'); x.write(': here\n\n'); await gate; x.end('data: {}\n\n'); };
    let heard = false;
    const listening = post('quickodd', { jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: {} }, {}, { onResponse: () => { heard = true; } });
    await until('it listens', () => heard);
    await until('a deadline has passed elsewhere', async () => (await post('quickodd', CALL('a', {}, 'y'))).status === 504 || false);
    end();
    assert.equal((await listening).text, ': here\n\ndata: {}\n\n');
  });
});

for (const name of ['odd', 'oddtools'])
  test(`a stream that is silent gets a comment, and says that it is not to be collected: ${name}`, async () => {
    let end; const gate = new Promise((ok2) => { end = ok2; });
    const coded = zlib.gzipSync('data: {}\n\n');
    answer = async (q, r) => {
      if (q.url === '/coded') { r.setHeader('content-type', 'text/event-stream'); r.setHeader('content-encoding', 'gzip'); r.flushHeaders(); await gate; r.end(coded); return; }
      r.setHeader('content-type', 'text/event-stream'); r.setHeader('x-accel-buffering', 'yes'); r.write('data: {}\n\n'); await gate; r.end('data: {"a":1}\n\n');
    };
    // What is compressed gets nothing in between. (A route with rules has it in the clear.)
    const other = name === 'odd' ? call(s, t, host(name), { path: '/coded', headers: { accept: 'text/event-stream', 'accept-encoding': 'gzip' } }) : null;
    let got = '', headers;
    const done = call(s, t, host(name), { path: '/mcp', headers: { accept: 'text/event-stream' }, onResponse: (r) => { headers = r.headers; r.on('data', (d) => { got += d; }); } });
    await until('the first event', () => got === 'data: {}\n\n');
    await until('a sign of life', () => got === 'data: {}\n\n:\n\n', ms(40000));
    end();
    assert.equal((await done).text, 'data: {}\n\n:\n\ndata: {"a":1}\n\n');
    assert.equal(headers['x-accel-buffering'], 'no');
    if (other) assert.equal((await other).text, coded.toString());
  });

test('answers that are collected share the memory of their route, and give it back', async () => {
  const ends = [];
  answer = (q, r) => { r.setHeader('content-type', 'application/json'); r.write(`{"jsonrpc":"2.0","id":7,"result":{"x":"${'a'.repeat(15 << 20)}`); ends.push(() => r.end('"}}')); };
  const all = Array.from({ length: 5 }, () => post('oddtools', CALL('a')));   // 75 MiB, of which one route has 64
  const no = await Promise.race(all);
  assert.equal(no.status, 503);
  assert.equal(no.json.error.data.gateway_failure.source, 'busy');
  assert.equal(ends.length, 5);
  for (const end of ends) end();
  const statuses = (await Promise.all(all)).map((r) => r.status);
  assert.deepEqual(statuses.sort(), [200, 200, 200, 200, 503]);
  answer = ok;
  assert.ok((await post('oddtools', CALL('a'))).json.result);
});

test('pages of other sites are refused, those of the host and those that are named are not', async () => {
  answer = ok;
  const from = async (origin) => (await post('odd', CALL('a'), { origin })).status;
  assert.equal(await from(`https://${host('odd')}`), 200);
  assert.equal(await from(`https://${host('odd')}:${s.ingress}`), 200);
  assert.equal(await from('https://inspector.example:6274'), 200);
  for (const origin of ['https://evil.example', 'null', '', `http://${host('odd')}`, `https://${host('odd')}.evil.example`, `https://${host('few')}`, `https://user@${host('odd')}`, 'https://inspector.example']) {
    const before = odd.seen.length;
    assert.equal(await from(origin), 403, origin);
    assert.equal(odd.seen.length, before);
  }
  assert.equal((await post('odd', CALL('a'), { origin: [`https://${host('odd')}`, 'https://evil.example'] })).status, 403);
});
