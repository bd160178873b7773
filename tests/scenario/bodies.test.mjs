// Bodies that are large, dense, slow or many: what they cost is bounded by what may be held at once, by whoever sends
// them, and others are served meanwhile. src/base/limits.h, docs/internals/api.md §1.4.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { BETA, envKey, makeAgent, on, say, selfHosted, startServer, VERSION } from '../lib/sallyport.mjs';
import { refusedRaw } from '../lib/check.mjs';
import { Session, toolResult, userMessage } from '../lib/session.mjs';
import { ms, until } from '../lib/own.mjs';

const SLACK = process.env.ASAN_OPTIONS ? 1e9 : 0;   // a sanitizer keeps what was freed

describe('bodies', () => {
  let s, env, key, agent, session;
  before(async () => {
    s = await startServer({ rules: [on('', {}, say('ok'))] });
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
    session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
  });
  after(async () => { if (s) { assert.equal(s.proc.ended, false, s.proc.tail()); await s.stop(); } });
  const kb = (name) => Number(fs.readFileSync(`/proc/${s.pid}/status`, 'utf8').match(new RegExp(`${name}:\\s+(\\d+)`))[1]);
  // An ordinary user may not reset it: then the peak is that of all cases so far, under the same limit.
  const forgetPeak = () => { try { fs.writeFileSync(`/proc/${s.pid}/clear_refs`, '5'); } catch (e) { if (e.code !== 'EACCES') throw e; } };
  const post = (body, k) => s.api('POST', `/v1/sessions/${session.id}/events`, body, { key: k });

  test('a body nobody has a credential for is not read', async () => {
    forgetPeak();
    const before = kb('VmRSS');
    const all = Array.from({ length: 20 }, () => begin('sk-sp-api-wrong', 32 << 20, 8 << 20));
    await until('all are refused', () => all.every((c) => /^HTTP\/1\.1 401 /.test(c.got)), ms(10000));
    assert(kb('VmHWM') - before < 40 * 1024 + SLACK, `${kb('VmHWM') - before} KiB`);
    for (const c of all) c.destroy();
  });

  for (const [what, one] of [['objects', '{}'], ['arrays', '[]'], ['numbers', '1'], ['members', '{"a":null}'], ['texts', '""'], ['deep ones', `${'['.repeat(60)}${']'.repeat(60)}`]])
    test(`a body of millions of ${what} is refused before it is parsed, whoever sends it`, async () => {
      for (const [k, size] of [[s.apiKey, 30 << 20], [key, 16 << 20]]) {
        const body = `{"events":[${`${one},`.repeat(size / (one.length + 1))}${one}]}`;
        forgetPeak();
        const before = kb('VmRSS');
        refusedRaw(await post(body, k), 413, { type: 'request_too_large', message: /values and names/ });
        assert(kb('VmHWM') - before < 64 * 1024 + SLACK, `${kb('VmHWM') - before} KiB at the peak`);
      }
    });

  test('a worker may send less than who has an API key, in bytes and in values', async () => {
    const big = JSON.stringify({ events: [toolResult('sevt_x', 'x'.repeat(18 << 20))] });
    refusedRaw(await post(big, key), 413, { message: /17 MB/ });
    const dense = `{"events":[${'[],'.repeat(40000)}[]]}`;
    refusedRaw(await post(dense, key), 413, { message: /more than 25000 values/ });
    refusedRaw(await post(dense, s.apiKey), 400, { message: /events/ });
    const results = JSON.stringify({ events: Array.from({ length: 1000 }, (_, i) => toolResult(`sevt_${i}`, 'fine')) });
    refusedRaw(await post(results, key), 400, { message: /no tool call sevt_0/ });   // read, and looked at
  });

  test('routes that take a name or nothing take no megabytes', async () => {
    const body = JSON.stringify({ metadata: { a: 'x'.repeat(300 << 10) } });
    for (const p of [`/v1/agents/${agent.id}/archive`, `/v1/environments/${env.id}/keys`, `/v1/environments/${env.id}/work/work_x`, `/v1/environments/${env.id}/work/work_x/stop`, `/v1/sessions/${session.id}/archive`])
      refusedRaw(await s.api('POST', p, body), 413, { message: /256 KB/ });
    for (const p of [`/v1/environments/${env.id}/work/work_x/ack`, `/v1/environments/${env.id}/work/work_x/heartbeat`])
      refusedRaw(await s.api('POST', p, body, { key }), 413, { message: /256 KB/ });
    refusedRaw(await s.api('POST', '/v1/agents', JSON.stringify({ name: 'x', model: 'm', system: 'x'.repeat(5 << 20) })), 413, { message: /4 MB/ });
  });

  test('the memory of a dense body and of large ones goes back', async () => {
    const settled = kb('VmRSS');
    refusedRaw(await post(`{"events":[${'{},'.repeat(99000)}{}]}`, s.apiKey), 400);
    refusedRaw(await post(JSON.stringify({ events: 'x'.repeat(31 << 20) }), s.apiKey), 400);
    await until('it is back', () => kb('VmRSS') - settled < 16 * 1024 + SLACK, ms(10000));
  });

  /** Begins a POST of `length`, sends `send` bytes of it, and keeps what is answered. */
  function begin(k, length, send) {
    const c = net.connect(s.port, '127.0.0.1');
    c.got = '';
    c.setEncoding('latin1').on('data', (d) => { c.got += d; }).on('error', () => {});
    c.gone = new Promise((r) => c.on('close', r));
    c.write(`POST /v1/sessions/${session.id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${k}\r\nanthropic-version: ${VERSION}\r\nanthropic-beta: ${BETA}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`);
    c.sent = new Promise((r) => c.write(Buffer.alloc(send, 0x20), r));
    return c;
  }

  test('sixty that announce all they may, send most of it and wait: a share for each, 503 for the rest, and others are served', async () => {
    const other = (await envKey(s, (await s.client().beta.environments.create({ name: 'other', config: { type: 'self_hosted' } })).id)).key;
    forgetPeak();
    const before = kb('VmRSS');
    const all = [key, s.apiKey, other].flatMap((k) => Array.from({ length: 20 }, () => k === s.apiKey ? begin(k, 32 << 20, 30 << 20) : begin(k, 17 << 20, 16 << 20)));
    const refused = () => all.filter((c) => /^HTTP\/1\.1 503 /.test(c.got));
    await until('those that are too many are told', () => refused().length >= 54, ms(20000));
    for (const c of refused()) {
      assert.match(c.got, /^Retry-After: 1\r$/mi);
      assert.match(c.got, /"overloaded_error"/);
    }
    assert(kb('VmHWM') - before < 130 * 1024 + SLACK, `${kb('VmHWM') - before} KiB at the peak`);
    // Who sends little is served with the same keys: heartbeats, results, messages.
    refusedRaw(await s.api('POST', `/v1/environments/${env.id}/work/work_x/heartbeat?expected_last_heartbeat=x`, {}, { key }), 404);
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    await x.turn('hello');
    for (const c of all) c.destroy();
    await until('there is room again', async () => (await s.api('POST', `/v1/sessions/${x.id}/events`, { events: [userMessage('y'.repeat(8 << 20))] })).status === 200, ms(10000));
    await x.close();
  });
});

