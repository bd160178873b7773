// The official conformance suite against a reference server, directly and through ingress, edge and gateway: a caller must not be able
// to tell the two apart, so the verdict of each single check is the same. Both revisions, at their own wire: 2026-07-28 without
// sessions, 2025-11-25 with them.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { here } from '../lib/own.mjs';
import { callerEnv, conformance, referenceServer } from '../lib/mcp.mjs';
import { call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

/** The names under `server:` in the suite's own list of what a revision requires. */
function required(revision) {
  const text = fs.readFileSync(path.join(here, 'node_modules', '@modelcontextprotocol', 'conformance', 'requirements', `${revision}.yaml`), 'utf8');
  return text.match(/^server:\n((?: {2}- \S+\n)+)/m)[1].trim().split('\n').map((l) => l.trim().slice(2));
}

const PASSED = new Set(['SUCCESS', 'INFO']);   // INFO tells what was seen on the way

// What cannot be the same, and why. Everything else is.
const APART = {
  // It refuses any URL that is not of localhost before it asks anything: it is about servers without TLS on a person's own machine.
  // What it would ask is asked below.
  'dns-rebinding-protection': /^DNS rebinding tests require a localhost server URL/,
};
// They speak HTTP without TLS, whatever their URL says: they get a listener without TLS, from where its bytes go on in TLS as they are.
const PLAIN = new Set(['http-custom-header-server-validation', 'http-header-validation']);
// What the suite runs beside its requirements and our reference server does not do: the same through the tunnel all the same.
const LACKS = { '2026-07-28': /^tasks-/, '2025-11-25': /^json-schema-2020-12$/ };

describe('the conformance suite through a tunnel', () => {
  let s, t, g, up, relay;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    up = { modern: await referenceServer('modern'), stateful: await referenceServer('stateful') };
    g = await startGateway(s, t, { modern: up.modern.upstream, stateful: up.stateful.upstream });
  });
  after(async () => { relay?.close(); await g?.stop(); await s?.stop(); for (const u of Object.values(up ?? {})) await u.stop(); });
  const url = (name) => `https://${name}.${t.domain}:${s.ingress}/mcp`;

  /** The port of a listener whose callers' bytes go to `host` through the tunnel, inside TLS. */
  async function withoutTls(host) {
    relay = net.createServer(async (k) => {
      k.on('error', () => {});
      const to = await callerSocket(s, t, host);
      k.pipe(to).pipe(k);
    });
    await new Promise((ok) => relay.listen(0, '127.0.0.1', ok));
    return relay.address().port;
  }

  for (const [revision, kind, count] of [['2026-07-28', 'modern', 37], ['2025-11-25', 'stateful', 30]]) {
    test(`${revision}: each check as without the tunnel`, { timeout: 300000 }, async () => {
      const direct = await conformance(`${up[kind].upstream}/mcp`, revision);
      const through = await conformance(url(kind), revision, { env: callerEnv(t) });
      const names = required(revision);
      assert.equal(names.length, count, 'the list of required scenarios was read');
      for (const n of names) {
        assert(direct.all[n]?.length > 0, `${n} has run directly\n${direct.proc.tail()}`);
        assert.deepEqual(direct.all[n].filter((c) => !PASSED.has(c.status)), [], `${n} passes directly`);
      }
      for (const [n, checks] of Object.entries(direct.all))
        if (!names.includes(n) && !LACKS[revision].test(n)) assert.deepEqual(checks.filter((c) => !PASSED.has(c.status)), [], `${n} passes directly`);
      assert.deepEqual(Object.keys(through.all).sort(), Object.keys(direct.all).sort(), `the same scenarios\n${through.proc.tail()}`);
      const verdicts = (checks) => checks.map((c) => `${c.id}: ${c.status}`);
      for (const n of Object.keys(direct.all).filter((x) => PLAIN.has(x))) {
        const port = await withoutTls(`${kind}.${t.domain}`);
        const again = await conformance(`http://${kind}.${t.domain}:${port}/mcp`, revision, { scenario: n, env: callerEnv(t) });
        through.all[n] = again.all[n];
      }
      for (const n of Object.keys(direct.all)) {
        if (APART[n]) for (const c of through.all[n]) assert(c.status === 'FAILURE' && APART[n].test(c.errorMessage), `${n} is apart for the reason that is known: ${JSON.stringify(c)}`);
        else assert.deepEqual(verdicts(through.all[n]), verdicts(direct.all[n]), `${n}: ${JSON.stringify(through.all[n].filter((c) => !PASSED.has(c.status)))}`);
      }
      assert(await g.metric('sallyport_gateway_requests_total') > count, 'it went through the gateway');
    });
  }

  test('a page that was rebound to the tunnel gets no answer of the server', async () => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } } });
    const ask = (headers) => call(s, t, `stateful.${t.domain}`, { method: 'POST', path: '/mcp', body, headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers } });
    const evil = await ask({ host: 'evil.example.com', origin: 'http://evil.example.com' });
    assert.equal(evil.status, 421, 'Host is not that of the connection: the gateway says so');
    assert.equal(JSON.parse(evil.text).error.data.gateway_failure.source, 'policy');
    const page = await ask({ origin: 'http://evil.example.com' });
    assert.equal(page.status, 403, 'a page of another site');
    assert.match(JSON.parse(page.text).error.message, /a page of this Origin may not call here/, 'the gateway says so, before the server hears of it');
    // One that the gateway lets through is the server's to judge.
    assert.match((await ask({ origin: `https://stateful.${t.domain}` })).text, /this Host or Origin is not served|"result"/);
    assert.equal((await ask({})).status, 200);
  });
});
