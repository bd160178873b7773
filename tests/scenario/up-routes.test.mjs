// `sallyport up` with `routes:`: a tunnel and a gateway without a further command, found again at each start.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { alive, BIN, descendants, end, FULL, here, ms, repo, run, start, tempDir, until } from '../lib/own.mjs';
import { asScript, consoleCommands } from '../lib/page.mjs';
import { sdk1Server } from '../lib/tunnel-mcp.mjs';
import { alertOf } from '../lib/tunnel.mjs';

const TOKEN = 'wiki-key-0123456789abcdef';
let wiki;
before(async () => {
  wiki = http.createServer((q, r) => {
    wiki.seen = q.headers;
    if (q.url === '/slow') { wiki.slow = () => r.end('at last'); return; }
    r.end('what only insiders know');
  });
  await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
  wiki.url = `http://127.0.0.1:${wiki.address().port}`;
});
after(() => { wiki.closeAllConnections(); wiki.close(); });

const LOOSE = { listen: '127.0.0.1:0', ingress: '127.0.0.1:0', metrics: 'none' };
const newData = () => path.join(tempDir('up-routes'), 'data');
/** up with this configuration (JSON is YAML), not waited for. */
function begin(data, config, ...args) {
  const file = path.join(tempDir('up-conf'), 'up.yaml');
  fs.writeFileSync(file, JSON.stringify(config));
  const p = start(BIN, ['up', '--config', file, '--data', data, ...args]);
  return Object.assign(p, { file, data });
}
async function up(data, config, ...args) {
  const p = begin(data, config, ...args);
  await p.line(/^ {2}next /m, ms(30000));
  p.routes = [...p.out.matchAll(/^ {2}(?:routes)? +https:\/\/(\S+):(\d+)$/mg)].map(([, host, port]) => ({ host, port: Number(port) }));
  p.ca = p.out.match(/^ {2}their CA +(\S+)$/m)?.[1];
  return p;
}
async function stop(p, code = 0) {
  const kids = descendants(p.pid);
  await end(p, { timeout: ms(60000) });
  assert.equal(p.code, code, p.tail());
  await until('nothing of it is left', () => kids.every((k) => !alive(k)));
}
/** What curl gets from a route, as a stranger with the CA would: no --resolve, names below localhost lead here. */
const get = (p, { host, port }, at = '/') => run('curl', ['-sS', '-w', ' %{http_code}', '--cacert', p.ca, `https://${host}:${port}${at}`]);
const gets = async (p, route, text) => { const r = await get(p, route); assert.equal(r.out, text, r.err); };
const kid = (p, word) => descendants(p.pid).find((k) => { try { return fs.readFileSync(`/proc/${k}/cmdline`, 'utf8').split('\0')[1] === word; } catch { return false; } });
const state = (data) => JSON.parse(fs.readFileSync(path.join(data, 'up-gateway', 'setup.json'), 'utf8'));
const serial = (data) => new crypto.X509Certificate(fs.readFileSync(path.join(data, 'up-gateway', 'gateway.pem'))).serialNumber;

