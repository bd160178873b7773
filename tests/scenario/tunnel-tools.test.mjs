// Rules about tools at the gateway: official servers and clients of both eras, and callers who try to get past.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { ms, until } from '../lib/own.mjs';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { sdk1Client, sdk1Server, sdk2Client, sdk2Server, standIn } from '../lib/tunnel-mcp.mjs';

const RULES = { allow: ['search', 'get_*', 'delete_*'], deny: ['delete_*'] };
const LEFT = ['get_page', 'search'];
const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const CALL = (name, more = {}) => ({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name, arguments: {} }, ...more });

let s, t, g, one, oneJson, two, odd;
/** What the stand-in answers; a test sets it. */
let answer;
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  one = await sdk1Server();
  oneJson = await sdk1Server({ enableJsonResponse: true });
  two = await sdk2Server();
  odd = await standIn((q, r, body, raw) => answer(q, r, body, raw));
  g = await startGateway(s, t, routes());
});
after(async () => { await g?.stop(); await s?.stop(); for (const x of [one, oneJson, two, odd]) x?.stop(); });
const routes = (tools = RULES) => ({
  one: { upstream: `http://127.0.0.1:${one.port}`, tools },
  onejson: { upstream: `http://127.0.0.1:${oneJson.port}`, tools },
  two: { upstream: `http://127.0.0.1:${two.port}`, tools },
  odd: { upstream: `http://127.0.0.1:${odd.port}`, tools },
  free: `http://127.0.0.1:${odd.port}`,
});
const host = (name) => `${name}.${t.domain}`;
const refused = (e) => {
  assert.equal(e.code, -32010, String(e));
  assert.equal(e.data.gateway_failure.source, 'policy');
  return e.data.gateway_failure.rule;
};
/** The raw answer to one body. */
const post = async (name, body, headers = {}, more = {}) => {
  const r = await call(s, t, host(name), { method: 'POST', path: '/mcp', headers: { ...JSON_TYPE, ...headers }, body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body), ...more });
  let json; try { json = JSON.parse(r.text); } catch { /* none */ }
  return { ...r, json };
};

for (const [what, server, name, client] of [
  ['SDK 1.x over SSE', () => one, 'one', sdk1Client], ['SDK 1.x over JSON', () => oneJson, 'onejson', sdk1Client],
  ['SDK 2.x of 2026-07-28', () => two, 'two', sdk2Client], ['a client of 2.x with a server of 1.x', () => one, 'one', sdk2Client],
])
  test(`${what}: lists show what may be called, and no other call goes through`, async () => {
    const x = server();
    const c = await client(s, t, host(name));
    try {
      const { tools } = await c.listTools();
      assert.deepEqual(tools.map((i) => i.name), LEFT);
      assert.equal(tools[0].description, 'the tool get_page');
      assert.equal(tools[0].inputSchema.properties.id.type, 'number');
      const found = await c.callTool({ name: 'search', arguments: { q: 'ä "x"' } });
      assert.equal(found.content[0].text, 'found ä "x"');
      const before = x.calls.length;
      await assert.rejects(c.callTool({ name: 'delete_page', arguments: { id: 1 } }), (e) => refused(e) === 'tools.deny: delete_*');
      await assert.rejects(c.callTool({ name: 'close_ticket', arguments: { id: 1 } }), (e) => refused(e) === 'tools.allow' && /close_ticket/.test(e.message));
      assert.equal(x.calls.length, before, 'the server has not seen them');
      assert.equal((await c.callTool({ name: 'get_page', arguments: { id: 4 } })).content[0].text, 'page 4', 'the session goes on');
    } finally { await c.close(); }
  });

