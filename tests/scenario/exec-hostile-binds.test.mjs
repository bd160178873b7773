// What an earlier run has left in a writable bind is hostile input to the next one: links, pipes, a link where a
// directory was. Every case is made by a first run, as the program in the sandbox makes it.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, ms, run, start, tempDir, until } from '../lib/own.mjs';

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
    /** The same for what a sandbox of today cannot make in a bind, but an older one or another program can. */
    const left = async (script) => {
      const dir = await after('true');
      const r = await run('sh', ['-ec', script], { cwd: dir });
      assert.equal(r.code, 0, r.err);
      if (isRoot) await run('chown', ['-Rh', `${uid}:${uid}`, dir]);
      return dir;
    };
    /** The command and its arguments, by that user. */
    const as = (argv) => {
      const [cmd, ...rest] = isRoot && uid ? ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--', ...argv] : argv;
      return [cmd, rest];
    };
    const exec = (args) => run(...as([program, 'exec', ...args]), { timeout: ms(20000), cwd: top });

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
        const dir = await (/pipe|socket/.test(what) ? left : after)(script);
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
      const dir = await left('mkfifo pipe');
      const r = await exec(['--bind', `${dir}/pipe:/s`, '--', 'true']);
      assert.equal(r.code, 125);
      assert.match(r.err, /neither a directory nor a regular file/);
    });

    test('--config is a pipe, or a link that leads away', async () => {
      const dir = await left(`mkfifo pipe; ln -s ${home}/key link; echo 'memory: 64M' >good`);
      assert.match((await exec(['--config', `${dir}/pipe`, '--', 'true'])).err, /pipe is a named pipe, not a file/);
      assert.match((await exec(['--config', `${dir}/link`, '--', 'true'])).err, /link is a link/);
      assert.equal((await exec(['--config', `${dir}/good`, '--', 'true'])).code, 0);
    });

    describe('what programs of the host act on', () => {
      const WHO = ['NAME', 'EMAIL'].flatMap((k) => ['AUTHOR', 'COMMITTER'].flatMap((w) => ['--env', `GIT_${w}_${k}=a@example.com`]));
      /** A repository of the user's, made on the host. */
      const project = async () => {
        const dir = await after('true');
        const r = await run('bash', ['-ec', 'git init -q .; mkdir -p .git/hooks .vscode sub/.idea lib/x; echo {} >.vscode/tasks.json; echo a >.bashrc; ln -s lib/x .husky; echo one >f'], { cwd: dir });
        assert.equal(r.code, 0, r.err);
        if (isRoot) await run('chown', ['-R', `${uid}:${uid}`, dir]);
        return dir;
      };
      const inside = (dir, script, mode = 'rw') => exec([...WHO, '--bind', `${dir}:/w:${mode}`, '--workdir', '/w', '--', 'bash', '-c', script]);

      test('is read-only, and cannot be moved away', async () => {
        const dir = await project();
        const before = fs.readFileSync(path.join(dir, '.git/config'), 'utf8');
        for (const script of ['echo e >.git/hooks/pre-commit', 'echo e >>.git/config', 'git config core.fsmonitor ./e', 'mv .git .g', 'mv .git/hooks .git/h', 'mv .git/config .git/c', 'rm .git/config',
          'rm -r .git/hooks', 'ln -sf /e .git/config', 'echo e >.bashrc', 'rm .bashrc', 'mv .bashrc b', 'ln -sf lib .bashrc', 'echo e >.vscode/tasks.json', 'rm -r .vscode', 'mv .vscode v', 'echo e >sub/.idea/e', 'echo e >lib/x/pre-commit',
          'ln f lib/l; mv -T lib/l .bashrc', 'chmod 777 .git/config', 'touch -d 2001-01-01 .bashrc']) {
          const r = await inside(dir, `${script} && echo worked`);
          assert.equal(r.out, '', `${script}: ${r.err}`);
        }
        assert.equal(fs.readFileSync(path.join(dir, '.git/config'), 'utf8'), before);
        assert.deepEqual(fs.readdirSync(path.join(dir, '.git/hooks')).filter((f) => !/sample$/.test(f)), []);
        assert.equal(fs.readFileSync(path.join(dir, '.bashrc'), 'utf8'), 'a\n');
        assert.deepEqual(fs.readdirSync(dir).sort(), ['.bashrc', '.git', '.husky', '.vscode', 'f', 'lib', 'sub']);
      });

      test('git works: commit, branch, stash, merge, rebase, gc', async () => {
        const dir = await project();
        const r = await inside(dir, 'set -e; git add -A; git commit -qm one; git checkout -qb b; echo two >f; git commit -qam two; echo x >>f; git stash -q; git stash pop -q; git commit -qam three; git checkout -q -; git merge -q b; git checkout -qb c HEAD~1; echo y >g; git add g; git commit -qm four; git rebase -q b; git tag t; git gc -q; git fsck >/dev/null; git log --oneline | wc -l; git status --short');
        assert.equal(r.code, 0, r.err);
        assert.equal(r.out.trim(), '4');
      });

      test('what was not there is moved aside at the end, and told', async () => {
        const dir = await project();
        const r = await inside(dir, 'echo e >.mcp.json; mkdir .claude; ln -s /e .envrc; echo ../e >.git/commondir; rm .husky; ln -s sub .husky; mkdir .config; echo fine >.eslintrc');
        assert.equal(r.code, 0, r.err);
        for (const [name, now, how] of [['.mcp.json'], ['.claude'], ['.envrc'], ['.husky', '.husky', 'is not what was there at the beginning: the sandbox has made it, or could write it once somebody had saved it'], ['.git/commondir', 'commondir']]) {
          assert(!fs.existsSync(path.join(dir, name)) && !fs.readdirSync(path.dirname(path.join(dir, name))).includes(path.basename(name)), name);
          assert(r.err.includes(`sallyport exec: ${dir}/${name} ${how ?? 'was made in the sandbox'}, and programs of this host act on it by themselves; it is ${now ?? name}.from-sandbox now; look at it, then to have it back: cp -a '${dir}/${name}.from-sandbox' '${dir}/${name}'\n`), r.err);
        }
        assert(fs.existsSync(path.join(dir, '.eslintrc')) && fs.existsSync(path.join(dir, '.config')));
      });

      test('and so is what the host has saved anew, which ends its cover', async () => {
        const dir = await project();
        const wait = (name) => `while [ ! -e ${name} ]; do sleep 0.05; done`;
        const running = inside(dir, `touch begun; ${wait('saved')}; echo e >>.bashrc; printf '[alias]\\n\\tx = !e\\n' >>.git/config; rm begun`);
        await until('it runs', () => fs.existsSync(path.join(dir, 'begun')));
        for (const name of ['.bashrc', '.git/config']) {
          fs.copyFileSync(path.join(dir, name), path.join(dir, 'new'));
          if (isRoot && uid) fs.chownSync(path.join(dir, 'new'), uid, uid);
          fs.renameSync(path.join(dir, 'new'), path.join(dir, name));
        }
        fs.writeFileSync(path.join(dir, 'saved'), '');
        const r = await running;
        assert.equal(r.code, 0, r.err);
        for (const name of ['.bashrc', '.git/config']) {
          assert(!fs.existsSync(path.join(dir, name)), name);
          assert(fs.existsSync(path.join(dir, `${name}.from-sandbox`)), r.err);
        }
      });

      test('further down, too, where the host has saved anew', async () => {
        const dir = await project();
        const made = await run('bash', ['-ec', `mkdir -p sub/.vscode; echo {} >sub/.vscode/tasks.json; echo a >sub/.envrc; mkdir -p dot; echo a >dot/rc; ln -s dot/rc .zshrc; for r in a b; do git init -q sub/$r; done; git init -q $'sub/x\\x1b[2Jy'`], { cwd: dir });
        assert.equal(made.code, 0, made.err);
        if (isRoot) await run('chown', ['-Rh', `${uid}:${uid}`, dir]);
        const running = inside(dir, `touch begun; while [ ! -e saved ]; do sleep 0.05; done; for f in sub/.envrc dot/rc; do echo e >>$f; done; for r in a $'x\\x1b[2Jy'; do printf '[alias]\n\tx = !e\n' >>sub/$r/.git/config; done
          (echo e >sub/.vscode/tasks.json) 2>/dev/null && echo open; (echo e >>sub/.git/hooks/x) 2>/dev/null && echo open; rm begun`);
        await until('it runs', () => fs.existsSync(path.join(dir, 'begun')));
        const host = await run(...as(['bash', '-ec', `for f in sub/.envrc dot/rc sub/.vscode/tasks.json; do cp $f new; mv new $f; done; for r in a b $'x\\x1b[2Jy'; do git config --file sub/$r/.git/config user.name me; done; touch saved`]), { cwd: dir });
        assert.equal(host.code, 0, host.err);
        const r = await running;
        assert.equal(r.code, 0, r.err);
        assert.equal(r.out, '');
        for (const name of ['sub/.envrc', 'dot/rc', 'sub/a/.git/config']) {
          const aside = path.join(dir, `${name}.from-sandbox`);
          assert(!fs.existsSync(path.join(dir, name)) && fs.existsSync(aside), `${name}: ${r.err}`);
          assert(r.err.includes(`sallyport exec: ${dir}/${name} is not what was there at the beginning: the sandbox has made it, or could write it once somebody had saved it, and programs of this host act on it by themselves; it is ${path.basename(name)}.from-sandbox now; `), r.err);
          const back = r.err.split('\n').find((l) => l.includes(`${dir}/${name} is`)).match(/to have it back: (.*)$/)[1];
          assert.equal((await run('sh', ['-c', back])).code, 0, back);
          assert.equal(fs.readFileSync(path.join(dir, name), 'utf8'), fs.readFileSync(aside, 'utf8'));
        }
        /* Its name is the sandbox's, and does not drive the terminal. */
        assert(!fs.existsSync(path.join(dir, 'sub/x\x1b[2Jy/.git/config')));
        assert(!r.err.includes('\x1b') && r.err.includes('[2Jy/.git/config is not'), r.err);
        /* What is plain stays, and so does what is still covered. */
        assert.match(fs.readFileSync(path.join(dir, 'sub/b/.git/config'), 'utf8'), /name = me/);
        assert.equal(fs.readFileSync(path.join(dir, 'sub/.vscode/tasks.json'), 'utf8'), '{}\n');
      });

      test('however many there are, and each is told', async () => {
        const dir = await after('true');
        const names = Array.from({ length: 600 }, (_, i) => `d${i}`);
        for (const n of names) {
          fs.mkdirSync(path.join(dir, n));
          fs.writeFileSync(path.join(dir, n, '.envrc'), 'a\n');
        }
        if (isRoot) await run('chown', ['-R', `${uid}:${uid}`, dir]);
        const running = inside(dir, 'touch begun; while [ ! -e saved ]; do sleep 0.05; done');
        await until('it runs', () => fs.existsSync(path.join(dir, 'begun')));
        for (const n of names) {
          fs.writeFileSync(path.join(dir, n, 'new'), 'b\n');
          fs.renameSync(path.join(dir, n, 'new'), path.join(dir, n, '.envrc'));
        }
        fs.writeFileSync(path.join(dir, 'saved'), '');
        const r = await running;
        assert.equal(r.code, 0, r.err);
        for (const n of names)
          assert(!fs.existsSync(path.join(dir, n, '.envrc')) && fs.existsSync(path.join(dir, n, '.envrc.from-sandbox')), n);
        assert.equal(r.err.split('\n').filter((l) => l.includes('.envrc.from-sandbox now')).length, names.length);
      });

      test('whatever the sandbox has done to the directory that it lies in', async () => {
        const dir = await project();
        for (const name of ['gone', 'link', 'shut', 'sticky']) {
          fs.mkdirSync(path.join(dir, name));
          fs.writeFileSync(path.join(dir, name, '.envrc'), 'a\n');
        }
        if (isRoot) await run('chown', ['-R', `${uid}:${uid}`, dir]);
        const running = inside(dir, `touch begun; while [ ! -e saved ]; do sleep 0.05; done; for f in */.envrc; do echo e >>$f; done; mv gone g; mkdir gone; cp g/.envrc gone; mv link l; ln -s l link; ln -s ../l .config; chmod 0 shut; chmod 1777 sticky`);
        await until('it runs', () => fs.existsSync(path.join(dir, 'begun')));
        const host = await run(...as(['bash', '-ec', 'for f in */.envrc; do cp $f new; mv new $f; done; touch saved']), { cwd: dir });
        assert.equal(host.code, 0, host.err);
        const r = await running;
        assert.equal(r.code, 0, r.err);
        fs.chmodSync(path.join(dir, 'shut'), 0o755);
        for (const name of ['gone/.envrc', 'shut/.envrc', 'sticky/.envrc', 'link', '.config']) {
          assert.throws(() => fs.lstatSync(path.join(dir, name)), { code: 'ENOENT' }, `${name}: ${r.err}`);
          assert(fs.lstatSync(path.join(dir, `${name}.from-sandbox`)), name);
        }
      });

      test('and also when sallyport is killed', async () => {
        const dir = await project();
        const argv = [program, 'exec', '--bind', `${dir}:/w:rw`, '--workdir', '/w', '--', 'sh', '-c', 'echo e >.mcp.json; echo made; sleep 1000'];
        const p = start(...as(argv));
        await until('the file', () => fs.existsSync(path.join(dir, '.mcp.json')));
        process.kill(p.pid, 'SIGKILL');
        await until('it is moved', () => fs.existsSync(path.join(dir, '.mcp.json.from-sandbox')));
        assert(!fs.existsSync(path.join(dir, '.mcp.json')));
      });

      test('a repository made inside stays, its hooks do not', async () => {
        const dir = await after('git init -q . && git config user.name a 2>/dev/null; true');
        assert(fs.existsSync(path.join(dir, '.git/config')));
        const evil = await after('git init -q . && mkdir -p .git/hooks && echo e >.git/hooks/post-checkout && git config core.fsmonitor ./e');
        assert(!fs.existsSync(path.join(evil, '.git/hooks')) && fs.existsSync(path.join(evil, '.git/hooks.from-sandbox/post-checkout')));
        assert(!fs.existsSync(path.join(evil, '.git/config')));
      });

      test(':rw-all opens it, and a bind of the place itself does', async () => {
        const dir = await project();
        const r = await inside(dir, 'set -e; echo e >.git/hooks/pre-commit; git config a.b c; echo e >.bashrc; echo e >.mcp.json; mv .vscode v', 'rw-all');
        assert.equal(r.code, 0, r.err);
        assert.equal(r.err, '');
        assert(fs.existsSync(path.join(dir, '.mcp.json')) && fs.existsSync(path.join(dir, '.git/hooks/pre-commit')));
        /* Within a bind that is guarded, too: what it opens is neither covered nor moved aside. */
        const sub = await run(...as(['sh', '-ec', 'git init -q sub/r; echo a >sub/.envrc']), { cwd: dir });
        assert.equal(sub.code, 0, sub.err);
        const within = await exec(['--bind', `${dir}:/w:rw`, '--bind', `${dir}/sub:/w/sub:rw-all`, '--workdir', '/w', '--', 'sh', '-ec', 'git config --file sub/r/.git/config a.b c; mv sub/.envrc x; echo b >sub/.envrc; mv sub/r/.git sub/g; echo e >sub/g/hooks/pre-commit; ! git config --file sub/../.git/config d.e f 2>/dev/null']);
        assert.equal(within.code, 0, within.err);
        assert.equal(within.err, '');
        assert.deepEqual(fs.readdirSync(path.join(dir, 'sub')).sort(), ['.envrc', '.idea', 'g', 'r']);
        const one = await exec(['--bind', `${dir}:/w:rw`, '--bind', `${dir}/v:/w/v:rw`, '--bind', `${dir}/.bashrc:/w/.bashrc:rw`, '--', 'sh', '-c', 'echo x >/w/v/x && echo y >/w/.bashrc']);
        assert.equal(one.code, 0, one.err);
        assert.equal(fs.readFileSync(path.join(dir, '.bashrc'), 'utf8'), 'y\n');
      });
    });

    /* An ordinary user's sandbox can set the bit only where that user is the owner. */
    if (isRoot && !uid) test('what is new is moved aside, also where only the owner of a directory may do so', async () => {
      const dir = await after('mkdir sub; echo a >sub/.envrc');
      await run('chown', ['-R', `${ORDINARY}:${ORDINARY}`, dir]);
      const running = exec(['--bind', `${dir}:/w:rw`, '--workdir', '/w', '--', 'sh', '-ec', 'echo e >.envrc; touch begun; while [ ! -e saved ]; do sleep 0.05; done; chmod 1755 . sub']);
      await until('it runs', () => fs.existsSync(path.join(dir, 'begun')));
      const host = await run('setpriv', ['--reuid', String(ORDINARY), '--regid', String(ORDINARY), '--clear-groups', '--', 'sh', '-ec', 'cp sub/.envrc new; mv new sub/.envrc; touch saved'], { cwd: dir });
      assert.equal(host.code, 0, host.err);
      const r = await running;
      assert.equal(r.code, 0, r.err);
      for (const name of ['.envrc', 'sub/.envrc'])
        assert(!fs.existsSync(path.join(dir, name)) && fs.existsSync(path.join(dir, `${name}.from-sandbox`)), r.err);
    });

    /* A file system on which what was only read changes its birth when it is written: a project in an image's layer. */
    if (isRoot && !uid) test('a repository on an overlay that was written in is the same one', async () => {
      const dir = await after('true');
      const r = await run('unshare', ['-m', 'sh', '-ec', `mount -t tmpfs none . && cd $PWD && mkdir lower upper work all && chmod 777 upper && cd lower && mkdir -p .git/hooks sub/.git && for g in .git sub/.git; do printf '[alias]\n\tx = y\n' >$g/config; done && chmod -R a+rwX . && cd .. &&
        mount -t overlay none -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work all && ${program} exec --bind $PWD/all:/w:rw --workdir /w -- sh -ec 'echo 1 >.git/index; echo 1 >sub/.git/index' && ls all/.git all/sub/.git`], { cwd: dir });
      assert.equal(r.code, 0, r.err);
      assert.equal(r.err, '');
      assert.equal(r.out, 'all/.git:\nconfig\nhooks\nindex\n\nall/sub/.git:\nconfig\nindex\n');
    });

    test('--rootfs that is a link is refused', async () => {
      const dir = await after('ln -s / root');
      assert.match((await exec(['--rootfs', `${dir}/root`, '--', 'true'])).err, /--rootfs .*root is a link/);
    });
  });
}
