// peers.mjs - other engines as commands: how each is asked to run one shell command in a sandbox of its own.
//
// peers(dir, command) gives, for every engine, the argv that runs `bash -c command` in it, or why it does not run here: each one is tried
// once, and a failure is part of the result, never hidden. Binds are read-only except /workspace and /tmp, which are memory in all of them.
import fs from 'node:fs';
import path from 'node:path';
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const shell = ['/bin/bash', '--noprofile', '--norc'];
const environment = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin', HOME: '/workspace', LC_CTYPE: 'C.UTF-8', TERM: 'dumb' };

export const places = ['bare', 'bwrap', 'crun', 'runc', 'unshare', 'firejail', 'nspawn', 'srt'];

// What each of them isolates, for the table: they are not the same thing.
export const what = {
  bwrap: 'all namespaces but time, own /proc, /dev, tmpfs; no filter, no limits',
  crun: 'pid, net, ipc, uts, mount, cgroup namespaces and a cgroup; default capabilities, no user namespace, no filter',
  runc: 'as crun',
  unshare: 'user, mount, pid, net, ipc, uts, cgroup namespaces and a new /proc on the host\'s root',
  firejail: '--noprofile --net=none: its default jail; no user namespace',
  nspawn: 'boot-less container with a private network and its default filter, ephemeral mounts',
  srt: 'its command line: starts Node and two proxies, then bwrap with its filter',
};

function bwrap(dir, command, binds) {
  return ['bwrap', '--unshare-all', '--clearenv', ...Object.entries(environment).flatMap(([k, v]) => ['--setenv', k, v]),
    '--ro-bind', '/usr', '/usr', '--symlink', 'usr/bin', '/bin', '--symlink', 'usr/lib', '/lib', '--symlink', 'usr/lib64', '/lib64',
    '--ro-bind', path.join(makeRoot(dir), 'etc'), '/etc', // ours has an ld.so.cache, too; without one every program would start slower
    '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', '--tmpfs', '/workspace', ...binds.flatMap(([s, t]) => ['--ro-bind', s, t]),
    '--chdir', '/workspace', ...command];
}

// A root file system of empty directories and links that /usr is bound into, for engines that insist on one.
function makeRoot(dir) {
  const root = path.join(dir, 'root');
  if (fs.existsSync(root)) return root;
  for (const d of ['usr', 'etc', 'proc', 'sys', 'dev', 'tmp', 'workspace', 'run', 'var', 'mnt/bench']) fs.mkdirSync(path.join(root, d), { recursive: true });
  for (const l of ['bin', 'sbin', 'lib', 'lib64']) fs.symlinkSync(`usr/${l}`, path.join(root, l));
  for (const f of ['os-release', 'passwd', 'group', 'ld.so.cache']) fs.copyFileSync(`/etc/${f}`, path.join(root, 'etc', f));
  return root;
}

