// `sallyport mcp` gets tokens by itself: against a strict authorization server, one with odd manners, and ones that mean harm.
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { BIN, here, ms, run, start, tempDir, end } from '../lib/own.mjs';
import { authorizationServer, protectedServer } from '../lib/oauth.mjs';

const browser = `${process.execPath} ${path.join(here, 'lib/follow-redirects.mjs')}`;
const open = [];
after(() => Promise.all(open.map((s) => s.close())));

/** Both servers, and commands with a data directory of their own. */
async function pair(asManners = {}, serverManners = {}) {
  const as = await authorizationServer(asManners), server = await protectedServer(as, serverManners), data = tempDir('oauth');
  open.push(as, server);
  const said = [];
  const mcp = async (verb, ...args) => {
    const r = await run(BIN, ['mcp', verb, server.url, ...args, '--data', data], { timeout: ms(40000), env: { SECRET: 'the-secret' } });
    said.push(r.out, r.err);
    return r;
  };
  const agree = (verb, ...args) => mcp(verb, ...args, '--authorize-with', browser);
  const files = () => (fs.existsSync(`${data}/mcp`) ? fs.readdirSync(`${data}/mcp`).filter((f) => !f.endsWith('.lock')).map((f) => `${data}/mcp/${f}`) : []);
  const kept = () => JSON.parse(fs.readFileSync(files()[0], 'utf8'));
  /** Nothing that a client owes was left undone, and nothing secret was said. */
  const clean = () => {
    assert.deepEqual(as.wrong, []);
    for (const s of [...as.access.keys(), ...as.refresh.keys(), ...as.codes.keys()]) assert.ok(!said.join('').includes(s), 'a secret was printed');
  };
  return { as, server, data, mcp, agree, files, kept, clean };
}
const ok = (r) => assert.equal(r.code, 0, r.err);

