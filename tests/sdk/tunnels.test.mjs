// Tunnels, their tokens and certificates (api.md §10) through the SDK.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { startServer } from '../lib/sallyport.mjs';
import { all, keys, refused, refusedRaw, TIME } from '../lib/check.mjs';
import { BIN, run, tempDir, until } from '../lib/own.mjs';

const BETA = 'mcp-tunnels-2026-06-22';
const TUNNEL = ['id', 'type', 'domain', 'display_name', 'created_at', 'archived_at'];
const CERTIFICATE = ['id', 'type', 'tunnel_id', 'fingerprint', 'expires_at', 'created_at', 'archived_at'];
const dir = tempDir('tunnels');
let serial = 0;

async function openssl(...args) {
  const r = await run('openssl', args);
  assert.equal(r.code, 0, r.err);
  return r.out;
}
/** A CA certificate as `openssl req -x509` makes it; extensions and key may be others. */
async function authority({ key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], ext = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash'], more = [], days = '30' } = {}) {
  const name = path.join(dir, `ca${++serial}`), conf = `${name}.cnf`;
  fs.writeFileSync(conf, '[req]\ndistinguished_name=dn\n[dn]\n');
  await openssl('req', '-x509', '-nodes', '-config', conf, '-subj', `/CN=test CA ${serial}`, '-days', days, ...key, '-keyout', `${name}.key`, '-out', `${name}.pem`, ...ext.flatMap((e) => ['-addext', e]), ...more);
  return { pem: fs.readFileSync(`${name}.pem`, 'utf8'), key: fs.readFileSync(`${name}.key`, 'utf8'), file: `${name}.pem` };
}