describe('a run with routes', () => {
  let p, data;
  before(async () => {
    data = newData();
    const key = path.join(tempDir('key'), 'wiki.key');
    fs.writeFileSync(key, TOKEN, { mode: 0o600 });
    p = await up(data, { ...LOOSE, routes: { wiki: wiki.url, tickets: { upstream: wiki.url, credential: { header: 'Authorization', value: `Bearer \${file:${key}}`, plaintext: true } } } });
  });
  after(() => stop(p));

  test('the flat form and the object are reached with the CA that is told, and the credential is added', async () => {
    assert.deepEqual(p.routes.map((r) => r.host), ['wiki', 'tickets'].map((n) => `${n}.${state(data).domain}`));
    await gets(p, p.routes[0], 'what only insiders know 200');
    assert.equal(wiki.seen.authorization, undefined);
    await gets(p, p.routes[1], 'what only insiders know 200');
    assert.equal(wiki.seen.authorization, `Bearer ${TOKEN}`);
  });

  test('files and processes are closed, and no secret is told', async () => {
    const dir = path.join(data, 'up-gateway');
    const modes = Object.fromEntries(fs.readdirSync(dir).filter((f) => !f.startsWith('audit.')).sort().map((f) => [f, (fs.statSync(path.join(dir, f)).mode & 0o777).toString(8)]));
    assert.deepEqual(modes, { 'ca.key': '600', 'ca.pem': '644', 'gateway.pem': '600', 'gateway.yaml': '600', 'setup.json': '600', 'tunnel.token': '600' });
    assert.equal(fs.statSync(dir).mode & 0o777, 0o700);
    const secrets = [TOKEN, fs.readFileSync(path.join(dir, 'tunnel.token'), 'utf8').trim(), ...fs.readFileSync(path.join(dir, 'ca.key'), 'utf8').split('\n').filter((l) => l.length > 15 && !l.startsWith('-----'))];
    assert(secrets.length >= 4);
    for (const s of secrets) {
      assert(!(p.out + p.err).includes(s));
      for (const pid of [p.pid, ...descendants(p.pid)])
        for (const f of ['cmdline', 'environ']) { let t = ''; try { t = fs.readFileSync(`/proc/${pid}/${f}`, 'latin1'); } catch { continue; } assert(!t.includes(s), `${pid} ${f}`); }
    }
    assert(!fs.readFileSync(path.join(dir, 'gateway.yaml'), 'utf8').includes(TOKEN));
  });

  test('sallyport doctor tells which command looks into the routes', async () => {
    const r = await run(BIN, ['doctor', '--json', '--data', data], { timeout: ms(60000) });
    assert.equal(JSON.parse(r.out).checks.find((c) => c.id === 'gateway').text, `sallyport up has had routes; sallyport gateway doctor --config ${data}/up-gateway/gateway.yaml looks into them`);
  });

  test('calls are recorded', async () => {
    await gets(p, p.routes[0], 'what only insiders know 200');
    const log = path.join(data, 'up-gateway', 'audit.jsonl');
    await until('the call is recorded', () => fs.readFileSync(log, 'utf8').split('\n').some((l) => l.includes(`"${p.routes[0].host}"`) && l.includes('"allow"')));
  });

  test('gateway doctor, with the configuration that up has written, finds nothing in the way of the edge', async () => {
    const r = await run(BIN, ['gateway', 'doctor', '--json', '--config', path.join(data, 'up-gateway', 'gateway.yaml')]);
    const bad = JSON.parse(r.out).checks.filter((c) => c.verdict === 'fail' && c.id !== 'route_mcp');
    assert.deepEqual(bad, []);
  });

  test('SIGHUP goes on to the gateway: a secret that has an hour left is read anew', async () => {
    const key = path.join(tempDir('key'), 'key'), seen = async () => { await gets(q, q.routes[0], 'what only insiders know 200'); return wiki.seen['x-key']; };
    fs.writeFileSync(key, 'first-value');
    const q = await up(newData(), { ...LOOSE, routes: { wiki: { upstream: wiki.url, credential: { header: 'X-Key', value: '${secret}', source: { exec: ['/bin/cat', key], ttl: '1h' }, plaintext: true } } } });
    assert.equal(await seen(), 'first-value');
    fs.writeFileSync(key, 'second-value');
    assert.equal(await seen(), 'first-value');
    process.kill(q.pid, 'SIGHUP');
    await until('the other value', async () => await seen() === 'second-value');
    await q.line(/msg="SIGHUP is handed on to worker and gateway; what has changed in this program's own configuration needs a restart"/);
    await stop(q);
  });

  test('a gateway that dies is started again, and up says so', async () => {
    const first = kid(p, 'gateway');
    process.kill(first, 'SIGKILL');
    await p.line(/msg="child ended, will be started again" child=gateway signal=9/);
    await until('another one', () => kid(p, 'gateway') && kid(p, 'gateway') !== first);
    await until('it serves', async () => (await get(p, p.routes[0])).out === 'what only insiders know 200');
  });
});

