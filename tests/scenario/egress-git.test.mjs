// Package managers and git behind the boundary: they ask without a login first, are told 401, and send a Basic login or a token that
// is a placeholder. git's origin is `git http-backend` behind a server that demands the real one.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { execFileSync, spawn } from 'node:child_process';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';
import { ms, tempDir } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['git.test', 'registry.test', 'index.test']);
const dns = await nameServer({ 'git.test': '127.0.0.1', 'registry.test': '127.0.0.1', 'index.test': '127.0.0.1' });
const SLOW = ms(180000);
const BASIC = `Basic ${Buffer.from(`x-access-token:${SECRET}`).toString('base64')}`;

/** A bare repository with one commit, served by git's own program to whoever has the real token. */
async function gitOrigin({ open = false } = {}) {
  const root = tempDir('git'), bare = path.join(root, 'acme', 'web.git'), work = path.join(root, 'work');
  const git = (...a) => execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...a], { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' });
  fs.mkdirSync(path.dirname(bare));
  git('init', '-q', '--bare', '-b', 'main', bare);
  git('-C', bare, 'config', 'http.receivepack', 'true');
  git('init', '-q', '-b', 'main', work);
  fs.writeFileSync(path.join(work, 'a.txt'), 'first\n');
  git('-C', work, 'add', '.');
  git('-C', work, 'commit', '-qm', 'first');
  git('-C', work, 'push', '-q', bare, 'main');
  const log = [];
  const handler = (req, res) => {
    log.push(`${req.method} ${req.url} ${req.headers.authorization === undefined ? 'none' : req.headers.authorization === BASIC ? 'real' : 'wrong'}`);
    if (!open && req.headers.authorization !== BASIC) {
      req.resume();
      res.writeHead(401, { 'www-authenticate': 'Basic realm="git.test"', 'content-type': 'text/plain' });
      return void res.end('who are you?\n');
    }
    const [p, query = ''] = req.url.split('?');
    const backend = spawn('git', ['http-backend'], { env: { PATH: process.env.PATH, GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: p, QUERY_STRING: query, REQUEST_METHOD: req.method, REMOTE_USER: 't',
      CONTENT_TYPE: req.headers['content-type'] ?? '', HTTP_CONTENT_ENCODING: req.headers['content-encoding'] ?? '', GIT_PROTOCOL: req.headers['git-protocol'] ?? '', ...(req.headers['content-length'] ? { CONTENT_LENGTH: req.headers['content-length'] } : {}) } });
    backend.on('error', () => res.destroy());
    backend.stdin.on('error', () => {});
    req.pipe(backend.stdin);
    let head = Buffer.alloc(0), begun = false;
    backend.stdout.on('data', (d) => {
      if (begun) return void res.write(d);
      head = Buffer.concat([head, d]);
      const at = head.indexOf('\r\n\r\n');
      if (at < 0) return;
      const fields = head.subarray(0, at).toString('latin1').split('\r\n').map((l) => l.split(/: */));
      const status = Number(fields.find(([k]) => k === 'Status')?.[1].split(' ')[0] ?? 200);
      res.writeHead(status, Object.fromEntries(fields.filter(([k]) => k !== 'Status')));
      begun = true;
      if (head.length > at + 4) res.write(head.subarray(at + 4));
    }).on('end', () => res.end());
  };
  handler.streaming = true;
  const o = await origin({ tls, h2: true, handler });
  return { ...o, log, bare, git: (...a) => git('-C', bare, ...a) };
}
const behind = (host, port, more = {}) => boundary({ ca, dns, allow: [rule(host, port)], credentials: [credential(`${host}:${port}`, more)] });
const ME = 'git config --global user.name t; git config --global user.email t@t; export GIT_TERMINAL_PROMPT=0';
/** As CI and the command-line tools do it: a helper that gives the login from the environment, asked for after the 401. */
const HELPER = `git config --global credential.helper '!f() { test "$1" = get && echo username=x-access-token && echo password=$TOKEN; }; f'`;

