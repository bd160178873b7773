// The command line as a person at a shell meets it: exit codes, sentences for what was mistyped, following a
// session to where it rests, and a server with a certificate of its own.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { bash, on, say, selfHosted, startServer, startWorker } from '../lib/sallyport.mjs';
import { BIN, end, ms, repo, run, start, tempDir } from '../lib/own.mjs';

const cli = (env, ...args) => run(BIN, args, { env, timeout: ms(20000) });

describe('session and env against a server', () => {
  let s, w, env, e;
  before(async () => {
    s = await startServer({ rules: [on('break', {}, { fail: { status: 400 } }), on('two', { last: 'user' }, bash('echo one'), bash('echo two')), on('', { last: 'user' }, bash('echo seen')), on('', {}, say('done'))] });
    e = await selfHosted(s);
    w = await startWorker({ url: s.url, envId: e.env.id, envKey: e.key });
    env = { ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: s.apiKey, ANTHROPIC_ENVIRONMENT_ID: e.env.id };
  });
  after(async () => { await w?.stop(); await s?.stop(); });

  /** A session whose calls wait for a person; comes back when they are shown. */
  async function asked(message) {
    const r = await cli(env, 'session', 'create', '--tools', 'ask', '--message', message);
    assert.equal(r.code, 0, r.err);
    return { id: r.err.match(/sesn_\w+/)[0], calls: [...r.out.matchAll(/^ {2}id: (\S+)$/gm)].map((m) => m[1]), ...r };
  }

  test('a confirmed call runs; confirming it again and tail come to an end', async () => {
    const { id, calls } = await asked('look');
    assert.equal(calls.length, 1);
    const first = await cli(env, 'session', 'confirm', id, calls[0], '--allow');
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /\| seen\n[^]*-- idle: end_turn\n$/);
    const again = await cli(env, 'session', 'confirm', id, calls[0], '--allow');
    assert(!again.timedOut, `it ended by itself\n${again.out}`);
    const stop = await cli(env, 'session', 'interrupt', id, '--json');
    assert.equal(JSON.parse(stop.out).data[0].type, 'user.interrupt');
    const tail = await cli(env, 'session', 'tail', id);
    assert(!tail.timedOut && tail.code === 0, `code ${tail.code}\n${tail.out}`);
  });

  test('of two calls that wait, confirming one leaves the other waiting, and says so', async () => {
    const { id, calls } = await asked('two');
    assert.equal(calls.length, 2);
    const one = await cli(env, 'session', 'confirm', id, calls[0], '--allow');
    assert(!one.timedOut, `it ended by itself\n${one.out}`);
    assert.match(one.err, /waits for you/);
    const two = await cli(env, 'session', 'confirm', id, calls[1], '--deny', '--message', 'not that');
    assert(!two.timedOut && two.code === 0, two.err);
    assert.match(two.out, /-- idle: end_turn\n$/);
  });

  test('a call is confirmed once: what comes later changes nothing, says so, and fails', async () => {
    const { id, calls } = await asked('two');
    const first = await cli(env, 'session', 'confirm', id, calls[0], '--allow', '--no-follow');
    assert.equal(first.code, 0, first.err);
    for (const how of [['--allow'], ['--deny'], ['--deny', '--message', 'too late'], ['--allow', '--no-follow']]) {
      const r = await cli(env, 'session', 'confirm', id, calls[0], ...how);
      assert.equal(r.code, 1, `${how} ${r.out}`);
      assert.match(r.err, /nothing was changed: call \S+ was allowed before, at 20/);
    }
    const kept = (await s.api('GET', `/v1/sessions/${id}/events?types[]=user.tool_confirmation`)).body.data;
    assert.deepEqual(kept.map((e) => e.result), ['allow'], 'the log knows of one');
    await cli(env, 'session', 'interrupt', id);
    const ended = await cli(env, 'session', 'confirm', id, calls[1], '--allow');
    assert.equal(ended.code, 1);
    assert.match(ended.err, /has ended and waits for no confirmation/);
  });

  test('SALLYPORT_MODEL names the model of an agent that is made for a session', async () => {
    for (const [more, args, want] of [[{ SALLYPORT_MODEL: 'some-model' }, [], 'some-model'], [{ SALLYPORT_MODEL: 'some-model' }, ['--model', 'other'], 'other'], [{ SALLYPORT_MODEL: '' }, [], /^claude-/]]) {
      const r = await cli({ ...env, ...more }, 'session', 'create', '--json', ...args);
      const { agent } = JSON.parse(r.out);
      if (want instanceof RegExp) assert.match(agent.model.id, want); else assert.equal(agent.model.id, want);
    }
  });

  test('a turn that failed is exit code 1', async () => {
    const r = await cli(env, 'session', 'create', '--message', 'break');
    assert.match(r.out, /^! model_request_failed_error\n[^]*-- idle: retries_exhausted\n$/m);
    assert.equal(r.code, 1);
    const none = await startServer();   // without a model
    try {
      const { env: e2 } = await selfHosted(none);
      const q = await cli({ ANTHROPIC_BASE_URL: none.url, ANTHROPIC_API_KEY: none.apiKey }, 'session', 'create', '--environment', e2.id, '--message', 'x');
      assert.match(q.out, /-- idle: retries_exhausted\n$/);
      assert.equal(q.code, 1);
    } finally { await none.stop(); }
  });

  test('nothing but text when the output is no terminal', async () => {
    const r = await cli(env, 'session', 'create', '--message', 'look');
    assert.equal(r.code, 0, r.err);
    assert(!/[\r\x1b]/.test(r.out + r.err));
  });

  test('wrong usage is 2 with the word, a refusal is 1 with the reason', async () => {
    for (const [args, code, re] of [
      [['session', 'confirm', 'sesn_x', 'sevt_x'], 2, /--allow or --deny/],
      [['session', 'tail', 'a/../b c'], 2, /session list shows the ids/],
      [['session', 'tial', 'x'], 2, /"tial".*did you mean tail/],
      [['session', 'list', '--limit', '0'], 2, /--limit.*1 to 1000/],
      [['session', 'create', '--mesage', 'x'], 2, /did you mean --message/],
      [['session', 'tail', 'sesn_nope'], 1, /not found/],
      [['session', 'create', '--environment', 'env_nope'], 1, /env_nope not found/],
      [['env', 'key', 'revoke', '../x'], 2, /id is letters/],
      [['env', 'key', 'revoke', 'envkey_nope'], 1, /not found/],
      [['env', 'frob'], 2, /no verb "frob"/],
      [['env', 'key'], 2, /^Works with environments/m],
    ]) {
      const r = await cli(env, ...args);
      assert.equal(r.code, code, `${args.join(' ')}\n${r.err}`);
      assert.match(r.err, re);
    }
    const help = await cli(env, 'env', 'key', '--help');
    assert.equal(help.code, 0);
    const at = [...help.out.matchAll(/^ {2}(?:list|create|key \w+) +(?=[A-Z])/gm)].map((m) => m[0].length);
    assert.equal(at.length, 5);
    assert.equal(new Set(at).size, 1, 'one column');
  });

  test('no server, half of a server, a wrong key: sentences', async () => {
    const dir = tempDir('cli');
    for (const [vars, args, re] of [
      [{}, ['--data', dir], /run `sallyport up`/],
      [{ ANTHROPIC_BASE_URL: s.url }, [], /ANTHROPIC_API_KEY is not set/],
      [{}, ['--base-url', s.url], /--base-url.*ANTHROPIC_API_KEY is not set/],
      [{ ANTHROPIC_BASE_URL: s.url, ANTHROPIC_API_KEY: 'sk-sp-api-wrong' }, [], /does not accept the API key/],
      [{ ANTHROPIC_BASE_URL: 'http://127.0.0.1:1', ANTHROPIC_API_KEY: 'x' }, [], /127\.0\.0\.1:1: .*is the server running/],
    ]) {
      const r = await cli(vars, 'session', 'list', ...args);
      assert.equal(r.code, 1, r.err);
      assert.match(r.err, re);
    }
  });
});

