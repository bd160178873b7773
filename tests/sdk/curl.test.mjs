// The same server under curl: an HTTP client that is neither ours nor Node's.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BETA, makeAgent, on, say, selfHosted, startServer, VERSION } from '../lib/sallyport.mjs';
import { ms, run, start, end, tempDir } from '../lib/own.mjs';

describe('curl', () => {
  let s, dir, cfg;
  before(async () => {
    s = await startServer({ rules: [on('', {}, say('hello from the script'))] });
    dir = tempDir('curl');
    cfg = path.join(dir, 'curlrc');   // the key is read from a file, not from argv
    fs.writeFileSync(cfg, `header = "authorization: Bearer ${s.apiKey}"\nheader = "anthropic-version: ${VERSION}"\nheader = "anthropic-beta: ${BETA}"\nsilent\nshow-error\nmax-time = 30\n`, { mode: 0o600 });
  });
  after(() => s?.stop());
  const curl = (...args) => run('curl', ['-K', cfg, ...args]);

  test('GET, POST, status line, headers', async () => {
    const r = await curl('-i', `${s.url}/v1/agents`);
    assert.equal(r.code, 0, r.err);
    assert.match(r.out, /^HTTP\/1\.1 200 /);
    assert.match(r.out, /^request-id: req_/mi);
    const p = await curl('-H', 'content-type: application/json', '-d', '{"name":"c","model":"m"}', `${s.url}/v1/agents`);
    assert.match(JSON.parse(p.out).id, /^agent_/);
  });

  test('a 200 KB upload makes curl ask for 100-continue; a chunked upload; a 33 MB one is refused', async () => {
    const big = path.join(dir, 'big.json');
    fs.writeFileSync(big, JSON.stringify({ name: 'c', model: 'm', system: 'x'.repeat(90000), metadata: {} }) + ' '.repeat(1200000));
    const r = await curl('-i', '-H', 'content-type: application/json', '-H', 'Expect: 100-continue', '--data-binary', `@${big}`, `${s.url}/v1/agents`);
    assert.match(r.out, /HTTP\/1\.1 100 /);
    assert.match(r.out, /HTTP\/1\.1 200 /);
    const c = await curl('-i', '-H', 'content-type: application/json', '-H', 'Transfer-Encoding: chunked', '--data-binary', `@${big}`, `${s.url}/v1/agents`);
    assert.match(c.out, /HTTP\/1\.1 200 /);
    const huge = path.join(dir, 'huge.json');
    fs.writeFileSync(huge, Buffer.alloc(34 << 20, 0x20));
    const h = await curl('-i', '-H', 'content-type: application/json', '--data-binary', `@${huge}`, `${s.url}/v1/agents`);
    assert.match(h.out, /HTTP\/1\.1 413 /);
    assert.match(h.out, /request_too_large/);
  });

  test('keep-alive: three URLs over one connection', async () => {
    const r = await curl('-o', '/dev/null', '-o', '/dev/null', '-o', '/dev/null', '-w', '%{num_connects} %{http_code}\n', `${s.url}/v1/agents`, `${s.url}/v1/agents`, `${s.url}/v1/environments`);
    assert.deepEqual(r.out.trim().split('\n'), ['1 200', '0 200', '0 200']);
  });

  test('-N follows a stream as it happens', async () => {
    const { env } = await selfHosted(s);
    const agent = await makeAgent(s);
    const x = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
    const p = start('curl', ['-K', cfg, '-N', '-v', `${s.url}/v1/sessions/${x.id}/events/stream`]);
    try {
      await p.line(/< HTTP\/1\.1 200/, ms(10000));
      await s.client().beta.sessions.events.send(x.id, { events: [{ type: 'user.message', content: [{ type: 'text', text: 'hi' }] }] });
      await p.line(/^event: session\.status_idle$/m, ms(15000));
      assert.match(p.out, /^id: sevt_/m);
      assert.match(p.out, /^data: \{.*hello from the script/m);
    } finally { await end(p); }
  });

  test('HTTP/2 by upgrade is not pretended', async () => {
    const r = await curl('-i', '--http2', `${s.url}/v1/agents`);
    assert.match(r.out, /HTTP\/1\.1 200 /);
  });
});