// An OCI bundle: the runtime's own default specification, with our command, root and mounts.
function bundle(runtime, dir, command, binds) {
  const at = fs.mkdtempSync(path.join(dir, `${runtime}-`));
  const made = spawnSync(runtime, ['spec'], { cwd: at, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr ?? made.error?.message);
  const file = path.join(at, 'config.json'), c = JSON.parse(fs.readFileSync(file, 'utf8'));
  Object.assign(c.process, { terminal: false, args: command, cwd: '/workspace', env: Object.entries(environment).map(([k, v]) => `${k}=${v}`) });
  c.root = { path: makeRoot(dir), readonly: true };
  const bind = (source, destination) => ({ source, destination, type: 'bind', options: ['rbind', 'ro'] });
  const memory = (destination) => ({ source: 'tmpfs', destination, type: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777'] });
  c.mounts.push(bind('/usr', '/usr'), memory('/tmp'), memory('/workspace'), ...binds.map(([s, t]) => bind(s, t)));
  fs.writeFileSync(file, JSON.stringify(c));
  return at;
}

// crun 1.8 refuses a machine with both cgroup hierarchies ("hybrid mode"). It is then started in a mount namespace in which the second one
// is not mounted; a process that only sleeps holds it. "@FILE" in front of an argv says so to sandbox_start.
let holder;
export function crunNamespace() {
  if (holder) return holder.file;
  if (!fs.existsSync('/sys/fs/cgroup/unified/cgroup.procs')) return null;
  const p = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', 'umount /sys/fs/cgroup/unified && exec sleep 7200'], { stdio: 'ignore' });
  p.unref();
  holder = { p, file: `/proc/${p.pid}/ns/mnt` };
  for (const until = Date.now() + 5000; Date.now() < until;) {
    if (!fs.readFileSync(`/proc/${p.pid}/mounts`, 'utf8').includes(' /sys/fs/cgroup/unified ')) break;
  }
  return holder.file;
}
process.on('exit', () => holder?.p.kill());
const inCrunNamespace = (argv) => { const ns = crunNamespace(); return ns ? [`@${ns}`, ...argv] : argv; };

// An argv for spawn(2) of this program: the namespace by nsenter, the number filled in, "+UID" in front of an argv by setpriv.
export function direct(argv, id = `try-${process.pid}`) {
  const a = argv.map((w) => w.replace('{}', id));
  if (a[0].startsWith('+')) return ['setpriv', `--reuid=${a[0].slice(1)}`, `--regid=${a[0].slice(1)}`, '--clear-groups', ...a.slice(1)];
  return a[0].startsWith('@') ? ['nsenter', `--mount=${a[0].slice(1)}`, '--wd=.', ...a.slice(1)] : a;
}

const makers = {
  bare: (dir, command) => ['env', '-i', '-C', dir, ...Object.entries(environment).map(([k, v]) => `${k}=${v}`), ...command],
  bwrap: (dir, command, binds) => bwrap(dir, command, binds),
  crun: (dir, command, binds) => inCrunNamespace(['crun', 'run', '-b', bundle('crun', dir, command, binds), 'sp-bench-{}']),
  runc: (dir, command, binds) => ['runc', 'run', '-b', bundle('runc', dir, command, binds), 'sp-bench-{}'],
  unshare: (dir, command) => ['unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork', '--net', '--ipc', '--uts', '--cgroup', '--mount-proc', ...command],
  firejail: (dir, command) => ['firejail', '--quiet', '--noprofile', '--net=none', ...command],
  nspawn: (dir, command, binds) => ['systemd-nspawn', '--quiet', '--register=no', '--keep-unit', '--pipe', '--private-network', '--read-only', '--machine=sp-bench-{}', '-D', makeRoot(dir),
    '--bind-ro=/usr', '--tmpfs=/tmp', '--tmpfs=/workspace', ...binds.map(([s, t]) => `--bind-ro=${s}:${t}`), '--chdir=/workspace', ...command],
  srt: (dir, command) => {
    const settings = path.join(dir, 'srt.json');
    fs.writeFileSync(settings, JSON.stringify({ network: { allowedDomains: [], deniedDomains: [] }, filesystem: { denyRead: [], allowWrite: [dir], denyWrite: [] } }));
    const bin = path.join(here, 'node_modules', '.bin', 'srt');
    if (!fs.existsSync(bin)) throw new Error('not installed (npm ci in bench/)');
    return [bin, '-s', settings, ...command];
  },
};

// { name, argv } or { name, reason }. `command`: text for bash -c; null: an idle bash that reads its standard input.
export function peer(name, dir, command, binds = []) {
  try {
    const argv = makers[name](dir, command === null ? shell : [...shell, '-c', command], binds);
    const tried = direct(makers[name](dir, [...shell, '-c', 'echo hi'], binds));
    const r = spawnSync(tried[0], tried.slice(1), { encoding: 'utf8', timeout: 60000, stdio: ['ignore', 'pipe', 'pipe'] });
    if (r.status !== 0 || !r.stdout.includes('hi')) throw new Error(r.error?.message || r.stderr.trim().split('\n').pop() || `exit status ${r.status}`);
    return { name, argv };
  } catch (e) {
    return { name, reason: String(e.message).replaceAll(dir, '…').slice(0, 160) };
  }
}
