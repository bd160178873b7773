// Sessions: api.md §5, through the SDK.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { bash, makeAgent, on, say, selfHosted, startServer, TOOLSET } from '../lib/sallyport.mjs';
import { all, keys, refused, TIME } from '../lib/check.mjs';
import { Session, toolResult, userMessage } from '../lib/session.mjs';

describe('sessions', () => {
  let s, c, env, agent;
  before(async () => {
    s = await startServer({ rules: [on('slow', {}, { delay_ms: 60000 }, say('late')), on('run', { last: 'user' }, bash('true')), on('', {}, say('fine'))] });
    c = s.client().beta.sessions;
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s, { system: 'sys', description: 'desc' });
  });
  after(() => s?.stop());

  const make = (more = {}) => c.create({ agent: agent.id, environment_id: env.id, ...more });

  test('create: idle, the agent resolved whole, zero usage', async () => {
    const x = await make({ title: 'first', metadata: { k: 'v' } });
    assert.match(x.id, /^sesn_01[1-9A-HJ-NP-Za-km-z]{22}$/);
    assert.equal(x.type, 'session');
    assert.equal(x.status, 'idle');
    assert.equal(x.title, 'first');
    assert.deepEqual(x.metadata, { k: 'v' });
    assert.equal(x.environment_id, env.id);
    assert.deepEqual(x.resources, []);
    assert.deepEqual(x.vault_ids, []);
    assert.equal(x.budget, null);
    assert.deepEqual(x.outcome_evaluations, []);
    assert.equal(x.archived_at, null);
    assert.match(x.created_at, TIME);
    assert.equal(x.agent.id, agent.id);
    assert.equal(x.agent.type, 'agent');
    assert.equal(x.agent.version, 1);
    assert.equal(x.agent.system, 'sys');
    assert.equal(x.agent.description, 'desc');
    assert.deepEqual(x.agent.tools, agent.tools);
    assert.deepEqual(x.agent.model, agent.model);
    const u = x.usage;
    assert.equal(u.input_tokens, 0);
    assert.equal(u.output_tokens, 0);
    assert.equal(u.cache_read_input_tokens, 0);
    assert.equal(typeof x.stats.active_seconds, 'number');
    assert.equal(typeof x.stats.duration_seconds, 'number');
    const got = await c.retrieve(x.id);
    assert.deepEqual({ ...got, stats: null, usage: null }, { ...x, stats: null, usage: null });
  });

  test('agent by id, by version, latest; a running session keeps its snapshot', async () => {
    const a = await makeAgent(s, { system: 'v1' });
    const old = await make({ agent: a.id });
    await s.client().beta.agents.update(a.id, { system: 'v2' });
    assert.equal((await make({ agent: a.id })).agent.system, 'v2');
    const pinned = await make({ agent: { type: 'agent', id: a.id, version: 1 } });
    assert.equal(pinned.agent.system, 'v1');
    assert.equal(pinned.agent.version, 1);
    assert.equal((await make({ agent: { type: 'agent', id: a.id } })).agent.version, 2);
    assert.equal((await c.retrieve(old.id)).agent.system, 'v1');
    await refused(make({ agent: { type: 'agent', id: a.id, version: 999 } }), 404, { message: /agent\.version: 999 not found/ });
    await refused(make({ agent: 'agent_0111' }), 404);
    await refused(make({ agent: { type: 'robot', id: a.id } }), 400, { message: /agent\.type/ });
  });

  test('agent_with_overrides replaces each given field', async () => {
    const x = await make({ agent: { type: 'agent_with_overrides', id: agent.id, model: 'other', system: null, tools: [{ type: 'custom', name: 'z', description: 'd', input_schema: { type: 'object' } }] } });
    assert.equal(x.agent.model.id, 'other');
    assert.equal(x.agent.system, null);
    assert.deepEqual(x.agent.tools.map((t) => t.name), ['z']);
    assert.equal(x.agent.name, agent.name);
    assert.equal((await s.client().beta.agents.retrieve(agent.id)).system, 'sys', 'the agent itself is unchanged');
    await refused(make({ agent: { type: 'agent_with_overrides', id: agent.id, model: null } }), 400, { message: /model/ });
    await refused(make({ agent: { type: 'agent_with_overrides', id: agent.id, tools: [{ type: 'nope' }] } }), 400, { message: /tools/ });
    await refused(make({ agent: { type: 'agent_with_overrides', id: agent.id, colour: 1 } }), 400, { message: /colour/ });
  });

  test('an archived agent makes no new sessions', async () => {
    const a = await makeAgent(s);
    await s.client().beta.agents.archive(a.id);
    await refused(make({ agent: a.id }), 400, { message: /archived/i });
  });

  test('initial_events start a turn; all or nothing', async () => {
    const x = await make({ initial_events: [userMessage('hello')] });
    assert.equal(x.status, 'running');
    const y = await Session.attach(s, x.id);
    const log = await y.list();
    if (!log.some((e) => e.type === 'session.status_idle')) await y.idle('end_turn');
    const types = (await y.list()).map((e) => e.type);
    assert(types.includes('user.message') && types.includes('agent.message'));
    await y.close();
    const before = (await all(c.list())).length;
    await refused(make({ initial_events: [userMessage('a'), { type: 'user.interrupt' }] }), 400, { message: /initial_events/ });
    await refused(make({ initial_events: [{ type: 'user.message', content: [] }] }), 400, { message: /initial_events/ });
    await refused(make({ initial_events: Array.from({ length: 51 }, () => userMessage('x')) }), 400, { message: /initial_events/ });
    assert.equal((await all(c.list())).length, before, 'refused: no session was made');
  });

  test('update: title and metadata', async () => {
    const x = await make({ title: 'a', metadata: { a: '1', b: '2' } });
    const y = await c.update(x.id, { title: 'b', metadata: { a: null, c: '3' } });
    assert.equal(y.title, 'b');
    assert.deepEqual(y.metadata, { b: '2', c: '3' });
    assert(y.updated_at > x.updated_at);
    assert.equal((await c.update(x.id, { title: null })).title, null);
    assert.deepEqual((await c.update(x.id, {})).metadata, { b: '2', c: '3' });
    await refused(c.update(x.id, { colour: 1 }), 400, { message: /colour/ });
    await refused(c.update(x.id, { metadata: { a: 1 } }), 400, { message: /metadata/ });
    await refused(c.update('sesn_x', { title: 'y' }), 404);
  });

  test('update announces what changed as session.updated', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    await c.update(x.id, { title: 'new' });
    const e = await x.next('session.updated');
    assert.equal(e.title, 'new');
    assert.equal(e.metadata, undefined, 'only what changed');
    await x.close();
  });

  test('update of the agent part: tools, only while idle', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    const t = [{ type: 'custom', name: 'fresh', description: 'd', input_schema: { type: 'object' } }];
    const y = await c.update(x.id, { agent: { tools: t } });
    assert.deepEqual(y.agent.tools.map((z) => z.name), ['fresh']);
    await refused(c.update(x.id, { agent: { system: 'no' } }), 400, { message: /system/ });
    await x.say('slow');
    await x.next('session.status_running');
    await refused(c.update(x.id, { agent: { tools: [TOOLSET] } }), 400);
    await x.send({ type: 'user.interrupt' });
    await x.idle();
    await x.close();
  });

  test('archive: terminated, its log stays, nothing more is accepted', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    await x.turn('hello');
    const y = await c.archive(x.id);
    assert.equal(y.status, 'terminated');
    assert.match(y.archived_at, TIME);
    assert((await x.list()).length > 4);
    await refused(x.say('more'), 400);
    assert(!(await all(c.list())).some((z) => z.id === x.id));
    assert((await all(c.list({ include_archived: true }))).some((z) => z.id === x.id));
    await x.close();
  });

  test('running: archive and delete are refused, in the words of the API; after an interrupt both work', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    await x.say('slow');
    await x.next('span.model_request_start');
    assert.equal((await x.get()).status, 'running');
    await refused(c.archive(x.id), 400, { message: new RegExp(`Session ${x.id} cannot be archived while its status is "running"`) });
    await refused(c.delete(x.id), 400, { message: /Cannot delete session while it is running\. Send an interrupt event or wait for the session to complete\./ });
    await x.send({ type: 'user.interrupt' });
    await x.idle();
    await c.archive(x.id);
    assert.deepEqual(await c.delete(x.id), { id: x.id, type: 'session_deleted' });
    await refused(c.retrieve(x.id), 404);
    await refused(c.events.list(x.id), 404);
    await x.close();
  });

  test('delete: the open stream gets session.deleted and ends', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    await c.delete(x.id);
    const e = await x.next('session.deleted');
    assert.equal(e.type, 'session.deleted');
    await x.loop;
    assert(x.deleted);
    await refused(c.delete(x.id), 404);
  });

  test('archive while waiting for a tool is allowed', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    await x.say('run');
    const call = await x.next('agent.tool_use');
    await x.idle('requires_action');
    assert.equal((await c.archive(x.id)).status, 'terminated');
    await refused(x.send(toolResult(call.id, 'late')), 400);
    await x.close();
  });

  describe('list', () => {
    let a2, made;
    before(async () => {
      a2 = await makeAgent(s, { name: 'lister' });
      made = [];
      for (let i = 0; i < 7; i++) made.push(await make({ agent: a2.id, title: `n${i}` }));
    });

    test('newest first by default; order=asc turns it', async () => {
      const d = await all(c.list({ agent_id: a2.id, limit: 3 }));
      assert.deepEqual(d.map((x) => x.title), ['n6', 'n5', 'n4', 'n3', 'n2', 'n1', 'n0']);
      const u = await all(c.list({ agent_id: a2.id, limit: 3, order: 'asc' }));
      assert.deepEqual(u.map((x) => x.title), ['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6']);
    });

    test('pages in both directions keep the order of rows', async () => {
      for (const order of ['desc', 'asc']) {
        const p1 = await c.list({ agent_id: a2.id, limit: 3, order });
        assert(!p1.prev_page, 'the first page has none before it');
        const p2 = await p1.getNextPage();
        const p3 = await p2.getNextPage();
        assert.equal(p3.data.length, 1);
        assert(!p3.next_page);
        const back = await c.list({ agent_id: a2.id, limit: 3, order, page: p2.prev_page });
        assert.deepEqual(back.data.map((x) => x.id), p1.data.map((x) => x.id), `page 2's prev_page is page 1 (${order})`);
        const back2 = await c.list({ agent_id: a2.id, limit: 3, order, page: p3.prev_page });
        assert.deepEqual(back2.data.map((x) => x.id), p2.data.map((x) => x.id));
        const forth = await c.list({ agent_id: a2.id, limit: 3, order, page: back2.next_page });
        assert.deepEqual(forth.data.map((x) => x.id), p3.data.map((x) => x.id));
      }
    });

    test('no has_more; cursors are bound to their order', async () => {
      const r = await s.api('GET', `/v1/sessions?agent_id=${a2.id}&limit=3`);
      keys(r.body, ['data', 'next_page', 'prev_page']);
      await refused(c.list({ agent_id: a2.id, order: 'asc', page: r.body.next_page }), 400, { message: /page token order does not match request/ });
      await refused(c.list({ page: 'page_zzz' }), 400, { message: /invalid page cursor/ });
      await refused(c.list({ order: 'sideways' }), 400, { message: /order/ });
    });

    test('filters: statuses, version, created_at ranges', async () => {
      await c.archive(made[0].id);
      const idle = await all(c.list({ agent_id: a2.id, statuses: ['idle'] }));
      assert.equal(idle.length, 6);
      const dead = await all(c.list({ agent_id: a2.id, statuses: ['terminated'], include_archived: true }));
      assert.deepEqual(dead.map((x) => x.id), [made[0].id]);
      const both = await all(c.list({ agent_id: a2.id, statuses: ['terminated', 'idle'], include_archived: true }));
      assert.equal(both.length, 7);
      await refused(c.list({ statuses: ['asleep'] }), 400, { message: /statuses.*asleep|asleep/ });
      assert.equal((await all(c.list({ agent_id: a2.id, agent_version: 1 }))).length, 6);
      assert.equal((await all(c.list({ agent_id: a2.id, agent_version: 2 }))).length, 0);
      const t = made[3].created_at;
      const titles = async (q) => (await all(c.list({ agent_id: a2.id, order: 'asc', ...q }))).map((x) => x.title);
      assert.deepEqual(await titles({ 'created_at[gt]': t }), ['n4', 'n5', 'n6']);
      assert.deepEqual(await titles({ 'created_at[gte]': t }), ['n3', 'n4', 'n5', 'n6']);
      assert.deepEqual(await titles({ 'created_at[lt]': t }), ['n1', 'n2']);
      assert.deepEqual(await titles({ 'created_at[lte]': t }), ['n1', 'n2', 'n3']);
      await refused(c.list({ 'created_at[gt]': 'yesterday' }), 400, { message: /created_at/ });
    });

    test('new sessions during paging neither repeat nor hide rows', async () => {
      const p1 = await c.list({ agent_id: a2.id, limit: 3 });
      await make({ agent: a2.id, title: 'late' });
      const p2 = await p1.getNextPage();
      assert.deepEqual([...p1.data, ...p2.data].map((x) => x.title), ['n6', 'n5', 'n4', 'n3', 'n2', 'n1']);
    });
  });

  describe('validation', () => {
    for (const [what, body, status, message] of [
      ['no agent', { agent: undefined }, 400, /agent/],
      ['no environment', { environment_id: undefined }, 400, /environment_id/],
      ['unknown environment', { environment_id: 'env_0111' }, 404, /env_0111|nvironment/],
      ['unknown field', { colour: 1 }, 400, /colour/],
      ['title of another type', { title: 7 }, 400, /title/],
      ['metadata of another type', { metadata: [] }, 400, /metadata/],
      ['initial_events of another type', { initial_events: {} }, 400, /initial_events/],
      ['unknown initial event', { initial_events: [{ type: 'user.shout' }] }, 400, /initial_events\[?\.?0.*type.*user\.shout/],
    ]) test(what, () => refused(make(body), status, { message }));
  });
});
