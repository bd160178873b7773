// A33, A20: HTTP/2 at the boundary. Frames are written by hand from inside a sandbox; what an origin sees is one request that
// was made anew, or nothing, and the boundary goes on serving others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rule } from '../lib/egress.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const behind = (o) => boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
const PY = `
p = P['port']
host = 'api.test:%d' % p
auth = ('authorization', 'Bearer ' + TOKEN)
def alive():
    return H2('api.test', p).ask(1, request(host, path='/alive', more=[auth])).get('status')
def one(fields, flags=5, then=b''):
    h = H2('api.test', p)
    h.send(frame(HEADERS, flags, 1, hpack(fields)) + then)
    return h.fate(1)
`;
const refused = (r) => r.rst !== undefined || r.goaway !== undefined || r.end === true || (r.status >= 400 && r.status < 600);

test('A33 forbidden fields of a connection, pseudo-fields twice, unknown or late, and upper case', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind(o);
  const r = await b.py(`${PY}
bad = {
 'connection': request(host, more=[('connection', 'close')]), 'te': request(host, more=[('transfer-encoding', 'chunked')]),
 'keep-alive': request(host, more=[('keep-alive', '1')]), 'upgrade': request(host, more=[('upgrade', 'h2c')]), 'proxy-connection': request(host, more=[('proxy-connection', 'x')]),
 'te gzip': request(host, more=[('te', 'gzip')]), 'upper case': request(host, more=[('X-A', 'b')]),
 'method twice': request(host, more=[(':method', 'POST')]), 'authority twice': request(host, more=[(':authority', 'other.test')]), 'late': [('x', 'y')] + request(host),
 'unknown': request(host, more=[(':x', 'y')]), 'no path': [f for f in request(host) if f[0] != ':path'], 'empty path': request(host, path=''), 'no slash': request(host, path='a'),
 'no authority': [f for f in request(host) if f[0] != ':authority'], 'status': request(host, more=[(':status', '200')]), 'other scheme': [(':method', 'GET'), (':scheme', 'http'), (':authority', host), (':path', '/')],
 'user in authority': request('user@' + host), 'host of another': request(host, more=[('host', 'other.test')]), 'authority of another': request('other.test'),
}
out['all'] = {k: one(v) for k, v in bad.items()}
out['alive'] = alive()
`, { port: o.port });
  for (const [k, v] of Object.entries(r.all)) assert.ok(refused(v), `${k}: ${JSON.stringify(v)}`);
  assert.equal(r.alive, 200);
  assert.deepEqual(o.seen.map((s) => s.url), ['/alive'], 'nothing else reached the origin');
});

test('A33 h2 to h1: CR, LF, NUL and space in names, values, methods and paths become no request of their own', async () => {
  const o = await origin({ tls }); // HTTP/1.1 alone: it must be reached over HTTP/1.1 whatever the client speaks
  const o2 = await origin({ tls, h2: true });
  const code = `${PY}
evil = 'x\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
bad = {
 'value': request(host, more=[('x-a', evil)]), 'lf': request(host, more=[('x-a', 'a\\nb')]), 'nul': request(host, more=[('x-a', 'a\\0b')]), 'name': request(host, more=[('x-a: b\\r\\nx', 'y')]),
 'name space': request(host, more=[('x a', 'y')]), 'name colon': request(host, more=[('x:a', 'y')]), 'name empty': request(host, more=[('', 'y')]), 'method': request(host, method='GET / HTTP/1.1\\r\\nX: y\\r\\n\\r\\nGET'),
 'method space': request(host, method='GET /x'), 'path': request(host, path='/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nGET /smuggled'), 'path space': request(host, path='/a b'), 'path lf': request(host, path='/a\\nb'),
 'length': request(host, method='POST', more=[('content-length', '5')]), 'length twice': request(host, more=[('content-length', '0'), ('content-length', '1')]), 'length list': request(host, more=[('content-length', '0,0')]),
 'authority': request(host + '\\r\\nx: y'), 'authority slash': request(host + '/x'),
}
out['all'] = {k: one(v) for k, v in bad.items()}
out['short'] = one(request(host, method='POST', more=[('content-length', '5')]), 4, frame(DATA, 1, 1, b'abc'))
out['long'] = one(request(host, method='POST', more=[('content-length', '2')]), 4, frame(DATA, 1, 1, b'abcGET /smuggled HTTP/1.1'))
out['alive'] = alive()
`;
  const r = await behind(o2).py(code, { port: o2.port });
  for (const [k, v] of Object.entries({ ...r.all, short: r.short, long: r.long })) assert.ok(refused(v), `${k}: ${JSON.stringify(v)}`);
  assert.equal(r.alive, 200);
  assert.ok(o2.seen.every((s) => !JSON.stringify(s).includes('smuggled') && (s.url === '/alive' || s.method === 'POST')), JSON.stringify(o2.seen));
  const h1 = await behind(o).ok(`curl -sS --http2 -o /dev/null -w '%{http_version} %{http_code}\\n' https://api.test:${o.port}/ -H "Authorization: Bearer $TOKEN"`);
  assert.equal(h1.trim(), '1.1 200', 'what the origin speaks is what the client is offered');
});

