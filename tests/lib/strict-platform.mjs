// A stand-in of the hosted platform for workers, written from the API's description alone: the queue of one environment, sessions
// with logs and streams, leases. It refuses what the hosted service refuses, and writes down each refusal: a worker with
// manners leaves `refusals` empty. Every request is kept. A case scripts what happens with `on`, `say`, `raw` and `cut`.
//
// Bounded: it keeps at most MAX_REQUESTS, and answers 429 beyond them; close() ends every connection.
import http from 'node:http';
import { ms } from './own.mjs';
import { BETA } from './sallyport.mjs';

const MAX_REQUESTS = 20000;
/** Requests of the read kind in a minute, for a whole organization. */
export const READS_PER_MINUTE = 1200;

const stamp = (() => { let last = 0; return () => { last = Math.max(last + 1, Date.now() * 1000); return `${new Date(last / 1000).toISOString().slice(0, 19)}.${String(last % 1e6).padStart(6, '0')}Z`; }; })();
let serial = 0;
const id = (prefix) => `${prefix}_01${String(++serial).padStart(22, '0')}`;
const b64 = (x) => Buffer.from(x).toString('base64url');

export const secretOf = (payload) => b64(typeof payload === 'string' ? payload : JSON.stringify(payload));

/** Every route a worker has business with: method, path, who may call, which query parameters it takes. */
const ROUTES = [
  ['poll', 'GET', /^\/v1\/environments\/([^/]+)\/work\/poll$/, 'env', ['block_ms', 'reclaim_older_than_ms']],
  ['ack', 'POST', /^\/v1\/environments\/([^/]+)\/work\/([^/]+)\/ack$/, 'env', []],
  ['heartbeat', 'POST', /^\/v1\/environments\/([^/]+)\/work\/([^/]+)\/heartbeat$/, 'item', ['desired_ttl_seconds', 'expected_last_heartbeat']],
  ['stop', 'POST', /^\/v1\/environments\/([^/]+)\/work\/([^/]+)\/stop$/, 'item', []],
  ['get', 'GET', /^\/v1\/sessions\/([^/]+)$/, 'item', []],
  ['stream', 'GET', /^\/v1\/sessions\/([^/]+)\/events\/stream$/, 'item', []],
  ['list', 'GET', /^\/v1\/sessions\/([^/]+)\/events$/, 'item', ['limit', 'page', 'order']],
  ['send', 'POST', /^\/v1\/sessions\/([^/]+)\/events$/, 'item', []],
  ['skill', 'GET', /^\/v1\/skills\/([^/]+)\/versions\/([^/]+)(?:\/content)?$/, 'item', []],
  ['memories', 'GET', /^\/v1\/memory_stores\/([^/]+)\/memories$/, 'item', ['view', 'limit', 'page', 'path_prefix', 'depth']],
];

const BLOCKS = { text: ['text'], image: ['source'], document: ['source', 'title', 'context'], search_result: ['source', 'title', 'content', 'citations'] };

class Refusal extends Error {
  constructor(status, message, more = {}) { super(message); Object.assign(this, { status }, more); }
}

