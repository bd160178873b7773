// sallyport exec beside its caller: what a program inherits through it, what stays as it was outside, and that
// whoever tells it to end sees it end. As the user of this run, and as an ordinary one when that is root.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, forEverybody, here, ms, run, start, tempDir } from '../lib/own.mjs';

const ROOT = process.getuid() === 0;
const USER = ['setpriv', '--reuid', '4711', '--regid', '4711', '--clear-groups'];
const PROGRAM = ROOT ? forEverybody(BIN) : BIN;
const whoever = ROOT ? { root: [], 'an ordinary user': USER } : { 'this user': [] };

/** A script of bash, in which "$0" is the program and $D a directory of its own. */
const by = (who) => (script, { env, ...opts } = {}) => {
  const dir = tempDir('caller');
  if (who.length) fs.chownSync(dir, 4711, 4711);
  const argv = [...who, 'bash', '-c', script, PROGRAM];
  return run(argv[0], argv.slice(1), { cwd: dir, env: { D: dir, HOME: dir, ...env }, ...opts });
};
const ignores = (signal) => `python3 -c 'import signal; print(signal.getsignal(signal.SIG${signal}) == signal.SIG_IGN)'`;

for (const [name, who] of Object.entries(whoever)) {
  const sh = by(who);
  describe(`inherited, as ${name}`, () => {
    for (const mask of ['022', '077', '0', '0177'])
      test(`umask ${mask}`, async () => {
        const r = await sh(`umask ${mask}; "$0" exec --bind "$D:rw" -- sh -c 'umask; : > f; mkdir d'; stat -c %a f d; umask`);
        const bits = parseInt(mask, 8);
        assert.deepEqual(r.out.trim().split('\n'), [bits.toString(8).padStart(4, '0'), (0o666 & ~bits).toString(8), (0o777 & ~bits).toString(8), bits.toString(8).padStart(4, '0')], r.err);
      });
    for (const signal of ['HUP', 'INT', 'QUIT', 'TERM', 'USR1', 'PIPE'])
      test(`an ignored ${signal}`, async () => {
        const r = await sh(`trap '' ${signal}; "$0" exec -- ${ignores(signal)}; trap - ${signal}; "$0" exec -- ${ignores(signal)}`);
        // Python itself ignores PIPE.
        assert.deepEqual(r.out.trim().split('\n'), ['True', signal === 'PIPE' ? 'True' : 'False'], r.err);
      });
    test('ignored children do not hinder us', async () => {
      const r = await sh(`trap '' CHLD; "$0" exec -- sh -c 'echo ran; exit 3'; echo $?`);
      assert.equal(r.out, 'ran\n3\n', r.err);
    });
    test('a blocked signal is blocked inside', async () => {
      const r = await sh(`exec python3 -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
os.execv(sys.argv[1], [sys.argv[1], "exec", "--", "grep", "SigBlk", "/proc/self/status"])' "$0"`);
      assert.match(r.out, /^SigBlk:\s+0000000000000800\n$/, r.err);
    });
  });

  describe(`told to end, as ${name}`, () => {
    const exec = (args) => start([...who, PROGRAM][0], [...who, PROGRAM, 'exec', ...args].slice(1));
    for (const signal of ['HUP', 'INT', 'QUIT', 'TERM'])
      test(`${signal} that the caller ignores is nothing`, async () => {
        const p = start([...who, 'bash'][0], [...who, 'bash', '-c', `trap '' ${signal}; exec "$0" exec --grace 0 -- python3 -uc "$1"`, PROGRAM, 'import signal\nsignal.signal(signal.SIGUSR1, lambda *a: print("still here"))\nprint("ready")\nwhile True: signal.pause()'].slice(1));
        await p.line(/ready/);
        p.kill(`SIG${signal}`);
        p.kill(`SIG${signal}`);
        p.kill('SIGUSR1');   // the kernel hands over smaller numbers first
        await p.line(/still here/);
        p.kill('SIGKILL');
        await p.exit;
      });
    for (const signal of ['TERM', 'HUP', 'INT', 'QUIT'])
      test(`a program that ignores ${signal} ends after the grace`, async () => {
        const p = exec(['--grace', '300ms', '--', 'bash', '-c', `trap "" ${signal}; echo ready; sleep 1000`]);
        await p.line(/ready/);
        p.kill(`SIG${signal}`);
        assert.deepEqual(await p.exit, { code: 137, signal: null });
        assert.equal(p.err, `sallyport exec: the program did not end within 300 ms of SIG${signal} and was killed\n`);
      });
    test('one that catches TERM and lives on ends, too', async () => {
      const p = exec(['--grace', '1s', '--', 'bash', '-c', 'trap "echo caught" TERM; echo ready; while :; do sleep 0.05; done']);
      await p.line(/ready/);
      p.kill();
      await p.line(/caught/);
      assert.equal((await p.exit).code, 137);
      assert.match(p.err, /within 1 s of SIGTERM/);
    });
    test('one that ends within the grace has its own status', async () => {
      const p = exec(['--', 'bash', '-c', 'trap "sleep 0.2; exit 6" TERM; echo ready; while :; do sleep 0.05; done']);
      await p.line(/ready/);
      p.kill();
      assert.deepEqual([(await p.exit).code, p.err], [6, '']);
    });
    test('one that catches HUP (to read its settings anew) is left alone', async () => {
      const p = exec(['--grace', '0', '--', 'bash', '-c', 'trap "echo caught" HUP; echo ready; while :; do sleep 0.02; done']);
      await p.line(/ready/);
      p.kill('SIGHUP');
      await p.line(/caught/);
      p.out = '';
      p.kill('SIGHUP');
      await p.line(/caught/);
      p.kill('SIGKILL');
      await p.exit;
    });
    test('a report says it', async () => {
      const dir = tempDir('caller'), file = path.join(dir, 'r');
      if (who.length) fs.chownSync(dir, 4711, 4711);
      const p = exec(['--grace', '0', '--json', file, '--', 'bash', '-c', 'trap "" TERM; echo ready; sleep 1000']);
      await p.line(/ready/);
      p.kill();
      await p.exit;
      const r = JSON.parse(fs.readFileSync(file, 'utf8'));
      assert.deepEqual([r.signal, r.limits], [9, []]);
    });
  });

  describe(`standard streams by name, as ${name}`, () => {
    // Each reads "in\n" and writes "out\n" to output, "err\n" to error; how is what differs.
    const idioms = {
      '/dev/std*': 'cat /dev/stdin >/dev/null; echo out >/dev/stdout; echo err >/dev/stderr',
      '/dev/fd/N': 'cat /dev/fd/0 >/dev/null; echo out >/dev/fd/1; echo err >/dev/fd/2',
      '/proc/self/fd/N': 'cat /proc/self/fd/0 >/dev/null; echo out >/proc/self/fd/1; echo err >/proc/self/fd/2',
      appending: 'cat </dev/stdin >/dev/null; echo out >>/dev/stdout; echo err >>/dev/stderr',
      tee: 'cat >/dev/null; echo out | tee /dev/fd/3 3>&1 >/dev/null; echo err | tee /dev/stderr >/dev/null',
      python: `python3 -c 'assert open("/dev/stdin").read() == "in\\n"; open("/dev/stdout", "w").write("out\\n"); open("/dev/stderr", "w").write("err\\n")'`,
      'another process': 'cat >/dev/null; (sh -c "echo out >/dev/stdout; echo err >/dev/stderr") & wait',
    };
    const streams = {
      pipes: (run) => `echo in | ${run} 2>&1 >"$D/o" | cat >"$D/e"`,
      'pipes, all of them': (run) => `{ echo in | ${run} 3>&1 1>&2 2>&3 | cat >"$D/e"; } 2>&1 | cat >"$D/o"`,
      files: (run) => `echo in >"$D/i"; ${run} <"$D/i" >"$D/o" 2>"$D/e"`,
      'named pipes': (run) => `mkfifo p q r; cat <p >o & cat <q >e & echo in >r & ${run} <r >p 2>q; wait`,
    };
    for (const [what, script] of Object.entries(idioms))
      for (const [how, around] of Object.entries(streams))
        test(`${what}, on ${how}`, async () => {
          const r = await sh(`${around('"$0" exec -- sh -c "$I"')}; cat "$D/o"; echo -; cat "$D/e"`, { env: { I: script } });
          assert.equal(r.out, 'out\n-\nerr\n', r.err);
        });
    for (const [what, script] of Object.entries(idioms).filter(([k]) => ['/dev/std*', 'python'].includes(k)))
      test(`${what}, on a terminal`, async () => {
        const argv = [path.join(here, 'lib', 'terminal.py'), JSON.stringify([{ wait: 'ready' }, { send: 'in\n\x04' }, { wait: 'out' }, { wait: 'err' }])];
        const r = await run('python3', [...argv, ...who, PROGRAM, 'exec', '--', 'sh', '-c', `echo ready; ${script}`], { env: { TERM: 'dumb' }, timeout: ms(60000) });
        assert.equal(JSON.parse(r.out).failed, null, r.out + r.err);
      });
    test('sockets', async () => {
      const r = await sh(`python3 -c '
import socket, subprocess, sys
a, b = socket.socketpair(); c, d = socket.socketpair()
a.sendall(b"in\\n"); a.shutdown(socket.SHUT_WR)
assert subprocess.call([sys.argv[1], "exec", "--", "sh", "-c", sys.argv[2]], stdin=b, stdout=b, stderr=d) == 0
b.close(); d.close()
print(a.makefile().read() + c.makefile().read(), end="")' "$0" "$I"`, { env: { I: idioms['/dev/std*'] } });
      assert.equal(r.out, 'out\nerr\n', r.err);
    });
  });

  describe(`what the caller keeps, as ${name}`, () => {
    const left = {
      'a pipe': [`printf 'a\\nb\\nc\\n' | ( ${'%'} )`, 'a\n-\nb\nc\n'],
      'a pipe that is written to later': [`{ echo a; echo b; until [ -e "$D/read" ]; do sleep 0.02; done; echo c; } | ( ${'%'} )`, 'a\n-\nb\nc\n'],
      'a small file': [`printf 'a\\nb\\nc\\n' > f; ( ${'%'} ) <f`, 'a\n-\nb\nc\n'],
      'a small file from its middle': [`printf 'x\\na\\nb\\nc\\n' > f; ( read x; ${'%'} ) <f`, 'a\n-\nb\nc\n'],
      'a large file': [`{ printf 'a\\nb\\n'; head -c 3M /dev/zero | tr '\\0' x; echo; } > f; ( ${'%'} ) <f | cut -c1-3`, 'a\n-\nb\nxxx\n'],
      'a named pipe': [`mkfifo p; printf 'a\\nb\\nc\\n' >p & ( ${'%'} ) <p`, 'a\n-\nb\nc\n'],
    };
    for (const [what, [script, want]] of Object.entries(left))
      test(`${what}: what the program has not read`, async () => {
        const r = await sh(script.replace('%', `"$0" exec -- sh -c 'read x; echo $x'; : > "$D/read"; echo -; cat`));
        assert.equal(r.out, want, r.err);
      });
    test('a small file: head gives back what it has read too much, and wc its size', async () => {
      const r = await sh(`printf 'a\\nb\\n' > f; ("$0" exec -- head -n 1; cat) <f; "$0" exec -- stat -Lc %s /dev/stdin <f`);
      assert.equal(r.out, 'a\nb\n4\n', r.err);
    });
    test('a socket: what the program has not read', async () => {
      const r = await sh(`python3 -c '
import socket, subprocess, sys
a, b = socket.socketpair()
a.sendall(b"a\\n"); a.sendall(b"b\\n"); a.sendall(b"c\\n"); a.close()
subprocess.call([sys.argv[1], "exec", "--", "sh", "-c", "read x; echo $x"], stdin=b)
print(b.makefile().read(), end="")' "$0"`);
      assert.equal(r.out, 'a\nb\nc\n', r.err);
    });
    test('loops keep their input', async () => {
      const r = await sh(`seq 1 5 | while read -r l; do echo $l; "$0" exec -- true; done`);
      assert.equal(r.out, '1\n2\n3\n4\n5\n', r.err);
    });
    test('flags of descriptors', async () => {
      const r = await sh(`python3 -c '
import fcntl, os, socket, subprocess, sys
a, b = os.pipe(), os.pipe(); c, d = socket.socketpair()
os.write(a[1], b"x" * 10)
look = lambda: [fcntl.fcntl(f, fcntl.F_GETFL) for f in (a[0], b[1], d.fileno())]
before = look()
inside = "import fcntl, os\\nfor f in 0, 1, 2: fcntl.fcntl(f, fcntl.F_SETFL, fcntl.fcntl(f, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)\\nprint(os.read(0, 100))"
assert subprocess.call([sys.argv[1], "exec", "--", "python3", "-c", inside], stdin=a[0], stdout=b[1], stderr=d) == 0
print(look() == before, os.read(b[0], 100))' "$0"`);
      assert.equal(r.out, `True b"b'xxxxxxxxxx'\\n"\n`, r.err);
    });
    test('a program cannot put commands before the shell that reads them from the same pipe', async () => {
      const attempt = 'import os\nfor f in 0, 1, 2:\n  try: os.write(os.open(f"/proc/self/fd/{f}", os.O_WRONLY | os.O_NONBLOCK), b"echo pwned\\n")\n  except OSError: pass';
      const r = await sh(`printf '%s\n' '"$B" exec -- python3 -c "$P" >/dev/null 2>&1' 'echo next' | B=$0 bash`, { env: { P: attempt } });
      assert.equal(r.out, 'next\n', r.err);
    });
    test('a program cannot send the shell that reads its commands from a file back to one', async () => {
      const r = await sh(`printf '%s\n' 'echo once; [ -e ran ] && exit' ': >ran' '"$B" exec -- python3 -c "import os; os.lseek(0, 0, 0)"' 'echo next' >f; B=$0 bash <f`);
      assert.equal(r.out, 'once\nnext\n', r.err);
      const far = await sh(`printf 'a\nb\n' >g; ("$0" exec -- python3 -c "import os; os.lseek(0, 1 << 40, 0)"; echo c >&0) <>g; wc -c <g`);
      assert.equal(far.out, '6\n', far.err);
    });
    test('a reader that leaves is noticed by a program that only waits', async () => {
      const r = await sh(`"$0" exec -- python3 -c 'import select, sys; p = select.poll(); p.register(1, 0); print(bool(p.poll(20000)), file=sys.stderr)' | true`);
      assert.equal(r.err, 'True\n');
    });
    test('an input that the program closes is closed', async () => {
      const r = await sh(`{ yes; : > "$D/gone"; } | "$0" exec --bind "$D" -- sh -c 'exec <&-; until [ -e gone ]; do sleep 0.02; done; echo seen'`);
      assert.equal(r.out, 'seen\n', r.err);
    });
    for (const [what, make] of [['a pipe', 'os.pipe()'], ['a small pipe', 'sized(4096)'], ['a large pipe', 'sized(1 << 20)'], ['a socket', 'tuple(s.detach() for s in socket.socketpair())'], ['a small socket', 'small(*socket.socketpair())']])
      test(`every byte through ${what}, in pieces of any size`, async () => {
        const r = await sh(`python3 -c '
import fcntl, hashlib, os, random, socket, subprocess, sys, threading
def sized(n):
    p = os.pipe(); fcntl.fcntl(p[1], 1031, n); return p
def small(a, b):
    b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608); return a.detach(), b.detach()
r, w = ${make}
inside = "import os, random, sys\\nrandom.seed(2)\\nwhile True:\\n  d = os.read(0, random.choice([1, 7, 4096, 5000, 70000]))\\n  if not d: break\\n  while d: d = d[os.write(1, d):]"
p = subprocess.Popen([sys.argv[1], "exec", "--", "python3", "-c", inside], stdin=r, stdout=subprocess.PIPE)
os.close(r)
random.seed(1)
sent = hashlib.sha256()
def send():
    for i in range(1500):
        d = random.randbytes(random.choice([1, 3, 100, 4096, 4097, 9000])); sent.update(d)
        while d: d = d[os.write(w, d):]
    os.close(w)
t = threading.Thread(target=send); t.start()
got = hashlib.sha256(p.stdout.read()); t.join()
print(p.wait(), got.digest() == sent.digest())' "$0"`, { timeout: ms(60000) });
        assert.equal(r.out, '0 True\n', r.err);
      });
  });

  describe(`what was written before the end, as ${name}`, () => {
    for (const [what, script, want] of [
      ['tee', 'exec > >(tee log) 2>&1; echo done', 'done\n'],
      ['two filters', 'exec > >(tr a-z A-Z | tee log) 2>&1; echo done', 'DONE\n'],
      ['an interpreter that only starts', `exec > >(python3 -c 'import sys; print(sys.stdin.read(), end="")'); echo done`, 'done\n'],
      ['a full pipe', 'exec > >(cat); head -c 60000 /dev/zero | tr "\\0" x; echo', `${'x'.repeat(60000)}\n`],
    ])
      test(what, async () => {
        for (let i = 0; i < 6; i++) {
          const r = await sh(`"$0" exec -- bash -c "$I" | cat`, { env: { I: script } });
          assert.equal(r.out, want, r.err);
        }
      });
    test('a file in a bind', async () => {
      for (let i = 0; i < 6; i++) {
        const r = await sh(`"$0" exec --bind "$D:rw" -- bash -c 'exec > >(cat > log); echo done'; cat log`);
        assert.equal(r.out, 'done\n', r.err);
      }
    });
    test('what stays behind does not hold the end', async () => {
      const r = await sh(`for j in 'sleep 1000' 'while :; do :; done' 'sleep 1000 | cat'; do "$0" exec -- sh -c "($j) & echo on" | cat; done`, { timeout: ms(20000) });
      assert.equal(r.out, 'on\non\non\n', r.err);
    });
    test('nor does it when we are told to end', async () => {
      const p = start([...who, PROGRAM][0], [...who, PROGRAM, 'exec', '--', 'sh', '-c', '(while :; do sleep 0.001; done) & echo on'].slice(1));
      await p.line(/on/);
      p.kill();
      assert([0, 143].includes((await p.exit).code), p.tail());
    });
  });

  describe(`setgid directories, as ${name}`, () => {
    // In a directory that others of this machine see, a setuid or setgid program would have our rights for them.
    const idioms = ['git init -q --shared r', 'mkdir -m 2775 r', 'mkdir r && chmod g+s r', 'mkdir a && chmod 2750 a && tar cf t a && rm -r a && tar xpf t', 'install -d -m 2755 r', ': > f && chmod 6755 f', `python3 -c 'import os; os.mkdir("r"); os.chmod(os.open("r", 0), 0o2770)'`];
    for (const where of ['/workspace', '/tmp'])
      test(`${where}: as outside`, async () => {
        for (const idiom of idioms) {
          const r = await sh(`"$0" exec --workdir ${where} --bind "$D" -- sh -ec "$I"`, { env: { I: idiom } });
          assert.deepEqual([r.code, r.err], [0, ''], idiom);
        }
        assert.equal((await sh(`"$0" exec --workdir ${where} -- sh -c 'mkdir -m 2775 r; mkdir r/s; stat -c %A r r/s; : > f; chmod 4755 f; stat -c %A f'`)).out, 'drwxrwsr-x\ndrwxr-sr-x\n-rwsr-xr-x\n');
      });
    test('where the host can be written: refused', async () => {
      for (const idiom of idioms) {
        const r = await sh(`rm -rf ./*; "$0" exec --bind "$D:rw" -- sh -ec "$I"`, { env: { I: idiom } });
        assert.notEqual(r.code, 0, idiom);
        assert.match(r.err, /not permitted|writable by group/, idiom);
      }
    });
  });

  describe(`odd surroundings, as ${name}`, () => {
    const works = {
      'few open files': 'ulimit -n 64; "$0" exec -- sh -c "ulimit -n"',
      'little memory': 'ulimit -v 200000; "$0" exec -- echo 64',
      'little data': 'ulimit -d 30000; "$0" exec -- echo 64',
      'no core files': 'ulimit -c 0; "$0" exec -- echo 64',
      'no locked memory, signals, queues': 'ulimit -l 0; ulimit -i 0; ulimit -q 0; "$0" exec -- echo 64',
      'a small stack': 'ulimit -s 256; "$0" exec -- echo 64',
      'no environment': 'env -i "$0" exec -- echo 64',
      'no HOME': 'env -u HOME "$0" exec -- echo 64',
      "somebody else's HOME": 'HOME=/root "$0" exec -- echo 64',
      'an empty PATH': 'b=$0; PATH= "$b" exec -- echo 64',
      'closed streams': '"$0" exec -- echo 64 <&- 2>&-',
      'a directory that is gone': 'mkdir gone; cd gone; rmdir ../gone; "$0" exec -- echo 64',
      'a directory that cannot be read': 'mkdir shut; cd shut; chmod 0 .; "$0" exec -- echo 64',
      'a long argument': `test $("$0" exec -- echo "$(head -c 120000 /dev/zero | tr '\\0' x)" | wc -c) = 120001 && echo 64`,
      'an inner bind before its parent': 'mkdir -p a/in b; echo 64 > b/f; "$0" exec --bind b:/w/in --bind a:/w:rw -- cat /w/in/f',
      'a colon in a directory': 'mkdir c:d; cd c:d; echo 64 > f; "$0" exec --bind .:rw -- cat f',
      'the same bind twice': 'echo 64 > f; "$0" exec --bind . --bind . -- cat f',
      'own limits by number': `"$0" exec -- sh -c 'prlimit --pid $$ --nofile=64 && ulimit -n'`,
      ping: `"$0" exec -- python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); s.settimeout(20)
s.sendto(b"\\x08\\0\\0\\0\\0\\0\\0\\x0164", ("127.0.0.1", 0)); print(s.recv(100)[-2:].decode())'`,
    };
    const sanitized = process.env.ASAN_OPTIONS && 'a sanitizer takes terabytes of addresses';
    for (const [what, script] of Object.entries(works))
      test(`${what}: works`, { skip: /^little/.test(what) && sanitized }, async () => {
        const r = await sh(script);
        assert.deepEqual([r.code, r.out], [0, '64\n'], r.err);
      });
    const told = {
      'too few open files': ['ulimit -n 10; "$0" exec -- true', /allows 10 open files, which may be too few: raise the limit with ulimit -n/],
      'no place below another bind': ['mkdir a b; "$0" exec --bind a:/w:rw --bind b:/w/x/y -- true', /a is bound to \/w, where there is no such place: make it \(mkdir -p \S+\/a\/x\/y\), or choose another target/],
      'a file below another bind': ['mkdir -p a b; : > f; "$0" exec --bind a:/w --bind f:/w/f -- true', /make it \(touch \S+\/a\/f\)/],
      'a directory on a file': ['mkdir a b; : > a/f; "$0" exec --bind a:/w --bind b:/w/f -- true', /a\/f is a file, and must be a directory/],
      'a link below another bind': ['mkdir -p a/d b; ln -s d a/l; "$0" exec --bind a:/w --bind b:/w/l -- true', /a\/l is a link/],
      'one target twice': ['mkdir a b; "$0" exec --bind a:/w --bind b:/w -- true', /target "\/w" is given twice/],
      'a sandbox around it': ['"$0" exec --bind "$(dirname "$0")" -- "$0" exec -- true', /inside a sandbox or container already.*: run sallyport outside of it/],
      "init's limits": [`"$0" exec -- prlimit --pid 1 --nofile=64`, /not permitted/],
    };
    // Mounts and capabilities are root's to arrange.
    const asRoot = {
      'a /proc of other processes': ['unshare -mp --fork "$0" exec -- true', /\/proc here is that of another pid namespace/],
      'a read-only /proc': [`unshare -mp --fork sh -c 'mount -t proc proc /proc; mount -o remount,bind,ro /proc; "$0" exec -- true' "$0"`, /\/proc is read-only here/],
      // An overlay is the root of most containers, and cannot be mounted with other ids.
      'a file system that keeps its owners': [`unshare -m sh -ec 'mount -t tmpfs t .; cd "$PWD"; mkdir l u w m; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w o m; "$0" exec --bind m -- true; chmod 777 m; "$0" exec --bind m:rw -- touch "$PWD/m/f"; chmod 755 m; "$0" exec --bind m:rw -- true' "$0"`, /m could be bound, but not written: its file system .* run sallyport as the owner, bind it read-only/],
      'no /proc': [`unshare -m sh -c 'umount -l /proc; "$0" exec -- true' "$0"`, /\/proc is not mounted here/],
      ...Object.fromEntries(['sys_admin', 'setuid', 'setgid', 'setpcap'].map((cap) =>
        [`a root without ${cap}`, [`setpriv --bounding-set -${cap} "$0" exec -- true`, RegExp(`root has no CAP_${cap.toUpperCase()} here.* or run sallyport as an ordinary user`)]])),
    };
    if (name === 'root')
      Object.assign(told, asRoot);
    for (const [what, [script, words]] of Object.entries(told))
      test(`${what}: told`, { skip: what === 'no /proc' && process.env.ASAN_OPTIONS && 'a sanitizer reads /proc itself' }, async () => {
        const r = await sh(script);
        assert.notEqual(r.code, 0);
        assert.match(r.err, words);
      });
  });
}
