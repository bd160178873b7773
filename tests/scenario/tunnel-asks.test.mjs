// What a server asks of the client that calls it (server_requests), in both eras; and what goes round with it, bit for bit.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { until } from '../lib/own.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { standIn } from '../lib/tunnel-mcp.mjs';

const JSON_TYPE = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const MODERN = '2026-07-28';
const META = { _meta: { 'io.modelcontextprotocol/protocolVersion': MODERN } };
const HEAD = { 'mcp-protocol-version': MODERN, 'mcp-method': 'tools/call', 'mcp-name': 'search' };
let s, t, g, odd, answer;
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  odd = await standIn((q, r, body, raw) => answer(q, r, body, raw));
  const at = (more) => ({ upstream: `http://127.0.0.1:${odd.port}`, ...more });
  g = await startGateway(s, t, {
    usual: at({ tools: { deny: ['delete_*'] } }),
    none: at({ server_requests: { elicitation: false, roots: false } }),
    all: at({ server_requests: { sampling: true } }),
    args: at({ tools: { arguments: { search: { q: { enum: ['fine'] } } } } }),
    free: `http://127.0.0.1:${odd.port}`,
  });
});
after(async () => { await g?.stop(); await s?.stop(); odd?.stop(); });
const CALL = (params = {}) => ({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'search', arguments: {}, ...params } });
const post = (name, body, headers = {}) => call(s, t, `${name}.${t.domain}`, { method: 'POST', path: '/mcp', headers: { ...JSON_TYPE, ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) });
const json = (text) => (q, r) => { r.setHeader('content-type', 'application/json'); r.end(text); };
const events = (...list) => (q, r) => { r.setHeader('content-type', 'text/event-stream'); r.end(list.map((x) => `data: ${typeof x === 'string' ? x : JSON.stringify(x)}\n\n`).join('')); };
const messages = (text) => text.split('\n').filter((l) => l.startsWith('data: ')).map((l) => JSON.parse(l.slice(6)));
const rule = (m) => m.error?.data?.gateway_failure?.rule;
const METHODS = { sampling: 'sampling/createMessage', elicitation: 'elicitation/create', roots: 'roots/list' };
const PASSES = { usual: ['elicitation', 'roots'], none: [], all: ['sampling', 'elicitation', 'roots'], free: ['sampling', 'elicitation', 'roots'] };
const DONE = { jsonrpc: '2.0', id: 7, result: { content: [] } };

for (const [name, passes] of Object.entries(PASSES))
  for (const [kind, method] of Object.entries(METHODS)) {
    const good = passes.includes(kind);
    test(`${name}: ${kind} ${good ? 'passes' : 'is refused'}, as a request and in input_required`, async () => {
      const ask = { jsonrpc: '2.0', id: 'a', method, params: { x: 1 } };
      answer = events(ask, DONE);
      let got = messages((await post(name, CALL())).text);
      if (good) assert.deepEqual(got, [ask, DONE]);
      else {
        assert.deepEqual(got.map((m) => [m.id, rule(m)]), [[7, `server_requests: ${kind}`]]);
        assert.match(got[0].error.message, new RegExp(`something \\(${kind}\\)`));
      }
      const input = JSON.stringify({ jsonrpc: '2.0', id: 7, result: { resultType: 'input_required', inputRequests: { k: { method, params: {} } }, requestState: 's' } });
      answer = json(input);
      const whole = await post(name, CALL(META), HEAD);
      answer = events(input);
      const stream = await post(name, CALL(META), HEAD);
      if (good) { assert.equal(whole.text, input); assert.equal(stream.text, `data: ${input}\n\n`); }
      else {
        assert.equal(whole.status, 200);
        assert.equal(rule(JSON.parse(whole.text)), `server_requests: ${kind}`);
        got = messages(stream.text);
        assert.deepEqual(got.map((m) => [m.id, rule(m)]), [[7, `server_requests: ${kind}`]]);
      }
    });
  }

