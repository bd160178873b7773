// Starts the binary under test in its roles and speaks the routes that are our own.
import fs from 'node:fs';
import path from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import { BIN, end, ms, start, tempDir } from './own.mjs';

if (!fs.existsSync(BIN)) throw new Error(`no binary at ${BIN}: build first, or set SALLYPORT_BIN`);

export const BETA = 'managed-agents-2026-04-01';
export const VERSION = '2026-10-21';

/** Writes a script-model file. YAML is a superset of JSON, so JSON it is. */
export function scriptFile(rules, dir = tempDir('script')) {
  const f = path.join(dir, 'script.yaml');
  fs.writeFileSync(f, JSON.stringify({ rules }, null, 1));
  return f;
}

/** One rule: `on('regex', {turn: 2}, {say: 'x'}, {tool: …})`. */
export const on = (user, when, ...todo) => ({ when: { ...(user ? { user } : {}), ...when }, do: todo });
export const say = (text, more = {}) => ({ say: text, ...more });
export const tool = (name, input) => ({ tool: { name, input } });
export const bash = (command, more = {}) => tool('bash', { command, ...more });

/**
 * `sallyport server` on a free port with its own data directory. The API key is printed once, at the
 * first start, and kept here. `restart()` comes back on the same port with the same data.
 */
export async function startServer({ data, args = [], script, rules, env, listen = '127.0.0.1:0', apiKey, wrap } = {}) {
  const s = { data: data ?? path.join(tempDir('srv'), 'data'), apiKey, script: script ?? (rules ? scriptFile(rules) : null) };
  s.boot = async (where) => {
    const argv = ['server', '--listen', where, '--data', s.data, ...(s.script ? ['--script', s.script] : []), ...args];
    const [cmd, ...rest] = wrap ? wrap(BIN, argv) : [BIN, ...argv];
    s.proc = start(cmd, rest, { env });
    const m = await s.proc.line(/^ready (https?:\/\/\S+)$/m);
    s.url = m[1].replace(/\/$/, '');
    s.pid = s.proc.pid;
    s.port = Number(new URL(s.url).port);
    const key = s.proc.out.match(/^api key: (sk-sp-api-\S+)$/m);
    if (key) { if (s.apiKey) throw new Error('the server printed an API key at a later start'); s.apiKey = key[1]; }
    if (!s.apiKey) throw new Error(`no API key printed at the first start\n${s.proc.tail()}`);
    return s;
  };
  s.stop = async (signal = 'SIGTERM') => { s.over = true; await end(s.proc, { signal }); return s.proc; };   // followers stop following
  s.kill9 = async () => { s.proc.kill('SIGKILL'); await s.proc.exit; };
  s.restart = async () => { await end(s.proc); return s.boot(`127.0.0.1:${s.port}`); };
  s.reboot = () => s.boot(`127.0.0.1:${s.port}`);
  s.client = (opts = {}) => client(s, opts);
  s.as = (token, opts = {}) => client(s, { apiKey: null, authToken: token, ...opts });
  s.api = (method, p, body, opts) => api(s, method, p, body, opts);
  try { return await s.boot(listen); } catch (e) { await end(s.proc, { signal: 'SIGKILL' }); throw e; }
}

/** The official SDK, pointed at our server. No retries: a test wants to see the first answer. */
export const client = (s, opts = {}) =>
  new Anthropic({ apiKey: s.apiKey, baseURL: s.url, maxRetries: 0, timeout: ms(30000), logLevel: 'off', ...opts });

/** A plain request. Returns {status, headers, body (parsed when JSON), text}. */
export async function api(s, method, p, body, { key = s.apiKey, headers = {}, signal, auth = 'bearer' } = {}) {
  const h = { 'anthropic-version': VERSION, 'anthropic-beta': BETA };
  if (key && auth === 'bearer') h.authorization = `Bearer ${key}`;
  if (key && auth === 'x-api-key') h['x-api-key'] = key;
  if (body !== undefined) h['content-type'] = 'application/json';
  Object.assign(h, headers);
  for (const k of Object.keys(h)) if (h[k] === null) delete h[k];
  const payload = body === undefined ? undefined : typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  const r = await fetch(s.url + p, { method, headers: h, body: payload, signal: signal ?? AbortSignal.timeout(ms(30000)) });
  const text = await r.text();
  let parsed;
  try { parsed = JSON.parse(text); } catch { /* not JSON */ }
  return { status: r.status, headers: r.headers, body: parsed, text };
}

export async function envKey(s, envId, name = 'test', extra = {}) {
  const r = await s.api('POST', `/v1/environments/${envId}/keys`, { name, ...extra });
  if (r.status !== 200) throw new Error(`creating an environment key: ${r.status} ${r.text}`);
  return r.body;
}

/** A self-hosted environment with a key: {env, key, keyId}. */
export async function selfHosted(s, name = 'private') {
  const env = await s.client().beta.environments.create({ name, config: { type: 'self_hosted' } });
  const k = await envKey(s, env.id);
  return { env, key: k.key, keyId: k.id };
}

export const TOOLSET = { type: 'agent_toolset_20260401' };
export const makeAgent = (s, more = {}) =>
  s.client().beta.agents.create({ name: 'tester', model: 'script-model', tools: [TOOLSET], ...more });

/** `sallyport worker`. Resolves once it says it is polling; `proc.exit` tells how it ended. */
export function startWorker({ url, envId, envKey: key, args = [], env, config, stateDir, under = [] }) {
  const dir = tempDir('wrk');
  const keyFile = path.join(dir, 'env.key');
  fs.writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
  const argv = ['worker', '--base-url', url, '--environment-id', envId, '--environment-key-file', keyFile];
  if (config) {
    fs.writeFileSync(path.join(dir, 'worker.yaml'), JSON.stringify(config));
    argv.push('--config', path.join(dir, 'worker.yaml'));
  }
  argv.push(...args);
  const [cmd, ...rest] = [...under, BIN, ...argv];
  const proc = start(cmd, rest, { env: { XDG_STATE_HOME: stateDir ?? dir, ...env }, cwd: dir });
  return { proc, pid: proc.pid, dir, stop: (signal = 'SIGTERM') => end(proc, { signal }), kill9: async () => { proc.kill('SIGKILL'); await proc.exit; } };
}

/** Any other subcommand, to its end. */
export { run } from './own.mjs';
