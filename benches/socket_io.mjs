// The same as our server does in the bench `sockets`, by node's own Socket.IO: tells everybody, as it is asked on its input.

import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import readline from 'node:readline';

const { Server } = createRequire(import.meta.url)('socket.io');
const http = createServer();
const io = new Server(http);
io.on('connection', (socket) => socket.emit('connected', {}));
http.listen(0, '127.0.0.1', 4096, () => console.log(`127.0.0.1:${http.address().port} -`));
const told = { message: 'x'.repeat(40), timestamp: new Date().toISOString() };
const lines = readline.createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
for await (const line of lines) {
  const [count, apart] = line.split(' ').map(Number);
  for (let n = 0; n < count; n += 1) {
    io.emit('broadcast', told);
    if (apart > 0) await new Promise((resolve) => setTimeout(resolve, apart));
  }
}
