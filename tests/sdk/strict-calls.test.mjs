// Calls, permissions, threads and interrupts: our worker and the official one against a platform that forgives nothing.
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { betaAgentToolset20260401 } from '@anthropic-ai/sdk/tools/agent-toolset/node';
import { bash, use } from '../lib/strict-platform.mjs';
import { cases } from '../lib/worker-pair.mjs';

const LONG = 'x'.repeat(300);
const confirm = (call, result) => ({ type: 'user.tool_confirmation', tool_use_id: call, result });
const threadEnds = (id) => ({ type: 'session.thread_status_terminated', session_thread_id: id, agent_name: 'child' });
const custom = (call, name, input = {}, more = {}) => ({ type: 'agent.custom_tool_use', id: call, name, input, session_thread_id: null, ...more });
const lookup = betaTool({ name: 'lookup', description: 'd', inputSchema: { type: 'object', properties: {} }, run: async () => 'found' });
const silent = betaTool({ name: 'lookup', description: 'd', inputSchema: { type: 'object', properties: {} }, run: async () => '' });
const withLookup = { oursStart: { args: ['--tool', 'lookup=echo found'] }, sdkStart: { tools: (ctx) => [...betaAgentToolset20260401(ctx), lookup] } };
const READS_ALL = 'the official worker reads the next event only when a call is over';

