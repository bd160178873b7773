// Ten thousand connections that send nothing, readers that do not read, pollers that go away.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { BETA, makeAgent, on, say, selfHosted, startServer, VERSION } from '../lib/sallyport.mjs';
import { brief, Session, userMessage } from '../lib/session.mjs';
import { ms, until, within } from '../lib/own.mjs';
import { all } from '../lib/check.mjs';

describe('connections', () => {
  let s, env, key, agent, page;
  before(async () => {
    s = await startServer({ rules: [on('', {}, say('ok'))], args: ['--metrics', '127.0.0.1:0'] });
    page = (await s.proc.line(/msg="?metrics"? listen="?([0-9.:]+)/))[1];
    ({ env, key } = await selfHosted(s));
    agent = await makeAgent(s);
  });
  after(async () => { if (s) { assert.equal(s.proc.ended, false, s.proc.tail()); await s.stop(); } });
  const rss = () => Number(fs.readFileSync(`/proc/${s.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
  // Whether the server has the other end of `k` open: its row in the kernel's table says so, a count of descriptors does not.
  const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');
  const held = (k) => fs.readFileSync('/proc/net/tcp', 'utf8').includes(`0100007F:${hex(s.port)} 0100007F:${hex(k.localPort)} 01`);
  // Of the server's own page: an ordinary user may not look into /proc/PID/fd of a process that is not dumpable.
  const fds = async () => Number((await (await fetch(`http://${page}/metrics`)).text()).match(/^sallyport_process_open_descriptors (\d+)$/m)[1]);

  test('10,000 idle connections: held or refused, never a crash; others are served; nothing is lost', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    const said = (await x.send(userMessage('before'))).data[0].id;
    await x.idle('end_turn');
    const base = await fds();
    const want = Number(process.env.SALLYPORT_CONNECTIONS ?? 10000);
    const socks = [];
    let refused = 0;
    for (let i = 0; i < want; i += 250) {
      await Promise.all(Array.from({ length: 250 }, () => new Promise((res) => {
        // Spread over the loopback addresses, so that local ports are no limit.
        const k = net.connect({ host: '127.0.0.1', port: s.port, localAddress: `127.0.${1 + (i >> 12)}.1` });
        k.on('connect', () => { socks.push(k); res(); });
        k.on('error', () => { refused++; res(); });
        k.on('close', () => { k.gone = true; });
      })));
    }
    // One that was there before them goes on.
    const [e] = await Promise.all([x.idle('end_turn'), x.send(userMessage('during'))]);
    assert(e);
    // A newcomer is either served or told so.
    let r;
    try { r = await s.api('GET', '/v1/agents'); } catch (err) { r = { status: 'refused', err }; }
    assert([200, 503, 'refused'].includes(r.status), `${r.status}`);
    assert(rss() < 600 * 1024 || process.env.ASAN_OPTIONS, `${rss()} KiB for ${socks.length} connections`);
    for (const k of socks) k.destroy();
    await until('the descriptors come back', async () => await fds() <= base + 20, ms(20000));
    const log = await x.turn('after');
    assert(log.some((y) => y.id === said));
    assert(socks.length + refused === want);
    await x.close();
  });

  test('readers that take nothing cost little, are given up, and can resume without a gap', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    const before = rss(), base = await fds();
    const stuck = await Promise.all(Array.from({ length: 20 }, async () => {
      const k = net.connect(s.port, '127.0.0.1');
      k.on('error', () => {});
      k.write(`GET /v1/sessions/${x.id}/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${s.apiKey}\r\nanthropic-version: ${VERSION}\r\nanthropic-beta: ${BETA}\r\n\r\n`);
      k.got = (await new Promise((r) => k.once('data', r))).toString();
      assert.match(k.got, /^HTTP\/1\.1 200/);
      k.pause();
      return k;
    }));
    assert(stuck.every(held), 'the kernel\'s table shows each of them');
    // 24 MB: more than the kernel's buffers of both ends and our queue together.
    for (let i = 0; i < 3; i++) {
      await x.send(...Array.from({ length: 40 }, (_, n) => userMessage(`${i}.${n} ${'0123456789'.repeat(20000)}`)));
      await x.idle('end_turn');
    }
    assert(rss() - before < 120 * 1024 || process.env.ASAN_OPTIONS, `grew by ${rss() - before} KiB`);
    assert.equal(x.reconnects, 0, 'one that reads is not cut');
    // Each of them: one that is read from again before it was given up is a reader like any other.
    await until('the server gives them up', () => !stuck.some(held), ms(60000));
    await until('their descriptors are back', async () => await fds() <= base + 4);
    const k = stuck[0];
    const ended = new Promise((r) => k.on('close', r));
    k.on('data', (d) => { k.got += d; });
    k.resume();
    await within(ended, ms(10000), 'the connection of the stuck reader is closed');
    const ids = [...k.got.matchAll(/^id: (sevt_\S+)$/gm)].map((m) => m[1]);
    const log = await x.list();
    assert.deepEqual(ids, log.slice(0, ids.length).map((e) => e.id), 'a prefix of the log');
    assert(ids.length < log.length, 'it was given up');
    const y = new Session(s, { id: x.id });
    y.lastId = ids.at(-1);
    await y.open();
    await until('all of the rest arrives', () => y.events.length === log.length - ids.length, ms(20000));
    assert.deepEqual(y.events.map((e) => e.id), log.slice(ids.length).map((e) => e.id));
    for (const c of stuck) c.destroy();
    await x.close(); await y.close();
  });

  test('who sends on behind a refusal keeps nobody out, and no server from stopping', async () => {
    const t = await startServer({ wrap: (bin, argv) => ['/bin/bash', '-c', 'ulimit -n 200; exec "$@"', 'bash', bin, ...argv] });
    const flood = [];
    let going = true;
    try {
      for (let i = 0; i < 180; i++) {
        const k = net.connect({ port: t.port, host: '127.0.0.1', allowHalfOpen: true });
        k.on('error', () => {}).on('data', () => {});
        k.write('POST /v1/agents HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n');
        flood.push(k);
      }
      const dribble = (async () => { while (going) { for (const k of flood) if (!k.destroyed) k.write('x'); await new Promise((ok) => setTimeout(ok, 200)); } })();
      await new Promise((ok) => setTimeout(ok, ms(3000)));
      assert(flood.some((k) => !k.destroyed), 'some are there still, behind their answer');
      for (let i = 0; i < 5; i++) assert.equal((await t.api('GET', '/v1/agents')).status, 200);
      const began = Date.now();
      await t.stop();
      assert(Date.now() - began < ms(5000), `it took ${Date.now() - began} ms to stop, of a grace of ten seconds`);
      going = false;
      await dribble;
    } finally { going = false; for (const k of flood) k.destroy(); await t.stop('SIGKILL'); }
  });

  test('a flood of connections without a key keeps nobody out who has one', async () => {
    const t = await startServer({ rules: [on('', {}, say('ok'))], wrap: (bin, argv) => ['/bin/bash', '-c', 'ulimit -n 200; exec "$@"', 'bash', bin, ...argv] });
    const flood = new Set();
    try {
      const p = await selfHosted(t);
      const x = await Session.create(t, { agent: (await makeAgent(t)).id, environment_id: p.env.id });
      const w = await t.as(p.key).beta.environments.work.poll(p.env.id, { block_ms: 300 });
      await t.as(p.key).beta.environments.work.ack(w.id, { environment_id: p.env.id });
      // More than the server has descriptors for; some send a little, or a bad key.
      const says = ['', 'GET /v1/agents HTTP/1.1\r\nHost: x\r\n', 'GET /v1/agents HTTP/1.1\r\nHost: x\r\nx-api-key: sk-sp-api-no\r\n\r\n'];
      const more = (n) => Promise.all(Array.from({ length: n }, (_, i) => new Promise((r) => {
        const k = net.connect(t.port, '127.0.0.1', () => { k.write(says[i % 3]); r(); });
        flood.add(k);
        k.on('data', () => {}).on('error', r);
      })));
      await more(300);
      let beat = 'NO_HEARTBEAT';
      for (let i = 0; i < 15; i++) {   // each on a connection of its own
        await more(20);
        const r = await t.api('POST', `/v1/environments/${p.env.id}/work/${w.id}/heartbeat?expected_last_heartbeat=${encodeURIComponent(beat)}`, {}, { key: p.key, headers: { connection: 'close' } });
        assert.equal(r.status, 200, `beat ${i}: ${r.text}`);
        beat = r.body.last_heartbeat;
      }
      await x.turn('hello');
      assert.equal(x.reconnects, 0, 'a stream is not touched');
      await x.close();
    } finally { for (const k of flood) k.destroy(); await t.stop(); }
  });

  test('pollers and readers that go away leave nothing behind', async () => {
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    const base = await fds();
    for (let i = 0; i < 40; i++) {
      const c1 = new AbortController();
      const h = (k) => ({ authorization: `Bearer ${k}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA });
      const p = fetch(`${s.url}/v1/environments/${env.id}/work/poll?block_ms=999`, { headers: h(key), signal: c1.signal }).catch(() => {});
      const q = fetch(`${s.url}/v1/sessions/${x.id}/events/stream`, { headers: h(s.apiKey), signal: c1.signal }).catch(() => {});
      await q;
      c1.abort();
      await p;
    }
    await until('descriptors are back', async () => await fds() <= base + 8);
    // An item made now must not be handed to a poller that is no longer there.
    const made = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
    const seen = [];
    for (let i = 0; i < 4; i++) { const w = await s.as(key).beta.environments.work.poll(env.id, { block_ms: 300, reclaim_older_than_ms: 60000 }); if (w) seen.push(w.data.id); }
    assert(seen.includes(made.id), 'offered to a living poller at once');
    await x.close();
  });

  test('a poll whose client has left in the same moment takes nothing', async () => {
    // On a connection that is in use already, and while the server does not look: it then meets the request and the
    // end of the client in one event.
    const p = await selfHosted(s);
    const k = net.connect({ port: s.port, host: '127.0.0.1', allowHalfOpen: true });
    let got = '';
    k.setEncoding('utf8').on('data', (d) => { got += d; });
    const gone = new Promise((r) => k.on('close', r));
    const ask = (query) => k.write(`GET /v1/environments/${p.env.id}/work/poll${query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${p.key}\r\nanthropic-version: ${VERSION}\r\nanthropic-beta: ${BETA}\r\n\r\n`);
    await new Promise((r) => k.on('connect', r));
    ask('?block_ms=1');
    await until('the first answer', () => /^HTTP\/1.1 200 [^]*null$/.test(got));
    assert(held(k), 'the kernel\'s table shows it');
    process.kill(s.pid, 'SIGSTOP');
    try {
      ask('?block_ms=999&reclaim_older_than_ms=60000');
      await new Promise((r) => k.end(r));
      await until('both have arrived', () => !held(k));
    } finally { process.kill(s.pid, 'SIGCONT'); }
    const made = await Session.create(s, { agent: agent.id, environment_id: p.env.id });
    const w = await s.as(p.key).beta.environments.work.poll(p.env.id, { block_ms: 300, reclaim_older_than_ms: 60000 });
    assert.equal(w?.data.id, made.id, 'offered to who is there');
    await within(gone, ms(5000), 'the connection is closed');
    await made.close();
  });

  test('a server that stops does not wait for polls', async () => {
    // It has until the poll's time is over: far more than a stop takes. A machine that stands still for so long in
    // between proves nothing, so there are other tries; a server that waits for the poll passes none.
    const tries = [];
    for (let i = 0; i < 5; i++) {
      const t = await startServer({});
      const p = await selfHosted(t);
      const began = performance.now();
      const poll = fetch(`${t.url}/v1/environments/${p.env.id}/work/poll?block_ms=999`, { headers: { authorization: `Bearer ${p.key}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA, 'anthropic-worker-id': 'w' } }).then((r) => r.text());
      await until('it polls', async () => (await t.client().beta.environments.work.stats(p.env.id)).workers_polling === 1);
      await t.stop();
      tries.push(Math.round(performance.now() - began));
      assert.equal(await poll, 'null', 'and they are answered');
      if (tries.at(-1) < 900) return;
    }
    assert.fail(`every stop waited for the poll: ${tries} ms`);
  });

  test('a request in flight when its client goes away is whole or not there', async () => {
    const n = (await all(s.client().beta.agents.list({ limit: 100 }))).length;
    const body = JSON.stringify({ name: 'gone', model: 'm' });
    await Promise.all(Array.from({ length: 40 }, () => new Promise((res) => {
      const k = net.connect(s.port, '127.0.0.1', () => {
        k.write(`POST /v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${s.apiKey}\r\nanthropic-version: ${VERSION}\r\nanthropic-beta: ${BETA}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`, () => { k.destroy(); res(); });
      });
      k.on('error', () => res());
    })));
    await new Promise((r) => setTimeout(r, 300));
    const after = await all(s.client().beta.agents.list({ limit: 100 }));
    assert(after.length >= n && after.length <= n + 40);
    for (const a of after) assert.equal(a.version, 1);
  });
});
