// Custom tools that our worker serves by a command in the sandbox (sallyport worker --tool NAME=COMMAND).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, on, say, selfHosted, startServer, startWorker, tool, TOOLSET } from '../lib/sallyport.mjs';
import { checkLog, Session, text } from '../lib/session.mjs';
import { ms, run, BIN } from '../lib/own.mjs';

const AWKWARD = 'it\'s "quoted" $HOME `id`\nSALLYPORT_INPUT\n\\ end';
const custom = (name) => ({ type: 'custom', name, description: 'A tool of the test.', input_schema: { type: 'object', properties: { word: { type: 'string' } } } });
const RULES = [
  on('upper', { last: 'user' }, tool('upper', { word: AWKWARD })),
  on('fails', { last: 'user' }, tool('fails', {})),
  on('', { last: 'tool_result' }, say('done')),
];

describe('custom tools of the worker', () => {
  let s, p, w, agent;
  before(async () => {
    s = await startServer({ rules: RULES });
    p = await selfHosted(s);
    agent = await makeAgent(s, { tools: [TOOLSET, custom('upper'), custom('fails')] });
    w = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: [
      '--tool', 'upper=python3 -c \'import json,sys; print(json.load(sys.stdin)["word"].upper())\'', '--tool', 'fails=echo no good; exit 3'] });
  });
  after(async () => { await w?.stop(); await s?.stop(); });
  const session = () => Session.create(s, { agent: agent.id, environment_id: p.env.id });

  test('input arrives as JSON, whatever is in it; the output is the result', async () => {
    const x = await session();
    const log = await x.turn('upper', 'end_turn', ms(20000));
    checkLog(log);
    const use = log.find((e) => e.type === 'agent.custom_tool_use');
    const result = log.filter((e) => e.type === 'user.custom_tool_result');
    assert.equal(result.length, 1);
    assert.equal(result[0].custom_tool_use_id, use.id);
    assert.equal(text(result[0]).trimEnd(), AWKWARD.toUpperCase());
    assert(!result[0].is_error);
    await x.close();
  });

  test('a non-zero exit status is an error with what was printed', async () => {
    const x = await session();
    const log = await x.turn('fails', 'end_turn', ms(20000));
    const result = log.find((e) => e.type === 'user.custom_tool_result');
    assert.equal(result.is_error, true);
    assert.match(text(result), /no good/);
    await x.close();
  });

  test('names are checked', async () => {
    for (const bad of ['bash=true', 'no-command', '=x', 'a b=x', 'x=']) {
      const r = await run(BIN, ['worker', '--environment-id', p.env.id, '--tool', bad], { env: { ANTHROPIC_ENVIRONMENT_KEY: 'k' } });
      assert.notEqual(r.code, 0, bad);
      assert.match(r.err, /--tool/, bad);
    }
  });
});
