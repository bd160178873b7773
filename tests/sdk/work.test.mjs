// The work queue of a self-hosted environment: api.md §4, every transition, through the SDK's work
// resource (not its poller, which hides the answers; that one is in worker.test.mjs).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { bash, makeAgent, on, say, selfHosted, startServer } from '../lib/sallyport.mjs';
import { all, keys, refused, refusedRaw, TIME } from '../lib/check.mjs';
import { ms, until } from '../lib/own.mjs';
import { Session, toolResult, userMessage } from '../lib/session.mjs';

const tokenOf = (w) => JSON.parse(Buffer.from(w.secret, 'base64url')).sessions_token;
const FIELDS = ['id', 'type', 'environment_id', 'data', 'state', 'metadata', 'secret', 'created_at', 'acknowledged_at', 'started_at', 'latest_heartbeat_at', 'stop_requested_at', 'stopped_at'];

describe('work queue', () => {
  let s, agent;
  before(async () => {
    s = await startServer({ rules: [on('run it', { last: 'user' }, bash('echo hi')), on('run it', { last: 'tool_result' }, say('done')), on('', {}, say('ok'))] });
    agent = await makeAgent(s);
  });
  after(() => s?.stop());

  /** An environment of its own with one session: {env, key, w (work as the worker), api (work as the operator), session}. */
  async function place({ sessions = 1 } = {}) {
    const { env, key } = await selfHosted(s);
    const p = { env, key, w: s.as(key).beta.environments.work, api: s.client().beta.environments.work, e: { environment_id: env.id } };
    p.sessions = [];
    for (let i = 0; i < sessions; i++) p.sessions.push(await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id }));
    p.session = p.sessions[0];
    p.claim = async (opts = {}) => { const w = await p.w.poll(env.id, { block_ms: 999, ...opts }); if (w) await p.w.ack(w.id, p.e); return w; };
    return p;
  }

  test('an empty queue answers null as JSON, at once without block_ms', async () => {
    const p = await place({ sessions: 0 });
    const r = await s.api('GET', `/v1/environments/${p.env.id}/work/poll`, undefined, { key: p.key });
    assert.equal(r.status, 200);
    assert.match(r.headers.get('content-type'), /^application\/json/);
    assert.equal(r.text.trim(), 'null');
    assert.equal(await p.w.poll(p.env.id), null);
    const t = Date.now();
    assert.equal(await p.w.poll(p.env.id, { block_ms: 600 }), null);
    const took = Date.now() - t;
    assert(took >= 550 && took < ms(10000), `an empty long poll lasts its block_ms (${took} ms)`);
  });

  test('a long poll is answered the moment work arrives', async () => {
    const p = await place({ sessions: 0 });
    const waits = [];
    for (let i = 0; i < 5; i++) {
      const poll = p.w.poll(p.env.id, { block_ms: 999 });
      await until('the poller is counted', async () => (await p.api.stats(p.env.id)).workers_polling !== undefined);
      await new Promise((r) => setTimeout(r, 100));   // so that the poll is parked, not merely on its way
      const created = await s.client().beta.sessions.create({ agent: agent.id, environment_id: p.env.id });
      const t = performance.now();
      const w = await poll;
      waits.push(performance.now() - t);
      assert.equal(w.data.id, created.id);
      await p.w.ack(w.id, p.e);
    }
    // The best of five: one that is only looked at now and then, or at its end, is never that quick.
    assert(Math.min(...waits) < ms(60), `${waits.map((t) => t.toFixed(1))} ms from creation to claim`);
  });

  test('one item goes to one of many waiting pollers', async () => {
    const p = await place({ sessions: 0 });
    const got = [];
    let made = false;
    // Each polls until one began after the item was there and has ended: whoever comes too late for it has looked once more.
    const poller = async () => {
      for (let last = false; !last;) {
        last = made;
        const w = await p.w.poll(p.env.id, { block_ms: 900 });
        if (w) got.push(w.id);
      }
    };
    const polls = Promise.all(Array.from({ length: 8 }, poller));
    await new Promise((r) => setTimeout(r, 150));
    await s.client().beta.sessions.create({ agent: agent.id, environment_id: p.env.id });
    made = true;
    await polls;
    assert.equal(got.length, 1);
  });

  test('poll: the item, its secret, its states up to active', async () => {
    const p = await place();
    const w = await p.w.poll(p.env.id, { 'Anthropic-Worker-ID': 'w1' });
    keys(w, FIELDS);
    assert.match(w.id, /^work_01/);
    assert.equal(w.type, 'work');
    assert.equal(w.environment_id, p.env.id);
    assert.deepEqual(w.data, { type: 'session', id: p.session.id });
    assert.equal(w.state, 'queued');
    assert.match(w.created_at, TIME);
    for (const k of ['acknowledged_at', 'started_at', 'latest_heartbeat_at', 'stop_requested_at', 'stopped_at']) assert.equal(w[k], null, k);
    const secret = JSON.parse(Buffer.from(w.secret, 'base64url'));
    assert.match(secret.sessions_token, /^sk-sp-req-/);
    if (secret.api_base_url !== undefined) assert.equal(secret.api_base_url.replace(/\/$/, ''), s.url, 'a base url only when it is right');
    assert.equal(await p.w.poll(p.env.id), null, 'claimed: not offered twice');

    const a = await p.w.ack(w.id, p.e);
    assert.equal(a.state, 'starting');
    assert.match(a.acknowledged_at, TIME);
    assert.equal(a.secret, null, 'only the poll shows the secret');
    const h = await p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT' });
    keys(h, ['type', 'last_heartbeat', 'lease_extended', 'state', 'ttl_seconds']);
    assert.equal(h.type, 'work_heartbeat');
    assert.equal(h.state, 'active');
    assert.equal(h.lease_extended, true);
    assert(Number.isInteger(h.ttl_seconds) && h.ttl_seconds > 60, 'the lease outlives two beats of at most 30 s');
    const got = await p.api.retrieve(w.id, p.e);
    assert.equal(got.state, 'active');
    assert.match(got.started_at, TIME);
    assert.equal(got.secret, null);
    assert.equal(Date.parse(got.latest_heartbeat_at), Date.parse(h.last_heartbeat));
  });

  test('heartbeat: echo chain, and 412 with the state when the echo is wrong', async () => {
    const p = await place();
    const w = await p.claim();
    const h1 = await p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT' });
    const h2 = await p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: h1.last_heartbeat });
    assert.notEqual(h2.last_heartbeat, h1.last_heartbeat);
    const e = await refused(p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT' }), 412, { type: 'invalid_request_error' });
    assert.equal(e.error.error.message, `Heartbeat precondition failed: expected NO_HEARTBEAT, actual was ${h2.last_heartbeat}`);
    const d = e.error.error.details;
    assert.equal(d.error_code, 'heartbeat_precondition_failed');
    assert.equal(d.current_state.state, 'active');
    assert.equal(d.current_state.last_heartbeat, h2.last_heartbeat);
    assert.equal(d.current_state.lease_extended, false);
    assert.equal(d.current_state.ttl_seconds, h2.ttl_seconds);
    assert.equal(e.constructor.name, 'BetaHeartbeatPreconditionFailedError', 'the SDK knows it by its error_code');
    await refused(p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: h1.last_heartbeat }), 412);
    // Byte-exact: the same instant written differently is not the same.
    await refused(p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: h2.last_heartbeat.replace('Z', '+00:00') }), 412);
    const h3 = await p.w.heartbeat(w.id, p.e);
    assert.equal(h3.lease_extended, true, 'absent: unconditional');
    await refused(p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: h2.last_heartbeat }), 412);
  });

  test('heartbeat: desired_ttl_seconds is checked and honoured within bounds', async () => {
    const p = await place();
    const w = await p.claim();
    const h = await p.w.heartbeat(w.id, { ...p.e, desired_ttl_seconds: 120 });
    assert.equal(h.ttl_seconds, 120);
    await refused(p.w.heartbeat(w.id, { ...p.e, desired_ttl_seconds: 0 }), 400, { message: /desired_ttl_seconds/ });
    await refused(p.w.heartbeat(w.id, { ...p.e, desired_ttl_seconds: 'soon' }), 400, { message: /desired_ttl_seconds/ });
  });

  test('stop{} then stop{force}: stopping, stopped, then 409; a heartbeat learns it', async () => {
    const p = await place();
    const w = await p.claim();
    const h = await p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT' });
    const x = await p.w.stop(w.id, p.e);
    assert.equal(x.state, 'stopping');
    assert.match(x.stop_requested_at, TIME);
    assert.equal(x.stopped_at, null);
    const b = await p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: 'not compared now' });
    assert.equal(b.state, 'stopping');
    assert.equal(b.lease_extended, false);
    const y = await p.w.stop(w.id, { ...p.e, force: true });
    assert.equal(y.state, 'stopped');
    assert.match(y.stopped_at, TIME);
    assert.equal(y.stop_requested_at, x.stop_requested_at);
    const e = await refused(p.w.stop(w.id, { ...p.e, force: true }), 409);
    assert.equal(e.headers.get('x-should-retry'), 'false');
    const dead = await p.w.heartbeat(w.id, { ...p.e, expected_last_heartbeat: h.last_heartbeat });
    assert.equal(dead.state, 'stopped');
    assert.equal(dead.lease_extended, false);
    assert.equal(await p.w.poll(p.env.id), null, 'an item stopped with nothing to do is not offered again');
  });

  test('stop by the operator with the API key', async () => {
    const p = await place();
    const w = await p.claim();
    await p.w.heartbeat(w.id, p.e);
    assert.equal((await p.api.stop(w.id, { ...p.e, force: true })).state, 'stopped');
  });

  test('claimed but not acked: offered again after reclaim_older_than_ms, with a new secret; the old one is void', async () => {
    const p = await place();
    const w1 = await p.w.poll(p.env.id);
    assert.equal(await p.w.poll(p.env.id, { reclaim_older_than_ms: 60000 }), null);
    const w2 = await until('the item is offered again', () => p.w.poll(p.env.id, { block_ms: 200, reclaim_older_than_ms: 300 }));
    assert.equal(w2.id, w1.id);
    assert.notEqual(w2.secret, w1.secret);
    await refused(s.as(tokenOf(w1)).beta.sessions.retrieve(p.session.id), 401);
    assert.equal((await s.as(tokenOf(w2)).beta.sessions.retrieve(p.session.id)).id, p.session.id);
  });

  test('an acked item is not reclaimed by age', async () => {
    const p = await place();
    await p.claim();
    await new Promise((r) => setTimeout(r, 400));
    assert.equal(await p.w.poll(p.env.id, { reclaim_older_than_ms: 100 }), null);
  });

  test('ack: unknown, twice, unclaimed', async () => {
    const p = await place();
    await refused(p.w.ack('work_0111', p.e), 404);
    const [item] = await all(p.w.list(p.env.id));
    const w = await p.w.poll(p.env.id);
    assert.equal(item.id, w.id);
    assert.equal((await p.w.ack(w.id, p.e)).state, 'starting');
    // A repeated ack (a retry after a lost answer) must not put the item anywhere else.
    const again = await s.api('POST', `/v1/environments/${p.env.id}/work/${w.id}/ack`, undefined, { key: p.key });
    assert([200, 409].includes(again.status), again.text);
    assert.equal((await p.api.retrieve(w.id, p.e)).state, 'starting');
  });

  test('a lease that expires puts the item back; the next worker gets it with a fresh start and a new token', async () => {
    const p = await place();
    const w1 = await p.claim();
    const t = Date.now();   // before the lease begins
    const h1 = await p.w.heartbeat(w1.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT', desired_ttl_seconds: 2 });
    assert.equal(h1.ttl_seconds, 2);
    const w2 = await until('the lease expires and the item comes back', () => p.w.poll(p.env.id, { block_ms: 900 }), ms(12000));
    const took = Date.now() - t;
    assert(took > 1950 && took < ms(12000), `${took} ms after a 2 s lease`);
    assert.equal(w2.data.id, p.session.id);
    assert.equal(w2.latest_heartbeat_at, null);
    // The split-brain worker: its token is dead, and its echo no longer fits.
    await refused(s.as(tokenOf(w1)).beta.environments.work.heartbeat(w1.id, { ...p.e, expected_last_heartbeat: h1.last_heartbeat }), 401);
    await p.w.ack(w2.id, p.e);
    const h2 = await p.w.heartbeat(w2.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT' });
    assert.equal(h2.state, 'active');
  });

  test('a stop request on an item whose worker is dead still ends', async () => {
    const p = await place();
    const w = await p.claim();
    await p.w.heartbeat(w.id, { ...p.e, desired_ttl_seconds: 2 });
    assert.equal((await p.api.stop(w.id, p.e)).state, 'stopping');
    await until('stopping ends with the lease', async () => (await p.api.retrieve(w.id, p.e)).state === 'stopped', ms(12000));
  });

  test('the sessions token: what it opens, what it does not, and that it dies with the item', async () => {
    const p = await place({ sessions: 2 });
    const w = await p.claim();
    const other = p.sessions.find((x) => x.id !== w.data.id);
    const t = s.as(tokenOf(w)).beta;
    assert.equal((await t.environments.work.heartbeat(w.id, { ...p.e, expected_last_heartbeat: 'NO_HEARTBEAT' })).state, 'active');
    assert.equal((await t.sessions.retrieve(w.data.id)).id, w.data.id);
    assert(Array.isArray((await t.sessions.events.list(w.data.id)).data));
    for (const [what, f] of [
      ['another session', () => t.sessions.retrieve(other.id)], ['its events', () => t.sessions.events.list(other.id)],
      ['poll', () => t.environments.work.poll(p.env.id)], ['work retrieve', () => t.environments.work.retrieve(w.id, p.e)],
      ['work update', () => t.environments.work.update(w.id, { ...p.e, metadata: { a: 'b' } })], ['agents', () => t.agents.list()],
      ['sessions list', () => t.sessions.list()], ['delete', () => t.sessions.delete(w.data.id)], ['archive', () => t.sessions.archive(w.data.id)],
    ]) {
      let e;
      try { await f(); } catch (x) { e = x; }
      assert(e && [401, 403, 404].includes(e.status), `${what}: ${e?.status}`);
    }
    await t.environments.work.stop(w.id, { ...p.e, force: true });
    await refused(t.sessions.retrieve(w.data.id), 401);
  });

  test('retrieve and update are for API keys only; update merges metadata', async () => {
    const p = await place();
    const w = await p.w.poll(p.env.id);
    const u = await p.api.update(w.id, { ...p.e, metadata: { a: '1', b: '2' } });
    assert.deepEqual(u.metadata, { a: '1', b: '2' });
    assert.deepEqual((await p.api.update(w.id, { ...p.e, metadata: { a: null, c: '3' } })).metadata, { b: '2', c: '3' });
    await refused(p.api.update(w.id, { ...p.e, metadata: { a: 1 } }), 400, { message: /metadata/ });
    for (const f of [() => p.w.retrieve(w.id, p.e), () => p.w.update(w.id, { ...p.e, metadata: {} })]) {
      let e;
      try { await f(); } catch (x) { e = x; }
      assert(e && [401, 403].includes(e.status), `${e?.status}`);
    }
    await refused(p.api.retrieve('work_x', p.e), 404);
    await refused(p.api.retrieve(w.id, { environment_id: 'env_x' }), 404);
  });

  test('list with both keys, in pages', async () => {
    const p = await place({ sessions: 5 });
    for (const c of [p.w, p.api]) {
      const l = await all(c.list(p.env.id, { limit: 2 }));
      assert.equal(l.length, 5);
      assert.deepEqual(new Set(l.map((x) => x.data.id)), new Set(p.sessions.map((x) => x.id)));
      for (const x of l) assert.equal(x.secret, null);
    }
  });

  test('stats count what waits, what is claimed, who polls', async () => {
    const p = await place({ sessions: 3 });
    const st = await p.w.stats(p.env.id);
    keys(st, ['type', 'depth', 'pending', 'oldest_queued_at', 'workers_polling']);
    assert.equal(st.type, 'work_queue_stats');
    assert.equal(st.depth, 3);
    assert.equal(st.pending, 0);
    assert.match(st.oldest_queued_at, TIME);
    const w = await p.w.poll(p.env.id, { 'Anthropic-Worker-ID': 'one' });
    await p.w.poll(p.env.id, { 'Anthropic-Worker-ID': 'two' });
    let x = await p.api.stats(p.env.id);
    assert.deepEqual([x.depth, x.pending, x.workers_polling], [1, 2, 2]);
    assert.equal(x.oldest_queued_at, st.oldest_queued_at, 'claimed but unacknowledged items count');
    await p.w.ack(w.id, p.e);
    await p.w.poll(p.env.id, { 'Anthropic-Worker-ID': 'two' });
    x = await p.api.stats(p.env.id);
    assert.deepEqual([x.depth, x.pending, x.workers_polling], [0, 2, 2]);
    assert(x.oldest_queued_at > st.oldest_queued_at);
  });

  test('poll parameters out of range are 400', async () => {
    const p = await place({ sessions: 0 });
    for (const block_ms of ['0', '1000', '-1', 'x', '1e2', '99999999999999999999']) {
      const r = await s.api('GET', `/v1/environments/${p.env.id}/work/poll?block_ms=${block_ms}`, undefined, { key: p.key });
      refusedRaw(r, 400, { message: /block_ms/ });
    }
    refusedRaw(await s.api('GET', `/v1/environments/${p.env.id}/work/poll?reclaim_older_than_ms=x`, undefined, { key: p.key }), 400, { message: /reclaim_older_than_ms/ });
    const empty = await s.api('GET', `/v1/environments/${p.env.id}/work/poll?block_ms=`, undefined, { key: p.key });
    assert.equal(empty.status, 200, 'an empty block_ms is none');
  });

  test('one live item per session; a message after it stopped queues a new one', async () => {
    const p = await place();
    const w1 = await p.claim();
    await p.w.heartbeat(w1.id, p.e);
    const x = await Session.attach(s, p.session.id);
    await x.turn('hello');
    assert.equal((await all(p.w.list(p.env.id))).filter((i) => i.state !== 'stopped').length, 1);
    await p.w.stop(w1.id, { ...p.e, force: true });
    await x.turn('hello again');
    const w2 = await p.w.poll(p.env.id);
    assert(w2, 'queued again');
    assert.notEqual(w2.id, w1.id, 'a new work id');
    assert.equal(w2.data.id, p.session.id);
    await x.close();
  });

  test('an item stopped with unanswered calls is offered again, and the log says what happened', async () => {
    const p = await place();
    const x = await Session.attach(s, p.session.id);
    const w1 = await p.claim();
    await p.w.heartbeat(w1.id, p.e);
    await x.send(userMessage('run it'));
    const call = await x.next('agent.tool_use');
    await x.idle('requires_action');
    await p.w.stop(w1.id, { ...p.e, force: true });
    const w2 = await until('offered again', () => p.w.poll(p.env.id, { block_ms: 900 }));
    assert.equal(w2.data.id, p.session.id);
    await p.w.ack(w2.id, p.e);
    const err = (await x.list()).find((e) => e.type === 'session.error');
    assert(err, 'the log says that the worker went away');
    assert.match(err.error.type, /^sallyport_/);
    assert.equal(err.error.retry_status.type, 'retrying');
    await s.as(tokenOf(w2)).beta.sessions.events.send(p.session.id, { events: [toolResult(call.id, 'hi')] });
    await x.idle('end_turn');
    await x.close();
  });

  test('archiving or deleting a session ends its item', async () => {
    const p = await place({ sessions: 2 });
    const w = await p.claim();
    await p.w.heartbeat(w.id, p.e);
    await s.client().beta.sessions.archive(w.data.id);
    const b = await p.w.heartbeat(w.id, p.e);
    assert(['stopping', 'stopped'].includes(b.state), b.state);
    assert.equal(b.lease_extended, false);
    const rest = p.sessions.find((y) => y.id !== w.data.id);
    await s.client().beta.sessions.delete(rest.id);
    assert.equal(await p.w.poll(p.env.id), null, 'a deleted session is not offered');
    const items = async () => (await all(p.w.list(p.env.id))).map((x) => x.id);
    assert.deepEqual(await items(), [w.id], 'nothing is left of the item nobody held');
    await s.client().beta.sessions.delete(w.data.id);
    await p.w.stop(w.id, { ...p.e, force: true });
    assert.deepEqual(await items(), [], 'nor of the other, once its worker has let go');
  });

  test('a hundred sessions: each handed out exactly once to ten workers', async () => {
    const p = await place({ sessions: 0 });
    const made = await Promise.all(Array.from({ length: 100 }, () => s.client().beta.sessions.create({ agent: agent.id, environment_id: p.env.id })));
    const got = [];
    await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      for (;;) {
        const w = await p.w.poll(p.env.id, { block_ms: 300, 'Anthropic-Worker-ID': `w${i}` });
        if (!w) return;
        await p.w.ack(w.id, p.e);
        got.push(w.data.id);
      }
    }));
    assert.deepEqual(got.sort(), made.map((x) => x.id).sort());
  });
});
