// `sallyport doctor` on machines that lack something. Nothing is mocked: each test takes the thing away from the
// process, by a system call filter (tests/lib/deny.c), by limits of a user namespace, by covering or unmounting
// parts of /proc and /sys in a mount namespace, by running as somebody else; then asks what is said about it, what
// is lost, and what is to be done. What cannot be made here (AppArmor, other distributions) is in
// tests/unit/cmd/doctor/test_doctor.c.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, end, forEverybody, ms, run, start, tempDir, until, within } from '../lib/own.mjs';

const DENY = path.join(path.dirname(BIN), 'tests', 'lib', 'deny');
const isRoot = process.getuid() === 0;
const asRoot = { skip: isRoot ? false : 'needs root' };
const env = { ANTHROPIC_API_KEY: 'not-a-key' };

const home = tempDir('doctor');   // a data directory that never exists lies in here
fs.chmodSync(home, 0o755);
const ARGS = ['doctor', '--data', path.join(home, 'none')];

const USER = ['setpriv', '--reuid', '4711', '--regid', '4711', '--clear-groups'];

const command = (prefix) => [...prefix, prefix.includes(USER[0]) ? forEverybody(BIN) : BIN, ...ARGS, '--json'];

/** Runs doctor --json behind `prefix`; what it found, by id. */
async function doctor(...prefix) {
  const [cmd, ...args] = command(prefix);
  return found(await run(cmd, args, { env, timeout: ms(60000) }));
}

/** The same in a user namespace with `count` uids, after `script` was run there as its root. */
async function inNamespace(count, script, ...prefix) {
  // The second shell is executed as root of the namespace, which the first is not before the maps are written.
  const p = start('unshare', ['-U', 'sh', '-c', 'read go; exec "$@"', 'sh', ...sh(script), ...command(prefix)], { env, stdin: 'pipe' });
  try {
    const ours = fs.readlinkSync('/proc/self/ns/user');
    await until('the namespace', () => fs.readlinkSync(`/proc/${p.pid}/ns/user`) !== ours);
    for (const map of ['uid_map', 'gid_map']) fs.writeFileSync(`/proc/${p.pid}/${map}`, `0 0 ${count}\n`);
    p.child.stdin.end('\n');
    await within(p.exit, ms(60000), 'doctor');
    return found({ code: p.code, out: p.out, err: p.err, timedOut: false });
  } finally { await end(p); }
}

function found(r) {
  assert(!r.timedOut, `it ended by itself\n${r.out}${r.err}`);
  let o;
  try { o = JSON.parse(r.out); } catch { assert.fail(`no JSON (code ${r.code}):\n${r.out}\n${r.err}`); }
  assert.equal(r.err, '', 'nothing on standard error');
  const by = Object.fromEntries(o.checks.map((c) => [c.id, c]));
  assert.equal(Object.keys(by).length, o.checks.length, 'ids are unique');
  for (const c of o.checks) {
    assert.deepEqual(Object.keys(c), ['id', 'group', 'title', 'verdict', 'text', 'lost', 'fix']);
    assert.match(c.verdict, /^(ok|note|fail|untried)$/);
    assert(c.text.length > 0, c.id);
    if (c.verdict === 'note' || c.verdict === 'fail') assert(c.lost && c.fix, `${c.id} says what is lost and how to mend it: ${JSON.stringify(c)}`);
    else assert(!c.lost && !c.fix, `${c.id} is ${c.verdict}, nothing is lost`);
  }
  const count = (v) => o.checks.filter((c) => c.verdict === v).length;
  assert.equal(o.notes, count('note'));
  assert.equal(o.failed, count('fail'));
  assert.equal(r.code, o.sandbox_works && o.failed === 0 ? 0 : 1, `exit status\n${r.out}`);
  return { ...r, ...o, by };
}

function says(d, id, verdict, { text, lost, fix }) {
  const c = d.by[id];
  assert(c, `there is a check ${id}`);
  assert.equal(c.verdict, verdict, JSON.stringify(c));
  if (text) assert.match(c.text, text);
  if (lost) assert.match(c.lost, lost);
  if (fix) assert.match(c.fix, fix);
}

