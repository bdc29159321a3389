// One piece of work for the server: asked for, watched, and its result.

import { untrack } from "svelte";
import { api, words, type Job } from "./api";
import { ended, jobs } from "./jobs.svelte";

export interface Result<T> {
  key: string;
  told: T;
  pictures: string[];
}

export class Task<T> {
  result = $state.raw<Result<T> | null>(null);
  error = $state("");
  #id = $state<string | null>(null);
  #asking = $state(false);
  #turn = 0;

  constructor() {
    $effect(() => {
      const job = this.job;
      if (job && ended(job)) void this.#end(job, this.#turn);
    });
  }

  get job(): Job | null {
    return this.#id === null ? null : (jobs.all[this.#id] ?? null);
  }

  get busy(): boolean {
    return this.#asking || (this.#id !== null && this.result === null && !this.error);
  }

  /** What is seen of it so far, as an address. */
  get preview(): string | null {
    const job = this.job;
    return job && !ended(job) && job.previews > 0 ? api.preview(job) : null;
  }

  /** Have it made, or with `kept` only shown if it was made before; what was asked for until now is given up. */
  async ask(asked: Record<string, unknown>, { kept = false } = {}): Promise<void> {
    this.drop();
    const turn = this.#turn;
    this.#asking = true;
    try {
      const job = await (kept ? jobs.kept(asked) : jobs.submit(asked));
      if (turn === this.#turn) this.#id = job?.id ?? null;
      else if (job) void jobs.cancel(job.id);
    } catch (error) {
      if (turn === this.#turn) this.error = words(error);
    } finally {
      if (turn === this.#turn) this.#asking = false;
    }
  }

  cancel(): void {
    if (this.#id) void jobs.cancel(this.#id);
  }

  /** Forget it; if it still runs nobody waits for it any more. */
  drop(): void {
    // Whoever has it dropped doesn't want to be told of it any more.
    const job = untrack(() => this.job);
    if (job && !ended(job)) void jobs.cancel(job.id);
    this.#turn++;
    this.#id = null;
    this.#asking = false;
    this.result = null;
    this.error = "";
  }

  async #end(job: Job, turn: number): Promise<void> {
    if (job.state === "failed") this.error = job.error ?? "it failed";
    else if (job.state === "cancelled") this.error = "cancelled";
    else {
      try {
        const result = await api.result<T>(job.key);
        if (turn === this.#turn) this.result = { key: job.key, ...result };
      } catch (error) {
        if (turn === this.#turn) this.error = words(error);
      }
    }
  }
}
