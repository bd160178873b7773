// Invariant 1 at the boundary, A21: while a request with the secret is on its way, the secret is in the processes of egress
// and nowhere else: not in the memory, environment, arguments or files of any process of the sandbox, nor of what started it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, formsOf, nameServer, origin, rule } from '../lib/egress.mjs';
import { inside } from '../lib/inside.mjs';
import { BIN, CLOSED, alive, descendants, ms, start } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const needles = formsOf(SECRET).map((f) => Buffer.from(f));
const words = (pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim();
const isEgress = (pid) => /^sallyport egress (keeper|proxy)/.test(words(pid));

/** Which of the texts are in the memory of a process, and how much was looked at. */
function search(pid, texts) {
  const found = new Set();
  let bytes = 0;
  const mem = fs.openSync(`/proc/${pid}/mem`, 'r');
  for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const m = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line);
    if (!m || /\[vvar|\[vsyscall/.test(line)) continue;
    const begin = parseInt(m[1], 16), end = parseInt(m[2], 16);
    let rest = Buffer.alloc(0);
    for (let at = begin; at < end; at += 1 << 20) {
      const b = Buffer.alloc(Math.min(1 << 20, end - at));
      let n = 0;
      try { n = fs.readSync(mem, b, 0, b.length, at); } catch { break; } // a hole, or pages behind a file's end
      bytes += n;
      const all = Buffer.concat([rest, b.subarray(0, n)]);
      for (const t of texts) if (all.includes(t)) found.add(t.toString('latin1'));
      rest = all.subarray(-256);
    }
  }
  fs.closeSync(mem);
  return { found: [...found], bytes };
}

/** A program whose request is held open by the origin while `look` is called. */
async function whileHeld(look) {
  let arrived, release;
  const here = new Promise((ok) => { arrived = ok; }), go = new Promise((ok) => { release = ok; });
  const o = await origin({ tls, handler: async (req, res) => { arrived(); await go; res.end('done'); } });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const p = start(BIN, [...b.argv(), '--', 'sh', '-c', `echo "ph=$TOKEN"; curl -sS https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN" & wait`]);
  try {
    const [, placeholder] = await p.line(/ph=(\S+)/);
    await here;
    assert.equal(o.seen[0].headers.authorization, `Bearer ${SECRET}`);
    await look({ p, b, placeholder, all: [p.pid, ...descendants(p.pid)] });
  } finally { release(); }
  assert.equal((await p.exit).code, 0, p.err);
}

const SHADOW = process.env.ASAN_OPTIONS && 'a sanitizer’s shadow of all memory takes minutes to search';
test('A21 memory: the secret is in no process but those of egress', { skip: CLOSED || SHADOW }, async () => {
  await whileHeld(async ({ all, placeholder }) => {
    let looked = 0, inEgress = 0, sawPlaceholder = 0;
    for (const pid of all) {
      const r = search(pid, [...needles, Buffer.from(placeholder)]);
      const secrets = r.found.filter((t) => t !== placeholder);
      if (r.found.includes(placeholder) && !isEgress(pid)) sawPlaceholder++;
      if (isEgress(pid)) { inEgress += secrets.length; continue; }
      assert.ok(r.bytes > 0, words(pid));
      assert.deepEqual(secrets, [], words(pid));
      looked++;
    }
    assert.ok(looked >= 4, 'the shell, curl, the init and who started them were looked at');
    assert.ok(sawPlaceholder >= 2, 'the search finds what is there');
    assert.ok(inEgress > 0, 'and the secret where it has to be');
  });
});

test('A21 memory under a worker: not in the server, the worker, the zygote, nor in what runs inside', { skip: CLOSED || SHADOW }, async () => {
  let arrived, release;
  const here = new Promise((ok) => { arrived = ok; }), go = new Promise((ok) => { release = ok; });
  const o = await origin({ tls, handler: async (req, res) => { if (req.url === '/held') { arrived(); await go; } res.end(`you said ${req.headers.authorization}`); } });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit] });
  const ask = (path) => `curl -sS https://api.test:${o.port}${path} -H "Authorization: Bearer $TOKEN"`;
  try {
    const x = await i.session();
    // One result with an echo has gone through worker and server when the second request is on its way.
    const [placeholder] = /sp_ph_\w{32}/.exec(await i.sh(x, ask('/echo'), ms(60000)));
    const call = i.sh(x, `${ask('/held')} & wait`, ms(60000));
    try {
      await here;
      assert.deepEqual(o.seen.map((r) => r.headers.authorization), [`Bearer ${SECRET}`, `Bearer ${SECRET}`]);
      const roles = { server: /^\S*sallyport server /, worker: /^\S*sallyport worker /, zygote: /zygote/, init: /\(sallyport-init\)/, shell: /bash/, curl: /^curl / };
      const looked = new Set(), sawPlaceholder = new Set();
      let inKeeper = 0;
      for (const pid of [i.s.pid, ...descendants(i.s.pid), i.w.pid, ...descendants(i.w.pid)]) {
        const what = `${words(pid)} (${fs.readFileSync(`/proc/${pid}/comm`, 'latin1').trim()})`;
        let r;
        try { r = search(pid, [...needles, Buffer.from(placeholder)]); } catch (e) { if (alive(pid)) throw e; }
        if (!alive(pid)) continue; // a worker's helpers end when they have done their part
        const secrets = r.found.filter((t) => t !== placeholder);
        if (isEgress(pid)) { if (what.includes('keeper')) inKeeper += secrets.length; continue; }
        assert.ok(r.bytes > 0, what);
        assert.deepEqual(secrets, [], what);
        for (const [role, re] of Object.entries(roles)) if (re.test(what)) { looked.add(role); if (r.found.length) sawPlaceholder.add(role); }
      }
      assert.deepEqual([...looked].sort(), Object.keys(roles).sort());
      for (const role of ['server', 'shell', 'curl']) assert.ok(sawPlaceholder.has(role), `the search finds what is in ${role}`);
      assert.ok(inKeeper > 0, 'the search finds the secret where it is: in the keeper');
    } finally { release(); }
    assert.match(await call, /you said Bearer sp_ph_/);
    await x.close();
  } finally { await i.stop(); }
});

