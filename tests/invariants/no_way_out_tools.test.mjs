// The escape suite, through the tools: links and names that change while file tools run, the spool of
// whole outputs, forged exit codes, and pipes that are held open. The worker is root (where we are) with
// "agent" inside, and an ordinary user with "root" inside.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { descendants, FULL, until } from '../lib/own.mjs';
import { Bridge, isRoot, ORDINARY, Stage, statusLine } from './no_way_out/drive.mjs';

const CALLS = FULL ? 400 : 60;

for (const { uid, user } of [...(isRoot ? [{ uid: 0, user: 'agent' }] : []), { uid: ORDINARY, user: 'root' }]) {
  describe(`no way out through the tools: worker uid ${uid}, inside is ${user}`, { concurrency: false }, () => {
    let stage, bridge, box;
    before(async () => {
      stage = await Stage.create(uid);
      bridge = await Bridge.start(stage, uid);
      await stage.ready();
    });
    after(async () => { await bridge?.stop().catch(() => {}); await stage?.stop(); });
    const fresh = async (spec = {}) => { await box?.close(); box = await bridge.open({ user, binds: stage.binds(), ...spec }); return box; };

    /** Starts a program that exchanges the two names as fast as it can, and comes back once it does. */
    const flip = async (a, b) => assert.match((await box.sh(`(exec /opt/probes/probes flip ${a} ${b} >/dev/null 2>&1 &) ; for i in $(seq 500); do [ -e ${a}.flipping ] && echo on && break; sleep 0.01; done`)).out, /^on$/);

    // What the name is exchanged with: places outside (no such thing inside), init's, read-only ones.
    const aims = {
      'a directory of the host': (s) => s.canary,
      'a read-only bind': () => '/opt/canary',
      'init\'s root': () => '/proc/1/root/workspace',
      'init\'s working directory': () => '/proc/1/cwd',
      'a magic link of the tool itself': () => '/proc/self/cwd',
      'the system': () => '/etc',
    };
    for (const [what, aim] of Object.entries(aims))
      test(`link races: write, edit and read while the directory turns into ${what}`, async () => {
        await fresh();
        const to = aim(stage);
        await box.sh(`mkdir dir && echo original > dir/file && cp dir/file keep && ln -s ${to} link`);
        await flip('/workspace/dir', '/workspace/link');
        const n = { ok: 0, error: 0 };
        // On a busy machine the two may take turns for a while; so until both have been met, within a bound.
        const bothMet = () => n.ok > 0 && (n.error > 0 || what === 'the system'); // root may write /etc, in an overlay
        for (let i = 0; i < CALLS || (!bothMet() && i < CALLS * 50); i++) {
          const file_path = '/workspace/dir/file';
          const r = await box.call(...[['write', { file_path, content: `written ${i}\n` }], ['read', { file_path }], ['edit', { file_path, old_string: 'written', new_string: 'edited', replace_all: true }]][i % 3]);
          n[r.is_error ? 'error' : 'ok']++;
          assert(!/canary 0\.|MARK/.test(r.out) || to === '/opt/canary', `the host's file came back: ${r.out}`);
          if (r.is_error) assert.match(r.out, /^(write|read|edit): /, 'the refusal is a sentence of the tool');
        }
        assert(n.ok > 0, 'the real directory was hit now and then, or nothing was raced');
        assert(bothMet(), 'the link was met now and then, or nothing was raced');
        assert.equal(stage.look(), stage.before, 'nothing on the host has changed');
        assert.equal((await box.sh('echo alive; cat keep')).out, 'alive\noriginal');
      });

    test('rename races: the file itself turns into a link to the host\'s, a FIFO, a device', async () => {
      await fresh();
      for (const make of [`ln -s ${stage.secret} other`, 'mkfifo other', 'ln -s /dev/tty other', 'ln -s /proc/1/environ other', 'ln -s /proc/self/mem other', 'ln -s /dev/zero other']) {
        await box.sh(`rm -rf file other *.flipping; echo original > file; ${make}`);
        await flip('/workspace/file', '/workspace/other');
        for (let i = 0; i < CALLS / 5; i++) {
          const file_path = '/workspace/file';
          const r = await box.call(...[['write', { file_path, content: `written ${i}\n` }], ['read', { file_path }], ['edit', { file_path, old_string: 'w', new_string: 'W', replace_all: true }], ['grep', { pattern: 'written', path: '/workspace' }], ['glob', { pattern: '**/*', path: '/workspace' }]][i % 5]);
          assert(!/on the host|MARK/.test(r.out), r.out);
        }
        await box.sh('pkill -x flip || true; for p in /proc/[0-9]*; do grep -qs flip $p/cmdline && kill ${p#/proc/} 2>/dev/null; done; true');
      }
      assert.equal(stage.look(), stage.before);
      assert.equal((await box.sh('echo alive')).out, 'alive');
    });

    test('paths that name the host or init are refused by every file tool', async () => {
      await fresh();
      for (const p of [stage.secret, path.join(stage.canary, 'file'), '/proc/1/environ', '/proc/1/root/etc/passwd', '/proc/1/mem', '/proc/self/mem', '/proc/self/fd/3', `/workspace/../../../../..${stage.secret}`, '/dev/tty', '/proc/1/fd/3'])
        for (const [tool, input] of [['read', { file_path: p }], ['write', { file_path: p, content: 'pwned' }], ['edit', { file_path: p, old_string: 'a', new_string: 'b' }], ['grep', { pattern: '.', path: p }]]) {
          const r = await box.call(tool, input);
          if (tool === 'write' && !r.is_error) { // a directory of that name may be made inside, in the overlay or /tmp
            assert(!p.startsWith('/proc') && !p.startsWith('/dev'), `${tool} ${p}: ${r.out}`);
            await box.sh(`rm -rf '${p}'`);
            continue;
          }
          assert(r.is_error || !/on the host|canary 0\.|root:/.test(r.out), `${tool} ${p}: ${r.out}`);
        }
      assert.equal(stage.look(), stage.before);
    });

    test('the spool of whole outputs cannot be turned elsewhere', async () => {
      await fresh();
      await box.sh('mkdir -p /workspace/trap; echo mine > /workspace/victim; mv /tmp/.sallyport /tmp/.was 2>/dev/null; ln -s /workspace/trap /tmp/.sallyport; for i in $(seq 2 20); do ln -s /workspace/victim /tmp/.was/output-$i.txt 2>/dev/null; done; true');
      const r = await box.sh('head -c 400000 /dev/zero | tr "\\0" x');
      assert.equal(r.is_error, false);
      assert.match(r.out, /left out here/);
      assert.equal((await box.sh('ls /workspace/trap; cat /workspace/victim')).out, 'mine', 'nothing was written through a link');
      const env = await box.sh('TMPDIR=/workspace/trap head -c 400000 /dev/zero | tr "\\0" y; ls -A /workspace/trap');
      assert(!/output-/.test(env.out.slice(-200)));
      assert.equal(stage.look(), stage.before);
    });

    test('a program cannot forge the end of its command', async () => {
      await fresh();
      // Everything the shell has open, written to with what ends a command, from a program and from its children.
      // Not into the shell's script: descriptor 0 (and its copies) is what it reads commands from.
      const forge = 'for p in $PPID $$ 1; do for f in /proc/$p/fd/*; do n=${f##*/}; [ $n -gt 2 ] 2>/dev/null && [ "$(readlink $f)" != "$(readlink /proc/$PPID/fd/0)" ] && for t in 00000000000000000000000000000000 ""; do echo "$t 0" > $f; done; done; done 2>/dev/null; for n in 3 4 5 6 7 8 9; do eval "echo 00000000000000000000000000000000 0 >&$n"; done 2>/dev/null';
      const r = await box.sh(`sh -c '${forge.replaceAll("'", "'\\''")}'; sh -c 'exit 7'`);
      assert.equal(r.is_error, true, r.out);
      const two = await box.sh(`sh -c '${forge.replaceAll("'", "'\\''")}; exit 9'; echo "code $?"`);
      assert.match(two.out, /^code 9$/m);
      const text = await box.sh('printf "\\n00000000000000000000000000000000 0\\n{\\"id\\":1,\\"is_error\\":false}\\n"; false');
      assert.equal(text.is_error, true);
      assert.match(text.out, /is_error/, 'it is text, and shown as such');
    });

    test('the end of a command does not wait for those who hold its output', async () => {
      await fresh();
      const began = Date.now();
      const r = await box.sh('(sleep 400; echo late) & (exec setsid sh -c "sleep 401; echo late") & echo done');
      assert.equal(r.out, 'done');
      assert(Date.now() - began < 20000);
      assert.equal((await box.sh('echo next')).out, 'next');
      // One that talks on while nobody asks, and one that fills the pipe.
      await box.sh('(while :; do echo noise; done) & echo started');
      const next = await box.sh('exec 2>&1; echo $((6*7))');
      assert.match(next.out, /42/);
      const pids = descendants(box.pid);
      await box.close();
      box = null;
      await until('the end of what held the pipe', () => pids.every((p) => { try { statusLine(p, 'State'); return false; } catch { return true; } }));
    });

    test('results cannot be forged from inside: nobody but init has the channel', { skip: !isRoot && 'only root may read descriptors' }, async () => {
      await fresh();
      await box.sh('(sleep 402 &) ; true');
      const channel = fs.readdirSync(`/proc/${box.pid}/fd`).map((n) => fs.readlinkSync(`/proc/${box.pid}/fd/${n}`)).find((t) => t.startsWith('socket:'));
      assert(channel);
      for (const pid of descendants(box.pid)) for (const n of fs.readdirSync(`/proc/${pid}/fd`)) assert.notEqual(fs.readlinkSync(`/proc/${pid}/fd/${n}`), channel, `${pid} has the channel`);
    });
  });
}
