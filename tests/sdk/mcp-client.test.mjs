// `sallyport mcp` against servers of the official SDKs, in every era, and the official reference server.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import path from 'node:path';
import { BIN, end, here, ms, run, start, until } from '../lib/own.mjs';
import { sdkModern, sdkSse, sdkStateful, sdkStateless } from '../lib/mcp-servers.mjs';

const mcp = (verb, url, ...args) => run(BIN, ['mcp', verb, url, ...args], { timeout: ms(30000) });
const version = (r) => JSON.parse(r.out).protocolVersion;

/** What every server of the three tools must do, whatever it speaks. */
function theTools(make, speaks) {
  let s;
  before(async () => { s = await make(); });
  after(() => s?.close());

  test('its tools are listed, in the era that it speaks', async () => {
    const r = await mcp('list', s.url, '--json');
    assert.equal(r.code, 0, r.err);
    assert.equal(version(r), speaks);
    assert.deepEqual(JSON.parse(r.out).tools.map((t) => t.name).sort(), ['add', 'echo', 'fail']);
    assert.match((await mcp('list', s.url)).out, /^echo {2}says it again$/m);
  });

  test('a tool is called; words become what its schema wants', async () => {
    const text = await mcp('call', s.url, 'echo', 'text=12');
    assert.equal(text.code, 0, text.err);
    assert.equal(text.out, 'echo: 12\n');
    const sum = await mcp('call', s.url, 'add', '--args', '{"a": 40, "b": 2}');
    assert.equal(sum.out, '42\n', sum.err);
    assert.match(sum.err, /^progress 1 of 2: half$/m);
  });

  test('a tool that fails, and one that does not exist', async () => {
    const failed = await mcp('call', s.url, 'fail');
    assert.equal(failed.code, 3);
    assert.equal(failed.out, 'it broke\n');
    const none = await mcp('call', s.url, 'nothing');
    assert.notEqual(none.code, 0);
    assert.match(none.out + none.err, /nothing/);
  });
  return () => s;
}

describe('SDK 1.x with sessions', () => {
  const s = theTools(sdkStateful, '2025-11-25');
  test('every session is deleted at the end', async () => {
    const methods = s().methods();
    const opened = methods.filter((m) => m === 'initialize').length;
    assert.ok(opened > 3);
    assert.equal(methods.filter((m) => m === 'DELETE').length, opened);
    assert.equal(methods.filter((m) => m === 'notifications/initialized').length, opened);
  });
});

describe('SDK 1.x without sessions', () => {
  const s = theTools(sdkStateless, '2025-11-25');
  test('nothing is deleted, and no session is named', () => {
    assert.ok(s().requests.length > 3);
    assert.ok(!s().methods().includes('DELETE'));
    assert.ok(s().requests.every((r) => !r.headers['mcp-session-id']));
  });
});

describe('SDK 1.x over HTTP+SSE', () => {
  const s = theTools(sdkSse, '2025-11-25');
  test('it was found as the last of three', () => {
    assert.deepEqual(s().methods().slice(0, 3), ['server/discover', 'initialize', 'GET']);
  });
});

describe('SDK 2.x, 2026-07-28 alone', () => {
  const s = theTools(() => sdkModern({ legacy: 'reject' }), '2026-07-28');
  test('initialize is never sent, and every request names method and version', () => {
    assert.ok(s().requests.length > 3);
    for (const r of s().requests) {
      assert.equal(r.http, 'POST');
      assert.notEqual(r.body.method, 'initialize');
      assert.equal(r.headers['mcp-method'], r.body.method);
      assert.equal(r.headers['mcp-protocol-version'], '2026-07-28');
    }
  });
  test('--era legacy is refused by it', async () => {
    const r = await mcp('list', s().url, '--era', 'legacy');
    assert.equal(r.code, 1);
    assert.match(r.err, /^sallyport mcp: (server|http): /);
  });
});

describe('SDK 2.x of both eras', () => {
  const s = theTools(() => sdkModern({ legacy: 'stateless' }), '2026-07-28');
  test('--era legacy makes it speak 2025', async () => {
    const r = await mcp('list', s().url, '--era', 'legacy', '--json');
    assert.equal(r.code, 0, r.err);
    assert.equal(version(r), '2025-11-25');
  });
});

describe('the official reference server', () => {
  const free = () => new Promise((r) => { const l = net.createServer().listen(0, '127.0.0.1', () => { const { port } = l.address(); l.close(() => r(port)); }); });
  for (const [kind, place, speaks] of [['streamableHttp', '/mcp', '2025-11-25'], ['sse', '/sse', '2025-11-25']]) {
    describe(kind, () => {
      let p, url;
      before(async () => {
        const port = await free();
        p = start(process.execPath, [path.join(here, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js'), kind], { env: { PORT: String(port) } });
        url = `http://127.0.0.1:${port}${place}`;
        await until('the server listens', () => new Promise((yes, no) => net.connect(port, '127.0.0.1', function () { this.destroy(); yes(true); }).on('error', no)));
      });
      after(() => end(p, { signal: 'SIGKILL' }));

      test('tools, text, a picture, a resource', async () => {
        const l = await mcp('list', url, '--json');
        assert.equal(l.code, 0, l.err);
        assert.equal(version(l), speaks);
        const names = JSON.parse(l.out).tools.map((t) => t.name);
        assert.ok(names.includes('echo'), names.join());
        assert.equal((await mcp('call', url, 'echo', 'message=hello')).out, 'Echo: hello\n');
        assert.match((await mcp('call', url, 'get-tiny-image')).out, /^\[image image\/png, [\d.]+ (B|KiB)\]$/m);
        assert.match((await mcp('call', url, 'get-resource-links', 'count=2')).out, /^\[resource \S+/m);
      });

      test('a long call tells how far it is', async () => {
        const r = await mcp('call', url, 'trigger-long-running-operation', 'duration=1', 'steps=4');
        assert.equal(r.code, 0, r.err);
        assert.match(r.err, /^progress 4 of 4/m);
      });
    });
  }
});
