// The gateway shows a certificate to servers that ask for one (upstream.tls.cert_file).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { authority } from '../lib/egress.mjs';
import { BIN, run, tempDir, until } from '../lib/own.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

describe('a server that asks for a certificate', () => {
  let s, t, g, ca, clients, strict, open, file, key, one;
  const config = (more = {}) => ({ upstream: { allowed_ips: ['127.0.0.0/8', '::1'], tls: { ca_file: ca.file, cert_file: file, key_file: key, ...more } } });
  const routes = () => ({ strict: `https://localhost:${strict.address().port}`, open: `https://localhost:${open.address().port}` });
  const ask = (name) => call(s, t, `${name}.${t.domain}`);
  const put = (leaf) => { for (const [to, what] of [[file, leaf.certFile], [key, leaf.keyFile]]) { fs.copyFileSync(what, `${to}.new`); fs.chmodSync(`${to}.new`, 0o600); fs.renameSync(`${to}.new`, to); } };
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    ca = authority(tempDir('upstream-ca'));
    clients = authority(tempDir('client-ca'));
    const dir = tempDir('shown');
    file = path.join(dir, 'cert.pem'); key = path.join(dir, 'key.pem'); one = path.join(dir, 'one.pem');
    const who = (q, r) => r.end(JSON.stringify(q.socket.getPeerCertificate?.()?.subject ?? null));
    strict = https.createServer({ ...ca.issue(['localhost']), ca: fs.readFileSync(clients.file), requestCert: true, rejectUnauthorized: true }, who);
    open = https.createServer(ca.issue(['localhost']), who);
    for (const x of [strict, open]) await new Promise((ok) => x.listen(0, '127.0.0.1', ok));
    put(clients.issue(['gateway-1'], { subject: '/CN=gateway-1', usage: 'clientAuth' }));
    g = await startGateway(s, t, routes(), { config: config() });
  });
  after(async () => { await g?.stop(); await s?.stop(); for (const x of [strict, open]) { x?.closeAllConnections(); x?.close(); } });

  test('it gets it, and one that does not ask does not', async () => {
    const r = await ask('strict');
    assert.equal(r.status, 200, r.text);
    assert.equal(JSON.parse(r.text).CN, 'gateway-1');
    const other = await ask('open');
    assert.equal(other.status, 200, other.text);
    assert(!JSON.parse(other.text)?.CN, other.text);
  });

  test('a new one counts without a restart', async () => {
    put(clients.issue(['gateway-2'], { subject: '/CN=gateway-2', usage: 'clientAuth' }));
    await until('it is shown', async () => JSON.parse((await ask('strict')).text).CN === 'gateway-2');
  });

  test('one that the server does not take: the call is refused, and other routes go on', async () => {
    put(ca.issue(['gateway-3'], { subject: '/CN=gateway-3', usage: 'clientAuth' }));
    const r = await until('it is read', async () => { const x = await ask('strict'); return x.status === 502 && x; });
    assert(['tls', 'upstream_closed'].includes(JSON.parse(r.text).error.data.gateway_failure.source), r.text);
    assert.equal((await ask('open')).status, 200);
  });

  test('the doctor looks at it', async () => {
    const look = async () => {
      const r = await run(BIN, ['gateway', 'doctor', '--config', g.file, '--json']);
      return JSON.parse(r.out).checks.find((c) => c.id === 'upstream_certificate');
    };
    put(clients.issue(['gateway-4'], { subject: '/CN=gateway-4', usage: 'clientAuth' }));
    assert.equal((await look()).verdict, 'ok');
    put(clients.issue(['gateway-5'], { subject: '/CN=gateway-5', usage: 'clientAuth', days: -1 }));
    assert.match(JSON.stringify(await look()), /has expired/);
  });

  test('what cannot be used is told at the start', async () => {
    const start = async (more, mode = 0o600) => {
      const leaf = clients.issue(['gateway-6'], { subject: '/CN=gateway-6' });
      put(leaf);
      fs.writeFileSync(one, Buffer.concat([leaf.cert, leaf.key]), { mode: 0o600 });
      fs.chmodSync(key, mode);
      const bad = path.join(tempDir('gateway'), 'gateway.yaml');
      fs.writeFileSync(bad, JSON.stringify({ ...JSON.parse(fs.readFileSync(g.file)), ...config(more) }));
      const r = await run(BIN, ['gateway', '--config', bad, '--metrics', 'none'], { timeout: 3000 });
      return r.err;
    };
    assert.match(await start({ key_file: undefined }), /upstream\.tls\.key_file: is missing: a certificate goes with its key/);
    assert.match(await start({ cert_file: undefined }), /upstream\.tls\.cert_file: is missing/);
    assert.match(await start({ cert_file: '/nowhere' }), /upstream\.tls: cannot open \/nowhere/);
    assert.match(await start({}, 0o644), /upstream\.tls: .*key\.pem/);
    assert.match(await start({ cert_file: t.leaf.certFile }), /upstream\.tls: .*does not belong/);
    assert.match(await start({ cert_file: one, key_file: one }), /connected to the edge/);
  });
});
