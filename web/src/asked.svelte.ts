// A question to the server that is asked anew whenever what it asks about changes.

import { words } from "./api";

/** The last answer stays until the next is there, or until there is nothing to ask any more. */
export class Asked<T> {
  value = $state.raw<T | null>(null);
  error = $state("");
  busy = $state(false);

  /** `ask` begins what is to be asked now, and null is for nothing; it is called again as what it reads changes. */
  constructor(ask: (signal: AbortSignal) => Promise<T> | null) {
    $effect(() => {
      const stop = new AbortController();
      const asked = ask(stop.signal);
      this.busy = asked !== null;
      if (asked) void this.#take(asked, stop.signal);
      else [this.value, this.error] = [null, ""];
      return () => stop.abort();
    });
  }

  async #take(asked: Promise<T>, signal: AbortSignal): Promise<void> {
    let [value, error]: [T | null, string] = [null, ""];
    try {
      value = await asked;
    } catch (raised) {
      error = words(raised);
    }
    if (signal.aborted) return;
    [this.value, this.error, this.busy] = [value, error, false];
  }
}
