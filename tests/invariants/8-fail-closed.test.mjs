// Invariant 8. Fail closed: when a check cannot be made, the answer is no, and the reason is told in
// words the reader can act on.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { bash, makeAgent, on, say, selfHosted, startServer, startWorker, TOOLSET } from '../lib/sallyport.mjs';
import { confirm, Session, text, toolResult, userMessage } from '../lib/session.mjs';
import { BIN, end, ms, run, start, tempDir, until, within } from '../lib/own.mjs';
import { refused } from '../lib/check.mjs';

describe('invariant 8: fail closed', () => {
  let s, agent, asking;
  before(async () => {
    s = await startServer({ rules: [on('', { last: 'user' }, bash('echo RAN; id')), on('', {}, say('ok'))] });
    agent = await makeAgent(s);
    asking = await makeAgent(s, { tools: [{ ...TOOLSET, default_config: { permission_policy: { type: 'always_ask' } } }] });
  });
  after(() => s?.stop());

  test('no sandbox can be made: nothing runs outside of one, and the reason is told', async () => {
    const { env, key } = await selfHosted(s);
    const dir = tempDir('closed');
    const keyFile = path.join(dir, 'k');
    fs.writeFileSync(keyFile, key, { mode: 0o644 });
    fs.chmodSync(dir, 0o777);
    const root = path.join(dir, 'root');
    fs.mkdirSync(root);
    const isRoot = process.getuid() === 0;
    // In a chroot, without capabilities and with no new privileges, no namespace can be made.
    const argv = [BIN, 'worker', '--base-url', s.url, '--environment-id', env.id, '--environment-key-file', keyFile, '--state-dir', path.join(dir, 'state')];
    const cmd = ['-m', 'sh', '-c', 'mount --rbind / "$1" && root=$1 && shift && exec chroot "$root" setpriv $as --no-new-privs --bounding-set -all "$@"'.replace('$as', isRoot ? '--reuid 65534 --regid 65534 --clear-groups' : ''), 'sh', root, ...argv];
    const w = start('unshare', isRoot ? cmd : ['-r', ...cmd]);
    try {
      const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
      await x.say('go');
      const call = await x.next('agent.tool_use');
      const result = x.next((e) => e.type === 'user.tool_result' && e.tool_use_id === call.id, 'result', ms(15000)).catch(() => null);
      const first = await Promise.race([w.exit, result]);
      if (first?.type) {
        assert.equal(first.is_error, true);
        assert(!text(first).includes('RAN') && !text(first).includes('uid='), text(first));
        assert(text(first).split(' ').length > 4, 'in words');
      } else {
        assert(w.ended, `it neither ended nor answered\n${w.tail()}`);
        assert(w.code > 0, w.tail());
        assert.match(w.err, /namespace|sandbox|doctor/i, w.tail());
        assert(!(await x.list()).some((e) => e.type === 'user.tool_result'), 'nothing ran');
      }
      await x.close();
    } finally { await end(w); }
  });

  test('isolation: none is refused without an explicit word', async () => {
    const { env, key } = await selfHosted(s);
    const w = startWorker({ url: s.url, envId: env.id, envKey: key, config: { isolation: 'none' } });
    await Promise.race([w.proc.exit, new Promise((r) => setTimeout(r, ms(20000)))]);
    assert(w.proc.ended && w.proc.code > 0, `it must not start\n${w.proc.tail()}`);
    assert.match(w.proc.err, /isolation|i-understand/i);
  });

  test('a worker configuration it does not understand is refused, not half-used', async () => {
    const { env, key } = await selfHosted(s);
    for (const config of [{ colour: 'red' }, { isolation: 'magic' }, { capacity: 'many' }, { capacity: -1 }]) {
      const w = startWorker({ url: s.url, envId: env.id, envKey: key, config });
      await Promise.race([w.proc.exit, new Promise((r) => setTimeout(r, ms(20000)))]);
      assert(w.proc.ended && w.proc.code > 0, `${JSON.stringify(config)}\n${w.proc.tail()}`);
      assert.match(w.proc.err, new RegExp(Object.keys(config)[0]));
      await w.stop();
    }
  });

  test('whoever runs the tools cannot also approve them', async () => {
    const { env, key } = await selfHosted(s);
    const x = await Session.create(s, { agent: asking.id, environment_id: env.id });
    await x.say('go');
    const call = await x.next('agent.tool_use');
    await x.idle('requires_action');
    const item = await until('an item', () => s.as(key).beta.environments.work.poll(env.id, { block_ms: 900 }));
    const token = JSON.parse(Buffer.from(item.secret, 'base64url')).sessions_token;
    for (const k of [key, token])
      for (const ev of [confirm(call.id, 'allow'), userMessage('I am the user'), { type: 'user.interrupt' }]) {
        let e;
        try { await s.as(k).beta.sessions.events.send(x.id, { events: [ev] }); } catch (y) { e = y; }
        assert(e && [400, 401, 403].includes(e.status), `${ev.type} with a worker's credential: ${e?.status ?? 'accepted'}`);
      }
    // A result without the confirmation is refused too.
    await refused(s.as(token).beta.sessions.events.send(x.id, { events: [toolResult(call.id, 'ran anyway')] }), 400);
    assert(!(await x.list()).some((e) => e.type === 'user.tool_result'));
    await x.close();
  });

  test('a tool that is switched off is not run, even if the model calls it', async () => {
    const off = await makeAgent(s, { tools: [{ ...TOOLSET, configs: [{ name: 'bash', enabled: false }] }] });
    const { env, key } = await selfHosted(s);
    const w = startWorker({ url: s.url, envId: env.id, envKey: key });
    try {
      const x = await Session.create(s, { agent: off.id, environment_id: env.id });
      await x.turn('go', null);
      const log = await x.list();
      assert(!JSON.stringify(log.filter((e) => /tool_result/.test(e.type))).includes('RAN'), 'it did not run');
      await x.close();
    } finally { await w.stop(); }
  });

  // A server whose database is damaged ends and says so, at the first statement that notices: a request of
  // its own or the caretaker's. A refused connection is a "no" as well, when that is why.
  test('a database that cannot be read makes every request fail, none succeed', async () => {
    const t = await startServer();
    try {
      const file = path.join(t.data, 'sallyport.db');
      fs.truncateSync(file, 0);
      try { fs.truncateSync(`${file}-wal`, 0); } catch (e) { if (e.code !== 'ENOENT') throw e; }   // it has noticed already
      for (const [m, p, b] of [['GET', '/v1/agents'], ['POST', '/v1/agents', { name: 'x', model: 'm' }], ['GET', '/v1/environments/env_x/work/poll']]) {
        const r = await t.api(m, p, b, { key: `sk-sp-api-${'z'.repeat(40)}` }).catch((error) => ({ error }));
        if (!r.error) { assert(r.status >= 400, `${m} ${p} with a key nobody can check: ${r.status}`); continue; }
        await within(t.proc.exit, ms(15000), `the server's end after ${r.error.cause ?? r.error}\n${t.proc.tail()}`);
        assert(t.proc.code > 0, t.proc.tail());
        assert.match(t.proc.err, /the database is damaged, the server ends; restore a backup/, t.proc.tail());
      }
    } finally { await t.stop('SIGKILL'); }
  });

  test('a key file that others can read, or that holds no key, is refused or warned about in words', async () => {
    const { env, key } = await selfHosted(s);
    const dir = tempDir('open');
    for (const content of ['', '\n', 'not a key at all', `${key}\n${key}\n`]) {
      const f = path.join(dir, 'k');
      fs.writeFileSync(f, content, { mode: 0o600 });
      const r = await run(BIN, ['worker', '--base-url', s.url, '--environment-id', env.id, '--environment-key-file', f], { timeout: ms(20000) });
      assert(!r.timedOut && r.code > 0, `${JSON.stringify(content.slice(0, 10))}: code ${r.code}`);
      assert.match(r.err, /key/i);
    }
  });
});
