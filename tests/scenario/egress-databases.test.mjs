// psql and redis-cli behind the boundary, with real servers: a rule that names a port, and nothing else inside. Neither is HTTP, and of
// TLS we see nothing: PostgreSQL asks for it in words of its own, Redis begins with it. What passes must be the origin's, byte for byte.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { authority, boundary, nameServer, rule, scripts } from '../lib/egress.mjs';
import { ms, start, tempDir, until } from '../lib/own.mjs';

const ca = authority();
const SLOW = ms(120000);
/** An address of this run's own, so that a server of somebody else's on 127.0.0.1 is not in the way. */
const HERE = `127.${crypto.randomInt(1, 255)}.${crypto.randomInt(1, 255)}.${crypto.randomInt(1, 255)}`;
const dns = await nameServer({ 'db.test': HERE, 'cache.test': HERE, 'private.test': HERE });
const PASSWORD = crypto.randomBytes(9).toString('hex');
const certificate = ca.issue(['db.test', 'cache.test']);

const freePort = () => new Promise((ok, no) => { const s = net.createServer().once('error', no).listen(0, HERE, () => { const { port } = s.address(); s.close(() => ok(port)); }); });
/** Servers that refuse to be root are somebody else; what they read is theirs. */
const nobody = process.getuid() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
function give(...files) {
  for (const f of files) if (nobody.length > 0) fs.chownSync(f, 65534, 65534);
}
/** The servers' certificate and key in a directory. */
function keys(dir) {
  const key = path.join(dir, 'server.key'), cert = path.join(dir, 'server.pem');
  fs.writeFileSync(key, certificate.key, { mode: 0o600 });
  fs.writeFileSync(cert, certificate.cert);
  return { key, cert };
}
/** A directory to be shown inside, with the authority that signed the servers' certificates. */
const shown = () => { const dir = scripts({}); fs.copyFileSync(ca.file, path.join(dir, 'ca.pem')); return ['--bind', `${dir}:/s`]; };

/** A PostgreSQL of the distribution with one user, who logs in with SCRAM, over TLS or not. */
async function postgres() {
  const versions = fs.existsSync('/usr/lib/postgresql') ? fs.readdirSync('/usr/lib/postgresql').filter((v) => /^\d+$/.test(v)).sort((a, b) => b - a) : [];
  const bin = (name) => (versions.length > 0 ? `/usr/lib/postgresql/${versions[0]}/bin/${name}` : name);
  const dir = tempDir('pg'), data = path.join(dir, 'data'), word = path.join(dir, 'word');
  fs.mkdirSync(data, { mode: 0o700 });
  fs.writeFileSync(word, PASSWORD, { mode: 0o600 });
  give(dir, data, word);
  const [cmd, ...first] = [...nobody, bin('initdb')];
  execFileSync(cmd, [...first, '-D', data, '-U', 'me', '-A', 'scram-sha-256', '--pwfile', word, '--no-sync', '-E', 'UTF8', '--locale', 'C'], { stdio: ['ignore', 'pipe', 'pipe'], cwd: dir });
  const { key, cert } = keys(dir);
  give(key, cert);
  const port = await freePort();
  const set = { listen_addresses: HERE, port, unix_socket_directories: dir, fsync: 'off', shared_buffers: '16MB', max_connections: 20, ssl: 'on', ssl_cert_file: cert, ssl_key_file: key };
  fs.appendFileSync(path.join(data, 'pg_hba.conf'), 'host all all 127.0.0.0/8 scram-sha-256\n');
  const [run, ...args] = [...nobody, bin('postgres'), '-D', data, ...Object.entries(set).flatMap(([k, v]) => ['-c', `${k}=${v}`])];
  const p = start(run, args, { cwd: dir });
  await p.line(/database system is ready to accept connections/, ms(60000));
  return port;
}

