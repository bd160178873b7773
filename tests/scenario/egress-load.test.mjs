// What is many or large at the boundary: no descriptors left, an answer of half a gigabyte, a body of a hundred
// megabytes with many secrets. A proxy holds little, refuses with a sentence, and goes on. Memory is the kernel's count.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { authority, boundary, credential, memory, nameServer, origin, proxies, rule } from '../lib/egress.mjs';
import { inside } from '../lib/inside.mjs';
import { startWorker } from '../lib/sallyport.mjs';
import { BIN, CLOSED, ms, start, tempDir, until } from '../lib/own.mjs';

const ca = authority();
const HOSTS = Array.from({ length: 8 }, (_, i) => `h${i}.test`);
const tls = ca.issue(['api.test', ...HOSTS]);
const dns = await nameServer(Object.fromEntries(['api.test', ...HOSTS].map((h) => [h, '127.0.0.1'])));
const SLOW = ms(300000);
const SANITIZED = process.env.ASAN_OPTIONS && 'a sanitizer keeps what was freed';
const streaming = (f) => Object.assign(f, { streaming: true });
const behind = (port, more = {}) => boundary({ ca, dns, allow: [rule('api.test', port)], credentials: [credential(`api.test:${port}`)], ...more });
/** A Python program as a file that a sandbox sees in /s. */
function script(text) {
  const dir = tempDir('scripts');
  fs.chmodSync(dir, 0o755);
  fs.writeFileSync(path.join(dir, 'run.py'), text);
  return ['--bind', `${dir}:/s`];
}
/** Runs it behind the boundary; `p.exit` is awaited by the caller. */
const python = (b, text) => start(BIN, [...b.argv(script(text)), '--', 'python3', '/s/run.py'], { stdin: 'pipe' });

test('a proxy without descriptors: words for who is connected, a wait for who is not, and all goes on afterwards', { skip: CLOSED }, async () => {
  const o = await origin({ tls, handler: (req, res) => { res.shouldKeepAlive = false; res.end('ok\n'); } });   // each request wants a connection of its own
  const b = behind(o.port);
  const LIMIT = 80;   // of every process: exec, keeper, proxy, and each program inside
  const p = start('sh', ['-c', `ulimit -n ${LIMIT}; exec "$0" "$@"`, BIN, ...b.argv(script(`
import os, socket, ssl, subprocess, sys
ctx, token, port = ssl.create_default_context(), os.environ['TOKEN'], ${o.port}
def dial(timeout=60):
    return ctx.wrap_socket(socket.create_connection(('api.test', port), timeout=timeout), server_hostname='api.test')
def get(s, path):
    s.sendall(('GET %s HTTP/1.1\\r\\nHost: api.test:%d\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' % (path, port, token)).encode())
    got = b''
    while b'\\r\\n\\r\\n' not in got:
        got += s.recv(65536) or sys.exit('cut: %r' % got)
    head, body = got.split(b'\\r\\n\\r\\n', 1)
    n = [int(l.split(b':')[1]) for l in head.split(b'\\r\\n') if l.lower().startswith(b'content-length:')][0]
    while len(body) < n:
        body += s.recv(65536)
    return head.split(b' ')[1].decode() + ' ' + body.decode().strip()
kept = dial()
print('first', get(kept, '/first'), flush=True)
input()
fill = "import socket; all = [socket.create_connection(('api.test', %d)) for i in range(60)]; print(flush=True); input()" % port
idle = [subprocess.Popen(['python3', '-c', fill], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for i in range(2)]
for c in idle: c.stdout.readline()
print('filled', flush=True)
input()
print('full', get(kept, '/full'), flush=True)
late = socket.create_connection(('api.test', port), timeout=60)
for c in idle: c.communicate(b'\\n')
late = ctx.wrap_socket(late, server_hostname='api.test')
print('late', get(late, '/late'), flush=True)
print('kept', get(kept, '/kept'), flush=True)
print('new', get(dial(), '/new'), flush=True)
`)), '--', 'python3', '/s/run.py'], { stdin: 'pipe' });
  await p.line(/^first 200 ok$/m, SLOW);
  p.child.stdin.write('\n');
  await p.line(/^filled$/m, SLOW);
  const [proxy] = proxies(p.pid);
  await until('no descriptor is left', () => fs.readdirSync(`/proc/${proxy}/fd`).length >= LIMIT);
  p.child.stdin.end('\n');
  const full = JSON.parse((await p.line(/^full 502 (\{.*\})$/m, SLOW))[1]);
  await p.exit;
  assert.equal(p.code, 0, p.tail());
  assert.equal(full.error.type, 'origin_unreachable');
  assert.match(full.error.message, /too many open files/i, 'it says what is missing');
  assert.match(p.out, /^late 200 ok\nkept 200 ok\nnew 200 ok$/m);
  assert.deepEqual(o.seen.map((r) => r.url), ['/first', '/late', '/kept', '/new']);
  assert.deepEqual(b.records({ kind: 'request' }).filter((r) => r.path).map((r) => [r.path, r.status]), [['/first', 200], ['/full', 502], ['/late', 200], ['/kept', 200], ['/new', 200]]);
  assert.equal((await b.verify()).code, 0);
});

