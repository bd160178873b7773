// The escape suite, quotas: what the kernel has one count of, for the whole machine or for each of its users
// (docs/internals/quotas.md). A sandbox takes what it can get and holds it; meanwhile the machine's root, and the
// ordinary user whose the sandbox is, must still get one of the same.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { ms, run, until } from '../lib/own.mjs';
import { Bridge, isRoot, ORDINARY, Stage } from './no_way_out/drive.mjs';

const MIB = 1 << 20;
const LIMITS = { processes: 200, open_files: 8192, memory_bytes: 256 * MIB, tmp_bytes: 32 * MIB, workspace_bytes: 32 * MIB, output_bytes: 8 * MIB };
const number = (file) => Number(fs.readFileSync(`/proc/sys/${file}`, 'utf8').trim());
const fileMax = number('fs/file-max');

// kind; how often at most; what stops it, at the latest when; or the name of the limit in the sentence that ends it.
// `shared`: the most an ordinary user's sandbox gets, where that is less than what a uid of its own has.
const HELD = [
  ['aio', 64, { errno: ['ENOSYS'], most: 0 }],
  ['socket_filters', 4096, { errno: ['EPERM'], most: 0 }],
  ['inotify_instances', 100000, { errno: ['EMFILE'], most: number('user/max_inotify_instances'), shared: number('user/max_inotify_instances') / 4 }],
  ['inotify_watches', 2000000, { errno: ['ENOSPC', 'EMFILE'], most: number('user/max_inotify_watches'), shared: number('user/max_inotify_watches') / 4 }],
  ['mqueues', 5000, { errno: ['EACCES', 'EMFILE', 'ENOSPC', 'ENOMEM'], most: 256 }], // EACCES: Landlock knows no queues
  ['signals', 200000, { errno: ['EAGAIN'], most: 4096 }],
  ['timers', 200000, { errno: ['EAGAIN'], most: 4096 }],
  ['passed', 10000, { errno: ['ETOOMANYREFS', 'EMFILE'], most: 64, own: true }],
  ['ptys', 10000, { errno: ['ENOSPC', 'EIO', 'EMFILE'], most: 512 }],
];
const ENDED = [
  ['tcp', 4000, /memory/, { memory_bytes: 64 * MIB }],
  ['udp', 8000, /memory/, { memory_bytes: 64 * MIB }],
  ['orphans', 8000, /connections/],
  // By uid alone: as root that is the sandbox's own.
  ['passed', 10000, /descriptors on their way through sockets/, { user: true }],
  ['passed', '10000 hidden=1', /descriptors on their way through sockets/, { user: true }],
  ['pipes', 10000, /pipe buffers/, { user: true }],
  ['pipes', '10000 hidden=1', /pipe buffers/, { user: true }],
  // What it takes to use these up is kernel memory; not on a machine that has many.
  ...(number('fs/epoll/max_user_watches') < 2000000 ? [['epoll_watches', 10000000, /epoll watches/, { user: true }]] : []),
  ...(fileMax / 4 < 200 * 8192 ? [['files', 190, /files|memory/]] : []),
];

for (const { uid, user } of [...(isRoot ? [{ uid: 0, user: 'agent' }] : []), { uid: ORDINARY, user: 'root' }]) {
  describe(`no way out, quotas: worker uid ${uid}, inside is ${user}`, { concurrency: false }, () => {
    let stage, bridge;
    before(async () => {
      stage = await Stage.create(uid);
      bridge = await Bridge.start(stage, uid);
      await stage.ready();
    });
    after(async () => { await bridge?.stop().catch(() => {}); await stage?.stop(); });

    /** Outside, root and the user get one more of it. */
    const leftFor = async (kind) => {
      for (const who of [...(isRoot ? [0] : []), ORDINARY]) {
        const argv = ['prlimit', '--nofile=1024:1024', '--', stage.probes, 'bomb', kind, 'max=1', 'outside=1'];
        const [cmd, ...args] = isRoot && who ? ['setpriv', '--reuid', String(who), '--regid', String(who), '--clear-groups', '--', ...argv] : argv;
        const r = await run(cmd, args, { timeout: ms(10000), cwd: '/' });
        assert.match(r.out, /"reached":1,"stopped":"nothing"/, `outside, uid ${who} gets no ${kind} any more: ${r.out} ${r.err}`);
      }
    };
    const inSandbox = async (limits, attack) => {
      const box = await bridge.open({ user, binds: stage.binds(), limits: { ...LIMITS, ...limits } });
      try { await attack(box); } finally { await box.close(); }
    };

    for (const [kind, max, how] of HELD)
      if (!uid || !how.own) test(`held: ${kind}`, async (t) => {
        await leftFor(kind);
        await inSandbox({}, async (box) => {
          await box.sh(`/opt/probes/probes bomb ${kind} max=${max} hold=1 >/tmp/said 2>&1 &`);
          let said;
          await until('the bomb is stopped', async () => { said = (await box.sh('cat /tmp/said')).out.match(/^\{"bomb":.*\}$/m)?.[0]; return said; }, ms(30000));
          t.diagnostic(said);
          await leftFor(kind);
          const { reached, stopped } = JSON.parse(said);
          assert(how.errno.includes(stopped), `stopped by ${stopped} at ${reached}`);
          const most = uid && how.shared ? how.shared : how.most;
          assert(reached <= most, `stopped at ${reached}, later than ${most}`);
          await box.call('bash', { restart: true });
        });
      });

    for (const [kind, max, sentence, { user: shared, ...limits } = {}] of ENDED)
      if (uid || !shared) test(`ended: ${kind}${/hidden/.test(max) ? ', where nobody may look' : ''}`, async (t) => {
        await inSandbox(limits, async (box) => {
          const r = await box.sh(`/opt/probes/probes bomb ${kind} max=${max} hold=1`, 60000);
          t.diagnostic(r.out.slice(-200).replaceAll('\n', ' '));
          assert.equal(r.is_error, true);
          assert.match(r.out, sentence);
          if (kind !== 'files') await leftFor(kind);
          assert.match((await box.sh('echo $((40 + 2))')).out, /42$/, 'the sandbox works again');
        });
      });

    // As root each has uids of its own.
    if (uid) test('several sandboxes together leave half of it', async (t) => {
      const boxes = [];
      try {
        let taken = 0;
        for (let i = 0; i < 3; i++) {
          const box = await bridge.open({ user, binds: stage.binds(), limits: LIMITS });
          boxes.push(box);
          await box.sh('/opt/probes/probes bomb inotify_instances max=100000 hold=1 >/tmp/said 2>&1 &');
          await until('the bomb is stopped', async () => /stopped/.test((await box.sh('cat /tmp/said')).out), ms(30000));
          taken += JSON.parse((await box.sh('cat /tmp/said')).out.match(/^\{"bomb":.*\}$/m)[0]).reached;
        }
        t.diagnostic(`${taken} together`);
        assert(taken <= number('user/max_inotify_instances') / 2);
        await leftFor('inotify_instances');
      } finally { for (const b of boxes) await b.close(); }
    });
  });
}
