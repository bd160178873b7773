// MCP servers that break the rules, and those that merely bend them: what `sallyport mcp` says, sends and refuses. Each stand-in
// writes its answers by hand, from the specification.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { BIN, end, ms, run, start, tempDir, until } from '../lib/own.mjs';
import { error, event, json, mcpStandIn, result } from '../lib/mcp-servers.mjs';

const mcp = (s, verb, ...args) => run(BIN, ['mcp', verb, s.url ?? s, ...args], { timeout: ms(30000) });
const discover = { resultType: 'complete', ttlMs: 0, cacheScope: 'private', supportedVersions: ['2026-07-28'], capabilities: { tools: {} } };
const oneTool = { resultType: 'complete', tools: [{ name: 'go', inputSchema: { type: 'object' } }] };
const said = (text) => ({ resultType: 'complete', content: [{ type: 'text', text }] });
const stream = (res, headers = {}) => res.writeHead(200, { 'content-type': 'text/event-stream', ...headers });

/** A server of 2026-07-28 that answers tools/call as a test likes. */
const modern = (call, list = oneTool) => mcpStandIn((req, res, body, s) => {
  if (body.method === 'server/discover') return json(res, 200, result(body.id, discover));
  if (body.method === 'tools/list') return typeof list === 'function' ? list(req, res, body, s) : json(res, 200, result(body.id, list));
  return call(req, res, body, s);
});

/** One of 2025: what is not answered by `by` is refused or accepted as such a server does. */
const legacy = (by, { session = 's-1', version = '2025-11-25' } = {}) => mcpStandIn((req, res, body, s) => {
  if (req.method === 'POST' && req.headers['mcp-protocol-version'] === '2026-07-28')
    return json(res, 400, error(null, -32000, 'Bad Request: Unsupported protocol version'));
  if (by(req, res, body, s)) return undefined;
  if (body.method === 'initialize')
    return json(res, 200, result(body.id, { protocolVersion: version, capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } }),
      session ? { 'mcp-session-id': session } : {});
  if (body.method === 'tools/list') return json(res, 200, result(body.id, oneTool));
  if (req.method !== 'POST') { res.writeHead(req.method === 'DELETE' ? 200 : 405); return res.end(); }
  if (body.id === undefined || !body.method) { res.writeHead(202); return res.end(); }
  return json(res, 200, error(body.id, -32601, 'Method not found'));
});

async function withServer(s, fn) {
  s = await s;
  try { return await fn(s); } finally { await s.close(); }
}

/** The first word of the message: where the failure comes from. */
const source = (r) => /^sallyport mcp: (\w+): /m.exec(r.err)?.[1];

describe('who said no', () => {
  test('a name that does not exist, a port where nobody is, a server without TLS', async () => {
    assert.equal(source(await mcp('https://no-such-host.invalid/mcp', 'list')), 'dns');
    const held = [];
    const l = net.createServer((c) => held.push(c.on('error', () => {}))).listen(0, '127.0.0.1');
    await new Promise((r) => l.once('listening', r));
    const { port } = l.address();
    assert.equal(source(await mcp(`https://127.0.0.1:${port}/mcp`, 'list', '--timeout', '1s')), 'timeout');
    for (const c of held) c.destroy();
    await new Promise((r) => l.close(r));
    assert.equal(source(await mcp(`http://127.0.0.1:${port}/mcp`, 'list')), 'connect');
    await withServer(modern(() => {}), async (s) => assert.equal(source(await mcp(s.url.replace('http', 'https'), 'list')), 'tls'));
  });

  test('401 and 403 are told apart from the rest, with the challenge', async () => {
    const challenge = 'Bearer error="invalid_token", resource_metadata="https://as.example/.well-known/x", scope="a b"';
    await withServer(mcpStandIn((req, res) => { res.writeHead(401, { 'www-authenticate': challenge }); res.end(); }), async (s) => {
      const r = await mcp(s, 'list');
      assert.equal(r.code, 4);
      assert.equal(source(r), 'auth');
      assert.match(r.err, /HTTP 401 \(invalid_token\)/);
      assert.match(r.err, /authorization at https:\/\/as\.example\/\.well-known\/x$/m);
      assert.equal(s.requests.length, 1, 'an older era is not tried');
    });
    await withServer(mcpStandIn((req, res) => { res.writeHead(403); res.end(); }), async (s) => assert.equal((await mcp(s, 'list')).code, 4));
  });

  test('a page that is no MCP, a gateway that is down, an error with data', async () => {
    const page = mcpStandIn((req, res) => { res.writeHead(200, { 'content-type': 'text/html' }); res.end('<html>'); });
    await withServer(page, async (s) => {
      const r = await mcp(s, 'list');
      assert.equal(source(r), 'protocol');
      assert.match(r.err, /is this the address of an MCP server\?/);
    });
    await withServer(mcpStandIn((req, res) => { res.writeHead(503); res.end(); }), async (s) => {
      assert.match((await mcp(s, 'list')).err, /^sallyport mcp: http: the server answers HTTP 503$/m);
      assert.equal(s.requests.length, 1);
    });
    const failure = { gateway_failure: { source: 'policy' } };
    await withServer(modern((req, res, b) => json(res, 200, error(b.id, -32001, 'no\u001b[31m', failure))), async (s) => {
      const r = await mcp(s, 'call', 'go');
      assert.equal(source(r), 'server');
      assert.ok(r.err.includes(JSON.stringify(failure)), r.err);
      assert.ok(!r.err.includes('\u001b'), 'nothing drives the terminal');
    });
  });

  test('nothing there at all: three eras were tried', async () => {
    await withServer(mcpStandIn((req, res) => { res.writeHead(404); res.end('no'); }), async (s) => {
      const r = await mcp(s, 'list');
      assert.match(r.err, /no MCP server answers at this address: the server answers HTTP 404/);
      assert.deepEqual(s.methods(), ['server/discover', 'initialize', 'GET']);
    });
  });
});

