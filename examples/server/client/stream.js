// Server-sent events over fetch, since the browser's own can't say who asks. Goes on where it was after a cut.

import { session } from "./api.js";

const AGAIN_AFTER = 1000;

/** Calls `heard(type, data)` for each event, and `opened()` each time it begins; `refused(status)` is its end. */
export function stream(path, { heard, opened = () => {}, refused = () => {} }) {
  const abort = new AbortController();
  let last;

  const once = async () => {
    const headers = { accept: "text/event-stream", authorization: `Bearer ${session.token}` };
    if (last) headers["last-event-id"] = last;
    const answer = await fetch(`api/${path}`, { headers, signal: abort.signal });
    if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
      abort.abort();
      return refused(answer.status);
    }
    if (!answer.ok) return;
    opened();
    let rest = "";
    for await (const text of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
      const events = (rest + text).split("\n\n");
      rest = events.pop();
      for (const { id, event, data } of events.map(fields)) {
        last = id ?? last;
        if (data !== undefined) heard(event ?? "message", JSON.parse(data));
      }
    }
  };

  const goOn = async () => {
    while (!abort.signal.aborted) {
      // A server that ends is there again in a moment.
      await once().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER));
    }
  };
  goOn();
  return { end: () => abort.abort() };
}

async function* chunks(body) {
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/** Of one event; a line that begins with a colon says only that the server is there. */
function fields(text) {
  const lines = text.split("\n").filter((line) => line && !line.startsWith(":"));
  return Object.fromEntries(lines.map((line) => line.split(/: (.*)/s)));
}