describe('start after start', () => {
  test('the same tunnel and CA each time; routes come, change and go', async () => {
    const data = newData();
    let p = await up(data, { ...LOOSE, routes: { wiki: wiki.url } });
    const { tunnel_id: id, domain } = state(data), ca = fs.readFileSync(p.ca), cert = serial(data);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);

    p = await up(data, { ...LOOSE, routes: { wiki: wiki.url } });
    assert.deepEqual([state(data).tunnel_id, p.routes[0].host, fs.readFileSync(p.ca), serial(data)], [id, `wiki.${domain}`, ca, cert]);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);

    p = await up(data, { ...LOOSE, routes: { tickets: { upstream: wiki.url } } });
    assert.deepEqual(p.routes.map((r) => r.host), [`tickets.${domain}`]);
    await gets(p, p.routes[0], 'what only insiders know 200');
    const old = await get(p, { ...p.routes[0], host: `wiki.${domain}` });
    assert.match(old.out, /"source":"policy".* 404$/s);
    await stop(p);

    p = await up(data, { listen: '127.0.0.1:0', metrics: 'none' });
    assert.deepEqual([p.routes, p.ca, kid(p, 'gateway')], [[], undefined, undefined]);
    assert(kid(p, 'worker'));
    // Nobody takes the old routes for ones that count; the rest is there for the next time.
    assert(!fs.existsSync(path.join(data, 'up-gateway', 'gateway.yaml')));
    assert.deepEqual([state(data).tunnel_id, fs.readFileSync(path.join(data, 'up-gateway', 'ca.pem')), serial(data), fs.existsSync(path.join(data, 'up-gateway', 'tunnel.token'))], [id, ca, cert, true]);
    const gone = await run(BIN, ['gateway', 'doctor', '--json'], { env: { XDG_DATA_HOME: path.dirname(data) }, cwd: path.dirname(data) });
    assert.equal(JSON.parse(gone.out).checks.find((c) => c.id === 'config').verdict, 'fail', gone.out);
    await stop(p);

    p = await up(data, { ...LOOSE, routes: { wiki: wiki.url } });
    assert.deepEqual(p.routes.map((r) => r.host), [`wiki.${domain}`]);
    await gets(p, p.routes[0], 'what only insiders know 200');
    const env = Object.fromEntries(fs.readFileSync(path.join(data, 'dev.env'), 'utf8').split('\n').filter((l) => l.startsWith('export ')).map((l) => l.slice(7).split('=')));
    const list = await run(BIN, ['tunnel', 'list', '--data', data], { env: { ANTHROPIC_BASE_URL: env.ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY: env.ANTHROPIC_API_KEY } });
    assert.equal(list.out.match(/tnl_/g).length, 1, list.out);
    await stop(p);
  });

  test('without routes there is no CA, no tunnel, no gateway and no further port', async () => {
    const data = newData(), p = await up(data, { listen: '127.0.0.1:0', metrics: 'none' });
    assert.deepEqual([fs.existsSync(path.join(data, 'up-gateway')), fs.existsSync(path.join(data, 'tunnel.key')), kid(p, 'gateway')], [false, false, undefined]);
    const ports = fs.readdirSync(`/proc/${p.pid}/fd`).map((f) => { try { return fs.readlinkSync(`/proc/${p.pid}/fd/${f}`).match(/^socket:\[(\d+)\]$/)?.[1]; } catch { return undefined; } }).filter(Boolean);
    const listening = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((l) => l.trim().split(/\s+/)).filter((c) => c[3] === '0A' && ports.includes(c[9])).map((c) => parseInt(c[1].split(':')[1], 16));
    assert.deepEqual(listening, [Number(p.out.match(/^ready http:\/\/127\.0\.0\.1:(\d+)$/m)[1])]);
    await stop(p);
  });

  test('an ingress without routes is told, and is for gateways of one\'s own', async () => {
    const p = await up(newData(), LOOSE), port = Number(p.out.match(/^ {2}ingress +127\.0\.0\.1:(\d+)$/m)[1]);
    assert.equal(await alertOf({}, 'wiki.t-none.tunnel.localhost', { port }), 112, 'unrecognized_name');
    assert.equal(kid(p, 'gateway'), undefined);
    await stop(p);
  });

  test('a certificate that is due is renewed at the start; the CA stays', { skip: !!process.env.ASAN_OPTIONS && 'the sanitizer wants to be loaded first' }, async () => {
    const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } };
    let p = await up(data, config);
    const ca = fs.readFileSync(p.ca);
    await stop(p);
    // One of 24 hours, made 22 hours ago: it is good, and less than a third of its life is left.
    const then = { LD_PRELOAD: path.join(path.dirname(BIN), 'tests', 'lib', 'clock_off.so'), LD_CLOCK_OFF: String(-22 * 3600) };
    const r = await run(BIN, ['gateway', 'renew-cert', '--config', path.join(data, 'up-gateway', 'gateway.yaml'), '--force', '--cert-duration', '24h'], { env: then });
    assert.equal(r.code, 0, r.err);
    assert(new Date(new crypto.X509Certificate(fs.readFileSync(path.join(data, 'up-gateway', 'gateway.pem'))).validTo) - Date.now() < 3 * 3600e3, 'the clock was another one');
    const due = serial(data);
    p = await up(data, config);
    assert.notEqual(serial(data), due);
    const x = new crypto.X509Certificate(fs.readFileSync(path.join(data, 'up-gateway', 'gateway.pem')));
    assert(new Date(x.validTo) - Date.now() > 80 * 86400e3);
    assert.deepEqual(fs.readFileSync(p.ca), ca);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);
  });

  test('a tunnel that was archived is told, with what to do, which works', async () => {
    const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } };
    let p = await up(data, config);
    const { tunnel_id: id } = state(data);
    const gone = await run(BIN, ['tunnel', 'archive', id, '--yes', '--data', data]);
    assert.equal(gone.code, 0, gone.err);
    await stop(p);
    p = begin(data, config);
    await p.exit;
    assert.equal(p.code, 1);
    assert.match(p.err, new RegExp(`the tunnel ${id} is archived`));
    const dir = p.err.match(/To begin anew, with another tunnel, remove (\S+)$/m)[1];
    fs.rmSync(dir, { recursive: true });
    p = await up(data, config);
    assert.notEqual(state(data).tunnel_id, id);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);
  });

  test('a token that was rotated is told, with what to do, which works', async () => {
    const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } };
    let p = await up(data, config);
    const { tunnel_id: id } = state(data);
    const other = await run(BIN, ['tunnel', 'token', 'rotate', id, '--data', data]);
    assert.equal(other.code, 0, other.err);
    await stop(p);
    p = begin(data, config);
    await p.exit;
    assert.equal(p.code, 1);
    const file = p.err.match(/(\S+) is not the tunnel's token any more: it was rotated\. Remove the file and run this again/)[1];
    fs.rmSync(file);
    p = await up(data, config);
    assert.equal(state(data).tunnel_id, id);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);
  });

  test('pins are kept, and the commands for people find the gateway of up', async () => {
    const xdg = tempDir('xdg'), data = path.join(xdg, 'sallyport'), mcp = await sdk1Server();
    const config = { ...LOOSE, routes: { wiki: { upstream: `http://127.0.0.1:${mcp.port}`, pin_tools: true } } };
    const pins = () => run(BIN, ['gateway', 'pins', 'list'], { env: { XDG_DATA_HOME: xdg }, cwd: xdg });
    let p = await up(data, config);
    const r = await run(BIN, ['mcp', 'list', `https://${p.routes[0].host}:${p.routes[0].port}/mcp`, '--ca-file', p.ca]);
    assert.equal(r.code, 0, r.err);
    const first = await pins();
    assert.match(first.out, /^wiki {2}pin_tools: true, 6 pinned/m, first.err);
    await stop(p);
    p = await up(data, config);
    assert.match((await pins()).out, /^wiki {2}pin_tools: true, 6 pinned/m);
    await stop(p);
    mcp.stop();
  });

  test('a configuration that is somebody else\'s is not written over', async () => {
    const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } }, yaml = path.join(data, 'up-gateway', 'gateway.yaml');
    await stop(await up(data, config));
    for (const text of ['edge: http://127.0.0.1:1\n', '']) {
      fs.writeFileSync(yaml, text);
      const p = begin(data, config);
      await p.exit;
      assert.equal(p.code, 1);
      assert(p.err.includes(`${yaml} is there, and sallyport up has not written it: move it away`), p.err);
      assert.equal(fs.readFileSync(yaml, 'utf8'), text);
    }
    await stop(await up(data, { listen: '127.0.0.1:0', metrics: 'none' }));
    assert.equal(fs.readFileSync(yaml, 'utf8'), '', 'nor removed by a start without routes');
    fs.rmSync(yaml);
    const p = await up(data, config);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);
  });

  test('as root, below a directory that others may write to: the reason is told as it is', { skip: process.getuid() !== 0 && 'only root is that careful' }, async () => {
    const data = newData(), above = path.dirname(data);
    fs.chmodSync(above, 0o777);
    const p = begin(data, { ...LOOSE, routes: { wiki: wiki.url } });
    await p.exit;
    assert.equal(p.code, 1);
    assert(p.err.includes(`sallyport up: others may write to ${above}, and root follows no paths that others may change: chmod go-w`), p.err);
    assert(!/gateway init|To begin anew|remove/.test(p.err), p.err);
    fs.chmodSync(above, 0o755);
    await stop(await up(data, { ...LOOSE, routes: { wiki: wiki.url } }));
  });

  test('a tunnel that was there is taken', async () => {
    const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } };
    let p = await up(data, { listen: '127.0.0.1:0', metrics: 'none' });
    const id = (await run(BIN, ['tunnel', 'create', '--name', 'mine', '--data', data])).out.trim();
    const r = await run(BIN, ['gateway', 'init', '--bare', '--dir', path.join(data, 'up-gateway'), '--tunnel-id', id, '--data', data]);
    assert.equal(r.code, 0, r.err);
    assert(!/configuration|start it with/.test(r.out), r.out);
    await stop(p);
    p = await up(data, config);
    assert.equal(state(data).tunnel_id, id);
    await gets(p, p.routes[0], 'what only insiders know 200');
    await stop(p);
  });

  test('--detach returns when the gateway serves', async () => {
    const data = newData(), file = path.join(tempDir('up-conf'), 'up.yaml');
    fs.writeFileSync(file, JSON.stringify({ ...LOOSE, routes: { wiki: wiki.url } }));
    const r = await run(BIN, ['up', '--detach', '--config', file, '--data', data], { timeout: ms(60000) });
    assert.equal(r.code, 0, r.out + r.err);
    const pid = Number(r.out.match(/^ {2}pid +(\d+)/m)[1]);
    try {
      const [, host, port] = r.out.match(/^ {2}routes +https:\/\/(\S+):(\d+)$/m);
      assert.equal((await get({ ca: path.join(data, 'up-gateway', 'ca.pem') }, { host, port })).out, 'what only insiders know 200');
    } finally { process.kill(pid, 'SIGTERM'); }
    await until('it has ended', () => !alive(pid), ms(30000));
  });
});

