// sandbox.mjs - the measurements of the sandbox engine beside other engines (bench/README.md says what each includes).
//
// Exports a function that makes the benches from bench.mjs's context, so that `BENCH_ONLY=sandbox-start` and the table work as for the others.
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { crunNamespace, direct, peer, what } from './peers.mjs';
import { tempDir } from '../tests/lib/own.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const scale = Number(process.env.BENCH_SCALE ?? 1); // 0.1: a tenth of the runs, to try the programs out
const times = (n) => Math.max(3, Math.round(n * scale));
const idle = (n) => Math.max(3, Math.round(n * Math.min(scale, 1)));

export function sandboxBenches({ row, note, fmt, median, sh, tool, bin, rounds }) {
  const json = (text) => JSON.parse(text.trim());
  const dir = tempDir('bench-peers');
  const three = (o) => `p95 ${fmt(o.p95)}, p99 ${fmt(o.p99)} ms`;

  // The peers of a bench that run here; those that do not are written down with their reason.
  function runnable(title, names, command, binds) {
    const all = names.map((n) => peer(n, dir, command, binds));
    for (const p of all.filter((x) => x.reason)) note(`${title}: ${p.name} not runnable here: ${p.reason}`);
    return all.filter((x) => x.argv);
  }
  function start(peers, options) {
    const args = ['--zygote', bin, ...options.flatMap(String)];
    for (const p of peers) args.push('--peer', p.name, String(p.runs), ...p.argv, ';');
    return Object.fromEntries(json(sh(tool('sandbox_start'), args, { timeout: 1200000 })).map((r) => [r.name, r]));
  }
  const failed = (title, results) => {
    for (const r of Object.values(results)) if (r.failures) note(`${title}: ${r.failures} of ${r.started} starts of ${r.name} failed`);
  };

  const shuffled = (list) => list.map((x) => [Math.random(), x]).sort((a, b) => a[0] - b[0]).map(([, x]) => x);

  return {
    async 'sandbox-start'() {
      const runs = { bwrap: 300, unshare: 300, crun: 100, runc: 60, firejail: 30, nspawn: 15, srt: 15 };
      const peers = runnable('sandbox start', Object.keys(runs), 'echo hi').map((p) => ({ ...p, runs: times(runs[p.name]) }));
      // The pair that is judged by itself; then everything in one rotation, where a heavy engine may leave work behind for the next start.
      const { ours, bwrap } = start(peers.filter((p) => p.name === 'bwrap'), ['--runs', times(300), '--warm-ups', times(50)]);
      const r = start(peers, ['--runs', times(300), '--warm-ups', times(10)]);
      failed('sandbox start', { ours, bwrap: bwrap ?? {} });
      failed('sandbox start, all engines', r);
      if (bwrap) {
        const ratio = ours.first_ms.p50 / bwrap.first_ms.p50;
        row('sandbox cold start to first output p50', fmt(ours.first_ms.p50), 'ms', `${three(ours.first_ms)}; bwrap ${fmt(bwrap.first_ms.p50)} ms (ratio ${fmt(ratio)}), ${three(bwrap.first_ms)}`, '<= 0.6 x bwrap', ratio <= 0.6);
        row('sandbox create, echo, destroy p50', fmt(ours.gone_ms.p50), 'ms', `bwrap ${fmt(bwrap.gone_ms.p50)} ms (ratio ${fmt(ours.gone_ms.p50 / bwrap.gone_ms.p50)})`, '');
        row('CPU time of one start, echo and end', fmt(ours.cpu_ms), 'ms', `bwrap ${fmt(bwrap.cpu_ms)} ms`, '');
      }
      for (const name of ['ours', ...peers.map((p) => p.name)]) {
        const o = r[name];
        note(`sandbox start, all engines in turn, ${name}${what[name] ? ` (${what[name]})` : ''}: first output p50 ${fmt(o.first_ms.p50)}, ${three(o.first_ms)}; gone ${fmt(o.gone_ms.p50)} ms; CPU ${fmt(o.cpu_ms)} ms; ${o.started} runs`);
      }
    },

    // The command line tool end to end: a process that brings up an engine for one command. As root and as an ordinary user, whose copy of the
    // program and whose bwrap are the same.
    async 'sandbox-exec'() {
      const copy = path.join(dir, 'sallyport'), user = 65534;
      fs.copyFileSync(bin, copy);
      fs.chmodSync(copy, 0o755);
      fs.chmodSync(dir, 0o755);
      const bwrap = runnable('sallyport exec', ['bwrap'], 'echo hi').map((p) => [...p.argv.slice(0, p.argv.indexOf('/bin/bash')), 'echo', 'hi'])[0];
      const who = process.getuid() === 0 ? [['as root', []], ['as a user', [`+${user}`]]] : [['as a user', []]];
      for (const [name, as] of who) {
        const argv = [...as, copy, 'exec', '--', 'echo', 'hi'], tried = direct(argv);
        const there = spawnSync(tried[0], tried.slice(1), { encoding: 'utf8', timeout: 20000 });
        if (there.status !== 0 || there.stdout !== 'hi\n') { note(`sandbox-exec ${name}: not measured, \`sallyport exec -- echo hi\` does not run here: ${String(there.stderr).trim().split('\n').pop()?.slice(0, 120)}`); continue; }
        const peers = [{ name: 'exec', argv, runs: times(200) }, ...(bwrap ? [{ name: 'bwrap', argv: [...as, ...bwrap], runs: times(200) }] : [])];
        const r = start(peers, ['--runs', times(200), '--warm-ups', times(20)]);
        failed(`sallyport exec ${name}`, r);
        const ratio = r.bwrap ? r.exec.gone_ms.p50 / r.bwrap.gone_ms.p50 : NaN;
        row(`\`sallyport exec -- echo hi\` ${name}, fork to exit p50`, fmt(r.exec.gone_ms.p50), 'ms',
          r.bwrap ? `bwrap ${fmt(r.bwrap.gone_ms.p50)} ms (ratio ${fmt(ratio)}); CPU ${fmt(r.exec.cpu_ms)} and ${fmt(r.bwrap.cpu_ms)} ms` : '', '<= 1.5 x bwrap', ratio <= 1.5);
      }
    },

    async 'sandbox-calls'() {
      const r = json(sh(tool('sandbox_call'), ['--zygote', bin, '--claims', times(200), '--calls', times(2000)].map(String)));
      const warm = json(sh(tool('warm_claim'), ['--claims', String(times(200))]));
      row('warm claim to first output p50 (the worker\'s pool, box_open and one `echo`)', fmt(warm.p50), 'ms', `${three(warm)}; the first call of an idle sandbox alone ${fmt(r.claim_ms.p50)} ms`, '<= 1.5 ms', warm.p50 <= 1.5);
      let exec = '';
      const c = runnable('crun exec', ['crun'], 'exec sleep 3600')[0];
      if (c) {
        const id = `sp-bench-exec-${process.pid}`, ns = crunNamespace(), inside = (a) => direct(ns ? [`@${ns}`, ...a] : a);
        const bundle = c.argv[c.argv.indexOf('-b') + 1];
        const run = (a) => spawnSync(a[0], a.slice(1), { stdio: 'ignore', timeout: 20000 });
        run(inside(['crun', 'run', '-d', '-b', bundle, id]));
        const argv = [...(ns ? [`@${ns}`] : []), 'crun', 'exec', id, '/bin/bash', '--noprofile', '--norc', '-c', 'echo hi'];
        const o = start([{ name: 'crun exec', argv, runs: times(100) }], ['--runs', times(100), '--warm-ups', 5])['crun exec'];
        run(inside(['crun', 'delete', '-f', id]));
        exec = o.failures ? `crun exec: ${o.failures} of ${o.started} failed` : `crun exec of a new bash ${fmt(o.first_ms.p50)} ms`;
      }
      row('`bash` tool call `echo` in a running sandbox p50', fmt(r.call_ms.p50, 3), 'ms', [`p99 ${fmt(r.call_ms.p99, 3)} ms`, exec].filter(Boolean).join('; '), '<= 0.5 ms', r.call_ms.p50 <= 0.5);
    },

    async 'sandbox-parallel'() {
      const peers = runnable('parallel starts', ['bwrap', 'crun'], 'echo hi');
      const counts = { bwrap: 500, crun: 200 };
      const parts = [];
      let ours, total = 0, bad = 0;
      for (const k of [2, 8, 32]) {
        const n = k === 32 ? times(2000) : times(500);
        const r = start(peers.map((p) => ({ ...p, runs: times(counts[p.name]) })), ['--runs', n, '--warm-ups', k, '--in-flight', k]);
        failed(`${k} in flight`, r);
        if (k === 32) { ours = r.ours; total = r.ours.started; bad = r.ours.failures; }
        parts.push(`${k} in flight: ${fmt(r.ours.per_second, 0)} /s${peers.map((p) => `, ${p.name} ${fmt(r[p.name].per_second, 0)} /s (${r[p.name].failures} of ${r[p.name].started} failed)`).join('')}`);
      }
      row(`${total.toLocaleString('en')} starts, 32 in flight, failures`, String(bad), '', `${fmt(ours.per_second, 0)} /s, first output p50 ${fmt(ours.first_ms.p50)} ms; ${parts.join('; ')}`, 'none', bad === 0);
    },

    async 'sandbox-density'() {
      const density = (levels, args) => sh(tool('sandbox_density'), ['--levels', levels.join(','), '--settle', String(Math.round(5000 * Math.min(scale, 1))), ...args], { timeout: 600000 }).trim().split('\n').map(json);
      const levels = [0, idle(10), idle(100), idle(500)];
      const shells = density([idle(100)], ['/bin/bash', '--noprofile', '--norc'])[0];
      const ours = density(levels, ['--zygote', bin]);
      const beyond = (o) => (o.available_kb - shells.available_kb) / 1024;
      const last = ours[3];
      row(`resident memory of an idle sandbox beyond its shell, ${last.n} alive`, fmt(beyond(last)), 'MB', `fall of MemAvailable ${fmt(last.available_kb / 1024)} MB each (a plain bash ${fmt(shells.available_kb / 1024)} MB); PSS of init ${fmt(last.pss_rest_kb / 1024)} MB, slab ${fmt(last.slab_kb / 1024)} MB; at ${ours[1].n}: ${fmt(beyond(ours[1]))}, at ${ours[2].n}: ${fmt(beyond(ours[2]))} MB`, '<= 1 MB', beyond(last) <= 1);
      const first = ours[0].start_ms.p50, after = last.start_ms.p50;
      row(`start beside ${last.n} idle sandboxes p50 (100 starts)`, fmt(after), 'ms', `beside none ${fmt(first)} ms, beside ${ours[1].n} ${fmt(ours[1].start_ms.p50)}, beside ${ours[2].n} ${fmt(ours[2].start_ms.p50)} (ratio ${fmt(after / first)})`, 'within 20 % of the first', after / first <= 1.2);
      for (const p of runnable('density', ['bwrap', 'crun'], null)) {
        // "{}" must be an argument of its own there
        const argv = p.name === 'crun' ? [...direct(p.argv, '{}').slice(0, -1), '{}'] : p.argv;
        const o = density([idle(100)], argv)[0];
        note(`density, ${p.name} at ${o.n}: ${fmt(beyond(o))} MB beyond its shell; PSS of other processes than the shell ${fmt(o.pss_rest_kb / 1024)} MB, slab ${fmt(o.slab_kb / 1024)} MB, ${o.processes / o.n} processes each`);
      }
    },

    async 'syscalls'() {
      const binds = [[path.dirname(tool('x')), '/mnt/bench']];
      const ours = ['--zygote', bin, '--spec', JSON.stringify({ binds: [{ source: binds[0][0], target: '/mnt/bench' }] })];
      const ms = Math.max(5, Math.round(50 * Math.min(scale, 1)));
      const places = { ours: () => sh(tool('sandbox_run'), [...ours, `/mnt/bench/syscall_cost ${ms}`]), bare: () => sh(tool('syscall_cost'), [String(ms)]) };
      for (const p of runnable('system calls', ['bwrap', 'crun'], `/mnt/bench/syscall_cost ${ms}`, binds)) places[p.name] = () => { const a = direct(p.argv); return sh(a[0], a.slice(1)); };
      const got = {};
      for (let i = 0; i < 10; i++) for (const [name, run] of shuffled(Object.entries(places))) (got[name] ??= []).push(json(run()));
      const cost = (name, op) => got[name] && median(got[name].map((o) => o[op]));
      for (const [op, title] of [['getpid', 'getpid'], ['open_close', 'openat + close'], ['stat', 'stat']]) {
        const ratio = cost('ours', op) / cost('bwrap', op);
        row(`system call inside: ${title}`, fmt(cost('ours', op), 0), 'ns', `bwrap, no filter ${fmt(cost('bwrap', op), 0)} ns (ratio ${fmt(ratio)}), bare ${fmt(cost('bare', op), 0)}${got.crun ? `, crun ${fmt(cost('crun', op), 0)}` : ''}`, '<= 1.1 x bwrap', ratio <= 1.1);
      }
      for (const [op, title] of [['read_4k', 'read 4 KiB'], ['pipe_ping_pong', 'pipe ping-pong'], ['clone_wait', 'fork, exit, wait']]) {
        note(`system calls, ${title}: ours ${fmt(cost('ours', op), 0)} ns, ${Object.keys(got).filter((n) => n !== 'ours').map((n) => `${n} ${fmt(cost(n, op), 0)}`).join(', ')}`);
      }
    },

    // Times are taken inside, by the shell, around the work alone; everything lies in memory in all places.
    async 'workload'() {
      const memory = fs.mkdtempSync('/dev/shm/sallyport-bench-');
      const binds = [[here, '/mnt/bench']];
      const timed = (prepare, work, here_) => `cd ${here_} && mkdir w && cd w && { ${prepare}; } >/dev/null 2>&1 && TIMEFORMAT='%R %U %S' && { time { ${work}; } >/dev/null 2>&1; } 2>&1; cd .. && rm -rf w`;
      const works = {
        make: [(tree) => `sh ${tree} 60`, 'make -s', rounds],
        'untar of 20,000 files': [() => 'mkdir s && for i in {1..100}; do mkdir s/$i; for k in {1..200}; do echo $k >s/$i/$k; done; done && tar cf t.tar s && rm -r s', 'tar xf t.tar', 3],
        'git clone of a local repository': [(tree) => `sh ${tree} 60 && git init -q . && git add src Makefile && git -c user.name=b -c user.email=b@example.com commit -q -m x`, 'git clone -q --no-local . clone', 3],
        'python3, imports': [() => 'true', '/usr/bin/python3 -c "import json, ssl, http.client, email, sqlite3, asyncio, unittest"', 10],
      };
      const spec = JSON.stringify({ binds: [{ source: here, target: '/mnt/bench' }] });
      for (const [name, [prepare, work, n]] of Object.entries(works)) {
        const inside = timed(prepare('/mnt/bench/tree.sh'), work, '/workspace');
        const places = {
          ours: () => sh(tool('sandbox_run'), ['--zygote', bin, '--spec', spec, inside]),
          bare: () => { const a = peer('bare', memory, timed(prepare(path.join(here, 'tree.sh')), work, memory)).argv; return sh(a[0], a.slice(1)); },
        };
        for (const p of runnable(`workload ${name}`, ['bwrap'], inside, binds)) places[p.name] = () => sh(p.argv[0], p.argv.slice(1));
        const got = {};
        for (let i = 0; i < times(n); i++) {
          for (const [place, run] of shuffled(Object.entries(places))) {
            const [wall, user, system] = run().trim().split('\n').pop().split(' ').map(Number);
            (got[place] ??= []).push({ wall, cpu: user + system });
          }
        }
        const wall = (p) => got[p] && median(got[p].map((o) => o.wall)), cpu = (p) => median(got[p].map((o) => o.cpu));
        const ratio = median(got.ours.map((o, i) => o.wall / got.bare[i].wall));
        const text = `outside ${fmt(wall('bare'), 3)} s (ratio ${fmt(ratio)}; CPU ${fmt(cpu('ours'))} and ${fmt(cpu('bare'))} s)${got.bwrap ? `, bwrap ${fmt(wall('bwrap'), 3)} s` : ''}`;
        if (name === 'make') row('`make` of 61 C files inside', fmt(wall('ours'), 3), 's', text, '<= 1.05 x outside', ratio <= 1.05);
        else note(`workload, ${name}: ours ${fmt(wall('ours'), 3)} s, ${text}`);
      }
      fs.rmSync(memory, { recursive: true });
    },
  };
}
