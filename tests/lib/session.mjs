// One session as a test sees it: send, follow, wait for the next event that matters. Follows with its
// own SSE reader (not the SDK's), resumes by Last-Event-ID, and checks on the way what every stream
// of ours promises: an `id:` per persisted event equal to data.id, `event:` equal to data.type, no
// gaps and no repeats across reconnects.
import assert from 'node:assert/strict';
import { BETA, VERSION } from './sallyport.mjs';
import { ms } from './own.mjs';

/** Parses SSE from a fetch body; yields {event, data, id, raw}. */
export async function* sse(body) {
  const dec = new TextDecoder();
  let buf = '';
  for await (const chunk of body) {
    buf += dec.decode(chunk, { stream: true });
    let cut;
    while ((cut = buf.indexOf('\n\n')) >= 0) {
      const raw = buf.slice(0, cut);
      buf = buf.slice(cut + 2);
      const f = { raw, data: [] };
      for (const line of raw.split('\n')) {
        if (line.startsWith(':')) { f.comment = true; continue; }
        const c = line.indexOf(':');
        const k = c < 0 ? line : line.slice(0, c);
        const v = c < 0 ? '' : line.slice(c + 1).replace(/^ /, '');
        if (k === 'data') f.data.push(v);
        else f[k] = v;
      }
      f.data = f.data.join('\n');
      yield f;
    }
  }
}

export const userMessage = (text) => ({ type: 'user.message', content: [{ type: 'text', text }] });
export const toolResult = (id, text, is_error = false) => ({ type: 'user.tool_result', tool_use_id: id, content: [{ type: 'text', text }], is_error });
export const customResult = (id, text, is_error = false) => ({ type: 'user.custom_tool_result', custom_tool_use_id: id, content: [{ type: 'text', text }], is_error });
export const confirm = (id, result, deny_message) => ({ type: 'user.tool_confirmation', tool_use_id: id, result, ...(deny_message ? { deny_message } : {}) });
export const text = (ev) => (ev.content ?? []).map((b) => b.text ?? '').join('');

export class Session {
  constructor(server, body, { key } = {}) {
    Object.assign(this, { server, id: body.id, body, key, events: [], pos: 0, lastId: undefined, wake: new Set(), closed: false, frames: 0, reconnects: 0 });
  }

  static async create(server, params, opts = {}) {
    const body = await server.client().beta.sessions.create(params);
    const s = new Session(server, body, opts);
    await s.open();
    return s;
  }

  static async attach(server, id, opts = {}) {
    const s = new Session(server, { id }, opts);
    await s.open();
    return s;
  }

  /** Opens the stream (resolves when the response head is there) and follows it until close(). */
  async open() {
    this.ctrl = new AbortController();
    const first = await this.connect();
    this.loop = this.follow(first).catch((e) => { this.broken = e; this.notify(); });
    return this;
  }

  /**
   * A stream that broke before its first event leaves no place to resume from: then the history is read
   * once the new one is open, as every client has to.
   */
  async catchUp() {
    if (this.lastId) return;
    this.listed = new Set();
    for (const ev of await this.list()) {
      if (!ev.processed_at || this.events.some((e) => e.id === ev.id)) continue;
      this.listed.add(ev.id);
      this.events.push(ev);
      this.lastId = ev.id;
    }
    this.notify();
  }

  async connect() {
    const headers = { authorization: `Bearer ${this.key ?? this.server.apiKey}`, 'anthropic-version': VERSION, 'anthropic-beta': BETA, accept: 'text/event-stream' };
    if (this.lastId) headers['last-event-id'] = this.lastId;
    const r = await fetch(`${this.server.url}/v1/sessions/${this.id}/events/stream`, { headers, signal: this.ctrl.signal });
    if (r.status !== 200) throw Object.assign(new Error(`stream: ${r.status} ${await r.text()}`), { status: r.status });
    assert.match(r.headers.get('content-type') ?? '', /^text\/event-stream/);
    return r;
  }

