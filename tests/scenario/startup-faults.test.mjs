// The server in bad surroundings: each time a clear message and an exit code, never a crash, and never
// a lost acknowledged event.
import { describe, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { refusedRaw } from '../lib/check.mjs';
import { makeAgent, on, say, scriptFile, selfHosted, startServer } from '../lib/sallyport.mjs';
import { Session, text, userMessage } from '../lib/session.mjs';
import { BIN, ms, run, tempDir } from '../lib/own.mjs';

const server = (args, opts = {}) => run(BIN, ['server', '--listen', '127.0.0.1:0', ...args], { timeout: ms(15000), ...opts });
const root = process.getuid() === 0;

/** It ended by itself, with a code, and said something that fits. */
function refuses(r, re) {
  assert(!r.timedOut, `it ended by itself\n${r.out}${r.err}`);
  assert.equal(r.signal, null, `no signal\n${r.err}`);
  assert(r.code > 0 && r.code < 126, `exit code ${r.code}\n${r.err}`);
  assert.match(r.err, re);
  assert(!/^ready /m.test(r.out), 'it never said it was ready');
}

describe('server start', () => {
  test('--data is a file', async () => {
    const f = path.join(tempDir(), 'file');
    fs.writeFileSync(f, 'x');
    refuses(await server(['--data', f]), /director/i);
  });

  test('read-only data directory', async () => {
    const d = tempDir('ro');
    const data = path.join(d, 'data');
    const s = await startServer({ data });
    await s.stop();
    const r = root
      ? await run('unshare', ['-m', 'sh', '-c', 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"', 'sh', data, BIN, 'server', '--listen', '127.0.0.1:0', '--data', data], { timeout: ms(15000) })
      : (fs.chmodSync(data, 0o500), await server(['--data', data]));
    refuses(r, /read-only|not writable|permission/i);
    assert(r.err.includes(data), 'the message names the directory');
  });

  test('port in use', async () => {
    const l = net.createServer().listen(0, '127.0.0.1');
    await new Promise((r) => l.on('listening', r));
    const port = l.address().port;
    refuses(await run(BIN, ['server', '--listen', `127.0.0.1:${port}`, '--data', path.join(tempDir(), 'd')], { timeout: ms(15000) }), new RegExp(`${port}.*in use|in use.*${port}`, 's'));
    l.close();
  });

  test('too few open files: refused before anything is made', async () => {
    const data = path.join(tempDir(), 'd');
    refuses(await run('sh', ['-c', 'ulimit -n 20; exec "$@"', 'sh', BIN, 'server', '--listen', '127.0.0.1:0', '--data', data], { timeout: ms(15000) }), /may open 20 files.*ulimit -n/);
    assert.equal(fs.existsSync(data), false);
  });

  test('two servers on one data directory', async () => {
    const s = await startServer();
    try { refuses(await server(['--data', s.data]), /already|in use|lock/i); } finally { await s.stop(); }
  });

  test('addresses that are none', async () => {
    for (const a of ['nonsense', '127.0.0.1', '127.0.0.1:99999', '300.1.1.1:80', ':x', '127.0.0.1:-1'])
      refuses(await run(BIN, ['server', '--listen', a, '--data', path.join(tempDir(), 'd')], { timeout: ms(15000) }), /listen|address/i);
  });

  test('unknown flag, missing value, stray argument: exit 2 and the flag named', async () => {
    for (const [args, re] of [[['--colour'], /--colour/], [['--data'], /--data/], [['stray'], /stray/]]) {
      const r = await run(BIN, ['server', ...args], { timeout: ms(10000) });
      refuses(r, re);
      assert.equal(r.code, 2);
    }
  });

  test('script: missing file, no YAML, unknown key, bad regex: file and place named', async () => {
    const bad = (t) => { const f = path.join(tempDir(), 's.yaml'); fs.writeFileSync(f, t); return f; };
    const data = () => path.join(tempDir(), 'd');
    refuses(await server(['--data', data(), '--script', '/nonexistent.yaml']), /\/nonexistent\.yaml/);
    const pipe = path.join(tempDir('pipe'), 'p');
    execFileSync('mkfifo', [pipe]); // nobody ever writes to it
    for (const [file, kind] of [[pipe, 'a pipe'], ['/dev/null', 'a device'], ['/tmp', 'a directory']])
      refuses(await server(['--data', data(), '--script', file]), new RegExp(`${file} is ${kind}, not a file`));
    for (const t of ['rules: [', 'rulez: []', 'rules:\n  - when: {colour: red}\n    do: [{say: x}]', 'rules:\n  - when: {user: "("}\n    do: [{say: x}]', 'rules:\n  - do: [{shout: x}]', '&a [*a, *a]', 'rules: 7'])  {
      const f = bad(t);
      const r = await server(['--data', data(), '--script', f]);
      refuses(r, /./);
      assert(r.err.includes(f), `names the file: ${r.err}`);
    }
  });

  test('a newer schema is refused, not touched', async () => {
    const s = await startServer();
    await s.stop();
    const db = fs.readdirSync(s.data).map((f) => path.join(s.data, f)).find((f) => { try { return fs.readFileSync(f).subarray(0, 15).toString() === 'SQLite format 3'; } catch { return false; } });
    assert(db, 'a SQLite file in the data directory');
    const d = new DatabaseSync(db);
    const uv = d.prepare('PRAGMA user_version').get().user_version;
    const row = d.prepare("SELECT name, value FROM meta WHERE name LIKE '%schema%' OR name LIKE '%version%'").all();
    if (row.length) d.prepare('UPDATE meta SET value = ? WHERE name = ?').run(String(Number(row[0].value) + 1000), row[0].name);
    else d.exec(`PRAGMA user_version = ${uv + 1000}`);
    d.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    d.close();
    const before = fs.readFileSync(db);
    refuses(await server(['--data', s.data]), /newer|schema/i);
    assert(before.equals(fs.readFileSync(db)), 'the database is untouched');
  });

  test('a damaged database: --check-db and the start say so', async () => {
    const s = await startServer({ rules: [on('', {}, say('x'.repeat(3000)))] });
    const { env } = await selfHosted(s);
    const a = await makeAgent(s);
    const x = await Session.create(s, { agent: a.id, environment_id: env.id });
    for (let i = 0; i < 5; i++) await x.turn('hello '.repeat(500));
    await x.close();
    await s.stop();
    const ok = await run(BIN, ['server', '--check-db', '--data', s.data], { timeout: ms(20000) });
    assert.equal(ok.code, 0, ok.err);
    const db = fs.readdirSync(s.data).map((f) => path.join(s.data, f)).find((f) => fs.statSync(f).isFile() && fs.readFileSync(f).subarray(0, 15).toString() === 'SQLite format 3');
    const size = fs.statSync(db).size;
    const fd = fs.openSync(db, 'r+');
    for (let at = 8192; at < size; at += 8192) fs.writeSync(fd, Buffer.alloc(2048, 0xa5), 0, 2048, at);
    fs.closeSync(fd);
    const bad = await run(BIN, ['server', '--check-db', '--data', s.data], { timeout: ms(20000) });
    assert(bad.code > 0 && bad.signal === null, `code ${bad.code}`);
    assert.match(bad.err + bad.out, /corrupt|malformed|damage|integrity/i);
  });

  test('the database is not readable by others', async () => {
    const s = await startServer();
    try {
      assert.equal(fs.statSync(s.data).mode & 0o077, 0, 'directory');
      for (const f of fs.readdirSync(s.data)) assert.equal(fs.statSync(path.join(s.data, f)).mode & 0o077, 0, f);
    } finally { await s.stop(); }
  });

  test('SIGTERM ends it cleanly with 0, within seconds, also with open streams and long polls', async () => {
    const s = await startServer({ rules: [on('', {}, { delay_ms: 60000 }, say('never'))] });
    const { env, key } = await selfHosted(s);
    const a = await makeAgent(s);
    const x = await Session.create(s, { agent: a.id, environment_id: env.id });
    await x.say('hang');
    await x.next('span.model_request_start');
    const poll = s.as(key).beta.environments.work.poll(env.id, { block_ms: 999 }).catch(() => null);
    const t = Date.now();
    s.proc.kill('SIGTERM');
    await s.proc.exit;
    assert(Date.now() - t < ms(12000), `${Date.now() - t} ms`);
    assert.equal(s.proc.code, 0, s.proc.tail());
    await poll;
    await x.close();
  });

  test('the first start prints the API key once; later starts do not; the data directory is all it needs', async () => {
    const s = await startServer();
    assert.equal((s.proc.out.match(/sk-sp-api-/g) ?? []).length, 1);
    const k = s.apiKey;
    await s.restart();
    assert(!s.proc.out.includes('sk-sp-api-') && !s.proc.err.includes('sk-sp-api-'));
    s.apiKey = k;
    assert.equal((await s.api('GET', '/v1/agents')).status, 200);
    await s.stop();
  });
});

// As an ordinary user the small tmpfs is mounted in a user namespace of its own.
const NS = root ? ['-m'] : ['-rm'];

describe('full disk', () => {
  test('writes are refused in words, reads go on, nothing acknowledged is lost, space brings it back', async () => {
    const d = tempDir('full');
    const mnt = path.join(d, 'mnt');
    fs.mkdirSync(mnt);
    const script = scriptFile([on('', {}, say('ok'))]);
    const s = await startServer({ data: path.join(mnt, 'data'), script, wrap: (bin, argv) => ['unshare', [...NS, 'sh', '-c', 'mount -t tmpfs -o size=24m none "$1" && shift && exec "$@"', 'sh', mnt, bin, ...argv]].flat() });
    try {
      const inside = `/proc/${s.pid}/root${mnt}`;
      const { env } = await selfHosted(s);
      const a = await makeAgent(s);
      const xs = await Promise.all([0, 1, 2].map(() => Session.create(s, { agent: a.id, environment_id: env.id })));
      await Promise.all(xs.map((x) => x.turn('before')));
      // Fill what is left, but for a little.
      const fill = path.join(inside, 'fill');
      const fd = fs.openSync(fill, 'w');
      try { for (;;) fs.writeSync(fd, Buffer.alloc(65536)); } catch (e) { assert.equal(e.code, 'ENOSPC'); }
      fs.closeSync(fd);
      const acked = [];
      let refusedOnce = 0;
      const told = (r) => {
        refusedRaw(r, 507, { type: 'api_error', message: /storage is full; nothing was changed/ });
        assert.match(r.headers.get('retry-after'), /^[1-9][0-9]*$/);
      };
      for (let i = 0; i < 40 && refusedOnce < 4; i++) {
        const x = xs[i % 3];
        const r = await s.api('POST', `/v1/sessions/${x.id}/events`, { events: [userMessage(`filler ${i} ${'y'.repeat(200000)}`)] });
        if (r.status === 200) { acked.push([x.id, r.body.data[0].id]); await x.idle(undefined, 3000).catch(() => {}); } else {
          refusedOnce++;
          told(r);
        }
      }
      assert(refusedOnce >= 1, 'the full disk was noticed');
      told(await s.api('POST', '/v1/agents', { name: 'more', model: 'm', tools: Array.from({ length: 100 }, (_, i) => ({ type: 'custom', name: `t${i}`, description: 'd'.repeat(16000), input_schema: { type: 'object' } })) }));
      assert.equal(s.proc.ended, false, s.proc.tail());
      for (const x of xs) assert.equal((await x.get()).id, x.id, 'reads go on');
      fs.unlinkSync(fill);
      for (const x of xs) {
        await x.send({ type: 'user.interrupt' });
        for (let i = 0; i < 50 && (await x.get()).status !== 'idle'; i++) await new Promise((r) => setTimeout(r, 100));
        const log = await x.turn('after');
        assert.equal(text(log.filter((e) => e.type === 'agent.message').at(-1)), 'ok');
        for (const [sid, id] of acked) if (sid === x.id) assert(log.some((e) => e.id === id), 'acknowledged, so there');
        await x.close();
      }
      assert.equal(s.proc.ended, false, s.proc.tail());
    } finally { await s.stop(); }
  });
});
