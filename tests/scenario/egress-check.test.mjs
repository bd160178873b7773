// `sallyport egress check` has one opinion with what loads the policy: what it calls fine can be loaded, what it refuses
// exec refuses too, in the same words; and --connect goes the way that a sandbox's connection goes, upstream proxy included.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { BIN, run, tempDir } from '../lib/own.mjs';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';

const dir = tempDir('egress-check');
let n = 0;
const write = (text) => {
  const file = path.join(dir, `${++n}.yaml`);
  fs.writeFileSync(file, text);
  return file;
};
const check = (file, ...more) => run(BIN, ['egress', 'check', '--egress', file, ...more]);
const exec = (file, ...more) => run(BIN, ['exec', '--egress', file, '--audit', path.join(dir, 'audit.jsonl'), ...more, '--', 'true']);
const withSource = (source, more = '') => `allow: [a.example]\ncredentials:\n  - name: TOKEN\n    hosts: [a.example]\n    source: ${source}\n${more}`;

const WRONG = {
  '{fil: x}': /credentials\[0\]\.source \(line 3\): TOKEN: a source needs one of env, file/,
  '{file: /a, env: B}': /a source has one kind/,
  '{file: /a, ttl: 5x}': /ttl: is not a duration/,
  '{file: relative}': /file: must be an absolute path/,
  '{exec: []}': /exec: a list of a program/,
  '{exec: [a, 7]}': /exec: every argument is a text/,
  '{hashicorp: {address: "http://vault.corp:8200", auth: {token: {env: T}}, path: p}}': /address/,
  '{vault: X}': /the session's vault is not built yet/,
  '{exec: [a], environment: {A: {vault: X}}}': /the session's vault is not built yet/,
};
for (const [source, words] of Object.entries(WRONG))
  test(`a source that cannot be loaded: ${source}`, async () => {
    const file = write(withSource(source));
    for (const url of [[], ['https://a.example/']]) {
      const c = await check(file, ...url);
      assert.equal(c.code, 2, c.out + c.err);
      assert.match(c.err, words);
      assert.ok(c.err.includes(`${file}: egress.credentials[0].source (line 3)`), c.err);
      assert.equal(c.out, '');
    }
    const x = await exec(file);
    assert.equal(x.code, 125, x.out + x.err);
    assert.match(x.err, words);
    assert.equal(x.err.replace('sallyport exec: ', ''), (await check(file)).err.replace('sallyport egress check: ', ''), 'exec and check have the same words');
  });
for (const format of ['githb', 'x_{base62:4}'])
  test(`a format that cannot be loaded: ${format}`, async () => {
    const file = write(withSource('{file: /a}', `    format: '${format}'\n`));
    const c = await check(file, 'https://a.example/'), x = await exec(file);
    assert.equal(c.code, 2, c.out);
    assert.match(c.err, /credentials\[0\]\.format \(line 3\): TOKEN: /);
    assert.equal(x.code, 125, x.err);
  });

test('a whole file is checked without a URL, and nothing of a secret is needed for it', async () => {
  const c = await check(write(`allow: [a.example, b.example]\ndeny: [c.example]\ncredentials:
  - { name: A, hosts: [a.example], source: { file: /does/not/exist } }
  - { name: B, hosts: [b.example], source: { systemd: b }, format: keep }
  - { name: C, hosts: [elsewhere.example], source: { env: C } }\n`));
  assert.equal(c.code, 0, c.err);
  assert.equal(c.out, 'warning: credential C: no rule allows elsewhere.example\n3 rules, 3 credentials: fine\n');
  const other = await check(write('listen: 127.0.0.1:1\negress:\n  allow: [a.example]\n'));
  assert.equal(other.out, '1 rule, 0 credentials: fine\n', other.err);
  const wrong = await check(write('allow:\n  - a.example\n  - { host: b, prot: 1 }\n'));
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  assert.match(wrong.err, /\.yaml: egress\.allow\[1\]\.prot \(line 3\): there is no such field/);
});

