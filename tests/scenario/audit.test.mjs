// `sallyport audit` on logs that tests/lib/audit_log.c has written: what verify sees, what query and tail show, and bundles
// that a stranger verifies with the script of docs/audit.md and openssl alone.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, end, repo, run, start, tempDir, until } from '../lib/own.mjs';

const WRITER = path.join(path.dirname(BIN), 'tests', 'lib', 'audit_log');
const SCRIPT = path.join(repo, 'examples', 'audit', 'verify-bundle.py');

/** A log of these commands, closed unless they say `die`. */
async function makeLog(commands, { log = path.join(tempDir('audit'), 'audit.jsonl'), rotate = 0, every = 0 } = {}) {
  const r = await run(WRITER, [log, String(rotate), String(every)], { input: `${commands.join('\n')}\n` });
  assert.equal(r.code, commands.includes('die') ? 9 : 0, r.err);
  return log;
}

const audit = (verb, log, ...args) => run(BIN, ['audit', verb, '--log', log, ...args]);
const lines = (file) => fs.readFileSync(file, 'utf8').trimEnd().split('\n');
const files = (log) => fs.readdirSync(path.dirname(log)).filter((f) => /\.jsonl(\.\d{6})?$/.test(f)).map((f) => path.join(path.dirname(log), f)).sort((a, b) => b.length - a.length || (a < b ? -1 : 1));

const MIXED = [
  'add 3 session=sesn_A call=sevt_1 verdict=allow method=GET host=api.github.com path=/repos status=200 credential=GITHUB_TOKEN sent=10 received=2000',
  'add 2 session=sesn_B call=sevt_9 verdict=deny method=POST host=evil.example path=/x?token=SECRET rule=none',
  'add 1 kind=tool_call session=sesn_A call=sevt_1 tool=bash verdict=ok duration_us=1200',
  'checkpoint',
  'add 4 session=sesn_B verdict=allow host=uploads.github.com',
  'add 2 session=sesn_A verdict=error host=API.github.com',
];

test('verify: a log that is whole', async () => {
  const log = await makeLog(MIXED);
  const r = await audit('verify', log);
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /16 lines in 1 file, numbers 0 to 15: unchanged/);   // start, new, 6, time, 6, close
  assert.match(r.out, /3 checkpoints, all signed/);
  const j = JSON.parse((await audit('verify', log, '--json')).out);
  assert.equal(j.ok, true);
  assert.equal(j.lines_behind_checkpoint, 0);
  assert.match(r.out, new RegExp(`^head 15:${j.head}$`, 'm'));
  assert.equal(r.out + r.err, r.out);
});

test('verify: the chain is what the documents say, by other means', async () => {
  const log = await makeLog(MIXED);
  const pub = crypto.createPublicKey(fs.readFileSync(`${log}.pub`));
  const sha = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
  let chain = Buffer.alloc(32);
  for (const [i, line] of lines(log).entries()) {
    const o = JSON.parse(line);
    assert.equal(o.seq, i);
    assert.equal(o.prev, chain.toString('hex'));
    if (o.kind === 'checkpoint') assert(crypto.verify(null, Buffer.from(line.slice(0, line.lastIndexOf(',"sig":"'))), pub, Buffer.from(o.sig, 'base64')));
    chain = sha(chain, sha(chain, Buffer.from(o.session ?? '')), sha(Buffer.from(line)));
  }
  const j = JSON.parse((await audit('verify', log, '--json')).out);
  assert.equal(j.head, chain.toString('hex'));
});

