// HTTP libraries that programs of Python, Node and Ruby use most, behind the boundary: requests, axios, ws, net/http. What each does
// beside the plain request is what is tried: a session's cookies and netrc, redirects that drop a login, streams, compressed answers.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { WebSocketServer } from 'ws';
import { SECRET, authority, boundary, credential, nameServer, origin, rule, scripts } from '../lib/egress.mjs';
import { here, ms } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test', 'cdn.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1', 'cdn.test': '127.0.0.1' });
const SLOW = ms(120000);
const BEARER = `Bearer ${SECRET}`;
const BASIC = `Basic ${Buffer.from(`me:${SECRET}`).toString('base64')}`;
const behind = (o, { also = [], ...more } = {}) => boundary({ ca, dns, allow: [rule('api.test', o.port), ...also], credentials: [credential(`api.test:${o.port}`, more)] });

/** Node packages of the tests, with what they need, where a program in `dir` finds them. Read from the lock file. */
function packages(dir, ...names) {
  const locked = JSON.parse(fs.readFileSync(path.join(here, 'package-lock.json'), 'utf8')).packages;
  const done = new Set();
  for (const todo = [...names]; todo.length; ) {
    const name = todo.pop(), at = `node_modules/${name}`;
    if (done.has(name)) continue;
    done.add(name);
    fs.cpSync(path.join(here, at), path.join(dir, at), { recursive: true });
    todo.push(...Object.keys(locked[at].dependencies ?? {}));
  }
  return dir;
}

/** Answers /gzip, /deflate and /br compressed, whatever was asked for, and a secret in each. */
function compressed(req, res) {
  const how = { '/gzip': ['gzip', zlib.gzipSync], '/deflate': ['deflate', zlib.deflateSync], '/br': ['br', zlib.brotliCompressSync] }[req.url];
  if (how) res.writeHead(200, { 'content-encoding': how[0] }).end(how[1](`packed ${SECRET}`));
  return Boolean(how);
}

test('requests: a session, its cookies, bodies of every kind, compressed answers, a refusal', async () => {
  const o = await origin({ tls, handler: (req, res, ...[record]) => {
    if (compressed(req, res)) return;
    if (req.url === '/cookie') res.setHeader('set-cookie', 'sid=1234; Secure; HttpOnly');
    if (req.url === '/lines') return void res.end(Array.from({ length: 1000 }, (_, i) => `${i} ${SECRET}\n`).join(''));
    if (req.url === '/from') return void res.writeHead(302, { location: '/to' }).end();
    res.end(JSON.stringify(record));
  } });
  const b = behind(o);
  const dir = scripts({ 'a.py': `
import os, requests
token, url = os.environ['TOKEN'], 'https://api.test:${o.port}'
bearer = 'Bearer ' + token
with requests.Session() as s:
    s.headers['Authorization'] = bearer
    ports = set()
    def call(method, path, **more):
        r = s.request(method, url + path, stream=True, **more)
        sock = getattr(getattr(r.raw, '_connection', None), 'sock', None)
        if sock: ports.add(sock.getsockname()[1])
        r.content
        return r
    r = call('GET', '/one', params={'q': 'a b'})
    print(r.status_code, r.json()['headers']['authorization'] == bearer, r.json()['url'])
    r = call('GET', '/cookie')
    print('cookie', r.cookies['sid'])
    print(call('POST', '/json', json={'a': [1, 'é']}).json()['body'])
    print(call('POST', '/form', data={'k': 'v w'}).json()['body'])
    print(call('POST', '/generator', data=(b'x' * 1000 for _ in range(100))).json()['headers'].get('transfer-encoding'))
    r = call('POST', '/multipart', files={'f': ('name.bin', b'y' * 100000)}).json()
    print(r['headers']['content-type'].split(';')[0], len(r['body']) > 100000)
    for how in 'gzip', 'deflate', 'br':
        r = call('GET', '/' + how)
        print(how, r.text == 'packed ' + token)
    print('lines', sum(l == b'%d %s' % (i, token.encode()) for i, l in enumerate(s.get(url + '/lines', stream=True).iter_lines())))
    r = call('GET', '/from')
    print([h.status_code for h in r.history], r.status_code, r.json()['headers']['authorization'] == bearer)
    print('connections', len(ports))
    r = s.get('https://other.test/')
    print(r.status_code, r.json()['error']['type'], r.json()['host'])
` });
  const out = await b.ok('/usr/bin/python3 /s/a.py', { args: ['--bind', `${dir}:/s`], timeout: SLOW });
  assert.deepEqual(out.trimEnd().split('\n'), ['200 True /one?q=a+b', 'cookie 1234', '{"a": [1, "\\u00e9"]}', 'k=v+w', 'chunked', 'multipart/form-data True',
    'gzip True', 'deflate True', 'br True', 'lines 1000', '[302] 200 True', 'connections 1', '403 egress_denied other.test']);
  assert.equal(o.seen.length, 12);
  assert.equal(o.seen.at(-1).headers.cookie, 'sid=1234');
  for (const r of o.seen) assert.equal(r.headers.authorization, BEARER, r.url);
});

