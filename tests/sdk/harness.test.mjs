// The test doubles are themselves held to the official SDK: what our Messages API double streams, the
// SDK must read as the message we meant, and what it breaks must break there too.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { cut, errorFrame, good, malformed, overloaded, startMessagesApi, textBlock, thinkingBlock, toolBlock, tooMany } from '../lib/messages-api.mjs';
import { parseResponses } from '../lib/raw.mjs';
import { answers, checkLog } from '../lib/session.mjs';

describe('the Messages API double', () => {
  let m, c;
  before(async () => { m = await startMessagesApi(); c = new Anthropic({ apiKey: 'test', baseURL: m.url, maxRetries: 0 }); });
  after(() => m?.stop());
  const ask = () => c.messages.stream({ model: 'x', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }).finalMessage();

  test('text, thinking and tools come out whole, in pieces of any size', async () => {
    const blocks = [thinkingBlock('hm'), textBlock('hello \u{1f600} world'), toolBlock('bash', { command: 'echo "hi"' }), toolBlock('read', {})];
    for (const opts of [{ pieces: 1 }, { pieces: 7 }, { bytes: 1 }, { bytes: 13 }]) {
      m.next(good(blocks, opts));
      const r = await ask();
      assert.deepEqual(r.content.map((b) => b.type), ['thinking', 'text', 'tool_use', 'tool_use']);
      assert.equal(r.content[1].text, 'hello \u{1f600} world');
      assert.equal(r.content[0].signature, 'c2lnbmF0dXJl');
      assert.deepEqual(r.content[2].input, { command: 'echo "hi"' });
      assert.deepEqual(r.content[3].input, {});
      assert.equal(r.stop_reason, 'tool_use');
      assert.equal(r.usage.output_tokens, 7);
    }
    assert.equal(m.requests.at(-1).headers['x-api-key'] ?? m.requests.at(-1).headers.authorization, 'Bearer test');
  });

  test('what it breaks is broken for the SDK too', async () => {
    for (const b of [cut('hello', 4), cut('hello', 4, { clean: true }), errorFrame(), malformed('json'), malformed('order')]) { m.next(b); await assert.rejects(ask()); }
    m.next(overloaded()); await assert.rejects(ask(), (e) => e.status === 529);
    m.next(tooMany(3)); await assert.rejects(ask(), (e) => e.status === 429 && e.headers.get('retry-after') === '3');
  });
});

test('the response splitter', () => {
  const t = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\ntrailing';
  const r = parseResponses(t);
  assert.deepEqual(r.map((x) => x.status ?? x.garbage), [100, 200, 404, 'trailing']);
  assert.equal(r[2].body, 'abc');
});

test('the log checks notice what they are for', () => {
  const e = (n, more = {}) => ({ id: `sevt_01aaaaaaaaaa${n}`, type: 'x', processed_at: `2026-01-01T00:00:00.00000${n}Z`, ...more });
  checkLog([e(1), e(2)]);
  assert.throws(() => checkLog([e(2), e(1)]), /increasing/);
  assert.throws(() => checkLog([e(1), e(1)]), /twice/);
  assert.throws(() => checkLog([e(1, { type: 'span.model_request_start' })]), /ended/);
  assert.throws(() => answers([e(1, { type: 'user.tool_result', tool_use_id: 'sevt_q' })]), /answers a call/);
});
