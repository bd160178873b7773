// The escape suite, resources: programs that take of one thing until something stops them. Each must be
// stopped by a limit or ended with a plain sentence, while a second sandbox goes on answering and the
// first one works again afterwards. The worker is root (where we are) with "agent" inside, and an ordinary
// user with "root" inside.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { alive, descendants, ms, until } from '../lib/own.mjs';
import { Bridge, isRoot, ORDINARY, Stage } from './no_way_out/drive.mjs';

const MIB = 1 << 20;
const LIMITS = { processes: 200, open_files: 1024, memory_bytes: 128 * MIB, tmp_bytes: 32 * MIB, workspace_bytes: 32 * MIB, output_bytes: 8 * MIB };
// All memory a sandbox of these limits may take: programs', /tmp's, /workspace's, /dev/shm's, and some.
const ALL_MIB = 128 + 32 + 32 + 64 + 128; // 64: kernel memory for files; 128: slack

// kind, ceiling, how it must be stopped: an errno (and at most how many), or a sentence of the call.
// `killed`: it may be ended from outside instead, alone or with its call; `whole`: with the sandbox, because
// what it took belongs to no process. `once`: not again for the second user.
const BOMBS = [
  ['processes', 2000, { errno: ['EAGAIN'], most: 200 }],
  ['zombies', 2000, { errno: ['EAGAIN'], most: 200 }],
  ['threads', 2000, { errno: ['EAGAIN'], most: 200 }],
  ['memory', 4000, { killed: true }],
  ['memfd', 2 * ALL_MIB, { killed: true, whole: true, errno: ['ENOSPC', 'ENOMEM', 'EFBIG', 'EPERM'], most: ALL_MIB }],
  ['shm', 2 * ALL_MIB, { killed: true, whole: true, errno: ['ENOSPC', 'ENOMEM', 'EPERM'], most: ALL_MIB }],
  ['messages', 2 * ALL_MIB, { killed: true, whole: true, errno: ['ENOSPC', 'ENOMEM', 'EAGAIN', 'EPERM'], most: 512 }], // as much as the kernel gives one ipc namespace
  ['semaphores', 2 * ALL_MIB, { killed: true, whole: true, errno: ['ENOSPC', 'ENOMEM', 'EPERM'], most: ALL_MIB }],
  ['mqueues', 5000, { errno: ['EMFILE', 'ENOSPC', 'ENOMEM', 'EACCES'], most: 256 }],
  ['tmp', 2000, { errno: ['ENOSPC'], most: 32 }],
  ['workspace', 2000, { errno: ['ENOSPC'], most: 32 }],
  ['dev_shm', 2000, { errno: ['ENOSPC'], most: 64 }],
  ['inodes', 600000, { killed: true, whole: true, errno: ['ENOSPC'], most: 300000, once: true }],
  ['sparse', 2000, { errno: ['ENOSPC', 'EFBIG'], most: 32 }],
  ['descriptors', 100000, { errno: ['EMFILE'], most: 1024 }],
  ['ptys', 1000, { errno: ['ENOSPC', 'EIO', 'EMFILE'], most: 512 }, { open_files: 8192 }],
  ['sockets', 100000, { killed: true, errno: ['EMFILE', 'ENOMEM', 'ENOBUFS'], most: 1024 }],
  ['pipes', 100000, { killed: true, errno: ['EMFILE', 'ENFILE', 'ENOMEM'], most: 1024 }],
  ['signals', 200000, { errno: ['EAGAIN'], most: 8192 }],
  ['argv', 20, { errno: ['E2BIG'], most: 20 }],
  ['output', 1024, { killed: true, sentence: /output|printed/ }],
  ['depth', 4000, { all: true }],
];

