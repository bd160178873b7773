// What tests of the boundary share: a name server, a certificate authority, origins on the loopback that do as they are
// told, and a program in a sandbox behind a policy. Every origin and server ends with the test that made it (`after`).
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { after } from 'node:test';
import { BIN, descendants, ms, run, tempDir } from './own.mjs';

/** The real secret of tests. No sandbox may ever see it, in whatever form. */
export const SECRET = 'sk-real-7Qm2vX9pLrT4wZ8nB3cK6dF1';
const PYTHON = fs.readFileSync(path.join(import.meta.dirname, 'egress_inside.py'), 'utf8');
const listen = (s, port = 0, host = '127.0.0.1') => new Promise((ok, no) => { s.once('error', no); s.listen(port, host, () => ok(s.address().port)); });

/** Every form of a text in which it might come back: as it is, base64 at three alignments, hex, URL- and JSON-escaped. */
export function formsOf(text) {
  const b = Buffer.from(text);
  const forms = new Set([text, b.toString('hex'), b.toString('hex').toUpperCase(), encodeURIComponent(text)]);
  for (let skew = 0; skew < 3; skew++) {
    const s = Buffer.concat([Buffer.alloc(skew), b]).toString('base64');
    forms.add(s.slice(Math.ceil((skew * 8) / 6), Math.floor(((skew + b.length) * 8) / 6)));
  }
  for (const f of [...forms]) forms.add(f.replaceAll('+', '-').replaceAll('/', '_'));
  return [...forms];
}
/** Fails when the text holds the secret in some form. */
export function holdsNo(what, secret, text) {
  for (const f of formsOf(secret)) assert.ok(!String(text).includes(f), `${what} holds the secret as ${f}:\n${String(text).slice(0, 2000)}`);
}

/**
 * A name server on the loopback. `names`: { 'api.test': '127.0.0.1' | [addresses] | (n) => addresses of the n-th question,
 * null: NXDOMAIN }. `asked` lists what it was asked: [{ name, type }].
 */
export async function nameServer(names) {
  const s = dgram.createSocket('udp4');
  const asked = [], counts = {};
  s.on('message', (q, from) => {
    const labels = [];
    let at = 12;
    while (q[at]) { labels.push(q.toString('latin1', at + 1, at + 1 + q[at])); at += q[at] + 1; }
    const name = labels.join('.').toLowerCase(), type = q.readUInt16BE(at + 1), question = q.subarray(12, at + 5);
    asked.push({ name, type });
    const known = Object.hasOwn(names, name) ? names[name] : null;
    const n = (counts[name + type] = (counts[name + type] ?? 0) + 1);
    const all = known === null ? [] : [typeof known === 'function' ? known(n, type) : known].flat();
    const answers = all.filter((a) => (type === 1 ? net.isIPv4(a) : type === 28 ? net.isIPv6(a) : false)).map((a) => {
      const rdata = type === 1 ? Buffer.from(a.split('.').map(Number)) : ipv6(a);
      const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, rdata.length]);
      return Buffer.concat([head, rdata]);
    });
    const head = Buffer.from([q[0], q[1], 0x81, known === null ? 0x83 : 0x80, 0, 1, 0, answers.length, 0, 0, 0, 0]);
    s.send(Buffer.concat([head, question, ...answers]), from.port, from.address);
  });
  await new Promise((ok) => s.bind(0, '127.0.0.1', ok));
  after(() => s.close());
  return { address: `127.0.0.1:${s.address().port}`, asked, names };
}
function ipv6(text) {
  const [front, back = ''] = text.split('::');
  const words = (t) => (t ? t.split(':').map((w) => parseInt(w, 16)) : []);
  const a = words(front), b = text.includes('::') ? words(back) : [];
  const all = text.includes('::') ? [...a, ...Array(8 - a.length - b.length).fill(0), ...b] : a;
  return Buffer.from(all.flatMap((w) => [w >> 8, w & 255]));
}

