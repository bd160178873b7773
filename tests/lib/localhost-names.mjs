// For `node --import`: names below .localhost lead to 127.0.0.1 (RFC 6761 6.3), which the resolver of many a system does not know.
// So a program of somebody else calls a tunnel's host, the name in its URL, its ClientHello and its Host field being that of the host.
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

const { lookup } = dns;
dns.lookup = (name, options, done = options) => {
  if (!name.endsWith('.localhost')) return lookup(name, options, done);
  const a = { address: '127.0.0.1', family: 4 };
  process.nextTick(() => (options?.all ? done(null, [a]) : done(null, a.address, a.family)));
};
syncBuiltinESMExports();
