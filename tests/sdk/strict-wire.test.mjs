// Streams, histories and results on a bad line: our worker and the official one against a platform that forgives nothing.
import { bash } from '../lib/strict-platform.mjs';
import { cases } from '../lib/worker-pair.mjs';

const frame = (ev, { nl = '\n', event = ev.type, pretty = false } = {}) => [
  ...(event === null ? [] : [`event: ${event}`]), ...JSON.stringify(ev, null, pretty ? 1 : 0).split('\n').map((l) => `data: ${l}`), '', ''].join(nl);
const follows = (p, s) => p.until('it follows', () => s.streams.size > 0 && p.of('list').length > 0);
const error = (status, headers = {}) => ({ status, headers, body: { type: 'error', error: { type: 'api_error', message: 'no' } } });
/** Frames of live calls in a shape of their own; then a fence, so that what was left out shows. */
const framed = (name, shape, more = {}) => ({
  name: `frames: ${name}`,
  both: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
  ...more,
  async play({ p, mark, start, stopped, answered }) {
    const s = p.session({ ends: false });
    s.say({ type: 'session.status_running' });   // an empty log is a rest
    const w = p.serve(s);
    if (more.before) more.before(p, s);
    start();
    await follows(p, s);
    s.frame = shape;
    s.say(bash('a', mark('a')));
    s.frame = null;
    s.say(bash('b', mark('b')));
    await answered('b');
    s.idle();
    await stopped(w);
  },
});