test('in 2026-07-28 a filtered list is for nobody else, and lives no longer', async () => {
  const seen = two.seen.length;
  const c = await sdk2Client(s, t, host('two'));
  await c.listTools();
  await c.close();
  const q = two.seen.slice(seen).find((i) => i.body?.method === 'tools/list');
  const direct = await (await fetch(`http://127.0.0.1:${two.port}/mcp`, { method: 'POST', headers: { 'content-type': 'application/json', accept: q.headers.accept, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }, body: q.raw })).text();
  const through = (await post('two', q.raw, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' })).text;
  const read = (x) => JSON.parse(x.match(/\{.*\}/s)[0]).result;
  assert.equal(read(direct).tools.length, 6);
  assert.deepEqual(read(through).tools.map((i) => i.name), LEFT);
  assert.equal(read(through).cacheScope, 'private');
  assert.equal(read(through).ttlMs, read(direct).ttlMs);
});

describe('what a caller tries', () => {
  before(() => { answer = (q, r, body) => { r.setHeader('content-type', 'application/json'); r.end(JSON.stringify({ jsonrpc: '2.0', id: body?.id ?? null, result: { ok: true } })); }; });
  const utf16 = Buffer.from(`\ufeff${JSON.stringify(CALL('delete_page'))}`, 'utf16le');
  const good = JSON.stringify(CALL('search'));
  for (const [what, body, status, code, headers] of [
    ['a denied tool', CALL('delete_page'), 200, -32010],
    ['escapes in the name', good.replace('search', 'd\\u0065lete_page'), 200, -32010],
    ['the case of the name', CALL('DELETE_page'), 200, -32010],
    ['spaces around the name', CALL(' search'), 200, -32010],
    ['the case of the method', CALL('delete_page', { method: 'Tools/Call' }), 200, -32600],
    ['a method with a space', CALL('delete_page', { method: 'tools/call ' }), 400, -32600],
    ['the name twice', good.replace('"name":"search"', '"name":"search","name":"delete_page"'), 400, -32700],
    ['the name twice, escaped', good.replace('"name":"search"', '"name":"search","n\\u0061me":"delete_page"'), 400, -32700],
    ['the name in another case', good.replace('"name":"search"', '"name":"search","Name":"delete_page"'), 400, -32600],
    ['params twice in another case', good.replace('"params"', '"PARAMS":{"name":"delete_page"},"params"'), 400, -32600],
    ['a batch with an allowed one', [CALL('search'), CALL('delete_page', { id: 8 })], 200, undefined],
    ['a batch in a batch', [[CALL('delete_page')]], 400, -32600],
    ['a byte order mark', `\ufeff${good}`, 400, -32700],
    ['UTF-16', utf16, 400, -32700],
    ['UTF-16 said', utf16, 415, -32600, { 'content-type': 'application/json; charset=utf-16le' }],
    ['UTF-7 said', good, 415, -32600, { 'content-type': 'application/json; charset="utf-7"' }],
    ['gzip', zlib.gzipSync(JSON.stringify(CALL('delete_page'))), 415, -32600, { 'content-encoding': 'gzip' }],
    ['another type', CALL('delete_page'), 415, -32600, { 'content-type': 'text/plain' }],
    ['a form', 'method=tools/call', 415, -32600, { 'content-type': 'application/x-www-form-urlencoded' }],
    ['bytes behind it', `${good}\n${JSON.stringify(CALL('delete_page'))}`, 400, -32700],
    ['no JSON', 'tools/call', 400, -32700],
    ['nothing', '', 400, -32700],
    ['headers of another call', CALL('delete_page'), 400, -32020, { 'mcp-method': 'tools/call', 'mcp-name': 'search' }],
    ['a header in another spelling', CALL('search'), 400, -32020, { 'mcp-name': 'search', mcp_name: 'delete_page' }],
    ['headers alone', { jsonrpc: '2.0', id: 7, method: 'ping' }, 400, -32020, { 'mcp-method': 'tools/call', 'mcp-name': 'search' }],
    ['2026-07-28 without its headers', CALL('search', { params: { name: 'search', _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } } }), 400, -32020],
    ['a huge number as id', good.replace('"id":7', '"id":123456789012345678901234567890'), 400, -32600],
    ['an id that is a list', CALL('delete_page', { id: [7] }), 400, -32600],
    ['an id that is null', CALL('delete_page', { id: null }), 400, -32600],
    ['a call without an id', CALL('delete_page', { id: undefined }), 403, -32010],
    ['a name that is no text', CALL({ toString: 'search' }), 200, -32602],
    ['no name', { jsonrpc: '2.0', id: 7, method: 'tools/call' }, 200, -32602],
    ['more values than a call has', good.replace('"arguments":{}', `"arguments":{"a":[${'[],'.repeat(30000)}0]}`), 400, -32700],
    ['a depth', good.replace('"arguments":{}', `"arguments":{"a":${'['.repeat(80)}${']'.repeat(80)}}`), 400, -32700],
  ])
    test(`${what}: nothing goes out`, async () => {
      const before = odd.seen.length;
      const r = await post('odd', body, headers);
      assert.equal(r.status, status, r.text);
      if (Array.isArray(r.json)) {
        assert.deepEqual(r.json.map((m) => [m.id, m.error.code]), [[7, -32010], [8, -32010]]);
        assert.match(r.json[0].error.message, /nothing of this batch was sent/);
        assert.match(r.json[1].error.message, /delete_page/);
      } else {
        assert.equal(r.json.error.code, code, r.text);
        assert.equal(r.json.error.data.gateway_failure.source, 'policy');
        if (status === 200) assert.equal(r.json.id, 7);
      }
      assert.equal(odd.seen.length, before, 'the server has not been asked');
      // The same way is open for what is allowed.
      assert.equal((await post('odd', CALL('search'))).status, 200);
      assert.equal(odd.seen.length, before + 1);
    });

  test('what is allowed goes on byte for byte, chunked too', async () => {
    const raw = ' {"id" : "\\u00e4-7",  "jsonrpc":"2.0","method":"tools/call","params":{"name":"se\\u0061rch","arguments":{"n":1.0,"big":12345678901234567890}}}\n';
    assert.equal((await post('odd', raw)).status, 200);
    assert.equal(odd.seen.at(-1).raw, raw);
    assert.equal((await post('odd', raw, { 'transfer-encoding': 'chunked' })).status, 200);
    assert.equal(odd.seen.at(-1).raw, raw);
    assert.equal(odd.seen.at(-1).headers['accept-encoding'], 'identity');
  });

  test('a refusal has the request\'s own id, as it came', async () => {
    for (const id of ['a"\u00e4', 0, -1, '7', 9007199254740991]) assert.deepEqual((await post('odd', CALL('delete_page', { id }))).json.id, id);
  });

  test('other methods carry no message, and odd ones are not taken', async () => {
    const ask = (method, more) => call(s, t, host('odd'), { method, path: '/mcp', ...more });
    const before = odd.seen.length;
    assert.equal((await ask('PUT', { body: JSON.stringify(CALL('delete_page')), headers: JSON_TYPE })).status, 405);
    assert.equal((await ask('DELETE', { body: JSON.stringify(CALL('delete_page')), headers: { ...JSON_TYPE, 'content-length': Buffer.byteLength(JSON.stringify(CALL('delete_page'))) } })).status, 400);
    assert.equal(odd.seen.length, before);
    assert.equal((await ask('DELETE')).status, 200);
    assert.equal((await ask('GET')).status, 200);
  });

  test('a body without end is not waited for in memory', async () => {
    const r = await post('odd', Buffer.alloc((4 << 20) + 1, 0x20));
    assert.equal(r.status, 413);
  });

  test('bodies of one route do not fill the memory for those of others', { timeout: ms(300000) }, async () => {
    // Their ends are missing: 19 of 3.5 MiB are more than one route may hold.
    const piece = Buffer.alloc(3.5 * (1 << 20), 0x20), socks = [], got = [];
    const open = async () => {
      const k = await callerSocket(s, t, host('odd'));
      socks.push(k);
      k.on('error', () => {});
      k.on('data', (d) => got.push(String(d)));
      k.write(`POST /mcp HTTP/1.1\r\nhost: ${host('odd')}\r\ncontent-type: application/json\r\ncontent-length: ${piece.length + 1}\r\n\r\n`);
      k.write(piece);
    };
    try {
      for (let i = 0; i < 19; i++) await open();
      await until('one is told that there is no room', () => got.some((x) => x.startsWith('HTTP/1.1 503')), ms(60000));
      assert.equal((await post('one', { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } } })).status, 200, 'another route has room');
    } finally { for (const k of socks) k.destroy(); }
    await until('the room is given back', async () => (await post('odd', CALL('search'))).status === 200);
  });

  test('a route without rules takes what it gets', async () => {
    const r = await post('free', 'anything', { 'content-type': 'text/plain' });
    assert.equal(r.status, 200);
    assert.equal(odd.seen.at(-1).raw, 'anything');
  });
});