describe('a login', () => {
  test('is used by list and call, and ends with logout, which revokes', async () => {
    const p = await pair();
    const login = await p.agree('login');
    ok(login);
    assert.equal(login.out, `logged in by ${p.as.origin}, for use\n`);
    assert.equal(fs.statSync(p.files()[0]).mode & 0o777, 0o600);
    assert.equal((await p.mcp('list')).out, 'echo\n');
    assert.equal((await p.mcp('call', 'echo')).out, 'it ran\n');
    assert.equal(p.as.tokens(), 1);
    const { access } = p.kept();
    p.clean();
    assert.equal((await p.mcp('logout')).out, 'logged out\n');
    assert.deepEqual(p.as.revoked, ['refresh_token', 'access_token']);
    assert.ok(!p.as.access.has(access));
    assert.deepEqual(p.files(), []);
    assert.equal((await p.mcp('logout')).out, 'there was no login\n');
    const none = await p.mcp('list');
    assert.equal(none.code, 4);
    assert.match(none.err, /sallyport mcp login URL/);
    p.clean();
  });

  test('prints the address, waits, and takes nothing but our own answer', async () => {
    const p = await pair();
    const child = start(BIN, ['mcp', 'login', p.server.url, '--data', p.data]);
    const [, address] = await child.line(/^ {2}(http:\S+)\n/m);
    const at = new URL(address).searchParams.get('redirect_uri');
    assert.equal((await fetch(at.replace('/callback', '/other'))).status, 404);
    assert.equal((await fetch(at, { method: 'POST' })).status, 404);
    const page = await fetch(address);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /You can close this window/);
    assert.equal(page.headers.get('referrer-policy'), 'no-referrer');
    await child.line(/^logged in by/m);
    await end(child);
    p.clean();
  });

  /** A login that prints its address: the command, that address, where it listens and the state that it waits for. */
  async function printed(p) {
    const child = start(BIN, ['mcp', 'login', p.server.url, '--data', p.data]);
    const [, address] = await child.line(/^ {2}(http:\S+)\n/m);
    const q = new URL(address).searchParams;
    return { child, address, at: q.get('redirect_uri'), state: q.get('state') };
  }

  test('nobody else can end it: neither another state, nor none, nor a page that leads here by another name', async () => {
    const p = await pair();
    const { child, address, at, state } = await printed(p);
    const status = (query, headers = {}) => new Promise((done, fail) => http.get(`${at}${query}`, { headers, agent: false },
      (res) => { res.resume(); done(res.statusCode); }).on('error', fail));
    const iss = `iss=${encodeURIComponent(p.as.origin)}`;
    for (const query of ['?x', '', `?code=stolen&state=guessed&${iss}`, `?error=access_denied&state=${state.slice(0, -1)}`,
      `?error=access_denied&state=${state}x`, `?error=access_denied&state=${state}&state=${state}`, '?error=access_denied&state=%00'])
      assert.equal(await status(query), 404, query);
    for (const host of ['evil.example', 'localhost', '127.0.0.1', `${new URL(at).host}.evil.example`])
      assert.equal(await status(`?error=access_denied&state=${state}&${iss}`, { host }), 404, host);
    assert.equal(await new Promise((done) => { // two hosts, and none
      const s = net.connect(new URL(at).port, '127.0.0.1');
      let text = '';
      s.on('data', (d) => { text += d; }).on('close', () => done(text.match(/HTTP\/1.1 \d+/g).join()));
      s.write(`GET /callback?error=x&state=${state} HTTP/1.1\r\nHost: ${new URL(at).host}\r\nHost: evil.example\r\n\r\n`);
    }), 'HTTP/1.1 404');
    assert.equal((await fetch(address)).status, 200);
    await child.line(/^logged in by/m);
    await end(child);
    assert.equal(p.as.tokens(), 1);
    p.clean();
  });

  test('a refusal with our state ends it, and no code goes anywhere', async () => {
    const p = await pair();
    const { child, at, state } = await printed(p);
    assert.equal((await fetch(`${at}?error=access_denied&state=${state}&iss=${encodeURIComponent(p.as.origin)}`)).status, 200);
    await child.line(/gave no leave: access_denied/);
    await end(child);
    assert.equal(p.as.tokens(), 0);
    assert.deepEqual(p.files(), []);
  });

  test('connections that say nothing do not keep the browser out', async () => {
    const p = await pair();
    const { child, address, at } = await printed(p);
    const silent = Array.from({ length: 24 }, () => net.connect(new URL(at).port, '127.0.0.1').on('error', () => {}));
    await Promise.all(silent.slice(0, 8).map((s) => new Promise((r) => s.on('connect', r))));
    const before = Date.now();
    assert.equal((await fetch(address)).status, 200);
    assert.ok(Date.now() - before < ms(4000), `${Date.now() - before} ms`);
    await child.line(/^logged in by/m);
    await end(child);
    for (const s of silent) s.destroy();
    p.clean();
  });

  test('ends in time though somebody keeps connecting', async () => {
    const p = await pair();
    const child = start(BIN, ['mcp', 'login', p.server.url, '--data', p.data, '--wait', '3s']);
    const [, address] = await child.line(/^ {2}(http:\S+)\n/m);
    const { port } = new URL(new URL(address).searchParams.get('redirect_uri'));
    let over = false, calls = 0;
    const again = () => { if (!over) net.connect(port, '127.0.0.1', () => { calls++; }).resume().on('error', () => {}).on('close', again).end('GET / HTTP/1.1\r\n\r\n'); };
    for (let i = 0; i < 4; i++) again();
    await child.line(/nobody came back from the browser in time/);
    over = true;
    await end(child);
    assert.ok(calls > 8, `${calls} connections`);
  });

  test('again: nobody is registered twice', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    const first = p.kept().client;
    ok(await p.agree('login'));
    assert.deepEqual(p.kept().client, first);
    assert.equal(p.as.clients.size, 1);
    p.clean();
  });

  test('is not asked for where nobody is there to be asked', async () => {
    const p = await pair();
    const r = await p.mcp('list');
    assert.equal(r.code, 4);
    assert.match(r.err, /^sallyport mcp: auth: the server wants a credential/);
    assert.deepEqual(p.as.seen, []);
  });

  test('more is asked for when the server wants more, beside what was granted', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.server.needs = (method) => (method === 'tools/call' ? 'write' : 'use');
    const refused = await p.mcp('call', 'echo');
    assert.equal(refused.code, 4);
    assert.match(refused.err, /nobody can be asked/);
    assert.equal((await p.agree('call', 'echo')).out, 'it ran\n');
    assert.equal(p.as.asked, 'use write');
    assert.equal((await p.mcp('call', 'echo')).out, 'it ran\n');
    p.clean();
  });

  test('ends after some times where the server wants another scope each time', async () => {
    const p = await pair();
    let n = 0;
    p.server.needs = (method) => (method === 'tools/call' ? `more-${n++}` : 'use');
    const r = await p.agree('call', 'echo');
    assert.equal(r.code, 4);
    assert.match(r.err, /insufficient_scope/);
    assert.equal(p.as.tokens(), 4);
  });
});