test('verify: each way to change a log is seen, at its place', async () => {
  const log = await makeLog(MIXED, { every: 4 });
  const whole = lines(log);
  const other = lines(await makeLog(MIXED));
  const at = whole.findIndex((l) => l.includes('evil.example'));
  const checkpoint = whole.findIndex((l, i) => i > 1 && l.includes('"kind":"checkpoint"'));
  assert(at > 0 && checkpoint > 0);
  const cases = [
    ['an edit', at + 1, (l) => { l[at] = l[at].replace('"deny"', '"allow"'); }],   // seen by the line behind it
    ['a line less', at, (l) => l.splice(at, 1)],
    ['a line twice', at + 1, (l) => l.splice(at, 0, l[at])],
    ['another order', at, (l) => { [l[at], l[at + 1]] = [l[at + 1], l[at]]; }],
    ['a line of another log', at, (l) => { l[at] = other[at]; }],
    ['no JSON', at, (l) => { l[at] = 'x'; }],
    ['an empty line', at, (l) => l.splice(at, 0, '')],
    ['a long line', at, (l) => l.splice(at, 0, 'x'.repeat(300000))],
    ['a changed checkpoint', checkpoint, (l) => { l[checkpoint] = l[checkpoint].replace(/"time":"20/, '"time":"21'); }],
    ['a checkpoint of another key', checkpoint, (l) => { l[checkpoint] = l[checkpoint].replace(/"sig":"[^"]{6}/, '"sig":"AAAAAA'); }],
    ['the beginning cut off', 0, (l) => l.splice(0, at)],
    ['another log behind it', whole.length, (l) => l.push(...other)],
  ];
  for (const [what, line, change] of cases) {
    const l = [...whole];
    change(l);
    fs.writeFileSync(log, `${l.join('\n')}\n`);
    const r = await audit('verify', log);
    assert.equal(r.code, 1, `${what}: ${r.out}`);
    assert.equal(r.out, '', what);
    assert.match(r.err, new RegExp(`audit\\.jsonl line ${line + 1}: `), `${what}: ${r.err}`);
    const j = JSON.parse((await audit('verify', log, '--json')).out);
    assert.deepEqual([j.ok, j.bad_file, j.bad_line], [false, log, line + 1]);
  }
});

test('verify: an end that was cut off is seen by a head that was kept', async () => {
  const log = await makeLog(MIXED);
  const head = (await audit('verify', log)).out.match(/^head (\S+)$/m)[1];
  assert.equal((await audit('verify', log, '--expect', head)).code, 0);
  const l = lines(log);
  const cut = l.findLastIndex((x) => x.includes('"why":"time"'));
  fs.writeFileSync(log, `${l.slice(0, cut + 1).join('\n')}\n`);
  assert.equal((await audit('verify', log)).code, 0, 'a shorter log is a log');
  let r = await audit('verify', log, '--expect', head);
  assert.equal(r.code, 1);
  assert.match(r.err, /has no line 15 any more/);
  await makeLog(['add 20 host=other.example'], { log });   // goes on from there: the same number, another chain
  r = await audit('verify', log, '--expect', head);
  assert.equal(r.code, 1);
  assert.match(r.err, /line 16: the chain behind it is not the one that was expected/);
  for (const bad of ['x', '1:2', `x:${'0'.repeat(64)}`, `1:${'g'.repeat(64)}`])
    assert.equal((await audit('verify', log, '--expect', bad)).code, 2);
});

test('verify: over files, with the oldest gone, not with one between', async () => {
  const log = await makeLog(Array.from({ length: 40 }, (_, i) => `add 5 session=sesn_${i} host=a.example`), { rotate: 10000 });
  const all = files(log);
  assert(all.length > 4, String(all));
  assert.match((await audit('verify', log)).out, new RegExp(`in ${all.length} files`));
  fs.unlinkSync(all[0]);
  const r = await audit('verify', log);
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /it begins at number \d+: older files are not here/);
  fs.unlinkSync(all[2]);
  const s = await audit('verify', log);
  assert.equal(s.code, 1);
  assert.match(s.err, /lines are missing/);
});

test('verify: a crash leaves a log that holds, and a note', async () => {
  const log = await makeLog(['add 5 host=a.example', 'die']);
  let r = await audit('verify', log);
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /5 lines behind the last checkpoint/);
  fs.appendFileSync(log, '{"seq":7,"pre');
  r = await audit('verify', log);
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /13 bytes at the end are no whole line/);
  await makeLog(['add 1 host=b.example'], { log });
  r = await audit('verify', log);
  assert.match(r.out, /1 restart of the writer/);
  assert.match(r.out, /1 torn end was set aside/);
  assert.equal(fs.readFileSync(`${log}.torn-7`, 'utf8'), '{"seq":7,"pre');
  assert.match((await audit('query', log, '--kind', 'note')).out, /recovered: 13 bytes .* audit\.jsonl\.torn-7, sha256 [0-9a-f]{64}/);
});

