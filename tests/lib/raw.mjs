// HTTP as bytes: what no well-behaved client would ever send.
import net from 'node:net';
import { ms } from './own.mjs';

/**
 * Sends `parts` (strings, Buffers, or numbers = milliseconds to wait) over one TCP connection and
 * collects what comes back until the peer closes, `until(text)` is satisfied, or `timeout` passes.
 * Returns {text, closed, reset, timedOut, elapsed, responses}.
 */
export function talk(port, parts, { timeout = ms(5000), until, half = false } = {}) {
  return new Promise((resolve) => {
    const began = Date.now();
    const chunks = [];
    const sock = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let over = false;
    const finish = (how) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      sock.destroy();
      const text = Buffer.concat(chunks).toString('latin1');
      resolve({ text, ...how, elapsed: Date.now() - began, responses: parseResponses(text) });
    };
    const timer = setTimeout(() => finish({ timedOut: true }), timeout);
    sock.on('data', (d) => { chunks.push(d); if (until?.(Buffer.concat(chunks).toString('latin1'))) finish({ closed: false }); });
    sock.on('end', () => finish({ closed: true }));
    sock.on('error', (e) => finish({ closed: true, reset: true, error: e }));
    sock.on('connect', async () => {
      for (const p of parts) {
        if (over) return;
        if (typeof p === 'number') await new Promise((r) => setTimeout(r, p));
        else if (!sock.destroyed) await new Promise((r) => sock.write(typeof p === 'string' ? Buffer.from(p, 'latin1') : p, () => r()));
      }
      if (half && !over) sock.end();
    });
  });
}

/** Splits a byte string into responses; understands Content-Length and chunked. */
export function parseResponses(t) {
  const all = [];
  while (t.length) {
    const end = t.indexOf('\r\n\r\n');
    const lines = end < 0 ? [] : t.slice(0, end).split('\r\n');
    const m = /^HTTP\/1\.1 (\d{3}) /.exec((lines.shift() ?? '') + ' ');
    if (!m) { all.push({ garbage: t }); break; }
    const headers = {};
    for (const line of lines) { const c = line.indexOf(':'); headers[line.slice(0, c).toLowerCase()] = line.slice(c + 1).trim(); }
    const status = Number(m[1]);
    t = t.slice(end + 4);
    let body = '';
    if (status >= 200 && status !== 204 && status !== 304) {
      if (/chunked/i.test(headers['transfer-encoding'] ?? '')) {
        for (;;) {
          const c = /^([0-9a-fA-F]+)[^\r\n]*\r\n/.exec(t);
          if (!c) break;
          const n = parseInt(c[1], 16);
          body += t.slice(c[0].length, c[0].length + n);
          t = t.slice(c[0].length + n + 2);
          if (n === 0) break;
        }
      } else if (headers['content-length'] !== undefined) {
        body = t.slice(0, Number(headers['content-length']));
        t = t.slice(Number(headers['content-length']));
      } else { body = t; t = ''; }
    }
    all.push({ status, headers, body });
  }
  return all;
}