test('a sandbox that is made while a proxy has no descriptors: it waits, and is served when there are some', { skip: CLOSED }, async () => {
  const LIMIT = 100;
  const o = await origin({ tls, handler: (req, res) => res.end('ok\n') });
  const b = behind(o.port);
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit], spawnWorker: (w) => startWorker({ ...w, under: ['sh', '-c', `ulimit -n ${LIMIT}; exec "$0" "$@"`] }) });
  try {
    await i.w.proc.line(/^ready/m, ms(60000));
    const x = await i.session();
    const curl = `curl -sS -m 60 -H "Authorization: Bearer $TOKEN" https://api.test:${o.port}`;
    assert.match(await i.sh(x, `${curl}/first`), /ok/);
    const fill = `import socket, time; all = [socket.create_connection(("api.test", ${o.port})) for i in range(70)]; print("held", flush=True); time.sleep(300)`;
    assert.match(await i.sh(x, `for i in 1 2; do python3 -c '${fill}' > /tmp/held$i & echo $! >> /tmp/pids; done; until grep -q held /tmp/held1 && grep -q held /tmp/held2; do sleep 0.1; done; echo filled`), /filled/);
    const [proxy] = proxies(i.w.pid);
    await until('no descriptor is left', () => fs.readdirSync(`/proc/${proxy}/fd`).length >= LIMIT);
    const y = await i.session();
    await i.sh(y, `{ ${curl}/late; echo "code $?"; } > /tmp/late 2>&1 &`);
    await i.w.proc.line(/a sandbox's sockets cannot be taken/, ms(20000));
    await i.sh(x, 'kill $(cat /tmp/pids)');
    assert.match(await i.sh(y, 'wait; cat /tmp/late'), /^ok\ncode 0$/m);
    assert.match(await i.sh(x, `${curl}/again`), /ok/, 'the one that was there is served by the same proxy');
    assert.deepEqual(proxies(i.w.pid), [proxy]);
    await x.close();
    await y.close();
  } finally { await i.stop(); }
});

test('an answer of 512 MiB is streamed, and the proxy’s memory stays where it was', { skip: CLOSED || SANITIZED }, async () => {
  const PIECE = crypto.randomBytes(1 << 20), N = 512;
  const o = await origin({ tls, handler: streaming((req, res) => {
    req.resume();
    if (req.url !== '/large') return void res.end('ok\n');
    let left = N;
    const more = () => { while (left-- > 0) if (!res.write(PIECE)) return void res.once('drain', more); res.end(); };
    more();
  }) });
  const b = behind(o.port);
  const url = `https://api.test:${o.port}`;
  const p = start(BIN, [...b.argv(), '--', 'sh', '-c', `get() { curl -sS -H "Authorization: Bearer $TOKEN" -o /dev/null -w "$1 %{http_code} %{size_download}\\n" ${url}/$1; }; get warm; get warm; echo ready; read x; get large; read x`], { stdin: 'pipe' });
  await p.line(/^ready$/m, SLOW);
  const [proxy] = proxies(p.pid);
  const before = memory(proxy, 'VmRSS');
  fs.writeFileSync(`/proc/${proxy}/clear_refs`, '5');   // the high-water mark begins anew (proc(5))
  p.child.stdin.write('\n');
  await p.line(new RegExp(`^large 200 ${N << 20}$`, 'm'), SLOW);
  const most = memory(proxy, 'VmHWM');
  p.child.stdin.end('\n');
  await p.exit;
  console.log(`# ${N} MiB: ${before} KiB before, ${most} KiB at most`);
  assert.ok(most >= before && most - before < 6 * 1024, `${before} KiB before, ${most} KiB at most`);
});