test('HTTPS with a certificate of our own: SSL_CERT_FILE names whom to trust', async () => {
  const dir = tempDir('tls');
  const [cert, key] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
  const made = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert]);
  assert.equal(made.code, 0, made.err);
  const p = start(BIN, ['server', '--listen', '127.0.0.1:0', '--data', path.join(dir, 'data'), '--tls-cert', cert, '--tls-key', key]);
  try {
    const [, url] = await p.line(/^ready (https:\/\/\S+)$/m);
    const env = { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: p.out.match(/^api key: (\S+)$/m)[1] };
    const refused = await cli(env, 'env', 'list');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /certificate/);
    const trusted = await cli({ ...env, SSL_CERT_FILE: cert }, 'env', 'create', 'production');
    assert.equal(trusted.code, 0, trusted.err);
    assert.match(trusted.out, /^env_\w+\n$/);
  } finally { await end(p); }
});

test('up --detach without a model says so; a second one leaves the log of the first alone', async () => {
  const data = path.join(tempDir('up4'), 'data');
  const first = await cli({}, 'up', '--detach', '--listen', '127.0.0.1:0', '--data', data);
  assert.equal(first.code, 0, first.err);
  const pid = Number(first.out.match(/^ {2}pid +(\d+)/m)[1]);
  try {
    assert.match(first.out, /^ {2}model +none: .*ANTHROPIC_API_KEY.*--script$/m);
    const second = await cli({}, 'up', '--detach', '--listen', '127.0.0.1:0', '--data', data);
    assert.equal(second.code, 1);
    assert.match(second.err, /already uses data directory/);
    assert(!second.err.includes('ready http'), 'only its own words');
    assert.match(fs.readFileSync(path.join(data, 'up.log'), 'utf8'), /^ready http/m);
  } finally { process.kill(pid, 'SIGTERM'); }
});