describe('a token that ends', () => {
  test('is renewed before it is used, and the new refresh token is kept', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    const first = p.kept();
    const file = p.files()[0];
    fs.writeFileSync(file, JSON.stringify({ ...first, renew_us: 1 })); // as if its time had come
    const before = p.server.calls.length;
    ok(await p.mcp('list'));
    assert.notEqual(p.kept().refresh, first.refresh);
    assert.equal(p.as.tokens(), 2, 'once, for all requests of the command');
    assert.ok(p.server.calls.slice(before).every(([, t]) => t && t !== first.access));
    ok(await p.mcp('list'));
    assert.equal(p.as.tokens(), 2);
    p.clean();
  });

  test('is renewed when the server has forgotten it', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.as.access.clear();
    ok(await p.mcp('list'));
    assert.equal(p.as.tokens(), 2);
    p.clean();
  });

  test('was renewed by another command meanwhile: its token is taken, and nothing is used twice', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.as.access.clear();
    const stale = fs.readFileSync(p.files()[0]);
    // The first command has read the file, is refused, and waits here until the second one has renewed the token.
    let second;
    p.server.manners.before = (req, res) => {
      if (second) return false;
      second = p.mcp('list').then((r) => {
        res.writeHead(200, { 'content-type': 'application/json' });
        res.end(JSON.stringify({ resource: p.server.url, authorization_servers: [p.as.origin] }));
        ok(r);
      });
      return true;
    };
    ok(await p.mcp('list'));
    await second;
    assert.notDeepEqual(fs.readFileSync(p.files()[0]), stale);
    assert.equal(p.as.tokens(), 2, 'one login, one renewal');
    p.clean();
  });

  /** An authorization server that takes a refresh token twice for a stolen one, and ends all that came of it. */
  const detects = (p) => {
    const used = new Set();
    p.as.manners.before = (req, res, text) => {
      const t = req.url === '/token' && new URLSearchParams(text).get('refresh_token');
      if (!t) return false;
      if (used.has(t)) {
        p.as.wrong.push('a refresh token twice');
        p.as.refresh.clear();
        p.as.access.clear();
      }
      used.add(t);
      return false;
    };
  };
  for (const [what, stale] of [['has ended', (p) => fs.writeFileSync(p.files()[0], JSON.stringify({ ...p.kept(), renew_us: 1, expires_us: 2 }))],
    ['was forgotten', (p) => p.as.access.clear()]])
    test(`and ${what} is renewed once by all commands that find it so`, async () => {
      const p = await pair();
      ok(await p.agree('login'));
      detects(p);
      stale(p);
      for (const r of await Promise.all(Array.from({ length: 6 }, () => p.mcp('list')))) ok(r);
      ok(await p.mcp('list'));
      assert.equal(p.as.tokens(), 2, 'one login, one renewal');
      assert.equal(fs.statSync(`${p.files()[0]}.lock`).mode & 0o777, 0o600);
      assert.equal(p.files().length, 1);
      p.clean();
    });

  test('does not come back when a logout falls into its renewal', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.as.access.clear();
    let held, came;
    const asked = new Promise((r) => { came = r; });
    p.as.manners.before = (req, res) => {
      if (req.url !== '/token' || held) return false;
      held = res;
      came();
      return true;
    };
    const list = p.mcp('list');
    await asked;
    assert.equal((await p.mcp('logout')).out, 'logged out\n'); // it waits for a while, and then goes on
    assert.deepEqual(p.files(), []);
    held.writeHead(200, { 'content-type': 'application/json' });
    held.end(JSON.stringify({ access_token: 'late-token', token_type: 'Bearer', refresh_token: 'late-refresh', expires_in: 3600 }));
    const r = await list;
    assert.equal(r.code, 4);
    assert.match(r.err, /the login was ended by another command$/m);
    assert.deepEqual(p.files(), []);
    assert.equal(p.as.revoked.length, 4, 'what came late, too');
    assert.ok(p.server.calls.every(([, t]) => t !== 'late-token'));
    p.clean();
  });

  test('is over for a command that began before the logout', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    let out;
    p.server.manners.before = (req, res) => {
      if (out) return false;
      out = p.mcp('logout').then((r) => {
        res.writeHead(200, { 'content-type': 'application/json' });
        res.end(JSON.stringify({ resource: p.server.url, authorization_servers: [p.as.origin] }));
        ok(r);
      });
      return true;
    };
    p.as.access.clear();
    const r = await p.mcp('list');
    await out;
    assert.equal(r.code, 4);
    assert.match(r.err, /nobody can be asked/);
    assert.equal(p.as.tokens(), 1, 'the login, and nothing after the logout');
    assert.deepEqual(p.files(), []);
  });

  test('a lock that is a link is not followed', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    const lock = `${p.files()[0]}.lock`;
    fs.rmSync(lock);
    fs.symlinkSync(`${p.data}/elsewhere`, lock);
    p.as.access.clear();
    const r = await p.mcp('list');
    assert.equal(r.code, 4);
    assert.match(r.err, /cannot lock /);
    assert.ok(!fs.existsSync(`${p.data}/elsewhere`));
    assert.equal(p.as.tokens(), 1);
  });

  test('is kept when the issuer does not like the client today', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.as.access.clear();
    p.as.manners.before = (req, res) => req.url === '/token' && res.writeHead(401).end('{"error":"invalid_client"}');
    assert.equal((await p.mcp('list')).code, 4);
    p.as.manners.before = undefined;
    ok(await p.mcp('list'));
    p.clean();
  });

  for (const [what, status] of [['has no time', 503], ['is asked too often', 429]])
    test(`is not given up while the authorization server ${what}`, async () => {
      const p = await pair();
      ok(await p.agree('login'));
      p.as.access.clear();
      p.as.manners.before = (req, res) => req.url === '/token' && res.writeHead(status).end();
      const r = await p.mcp('list');
      assert.equal(r.code, 4);
      assert.match(r.err, new RegExp(`the token endpoint answers HTTP ${status}`));
      p.as.manners.before = undefined;
      ok(await p.mcp('list'));
      p.clean();
    });

  test('and cannot be renewed leads to a new login, or to a refusal', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.as.access.clear();
    p.as.refresh.clear();
    const r = await p.mcp('list');
    assert.equal(r.code, 4);
    assert.match(r.err, /nobody can be asked/);
    ok(await p.agree('list'));
    assert.deepEqual([...new Set(p.as.wrong)], ['a refresh token that is used up']);
  });
});

