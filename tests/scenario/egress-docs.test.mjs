// docs/egress.md says what the program does: its policies are loaded and asked, its first commands run against stand-ins.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { BIN, repo, run, tempDir } from '../lib/own.mjs';
import { SECRET, authority, boundary, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';

const doc = fs.readFileSync(path.join(repo, 'docs', 'egress.md'), 'utf8');
const blocks = (kind) => [...doc.matchAll(new RegExp('^```' + kind + '\n([\\s\\S]*?)^```$', 'gm'))].map((m) => m[1]);
const dir = tempDir('egress-docs');

test('there is a policy for each recipe', () => assert.ok(blocks('yaml').length >= 8));
const corp = authority().file; // a check reads what a policy trusts
for (const [i, text] of blocks('yaml').entries()) {
  const file = path.join(dir, `${i}.yaml`);
  fs.writeFileSync(file, text.replace('/etc/ssl/corp-ca.pem', corp));
  const expected = [...text.matchAll(/^# check: (\S+) (\S+) -> (allow|deny)(?: (\w+))?$/gm)];
  test(`policy ${i}: has expectations`, () => assert.ok(expected.length > 0 && expected.length === text.split('# check').length - 1, text));
  for (const [, method, url, verdict, name] of expected)
    test(`policy ${i}: ${method} ${url} -> ${verdict} ${name ?? ''}`, async () => {
      const r = await run(BIN, ['egress', 'check', '--egress', file, '--method', method, url]);
      assert.equal(r.err, '');
      assert.equal(r.out.split(' ')[0], verdict, r.out);
      assert.equal(r.code, verdict === 'allow' ? 0 : 1);
      const used = [...r.out.matchAll(/^credential (\w+) is used$/gm)].map((m) => m[1]);
      assert.deepEqual(used, name ? [name] : [], r.out);
    });
}

test('the first commands and the refusal do what the page says', async () => {
  const ca = authority(), tls = ca.issue(['api.example.com', 'example.com']);
  const dns = await nameServer({ 'api.example.com': '127.0.0.1', 'example.com': '127.0.0.1' });
  const o = await origin({ tls }), port = o.port;
  // The page's commands, with a port, and a policy that says where the stand-ins are.
  const [first] = blocks('sh');
  assert.match(first, /--allow example\.com -- curl -sS https:\/\/example\.com\//);
  assert.match(first, /--secret TOKEN=file:\S+@api\.example\.com -- \\\n +sh -c 'curl -sS https:\/\/api\.example\.com\/ -H "Authorization: Bearer \$TOKEN"'/);
  const file = path.join(dir, 'secret');
  fs.writeFileSync(file, SECRET, { mode: 0o600 });
  const allow = boundary({ ca, dns, allow: [rule('example.com', port, { inspect: true })], args: ['--allow', `example.com:${port}`] });
  await allow.ok(`curl -sS https://example.com:${port}/`);
  const b = boundary({ ca, dns, allow: [rule('api.example.com', port)], args: ['--secret', `TOKEN=file:${file}@api.example.com:${port}`] });
  await b.ok(`curl -sS https://api.example.com:${port}/ -H "Authorization: Bearer $TOKEN"`);
  assert.deepEqual(o.seen.map((s) => s.headers.authorization), [undefined, `Bearer ${SECRET}`]);
  assert.equal((await b.verify()).code, 0);
  holdsNo('the audit log', SECRET, fs.readFileSync(b.audit, 'utf8'));
  const [shown] = blocks('json'), got = await b.ok('curl -sS https://elsewhere.example/');
  assert.deepEqual(JSON.parse(got), JSON.parse(shown));
});
