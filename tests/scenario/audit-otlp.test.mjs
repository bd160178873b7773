// `sallyport audit send`: the log to a collector that takes the protocol by its letter, or is cut off, slow, full, or no collector.
// Whatever happens, each record arrives at least once, and in order.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { authority, holdsNo, SECRET } from '../lib/egress.mjs';
import { collector } from '../lib/collector.mjs';
import { BIN, end, run, start, tempDir, until } from '../lib/own.mjs';

const WRITER = path.join(path.dirname(BIN), 'tests', 'lib', 'audit_log');
const lines = (file) => fs.readFileSync(file, 'utf8').trimEnd().split('\n').map((l) => JSON.parse(l));
const files = (log) => fs.readdirSync(path.dirname(log)).filter((f) => /^audit\.jsonl(\.\d{6})?$/.test(f)).map((f) => path.join(path.dirname(log), f)).sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
const all = (log) => files(log).flatMap(lines);
const seq = (r) => Number(r.attributes['sallyport.seq']);
const upTo = (n, from = 0) => Array.from({ length: n - from }, (_, i) => i + from);

async function makeLog(commands, { log = path.join(tempDir('audit'), 'audit.jsonl'), rotate = 0 } = {}) {
  const r = await run(WRITER, [log, String(rotate)], { input: `${commands.join('\n')}\n` });
  assert.equal(r.code, commands.includes('die') ? 9 : 0, r.err);
  return log;
}
const send = (log, url, ...args) => run(BIN, ['audit', 'send', '--log', log, url, ...args]);

/** Numbers as they came, those that came again taken out; fails when they did not come in order. */
function inOrder(records) {
  let next = 0;
  for (const n of records.map(seq)) {
    assert(n <= next, `${n} came before ${next}`);
    next = Math.max(next, n + 1);
  }
  return next;
}

const MIXED = [
  'add 2 session=sesn_A call=sevt_1 verdict=allow method=GET host=api.github.com path=/repos?key=1 status=200 credential=GITHUB_TOKEN sent=10 received=2000 port=443 peer=10.0.0.1 rule=allow[0] protocol=https',
  'add 1 session=sesn_B verdict=deny reason=leak_attempt method=PURGE host=evil.example path=/x',
  'add 1 kind=tool_call session=sesn_A call=sevt_1 tool=bash verdict=ok duration_us=1200',
  'checkpoint',
  'add 1 session=sesn_B verdict=deny host=%1b[31m%ff%00 note=%f0%9f%98%80',
];

test('send: every line is a record of the protocol, and each is a head that verify takes', async () => {
  const log = await makeLog(MIXED);
  const c = await collector();
  const r = await send(log, c.url);
  assert.deepEqual(c.faults, []);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /^9 records sent\n$/);
  assert.equal(r.out, '');
  assert.equal(c.requests.length, 1);
  const have = all(log);
  assert.deepEqual(c.records.map(seq), upTo(have.length));
  for (const [i, x] of c.records.entries()) {
    const l = have[i];
    assert.equal(x.resource['service.name'], 'sallyport');
    assert.match(x.resource['service.version'], /^\d/);
    assert.equal(x.eventName, `sallyport.audit.${l.kind}`);
    assert.equal(BigInt(x.timeUnixNano), BigInt(Date.parse(l.time)) / 1000n * 1000n * 1000000n + BigInt(l.time.match(/\.(\d{6})Z$/)[1]) * 1000n);
    assert.match(x.attributes['sallyport.chain'], /^[0-9a-f]{64}$/);
    if (i + 1 < have.length) assert.equal(x.attributes['sallyport.chain'], have[i + 1].prev);
    assert.equal(x.attributes['sallyport.broken'], undefined);
    assert.equal((await run(BIN, ['audit', 'verify', '--log', log, '--expect', `${i}:${x.attributes['sallyport.chain']}`])).code, 0);
  }
  const get = c.records[2];
  assert.equal(get.body, 'request allow GET api.github.com/repos 200 GITHUB_TOKEN');
  assert.equal(get.severityText, 'INFO');
  const want = { 'http.request.method': 'GET', 'server.address': 'api.github.com', 'server.port': 443n, 'url.path': '/repos', 'http.response.status_code': 200n, 'network.peer.address': '10.0.0.1',
    'sallyport.session': 'sesn_A', 'sallyport.call': 'sevt_1', 'sallyport.rule': 'allow[0]', 'sallyport.credential': 'GITHUB_TOKEN', 'sallyport.verdict': 'allow', 'sallyport.sent': 10n, 'sallyport.received': 2000n };
  for (const [k, v] of Object.entries(want)) assert.equal(get.attributes[k], v, k);
  assert.equal(c.records[4].severityText, 'ERROR');
  assert.equal(c.records[4].attributes['http.request.method'], '_OTHER');
  assert.equal(c.records[4].attributes['http.request.method_original'], 'PURGE');
  assert.equal(c.records[6].severityText, 'DEBUG');
  assert.equal(c.records[7].severityText, 'WARN');
  assert.equal(c.records[7].attributes['server.address'], '\x1b[31m\ufffd\ufffd');
  assert.equal(c.records[7].attributes['sallyport.note'], '\u{1f600}');
});

