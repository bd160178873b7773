// `sallyport up`: one command, then any SDK program works after sourcing dev.env. The examples of
// this repository are run as a newcomer would run them.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import { bash, on, say, scriptFile, tool } from '../lib/sallyport.mjs';
import { alive, BIN, descendants, end, here, ms, repo, run, start, tempDir, until } from '../lib/own.mjs';

const env = (file) => Object.fromEntries(fs.readFileSync(file, 'utf8').split('\n').filter((l) => l && !l.startsWith('#')).map((l) => { const m = l.match(/^(?:export )?([A-Z_]+)=(['"]?)(.*)\2$/); assert(m, `a line of dev.env: ${l.replace(/=.*/, '=…')}`); return [m[1], m[3]]; }));

describe('sallyport up', () => {
  let p, data, dev, url;
  before(async () => {
    data = path.join(tempDir('up'), 'data');
    const script = scriptFile([on('order', { last: 'user' }, tool('order_status', { order: '1017' })), on('order', { tool_result: 'leaves tomorrow' }, say('It leaves tomorrow.')), on('', { last: 'user' }, say('Let me look.'), bash('echo hello from the sandbox; id -u')), on('', { last: 'tool_result' }, say('That was the sandbox.'))]);
    p = start(BIN, ['up', '--listen', '127.0.0.1:0', '--data', data, '--script', script]);
    [, url] = await p.line(/^ready (http:\/\/\S+)$/m, ms(20000));
    dev = path.join(data, 'dev.env');
  });
  after(async () => {
    const kids = descendants(p.pid);
    await end(p);
    await until('nothing of it is left', () => kids.every((k) => !alive(k)), ms(15000));
  });

  test('dev.env: four variables, for the owner only, and they work', async () => {
    assert.equal(fs.statSync(dev).mode & 0o777, 0o600);
    const e = env(dev);
    assert.deepEqual(Object.keys(e).sort(), ['ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL', 'ANTHROPIC_ENVIRONMENT_ID', 'ANTHROPIC_ENVIRONMENT_KEY']);
    assert.equal(e.ANTHROPIC_BASE_URL.replace(/\/$/, ''), url.replace(/\/$/, ''));
    const c = new Anthropic({ apiKey: e.ANTHROPIC_API_KEY, baseURL: e.ANTHROPIC_BASE_URL });
    assert.equal((await c.beta.environments.retrieve(e.ANTHROPIC_ENVIRONMENT_ID)).config.type, 'self_hosted');
    const sh = await run('sh', ['-c', `. ${dev}; env | grep -c ^ANTHROPIC_ || true`]);
    assert.match(sh.out, /^[04]/, 'a shell can source it');
  });

  test('keys are in no argument list of any of its processes, and not in their environment', () => {
    const e = env(dev);
    for (const pid of [p.pid, ...descendants(p.pid)])
      for (const f of ['cmdline', 'environ']) {
        let t = '';
        try { t = fs.readFileSync(`/proc/${pid}/${f}`, 'latin1'); } catch { continue; }
        for (const k of [e.ANTHROPIC_API_KEY, e.ANTHROPIC_ENVIRONMENT_KEY]) assert(!t.includes(k), `/proc/${pid}/${f}`);
      }
  });

  /** Runs an example as a newcomer would: in a directory of its own, beside an installed SDK. */
  async function typescript(name, ...args) {
    const dir = tempDir('example');
    fs.copyFileSync(path.join(repo, 'examples/typescript', name), path.join(dir, name));
    fs.writeFileSync(path.join(dir, 'package.json'), '{"type":"module"}');
    fs.symlinkSync(path.join(here, 'node_modules'), path.join(dir, 'node_modules'));
    const r = await run(path.join(here, 'node_modules/.bin/node'), ['--experimental-strip-types', '--disable-warning=ExperimentalWarning', name, ...args], { env: env(dev), timeout: ms(60000), cwd: dir });
    assert.equal(r.code, 0, r.out + r.err);
    return r.out;
  }

  test('the TypeScript example runs under Node and ends with the answer', async () => {
    const out = await typescript('session.ts');
    assert.match(out, /hello from the sandbox/);
    assert.match(out, /That was the sandbox\./);
  });

  test('the TypeScript example with a custom tool serves its call', async () => {
    const out = await typescript('custom-tool.ts');
    assert.match(out, /order_status .*1017.* posted=true/);
    assert.match(out, /agent: It leaves tomorrow/);
  });

  for (const [f, re] of [['session.sh', /"session\.status_idle".*"end_turn"|"end_turn".*"session\.status_idle"/], ['stream.sh', /^Let me look\.\n\[tool bash\]\nThat was the sandbox\.\n\[turn over\]$/m], ['confirm.sh', /result: .*hello from the sandbox/]])
    test(`the curl example ${f} runs`, async () => {
      const file = path.join(repo, 'examples/curl', f);
      const r = await run('bash', [file, dev], { timeout: ms(60000), cwd: path.dirname(file) });
      assert.equal(r.code, 0, r.out + r.err);
      assert.match(r.out, re);
      const keys = env(dev);
      assert(!(r.out + r.err).includes(keys.ANTHROPIC_API_KEY), 'the key is not printed');
    });

  test('a second `up` on the same data refuses, in words', async () => {
    const r = await run(BIN, ['up', '--listen', '127.0.0.1:0', '--data', data], { timeout: ms(15000) });
    assert(!r.timedOut && r.code > 0, `code ${r.code}`);
    assert.match(r.err, /already|in use|lock|uses data directory/i);
  });

  test('the command line drives it: create, send, tail, list, keys', async () => {
    const e = env(dev);
    const cli = (...a) => run(BIN, a, { env: e, timeout: ms(30000) });
    const made = await cli('session', 'create', '--json');
    assert.equal(made.code, 0, made.err);
    const id = JSON.parse(made.out).id;
    assert.match(id, /^sesn_/);
    assert.equal((await cli('session', 'send', id, 'look around')).code, 0);
    await until('the turn is over', async () => JSON.parse((await cli('session', 'list', '--json')).out).data?.find?.((x) => x.id === id)?.status === 'idle' || JSON.parse((await cli('session', 'list', '--json')).out).find?.((x) => x.id === id)?.status === 'idle');
    const keys = await cli('env', 'key', 'list', '--json');
    assert.equal(keys.code, 0, keys.err);
    assert(!keys.out.includes(e.ANTHROPIC_ENVIRONMENT_KEY));
    const bad = await cli('session', 'send', 'sesn_nope', 'x');
    assert(bad.code > 0);
    assert.match(bad.err, /sesn_nope|not found/i);
  });
});

describe('sallyport up, again', () => {
  test('stop and start: the same keys, the same environment, the sessions are there', async () => {
    const data = path.join(tempDir('up2'), 'data');
    const script = scriptFile([on('', {}, say('ok'))]);
    const go = async (listen) => { const p = start(BIN, ['up', '--listen', listen, '--data', data, '--script', script]); const [, url] = await p.line(/^ready (http:\/\/\S+)$/m); return { p, url }; };
    const a = await go('127.0.0.1:0');
    const e1 = env(path.join(data, 'dev.env'));
    await end(a.p);
    assert.equal(a.p.code, 0, a.p.tail());
    const b = await go(new URL(a.url).host);
    try {
      const e2 = env(path.join(data, 'dev.env'));
      assert.equal(e2.ANTHROPIC_API_KEY, e1.ANTHROPIC_API_KEY);
      assert.equal(e2.ANTHROPIC_ENVIRONMENT_ID, e1.ANTHROPIC_ENVIRONMENT_ID);
      const c = new Anthropic({ apiKey: e2.ANTHROPIC_API_KEY, baseURL: b.url });
      assert.equal((await c.beta.environments.retrieve(e1.ANTHROPIC_ENVIRONMENT_ID)).id, e1.ANTHROPIC_ENVIRONMENT_ID);
      assert.equal((await c.beta.environments.list()).data.length, 1, 'no second environment');
    } finally { await end(b.p); }
  });

  test('--detach comes back when it is ready, and leaves a running server', async () => {
    const data = path.join(tempDir('up3'), 'data');
    const r = await run(BIN, ['up', '--detach', '--listen', '127.0.0.1:0', '--data', data, '--script', scriptFile([on('', {}, say('ok'))])], { timeout: ms(30000) });
    assert.equal(r.code, 0, r.out + r.err);
    const e = env(path.join(data, 'dev.env'));
    // Its pid, to end exactly that process: the oldest of those that carry our data directory in their arguments.
    const carries = (pid) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(data); } catch { return false; } };
    const top = fs.readdirSync('/proc').filter((d) => /^\d+$/.test(d) && carries(d)).map(Number).sort((a, b) => a - b)[0] ?? 0;
    try {
      assert(top > 0, 'it runs');
      const c = new Anthropic({ apiKey: e.ANTHROPIC_API_KEY, baseURL: e.ANTHROPIC_BASE_URL });
      assert.equal((await c.beta.agents.list()).data.length >= 0, true);
    } finally {
      if (top > 0) {
        const kids = [top, ...descendants(top)];
        process.kill(top, 'SIGTERM');
        await until('all of it ends', () => kids.every((k) => !alive(k)), ms(20000));
      }
    }
  });
});

test('up takes no secret from the environment, whatever the policy wants it for', async () => {
  const host = 'https://otel.example';
  const env = { env: 'KEY' };
  const policies = {
    TOKEN: { credentials: [{ name: 'TOKEN', source: env, hosts: ['a.example'] }] },
    'TOKEN within': { credentials: [{ name: 'TOKEN', source: { hashicorp: { address: 'https://v:8200', auth: { token: env }, mount: 'secret', path: 'a' } }, hosts: ['a.example'] }] },
    upstream_proxy: { upstream_proxy: { url: 'http://p:1', user: 'u', password: env } },
    authorization: { audit: { file: '/x', otlp: { endpoint: host, headers: { 'x-other': { file: '/y' }, authorization: env } } } },
  };
  for (const [whose, egress] of Object.entries(policies)) {
    const dir = tempDir('up');
    fs.writeFileSync(path.join(dir, 'p.yaml'), JSON.stringify({ egress }));
    const r = await run(BIN, ['up', '--data', path.join(dir, 'data'), '--egress', path.join(dir, 'p.yaml')], { env: { KEY: 'k'.repeat(20) } });
    assert.equal(r.code, 2, r.err);
    assert.match(r.err, new RegExp(`the secret of ${whose.split(' ')[0]}: the server runs in this process`));
  }
});
