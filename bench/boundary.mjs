// boundary.mjs - the measurements of the credential boundary beside proxies that do the same (bench/README.md says what each includes).
//
// All by CPU of the process that is measured, and as rates. A line that other programs took part of the machine from is marked "disturbed".
import { HOST, foreignMs, makePlace, rssMb, runBulk, runH2load, runLoad } from './boundary/place.mjs';
import { names, peer } from './boundary/peers.mjs';
import { policy, sandbox } from './boundary/ours.mjs';
import { cpuUs } from './boundary/place.mjs';

const scale = Number(process.env.BENCH_SCALE ?? 1);

export function boundaryBenches({ row, note, fmt, median, sh, tool, bin, rounds }) {
  const seconds = Math.max(1, 3 * scale);
  const of = (runs, key) => median(runs.map((r) => r[key]));

  async function withPlace(run) {
    const place = await makePlace({ tool, seconds });
    try { await run(place); } finally { await place.stop(); }
  }
  /** Runs fn; the share of the machine that others had meanwhile, as a word for the line. */
  async function watched(fn) {
    const from = foreignMs(), began = Date.now(), r = await fn();
    const ms = foreignMs() - from, took = Date.now() - began;
    return [r, ms > took * 0.05 ? `; disturbed: others used ${Math.round(ms / 10) * 10} ms of CPU in ${fmt(took / 1000, 1)} s` : ''];
  }
  async function peers(place, wanted, title) {
    const all = [];
    for (const name of wanted) try { all.push(await peer(name, place)); } catch (e) { note(`${title}: ${name} not measured: ${String(e.message).replaceAll(place.dir, '…').slice(0, 160)}`); }
    return all;
  }
  // In turn, round after round: { ours: [figures], nginx: [figures], ... }.
  async function inTurn(ours, others, n = rounds) {
    const runs = Object.fromEntries([['ours', []], ...others.map((o) => [o.name, []])]);
    for (let i = 0; i < n; i++) {
      runs.ours.push(await ours());
      for (const o of others) {
        const before = cpuUs(o.pids()), r = await o.run();
        runs[o.name].push({ ...r, cpu_us: (cpuUs(o.pids()) - before) / r.n });
      }
    }
    for (const [name, list] of Object.entries(runs)) { const bad = list.reduce((a, r) => a + r.failures, 0); if (bad) note(`${bad} answers of ${name} failed`); }
    return runs;
  }
  const words = (runs) => Object.entries(runs).filter(([n]) => n !== 'ours').map(([n, l]) => `${n} ${fmt(of(l, 'cpu_us'), 1)} µs, ${fmt(of(l, 'rps'))} /s${l[0].p50_us ? `, p50 ${fmt(of(l, 'p50_us'), 0)} µs` : ''} (rate ratio ${fmt(of(runs.ours, 'rps') / of(l, 'rps'))})`).join('; ');
  const own = (l) => `proxy ${fmt(of(l, 'proxy_us'), 1)} + keeper ${fmt(of(l, 'keeper_us'), 1)} µs, ${fmt(of(l, 'rps'))} /s${l[0].p50_us ? `, p50 ${fmt(of(l, 'p50_us'), 0)}, p99 ${fmt(of(l, 'p99_us'), 0)} µs` : ''}`;

  return {
    // Requests over connections that are kept: a placeholder goes in, the real key goes out.
    async 'boundary-https'() {
      await withPlace(async (place) => {
        const b = await sandbox(place, bin, policy(place));
        const others = await peers(place, names, 'boundary-https');
        try {
          const echo = await b.sh(`curl -sS https://${HOST}:${place.port}/echo -H "Authorization: Bearer $TOKEN" -o /dev/null -w '%{http_code}'`);
          if (echo !== '200') throw new Error(`a request failed: ${echo}`);
          for (const c of [1, 16, 64]) {
            const [direct] = [runLoad(place, ['-c', c], 'localhost', place.port)];
            const [runs, mark] = await watched(() => inTurn(() => b.load(['-c', c]), others.map((o) => ({ ...o, run: () => runLoad(place, [...o.args, '-c', c], o.host, o.to) }))));
            const n = runs.nginx && of(runs.nginx, 'cpu_us') / of(runs.ours, 'cpu_us');
            if (c === 1 && runs.nginx) {
              const add = (l) => of(l, 'p50_us') - direct.p50_us, ratio = add(runs.ours) / add(runs.nginx);
              row('added latency of an intercepted request, p50, one connection', fmt(add(runs.ours), 0), 'µs', `nginx ${fmt(add(runs.nginx), 0)} µs (ratio ${fmt(ratio)}); ${own(runs.ours)}; ${words(runs)}${mark}`, '<= 1.2 x nginx', ratio <= 1.2);
            } else row(`intercepted HTTPS, ${c} connections, CPU a request`, fmt(of(runs.ours, 'cpu_us'), 1), 'µs', `${own(runs.ours)}; ${words(runs)}${mark}`, c === 16 ? '>= 0.9 x nginx by CPU' : '', c === 16 && n ? n >= 0.9 : undefined);
          }
          row('resident memory of a proxy after these runs', fmt(rssMb(b.proxies), 1), 'MB', `keeper ${fmt(rssMb(b.keeper), 1)} MB; ${others.map((o) => `${o.name} ${fmt(rssMb(o.pids()), 1)} MB`).join(', ')}`, '');
        } finally { for (const o of others) await o.stop(); await b.stop(); }
      });
    },

    async 'boundary-h2'() {
      await withPlace(async (place) => {
        const b = await sandbox(place, bin, policy(place));
        const others = await peers(place, ['nginx', 'haproxy'], 'boundary-h2');
        try {
          const args = ['-c16', '-m10', '-D', Math.ceil(seconds)];
          const [runs, mark] = await watched(() => inTurn(() => b.h2load(args), others.map((o) => ({ ...o, run: () => runH2load(args, `https://127.0.0.1:${o.to}/`, 'Bearer placeholder') }))));
          row('intercepted HTTP/2 on both sides, 16 x 10 streams, CPU a request', fmt(of(runs.ours, 'cpu_us'), 1), 'µs', `${own(runs.ours)}; ${words(runs)} (these with HTTP/1.1 to the origin)${mark}`, '');
        } finally { for (const o of others) await o.stop(); await b.stop(); }
      });
    },

    // A connection for every request. nginx and haproxy make a new one to the origin as well; ours has those that it keeps.
    async 'boundary-new'() {
      await withPlace(async (place) => {
        const n = 200; // names of their own: a wildcard may not lead to the machine itself
        const hosts = [HOST, ...Array.from({ length: n }, (_, i) => `h${i}.${HOST}`)], b = await sandbox(place, bin, policy(place, { hosts }));
        const others = await peers(place, names, 'boundary-new');
        try {
          const [runs, mark] = await watched(() => inTurn(() => b.load(['-c16', '-N']), others.map((o) => ({ ...o, run: () => runLoad(place, [...o.args, '-c16', '-N'], o.host, o.toAnew) }))));
          const ratio = runs.nginx ? of(runs.nginx, 'cpu_us') / of(runs.ours, 'cpu_us') : NaN;
          row('new connections with a leaf, CPU each', fmt(of(runs.ours, 'cpu_us'), 0), 'µs', `${own(runs.ours)}; ${words(runs)}${mark}`, '>= 0.9 x nginx by CPU', ratio >= 0.9);
          // Every connection to a host that was never asked for: name, dial, handshake, leaf, handshake, request.
          const first = await b.load(['-c1', '-N', '-n', n], { host: `h%d.${HOST}`, seconds: 60 });
          const direct = runLoad(place, ['-c1', '-N', '-n', n], 'localhost', place.port), more = (first.p50_us - direct.p50_us) / 1000;
          row('first request to a new host, p50, over one without the boundary', fmt(more), 'ms', `${fmt(first.p50_us / 1000)} and ${fmt(direct.p50_us / 1000)} ms; CPU ${fmt(first.cpu_us, 0)} µs`, '<= 2 ms', more <= 2);
        } finally { for (const o of others) await o.stop(); await b.stop(); }
      });
    },

    async 'boundary-pass'() {
      await withPlace(async (place) => {
        const b = await sandbox(place, bin, policy(place, { credentials: 0 }));
        const [h] = await peers(place, ['haproxy'], 'boundary-pass');
        try {
          const [runs, mark] = await watched(() => inTurn(() => b.load(['-c16']), h ? [{ ...h, run: () => runLoad(place, ['-c16'], 'localhost', h.tcp) }] : []));
          const ratio = h ? of(runs.haproxy, 'cpu_us') / of(runs.ours, 'cpu_us') : NaN;
          row('passed through, TLS inside, 16 connections, CPU a request', fmt(of(runs.ours, 'cpu_us'), 1), 'µs', `${own(runs.ours)}; ${words(runs)}${mark}`, '>= 0.95 x haproxy TCP by CPU', ratio >= 0.95);
          const n = 4, splice = h && { ...h, name: 'haproxy splice', run: () => runBulk(place, h.splice, n) };
          const [bulk, mark2] = await watched(() => inTurn(() => b.bulk(n), h ? [{ ...h, run: () => runBulk(place, h.bulk, n) }, splice] : [], Math.min(rounds, 3)));
          const mb = (l) => of(l, 'mb_per_s'), more = h ? mb(bulk.ours) / mb(bulk.haproxy) : NaN;
          row('passed through, bulk of 1 GiB each, no protocol that is known', fmt(mb(bulk.ours), 0), 'MB/s', `${fmt(of(bulk.ours, 'cpu_us') / 1000, 0)} ms of CPU a GiB; ${h ? ['haproxy', 'haproxy splice'].map((k) => `${k} ${fmt(mb(bulk[k]), 0)} MB/s, ${fmt(of(bulk[k], 'cpu_us') / 1000, 0)} ms`).join('; ') : ''}${mark2}`, '>= 1.2 x haproxy TCP', more >= 1.2);
        } finally { await h?.stop(); await b.stop(); }
      });
    },

    // 10 GiB through interception and scrubbing; memory every half second.
    async 'boundary-stream'() {
      await withPlace(async (place) => {
        const b = await sandbox(place, bin, policy(place));
        const file = scale < 1 ? '/1g' : '/10g', seen = [];
        const watch = setInterval(() => seen.push(rssMb(b.proxies)), 500);
        try {
          const [r, mark] = await watched(() => b.load(['-c1', '-n', 1, '-u', file], { seconds: 280 }));
          const flat = seen.slice(2), grew = Math.max(...flat) - Math.min(...flat);
          row(`growth of resident memory over a stream of ${file.slice(1, -1)} GiB`, fmt(grew), 'MB', `${flat.length} samples, ${fmt(Math.min(...flat), 1)} to ${fmt(Math.max(...flat), 1)} MB; ${fmt(r.mb_per_s, 0)} MB/s${mark}`, '<= 1 MB', grew <= 1 && r.n === 1);
        } finally { clearInterval(watch); await b.stop(); }
      });
    },

    // As many connections as one sandbox may have, each after one request.
    async 'boundary-idle'() {
      await withPlace(async (place) => {
        const total = 10000, b = await sandbox(place, bin, policy(place)), each = Math.round(4000 * Math.min(scale, 1));
        try {
          const before = rssMb(b.proxies);
          await b.sh(`ulimit -n $(ulimit -Hn); ${place.load} -c ${each} -I 20 -d 120 ${HOST} ${place.port} 2>&1 &`, { until: '"rps"' });
          await new Promise((done) => setTimeout(done, 12000));
          const mb = rssMb(b.proxies), all = before + (mb - before) * total / each;
          row(`${each.toLocaleString('en')} idle intercepted connections of one sandbox, resident memory`, fmt(mb, 1), 'MB', `${fmt(before, 1)} MB before; ${fmt((mb - before) * 1024 / each, 1)} KiB each, so ${total.toLocaleString('en')} would take ${fmt(all, 0)} MB`, '<= 300 MB for 10,000', all <= 300);
        } finally { await b.stop(); }
      });
    },

    async 'boundary-scrub'() {
      await withPlace(async (place) => {
        const off = await sandbox(place, bin, policy(place, { credentials: 0, inspect: true })), on = await sandbox(place, bin, policy(place));
        try {
          const big = ['-c1', '-n', 1, '-u', '/1g'];
          for (const [what, args, o, unit, div] of [['a request with 1 KiB of answer', ['-c16'], {}, 'µs', 1], ['1 GiB of answer', big, { seconds: 60 }, 'ms', 1000]]) {
            const a = [], c = [], d = [];
            const [, mark] = await watched(async () => {
              for (let i = 0; i < Math.min(rounds, 3); i++) {
                a.push(await off.load(args, { ...o, token: false }));
                c.push(await on.load(args, { ...o, token: false }));
                d.push(await on.load(args, o));
              }
            });
            const cost = of(c, 'proxy_us') / of(a, 'proxy_us') - 1;
            row(`scrubbing on, more CPU of the proxy: ${what}`, fmt(cost * 100, 1), '%', `${fmt(of(a, 'proxy_us') / div, 1)} and ${fmt(of(c, 'proxy_us') / div, 1)} ${unit}; with a substitution, too, ${fmt(of(d, 'proxy_us') / div, 1)} ${unit}${mark}`, '<= 15 %', cost <= 0.15);
          }
        } finally { await off.stop(); await on.stop(); }
      });
    },

    // Each part by itself, without sockets and without TLS.
    async 'boundary-parts'() {
      const lines = (name, args = []) => sh(tool(name), args).trim().split('\n').map((l) => JSON.parse(l));
      for (const o of lines('mint_cost')) note(`mint_cost: ${JSON.stringify(o)}`);
      for (const o of lines('policy_cost')) note(`policy_cost: ${JSON.stringify(o)}`);
      for (const o of lines('bench_inject')) note(`bench_inject: ${JSON.stringify(o)}`);
      const big = lines('policy_cost', ['100000'])[0], worst = Math.max(big.exact_ns, big.wildcard_ns, big.miss_ns, big.request_ns);
      row('a decision with 100,000 rules, the slowest kind', fmt(worst, 0), 'ns', `exact ${big.exact_ns}, wildcard ${big.wildcard_ns}, miss ${big.miss_ns}, request ${big.request_ns} ns`, '<= 1000 ns', worst <= 1000);
    },
  };
}