/** A certificate authority in a directory, by openssl. `issue(names, { days, rsa, subject, usage })` gives { key, cert }; `usage`: its extendedKeyUsage. */
export function authority(dir = tempDir('ca'), { name = 'test authority' } = {}) {
  const at = (f) => path.join(dir, f);
  const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', `/CN=${name}`, '-days', '30', '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  let n = 0;
  return {
    file: at('ca.pem'), dir,
    issue(names, { days = 30, rsa = false, subject = '/CN=origin', usage } = {}) {
      const id = at(`leaf${++n}`);
      openssl('req', ...(rsa ? ['-newkey', 'rsa:2048'] : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']), '-nodes', '-keyout', `${id}.key`, '-out', `${id}.csr`, '-subj', subject);
      fs.writeFileSync(`${id}.ext`, `subjectAltName=${names.map((h) => (net.isIP(h) ? `IP:${h}` : `DNS:${h}`)).join(',')}\nauthorityKeyIdentifier=keyid\n${usage ? `extendedKeyUsage=${usage}\n` : ''}`);
      const when = days > 0 ? ['-days', String(days)] : ['-not_before', '20200101000000Z', '-not_after', '20200102000000Z'];
      if (days > 0) openssl('x509', '-req', '-in', `${id}.csr`, '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', `${id}.pem`, '-extfile', `${id}.ext`, ...when);
      else expired(openssl, at, id);
      return { key: fs.readFileSync(`${id}.key`), cert: fs.readFileSync(`${id}.pem`), keyFile: `${id}.key`, certFile: `${id}.pem` };
    },
  };
}
/** `openssl ca` knows dates in the past; `x509` of OpenSSL 3.0 does not. */
function expired(openssl, at, id) {
  fs.writeFileSync(at('index.txt'), '');
  fs.writeFileSync(at('serial'), '1000\n');
  fs.writeFileSync(at('ca.cnf'), `[ca]\ndefault_ca=d\n[d]\ndatabase=${at('index.txt')}\nserial=${at('serial')}\nnew_certs_dir=${path.dirname(id)}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n`);
  openssl('ca', '-batch', '-config', at('ca.cnf'), '-cert', at('ca.pem'), '-keyfile', at('ca.key'), '-in', `${id}.csr`, '-out', `${id}.pem`, '-extfile', `${id}.ext`, '-startdate', '20200101000000Z', '-enddate', '20200102000000Z');
}

/**
 * An origin on the loopback. `handler(req, res)`; `seen` collects { method, url, headers, rawHeaders, body }. Without a
 * handler it echoes all of that as JSON. `h2: true`: HTTP/2 and 1.1 by ALPN. `plain: true`: no TLS.
 */
export async function origin({ tls, handler, h2 = false, plain = false, port = 0, host = '127.0.0.1' } = {}) {
  const seen = [];
  const echo = (req, res) => res.end(JSON.stringify(seen.at(-1)) + '\n');
  const on = (req, res) => {
    const parts = [];
    const record = { method: req.method, url: req.url, version: req.httpVersion, headers: req.headers, rawHeaders: req.rawHeaders, body: '' };
    seen.push(record);
    if (handler?.length === 3 || handler?.streaming) return void handler(req, res, record);
    req.on('data', (d) => parts.push(d));
    req.on('end', () => { record.body = Buffer.concat(parts).toString('latin1'); (handler ?? echo)(req, res, record); });
  };
  const s = plain ? http.createServer(on) : h2 ? http2.createSecureServer({ ...tls, allowHTTP1: true }, on) : https.createServer(tls, on);
  s.on('tlsClientError', () => {}).on('sessionError', () => {}).on('clientError', (e, sock) => sock.destroy());
  const sockets = new Set();
  s.on('connection', (c) => { sockets.add(c); c.on('close', () => sockets.delete(c)).on('error', () => {}); });
  const p = await listen(s, port, host);
  after(() => { for (const c of sockets) c.destroy(); s.close(); });
  return { port: p, seen, server: s, sockets };
}
/** A raw TCP origin: `serve(socket)`. */
export async function rawOrigin(serve, { port = 0, host = '127.0.0.1' } = {}) {
  const sockets = new Set();
  const s = net.createServer((c) => { sockets.add(c); c.on('close', () => sockets.delete(c)).on('error', () => {}); serve(c); });
  const p = await listen(s, port, host);
  after(() => { for (const c of sockets) c.destroy(); s.close(); });
  return { port: p, sockets, server: s };
}

/** A rule of `allow` for a host of tests, which lies on the loopback. */
export const rule = (host, port, more = {}) => ({ host, port, addresses: ['127.0.0.0/8'], ...more });
/** A credential whose secret is in a file of the test. */
export function credential(hosts, more = {}, { name = 'TOKEN', secret = SECRET, dir = tempDir('secret') } = {}) {
  const file = path.join(dir, name);
  fs.writeFileSync(file, secret, { mode: 0o600 });
  return { name, source: { file }, hosts: [hosts].flat(), ...more };
}

/** Programs for the inside, { name: text }, in a directory that `--bind` can show there. */
export function scripts(files) {
  const dir = tempDir('scripts');
  fs.chmodSync(dir, 0o755);
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, name), text);
  return dir;
}

