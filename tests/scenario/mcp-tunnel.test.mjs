// `sallyport mcp` through a tunnel: ingress, edge, gateway, and servers of the official SDKs behind it, in every era.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { BIN, ms, run, start, until } from '../lib/own.mjs';
import { event, json, mcpStandIn, result, sdkModern, sdkSse, sdkStateful } from '../lib/mcp-servers.mjs';
import { edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

describe('through a tunnel', () => {
  let s, t, g, slow;
  const servers = {};
  before(async () => {
    Object.assign(servers, { modern: await sdkModern(), sessions: await sdkStateful(), sse: await sdkSse() });
    slow = await mcpStandIn((req, res, b) => {
      if (b.method === 'server/discover') return json(res, 200, result(b.id, { supportedVersions: ['2026-07-28'], capabilities: {} }));
      if (b.method === 'tools/list') return json(res, 200, result(b.id, { tools: [] }));
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      return res.write(event({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: b.params._meta.progressToken, progress: 1 } }));
    });
    s = await edgeServer();
    t = await makeTunnel(s);
    g = await startGateway(s, t, Object.fromEntries(Object.entries({ ...servers, slow }).map(([n, x]) => [n, x.origin])));
  });
  after(async () => {
    await g?.stop();
    await s?.stop();
    for (const x of [...Object.values(servers), slow]) await x?.close();
  });

  const place = (name, at) => {
    const host = `${name}.${t.domain}`;
    return [`https://${host}:8443${at}`, '--ca-file', t.ca.file, '--connect-to', `${host}:8443:127.0.0.1:${s.ingress}`];
  };
  const mcp = (verb, name, at, ...args) => {
    const [url, ...flags] = place(name, at);
    return run(BIN, ['mcp', verb, url, ...args, ...flags], { timeout: ms(30000) });
  };

  for (const [name, at, version] of [['modern', '/mcp', '2026-07-28'], ['sessions', '/mcp', '2025-11-25'], ['sse', '/sse', '2025-11-25']])
    test(`${name}: tools, a call with progress, a tool that fails`, async () => {
      const l = await mcp('list', name, at, '--json');
      assert.equal(l.code, 0, l.err);
      assert.equal(JSON.parse(l.out).protocolVersion, version);
      const sum = await mcp('call', name, at, 'add', 'a=40', 'b=2');
      assert.equal(sum.out, '42\n', sum.err);
      assert.match(sum.err, /^progress 1 of 2: half$/m);
      assert.equal((await mcp('call', name, at, 'fail')).code, 3);
      assert.ok(servers[name].requests.length > 3);
    });

  test('progress comes at once, and an interrupt reaches the private server', async () => {
    const [url, ...flags] = place('slow', '/mcp');
    const p = start(BIN, ['mcp', 'call', url, 'go', ...flags]);
    await until('progress is told', () => /^progress 1$/m.test(p.err));
    assert.equal(slow.closed, 0);
    p.kill('SIGINT');
    await until('the private server sees its stream closed', () => slow.closed === 1);
  });

  test('another CA is not trusted, and a route that is not there is told', async () => {
    const [url, , , ...to] = place('modern', '/mcp');
    const r = await run(BIN, ['mcp', 'list', url, ...to]);
    assert.match(r.err, /^sallyport mcp: tls: /m);
    const none = await mcp('list', 'nothing', '/mcp');
    assert.notEqual(none.code, 0);
    assert.match(none.err, /^sallyport mcp: (tls|http|server|closed): /m);
  });
});
