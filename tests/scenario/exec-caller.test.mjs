// sallyport exec beside its caller: what a program inherits through it, what stays as it was outside, and that
// whoever tells it to end sees it end. As the user of this run, and as an ordinary one when that is root.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, run, start, tempDir } from '../lib/own.mjs';

const ROOT = process.getuid() === 0;
const USER = ['setpriv', '--reuid', '4711', '--regid', '4711', '--clear-groups'];
const whoever = ROOT ? { root: [], 'an ordinary user': USER } : { 'this user': [] };

/** A script of bash, in which "$0" is the program and $D a directory of its own. */
const by = (who) => (script, { env, ...opts } = {}) => {
  const dir = tempDir('caller');
  if (who.length) fs.chownSync(dir, 4711, 4711);
  const argv = [...who, 'bash', '-c', script, BIN];
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
    const exec = (args) => start([...who, BIN][0], [...who, BIN, 'exec', ...args].slice(1));
    for (const signal of ['HUP', 'INT', 'QUIT', 'TERM'])
      test(`${signal} that the caller ignores is nothing`, async () => {
        const p = start([...who, 'bash'][0], [...who, 'bash', '-c', `trap '' ${signal}; exec "$0" exec --grace 0 -- python3 -uc "$1"`, BIN, 'import signal\nsignal.signal(signal.SIGUSR1, lambda *a: print("still here"))\nprint("ready")\nwhile True: signal.pause()'].slice(1));
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
}
