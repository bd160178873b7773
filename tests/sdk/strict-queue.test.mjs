// Items, leases, credentials and the pace of polls: our worker and the official one against a platform that forgives nothing.
import assert from 'node:assert/strict';
import { bash, secretOf, strictPlatform } from '../lib/strict-platform.mjs';
import { ms } from '../lib/own.mjs';
import { cases } from '../lib/worker-pair.mjs';

const SDK_BUG = 'the official worker ends, or spins, on such an answer';
const tokens = (p) => [...new Set(p.requests.filter((r) => !['poll', 'ack'].includes(r.route)).map((r) => r.as))];
const wait = (route, p, n = 1) => p.until(`${n} of ${route}`, () => p.of(route).length >= n);
/** Plays a call that waits for a file, then `during` while it runs. */
const running = (during) => async (scene) => {
  const { p, mark, start, ran, inside } = scene;
  const s = p.session({ ends: false });
  s.turn(bash('a', mark('a', `while [ ! -e ${inside}/go ]; do sleep 0.05; done; rm ${inside}/go`)), bash('b', mark('b')));
  const w = p.serve(s);
  start();
  await p.until('a runs', () => ran('a'));
  return during({ ...scene, s, w });
};
/** Answers the beats to come as told: the first one is over when a call runs. */
const laterBeats = (p, answer) => p.on('heartbeat', answer);
/** Of leases that are not meant to run out: a dozen sanitized workers can hold a machine for seconds. */
const TTL = ms(4000) / 1000;
const beat = (more) => ({ status: 200, body: { type: 'work_heartbeat', last_heartbeat: '2026-01-01T00:00:00.000000Z', lease_extended: true, state: 'active', ttl_seconds: TTL, ...more } });

const served = (name, more, prepare = () => {}, expected = {}) => ({
  name,
  both: { results: ['a ok'], ran: { a: 1 }, stops: ['force'], ...expected },
  ...more,
  async play({ p, mark, start, stopped }) {
    const s = p.session();
    s.turn(bash('a', mark('a')));
    const w = p.serve(s);
    await prepare(p, w, s);
    start();
    await stopped(w);
    return { tokens: tokens(p), blind: !!w.blind };
  },
});

