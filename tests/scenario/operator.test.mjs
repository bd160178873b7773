// What an operator looks at: /healthz, /readyz, /metrics on a listener of their own, and `sallyport status`, which
// must say why a session waits (docs/operations.md).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { BIN, descendants, ms, run, until } from '../lib/own.mjs';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, tool } from '../lib/sallyport.mjs';
import { userMessage } from '../lib/session.mjs';

const rules = [on('slow', { last: 'user' }, bash('sleep 600')), on('run', { last: 'user' }, bash('echo hi')), on('run', { last: 'tool_result' }, say('done')), on('', {}, say('ok'))];

const get = (url, method = 'GET') => new Promise((resolve, reject) => {
  const r = http.request(url, { method, agent: false }, (a) => {
    let text = '';
    a.on('data', (d) => { text += d; }).on('end', () => resolve({ status: a.statusCode, type: a.headers['content-type'], text }));
  });
  r.on('error', reject).end();
});

/** The samples of a page; refuses a line that the exposition format does not know, and a metric without HELP and TYPE. */
function samples(text) {
  const all = new Map(), kinds = new Map(), helped = new Set();
  assert(text.endsWith('\n'));
  for (const line of text.split('\n').slice(0, -1)) {
    let m;
    if ((m = /^# HELP ([a-z_:][a-z0-9_:]*) \S.*$/.exec(line))) { assert(!helped.has(m[1]), `${m[1]} is helped twice`); helped.add(m[1]); }
    else if ((m = /^# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge|histogram)$/.exec(line))) kinds.set(m[1], m[2]);
    else {
      m = /^([a-z_:][a-z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (-?[0-9.]+)$/.exec(line);
      assert(m, `no sample: ${line}`);
      const base = m[1].replace(/_(bucket|sum|count)$/, '');
      const name = kinds.get(base) === 'histogram' ? base : m[1];
      assert(kinds.has(name) && helped.has(name), `${m[1]} has no HELP and TYPE above it`);
      if (kinds.get(name) === 'counter') assert.match(name, /_total$/);
      all.set(m[1] + (m[2] ?? ''), Number(m[3]));
    }
  }
  return all;
}

const pageOf = async (p) => {
  const [, address] = await p.line(/msg="?metrics"? listen="?([0-9.:]+)/);
  return `http://${address}`;
};

describe('the operator\'s page of a server', () => {
  let s, page;
  before(async () => {
    s = await startServer({ rules, args: ['--metrics', '127.0.0.1:0'] });
    page = await pageOf(s.proc);
  });
  after(() => s?.stop());

  test('healthz, readyz, metrics; nothing else, and no other method', async () => {
    assert.deepEqual(await get(`${page}/healthz`), { status: 200, type: 'text/plain; charset=utf-8', text: 'ok\n' });
    assert.equal((await get(`${page}/readyz`)).text, 'ready\n');
    const m = await get(`${page}/metrics`);
    assert.equal(m.type, 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal((await get(`${page}/v1/agents`)).status, 404);
    assert.equal((await get(`${page}/metrics`, 'POST')).status, 405);
    assert.equal((await get(`${page}/metrics`, 'HEAD')).text, '');
    // The API's own address has none of it.
    assert.equal((await s.api('GET', '/metrics')).status, 404);
  });

  test('the numbers follow what happens, and name nobody', async () => {
    const at = async () => samples((await get(`${page}/metrics`)).text);
    const before = await at();
    const { env } = await selfHosted(s);
    const agent = await makeAgent(s);
    const c = s.client();
    const x = await c.beta.sessions.create({ agent: agent.id, environment_id: env.id });
    await c.beta.sessions.events.send(x.id, { events: [userMessage('run it')] });
    await assert.rejects(c.beta.sessions.retrieve('sesn_none'));
    let now;
    await until('the call waits', async () => { now = await at(); return now.get('sallyport_server_work_items{state="waiting"}') === 1; });
    assert.equal(now.get('sallyport_server_sessions{status="idle"}'), 1);
    assert(now.get('sallyport_server_events_total') > before.get('sallyport_server_events_total'));
    assert(now.get('sallyport_server_commit_seconds_count') > before.get('sallyport_server_commit_seconds_count'));
    assert.equal(now.get('sallyport_server_commit_seconds_bucket{le="+Inf"}'), now.get('sallyport_server_commit_seconds_count'));
    assert.equal(now.get('sallyport_server_refusals_total{type="not_found_error"}'), before.get('sallyport_server_refusals_total{type="not_found_error"}') + 1);
    assert(now.get('sallyport_server_answers_total{class="4xx"}') > 0);
    const stop = new AbortController();
    const stream = await c.beta.sessions.events.stream(x.id, {}, { signal: stop.signal });
    await until('the reader is counted', async () => (await at()).get('sallyport_server_stream_readers') === 1);
    stop.abort();
    await stream.controller?.abort();
    await until('and is not any more', async () => (await at()).get('sallyport_server_stream_readers') === 0);
    const text = (await get(`${page}/metrics`)).text;
    for (const secret of [x.id, env.id, agent.id, s.apiKey]) assert(!text.includes(secret));
    assert.doesNotMatch(text, /sallyport_worker_/);
  });

  test('an address that is named must be had; the default one need not', async () => {
    const taken = page.replace('http://', '');
    const r = await run(BIN, ['server', '--listen', '127.0.0.1:0', '--data', s.data + '-other', '--metrics', taken], { timeout: ms(20000) });
    assert.equal(r.code, 1);
    assert.match(r.err, /--metrics: .*in use/);
    const t = await startServer({ rules, args: ['--metrics', 'none'] });
    await t.stop();
  });
});

describe('the operator\'s page of a worker', () => {
  // A short lease, so that polls fail for longer than one in no time.
  const more = [on('fail', { last: 'user' }, tool('bash', {})), ...rules];
  let s, env, key, agent;
  before(async () => {
    s = await startServer({ rules: more, args: ['--metrics', 'none', '--lease-ttl', '2s'] });
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
  });
  after(() => s?.stop());
  const worker = (...args) => startWorker({ url: s.url, envId: env.id, envKey: key, args: ['--metrics', '127.0.0.1:0', '--capacity', '3', ...args] });
  const ready = async (page) => { const a = await get(`${page}/readyz`); return `${a.status} ${a.text.trim()}`; };
  const turn = async (text) => {
    const c = s.client();
    const x = await c.beta.sessions.create({ agent: agent.id, environment_id: env.id });
    await c.beta.sessions.events.send(x.id, { events: [userMessage(text)] });
    return x;
  };

  test('the numbers follow what happens, and name nobody', async () => {
    const w = worker('--warm', '1');
    try {
      const page = await pageOf(w.proc);
      await w.proc.line(/^ready /m);
      const at = async () => samples((await get(`${page}/metrics`)).text);
      const x = await turn('run it');
      let m;
      await until('the call is counted and the session rests', async () => { m = await at(); return m.get('sallyport_worker_calls_total{outcome="ok"}') === 1 && m.get('sallyport_worker_sessions{state="resting"}') === 1; });
      for (const [name, value] of Object.entries({ slots: 3, 'sessions{state="serving"}': 0, 'sandboxes{state="open"}': 1, 'sandboxes{state="kept"}': 0, 'calls_total{outcome="error"}': 0, 'calls_total{outcome="cut"}': 0, call_seconds_count: 1, 'results_total{outcome="posted"}': 1, 'results_total{outcome="refused"}': 0, 'results_total{outcome="posted_again"}': 0, claims_given_back_total: 0, 'polls_total{outcome="failed"}': 0, 'heartbeats_total{outcome="failed"}': 0 }))
        assert.equal(m.get(`sallyport_worker_${name}`), value, name);
      assert(m.get('sallyport_worker_polls_total{outcome="ok"}') >= 2);
      assert(m.get('sallyport_worker_heartbeats_total{outcome="ok"}') >= 1);
      for (const vital of ['open_descriptors', 'resident_bytes']) assert(m.get(`sallyport_process_${vital}`) > 0, vital);
      for (const vital of ['loop_stalls_total', 'longest_stall_microseconds']) assert(m.get(`sallyport_process_${vital}`) >= 0, vital);
      await turn('fail');
      await until('an error is counted', async () => (await at()).get('sallyport_worker_calls_total{outcome="error"}') === 1);
      await until('one stands ready again', async () => (await at()).get('sallyport_worker_sandboxes{state="warm"}') === 1);
      // Whoever kills sandboxes is noticed: at once where one stands ready, with the next call of a session.
      const isInit = (pid) => { try { return /^Name:\tsallyport-init$/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8')); } catch { return false; } };
      for (const pid of descendants(w.pid).filter(isInit)) process.kill(pid, 'SIGKILL');
      await until('a warm one is missed', async () => (await at()).get('sallyport_worker_sandboxes_ended_total{when="warm"}') === 1);
      await s.client().beta.sessions.events.send(x.id, { events: [userMessage('run it')] });
      await until('and the session\'s', async () => { m = await at(); return m.get('sallyport_worker_sandboxes_ended_total{when="between_calls"}') === 1; });
      const text = (await get(`${page}/metrics`)).text;
      for (const secret of [x.id, env.id, key]) assert(!text.includes(secret));
      assert.doesNotMatch(text, /sallyport_server_/);
    } finally { await w.stop(); }
  });

  test('ready after a good poll; not while it drains, and not after a lease time of polls that fail', async () => {
    const w = worker('--grace', '60s');
    try {
      const page = await pageOf(w.proc);
      await w.proc.line(/^ready /m);
      assert.equal(await ready(page), '200 ready');
      await turn('run it'); // with its session the worker learns how long a lease lasts
      await until('it rests', async () => samples((await get(`${page}/metrics`)).text).get('sallyport_worker_sessions{state="resting"}') === 1);
      await s.kill9();
      await until('polls have failed for long enough', async () => (await ready(page)) === '503 polls have failed for longer than a lease lasts', ms(60000));
      await s.reboot();
      await until('and are answered again', async () => (await ready(page)) === '200 ready', ms(60000));
      await turn('slow');
      const runs = (pid) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('sleep\x00600'); } catch { return false; } };
      await until('its call runs', () => descendants(w.pid).some(runs));
      assert.equal(samples((await get(`${page}/metrics`)).text).get('sallyport_worker_sessions{state="serving"}'), 1);
      w.proc.kill('SIGTERM');
      await until('it drains', async () => (await ready(page)) === '503 the worker stops');
      assert.equal((await get(`${page}/healthz`)).status, 200);
    } finally { await w.stop('SIGKILL'); }
  });

  test('not ready before the platform has answered', async () => {
    const w = startWorker({ url: 'http://127.0.0.1:9', envId: env.id, envKey: key, args: ['--metrics', '127.0.0.1:0'] });
    try {
      const page = await pageOf(w.proc);
      await w.proc.line(/poll failed/);
      assert.equal(await ready(page), '503 the platform has not answered a poll yet');
      const taken = startWorker({ url: s.url, envId: env.id, envKey: key, args: ['--metrics', page.replace('http://', '')] });
      await taken.proc.exit;
      assert.equal(taken.proc.code, 1);
      assert.match(taken.proc.err, /sallyport worker: --metrics: .*in use/);
    } finally { await w.stop(); }
  });
});

describe('sallyport status', () => {
  let s, env, key, agent, c;
  before(async () => {
    s = await startServer({ rules, args: ['--metrics', 'none'] });
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
    c = s.client();
  });
  after(() => s?.stop());
  const status = (...args) => run(BIN, ['status', '--base-url', s.url, ...args], { timeout: ms(20000), env: { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
  const waiting = async (id) => JSON.parse((await status('--json')).out).waiting.find((w) => w.session_id === id);

  test('says what each session waits for, and what to do', async () => {
    const asks = await makeAgent(s, { tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_ask' } } }] });
    const [lonely, asking] = await Promise.all([agent, asks].map((a) => c.beta.sessions.create({ agent: a.id, environment_id: env.id })));
    for (const x of [lonely, asking]) await c.beta.sessions.events.send(x.id, { events: [userMessage('run it')] });
    await until('both wait', async () => (await waiting(lonely.id)) && (await waiting(asking.id)));
    const a = await waiting(lonely.id), b = await waiting(asking.id);
    assert.equal(a.type, 'worker');
    assert.match(a.why, /no worker has asked for work of environment env_/);
    assert.equal(a.todo, `start one: sallyport worker --environment-id ${env.id}`);
    assert.equal(b.type, 'person');
    assert.match(b.why, /a person must allow or deny the call of bash/);
    assert.match(b.todo, new RegExp(`^sallyport session confirm ${asking.id} sevt_\\w+ --allow \\(or --deny\\)$`));
    const screen = await status();
    assert.equal(screen.code, 0, screen.err);
    for (const words of [/^server .*version/m, /^sessions +2 idle/m, /^workers +none has asked/m, /^queue .*1 waiting/m, new RegExp(`${lonely.id}.*no worker has asked`), new RegExp(`${asking.id}.*session confirm`)])
      assert.match(screen.out, words);
    const said = await run(BIN, [...b.todo.split(' ').slice(1, 5), '--deny', '--base-url', s.url], { timeout: ms(20000), env: { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
    assert.equal(said.code, 0, said.err);

    const w = await startWorker({ url: s.url, envId: env.id, envKey: key, args: ['--worker-id', 'the-one'] });
    try {
      await until('the worker took it', async () => !(await waiting(lonely.id)));
      const all = JSON.parse((await status('--json')).out);
      assert.deepEqual(all.workers.map((x) => x.worker), ['the-one']);
      assert.match((await status()).out, /^workers +the-one, asked/m);
      // A session whose turn is over is no work, though the worker still has it; one that runs is.
      await until('both rest', async () => (await status()).out.includes(`${env.id}: 0 waiting, 0 held by workers, 2 at rest`));
      assert.match((await status()).out, /^work +2 resting$/m);
      await c.beta.sessions.events.send(lonely.id, { events: [userMessage('slow')] });
      await until('it works', async () => (await status()).out.includes(`${env.id}: 0 waiting, 1 held by workers, 1 at rest`));
      await c.beta.sessions.events.send(lonely.id, { events: [{ type: 'user.interrupt' }] });
      await until('it rests again', async () => (await status()).out.includes('0 held by workers, 2 at rest'));
    } finally { await w.stop(); }
  });

  test('the log says that calls wait, once, and when it is over; a worker says that it is full, and whom it let go', async () => {
    const f = await selfHosted(s, 'crowded');
    const xs = await Promise.all([0, 1].map(() => c.beta.sessions.create({ agent: agent.id, environment_id: f.env.id })));
    const slow = await c.beta.sessions.create({ agent: agent.id, environment_id: f.env.id });
    for (const x of xs) await c.beta.sessions.events.send(x.id, { events: [userMessage('run it')] });
    const line = new RegExp(`msg="calls wait for a worker" environment=${f.env.id} calls=(\\d) oldest_s=(\\d+) workers_polling=0`);
    const [, calls, oldest] = await s.proc.line(line, ms(30000));
    assert.equal(Number(calls), 2);
    assert(Number(oldest) >= 5);
    const w = startWorker({ url: s.url, envId: f.env.id, envKey: f.key, args: ['--capacity', '1', '--metrics', 'none'] });
    try {
      await w.proc.line(/msg="session let go for another one" session=sesn_/, ms(30000));
      const [, after] = await s.proc.line(new RegExp(`msg="calls do not wait for a worker any more" environment=${f.env.id} after_s=(\\d+)`), ms(30000));
      assert(Number(after) >= 5);
      assert.equal(s.proc.err.match(new RegExp(line, 'g')).length, 1, 'not with every look');
      await c.beta.sessions.events.send(slow.id, { events: [userMessage('slow')] });
      await w.proc.line(/msg="every slot is at work, no work is asked for" slots=1/, ms(30000));
      await c.beta.sessions.events.send(slow.id, { events: [{ type: 'user.interrupt' }] });
      await w.proc.line(/msg="a slot is free, work is asked for again" after_ms=\d+/, ms(30000));
    } finally { await w.stop(); }
  });

  test('only an API key may ask', async () => {
    assert.equal((await s.api('GET', '/v1/sallyport/status', undefined, { key })).status, 403);
    assert.equal((await s.api('GET', '/v1/sallyport/status', undefined, { key: 'sk-wrong' })).status, 401);
  });

  test('wrong usage and no server are told', async () => {
    const r = await run(BIN, ['status', 'now'], { timeout: ms(20000) });
    assert.equal(r.code, 2);
    const gone = await run(BIN, ['status'], { timeout: ms(20000), env: { ANTHROPIC_BASE_URL: 'http://127.0.0.1:9', ANTHROPIC_API_KEY: 'x' } });
    assert.equal(gone.code, 1);
    assert.match(gone.err, /sallyport status: /);
  });
});
