// `sallyport gateway init` and `renew-cert`: from nothing to a gateway that serves, cut off anywhere on the way, and renewed under callers.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { authority } from '../lib/egress.mjs';
import { BIN, end, forEverybody, ms, run, start, tempDir, until } from '../lib/own.mjs';
import { asScript, consoleCommands } from '../lib/page.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const FILES = ['ca.key', 'ca.pem', 'gateway.pem', 'gateway.yaml', 'setup.json', 'tunnel.token'];
const ROUTE = ['--route', 'wiki=http://127.0.0.1:9'];

/** The bytes, mode and inode of everything in a directory. */
const picture = (dir) => Object.fromEntries(fs.readdirSync(dir).sort().map((f) => {
  const at = path.join(dir, f), st = fs.statSync(at);
  return [f, { text: fs.readFileSync(at, 'utf8'), mode: (st.mode & 0o777).toString(8), inode: st.ino }];
}));
/** The lines of a file that nobody may print. */
const secretsOf = (dir) => ['ca.key', 'gateway.pem', 'tunnel.token'].flatMap((f) => {
  const text = fs.readFileSync(path.join(dir, f), 'utf8');
  return f === 'gateway.pem' ? text.split('-----BEGIN EC PRIVATE KEY-----')[1].split('\n') : text.split('\n');
}).filter((l) => l.length > 15 && !l.startsWith('-----'));

let s, wiki;
before(async () => {
  s = await edgeServer({ args: ['--ingress-peer-rate', '0'] }); // one address connects without end
  wiki = http.createServer((q, r) => r.end('what only insiders know'));
  await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
});
after(async () => { wiki?.closeAllConnections(); wiki?.close(); await s?.stop(); });

