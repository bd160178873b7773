// The gateway as two processes: what the one that hears strangers has given up, what it gets all the same, and
// what becomes of one when the other ends.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { call, edgeServer, gatewayConfig, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { alive, BIN, CLOSED, ms, run, tempDir, until, within } from '../lib/own.mjs';

const ROOT = process.getuid() === 0, UID = 64718;
const DENY = path.join(path.dirname(BIN), 'tests', 'lib', 'deny'), BREAKOUT = path.join(path.dirname(BIN), 'tests', 'lib', 'breakout.so');
const SANITIZED = !!process.env.ASAN_OPTIONS && 'the sanitizer wants to be loaded first';
const SIGSYS = 31;
// Without Landlock only its user keeps it from files.
const NO_LANDLOCK = !/"id":\s*"landlock"[^}]*"verdict":\s*"ok"/.test((await run(BIN, ['doctor', '--json'], { timeout: ms(60000) })).out) && 'this kernel has no Landlock';

let s, t, echo, port;
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  echo = http.createServer((q, r) => r.end(`echo ${q.headers.authorization ?? ''}`));
  await new Promise((ok) => { echo.listen(0, '127.0.0.1', ok); });
  port = echo.address().port;
});
after(async () => { echo?.closeAllConnections(); echo?.close(); await s?.stop(); });

const routes = () => ({ echo: `http://127.0.0.1:${port}` });
const field = (pid, name) => fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${name}:[ \t]*(.*)$`, 'm'))[1].trim().split(/\s+/);
const isFine = async (at = t) => assert.equal((await call(s, at, `echo.${at.domain}`)).status, 200);

describe('the gateway proper', () => {
  let g;
  before(async () => { g = await startGateway(s, t, routes()); });
  after(() => g?.stop());

  test('has no rights: the kernel says so', () => {
    const pid = g.pid();
    for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb', ...(ROOT ? ['CapBnd'] : [])]) assert.deepEqual(field(pid, name), ['0000000000000000'], name);
    assert.deepEqual(field(pid, 'NoNewPrivs'), ['1']);
    assert.deepEqual(field(pid, 'Seccomp'), ['2']);
    const who = ROOT ? UID : process.getuid();
    assert.deepEqual(field(pid, 'Uid'), Array(4).fill(String(who)));
    if (ROOT) { assert.deepEqual(field(pid, 'Gid'), Array(4).fill(String(UID))); assert.deepEqual(field(pid, 'Groups'), ['']); }
    // Presence: the keeper is who started it, and has what it has always had.
    assert.deepEqual(field(g.proc.pid, 'Uid'), Array(4).fill(String(process.getuid())));
    assert.deepEqual(field(g.proc.pid, 'Seccomp'), ['0']);
  });

  test('cannot be looked into by its own user', { skip: !ROOT && 'an ordinary user sees it by not seeing it' }, () => {
    // What cannot be dumped belongs to root in /proc, whoever its user is.
    assert.equal(fs.statSync(`/proc/${g.pid()}/environ`).uid, 0);
  });

  test('holds no file open, and has no environment', { skip: CLOSED }, () => {
    const pid = g.pid(), open = fs.readdirSync(`/proc/${pid}/fd`).map((n) => fs.readlinkSync(`/proc/${pid}/fd/${n}`));
    assert(open.some((to) => to.startsWith('socket:')), 'presence');
    assert.deepEqual(open.filter((to) => to.startsWith('/') && !/^\/dev\/(null|pts\/\d+)$|^\/proc\/\d+\/(fd|statm|status)$/.test(to)), []);
    assert.equal(fs.readFileSync(`/proc/${pid}/environ`, 'utf8'), '');
  });

  test('does not mind the signals that a service manager sends to everybody', async () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.kill(g.pid(), signal);
    await isFine();
    assert(!g.proc.ended);
  });

  test('shows what it has open and keeps in memory', async () => {
    assert(await g.metric('sallyport_process_open_descriptors') > 5);
    assert(await g.metric('sallyport_process_resident_bytes') > 1 << 20);
  });
});

describe('one that a stranger has taken over', { skip: SANITIZED }, () => {
  const taken = (what) => (bin, argv) => ['env', `LD_PRELOAD=${BREAKOUT}`, `LD_BREAKOUT=${what}`, bin, ...argv];
  /** A gateway in which `what` is tried: what came of it. */
  const attempt = async (what) => {
    const g = await startGateway(s, t, routes(), { wrap: taken(what) });
    await fetch(`http://${g.page}/healthz`).catch(() => {});
    return g;
  };
  const errnoOf = async (what) => {
    const g = await attempt(what);
    try { return Number((await g.proc.line(/^breakout \w+: (\d+)$/m))[1]); } finally { await g.stop(); }
  };
  const EACCES = 13, EPERM = 1;

  test('reads no file: not the configuration, no key, no token, and none of the machine\'s', { skip: NO_LANDLOCK }, async () => {
    // Readable for every user, so that what refuses is not the mode.
    const open = path.join(tempDir('open'), 'open');
    fs.writeFileSync(open, 'x', { mode: 0o644 });
    fs.chmodSync(path.dirname(open), 0o755);
    for (const file of [open, t.leaf.keyFile, t.tokenFile, '/etc/passwd', '/etc/hosts', '/proc/self/environ'])
      assert.equal(await errnoOf(`read:${file}`), EACCES, file);
    // Presence: what it may read it can, so it was an attempt.
    assert.equal(await errnoOf('read:/dev/null'), 0);
  });

  test('writes none', async () => {
    const file = path.join(tempDir('made'), 'made');
    assert.equal(await errnoOf(`write:${file}`), EPERM);
    assert(!fs.existsSync(file));
  });

  test('reaches no Unix socket', async () => {
    const file = path.join(tempDir('sock'), 's'), there = http.createServer((q, r) => r.end());
    await new Promise((ok) => { there.listen(file, ok); });
    fs.chmodSync(file, 0o777);
    assert.equal(await errnoOf(`unix:${file}`), EPERM);
    there.close();
  });

  for (const what of ['exec', 'kill']) test(`is ended for an attempt to ${what}, and another takes its place`, async () => {
    const g = await attempt(what);
    await g.proc.line(new RegExp(`msg="a signal has ended the gateway" signal=${SIGSYS} again=yes`));
    await g.proc.line(/msg="the gateway serves again"/);
    await until('callers are served', async () => { await isFine(); return true; });   // the edge may not have missed the other one yet
    await g.stop();
    assert.equal(g.proc.code, 0, g.proc.err);
    assert.equal(g.proc.out.match(/^ready /gm).length, 1);
  });

  test('is ended when it says to its keeper what makes no sense', async () => {
    const g = await attempt('garble');
    await g.proc.line(/^breakout garble: 0$/m);
    await g.proc.line(/msg="the gateway does not speak to its keeper any more, and is ended"/);
    await g.proc.line(/msg="a signal has ended the gateway" signal=9 again=yes/);
    await g.proc.line(/msg="the gateway serves again"/);
    await g.stop();
  });
});

