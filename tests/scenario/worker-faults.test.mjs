// The worker: killed, asked to end, given a wrong key; what becomes of its sessions and sandboxes.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { bash, BETA, makeAgent, on, say, selfHosted, startServer, startWorker, TOOLSET, VERSION } from '../lib/sallyport.mjs';
import { answers, brief, checkLog, confirm, Session, text } from '../lib/session.mjs';
import { alive, descendants, end, ms, run, start, tempDir, until, within, BIN } from '../lib/own.mjs';
import { all } from '../lib/check.mjs';

const RULES = [
  on('long', { last: 'user' }, bash('echo started; sleep 600')),
  on('quick', { last: 'user' }, bash('echo quick')),
  on('nap', { last: 'user' }, bash('sleep 2; echo rested')),
  on('mark', { last: 'user' }, bash('echo mark > /workspace/mark; cat /workspace/mark')),
  on('', { last: 'tool_result' }, say('done')),
  on('', {}, say('ok')),
];

describe('worker', () => {
  let s, agent, asking;
  before(async () => {
    s = await startServer({ rules: RULES, args: ['--lease-ttl', '4s'] });
    agent = await makeAgent(s);
    asking = await makeAgent(s, { tools: [{ ...TOOLSET, default_config: { permission_policy: { type: 'always_ask' } } }] });
  });
  after(() => s?.stop());
  const place = async () => { const p = await selfHosted(s); p.worker = (more = {}) => startWorker({ url: s.url, envId: p.env.id, envKey: p.key, ...more }); p.session = (a = agent) => Session.create(s, { agent: a.id, environment_id: p.env.id }); return p; };
  // Of a session's command: the worker has made a sandbox before, which is no sign of it.
  const runs = (w, command) => descendants(w.pid).some((d) => { try { return fs.readFileSync(`/proc/${d}/cmdline`, 'utf8').startsWith(command.replace(' ', '\0')); } catch { return false; } });
  const items = (p) => all(s.client().beta.environments.work.list(p.env.id));

  test('serves a session at once: claim well under a second', async () => {
    const p = await place();
    const w = p.worker();
    await until('polling', async () => (await s.client().beta.environments.work.stats(p.env.id)).workers_polling >= 1);
    // The best of three: a worker that looks now and then, or waits for a long poll's end, is late each time.
    const took = [];
    for (let i = 0; i < 3; i++) {
      const x = await p.session();
      const t = Date.now();
      await x.turn('quick');
      took.push(Date.now() - t);
      await x.close();
    }
    assert(Math.min(...took) < ms(1500), `${took} ms`);
    await w.stop();
  });

  test('it is ready when its first poll, which does not wait, was answered; told to stop, it hangs up on the next', async () => {
    const polls = [];
    const platform = http.createServer((req, res) => {
      const q = { query: new URL(req.url, 'http://x').searchParams.get('block_ms'), over: new Promise((r) => res.on('close', r)) };
      polls.push(q);
      // Who says how long to wait waits for ever here.
      if (q.query === null) res.writeHead(200, { 'content-type': 'application/json' }).end('null');
    }).listen(0, '127.0.0.1');
    await new Promise((r) => platform.on('listening', r));
    try {
      const w = startWorker({ url: `http://127.0.0.1:${platform.address().port}`, envId: 'env_x', envKey: 'k' });
      await w.proc.line(/^ready/m);
      await until('it polls again', () => polls.length === 2);
      assert.deepEqual(polls.map((q) => q.query), [null, '999']);
      w.proc.kill('SIGTERM');
      await within(polls[1].over, ms(10000), 'the poll is given up');
      await within(w.proc.exit, ms(10000), 'the worker ends');
      assert.equal(w.proc.code, 0, w.proc.tail());
    } finally { platform.closeAllConnections(); platform.close(); }
  });

  test('SIGTERM while its sandbox engine starts is heard', async (t) => {
    if ((await run('crun', ['--version'])).code !== 0) { t.skip('no crun here'); return; }
    const p = await place();
    const dir = tempDir('slow');
    const slow = path.join(dir, 'slow-crun');
    fs.writeFileSync(slow, `#!/bin/sh\ntouch ${dir}/asked\nwhile [ ! -e ${dir}/go ]; do sleep 0.05; done\nexec crun "$@"\n`, { mode: 0o755 });
    const w = p.worker({ args: ['--isolation', 'oci', '--oci-runtime', slow, ...(process.getuid() === 0 ? [] : ['--sandbox-user', 'root'])] });
    await until('the runtime is asked for a first container', () => fs.existsSync(`${dir}/asked`));
    w.proc.kill('SIGTERM');
    try { await w.proc.line(/draining/); } finally { fs.writeFileSync(`${dir}/go`, ''); }
    await within(w.proc.exit, ms(20000), 'the worker ends');
    assert.equal(w.proc.code, 0, w.proc.tail());
    assert.doesNotMatch(w.proc.out, /ready/);
  });

  test('want at start is no setting to refuse: it is logged, and sessions try for themselves', async () => {
    const p = await place();
    const key = path.join(tempDir('key'), 'key');
    fs.writeFileSync(key, p.key, { mode: 0o600 });
    const deny = path.join(path.dirname(BIN), 'tests', 'lib', 'deny');
    for (const more of [[], ['--warm', '1']]) {
      const w = start(deny, ['eagain=sethostname', '--', BIN, 'worker', '--base-url', s.url, '--environment-id', p.env.id, '--environment-key-file', key, '--state-dir', tempDir('state'), ...more]);
      await w.line(/^ready/m);
      await w.line(/no sandbox could be made at start; sessions will try again" code=EAGAIN why=".*host name/);
      await end(w);
      assert.equal(w.code, 0, w.tail());
    }
    // The same call forbidden for good is refused.
    const r = await run(deny, ['eperm=sethostname', '--', BIN, 'worker', '--base-url', s.url, '--environment-id', p.env.id, '--environment-key-file', key, '--state-dir', tempDir('state')]);
    assert.equal(r.code, 1, r.err);
    assert.match(r.err, /^sallyport worker: no session could be served: .*host name/m);
    assert.doesNotMatch(r.out, /ready/);
  });

  test('many sessions at once, as many as --capacity, no more', async () => {
    const p = await place();
    const w = p.worker({ args: ['--capacity', '3'] });
    const xs = await Promise.all(Array.from({ length: 5 }, () => p.session()));
    await Promise.all(xs.map((x) => x.say('long')));
    await until('three are served', async () => (await items(p)).filter((i) => i.state === 'active').length === 3);
    await new Promise((r) => setTimeout(r, 1200));
    assert.equal((await items(p)).filter((i) => ['active', 'starting'].includes(i.state)).length, 3, 'and no more');
    await Promise.all(xs.map(async (x) => { await x.send({ type: 'user.interrupt' }); }));
    await w.stop();
    await Promise.all(xs.map((x) => x.close()));
  });

  test('kill -9 in the middle of a call: the lease expires, another worker finishes, no sandbox is left', async () => {
    const p = await place();
    const w1 = p.worker();
    const x = await p.session();
    await x.say('long');
    const call = await x.next('agent.tool_use');
    await until('the sleep runs', () => runs(w1, 'sleep 600'));
    const kids = descendants(w1.pid);
    await w1.kill9();
    const t = Date.now();
    await until('its sandboxes are gone', () => kids.every((k) => !alive(k)), ms(10000));
    assert(Date.now() - t < ms(10000));
    const w2 = p.worker();
    // The call was never answered, so the next worker runs it again; here we end it by an interrupt once it runs there.
    await until('the second worker runs the call', () => runs(w2, 'sleep 600'), ms(20000));
    await x.send({ type: 'user.interrupt' });
    await x.idle('end_turn');
    const log = await x.turn('quick');
    checkLog(log);
    assert.equal(answers(log).get(call.id).length, 1);
    for (const a of answers(log).values()) assert.equal(a.length, 1);
    await x.close();
    await w2.stop();
  });

  test('kill -9 of the zygote: the running calls get an error in words, once; the sessions go on in new sandboxes', async () => {
    const p = await place();
    const w = p.worker();
    const xs = await Promise.all([p.session(), p.session()]);
    await Promise.all(xs.map((x) => x.say('long')));
    const sleeps = () => descendants(w.pid).filter((d) => { try { return fs.readFileSync(`/proc/${d}/cmdline`, 'utf8').startsWith('sleep\x00600'); } catch { return false; } });
    await until('both calls run', () => sleeps().length === 2);
    const kids = descendants(w.pid);
    const zygote = kids.find((k) => fs.readFileSync(`/proc/${k}/comm`, 'utf8') === 'sallyport-zygot\n');
    process.kill(zygote, 'SIGKILL');
    for (const x of xs) {
      await x.idle('end_turn');
      const log = await x.turn('quick');
      checkLog(log);
      const results = log.filter((e) => e.type === 'user.tool_result');
      assert.equal(results.length, 2, brief(log));
      assert.equal(results[0].is_error, true);
      assert.match(text(results[0]), /The sandbox ended while the tool was running/);
      assert.equal(text(results[1]).trim(), 'quick');
      for (const a of answers(log).values()) assert.equal(a.length, 1);
    }
    await until('nothing of the old sandboxes lives', () => kids.every((k) => !alive(k)), ms(10000));
    await Promise.all(xs.map((x) => x.close()));
    await w.stop();
  });

  test('kill -9 of the zygote between calls: the next call is told that it was not run', async () => {
    const p = await place();
    const w = p.worker();
    const x = await p.session();
    await x.turn('quick');
    const kids = descendants(w.pid);
    process.kill(kids.find((k) => fs.readFileSync(`/proc/${k}/comm`, 'utf8') === 'sallyport-zygot\n'), 'SIGKILL');
    await until('nothing of the old sandbox lives', () => kids.every((k) => !alive(k)), ms(10000));
    await x.turn('quick');
    const log = await x.turn('quick');
    checkLog(log);
    const results = log.filter((e) => e.type === 'user.tool_result');
    assert.deepEqual(results.map((e) => e.is_error), [false, true, false], brief(log));
    assert.match(text(results[1]), /^This call was not run: the sandbox had ended since the one before/);
    await x.close();
    await w.stop();
  });

  test('a worker that comes back removes what the killed one left', async () => {
    const p = await place();
    const state = tempDir('state');
    const w1 = p.worker({ stateDir: state });
    const x = await p.session();
    await x.say('long');
    await x.next('agent.tool_use');
    await until('the call runs', () => runs(w1, 'sleep 600'));
    const kids = descendants(w1.pid);
    await w1.kill9();
    const w2 = p.worker({ stateDir: state });
    await until('no process of the old worker lives', () => kids.every((k) => !alive(k)), ms(15000));
    await x.send({ type: 'user.interrupt' });
    await w2.stop();
    await x.close();
  });

  test('SIGTERM: a running call may finish, then the lease is released and the worker ends with 0', async () => {
    const p = await place();
    const w = p.worker();
    const x = await p.session();
    await x.say('nap');
    await x.next('agent.tool_use');
    await until('the call runs', () => runs(w, 'sleep 2'));
    const kids = descendants(w.pid);
    w.proc.kill('SIGTERM');
    await x.idle('end_turn');
    const log = await x.list();
    assert.equal(text(log.find((e) => e.type === 'user.tool_result')).trim(), 'rested');
    const end = await Promise.race([w.proc.exit, new Promise((r) => setTimeout(r, ms(35000), 'late'))]);
    assert.notEqual(end, 'late');
    assert.equal(w.proc.code, 0, w.proc.tail());
    assert((await items(p)).every((i) => i.state === 'stopped' || i.state === 'queued'), 'released');
    await until('nothing of it lives', () => kids.every((k) => !alive(k)));
    await x.close();
  });

  test('a second SIGTERM ends it now; the call gets an error result or is offered again', async () => {
    const p = await place();
    const w = p.worker();
    const x = await p.session();
    await x.say('long');
    await x.next('agent.tool_use');
    await until('the call runs', () => runs(w, 'sleep 600'));
    const kids = descendants(w.pid);
    w.proc.kill('SIGTERM');
    await new Promise((r) => setTimeout(r, 300));
    assert.equal(w.proc.ended, false, 'grace: it does not cut a running call at once');
    const t = Date.now();
    w.proc.kill('SIGTERM');
    await w.proc.exit;
    assert(Date.now() - t < ms(15000), 'at once');
    await until('nothing of it lives', () => kids.every((k) => !alive(k)));
    await x.close();
  });

  test('always_ask: nothing runs before the confirmation', async () => {
    const p = await place();
    const w = p.worker();
    const x = await p.session(asking);
    await x.say('mark');
    const call = await x.next('agent.tool_use');
    await x.idle('requires_action');
    await until('the worker has the session', async () => (await items(p)).some((i) => i.state === 'active'));
    await new Promise((r) => setTimeout(r, 500));
    assert.equal((await x.list()).some((e) => e.type === 'user.tool_result'), false);
    await x.send(confirm(call.id, 'allow'));
    await x.idle('end_turn');
    assert.equal(text((await x.list()).find((e) => e.type === 'user.tool_result')).trim(), 'mark');
    await x.close();
    await w.stop();
  });

  test('an interrupt kills the running call for real, quickly', async () => {
    const p = await place();
    const w = p.worker();
    const x = await p.session();
    await x.say('long');
    const call = await x.next('agent.tool_use');
    const sleeper = await until('the sleep runs', () => descendants(w.pid).find((d) => { try { return fs.readFileSync(`/proc/${d}/cmdline`, 'utf8').startsWith('sleep\x00600'); } catch { return false; } }));
    await x.send({ type: 'user.interrupt' });
    await x.idle('end_turn');
    await until('the sleep is dead', () => !alive(sleeper), ms(10000));
    const log = await x.turn('quick');
    assert.equal(answers(log).get(call.id).length, 1);
    assert.equal(answers(log).get(call.id)[0].is_error, true);
    await x.close();
    await w.stop();
  });

  test('a deleted session ends its sandbox', async () => {
    const p = await place();
    const w = p.worker();
    const x = await p.session();
    await x.turn('quick');
    await until('a sandbox is there', () => descendants(w.pid).length >= 1);
    await s.client().beta.sessions.delete(x.id);
    await until('the item is done', async () => (await items(p)).every((i) => i.state === 'stopped'), ms(20000));
    const y = await p.session();
    await y.turn('quick');
    await x.close(); await y.close();
    await w.stop();
  });

  test('the server goes away and comes back: the worker reconnects and goes on', async () => {
    const s2 = await startServer({ rules: RULES });
    const p = await selfHosted(s2);
    const a2 = await makeAgent(s2);
    const w = startWorker({ url: s2.url, envId: p.env.id, envKey: p.key });
    try {
      const x = await Session.create(s2, { agent: a2.id, environment_id: p.env.id });
      await x.turn('quick');
      await s2.restart();
      const log = await x.turn('quick', 'end_turn', ms(30000));
      for (const a of answers(log).values()) assert.equal(a.length, 1);
      await x.close();
    } finally { await w.stop(); await s2.stop(); }
  });

  describe('wrong settings end it with words', () => {
    const worker = (more, env) => run(BIN, ['worker', ...more], { env, timeout: ms(20000) });
    const keyFile = (t) => { const f = `${tempDir('key')}/k`; fs.writeFileSync(f, t, { mode: 0o600 }); return f; };

    test('wrong key', async () => {
      const p = await place();
      const r = await worker(['--base-url', s.url, '--environment-id', p.env.id, '--environment-key-file', keyFile('sk-sp-env-wrong')]);
      assert(!r.timedOut && r.code > 0, `code ${r.code}`);
      assert.match(r.err, /key/i);
      assert(!r.err.includes('sk-sp-env-wrong'), 'the key is not printed');
    });
    test('unknown environment', async () => {
      const p = await place();
      const r = await worker(['--base-url', s.url, '--environment-id', 'env_011111111111111111111111', '--environment-key-file', keyFile(p.key)]);
      assert(!r.timedOut && r.code > 0, `code ${r.code}`);
      assert.match(r.err, /environment/i);
    });
    test('no key file, an empty one, none at all, an unreadable address', async () => {
      const p = await place();
      for (const [more, re] of [
        [['--base-url', s.url, '--environment-id', p.env.id, '--environment-key-file', '/nonexistent/key'], /\/nonexistent\/key/],
        [['--base-url', s.url, '--environment-id', p.env.id, '--environment-key-file', keyFile('')], /empty|key/i],
        [['--base-url', s.url, '--environment-id', p.env.id], /key/i],
        [['--base-url', s.url, '--environment-key-file', keyFile(p.key)], /environment/i],
        [['--base-url', 'ftp://x', '--environment-id', p.env.id, '--environment-key-file', keyFile(p.key)], /base-url|http/i],
      ]) {
        const r = await worker(more);
        assert(!r.timedOut && r.code > 0, `${more.join(' ')}: code ${r.code}`);
        assert.match(r.err, re);
      }
    });
    test('the environment variables of the reference worker are read, and the key leaves the environment', async () => {
      const p = await place();
      const { start, end } = await import('../lib/own.mjs');
      const w = start(BIN, ['worker'], { env: { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_ENVIRONMENT_ID: p.env.id, ANTHROPIC_ENVIRONMENT_KEY: p.key }, cwd: tempDir('w') });
      try {
        const x = await p.session();
        await x.turn('quick');
        for (const pid of [w.pid, ...descendants(w.pid)]) {
          let e = '';
          try { e = fs.readFileSync(`/proc/${pid}/environ`, 'latin1'); } catch { continue; }
          assert(!e.includes(p.key), `/proc/${pid}/environ`);
        }
        await x.close();
      } finally { await end(w); }
    });
  });
});