describe('nobody is asked', () => {
  /** A server of 2025-11-25 with a session, which wants a token for `guarded(req, body)` alone, and never answers a call. */
  async function sessions(guarded) {
    const as = await authorizationServer(), refused = [];
    const server = http.createServer((req, res) => {
      let text = '';
      req.on('data', (d) => { text += d; }).on('end', () => {
        const origin = `http://127.0.0.1:${server.address().port}`;
        const json = (j, headers = {}) => res.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(j));
        if (req.url.startsWith('/.well-known/oauth-protected-resource')) return json({ resource: `${origin}/mcp`, authorization_servers: [as.origin] });
        const body = text ? JSON.parse(text) : {};
        if (guarded(req, body)) {
          refused.push(body.method ?? req.method);
          return res.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
        }
        if (req.method !== 'POST') return res.writeHead(405).end();
        if (body.id === undefined) return res.writeHead(202).end();
        if (body.method === 'tools/call') return undefined;
        const result = { initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } }, 'tools/list': { tools: [] } }[body.method];
        return json({ jsonrpc: '2.0', id: body.id, ...(result ? { result } : { error: { code: -32601, message: 'no such method' } }) }, { 'mcp-session-id': 'abc' });
      });
    });
    await new Promise((r) => server.listen(0, '127.0.0.1', r));
    as.resource = `http://127.0.0.1:${server.address().port}/mcp`;
    open.push(as, { close: () => new Promise((r) => { server.close(r); server.closeAllConnections(); }) });
    const data = tempDir('oauth');
    const mcp = (verb, ...args) => run(BIN, ['mcp', verb, as.resource, ...args, '--data', data, '--authorize-with', `touch ${data}/asked #`], { timeout: ms(40000) });
    return { as, mcp, refused, asked: () => fs.existsSync(`${data}/asked`) };
  }

  test('when a session ends and the server wants a token for that', async () => {
    const s = await sessions((req) => req.method === 'DELETE');
    ok(await s.mcp('list'));
    assert.deepEqual([s.refused, s.as.seen, s.asked()], [['DELETE'], [], false]);
  });

  test('when a call is given up and the server wants a token for that', async () => {
    const s = await sessions((req, body) => body.method === 'notifications/cancelled');
    const r = await s.mcp('call', 'slow', '--timeout', '1s');
    assert.equal(r.code, 1, r.err);
    assert.match(r.err, /^sallyport mcp: timeout/);
    assert.deepEqual([s.refused, s.as.seen, s.asked()], [['notifications/cancelled'], [], false]);
  });

  test('twice for one request: a server that refuses what it has just been given has the last word', async () => {
    const p = await pair({ token: (t) => ({ ...t, access_token: `nobody-knows-${t.access_token}` }) });
    const r = await p.agree('list');
    assert.equal(r.code, 4);
    assert.match(r.err, /^sallyport mcp: auth: /);
    assert.equal(p.as.tokens(), 1);
    assert.equal(p.as.seen.filter((s) => s === 'GET /authorize').length, 1);
  });
});

