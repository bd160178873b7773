// Routes whose servers are programs: real ones of npm, and the official clients of both eras.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { sdk1Client, sdk2Client } from '../lib/tunnel-mcp.mjs';
import { packageRoute, stdioRoute } from '../lib/mcp-stdio.mjs';

let s, t, g;
before(async () => {
  s = await edgeServer();
  t = await makeTunnel(s);
  g = await startGateway(s, t, { every: packageRoute('@modelcontextprotocol/server-everything/dist/index.js', ['stdio']), modern: stdioRoute('modern'), legacy: stdioRoute('legacy') });
});
after(async () => { await g?.stop(); await s?.stop(); });
const at = (name) => `${name}.${t.domain}`;

describe('server-everything', () => {
  for (const [what, client] of [['1.x', sdk1Client], ['2.x', sdk2Client]]) test(`the SDK ${what}`, async () => {
    const c = await client(s, t, at('every'));
    assert.match((await c.callTool({ name: 'echo', arguments: { message: 'through a pipe' } })).content[0].text, /through a pipe/);
    assert((await c.listTools()).tools.length > 5);
    await c.close();
  });
});