describe('stopping', () => {
  test('a call that runs is answered, then everything ends', async () => {
    const p = await up(newData(), { ...LOOSE, routes: { wiki: wiki.url } });
    const slow = get(p, p.routes[0], '/slow');
    await until('it runs', () => wiki.slow);
    const kids = descendants(p.pid);
    p.kill();
    await until('no new callers', async () => (await get(p, p.routes[0])).code !== 0);
    assert(kids.some(alive), 'it waits');
    wiki.slow();
    assert.equal((await slow).out, 'at last 200');
    await p.exit;
    assert.equal(p.code, 0, p.tail());
    await until('nothing of it is left', () => kids.every((k) => !alive(k)));
  });

  test('killed at any moment of the first start, the next one goes on with one tunnel', async () => {
    const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } }, dir = path.join(data, 'up-gateway');
    for (const moment of ['setup.json', 'ca.pem', 'gateway.yaml']) {
      const p = begin(data, config);
      await until(moment, () => fs.existsSync(path.join(dir, moment)));
      const kids = descendants(p.pid);
      p.kill('SIGKILL');
      await p.exit;
      await until('what it has started is gone, too', () => kids.every((k) => !alive(k)));
    }
    const p = await up(data, config);
    await gets(p, p.routes[0], 'what only insiders know 200');
    const list = await run(BIN, ['tunnel', 'list', '--data', data]);
    assert.equal(list.out.match(/tnl_/g).length, 1, list.out);
    await stop(p);
  });

  test('killed while it makes the tunnel, the next one makes no second', async () => {
    for (let i = 0; i < (FULL ? 60 : 8); i++) {
      const data = newData(), config = { ...LOOSE, routes: { wiki: wiki.url } }, setup = path.join(data, 'up-gateway', 'setup.json');
      let p = begin(data, config);
      while (!fs.existsSync(setup) && !p.ended) await new Promise((ok) => setImmediate(ok));
      const at = performance.now() + Math.random() * ms(8); // the request is on its way, or carried out, or answered
      while (performance.now() < at);
      p.kill('SIGKILL');
      await p.exit;
      p = await up(data, config);
      const list = await run(BIN, ['tunnel', 'list', '--data', data]);
      assert.equal(list.out.match(/tnl_/g).length, 1, list.out);
      await stop(p);
    }
  });

  test('one that never ends is cut off after --grace', async () => {
    const p = await up(newData(), { ...LOOSE, grace: '1s', routes: { wiki: wiki.url } });
    wiki.slow = undefined;
    const slow = get(p, p.routes[0], '/slow');
    await until('it runs', () => wiki.slow);
    await stop(p);
    assert.notEqual((await slow).out, 'at last 200');
  });
});

