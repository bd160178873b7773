// A token endpoint for tests, strict by RFC 6749, 7523, 8693 and 8707: `wrong` has a line for whatever a client did that they do not allow.
import http from 'node:http';
import https from 'node:https';
import { createPublicKey, randomBytes, verify } from 'node:crypto';

const GRANT = 'urn:ietf:params:oauth:grant-type:';
const TYPE = /^urn:ietf:params:oauth:token-type:(access_token|refresh_token|id_token|jwt|saml1|saml2)$/;
const KNOWN = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'scope', 'resource', 'audience', 'refresh_token',
  'assertion', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type'];

/**
 * `tls`: what https.createServer takes; without it http on loopback. `client`: {id, secret | key (PEM), auth: basic | post}. `life`: seconds.
 * `before(req, res, form)` answers itself when it returns true. `subjects`: subject token -> whose it is.
 */
export async function tokenEndpoint({ tls, client, life = 3600 } = {}) {
  const as = { client, life, wrong: [], asked: [], issued: new Map(), subjects: new Map(), refresh: new Map() };
  const no = (what) => { as.wrong.push(what); return false; };
  const send = (res, status, body, headers = {}) => {
    res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
    res.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const assertionIsGood = (jwt, audiences) => {
    const [h, c, s] = jwt.split('.'), claims = JSON.parse(Buffer.from(c, 'base64url'));
    if (!verify('sha256', Buffer.from(`${h}.${c}`), { key: createPublicKey(as.client.key), dsaEncoding: 'ieee-p1363' }, Buffer.from(s, 'base64url'))) return no('a signature that is none');
    const now = Date.now() / 1000;
    if (!(claims.exp > now && claims.exp < now + 600 && claims.iat <= now + 1)) return no('an assertion of another time');
    if (as.jti === claims.jti) return no('a jti twice');
    as.jti = claims.jti;
    return audiences.includes(claims.aud) ? claims : no(`an assertion for ${claims.aud}`);
  };
  function clientIsGood(req, form) {
    const basic = req.headers.authorization?.match(/^Basic (.+)$/)?.[1], { id, secret, auth = 'basic', key } = as.client ?? {};
    if (!as.client) return true;
    if (key) {
      if (form.get('client_assertion_type') !== 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer') return no('no assertion of the client');
      const claims = assertionIsGood(form.get('client_assertion') ?? '', [as.url]);
      return claims && claims.iss === id && claims.sub === id;
    }
    if (basic && (form.has('client_secret') || form.has('client_id'))) no('the client twice');
    if ((auth === 'basic') !== Boolean(basic)) return no(`the client did not come by ${auth}`);
    const [gotId, gotSecret] = basic ? Buffer.from(basic, 'base64').toString().split(':').map((x) => decodeURIComponent(x.replaceAll('+', ' '))) : [form.get('client_id'), form.get('client_secret')];
    return gotId === id && gotSecret === as.client.secret;
  }
  function issue(res, whose, more = {}) {
    const token = `at-${randomBytes(18).toString('base64url')}`;
    as.issued.set(token, whose);
    const t = { access_token: token, token_type: 'Bearer', expires_in: as.life, ...more };
    return send(res, 200, as.manner ? as.manner(t) : t);
  }
  function exchange(res, form) {
    const subject = form.get('subject_token');
    if (!subject || !TYPE.test(form.get('subject_token_type') ?? '')) { no('an exchange without a subject'); return send(res, 400, { error: 'invalid_request' }); }
    if (form.has('actor_token') !== form.has('actor_token_type')) no('half an actor');
    if (!as.subjects.has(subject)) return send(res, 400, { error: 'invalid_grant', error_description: `the token ${subject} is not known` });
    return issue(res, as.subjects.get(subject), { issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' });
  }
  function serve(req, res, text) {
    const form = new URLSearchParams(text);
    as.asked.push(form);
    if (as.before?.(req, res, form)) return undefined;
    if (req.method !== 'POST' || req.url !== '/token') { no(`${req.method} ${req.url}`); return send(res, 404, {}); }
    if (req.headers['content-type'] !== 'application/x-www-form-urlencoded') no('no form');
    for (const k of new Set(form.keys())) {
      if (!KNOWN.includes(k)) no(`a parameter ${k}`);
      if (!['resource', 'audience'].includes(k) && form.getAll(k).length > 1) no(`${k} twice`);
      if (form.get(k) === '') no(`${k} is empty`);
    }
    if (!clientIsGood(req, form)) return send(res, 401, { error: 'invalid_client', error_description: `not ${text}` }, { 'www-authenticate': 'Basic realm="as"' });
    const grant = form.get('grant_type');
    if (grant === 'client_credentials') return issue(res, as.client.id);
    if (grant === `${GRANT}token-exchange`) return exchange(res, form);
    if (grant === `${GRANT}jwt-bearer`) { const c = assertionIsGood(form.get('assertion') ?? '', [as.url]); return c ? issue(res, c.sub) : send(res, 400, { error: 'invalid_grant' }); }
    if (grant === 'refresh_token') {
      const old = form.get('refresh_token'), whose = as.refresh.get(old);
      if (!whose) return send(res, 400, { error: 'invalid_grant' });
      const next = `rt-${randomBytes(12).toString('hex')}`;
      as.refresh.delete(old);
      as.refresh.set(next, whose);
      return issue(res, whose, { refresh_token: next });
    }
    return send(res, 400, { error: 'unsupported_grant_type' });
  }
  const handler = (req, res) => { let text = ''; req.setEncoding('utf8').on('data', (d) => { text += d; }).on('end', () => serve(req, res, text)); };
  const server = tls ? https.createServer(tls, handler) : http.createServer(handler);
  as.listen = (port) => new Promise((ok) => server.listen(port, '127.0.0.1', ok));
  await as.listen(0);
  as.port = server.address().port;
  as.url = `${tls ? 'https' : 'http'}://localhost:${as.port}/token`;
  as.close = () => new Promise((ok) => { server.close(ok); server.closeAllConnections(); });
  as.send = send;
  return as;
}
