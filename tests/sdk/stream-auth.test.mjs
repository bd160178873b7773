// A stream that a worker opened ends when its credential does: a revoked key or a lost lease must
// not go on reading what it may no longer ask for. (api.md §1.1; the check is made every 5 s.)
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { BETA, envKey, makeAgent, selfHosted, startServer, VERSION } from '../lib/sallyport.mjs';
import { ms, within } from '../lib/own.mjs';

describe('streams and their credentials', () => {
  let s, env, agent;
  before(async () => {
    s = await startServer();
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s);
  });
  after(() => s?.stop());

  /** Opens a stream; `ended` resolves when the server ends it in order. */
  const open = async (session, token) => {
    const ctrl = new AbortController();
    const r = await fetch(`${s.url}/v1/sessions/${session}/events/stream`, { headers: { authorization: `Bearer ${token}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA }, signal: ctrl.signal });
    const ended = r.status === 200 ? (async () => { for await (const _ of r.body); return 'ended'; })().catch((e) => `broken: ${e}`) : null;
    return { status: r.status, ended, close: () => ctrl.abort() };
  };
  const still = (st) => Promise.race([st.ended, new Promise((r) => setTimeout(() => r('open'), ms(7000)))]);

  test('a revoked environment key: its stream ends, others go on', async () => {
    const session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
    const k = await envKey(s, env.id, 'short-lived');
    const kept = await envKey(s, env.id, 'kept');
    const [mine, other, owner] = await Promise.all([open(session.id, k.key), open(session.id, kept.key), open(session.id, s.apiKey)]);
    for (const x of [mine, other, owner]) assert.equal(x.status, 200);
    assert.equal((await s.api('DELETE', `/v1/environments/${env.id}/keys/${k.id}`)).status, 200);
    assert.equal(await within(mine.ended, ms(12000), 'the end of the stream'), 'ended');
    assert.equal((await open(session.id, k.key)).status, 401);
    assert.deepEqual(await Promise.all([still(other), still(owner)]), ['open', 'open']);
    other.close();
    owner.close();
  });

  test('a sessions token dies with its lease, and its stream with it', async () => {
    const { env: e2, key } = await selfHosted(s, 'leases');
    const session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: e2.id });
    const worker = s.as(key).beta.environments.work;
    const item = await worker.poll(e2.id);
    const token = JSON.parse(Buffer.from(item.secret, 'base64url')).sessions_token;
    await worker.ack(item.id, { environment_id: e2.id });
    await s.as(token).beta.environments.work.heartbeat(item.id, { environment_id: e2.id });
    const mine = await open(session.id, token);
    assert.equal(mine.status, 200);
    await worker.stop(item.id, { environment_id: e2.id, force: true });
    assert.equal(await within(mine.ended, ms(12000), 'the end of the stream'), 'ended');
    assert.equal((await open(session.id, token)).status, 401);
  });
});
