// A policy's `audit.otlp`: egress sends its log by itself, and nothing waits for the collector.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { boundary, holdsNo, nameServer, origin, rule, SECRET } from '../lib/egress.mjs';
import { collector } from '../lib/collector.mjs';
import { inside } from '../lib/inside.mjs';
import { alive, BIN, descendants, ms, run, tempDir, until } from '../lib/own.mjs';

const dns = await nameServer({ 'api.test': '127.0.0.1' });
const seq = (r) => Number(r.attributes['sallyport.seq']);
const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/** A boundary to one origin whose log goes to `otlp`; `get()` makes one request inside. */
async function sending(otlp, o = {}) {
  const at = await origin({ plain: true });
  const b = boundary({ dns, allow: [rule('api.test', at.port, { inspect: true })], ...o });
  b.write({ ...b.policy, audit: { file: b.audit, otlp } });
  b.get = () => b.sh(`exec curl -sS -o /dev/null -w '%{http_code}' http://api.test:${at.port}/x?key=1`);
  return b;
}

test('audit.otlp: what one run records is at the collector when it has ended, and the next one goes on', async () => {
  const c = await collector();
  const b = await sending({ endpoint: c.url });
  for (let i = 0; i < 2; i++) {
    const r = await b.get();
    assert.equal(r.code, 0, r.err);
    assert.equal(r.out, '200');
    assert.deepEqual(c.faults, []);
    assert.deepEqual(c.records.map(seq), upTo(b.lines().length));
  }
  const requests = c.records.filter((x) => x.eventName === 'sallyport.audit.request');
  assert.equal(requests.length, 2);
  assert.equal(requests[0].attributes['url.path'], '/x');
  assert.equal(requests[0].attributes['http.response.status_code'], 200n);
  assert.equal((await b.verify()).code, 0);
});

test('audit.otlp: what is recorded while a batch is on its way is sent before the end, too', async () => {
  let b;
  // The first batch is answered when the program has ended, and egress with it wants to.
  const c = await collector({ script: [async () => { await until('the request', () => b.records({ kind: 'request' }).length > 0); await new Promise((ok) => setTimeout(ok, 300)); return 'ok'; }] });
  b = await sending({ endpoint: c.url });
  const r = await b.get();
  assert.equal(r.code, 0, r.err);
  assert(c.requests.length >= 2, 'more than one batch');
  assert.deepEqual(c.records.map(seq), upTo(b.lines().length));
});

test('audit.otlp: a collector that is away, silent, cut off or no collector holds up nothing and loses nothing', async () => {
  const c = await collector();
  const b = await sending({ endpoint: c.url });
  const port = c.port;
  await c.close();
  const troubles = [null, 'hang', 'cut', { status: 503, headers: { 'retry-after': '600' } }, { status: 200, body: '<html>', type: 'text/html' }, { status: 400 }];
  let gets = 0;
  const get = async (what) => {
    const r = await b.get();
    assert.equal(r.out, '200', `${what}: ${r.err}`);
    assert.equal(r.code, 0);
    gets++;
  };
  // What a run has not sent by its end the next one sends; a busy machine may leave a run no time for it.
  const sent = async (what, fn) => { for (let i = 0; i < 5; i++) { await get(what); if (fn()) return; } assert.fail(what); };
  for (const script of troubles) {
    const bad = script && await collector({ script: Array(20).fill(script).flat(), port });
    if (bad) await sent(`it is tried: ${JSON.stringify(script)}`, () => bad.requests.length > 0);
    else await get('nobody there');
    if (bad) assert.deepEqual(bad.records, []);
    await bad?.close();
  }
  const good = await collector({ port });
  await sent('all arrives', () => good.records.length >= b.lines().length);
  assert.deepEqual(good.faults, []);
  assert.deepEqual(good.records.map(seq), upTo(b.lines().length));
  assert.equal(b.records({ kind: 'request' }).length, gets);
});

const exporters = (pid) => descendants(pid).filter((p) => { try { return fs.readFileSync(`/proc/${p}/cmdline`, 'latin1').startsWith('sallyport\0egress\0export\0'); } catch { return false; } });

