// A collector of OpenTelemetry for tests: OTLP/HTTP with JSON, by the letter of opentelemetry-proto's specification
// ("OTLP/HTTP", "JSON Protobuf Encoding") and logs/v1/logs.proto. It knows nothing of ours; what is not of the protocol is a
// fault, kept in `faults`, and answered with 400. It takes unknown fields for faults, too, which a receiver must not:
// a misspelt one would pass otherwise.
import http from 'node:http';
import https from 'node:https';
import { after } from 'node:test';

class Fault extends Error {}
const need = (holds, words) => { if (!holds) throw new Fault(words); };
const isObject = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);

/** An object with no other members than these; { name: check }, "name!" is required. */
function members(v, at, table) {
  need(isObject(v), `${at} is no object`);
  const known = new Map(Object.entries(table).map(([k, f]) => [k.replace('!', ''), f]));
  for (const k of Object.keys(v)) need(known.has(k), `${at}.${k}: no such field`);
  for (const k of Object.keys(table)) if (k.endsWith('!')) need(k.slice(0, -1) in v, `${at}.${k.slice(0, -1)} is missing`);
  for (const [k, x] of Object.entries(v)) known.get(k)(x, `${at}.${k}`);
}
const list = (f, min = 0) => (v, at) => { need(Array.isArray(v) && v.length >= min, `${at}: no list of ${min} or more`); v.forEach((x, i) => f(x, `${at}[${i}]`)); };
const string = (v, at) => need(typeof v === 'string' && v.isWellFormed(), `${at} is no text`);
const word = (v, at) => { string(v, at); need(v.length > 0, `${at} is empty`); };
const bool = (v, at) => need(typeof v === 'boolean', `${at} is no boolean`);
const double = (v, at) => need(typeof v === 'number', `${at} is no number`);
/** 64-bit integers are decimal text. */
const decimal = (min, max) => (v, at) => need(typeof v === 'string' && /^(0|-?[1-9]\d*)$/.test(v) && BigInt(v) >= min && BigInt(v) <= max, `${at} is no 64-bit number as text`);
const int64 = decimal(-(2n ** 63n), 2n ** 63n - 1n), fixed64 = decimal(0n, 2n ** 64n - 1n);
const uint32 = (v, at) => need(Number.isInteger(v) && v >= 0 && v < 2 ** 32, `${at} is no 32-bit number`);
const hex = (digits) => (v, at) => need(typeof v === 'string' && new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(v), `${at} is not ${digits} hex digits`);
const base64 = (v, at) => need(typeof v === 'string' && /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(v), `${at} is no base64`);

function anyValue(v, at) {
  members(v, at, { stringValue: string, boolValue: bool, intValue: int64, doubleValue: double, bytesValue: base64,
    arrayValue: (x, here) => members(x, here, { values: list(anyValue) }), kvlistValue: (x, here) => members(x, here, { values: keyValues }) });
  need(Object.keys(v).length === 1, `${at} has not one value`);
}
function keyValues(v, at) {
  list((x, here) => members(x, here, { 'key!': word, 'value!': anyValue }))(v, at);
  need(new Set(v.map((x) => x.key)).size === v.length, `${at}: a key is there twice`);
}
/** Enumerations are numbers; SEVERITY_NUMBER_UNSPECIFIED must not be used. The text goes with the number (logs data model). */
const severity = (v, at) => need(Number.isInteger(v) && v >= 1 && v <= 24, `${at} is no severity`);
const SEVERITIES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
function logRecord(v, at) {
  members(v, at, { timeUnixNano: fixed64, 'observedTimeUnixNano!': fixed64, 'severityNumber!': severity, severityText: string, eventName: word,
    'body!': anyValue, 'attributes!': keyValues, droppedAttributesCount: uint32, flags: uint32, traceId: hex(32), spanId: hex(16) });
  need(v.severityText === SEVERITIES[Math.floor((v.severityNumber - 1) / 4)], `${at}: severity ${v.severityNumber} is not ${v.severityText}`);
}
function request(v) {
  members(v, 'request', { 'resourceLogs!': list((r, at) => members(r, at, {
    'resource!': (x, here) => members(x, here, { 'attributes!': keyValues, droppedAttributesCount: uint32 }),
    'scopeLogs!': list((s, here) => members(s, here, {
      'scope!': (x, there) => members(x, there, { 'name!': word, version: word, attributes: keyValues, droppedAttributesCount: uint32 }),
      'logRecords!': list(logRecord, 1), schemaUrl: word }), 1),
    schemaUrl: word }), 1) });
}

