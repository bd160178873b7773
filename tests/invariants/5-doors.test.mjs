// Invariant 5, with doors open (docs/internals/sandbox.md, "Doors"): a sandbox has listening sockets that are
// held outside, and nothing else leads out. The whole escape suite must hold as it does without doors; then
// what only doors could open: datagrams, ICMP, raw and packet sockets, and a place beside a door. Doors that
// the zygote has opened and those of init's own: the first sandbox of a zygote comes before anything is made
// ahead, the later ones after.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { descendants, until } from '../lib/own.mjs';
import { Bridge, isRoot, listProbes, ORDINARY, probeOurs, Stage } from './no_way_out/drive.mjs';

const PROBES = listProbes();
const DOORS = [{ kind: 'tcp', port: 80 }, { kind: 'tcp', port: 443 }, { kind: 'tcp', port: 3128, address: '127.0.0.1' }, { kind: 'udp', port: 53, address: '127.0.0.1' },
  { kind: 'tcp', port: 53, address: '127.0.0.1' }, { kind: 'tcp', port: 5432, address: '198.18.0.9' }, { kind: 'tcp', port: 8443 }];
const SOCKETS = 10; // those at any address are two
const ABSENT = ['run_setuid', 'int80', 'x32', 'io_ports']; // as in no_way_out.test.mjs

const CONFIGS = [];
for (const host of isRoot ? ['root', 'ordinary'] : ['ordinary']) for (const user of ['agent', 'root']) CONFIGS.push({ host, user, uid: host === 'root' ? 0 : ORDINARY });

