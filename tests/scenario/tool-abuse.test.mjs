// Tools that flood, fork without end, never return or fill the disk: each ends with a plain sentence
// in its result, and a neighbour's session goes on meanwhile.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, tool } from '../lib/sallyport.mjs';
import { answers, checkLog, Session, text } from '../lib/session.mjs';
import { alive, descendants, ms, until } from '../lib/own.mjs';

// One rule per abuse; the message names it.
const ABUSE = {
  flood: bash('yes 0123456789abcdef | head -c 300000000'),
  floodforever: bash('cat /dev/zero | tr "\\0" "x"', { timeout_ms: 2500 }),
  stderr: bash('yes error >&2', { timeout_ms: 1500 }),
  binary: bash('head -c 200000 /dev/urandom'),
  forkbomb: bash('f() { f | f & }; f; sleep 2; echo survived', { timeout_ms: 6000 }),
  forkloop: bash('for i in $(seq 5000); do sleep 60 & done 2>/dev/null; echo loop over', { timeout_ms: 15000 }),
  hang: bash('sleep 600', { timeout_ms: 1000 }),
  deafhang: bash('trap "" TERM INT HUP; while :; do sleep 1; done', { timeout_ms: 1000 }),
  background: bash('setsid nohup sleep 601 >/dev/null 2>&1 & echo left one behind'),
  spin: bash('while :; do :; done', { timeout_ms: 1500 }),
  stdin: bash('cat; echo eof'),
  forge: bash('echo; printf "\\n__DONE__0\\n"; echo "exit 0"; false'),
  exitshell: bash('exit 7'),
  killshell: bash('kill -9 $$'),
  killall: bash('kill -9 -1; echo still here'),
  restart: tool('bash', { restart: true }),
  closefds: bash('exec 1>&- 2>&-; echo nobody hears'),
  longline: tool('read', { file_path: '/dev/zero' }),
  fifo: bash('mkfifo /workspace/p'),
  fiforead: tool('read', { file_path: 'p' }),
  redos: tool('grep', { pattern: '(a+)+$', path: 'redos.txt' }),
  prepredos: bash('printf "%0.sa" $(seq 5000) > /workspace/redos.txt; echo "!" >> /workspace/redos.txt'),
  deepglob: bash('d=/workspace/deep; for i in $(seq 300); do d=$d/d; done; mkdir -p $d && echo made'),
  globdeep: tool('glob', { pattern: '**/*' }),
  diskfill: bash('head -c 40000000000 /dev/zero > /tmp/fill; ls -la /tmp/fill | wc -l; rm -f /tmp/fill', { timeout_ms: 60000 }),
};

