// place.mjs - what every measurement of the boundary stands on: two cores, an origin, a name server, the load, and counters of CPU and memory.
//
// The load and the origin have core 0, what is measured has core 1. CPU is read from /proc/PID/task/*/schedstat, in nanoseconds.
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { tempDir } from '../../tests/lib/own.mjs';

export const LOAD_CPU = process.env.BENCH_LOAD_CPU ?? '0', PEER_CPU = process.env.BENCH_PEER_CPU ?? '1';
export const HOST = 'bench.test', SECRET = 'the-real-secret-of-the-bench';
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const read = (file) => { try { return fs.readFileSync(file, 'latin1'); } catch { return ''; } };
const list = (dir) => { try { return fs.readdirSync(dir); } catch { return []; } };

/** A process and all below it. */
export function family(pid) {
  const kids = list(`/proc/${pid}/task`).flatMap((t) => read(`/proc/${pid}/task/${t}/children`).split(' ').filter(Boolean));
  return [pid, ...kids.flatMap((k) => family(Number(k)))];
}
/** Microseconds of CPU that processes have used. */
export const cpuUs = (pids) => [pids].flat().map((pid) => {
  const threads = list(`/proc/${pid}/task`).map((t) => Number(read(`/proc/${pid}/task/${t}/schedstat`).split(' ')[0]) / 1000).reduce((a, b) => a + b, 0);
  const f = read(`/proc/${pid}/stat`).replace(/.*\) /s, '').split(' '); // in steps of 10 ms, but with the threads that have ended
  return Math.max(threads, (Number(f[11] ?? 0) + Number(f[12] ?? 0)) * 10000);
}).reduce((a, b) => a + b, 0);
/** Resident megabytes. */
export const rssMb = (pids) => [pids].flat().map((pid) => Number(/^Rss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? /VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024).reduce((a, b) => a + b, 0);

/** Milliseconds of CPU that nobody of ours has used: other programs and the hypervisor. */
export function foreignMs() {
  const hz = 10, up = new Map(), used = new Map();
  for (const pid of list('/proc').filter((n) => /^\d+$/.test(n))) {
    const f = read(`/proc/${pid}/stat`).replace(/.*\) /s, '').split(' ');
    if (f.length < 15) continue;
    up.set(pid, f[1]);
    used.set(pid, (Number(f[11]) + Number(f[12]) + Number(f[13]) + Number(f[14])) * hz);
  }
  const [, user, nice, system, , , , , steal] = read('/proc/stat').split('\n')[0].split(/\s+/).map(Number);
  let rest = (user + nice + system + steal) * hz;
  for (const pid of used.keys()) {
    let at = pid;
    for (let i = 0; i < 64 && at && at !== String(process.pid); i++) at = up.get(at);
    if (at === String(process.pid)) rest -= used.get(pid);
  }
  return rest;
}

const mine = new Set();
/** Starts a program on a core, with its output in a file of `dir`; stop() ends it, and only it and its own. */
export function start(cpu, name, argv, { dir, env = {}, stdin = 'ignore', stdout } = {}) {
  const log = fs.openSync(path.join(dir, `${name}.log`), 'a');
  const p = spawn('taskset', ['-c', cpu, ...argv], { stdio: [stdin, stdout ?? log, log], env: { ...process.env, ...env } });
  mine.add(p);
  p.once('exit', () => mine.delete(p));
  p.on('error', () => {});
  p.log = () => read(path.join(dir, `${name}.log`)).trim().split('\n').slice(-3).join(' | ');
  p.stop = async () => {
    if (p.exitCode !== null || p.signalCode !== null) return;
    const over = new Promise((done) => p.once('exit', done));
    p.kill();
    if (await Promise.race([over, sleep(5000).then(() => 'late')]) === 'late') { p.kill('SIGKILL'); await over; }
  };
  return p;
}
process.on('exit', () => { for (const p of mine) p.kill('SIGKILL'); });

export async function freePort() {
  return new Promise((done) => { const s = net.createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)); }); });
}
export async function listening(port, p, { host = '127.0.0.1', limit = 20000 } = {}) {
  for (const until = Date.now() + limit; Date.now() < until; await sleep(50)) {
    if (p.exitCode !== null) throw new Error(`ended at once: ${p.log()}`);
    const open = await new Promise((done) => { const s = net.connect(port, host, () => { s.destroy(); done(true); }).once('error', () => done(false)); });
    if (open) return;
  }
  throw new Error(`nothing listens: ${p.log()}`);
}

/** nginx's configuration but for the servers: the same for the origin and for nginx as a peer. */
export function nginxConf(dir, name, body, main = '') {
  const file = path.join(dir, `${name}.conf`);
  fs.writeFileSync(file, `worker_processes 1; daemon off; pid ${dir}/${name}.pid; error_log ${dir}/${name}.err warn; ${process.getuid() === 0 ? 'user root;' : ''}
events { worker_connections 24000; }
worker_rlimit_nofile 60000;
${main}
http { access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0; server_names_hash_bucket_size 128;
  client_body_temp_path ${dir}/${name}1; proxy_temp_path ${dir}/${name}2; fastcgi_temp_path ${dir}/${name}3; uwsgi_temp_path ${dir}/${name}4; scgi_temp_path ${dir}/${name}5;
  sendfile on; tcp_nodelay on; ssl_session_cache off; ssl_session_tickets off;
  ${body}
}
`);
  return file;
}

