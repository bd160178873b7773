// A session from start to end with the official SDK: an agent, a session in the environment that
// `sallyport up` made, one message, and everything that happens until the turn is over.
//
//     npm install @anthropic-ai/sdk
//     . ~/.local/share/sallyport/dev.env          # written by `sallyport up`
//     node --experimental-strip-types session.ts "Look around and tell me what you see."
//
// Node 22.18 and later need no flag. The SDK reads ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY itself.
import Anthropic from '@anthropic-ai/sdk';

const client = new Anthropic();
const environment_id = process.env.ANTHROPIC_ENVIRONMENT_ID;
if (!environment_id) throw new Error('ANTHROPIC_ENVIRONMENT_ID is not set: source the dev.env of `sallyport up` first');
const message = process.argv[2] ?? 'Run a command in your sandbox and tell me what it printed.';

const agent = await client.beta.agents.create({
  name: 'Example agent',
  model: process.env.SALLYPORT_MODEL ?? 'claude-opus-5-5',
  system: 'You work in a sandbox. Be brief.',
  tools: [{ type: 'agent_toolset_20260401' }],
});
const session = await client.beta.sessions.create({ agent: agent.id, environment_id, title: 'Example' });
console.log(`session ${session.id}`);

// Open the stream before sending, so that nothing is missed.
const stream = await client.beta.sessions.events.stream(session.id);
await client.beta.sessions.events.send(session.id, {
  events: [{ type: 'user.message', content: [{ type: 'text', text: message }] }],
});

for await (const event of stream) {
  switch (event.type) {
    case 'agent.message':
      for (const block of event.content) if (block.type === 'text') console.log(`agent: ${block.text}`);
      break;
    case 'agent.tool_use':
      console.log(`tool:  ${event.name} ${JSON.stringify(event.input)}`);
      break;
    case 'user.tool_result':
      for (const block of event.content ?? []) if (block.type === 'text') console.log(`       ${block.text.trimEnd().replaceAll('\n', '\n       ')}`);
      break;
    case 'session.error':
      console.error(`error: ${event.error.message}`);
      break;
  }
  // A pause for a tool (requires_action) is not the end: the worker answers and the turn goes on.
  if (event.type === 'session.status_idle' && event.stop_reason.type !== 'requires_action') break;
  if (event.type === 'session.status_terminated') break;
}