describe('what is refused', () => {
  const rows = [
    ['an upstream without a port', { routes: { wiki: 'http://10.0.0.1' } }, /up\.yaml: routes\.wiki: a port is expected/],
    ['an unknown field', { routes: { wiki: { upstream: 'http://10.0.0.1:1', colour: 'red' } } }, /up\.yaml: routes\.wiki\.colour: /],
    ['no route', { routes: {} }, /up\.yaml: routes: hosts with their upstreams are expected/],
    ['a list', { routes: ['wiki'] }, /routes: must be a mapping/],
    ['a whole host', { routes: { 'wiki.example.com': 'http://10.0.0.1:1' } }, /routes\.wiki\.example\.com: one name is expected, as in wiki/],
    ['a secret in the file', { routes: { wiki: { upstream: 'https://10.0.0.1:1', credential: { header: 'Authorization', value: 'Bearer x' } } } }, /routes\.wiki\.credential\.value: /],
    ['a secret of the environment', { routes: { wiki: { upstream: 'https://10.0.0.1:1', credential: { header: 'Authorization', value: 'Bearer ${env:WIKI}' } } } }, /routes\.wiki\.credential: .*cannot come from its environment; put it into a file/],
    ['an address that is not open', { upstream: { allowed_ips: ['10.0.0.0/8'] }, routes: { wiki: 'http://127.0.0.1:1' } }, /routes\.wiki: .*127\.0\.0\.1/],
    ['upstream alone', { upstream: { allowed_ips: ['10.0.0.0/8'] } }, /--upstream goes with routes \(--routes\), which are missing/],
    ['a listener of a gateway that is none', { gateway_metrics: '127.0.0.1:1' }, /--gateway-metrics goes with routes/],
    ['a listener for everybody', { gateway_metrics: '0.0.0.0:1', routes: { wiki: 'http://10.0.0.1:1' } }, /--gateway-metrics: admin: a loopback address is expected/],
    ['an ingress without a port', { ingress: 'unix:/tmp/x', routes: { wiki: 'http://10.0.0.1:1' } }, /--ingress unix:\/tmp\/x: callers of the routes need HOST:PORT/],
    ['no ingress', { ingress: 'none', routes: { wiki: 'http://10.0.0.1:1' } }, /--ingress none: then nobody can reach the routes/],
  ];
  for (const [name, config, words] of rows)
    test(name, async () => {
      const data = newData(), p = begin(data, { ...LOOSE, ...config });
      await p.exit;
      assert.equal(p.code, 2, p.tail());
      assert.match(p.err, words);
      assert(!fs.existsSync(data), 'nothing was made');
    });

  test('a server that the gateway would reach over a network without TLS', async () => {
    const data = newData(), file = path.join(tempDir('up-conf'), 'up.yaml');
    fs.writeFileSync(file, JSON.stringify({ ...LOOSE, listen: '10.9.9.9:0', routes: { wiki: wiki.url } }));
    const r = await run('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', 'ip link set lo up && ip address add 10.9.9.9/32 dev lo && exec "$0" up --config "$1" --data "$2"', BIN, file, data]);
    assert.equal(r.code, 1, r.out + r.err);
    assert.match(r.err, /--listen 10\.9\.9\.9:\d+: the gateway of the routes reaches the server without TLS, so on this machine alone: listen on 127\.0\.0\.1/);
    assert.deepEqual(fs.existsSync(data) ? fs.readdirSync(data) : [], []);
  });

  test('an ingress that is taken, and a gateway that does not start: a first start leaves nothing', async () => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await new Promise((ok) => other.once('listening', ok));
    const taken = `127.0.0.1:${other.address().port}`;
    for (const [config, words] of [[{ ingress: taken }, new RegExp(`${taken} is in use`)], [{ gateway_metrics: taken }, /the gateway did not start; its reason is above/]]) {
      const data = newData(), p = begin(data, { ...LOOSE, ...config, routes: { wiki: wiki.url } });
      await p.exit;
      assert.equal(p.code, 1, p.tail());
      assert.match(p.err, words);
      assert.deepEqual(fs.existsSync(data) ? fs.readdirSync(data) : [], []);
    }
    other.close();
  });
});