test('requests: what the origin set as a cookie comes back from the client, and is not the secret', async () => {
  const o = await origin({ tls, handler: (req, res) => { if (req.url === '/set') res.setHeader('set-cookie', `sid=${SECRET}; Secure`); res.end('done'); } });
  const b = behind(o);
  const dir = scripts({ 'a.py': `
import os, requests
s = requests.Session()
print(s.get('https://api.test:${o.port}/set', headers={'Authorization': 'Bearer ' + os.environ['TOKEN']}).text)
r = s.get('https://api.test:${o.port}/next')
print(r.status_code, r.json()['error']['type'])
` });
  assert.equal(await b.ok('/usr/bin/python3 /s/a.py', { args: ['--bind', `${dir}:/s`] }), 'done\n403 misplaced_placeholder\n');
  assert.deepEqual(o.seen.map((r) => r.url), ['/set']);
});

test('requests: a Basic login from the call and from ~/.netrc, and a redirect elsewhere that leaves it behind', async () => {
  const cdn = await origin({ tls, handler: (req, res) => res.end(`cdn ${req.headers.authorization ?? 'without'}`) });
  const o = await origin({ tls, handler: (req, res) => (req.url === '/away' ? res.writeHead(302, { location: `https://cdn.test:${cdn.port}/file` }).end() : res.end(JSON.stringify(req.headers))) });
  const b = behind(o, { also: [rule('cdn.test', cdn.port, { inspect: true })] });
  const dir = scripts({ 'a.py': `
import os, requests
url, token = 'https://api.test:${o.port}', os.environ['TOKEN']
mine = requests.auth._basic_auth_str('me', token)
print(requests.get(url + '/call', auth=('me', token)).json()['authorization'] == mine)
with open(os.path.expanduser('~/.netrc'), 'w') as f: f.write('machine api.test login me password %s\\n' % token)
os.chmod(f.name, 0o600)
print(requests.get(url + '/netrc').json()['authorization'] == mine)
r = requests.get(url + '/away')
print(r.status_code, r.text)
` });
  assert.equal(await b.ok('/usr/bin/python3 /s/a.py', { args: ['--bind', `${dir}:/s`] }), 'True\nTrue\n200 cdn without\n');
  assert.deepEqual(o.seen.map((r) => r.headers.authorization), [BASIC, BASIC, BASIC]);
});

test('requests finds its certificates by a file and by a variable', async () => {
  const o = await origin({ tls, handler: (req, res) => res.end('ok ') });
  const b = behind(o);
  const dir = scripts({ 'a.py': `
import requests
print(requests.get('https://api.test:${o.port}/').text, end='')
` });
  assert.equal(await b.ok('/usr/bin/python3 /s/a.py; env -u REQUESTS_CA_BUNDLE -u SSL_CERT_FILE /usr/bin/python3 /s/a.py; env -i /usr/bin/python3 /s/a.py', { args: ['--bind', `${dir}:/s`] }), 'ok ok ok ');
});

