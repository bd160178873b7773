// Secrets over time: one that changes while an answer is open, one that a new policy does not have any more. Whatever an
// origin was given, it may say again, late: both the old value and the new one are found.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';
import { inside } from '../lib/inside.mjs';
import { ms } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const NEW = 'sk-new-8Hn3uX0qMsU5xA9oC4dL7eG2';
const AUTH = '-H "Authorization: Bearer $TOKEN"';
const streaming = (f) => Object.assign(f, { streaming: true });
function put(file, text) {
  fs.writeFileSync(`${file}.new`, text, { mode: 0o600 });
  fs.renameSync(`${file}.new`, file);
}

for (const h2 of [false, true]) {
  test(`a secret that is rotated while a stream is open: the stream says neither value (${h2 ? 'HTTP/2' : 'HTTP/1.1'})`, async () => {
    const c = {};
    let stream;
    const o = await origin({ tls, h2, handler: streaming((req, res, record) => {
      req.resume();
      if (req.url === '/stream') { stream = res; res.writeHead(200, { 'content-type': 'text/event-stream', trailer: 'x-last' }); return void res.write(`data: ${SECRET}\n\n`); }
      if (req.url === '/rotate') { put(c.c.source.file, NEW); return void setTimeout(() => res.end('turned\n'), 100); }   // a value is used for 20 ms
      assert.equal(record.headers.authorization, `Bearer ${NEW}`);
      const half = NEW.length / 2 | 0;
      stream.write(`data: ${SECRET}\n\ndata: ${NEW}\n\ndata: ${Buffer.from(`u:${NEW}`).toString('base64')}\n\ndata: ${NEW.slice(0, half)}`, () =>
        setTimeout(() => { stream.addTrailers({ 'x-last': NEW }); stream.end(`${NEW.slice(half)}\n\ndata: end\n\n`, () => res.end('used\n')); }, 50));
    }) });
    c.c = credential(`api.test:${o.port}`);
    const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [c.c], secrets: [SECRET, NEW] });
    const url = `https://api.test:${o.port}`;
    const out = await b.ok(`curl -sSN ${AUTH} ${url}/stream -D heads -o got & until grep -q data got 2>/dev/null; do sleep 0.05; done
      curl -sS ${AUTH} ${url}/rotate; curl -sS ${AUTH} ${url}/use; wait; cat got heads; echo "=$TOKEN"`);
    const token = out.slice(out.lastIndexOf('=') + 1).trim();
    assert.match(out, /^turned\nused\n/);
    const data = [...out.matchAll(/^data: (.*)$/gm)].map((m) => m[1]);
    assert.deepEqual([data[0], data[1], data[2], data[4], data[5]], [token, token, token, token, 'end']);
    assert.ok(Buffer.from(data[3], 'base64').toString().startsWith(`u:${token}`));
    assert.equal((await b.verify()).code, 0);
  });
}

test('a secret that is rotated while a WebSocket is open: no frame says either value', async () => {
  const c = {};
  const sockets = [];
  const o = await origin({ tls, handler: (req, res) => {
    if (req.url === '/rotate') { put(c.c.source.file, NEW); return void setTimeout(() => res.end('turned\n'), 100); }
    const text = Buffer.from(`${SECRET} ${NEW}`);
    for (const s of sockets) s.end(Buffer.concat([Buffer.from([0x81, text.length]), text, Buffer.from([0x88, 2 + NEW.length, 3, 232]), Buffer.from(NEW)]));
    res.end('used\n');
  } });
  o.server.on('upgrade', (req, socket) => {
    const accept = crypto.createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on('error', () => {}).resume();
    sockets.push(socket);
  });
  c.c = credential(`api.test:${o.port}`);
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [c.c], secrets: [SECRET, NEW] });
  const out = await b.py(`
p = P['port']
s = dial('api.test', p)
say(s, 'GET /ws HTTP/1.1\\r\\nHost: api.test:%d\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' % (p, TOKEN))
out['head'] = hear(s, '\\r\\n\\r\\n')
for path in ('/rotate', '/use'):
    out[path] = talk('api.test', p, 'GET %s HTTP/1.1\\r\\nHost: api.test:%d\\r\\nConnection: close\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' % (path, p, TOKEN))
out['frames'] = hear(s)
out['token'] = TOKEN
`, { port: o.port });
  assert.match(out.head, /^HTTP\/1.1 101/);
  assert.match(out['/use'], /used/);
  assert.equal(o.seen.at(-1).headers.authorization, `Bearer ${NEW}`);
  assert.ok(out.frames.includes(`${out.token} ${out.token}`), out.frames);
  assert.ok(out.frames.slice(out.frames.indexOf(`${out.token} ${out.token}`) + 2 * out.token.length + 1).includes(out.token), `the Close says why: ${out.frames}`);
});

