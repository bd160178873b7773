// MCP Inspector's command line (1.x) at the ingress: what it prints is what it prints without a tunnel, and a rule of the
// gateway is an error with its words.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../lib/own.mjs';
import { everythingServer, referenceServer } from '../lib/mcp.mjs';
import { edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
// It reads ../package.json of its working directory.
const CLI = path.join(HERE, '..', 'node_modules', '@modelcontextprotocol', 'inspector-cli', 'build', 'index.js');
const NAMES = path.join(HERE, '..', 'lib', 'localhost-names.mjs');

describe('MCP Inspector', () => {
  let s, t, g, every, stateful;
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    [every, stateful] = await Promise.all([everythingServer('streamableHttp'), referenceServer('stateful')]);
    g = await startGateway(s, t, { every: every.upstream, stateful: stateful.upstream, few: { upstream: every.upstream, tools: { allow: ['echo', 'get-*'], deny: ['get-env'] } } });
  });
  after(async () => { await g?.stop(); await s?.stop(); every?.stop(); stateful?.stop(); });

  const url = (name) => `https://${name}.${t.domain}:${s.ingress}/mcp`;
  const inspect = (at, ...args) => run(process.execPath, ['--import', NAMES, CLI, at, '--transport', 'http', '--method', ...args], { env: { NODE_EXTRA_CA_CERTS: t.ca.file }, cwd: path.dirname(CLI), timeout: 60000 });

  for (const args of [['tools/list'], ['tools/call', '--tool-name', 'echo', '--tool-arg', 'message=Grüße "x"'], ['resources/list'], ['prompts/list']])
    test(`${args.slice(0, 1)} prints the same through the tunnel`, async () => {
      const direct = await inspect(`${every.upstream}/mcp`, ...args), through = await inspect(url('every'), ...args);
      assert.equal(direct.code, 0, direct.err);
      assert.equal(through.code, 0, through.err);
      assert.deepEqual(JSON.parse(through.out), JSON.parse(direct.out));
      assert(direct.out.length > 40, direct.out);
    });

  test('a session of a server that has them', async () => {
    const r = await inspect(url('stateful'), 'tools/list');
    assert.equal(r.code, 0, r.err);
    assert(JSON.parse(r.out).tools.length > 3);
  });

  test('it sees what the route allows, and is told what it does not', async () => {
    const all = JSON.parse((await inspect(url('every'), 'tools/list')).out).tools.map((x) => x.name);
    const few = JSON.parse((await inspect(url('few'), 'tools/list')).out).tools.map((x) => x.name);
    assert.deepEqual(few, all.filter((n) => n === 'echo' || (n.startsWith('get-') && n !== 'get-env')).sort());
    assert(few.length > 1 && few.length < all.length);
    const no = await inspect(url('few'), 'tools/call', '--tool-name', 'get-env');
    assert.notEqual(no.code, 0);
    assert.match(no.out + no.err, /get-env/);
    assert.match((await inspect(url('few'), 'tools/call', '--tool-name', 'echo', '--tool-arg', 'message=hello')).out, /hello/);
  });
});
