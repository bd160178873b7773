// An issuer of tokens for tests: keys and tokens by `jose`, and a server that publishes the keys as a test wants.
import http from 'node:http';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

const now = () => Math.floor(Date.now() / 1000);

/** `keys`: kid -> {alg, publicKey, privateKey}. */
export async function issuer({ iss = 'https://idp.example', aud = 'https://wiki.example' } = {}) {
  const i = { iss, aud, keys: {} };
  i.addKey = async (kid, alg = 'ES256', options = {}) => { i.keys[kid] = { alg, ...(await generateKeyPair(alg, { extractable: true, ...options })) }; };
  /** A public key as the set has it. */
  i.jwk = async (kid, more = {}) => ({ ...(await exportJWK(i.keys[kid].publicKey)), kid, alg: i.keys[kid].alg, use: 'sig', ...more });
  i.jwks = async (...kids) => ({ keys: await Promise.all((kids.length ? kids : Object.keys(i.keys)).map((k) => i.jwk(k))) });
  /** A token by a key, of these claims beside the usual ones; `undefined` takes one out. */
  i.token = async (kid, claims = {}, head = {}) => {
    const all = { iss: i.iss, aud: i.aud, sub: 'alice', iat: now(), exp: now() + 300, ...claims };
    for (const k of Object.keys(all)) if (all[k] === undefined) delete all[k];
    return new SignJWT(all).setProtectedHeader({ alg: i.keys[kid].alg, kid, ...head }).sign(i.keys[kid].privateKey);
  };
  await i.addKey('k1');
  return i;
}

/** A server of keys. `answer(request, response)` may be replaced; `asked` counts. */
export async function keyServer(answer) {
  const s = { asked: 0, answer };
  s.server = http.createServer((q, r) => { s.asked++; s.answer(q, r); });
  await new Promise((ok) => s.server.listen(0, '127.0.0.1', ok));
  s.url = `http://127.0.0.1:${s.server.address().port}/jwks.json`;
  s.stop = () => { s.server.closeAllConnections(); s.server.close(); };
  return s;
}
export const json = (value, headers = {}) => (q, r) => { r.writeHead(200, { 'content-type': 'application/json', ...headers }); r.end(JSON.stringify(value)); };
