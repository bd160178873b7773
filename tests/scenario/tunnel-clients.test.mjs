// Programs that everybody has at a tunnel's ingress: openssl s_client and curl, in the versions and protocols that they can speak.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { end, ms, run, start, tempDir, until } from '../lib/own.mjs';
import { edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const sha = (d) => createHash('sha256').update(d).digest('hex');
const BIG = randomBytes(20 << 20);
let s, t, g, origin, stream, dir;
const seen = [];
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  dir = tempDir('clients');
  fs.writeFileSync(path.join(dir, 'big'), BIG);
  origin = http.createServer((q, r) => {
    const h = createHash('sha256');
    let n = 0;
    q.on('data', (d) => { h.update(d); n += d.length; });
    q.on('end', () => {
      seen.push({ method: q.method, url: q.url, headers: q.headers, bytes: n });
      if (q.url === '/big') return r.end(BIG);
      if (q.url === '/none') { r.writeHead(204); return r.end(); }
      if (q.url === '/events') { r.writeHead(200, { 'content-type': 'text/event-stream' }); r.flushHeaders(); stream = r; r.on('close', () => { stream = null; }); return; }
      r.writeHead(q.url === '/missing' ? 404 : 200, { 'content-type': 'application/json' });
      r.end(q.method === 'HEAD' ? undefined : JSON.stringify({ method: q.method, bytes: n, sha: h.digest('hex') }));
    });
  });
  await new Promise((ok) => origin.listen(0, '127.0.0.1', ok));
  g = await startGateway(s, t, { mcp: `http://127.0.0.1:${origin.address().port}` });
});
after(async () => { await g?.stop(); await s?.stop(); origin?.closeAllConnections(); origin?.close(); });
const host = () => `mcp.${t.domain}`;

describe('openssl s_client', () => {
  const client = (args, input, more = ['-servername', host()]) =>
    run('openssl', ['s_client', '-connect', `127.0.0.1:${s.ingress}`, '-CAfile', t.ca.file, '-verify_return_error', '-verify_hostname', host(), ...more, ...args], { input });
  const GET = () => `GET / HTTP/1.1\r\nHost: ${host()}\r\nConnection: close\r\n\r\n`;

  for (const [version, flag] of [['TLSv1.2', '-tls1_2'], ['TLSv1.3', '-tls1_3']])
    for (const [alpn, expected] of [[null, 'No ALPN negotiated'], ['h2', 'ALPN protocol: h2'], ['http/1.1', 'ALPN protocol: http/1.1'], ['h2,http/1.1', 'ALPN protocol: h2'], ['http/1.1,h2', 'ALPN protocol: h2']])
      test(`${version}, ALPN ${alpn ?? 'not said'}: ${expected}`, async () => {
        const r = await client([flag, ...(alpn ? ['-alpn', alpn] : [])], 'Q\n');
        assert.match(r.out, /Verify return code: 0 \(ok\)/, r.out + r.err);
        assert.match(r.out, new RegExp(`New, ${version}, Cipher is [A-Z0-9_-]*(GCM|CHACHA20)`));
        assert.match(r.out, new RegExp(`^${expected}$`, 'm'));
        if (version === 'TLSv1.2') assert.match(r.out, /Cipher is ECDHE-ECDSA-/, 'forward secrecy');
      });

  test('a request, with and without ALPN, in either version', async () => {
    for (const flag of ['-tls1_2', '-tls1_3']) for (const alpn of [[], ['-alpn', 'http/1.1']]) {
      const r = await client([flag, ...alpn, '-quiet', '-ign_eof'], GET());
      assert.match(r.out, /^HTTP\/1\.1 200 OK\r\n[^]*"method":"GET"/, `${flag} ${alpn} ${r.err}`);
    }
  });

  test('no session is taken up again: nothing is handed out that could be', async () => {
    const r = await client(['-tls1_2', '-reconnect'], 'Q\n');
    assert.equal((r.out.match(/^New, TLSv1\.2/mg) ?? []).length, 6, `once, and five times again\n${r.out}`);
    assert.doesNotMatch(r.out, /^Reused|TLS session ticket:/m);
    const one = await client(['-tls1_3', '-ign_eof'], GET());
    assert.match(one.out, /^HTTP\/1\.1 200 OK/m);
    assert.doesNotMatch(one.out, /New Session Ticket/);
  });

  test('keys are changed in the middle (TLS 1.3)', async () => {
    const p = start('openssl', ['s_client', '-connect', `127.0.0.1:${s.ingress}`, '-servername', host(), '-CAfile', t.ca.file, '-tls1_3'], { stdin: 'pipe' });
    await until('connected', () => /Verify return code/.test(p.out));
    p.child.stdin.write('K\n');
    await until('keys are changed', () => /KEYUPDATE/.test(p.out + p.err));
    p.child.stdin.write(GET().replace(/\r\n/g, '\n').replace('Connection: close\n', ''));   // s_client reads commands by the line
    await until('an answer', () => /HTTP\/1\.1 [24]0\d /.test(p.out));
    await end(p);
  });

  for (const [what, args, more, words] of [
    ['TLS 1.1', ['-tls1_1', '-cipher', 'DEFAULT:@SECLEVEL=0'], undefined, /alert protocol version/i],
    ['a protocol that is not HTTP', ['-alpn', 'imap'], undefined, /alert no application protocol/i],
    ['no name', [], ['-noservername'], /unrecognized name/i],
    ['another name', [], ['-servername', 'example.com'], /unrecognized name/i],
    ['an address for a name', [], ['-servername', '127.0.0.1'], /unrecognized name/i],
  ]) test(`refused: ${what}`, async () => {
    const r = await client(args, 'Q\n', more);
    assert.notEqual(r.code, 0, r.out);
    assert.match(r.err + r.out, words);
    assert.doesNotMatch(r.out, /BEGIN CERTIFICATE/);
  });
});

