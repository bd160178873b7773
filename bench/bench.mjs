// bench.mjs - all measurements of `make bench`, each beside the named peer in the same run; medians; writes bench/RESULTS.md.
//
// Figures, not tests: nothing here fails because a machine is slow. Loads are bounded in count and time, on loopback only.
// BENCH_ONLY=name,name runs some of them; BENCH_ROUNDS changes how often each is repeated (5).
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import net from 'node:net';
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { api, bash, makeAgent, on, say, selfHosted, startServer, startWorker } from '../tests/lib/sallyport.mjs';
import { Session } from '../tests/lib/session.mjs';
import { tempDir } from '../tests/lib/own.mjs';
import { sandboxBenches } from './sandbox.mjs';
import { boundaryBenches } from './boundary.mjs';
import { tunnelBenches } from './tunnel.mjs';

const top = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const build = process.env.BENCH_BUILD ?? path.join(top, 'build');
const bin = path.join(build, 'sallyport');
if (process.env.SALLYPORT_BIN !== bin) throw new Error('start it with bench/run, which says which program is measured');
const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const only = process.env.BENCH_ONLY?.split(',');
const rows = [];
const notes = [];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const median = (list) => { const s = [...list].sort((a, b) => a - b); return s.length ? s[Math.floor(s.length / 2)] : NaN; };
const fmt = (x, digits = 2) => (Number.isFinite(x) ? (x >= 1000 ? Math.round(x).toLocaleString('en') : x.toFixed(digits)) : '-');
function row(what, ours, unit, peer, target, met) {
  rows.push({ what, ours, unit, peer, target, met });
  console.log(`${met === undefined ? ' ' : met ? '+' : '-'} ${what}: ${ours} ${unit}${peer ? `; ${peer}` : ''}${target ? `; target ${target}` : ''}`);
}
function sh(cmd, args, opts = {}) {
  const r = spawnSync(cmd, args, { encoding: 'utf8', timeout: 300000, ...opts });
  if (r.status !== 0 && !opts.lenient) throw new Error(`${cmd} ${args.join(' ')}: ${r.status} ${r.stderr}`);
  return r.stdout;
}
const tool = (name) => path.join(build, 'bench', name);
const hostOf = (s) => new URL(s.url).host;
const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
function family(pid) {
  const kids = sh('pgrep', ['-P', String(pid)], { lenient: true }).split('\n').filter(Boolean).map(Number);
  return [pid, ...kids.flatMap(family)];
}
async function freePort() {
  return new Promise((done) => { const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)); }); });
}