describe('a credential', () => {
  const dir = tempDir('mcp');
  const file = path.join(dir, 'token');
  fs.writeFileSync(file, 'tok-123\n', { mode: 0o600 });

  test('comes from a private file or the environment, goes with every request, and to no other origin', async () => {
    await withServer(modern((req, res, b) => json(res, 200, result(b.id, said('ok')))), async (s) => {
      assert.equal((await mcp(s, 'call', 'go', '--bearer-file', file)).code, 0);
      assert.ok(s.requests.length >= 3);
      assert.ok(s.requests.every((r) => r.headers.authorization === 'Bearer tok-123'));
      const r = await run(BIN, ['mcp', 'list', s.url], { env: { SALLYPORT_MCP_TOKEN: 'env-1' } });
      assert.equal(r.code, 0, r.err);
      assert.equal(s.requests.at(-1).headers.authorization, 'Bearer env-1');
      fs.chmodSync(file, 0o644);
      assert.equal((await mcp(s, 'list', '--bearer-file', file)).code, 2);
      fs.chmodSync(file, 0o600);
    });
    await withServer(modern(() => {}), async (other) => {
      const away = mcpStandIn((req, res) => { res.writeHead(307, { location: `${other.origin}/mcp?secret=1` }); res.end(); });
      await withServer(away, async (s) => {
        const r = await mcp(s, 'list', '--bearer-file', file);
        assert.equal(source(r), 'http');
        assert.match(r.err, /HTTP 307, http:\/\/127\.0\.0\.1:\d+\/mcp\), which is not followed/);
        assert.ok(!r.err.includes('secret'));
      });
      assert.equal(other.requests.length, 0);
    });
  });

  test('is not sent where HTTP+SSE points to another origin', async () => {
    await withServer(mcpStandIn((req, res) => { res.writeHead(202); res.end(); }), async (other) => {
      const sse = mcpStandIn((req, res) => {
        if (req.method !== 'GET') { res.writeHead(404); return res.end(); }
        stream(res);
        return res.write(`event: endpoint\ndata: ${other.origin}/take\n\n`);
      });
      await withServer(sse, async (s) => {
        const r = await mcp(s, 'list', '--bearer-file', file);
        assert.equal(source(r), 'protocol');
        assert.match(r.err, /of another origin; the credential does not go there/);
        assert.ok(s.methods().includes('GET'));
      });
      assert.equal(other.requests.length, 0);
    });
  });

  test('a token that was refused is read once more from its file, and the request made once more', async () => {
    const s = mcpStandIn((req, res, b) => {
      if (req.headers.authorization === 'Bearer tok-123') {
        fs.writeFileSync(file, 'tok-456\n');
        res.writeHead(401);
        return res.end();
      }
      return json(res, 200, result(b.id, b.method === 'tools/list' ? oneTool : discover));
    });
    await withServer(s, async (x) => {
      assert.equal((await mcp(x, 'list', '--bearer-file', file)).code, 0);
      const sent = x.requests.map((r) => r.headers.authorization);
      assert.deepEqual(sent, ['Bearer tok-123', 'Bearer tok-456', 'Bearer tok-456'], 'from then on it is the token');
    });
  });

  test('no token without TLS to another host; no header of the protocol by hand', async () => {
    const r = await run(BIN, ['mcp', 'list', 'http://192.0.2.1/mcp', '--bearer-file', file]);
    assert.equal(r.code, 2);
    assert.match(r.err, /without TLS/);
    for (const h of ['Authorization: Bearer x', 'cookie: a=b', 'X-Api-Key: x']) {
      const refused = await mcp('http://192.0.2.1/mcp', 'list', '--header', h);
      assert.equal(refused.code, 2, h);
      assert.match(refused.err, /^sallyport mcp: here: the header [\w-]+ is not sent to another host without TLS/m);
    }
    const away = await mcp('http://localhost/mcp', 'list', '--header', 'Authorization: Bearer x', '--connect-to', 'localhost:80:192.0.2.1:80');
    assert.equal(away.code, 2, away.err);
    assert.match(away.err, /without TLS/);
    await withServer(modern(() => {}), async (s) => {
      const near = await mcp('http://localhost/mcp', 'list', '--header', 'Authorization: Bearer x', '--connect-to', `localhost:80:${new URL(s.url).host}`);
      assert.equal(near.code, 0, near.err);
      assert.ok(s.requests.length > 0 && s.requests.every((q) => q.headers.authorization === 'Bearer x'));
    });
    for (const rule of ['localhost:80:127.0.0.1:', 'localhost:80:127.0.0.1', 'localhost::127.0.0.1:80', ':80:127.0.0.1:80', 'localhost:80:127.0.0.1:0', ''])
      assert.equal((await mcp('http://localhost/mcp', 'list', '--connect-to', rule)).code, 2, rule);
    for (const h of ['Mcp-Session-Id: x', 'Host: x', 'mcp-param-a: x', 'Content-Length: 3'])
      assert.equal((await mcp('http://127.0.0.1:1/mcp', 'list', '--header', h)).code, 2, h);
  });
});