test('a certificate with an RSA key: TLS 1.2 with forward secrecy alone, so that what an edge has recorded stays closed', async () => {
  const r = await makeTunnel(s);
  r.leaf = r.ca.issue([`*.${r.domain}`], { rsa: true });
  const gateway = await startGateway(s, r, { mcp: 'http://127.0.0.1:1' });
  const ask = (cipher) => run('openssl', ['s_client', '-connect', `127.0.0.1:${s.ingress}`, '-servername', `mcp.${r.domain}`, '-CAfile', r.ca.file, '-verify_return_error', '-tls1_2', '-cipher', cipher], { input: 'Q\n' });
  assert.match((await ask('ECDHE-RSA-AES128-GCM-SHA256')).out, /Cipher is ECDHE-RSA-AES128-GCM-SHA256/);
  assert.match((await ask('AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384')).out, /Cipher is ECDHE-RSA-AES256-GCM-SHA384/, 'whatever the caller would rather have');
  for (const cipher of ['AES128-GCM-SHA256', 'AES256-SHA', 'aNULL:@SECLEVEL=0', 'NULL:@SECLEVEL=0']) assert.match((await ask(cipher)).err, /alert handshake failure/, cipher);
  await gateway.stop();
});

describe('curl', () => {
  const base = () => ['-sS', '--cacert', t.ca.file, '--connect-to', `${host()}:443:127.0.0.1:${s.ingress}`];
  const curl = (at, ...args) => run('curl', [...base(), ...args, `https://${host()}${at}`], { timeout: ms(60000) });
  const W = '%{http_version} %{http_code} %{size_download}\n';

  for (const [v, flag] of [['1.1', '--http1.1'], ['2', '--http2']]) {
    test(`HTTP/${v}: GET, HEAD, 404, 204`, async () => {
      for (const [at, args, status] of [['/', [], 200], ['/', ['-I'], 200], ['/missing', [], 404], ['/none', [], 204]]) {
        const r = await curl(at, flag, '-o', '/dev/null', '-w', W, ...args);
        assert.equal(r.code, 0, r.err);
        assert.match(r.out, new RegExp(`^${v} ${status} `), `${at} ${args}`);
      }
    });

    test(`HTTP/${v}: 20 MiB up with a length, up without one, and down, bit for bit`, async () => {
      const up = await curl('/up', flag, '-T', path.join(dir, 'big'));
      assert.deepEqual(JSON.parse(up.out), { method: 'PUT', bytes: BIG.length, sha: sha(BIG) });
      const chunked = await run('sh', ['-c', 'f=$1; shift; exec "$@" < "$f"', 'sh', path.join(dir, 'big'), 'curl', ...base(), flag, '-T', '-', `https://${host()}/up`], { timeout: ms(60000) });
      assert.deepEqual(JSON.parse(chunked.out), { method: 'PUT', bytes: BIG.length, sha: sha(BIG) });
      const file = path.join(dir, `down${v}`);
      const down = await curl('/big', flag, '-o', file);
      assert.equal(down.code, 0, down.err);
      assert.equal(sha(fs.readFileSync(file)), sha(BIG));
    });

    test(`HTTP/${v}: -N shows events when they are made`, async () => {
      const p = start('curl', [...base(), flag, '-N', '-D', '-', `https://${host()}/events`]);
      await until('the head, before any event', () => /^HTTP\/[0-9.]+ 200/.test(p.out) && stream);
      for (let i = 0; i < 5; i++) {
        stream.write(`data: ${i}\n\n`);
        await until(`event ${i}`, () => p.out.endsWith(`data: ${i}\n\n`), ms(5000));
      }
      await end(p);
      await until('the server hears that it has left', () => !stream, ms(5000));
    });

    test(`HTTP/${v}: Expect: 100-continue, and TLS 1.2`, async () => {
      const r = await curl('/up', flag, '--tls-max', '1.2', '-H', 'Expect: 100-continue', '--expect100-timeout', '20', '-d', 'x'.repeat(5000), '-w', ' %{time_total}');
      assert.match(r.out, /"bytes":5000/, r.err);
      assert(Number(r.out.split(' ').at(-1)) < 10, `it did not wait for its patience to end: ${r.out}`);
    });
  }

  test('HTTP/2: fifty at once on one connection', async () => {
    const urls = Array.from({ length: 50 }, (_, i) => `https://${host()}/n/${i}`);
    const r = await run('curl', [...base(), '--http2', '--parallel', '--parallel-max', '50', '-w', '%{num_connects} %{http_code}\\n', ...urls.flatMap((u) => ['-o', '/dev/null', u])], { timeout: ms(60000) });
    assert.equal(r.code, 0, r.err);
    const lines = r.out.trim().split('\n');
    assert.equal(lines.filter((l) => /^\d+ 200$/.test(l)).length, 50, r.out);
    assert.equal(new Set(seen.filter((q) => q.url.startsWith('/n/')).map((q) => q.url)).size, 50);
  });

  test('a CA that is not the tunnel\'s is not enough', async () => {
    const r = await run('curl', ['-sS', '--connect-to', `${host()}:443:127.0.0.1:${s.ingress}`, `https://${host()}/`]);
    assert.equal(r.code, 60, r.err);
  });

  test('an upgrade to WebSocket and CONNECT are refused, and told by whom', async () => {
    const r = await curl('/', '--http1.1', '-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket', '-H', 'Sec-WebSocket-Version: 13', '-H', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '-w', '\n%{http_code}');
    assert.match(r.out, /"source":"policy"[^]*\n501$/, r.out);
  });
});
