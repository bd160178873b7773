// The order of events, exactly as api.md §6.3 has it: one test per kind of turn.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, selfHosted, startServer, TOOLSET } from '../lib/sallyport.mjs';
import { answers, checkLog, confirm, customResult, Session, text, toolResult, userMessage } from '../lib/session.mjs';
import { LOOKUP, RULES } from '../lib/fixture-rules.mjs';
import { refused } from '../lib/check.mjs';

const RUN = ['session.status_running', 'session.thread_status_running'];
const IDLE = ['session.thread_status_idle', 'session.usage', 'session.status_idle'];
const REQ = (...inside) => ['span.model_request_start', ...inside, 'span.model_request_end'];

const us = (t) => Math.floor(Date.parse(t.slice(0, 19) + 'Z') / 1000) * 1e6 + Number(t.slice(20, 26));

describe('order of events', () => {
  let s, env, agent, asking;
  before(async () => {
    s = await startServer({ rules: RULES });
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s, { name: 'Ada', tools: [TOOLSET, LOOKUP] });
    asking = await makeAgent(s, { name: 'Ada', tools: [{ ...TOOLSET, default_config: { permission_policy: { type: 'always_ask' } } }, LOOKUP] });
  });
  after(() => s?.stop());
  const session = (a = agent) => Session.create(s, { agent: a.id, environment_id: env.id });
  const types = (log) => log.map((e) => e.type);
  const consecutive = (...evs) => { for (let i = 1; i < evs.length; i++) assert.equal(us(evs[i].processed_at), us(evs[i - 1].processed_at) + 1, `${evs[i - 1].type} and ${evs[i].type} are one microsecond apart`); };

  test('a plain turn', async () => {
    const x = await session();
    const log = await x.turn('plain');
    checkLog(log);
    assert.deepEqual(types(log), [...RUN, 'user.message', ...REQ('agent.message'), ...IDLE]);
    const [run, trun, msg, start, say, end, tidle, usage, idle] = log;
    consecutive(run, trun);
    consecutive(tidle, usage, idle);
    assert.equal(trun.agent_name, 'Ada');
    assert.match(trun.session_thread_id, /^sthr_01/);
    assert.equal(tidle.session_thread_id, trun.session_thread_id);
    assert.deepEqual(tidle.stop_reason, { type: 'end_turn' });
    assert.equal(tidle.agent_name, 'Ada');
    assert.deepEqual(idle.stop_reason, { type: 'end_turn' });
    assert.equal(idle.stop_details, null);
    assert.equal(text(msg), 'plain');
    assert.equal(text(say), 'a plain answer');
    assert.equal(end.model_request_start_id, start.id);
    assert(end.is_error === false || end.is_error === null);
    for (const k of ['input_tokens', 'output_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens']) assert.equal(typeof end.model_usage[k], 'number', k);
    assert.equal(typeof usage.usage.input_tokens, 'number');
    assert.deepEqual(types(x.events), types(log), 'the stream showed the same order');
    await x.close();
  });

  test('usage of the session is the sum of its model requests', async () => {
    const x = await session();
    await x.turn('think');
    const log = await x.turn('plain');
    const sum = (k) => log.filter((e) => e.type === 'span.model_request_end').reduce((n, e) => n + e.model_usage[k], 0);
    const u = (await x.get()).usage;
    for (const k of ['input_tokens', 'output_tokens', 'cache_read_input_tokens']) assert.equal(u[k], sum(k), k);
    assert(u.output_tokens > 0, 'the script model reports usage');
    assert.equal(log.filter((e) => e.type === 'session.usage').at(-1).usage.output_tokens, u.output_tokens);
    await x.close();
  });

  test('thinking comes before what is said', async () => {
    const x = await session();
    const log = await x.turn('think');
    assert.deepEqual(types(log), [...RUN, 'user.message', ...REQ('agent.thinking', 'agent.message'), ...IDLE]);
    const t = log.find((e) => e.type === 'agent.thinking');
    assert.deepEqual(Object.keys(t).sort(), ['id', 'processed_at', 'type'], 'no content');
    await x.close();
  });

  test('a custom tool', async () => {
    const x = await session();
    await x.say('lookup');
    await x.idle('requires_action');
    let log = await x.list();
    assert.deepEqual(types(log), [...RUN, 'user.message', ...REQ('agent.message', 'agent.custom_tool_use'), ...IDLE]);
    const call = log.find((e) => e.type === 'agent.custom_tool_use');
    assert.equal(call.name, 'lookup');
    assert.deepEqual(call.input, { word: 'fiber' });
    assert.equal('evaluated_permission' in call, false);
    assert.deepEqual(log.at(-1).stop_reason, { type: 'requires_action', event_ids: [call.id] });
    assert.deepEqual(log.at(-3).stop_reason, { type: 'requires_action', event_ids: [call.id] });
    assert.equal((await x.get()).status, 'idle');
    const n = log.length;
    await x.send(customResult(call.id, 'a thread that waits its turn'));
    await x.idle('end_turn');
    log = await x.list();
    checkLog(log);
    assert.deepEqual(types(log.slice(n)), ['user.custom_tool_result', ...RUN, ...REQ('agent.message'), ...IDLE]);
    await x.close();
  });

  test('two custom tools: answering one re-emits the idle pair with what remains', async () => {
    const x = await session();
    await x.say('twice');
    await x.idle('requires_action');
    let log = await x.list();
    const calls = log.filter((e) => e.type === 'agent.custom_tool_use');
    assert.equal(calls.length, 2);
    assert.deepEqual(new Set(log.at(-1).stop_reason.event_ids), new Set(calls.map((e) => e.id)));
    let n = log.length;
    await x.send(customResult(calls[1].id, 'b'));
    const again = await x.idle('requires_action');
    assert.deepEqual(again.stop_reason.event_ids, [calls[0].id]);
    log = await x.list();
    assert.equal(log[n].type, 'user.custom_tool_result');
    assert(!types(log.slice(n)).includes('session.status_running'), 'not running again yet');
    n = log.length;
    await x.send(customResult(calls[0].id, 'a'));
    await x.idle('end_turn');
    log = await x.list();
    assert.deepEqual(types(log.slice(n)), ['user.custom_tool_result', ...RUN, ...REQ('agent.message'), ...IDLE]);
    for (const a of answers(log).values()) assert.equal(a.length, 1);
    await x.close();
  });

  test('both answers in one request', async () => {
    const x = await session();
    await x.say('twice');
    await x.idle('requires_action');
    const log = await x.list();
    const calls = log.filter((e) => e.type === 'agent.custom_tool_use');
    await x.send(customResult(calls[0].id, 'a'), customResult(calls[1].id, 'b'));
    await x.idle('end_turn');
    assert.deepEqual(types((await x.list()).slice(log.length)), ['user.custom_tool_result', 'user.custom_tool_result', ...RUN, ...REQ('agent.message'), ...IDLE]);
    await x.close();
  });

  test('a self-hosted tool, allowed: parks until the worker\'s result, which is the record', async () => {
    const x = await session();
    await x.say('shell');
    await x.idle('requires_action');
    let log = await x.list();
    assert.deepEqual(types(log), [...RUN, 'user.message', ...REQ('agent.tool_use'), ...IDLE]);
    const call = log.find((e) => e.type === 'agent.tool_use');
    assert.equal(call.name, 'bash');
    assert.deepEqual(call.input, { command: 'echo hi' });
    assert.equal(call.evaluated_permission, 'allow');
    assert.deepEqual(log.at(-1).stop_reason.event_ids, [call.id]);
    const n = log.length;
    await x.send(toolResult(call.id, 'hi'));
    await x.idle('end_turn');
    log = await x.list();
    checkLog(log);
    assert.deepEqual(types(log.slice(n)), ['user.tool_result', ...RUN, ...REQ('agent.message'), ...IDLE]);
    assert.equal(log.some((e) => e.type === 'agent.tool_result'), false, 'the server emits no agent.tool_result of its own');
    await x.close();
  });

  test('always_ask, allowed: the confirmation first, then the worker\'s result', async () => {
    const x = await session(asking);
    await x.say('shell');
    await x.idle('requires_action');
    let log = await x.list();
    const call = log.find((e) => e.type === 'agent.tool_use');
    assert.equal(call.evaluated_permission, 'ask');
    await refused(x.send(toolResult(call.id, 'too early')), 400);
    let n = log.length;
    const { data: [echo] } = await x.send(confirm(call.id, 'allow'));
    assert.equal(echo.type, 'user.tool_confirmation');
    assert.equal(echo.result, 'allow');
    assert.equal(echo.deny_message, null);
    await x.next('user.tool_confirmation');
    await x.send(toolResult(call.id, 'hi'));
    await x.idle('end_turn');
    log = await x.list();
    checkLog(log);
    const rest = types(log.slice(n)).filter((t) => !IDLE.includes(t) && !RUN.includes(t));
    assert.deepEqual(rest, ['user.tool_confirmation', 'user.tool_result', ...REQ('agent.message')]);
    assert.deepEqual(types(log.slice(-3)), IDLE);
    await x.close();
  });

  test('always_ask, denied: an error result with the reason, and the model goes on', async () => {
    const x = await session(asking);
    await x.say('stubborn');
    await x.idle('requires_action');
    const n = (await x.list()).length;
    const call = x.events.find((e) => e.type === 'agent.tool_use');
    await x.send(confirm(call.id, 'deny', 'not on my machine'));
    await x.idle('end_turn');
    const log = await x.list();
    checkLog(log);
    assert.deepEqual(types(log.slice(n)), ['user.tool_confirmation', ...RUN, 'agent.tool_result', ...REQ('agent.message'), ...IDLE]);
    const r = log.find((e) => e.type === 'agent.tool_result');
    assert.equal(r.tool_use_id, call.id);
    assert.equal(r.is_error, true);
    assert.equal(text(r), 'Permission to use bash has been rejected. Rejection message: not on my machine');
    assert.equal(text(log.filter((e) => e.type === 'agent.message').at(-1)), 'understood', 'the model saw the refusal');
    // A late second verdict has no effect.
    await x.send(confirm(call.id, 'allow')).catch((e) => assert.equal(e.status, 400));
    assert.equal(answers(await x.list()).get(call.id).length, 1);
    await x.close();
  });

  test('two calls, one allowed and one denied', async () => {
    const x = await session(asking);
    await x.say('two shells');
    await x.idle('requires_action');
    const calls = x.events.filter((e) => e.type === 'agent.tool_use');
    assert.equal(calls.length, 2);
    await x.send(confirm(calls[0].id, 'deny'), confirm(calls[1].id, 'allow'));
    await x.next((e) => e.type === 'user.tool_confirmation' && e.tool_use_id === calls[1].id);
    await x.send(toolResult(calls[1].id, 'two'));
    await x.idle('end_turn');
    const log = await x.list();
    checkLog(log);
    const a = answers(log);
    assert.deepEqual(a.get(calls[0].id).map((e) => [e.type, e.is_error]), [['agent.tool_result', true]]);
    assert.deepEqual(a.get(calls[1].id).map((e) => e.type), ['user.tool_result']);
    await x.close();
  });

  describe('interrupt', () => {
    test('of a running model request: the span ends, the turn ends, late text never arrives', async () => {
      const x = await session();
      await x.say('slow');
      await x.next('span.model_request_start');
      const t = Date.now();
      await x.send({ type: 'user.interrupt' });
      await x.idle('end_turn');
      assert(Date.now() - t < 15000, 'the model request was cut, not waited for');
      const log = await x.list();
      checkLog(log);
      const rest = types(log.slice(4));
      assert(rest.includes('user.interrupt'));
      assert.deepEqual(rest.filter((y) => y !== 'user.interrupt'), ['span.model_request_end', ...IDLE]);
      assert(!JSON.stringify(log).includes('too late'));
      const next = await x.turn('plain');
      assert.equal(text(next.filter((e) => e.type === 'agent.message').at(-1)), 'a plain answer', 'the session goes on');
      await x.close();
    });

    test('in the middle of a text: what was said so far ends cleanly', async () => {
      const x = await session();
      const stream = await s.client().beta.sessions.events.stream(x.id, { event_deltas: ['agent.message'] });
      await x.say('drip');
      for await (const e of stream) if (e.type === 'event_delta') break;
      await x.send({ type: 'user.interrupt' });
      await x.idle('end_turn');
      checkLog(await x.list());
      await x.turn('plain');
      await x.close();
    });

    test('while a tool call waits: it gets an error result, the turn ends', async () => {
      const x = await session();
      await x.say('shell');
      await x.idle('requires_action');
      const call = x.events.find((e) => e.type === 'agent.tool_use');
      await x.send({ type: 'user.interrupt' });
      await x.idle('end_turn');
      const log = await x.list();
      checkLog(log);
      const r = answers(log).get(call.id);
      assert.equal(r.length, 1);
      assert.equal(r[0].is_error, true);
      assert.equal(text(r[0]), 'Tool execution was interrupted before completion. Please retry.');
      assert.equal(log.filter((e) => e.type === 'span.model_request_start').length, 1, 'no model request for the interrupt');
      await refused(x.send(toolResult(call.id, 'late')), 400);
      const again = await x.turn('plain');
      assert.equal(text(again.filter((e) => e.type === 'agent.message').at(-1)), 'a plain answer');
      await x.close();
    });

    test('of an idle session does no harm', async () => {
      const x = await session();
      await x.turn('plain');
      await x.send({ type: 'user.interrupt' });
      const log = await x.turn('plain');
      checkLog(log);
      assert.equal(log.filter((e) => e.type === 'agent.message').length, 2);
      await x.close();
    });
  });

  test('a message during a turn is steered into it: after the tool result, before the next request, one idle', async () => {
    const x = await session();
    await x.say('pieces');
    await x.next('span.model_request_start');
    const { data: [echo] } = await x.say('plain');
    assert.equal(echo.processed_at, null);
    await x.idle('end_turn');
    const log = await x.list();
    checkLog(log);
    const i = log.findIndex((e) => e.id === echo.id);
    assert(i > 0, 'delivered');
    assert.equal(log[i - 1].type, 'span.model_request_end', 'placed at delivery, not at arrival');
    assert.equal(log[i + 1].type, 'span.model_request_start');
    assert.equal(log.filter((e) => e.type === 'session.status_running').length, 1, 'still one running/idle pair');
    assert.equal(log.filter((e) => e.type === 'session.status_idle').length, 1);
    await x.close();
  });

  test('an unmatched request says that no rule matched', async () => {
    const s2 = await startServer({ rules: [{ when: { user: 'only this' }, do: [{ say: 'yes' }] }] });
    try {
      const { env: e2 } = await selfHosted(s2);
      const a2 = await makeAgent(s2);
      const x = await Session.create(s2, { agent: a2.id, environment_id: e2.id });
      const log = await x.turn('something else');
      assert.match(text(log.find((e) => e.type === 'agent.message')), /no rule|matched/i);
      await x.close();
    } finally { await s2.stop(); }
  });
});
