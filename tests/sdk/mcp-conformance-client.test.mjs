// The official conformance suite against our MCP client: every client scenario of the requirement sets 2026-07-28 and 2025-11-25.
// All of them pass, with every check that they make.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, here, ms, run } from '../lib/own.mjs';

const suite = path.join(here, 'node_modules/@modelcontextprotocol/conformance');
const command = `${process.execPath} ${path.join(here, 'lib/mcp-conformance-client.mjs')}`;

const authorizing = [
  'metadata-default', 'metadata-var1', 'metadata-var2', 'metadata-var3', 'basic-cimd', 'scope-from-www-authenticate',
  'scope-from-scopes-supported', 'scope-omitted-when-undefined', 'scope-step-up', 'scope-retry-limit', 'token-endpoint-auth-basic',
  'token-endpoint-auth-post', 'token-endpoint-auth-none', 'pre-registration',
  'client-credentials-jwt', 'client-credentials-basic', 'enterprise-managed-authorization', 'dpop', 'dpop-nonce', 'wif-jwt-bearer',
].map((n) => `auth/${n}`);
const authorizing2026 = ['resource-mismatch', 'offline-access-scope', 'offline-access-not-supported', 'authorization-server-migration',
  'iss-supported', 'iss-not-advertised', 'iss-supported-missing', 'iss-wrong-issuer', 'iss-unexpected', 'iss-normalized',
  'metadata-issuer-mismatch'].map((n) => `auth/${n}`);
const mustPass = {
  '2025-11-25': ['initialize', 'tools_call', 'elicitation-sep1034-client-defaults', 'sse-retry', 'json-schema-2020-12-preservation',
    ...authorizing],
  '2026-07-28': ['tools_call', 'request-metadata', 'sep-2322-client-request-state', 'http-standard-headers', 'http-custom-headers',
    'http-invalid-tool-headers', 'json-schema-ref-no-deref', 'json-schema-2020-12-preservation', ...authorizing, ...authorizing2026],
};
// Not of a requirement set any more: authorization as 2025-03-26 had it, without metadata of the resource, or without any.
const old = ['auth/2025-03-26-oauth-metadata-backcompat', 'auth/2025-03-26-oauth-endpoint-fallback'];

/** The client scenarios of a requirement set, scored or not. */
function scenariosOf(revision) {
  const text = fs.readFileSync(path.join(suite, 'requirements', `${revision}.yaml`), 'utf8');
  const scored = text.match(/^client:\n((?: {2}- .*\n)+)/m)[1].match(/[^\s-][^\s]*/g);
  const others = [...text.matchAll(/- scenario: (\S+)\n\s+leg: client\n/g)].map((m) => m[1]);
  return [...scored, ...others];
}

for (const revision of ['2026-07-28', '2025-11-25']) {
  test(`client scenarios of ${revision}`, { timeout: ms(300000) }, async (t) => {
    assert.deepEqual([...mustPass[revision]].sort(), scenariosOf(revision).sort(), 'the table has every scenario, once');

    const r = await run(process.execPath, [path.join(suite, 'dist/index.js'), 'client', '--command', command, '--requirements', revision,
      '--timeout', String(ms(160000))], { timeout: ms(280000), env: { SALLYPORT_BIN: BIN }, cwd: here });
    const summary = (r.out + r.err).split('=== SUITE SUMMARY ===')[1];
    assert.match(summary ?? '', /^Total: \d+ passed, 0 failed, 0 warnings$/m, 'a warning is a SHOULD that is not done');
    assert.ok(summary, `the suite did not come to its end:\n${(r.out + r.err).slice(-3000)}`);
    const verdicts = new Map([...summary.split('Not scored for')[0].matchAll(/^([✓✗]) (\S+): (\d+) passed, (\d+) failed/gm)]
      .map((m) => [m[2], { passes: m[1] === '✓', checks: Number(m[3]) + Number(m[4]) }]));
    assert.deepEqual([...verdicts.keys()].sort(), scenariosOf(revision).sort(), 'every scenario ran');

    for (const name of mustPass[revision])
      await t.test(name, () => {
        assert.ok(verdicts.get(name).checks > 0, 'it checked something');
        assert.ok(verdicts.get(name).passes, summary);
      });
  });
}

for (const name of old)
  test(name, { timeout: ms(60000) }, async () => {
    const r = await run(process.execPath, [path.join(suite, 'dist/index.js'), 'client', '--command', command, '--scenario', name,
      '--spec-version', '2025-03-26'], { timeout: ms(50000), env: { SALLYPORT_BIN: BIN }, cwd: here });
    const said = (r.out + r.err).match(/Passed: (\d+)\/(\d+), 0 failed, 0 warnings/);
    assert.ok(said && Number(said[1]) > 3, (r.out + r.err).slice(-3000));
  });
