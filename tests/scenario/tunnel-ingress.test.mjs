// Who may come to the ingress, and how much of it one may have: refusals are alerts, counted by reason.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { ms, run, until } from '../lib/own.mjs';
import { startServer } from '../lib/sallyport.mjs';
import { alertOf, call, callerSocket, edgeServer, ingressCount, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const ACCESS_DENIED = 49, INTERNAL_ERROR = 80, UNRECOGNIZED_NAME = 112;

async function world(args, routes = 1) {
  const w = { wiki: http.createServer((q, r) => { q.resume(); r.end('{"ok":true}'); }) };
  await new Promise((ok) => w.wiki.listen(0, '127.0.0.1', ok));
  w.s = await edgeServer({ args });
  w.tunnels = [];
  w.gateways = [];
  for (let i = 0; i < routes; i++) {
    const t = await makeTunnel(w.s);
    w.tunnels.push(t);
    w.gateways.push(await startGateway(w.s, t, { wiki: `http://127.0.0.1:${w.wiki.address().port}` }));
  }
  w.host = (i = 0) => `wiki.${w.tunnels[i].domain}`;
  w.call = (localAddress, i = 0) => call(w.s, w.tunnels[i], w.host(i), { localAddress, headers: { connection: 'close' } });
  w.alert = (localAddress, i = 0) => alertOf(w.s, w.host(i), { localAddress });
  w.open = (localAddress, i = 0) => callerSocket(w.s, w.tunnels[i], w.host(i), { localAddress });
  w.stop = async () => { for (const g of w.gateways) await g.stop(); await w.s.stop(); w.wiki.closeAllConnections(); w.wiki.close(); };
  return w;
}

describe('allow_from', () => {
  let w;
  before(async () => { w = await world(['--ingress-allow-from', '127.0.0.1', '--ingress-allow-from', '127.0.1.0/24']); });
  after(() => w?.stop());

  test('who is named gets through, the others get access_denied, before anything they say is read', async () => {
    assert.equal((await w.call('127.0.0.1')).status, 200);
    assert.equal((await w.call('127.0.1.77')).status, 200);
    const had = await ingressCount(w.s, 'not_allowed');
    assert.equal(await w.alert('127.0.0.2'), ACCESS_DENIED);
    assert.equal(await w.alert('127.0.2.1'), ACCESS_DENIED);
    assert.equal(await ingressCount(w.s, 'not_allowed'), had + 2);
  });

  test('what real clients say to the alert', async () => {
    const at = `${w.host()}:${w.s.ingress}`;
    const c = await run('curl', ['-sS', '--interface', '127.0.0.9', '--cacert', w.tunnels[0].ca.file, '--connect-to', `${at}:127.0.0.1:${w.s.ingress}`, `https://${at}/`]);
    assert.equal(c.code, 35, c.err);
    assert.match(c.err, /access denied/);
    const o = await run('openssl', ['s_client', '-connect', `127.0.0.1:${w.s.ingress}`, '-bind', '127.0.0.9', '-servername', w.host()]);
    assert.match(o.err, /alert access denied/);
  });

  test('refusals are told once a second at most, with how many were not', async () => {
    const lines = () => w.s.proc.err.match(/msg="a caller was refused" .*/g) ?? [];
    const began = Date.now(), had = lines().length;
    for (let i = 0; i < 40; i++) assert.equal(await w.alert('127.0.0.2'), ACCESS_DENIED);
    const seconds = (Date.now() - began) / 1000;
    await new Promise((ok) => setTimeout(ok, 1100));
    assert.equal(await w.alert('127.0.0.2'), ACCESS_DENIED);
    await until('the next line', () => lines().length > had);
    assert(lines().length - had <= Math.ceil(seconds) + 2, `${lines().length - had} lines in ${seconds} s`);
    assert.match(lines().at(-1), /peer="?127\.0\.0\.2:\d+"? host=.* why="allow_from does not name its address" untold=[1-9]/);
  });
});

test('allow_from of one tunnel is that tunnel\'s alone', async () => {
  // A tunnel's id is known when it is made: so the server starts again, with a rule for it.
  const first = await startServer({ args: ['--ingress', '127.0.0.1:0', '--metrics', 'none'] });
  first.tunnels = () => first.client({ defaultHeaders: { 'anthropic-beta': 'mcp-tunnels-2026-06-22' } }).beta.tunnels;
  const narrow = await makeTunnel(first), open = await makeTunnel(first);
  await first.stop();
  const again = await edgeServer({ data: first.data, apiKey: first.apiKey, args: ['--ingress-allow-from', `${narrow.id}=127.0.0.8/30`] });
  const wiki = http.createServer((q, r) => { q.resume(); r.end('{"ok":true}'); });
  await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
  const gateways = [];
  try {
    for (const t of [narrow, open]) gateways.push(await startGateway(again, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }));
    const from = (t, localAddress) => call(again, t, `wiki.${t.domain}`, { localAddress });
    assert.equal((await from(open, '127.0.0.1')).status, 200);
    assert.equal((await from(narrow, '127.0.0.9')).status, 200);
    assert.equal(await alertOf(again, `wiki.${narrow.domain}`, { localAddress: '127.0.0.1' }), ACCESS_DENIED);
    assert.equal(await ingressCount(again, 'not_allowed'), 1);
  } finally {
    for (const g of gateways) await g.stop();
    await again.stop();
    wiki.closeAllConnections(); wiki.close();
  }
});

