// Environments (api.md §3) through the SDK, and environment keys, a route of our own.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { envKey, makeAgent, selfHosted, startServer } from '../lib/sallyport.mjs';
import { all, keys, refused, refusedRaw, TIME } from '../lib/check.mjs';
import { ms } from '../lib/own.mjs';

describe('environments', () => {
  let s, c;
  before(async () => { s = await startServer(); c = s.client().beta.environments; });
  after(() => s?.stop());

  test('create self_hosted: every field', async () => {
    const e = await c.create({ name: 'private', description: 'inside', config: { type: 'self_hosted' }, metadata: { a: 'b' } });
    assert.match(e.id, /^env_01[1-9A-HJ-NP-Za-km-z]{22}$/);
    assert.equal(e.type, 'environment');
    assert.equal(e.name, 'private');
    assert.equal(e.description, 'inside');
    assert.deepEqual(e.config, { type: 'self_hosted' });
    assert.deepEqual(e.metadata, { a: 'b' });
    assert.equal(e.scope, 'organization');
    assert.equal(e.archived_at, null);
    assert.match(e.created_at, TIME);
    assert.match(e.updated_at, TIME);
    assert.deepEqual(await c.retrieve(e.id), e);
  });

  test('config omitted: a cloud record with its defaults', async () => {
    const e = await c.create({ name: 'cloudy' });
    assert.equal(e.description, '');
    assert.equal(e.config.type, 'cloud');
    assert.deepEqual(e.config.networking, { type: 'unrestricted' });
    assert.deepEqual(e.config.packages.npm, []);
  });

  test('a session in a cloud environment is refused with a sentence', async () => {
    const e = await c.create({ name: 'cloudy', config: { type: 'cloud' } });
    const a = await makeAgent(s);
    const err = await refused(s.client().beta.sessions.create({ agent: a.id, environment_id: e.id }), 400);
    assert.match(err.apiMessage, /cloud|self_hosted/);
    assert(err.apiMessage.split(' ').length > 4, 'a sentence, not a code');
    assert.equal((await all(s.client().beta.sessions.list())).length, 0, 'no session was made');
  });

  test('update merges metadata, empty string deletes too, the type is immutable', async () => {
    const e = await c.create({ name: 'n', config: { type: 'self_hosted' }, metadata: { a: '1', b: '2', c: '3' } });
    const u = await c.update(e.id, { name: 'n2', description: 'd', metadata: { a: null, b: '', d: '4' } });
    assert.equal(u.name, 'n2');
    assert.equal(u.description, 'd');
    assert.deepEqual(u.metadata, { c: '3', d: '4' });
    const x = await refused(c.update(e.id, { config: { type: 'cloud' } }), 400);
    assert.equal(x.errorCode, 'invalid_config_type_change');
    assert.deepEqual((await c.retrieve(e.id)).config, { type: 'self_hosted' });
  });

  test('list, pages, archive, delete', async () => {
    const made = [];
    for (let i = 0; i < 3; i++) made.push(await c.create({ name: `l${i}`, config: { type: 'self_hosted' } }));
    const ids = (await all(c.list({ limit: 2 }))).map((e) => e.id);
    assert.equal(new Set(ids).size, ids.length);
    for (const e of made) assert(ids.includes(e.id));
    const x = await c.archive(made[0].id);
    assert.match(x.archived_at, TIME);
    assert.equal((await c.archive(made[0].id)).archived_at, x.archived_at, 'idempotent');
    assert(!(await all(c.list())).some((e) => e.id === made[0].id));
    assert((await all(c.list({ include_archived: true }))).some((e) => e.id === made[0].id));
    assert.deepEqual(await c.delete(made[1].id), { id: made[1].id, type: 'environment_deleted' });
    await refused(c.retrieve(made[1].id), 404);
    await refused(c.delete(made[1].id), 404);
  });

  test('an archived environment takes no new sessions; its old ones stay readable', async () => {
    const { env } = await selfHosted(s);
    const a = await makeAgent(s);
    const old = await s.client().beta.sessions.create({ agent: a.id, environment_id: env.id });
    await c.archive(env.id);
    await refused(s.client().beta.sessions.create({ agent: a.id, environment_id: env.id }), 400, { message: new RegExp(`Environment ${env.id} is archived`) });
    assert.equal((await s.client().beta.sessions.retrieve(old.id)).id, old.id);
  });

  describe('validation', () => {
    for (const [what, body, message] of [
      ['no name', { config: { type: 'self_hosted' } }, /name/],
      ['unknown config type', { name: 'x', config: { type: 'lunar' } }, /config.*type/],
      ['config without type', { name: 'x', config: {} }, /type/],
      ['unknown field', { name: 'x', config: { type: 'self_hosted' }, colour: 1 }, /colour/],
      ['unknown field in config', { name: 'x', config: { type: 'self_hosted', colour: 1 } }, /config.*colour/],
      ['networking in self_hosted', { name: 'x', config: { type: 'self_hosted', networking: { type: 'unrestricted' } } }, /networking/],
      ['unknown networking', { name: 'x', config: { type: 'cloud', networking: { type: 'open' } } }, /networking/],
      ['metadata', { name: 'x', config: { type: 'self_hosted' }, metadata: { a: {} } }, /metadata/],
    ]) test(what, () => refused(c.create(body), 400, { message }));
    test('unknown ids', async () => {
      for (const f of [() => c.retrieve('env_x'), () => c.update('env_x', { name: 'y' }), () => c.archive('env_x'), () => c.delete('env_x')]) await refused(f(), 404);
    });
  });

  describe('environment keys (our own route)', () => {
    test('the key is shown once, listed without it, and works', async () => {
      const { env } = await selfHosted(s);
      const k = await envKey(s, env.id, 'laptop');
      keys(k, ['id', 'type', 'name', 'key', 'created_at', 'last_used_at', 'expires_at', 'environment_id']);
      assert.equal(k.type, 'environment_key');
      assert.equal(k.name, 'laptop');
      assert.match(k.key, /^sk-sp-env-[A-Za-z0-9_-]{20,}$/);
      assert.equal(k.environment_id, env.id);
      assert.equal(k.last_used_at, null);
      assert.equal(k.expires_at, null);
      const l = await s.api('GET', `/v1/environments/${env.id}/keys`);
      assert.equal(l.status, 200);
      const row = l.body.data.find((x) => x.id === k.id);
      assert.equal(row.name, 'laptop');
      assert(!l.text.includes(k.key), 'the key is never shown again');
      assert.equal(row.key, undefined);
      assert.equal(await s.as(k.key).beta.environments.work.poll(env.id), null);
      const used = (await s.api('GET', `/v1/environments/${env.id}/keys`)).body.data.find((x) => x.id === k.id);
      assert.match(used.last_used_at, TIME);
    });

    test('revoked: the very next call is refused', async () => {
      const { env, key, keyId } = await selfHosted(s);
      const c2 = s.as(key).beta.environments.work;
      await c2.poll(env.id);
      const d = await s.api('DELETE', `/v1/environments/${env.id}/keys/${keyId}`);
      assert.equal(d.status, 200, d.text);
      await refused(c2.poll(env.id), 401);
      refusedRaw(await s.api('DELETE', `/v1/environments/${env.id}/keys/${keyId}`), 404);
    });

    test('expired: refused like a wrong one', async () => {
      const { env } = await selfHosted(s);
      const soon = new Date(Date.now() + ms(3000)).toISOString();
      const k = await envKey(s, env.id, 'short', { expires_at: soon });
      assert.equal(await s.as(k.key).beta.environments.work.poll(env.id), null);
      while (Date.now() <= Date.parse(soon)) await new Promise((r) => setTimeout(r, 50));   // the clock is the thing under test
      await refused(s.as(k.key).beta.environments.work.poll(env.id), 401, { message: /^Authentication failed$/ });
      refusedRaw(await s.api('POST', `/v1/environments/${env.id}/keys`, { name: 'past', expires_at: '2020-01-01T00:00:00Z' }), 400, { message: /expires_at/ });
    });

    test('a key opens its own environment only', async () => {
      const a = await selfHosted(s, 'a');
      const b = await selfHosted(s, 'b');
      const agent = await makeAgent(s);
      const theirs = await s.client().beta.sessions.create({ agent: agent.id, environment_id: b.env.id });
      const mine = await s.client().beta.sessions.create({ agent: agent.id, environment_id: a.env.id });
      const ca = s.as(a.key).beta;
      assert.equal((await ca.sessions.retrieve(mine.id)).id, mine.id);
      for (const f of [
        () => ca.environments.work.poll(b.env.id), () => ca.environments.work.list(b.env.id), () => ca.environments.work.stats(b.env.id),
        () => ca.sessions.retrieve(theirs.id), () => ca.sessions.events.list(theirs.id), () => ca.sessions.events.stream(theirs.id),
        () => ca.sessions.events.send(theirs.id, { events: [{ type: 'user.interrupt' }] }),
      ]) {
        let e;
        try { await f(); } catch (x) { e = x; }
        assert(e && [401, 403, 404].includes(e.status), `refused (${e?.status})`);
        assert(!JSON.stringify(e.error).includes(theirs.agent.name === '' ? '\0' : theirs.created_at), 'nothing of the foreign session leaks');
      }
    });

    test('an environment key is not an API key', async () => {
      const { env, key } = await selfHosted(s);
      const c2 = s.as(key).beta;
      for (const f of [() => c2.agents.list(), () => c2.agents.create({ name: 'x', model: 'm' }), () => c2.environments.retrieve(env.id), () => c2.environments.create({ name: 'x' }), () => c2.sessions.list(), () => c2.sessions.create({ agent: 'a', environment_id: env.id })]) {
        let e;
        try { await f(); } catch (x) { e = x; }
        assert(e && [401, 403].includes(e.status), `refused (${e?.status})`);
      }
      for (const [m, p, b] of [['GET', `/v1/environments/${env.id}/keys`], ['POST', `/v1/environments/${env.id}/keys`, { name: 'x' }]]) {
        const r = await s.api(m, p, b, { key });
        assert([401, 403].includes(r.status), `${m} keys: ${r.status}`);
      }
    });

    test('a cloud environment has no keys, a missing one is 404, names are checked', async () => {
      const { env } = await selfHosted(s);
      refusedRaw(await s.api('POST', '/v1/environments/env_x/keys', { name: 'x' }), 404);
      refusedRaw(await s.api('POST', `/v1/environments/${env.id}/keys`, { name: 7 }), 400, { message: /name/ });
      refusedRaw(await s.api('POST', `/v1/environments/${env.id}/keys`, { name: 'x', colour: 1 }), 400, { message: /colour/ });
    });
  });
});
