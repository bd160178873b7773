// For `node --import`: whatever this program listens on is the loopback, and it says `listening PORT`. Servers of others listen on
// every address of the machine.
import net from 'node:net';

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (port, ...more) {
  this.once('listening', () => process.stdout.write(`listening ${this.address().port}\n`));
  return listen.call(this, Number(port), '127.0.0.1', ...more);
};