cases('calls', [
  {
    name: 'a turn of two calls is answered in order, then the item is given back',
    both: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'a command that fails is an error',
    both: { results: ['a error'], ran: { a: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', `${mark('a')}; (exit 3)`));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'only an absent permission or "allow" runs; everything else is held',
    both: { results: ['absent ok', 'allow ok'], ran: { absent: 1, allow: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered, pause }) {
      const s = p.session();
      const held = { null: null, empty: '', ask: 'ask', number: 7, truth: true, list: ['allow'], loud: 'ALLOW', space: 'allow ' };
      s.turn(...Object.entries(held).map(([k, v]) => bash(k, mark(k), { evaluated_permission: v })), bash('absent', mark('absent'), { evaluated_permission: undefined }), bash('allow', mark('allow')));
      const w = p.serve(s);
      start();
      await answered('allow');
      await pause(200);
      s.say(...Object.keys(held).map((k) => confirm(k, 'deny')));
      s.idle();
      await stopped(w);
    },
  },
  {
    name: 'a held call runs once it is allowed, and holds the item until then',
    both: { results: ['a ok'], ran: { a: 1 }, stops: ['force'], released: false },
    async play({ p, mark, start, stopped, pause }) {
      const s = p.session();
      s.turn(bash('a', mark('a'), { evaluated_permission: 'ask' }));
      const w = p.serve(s);
      start();
      await p.until('the history is read', () => p.of('list').length > 0);
      await pause(800);   // more than the idle time
      const released = w.state === 'stopped';
      s.say(confirm('a', 'allow'));
      await stopped(w);
      return { released };
    },
  },
  {
    name: 'a verdict in the history counts; a second one changes nothing that was denied',
    both: { results: ['yes ok'], ran: { yes: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('yes', mark('yes'), { evaluated_permission: 'ask' }), bash('no', mark('no'), { evaluated_permission: 'ask' }), bash('odd', mark('odd'), { evaluated_permission: 'ask' }));
      s.say(confirm('yes', 'allow'), confirm('no', 'deny'), confirm('odd', 'maybe'));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'allowed, then denied before it ran: not run',
    ours: { results: ['a error'], ran: {}, stops: ['force'] },
    sdk: { results: [], ran: {} },
    why: 'the official worker gives the call no answer, and the platform, for which the first verdict counts, waits for one',
    async play({ p, mark, start, stopped, kind }) {
      const s = p.session();
      s.turn(bash('a', mark('a'), { evaluated_permission: 'ask' }));
      s.say(confirm('a', 'allow'), confirm('a', 'deny'));
      const w = p.serve(s);
      start();
      await p.until('it follows', () => p.of('list').length > 0);
      if (kind === 'sdk') s.idle();
      await stopped(w);
    },
  },
  {
    name: 'a verdict that comes before its call, on the stream',
    both: { results: ['yes ok'], ran: { yes: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.say({ type: 'session.status_running' });
      const w = p.serve(s);
      start();
      await p.until('it follows', () => s.streams.size > 0 && p.of('list').length > 0);
      s.say(confirm('yes', 'allow'), confirm('no', 'deny'));
      s.say(bash('yes', mark('yes'), { evaluated_permission: 'ask' }), bash('no', mark('no'), { evaluated_permission: 'ask' }));
      for (const c of ['yes', 'no']) Object.assign(s.calls.get(c), c === 'yes' ? { allowed: true } : { open: false });
      await stopped(w);
    },
  },
  {
    name: 'denied live: the item is not held',
    both: { results: [], ran: {}, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a'), { evaluated_permission: 'ask' }));
      const w = p.serve(s);
      start();
      await p.until('it follows', () => s.streams.size > 0 && p.of('list').length > 0);
      s.say(confirm('a', 'deny'), { type: 'agent.tool_result', tool_use_id: 'a', content: [], is_error: true });
      s.idle();
      await stopped(w);
    },
  },
  {
    name: 'denied by the platform: neither run nor held, whatever a verdict says',
    both: { results: [], ran: {}, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a'), { evaluated_permission: 'deny' }));
      s.say(confirm('a', 'allow'));
      s.idle();
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'custom tools: its own are answered by their own event, others and those of MCP servers are left',
    ...withLookup,
    both: { results: ['a ok', 'b ok'], types: ['user.custom_tool_result', 'user.tool_result'], ran: { b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session();
      s.turn(custom('other', 'else'), { type: 'agent.mcp_tool_use', id: 'm', mcp_server_name: 'x', name: 'bash', input: { command: mark('m') } }, custom('a', 'lookup'), use('web', 'web_fetch', { url: 'http://x' }), use('bashful', 'Bash', { command: mark('c') }), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await answered('b');
      s.say({ type: 'user.custom_tool_result', custom_tool_use_id: 'other', content: [], is_error: false });
      s.idle();
      await stopped(w);
      return { types: p.results.map((r) => r.type) };
    },
  },
  {
    name: 'an asked custom tool is held too',
    ...withLookup,
    both: { results: ['b ok'], stops: ['force'] },
    async play({ p, start, stopped, answered, pause }) {
      const s = p.session();
      s.turn(custom('a', 'lookup', {}, { evaluated_permission: 'ask' }), custom('b', 'lookup'));
      const w = p.serve(s);
      start();
      await answered('b');
      await pause(300);
      s.say(confirm('a', 'deny'));
      s.idle();
      await stopped(w);
    },
  },
  {
    name: 'tools that have nothing to say: every answer is one that the platform takes',
    oursStart: { args: ['--tool', 'lookup=true'] }, sdkStart: { tools: (ctx) => [...betaAgentToolset20260401(ctx), silent] },
    both: { results: ['w ok', 'r ok', 'b ok', 'g ok', 'f ok', 'c ok', 'm error'], stops: ['force'], empty: 0 },
    async play({ p, start, stopped }) {
      const s = p.session();
      s.turn(use('w', 'write', { file_path: 'empty.txt', content: '' }), use('r', 'read', { file_path: 'empty.txt' }), bash('b', 'true'), use('g', 'grep', { pattern: 'nothing' }), use('f', 'glob', { pattern: '*.none' }), custom('c', 'lookup'), use('m', 'read', { file_path: 'missing' }));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { empty: p.results.filter((r) => r.text === '').length };
    },
  },
  {
    name: 'input that is no object is answered with an error',
    both: { results: ['list error', 'null error', 'text error', 'number error', 'absent error', 'good ok'], ran: { good: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(use('list', 'bash', []), use('null', 'bash', null), use('text', 'bash', 'ls'), use('number', 'bash', 7), use('absent', 'bash', undefined), bash('good', mark('good')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'an input that no tool can use is an error, and the session goes on',
    both: { results: ['none error', 'type error', 'good ok'], ran: { good: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(use('none', 'read', {}), use('type', 'read', { file_path: 7 }), bash('good', mark('good')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'ids of any length and text',
    both: { results: [`${LONG} ok`, '../ü "quoted"\n%2F ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session({ id: `sesn_${LONG}` });
      s.turn(bash(LONG, mark('a')), bash('../ü "quoted"\n%2F', mark('b')));
      const w = p.serve(s, { id: `work_${LONG}` });
      start();
      await stopped(w);
    },
  },
  {
    name: 'a call that comes three times runs once',
    both: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session({ ends: false });
      const a = bash('a', mark('a'));
      s.say({ type: 'session.status_running' }, a, a);
      const w = p.serve(s);
      start();
      await answered('a');
      s.say(a, { ...a, unlisted: true }, bash('b', mark('b')));
      await answered('b');
      s.idle();
      await stopped(w);
    },
  },
  {
    name: 'what others have answered is not run',
    both: { results: ['c ok'], ran: { c: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.say({ type: 'user.tool_result', tool_use_id: 'b', content: [] });
      s.turn(bash('a', mark('a')), bash('b', mark('b')), bash('c', mark('c')));
      s.calls.get('b').open = false;
      s.say({ type: 'user.tool_result', tool_use_id: 'a', content: [] });
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
]);

cases('threads and interrupts', [
  {
    name: 'calls of a thread that has ended are neither run nor held',
    both: { results: ['b ok'], ran: { b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a'), { session_thread_id: 't2' }), bash('held', mark('held'), { session_thread_id: 't2', evaluated_permission: 'ask' }), threadEnds('t2'), bash('late', mark('late'), { session_thread_id: 't2' }), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'a held call lets go of the item when its thread ends',
    both: { results: ['b ok'], ran: { b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session();
      s.turn(bash('held', mark('held'), { session_thread_id: 't2', evaluated_permission: 'ask' }), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await answered('b');
      s.idle();
      s.say(threadEnds('t2'));
      await stopped(w);
    },
  },
  {
    name: 'a thread that ends after the last idle does not disturb the countdown',
    both: { results: ['a ok'], ran: { a: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered, pause }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await answered('a');
      await pause(100);
      s.say(threadEnds('t7'));
      await stopped(w);
    },
  },
  {
    name: 'a thread ends while another call runs: its waiting call is not run',
    ours: { results: ['a ok'], ran: { a: 1 }, stops: ['force'] },
    why: READS_ALL,
    async play({ p, mark, start, stopped, ran, touch }) {
      const s = p.session();
      s.turn(bash('a', mark('a', 'while [ ! -e /marks/go ]; do sleep 0.05; done; rm /marks/go')), bash('b', mark('b'), { session_thread_id: 't2' }));
      const w = p.serve(s);
      start();
      await p.until('a runs', () => ran('a'));
      s.say(threadEnds('t2'));
      touch('go');
      await stopped(w);
    },
  },
  {
    name: 'a running call of a thread that ends is cut, and nothing is posted for it',
    ours: { results: ['b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    why: `${READS_ALL}, runs it to its end and posts what the platform refuses`,
    async play({ p, mark, start, stopped, ran }) {
      const s = p.session();
      s.turn(bash('a', mark('a', 'sleep 600'), { session_thread_id: 't2' }), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await p.until('a runs', () => ran('a'));
      s.say(threadEnds('t2'));
      await stopped(w);
    },
  },
  {
    name: 'an interrupt of one thread leaves the calls of another alone',
    ours: { results: ['a ok', 'b error', 'c ok'], ran: { a: 1, c: 1 }, stops: ['force'] },
    sdk: { results: ['a ok', 'b ok', 'c ok'], ran: { a: 1, b: 1, c: 1 }, stops: ['force'] },
    why: 'the official worker does not know interrupts: it runs what its user has stopped',
    async play({ p, mark, start, stopped, ran, inside, touch }) {
      const s = p.session();
      s.turn(bash('a', mark('a', `while [ ! -e ${inside}/go ]; do sleep 0.05; done; rm ${inside}/go`)), bash('b', mark('b'), { session_thread_id: 't2' }), bash('c', mark('c'), { session_thread_id: 't3' }));
      const w = p.serve(s);
      start();
      await p.until('a runs', () => ran('a'));
      s.say({ type: 'user.interrupt', session_thread_id: 't2' });
      touch('go');
      await stopped(w);
    },
  },
  {
    name: 'an interrupted call is cut and answered; what comes after the interrupt runs',
    ours: { results: ['a error', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    why: 'the official worker does not know interrupts: it waits for the call to end',
    async play({ p, mark, start, stopped, ran, answered }) {
      const s = p.session({ ends: false });
      s.turn(bash('a', mark('a', 'sleep 600')));
      const w = p.serve(s);
      start();
      await p.until('a runs', () => ran('a'));
      s.say({ type: 'user.interrupt', session_thread_id: null });
      await answered('a');
      s.turn(bash('b', mark('b')));
      await answered('b');
      s.idle();
      await stopped(w);
    },
  },
  {
    name: 'an interrupt in the history: what stands before it is answered, not run',
    ours: { results: ['a error', 'b ok'], ran: { b: 1 }, stops: ['force'] },
    sdk: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    why: 'the official worker does not know interrupts',
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')), { type: 'user.interrupt' }, bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'an interrupted call that the platform answers itself is not answered again',
    ours: { results: [], ran: { a: 1 }, stops: ['force'] },
    why: READS_ALL,
    async play({ p, mark, start, stopped, ran }) {
      const s = p.session();
      s.turn(bash('a', mark('a', 'sleep 600')));
      const w = p.serve(s);
      start();
      await p.until('a runs', () => ran('a'));
      s.raw([{ type: 'user.interrupt', id: 'i' }, { type: 'agent.tool_result', id: 'r', tool_use_id: 'a', content: [], is_error: true }].map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(''));
      s.idle();
      await stopped(w);
    },
  },
]);
