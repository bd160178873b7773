// ours.mjs - a sandbox behind the boundary: `sallyport exec --egress FILE` with a shell in it that is told what to run.
//
// The sandbox has the load's core; the proxy and the keeper have the other one, each counted by itself.
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { HOST, LOAD_CPU, PEER_CPU, SECRET, cpuUs, family, h2, sleep, start } from './place.mjs';

const command = (pid) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' '); } catch { return ''; } };
let count = 0;

/** The policy in all measurements: one host, and as many credentials for it as wanted (the first is TOKEN). */
export function policy(place, { credentials = 1, inspect = false, inject, hosts = [HOST] } = {}) {
  const one = (name, i) => ({ name, source: { env: i ? 'BENCH_OTHER' : 'BENCH_SECRET' }, hosts: hosts.map((h) => `${h}:${place.port}`), ...(inject ? { inject: inject(i) } : {}) });
  return {
    ca_file: place.cert, nameservers: [place.dns],
    allow: hosts.flatMap((host) => [place.port, place.raw].map((port) => ({ host, port, addresses: ['127.0.0.0/8'], ...(inspect ? { inspect } : {}) }))),
    credentials: Array.from({ length: credentials }, (_, i) => one(i ? `TOKEN_${i}` : 'TOKEN', i)),
  };
}

/** A running sandbox: `sh(line)` gives what the line wrote; `load(args)` the figures with proxy_us and keeper_us an answer. */
export async function sandbox(place, bin, rules, { env = {} } = {}) {
  const name = `ours${++count}`, file = path.join(place.dir, `${name}.yaml`);
  fs.writeFileSync(file, JSON.stringify({ egress: rules })); // JSON is YAML
  const p = start(LOAD_CPU, name, [bin, 'exec', '--bind', place.dir, '--egress', file, '--audit', path.join(place.dir, `${name}.jsonl`), '--', 'sh'],
    { dir: place.dir, stdin: 'pipe', stdout: 'pipe', env: { BENCH_SECRET: SECRET, BENCH_OTHER: 'another-secret-of-the-bench-0001', ...env } });
  let text = '', wake = () => {}, n = 0;
  p.stdout.setEncoding('utf8').on('data', (d) => { text += d; wake(); });
  p.once('exit', () => wake());
  const b = {
    pid: p.pid,
    async sh(line, { timeout = 300000, until } = {}) {
      const mark = until ?? `done-${++n}`;
      text = '';
      p.stdin.write(until ? `${line}\n` : `${line}; echo ${mark}\n`);
      for (const end = Date.now() + timeout; !text.includes(mark);) {
        if (p.exitCode !== null) throw new Error(`the sandbox ended: ${p.log()}`);
        if (Date.now() > end) throw new Error(`no answer in the sandbox: ${text.slice(-200)} ${p.log()}`);
        await Promise.race([new Promise((done) => { wake = done; }), sleep(1000)]);
      }
      return text.slice(0, text.lastIndexOf(mark)).trim();
    },
    cpu: () => ({ proxy: cpuUs(b.proxies), keeper: cpuUs(b.keeper) }),
    /** What a command in there cost, and what it wrote. */
    async cost(line, o) {
      const before = b.cpu(), out = await b.sh(line, o), after = b.cpu();
      return { out, proxy_us: after.proxy - before.proxy, keeper_us: after.keeper - before.keeper };
    },
    async load(args, { host = HOST, port = place.port, seconds = place.seconds, token = true } = {}) {
      const c = await b.cost(`${token ? '' : 'env -u TOKEN '}${place.load} -d ${seconds} ${args.join(' ')} ${host} ${port} 2>&1`);
      return share(c, figures(c.out));
    },
    async bulk(n) {
      const c = await b.cost(place.bulk(HOST, place.raw, n).join(' '));
      return share(c, figures(c.out));
    },
    async h2load(args) {
      const c = await b.cost(`h2load -t1 ${args.join(' ')} -H "authorization: Bearer $TOKEN" https://${HOST}:${place.port}/ 2>&1`);
      return share(c, h2(c.out));
    },
    async stop() { p.stdin.end('exit\n'); await Promise.race([new Promise((done) => p.once('exit', done)), sleep(5000)]); await p.stop(); },
  };
  await b.sh('true', { timeout: 20000 });
  const all = family(p.pid).map((pid) => [pid, command(pid)]);
  b.keeper = all.filter(([, c]) => /egress keeper/.test(c)).map(([pid]) => pid);
  b.proxies = all.filter(([, c]) => /egress proxy/.test(c)).map(([pid]) => pid);
  if (b.keeper.length !== 1 || b.proxies.length !== 1) throw new Error(`one keeper and one proxy were expected: ${JSON.stringify(all)}`);
  for (const pid of [...b.keeper, ...b.proxies]) spawnSync('taskset', ['-a', '-c', '-p', PEER_CPU, String(pid)]);
  return b;
}
const figures = (text) => {
  const line = text.split('\n').find((l) => l.startsWith('{"rps"'));
  if (!line) throw new Error(`the load in the sandbox: ${text.trim().slice(-300).replaceAll(/\s+/g, ' ')}`);
  return JSON.parse(line);
};
const share = (c, r) => ({ ...r, proxy_us: c.proxy_us / r.n, keeper_us: c.keeper_us / r.n, cpu_us: (c.proxy_us + c.keeper_us) / r.n });
