// tunnel.mjs - the measurements of the tunnel beside programs that carry bytes the same way (bench/README.md says what each includes).
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { LOAD_CPU, cpuUs, family, foreignMs, rssMb, sleep } from './boundary/place.mjs';
import { authority } from '../tests/lib/egress.mjs';
import { tempDir } from '../tests/lib/own.mjs';
import { CALL, direct, makeOrigins, ours, peer, peerNames, runLoad } from './tunnel/place.mjs';

const scale = Number(process.env.BENCH_SCALE ?? 1);
const tunnels = ['ssh', 'stunnel', 'haproxy']; // nginx is one hop

export function tunnelBenches({ row, note, fmt, median, tool, rounds }) {
  const of = (runs, key) => median(runs.map((r) => r[key]));

  /** Origins, ours and the peers, for the time of `run`. */
  async function withAll(title, run) {
    const o = await makeOrigins({ tool, seconds: Math.max(1, 3 * scale) }), all = [];
    try {
      all.push(await ours(o));
      for (const name of peerNames) try { all.push(await peer(name, o)); } catch (e) { note(`${title}: ${name} not measured: ${String(e.message).replaceAll(o.dir, '…').slice(0, 160)}`); }
      await run(o, all);
    } finally {
      for (const x of all) await x.stop();
      await o.stop();
    }
  }
  /** In turn, round after round: { ours: [figures], haproxy: [figures], ... }, and a word when others took part of the machine. */
  async function inTurn(o, all, args, via) {
    const runs = Object.fromEntries(all.map((x) => [x.name, []])), from = foreignMs(), began = Date.now();
    for (let i = 0; i < rounds; i++) {
      for (const x of all) {
        const before = cpuUs(x.pids()), r = runLoad(o, args, x[via]);
        runs[x.name].push({ ...r, cpu_us: (cpuUs(x.pids()) - before) / r.n });
      }
    }
    for (const [name, list] of Object.entries(runs)) { const bad = list.reduce((a, r) => a + r.failures, 0); if (bad) note(`${bad} answers through ${name} failed`); }
    const ms = foreignMs() - from, took = Date.now() - began;
    return [runs, ms > took * 0.05 ? `; disturbed: others used ${Math.round(ms / 10) * 10} ms of CPU in ${fmt(took / 1000, 1)} s` : ''];
  }
  const others = (runs, say) => Object.entries(runs).filter(([n]) => n !== 'ours' && n !== 'direct').map(([n, l]) => `${n} ${say(l)}`).join('; ');

  async function latency(title, what, args, via) {
    await withAll(title, async (o, all) => {
      const [runs, mark] = await inTurn(o, [direct(o), ...all], ['-c', 1, ...args], via);
      const base = of(runs.direct, 'p50_us'), added = (l) => of(l, 'p50_us') - base;
      const best = Math.min(...tunnels.filter((n) => runs[n]).map((n) => added(runs[n])));
      row(`added latency through the tunnel, p50, ${what}, one caller`, fmt(added(runs.ours), 0), 'µs',
        `p99 ${fmt(of(runs.ours, 'p99_us') - of(runs.direct, 'p99_us'), 0)} µs, ${fmt(of(runs.ours, 'cpu_us'), 0)} µs CPU; ${others(runs, (l) => `${fmt(added(l), 0)} µs (p99 ${fmt(of(l, 'p99_us') - of(runs.direct, 'p99_us'), 0)}, CPU ${fmt(of(l, 'cpu_us'), 0)})`)}; nothing between: ${fmt(base, 0)} µs${mark}`,
        '<= 130 µs and below each tunnel', added(runs.ours) <= 130 && added(runs.ours) < best);
    });
  }

  return {
    'tunnel-latency': () => latency('tunnel-latency', '1 KiB of nginx', [], 'fast'),
    'tunnel-latency-mcp': () => latency('tunnel-latency-mcp', 'a call of a Node server', ['-b', CALL, '-u', '/mcp'], 'mcp'),

    async 'tunnel-rate'() {
      await withAll('tunnel-rate', async (o, all) => {
        const [runs, mark] = await inTurn(o, all, ['-c', 64], 'fast');
        const ratio = (n) => (runs[n] ? of(runs.ours, 'rps') / of(runs[n], 'rps') : NaN);
        row('requests per second through the tunnel, 64 callers, both halves on one core', fmt(of(runs.ours, 'rps')), '/s',
          `${fmt(of(runs.ours, 'cpu_us'), 1)} µs CPU, p50 ${fmt(of(runs.ours, 'p50_us'), 0)}, p99 ${fmt(of(runs.ours, 'p99_us'), 0)} µs; ${others(runs, (l) => `${fmt(of(l, 'rps'))} /s, ${fmt(of(l, 'cpu_us'), 1)} µs CPU (rate ratio ${fmt(of(runs.ours, 'rps') / of(l, 'rps'))})`)}${mark}`,
          '>= 1.5 x haproxy, >= 5 x ssh', ratio('haproxy') >= 1.5 && ratio('ssh') >= 5);
      });
    },

    async 'tunnel-bulk'() {
      await withAll('tunnel-bulk', async (o, all) => {
        const args = ['-c', 1, '-n', 1, '-d', 120, '-u', '/1g'];
        runLoad(o, args, direct(o).bulk); // or the first one measures the page cache
        const [runs, mark] = await inTurn(o, all, args, 'bulk');
        const ratio = (n) => (runs[n] ? of(runs.ours, 'mb_per_s') / of(runs[n], 'mb_per_s') : NaN);
        row('one body of 1 GiB through the tunnel', fmt(of(runs.ours, 'mb_per_s'), 0), 'MB/s',
          `${fmt(of(runs.ours, 'cpu_us') / 1e6)} s CPU; ${others(runs, (l) => `${fmt(of(l, 'mb_per_s'), 0)} MB/s, ${fmt(of(l, 'cpu_us') / 1e6)} s CPU`)}${mark}`,
          '>= 1.0 x stunnel, then haproxy', ratio('stunnel') >= 1 && ratio('haproxy') >= 1);
      });
    },

    // Edge and gateway, and the halves of the peers, at the ends of a long line that loses packets.
    async 'tunnel-line'() {
      if (process.getuid() !== 0) { note('tunnel-line: not measured: only root makes namespaces of the network'); return; }
      const NEAR = '10.99.0.1', ca = authority(tempDir('edge-ca')), leaf = ca.issue([NEAR]);
      const what = JSON.stringify({ tools: path.dirname(tool('line')), seconds: Math.max(1, 5 * scale), rounds, NEAR, ca: ca.file, cert: leaf.certFile, key: leaf.keyFile });
      const out = execFileSync('unshare', ['-n', process.execPath, path.join(import.meta.dirname, 'tunnel/line.mjs'), what], { encoding: 'utf8', env: { ...process.env, NODE_EXTRA_CA_CERTS: ca.file }, timeout: 1800000 });
      const all = Object.fromEntries(out.trim().split('\n').map((l) => { const r = JSON.parse(l); return [r.name, r]; }));
      for (const r of Object.values(all)) if (r.why || r.failures) note(`tunnel-line: ${r.name}: ${r.why ?? `${r.failures} answers failed`}`);
      const { ours: us, direct: bare } = all, got = tunnels.filter((n) => all[n]?.many);
      if (!us?.many || !bare?.many) throw new Error(`not measured: ${us?.why ?? bare?.why}`);
      const best = (pick) => Math.max(...got.map((n) => pick(all[n])));
      const each = (say) => [...got, 'direct'].map((n) => `${n} ${say(all[n])}`).join('; ');
      const ms = (us_) => fmt(us_ / 1000, 1);
      row('a request over a line of 25 ms each way that loses 1 %, one caller', ms(us.one.p50_us), 'ms', `p99 ${ms(us.one.p99_us)} ms; ${each((r) => `${ms(r.one.p50_us)} (p99 ${ms(r.one.p99_us)})`)}`, 'none is specified: <= 1 ms over the best tunnel', us.one.p50_us <= -best((r) => -r.one.p50_us) + 1000);
      row('the same, 64 callers', fmt(us.many.rps), '/s', `p50 ${ms(us.many.p50_us)}, p99 ${ms(us.many.p99_us)} ms; ${each((r) => `${fmt(r.many.rps)} /s (p50 ${ms(r.many.p50_us)}, p99 ${ms(r.many.p99_us)})`)}`, 'none is specified: >= the best tunnel', us.many.rps >= best((r) => r.many.rps));
      row('the same, four bodies of 8 MiB at once', fmt(us.bulk.mb_per_s, 1), 'MB/s', each((r) => fmt(r.bulk.mb_per_s, 1)), 'none is specified: >= the best tunnel', us.bulk.mb_per_s >= best((r) => r.bulk.mb_per_s));
    },

    // Streams of events that say nothing: memory of edge and gateway.
    async 'tunnel-idle'() {
      const o = await makeOrigins({ tool, seconds: 60 }), n = Math.round(10000 * Math.min(1, scale)), x = await ours(o);
      try {
        const empty = rssMb([x.s.pid]), idle = rssMb(family(x.g.proc.pid));
        row('resident memory of an idle gateway', fmt(idle, 1), 'MB', `the edge, with the whole server: ${fmt(empty, 1)} MB`, '<= 8 MB', idle <= 8);
        const load = spawn('taskset', ['-c', LOAD_CPU, o.load, '-c', String(n), '-d', '120', '-I', '30', '-S', ...x.mcp.args, '-u', '/events', x.mcp.host, String(x.mcp.port)], { stdio: ['ignore', 'pipe', 'inherit'] });
        const said = JSON.parse(String(await new Promise((done) => load.stdout.once('data', done))));
        await sleep(12000);
        const [edge, gateway] = [rssMb(x.s.pid), rssMb(family(x.g.proc.pid))];
        load.kill();
        if (said.n !== n) note(`tunnel-idle: only ${said.n} of ${n} streams were open`);
        row(`${n.toLocaleString('en')} idle event streams, edge and gateway`, fmt(edge + gateway, 0), 'MB', `edge ${fmt(edge, 0)} MB (${fmt((edge - empty) * 1024 / n, 1)} KB each), gateway ${fmt(gateway, 0)} MB (${fmt((gateway - idle) * 1024 / n, 1)} KB each)`, '<= 400 MB', edge + gateway <= 400 && said.n === n);
      } finally { await x.stop(); await o.stop(); }
    },

    async 'tunnel-flat'() {
      const o = await makeOrigins({ tool, seconds: 600 }), x = await ours(o);
      try {
        runLoad(o, ['-c', 1, '-n', 1, '-u', '/1g'], x.bulk);
        const before = [rssMb(x.s.pid), rssMb(family(x.g.proc.pid))];
        runLoad(o, ['-c', 1, '-n', 1, '-u', scale < 1 ? '/1g' : '/10g'], x.bulk);
        const after = [rssMb(x.s.pid), rssMb(family(x.g.proc.pid))], grown = after[0] + after[1] - before[0] - before[1];
        row('memory that a body of 10 GiB adds to edge and gateway, after one of 1 GiB', fmt(grown, 1), 'MB', `edge ${fmt(before[0], 1)} to ${fmt(after[0], 1)} MB, gateway ${fmt(before[1], 1)} to ${fmt(after[1], 1)} MB`, 'flat (<= 1 MB)', grown <= 1);
      } finally { await x.stop(); await o.stop(); }
    },

    // From SIGKILL to the first connection of the gateway to the edge that was started at once.
    async 'tunnel-reconnect'() {
      const o = await makeOrigins({ tool, seconds: 1 }), x = await ours(o), took = [], started = [];
      try {
        for (let i = 0; i < rounds; i++) {
          const seen = (x.g.proc.err.match(/msg="connected to the edge"/g) ?? []).length;
          const from = Date.now();
          x.s.proc.kill('SIGKILL');
          await x.s.proc.exit;
          await x.s.restart();
          const up = Date.now() - from;
          while ((x.g.proc.err.match(/msg="connected to the edge"/g) ?? []).length <= seen && Date.now() - from < 60000) await sleep(5);
          took.push(Date.now() - from);
          started.push(up);
          await x.g.isUp(seen + 2);
          await sleep(1000);
        }
        row('a gateway is connected again after its edge was killed and started', fmt(median(took), 0), 'ms', `from SIGKILL on, of which the edge takes ${fmt(median(started), 0)} to start; of ${rounds}: ${took.join(', ')}`, '<= 1,500 ms', median(took) <= 1500);
      } finally { await x.stop(); await o.stop(); }
    },
  };
}
