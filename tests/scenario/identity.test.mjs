// Tokens that say which agent asks: made by the platform, checked by a gateway, and once more by the private server behind it.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { calculateJwkThumbprint, createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { BIN, run, until } from '../lib/own.mjs';
import { makeAgent, on, say, selfHosted } from '../lib/sallyport.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const AT = '/v1/sallyport/identity', KEYS = '/.well-known/jwks.json', AUDIENCE = 'https://wiki.t-1.tunnel.example';

describe('who an agent is', () => {
  let s, env, agent, session;
  const file = () => path.join(s.data, 'identity.key');
  const keys = async () => { const r = await fetch(s.url + KEYS); return { status: r.status, headers: r.headers, body: await r.json() }; };
  const mint = async (more = { session_id: session.id }) => s.api('POST', AT, { audience: AUDIENCE, ...more });
  before(async () => {
    s = await edgeServer({ rules: [on('.', {}, say('ok'))] });
    env = await selfHosted(s);
    agent = await makeAgent(s);
    session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.env.id });
  });
  after(async () => { await s?.stop(); });

  test('there is no key before there is a token, and whoever looks makes none', async () => {
    const r = await keys();
    assert.deepEqual([r.status, r.body, r.headers.get('cache-control')], [200, { keys: [] }, 'no-store']);
    assert.ok(!fs.existsSync(file()));
    assert.match((await run(BIN, ['identity', 'keys'], { env: { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } })).err, /has no key yet/);
  });

  test('a token names agent, session and audience for five minutes; everybody can check it', async () => {
    const r = await mint(), again = await mint();
    assert.equal(r.status, 200, r.text);
    assert.equal(r.body.type, 'identity_token');
    const found = createRemoteJWKSet(new URL(s.url + KEYS));
    const { payload, protectedHeader } = await jwtVerify(r.body.token, found, { audience: AUDIENCE, algorithms: ['ES256'] });
    assert.deepEqual([payload.sub, payload.sid, payload.aud], [agent.id, session.id, AUDIENCE]);
    assert.match(payload.iss, /^urn:uuid:[0-9a-f-]{36}$/);
    assert.equal(payload.exp - payload.iat, 300);
    assert.ok(Math.abs(Date.parse(r.body.expires_at) / 1000 - payload.exp) <= 1);
    assert.notEqual(payload.jti, (await jwtVerify(again.body.token, found)).payload.jti);
    const { body, headers } = await keys();
    assert.equal(body.keys.length, 1);
    assert.deepEqual(Object.keys(body.keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    assert.deepEqual([protectedHeader.kid, protectedHeader.alg], [await calculateJwkThumbprint(body.keys[0]), 'ES256']);
    assert.equal(headers.get('cache-control'), 'max-age=300');
    assert.equal(fs.statSync(file()).mode & 0o777, 0o600);
    assert.ok(!s.proc.err.includes(r.body.token.split('.')[2]) && !s.proc.out.includes(r.body.token.split('.')[2]));
  });

  test('of an agent alone it says no session', async () => {
    const { payload } = await jwtVerify((await mint({ agent_id: agent.id })).body.token, createRemoteJWKSet(new URL(s.url + KEYS)));
    assert.deepEqual([payload.sub, payload.sid], [agent.id, undefined]);
  });

  test('who may not ask, and what is no question', async () => {
    assert.equal((await s.api('POST', AT, { session_id: session.id, audience: AUDIENCE }, { key: null })).status, 401);
    assert.equal((await s.api('POST', AT, { session_id: session.id, audience: AUDIENCE }, { key: env.key })).status, 403);
    const rows = [[{ session_id: 'sesn_none' }, 404, /Session sesn_none was not found/], [{ agent_id: 'agent_none' }, 404, /Agent agent_none was not found/], [{}, 400, /one of both/], [{ session_id: session.id, agent_id: agent.id }, 400, /one of both/],
      [{ session_id: session.id, audience: undefined }, 400, /audience/], [{ session_id: session.id, audience: '' }, 400, /audience/], [{ session_id: session.id, audience: 'x'.repeat(1001) }, 400, /audience/], [{ session_id: session.id, sub: 'root' }, 400, /sub/], [{ session_id: session.id, exp: 1 }, 400, /exp/]];
    for (const [more, status, words] of rows) { const r = await mint(more); assert.equal(r.status, status, r.text); assert.match(r.body.error.message, words); }
    for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await fetch(s.url + KEYS, { method })).status, 405);
    assert.equal((await fetch(`${s.url}/.well-known/other`)).status, 404);
  });

  test('the command prints one, and the keys', async () => {
    const cli = (...args) => run(BIN, ['identity', ...args], { env: { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
    const r = await cli('token', '--session', session.id, '--audience', AUDIENCE);
    assert.equal(r.code, 0, r.err);
    assert.equal((await jwtVerify(r.out.trim(), createRemoteJWKSet(new URL(s.url + KEYS)))).payload.sid, session.id);
    assert.equal((await cli('token', '--agent', agent.id, '--audience', AUDIENCE)).code, 0);
    assert.deepEqual(JSON.parse((await cli('keys')).out), (await keys()).body);
    for (const [args, words] of [[['token', '--audience', 'x'], /one of both/], [['token', '--session', 'a', '--agent', 'b', '--audience', 'x'], /one of both/], [['token', '--agent', agent.id], /give --audience/], [['token', '--agent', 'agent_none', '--audience', 'x'], /was not found/]]) {
      const no = await cli(...args);
      assert.notEqual(no.code, 0);
      assert.match(no.err, words);
      assert.equal(no.out, '');
    }
  });

  test('a restart keeps the key; one that others can read or that is none is not used; one of openssl is', async () => {
    const kid = (await keys()).body.keys[0].kid;
    await s.restart();
    assert.equal((await keys()).body.keys[0].kid, kid);
    const good = fs.readFileSync(file());
    for (const [damage, words] of [[() => fs.chmodSync(file(), 0o644), /identity\.key/], [() => fs.writeFileSync(file(), 'x'), /identity\.key: the key is no private key on the curve P-256/]]) {
      damage();
      await s.restart();
      const r = await mint();
      assert.equal(r.status, 500, r.text);
      assert.doesNotMatch(r.text, /identity/);
      assert.equal((await keys()).status, 500);
      await until('the log says why', () => words.test(s.proc.err));
      fs.chmodSync(file(), 0o600);
      fs.writeFileSync(file(), good);
    }
    await run('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', file()]);
    fs.chmodSync(file(), 0o600);
    await s.restart();
    const r = await mint();
    assert.notEqual(decodeProtectedHeader(r.body.token).kid, kid);
    await jwtVerify(r.body.token, createRemoteJWKSet(new URL(s.url + KEYS)));
  });

  test('a private server behind a gateway sees which agent asks, and takes nobody else\'s word for it', async () => {
    let seen;
    s.ingress = Number(s.proc.out.match(/^ingress 127\.0\.0\.1:(\d+)$/m)[1]); // another one since it was started anew
    const wiki = http.createServer((q, r) => { seen = q.headers; r.end('{}'); });
    await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
    const t = await makeTunnel(s), host = `wiki.${t.domain}`, audience = `https://${host}`;
    const { payload: { iss } } = await jwtVerify((await mint()).body.token, createRemoteJWKSet(new URL(s.url + KEYS)));
    const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, { config: { callers: { jwt: { issuer: iss, audience, jwks_url: s.url + KEYS, algorithms: ['ES256'], header: 'Sallyport-Identity', pass_as: 'Sallyport-Identity' } } } });
    try {
      const ask = (token) => call(s, t, host, { headers: token ? { 'sallyport-identity': token } : {} });
      const { body } = await mint({ session_id: session.id, audience });
      assert.equal((await ask(body.token)).status, 200);
      const { payload } = await jwtVerify(seen['sallyport-identity'], createRemoteJWKSet(new URL(s.url + KEYS)), { issuer: iss, audience });
      assert.deepEqual([payload.sub, payload.sid], [agent.id, session.id]);
      seen = undefined;
      for (const no of [undefined, (await mint()).body.token, `${body.token}x`]) assert.equal((await ask(no)).status, 401);
      assert.equal(seen, undefined);
    } finally { await g.stop(); wiki.closeAllConnections(); wiki.close(); }
  });
});
