// A look from inside a sandbox: a session whose tools run under our worker, driven by the test as if
// it were the model. `sh(command)` runs one bash call and returns its result text.
import { makeAgent, on, selfHosted, startServer, startWorker } from './sallyport.mjs';
import { Session, text } from './session.mjs';
import * as model from './messages-api.mjs';
import { ms } from './own.mjs';

export async function inside({ workerArgs = [], workerEnv, serverArgs = [], spawnWorker } = {}) {
  const m = await model.startMessagesApi();
  const s = await startServer({ args: serverArgs, env: { ANTHROPIC_API_KEY: 'sk-ant-decoy-model-key-0123456789abcdef', SALLYPORT_MODEL_BASE_URL: m.url } });
  const { env, key, keyId } = await selfHosted(s);
  const agent = await makeAgent(s, { model: 'mock' });
  const start = spawnWorker ?? ((o) => startWorker(o));
  const w = start({ url: s.url, envId: env.id, envKey: key, args: workerArgs, env: workerEnv });
  const i = { m, s, env, key, keyId, agent, w };
  i.session = () => Session.create(s, { agent: agent.id, environment_id: env.id });
  /** One tool call in session x; returns {out, is_error}. */
  i.call = async (x, name, input, timeout = ms(60000)) => {
    m.next(model.good([model.toolBlock(name, input)]), model.good('thanks'));
    await x.say('go');
    const use = await x.next('agent.tool_use', 'a tool call', timeout);
    const r = await x.next((e) => e.type === 'user.tool_result' && e.tool_use_id === use.id, `the result of ${name}`, timeout);
    await x.idle('end_turn', timeout);
    return { out: text(r), is_error: r.is_error };
  };
  i.sh = async (x, command, timeout_ms) => (await i.call(x, 'bash', { command, ...(timeout_ms ? { timeout_ms } : {}) })).out;
  i.stop = async () => { await w.stop(); await s.stop(); await m.stop(); };
  return i;
}