test('axios: an instance, its errors, streams both ways, forms, compressed answers, a request that is given up', async () => {
  let left;
  const gone = new Promise((ok) => { left = ok; });
  const o = await origin({ tls, handler: async (req, res, ...[record]) => {
    if (compressed(req, res)) return;
    if (req.url === '/endless') { res.on('close', left); return void res.writeHead(200).write('begun\n'); }
    if (req.url === '/closed') { await gone; return void res.end('heard'); }
    if (req.url === '/from') return void res.writeHead(302, { location: '/to' }).end();
    if (req.url === '/teapot') return void res.writeHead(418, { 'x-why': SECRET }).end(`no ${SECRET}`);
    res.end(JSON.stringify(record));
  } });
  const b = behind(o);
  const dir = packages(scripts({ 'a.mjs': `
import axios from 'axios';
import { Readable } from 'node:stream';
const token = process.env.TOKEN, bearer = 'Bearer ' + token;
const api = axios.create({ baseURL: 'https://api.test:${o.port}', headers: { Authorization: bearer } });
let r = await api.get('/one', { params: { q: 'a b' } });
console.log(r.status, r.data.url, r.data.headers.authorization === bearer);
r = await api.post('/json', { a: [1, 'é'] });
console.log(r.data.headers['content-type'], Buffer.from(r.data.body, 'latin1').toString());
r = await api.post('/stream', Readable.from(['p1', 'p2', 'p3']));
console.log(r.data.body, r.data.headers['transfer-encoding']);
const form = new FormData();
form.append('f', new Blob(['z'.repeat(100000)]), 'name.bin');
r = await api.post('/form', form);
console.log(r.data.headers['content-type'].split(';')[0], r.data.body.length > 100000);
for (const how of ['gzip', 'deflate', 'br']) console.log(how, (await api.get('/' + how)).data === 'packed ' + token);
r = await api.get('/from');
console.log('redirect', r.request.path, r.data.headers.authorization === bearer);
r = await axios.get('https://api.test:${o.port}/basic', { auth: { username: 'me', password: token } });
console.log('basic', r.data.headers.authorization === 'Basic ' + btoa('me:' + token));
const e = await api.get('/teapot').catch((e) => e);
console.log(e.response.status, e.response.data === 'no ' + token, e.response.headers['x-why'] === token);
const stop = new AbortController();
r = await api.get('/endless', { responseType: 'stream', signal: stop.signal });
r.data.on('error', () => {}).once('data', () => stop.abort());
console.log('given up', (await api.get('/closed')).data);
const all = await Promise.all(Array.from({ length: 50 }, (_, i) => api.get('/k' + i)));
console.log(all.filter((r, i) => r.status === 200 && r.data.url === '/k' + i).length);
const denied = await axios.get('https://other.test/').catch((e) => e);
console.log(denied.code, denied.response.status, denied.response.data.error.type);
` }), 'axios');
  const out = await b.ok('node /s/a.mjs', { args: ['--bind', `${dir}:/s`], timeout: SLOW });
  assert.deepEqual(out.trimEnd().split('\n'), ['200 /one?q=a+b true', 'application/json {"a":[1,"é"]}', 'p1p2p3 chunked', 'multipart/form-data true', 'gzip true', 'deflate true', 'br true',
    'redirect /to true', 'basic true', '418 true true', 'given up heard', '50', 'ERR_BAD_REQUEST 403 egress_denied']);
  assert.equal(o.seen.length, 63);
  for (const r of o.seen) assert.equal(r.headers.authorization, r.url === '/basic' ? BASIC : BEARER, r.url);
});

test('net/http of Ruby: one connection, bodies, compressed answers, a refusal; certificates by a variable and by the system’s directory', async () => {
  const o = await origin({ tls, handler: (req, res, ...[record]) => { if (!compressed(req, res)) res.end(JSON.stringify(record)); } });
  const b = behind(o);
  const dir = scripts({ 'a.rb': `
require 'json'
require 'net/http'
token = ENV['TOKEN']
bearer = {'Authorization' => 'Bearer ' + token}
Net::HTTP.start('api.test', ${o.port}, use_ssl: true) do |h|
  r = JSON.parse(h.get('/one', bearer).body)
  puts "#{r['url']} #{r['headers']['authorization'] == bearer['Authorization']}"
  puts JSON.parse(h.post('/form', URI.encode_www_form(k: 'v w'), bearer).body)['body']
  %w[gzip deflate].each { |how| puts "#{how} #{h.get('/' + how, bearer).body == 'packed ' + token}" }
end
r = Net::HTTP.get_response(URI('https://other.test/'))
puts "#{r.code} #{JSON.parse(r.body)['error']['type']}"
` });
  const out = await b.ok('/usr/bin/ruby /s/a.rb; env -i TOKEN="$TOKEN" /usr/bin/ruby /s/a.rb', { args: ['--bind', `${dir}:/s`], timeout: SLOW });
  const once = ['/one true', 'k=v+w', 'gzip true', 'deflate true', '403 egress_denied'];
  assert.deepEqual(out.trimEnd().split('\n'), [...once, ...once]);
  assert.equal(o.seen.length, 8);
  for (const r of o.seen) assert.equal(r.headers.authorization, BEARER, r.url);
});

