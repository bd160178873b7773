// Which sockets a process owns and listens on, from /proc alone, in its own network namespace.
import fs from 'node:fs';

/** Inodes of the sockets among a process's descriptors. */
function inodes(pid) {
  const set = new Set();
  for (const f of fs.readdirSync(`/proc/${pid}/fd`)) {
    try { const m = fs.readlinkSync(`/proc/${pid}/fd/${f}`).match(/^socket:\[(\d+)\]$/); if (m) set.add(m[1]); } catch { /* closed meanwhile */ }
  }
  return set;
}

/**
 * Everything by which a peer could come to this process: TCP in LISTEN, UDP bound without a peer, raw and
 * packet sockets, listening Unix sockets. Returns lines of words.
 */
export function listening(pid) {
  const mine = inodes(pid);
  const out = [];
  const rows = (f) => { try { return fs.readFileSync(`/proc/${pid}/net/${f}`, 'utf8').split('\n').slice(1).filter(Boolean).map((l) => l.trim().split(/\s+/)); } catch { return []; } };
  for (const f of ['tcp', 'tcp6']) for (const r of rows(f)) if (mine.has(r[9]) && r[3] === '0A') out.push(`${f} ${r[1]}`);
  for (const f of ['udp', 'udp6', 'raw', 'raw6']) for (const r of rows(f)) if (mine.has(r[9]) && /^0+:0000$/.test(r[2])) out.push(`${f} ${r[1]}`);
  for (const r of rows('packet')) if (mine.has(r[8])) out.push(`packet ${r.join(' ')}`);
  for (const r of rows('unix')) if (mine.has(r[6]) && (parseInt(r[3], 16) & 0x10000)) out.push(`unix ${r[7] ?? '(unnamed)'}`);
  return out;
}
