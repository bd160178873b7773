// Programs that find their configuration in /etc, in the root assembled from the host: the same inside as outside, read-only, and nothing
// of who and where the host is. A program that is not installed here is counted as skipped.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, run, tempDir } from '../lib/own.mjs';

const exec = (args) => run(BIN, ['exec', ...args]);
const have = (program) => spawnSync('/bin/sh', ['-c', `command -v ${program}`]).status === 0;

// [program, shell text, what it prints]; text that is null: the same as outside
const programs = [
  ['javac', 'printf "class A { public static void main(String[] a) { System.out.println(6 * 7); } }" > /tmp/A.java && javac -d /tmp /tmp/A.java && java -cp /tmp A', /^42\n/],
  ['keytool', 'keytool -list -cacerts -storepass changeit 2>/dev/null | grep -c trustedCertEntry', null],
  ['ant', 'echo "<project default=\'a\'><target name=\'a\'><echo>made</echo></target></project>" > /tmp/build.xml && ant -q -f /tmp/build.xml', /made/],
  ['mvn', 'mvn -v | head -1', /Apache Maven/],
  ['Rscript', 'Rscript -e "cat(mean(1:9))"', /^5/],
  ['php', 'php -m', null],
  ['emacs', 'emacs --batch --eval "(message \\"%s\\" (+ 40 2))" 2>&1', /42/],
  ['fc-match', 'fc-match sans', null],
  ['convert', 'convert -list policy', null],
  ['gs', 'echo "(written) print quit" | gs -q -dNODISPLAY -', /written/],
  ['man', 'man -w man', null],
  ['gdb', 'gdb -batch -ex "print 6 * 7"', /= 42/],
  ['dpkg', 'dpkg -s bash | head -2', null],
  ['vim', 'vim -es -u /etc/vim/vimrc -c "set number? | q" && echo well', /well/],
  ['perl', 'perl -e "print 6 * 7"', /^42/],
  ['python3', 'python3 -c "import ssl, mimetypes; print(len(ssl.create_default_context().get_ca_certs()), mimetypes.guess_type(\'a.svg\'))"', null],
  ['openssl', 'openssl version -d && ls "$(openssl version -d | cut -d\\" -f2)"/certs | wc -l', null],
  ['awk', 'realpath $(command -v awk) && awk "BEGIN { print 6 * 7 }"', null],
];

describe('programs find their configuration', { concurrency: 2 }, () => {
  for (const [program, text, want] of programs) {
    // A stand-in of the name that only says so (some machines have one for convert) is not the program.
    const outside = have(program) && spawnSync('/bin/sh', ['-c', text], { encoding: 'utf8' });
    test(program, { skip: (!outside && 'not installed') || (outside.status !== 0 && 'does not run outside either') }, async () => {
      const r = await exec(['--', '/bin/sh', '-c', text]);
      assert.equal(r.code, 0, r.err);
      if (want) return assert.match(r.out, want);
      assert.equal(r.out, outside.stdout);
    });
  }
});

test('what is in /etc inside is readable by everybody outside, and nothing says who works there', async () => {
  const r = await exec(['--', 'find', '/etc', '-type', 'f']);
  assert.equal(r.code, 0, r.err);
  const made = new Set(['passwd', 'group', 'hosts', 'hostname', 'resolv.conf', 'nsswitch.conf', 'shells', 'machine-id'].map((n) => `/etc/${n}`));
  const files = r.out.trim().split('\n').filter((f) => !made.has(f));
  assert.ok(files.length > 20, r.out);
  for (const f of files) assert.ok(fs.statSync(f).mode & 0o004, f);
  const users = fs.readFileSync('/etc/passwd', 'utf8').split('\n').map((l) => l.split(':')).filter((l) => Number(l[2]) >= 1000 && Number(l[2]) < 60000).map((l) => l[0]);
  const inside = await exec(['--', 'cut', '-d:', '-f1', '/etc/passwd']);
  for (const u of users) assert.ok(!inside.out.split('\n').includes(u), u);
});

test('a directory of the host is bound below /etc, and libc keeps its own', async () => {
  const dir = tempDir();
  fs.writeFileSync(path.join(dir, 'conf'), 'of the site\n');
  fs.chmodSync(dir, 0o755);
  const r = await exec(['--bind', `${dir}:/etc/site/app`, '--', 'sh', '-c', 'cat /etc/site/app/conf; ls -d /etc/alternatives; touch /etc/x 2>&1']);
  assert.match(r.out, /^of the site\n\/etc\/alternatives\n.*Read-only file system/);
  for (const target of ['/etc', '/etc/passwd', '/etc/ld.so.conf.d/x', '/etc/resolv.conf']) {
    const no = await exec(['--bind', `${dir}:${target}`, '--', 'true']);
    assert.equal(no.code, 125);
    assert.match(no.err, new RegExp(`bind target ${target}: `));
  }
});