/**
 * A policy in a file, and programs behind it: `sh(script)` runs a shell in a sandbox (`sallyport exec --egress`), whose
 * output is checked to hold no secret in any form. `records()`: the audit log so far, without the log's own lines.
 */
export function boundary({ allow = [], credentials = [], ca, dns, policy = {}, args = [], secrets = [SECRET], env = {} } = {}) {
  const dir = tempDir('egress');
  const file = path.join(dir, 'policy.yaml'), audit = path.join(dir, 'audit.jsonl');
  const b = {
    dir, file, audit,
    /** JSON is YAML. */
    write(p) { b.policy = p; fs.writeFileSync(file, JSON.stringify({ egress: p })); },
    argv: (more = []) => ['exec', '--egress', file, '--audit', audit, ...args, ...more],
    async sh(script, { timeout = ms(30000), input, args: more = [] } = {}) {
      const r = await run(BIN, [...b.argv(more), '--', 'sh', '-c', script], { timeout, input, env });
      for (const s of secrets) { holdsNo('standard output', s, r.out); holdsNo('standard error', s, r.err); }
      return r;
    },
    /** The same, of which the exit code must be 0; its output. */
    async ok(script, o) {
      const r = await b.sh(script, o);
      assert.equal(r.code, 0, `${script}\n${r.out}\n${r.err}`);
      return r.out;
    },
    /** Python inside, with the connections of egress_inside.py: what the code put into `out`. `P` there is `params`. */
    async py(code, params = {}, o = {}) {
      const r = await b.sh('exec python3 -', { ...o, input: `${PYTHON}\nP = json.loads(${JSON.stringify(JSON.stringify(params))})\n${code}\nprint(json.dumps(out))\n` });
      assert.equal(r.code, 0, `${code}\n${r.out}\n${r.err}`);
      return JSON.parse(r.out.trim().split('\n').at(-1));
    },
    lines: () => fs.readFileSync(audit, 'utf8').trim().split('\n'),
    records: (where = {}) => b.lines().map((l) => JSON.parse(l)).filter((r) => !['start', 'checkpoint'].includes(r.kind) && Object.entries(where).every(([k, v]) => r[k] === v)),
    verify: () => run(BIN, ['audit', 'verify', '--log', audit]),
  };
  b.write({ ...(ca ? { ca_file: ca.file } : {}), ...(dns ? { nameservers: [dns.address] } : {}), allow, credentials, ...policy });
  return b;
}

/** Pids of the proxies below a process. */
export const proxies = (pid) => descendants(pid).filter((d) => { try { return fs.readFileSync(`/proc/${d}/cmdline`, 'latin1').split('\0').slice(1, 3).join(' ') === 'egress proxy'; } catch { return false; } });
/** What the kernel counts of a process, KiB: VmRSS, VmHWM. */
export const memory = (pid, what) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`${what}:\\s+(\\d+) kB`))[1]);
