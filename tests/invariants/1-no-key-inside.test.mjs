// Invariant 1. No key inside: no real credential is ever present in a sandbox: not in memory,
// environment, argv, files, inherited descriptors or /proc. The search runs inside, with everything
// an attacker there has (perl, which every Debian has, reads /proc/*/mem). Every search also has to
// find a key that was planted on purpose: a search that finds nothing at all would prove nothing.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { inside } from '../lib/inside.mjs';

// The expression does not match its own text.
const KEY = 'sk-(?:sp-(?:api|env|req)|ant)-[A-Za-z0-9_-]{16,}';
const ERE = KEY.replaceAll('?:', '');
// Put together inside, so that the planted key is in no command line of the test itself.
const PLANT = 'sk-sp-env-'; const TAIL = 'PLANTED0123456789abcdef';

describe('invariant 1: no key inside', () => {
  let i, x, secrets;
  before(async () => {
    i = await inside({ workerEnv: { AWS_SECRET_ACCESS_KEY: 'sk-ant-operator-secret-0123456789abcdef', GITHUB_TOKEN: 'sk-ant-operator-token-0123456789abcdef' } });
    x = await i.session();
    secrets = { 'API key': i.s.apiKey, 'environment key': i.key };
    await i.sh(x, 'echo warm');
  });
  after(async () => { await x?.close(); await i?.stop(); });

  const clean = (out, what) => {
    for (const [name, v] of Object.entries(secrets)) assert(!out.includes(v), `${what}: the ${name} is inside`);
    const found = [...out.matchAll(new RegExp(KEY, 'g'))].map((m) => m[0]).filter((k) => !k.endsWith(TAIL));
    assert.deepEqual(found, [], what);
  };

  test('environment and arguments of every process', async () => {
    const out = await i.sh(x, `export PLANTED=${PLANT}""${TAIL}; env; for p in /proc/[0-9]*; do echo "== $p"; tr '\\0' '\\n' < $p/environ 2>&1; tr '\\0' ' ' < $p/cmdline; done; sh -c 'env | grep ^PLANTED='`);
    assert(out.includes(PLANT + TAIL), 'the search finds what is there');
    clean(out, 'environment');
    assert(!/AWS_SECRET|GITHUB_TOKEN|ANTHROPIC_/.test(out), 'nothing of the worker\'s environment');
    assert.match(out, /== \/proc\/1\n/);
  });

  test('every readable file outside /usr', async () => {
    const out = await i.sh(x, `mkdir -p /tmp/p; echo ${PLANT}""${TAIL} > /tmp/p/planted; grep -raoshE '${ERE}' /tmp /workspace /etc /dev/shm /run /var /home /root /opt /srv /mnt 2>/dev/null; ls -laR /workspace /tmp /dev 2>&1 | head -100; rm -r /tmp/p`);
    assert(out.includes(PLANT + TAIL), 'the search finds what is there');
    clean(out, 'files');
  });

  test('memory of every process that can be read', async () => {
    const perl = String.raw`
use strict; my $re = qr/sk-(?:sp-(?:api|env|req)|ant)-[A-Za-z0-9_-]{16,}/; my %hit; my ($procs, $bytes) = (0, 0);
my $plant = join("", "sk-sp", "-env-", "PLANTED0123456789abcdef");
for my $p (glob("/proc/[0-9]*")) {
  open(my $maps, "<", "$p/maps") or do { print "unreadable maps $p\n"; next };
  open(my $mem, "<", "$p/mem") or do { print "unreadable mem $p\n"; next };
  binmode $mem; $procs++;
  while (<$maps>) {
    next unless /^([0-9a-f]+)-([0-9a-f]+) r/; my ($a, $b) = (hex $1, hex $2);
    next if $b - $a > 64 << 20 or /vvar|vsyscall/;
    sysseek($mem, $a, 0) or next; my $buf = ""; my $left = $b - $a;
    while ($left > 0) { my $n = sysread($mem, my $c, $left > 1 << 20 ? 1 << 20 : $left) or last; $left -= $n; $bytes += $n; $buf = substr($buf, -200) . $c; $hit{$1}{$p} = 1 while $buf =~ /($re)/g; }
  }
}
print "scanned $procs processes, $bytes bytes\n"; print "hit $_ in @{[sort keys %{$hit{$_}}]}\n" for sort keys %hit;`;
    await i.call(x, 'write', { file_path: 'scan.pl', content: perl });
    const out = await i.sh(x, 'perl scan.pl; rm scan.pl', 50000);
    const m = out.match(/scanned (\d+) processes, (\d+) bytes/);
    assert(m, out);
    assert(Number(m[1]) >= 1 && Number(m[2]) > 1e6, out);
    assert(out.includes(PLANT + TAIL), `the search finds what is there: ${out}`);
    clean(out, 'memory');
  });

  test('inherited descriptors lead nowhere', async () => {
    const out = await i.sh(x, 'for p in /proc/[0-9]*; do echo "== $p $(tr "\\0" " " < $p/cmdline)"; ls -l $p/fd 2>&1 | sed -n "s/.*-> //p"; done');
    for (const line of out.split('\n')) {
      if (line.startsWith('==') || !line) continue;
      assert.match(line, /^(pipe:|anon_inode:|\/dev\/(null|pts|tty|ptmx)|socket:|\/proc\/\d+\/fd|\/workspace|\/proc$|\/tmp|\/memfd:| ?\(deleted\)|eventpoll|.*permission)/i, `a descriptor of the sandbox: ${line}`);
    }
    // The shell that runs untrusted code has no socket at all.
    const own = await i.sh(x, 'ls -l /proc/$$/fd /proc/self/fd | grep -c socket; true');
    assert.equal(own.trim(), '0');
  });

  test('the worker\'s own processes cannot be seen or read from inside', async () => {
    const out = await i.sh(x, 'ls -d /proc/[0-9]* | wc -l; cat /proc/*/status | grep ^Name | sort | uniq -c');
    assert(Number(out.split('\n')[0]) < 12, out);
    assert(!/node|worker|server/.test(out.replace(/sallyport-init/g, '')) || !/worker|server/.test(out), out);
    const uid = await i.sh(x, 'id -u; id -G; grep -E "^(Cap(Eff|Prm|Bnd|Amb|Inh)|NoNewPrivs|Seccomp):" /proc/self/status');
    assert.match(uid, /^1000\n1000\n/);
    for (const c of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(uid, new RegExp(`${c}:\\s+0000000000000000`), uid);
    assert.match(uid, /NoNewPrivs:\s+1/);
    assert.match(uid, /Seccomp:\s+2/);
  });

  test('host files with keys are out of reach', async () => {
    const keyFile = `${i.w.dir}/env.key`;
    assert(fs.readFileSync(keyFile, 'utf8').includes(i.key), 'it is there on the host');
    const out = await i.sh(x, `cat ${keyFile} ${i.s.data}/* /proc/1/root${keyFile} /proc/1/cwd/env.key /proc/self/root/..${keyFile} 2>&1; ls / `);
    clean(out, 'host files');
    for (const tool of ['read', 'grep']) {
      const r = await i.call(x, tool, tool === 'read' ? { file_path: keyFile } : { pattern: 'sk-sp', path: keyFile });
      clean(r.out, tool);
      assert.equal(r.is_error, true, tool);
    }
    await i.sh(x, `ln -s ${keyFile} link; ln -s /proc/1/root/ rootlink`);
    clean((await i.call(x, 'read', { file_path: 'link' })).out, 'through a link');
    clean((await i.call(x, 'read', { file_path: `rootlink${keyFile}` })).out, 'through /proc');
  });
});