test('audit.otlp: under a worker: a new policy changes the collector, a killed exporter is the keeper\'s alone, and it ends with it', async () => {
  const [one, two] = [await collector(), await collector()];
  const at = await origin({ plain: true });
  const b = boundary({ dns, allow: [rule('api.test', at.port, { inspect: true })] });
  const policy = (otlp) => b.write({ ...b.policy, audit: { file: b.audit, ...(otlp ? { otlp } : {}) } });
  policy({ endpoint: one.url });
  const i = await inside({ workerArgs: ['--egress', b.file] });
  let pids;
  try {
    await i.w.proc.line(/^ready/m, ms(60000));
    const x = await i.session();
    const get = async (path) => assert.match(await i.sh(x, `curl -sS -o /dev/null -w 'code=%{http_code}' http://api.test:${at.port}${path}`), /code=200/);
    const has = (c, path) => until(path, () => c.records.some((r) => r.attributes['url.path'] === path));
    await get('/one');
    await has(one, '/one');
    assert.equal(exporters(i.w.pid).length, 1);
    policy({ endpoint: two.url });
    process.kill(i.w.pid, 'SIGHUP');
    await until('another exporter', () => two.requests.length > 0 || i.sh(x, `curl -sS -o /dev/null http://api.test:${at.port}/tick`).then(() => two.requests.length > 0));
    const before = one.requests.length;
    await get('/two');
    await has(two, '/two');
    assert.equal(one.requests.length, before, 'the old collector gets no more');
    policy(null);
    process.kill(i.w.pid, 'SIGHUP');
    await until('no exporter', () => exporters(i.w.pid).length === 0);
    await get('/three');
    policy({ endpoint: one.url });
    process.kill(i.w.pid, 'SIGHUP');
    await has(one, '/three');
    pids = exporters(i.w.pid);
    assert.equal(pids.length, 1);
    process.kill(pids[0], 'SIGKILL');
    await until('it is gone', () => !alive(pids[0]));
    await get('/four');   // nothing in the sandbox notices
    process.kill(i.w.pid, 'SIGHUP');   // the same policy: no reason to start it before its minute is over
    policy({ endpoint: two.url });
    process.kill(i.w.pid, 'SIGHUP');
    await has(two, '/four');
    pids = exporters(i.w.pid);
    const keeper = Number(fs.readFileSync(`/proc/${pids[0]}/stat`, 'utf8').match(/\) \S (\d+) /)[1]);
    assert.match(fs.readFileSync(`/proc/${keeper}/cmdline`, 'latin1'), /^sallyport\0egress\0keeper\0/);
    process.kill(keeper, 'SIGKILL');   // the worker starts another keeper, and that another exporter
    await until('it ends with the keeper, and there is another', () => !alive(pids[0]) && exporters(i.w.pid).length === 1);
    await get('/five');
    await has(two, '/five');
    await x.close();
    pids = exporters(i.w.pid);
  } finally { await i.stop(); }
  assert.equal(pids.length, 1);
  assert(!alive(pids[0]), 'it ends with the worker');
  const rest = await run(BIN, ['audit', 'send', '--log', b.audit, two.url]);   // what two seconds were too short for, on a busy machine
  assert.equal(rest.code, 0, rest.err);
  assert.deepEqual([...one.faults, ...two.faults], []);
  const all = new Set([...one.records, ...two.records].map(seq));
  assert.deepEqual([...all].sort((p, q) => p - q), upTo(b.lines().length), 'every line is at one of them');
  assert.equal((await b.verify()).code, 0);
});

test('audit.otlp: values of headers come from sources, and stay there', async () => {
  const c = await collector();
  const file = path.join(tempDir('otlp'), 'token');
  fs.writeFileSync(file, `Bearer ${SECRET}\n`, { mode: 0o600 });
  const b = await sending({ endpoint: c.url, headers: { authorization: { file }, 'x-scope-orgid': { env: 'TENANT' } } }, { env: { TENANT: 'acme-tenant' } });
  const r = await b.sh('env; cat /proc/*/environ 2>/dev/null | tr "\\0" "\\n"');
  assert.equal(r.code, 0, r.err);
  assert.doesNotMatch(r.out, /acme-tenant/);
  assert(c.requests.length > 0);
  for (const q of c.requests) {
    assert.equal(q.headers.authorization, `Bearer ${SECRET}`);
    assert.equal(q.headers['x-scope-orgid'], 'acme-tenant');
  }
  for (const f of fs.readdirSync(b.dir)) holdsNo(f, SECRET, fs.readFileSync(path.join(b.dir, f), 'latin1'));
});

test('audit.otlp: what cannot be used is refused when the policy is loaded', async () => {
  const file = path.join(tempDir('otlp'), 'token');
  const cases = [
    [{}, /audit\.otlp\.endpoint.*is missing/],
    [{ endpoint: 'otel.corp' }, /audit\.otlp: write the collector's URL/],
    [{ endpoint: 'https://me:pw@otel.corp' }, /names a user/],
    [{ endpoint: 'http://otel.corp:4318', headers: { authorization: { file } } }, /headers go to https:\/\/ and to this host itself only/],
    [{ endpoint: 'https://otel.corp', headers: { host: { file } } }, /header "host" cannot be sent/],
    [{ endpoint: 'https://otel.corp', headers: { authorization: SECRET } }, /the source of a secret is expected/],
    [{ endpoint: 'https://otel.corp', headers: { authorization: { fil: file } } }, /egress\.audit\.otlp\.headers\.authorization: a source needs/],
    [{ endpoint: 'https://otel.corp', header: {} }, /header/],
  ];
  for (const [otlp, words] of cases) {
    const b = await sending(otlp);
    const r = await b.get();   // its output is searched for the secret
    assert.notEqual(r.code, 0, JSON.stringify(otlp));
    assert.match(r.err, words);
    assert.equal(r.out, '');
  }
});