describe('a logout', () => {
  test('says that it was forgotten, but not revoked, when the authorization server fails', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    p.as.manners.before = (req, res) => req.url === '/revoke' && res.writeHead(503).end();
    const r = await p.mcp('logout');
    assert.equal(r.code, 4);
    assert.equal(r.out, '');
    assert.match(r.err, /logged out here, but not at the authorization server: the revocation endpoint answers HTTP 503/);
    assert.ok(!r.err.includes('a token comes from'), r.err);
    assert.deepEqual(p.files(), []);
  });

  test('is one where nothing can be revoked, with a note', async () => {
    const p = await pair({ metadata: (m) => ({ ...m, revocation_endpoint: undefined }) });
    ok(await p.agree('login'));
    const r = await p.mcp('logout');
    ok(r);
    assert.equal(r.out, 'logged out\n');
    assert.match(r.err, /^the authorization server revokes no tokens/);
    assert.deepEqual(p.files(), []);
  });

  for (const [what, spoil] of [['that others may read', (f) => fs.chmodSync(f, 0o644)],
    ['that is a link', (f) => { fs.renameSync(f, `${f}-else`); fs.symlinkSync(`${f}-else`, f); }]])
    test(`removes a file ${what}, and says that nothing was revoked`, async () => {
      const p = await pair();
      ok(await p.agree('login'));
      const [file] = p.files();
      spoil(file);
      const r = await p.mcp('logout');
      assert.equal(r.code, 4);
      assert.match(r.err, /logged out here, but not at the authorization server: /);
      assert.ok(r.err.includes(file));
      assert.throws(() => fs.lstatSync(file), /ENOENT/);
      assert.deepEqual(p.as.revoked, []);
    });

  test('with a slash more at the end is of the same server', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    const r = await run(BIN, ['mcp', 'logout', `${p.server.url}/`, '--data', p.data], { timeout: ms(40000) });
    assert.equal(r.out, 'logged out\n', r.err);
    assert.deepEqual(p.files(), []);
    assert.equal(p.as.revoked.length, 2);
  });

  for (const verb of ['login', 'logout'])
    test(`${verb} of what is no address is wrong usage`, async () => {
      const r = await run(BIN, ['mcp', verb, 'notaurl', '--data', tempDir('oauth')], { timeout: ms(40000) });
      assert.equal(r.code, 2);
      assert.match(r.err, /URL is no http/);
      assert.equal(r.out, '');
    });

  test('that cannot forget says so', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    const [file] = p.files();
    fs.rmSync(file);
    fs.mkdirSync(file);
    const r = await p.mcp('logout');
    assert.equal(r.code, 4);
    assert.match(r.err, /not logged out: .* cannot be removed/);
    assert.equal(r.out, '');
  });
});

describe('manners that are odd and legal', () => {
  const rows = {
    'token_type in odd case': { token: (t) => ({ ...t, token_type: 'bEARER' }) },
    'expires_in as a string': { token: (t) => ({ ...t, expires_in: '3600' }) },
    'no expires_in, no scope, no refresh token': { token: (t) => ({ access_token: t.access_token, token_type: t.token_type }) },
    'iss is left out where it is not announced': { authorize: (b) => ({ ...b, iss: undefined }),
      metadata: (m) => ({ ...m, authorization_response_iss_parameter_supported: undefined }) },
    'only OpenID Connect metadata': { before: (req, res) => {
      if (req.url === '/.well-known/oauth-authorization-server') return res.writeHead(404).end();
      if (req.url === '/.well-known/openid-configuration') req.url = '/.well-known/oauth-authorization-server';
      return false;
    } },
    'members nobody knows': { metadata: (m) => ({ ...m, 'x-odd': { deep: [[[1]]] }, token_endpoint_auth_methods_supported: ['odd', ...m.token_endpoint_auth_methods_supported] }) },
    'more in the redirect': { authorize: (b) => ({ ...b, session_state: 'a=b&c', empty: '' }) },
    'an authorization endpoint with a query': { metadata: (m) => ({ ...m, authorization_endpoint: `${m.authorization_endpoint}?tenant=1` }) },
    'a client has to be Basic': { metadata: (m) => ({ ...m, token_endpoint_auth_methods_supported: undefined }) },
  };
  for (const [name, manners] of Object.entries(rows))
    test(name, async () => {
      const p = await pair(manners);
      ok(await p.agree('list'));
      ok(await p.mcp('list'));
      p.clean();
    });
});

