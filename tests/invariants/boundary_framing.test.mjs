// Invariant 7 at the boundary: one request in is one request out. Bytes here are written by hand from inside a sandbox; what
// an origin sees of them is one request that was framed anew, or nothing.
import assert from 'node:assert/strict';
import { createServer } from 'node:tls';
import { after, test } from 'node:test';
import { authority, boundary, credential, nameServer, origin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const behind = (o, more = {}) => boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)], ...more });
/** An origin that records bytes and answers each read with 200. */
async function bytes(answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok') {
  const o = { got: '', links: 0 };
  const s = createServer(tls, (c) => { o.links++; c.on('error', () => {}).on('data', (d) => { o.got += d.toString('latin1'); if (o.got.includes('\r\n\r\n')) c.write(answer); }); });
  await new Promise((ok) => s.listen(0, '127.0.0.1', ok));
  after(() => s.close());
  s.unref();
  o.port = s.address().port;
  return o;
}
const TALK = `
out['all'] = {}
for name, text in P['inputs'].items():
    out['all'][name] = talk('api.test', P['port'], text.replace('HOST', 'api.test:%d' % P['port']).replace('TOKEN', TOKEN))
`;
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: HOST\r\nX-Auth: 1\r\n\r\n';

test('A8 request smuggling: whatever could be read in two ways is refused and reaches no origin', async () => {
  const o = await bytes();
  const b = behind(o);
  const post = (...lines) => `POST /a HTTP/1.1\r\nHost: HOST\r\n${lines.join('\r\n')}\r\n\r\n`;
  const inputs = {
    cl_te: post('Content-Length: 6', 'Transfer-Encoding: chunked') + '0\r\n\r\n' + SMUGGLED,
    te_cl: post('Transfer-Encoding: chunked', 'Content-Length: 4') + '5c\r\n' + SMUGGLED + '\r\n0\r\n\r\n',
    cl_cl: post('Content-Length: 0', 'Content-Length: 44') + SMUGGLED,
    cl_list: post('Content-Length: 0, 44') + SMUGGLED,
    cl_plus: post('Content-Length: +3') + 'abc' + SMUGGLED,
    cl_hex: post('Content-Length: 0x3') + 'abc' + SMUGGLED,
    cl_long: post('Content-Length: 18446744073709551617') + 'a' + SMUGGLED,
    te_twice: post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity') + '0\r\n\r\n' + SMUGGLED,
    te_space: post('Transfer-Encoding : chunked') + '0\r\n\r\n' + SMUGGLED,
    te_tab: post('Transfer-Encoding:\tchunked, x') + '0\r\n\r\n' + SMUGGLED,
    te_vt: post('Transfer-Encoding: \x0bchunked') + '0\r\n\r\n' + SMUGGLED,
    te_gzip: post('Transfer-Encoding: gzip, chunked') + '0\r\n\r\n' + SMUGGLED,
    te_10: 'POST /a HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' + SMUGGLED,
    bare_lf: 'GET /a HTTP/1.1\nHost: HOST\nX: y\n\n' + SMUGGLED,
    lf_in_head: 'GET /a HTTP/1.1\r\nHost: HOST\r\nX: y\nContent-Length: 30\r\n\r\n' + SMUGGLED,
    obs_fold: 'GET /a HTTP/1.1\r\nHost: HOST\r\nX: a\r\n Content-Length: 30\r\n\r\n' + SMUGGLED,
    fold_first: 'GET /a HTTP/1.1\r\n Host: HOST\r\nHost: HOST\r\n\r\n' + SMUGGLED,
    nul: 'GET /a HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n' + SMUGGLED,
    empty_name: 'GET /a HTTP/1.1\r\nHost: HOST\r\n: x\r\n\r\n' + SMUGGLED,
    no_colon: 'GET /a HTTP/1.1\r\nHost: HOST\r\nContent-Length\r\n\r\n' + SMUGGLED,
    h2c_prior: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + SMUGGLED,
  };
  const r = await b.py(TALK, { port: o.port, inputs });
  for (const [k, a] of Object.entries(r.all)) assert.doesNotMatch(a, /HTTP\/1.1 200/, `${k}: ${a}`);
  for (const [k, a] of Object.entries(r.all)) if (k !== 'h2c_prior') assert.match(a, /^HTTP\/1.1 (400|501) /, `${k}: ${a}`);
  assert.equal(o.got, '', 'no byte of any went out');
});

