// What the original frontend's pages do with their socket, by the official client with the options that they have. Node
// finds it by NODE_PATH. `node sockets.mjs <address> <transport>`; it ends with 1 and says why if something is not as there.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { io } = createRequire(import.meta.url)('socket.io-client');
const API = process.argv[2];
const transports = process.argv[3].split(',');

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
const signIn = async (email) => call('POST', '/api/auth/mock-login', undefined, { email });

/** websocket.service: its options, and everything that comes. */
class Page {
  constructor(token, options = {}) {
    this.events = [];
    this.waiting = [];
    this.socket = io(API, { auth: { token }, transports, timeout: 20_000, retries: 3, forceNew: true, ...options });
    this.socket.onAny((event, ...data) => this.take(event, data));
    for (const event of ['connect', 'disconnect', 'connect_error']) {
      this.socket.on(event, (why) => this.take(event, [why?.message ?? why]));
    }
  }

  take(event, data) {
    assert.ok(data.length <= 1, `${event} has ${data.length} arguments`);
    // Once a second, to who has subscribed; the original never told it.
    if (event === 'podMetrics') return;
    this.events.push([event, data[0]]);
    this.waiting = this.waiting.filter((look) => !look());
  }

  all(event) {
    return this.events.filter(([name]) => name === event).map(([, data]) => data);
  }

  /** The first such event from `since` on. */
  next(event, matches = () => true, since = this.events.length) {
    return new Promise((resolve, reject) => {
      const seen = () => this.events.slice(since).map(([name, data]) => `${name} ${JSON.stringify(data)}`).join('\n');
      const timer = setTimeout(() => reject(new Error(`no ${event}, but:\n${seen()}`)), 30_000);
      const look = () => {
        const found = this.events.slice(since).find(([name, data]) => name === event && matches(data));
        if (!found) return false;
        clearTimeout(timer);
        resolve(found[1]);
        return true;
      };
      if (!look()) this.waiting.push(look);
    });
  }

