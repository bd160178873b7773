// What a test file owns: child processes and directories. Everything registered here is gone when
// the file ends, also when it fails: each child leads its own process group, the group is killed by
// its id, and directories are removed. Nothing that was not started here is ever signalled.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const children = new Set();
const dirs = new Set();

/** Sanitizer builds are slower: every bound of the harness stretches with them. */
export const SLOWDOWN = Number(process.env.SALLYPORT_TEST_SLOWDOWN ?? (process.env.ASAN_OPTIONS ? 3 : 1));
export const ms = (n) => Math.round(n * SLOWDOWN);

/** The whole thing (50 kills, 10,000 connections) or the shorter run of everyday work. */
export const FULL = process.env.SALLYPORT_FULL === '1';

export const here = path.resolve(import.meta.dirname, '..');
export const repo = path.resolve(here, '..');
export const BIN = path.resolve(process.env.SALLYPORT_BIN ?? path.join(repo, 'build', 'sallyport'));

// An ordinary user of Debian has no chroot(8) and the like in PATH, though they are there and work in namespaces.
for (const d of ['/usr/sbin', '/sbin']) if (!process.env.PATH.split(':').includes(d)) process.env.PATH += `:${d}`;

/** A reason to skip what looks into our processes (/proc/PID/fd, ptrace): none is dumpable, so only root may. */
export const CLOSED = process.getuid() !== 0 && 'our processes are closed to their own user; root looks into them';

export function tempDir(tag = 't') {
  const d = fs.mkdtempSync(path.join(os.tmpdir(), `sallyport-${tag}-`));
  dirs.add(d);
  return d;
}

/** A copy of a file that every user of this machine can read and run: the tree may lie in a private home. */
const copies = new Map();
export function forEverybody(file) {
  if (!copies.has(file)) {
    const dir = tempDir('all');
    fs.chmodSync(dir, 0o755);
    const to = path.join(dir, path.basename(file));
    fs.copyFileSync(file, to);
    fs.chmodSync(to, 0o755);
    copies.set(file, to);
  }
  return copies.get(file);
}

/** Environment of a child: built from nothing, so that no key of the caller's shell leaks in. */
export function cleanEnv(extra = {}) {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME ?? '/', LANG: 'C.UTF-8', TMPDIR: os.tmpdir() };
  for (const k of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS'])
    if (process.env[k]) env[k] = process.env[k];
  return { ...env, ...extra };
}

/**
 * Starts a child in its own process group. `out`/`err` collect what it prints; `line(re)` resolves
 * with the match of the first stdout (or stderr) line that fits, rejects when the child ends first.
 */
export function start(cmd, args, { env, cwd, stdin = 'ignore' } = {}) {
  const child = spawn(cmd, args, { env: cleanEnv(env), cwd, stdio: [stdin, 'pipe', 'pipe'], detached: true });
  const p = {
    child, pid: child.pid, cmd, args, out: '', err: '', code: null, signal: null, ended: false, gone: false, waiters: new Set(),
    line(re, timeout = ms(20000)) {
      return new Promise((resolve, reject) => {
        const w = { check: null, fail: null };
        const timer = setTimeout(() => w.fail(`no line ${re} within ${timeout} ms`), timeout);
        w.done = () => { clearTimeout(timer); p.waiters.delete(w); };
        w.check = () => {
          const m = (p.out + p.err).match(re);
          if (m) { w.done(); resolve(m); }
        };
        w.fail = (why) => { w.done(); reject(new Error(`${path.basename(cmd)} ${args.join(' ')}: ${why}\n${p.tail()}`)); };
        p.waiters.add(w);
        w.check();
        if (p.ended && p.waiters.has(w)) w.fail(`ended (code ${p.code}, signal ${p.signal})`);
      });
    },
    tail: () => `--- stdout\n${p.out.slice(-2000)}\n--- stderr\n${p.err.slice(-4000)}`,
    kill(signal = 'SIGTERM') { if (child.exitCode === null && child.signalCode === null) { try { process.kill(p.pid, signal); } catch { /* gone */ } } },
    killGroup(signal = 'SIGKILL') { if (!p.gone) { try { process.kill(-p.pid, signal); } catch { /* gone */ } } },
    // An empty group's number is free for others, and comes again within a run of these tests. One with members keeps it.
    look() { if (!p.gone) { try { process.kill(-p.pid, 0); } catch (e) { p.gone = e.code === 'ESRCH'; } } },
  };
  p.exit = new Promise((resolve) => {
    const end = (code, signal) => {
      if (p.ended) return;
      p.look();
      Object.assign(p, { code, signal, ended: true });
      for (const w of [...p.waiters]) w.fail(`ended (code ${code}, signal ${signal})`);
      resolve({ code, signal });
    };
    child.once('error', (e) => { p.err += String(e); end(127, null); });
    // Its last words may come after its end; what it leaves running may hold the pipes for ever.
    child.once('exit', (code, signal) => {
      p.look();
      // A loop that was held up finds the timer due before it looks at the pipes: it gets a turn to read what is there.
      const timer = setTimeout(() => setImmediate(() => setImmediate(end, code, signal)), 500);
      child.once('close', () => { clearTimeout(timer); end(code, signal); });
    });
  });
  const feed = (k) => (d) => { p[k] += d; if (p[k].length > 4e6) p[k] = p[k].slice(-2e6); for (const w of [...p.waiters]) w.check(); };
  child.stdout.setEncoding('utf8').on('data', feed('out'));
  child.stderr.setEncoding('utf8').on('data', feed('err'));
  children.add(p);
  return p;
}

