// Headers that a tool declares for its arguments (x-mcp-header), through a gateway with rules: the official server (2.4) decides the
// same without a tunnel, and what it would have refused does not reach it once its list has gone by.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import tls from 'node:tls';
import * as v2 from '@modelcontextprotocol/client';
import '../lib/localhost-names.mjs';
import { referenceServer } from '../lib/mcp.mjs';
import { edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { standIn } from '../lib/tunnel-mcp.mjs';

const META = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} };
const b64 = (s) => `=?base64?${Buffer.from(s).toString('base64')}?=`;

describe('headers that a tool declares', () => {
  let s, t, g, server, odd, tools;
  const url = (name) => `https://${name}.${t.domain}:${s.ingress}/mcp`;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    server = await referenceServer('modern');
    odd = await standIn((q, r, body) => {
      r.writeHead(200, { 'content-type': 'application/json' });
      r.end(JSON.stringify({ jsonrpc: '2.0', id: body.id, result: body.method === 'tools/list' ? { tools } : { content: [] } }));
    });
    const limits = { concurrent: 50 };
    g = await startGateway(s, t, { bare: server.upstream, ruled: { upstream: server.upstream, limits }, odd: { upstream: `http://127.0.0.1:${odd.port}`, limits } });
    tls.setDefaultCACertificates([...tls.getCACertificates(), fs.readFileSync(t.ca.file, 'utf8')]);
  });
  after(async () => { await g?.stop(); await s?.stop(); server?.stop(); odd?.stop(); });

  /** [status, code of the error or undefined, whose it was] of one request. */
  async function ask(at, { method = 'tools/call', name = 'test_header', args = {}, headers = {}, params = { name, arguments: args } } = {}) {
    const r = await fetch(at, {
      method: 'POST', body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: META } }),
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(method === 'tools/call' ? { 'mcp-name': name } : {}), ...headers },
    });
    const text = await r.text(), body = JSON.parse(text.match(/\{.*\}/s)?.[0] ?? 'null');
    return [r.status, body?.error?.code, body?.error?.data?.gateway_failure?.source];
  }
  const list = (at) => ask(at, { method: 'tools/list', params: {} });

  test('the official client sends them, and is served', async () => {
    for (const name of ['bare', 'ruled']) {
      const c = new v2.Client({ name: 'x', version: '1' }, { capabilities: {}, versionNegotiation: { mode: { pin: '2026-07-28' } } });
      await c.connect(new v2.StreamableHTTPClientTransport(new URL(url(name))));
      await c.listTools();
      for (const region of ['eu', 'Zürich', ' padded ', '=?base64?eA==?='])
        assert.equal((await c.callTool({ name: 'test_header', arguments: { region } })).content[0].text, region);
      await c.close();
    }
  });

  test('what the server takes and refuses is taken and refused through the gateway, which says that it was the one', async () => {
    await list(url('ruled'));
    const P = 'mcp-param-region';
    for (const [what, o, status, code] of [
      ['agrees', { args: { region: 'eu' }, headers: { [P]: 'eu' } }, 200, undefined],
      ['agrees, encoded', { args: { region: 'Zürich' }, headers: { [P]: b64('Zürich') } }, 200, undefined],
      ['encoded without need', { args: { region: 'eu' }, headers: { [P]: b64('eu') } }, 200, undefined],
      ['one that nobody knows', { args: { region: 'eu' }, headers: { [P]: 'eu', 'mcp-param-other': 'x' } }, 200, undefined],
      ['missing', { args: { region: 'eu' } }, 400, -32020],
      ['another value', { args: { region: 'eu' }, headers: { [P]: 'us' } }, 400, -32020],
      ['another case', { args: { region: 'eu' }, headers: { [P]: 'EU' } }, 400, -32020],
      ['not base64', { args: { region: 'eu' }, headers: { [P]: '=?base64?!!?=' } }, 400, -32020],
      ['no UTF-8', { args: { region: 'eu' }, headers: { [P]: '=?base64?/w==?=' } }, 400, -32020],
    ]) {
      const direct = await ask(`${server.upstream}/mcp`, o);
      assert.deepEqual(direct, [status, code, undefined], `${what}, directly`);
      assert.deepEqual(await ask(url('bare'), o), direct, `${what}, without rules`);
      assert.deepEqual(await ask(url('ruled'), o), [status, code, code && 'policy'], what);
    }
  });

  test('the list that went by last counts, for its route alone; numbers are numbers', async () => {
    const tool = (props) => [{ name: 'op', inputSchema: { type: 'object', properties: props } }];
    const call = (args, headers) => ask(url('odd'), { name: 'op', args, headers });
    const seen = () => odd.seen.filter((q) => q.body?.method === 'tools/call').length;
    assert.equal((await call({ n: 42 }, { 'mcp-param-count': '43' }))[0], 200, 'nothing is declared yet');
    tools = tool({ n: { type: 'integer', 'x-mcp-header': 'Count' } });
    assert.equal((await list(url('odd')))[0], 200);
    const had = seen();
    assert.deepEqual(await call({ n: 42 }, { 'mcp-param-count': '43' }), [400, -32020, 'policy']);
    assert.deepEqual(await call({}, { 'mcp-param-count': '43' }), [400, -32020, 'policy'], 'for an argument that is not there');
    assert.deepEqual(await call({ n: 42 }, { 'mcp-param-count': '42', mcp_param_count: '43' }), [400, -32020, 'policy']);
    assert.equal(seen(), had, 'the server has not seen them');
    assert.equal((await call({ n: 42 }, { 'mcp-param-count': '42.0' }))[0], 200);
    assert.equal((await call({}, {}))[0], 200);
    tools = tool({ n: { type: 'integer', 'x-mcp-header': 'Amount' } });
    await list(url('odd'));
    assert.equal((await call({ n: 42 }, { 'mcp-param-count': '43', 'mcp-param-amount': '42' }))[0], 200, 'declared no more');
    assert.deepEqual(await call({ n: 42 }, { 'mcp-param-amount': '7' }), [400, -32020, 'policy']);
    tools = tool({ n: { type: 'integer', 'x-mcp-header': 'not a token' } });
    await list(url('odd'));
    assert.equal((await call({ n: 42 }, { 'mcp-param-amount': '7' }))[0], 200, 'a tool that breaks the rules declares nothing');
    assert.equal((await ask(url('ruled'), { args: { region: 'eu' }, headers: { 'mcp-param-region': 'eu' } }))[0], 200);
  });

  test('a list is passed on byte for byte where nothing is hidden', async () => {
    const q = { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' };
    tools = [{ name: 'z', inputSchema: { type: 'object', properties: { a: { type: 'string', 'x-mcp-header': 'A' } } } }, { name: 'a', inputSchema: {} }];
    const direct = await (await fetch(`http://127.0.0.1:${odd.port}/mcp`, q)).text();
    assert.equal(await (await fetch(url('odd'), q)).text(), direct);
  });
});
