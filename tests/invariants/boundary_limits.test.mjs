// Invariant 8 at the boundary: what a rule limits is counted whatever is spoken, also where no credential makes anybody look into it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authority, boundary, nameServer, origin, rawOrigin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const behind = (port, limits, more = {}) => boundary({ ca, dns, allow: [rule('api.test', port, { limits, ...more })] });
const ASK = `
s = dial('api.test', P['port'], tls=P['tls'])
out['all'] = []
for i in range(3):
    say(s, 'GET /%d HTTP/1.1\\r\\nHost: api.test:%d\\r\\n\\r\\n' % (i, P['port']))
    out['all'].append(hear(s, '}'))
`;

for (const [what, limits] of [['a rate', { requests: '2/h' }], ['a number for the session', { per_session: 2 }]])
  test(`${what} bounds requests, also several on one connection: TLS and not`, async () => {
    for (const plain of [false, true]) {
      const o = await origin({ tls, plain });
      const b = behind(o.port, limits, { plaintext: true });
      const r = await b.py(ASK, { port: o.port, tls: !plain });
      assert.deepEqual(r.all.map((a) => a.slice(9, 12)), ['200', '200', '429'], JSON.stringify(r.all));
      assert.match(r.all[2], /proxy-status: sallyport/i);
      assert.equal(o.seen.length, 2);
      assert.equal(b.records({ reason: 'rate_limited', verdict: 'deny', host: 'api.test' }).length, 1);
    }
  });

test('what is not HTTP is counted by connections, whoever speaks first; one too many is reset and recorded', async () => {
  const o = await rawOrigin((c) => { c.write('hello\n'); c.on('data', (d) => c.write(d)); });
  const b = behind(o.port, { per_session: 2 }, { plaintext: true });
  const r = await b.py(`
out['all'] = [talk('api.test', P['port'], w, until='\\n', tls=False) for w in ('', '\\x00ping\\n', '', '\\x00ping\\n')]
`, { port: o.port });
  assert.match(r.all[0], /^hello\n/);
  assert.match(r.all[1], /^hello\n/);
  for (const a of r.all.slice(2)) assert.doesNotMatch(a, /hello/);
  assert.deepEqual(b.records({ host: 'api.test' }).map((x) => [x.verdict, x.reason]), [['allow', undefined], ['allow', undefined], ['deny', 'rate_limited'], ['deny', 'rate_limited']]);
  assert.match(b.records({ reason: 'rate_limited' })[0].note, /connections/);
});