/** One session: its log, who follows it, and which calls are open. */
class Session {
  constructor(platform, more) {
    Object.assign(this, { platform, id: id('sesn'), status: 'idle', archived_at: null, agent: { skills: [] }, resources: [], metadata: {}, log: [], streams: new Set(), calls: new Map(), dead: new Set(), ends: true, frame: null }, more);
  }
  body() {
    return { id: this.id, type: 'session', status: this.status, archived_at: this.archived_at, agent: { type: 'agent', id: 'agent_x', version: 1, name: 'a', tools: [], mcp_servers: [], skills: [], ...this.agent }, environment_id: this.platform.env, title: null, metadata: this.metadata, resources: this.resources, vault_ids: [], usage: {}, stats: {}, outcome_evaluations: [], created_at: stamp(), updated_at: stamp() };
  }
  /** Appends events to the log and to every stream. `unlisted`: on the streams alone; `unstreamed`: in the log alone. */
  say(...events) {
    for (const e of events) {
      const { unlisted, unstreamed, ...ev } = { id: id('sevt'), processed_at: stamp(), ...e };
      if (/^agent\.(custom_)?tool_use$/.test(ev.type) && ev.id && !this.calls.has(ev.id)) this.calls.set(ev.id, { custom: ev.type === 'agent.custom_tool_use', permission: ev.evaluated_permission, thread: ev.session_thread_id, open: ev.evaluated_permission !== 'deny', allowed: ev.evaluated_permission === undefined || ev.evaluated_permission === 'allow' });
      const c = this.calls.get(ev.tool_use_id ?? ev.custom_tool_use_id);
      if (ev.type === 'user.tool_confirmation' && c) { if (ev.result === 'allow') c.allowed = true; else if (!c.allowed) c.open = false; }   // the first verdict counts
      if (/tool_result$/.test(ev.type ?? '') && c) c.open = false;
      if (ev.type === 'session.thread_status_terminated') this.dead.add(ev.session_thread_id);
      if (!unlisted) this.log.push(ev);
      if (!unstreamed) for (const s of this.streams) s.write(this.frame ? this.frame(ev) : `event: ${ev.type}\ndata: ${JSON.stringify(ev)}\n\n`);
    }
    return events.at(-1)?.id;
  }
  raw(bytes) { for (const s of this.streams) s.write(bytes); }
  cut() { for (const s of this.streams) s.destroy(); this.streams.clear(); }
  /** A turn that waits for these calls. */
  turn(...calls) {
    this.say({ type: 'session.status_running' }, { type: 'session.thread_status_running', session_thread_id: 'sthr_main', agent_name: 'a' }, { type: 'user.message', content: [{ type: 'text', text: 'go' }] }, { type: 'span.model_request_start' }, ...calls, { type: 'span.model_request_end', is_error: false });
    this.idle('requires_action');
  }
  idle(why = 'end_turn') {
    const stop_reason = { type: why, ...(why === 'requires_action' ? { event_ids: [] } : {}) };
    this.say({ type: 'session.thread_status_idle', session_thread_id: 'sthr_main', agent_name: 'a', stop_reason, stop_details: null }, { type: 'session.usage', usage: {}, budget: null }, { type: 'session.status_idle', stop_reason, stop_details: null });
  }
  open() { return [...this.calls.values()].some((c) => c.open && !this.dead.has(c.thread)); }
}

export class StrictPlatform {
  constructor({ ttl = 60, env = 'env_strict', host = '127.0.0.1' } = {}) {
    Object.assign(this, { ttl, env, host, envKey: id('sk-ant-oat01'), sessions: new Map(), items: [], requests: [], refusals: [], scripts: [], results: [], wakers: new Set(), sockets: new Set() });
    this.server = http.createServer((req, res) => void this.take(req, res));
    this.server.on('connection', (s) => { this.sockets.add(s); s.on('close', () => this.sockets.delete(s)); });
  }
  async open() {
    await new Promise((ok, no) => { this.server.once('error', no); this.server.listen(0, this.host, ok); });
    const { port } = this.server.address();
    this.url = this.host.includes(':') ? `http://[${this.host}]:${port}` : `http://${this.host}:${port}`;
    return this;
  }
  close() { for (const s of this.sockets) s.destroy(); this.server.close(); }

  session(more = {}) { const s = new Session(this, more); this.sessions.set(s.id, s); return s; }
  /** Queues an item; `secret` undefined: one with a token of its own. */
  queue(data, more = {}) {
    const token = id('sk-ant-req');
    const w = { id: id('work'), data, state: 'queued', last: null, until: 0, token, ...more };
    if (w.secret === undefined) w.secret = secretOf({ sessions_token: token });
    this.items.push(w);
    this.wake();
    return w;
  }
  serve(s, more) { return this.queue({ type: 'session', id: s.id }, more); }
  /** Scripts answers of a route: `fn(req)` gives undefined (the usual answer), or {status, body, headers, text, hang, reset}. */
  on(route, fn) { this.scripts.push({ route, fn }); }
  wake() { for (const w of [...this.wakers]) w(); }
  /** Waits until the condition holds; looked at after every request and event of note. */
  async until(what, fn) {
    const timeout = ms(60000);
    const stop = Date.now() + timeout;
    for (let v; !(v = fn());) {
      if (Date.now() > stop) throw new Error(`waited ${timeout} ms for: ${what}\n${this.story()}`);
      await new Promise((ok) => { const t = setTimeout(ok, 50); this.wakers.add(() => { clearTimeout(t); ok(); }); });
      this.wakers.clear();
    }
  }
  story() { return this.requests.slice(-60).map((r) => `${r.ms} ${r.route} ${r.path} -> ${r.status} ${r.body ? JSON.stringify(r.body).slice(0, 200) : ''}`).concat(this.refusals.map((r) => `refused: ${r}`)).join('\n'); }
  of(route) { return this.requests.filter((r) => r.route === route); }
  answer(call) { return this.results.find((r) => r.call === call); }

