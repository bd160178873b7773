// A private MCP server that wants tokens of a private authorization server, both behind one gateway and both of the official SDK (1.32):
// the official client finds its way by what they say of themselves, and comes to know no address of the private network.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import tls from 'node:tls';
import { randomUUID } from 'node:crypto';
import express from 'express';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createOAuthMetadata, getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import '../lib/localhost-names.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

async function listen(handler) {
  const s = http.createServer(handler);
  await new Promise((ok) => s.listen(0, '127.0.0.1', ok));
  return { port: s.address().port, stop: () => { s.closeAllConnections(); s.close(); } };
}

/** The SDK's authorization server, which lets everybody in at once; what it was asked, and its tokens. */
async function authorizationServer() {
  const a = { clients: new Map(), codes: new Map(), tokens: new Map(), resources: [] };
  a.provider = {
    clientsStore: {
      getClient: (id) => a.clients.get(id),
      registerClient: (c) => { const made = { ...c, client_id: randomUUID(), client_id_issued_at: 1 }; a.clients.set(made.client_id, made); return made; },
    },
    async authorize(client, params, res) {
      const code = randomUUID(), to = new URL(params.redirectUri);
      a.codes.set(code, params);
      to.searchParams.set('code', code);
      if (params.state) to.searchParams.set('state', params.state);
      res.redirect(302, to.href);
    },
    challengeForAuthorizationCode: async (client, code) => a.codes.get(code).codeChallenge,
    async exchangeAuthorizationCode(client, code, verifier, redirectUri, resource) {
      const token = randomUUID();
      a.resources.push(a.codes.get(code).resource?.href, resource?.href);
      a.tokens.set(token, { token, clientId: client.client_id, scopes: [], resource, expiresAt: Date.now() / 1000 + 3600 });
      return { access_token: token, token_type: 'Bearer', expires_in: 3600 };
    },
    exchangeRefreshToken: async () => { throw new Error('not asked for here'); },
    async verifyAccessToken(token) { if (!a.tokens.has(token)) throw new Error('unknown'); return a.tokens.get(token); },
  };
  const app = express(), s = await listen(app);
  a.issuer = new URL(`http://127.0.0.1:${s.port}`);
  app.use(mcpAuthRouter({ provider: a.provider, issuerUrl: a.issuer }));
  return Object.assign(a, s);
}

/** The SDK's resource server with one tool, which says whose token it got. */
async function resourceServer(as) {
  const app = express(), s = await listen(app), at = new URL(`http://127.0.0.1:${s.port}/mcp`);
  app.use(mcpAuthMetadataRouter({ oauthMetadata: createOAuthMetadata({ provider: as.provider, issuerUrl: as.issuer }), resourceServerUrl: at }));
  app.use('/mcp', requireBearerAuth({ verifier: as.provider, resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(at) }));
  app.post('/mcp', express.json(), async (q, r) => {
    const m = new McpServer({ name: 'notes', version: '1' });
    m.registerTool('whoami', {}, async (extra) => ({ content: [{ type: 'text', text: extra.authInfo.clientId }] }));
    const t = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    r.on('close', () => { t.close(); m.close(); });
    await m.connect(t);
    await t.handleRequest(q, r, q.body);
  });
  return s;
}

/** What a client keeps of an authorization. */
class Kept {
  redirectUrl = 'http://127.0.0.1:1/callback';
  clientMetadata = { client_name: 'test', redirect_uris: ['http://127.0.0.1:1/callback'], token_endpoint_auth_method: 'none' };
  clientInformation() { return this.client; }
  saveClientInformation(c) { this.client = c; }
  tokens() { return this.given; }
  saveTokens(t) { this.given = t; }
  redirectToAuthorization(u) { this.sent = u; }
  saveCodeVerifier(v) { this.verifier = v; }
  codeVerifier() { return this.verifier; }
}