describe('abusive tools', () => {
  let s, w, env, key, agent;
  before(async () => {
    s = await startServer({ rules: [
      ...Object.entries(ABUSE).map(([name, call]) => on(`^${name}$`, { last: 'user' }, call)),
      on('^ping', { last: 'user' }, bash('echo pong')),
      on('', { last: 'tool_result' }, say('done')),
    ] });
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
    w = startWorker({ url: s.url, envId: env.id, envKey: key, args: ['--capacity', '64'] });
  });
  after(async () => {
    const kids = w ? descendants(w.pid) : [];
    await w?.stop();
    await s?.stop();
    if (w) await until('no process of any sandbox is left', () => kids.every((k) => !alive(k)), ms(10000));
  });
  const session = () => Session.create(s, { agent: agent.id, environment_id: env.id });

  /** Runs one abuse while a neighbour keeps pinging; returns the abuse's result event. */
  async function abuse(name, { timeout = ms(60000), x, pingBound = ms(10000) } = {}) {
    const mine = x ?? await session();
    const neighbour = await session();
    await neighbour.turn('ping 0', 'end_turn', ms(20000));
    const n = (await mine.list()).length;
    let over = false;
    const done = mine.turn(name, 'end_turn', timeout).finally(() => { over = true; });
    let pings = 0, worst = 0;
    while (!over && pings < 400) {
      const t = Date.now();
      await neighbour.turn(`ping ${++pings}`, 'end_turn', timeout);
      worst = Math.max(worst, Date.now() - t);
    }
    const log = (await done).slice(n);
    assert(pings >= 1);
    assert(worst < pingBound, `the neighbour waited ${worst} ms`);
    const results = log.filter((e) => e.type === 'user.tool_result');
    assert.equal(results.length, 1);
    assert.equal(w.proc.ended, false, w.proc.tail());
    await neighbour.close();
    if (!x) await mine.close();
    const out = text(results[0]);
    if (process.env.SALLYPORT_SHOW) console.log(`${name}: ${results[0].is_error ? 'ERROR ' : ''}${out.length} ${JSON.stringify(out.slice(0, 120))} … ${JSON.stringify(out.slice(-300))}`);
    return { ...results[0], out, session: mine };
  }

  test('a flood is cut in the middle: first and last part kept, size bounded, said so', async () => {
    const r = await abuse('flood');
    assert(Buffer.byteLength(r.out) <= 110 * 1024, `${r.out.length} bytes`);
    assert(r.out.startsWith('0123456789abcdef\n'), 'its first part');
    assert(/\d+ of \d+ bytes are left out here/.test(r.out), 'the gap is marked');
    assert(/0123456789abcdef\n?$/.test(r.out.trimEnd()) || /limit|ended/.test(r.out.slice(-300)), `its last part: ${r.out.slice(-300)}`);
  });
  test('an endless flood ends at its timeout', async () => {
    for (const n of ['floodforever', 'stderr']) {
      const r = await abuse(n);
      assert.equal(r.is_error, true, n);
      assert(Buffer.byteLength(r.out) <= 110 * 1024);
      assert(/timed out|printed more than \d+ MiB/i.test(r.out.slice(-400)), `a plain sentence at the end: ${r.out.slice(-400)}`);
    }
  });
  test('binary output is made text', async () => {
    const r = await abuse('binary');
    assert(Buffer.byteLength(r.out) <= 500 * 1024);
  });
  test('a fork bomb and a loop of forks hit the process limit, then the session goes on', async () => {
    for (const n of ['forkbomb', 'forkloop']) {
      const x = await session();
      await abuse(n, { x, pingBound: ms(15000) });
      const log = await x.turn('ping after', 'end_turn', ms(60000));
      const last = log.filter((e) => e.type === 'user.tool_result').at(-1);
      assert(text(last).length > 0);
      await x.close();
    }
  });
  test('a call that never returns ends at its timeout, in a sentence; the next call works', async () => {
    for (const n of ['hang', 'deafhang', 'spin']) {
      const x = await session();
      const t = Date.now();
      const r = await abuse(n, { x });
      assert.equal(r.is_error, true);
      assert.match(r.out, /timed out after \d+ ?ms/);
      assert(Date.now() - t < ms(30000));
      const log = await x.turn('ping', 'end_turn', ms(20000));
      assert.equal(text(log.filter((e) => e.type === 'user.tool_result').at(-1)).trim(), 'pong');
      await x.close();
    }
  });
  test('a job left in the background does not hold the call, and dies with the session', async () => {
    const r = await abuse('background');
    assert.match(r.out, /left one behind/);
    const find = () => descendants(w.pid).some((d) => { try { return fs.readFileSync(`/proc/${d}/cmdline`, 'utf8').startsWith('sleep\x00601'); } catch { return false; } });
    await s.client().beta.sessions.delete(r.session.id);
    await until('the background job is dead', () => !find(), ms(20000));
  });
  test('stdin is empty', async () => { assert.equal((await abuse('stdin')).out.trim(), 'eof'); });
  test('output cannot forge its end', async () => {
    const r = await abuse('forge');
    assert.equal(r.is_error, true, 'the command failed, whatever it printed');
    assert.match(r.out, /exit 0/);
  });
  test('a shell that exits, kills itself, kills everything, closes its outputs: an answer each time, and the next call works', async () => {
    for (const n of ['exitshell', 'killshell', 'killall', 'closefds']) {
      const x = await session();
      await abuse(n, { x });
      // A shell whose own outputs are closed can only say so; the model has to restart it.
      if (n === 'closefds') await x.turn('restart', 'end_turn', ms(20000));
      const log = await x.turn('ping', 'end_turn', ms(20000));
      assert.equal(text(log.filter((e) => e.type === 'user.tool_result').at(-1)).trim(), 'pong', n);
      await x.close();
    }
  });
  test('read of an endless device and of a FIFO is refused, not tried', async () => {
    assert.equal((await abuse('longline')).is_error, true);
    const x = await session();
    await abuse('fifo', { x });
    const r = await abuse('fiforead', { x });
    assert.equal(r.is_error, true);
    assert.match(r.out, /regular file/);
    await x.close();
  });
  test('a pattern that backtracks for ever is stopped', async () => {
    const x = await session();
    await abuse('prepredos', { x });
    const t = Date.now();
    await abuse('redos', { x });
    assert(Date.now() - t < ms(30000));
    await x.close();
  });
  test('a deep tree does not break glob', async () => {
    const x = await session();
    await abuse('deepglob', { x });
    await abuse('globdeep', { x });
    await x.close();
  });
  test('a disk that is filled ends in a sentence, the host keeps its space', async () => {
    const r = await abuse('diskfill', { timeout: ms(90000), pingBound: ms(20000) });
    assert.match(r.out, /No space left|quota|limit|too large|timed out/i);
  });
});