test('a secret that is rotated five times: an origin that says the last five again hands none over', async () => {
  const values = [SECRET, ...['a', 'b', 'c', 'd'].map((x) => `sk-turn-${x}-8Hn3uX0qMsU5xA9oC4dL7`)];
  const c = {};
  let n = 0;
  const o = await origin({ tls, handler: (req, res) => {
    if (req.url === '/all') return void res.end(`${values.join(' ')}\n`);
    if (++n < values.length) put(c.c.source.file, values[n]);
    setTimeout(() => res.end('turned\n'), 100);
  } });
  c.c = credential(`api.test:${o.port}`);
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [c.c], secrets: values });
  const out = await b.ok(`for i in 1 2 3 4 5; do curl -sS ${AUTH} https://api.test:${o.port}/turn; done; curl -sS ${AUTH} https://api.test:${o.port}/all; echo "$TOKEN"`);
  const lines = out.trim().split('\n');
  assert.deepEqual(o.seen.slice(0, 5).map((r) => r.headers.authorization), values.map((v) => `Bearer ${v}`));
  assert.equal(lines[5], Array(5).fill(lines[6]).join(' '));
});

test('a policy that takes a credential away: an origin that remembers the secret does not hand it over', async () => {
  const o = await origin({ tls, handler: (req, res, record) => res.end(req.url === '/echo' ? `${SECRET}\n` : record.headers.authorization === `Bearer ${SECRET}` ? 'real\n' : 'none\n') });
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit] });
  try {
    await i.w.proc.line(/^ready/m, ms(60000));
    const x = await i.session();
    const curl = (url) => `curl -sSk ${AUTH} https://api.test:${o.port}${url}`;
    assert.match(await i.sh(x, curl('/first')), /real/);
    b.write({ ...b.policy, credentials: [] });
    process.kill(i.w.pid, 'SIGHUP');
    const out = await i.sh(x, `for i in $(seq 100); do r=$(${curl('/again')}); [ "$r" = real ] || break; sleep 0.05; done; echo "$r"; curl -sSk https://api.test:${o.port}/echo; echo "=$TOKEN"`);
    assert.doesNotMatch(out, /^real$/m);
    holdsNo('the result', SECRET, out);
    const token = out.match(/=(sp_ph_\w+)/)[1];
    assert.ok(out.includes(`\n${token}\n`), out);
    assert.match(await i.sh(x, `curl -sSk https://api.test:${o.port}/${SECRET} -o /dev/null -w '%{http_code}'`), /403/, 'what the sandbox has from elsewhere does not go out');
    await x.close();
  } finally { await i.stop(); }
  holdsNo('the log', SECRET, fs.readFileSync(b.audit, 'utf8'));
});

test('a request that is denied before anything is fetched: the log has no secret of it, host and path included', async () => {
  const c = { ...credential('api.test'), name: 'NEVER_USED' };
  const b = boundary({ ca, dns, allow: [rule('api.test', 443), { host: '*.open.test' }], credentials: [c] });
  const low = SECRET.toLowerCase();
  await b.sh(`for u in https://denied.test/${SECRET} http://denied.test/x/${SECRET} https://${low}.denied.test/ http://${low}.denied.test/; do curl -sSk -o /dev/null "$u"; done
    curl -sSk -o /dev/null --resolve denied.test:443:198.18.0.1 https://denied.test/plain; curl -sS -m 5 -o /dev/null https://${low}.open.test/`);
  const log = fs.readFileSync(b.audit, 'utf8');
  holdsNo('the log', SECRET, log);
  holdsNo('the log', low, log);
  const all = b.records({ kind: 'request' });
  assert.ok(all.some((r) => r.host === 'denied.test' && r.path === '(a secret)'), JSON.stringify(all));
  assert.ok(all.some((r) => r.host === '(a secret)' && r.path === '/'), JSON.stringify(all));
});