  async follow(r) {
    for (let back = 20; ;) {
      try {
        for await (const f of sse(r.body)) {
          back = 20;
          if (!f.data || f.event === 'ping') continue;
          const ev = JSON.parse(f.data);
          assert.equal(f.event, ev.type, 'SSE event name equals data.type');
          this.frames++;
          if (ev.id) {
            assert.equal(f.id, ev.id, 'SSE id equals the event id');
            // A queued input is shown as it arrives and again when it is delivered (stamped).
            if (this.listed?.has(ev.id)) continue;
            const i = this.events.findIndex((e) => e.id === ev.id);
            if (i >= 0 && this.events[i].processed_at) assert.fail(`event ${ev.id} (${ev.type}) was streamed twice`);
            if (i >= 0) this.events.splice(i, 1), this.pos -= i < this.pos ? 1 : 0;
            this.lastId = ev.id;
          }
          this.events.push(ev);
          this.notify();
          if (ev.type === 'session.deleted') { this.deleted = true; return; }
        }
      } catch (e) { if (this.closed || e instanceof assert.AssertionError || e instanceof SyntaxError) { if (!this.closed) throw e; return; } }
      // The stream ended: reconnect and resume where it broke off.
      for (;;) {
        if (this.closed || this.server.over) return;
        await new Promise((res) => setTimeout(res, back));
        back = Math.min(back * 2, 250);
        try { r = await this.connect(); this.reconnects++; await this.catchUp(); break; } catch (e) { if (this.closed) return; if (e.status && e.status < 500) { this.gone = e; return; } }
      }
    }
  }

  notify() { for (const w of [...this.wake]) w(); }

  /** The next event (after the last one waited for) that satisfies `pred`. */
  next(pred, what = String(pred), timeout = ms(20000)) {
    if (typeof pred === 'string') { const t = pred; what = t; pred = (e) => e.type === t; }
    return new Promise((resolve, reject) => {
      const done = (f, v) => { clearTimeout(timer); this.wake.delete(check); f(v); };
      const check = () => {
        if (this.broken) return done(reject, this.broken);
        for (; this.pos < this.events.length; this.pos++)
          if (pred(this.events[this.pos])) return done(resolve, this.events[this.pos++]);
      };
      const timer = setTimeout(() => done(reject, new Error(`session ${this.id}: waited ${timeout} ms for ${what}; saw\n  ${this.events.slice(-25).map(brief).join('\n  ')}`)), timeout);
      this.wake.add(check);
      check();
    });
  }

  idle(reason, timeout) { return this.next((e) => e.type === 'session.status_idle' && (!reason || e.stop_reason?.type === reason), `session.status_idle{${reason ?? 'any'}}`, timeout); }

  send(...events) { return this.server.client().beta.sessions.events.send(this.id, { events }); }
  say(t) { return this.send(userMessage(t)); }
  get() { return this.server.client().beta.sessions.retrieve(this.id); }

  /** The whole log, oldest first. */
  async list(params = {}) {
    const all = [];
    for await (const e of this.server.client().beta.sessions.events.list(this.id, { limit: 1000, ...params })) all.push(e);
    return all;
  }

  /** Says something and returns the log once the turn is over. */
  async turn(t, reason = 'end_turn', timeout) { await this.say(t); await this.idle(reason, timeout); return this.list(); }

  async close() { this.closed = true; this.ctrl?.abort(); await this.loop; }
}

export const brief = (e) => {
  const more = e.name ? ` ${e.name} ${JSON.stringify(e.input).slice(0, 60)}` : e.stop_reason ? ` ${e.stop_reason.type}` : e.error ? ` ${e.error.type}/${e.error.retry_status?.type}: ${e.error.message}` : e.content ? ` ${JSON.stringify(text(e)).slice(0, 80)}` : '';
  return `${e.id ?? ''} ${e.type}${more}`;
};

/** Asserts what holds of every log: unique ids, ascending stamps, every end span names its start. */
export function checkLog(events) {
  const ids = new Set();
  let last = '';
  const starts = new Set();
  for (const e of events) {
    assert.match(e.id, /^sevt_[0-9A-Za-z]{10,}$/, `id of ${e.type}`);
    assert(!ids.has(e.id), `event id ${e.id} twice in the list`);
    ids.add(e.id);
    if (e.processed_at !== null) {
      assert.match(e.processed_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, `processed_at of ${e.type}`);
      assert(e.processed_at > last, `processed_at is strictly increasing (${e.type} ${e.id}: ${e.processed_at} after ${last})`);
      last = e.processed_at;
    }
    if (e.type === 'span.model_request_start') starts.add(e.id);
    if (e.type === 'span.model_request_end') assert(starts.delete(e.model_request_start_id), 'an end span names an open start span');
  }
  assert.equal(starts.size, 0, 'every model request that started has ended');
}

/** Every tool call of a log with the events that answer it. */
export function answers(events) {
  const m = new Map();
  for (const e of events) if (e.type === 'agent.tool_use' || e.type === 'agent.custom_tool_use') m.set(e.id, []);
  for (const e of events) {
    const id = e.type === 'user.custom_tool_result' ? e.custom_tool_use_id : e.type === 'user.tool_result' || e.type === 'agent.tool_result' ? e.tool_use_id : undefined;
    if (id === undefined) continue;
    assert(m.has(id), `result ${e.id} answers a call of this log (${id})`);
    m.get(id).push(e);
  }
  return m;
}