cases('items', [
  ...Object.entries({ empty: '', absent: undefined, null: null, number: 7, odd: '../x y', long: 'x'.repeat(3000) }).map(([name, id]) => ({
    name: `a health check with an id that is ${name} is stopped, and nothing runs`,
    both: { results: [], stops: ['force', 'force'], asked: 1 },
    async play({ p, start, stopped }) {
      const w = p.queue({ type: 'healthcheck', id });
      const s = p.session();
      const next = p.serve(s);
      s.idle();
      start();
      await stopped(w);
      await stopped(next);
      return { asked: p.of('get').length };
    },
  })),
  ...Object.entries({ 'of a type to come': { type: 'tea', id: 'x' }, 'without a type': { id: 'x' } }).map(([name, data]) => ({
    name: `an item ${name} is stopped, and nothing runs`,
    both: { results: [], stops: ['force'] },
    async play({ p, start, stopped }) { const w = p.queue(data); start(); await stopped(w); },
  })),
  ...Object.entries({ null: null, absent: undefined, 'a text': 'session' }).map(([name, data]) => ({
    name: `an item whose data is ${name} is stopped`,
    ours: { results: [], stops: ['force'] },
    why: SDK_BUG,
    async play({ p, start, stopped }) { const w = p.queue(data); start(); await stopped(w); },
  })),
  ...Object.entries({ empty: '', dots: '..', path: '../agents', space: 'a b', number: 7 }).map(([name, id]) => ({
    name: `a session whose id is ${name} is stopped, and nothing is asked for`,
    ours: { results: [], stops: ['force'], asked: 0 },
    why: 'the official worker asks for what its URL library makes of it',
    async play({ p, start, stopped }) { const w = p.queue({ type: 'session', id }); start(); await stopped(w); return { asked: p.of('get').length + p.of('stream').length }; },
  })),
  {
    name: 'an item taken back, of which the refused stream tells before a heartbeat can: the session finds its files',
    ours: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 } },
    why: 'the official worker has no sandboxes to keep',
    async play({ p, mark, start, answered }) {
      const s = p.session({ ends: false });
      s.turn(bash('a', mark('a', 'echo kept > $HOME/of-a')));
      const w = p.serve(s);
      start();
      await answered('a');
      let refused = false;
      p.on('heartbeat', (r) => (r.ids[1] === w.id ? { status: 503, body: {} } : undefined));
      p.on('stream', (r) => {
        if (w.state === 'stopped' && r.auth === w.token) { refused = true; return { status: 404, body: { type: 'error', error: { type: 'not_found_error', message: 'Not found' } } }; }
        return undefined;
      });
      w.state = 'stopped';
      s.cut();
      await p.until('the stream is refused', () => refused);
      s.turn(bash('b', mark('b', 'cat $HOME/of-a')));
      p.serve(s);
      await answered('b');
      assert.match(p.answer('b').text, /^kept\n/);
    },
  },
  {
    name: 'a terminated session is stopped by force: nothing runs, nothing is followed',
    both: { results: [], ran: {}, stops: ['force'], followed: 0 },
    async play({ p, mark, start, stopped }) {
      const s = p.session({ status: 'terminated' });
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { followed: p.of('stream').length };
    },
  },
  {
    name: 'an archived session too',
    both: { results: [], ran: {}, stops: ['force'], followed: 0 },
    async play({ p, mark, start, stopped }) {
      const s = p.session({ status: 'terminated', archived_at: '2026-01-01T00:00:00.000000Z', resources: [{ type: 'memory_store', memory_store_id: 'memstore_x' }] });
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await stopped(w);
      return { followed: p.of('stream').length };
    },
  },
  {
    name: 'an archived session that calls itself idle',
    ours: { results: [], ran: {}, stops: ['force'] },
    why: 'the official worker looks at the status alone',
    async play({ p, mark, start, stopped }) {
      const s = p.session({ archived_at: '2026-01-01T00:00:00.000000Z' });
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
  {
    name: 'a session that the platform does not show is stopped, and the next item served',
    both: { results: ['b ok'], ran: { b: 1 }, stops: ['force', 'force'] },
    async play({ p, mark, start, stopped }) {
      const gone = p.session(), s = p.session();
      p.on('get', (r) => (r.ids[0] === gone.id ? { status: 404, body: { type: 'error', error: { type: 'not_found_error', message: 'Not found' } } } : undefined));
      gone.turn(bash('a', mark('a')));
      s.turn(bash('b', mark('b')));
      const w = p.serve(gone), next = p.serve(s);
      start();
      await stopped(w);
      await stopped(next);
    },
  },
  served('a session that cannot be read at once is asked for again', {}, (p) => { let n = 0; p.on('get', () => (n++ < 2 ? { status: 503, headers: { 'retry-after-ms': '50' }, body: {} } : undefined)); }),
  {
    name: 'an item whose acknowledgement is refused is left to others',
    both: { results: ['b ok'], stops: ['none', 'force'], ran: { b: 1 } },
    async play({ p, mark, start, stopped }) {
      const other = p.session(), s = p.session();
      other.turn(bash('a', mark('a')));
      s.turn(bash('b', mark('b')));
      const w = p.serve(other), next = p.serve(s);
      p.on('ack', (r) => (r.ids[1] === w.id ? { status: 404, body: { type: 'error', error: { type: 'not_found_error', message: 'Not found' } } } : undefined));
      start();
      await stopped(next);
    },
  },
  ...Object.entries({ 'fails': () => ({ status: 503, body: {} }), 'is taken, and its answer lost': (p, r) => { p.ack(r, null, ...r.ids); return { reset: true }; } }).map(([name, answer], i) => ({
    name: `an acknowledgement that ${name} is repeated, for the same claim`,
    ...(i === 0 ? { both: { results: ['a ok'], stops: ['force'], claims: 1 } } : { ours: { results: ['a ok'], stops: ['force'], claims: 1 }, why: 'the official client takes half a body for an answer' }),
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s), claims = new Set();
      let n = 0;
      p.on('ack', (r) => { claims.add(w.claimed); if (n++ === 0) return answer(p, r); if (w.state === 'starting') return p.out(w); return undefined; });
      start();
      await stopped(w);
      return { claims: claims.size };
    },
  })),
  {
    name: 'a session that ends at rest, and one that is deleted: stopped',
    both: { results: [], stops: ['force', 'force'] },
    async play({ p, start, stopped, kind }) {
      const items = [];
      start({ maxIdle: '1h', maxIdleMs: 3600000 });
      for (const type of ['session.status_terminated', 'session.deleted']) {
        const s = p.session();
        s.idle();
        const w = p.serve(s);
        items.push(w);
        await p.until(`${kind} follows`, () => s.streams.size > 0 && p.of('list').some((r) => r.ids[0] === s.id));
        s.say({ type, id: undefined });
        await stopped(w);
      }
    },
  },
]);

