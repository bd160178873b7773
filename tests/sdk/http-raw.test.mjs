// HTTP/1.1 as bytes over node:net: what is ambiguous is refused, what is slow is bounded, and what is
// legal but unusual works. RFC 9112; ceilings from src/base/limits.h.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { BETA, startServer, VERSION } from '../lib/sallyport.mjs';
import { talk } from '../lib/raw.mjs';
import { ms } from '../lib/own.mjs';

describe('HTTP on the wire', () => {
  let s;
  before(async () => { s = await startServer(); });
  after(async () => {
    if (!s) return;
    assert.equal(s.proc.ended, false, `the server is still alive\n${s.proc.tail()}`);
    await s.stop();
  });

  const std = () => `Host: 127.0.0.1:${s.port}\r\nAuthorization: Bearer ${s.apiKey}\r\nanthropic-version: ${VERSION}\r\nanthropic-beta: ${BETA}\r\n`;
  const get = (extra = '', path = '/v1/agents?limit=1') => `GET ${path} HTTP/1.1\r\n${std()}${extra}\r\n`;
  const BODY = '{"name":"x","model":"m"}';
  const post = (extra, body = '') => `POST /v1/agents HTTP/1.1\r\n${std()}Content-Type: application/json\r\n${extra}\r\n${body}`;
  const once = (text) => /\r\n\r\n/.test(text);
  const send = (bytes, opts) => talk(s.port, [].concat(bytes), { timeout: ms(8000), ...opts });

  /** The connection is answered with exactly one of these statuses and closed; nothing else follows. */
  async function rejected(bytes, statuses, what) {
    const r = await send(bytes);
    assert(!r.timedOut, `${what}: the connection is closed, not left hanging; got ${JSON.stringify(r.text.slice(0, 200))}`);
    assert.equal(r.responses.length, 1, `${what}: one response; got ${JSON.stringify(r.text.slice(0, 400))}`);
    assert(statuses.includes(r.responses[0].status), `${what}: ${statuses} expected, got ${r.responses[0].status} ${r.responses[0].body}`);
    return r.responses[0];
  }

  test('the plain request works, keep-alive, two in a row on one connection', async () => {
    const r = await send([get(), get('Connection: close\r\n')]);
    assert.deepEqual(r.responses.map((x) => x.status), [200, 200]);
    assert(r.closed);
    JSON.parse(r.responses[1].body);
  });

  describe('ambiguous or malformed: refused, connection closed', () => {
    const SMUGGLED = 'GET /v1/agents HTTP/1.1\r\nHost: x\r\n\r\n';
    const cases = [
      ['Content-Length and Transfer-Encoding', () => post(`Content-Length: ${BODY.length}\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${SMUGGLED}`), [400]],
      ['Transfer-Encoding and Content-Length', () => post(`Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`, `0\r\n\r\n${SMUGGLED}`), [400]],
      ['two different Content-Lengths', () => post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'), [400]],
      ['a list as Content-Length', () => post('Content-Length: 2, 2\r\n', '{}'), [400]],
      ['signed Content-Length', () => post('Content-Length: +2\r\n', '{}'), [400]],
      ['negative Content-Length', () => post('Content-Length: -2\r\n', '{}'), [400]],
      ['hex Content-Length', () => post('Content-Length: 0x2\r\n', '{}'), [400]],
      ['Content-Length with a space inside', () => post('Content-Length: 2 4\r\n', '{}'), [400]],
      ['empty Content-Length', () => post('Content-Length:\r\n', '{}'), [400]],
      ['overflowing Content-Length', () => post('Content-Length: 18446744073709551618\r\n', '{}'), [400, 413]],
      ['unknown transfer coding', () => post('Transfer-Encoding: gzip\r\n', ''), [400, 501]],
      ['chunked not last', () => post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'), [400, 501]],
      ['chunked twice', () => post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), [400]],
      ['chunked with odd white space', () => post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'), [400, 501]],
      ['xchunked', () => post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), [400, 501]],
      ['bare LF line ends', () => get().replaceAll('\r\n', '\n'), [400]],
      ['one bare LF', () => get('X-A: 1\n'), [400]],
      ['bare CR in a value', () => get('X-A: 1\r2\r\n'), [400]],
      ['obs-fold', () => get('X-A: 1\r\n  folded\r\n'), [400]],
      ['space before the colon', () => get('X-A : 1\r\n'), [400]],
      ['no colon', () => get('garbage\r\n'), [400]],
      ['empty field name', () => get(': x\r\n'), [400]],
      ['NUL in a value', () => get('X-A: a\0b\r\n'), [400]],
      ['NUL in the target', () => get('', '/v1/agents\0'), [400]],
      ['control character in a name', () => get('X\x01A: 1\r\n'), [400]],
      ['DEL in a value', () => get('X-A: \x7f\r\n'), [400]],
      ['no Host', () => `GET /v1/agents HTTP/1.1\r\nAuthorization: Bearer ${s.apiKey}\r\n\r\n`, [400]],
      ['two Hosts', () => get('Host: other\r\n'), [400]],
      ['space in the target', () => 'GET /v1/ agents HTTP/1.1\r\nHost: x\r\n\r\n', [400]],
      ['tab as separator', () => 'GET\t/v1/agents\tHTTP/1.1\r\nHost: x\r\n\r\n', [400]],
      ['two spaces', () => 'GET  /v1/agents HTTP/1.1\r\nHost: x\r\n\r\n', [400]],
      ['no version (HTTP/0.9)', () => 'GET /v1/agents\r\n\r\n', [400, 505]],
      ['HTTP/2.0', () => 'GET /v1/agents HTTP/2.0\r\nHost: x\r\n\r\n', [400, 505]],
      ['HTTP/1.10', () => 'GET /v1/agents HTTP/1.10\r\nHost: x\r\n\r\n', [400, 505]],
      ['the h2c preface', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400, 505]],
      ['lower-case http', () => 'GET /v1/agents http/1.1\r\nHost: x\r\n\r\n', [400, 505]],
      ['a method that is no token', () => 'G@T /v1/agents HTTP/1.1\r\nHost: x\r\n\r\n', [400, 405, 501]],
      ['a relative target', () => 'GET v1/agents HTTP/1.1\r\nHost: x\r\n\r\n', [400]],
      ['TLS on a plain port', () => Buffer.from('16030100f1010000ed0303', 'hex').toString('latin1') + '\r\n\r\n', [400]],
      ['a long target', () => get('', `/v1/agents?x=${'a'.repeat(20000)}`), [414]],
      ['long headers', () => get(`X-A: ${'a'.repeat(40000)}\r\n`), [431]],
      ['many headers', () => get(Array.from({ length: 300 }, (_, i) => `X-${i}: 1\r\n`).join('')), [431]],
      ['an endless request line', () => `GET /${'a'.repeat(200000)}`, [414, 431]],
    ];
    for (const [what, bytes, statuses] of cases) test(what, async () => { await rejected(bytes(), statuses, what); });

    test('no part of a refused request is ever taken for the next one', async () => {
      const r = await send(post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\nG${get()}`));
      assert.equal(r.responses.length, 1);
      assert.equal(r.responses[0].status, 400);
    });
  });

  describe('chunked uploads', () => {
    const chunked = (body, extra = '') => post(`Transfer-Encoding: chunked\r\n${extra}`, body);
    const chunk = (t) => `${t.length.toString(16)}\r\n${t}\r\n`;

    test('one chunk, many chunks, one byte each, extensions, trailers, upper-case hex', async () => {
      for (const body of [chunk(BODY) + '0\r\n\r\n', [...BODY].map(chunk).join('') + '0\r\n\r\n', `${BODY.length.toString(16).toUpperCase()};a=b;c="d"\r\n${BODY}\r\n0\r\n\r\n`, `${chunk(BODY)}0\r\nX-Trailer: 1\r\n\r\n`, `000${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`]) {
        const r = await send(chunked(body, 'Connection: close\r\n'));
        assert.equal(r.responses[0]?.status, 200, JSON.stringify(body) + r.text);
      }
    });
    test('split at every byte', async () => {
      const whole = chunked(chunk(BODY.slice(0, 7)) + chunk(BODY.slice(7)) + '0\r\n\r\n', 'Connection: close\r\n');
      const r = await send([...whole].flatMap((c, i) => i % 5 ? [c] : [c, 1]), { timeout: ms(20000) });
      assert.equal(r.responses[0]?.status, 200, r.text);
    });
    for (const [what, body] of [
      ['bad hex', 'zz\r\n{}\r\n0\r\n\r\n'], ['empty size', '\r\n{}\r\n0\r\n\r\n'], ['negative size', '-1\r\n{}\r\n0\r\n\r\n'], ['0x prefix', '0x2\r\n{}\r\n0\r\n\r\n'],
      ['white space before the size', ' 2\r\n{}\r\n0\r\n\r\n'], ['overflowing size', 'fffffffffffffffff\r\n{}\r\n0\r\n\r\n'], ['2^64 wrap', '10000000000000002\r\n{}\r\n0\r\n\r\n'],
      ['missing CRLF after data', '2\r\n{}0\r\n\r\n'], ['longer than its size', '2\r\n{}}\r\n0\r\n\r\n'], ['bare LF after the size', '2\n{}\r\n0\r\n\r\n'], ['bare LF after data', '2\r\n{}\n0\r\n\r\n'],
      ['an endless extension', `2;${'a'.repeat(100000)}\r\n{}\r\n0\r\n\r\n`], ['endless trailers', `2\r\n{}\r\n0\r\n${'X-T: 1\r\n'.repeat(20000)}\r\n`],
    ]) test(`refused: ${what}`, async () => { await rejected(chunked(body), [400, 413, 431], what); });
    test('a chunked body over the limit is 413 before it is all sent', async () => {
      const mb = chunk('x'.repeat(1 << 20));
      const r = await send([chunked(''), ...Array.from({ length: 40 }, () => mb)], { timeout: ms(30000), until: once });
      assert.equal(r.responses[0]?.status, 413, r.text.slice(0, 300));
    });
  });

  describe('Content-Length uploads', () => {
    test('a declared body over 32 MB is refused from its length alone', async () => {
      const r = await send(post(`Content-Length: ${40 << 20}\r\n`), { until: once });
      assert.equal(r.responses[0]?.status, 413, r.text);
    });
    test('who sends a refused body slowly may send on, and reads the answer', async () => {
      const c = net.connect(s.port, '127.0.0.1');
      let error = null, text = '';
      c.on('error', (e) => { error = e; });
      c.write(post(`Content-Length: ${40 << 20}\r\n`));
      for (let i = 0; i < 16 && !error; i++) { await new Promise((ok) => setTimeout(ok, 250)); c.write('x'.repeat(1000)); }
      c.on('data', (d) => { text += d; });
      await new Promise((ok) => { c.on('close', ok); c.end(); });
      assert.equal(error, null, 'four seconds after the answer the connection still takes bytes');
      assert.match(text, /^HTTP\/1\.1 413 /);
    });
    test('who sends nothing of it is not waited for', async () => {
      const began = Date.now();
      const r = await send(post(`Content-Length: ${40 << 20}\r\n`), { timeout: ms(12000) });
      assert(r.closed && r.responses[0]?.status === 413, r.text);
      assert(Date.now() - began < ms(10000));
    });
    test('a body cut short makes nothing', async () => {
      const before = JSON.parse((await send(get('Connection: close\r\n', '/v1/agents?limit=100'))).responses[0].body).data.length;
      const r = await send(post('Content-Length: 100\r\n', BODY), { half: true });
      assert(r.closed);
      if (r.responses.length) assert.equal(r.responses[0].status, 400);
      assert.equal(JSON.parse((await send(get('Connection: close\r\n', '/v1/agents?limit=100'))).responses[0].body).data.length, before);
    });
    test('GET with a body: read or refused, never smuggled', async () => {
      const r = await send([get('Content-Length: 5\r\n') + 'GET /' + get('Connection: close\r\n')]);
      assert(r.responses.length === 2 ? r.responses.every((x) => x.status === 200) : r.responses.length === 1 && r.responses[0].status === 400, r.text);
    });
  });

  describe('Expect: 100-continue', () => {
    test('100 then 200', async () => {
      const r = await send([post(`Content-Length: ${BODY.length}\r\nExpect: 100-continue\r\nConnection: close\r\n`), 300, BODY]);
      assert.deepEqual(r.responses.map((x) => x.status), [100, 200], r.text);
    });
    test('a refusal comes instead of 100, so that nothing need be sent', async () => {
      const r = await send(post(`Content-Length: ${40 << 20}\r\nExpect: 100-continue\r\n`), { until: once });
      assert.equal(r.responses[0]?.status, 413, r.text);
    });
    test('another expectation is 417 or ignored', async () => {
      const r = await send(post(`Content-Length: ${BODY.length}\r\nExpect: coffee\r\nConnection: close\r\n`, BODY));
      assert([417, 200, 400].includes(r.responses[0]?.status), r.text);
    });
  });

  describe('pipelining', () => {
    test('fifty requests in one write, answered in order', async () => {
      const paths = Array.from({ length: 50 }, (_, i) => `/v1/agents/agent_${String(i).padStart(3, '0')}`);
      const r = await send([paths.map((p) => get('', p)).join(''), get('Connection: close\r\n')], { timeout: ms(15000) });
      assert.equal(r.responses.length, 51);
      for (let i = 0; i < 50; i++) { assert.equal(r.responses[i].status, 404); JSON.parse(r.responses[i].body); }
      assert.equal(r.responses[50].status, 200);
      assert.equal(new Set(r.responses.map((x) => x.headers['request-id'])).size, 51);
    });
    test('a POST then its GET see each other', async () => {
      const r = await send([post(`Content-Length: ${BODY.length}\r\n`, BODY) + get('Connection: close\r\n', '/v1/agents?limit=1')]);
      assert.deepEqual(r.responses.map((x) => x.status), [200, 200]);
      assert.equal(JSON.parse(r.responses[1].body).data[0].id, JSON.parse(r.responses[0].body).id);
    });
    test('a bad request ends the pipeline after the good ones', async () => {
      const r = await send([get() + 'BAD\r\n\r\n' + get()]);
      assert.deepEqual(r.responses.map((x) => x.status), [200, 400]);
      assert(r.closed);
    });
  });

  describe('connection handling', () => {
    test('HTTP/1.0 is answered and closed; with keep-alive it may stay', async () => {
      const r = await send(`GET /v1/agents?limit=1 HTTP/1.0\r\n${std()}\r\n`);
      assert.equal(r.responses[0]?.status, 200);
      assert(r.closed);
      assert(!r.responses[0].headers['transfer-encoding'], 'no chunked to HTTP/1.0');
    });
    test('one byte at a time, patiently', async () => {
      const r = await send([...get('Connection: close\r\n')].map((c) => c), { timeout: ms(20000) });
      assert.equal(r.responses[0]?.status, 200);
    });
    test('empty lines before a request are forgiven', async () => {
      const r = await send(`\r\n${get('Connection: close\r\n')}`);
      assert([200, 400].includes(r.responses[0]?.status));
    });
    test('HEAD has no body; OPTIONS and TRACE and CONNECT give nothing away', async () => {
      const r = await send([`HEAD /v1/agents HTTP/1.1\r\n${std()}Connection: close\r\n\r\n`]);
      assert([200, 405].includes(r.responses[0].status));
      const body = r.text.slice(r.text.indexOf('\r\n\r\n') + 4);
      if (r.responses[0].status === 200 || r.responses[0].status === 405) assert.equal(body, '', 'HEAD never has a body');
      for (const m of ['TRACE /v1/agents', 'CONNECT 127.0.0.1:1', 'OPTIONS *', 'OPTIONS /v1/agents']) {
        const t = await send(`${m} HTTP/1.1\r\n${std()}Connection: close\r\n\r\n`);
        assert([400, 404, 405, 501].includes(t.responses[0]?.status), `${m}: ${t.text}`);
        assert(!t.text.includes(s.apiKey), 'the key is not echoed');
      }
    });
    test('a client that goes away mid-answer harms nobody', async () => {
      for (let i = 0; i < 50; i++) {
        const k = net.connect(s.port, '127.0.0.1');
        await new Promise((r) => k.on('connect', r));
        k.write(get());
        k.destroy();
        k.on('error', () => {});
      }
      assert.equal((await send(get('Connection: close\r\n'))).responses[0].status, 200);
    });
    test('RST in the middle of a request', async () => {
      for (let i = 0; i < 20; i++) {
        const k = net.connect(s.port, '127.0.0.1');
        await new Promise((r) => k.on('connect', r));
        k.write(post('Content-Length: 100\r\n', '{'));
        k.resetAndDestroy();
        k.on('error', () => {});
      }
      assert.equal((await send(get('Connection: close\r\n'))).responses[0].status, 200);
    });
  });

  describe('slowloris', () => {
    test('a head that never ends is cut off, a trickle too, while others are served', async () => {
      const t = Date.now();
      const slow = [
        talk(s.port, ['GET /v1/agents HTTP/1.1\r\nHost: x\r\n'], { timeout: ms(30000) }),
        talk(s.port, ['GET /v1/agents HTTP/1.1\r\n', ...Array.from({ length: 60 }, (_, i) => [500, `X-${i}: 1\r\n`]).flat()], { timeout: ms(30000) }),
        talk(s.port, ['\r\n'], { timeout: ms(30000) }),
      ];
      let held = true;
      const all = Promise.all(slow);
      all.then(() => { held = false; });
      for (let ok = 0; ok <= 10 || Date.now() - t < 1000; ok++) {
        assert.equal((await send(get('Connection: close\r\n'))).responses[0].status, 200);
        assert(held || ok > 10, `only ${ok} others were served beside them`);
      }
      for (const r of await all) {
        assert(!r.timedOut, 'cut off within 30 s');
        if (r.responses.length) assert([400, 408].includes(r.responses[0].status), r.text);
      }
      assert(Date.now() - t < ms(25000));
    });
  });

  describe('hostile volume', () => {
    test('random bytes never get more than an error', async () => {
      let seed = 12345;
      const rnd = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
      for (let i = 0; i < 60; i++) {
        const b = Buffer.from(Array.from({ length: 1 + Math.floor(rnd() * 400) }, () => Math.floor(rnd() * 256)));
        const r = await talk(s.port, [b, '\r\n\r\n'], { timeout: ms(3000), half: true });
        for (const x of r.responses) assert([400, 405, 414, 431, 501, 505].includes(x.status), r.text);
      }
    });
    test('mutations of a good request never get a 200 they should not, and never a crash', async () => {
      let seed = 99;
      const rnd = (n) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
      const good = post(`Content-Length: ${BODY.length}\r\nConnection: close\r\n`, BODY);
      for (let i = 0; i < 150; i++) {
        const b = Buffer.from(good, 'latin1');
        for (let k = 0; k <= rnd(3); k++) b[rnd(b.length)] = rnd(256);
        const r = await talk(s.port, [b], { timeout: ms(3000), half: true });
        for (const x of r.responses) assert(x.garbage === undefined && x.status >= 100 && x.status < 600 && x.status !== 500, `${JSON.stringify(b.toString('latin1'))} → ${r.text}`);
      }
      assert.equal((await send(get('Connection: close\r\n'))).responses[0].status, 200);
    });
  });
});