  /** All that was sent is acknowledged: the queue of a client that retries is empty then. */
  async settled() {
    while (this.socket._queue.length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const admin = await signIn('root@example.com');
const ana = await signIn('ana@example.com');
const ben = await signIn('ben@example.com');

// The handshake.
const refusal = async (auth, query = {}) => {
  const page = new Page(undefined, { auth, query, reconnection: false });
  const why = await page.next('connect_error', undefined, 0);
  page.socket.disconnect();
  return why;
};
assert.match(await refusal({}), /No token/);
assert.match(await refusal({ token: 7 }), /No token/);
assert.match(await refusal({ token: 'x.y.z' }), /Sign in first/);
const gone = await signIn('ana@example.com');
await call('POST', '/api/auth/logout', gone.token, {});
assert.match(await refusal({ token: gone.token }), /session has ended/);

const page = new Page(ana.token);
const connected = await page.next('connected', undefined, 0);
assert.deepEqual([connected.userId, connected.role], [ana.user.id, 'client']);
assert.ok(!Number.isNaN(Date.parse(connected.timestamp)));
// By the address too, as old clients do.
const old = new Page(undefined, { auth: {}, query: { token: ana.token } });
await old.next('connected', undefined, 0);
old.socket.disconnect();

const root = new Page(admin.token);
const stranger = new Page(ben.token);
await Promise.all([root, stranger].map((page) => page.next('connected', undefined, 0)));

// A pod is launched, and everybody hears what is theirs.
const launch = async () => {
  const body = {
    name: 'My pod', deploymentType: 'docker', dockerImage: 'demo', gpu: 'cpu', containerDiskSize: 10,
    volumeDiskSize: 20, ports: '8080', enableJupyter: false,
  };
  return (await call('POST', '/api/pods', ana.token, body)).data.podId;
};
let since = page.events.length;
const id = await launch();
const created = await page.next('podCreated', undefined, since);
assert.deepEqual(
  [created.type, created.podId, created.podName, created.gpu, created.containerDiskSize, created.createdBy],
  ['podCreated', id, 'My pod', 'cpu', 10, 'ana@example.com'],
);
const running = (told) => told.podId === id && told.status === 'running';
await page.next('podUpdate', running, since);
await root.next('podUpdate', running, 0);

// Subscribed twice, its log, a ping, and not any more: each arrives once, and is acknowledged.
since = page.events.length;
for (const event of ['subscribe', 'subscribe', 'requestLogs', 'unsubscribe', 'unsubscribe']) {
  page.socket.emit(event, { podId: id });
}
page.socket.emit('ping');
page.socket.emit('nobody knows this', { a: 1 });
page.socket.emit('subscribe', 'no object');
page.socket.emit('subscribe');
page.socket.emit('requestLogs', { podId: '0000000000000000' });
page.socket.emit('subscribe', { podId: 'none' });
await page.settled();
const after = page.events.slice(since).filter(([event]) => event !== 'podUpdate').map(([event, data]) => `${event} ${data.type ?? ''}`.trim());
assert.deepEqual(after, [
  'subscribed', 'subscribed', 'podLogs', 'unsubscribed', 'unsubscribed', 'pong',
  'error INVALID_REQUEST', 'error INVALID_REQUEST', 'error POD_NOT_FOUND', 'error POD_NOT_FOUND',
]);
const updates = page.all('podUpdate').slice(-2);
for (const update of updates) {
  assert.deepEqual([update.type, update.podId, update.status, update.phase], ['podUpdate', id, 'running', 'RUNNING']);
  for (const field of ['cpuUsage', 'memoryUsage', 'gpuUsage', 'uptime']) assert.equal(typeof update.stats[field], 'number');
  assert.equal(update.httpServices[0].status, 'ready');
  assert.match(update.httpServices[0].url, /^http/);
}
const [log] = page.all('podLogs');
assert.deepEqual([log.podId, log.logs], [id, 'hello\n']);

// A stranger can't tell it from one that is not there.
stranger.socket.emit('subscribe', { podId: id });
stranger.socket.emit('requestLogs', { podId: id });
await stranger.settled();
assert.deepEqual(stranger.all('error').map((e) => [e.type, e.podId]), [['POD_NOT_FOUND', id], ['POD_NOT_FOUND', id]]);
root.socket.emit('subscribe', { podId: id });
await root.settled();
assert.equal(root.all('subscribed').length, 1);

// What changes is told once.
since = page.events.length;
const rootSince = root.events.length;
page.socket.emit('subscribe', { podId: id });
await page.settled();
since = page.events.length;
await call('POST', `/api/pods/${id}/stop`, ana.token);
const stopped = (told) => told.podId === id && told.phase === 'STOPPED';
const told = await page.next('podUpdate', stopped, since);
assert.deepEqual([told.status, told.stats.uptime, told.httpServices[0].status], ['stopped', 0, 'stopped']);
await root.next('podUpdate', stopped, rootSince);
await call('POST', '/api/auth/users/balance', admin.token, { userId: ana.user.id, balance: 20 });
const balance = await page.next('balanceUpdate', undefined, since);
assert.deepEqual([balance.type, balance.newBalance, balance.updatedBy], ['balanceUpdate', 20, 'root@example.com']);
await call('POST', '/api/admin/broadcast', admin.token, { message: 'At noon we restart.' });
for (const one of [page, root, stranger]) {
  assert.equal((await one.next('broadcast', undefined, 0)).message, 'At noon we restart.');
}
await call('DELETE', `/api/pods/${id}`, ana.token);
assert.deepEqual((({ type, podId }) => ({ type, podId }))(await page.next('podDeleted', undefined, since)), { type: 'podDeleted', podId: id });
await root.next('podDeleted', undefined, rootSince);
const times = page.events.slice(since).filter(([event, data]) => event === 'podUpdate' && stopped(data));
assert.equal(times.length, 1, JSON.stringify(times));
assert.equal(page.all('podCreated').length, 1);
assert.equal(page.all('balanceUpdate').length, 1);
assert.equal(page.all('broadcast').length, 1);

// Nobody has heard what is not theirs.
const heard = (page) => [...new Set(page.events.map(([event]) => event))].sort();
assert.deepEqual(heard(stranger), ['broadcast', 'connect', 'connected', 'error']);
assert.deepEqual(heard(root), ['broadcast', 'connect', 'connected', 'podDeleted', 'podUpdate', 'subscribed']);

// Sign-out, suspension and deletion close what is open, within a second.
const closes = async (page, what) => {
  const closed = page.next('disconnect', undefined, 0);
  await what();
  const began = Date.now();
  assert.equal(await closed, 'io server disconnect');
  assert.ok(Date.now() - began < 1000, `${Date.now() - began} ms`);
};
const other = new Page((await signIn('ana@example.com')).token);
await other.next('connected', undefined, 0);
await closes(page, () => call('POST', '/api/auth/logout', ana.token, {}));
await closes(other, () => call('POST', '/api/auth/users/suspend', admin.token, { userId: ana.user.id }));
const notice = await root.next('adminNotification', undefined, 0);
assert.deepEqual([notice.type, typeof notice.message, notice.userId], ['userSuspended', 'string', ana.user.id]);
await closes(stranger, () => call('DELETE', `/api/auth/users/${ben.user.id}`, admin.token));
for (const one of [page, other, root, stranger]) one.socket.disconnect();

console.log('as the original');