describe('one that cannot lock itself in', { skip: SANITIZED }, () => {
  const refused = async (rules) => {
    const file = path.join(tempDir('gw'), 'g.yaml');
    fs.writeFileSync(file, gatewayConfig(s, t, routes()));
    const r = await run(DENY, [...rules, '--', BIN, 'gateway', '--config', file, '--metrics', 'none']);
    assert.equal(r.code, 1, r.err);
    assert.equal(r.out, '');
    assert.doesNotMatch(r.err, /connected to the edge/);
    return r.err;
  };
  test('does not serve: no filter', async () => assert.match(await refused(['eperm=seccomp:1,prctl:22']), /^sallyport gateway: .+/m));
  test('does not serve: no_new_privs', async () => assert.match(await refused(['eperm=prctl:38']), /^sallyport gateway: no_new_privs cannot be set/m));
  test('does not serve: Landlock', { skip: NO_LANDLOCK }, async () => assert.match(await refused(['eperm=landlock_restrict_self']), /^sallyport gateway: could not apply the Landlock ruleset/m));
  test('does not serve: its user', { skip: !ROOT && 'an ordinary user stays who it is' }, async () => assert.match(await refused(['eperm=setresuid,setresgid,setgroups']), /^sallyport gateway: cannot become user 64718/m));
});

