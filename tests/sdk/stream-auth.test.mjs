// A stream that a worker opened ends when its credential does: a revoked key or a lost lease must
// not go on reading what it may no longer ask for. (api.md §1.1; the check is made every 5 s.)
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
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

  // The same for calls that were let in and then waited: for work, or for the rest of their body.
  test('a poll that waits when its key is revoked is not given work', async () => {
    const { env: e3, key: kept } = await selfHosted(s, 'polls');
    const k = await envKey(s, e3.id, 'short-lived');
    await s.client().beta.sessions.create({ agent: agent.id, environment_id: e3.id, initial_events: [{ type: 'user.message', content: [{ type: 'text', text: 'hi' }] }] });
    const mine = await s.as(k.key).beta.environments.work.poll(e3.id);
    assert.ok(mine?.id, 'the item is claimed');
    const headers = { authorization: `Bearer ${k.key}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA, 'anthropic-worker-id': 'waiting' };
    // A worker whose poll has ended with nothing polls again; a slow machine may need more than one to get to the revocation.
    const parked = (async () => {
      for (;;) {
        const r = await fetch(`${s.url}/v1/environments/${e3.id}/work/poll?block_ms=999&reclaim_older_than_ms=600000`, { headers });
        const text = await r.text();
        if (r.status !== 200 || text.trim() !== 'null') return { status: r.status, text };
      }
    })();
    const polling = async () => (await s.api('GET', `/v1/environments/${e3.id}/work/stats`)).body.workers_polling;
    // Only the parked poll names a worker; the first one gave no id and is not counted.
    let seen = 0;
    for (let i = 0; i < 1000 && (seen = await polling()) < 1; i++) await new Promise((r) => setTimeout(r, 5));
    assert.equal(seen, 1, 'the second poll is there');
    assert.equal((await s.api('DELETE', `/v1/environments/${e3.id}/keys/${k.id}`)).status, 200);
    const r = await parked;
    assert.equal(r.status, 401, r.text);
    assert.equal((await s.as(kept).beta.environments.work.poll(e3.id))?.id, mine.id);
  });

  test('a sessions token does not outlive the key it was given to', async () => {
    const { env: e5 } = await selfHosted(s, 'expiry');
    const r = await s.api('POST', `/v1/environments/${e5.id}/keys`, { expires_at: new Date(Date.now() + ms(5000)).toISOString() });
    assert.equal(r.status, 200);
    const session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: e5.id, initial_events: [{ type: 'user.message', content: [{ type: 'text', text: 'hi' }] }] });
    const item = await s.as(r.body.key).beta.environments.work.poll(e5.id);
    const token = JSON.parse(Buffer.from(item.secret, 'base64url')).sessions_token;
    const status = async () => (await fetch(`${s.url}/v1/sessions/${session.id}`, { headers: { authorization: `Bearer ${token}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA } })).status;
    assert.equal(await status(), 200);
    while (Date.now() <= Date.parse(r.body.expires_at)) await new Promise((done) => setTimeout(done, 50));
    assert.equal(await status(), 401);
  });

  test('a post whose token dies while its body is on the way does nothing', async () => {
    const { env: e4, key } = await selfHosted(s, 'posts');
    const session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: e4.id, initial_events: [{ type: 'user.message', content: [{ type: 'text', text: 'hi' }] }] });
    const worker = s.as(key).beta.environments.work;
    const item = await worker.poll(e4.id);
    const token = JSON.parse(Buffer.from(item.secret, 'base64url')).sessions_token;
    await worker.ack(item.id, { environment_id: e4.id });
    const body = JSON.stringify({ events: [{ type: 'user.tool_result', tool_use_id: 'sevt_none', content: [] }] });
    const sock = net.connect({ port: Number(new URL(s.url).port), host: '127.0.0.1' });
    let text = '';
    const got = (what) => new Promise((resolve, reject) => {
      const look = () => what.test(text) && resolve();
      sock.on('data', (d) => { text += d; look(); });
      sock.on('close', () => reject(new Error(`closed after: ${text}`)));
    });
    sock.write(`POST /v1/sessions/${session.id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nanthropic-version: ${VERSION}\r\n`
      + `anthropic-beta: ${BETA}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`);
    await within(got(/^HTTP\/1.1 100 /), ms(5000), 'the server to ask for the body');
    await worker.stop(item.id, { environment_id: e4.id, force: true });
    sock.write(body);
    await within(got(/HTTP\/1.1 [2-5]\d\d /), ms(5000), 'the answer');
    sock.destroy();
    assert.match(text, /HTTP\/1.1 401 /);
  });
});
