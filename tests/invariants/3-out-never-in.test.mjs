// Invariant 3. Out, never in: nothing on the private side listens on an address reachable from
// outside its host. Checked for the worker and every process under it, while it works.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { inside } from '../lib/inside.mjs';
import { listening } from '../lib/sockets.mjs';
import { alive, CLOSED, descendants, ms } from '../lib/own.mjs';

/** "tcp 0100007F:2002": what /proc says of a listener that only this host reaches. */
const loopback = (l) => /^tcp [0-9A-F]{6}7F:/.test(l) || /^tcp6 0{24}01000000:/.test(l);

test('invariant 3: without the page for operators the worker and its sandboxes listen on nothing', { timeout: ms(120000), skip: CLOSED }, async () => {
  const i = await inside({ workerArgs: ['--metrics', 'none'] });
  try {
    // The check sees a listener where there is one.
    assert.match(listening(i.s.pid).join(), /tcp/);
    const xs = await Promise.all([0, 1, 2].map(() => i.session()));
    for (const x of xs) await i.sh(x, 'sleep 300 & echo up');
    const tree = [i.w.pid, ...descendants(i.w.pid)];
    assert(tree.length >= 4, `worker and sandboxes: ${tree}`);
    let seen = 0;
    for (const pid of tree) {
      if (!alive(pid)) continue;
      seen++;
      assert.deepEqual(listening(pid), [], `process ${pid}`);
    }
    assert(seen >= 4);
    // What listens inside a sandbox is on that sandbox's own loopback: unreachable from the host.
    const sh = String.raw`perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(0,INADDR_ANY)); listen(S,1); ($p)=sockaddr_in(getsockname(S)); print "port $p\n"; $|=1; if (fork) { exit } close STDOUT; close STDERR; sleep 60'`;
    const port = Number((await i.sh(xs[0], sh)).match(/port (\d+)/)[1]);
    const net = await import('node:net');
    const got = await new Promise((r) => { const k = net.connect(port, '127.0.0.1'); k.on('connect', () => r('connected')); k.on('error', (e) => r(e.code)); });
    assert.equal(got, 'ECONNREFUSED', 'a listener inside is not reachable from the host');
    for (const x of xs) await x.close();
  } finally { await i.stop(); }
});

test('invariant 3: the page for operators is on loopback, and nothing else listens', { timeout: ms(120000), skip: CLOSED }, async () => {
  const i = await inside({ workerArgs: ['--metrics', '127.0.0.1:0'] });
  try {
    const x = await i.session();
    await i.sh(x, 'echo up');
    assert.deepEqual([listening(i.w.pid).length, listening(i.w.pid).every(loopback)], [1, true], listening(i.w.pid).join());
    for (const pid of descendants(i.w.pid)) if (alive(pid)) assert.deepEqual(listening(pid), [], `process ${pid}`);
    await x.close();
  } finally { await i.stop(); }
});