/**
 * How many times as much fresh memory costs here than on an ordinary machine, where 64 MiB take 20 to 35 ms of processor time:
 * 1 to 10. In some virtual machines a page fault costs 20 us, which is no doing of the program that is measured.
 */
export function memoryCost() {
  const took = Array.from({ length: 3 }, () => {
    const from = process.cpuUsage();
    Buffer.alloc(64 << 20).fill(1);
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  });
  return Math.min(10, Math.max(1, Math.min(...took) / 40));
}

/** Runs a command to its end; never rejects on a non-zero exit. */
export async function run(cmd, args, { timeout = ms(20000), input, ...opts } = {}) {
  const p = start(cmd, args, { ...opts, stdin: input === undefined ? 'ignore' : 'pipe' });
  if (input !== undefined) p.child.stdin.end(input);
  const timer = setTimeout(() => { p.timedOut = true; p.killGroup(); }, timeout);
  await p.exit;
  clearTimeout(timer);
  return { code: p.code, signal: p.signal, out: p.out, err: p.err, timedOut: !!p.timedOut };
}

export async function end(p, { signal = 'SIGTERM', timeout = ms(10000) } = {}) {
  if (!p) return;
  if (!p.ended) {
    p.kill(signal);
    const timer = setTimeout(() => p.killGroup(), timeout);
    await p.exit;
    clearTimeout(timer);
  }
  p.killGroup();   // anything it left behind in its own group
  children.delete(p);
}

/** Polls a condition that has no event to wait for (process tables, queue states). Bounded. */
export async function until(what, fn, timeout = ms(15000)) {
  const stop = Date.now() + timeout;
  let last;
  for (;;) {
    try { const v = await fn(); if (v) return v; last = undefined; } catch (e) { last = e; }
    if (Date.now() > stop) throw new Error(`waited ${timeout} ms for: ${what}${last ? ` (${last})` : ''}`, { cause: last });
    await new Promise((r) => setTimeout(r, 25));
  }
}

export const within = (promise, timeout, what) => {
  let t;
  return Promise.race([promise, new Promise((_, no) => { t = setTimeout(() => no(new Error(`${what}: nothing within ${timeout} ms`)), timeout); })])
    .finally(() => clearTimeout(t));
};

/** Pids of all descendants of `pid`, from /proc. */
export function descendants(pid) {
  const kids = new Map();
  for (const d of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(d)) continue;
    try {
      const stat = fs.readFileSync(`/proc/${d}/stat`, 'utf8');
      const ppid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (!kids.has(ppid)) kids.set(ppid, []);
      kids.get(ppid).push(Number(d));
    } catch { /* gone meanwhile */ }
  }
  const all = [];
  const todo = [pid];
  while (todo.length) for (const k of kids.get(todo.pop()) ?? []) { all.push(k); todo.push(k); }
  return all;
}

export const alive = (pid) => {
  try { return !/^State:\s+[ZX]/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8')); } catch { return false; }
};

process.on('exit', () => {
  for (const p of children) {
    for (const d of p.ended ? [] : descendants(p.pid)) { try { process.kill(d, 'SIGKILL'); } catch { /* gone */ } }
    p.killGroup();
  }
  for (const d of dirs) { try { fs.rmSync(d, { recursive: true, force: true, maxRetries: 3 }); } catch { /* busy */ } }
});
for (const s of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(s, () => process.exit(130));