test('verify: what is missing is told', async () => {
  const dir = tempDir('audit');
  let r = await audit('verify', path.join(dir, 'none.jsonl'));
  assert.equal(r.code, 1);
  assert.match(r.err, /there is no audit log at .*none\.jsonl/);
  const log = await makeLog(MIXED), alone = path.join(dir, 'alone.jsonl');
  fs.copyFileSync(log, alone);
  r = await audit('verify', alone);
  assert.equal(r.code, 1);
  assert.match(r.err, /no public key at .*alone\.jsonl\.pub; name it with --key/);
  r = await audit('verify', path.join(dir, 'none.jsonl'), '--key', `${log}.pub`);
  assert.match(r.err, /there is no audit log at/);
  const other = await makeLog([]);
  r = await audit('verify', log, '--key', `${other}.pub`);
  assert.equal(r.code, 1);
  assert.match(r.err, /line 1: it names another key than the one given/);
  fs.symlinkSync(log, path.join(dir, 'link.jsonl'));
  r = await audit('verify', path.join(dir, 'link.jsonl'), '--key', `${log}.pub`);
  assert.match(r.err, /it is a link/);
  const d = path.join(dir, 'data');   // --data, as other commands have it
  fs.mkdirSync(d);
  await makeLog(MIXED, { log: path.join(d, 'audit.jsonl') });
  assert.equal((await run(BIN, ['audit', 'verify', '--data', d])).code, 0);
});

test('query: by each of its filters', async () => {
  const log = await makeLog(MIXED);
  const count = async (...args) => {
    const r = await audit('query', log, '--json', ...args);
    assert.equal(r.code, 0, r.err);
    return r.out ? r.out.trimEnd().split('\n').map((l) => JSON.parse(l)).length : 0;
  };
  assert.equal(await count(), 12, 'records, not the log’s own lines');
  assert.equal(await count('--session', 'sesn_A'), 6);
  assert.equal(await count('--session', 'sesn_'), 0);
  assert.equal(await count('--call', 'sevt_9'), 2);
  assert.equal(await count('--session', 'sesn_A', '--call', 'sevt_1'), 4, 'requests and the tool call, linked');
  assert.equal(await count('--verdict', 'deny'), 2);
  assert.equal(await count('--credential', 'GITHUB_TOKEN'), 3);
  assert.equal(await count('--host', 'api.github.com'), 5, 'whatever its case');
  assert.equal(await count('--host', '*.github.com'), 9);
  assert.equal(await count('--host', '*.api.github.com'), 0);
  assert.equal(await count('--kind', 'tool_call'), 1);
  assert.equal(await count('--kind', 'checkpoint'), 3);
  assert.equal(await count('--limit', '2'), 2);
  assert.equal(await count('--since', '1h'), 12);
  assert.equal(await count('--until', '1h'), 0);
  assert.equal(await count('--since', '2999-01-01T00:00:00Z'), 0);
  const times = lines(log).map((l) => JSON.parse(l).time);
  assert.equal(await count('--since', times[4], '--until', times[4]), 0);
  for (const [args, words] of [[['--since', 'yesterday'], /--since takes a time/], [['--kind', 'x'], /request/], [['--limit', '0'], /limit/]]) {
    const r = await audit('query', log, ...args);
    assert.equal(r.code, 2, args.join(' '));
    assert.match(r.err, words);
  }
  const r = await audit('query', log, '--session', 'sesn_A', '--limit', '1');
  assert.match(r.out, /^ +2 \S+Z request {4}allow GET api\.github\.com\/repos status=200 sent=10 received=2000 credential=GITHUB_TOKEN session=sesn_A call=sevt_1 by=test\n$/);
  assert(!fs.readFileSync(log, 'utf8').includes('SECRET'), 'no query');
});

