// The boundary in a root file system of its own: an imported image of busybox and curl, whose bundle of certificates is its own, and
// one that has none. What is trusted inside lies above the image; its files stay as they were.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { SECRET, authority, boundary, credential, holdsNo, nameServer, origin, rule } from '../lib/egress.mjs';
import { inside } from '../lib/inside.mjs';
import { BIN, forEverybody, ms, run, tempDir } from '../lib/own.mjs';

const ca = authority(), theirs = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const ROOT = process.getuid() === 0;
const USER = 4711;
const BUNDLE = 'etc/ssl/certs/ca-certificates.crt';
const data = tempDir('images');
const bundle = fs.readFileSync(theirs.file, 'latin1');

/** The image `name`: busybox, bash and curl with their libraries; with a bundle of its own, or without any. */
async function imported(name, pem) {
  const tree = tempDir('image'), put = (from, to) => { fs.mkdirSync(path.dirname(path.join(tree, to)), { recursive: true }); fs.copyFileSync(from, path.join(tree, to)); };
  const which = (p) => execFileSync('sh', ['-c', `command -v ${p}`], { encoding: 'utf8' }).trim();
  put(which('busybox'), 'bin/busybox');
  for (const p of ['bash', 'curl']) {
    put(which(p), `bin/${p}`);
    for (const [, lib] of execFileSync('ldd', [which(p)], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)) put(fs.realpathSync(lib), lib);
  }
  for (const a of ['sh', 'cat']) fs.symlinkSync('busybox', path.join(tree, 'bin', a));
  fs.mkdirSync(path.join(tree, 'etc'));
  fs.writeFileSync(path.join(tree, 'etc/os-release'), 'ID=tiny\n');
  if (pem) { fs.mkdirSync(path.join(tree, path.dirname(BUNDLE)), { recursive: true }); fs.writeFileSync(path.join(tree, BUNDLE), pem); }
  execFileSync('tar', ['-C', tree, '-cf', `${tree}.tar`, '.']);
  const r = await run(BIN, ['rootfs', 'import', `${tree}.tar`, '--data', data, '--name', name], { timeout: ms(60000) });
  fs.unlinkSync(`${tree}.tar`);
  assert.equal(r.code, 0, r.err);
}
const treeOf = (name) => path.join(data, 'rootfs', name, 'rootfs');

/** All that lies in an image, with what is in the small files. */
const listing = (name) => fs.readdirSync(treeOf(name), { recursive: true }).sort().map((f) => {
  const p = path.join(treeOf(name), f), st = fs.lstatSync(p);
  return [f, st.mode, st.ino, st.mtimeMs, st.size, st.isFile() && st.size < 1 << 20 ? crypto.createHash('sha256').update(fs.readFileSync(p)).digest('hex') : ''].join(' ');
});

before(async () => {
  await imported('own', bundle);
  await imported('bare', null);
});

/** What a shell of the image does, no variable helping: whose files these are, a request, another that is refused, what is trusted. */
const script = (port) => `unset SSL_CERT_FILE; cat /etc/os-release; curl -sS https://api.test:${port}/image -H "Authorization: Bearer $TOKEN"; curl -sS -o /dev/null -w 'denied=%{http_code}\\n' https://other.test/
  echo "ph=$TOKEN"; echo '<<<'; cat /${BUNDLE}; echo '>>>'`;

function judge(name, o, out) {
  holdsNo('what came out', SECRET, out);
  assert.match(out, /^ID=tiny$/m, 'this is the image');
  assert.match(out, /^denied=403$/m);
  assert.deepEqual(o.seen.map((r) => [r.url, r.headers.authorization]), [['/image', `Bearer ${SECRET}`]], out);
  const [, placeholder] = /^ph=(sp_ph_\w{32})$/m.exec(out);
  assert.ok(out.includes(`"authorization":"Bearer ${placeholder}"`), 'the echo is the placeholder again');
  const [, text] = /<<<\n([^]*)>>>/.exec(out);
  const own = name === 'own' ? bundle : '';
  assert.ok(text.startsWith(own), 'what the image trusts it trusts still');
  assert.match(text.slice(own.length), /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n+$/, 'and one more');
}

for (const name of ['own', 'bare']) {
  const what = name === 'own' ? 'an image with a bundle' : 'an image without one';
  describe(what, { concurrency: 4 }, () => {
    const setUp = async () => {
      const o = await origin({ tls });
      return { o, b: boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] }), was: listing(name) };
    };
    const unchanged = (was) => {
      assert.deepEqual(listing(name), was);
      if (name === 'own') assert.equal(fs.readFileSync(path.join(treeOf(name), BUNDLE), 'latin1'), bundle);
      else assert.ok(!fs.existsSync(path.join(treeOf(name), BUNDLE)));
    };

    test('exec', async () => {
      const { o, b, was } = await setUp();
      judge(name, o, await b.ok(script(o.port), { args: ['--data', data, '--rootfs', name], timeout: ms(60000) }));
      unchanged(was);
    });

    for (const [engine, args] of Object.entries({ native: [], ...(ROOT ? { crun: ['--isolation', 'oci', '--oci-runtime', 'crun'] } : {}) })) {
      test(`a worker's tool under ${engine}`, async () => {
        const { o, b, was } = await setUp();
        const i = await inside({ workerArgs: [...args, '--rootfs', treeOf(name), '--egress', b.file, '--audit', b.audit] });
        try {
          const x = await i.session();
          judge(name, o, await i.sh(x, script(o.port)));
          await x.close();
        } finally { await i.stop(); }
        unchanged(was);
      });
    }

    // Run by root, the test becomes somebody else; run by somebody else, the rows above are this one.
    test('exec of an ordinary user', { skip: !ROOT && 'the rows above are those of an ordinary user' }, async () => {
      const { o, b } = await setUp();
      const home = tempDir('home');
      const give = (d) => { fs.chownSync(d, USER, USER); for (const f of fs.readdirSync(d)) fs.chownSync(path.join(d, f), USER, USER); };
      fs.cpSync(treeOf(name), path.join(home, 'tree'), { recursive: true, verbatimSymlinks: true });
      execFileSync('chown', ['-R', `${USER}:${USER}`, home]);
      [b.dir, path.dirname(b.policy.credentials[0].source.file)].forEach(give);
      fs.chmodSync(ca.dir, 0o755);
      const as = ['--reuid', USER, '--regid', USER, '--clear-groups', forEverybody(BIN)].map(String);
      const r = await run('setpriv', [...as, ...b.argv(['--rootfs', path.join(home, 'tree')]), '--', 'sh', '-c', script(o.port)], { timeout: ms(60000), cwd: home, env: { HOME: home } });
      assert.equal(r.code, 0, r.out + r.err);
      judge(name, o, r.out);
      const kept = path.join(home, 'tree', BUNDLE);
      assert.equal(fs.existsSync(kept) ? fs.readFileSync(kept, 'latin1') : null, name === 'own' ? bundle : null);
    });
  });
}