for (const { host, user, uid } of CONFIGS) {
  describe(`doors: worker is ${host}, inside is ${user}`, { concurrency: false }, () => {
    let stage, bridge, first, box, got, seen;
    before(async () => {
      stage = await Stage.create(uid);
      await stage.reachable();
      bridge = await Bridge.start(stage, uid);
      await stage.ready();
      const network = (pid) => fs.readlinkSync(`/proc/${pid}/ns/net`);
      const own = network(bridge.zygote);
      first = await bridge.open({ user, doors: DOORS });
      // The next is born in a network made ahead, in which the zygote sits then.
      await until('a network made ahead', () => ![own, network(first.pid)].includes(network(bridge.zygote)));
      ({ box, byName: got } = await probeOurs(stage, bridge, user, { doors: DOORS }));
      seen = stage.look();
    });
    after(async () => { await bridge?.stop().catch(() => {}); await stage?.stop(); });

    test('every attempt to get out fails as it does without doors', () => {
      for (const p of PROBES.rows) {
        const r = got.get(p.name);
        if (r?.verdict === 'n/a') { assert(ABSENT.includes(p.name), `${p.name}: ${r.got}`); continue; }
        if (r?.verdict === 'host') continue; // decided by the next two
        assert.equal(r?.verdict, 'held', `${p.name}. Tried: ${p.tried}. Got: ${r?.got}`);
      }
      assert.equal(seen, stage.before, 'files, settings and the process next door are as before');
      assert.deepEqual(stage.hits, [], 'nobody has come to the host');
    });

    test('both have their doors, and no process inside holds one', { skip: !isRoot && 'only root may read them' }, () => {
      for (const b of [first, box]) {
        assert.equal(b.doors, SOCKETS);
        for (const pid of [b.pid, ...descendants(b.pid)]) {
          const sockets = fs.readdirSync(`/proc/${pid}/fd`).filter((n) => fs.statSync(`/proc/${pid}/fd/${n}`).isSocket());
          assert.equal(sockets.length, pid === b.pid ? 1 : 0, `process ${pid}`); // init's channel
        }
      }
    });

    test('a door can be reached, so the following refusals mean something', async () => {
      for (const b of [first, box]) for (const [a, p] of [['198.18.7.7', 443], ['127.0.0.1', 80], ['fd73:616c:6c79::7', 8443], ['198.18.0.9', 5432]])
        assert.match((await b.sh(`exec 3<>/dev/tcp/${a}/${p}; echo "code $?"; exec 3>&-`)).out, /code 0/, `${a} ${p}`);
    });

    test('A10: no datagram, ping, raw or packet socket gets anywhere', async () => {
      for (const b of [first, box]) {
        const out = (await b.sh(String.raw`perl -MSocket=:all -e '
          sub to { my ($f,$t,$p,$a,$port)=@_; socket(my $s,$f,$t,$p) or return "refused: $!"; my $to = $f==AF_INET ? sockaddr_in($port,inet_aton($a)) : sockaddr_in6($port,inet_pton(AF_INET6,$a)); return send($s,"x"x16,0,$to) ? "SENT" : "refused: $!" }
          for my $a ("192.0.2.1","10.0.0.1","169.254.169.254","198.20.0.1","224.0.0.1","255.255.255.255","${stage.address}") { for my $port (53,123,443) { print "udp $a $port ", to(AF_INET,SOCK_DGRAM,0,$a,$port), "\n" } print "ping $a ", to(AF_INET,SOCK_DGRAM,1,$a,0), "\n" }
          for my $a ("2001:db8::1","fd73:616c:6c79:1::1","ff02::1") { print "udp $a ", to(AF_INET6,SOCK_DGRAM,0,$a,53), "\n"; print "ping $a ", to(AF_INET6,SOCK_DGRAM,58,$a,0), "\n" }
          for ([2,3,1,"raw icmp"],[2,3,17,"raw udp"],[2,3,255,"raw ip"],[10,3,58,"raw icmp6"],[17,3,768,"packet"],[17,2,768,"packet dgram"],[2,5,132,"sctp"],[2,2,136,"udplite"],[40,1,0,"vsock"]) { my ($f,$t,$p,$n)=@$_; print "$n ", (socket(my $s,$f,$t,$p) ? "OPEN" : "refused: $!"), "\n" }'; echo end`)).out;
        // udplite is a datagram like others: it may be made, and gets nowhere.
        const bad = out.split('\n').filter((l) => /SENT|OPEN/.test(l) && !/^udplite/.test(l) && !/^(udp|ping) ff02::1 /.test(l));
        assert.deepEqual(bad, []);
        assert.match(out, /^raw icmp refused[\s\S]*^packet refused[\s\S]*^end/m, out);
        assert(out.split('\n').filter((l) => /^(udp|ping) .* refused/.test(l)).length >= 30, out);
      }
      assert.deepEqual(stage.hits, []);
    });

    test('nobody stands beside a door', async () => {
      for (const b of [first, box]) {
        const out = (await b.sh(String.raw`perl -MSocket=:all -e '
          for (["0.0.0.0",8443],["127.0.0.1",8443],["198.18.0.1",8443],["198.18.0.9",5432],["0.0.0.0",5432],["127.0.0.1",3128],["0.0.0.0",3128],["127.0.0.1",443],["127.0.0.1",80],["127.0.0.1",53]) { my ($a,$p)=@$_;
            socket(my $s,AF_INET,SOCK_STREAM,0); setsockopt($s,SOL_SOCKET,SO_REUSEADDR,1); setsockopt($s,SOL_SOCKET,15,1); # SO_REUSEPORT
            print "$a $p ", (bind($s,sockaddr_in($p,inet_aton($a))) && listen($s,1) ? "BOUND" : "refused: $!"), "\n" }
          socket(my $u,AF_INET,SOCK_DGRAM,0); setsockopt($u,SOL_SOCKET,SO_REUSEADDR,1); setsockopt($u,SOL_SOCKET,15,1); print "dns ", (bind($u,sockaddr_in(53,inet_aton("127.0.0.1"))) ? "BOUND" : "refused: $!"), "\n";
          socket(my $o,AF_INET,SOCK_STREAM,0); print "own ", (bind($o,sockaddr_in(5432,inet_aton("127.0.0.1"))) && listen($o,1) ? "bound" : "REFUSED: $!"), "\n"'`)).out;
        assert(!/BOUND|REFUSED/.test(out), out);
        assert.match(out, /^own bound/m);
        assert.equal(out.match(/refused/g).length, 11);
      }
    });

    test('routes and interfaces stay as they are', async () => {
      const out = (await box.sh('ip link set lo down 2>&1; ip route add default dev lo 2>&1; ip route del local 198.18.0.0/15 dev lo table local 2>&1; ip addr add 192.0.2.1/32 dev lo 2>&1; tail -n +3 /proc/net/dev | cut -d: -f1; tail -n +2 /proc/net/route; exec 3<>/dev/tcp/198.18.9.9/443 && echo open')).out;
      assert.match(out, /\n\s*lo\nopen\s*$/, out);
    });

    test('two sandboxes with doors do not reach each other', async () => {
      const here = await first.sh('(perl -MSocket=:all -e \'socket(S,AF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(7777,INADDR_ANY)); listen(S,1); sleep 600\' >/dev/null 2>&1 &); for i in $(seq 500); do (exec 3<>/dev/tcp/198.18.4.4/7777) 2>/dev/null && echo here && break; sleep 0.01; done');
      assert.match(here.out, /here/);
      assert.match((await box.sh('exec 3<>/dev/tcp/198.18.4.4/7777; echo "code $?"')).out, /code [1-9]/);
    });
  });
}
