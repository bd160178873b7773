// The anthropic provider against a local server that speaks the same wire format: what the model is
// sent, what of its answers reaches the log, and what happens when it refuses, breaks off, or drips.
import { after, before, beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, selfHosted, startServer, TOOLSET } from '../lib/sallyport.mjs';
import { answers, brief, checkLog, customResult, Session, text, toolResult, userMessage } from '../lib/session.mjs';
import { LOOKUP } from '../lib/fixture-rules.mjs';
import * as model from '../lib/messages-api.mjs';
import { ms, until } from '../lib/own.mjs';

const KEY = 'sk-ant-test-0123456789abcdef0123456789';

describe('anthropic provider', () => {
  let m, s, env, agent;
  before(async () => {
    m = await model.startMessagesApi();
    s = await startServer({ env: { ANTHROPIC_API_KEY: KEY, SALLYPORT_MODEL_BASE_URL: m.url } });
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s, { model: 'claude-mock-1', system: 'You are a test.', tools: [TOOLSET, LOOKUP] });
  });
  beforeEach(() => m.reset());
  after(async () => { await s?.stop(); await m?.stop(); });
  const session = () => Session.create(s, { agent: agent.id, environment_id: env.id });
  const types = (log) => log.map((e) => e.type);

  test('the request: path, key, version, model, system, messages, tools, streaming', async () => {
    const x = await session();
    m.next(model.good('hi there'));
    await x.turn('hello');
    assert.equal(m.requests.length, 1);
    const q = m.requests[0];
    assert.equal(q.method, 'POST');
    assert.equal(q.path.split('?')[0], '/v1/messages');
    assert(q.headers['x-api-key'] === KEY || q.headers.authorization === `Bearer ${KEY}`, 'the model key is sent');
    assert.match(q.headers['anthropic-version'], /^\d{4}-\d\d-\d\d$/);
    assert.match(q.headers['content-type'], /^application\/json/);
    const b = q.body;
    assert.equal(b.model, 'claude-mock-1');
    assert.equal(b.stream, true);
    assert(Number.isInteger(b.max_tokens) && b.max_tokens > 0);
    assert.match(JSON.stringify(b.system), /You are a test\./);
    assert.equal(b.messages.length, 1);
    assert.equal(b.messages[0].role, 'user');
    assert.match(JSON.stringify(b.messages[0].content), /hello/);
    const names = b.tools.map((t) => t.name);
    for (const n of ['bash', 'read', 'write', 'edit', 'glob', 'grep', 'lookup']) assert(names.includes(n), n);
    for (const t of b.tools) { assert.equal(t.input_schema.type, 'object'); assert(t.description?.length > 0, `${t.name} has a description`); }
    assert.deepEqual(b.tools.find((t) => t.name === 'lookup').input_schema, LOOKUP.input_schema);
    assert(!JSON.stringify(q).includes('sk-sp-'), 'no key of ours goes to the model');
    await x.close();
  });

  test('a disabled tool is not offered', async () => {
    const a = await makeAgent(s, { model: 'claude-mock-1', tools: [{ ...TOOLSET, default_config: { enabled: false }, configs: [{ name: 'read', enabled: true }] }] });
    const x = await Session.create(s, { agent: a.id, environment_id: env.id });
    await x.turn('hello');
    assert.deepEqual(m.requests[0].body.tools.map((t) => t.name), ['read']);
    await x.close();
  });

  test('good streams: whole, in many pieces, byte by byte, with multi-byte characters cut', async () => {
    const said = 'naïve — 漢字 \u{1f680} "quoted" \\ and\nnew lines';
    for (const opts of [{ pieces: 1 }, { pieces: 50 }, { bytes: 1 }, { bytes: 7, ping: false }]) {
      const x = await session();
      m.next(model.good(said, opts));
      const log = await x.turn('speak');
      checkLog(log);
      assert.equal(text(log.find((e) => e.type === 'agent.message')), said, JSON.stringify(opts));
      await x.close();
    }
  });

  test('several text blocks, thinking, usage', async () => {
    const x = await session();
    m.next(model.good([model.thinkingBlock('secret thought'), model.textBlock('first')], { usage: { input_tokens: 100, cache_creation_input_tokens: 20, cache_read_input_tokens: 3, output_tokens: 41 } }));
    const log = await x.turn('think');
    assert.deepEqual(types(log).filter((t) => t.startsWith('agent.')), ['agent.thinking', 'agent.message']);
    assert(!JSON.stringify(log).includes('secret thought'));
    const end = log.find((e) => e.type === 'span.model_request_end');
    assert.equal(end.model_usage.input_tokens, 100);
    assert.equal(end.model_usage.cache_creation_input_tokens, 20);
    assert.equal(end.model_usage.cache_read_input_tokens, 3);
    assert.equal(end.model_usage.output_tokens, 41);
    const u = (await x.get()).usage;
    assert.equal(u.input_tokens, 100);
    assert.equal(u.output_tokens, 41);
    assert.equal(u.cache_read_input_tokens, 3);
    assert.equal(u.cache_creation.ephemeral_5m_input_tokens, 20);
    await x.close();
  });

  test('tool use: ids and inputs survive, the next request carries call and result, thinking goes back with its signature', async () => {
    const x = await session();
    m.next(model.good([model.thinkingBlock('I should look', 'c2ln'), model.textBlock('looking'), model.toolBlock('lookup', { word: 'é"\\' }, 'toolu_A'), model.toolBlock('lookup', {}, 'toolu_B')], { pieces: 9 }));
    m.next(model.good('found'));
    await x.say('go');
    await x.idle('requires_action');
    const calls = (await x.list()).filter((e) => e.type === 'agent.custom_tool_use');
    assert.deepEqual(calls.map((e) => e.input), [{ word: 'é"\\' }, {}]);
    await x.send(customResult(calls[1].id, 'B!', true));
    await x.send(customResult(calls[0].id, 'A!'));
    await x.idle('end_turn');
    const b = m.requests[1].body;
    assert.deepEqual(b.messages.map((y) => y.role), ['user', 'assistant', 'user']);
    const [th, tx, t1, t2] = b.messages[1].content;
    assert.deepEqual(th, { type: 'thinking', thinking: 'I should look', signature: 'c2ln' });
    assert.deepEqual(tx, { type: 'text', text: 'looking' });
    assert.deepEqual([t1.type, t1.name, t1.input, t2.type], ['tool_use', 'lookup', { word: 'é"\\' }, 'tool_use']);
    const results = b.messages[2].content.filter((y) => y.type === 'tool_result');
    assert.deepEqual(results.map((r) => r.tool_use_id), [t1.id, t2.id], 'each call has its result, in the order of the calls');
    assert.match(JSON.stringify(results[0].content), /A!/);
    assert.match(JSON.stringify(results[1].content), /B!/);
    assert.equal(results[1].is_error, true);
    await x.close();
  });

  test('the conversation grows turn by turn, alternating roles', async () => {
    const x = await session();
    for (let i = 1; i <= 3; i++) { m.next(model.good(`answer ${i}`)); await x.turn(`question ${i}`); }
    const b = m.requests[2].body.messages;
    assert.deepEqual(b.map((y) => y.role), ['user', 'assistant', 'user', 'assistant', 'user']);
    assert.deepEqual(b.map((y) => JSON.stringify(y.content).match(/(question|answer) \d/)[0]), ['question 1', 'answer 1', 'question 2', 'answer 2', 'question 3']);
    await x.close();
  });

  describe('trouble that passes', () => {
    for (const [what, act, type] of [
      ['429', () => model.tooMany(1), 'model_rate_limited_error'], ['529', () => model.overloaded(), 'model_overloaded_error'], ['500', () => model.broken(), 'model_request_failed_error'],
      ['a cut stream', () => model.cut('half a sen', 5), 'model_request_failed_error'], ['a stream that just ends', () => model.cut('half a sen', 5, { clean: true }), 'model_request_failed_error'],
      ['an error frame', () => model.errorFrame(), 'model_overloaded_error'], ['broken JSON', () => model.malformed('json'), 'model_request_failed_error'],
      ['frames out of order', () => model.malformed('order'), 'model_request_failed_error'], ['a delta for no block', () => model.malformed('index'), 'model_request_failed_error'],
      ['two starts', () => model.malformed('double-start'), 'model_request_failed_error'], ['no stop', () => model.malformed('no-stop'), 'model_request_failed_error'],
      ['binary', () => model.malformed('binary'), 'model_request_failed_error'],
      ['nesting', () => model.malformed('deep'), 'model_request_failed_error'], ['another content type', () => model.wrongType(), 'model_request_failed_error'],
    ]) test(`${what}: session.error{retrying}, rescheduled, running again, then the answer, once`, async () => {
      const x = await session();
      m.next(act(), model.good('recovered'));
      const log = await x.turn('go', 'end_turn', ms(30000));
      checkLog(log);
      const errs = log.filter((e) => e.type === 'session.error');
      assert.equal(errs.length, 1, log.map(brief).join('\n'));
      assert.equal(errs[0].error.retry_status.type, 'retrying');
      assert.equal(errs[0].error.type, type);
      assert(errs[0].error.message.length > 10);
      const t = types(log);
      const i = t.indexOf('session.error');
      const after = t.slice(i).filter((y) => !y.startsWith('span.') && y !== 'session.thread_status_rescheduled');
      assert.deepEqual(after.slice(0, 4), ['session.error', 'session.status_rescheduled', 'session.status_running', 'session.thread_status_running'], t.join(' '));
      assert.deepEqual(log.filter((e) => e.type === 'agent.message').map(text).at(-1), 'recovered');
      assert.equal(log.filter((e) => e.type === 'agent.message').length, 1, 'the half answer is not kept beside the whole one');
      assert.equal(t.includes('agent.tool_use'), false, 'a broken call is never made');
      assert.equal(m.requests.length, 2);
      assert.deepEqual(m.requests[1].body.messages, m.requests[0].body.messages, 'the same question again');
      await x.close();
    });

    test('Retry-After is honoured', async () => {
      const x = await session();
      m.next(model.tooMany(2), model.good('ok'));
      await x.turn('go', 'end_turn', ms(30000));
      const gap = m.requests[1].at - m.requests[0].at;
      assert(gap >= 1950 && gap < ms(8000), `waited ${gap} ms`);
      await x.close();
    });

    test('while waiting to retry the session is rescheduling, and an interrupt ends the wait', async () => {
      const x = await session();
      m.next(model.tooMany(60));
      await x.say('go');
      await x.next('session.status_rescheduled');
      assert.equal((await x.get()).status, 'rescheduling');
      await x.send({ type: 'user.interrupt' });
      await x.idle('end_turn');
      assert.equal(m.requests.length, 1);
      await x.close();
    });
  });

  describe('trouble that does not pass', () => {
    test('giving up: exhausted, idle retries_exhausted, queued inputs dropped, and the next message works', async () => {
      const x = await session();
      m.fallback = model.fail(529, 'overloaded_error', { headers: { 'retry-after': '0' } });
      await x.say('go');
      const idle = await x.idle('retries_exhausted', ms(90000));
      assert.deepEqual(idle.stop_reason, { type: 'retries_exhausted' });
      const log = await x.list();
      checkLog(log);
      const errs = log.filter((e) => e.type === 'session.error');
      assert.equal(errs.at(-1).error.retry_status.type, 'exhausted');
      for (const e of errs.slice(0, -1)) assert.equal(e.error.retry_status.type, 'retrying');
      assert(m.requests.length >= 2 && m.requests.length < 30, `${m.requests.length} tries`);
      m.reset();
      const again = await x.turn('now?');
      assert.equal(text(again.filter((e) => e.type === 'agent.message').at(-1)), 'the default answer');
      await x.close();
    });

    for (const [what, act] of [['400', model.badRequest()], ['401', model.unauthorised()],
      ['a refusal that repeats the key', model.badRequest(`no such key: ${KEY}`)], ['a refusal cut off within the key', model.badRequest(`${'x'.repeat(280)}${KEY}`)]])
      test(`${what} is not tried again`, async () => {
        const x = await session();
        m.fallback = act;
        await x.say('go');
        await x.next((e) => e.type === 'session.status_terminated' || e.type === 'session.status_idle', 'an end');
        const err = (await x.list()).find((e) => e.type === 'session.error');
        assert(['terminal', 'exhausted'].includes(err.error.retry_status.type), err.error.retry_status.type);
        assert(!JSON.stringify(err).includes(KEY.slice(0, 16)), 'the key is not in the error');
        assert.equal(m.requests.length, 1);
        await x.close();
      });

    test('a redirect is not followed: the key goes nowhere else', async () => {
      const trap = await model.startMessagesApi();
      try {
        const x = await session();
        m.next(model.redirect(`${trap.url}/v1/messages`));
        await x.turn('go', null, ms(30000));
        assert.equal(trap.requests.length, 0);
        await x.close();
      } finally { await trap.stop(); }
    });

    test('an endless line and endless text are cut, memory stays bounded', async () => {
      const fs = await import('node:fs');
      const rss = () => Number(fs.readFileSync(`/proc/${s.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
      for (const kind of ['line', 'frames']) {
        const x = await session();
        m.next(model.huge(kind), model.good('ok'));
        await x.turn('go', null, ms(60000));
        await x.close();
      }
      if (!process.env.ASAN_OPTIONS) assert(rss() < 300 * 1024, `${rss()} KiB`);
    });
  });

  test('an interrupt cuts the request at the provider', async () => {
    for (const act of [model.never(), model.stall(), model.good('x'.repeat(500), { pieces: 250, delay: 40 })]) {
      const x = await session();
      m.reset();
      m.next(act);
      await x.say('go');
      await until('the provider was asked', () => m.requests.length === 1);
      await x.next('span.model_request_start');
      await x.send({ type: 'user.interrupt' });
      await x.idle('end_turn');
      await until('the connection to the provider is closed', () => m.requests[0].aborted);
      checkLog(await x.list());
      await x.close();
    }
  });

  test('thirty slow sessions do not hold up a quick one', async () => {
    const slow = await Promise.all(Array.from({ length: 30 }, session));
    m.fallback = model.never();
    await Promise.all(slow.map((x) => x.say('wait')));
    await until('all are asking', () => m.requests.length === 30);
    const x = await session();
    m.next(model.good('quick'));
    const t = Date.now();
    await x.turn('fast');
    assert(Date.now() - t < ms(15000));   // the slow ones never end
    await Promise.all(slow.map(async (y) => { await y.send({ type: 'user.interrupt' }); await y.idle('end_turn'); await y.close(); }));
    await x.close();
  });

  test('stop reasons: max_tokens ends the turn, a refusal says so', async () => {
    const x = await session();
    m.next(model.good('cut sho', { stop_reason: 'max_tokens' }));
    const log = await x.turn('go', null);
    assert(log.at(-1).stop_reason);
    m.next(model.good('', { stop_reason: 'refusal' }));
    await x.say('something bad');
    const idle = await x.idle();
    assert.equal(idle.stop_reason.type, 'refusal');
    assert.equal(idle.stop_details.type, 'refusal');
    await x.close();
  });

  test('a call for a tool that was never offered is answered with an error, the turn goes on', async () => {
    const x = await session();
    m.next(model.good([model.toolBlock('format_disk', { all: true })]), model.good('sorry'));
    const log = await x.turn('go');
    checkLog(log);
    assert.equal(text(log.filter((e) => e.type === 'agent.message').at(-1)), 'sorry');
    const back = m.requests[1].body.messages.at(-1).content.find((y) => y.type === 'tool_result');
    assert.equal(back.is_error, true);
    await x.close();
  });

  test('a crash in the middle of a model request costs that request only', async () => {
    const x = await session();
    m.next(model.stall(4), model.good('after the crash'));
    await x.say('go');
    await until('asked', () => m.requests.length === 1);
    await s.kill9();
    await s.reboot();
    await x.idle('end_turn', ms(30000));
    const log = await x.list();
    assert.equal(log.filter((e) => e.type === 'user.message').length, 1);
    assert.deepEqual(log.filter((e) => e.type === 'agent.message').map(text), ['after the crash']);
    assert.deepEqual(m.requests[1].body.messages, m.requests[0].body.messages);
    checkLog(log);
    await x.close();
  });
});

describe('which key is a model key', () => {
  test('a key of our own is never taken for a model key', async () => {
    const m = await model.startMessagesApi();
    const s = await startServer({ env: { ANTHROPIC_API_KEY: 'sk-sp-api-something', SALLYPORT_MODEL_BASE_URL: m.url } }).catch((e) => e);
    try {
      if (s instanceof Error) { assert.match(s.message, /ANTHROPIC_API_KEY|sk-sp/); return; }
      const { env } = await selfHosted(s);
      const a = await makeAgent(s);
      const x = await Session.create(s, { agent: a.id, environment_id: env.id });
      await x.turn('hello', null, ms(30000)).catch(() => {});
      assert.equal(m.requests.length, 0, 'nothing was sent with it');
      await x.close();
    } finally { await s.stop?.(); await m.stop(); }
  });

  test('no model at all: the session says how to get one', async () => {
    const s = await startServer();
    try {
      const { env } = await selfHosted(s);
      const a = await makeAgent(s);
      const x = await Session.create(s, { agent: a.id, environment_id: env.id });
      await x.say('hello');
      const e = await x.next('session.error');
      assert.match(e.error.message, /ANTHROPIC_API_KEY|--script/);
      await x.close();
    } finally { await s.stop(); }
  });
});