test('a body of 100 MB with substitution, and 256 secrets in the table: every one is replaced, and no byte else changes', { skip: CLOSED }, async () => {
  const dir = tempDir('secrets');
  const secrets = Array.from({ length: 256 }, (_, i) => `sk-${i}-${crypto.createHash('sha256').update(`secret ${i}`).digest('base64url')}`);
  const BODY = 100e6;
  let got;
  const o = await origin({ tls, handler: streaming((req, res) => {
    const hash = crypto.createHash('sha256');
    let n = 0;
    req.on('data', (d) => { hash.update(d); n += d.length; });
    req.on('end', () => { if (req.method === 'POST') got = { n, hash: hash.digest('hex'), headers: req.headers }; res.end('ok\n'); });
  }) });
  // 32 credentials for each host: as many as one can have, of which one may stand in a body. A request to each host makes
  // all 256 known.
  const credentials = secrets.map((secret, i) => credential(`${HOSTS[i >> 5]}:${o.port}`, { inject: { header: [`x-key-${i}`], ...(i ? {} : { body: true }) } }, { name: `K${i}`, secret, dir }));
  const b = boundary({ ca, dns, allow: HOSTS.map((h) => rule(h, o.port)), credentials, secrets: secrets.slice(0, 4) });
  // Lines with the placeholder, another one but for its last byte, and noise.
  const p = python(b, `
import hashlib, os, socket, ssl
ctx = ssl.create_default_context()
key = [os.environ['K%d' % i].encode() for i in range(256)]
def dial(host):
    return ctx.wrap_socket(socket.create_connection((host, ${o.port})), server_hostname=host)
for i in range(8):
    s = dial('h%d.test' % i)
    s.sendall(b'GET / HTTP/1.1\\r\\nHost: h%d.test:${o.port}\\r\\nConnection: close\\r\\n\\r\\n' % i)
    assert s.recv(100).startswith(b'HTTP/1.1 200'), i
noise = bytes(32 + (i * 7919) % 90 for i in range(2500))
block = b''.join(key[0] + b' ' + key[1 + (i * 7) % 255][:-1] + b'\\n' + noise[i:] + b'\\n' for i in range(32))
n = ${BODY} // len(block)
tail = b'.' * (${BODY} - n * len(block))
s = dial('h0.test')
s.sendall(b'POST /large HTTP/1.1\\r\\nHost: h0.test:${o.port}\\r\\nContent-Type: text/plain\\r\\nContent-Length: ${BODY}\\r\\n\\r\\n')
for i in range(n): s.sendall(block)
s.sendall(tail)
print(s.recv(1000).split(b'\\r\\n')[0].decode())
print('BLOCKS', n, len(tail))
print('KEYS', b' '.join(key).decode())
`);
  await p.exit;
  assert.equal(p.code, 0, p.tail());
  assert.match(p.out, /^HTTP\/1.1 200/);
  const [, n, tail] = p.out.match(/^BLOCKS (\d+) (\d+)$/m).map(Number), keys = p.out.match(/^KEYS (.*)$/m)[1].split(' ');
  const noise = Buffer.from(Array.from({ length: 2500 }, (_, i) => 32 + (i * 7919) % 90));
  const block = Buffer.concat(Array.from({ length: 32 }, (_, i) => [Buffer.from(`${secrets[0]} ${keys[1 + (i * 7) % 255].slice(0, -1)}\n`), noise.subarray(i), Buffer.from('\n')]).flat());
  const hash = crypto.createHash('sha256');
  for (let i = 0; i < n; i++) hash.update(block);
  hash.update(Buffer.alloc(tail, '.'));
  assert.ok(n * 32 > 10000, 'there are many');
  assert.equal(got.n, n * block.length + tail);
  assert.equal(got.hash, hash.digest('hex'));
  assert.equal(b.records({ kind: 'request', method: 'POST' })[0].status, 200);
});
