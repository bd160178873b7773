// MCP servers and callers for tests: programs of others, each in a process of its own, with the Node that the tests pin.
import fs from 'node:fs';
import path from 'node:path';
import { end, here, ms, start, tempDir, until } from './own.mjs';

/** The Node of the tests' packages, whichever runs the tests. */
export const NODE = path.join(here, 'node_modules', 'node', 'bin', 'node');
const CONFORMANCE = path.join(here, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');

/**
 * The reference server (mcp-reference.mjs), at a `socket` if it is told one, with TLS if it is told a `leaf` of authority().
 * `said(what)`: the lines that it has said of one kind; `heard(what, n)` waits for the n-th of them; `step(n)` lets the tool `steps`
 * take n more, the result being the last. `wrap(...argv)` is what is started in its place.
 */
export async function referenceServer(kind, { socket, leaf, wrap = (...argv) => argv } = {}) {
  const [cmd, ...argv] = wrap(NODE, path.join(here, 'lib', 'mcp-reference.mjs'), kind);
  const p = start(cmd, argv, { stdin: 'pipe', env: { ...(socket ? { LISTEN: socket } : {}), ...(leaf ? { TLS_CERT: leaf.certFile, TLS_KEY: leaf.keyFile } : {}) } });
  const at = (await p.line(/^listening (\S+)$/m))[1];
  const s = { proc: p, pid: p.pid, stop: () => end(p) };
  s.upstream = socket ? `unix:${socket}` : `${leaf ? 'https' : 'http'}://127.0.0.1:${at}`;
  s.said = (what) => p.out.split('\n').filter((l) => l.startsWith('{') && l.endsWith('}')).map((l) => JSON.parse(l)).filter((l) => l.what === what);
  s.heard = (what, n = 1, timeout = ms(15000)) => until(`the server says ${what} (${n})`, () => s.said(what)[n - 1], timeout);
  s.step = (n = 1) => p.child.stdin.write('.'.repeat(n));
  return s;
}

/** What a caller of the tunnel is started with: its names lead to the loopback, its CA is trusted. */
export const callerEnv = (t) => ({ NODE_EXTRA_CA_CERTS: t.ca.file, NODE_OPTIONS: `--import=${path.join(here, 'lib', 'localhost-names.mjs')}` });

/** The official suite (or one `scenario`) against a server at `url`: { all: { scenario: [{ id, status, errorMessage }] }, proc }. */
export async function conformance(url, revision, { scenario, env = {}, timeout = ms(110000) } = {}) {
  const dir = tempDir('conformance');
  const p = start(NODE, [CONFORMANCE, 'server', '--url', url, ...(scenario ? ['--scenario', scenario, '--spec-version', revision, '--force'] : ['--requirements', revision]), '-o', dir], { env, cwd: dir });
  const timer = setTimeout(() => p.killGroup(), timeout);
  await p.exit;
  clearTimeout(timer);
  const all = {};
  for (const d of fs.readdirSync(dir)) {
    const name = d.match(/^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/)?.[1];
    if (name) all[name] = JSON.parse(fs.readFileSync(path.join(dir, d, 'checks.json'), 'utf8')).map(({ id, status, errorMessage }) => ({ id, status, errorMessage }));
  }
  return { all, proc: p };
}

/** @modelcontextprotocol/server-everything over `streamableHttp` (/mcp) or `sse` (/sse): {upstream, stop}. */
export async function everythingServer(transport) {
  const p = start(NODE, [path.join(here, 'node_modules', '@modelcontextprotocol', 'server-everything', 'dist', 'index.js'), transport], { env: { PORT: '0', NODE_OPTIONS: `--import=${path.join(here, 'lib', 'loopback-only.mjs')}` } });
  const m = await p.line(/^listening (\d+)$/m);
  return { proc: p, upstream: `http://127.0.0.1:${m[1]}`, stop: () => end(p) };
}
