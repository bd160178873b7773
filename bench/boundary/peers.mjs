// peers.mjs - the peers of the boundary, each set up to do the same: TLS in, the Authorization replaced, verified TLS out.
//
// nginx and haproxy are reverse proxies; mitmproxy, squid and sandbox-runtime take CONNECT and mint a leaf, as ours. Each is started for one
// run, checked once (the origin must have got the real header), and stopped. One that is not there is named with the reason.
import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { HOST, PEER_CPU, SECRET, family, freePort, listening, nginxConf, start } from './place.mjs';

const here = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const has = (cmd) => spawnSync('sh', ['-c', `command -v ${cmd}`]).status === 0;

const makers = {
  async nginx(place) {
    const kept = await freePort(), anew = await freePort();
    const common = `ssl_certificate ${place.cert}; ssl_certificate_key ${place.key}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host ${HOST};
      proxy_set_header Authorization "Bearer ${SECRET}"; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${place.cert}; proxy_ssl_name ${HOST}; proxy_ssl_server_name on;`;
    const conf = nginxConf(place.dir, 'nginx', `upstream kept { server 127.0.0.1:${place.port}; keepalive 256; keepalive_requests 100000000; }
      upstream anew { server 127.0.0.1:${place.port}; }
      server { listen 127.0.0.1:${kept} ssl http2; ${common} location / { proxy_pass https://kept; } }
      server { listen 127.0.0.1:${anew} ssl; ${common} proxy_ssl_session_reuse off; location / { proxy_pass https://anew; } }`);
    return { argv: ['nginx', '-c', conf, '-p', place.dir], port: kept, anew, h2: true };
  },
  async haproxy(place) {
    const kept = await freePort(), anew = await freePort(), tcp = await freePort(), bulk = await freePort(), splice = await freePort();
    const file = path.join(place.dir, 'haproxy.cfg');
    const server = `server o 127.0.0.1:${place.port} ssl verify required ca-file ${place.cert} sni str(${HOST}) alpn http/1.1`;
    fs.writeFileSync(file, `global
    nbthread 1
    maxconn 4000
    tune.ssl.cachesize 0
    ssl-default-bind-options no-tls-tickets
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend kept
    bind 127.0.0.1:${kept} ssl crt ${place.dir}/both.pem alpn h2,http/1.1
    http-request set-header authorization "Bearer ${SECRET}"
    default_backend kept
frontend anew
    bind 127.0.0.1:${anew} ssl crt ${place.dir}/both.pem
    http-request set-header authorization "Bearer ${SECRET}"
    default_backend anew
backend kept
    ${server} pool-max-conn 1000
backend anew
    http-reuse never
    option httpclose
    ${server} no-ssl-reuse pool-max-conn 0
listen tcp
    mode tcp
    bind 127.0.0.1:${tcp}
    server o 127.0.0.1:${place.port}
listen bulk
    mode tcp
    bind 127.0.0.1:${bulk}
    server o 127.0.0.1:${place.raw}
listen splice
    mode tcp
    option splice-auto
    bind 127.0.0.1:${splice}
    server o 127.0.0.1:${place.raw}
`);
    return { argv: ['haproxy', '-db', '-f', file], port: kept, anew, tcp, bulk, splice, h2: true };
  },
  async mitmproxy(place) {
    if (!has('mitmdump')) throw new Error('not installed');
    const proxy = await freePort();
    return { argv: ['mitmdump', '-q', '--listen-host', '127.0.0.1', '-p', String(proxy), '--set', `confdir=${place.dir}/mitm`, '--set', 'connection_strategy=lazy',
      '--set', `ssl_verify_upstream_trusted_ca=${place.cert}`, '--modify-headers', `/~q/Authorization/Bearer ${SECRET}`], proxy };
  },
  async squid(place) {
    const lib = spawnSync('sh', ['-c', "ls /usr/lib/squid/security_file_certgen /usr/lib64/squid/security_file_certgen 2>/dev/null | head -n 1"], { encoding: 'utf8' }).stdout.trim();
    if (!has('squid') || !lib) throw new Error('not installed');
    const proxy = await freePort(), leaves = path.join(place.dir, 'leaves'), dir = path.join(place.dir, 'squid'), file = path.join(dir, 'squid.conf');
    fs.mkdirSync(dir);
    spawnSync(lib, ['-c', '-s', leaves, '-M', '4MB']);
    if (process.getuid() === 0) spawnSync('chown', ['-R', 'proxy', leaves, dir]);
    fs.writeFileSync(file, `http_port 127.0.0.1:${proxy} ssl-bump tls-cert=${place.dir}/both.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program ${lib} -s ${leaves} -M 4MB
sslcrtd_children 2 startup=1
ssl_bump bump all
tls_outgoing_options cafile=${place.cert}
http_access allow all
request_header_access Authorization deny all
request_header_replace Authorization Bearer ${SECRET}
cache deny all
cache_mem 8 MB
access_log none
cache_log stdio:${dir}/cache.log
pid_filename ${dir}/squid.pid
coredump_dir ${dir}
max_filedescriptors 8192
pinger_enable off
forwarded_for delete
via off
`);
    return { argv: ['squid', '-N', '-f', file], proxy };
  },
  async 'sandbox-runtime'(place) {
    const dist = path.join(here, 'node_modules/@anthropic-ai/sandbox-runtime/dist/sandbox');
    if (!fs.existsSync(dist)) throw new Error('not installed (npm ci in bench/)');
    const proxy = await freePort(), file = path.join(place.dir, 'srt.mjs');
    fs.writeFileSync(file, `import { createHttpProxyServer } from '${dist}/http-proxy.js';
import { createMitmCA } from '${dist}/mitm-ca.js';
const s = createHttpProxyServer({ filter: () => true, mitmCA: await createMitmCA({}), mutateHeaders: (h) => { h.authorization = 'Bearer ${SECRET}'; } });
(s.server ?? s).listen(${proxy}, '127.0.0.1');
`);
    return { argv: [process.execPath, file], proxy, env: { TMPDIR: place.dir, NODE_EXTRA_CA_CERTS: place.cert } };
  },
};
export const names = Object.keys(makers);

/** Starts one; throws when it does not run here or does not replace the header. */
export async function peer(name, place) {
  const made = await makers[name](place);
  const p = start(PEER_CPU, `peer-${name}`, made.argv, { dir: place.dir, env: made.env });
  try {
    await listening(made.proxy ?? made.port, p);
    const where = made.proxy ? ['-x', `http://127.0.0.1:${made.proxy}`, '-k', `https://localhost:${place.port}/echo`] : ['-k', `https://localhost:${made.port}/echo`];
    const got = spawnSync('curl', ['-s', '--noproxy', '', '--max-time', '20', '-H', 'Authorization: Bearer placeholder', ...where], { encoding: 'utf8' }).stdout;
    if (got !== `Bearer ${SECRET}`) throw new Error(`the header was not replaced: ${got.slice(0, 80)} ${p.log()}`);
  } catch (e) {
    await p.stop();
    throw e;
  }
  // What the load needs to get through it.
  const args = made.proxy ? ['-P', made.proxy] : [];
  return { ...made, name, pids: () => family(p.pid), args, host: 'localhost', to: made.proxy ? place.port : made.port, toAnew: made.proxy ? place.port : made.anew, stop: () => p.stop() };
}
