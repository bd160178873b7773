// A tool that your own program serves: the agent calls `order_status`, this process answers. The
// agent's other tools run under the worker as usual; each side answers what it owns.
//
//     . ~/.local/share/sallyport/dev.env
//     node --experimental-strip-types custom-tool.ts
import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';

const client = new Anthropic();
const environment_id = process.env.ANTHROPIC_ENVIRONMENT_ID;
if (!environment_id) throw new Error('ANTHROPIC_ENVIRONMENT_ID is not set: source the dev.env of `sallyport up` first');

const orderStatus = betaTool({
  name: 'order_status',
  description: 'Tells how far an order is.',
  inputSchema: { type: 'object', properties: { order: { type: 'string' } }, required: ['order'] },
  run: async ({ order }) => `order ${order}: packed, leaves tomorrow`,
});

const agent = await client.beta.agents.create({
  name: 'Order desk',
  model: process.env.SALLYPORT_MODEL ?? 'claude-opus-5-5',
  tools: [{ type: 'custom', name: orderStatus.name, description: orderStatus.description!, input_schema: orderStatus.input_schema as { type: 'object' } }],
});
const session = await client.beta.sessions.create({ agent: agent.id, environment_id });
await client.beta.sessions.events.send(session.id, {
  events: [{ type: 'user.message', content: [{ type: 'text', text: 'Where is order 1017?' }] }],
});

// The runner follows the session, runs the tool, posts results, and ends a moment after the turn does.
for await (const call of client.beta.sessions.events.toolRunner(session.id, { tools: [orderStatus], maxIdleMs: 1000 }))
  console.log(`tool:  ${call.name} ${JSON.stringify(call.event.input)} posted=${call.posted}`);

for await (const event of client.beta.sessions.events.list(session.id))
  if (event.type === 'agent.message') for (const block of event.content) if (block.type === 'text') console.log(`agent: ${block.text}`);
