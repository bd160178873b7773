// What a session does with answers of the Messages API that are of no use as they are: cut off,
// unreadable, refused, empty, too long, of kinds that nobody asked for. docs/internals/turn.md names
// these tests.
import { after, before, beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, selfHosted, startServer, TOOLSET } from '../lib/sallyport.mjs';
import { brief, checkLog, customResult, Session, text } from '../lib/session.mjs';
import { LOOKUP } from '../lib/fixture-rules.mjs';
import * as model from '../lib/messages-api.mjs';
import { BIN, ms, run } from '../lib/own.mjs';

const KEY = 'sk-ant-test-0123456789abcdef0123456789';

describe('odd answers', () => {
  let m, s, env, agent;
  before(async () => {
    m = await model.startMessagesApi();
    s = await startServer({ env: { ANTHROPIC_API_KEY: KEY, SALLYPORT_MODEL_BASE_URL: m.url } });
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s, { model: 'claude-mock-1', system: 'You are a test.', tools: [TOOLSET, LOOKUP] });
  });
  beforeEach(() => m.reset());
  after(async () => { await s?.stop(); await m?.stop(); });
  const session = (id = agent.id) => Session.create(s, { agent: id, environment_id: env.id });
  const types = (log) => log.map((e) => e.type);
  const errors = (log) => log.filter((e) => e.type === 'session.error').map((e) => e.error);
  const says = (log) => log.filter((e) => e.type === 'agent.message').map(text);
  const sent = (i) => m.requests[i].body.messages;
  const image = (data = 'QUJD') => ({ type: 'image', source: { type: 'base64', media_type: 'image/png', data } });
  /** What every request must hold, whatever was answered before: else the provider refuses it. */
  const valid = () => m.requests.forEach(({ body }, i) => {
    const q = body.messages;
    assert.equal(q[0].role, 'user', `request ${i}`);
    assert.equal(q.at(-1).role, 'user', `request ${i} ends with the user`);
    q.forEach((x, k) => {
      assert(k === 0 || x.role !== q[k - 1].role, `request ${i}: roles alternate`);
      assert(x.content.length > 0, `request ${i}: no empty message`);
      for (const b of x.content) {
        assert(b.type !== 'text' || b.text.trim(), `request ${i}: no empty text`);
        assert(b.type !== 'thinking' || b.signature, `request ${i}: thinking is signed`);
        assert(!Object.keys(b).some((key) => key.startsWith('_')), `request ${i}: nothing of ours`);
      }
      const calls = x.content.filter((b) => b.type === 'tool_use').map((b) => b.id);
      if (calls.length) assert.deepEqual(q[k + 1].content.filter((b) => b.type === 'tool_result').map((b) => b.tool_use_id), calls, `request ${i}: each call has its result`);
    });
  });
  const done = async (x) => { const log = await x.list(); checkLog(log); valid(); assert.notEqual((await x.get()).status, 'terminated'); await x.close(); return log; };

  describe('stop reasons', () => {
    test('stop_sequence and a reason of tomorrow end the turn', async () => {
      const x = await session();
      for (const stop_reason of ['stop_sequence', 'a_reason_of_tomorrow_with_a_long_name']) {
        m.next(model.good('so far', { stop_reason }));
        await x.turn('go', 'end_turn');
      }
      await done(x);
    });

    test('max_tokens in a tool call: not run, the model is told and asked again', async () => {
      const x = await session();
      m.next(model.good([model.textBlock('I write'), model.rawToolBlock('write', '{"file_path": "a", "content": "half of')], { stop_reason: 'max_tokens' }), model.good('in two steps then'));
      await x.turn('go', 'end_turn');
      const log = await done(x);
      const call = log.find((e) => e.type === 'agent.tool_use');
      assert.equal(call.evaluated_permission, 'deny');
      assert.deepEqual(call.input, {});
      assert.match(text(log.find((e) => e.type === 'agent.tool_result')), /not run.*length limit/);
      assert.deepEqual(errors(log), []);
      assert.match(JSON.stringify(sent(1).at(-1)), /length limit/);
    });

    test('max_tokens in the second of two calls: the first is run', async () => {
      const x = await session();
      m.next(model.good([model.toolBlock('lookup', { word: 'x' }), model.rawToolBlock('write', '')], { stop_reason: 'max_tokens' }), model.good('ok'));
      await x.say('go');
      const call = await x.next('agent.custom_tool_use');
      const idle = await x.idle('requires_action');
      assert.deepEqual(idle.stop_reason.event_ids, [call.id]);
      await x.send(customResult(call.id, 'w'));
      await x.idle('end_turn');
      await done(x);
    });

    test('five cut calls in a row: tool_use_limit_reached_error, and the session goes on', async () => {
      const x = await session();
      m.fallback = model.good([model.rawToolBlock('write', '{"content": "')], { stop_reason: 'max_tokens' });
      await x.turn('go', 'retries_exhausted');
      assert.equal(m.requests.length, 5);
      m.reset();
      await x.turn('and now?', 'end_turn');
      const log = await done(x);
      assert.deepEqual(errors(log).map((e) => [e.type, e.retry_status.type]), [['tool_use_limit_reached_error', 'exhausted']]);
    });

    test('max_tokens before a word was said: an error in words, asked once', async () => {
      const x = await session();
      m.next(model.good([model.thinkingBlock('for ever')], { stop_reason: 'max_tokens' }));
      await x.turn('go', 'retries_exhausted');
      const log = await done(x);
      assert.match(errors(log)[0].message, /length limit/);
      assert.equal(m.requests.length, 1);
    });

    test('pause_turn with content goes on, asked to, at most ten times', async () => {
      const x = await session();
      m.next(model.good('wait', { stop_reason: 'pause_turn' }), model.good('here'));
      await x.turn('go', 'end_turn');
      assert.deepEqual(sent(1).map((y) => y.role), ['user', 'assistant', 'user']);
      m.reset();
      m.fallback = model.good('wait', { stop_reason: 'pause_turn' });
      await x.turn('go', 'retries_exhausted');
      assert.equal(m.requests.length, 10);
      await done(x);
    });

    test('answers of nothing wait between tries, and end', async () => {
      for (const stop_reason of ['pause_turn', 'tool_use', 'compaction']) {
        const x = await session();
        m.reset();
        m.next(model.good([], { stop_reason }), model.good(' \n', { stop_reason }), model.good('at last'));
        await x.turn('go', 'end_turn', ms(30000));
        assert.equal(m.requests.length, 3);
        assert(m.requests[2].at - m.requests[0].at > 900, 'it waited, and longer the second time');
        const log = await done(x);
        assert.deepEqual(errors(log).map((e) => e.retry_status.type), ['retrying', 'retrying'], stop_reason);
      }
    });

    test('an empty end_turn ends the turn', async () => {
      const x = await session();
      m.next(model.good([], { stop_reason: 'end_turn' }));
      await x.turn('go', 'end_turn');
      assert.equal(m.requests.length, 1);
      await done(x);
    });

    test('a refusal: its details are kept, its calls are not run', async () => {
      const x = await session();
      for (const details of [{ type: 'refusal', category: 'cyber', explanation: 'it looked like malware' }, { type: 'refusal', category: null, explanation: null }]) {
        m.next(model.good([model.textBlock('well'), model.toolBlock('lookup', { word: 'x' })], { stop_reason: 'refusal', stop_details: details }));
        await x.say('go');
        const idle = await x.idle('refusal');
        assert.deepEqual(idle.stop_details, details);
      }
      m.next(model.good('', { stop_reason: 'refusal' }));
      await x.say('go');
      assert.deepEqual((await x.idle('refusal')).stop_details, { type: 'refusal', category: null, explanation: null });
      const log = await done(x);
      assert.equal(log.filter((e) => e.type === 'session.thread_status_idle')[0].stop_details.category, 'cyber');
      assert.equal(types(log).includes('agent.custom_tool_use'), false);
      assert.equal(log.filter((e) => e.type === 'agent.tool_result').length, 2);
    });

    test('model_context_window_exceeded: what was said stays, the conversation is compacted', async () => {
      const x = await session();
      await x.turn(`a long question ${'x'.repeat(4000)}`);
      m.next(model.good('cut', { stop_reason: 'model_context_window_exceeded' }));
      await x.turn('go', 'end_turn');
      await x.turn('more', 'end_turn');
      assert(!JSON.stringify(sent(2)).includes('x'.repeat(1000)));
      const log = await done(x);
      assert.equal(log.filter((e) => e.type === 'agent.thread_context_compacted').length, 1);
      assert(says(log).includes('cut'));
    });
  });

  describe('blocks', () => {
    for (const [what, input] of [['NUL', '{"command": "a\\u0000b"}'], ['half a surrogate pair', '{"command": "\\ud83d"}'], ['a key twice', '{"command": "a", "command": "b"}'],
      ['65 levels', `{"command": ${'['.repeat(65)}${']'.repeat(65)}}`], ['a NUL as it is', '{"command": "a\0b"}'], ['half a pair as it is', '{"command": "\ud83d"}'], ['broken JSON', '{"command": "echo'], ['an array', '[1]'], ['a text', '"ls"'], ['null', 'null']])
      test(`a tool input with ${what}: that call gets an error result, the rest stands, asked once`, async () => {
        const x = await session();
        m.next(model.good([model.textBlock('both'), model.rawToolBlock('bash', input), model.toolBlock('lookup', { word: 'x' })]), model.good('ok'));
        await x.say('go');
        const good = await x.next('agent.custom_tool_use');
        await x.idle('requires_action');
        await x.send(customResult(good.id, 'w'));
        await x.idle('end_turn');
        const log = await done(x);
        assert.equal(m.requests.length, 2);
        assert.deepEqual(errors(log), [], 'nobody is blamed');
        const bad = log.find((e) => e.type === 'agent.tool_use');
        assert.deepEqual([bad.name, bad.input, bad.evaluated_permission], ['bash', {}, 'deny']);
        const back = sent(1).at(-1).content.filter((b) => b.type === 'tool_result');
        assert.equal(back[0].is_error, true);
        assert.match(JSON.stringify(back[0].content), /cannot be read as JSON/);
        assert.match(JSON.stringify(back[1].content), /w/);
      });

    test('a call without a name is answered', async () => {
      const x = await session();
      m.next(model.good([model.toolBlock('', {})]), model.good('ok'));
      await x.turn('go', 'end_turn');
      assert.equal(sent(1)[1].content[0].name, 'unknown_tool');
      await done(x);
    });

    test('NUL and half a surrogate pair in a text become U+FFFD', async () => {
      const x = await session();
      m.next(model.good([model.textBlock('a\0b'), model.textBlock('\ud83d.')], { pieces: 1 }));
      await x.turn('go', 'end_turn');
      const log = await done(x);
      assert.deepEqual(says(log), ['a\ufffdb', '\ufffd.']);
      assert.equal(m.requests.length, 1);
    });

    test('bytes that are not UTF-8: U+FFFD in a text, a fault of its call in an input, asked once', async () => {
      const x = await session();
      m.next(model.replaced([model.textBlock('a\u20acb'), model.toolBlock('bash', { command: 'echo \u20ac' })], '\u20ac', [0xe2, 0x82]), model.good('ok'));
      await x.turn('go', 'end_turn');
      const log = await done(x);
      assert.deepEqual(says(log), ['a\ufffd\ufffdb', 'ok']);
      assert.deepEqual(log.filter((e) => e.type === 'agent.tool_use').map((e) => [e.input, e.evaluated_permission]), [[{}, 'deny']]);
      assert.match(JSON.stringify(sent(1).at(-1)), /not UTF-8/);
      assert.deepEqual(errors(log), [], 'nobody is blamed');
      assert.equal(m.requests.length, 2);
    });

    test('thinking without signature is shown and not sent back; redacted thinking is', async () => {
      const x = await session();
      m.next(model.good([model.thinkingBlock('unsigned', ''), model.textBlock('a')]));
      await x.turn('go');
      m.next(model.good([model.thinkingBlock('signed', 'c2ln'), { type: 'redacted_thinking', data: 'ZGF0YQ' }, model.textBlock('b')]));
      await x.turn('go');
      await x.turn('go');
      const back = sent(2).flatMap((y) => y.content).filter((b) => /thinking/.test(b.type));
      assert.deepEqual(back, [{ type: 'thinking', thinking: 'signed', signature: 'c2ln' }, { type: 'redacted_thinking', data: 'ZGF0YQ' }]);
      const log = await done(x);
      assert.equal(log.filter((e) => e.type === 'agent.thinking').length, 3);
    });

    const NOBODY_ASKED = ['server_tool_use', 'web_search_tool_result', 'web_fetch_tool_result', 'code_execution_tool_result', 'bash_code_execution_tool_result',
      'text_editor_code_execution_tool_result', 'tool_search_tool_result', 'advisor_tool_result', 'mcp_tool_use', 'mcp_tool_result', 'mcp_tool_listing', 'container_upload', 'compaction', 'fallback', 'block_of_tomorrow'];
    test('blocks that nobody asked for are passed over, the others stand', async () => {
      const x = await session();
      m.next(model.good([...NOBODY_ASKED.map((type) => ({ type, id: 'x', name: 'x', input: {}, content: [], tool_use_id: 'x', deltas: [{ type: 'input_json_delta', partial_json: '{' }, { type: 'compaction_delta', content: 'c' }] })), model.textBlock('said')]));
      await x.turn('go', 'end_turn');
      await x.turn('go', 'end_turn');
      const log = await done(x);
      assert.deepEqual(says(log)[0], 'said');
      assert.deepEqual(sent(1)[1].content, [{ type: 'text', text: 'said' }]);
    });

    test('deltas that nobody asked for are passed over', async () => {
      const x = await session();
      m.next(async (res) => {
        const all = model.frames([model.textBlock('said')]);
        all.splice(3, 0, ['content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'citations_delta', citation: { type: 'page_location' } } }],
          ['content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'delta_of_tomorrow', x: 1 } }], ['event_of_tomorrow', { type: 'event_of_tomorrow' }]);
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.end(all.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join(''));
      });
      await x.turn('go', 'end_turn');
      assert.deepEqual(says(await done(x)), ['said']);
    });
  });

  describe('requests that are refused', () => {
    test('prompt is too long: the oldest turns are left out, the log keeps them', async () => {
      const x = await session();
      for (let i = 0; i < 4; i++) { m.next(model.good(`answer ${i} ${'a'.repeat(3000)}`)); await x.turn(`question ${i} ${'q'.repeat(3000)}`); }
      m.reset();
      m.next(model.badRequest('prompt is too long: 210000 tokens > 200000 maximum'), model.good('still here'));
      await x.turn('the last question', 'end_turn');
      assert(JSON.stringify(sent(1)).length < 0.8 * JSON.stringify(sent(0)).length);
      assert.match(JSON.stringify(sent(1)), /left out.*User: question 0/);
      assert.match(sent(1).at(-1).content.at(-1).text, /the last question/);
      const log = await done(x);
      assert.deepEqual(errors(log), []);
      assert.equal(log.filter((e) => e.type === 'agent.thread_context_compacted').length, 1);
      assert.match(JSON.stringify(log), /question 0 q/);
    });

    test('compaction lasts: a restart of the server builds the same request', async () => {
      const x = await session();
      for (let i = 0; i < 3; i++) await x.turn(`question ${i} ${'q'.repeat(2000)}`);
      m.next(model.badRequest('prompt is too long'));
      await x.turn('then', 'end_turn');
      m.reset();
      await x.turn('more', 'end_turn');
      const before = sent(0);
      await s.kill9();
      await s.reboot();
      m.reset();
      await x.turn('again', 'end_turn', ms(30000));
      assert.deepEqual(sent(0).slice(0, before.length - 1), before.slice(0, -1));
      await done(x);
    });

    for (const [what, act] of [['413 of the API', model.fail(413, 'request_too_large')], ['413 of a proxy, in HTML', model.page(413, 'text/html', '<html>413</html>')], ['too long for its model', model.badRequest('Input is too long for requested model.')]])
      test(`${what}: compaction, and when nothing can be left out the session rests and goes on`, async () => {
        const x = await session();
        m.fallback = act;
        await x.turn('a first, very long question, very long question, very long question', 'retries_exhausted');
        m.reset();
        m.next(act);
        await x.turn('short', 'end_turn');
        assert(!JSON.stringify(sent(1).at(-1).content.at(-1)).includes('very long'));
        const log = await done(x);
        assert.deepEqual(errors(log).map((e) => [e.type, e.retry_status.type]), [['compaction_limit_reached_error', 'exhausted']]);
      });

    for (const [what, message] of [['NUL in it', 'prompt is too long: 3000 tokens > 2000 maximum\0'], ['a megabyte of conversation in it', `prompt is too long: 3000 tokens > 2000 maximum ${'"\u00e4'.repeat(300000)}`]])
      test(`prompt is too long, an error body with ${what}: compaction`, async () => {
        const x = await session();
        for (let i = 0; i < 3; i++) await x.turn(`question ${i} ${'q'.repeat(1000)}`);
        m.next(model.badRequest(message));
        await x.turn('more', 'end_turn');
        const log = await done(x);
        assert.deepEqual(errors(log), []);
        assert(log.some((e) => e.type === 'agent.thread_context_compacted'));
      });

    for (const [what, message] of [['named by its place', 'messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes'], ['not named', 'Could not process image']])
      test(`an image that the provider refuses (${what}) is replaced by a sentence, for good`, async () => {
        const x = await session();
        m.next(model.badRequest(message), model.good('I could not see it'));
        await x.send({ type: 'user.message', content: [{ type: 'text', text: 'look' }, image()] });
        await x.idle('end_turn');
        assert.match(JSON.stringify(sent(1)), /An image stood here/);
        assert(!JSON.stringify(sent(1)).includes('QUJD'));
        await x.turn('and now?', 'end_turn');
        assert(!JSON.stringify(sent(2)).includes('QUJD'));
        const log = await done(x);
        assert.deepEqual(errors(log).map((e) => e.retry_status.type), ['retrying']);
        assert(errors(log)[0].message.includes(message.slice(0, 40)), 'the user is told what was wrong');
        assert(JSON.stringify(log).includes('QUJD'), 'the log keeps it');
      });

    test('a good image beside a refused one stays; one in a tool result is found, too', async () => {
      const x = await session();
      m.next(model.good([model.toolBlock('lookup', { word: 'x' })]));
      await x.send({ type: 'user.message', content: [{ type: 'text', text: 'look' }, image('R09PRA==')] });
      const call = await x.next('agent.custom_tool_use');
      await x.idle('requires_action');
      m.next(model.badRequest('messages.2.content.0.tool_result.content.1.image.source: bad'), model.good('ok'));
      await x.send({ type: 'user.custom_tool_result', custom_tool_use_id: call.id, content: [{ type: 'text', text: 'w' }, image('QkFE')] });
      await x.idle('end_turn');
      const q = JSON.stringify(sent(2));
      assert(q.includes('R09PRA==') && !q.includes('QkFE'));
      assert.match(JSON.stringify(sent(2)[2].content[0].content), /"w".*An image stood here/);
      await done(x);
    });

    test('thinking that the provider does not know any more is left out', async () => {
      const x = await session();
      m.next(model.good([model.thinkingBlock('hm'), model.textBlock('a')]));
      await x.turn('go');
      m.next(model.badRequest('messages.1.content.0: Invalid `signature` in `thinking` block'));
      await x.turn('go', 'end_turn');
      assert(!JSON.stringify(sent(2)).includes('"thinking"'));
      await done(x);
    });

    for (const [what, act] of [['an unknown model', model.fail(404, 'not_found_error', { message: 'model: claude-mock-1' })], ['any other 400', model.badRequest('tools.0.custom.input_schema: no')],
      ['a bad request of a kind of tomorrow', model.fail(422, 'unprocessable_error')], ['402', model.fail(402, 'billing_error')], ['403', model.fail(403, 'permission_error')],
      ['a 404 that is not the API\'s own', model.page(404, 'text/html', '<html>nginx</html>')]])
      test(`${what}: an error in words, asked once, and the next message goes on`, async () => {
        const x = await session();
        m.next(act);
        await x.turn('go', 'retries_exhausted');
        assert.equal(m.requests.length, 1);
        await x.turn('go', 'end_turn');
        assert.match(JSON.stringify(sent(1)[0]), /go.*go/);
        const log = await done(x);
        assert.deepEqual(errors(log).map((e) => e.retry_status.type), ['exhausted']);
        assert(errors(log)[0].message.length > 30);
      });

    for (const [what, act] of [['408', model.fail(408, 'timeout_error')], ['409', model.fail(409, 'conflict_error')], ['504', model.fail(504, 'timeout_error')], ['502 of a proxy, in HTML', model.page(502, 'text/html', '<html>bad gateway</html>')],
      ['200 with JSON instead of a stream', model.page(200, 'application/json', '{"type":"message"}')], ['an encoding that nobody knows', model.encoded([model.textBlock('x')], 'x-secret')],
      ['gzip that is none', model.page(200, 'text/event-stream', 'not gzip', { 'content-encoding': 'gzip' })], ['a stream error of a kind of tomorrow', model.errorFrame('error_of_tomorrow')], ['204', model.page(204, 'text/plain', '')]])
      test(`${what}: tried again`, async () => {
        const x = await session();
        m.next(act);
        await x.turn('go', 'end_turn', ms(30000));
        const log = await done(x);
        assert.deepEqual(errors(log).map((e) => e.retry_status.type), ['retrying'], log.map(brief).join('\n'));
        assert.equal(m.requests.length, 2);
        assert.doesNotMatch(errors(log)[0].message, /redirect/);
      });

    test('a stream error that says too long is a compaction, too', async () => {
      const x = await session();
      for (let i = 0; i < 3; i++) await x.turn(`question ${i} ${'q'.repeat(1000)}`);
      m.next(async (res) => { res.writeHead(200, { 'content-type': 'text/event-stream' }); res.end('event: error\ndata: {"type":"error","error":{"type":"request_too_large","message":"too large"}}\n\n'); });
      await x.turn('more', 'end_turn');
      assert((await done(x)).some((e) => e.type === 'agent.thread_context_compacted'));
    });
  });

  test('the command line shows a refusal\'s details and a compaction', async () => {
    const x = await session();
    await x.turn(`a long question ${'x'.repeat(4000)}`);
    m.next(model.badRequest('prompt is too long'), model.good('no', { stop_reason: 'refusal', stop_details: { type: 'refusal', category: 'bio', explanation: 'not \u001b[31mthat' } }));
    await x.turn('go', 'refusal');
    const r = await run(BIN, ['session', 'tail', x.id], { env: { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey }, timeout: ms(20000) });
    assert.match(r.out, /\(the oldest part of the conversation was left out: it was too long\)\n[^]*\n {2}\| not [^\u001b]*that\n-- idle: refusal \(bio\)\n$/);
    await done(x);
  });

  test('unasked gzip, deflate, br and zstd are undone; none is asked for', async () => {
    for (const encoding of ['gzip', 'deflate', 'br', 'zstd', 'identity']) {
      const x = await session();
      m.reset();
      m.next(model.encoded([model.textBlock(`said in ${encoding}`)], encoding));
      await x.turn('go', 'end_turn');
      assert.deepEqual(says(await done(x)), [`said in ${encoding}`]);
      assert.equal(m.requests.length, 1);
      assert.equal(m.requests[0].headers['accept-encoding'], 'identity');
    }
  });

  test('a small answer that unpacks to a huge one is cut', async () => {
    const x = await session();
    m.next(async (res) => {
      const { gzipSync } = await import('node:zlib');
      const all = model.frames([model.textBlock('')]).slice(0, 3).map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join('');
      const more = `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(1 << 20) } })}\n\n`;
      res.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
      res.end(gzipSync(Buffer.from(all + more.repeat(64))));
    });
    await x.turn('go', 'end_turn', ms(30000));
    assert.equal(errors(await done(x)).length, 1);
  });

  describe('what is asked for', () => {
    const bodyOf = async (modelConfig) => {
      const a = await makeAgent(s, { model: modelConfig });
      const x = await session(a.id);
      await x.turn('go', 'end_turn');
      await x.close();
      return m.requests.at(-1);
    };
    test('speed and effort are sent; standard speed and no effort are not', async () => {
      const fast = await bodyOf({ id: 'claude-mock-1', speed: 'fast', effort: 'high' });
      assert.equal(fast.body.speed, 'fast');
      assert.deepEqual(fast.body.output_config, { effort: 'high' });
      assert.equal(fast.headers['anthropic-beta'], 'fast-mode-2026-02-01');
      const plain = await bodyOf({ id: 'claude-mock-1', speed: 'standard' });
      assert(!('speed' in plain.body) && !('output_config' in plain.body));
      assert.equal(plain.headers['anthropic-beta'], undefined);
    });

    test('what cannot be sent is refused when the agent is made', async () => {
      for (const more of [{ thinking: { type: 'enabled', budget_tokens: 1024 } }, { inference_geo: 'eu' }, { max_tokens: 5 }, { temperature: 1 }]) {
        const r = await s.api('POST', '/v1/agents', { name: 'x', model: { id: 'claude-mock-1', ...more } });
        assert.equal(r.status, 400, r.text);
        assert.match(r.body.error.message, new RegExp(Object.keys(more)[0]));
      }
    });

    test('the speed of an answer is in its usage', async () => {
      const x = await session();
      m.next(model.good('x', { usage: { speed: 'fast' } }));
      await x.turn('go');
      m.next(model.good('x'));
      await x.turn('go');
      assert.deepEqual((await done(x)).filter((e) => e.type === 'span.model_request_end').map((e) => e.model_usage.speed), ['fast', null]);
    });

    test('max_tokens fits the model: the ceiling its provider names is used from then on', async () => {
      const id = 'claude-small-1';
      m.next(model.badRequest(`max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for ${id}`));
      await bodyOf(id);
      assert.deepEqual(m.requests.map((q) => q.body.max_tokens), [64000, 8192]);
      await bodyOf(id);
      assert.equal(m.requests.at(-1).body.max_tokens, 8192);
      await bodyOf('claude-mock-1');
      assert.equal(m.requests.at(-1).body.max_tokens, 64000);
    });

    test('a prompt that leaves less room is asked for a shorter answer, once', async () => {
      m.next(model.badRequest('input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease input length or `max_tokens` and try again'));
      await bodyOf('claude-mock-1');
      await bodyOf('claude-mock-1');
      assert.deepEqual(m.requests.map((q) => q.body.max_tokens), [64000, 9936, 64000]);
    });

    test('a provider that never takes max_tokens is not asked for ever', async () => {
      const a = await makeAgent(s, { model: 'claude-never-1' });
      const x = await session(a.id);
      let most = 60000;
      m.fallback = async (res) => { const n = most; most -= 1; await model.badRequest(`max_tokens: ${n + 1} > ${n}, which is the maximum allowed number`)(res); };
      await x.turn('go', 'retries_exhausted');
      assert(m.requests.length <= 3, `${m.requests.length}`);
      await done(x);
    });
  });
});

test('SALLYPORT_MODEL_MAX_TOKENS bounds an answer; what is no number is refused', async () => {
  const m = await model.startMessagesApi();
  const start = (value) => startServer({ env: { ANTHROPIC_API_KEY: KEY, SALLYPORT_MODEL_BASE_URL: m.url, SALLYPORT_MODEL_MAX_TOKENS: value } });
  const s = await start('1234');
  try {
    const { env } = await selfHosted(s);
    const a = await makeAgent(s, { model: 'claude-mock-1' });
    const x = await Session.create(s, { agent: a.id, environment_id: env.id });
    await x.turn('go', 'end_turn');
    assert.equal(m.requests[0].body.max_tokens, 1234);
    await x.close();
    for (const value of ['0', '-1', 'many', '1e3', '99999999999']) await assert.rejects(start(value), /SALLYPORT_MODEL_MAX_TOKENS must be a number from 1 to 1000000/);
  } finally { await s.stop(); await m.stop(); }
});
