// Callers that have to show a token of an issuer (callers.jwt), by keys in a file.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { BIN, run, tempDir, until } from '../lib/own.mjs';
import { issuer } from '../lib/tokens.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const text = (j) => Buffer.from(typeof j === 'string' ? j : JSON.stringify(j)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

describe('callers with tokens, by keys in a file', () => {
  let s, t, g, wiki, seen, idp, dir, keysFile, log;
  const host = () => `wiki.${t.domain}`;
  const jwt = (more = {}) => ({ issuer: idp.iss, audience: idp.aud, jwks_file: keysFile, ...more });
  const extra = (more) => ({ callers: { jwt: jwt(more) }, audit: { file: log } });
  const upstream = () => `http://127.0.0.1:${wiki.address().port}`;
  const ask = (token, { headers = {}, ...more } = {}) => call(s, t, host(), { headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers }, ...more });
  const records = () => fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => JSON.parse(l)).filter((r) => r.kind === 'request');
  const publish = async (...kids) => fs.writeFileSync(keysFile, JSON.stringify(await idp.jwks(...kids)));
  async function reload() {
    const n = (g.proc.err.match(/msg="files read anew"/g) ?? []).length;
    g.proc.kill('SIGHUP');
    await until('it is read', () => (g.proc.err.match(/msg="files read anew"/g) ?? []).length > n);
  }
  /** What a refusal says, in every form in which it says it. */
  async function refused(token, words, { status = 401, error = 'invalid_token', ...more } = {}) {
    const had = seen.length, r = await ask(token, more), body = JSON.parse(r.text);
    assert.equal(r.status, status, r.text);
    assert.match(body.error.message, words);
    assert.equal(body.error.code, -32000);
    assert.equal(body.error.data.gateway_failure.source, 'policy');
    assert.equal(body.error.data.gateway_failure.rule, 'callers.jwt');
    const challenge = r.headers['www-authenticate'];
    assert.match(challenge, /^Bearer( |$)/);
    if (error) assert.ok(challenge.includes(`error="${error}", error_description="${body.error.message}"`), challenge);
    else assert.doesNotMatch(challenge, /error/);
    assert.equal(seen.length, had, 'the server has heard of it');
    return r;
  }

  before(async () => {
    seen = [];
    wiki = http.createServer((q, r) => { seen.push(q.headers); r.end('{"ok":true}'); });
    await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
    dir = tempDir('tokens');
    keysFile = path.join(dir, 'jwks.json');
    log = path.join(dir, 'audit.jsonl');
    s = await edgeServer();
    t = await makeTunnel(s);
    idp = await issuer({ aud: `https://${host()}` });
    for (const [kid, alg] of [['e384', 'ES384'], ['r', 'RS256'], ['p', 'PS256'], ['ed', 'EdDSA']]) await idp.addKey(kid, alg);
    await publish();
    g = await startGateway(s, t, { wiki: upstream(), asks: { upstream: upstream(), tools: { confirm: ['close_*'] } } }, { config: extra() });
  });
  after(async () => { await g?.stop(); await s?.stop(); wiki?.closeAllConnections(); wiki?.close(); });

  test('a token by each algorithm is taken; the server sees none of it, the record whose it was', async () => {
    for (const kid of Object.keys(idp.keys)) {
      const r = await ask(await idp.token(kid));
      assert.deepEqual([r.status, r.text], [200, '{"ok":true}'], `${kid}: ${r.text}`);
      assert.equal(seen.at(-1).authorization, undefined);
    }
    await until('the record', () => records().length === 5);
    assert.deepEqual(new Set(records().map((r) => r.caller)), new Set(['alice']));
  });

  test('without a token, or with it elsewhere, the answer says what is wanted', async () => {
    const good = await idp.token('k1');
    const r = await refused(undefined, /send one as Authorization: Bearer/, { error: null });
    assert.equal(r.headers['www-authenticate'], `Bearer resource_metadata="https://${host()}/.well-known/oauth-protected-resource"`);
    for (const authorization of ['Bearer', 'Bearer ', `Basic ${good}`, good, `Token ${good}`, `Bearer ${good},${good}`, `Bearer ${good} ${good}`, `Bearer "${good}"`])
      await refused(undefined, /send one as Authorization: Bearer/, { error: null, headers: { authorization } });
    await refused(undefined, /send one as/, { error: null, path: `/?access_token=${good}` });
    for (const [name, value] of [['x-token', good], ['proxy-authorization', `Bearer ${good}`], ['authorization_', `Bearer ${good}`], ['cookie', `token=${good}`]])
      await refused(undefined, /send one as/, { error: null, headers: { [name]: value } });
    // Also of what is no POST, and where no server would hear of it.
    for (const method of ['POST', 'DELETE', 'OPTIONS']) await refused(undefined, /send one as/, { error: null, method });
    assert.equal((await ask(undefined, { method: 'HEAD' })).status, 401);
    for (const scheme of ['bearer', 'BEARER', 'Bearer '])
      assert.equal((await ask(undefined, { headers: { authorization: `${scheme} ${good}` } })).status, 200);
  });

  test('every way not to be a token (RFC 8725)', async () => {
    const good = await idp.token('k1'), [head, claims, sig] = good.split('.');
    const hs = (h, secret) => { const t = `${text(h)}.${claims}`; return `${t}.${crypto.createHmac('sha256', secret).update(t).digest('base64url')}`; };
    const rsaJwk = await idp.jwk('r'), pem = idp.keys.r.publicKey.export?.({ type: 'spki', format: 'pem' }) ?? crypto.createPublicKey({ key: rsaJwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const other = await issuer({ iss: idp.iss, aud: idp.aud });
    await other.addKey('r', 'RS256');
    const rows = {
      'alg none': [`${text({ alg: 'none' })}.${claims}.`, /three parts|no JWT/],
      'alg none, signed': [`${text({ alg: 'none', kid: 'k1' })}.${claims}.${sig}`, /not signed \(alg none\)/],
      'HMAC with the public key': [hs({ alg: 'HS256', kid: 'r' }, pem), /algorithm that is taken/],
      'HMAC with the set': [hs({ alg: 'HS256', kid: 'r' }, fs.readFileSync(keysFile)), /algorithm that is taken/],
      'a key of another kind': [await idp.token('k1', {}, { kid: 'r' }), /no key by which/],
      'another algorithm of the same key': [await idp.token('p', {}, { kid: 'r' }), /no key by which/],
      'a key that nobody has': [await idp.token('k1', {}, { kid: 'k9' }), /no key by which/],
      'no name of a key, and more than one': [await idp.token('r', {}, { kid: undefined }), null],
      'a key of somebody else': [await other.token('k1'), /signature is not of the issuer's key/],
      'RSA of somebody else': [await other.token('r'), /signature is not of the issuer's key/],
      'claims of another token': [`${head}.${(await idp.token('k1', { sub: 'root' })).split('.')[1]}.${sig}`, /signature is not/],
      'expired': [await idp.token('k1', { exp: now() - 61 }), /expired/],
      'without an end': [await idp.token('k1', { exp: undefined }), /does not say when it expires/],
      'not yet': [await idp.token('k1', { nbf: now() + 90 }), /not valid yet/],
      'from the future': [await idp.token('k1', { iat: now() + 90 }), /issued in the future/],
      'for somebody else': [await idp.token('k1', { aud: 'https://other.example' }), /another audience/],
      'for others': [await idp.token('k1', { aud: ['https://other.example', `${idp.aud}/`] }), /another audience/],
      'for nobody': [await idp.token('k1', { aud: undefined }), /another audience/],
      'of another issuer': [await idp.token('k1', { iss: `${idp.iss}/` }), /another issuer/],
      'of nobody': [await idp.token('k1', { sub: undefined }), /whose it is/],
      'with its own key': [await idp.token('k1', {}, { jwk: await idp.jwk('k1') }), /own key \(jwk\)/],
      'with an address of keys': [await idp.token('k1', {}, { jku: 'http://127.0.0.1:1/' }), /\(jku\)/],
      'with an address of a certificate': [await idp.token('k1', {}, { x5u: 'http://127.0.0.1:1/' }), /\(x5u\)/],
      'of another type': [await idp.token('k1', {}, { typ: 'logout+jwt' }), /another type/],
      'bound to a key': [await idp.token('k1', { cnf: { jkt: 'x' } }), /proof of a key/],
      'too large': [await idp.token('k1', { x: 'y'.repeat(16384) }), /more than 16384 bytes/],
      'no token': ['abc', /three parts/],
      'encrypted': [`${head}.a.b.c.d`, /three parts/],
    };
    for (const [what, [token, words]] of Object.entries(rows)) {
      if (words) { try { await refused(token, words); } catch (e) { e.message = `${what}: ${e.message}`; throw e; } }
      else assert.equal((await ask(token)).status, 200, what); // there is one key of RS256 alone
    }
    const twice = `${text('{"alg":"ES256","kid":"k1"}')}.${text(`{"iss":"${idp.iss}","aud":"${idp.aud}","sub":"alice","exp":1,"exp":${now() + 60}}`)}`;
    const signed = crypto.sign('sha256', Buffer.from(twice), { key: crypto.createPrivateKey({ key: await (await import('jose')).exportJWK(idp.keys.k1.privateKey), format: 'jwk' }), dsaEncoding: 'ieee-p1363' }).toString('base64url');
    await refused(`${twice}.${signed}`, /each name once/);
    const crit = `${text('{"alg":"ES256","kid":"k1","crit":["exp"]}')}.${claims}`;
    await refused(`${crit}.${sig}`, /critical extension/);
    assert.equal((await ask(await idp.token('k1', { aud: ['a', idp.aud], nbf: now() + 30, exp: now() - 30, iat: now() + 30 }, { typ: 'at+jwt' }))).status, 200, 'within the skew');
  });

  test('refusals are recorded and counted, and a token is nowhere', async () => {
    const count = async (outcome) => Number((await (await fetch(`http://${g.page}/metrics`)).text()).match(new RegExp(`caller_tokens_total\\{outcome="${outcome}"\\} (\\d+)`))[1]);
    const token = await idp.token('k1', { exp: now() - 100, secretive: 'zZ' }), n = records().length, [had, none] = [await count('invalid'), await count('missing')];
    await refused(token, /expired/);
    await refused(undefined, /send one/, { error: null });
    await until('the records', () => records().length >= n + 2);
    for (const r of records().slice(-2)) assert.deepEqual([r.verdict, r.reason, r.rule, r.status, r.caller], ['deny', 'policy', 'callers.jwt', 401, undefined]);
    assert.deepEqual([await count('invalid'), await count('missing')], [had + 1, none + 1]);
    assert.ok(await count('taken') > 0);
    const part = token.split('.')[2];
    assert.ok(!fs.readFileSync(log, 'utf8').includes(part) && !g.proc.err.includes(part) && !g.proc.err.includes(token.split('.')[1]));
    const status = await (await fetch(`http://${g.page}/status`)).text();
    assert.match(status, /token/);
    assert.ok(!status.includes(part));
  });

  test('scopes and claims that a route wants: 403, and what is missing', async () => {
    const route = { upstream: upstream(), callers: { jwt: { scopes: ['read', 'write'], claims: { tenant: 'acme', groups: ['ops', 'dev'], level: 3 } } } };
    g.write({ wiki: route, open: { upstream: upstream(), callers: { jwt: false } }, other: { upstream: upstream(), callers: { jwt: { audience: 'https://another.example' } } } });
    await reload();
    const all = { scope: 'write read more', tenant: 'acme', groups: ['x', 'dev'], level: 3 };
    assert.equal((await ask(await idp.token('k1', all))).status, 200);
    assert.equal((await ask(await idp.token('k1', { ...all, scope: undefined, scp: ['read', 'write'] }))).status, 200);
    const scope = await refused(await idp.token('k1', { ...all, scope: 'read' }), /not the scope/, { status: 403, error: 'insufficient_scope' });
    assert.match(scope.headers['www-authenticate'], /scope="read write"/);
    for (const less of [{ tenant: 'other' }, { tenant: undefined }, { tenant: ['other'] }, { groups: [] }, { groups: 'opsdev' }, { level: '3' }, { level: 4 }])
      await refused(await idp.token('k1', { ...all, ...less }), /wants of one \(claims\)/, { status: 403, error: 'insufficient_scope' });
    // A route that wants none, and one with an audience of its own.
    assert.equal((await call(s, t, `open.${t.domain}`)).status, 200);
    const at = (token) => call(s, t, `other.${t.domain}`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await at(await idp.token('k1', { aud: 'https://another.example' }))).status, 200);
    assert.equal((await at(await idp.token('k1'))).status, 401);
    g.write();
    await reload();
  });

  test('a changed file of keys counts at once; one that cannot be used changes nothing', async () => {
    const old = await idp.token('k1');
    await idp.addKey('k2');
    await refused(await idp.token('k2'), /no key by which/);
    await publish('k2');
    await reload();
    assert.equal((await ask(await idp.token('k2'))).status, 200);
    await refused(old, /no key by which/);
    for (const [words, content] of [[/no JSON with one reading/, '<html>'], [/private key/, JSON.stringify({ keys: [await (await import('jose')).exportJWK(idp.keys.k1.privateKey)] })], [/none of the 0 keys/, '{"keys":[]}'], [/too large|more than 262144/, `{"keys":[]}${' '.repeat(262144)}`]]) {
      fs.writeFileSync(keysFile, content);
      const n = g.proc.err.length;
      g.proc.kill('SIGHUP');
      await until('it is told', () => /msg="the changed files cannot be used.*callers\.jwt\.jwks_file/.test(g.proc.err.slice(n)));
      assert.match(g.proc.err.slice(n), words);
      assert.doesNotMatch(g.proc.err.slice(n), /"d":/);
      assert.equal((await ask(await idp.token('k2'))).status, 200);
    }
    await publish();
    await reload();
  });

  test('a person who is asked sees whose call it is, and only its caller takes it back', async () => {
    const pending = async () => JSON.parse((await run(BIN, ['gateway', 'pending', '--json', '--config', g.file])).out).calls;
    const post = async (sub, body) => call(s, t, `asks.${t.domain}`, { method: 'POST', path: '/mcp', headers: { 'content-type': 'application/json', authorization: `Bearer ${await idp.token('k1', { sub })}` }, body: JSON.stringify({ jsonrpc: '2.0', ...body }) });
    const first = post('ada', { id: 1, method: 'tools/call', params: { name: 'close_ticket', arguments: { id: 7 } } });
    const waits = await until('it waits', async () => (await pending())[0]);
    assert.equal(waits.caller, 'ada');
    const cancel = { method: 'notifications/cancelled', params: { requestId: 1 } };
    await post('bob', cancel);
    assert.equal((await pending()).length, 1, 'an id of somebody else\'s');
    await post('ada', cancel);
    assert.match(JSON.parse((await first).text).error.message, /the caller has cancelled it/);
    await until('the record', () => records().some((r) => r.caller === 'ada'));
  });

  test('a server sees who asks in a field that nobody else can write', async () => {
    const open = { upstream: upstream(), callers: { jwt: false } };
    g.write({ wiki: upstream(), open }, extra({ pass_as: 'Sallyport-Identity' }));
    await reload();
    const good = await idp.token('k1'), forged = { 'sallyport-identity': 'forged', sallyport_identity: 'forged', 'SALLYPORT-IDENTITY': 'forged' };
    for (const headers of [{}, forged]) {
      assert.equal((await ask(good, { headers })).status, 200);
      assert.equal(seen.at(-1)['sallyport-identity'], good);
      assert.deepEqual([seen.at(-1).sallyport_identity, seen.at(-1).authorization], [undefined, undefined]);
    }
    // Of a caller that was not asked for one nothing is passed on.
    assert.equal((await call(s, t, `open.${t.domain}`, { headers: { ...forged, authorization: `Bearer ${good}` } })).status, 200);
    assert.ok(!Object.keys(seen.at(-1)).some((k) => /identity|authorization/.test(k)), JSON.stringify(seen.at(-1)));
    await refused(undefined, /send one as/, { error: null, headers: forged });
    // The same field both ways.
    g.write(undefined, extra({ header: 'Sallyport-Identity', pass_as: 'Sallyport-Identity' }));
    await reload();
    assert.equal((await ask(undefined, { headers: { 'sallyport-identity': good } })).status, 200);
    assert.equal(seen.at(-1)['sallyport-identity'], good);
    g.write();
    await reload();
  });

  test('a field of its own: the token never reaches a server, Authorization does where it may', async () => {
    g.write({ wiki: { upstream: upstream(), pass_authorization: true } }, extra({ header: 'X-Caller-Token' }));
    await reload();
    const good = await idp.token('k1');
    for (const value of [good, `Bearer ${good}`]) {
      assert.equal((await ask(undefined, { headers: { 'x-caller-token': value, authorization: 'Bearer of-the-server' } })).status, 200);
      assert.equal(seen.at(-1).authorization, 'Bearer of-the-server');
      assert.equal(seen.at(-1)['x-caller-token'], undefined);
    }
    await call(s, t, host(), { headers: { 'x-caller-token': good, x_caller_token: 'forged' } });
    assert.equal(seen.at(-1).x_caller_token, undefined);
    // Where to get one is said by RFC 9728 for Authorization alone.
    assert.equal((await refused(good, /in a field of its own/, { error: null })).headers['www-authenticate'], 'Bearer');
    assert.equal((await ask(undefined, { path: '/.well-known/oauth-protected-resource' })).status, 401);
    // With Authorization, and a server that may see it.
    g.write({ wiki: { upstream: upstream(), pass_authorization: true } });
    await reload();
    assert.equal((await ask(good)).status, 200);
    assert.equal(seen.at(-1).authorization, `Bearer ${good}`);
    g.write();
    await reload();
  });
});