describe('answers', () => {
  const callWith = (call, ...args) => withServer(modern(call), (s) => mcp(s, 'call', 'go', ...args).then((r) => ({ ...r, s })));

  test('that are for another request, or are two things, are none', async () => {
    const bad = {
      'another id': (b) => result(b.id + 1, said('x')),
      'the id as text': (b) => result(String(b.id), said('x')),
      'no id': (b) => ({ jsonrpc: '2.0', result: said('x') }),
      'result and error': (b) => ({ ...result(b.id, said('x')), error: { code: 1, message: 'x' } }),
      'no version': (b) => ({ id: b.id, result: said('x') }),
      'a result that is no object': (b) => result(b.id, 'x'),
      'an error without a code': (b) => ({ jsonrpc: '2.0', id: b.id, error: { message: 'x' } }),
      'an array': (b) => [result(b.id, said('x'))],
      'a kind of result that nobody knows': (b) => result(b.id, { ...said('x'), resultType: 'perhaps' }),
    };
    for (const [what, make] of Object.entries(bad)) {
      const r = await callWith((req, res, b) => json(res, 200, make(b)));
      assert.equal(r.code, 1, what);
      assert.equal(source(r), 'protocol', `${what}: ${r.err}`);
      assert.equal(r.out, '', what);
    }
    for (const text of ['', '{', '{"jsonrpc":"2.0","id":1,"id":2,"result":{}}', '['.repeat(200) + ']'.repeat(200)]) {
      const r = await callWith((req, res) => { res.writeHead(200, { 'content-type': 'application/json' }); res.end(text); });
      assert.equal(source(r), 'protocol', `${text.slice(0, 20)}: ${r.err}`);
    }
  });

  test('on a stream: others are passed over, the first for us counts, and what follows it is not read', async () => {
    const r = await callWith((req, res, b) => {
      stream(res);
      res.write(': hello\n\n' + event(result(b.id + 7, said('other'))) + event({ jsonrpc: '2.0', method: 'notifications/message', params: {} }));
      res.write(event({ jsonrpc: '2.0', id: 1, method: 'sampling/createMessage', params: {} }));
      res.write(event(result(b.id, said('first'))) + event(result(b.id, said('second'))));
    });
    assert.equal(r.out, 'first\n', r.err);
    assert.ok(!r.s.methods().includes('answer'), 'a server of 2026-07-28 may ask nothing there');
  });

  test('a stream that ends early, one that never ends, and one that floods', async () => {
    const early = await callWith((req, res, b) => { stream(res); res.end(event(result(b.id + 1, said('x')), 'e-1')); });
    assert.equal(source(early), 'closed');
    assert.match(early.err, /whether the call was made is not known/);
    assert.deepEqual(early.s.methods().filter((m) => m === 'GET'), [], 'such a stream is not resumed');

    const silent = await callWith((req, res) => {
      stream(res);
      const t = setInterval(() => res.write(': still here\n\n'), 20);
      res.on('close', () => clearInterval(t));
    }, '--timeout', '1s');
    assert.equal(source(silent), 'timeout');
    assert.equal(silent.s.closed, 1, 'the stream was closed, which cancels the call');

    const noise = event({ jsonrpc: '2.0', method: 'notifications/x' }).repeat(500);
    const flood = await callWith((req, res) => {
      stream(res);
      const more = () => { while (!res.destroyed && res.write(noise)); };
      res.on('drain', more).on('error', () => {});
      more();
    });
    assert.equal(source(flood), 'protocol', flood.err);
    assert.match(flood.err, /for nobody/);
  });

  test('a refusal whose body never ends', async () => {
    const r = await callWith((req, res) => {
      res.writeHead(400, { 'content-type': 'application/json' });
      const t = setInterval(() => res.write(' '), 20);
      res.on('close', () => clearInterval(t));
    }, '--timeout', '1s');
    assert.match(r.err, /^sallyport mcp: http: the server answers HTTP 400$/m);
    const large = await callWith((req, res) => { res.writeHead(400); res.end('x'.repeat(1 << 20)); });
    assert.match(large.err, /^sallyport mcp: http: the server answers HTTP 400$/m);
  });

  test('larger than the ceiling, as JSON and as one event', async () => {
    const big = 'x'.repeat(17 << 20);
    const asJson = await callWith((req, res, b) => json(res, 200, result(b.id, said(big))));
    assert.equal(source(asJson), 'limit', asJson.err);
    const asEvent = await callWith((req, res, b) => { stream(res); res.end(event(result(b.id, said(big)))); });
    assert.equal(source(asEvent), 'limit', asEvent.err);
    const fits = await callWith((req, res, b) => json(res, 200, result(b.id, said('x'.repeat(3 << 20)))));
    assert.equal(fits.code, 0);
    assert.equal(fits.out.length, (3 << 20) + 1);
  });

  test('progress keeps a call alive that takes longer than the timeout', async () => {
    const r = await callWith((req, res, b) => {
      stream(res);
      let n = 0;
      const t = setInterval(() => {
        if (++n < 8) return res.write(event({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: b.params._meta.progressToken, progress: n } }));
        clearInterval(t);
        return res.end(event(result(b.id, said('at last'))));
      }, ms(400));
    }, '--timeout', `${ms(1500)}ms`);
    assert.equal(r.out, 'at last\n', r.err);
    assert.match(r.err, /^progress 7$/m);
  });

  test('text, names and progress do not drive the terminal', async () => {
    const evil = '\u001b]0;owned\u0007\u202e';
    await withServer(modern((req, res, b) => json(res, 200, result(b.id, { content: [{ type: 'text', text: evil }, { type: 'image', mimeType: evil, data: 'AAAA' }] })),
      { tools: [{ name: `go${evil}`, description: evil, inputSchema: { type: 'object' } }] }), async (s) => {
      for (const r of [await mcp(s, 'list'), await mcp(s, 'call', 'go'), await mcp(s, 'call', 'go', '--json'), await mcp(s, 'list', '--json')]) {
        assert.equal(r.code, 0, r.err);
        assert.ok(!/[\u001b\u0007\u202e]/.test(r.out + r.err), JSON.stringify(r.out));
        assert.match(r.out, /owned/);
      }
    });
  });
});