const IDLE_MS = 300;   // of worker-pair.mjs

cases('rest', [
  {
    name: 'a turn within the idle time is served under the same item, and the time begins anew',
    both: { results: ['a ok', 'b ok'], stops: ['force'], early: false },
    oursStart: { maxIdle: '3s' }, sdkStart: { maxIdleMs: 3000 },
    async play({ p, mark, start, stopped, answered, pause }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await answered('a');
      await pause(1000);
      s.turn(bash('b', mark('b')));
      await answered('b');
      await pause(2200);
      const early = w.state === 'stopped';
      await stopped(w);
      return { early };
    },
  },
  {
    name: 'a session of a long id finds its files again under the next item',
    ours: { results: ['a ok', 'b ok'], stops: ['force', 'force'], text: 'kept' },
    why: 'the official worker has one folder for all sessions',
    async play({ p, start, stopped }) {
      const s = p.session({ id: `sesn_${'y'.repeat(300)}` });
      s.turn(bash('a', 'echo kept >/workspace/f'));
      const first = p.serve(s);
      start();
      await stopped(first);
      s.turn(bash('b', 'cat /workspace/f'));
      await stopped(p.serve(s));
      return { text: p.answer('b').text.trim() };
    },
  },
  {
    name: 'an idle for want of an action is no rest',
    both: { early: false },
    async play({ p, start, stopped, pause }) {
      const s = p.session();
      s.turn({ type: 'agent.custom_tool_use', id: 'x', name: 'of_the_app', input: {} });
      const w = p.serve(s);
      start();
      await wait('list', p);
      await pause(3 * IDLE_MS);
      const early = w.state === 'stopped';
      s.say({ type: 'user.custom_tool_result', custom_tool_use_id: 'x', content: [] });
      s.idle();
      await stopped(w);
      return { early };
    },
  },
  ...['refusal', 'budget_reached', 'retries_exhausted', 'of_tomorrow'].map((why) => ({
    name: `an idle for "${why}" is a rest`,
    both: { stops: ['force'] },
    async play({ p, start, stopped }) {
      const s = p.session();
      s.say({ type: 'session.status_running' });
      const w = p.serve(s);
      start();
      await wait('list', p);
      s.idle(why);
      await stopped(w);
    },
  })),
  {
    name: 'what is no status does not end a rest',
    ours: { stops: ['force'] },
    why: 'for the official worker any event but two does, and without another idle it stays',
    async play({ p, start, stopped }) {
      const s = p.session();
      const w = p.serve(s);
      start();
      await wait('list', p);
      s.idle();
      s.say({ type: 'session.updated', title: 'new' }, { type: 'span.outcome_evaluation_start', outcome_id: 'o', iteration: 0 }, { type: 'session.of_tomorrow' });
      await stopped(w);
    },
  },
]);

