// The escape suite: attempts to get out of a sandbox, as the plain user and as "root" inside, with a
// worker that is root and one that is an ordinary user. tests/invariants/no_way_out/probes has the attempts
// made inside, one row each; here are what only the host can see, and the same probes without a sandbox
// (which must escape, or the suite could not fail), under bwrap and under crun (shown, not judged).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { alive, descendants, ms, repo, until } from '../lib/own.mjs';
import { Bridge, isRoot, listProbes, memoryHas, ORDINARY, probeBwrap, probeCrun, probeOurs, probeOutside, Stage, statusLine } from './no_way_out/drive.mjs';

const PROBES = listProbes();
// Verdicts that need no attempt: what this machine's roots and kernels may lack. Nothing else may be n/a.
const MAY_BE_ABSENT = { run_setuid: 'no setuid program in this root', int80: 'no second table on this machine', x32: 'no x32 on this machine', io_ports: 'no I/O ports on this machine' };
// What a run without a sandbox must report, or the probe could not fail: as an ordinary user of the host,
// and as that user's root in namespaces of its own.
const ESCAPES = {
  plain: ['bind_locks', 'bind_sockets', 'bind_datagrams', 'bind_pipes', 'ptrace_outsider', 'signal_outsider', 'process_groups', 'priority_outsider', 'prlimit_outsider', 'proc_only_ours', 'read_only_bind', 'links_out', 'no_host_paths', 'abstract_socket', 'unix_paths', 'host_listeners', 'ipc_of_host', 'no_sysfs', 'capabilities', 'open_devices', 'list_devices', 'inherited'],
  userns: ['mount_new', 'mount_bind', 'mount_move', 'mount_propagation', 'mount_remount', 'mount_kernel_fs', 'mount_flags', 'double_chroot', 'open_tree', 'fsopen', 'unshare', 'clone_namespaces', 'clone3_namespaces', 'clone3_plain', 'setns', 'setns_pidfd', 'ptrace_init', 'process_vm', 'pidfd_getfd', 'kcmp', 'memory_of_init', 'pidfd_namespaces', 'proc_init_files', 'sysctls', 'make_setuid', 'capabilities', 'raise_capabilities', 'no_sysfs', 'no_host_paths', 'open_devices', 'socket_families', 'netlink_families', 'io_uring', 'perf', 'userfaultfd', 'keyrings', 'fanotify', 'int80', 'personality', 'filter_stays', 'host_name', 'rare_calls', 'tiocsti', 'limits_set', 'locked_memory'],
};

const CONFIGS = [];
for (const host of isRoot ? ['root', 'ordinary'] : ['ordinary']) for (const user of ['agent', 'root']) CONFIGS.push({ host, user, uid: host === 'root' ? 0 : ORDINARY });

const NAMESPACES = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'];
const ours = {}; // results by configuration, for the table

// ---- attempts from inside, and what the host saw of them ----

