// demo/recorder.mjs DIR NAME... - for each name a port of this machine's loopback that leads on to the port in DIR/NAME.to, and
// DIR/NAME.bytes with all that passed, in both directions. Prints the ports in one line when they are there; ends by itself
// after ten minutes.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

const [dir, ...names] = process.argv.slice(2);
const ports = await Promise.all(names.map((name) => new Promise((ok) => {
  const record = fs.openSync(path.join(dir, `${name}.bytes`), 'w', 0o600);
  const server = net.createServer((near) => {
    const far = net.connect(Number(fs.readFileSync(path.join(dir, `${name}.to`), 'utf8')), '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('data', (d) => fs.writeSync(record, d)); // before the other side has it
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroySoon());
    }
  });
  server.listen(0, '127.0.0.1', () => ok(server.address().port));
})));
console.log(`ready ${ports.join(' ')}`);
setTimeout(() => process.exit(1), 600000);
