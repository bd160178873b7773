// Invariant 2. No key in the record: no credential appears in an event, model request, log line,
// error text, or any file of the data directory. Keys are shown once, by the answer that makes them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { envKey } from '../lib/sallyport.mjs';
import { inside } from '../lib/inside.mjs';
import * as model from '../lib/messages-api.mjs';
import { ms } from '../lib/own.mjs';

test('invariant 2: no key in the record', { timeout: ms(120000) }, async () => {
  const i = await inside({ serverArgs: ['--log-level', 'debug'] });
  const { s, m, w, env, key } = i;
  const secrets = { 'API key': s.apiKey, 'environment key': key, 'model key': 'sk-ant-decoy-model-key-0123456789abcdef' };
  const seen = [];   // every answer body that is not the one which makes a key
  try {
    // Use every secret in every way that might leave a trace: rightly, wrongly, in the wrong place.
    const x = await i.session();
    await i.sh(x, 'echo work');
    const k2 = await envKey(s, env.id, 'second');
    secrets['revoked key'] = k2.key;
    // Items of another environment, claimed by us, so that we know a sessions token.
    const e2 = await s.client().beta.environments.create({ name: 'two', config: { type: 'self_hosted' } });
    const k3 = await envKey(s, e2.id, 'third');
    secrets['third key'] = k3.key;
    await s.client().beta.sessions.create({ agent: i.agent.id, environment_id: e2.id });
    const item = await s.as(k3.key).beta.environments.work.poll(e2.id);
    secrets['work secret'] = item.secret;
    secrets['sessions token'] = JSON.parse(Buffer.from(item.secret, 'base64url')).sessions_token;
    await s.as(k3.key).beta.environments.work.ack(item.id, { environment_id: e2.id });
    await s.as(secrets['sessions token']).beta.environments.work.heartbeat(item.id, { environment_id: e2.id });
    // Tunnels: a token that was rotated away, and the one that is good.
    const { tunnels } = s.client().beta, tunnel = await tunnels.create({ display_name: 'office' });
    secrets['rotated tunnel token'] = (await tunnels.revealToken(tunnel.id)).tunnel_token;
    secrets['tunnel token'] = (await tunnels.rotateToken(tunnel.id, { reason: 'lost' })).tunnel_token;
    for (const p of ['/v1/tunnels', `/v1/tunnels/${tunnel.id}`, `/v1/tunnels/${tunnel.id}/certificates`, `/v1/tunnels/${secrets['tunnel token']}`])
      seen.push([p.slice(0, 20), (await s.api('GET', p, undefined, { headers: { 'anthropic-beta': 'mcp-tunnels-2026-06-22' } })).text]);
    const bad = (k) => k.slice(0, -1) + (k.endsWith('x') ? 'y' : 'x');
    for (const [name, k] of Object.entries({ ...secrets })) {
      for (const p of ['/v1/agents', `/v1/environments/${env.id}/work/poll`, `/v1/sessions/${x.id}`, `/v1/agents/${encodeURIComponent(k)}`, `/v1/sessions?page=${encodeURIComponent(k)}`])
        for (const use of [k, bad(k)]) seen.push([`${name} on ${p.slice(0, 30)}`, (await s.api('GET', p, undefined, { key: use })).text]);
      seen.push([`${name} as a header`, (await s.api('GET', '/v1/agents', undefined, { headers: { 'anthropic-version': k, 'anthropic-beta': k } })).text]);
    }
    await s.api('DELETE', `/v1/environments/${env.id}/keys/${k2.id}`);
    for (const p of ['/v1/agents', '/v1/environments', `/v1/environments/${env.id}/keys`, `/v1/environments/${env.id}/work`, `/v1/environments/${e2.id}/work`, '/v1/sessions', `/v1/sessions/${x.id}/events`, `/v1/environments/${e2.id}/work/${item.id}`])
      seen.push([p, (await s.api('GET', p)).text]);
    // A model that refuses, and one that reflects the key it was given.
    for (const act of [model.unauthorised(), model.fail(400, 'invalid_request_error', { message: `bad key ${secrets['model key']}` }), model.fail(500, 'api_error', { message: `echo ${secrets['model key']}` })]) {
      const y = await i.session();
      m.queue = [];
      m.fallback = act;
      await y.say('go');
      const e = await y.next('session.error');
      seen.push(['session.error', JSON.stringify(e)]);
      await y.send({ type: 'user.interrupt' }).catch(() => {});
      await y.close();
    }
    seen.push(['model requests', JSON.stringify(m.requests.map((q) => q.body))]);
    await x.close();
  } finally { await i.stop(); }

  // What was written down: the data directory, both logs. The API key's one line is where it belongs.
  const files = fs.readdirSync(s.data, { recursive: true }).map((f) => path.join(s.data, f)).filter((f) => fs.statSync(f).isFile());
  assert(files.length >= 1);
  const places = [
    ...seen, ['server stdout', s.proc.out.replace(`api key: ${s.apiKey}\n`, '')], ['server stderr', s.proc.err], ['worker stdout', w.proc.out], ['worker stderr', w.proc.err],
    ...files.map((f) => [f, fs.readFileSync(f, 'latin1')]),
  ];
  assert(places.some(([n, t]) => n.startsWith(s.data) && t.includes(env.id)), 'the search finds what is there');
  assert(s.proc.err.length > 0, 'there is a log to search');
  for (const [name, k] of Object.entries(secrets)) {
    // As itself, base64 of it at each of the three alignments, hex, and without its last characters.
    const forms = [k, k.slice(0, -4), Buffer.from(k).toString('hex'), ...[0, 1, 2].map((n) => Buffer.from('x'.repeat(n) + k).toString('base64').slice(n ? 4 : 0, -4).replace(/=+$/, ''))];
    for (const [where, t] of places) {
      if (name === 'model key' && where === 'session.error' && !t.includes(k)) continue;
      for (const f of forms) assert(!t.includes(f), `${name} is in ${where}`);
    }
  }
});
