// The way out that the environment names, HTTPS_PROXY and NO_PROXY: what comes by it, what does not, and where its password is not.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, test } from 'node:test';
import { authority } from '../lib/egress.mjs';
import { BIN, ms, run, tempDir } from '../lib/own.mjs';
import { call, edgeServer, gatewayConfig, makeTunnel, startGateway } from '../lib/tunnel.mjs';

const PASSWORD = 'p@ss:w rd-4711', ENCODED = encodeURIComponent(PASSWORD);
let s, t, ca, wiki, proxy;
before(async () => {
  ca = authority(tempDir('edge-ca'));
  tls.setDefaultCACertificates([...tls.getCACertificates(), fs.readFileSync(ca.file, 'utf8')]);   // for the API
  const leaf = ca.issue(['127.0.0.1', 'localhost']);
  s = await edgeServer({ args: ['--tls-cert', leaf.certFile, '--tls-key', leaf.keyFile] });
  t = await makeTunnel(s);
  wiki = http.createServer((q, r) => r.end('hello'));
  await new Promise((ok) => wiki.listen(0, '127.0.0.1', ok));
  // Lets through who shows the user.
  proxy = net.createServer((c) => {
    let head = '';
    c.on('error', () => {});
    const hear = (b) => {
      head += b.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      c.off('data', hear);
      proxy.seen.push(head);
      if (proxy.wants && !head.includes(`Basic ${Buffer.from(proxy.wants).toString('base64')}`)) { c.end('HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n'); return; }
      const [, host, port] = head.match(/^CONNECT ([^: ]+):(\d+) /);
      const u = net.connect(port, host, () => { c.write('HTTP/1.1 200 OK\r\n\r\n'); c.pipe(u).pipe(c); });
      u.on('error', () => c.destroy());
    };
    c.on('data', hear);
  });
  proxy.seen = [];
  await new Promise((ok) => proxy.listen(0, '127.0.0.1', ok));
});
after(async () => { await s?.stop(); wiki?.close(); proxy?.close(); });
const at = (user = '') => `http://${user}127.0.0.1:${proxy.address().port}`;

/** A gateway with these variables alone of the kind; it is stopped. `through`: how often it has asked the proxy. */
async function gateway(env, { config = {}, then = async () => {} } = {}) {
  proxy.seen.length = 0;
  const clean = ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy'].flatMap((n) => ['-u', n]);
  const g = await startGateway(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, { config: { ca_file: ca.file, ...config }, wrap: (bin, argv) => ['env', ...clean, ...Object.entries(env).map(([k, v]) => `${k}=${v}`), bin, ...argv] });
  try {
    assert.equal((await call(s, t, `wiki.${t.domain}`)).text, 'hello');
    await then(g);
    return { through: proxy.seen.length, heads: [...proxy.seen], g };
  } finally { await g.stop(); }
}

test('HTTPS_PROXY leads through the proxy, in either case; status says where it is from', async () => {
  const r = await gateway({ HTTPS_PROXY: at() }, { then: async (g) => {
    const j = await (await fetch(`http://${g.page}/status`)).json();
    assert.deepEqual([j.edge.proxy, j.edge.proxy_from], ['127.0.0.1', 'HTTPS_PROXY']);
  } });
  assert.equal(r.through, 4);
  assert.match(r.heads[0], new RegExp(`^CONNECT ${new URL(s.url).host} HTTP/1\\.1\r\n`));
  assert.equal((await gateway({ https_proxy: at(), HTTPS_PROXY: 'http://127.0.0.1:1' })).through, 4, 'the lower case counts');
  assert.equal((await gateway({ https_proxy: `${at()}/` })).through, 4, 'a slash at the end is no path');
});