test('what is said besides the decision', async () => {
  const file = write('allow: ["*.com", { host: a.example, ask: true }, b.example]\n');
  const ask = await check(file, 'https://a.example/');
  assert.equal(ask.code, 1);
  assert.match(ask.out, /^refused: nothing answers questions yet/m);
  assert.match(ask.out, /^warning: egress\.allow\[0\] \(line 1\): .*whole top-level domain$/m);
  const looked = (out) => /^looked into: (\w+)$/m.exec(out)[1];
  assert.equal(looked((await check(file, 'http://b.example/')).out), 'yes');
  assert.equal(looked((await check(file, 'https://b.example/')).out), 'no');
  const lower = await check(file, '--method', 'get', 'https://b.example/');
  assert.match(lower.out, /^warning: methods are told apart by case/m);
  for (const method of ['GET POST', '', 'GÉT', 'GET,POST']) {
    const c = await check(file, '--method', method, 'https://b.example/');
    assert.deepEqual([c.code, c.out], [2, ''], method);
    assert.match(c.err, /--method: a method is one word without spaces, in upper case as in GET/);
  }
  for (const [args, words] of [[['--connect'], /--connect needs a URL/], [['--method', 'GET'], /--method needs a URL/]]) {
    const c = await check(file, ...args);
    assert.equal(c.code, 2);
    assert.match(c.err, words);
  }
});

/** A CONNECT proxy with a Basic login; `asked`: [{ target, authorized }]. */
async function connectProxy(login, tls) {
  const asked = [], sockets = new Set();
  const s = tls ? https.createServer(tls) : http.createServer();
  s.on('connect', (req, c, head) => {
    const authorized = req.headers['proxy-authorization'] === `Basic ${Buffer.from(login).toString('base64')}`;
    asked.push({ target: req.url, authorized });
    c.on('error', () => {});
    if (!authorized) return void c.end('HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n');
    const at = req.url.lastIndexOf(':');
    const o = net.connect(Number(req.url.slice(at + 1)), req.url.slice(0, at), () => {
      c.write('HTTP/1.1 200 yes\r\n\r\n');
      o.write(head);
      o.pipe(c).pipe(o);
    });
    o.on('error', () => c.destroy()).on('close', () => c.destroy());
    c.on('close', () => o.destroy());
  });
  s.on('connection', (c) => { sockets.add(c); c.on('close', () => sockets.delete(c)).on('error', () => {}); });
  await new Promise((ok) => s.listen(0, '127.0.0.1', ok));
  after(() => { for (const c of sockets) c.destroy(); s.close(); });
  return { port: s.address().port, asked };
}

for (const scheme of ['http', 'https'])
  test(`an upstream proxy by ${scheme} with a login is used by exec and by check --connect`, async () => {
    const PASSWORD = 'pw-Xq81LmZ0ktR4uY';
    const ca = authority(), tls = ca.issue(['api.test', 'proxy.test']);
    const dns = await nameServer({ 'api.test': '127.0.0.1', 'proxy.test': '127.0.0.1' });
    const o = await origin({ tls });
    const proxy = await connectProxy(`me:${PASSWORD}`, scheme === 'https' ? tls : undefined);
    const file = path.join(tempDir('password'), 'p');
    fs.writeFileSync(file, `${PASSWORD}\n`, { mode: 0o600 });
    const upstream = (password) => ({ url: `${scheme}://proxy.test:${proxy.port}`, user: 'me', password });
    const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], secrets: [SECRET, PASSWORD], credentials: [credential(`api.test:${o.port}`)], policy: { upstream_proxy: upstream({ file }) } });
    const url = `https://api.test:${o.port}/`;
    const out = await b.ok(`curl -sS ${url} -H "Authorization: Bearer $TOKEN"`);
    assert.equal(o.seen.length, 1, out);
    assert.equal(o.seen[0].headers.authorization, `Bearer ${SECRET}`);
    assert.ok(proxy.asked.length > 0 && proxy.asked.every((a) => a.authorized), JSON.stringify(proxy.asked));
    const before = proxy.asked.length, c = await check(b.file, '--connect', url);
    assert.equal(c.code, 0, c.out + c.err);
    assert.match(c.out, /^connected: 127\.0\.0\.1 through upstream_proxy$/m);
    assert.match(c.out, /^certificate: good for api\.test; speaks http\/1\.1$/m);
    assert.deepEqual(proxy.asked.slice(before), [{ target: `127.0.0.1:${o.port}`, authorized: true }]);
    holdsNo('what check prints', PASSWORD, c.out + c.err);
    b.write({ ...b.policy, upstream_proxy: upstream({ env: 'PROXY_PASSWORD' }) });
    const env = await run(BIN, ['egress', 'check', '--egress', b.file, '--connect', url], { env: { PROXY_PASSWORD: PASSWORD } });
    assert.equal(env.code, 0, env.out + env.err);
    const none = await check(b.file, '--connect', url);
    assert.equal(none.code, 1);
    assert.match(none.out, /^not reached: the password of upstream_proxy: environment variable PROXY_PASSWORD: it is not set/m);
    fs.writeFileSync(file, 'another', { mode: 0o600 });
    b.write({ ...b.policy, upstream_proxy: upstream({ file }) });
    const wrong = await check(b.file, '--connect', url);
    assert.equal(wrong.code, 1);
    assert.match(wrong.out, /^not reached: .*\(407\)/m);
  });

