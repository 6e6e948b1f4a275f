// The page: who is signed in, what can be launched, and what there is.

import { Refused, ask, broughtBack, session } from "./api.js";
import { inside } from "./inside.js";
import { live } from "./live.js";
import { money, pods } from "./pods.js";

const $ = (id) => document.getElementById(id);
const show = pods($("pods"), act);
let watch;
let templates = [];

function tell(problem) {
  $("problem").textContent = problem ?? "";
  $("problem").hidden = !problem;
}

/** Does it, and shows what is refused. Whoever is signed in no more is led to the entrance. */
async function attempt(work) {
  try {
    const done = await work();
    tell();
    return done;
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    if (refused.status === 401 && session.token) leave();
    tell(refused.message);
  }
}

function enter() {
  $("entrance").hidden = true;
  $("desk").hidden = $("account").hidden = false;
  $("launch-title").tabIndex = -1;
  $("launch-title").focus();
  attempt(offers);
  // A refusal says that nobody is signed in any more: a look tells the person so.
  watch = live(() => attempt(look), () => attempt(look));
}

function leave() {
  watch?.end();
  watch = undefined;
  session.end();
  show([]);
  delete $("pods").dataset.shown;
  $("inside").close();
  $("sure").close();
  $("desk").hidden = $("account").hidden = true;
  $("entrance").hidden = false;
  $("google").hidden = document.documentElement.dataset.google !== "yes";
  $("email").focus();
}

/** What can be launched. */
async function offers() {
  const [all, gpus] = await Promise.all([ask("GET", "templates"), ask("GET", "pricing/gpus/available")]);
  templates = all;
  $("template").replaceChildren(...all.map(({ id, name }) => new Option(name, id)));
  const offered = gpus.data.filter((gpu) => gpu.available);
  offered.sort((a, b) => a.price - b.price);
  $("gpu").replaceChildren(...offered.map(({ id, name, price }) => new Option(`${name}, ${money(price)} an hour`, id)));
  chosen();
}

function chosen() {
  const template = templates.find(({ id }) => id === $("template").value);
  $("image").textContent = template ? `Image ${template.dockerImage}` : "";
  $("jupyter").checked = template?.httpPorts.some(({ port }) => port === 8888) ?? false;
}

async function look() {
  const [list, me] = await Promise.all([ask("GET", "pods"), ask("GET", "auth/me")]);
  if (!session.token) return;
  const user = me.user ?? me.data ?? me;
  $("balance").textContent = money(user.balance);
  $("who").textContent = user.email;
  const news = show(list.data);
  $("none").hidden = list.data.length > 0;
  if (news) $("news").textContent = news;
}

async function act(verb, pod) {
  if (verb === "inside") return inside(pod, $("inside"));
  if (verb === "delete" && !(await sure(pod))) return;
  const path = `pods/${pod.podId}`;
  await attempt(() => (verb === "delete" ? ask("DELETE", path) : ask("POST", `${path}/${verb}`)));
  await watch?.now();
}

function sure(pod) {
  $("sure-title").textContent = `Delete ${pod.podName}?`;
  $("sure").returnValue = "no";
  $("sure").showModal();
  return new Promise((resolve) => {
    $("sure").addEventListener("close", () => resolve($("sure").returnValue === "yes"), { once: true });
  });
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const signedIn = await attempt(() => ask("POST", "auth/mock-login", { email: $("email").value }));
  if (!signedIn) return;
  session.begin(signedIn.token);
  enter();
});

$("sign-out").addEventListener("click", async () => {
  watch?.end();
  await attempt(() => ask("POST", "auth/logout", {}));
  leave();
});

$("template").addEventListener("change", chosen);

$("launch").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  button.disabled = true;
  const launched = await attempt(() =>
    ask("POST", "pods", {
      name: $("name").value,
      deploymentType: "template",
      template: $("template").value,
      gpu: $("gpu").value,
      enableJupyter: $("jupyter").checked,
      ...($("idle").value && { idleStop: $("idle").value }),
    }),
  );
  button.disabled = false;
  if (launched) await watch?.now();
});

const brought = broughtBack();
if (brought.token) session.begin(brought.token);
if (session.token) enter();
else leave();
if (brought.error) tell(`Nobody is signed in: ${brought.error.replaceAll("_", " ")}.`);
