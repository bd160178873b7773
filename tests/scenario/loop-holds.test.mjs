// One thread serves everybody, so nobody may hold it for long: whatever a request brings, less than 20 ms of processor
// time pass between two suspensions. The server measures that itself (src/fiber/watch.c) and names who did: wall time
// would tell how busy the machine is. Beside each input a small call is made over and over.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, on, say, selfHosted, startServer } from '../lib/sallyport.mjs';
import { Session, toolResult, userMessage } from '../lib/session.mjs';
import { memoryCost, ms, SLOWDOWN, until } from '../lib/own.mjs';

const MOST_MS = 20 * memoryCost() * (SLOWDOWN > 1 ? 10 : 1);   // a sanitizer multiplies work, not waiting

describe('nobody holds the loop', () => {
  let s, env, key, agent;
  before(async () => {
    s = await startServer({ rules: [on('', {}, say('ok'))] });
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
  });
  after(async () => {
    if (!s) return;
    await s.stop();
    const m = s.proc.err.match(/msg="server stopped" result=ok holds=(\d+) longest_hold_us=(\d+)/);
    assert(m, s.proc.tail());
    console.log(`# the longest hold took ${m[2]} us of ${MOST_MS * 1000}`);
    assert(Number(m[2]) < MOST_MS * 1000, `the longest hold took ${m[2]} us\n${holds(0).join('\n')}`);
  });
  const holds = (from) => s.proc.err.slice(from).split('\n').filter((l) => Number(l.match(/ran long.* processor_ms=(\d+)/)?.[1] ?? 0) >= MOST_MS);

  const create = async (more = {}) => (await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id, ...more })).id;
  const post = (id, events, more = {}) => s.api('POST', `/v1/sessions/${id}/events`, { events }, more);
  const raw = async (p, body, more) => s.api('POST', p, body, more);
  const image = (mb) => ({ type: 'user.message', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0K'.repeat(mb * 131072) } }] });
  const idle = (id) => until('the turn is over', async () => (await s.api('GET', `/v1/sessions/${id}`)).body.status === 'idle', ms(30000));
  const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));
  const tool = (i, fields) => ({ type: 'custom', name: `t${i}`, description: 'd'.repeat(16000), input_schema: { type: 'object', properties: Object.fromEntries(times(fields, (k) => [`p${k}`, { type: 'string' }])) } });

  const inputs = {
    'the largest body, one text': async () => assert.equal((await raw('/v1/sessions', `{"title":"${'x'.repeat(31 << 20)}"}`)).status, 400),
    'the largest events': async () => { const id = await create(); assert.equal((await post(id, [image(15), image(15)])).status, 200); await idle(id); },
    'the same, repeated under one Idempotency-Key': async () => {
      const id = await create();
      for (let i = 0; i < 2; i++) assert.equal((await post(id, [image(14)], { headers: { 'idempotency-key': `k${id}` } })).status, 200);
      await idle(id);
    },
    'a session that begins with them': async () => { const r = await s.api('POST', '/v1/sessions', { agent: agent.id, environment_id: env.id, initial_events: [image(15), image(15)] }); assert.equal(r.status, 200); await idle(r.body.id); },
    'a thousand messages of 31 KB, listed': async () => {
      const id = await create();
      assert.equal((await post(id, times(1000, () => userMessage('x'.repeat(31000))))).status, 200);
      await idle(id);
      assert.equal((await s.api('GET', `/v1/sessions/${id}/events?limit=1000`)).body.data.length > 200, true);
      assert.equal((await s.api('DELETE', `/v1/sessions/${id}`)).status, 200);
    },
    'as many values as there may be, as blocks': async () => { const id = await create(); assert.equal((await post(id, times(18, () => ({ type: 'user.message', content: times(1000, () => ({ type: 'text', text: 'x' })) })))).status, 200); await idle(id); },
    'as many as there may be, of no use': async () => assert.equal((await raw(`/v1/sessions/${await create()}/events`, `{"events":[${'{},'.repeat(99000)}{}]}`)).status, 400),
    'as deep as may be': async () => assert.equal((await raw(`/v1/sessions/${await create()}/events`, `{"events":[${`${'['.repeat(60)}${']'.repeat(60)},`.repeat(1600)}{}]}`)).status, 400),
    'an object of 49,000 members': async () => assert.equal((await raw('/v1/agents', `{${times(49000, (i) => `"k${i}":1`).join(',')}}`)).status, 400),
    'metadata of 49,000 pairs': async () => assert.equal((await raw('/v1/agents', `{"name":"x","model":"m","metadata":{${times(49000, (i) => `"k${i}":"1"`).join(',')}}}`)).status, 400),
    'the largest agents, listed, and a session of one': async () => {
      let r;
      for (let i = 0; i < 6; i++) r = await s.api('POST', '/v1/agents', { name: 'x', model: 'script-model', tools: times(127, (k) => tool(k, 120)) });
      assert.equal(r.status, 200, r.text);
      const page = await s.api('GET', '/v1/agents?limit=100');
      assert(page.body.next_page, 'a page of large rows ends early');
      const x = await s.api('POST', '/v1/sessions', { agent: r.body.id, environment_id: env.id, initial_events: [userMessage('x')] });
      await idle(x.body.id);
      assert.equal((await s.api('GET', '/v1/sessions?limit=100')).status, 200);
    },
    'the largest head and query': async () => {
      assert.equal((await s.api('GET', '/v1/agents?limit=1', undefined, { headers: Object.fromEntries(times(110, (i) => [`x-a${i}`, 'y'.repeat(200)])) })).status, 200);
      for (const one of ['types[]=user.message&', 'a=%41&', '%61%62%63=%64%65%66&']) assert((await s.api('GET', `/v1/sessions/${await create()}/events?${one.repeat(250)}`)).status < 500);
    },
    'a large result from a worker': async () => assert.equal((await post(await create(), [toolResult('sevt_x', 'x'.repeat(15 << 20))], { key })).status, 400),
    'two hundred streams of a session with a large commit': async () => {
      const id = await create();
      const readers = await Promise.all(times(200, () => Session.attach(s, id)));
      assert.equal((await post(id, times(300, (i) => userMessage('x'.repeat(i % 100 ? 2000 : 200000))))).status, 200);
      await Promise.all(readers.map((r) => r.idle('end_turn')));
      assert.equal((await post(id, times(20, () => userMessage('x'.repeat(2000))))).status, 200);
      await Promise.all(readers.map((r) => r.idle('end_turn')));
      for (const r of readers) { assert.equal(r.reconnects, 0); await r.close(); }
    },
  };

  for (const [what, send] of Object.entries(inputs))
    test(what, async () => {
      const from = s.proc.err.length;
      let over = false, answered = 0;
      const probe = (async () => {
        while (!over) {
          assert.equal((await s.api('GET', `/v1/environments/${env.id}/work/stats`)).status, 200);
          answered++;
          await new Promise((r) => setTimeout(r, 10));
        }
      })();
      try { await send(); } finally { over = true; await probe; }
      assert(answered > 0, 'others are served');
      assert.deepEqual(holds(from), []);
    });
});