test('--audit comes before the policy, and needs something to record', async () => {
  const at = tempDir('audit-order'), log = (f) => fs.existsSync(path.join(at, f));
  const file = write(`allow: [a.example]\naudit: { file: ${path.join(at, 'policy.jsonl')} }\n`);
  const plain = write('allow: [a.example]\n');
  const exec = (...args) => run(BIN, ['exec', ...args, '--', 'true']);
  const both = await exec('--egress', file, '--audit', path.join(at, 'flag.jsonl'));
  assert.equal(both.code, 0, both.err);
  assert.deepEqual([log('flag.jsonl'), log('policy.jsonl')], [true, false]);
  const alone = await exec('--egress', file);
  assert.equal(alone.code, 0, alone.err);
  assert.ok(log('policy.jsonl'));
  const data = path.join(at, 'data'), inData = await exec('--egress', plain, '--data', data);
  assert.equal(inData.code, 0, inData.err);
  const verified = await run(BIN, ['audit', 'verify', '--data', data]);
  assert.equal(verified.code, 0, verified.err);
  const nothing = await exec('--audit', path.join(at, 'none.jsonl'));
  assert.equal(nothing.code, 125);
  assert.match(nothing.err, /^sallyport exec: --audit: nothing can go out, so there is no log of it; open a way out/);
  assert.ok(!log('none.jsonl'));
  const env = { ANTHROPIC_ENVIRONMENT_KEY: 'sk-env-none', ANTHROPIC_ENVIRONMENT_ID: 'env_none' };
  for (const argv of [['worker'], ['up', '--listen', '127.0.0.1:0', '--data', path.join(at, 'up')]]) {
    const r = await run(BIN, [...argv, '--audit', path.join(at, 'none.jsonl')], { env });
    assert.notEqual(r.code, 0);
    assert.match(r.err, /--audit: nothing can go out of the sandboxes/, argv[0]);
  }
});

test('certificates that cannot be used are refused at once, by name, and no proxy is started for them', async () => {
  const empty = write('no certificate\n'), missing = path.join(dir, 'none.pem');
  for (const [name, words] of [['corp.pem', /egress\.ca_file \(line 2\): must be an absolute path/], [missing, /egress\.ca_file: cannot use the certificates in ca_file .*none\.pem/], [empty, /egress\.ca_file: cannot use the certificates in ca_file/], [dir, /egress\.ca_file: cannot use the certificates in ca_file/]]) {
    const file = write(`allow: [a.example]\nca_file: ${name}\n`);
    const c = await check(file), x = await exec(file);
    assert.equal(c.code, 2, name);
    assert.match(c.err, words);
    assert.equal(x.code, 125);
    assert.equal(x.err.replace('sallyport exec: ', ''), c.err.replace('sallyport egress check: ', ''));
  }
});

test('a name inside belongs to one: a variable that is set, or a credential', async () => {
  const file = path.join(tempDir('secret'), 's');
  fs.writeFileSync(file, SECRET, { mode: 0o600 });
  const at = path.join(dir, 'audit.jsonl'), exec = (name, ...args) => run(BIN, ['exec', '--audit', at, '--secret', `${name}=file:${file}@a.example`, ...args, '--', 'sh', '-c', 'echo "$TOKEN"'], { env: { TOKEN: SECRET } });
  const fine = await exec('TOKEN');
  assert.match(fine.out, /^sp_ph_\w{32}\n$/, fine.err);
  for (const env of ['TOKEN', 'TOKEN=x']) {
    const r = await exec('TOKEN', '--env', env);
    assert.deepEqual([r.code, r.out], [125, ''], r.err);
    assert.match(r.err, /env: TOKEN is set for the sandbox, and is a credential of the policy, too/);
  }
  for (const name of ['PATH', 'HOME', 'LD_PRELOAD', 'LC_ALL', 'BASH_ENV', 'NODE_EXTRA_CA_CERTS']) {
    const r = await exec(name);
    assert.deepEqual([r.code, r.out], [125, ''], name);
    assert.match(r.err, new RegExp(`${name} means something to programs in the sandbox`));
  }
  const taken = await run(BIN, ['exec', '--allow', 'a.example', '--audit', '--', 'true']);
  assert.equal(taken.code, 125);
  assert.match(taken.err, /^sallyport exec: --audit: needs a value \(FILE\)/);
});