test('the bash completion offers verbs, flags and choices', async () => {
  const dir = tempDir('comp');
  fs.symlinkSync(BIN, path.join(dir, 'sallyport'));
  const words = async (...w) => {
    const r = await run('bash', ['-c', 'eval "$(sallyport completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _sallyport; echo "${COMPREPLY[*]}"', 'bash', 'sallyport', ...w], { env: { PATH: `${dir}:${process.env.PATH}` } });
    assert.equal(r.code, 0, r.err);
    return r.out.trim().split(' ');
  };
  assert.deepEqual(await words('se'), ['server', 'session']);
  assert.deepEqual(await words('session', 'c'), ['create', 'confirm']);
  assert.deepEqual(await words('env', 'key', 'r'), ['revoke']);
  assert.deepEqual(await words('tunnel', 'token', 'rotate', '--re'), ['--reason']);
  assert.deepEqual(await words('gateway', 'r'), ['renew-cert']);
  assert.deepEqual(await words('gateway', '--c'), ['--config']);
  assert.deepEqual(await words('gateway', 'init', '--tu'), ['--tunnel-id']);
  assert.deepEqual(await words('gateway', 'renew-cert', '--fo'), ['--force']);
  assert.deepEqual(await words('help', 'w'), ['worker']);
  assert.deepEqual(await words('session', 'create', '--to'), ['--tools']);
  assert.deepEqual(await words('server', '--log-level', 'w'), ['warn']);

  // All that the helps list, in their order.
  const listed = async (...command) => {
    const { out } = await run(BIN, [...command, '--help']);
    return [...out.split(/^(?:Commands|Verbs):$/m)[1].matchAll(/^ {2}(\S+(?: \S+)?) /gm)].map((m) => m[1]);
  };
  const commands = await listed();
  assert(commands.length > 5);
  assert.deepEqual(await words(''), [...commands, 'help', '--version', '--help']);
  assert.deepEqual(await words('help', ''), commands);
  for (const command of ['session', 'env', 'tunnel', 'mcp', 'rootfs']) {
    const verbs = await listed(command);
    assert(verbs.length > (command === 'mcp' ? 1 : 2));
    assert.deepEqual(await words(command, ''), [...new Set(verbs.map((v) => v.split(' ')[0]))], command);
    for (const first of { env: ['key'], tunnel: ['token', 'cert'] }[command] ?? [])
      assert.deepEqual(await words(command, first, ''), verbs.filter((v) => v.startsWith(`${first} `)).map((v) => v.slice(first.length + 1)));
  }
});

test('the scripts that the documents name are understood', async () => {
  for (const f of ['demo/hello.yaml', 'demo/review.yaml']) {
    const s = await startServer({ script: path.join(repo, f) });
    await s.stop();
    assert.equal(s.proc.code, 0, s.proc.tail());
  }
});

test('a worker told wrong says which setting, and ends with 2', async () => {
  const dir = tempDir('wrk');
  const key = path.join(dir, 'key');
  fs.writeFileSync(key, 'sk-sp-env-x\n', { mode: 0o600 });
  const good = ['--environment-id', 'env_x', '--environment-key-file', key, '--state-dir', path.join(dir, 'state')];
  for (const [args, re] of [
    [[], /--environment-id/],
    [['--environment-id', 'env_x'], /--environment-key-file FILE or set ANTHROPIC_ENVIRONMENT_KEY/],
    [[...good, '--base-url', 'here'], /--base-url here/],
    [[...good, '--bind', 'nope'], /--bind nope/],
    [[...good, '--bind', '/nonexistent:/mnt/x'], /--bind .*\/nonexistent: No such file/],
    [[...good, '--tool', 'bash=x'], /--tool bash=x/],
    [[...good, '--capacity', '0'], /--capacity: 0 is out of range/],
    [[...good, '--grace', 'soon'], /--grace: "soon" is not a duration/],
  ]) {
    const r = await cli({}, 'worker', ...args);
    assert(!r.timedOut, `it ended by itself\n${r.err}`);
    assert.equal(r.code, 2, r.err);
    assert.match(r.err, re);
  }
});

test('a configuration file: what is wrong is named as it is written there', async () => {
  const file = path.join(tempDir('conf'), 'c.yaml');
  for (const [command, text, re] of [
    ['server', 'listn: x', /c\.yaml: listn: there is no such setting; did you mean listen\?/],
    ['server', 'lease_ttl: 1s', /c\.yaml: lease_ttl: 1s is out of range/],
    ['server', 'lease_ttl: 90.5', /lease_ttl: must be a text or a whole number/],
    ['server', 'check_db: true', /check_db: .*no such setting in a file; give --check-db/],
    ['server', 'listen: a\nlisten: b', /"listen" is given twice/],
    ['up', 'detach: true', /detach: .*give --detach/],
    ['up', 'bind: /a:/b', /bind: must be a list/],
    ['up', 'listen: unix:/tmp/x', /--listen unix:.*HOST:PORT/],
    ['worker', 'sandbox_memory: 1P', /sandbox_memory: "1P" is not a size/],
  ]) {
    fs.writeFileSync(file, `${text}\n`);
    const r = await cli({}, command, '--config', file);
    assert.equal(r.code, 2, `${text}\n${r.err}`);
    assert.match(r.err, re);
  }
});