test('git: the first 401 reaches it, then clone and push with a login that is a placeholder', async () => {
  const o = await gitOrigin();
  const b = behind('git.test', o.port);
  const url = `https://git.test:${o.port}/acme/web.git`;
  const out = await b.ok(`set -e; ${ME}; ${HELPER}; git clone -q ${url} w; cd w; cat a.txt; echo second >b.txt; git add .; git commit -qm second; git push -q origin HEAD:main; git fetch -q; git rev-parse origin/main`, { timeout: SLOW });
  const [first, head] = out.trim().split('\n');
  assert.equal(first, 'first');
  assert.equal(o.git('rev-parse', 'main').trim(), head);
  assert.equal(o.log[0], 'GET /acme/web.git/info/refs?service=git-upload-pack none');
  assert.equal(o.log[1], 'GET /acme/web.git/info/refs?service=git-upload-pack real');
  assert.ok(o.log.includes('POST /acme/web.git/git-receive-pack real'));
  assert.ok(!o.log.some((l) => l.endsWith('wrong')), o.log.join('\n'));
  assert.equal(b.records({ kind: 'request', status: 401 }).length >= 1, true);
  holdsNo('the audit log', SECRET, fs.readFileSync(b.audit, 'utf8'));
});

test('git: `require` lets the first question pass, and refuses an own login and anonymous writing', async () => {
  const o = await gitOrigin();
  const b = behind('git.test', o.port, { require: true });
  const url = `https://git.test:${o.port}/acme/web.git`;
  assert.equal(await b.ok(`set -e; ${ME}; ${HELPER}; git clone -q ${url} w; cat w/a.txt`, { timeout: SLOW }), 'first\n');
  const before = o.log.length;
  const own = await b.sh(`${ME}; git clone -q https://me:mine@git.test:${o.port}/acme/web.git w`, { timeout: SLOW });
  assert.notEqual(own.code, 0);
  assert.deepEqual(o.log.slice(before).filter((l) => !l.endsWith('none')), [], 'no login of the sandbox’s own came here');
  assert.equal(b.records({ reason: 'missing_placeholder' }).length >= 1, true);
  const anonymous = await b.ok(`curl -sS -o /dev/null -w '%{http_code}' -X POST -d x ${url}/git-receive-pack`);
  assert.equal(anonymous, '403');
});

test('git: a token in the URL and in http.extraHeader', async () => {
  const o = await gitOrigin();
  const b = behind('git.test', o.port);
  const header = `git -c http.extraHeader="Authorization: Basic $(printf 'x-access-token:%s' "$TOKEN" | base64 -w0)"`;
  await b.ok(`set -e; ${ME}; git clone -q https://x-access-token:$TOKEN@git.test:${o.port}/acme/web.git one; ${header} clone -q https://git.test:${o.port}/acme/web.git two; cmp one/a.txt two/a.txt`, { timeout: SLOW });
  assert.ok(o.log.filter((l) => l.endsWith('real')).length >= 4);
  assert.ok(!o.log.some((l) => l.endsWith('wrong')), o.log.join('\n'));
});

test('git: a blob of 50 MB is pushed, chunked, and cloned again', async () => {
  const o = await gitOrigin();
  const b = behind('git.test', o.port);
  const url = `https://git.test:${o.port}/acme/web.git`;
  const out = await b.ok(`set -e; ${ME}; ${HELPER}; git clone -q ${url} w; cd w; head -c 52428800 /dev/urandom >blob; sha256sum <blob; git add .; git commit -qm blob; git push -q origin HEAD:main; cd ..; rm -rf w; git clone -q ${url} again; sha256sum <again/blob`, { timeout: SLOW });
  const [pushed, cloned] = out.trim().split('\n');
  assert.equal(cloned, pushed);
  assert.equal(o.git('cat-file', '-s', 'main:blob').trim(), '52428800');
  assert.ok(b.records({ kind: 'request' }).some((r) => Object.values(r).some((v) => typeof v === 'number' && v > 52428800)), 'a record tells the bytes');
});

test('git: a host of which no rule is there says so', async () => {
  const b = boundary({ ca, dns });
  const r = await b.sh(`${ME}; git clone https://git.test/acme/web.git`);
  assert.equal(r.code, 128);
  assert.match(r.err, /403/);
  assert.equal(b.records({ verdict: 'deny' }).length >= 1, true);
});

