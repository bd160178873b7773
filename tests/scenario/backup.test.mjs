// The life of a database: a copy while the server writes, its way back, sessions that are kept for a limited time, and
// a directory or a file that is not what it was (docs/operations.md).
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, ms, run, tempDir, until } from '../lib/own.mjs';
import { makeAgent, on, say, selfHosted, startServer } from '../lib/sallyport.mjs';
import { userMessage } from '../lib/session.mjs';
import { all } from '../lib/check.mjs';

const rules = [on('', {}, say('ok'))];

describe('backup', () => {
  test('a copy made under load has every event that was acknowledged before it, and opens', async () => {
    const s = await startServer({ rules });
    const { env } = await selfHosted(s);
    const agent = await makeAgent(s);
    const c = s.client();
    const sessions = await Promise.all(Array.from({ length: 8 }, () => c.beta.sessions.create({ agent: agent.id, environment_id: env.id })));
    const file = path.join(tempDir('backup'), 'copy.db');
    let writing = true;
    const acknowledged = new Map(sessions.map((x) => [x.id, []]));
    const writers = sessions.map(async (x) => {
      while (writing) {
        const r = await c.beta.sessions.events.send(x.id, { events: [userMessage('hello')] });
        acknowledged.get(x.id).push(r.data[0].id);
      }
    });
    try {
      await until('some events', () => [...acknowledged.values()].every((l) => l.length > 3));
      const before = new Map([...acknowledged].map(([k, l]) => [k, [...l]]));
      const copied = await run(BIN, ['server', 'backup', file, '--data', s.data], { timeout: ms(60000) });
      assert.equal(copied.code, 0, copied.err);
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
      writing = false;
      await Promise.all(writers);
      await s.stop();

      const data = path.join(tempDir('restored'), 'data');
      const back = await run(BIN, ['server', 'restore', file, '--data', data], { timeout: ms(60000) });
      assert.equal(back.code, 0, back.err);
      const t = await startServer({ rules, data, apiKey: s.apiKey });
      try {
        for (const [id, events] of before) {
          const there = new Set((await all(t.client().beta.sessions.events.list(id, { limit: 1000 }))).map((e) => e.id));
          for (const e of events) assert(there.has(e), `${e} was acknowledged before the backup`);
        }
      } finally { await t.stop(); }
    } finally { writing = false; await s.stop(); }
  });

  test('not where others could put another file in its place', async () => {
    const s = await startServer({ rules });
    try {
      const dir = tempDir('open');
      const backup = (name) => run(BIN, ['server', 'backup', path.join(dir, name), '--data', s.data], { timeout: ms(60000) });
      for (const mode of [0o777, 0o770]) {
        fs.chmodSync(dir, mode);
        const r = await backup('no.db');
        assert.equal(r.code, 1);
        assert.match(r.err, /may be written by others, .*chmod go-w/);
        assert.deepEqual(fs.readdirSync(dir), []);
      }
      for (const [mode, name] of [[0o1777, 'sticky.db'], [0o755, 'own.db']]) {
        fs.chmodSync(dir, mode);
        assert.equal((await backup(name)).code, 0);
        assert.equal(fs.statSync(path.join(dir, name)).mode & 0o777, 0o600);
      }
    } finally { await s.stop(); }
  });

  test('sessions are deleted when their time is over, not those that are used, and their streams end', async () => {
    const s = await startServer({ rules, args: ['--keep-sessions', '2s'] });
    try {
      const { env } = await selfHosted(s);
      const agent = await makeAgent(s);
      const c = s.client();
      const make = () => c.beta.sessions.create({ agent: agent.id, environment_id: env.id });
      const [old, used] = await Promise.all([make(), make()]);
      const ends = [];
      const stream = await c.beta.sessions.events.stream(old.id);
      const reading = (async () => { for await (const e of stream) ends.push(e.type); })();
      let gone = false;
      await until('the old one is gone', async () => {
        await c.beta.sessions.events.send(used.id, { events: [userMessage('still here')] });
        gone = await c.beta.sessions.retrieve(old.id).then(() => false, (e) => e.status === 404);
        return gone;
      });
      await reading;
      assert.equal(ends.at(-1), 'session.deleted');
      assert.equal((await c.beta.sessions.retrieve(used.id)).id, used.id);
      await until('the other one follows', () => c.beta.sessions.retrieve(used.id).then(() => false, (e) => e.status === 404));
      assert.deepEqual(await all(c.beta.environments.work.list(env.id)), [], 'nothing is left of their work');
    } finally { await s.stop(); }
  });

  test('a start on a damaged file, an empty one or none refuses with a sentence', async () => {
    const s = await startServer({ rules });
    await s.stop();
    const db = path.join(s.data, 'sallyport.db');
    const whole = fs.readFileSync(db);
    const refused = async (words) => {
      const r = await run(BIN, ['server', '--listen', '127.0.0.1:0', '--data', s.data], { timeout: ms(20000) });
      assert.equal(r.code, 1, r.err);
      assert.match(r.err, words);
      assert.doesNotMatch(r.out, /ready|api key/);
    };
    const torn = Buffer.from(whole);
    torn.fill(0xa5, 8 * 4096, 9 * 4096);
    fs.writeFileSync(db, torn);
    await refused(/damaged.*restore a backup/s);
    fs.writeFileSync(db, '');
    await refused(/is empty.*server restore/s);
    fs.unlinkSync(db);
    await refused(/is gone.*server restore/s);
    fs.writeFileSync(db, whole);
    const t = await startServer({ rules, data: s.data, apiKey: s.apiKey });
    await t.stop();
  });

  test('wrong usage is told', async () => {
    for (const [args, words] of [
      [['backup'], /an argument is missing: sallyport server backup FILE/],
      [['backup', 'a', 'b'], /one argument too many/],
      [['restore', '/nowhere/at-all'], /cannot read \/nowhere\/at-all/],
      [['backup', '/nowhere/copy', '--data', '/nowhere/data'], /nowhere/],
    ]) {
      const r = await run(BIN, ['server', ...args], { timeout: ms(20000) });
      assert(r.code > 0, args.join(' '));
      assert.match(r.err, words);
    }
  });
});
