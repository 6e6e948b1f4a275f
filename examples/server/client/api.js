// What the server is asked. Addresses are relative: it may be nested under a prefix.

const KEPT = "neuropod-token";

export const session = {
  get token() {
    return sessionStorage.getItem(KEPT);
  },
  begin(token) {
    sessionStorage.setItem(KEPT, token);
  },
  end() {
    sessionStorage.removeItem(KEPT);
  },
};

/** An answer that is a refusal: what it says is for people. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(method, path, body) {
  const headers = {};
  if (session.token) headers.authorization = `Bearer ${session.token}`;
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`api/${path}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refused(0, "The server does not answer.");
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  throw new Refused(answer.status, said.errors?.join(" ") ?? said.message ?? said.detail ?? `The server answers ${answer.status}.`);
}

/** A token, or a word about why there is none, that a sign-in elsewhere has led back with. */
export function broughtBack() {
  const brought = new URLSearchParams(location.hash.slice(1));
  if (!brought.has("token") && !brought.has("error")) return {};
  history.replaceState(null, "", location.pathname);
  return { token: brought.get("token"), error: brought.get("error") };
}