test('user and password, which are in no log, on no page, in no argument and not with who reads strangers\' bytes', async () => {
  proxy.wants = `corp\\me:${PASSWORD}`;
  try {
    const r = await gateway({ HTTPS_PROXY: at(`corp%5Cme:${ENCODED}@`) }, { then: async (g) => {
      const confined = g.pid();
      for (const file of [`/proc/${confined}/environ`, `/proc/${confined}/cmdline`, `/proc/${g.proc.pid}/cmdline`]) {
        const text = fs.readFileSync(file, 'latin1');
        for (const form of [PASSWORD, ENCODED, '4711']) assert(!text.includes(form), file);
      }
      const page = await (await fetch(`http://${g.page}/status`)).text();
      for (const text of [page, g.proc.err, g.proc.out]) assert.doesNotMatch(text, /4711/);
    } });
    assert.equal(r.through, 4);
  } finally { proxy.wants = undefined; }
});

test('a wrong password: the words name the variable', async () => {
  proxy.wants = 'me:right';
  try {
    const file = path.join(tempDir('gateway'), 'gateway.yaml');
    fs.writeFileSync(file, gatewayConfig(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, { ca_file: ca.file }));
    const doctor = await run(BIN, ['gateway', 'doctor', '--json', '--config', file], { timeout: ms(60000), env: { HTTPS_PROXY: at('me:wrong-4711@') } });
    const found = JSON.parse(doctor.out).findings?.find((f) => f.id === 'edge_proxy') ?? JSON.parse(doctor.out).checks.find((f) => f.id === 'edge_proxy');
    assert.match(JSON.stringify(found), /407/);
    assert.match(JSON.stringify(found), /HTTPS_PROXY/);
    assert.doesNotMatch(doctor.out + doctor.err, /4711/);
  } finally { proxy.wants = undefined; }
});

const host = () => new URL(s.url).hostname, port = () => new URL(s.url).port;
for (const [what, list, through] of [
  ['everything', () => '*', 0], ['its address', () => `example.com, ${host()}`, 0], ['its network', () => '10.0.0.0/8,127.0.0.0/8', 0], ['its address and port', () => `${host()}:${port()}`, 0],
  ['another port', () => `${host()}:1`, 4], ['other names and networks, and what is none', () => 'localhost,.example.com,192.168.0.0/16,://,*x*,', 4], ['nothing', () => '', 4],
]) test(`NO_PROXY with ${what}: ${through ? 'through the proxy' : 'directly'}`, async () => { assert.equal((await gateway({ HTTPS_PROXY: at(), NO_PROXY: list() })).through, through); });

test('the configuration comes before: a proxy of its own, and none', async () => {
  assert.equal((await gateway({ HTTPS_PROXY: 'http://127.0.0.1:1' }, { config: { proxy: at() } })).through, 4);
  assert.equal((await gateway({ HTTPS_PROXY: at() }, { config: { proxy: 'none' } })).through, 0);
});

for (const [what, url, words] of [
  ['no port', 'http://corp.example', /a port is expected/], ['a path', 'http://corp.example:3128/x', /has no path/], ['another scheme', 'socks5://corp.example:1080', /only http:\/\/ and https:\/\//],
  ['no host', 'http://:3128', /host and port are expected/], ['a broken user', 'http://a%zz:secret-4711@p.example:1', /percent-encoded/], ['an empty user', 'http://:secret-4711@p.example:1', /stands a user/],
]) test(`HTTPS_PROXY with ${what} ends the start, in words that name it and do not repeat it`, async () => {
  const file = path.join(tempDir('gateway'), 'gateway.yaml');
  fs.writeFileSync(file, gatewayConfig(s, t, { wiki: `http://127.0.0.1:${wiki.address().port}` }, { ca_file: ca.file }));
  for (const verb of [[], ['doctor']]) {
    const r = await run(BIN, ['gateway', ...verb, '--config', file], { timeout: ms(20000), env: { HTTPS_PROXY: url } });
    assert.equal(r.code, 1, r.err);
    assert.match(r.err, /HTTPS_PROXY in the environment: /);
    assert.match(r.err, words);
    assert.doesNotMatch(r.err, /4711|corp\.example/);
  }
});