describe('two processes', () => {
  test('a keeper that is killed takes the gateway with it, also one that hangs', async () => {
    for (const hangs of [false, true]) {
      const g = await startGateway(s, t, routes()), pid = g.pid();
      if (hangs) process.kill(pid, 'SIGSTOP');
      await g.stop('SIGKILL');
      await until('the gateway is gone', () => !alive(pid), ms(2000));
    }
  });

  test('a gateway that is killed is replaced, with the files and the audit log of then', async () => {
    const log = path.join(tempDir('audit'), 'audit.jsonl');
    const own = await makeTunnel(s), g = await startGateway(s, own, routes(), { config: { audit: { file: log } } });
    await isFine(own);
    const requests = () => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l)).filter((r) => r.by === 'gateway' && r.kind === 'request');
    await until('it is recorded', () => requests().length === 1);   // one that is killed takes along what it has not handed over yet
    const pid = g.pid();
    g.write({ echo: `http://127.0.0.1:${port}`, more: `http://127.0.0.1:${port}` }, { audit: { file: log } });
    process.kill(pid, 'SIGKILL');
    await g.proc.line(/msg="a signal has ended the gateway" signal=9 again=yes/);
    await g.proc.line(/msg="the gateway serves again"/);
    assert.notEqual(g.pid(), pid);
    await until('the new route is served', async () => (await call(s, own, `more.${own.domain}`)).status === 200);
    await g.stop();
    assert.equal(g.proc.code, 0, g.proc.err);
    assert.deepEqual(requests().map((r) => r.host), [`echo.${own.domain}`, `more.${own.domain}`]);
  });

  test('a second signal ends both at once, though a caller waits', async () => {
    const own = await makeTunnel(s);
    let asked;
    const slow = http.createServer(() => { asked = true; });
    await new Promise((ok) => { slow.listen(0, '127.0.0.1', ok); });
    const g = await startGateway(s, own, { slow: `http://127.0.0.1:${slow.address().port}` }), pid = g.pid();
    const r = call(s, own, `slow.${own.domain}`).catch((e) => e);
    await until('the server is asked', () => asked);
    g.proc.kill('SIGTERM');
    await g.proc.line(/msg="stopping" callers=1/);
    assert(alive(pid), 'presence: it waits for its caller');
    g.proc.kill('SIGTERM');
    await within(g.proc.exit, ms(3000), 'the keeper ends');
    assert.equal(g.proc.code, 1);
    assert.match(g.proc.err, /msg="stopped at once"/);
    await until('the gateway is gone', () => !alive(pid), ms(2000));
    assert(await r instanceof Error);
    slow.closeAllConnections();
    slow.close();
  });

  test('a keeper that is told to stop while there is no gateway ends in order', async () => {
    const g = await startGateway(s, t, routes());
    process.kill(g.pid(), 'SIGKILL');
    await g.proc.line(/msg="a signal has ended the gateway" signal=9 again=yes/);
    await g.stop();
    assert.equal(g.proc.code, 0, g.proc.err);
  });

  test('one that never served is not tried again', async () => {
    const file = path.join(tempDir('gw'), 'g.yaml'), other = await makeTunnel(s);
    fs.writeFileSync(file, gatewayConfig(s, { ...t, leaf: { certFile: t.leaf.certFile, keyFile: other.leaf.keyFile } }, routes()));
    const r = await run(BIN, ['gateway', '--config', file, '--metrics', 'none']);
    assert.equal(r.code, 1);
    assert.equal(r.err.match(/sallyport gateway: /g).length, 1, r.err);
  });

  test('nobody starts the gateway proper by hand', async () => {
    const r = await run(BIN, ['gateway', 'confined', 'info']);
    assert.equal(r.code, 2);
    assert.match(r.err, /is started by sallyport gateway, not by hand/);
  });

  test('a secret of a command, a file and the environment: the gateway asks for each when it is needed', async () => {
    const dir = tempDir('secret'), file = path.join(dir, 'key');
    fs.writeFileSync(file, 'of-the-file-1\n', { mode: 0o600 });
    const credential = (source) => ({ upstream: `http://127.0.0.1:${port}`, credential: { header: 'Authorization', value: 'Bearer ${secret}', source, plaintext: true } });
    const seen = [];
    const usual = echo.listeners('request')[0];
    echo.removeAllListeners('request').on('request', (q, r) => { seen.push(q.headers.authorization); r.end(); });
    const own = await makeTunnel(s);
    const g = await startGateway(s, own, { a: credential({ file }), b: credential({ exec: ['/bin/echo', 'of-the-command'] }), c: credential({ env: 'KEY_OF_C' }) },
      { wrap: (bin, argv) => ['env', 'KEY_OF_C=of-the-variable', bin, ...argv] });
    for (const name of ['a', 'b', 'c']) assert.equal((await call(s, own, `${name}.${own.domain}`)).status, 200);
    fs.writeFileSync(file, 'of-the-file-2\n', { mode: 0o600 });
    assert.equal((await call(s, own, `a.${own.domain}`)).status, 200);
    await g.stop();
    echo.removeAllListeners('request').on('request', usual);
    assert.deepEqual(seen, ['Bearer of-the-file-1', 'Bearer of-the-command', 'Bearer of-the-variable', 'Bearer of-the-file-2']);
  });
});
