// Keys of callers' tokens that the issuer publishes (callers.jwt.jwks_url): asked for by the keeper, kept, and asked for again.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import { authority } from '../lib/egress.mjs';
import { confinedPid, call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { tempDir, until } from '../lib/own.mjs';
import { issuer, json, keyServer } from '../lib/tokens.mjs';

describe('keys that an issuer publishes', () => {
  let s, t, g, wiki, seen, idp, keys, at = 0;
  const host = () => `wiki.${t.domain}`;
  const ask = (token) => call(s, t, host(), { headers: { authorization: `Bearer ${token}` } });
  const config = (url, more = {}) => ({ callers: { jwt: { issuer: idp.iss, audience: idp.aud, jwks_url: url, ...more } } });
  /** Another address each time: what is known of one outlives a reload. */
  async function serve(answer, { url, more } = {}) {
    keys.answer = answer;
    keys.asked = 0;
    const n = (g.proc.err.match(/msg="files read anew"/g) ?? []).length;
    g.write(undefined, config(url ?? `${keys.url}?${++at}`, more));
    g.proc.kill('SIGHUP');
    await until('it is read', () => (g.proc.err.match(/msg="files read anew"/g) ?? []).length > n);
  }
  async function closed(words, token) {
    const had = seen, n = g.proc.err.length, r = await ask(token), e = JSON.parse(r.text).error;
    assert.equal(r.status, 503, r.text);
    assert.equal(e.data.gateway_failure.source, 'caller_keys');
    assert.match(e.message, /the keys by which callers' tokens are checked cannot be had/);
    assert.equal(r.headers['www-authenticate'], undefined);
    assert.equal(seen, had);
    await until('a reason is told', () => /msg="keys of the callers' issuer cannot be read"/.test(g.proc.err.slice(n)));
    assert.match(g.proc.err.slice(n), words);
    assert.ok(!r.text.includes('127.0.0.1'));
  }

  before(async () => {
    seen = 0;
    wiki = http.createServer((q, r) => { seen++; r.end('{"ok":true}'); });
    await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
    s = await edgeServer();
    t = await makeTunnel(s);
    idp = await issuer({ aud: `https://${host()}` });
    keys = await keyServer();
    keys.answer = json(await idp.jwks());
    g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, { config: config(keys.url) });
  });
  after(async () => { await g?.stop(); await s?.stop(); keys?.stop(); wiki?.closeAllConnections(); wiki?.close(); });

  test('they are asked for when the first caller comes, once, by the keeper, and kept over a reload', async () => {
    assert.equal(keys.asked, 0);
    let from;
    keys.answer = (q, r) => { from = q.headers; setTimeout(() => json(idp.published)(q, r), 50); };
    idp.published = await idp.jwks();
    const token = await idp.token('k1');
    for (const r of await Promise.all(Array.from({ length: 8 }, () => ask(token)))) assert.equal(r.status, 200, r.text);
    assert.equal(keys.asked, 1);
    assert.match(from.accept, /application\/jwk-set\+json/);
    assert.equal(from.authorization, undefined);
    g.proc.kill('SIGHUP');
    await g.proc.line(/msg="files read anew"/);
    assert.equal((await ask(token)).status, 200);
    assert.equal(keys.asked, 1);
    // The gateway proper has dialled nobody there: it may not open what a client needs, and asked its keeper.
    assert.ok(confinedPid(g.proc.pid));
  });

  test('a new key is found at once, and a name that nobody has is asked for once a minute', async () => {
    await serve(json(await idp.jwks()));
    assert.equal((await ask(await idp.token('k1'))).status, 200);
    await idp.addKey('k2');
    keys.answer = json(await idp.jwks('k2'));
    assert.equal((await ask(await idp.token('k2'))).status, 200);
    assert.equal(keys.asked, 2);
    const gone = await ask(await idp.token('k1')); // taken back by the issuer
    assert.equal(gone.status, 401);
    assert.match(gone.headers['www-authenticate'], /no key by which/);
    await Promise.all(Array.from({ length: 20 }, async (_, i) => assert.equal((await ask(await idp.token('k2', {}, { kid: `nobody-${i}` }))).status, 401)));
    assert.equal(keys.asked, 2);
    assert.equal((await ask(await idp.token('k2'))).status, 200);
  });

  test('what is no set lets nobody in, and says why in the log alone', async () => {
    const token = await idp.token('k1');
    const rows = {
      'in trouble': [(q, r) => { r.writeHead(500); r.end('{"keys":[]}'); }, /HTTP 500 instead of keys/],
      'not there': [(q, r) => { r.writeHead(404); r.end(); }, /HTTP 404 instead of keys: see callers\.jwt\.jwks_url/],
      'garbage': [(q, r) => r.end('<html>'), /no JSON with one reading/],
      'no set': [json({}), /no set of keys/],
      'no keys': [json({ keys: [] }), /none of the 0 keys/],
      'large': [(q, r) => r.end(`{"keys":[${' '.repeat(300000)}]}`), /keys of the callers' issuer cannot be read.*/],
      'cut off': [(q, r) => { r.writeHead(200, { 'content-length': '1000' }); r.write('{"keys":['); setTimeout(() => r.destroy(), 20); }, /cannot be read/],
      'elsewhere': [(q, r) => { if (q.url.includes('moved')) keys.followed = true; r.writeHead(302, { location: `${keys.url}?moved` }); r.end(); }, /sends to another address \(HTTP 302\)/],
    };
    for (const [what, [answer, words]] of Object.entries(rows)) {
      await serve(answer);
      try {
        await closed(words, token);
        assert.equal((await ask(token)).status, 503); // not asked again so soon
      } catch (e) { e.message = `${what}: ${e.message}`; throw e; }
      assert.equal(keys.asked, 1, what);
    }
    assert.equal(keys.followed, undefined);
  });

  test('nobody there, and one that does not answer', async () => {
    const token = await idp.token('k1');
    await serve(json({}), { url: 'http://127.0.0.1:1/keys' });
    await closed(/refused|connect to server/i, token);
    await serve(() => {});
    await closed(/cannot be read.*(time|Time)/, token);
  });

  test('it is back: the next question, ten seconds later, is answered', async () => {
    const token = await idp.token('k1');
    await serve((q, r) => { r.writeHead(503); r.end(); });
    await closed(/HTTP 503/, token);
    keys.answer = json(await idp.jwks());
    await until('it is asked again', async () => (await ask(token)).status === 200);
    assert.equal(keys.asked, 2);
  });

  test('by https its certificate is verified, with ca_file by that authority alone', async () => {
    const ca = authority(tempDir('idp-ca'), { name: 'idp' }), leaf = ca.issue(['127.0.0.1']), token = await idp.token('k1');
    const published = await idp.jwks();
    const server = https.createServer({ cert: leaf.cert, key: leaf.key }, (q, r) => r.end(JSON.stringify(published)));
    await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
    const url = `https://127.0.0.1:${server.address().port}/keys`;
    try {
      await serve(json({}), { url });
      await closed(/certificate/i, token);
      await serve(json({}), { url: `${url}?ca`, more: { ca_file: ca.file } });
      assert.equal((await ask(token)).status, 200);
    } finally { server.closeAllConnections(); server.close(); }
  });
});
