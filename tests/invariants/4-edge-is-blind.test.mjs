// Invariant 4: between the caller's TLS and the gateway's TLS, only ciphertext passes the edge.
//
// What a caller asks, what the private server answers, and the credential that the gateway adds are texts drawn by chance. They are looked for
// in every byte that the edge gets and sends (between caller and ingress, and between gateway and edge, which here is without TLS of its own, so
// that nothing hides the streams), in the memory of the edge's process while the call goes on, and in its log and data. Each search also has
// to find something that is there: the name in the ClientHello, and what the edge is told in the clear.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { tempDir, until } from '../lib/own.mjs';
import { callerSession, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

/** A relay of bytes on the loopback that keeps a copy of all of them. */
async function recorder(to) {
  const bytes = [], open = new Set();
  const s = net.createServer((near) => {
    const far = net.connect(to, '127.0.0.1');
    for (const [a, b] of [[near, far], [far, near]]) {
      open.add(a);
      a.on('data', (d) => { bytes.push(d); b.write(d); });
      a.on('end', () => b.end());
      a.on('error', () => b.destroy());
      a.on('close', () => { open.delete(a); b.destroy(); });
    }
  });
  await new Promise((ok) => s.listen(0, '127.0.0.1', ok));
  return { port: s.address().port, all: () => Buffer.concat(bytes), stop: () => { for (const k of open) k.destroy(); s.close(); } };
}

/** All memory of a process that it can write, as it is now. */
function memoryOf(pid) {
  const parts = [];
  const mem = fs.openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const m = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!m) continue;
      for (let at = BigInt(`0x${m[1]}`); at < BigInt(`0x${m[2]}`); at += 1048576n) {
        const n = Number(BigInt(`0x${m[2]}`) - at < 1048576n ? BigInt(`0x${m[2]}`) - at : 1048576n), b = Buffer.alloc(n);
        try { parts.push(b.subarray(0, fs.readSync(mem, b, 0, n, at))); } catch { /* a guard */ }
      }
    }
  } finally { fs.closeSync(mem); }
  return Buffer.concat(parts);
}

/** The files below a folder, as one. */
const filesOf = (dir) => Buffer.concat(fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => fs.readFileSync(path.join(f.parentPath, f.name))));

/** A secret in the spellings in which it could pass by. */
function spellings(text) {
  const raw = Buffer.from(text), out = { 'as it is': raw, 'in hexadecimal': Buffer.from(raw.toString('hex')), reversed: Buffer.from(raw).reverse() };
  for (const shift of [0, 1, 2]) out[`in base64, at ${shift}`] = Buffer.from(Buffer.concat([Buffer.alloc(shift), raw]).toString('base64').slice(shift ? 4 : 0, -4));
  return out;
}
function absent(bytes, secrets, where) {
  for (const [what, text] of Object.entries(secrets)) for (const [how, b] of Object.entries(spellings(text))) assert.equal(bytes.indexOf(b), -1, `${what} ${how} is in ${where}`);
}

describe('the edge is blind', () => {
  const chance = () => crypto.randomBytes(24).toString('base64url');
  const secrets = { question: `q-${chance()}`, answer: `a-${chance()}`, header: `h-${chance()}`, route: `r-${chance()}`, credential: `c-${chance()}` };
  let s, t, g, server, ingress, uplink, hold;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    server = http.createServer((q, r) => {
      q.resume().on('end', () => {
        assert.equal(q.headers['x-key'], secrets.credential);
        r.setHeader('content-type', 'text/event-stream');
        r.setHeader('x-said', secrets.answer);
        r.write(`data: ${secrets.answer}\n\n`);
        hold = r;   // the call goes on
      });
    });
    await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
    ingress = await recorder(s.ingress);
    uplink = await recorder(s.port);
    const key = path.join(tempDir('key'), 'key');
    fs.writeFileSync(key, secrets.credential, { mode: 0o600 });
    g = await startGateway(s, t, { wiki: { upstream: `http://127.0.0.1:${server.address().port}`, credential: { header: 'X-Key', value: `\${file:${key}}`, plaintext: true } } },
      { config: { edge: `http://127.0.0.1:${uplink.port}` } });
  });
  after(async () => { hold?.end(); await g?.stop(); await s?.stop(); ingress?.stop(); uplink?.stop(); server?.closeAllConnections(); server?.close(); });

  const look = (x) => x.test('the memory of the edge, in the middle of an answer', { skip: process.env.ASAN_OPTIONS && 'a sanitizer’s shadow of all memory takes minutes to search' }, () => {
    const mem = memoryOf(s.pid);
    assert.notEqual(mem.indexOf(Buffer.from(t.domain)), -1, 'the search of memory finds the tunnel\'s domain');
    absent(mem, secrets, 'the memory of the edge');
  });

  test('over HTTP/1.1', async (x) => {
    const k = await callerSocket({ ...s, ingress: ingress.port }, t, `wiki.${t.domain}`, { port: ingress.port });
    let heard = '';
    k.on('data', (d) => { heard += d; });
    k.write(`POST /${secrets.route} HTTP/1.1\r\nHost: wiki.${t.domain}\r\nX-Mine: ${secrets.header}\r\nContent-Length: ${secrets.question.length}\r\n\r\n${secrets.question}`);
    await until('the answer', () => heard.includes(`data: ${secrets.answer}`));
    await look(x);
    k.destroy();
  });

  test('over HTTP/2', async (x) => {
    const h2 = await callerSession({ ...s, ingress: ingress.port }, t, `wiki.${t.domain}`);
    const q = h2.request({ ':method': 'POST', ':path': `/${secrets.route}`, 'x-mine': secrets.header });
    let heard = '';
    q.on('data', (d) => { heard += d; });
    q.end(secrets.question);
    await until('the answer', () => heard.includes(`data: ${secrets.answer}`));
    await look(x);
    h2.destroy();
  });

  test('what has passed, and what has been kept', async () => {
    const outside = ingress.all(), inside = uplink.all();
    assert.notEqual(outside.indexOf(Buffer.from(`wiki.${t.domain}`)), -1, 'the name in the ClientHello is what is seen');
    assert.notEqual(inside.indexOf(Buffer.from('/v1/tunnels/connect')), -1, 'the gateway\'s connection was recorded in the clear');
    assert(outside.length > 4000 && inside.length > 4000);
    absent(outside, secrets, 'what callers and ingress sent each other');
    absent(inside, secrets, 'what gateway and edge sent each other');
    absent(Buffer.from(s.proc.out + s.proc.err), secrets, 'the log of the server');
    const kept = filesOf(s.data);
    assert.notEqual(kept.indexOf(Buffer.from(t.domain)), -1, 'the search of files finds the tunnel\'s domain');
    absent(kept, secrets, 'the data of the server');
  });

  test('a search for what is there finds it', () => {
    for (const [how, b] of Object.entries(spellings(secrets.answer))) assert.throws(() => absent(Buffer.concat([Buffer.from('..'), b, Buffer.from('..')]), secrets, 'here'), new RegExp('answer'), how);
  });
});