cases('streams', [
  framed('CRLF', (e) => frame(e, { nl: '\r\n' })),
  framed('CR', (e) => frame(e, { nl: '\r' })),
  framed('many lines of data', (e) => frame(e, { pretty: true })),
  framed('with ids, retry times and fields to come', (e) => `id: 7\nretry: 1\nfoo: bar\nfoo\n${frame(e)}`),
  framed('beside comments and pings', (e) => `: c\n\n:\n\nevent: ping\ndata: {}\n\nevent: ping\n\n${frame(e)}`),
  framed('after a flood of comments', (e) => `${': keep-alive\n'.repeat(200000)}${frame(e)}`),
  framed('between events to come', (e) => `event: session.of_tomorrow\ndata: {"type":"session.of_tomorrow","id":"t","x":[1]}\n\n${frame(e)}`),
  framed('twice', (e) => frame(e) + frame(e)),
  framed('a byte order mark first', (e) => frame(e), { before: (p) => { p.firstBytes = '\ufeff: here\n\n'; } }),
  framed('without an event line, they are not the platform\'s', (e) => (e.type === 'agent.tool_use' ? frame(e, { event: null }) : frame(e)), { both: { results: ['b ok'], ran: { b: 1 }, stops: ['force'] } }),
  {
    name: 'frames byte by byte',
    both: { results: ['a ok'], stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.say({ type: 'session.status_running' });
      const w = p.serve(s);
      start();
      await follows(p, s);
      const a = bash('a', `${mark('a')} # \u00fc\u20ac\u{1f600}`);
      s.say({ ...a, unstreamed: true });
      for (const b of Buffer.from(frame(a))) { s.raw(Buffer.from([b])); await new Promise(setImmediate); }
      await stopped(w);
    },
  },
  ...Object.entries({
    'is cut': (s) => s.cut(),
    'ends in the middle of a frame': (s) => { s.raw('event: agent.tool_use\ndata: {"type":"agent.to'); s.cut(); },
    'says "error"': (s) => s.raw('event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"later"}}\n\n'),
    'has a frame that cannot be read': (s) => s.raw('event: agent.tool_use\ndata: {"type":"agent.tool_use",\n\n'),
    'ends in order': (s) => { for (const x of s.streams) x.end(); },
  }).map(([name, breaks]) => ({
    name: `a stream that ${name} is opened again, and the history has what was missed`,
    both: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session({ ends: false });
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await answered('a');
      s.say({ ...bash('b', mark('b')), unstreamed: true });
      breaks(s);
      await answered('b');
      await p.until('the second stream', () => s.streams.size > 0 && p.of('list').length >= 2);
      s.idle();
      await stopped(w);
    },
  })),
  {
    name: 'a stream that is cut at once, again and again, is not opened without end',
    both: { slow: true },
    async play({ p, start, pause }) {
      const s = p.session();
      s.idle('requires_action');
      p.serve(s);
      p.on('list', () => { setTimeout(() => s.cut(), 1); });
      start();
      await pause(4000);
      return { slow: p.of('stream').length <= 6 && p.of('list').length <= 6 };
    },
  },
  ...[403, 404].map((status) => ({
    name: `a stream refused with ${status} ends the session`,
    both: { results: [], stops: ['force'] },
    async play({ p, start, stopped }) {
      const s = p.session();
      p.on('stream', () => error(status));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  })),
  {
    name: 'a stream that cannot be had for a while',
    both: { results: ['a ok'], stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      let n = 0;
      p.on('stream', () => (n++ < 2 ? error(503, { 'retry-after': '0.2' }) : undefined));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
]);

cases('histories', [
  {
    name: 'pages are read to their end, then the first call runs',
    both: { results: ['b ok'], ran: { b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      p.pageLimit = 2;
      const s = p.session();
      s.turn(bash('a', mark('a')), bash('b', mark('b')));
      s.say({ type: 'user.tool_result', tool_use_id: 'a', content: [] });
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  ...Object.entries({ empty: { next_page: '' }, absent: {}, null: { next_page: null } }).map(([name, last]) => ({
    name: `a next page that is ${name} ends the history`,
    both: { results: ['a ok'], stops: ['force'], lists: 1 },
    async play({ p, mark, start, stopped }) {
      p.lastPage = last;
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { lists: p.of('list').length };
    },
  })),
  {
    name: 'an empty page in the middle is no end',
    both: { results: ['a ok'], stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      p.on('list', (r) => (r.query.page === undefined ? { status: 200, body: { data: [], next_page: 'page_0' } } : undefined));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  ...Object.entries({ number: 7, truth: true, list: ['page_1'] }).map(([name, next_page]) => ({
    name: `a next page that is a ${name} leads nowhere`,
    ours: { results: ['a ok'], stops: ['force'], lists: 1 },
    why: 'the official client asks for what it is given',
    async play({ p, mark, start, stopped }) {
      p.lastPage = { next_page };
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { lists: p.of('list').length };
    },
  })),
  {
    name: 'a cursor that leads to itself ends the history',
    ours: { results: ['a ok'], stops: ['force'], few: true },
    why: 'the official worker turns round for ever',
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      p.on('list', () => ({ status: 200, body: { data: s.log, next_page: 'page_again' } }));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { few: p.of('list').length <= 2 };
    },
  },
  ...[2, 5, 24].map((round) => ({
    name: `cursors that lead round in a circle of ${round} end the history`,
    ours: { results: ['a ok'], stops: ['force'] },
    why: 'the official worker turns round for ever',
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      p.on('list', (r) => ({ status: 200, body: { data: r.query.page ? [] : s.log, next_page: `page_${(Number((r.query.page ?? '_0').split('_')[1]) + 1) % round}` } }));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  })),
  {
    name: 'cursors without end keep a pace, and what comes live is served',
    ours: { results: ['b ok'], slow: true },
    why: 'the official worker turns round for ever, without a pace',
    async play({ p, mark, start, answered, pause }) {
      const s = p.session({ ends: false });
      let n = 0;
      p.on('list', () => ({ status: 200, body: { data: [], next_page: `page_${++n}` } }));
      p.serve(s);
      start();
      await p.until('it lists', () => n >= 31);
      await pause(2000);
      const lists = p.of('list');
      const slow = lists.length <= 32 + 5 * ((lists.at(-1).at - lists[0].at) / 1000);   // a burst and so many a second, however late they come
      s.say({ type: 'session.status_running' }, bash('b', mark('b')));
      await answered('b');
      return { slow };
    },
  },
  {
    name: 'a history that cannot be had: what comes live is served',
    both: { results: ['a ok'], ran: { a: 1 }, stops: ['force'], few: true },
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session({ ends: false, status: 'running' });
      s.turn(bash('old', mark('old')));
      p.on('list', () => error(503));
      const w = p.serve(s);
      start();
      await p.until('it has tried', () => s.streams.size > 0 && p.of('list').length > 0);
      s.say({ type: 'session.status_running' }, bash('a', mark('a')));
      await answered('a');
      s.say({ type: 'user.tool_result', tool_use_id: 'old', content: [] });
      s.idle();
      await stopped(w);
      return { few: p.of('list').length <= 8 };
    },
  },
  {
    name: 'a history that breaks off: what it showed without an answer is not run',
    both: { results: ['b ok'], ran: { b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped, answered }) {
      p.pageLimit = 3;
      const s = p.session({ ends: false });
      s.say({ type: 'session.status_running' }, bash('a', mark('a')), { type: 'span.model_request_end' }, { type: 'user.tool_result', tool_use_id: 'a', content: [] });
      p.on('list', (r) => (r.query.page === undefined ? undefined : error(500)));
      const w = p.serve(s);
      start();
      await p.until('it has tried', () => s.streams.size > 0 && p.of('list').length > 1);
      s.say(bash('b', mark('b')));
      await answered('b');
      s.idle();
      await stopped(w);
    },
  },
  {
    name: 'a history that comes later is made up for',
    ours: { results: ['b ok', 'a ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    why: 'the official worker reads it again only when the stream breaks',
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session({ ends: false });
      let well = false;
      s.say({ type: 'session.status_running' }, bash('a', mark('a')));
      p.on('list', () => (well ? undefined : error(500)));
      const w = p.serve(s);
      start();
      await p.until('it has tried', () => s.streams.size > 0 && p.of('list').length > 0);
      s.say(bash('b', mark('b')));
      await answered('b');
      well = true;
      await answered('a');
      s.idle();
      await stopped(w);
    },
  },
  ...['history', 'stream'].map((where) => ({
    name: `tool input that our parser refuses, in the ${where}: answered with an error, and the rest is served`,
    ours: { results: ['nul error', 'half error', 'deep error', 'twice error', 'good ok'], ran: { good: 1 }, stops: ['force'] },
    why: 'the official worker runs what is left of it',
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session({ ends: false });
      const deep = '['.repeat(70) + ']'.repeat(70);
      const calls = { nul: '{"command":"echo a\\u0000b"}', half: '{"command":"echo \\ud800"}', deep: `{"command":"true","x":${deep}}`, twice: '{"command":"true","command":"false"}' };
      const odd = (id) => `{"type":"agent.tool_use","id":"${id}","name":"bash","input":${calls[id]},"session_thread_id":null}`;
      const ids = Object.keys(calls);
      for (const c of ids) s.calls.set(c, { open: true, allowed: true, custom: false });
      const good = bash('good', mark('good'));
      if (where === 'history') { s.calls.set('good', { open: true, allowed: true, custom: false }); p.on('list', () => ({ status: 200, text: `{"data":[{"type":"session.status_running","id":"x"},${ids.map(odd).join(',')},${JSON.stringify(good)}],"next_page":null}` })); }
      s.say({ type: 'session.status_running' });
      const w = p.serve(s);
      start();
      await follows(p, s);
      if (where === 'stream') {
        for (const c of ids) s.raw(`event: agent.tool_use\ndata: ${odd(c)}\n\n`);
        s.say(good);
      }
      await answered('good');
      s.idle();
      await stopped(w);
    },
  })),
  {
    name: 'a page that is unreadable and large is asked for in parts',
    ours: { results: ['nul error', 'good ok'], ran: { good: 1 }, stops: ['force'], smaller: true },
    why: 'the official worker reads it whole',
    async play({ p, mark, start, stopped, answered }) {
      const s = p.session({ ends: false });
      s.say({ type: 'session.status_running' }, bash('nul', 'NUL'), bash('good', mark('good')));
      for (let i = 0; i < 30; i++) s.say({ type: 'agent.message', content: [{ type: 'text', text: 'x'.repeat(40000) }] });
      p.on('list', (r) => { const a = p.list(r, null, ...r.ids); return { status: 200, text: JSON.stringify(a.body).replace('"NUL"', '"echo \\u0000"') }; });
      const w = p.serve(s);
      start();
      await answered('good');
      s.idle();
      await stopped(w);
      return { smaller: p.of('list').some((r) => Number(r.query.limit) < 1000) };
    },
  },
  {
    name: 'a page with a byte order mark, and one with events to come and none',
    both: { results: ['a ok'], stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.say({ type: 'session.of_tomorrow', x: { y: [null] } });
      s.turn(bash('a', mark('a')));
      p.on('list', () => ({ status: 200, text: `\ufeff${JSON.stringify({ data: s.log, next_page: null, has_more: 'maybe', more: {} })}` }));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
]);

/** The first results are answered so; `n` are. */
const refusedSends = (p, n, answer) => { let k = 0; p.on('send', (r) => (k++ < n ? answer(r) : undefined)); };
const sends = (p) => p.of('send');

cases('results', [
  ...Object.entries({
    'is answered 503': error(503), 'is answered 500 with a page of HTML': { status: 500, headers: { 'content-type': 'text/html' }, text: '<html>' }, 'is answered 409': error(409), 'is answered 408': error(408), 'has its answer broken off': { reset: true },
  }).map(([name, answer]) => ({
    name: `a result that ${name} is sent again, once it is taken`,
    both: { results: ['a ok'], ran: { a: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      refusedSends(p, 2, () => answer);
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  })),
  ...Object.entries({ 'a fraction': { 'retry-after': '1.2' }, milliseconds: { 'retry-after-ms': '1200' } }).map(([name, headers]) => ({
    name: `a result that comes too soon waits as long as it is told (${name})`,
    both: { results: ['a ok'], obeyed: true },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      refusedSends(p, 1, () => error(429, headers));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { obeyed: sends(p)[1].at - sends(p)[0].at >= 1200 };
    },
  })),
  {
    name: 'a result that was taken, and whose answer was lost, is not sent again once the stream shows it',
    ours: { results: ['a ok'], ran: { a: 1 }, stops: ['force'], sends: 1 },
    why: 'the official client sends again at once, and is refused',
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      refusedSends(p, 1, (r) => { p.send(r, null, ...r.ids); return { reset: true }; });
      const w = p.serve(s);
      start();
      await stopped(w);
      return { sends: sends(p).length };
    },
  },
  {
    name: 'a result that is refused with 400 is tried again after a reconnect',
    ours: { results: ['a ok'], ran: { a: 1 }, stops: ['force'] },
    sdk: { results: ['a ok'], ran: { a: 2 }, stops: ['force'] },
    why: 'the official worker runs the call a second time; ours keeps the result',
    async play({ p, mark, start, stopped, kind }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const n = kind === 'ours' ? 2 : 1;   // ours asks a second time, with an error that says what happened
      refusedSends(p, n, () => error(400));
      const w = p.serve(s);
      start();
      await p.until('it was refused', () => sends(p).length >= n && sends(p).at(-1).status === 400);
      s.cut();
      await stopped(w);
    },
  },
  {
    name: 'a result that the platform will not have is replaced by an error',
    ours: { results: ['a error', 'b ok'], stops: ['force'] },
    sdk: { results: ['b ok'] },
    why: 'the official worker leaves the call without an answer, and the session waits for it',
    async play({ p, mark, start, stopped, answered, kind }) {
      const s = p.session();
      s.turn(bash('a', mark('a')), bash('b', mark('b')));
      refusedSends(p, 1, () => error(413));
      const w = p.serve(s);
      start();
      await (kind === 'ours' ? stopped(w) : answered('b'));
    },
  },
]);

cases('what is not built', [
  {
    name: 'skills that cannot be had: the call runs; ours says so in its first result',
    ours: { results: ['a ok', 'b ok'], told: [true, false], stops: ['force'], logged: true },
    sdk: { results: ['a ok', 'b ok'], told: [false, false], stops: ['force'], logged: false },
    why: 'the official worker tells its log alone',
    async play({ p, mark, start, stopped, worker }) {
      const s = p.session({ agent: { skills: [{ type: 'custom', skill_id: 'skill_pdf', version: 'latest' }] } });
      s.turn(bash('a', mark('a')), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { told: p.results.map((r) => /does not install skills.*skill_pdf/.test(r.text)), logged: /skills, which are not installed/.test(worker().log()) };
    },
  },
  {
    name: 'a memory store: no call runs, each is answered with the reason',
    ours: { results: ['a error', 'b error'], ran: {}, told: [true, true], stops: ['force'], logged: true },
    why: 'the official worker mounts memory stores',
    async play({ p, mark, start, stopped, worker }) {
      const s = p.session({ resources: [{ type: 'memory_store', memory_store_id: 'memstore_x', access: 'read_write', mount_path: '/mnt/memory/x', name: 'x' }] });
      s.turn(bash('a', mark('a')), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { told: p.results.map((r) => /cannot mount memory stores/.test(r.text)), logged: /level=error .*memory store/.test(worker().log()) };
    },
  },
  {
    name: 'a memory store and no token for it: nothing runs',
    ours: { results: ['a error'], ran: {}, stops: ['force'] },
    sdk: { results: [], ran: {}, stops: ['force'] },
    why: 'the official worker stops the item and does not tell the session',
    async play({ p, mark, start, stopped }) {
      const s = p.session({ resources: [{ type: 'memory_store', memory_store_id: 'memstore_x' }] });
      s.turn(bash('a', mark('a')));
      const w = p.serve(s, { secret: null });
      start();
      await stopped(w);
    },
  },
]);
