// kill -9 of the server at random moments under twenty running sessions. Afterwards: everything that
// was acknowledged is there, in order, with the same ids; everything a stream has shown is there;
// every turn ended; every tool call was executed once and answered once.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, TOOLSET } from '../lib/sallyport.mjs';
import { answers, brief, checkLog, Session, text, userMessage } from '../lib/session.mjs';
import { FULL, ms, SLOWDOWN } from '../lib/own.mjs';

// Fifty, as promised; fewer on a sanitized build, which takes a second to start under this load.
const KILLS = Number(process.env.SALLYPORT_KILLS ?? (FULL || SLOWDOWN === 1 ? 50 : 15));
const SESSIONS = 20;
// Each step leaves one line in the sandbox, so the line count shows whether a call ran twice.
const step = 'echo x >> steps; wc -l < steps; sleep 0.05';
const RULES = [
  ...[1, 2, 3, 4].map((turn) => on('go', { turn }, say(`step ${turn}`, { pieces: 3, delay_ms: 5 }), bash(step))),
  on('go', { turn: 5 }, say('round over')),
];

test(`kill -9 of the server, ${KILLS} times under ${SESSIONS} sessions`, { timeout: ms(300000) }, async (t) => {
  const s = await startServer({ rules: RULES });
  const { env, key } = await selfHosted(s);
  const agent = await makeAgent(s, { tools: [TOOLSET] });
  const w = startWorker({ url: s.url, envId: env.id, envKey: key, args: ['--capacity', String(SESSIONS + 2)] });
  t.after(async () => { await w.stop(); await s.stop('SIGKILL'); });

  let stop = false;
  const acknowledged = [];   // {session, id, text, n}: n counts per session
  const xs = await Promise.all(Array.from({ length: SESSIONS }, () => Session.create(s, { agent: agent.id, environment_id: env.id })));

  /** Sends until it is acknowledged; the same Idempotency-Key, so that a lost answer is no second message. */
  async function say1(x, n) {
    const k = crypto.randomUUID();
    for (;;) {
      try {
        const r = await s.api('POST', `/v1/sessions/${x.id}/events`, { events: [userMessage(`go ${n}`)] }, { headers: { 'idempotency-key': k }, signal: AbortSignal.timeout(ms(10000)) });
        if (r.status === 200) { acknowledged.push({ session: x.id, id: r.body.data[0].id, text: `go ${n}`, n }); return; }
        assert(r.status >= 500 || r.status === 409, `a good message was refused: ${r.status} ${r.text}`);
      } catch (e) { if (e instanceof assert.AssertionError) throw e; }
      await new Promise((r) => setTimeout(r, 20));
    }
  }
  const driver = async (x) => {
    let n = 0;
    while (!stop || n === 0) { await say1(x, ++n); await x.idle('end_turn', ms(120000)); }
    x.rounds = n;
  };
  const driving = Promise.all(xs.map(driver));
  driving.catch(() => { stop = true; });

  let seed = Number(process.env.SALLYPORT_SEED ?? crypto.randomInt(1 << 30));
  t.diagnostic(`seed ${seed}`);
  const rnd = (n) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
  for (let i = 0; i < KILLS; i++) {
    await new Promise((r) => setTimeout(r, 30 + rnd(450)));   // the random moment
    await s.kill9();
    await s.reboot();
  }
  stop = true;
  await driving;
  assert.equal(w.proc.ended, false, `the worker lived through it\n${w.proc.tail()}`);

  let calls = 0;
  for (const x of xs) {
    const log = await x.list();
    checkLog(log);
    const said = log.filter((e) => e.type === 'user.message');
    const mine = acknowledged.filter((a) => a.session === x.id);
    assert.deepEqual(said.map((e) => e.id), mine.map((a) => a.id), `acknowledged messages of ${x.id}: all there, once, in order`);
    assert.deepEqual(said.map(text), mine.map((a) => a.text));
    const ids = log.map((e) => e.id);
    const shown = x.events.filter((e) => e.id && e.processed_at).map((e) => e.id);
    assert.deepEqual(shown, ids, 'what the stream showed, across all reconnects, is the log: nothing lost, nothing extra, same order');
    const a = answers(log);
    for (const [call, r] of a) assert.equal(r.length, 1, `call ${call} has ${r.length} results\n${log.map(brief).join('\n')}`);
    const counts = [...a.values()].map(([r]) => Number(text(r).trim()));
    assert.deepEqual(counts, counts.map((_, i) => i + 1), `each call ran once (${counts.join(' ')})`);
    assert.equal(log.filter((e) => e.type === 'agent.message' && text(e) === 'round over').length, x.rounds, 'every turn finished');
    assert.equal((await x.get()).status, 'idle');
    calls += a.size;
    await x.close();
  }
  assert(calls >= SESSIONS * 4);
  t.diagnostic(`${acknowledged.length} messages, ${calls} calls, ${KILLS} kills`);
});
