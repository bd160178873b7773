// Callers that have to show a certificate of their own (tls.client_ca_file), whatever the edge lets through.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { authority } from '../lib/egress.mjs';
import { BIN, end, run, start, tempDir, until } from '../lib/own.mjs';
import { call, callerSession, callerSocket, edgeServer, gatewayConfig, makeTunnel, startGateway } from '../lib/tunnel.mjs';

describe('callers with certificates', () => {
  let s, t, g, wiki, asked, dir, staff, other, caFile, log;
  const cert = (c) => ({ cert: c.cert, key: c.key });
  const host = () => `wiki.${t.domain}`;
  const extra = () => ({ tls: { cert_file: t.leaf.certFile, key_file: t.leaf.keyFile, client_ca_file: caFile }, audit: { file: log } });

  /** What becomes of a caller with these options of TLS: the text of the answer, or the name of what ended it. */
  async function ask(options = {}) {
    let k;
    try {
      k = await callerSocket(s, t, host(), options);
      return await new Promise((ok, no) => {
        let text = '';
        k.on('data', (d) => { text += d; }).on('end', () => ok(text.split('\r\n\r\n')[1])).on('error', no).on('close', () => no(new Error('closed')));
        k.write(`GET / HTTP/1.1\r\nHost: ${host()}\r\nConnection: close\r\n\r\n`);
      });
    } catch (e) { return e.code ?? e.message; } finally { k?.destroy(); }
  }
  /** The records of requests that name a caller, or none. */
  const records = () => fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => JSON.parse(l)).filter((r) => r.kind === 'request');

  before(async () => {
    asked = 0;
    wiki = http.createServer((q, r) => { asked++; r.end('{"ok":true}'); });
    await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
    dir = tempDir('callers');
    [staff, other] = ['staff', 'other'].map((name) => authority(tempDir('ca'), { name }));
    caFile = path.join(dir, 'clients.pem');
    log = path.join(dir, 'audit.jsonl');
    fs.copyFileSync(staff.file, caFile);
    s = await edgeServer();
    t = await makeTunnel(s);
    g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, { config: extra() });
  });
  after(async () => { await g?.stop(); await s?.stop(); wiki?.closeAllConnections(); wiki?.close(); });

  test('one that shows a certificate of the authority is served, and named in the record', async () => {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
      assert.equal(await ask({ ...cert(staff.issue(['a.example'], { subject: '/O=ACME/CN=agent-7' })), maxVersion }), '{"ok":true}');
      await until('the record', () => records().length > 0);
      assert.equal(records().at(-1).caller, 'O=ACME/CN=agent-7');
    }
    assert.equal(await ask(cert(staff.issue(['a.example'], { usage: 'clientAuth' }))), '{"ok":true}');
  });

  test('a name in a certificate is quoted as what it is: one member, escaped and cut', async () => {
    const subject = `/CN=x","verdict":"allow\n\u00e9${'y'.repeat(40)}`;
    assert.equal(await ask(cert(staff.issue(['a.example'], { subject }))), '{"ok":true}');
    await until('the record', () => /^CN=x/.test(records().at(-1).caller));
    assert.match(records().at(-1).caller, /^CN=x","verdict":"allow\\+x?/);
    assert.doesNotMatch(records().at(-1).caller, /[\n\u0080-\uffff]/);
  });

  test('everybody else is refused before anything is read, each for its reason', async () => {
    const self = authority(tempDir('ca'), { name: 'self' });
    const had = asked, rows = {
      'no certificate': [{}, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'],
      'no certificate, by TLS 1.2': [{ maxVersion: 'TLSv1.2' }, /ERR_SSL_SSL\/TLS_ALERT_HANDSHAKE_FAILURE|ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE/],
      'another authority': [cert(other.issue(['a.example'])), /UNKNOWN_CA/],
      'expired': [cert(staff.issue(['a.example'], { days: -1 })), /EXPIRED/],
      'for servers only': [cert(staff.issue(['a.example'], { usage: 'serverAuth' })), /UNSUPPORTED_CERTIFICATE|CERTIFICATE_UNKNOWN/],
      'self-signed': [{ cert: fs.readFileSync(self.file), key: fs.readFileSync(path.join(self.dir, 'ca.key')) }, /UNKNOWN_CA/],
      'the gateway\'s own': [cert(t.leaf), /UNKNOWN_CA/],
    };
    for (const [what, [options, want]] of Object.entries(rows)) {
      const got = await ask(options);
      if (want instanceof RegExp) assert.match(got, want, what);
      else assert.equal(got, want, what);
    }
    assert.equal(asked, had);
    await until('all are counted', async () => Number((await (await fetch(`http://${g.page}/metrics`)).text()).match(/callers_total\{outcome="no_tls"\} (\d+)/)[1]) >= Object.keys(rows).length);
  });

  test('curl and openssl, with and without', async () => {
    const c = staff.issue(['a.example']), at = `${host()}:${s.ingress}`;
    const curl = (...more) => run('curl', ['-sS', '--cacert', t.ca.file, '--connect-to', `${at}:127.0.0.1:${s.ingress}`, ...more, `https://${at}/`]);
    assert.equal((await curl('--cert', c.certFile, '--key', c.keyFile)).out, '{"ok":true}');
    const no = await curl();
    assert.notEqual(no.code, 0);
    assert.match(no.err, /certificate required|alert/);
    const o = await run('openssl', ['s_client', '-connect', `127.0.0.1:${s.ingress}`, '-servername', host(), '-CAfile', t.ca.file, '-ign_eof'], { timeout: 20000 });
    assert.match(o.out + o.err, /certificate required/);
  });

  test('another authority counts at once: for new callers, and for those that are connected', async () => {
    const before_ = staff.issue(['a.example']), next = other.issue(['a.example'], { subject: '/CN=next' });
    const session = await callerSession(s, t, host(), cert(before_));
    const once = () => new Promise((ok, no) => {
      const q = session.request({ ':path': '/' });
      let status, text = '';
      q.on('response', (h) => { status = h[':status']; }).on('data', (d) => { text += d; }).on('end', () => ok([status, text])).on('error', no);
      q.end();
    });
    assert.equal((await once())[0], 200);
    fs.copyFileSync(other.file, caFile);
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew"/);
    const had = asked, [status, text] = await once();
    assert.equal(status, 421);
    assert.match(JSON.parse(text).error.message, /another certificate now: connect again/);
    assert.equal(JSON.parse(text).error.data.gateway_failure.source, 'policy');
    session.destroy();
    assert.match(await ask(cert(before_)), /UNKNOWN_CA/);
    assert.equal(asked, had);
    assert.equal(await ask(cert(next)), '{"ok":true}');
    // A file that cannot be used changes nothing.
    fs.writeFileSync(caFile, 'damaged');
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="the changed files cannot be used.*clients\.pem/);
    assert.equal(await ask(cert(next)), '{"ok":true}');
    assert.match(await ask(cert(before_)), /UNKNOWN_CA/);
  });

  test('a list of revoked certificates beside their authority counts', async () => {
    const d = staff.dir, gone = staff.issue(['a.example'], { subject: '/CN=gone' }), good = staff.issue(['a.example']), at = (f) => path.join(d, f);
    fs.writeFileSync(at('crl.cnf'), `[ca]\ndefault_ca=x\n[x]\ndatabase=${at('crl.txt')}\ndefault_md=sha256\ndefault_crl_days=30\ncrlnumber=${at('crl.number')}\n`);
    fs.writeFileSync(at('crl.txt'), '');
    fs.writeFileSync(at('crl.number'), '01\n');
    const ca = async (...args) => { const r = await run('openssl', ['ca', '-config', at('crl.cnf'), '-keyfile', at('ca.key'), '-cert', staff.file, ...args]); assert.equal(r.code, 0, r.err); };
    await ca('-revoke', gone.certFile);
    await ca('-gencrl', '-out', at('crl.pem'));
    fs.writeFileSync(caFile, fs.readFileSync(staff.file, 'utf8') + fs.readFileSync(at('crl.pem'), 'utf8'));
    const n = (g.proc.err.match(/msg="files read anew"/g) ?? []).length;
    g.proc.kill('SIGHUP');
    await until('it is read', () => (g.proc.err.match(/msg="files read anew"/g) ?? []).length > n);
    assert.equal(await ask(cert(good)), '{"ok":true}');
    assert.match(await ask(cert(gone)), /REVOKED/);
    // A list alone is nobody's certificate.
    fs.copyFileSync(at('crl.pem'), caFile);
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="the changed files cannot be used.*no certificate found/);
    assert.match(await ask(cert(gone)), /REVOKED/);
  });

  test('taken away, nobody is asked; those who were are served on after they connect again', async () => {
    g.write(undefined, { audit: { file: log } });
    const n = (g.proc.err.match(/msg="files read anew"/g) ?? []).length;
    g.proc.kill('SIGHUP');
    await until('it is read', () => (g.proc.err.match(/msg="files read anew"/g) ?? []).length > n);
    assert.equal((await call(s, t, host())).status, 200);
    await until('the record', () => records().at(-1).caller === undefined);
  });

  test('a file that is not there is told at the start, by its field and name', async () => {
    const file = path.join(dir, 'g.yaml');
    for (const [value, words] of [[path.join(dir, 'nowhere.pem'), /tls\.client_ca_file: cannot open .*nowhere\.pem: No such file/], [t.tokenFile, /tls\.client_ca_file: cannot use the certificates in /]]) {
      fs.writeFileSync(file, gatewayConfig(s, t, { wiki: 'http://127.0.0.1:1' }, { tls: { ...extra().tls, client_ca_file: value } }));
      const p = start(BIN, ['gateway', '--config', file, '--metrics', 'none']);
      await p.exit;
      assert.equal(p.code, 1);
      assert.match(p.err, words);
      await end(p);
    }
  });
});
