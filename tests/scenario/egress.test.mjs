// The boundary as a whole: a program in a sandbox reaches what the policy names, with a key it does not have.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test', 'other.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1', 'other.test': '127.0.0.1' });

test('a key is added outside, and an echo of it comes back as the placeholder', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const out = await b.ok(`echo "$TOKEN"; curl -sS https://api.test:${o.port}/a?b=c -H "Authorization: Bearer $TOKEN"`);
  const [placeholder, echo] = out.trim().split('\n');
  assert.match(placeholder, /^sp_ph_\w{32}$/);
  assert.equal(o.seen[0].headers.authorization, `Bearer ${SECRET}`);
  assert.equal(JSON.parse(echo).headers.authorization, `Bearer ${placeholder}`);
  const [use] = b.records({ kind: 'credential' }), [request] = b.records({ kind: 'request' });
  assert.deepEqual([use.credential, use.place, use.host], ['TOKEN', 'header', 'api.test']);
  assert.deepEqual([request.verdict, request.status, request.path, request.method, request.credential], ['allow', 200, '/a', 'GET', 'TOKEN']);
  assert.match(request.rule, /allow\[0\]/);
  assert.equal((await b.verify()).code, 0);
  holdsNo('the audit log', SECRET, fs.readFileSync(b.audit, 'utf8'));
});

test('a host that no rule names is answered with a sentence that says which rule is missing', async () => {
  const b = boundary({ ca, dns });
  const out = await b.ok('curl -sS -o /dev/stdout -w "\\n%{http_code}" https://api.test/secret?x=y; curl -sSi http://api.test/');
  const [body, rest] = [out.slice(0, out.indexOf('\n')), out.slice(out.indexOf('\n') + 1)];
  const e = JSON.parse(body);
  assert.equal(e.error.type, 'egress_denied');
  assert.equal(e.host, 'api.test');
  assert.match(e.missing_rule, /host: "api.test"/);
  assert.ok(rest.startsWith('403'));
  assert.match(rest, /proxy-status: sallyport; error=http_request_denied/i);
  assert.deepEqual(dns.asked.filter((q) => q.name === 'api.test').length >= 0, true);
  assert.equal(b.records({ verdict: 'deny' }).length, 2);
});

test('a name causes no look-up outside while it is only asked for', async () => {
  const before = dns.asked.length;
  const b = boundary({ ca, dns, allow: [rule('api.test', 443)] });
  await b.ok('getent ahostsv4 api.test other.test some.secret.exfil.example');
  assert.equal(dns.asked.length, before);
});

test('dns: strict: a name that no rule allows does not resolve, and one that a rule allows works', async () => {
  const o = await origin({ tls });
  const lookUp = 'for n in api.test other.test a.wild.test; do getent ahostsv4 $n >/dev/null; echo "$n=$?"; done';
  const more = { ca, dns, allow: [rule('api.test', o.port), rule('*.wild.test', o.port)], credentials: [credential(`api.test:${o.port}`)] };
  const b = boundary({ ...more, policy: { dns: 'strict' } });
  const asked = dns.asked.length;
  const out = await b.ok(`${lookUp}
    curl -sS https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN" -o /dev/null -w 'allowed=%{http_code}\n'
    curl -sS https://other.test/ -o /dev/null 2>/dev/null; echo "other=$?"
    curl -sS -x http://127.0.0.1:3128 https://other.test/ -o /dev/null -w 'proxy=%{http_connect}\n'; true`);
  assert.deepEqual(out.trim().split('\n'), ['api.test=0', 'other.test=2', 'a.wild.test=0', 'allowed=200', 'other=6', 'proxy=403']);
  assert.equal(o.seen[0].headers.authorization, `Bearer ${SECRET}`);
  assert.deepEqual([...new Set(dns.asked.slice(asked).map((q) => q.name))], ['api.test'], 'and nobody outside was asked for it');
  assert.match(await boundary(more).ok(lookUp), /other\.test=0/, 'where dns is friendly it does resolve');
});

test('what nothing depends on passes untouched, with the certificate of the origin', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], args: ['--bind', `${ca.dir}`] });
  await b.ok(`curl -sS --cacert ${ca.file} https://api.test:${o.port}/`);
  const r = await b.sh(`curl -sS https://api.test:${o.port}/`);
  assert.equal(r.code, 60, 'the sandbox does not trust the origin’s own authority, and sees its certificate');
  assert.equal(b.records({ protocol: 'tls' })[0].verdict, 'allow');
});

test('a proxy that is killed is replaced, and the sandbox goes on', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const get = `curl -sS --retry 5 --retry-all-errors --retry-delay 1 https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN" -o /dev/null -w '%{http_code}\\n'`;
  const { start, BIN, descendants, until } = { ...(await import('../lib/own.mjs')) };
  const p = start(BIN, [...b.argv(), '--', 'sh', '-c', `${get}; echo ready; read x < /workspace/never 2>/dev/null; sleep 2; ${get}`]);
  await p.line(/ready/);
  const proxies = descendants(p.pid).filter((d) => fs.readFileSync(`/proc/${d.pid ?? d}/cmdline`, 'latin1').includes('proxy'));
  assert.equal(proxies.length, 1);
  process.kill(proxies[0].pid ?? proxies[0], 'SIGKILL');
  await p.exit;
  assert.match(p.out, /200\nready\n200/);
  assert.equal(o.seen.length, 2);
  assert.ok(until);
});

test('a secret that nobody could find in an answer is not used, and costs nobody else anything', async () => {
  const o = await origin({ tls });
  const b = boundary({
    ca, dns, allow: [rule('api.test', o.port), rule('other.test', o.port)],
    credentials: [credential(`api.test:${o.port}`), credential(`other.test:${o.port}`, {}, { name: 'SHORT', secret: 'abc' })],
  });
  const r = await b.sh(`curl -sS https://other.test:${o.port}/ -H "Authorization: Bearer $SHORT"; curl -sS -o /dev/null -w '%{http_code}' https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`);
  assert.match(r.out, /source_unavailable[^]*200$/);
  assert.match(r.err, /credential SHORT: has less than 8 bytes/);
  assert.equal(o.seen.length, 1);
});

test('an upload that is refused gets its answer, also over HTTP/2 and again and again', async () => {
  const o = await origin({ tls, h2: true });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`, { require: true })] });
  const out = await b.ok(`for i in $(seq 40); do curl -sS -o /dev/null -w '%{http_code}\n' -X POST -d x https://api.test:${o.port}/; done | sort | uniq -c`);
  assert.equal(out.trim(), '40 403');
  assert.equal(o.seen.length, 0);
});
