// place.mjs - what the measurements of the tunnel stand on: origins, an edge, a gateway, and the peers that carry bytes to the same origins.
//
// The load and the origins have core 0, what is measured has core 1: edge and gateway together, as both halves of a peer. The caller's TLS
// ends in our gateway, which speaks plain HTTP to the origin; behind a peer it ends in the origin. So ours does on its core what with the
// peers the origin does on the other one.
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync, spawnSync } from 'node:child_process';
import { LOAD_CPU, PEER_CPU, family, freePort, listening, nginxConf, start } from '../boundary/place.mjs';
import { tempDir } from '../../tests/lib/own.mjs';
import { edgeServer, makeTunnel, startGateway } from '../../tests/lib/tunnel.mjs';

export const CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}';
const has = (cmd) => spawnSync('sh', ['-c', `command -v ${cmd} || test -x /usr/sbin/${cmd}`]).status === 0;

/** Both halves on loopback. Where they are apart (tunnel/line.mjs): their addresses, how what is far is started, what edge and gateway need. */
const LOOPBACK = { near: '127.0.0.1', far: '127.0.0.1', there: (argv) => argv, edge: {}, gateway: {} };

/** nginx (`fast`: TLS, `fastPlain`) with 1 KiB at / and 1 GiB at /1g; Node (`mcp`: TLS, `mcpPlain`) that answers calls and has /events. */
export async function makeOrigins({ tool, seconds, line = LOOPBACK }) {
  const dir = tempDir('bench-tunnel'), cert = path.join(dir, 'cert.pem'), key = path.join(dir, 'key.pem'), load = path.join(dir, 'load');
  fs.chmodSync(dir, 0o755);
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=localhost',
    '-addext', `subjectAltName=DNS:localhost,IP:127.0.0.1,IP:${line.far}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  fs.writeFileSync(path.join(dir, 'both.pem'), fs.readFileSync(cert, 'utf8') + fs.readFileSync(key, 'utf8'), { mode: 0o600 });
  fs.copyFileSync(tool('https_load'), load);
  fs.mkdirSync(path.join(dir, 'www'));
  for (const [name, size] of [['1g', 2 ** 30], ['10g', 10 * 2 ** 30]]) { fs.closeSync(fs.openSync(path.join(dir, 'www', name), 'w')); fs.truncateSync(path.join(dir, 'www', name), size); }
  const [fast, fastPlain, mcp, mcpPlain] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const conf = nginxConf(dir, 'origin', `server { listen ${line.far}:${fast} ssl; listen ${line.far}:${fastPlain}; ssl_certificate ${cert}; ssl_certificate_key ${key}; root ${dir}/www;
    location = / { return 200 "${'x'.repeat(1024)}"; } }`);
  const nginx = start(LOAD_CPU, 'origin', line.there(['nginx', '-c', conf, '-p', dir]), { dir });
  await listening(fast, nginx, { host: line.far });
  const file = path.join(dir, 'mcp.mjs');
  fs.writeFileSync(file, `import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
const answer = (q, r) => {
  if (q.url === '/events') { r.writeHead(200, { 'content-type': 'text/event-stream' }); r.write(': here\\n\\n'); return; }
  let body = '';
  q.on('data', (d) => { body += d; });
  q.on('end', () => {
    const text = JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(body).id, result: { content: [{ type: 'text', text: 'ok' }] } });
    r.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length });
    r.end(text);
  });
};
const more = { keepAliveTimeout: 300000 };
https.createServer({ ...more, cert: fs.readFileSync('${cert}'), key: fs.readFileSync('${key}') }, answer).listen(${mcp}, '${line.far}', 4096);
http.createServer(more, answer).listen(${mcpPlain}, '${line.far}', 4096);
`);
  const node = start(LOAD_CPU, 'mcp', line.there([process.execPath, file]), { dir });
  await listening(mcp, node, { host: line.far });
  await listening(mcpPlain, node, { host: line.far });
  return { line, dir, cert, key, load, seconds, fast, fastPlain, mcp, mcpPlain, async stop() { await nginx.stop(); await node.stop(); } };
}

/** Our edge and gateway, on the core of what is measured. {fast, mcp: arguments of the load that lead there, pids}. */
export async function ours(o, { config = {} } = {}) {
  const { listen, args = [] } = o.line.edge;
  const s = await edgeServer({ ...listen && { listen }, args: [...args, '--ingress-per-peer', '20000', '--ingress-per-tunnel', '20000', '--ingress-peer-rate', '0', '--ingress-tunnel-rate', '0'] });
  const t = await makeTunnel(s);
  const g = await startGateway(s, t, { fast: `http://${o.line.far}:${o.fastPlain}`, mcp: `http://${o.line.far}:${o.mcpPlain}` },
    { config: { ...config, ...o.line.gateway }, wrap: (bin, argv) => o.line.there([bin, ...argv]) });
  const pids = () => [s.pid, ...family(g.proc.pid)];
  for (const pid of pids()) execFileSync('taskset', ['-acp', PEER_CPU, String(pid)], { stdio: 'ignore' });
  const to = (name) => ({ args: ['-L'], host: `${name}.${t.domain}`, port: s.ingress });
  return { name: 'ours', s, t, g, pids, fast: to('fast'), mcp: to('mcp'), bulk: to('fast'), async stop() { await g.stop(); await s.stop(); } };
}

const local = (port) => ({ args: [], host: 'localhost', port });
const remote = (o, port) => ({ ...local(port), ...o.line.far !== '127.0.0.1' && { host: o.line.far } });

/** The same load without a tunnel. */
export const direct = (o) => ({ name: 'direct', pids: () => [], fast: remote(o, o.fast), mcp: remote(o, o.mcp), bulk: remote(o, o.fast), async stop() {} });