function nameServer() {
  const s = dgram.createSocket('udp4');
  s.on('message', (q, from) => {
    let at = 12;
    while (q[at]) at += q[at] + 1;
    const a = q.readUInt16BE(at + 1) === 1;
    const head = Buffer.from([q[0], q[1], 0x81, 0x80, 0, 1, 0, a ? 1 : 0, 0, 0, 0, 0]);
    const answer = a ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]) : Buffer.alloc(0);
    s.send(Buffer.concat([head, q.subarray(12, at + 5), answer]), from.port, from.address);
  });
  return new Promise((done) => s.bind(0, '127.0.0.1', () => done({ address: `127.0.0.1:${s.address().port}`, stop: () => s.close() })));
}

/**
 * The origin: nginx with TLS (`port`, HTTP/1.1 and 2), and raw.py (`raw`, 1 GiB in no protocol). / is 1 KiB, /echo tells the Authorization it
 * got, /secret is 1 KiB that holds the secret, /1g and /10g are so many zeros, /sink takes bodies.
 */
export async function makePlace({ tool, seconds }) {
  const dir = tempDir('bench-boundary');
  fs.chmodSync(dir, 0o755);
  const key = path.join(dir, 'key.pem'), cert = path.join(dir, 'cert.pem'), load = path.join(dir, 'load'), pads = 'x'.repeat(1024);
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${HOST}`,
    '-addext', `subjectAltName=DNS:${HOST},DNS:*.${HOST},DNS:localhost,IP:127.0.0.1`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  fs.writeFileSync(path.join(dir, 'both.pem'), fs.readFileSync(cert, 'utf8') + fs.readFileSync(key, 'utf8'));
  for (const f of ['key.pem', 'both.pem']) fs.chmodSync(path.join(dir, f), 0o644);
  fs.copyFileSync(tool('https_load'), load);
  fs.mkdirSync(path.join(dir, 'www'));
  for (const [name, size] of [['1g', 2 ** 30], ['10g', 10 * 2 ** 30]]) { fs.closeSync(fs.openSync(path.join(dir, 'www', name), 'w')); fs.truncateSync(path.join(dir, 'www', name), size); }
  const port = await freePort(), raw = await freePort(), sink = await freePort();
  const conf = nginxConf(dir, 'origin', `server { listen 127.0.0.1:${port} ssl http2; ssl_certificate ${cert}; ssl_certificate_key ${key}; root ${dir}/www;
    location = /echo { return 200 "$http_authorization"; }
    location = / { return 200 "${pads}"; }
    location = /secret { return 200 "${pads.slice(SECRET.length)}${SECRET}"; }
    location = /sink { proxy_pass http://127.0.0.1:${sink}; proxy_request_buffering off; proxy_http_version 1.1; } }
  server { listen 127.0.0.1:${sink}; location / { return 200 "taken"; } }`);
  const dns = await nameServer();
  const origin = start(LOAD_CPU, 'origin', ['nginx', '-c', conf, '-p', dir], { dir });
  await listening(port, origin);
  fs.copyFileSync(path.join(import.meta.dirname, 'raw.py'), path.join(dir, 'raw.py'));
  const source = start(LOAD_CPU, 'raw', ['python3', path.join(dir, 'raw.py'), 'serve', '127.0.0.1', String(raw), path.join(dir, 'www', '1g')], { dir });
  await listening(raw, source);
  const place = {
    dir, key, cert, port, raw, sink, load, dns: dns.address, origin, seconds,
    /** What takes `n` GiB from `raw`, on whichever side, and the load on this side of everything, as argv. */
    bulk: (host, at, n) => ['python3', path.join(dir, 'raw.py'), 'get', host, String(at), String(n), String(2 ** 30)],
    outside: (args, to, at) => [load, ...args.map(String), to, String(at)],
    async stop() { await origin.stop(); await source.stop(); dns.stop(); },
  };
  return place;
}

/** Runs the load outside; its JSON. */
export function runLoad(place, args, host, port, env = {}) {
  const r = spawnSync('taskset', ['-c', LOAD_CPU, ...place.outside(['-d', place.seconds, ...args], host, port)], { encoding: 'utf8', env: { ...process.env, TOKEN: 'placeholder', ...env }, timeout: 300000 });
  if (r.status !== 0) throw new Error(`the load: ${r.stderr.trim().slice(-200)}`);
  return JSON.parse(r.stdout);
}
/** `n` GiB through the port, outside. */
export function runBulk(place, port, n) {
  return JSON.parse(execFileSync('taskset', ['-c', LOAD_CPU, ...place.bulk('localhost', port, n)], { encoding: 'utf8', timeout: 300000 }));
}
export function runH2load(args, url, header) {
  const r = spawnSync('taskset', ['-c', LOAD_CPU, 'h2load', '-t1', ...args.map(String), '-H', `authorization: ${header}`, url], { encoding: 'utf8', timeout: 120000 });
  return h2(r.stdout);
}
/** h2load's words as the load's. */
export function h2(text) {
  const f = /finished in [^,]+, ([\d.]+) req\/s/.exec(text), q = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(text);
  const bad = /status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(text);
  if (!f || !q || !bad) throw new Error(`h2load: ${text.trim().slice(-200)}`);
  const at = (name) => { const m = new RegExp(`time for request:\\s+\\S+\\s+\\S+\\s+(\\S+)`).exec(text); return m && name === 'mean' ? m[1] : ''; };
  return { rps: Number(f[1]), n: Number(q[1]), failures: Number(q[2]) + Number(q[3]) + Number(bad[1]) + Number(bad[2]) + Number(bad[3]), mean: at('mean') };
}
export { sleep };