test('A21 environment, arguments, descriptors and files: no secret, seen from outside', { skip: CLOSED }, async () => {
  await whileHeld(async ({ all, placeholder }) => {
    let seen = 0, files = 0;
    for (const pid of all) {
      const texts = [fs.readFileSync(`/proc/${pid}/environ`), fs.readFileSync(`/proc/${pid}/cmdline`)];
      for (const n of needles) for (const t of texts) assert.ok(!t.includes(n), words(pid));
      if (texts[0].includes(placeholder)) seen++;
      if (isEgress(pid)) continue;
      for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) {
        const at = `/proc/${pid}/fd/${fd}`;
        let t;
        try {
          if (!/^\/(?!proc|dev)/.test(fs.readlinkSync(at)) || !fs.statSync(at).isFile() || fs.statSync(at).size > 1 << 22) continue;
          t = fs.readFileSync(at);
        } catch (e) { if (e.code === 'ENOENT') continue; throw e; } // closed meanwhile
        files++;
        for (const n of needles) assert.ok(!t.includes(n), `${words(pid)}: descriptor ${fd}`);
      }
    }
    assert.ok(files > 0, 'files are open, the audit log for one');
    assert.ok(seen >= 2, 'the placeholder is in the environment of what runs inside');
  });
});

test('A21 from inside: environment, arguments, memory and files of all that can be seen hold no secret', async () => {
  // The secret is put together from halves: the search itself must not be what it finds.
  const half = [SECRET.slice(0, 12), SECRET.slice(12)];
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const r = await b.py(`
import subprocess
# A sibling that has used the credential, has read the echo, and waits.
sibling = subprocess.Popen(['python3', '-c', """
import os, sys, urllib.request
r = urllib.request.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + os.environ['TOKEN']})
echo = urllib.request.urlopen(r).read().decode()
print(os.environ['TOKEN'] in echo, flush=True)
sys.stdin.read()
""", 'https://api.test:%d/' % P['port']], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
out['echo'] = sibling.stdout.readline().decode()
def holds(data):
    at = data.find(P['half'][0].encode())
    while at >= 0:
        if data[at + 12:at + 12 + len(P['half'][1])] == P['half'][1].encode(): return True
        at = data.find(P['half'][0].encode(), at + 1)
    return False
def memory(pid, what):
    """Whether what() is true of a part of its memory that can be read."""
    found = False
    with open('/proc/%s/maps' % pid) as maps, open('/proc/%s/mem' % pid, 'rb', 0) as mem:
        for line in maps.readlines():
            begin, end = [int(x, 16) for x in line.split()[0].split('-')]
            if line.split()[1][0] != 'r' or '[v' in line: continue
            for at in range(begin, end, 1 << 20):
                try:
                    mem.seek(at)
                    found = what(mem.read(min((1 << 20) + 64, end - at))) or found
                except OSError: break
    return found
out.update(files=0, bad=[], pids=[], egress=[], read=[], closed=[], placeholder=[], own=os.getpid(), sibling=sibling.pid)
for pid in sorted(int(p) for p in os.listdir('/proc') if p.isdigit()):
    try:
        if memory(pid, holds): out['bad'].append('memory of %d' % pid)
        if memory(pid, lambda data: TOKEN.encode() in data): out['placeholder'].append(pid)
        out['read'].append(pid)
    except OSError: out['closed'].append(pid)
planted = P['half'][0] + P['half'][1]
out['finds'] = memory(os.getpid(), holds)
open('/tmp/planted', 'w').write(planted)
for top in ('/workspace', '/tmp', '/etc', '/run', '/var', '/home', '/root', '/dev/shm', '/opt', '/srv', '/mnt'):
    for d, _, fs in os.walk(top):
        for f in fs:
            p = os.path.join(d, f)
            try:
                if os.path.isfile(p) and os.path.getsize(p) < 1 << 24:
                    out['files'] += 1
                    if holds(open(p, 'rb').read()): out['bad'].append(p)
            except OSError: pass
for pid in [p for p in os.listdir('/proc') if p.isdigit()]:
    out['pids'].append(int(pid))
    for f in ('environ', 'cmdline'):
        try:
            if holds(open('/proc/%s/%s' % (pid, f), 'rb').read()): out['bad'].append(pid + f)
        except OSError: pass
    if 'egress' in open('/proc/%s/cmdline' % pid).read(): out['egress'].append(pid)
`, { port: o.port, half });
  assert.equal(r.echo, 'True\n', 'the sibling used the credential');
  assert.equal(o.seen[0].headers.authorization, `Bearer ${SECRET}`);
  assert.deepEqual([r.read, r.closed], [[r.own, r.sibling].sort((a, b) => a - b), [1]], 'all memory was read but that of the init, which is closed');
  assert.deepEqual(r.placeholder, r.read, 'the search of memory finds what is there');
  assert.ok(r.finds, 'and the secret, once it is planted');
  assert.deepEqual(r.bad, ['/tmp/planted'], 'what was planted is found, and nothing else');
  assert.ok(r.files > 20, String(r.files));
  assert.deepEqual(r.egress, [], 'no process of egress can be seen');
  assert.ok(r.pids.includes(1));
});

