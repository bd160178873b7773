// `sallyport tunnel`, as a person uses it: what goes to which output, what is said of mistakes.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { startServer } from '../lib/sallyport.mjs';
import { BIN, run, tempDir } from '../lib/own.mjs';

describe('sallyport tunnel', () => {
  let s;
  const dir = tempDir('tun');
  const ca = path.join(dir, 'ca.pem'), [der, utf16, bom, link] = ['ca.der', 'utf16.pem', 'bom.pem', 'link.pem'].map((f) => path.join(dir, f));
  const cli = (...args) => run(BIN, ['tunnel', ...args], { env: { ...process.env, ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
  const good = async (...args) => { const r = await cli(...args); assert.equal(r.code, 0, r.err); return r; };
  before(async () => {
    s = await startServer();
    const made = await run('openssl', ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-subj', '/CN=x', '-days', '30', '-addext', 'keyUsage=critical,keyCertSign', '-keyout', path.join(dir, 'ca.key'), '-out', ca]);
    assert.equal(made.code, 0, made.err);
    assert.equal((await run('openssl', ['x509', '-in', ca, '-outform', 'DER', '-out', der])).code, 0);
    const pem = fs.readFileSync(ca, 'utf8');
    fs.writeFileSync(utf16, Buffer.from(`\ufeff${pem}`, 'utf16le'));
    fs.writeFileSync(bom, `\ufeff${pem}`);
    fs.symlinkSync(ca, link);
  });
  after(() => s?.stop());

  test('from nothing to a tunnel with a certificate and a token', async () => {
    const made = await good('create', '--name', 'office');
    const id = made.out.trim();
    assert.match(id, /^tnl_\w+$/, 'the id alone, for a script');
    assert.match(made.err, new RegExp(`its domain is t-\\w+\\.tunnel\\.localhost; .*\\n.*sallyport tunnel cert add ${id} CA\\.pem`));
    assert.match((await good('list')).out, new RegExp(`^${id} +t-\\w+\\.tunnel\\.localhost office$`, 'm'));
    assert.match((await good('show', id)).out, /^id +tnl_\w+\ndomain +t-\w+\.tunnel\.localhost\nname +office\nmade +\d{4}-\d\d-\d\dT\S+\narchived +-\ncertificate +none: it carries nothing\n$/);
    assert.match((await good('cert', 'list', id)).err, /no certificates: the tunnel carries nothing/);
    const cert = (await good('cert', 'add', id, ca)).out;
    assert.match(cert, /^tcrt_\w+ +[0-9a-f]{64} until \d{4}-\d\d-\d\d\n$/);
    assert.equal((await good('cert', 'list', id)).out, cert);
    assert.equal((await good('cert', 'show', id, cert.split(' ')[0])).out, cert);
    assert((await good('show', id)).out.endsWith(`certificate  ${cert}`));
    const token = await good('token', 'show', id);
    assert.match(token.out, /^sk-sp-tun-[0-9a-f]{64}\n$/);
    assert.equal(token.err, '', 'redirected into a file, it is all there is');
    const next = await good('token', 'rotate', id, '--reason', 'a laptop was lost');
    assert.notEqual(next.out, token.out);
    assert.equal((await good('token', 'show', id)).out, next.out);
    const killed = await good('token', 'rotate', id, '--kill');
    assert.match(killed.out, /^sk-sp-tun-[0-9a-f]{64}\n$/, 'the token alone, for a file');
    assert.equal(killed.err, '0 connections ended\n');
    assert.equal((await good('disconnect', id)).err, '0 connections ended\n');
    const gone = await good('cert', 'archive', id, cert.split(' ')[0]);
    assert.match(gone.out, /is archived/);
    assert.match((await good('cert', 'list', id, '--all')).out, /\(archived\)/);
  });

  test('archiving wants to be meant', async () => {
    const id = (await good('create')).out.trim();
    const r = await cli('archive', id);
    assert.equal(r.code, 2);
    assert.match(r.err, /cannot be undone.*--yes/);
    assert.match((await good('show', id)).out, /^archived +-$/m);
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
    assert(JSON.parse((await good('list', '--json')).out).data.length >= 105, 'one document');
  });

  for (const [what, args, code, words] of [
    ['no verb', [], 2, /create/],
    ['an id that is none', ['show', 'a/../b'], 2, /"a\/\.\.\/b" is no id, which is letters/],
    ['a file that is not there', ['cert', 'add', 'tnl_01x', '/nonexistent.pem'], 2, /cannot read \/nonexistent\.pem: /],
    ['a directory', ['cert', 'add', 'tnl_01x', '/'], 2, /cannot read \/: /],
    ['DER', ['cert', 'add', 'tnl_01x', der], 2, /openssl x509 -inform DER/],
    ['UTF-16', ['cert', 'add', 'tnl_01x', utf16], 2, /is text in UTF-16/],
    ['a byte order mark', ['cert', 'add', 'tnl_01x', bom], 2, /byte order mark/],
    ['without end', ['cert', 'add', 'tnl_01x', '/dev/zero'], 2, /far too large/],
    ['a tunnel that is not there', ['cert', 'add', 'tnl_01x', ca], 1, /Tunnel tnl_01x not found/],
  ]) test(`told wrong: ${what}`, async () => {
    const r = await cli(...args);
    assert.equal(r.code, code, r.err);
    assert.match(r.err, words);
    assert.equal(r.out, '');
  });

  test('a private key is not sent', async () => {
    const seen = [];
    const there = http.createServer((req, res) => { seen.push(req.url); res.end('{}'); });
    await new Promise((ok) => there.listen(0, '127.0.0.1', ok));
    const both = path.join(dir, 'both.pem');
    fs.writeFileSync(both, fs.readFileSync(ca, 'utf8') + fs.readFileSync(path.join(dir, 'ca.key'), 'utf8'));
    const add = (file) => run(BIN, ['tunnel', 'cert', 'add', 'tnl_01x', file], { env: { ...process.env, ANTHROPIC_BASE_URL: `http://127.0.0.1:${there.address().port}`, ANTHROPIC_API_KEY: s.apiKey } });
    try {
      for (const file of [path.join(dir, 'ca.key'), both]) {
        const r = await add(file);
        assert.equal(r.code, 2);
        assert.match(r.err, /holds a private key, which nobody else needs; nothing was sent/);
      }
      assert.deepEqual(seen, []);
      await add(ca);
      assert.equal(seen.length, 1, 'the certificate is');
    } finally { there.close(); }
  });

  test('a certificate may come through a link, or on standard input', async () => {
    for (const words of [[`"$0" tunnel cert add "$1" ${link}`], [`cat ${ca} | "$0" tunnel cert add "$1" -`]]) {
      const id = (await good('create')).out.trim();
      const r = await run('sh', ['-c', ...words, BIN, id], { env: { ...process.env, ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
      assert.equal(r.code, 0, r.err);
      assert.match(r.out, /^tcrt_/);
    }
  });

  test('what cannot be written is told: a token is not lost without a word', async () => {
    const id = (await good('create')).out.trim();
    for (const verb of ['token show', 'show', 'list --json']) {
      const r = await run('sh', ['-c', `"$0" tunnel ${verb} ${verb.startsWith('list') ? '' : '"$1"'} >/dev/full`, BIN, id], { env: { ...process.env, ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey } });
      assert.equal(r.code, 1, verb);
      assert.match(r.err, /^sallyport: cannot write standard output: No space left on device$/m);
    }
    // The reader is gone before anything is written, and the signal that would end the writer is ignored.
    const gone = await run('bash', ['-c', `trap '' PIPE; { sleep 0.5; "$0" --help; echo "code $?" >&2; } | true`, BIN]);
    assert.match(gone.err, /^code 1$/m);
    assert.doesNotMatch(gone.err, /cannot write/, 'who has closed a pipe wants no more');
  });

  test('whatever a server answers: words, no escapes, an end', async () => {
    const evil = '\u001b]0;pwn\u0007', row = { id: evil, domain: evil, display_name: evil, fingerprint: evil, expires_at: evil, tunnel_token: evil, created_at: evil };
    let answer;
    const there = http.createServer((req, res) => { res.setHeader('content-type', 'application/json'); res.end(JSON.stringify(answer)); });
    await new Promise((ok) => there.listen(0, '127.0.0.1', ok));
    try {
      for (const verb of [['create'], ['list'], ['show', 'tnl_01x'], ['token', 'show', 'tnl_01x'], ['cert', 'list', 'tnl_01x'], ['cert', 'add', 'tnl_01x', ca], ['archive', 'tnl_01x', '--yes']])
        for (const a of [{}, row, { ...row, data: [row] }, { data: [{}], next_page: 'page_same' }, []]) {
          answer = a;
          const r = await run(BIN, ['tunnel', ...verb], { env: { ...process.env, ANTHROPIC_BASE_URL: `http://127.0.0.1:${there.address().port}`, ANTHROPIC_API_KEY: s.apiKey } });
          const what = `${verb.join(' ')} ${JSON.stringify(a)}: ${r.out}${r.err}`;
          assert([0, 1].includes(r.code), what);
          assert(!/[\u0007\u001b]|\(null\)/.test(r.out + r.err), what);
          if (verb[0] === 'archive') assert.equal(r.code, 1, what);
          if (r.code === 1) assert.match(r.err, /^sallyport tunnel: the server's (answer|list) /, what);
        }
    } finally { there.close(); }
  });

  test('names of others do not drive the terminal', async () => {
    await s.client().beta.tunnels.create({ display_name: 'evil\u001b[31m\u0007name\ntnl_forged row' });
    const out = (await good('list')).out;
    assert.match(out, /evil/);
    assert(!out.includes('\u001b') && !out.includes('\u0007'));
    assert.doesNotMatch(out, /^tnl_forged/m, 'nor make rows');
  });
});