/** A Redis of the distribution. Its server is the program that redis-tools brings under another name. */
async function redis() {
  const dir = tempDir('redis');
  const { key, cert } = keys(dir);
  const port = await freePort(), secure = await freePort();
  const args = ['--port', port, '--tls-port', secure, '--bind', HERE, '--protected-mode', 'no', '--save', '', '--dir', dir, '--requirepass', PASSWORD,
    '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca.file, '--tls-auth-clients', 'no'];
  const p = start('bash', ['-c', 'exec -a redis-server redis-check-rdb "$@"', 'bash', ...args.map(String)], { cwd: dir });
  await p.line(/Ready to accept connections/, ms(30000));
  return { port, secure };
}

const pg = await postgres();
const kv = await redis();
const behind = (host, ...ports) => boundary({ ca, dns, allow: ports.map((p) => rule(host, p)), args: shown() });
const sha = (text) => crypto.createHash('sha256').update(text).digest('hex');

for (const mode of ['disable', 'prefer', 'require', 'verify-full']) {
  test(`psql with sslmode=${mode}: a query, a large answer, COPY in both directions`, async () => {
    const b = behind('db.test', pg);
    const tls = mode !== 'disable';
    const table = `t_${mode.replace('-', '_')}`;
    const more = mode === 'verify-full' ? ' sslrootcert=/s/ca.pem channel_binding=require' : '';
    const out = await b.ok(`set -e
      export PGPASSWORD=${PASSWORD} PGCONNECT_TIMEOUT=20
      q() { psql -XAtq "host=db.test port=${pg} user=me dbname=postgres sslmode=${mode}${more}" "$@"; }
      q -c "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
      q -c "select repeat(md5(g::text), 10) from generate_series(1, 30000) g" | sha256sum
      q -c "create table ${table} (a int, b text)"
      seq 1 200000 | sed 's/$/\\tx/' | q -c "copy ${table} from stdin"
      q -c "select count(*), sum(a) from ${table}"
      q -c "copy (select a from ${table} order by a) to stdout" | sha256sum
      printf 'select 1;\\nselect oops;\\nselect 2;\\n' | q 2>&1`, { timeout: SLOW });
    const want = Array.from({ length: 30000 }, (_, i) => crypto.createHash('md5').update(String(i + 1)).digest('hex').repeat(10) + '\n').join('');
    const [ssl, large, count, copied, ...three] = out.trimEnd().split('\n');
    assert.deepEqual([ssl, large, count, copied], [tls ? 't' : 'f', `${sha(want)}  -`, '200000|20000100000', `${sha(Array.from({ length: 200000 }, (_, i) => `${i + 1}\n`).join(''))}  -`]);
    assert.match(three.join('\n'), /^1\n.*column "oops" does not exist[^]*\n2$/);
    const seen = b.records();
    assert.ok(seen.length >= 6);
    for (const r of seen) assert.deepEqual([r.protocol, r.verdict, r.host, r.port], ['tcp', 'allow', 'db.test', pg]);
  });
}

test('psql: a query that is cancelled, which takes a second connection that only speaks and leaves', async () => {
  const b = behind('db.test', pg);
  const out = await b.ok(`export PGPASSWORD=${PASSWORD} PGHOST=db.test PGPORT=${pg} PGUSER=me PGDATABASE=postgres PGSSLMODE=require
    psql -Xq -c "select pg_sleep(100)" >said 2>&1 & p=$!
    for i in $(seq 200); do test "$(psql -XAtq -c "select count(*) from pg_stat_activity where query = 'select pg_sleep(100)'")" = 1 && break; sleep 0.05; done
    kill -INT $p; wait $p; echo "code $?"; cat said`, { timeout: SLOW });
  assert.match(out, /^code 1\n[^]*canceling statement due to user request/);
});

test('psql: what no rule allows is refused, and its error says so', async () => {
  const b = boundary({ ca, dns, allow: [rule('db.test', pg), { host: 'private.test', port: pg }] });
  const said = async (host, port) => {
    const r = await b.sh(`PGPASSWORD=${PASSWORD} PGCONNECT_TIMEOUT=20 psql -X "host=${host} port=${port} user=me dbname=postgres" -c 'select 1'`);
    assert.equal(r.code, 2, r.out);
    return r.err;
  };
  assert.match(await said('other.test', pg), /Connection refused|server closed the connection unexpectedly|Connection reset/);
  assert.match(await said('db.test', pg + 1), /Connection refused/);
  assert.match(await said('private.test', pg), /server closed the connection unexpectedly|Connection reset/);
  assert.deepEqual(b.records({ host: 'private.test' }).map((r) => r.verdict), ['deny']);
});

test('redis-cli: PING, values of every size, a pipeline, RESP3, and errors', async () => {
  const b = behind('cache.test', kv.port);
  const out = await b.ok(`set -e; export REDISCLI_AUTH=${PASSWORD}
    r() { redis-cli --no-auth-warning -h cache.test -p ${kv.port} "$@"; }
    r PING
    r -3 HSET h a 1 b 2; r -3 HGETALL h
    head -c 5000000 /dev/zero | tr '\\0' v | r -x SET large; r STRLEN large; r GET large | sha256sum
    seq 1 20000 | sed 's/.*/SET k& v&/' | r --pipe | tail -1
    r DBSIZE
    r NOSUCH 2>&1
    printf 'PING\\r\\nQUIT\\r\\n' | busybox nc -w 5 cache.test ${kv.port}`, { timeout: SLOW });
  assert.deepEqual(out.trimEnd().split(/\r?\n/).filter(Boolean), ['PONG', '2', 'a 1', 'b 2', 'OK', '5000000', `${sha('v'.repeat(5000000) + '\n')}  -`, 'errors: 0, replies: 20000', '20002',
    "ERR unknown command 'NOSUCH', with args beginning with: ", '-NOAUTH Authentication required.', '+OK']);
  for (const r of b.records()) assert.deepEqual([r.protocol, r.verdict, r.host, r.port], ['tcp', 'allow', 'cache.test', kv.port]);
});

test('redis-cli over TLS with the server’s own certificate, with and without a server name', async () => {
  const b = behind('cache.test', kv.secure);
  const out = await b.ok(`export REDISCLI_AUTH=${PASSWORD}
    r() { redis-cli --no-auth-warning -h cache.test -p ${kv.secure} --tls --cacert /s/ca.pem "$@"; }
    r PING; r --sni cache.test ECHO named; r --sni other.test PING 2>&1; echo code $?`);
  assert.match(out, /^PONG\nnamed\nCould not connect to Redis [^]*code 1\n$/);
  // It tries again.
  assert.deepEqual([...new Set(b.records().map((r) => `${r.protocol ?? 'none'} ${r.verdict} ${r.reason ?? ''}`))], ['tls allow ', 'none deny disagree', 'none error tls']);
});

test('redis-cli subscribed hears what another publishes, after a silence on both sides', async () => {
  const b = behind('cache.test', kv.port);
  const out = await b.ok(`export REDISCLI_AUTH=${PASSWORD}
    r() { redis-cli --no-auth-warning -h cache.test -p ${kv.port} "$@"; }
    r SUBSCRIBE news >heard & p=$!
    for i in $(seq 200); do test "$(r PUBLISH news hello)" = 1 && break; sleep 0.05; done
    for i in $(seq 200); do grep -q hello heard && break; sleep 0.05; done
    kill $p; wait $p; cat heard`, { timeout: SLOW });
  assert.match(out, /^subscribe\nnews\n1\nmessage\nnews\nhello\n/);
});

test('redis-benchmark: 16 commands at once on 20 connections', async () => {
  const b = behind('cache.test', kv.port);
  const out = await b.ok(`redis-benchmark -h cache.test -p ${kv.port} -a ${PASSWORD} -n 20000 -c 20 -P 16 -t set,get --csv 2>&1`, { timeout: SLOW });
  assert.match(out, /"SET","[\d.]+"/);
  assert.match(out, /"GET","[\d.]+"/);
  assert.doesNotMatch(out, /Error|reset/i);
});

test('redis-cli: what no rule allows is refused', async () => {
  const b = behind('cache.test', kv.port);
  const r = await b.sh(`redis-cli -h cache.test -p ${kv.secure} PING; redis-cli -h other.test -p ${kv.port} PING`);
  assert.match(r.err + r.out, new RegExp(`Could not connect to Redis at cache.test:${kv.secure}: Connection refused[^]*(Could not connect to Redis at other.test|closed the connection|reset)`));
});
