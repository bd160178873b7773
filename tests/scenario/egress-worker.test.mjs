// The boundary under a worker: a tool call uses a placeholder, the log tells which call it was, and a narrower policy cuts what
// is open. Under each engine that isolates.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';
import { inside } from '../lib/inside.mjs';
import { BIN, descendants, forEverybody, ms, run, tempDir, until } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const ROOT = process.getuid() === 0;
const AUTH = '-H "Authorization: Bearer $TOKEN"';
const ENGINES = { native: [], ...(ROOT ? { crun: ['--isolation', 'oci', '--oci-runtime', 'crun'] } : {}) };

describe('a worker with a policy', () => {
  for (const [name, args] of Object.entries(ENGINES)) {
    test(`${name}: a call gets its key outside; the log has both, linked`, async () => {
      const o = await origin({ tls });
      const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
      const i = await inside({ workerArgs: [...args, '--egress', b.file, '--audit', b.audit] });
      try {
        await i.w.proc.line(/^ready/m, ms(60000));
        const x = await i.session();
        const out = await i.sh(x, `curl -sS ${AUTH} https://api.test:${o.port}/from-a-tool; echo "$TOKEN"`);
        holdsNo('the result', SECRET, out);
        assert.match(out, /sp_ph_\w{32}/);
        assert.equal(o.seen[0]?.headers.authorization, `Bearer ${SECRET}`, out);
        const request = b.records({ kind: 'request', path: '/from-a-tool' })[0];
        assert.ok(request, JSON.stringify(b.records()));
        assert.equal(request.session, x.id);
        const use = x.events.find((e) => e.type === 'agent.tool_use');
        const call = b.records({ kind: 'tool_call', session: x.id });
        assert.ok(call.length >= 1, JSON.stringify(b.records()));
        assert.ok(JSON.stringify(call).includes(use.id), JSON.stringify(call));
        assert.ok(JSON.stringify(request).includes(use.id), JSON.stringify(request));
        await x.close();
      } finally { await i.stop(); }
      holdsNo('the log', SECRET, fs.readFileSync(b.audit, 'utf8'));
      assert.equal((await b.verify()).code, 0);
    });
  }

  test('SIGHUP with a narrower policy cuts an open answer and refuses the next request', async () => {
    let open;
    const flows = new Promise((ok) => { open = ok; });
    const handler = (req, res) => { req.resume(); if (req.url !== '/stream') return void res.end('ok'); res.writeHead(200, { 'content-type': 'text/event-stream' }); res.write('data: 1\n\n', open); };
    handler.streaming = true;
    const o = await origin({ tls, handler });
    const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
    const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit] });
    try {
      await i.w.proc.line(/^ready/m, ms(60000));
      const x = await i.session();
      const call = i.sh(x, `curl -sSN ${AUTH} https://api.test:${o.port}/stream; echo "cut=$?"; curl -sS -o /dev/null -w 'next=%{http_code}' https://api.test:${o.port}/again`);
      await flows;
      b.write({ ...b.policy, allow: [rule('api.test', o.port, { paths: ['/other'] })] });
      process.kill(i.w.pid, 'SIGHUP');
      const out = await call;
      assert.match(out, /data: 1/);
      assert.match(out, /cut=[1-9]/);
      assert.match(out, /next=403/);
      assert.equal(b.records({ path: '/stream' }).at(-1).reason, 'policy_changed');
      await x.close();
    } finally { await i.stop(); }
  });
});

test('SIGHUP while a worker tries its boundary: it starts, and the policy is the one of then', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit] });
  try {
    await until('the keeper', () => descendants(i.w.pid).some((p) => /egress keeper/.test(fs.readFileSync(`/proc/${p}/cmdline`, 'latin1').replaceAll('\0', ' '))));
    b.write({ ...b.policy, allow: [rule('api.test', o.port, { paths: ['/other'] })] });
    process.kill(i.w.pid, 'SIGHUP');
    await i.w.proc.line(/^ready/m, ms(60000));
    const x = await i.session();
    assert.match(await i.sh(x, `curl -sS ${AUTH} https://api.test:${o.port}/ -o /dev/null -w '%{http_code}'`), /403/);
    await x.close();
  } finally { await i.stop(); }
});

test('an ordinary user has the same boundary', async () => {
  const o = await origin({ tls });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const home = tempDir('home'), user = ROOT ? ['setpriv', '--reuid', '4711', '--regid', '4711', '--clear-groups'] : [];
  if (ROOT) {
    const give = (d) => { fs.chownSync(d, 4711, 4711); for (const f of fs.readdirSync(d)) fs.chownSync(`${d}/${f}`, 4711, 4711); };
    [home, b.dir, b.policy.credentials[0].source.file.replace(/\/[^/]*$/, '')].forEach(give);
    fs.chmodSync(ca.dir, 0o755);
  }
  const [cmd, ...rest] = [...user, ROOT ? forEverybody(BIN) : BIN, ...b.argv(), '--', 'sh', '-c', `curl -sS ${AUTH} https://api.test:${o.port}/user`];
  const r = await run(cmd, rest, { timeout: ms(60000), cwd: home, env: { HOME: home } });
  assert.equal(r.code, 0, r.err);
  holdsNo('output', SECRET, r.out + r.err);
  assert.equal(o.seen[0].headers.authorization, `Bearer ${SECRET}`);
});