test('send: goes on where it was, also over files, and does not send a line twice when nothing goes wrong', async () => {
  const log = await makeLog(Array.from({ length: 30 }, (_, i) => `add 5 session=sesn_${i} host=a.example`), { rotate: 10000 });
  assert(files(log).length > 3);
  const c = await collector();
  let r = await send(log, c.url, '--batch', '7');
  assert.equal(r.code, 0, r.err);
  const first = all(log).length;
  assert.deepEqual(c.records.map(seq), upTo(first));
  assert(c.requests.every((q) => q.records.length <= 7));
  assert.equal(fs.statSync(`${log}.otlp`).mode & 0o777, 0o600);
  r = await send(log, c.url);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /^0 records sent/);
  await makeLog(Array.from({ length: 20 }, () => 'add 5 host=b.example'), { log, rotate: 10000 });
  r = await send(log, c.url);
  assert.equal(r.code, 0, r.err);
  assert.deepEqual(c.records.map(seq), upTo(all(log).length));
  assert.deepEqual(c.faults, []);
});

test('send: --session sends that one’s records and keeps no position unless it is told where', async () => {
  const log = await makeLog(MIXED);
  const c = await collector();
  for (let i = 0; i < 2; i++) assert.equal((await send(log, c.url, '--session', 'sesn_A')).code, 0);
  assert.deepEqual(c.records.map(seq), [2, 3, 5, 2, 3, 5]);
  assert(!fs.existsSync(`${log}.otlp`));
  const at = path.join(tempDir('pos'), 'a');
  for (let i = 0; i < 2; i++) assert.equal((await send(log, c.url, '--session', 'sesn_B', '--position', at)).code, 0);
  assert.deepEqual(c.records.map(seq).slice(6), [4, 7]);
  const r = await send(log, c.url, '--position', at);
  assert.notEqual(r.code, 0);
  assert.match(r.err, /is the position of the export of session sesn_B; give another file/);
});

test('send: what is to be tried again is: statuses, cut connections, and what is no answer', async () => {
  const log = await makeLog(['add 20 host=a.example']);
  const n = all(log).length;
  const trouble = [
    [{ status: 503, headers: { 'retry-after': '1' } }, /status 503: status 503; trying again/],
    [{ status: 429 }, /status 429/], [{ status: 502, body: '<html>', type: 'text/html' }, /status 502;/], [{ status: 504 }, /status 504/],
    ['cut', /trying again/], ['cut-half', /trying again/],
    [{ status: 200, body: '<html>log in first</html>', type: 'text/html' }, /status 200: that is no answer of OTLP\/HTTP/],
    [{ status: 200, body: `{"x":"${'y'.repeat(100000)}"}` }, /trying again/],
  ];
  for (const [what, words] of trouble) {
    fs.rmSync(`${log}.otlp`, { force: true });
    const c = await collector({ script: [what] });
    const r = await send(log, c.url, '--batch', '10');
    assert.equal(r.code, 0, `${JSON.stringify(what)}: ${r.err}`);
    assert.match(r.err, words);
    assert.match(r.err, /the collector takes records again/);
    assert.deepEqual(c.records.map(seq), upTo(n), JSON.stringify(what));
    assert.deepEqual(c.requests[0].records, c.requests[1].records, 'the same request again');
    assert.deepEqual(c.faults, []);
    await c.close();
  }
});

test('send: Retry-After is waited for', async () => {
  const log = await makeLog(['add 1 host=a.example']);
  const at = [];
  const note = (what) => () => { at.push(process.hrtime.bigint()); return what; };
  const c = await collector({ script: [note({ status: 503, headers: { 'retry-after': '3' } }), note('ok')] });
  const r = await send(log, c.url);
  assert.equal(r.code, 0, r.err);
  assert(at[1] - at[0] >= 3_000_000_000n, 'not before the time that was asked for; its own first wait is a second at most');
});