// Programs that are too large for these tests are told by such a variable, or read the file at its usual place: cargo, PHP, Deno, gRPC.
test('each variable that names certificates names a file by which the boundary is verified', async () => {
  const o = await origin({ tls, handler: (req, res) => res.end() });
  const b = behind(o);
  const alone = ['NODE_EXTRA_CA_CERTS', 'DENO_CERT'], all = ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'AWS_CA_BUNDLE', 'HTTPLIB2_CA_CERTS', 'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'];
  const dir = scripts({ 'theirs.pem': fs.readFileSync(ca.file) });
  const out = await b.ok(`USUAL=/etc/ssl/certs/ca-certificates.crt THEIRS=/s/theirs.pem
    for v in ${[...alone, ...all].join(' ')} USUAL THEIRS; do
      eval f="\\$$v"
      echo "$v $(env -i /usr/bin/curl -sS --cacert "$f" --capath /nowhere https://api.test:${o.port}/ -o /dev/null -w '%{http_code}' 2>/dev/null) $(grep -c 'BEGIN CERTIFICATE' "$f")"
    done`, { args: ['--bind', `${dir}:/s`] });
  const found = Object.fromEntries(out.trimEnd().split('\n').map((l) => l.split(' ')).map(([v, code, n]) => [v, [code, Number(n) > 1 ? 'all' : Number(n)]]));
  assert.deepEqual(found, { ...Object.fromEntries(alone.map((v) => [v, ['200', 1]])), ...Object.fromEntries([...all, 'USUAL'].map((v) => [v, ['200', 'all']])), THEIRS: ['000', 1] });
});

test('ws on both sides: text, fragments, bytes, ping, the end, no compression, and a key in the first message', async () => {
  const o = await origin({ tls });
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: true });
  const got = [];
  let head, extensions;
  o.server.on('upgrade', (req, sock, rest) => wss.handleUpgrade(req, sock, rest, (ws) => {
    head = req.headers;
    extensions = ws.extensions;
    ws.on('message', (m, binary) => { got.push(binary ? m.length : String(m)); ws.send(m, { binary }); });
    ws.on('close', (code, reason) => got.push(`${code} ${reason}`));
    ws.ping('from the origin');
  }));
  const b = behind(o, { inject: { header: ['authorization'], websocket: 'first' } });
  const dir = packages(scripts({ 'a.mjs': `
import WebSocket from 'ws';
import { once } from 'node:events';
const token = process.env.TOKEN;
const ws = new WebSocket('wss://api.test:${o.port}/ws', { headers: { authorization: 'Bearer ' + token } });
const queue = [], waiting = [];
ws.on('message', (m, binary) => (waiting.length ? waiting.shift()([m, binary]) : queue.push([m, binary])));
const next = () => new Promise((ok) => (queue.length ? ok(queue.shift()) : waiting.push(ok)));
const pinged = once(ws, 'ping');
await once(ws, 'open');
console.log('open', JSON.stringify(ws.extensions), String((await pinged)[0]));
ws.send(JSON.stringify({ key: token }));
console.log('first', JSON.parse((await next())[0]).key === token);
ws.send('in ', { fin: false }); ws.send('two', { fin: true });
console.log(String((await next())[0]));
ws.send(Buffer.alloc(300000, 7));
const [bytes, binary] = await next();
console.log(binary, bytes.length, bytes.every((x) => x === 7));
const pong = once(ws, 'pong');
ws.ping('from inside');
console.log(String((await pong)[0]));
ws.close(4001, 'enough');
const [code, reason] = await once(ws, 'close');
console.log(code, String(reason));
const no = new WebSocket('wss://other.test/ws');
const [, res] = await once(no, 'unexpected-response');
let text = '';
for await (const d of res) text += d;
console.log(res.statusCode, JSON.parse(text).error.type);
no.on('error', () => {}).terminate();
` }), 'ws');
  const out = await b.ok('node /s/a.mjs', { args: ['--bind', `${dir}:/s`], timeout: SLOW });
  assert.deepEqual(out.trimEnd().split('\n'), ['open "" from the origin', 'first true', 'in two', 'true 300000 true', 'from inside', '4001 enough', '403 egress_denied']);
  assert.equal(head.authorization, BEARER);
  assert.equal(extensions, '');
  assert.deepEqual(got, [JSON.stringify({ key: SECRET }), 'in two', 300000, '4001 enough']);
});
