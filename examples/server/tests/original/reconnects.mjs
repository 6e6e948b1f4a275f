// The official client, with the options of the original's pages, over a connection that is cut and a server that is started
// anew. Says what it waits for on a line of its own, and goes on at each line that it is given. `node reconnects.mjs
// <address> <transport>`.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import readline from 'node:readline';

const { io } = createRequire(import.meta.url)('socket.io-client');
const [, , API, transport] = process.argv;
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const wait = async (what) => {
  console.log(what);
  return (await lines.next()).value;
};

const call = async (method, path, token, body) => {
  const response = await fetch(`${API}${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
    body: body && JSON.stringify(body),
  });
  const data = await response.json();
  assert.ok(response.ok, `${method} ${path}: ${data.message}`);
  return data;
};
const signIn = async () => (await call('POST', '/api/auth/mock-login', undefined, { email: 'ana@example.com' })).token;
let token = await signIn();
const body = {
  name: 'My pod', deploymentType: 'docker', dockerImage: 'demo', gpu: 'cpu', containerDiskSize: 10, volumeDiskSize: 20,
  ports: '8080', enableJupyter: false,
};
const id = (await call('POST', '/api/pods', token, body)).data.podId;

// As the page: it keeps what it has subscribed to, and subscribes anew on each connection.
const socket = io(API, { auth: (give) => give({ token }), transports: [transport], retries: 3, timeout: 20_000 });
let phase;
let connects = 0;
socket.on('podUpdate', (update) => { if (update.podId === id) phase = update.phase; });
socket.on('connect', () => {
  connects += 1;
  phase = undefined;
  socket.emit('subscribe', { podId: id });
});
// What a handler of `connect` sends this client sends twice.
const settled = () => socket._queue.length === 0;
const heard = [];
socket.onAny((event) => heard.push(event));
for (const event of ['connect', 'disconnect', 'connect_error']) socket.on(event, (why) => heard.push(`${event} ${why?.message ?? why}`));
const until = async (what, holds) => {
  const end = Date.now() + 60_000;
  while (!holds()) {
    assert.ok(Date.now() < end, `waited too long: ${what}; ${phase}; ${heard.join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
await until('it runs', () => phase === 'RUNNING' && settled());

// Cut: what happens meanwhile is known afterwards.
const reconnected = async (what, wanted) => {
  const before = connects;
  await until(`${what}: connected again`, () => connects > before);
  await until(`${what}: ${wanted}`, () => phase === wanted && settled());
};
let again = reconnected('after a cut', 'STOPPED');
await wait(`cut ${id} ${token}`);
await again;

again = reconnected('after a restart', 'STOPPED');
await wait('restart');
await again;

// A new token: the session of the old one ends, the page connects by the new one.
const old = token;
token = await signIn();
let closed;
socket.once('disconnect', (why) => { closed = why; });
await call('POST', '/api/auth/logout', old, {});
await until('the session ends', () => closed !== undefined);
assert.equal(closed, 'io server disconnect');
again = reconnected('with a new token', 'STOPPED');
socket.connect();
await again;
const started = until('it starts', () => phase === 'RUNNING');
// What was simulated is gone with its server, its volume too.
await call('POST', `/api/pods/${id}/start`, token, { acceptLoss: true });
await started;
let pong = false;
socket.once('pong', () => { pong = true; });
socket.emit('ping');
await until('it answers', () => pong);
socket.disconnect();
console.log('done');
process.exit(0);