test('query and tail: nothing an agent chose drives the terminal, nor makes a line', async () => {
  const log = await makeLog(['add 1 host=a%1b[31m%0a{"seq":99} path=/%e2%80%ae%9b%00 note=%ff%f0%9f%98%80 session=a%22b verdict=deny']);
  assert.equal(lines(log).length, 4);
  assert.match(fs.readFileSync(log, 'latin1'), /^[\x20-\x7e\n]*$/, 'ASCII');
  for (const verb of ['query', 'tail'])
    for (const json of [[], ['--json']]) {
      const r = await audit(verb, log, ...json);
      assert.equal(r.out.trimEnd().split('\n').length, verb === 'query' ? 1 : 2, r.out);
      assert.doesNotMatch(r.out, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    }
  const o = JSON.parse((await audit('query', log, '--json')).out);
  assert.equal(o.host, 'a\x1b[31m\n{"seq":99}');
  assert.equal(o.path, '/\u202e\ufffd\ufffd');
  assert.equal(o.note, '\ufffd\u{1f600}');
  assert.equal(o.session, 'a_b');
  fs.appendFileSync(log, 'junk \x1b]0;x\x07\n');   // somebody else's line is told, escaped, and not hidden
  const r = await audit('query', log);
  assert.equal(r.code, 1);
  assert.match(r.err, /audit\.jsonl line 5 cannot be read/);
  assert.doesNotMatch(r.err + r.out, /\x1b/);
});

test('tail: the last lines, and new ones over a rotation', async () => {
  const log = await makeLog(['add 30 host=old.example']);
  const r = await audit('tail', log, '--lines', '3');
  assert.equal(r.out.trimEnd().split('\n').length, 3);
  assert.match(r.out, /old\.example/);
  assert.equal((await audit('tail', log, '--lines', '0')).out, '');
  assert.match((await audit('tail', log, '--lines', '1', '--all')).out, /checkpoint .*why=close/);
  const follower = start(BIN, ['audit', 'tail', '--log', log, '--follow', '--lines', '1', '--json']);
  try {
    await follower.line(/old\.example/);
    const writer = start(WRITER, [log, '6000'], { stdin: 'pipe' });
    try {
      for (let i = 0; i < 40; i++) {
        writer.child.stdin.write(`add 3 host=new${i}.example\n`);
        if (i % 10 === 0) await follower.line(new RegExp(`new${i}\\.example`));   // in between it lags several files behind
      }
      await follower.line(/new39\.example/);
      writer.child.stdin.end();
      await writer.exit;
    } finally { await end(writer); }
    const seen = follower.out.trimEnd().split('\n').map((l) => JSON.parse(l)).filter((o) => o.host?.startsWith('new'));
    assert(files(log).length > 4);
    assert.equal(seen.length, 120);
    assert.deepEqual(seen.map((o) => o.host), Array.from({ length: 120 }, (_, i) => `new${Math.floor(i / 3)}.example`));
  } finally { await end(follower); }
});

// ---- bundles ----

const stranger = (bundle, key, ...flags) => run('python3', [...flags, SCRIPT, bundle, key]);

async function exported(log, session, ...args) {
  const file = path.join(tempDir('bundle'), 'bundle.jsonl');
  const r = await audit('export', log, '--session', session, file, ...args);
  return { ...r, file };
}

test('export: a stranger verifies a bundle, and it tells nothing of others', async () => {
  const log = await makeLog(MIXED);
  const b = await exported(log, 'sesn_A');
  assert.equal(b.code, 0, b.err);
  assert.match(b.err, /6 records, in lines 1 to 15 of the log/);
  assert.equal(fs.statSync(b.file).mode & 0o777, 0o600);
  const text = fs.readFileSync(b.file, 'utf8');
  assert.doesNotMatch(text, /sesn_B|evil|uploads/);
  for (const flags of [[], ['-O']]) {
    const r = await stranger(b.file, `${log}.pub`, ...flags);
    assert.equal(r.code, 0, r.err);
    assert.match(r.err, /^good: all lines of sesn_A from 1 to 15/);
    assert.deepEqual(r.out.trimEnd().split('\n'), lines(log).filter((l) => l.includes('"session":"sesn_A"')));
  }
  const out = await audit('export', log, '--session', 'sesn_A', '-');
  assert.equal(out.out, text, 'the same bytes on standard output');
});

test('export: a bundle that was tampered with is refused', async () => {
  const log = await makeLog(MIXED);
  const b = await exported(log, 'sesn_A');
  const whole = lines(b.file);
  const mine = whole.findIndex((l) => l.includes('"tool":"bash"'));
  const hidden = whole.findIndex((l) => l.startsWith('['));
  const sha = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
  /** Hides line `i` as export would, with the tag it really has, or with that of `session`. */
  const hide = (l, i, session) => {
    const o = JSON.parse(l[i]);
    l[i] = JSON.stringify([sha(Buffer.from(o.prev, 'hex'), Buffer.from(session)).toString('hex'), sha(Buffer.from(l[i])).toString('hex')]);
  };
  const cases = [
    ['an edited record', (l) => { l[mine] = l[mine].replace('"ok"', '"no"'); }],
    ['a record less', (l) => l.splice(mine, 1)],
    ['a hidden record', (l) => hide(l, mine, 'sesn_A'), /hides a record of this session/],
    ['a hidden record under another name', (l) => hide(l, mine, 'sesn_B')],
    ['a hidden line less', (l) => l.splice(hidden, 1)],
    ['a hidden line twice', (l) => l.splice(hidden, 0, l[hidden])],
    ['a hidden line with another tag', (l) => { l[hidden] = l[hidden].replace(/[0-9a-f]/, (c) => (c === '0' ? '1' : '0')); }],
    ['the end cut off', (l) => l.pop()],
    ['the first checkpoint cut off', (l) => l.splice(1, 1)],
    ['another session in its head', (l) => { l[0] = l[0].replace('sesn_A', 'sesn_B'); }],
    ['no lines at all', (l) => l.splice(1)],
    ['a checkpoint in between is hidden', (l) => hide(l, l.findIndex((x) => x.includes('"why":"time"')), ''), null],   // allowed: the last one covers it
    ['a first checkpoint of another number', (l) => { l[0] = l[0].replace('"from": 1', '"from": 0').replace('"from":1', '"from":0'); }],
  ];
  for (const [what, change, words] of cases) {
    const l = [...whole];
    change(l);
    assert.notDeepEqual(l, whole, what);
    fs.writeFileSync(b.file, `${l.join('\n')}\n`);
    const r = await stranger(b.file, `${log}.pub`, '-O');
    if (words === null) { assert.equal(r.code, 0, `${what}: ${r.err}`); continue; }
    assert.equal(r.code, 1, `${what}: ${r.out} ${r.err}`);
    assert.match(r.err, words ?? /^NOT GOOD: /, what);
    assert.equal(r.out, '', what);
  }
  fs.writeFileSync(b.file, `${whole.join('\n')}\n`);
  const other = await makeLog([]);
  assert.match((await stranger(b.file, `${other}.pub`)).err, /the signature does not hold/);
});

test('export: the range is the session’s, or with --whole the log’s', async () => {
  const log = await makeLog(['add 50 session=sesn_B host=b.example', 'checkpoint', 'add 1 session=sesn_A host=a.example', 'checkpoint', 'add 50 session=sesn_B host=b.example'], { rotate: 9000 });
  const b = await exported(log, 'sesn_A');
  const whole = await exported(log, 'sesn_A', '--whole');
  const last = JSON.parse((await audit('verify', log, '--json')).out).last_seq;
  assert(lines(b.file).length < 10, 'two checkpoints and what is between');
  assert.equal(lines(whole.file).length, last + 1, 'a head, and all lines but the first');
  for (const x of [b, whole]) {
    const r = await stranger(x.file, `${log}.pub`);
    assert.equal(r.code, 0, r.err);
    assert.equal(r.out.trimEnd().split('\n').length, 1);
  }
});

test('export: what is not covered yet is told; what does not hold is not exported', async () => {
  const log = await makeLog(['add 2 session=sesn_A host=a.example', 'checkpoint', 'add 3 session=sesn_A host=a.example', 'add 1 session=sesn_C', 'die']);
  const b = await exported(log, 'sesn_A');
  assert.equal(b.code, 0, b.err);
  assert.match(b.err, /^2 records/);
  assert.match(b.err, /3 newer records are not in it: no checkpoint covers them yet/);
  assert.equal((await stranger(b.file, `${log}.pub`)).code, 0);
  let r = await exported(log, 'sesn_C');
  assert.equal(r.code, 1);
  assert.match(r.err, /no checkpoint covers records of that session yet/);
  r = await exported(log, 'sesn_D');
  assert.match(r.err, /the log has no record of that session/);
  assert(!fs.existsSync(r.file));
  const l = lines(log);
  l[2] = l[2].replace('a.example', 'b.example');
  fs.writeFileSync(log, `${l.join('\n')}\n`);
  r = await exported(log, 'sesn_A');
  assert.equal(r.code, 1);
  assert.match(r.err, /the log does not hold: .*audit\.jsonl line 4/);
  assert.deepEqual(fs.readdirSync(path.dirname(r.file)), [], 'no half of a bundle');
  r = await run(BIN, ['audit', 'export', '--log', log, r.file]);
  assert.equal(r.code, 2);
  assert.match(r.err, /--session says whose/);
});

test('the script in docs/audit.md is the one in examples/', () => {
  const doc = fs.readFileSync(path.join(repo, 'docs', 'audit.md'), 'utf8');
  assert.equal(doc.match(/```python\n(.*?)```/s)[1], fs.readFileSync(SCRIPT, 'utf8'));
});

test('a log that is written while it is verified and exported holds', async () => {
  const log = await makeLog(['add 1 session=sesn_A host=a.example', 'checkpoint']);
  const writer = start(WRITER, [log, '20000', '50'], { stdin: 'pipe' });
  try {
    await until('it writes', () => { writer.child.stdin.write('add 200 session=sesn_B host=b.example path=/x\n'); return writer.out.includes('ok'); });
    let looks = 0;
    while (looks < 12) {
      writer.child.stdin.write('add 300 session=sesn_B host=b.example path=/x\n');
      const r = await audit('verify', log);
      assert.equal(r.code, 0, r.err);
      const b = await exported(log, 'sesn_A', '--whole');
      assert.equal(b.code, 0, b.err);
      looks++;
    }
    writer.child.stdin.end();
    await writer.exit;
    assert.equal(writer.code, 0, writer.err);
  } finally { await end(writer); }
});

test('what is not there, or no word of a log, is said as that', async () => {
  const log = await makeLog(['add 3 verdict=deny host=a.example']);
  const no = await audit('verify', '/nope');
  assert.equal(no.code, 1);
  assert.match(no.err, /there is no audit log at \/nope/);
  const word = await audit('query', log, '--verdict', 'denny');
  assert.deepEqual([word.code, word.out], [2, '']);
  assert.match(word.err, /--verdict.*allow, deny, error/);
  const url = await run(BIN, ['audit', 'send', '--log', log, 'ftp://collector']);
  assert.equal(url.code, 2);
  assert.match(url.err, /^sallyport audit send: write the collector's URL/);
  assert.equal((await audit('tail', log, '--lines', '2')).out.trimEnd().split('\n').length, 2, 'checkpoints are not counted');
  for (const args of [[], ['x'], ['x', 'y', 'z']]) {
    const script = await run('python3', [SCRIPT, ...args]);
    assert.equal(script.code, 1);
    assert.equal(script.err, 'usage: verify-bundle.py BUNDLE PUBLIC-KEY\n');
  }
});
