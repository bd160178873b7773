// Capacity is for work: sessions that ask for nothing never hold what a waiting call needs. Ten times more sessions than slots, at rest
// in every way there is, with our worker and with the SDK's; both would keep a session for much longer than any bound here.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, TOOLSET } from '../lib/sallyport.mjs';
import { answers, checkLog, Session, text } from '../lib/session.mjs';
import { all } from '../lib/check.mjs';
import { ms, tempDir, until, within } from '../lib/own.mjs';

const RULES = [
  on('run', { last: 'user' }, bash('echo ran')),
  on('long', { last: 'user' }, bash('sleep 600')),
  on('steps', { turn: 1 }, bash('echo mine > /workspace/f; cd /tmp')),
  on('steps', { turn: 2 }, { delay_ms: 200 }, bash('cat /workspace/f; pwd')),
  on('steps', {}, say('done')),
  on('slow', {}, { delay_ms: 600000 }, say('too late')),
  on('', { last: 'tool_result' }, say('done')),
  on('', {}, say('ok')),
];
// A worker lets go by itself after an hour here, or never.
const NEVER_MS = 3600_000;
// In which a call must be served. What is measured is whether it waits for somebody's rest to end.
const SOON = ms(15000);

describe('capacity is for work', () => {
  let s, agent, asking;
  before(async () => {
    s = await startServer({ rules: RULES });
    agent = await makeAgent(s);
    asking = await makeAgent(s, { tools: [{ ...TOOLSET, default_config: { permission_policy: { type: 'always_ask' } } }] });
  });
  after(() => s?.stop());

  const ours = (p) => startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: ['--max-idle', '1h', '--capacity', '2'] });
  const sdk = (p) => {
    const ctrl = new AbortController();
    const w = s.client({ apiKey: null, authToken: 'unused' }).beta.environments.work.worker({ environmentId: p.env.id, environmentKey: p.key, workdir: tempDir('capacity'), maxIdleMs: NEVER_MS, signal: ctrl.signal });
    const done = w.run().catch((e) => { if (!ctrl.signal.aborted) throw e; });
    return { stop: async () => { ctrl.abort(); await within(done, ms(15000), 'the SDK worker ends'); } };
  };
  const items = (p) => all(s.client().beta.environments.work.list(p.env.id, { limit: 100 }));
  const create = (p, a = agent) => Session.create(s, { agent: a.id, environment_id: p.env.id });

  const us = (stamp) => Date.parse(`${stamp.slice(0, 23)}Z`) * 1000 + Number(stamp.slice(23, 26));
  /** From the one call of a log to its one result, by the server's stamps, in ms. */
  const waited = (log) => {
    const call = log.find((e) => e.type === 'agent.tool_use'), results = answers(log).get(call.id);
    assert.equal(results.length, 1);
    return (us(results[0].processed_at) - us(call.processed_at)) / 1000;
  };

  /** Every way for a session to ask for nothing. */
  const RESTS = {
    empty: (p) => create(p),
    chat: async (p) => { const x = await create(p); await x.turn('hello'); return x; },
    interrupted: async (p) => { const x = await create(p); await x.turn('hello'); await x.send({ type: 'user.interrupt' }); return x; },
    'interrupted at first': async (p) => { const x = await create(p); await x.send({ type: 'user.interrupt' }); return x; },
    titled: async (p) => { const x = await create(p); await x.turn('hello'); await s.client().beta.sessions.update(x.id, { title: 'new' }); return x; },
    marked: async (p) => { const x = await create(p); await x.turn('hello'); await s.client().beta.sessions.update(x.id, { metadata: { a: 'b' } }); return x; },
    asking: async (p) => { const x = await create(p, asking); await x.say('run'); await x.idle('requires_action'); return x; },
    archived: async (p) => { const x = await create(p); await x.turn('hello'); await s.client().beta.sessions.archive(x.id); return x; },
    thinking: async (p) => { const x = await create(p); await x.say('slow'); await x.next('span.model_request_start'); return x; },
    lapsed: async (p) => {
      const x = await create(p);
      await x.turn('hello');
      // Another worker has it, and is not heard of again.
      const w = s.as(p.key).beta.environments.work;
      for (;;) {
        const item = await w.poll(p.env.id);
        if (!item) return x;
        await w.ack(item.id, { environment_id: p.env.id });
        await w.heartbeat(item.id, { environment_id: p.env.id, desired_ttl_seconds: 1 });
      }
    },
  };

  /** An item held by hand: its token, and a stream opened with it. */
  async function hold(p, session, token = true) {
    const w = s.as(p.key).beta.environments.work, e = { environment_id: p.env.id };
    const item = await w.poll(p.env.id, { block_ms: 999 });
    assert.equal(item.data.id, session.id);
    await w.ack(item.id, e);
    const key = token ? JSON.parse(Buffer.from(item.secret, 'base64url')).sessions_token : p.key;
    const me = s.as(key).beta;
    const beat = (last) => me.environments.work.heartbeat(item.id, { ...e, expected_last_heartbeat: last });
    const first = await beat('NO_HEARTBEAT');
    const stream = await me.sessions.events.stream(session.id);
    const ended = (async () => { for await (const _ of stream); })();
    return { item, me, e, beat, first, ended };
  }

  test('what a worker hears when its item is taken back', async () => {
    const p = await selfHosted(s);
    const x = await create(p), y = await create(p);
    const h = await hold(p, x);
    await y.say('run');
    await within(h.ended, SOON, 'its stream ends');
    for (const f of [() => h.me.sessions.retrieve(x.id), () => h.me.sessions.events.list(x.id), () => h.me.sessions.events.stream(x.id)])
      await assert.rejects(f, (e) => e.status === 404);
    const b = await h.beat(h.first.last_heartbeat);
    assert.deepEqual([b.state, b.lease_extended], ['stopped', false]);
    await assert.rejects(() => h.me.environments.work.stop(h.item.id, { ...h.e, force: true }), (e) => e.status === 409);
    assert.equal((await x.list()).length, 0, 'the log says nothing');
    // It makes a call a moment later: a new item, which anybody may have.
    await x.say('run');
    await x.idle('requires_action');
    const mine = (await items(p)).filter((i) => i.data.id === x.id && i.state === 'queued');
    assert.equal(mine.length, 1);
    assert.notEqual(mine[0].id, h.item.id);
    await Promise.all([x.close(), y.close()]);
  });

  test('what waits already when a worker begins is looked after, too', async () => {
    const p = await selfHosted(s);
    const x = await create(p), y = await create(p);
    for (const z of [x, y]) { await z.say('run'); await z.idle('requires_action'); }
    await new Promise((ok) => setTimeout(ok, ms(500)));   // nobody has an item, so nobody need be looked for: until now
    const h = await hold(p, x);
    const call = (await x.list()).find((e) => e.type === 'agent.tool_use');
    await h.me.sessions.events.send(x.id, { events: [{ type: 'user.tool_result', tool_use_id: call.id, content: [{ type: 'text', text: 'ran' }] }] });
    await x.idle('end_turn');
    await within(h.ended, SOON, 'its stream ends, for the call of the other');
    await Promise.all([x.close(), y.close()]);
  });

  test('a worker that uses the environment key is asked, and keeps its item until it answers', async () => {
    const p = await selfHosted(s);
    const x = await create(p), y = await create(p);
    const h = await hold(p, x, false);
    await y.say('run');
    await until('it is asked', async () => (await items(p)).some((i) => i.id === h.item.id && i.state === 'stopping'));
    assert.equal((await h.beat(h.first.last_heartbeat)).state, 'stopping');
    assert.equal((await h.me.environments.work.stop(h.item.id, { ...h.e, force: true })).state, 'stopped');
    await Promise.all([x.close(), y.close()]);
  });

  test('nobody is asked to go for a session that rests, nor from a session whose call may run', async () => {
    const p = await selfHosted(s);
    const x = await create(p), y = await create(p), z = await create(p);
    const busy = await hold(p, x);
    await x.say('run');
    await x.idle('requires_action');
    const idle = await hold(p, y);
    // z waits, empty; then it has a call, and y goes. x never does.
    assert.equal((await idle.beat(idle.first.last_heartbeat)).state, 'active');
    await z.say('run');
    await within(idle.ended, SOON, 'the stream of the idle one ends');
    await until('there is a round without anybody to ask', async () => (await items(p)).filter((i) => i.state === 'active').length === 1);
    assert.equal((await busy.beat(busy.first.last_heartbeat)).state, 'active');
    await Promise.all([x.close(), y.close(), z.close()]);
  });

  test('ours: twenty sessions, taken from it whenever their models think, find files and shell as they left them', async () => {
    const p = await selfHosted(s);
    const w = ours(p);
    const xs = await Promise.all(Array.from({ length: 20 }, () => create(p)));
    try {
      const logs = await Promise.all(xs.map((x) => x.turn('steps', 'end_turn', ms(60000))));
      for (const log of logs) {
        const [, second] = log.filter((e) => e.type === 'user.tool_result');
        assert.equal(text(second).trim(), 'mine\n/tmp');
        assert.deepEqual(log.filter((e) => e.type === 'session.error').map((e) => e.error.type), []);
      }
    } finally { await w.stop(); await Promise.all(xs.map((x) => x.close())); }
  });

  for (const [name, start, slots] of [['ours', ours, 2], ['the SDK\'s', sdk, 1]]) {
    for (const [kind, rest] of Object.entries(RESTS)) {
      test(`${name}: a call does not wait for sessions that are ${kind}`, async () => {
        const p = await selfHosted(s);
        const xs = [];
        for (let i = 0; i < 10 * slots; i++) xs.push(await rest(p));
        const w = start(p);
        try {
          if (kind !== 'archived' && kind !== 'lapsed')
            await until('its slots are taken', async () => (await items(p)).filter((i) => i.state === 'active').length >= 1);
          const took = [];
          for (let i = 0; i < 3; i++) {
            const x = await create(p);
            const log = await x.turn('run', 'end_turn', SOON);
            checkLog(log);
            took.push(waited(log));
            assert.deepEqual(log.filter((e) => e.type === 'session.error').map((e) => e.error.type), [], 'nothing is said about letting go');
            await x.close();
          }
          // The best of three: what waits for somebody's rest, or for the next look of somebody, is late each time. (The SDK's worker
          // takes half a second to notice, and sleeps up to three when it has found nothing.)
          assert(Math.min(...took) < ms(start === ours ? 1000 : 4000), `${took} ms from the call to its result`);
        } finally { await w.stop(); await Promise.all(xs.map((x) => x.close())); }
      });
    }

    test(`${name}: twenty sessions of one short call each, one after the other`, async () => {
      const p = await selfHosted(s);
      const w = start(p);
      const xs = await Promise.all(Array.from({ length: name === 'ours' ? 20 : 10 }, () => create(p)));
      try {
        await Promise.all(xs.map((x) => x.turn('run', 'end_turn', ms(60000))));   // the SDK's has one hand, and sleeps in between
        for (const x of xs) {
          const log = await x.list();
          for (const a of answers(log).values()) assert.equal(a.length, 1);
          assert.equal(log.filter((e) => e.type === 'session.error').length, 0);
        }
      } finally { await w.stop(); await Promise.all(xs.map((x) => x.close())); }
    });
  }
});