cases('credentials', [
  served('the token of the item is the credential of all its requests', {}, undefined, { tokens: ['token'] }),
  ...Object.entries({
    'has an empty token': secretOf({ sessions_token: '' }), 'has a token of null': secretOf({ sessions_token: null }), 'has a number for a token': secretOf({ sessions_token: 7 }), 'has no token': secretOf({}),
    'is a list': secretOf([]), 'is no JSON': secretOf('sessions_token'), 'is no base64': '***', 'is null': null, 'is empty': '', 'is cut short': secretOf({ sessions_token: 'sk-ant-req-cut' }).slice(0, -7),
  }).map(([name, secret]) => served(`a secret that ${name}: the environment key serves`, {}, (p, w) => { w.secret = secret; }, { tokens: ['env'] })),
  ...Object.entries({ 'a line break': 'sk-ant-req-x\r\nx-injected: 1', 'a space': 'sk ant', 'a letter that no header takes': 'sk-\u00fc' }).map(([name, token]) => ({
    ...served(`a token with ${name} in it is none`, {}, (p, w) => { w.secret = secretOf({ sessions_token: token }); }, { tokens: ['env'] }),
    both: undefined, ours: { results: ['a ok'], stops: ['force'], tokens: ['env'] }, why: 'the official worker cannot send it and fails the item',
  })),
  served('a secret in padded base64 of the other alphabet', {}, (p, w) => { const t = `${w.token}`; w.secret = Buffer.from(JSON.stringify({ 'x?>': '\u00ff\u00fe?>~', sessions_token: t })).toString('base64'); assert.match(w.secret, /[+/]/); }, { tokens: ['token'] }),
  {
    name: 'two sessions have two credentials, and never each other\'s',
    both: { results: ['a ok', 'b ok'], stops: ['force', 'force'] },
    async play({ p, mark, start, stopped }) {
      const items = [];
      for (const c of ['a', 'b']) { const s = p.session(); s.turn(bash(c, mark(c))); items.push(p.serve(s)); }
      start();
      for (const w of items) await stopped(w);
      p.results.sort((x, y) => x.call.localeCompare(y.call));
    },
  },
  {
    name: 'a redirect takes no credential elsewhere',
    both: { results: [], stops: ['force'], leaked: false },
    async play({ p, mark, start, stopped }) {
      const other = await strictPlatform({ env: p.env });
      try {
        const s = p.session();
        s.turn(bash('a', mark('a')));
        p.on('get', (r) => ({ status: 307, headers: { location: `${other.url}${r.path}` }, body: {} }));
        const w = p.serve(s);
        start();
        await stopped(w);
        return { leaked: other.requests.some((r) => r.auth !== '') };
      } finally { other.close(); }
    },
  },
]);