test('on a stream of no call the question is left out, and what follows it is not', async () => {
  const change = { jsonrpc: '2.0', method: 'notifications/tools/list_changed' };
  answer = events({ jsonrpc: '2.0', id: 'a', method: METHODS.sampling, params: {} }, change);
  const r = await call(s, t, `usual.${t.domain}`, { path: '/mcp', headers: { accept: 'text/event-stream' } });
  assert.deepEqual(messages(r.text), [change]);
  assert.ok(await g.metric('sallyport_gateway_server_requests_refused_total') > 0);
});

test('a question is known in any spelling; what may be one and has no one reading does not pass', async () => {
  for (const text of [
    '{"jsonrpc":"2.0","id":"a","method":"s\\u0061mpling\\/cre\\u0061teMessage"}', '{"jsonrpc":"2.0","id":"a","Method":"sampling/createMessage"}',
    '{"jsonrpc":"2.0","id":7,"RESULT":{"InputRequests":{"k":{"METHOD":"sampling/createMessage"}}}}',
  ]) {
    answer = events(text, DONE);
    assert.deepEqual(messages((await post('usual', CALL())).text).map(rule), ['server_requests: sampling'], text);
  }
  answer = json('{"jsonrpc":"2.0","id":7,"result":{"inputRequests":{"k":{"method":"x","method":"sampling/createMessage"}}}}');
  assert.equal((await post('usual', CALL())).status, 502);
  // A text that only speaks of it is a text.
  const spoken = '{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"sampling/createMessage"}]}}';
  answer = json(spoken);
  assert.equal((await post('usual', CALL())).text, spoken);
});

test('requestState goes there and back bit for bit', async () => {
  const states = ['a\\u0000b', '\\u00e4\\ud83d\\ude00 \u00e4', '\\/\\"\\\\', ' 1.0 ', 'x'.repeat(200000)].map((x) => `"${x}"`);
  for (const state of states.filter((x) => !x.includes('u0000'))) {
    const text = ` {"result" : {"requestState":${state}, "inputRequests":{"k":{"method":"elicitation/create","params":{"n":1.0}}},"resultType":"input_required"},"id":7,"jsonrpc":"2.0"}\n`;
    answer = json(text);
    assert.equal((await post('usual', CALL(META), HEAD)).text, text);
    const raw = JSON.stringify(CALL(META)).replace('"arguments":{}', `"arguments":{},"inputResponses":{"k":{"action":"accept"}},"requestState":${state}`);
    await post('usual', raw, HEAD);
    assert.equal(odd.seen.at(-1).raw, raw);
  }
  const n = odd.seen.length, twice = JSON.stringify(CALL(META)).replace('"arguments":{}', '"arguments":{},"requestState":"a","requestState":"b"');
  assert.equal((await post('usual', twice, HEAD)).status, 400);
  assert.equal((await post('usual', JSON.stringify(CALL(META)).replace('"arguments":{}', `"arguments":{},"requestState":${states[0]}`), HEAD)).status, 400, 'NUL has two readings');
  assert.equal(odd.seen.length, n);
});

test('a call that comes again with answers is judged anew', async () => {
  answer = json(JSON.stringify(DONE));
  const again = (name, args) => CALL({ name, arguments: args, inputResponses: { k: { action: 'accept' } }, requestState: 's', ...META });
  const go = async (route, name, args) => JSON.parse((await post(route, again(name, args), { ...HEAD, 'mcp-name': name })).text);
  assert.ok((await go('args', 'search', { q: 'fine' })).result);
  const n = odd.seen.length;
  assert.equal(rule(await go('args', 'search', { q: 'other' })), 'tools.arguments.search.q: enum');
  assert.equal(rule(await go('usual', 'delete_all', {})), 'tools.deny: delete_*');
  assert.equal(odd.seen.length, n);
});

test('the call ends at the server, too, when its question is refused', async () => {
  let closed = false;
  answer = (q, r) => { r.on('close', () => { closed = true; }); r.setHeader('content-type', 'text/event-stream'); r.write(`data: ${JSON.stringify({ jsonrpc: '2.0', id: 'a', method: METHODS.sampling })}\n\n`); };
  assert.deepEqual(messages((await post('usual', CALL())).text).map(rule), ['server_requests: sampling']);
  await until('the request to the server is cut off', () => closed);
});
