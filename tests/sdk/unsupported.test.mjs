// Capabilities that are not built yet are refused with a sentence, never silently ignored, and leave
// nothing behind. When one is built, its line here moves to that capability's own tests.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { makeAgent, selfHosted, startServer, TOOLSET } from '../lib/sallyport.mjs';
import { all, refusedRaw } from '../lib/check.mjs';
import { routeFamilies } from '../lib/sdk-types.mjs';
import { userMessage } from '../lib/session.mjs';

describe('not built yet', () => {
  let s, env, agent, session;
  before(async () => {
    s = await startServer();
    ({ env } = await selfHosted(s));
    agent = await makeAgent(s);
    session = await s.client().beta.sessions.create({ agent: agent.id, environment_id: env.id });
  });
  after(() => s?.stop());

  /** A refusal in words: names the field, says it is not available, and is more than a code. */
  const sentence = (r, field) => {
    const e = refusedRaw(r, 400, { type: 'invalid_request_error' });
    assert.match(e.message, field);
    assert(e.message.split(/\s+/).length >= 5, `a sentence: ${e.message}`);
  };

  for (const [what, more, field] of [
    ['vault_ids', { vault_ids: ['vlt_x'] }, /vault/],
    ['file resources', { resources: [{ type: 'file', file_id: 'file_x' }] }, /resource/],
    ['memory_store resources', { resources: [{ type: 'memory_store', memory_store_id: 'memstore_x' }] }, /resource|memory/],
    ['github_repository resources', { resources: [{ type: 'github_repository', url: 'https://example.com/x.git' }] }, /resource/],
    ['budget', { budget: { type: 'limit', max_list_cost: { amount: '500', currency: 'USD' } } }, /budget/],
    ['an outcome among the initial events', { initial_events: [{ type: 'user.define_outcome', description: 'd', rubric: { type: 'text', content: 'r' } }] }, /outcome/],
  ]) test(`session: ${what}`, async () => {
    const before = (await all(s.client().beta.sessions.list())).length;
    sentence(await s.api('POST', '/v1/sessions', { agent: agent.id, environment_id: env.id, ...more }), field);
    assert.equal((await all(s.client().beta.sessions.list())).length, before);
  });

  test('session: empty lists and null are no request for the capability', async () => {
    const r = await s.api('POST', '/v1/sessions', { agent: agent.id, environment_id: env.id, vault_ids: [], resources: [], budget: null });
    assert.equal(r.status, 200, r.text);
  });

  for (const [what, more, field] of [
    ['multiagent', { multiagent: { type: 'coordinator', agents: [{ type: 'self' }] } }, /multi/i],
    ['skills', { tools: [TOOLSET], skills: [{ type: 'custom', skill_id: 'skill_x' }] }, /skill/],
    ['mcp_servers', { mcp_servers: [{ type: 'url', name: 'wiki', url: 'https://wiki.example/mcp' }], tools: [{ type: 'mcp_toolset', mcp_server_name: 'wiki' }] }, /mcp/i],
  ]) test(`agent: ${what}`, async () => {
    const r = await s.api('POST', '/v1/agents', { name: 'x', model: 'm', ...more });
    if (r.status === 200) {
      // Accepted as a record (as cloud environments are): then the use of it must be refused.
      sentence(await s.api('POST', '/v1/sessions', { agent: r.body.id, environment_id: env.id }), field);
    } else sentence(r, field);
  });

  for (const [what, ev, field] of [
    ['user.define_outcome', { type: 'user.define_outcome', description: 'd', rubric: { type: 'text', content: 'r' } }, /outcome/],
    ['system.message', { type: 'system.message', content: [{ type: 'text', text: 'x' }] }, /system/],
    ['a file by id', { type: 'user.message', content: [{ type: 'document', source: { type: 'file', file_id: 'file_x' } }] }, /file/],
  ]) test(`event: ${what}`, async () => {
    sentence(await s.api('POST', `/v1/sessions/${session.id}/events`, { events: [ev] }), field);
    sentence(await s.api('POST', `/v1/sessions/${session.id}/events`, { events: [userMessage('fine'), ev] }), field);
    assert.equal((await all(s.client().beta.sessions.events.list(session.id))).length, 0);
  });

  test('session update: vault_ids and budget', async () => {
    sentence(await s.api('POST', `/v1/sessions/${session.id}`, { title: 'x', vault_ids: ['vlt_x'] }), /vault/);
    sentence(await s.api('POST', `/v1/sessions/${session.id}`, { title: 'x', budget: { type: 'limit', max_list_cost: { amount: '1', currency: 'USD' } } }), /budget/);
    assert.equal((await s.client().beta.sessions.retrieve(session.id)).title, null, 'nothing of it was applied');
  });

  test('every family of routes that the SDK knows is there, or is refused with a sentence', async () => {
    const families = routeFamilies();
    for (const built of ['agents', 'environments', 'sessions', 'tunnels']) assert(families.delete(`/v1/${built}`), built);
    for (const known of ['vaults', 'memory_stores', 'skills', 'files', 'deployments', 'models']) assert(families.has(`/v1/${known}`), known);
    for (const p of families) for (const [method, path] of [['GET', p], ['POST', p], ['GET', `${p}/x`]]) {
      const r = await s.api(method, path, method === 'POST' ? {} : undefined);
      assert.match(refusedRaw(r, 404).message, /are not part of this version of Sallyport\.$/, `${method} ${path}`);
    }
  });

  test('tools that need the platform\'s own sandbox or network', async () => {
    const r = await s.api('POST', '/v1/agents', { name: 'x', model: 'm', tools: [{ ...TOOLSET, configs: [{ name: 'web_fetch', enabled: true }] }] });
    assert([200, 400].includes(r.status));
    if (r.status === 400) sentence(r, /web_fetch/);
  });
});