describe('tunnels', () => {
  let s, c;
  before(async () => { s = await startServer({ args: ['--tunnel-domain', 'tunnel.example'] }); c = s.client().beta.tunnels; });
  after(() => s?.stop());

  test('create: every field; the domain is of its own, below the one that was named', async () => {
    const t = await c.create({ display_name: 'office ☂' });
    keys(t, TUNNEL);
    assert.match(t.id, /^tnl_01[1-9A-HJ-NP-Za-km-z]{22}$/);
    assert.equal(t.type, 'tunnel');
    assert.match(t.domain, /^t-[a-z2-9]{20}\.tunnel\.example$/);
    assert.equal(t.display_name, 'office ☂');
    assert.match(t.created_at, TIME);
    assert.equal(t.archived_at, null);
    assert.deepEqual(await c.retrieve(t.id), t);
    const u = await c.create({});
    assert.equal(u.display_name, null);
    assert.notEqual(u.domain, t.domain);
    assert.equal((await c.create({ display_name: null })).display_name, null);
  });

  for (const [what, body, message] of [
    ['an empty name', { display_name: '' }, /display_name/],
    ['a name of 256 characters', { display_name: 'x'.repeat(256) }, /display_name.*255/],
    ['a number', { display_name: 7 }, /display_name/],
    ['an unknown field', { display_name: 'x', domain: 'mine.example' }, /domain/],
  ]) test(`create refused: ${what}`, () => refused(c.create(body), 400, { message }));

  test('a name of 255 characters, each of four bytes, is taken', async () => {
    assert.equal((await c.create({ display_name: '𝕏'.repeat(255) })).display_name, '𝕏'.repeat(255));
  });

  test('list: newest first, in pages, archived ones when asked for', async () => {
    const made = [];
    for (let i = 0; i < 5; i++) made.unshift((await c.create({ display_name: `l${i}` })).id);
    await c.archive(made[2]);
    const mine = async (q) => (await all(c.list(q))).map((t) => t.id).filter((id) => made.includes(id));
    assert.deepEqual(await mine({ limit: 2 }), made.filter((id) => id !== made[2]));
    assert.deepEqual(await mine({ limit: 2, include_archived: true }), made);
    await refused(c.list({ page: 'page_x' }), 400, { message: /page/ });
    await refused(c.list({ include_archived: 'maybe' }), 400, { message: /include_archived/ });
  });

  test('archive: final, may be repeated, takes token and certificates along', async () => {
    const t = await c.create({ display_name: 'ends' });
    const { pem } = await authority();
    const cert = await c.certificates.create(t.id, { ca_certificate_pem: pem });
    const a = await c.archive(t.id);
    assert.match(a.archived_at, TIME);
    assert.deepEqual({ ...a, archived_at: null }, t);
    assert.deepEqual(await c.archive(t.id), a, 'the same again');
    assert.deepEqual(await c.retrieve(t.id), a);
    assert.equal((await c.certificates.retrieve(cert.id, { tunnel_id: t.id })).archived_at, a.archived_at);
    assert.deepEqual(await all(c.certificates.list(t.id)), []);
    assert.equal((await all(c.certificates.list(t.id, { include_archived: true }))).length, 1);
    for (const call of [() => c.revealToken(t.id), () => c.rotateToken(t.id, {}), () => c.certificates.create(t.id, { ca_certificate_pem: pem })])
      await refused(call(), 400, { message: /archived/ });
  });

  test('what is not there is a 404 that names it', async () => {
    const t = await c.create({});
    const nobody = { tunnel_id: 'tnl_01nobody' };
    const { pem } = await authority();
    for (const call of [() => c.retrieve('tnl_01nobody'), () => c.archive('tnl_01nobody'), () => c.revealToken('tnl_01nobody'), () => c.rotateToken('tnl_01nobody', {}), () => c.certificates.create('tnl_01nobody', { ca_certificate_pem: pem }), () => all(c.certificates.list('tnl_01nobody')), () => c.certificates.retrieve('tcrt_01x', nobody), () => c.certificates.archive('tcrt_01x', nobody)])
      await refused(call(), 404, { message: /Tunnel tnl_01nobody not found/ });
    for (const call of [() => c.certificates.retrieve('tcrt_01x', { tunnel_id: t.id }), () => c.certificates.archive('tcrt_01x', { tunnel_id: t.id })])
      await refused(call(), 404, { message: /Certificate tcrt_01x not found/ });
  });

  test('a certificate of one tunnel is not found on another', async () => {
    const [t, u] = [await c.create({}), await c.create({})];
    const cert = await c.certificates.create(t.id, { ca_certificate_pem: (await authority()).pem });
    await refused(c.certificates.retrieve(cert.id, { tunnel_id: u.id }), 404);
    await refused(c.certificates.archive(cert.id, { tunnel_id: u.id }), 404);
    assert.equal((await c.certificates.retrieve(cert.id, { tunnel_id: t.id })).archived_at, null);
  });

  test('an older client\'s beta header does, the one of agents does not', async () => {
    const ask = (beta) => s.api('GET', '/v1/tunnels', undefined, { headers: { 'anthropic-beta': beta } });
    assert.equal((await ask('mcp-tunnels-2026-05-19')).status, 200);
    assert.equal((await ask(`files-api-2025-04-14, ${BETA}`)).status, 200);
    refusedRaw(await ask('managed-agents-2026-04-01'), 404, { message: /^not found$/ });
    refusedRaw(await s.api('GET', '/v1/agents', undefined, { headers: { 'anthropic-beta': BETA } }), 404, { message: /^not found$/ });
  });

  describe('tokens', () => {
    test('revealed as often as one likes; rotated: another id, another value, the old one is gone', async () => {
      const t = await c.create({});
      const a = await c.revealToken(t.id);
      keys(a, ['id', 'type', 'tunnel_token']);
      assert.equal(a.type, 'tunnel_token');
      assert.match(a.id, /^ttok_/);
      assert.match(a.tunnel_token, /^sk-sp-tun-[0-9a-f]{64}$/);
      assert.deepEqual(await c.revealToken(t.id), a);
      const b = await c.rotateToken(t.id, { reason: 'a laptop was lost' });
      assert.notEqual(b.id, a.id);
      assert.notEqual(b.tunnel_token, a.tunnel_token);
      assert.deepEqual(await c.revealToken(t.id), b);
      assert.notEqual((await c.rotateToken(t.id, { reason: null })).id, b.id);
      assert.notEqual((await c.rotateToken(t.id, {})).id, b.id);
      await refused(c.rotateToken(t.id, { reason: 'x'.repeat(513) }), 400, { message: /reason.*512/ });
      await refused(c.rotateToken(t.id, { because: 'x' }), 400, { message: /because/ });
    });

    test('no two tunnels have the same, and it calls no API', async () => {
      const [a, b] = [await c.revealToken((await c.create({})).id), await c.revealToken((await c.create({})).id)];
      assert.notEqual(a.tunnel_token, b.tunnel_token);
      const r = await s.api('GET', '/v1/tunnels', undefined, { key: a.tunnel_token, headers: { 'anthropic-beta': BETA } });
      refusedRaw(r, 403, { message: /cannot be called with a tunnel's token/ });
    });

    test('the database holds none of them, nor what they are made from; the log has neither', async () => {
      const t = await c.create({});
      const a = await c.revealToken(t.id), b = await c.rotateToken(t.id, { reason: 'look' });
      const file = path.join(s.data, 'tunnel.key');
      assert.equal(fs.statSync(file).mode & 0o777, 0o600);
      const key = fs.readFileSync(file, 'utf8').trim();
      assert.match(key, /^[0-9a-f]{64}$/);
      const stored = fs.readdirSync(s.data).filter((f) => f.startsWith('sallyport.db')).map((f) => fs.readFileSync(path.join(s.data, f), 'latin1')).join('');
      assert(stored.includes(b.id), 'the row is in what was looked through');
      assert(!stored.includes(Buffer.from(key, 'hex').toString('latin1')));
      await until('the log tells of it', () => /tunnel token rotated.*reason="look"/.test(s.proc.err));
      for (const secret of [a.tunnel_token, b.tunnel_token, a.tunnel_token.slice(-64), key]) {
        assert(!stored.includes(secret));
        assert(!s.proc.err.includes(secret) && !s.proc.out.includes(secret));
      }
    });

    test('an Idempotency-Key is of no use to a look, which may be repeated', async () => {
      const t = await c.create({});
      const ask = () => s.api('POST', `/v1/tunnels/${t.id}/reveal_token`, undefined, { headers: { 'anthropic-beta': BETA, 'idempotency-key': 'look' } });
      const a = await ask();
      assert.equal(a.status, 200);
      assert.deepEqual((await ask()).body, a.body);
    });

    test('an Idempotency-Key keeps no token', async () => {
      const t = await c.create({});
      const ask = () => s.api('POST', `/v1/tunnels/${t.id}/rotate_token`, {}, { headers: { 'anthropic-beta': BETA, 'idempotency-key': 'once' } });
      const r = await ask();
      assert.equal(r.status, 200);
      const again = await ask();
      assert.match(refusedRaw(again, 409, { type: 'invalid_request_error' }).message, /already carried out, and its answer is not kept; reveal_token shows the token/);
      assert.equal((await c.revealToken(t.id)).id, r.body.id, 'and it was done once');
      const stored = fs.readdirSync(s.data).filter((f) => f.startsWith('sallyport.db')).map((f) => fs.readFileSync(path.join(s.data, f), 'latin1')).join('');
      assert(!stored.includes(r.body.tunnel_token));
    });

    test('a restart shows the same; without tunnel.key it says what to do, and rotating helps', async () => {
      const t = await c.create({});
      const a = await c.revealToken(t.id);
      await s.restart();
      assert.deepEqual(await c.revealToken(t.id), a);
      fs.rmSync(path.join(s.data, 'tunnel.key'));
      await s.restart();
      await refused(c.revealToken(t.id), 409, { message: /the tunnel\.key it was made with is not .* Put the file back and restart the server, or rotate/ });
      assert(!fs.existsSync(path.join(s.data, 'tunnel.key')), 'a look makes none');
      const b = await c.rotateToken(t.id, {});
      assert.deepEqual(await c.revealToken(t.id), b);
    });

    test('a tunnel.key that others can read, or that is none, is not used', async () => {
      const file = path.join(s.data, 'tunnel.key'), good = fs.readFileSync(file);
      const t = await c.create({});
      for (const [change, words] of [
        [() => fs.chmodSync(file, 0o644), /tunnel\.key must belong to this user and be readable by nobody else/],
        [() => fs.writeFileSync(file, 'short\n'), /tunnel\.key does not hold 64 hex digits/],
        [() => { fs.rmSync(file); fs.symlinkSync('/dev/zero', file); }, /tunnel\.key: it is a link/],
      ]) {
        change();
        try {
          await s.restart();
          await until('the start says so', () => words.test(s.proc.err));
          for (const route of [`/v1/tunnels/${t.id}/reveal_token`, `/v1/tunnels/${t.id}/rotate_token`, '/v1/tunnels']) {
            const r = await s.api('POST', route, {}, { headers: { 'anthropic-beta': BETA } });
            assert.match(refusedRaw(r, 500).message, /tunnel\.key in the server's data directory.* cannot be used; the server's log says why/);
            assert.equal(r.headers.get('x-should-retry'), 'false');
            await until('the log has its line', () => s.proc.err.includes(`request=${r.body.request_id}`));
          }
        } finally {
          fs.rmSync(file);
          fs.writeFileSync(file, good, { mode: 0o600 });
        }
      }
      await s.restart();
      assert.match((await c.revealToken(t.id)).tunnel_token, /^sk-sp-tun-/);
    });
  });

  describe('certificates', () => {
    test('registered: every field; the fingerprint is what openssl says', async () => {
      const t = await c.create({});
      const { pem, file } = await authority();
      const cert = await c.certificates.create(t.id, { ca_certificate_pem: pem });
      keys(cert, CERTIFICATE);
      assert.match(cert.id, /^tcrt_01[1-9A-HJ-NP-Za-km-z]{22}$/);
      assert.equal(cert.type, 'tunnel_certificate');
      assert.equal(cert.tunnel_id, t.id);
      const print = (await openssl('x509', '-in', file, '-noout', '-fingerprint', '-sha256')).trim().split('=')[1].replaceAll(':', '').toLowerCase();
      assert.equal(cert.fingerprint, print);
      assert.equal(new Date(cert.expires_at).getTime(), new Date(new crypto.X509Certificate(pem).validTo).getTime());
      assert.match(cert.expires_at, TIME);
      assert.match(cert.created_at, TIME);
      assert.equal(cert.archived_at, null);
      assert.deepEqual(await c.certificates.retrieve(cert.id, { tunnel_id: t.id }), cert);
      assert.deepEqual(await all(c.certificates.list(t.id)), [cert]);
    });

    test('two at most; archiving one makes room; the same one twice is a conflict', async () => {
      const t = await c.create({});
      const [x, y, z] = [await authority(), await authority(), await authority()];
      const add = (ca) => c.certificates.create(t.id, { ca_certificate_pem: ca.pem });
      const a = await add(x);
      await refused(add(x), 409, { message: new RegExp(`already, as ${a.id}`) });
      const b = await add(y);
      await refused(add(z), 400, { message: /2 certificates that are not archived/ });
      const gone = await c.certificates.archive(a.id, { tunnel_id: t.id });
      assert.match(gone.archived_at, TIME);
      assert.deepEqual(await c.certificates.archive(a.id, { tunnel_id: t.id }), gone, 'the same again');
      const d = await add(z);
      assert.deepEqual((await all(c.certificates.list(t.id, { limit: 1 }))).map((e) => e.id), [d.id, b.id]);
      assert.deepEqual((await all(c.certificates.list(t.id, { limit: 1, include_archived: true }))).map((e) => e.id), [d.id, b.id, a.id]);
      await c.certificates.archive(b.id, { tunnel_id: t.id });
      const again = await add(x);
      assert.notEqual(again.id, a.id, 'one that was archived may come again, as another');
    });

    test('six at once: two are taken', async () => {
      const t = await c.create({});
      const cas = await Promise.all(Array.from({ length: 6 }, () => authority()));
      const got = await Promise.allSettled(cas.map((ca) => c.certificates.create(t.id, { ca_certificate_pem: ca.pem })));
      assert.equal(got.filter((g) => g.status === 'fulfilled').length, 2);
      assert.equal((await all(c.certificates.list(t.id))).length, 2);
    });

    test('those that tools make are taken: RSA, P-384, CRLF, text before and after', async () => {
      for (const more of [{ key: ['-newkey', 'rsa:2048'] }, { key: ['-newkey', 'rsa:3072'], more: ['-sha512'] }, { key: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'] }, { more: ['-addext', 'extendedKeyUsage=clientAuth,serverAuth'] }]) {
        const t = await c.create({});
        const { pem } = await authority(more);
        await c.certificates.create(t.id, { ca_certificate_pem: pem });
        const cert = await c.certificates.create(t.id, { ca_certificate_pem: `${(await authority(more)).pem.replaceAll('\n', '\r\n')}` });
        await c.certificates.archive(cert.id, { tunnel_id: t.id });
        await c.certificates.create(t.id, { ca_certificate_pem: `our CA\n${(await authority(more)).pem}\nthat was it\n` });
      }
    });

    const ext = { basic: 'basicConstraints=critical,CA:TRUE', usage: 'keyUsage=critical,keyCertSign', id: 'subjectKeyIdentifier=hash' };
    for (const [what, make, message] of [
      ['nothing', async () => '', /ca_certificate_pem/],
      ['no PEM', async () => 'hello', /ca_certificate_pem: .*CERTIFICATE/],
      ['more than 8 KB', async () => `${(await authority()).pem}${'x'.repeat(9000)}`, /8192/],
      ['two certificates', async () => (await authority()).pem + (await authority()).pem, /one|2/],
      ['a private key beside it', async () => { const a = await authority(); return a.pem + a.key; }, /private key/i],
      ['half of it', async () => (await authority()).pem.slice(0, 300), /end/i],
      ['bytes that are none', async () => (await authority()).pem.replace(/\n(.{20})/, '\nAAAAAAAAAAAAAAAAAAAA'), /ca_certificate_pem: what the block holds is not DER, or was cut off/],
      ['no CA', async () => (await authority({ ext: ['basicConstraints=critical,CA:FALSE', ext.usage, ext.id] })).pem, /BasicConstraints.*CA/i],
      ['BasicConstraints that are not critical', async () => (await authority({ ext: ['basicConstraints=CA:TRUE', ext.usage, ext.id] })).pem, /critical/],
      ['no keyCertSign', async () => (await authority({ ext: [ext.basic, 'keyUsage=critical,cRLSign', ext.id] })).pem, /keyCertSign/],
      ['no KeyUsage', async () => (await authority({ ext: [ext.basic, ext.id] })).pem, /KeyUsage/],
      ['no subject key identifier', async () => (await authority({ ext: [ext.basic, ext.usage, 'subjectKeyIdentifier=none'] })).pem, /SubjectKeyIdentifier/i],
      ['RSA of 1024 bits', async () => (await authority({ key: ['-newkey', 'rsa:1024'] })).pem, /1024.*2048|2048.*1024/],
      ['a curve that is none of the three', async () => (await authority({ key: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'] })).pem, /secp256k1/],
      ['Ed25519', async () => (await authority({ key: ['-newkey', 'ed25519'] })).pem, /ED25519/i],
      ['an extended key usage without serverAuth', async () => (await authority({ ext: [ext.basic, ext.usage, ext.id, 'extendedKeyUsage=clientAuth,codeSigning'] })).pem, /ExtendedKeyUsage is there without serverAuth/],
      ['SHA-1', async () => (await authority({ more: ['-sha1'] })).pem, /SHA-?1\b/i],
    ]) test(`refused: ${what}`, async () => {
      const t = await c.create({});
      const pem = await make();
      const e = await refused(c.certificates.create(t.id, { ca_certificate_pem: pem }), 400, { message });
      assert(!e.message.includes('PRIVATE KEY-----'), 'nothing of it is repeated');
      assert.deepEqual(await all(c.certificates.list(t.id, { include_archived: true })), []);
    });

    for (const [what, body, message] of [
      ['no field', {}, /ca_certificate_pem/],
      ['a number', { ca_certificate_pem: 7 }, /ca_certificate_pem/],
      ['an unknown field', { ca_certificate_pem: 'x', name: 'y' }, /name/],
    ]) test(`refused: ${what}`, async () => { await refused(c.certificates.create((await c.create({})).id, body), 400, { message }); });
  });

  test('a backup holds no key for tokens, and says so', async () => {
    await c.create({});
    const r = await run(BIN, ['server', 'backup', path.join(dir, 'b.db'), '--data', s.data]);
    assert.equal(r.code, 0, r.err);
    assert.match(r.err, /tunnel\.key is not in it: copy it apart/);
    const key = fs.readFileSync(path.join(s.data, 'tunnel.key'), 'utf8').trim();
    const text = fs.readFileSync(path.join(dir, 'b.db'), 'latin1');
    assert(!text.includes(key) && !text.includes(Buffer.from(key, 'hex').toString('latin1')));
  });

  test('what was acknowledged is there after kill -9', async () => {
    const t = await c.create({ display_name: 'kept' });
    const cert = await c.certificates.create(t.id, { ca_certificate_pem: (await authority()).pem });
    const token = await c.rotateToken(t.id, { reason: 'r' });
    await s.kill9();
    await s.reboot();
    assert.deepEqual(await c.retrieve(t.id), t);
    assert.deepEqual(await all(c.certificates.list(t.id)), [cert]);
    assert.deepEqual(await c.revealToken(t.id), token);
  });
});

test('--tunnel-domain that is no domain is refused with what one is', async () => {
  for (const name of ['', '127.0.0.1', 'a.7', 'Tunnel.example', 'a..b', '-a.example', 'a_b.example', 'a.example.', `${'x'.repeat(64)}.example`, `${'a.'.repeat(120)}example`])
    await assert.rejects(startServer({ args: ['--tunnel-domain', name] }), /--tunnel-domain/, name);
});