test('A8 chunks that are broken end the request, and what is behind a request is a request of its own', async () => {
  const o = await bytes();
  const b = behind(o);
  const chunked = 'POST /a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n';
  const inputs = { size: `${chunked}g\r\nx\r\n0\r\n\r\n${SMUGGLED}`, minus: `${chunked}-1\r\n${SMUGGLED}`, lf: `${chunked}1\nx\n0\n\n${SMUGGLED}`, over: `${chunked}ffffffffffffffff1\r\n${SMUGGLED}`, behind: `${chunked}1\r\nxy\r\n0\r\n\r\n${SMUGGLED}`, trailer: `${chunked}1\r\nx\r\n0\r\nContent-Length: 30\r\nHost: other.test\r\n\r\n` };
  const r = await b.py(TALK.replace('TOKEN)', "TOKEN), timeout=3"), { port: o.port, inputs });
  assert.doesNotMatch(o.got, /smuggled/);
  for (const k of ['size', 'minus', 'lf', 'over', 'behind']) assert.doesNotMatch(r.all[k], /HTTP\/1.1 200[\s\S]*HTTP\/1.1 200/, k);
  assert.doesNotMatch(o.got, /other\.test|Content-Length: 30/i, 'no framing from a trailer');
});

test('A8 a GET with a body, and two requests at once, are framed anew and judged one by one', async () => {
  const o = await origin({ tls });
  const b = behind(o, { allow: [] });
  b.write({ ...b.policy, allow: [rule('api.test', o.port, { paths: ['/a'] })] });
  const inputs = {
    get_body: `GET /a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 39\r\nConnection: close\r\n\r\n${'GET /smuggled HTTP/1.1\r\nHost: x.test\r\n\r\n'.slice(0, 39)}`,
    pipelined: `GET /a HTTP/1.1\r\nHost: HOST\r\n\r\nGET /b HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n`,
  };
  const r = await b.py(TALK, { port: o.port, inputs });
  assert.equal(JSON.parse(/\{.*\}/.exec(r.all.get_body)[0]).body.length, 39);
  assert.match(r.all.pipelined, /^HTTP\/1.1 200[\s\S]*HTTP\/1.1 403/);
  assert.deepEqual(o.seen.map((s) => s.url), ['/a', '/a']);
});

test('A23 tabs, bare CR and other white space in the request line are refused', async () => {
  const o = await bytes();
  const b = behind(o);
  const lines = ['GET\t/a\tHTTP/1.1', 'GET /a\tHTTP/1.1', 'GET  /a HTTP/1.1', 'GET /a  HTTP/1.1', 'GET /a HTTP/1.1 ', ' GET /a HTTP/1.1', 'GET /a\rHTTP/1.1', 'GET /a b HTTP/1.1', 'GET\x0b/a HTTP/1.1', 'GET /a\x0c HTTP/1.1', 'GET /a\xa0 HTTP/1.1', 'GET /a HTTP/1.1\r', 'GET /a\0 HTTP/1.1', 'GET /a HTTP/1.2x', 'GET /a', 'GET /a HTTP/2.0', 'GET /a#x HTTP/1.1', 'G@T /a HTTP/1.1', 'GET a HTTP/1.1', 'GET /%zz\x7f HTTP/1.1'];
  const r = await b.py(TALK, { port: o.port, inputs: Object.fromEntries(lines.map((l) => [l, `${l}\r\nHost: HOST\r\nConnection: close\r\n\r\n`])) });
  for (const [k, a] of Object.entries(r.all)) assert.doesNotMatch(a, /HTTP\/1.1 200/, `${JSON.stringify(k)}: ${a}`);
  assert.equal(o.got, '');
});

test('A8 an upgrade that is none: h2c, TLS, two at once, one with a body', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  const up = (v, more = '') => `GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${v}\r\nHTTP2-Settings: AAMAAABk\r\n${more}\r\n`;
  const inputs = { h2c: up('h2c', 'X: close\r\n') + SMUGGLED, tls: up('TLS/1.0'), other: up('foo/2'), two: up('websocket, h2c'), body: up('websocket', 'Content-Length: 3\r\n') + 'abc' };
  const r = await b.py(TALK.replace('TOKEN)', "TOKEN), timeout=1"), { port: o.port, inputs });
  assert.ok(o.seen.every((s) => s.headers.upgrade === undefined && !('http2-settings' in s.headers)), JSON.stringify(o.seen.map((s) => s.headers)));
  assert.ok(o.seen.some((s) => s.body === 'abc'), 'with a body it is no upgrade but a request like others');
  for (const a of Object.values(r.all)) assert.doesNotMatch(a, /HTTP\/1.1 101/);
});

test('A8 a 101 that nobody asked for, or an answer with two lengths, is not passed on', async () => {
  for (const answer of ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', 'HTTP/1.1 204 No Content\r\nContent-Length: 30\r\n\r\n']) {
    const o = await bytes(answer);
    const b = behind(o);
    const r = await b.py(TALK, { port: o.port, inputs: { a: 'GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n' } });
    assert.match(r.all.a, /^HTTP\/1.1 502/, `${JSON.stringify(answer)}: ${r.all.a}`);
  }
});