describe('shares', () => {
  let w;
  before(async () => { w = await world(['--ingress-per-peer', '6', '--ingress-per-tunnel', '4'], 2); });
  after(() => w?.stop());

  test('a tunnel that has its share keeps no other one\'s callers out', async () => {
    const held = [];
    for (let i = 0; i < 4; i++) held.push(await w.open('127.0.0.1'));
    assert.equal(await w.alert('127.0.0.2'), INTERNAL_ERROR);
    assert.equal(await ingressCount(w.s, 'tunnel_too_many'), 1);
    assert.equal((await w.call('127.0.0.2', 1)).status, 200);
    held[0].destroy();
    await until('a place is free', async () => await w.alert('127.0.0.2') === undefined);
    for (const k of held) k.destroy();
  });

  test('a peer that has its share keeps no other one out, and its own silence makes room', async () => {
    await until('the places of before are free', async () => (await w.call('127.0.0.2')).status === 200);
    const held = [], mute = [];
    for (let i = 0; i < 6; i++) held.push(await w.open('127.0.0.1', i % 2));
    assert.equal(await w.alert('127.0.0.1', 1), INTERNAL_ERROR);
    assert((await ingressCount(w.s, 'peer_too_many')) >= 1);
    assert.equal((await w.call('127.0.0.2', 1)).status, 200);
    for (const k of held) k.destroy();
    await until('the places of before are free', async () => await w.alert('127.0.0.1') === undefined);
    for (let i = 0; i < 20; i++) { const k = net.connect({ port: w.s.ingress, host: '127.0.0.1', localAddress: '127.0.0.1' }); k.on('error', () => {}); mute.push(k); }
    const gone = mute.map((k) => new Promise((ok) => k.on('close', ok)));
    assert.equal((await w.call('127.0.0.1')).status, 200, 'who speaks is heard');
    await Promise.race([gone[0], new Promise((_, no) => setTimeout(() => no(new Error('the first is not pushed out')), ms(5000)))]);
    for (const k of mute) k.destroy();
  });
});

describe('rates', () => {
  test('of one address', async () => {
    const w = await world(['--ingress-peer-rate', '3', '--ingress-tunnel-rate', '0']);
    try {
      const got = [];
      for (let i = 0; i < 20; i++) got.push(await w.alert('127.0.0.5'));
      assert.equal(got[0], undefined, 'the first is served');
      assert(got.includes(INTERNAL_ERROR), got.join());
      assert.equal(await ingressCount(w.s, 'peer_too_fast'), got.filter((x) => x === INTERNAL_ERROR).length);
      assert.equal((await w.call('127.0.0.6')).status, 200, 'another one\'s rate is its own');
      await until('it may come again', async () => await w.alert('127.0.0.5') === undefined, ms(5000));
    } finally { await w.stop(); }
  });
  test('of one tunnel', async () => {
    const w = await world(['--ingress-peer-rate', '0', '--ingress-tunnel-rate', '3'], 2);
    try {
      const got = [];
      for (let i = 0; i < 20; i++) got.push(await w.alert(`127.0.0.${i + 1}`));
      assert.equal(got[0], undefined);
      assert(got.includes(INTERNAL_ERROR), got.join());
      assert.equal(await ingressCount(w.s, 'tunnel_too_fast'), got.filter((x) => x === INTERNAL_ERROR).length);
      assert.equal((await w.call('127.0.0.1', 1)).status, 200);
      assert.equal(await alertOf(w.s, 'nobody.t-x.tunnel.localhost'), UNRECOGNIZED_NAME);
    } finally { await w.stop(); }
  });
});

test('what cannot be meant is refused at the start, by name', async () => {
  for (const [args, words] of [
    [['--ingress', '127.0.0.1:0', '--ingress-allow-from', '10.0.0.1/8'], /--ingress-allow-from: "10\.0\.0\.1\/8": .*10\.0\.0\.0\/8/],
    [['--ingress', '127.0.0.1:0', '--ingress-allow-from', 'office=10.0.0.0/8'], /--ingress-allow-from: .*must be a tunnel's id/],
    [['--ingress-peer-rate', '5'], /--ingress-peer-rate is for callers at --ingress, which is not given/],
    [['--ingress', 'none', '--ingress-allow-from', '10.0.0.0/8'], /--ingress-allow-from is for callers at --ingress/],
  ]) {
    await assert.rejects(startServer({ args: ['--metrics', 'none', ...args] }), words, args.join(' '));
  }
});