test('send: what is refused is not tried again, is told, and counts as not sent', async () => {
  const log = await makeLog(['add 20 host=a.example']);
  for (const status of [400, 401, 403, 404, 413, 500, 307]) {
    fs.rmSync(`${log}.otlp`, { force: true });
    const c = await collector({ script: ['ok', { status, body: { code: 3, message: 'so \x1b[31mnot' }, headers: { location: 'http://127.0.0.1:1/' } }] });
    const r = await send(log, c.url, '--batch', '10');
    assert.equal(r.code, 1, r.err);
    assert.match(r.err, new RegExp(`the collector refuses records before number 20 with status ${status}: so .*not; that is not to be tried again`));
    assert.doesNotMatch(r.err, /\x1b/);
    assert.equal(c.requests.length, 2, 'not again');
    assert.equal((await send(log, c.url)).code, 0);
    assert.deepEqual(c.records.map(seq), upTo(all(log).length), 'nothing was left out');
    await c.close();
  }
});

test('send: records that the collector throws away are told, and not sent again', async () => {
  const log = await makeLog(['add 20 host=a.example']);
  const c = await collector({ script: [{ partial: 3, message: 'too old' }, { partial: 0, message: 'use a newer version' }] });
  const r = await send(log, c.url, '--batch', '10');
  assert.equal(r.code, 1);
  assert.match(r.err, /has thrown 3 of 10 records before number 10 away: too old; they are not sent again/);
  assert.match(r.err, /the collector says: use a newer version/);
  assert.match(r.err, /sent, of which the collector has thrown 3 away/);
  assert.deepEqual(c.records.map(seq), upTo(all(log).length));
});

test('send: without an answer it gives up when it was told to', async () => {
  const log = await makeLog(['add 1 host=a.example']);
  const c = await collector();
  await c.close();   // nobody there
  const r = await send(log, c.url, '--give-up', '1s');
  assert.equal(r.code, 1);
  assert.match(r.err, /the collector has taken nothing for too long: /);
  assert(!fs.existsSync(`${log}.otlp`));
});

test('send: killed between batches and started again, each record arrives, in order', async () => {
  const log = await makeLog(Array.from({ length: 20 }, () => 'add 10 host=a.example'), { rotate: 12000 });
  let kill;
  // Taken, but the process dies before it hears of that; not taken, and it dies; taken, and it dies a moment later.
  const c = await collector({ script: ['ok', 'ok', () => { kill(); return 'ok'; }, () => { kill(); return 'cut'; }, 'ok', () => { setImmediate(kill); return 'ok'; }, 'ok', () => { kill(); return 'hang'; }] });
  let runs = 0, code = -1;
  while (code !== 0 && runs < 10) {
    const p = start(BIN, ['audit', 'send', '--log', log, '--batch', '9', c.url]);
    kill = () => p.kill('SIGKILL');
    runs++;
    await p.exit;
    code = p.code;
    assert(code === 0 || p.signal === 'SIGKILL', p.tail());
    await end(p);
  }
  assert.equal(runs, 5);
  const n = all(log).length;
  assert.equal(inOrder(c.requests.flatMap((q) => q.records)), n);
  assert.equal(inOrder(c.records), n, 'nothing is missing');
  assert.deepEqual([...new Set(c.records.map(seq))].sort((a, b) => a - b), upTo(n));
  assert(c.records.length <= n + 3 * 9, 'and no more than what was on its way came again');
  assert.deepEqual(c.faults, []);
});

test('send --follow: new lines over rotations while they are written, with a collector that comes and goes', async () => {
  const log = await makeLog(['add 10 host=old.example']);
  const c = await collector({ script: ['ok', 'ok', 'cut', { status: 503 }] });
  const follower = start(BIN, ['audit', 'send', '--log', log, '--follow', '--batch', '20', c.url]);
  try {
    await until('what was there', () => c.records.length >= 13);
    const r = await send(log, c.url);
    assert.equal(r.code, 1, 'one at a time');
    assert.match(r.err, /another process exports the log/);
    await makeLog(Array.from({ length: 40 }, () => 'add 5 host=new.example'), { log, rotate: 6000 });
    await until('all lines', () => c.records.length >= all(log).length);
    assert(files(log).length > 5);
    await follower.line(/the collector takes records again/);
    const torn = all(log).length;   // the log's writer dies and leaves half a line; another one goes on
    fs.appendFileSync(log, '{"seq":');
    await makeLog(['add 3 host=newer.example'], { log });
    await until('lines of the next writer', () => c.records.length >= all(log).length);
    assert(all(log).length > torn + 3);
    assert.deepEqual(c.records.map(seq), upTo(all(log).length));
    assert.deepEqual(c.faults, []);
    assert.equal(follower.ended, false);
  } finally { await end(follower); }
  assert.equal((await run(BIN, ['audit', 'verify', '--log', log])).code, 0);
});

