// One thread serves all sessions of a worker, and sends their heartbeats: whatever the platform or a tool brings, less
// than 20 ms of processor time pass between two suspensions. The worker measures that itself (src/fiber/watch.c).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, on, say, bash, tool, selfHosted, startServer, startWorker } from '../lib/sallyport.mjs';
import { userMessage } from '../lib/session.mjs';
import { memoryCost, ms, SLOWDOWN, until } from '../lib/own.mjs';

const MOST_MS = 20 * memoryCost() * (SLOWDOWN > 1 ? 10 : 1);   // a sanitizer multiplies work, not waiting
const PICTURE = "{ printf '\\211PNG\\r\\n\\032\\n'; head -c 3400000 /dev/urandom; } >p.png";
const rules = [on('paint', { last: 'user' }, bash(PICTURE)), on('look', { last: 'user' }, tool('read', { file_path: 'p.png' })), on('run', { last: 'user' }, bash('yes "quoted \\"words\\"" | head -c 90000')), on('', {}, say('ok'))];

describe('nobody holds the worker\'s loop', () => {
  let s, env, agent, w;
  before(async () => {
    s = await startServer({ rules });
    const h = await selfHosted(s);
    env = h.env;
    agent = await makeAgent(s);
    w = startWorker({ url: s.url, envId: env.id, envKey: h.key });
    await w.proc.line(/^ready /m);
  });
  after(async () => { await w?.stop(); await s?.stop(); });
  const holds = (from) => w.proc.err.slice(from).split('\n').filter((l) => Number(l.match(/ran long.* processor_ms=(\d+)/)?.[1] ?? 0) >= MOST_MS);
  const post = async (id, events) => { const r = await s.api('POST', `/v1/sessions/${id}/events`, { events }); assert.equal(r.status, 200, r.text); };
  const events = async (id, type) => (await s.api('GET', `/v1/sessions/${id}/events?limit=1000&types[]=${type}`)).body.data;
  const image = (mb) => ({ type: 'user.message', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0K'.repeat(mb * 131072) } }] });
  const times = (n, f) => Array.from({ length: n }, (_, i) => f(i));
  const blocks = () => ({ type: 'user.message', content: times(1000, () => ({ type: 'text', text: 'x' })) });
  const create = async () => (await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id })).id;

  /** A call that runs after what came, so that the worker has had it; `n`: how many have run then. */
  const runs = async (id, n) => {
    await post(id, [userMessage('run')]);
    await until('the call is answered', async () => (await events(id, 'user.tool_result')).length === n, ms(60000));
  };

  const inputs = {
    'an event of 2 MB': [image(2)],
    'the largest event': [image(15)],
    'a text of 2 MB that is all escapes': [userMessage('"\n'.repeat(1 << 20))],
    'as many values as there may be': times(18, blocks),
    'a thousand messages of 20 KB': times(1000, () => userMessage('x'.repeat(20000))),
  };
  test('a result of 4.5 MB', async () => {
    const from = w.proc.err.length, id = await create();
    for (const [i, word] of ['paint', 'look', 'run'].entries()) {
      await post(id, [userMessage(word)]);
      await until('the call is answered', async () => (await events(id, 'user.tool_result')).length === i + 1, ms(60000));
    }
    const [, seen] = await events(id, 'user.tool_result');
    assert.equal(seen.content[0].type, 'image', JSON.stringify(seen).slice(0, 300));
    assert.deepEqual(holds(from), []);
  });
  for (const [what, list] of Object.entries(inputs)) {
    test(`${what}, live`, async () => {
      const from = w.proc.err.length, id = await create();
      await runs(id, 1);
      await post(id, list);
      await runs(id, 2);
      assert.deepEqual(holds(from), []);
    });
    test(`${what}, in the history`, async () => {
      const from = w.proc.err.length, id = await create();
      await post(id, list);
      await runs(id, 1);
      assert.deepEqual(holds(from), []);
    });
  }
});
