// What every process of the program loads at its start: small libraries only. The large ones are opened by the processes that use them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { BIN } from '../lib/own.mjs';

test('the program is linked with small libraries only', (t) => {
  const r = spawnSync('ldd', [BIN], { encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
  const names = r.stdout.split('\n').map((l) => l.trim().split(/[ .]/)[0]).filter((n) => n.startsWith('lib'));
  if (names.some((n) => /^lib(asan|ubsan|tsan)$/.test(n))) return t.skip('a sanitizer build');
  const small = new Set(['libjansson', 'libpcre2-8', 'libc']);
  assert.deepEqual(names.filter((n) => !small.has(n)), []);
});


// Static storage of threads comes out of each thread's stack, and the smallest has 64 KiB (src/sandbox/guard/waiters.c): it could not be started, and exec
// would have no network.
test('what each thread has to itself leaves room on the smallest stack', () => {
  const r = spawnSync('readelf', ['-lW', BIN], { encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
  const [, size] = /^\s*TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x[0-9a-f]+)/m.exec(r.stdout);
  assert.ok(Number(size) > 0 && Number(size) <= 40 << 10, `${Number(size)} bytes`);
});
