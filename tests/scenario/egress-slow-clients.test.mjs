// Ten thousand slow clients at the boundary, in a file of its own: it takes a minute. Memory is the kernel's count.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, memory, nameServer, origin, proxies, rule } from '../lib/egress.mjs';
import { inside } from '../lib/inside.mjs';
import { startWorker } from '../lib/sallyport.mjs';
import { CLOSED, ms, until } from '../lib/own.mjs';

const SLOW = ms(300000);
const SANITIZED = !!process.env.ASAN_OPTIONS;   // it keeps what was freed

// A sandbox may have 4,096 connections at once (LIMIT_CAPTURE_OPEN_ONE), so there are three, behind one proxy.
// Half have a request that goes on for as long as they like; half have had an answer and rest. (Half a head is cut after 10
// seconds, and who says nothing at all.)
test('ten thousand slow clients hold little, and one that is quick is served beside them', { skip: CLOSED }, async () => {
  const SANDBOXES = 3, PARTS = SANITIZED ? 1 : 4, EACH = SANITIZED ? 100 : 834, N = SANDBOXES * PARTS * EACH;
  const ca = authority(), tls = ca.issue(['api.test']), dns = await nameServer({ 'api.test': '127.0.0.1' });
  const o = await origin({ tls, handler: (req, res) => res.end('ok\n') });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const clients = `
import os, resource, socket, ssl
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
ctx, token = ssl.create_default_context(), os.environ['TOKEN']
head = ('POST /slow HTTP/1.1\\r\\nHost: api.test:${o.port}\\r\\nAuthorization: Bearer ' + token + '\\r\\nContent-Length: 20000\\r\\n\\r\\n').encode()
def clients(say, go):
    all = []
    for i in range(${EACH}):
        s = ctx.wrap_socket(socket.create_connection(('api.test', ${o.port})), server_hostname='api.test')
        s.sendall(b'GET /rest HTTP/1.1\\r\\nHost: api.test:${o.port}\\r\\n\\r\\n' if i % 2 else head + b'x' * 100)
        if i % 2: assert s.recv(10000).endswith(b'ok\\n')
        all.append(s)
    os.write(say, b'open\\n')
    os.read(go, 1)
    n = 0
    for i, s in enumerate(all):
        s.sendall((head if i % 2 else b'') + b'x' * (20000 if i % 2 else 19900))
        n += s.recv(100000).startswith(b'HTTP/1.1 200')
        s.close()
    os.write(say, b'%d\\n' % n)
os.mkfifo('go')
(said, say), (gone, go) = os.pipe(), os.pipe()
for i in range(${PARTS}):
    if os.fork() == 0:
        clients(say, gone)
        os._exit(0)
os.close(say)
heard = os.fdopen(said)
assert [heard.readline() for i in range(${PARTS})] == ['open\\n'] * ${PARTS}
print('open', flush=True)
open('go').read()
os.write(go, b'x' * ${PARTS})
print('answered', sum(int(heard.readline() or 0) for i in range(${PARTS})), flush=True)
`;
  // The proxy needs one descriptor for each that rests and two for each that is slow: more than a shell's limit may be.
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit, '--egress-processes', '1'], spawnWorker: (w) => startWorker({ ...w, under: ['sh', '-c', 'ulimit -n 65536; exec "$0" "$@"'] }) });
  try {
    await i.w.proc.line(/^ready/m, ms(60000));
    const boxes = await Promise.all(Array.from({ length: SANDBOXES }, () => i.session()));
    const said = async (x, what) => { let got; await until(`"${what}" in a sandbox`, async () => { got = await i.sh(x, 'cat out'); return got.includes(what) || got.includes('Error'); }, SLOW); return got; };
    for (const x of boxes) await i.sh(x, `mkdir /tmp/slow; cd /tmp/slow; cat > run.py <<'END'${clients}END\npython3 run.py > out 2>&1 &`);
    for (const x of boxes) assert.equal((await said(x, 'open')).trim(), 'open');
    assert.equal((await i.sh(boxes[0], `curl -sS -H "Authorization: Bearer $TOKEN" https://api.test:${o.port}/quick`)).trim(), 'ok');
    const [proxy, ...others] = proxies(i.w.pid);
    assert.equal(others.length, 0);
    const held = memory(proxy, 'VmRSS');
    for (const x of boxes) await i.sh(x, 'echo > go');
    for (const x of boxes) assert.equal((await said(x, 'answered')).trim(), `open\nanswered ${PARTS * EACH}`);
    console.log(`# ${N} slow clients: the proxy holds ${held} KiB`);
    assert.ok(SANITIZED || held < N * 100, `the proxy holds ${held} KiB`);
    for (const x of boxes) await x.close();
  } finally { await i.stop(); }
  assert.equal(o.seen.filter((r) => r.url === '/slow' && r.body.length === 20000 && r.headers.authorization === `Bearer ${SECRET}`).length, N);
});