describe('lists', () => {
  const pages = (list) => withServer(modern(() => {}, list), (s) => mcp(s, 'list', '--json').then((r) => ({ ...r, s })));
  const tool = (name, more = {}) => ({ name, inputSchema: { type: 'object', ...more } });

  test('of several pages are one; one that goes in a circle, or does not end, is refused', async () => {
    const r = await pages((req, res, b) => {
      const n = Number(b.params.cursor ?? 0);
      json(res, 200, result(b.id, { tools: [tool(`t${n}`)], ...(n < 3 ? { nextCursor: String(n + 1) } : {}) }));
    });
    assert.deepEqual(JSON.parse(r.out).tools.map((t) => t.name), ['t0', 't1', 't2', 't3']);
    const circle = await pages((req, res, b) => json(res, 200, result(b.id, { tools: [], nextCursor: 'again' })));
    assert.equal(source(circle), 'protocol');
    assert.equal(circle.s.methods().filter((m) => m === 'tools/list').length, 2);
    let n = 0;
    const endless = await pages((req, res, b) => json(res, 200, result(b.id, { tools: [], nextCursor: String(++n) })));
    assert.equal(source(endless), 'limit');
    assert.equal(n, 200);
    const many = await pages((req, res, b) => json(res, 200, result(b.id, { tools: Array.from({ length: 2001 }, (_, i) => tool(`t${i}`)) })));
    assert.equal(source(many), 'limit');
  });

  test('tools that cannot be called in one way are left out, and that is said', async () => {
    const r = await pages((req, res, b) => json(res, 200, result(b.id, {
      tools: [tool('ok'), tool('ok'), tool(''), { name: 'no schema' }, 'text', tool('x'.repeat(300)),
        tool('aside', { anyOf: [{ properties: { a: { type: 'string', 'x-mcp-header': 'A' } } }] }),
        tool('named', { properties: { 'x-mcp-header': { type: 'string' } } })],
    })));
    assert.deepEqual(JSON.parse(r.out).tools.map((t) => t.name), ['ok', 'named']);
    assert.match(r.err, /6 tools are left out/);
  });

  test('a server without tools has none', async () => {
    const r = await pages((req, res, b) => json(res, 404, error(b.id, -32601, 'Method not found')));
    assert.equal(r.code, 0, r.err);
    assert.deepEqual(JSON.parse(r.out).tools, []);
  });
});