const makers = {
  async ssh(o, port, mid, go) {
    if (!has('sshd') || !has('ssh')) throw new Error('not installed');
    fs.mkdirSync('/run/sshd', { recursive: true });
    for (const k of ['host', 'user']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(o.dir, k)]);
    const conf = path.join(o.dir, 'sshd_config');
    fs.writeFileSync(conf, `Port ${mid.fast}\nListenAddress ${o.line.near}\nHostKey ${o.dir}/host\nAuthorizedKeysFile ${o.dir}/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n`);
    const sshd = execFileSync('sh', ['-c', 'command -v sshd || echo /usr/sbin/sshd'], { encoding: 'utf8' }).trim();
    await listening(mid.fast, go('sshd', [sshd, '-D', '-e', '-f', conf]), { host: o.line.near });
    go('ssh', o.line.there(['ssh', '-F', 'none', '-N', '-p', String(mid.fast), '-i', path.join(o.dir, 'user'), '-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${o.dir}/known`, '-o', 'BatchMode=yes', '-o', 'ExitOnForwardFailure=yes',
      '-R', `${port.fast}:${o.line.far}:${o.fast}`, '-R', `${port.mcp}:${o.line.far}:${o.mcp}`, `${execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()}@${o.line.near}`]));
  },
  async stunnel(o, port, mid, go) {
    if (!has('stunnel')) throw new Error('not installed');
    const head = 'foreground = yes\npid =\ndebug = 3\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n', names = ['fast', 'mcp'];
    const halves = {
      edge: names.map((n) => `[e-${n}]\nclient = yes\naccept = 127.0.0.1:${port[n]}\nconnect = ${o.line.far}:${mid[n]}\nverifyChain = yes\nCAfile = ${o.cert}\n`),
      gateway: names.map((n) => `[g-${n}]\naccept = ${o.line.far}:${mid[n]}\nconnect = ${o.line.far}:${o[n]}\ncert = ${o.dir}/both.pem\n`),
    };
    for (const [half, parts] of Object.entries(halves)) {
      const file = path.join(o.dir, `stunnel-${half}.conf`);
      fs.writeFileSync(file, head + parts.join(''));
      go(`stunnel-${half}`, half === 'gateway' ? o.line.there(['stunnel', file]) : ['stunnel', file]);
    }
  },
  async haproxy(o, port, mid, go) {
    if (!has('haproxy')) throw new Error('not installed');
    const head = 'global\n nbthread 1\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n', names = ['fast', 'mcp'];
    const halves = {
      edge: names.map((n) => `listen e-${n}\n bind 127.0.0.1:${port[n]}\n server g ${o.line.far}:${mid[n]} ssl verify required ca-file ${o.cert}\n`),
      gateway: names.map((n) => `listen g-${n}\n bind ${o.line.far}:${mid[n]} ssl crt ${o.dir}/both.pem\n server o ${o.line.far}:${o[n]}\n`),
    };
    for (const [half, parts] of Object.entries(halves)) {
      const file = path.join(o.dir, `haproxy-${half}.cfg`);
      fs.writeFileSync(file, head + parts.join(''));
      const argv = ['haproxy', '-db', '-f', file];
      go(`haproxy-${half}`, half === 'gateway' ? o.line.there(argv) : argv);
    }
  },
  // One proxy that ends the caller's TLS, and no second one: no tunnel, but what one hop of a well-known server costs.
  async nginx(o, port, mid, go) {
    if (!has('nginx')) throw new Error('not installed');
    const server = (n, to) => `upstream ${n} { server 127.0.0.1:${to}; keepalive 256; keepalive_requests 100000000; }
      server { listen 127.0.0.1:${port[n]} ssl; ssl_certificate ${o.cert}; ssl_certificate_key ${o.key}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; location / { proxy_pass http://${n}; } }`;
    go('nginx', ['nginx', '-c', nginxConf(o.dir, 'proxy', server('fast', o.fastPlain) + server('mcp', o.mcpPlain)), '-p', o.dir]);
  },
};
export const peerNames = Object.keys(makers);

/** Starts a peer: as `ours`. Throws when it does not run here. */
export async function peer(name, o) {
  const ports = async () => ({ fast: await freePort(), mcp: await freePort() });
  const port = await ports(), mid = await ports(), running = [];
  const go = (what, argv) => { const p = start(PEER_CPU, what, argv, { dir: o.dir }); running.push(p); return p; };
  const stop = async () => { for (const p of running.reverse()) await p.stop(); };
  try {
    await makers[name](o, port, mid, go);
    for (const n of ['fast', 'mcp']) await listening(port[n], running.at(-1));
    const got = spawnSync('curl', ['-sk', '--noproxy', '', '--max-time', '20', '-d', CALL, `https://localhost:${port.mcp}/mcp`], { encoding: 'utf8' }).stdout;
    if (!got.includes('"ok"')) throw new Error(`no answer through it: ${got.slice(0, 80)} ${running.map((p) => p.log()).join(' ')}`);
  } catch (e) { await stop(); throw e; }
  return { name, pids: () => running.flatMap((p) => family(p.pid)), fast: local(port.fast), mcp: local(port.mcp), bulk: local(port.fast), stop };
}

/** Runs the load through `via` (one of fast, mcp, bulk of the above); its figures. */
export function runLoad(o, args, via) {
  const r = spawnSync('taskset', ['-c', LOAD_CPU, o.load, '-d', String(o.seconds), ...via.args, ...args.map(String), via.host, String(via.port)], { encoding: 'utf8', timeout: 300000 });
  if (r.status !== 0) throw new Error(`the load: ${r.stderr.trim().slice(-200)}`);
  return JSON.parse(r.stdout);
}
