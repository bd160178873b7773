// A protected MCP server and its authorization server, for tests: strict about everything that a client owes them, and with manners
// that a test chooses. `as.wrong` has a line for whatever a client did that RFC 6749, 7636, 7591, 8707 or 9449 does not allow.
import http from 'node:http';
import { createHash, randomBytes } from 'node:crypto';

const listen = async (serve) => {
  const server = http.createServer((req, res) => {
    let text = '';
    req.setEncoding('utf8').on('data', (d) => { text += d; }).on('end', () => serve(req, res, text));
  });
  await new Promise((r) => server.listen(0, '127.0.0.1', r));
  return { server, origin: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((r) => { server.close(r); server.closeAllConnections(); }) };
};
const send = (res, status, body, headers = {}) => {
  res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  res.end(typeof body === 'string' ? body : JSON.stringify(body));
};
const random = (tag) => `${tag}-${randomBytes(12).toString('hex')}`;

/**
 * `manners` may have: metadata(m), token(t), authorize(params) (what is put into the redirect), registration(r): each gets what would be
 * sent and gives what is sent; before(req, res, text) serves a request itself when it returns true. `life`: seconds of a token.
 */
export async function authorizationServer(manners = {}) {
  const as = { manners, clients: new Map(), codes: new Map(), access: new Map(), refresh: new Map(), wrong: [], seen: [], revoked: [], life: 3600,
    methods: ['none', 'client_secret_basic', 'client_secret_post'] };
  const no = (what) => { as.wrong.push(what); return undefined; };

  /** The client that a request to the token endpoint is of; undefined: none, and what is wrong is noted. */
  function clientOf(req, form) {
    const basic = req.headers.authorization?.match(/^Basic (.+)$/)?.[1];
    const [id, secret] = basic ? Buffer.from(basic, 'base64').toString().split(':').map(decodeURIComponent) : [form.get('client_id'), form.get('client_secret')];
    const c = as.clients.get(id);
    if (!c) return no(`a client that nobody knows: ${id}`);
    const method = basic ? 'client_secret_basic' : secret ? 'client_secret_post' : 'none';
    if (basic && form.has('client_secret')) return no('a secret twice');
    if (method !== c.method) return no(`the client is of ${c.method} and came by ${method}`);
    if (c.secret && c.secret !== secret) return no('a secret that is not the client\'s');
    return c;
  }
  function issue(res, grant) {
    const access = random('access'), refresh = random('refresh');
    as.access.set(access, grant);
    as.refresh.set(refresh, { ...grant, access });
    const t = { access_token: access, token_type: 'Bearer', expires_in: as.life, refresh_token: refresh, scope: grant.scope };
    send(res, 200, as.manners.token ? as.manners.token(t) : t);
  }
  function token(req, res, form) {
    for (const k of new Set(form.keys())) if (form.getAll(k).length > 1) no(`${k} twice`);
    if (req.headers['content-type'] !== 'application/x-www-form-urlencoded') no('no form');
    const c = clientOf(req, form);
    if (!c) return send(res, 401, { error: 'invalid_client' });
    if (form.get('resource') !== as.resource) no(`the resource ${form.get('resource')}`);
    if (form.get('grant_type') === 'authorization_code') {
      const code = as.codes.get(form.get('code'));
      as.codes.delete(form.get('code'));
      if (!code || code.client !== c.id) { no('a code that is not the client\'s'); return send(res, 400, { error: 'invalid_grant' }); }
      if (code.redirect !== form.get('redirect_uri')) no('another redirect_uri than before');
      const verifier = form.get('code_verifier') ?? '';
      if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) no('a verifier that is none');
      if (createHash('sha256').update(verifier).digest('base64url') !== code.challenge) { no('the verifier does not fit'); return send(res, 400, { error: 'invalid_grant' }); }
      return issue(res, { client: c.id, scope: code.scope });
    }
    if (form.get('grant_type') === 'refresh_token') {
      const old = as.refresh.get(form.get('refresh_token'));
      if (!old) { no('a refresh token that is used up'); return send(res, 400, { error: 'invalid_grant' }); }
      if (old.client !== c.id) no('a refresh token of another client');
      as.refresh.delete(form.get('refresh_token'));
      as.access.delete(old.access);
      return issue(res, { client: old.client, scope: old.scope });
    }
    if (form.get('grant_type') === 'client_credentials' && c.secret) return issue(res, { client: c.id, scope: form.get('scope') ?? '' });
    return send(res, 400, { error: 'unsupported_grant_type' });
  }
  function authorize(res, url) {
    const q = url.searchParams, c = as.clients.get(q.get('client_id')), redirect = q.get('redirect_uri');
    for (const k of new Set(q.keys())) if (q.getAll(k).length > 1) no(`${k} twice`);
    if (!c) { no('a client that nobody knows'); return send(res, 400, {}); }
    if (c.redirects && !c.redirects.includes(redirect)) { no(`a redirect that is not registered: ${redirect}`); return send(res, 400, {}); }
    if (!/^http:\/\/127\.0\.0\.1:\d+\/callback$/.test(redirect)) no('a redirect that is no loopback address');
    if (q.get('response_type') !== 'code') no('another response_type than code');
    if (q.get('code_challenge_method') !== 'S256' || !/^[\w-]{43}$/.test(q.get('code_challenge') ?? '')) no('no PKCE by S256');
    if ((q.get('state') ?? '').length < 22) no('a state that can be guessed');
    if (q.get('resource') !== as.resource) no(`the resource ${q.get('resource')}`);
    const code = random('code');
    as.codes.set(code, { client: c.id, redirect, challenge: q.get('code_challenge'), scope: q.get('scope') ?? '' });
    as.asked = q.get('scope');
    let back = { code, state: q.get('state'), iss: as.origin };
    if (as.manners.authorize) back = as.manners.authorize(back);
    const to = new URL(redirect);
    for (const [k, v] of Object.entries(back)) if (v !== undefined) to.searchParams.set(k, v);
    res.writeHead(302, { location: to.href }).end();
  }
  function register(res, text) {
    const r = JSON.parse(text), method = r.token_endpoint_auth_method;
    if (!['native', 'web'].includes(r.application_type)) no('a client of no application_type');
    const c = { id: random('client'), method, redirects: r.redirect_uris, secret: method === 'none' ? undefined : random('client-secret') };
    as.clients.set(c.id, c);
    const answer = { ...r, client_id: c.id, ...(c.secret ? { client_secret: c.secret } : {}) };
    send(res, 201, as.manners.registration ? as.manners.registration(answer) : answer);
  }
  Object.assign(as, await listen((req, res, text) => {
    as.seen.push(`${req.method} ${req.url.split('?')[0]}`);
    if (as.manners.before?.(req, res, text)) return undefined;
    const url = new URL(req.url, 'http://x');
    if (url.pathname === '/.well-known/oauth-authorization-server') {
      const m = { issuer: as.origin, authorization_endpoint: `${as.origin}/authorize`, token_endpoint: `${as.origin}/token`,
        registration_endpoint: `${as.origin}/register`, revocation_endpoint: `${as.origin}/revoke`, response_types_supported: ['code'],
        code_challenge_methods_supported: ['S256'], token_endpoint_auth_methods_supported: as.methods,
        authorization_response_iss_parameter_supported: true };
      return send(res, 200, as.manners.metadata ? as.manners.metadata(m) : m);
    }
    if (url.pathname === '/authorize' && req.method === 'GET') return authorize(res, url);
    if (url.pathname === '/register' && req.method === 'POST') return register(res, text);
    const form = new URLSearchParams(text);
    if (url.pathname === '/token' && req.method === 'POST') return token(req, res, form);
    if (url.pathname === '/revoke' && req.method === 'POST') {
      if (!clientOf(req, form)) return send(res, 401, { error: 'invalid_client' });
      as.revoked.push(form.get('token_type_hint'));
      as.access.delete(form.get('token'));
      as.refresh.delete(form.get('token'));
      return send(res, 200, '');
    }
    return send(res, 404, { error: 'not_found' });
  }));
  as.tokens = () => as.seen.filter((s) => s === 'POST /token').length;
  /** A client that was registered beforehand. */
  as.register = (id, secret, method) => as.clients.set(id, { id, secret, method });
  return as;
}

