// The SDK's own worker side against our server: WorkPoller, EnvironmentWorker (run and handleItem),
// SessionToolRunner, with real tools in a temporary workdir.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { bash, makeAgent, on, say, selfHosted, startServer, tool, TOOLSET } from '../lib/sallyport.mjs';
import { answers, checkLog, confirm, Session, text, userMessage } from '../lib/session.mjs';
import { LOOKUP } from '../lib/fixture-rules.mjs';
import { ms, tempDir, until, within } from '../lib/own.mjs';

const RULES = [
  on('tour', { turn: 1 }, tool('write', { file_path: 'a.txt', content: 'one\ntwo\n' })),
  on('tour', { turn: 2 }, tool('edit', { file_path: 'a.txt', old_string: 'two', new_string: 'three' })),
  on('tour', { turn: 3 }, tool('read', { file_path: 'a.txt' }), tool('grep', { pattern: 'thr' }), tool('glob', { pattern: '*.txt' })),
  on('tour', { turn: 4 }, bash('cat a.txt; (exit 3)')),
  on('tour', { turn: 5, tool_result: 'three' }, say('tour over')),
  on('state', { turn: 1 }, bash('X=5; cd /tmp')),
  on('state', { turn: 2 }, bash('echo $X $PWD')),
  on('state', { turn: 3, tool_result: '^5 /tmp' }, say('kept')),
  on('echo', { last: 'user' }, bash('echo hi')),
  on('lookup', { last: 'user' }, tool('lookup', { word: 'w' })),
  on('', { last: 'tool_result' }, say('done')),
  on('', {}, say('ok')),
];