test('send: damaged lines are told and sent as what they are, and end nothing', async () => {
  const log = await makeLog(['add 6 host=a.example']);
  const l = fs.readFileSync(log, 'utf8').split('\n');
  l[3] = l[3].replace('"host"', '"hos\\');
  l[5] = l[5].replace('a.example', 'b.example');
  fs.writeFileSync(log, l.join('\n'));
  const c = await collector();
  const r = await send(log, c.url);
  assert.equal(r.code, 1);
  assert.match(r.err, /audit\.jsonl line 4 cannot be read: /);
  assert.match(r.err, /number 6 does not fit the line before: the log was changed/);
  assert.equal(c.records.length, l.length - 1);
  const damaged = c.records[3];
  assert.equal(damaged.eventName, 'sallyport.audit.damaged');
  assert.equal(damaged.severityText, 'ERROR');
  assert.equal(damaged.attributes['log.file.name'], 'audit.jsonl');
  assert.equal(damaged.attributes['sallyport.line'], 4n);
  assert.match(c.records[6].attributes['sallyport.broken'], /changed/);
  assert.equal(c.records[4].attributes['sallyport.broken'], undefined, 'nothing is known of the one behind a damaged line');
  assert.deepEqual(c.faults, []);
  fs.appendFileSync(log, `${'x'.repeat(5000)}\n`);
  const s = await send(log, c.url);
  assert.equal(s.code, 1);
  assert.match(s.err, /longer than a line can be/);
});

test('send: a line without an end, and a file that ends within one, are told and sent as what they are, and end nothing', async () => {
  const log = await makeLog(Array.from({ length: 30 }, (_, i) => `add 5 session=sesn_${i} host=a.example`), { rotate: 10000 });
  const lines = all(log).length;
  const whole = fs.readFileSync(log, 'utf8').split('\n');
  assert.ok(whole.length > 5);
  fs.appendFileSync(`${log}.000001`, '{"seq":');
  fs.writeFileSync(log, [...whole.slice(0, 2), 'x'.repeat(600000), ...whole.slice(2)].join('\n'));
  const c = await collector();
  const r = await send(log, c.url);
  assert.equal(r.code, 1);
  assert.match(r.err, /audit\.jsonl\.000001 line \d+ cannot be read: it ends within a line/);
  assert.match(r.err, /audit\.jsonl line 3 cannot be read: it is longer than a line can be/);
  assert.equal(c.records.filter((x) => x.eventName === 'sallyport.audit.damaged').length, 2);
  assert.equal(c.records.length, lines + 2);
  const v = await run(BIN, ['audit', 'verify', '--log', log]);
  assert.equal(v.code, 1, 'verify calls it damage');
  assert.match(v.out + v.err, /ends within a line/);
  for (const [code, ...args] of [[1, 'query', '--json'], [0, 'tail', '--all', '--json', '--lines', '1000']]) {
    const q = await run(BIN, ['audit', ...args, '--log', log]);
    assert.equal(q.code, code, `${args[0]}: ${q.err}`);
    assert.match(q.err, /audit\.jsonl line 3 cannot be read: it is longer than a line can be/);
    assert.ok(q.out.includes(whole.at(-3)), `${args[0]} goes on behind it`);   // the last line but the checkpoint
  }
});

