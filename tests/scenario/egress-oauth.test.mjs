// A token from an authorization server behind the boundary: the sandbox has a placeholder, the origin a token.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { authority, boundary, nameServer, origin, rule } from '../lib/egress.mjs';
import { tempDir } from '../lib/own.mjs';
import { tokenEndpoint } from '../lib/token-endpoint.mjs';

test('a credential whose source is oauth2', async () => {
  const ca = authority(), dns = await nameServer({ 'api.test': '127.0.0.1' });
  const CLIENT = 'cs-egress-Lk4Jh6Gf8Ds2Aq';
  const as = await tokenEndpoint({ client: { id: 'box', secret: CLIENT } });
  const o = await origin({ tls: ca.issue(['api.test']) });
  const file = path.join(tempDir('client'), 'secret');
  fs.writeFileSync(file, CLIENT, { mode: 0o600 });
  try {
    const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], secrets: [CLIENT],
      credentials: [{ name: 'TOKEN', hosts: [`api.test:${o.port}`], source: { oauth2: { token_url: as.url, client_id: 'box', client_secret: { file } } } }] });
    const out = await b.ok(`for i in 1 2 3; do curl -sS -H "Authorization: Bearer $TOKEN" https://api.test:${o.port}/; echo; done; echo "=$TOKEN"`);
    const token = out.slice(out.lastIndexOf('=') + 1).trim();
    assert.equal(as.asked.length, 1);
    const [issued] = [...as.issued.keys()];
    assert.deepEqual(o.seen.map((r) => r.headers.authorization), Array(3).fill(`Bearer ${issued}`));
    assert(!out.includes(issued), 'it does not come back');
    assert(out.includes(`Bearer ${token}`), out);
    assert.deepEqual(as.wrong, []);
  } finally { await as.close(); }
});

test('a policy with a token for each caller is refused: there are none', async () => {
  const b = boundary({ credentials: [{ name: 'TOKEN', hosts: ['api.test'], source: { oauth2: { token_url: 'https://as.test/token', grant: 'token_exchange', subject: 'caller' } } }] });
  const r = await b.sh('true');
  assert.notEqual(r.code, 0);
  assert.match(r.err, /subject: there are no callers here/);
});