cases('leases', [
  {
    name: 'every stamp is sent back to the byte, an empty one too',
    both: { results: ['a ok', 'b ok'], stops: ['force'], blind: false },
    platform: { ttl: TTL },
    play: running(async ({ p, s, w, touch, stopped, answered }) => {
      w.stamps = ['x y&z+%\u00fc', '', 'y'.repeat(200), ''];
      await wait('heartbeat', p, 4);
      touch('go');
      await answered('b');
      s.idle();
      await stopped(w);
      return { blind: !!w.blind };
    }),
  },
  {
    name: 'a lease that is another worker\'s: nothing is posted, the item is not stopped',
    both: { results: [], stops: ['none'], refusals: ['POST /v1/environments/env_strict/work/work_/heartbeat: 412 Heartbeat precondition failed: expected S, actual was S'] },
    platform: { ttl: 1.5 * TTL },
    play: running(async ({ p, w, touch, pause }) => {
      w.last = '2026-01-01T00:00:00.000000Z';
      await wait('heartbeat', p, 2);
      await pause(1000);
      touch('go');
      await pause(500);
      p.refusals = p.refusals.map((r) => r.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'S'));
    }),
  },
  ...Object.entries({ 'the item is stopped': { state: 'stopped', lease_extended: false }, 'the lease is not extended': { lease_extended: false }, 'the item is stopped, and yet extended': { state: 'stopped' }, 'nothing about the lease': { lease_extended: undefined } }).map(([name, more]) => ({
    name: `a heartbeat that says ${name}: nothing is posted, the stop is confirmed`,
    both: { results: [], stops: ['force'], ran: { a: 1 } },
    platform: { ttl: TTL },
    play: running(async ({ p, w, touch, pause, stopped }) => {
      laterBeats(p, () => beat(more));
      await stopped(w);
      touch('go');
      await pause(300);
    }),
  })),
  ...Object.entries({ stopped: { state: 'stopped', lease_extended: false }, stopping: { state: 'stopping', lease_extended: false }, 'not extended': { lease_extended: false } }).map(([name, more]) => ({
    name: `a first heartbeat that says ${name}: nothing runs, the stop is confirmed`,
    both: { results: [], ran: {}, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      p.on('heartbeat', () => beat(more));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  })),
  {
    name: 'a first heartbeat that finds another worker: nothing runs, nothing is stopped, the next item is served',
    both: { results: ['b ok'], ran: { b: 1 }, stops: ['none', 'force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session(), other = p.session();
      other.turn(bash('a', mark('a')));
      s.turn(bash('b', mark('b')));
      const taken = p.serve(other), w = p.serve(s);
      p.on('heartbeat', (r) => (r.ids[1] === taken.id ? { status: 412, body: { type: 'error', error: { type: 'invalid_request_error', message: 'Heartbeat precondition failed', details: { error_code: 'heartbeat_precondition_failed', current_state: { state: 'active', last_heartbeat: '2026-01-01T00:00:00.000000Z', lease_extended: false, ttl_seconds: 60 } } } } } : undefined));
      start();
      await stopped(w);
    },
  },
  {
    name: 'a heartbeat that says "stopping": the item is still ours',
    ours: { results: ['a error', 'b error'], stops: ['force'], ran: { a: 1 } },
    sdk: { results: [], stops: ['force'], ran: { a: 1 } },
    why: 'the official worker leaves the calls of a stopping item without an answer, and the session waits for them',
    platform: { ttl: TTL },
    play: running(async ({ w, touch, stopped }) => {
      w.state = 'stopping';
      await stopped(w);
      touch('go');
    }),
  },
  ...[401, 403, 404].map((status) => ({
    name: `a heartbeat refused with ${status}: nothing is posted, the item is stopped`,
    both: { results: [], stops: ['force'], ran: { a: 1 } },
    platform: { ttl: TTL },
    play: running(async ({ p, w, touch, pause, stopped }) => {
      laterBeats(p, () => ({ status, body: { type: 'error', error: { type: 'x', message: 'no' } } }));
      await stopped(w);
      touch('go');
      await pause(300);
    }),
  })),
  {
    name: 'heartbeats that fail now and then lose nothing',
    both: { results: ['a ok', 'b ok'], stops: ['force'] },
    platform: { ttl: 2 * TTL },
    play: running(async ({ p, s, w, touch, stopped, answered, kind }) => {
      // After an answer that breaks off the official worker waits for its next beat, which is too late for a lease of two.
      const bad = [{ status: 503, body: {} }, { status: 429, headers: { 'retry-after-ms': '100' }, body: {} }, ...(kind === 'ours' ? [{ reset: true }] : []), undefined];
      const n = p.of('heartbeat').length + bad.length;
      laterBeats(p, () => bad.shift());
      await wait('heartbeat', p, n);
      touch('go');
      await answered('b');
      s.idle();
      await stopped(w);
    }),
  },
  ...Object.entries({ refused: { status: 503, headers: { 'x-should-retry': 'false' }, body: {} }, unanswered: { hang: true } }).map(([name, answer]) => ({
    name: `heartbeats ${name} for a whole time to live: nothing is posted, the item is not stopped`,
    both: { results: [], ran: { a: 1 }, stops: ['none'] },
    platform: { ttl: 2 },
    play: running(async ({ p, w, touch, pause }) => {
      laterBeats(p, () => answer);
      // The platform would take a result: whether one comes is up to the worker.
      w.until = Date.now() + 600000;
      await pause(4500);
      touch('go');
      await pause(700);
    }),
  })),
  {
    name: 'beats go on while the session is read',
    both: { results: ['a ok'], stops: ['force'], beats: true },
    platform: { ttl: 4 },
    async play({ p, mark, start, stopped, pause }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      p.on('get', async () => { await pause(7000); });
      start();
      await stopped(w);
      const read = p.of('get')[0].ms;
      return { beats: p.of('heartbeat').filter((r) => r.ms > read && r.ms < read + 7000).length >= 2 };
    },
  },
  ...Object.entries({ 'says that it is stopped already': [409, { 'x-should-retry': 'false' }, 'none'], 'fails at first': [503, {}, 'force'] }).map(([name, [status, headers, stops]]) => ({
    name: `a stop that ${name}: the next item is served`,
    both: { results: ['a ok', 'b ok'], stops: [stops, 'force'] },
    async play({ p, mark, start, stopped, answered }) {
      const items = [];
      for (const c of ['a', 'b']) { const s = p.session(); s.turn(bash(c, mark(c))); items.push(p.serve(s)); }
      let n = 0;
      p.on('stop', (r) => (r.ids[1] === items[0].id && (status === 409 || n++ === 0) ? { status, headers, body: { type: 'error', error: { type: 'x', message: 'no' } } } : undefined));
      start();
      await answered('b');
      await stopped(items[1]);
      if (status !== 409) await stopped(items[0]);
      p.results.sort((x, y) => x.call.localeCompare(y.call));
    },
  })),
  ...Object.entries({ negative: -5, zero: 0, fraction: 2.5, huge: 1e12, null: null, text: 'soon' }).map(([name, ttl_seconds]) =>
    served(`a time to live that is ${name}`, {}, (p) => { p.on('heartbeat', (r) => { const w = p.items[0]; p.ttl = 60; const b = p.heartbeat(r, null, ...r.ids); w.until = Date.now() + 60000; b.body.ttl_seconds = ttl_seconds; return b; }); })),
]);

const polls = (p) => p.of('poll');
/** The most polls in any second. */
const rate = (p) => Math.max(...polls(p).map((r) => polls(p).filter((x) => x.at >= r.at && x.at < r.at + 1000).length));
const empties = (name, answer, more = {}) => ({
  name: `empty polls that are answered at once (${name}) keep a pace`,
  both: { slow: true },
  ...more,
  async play({ p, start, pause }) {
    p.on('poll', () => answer);
    start();
    await wait('poll', p);
    await pause(2500);
    await wait('poll', p, 2);   // and it goes on
    return { slow: rate(p) <= 3 };
  },
});
/** One poll is refused; the next one must not come before `ms`. */
const retryAfter = (name, headers, least, more = {}) => ({
  name: `a poll is refused with ${name}`,
  both: { results: ['a ok'], obeyed: true },
  ...more,
  async play({ p, mark, start, stopped }) {
    const s = p.session();
    s.turn(bash('a', mark('a')));
    const w = p.serve(s);
    let n = 0;
    p.on('poll', () => (n++ === 0 ? { status: 429, headers: typeof headers === 'function' ? headers() : headers, body: { type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } } } : undefined));
    start();
    await stopped(w);
    return { obeyed: polls(p)[1].at - polls(p)[0].at >= least };
  },
});