for (const { uid, user } of [...(isRoot ? [{ uid: 0, user: 'agent' }] : []), { uid: ORDINARY, user: 'root' }]) {
  describe(`no way out, resources: worker uid ${uid}, inside is ${user}`, { concurrency: false }, () => {
    let stage, bridge, witness;
    before(async () => {
      stage = await Stage.create(uid);
      bridge = await Bridge.start(stage, uid);
      await stage.ready();
      witness = await bridge.open({ user });
    });
    after(async () => { await bridge?.stop().catch(() => {}); await stage?.stop(); });

    /** A sandbox, what is done in it while the other one has to answer, and its end. */
    const sandbox = async (spec, attack) => {
      const box = await bridge.open({ user, limits: LIMITS, ...spec });
      try { await beside(() => attack(box)); } finally { await box.close(); }
      assert(!alive(box.pid));
    };
    /** Runs `attack` while the other sandbox has to answer; how long its slowest answer took. */
    const beside = async (attack) => {
      let over = false, slowest = 0, n = 0;
      const watch = (async () => {
        while (!over) {
          const t = Date.now();
          const r = await witness.sh(`echo witness ${++n}`);
          assert.equal(r.out, `witness ${n}`, 'the second sandbox is unharmed');
          slowest = Math.max(slowest, Date.now() - t);
          await new Promise((r2) => setTimeout(r2, 20));
        }
      })();
      try { await attack(); } finally { over = true; await watch; }
      assert(n > 0);
      assert(slowest < ms(15000), `the second sandbox took ${slowest} ms to answer`);
    };
    const revived = async (box) => {
      const r = await box.sh('echo $((40 + 2))');
      if (r.is_error) assert.match((await box.call('bash', { restart: true })).out, /restarted/);
      assert.match((await box.sh('echo $((40 + 2))')).out, /42$/, 'the sandbox works again');
    };
    const words = (r) => assert.match(r.out, /bash: [a-z].*\b(was|were|ended|used|more|filled|stopped|killed)\b/, `a plain sentence: ${r.out.slice(-300)}`);

    for (const [kind, max, how, limits] of BOMBS) {
      if (how.once && isRoot && uid) continue; // slow, and the same file system as for root
      // What a memfd holds belongs to no process, so only a cgroup can count it; docs/internals/sandbox.md says so.
      const unlimited = uid !== 0 && kind === 'memfd' ? 'without a cgroup nothing limits what memfds hold' : undefined;
      test(`bomb: ${kind}`, { todo: unlimited }, async (t) => {
        await sandbox({ binds: stage.binds(), limits: { ...LIMITS, ...limits } }, async (box) => {
          const ended = (e) => { assert(how.whole && /the sandbox ended/.test(e.message), e.message); t.diagnostic('the sandbox was ended'); };
          let r;
          try { r = await box.sh(`/opt/probes/probes bomb ${kind} max=${max}; echo "code $?"`, 60000); } catch (e) {
            // What lies in the ipc namespace or in files goes with the sandbox only: the kernel may have to end it.
            ended(e);
            return;
          }
          const said = r.out.match(/^\{"bomb":.*\}$/m);
          t.diagnostic((said?.[0] ?? r.out.slice(-200)).replaceAll('\n', ' '));
          if (said) {
            const { reached, stopped } = JSON.parse(said[0]);
            if (how.all) assert.equal(stopped, 'nothing');
            else {
              assert(how.errno?.includes(stopped), `stopped by ${stopped} at ${reached}`);
              assert(reached <= how.most, `stopped at ${reached}, later than ${how.most}`);
            }
          } else {
            assert(how.killed, `ended: ${r.out.slice(-400)}`);
            // The bomb alone may have been taken (its code is then 137), or the call.
            if (!/code 137/.test(r.out)) { assert(r.is_error); words(r); }
            if (how.sentence) assert.match(r.out, how.sentence);
          }
          if (kind === 'depth') {
            assert.equal((await box.call('glob', { pattern: '**/nothing', path: '/tmp' })).out.length > 0, true);
            await box.call('grep', { pattern: 'x', path: '/tmp' });
          }
          try { await revived(box); } catch (e) { ended(e); }
        });
      });
    }

    test('fork bomb of the classic kind', async () => {
      let below;
      await sandbox({}, async (box) => {
        const r = await box.call('bash', { command: ':(){ :|:& :; }; :', timeout_ms: ms(4000) }, 60000);
        assert.equal(r.is_error, true);
        words(r);
        await revived(box);
        below = descendants(box.pid);
      });
      await until('the end of all of them', () => below.every((p) => !alive(p)));
    });

    test('a fork bomb that goes on in the background is ended before the next result', async () => {
      await sandbox({}, async (box) => {
        await box.sh('(f(){ f|f& f; }; f) >/dev/null 2>&1 & sleep 0.3; echo left');
        await until('a result again', async () => { const r = await box.call('bash', { restart: true }); return !r.is_error; }, ms(30000));
        assert.match((await box.sh('echo on')).out, /on$/);
      });
    });

    test('a memory bomb of many processes', async () => {
      await sandbox({ binds: stage.binds() }, async (box) => {
        const r = await box.call('bash', { command: 'for i in $(seq 40); do /opt/probes/probes bomb memory max=64 & done; wait; echo "code $?"', timeout_ms: ms(20000) }, 60000);
        if (r.is_error) words(r);
        else assert(!/"reached":64,"stopped":"nothing"/.test(r.out) || (r.out.match(/"stopped":"nothing"/g) ?? []).length <= 8, r.out);
        await revived(box);
      });
    });

    test('one call that never ends has its time', async () => {
      await sandbox({}, async (box) => {
        const r = await box.call('bash', { command: 'trap "" TERM INT HUP; while :; do :; done', timeout_ms: 500 });
        assert.equal(r.is_error, true);
        assert.match(r.out, /time|ms/);
        await revived(box);
      });
    });

    test('the host has what it had: processes, files, the victim', async () => {
      await witness.close();
      await until('no process left', () => descendants(bridge.zygote).length === 0);
      assert.equal(stage.look(), stage.before);
      const shm = fs.readFileSync('/proc/sysvipc/shm', 'utf8').split('\n').filter((l) => l.trim()).length;
      assert(shm < 100);
      assert.equal((await bridge.stop()).code, 0);
    });
  });
}
