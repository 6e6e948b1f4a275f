// When to look again: whenever something has happened, and now and then, since money runs also when nothing happens.

import { stream } from "./stream.js";

const EVERY = 10_000;

export function live(look, refused) {
  let looks;
  let stale = false;
  // One look at a time, and one more if something has happened meanwhile.
  const now = async () => {
    stale = true;
    looks ??= (async () => {
      while (stale) {
        stale = false;
        await look();
      }
      looks = undefined;
    })();
    await looks;
  };
  const seen = () => document.hidden || now();
  const events = stream("events", { opened: now, heard: now, refused });
  const timer = setInterval(seen, EVERY);
  document.addEventListener("visibilitychange", seen);
  return {
    now,
    end() {
      events.end();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}
