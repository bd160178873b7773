// `sallyport worker --isolation`: a session gets the same answers whoever builds its sandbox, nothing is
// left behind by a killed worker, and what cannot work is said at start.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, tool, TOOLSET } from '../lib/sallyport.mjs';
import { checkLog, Session, text } from '../lib/session.mjs';
import { alive, BIN, ms, run, tempDir, until } from '../lib/own.mjs';

// An ordinary user's container has one id: then the worker wants --sandbox-user root, and crun a host with one
// version of control groups.
const ROOT = process.getuid() === 0;
const ENGINES = {
  native: [],
  ...(ROOT ? { crun: ['--isolation', 'oci'] } : {}),
  runc: ['--isolation', 'oci', '--oci-runtime', 'runc', ...(ROOT ? [] : ['--sandbox-user', 'root'])],
  none: ['--isolation', 'none', '--i-understand'],
};
const custom = { type: 'custom', name: 'where', description: 'A tool of the test.', input_schema: { type: 'object', properties: {} } };
const RULES = [
  on('walk', { last: 'user' }, bash('X=1; mkdir -p d; cd d; echo first')),
  on('look', { last: 'user' }, bash('echo $X; basename $PWD')),
  on('files', { last: 'user' }, tool('write', { file_path: 'a/b.txt', content: 'one\ntwo\n' })),
  on('where', { last: 'user' }, tool('where', { word: 'it\'s' })),
  on('long', { last: 'user' }, bash('setsid sleep 8123 & sleep 8124')),
  on('', { last: 'tool_result' }, say('done')),
  on('', {}, say('ok')),
];
/** Living processes whose command line is exactly these words. */
const running = (...words) => fs.readdirSync('/proc').filter((p) => {
  try { return /^\d+$/.test(p) && alive(Number(p)) && fs.readFileSync(`/proc/${p}/cmdline`, 'utf8') === `${words.join('\0')}\0`; } catch { return false; }
});