test('send: a log that is not the one that was sent is not sent', async () => {
  const log = await makeLog(['add 10 host=a.example', 'checkpoint', 'add 10 host=a.example']);
  const c = await collector();
  assert.equal((await send(log, c.url)).code, 0);
  const whole = fs.readFileSync(log, 'utf8').split('\n');
  const sent = c.records.length;
  const cases = [
    ['shorter', () => fs.writeFileSync(log, `${whole.slice(0, 12).join('\n')}\n`), /the log is shorter than what was sent of it; nothing is sent/],
    ['its last line another', () => { const l = [...whole]; l[l.length - 2] = l.at(-2).replace(/"time":"20/, '"time":"21'); fs.writeFileSync(log, l.join('\n')); }, /the log has changed since it was sent/],
    ['shorter, and grown again', async () => { fs.writeFileSync(log, `${whole.slice(0, 13).join('\n')}\n`); await makeLog(['add 30 host=b.example'], { log }); }, /the log has changed since it was sent/],
    ['another log', async () => { for (const f of ['', '.key', '.pub']) fs.rmSync(log + f); await makeLog(['add 30 host=b.example'], { log }); }, /this is another log than the one before/],
  ];
  for (const [what, change, words] of cases) {
    await change();
    const r = await send(log, c.url);
    assert.equal(r.code, 1, what);
    assert.match(r.err, words, what);
    assert.equal(c.records.length, sent, what);
  }
  fs.rmSync(`${log}.otlp`);
  assert.equal((await send(log, c.url)).code, 0);
  assert.equal(c.records.length, sent + all(log).length);
  fs.writeFileSync(`${log}.otlp`, '{"next":5}\n');
  assert.match((await send(log, c.url)).err, /does not say how far the log was sent/);
});

test('send: the oldest files may be gone: sent ones are not missed, others are told', async () => {
  const log = await makeLog(Array.from({ length: 30 }, () => 'add 5 host=a.example'), { rotate: 8000 });
  const c = await collector();
  assert.equal((await send(log, c.url)).code, 0);
  await makeLog(['add 5 host=b.example'], { log, rotate: 8000 });
  const old = files(log);
  fs.rmSync(old[0]);
  fs.rmSync(old[1]);
  let r = await send(log, c.url);
  assert.equal(r.code, 0, r.err);
  assert.doesNotMatch(r.err, /gone/);
  const sent = inOrder(c.records);
  await makeLog(Array.from({ length: 40 }, () => 'add 5 host=b.example'), { log, rotate: 8000 });
  for (const f of files(log).slice(0, -1)) fs.rmSync(f);
  const first = lines(log)[0].seq;
  assert(first > sent);
  r = await send(log, c.url);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, new RegExp(`numbers ${sent} to ${first - 1} are gone with the log’s oldest files`.replace('’', "'")));
  assert.deepEqual(c.records.map(seq).slice(-2), lines(log).slice(-2).map((l) => l.seq));
});

test('send: certificates are verified, and headers are secrets', async () => {
  const log = await makeLog(['add 3 host=a.example']);
  const ca = authority();
  const c = await collector({ tls: ca.issue(['127.0.0.1']) });
  const value = `Bearer ${SECRET}`;
  const file = path.join(tempDir('otlp'), 'token');
  fs.writeFileSync(file, `${value}\n`, { mode: 0o600 });
  let r = await send(log, c.url, '--give-up', '1s', '--header', `authorization=file:${file}`);
  assert.equal(r.code, 1);
  assert.match(r.err, /certificate/i);
  assert.equal(c.requests.length, 0);
  r = await send(log, c.url, '--ca-file', ca.file, '--header', `authorization=file:${file}`, '--header', 'x-scope-orgid=exec:echo acme');
  assert.equal(r.code, 0, r.err);
  assert.equal(c.requests[0].headers.authorization, value);
  assert.equal(c.requests[0].headers['x-scope-orgid'], 'acme');
  assert.match(c.requests[0].headers['user-agent'], /^sallyport\//);
  holdsNo('the position', SECRET, fs.readFileSync(`${log}.otlp`, 'utf8'));
  fs.rmSync(`${log}.otlp`);
  c.script.push({ status: 401, body: { message: `no such key: ${value}` } });   // it says again what it was sent
  r = await run(BIN, ['audit', 'send', '--log', log, '--ca-file', ca.file, '--header', 'authorization=env:OTLP', c.url], { env: { OTLP: value } });
  assert.equal(r.code, 1);
  assert.match(r.err, /with status 401; /);
  holdsNo('what is said', SECRET, r.out + r.err);
  const refused = [
    [['--header', `authorization=${value}`], /the source is one of/], [['--header', SECRET], /write NAME=SOURCE/],
    [['--header', `content-type=file:${file}`], /not a name that can be sent/], [['--header', 'authorization=env:NOT_THERE'], /not set in your shell/],
  ];
  for (const [args, words] of refused) {
    r = await send(log, c.url, ...args);
    assert.equal(r.code, 2, r.err);
    assert.match(r.err, words);
    holdsNo('the refusal', SECRET, r.err);
  }
  r = await send(log, 'http://otel.example:4318', '--header', `authorization=file:${file}`);
  assert.equal(r.code, 2);
  assert.match(r.err, /headers go to https:\/\/ and to this host itself only/);
  assert.deepEqual(c.faults, []);
});
