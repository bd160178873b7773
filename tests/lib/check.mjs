// Assertions about answers of the API that many files share.
import assert from 'node:assert/strict';

export const TYPES = { 400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error', 405: 'invalid_request_error', 409: null, 412: 'invalid_request_error', 413: 'request_too_large', 429: 'rate_limit_error', 500: 'api_error' };
export const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

/** The body of an error answer: shape, type, request id equal to the header's, a message in words. */
export function errorBody(status, body, headers, { type = TYPES[status], message } = {}) {
  assert(body && typeof body === 'object', `an error has a JSON body (${status})`);
  assert.deepEqual(Object.keys(body).sort(), ['error', 'request_id', 'type']);
  assert.equal(body.type, 'error');
  if (type) assert.equal(body.error.type, type);
  assert.equal(typeof body.error.message, 'string');
  assert(body.error.message.length > 3, 'the message says something');
  assert.match(body.request_id, /^req_[0-9A-Za-z]+$/);
  if (headers && status !== 405) assert.equal(headers.get('request-id'), body.request_id, 'request-id header equals the body');
  if (message) assert.match(body.error.message, message);
}

/** The SDK call must fail with this status; returns the error. */
export async function refused(promise, status, opts = {}) {
  let r;
  try { r = await promise; } catch (e) {
    assert.equal(e.status, status, `expected ${status}, got ${e.status}: ${e.message}\n${e.stack}`);
    errorBody(status, e.error, e.headers, opts);
    if (status === 409 || status === 412) assert.equal(e.headers.get('x-should-retry'), status === 409 ? 'false' : e.headers.get('x-should-retry'), 'a deterministic 409 tells the SDK not to retry');
    return e;
  }
  assert.fail(`expected ${status}${opts.message ? ` (${opts.message})` : ''}, but it was accepted: ${JSON.stringify(r)?.slice(0, 400)}`);
}

/** The same for a plain request's answer. */
export function refusedRaw(r, status, opts = {}) {
  assert.equal(r.status, status, `expected ${status}, got ${r.status}: ${r.text.slice(0, 400)}`);
  errorBody(status, r.body, r.headers, opts);
  return r.body.error;
}

/** Exactly these keys, no more, no fewer. */
export const keys = (o, list, what) => assert.deepEqual(Object.keys(o).sort(), [...list].sort(), what);

/** Reads an SDK page iterator to its end, with a bound. */
export async function all(pages, max = 5000) {
  const out = [];
  for await (const x of pages) { out.push(x); assert(out.length <= max, 'the listing ends'); }
  return out;
}