test('A21 the proxies: own user, no capabilities, a filter, no new privileges, not to be dumped or traced', { skip: CLOSED }, async () => {
  await whileHeld(async ({ all }) => {
    const proxies = all.filter((p) => /^sallyport egress proxy/.test(words(p))), keepers = all.filter((p) => /^sallyport egress keeper/.test(words(p)));
    assert.ok(proxies.length >= 1);
    assert.equal(keepers.length, 1);
    for (const pid of proxies) {
      const s = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
      const [, uid] = /^Uid:\t(\d+)\t\1\t\1\t\1$/m.exec(s), [, gid] = /^Gid:\t(\d+)\t\1\t\1\t\1$/m.exec(s);
      assert.notEqual(uid, '0');
      assert.notEqual(gid, '0');
      for (const c of ['Inh', 'Prm', 'Eff', 'Amb', 'Bnd']) assert.match(s, new RegExp(`^Cap${c}:\\t0{16}$`, 'm'));
      assert.match(s, /^Seccomp:\t2$/m);
      assert.match(s, /^NoNewPrivs:\t1$/m);
      assert.match(s, /^Groups:\t *$/m);
      assert.match(fs.readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size +0 +0 /m);
      assert.ok(fs.readdirSync(`/proc/${pid}/fd`).every((fd) => { try { return !fs.statSync(`/proc/${pid}/fd/${fd}`).isDirectory(); } catch { return true; } }), 'no directory is open');
    }
    for (const pid of [...proxies, ...keepers]) {
      assert.equal(fs.statSync(`/proc/${pid}/environ`).uid, 0, 'what cannot be dumped belongs to root in /proc');
      const s = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
      if (/^Uid:\t0/m.test(s)) continue; // of root, /proc tells nothing about being dumpable
      assert.throws(() => { process.seteuid?.(Number(/^Uid:\t(\d+)/m.exec(s)[1])); try { fs.openSync(`/proc/${pid}/mem`, 'r'); } finally { process.seteuid?.(0); } }, /EACCES|EPERM/, 'its own user may not look into it');
    }
    if (process.env.ASAN_OPTIONS) return; // a sanitizer makes mlock(2) do nothing
    for (const pid of proxies) assert.match(fs.readFileSync(`/proc/${pid}/status`, 'utf8'), /^VmLck:\t +[1-9]/m, 'secrets lie in locked memory');
  });
});
