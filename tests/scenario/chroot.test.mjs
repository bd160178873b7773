// In a chroot nobody makes a sandbox, and everybody says so in the same sentence: a path that is checked there would name another file when
// it is opened from the root of the mount namespace.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { BIN, tempDir } from '../lib/own.mjs';

const sentence = /this process runs in a chroot/;

/** Runs a command in a chroot of its own; `mounted`: into a directory that something is mounted on. */
function inChroot(command, mounted) {
  const dir = tempDir();
  const script = `set -e
    mount --make-rprivate /
    cd "${dir}"
    ${mounted ? `mount --bind "${dir}" "${dir}"; cd "${dir}"` : ''}
    mkdir usr proc dev etc tmp opt root
    for l in bin sbin lib lib64; do ln -s usr/$l $l; done
    echo of the chroot > etc/marker
    cp /etc/ld.so.cache etc/
    cp "${BIN}" opt/sallyport
    mount --rbind /usr usr; mount -t proc proc proc; mount --rbind /dev dev
    exec chroot . /bin/sh -c '${command}'`;
  return spawnSync('unshare', ['--mount', '--pid', '--fork', 'sh', '-c', script], { encoding: 'utf8', timeout: 120000 });
}

for (const mounted of [false, true]) {
  const name = mounted ? 'on a mount' : 'in a directory';
  test(`a chroot ${name} is refused by all`, { skip: process.getuid() !== 0 && 'only root can make one' }, () => {
    const exec = inChroot('/opt/sallyport exec --bind /etc:/x -- cat /x/marker /x/shadow', mounted);
    assert.equal(exec.status, 125, exec.stderr);
    assert.match(exec.stderr, sentence);
    assert.equal(exec.stdout, '');
    const up = inChroot('/opt/sallyport up --listen 127.0.0.1:0 --data /tmp/data', mounted);
    assert.notEqual(up.status, 0);
    assert.match(up.stderr + up.stdout, sentence);
    const doctor = inChroot('/opt/sallyport doctor --data /tmp/data --json', mounted);
    const said = JSON.parse(doctor.stdout);
    assert.match(JSON.stringify(said), sentence);
    assert.doesNotMatch(JSON.stringify(said), /"id":"sandbox"[^}]*"verdict":"ok"/);
  });
}

test('and nobody says it elsewhere', () => {
  const r = spawnSync(BIN, ['exec', '--', 'true'], { encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
});