describe('a private server that wants tokens', () => {
  let s, t, g, as, rs, odd;
  const said = {};  // what a server of our own answers: path -> [status, headers, body]
  const url = (name, at = '') => `https://${name}.${t.domain}:${s.ingress}${at}`;
  before(async () => {
    as = await authorizationServer();
    rs = await resourceServer(as);
    odd = await listen((q, r) => { const [status, headers, body] = said[q.url] ?? [404, {}, '']; odd.asked = q.headers; r.writeHead(status, headers); r.end(body); });
    s = await edgeServer();
    t = await makeTunnel(s);
    g = await startGateway(s, t, {
      notes: { upstream: `http://127.0.0.1:${rs.port}`, pass_authorization: true }, login: `http://127.0.0.1:${as.port}`,
      odd: `http://127.0.0.1:${odd.port}`, strict: { upstream: `http://127.0.0.1:${odd.port}`, tools: { allow: ['a'] }, limits: { result_bytes: 4096 } },
    });
    tls.setDefaultCACertificates([...tls.getCACertificates(), fs.readFileSync(t.ca.file, 'utf8')]);
  });
  after(async () => { await g?.stop(); await s?.stop(); for (const x of [as, rs, odd]) x?.stop(); });

  test('the official client is led through the tunnel, registers, gets a token, and calls', async () => {
    const kept = new Kept(), transport = () => new StreamableHTTPClientTransport(new URL(url('notes', '/mcp')), { authProvider: kept });
    const first = transport();
    await assert.rejects(new Client({ name: 'x', version: '1' }).connect(first), UnauthorizedError);
    assert.equal(kept.sent.origin + kept.sent.pathname, url('login', '/authorize'));
    assert.equal(kept.sent.searchParams.get('resource'), url('notes', '/mcp'));
    const back = await fetch(kept.sent, { redirect: 'manual' });
    assert.equal(back.status, 302);
    await first.finishAuth(new URL(back.headers.get('location')).searchParams.get('code'));
    assert.deepEqual(as.resources, [url('notes', '/mcp'), url('notes', '/mcp')], 'the token is for the tunnel\'s name');
    const c = new Client({ name: 'x', version: '1' });
    await c.connect(transport());
    const r = await c.callTool({ name: 'whoami', arguments: {} });
    assert.equal(r.content[0].text, kept.client.client_id);
    await c.close();
  });

  test('nothing of the private network is in challenge and metadata', async () => {
    const r = await fetch(url('notes', '/mcp'), { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    assert.equal(r.status, 401);
    const challenge = r.headers.get('www-authenticate');
    assert.match(challenge, /^Bearer error="invalid_token"/);
    assert(challenge.includes(`resource_metadata="${url('notes', '/.well-known/oauth-protected-resource/mcp')}"`), challenge);
    for (const [name, at] of [['notes', '/.well-known/oauth-protected-resource/mcp'], ['login', '/.well-known/oauth-authorization-server']]) {
      const m = await fetch(url(name, at));
      const text = await m.text();
      assert.equal(m.status, 200);
      assert.doesNotMatch(text, /127\.0\.0\.1/);
      assert.equal(Number(m.headers.get('content-length')), Buffer.byteLength(text));
    }
  });

  const JSON_TYPE = { 'content-type': 'application/json' };
  const at = '/.well-known/oauth-protected-resource';
  const ask = (name, path = at) => call(s, t, `${name}.${t.domain}`, { path, headers: { host: `${name}.${t.domain}:${s.ingress}`, connection: 'close', 'accept-encoding': 'gzip', range: 'bytes=0-3' } });

  test('it is asked for in the clear and as a whole, and told the name and port that its caller uses', async () => {
    said[at] = [200, { ...JSON_TYPE, etag: '"1"', digest: 'x' }, `{"resource":"http://127.0.0.1:${odd.port}"}`];
    const r = await ask('odd');
    assert.equal(r.text, `{"resource":"${url('odd')}"}`);
    assert.equal(odd.asked['accept-encoding'], 'identity');
    assert.equal(odd.asked.range, undefined);
    assert.equal(odd.asked['x-forwarded-host'], `odd.${t.domain}:${s.ingress}`);
    assert.equal(r.headers.digest, undefined, 'of other bytes');
    assert.equal((await ask('strict')).text, `{"resource":"${url('odd')}"}`.replace('odd.', 'strict.'));
  });

  test('what is no document about this network passes byte for byte', async () => {
    for (const body of ['{ "resource" : "https://elsewhere.example/mcp", "signed_metadata": "a.b.c" }', '<html>http://127.0.0.1/</html>', '', '[]', '{"resource":']) {
      said[at] = [200, JSON_TYPE, body];
      assert.equal((await ask('odd')).text, body);
    }
    said[at] = [404, JSON_TYPE, `{"resource":"http://127.0.0.1:${odd.port}"}`];
    assert.equal((await ask('odd')).text, `{"resource":"http://127.0.0.1:${odd.port}"}`, 'an error is the server\'s own');
    said['/mcp'] = [200, JSON_TYPE, `{"resource":"http://127.0.0.1:${odd.port}"}`];
    assert.equal((await ask('odd', '/mcp')).text, `{"resource":"http://127.0.0.1:${odd.port}"}`, 'only well-known places are looked into');
  });

  test('one without end is cut off at the limit of a message, and says so', async () => {
    said[at] = [200, JSON_TYPE, `{"resource":"http://127.0.0.1:${odd.port}","x":"${'x'.repeat(5000)}"}`];
    const r = await ask('strict');
    assert.equal(r.status, 502);
    assert.match(JSON.parse(r.text).error.message, /result is larger than the gateway lets through/);
    assert.equal((await ask('odd')).status, 200);
  });

  test('an answer that points to its own server points to where its callers find it; other routes are nobody\'s business', async () => {
    for (const [to, want] of [[`http://127.0.0.1:${odd.port}/next?x=1`, url('odd', '/next?x=1')], [`http://127.0.0.1:${as.port}/login`, `http://127.0.0.1:${as.port}/login`], ['/next', '/next'], ['https://elsewhere.example/', 'https://elsewhere.example/'], ['http://127.0.0.1:1/', 'http://127.0.0.1:1/']]) {
      said['/mcp'] = [302, { location: to }, ''];
      assert.equal((await ask('odd', '/mcp')).headers.location, want);
    }
  });

  test('several challenges, one of them of somebody else', async () => {
    said['/mcp'] = [401, [['www-authenticate', 'Basic realm="a, resource_metadata=b"'], ['www-authenticate', `Bearer resource_metadata="http://127.0.0.1:${odd.port}/m"`], ['www-authenticate', 'DPoP resource_metadata="https://idp.example/m"']].flat(), ''];
    const r = await ask('odd', '/mcp');
    assert.equal(r.headers['www-authenticate'], `Basic realm="a, resource_metadata=b", Bearer resource_metadata="${url('odd', '/m')}", DPoP resource_metadata="https://idp.example/m"`);
  });
});
