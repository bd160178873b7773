// The two ends of a start: what a stop refuses and keeps while it lasts, who may start meanwhile, and what a
// start that fails leaves behind, which is nothing when it was the first.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { bash, api, makeAgent, on, say, scriptFile, selfHosted, startServer } from '../lib/sallyport.mjs';
import { userMessage } from '../lib/session.mjs';
import { alive, BIN, descendants, end, ms, run, start, tempDir, until } from '../lib/own.mjs';

const devenv = (data) => Object.fromEntries([...fs.readFileSync(path.join(data, 'dev.env'), 'utf8').matchAll(/^(?:export )?(ANTHROPIC_\w+)=['"]?([^'"\n]*)/gm)].map((m) => [m[1], m[2]]));
const runs = (pid, words) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(words.replaceAll(' ', '\0')); } catch { return false; } };
const script = scriptFile([on('slow', { last: 'user' }, bash('sleep 87654')), on('', { last: 'tool_result' }, say('done')), on('', {}, say('ok'))]);
const args = (data, ...more) => ['up', '--listen', '127.0.0.1:0', '--metrics', 'none', '--data', data, '--script', script, ...more];

describe('sallyport up, told to stop while a call runs', () => {
  let p, data, s, session, other;
  before(async () => {
    data = path.join(tempDir('stop'), 'data');
    p = start(BIN, args(data, '--grace', '60s', '--log-level', 'info'));
    const [, url] = await p.line(/^ready (http:\/\/\S+)$/m, ms(20000));
    const e = devenv(data);
    s = { url, apiKey: e.ANTHROPIC_API_KEY, envId: e.ANTHROPIC_ENVIRONMENT_ID, envKey: e.ANTHROPIC_ENVIRONMENT_KEY };
    s.api = (method, where, body, opts) => api(s, method, where, body, opts);
    const agent = (await s.api('POST', '/v1/agents', { name: 'a', model: 'script-model', tools: [{ type: 'agent_toolset_20260401' }] })).body;
    s.create = { agent: agent.id, environment_id: s.envId };
    session = (await s.api('POST', '/v1/sessions', s.create)).body;
    other = (await s.api('POST', '/v1/sessions', s.create)).body;
    await s.api('POST', `/v1/sessions/${session.id}/events`, { events: [userMessage('slow')] });
    await until('its call runs', () => descendants(p.pid).some((pid) => runs(pid, 'sleep 87654')));
    p.kill('SIGTERM');
    await p.line(/msg="?stopping"?/);
  });
  after(async () => { if (p && !p.ended) p.kill('SIGKILL'); await p?.exit; });

  const refused = (r) => {
    assert.equal(r.status, 503, r.text);
    assert.equal(r.body.error.type, 'api_error');
    assert.match(r.body.error.message, /^The server is stopping, in \d+ s at the latest, and begins nothing new; nothing was changed\./);
    const s = Number(r.headers.get('retry-after'));
    assert(s > 1 && s <= 75, `Retry-After: ${s}`);
  };

  test('new sessions and messages are refused, with the time it takes at most', async () => {
    refused(await s.api('POST', '/v1/sessions', s.create));
    refused(await s.api('POST', `/v1/sessions/${other.id}/events`, { events: [userMessage('hi')] }));
    refused(await s.api('POST', `/v1/sessions/${session.id}/events`, { events: [{ type: 'user.interrupt' }, userMessage('hi')] }));
    const log = (await s.api('GET', `/v1/sessions/${other.id}/events`)).body.data;
    assert(!log.some((e) => e.type === 'user.message'), 'nothing was changed');
  });

  test('no work is handed out, and a poll takes its time', async () => {
    const began = Date.now();
    const r = await s.api('GET', `/v1/environments/${s.envId}/work/poll?block_ms=500`, undefined, { key: s.envKey });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.body, null);
    assert(Date.now() - began >= 400, 'answered at once');
  });

  test('wrong requests are still told what is wrong, and reads go on', async () => {
    assert.equal((await s.api('POST', `/v1/sessions/${other.id}/events`, { events: [{ type: 'user.wish' }] })).status, 400);
    assert.equal((await s.api('GET', `/v1/sessions/${session.id}`)).body.id, session.id);
  });

  test('one that is started now says who is stopping and how long it takes, waits, and has everything', async () => {
    const next = start(BIN, args(data));
    try {
      const [, pid, left] = await next.line(/sallyport up: the server before this one \(pid (\d+)\) is stopping, which takes (\d+) s at most; waiting for its end/);
      assert.equal(Number(pid), p.pid);
      assert(Number(left) > 1 && Number(left) <= 76, left);
      assert.equal(next.ended, false);
      // What ends work is taken, and with it the old one ends well before its time.
      assert.equal((await s.api('POST', `/v1/sessions/${session.id}/events`, { events: [{ type: 'user.interrupt' }] })).status, 200);
      await p.exit;
      assert.equal(p.code, 0, p.tail());
      const [, url] = await next.line(/^ready (http:\/\/\S+)$/m, ms(30000));
      const now = { ...s, url };
      const log = (await api(now, 'GET', `/v1/sessions/${session.id}/events`)).body.data;
      assert(log.some((e) => e.type === 'user.interrupt'), 'acknowledged while it drained');
      assert.equal((await api(now, 'POST', '/v1/sessions', s.create)).status, 200);
    } finally { await end(next); }
    assert.equal(next.code, 0, next.tail());
  });
});

test('a server that stops is waited for, too; a signal ends the waiting', async () => {
  const s = await startServer({ rules: [on('', {}, { delay_ms: 60000 }, say('never'))], args: ['--metrics', 'none', '--stop-grace', '30s'] });
  const { env } = await selfHosted(s);
  const agent = await makeAgent(s);
  // A large body that never ends is a call under way.
  const call = net.connect(s.port, '127.0.0.1').on('error', () => {});
  await new Promise((r) => call.on('connect', r));
  await new Promise((r) => call.write(`POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${s.apiKey}\r\nanthropic-version: 2023-06-01\r\nanthropic-beta: managed-agents-2026-04-01\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"agent":"${agent.id}","environment_id":"${env.id}"`, r));
  await s.api('GET', '/v1/agents'); // it has been read by now
  s.proc.kill('SIGTERM');
  await until('it says so', () => fs.readFileSync(path.join(s.data, 'sallyport.lock'), 'utf8').includes('\nstopping '));
  const again = start(BIN, ['server', '--listen', '127.0.0.1:0', '--data', s.data]);
  await again.line(/sallyport server: the server before this one \(pid \d+\) is stopping/);
  again.kill('SIGTERM');
  await again.exit;
  assert.equal(again.signal, 'SIGTERM');
  call.destroy();
  await s.proc.exit;
  assert.equal(s.proc.code, 0);
  const r = await run(BIN, ['server', '--check-db', '--data', s.data], { timeout: ms(20000) });
  assert.equal(r.code, 0);
});

describe('a first start that fails leaves nothing', () => {
  const busy = net.createServer();
  let taken;
  before(async () => { await new Promise((r) => busy.listen(0, '127.0.0.1', r)); taken = `127.0.0.1:${busy.address().port}`; });
  after(() => busy.close());
  const wrong = scriptFile([]);
  fs.writeFileSync(wrong, 'rulez: []');
  const cases = {
    'up: the address is taken': [['up', '--listen', () => taken], /in use/],
    'up: the address of the metrics is taken': [['up', '--listen', '127.0.0.1:0', '--metrics', () => taken], /--metrics: .*in use/],
    'up: the script is wrong': [['up', '--listen', '127.0.0.1:0', '--metrics', 'none', '--script', wrong], /rulez/],
    'up: the worker refuses': [['up', '--listen', '127.0.0.1:0', '--metrics', 'none', '--script', script, '--worker-metrics', () => taken], /sallyport worker: --metrics: .*in use[^]*the worker did not start; its reason is above/],
    'up: a bind cannot be had': [['up', '--listen', '127.0.0.1:0', '--metrics', 'none', '--script', script, '--bind', '/nonexistent-source:/mnt/x'], /nonexistent-source/],
    'up --detach: the address is taken': [['up', '--detach', '--listen', () => taken], /in use[^]*ended before it was ready; the log above shows the reason/],
    'server: the address is taken': [['server', '--listen', () => taken], /in use/],
    'server: the script is wrong': [['server', '--listen', '127.0.0.1:0', '--metrics', 'none', '--script', wrong], /rulez/],
    'server: the certificate is missing': [['server', '--listen', '127.0.0.1:0', '--metrics', 'none', '--tls-cert', '/nonexistent.pem', '--tls-key', '/nonexistent.pem'], /nonexistent/],
  };
  for (const [name, [argv, why]] of Object.entries(cases))
    test(name, async () => {
      const top = tempDir('first');
      const data = path.join(top, 'a', 'data');
      const r = await run(BIN, [...argv.map((a) => (typeof a === 'function' ? a() : a)), '--data', data], { timeout: ms(60000) });
      assert(!r.timedOut && r.code > 0, `code ${r.code}\n${r.err}`);
      assert.match(r.err, why);
      assert.deepEqual(fs.readdirSync(top), []);
      // And it is no lost database: the next start is a first one.
      const s = await startServer({ data, args: ['--metrics', 'none'] });
      await s.stop();
    });

  /** An engine whose containers do not come: the worker does not become ready. `begun` tells that it was asked. */
  const slowEngine = () => {
    const dir = tempDir('engine');
    const runtime = path.join(dir, 'runtime');
    fs.writeFileSync(runtime, `#!/bin/sh\ncase "$*" in *delete*|*kill*) exit 0 ;; esac\n: >${dir}/begun\nexec sleep 300\n`, { mode: 0o755 });
    return { flags: ['--isolation', 'oci', '--sandbox-user', 'root', '--oci-runtime', runtime, '--grace', '1s'], begun: () => fs.existsSync(path.join(dir, 'begun')) };
  };

  test('up: stopped before it was ready', async () => {
    const top = tempDir('first');
    const { flags, begun } = slowEngine();
    const p = start(BIN, args(path.join(top, 'data'), ...flags));
    await until('the worker starts its engine', begun);
    p.kill('SIGTERM');
    await p.exit;
    assert.doesNotMatch(p.out, /^ready /m);
    assert.match(p.err, /stopped by signal 15 before it was ready/);
    assert.deepEqual(fs.readdirSync(top), []);
  });

  test('up --detach: a child that is killed is told from one that gives a reason', async () => {
    const { flags, begun } = slowEngine();
    const p = start(BIN, args(path.join(tempDir('first'), 'data'), '--detach', ...flags));
    await until('the worker starts its engine', begun);
    const family = descendants(p.pid);
    process.kill(family.find((pid) => runs(pid, 'sallyport up')), 'SIGKILL');
    await p.exit;
    for (const pid of family) if (runs(pid, 'sleep 300') && alive(pid)) process.kill(pid, 'SIGKILL');
    assert.equal(p.code, 1);
    assert.match(p.err, /the server was ended by signal 9 before it was ready; its log is above$/m);
  });

  test('a directory that was there stays, and so does what is in it', async () => {
    const data = path.join(tempDir('first'), 'data');
    fs.mkdirSync(data);
    fs.writeFileSync(path.join(data, 'notes'), 'mine');
    const r = await run(BIN, ['up', '--listen', taken, '--data', data], { timeout: ms(20000) });
    assert.equal(r.code, 1);
    assert.deepEqual(fs.readdirSync(data), ['notes']);
  });

  test('a later start that fails takes nothing away', async () => {
    const s = await startServer({ args: ['--metrics', 'none'] });
    await s.stop();
    const before = fs.readdirSync(s.data).sort();
    const r = await run(BIN, ['up', '--listen', taken, '--data', s.data], { timeout: ms(20000) });
    assert.equal(r.code, 1);
    assert.deepEqual(fs.readdirSync(s.data).sort(), before);
    await s.reboot();
    assert.equal((await s.api('GET', '/v1/agents')).status, 200);
    await s.stop();
  });

  test('up: keys whose database is gone are not taken for a first start', async () => {
    for (const empty of [false, true]) {
      const data = path.join(tempDir('orphan'), 'data');
      fs.mkdirSync(data, { mode: 0o700 });
      fs.writeFileSync(path.join(data, 'dev.env'), 'export ANTHROPIC_API_KEY=sk-sp-api-old\n', { mode: 0o600 });
      if (empty) fs.writeFileSync(path.join(data, 'sallyport.db'), '');
      const before = fs.readdirSync(data).sort();
      const r = await run(BIN, ['up', '--listen', '127.0.0.1:0', '--metrics', 'none', '--data', data], { timeout: ms(20000) });
      assert.equal(r.code, 1, r.err);
      assert.match(r.err, /dev\.env is there, and the database that its keys belong to is gone or empty.*server restore/);
      assert.deepEqual(fs.readdirSync(data).sort(), before);
      assert.match(fs.readFileSync(path.join(data, 'dev.env'), 'utf8'), /sk-sp-api-old/);
    }
  });

  test('worker: its directory goes with a key that is refused', async () => {
    const top = tempDir('first');
    const s = await startServer({ args: ['--metrics', 'none'] });
    const { env } = await selfHosted(s);
    const r = await run(BIN, ['worker', '--metrics', 'none', '--base-url', s.url, '--environment-id', env.id, '--state-dir', path.join(top, 'a', 'state')], { env: { ANTHROPIC_ENVIRONMENT_KEY: 'sk-sp-env-wrong' }, timeout: ms(60000) });
    await s.stop();
    assert.equal(r.code, 1, r.err);
    assert.match(r.err, /the environment key is not accepted/);
    assert.deepEqual(fs.readdirSync(top), []);
  });
});
