// Every object we answer with is what the SDK's types say: nothing missing, no null where a field is
// optional but not nullable, no field the type does not have. And what the types call not nullable
// is refused as null.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { bash, makeAgent, on, say, selfHosted, startServer, tool, TOOLSET } from '../lib/sallyport.mjs';
import { refusedRaw } from '../lib/check.mjs';
import { confirm, customResult, Session, toolResult, userMessage } from '../lib/session.mjs';
import { endingModels, faults, fieldsOf, nullable, routeFamilies } from '../lib/sdk-types.mjs';
import { LOOKUP, RULES } from '../lib/fixture-rules.mjs';

const B = 'BetaManagedAgents';
const fits = (value, type) => assert.deepEqual(faults(value, type), [], type);

test('the reader of the types is awake', () => {
  assert(routeFamilies().size > 10);
  assert(Object.keys(endingModels()).length > 0);
  assert.equal(fieldsOf(`${B}Session`).archived_at.type, 'string | null');
  assert.deepEqual(faults({ id: 'x', type: 'work_heartbeat' }, 'BetaSelfHostedWorkHeartbeatResponse').filter((f) => /missing/.test(f)).length > 2, true);
  assert.match(faults({ amount: 5, currency: 'USD' }, 'BetaMonetaryAmount')[0], /amount/);
  assert.match(faults({ type: 'end_turn', x: 1 }, `${B}SessionEndTurn`)[0], /no such field/);
  assert.throws(() => faults(1, 'NoSuchTypeAtAll'), /unread type/);
});

