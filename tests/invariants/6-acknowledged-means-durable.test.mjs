// Invariant 6. Acknowledged means durable: what the API has acknowledged survives kill -9 and power
// loss. (The long run under load is scenario/server-kill.) Here: each kind of write, killed the moment
// its answer is read; and the order of fsync before answer, seen from outside by strace.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { bash, makeAgent, on, say, selfHosted, startServer } from '../lib/sallyport.mjs';
import { answers, checkLog, Session, text, toolResult, userMessage } from '../lib/session.mjs';
import { all } from '../lib/check.mjs';
import { CLOSED, end, ms, start, tempDir, until } from '../lib/own.mjs';

const RULES = [on('tool', { last: 'user' }, bash('x')), on('slow', {}, { delay_ms: 60000 }, say('x')), on('', {}, say('ok'))];

describe('invariant 6: acknowledged means durable', () => {
  test('every kind of write, killed right after its answer', { timeout: ms(120000) }, async () => {
    const s = await startServer({ rules: RULES });
    const crash = async () => { await s.kill9(); await s.reboot(); };
    const c = () => s.client().beta;
    try {
      const { env, key, keyId } = await selfHosted(s);
      await crash();
      assert.equal((await c().environments.retrieve(env.id)).id, env.id);
      assert.equal(await s.as(key).beta.environments.work.poll(env.id), null, 'the key that was shown works');
      const a = await makeAgent(s);
      await crash();
      assert.deepEqual(await c().agents.retrieve(a.id), a);
      const a2 = await c().agents.update(a.id, { system: 'two' });
      await crash();
      assert.deepEqual(await c().agents.retrieve(a.id), a2);
      const x = await c().sessions.create({ agent: a.id, environment_id: env.id, title: 't' });
      await crash();
      assert.equal((await c().sessions.retrieve(x.id)).title, 't');
      await c().sessions.update(x.id, { metadata: { k: 'v' } });
      await crash();
      assert.deepEqual((await c().sessions.retrieve(x.id)).metadata, { k: 'v' });
      const { data: [m] } = await c().sessions.events.send(x.id, { events: [userMessage('hello')] });
      await crash();
      const y = await Session.attach(s, x.id);
      await until('the turn that was cut off resumes and ends', async () => (await y.list()).some((e) => e.type === 'session.status_idle'));
      assert((await y.list()).some((e) => e.id === m.id));
      await y.say('tool');
      const call = await y.next('agent.tool_use');
      await y.idle('requires_action');
      await crash();
      const item = await until('the work item is there', () => s.as(key).beta.environments.work.poll(env.id, { block_ms: 500 }));
      await crash();
      await s.as(key).beta.environments.work.ack(item.id, { environment_id: env.id });
      await crash();
      assert.equal((await c().environments.work.retrieve(item.id, { environment_id: env.id })).state, 'starting');
      const h = await s.as(key).beta.environments.work.heartbeat(item.id, { environment_id: env.id, expected_last_heartbeat: 'NO_HEARTBEAT' });
      await crash();
      const h2 = await s.as(key).beta.environments.work.heartbeat(item.id, { environment_id: env.id, expected_last_heartbeat: h.last_heartbeat });
      assert.equal(h2.lease_extended, true, 'the heartbeat that was answered is the one that is stored');
      const { data: [r] } = await y.send(toolResult(call.id, 'the result'));
      await crash();
      await until('the turn ends', async () => (await y.list()).at(-1).type === 'session.status_idle' && (await y.list()).at(-1).stop_reason.type === 'end_turn');
      const log = await y.list();
      checkLog(log);
      assert.deepEqual(answers(log).get(call.id).map((e) => e.id), [r.id], 'recorded exactly once, under its id');
      await s.as(key).beta.environments.work.stop(item.id, { environment_id: env.id, force: true });
      await crash();
      assert.equal((await c().environments.work.retrieve(item.id, { environment_id: env.id })).state, 'stopped');
      await s.api('DELETE', `/v1/environments/${env.id}/keys/${keyId}`);
      await crash();
      await assert.rejects(s.as(key).beta.environments.work.poll(env.id), (e) => e.status === 401, 'revoked stays revoked');
      await c().sessions.archive(x.id);
      await crash();
      assert.equal((await c().sessions.retrieve(x.id)).status, 'terminated');
      await c().sessions.delete(x.id);
      await crash();
      await assert.rejects(c().sessions.retrieve(x.id), (e) => e.status === 404);
      await y.close();
    } finally { await s.stop(); }
  });

  test('an interrupted turn, a rescheduled one and a parked one all come back as they were', { timeout: ms(60000) }, async () => {
    const s = await startServer({ rules: RULES });
    try {
      const { env } = await selfHosted(s);
      const a = await makeAgent(s);
      const slow = await Session.create(s, { agent: a.id, environment_id: env.id });
      const parked = await Session.create(s, { agent: a.id, environment_id: env.id });
      await parked.say('tool');
      await parked.idle('requires_action');
      const before = await parked.list();
      await slow.say('slow');
      await slow.next('span.model_request_start');
      await slow.send({ type: 'user.interrupt' });
      await s.kill9();
      await s.reboot();
      await until('the interrupt, acknowledged, is carried out', async () => (await slow.get()).status === 'idle');
      checkLog(await slow.list());
      assert.deepEqual(await parked.list(), before, 'a parked session is untouched');
      await slow.close(); await parked.close();
    } finally { await s.stop(); }
  });

  test('strace: every acknowledged write was synced to disk before its answer left', { timeout: ms(60000), skip: CLOSED }, async () => {
    const dir = tempDir('strace');
    const trace = path.join(dir, 'trace');
    const s = await startServer({ rules: RULES });
    let tr;
    try {
      const { env } = await selfHosted(s);
      const a = await makeAgent(s);
      tr = start('strace', ['-f', '-tt', '-yy', '-s', '64', '-e', 'trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64', '-o', trace, '-p', String(s.pid)]);
      await tr.line(/attached/, ms(10000));
      const made = [];
      for (let i = 0; i < 12; i++) {
        made.push((await s.client().beta.agents.create({ name: `durable-${i}`, model: 'm' })).id);
        const x = await s.client().beta.sessions.create({ agent: a.id, environment_id: env.id });
        made.push((await s.client().beta.sessions.events.send(x.id, { events: [userMessage(`hello ${i}`)] })).data[0].id);
      }
      await end(tr, { signal: 'SIGINT' });
      const lines = fs.readFileSync(trace, 'utf8').split('\n');
      // Between two answers with status 200 of these writes there is always a finished sync of the log.
      let synced = 0, answered = 0, since = 0;
      for (const l of lines) {
        if (/(fsync|fdatasync)\(.*= 0$/.test(l) || /<\.\.\. (fsync|fdatasync) resumed>.*= 0$/.test(l)) { synced++; since++; }
        if (/(write|writev|sendto|sendmsg)\(\d+<(TCP|socket)/.test(l) && l.includes('HTTP/1.1 200')) {
          answered++;
          assert(since > 0, `an answer left without a sync since the last one:\n${l}`);
          since = 0;
        }
      }
      assert(answered >= 30, `${answered} answers seen`);
      assert(synced >= answered);
    } finally { if (tr) await end(tr, { signal: 'SIGINT' }); await s.stop(); }
  });
});
