// A tool runs once when it can, and when it runs again the log and the tool are told: answers lost on their way, a platform out of reach
// for longer than a lease, a worker killed in a call.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, tool, TOOLSET } from '../lib/sallyport.mjs';
import { answers, brief, checkLog, Session, text } from '../lib/session.mjs';
import { LOOKUP } from '../lib/fixture-rules.mjs';
import { descendants, ms, tempDir, until, within } from '../lib/own.mjs';
import { all } from '../lib/check.mjs';

const RULES = [
  on('nap', { last: 'user' }, bash('echo begun; sleep 2.5; echo attempt $SALLYPORT_ATTEMPT')),
  on('doze', { last: 'user' }, bash('echo begun; sleep 1.5; echo attempt $SALLYPORT_ATTEMPT')),
  on('which', { last: 'user' }, bash('echo attempt $SALLYPORT_ATTEMPT; test "$SALLYPORT_ATTEMPT" != 1 || sleep 600')),
  on('then', { last: 'user' }, bash('bash -c \'echo attempt $SALLYPORT_ATTEMPT\'')),
  on('lookup', { last: 'user' }, tool('lookup', { word: 'w' })),
  on('', { last: 'tool_result' }, say('done')),
  on('', {}, say('ok')),
];

/** What lies between a worker and the platform. `lose(req)`: the platform acts, and its answer never arrives. `away`: nothing does. */
async function between(target) {
  const net = { lose: () => false, away: false, lost: 0, sockets: new Set() };
  net.server = http.createServer((req, res) => {
    if (net.away) { req.socket.destroy(); return; }
    const up = http.request(new URL(req.url, target()), { method: req.method, headers: req.headers }, (r) => {
      if (net.lose(req)) { net.lost++; r.resume(); r.on('end', () => req.socket.destroy()); return; }
      res.writeHead(r.statusCode, r.headers).flushHeaders();
      r.pipe(res);
      r.on('error', () => req.socket.destroy());
    });
    up.on('error', () => req.socket.destroy());
    res.on('close', () => up.destroy());
    req.pipe(up);
  });
  net.server.on('connection', (c) => { net.sockets.add(c); c.on('close', () => net.sockets.delete(c)); c.on('error', () => {}); });
  await new Promise((r) => net.server.listen(0, '127.0.0.1', r));
  net.url = `http://127.0.0.1:${net.server.address().port}`;
  net.cut = () => { net.away = true; for (const c of net.sockets) c.destroy(); };
  net.stop = () => { net.server.closeAllConnections(); net.server.close(); };
  return net;
}