const env = (more = {}) => ({ ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey, XDG_DATA_HOME: tempDir('xdg'), ...more });
const init = (dir, args, more) => run(BIN, ['gateway', 'init', '--dir', dir, ...args], { env: env(more) });
const renew = (...args) => run(BIN, ['gateway', 'renew-cert', ...args], { env: { XDG_DATA_HOME: tempDir('xdg') } });
const good = async (p) => { const r = await p; assert.equal(r.code, 0, r.err); return r; };
const newDir = () => path.join(tempDir('init'), 'gateway');
let names = 0;
const newName = () => `office ${++names}`;
const state = (dir) => JSON.parse(fs.readFileSync(path.join(dir, 'setup.json'), 'utf8'));
const named = async (name) => { const all = []; for await (const t of s.tunnels().list()) if (t.display_name === name) all.push(t.id); return all; };
const active = async (id) => { const all = []; for await (const c of s.tunnels().certificates.list(id)) if (!c.archived_at) all.push(c.id); return all; };
const chain = (dir, host) => run('openssl', ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', host, '-CAfile', path.join(dir, 'ca.pem'), path.join(dir, 'gateway.pem')]);
const isWhole = async (dir) => {
  assert.deepEqual(fs.readdirSync(dir).sort(), FILES, 'nothing is missing, nothing is left over');
  const r = await chain(dir, `wiki.${state(dir).domain}`);
  assert.equal(r.code, 0, r.out + r.err);
};

describe('gateway init', () => {
  test('from nothing to a request that goes through; again, it changes nothing', async () => {
    const xdg = tempDir('xdg'), dir = path.join(xdg, 'sallyport', 'gateway');
    const args = ['gateway', 'init', '--name', newName(), '--route', `wiki=http://127.0.0.1:${wiki.address().port}`];
    const r = await good(run(BIN, args, { env: env({ XDG_DATA_HOME: xdg }) }));
    await isWhole(dir);
    const made = picture(dir), { tunnel_id: id, domain } = state(dir);
    assert.deepEqual(Object.fromEntries(Object.entries(made).map(([f, { mode }]) => [f, mode])),
      { 'ca.key': '600', 'ca.pem': '644', 'gateway.pem': '600', 'gateway.yaml': '600', 'setup.json': '600', 'tunnel.token': '600' });
    assert.equal(fs.statSync(dir).mode & 0o777, 0o700);
    for (const line of [`tunnel        ${id} (new)`, `domain        ${domain}`, `token         ${dir}/tunnel.token (new)`, `certificate   ${dir}/gateway.pem until`, `configuration ${dir}/gateway.yaml (new)`])
      assert(r.out.includes(line), `${line}\n${r.out}`);
    const secrets = secretsOf(dir);
    assert(secrets.length >= 6, 'there are secrets to look for');
    assert.match(made['tunnel.token'].text, /^sk-sp-tun-[0-9a-f]{64}$/);

    // `sallyport gateway` finds what was made.
    const g = start(BIN, ['gateway', '--metrics', 'none'], { env: { XDG_DATA_HOME: xdg }, cwd: tempDir('cwd') });
    await g.line(/^ready edge=127\.0\.0\.1:\d+ routes=1$/m);
    const at = `wiki.${domain}:${s.ingress}`;
    const got = await good(run('curl', ['-sS', '--cacert', path.join(dir, 'ca.pem'), '--connect-to', `${at}:127.0.0.1:${s.ingress}`, `https://${at}/`]));
    assert.equal(got.out, 'what only insiders know');
    // So do those that look at it; in another directory they find the one that is there.
    const cwd = tempDir('cwd'), look = (...args) => run(BIN, ['gateway', ...args], { env: { XDG_DATA_HOME: xdg }, cwd });
    const doctor = JSON.parse((await look('doctor', '--json')).out);
    assert.deepEqual(doctor.checks.filter((c) => ['config', 'token', 'signature'].includes(c.id)).map((c) => [c.id, c.verdict]), [['config', 'ok'], ['token', 'ok'], ['signature', 'ok']]);
    const yaml = path.join(dir, 'gateway.yaml'), text = fs.readFileSync(yaml, 'utf8');
    const admin = http.createServer((q, r) => r.end('no gateway'));
    await new Promise((ok) => admin.listen(0, '127.0.0.1', ok));
    fs.appendFileSync(yaml, `\nadmin: 127.0.0.1:${admin.address().port}\n`);
    const status = await look('status');
    assert(status.err.includes(`what answers at 127.0.0.1:${admin.address().port} is no gateway`), status.err);
    admin.close();
    fs.writeFileSync(yaml, text);
    fs.writeFileSync(path.join(cwd, 'gateway.yaml'), 'edge: 7\n');
    for (const command of ['doctor', 'status']) {
      const r = await look(command);
      assert.deepEqual([r.code, /gateway\.yaml:1: edge: a text is expected/.test(r.out + r.err)], [1, true], r.out + r.err);
    }
    await end(g);
    assert.equal(g.code, 0, g.tail());

    const again = await good(run(BIN, args, { env: env({ XDG_DATA_HOME: xdg }) }));
    const short = await good(run(BIN, ['gateway', 'init'], { env: env({ XDG_DATA_HOME: xdg }) }));
    const json = await good(run(BIN, ['gateway', 'init', '--json'], { env: env({ XDG_DATA_HOME: xdg }) }));
    assert.match(again.out, /^all of it was there already; nothing was changed$/m);
    assert.equal(short.out, again.out);
    const facts = JSON.parse(json.out);
    assert.deepEqual([facts.changed, facts.tunnel_id, facts.domain, facts.dir], [false, id, domain, dir]);
    assert.deepEqual(picture(dir), made, 'not a byte, not an inode');
    assert.deepEqual(await active(id), [facts.ca_certificate_id]);
    for (const p of [r, again, json, g]) for (const k of secrets) assert(!(p.out + p.err).includes(k), 'no secret is printed');
    assert(!s.proc.err.includes(made['tunnel.token'].text));
  });

  test('--bare makes the rest and no configuration, and has no place for what belongs into one', async () => {
    const dir = newDir(), name = newName();
    for (const more of [ROUTE, ['--edge', s.url]]) {
      const r = await init(dir, ['--name', name, '--bare', ...more]);
      assert.deepEqual([r.code, /--bare makes no configuration, so there is no place for --route and --edge/.test(r.err)], [2, true], r.err);
    }
    assert(!fs.existsSync(dir));
    const r = await good(init(dir, ['--name', name, '--bare']));
    assert.deepEqual(fs.readdirSync(dir).sort(), FILES.filter((f) => f !== 'gateway.yaml'));
    assert(!/configuration|start it with/.test(r.out), r.out);
    const made = picture(dir), again = await good(init(dir, ['--bare']));
    assert.match(again.out, /^all of it was there already; nothing was changed$/m);
    assert.deepEqual(picture(dir), made);
    await good(init(dir, ROUTE)); // the rest can come later
    await isWhole(dir);
  });

  test('CA and certificate are those that a tunnel takes, field by field', async () => {
    const dir = newDir();
    await good(init(dir, ['--name', newName(), '--cert-duration', '48h', ...ROUTE]));
    const text = async (f) => (await good(run('openssl', ['x509', '-in', path.join(dir, f), '-noout', '-text', '-nameopt', 'oneline']))).out;
    const [ca, cert] = [await text('ca.pem'), await text('gateway.pem')];
    for (const re of [/Version: 3 /, /NIST CURVE: P-256/, /ecdsa-with-SHA256/, /Basic Constraints: critical\s+CA:TRUE\n/, /Key Usage: critical\s+Certificate Sign\n/, /Subject Key Identifier/, /Subject: CN = Sallyport CA \d{4}-\d\d-\d\d tnl_/])
      assert.match(ca, re);
    for (const re of [/Version: 3 /, /NIST CURVE: P-256/, /ecdsa-with-SHA256/, /Basic Constraints: critical\s+CA:FALSE\n/, /Key Usage: critical\s+Digital Signature\n/, /Extended Key Usage: \s+TLS Web Server Authentication\n/])
      assert.match(cert, re);
    assert.match(cert, new RegExp(`Subject Alternative Name: \\s+DNS:\\*\\.${state(dir).domain}\\n`), 'the wildcard, and nothing else');
    const id = (t, what) => t.match(new RegExp(`${what} Key Identifier: \\s+([0-9A-F:]{59})\\n`))[1];
    assert.equal(id(cert, 'Authority'), id(ca, 'Subject'));
    const x = (f) => new crypto.X509Certificate(fs.readFileSync(path.join(dir, f)));
    const days = (c) => (new Date(c.validTo) - new Date(c.validFrom)) / 86400e3;
    assert.equal(days(x('ca.pem')), 5 * 365 + 1 + 1, 'five years, and a day into the past');
    assert.equal(days(x('gateway.pem')), 2 + 1);
    assert(Math.abs(Date.now() - 86400e3 - new Date(x('gateway.pem').validFrom)) < ms(60000));
    assert.notEqual(x('ca.pem').publicKey.export({ type: 'spki', format: 'pem' }), x('gateway.pem').publicKey.export({ type: 'spki', format: 'pem' }));
    assert.equal(state(dir).cert_lifetime_s, 48 * 3600);
  });

  test('takes a tunnel that is there, and one directory is for one tunnel', async () => {
    const dir = newDir(), t = await s.tunnels().create({ display_name: 'mine' });
    await good(init(dir, ['--tunnel-id', t.id, ...ROUTE]));
    await isWhole(dir);
    assert.equal(state(dir).tunnel_id, t.id);
    await good(init(dir, ['--tunnel-id', t.id]));
    const made = picture(dir);
    const other = await init(dir, ['--tunnel-id', 'tnl_other']);
    assert.deepEqual([other.code, other.err.includes(`is for the tunnel ${t.id}; name another --dir`)], [2, true], other.err);
    const none = await init(newDir(), ['--tunnel-id', 'tnl_none', ...ROUTE]);
    assert.deepEqual([none.code, /does not know a tunnel tnl_none; sallyport tunnel list/.test(none.err)], [1, true], none.err);
    const routes = await init(dir, ['--route', 'more=http://10.0.0.1:80']);
    assert.equal(routes.code, 1);
    assert.match(routes.err, /gateway\.yaml is there and has no route more; .*more: http:\/\/10\.0\.0\.1:80/);
    const edge = await init(dir, ['--edge', 'https://other.example']);
    assert.deepEqual([edge.code, /gateway\.yaml is there and has another edge; .*edge: https:\/\/other\.example/.test(edge.err)], [1, true], edge.err);
    await good(init(dir, ['--edge', s.url]));
    const made2 = await init(dir, ['--name', 'never']);
    assert.deepEqual([made2.code, made2.err.includes(`is for the tunnel ${t.id}, which was there; name another --dir`)], [2, true], made2.err);
    assert.deepEqual(picture(dir), made);
    await s.tunnels().archive(t.id);
    const ended = await init(dir, []);
    assert.equal(ended.code, 1);
    assert.match(ended.err, new RegExp(`the tunnel ${t.id} is archived, which is for good`));
  });

  test('what is said of wrong flags, before anything is made', async () => {
    const dir = newDir(), before = (await named('never')).length;
    for (const [args, re, more] of [
      [ROUTE, /give --name TEXT for a new tunnel, or --tunnel-id ID/],
      [['--name', 'never'], /give --route NAME=URL for each private server/],
      [['--name', 'never', '--tunnel-id', 'tnl_x', ...ROUTE], /give one of them/],
      [['--name', 'never', '--route', 'wiki'], /--route: NAME=URL is expected/],
      [['--name', 'never', '--route', 'wiki=http://10.0.0.1'], /makes no configuration: gateway\.yaml:\d+: routes\.wiki: a port is expected/],
      [['--name', 'never', '--route', 'a b=http://10.0.0.1:80'], /makes no configuration: .*a b/],
      [['--name', 'never', '--route', 'wiki=http://10.0.0.1:80', '--route', 'Wiki=http://10.0.0.1:80'], /makes no configuration: .*the same host/],
      [['--name', 'never', '--edge', 'http://edge.example', ...ROUTE], /makes no configuration: .*edge: https:\/\/host is expected/],
      [['--name', 'never', '--cert-duration', '10m', ...ROUTE], /--cert-duration: 10m is out of range \(1h to 398d\)/],
      [['--name', 'never', ...ROUTE], /where the gateway's edge is cannot be told from .*give --edge/, { ANTHROPIC_BASE_URL: `${s.url}/behind/a/path` }],
    ]) {
      const r = await init(dir, args, more);
      assert.equal(r.code, 2, r.err);
      assert.match(r.err, re);
      assert.equal(fs.existsSync(dir), false, 'no directory is left');
    }
    assert.equal((await named('never')).length, before);
  });

  test('routes of every kind make a file that the gateway reads', async () => {
    const dir = newDir();
    await good(init(dir, ['--name', newName(), '--route', 'a=http://localhost:80', '--route', 'b=https://[::1]:443', '--route', 'c=unix:/run/x y.sock', '--route', 'd=http://203.0.113.7:80', '--route', 'true=https://inside.example:8443', '--route', 'wiki=http://10.1.2.3:9000', '--edge', 'https://platform.example']));
    const yaml = fs.readFileSync(path.join(dir, 'gateway.yaml'), 'utf8');
    for (const line of ['  a: http://localhost:80', '  c: "unix:/run/x y.sock"', '  "true": https://inside.example:8443', '    - "127.0.0.1"', '    - "::1"', '    - "203.0.113.7"', 'edge: https://platform.example'])
      assert(yaml.split('\n').includes(line), `${line}\n${yaml}`);
    const g = start(BIN, ['gateway', '--config', path.join(dir, 'gateway.yaml'), '--metrics', '127.0.0.1:0'], {});
    await g.line(/msg="?metrics"? listen=/);
    await end(g);
  });
});

describe('gateway init, cut off', () => {
  /** What stands between the command and the server: `kill(n)` says at the n-th request whether to kill, and when. */
  async function between(kill) {
    let n = 0;
    const p = { proc: null };
    const proxy = http.createServer((q, r) => {
      const when = kill(++n);
      const die = () => { p.proc.kill('SIGKILL'); r.destroy(); };
      if (when === 'before') return die();
      const parts = [];
      q.on('data', (d) => parts.push(d)).on('end', () => {
        const up = http.request(s.url + q.url, { method: q.method, headers: { ...q.headers, host: new URL(s.url).host } }, (a) => {
          const got = [];
          a.on('data', (d) => got.push(d)).on('end', () => {
            if (when === 'after') return die();
            r.writeHead(a.statusCode, a.headers);
            r.end(Buffer.concat(got));
          });
        });
        up.end(Buffer.concat(parts));
      });
    });
    await new Promise((ok) => proxy.listen(0, '127.0.0.1', ok));
    return { url: `http://127.0.0.1:${proxy.address().port}`, count: () => n, run: async (dir, args) => {
      n = 0;
      p.proc = start(BIN, ['gateway', 'init', '--dir', dir, '--edge', s.url, ...args], { env: env({ ANTHROPIC_BASE_URL: `http://127.0.0.1:${proxy.address().port}` }) });
      await p.proc.exit;
      return p.proc;
    }, stop: () => { proxy.closeAllConnections(); proxy.close(); } };
  }

  test('killed at each request, before the server has it or after: the next run ends with one tunnel and one CA', async () => {
    let at, when, kills = 0;
    const line = await between((n) => (n === at ? when : undefined));
    try {
      for (when of ['before', 'after']) {
        for (at = 1; ; at++) {
          assert(at < 20, 'it is done after a few requests');
          const dir = newDir(), name = newName(), args = ['--name', name, ...ROUTE];
          const cut = await line.run(dir, args);
          const was = cut.signal === 'SIGKILL';
          if (was) {
            kills++;
            const next = await good(init(dir, args));
            assert.match(next.out, /\(new\)/, 'there was something left to do');
          } else assert.equal(cut.code, 0, cut.tail());
          await isWhole(dir);
          assert.deepEqual(await named(name), [state(dir).tunnel_id], `${when} ${at}`);
          assert.equal((await active(state(dir).tunnel_id)).length, 1);
          await s.tunnels().archive(state(dir).tunnel_id);
          if (!was) break;
        }
      }
    } finally { line.stop(); }
    assert(kills >= 8, `${kills} kills`);
  });

  test('killed at every request of one directory, over and over: it arrives all the same', async () => {
    let at = 0;
    const line = await between((n) => (n >= at ? 'after' : undefined));
    const dir = newDir(), name = newName();
    try {
      for (at = 1; at < 20; at++) if ((await line.run(dir, ['--name', name, ...ROUTE])).code === 0) break;
      assert(at > 3 && at < 20);
    } finally { line.stop(); }
    await isWhole(dir);
    assert.deepEqual(await named(name), [state(dir).tunnel_id]);
    assert.equal((await active(state(dir).tunnel_id)).length, 1);
  });

  test('each state in which files can be: what is there stays, what is missing comes', async () => {
    const whole = newDir(), name = newName();
    await good(init(whole, ['--name', name, ...ROUTE]));
    const { tunnel_id: id } = state(whole);
    const [first] = await active(id);
    const stage = (files, change) => {
      const dir = newDir();
      fs.mkdirSync(dir, { mode: 0o700 });
      for (const f of files) fs.copyFileSync(path.join(whole, f), path.join(dir, f));
      change?.(dir);
      return dir;
    };
    const cases = [
      [['setup.json']],
      [['setup.json', 'tunnel.token']],
      [['setup.json', 'tunnel.token'], (d) => { fs.writeFileSync(path.join(d, 'ca.key.sallyport-new'), 'half', { mode: 0o600 }); fs.writeFileSync(path.join(d, 'tunnel.token.sallyport-new'), 'half', { mode: 0o600 }); }],
      [['setup.json', 'tunnel.token', 'ca.key']],
      [['setup.json', 'tunnel.token', 'ca.key', 'ca.pem']],
      [['setup.json', 'tunnel.token', 'ca.key', 'ca.pem'], (d) => fs.linkSync(path.join(d, 'ca.key'), path.join(d, 'ca.key.sallyport-new'))],
      [['setup.json', 'tunnel.token', 'ca.key', 'ca.pem'], (d) => fs.writeFileSync(path.join(d, 'gateway.pem.sallyport-new'), 'half', { mode: 0o600 })],
      [['setup.json', 'tunnel.token', 'ca.key', 'ca.pem', 'gateway.pem']],
      [['setup.json', 'tunnel.token', 'ca.pem', 'gateway.pem']],
    ];
    for (const [files, change] of cases) {
      const dir = stage(files, change);
      const r = await init(dir, ROUTE);
      assert.equal(r.code, 0, `${files}: ${r.err}`);
      for (const f of files) assert.equal(fs.readFileSync(path.join(dir, f), 'utf8'), fs.readFileSync(path.join(whole, f), 'utf8'), f);
      if (files.includes('ca.pem') && !files.includes('ca.key')) assert.deepEqual(fs.readdirSync(dir).sort(), FILES.filter((f) => f !== 'ca.key'), 'the CA\'s key may be elsewhere');
      else await isWhole(dir);
      assert.deepEqual(await named(name), [id]);
      for (const c of await active(id)) if (c !== first) await s.tunnels().certificates.archive(c, { tunnel_id: id });
      assert.deepEqual(await active(id), [first]);
    }
    // CA on disk, and not on the tunnel.
    const other = await s.tunnels().create({ display_name: 'x' });
    const dir = stage(['ca.key', 'ca.pem', 'setup.json'], (d) => fs.writeFileSync(path.join(d, 'setup.json'), JSON.stringify({ version: 1, tunnel_id: other.id, domain: other.domain })));
    const r = await good(init(dir, ROUTE));
    assert.match(r.out, /^CA +.*as tcrt_\w+ \(registered\)$/m);
    assert.equal((await active(other.id)).length, 1);
    await isWhole(dir);
  });

  test('the request was sent, its answer never came: the server knows it again; one that does not leaves a tunnel, which is named', async () => {
    const whole = newDir(), name = newName();
    await good(init(whole, ['--name', name, ...ROUTE]));
    const { attempt, tunnel_id: id } = state(whole);
    const stage = (k) => {
      const dir = newDir();
      fs.mkdirSync(dir, { mode: 0o700 });
      fs.writeFileSync(path.join(dir, 'setup.json'), JSON.stringify({ version: 1, server: s.url, name, attempt: k, before: [] }));
      return dir;
    };
    const same = stage(attempt);
    await good(init(same, ROUTE));
    assert.equal(state(same).tunnel_id, id);
    assert.deepEqual(await named(name), [id]);
    const forgotten = stage('0123456789abcdef0123456789abcdef');
    const r = await good(init(forgotten, ROUTE));
    assert.notEqual(state(forgotten).tunnel_id, id);
    assert.match(r.err, new RegExp(`the tunnel ${id} of the same name may be left over .*sallyport tunnel archive ${id} --yes`));
    await isWhole(forgotten);
  });
});

describe('gateway init, when something is wrong', () => {
  const whole = async (...args) => { const dir = newDir(); await good(init(dir, ['--name', newName(), ...ROUTE, ...args])); return dir; };
  const refuse = async (dir, re, args = [], more = {}) => {
    const made = fs.existsSync(dir) && picture(dir);
    const r = await init(dir, args, more);
    assert.equal(r.code, 1, r.out + r.err);
    assert.match(r.err, re);
    assert.equal(r.err.trim().split('\n').length, 1, r.err);
    if (made) assert.deepEqual(picture(dir), made, 'nothing was touched');
    return r;
  };

  test('the API: a wrong key, nobody there, no key', async () => {
    for (const [more, re] of [
      [{ ANTHROPIC_API_KEY: 'sk-sp-api-wrong' }, /the server does not accept the API key/],
      [{ ANTHROPIC_BASE_URL: 'http://127.0.0.1:1' }, /http:\/\/127\.0\.0\.1:1: cannot be reached/],
      [{ ANTHROPIC_API_KEY: '' }, /ANTHROPIC_API_KEY is not set/],
    ]) {
      const dir = newDir();
      await refuse(dir, re, ['--name', 'never', ...ROUTE], more);
      assert.equal(fs.existsSync(dir), false, 'nothing was begun, nothing is left');
    }
    assert.deepEqual(await named('never'), []);
    await refuse(await whole(), /cannot be reached/, [], { ANTHROPIC_BASE_URL: 'http://127.0.0.1:1' });
  });

  test('a server that answers oddly: a sentence, nothing of it in files or on the terminal, and with a good one it goes on', async () => {
    const ESC = String.fromCharCode(27);
    let odd;
    const proxy = http.createServer((q, r) => {
      const parts = [];
      q.on('data', (d) => parts.push(d)).on('end', () => {
        const up = http.request(s.url + q.url, { method: q.method, headers: { ...q.headers, host: new URL(s.url).host } }, (a) => {
          const got = [];
          a.on('data', (d) => got.push(d)).on('end', () => {
            const hit = odd.at.test(`${q.method} ${q.url.split('?')[0]}`);
            const body = hit ? odd.body(JSON.parse(Buffer.concat(got))) : Buffer.concat(got);
            r.writeHead(hit ? odd.status ?? a.statusCode : a.statusCode, { 'content-type': 'application/json' });
            r.end(Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body));
          });
        });
        up.end(Buffer.concat(parts));
      });
    });
    await new Promise((ok) => proxy.listen(0, '127.0.0.1', ok));
    const url = `http://127.0.0.1:${proxy.address().port}`;
    const make = /^POST \/v1\/tunnels$/, token = /reveal_token$/, list = /^GET .*\/certificates$/, add = /^POST .*\/certificates$/;
    try {
      for (const [at, body, re, status] of [
        [make, (j) => ({ ...j, id: '../../x' }), /the server's answer holds no tunnel/],
        [make, (j) => ({ ...j, id: 'x'.repeat(300) }), /the server's answer holds no tunnel/],
        [make, (j) => ({ ...j, domain: `a b\n${ESC}[31m` }), /the server's answer holds no tunnel/],
        [make, (j) => ({ ...j, domain: '127.0.0.1' }), /the server's answer holds no tunnel/],
        [make, () => [], /the server's answer holds no tunnel/],
        [make, () => '<html>', /does not answer like a Sallyport server/],
        [make, () => ({ error: { message: `no${ESC}[31m` } }), /: no\\x1b\[31m \(status 500\)/, 500],
        [token, (j) => ({ ...j, tunnel_token: 'a\nb' }), /the server's answer holds no token/],
        [token, () => ({}), /the server's answer holds no token/],
        [token, () => ({ tunnel_token: 'x'.repeat(200000) }), /the answer is larger than allowed/],
        [token, () => ({ tunnel_token: 'x'.repeat(512) }), /the server's answer holds no token/],
        [list, () => ({ data: 'none' }), null],
        [list, (j) => ({ data: [{ id: `${ESC}x` }, { id: 'a' }], next_page: null, was: j }), /the server's answer holds no certificate/],
        [add, () => ({ id: 'a/b' }), /the server's answer holds no certificate/],
      ]) {
        odd = { at, body, status };
        const dir = newDir();
        const args = ['--name', newName(), '--edge', s.url, ...ROUTE];
        const r = await init(dir, args, { ANTHROPIC_BASE_URL: url });
        assert.equal(r.code, re ? 1 : 0, `${re} ${r.out}${r.err}`);
        if (re) assert.match(r.err, re);
        assert(!(r.out + r.err).includes(ESC), 'nothing drives the terminal');
        if (fs.existsSync(dir)) for (const { text } of Object.values(picture(dir))) assert(!text.includes(ESC) && !text.includes('\\u001b'));
        await good(init(dir, args));
        await isWhole(dir);
        odd = { at: /^GET \/v1\/tunnels\/[^/]+$/, body: (j) => ({ ...j, id: 'tnl_other' }) };
        const other = await init(dir, [], { ANTHROPIC_BASE_URL: url });
        assert.deepEqual([other.code, /the server was asked for the tunnel tnl_\w+ and answers with tnl_other/.test(other.err)], [1, true], other.err);
      }
    } finally { proxy.closeAllConnections(); proxy.close(); }
  });

  test('two CAs already, an archived one, one that is gone', async () => {
    const t = await makeTunnel(s), second = authority(tempDir('ca2'));
    const two = await s.tunnels().certificates.create(t.id, { ca_certificate_pem: fs.readFileSync(second.file, 'utf8') });
    const dir = newDir();
    const r = await init(dir, ['--tunnel-id', t.id, ...ROUTE]);
    assert.equal(r.code, 1);
    assert.match(r.err, new RegExp(`has two CAs already.*(${t.certificate.id}|${two.id}) \\(until \\d{4}-\\d\\d-\\d\\d\\).*sallyport tunnel cert archive ${t.id} CERT_ID`));
    assert(r.err.includes(t.certificate.id) && r.err.includes(two.id));
    await s.tunnels().certificates.archive(two.id, { tunnel_id: t.id });
    await good(init(dir, ROUTE));
    await isWhole(dir);

    const { tunnel_id: id } = state(dir);
    for (const c of await active(id)) if (c !== t.certificate.id) await s.tunnels().certificates.archive(c, { tunnel_id: id });
    await refuse(dir, /ca\.pem was archived on the tunnel, so nobody is to trust it any more: move it/);
    fs.rmSync(path.join(dir, 'ca.pem'));
    await refuse(dir, /the CA's certificate is not in .*ca\.pem, and .*gateway\.pem was signed by some CA/);
    for (const f of ['ca.key', 'gateway.pem']) fs.rmSync(path.join(dir, f));
    await good(init(dir, []));
    await isWhole(dir);
  });

  test('a token that was rotated', async () => {
    const dir = await whole(), { tunnel_id: id } = state(dir);
    const { tunnel_token: token } = await s.tunnels().rotateToken(id, {});
    await refuse(dir, /tunnel\.token is not the tunnel's token any more: it was rotated. Remove the file and run this again/);
    fs.rmSync(path.join(dir, 'tunnel.token'));
    await good(init(dir, []));
    assert.equal(fs.readFileSync(path.join(dir, 'tunnel.token'), 'utf8'), token);
  });

  test('files that others can read, or write, or have put there', async () => {
    const dir = await whole();
    for (const f of ['ca.key', 'tunnel.token', 'gateway.pem']) {
      fs.chmodSync(path.join(dir, f), 0o644);
      await refuse(dir, new RegExp(`${f.replace('.', '\\.')} must belong to this user and be readable by nobody else`));
      fs.chmodSync(path.join(dir, f), 0o600);
    }
    fs.chmodSync(dir, 0o777);
    await refuse(dir, process.getuid() === 0 ? /others may write to .*: chmod go-w/ : /nobody else may write in it: chmod 700/);
    fs.chmodSync(dir, 0o700);
    await good(init(dir, []));
    for (const f of FILES.filter((n) => n !== 'setup.json')) {
      const theirs = newDir();
      fs.mkdirSync(theirs);
      fs.writeFileSync(path.join(theirs, f), 'mine', { mode: 0o600 });
      await refuse(theirs, new RegExp(`${f.replace('.', '\\.')} is there, and gateway init has not made it`), ['--name', 'never', ...ROUTE]);
    }
    fs.writeFileSync(path.join(dir, 'setup.json'), '{"version":');
    await refuse(dir, /setup\.json is not what gateway init has written/);
    assert.deepEqual(await named('never'), []);
  });

  test('a certificate that the CA has not signed is left alone', async () => {
    const dir = await whole(), foreign = authority(tempDir('foreign')).issue([`*.${state(dir).domain}`]);
    fs.writeFileSync(path.join(dir, 'gateway.pem'), Buffer.concat([foreign.cert, foreign.key]));
    await refuse(dir, /gateway\.pem was not signed by the CA in .*ca\.pem, so it is left alone/);
    fs.writeFileSync(path.join(dir, 'gateway.pem'), 'no certificate');
    await refuse(dir, /gateway\.pem does not begin with a certificate as PEM/);
  });

  test('two at a time: the second is turned away', async () => {
    const dir = await whole();
    const lock = start('flock', ['-x', dir, '-c', 'echo locked; exec sleep 60']);
    await lock.line(/locked/);
    await refuse(dir, /another gateway init or renew-cert is at work in/);
    const r = await renew('--dir', dir, '--force');
    assert.deepEqual([r.code, /another gateway init or renew-cert is at work/.test(r.err)], [1, true], r.err);
    await end(lock);
    await good(init(dir, []));
  });

  test('a full disk at every page: a sentence, no half file, and with room it goes on', async () => {
    const dir = path.join(tempDir('full'), 'd'), name = newName();
    fs.mkdirSync(dir);
    const script = `mount -t tmpfs -o size=64k,mode=700 none "$1" || exit 9
      pages=1
      while [ $pages -le 14 ]; do
        rm -f "$1/filler"
        [ $pages -eq 14 ] || head -c $(((15 - pages) * 4096)) /dev/zero > "$1/filler"
        "$2" gateway init --dir "$1/g" --name "$3" --route wiki=http://127.0.0.1:9 > "$1.out" 2>&1; code=$?
        echo "pages=$pages code=$code $(grep -vF '(new)' "$1.out" | tail -1)"
        for f in "$1"/g/*; do [ -e "$f" ] && [ ! -s "$f" ] && echo "empty $f"; done
        [ $code -eq 0 ] && break
        pages=$((pages + 1))
      done
      ls "$1/g" | tr '\\n' ' '; echo; cat "$1/g/setup.json"`;
    const r = await run('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', dir, BIN, name], { env: env(), timeout: ms(60000) });
    assert.equal(r.code, 0, r.out + r.err);
    const full = r.out.match(/^pages=\d+ code=1 .*No space left on device.*$/mg) ?? [];
    assert(full.length >= 3, r.out);
    assert.match(r.out, /^pages=\d+ code=0/m);
    assert(!/^empty/m.test(r.out), r.out);
    assert(r.out.includes(`${FILES.join(' ')} \n`), r.out);
    assert.deepEqual(await named(name), [JSON.parse(r.out.trim().split('\n').at(-1)).tunnel_id]);
  });

  test('a limit on file sizes is an error, not an end by a signal', async () => {
    const dir = newDir();
    const r = await run('bash', ['-c', 'ulimit -f 0; exec "$@"', 'bash', BIN, 'gateway', 'init', '--dir', dir, '--name', 'never', ...ROUTE], { env: env() });
    assert.deepEqual([r.code, r.signal], [1, null], r.err);
    assert.match(r.err, /cannot write .*setup\.json\.sallyport-new: File too large/);
    assert.deepEqual(await named('never'), []);
  });
});

describe('gateway renew-cert', () => {
  const serial = (file) => new crypto.X509Certificate(fs.readFileSync(file)).serialNumber;
  const whole = async (...args) => { const dir = newDir(); await good(init(dir, ['--name', newName(), ...ROUTE, ...args])); return dir; };

  test('not due, due, asked for', async () => {
    const dir = await whole(), file = path.join(dir, 'gateway.pem');
    const made = picture(dir);
    const no = await good(renew('--dir', dir));
    assert.match(no.out, /gateway\.pem is good until \d{4}-\d\d-\d\d and due on \d{4}-\d\d-\d\d; nothing was changed$/m);
    await good(renew('--dir', dir, '--renew-before', '2159h'));
    assert.deepEqual(picture(dir), made);
    const due = await good(renew('--config', path.join(dir, 'gateway.yaml'), '--renew-before', '2161h'));
    assert.match(due.out, /gateway\.pem is a new certificate, until \d{4}-\d\d-\d\d \(before: \d{4}-\d\d-\d\d\), because it was due$/m);
    await isWhole(dir);
    const next = picture(dir);
    for (const f of FILES.filter((n) => n !== 'gateway.pem')) assert.deepEqual(next[f], made[f], f);
    assert.notEqual(next['gateway.pem'].text, made['gateway.pem'].text);
    const key = (p) => p['gateway.pem'].text.split('-----BEGIN EC')[1];
    assert.notEqual(key(next), key(made), 'a new key, too');
    const json = JSON.parse((await good(renew('--dir', dir, '--force', '--json', '--cert-duration', '24h'))).out);
    assert.deepEqual([json.renewed, json.reason, json.file], [true, 'it was asked for', file]);
    assert.equal(Math.round((new Date(json.expires_at) - Date.now()) / 3600e3), 24);
    assert.equal(Math.round((new Date(json.renew_at) - Date.now()) / 3600e3), 16, 'a third of its life before the end');
    await isWhole(dir);
    for (const p of [no, due]) for (const k of secretsOf(dir)) assert(!(p.out + p.err).includes(k));
  });

  describe('root and what others own', { skip: process.getuid() !== 0 && 'only root gives files away' }, () => {
    const U = 12345, OTHERS = new RegExp(`belongs to another user \\(${U}\\), and root follows no paths that others may change: run it as that user, sudo -u '#${U}' sallyport gateway renew-cert \\.\\.\\. \\(systemd: User=${U}\\)`);
    const give = (dir) => { for (const f of fs.readdirSync(dir)) fs.lchownSync(path.join(dir, f), U, U); fs.chownSync(dir, U, U); };
    const no = async (p, re) => { const r = await p; assert.deepEqual([r.code, r.out], [1, ''], r.err); assert.match(r.err, re); };

    test('a directory of another user is renewed by that user, and not by root', async () => {
      const dir = await whole(), file = path.join(dir, 'gateway.pem');
      fs.chmodSync(path.dirname(dir), 0o755);
      give(dir);
      const made = picture(dir);
      await no(renew('--dir', dir, '--force'), OTHERS);
      await no(renew('--config', path.join(dir, 'gateway.yaml'), '--force'), OTHERS);
      assert.deepEqual(picture(dir), made);
      await good(run('setpriv', [`--reuid=${U}`, `--regid=${U}`, '--clear-groups', forEverybody(BIN), 'gateway', 'renew-cert', '--dir', dir, '--force'], { env: {} }));
      assert.notEqual(picture(dir)['gateway.pem'].text, made['gateway.pem'].text);
      const st = fs.statSync(file);
      assert.deepEqual([st.uid, st.gid, st.mode & 0o777], [U, U, 0o600]);
    });

    test('a configuration of theirs makes and removes nothing where only root may', async () => {
      const dir = await whole(), roots = tempDir('roots'), victim = path.join(roots, 'nologin');
      for (const end of ['.new', '.sallyport-new']) fs.writeFileSync(victim + end, 'root\'s');
      const yaml = path.join(dir, 'gateway.yaml');
      fs.writeFileSync(yaml, fs.readFileSync(yaml, 'utf8').replaceAll(path.join(dir, 'gateway.pem'), victim));
      assert(fs.readFileSync(yaml, 'utf8').includes(victim));
      fs.chownSync(yaml, U, U);
      await no(renew('--config', yaml), OTHERS);
      assert.deepEqual(fs.readdirSync(roots).sort(), ['nologin.new', 'nologin.sallyport-new']);
      // In a directory of root's the same is root's own will.
      fs.chownSync(yaml, 0, 0);
      await good(renew('--config', yaml));
      assert.deepEqual(fs.readdirSync(roots).sort(), ['nologin', 'nologin.new'], 'and what is not ours stays');
    });

    test('no CA of another user signs, through a link or named', async () => {
      const dir = await whole(), b = await whole(), made = picture(dir);
      give(b);
      for (const f of ['ca.pem', 'ca.key']) {
        fs.rmSync(path.join(dir, f));
        fs.symlinkSync(path.join(b, f), path.join(dir, f));
      }
      fs.rmSync(path.join(dir, 'gateway.pem'));
      await no(renew('--dir', dir), OTHERS);
      for (const f of ['ca.pem', 'ca.key']) {
        fs.rmSync(path.join(dir, f));
        fs.writeFileSync(path.join(dir, f), made[f].text, { mode: 0o600 });
      }
      await no(renew('--dir', dir, '--ca', path.join(b, 'ca.pem'), '--ca-key', path.join(b, 'ca.key')), OTHERS);
      assert.equal(fs.existsSync(path.join(dir, 'gateway.pem')), false);
      await good(renew('--dir', dir));
    });

    test('a link of theirs on the way, a file that was given away, a directory that others may write to', async () => {
      const dir = await whole(), top = tempDir('top'), link = path.join(top, 'link');
      fs.symlinkSync(path.dirname(dir), link);
      const through = ['--dir', path.join(link, 'gateway'), '--force'];
      await good(renew(...through)); // of root's
      fs.lchownSync(link, U, U);
      await no(renew(...through), OTHERS);
      fs.chownSync(path.join(dir, 'gateway.pem'), U, U);
      await no(renew('--dir', dir, '--force'), OTHERS);
      fs.chownSync(path.join(dir, 'gateway.pem'), 0, 0);
      for (const [of, mode] of [[path.dirname(dir), 0o777], [dir, 0o702], [path.join(dir, 'gateway.yaml'), 0o602]]) {
        const was = fs.statSync(of).mode;
        fs.chmodSync(of, mode);
        await no(renew('--dir', dir, '--force'), /others may write to .*, and root follows no paths that others may change: chmod go-w/);
        fs.chmodSync(of, was);
      }
      await good(renew('--dir', dir, '--force'));
      // A ConfigMap: everybody may write, and nobody can.
      const map = tempDir('map'), mounted = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"`;
      for (const f of ['gateway.yaml', 'ca.pem']) fs.copyFileSync(path.join(dir, f), path.join(map, f));
      fs.chmodSync(map, 0o777);
      const argv = [BIN, 'gateway', 'renew-cert', '--config', path.join(map, 'gateway.yaml'), '--ca-key', path.join(dir, 'ca.key'), '--force'];
      await no(run(argv[0], argv.slice(1), { env: {} }), /others may write to/);
      await good(run('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', mounted, 'sh', map, ...argv], { env: {} }));
    });

    test('init makes nothing in a directory of another user', async () => {
      const theirs = tempDir('theirs'), key = path.join(theirs, 'k'), asked = /belongs to another user \(12345\).*sudo -u '#12345' sallyport gateway init/;
      fs.chownSync(theirs, U, U);
      await no(init(path.join(theirs, 'a', 'b'), ['--name', 'never', ...ROUTE]), asked);
      await no(init(theirs, ['--name', 'never', ...ROUTE]), asked);
      await no(init(newDir(), ['--name', 'never', '--ca-key', key, ...ROUTE]), asked);
      assert.deepEqual(fs.readdirSync(theirs), []);
      assert.deepEqual(await named('never'), []);
    });
  });

  test('files of the operator\'s whose names end in .new stay', async () => {
    const dir = await whole(), mine = FILES.map((f) => `${f}.new`);
    for (const f of mine) fs.writeFileSync(path.join(dir, f), 'mine', { mode: 0o600 });
    fs.writeFileSync(path.join(dir, 'gateway.pem.sallyport-new'), 'cut off', { mode: 0o600 });
    await good(init(dir, []));
    await good(renew('--dir', dir, '--force'));
    assert.deepEqual(fs.readdirSync(dir).sort(), [...FILES, ...mine].sort());
    for (const f of mine) assert.equal(fs.readFileSync(path.join(dir, f), 'utf8'), 'mine');
  });

  test('the life that init was told is the life of the next', async () => {
    const dir = await whole('--cert-duration', '72h');
    const json = JSON.parse((await good(renew('--dir', dir, '--force', '--json'))).out);
    assert.equal(Math.round((new Date(json.expires_at) - Date.now()) / 3600e3), 72);
  });

  test('the CA\'s key elsewhere: not needed until it is', async () => {
    const dir = await whole(), safe = path.join(tempDir('safe'), 'ca.key');
    fs.renameSync(path.join(dir, 'ca.key'), safe);
    await good(renew('--dir', dir));
    await good(init(dir, []));
    assert.equal(fs.existsSync(path.join(dir, 'ca.key')), false, 'no other one is made');
    const without = await renew('--dir', dir, '--force');
    assert.equal(without.code, 1);
    assert.match(without.err, /a certificate has to be signed, and the CA's key is not in .*ca\.key: name it with --ca-key FILE/);
    await good(renew('--dir', dir, '--force', '--ca-key', safe));
    const r = await chain(dir, `wiki.${state(dir).domain}`);
    assert.equal(r.code, 0, r.err);
    fs.chmodSync(safe, 0o640);
    assert.match((await renew('--dir', dir, '--force', '--ca-key', safe)).err, /must belong to this user and be readable by nobody else/);
    const away = newDir(), put = path.join(tempDir('put'), 'k');
    await good(init(away, ['--name', newName(), '--ca-key', put, ...ROUTE]));
    assert.equal(fs.statSync(put).mode & 0o777, 0o600);
    assert.equal(fs.existsSync(path.join(away, 'ca.key')), false);
  });

  test('two files by openssl: names, owner and modes stay; a pair of two renewals is mended; what ends with its CA is told', async () => {
    const t = await makeTunnel(s), dir = tempDir('own'), at = (f) => path.join(dir, f);
    const { cert, key } = t.ca.issue([`*.${t.domain}`, `a.b.${t.domain}`], { days: 2 });
    fs.writeFileSync(at('c.pem'), cert, { mode: 0o640 });
    fs.writeFileSync(at('k.pem'), key, { mode: 0o400 });
    fs.chmodSync(at('c.pem'), 0o640);
    fs.writeFileSync(at('gateway.yaml'), JSON.stringify({ edge: s.url, token_file: t.tokenFile, tunnel_domain: t.domain, tls: { cert_file: at('c.pem'), key_file: at('k.pem') }, routes: { wiki: 'http://10.0.0.1:80' } }));
    const ca = ['--config', at('gateway.yaml'), '--ca', t.ca.file, '--ca-key', path.join(t.ca.dir, 'ca.key')];
    assert.match((await renew('--config', at('gateway.yaml'))).err, /the CA's certificate is not in .*ca\.pem: name it with --ca FILE/);
    const fits = async () => {
      const c = new crypto.X509Certificate(fs.readFileSync(at('c.pem')));
      assert(c.checkPrivateKey(crypto.createPrivateKey(fs.readFileSync(at('k.pem')))));
      assert.equal(c.subjectAltName, `DNS:*.${t.domain}, DNS:a.b.${t.domain}`);
      assert.deepEqual(['c.pem', 'k.pem'].map((f) => fs.statSync(at(f)).mode & 0o777), [0o640, 0o400]);
      assert.equal((await run('openssl', ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', t.ca.file, at('c.pem')])).code, 0);
      assert.deepEqual(fs.readdirSync(dir).sort(), ['c.pem', 'gateway.yaml', 'k.pem']);
      return c;
    };
    const first = await good(renew(...ca, '--renew-before', '720h', '--cert-duration', '240h'));
    assert.match(first.out, /because it was due/);
    const c = await fits();
    // Cut off between the two renames.
    fs.chmodSync(at('k.pem'), 0o600);
    fs.writeFileSync(at('k.pem'), key);
    fs.chmodSync(at('k.pem'), 0o400);
    fs.writeFileSync(at('c.pem.sallyport-new'), 'staged');
    assert.match((await good(renew(...ca, '--cert-duration', '240h'))).out, /because its key was missing or another one/);
    assert.notEqual((await fits()).serialNumber, c.serialNumber);
    // The CA of this test lives for thirty days.
    const long = await good(renew(...ca, '--force', '--cert-duration', '2160h'));
    assert.match(long.err, /it ends sooner than was wished for, because its CA does \(.*, \d{4}-\d\d-\d\d\); docs\/tunnel\.md, "Another CA"/);
    assert.equal((await fits()).validTo, new crypto.X509Certificate(fs.readFileSync(t.ca.file)).validTo);
    await good(renew(...ca));
    const end = await renew(...ca, '--renew-before', '720h');
    assert.equal(end.code, 1);
    assert.match(end.err, /ends with its CA, on \d{4}-\d\d-\d\d, and a new one would, too/);
    const wrong = authority(tempDir('wrong'));
    const other = await renew('--config', at('gateway.yaml'), '--ca', wrong.file, '--ca-key', path.join(wrong.dir, 'ca.key'), '--force');
    assert.deepEqual([other.code, /was not signed by the CA in .* so it is left alone/.test(other.err)], [1, true], other.err);
    const mixed = await renew('--config', at('gateway.yaml'), '--ca', t.ca.file, '--ca-key', path.join(wrong.dir, 'ca.key'), '--force');
    assert.deepEqual([mixed.code, /does not belong to the CA in/.test(mixed.err)], [1, true], mixed.err);
    await fits();
    fs.renameSync(at('c.pem'), path.join(t.dir, 'real.pem'));
    fs.symlinkSync(path.join(t.dir, 'real.pem'), at('c.pem'));
    const link = await renew(...ca, '--force');
    assert.deepEqual([link.code, /c\.pem is no regular file; name the file itself/.test(link.err)], [1, true], link.err);
  });

  test('nothing there, and wrong usage', async () => {
    const none = await renew();
    assert.equal(none.code, 1);
    assert.match(none.err, /there is no .*gateway\.yaml; sallyport gateway init makes one, --config names another/);
    assert.equal((await renew('--config', 'x', '--dir', 'y')).code, 2);
    assert.equal((await renew('--renew-before', 'soon')).code, 2);
    const g = await run(BIN, ['gateway'], { env: { XDG_DATA_HOME: tempDir('xdg') }, cwd: tempDir('cwd') });
    assert.equal(g.code, 1);
    assert.match(g.err, /there is no gateway\.yaml here; sallyport gateway init makes one/);
  });

  /** Callers with a request each, one after the other, until `stop`: what each was shown, and what failed. */
  function callers(host, ca) {
    const seen = [], failed = [], t = { ca: { file: ca } };
    let on = true;
    const one = async () => {
      let serial;
      const r = await call(s, t, host, { headers: { connection: 'close' }, onResponse: (a) => { serial = a.socket.getPeerCertificate().serialNumber; } });
      assert.deepEqual([r.status, r.text], [200, 'what only insiders know']);
      seen.push({ serial, at: Date.now() });
    };
    const done = (async () => { while (on) await one().catch((e) => failed.push(e)); })();
    return { seen, failed, stop: async () => { on = false; await done; } };
  }

  test('renewals and looks at the files at the same moment: every look finds a whole, and the last renewal is not missed', async () => {
    const dir = newDir();
    await good(init(dir, ['--name', newName(), '--route', `wiki=http://127.0.0.1:${wiki.address().port}`]));
    const g = start(BIN, ['gateway', '--config', path.join(dir, 'gateway.yaml'), '--metrics', 'none']);
    await g.line(/^ready /m);
    // What a renewal does in the end, faster than anybody renews: one of two whole files gets the name.
    const file = path.join(dir, 'gateway.pem'), next = `${file}.next`, two = [fs.readFileSync(file)];
    await good(renew('--dir', dir, '--force'));
    two.push(fs.readFileSync(file));
    assert.notDeepEqual(two[0], two[1]);
    for (let i = 0; i < 4000; i++) {
      fs.writeFileSync(next, two[i % 2], { mode: 0o600 });
      g.kill('SIGHUP');
      fs.renameSync(next, file);
      if (i % 50 === 0) await new Promise((ok) => setImmediate(ok));
    }
    await good(renew('--dir', dir, '--force'));
    const c = callers(`wiki.${state(dir).domain}`, path.join(dir, 'ca.pem'));
    await until('the last certificate is shown', () => c.seen.at(-1)?.serial === serial(path.join(dir, 'gateway.pem')), ms(10000));
    await c.stop();
    await end(g);
    assert.deepEqual(c.failed, []);
    assert((g.err.match(/msg="files read anew"/g) ?? []).length > 5, 'it has looked often');
    assert.doesNotMatch(g.err, /the changed files cannot be used/);
  });

  for (const halves of [1, 2]) {
    test(`a gateway that serves takes it within ten seconds, and no caller fails (${halves === 1 ? 'one file' : 'two files'})`, async () => {
      let g, host, ca, certFile, args, stop;
      if (halves === 1) {
        const dir = newDir();
        await good(init(dir, ['--name', newName(), '--route', `wiki=http://127.0.0.1:${wiki.address().port}`]));
        g = start(BIN, ['gateway', '--config', path.join(dir, 'gateway.yaml'), '--metrics', 'none']);
        await g.line(/^ready /m);
        [host, ca, certFile, args] = [`wiki.${state(dir).domain}`, path.join(dir, 'ca.pem'), path.join(dir, 'gateway.pem'), ['--dir', dir]];
        stop = () => end(g);
      } else {
        const t = await makeTunnel(s);
        const made = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` });
        g = made.proc;
        [host, ca, certFile] = [`wiki.${t.domain}`, t.ca.file, t.leaf.certFile];
        args = ['--config', made.file, '--ca', ca, '--ca-key', path.join(t.ca.dir, 'ca.key'), '--cert-duration', '240h'];
        stop = () => made.stop();
      }
      const old = serial(certFile), c = callers(host, ca);
      await until('callers are served', () => c.seen.length > 5);
      await good(renew(...args, '--force'));
      const next = serial(certFile), from = Date.now();
      assert.notEqual(next, old);
      await until('the new certificate is shown', () => c.seen.at(-1).serial === next, ms(10000));
      const first = c.seen.find((x) => x.serial === next);
      assert(first.at - from < ms(10000));
      const n = c.seen.length;
      await until('callers go on', () => c.seen.length > n + 5);
      await c.stop();
      await stop();
      assert.deepEqual(c.failed, []);
      const order = c.seen.map((x) => x.serial);
      assert.deepEqual([...new Set(order)], [old, next]);
      assert.equal(order.lastIndexOf(old) < order.indexOf(next), true, 'and never the old one again');
      assert.equal(g.code, 0, g.tail());
    });
  }
});

describe('docs/tunnel.md', () => {
  const commands = (title) => consoleCommands('tunnel.md', title);
  /** Runs them in a network of their own, where the ports of the page are free; a failed one ends it. */
  async function play(lines) {
    const dir = tempDir('doc'), bin = tempDir('bin');
    fs.symlinkSync(BIN, path.join(bin, 'sallyport'));
    const script = lines.map(asScript).join('\n');
    const r = await run('unshare', ['--user', '--map-root-user', '--net', 'bash', '-c', `set -eu -o pipefail\ntrap 'code=$?; kill $(jobs -p) 2> kill.log; wait; exit $code' EXIT\nip link set lo up\n${script}\n`], { cwd: dir, env: { PATH: `${bin}:${process.env.PATH}`, XDG_DATA_HOME: path.join(dir, 'data') }, timeout: ms(60000) });
    assert(!r.timedOut, r.out + r.err);
    assert.equal(r.code, 0, `${script}\n${r.out}\n${r.err}`);
    return r;
  }
  const five = commands('## In five minutes');

  test('five minutes, a renewal, another CA', async () => {
    assert(five.length >= 10 && five.some((l) => l.startsWith('curl --cacert $ca')), five.join('\n'));
    const renewal = commands('### Renewing it'), rotation = commands('### Another CA');
    assert(renewal.length === 1 && rotation.length === 6);
    const look = 'until curl -sf http://127.0.0.1:8404/readyz; do sleep 0.2; done; kill %3; wait %3';
    const at = rotation.findIndex((l) => l.startsWith('sallyport gateway --config'));
    const r = await play([...five, ...renewal, ...rotation.slice(0, at + 1), look, five.at(-1).replace('$ca', 'both.pem'), ...rotation.slice(at + 1), five.at(-1).replace('$ca', 'gateway-2/ca.pem')]);
    assert.equal(r.out.match(/^what only insiders know$/mg).length, 3, r.out);
    assert.match(r.out, /^\S+gateway\.pem is good until .*; nothing was changed$/m);
    assert.match(r.out, /^tcrt_\w+ is archived: it is trusted no more$/m);
  });

  test('a CA of your own, by hand', async () => {
    const hand = commands('## A CA of your own, by hand');
    assert(hand.length > 15 && hand.includes('END'), hand.join('\n'));
    const from = five.findIndex((l) => l.startsWith('sallyport gateway init')), curl = five.at(-1).replace('$ca', 'ca.pem');
    const r = await play([...five.slice(0, from), ...hand, ...five.slice(-2, -1), curl]);
    assert.match(r.out, /^what only insiders know$/m);
    assert.match(r.out, /^gateway\.pem is good until .*; nothing was changed$/m);
  });
});