describe('what means harm is refused, and nothing goes there', () => {
  const megabyte = Buffer.alloc(1 << 20, 0x20);
  const endless = (res) => {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': String(1 << 30) });
    const more = () => { while (!res.destroyed && res.write(megabyte)); };
    res.on('drain', more);
    more();
    return true;
  };
  const at = (place, act) => ({ before: (req, res) => new URL(req.url, 'http://x').pathname === place && (act(res, req), true) });
  const metadata = '/.well-known/oauth-authorization-server', prm = '/.well-known/oauth-protected-resource/mcp';
  const rows = [
    // name, manners of the authorization server, of the MCP server, words, whether the code may have been sent
    ['metadata of another resource', {}, { prm: (m) => ({ ...m, resource: 'https://evil.example/mcp' }) }, /of another resource/],
    ['no authorization server', {}, { prm: (m) => ({ ...m, authorization_servers: [] }) }, /names no authorization server/],
    ['an authorization server without TLS', {}, { prm: (m) => ({ ...m, authorization_servers: ['http://as.example'] }) }, /does not begin with https/],
    ['metadata of another issuer', { metadata: (m) => ({ ...m, issuer: 'https://evil.example' }) }, {}, /of another issuer/],
    ['an issuer with a slash more', { metadata: (m) => ({ ...m, issuer: `${m.issuer}/` }) }, {}, /of another issuer/],
    ['no PKCE', { metadata: (m) => ({ ...m, code_challenge_methods_supported: undefined }) }, {}, /PKCE by S256/],
    ['only plain PKCE', { metadata: (m) => ({ ...m, code_challenge_methods_supported: ['plain'] }) }, {}, /PKCE by S256/],
    ['a token endpoint without TLS', { metadata: (m) => ({ ...m, token_endpoint: 'http://evil.example/token' }) }, {}, /token_endpoint .* https/],
    ['an authorization endpoint that is a script', { metadata: (m) => ({ ...m, authorization_endpoint: 'javascript:alert(1)' }) }, {}, /authorization_endpoint/],
    ['another iss', { authorize: (b) => ({ ...b, iss: 'https://evil.example' }) }, {}, /another authorization server than was asked \(iss\)/],
    ['no iss where it is announced', { authorize: (b) => ({ ...b, iss: undefined }) }, {}, /does not say which authorization server/],
    ['another state', { authorize: (b) => ({ ...b, state: 'x'.repeat(43) }) }, {}, /the command of --authorize-with failed/],
    ['no code', { authorize: (b) => ({ ...b, code: undefined }) }, {}, /has no code/],
    ['a refusal', { authorize: (b) => ({ ...b, code: undefined, error: 'access_denied' }) }, {}, /gave no leave: access_denied/],
    ['a refusal that drives a terminal', { authorize: (b) => ({ ...b, code: undefined, error: '\x1b[2Jgone' }) }, {}, /does not say why/],
    ['metadata that redirects', at(metadata, (res) => res.writeHead(302, { location: 'https://evil.example/' }).end()), {}, /sends to another address/],
    ['resource metadata that redirects', {}, at(prm, (res) => res.writeHead(307, { location: '/x' }).end()), /sends to another address/],
    ['metadata that is garbage', at(metadata, (res) => res.writeHead(200).end('<html>{')), {}, /is no JSON object/],
    ['metadata that is a list', at(metadata, (res) => res.writeHead(200).end('[]')), {}, /is no JSON object/],
    ['metadata of a gigabyte', at(metadata, endless), {}, /metadata of the authorization server.*larger than allowed/],
    ['resource metadata of a gigabyte', {}, at(prm, endless), /resource metadata.*larger than allowed/],
    ['metadata that never comes', at(metadata, () => {}), {}, /metadata of the authorization server.*time/i],
    ['a registration without an id', { registration: () => ({}) }, {}, /has no client_id/],
    ['a registration that is refused', at('/register', (res) => res.writeHead(400).end('{"error":"invalid_redirect_uri"}')), {},
      /registration .*HTTP 400 invalid_redirect_uri/],
    ['a registration of a gigabyte', at('/register', endless), {}, /registration .*larger than allowed/],
    ['a token endpoint that redirects', at('/token', (res) => res.writeHead(307, { location: 'https://evil.example/' }).end()), {}, /sends to another address/, 1],
    ['a token endpoint of a gigabyte', at('/token', endless), {}, /token endpoint.*larger than allowed/, 1],
    ['a token endpoint that never answers', at('/token', () => {}), {}, /token endpoint.*time/i, 1],
    ['a token of another type', { token: (t) => ({ ...t, token_type: 'mac' }) }, {}, /neither Bearer nor DPoP/, 1],
    ['a token that was not asked for like that', { token: (t) => ({ ...t, token_type: 'DPoP' }) }, {}, /DPoP, which was not asked for/, 1],
    ['a token that ends a header', { token: (t) => ({ ...t, access_token: 'a\r\nX-Evil: 1' }) }, {}, /no token to be used/, 1],
    ['an answer that is no token', { token: () => ({}) }, {}, /no token to be used/, 1],
    ['words that drive a terminal', at('/token', (res) => res.writeHead(400).end('{"error":"\\u001b[2J"}')), {}, /answers HTTP 400$/m, 1],
  ];
  for (const [name, asManners, serverManners, words, tokens = 0] of rows)
    test(name, async () => {
      const p = await pair(asManners, serverManners);
      const r = await p.agree('list', '--timeout', '3s');
      assert.equal(r.code, 4, r.out + r.err);
      assert.match(r.err, words);
      assert.ok(!r.err.includes('\x1b'));
      assert.equal(p.as.tokens(), tokens);
      assert.deepEqual(p.server.calls.filter(([, t]) => t), [], 'the server was sent no token');
      p.clean();
    });
});

