// Plays a case against our worker and against the official one (EnvironmentWorker of the installed SDK), each with a strict
// platform of its own, and reduces what happened to facts that can be compared: results in their order, which calls ran and how
// often (each leaves a line in a folder that both can write), how items were stopped, what the platform refused.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { startWorker } from './sallyport.mjs';
import { SLOWDOWN, ms, tempDir, within } from './own.mjs';
import { strictPlatform } from './strict-platform.mjs';

const MAX_IDLE_MS = 300;

function startOurs(p, marks, { args = [], maxIdle = `${MAX_IDLE_MS}ms`, baseUrl = p.url }) {
  const w = startWorker({ url: baseUrl, envId: p.env, envKey: p.envKey, args: ['--bind', `${marks}:/marks:rw`, '--max-idle', maxIdle, '--grace', '1s', '--capacity', '4', '--log-level', 'debug', ...args] });
  return { log: () => w.proc.err, stop: async () => { await w.stop(); }, ended: () => w.proc.ended };
}

function startSdk(p, marks, { maxIdleMs = MAX_IDLE_MS, tools, baseUrl = p.url }) {
  const ctrl = new AbortController();
  const client = new Anthropic({ apiKey: null, authToken: 'unused', baseURL: baseUrl, logLevel: 'off', timeout: ms(30000) });
  const state = { ended: false, error: null };
  const w = client.beta.environments.work.worker({ environmentId: p.env, environmentKey: p.envKey, workdir: tempDir('sdk'), maxIdleMs, signal: ctrl.signal, ...(tools ? { tools } : {}) });
  const done = w.run().catch((e) => { state.error = e; }).then(() => { state.ended = true; });
  return { log: () => String(state.error ?? ''), stop: async () => { ctrl.abort(); await within(done, ms(40000), 'the official worker ends'); }, ended: () => state.ended };
}

/** The facts of one run. */
function facts(p, marks) {
  const ran = {};
  for (const f of fs.readdirSync(marks).sort()) { const n = fs.readFileSync(path.join(marks, f), 'utf8').split('\n').length - 1; if (n > 0) ran[f] = n; }
  return {
    results: p.results.map((r) => `${r.call} ${r.is_error ? 'error' : 'ok'}`),
    ran,
    stops: p.items.map((w) => (w.stops ?? []).map((force) => (force ? 'force' : 'ask')).join(' ') || 'none'),
    refusals: p.refusals.map((r) => r.replace(/_01\d+/g, '_')),
  };
}

/** Runs a case with one of the two workers; returns its facts. */
export async function playCase(kind, c) {
  const p = await strictPlatform({ ttl: 60, ...c.platform });
  const marks = tempDir('marks');
  fs.chmodSync(marks, 0o777);
  const inside = kind === 'ours' ? '/marks' : marks;
  let worker;
  const scene = {
    p, kind, inside,
    /** Makes a file that a waiting command looks for. */
    touch: (name) => fs.writeFileSync(path.join(marks, name), ''),
    /** A command that leaves its mark. */
    mark: (name, then = 'true') => `umask 0; echo x >>${inside}/${name}; ${then}; echo ${name}`,
    ran: (name) => fs.existsSync(path.join(marks, name)),
    start: (more = {}) => { worker = (kind === 'ours' ? startOurs : startSdk)(p, marks, { ...c[kind === 'ours' ? 'oursStart' : 'sdkStart'], ...more }); },
    worker: () => worker,
    stopped: (w, n = 1) => p.until('the item is stopped', () => (w.stops ?? []).length >= n && w.state === 'stopped'),
    answered: (call) => p.until(`an answer to ${call}`, () => p.answer(call)),
    pause: (n) => new Promise((ok) => setTimeout(ok, n)),
  };
  let more;
  try {
    more = await c.play(scene);
  } catch (e) {
    e.message += `\n--- requests\n${p.story()}\n--- the worker's log\n${worker?.log().slice(-6000)}`;
    throw e;
  } finally {
    await worker?.stop();
    p.close();
  }
  return { facts: { ...facts(p, marks), ...more }, story: p.story(), log: worker.log() };
}

/**
 * Declares the tests of one case. `both`: what either worker has to show. Where they differ on purpose, `ours` and `sdk` say what
 * each shows, and `why` the reason. Only what is named there is compared, and `refusals` always.
 */
function declare(c) {
  assert(c.both || (c.ours && c.why), `${c.name}: what is expected, and why they differ`);
  for (const kind of ['ours', 'sdk']) {
    const expected = c.both ?? c[kind];
    if (!expected) continue;
    test(`${c.name}: ${kind === 'ours' ? 'our worker' : 'the official worker'}`, async () => {
      const { facts: got, story, log } = await playCase(kind, c);
      const want = { refusals: [], ...expected };
      const seen = Object.fromEntries(Object.keys(want).map((k) => [k, got[k]]));
      assert.deepEqual(seen, want, `${c.name}\n${story}\n${log.slice(-3000)}`);
    });
  }
}

/** Cases run beside each other: each has its own platform and its own worker. Those that are sanitized, fewer at once: they work more than they wait. */
export function cases(name, list) {
  describe(name, { concurrency: Math.ceil(12 / SLOWDOWN) }, () => { for (const c of list) declare(c); });
}