describe('2026-07-28', () => {
  test('a header that the server finds wrong: the list is read anew, and the call made once more', async () => {
    let changed = false;
    const list = (req, res, b) => json(res, 200, result(b.id, { tools: [{ name: 'go',
      inputSchema: { type: 'object', properties: { r: { type: 'string', ...(changed ? { 'x-mcp-header': 'Region' } : {}) } } } }] }));
    const s = modern((req, res, b) => {
      if (!changed) { changed = true; return json(res, 400, error(b.id, -32020, 'Header mismatch')); }
      return json(res, 200, result(b.id, said(`region ${req.headers['mcp-param-region']}`)));
    }, list);
    await withServer(s, async (x) => assert.equal((await mcp(x, 'call', 'go', 'r=eu')).out, 'region eu\n'));
    await withServer(modern((req, res, b) => json(res, 400, error(b.id, -32020, 'Header mismatch'))), async (x) => {
      const r = await mcp(x, 'call', 'go');
      assert.match(r.err, /error -32020/);
      assert.equal(x.methods().filter((m) => m === 'tools/call').length, 2);
    });
  });

  test('input that cannot be given is told; that which can be is given, a bounded number of times', async () => {
    const ask = (method) => ({ resultType: 'input_required', inputRequests: { q: { method, params: { requestedSchema: { type: 'object', properties: { a: { type: 'string', default: 'd' } } } } } } });
    for (const method of ['sampling/createMessage', 'roots/list', 'elicitation/create', 'x/y']) {
      const r = await withServer(modern((req, res, b) => json(res, 200, result(b.id, ask(method)))), (s) => mcp(s, 'call', 'go').then((x) => ({ ...x, n: s.methods().filter((m) => m === 'tools/call').length })));
      assert.equal(source(r), 'input', method);
      assert.equal(r.n, 1);
    }
    await withServer(modern((req, res, b) => json(res, 200, result(b.id, ask('elicitation/create')))), async (s) => {
      const r = await mcp(s, 'call', 'go', '--elicit', 'defaults');
      assert.equal(source(r), 'limit');
      const calls = s.requests.filter((q) => q.body.method === 'tools/call');
      assert.equal(calls.length, 10);
      assert.equal(new Set(calls.map((q) => q.body.id)).size, 10);
      assert.deepEqual(calls[1].body.params.inputResponses, { q: { action: 'accept', content: { a: 'd' } } });
      assert.ok(!('requestState' in calls[1].body.params));
    });
  });

  test('a question that is no form is accepted by nobody', async () => {
    const ask = (mode) => ({ resultType: 'input_required', inputRequests: { q: { method: 'elicitation/create', params: { ...mode, message: 'x', url: 'https://away.example/' } } } });
    for (const [mode, want] of [[{ mode: 'url' }, 1], [{ mode: 7 }, 1], [{ mode: 'form' }, 0], [{}, 0]])
      await withServer(modern((req, res, b) => json(res, 200, result(b.id, b.params.inputResponses ? said('taken') : ask(mode)))), async (s) => {
        const r = await mcp(s, 'call', 'go', '--elicit', 'defaults');
        assert.equal(r.code, want, JSON.stringify(mode) + r.err);
        assert.equal(source(r), want ? 'input' : undefined);
        assert.equal(s.requests.filter((q) => q.body.params?.inputResponses).length, 1 - want);
      });
    const old = legacy((req, res, b) => {
      if (b.method !== 'tools/call') return false;
      stream(res);
      for (const mode of ['url', 'form'])
        res.write(event({ jsonrpc: '2.0', id: mode, method: 'elicitation/create', params: { mode, message: 'x', url: 'https://away.example/', elicitationId: '1' } }));
      res.end(event(result(b.id, said('done'))));
      return true;
    });
    await withServer(old, async (s) => {
      assert.equal((await mcp(s, 'call', 'go', '--elicit', 'defaults')).out, 'done\n');
      const answers = s.requests.filter((q) => q.http === 'POST' && !q.body.method).map((q) => q.body);
      assert.deepEqual(answers.map((a) => [a.id, a.error?.code, a.result?.action]), [['url', -32602, undefined], ['form', undefined, 'accept']]);
    });
  });

  test('a server of the future, and one that refuses what it names', async () => {
    const future = mcpStandIn((req, res, b) => json(res, 400, error(b.id, -32022, 'no', { supported: ['2099-01-01'] })));
    await withServer(future, async (s) => {
      assert.match((await mcp(s, 'list')).err, /no revision of MCP that this client speaks/);
      assert.equal(s.requests.length, 1);
    });
    const odd = mcpStandIn((req, res, b) => json(res, 400, error(b.id, -32022, 'no', { supported: ['2026-07-28'] })));
    await withServer(odd, async (s) => {
      assert.equal(source(await mcp(s, 'list')), 'protocol');
      assert.equal(s.requests.length, 2);
    });
  });

  test('an interrupt closes the stream: the server sees the call cancelled', async () => {
    await withServer(modern((req, res) => stream(res).write(': working\n\n')), async (s) => {
      const p = start(BIN, ['mcp', 'call', s.url, 'go']);
      await until('the call is there', () => s.methods().includes('tools/call'));
      assert.equal(s.closed, 0);
      await end(p, { signal: 'SIGINT' });
      await until('its stream is closed', () => s.closed === 1);
    });
  });
});