/** An MCP server of 2026-07-28 that wants tokens of `as`. `needs(method)`: the scope of a request. `prm(m)`, `challenge(text)`: as manners. */
export async function protectedServer(as, manners = {}) {
  const s = { manners, calls: [], needs: () => 'use' };
  Object.assign(s, await listen((req, res, text) => {
    const place = '/.well-known/oauth-protected-resource/mcp';
    if (req.url === place) {
      const m = { resource: `${s.origin}/mcp`, authorization_servers: [as.origin], scopes_supported: ['use'] };
      return s.manners.before?.(req, res) || send(res, 200, s.manners.prm ? s.manners.prm(m) : m);
    }
    if (req.url !== '/mcp' || req.method !== 'POST') return send(res, 404, {});
    const body = JSON.parse(text), given = req.headers.authorization?.match(/^Bearer (\S+)$/)?.[1];
    const grant = as.access.get(given), scope = s.needs(body.method);
    s.calls.push([body.method, given]);
    const challenge = (word) => ({ 'www-authenticate': `Bearer resource_metadata="${s.origin}${place}", scope="${scope}"${word ? `, error="${word}"` : ''}` });
    if (!grant) return send(res, 401, { error: 'invalid_token' }, challenge(given ? 'invalid_token' : ''));
    if (!grant.scope.split(' ').includes(scope)) return send(res, 403, { error: 'insufficient_scope' }, challenge('insufficient_scope'));
    const results = {
      'server/discover': { supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, serverInfo: { name: 'protected', version: '1' }, resultType: 'complete' },
      'tools/list': { tools: [{ name: 'echo', inputSchema: { type: 'object' } }], resultType: 'complete', ttlMs: 0, cacheScope: 'private' },
      'tools/call': { content: [{ type: 'text', text: 'it ran' }], resultType: 'complete' },
    };
    if (!results[body.method]) return send(res, 404, { jsonrpc: '2.0', id: body.id, error: { code: -32601, message: 'no such method' } });
    return send(res, 200, { jsonrpc: '2.0', id: body.id, result: results[body.method] });
  }));
  s.url = `${s.origin}/mcp`;
  as.resource = s.url;
  return s;
}
