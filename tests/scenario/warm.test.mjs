// `sallyport worker --warm N`: sessions are served from sandboxes that stood ready, each of them once.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker } from '../lib/sallyport.mjs';
import { Session, text } from '../lib/session.mjs';
import { alive, descendants, ms, until } from '../lib/own.mjs';

const RULES = [
  on('leave', { last: 'user' }, bash('ls -A /workspace | wc -l; echo ${SECRET-unset}; echo mine > /workspace/mine; SECRET=x; sleep 8200 & echo ok')),
  on('', { last: 'tool_result' }, say('done')),
  on('', {}, say('ok')),
];

describe('the warm pool', () => {
  let s, p, agent;
  before(async () => {
    s = await startServer({ rules: RULES });
    agent = await makeAgent(s);
    p = await selfHosted(s);
  });
  after(() => s?.stop());

  test('every session finds a sandbox nobody has used, and which it got is logged', async () => {
    const w = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: ['--warm', '3', '--capacity', '4', '--log-level', 'debug'] });
    await until('three stand ready', () => /ready=3 of=3/.test(w.proc.err), ms(30000));
    const xs = [];
    for (let round = 0; round < 3; round++) {
      const batch = await Promise.all(Array.from({ length: 4 }, () => Session.create(s, { agent: agent.id, environment_id: p.env.id })));
      const logs = await Promise.all(batch.map((x) => x.turn('leave', 'end_turn', ms(30000))));
      for (const log of logs) assert.equal(text(log.find((e) => e.type === 'user.tool_result')).trim(), '0\nunset\nok');
      for (const x of batch) { await s.client().beta.sessions.archive(x.id); await x.close(); }
      xs.push(...batch);
    }
    const told = () => [...w.proc.err.matchAll(/msg="sandbox opened" session="?(sesn_\w+)"? pid=(\d+) warm=([01])/g)];
    await until('all are told of', () => told().length >= 12);
    const opened = told();
    assert.equal(opened.length, 12);
    assert.deepEqual(opened.map((m) => m[1]).sort(), xs.map((x) => x.id).sort(), 'one per session, by name');
    assert.equal(new Set(opened.map((m) => m[2])).size, 12, 'none was given twice');
    assert(opened.some((m) => m[3] === '1'), 'the pool was used');
    const kids = descendants(w.pid);
    await w.stop();
    assert(kids.every((k) => !alive(k)), 'nothing outlives the worker');
  });

  test('kill -9 of the worker takes what stood ready along', async () => {
    const w = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: ['--warm', '5', '--log-level', 'debug'] });
    await until('five stand ready', () => /ready=5 of=5/.test(w.proc.err), ms(30000));
    const kids = descendants(w.pid);
    assert(kids.length >= 11, 'a zygote, five times init and bash');
    await w.kill9();
    await until('they are gone', () => kids.every((k) => !alive(k)));
  });
});