describe('2025', () => {
  test('revisions that it may choose, and one that it may not', async () => {
    for (const version of ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'])
      await withServer(legacy(() => false, { version, session: null }), async (s) => {
        const r = await mcp(s, 'list', '--json');
        assert.equal(JSON.parse(r.out).protocolVersion, version, r.err);
        assert.equal(s.requests.at(-1).headers['mcp-protocol-version'], version);
      });
    for (const version of ['2026-07-28', '1900-01-01'])
      await withServer(legacy(() => false, { version }), async (s) => assert.equal(source(await mcp(s, 'list')), 'protocol'));
  });

  test('a session that the server forgot is opened anew, and the request made once more', async () => {
    let forgotten = false;
    const s = legacy((req, res, b) => {
      if (b.method !== 'tools/call') return false;
      if (!forgotten) { forgotten = true; json(res, 404, error(b.id, -32001, 'Session not found')); } else json(res, 200, result(b.id, said('again')));
      return true;
    });
    await withServer(s, async (x) => {
      const r = await mcp(x, 'call', 'go');
      assert.equal(r.out, 'again\n', r.err);
      assert.equal(x.methods().filter((m) => m === 'initialize').length, 2);
    });
    const never = legacy((req, res, b) => b.method === 'tools/call' && (json(res, 404, error(b.id, -32001, 'Session not found')), true));
    await withServer(never, async (x) => {
      assert.equal((await mcp(x, 'call', 'go')).code, 1);
      assert.equal(x.methods().filter((m) => m === 'tools/call').length, 2);
    });
  });

  test('questions of the server: ping is answered, what nobody can answer is refused', async () => {
    const s = legacy((req, res, b) => {
      if (b.method !== 'tools/call') return false;
      stream(res);
      for (const [id, method] of [['p', 'ping'], [5, 'sampling/createMessage'], ['r', 'roots/list'], ['e', 'elicitation/create']])
        res.write(event({ jsonrpc: '2.0', id, method, params: {} }));
      res.end(event(result(b.id, said('done'))));
      return true;
    });
    await withServer(s, async (x) => {
      assert.equal((await mcp(x, 'call', 'go')).out, 'done\n');
      const answers = x.requests.filter((q) => q.http === 'POST' && !q.body.method).map((q) => q.body);
      assert.deepEqual(answers[0], { jsonrpc: '2.0', id: 'p', result: {} });
      assert.deepEqual(answers.slice(1).map((a) => [a.id, a.error.code]), [[5, -32601], ['r', -32601], ['e', -32601]]);
    });
    const many = legacy((req, res, b) => {
      if (b.method !== 'tools/call') return false;
      stream(res);
      for (let i = 0; i < 200; i++) res.write(event({ jsonrpc: '2.0', id: i, method: 'ping' }));
      return true;
    });
    await withServer(many, async (x) => {
      assert.equal(source(await mcp(x, 'call', 'go')), 'protocol');
      assert.equal(x.requests.filter((q) => q.http === 'POST' && !q.body.method).length, 64);
    });
  });

  test('a stream that breaks is taken up where it ended; without an id it is not', async () => {
    const resumed = legacy((req, res, b) => {
      if (b.method === 'tools/call') { stream(res); res.write('id: e-1\nretry: 10\ndata:\n\n', () => res.socket.destroy()); resumed.id = b.id; return true; }
      if (req.method === 'GET' && req.headers['last-event-id'] === 'e-1') { stream(res); res.end(event(result(resumed.id, said('resumed')), 'e-2')); return true; }
      return false;
    });
    await withServer(resumed, async (x) => {
      const r = await mcp(x, 'call', 'go');
      assert.equal(r.out, 'resumed\n', r.err);
      assert.equal(x.requests.find((q) => q.http === 'GET').headers['mcp-session-id'], 's-1');
      assert.equal(x.methods().filter((m) => m === 'tools/call').length, 1);
    });
    const gone = legacy((req, res, b) => b.method === 'tools/call' && (stream(res), res.write(': x\n\n', () => res.socket.destroy()), true));
    await withServer(gone, async (x) => {
      assert.equal(source(await mcp(x, 'call', 'go')), 'closed');
      assert.ok(!x.methods().includes('GET'));
      assert.equal(x.methods().filter((m) => m === 'tools/call').length, 1, 'a call is never made twice');
    });
  });

  test('time is up: the server is told, since closing a stream means nothing to it', async () => {
    const s = legacy((req, res, b) => b.method === 'tools/call' && (stream(res).write(': x\n\n'), true));
    await withServer(s, async (x) => {
      assert.equal(source(await mcp(x, 'call', 'go', '--timeout', '1s')), 'timeout');
      const call = x.requests.find((q) => q.body.method === 'tools/call');
      const told = x.requests.find((q) => q.body.method === 'notifications/cancelled');
      assert.equal(told.body.params.requestId, call.body.id);
      assert.equal(x.methods().at(-1), 'DELETE');
    });
  });

  test('a connection that dies under a call: it is not made once more', async () => {
    let calls = 0;
    const s = legacy((req, res, b) => b.method === 'tools/call' && (calls++, req.socket.destroy(), true));
    await withServer(s, async (x) => {
      assert.equal(source(await mcp(x, 'call', 'go')), 'closed');
      assert.equal(calls, 1);
    });
  });
});

describe('HTTP+SSE', () => {
  /** `say(text)` writes on the stream; `by` answers what is posted. */
  const old = (by) => {
    let say;
    return mcpStandIn((req, res, b, s) => {
      if (req.method === 'GET') {
        stream(res);
        say = (m) => res.write(typeof m === 'string' ? m : event(m));
        s.cut = () => res.destroy();
        return say('event: endpoint\ndata: /messages?id=1\n\n');
      }
      if (req.url === '/mcp') { res.writeHead(405); return res.end(); }
      res.writeHead(202);
      res.end();
      if (b.method === 'initialize') return say(result(b.id, { protocolVersion: '2024-11-05', capabilities: {}, serverInfo: { name: 'old', version: '1' } }));
      return by(b, say, s);
    });
  };

  test('requests go where the server says, and answers come on its stream, in any order', async () => {
    const s = old((b, say) => {
      if (b.method !== 'tools/call') return;
      say(result(b.id + 100, said('not ours')));
      say({ jsonrpc: '2.0', id: 'q', method: 'ping' });
      say(result(b.id, said('old')));
    });
    await withServer(s, async (x) => {
      const r = await mcp(x, 'call', 'go');
      assert.equal(r.out, 'old\n', r.err);
      assert.ok(x.requests.filter((q) => q.http === 'POST').slice(2).every((q) => q.url === '/messages?id=1'));
      assert.ok(x.requests.every((q) => !('mcp-session-id' in q.headers)));
      await until('the ping is answered', () => x.requests.some((q) => q.body.id === 'q' && q.body.result));
    });
  });

  test('a stream that ends, lies or says nothing ends the call', async () => {
    await withServer(old((b, say, s) => b.method === 'tools/call' && s.cut()), async (x) => assert.equal(source(await mcp(x, 'call', 'go')), 'closed'));
    await withServer(old((b, say) => b.method === 'tools/call' && say('data: {"jsonrpc":\n\n')), async (x) => assert.equal(source(await mcp(x, 'call', 'go')), 'protocol'));
    await withServer(old(() => {}), async (x) => {
      assert.equal(source(await mcp(x, 'call', 'go', '--timeout', '1s')), 'timeout');
      assert.ok(x.methods().includes('notifications/cancelled'));
    });
    const mute = mcpStandIn((req, res) => { if (req.method === 'GET') stream(res).write(': x\n\n'); else { res.writeHead(404); res.end(); } });
    await withServer(mute, async (x) => assert.equal(source(await mcp(x, 'list', '--timeout', '1s')), 'timeout'));
  });
});

describe('the stream of the server\'s own, of 2025', () => {
  test('is followed when a person can be asked: a question there is answered, a broken one opened again', async () => {
    let streams = 0;
    let push;
    const s = legacy((req, res, b) => {
      if (req.method === 'GET') {
        streams++;
        stream(res);
        res.write(`id: g-${streams}\nretry: 10\ndata:\n\n`, () => { if (streams === 1) res.destroy(); });
        push = (m) => res.write(event(m));
        return true;
      }
      if (!b.method && b.id === 'ask') { s2.answer(b); res.writeHead(202); res.end(); return true; }
      if (b.method !== 'tools/call') return false;
      const ask = { jsonrpc: '2.0', id: 'ask', method: 'elicitation/create', params: { requestedSchema: { properties: { n: { default: 3 } } } } };
      const s2res = res;
      s2.answer = (a) => json(s2res, 200, result(b.id, said(JSON.stringify(a.result))));
      until('the second stream', () => streams > 1).then(() => push(ask));
      return true;
    });
    const s2 = {};
    await withServer(s, async (x) => {
      const r = await mcp(x, 'call', 'go', '--elicit', 'defaults', '--timeout', '10s');
      assert.equal(r.out, '{"action":"accept","content":{"n":3}}\n', r.err);
      const gets = x.requests.filter((q) => q.http === 'GET');
      assert.equal(gets[0].headers['last-event-id'], undefined);
      assert.equal(gets[1].headers['last-event-id'], 'g-1');
      assert.deepEqual(x.requests.find((q) => q.body.method === 'initialize').body.params.capabilities, { elicitation: { form: {} } });
    });
  });
});
