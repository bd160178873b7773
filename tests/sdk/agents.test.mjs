// Agents: api.md §2, through the official SDK.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { startServer, TOOLSET } from '../lib/sallyport.mjs';
import { all, refused, TIME } from '../lib/check.mjs';

describe('agents', () => {
  let s, c;
  before(async () => { s = await startServer(); c = s.client().beta.agents; });
  after(() => s?.stop());

  const ask = { type: 'always_ask' };
  const allow = { type: 'always_allow' };
  const custom = (name, more = {}) => ({ type: 'custom', name, description: `does ${name}`, input_schema: { type: 'object', properties: { q: { type: 'string' } } }, ...more });

  test('create: version 1 and every field of an agent, defaults materialised', async () => {
    const a = await c.create({ name: 'Reviewer', model: 'claude-x', description: 'looks', system: 'be brief', tools: [{ ...TOOLSET, configs: [{ name: 'bash', permission_policy: ask }] }, custom('lookup')], metadata: { team: 'a' } });
    assert.match(a.id, /^agent_01[1-9A-HJ-NP-Za-km-z]{22}$/);
    assert.equal(a.type, 'agent');
    assert.equal(a.version, 1);
    assert.equal(a.name, 'Reviewer');
    assert.equal(a.description, 'looks');
    assert.equal(a.system, 'be brief');
    assert.equal(a.model.id, 'claude-x');
    assert.deepEqual(a.metadata, { team: 'a' });
    assert.deepEqual(a.mcp_servers, []);
    assert.deepEqual(a.skills, []);
    assert.equal(a.multiagent, null);
    assert.deepEqual(a.execution_identity, { type: 'service_account' });
    assert.match(a.created_at, TIME);
    assert.equal(a.updated_at, a.created_at);
    assert.equal(a.archived_at, null);
    const [ts, cu] = a.tools;
    assert.equal(ts.type, 'agent_toolset_20260401');
    assert.deepEqual(ts.default_config, { enabled: true, permission_policy: allow });
    assert.equal(ts.configs.length, 1);
    assert.equal(ts.configs[0].name, 'bash');
    assert.equal(ts.configs[0].enabled, true);
    assert.deepEqual(ts.configs[0].permission_policy, ask);
    assert.equal(cu.type, 'custom');
    assert.equal(cu.name, 'lookup');
    assert.equal(cu.input_schema.type, 'object');
  });

  test('create with the least: null description and system, empty lists', async () => {
    const a = await c.create({ name: 'm', model: { id: 'claude-x', speed: 'standard' } });
    assert.equal(a.description, null);
    assert.equal(a.system, null);
    assert.deepEqual(a.tools, []);
    assert.deepEqual(a.metadata, {});
    assert.equal(a.model.id, 'claude-x');
    assert.equal(a.model.speed, 'standard');
  });

  test('effort as a string comes back as an object', async () => {
    const a = await c.create({ name: 'm', model: { id: 'claude-x', effort: 'high' } });
    assert.deepEqual(a.model.effort, { type: 'high' });
    await refused(c.create({ name: 'm', model: { id: 'claude-x', effort: 'huge' } }), 400, { message: /effort/ });
  });

  test('update makes versions; each can be read again; a no-op makes none', async () => {
    const a = await c.create({ name: 'v', model: 'm', system: 'one', metadata: { a: '1', b: '2' } });
    const b = await c.update(a.id, { system: 'two', metadata: { a: null, c: '3' } });
    assert.equal(b.version, 2);
    assert.equal(b.system, 'two');
    assert.equal(b.name, 'v');
    assert.deepEqual(b.metadata, { b: '2', c: '3' });
    assert(b.updated_at > a.updated_at);
    assert.equal(b.created_at, a.created_at);
    const same = await c.update(a.id, { system: 'two' });
    assert.equal(same.version, 2, 'an unchanged result keeps its version');
    const cleared = await c.update(a.id, { system: null });
    assert.equal(cleared.version, 3);
    assert.equal(cleared.system, null);
    assert.equal((await c.retrieve(a.id)).version, 3);
    assert.equal((await c.retrieve(a.id, { version: 1 })).system, 'one');
    assert.equal((await c.retrieve(a.id, { version: 2 })).system, 'two');
    await refused(c.retrieve(a.id, { version: 4 }), 404, { message: /Agent version not found/ });
    const vs = await all(c.versions.list(a.id, { limit: 2 }));
    assert.deepEqual(vs.map((v) => v.version), [3, 2, 1], 'newest first, all pages');
  });

  test('arrays replace whole; null and [] clear', async () => {
    const a = await c.create({ name: 't', model: 'm', tools: [TOOLSET, custom('x')] });
    const b = await c.update(a.id, { tools: [custom('y')] });
    assert.deepEqual(b.tools.map((t) => t.name ?? t.type), ['y']);
    assert.deepEqual((await c.update(a.id, { tools: [] })).tools, []);
    const d = await c.update(a.id, { tools: [custom('z')] });
    assert.equal(d.tools.length, 1);
    assert.deepEqual((await c.update(a.id, { tools: null })).tools, []);
  });

  test('a wrong expected version is a 409 that is not retried, also for a no-op', async () => {
    const a = await c.create({ name: 'w', model: 'm', system: 'x' });
    await c.update(a.id, { version: 1, system: 'y' });
    const e = await refused(c.update(a.id, { version: 1, system: 'z' }), 409, { type: 'invalid_request_error', message: /Concurrent modification detected/ });
    assert.equal(e.headers.get('x-should-retry'), 'false');
    await refused(c.update(a.id, { version: 1 }), 409);
    assert.equal((await c.retrieve(a.id)).system, 'y', 'nothing was applied');
    // The SDK's own retry policy honours the header: one request, not three.
    let sent = 0;
    const counting = s.client({ maxRetries: 2, fetch: (...x) => { sent++; return fetch(...x); } });
    await refused(counting.beta.agents.update(a.id, { version: 1, system: 'q' }), 409);
    assert.equal(sent, 1);
  });

  test('archive is idempotent, ends updates, keeps reads', async () => {
    const a = await c.create({ name: 'gone', model: 'm' });
    const x = await c.archive(a.id);
    assert.match(x.archived_at, TIME);
    assert.equal((await c.archive(a.id)).archived_at, x.archived_at);
    await refused(c.update(a.id, { name: 'n' }), 400, { message: /archived/i });
    assert.equal((await c.retrieve(a.id)).archived_at, x.archived_at);
    assert.equal((await all(c.versions.list(a.id))).length, 1);
    assert(!(await all(c.list())).some((y) => y.id === a.id), 'not listed by default');
    assert((await all(c.list({ include_archived: true }))).some((y) => y.id === a.id));
  });

  test('list: pages, limits, time ranges, bad cursors', async () => {
    const made = [];
    for (let i = 0; i < 5; i++) made.push(await c.create({ name: `p${i}`, model: 'm' }));
    const seen = await all(c.list({ limit: 2 }));
    const ids = seen.map((a) => a.id);
    assert.equal(new Set(ids).size, ids.length, 'no repeats over the pages');
    for (const a of made) assert(ids.includes(a.id));
    const page = await c.list({ limit: 2 });
    assert.equal(page.data.length, 2);
    assert.match(page.next_page, /^page_/);
    const after = await all(c.list({ 'created_at[gte]': made[3].created_at }));
    assert.deepEqual(after.map((a) => a.id).sort(), [made[3].id, made[4].id].sort());
    const upto = await all(c.list({ 'created_at[gte]': made[0].created_at, 'created_at[lte]': made[1].created_at }));
    assert.deepEqual(upto.map((a) => a.id).sort(), [made[0].id, made[1].id].sort());
    await refused(c.list({ page: 'page_nonsense' }), 400, { message: /invalid page cursor/ });
    for (const limit of [0, -1, 100000]) await refused(c.list({ limit }), 400, { message: /limit/ });
  });

  test('unknown ids are 404 not_found_error', async () => {
    await refused(c.retrieve('agent_011111111111111111111111'), 404);
    await refused(c.update('agent_011111111111111111111111', { name: 'x' }), 404);
    await refused(c.archive('agent_011111111111111111111111'), 404);
    await refused(c.versions.list('agent_011111111111111111111111'), 404);
    await refused(c.retrieve('../../etc/passwd'), 404);
  });

  describe('validation names the field and the rule', () => {
    const bad = [
      ['no name', { model: 'm' }, /name/],
      ['empty name', { name: '', model: 'm' }, /name/],
      ['long name', { name: 'x'.repeat(257), model: 'm' }, /name.*256|256.*name/],
      ['name of another type', { name: 7, model: 'm' }, /name/],
      ['no model', { name: 'x' }, /model/],
      ['model null', { name: 'x', model: null }, /model/],
      ['long system', { name: 'x', model: 'm', system: 'x'.repeat(100001) }, /system/],
      ['long description', { name: 'x', model: 'm', description: 'x'.repeat(2049) }, /description/],
      ['unknown field', { name: 'x', model: 'm', colour: 'red' }, /colour/],
      ['unknown nested field', { name: 'x', model: { id: 'm', colour: 1 } }, /model.*colour/],
      ['unknown field in a tool', { name: 'x', model: 'm', tools: [{ ...TOOLSET, colour: 1 }] }, /tools.*0.*colour/],
      ['unknown tool type', { name: 'x', model: 'm', tools: [{ type: 'agent_toolset_19990101' }] }, /tools.*0.*type/],
      ['unknown builtin name', { name: 'x', model: 'm', tools: [{ ...TOOLSET, configs: [{ name: 'find' }] }] }, /tools\[?\.?0.*configs.*0.*name.*find.*bash/],
      ['unknown policy', { name: 'x', model: 'm', tools: [{ ...TOOLSET, default_config: { permission_policy: { type: 'sometimes' } } }] }, /permission_policy/],
      ['duplicate config', { name: 'x', model: 'm', tools: [{ ...TOOLSET, configs: [{ name: 'bash' }, { name: 'bash' }] }] }, /duplicate/],
      ['two toolsets', { name: 'x', model: 'm', tools: [TOOLSET, TOOLSET] }, /duplicate.*at most one agent_toolset_20260401/],
      ['custom tool named like a builtin', { name: 'x', model: 'm', tools: [custom('bash')] }, /bash/],
      ['custom tool with mcp__ prefix', { name: 'x', model: 'm', tools: [custom('mcp__x')] }, /mcp__/],
      ['custom tool with a bad name', { name: 'x', model: 'm', tools: [custom('has space')] }, /name/],
      ['custom tool with a long name', { name: 'x', model: 'm', tools: [custom('x'.repeat(129))] }, /name/],
      ['two custom tools of one name', { name: 'x', model: 'm', tools: [custom('a'), custom('a')] }, /duplicate|"a"/],
      ['schema that is not an object schema', { name: 'x', model: 'm', tools: [custom('a', { input_schema: { type: 'array' } })] }, /input_schema/],
      ['schema with $ref', { name: 'x', model: 'm', tools: [custom('a', { input_schema: { type: 'object', properties: { a: { $ref: '#/x' } } } })] }, /\$ref/],
      ['schema with top-level oneOf', { name: 'x', model: 'm', tools: [custom('a', { input_schema: { type: 'object', oneOf: [] } })] }, /oneOf/],
      ['129 tools', { name: 'x', model: 'm', tools: Array.from({ length: 129 }, (_, i) => custom(`t${i}`)) }, /tools/],
      ['toolset for an undeclared server', { name: 'x', model: 'm', tools: [{ type: 'mcp_toolset', mcp_server_name: 'wiki' }] }, /wiki|mcp/i],
      ['metadata value of another type', { name: 'x', model: 'm', metadata: { a: 1 } }, /metadata/],
      ['17 metadata pairs', { name: 'x', model: 'm', metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) }, /metadata/],
      ['long metadata key', { name: 'x', model: 'm', metadata: { ['k'.repeat(65)]: 'v' } }, /metadata/],
      ['long metadata value', { name: 'x', model: 'm', metadata: { k: 'v'.repeat(513) } }, /metadata/],
    ];
    for (const [what, body, message] of bad)
      test(what, async () => {
        const before = (await all(c.list({ include_archived: true }))).length;
        await refused(c.create(body), 400, { message });
        assert.equal((await all(c.list({ include_archived: true }))).length, before, 'nothing was made');
      });
    test('limits are inclusive', async () => {
      const a = await c.create({ name: 'é'.repeat(256), model: 'm', description: 'd'.repeat(2048), metadata: { ['k'.repeat(64)]: 'v'.repeat(512) }, tools: [custom('x'.repeat(128))] });
      assert.equal([...a.name].length, 256);
    });
  });

  test('what an update must not do is refused and changes nothing', async () => {
    const a = await c.create({ name: 'u', model: 'm', tools: [custom('a')] });
    await refused(c.update(a.id, { name: null }), 400, { message: /name/ });
    await refused(c.update(a.id, { colour: 'red' }), 400, { message: /colour/ });
    await refused(c.update(a.id, { name: 'ok', tools: [{ type: 'nope' }] }), 400, { message: /tools/ });
    await refused(c.update(a.id, { version: 'one' }), 400, { message: /version/ });
    const b = await c.retrieve(a.id);
    assert.equal(b.version, 1);
    assert.equal(b.name, 'u');
  });

  test('effort is kept while the model stays, reset when it changes', async () => {
    const a = await c.create({ name: 'e', model: { id: 'm1', effort: 'low' } });
    assert.deepEqual((await c.update(a.id, { model: 'm1', system: 's' })).model.effort, { type: 'low' });
    assert.equal((await c.update(a.id, { model: 'm2' })).model.effort, undefined);
  });

  test('two hundred creations at once all get their own id', async () => {
    const made = await Promise.all(Array.from({ length: 200 }, (_, i) => c.create({ name: `c${i}`, model: 'm' })));
    assert.equal(new Set(made.map((a) => a.id)).size, 200);
  });
});
