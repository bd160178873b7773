// Event streams under load: large events, large commits, slow readers, silent sessions. A reader that reads gets
// everything on the stream it has; only one that takes nothing at all is given up. api.md §1.7.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { BETA, makeAgent, on, say, selfHosted, startServer, VERSION } from '../lib/sallyport.mjs';
import { Session, sse, userMessage } from '../lib/session.mjs';
import { ms, until, within } from '../lib/own.mjs';

const image = (kilobytes) => ({
  type: 'user.message', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0K'.repeat(kilobytes * 128) } }, { type: 'text', text: 'what is this?' }],
});

describe('streams', () => {
  let s, env, agent;
  before(async () => {
    s = await startServer({ rules: [on('', {}, say('an answer'))] });
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s);
  });
  after(() => s?.stop());
  const create = () => Session.create(s, { agent: agent.id, environment_id: env.id });

  /** What the SDK's own stream gives up to `last`; fails when it is cut. */
  async function sdkEvents(id, last, begin) {
    const seen = [];
    const stream = await s.client().beta.sessions.events.stream(id);
    await begin();
    for await (const e of stream) { seen.push(e); if (last(e, seen)) return seen; }
    assert.fail(`the stream ended after ${seen.map((e) => e.type)}`);
  }
  const idle = (e) => e.type === 'session.status_idle';

  for (const kilobytes of [60, 800, 1100, 6000])
    test(`the SDK's stream brings an image of ${kilobytes} KB and the answer to it`, async () => {
      const x = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
      const sent = image(kilobytes);
      const seen = await within(sdkEvents(x.id, idle, () => s.client().beta.sessions.events.send(x.id, { events: [sent] })), ms(20000), 'the whole turn');
      assert.deepEqual(seen.find((e) => e.type === 'user.message').content, sent.content);
      assert.equal(seen.find((e) => e.type === 'agent.message').content[0].text, 'an answer');
    });

  test('a commit of many events and of many megabytes reaches every stream, in order, without a cut', async () => {
    const x = await create();
    const readers = await Promise.all(Array.from({ length: 12 }, () => Session.attach(s, x.id)));
    const texts = Array.from({ length: 300 }, (_, i) => userMessage(`${i} ${'x'.repeat(i % 10 === 0 ? 150000 : 3000)}`));
    await x.send(...texts);
    await x.idle('end_turn');
    const log = await x.list();
    for (const r of [x, ...readers]) {
      await until('all of it', () => r.events.length >= log.length, ms(20000));
      assert.deepEqual(r.events.map((e) => e.id), log.map((e) => e.id));
      assert.equal(r.reconnects, 0, 'on the stream it had');
      await r.close();
    }
  });

  test('a reader that pauses and reads on gets everything on the same stream', async () => {
    const x = await create();
    const k = net.connect(s.port, '127.0.0.1');
    k.on('error', () => {});
    k.write(`GET /v1/sessions/${x.id}/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${s.apiKey}\r\nanthropic-version: ${VERSION}\r\nanthropic-beta: ${BETA}\r\n\r\n`);
    let got = (await new Promise((r) => k.once('data', r))).toString();
    k.pause();
    for (let i = 0; i < 3; i++) {   // 24 MB: more than the kernel's buffers of both ends
      await x.send(...Array.from({ length: 40 }, (_, n) => userMessage(`${i}.${n} ${'0123456789'.repeat(20000)}`)));
      await x.idle('end_turn');
    }
    const log = await x.list();
    k.setEncoding('utf8').on('data', (d) => { got += d; });
    k.resume();
    await until('the last event', () => got.includes(`id: ${log.at(-1).id}\n`), ms(20000));
    assert.deepEqual([...got.matchAll(/^id: (sevt_\S+)$/gm)].map((m) => m[1]), log.map((e) => e.id));
    k.destroy();
    await x.close();
  });

  test('resuming in front of large events gives each once, and what follows', async () => {
    const x = await create();
    await x.turn('first');
    const place = x.events.at(-1).id;
    await x.send(image(5000), userMessage('z'.repeat(900000)), userMessage('small'));
    await x.idle('end_turn');
    const y = new Session(s, { id: x.id });
    y.lastId = place;
    await y.open();
    await x.turn('more');
    const log = await x.list();
    const rest = log.slice(log.findIndex((e) => e.id === place) + 1).map((e) => e.id);
    await until('the rest', () => y.events.length >= rest.length, ms(20000));
    assert.deepEqual(y.events.map((e) => e.id), rest);
    await x.close(); await y.close();
  });

  test('a session deleted while a reader is behind: the stream ends, with the last word', async () => {
    const x = await create();
    await x.send(image(3000));
    await x.idle('end_turn');
    await s.client().beta.sessions.delete(x.id);
    await until('the end', () => x.deleted, ms(10000));
    assert.equal(x.reconnects, 0);
    await x.close();
  });

  test('the first byte of a body comes at once, and a silent stream says something within ten seconds', async () => {
    const x = await create();
    const ctrl = new AbortController();
    const r = await fetch(`${s.url}/v1/sessions/${x.id}/events/stream`, { headers: { authorization: `Bearer ${s.apiKey}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA }, signal: ctrl.signal });
    const frames = sse(r.body)[Symbol.asyncIterator]();
    const began = Date.now();
    assert.equal((await within(frames.next(), ms(2000), 'a first byte')).value.raw, ': open');
    assert.equal((await within(frames.next(), ms(10000), 'a sign of life')).value.raw, ': keep-alive');
    assert(Date.now() - began > 3000, 'and not one after the other');
    ctrl.abort();
    await x.close();
  });
});