describe('a client that is registered beforehand', () => {
  const client = (as) => ['--client-id', 'known', '--client-secret', 'env:SECRET', '--issuer', as.origin];
  for (const method of ['client_secret_basic', 'client_secret_post'])
    test(`by ${method}; its secret is not kept`, async () => {
      const p = await pair({ metadata: (m) => ({ ...m, token_endpoint_auth_methods_supported: [method], registration_endpoint: undefined }) });
      p.as.register('known', 'the-secret', method);
      ok(await p.agree('login', ...client(p.as)));
      assert.equal(p.kept().client.id, 'known');
      assert.ok(!fs.readFileSync(p.files()[0], 'utf8').includes('the-secret'));
      ok(await p.mcp('list'));
      p.clean();
    });

  test('acts for itself', async () => {
    const p = await pair();
    p.as.register('known', 'the-secret', 'client_secret_basic');
    ok(await p.mcp('list', ...client(p.as), '--grant', 'client'));
    assert.ok(!p.as.seen.includes('GET /authorize'));
    p.clean();
  });

  test('a workload\'s assertion goes to the issuer that it is for, and to no other', async () => {
    const p = await pair();
    const jwt = (aud) => `e30.${Buffer.from(JSON.stringify({ aud })).toString('base64url')}.c2ln`;
    const file = `${p.data}/jwt`;
    fs.writeFileSync(file, jwt('https://as.example'), { mode: 0o600 });
    const r = await p.mcp('list', '--grant', 'assertion', '--assertion', `file:${file}`);
    assert.equal(r.code, 4);
    assert.match(r.err, /no JWT for the authorization server/);
    assert.equal(p.as.tokens(), 0);
    fs.writeFileSync(file, jwt(p.as.origin), { mode: 0o600 });
    const sent = await p.mcp('list', '--grant', 'assertion', '--assertion', `file:${file}`);
    assert.match(sent.err, /the token endpoint answers HTTP 401, invalid_client/); // this one wants a client
    assert.equal(p.as.tokens(), 1);
  });

  test('its secret goes to no other authorization server', async () => {
    const p = await pair();
    p.as.register('known', 'the-secret', 'client_secret_basic');
    ok(await p.mcp('list', ...client(p.as), '--grant', 'client'));
    const evil = await authorizationServer();
    open.push(evil);
    evil.register('known', 'the-secret', 'client_secret_basic');
    p.server.manners.prm = (m) => ({ ...m, authorization_servers: [evil.origin] });
    p.as.access.clear();
    const r = await p.mcp('list', ...client(p.as), '--grant', 'client');
    assert.equal(r.code, 4);
    assert.match(r.err, /does not name the authorization server that --issuer wants/);
    assert.deepEqual(evil.seen, []);
  });

  for (const verb of ['list', 'login', 'logout'])
    test(`${verb}: its secret goes nowhere without --issuer`, async () => {
      const p = await pair(), evil = await authorizationServer();
      open.push(evil);
      evil.register('known', 'the-secret', 'client_secret_basic');
      p.server.manners.prm = (m) => ({ ...m, authorization_servers: [evil.origin] });
      const read = `${p.data}/read`;
      const r = await p.mcp(verb, '--client-id', 'known', '--client-secret', `exec:touch ${read}`, '--grant', 'client');
      assert.equal(r.code, 2, r.err);
      assert.match(r.err, /--client-secret wants --issuer URL.* whichever one the MCP server names/);
      assert.deepEqual([evil.seen, p.server.calls, fs.existsSync(read)], [[], [], false]);
    });

  test('is wanted where there is no other way', async () => {
    const p = await pair({ metadata: (m) => ({ ...m, registration_endpoint: undefined }) });
    const r = await p.agree('list');
    assert.equal(r.code, 4);
    assert.match(r.err, /registers no clients: give --client-id/);
  });
});

