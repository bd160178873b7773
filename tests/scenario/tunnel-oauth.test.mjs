// Tokens at the gateway: asked for where they are issued, one for all callers or one for each, and what happens when that fails.
import { after, before, beforeEach, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { generateKeyPairSync } from 'node:crypto';
import { authority, holdsNo } from '../lib/egress.mjs';
import { BIN, run, tempDir, until } from '../lib/own.mjs';
import { call, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';
import { tokenEndpoint } from '../lib/token-endpoint.mjs';

const STANDIN = '[secret of the gateway]';
const CLIENT_SECRET = 'cs-Vb8 Nn3%Qw5:Er7Ty9Ui2Op4';
const SUBJECTS = { ann: 'st-ann-7Hx2Kq9Lw4Zm6Rt1', bob: 'st-bob-3Jd8Fs5Gk2Pn7Bv9' };

describe('a route with a token', () => {
  let s, t, g, ca, as, keyed, exchange, upstream, dir, seen, taken;
  const p = (name) => path.join(dir, name);
  const put = (name, text) => { fs.writeFileSync(p(`${name}.new`), text, { mode: 0o600 }); fs.renameSync(p(`${name}.new`), p(name)); };
  const up = () => `https://localhost:${upstream.address().port}`;
  const routes = () => ({
    plain: { upstream: up(), credential: { oauth2: { token_url: as.url, ca_file: ca.file, client_id: 'gw', client_secret: { file: p('client') }, scope: 'use', resource: 'https://up.example/mcp' } } },
    signed: { upstream: up(), credential: { header: 'X-Token', value: '${secret}', name: 'the-token', oauth2: { token_url: keyed.url, client_id: 'gw', client_key: { file: p('key') } } } },
    mine: { upstream: up(), credential: { oauth2: { token_url: exchange.url, grant: 'token_exchange', subject: 'caller', audience: 'up', client_id: 'gw', client_secret: { file: p('client') }, auth: 'post' } } },
    ruled: { upstream: up(), limits: { rate: '1000/s' }, credential: { oauth2: { token_url: as.url, ca_file: ca.file, client_id: 'gw', client_secret: { file: p('client') }, scope: 'other' } } },
    basic: { upstream: up(), credential: { basic: { user: 'gw', password: `\${file:${p('client')}}` } } },
  });
  const config = () => ({ upstream: { allowed_ips: ['127.0.0.0/8', '::1'], tls: { ca_file: ca.file } }, audit: { file: p('audit.log'), arguments: true } });
  const ask = (name, headers = {}, more = {}) => call(s, t, `${name}.${t.domain}`, { headers, ...more });
  const reload = async () => { g.proc.kill('SIGHUP'); await g.proc.line(/msg="files read anew"/); };
  before(async () => {
    s = await edgeServer();
    t = await makeTunnel(s);
    ca = authority(tempDir('upstream-ca'));
    dir = tempDir('oauth');
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    put('client', `${CLIENT_SECRET}\n`);
    put('key', pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    as = await tokenEndpoint({ tls: ca.issue(['localhost']), client: { id: 'gw', secret: CLIENT_SECRET } });
    keyed = await tokenEndpoint({ client: { id: 'gw', key: pair.publicKey.export({ type: 'spki', format: 'pem' }) } });
    exchange = await tokenEndpoint({ client: { id: 'gw', secret: CLIENT_SECRET, auth: 'post' } });
    for (const [who, token] of Object.entries(SUBJECTS)) exchange.subjects.set(token, who);
    seen = [];
    taken = () => true;
    upstream = https.createServer(ca.issue(['localhost']), (q, r) => {
      const given = q.headers['x-token'] ?? q.headers.authorization?.replace(/^Bearer /, '');
      const s = { given, headers: q.headers, socket: q.socket, text: '' };
      seen.push(s);
      q.setEncoding('utf8').on('data', (d) => { s.text += d; }).on('end', () => {
        if (!taken(given)) { r.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }); r.end(`not ${given}`); return; }
        r.end(q.method === 'POST' ? '{"jsonrpc":"2.0","id":7,"result":{}}' : JSON.stringify(q.headers));
      });
    });
    await new Promise((ok) => upstream.listen(0, '127.0.0.1', ok));
    g = await startGateway(s, t, routes(), { config: config() });
  });
  beforeEach(() => { taken = () => true; for (const x of [as, keyed, exchange]) { x.before = x.manner = undefined; x.life = 3600; } });
  after(async () => {
    await g?.stop();
    const told = [g?.proc.err, g?.proc.out, s?.proc.err, fs.readFileSync(p('audit.log'), 'utf8')];
    for (const secret of [CLIENT_SECRET, ...Object.values(SUBJECTS), ...[as, keyed, exchange].flatMap((x) => [...x.issued.keys()])])
      for (const what of told) if (what) holdsNo('a log', secret, what);
    await s?.stop();
    for (const x of [as, keyed, exchange]) { await x?.close(); assert.deepEqual(x?.wrong, []); }
    upstream?.closeAllConnections(); upstream?.close();
  });

  test('many callers at once: one request for the token, which none of them sees', async () => {
    const got = await Promise.all(Array.from({ length: 20 }, () => ask('plain', { authorization: 'Bearer of-the-caller' })));
    for (const r of got) {
      assert.equal(r.status, 200, r.text);
      assert.equal(JSON.parse(r.text).authorization, `Bearer ${STANDIN}`);
    }
    assert.equal(as.asked.length, 1);
    assert.equal(as.issued.get(seen.at(-1).given), 'gw');
    assert.equal(as.asked[0].get('scope'), 'use');
    assert.equal(as.asked[0].get('resource'), 'https://up.example/mcp');
  });

  test('a client that shows a key; another header', async () => {
    const r = await ask('signed', { authorization: 'Bearer of-the-caller' });
    assert.equal(r.status, 200, r.text);
    assert.equal(keyed.issued.get(seen.at(-1).given), 'gw');
    assert.equal(seen.at(-1).headers.authorization, undefined);
    assert.equal(JSON.parse(r.text)['x-token'], STANDIN);
  });

  test('user and password', async () => {
    const r = await ask('basic', { authorization: 'Basic b2Y6dGhlLWNhbGxlcg==' });
    assert.equal(r.status, 200, r.text);
    assert.equal(seen.at(-1).headers.authorization, `Basic ${Buffer.from(`gw:${CLIENT_SECRET}`).toString('base64')}`);
    holdsNo('the answer', CLIENT_SECRET, r.text);
    assert(JSON.parse(r.text).authorization.startsWith('Basic '), r.text);
  });

  test('each caller gets a token of its own, once, on connections of its own', async () => {
    const before = exchange.asked.length;
    const who = ['ann', 'bob', 'ann', 'bob', 'ann'], sockets = { ann: new Set(), bob: new Set() };
    for (const name of who) {
      const r = await ask('mine', { authorization: `Bearer ${SUBJECTS[name]}` });
      assert.equal(r.status, 200, r.text);
      assert.equal(exchange.issued.get(seen.at(-1).given), name);
      assert.equal(JSON.parse(r.text).authorization, `Bearer ${STANDIN}`);
      sockets[name].add(seen.at(-1).socket);
    }
    assert.equal(exchange.asked.length - before, 2);
    for (const x of sockets.ann) assert(!sockets.bob.has(x));
    const form = exchange.asked.at(-1);
    assert.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:token-exchange');
    assert.equal(form.get('audience'), 'up');
    const many = await Promise.all(Array.from({ length: 20 }, (_, i) => ask('mine', { authorization: `bearer ${SUBJECTS[i % 2 ? 'ann' : 'bob']}` })));
    assert(many.every((r) => r.status === 200));
    assert.equal(exchange.asked.length - before, 2);
  });

  test('a caller without a token, or with one that is not taken, is told so, and the server hears nothing', async () => {
    const before = seen.length;
    for (const headers of [{}, { authorization: 'Basic YTpi' }, { authorization: 'Bearer ' }, { authorization: 'Bearer a b' }]) {
      const r = await ask('mine', headers);
      assert.equal(r.status, 401, r.text);
      assert.equal(r.headers['www-authenticate'], 'Bearer');
      assert.equal(JSON.parse(r.text).error.data.gateway_failure.source, 'credential');
    }
    const asked = exchange.asked.length, bad = 'st-eve-1Qa2Ws3Ed4Rf5Tg6';
    for (let i = 0; i < 3; i++) {
      const r = await ask('mine', { authorization: `Bearer ${bad}` });
      assert.equal(r.status, 401, r.text);
      assert.equal(r.headers['www-authenticate'], 'Bearer error="invalid_token"');
      assert.equal(JSON.parse(r.text).error.data.gateway_failure.credential, `mine`);
      holdsNo('the answer', bad, r.text);
    }
    assert.equal(exchange.asked.length, asked + 1, 'a refusal is remembered');
    assert.equal(seen.length, before);
    const state = (await (await fetch(`http://${g.page}/status`)).json()).routes.find((x) => x.route === 'mine');
    assert.equal(state.requests.failed, 0, 'it is no failure of the route');
  });

  test('a token endpoint in trouble: the token of before serves, and without one the call is refused with whose fault it was', async () => {
    assert.equal((await ask('plain')).status, 200);
    const had = seen.at(-1).given;
    let hits = 0;
    as.before = (q, r) => { hits++; as.send(r, 503, '<html>', { 'retry-after': '2' }); return true; };
    await reload();
    const r = await ask('plain');
    assert.equal(r.status, 200, r.text);
    assert.equal(seen.at(-1).given, had);
    assert.equal(hits, 1);
    await ask('plain');
    assert.equal(hits, 1, 'Retry-After');
    let more = 0;
    exchange.before = (q, x) => { more++; x.writeHead(302, { location: up() }); x.end(); return true; };
    const sub = 'st-cat-5Yh6Uj7Ik8Ol9Pz1';
    const no = await ask('mine', { authorization: `Bearer ${sub}` });
    assert.equal(no.status, 502, no.text);
    const failure = JSON.parse(no.text).error;
    assert.equal(failure.data.gateway_failure.source, 'credential');
    assert(!no.text.includes('localhost'), no.text);
    assert.equal(more, 1, 'a redirect is not followed');
    await until('the log says what to do', async () => { await ask('mine', { authorization: `Bearer ${sub}` }); return /see token_url/.test(g.proc.err); });
    assert.equal(more, 1, 'a failure is remembered');
  });

  test('a secret of the client that was rotated', async () => {
    const next = 'cs-next-Zx1Cv2Bn3Mq4Wt5';
    as.client.secret = next;
    await reload();
    let r = await ask('plain');
    assert.equal(r.status, 502, r.text);
    await until('the log says what to do', async () => { await ask('plain'); return /see client_id, client_secret/.test(g.proc.err); });
    put('client', next);
    await until('it is taken', async () => (await ask('plain')).status === 200);
    as.client.secret = CLIENT_SECRET;
    put('client', `${CLIENT_SECRET}\n`);
    await reload();
    r = await ask('plain');
    assert.equal(r.status, 200, r.text);
    holdsNo('a log', next, g.proc.err);
  });

  test('a token that ends is replaced before its end, and nobody waits', async () => {
    as.life = 4;
    await reload();
    assert.equal((await ask('plain')).status, 200);
    const first = seen.at(-1).given, asked = as.asked.length;
    let hold = [];
    as.before = (q, r) => { hold.push(r); return true; };
    await until('it is asked for ahead', async () => { assert.equal((await ask('plain')).status, 200); return hold.length > 0; });
    assert.equal(as.asked.length, asked + 1);
    assert.equal((await ask('plain')).status, 200);
    assert.equal(seen.at(-1).given, first);
    as.before = undefined;
    as.issued.set('at-next-Rt6Yu7Io8Pa9Sd1', 'gw');
    for (const r of hold) as.send(r, 200, { access_token: 'at-next-Rt6Yu7Io8Pa9Sd1', token_type: 'Bearer', expires_in: 3600 });
    await until('the next one is used', async () => { await ask('plain'); return seen.at(-1).given === 'at-next-Rt6Yu7Io8Pa9Sd1'; });
  });

  test('a token that the server refuses is replaced once it is not young, and the call made again where all of it is here', async () => {
    const post = (name, headers = {}) => ask(name, { 'content-type': 'application/json', ...headers }, { method: 'POST', body: '{"jsonrpc":"2.0","id":7,"method":"ping"}' });
    const mine = { authorization: `Bearer ${SUBJECTS.ann}` };
    await reload();
    for (const r of [await ask('signed'), await post('ruled'), await ask('mine', mine), await post('plain')]) assert.equal(r.status, 200, r.text);
    const old = new Set(seen.slice(-4).map((x) => x.given)), asked = () => [as, keyed, exchange].map((x) => x.asked.length);
    assert.equal(old.size, 4);
    const before = asked();
    taken = (x) => !old.has(x);
    for (const r of [await ask('signed'), await post('ruled'), await ask('mine', mine), await post('plain'), await ask('plain')]) {
      assert.equal(r.status, 401, 'so soon after it was got it is not the reason');
      for (const token of old) holdsNo('the answer', token, r.text);
    }
    assert.deepEqual(asked(), before);
    await new Promise((ok) => setTimeout(ok, 10100));
    for (const name of ['signed', 'ruled', 'mine']) {
      const n = seen.length, r = name === 'ruled' ? await post(name) : await ask(name, name === 'mine' ? mine : {});
      assert.equal(r.status, 200, `${name} ${r.text}`);
      assert.equal(seen.length, n + 2, 'once with the old one, once with the new one');
      assert.notEqual(seen.at(-1).given, seen.at(-2).given);
      assert.equal(seen.at(-1).text, seen.at(-2).text, 'all of the body');
    }
    let n = seen.length, r = await post('plain');
    assert.equal(r.status, 401, 'a body that went by is not here any more');
    assert.equal(seen.length, n + 1);
    r = await post('plain');
    assert.equal(r.status, 200, 'and the next call has the new one');
    assert.deepEqual(asked(), before.map((x, i) => x + [2, 1, 1][i]));
    taken = () => false;
    n = seen.length;
    assert.equal((await ask('signed')).status, 401, 'no third one');
    assert.equal(seen.length, n + 1);
    const records = fs.readFileSync(p('audit.log'), 'utf8').split('\n').filter(Boolean).map((x) => JSON.parse(x));
    assert(records.filter((x) => x.kind === 'credential' && x.credential === 'ruled').length >= 4, 'each use is recorded');
  });

  test('the doctor gets a token, or says what to look at', async () => {
    const look = async () => {
      const file = path.join(tempDir('doctor'), 'gateway.yaml');
      fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(g.file)), audit: undefined }));
      const r = await run(BIN, ['gateway', 'doctor', '--config', file, '--json']);
      for (const secret of [CLIENT_SECRET, ...as.issued.keys()]) holdsNo('the doctor', secret, r.out + r.err);
      const all = JSON.parse(r.out), list = all.checks ?? all.findings ?? all.results;
      return Object.fromEntries(list.filter((x) => x.id === 'route_token').map((x) => [x.title, x]));
    };
    const asked = as.asked.length, exchanged = exchange.asked.length;
    let of = await look();
    assert.deepEqual(Object.keys(of).sort(), ['mine', 'plain', 'ruled', 'signed']);
    assert.equal(as.asked.length, asked + 2);
    assert.equal(exchange.asked.length, exchanged, 'without a caller it is not tried');
    assert.match(JSON.stringify(of.plain), /gives a token/);
    assert.match(JSON.stringify(of.mine), /without a caller/);
    as.client.secret = 'another';
    of = await look();
    as.client.secret = CLIENT_SECRET;
    assert.match(JSON.stringify(of.plain), /see client_id, client_secret or client_key.*what the authorization server knows/);
    keyed.before = (q, r) => { r.writeHead(200, { 'content-type': 'application/json' }); r.end('<html>'); return true; };
    of = await look();
    assert.match(JSON.stringify(of.signed), /no JSON object.*oauth2\.token_url/);
  });

  test('what makes no sense is told at the start', async () => {
    const file = path.join(tempDir('gateway'), 'gateway.yaml');
    const bad = async (credential, more = {}) => {
      fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(g.file)), audit: undefined, routes: { a: { upstream: up(), credential, ...more } } }));
      const r = await run(BIN, ['gateway', '--config', file, '--metrics', 'none']);
      assert.equal(r.code, 1);
      return r.err;
    };
    assert.match(await bad({ oauth2: { token_url: 'http://as.example/token', client_id: 'a', client_secret: { file: '/x' } } }), /routes\.a\.credential: oauth2: token_url: http:\/\/ would send/);
    assert.match(await bad({ oauth2: { token_url: as.url, grant: 'token_exchange', subject: 'caller' } }, { pass_authorization: true }), /the caller's token is exchanged/);
    assert.match(await bad({ basic: { user: 'a:b', password: '${file:/x}' } }), /basic\.user: has a colon/);
  });
});
