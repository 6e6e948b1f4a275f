// The list of pods: each has a card that is changed in place, so that focus stays where it is.

const PHASES = {
  QUEUED: "Queued", PROVISIONING: "Preparing", STARTING: "Starting", RUNNING: "Running", STOPPING: "Stopping",
  STOPPED: "Stopped", EXITED: "Exited", ERROR: "Error", DELETING: "Deleting",
};
const SERVICES = { creating: "starting", ready: "ready", stopped: "stopped", error: "unavailable" };
const euros = new Intl.NumberFormat("en", { style: "currency", currency: "EUR", maximumFractionDigits: 4 });

const clock = new Intl.DateTimeFormat("en", { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const money = (amount) => (amount === "Infinity" ? "unlimited" : euros.format(amount));

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function why(pod) {
  const parts = [];
  if (pod.phase === "QUEUED") parts.push(`Number ${pod.queuePosition} in the queue for a GPU.`);
  else if (pod.statusMessage) parts.push(pod.statusMessage);
  else if (pod.statusReason) parts.push(pod.statusReason.toLowerCase().replaceAll("_", " "));
  if (pod.idleStopAt) parts.push(`Stops at ${clock.format(new Date(pod.idleStopAt))} if nothing uses it.`);
  if (pod.phase === "EXITED" && pod.exitCode !== null) parts.push(`Exit code ${pod.exitCode}.`);
  return parts.join(" ");
}

class Card {
  constructor(pod, act) {
    this.title = element("h3", { id: `pod-${pod.podId}` });
    this.state = element("span");
    this.about = element("p", { className: "quiet" });
    this.why = element("p");
    this.services = element("ul", { className: "services" });
    this.buttons = {};
    const button = (verb, text, className) => {
      const made = element("button", { textContent: text, className, onclick: () => act(verb, this.pod) });
      made.setAttribute("aria-describedby", this.title.id);
      this.buttons[verb] = made;
      return made;
    };
    const actions = element("div", { className: "actions" },
      button("start", "Start", ""), button("stop", "Stop", "plain"), button("inside", "Look inside", "plain"), button("delete", "Delete", "grave"));
    this.node = element("li", {}, element("div", { className: "title" }, this.title, this.state),
      this.about, this.why, this.services, actions);
    this.node.dataset.pod = pod.podId;
  }

  show(pod) {
    this.pod = pod;
    set(this.title, pod.podName);
    set(this.state, PHASES[pod.phase] ?? pod.phase);
    this.state.className = `state ${pod.status}`;
    set(this.about, `${pod.dockerImage} on ${pod.gpu}, ${money(pod.pricePerHour)} an hour, ${money(pod.accruedCost)} so far`);
    set(this.why, why(pod));
    this.why.hidden = !this.why.textContent;
    const stopped = pod.desired === "STOPPED" || pod.phase === "EXITED" || pod.phase === "ERROR";
    this.buttons.start.hidden = !stopped;
    this.buttons.stop.hidden = stopped;
    const services = JSON.stringify([pod.httpServices, pod.tcpServices]);
    if (services !== this.shown) {
      this.shown = services;
      this.services.replaceChildren(...[...pod.httpServices, ...pod.tcpServices].map(service));
    }
  }
}

function service({ serviceName, port, status, url }) {
  const named = `${serviceName} (${port})`;
  const state = element("span", { className: `state ${status}`, textContent: SERVICES[status] ?? status });
  if (status !== "ready" || !url.startsWith("http")) return element("li", {}, `${named} `, state);
  const link = element("a", { href: url, target: "_blank", rel: "noopener noreferrer", textContent: `Open ${named}` });
  return element("li", {}, link, state);
}

/** Shows rows in `list`, newest first, and says in words what has changed. */
export function pods(list, act) {
  const cards = new Map();
  return (rows) => {
    const news = [];
    const first = list.dataset.shown === undefined;
    list.dataset.shown = "";
    const there = new Set(rows.map((pod) => pod.podId));
    for (const [id, card] of cards) {
      if (there.has(id)) continue;
      news.push(`${card.pod.podName} is gone.`);
      card.node.remove();
      cards.delete(id);
    }
    rows.forEach((pod, place) => {
      const known = cards.get(pod.podId);
      const card = known ?? new Card(pod, act);
      const before = known?.pod.phase;
      card.show(pod);
      if (!known) cards.set(pod.podId, card);
      if (list.children[place] !== card.node) list.insertBefore(card.node, list.children[place] ?? null);
      if (!first && before !== pod.phase) news.push(`${pod.podName}: ${PHASES[pod.phase] ?? pod.phase}.`);
    });
    return news.join(" ");
  };
}