describe('on the command line', () => {
  test('a login at a server that wants none says so', async () => {
    const server = http.createServer((req, res) => {
      let text = '';
      req.on('data', (d) => { text += d; }).on('end', () => {
        if (req.url !== '/mcp' || req.method !== 'POST') return res.writeHead(404).end('no');
        const b = JSON.parse(text), result = {
          'server/discover': { supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' }, resultType: 'complete' },
          'tools/list': { tools: [], resultType: 'complete', ttlMs: 0, cacheScope: 'private' },
        }[b.method];
        return res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: b.id, result }));
      });
    });
    await new Promise((r) => server.listen(0, '127.0.0.1', r));
    open.push({ close: () => new Promise((r) => { server.close(r); server.closeAllConnections(); }) });
    const r = await run(BIN, ['mcp', 'login', `http://127.0.0.1:${server.address().port}/mcp`, '--data', tempDir('oauth')], { timeout: ms(40000) });
    assert.equal(r.code, 2);
    assert.match(r.err, /there is nothing to log in for/);
  });

  test('help is of the verb, and wrong words are told once', async () => {
    const help = async (...words) => (await run(BIN, [...words, '--help'], { timeout: ms(40000) })).out;
    assert.match(await help('mcp', 'list'), /--json .*systemd:NAME/s);
    for (const verb of ['list', 'call', 'login', 'logout']) assert.ok(!/\n\n\n/.test(await help('mcp', verb)));
    for (const verb of ['login', 'logout']) assert.ok(!(await help('mcp', verb)).includes('--json'));
    assert.match(await help(), /mcp .*login, logout/);
    const p = await pair();
    const r = await p.mcp('list', '--client-id', 'x', '--issuer', 'https://as.example', '--client-secret', 'plain-text');
    assert.equal(r.err.split('--client-secret').length, 2, r.err);
  });

  test('a command that cannot open the address ends the wait', async () => {
    const p = await pair();
    const r = await p.mcp('list', '--authorize-with', 'false');
    assert.equal(r.code, 4);
    assert.match(r.err, /the command of --authorize-with failed/);
  });

  test('the address is an argument, never a word of the shell', async () => {
    const p = await pair({ metadata: (m) => ({ ...m, authorization_endpoint: `${m.authorization_endpoint}?a=$(touch$IFS${p.data}/evil)` }) });
    ok(await p.agree('list'));
    assert.ok(!fs.existsSync(`${p.data}/evil`));
  });

  test('a person may take longer than a request', async () => {
    const p = await pair();
    const slow = `/bin/sh -c 'sleep ${ms(4000) / 1000}; exec ${browser} "$1"' slow`;
    ok(await p.mcp('list', '--timeout', `${ms(2000)}ms`, '--authorize-with', slow));
    p.clean();
  });

  test('the browser comes back where --callback-port says, and a port that is taken is told', async () => {
    const p = await pair();
    const port = new URL(p.as.origin).port;
    const taken = await p.agree('login', '--callback-port', port);
    assert.equal(taken.code, 4);
    assert.match(taken.err, new RegExp(`127\\.0\\.0\\.1:${port} is in use`));
    ok(await p.agree('login'));
    const free = new URL(p.kept().client.redirect).port;
    fs.rmSync(p.files()[0]);
    ok(await p.agree('login', '--callback-port', free));
    assert.equal(p.kept().client.redirect, `http://127.0.0.1:${free}/callback`);
    p.clean();
  });

  test('a file of tokens that is garbage is as good as none, and a link is not followed', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    const [file] = p.files();
    fs.writeFileSync(file, '{"version":1');
    const none = await p.mcp('list');
    assert.equal(none.code, 4);
    assert.match(none.err, /nobody can be asked/);
    ok(await p.agree('list'));
    fs.renameSync(file, `${p.data}/elsewhere`);
    fs.symlinkSync(`${p.data}/elsewhere`, file);
    const link = await p.mcp('list');
    assert.equal(link.code, 4);
    assert.match(link.err, /link/);
    p.clean();
  });

  test('tokens that others may read are not used', async () => {
    const p = await pair();
    ok(await p.agree('login'));
    fs.chmodSync(p.files()[0], 0o644);
    const r = await p.mcp('list');
    assert.equal(r.code, 4);
    assert.ok(r.err.includes(p.files()[0]));
    assert.equal(p.server.calls.filter(([, t]) => t).length, 2, 'those of the login');
  });

  test('a token of one\'s own is used, and nobody is asked', async () => {
    const p = await pair();
    const token = `${p.data}/token`;
    fs.writeFileSync(token, 'mine\n', { mode: 0o600 });
    p.as.access.set('mine', { scope: 'use' });
    ok(await p.agree('list', '--bearer-file', token));
    assert.deepEqual(p.as.seen, []);
  });

  for (const [args, words] of [
    [['--grant', 'client'], /--client-id/], [['--grant', 'assertion'], /--assertion/], [['--client-metadata', 'http://x/'], /https:/],
    [['--client-id', 'x', '--issuer', 'https://as.example', '--client-secret', 'plain-text'], /--client-secret: the source is one of/],
    [['--client-id', 'x', '--client-key', 'env:SECRET'], /--client-key: .*P-256/], [['--callback-port', '0'], /callback-port/],
  ])
    test(`wrong: ${args.join(' ')}`, async () => {
      const p = await pair();
      const r = await p.mcp('list', ...args);
      assert.equal(r.code, 2, r.err);
      assert.match(r.err, words);
      assert.ok(!r.err.includes('plain-text') && !r.err.includes('the-secret'));
      assert.deepEqual(p.server.calls, []);
    });
});
