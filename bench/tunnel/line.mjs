// line.mjs - the tunnel, and the peers, over a line of 25 ms each way that loses one packet in a hundred.
//
// Started by tunnel.mjs in a namespace of the network of its own, whose certificates it has made: callers, the edge and the near halves
// are in it. Gateway, far halves and origins are in another one, which this makes; between the two is bench/line.c,
// for the kernel may have no netem. Prints a line of JSON for each who was measured: {name, one, many, bulk}, or {name, why}.
import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { start, sleep } from '../boundary/place.mjs';
import { tempDir } from '../../tests/lib/own.mjs';
import { direct, makeOrigins, ours, peer, runLoad } from './place.mjs';

const { tools, seconds, rounds, NEAR, ca, cert, key } = JSON.parse(process.argv[2]);
const FAR = '10.99.0.2', DELAY_MS = 25, LOSS_PER_MILLE = 10, BULK = '/8m';
const dir = tempDir('bench-line'), sh = (script) => execFileSync('sh', ['-ec', script]);
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

const far = start('0-1', 'far', ['unshare', '-n', 'sleep', '3600'], { dir });
while (fs.readlinkSync(`/proc/${far.pid}/ns/net`) === fs.readlinkSync('/proc/self/ns/net')) await sleep(10);
const at = (script) => sh(`nsenter -t ${far.pid} -n sh -ec '${script}'`);
const line = spawn(`${tools}/line`, [String(DELAY_MS), String(LOSS_PER_MILLE), String(far.pid)], { stdio: ['pipe', 'pipe', 'inherit'] });
await new Promise((ok, no) => { line.stdout.once('data', ok); line.once('exit', () => no(new Error('no line'))); });
sh(`ip link set lo up; ip addr add ${NEAR}/24 dev line0; ip link set line0 up`);
at(`ip link set lo up; ip addr add ${FAR}/24 dev line0; ip link set line0 up`);

const o = await makeOrigins({
  tool: (name) => `${tools}/${name}`, seconds, line: {
    near: NEAR, far: FAR, there: (argv) => ['nsenter', '-t', String(far.pid), '-n', ...argv],
    edge: { listen: `${NEAR}:0`, args: ['--tls-cert', cert, '--tls-key', key] }, gateway: { ca_file: ca, upstream: { allowed_ips: [`${FAR}/32`] } },
  },
});
fs.truncateSync(`${o.dir}/www/1g`, 8 << 20);
fs.renameSync(`${o.dir}/www/1g`, `${o.dir}/www${BULK}`);
try {
  for (const [name, make] of [['direct', () => direct(o)], ['ours', () => ours(o)], ...['ssh', 'stunnel', 'haproxy'].map((n) => [n, () => peer(n, o)])]) {
    let x;
    try {
      if (process.env.LINE_ONLY && !process.env.LINE_ONLY.split(',').includes(name)) continue;
      x = await make();
      const runs = Array.from({ length: rounds }, () => [runLoad(o, ['-c', 1], x.fast), runLoad(o, ['-c', 64], x.fast), runLoad(o, ['-c', 4, '-n', 16, '-d', 120, '-u', BULK], x.bulk)]);
      const of = (i, key) => median(runs.map((r) => r[i][key]));
      console.log(JSON.stringify({
        name, failures: runs.flat().reduce((a, r) => a + r.failures, 0), one: { p50_us: of(0, 'p50_us'), p99_us: of(0, 'p99_us') },
        many: { rps: of(1, 'rps'), p50_us: of(1, 'p50_us'), p99_us: of(1, 'p99_us') }, bulk: { mb_per_s: of(2, 'mb_per_s') },
      }));
    } catch (e) { console.log(JSON.stringify({ name, why: String(e.message).slice(0, 160) })); } finally { await x?.stop(); }
  }
} finally {
  await o.stop();
  line.stdin.end();
  await far.stop();
}
