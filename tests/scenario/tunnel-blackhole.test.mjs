// A network that loses every packet and says nothing: no reset, no unreachable, links up. Three namespaces of the network that this
// test makes: that of the server and its callers, a router, that of a gateway and its private server. The router stops forwarding.
// The test runs itself again inside the first of them.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { authority } from '../lib/egress.mjs';
import { referenceServer } from '../lib/mcp.mjs';
import { BIN, end, FULL, ms, run, start, tempDir, until } from '../lib/own.mjs';
import { alertOf, call, callerSocket, edgeServer, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const INSIDE = process.env.SALLYPORT_TEST_BLACKHOLE;
const DARK_MS = FULL ? 60000 : 20000;

test('a network that loses everything', { skip: INSIDE ? 'this is the inside' : process.getuid() !== 0 && 'only root makes namespaces of the network' }, async (x) => {
  const ca = authority(tempDir('edge-ca'));
  const leaf = ca.issue(['10.99.1.1']);
  const env = { SALLYPORT_TEST_BLACKHOLE: JSON.stringify({ ca: ca.file, cert: leaf.certFile, key: leaf.keyFile }), NODE_EXTRA_CA_CERTS: ca.file, SALLYPORT_BIN: BIN, SALLYPORT_FULL: process.env.SALLYPORT_FULL ?? '', SALLYPORT_TEST_SLOWDOWN: process.env.SALLYPORT_TEST_SLOWDOWN ?? String(ms(1)) };
  const r = await run('unshare', ['-n', process.execPath, '--test', '--test-force-exit', '--test-reporter=tap', import.meta.filename], { env, timeout: ms(200000) });
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, /^# pass 2$/m, r.out);
  for (const m of r.out.matchAll(/# (noticed|back) .*/g)) x.diagnostic(m[0].slice(2));
});

if (INSIDE) describe('inside', () => {
  let s, near, far, router, gateways, upstream, other;
  const files = JSON.parse(INSIDE);
  const sh = async (script) => { const r = await run('sh', ['-ec', script]); assert.equal(r.code, 0, r.err); };
  const at = (ns, script) => sh(`nsenter -t ${ns.pid} -n sh -ec '${script}'`);
  const namespace = async () => { const p = start('unshare', ['-n', 'sleep', '600']); await until('a namespace', () => fs.readlinkSync(`/proc/${p.pid}/ns/net`) !== fs.readlinkSync('/proc/self/ns/net')); return p; };
  const forward = (on) => at(router, `echo ${on} > /proc/sys/net/ipv4/ip_forward`);

  before(async () => {
    await sh('ip link set lo up');
    [router, far] = [await namespace(), await namespace()];
    await sh(`ip link add e0 type veth peer name r0 netns ${router.pid}; ip addr add 10.99.1.1/24 dev e0; ip link set e0 up; ip route add 10.99.2.0/24 via 10.99.1.2`);
    await at(router, `ip link set lo up; ip addr add 10.99.1.2/24 dev r0; ip link set r0 up; ip link add r1 type veth peer name g0 netns ${far.pid}; ip addr add 10.99.2.2/24 dev r1; ip link set r1 up`);
    await at(far, 'ip link set lo up; ip addr add 10.99.2.1/24 dev g0; ip link set g0 up; ip route add 10.99.1.0/24 via 10.99.2.2');
    await forward(1);
    s = await edgeServer({ listen: '10.99.1.1:0', args: ['--tls-cert', files.cert, '--tls-key', files.key] });
    near = { t: await makeTunnel(s) };
    gateways = { t: await makeTunnel(s) };
    upstream = await referenceServer('stateless', { wrap: (...argv) => ['nsenter', '-t', String(far.pid), '-n', ...argv] });
    gateways.g = await startGateway(s, gateways.t, { mcp: upstream.upstream }, { config: { ca_file: files.ca }, wrap: (bin, argv) => ['nsenter', '-t', String(far.pid), '-n', bin, ...argv] });
    // Another tunnel, whose gateway is on the server's side.
    other = http.createServer((q, r) => { r.writeHead(200, { 'content-type': 'text/event-stream' }); r.flushHeaders(); other.say = (x) => r.write(x); });
    await new Promise((ok) => other.listen(0, '127.0.0.1', ok));
    near.g = await startGateway(s, near.t, { other: `http://127.0.0.1:${other.address().port}` }, { config: { ca_file: files.ca } });
  });
  after(async () => {
    for (const p of [near?.g, gateways?.g, s, upstream]) await p?.stop('SIGKILL');
    other?.closeAllConnections(); other?.close();
    for (const p of [router, far]) await end(p, { signal: 'SIGKILL' });
  });

  const count = (p, what) => (p.err.match(what) ?? []).length;
  const body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
  const ask = () => call(s, gateways.t, `mcp.${gateways.t.domain}`, { method: 'POST', path: '/mcp', body, headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' } });

  test('the way through the router is good', async () => {
    assert.match((await ask()).text, /"echo"/);
  });

  test('both ends notice within ten seconds, callers are told, others go on, and it heals by itself', async (x) => {
    const stays = await callerSocket(s, near.t, `other.${near.t.domain}`);
    let heard = '';
    stays.on('data', (d) => { heard += d; });
    stays.write(`GET / HTTP/1.1\r\nHost: other.${near.t.domain}\r\n\r\n`);
    await until('the other tunnel\'s stream', () => other.say && /event-stream/.test(heard));
    const held = await callerSocket(s, gateways.t, `mcp.${gateways.t.domain}`);
    const cut = new Promise((ok) => held.on('close', ok));
    held.write(`POST /mcp HTTP/1.1\r\nHost: mcp.${gateways.t.domain}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: 89\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wait","arguments":{}}}    `);
    await upstream.heard('waiting');
    const gone = /msg="gateway gone"/g, ended = /msg="the connection to the edge has ended"/g, up = /msg="connected to the edge"/g;
    const [g0, e0, u0] = [count(s.proc, gone), count(gateways.g.proc, ended), count(gateways.g.proc, up)];
    await forward(0);
    const dark = Date.now();
    await until('the server notices', () => count(s.proc, gone) === g0 + 4, ms(15000));
    await until('the gateway notices', () => count(gateways.g.proc, ended) === e0 + 4, ms(15000));
    const noticed = Date.now() - dark;
    x.diagnostic(`noticed after ${noticed} ms`);
    assert(noticed < 10000 + ms(3000), `${noticed} ms`);   // DEAD_MS, and the look at it
    await cut;
    await upstream.heard('cancelled');   // the private server is let go, too
    assert.equal(await alertOf(s, `mcp.${gateways.t.domain}`), 80, 'no gateway is there');
    await new Promise((ok) => setTimeout(ok, Math.max(0, DARK_MS - (Date.now() - dark))));
    // The first attempt begins within a second of the end, and is given up after ten.
    await until('it says so', () => /level=warn .*msg="the edge cannot be reached, will retry"/.test(gateways.g.proc.err), ms(15000));
    assert.equal(count(gateways.g.proc, up), u0, 'nothing came through');
    other.say('data: still here\n\n');
    await until('the other tunnel has not noticed', () => /still here/.test(heard));
    await forward(1);
    const light = Date.now();
    await until('it heals', () => count(gateways.g.proc, up) >= u0 + 4, ms(50000));   // thirty seconds between two attempts at most
    x.diagnostic(`back after ${Date.now() - light} ms`);
    assert.match((await ask()).text, /"echo"/);
    assert.equal(gateways.g.proc.ended, false);
    stays.destroy();
  });
});
