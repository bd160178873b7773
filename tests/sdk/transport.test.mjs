// What all endpoints share: credentials, the order of checks, headers, error bodies, Idempotency-Key.
// api.md §1.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { BETA, client, makeAgent, on, say, selfHosted, startServer, VERSION } from '../lib/sallyport.mjs';
import { all, refused, refusedRaw } from '../lib/check.mjs';
import { Session, userMessage } from '../lib/session.mjs';

describe('transport rules', () => {
  let s, env, key, agent;
  before(async () => {
    s = await startServer({ rules: [on('', {}, say('ok'))] });
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
  });
  after(() => s?.stop());

  describe('credentials', () => {
    test('Bearer and x-api-key both open; the SDK sends Bearer', async () => {
      assert.equal((await s.api('GET', '/v1/agents')).status, 200);
      assert.equal((await s.api('GET', '/v1/agents', undefined, { auth: 'x-api-key' })).status, 200);
      let seen;
      await s.client({ fetch: (u, o) => { seen = new Headers(o.headers); return fetch(u, o); } }).beta.agents.list();
      assert.match(seen.get('authorization'), /^Bearer sk-sp-api-/);
    });

    test('missing, wrong, malformed, revoked: one identical 401', async () => {
      const bodies = new Set();
      const heads = new Set();
      for (const headers of [
        {}, { authorization: 'Bearer sk-sp-api-wrong' }, { authorization: 'Bearer ' }, { authorization: 'Basic dTpw' }, { 'x-api-key': 'nope' },
        { authorization: `Bearer ${s.apiKey}x` }, { authorization: `Bearer ${s.apiKey.slice(0, -1)}` }, { authorization: `bearer${s.apiKey}` },
        { authorization: 'Bearer sk-sp-env-wrong' }, { authorization: 'Bearer sk-sp-req-wrong' }, { 'x-api-key': `${s.apiKey} ` + 'x' },
        { authorization: `Bearer ${'x'.repeat(8000)}` },
      ]) for (const path of ['/v1/agents', '/v1/sessions/sesn_x', '/v1/environments/env_x/work/poll']) {
        const r = await s.api('GET', path, undefined, { key: null, headers });
        const e = refusedRaw(r, 401, { message: /^Authentication failed$/ });
        bodies.add(JSON.stringify({ ...r.body, request_id: 0 }));
        heads.add([...r.headers.keys()].sort().join());
        assert.equal(e.type, 'authentication_error');
      }
      assert.equal(bodies.size, 1, [...bodies].join('\n'));
      assert.equal(heads.size, 1, [...heads].join('\n'));
    });

    test('the SDK turns it into its AuthenticationError', async () => {
      const e = await refused(client({ url: s.url, apiKey: 'sk-sp-api-wrong' }).beta.agents.list(), 401);
      assert.equal(e.constructor.name, 'AuthenticationError');
    });
  });

  describe('order of checks (§1.2)', () => {
    test('1. an unknown path is 404 Not found even without credentials', async () => {
      for (const p of ['/', '/v1', '/v1/nothing', '/v1/agents/x/y/z', '/v2/agents', '/v1/agents/', '//v1/agents', '/v1//agents', '/v1/sessions/x/events/stream/more'])
        for (const key of [null, s.apiKey]) refusedRaw(await s.api('GET', p, undefined, { key }), 404, { type: 'not_found_error', message: /^Not found$/ });
    });
    test('2. a known path with a bad key is 401, before beta and version', async () => {
      refusedRaw(await s.api('GET', '/v1/agents', undefined, { key: 'wrong', headers: { 'anthropic-beta': null, 'anthropic-version': null } }), 401);
      refusedRaw(await s.api('POST', '/v1/agents', '{broken', { key: 'wrong' }), 401);
      refusedRaw(await s.api('GET', '/v1/agents/agent_x', undefined, { key: null }), 401);
    });
    test('3. a good key without the beta is 404 not found', async () => {
      for (const b of [null, 'other-2020-01-01', ''])
        refusedRaw(await s.api('GET', '/v1/agents', undefined, { headers: { 'anthropic-beta': b } }), 404, { type: 'not_found_error', message: /^not found$/ });
    });
    test('4. beta there, version missing: 400', async () => {
      refusedRaw(await s.api('GET', '/v1/agents', undefined, { headers: { 'anthropic-version': null } }), 400, { message: /^anthropic-version: header is required$/ });
    });
    test('any date is a version; beta is a list in any order, with unknown values', async () => {
      for (const v of ['2023-06-01', '2026-10-21', '2031-01-01']) assert.equal((await s.api('GET', '/v1/agents', undefined, { headers: { 'anthropic-version': v } })).status, 200);
      for (const b of [`a-2020-01-01,${BETA}`, `${BETA}, b-2020-01-01`, ` ${BETA} `, `x,,${BETA},`]) assert.equal((await s.api('GET', '/v1/agents', undefined, { headers: { 'anthropic-beta': b } })).status, 200, b);
    });
    test('a wrong method on a known path is 405 Method Not Allowed', async () => {
      for (const [m, p] of [['DELETE', '/v1/agents'], ['PUT', '/v1/agents'], ['PATCH', '/v1/sessions/x'], ['DELETE', '/v1/agents/x'], ['GET', `/v1/environments/${env.id}/work/w/ack`], ['POST', '/v1/sessions/x/events/stream']]) {
        const r = await s.api(m, p, m === 'GET' ? undefined : {});
        refusedRaw(r, 405, { type: 'invalid_request_error', message: /^Method Not Allowed$/ });
      }
    });
    test('the older ?beta=true is ignored', async () => {
      assert.equal((await s.api('GET', '/v1/agents?beta=true')).status, 200);
    });
  });

  describe('answers', () => {
    test('JSON content type, request-id, organization id on every answer', async () => {
      const ids = new Set();
      for (const [m, p, b] of [['GET', '/v1/agents'], ['POST', '/v1/agents', { name: 'x', model: 'm' }], ['GET', '/v1/agents/agent_x'], ['POST', '/v1/agents', {}], ['GET', `/v1/environments/${env.id}/work/stats`]]) {
        const r = await s.api(m, p, b);
        assert.match(r.headers.get('content-type'), /^application\/json/);
        assert.match(r.headers.get('request-id'), /^req_/);
        assert(r.headers.get('anthropic-organization-id'));
        assert(!ids.has(r.headers.get('request-id')));
        ids.add(r.headers.get('request-id'));
      }
    });

    test('the SDK reads request ids off results and errors', async () => {
      const { request_id, response } = await s.client().beta.agents.retrieve(agent.id).withResponse();
      assert.match(request_id ?? response.headers.get('request-id'), /^req_/);
      const e = await refused(s.client().beta.agents.retrieve('agent_x'), 404);
      assert.match(e.requestID, /^req_/);
    });

    test('the organization id is the same after a restart', async () => {
      const t = await startServer();
      try {
        const a = (await t.api('GET', '/v1/agents')).headers.get('anthropic-organization-id');
        await t.restart();
        assert.equal((await t.api('GET', '/v1/agents')).headers.get('anthropic-organization-id'), a);
      } finally { await t.stop(); }
    });
  });

  describe('bodies', () => {
    const post = (body, headers = {}) => s.api('POST', '/v1/agents', body, { headers });
    for (const [what, body] of [['empty', ''], ['cut', '{"name":'], ['an array', '[]'], ['a string', '"x"'], ['a number', '7'], ['null', 'null'], ['two values', '{} {}'], ['trailing comma', '{"name":"x",}'], ['single quotes', "{'name':'x'}"], ['NaN', '{"name":NaN}']])
      test(`not a JSON object: ${what}`, async () => { refusedRaw(await post(body), 400); });
    test('not UTF-8, lone surrogates, NUL', async () => {
      refusedRaw(await post(Buffer.from('{"name":"\xff\xfe","model":"m"}', 'latin1')), 400);
      refusedRaw(await post('{"name":"\\ud800","model":"m"}'), 400);
      refusedRaw(await post('{"name":"a\\u0000b","model":"m"}'), 400, { message: /the character \\u0000 is not allowed/ });
    });
    test('a compressed body is refused by its name, a plain one that says so is taken', async () => {
      const body = '{"name":"a","model":"m"}';
      refusedRaw(await s.api('POST', '/v1/agents', zlib.gzipSync(body), { headers: { 'content-encoding': 'gzip' } }), 400, { message: /content-encoding/ });
      assert.equal((await s.api('POST', '/v1/agents', body, { headers: { 'content-encoding': 'identity' } })).status, 200);
    });
    test('a key given twice is refused, not guessed', async () => {
      refusedRaw(await post('{"name":"a","model":"m","name":"b"}'), 400);
    });
    test('too deep', async () => {
      refusedRaw(await post(`{"name":"x","model":"m","metadata":${'['.repeat(100000)}${']'.repeat(100000)}}`), 400);
      refusedRaw(await post(`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`), 400);
    });
    test('numbers that fit nothing', async () => {
      for (const n of ['99999999999999999999999', '1e999', '-1', '1.5', '0']) refusedRaw(await s.api('POST', `/v1/agents/${agent.id}`, `{"version":${n}}`), n === '0' || n === '-1' ? 400 : 400);
      assert.equal((await s.api('GET', `/v1/agents/${agent.id}?version=99999999999999999999`)).status, 400);
      assert.equal((await s.api('GET', `/v1/agents/${agent.id}?version=1x`)).status, 400);
      assert.equal((await s.api('GET', '/v1/agents?limit=9223372036854775808')).status, 400);
    });
    test('a charset or another JSON type in content-type is fine; another type is not', async () => {
      assert.equal((await post({ name: 'x', model: 'm' }, { 'content-type': 'application/json; charset=utf-8' })).status, 200);
      const r = await post('name=x&model=m', { 'content-type': 'application/x-www-form-urlencoded' });
      assert([400, 415].includes(r.status));
    });
    test('over 32 MB is 413 request_too_large', async () => {
      const r = await post(JSON.stringify({ name: 'x', model: 'm', system: 'x'.repeat(33 << 20) }));
      refusedRaw(r, 413, { type: 'request_too_large' });
    });
    test('ids in paths are percent-decoded once, and never escape', async () => {
      assert.equal((await s.api('GET', `/v1/agents/${agent.id.replace('agent_', 'agent%5F')}`)).status, 200);
      for (const p of ['/v1/agents/%2e%2e', '/v1/agents/..%2fsessions', '/v1/agents/%00', '/v1/agents/%', '/v1/agents/%zz', '/v1/agents/a%2Fb', `/v1/agents/${'x'.repeat(5000)}`, "/v1/agents/'%20OR%201=1--"]) {
        const r = await fetch(`${s.url}${p}`, { headers: { authorization: `Bearer ${s.apiKey}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA } });
        assert([400, 404].includes(r.status), `${p.slice(0, 40)}: ${r.status}`);
      }
    });
  });

  describe('Idempotency-Key (our addition)', () => {
    const post = (p, body, k) => s.api('POST', p, body, { headers: { 'idempotency-key': k } });

    test('the same request again gets the first answer; nothing is made twice', async () => {
      const before = (await all(s.client().beta.agents.list())).length;
      const a = await post('/v1/agents', { name: 'once', model: 'm' }, 'k1');
      const b = await post('/v1/agents', { name: 'once', model: 'm' }, 'k1');
      assert.equal(a.status, 200);
      assert.deepEqual(b.body, a.body);
      assert.equal((await all(s.client().beta.agents.list())).length, before + 1);
    });
    test('another body under the same key is refused', async () => {
      await post('/v1/agents', { name: 'k2', model: 'm' }, 'k2');
      const r = await post('/v1/agents', { name: 'other', model: 'm' }, 'k2');
      assert([400, 409, 422].includes(r.status), `${r.status}`);
      assert.match(r.body.error.message, /[Ii]dempotency/);
    });
    test('events: a retried send appends once, also while the first is under way', async () => {
      const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
      const rs = await Promise.all(Array.from({ length: 8 }, () => post(`/v1/sessions/${x.id}/events`, { events: [userMessage('hi')] }, 'k3')));
      const good = rs.filter((r) => r.status === 200);
      assert(good.length >= 1);
      for (const r of rs) assert([200, 409].includes(r.status), `${r.status} ${r.text}`);
      assert.equal(new Set(good.map((r) => r.body.data[0].id)).size, 1);
      await x.idle('end_turn');
      assert.equal((await x.list()).filter((e) => e.type === 'user.message').length, 1);
      await x.close();
    });
    test('it holds across a restart', async () => {
      const a = await post('/v1/agents', { name: 'kept', model: 'm' }, 'k4');
      await s.restart();
      const b = await post('/v1/agents', { name: 'kept', model: 'm' }, 'k4');
      assert.equal(b.body.id, a.body.id);
    });
    test('a refused request does not occupy its key; a session is made once', async () => {
      await post('/v1/agents', { model: 'm' }, 'k5');
      const ok = await post('/v1/agents', { name: 'now right', model: 'm' }, 'k5');
      assert([200, 400, 409, 422].includes(ok.status));
      const p = { agent: agent.id, environment_id: env.id };
      const [m, n] = [await post('/v1/sessions', p, 'k6'), await post('/v1/sessions', p, 'k6')];
      assert.equal(m.body.id, n.body.id);
    });
    test('over-long or empty keys are refused', async () => {
      refusedRaw(await post('/v1/agents', { name: 'x', model: 'm' }, 'k'.repeat(300)), 400, { message: /[Ii]dempotency/ });
    });
    test('an answer with a secret in it is not stored for replay', async () => {
      const a = await post(`/v1/environments/${env.id}/keys`, { name: 'x' }, 'k7');
      assert.equal(a.status, 200);
      const b = await post(`/v1/environments/${env.id}/keys`, { name: 'x' }, 'k7');
      // Either refused, or answered without the key: it is shown once. A second key would be a second effect.
      assert(b.status !== 200 || b.body.key !== a.body.key || b.body.key === undefined, 'the key is shown once');
      const listed = (await s.api('GET', `/v1/environments/${env.id}/keys`)).body.data.filter((k) => k.name === 'x');
      assert.equal(listed.length, 1, 'and made once');
    });
  });
});
