// Events: sending (atomic, validated, echoed), listing, streaming, deltas, resuming. api.md §1.7, §6.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { BETA, makeAgent, selfHosted, startServer, TOOLSET, VERSION } from '../lib/sallyport.mjs';
import { all, refused, refusedRaw } from '../lib/check.mjs';
import { checkLog, confirm, customResult, Session, sse, text, toolResult, userMessage } from '../lib/session.mjs';
import { LOOKUP, RULES } from '../lib/fixture-rules.mjs';
import { ms, within } from '../lib/own.mjs';

describe('events', () => {
  let s, c, env, agent;
  before(async () => {
    s = await startServer({ rules: RULES });
    c = s.client().beta.sessions.events;
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s, { tools: [TOOLSET, LOOKUP] });
  });
  after(() => s?.stop());
  const session = () => Session.create(s, { agent: agent.id, environment_id: env.id });

  describe('send', () => {
    test('the echo: id, type, content; messages queued with processed_at null', async () => {
      const x = await session();
      const r = await x.send(userMessage('plain'));
      assert.equal(r.data.length, 1);
      const [e] = r.data;
      assert.match(e.id, /^sevt_01/);
      assert.equal(e.type, 'user.message');
      assert.equal(e.processed_at, null);
      assert.deepEqual(e.content, [{ type: 'text', text: 'plain' }]);
      await x.idle('end_turn');
      const kept = (await x.list()).find((y) => y.type === 'user.message');
      assert.equal(kept.id, e.id, 'the id of the echo is the id for ever');
      await x.close();
    });

    test('a message larger than the log takes is refused when it comes, and the session goes on', async () => {
      const x = await session();
      const half = { type: 'text', text: 'x'.repeat(9 << 20) };
      const body = { events: [{ type: 'user.message', content: [half, half] }] };
      assert.equal((await s.api('POST', `/v1/sessions/${x.id}/events`, body)).status, 413);
      const fresh = { agent: agent.id, environment_id: env.id, initial_events: body.events };
      assert.equal((await s.api('POST', '/v1/sessions', fresh)).status, 413);
      await x.send(userMessage('plain'));
      await x.idle('end_turn');
      await x.close();
    });

    test('tool results and confirmations: the keys of the echo, stamped or not', async () => {
      const x = await session();
      await x.say('lookup');
      const call = await x.next('agent.custom_tool_use');
      await x.idle('requires_action');
      const { data: [e] } = await x.send(customResult(call.id, 'a word'));
      assert.match(e.processed_at ?? '', /Z$/, 'a custom tool result comes back stamped');
      assert.equal(e.custom_tool_use_id, call.id);
      assert.equal(e.is_error, false);
      assert.equal(e.session_thread_id, null);
      await x.idle('end_turn');
      const { data: [i] } = await x.send({ type: 'user.interrupt' });
      assert.equal(i.type, 'user.interrupt');
      await x.close();
    });

    test('one bad event refuses the whole batch', async () => {
      const x = await session();
      await refused(x.send(userMessage('plain'), { type: 'user.shout' }), 400, { message: /events\[1\]\.type: "user\.shout" is not a valid value/ });
      await refused(x.send(userMessage('plain'), toolResult('sevt_0111', 'x')), 400);
      assert.deepEqual(await x.list(), [], 'nothing of it was applied');
      assert.equal((await x.get()).status, 'idle');
      await x.close();
    });

    test('a batch keeps its order', async () => {
      const x = await session();
      const r = await x.send(userMessage('plain one'), userMessage('plain two'), userMessage('plain three'));
      await x.idle('end_turn');
      const log = (await x.list()).filter((e) => e.type === 'user.message');
      assert.deepEqual(log.map((e) => e.id), r.data.map((e) => e.id));
      assert.deepEqual(log.map(text), ['plain one', 'plain two', 'plain three']);
      await x.close();
    });

    for (const [what, events, message] of [
      ['no events', undefined, /events/],
      ['an empty list', [], /events/],
      ['not a list', {}, /events/],
      ['an event that is no object', ['hello'], /events\[?\.?0/],
      ['no type', [{ content: [] }], /events\[?\.?0.*type/],
      ['an outbound type', [{ type: 'agent.message', content: [{ type: 'text', text: 'me?' }] }], /events\[0\]\.type: "agent\.message" is not a valid value/],
      ['no content', [{ type: 'user.message' }], /content/],
      ['empty content', [{ type: 'user.message', content: [] }], /content/],
      ['content as a string', [{ type: 'user.message', content: 'hi' }], /content/],
      ['redacted content', [{ type: 'user.message', content: [{ type: 'redacted' }] }], /redacted|content/],
      ['unknown block', [{ type: 'user.message', content: [{ type: 'video' }] }], /content.*type.*video|video/],
      ['text of another type', [{ type: 'user.message', content: [{ type: 'text', text: 7 }] }], /text/],
      ['unknown field', [{ type: 'user.message', content: [{ type: 'text', text: 'x' }], colour: 1 }], /colour/],
      ['unknown field in a block', [{ type: 'user.message', content: [{ type: 'text', text: 'x', colour: 1 }] }], /colour/],
      ['confirmation with another verdict', [{ type: 'user.tool_confirmation', tool_use_id: 'sevt_x', result: 'perhaps' }], /result/],
      ['confirmation without an id', [{ type: 'user.tool_confirmation', result: 'allow' }], /tool_use_id/],
      ['tool result for an unknown call', [toolResult('sevt_0111', 'x')], /sevt_0111|tool_use_id/],
      ['custom result for an unknown call', [customResult('sevt_0111', 'x')], /sevt_0111|custom_tool_use_id/],
      ['is_error of another type', [{ type: 'user.tool_result', tool_use_id: 'x', is_error: 'yes' }], /is_error/],
    ]) test(`refused: ${what}`, async () => {
      const x = await session();
      refusedRaw(await s.api('POST', `/v1/sessions/${x.id}/events`, { events }), 400, { message });
      assert.deepEqual(await x.list(), []);
      await x.close();
    });

    test('an unknown field beside events is refused', async () => {
      const x = await session();
      refusedRaw(await s.api('POST', `/v1/sessions/${x.id}/events`, { events: [userMessage('plain')], colour: 1 }), 400, { message: /colour/ });
      await x.close();
    });

    test('images and documents are accepted in a message and kept', async () => {
      const x = await session();
      const content = [{ type: 'text', text: 'plain' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } }, { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'doc' }, title: 't' }];
      await x.send({ type: 'user.message', content });
      await x.idle();
      const kept = (await x.list()).find((e) => e.type === 'user.message');
      assert.deepEqual(kept.content.map((b) => b.type), ['text', 'image', 'document']);
      assert.equal(kept.content[1].source.data, 'iVBORw0KGgo=');
      await x.close();
    });

    test('text survives exactly: controls, emoji, quotes, 1 MB', async () => {
      const x = await session();
      const t = `plain \u0001\t"quotes" \\ back\nnew é 漢字 👩‍👩‍👧 \u2028 </script> ${'z'.repeat(1 << 20)}`;
      await x.say(t);
      await x.idle();
      assert.equal(text((await x.list()).find((e) => e.type === 'user.message')), t);
      assert.equal(text(x.events.find((e) => e.type === 'user.message')), t, 'in the stream too');
      await x.close();
    });

    test('a message while an action is required is refused; a late confirmation is not', async () => {
      const x = await session();
      await x.say('lookup');
      const call = await x.next('agent.custom_tool_use');
      await x.idle('requires_action');
      await refused(x.say('plain'), 400);
      await refused(x.send(toolResult(call.id, 'wrong kind')), 400);
      await x.send(customResult(call.id, 'w'));
      await x.idle('end_turn');
      const log = await x.list();
      assert.equal(log.filter((e) => e.type === 'user.message').length, 1);
      await x.close();
    });

    test('a message to a missing session is 404', async () => {
      await refused(c.send('sesn_0111', { events: [userMessage('x')] }), 404);
    });
  });

  describe('list', () => {
    let x, log;
    before(async () => { x = await session(); await x.turn('think'); log = await x.turn('plain'); });
    after(() => x.close());

    test('ascending by default, strictly rising stamps; desc is the reverse', async () => {
      checkLog(log);
      const d = await all(c.list(x.id, { order: 'desc' }));
      assert.deepEqual(d.map((e) => e.id), log.map((e) => e.id).reverse());
    });

    test('pages of every size give the same log', async () => {
      for (const limit of [1, 2, 3, 7, 1000]) {
        assert.deepEqual((await all(c.list(x.id, { limit }))).map((e) => e.id), log.map((e) => e.id), `limit ${limit}`);
        assert.deepEqual((await all(c.list(x.id, { limit, order: 'desc' }))).map((e) => e.id), log.map((e) => e.id).reverse(), `limit ${limit} desc`);
      }
    });

    test('types filter, several, percent-encoded brackets, bare form', async () => {
      const want = log.filter((e) => ['agent.message', 'user.message'].includes(e.type)).map((e) => e.id);
      assert.deepEqual((await all(c.list(x.id, { types: ['agent.message', 'user.message'] }))).map((e) => e.id), want);
      for (const q of ['types[]=agent.message&types[]=user.message', 'types%5B%5D=agent.message&types%5B%5D=user.message', 'types=agent.message&types=user.message']) {
        const r = await s.api('GET', `/v1/sessions/${x.id}/events?${q}`);
        assert.deepEqual(r.body.data.map((e) => e.id), want, q);
      }
      await refused(c.list(x.id, { types: ['agent.shout'] }), 400, { message: /agent\.shout/ });
    });

    test('created_at ranges', async () => {
      const t = log[4].processed_at;
      assert.deepEqual((await all(c.list(x.id, { 'created_at[gt]': t }))).map((e) => e.id), log.slice(5).map((e) => e.id));
      assert.deepEqual((await all(c.list(x.id, { 'created_at[lte]': t }))).map((e) => e.id), log.slice(0, 5).map((e) => e.id));
    });

    test('a beta query parameter is ignored, other cursors are refused', async () => {
      assert.equal((await s.api('GET', `/v1/sessions/${x.id}/events?beta=true`)).status, 200);
      const p = await c.list(x.id, { limit: 2 });
      await refused(c.list(x.id, { limit: 2, order: 'desc', page: p.next_page }), 400, { message: /page token order does not match request/ });
      await refused(c.list(x.id, { page: 'page_x' }), 400, { message: /invalid page cursor/ });
      await refused(c.list(x.id, { limit: 0 }), 400, { message: /limit/ });
      await refused(c.list('sesn_x'), 404);
    });

    test('pages stay true while the log grows', async () => {
      const p1 = await c.list(x.id, { limit: 3 });
      await x.turn('plain');
      const rest = [];
      for (let p = p1; p.next_page;) { p = await p.getNextPage(); rest.push(...p.data); }
      const now = await x.list();
      assert.deepEqual([...p1.data, ...rest].map((e) => e.id), now.map((e) => e.id));
    });
  });

  describe('stream', () => {
    test('through the SDK: from now on, the same events as the list, in the same order', async () => {
      const x = await session();
      await x.turn('plain');
      const stream = await c.stream(x.id);
      const seen = [];
      const reading = (async () => { for await (const e of stream) { seen.push(e); if (e.type === 'session.status_idle') break; } })();
      await x.say('think');
      await within(reading, ms(15000), 'SDK stream');
      const log = await x.list();
      const second = log.slice(log.findIndex((e) => e.type === 'session.status_idle') + 1);
      const persisted = seen.filter((e, i) => !seen.slice(i + 1).some((y) => y.id === e.id));   // a queued input may be shown twice
      assert.deepEqual(persisted, second, 'no replay, no difference between stream and list');
      await x.close();
    });

    test('head and frames on the wire', async () => {
      const x = await session();
      const ctrl = new AbortController();
      const r = await fetch(`${s.url}/v1/sessions/${x.id}/events/stream`, { headers: { authorization: `Bearer ${s.apiKey}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA }, signal: ctrl.signal });
      assert.equal(r.status, 200);
      assert.match(r.headers.get('content-type'), /^text\/event-stream/);
      assert.match(r.headers.get('request-id'), /^req_/);
      await x.say('plain');
      for await (const f of sse(r.body)) {
        if (!f.data) continue;
        const e = JSON.parse(f.data);
        assert.equal(f.event, e.type);
        assert.equal(f.id, e.id);
        assert(!f.data.includes('\n'));
        if (e.type === 'session.status_idle') break;
      }
      ctrl.abort();
      await x.close();
    });

    test('a hundred readers of one session all see the same', async () => {
      const x = await session();
      const readers = await Promise.all(Array.from({ length: 100 }, () => Session.attach(s, x.id)));
      await x.turn('plain');
      await Promise.all(readers.map((r) => r.idle('end_turn')));
      const ids = x.events.map((e) => e.id);
      for (const r of readers) assert.deepEqual(r.events.map((e) => e.id), ids);
      await Promise.all(readers.map((r) => r.close()));
      await x.close();
    });

    test('a missing session is 404, an unknown delta kind 400', async () => {
      await refused(c.stream('sesn_x'), 404);
      const x = await session();
      await refused(c.stream(x.id, { event_deltas: ['agent.tool_use'] }), 400, { message: /event_deltas|agent\.tool_use/ });
      await refused(c.stream(x.id, { event_deltas: Array.from({ length: 101 }, () => 'agent.message') }), 400, { message: /event_deltas/ });
      await x.close();
    });
  });

  describe('resume (our addition)', () => {
    const read = async (id, { after, last, until, types }) => {
      const ctrl = new AbortController();
      const headers = { authorization: `Bearer ${s.apiKey}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA };
      if (last) headers['last-event-id'] = last;
      const r = await fetch(`${s.url}/v1/sessions/${id}/events/stream${after ? `?after=${after}` : ''}`, { headers, signal: ctrl.signal });
      if (r.status !== 200) return { status: r.status, body: await r.json() };
      const out = [];
      for await (const f of sse(r.body)) { if (!f.data || f.event === 'ping') continue; out.push(JSON.parse(f.data)); if (out.length >= until) break; }
      ctrl.abort();
      return { status: 200, events: out, types };
    };

    test('Last-Event-ID and ?after= continue right behind that event, gap-free', async () => {
      const x = await session();
      const log = await x.turn('think');
      for (const i of [0, 3, log.length - 3]) {
        const want = log.slice(i + 1);
        for (const how of [{ last: log[i].id }, { after: log[i].id }]) {
          const r = await within(read(x.id, { ...how, until: want.length }), ms(10000), `resume after ${i}`);
          assert.deepEqual(r.events, want, JSON.stringify(how));
        }
      }
      await x.close();
    });

    test('while a turn runs: history then live, nothing twice, nothing missing', async () => {
      const x = await session();
      const log = await x.turn('plain');
      await x.say('pieces');
      const r = read(x.id, { after: log[0].id, until: log.length - 1 + 8 });
      await x.idle('end_turn');
      const now = await x.list();
      const got = await within(r, ms(10000), 'resume');
      assert.deepEqual(got.events.map((e) => e.id), now.slice(1, 1 + got.events.length).map((e) => e.id));
      await x.close();
    });

    test('an unknown place is refused', async () => {
      const x = await session();
      const y = await session();
      const foreign = (await y.turn('plain'))[0].id;
      for (const after of ['sevt_0111', foreign, 'x']) {
        const r = await read(x.id, { after, until: 1 });
        assert.equal(r.status, 400);
        assert.match(r.body.error.message, /after|Last-Event-ID|event/i);
      }
      await x.close(); await y.close();
    });
  });

  describe('deltas', () => {
    const follow = async (x, kinds, say) => {
      const stream = await c.stream(x.id, { event_deltas: kinds });
      const seen = [];
      const done = (async () => { for await (const e of stream) { seen.push(e); if (e.type === 'session.status_idle') break; } })();
      await x.say(say);
      await within(done, ms(15000), 'delta stream');
      return seen;
    };

    test('start span, event_start, deltas, the message with the same id, end span; deltas join to the text', async () => {
      const x = await session();
      const seen = await follow(x, ['agent.message'], 'pieces');
      const at = (t) => seen.findIndex((e) => e.type === t);
      const start = seen.find((e) => e.type === 'event_start');
      assert.equal(start.event.type, 'agent.message');
      const msg = seen.find((e) => e.type === 'agent.message');
      assert.equal(start.event.id, msg.id);
      assert.equal(seen.filter((e) => e.type === 'event_start').length, 1, 'one event_start per id');
      const deltas = seen.filter((e) => e.type === 'event_delta');
      assert(deltas.length >= 2, `${deltas.length} deltas`);
      let joined = '';
      for (const d of deltas) {
        assert.equal(d.event_id, msg.id);
        assert.equal(d.delta.type, 'content_delta');
        assert.equal(d.delta.content.type, 'text');
        joined += d.delta.content.text;
      }
      assert(text(msg).startsWith(joined), 'deltas are a prefix of the text');
      assert.equal(joined, text(msg), 'and here, unhurried, all of it');
      const firstDelta = at('event_delta');
      assert(at('span.model_request_start') < at('event_start') && at('event_start') < firstDelta && firstDelta < at('agent.message') && at('agent.message') < at('span.model_request_end'));
      for (const e of seen.filter((y) => y.type.startsWith('event_'))) { assert.equal(e.id, undefined); assert.equal(e.processed_at, undefined); }
      assert(!(await x.list()).some((e) => e.type.startsWith('event_')), 'never persisted');
      await x.close();
    });

    test('agent.thinking: a start only, and never its content', async () => {
      const x = await session();
      const seen = await follow(x, ['agent.thinking', 'agent.message'], 'think');
      const starts = seen.filter((e) => e.type === 'event_start').map((e) => e.event.type);
      assert.deepEqual(starts, ['agent.thinking', 'agent.message']);
      const id = seen.find((e) => e.type === 'event_start').event.id;
      assert(!seen.some((e) => e.type === 'event_delta' && e.event_id === id));
      assert(!JSON.stringify(seen).includes('let me see') && !JSON.stringify(await x.list()).includes('let me see'));
      await x.close();
    });

    test('only who asks gets them', async () => {
      const x = await session();
      await x.turn('pieces');
      assert(!x.events.some((e) => e.type.startsWith('event_')));
      const only = await follow(x, ['agent.thinking'], 'pieces');
      assert(!only.some((e) => e.type === 'event_delta'));
      await x.close();
    });

    test('a reader who comes in the middle gets no deltas of that message', async () => {
      const x = await session();
      const first = await c.stream(x.id, { event_deltas: ['agent.message'] });
      await x.say('drip');
      let late;
      for await (const e of first) if (e.type === 'event_delta') { late = await c.stream(x.id, { event_deltas: ['agent.message'] }); break; }
      const seen = [];
      const done = (async () => { for await (const e of late) { seen.push(e); if (e.type === 'session.status_idle') break; } })();
      await new Promise((r) => setTimeout(r, 300));
      await x.send({ type: 'user.interrupt' });
      await within(done, ms(15000), 'late stream');
      assert(!seen.some((e) => e.type === 'event_delta' || e.type === 'event_start'), 'none for the message under way');
      await x.close();
    });
  });

  test('a second result for an answered call is refused or ignored, never recorded as another answer of the model', async () => {
    const x = await session();
    await x.say('lookup');
    const call = await x.next('agent.custom_tool_use');
    await x.idle('requires_action');
    await x.send(customResult(call.id, 'first'));
    await x.idle('end_turn');
    const before = (await x.list()).filter((e) => e.type === 'span.model_request_start').length;
    let status = 200;
    try { await x.send(customResult(call.id, 'second')); } catch (e) { status = e.status; }
    assert([200, 400].includes(status));
    const log = await x.list();
    assert.equal(log.filter((e) => e.type === 'span.model_request_start').length, before, 'no model request for it');
    await x.close();
  });

  test('twenty clients send at once: every accepted message once, in one order for all', async () => {
    const x = await session();
    const sent = await Promise.all(Array.from({ length: 20 }, (_, i) => x.say(`plain ${i}`)));
    await x.idle('end_turn');
    for (let n = 0; n < 20 && (await x.get()).status !== 'idle'; n++) await x.idle('end_turn');
    const log = await x.list();
    checkLog(log);
    const ids = log.filter((e) => e.type === 'user.message').map((e) => e.id);
    assert.deepEqual([...ids].sort(), sent.map((r) => r.data[0].id).sort());
    await x.close();
  });
});