test('a secret that one proxy has got anew: a stream that is open in another one does not say it', async () => {
  const c = {};
  let stream, first;
  const flows = new Promise((ok) => { first = ok; });
  const o = await origin({ tls, handler: streaming((req, res, record) => {
    req.resume();
    if (req.url === '/stream') { stream = res; res.writeHead(200, { 'content-type': 'text/event-stream' }); return void res.write(`data: ${SECRET}\n\n`, first); }
    if (req.url === '/rotate') { put(c.c.source.file, NEW); return void setTimeout(() => res.end('turned\n'), 100); }
    assert.equal(record.headers.authorization, `Bearer ${NEW}`);
    stream.end(`data: ${NEW}\n\n`, () => res.end('used\n'));
  }) });
  c.c = credential(`api.test:${o.port}`);
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [c.c] });
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit, '--egress-processes', '2'] });
  try {
    await i.w.proc.line(/^ready/m, ms(60000));
    const x = await i.session(), y = await i.session();
    const curl = (url) => `curl -sSN ${AUTH} https://api.test:${o.port}${url}`;
    await i.sh(x, `${curl('/stream')} > /tmp/got 2>&1 &`);
    await flows;
    assert.match(await i.sh(y, `${curl('/rotate')}; ${curl('/use')}`), /turned\nused/);
    const out = await i.sh(x, 'wait; cat /tmp/got; echo "=$TOKEN"');
    holdsNo('the stream', SECRET, out);
    holdsNo('the stream', NEW, out);
    const token = out.match(/=(sp_ph_\w+)/)[1];
    assert.ok(out.startsWith(`data: ${token}\n\ndata: ${token}\n`), out);
    await x.close();
    await y.close();
  } finally { await i.stop(); }
  assert.equal(new Set(b.records({ kind: 'request' }).filter((r) => ['/stream', '/use'].includes(r.path)).map((r) => r.by)).size, 2, 'each was in a proxy of its own');
});

// What is asked for because of a record is known to that table alone: a proxy that has seen the new value so must still be told of it
// when an origin gets it from another proxy.
test('a secret that a proxy has seen anew because of a record: its open stream does not say it when another proxy uses it', async () => {
  const c = {};
  let stream, first;
  const flows = new Promise((ok) => { first = ok; });
  const o = await origin({ tls, handler: streaming((req, res, record) => {
    req.resume();
    if (req.url === '/stream') { stream = res; res.writeHead(200, { 'content-type': 'text/event-stream' }); return void res.write(`data: ${SECRET}\n\n`, first); }
    assert.equal(record.headers.authorization, `Bearer ${NEW}`);
    stream.end(`data: ${NEW}\n\n`, () => res.end('used\n'));
  }) });
  c.c = credential(`api.test:${o.port}`);
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [c.c] });
  const i = await inside({ workerArgs: ['--egress', b.file, '--audit', b.audit, '--egress-processes', '2'] });
  try {
    await i.w.proc.line(/^ready/m, ms(60000));
    const x = await i.session(), y = await i.session();
    const curl = (url) => `curl -sSN ${AUTH} https://api.test:${o.port}${url}`;
    const deny = (path) => i.sh(x, `curl -sSk -m 20 -o /dev/null http://denied.test/${path}; true`);
    await deny('first');
    await i.sh(x, `${curl('/stream')} > /tmp/got 2>&1 &`);
    await flows;
    put(c.c.source.file, NEW);
    for (let n = 0; n < 30; n++) {   // until its records know the new one, ten seconds after the last look
      await deny(NEW);
      if (b.records({ kind: 'request' }).filter((r) => r.host === 'denied.test').at(-1)?.path === '(a secret)') break;
      await new Promise((ok) => setTimeout(ok, 1000));
    }
    assert.equal(b.records({ kind: 'request' }).filter((r) => r.host === 'denied.test').at(-1).path, '(a secret)');
    assert.match(await i.sh(y, curl('/use')), /used/);
    const out = await i.sh(x, 'wait; cat /tmp/got; echo "=$TOKEN"');
    holdsNo('the stream', SECRET, out);
    holdsNo('the stream', NEW, out);
    const token = out.match(/=(sp_ph_\w+)/)[1];
    assert.ok(out.startsWith(`data: ${token}\n\ndata: ${token}\n`), out);
    await x.close();
    await y.close();
  } finally { await i.stop(); }
  assert.equal(new Set(b.records({ kind: 'request' }).filter((r) => ['/stream', '/use'].includes(r.path)).map((r) => r.by)).size, 2, 'each was in a proxy of its own');
});
