// docs/egress.md says what the program does: every policy in it is read, and decides as the lines "# check:" say.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { BIN, repo, run, tempDir } from '../lib/own.mjs';

const page = fs.readFileSync(path.join(repo, 'docs', 'egress.md'), 'utf8');
const policies = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((m) => m[1]);

test('there are policies, each with something to check', () => {
  assert.ok(policies.length >= 6);
  for (const p of policies) assert.match(p, /^# check: /m, p);
});

for (const text of policies) {
  const title = text.split('\n')[0].slice(2);
  test(title, async () => {
    const file = path.join(tempDir('docs'), 'policy.yaml');
    fs.writeFileSync(file, text);
    for (const [, method, url, verdict] of text.matchAll(/^# check: (\S+) (\S+) -> (\S+)$/gm)) {
      const r = await run(BIN, ['egress', 'check', '--egress', file, '--method', method, url]);
      assert.equal(r.out.split(' ')[0], verdict, `${method} ${url}\n${r.out}${r.err}`);
      assert.equal(r.code, verdict === 'allow' ? 0 : 1, r.err);
    }
  });
}