// A sanitizer reserves terabytes of address space for itself.
test('sixteen bodies of 14 MB where there is little memory: answers, or an end in words', { skip: process.env.ASAN_OPTIONS ? 'no limit on the address space under a sanitizer' : false }, async () => {
  for (const mb of [260, 400]) {
    const t = await startServer({ rules: [on('', {}, say('ok'))], wrap: (bin, argv) => ['/bin/bash', '-c', `ulimit -v ${mb << 10}; exec "$@"`, 'bash', bin, ...argv] });
    try {
      const p = await selfHosted(t);
      const a = await makeAgent(t);
      const ids = await Promise.all(Array.from({ length: 16 }, async () => (await t.client().beta.sessions.create({ agent: a.id, environment_id: p.env.id })).id));
      const body = JSON.stringify({ events: [userMessage('x'.repeat(14 << 20))] });
      const got = await Promise.all(ids.map((id) => t.api('POST', `/v1/sessions/${id}/events`, body).then((r) => r.status, () => 'gone')));
      // The turns that follow want memory, too: the end can come after every answer.
      const lives = !t.proc.ended && await t.api('GET', '/v1/agents').then((r) => r.status === 200, () => false);
      if (lives) {
        for (const g of got) assert([200, 503].includes(g), `${got}`);
      } else {
        await until('it has ended', () => t.proc.ended, ms(10000));
        assert.equal(t.proc.signal, 'SIGABRT', t.proc.tail());
        assert.match(t.proc.err, /^sallyport: (out of memory|MUST failed)/m);
      }
      assert.doesNotMatch(t.proc.err, /E_CORRUPT/, 'what cannot be read for want of memory is not damaged');
    } finally { await t.stop(); }
  }
});