describe('at least once, and told', () => {
  let s, agent;
  before(async () => {
    s = await startServer({ rules: RULES, args: ['--lease-ttl', '4s'] });
    agent = await makeAgent(s, { tools: [TOOLSET, LOOKUP] });
  });
  after(() => s?.stop());

  const create = (p) => Session.create(s, { agent: agent.id, environment_id: p.env.id });
  const errors = (log) => log.filter((e) => e.type === 'session.error');
  const items = (p) => all(s.client().beta.environments.work.list(p.env.id));
  const served = (w) => [...w.proc.err.matchAll(/"call served"|msg="?call served/g)].length;
  const sleeps = (w, what) => descendants(w.pid).some((d) => { try { return fs.readFileSync(`/proc/${d}/cmdline`, 'utf8').startsWith(what.replace(' ', '\0')); } catch { return false; } });
  const result = (log) => { const call = log.filter((e) => /^agent\.(custom_)?tool_use$/.test(e.type)).at(-1); const a = answers(log).get(call.id); assert.equal(a.length, 1); return text(a[0]).trim(); };

  // Each of the first beats loses its answer in turn: the one that takes the lease, the second, and a later one.
  for (const nth of [1, 2, 3]) {
    test(`the answer to heartbeat ${nth} is lost: nothing is cut, nothing runs twice`, async () => {
      const p = await selfHosted(s), net = await between(() => s.url);
      let beats = 0;
      net.lose = (req) => /\/heartbeat/.test(req.url) && ++beats === nth;
      const w = startWorker({ url: net.url, envId: p.env.id, envKey: p.key });
      try {
        const x = await create(p);
        const log = await x.turn('nap', 'end_turn', ms(30000));
        await until('more beats were accepted', () => beats > nth + 1);
        assert.equal(net.lost, 1);
        checkLog(log);
        assert.equal(result(log), 'begun\nattempt 1');
        assert.deepEqual(errors(log), [], brief(log));
        assert.equal((await items(p)).length, 1, 'one item all the time');
        await x.close();
      } finally { await w.stop(); net.stop(); }
    });
  }

  test('the same with the SDK\'s worker', async () => {
    const p = await selfHosted(s), net = await between(() => s.url);
    let beats = 0;
    net.lose = (req) => /\/heartbeat/.test(req.url) && ++beats === 2;
    const ctrl = new AbortController();
    const w = s.client({ apiKey: null, authToken: 'unused', baseURL: net.url }).beta.environments.work.worker({ environmentId: p.env.id, environmentKey: p.key, workdir: tempDir('once'), signal: ctrl.signal });
    const done = w.run().catch((e) => { if (!ctrl.signal.aborted) throw e; });
    try {
      const x = await create(p);
      await until('the beat after the lost one', () => beats >= 3);
      const log = await x.turn('nap', 'end_turn', ms(30000));
      assert.match(result(log), /^begun/);
      assert.deepEqual(errors(log), []);
      assert.equal((await items(p)).length, 1);
      await x.close();
    } finally { ctrl.abort(); await within(done, ms(15000), 'the SDK worker ends'); net.stop(); }
  });

  /** A call that is running, of a worker whose lease outlives it even when the last heartbeat was the last for ever. */
  async function patient() {
    const s2 = await startServer({ rules: RULES, args: ['--lease-ttl', '8s'] });
    const p = await selfHosted(s2), a2 = await makeAgent(s2), net = await between(() => s2.url);
    const w = startWorker({ url: net.url, envId: p.env.id, envKey: p.key });
    const x = await Session.create(s2, { agent: a2.id, environment_id: p.env.id });
    await x.say('doze');
    await until('the call runs', () => sleeps(w, 'sleep 1.5'));
    return { s2, p, x, net, w };
  }

  test('out of reach for longer than the lease while a tool finishes: its result is posted, it does not run again', async () => {
    const { s2, p, x, net, w } = await patient();
    try {
      net.cut();
      await x.next((e) => e.type === 'session.error' && e.error.type === 'sallyport_lease_expired', 'the lease expires', ms(20000));
      net.away = false;
      await x.idle('end_turn', ms(30000));
      const log = await x.list();
      assert.equal(result(log), 'begun\nattempt 1');
      await w.proc.line(/result of an earlier run posted/);
      assert.equal(served(w), 1, w.proc.tail());
      await x.turn('then');
      assert.equal(result(await x.list()), 'attempt 1', 'what comes next is a first attempt');
      await x.close();
    } finally { await w.stop(); net.stop(); await s2.stop(); }
  });

  test('the server is down for longer than the lease: the lease is had again, and the result posted', async () => {
    const { s2, p, x, net, w } = await patient();
    try {
      await s2.kill9();
      await w.proc.line(/call served/);
      await w.proc.line(/the lease has run out/);
      await s2.reboot();
      await x.idle('end_turn', ms(30000));
      const log = await x.list();
      assert.equal(result(log), 'begun\nattempt 1');
      assert.equal(served(w), 1, w.proc.tail());
      assert.deepEqual(errors(log), [], 'the lease was never another\'s');
      assert.equal((await all(s2.client().beta.environments.work.list(p.env.id))).length, 1);
      await x.close();
    } finally { await w.stop(); net.stop(); await s2.stop(); }
  });

  test('a worker killed in a call: the log names the call, and the second run knows', async () => {
    const p = await selfHosted(s);
    const w1 = startWorker({ url: s.url, envId: p.env.id, envKey: p.key });
    const x = await create(p);
    await x.say('which');
    const call = await x.next('agent.tool_use');
    await until('it runs', () => sleeps(w1, 'sleep 600'));
    await w1.kill9();
    const w2 = startWorker({ url: s.url, envId: p.env.id, envKey: p.key });
    try {
      await x.idle('end_turn', ms(30000));
      const log = await x.list();
      checkLog(log);
      assert.equal(result(log), 'attempt 2');
      assert.deepEqual(errors(log).map((e) => [e.error.type, e.error.event_ids]), [['sallyport_lease_expired', [call.id]]]);
      await x.turn('then');
      assert.equal(result(await x.list()), 'attempt 1');
      await x.close();
    } finally { await w2.stop(); }
  });

  test('a custom tool learns it, too', async () => {
    const p = await selfHosted(s);
    const args = ['--tool', 'lookup=echo attempt $SALLYPORT_ATTEMPT; test "$SALLYPORT_ATTEMPT" != 1 || sleep 600'];
    const w1 = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args });
    const x = await create(p);
    await x.say('lookup');
    await until('it runs', () => sleeps(w1, 'sleep 600'));
    await w1.kill9();
    const w2 = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args });
    try {
      await x.idle('end_turn', ms(30000));
      assert.equal(result(await x.list()), 'attempt 2');
      await x.close();
    } finally { await w2.stop(); }
  });

  test('a lease that ends while no call is open leaves nothing behind', async () => {
    const p = await selfHosted(s);
    const w = startWorker({ url: s.url, envId: p.env.id, envKey: p.key });
    const xs = [await create(p), await create(p), await create(p)];
    for (const x of xs) await x.turn('then');
    await until('it holds all of them', async () => (await items(p)).filter((i) => i.state === 'active').length === 3);
    await w.kill9();
    await until('their leases end', async () => (await items(p)).every((i) => i.state === 'stopped'), ms(20000));
    for (const x of xs) {
      assert.deepEqual(errors(await x.list()), []);
      await x.close();
    }
    assert.deepEqual(await s.client().beta.environments.work.stats(p.env.id).then((q) => [q.depth, q.pending]), [0, 0]);
  });
});
