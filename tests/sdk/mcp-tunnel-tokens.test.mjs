// Official MCP clients (1.32, 2.4) that show the gateway a token of the company's provider: one that they have, and one that they
// find their way to by what the gateway says of itself (RFC 9728). Whose token it is decides whose task it is.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import http from 'node:http';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import * as v2 from '@modelcontextprotocol/client';
import '../lib/localhost-names.mjs';
import { tempDir, until } from '../lib/own.mjs';
import { issuer } from '../lib/tokens.mjs';
import { tokenEndpoint } from '../lib/token-endpoint.mjs';
import { sdk1Server, sdk2Server, standIn } from '../lib/tunnel-mcp.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const INFO = { name: 'test', version: '1.0.0' }, ID = 'agent-7', SECRET = 'of-the-agent';
const META = { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': INFO, 'io.modelcontextprotocol/clientCapabilities': {} } };

/** The provider: its metadata, its keys, and tokens by client credentials for the resource that was asked for (RFC 8707). */
async function provider() {
  const p = await issuer();
  p.resources = [];
  p.server = http.createServer((q, r) => {
    const send = (o, status = 200) => { r.writeHead(status, { 'content-type': 'application/json' }); r.end(JSON.stringify(o)); };
    const parts = [];
    q.on('data', (d) => parts.push(d)).on('end', async () => {
      if (q.url === '/.well-known/oauth-authorization-server')
        return send({ issuer: p.iss, token_endpoint: `${p.iss}/token`, jwks_uri: `${p.iss}/keys`, authorization_endpoint: `${p.iss}/authorize`, response_types_supported: ['code'], grant_types_supported: ['client_credentials'], token_endpoint_auth_methods_supported: ['client_secret_basic'] });
      if (q.url === '/keys') return send(await p.jwks());
      if (q.url !== '/token') return send({}, 404);
      const form = new URLSearchParams(Buffer.concat(parts).toString());
      if (q.headers.authorization !== `Basic ${Buffer.from(`${ID}:${SECRET}`).toString('base64')}`) return send({ error: 'invalid_client' }, 401);
      p.resources.push(form.get('resource'));
      return send({ access_token: await p.token('k1', { sub: ID, aud: form.get('resource'), scope: form.get('scope') ?? '' }, { typ: 'at+jwt' }), token_type: 'Bearer', expires_in: 300 });
    });
  });
  await new Promise((ok) => p.server.listen(0, '127.0.0.1', ok));
  p.iss = `http://127.0.0.1:${p.server.address().port}`;
  p.stop = () => { p.server.closeAllConnections(); p.server.close(); };
  return p;
}

describe('clients with tokens', () => {
  let s, t, g, idp, one, two, odd, exchange, dir, log;
  const clients = new Set();
  const origin = (name) => `https://${name}.${t.domain}:${s.ingress}`;
  const url = (name) => new URL(`${origin(name)}/mcp`);
  const bearer = (token) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } });
  const records = () => fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => JSON.parse(l));
  const token = (sub, more) => idp.token('k1', { sub, aud: 'https://here.example', scope: 'mcp', ...more });
  async function connect1(name, options) { const c = new Client(INFO); clients.add(c); await c.connect(new StreamableHTTPClientTransport(url(name), options)); return c; }
  async function connect2(name, options) { const c = new v2.Client(INFO, { versionNegotiation: { mode: 'auto' } }); clients.add(c); await c.connect(new v2.StreamableHTTPClientTransport(url(name), options)); return c; }

  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    idp = await provider();
    [one, two, odd, exchange] = [await sdk1Server(), await sdk2Server(), await standIn((q, r, b) => odd.answer(q, r, b)), await tokenEndpoint({ client: { id: 'gw', secret: 'of-the-gateway' } })];
    dir = tempDir('tokens');
    log = path.join(dir, 'audit.jsonl');
    fs.writeFileSync(path.join(dir, 'client'), 'of-the-gateway\n', { mode: 0o600 });
    const at = (x, more) => ({ upstream: `http://127.0.0.1:${x.port}`, ...more });
    g = await startGateway(s, t, {
      one: at(one), two: at(two, { limits: { rate: '1000/s' } }), odd: at(odd, { limits: { rate: '1000/s' } }),
      mine: at(odd, { credential: { plaintext: true, oauth2: { token_url: exchange.url, grant: 'token_exchange', subject: 'caller', audience: 'up', client_id: 'gw', client_secret: { file: path.join(dir, 'client') } } } }),
    }, { config: { audit: { file: log }, callers: { jwt: { issuer: idp.iss, audience: ['https://here.example', ...['one', 'two'].flatMap((n) => [origin(n), `${origin(n)}/`])], jwks_url: `${idp.iss}/keys`, scopes: 'mcp' } } } });
    tls.setDefaultCACertificates([...tls.getCACertificates(), fs.readFileSync(t.ca.file, 'utf8')]);
  });
  after(async () => {
    for (const c of clients) await c.close().catch(() => {});
    await g?.stop();
    await s?.stop();
    for (const x of [idp, one, two, odd]) x?.stop();
    await exchange?.close();
  });

  for (const [version, connect, name, server] of [['1.32', (...a) => connect1(...a), 'one', () => one], ['2.4', (...a) => connect2(...a), 'two', () => two], ['2.4 to a server of 2025', (...a) => connect2(...a), 'one', () => one]])
    test(`${version}: a token that it has opens the route, and names it`, async () => {
      const who = `ada-${version}`, c = await connect(name, bearer(await token(who)));
      assert.ok((await c.listTools()).tools.length >= 5);
      assert.equal((await c.callTool({ name: 'search', arguments: { q: 'x' } })).content[0].text, 'found x');
      assert.ok(server().seen.length > 0 && server().seen.every((q) => !q.headers.authorization));
      await until('the record', () => records().some((r) => r.caller === who));
    });

  test('without one both say that they are not authorized; with one that is not taken, too', async () => {
    await assert.rejects(connect1('one', {}), (e) => e.code === 401 || e instanceof UnauthorizedError || /401|nauthorized/.test(e.message));
    await assert.rejects(connect2('two', {}), (e) => /401|nauthorized|send one as Authorization/.test(e.message));
    await assert.rejects(connect1('one', bearer(await token('ada', { exp: 1 }))), /expired|401/);
    await assert.rejects(connect1('one', bearer(await token('ada', { scope: 'other' }))), /scope|403/);
  });

  test('what the gateway says of itself leads to the provider (RFC 9728)', async () => {
    const r = await call(s, t, `one.${t.domain}`, { headers: { host: `one.${t.domain}:${s.ingress}` } });
    assert.match(r.headers['www-authenticate'], new RegExp(`^Bearer resource_metadata="${origin('one')}/\\.well-known/oauth-protected-resource"$`));
    const m = await call(s, t, `one.${t.domain}`, { headers: { host: `one.${t.domain}:${s.ingress}` }, path: '/.well-known/oauth-protected-resource' });
    assert.equal(m.status, 200);
    assert.match(m.headers['content-type'], /^application\/json/);
    assert.deepEqual(JSON.parse(m.text), { resource: origin('one'), authorization_servers: [idp.iss], bearer_methods_supported: ['header'], scopes_supported: ['mcp'] });
    for (const at of ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-protected-resource?x', '/.well-known/oauth-protected-resources']) assert.equal((await call(s, t, `one.${t.domain}`, { path: at })).status, 401, at);
    assert.equal((await call(s, t, `one.${t.domain}`, { path: '/.well-known/oauth-protected-resource', method: 'POST' })).status, 401);
  });

  for (const [version, connect, Provider, name] of [['1.32', (...a) => connect1(...a), ClientCredentialsProvider, 'one'], ['2.4', (...a) => connect2(...a), v2.ClientCredentialsProvider, 'two']])
    test(`${version}: a client without a token gets one there by itself`, async () => {
      const c = await connect(name, { authProvider: new Provider({ clientId: ID, clientSecret: SECRET, scope: 'mcp' }) });
      assert.equal((await c.callTool({ name: 'get_page', arguments: { id: 4 } })).content[0].text, 'page 4');
      assert.ok([origin(name), `${origin(name)}/`].includes(idp.resources.at(-1)), idp.resources.at(-1));
      await until('the record', () => records().some((r) => r.caller === ID));
    });

  test('a task is for the caller that made it, by whatever token of its own', async () => {
    odd.answer = (q, r, b) => { r.writeHead(200, { 'content-type': 'application/json' }); r.end(JSON.stringify({ jsonrpc: '2.0', id: b.id, result: b.method === 'tools/call' ? { resultType: 'task', taskId: b.params.arguments.id, status: 'working' } : { resultType: 'complete', taskId: b.params.taskId, status: 'completed' } })); };
    const as = async (who, method, params) => JSON.parse((await call(s, t, `odd.${t.domain}`, { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, 'mcp-name': params.name ?? params.taskId ?? '', authorization: `Bearer ${await token(who, { jti: `${Math.random()}` })}` }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, ...META } }) })).text);
    assert.equal((await as('ada', 'tools/call', { name: 'search', arguments: { id: 'hers' } })).result.taskId, 'hers');
    assert.equal((await as('ada', 'tasks/get', { taskId: 'hers' })).result.status, 'completed');
    const n = odd.seen.length;
    for (const m of ['tasks/get', 'tasks/update', 'tasks/cancel']) assert.deepEqual((await as('bob', m, { taskId: 'hers' })).error.code, -32602, m);
    assert.equal((await as('bob', 'tasks/list', {})).error?.data?.gateway_failure?.rule, 'tasks: list');
    assert.equal(odd.seen.length, n, 'the server was not asked');
    assert.equal((await as('ada', 'tasks/cancel', { taskId: 'hers' })).result.status, 'completed');
    await until('the records', () => ['ada', 'bob'].every((w) => records().some((r) => r.caller === w && r.host === `odd.${t.domain}`)));
  });

  test('what is exchanged for each caller is the token that was checked', async () => {
    odd.answer = (q, r) => r.end('{}');
    const [ada, bob] = [await token('ada'), await token('bob')];
    for (const [x, who] of [[ada, 'ada'], [bob, 'bob']]) exchange.subjects.set(x, who);
    const ask = (x) => call(s, t, `mine.${t.domain}`, { headers: { authorization: `Bearer ${x}` } });
    for (const [x, who] of [[ada, 'ada'], [bob, 'bob'], [ada, 'ada']]) {
      assert.equal((await ask(x)).status, 200);
      assert.equal(exchange.issued.get(odd.seen.at(-1).headers.authorization.replace('Bearer ', '')), who);
    }
    // One that is not taken is not shown to anybody.
    const n = exchange.asked.length;
    assert.equal((await ask(await token('ada', { aud: 'https://elsewhere.example' }))).status, 401);
    assert.equal(exchange.asked.length, n);
    assert.deepEqual(exchange.wrong, []);
  });
});