describe('isolation', () => {
  let s, agent;
  before(async () => {
    s = await startServer({ rules: RULES, args: ['--lease-ttl', '4s'] });
    agent = await makeAgent(s, { tools: [TOOLSET, custom] });
  });
  after(() => s?.stop());

  for (const [name, args] of Object.entries(ENGINES)) {
    test(`${name}: shell state, files and custom tools`, async () => {
      const p = await selfHosted(s);
      const state = tempDir('state');
      const w = startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: [...args, '--state-dir', state, '--warm', '1', '--tool', 'where=pwd; cat'] });
      await w.proc.line(/^ready/m, ms(30000));
      const x = await Session.create(s, { agent: agent.id, environment_id: p.env.id });
      const results = async (word, type) => {
        const log = await x.turn(word, 'end_turn', ms(30000));
        checkLog(log);
        return log.filter((e) => e.type === type);
      };
      assert.match(text((await results('files', 'user.tool_result')).at(-1)), /wrote 8 bytes to a\/b.txt/);
      const [result] = await results('where', 'user.custom_tool_result');
      assert(!result.is_error, text(result));
      assert.match(text(result), /workspace\n\{"word":"it's"\}/);
      assert.equal(text((await results('walk', 'user.tool_result')).at(-1)).trim(), 'first');
      assert.equal(text((await results('look', 'user.tool_result')).at(-1)).trim(), '1\nd');
      await x.close();
      await w.stop();
      assert.deepEqual(fs.readdirSync(state), [], 'nothing is left');
      if (name === 'none') assert.match(w.proc.err, /isolation is off/);
      if (name === 'none') assert.match(w.proc.err, new RegExp(`a session runs without isolation" session="?${x.id}`));
    });

    test(`${name}: kill -9 leaves no process, and the next start no directory`, async () => {
      const p = await selfHosted(s);
      const state = tempDir('state');
      const go = () => startWorker({ url: s.url, envId: p.env.id, envKey: p.key, args: [...args, '--state-dir', state] });
      const w = go();
      const x = await Session.create(s, { agent: agent.id, environment_id: p.env.id });
      await x.say('long');
      await until('the command runs', () => running('sleep', '8124').length === 1 && running('sleep', '8123').length === 1, ms(30000));
      await w.kill9();
      await until('its processes are gone', () => running('sleep', '8124').length === 0 && running('sleep', '8123').length === 0);
      const runName = fs.readdirSync(state).find((f) => f.endsWith('.lock'))?.slice(4, -5);
      assert(runName, 'a directory was left');
      await x.send({ type: 'user.interrupt' });
      const w2 = go();
      await w2.proc.line(/^ready/m, ms(30000));
      assert(!fs.readdirSync(state).some((f) => f.includes(runName)), 'the next start removed it');
      await w2.stop();
      assert.deepEqual(fs.readdirSync(state), []);
      await x.close();
    });
  }

  test('what cannot work is refused at start, in words', async () => {
    const state = tempDir('state');
    const worker = (...args) => run(BIN, ['worker', '--base-url', s.url, '--environment-id', 'env_x', '--state-dir', state, ...args], { env: { ANTHROPIC_ENVIRONMENT_KEY: 'k' } });
    const asRoot = process.getuid() === 0 ? [] : ['--sandbox-user', 'root'];   // the one id that an ordinary user can give
    const cases = [
      [2, /--isolation none runs tools as the user of the worker.*--i-understand/, '--isolation', 'none'],
      [2, /isolation/, '--isolation', 'docker'],
      [2, /--oci-runtime goes with --isolation oci/, '--oci-runtime', 'crun'],
      [2, /--sandbox-cpus 0: write a number of cores/, '--sandbox-cpus', '0'],
      [2, /--sandbox-cpus 1\.2345: write/, '--sandbox-cpus', '1.2345'],
      [2, /--rootfs nope: there is no image nope/, '--rootfs', 'nope'],
      [2, /--rootfs \.\/nope: No such file or directory/, '--rootfs', './nope'],
      [1, /--oci-runtime no-such-runtime: there is no such program in PATH/, '--isolation', 'oci', '--oci-runtime', 'no-such-runtime'],
      [1, /isolation "oci" does not work with \/.*true/, '--isolation', 'oci', '--oci-runtime', '/bin/true', ...asRoot],
      [1, /^sallyport worker: no session could be served: .*bind target \/usr\/x: system directories .* choose another target$/m, '--bind', '/tmp:/usr/x'],
      [1, /bind target \/usr\/x: system directories/, '--bind', '/tmp:/usr/x', '--warm', '2'],
      [1, /bind target \/proc\/sys: system directories/, '--isolation', 'oci', '--bind', '/tmp:/proc/sys', ...asRoot],
      [1, /isolation "none" cannot do --sandbox-user root/, '--isolation', 'none', '--i-understand', '--sandbox-user', 'root'],
    ];
    for (const [code, words, ...args] of cases) {
      const r = await worker(...args);
      assert.equal(r.code, code, `${args.join(' ')}: ${r.err}`);
      assert.match(r.err, words);
    }
    assert.deepEqual(fs.readdirSync(state), []);
    // A file cannot agree to it.
    const file = path.join(tempDir('conf'), 'w.yaml');
    fs.writeFileSync(file, 'isolation: none\ni_understand: true\n');
    assert.equal((await worker('--config', file)).code, 2);
    const up = await run(BIN, ['up', '--data', path.join(state, 'data'), '--isolation', 'none']);
    assert.equal(up.code, 2);
    assert.match(up.err, /--i-understand/);
    // What only the worker can find out ends the whole command, too.
    for (const [words, ...args] of [[/--oci-runtime nosuch: there is no such program/, '--isolation', 'oci', '--oci-runtime', 'nosuch'], [/--bind \/no\/such:\/x: \/no\/such: No such file/, '--bind', '/no/such:/x'], [/bind target \/workspace: system directories/, '--bind', '/tmp:/workspace']]) {
      const r = await run(BIN, ['up', '--data', path.join(state, 'data'), '--listen', '127.0.0.1:0', ...args], { timeout: 20000 });
      assert.equal(r.code, 1, r.err);
      assert.match(r.err, words);
      assert.match(r.err, /the worker did not start; its reason is above/);
    }
  });
});
