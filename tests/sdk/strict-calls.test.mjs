// Calls, permissions and threads: our worker and the official one against a platform that forgives nothing.
import { bash, use } from '../lib/strict-platform.mjs';
import { cases } from '../lib/worker-pair.mjs';

cases('calls', [
  {
    name: 'a turn of two calls is answered in order, then the item is given back',
    both: { results: ['a ok', 'b ok'], ran: { a: 1, b: 1 }, stops: ['force'] },
    async play({ p, mark, start, stopped }) {
      const s = p.session();
      s.turn(bash('a', mark('a')), bash('b', mark('b')));
      const w = p.serve(s);
      start();
      await stopped(w);
    },
  },
]);
