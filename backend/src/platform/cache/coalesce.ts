interface Flight {
  running: Promise<unknown>;
  next?: Promise<unknown>;
}

/**
 * Shares loads of the same entry within a process: at most one runs and one waits for each, however many ask. A request joins
 * only a load that has not started: what a running one has read may be older than an answer that somebody had before
 * this request came.
 * @returns whether this load is shared with somebody, and its value
 */
export function createCoalescer() {
  const flights = new Map<string, Flight>();

  function start(key: string, load: () => Promise<unknown>): Promise<unknown> {
    const running = load().finally(() => {
      const flight = flights.get(key);
      if (flight?.running === running && !flight.next) flights.delete(key);
    });
    flights.set(key, { running });
    return running;
  }

  return function share<T>(key: string, load: () => Promise<T>): { joined: boolean; value: Promise<T> } {
    const flight = flights.get(key);
    if (!flight) return { joined: false, value: start(key, load) as Promise<T> };
    if (flight.next) return { joined: true, value: flight.next as Promise<T> };
    const begin = () => start(key, load);
    flight.next = flight.running.then(begin, begin);
    return { joined: false, value: flight.next as Promise<T> };
  };
}
