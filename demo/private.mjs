// demo/private.mjs DIR - private systems for `make demo`, on the loopback: an HTTP API that demands a bearer token (and
// reflects what it was sent, as careless services do), a git repository over HTTPS that demands a password, and the name
// server that knows them. Prints one line when they are there; ends by itself after ten minutes.
import dgram from 'node:dgram';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { spawn } from 'node:child_process';

const dir = process.argv[2];
const read = (f) => fs.readFileSync(path.join(dir, f));
const tokens = { api: read('api-token').toString(), git: read('git-token').toString() };
const seen = { api: 0, git: 0 };

function api(req, res) {
  const said = req.headers.authorization ?? '';
  if (said !== `Bearer ${tokens.api}`) return void res.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"a token, please"}\n');
  seen.api++;
  res.writeHead(200, { 'content-type': 'application/json', 'x-debug-authorization': said });
  res.end(JSON.stringify({ builds: [{ id: 7, state: 'green' }], debug: `you said ${said}` }) + '\n');
}

function git(req, res) {
  const [, login] = /^Basic (.+)$/.exec(req.headers.authorization ?? '') ?? [];
  if (!login || !Buffer.from(login, 'base64').toString().endsWith(`:${tokens.git}`))
    return void res.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end('who are you?\n');
  seen.git++;
  const url = new URL(req.url, 'https://git');
  const cgi = spawn('git', ['http-backend'], { env: { PATH: process.env.PATH, GIT_PROJECT_ROOT: path.join(dir, 'git'), GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: url.pathname, QUERY_STRING: url.search.slice(1), REQUEST_METHOD: req.method, CONTENT_TYPE: req.headers['content-type'] ?? '', REMOTE_USER: 'demo', GIT_PROTOCOL: req.headers['git-protocol'] ?? '' } });
  req.pipe(cgi.stdin);
  let head = Buffer.alloc(0);
  cgi.stdout.on('data', function first(d) {
    head = Buffer.concat([head, d]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    cgi.stdout.off('data', first);
    let status = 200;
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const [name, value] = line.split(/: ?/, 2);
      if (name === 'Status') status = parseInt(value, 10);
      else res.setHeader(name, value);
    }
    res.writeHead(status);
    res.write(head.subarray(end + 4));
    cgi.stdout.pipe(res);
  });
}

const server = https.createServer({ key: read('origin.key'), cert: read('origin.pem') }, (req, res) => (req.headers.host.startsWith('git.') ? git : api)(req, res));
server.on('tlsClientError', () => {});
const names = dgram.createSocket('udp4');
names.on('message', (q, from) => { // every A question: 127.0.0.1
  let at = 12;
  while (q[at]) at += q[at] + 1;
  const a = q.readUInt16BE(at + 1) === 1;
  const head = Buffer.from([q[0], q[1], 0x81, 0x80, 0, 1, 0, a ? 1 : 0, 0, 0, 0, 0]);
  const answer = a ? [Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1])] : [];
  names.send(Buffer.concat([head, q.subarray(12, at + 5), ...answer]), from.port, from.address);
});
names.bind(0, '127.0.0.1', () => server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port} ${names.address().port}`)));
process.on('SIGTERM', () => { fs.writeFileSync(path.join(dir, 'seen'), `${seen.api} ${seen.git}\n`); process.exit(0); });
setTimeout(() => process.exit(1), 600000);
