// A session that rests is let go; claimed again by the same worker, it finds its sandbox as it left it (sallyport worker --keep).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker } from '../lib/sallyport.mjs';
import { answers, Session, text } from '../lib/session.mjs';
import { descendants, ms, until } from '../lib/own.mjs';
import { all } from '../lib/check.mjs';

const RULES = [
  on('leave', { last: 'user' }, bash('echo kept > /workspace/note; X=5; echo left')),
  on('look', { last: 'user' }, bash('cat /workspace/note; echo "X=$X"')),
  on('', { last: 'tool_result' }, say('done')),
];

describe('sandboxes of sessions at rest', () => {
  let s, agent;
  before(async () => { s = await startServer({ rules: RULES }); agent = await makeAgent(s); });
  after(() => s?.stop());

  const result = (log) => text(answers(log).get(log.filter((e) => e.type === 'agent.tool_use').at(-1).id)[0]);
  async function twice(args) {
    const p = await selfHosted(s);
    const w = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: ['--max-idle', '200ms', ...args] });
    try {
      const x = await Session.create(s, { agent: agent.id, environment_id: p.env.id });
      const other = await Session.create(s, { agent: agent.id, environment_id: p.env.id });
      assert.match(result(await x.turn('leave', 'end_turn', ms(20000))), /left/);
      await until('the worker has let it go', async () => (await all(s.client().beta.environments.work.list(p.env.id))).filter((i) => i.data.id === x.id).every((i) => i.state === 'stopped'));
      const foreign = result(await other.turn('look', 'end_turn', ms(20000)));
      const own = result(await x.turn('look', 'end_turn', ms(20000)));
      return { own, foreign, w };
    } catch (e) { await w.stop(); throw e; }
  }

  test('files and shell are there again; another session never gets them; they go with the worker', async () => {
    const { own, foreign, w } = await twice([]);
    assert.equal(own.trim(), 'kept\nX=5');
    assert.doesNotMatch(foreign, /kept|X=5/);
    const inside = descendants(w.pid);
    assert(inside.length > 2);
    await w.stop();
    await until('no process is left', () => inside.every((pid) => { try { process.kill(pid, 0); return false; } catch { return true; } }));
  });

  test('--keep 0: nothing is kept', async () => {
    const { own, w } = await twice(['--keep', '0']);
    assert.doesNotMatch(own, /kept|X=5/);
    await w.stop();
  });
});