test('A33 floods: CONTINUATION without end, resets, pings, settings, empty frames, a bomb of HPACK', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind(o);
  const r = await b.py(`${PY}
def flood(begin, make, n=20000, size=64):
    h = H2('api.test', p)
    h.send(begin)
    sent = 0
    h.s.settimeout(5)
    for i in range(0, n, size):
        if not h.send(b''.join(make(k) for k in range(i, i + size))): break
        sent += size
    end = time.monotonic() + 5
    while time.monotonic() < end:
        f = h.next(2)
        if f is None: return {'end': True, 'sent': sent}
        if f[0] == GOAWAY: return {'goaway': int.from_bytes(f[3][4:8], 'big'), 'sent': sent}
    return {'sent': sent}
head = hpack(request(host, more=[auth]))
out['continuation'] = flood(frame(HEADERS, 1, 1, head), lambda k: frame(CONTINUATION, 0, 1, hpack([('x-%d' % k, 'y' * 200)])))
out['reset'] = flood(b'', lambda k: frame(HEADERS, 5, 2 * k + 1, head) + frame(RST_STREAM, 0, 2 * k + 1, struct.pack('>I', 8)))
out['settings'] = flood(b'', lambda k: frame(SETTINGS, 0, 0, b'\\0\\3\\0\\0\\0\\x64'), n=60000)
big = b'\\x40\\x01a' + b'\\x7f' + bytes([(4000 - 127) % 128 + 128, (4000 - 127) // 128]) + b'z' * 4000
h = H2('api.test', p)
h.send(frame(HEADERS, 1, 1, head + big), frame(CONTINUATION, 4, 1, b'\\xbe' * 16000))
out['bomb'] = h.fate(1)
out['interleaved'] = one(request(host, more=[auth]), 1, frame(PING, 0, 0, b'12345678'))
out['stream 0'] = one(request(host, more=[auth]), 4, frame(DATA, 1, 0, b'x'))
out['even'] = (lambda h: (h.send(frame(HEADERS, 5, 2, head)), h.fate(2))[1])(H2('api.test', p))
out['big frame'] = (lambda h: (h.send(frame(HEADERS, 4, 1, head), frame(DATA, 0, 1, b'x' * 20000)), h.fate(1))[1])(H2('api.test', p))
out['window'] = one(request(host, method='POST', more=[auth]), 4, frame(WINDOW, 0, 0, struct.pack('>I', 0x7fffffff)))
out['push'] = one(request(host, more=[auth]), 4, frame(PUSH, 4, 1, struct.pack('>I', 2) + head))
out['alive'] = alive()
`, { port: o.port }, { timeout: 90000 });
  for (const k of ['continuation', 'reset', 'settings', 'bomb', 'interleaved', 'stream 0', 'even', 'big frame', 'window', 'push']) assert.ok(refused(r[k]), `${k}: ${JSON.stringify(r[k])}`);
  assert.equal(r.alive, 200, 'and the boundary lives on');
  assert.ok(o.seen.length < 4000, `${o.seen.length} of 20,000 streams that were reset reached the origin`);
});

test('A33 cookies that are split are one field, in which a placeholder is found', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind(o);
  const r = await b.py(`${PY}
out['fine'] = one(request(host, more=[('cookie', 'a=b'), ('cookie', 'c=d')]))
out['whole'] = one(request(host, more=[('cookie', 'a=b'), ('cookie', 'k=' + TOKEN)]))
out['halves'] = one(request(host, more=[('cookie', TOKEN[:10]), ('cookie', TOKEN[10:])]))
`, { port: o.port });
  assert.equal(r.fine.status, 200);
  assert.equal(r.whole.status, 403);
  assert.match(r.whole.body, /misplaced_placeholder/);
  assert.equal(o.seen[0].headers.cookie, 'a=b; c=d');
  assert.ok(o.seen.every((s) => !JSON.stringify(s).includes(SECRET)));
});