/** A tar file of one member list, as npm and pip packages are made of. */
function tar(files) {
  const parts = [];
  for (const [name, text] of Object.entries(files)) {
    const body = Buffer.from(text), h = Buffer.alloc(512);
    h.write(name, 0); h.write('0000644\0', 100); h.write('0000000\0', 108); h.write('0000000\0', 116);
    h.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124); h.write('00000000000\0', 136); h.write('        ', 148); h.write('0', 156); h.write('ustar\x0000', 257);
    h.write(`${h.reduce((a, c) => a + c, 0).toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(h, body, Buffer.alloc((512 - (body.length % 512)) % 512));
  }
  return zlib.gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

test('npm installs from a registry that wants a token', async () => {
  const tgz = tar({ 'package/package.json': JSON.stringify({ name: 'little', version: '1.2.3', main: 'i.js' }), 'package/i.js': 'module.exports = "little came";\n' });
  const integrity = `sha512-${crypto.createHash('sha512').update(tgz).digest('base64')}`;
  const o = await origin({ tls, handler: (req, res, record) => {
    if (req.headers.authorization !== `Bearer ${SECRET}`) return void res.writeHead(401, { 'www-authenticate': 'Bearer' }).end('{}');
    if (req.url === '/little') return void res.setHeader('content-type', 'application/json').end(JSON.stringify({ name: 'little', 'dist-tags': { latest: '1.2.3' }, versions: { '1.2.3': { name: 'little', version: '1.2.3', dist: { tarball: `https://registry.test:${o.port}/little/-/little-1.2.3.tgz`, integrity } } } }));
    if (req.url.endsWith('.tgz')) return void res.setHeader('content-type', 'application/octet-stream').end(tgz);
    if (req.method === 'PUT') { record.published = true; return void res.writeHead(201, { 'content-type': 'application/json' }).end('{"ok":true}'); }
    res.writeHead(404).end('{}');
  } });
  const b = behind('registry.test', o.port);
  const npm = `npm --no-update-notifier --no-audit --no-fund --registry https://registry.test:${o.port}/`;
  const out = await b.ok(`set -e; printf '%s' '//registry.test:${o.port}/:_authToken=\${TOKEN}' >.npmrc; echo '{"name":"x","version":"1.0.0"}' >package.json
    ${npm} install little >log 2>&1 || { cat log; exit 1; }; node -p 'require("little")'; ${npm} publish >log 2>&1 || { cat log; exit 1; }; echo published`, { timeout: SLOW });
  assert.equal(out, 'little came\npublished\n');
  for (const r of o.seen) assert.equal(r.headers.authorization, `Bearer ${SECRET}`, r.url);
  assert.ok(o.seen.some((r) => r.published));
});

test('pip installs from an index that wants a login', async () => {
  const wheel = wheelOf('little', '1.0', 'SAID = "little came"\n');
  const o = await origin({ tls, handler: (req, res) => {
    const login = Buffer.from((req.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString();
    if (login !== `__token__:${SECRET}`) return void res.writeHead(401, { 'www-authenticate': 'Basic realm="index"' }).end();
    if (req.url === '/simple/little/') return void res.setHeader('content-type', 'text/html').end(`<a href="/files/little-1.0-py3-none-any.whl#sha256=${crypto.createHash('sha256').update(wheel).digest('hex')}">little-1.0-py3-none-any.whl</a>`);
    if (req.url.endsWith('.whl')) return void res.setHeader('content-type', 'application/octet-stream').end(wheel);
    res.writeHead(404).end();
  } });
  const b = behind('index.test', o.port);
  const out = await b.ok(`set -e; pip install -q --disable-pip-version-check --no-cache-dir --index-url "https://__token__:$TOKEN@index.test:${o.port}/simple/" --target lib little 2>log || { cat log; exit 1; }; PYTHONPATH=lib python3 -c 'import little; print(little.SAID)'`, { timeout: SLOW });
  assert.equal(out, 'little came\n');
  assert.ok(o.seen.some((r) => r.url.endsWith('.whl')));
});

/** A wheel, by Python's own zipfile. */
function wheelOf(name, version, text) {
  const dir = tempDir('wheel'), file = path.join(dir, 'w.whl');
  const info = `${name}-${version}.dist-info`;
  const files = { [`${name}.py`]: text, [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`, [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n', [`${info}/RECORD`]: `${name}.py,,\n${info}/METADATA,,\n${info}/WHEEL,,\n${info}/RECORD,,\n` };
  execFileSync('python3', ['-c', 'import json,sys,zipfile\nz=zipfile.ZipFile(sys.argv[1],"w")\nfor k,v in json.load(sys.stdin).items(): z.writestr(k,v)\nz.close()', file], { input: JSON.stringify(files) });
  return fs.readFileSync(file);
}
