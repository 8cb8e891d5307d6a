// Live updates from the server, by one EventSource a page.

/**
 * Listen for events while the page is seen: a browser has six connections to one server, and a tab that nobody looks at
 * must not keep one. `address(id)` is where to listen, given the id of the last event ("" for none); `handlers` are
 * functions of an event, by its name. `closed` is called when the server refuses to go on, as after signing out.
 * Returns a function that ends it.
 */
export function listen(address, handlers, closed = () => {}) {
  let source = null;
  let last = "";
  function start() {
    source?.close();
    source = document.hidden ? null : new EventSource(address(last));
    if (!source) return;
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        last = event.lastEventId || last;
        handle(event);
      });
    }
    source.addEventListener("error", ({ target }) => { if (target.readyState === EventSource.CLOSED) closed(); });
  }
  const stop = () => source?.close();
  const restored = (event) => { if (event.persisted) start(); };
  start();
  document.addEventListener("visibilitychange", start);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", restored);
  return () => {
    stop();
    document.removeEventListener("visibilitychange", start);
    removeEventListener("pageshow", restored);
  };
}