const deny = (...rules) => [DENY, ...rules, '--'];
const sh = (script) => ['sh', '-ec', `${script}; exec "$@"`, 'sh'];
// Mounts of a namespace of its own; changes do not reach the host.
const mounts = (script) => ['unshare', '-m', '--propagation', 'private', ...sh(script)];
// Root of a user namespace with one uid.
const oneUid = (script) => ['unshare', '-U', '-r', ...sh(script)];

const SANDBOX_NEEDS = ['openat2', 'clone3', 'close_range', 'pidfd_open', 'mount_calls', 'userns', 'ns_mnt', 'ns_pid', 'ns_net', 'ns_ipc',
  'ns_uts', 'ns_cgroup', 'proc', 'tmpfs', 'bind', 'devpts', 'seccomp', 'seccomp_notify', 'uids'];
const ALWAYS = [...SANDBOX_NEEDS, 'ns_time', 'overlay', 'idmap', 'landlock', 'cgroup_memory', 'cgroup_cpu', 'cgroup_pids',
  'nofile', 'nproc', 'memlock', 'memory', 'shm', 'state', 'kernel', 'libcurl', 'data', 'model_key', 'server', 'sandbox'];

describe('a machine that has everything sandboxes need', () => {
  test('all of it is found, and the last line says so', async () => {
    const d = await doctor();
    for (const id of ALWAYS) assert(d.by[id], `there is a check ${id}`);
    for (const id of SANDBOX_NEEDS) assert.equal(d.by[id].verdict, 'ok', JSON.stringify(d.by[id]));
    assert.equal(d.by.sandbox.verdict, 'ok');
    assert.match(d.by.sandbox.text, /ran a command/);
    assert.equal(d.sandbox_works, true);
    assert.match(d.summary, /^A sandbox works here/);
    assert.equal(d.code, 0);
  });

  test('as an ordinary user', asRoot, async () => {
    const d = await doctor(...USER);
    assert.equal(d.code, 0, d.out);
    assert(!d.by.root_mounts, 'root\'s rights are no matter');
    says(d, 'uids', 'ok', { text: /ordinary user/ });
    says(d, 'idmap', 'ok', { text: /not needed by an ordinary user/ });
    for (const [id, lost] of [['cgroup_memory', /overshoot/], ['cgroup_cpu', /every core/], ['cgroup_pids', /RLIMIT_NPROC/]])
      if (d.by[id].verdict !== 'ok') says(d, id, 'note', { text: /Permission denied|does not have|no control groups/, lost, fix: /sudo |systemd-run --user|systemctl edit/ });
  });

  test('for a person: 80 columns, no escape sequence in a pipe, the sum on the last line', async () => {
    const r = await run(BIN, ARGS, { env, timeout: ms(60000) });
    assert.equal(r.code, 0, r.out);
    assert(!r.out.includes('\x1b'), 'no colours in a pipe');
    const lines = r.out.trimEnd().split('\n');
    // Names of the machine (a control group's path) may be longer than half a line, and are not broken.
    for (const l of lines) assert(l.length <= 80 || l.split(/\s+/).some((w) => w.length > 40), `longer than 80: ${l}`);
    assert.match(lines.at(-1), /^A sandbox works here(; \d+ notes?)?\.$/);
    for (const l of lines.filter((x) => x && !/^ /.test(x)).slice(0, -1)) assert.match(l, /^[A-Z][a-z ]+$/, 'a heading');
  });

  test('colours on a terminal, none with NO_COLOR', async () => {
    const command = [BIN, ...ARGS].join(' ');
    const on = await run('script', ['-qec', command, '/dev/null'], { env: { ...env, TERM: 'xterm' }, timeout: ms(60000) });
    assert.match(on.out, /\x1b\[\d*m *ok/, on.out);
    const off = await run('script', ['-qec', command, '/dev/null'], { env: { ...env, TERM: 'xterm', NO_COLOR: '1' }, timeout: ms(60000) });
    assert(off.out.includes('real start') && !off.out.includes('\x1b['), off.out);
  });

  test('nothing is left behind', asRoot, async () => {
    const script = `mount -t tmpfs none /tmp; before=$(cat /proc/self/mountinfo)
      "$@" >/dev/null & p=$!; wait $p
      test "$before" = "$(cat /proc/self/mountinfo)" && echo mounts are as before
      echo "in /tmp: $(find /tmp -name "*sallyport*" -o -type f)"; echo "groups: $(find /sys/fs/cgroup -name "sallyport-doctor-$p")"`;
    const r = await run('unshare', ['-m', '--propagation', 'private', 'sh', '-c', script, 'sh', BIN, ...ARGS], { env, timeout: ms(60000) });
    assert.equal(r.out, 'mounts are as before\nin /tmp: \ngroups: \n', r.err);
    assert(!fs.existsSync(path.join(home, 'none')), 'the data directory was only looked at');
  });

  test('--help tells what it does and its exit status', async () => {
    const r = await run(BIN, ['doctor', '--help'], {});
    assert.equal(r.code, 0);
    assert.match(r.out, /Nothing on the machine is changed/);
    assert.match(r.out, /Exit status: 0 .*; 1 /);
    assert.match(r.out, /--json/);
    for (const l of r.out.split('\n')) assert(l.length <= 100, l);
  });
});

describe('a system call is missing or forbidden', () => {
  const FILTER_FIX = /seccomp=unconfined|seccompProfile|SYSTEMD_SECCOMP|nesting/;

  for (const [call, id, lost, optional] of [
    ['openat2', 'openat2', /links lead nowhere else/],
    ['clone3', 'clone3', /the call that makes one/],
    ['close_range', 'close_range', /descriptors could leak/],
    ['pidfd_open', 'pidfd_open', /numbers may be given to others/, true],
    ['open_tree', 'mount_calls', /mounted by descriptor/],
  ])
    for (const error of ['enosys', 'eperm'])
      test(`${call}: ${error}`, async () => {
        const d = await doctor(...deny(`${error}=${call}`));
        // What the engine turns out to do without is a note: the real start is the better witness.
        if (!optional) assert.equal(d.sandbox_works, false);
        says(d, id, d.sandbox_works ? 'note' : 'fail', { text: new RegExp(`${call}: ${error === 'enosys' ? 'Function not implemented' : 'Operation not permitted'}; this process is under a system call filter`), lost, fix: FILTER_FIX });
        if (!d.sandbox_works) says(d, 'sandbox', 'fail', { text: /\w+ \w+/, fix: /see ".+" above/ });
      });

  test('a filter that kills is reported, not suffered', async () => {
    const d = await doctor(...deny('kill=landlock_create_ruleset'));
    says(d, 'landlock', 'note', { text: /killed by signal 31/, fix: FILTER_FIX });
  });

  for (const [who, prefix] of [['root', []], ['an ordinary user', USER]])
    test(`unshare is forbidden, as ${who}`, asRoot, async () => {
      const d = await doctor(...prefix, forEverybody(DENY), 'eperm=unshare', '--');
      says(d, 'userns', 'fail', { text: /unshare\(CLONE_NEWUSER\): Operation not permitted; a system call filter/, lost: /neither as root nor as an ordinary user/, fix: FILTER_FIX });
      if (!prefix.length) says(d, 'root_mounts', 'fail', { text: /CAP_SYS_ADMIN/, lost: /template/, fix: /ordinary user[^]*--cap-add=SYS_ADMIN/ });
      for (const id of ['ns_net', 'ns_time', 'proc', 'tmpfs', 'overlay', 'bind']) assert.equal(d.by[id].verdict, 'untried', 'neither good nor bad is known of it');
      assert.match(d.by.proc.text, /takes a user namespace/);
      says(d, 'sandbox', 'fail', { text: /Operation not permitted|a system call filter refuses user namespaces/, lost: /cannot run/, fix: /see "(mounts as root|user namespaces)" above/ });
      assert.match(d.summary, /^No sandbox can be started here; \d things? to mend/);
    });

  test('rights of a user namespace are taken away, as AppArmor does', asRoot, async () => {
    const d = await doctor(...USER, forEverybody(DENY), 'eperm=prctl:24', '--');   // PR_CAPBSET_DROP
    says(d, 'userns', 'fail', { text: /^prctl\(PR_CAPBSET_DROP\): Operation not permitted/ });
    assert.equal(d.by.ns_mnt.verdict, 'untried');
  });

  test('Landlock: not in the kernel, off at boot', async () => {
    const hidden = await doctor(...deny('enosys=landlock_create_ruleset'));
    says(hidden, 'landlock', 'note', { text: /Function not implemented/, lost: /second lock/, fix: FILTER_FIX });
    assert.equal(hidden.code, 0, 'sandboxes start without');
    const off = await doctor(...deny('eopnotsupp=landlock_create_ruleset'));
    says(off, 'landlock', 'note', { text: /not switched on at boot/, fix: /lsm=landlock,/ });
    const broken = await doctor(...deny('eperm=landlock_restrict_self'));
    says(broken, 'landlock', 'note', { text: /landlock_restrict_self/ });
  });

  test('file systems: each mount call refused is named', asRoot, async () => {
    const d = await doctor(...USER, forEverybody(DENY), 'eperm=fsopen', '--');
    for (const [id, call] of [['tmpfs', 'fsopen\\(tmpfs\\)'], ['devpts', 'fsopen\\(devpts\\)'], ['proc', 'fsopen\\(proc\\)']])
      says(d, id, 'fail', { text: new RegExp(`^${call}: Operation not permitted`), lost: /No sandbox can be started/, fix: FILTER_FIX });
    says(d, 'overlay', 'note', { text: /fsopen/, lost: /given root file system \(rootfs\), or with user root, cannot be started/ });
    says(d, 'sandbox', 'fail', { fix: /see "procfs" above/ });
    const tree = await doctor(...USER, forEverybody(DENY), 'eperm=mount_setattr', '--');
    says(tree, 'bind', 'fail', { text: /^mount_setattr\(\/usr\)/, lost: /\/usr read-only/ });
  });

  test('seccomp itself', async () => {
    const d = await doctor(...deny('einval=seccomp'));
    says(d, 'seccomp', d.sandbox_works ? 'note' : 'fail', { text: /^seccomp: Invalid argument/, lost: /system call filter/, fix: /CONFIG_SECCOMP_FILTER=y/ });
    says(d, 'seccomp_notify', d.sandbox_works ? 'note' : 'fail', { text: /^seccomp\(NEW_LISTENER\)/ });
  });
});

describe('limits of the user namespace around', () => {
  test('no user namespaces', async () => {
    const d = await doctor(...oneUid('echo 0 >/proc/sys/user/max_user_namespaces'));
    says(d, 'userns', 'fail', { text: /No space left on device; user\.max_user_namespaces is 0/, lost: /neither as root nor as an ordinary user/,
      fix: /^(sudo )?sysctl -w user\.max_user_namespaces=15000/ });
    assert.equal(d.code, 1);
  });

  for (const [ns, lost, verdict] of [['mnt', /file systems/, 'fail'], ['pid', /host's processes/, 'fail'], ['net', /host's network/, 'fail'], ['ipc', /shared memory/, 'fail'],
    ['uts', /host name/, 'fail'], ['cgroup', /control groups/, 'fail'], ['time', /how long the host has been running/, 'note']])
    test(`no ${ns} namespaces`, async () => {
      const d = await doctor(...oneUid(`echo 0 >/proc/sys/user/max_${ns}_namespaces`));
      says(d, `ns_${ns}`, verdict, { text: new RegExp(`^unshare\\(CLONE_NEW\\w+\\): No space left on device; the limit is user.max_${ns}_namespaces`), lost, fix: new RegExp(`sysctl -w user.max_${ns}_namespaces=15000`) });
      for (const other of ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'].filter((o) => o !== ns))
        assert.equal(d.by[`ns_${other}`].verdict, 'ok', `${other} was tried by itself`);
    });

  test('a root with one uid', async () => {
    const d = await doctor(...oneUid('true'));
    says(d, 'uids', d.sandbox_works ? 'note' : 'fail', { text: /this root 1 uid$/, lost: /each needs a uid of its own/, fix: /ordinary user instead/ });
    says(d, 'idmap', 'note', { text: /does not own/, lost: /keeps its owners/ });
    assert.equal(d.by.userns.verdict, 'ok', 'a user namespace can be made even so');
  });
});

describe('a container\'s uids', () => {
  test('65,536 of them: one for each sandbox', asRoot, async () => {
    const d = await inNamespace(65536, 'true');
    says(d, 'uids', 'note', { text: /gives this root 65536 uids$/, lost: /not a range/, fix: /uidmap/ });
    assert.equal(d.by.userns.verdict, 'ok');
    says(d, 'sandbox', 'ok', {});
  });

  test('an ordinary user needs one user namespace within another', asRoot, async () => {
    const d = await inNamespace(65536, 'echo 1 >/proc/sys/user/max_user_namespaces', ...USER);
    says(d, 'userns', 'fail', { text: /in another: No space left on device; the limit is reached: user.max_user_namespaces/, fix: /max_user_namespaces=2$/m });
    says(d, 'sandbox', 'fail', { fix: /see "user namespaces" above/ });
    const two = await inNamespace(65536, 'echo 100 >/proc/sys/user/max_user_namespaces', ...USER);
    assert.equal(two.by.userns.verdict, 'ok');
  });
});

describe('rights are missing', () => {
  const without = (...caps) => ['setpriv', `--bounding-set=${caps.map((c) => `-${c}`).join(',')}`, `--inh-caps=${caps.map((c) => `-${c}`).join(',')}`];

  test('root without CAP_SYS_ADMIN', asRoot, async () => {
    const d = await doctor(...without('sys_admin'));
    says(d, 'root_mounts', 'fail', { text: /^unshare\(CLONE_NEWNS\): Operation not permitted; this root has no CAP_SYS_ADMIN/, fix: /ordinary user/ });
    says(d, 'sandbox', 'fail', { fix: /see "mounts as root" above/ });
  });

  test('root without CAP_SETUID and CAP_SETGID', asRoot, async () => {
    const d = await doctor(...without('setuid', 'setgid'));
    says(d, 'userns', 'fail', { text: /^writing uid_map: Operation not permitted; this root may not give uids/, lost: /as this root/, fix: /--cap-add=SETUID/ });
  });

  test('egress cannot become its user without CAP_SETUID, and says so before a worker does', asRoot, async () => {
    says(await doctor(), 'egress_rights', 'ok', { text: /^run as a user of their own$/ });
    says(await doctor(...USER), 'egress_rights', 'ok', { text: /^run as this user/ });
    for (const caps of [['setuid'], ['setgid'], ['setuid', 'setgid']])
      says(await doctor(...without(...caps)), 'egress_rights', 'note', { text: /^becoming its user \(64717\): Operation not permitted$/, lost: /no exec with --allow can start/, fix: /CAP_SETUID and CAP_SETGID/ });
  });

  test('in a chroot', asRoot, async () => {
    const d = await doctor(...mounts(`mount -t tmpfs none /mnt; mkdir /mnt/root; mount --rbind / /mnt/root; set -- chroot /mnt/root "$@"`));
    says(d, 'userns', 'fail', { text: /^unshare\(CLONE_NEWUSER\): Operation not permitted; this process runs in a chroot/, fix: /outside of the chroot/ });
    says(d, 'sandbox', 'fail', { text: /this process runs in a chroot/ });
  });
});

describe('mounts of the host are covered or missing', () => {
  test('parts of /proc are covered, as in a container', asRoot, async () => {
    const d = await doctor(...mounts('mount --bind /dev/null /proc/uptime'));
    says(d, 'proc', 'fail', { text: /^fsmount\(proc\): Operation not permitted; parts of \/proc are covered/, lost: /each needs its own \/proc/,
      fix: /systempaths=unconfined[^]*unmask=ALL|procMount/ });
    says(d, 'sandbox', 'fail', { text: /covered/, fix: /see "procfs" above/ });
    assert.equal(d.by.tmpfs.verdict, 'ok', 'nothing else is blamed');
  });

  test('the same for an ordinary user', asRoot, async () => {
    const d = await doctor(...mounts('mount --bind /dev/null /proc/uptime'), ...USER);
    says(d, 'proc', 'fail', { text: /parts of \/proc are covered/ });
  });

  test('in a pod the advice is Kubernetes\'s, and no other', asRoot, async () => {
    const d = await doctor(...mounts(`mount -t tmpfs none /run; mkdir -p /run/secrets/kubernetes.io; test -e /var/run/secrets/kubernetes.io
      mount --bind /etc/hosts /etc/hosts; mount --bind /dev/null /proc/uptime`));
    says(d, 'container', 'ok', { text: /\(Kubernetes\)/ });
    says(d, 'proc', 'fail', { fix: /^pod: hostUsers: false; securityContext: \{procMount: Unmasked\}$/ });
  });

  const GROUPS = ['cgroup_memory', 'cgroup_cpu', 'cgroup_pids'];
  test('no control groups', asRoot, async () => {
    const d = await doctor(...mounts('umount -R /sys/fs/cgroup'));
    for (const id of GROUPS) says(d, id, 'note', { text: /no control groups with \w+ are mounted/, fix: /mount -t cgroup2|--cgroupns|cgroup/ });
    says(d, 'cgroup_memory', 'note', { lost: /overshoot/ });
    says(d, 'cgroup_cpu', 'note', { lost: /every core/ });
    says(d, 'cgroup_pids', 'note', { lost: /RLIMIT_NPROC/ });
    assert.equal(d.code, 0, 'sandboxes start without');
  });

  test('control groups are read-only', asRoot, async () => {
    const d = await doctor(...mounts("for m in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts); do mount -o remount,bind,ro $m; done"));
    for (const id of GROUPS)
      if (/version/.test(d.by[id].text)) says(d, id, 'note', { text: /^control group .* \(version [12]\): Read-only file system$/, fix: /remount,rw|writable-cgroups|unmask|Delegate/ });
      else says(d, id, 'note', { text: /does not have the/ });
    assert.equal(d.code, 0);
  });

  const UNIFIED = '/sys/fs/cgroup/unified';
  test('version 2 without controllers', { skip: !isRoot ? 'needs root' : fs.existsSync(UNIFIED) ? false : 'needs a hybrid machine' }, async () => {
    const d = await doctor(...mounts("for m in $(awk '$3 == \"cgroup\" {print $2}' /proc/mounts); do umount $m; done"));
    for (const id of GROUPS) says(d, id, 'note', { text: /^control group \/sys\/fs\/cgroup\/unified\S* does not have the (memory|cpu|pids) controller/ });
  });

  test('a full place for files, no /dev/shm, little memory', asRoot, async () => {
    const d = await doctor(...mounts(`mount -t tmpfs -o size=1m none ${home}; umount /dev/shm; mount -t tmpfs -o ro none /dev/shm
      m=$(mktemp); printf 'MemTotal: 900000 kB\\nMemFree: 1 kB\\nMemAvailable: 102400 kB\\n' >$m; mount --bind $m /proc/meminfo; rm -f $m`));
    says(d, 'state', 'note', { text: /has 1 MB left/, lost: /kept on disk/, fix: /--state-dir/ });
    says(d, 'shm', 'note', { text: /Read-only file system/, fix: /mount -t tmpfs/ });
    says(d, 'memory', 'note', { text: /^100 MB available/, lost: /\/workspace are memory/, fix: /--capacity 1/ });
  });
});

describe('resource limits', () => {
  test('few files, few processes, little locked memory', async () => {
    const d = await doctor('prlimit', '--memlock=65536', '--nofile=1024', '--nproc=900');
    says(d, 'nofile', 'note', { text: /is 1024/, fix: /ulimit -n 65536/ });
    says(d, 'nproc', 'note', { text: /is 900/, fix: /LimitNPROC/ });
    says(d, 'memlock', 'note', { text: /is 64 KiB/, lost: /swap/, fix: /LimitMEMLOCK=1M/ });
  });
});

describe('a sandbox does not start although everything was fine when tried', () => {
  test('the engine\'s own sentence is shown, and where to look', async () => {
    const d = await doctor(...deny('eperm=pivot_root,sethostname'));   // no check tries these by themselves
    says(d, 'sandbox', 'fail', { text: /\w+ \w+.*Operation not permitted; everything tried above works/, fix: /--log-level debug[^]*dmesg[^]*doctor --json/ });
    assert.deepEqual(d.checks.filter((c) => c.verdict === 'fail').map((c) => c.id), ['sandbox']);
    assert.equal(d.summary.startsWith('No sandbox can be started here'), true);
    assert.equal(d.code, 1);
  });
});
