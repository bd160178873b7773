// Programs of the host that listen below a bound directory, and a command in a sandbox that knocks: tmux, which
// runs commands for its clients, and ssh-agent, which signs. As root and as an ordinary user.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, end, ms, run, start, tempDir, until } from '../lib/own.mjs';

const isRoot = process.getuid() === 0;
const ORDINARY = 65534;

for (const uid of isRoot ? [0, ORDINARY] : [process.getuid()]) {
  describe(`doors of the host, ${uid === 0 ? 'as root' : 'as an ordinary user'}`, { concurrency: false }, () => {
    const as = (argv) => (uid && isRoot ? ['setpriv', '--reuid', uid, '--regid', uid, '--clear-groups', ...argv] : argv).map(String);
    let dir, bin, agent;
    const host = (argv, opts) => { const [c, ...a] = as(argv); return run(c, a, { cwd: dir, env: { PATH: process.env.PATH, HOME: dir, TERM: 'xterm', SHELL: '/bin/sh' }, ...opts }); };
    const inside = (...args) => host([bin, 'exec', ...args], { timeout: ms(60000) });
    before(async () => {
      dir = tempDir('doors');
      bin = path.join(dir, 'sallyport');
      fs.copyFileSync(BIN, bin);
      fs.chmodSync(bin, 0o755);
      fs.chmodSync(dir, 0o755);
      if (isRoot) fs.chownSync(dir, uid, uid);
      const made = await host(['tmux', '-f', '/dev/null', '-S', 'tmux.sock', 'new-session', '-d', 'sleep 3000']);
      assert.equal(made.code, 0, made.err);
      const [c, ...a] = as(['ssh-agent', '-D', '-a', path.join(dir, 'agent.sock')]);
      agent = start(c, a);
      await until('the agent listens', () => fs.existsSync(path.join(dir, 'agent.sock')));
      assert.equal((await host(['tmux', '-S', 'tmux.sock', 'has-session'])).code, 0, 'there is a server');
    });
    after(async () => { await host(['tmux', '-S', 'tmux.sock', 'kill-server']); await end(agent); });

    for (const how of ['.', '.:rw', '.:/workspace/p', '.:/workspace/p:rw'])
      test(`--bind ${how}: neither tmux nor the agent answers`, async () => {
        const at = how.includes('/p') ? '/workspace/p' : dir;
        const r = await inside('--network', 'none', '--bind', how, '--workdir', at, '--', 'sh', '-c',
          "tmux -S ./tmux.sock run-shell 'id >out' 2>&1; echo $?; SSH_AUTH_SOCK=./agent.sock ssh-add -l 2>&1; echo $?");
        assert.match(r.out, /^error connecting to .\/tmux.sock \(Permission denied\)\n1\nError connecting to agent: Permission denied\n2\n$/, r.out + r.err);
        assert(!fs.existsSync(path.join(dir, 'out')), 'nothing has run on the host');
        assert.equal((await host(['tmux', '-S', 'tmux.sock', 'has-session'])).code, 0, 'the server is still there, and its socket');
      });

    test('--socket: the one that is named answers, and no other', async () => {
      const r = await inside('--bind', '.', '--socket', 'agent.sock:/run/agent', '--', 'python3', '-c', `import socket
for p in ('/run/agent', 'agent.sock', 'tmux.sock'):
  try: socket.socket(socket.AF_UNIX).connect(p); print('in')
  except OSError as e: print(e.strerror)`);
      assert.equal(r.out, 'in\nPermission denied\nPermission denied\n', r.err);
      // The agent serves its own user. As root a sandbox is another one.
      if (uid) assert.match((await inside('--socket', 'agent.sock', '--', 'env', `SSH_AUTH_SOCK=${dir}/agent.sock`, 'ssh-add', '-l')).out, /no identities/);
    });

    test('what is no socket, or no file, is refused in words', async () => {
      assert.match((await inside('--socket', '.', '--', 'true')).err, /--socket \.: \.: this is not a Unix socket/);
      assert.match((await inside('--bind', 'tmux.sock', '--', 'true')).err, /this is a Unix socket.*--socket tmux\.sock/);
    });

    test('the same servers inside, for their own', async () => {
      const r = await inside('--', 'sh', '-c', `cd /tmp && tmux -f /dev/null -S /tmp/t new-session -d 'sleep 100' && tmux -S t has-session && echo tmux
eval "$(ssh-agent -a /workspace/a)" >/dev/null; ssh-add -l
mkdir -m 700 /tmp/g; GNUPGHOME=/tmp/g gpg-agent --daemon >/dev/null 2>&1; GNUPGHOME=/tmp/g gpg-connect-agent 'GETINFO version' /bye | tail -1`);
      assert.equal(r.out, 'tmux\nThe agent has no identities.\nOK\n', r.err);
    });

    test('a report counts who was refused', async () => {
      const json = path.join(dir, 'report.json');
      await inside('--json', json, '--bind', '.', '--', 'tmux', '-S', 'tmux.sock', 'ls');
      const report = JSON.parse(fs.readFileSync(json, 'utf8'));
      fs.rmSync(json);
      assert(report.denied.calls.some((c) => c.call === 'connect' && c.count >= 1), JSON.stringify(report.denied));
    });
  });
}