const benches = {
  async 'fiber-switch'() {
    const out = sh(tool('bench_fiber_switch'), []);
    const ns = Number(/fiber_switch_ns ([\d.]+)/.exec(out)[1]);
    row('fiber switch', fmt(ns, 1), 'ns', '', '<= 30 ns', ns <= 30);
  },

  async 'http-hello'() {
    // One core each for the server under test and for wrk.
    const port = await freePort(), dir = tempDir('bench-nginx');
    fs.writeFileSync(`${dir}/nginx.conf`, `daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/log; events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "ok"; } } }`);
    const nginx = spawn('taskset', ['-c', '0', 'nginx', '-c', `${dir}/nginx.conf`], { stdio: 'ignore' });
    const hello = spawn('taskset', ['-c', '0', tool('bench_http_hello'), '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const address = await new Promise((done) => hello.stdout.once('data', (d) => done(/127\.0\.0\.1:\d+/.exec(String(d))[0])));
    await sleep(500);
    const wrk = (url) => Number(/Requests\/sec:\s+([\d.]+)/.exec(sh('taskset', ['-c', '1', 'wrk', '-t1', '-c64', '-d4s', url]))[1]);
    const a = [], b = [];
    for (let i = 0; i < rounds; i++) { a.push(wrk(`http://${address}/`)); b.push(wrk(`http://127.0.0.1:${port}/`)); }
    hello.kill(); nginx.kill();
    const ratio = median(a.map((x, i) => x / b[i]));
    row('small keep-alive responses per second and core', fmt(median(a)), '/s', `nginx ${fmt(median(b))} /s (ratio ${fmt(ratio)})`, '>= 0.8 x nginx', ratio >= 0.8);
  },

  async 'sse-idle'() {
    const n = 10000;
    const s = await startServer({ rules: [on('', {}, say('ok'))] });
    const { env } = await selfHosted(s);
    const agent = await makeAgent(s);
    const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
    const before = rss(s.pid);
    const load = spawn(tool('api_load'), ['streams', hostOf(s), s.apiKey, x.id, String(n)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const open = await new Promise((done) => load.stdout.once('data', (d) => done(Number(/open (\d+)/.exec(String(d))[1]))));
    await sleep(3000);
    const mb = rss(s.pid);
    load.stdin.end();
    await new Promise((done) => load.once('exit', done));
    await s.stop();
    if (open !== n) notes.push(`sse-idle: only ${open} of ${n} streams could be opened`);
    row(`${open.toLocaleString('en')} idle event streams, whole server`, fmt(mb, 1), 'MB', `${fmt(before, 1)} MB before; ${fmt((mb - before) * 1024 / open, 1)} KB each`, '<= 120 MB', mb <= 120 && open === n);
  },

  async 'events'() {
    // A new database each round; the last round goes on to show what a grown one does to it.
    const runs = [];
    let later;
    for (let i = 0; i < Math.min(rounds, 3); i++) {
      const s = await startServer({ rules: [on('', {}, { delay_ms: 600000 }, say('late'))], args: ['--log-level', 'warn'] });
      const { env } = await selfHosted(s);
      const agent = await makeAgent(s);
      const ids = [];
      for (let k = 0; k < 64; k++) {
        const x = await Session.create(s, { agent: agent.id, environment_id: env.id, initial_events: [{ type: 'user.message', content: [{ type: 'text', text: 'go' }] }] });
        ids.push(x.id);
      }
      await sleep(500);
      const load = () => JSON.parse(sh(tool('api_load'), ['events', hostOf(s), s.apiKey, ...ids, '--', '64', '5']));
      runs.push(load());
      if (i === Math.min(rounds, 3) - 1) for (let k = 0; k < 3; k++) later = load();
      await s.stop();
    }
    const rate = median(runs.map((r) => r.per_second));
    row('durable events per second, one a request, 64 clients', fmt(rate), '/s', `p50 ${fmt(median(runs.map((r) => r.p50_ms)))} ms, p99 ${fmt(median(runs.map((r) => r.p99_ms)))} ms; after 15 s more on the same database ${fmt(later.per_second)} /s`, '>= 10,000 /s', rate >= 10000);
  },

  async 'session-create'() {
    const s = await startServer({ rules: [on('', {}, say('ok'))] });
    const { env } = await selfHosted(s);
    const agent = await makeAgent(s);
    const r = JSON.parse(sh(tool('api_load'), ['create', hostOf(s), s.apiKey, JSON.stringify({ agent: agent.id, environment_id: env.id }), '500']));
    await s.stop();
    row('session create p50', fmt(r.p50_ms), 'ms', `p99 ${fmt(r.p99_ms)} ms`, '<= 3 ms', r.p50_ms <= 3);
  },

  // Claim latency and tool round trip, our worker and the SDK's worker on the same server, from the stamps in its log.
  async 'worker'() {
    const calls = 50;
    const s = await startServer({ rules: [on('', { turn: calls + 1 }, say('done')), on('', {}, bash('echo hi'))] });
    const agent = await makeAgent(s);
    const us = (t) => { const [, ms, rest] = /^(.*\.\d{3})(\d{3})Z$/.exec(t); return Date.parse(`${ms}Z`) * 1000 + Number(rest); };
    async function measure(start) {
      const { env, key } = await selfHosted(s);
      const w = await start(env, key);
      const claims = [], trips = [];
      for (let i = 0; i < rounds * 3; i++) {
        await sleep(1500 + Math.random() * 1500); // an idle poller is somewhere in its cycle
        const x = await Session.create(s, { agent: agent.id, environment_id: env.id });
        const sent = await s.client().beta.sessions.events.send(x.id, { events: [{ type: 'user.message', content: [{ type: 'text', text: 'go' }] }] });
        void sent;
        let log;
        for (const until = Date.now() + 60000; Date.now() < until; await sleep(50)) {
          log = (await api(s, 'GET', `/v1/sessions/${x.id}/events?limit=1000`)).body.data;
          if (log.some((e) => e.type === 'agent.message')) break;
        }
        const items = (await api(s, 'GET', `/v1/environments/${env.id}/work?limit=100`)).body.data.filter((k) => k.data.id === x.id);
        for (const item of items) claims.push((us(item.acknowledged_at) - us(item.created_at)) / 1000);
        for (const use of log.filter((e) => e.type === 'agent.tool_use').slice(1)) {
          const result = log.find((e) => e.type === 'user.tool_result' && e.tool_use_id === use.id);
          trips.push((us(result.processed_at) - us(use.processed_at)) / 1000);
        }
        await api(s, 'POST', `/v1/sessions/${x.id}/archive`);
      }
      await w.stop();
      return { claim: median(claims), trip: median(trips) };
    }
    const ours = await measure(async (env, key) => startWorker({ url: s.url, envId: env.id, envKey: key }));
    const theirs = await measure(async (env, key) => {
      const ctrl = new AbortController();
      const w = s.client({ apiKey: null, authToken: 'unused' }).beta.environments.work.worker({ environmentId: env.id, environmentKey: key, workdir: tempDir('bench-sdk'), maxIdleMs: 300, signal: ctrl.signal });
      const done = w.run().catch(() => {});
      return { stop: async () => { ctrl.abort(); await Promise.race([done, sleep(5000)]); } };
    });
    await s.stop();
    row('claim latency p50 (work created to acknowledged)', fmt(ours.claim), 'ms', `SDK poller ${fmt(theirs.claim)} ms (${fmt(theirs.claim / ours.claim, 0)} x)`, '<= 10 ms and >= 50 x lower', ours.claim <= 10 && theirs.claim / ours.claim >= 50);
    row('tool round trip p50 (tool_use to tool_result in the log)', fmt(ours.trip), 'ms', `SDK worker ${fmt(theirs.trip)} ms (${fmt(theirs.trip / ours.trip, 1)} x)`, '<= 3 ms and >= 5 x lower', ours.trip <= 3 && theirs.trip / ours.trip >= 5);
  },

  ...sandboxBenches({ row, note: (text) => { notes.push(text); console.log(`  ${text}`); }, fmt, median, sh, tool: (name) => tool(name), bin, rounds }),
  ...boundaryBenches({ row, note: (text) => { notes.push(text); console.log(`  ${text}`); }, fmt, median, sh, tool: (name) => tool(name), bin, rounds }),
  ...tunnelBenches({ row, note: (text) => { notes.push(text); console.log(`  ${text}`); }, fmt, median, tool: (name) => tool(name), rounds }),

  async 'idle'() {
    const data = tempDir('bench-up');
    const up = spawn(bin, ['up', '--listen', '127.0.0.1:0', '--data', data], { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env.PATH, HOME: os.tmpdir() } });
    await new Promise((done) => up.stdout.on('data', (d) => String(d).includes('ready') && done()));
    await sleep(3000);
    const all = family(up.pid).map((pid) => [fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 2).map((w) => path.basename(w)).join(' '), rss(pid)]);
    up.kill();
    await new Promise((done) => up.once('exit', done));
    const sum = all.reduce((a, [, mb]) => a + mb, 0);
    row('idle `sallyport up`, resident memory of all processes', fmt(sum, 1), 'MB', all.map(([name, mb]) => `${name} ${fmt(mb, 1)}`).join(', '), '<= 20 MB', sum <= 20);
  },

  async 'binary'() {
    const copy = path.join(tempDir('bench-bin'), 'sallyport');
    sh('strip', ['-o', copy, bin]);
    const mb = fs.statSync(copy).size / 1048576;
    row('stripped binary', fmt(mb), 'MB', '', '<= 3 MB', mb <= 3);
  },
};

for (const [name, run] of Object.entries(benches)) {
  if (only && !only.includes(name)) continue;
  try { await run(); } catch (e) { row(name, 'failed', '', '', String(e.message).split('\n')[0].slice(0, 200), false); process.exitCode = 1; }
}

if (!only) {
  const cpu = /model name\s*:\s*(.*)/.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '?';
  const extra = path.join(top, 'bench', 'NOTES.md');
  fs.writeFileSync(path.join(top, 'bench', 'RESULTS.md'), `# Measurements

Written by \`make bench\`: one run, ours and the peer in turn, medians. ${new Date().toISOString().slice(0, 10)}; ${cpu}, ${os.cpus().length} cores, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}; commit ${sh('git', ['-C', top, 'rev-parse', '--short', 'HEAD']).trim()}.

| measure | ours | beside it | target | met |
|---|---|---|---|---|
${rows.map((r) => `| ${r.what} | ${r.ours} ${r.unit} | ${r.peer} | ${r.target} | ${r.met === undefined ? '' : r.met ? 'yes' : 'no'} |`).join('\n')}
${notes.map((n) => `\n* ${n}`).join('')}
${fs.existsSync(extra) ? `\n${fs.readFileSync(extra, 'utf8')}` : ''}`);
  console.log('written: bench/RESULTS.md');
}
process.exit();
