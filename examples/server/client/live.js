// When to look again: every two seconds while somebody can see the page.

const EVERY = 2000;

export function live(look) {
  let timer;
  let ended = false;
  const next = () => {
    clearTimeout(timer);
    if (!ended && !document.hidden) timer = setTimeout(now, EVERY);
  };
  const now = async () => {
    clearTimeout(timer);
    await look();
    next();
  };
  document.addEventListener("visibilitychange", now);
  now();
  return {
    now,
    end() {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", now);
    },
  };
}