const plain = (v) => v.stringValue ?? v.boolValue ?? v.doubleValue ?? (v.intValue === undefined ? undefined : BigInt(v.intValue));
/** A record as tests look at it: attributes as an object. */
const flat = (r, resource) => ({ ...r, body: plain(r.body), attributes: Object.fromEntries(r.attributes.map((a) => [a.key, plain(a.value)])), resource: Object.fromEntries(resource.attributes.map((a) => [a.key, plain(a.value)])) });

function read(req, body) {
  need(req.method === 'POST', `${req.method} is not POST`);
  need(req.url === '/v1/logs', `${req.url} is not /v1/logs`);
  need(req.headers['content-type'] === 'application/json', `content-type ${req.headers['content-type']}`);
  need(req.headers['content-encoding'] === undefined, 'content-encoding');
  need(body.length <= 20 << 20, 'larger than 20 MiB');
  const o = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  request(o);
  return o.resourceLogs.flatMap((r) => r.scopeLogs.flatMap((s) => s.logRecords.map((x) => flat(x, r.resource))));
}

/**
 * A collector on the loopback. `script`: what it does with its requests, one after the other, and then "ok":
 *   'ok' | { partial: N, message } | { status, headers, body, type } | 'cut' (the connection, without a word) |
 *   'cut-half' (within the answer) | 'hang' (says nothing until it is closed) | a function (records) => one of these, or a promise of one
 * Returns { url, port, requests: [{ records, headers, size }], records: those taken, faults, script, close }.
 */
export async function collector({ tls, script = [], port = 0 } = {}) {
  const c = { requests: [], records: [], faults: [], script, waiting: [] };
  const serve = (req, res) => {
    const parts = [];
    req.on('data', (d) => parts.push(d)).on('error', () => {}).on('end', async () => {
      const body = Buffer.concat(parts);
      let records;
      const say = (status, o, type = 'application/json', headers = {}) => { res.writeHead(status, { 'content-type': type, ...headers }); res.end(typeof o === 'string' ? o : JSON.stringify(o)); };
      try { records = read(req, body); } catch (e) {
        c.faults.push(e.message);
        return say(400, { code: 3, message: e.message });
      }
      c.requests.push({ records, headers: req.headers, size: body.length });
      let what = c.script.length ? c.script.shift() : 'ok';
      if (typeof what === 'function') what = await what(records);
      if (what === 'hang') return undefined;
      if (what === 'cut') return req.socket.destroy();
      if (what === 'cut-half') { res.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 }); res.write('{"partial'); return setImmediate(() => req.socket.destroy()); }
      if (what.status) return say(what.status, what.body ?? { message: `status ${what.status}` }, what.type, what.headers);
      c.records.push(...records);
      return say(200, what.partial === undefined ? {} : { partialSuccess: { rejectedLogRecords: String(what.partial), errorMessage: what.message } });
    });
  };
  const s = tls ? https.createServer(tls, serve) : http.createServer(serve);
  const sockets = new Set();
  s.on(tls ? 'secureConnection' : 'connection', (x) => { sockets.add(x); x.on('close', () => sockets.delete(x)).on('error', () => {}); });
  s.on('tlsClientError', () => {});
  c.port = await new Promise((ok, no) => { s.once('error', no); s.listen(port, '127.0.0.1', () => ok(s.address().port)); });
  c.url = `${tls ? 'https' : 'http'}://127.0.0.1:${c.port}`;
  c.close = () => new Promise((ok) => { if (!s.listening) return ok(); s.close(ok); for (const x of sockets) x.destroy(); });
  after(c.close);
  return c;
}