for (const { host, user, uid } of CONFIGS) {
  describe(`no way out: worker is ${host}, inside is ${user}`, { concurrency: false }, () => {
    let stage, bridge, box, got, seen, mounts;
    const inits = [], groups = new Set();
    // Others mount things on this machine meanwhile; what is ours has our name in it.
    const mountsOfOurs = () => fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((l) => l.includes('sallyport') || l.includes(stage.dir));
    before(async () => {
      stage = await Stage.create(uid);
      await stage.reachable();
      bridge = await Bridge.start(stage, uid);
      mounts = [mountsOfOurs(), isRoot ? fs.readFileSync(`/proc/${bridge.zygote}/mountinfo`, 'utf8') : ''];
      await stage.ready();
      ({ box, byName: got } = await probeOurs(stage, bridge, user));
      ours[`${host} ${user}`] = got;
      seen = stage.look();
      inits.push(box.pid);
      for (const [g] of fs.readFileSync(`/proc/${box.pid}/cgroup`, 'utf8').matchAll(/sallyport-[0-9a-f]+/g)) groups.add(g);
    });
    after(async () => { await bridge?.stop().catch(() => {}); await stage?.stop(); });

    for (const p of PROBES.rows)
      test(`${p.name}: ${p.tried}`, (t) => {
        const r = got.get(p.name);
        assert(r, 'the probe has a row');
        if (r.verdict === 'n/a') { assert(r.got.includes(MAY_BE_ABSENT[p.name] ?? '\0'), `not on the list of what may be absent: ${r.got}`); return t.skip(r.got); }
        // "host": it worked in there; the checks of the host below decide, and are part of this row.
        if (r.verdict === 'host') { assert.equal(seen, stage.before, `changed on the host: ${r.got}`); assert.deepEqual(stage.hits, [], r.got); return; }
        assert.equal(r.verdict, 'held', `${r.class}. Tried: ${r.tried}. Got: ${r.got}`);
        assert(r.attempts > 0);
      });

    test('inside, one is who the specification says', async () => {
      assert.equal((await box.sh('echo $(id -u) $(id -g) $(id -un)')).out, user === 'root' ? '0 0 root' : '1000 1000 agent');
    });

    test('the host: files, settings and the process next door are as before', () => { assert.equal(seen, stage.before); });

    test('the host: nobody has come to its listeners', async () => {
      assert.deepEqual(stage.hits, []);
      assert.equal(stage.piped(), 0, 'nobody has written into the pipe');
      await stage.reachable();
    });

    test('the host: every process of the sandbox has the uid it should, no capability, the filter', async () => {
      await box.sh('(sleep 300 &) ; true');
      const pids = [box.pid, ...descendants(box.pid)];
      assert(pids.length >= 3, `init, bash, sleep: ${pids}`);
      for (const pid of pids) {
        const uids = statusLine(pid, 'Uid').split('\t').map(Number);
        assert.equal(new Set(uids).size, 1);
        if (host === 'root') assert(uids[0] >= 30000 && uids[0] !== ORDINARY, `uid ${uids[0]} on the host`);
        else assert.equal(uids[0], uid);
        for (const k of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.equal(statusLine(pid, k), '0000000000000000', k);
        assert.equal(statusLine(pid, 'NoNewPrivs'), '1');
        assert.equal(statusLine(pid, 'Seccomp'), '2');
      }
    });

    test('the host: every program of the sandbox is in a cgroup made for it', { skip: host !== 'root' && 'an ordinary user has none here' }, async () => {
      await box.sh('(sleep 300 &) ; true');
      const mine = new Set(fs.readFileSync(`/proc/${bridge.zygote}/cgroup`, 'utf8').split('\n').filter(Boolean));
      const controllers = /^\d+:(memory|pids|cpu|):/;
      // Init stays outside: it must get the processor when the programs have used up theirs.
      for (const pid of descendants(box.pid)) {
        const lines = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').filter((l) => controllers.test(l) && !mine.has(l));
        assert(lines.some((l) => /sallyport/.test(l)), `process ${pid} (${statusLine(pid, 'Name')}) is only where the zygote is: ${[...mine].join(' ')}`);
      }
    });

    test('the host: two sandboxes have two uids (root) and different namespaces', { skip: !isRoot && 'only root may read them' }, async () => {
      const other = await bridge.open({ user });
      const all = [box.pid, other.pid, process.pid].map((p) => NAMESPACES.map((n) => fs.readlinkSync(`/proc/${p}/ns/${n}`)));
      for (let i = 0; i < NAMESPACES.length; i++) assert.equal(new Set(all.map((a) => a[i])).size, 3, `${NAMESPACES[i]}: ${all.map((a) => a[i])}`);
      if (host === 'root') assert.notEqual(statusLine(box.pid, 'Uid'), statusLine(other.pid, 'Uid'));
      await other.close();
    });

    test('the host: descriptors of init and bash are those meant', { skip: !isRoot && 'only root may read them' }, async () => {
      // The name of a device, a directory or a file says little from out here; what it is does.
      const look = (pid) => fs.readdirSync(`/proc/${pid}/fd`).sort((x, y) => x - y).flatMap((n) => {
        try {
          const st = fs.statSync(`/proc/${pid}/fd/${n}`), name = fs.readlinkSync(`/proc/${pid}/fd/${n}`);
          const flags = parseInt(fs.readFileSync(`/proc/${pid}/fdinfo/${n}`, 'utf8').match(/^flags:\s*(\d+)/m)[1], 8);
          const kind = st.isCharacterDevice() ? `device ${st.rdev >> 8}:${st.rdev & 255}` : st.isFIFO() ? 'pipe' : st.isSocket() ? 'socket' : name.startsWith('anon_inode:') ? name.replace(/[[\]]/g, '') : `${st.isDirectory() ? 'directory' : 'file'} ${name}`;
          return [{ n: Number(n), kind, reads: (flags & 3) === 0 }];
        } catch (e) { if (e.code !== 'ENOENT') throw e; return []; }   // closed while we looked
      });
      // What is held, not what is looked at for a moment: without a cgroup init counts its processes in its /proc twice a second.
      const fds = async (pid) => {
        let held = look(pid);
        for (let i = 0; i < 4; i++) { await new Promise((ok) => setTimeout(ok, 30)); const now = look(pid).map((f) => `${f.n} ${f.kind}`); held = held.filter((f) => now.includes(`${f.n} ${f.kind}`)); }
        return held;
      };
      const init = await fds(box.pid);
      assert.deepEqual(init.slice(0, 3).map((f) => f.kind), Array(3).fill('device 1:3'), '0, 1, 2 are /dev/null');
      assert.equal(init.filter((f) => f.kind === 'socket').length, 1, 'one socket, the channel');
      for (const f of init) {
        if (/^file \/sys\/fs\/cgroup\/.*\/memory\.(oom_control|events|stat)$/.test(f.kind)) assert(f.reads, `${f.kind} only for reading`);
        else if (/^file \/sys\/fs\/cgroup\/.*\/sallyport-[0-9a-f]{16}\/\d+\/(tasks|cgroup\.procs)$/.test(f.kind)) assert(!f.reads, `${f.kind} only for writing: init sends its children in`);
        else assert.match(f.kind, /^(device 1:3|socket|pipe|anon_inode:(signalfd|timerfd|eventpoll|pidfd)|directory \/tmp\/\.sallyport)$/, `init has ${f.n}: ${f.kind}`);
      }
      const shells = descendants(box.pid).filter((p) => fs.readFileSync(`/proc/${p}/comm`, 'utf8').trim() === 'bash');
      assert(shells.length > 0);
      for (const pid of shells) for (const f of await fds(pid)) assert.match(f.kind, /^(pipe|device 1:3)$/, `bash has ${f.n}: ${f.kind}`);
    });

    test('the host: no marker of the worker in environment or memory of zygote and init', { skip: !isRoot && 'only root may read them' }, () => {
      assert(memoryHas(bridge.p.pid, stage.marker), 'the worker does have it, or the rest would say nothing');
      for (const pid of [bridge.zygote, box.pid, ...descendants(box.pid)]) {
        const e = fs.readFileSync(`/proc/${pid}/environ`, 'utf8');
        assert(!/MARK|ANTHROPIC|SALLYPORT/.test(e), `environment of ${pid}: ${e.slice(0, 200)}`);
        assert(!memoryHas(pid, stage.marker), `memory of ${pid} (${fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`);
      }
      assert.match(fs.readlinkSync(`/proc/${bridge.zygote}/exe`), /memfd/, 'the zygote runs from a sealed copy');
    });

    test('kill -9 -1 inside ends what is inside, and nothing else', async () => {
      const r = await box.sh('kill -9 -1; kill -9 0');
      assert(r.is_error, r.out);
      assert.match(r.out, /shell/);
      assert.equal((await box.sh('echo back')).out, 'back');
      assert.equal(stage.look(), stage.before);
    });

    test('daemons do not outlive a call that is cancelled, nor their sandbox', async () => {
      const daemon = 'setsid -f sh -c "setsid -f sleep 301 </dev/null >/dev/null 2>&1"';
      const { id, result } = box.begin('bash', { command: `${daemon}; echo up; sleep 60` });
      const sleepers = () => descendants(bridge.zygote).filter((p) => { try { return fs.readFileSync(`/proc/${p}/cmdline`, 'utf8') === 'sleep\x00301\x00'; } catch { return false; } });
      await until('the daemon', () => sleepers().length === 1);
      box.send({ op: 'cancel', id });
      assert.equal((await result).is_error, true);
      assert.deepEqual(sleepers(), [], 'ended by the time the answer is here');
      await box.sh(daemon);
      await until('another daemon', () => sleepers().length === 1);
      const [pid] = sleepers();
      await box.close();
      await until('its end', () => !alive(pid));
    });

    test('afterwards nothing is left: processes, mounts, cgroups, files', async () => {
      await until('the end of all', () => descendants(bridge.zygote).length === 0);
      if (isRoot) assert.equal(fs.readFileSync(`/proc/${bridge.zygote}/mountinfo`, 'utf8'), mounts[1], 'mounts of the template');
      assert.deepEqual(mountsOfOurs(), mounts[0], 'mounts of the host');
      const zygote = bridge.zygote;
      assert.equal((await bridge.stop()).code, 0);
      assert(!alive(zygote));
      for (const pid of inits) assert(!alive(pid));
      assert.equal(stage.look(), stage.before);
      const left = [...groups].flatMap((g) => spawnSync('find', ['/sys/fs/cgroup', '-maxdepth', '8', '-name', g], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean));
      assert.deepEqual(left, [], 'cgroups of this zygote');
      assert.deepEqual(fs.readdirSync(path.join(stage.outer)).sort(), ['sub']);
    });
  });
}

// ---- the suite can fail ----

describe('without a sandbox the probes do get out', { concurrency: false }, () => {
  let stage;
  before(async () => { stage = await Stage.create(ORDINARY, { deaf: true }); await stage.ready(); });
  after(async () => { await stage?.stop(); });
  for (const kind of Object.keys(ESCAPES))
    for (const name of ESCAPES[kind])
      test(`${kind}: ${name}`, async (t) => {
        const r = await probeOutside(stage, kind, name);
        assert.equal(r.name, name);
        if (r.verdict === 'n/a' && r.got.includes(MAY_BE_ABSENT[name] ?? '\0')) return t.skip(r.got);
        assert.equal(r.verdict, 'ESCAPED', r.got);
      });
});

// ---- the same under other engines ----

describe('other engines, for comparison', { concurrency: false }, () => {
  test('bwrap and crun run the same probes; the table is written', { timeout: ms(120000) }, async (t) => {
    const columns = [];
    for (const [name, uid, engine] of [['bwrap, root', 0, probeBwrap], ['bwrap, ordinary user', ORDINARY, probeBwrap], ['crun, root', 0, probeCrun]]) {
      if (!isRoot && uid === 0) continue;
      const stage = await Stage.create(uid, { deaf: true });
      try {
        await stage.ready();
        const r = await engine(stage, uid);
        if (r) columns.push({ name: `${name} (${r.version})`, byName: r.byName }); else t.diagnostic(`${name}: not here`);
      } finally { await stage.stop(); }
    }
    assert(columns.length > 0, 'neither bwrap nor crun is here; run tools/deps check');
    for (const [name, byName] of Object.entries(ours)) columns.unshift({ name: `sallyport (worker ${name.replace(' ', ', inside ')})`, byName });
    const lines = [`| probe | ${columns.map((c) => c.name).join(' | ')} |`, `|---|${columns.map(() => '---').join('|')}|`];
    for (const p of PROBES.rows) lines.push(`| ${p.name} | ${columns.map((c) => c.byName.get(p.name)?.verdict ?? 'no row').join(' | ')} |`);
    const counts = columns.map((c) => { const n = {}; for (const r of c.byName.values()) n[r.verdict] = (n[r.verdict] ?? 0) + 1; return Object.entries(n).map(([k, v]) => `${v} ${k}`).join(', '); });
    lines.push(`| all | ${counts.join(' | ')} |`);
    const words = ['# The probes of the escape suite under three engines', '', 'Written by tests/invariants/no_way_out.test.mjs. Only the columns of sallyport are judged. "unable": the attempt met an',
      'error that is no refusal. "host": it worked inside, and the host was unharmed. Plain bwrap has no filter and asks its caller for one.', '', ...lines, ''];
    fs.mkdirSync(path.join(repo, 'build/check'), { recursive: true });
    fs.writeFileSync(path.join(repo, 'build/check/no_way_out.md'), words.join('\n'));
    fs.writeFileSync(path.join(repo, 'build/check/no_way_out.json'), JSON.stringify(columns.map((c) => ({ where: c.name, rows: [...c.byName.values()] })), null, 1));
    console.log(lines.join('\n'));
    for (const c of columns) assert.equal(c.byName.size, PROBES.rows.length, `${c.name} ran every probe`);
  });
});

// ---- the list in the documentation ----

test('docs/internals/no-way-out.md is what the program lists', () => {
  const doc = fs.readFileSync(path.join(repo, 'docs/internals/no-way-out.md'), 'utf8');
  const want = PROBES.rows.map((p) => `| \`${p.name}\` | ${p.class} | ${p.tried} | ${p.holds} |`);
  const have = doc.split('\n').filter((l) => l.startsWith('| `'));
  assert.deepEqual(have.filter((l) => PROBES.byName.has(l.split('`')[1])), want, 'regenerate: build/tests/invariants/no_way_out/probes --list');
  assert(PROBES.rows.length >= 60);
  assert.equal(PROBES.byName.size, PROBES.rows.length, 'names are unique');
});