describe('what a server answers', () => {
  const tool = (name) => ({ name, inputSchema: { type: 'object' }, x: 12345678901234567000 });
  const page = (names, more = {}) => JSON.stringify({ jsonrpc: '2.0', id: 7, result: { tools: names.map(tool), ...more } });
  const LISTING = { jsonrpc: '2.0', id: 7, method: 'tools/list' };

  test('several pages, several events, cut at any byte', async () => {
    const events = `: hello\n\nid: 1\ndata: \n\nevent: message\nid: 2\ndata: ${page(['get_b', 'delete_x', 'get_a'], { nextCursor: 'ä' })}\r\n\r\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"tools"}}\n\ndata: ${page(['close_x'])}\n\n`;
    const want = `: hello\n\nid: 1\ndata: \n\nevent: message\nid: 2\ndata: ${page(['get_a', 'get_b'], { nextCursor: 'ä' })}\n\r\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"tools"}}\n\ndata: ${page([])}\n\n`;
    const bytes = Buffer.from(events);
    for (const step of [1, 2, 3, 7, 64, bytes.length]) {
      answer = async (q, r) => {
        r.setHeader('content-type', 'text/event-stream; charset=utf-8');
        for (let i = 0; i < bytes.length; i += step) { r.write(bytes.subarray(i, i + step)); if (i % 97 === 0) await new Promise((ok) => setImmediate(ok)); }
        r.end();
      };
      assert.equal((await post('odd', LISTING)).text, want, `by ${step}`);
    }
  });

  test('an event goes on when it is there, and does not wait for the next one', async () => {
    let go; const gate = new Promise((ok) => { go = ok; });
    answer = async (q, r) => {
      r.setHeader('content-type', 'text/event-stream');
      r.write(`data: ${page(['delete_x', 'get_a'])}\n\n`);
      await gate;
      r.end('data: {}\n\n');
    };
    let got = '';
    const done = post('odd', LISTING, {}, { onResponse: (r) => r.on('data', (d) => { got += d; }) });
    await until('the first event', () => got.endsWith('\n\n'));
    assert.equal(got, `data: ${page(['get_a'])}\n\n`);
    go();
    assert.equal((await done).text, `data: ${page(['get_a'])}\n\ndata: {}\n\n`);
  });

  test('a GET stream and its resumption show no more', async () => {
    answer = (q, r) => { r.setHeader('content-type', 'text/event-stream'); r.end(`id: 5\ndata: ${page(['delete_x', 'search'])}\n\n`); };
    const r = await call(s, t, host('odd'), { path: '/mcp', headers: { accept: 'text/event-stream', 'last-event-id': '4' } });
    assert.equal(r.text, `id: 5\ndata: ${page(['search'])}\n\n`);
    assert.equal(odd.seen.at(-1).headers['last-event-id'], '4');
  });

  test('JSON, compressed JSON, and a batch', async () => {
    const batch = `[${page(['delete_x'])},{"id":8,"result":{}}]`;
    for (const [body, want] of [[page(['delete_x', 'search']), page(['search'])], [batch, `[${page([])},{"id":8,"result":{}}]`]])
      for (const coding of [undefined, 'gzip']) {
        answer = (q, r) => { r.setHeader('content-type', 'application/json'); if (coding) r.setHeader('content-encoding', coding); r.end(coding ? zlib.gzipSync(body) : body); };
        const r = await post('odd', LISTING);
        assert.equal(r.text, want);
        assert.equal(Number(r.headers['content-length']), Buffer.byteLength(want));
      }
  });

  test('an answer that may be a list and has two readings is not passed on', async () => {
    answer = (q, r) => { r.setHeader('content-type', 'application/json'); r.end('{"id":7,"result":{"tools":[],"tools":[{"name":"delete_x"}]}}'); };
    let r = await post('odd', LISTING);
    assert.equal(r.status, 502);
    assert.equal(r.json.error.data.gateway_failure.source, 'protocol');
    assert.equal(r.json.id, 7);
    answer = (q, x) => { x.setHeader('content-type', 'text/event-stream'); x.end('data: {"id":7,"result":{"tools":[],"tools":[{"name":"delete_x"}]}}\n\n'); };
    await assert.rejects(post('odd', LISTING), /aborted|hang up|ECONNRESET|premature/i);
  });

  test('all else passes as it came: 404 bodies, HTML, events of old transports', async () => {
    for (const [status, type, body] of [[404, 'application/json', '{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no \\u0074ools","data":1.0}}'], [200, 'text/html', '<p>{"result":{"tools":[{"name":"delete_x"}]}}'], [200, 'text/event-stream', 'event: endpoint\ndata: /messages?tools=1\n\n'], [202, undefined, '']]) {
      answer = (q, r) => { r.statusCode = status; if (type) r.setHeader('content-type', type); r.end(body); };
      const r = await post('odd', LISTING);
      assert.equal(r.status, status);
      assert.equal(r.text, body);
    }
  });
});

test('rules that change count for the next call of a session that is there', async () => {
  const c = await sdk1Client(s, t, host('one'));
  try {
    assert.equal((await c.listTools()).tools.length, 2);
    g.write(routes({ deny: ['search'] }));
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew"/);
    await assert.rejects(c.callTool({ name: 'search', arguments: { q: 'x' } }), (e) => refused(e) === 'tools.deny: search');
    assert.deepEqual((await c.listTools()).tools.map((i) => i.name), ['big', 'close_ticket', 'delete_page', 'get_page', 'slow']);
  } finally { await c.close(); }
});
