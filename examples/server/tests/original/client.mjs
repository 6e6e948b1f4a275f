// What the original frontend's services do, call by call, with the fields that its pages read: a script that was written
// against the original's REST API. `node client.mjs <address>`; it ends with 1 and says why if something is not as there.

import assert from 'node:assert/strict';

const API = process.argv[2];

/** As the frontend's axios is set up: JSON, a bearer token, five seconds, thirty for what pods take. */
async function call(method, path, { token, body, timeout = 5000 } = {}) {
  const response = await fetch(`${API}${path}`, {
    method,
    headers: {
      'Content-Type': 'application/json',
      Origin: 'http://localhost:5173',
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(timeout),
  });
  const data = await response.json();
  if (!response.ok) {
    throw Object.assign(new Error(data.message), { status: response.status, data });
  }
  return data;
}

const fails = async (status, promise) => {
  const error = await promise.then(() => null, (error) => error);
  assert.equal(error?.status, status, error?.message);
  // All that the frontend shows of an error.
  assert.equal(typeof error.data.message, 'string');
  assert.equal(error.data.success, false);
  return error;
};

// auth.service
const auth = {
  mockLogin: async (email) => {
    await call('GET', '/api/status/public');
    const { token, user } = await call('POST', '/api/auth/mock-login', { body: { email } });
    return { token, user };
  },
  verifyToken: async (token) => {
    await call('GET', '/api/status/public');
    return (await call('GET', '/api/auth/verify', { token })).user;
  },
  logout: (token) => call('POST', '/api/auth/logout', { token, body: { token } }),
};

// pod.service
const pods = {
  getPods: async (token) => (await call('GET', '/api/pods', { token })).data,
  // Not encoded, as there.
  getPodsByUser: async (token, email) => (await call('GET', `/api/pods?userEmail=${email}`, { token })).data,
  getPodConnections: async (token, id) => (await call('GET', `/api/pods/${id}/connections`, { token })).data,
  getPodLogs: async (token, id) => (await call('GET', `/api/pods/${id}/logs`, { token })).data.logs,
  createPod: (token, body) => call('POST', '/api/pods', { token, body, timeout: 30_000 }),
  // After each of both it reads the list again, and looks for the pod there.
  startPod: async (token, id) => {
    await call('POST', `/api/pods/${id}/start`, { token, timeout: 30_000 });
    return (await pods.getPods(token)).find((pod) => pod.podId === id);
  },
  stopPod: async (token, id) => {
    await call('POST', `/api/pods/${id}/stop`, { token, timeout: 30_000 });
    return (await pods.getPods(token)).find((pod) => pod.podId === id);
  },
  deletePod: (token, id) => call('DELETE', `/api/pods/${id}`, { token, timeout: 30_000 }),
};

/** The fields of a card. */
function isCard(pod) {
  for (const field of ['podId', 'podName', 'gpu']) assert.equal(typeof pod[field], 'string', field);
  assert.match(pod.podId, /^[0-9a-f]{16}$/);
  assert.ok(['creating', 'running', 'stopped', 'error'].includes(pod.status), pod.status);
  for (const field of ['containerDiskSize', 'volumeDiskSize']) assert.equal(typeof pod[field], 'number', field);
  for (const field of ['cpuUsage', 'memoryUsage', 'gpuUsage', 'uptime']) {
    assert.equal(typeof pod.stats[field], 'number', field);
  }
  for (const date of [pod.createdAt, pod.lastActive, pod.stats.lastUpdated]) assert.ok(!Number.isNaN(Date.parse(date)));
}

async function until(what, look) {
  const end = Date.now() + 60_000;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    assert.ok(Date.now() < end, `waited too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// An administrator and a client sign in.
const admin = await auth.mockLogin('root@example.com');
assert.equal(admin.user.role, 'admin');
assert.equal(admin.user.balance, 'Infinity');
const ana = await auth.mockLogin('ana+lab@example.com');
assert.equal(ana.user.role, 'client');
assert.equal(ana.user.balance, 10);
for (const field of ['id', 'name', 'email', 'plan', 'registrationDate', 'status']) {
  assert.equal(typeof ana.user[field], 'string', field);
}
assert.equal((await auth.verifyToken(ana.token)).email, 'ana+lab@example.com');
await fails(400, call('POST', '/api/auth/mock-login', { body: {} }));
await fails(401, call('GET', '/api/auth/verify', { token: 'x.y.z' }));

// The pricing page, before anybody signs in, and the settings of the administrator.
const open = (await call('GET', '/api/pricing/public')).data;
for (const [id, gpu] of Object.entries(open.gpus)) {
  assert.match(id, /^[a-z0-9-]{2,40}$/);
  assert.equal(typeof gpu.price, 'number');
  assert.equal(typeof gpu.specs.cores, 'number');
}
assert.equal(open.limits.portsMax, undefined);
const changed = await call('PUT', '/api/pricing', {
  token: admin.token,
  body: {
    gpus: { 'rtx-4050': { price: 3 }, 'rtx-4080': { price: 4.99 }, 'rtx-4090': { price: 8.99 } },
    storage: open.storage,
    freeTier: { enabled: true },
  },
});
assert.deepEqual(changed.data.availableGpus.includes('rtx-4050'), true);
const prices = async () => (await call('GET', '/api/pricing', { token: ana.token })).data;
assert.equal((await prices()).gpus['rtx-4050'].price, 3);
await call('POST', '/api/pricing/reset', { token: admin.token });
assert.equal((await prices()).gpus['rtx-4050'].price, 2.5);
await fails(403, call('POST', '/api/pricing/reset', { token: ana.token }));

// Templates: a bare array for everybody, forms for the administrator.
const templates = await call('GET', '/api/templates', { token: ana.token });
assert.ok(Array.isArray(templates) && templates.length === 3);
for (const template of templates) assert.ok(Array.isArray(template.httpPorts) && Array.isArray(template.tcpPorts));
const form = {
  name: 'Blender',
  dockerImage: 'demo',
  httpPorts: [{ port: 8080, serviceName: 'Web' }, { port: 0, serviceName: '' }],
  tcpPorts: [],
  containerDiskSize: 10,
  volumeDiskSize: 20,
  volumePath: '/workspace',
  description: '# Blender',
};
const made = (await call('POST', '/api/templates', { token: admin.token, body: form })).template;
assert.equal(made.createdBy.email, 'root@example.com');
assert.deepEqual(made.httpPorts, [{ port: 8080, serviceName: 'Web' }]);
const renamed = await call('PUT', `/api/templates/${made.id}`, { token: admin.token, body: { ...form, name: 'Blender 4' } });
assert.equal(renamed.template.name, 'Blender 4');
assert.equal((await call('GET', '/api/templates', { token: ana.token })).length, 4);

// A client deploys from a template, watches, stops, starts, deletes.
const ask = {
  name: 'My Pod.1',
  deploymentType: 'template',
  template: made.id,
  dockerImage: '',
  gpu: 'cpu',
  containerDiskSize: 10,
  volumeDiskSize: 20,
  ports: '8080',
  enableJupyter: false,
};
await pods.createPod(ana.token, ask);
const id = (await pods.getPods(ana.token))[0].podId;
const pod = async (token = ana.token) => (await pods.getPods(token)).find((pod) => pod.podId === id);
isCard(await pod());
await until('the pod runs', async () => (await pod()).status === 'running');
const connections = await until('its page is ready', async () => {
  const info = await pods.getPodConnections(ana.token, id);
  return info.httpServices[0]?.status === 'ready' && info;
});
assert.equal(connections.podName, 'My Pod.1');
assert.equal(connections.httpServices[0].serviceName, 'Web');
assert.match(connections.httpServices[0].url, /^http:\/\//);
assert.equal(typeof (await pods.getPodLogs(ana.token, id)), 'string');
assert.equal((await pods.stopPod(ana.token, id)).status, 'stopped');
await fails(404, call('POST', '/api/pods/0000000000000000/start', { token: ana.token }));
await until('it has stopped', async () => (await call('GET', `/api/pods/${id}`, { token: ana.token })).pod.phase === 'STOPPED');
assert.ok(['creating', 'running'].includes((await pods.startPod(ana.token, id)).status));
const refused = await fails(402, pods.createPod(ana.token, { ...ask, gpu: 'rtx-4050', containerDiskSize: 100, volumeDiskSize: 150 }));
assert.equal(refused.data.code, 'insufficient_balance');

// The administrator's pages: users, a client's pods, balances, suspension, deletion.
const users = async (query = '') => (await call('GET', `/api/auth/users${query}`, { token: admin.token })).data;
const row = async () => (await users('?search=ana%2Blab'))[0];
assert.equal((await users()).length, 2);
assert.equal((await row()).totalPods, 1);
assert.equal((await row()).status, 'online');
assert.equal((await pods.getPodsByUser(admin.token, 'ana+lab@example.com'))[0].userEmail, 'ana+lab@example.com');
await call('POST', '/api/auth/users/balance', { token: admin.token, body: { userId: ana.user.id, balance: 50 } });
// A pod may be about to stop, and costs what it costs.
assert.ok(Math.abs((await row()).balance - 50) < 0.1);
await fails(400, call('POST', '/api/auth/users/balance', { token: admin.token, body: { userId: ana.user.id, balance: -1 } }));
const fixed = await call('POST', '/api/auth/admin/fix-balances', { token: admin.token });
assert.equal(fixed.data.usersUpdated, 0);
const suspended = await call('POST', '/api/auth/users/suspend', { token: admin.token, body: { userId: ana.user.id } });
assert.deepEqual(suspended.data.stoppedPods, [id]);
assert.equal((await fails(403, pods.startPod(ana.token, id))).data.code, 'account_suspended');
await call('POST', '/api/auth/users/unsuspend', { token: admin.token, body: { userId: ana.user.id } });
await pods.deletePod(ana.token, id);
assert.deepEqual(await pods.getPods(ana.token), []);
await call('DELETE', `/api/auth/users/${ana.user.id}`, { token: admin.token });
assert.equal((await users()).length, 1);
await fails(401, auth.verifyToken(ana.token));
await call('DELETE', `/api/templates/${made.id}`, { token: admin.token });

await auth.logout(admin.token);
await fails(401, auth.verifyToken(admin.token));
console.log('as the original');
