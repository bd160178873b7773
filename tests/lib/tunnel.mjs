// A tunnel for tests: a server with an ingress, a gateway that dials it, and callers of the ingress.
import fs from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { authority } from './egress.mjs';
import { BIN, descendants, end, ms, start, tempDir, until } from './own.mjs';
import { startServer } from './sallyport.mjs';

export const TUNNELS_BETA = 'mcp-tunnels-2026-06-22';

/** A server with an ingress: startServer's, `ingress` (its port), `metrics` (an address). */
export async function edgeServer({ args = [], ...more } = {}) {
  const s = await startServer({ ...more, args: ['--ingress', '127.0.0.1:0', '--metrics', '127.0.0.1:0', ...args] });
  const port = () => Number(s.proc.out.match(/^ingress 127\.0\.0\.1:(\d+)$/m)[1]);
  s.ingress = port();
  s.metrics = (await s.proc.line(/msg="?metrics"? listen="?([0-9.:]+)/))[1];
  s.tunnels = () => s.client({ defaultHeaders: { 'anthropic-beta': TUNNELS_BETA } }).beta.tunnels;
  return s;
}

/** A tunnel whose CA is registered, its token in a file. {id, domain, token, tokenFile, ca, issue}. */
export async function makeTunnel(s, { ca = authority(tempDir('tunnel-ca')), register = true } = {}) {
  const api = s.tunnels();
  const t = await api.create({ display_name: 'test' });
  const dir = tempDir('tunnel');
  const tokenFile = path.join(dir, 'token');
  const takeToken = async () => {
    const { tunnel_token: token } = await api.revealToken(t.id);
    fs.writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    return token;
  };
  const made = { id: t.id, domain: t.domain, dir, tokenFile, ca, takeToken, token: await takeToken() };
  if (register) made.certificate = await api.certificates.create(t.id, { ca_certificate_pem: fs.readFileSync(ca.file, 'utf8') });
  made.leaf = ca.issue([`*.${t.domain}`]);
  return made;
}

/** The text of a configuration. `routes`: name -> upstream, or an object. */
export function gatewayConfig(s, t, routes, more = {}) {
  return JSON.stringify({
    edge: s.url, token_file: t.tokenFile, tunnel_domain: t.domain,
    tls: { cert_file: t.leaf.certFile, key_file: t.leaf.keyFile },
    upstream: { allowed_ips: ['127.0.0.0/8', '10.0.0.0/8'] },
    routes, ...more,
  }, null, 1);
}

/** The gateway proper of a `sallyport gateway`, which is its keeper: the one that hears strangers. */
export const confinedPid = (keeper) => descendants(keeper).find((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[2] === 'confined');

/** Runs `sallyport gateway`; ready when its connections are up. `pid()`: the gateway proper. */
export async function startGateway(s, t, routes, { config = {}, args = [], up = true, wrap } = {}) {
  const g = { file: path.join(tempDir('gateway'), 'gateway.yaml') };
  g.write = (more = routes, extra = config) => fs.writeFileSync(g.file, gatewayConfig(s, t, more, extra));
  g.write();
  g.boot = async () => {
    const argv = ['gateway', '--config', g.file, '--metrics', '127.0.0.1:0', ...args];
    const [cmd, ...rest] = wrap ? wrap(BIN, argv) : [BIN, ...argv];
    g.proc = start(cmd, rest);
    g.page = (await g.proc.line(/msg="?metrics"? listen="?([0-9.:]+)/))[1];
    if (up) { await g.proc.line(/^ready edge=\S+:\d+ routes=\d+$/m); await g.isUp(); }
    return g;
  };
  g.pid = () => confinedPid(g.proc.pid);
  g.isUp = (n = config.connections ?? 4) => until('the gateway is connected', () => (g.proc.err.match(/msg="connected to the edge"/g) ?? []).length >= n);
  g.metric = async (name) => Number((await (await fetch(`http://${g.page}/metrics`)).text()).match(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm'))?.[1]);
  g.stop = async (signal = 'SIGTERM') => { await end(g.proc, { signal }); return g.proc; };
  return g.boot();
}

/** A TLS connection to the ingress for `host`: the socket, once its handshake is done. */
export function callerSocket(s, t, host, { port = s.ingress, alpn = ['http/1.1'], ca = t.ca.file, ...more } = {}) {
  return new Promise((ok, no) => {
    const k = tls.connect({ host: '127.0.0.1', port, servername: host, ca: fs.readFileSync(ca), ALPNProtocols: alpn, ...more });
    k.once('secureConnect', () => { k.off('error', no).on('error', () => {}); ok(k); });
    k.once('error', no);
    k.once('close', () => no(new Error('closed before the handshake was done')));
  });
}

/** What a server counts: the value of `sallyport_server_ingress_callers_total` for an outcome. */
export const ingressCount = async (s, outcome) => Number((await (await fetch(`http://${s.metrics}/metrics`)).text()).match(new RegExp(`^sallyport_server_ingress_callers_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm'))[1]);

/** One request over HTTP/1.1 through the ingress: {status, headers, text}. */
export function call(s, t, host, { method = 'GET', path: at = '/', headers = {}, body, agent, onResponse, localAddress, shown = {} } = {}) {
  return new Promise((ok, no) => {
    const q = https.request({
      method, path: at, headers: { host, ...headers }, agent,
      createConnection: (o, done) => {
        callerSocket(s, t, host, { localAddress, ...shown }).then((k) => done(null, k), done);
      },
    }, (r) => {
      onResponse?.(r, q);
      const parts = [];
      r.on('data', (d) => parts.push(d));
      r.on('end', () => ok({ status: r.statusCode, headers: r.headers, text: Buffer.concat(parts).toString() }));
      r.on('error', no);
    });
    q.setTimeout(ms(30000), () => q.destroy(new Error('no answer')));
    q.on('error', no);
    q.end(body);
  });
}

/** An HTTP/2 session through the ingress. */
export async function callerSession(s, t, host, more = {}) {
  const k = await callerSocket(s, t, host, { alpn: ['h2'], ...more });
  const session = http2.connect(`https://${host}`, { createConnection: () => k });
  session.on('error', () => {});
  return session;
}

/** The alert (its number) that the ingress answers a ClientHello for `host` with; undefined when TLS comes about. */
export function alertOf(s, servername, { port = s.ingress, localAddress } = {}) {
  return new Promise((ok, no) => {
    // Half open, and gone at the end: the alert may come before the ClientHello is written, and Node would
    // make an EPIPE of a write while it answers the end with its own.
    const raw = net.connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
    let got = Buffer.alloc(0);
    raw.on('data', (d) => { got = Buffer.concat([got, d]); });
    raw.on('end', () => raw.destroy());
    raw.on('close', () => { server.close(); ok(got[0] === 0x15 && got.length === 7 ? got[6] : undefined); });
    raw.on('error', no);
    // Node speaks TLS into a pair whose other end is copied by hand, so that the raw bytes are seen.
    const server = net.createServer((c) => { c.pipe(raw, { end: false }); raw.on('data', (d) => c.write(d)); raw.on('close', () => c.destroy()); c.on('error', () => {}); });
    server.listen(0, '127.0.0.1', () => {
      const k = tls.connect({ host: '127.0.0.1', port: server.address().port, ...(servername ? { servername } : {}), rejectUnauthorized: false });
      k.on('error', () => {});
      k.on('secureConnect', () => raw.destroy());
    });
  });
}