  // ---- one request ----

  async take(req, res) {
    const url = new URL(req.url, 'http://x');
    const r = { at: Date.now(), method: req.method, path: decodeURI(url.pathname), query: Object.fromEntries(url.searchParams), headers: req.headers, auth: (req.headers.authorization ?? '').replace(/^Bearer /, '') };
    this.began ??= r.at;
    r.ms = r.at - this.began;
    r.gone = new Promise((ok) => res.on('close', ok));
    if (this.requests.length < MAX_REQUESTS) this.requests.push(r);
    try {
      r.text = await body(req);
      const m = this.route(r, url);
      this.checkHead(r, m);
      this.checkRate(r);
      const scripted = await this.script(r);
      if (scripted?.hang) { await r.gone; return; }
      if (scripted?.reset) { res.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 }); res.write('{"da'); setTimeout(() => res.socket?.resetAndDestroy(), 20); r.status = 0; return; }
      if (scripted) { reply(res, r, scripted); return; }
      const given = await this[m[0]](r, res, ...r.ids);
      if (given !== undefined) reply(res, r, given);
    } catch (e) {
      if (!(e instanceof Refusal)) { this.refusals.push(`the stand-in broke: ${e.stack}`); reply(res, r, { status: 500, body: {} }); return; }
      if (!e.quiet) this.refusals.push(`${r.method} ${url.pathname}: ${e.status} ${e.message}`);
      const type = { 401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error', 429: 'rate_limit_error' }[e.status] ?? 'invalid_request_error';
      reply(res, r, { status: e.status, headers: e.headers, body: { type: 'error', error: { type, message: e.message, ...(e.details ? { details: e.details } : {}) }, request_id: id('req') } });
    } finally { this.wake(); }
  }
  async script(r) {
    for (const s of this.scripts.filter((x) => x.route === r.route)) { const v = await s.fn(r); if (v !== undefined) return v; }
    return undefined;
  }
  route(r, url) {
    const fits = ROUTES.filter((x) => x[2].test(url.pathname));
    if (fits.length === 0) throw new Refusal(404, 'Not found');
    const m = fits.find((x) => x[1] === r.method);
    if (!m) throw new Refusal(405, 'Method Not Allowed');
    r.route = m[0];
    r.ids = m[2].exec(url.pathname).slice(1).map((x) => x && decodeURIComponent(x));
    return m;
  }
  /** Credentials, then beta, then version, then the query: the order of the hosted service. */
  checkHead(r, [, , , who, query]) {
    const h = r.headers;
    r.as = r.auth === this.envKey ? 'env' : this.items.some((w) => w.token === r.auth) ? 'token' : null;
    if (h['x-api-key'] !== undefined || r.as === null || (who === 'env' && r.as !== 'env')) throw new Refusal(401, 'Authentication failed');
    if (r.as === 'token') this.checkScope(r);
    const betas = (h['anthropic-beta'] ?? '').split(/\s*,\s*/);
    if (!['skill', 'memories'].includes(r.route) && !betas.includes(BETA)) throw new Refusal(404, 'not found');
    if (!/^\d{4}-\d\d-\d\d$/.test(h['anthropic-version'] ?? '')) throw new Refusal(400, 'anthropic-version: header is required');
    for (const k of Object.keys(r.query)) if (!query.includes(k) && k !== 'beta') throw new Refusal(400, `unknown query parameter "${k}"`);
    if (r.text && !/^application\/json/.test(h['content-type'] ?? '')) throw new Refusal(400, 'content-type must be application/json');
    if (r.text) { try { r.body = JSON.parse(r.text); } catch { throw new Refusal(400, 'the body is no JSON'); } }
    if (r.text && !['stop', 'send'].includes(r.route)) throw new Refusal(400, 'this call takes no body');
  }
  /** A token is good for its own item and session. */
  checkScope(r) {
    const w = this.items.find((x) => x.token === r.auth);
    const own = ['heartbeat', 'stop'].includes(r.route) ? r.ids[1] === w.id : !r.path.startsWith('/v1/sessions') || r.ids[0] === w.data?.id;
    if (!own) throw new Refusal(401, 'Authentication failed');
  }
  checkRate(r) {
    if (r.method !== 'GET') return;
    const since = this.requests.filter((x) => x.method === 'GET' && x.at > r.at - 1000).length;
    // A burst is fair, and requests that wait somewhere arrive together; a loop is neither.
    if (since > READS_PER_MINUTE / 60 * 3) throw new Refusal(429, `${since} reads in a second`, { headers: { 'retry-after': '1' } });
  }

  // ---- the queue ----

  item(env, work) {
    const w = env === this.env && this.items.find((x) => x.id === work);
    if (!w) throw new Refusal(404, 'Not found');
    if (w.until && Date.now() > w.until && ['starting', 'active', 'stopping'].includes(w.state)) Object.assign(w, { state: w.state === 'stopping' ? 'stopped' : 'queued', last: null, until: 0 });
    return w;
  }
  out(w, more = {}) { return { status: 200, body: { id: w.id, type: 'work', environment_id: this.env, data: w.data, state: w.state, metadata: {}, secret: null, created_at: stamp(), acknowledged_at: null, started_at: null, latest_heartbeat_at: w.last, stop_requested_at: null, stopped_at: null, ...more } }; }
  async poll(r, res, env) {
    if (env !== this.env) throw new Refusal(404, 'Not found');
    const block = r.query.block_ms;
    if (block !== undefined && block !== '' && !(/^\d+$/.test(block) && block >= 1 && block <= 999)) throw new Refusal(400, 'block_ms must be between 1 and 999');
    const stop = Date.now() + Number(block ?? 0);
    for (;;) {
      const w = this.items.find((x) => x.state === 'queued' && !(x.claimed > Date.now() - 5000));
      if (w) { w.claimed = Date.now(); return this.out(w, { secret: w.secret }); }
      if (Date.now() >= stop || res.destroyed) return { status: 200, body: null };
      await new Promise((ok) => { const t = setTimeout(ok, Math.min(50, stop - Date.now())); r.gone.then(() => { clearTimeout(t); ok(); }); });
    }
  }
  ack(r, res, env, work) {
    const w = this.item(env, work);
    if (w.state !== 'queued' || !w.claimed) throw new Refusal(409, 'the item is not claimed', { headers: { 'x-should-retry': 'false' } });
    Object.assign(w, { state: 'starting', until: Date.now() + this.ttl * 1000 });
    return this.out(w);
  }
  heartbeat(r, res, env, work) {
    const w = this.item(env, work);
    const beat = (more) => ({ status: 200, body: { type: 'work_heartbeat', last_heartbeat: w.last ?? '', lease_extended: true, state: w.state, ttl_seconds: this.ttl, ...more } });
    if (w.state === 'stopping' || w.state === 'stopped') return beat({ lease_extended: false });
    if (w.state === 'queued') throw new Refusal(409, 'the item is not acknowledged', { headers: { 'x-should-retry': 'false' } });
    const expected = r.query.expected_last_heartbeat;
    if (expected === undefined) w.blind = true;
    else if (expected !== (w.last ?? 'NO_HEARTBEAT')) throw new Refusal(412, `Heartbeat precondition failed: expected ${expected}, actual was ${w.last}`, { details: { error_code: 'heartbeat_precondition_failed', current_state: { state: w.state, last_heartbeat: w.last, lease_extended: false, ttl_seconds: this.ttl } } });
    Object.assign(w, { state: 'active', last: w.stamps?.shift() ?? stamp(), until: Date.now() + this.ttl * 1000 });
    return beat();
  }
  stop(r, res, env, work) {
    const w = this.item(env, work);
    const b = r.body ?? {};
    for (const [k, v] of Object.entries(b)) if (k !== 'force' || typeof v !== 'boolean') throw new Refusal(400, `Failed to parse request: ${k}`);
    if (w.state === 'stopped') throw new Refusal(409, 'the item is already stopped', { quiet: true, headers: { 'x-should-retry': 'false' } });
    w.state = b.force ? 'stopped' : 'stopping';
    w.stops = [...(w.stops ?? []), b.force === true];
    return this.out(w);
  }

  // ---- sessions ----

  at(sid) { const s = this.sessions.get(sid); if (!s) throw new Refusal(404, 'Not found'); return s; }
  get(r, res, sid) { return { status: 200, body: this.at(sid).body() }; }
  list(r, res, sid) {
    const { log } = this.at(sid), limit = Math.min(Number(r.query.limit ?? 1000), this.pageLimit ?? 1000), from = Number((r.query.page ?? 'page_0').slice(5));
    if (!(limit >= 1 && limit <= 1000)) throw new Refusal(400, 'limit must be between 1 and 1000');
    if (r.query.page !== undefined && !/^page_\d+$/.test(r.query.page)) throw new Refusal(400, 'invalid page cursor');
    return { status: 200, body: { data: log.slice(from, from + limit), ...(from + limit < log.length ? { next_page: `page_${from + limit}` } : this.lastPage ?? { next_page: null }) } };
  }
  stream(r, res, sid) {
    const s = this.at(sid);
    r.status = 200;
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'request-id': id('req') });
    res.write(this.firstBytes ?? ': here\n\n');
    s.streams.add(res);
    res.on('close', () => s.streams.delete(res));
  }
  send(r, res, sid) {
    const s = this.at(sid), events = r.body?.events;
    if (!Array.isArray(events) || events.length === 0 || Object.keys(r.body).length !== 1) throw new Refusal(400, 'Failed to parse request: events');
    const held = this.items.filter((w) => w.data?.id === sid && ['active', 'stopping'].includes(w.state) && Date.now() <= w.until);
    for (const e of events) this.checkResult(s, e, held.some((w) => w.token === r.auth || r.as === 'env'));
    const now = events.map((e) => ({ ...e, id: id('sevt'), processed_at: stamp() }));
    for (const e of now) this.results.push({ call: e.tool_use_id ?? e.custom_tool_use_id, type: e.type, is_error: e.is_error ?? false, content: e.content, text: (e.content ?? []).map((b) => b.text ?? '').join('\n'), ms: r.ms });
    s.say(...now);
    if (s.ends && !s.open()) {
      s.say({ type: 'session.status_running' }, { type: 'session.thread_status_running', session_thread_id: 'sthr_main', agent_name: 'a' }, { type: 'agent.message', content: [{ type: 'text', text: 'done' }] });
      s.idle();
    }
    return { status: 200, body: { data: now } };
  }
  checkResult(s, e, held) {
    const custom = e?.type === 'user.custom_tool_result', key = custom ? 'custom_tool_use_id' : 'tool_use_id';
    if (!custom && e?.type !== 'user.tool_result') throw new Refusal(400, `events[0].type: "${e?.type}" is not a valid value`);
    for (const k of Object.keys(e)) if (!['type', key, 'content', 'is_error'].includes(k)) throw new Refusal(400, `unknown field "${k}"`);
    if (e.is_error !== undefined && typeof e.is_error !== 'boolean') throw new Refusal(400, 'events[0].is_error');
    if (e.content !== undefined && !Array.isArray(e.content)) throw new Refusal(400, 'events[0].content');
    for (const b of e.content ?? []) {
      if (!BLOCKS[b?.type]) throw new Refusal(400, `events[0].content: "${b?.type}" is not a valid value`);
      for (const k of Object.keys(b)) if (k !== 'type' && !BLOCKS[b.type].includes(k)) throw new Refusal(400, `unknown field "${k}"`);
      if (b.type === 'text' && (typeof b.text !== 'string' || b.text === '')) throw new Refusal(400, 'text content blocks must be non-empty');
    }
    const c = s.calls.get(e[key]);
    if (!held) throw new Refusal(403, 'a result without the lease');
    if (s.status === 'terminated') throw new Refusal(400, 'the session is terminated');
    if (!c || c.custom !== custom || !c.open || !c.allowed || s.dead.has(c.thread)) throw new Refusal(400, `no open call ${e[key]}`);
  }
  skill() { return { status: 404, body: { type: 'error', error: { type: 'not_found_error', message: 'Not found' } } }; }
  memories() { return { status: 200, body: { data: [], next_page: null } }; }
}
async function body(req) {
  let text = '';
  for await (const c of req.setEncoding('utf8')) { text += c; if (text.length > 4e6) throw new Refusal(413, 'too large'); }
  return text;
}
function reply(res, r, { status = 200, headers = {}, body: b, text }) {
  r.status = status;
  if (res.destroyed || res.writableEnded) return;
  res.writeHead(status, { 'content-type': 'application/json', 'request-id': id('req'), ...headers });
  res.end(text ?? JSON.stringify(b));
}

export const strictPlatform = (opts) => new StrictPlatform(opts).open();
export const use = (call, name, input, more = {}) => ({ type: 'agent.tool_use', id: call, name, input, evaluated_permission: 'allow', session_thread_id: null, ...more });
export const bash = (call, command, more) => use(call, 'bash', { command }, more);