test('A20 HTTP/2 and gRPC: the placeholder is replaced, also for a client that speaks nothing else behind one of HTTP/1.1', async () => {
  const o = await origin({ tls, h2: true, handler: (req, res) => {
    res.writeHead(200, { 'content-type': 'application/grpc' });
    res.write(req.headers.authorization);
    if (req.httpVersion === '2.0') res.addTrailers({ 'grpc-status': '0' });
    res.end();
  } });
  const b = behind(o);
  const r = await b.py(`${PY}
out['token'] = TOKEN
out['h1'] = talk('api.test', p, 'GET / HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\nConnection: close\\r\\n\\r\\n' % (host, TOKEN))
h = H2('api.test', p)
out['alpn'] = h.alpn
out['h2'] = h.ask(1, request(host, more=[auth, ('te', 'trailers')]))
`, { port: o.port });
  assert.match(r.h1, /^HTTP\/1.1 200/);
  assert.equal(r.alpn, 'h2');
  assert.equal(r.h2.status, 200);
  // Messages of gRPC count their bytes: as much of the placeholder as the secret had.
  assert.equal(r.h2.body, `Bearer ${r.token.slice(0, SECRET.length)}`);
  assert.deepEqual(o.seen.map((s) => [s.version, s.headers.authorization]), [['1.1', `Bearer ${SECRET}`], ['2.0', `Bearer ${SECRET}`]]);
});

test('requests of HTTP/2 that cannot be taken have an answer that says why, and one record of a kind for a connection', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind(o);
  const r = await b.py(`
h = H2('api.test', P['port'])
me = 'api.test:%d' % P['port']
out['large'] = h.ask(1, request(me, more=[('x', 'y')] * 300))
out['expect'] = h.ask(3, request(me, more=[('expect', 'banana')]))
out['beside'] = h.ask(5, request(me, more=[('host', 'evil.test')]))
`, { port: o.port });
  for (const [k, status] of [['large', 431], ['expect', 417], ['beside', 421]]) {
    assert.equal(r[k].status, status, JSON.stringify(r[k]));
    assert.equal(JSON.parse(r[k].body).error.type, status === 421 ? 'claims_disagree' : 'bad_request', k);
  }
  assert.equal(o.seen.length, 0);
  assert.deepEqual(b.records().map((x) => [x.host, x.status, x.reason, x.verdict]).sort(), [['api.test', 421, 'claims_disagree', 'deny'], ['api.test', 431, 'bad_request', 'error']]);
  assert.match(b.records({ reason: 'bad_request' })[0].note, /And 1 more like it/);
  assert.match(await b.ok(`curl -sS -i -H 'Expect: banana' https://api.test:${o.port}/`), /^HTTP\/2 417[\s\S]*\nproxy-status: sallyport; error=http_request_error; details="/);
});

test('HTTP/2 that is reset for its form, or whose connection is ended for what it does, has a record: one of a kind for a connection', async () => {
  const o = await origin({ tls, h2: true });
  const b = behind(o);
  const r = await b.py(`${PY}
h = H2('api.test', p)
for i in (1, 3, 5):
    h.send(frame(HEADERS, 5, i, hpack(request(host, more=[('connection', 'close')]))))
out['reset'] = [h.fate(i) for i in (1, 3, 5)]
out['fine'] = h.ask(7, request(host, more=[auth]))['status']
h.send(frame(DATA, 1, 0, b'x'))
out['ended'] = h.fate(9)
h = H2('api.test', p)
for i in range(40): h.send(b''.join(frame(PING, 0, 0, b'12345678') for k in range(64)))
out['flood'] = h.fate(1)
`, { port: o.port });
  assert.deepEqual(r.reset.map((x) => x.rst), [1, 1, 1], JSON.stringify(r));
  assert.equal(r.fine, 200);
  for (const k of ['ended', 'flood']) assert.ok(refused(r[k]), JSON.stringify(r[k]));
  const records = b.records({ reason: 'bad_request' }).map((x) => `${x.verdict} ${x.host} ${x.note}`).sort();
  assert.equal(records.length, 3, JSON.stringify(records));
  assert.match(records[0], /^error api\.test A message of HTTP\/2 is malformed \(RFC 9113 8\.1\.1\)\. And 2 more like it on this connection\./);
  assert.match(records[1], /^error api\.test the client broke the rules of HTTP\/2/);
  assert.match(records[2], /^error api\.test the client sent too many /);
  assert.deepEqual(o.seen.map((s) => s.url), ['/']);

  // Who keeps to the rules, and leaves as such clients do, has none.
  const polite = behind(o);
  const url = `https://api.test:${o.port}/`, key = 'authorization: Bearer $TOKEN';
  assert.equal(await polite.ok(`curl -sS -o /dev/null -w '%{http_version}' ${url} -H "${key}"`), '2');
  assert.match(await polite.ok(`h2load -n 200 -c 4 -m 10 -H "${key}" ${url}`), /200 succeeded, 0 failed/);
  assert.equal(polite.records({ kind: 'request', verdict: 'allow' }).length, 201);
  assert.deepEqual(polite.records({ reason: 'bad_request' }), []);
});