describe('docs/tunnel.md, with up, in a minute', () => {
  test('the commands of the page from its top, in a network of their own: with up, then in five minutes', async () => {
    const lines = consoleCommands('tunnel.md', '## With up, in a minute');
    const five = consoleCommands('tunnel.md', '## In five minutes');
    assert(lines.length === 11 && lines[0] === '(cd examples/mcp-server && npm ci)', lines.join('\n'));
    const dir = tempDir('doc'), bin = tempDir('bin'), example = path.join(dir, 'examples', 'mcp-server');
    fs.symlinkSync(BIN, path.join(bin, 'sallyport'));
    fs.cpSync(path.join(repo, 'examples', 'mcp-server'), example, { recursive: true, filter: (f) => path.basename(f) !== 'node_modules' });
    fs.symlinkSync(path.join(here, 'node_modules'), path.join(example, 'node_modules')); // what npm ci would put there
    const script = lines.slice(1).map((l) => l
      .replace(/^(node .*) &$/, '$1 > handbook.log & until grep -q "the handbook is at" handbook.log; do sleep 0.1; done')
      .replace(/^sallyport up .*/, "$& | tee up.txt; pid=$(sed -n 's/^ *pid *\\([0-9]*\\).*/\\1/p' up.txt); trap 'code=$?; kill $(jobs -p) $pid 2>kill.log; wait; while kill -0 $pid 2>kill.log; do sleep 0.1; done; exit $code' EXIT")
      .replace(/^kill %1 4711 .*/, 'sallyport gateway status\nsallyport gateway doctor\nkill %1 $pid; wait %1 || true; while kill -0 $pid 2>kill.log; do sleep 0.1; done')
      .replace(/^url=\S+ ca=\S+$/, "url=$(sed -n 's/^ *routes *//p' up.txt)/mcp ca=$(sed -n 's/^ *their CA *//p' up.txt)"));
    assert(script.some((l) => l.startsWith('url=$(')) && script.some((l) => l.includes('tee up.txt')));
    // Root of a namespace makes the network, an ordinary user runs up in it: it needs no more.
    assert(script.at(-1).startsWith('sallyport gateway status\n') && five.length >= 10, script.at(-1));
    const inside = `set -eu -o pipefail\n${[...script, ...five.map(asScript)].join('\n')}\n`;
    const r = await run('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', 'ip link set lo up && exec unshare --user --map-user=1000 --map-group=1000 bash -c "$0"', inside],
      { cwd: dir, env: { PATH: `${bin}:${process.env.PATH}`, XDG_DATA_HOME: path.join(dir, 'data') }, timeout: ms(60000) });
    assert(!r.timedOut, r.out + r.err);
    assert.equal(r.code, 0, `${script.join('\n')}\n${r.out}\n${r.err}`);
    assert.match(r.out, /^ask\b.*house's handbook/m);
    assert.match(r.out, /^Up to 50 a day without a receipt\. Send the rest to Irene in room 4\.12\.$/m);
    // The page shows what is printed.
    assert.match(r.out, /^ready http:\/\/127\.0\.0\.1:8400$/m);
    assert.match(r.out, /^ {2}routes {7}https:\/\/handbook\.t-\w+\.tunnel\.localhost:8443$/m);
    // status and doctor find the gateway of up.
    assert.match(r.out, /^Nothing stands in the way of this gateway/m);
    // And the next section has the machine for itself.
    assert.match(r.out, /^what only insiders know$/m);
  });
});