test('A13 what belongs to one connection stays there: hop-by-hop fields, Proxy-Authorization, and what Connection names', async () => {
  const o = await origin({ tls });
  const b = behind(o);
  const inputs = { a: 'GET /a HTTP/1.1\r\nHost: HOST\r\nConnection: close, X-Hop, Authorization-Not\r\nX-Hop: secret\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nTrailer: x\r\nX-Stays: 1\r\n\r\n' };
  const r = await b.py(`${TALK}
s = dial('127.0.0.1', 3128, tls=False)
say(s, 'CONNECT api.test:%d HTTP/1.1\\r\\nHost: api.test:%d\\r\\nProxy-Authorization: Basic aW5zaWRlOm9ubHk=\\r\\nX-Internal: 1\\r\\n\\r\\n' % (P['port'], P['port']))
out['connect'] = hear(s, '\\r\\n\\r\\n')
t = secure(s, 'api.test')
say(t, 'GET /b HTTP/1.1\\r\\nHost: api.test:%d\\r\\nConnection: close\\r\\n\\r\\n' % P['port'])
out['b'] = hear(t)
`, { port: o.port, inputs });
  assert.match(r.all.a, /^HTTP\/1.1 200/);
  assert.match(r.b, /^HTTP\/1.1 200/);
  const h = o.seen[0].headers;
  for (const n of ['x-hop', 'keep-alive', 'proxy-connection', 'te', 'trailer']) assert.equal(h[n], undefined, n);
  assert.equal(h['x-stays'], '1');
  assert.ok(!('proxy-authorization' in o.seen[1].headers) && !('x-internal' in o.seen[1].headers));
  assert.ok(!/sallyport|via|forwarded/i.test(Object.keys(o.seen[1].headers).join()), 'the boundary tells nothing of itself');
});

test('what is refused while it is read has an answer that says why, and one record', async () => {
  const o = await origin({ plain: true });
  const b = boundary({ dns, allow: [rule('api.test', o.port, { plaintext: true })] });
  const get = (...lines) => `GET /a HTTP/1.1\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n`, H = 'Host: HOST';
  const rows = {
    two_lengths: [400, get(H, 'Content-Length: 1', 'Content-Length: 2')], cl_te: [400, get(H, 'Content-Length: 1', 'Transfer-Encoding: chunked')], te_x: [501, get(H, 'Transfer-Encoding: x')],
    no_host: [400, get('X: y')], same_hosts: [400, get(H, H)], two_hosts: [421, get(H, 'Host: evil.test')], absolute: [421, `GET http://evil.test/ HTTP/1.1\r\n${H}\r\n\r\n`],
    bare_lf: [400, `GET /a HTTP/1.1\n${H}\n\n`], obs_fold: [400, get(H, 'X: a', ' b')], colon: [400, get('Host : HOST')], v20: [505, `GET /a HTTP/2.0\r\n${H}\r\n\r\n`], v37: [505, `GET /a HTTP/3.7\r\n${H}\r\n\r\n`],
    v_none: [400, `GET /a HTTP/x\r\n${H}\r\n\r\n`], tab: [400, `GET\t/a HTTP/1.1\r\n${H}\r\n\r\n`], large: [431, get(H, `X: ${'x'.repeat(70000)}`)], target: [414, `GET /${'x'.repeat(17000)} HTTP/1.1\r\n${H}\r\n\r\n`], expect: [417, get(H, 'Expect: banana')],
  };
  const names = Object.keys(rows);
  const r = await b.py(TALK.replace('TOKEN)', "TOKEN), tls=False"), { port: o.port, inputs: Object.fromEntries(names.map((n) => [n, rows[n][1]])) });
  for (const n of names) {
    const [status] = rows[n], reason = status === 421 ? 'claims_disagree' : 'bad_request';
    const [head, body] = r.all[n].split('\r\n\r\n');
    assert.match(head, new RegExp(`^HTTP/1.1 ${status} `), `${n}: ${r.all[n]}`);
    assert.match(head, /\r\nproxy-status: sallyport; error=http_request_(error|denied); details="/i, n);
    assert.equal(JSON.parse(body).error.type, reason, n);
  }
  assert.equal(o.seen.length, 0);
  assert.deepEqual(b.records().map((x) => [x.host, x.port, x.status, x.reason, x.verdict]), names.map((n) => ['api.test', o.port, rows[n][0], ...(rows[n][0] === 421 ? ['claims_disagree', 'deny'] : ['bad_request', 'error'])]));
});