describe('our answers as the SDK types them', () => {
  let s, c, env, key, agent;
  before(async () => {
    s = await startServer({ rules: [
      on('change', { turn: 1 }, { think: 'hm' }, say('so'), tool('edit', { file_path: 'a', old_string: 'b', new_string: 'c' }), bash('echo hi'), tool('nothing', {})),
      on('change', { turn: 2 }, say('changed')),
      on('refuse', {}, say('no'), { stop: 'refusal' }),
      on('break', {}, { fail: { status: 400 } }),
      ...RULES,
    ] });
    ({ env, key } = await selfHosted(s));
    c = s.client().beta;
    agent = await makeAgent(s, { tools: [{ ...TOOLSET, configs: [{ name: 'edit', enabled: true, permission_policy: { type: 'always_ask' } }] }, LOOKUP] });
  });
  after(() => s?.stop());
  const raw = async (method, path, body, opts) => {
    const r = await s.api(method, path, body, opts);
    assert.equal(r.status, 200, r.text);
    return r.body;
  };

  test('agents', async () => {
    for (const model of ['m', { id: 'm', effort: 'high', speed: 'fast' }]) {
      const a = await raw('POST', '/v1/agents', { name: 'x', model, description: null, system: 's', tools: [TOOLSET, LOOKUP] });
      fits(a, `${B}Agent`);
      fits(await raw('GET', `/v1/agents/${a.id}`), `${B}Agent`);
      fits(await raw('POST', `/v1/agents/${a.id}`, { name: 'y' }), `${B}Agent`);
      const gone = await raw('POST', `/v1/agents/${a.id}/archive`);
      fits(gone, `${B}Agent`);
      assert.equal(gone.updated_at, gone.archived_at, 'archiving is a change');
      assert.deepEqual(await raw('POST', `/v1/agents/${a.id}/archive`), gone, 'the second time nothing is');
    }
  });

  test('environments', async () => {
    for (const config of [{ type: 'self_hosted' }, { type: 'cloud' }]) {
      const e = await raw('POST', '/v1/environments', { name: `t ${config.type}`, config });
      delete e.state;   // the hosted service has it, too, though the types do not
      fits(e, 'BetaEnvironment');
      const gone = await raw('POST', `/v1/environments/${e.id}/archive`);
      assert.equal(gone.updated_at, gone.archived_at, 'archiving is a change');
      assert.deepEqual(await raw('POST', `/v1/environments/${e.id}/archive`), gone);
      fits(await raw('DELETE', `/v1/environments/${e.id}`), 'BetaEnvironmentDeleteResponse');
    }
  });

  test('sessions, threads and every event of a turn with all kinds of calls', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    const made = await raw('GET', `/v1/sessions/${x.id}`);
    fits(made, `${B}Session`);
    assert(!('list_cost' in made.usage), 'there is no price list: no cost is told');
    await x.say('lookup');
    const call = await x.next('agent.custom_tool_use');
    await x.idle('requires_action');
    const answer = await raw('POST', `/v1/sessions/${x.id}/events`, { events: [customResult(call.id, 'w')] });
    for (const e of answer.data) fits(e, `${B}UserCustomToolResultEvent`);
    await x.idle('end_turn');
    await x.turn('think');
    await x.turn('refuse', 'refusal');
    await x.turn('break', 'retries_exhausted');
    await x.say('change');
    const edit = await x.next((e) => e.type === 'agent.tool_use' && e.name === 'edit', 'the call');
    const shell = await x.next((e) => e.type === 'agent.tool_use' && e.name === 'bash', 'the call');
    await x.idle('requires_action');
    for (const e of (await raw('POST', `/v1/sessions/${x.id}/events`, { events: [confirm(edit.id, 'deny', 'not now')] })).data) fits(e, `${B}UserToolConfirmationEvent`);
    for (const e of (await raw('POST', `/v1/sessions/${x.id}/events`, { events: [toolResult(shell.id, 'hi')] })).data) fits(e, `${B}UserToolResultEvent`);
    await x.idle('end_turn');
    await x.send({ type: 'user.interrupt' });
    const page = await raw('GET', `/v1/sessions/${x.id}/events?limit=1000`);
    for (const e of page.data) fits(e, `${B}SessionEvent`);
    for (const e of x.events) fits(e, `${B}StreamSessionEvents`);
    assert(new Set(page.data.map((e) => e.type)).size >= 18, 'many kinds of events were seen');
    for (const t of (await raw('GET', `/v1/sessions/${x.id}/threads`)).data) fits(t, `${B}SessionThread`);
    fits(await raw('POST', `/v1/sessions/${x.id}`, { title: 't' }), `${B}Session`);
    await x.close();
    const gone = await raw('POST', `/v1/sessions/${x.id}/archive`);
    fits(gone, `${B}Session`);
    assert.equal(gone.updated_at, gone.archived_at, 'archiving is a change');
    fits(await raw('DELETE', `/v1/sessions/${x.id}`), `${B}DeletedSession`);
  });

  test('work', async () => {
    const x = await raw('POST', '/v1/sessions', { agent: agent.id, environment_id: env.id, initial_events: [userMessage('shell')] });
    const W = `/v1/environments/${env.id}/work`, as = { key };
    let item = null;
    while (!item) item = await raw('GET', `${W}/poll?block_ms=999`, undefined, as);
    fits(item, 'BetaSelfHostedWork');
    fits(await raw('POST', `${W}/${item.id}/ack`, undefined, as), 'BetaSelfHostedWork');
    fits(await raw('POST', `${W}/${item.id}/heartbeat?expected_last_heartbeat=NO_HEARTBEAT`, undefined, as), 'BetaSelfHostedWorkHeartbeatResponse');
    fits(await raw('GET', `${W}/stats`, undefined, as), 'BetaSelfHostedWorkQueueStats');
    for (const w of (await raw('GET', W, undefined, as)).data) fits(w, 'BetaSelfHostedWork');
    refusedRaw(await s.api('POST', `${W}/${item.id}/stop`, { force: null }, as), 400, { message: /force/ });
    fits(await raw('POST', `${W}/${item.id}/stop`, { force: true }, as), 'BetaSelfHostedWork');
    assert(x.id);
  });

  describe('null where the types have none', () => {
    const NOT_BUILT = ['mcp_servers', 'skills', 'resources', 'vault_ids', 'budget'];   // null asks for nothing
    const custom = { type: 'custom', name: 'z', description: 'd', input_schema: { type: 'object' } };
    // what is posted where, the place of the object in it, the type of that object
    const cases = {
      agent: ['/v1/agents', { name: 'n', model: 'm' }, [], 'AgentCreateParams'],
      'agent update': ['/v1/agents/AGENT', {}, [], 'AgentUpdateParams'],
      model: ['/v1/agents', { name: 'n', model: { id: 'm' } }, ['model'], `${B}ModelConfigParams`],
      toolset: ['/v1/agents', { name: 'n', model: 'm', tools: [TOOLSET] }, ['tools', 0], `${B}AgentToolset20260401Params`],
      'default config': ['/v1/agents', { name: 'n', model: 'm', tools: [{ ...TOOLSET, default_config: {} }] }, ['tools', 0, 'default_config'], `${B}AgentToolsetDefaultConfigParams`],
      'config of bash': ['/v1/agents', { name: 'n', model: 'm', tools: [{ ...TOOLSET, configs: [{ name: 'bash' }] }] }, ['tools', 0, 'configs', 0], `${B}BashToolConfigParams`],
      'custom tool': ['/v1/agents', { name: 'n', model: 'm', tools: [custom] }, ['tools', 0], `${B}CustomToolParams`],
      'input schema': ['/v1/agents', { name: 'n', model: 'm', tools: [custom] }, ['tools', 0, 'input_schema'], `${B}CustomToolInputSchema`],
      environment: ['/v1/environments', { name: 'n' }, [], 'EnvironmentCreateParams'],
      'environment update': ['/v1/environments/ENV', {}, [], 'EnvironmentUpdateParams'],
      'cloud config': ['/v1/environments', { name: 'n', config: { type: 'cloud' } }, ['config'], 'BetaCloudConfigParams'],
      networking: ['/v1/environments', { name: 'n', config: { type: 'cloud', networking: { type: 'limited', allowed_hosts: [] } } }, ['config', 'networking'], 'BetaLimitedNetworkParams'],
      packages: ['/v1/environments', { name: 'n', config: { type: 'cloud', packages: { type: 'packages' } } }, ['config', 'packages'], 'BetaPackagesParams'],
      session: ['/v1/sessions', { agent: 'AGENT', environment_id: 'ENV' }, [], 'SessionCreateParams'],
      'agent of a session': ['/v1/sessions', { agent: { type: 'agent', id: 'AGENT' }, environment_id: 'ENV' }, ['agent'], `${B}AgentParams`],
      overrides: ['/v1/sessions', { agent: { type: 'agent_with_overrides', id: 'AGENT' }, environment_id: 'ENV' }, ['agent'], `${B}AgentWithOverridesParams`],
      'session update': ['/v1/sessions/SESSION', {}, [], 'SessionUpdateParams'],
      'agent of a session update': ['/v1/sessions/SESSION', { agent: {} }, ['agent'], `${B}SessionAgentUpdate`],
      interrupt: ['/v1/sessions/SESSION/events', { events: [{ type: 'user.interrupt' }] }, ['events', 0], `${B}UserInterruptEventParams`],
      document: ['/v1/sessions/SESSION/events', { events: [{ type: 'user.message', content: [{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'x' } }] }] }, ['events', 0, 'content', 0], `${B}DocumentBlock`],
    };
    const withNull = (base, place, key) => {
      const o = structuredClone(base);
      place.reduce((x, k) => x[k], o)[key] = null;
      return o;
    };
    for (const [what, [url, base, place, type]] of Object.entries(cases)) test(what, async () => {
      const x = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
      const real = (t) => t.replaceAll('AGENT', agent.id).replaceAll('ENV', env.id).replaceAll('SESSION', x.id);
      const post = (body) => s.api('POST', real(url), JSON.parse(real(JSON.stringify(body))));
      const plain = await post(base);
      assert.equal(plain.status, 200, plain.text);
      const wrong = [];
      for (const [k, f] of Object.entries(fieldsOf(type))) {
        if (['betas', 'workspace_id', ...NOT_BUILT].includes(k)) continue;   // the first two are headers
        const r = await post(withNull(base, place, k));
        if (r.status !== (nullable(f.type) ? 200 : 400)) wrong.push(`${k}: ${r.status} ${r.text.slice(0, 160)}`);
      }
      assert.deepEqual(wrong, []);
    });
  });
});
