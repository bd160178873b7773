// What an earlier run has left in a writable bind is hostile input to the next one: links, pipes, a link where a
// directory was. Every case is made by a first run, as the program in the sandbox makes it.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, ms, run, tempDir } from '../lib/own.mjs';

const isRoot = process.getuid() === 0;
const ORDINARY = 65321;

for (const uid of isRoot ? [0, ORDINARY] : [process.getuid()]) {
  describe(`after a hostile run, uid ${uid}`, () => {
    const top = tempDir('hostile');
    const program = path.join(top, 'sallyport');
    fs.copyFileSync(BIN, program);
    fs.chmodSync(program, 0o755);
    const own = (p) => { if (isRoot) fs.chownSync(p, uid, uid); return p; };
    own(top);
    const victim = path.join(top, 'victim');
    fs.writeFileSync(victim, 'of the host\n');
    own(victim);
    const home = own((fs.mkdirSync(path.join(top, 'home')), path.join(top, 'home')));
    fs.writeFileSync(path.join(home, 'key'), 'a key of the host\n');
    own(path.join(home, 'key'));

    let n = 0;
    /** A project, and what a run does in it. */
    const after = async (script) => {
      const dir = own((fs.mkdirSync(path.join(top, `p${++n}`)), path.join(top, `p${n}`)));
      const r = await exec(['--bind', `${dir}:/w:rw`, '--workdir', '/w', '--', 'sh', '-ec', script]);
      assert.equal(r.code, 0, r.err);
      return dir;
    };
    const exec = (args) => {
      const argv = [program, 'exec', ...args];
      const [cmd, ...rest] = isRoot && uid ? ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--', ...argv] : argv;
      return run(cmd, rest, { timeout: ms(20000), cwd: top });
    };

    for (const [what, script, sentence] of [
      ['a link to a file of the host', `ln -s ${victim} report`, /report is a link that leads away from its directory.*name the place itself, .*\/victim/],
      ['a relative one', 'ln -s ../victim report', /report is a link/],
      ['one to a file below', 'touch other; ln -s other report', /report is a link/],
      ['one that dangles', `ln -s ${top}/new report`, /report is a link/],
      ['a pipe', 'mkfifo report', /report is (a named pipe, )?not a file/],
      ['a socket', 'python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\'report\')"', /report is not a file/],
      ['a directory', 'mkdir report', /report is a directory, not a file/],
    ])
      test(`--json is ${what}: refused, nothing is run`, async () => {
        const dir = await after(script);
        const r = await exec(['--json', path.join(dir, 'report'), '--', 'echo', 'ran']);
        assert.equal(r.code, 125);
        assert.match(r.err, /^sallyport exec: --json \//);
        assert.match(r.err, sentence);
        assert.equal(r.out, '');
        assert.equal(fs.readFileSync(victim, 'utf8'), 'of the host\n');
        assert(!fs.existsSync(path.join(top, 'new')));
      });

    test('--json below a directory that has become a link is refused', async () => {
      const dir = await after(`ln -s ${home} logs`);
      const r = await exec(['--json', path.join(dir, 'logs/report'), '--', 'true']);
      assert.equal(r.code, 125);
      assert.deepEqual(fs.readdirSync(home), ['key']);
    });

    test('--json of a file is written, also over an older report', async () => {
      const dir = await after('printf "%2000s" x >report');
      const r = await exec(['--json', path.join(dir, 'report'), '--', 'sh', '-c', 'exit 3']);
      assert.equal(r.code, 3, r.err);
      assert.equal(JSON.parse(fs.readFileSync(path.join(dir, 'report'), 'utf8')).exit_code, 3);
    });

    test('--json takes what the shell has opened', async () => {
      const argv = [program, 'exec', '--json', '/dev/fd/3', '--', 'true'];
      const r = await run('bash', ['-c', '"$@" 3>&1 >/dev/null | cat', 'bash', ...(isRoot && uid ? ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'] : []), ...argv], { timeout: ms(20000) });
      assert.equal(JSON.parse(r.out).exit_code, 0, r.err);
    });

    for (const [what, script, bind, sentence] of [
      ['a directory', `ln -s ${home} sub`, 'sub', /sub is a link .*name the place itself, .*\/home/],
      ['a directory above it', `ln -s ${top} sub`, 'sub/home', /sub is a link/],
      ['a file', `ln -s ${home}/key sub`, 'sub', /sub is a link/],
      ['a directory, by a chain', 'ln -s b a; ln -s ../home b', 'a', /is a link/],
    ])
      test(`--bind of ${what} that is a link now shows nothing else`, async () => {
        const dir = await after(script);
        for (const mode of ['', ':rw']) {
          const r = await exec(['--bind', `${dir}/${bind}:/s${mode}`, '--', 'sh', '-c', 'cat /s/key /s']);
          assert.equal(r.code, 125);
          assert.match(r.err, sentence);
          assert(!r.out.includes('a key'));
        }
      });

    test('a link that stays below is followed for reading', async () => {
      const dir = await after('mkdir -p releases/42; echo here >releases/42/f; ln -s releases/42 current');
      const r = await exec(['--bind', `${dir}/current:/s`, '--', 'cat', '/s/f']);
      assert.equal(r.out, 'here\n', r.err);
      assert.match((await exec(['--bind', `${dir}/current:/s:rw`, '--', 'true'])).err, /is a link/);
    });

    test('--bind of a pipe or a socket is refused', async () => {
      const dir = await after('mkfifo pipe');
      const r = await exec(['--bind', `${dir}/pipe:/s`, '--', 'true']);
      assert.equal(r.code, 125);
      assert.match(r.err, /neither a directory nor a regular file/);
    });

    test('--config is a pipe, or a link that leads away', async () => {
      const dir = await after(`mkfifo pipe; ln -s ${home}/key link; echo 'memory: 64M' >good`);
      assert.match((await exec(['--config', `${dir}/pipe`, '--', 'true'])).err, /pipe is a named pipe, not a file/);
      assert.match((await exec(['--config', `${dir}/link`, '--', 'true'])).err, /link is a link/);
      assert.equal((await exec(['--config', `${dir}/good`, '--', 'true'])).code, 0);
    });

    test('--rootfs that is a link is refused', async () => {
      const dir = await after('ln -s / root');
      assert.match((await exec(['--rootfs', `${dir}/root`, '--', 'true'])).err, /--rootfs .*root is a link/);
    });
  });
}
