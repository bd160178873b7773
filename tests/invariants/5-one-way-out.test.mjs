// Invariant 5. One way out: a sandbox has no network but sockets held by the egress process. There is
// no egress yet, so there is loopback only and no way out at all.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import os from 'node:os';
import dgram from 'node:dgram';
import { inside } from '../lib/inside.mjs';

describe('invariant 5: no network inside but loopback', () => {
  let i, x;
  before(async () => { i = await inside(); x = await i.session(); });
  after(async () => { await x?.close(); await i?.stop(); });

  test('one interface, lo; no routes beyond it', async () => {
    const out = await i.sh(x, 'tail -n +3 /proc/net/dev | cut -d: -f1; echo routes; tail -n +2 /proc/net/route; echo six; grep -v " lo$" /proc/net/ipv6_route; ls /sys/class/net 2>&1');
    assert.match(out, /^\s*lo\nroutes\nsix\n/);
  });

  test('loopback inside works, so the following refusals mean something', async () => {
    const out = await i.sh(x, String.raw`perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(0,INADDR_LOOPBACK)) or die; listen(S,1); ($p)=sockaddr_in(getsockname(S)); if (!fork) { socket(C,PF_INET,SOCK_STREAM,0); connect(C,sockaddr_in($p,INADDR_LOOPBACK)) or die "no: $!"; syswrite C,"through\n"; exit } accept(A,S); print scalar <A>; wait'`);
    assert.equal(out.trim(), 'through');
  });

  test('the platform, the host and the world are out of reach over TCP and UDP', async () => {
    const hits = [];
    const l = net.createServer((k) => { hits.push('tcp'); k.end('reached'); }).listen(0, '0.0.0.0');
    await new Promise((r) => l.on('listening', r));
    const u = dgram.createSocket('udp4').bind(0, '0.0.0.0');
    u.on('message', () => hits.push('udp'));
    await new Promise((r) => u.on('listening', r));
    const addresses = ['127.0.0.1', ...Object.values(os.networkInterfaces()).flat().filter((a) => a.family === 'IPv4' && !a.internal).map((a) => a.address)];
    try {
      // The same probe from the host does get through.
      assert.equal(await new Promise((r) => net.connect(l.address().port, '127.0.0.1').on('data', (d) => r(String(d)))), 'reached');
      hits.length = 0;
      const targets = [...addresses.map((a) => [a, l.address().port]), ['127.0.0.1', i.s.port], ['198.18.0.1', 80], ['169.254.169.254', 80], ['192.0.2.1', 443]];
      for (const [a, p] of targets) {
        const out = await i.sh(x, `timeout 2 bash -c 'exec 3<>/dev/tcp/${a}/${p} && cat <&3' 2>&1; echo "code $?"; echo x > /dev/udp/${a}/${u.address().port} 2>/dev/null`, 8000);
        assert(!out.includes('reached') && !/code 0/.test(out), `${a}:${p}: ${out}`);
      }
      await new Promise((r) => setTimeout(r, 200));
      assert.deepEqual(hits, []);
    } finally { l.close(); u.close(); }
  });

  test('names do not resolve', async () => {
    assert.match(await i.sh(x, 'getent hosts example.com; echo "code $?"', 15000), /^code [1-9]/);
  });

  test('sockets that go around IP are refused: packet, raw, vsock, netlink beyond routes, foreign Unix sockets', async () => {
    const name = `sallyport-test-${process.pid}`;
    const abs = net.createServer((k) => k.end('reached')).listen(`\0${name}`);
    await new Promise((r) => abs.on('listening', r));
    try {
      // The host reaches it by that name.
      assert.equal(await new Promise((r) => net.connect(`\0${name}`).on('data', (d) => r(String(d)))), 'reached');
      const out = await i.sh(x, String.raw`perl -MSocket -e '
        for ([17,3,"packet"],[17,2,"packet dgram"],[40,1,"vsock"],[2,3,"raw"],[16,3,"netlink audit",9],[16,3,"netlink kobject",15],[38,5,"alg"]) { my ($f,$t,$n,$p)=@$_; print "$n ", (socket(my $s,$f,$t,$p//0) ? "OPEN" : "refused: $!"), "\n" }
        socket(my $u, PF_UNIX, SOCK_STREAM, 0); print "abstract ", (connect($u, pack("S a*", 1, "\0` + name + String.raw`")) ? "CONNECTED" : "refused: $!"), "\n"'`);
      for (const n of ['packet', 'packet dgram', 'vsock', 'raw', 'netlink audit', 'netlink kobject', 'alg', 'abstract']) assert.match(out, new RegExp(`^${n} refused`, 'm'), out);
    } finally { abs.close(); }
  });

  test('a new network namespace, or a way into another, cannot be had', async () => {
    const out = await i.sh(x, 'for a in -n -rn -U -rm; do unshare $a true 2>&1 && echo "unshare $a WORKED"; done; nsenter -t 1 -n true 2>&1 && [ "$(readlink /proc/1/ns/net)" != "$(readlink /proc/self/ns/net)" ] && echo "nsenter WORKED"; echo end');
    assert(!out.includes('WORKED'), out);
    assert.match(out, /end/);
  });

  test('two sandboxes do not see each other', async () => {
    const y = await i.session();
    const port = Number((await i.sh(x, String.raw`perl -MSocket -e 'socket(S,PF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(0,INADDR_ANY)); listen(S,1); ($p)=sockaddr_in(getsockname(S)); $|=1; print "port $p\n"; exit if fork; close STDOUT; close STDERR; sleep 60'`)).match(/port (\d+)/)[1]);
    assert.match(await i.sh(y, `bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}' 2>&1; echo "code $?"`), /code [1-9]/);
    await i.sh(x, 'echo mine > /workspace/secret; echo mine > /tmp/secret; (exec -a findme sleep 99) &');
    assert.match(await i.sh(y, 'cat /workspace/secret /tmp/secret 2>&1 | grep -c mine; cat /proc/*/cmdline | tr "\\0" " " | grep -c findme; echo end'), /^0\n[01]\nend/);
    const seen = await i.sh(y, 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done | grep -c "^findme"; true');
    assert.equal(seen.trim(), '0');
    await y.close();
  });
});