cases('polls', [
  empties('null', { status: 200, body: null }),
  empties('204', { status: 204, text: '' }),
  empties('a page of HTML', { status: 200, headers: { 'content-type': 'text/html' }, text: '<html>login</html>' }, { both: undefined, ours: { slow: true }, why: SDK_BUG }),
  empties('an empty object', { status: 200, body: {} }, { both: undefined, ours: { slow: true }, why: SDK_BUG }),
  empties('a list', { status: 200, body: [] }, { both: undefined, ours: { slow: true }, why: SDK_BUG }),
  empties('503', { status: 503, body: {} }),
  empties('a redirect', { status: 302, headers: { location: '/elsewhere' }, body: {} }, { both: undefined, ours: { slow: true }, why: 'the official worker follows redirects' }),
  empties('an answer that breaks off', { reset: true }),
  retryAfter('a fraction', { 'retry-after': '1.5' }, 1500),
  retryAfter('a date', () => ({ 'retry-after': new Date(Date.now() + 3000).toUTCString() }), 1900),
  retryAfter('seconds', { 'retry-after': '2' }, 2000),
  retryAfter('milliseconds', { 'retry-after-ms': '1700', 'retry-after': '1' }, 1700),
  retryAfter('a date by a clock that is wrong', { date: 'Sun, 06 Nov 1994 08:49:30 GMT', 'retry-after': 'Sun, 06 Nov 1994 08:49:32 GMT' }, 2000, { both: undefined, ours: { results: ['a ok'], obeyed: true }, why: 'the official client measures by its own clock' }),
  {
    name: 'a key that is refused ends the worker',
    both: { ended: true, polls: 1 },
    async play({ p, start, worker }) {
      p.on('poll', () => ({ status: 401, body: { type: 'error', error: { type: 'authentication_error', message: 'Authentication failed' } } }));
      start();
      await p.until('it ends', () => worker().ended());
      return { ended: true, polls: polls(p).length };
    },
  },
  {
    name: 'health checks without end do not make polls without end',
    ours: { slow: true },
    why: 'the official worker polls again as soon as it has stopped one',
    async play({ p, start, pause }) {
      p.on('poll', () => { const w = p.queue({ type: 'healthcheck', id: 'x' }); Object.assign(w, { claimed: Date.now() }); return p.out(w, { secret: w.secret }); });
      start();
      await pause(3000);
      return { slow: polls(p).length <= 22 + 19 * ((polls(p).at(-1).at - polls(p)[0].at) / 1000) };
    },
  },
  {
    name: 'the base URL ends with a slash',
    both: { results: ['a ok'], stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start({ baseUrl: `${p.url}/` });
      await stopped(w);
    },
  },
  {
    name: 'the base URL is an IPv6 address',
    platform: { host: '::1' },
    both: { results: ['a ok'], stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
]);
