// `sallyport tunnel`, as a person uses it: what goes to which output, what is said of mistakes.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { startServer } from '../lib/sallyport.mjs';
import { BIN, run, tempDir } from '../lib/own.mjs';

describe('sallyport tunnel', () => {
  let s;
  const dir = tempDir('tun');
  const ca = path.join(dir, 'ca.pem'), der = path.join(dir, 'ca.der');
  const cli = (...args) => run(BIN, ['tunnel', ...args], { env: { ...process.env, ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
  const good = async (...args) => { const r = await cli(...args); assert.equal(r.code, 0, r.err); return r; };
  before(async () => {
    s = await startServer();
    const made = await run('openssl', ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-subj', '/CN=x', '-days', '30', '-addext', 'keyUsage=critical,keyCertSign', '-keyout', path.join(dir, 'ca.key'), '-out', ca]);
    assert.equal(made.code, 0, made.err);
    assert.equal((await run('openssl', ['x509', '-in', ca, '-outform', 'DER', '-out', der])).code, 0);
  });
  after(() => s?.stop());

  test('from nothing to a tunnel with a certificate and a token', async () => {
    const made = await good('create', '--name', 'office');
    const id = made.out.trim();
    assert.match(id, /^tnl_\w+$/, 'the id alone, for a script');
    assert.match(made.err, new RegExp(`its domain is t-\\w+\\.tunnel\\.localhost; .*\\n.*sallyport tunnel cert add ${id} CA\\.pem`));
    assert.match((await good('list')).out, new RegExp(`^${id} +t-\\w+\\.tunnel\\.localhost office$`, 'm'));
    assert.match((await good('show', id)).out, /office/);
    assert.match((await good('cert', 'list', id)).err, /no certificates: the tunnel carries nothing/);
    const cert = (await good('cert', 'add', id, ca)).out;
    assert.match(cert, /^tcrt_\w+ +[0-9a-f]{64} until \d{4}-\d\d-\d\d\n$/);
    assert.equal((await good('cert', 'list', id)).out, cert);
    const token = await good('token', 'show', id);
    assert.match(token.out, /^sk-sp-tun-[0-9a-f]{64}\n$/);
    assert.equal(token.err, '', 'redirected into a file, it is all there is');
    const next = await good('token', 'rotate', id, '--reason', 'a laptop was lost');
    assert.notEqual(next.out, token.out);
    assert.equal((await good('token', 'show', id)).out, next.out);
    const gone = await good('cert', 'archive', id, cert.split(' ')[0]);
    assert.match(gone.out, /is archived/);
    assert.match((await good('cert', 'list', id, '--all')).out, /\(archived\)/);
  });

  test('archiving wants to be meant', async () => {
    const id = (await good('create')).out.trim();
    const r = await cli('archive', id);
    assert.equal(r.code, 2);
    assert.match(r.err, /cannot be undone.*--yes/);
    assert.doesNotMatch((await good('show', id)).out, /archived/);
    assert.match((await good('archive', id, '--yes')).out, new RegExp(`${id} is archived`));
    assert.doesNotMatch((await good('list')).out, new RegExp(id));
    assert.match((await good('list', '--all')).out, new RegExp(`${id} .*\\(archived\\)`));
    const token = await cli('token', 'show', id);
    assert.equal(token.code, 1);
    assert.match(token.err, /is archived/);
  });

  test('a list of more than a page is whole', async () => {
    for (let i = 0; i < 105; i++) await s.client().beta.tunnels.create({ display_name: `n${i}` });
    const out = (await good('list')).out;
    for (let i = 0; i < 105; i++) assert.match(out, new RegExp(` n${i}$`, 'm'));
    const pages = (await good('list', '--json')).out.trim().split('\n').map((l) => JSON.parse(l));
    assert(pages.length >= 2 && pages.flatMap((p) => p.data).length >= 105);
  });

  for (const [what, args, code, words] of [
    ['no verb', [], 2, /create/],
    ['an id that is none', ['show', 'a/../b'], 2, /an id is letters/],
    ['a file that is not there', ['cert', 'add', 'tnl_01x', '/nonexistent.pem'], 1, /there is no file/],
    ['a directory', ['cert', 'add', 'tnl_01x', '/'], 2, /no regular file/],
    ['DER', ['cert', 'add', 'tnl_01x', der], 2, /may be in DER; openssl x509 -inform DER/],
    ['a tunnel that is not there', ['cert', 'add', 'tnl_01x', ca], 1, /Tunnel tnl_01x not found/],
    ['a key', ['cert', 'add', 'tnl_01x', path.join(dir, 'ca.key')], 1, /private key/i],
  ]) test(`told wrong: ${what}`, async () => {
    const r = await cli(...args);
    assert.equal(r.code, code, r.err);
    assert.match(r.err, words);
    assert.equal(r.out, '');
  });

  test('names of others do not drive the terminal', async () => {
    await s.client().beta.tunnels.create({ display_name: 'evil\u001b[31m\u0007name' });
    const out = (await good('list')).out;
    assert.match(out, /evil/);
    assert(!out.includes('\u001b') && !out.includes('\u0007'));
  });
});