describe('the SDK as worker', () => {
  let s, agent;
  before(async () => { s = await startServer({ rules: RULES }); agent = await makeAgent(s, { tools: [TOOLSET, LOOKUP] }); });
  after(() => s?.stop());

  async function place() {
    const { env, key } = await selfHosted(s);
    return { env, key, session: () => Session.create(s, { agent: agent.id, environment_id: env.id }) };
  }
  /** Runs an EnvironmentWorker until stop(). */
  function worker(p, more = {}) {
    const ctrl = new AbortController();
    const workdir = tempDir('sdkwork');
    const w = s.client({ apiKey: null, authToken: 'unused' }).beta.environments.work.worker({ environmentId: p.env.id, environmentKey: p.key, workdir, maxIdleMs: 300, signal: ctrl.signal, ...more });
    const done = w.run().catch((e) => { if (!ctrl.signal.aborted) throw e; });
    return { workdir, stop: async () => { ctrl.abort(); await within(done, ms(15000), 'the SDK worker ends'); } };
  }

  test('EnvironmentWorker serves a whole session: six tools, errors, order', async () => {
    const p = await place();
    const w = worker(p);
    try {
      const x = await p.session();
      const log = await x.turn('tour', 'end_turn', ms(30000));
      checkLog(log);
      const calls = log.filter((e) => e.type === 'agent.tool_use');
      assert.deepEqual(calls.map((e) => e.name), ['write', 'edit', 'read', 'grep', 'glob', 'bash']);
      const a = answers(log);
      const out = calls.map((e) => { assert.equal(a.get(e.id).length, 1); return a.get(e.id)[0]; });
      assert.equal(text(out[0]), 'wrote 8 bytes to a.txt');
      assert.equal(text(out[2]), 'one\nthree\n');
      assert.match(text(out[4]), /a\.txt$/);
      assert.equal(out[5].is_error, true);
      assert.equal(text(log.filter((e) => e.type === 'agent.message').at(-1)), 'tour over');
      assert.equal(fs.readFileSync(path.join(w.workdir, 'a.txt'), 'utf8'), 'one\nthree\n');
      await x.close();
    } finally { await w.stop(); }
  });

  test('a second message after the worker\'s idle exit makes a new item and is served', async () => {
    const p = await place();
    const w = worker(p, { maxIdleMs: 100 });
    try {
      const x = await p.session();
      await x.turn('echo', 'end_turn', ms(20000));
      await until('the worker let go of the item', async () => {
        const items = []; for await (const i of s.as(p.key).beta.environments.work.list(p.env.id)) items.push(i);
        return items.length && items.every((i) => i.state === 'stopped');
      });
      const log = await x.turn('echo', 'end_turn', ms(20000));
      assert.equal(log.filter((e) => e.type === 'user.tool_result').length, 2);
      await x.close();
    } finally { await w.stop(); }
  });

  test('the shell keeps its state from call to call', async () => {
    const p = await place();
    const w = worker(p);
    try {
      const x = await p.session();
      const log = await x.turn('state', 'end_turn', ms(20000));
      assert.equal(text(log.filter((e) => e.type === 'agent.message').at(-1)), 'kept');
      await x.close();
    } finally { await w.stop(); }
  });

  test('always_ask: the SDK holds the call until the confirmation', async () => {
    const p = await place();
    const a = await makeAgent(s, { tools: [{ ...TOOLSET, default_config: { permission_policy: { type: 'always_ask' } } }] });
    const w = worker(p);
    try {
      const x = await Session.create(s, { agent: a.id, environment_id: p.env.id });
      for (const verdict of ['allow', 'deny']) {
        await x.say('echo');
        const call = await x.next('agent.tool_use');
        await x.idle('requires_action');
        await x.send(confirm(call.id, verdict));
        await x.idle('end_turn', ms(20000));
        const log = await x.list();
        const [r] = answers(log).get(call.id);
        assert.equal(r.type, verdict === 'allow' ? 'user.tool_result' : 'agent.tool_result');
        assert.equal(text(r).trim() === 'hi', verdict === 'allow');
      }
      await x.close();
    } finally { await w.stop(); }
  });

  test('WorkPoller with drain hands out what is queued, acks, stops', async () => {
    const p = await place();
    const made = [];
    for (let i = 0; i < 3; i++) made.push((await s.client().beta.sessions.create({ agent: agent.id, environment_id: p.env.id })).id);
    const seen = [];
    for await (const item of s.client().beta.environments.work.poller({ environmentId: p.env.id, environmentKey: p.key, drain: true, blockMs: null })) {
      seen.push(item.data.id);
      assert.equal((await s.client().beta.environments.work.retrieve(item.id, { environment_id: p.env.id })).state, 'starting');
    }
    assert.deepEqual(seen.sort(), made.sort());
    for await (const i of s.as(p.key).beta.environments.work.list(p.env.id)) assert(['stopping', 'stopped'].includes(i.state), i.state);
  });

  test('WorkPoller with a wrong key ends at once instead of spinning', async () => {
    const p = await place();
    await assert.rejects(async () => {
      for await (const _ of s.client().beta.environments.work.poller({ environmentId: p.env.id, environmentKey: 'sk-sp-env-wrong' })) assert.fail('no item');
    }, (e) => e.status === 401);
  });

  test('handleItem with nothing but the secret', async () => {
    const p = await place();
    const x = await p.session();
    await x.say('echo');
    const item = await s.as(p.key).beta.environments.work.poll(p.env.id, { block_ms: 999 });
    await s.as(p.key).beta.environments.work.ack(item.id, { environment_id: p.env.id });
    const c = s.client({ apiKey: null, authToken: 'unused' });
    const done = c.beta.environments.work.worker({ workdir: tempDir('item'), maxIdleMs: 100 }).handleItem({ workId: item.id, environmentId: p.env.id, sessionId: x.id, workSecret: item.secret });
    await x.idle('end_turn', ms(20000));
    await within(done, ms(20000), 'handleItem returns');
    assert.equal((await s.client().beta.environments.work.retrieve(item.id, { environment_id: p.env.id })).state, 'stopped');
    await x.close();
  });

  test('SessionToolRunner of an application serves the custom tool, the worker the rest', async () => {
    const p = await place();
    const w = worker(p);
    try {
      const x = await p.session();
      const lookup = betaTool({ name: 'lookup', description: 'd', inputSchema: LOOKUP.input_schema, run: async ({ word }) => `about ${word}` });
      const ctrl = new AbortController();
      const calls = [];
      const app = (async () => { for await (const call of s.client().beta.sessions.events.toolRunner(x.id, { tools: [lookup], maxIdleMs: 0, signal: ctrl.signal })) calls.push(call); })().catch(() => {});
      await x.turn('lookup', 'end_turn', ms(20000));
      await x.turn('echo', 'end_turn', ms(20000));
      const log = await x.list();
      const custom = log.find((e) => e.type === 'user.custom_tool_result');
      assert.equal(text(custom), 'about w');
      for (const a of answers(log).values()) assert.equal(a.length, 1, 'each call answered once');
      assert(calls.some((y) => y.name === 'lookup' && y.posted));
      ctrl.abort();
      await within(app, ms(10000), 'the runner ends');
      await x.close();
    } finally { await w.stop(); }
  });

  test('a runner that starts late finds the unanswered call in the history', async () => {
    const p = await place();
    const x = await p.session();
    await x.say('echo');
    await x.idle('requires_action');
    const workdir = tempDir('late');
    const runner = s.as(p.key).beta.sessions.events.toolRunner(x.id, { tools: betaAgentToolset20260401({ workdir }), maxIdleMs: 100 });
    const seen = [];
    await within((async () => { for await (const call of runner) seen.push(call); })(), ms(20000), 'runner ends by itself when idle');
    assert.equal(seen.length, 1);
    assert.equal(seen[0].posted, true);
    assert.equal(answers(await x.list()).get(seen[0].toolUseId).length, 1);
    await x.close();
  });

  test('two workers, six sessions: each call answered once', async () => {
    const p = await place();
    const ws = [worker(p, { maxIdleMs: 50 }), worker(p, { maxIdleMs: 50 })];
    try {
      const xs = await Promise.all(Array.from({ length: 6 }, p.session));
      await Promise.all(xs.map((x) => x.turn('echo', 'end_turn', ms(60000))));
      for (const x of xs) { for (const a of answers(await x.list()).values()) assert.equal(a.length, 1); await x.close(); }
    } finally { await Promise.all(ws.map((w) => w.stop())); }
  });

  test('an item stopped by the operator: the old worker still listens but can post nothing; another takes over', async () => {
    const p = await place();
    const old = worker(p, { maxIdleMs: 0 });
    let w2;
    try {
      const x = await p.session();
      await x.turn('echo', 'end_turn', ms(20000));
      const items = []; for await (const i of s.client().beta.environments.work.list(p.env.id)) items.push(i);
      const live = items.find((i) => i.state === 'active');
      await s.client().beta.environments.work.stop(live.id, { environment_id: p.env.id, force: true });
      w2 = worker(p);
      const log = await x.turn('echo', 'end_turn', ms(20000));
      const results = log.filter((e) => e.type === 'user.tool_result');
      assert.equal(results.length, 2);
      for (const a of answers(log).values()) assert.equal(a.length, 1);
      assert.equal((await s.client().beta.environments.work.retrieve(live.id, { environment_id: p.env.id })).state, 'stopped');
      await x.close();
    } finally { await old.stop(); await w2?.stop(); }
  });
});
