// sallyport exec as a wrapper: what a program, a pipeline, a terminal or another tool would notice. Peers are
// the usual ones: sh, head, cat, yes, python3, stty, script, ps, and Node's child_process.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { alive, BIN, cleanEnv, descendants, end, here, ms, run, start, tempDir, until } from '../lib/own.mjs';

const exec = (args, opts) => run(BIN, ['exec', ...args], opts);
const sh = (script, opts) => run('/bin/sh', ['-c', script, BIN], opts);

/** Runs a command on a terminal; steps as in tests/lib/terminal.py. */
async function terminal(steps, argv, { env } = {}) {
  const r = await run('python3', [path.join(here, 'lib', 'terminal.py'), JSON.stringify(steps), ...argv], { env: { TERM: 'xterm-256color', ...env }, timeout: ms(90000) });
  assert.equal(r.code, 0, r.err);
  const o = JSON.parse(r.out);
  assert.equal(o.failed, null, `${JSON.stringify(o.failed)} did not come true\n${o.out}`);
  return o;
}

describe('exit status', () => {
  const cases = [
    [['--', 'true'], 0, ''],
    [['--', 'sh', '-c', 'exit 7'], 7, ''],
    [['--', 'sh', '-c', 'exit 255'], 255, ''],
    [['--', 'sh', '-c', 'kill -TERM $$'], 143, ''],
    [['--', 'sh', '-c', 'kill -9 $$'], 137, ''],
    [['--', 'no-such-program'], 127, 'sallyport exec: no-such-program: No such file or directory\n'],
    [['--', '/no/such/program'], 127, 'sallyport exec: /no/such/program: No such file or directory\n'],
    [['--', '/etc/passwd'], 126, 'sallyport exec: /etc/passwd: Permission denied\n'],
    [['--', '/usr'], 126, 'sallyport exec: /usr: Permission denied\n'],
    [['--workdir', '/no/such', '--', 'true'], 125, 'sallyport exec: /no/such: No such file or directory\n'],
    [['--workdir', 'relative', '--', 'true'], 125, /^sallyport exec: --workdir relative: write an absolute path inside/],
    [['--timeout', '200ms', '--', 'sleep', '30'], 137, "sallyport exec: the program's time was over\n"],
    [[], 125, /^sallyport exec: an argument is missing: sallyport exec -- COMMAND/],
    [['--no-such-flag', '--', 'true'], 125, /^sallyport exec: --no-such-flag: there is no such flag/],
    [['-x', '--', 'true'], 125, /one-letter/],
    [['ls', '-la'], 125, /the only one-letter flag is -h; write the command.s own flags after --\n/],
    [['ls', '--color'], 125, /--color: there is no such flag.*; write the command.s own flags after --\n/],
    [['--bind', '/no/such/dir', '--', 'true'], 125, /^sallyport exec: --bind \/no\/such\/dir: \/no\/such\/dir: No such file or directory/],
    [['--bind', '/usr:/opt/x:ro', '--', 'true'], 125, /a target has no colon; binds are read-only unless they end in :rw/],
    [['--bind', '/usr:ro', '--', 'true'], 125, /the target "ro" is no absolute path; binds are read-only unless they end in :rw, and a directory with a colon in its name is bound from within, as \.\n/],
    [['--bind', ':/x:rw', '--', 'true'], 125, /^sallyport exec: --bind :\/x:rw: the source is empty\n/],
    [['--bind', '/usr:/', '--', 'true'], 125, /target "\/" is the sandbox's own root/],
    [['--env', 'SALLYPORT_NOT_SET', '--', 'true'], 125, /^sallyport exec: --env SALLYPORT_NOT_SET: this variable is not set in your shell/],
    [['--env', '1x=y', '--', 'true'], 125, /^sallyport exec: --env 1x: env: "1x" is not a name/],
    [['--cpus', 'many', '--', 'true'], 125, /^sallyport exec: --cpus many: write a number of cores/],
    [['--cpus', '0', '--', 'true'], 125, /--cpus 0: write/],
    [['--memory', '1', '--', 'true'], 125, /--memory: 1 is out of range \(16M to 16T\)/],
    [['--user', 'nobody', '--', 'true'], 125, /--user: "nobody" is not one of agent, root/],
    [['--network', 'host', '--', 'true'], 125, /--network: "host" is not one of loopback, none/],
    [['--rootfs', 'nameless', '--', 'true'], 125, /--rootfs nameless: there is no image nameless in .*make one with sallyport rootfs import.*\.\/nameless/],
    [['--rootfs', '/etc/passwd', '--', 'true'], 125, /--rootfs \/etc\/passwd: Not a directory/],
    [['--rootfs', '/proc', '--', 'true'], 125, /this root cannot be below an overlay: .*give a copy, or import it/],
    [['--allow', 'http://example.com', '--', 'true'], 125, /^sallyport exec: --allow http:\/\/example.com: write HOST or HOST:PORT/],
    [['--secret', 'TOKEN=vault:TOKEN@api.example.com', '--', 'true'], 125, /^sallyport exec: --secret: the source is one of env:NAME, file:PATH, exec:COMMAND, systemd:NAME/],
    [['--allow', 'example.com', '--audit', '/proc/none/audit.jsonl', '--', 'true'], 125, /^sallyport exec: .*\/proc\/none\/audit\.jsonl/m],
    [['--egress', '/no/such/policy.yaml', '--', 'true'], 125, /^sallyport exec: --egress: \/no\/such\/policy.yaml/],
    [['--secret', 'TOKEN=env:SALLYPORT_NOT_SET@api.example.com', '--', 'true'], 125, /^sallyport exec: --secret: the variable of its env source is not set in your shell\n/],
    [['--secret', 'TOKEN', '--', 'true'], 125, /^sallyport exec: --secret: write NAME=SOURCE@HOST/],
  ];
  test('what is on the host and not inside: --bind is named', async () => {
    const dir = tempDir('exec'), told = /^sallyport exec: .*: No such file or directory\nsallyport exec: the path exists on this host, but a sandbox holds only what --bind shows/;
    fs.writeFileSync(path.join(dir, 'x.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    const script = await exec(['--', './x.sh'], { cwd: dir }), cwd = await exec(['--workdir', dir, '--', 'true']);
    assert.deepEqual([script.code, cwd.code], [127, 125]);
    assert.match(script.err, told);
    assert.match(cwd.err, told);
    assert.equal((await exec(['--bind', '.', '--', './x.sh'], { cwd: dir })).out, 'ran\n');
  });
  for (const [args, code, err] of cases)
    test(`${args.join(' ') || 'no arguments'}: ${code}`, async () => {
      const r = await exec(args, { env: { XDG_DATA_HOME: '/no/such/data' } });
      assert.equal(r.code, code, r.err);
      assert.equal(r.out, '', 'nothing of ours on standard output');
      if (err instanceof RegExp) assert.match(r.err, err); else assert.equal(r.err, err);
    });
  test('a secret is not repeated in a message', async () => {
    const r = await exec(['--secret', 'TOKEN=hunter2', '--', 'true']);
    assert.equal(r.code, 125);
    assert(!r.err.includes('hunter2'), r.err);
  });
  test('--help is on standard output and ends with 0', async () => {
    const r = await exec(['--help']);
    assert.equal(r.code, 0);
    assert.match(r.out, /--json FILE[^]*--timeout TIME|--timeout TIME[^]*--json FILE/);
  });
});

describe('what the program finds', () => {
  test('its identity, directory and environment, built from nothing', async () => {
    const r = await exec(['--env', 'A=1', '--env', 'B=x=y', '--env', 'COPIED', '--env', 'A=2', '--', 'sh', '-c', 'id -u; pwd; echo $A $B $COPIED; env | cut -d= -f1 | sort | tr "\\n" " "'], { env: { COPIED: 'from here', NOT_COPIED: 'x' } });
    assert.equal(r.code, 0, r.err);
    assert.equal(r.out, '1000\n/workspace\n2 x=y from here\nA B COPIED HOME LC_CTYPE LOGNAME PATH PWD SHELL TERM USER ');
  });
  test('no descriptor but its three streams, and nobody but itself', async () => {
    const look = 'import os; fds = [(int(f), os.readlink("/proc/self/fd/" + f).split(":")[0]) for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)]; print(sorted(fds), sorted(int(d) for d in os.listdir("/proc") if d.isdigit()))';
    const r = await sh(`exec 5</etc/passwd 7</; echo x | "$0" exec -- python3 -c '${look}' 2>/dev/null | cat`);
    assert.match(r.out, /^\[\(0, 'pipe'\), \(1, 'pipe'\), \(2, '\/dev\/null'\)\] \[1, \d+\]\n$/, r.err);
  });
  test('a bound directory under the same path, read-only unless :rw, and it is the working directory', async () => {
    const dir = tempDir('exec');
    fs.mkdirSync(path.join(dir, 'sub'));
    fs.writeFileSync(path.join(dir, 'sub', 'f'), 'inside\n');
    fs.chmodSync(dir, 0o755);
    const ro = await exec(['--bind', dir, '--', 'sh', '-c', 'pwd; cat f; touch g'], { cwd: path.join(dir, 'sub') });
    assert.match(ro.out, new RegExp(`^${path.join(dir, 'sub')}\ninside\n$`));
    assert.match(ro.err, /Read-only file system/);
    const relative = await exec(['--bind', 'sub', '--', 'sh', '-c', `pwd; cat ${dir}/sub/f`], { cwd: dir });
    assert.equal(relative.out, '/workspace\ninside\n', relative.err);
    const elsewhere = await exec(['--bind', `${dir}/sub:/mnt/there`, '--workdir', '/mnt/there', '--', 'cat', 'f'], { cwd: '/' });
    assert.equal(elsewhere.out, 'inside\n', elsewhere.err);
  });
  test('settings from a file', async () => {
    const dir = tempDir('exec');
    fs.writeFileSync(path.join(dir, 'c.yaml'), 'env: [X=from file]\ntimeout: 20s\nworkdir: /tmp\n');
    const r = await exec(['--config', path.join(dir, 'c.yaml'), '--', 'sh', '-c', 'echo $X; pwd']);
    assert.equal(r.out, 'from file\n/tmp\n', r.err);
    fs.writeFileSync(path.join(dir, 'c.yaml'), 'jsn: x\n');
    assert.equal((await exec(['--config', path.join(dir, 'c.yaml'), '--', 'true'])).code, 125);
  });
});

describe('streams', () => {
  const cases = {
    'a pipeline': [`printf 'a\\nb\\n' | "$0" exec -- sort -r | cat`, 'b\na\n'],
    'a reader that leaves ends the writer outside': [`yes | "$0" exec -- head -1`, 'y\n'],
    'a reader that leaves ends the writer inside': [`"$0" exec -- yes | head -1; echo done`, 'y\ndone\n'],
    'the end of input': [`"$0" exec -- cat </dev/null; echo done`, 'done\n'],
    'closed streams': [`"$0" exec -- sh -c 'cat; echo lost' <&- >&- 2>&-; echo $?`, '0\n'],
    'a file in': [`cat "$0" | wc -c | tr -d ' ' >/dev/null; "$0" exec -- wc -c < /etc/passwd | tr -d ' '`, `${fs.statSync('/etc/passwd').size}\n`],
    'loops keep their input': [`printf '1\\n2\\n3\\n' > "$D/in"; while read -r l; do echo "got $l"; "$0" exec -- true; done < "$D/in"`, 'got 1\ngot 2\ngot 3\n'],
    'the order of what goes to one file': [`"$0" exec -- sh -c 'for i in 1 2 3; do echo o$i; echo e$i >&2; done' > "$D/both" 2>&1; cat "$D/both"`, 'o1\ne1\no2\ne2\no3\ne3\n'],
    'appending': [`echo first > "$D/log"; "$0" exec -- echo second >> "$D/log"; cat "$D/log"`, 'first\nsecond\n'],
    'a named pipe': [`mkfifo "$D/p"; "$0" exec -- cat < "$D/p" & echo through > "$D/p"; wait`, 'through\n'],
    'standard error apart': [`"$0" exec -- sh -c 'echo out; echo err >&2' 2>/dev/null`, 'out\n'],
    // It goes on only when the reader has seen the end of its output.
    'an early close is seen at once': [`mkfifo "$D/go"; "$0" exec -- sh -c 'exec 1>&-; read go; echo late >&2' <>"$D/go" 2>"$D/e" | (cat; [ -s "$D/e" ] && echo after || echo before; echo >"$D/go"); cat "$D/e"`, 'before\nlate\n'],
  };
  for (const [name, [script, want]] of Object.entries(cases))
    test(name, async () => {
      const r = await sh(script, { env: { D: tempDir('exec') } });
      assert.equal(r.out, want, r.err);
    });
  test('a full disk outside ends the program, with a reason', async () => {
    const r = await sh(`"$0" exec -- yes > /dev/full`);
    assert.equal(r.code, 141);
    assert.equal(r.err, 'sallyport exec: standard output: No space left on device\n');
  });
  test('output that is lost is no success, also when the program did not live to see it', async () => {
    const r = await sh(`"$0" exec -- echo x > /dev/full`);
    assert.equal(r.err, 'sallyport exec: standard output: No space left on device\n');
    assert.equal(r.code, 125);
    assert.equal((await sh(`"$0" exec -- sh -c 'echo x; exit 7' > /dev/full`)).code, 7);
  });
  test('a directory as standard input is refused', async () => {
    const r = await sh(`"$0" exec -- ls < /`);
    assert.equal(r.code, 125);
    assert.match(r.err, /standard input is a directory; a directory is never handed into a sandbox/);
  });
  test('a file is never inside as a descriptor', async () => {
    const dir = tempDir('exec');
    fs.writeFileSync(path.join(dir, 'f'), 'x');
    const r = await sh(`"$0" exec -- sh -c 'readlink /proc/self/fd/0; echo y > /proc/self/fd/0; cat' < "${dir}/f" > "${dir}/o" 2>/dev/null`);
    assert.equal(r.code, 0);
    assert.match(fs.readFileSync(path.join(dir, 'o'), 'utf8'), /^\/memfd:standard input \(deleted\)\nx$/, 'a copy');
    assert.equal(fs.readFileSync(path.join(dir, 'f'), 'utf8'), 'x');
  });
  test('512 MiB through, in bounded memory', async () => {
    const p = start('/bin/sh', ['-c', `head -c 512M /dev/zero | "$0" exec -- cat | sha256sum; head -c 512M /dev/zero > "$D/big"; "$0" exec -- cat < "$D/big" | sha256sum`, BIN], { env: { D: tempDir('exec') } });
    let peak = 0;
    const timer = setInterval(() => {
      for (const d of descendants(p.pid)) {
        try {
          if (!fs.readFileSync(`/proc/${d}/cmdline`, 'utf8').startsWith(`${BIN}\0exec`)) continue;
          peak = Math.max(peak, Number(fs.readFileSync(`/proc/${d}/status`, 'utf8').match(/VmHWM:\s+(\d+)/)[1]));
        } catch { /* gone */ }
      }
    }, 20);
    await p.exit;
    clearInterval(timer);
    const sums = p.out.trim().split('\n').map((l) => l.split(' ')[0]);
    assert.equal(sums.length, 2);
    assert.equal(sums[0], sums[1]);
    assert.equal(sums[0], '9acca8e8c22201155389f65abbf6bc9723edc7384ead80503839f49dcc56d767', 'sha256 of 512 MiB of zeros');
    assert(peak > 0 && peak < 200 << 10, `peak ${peak} KiB`);
  });
});

describe('from Node', () => {
  const opts = { env: cleanEnv(), timeout: ms(20000) };
  test('spawnSync with pipes', () => {
    const r = spawnSync(BIN, ['exec', '--', 'sh', '-c', 'cat; echo err >&2; exit 7'], { ...opts, input: 'in' });
    assert.deepEqual([r.status, String(r.stdout), String(r.stderr)], [7, 'in', 'err\n']);
  });
  test('a conversation, unbuffered', async () => {
    const c = spawn(BIN, ['exec', '--', 'python3', '-uc', 'while True:\n  l = input()\n  print("re: " + l)\n  if l == "5": break'], { ...opts, stdio: ['pipe', 'pipe', 'inherit'] });
    let n = 1, out = '';
    c.stdout.on('data', (d) => { out += d; if (n < 5) c.stdin.write(`${++n}\n`); });
    c.stdin.write('1\n');
    const code = await new Promise((r) => c.on('close', r));
    assert.equal(out, 're: 1\nre: 2\nre: 3\nre: 4\nre: 5\n');
    assert.equal(code, 0);
  });
  test('inherited streams', () => {
    const outer = spawnSync(process.execPath, ['-e', `const r = require("child_process").spawnSync(process.argv[1], ["exec", "--", "sh", "-c", "cat; exit 3"], { stdio: "inherit" }); process.exit(r.status)`, BIN], { ...opts, input: 'through\n' });
    assert.deepEqual([outer.status, String(outer.stdout)], [3, 'through\n']);
  });
  test('a socket as a stream is copied, not handed in', async () => {
    const server = net.createServer((s) => { s.end('from the socket\n'); });
    await new Promise((r) => server.listen(0, '127.0.0.1', r));
    const r = await run('python3', ['-c', `import socket, subprocess, sys\ns = socket.create_connection(("127.0.0.1", ${server.address().port}))\nsys.exit(subprocess.call([sys.argv[1], "exec", "--", "sh", "-c", "readlink /proc/self/fd/0 | cut -d: -f1; cat"], stdin=s))`, BIN]);
    server.close();
    assert.equal(r.out, 'pipe\nfrom the socket\n', r.err);
  });
  test('kill() reaches the program', async () => {
    for (const [signal, script, want] of [['SIGTERM', 'exec sleep 100', 143], ['SIGINT', 'exec sleep 100', 130], ['SIGHUP', 'exec sleep 100', 129],
      ['SIGUSR1', `trap 'echo usr1; exit 4' USR1; echo ready; while :; do sleep 0.02; done`, 4], ['SIGTERM', `trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.02; done`, 5]]) {
      const p = start(BIN, ['exec', '--', 'sh', '-c', script.startsWith('exec') ? `echo ready; ${script}` : script]);
      await p.line(/ready/);
      p.kill(signal);
      assert.equal((await p.exit).code, want, `${signal} ${p.tail()}`);
    }
  });
});

test('a program that stops itself stops us', async () => {
  const p = start(BIN, ['exec', '--', 'sh', '-c', 'echo $$; kill -STOP $$; echo on']);
  await p.line(/^\d+$/m);
  await until('we are stopped', () => /^State:\s+T/m.test(fs.readFileSync(`/proc/${p.pid}/status`, 'utf8')));
  p.kill('SIGCONT');
  assert.equal((await p.exit).code, 0);
  assert.match(p.out, /on\n$/);
});

describe('ends', () => {
  /** Starts one, kills it after `delay` ms (null: when all of it is there), and sees that everything it had started goes. */
  async function killed(delay, args) {
    const p = start(BIN, ['exec', '--', ...args]);
    if (delay === null) await until('zygote, init, sh and the sleeps are there', () => descendants(p.pid).length >= 4);
    else await new Promise((r) => setTimeout(r, delay));   // the point of the test: any moment
    const family = descendants(p.pid);
    p.kill('SIGKILL');
    await p.exit;
    await until(`nothing of ${p.pid} is left after ${delay} ms`, () => family.every((d) => !alive(d)));
    return family.length;
  }
  test('SIGKILL at every stage leaves nothing', async () => {
    for (let delay = 0; delay < 60; delay += 3) await killed(delay, ['sh', '-c', 'trap "" HUP TERM; setsid sleep 1000 & sleep 1000']);
    assert(await killed(null, ['sh', '-c', 'setsid sleep 1000 & sleep 1000']) >= 4);
  });
  test('what the program leaves behind ends with it', async () => {
    const r = await exec(['--', 'sh', '-c', '(setsid sleep 1000 &); sleep 1000 & echo done']);
    assert.deepEqual([r.code, r.out], [0, 'done\n'], r.err);
  });
  test('a signal before the program runs', async () => {
    const codes = new Set();
    for (let i = 0; i < 12; i++) {
      const p = start(BIN, ['exec', '--', 'sleep', '1000']);
      await new Promise((r) => setTimeout(r, i * 4));
      p.kill('SIGTERM');
      const { code, signal } = await p.exit;
      codes.add(signal ?? code);
    }
    assert.deepEqual([...codes].filter((c) => c !== 143 && c !== 'SIGTERM'), []);
  });
});

describe('a terminal', () => {
  test('the program has one, of the right size, with TERM', async () => {
    const o = await terminal([], [BIN, 'exec', '--', 'sh', '-c', 'tty; stty size; echo $TERM; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three; echo hi > /dev/tty']);
    assert.match(o.out, /\/dev\/pts\/0\r\n31 97\r\nxterm-256color\r\nall three\r\nhi\r\n/);
    assert.equal(o.status, 0);
  });
  test('size follows, Ctrl-C reaches the program in front, modes come back', async () => {
    const o = await terminal([{ modes: 'before', wait: 'ready' }, { send: 'go\n' },
      { wait: 'inner$ ', differ: 'before', send: 'stty size\n' }, { wait: '31 97', resize: [40, 120] },
      { wait: 'inner$ ', send: 'until stty size | grep "^40"; do sleep 0.1; done\n' }, { wait: '40 120', send: '' },
      { wait: 'inner$ ', send: "sh -c 'echo sleeping; exec sleep 1000'\n" }, { wait: '\nsleeping', send: '\x03' },
      { wait: 'inner$ ', send: 'exit 9\n' }, { wait: 'status 9', same: 'before' }, { send: 'end\n' }],
    ['sh', '-c', `echo ready; read go; "$0" exec --env PS1='inner$ ' -- bash --norc --noediting -i; echo status $?; read x`, BIN]);
    assert.equal(o.status, 0, o.out);
  });
  for (const [signal, status] of [['TERM', 143], ['KILL', 137], ['HUP', 129]])
    test(`modes come back after SIG${signal}`, async () => {
      await terminal([{ wait: 'ready', modes: 'before' }, { send: 'go\n' }, { wait: 'in raw', differ: 'before' }, { signal: [signal, 'sallyport exec '] },
        { wait: `status ${status}`, same: 'before' }, { send: 'end\n' }],
      ['sh', '-c', `echo ready; read go; "$0" exec -- sh -c 'echo in raw; exec sleep 1000'; echo status $?; read x`, BIN]);
    });
  test('suspended and continued, both sides', async () => {
    await terminal([{ wait: 'ready', modes: 'before' }, { send: 'go\n' }, { wait: 'tick', differ: 'before' }, { signal: ['TSTP', 'sallyport exec '] },
      { state: ['sallyport exec ', 'T'], same: 'before' }, { signal: ['CONT', 'sallyport exec '] }, { differ: 'before' },
      { wait: 'tick' }, { wait: 'tick', send: '\x03' }, { wait: 'status 130', same: 'before' }, { send: 'end\n' }],
    ['sh', '-c', `echo ready; read go; "$0" exec -- sh -c 'while :; do echo tick; sleep 0.05; done'; echo status $?; read x`, BIN]);
  });
  test('Ctrl-Z suspends the program and us, and both go on', async () => {
    await terminal([{ wait: 'ready', modes: 'before' }, { send: 'go\n' }, { wait: 'tick', differ: 'before', send: '\x1a' },
      { state: ['sallyport exec ', 'T'], same: 'before' }, { signal: ['CONT', 'sallyport exec '] }, { differ: 'before' },
      { wait: 'continued' }, { wait: 'tick', send: '\x03' }, { wait: 'status 130', same: 'before' }, { send: 'end\n' }],
    // Not a loop of sh: one that is stopped in the middle of vfork() is not seen as stopped by anybody, here or outside.
    ['sh', '-c', `echo ready; read go; "$0" exec -- python3 -uc "$1"; echo status $?; read x`, BIN, 'import signal, time\nsignal.signal(signal.SIGCONT, lambda *_: print("continued"))\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nwhile True: print("tick"); time.sleep(0.05)']);
  });
  test('in the background the terminal is left alone; in the foreground it is taken', async () => {
    await terminal([{ wait: 'ready', modes: 'before' }, { send: 'go\n' }, { wait: 'inside' }, { same: 'before' }, { wait: 'job done', same: 'before', send: 'go\n' },
      { wait: 'second' }, { differ: 'before', send: 'typed\r' }, { wait: 'got typed' }, { wait: 'status 0', same: 'before' }, { send: 'end\n' }],
    ['bash', '-c', `set -m; echo ready; read go; "$0" exec -- sh -c 'echo inside; sleep 0.5; stty -a >/dev/null' & wait; echo job done; read go; "$0" exec -- sh -c 'echo second; read x; echo got $x' & sleep 0.3; fg >/dev/null; echo status $?; read x`, BIN]);
  });
  test('only output is a terminal: the pipe stays a pipe, lines stay lines', async () => {
    const o = await terminal([], ['sh', '-c', `printf 'a\\nb\\n' | "$0" exec -- sh -c '[ -t 0 ] || echo in no; [ -t 1 ] && echo out yes; cat'`, BIN]);
    assert.equal(o.out.replace(/\r+\n/g, '\n'), 'in no\nout yes\na\nb\n');
  });
  test('only input is a terminal', async () => {
    const dir = tempDir('exec');
    await terminal([{ wait: 'ready', modes: 'before' }, { send: 'go\n' }, { differ: 'before', send: 'typed\n' }, { wait: 'typed', send: '\x04' }], ['sh', '-c', `echo ready; read go; "$0" exec -- cat > ${dir}/out 2> ${dir}/err`, BIN]);
    assert.equal(fs.readFileSync(path.join(dir, 'out'), 'utf8'), 'typed\n');
  });
  test('inside script(1), and script inside', async () => {
    const r = await run('script', ['-qec', `${BIN} exec -- sh -c 'tty; exit 6'`, '/dev/null']);
    assert.equal(r.code, 6);
    assert.match(r.out, /\/dev\/pts\/0/);
    const inside = await exec(['--', 'script', '-qec', 'tty', '/tmp/t']);
    assert.match(inside.out, /\/dev\/pts\/\d/, inside.err);
  });
  test('output right before the end is not lost', async () => {
    for (let i = 0; i < 10; i++) {
      const o = await terminal([], [BIN, 'exec', '--', 'seq', '1', '2000']);
      assert(o.out.endsWith('1999\r\n2000\r\n'), o.out.slice(-100));
    }
  });
});

describe('--json', () => {
  const report = async (args, opts) => {
    const file = path.join(tempDir('exec'), 'report');
    const r = await exec(['--json', file, ...args], opts);
    return { ...r, report: JSON.parse(fs.readFileSync(file, 'utf8')) };
  };
  test('how it ended and what it used', async () => {
    const { report: r } = await report(['--', 'sh', '-c', 'exit 4']);
    assert.deepEqual(Object.keys(r), ['exit_code', 'duration_ms', 'usage', 'limits', 'denied']);
    assert.equal(r.exit_code, 4);
    assert(r.usage.peak_memory_bytes > 100000 && r.usage.cpu_user_us >= 0);
    assert.deepEqual([r.limits, r.denied], [[], { calls: [], network: [] }]);
    assert.equal((await report(['--', 'sh', '-c', 'kill -15 $$'])).report.signal, 15);
    assert.match((await report(['--', 'no-such-program'])).report.error, /^no-such-program: No such file/);
  });
  test('what was denied, with the same answers as without a report', async () => {
    const program = `
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, *a):
    r = what(*a); print(errno.errorcode.get(ctypes.get_errno(), "?") if r < 0 else r)
attempt(libc.unshare, 0x10000000); attempt(libc.unshare, 0x10000000)
attempt(libc.mount, b"x", b"/tmp", b"tmpfs", 0, None)
for family in (socket.AF_PACKET, 40):
    try: socket.socket(family, socket.SOCK_RAW)
    except OSError as e: print(errno.errorcode[e.errno])
for to in (("192.0.2.1", 443), ("192.0.2.1", 443), ("127.0.0.1", 9)):
    s = socket.socket()
    try: s.connect(to)
    except OSError as e: print(errno.errorcode[e.errno])
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
try: s.sendto(b"x", ("2001:db8::1", 53))
except OSError as e: print(errno.errorcode[e.errno])
`;
    const plain = await exec(['--', 'python3', '-c', program]);
    const seen = await report(['--', 'python3', '-c', program]);
    assert.equal(seen.out, plain.out, 'an observation changes nothing');
    assert.match(plain.out, /^EPERM\nEPERM\nEPERM\nEPERM\nEPERM\nENETUNREACH\nENETUNREACH\nECONNREFUSED\n/);
    assert.deepEqual(seen.report.denied, {
      calls: [{ call: 'unshare', count: 2 }, { call: 'mount', count: 1 }, { call: 'socket', count: 2 }],
      network: [{ address: '192.0.2.1:443', count: 2 }, { address: '[2001:db8::1]:53', count: 1 }],
    });
  });
  test('a limit that was hit', async () => {
    const memory = await report(['--memory', '64M', '--', 'python3', '-c', 'a = []\nwhile True: a.append(bytearray(1 << 20))']);
    assert.equal(memory.code, 137, memory.err);
    assert.match(memory.err, /sallyport exec: the (programs used more than the 64 MiB of memory|sandbox ran out of memory)/);
    assert.equal(memory.report.limits[0].limit, 'memory');
    assert(memory.report.usage.peak_memory_bytes > 32 << 20);
    const time = await report(['--timeout', '200ms', '--', 'sleep', '30']);
    assert.deepEqual([time.report.signal, time.report.limits], [9, [{ limit: 'timeout', text: "the program's time was over" }]]);
    const bomb = await report(['--processes', '40', '--timeout', '30s', '--', 'python3', '-c', 'import os, time\nwhile True:\n  try: os.fork()\n  except OSError: time.sleep(0.01)']);
    assert.deepEqual([bomb.code, bomb.report.limits[0].limit], [137, 'processes']);
  });
  test('- is standard error; a file that cannot be written is our failure', async () => {
    const r = await exec(['--json', '-', '--', 'sh', '-c', 'echo out; echo err >&2']);
    assert.equal(r.out, 'out\n');
    assert.equal(JSON.parse(r.err.split('\n')[1]).exit_code, 0);
    const missing = await report(['--workdir', '/no/such', '--', 'true']);
    assert.deepEqual([missing.code, missing.report.error], [125, '/no/such: No such file or directory']);
    const bad = await exec(['--json', '/no/such/dir/report', '--', 'sh', '-c', 'echo ran']);
    assert.equal(bad.out, '', 'not run');
    assert.equal(bad.code, 125);
    assert.match(bad.err, /^sallyport exec: --json \/no\/such\/dir\/report: No such file or directory\n$/);
  });
});

test('what another run has left on this machine is nothing for our reader', async (t) => {
  // The groups of a dead run that somebody is still in: every start tries to remove them, and cannot.
  const own = fs.readFileSync('/proc/self/cgroup', 'utf8').match(/^\d+:(?:\w+,)*memory(?:,\w+)*:(\/.*)$/m)?.[1];
  const dir = `/sys/fs/cgroup/memory${own}/sallyport-0123456789abcdef`;
  try { fs.mkdirSync(dir); } catch (e) { t.skip(`no group can be made: ${e.code}`); return; }
  const p = start('sleep', ['1000']);
  try {
    fs.writeFileSync(`${dir}/cgroup.procs`, `${p.pid}`);
    const r = await exec(['--', 'true']);
    assert.deepEqual([r.code, r.err], [0, '']);
  } finally {
    await end(p);
    await until('the group is gone', () => { try { fs.rmdirSync(dir); } catch (e) { if (e.code !== 'ENOENT') throw e; } return true; });
  }
});

test('completion knows its flags, and leaves the command to the shell', async () => {
  const dir = tempDir('exec');
  fs.symlinkSync(BIN, path.join(dir, 'sallyport'));
  const words = async (...w) => (await run('bash', ['-c', 'eval "$(sallyport completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _sallyport; echo "${COMPREPLY[*]}"', 'bash', 'sallyport', ...w], { env: { PATH: `${dir}:${process.env.PATH}` } })).out.trim().split(' ');
  assert.deepEqual(await words('ex'), ['exec']);
  assert.deepEqual(await words('exec', '--work'), ['--workdir', '--workspace-size']);
  assert.deepEqual(await words('exec', '--user', 'r'), ['root']);
  assert((await words('exec', '--user', 'root', '--', 'pytho')).some((w) => w.startsWith('python3')));
});
