// Jobs as the server tells of them over one web socket. When the page is closed they end there.

import { address, api, server, socketAddress, words, type Job } from "./api";

const AGAIN = [250, 1000, 2000, 5000];
const ENDED = ["done", "failed", "cancelled"];

export function ended(job: Job): boolean {
  return ENDED.includes(job.state);
}

class Jobs {
  /** Those of this page, by id, the newest last. */
  all = $state<Record<string, Job>>({});
  /** Whether the server is heard. */
  connected = $state(false);
  /** Whether another server is there in its place, which doesn't know this page. */
  strange = $state(false);

  #page: Promise<string>;
  #entered: (page: string) => void = () => {};
  #name: string | null = null;
  #tries = 0;
  #left = new Set<string>();

  constructor() {
    this.#page = new Promise((resolve) => (this.#entered = resolve));
    if (typeof window !== "undefined") this.#connect();
  }

  get running(): Job[] {
    return Object.values(this.all).filter((job) => !ended(job));
  }

  /** Ask for work; the job as it stands then. Raises Refused. */
  async submit(asked: Record<string, unknown>): Promise<Job> {
    const job = (await api.submit({ ...asked, page: await this.#page }))!;
    this.#take(job);
    return job;
  }

  /** The same, only if it was made before; else null. */
  async kept(asked: Record<string, unknown>): Promise<Job | null> {
    const job = await api.submit({ ...asked, page: await this.#page, kept: true });
    if (job) this.#take(job);
    return job;
  }

  async cancel(id: string): Promise<void> {
    try {
      const job = await api.cancel(id, this.#name);
      if (job.state !== "cancelled") return;
      // For others it may go on, of which this page is told nothing.
      this.#left.add(id);
      this.#put(job);
    } catch (error) {
      console.warn(words(error));
    }
  }

  /** A job that was asked for, though this page may have left it to others before. */
  #take(job: Job): void {
    if (this.#left.delete(job.id)) delete this.all[job.id];
    this.#put(job);
  }

  #put(job: Job): void {
    const known = this.all[job.id];
    // An answer to a request may come after newer news of the same job.
    if (known && (ended(known) || known.previews > job.previews || known.done > job.done) && !ended(job)) return;
    this.all[job.id] = job;
  }

  #connect(): void {
    const socket = new WebSocket(socketAddress("events", { page: this.#name }));
    socket.onmessage = (message) => {
      const told = JSON.parse(message.data) as { page?: string; jobs?: Job[] };
      if (told.page) {
        this.#name = told.page;
        this.#entered(told.page);
        this.#page = Promise.resolve(told.page);
        this.connected = true;
        this.strange = false;
        if (this.#tries) void this.#again();
        this.#tries = 0;
      }
      for (const job of told.jobs ?? []) this.#put(job);
    };
    socket.onclose = () => {
      this.connected = false;
      if (this.#tries) void server().then((found) => !this.connected && found === "unknown" && this.#estrange());
      const wait = AGAIN[Math.min(this.#tries++, AGAIN.length - 1)];
      setTimeout(() => this.#connect(), wait);
    };
  }

  /** What the server did that was there before is lost. */
  #estrange(): void {
    this.strange = true;
    for (const job of this.running) {
      this.#put({ ...job, state: "failed", error: "the server that did this was stopped" });
    }
  }

  /** Of another server everything is asked anew; the address says what was looked at. */
  async #again(): Promise<void> {
    if ((await server()) === "other") location.reload();
    else await this.#catchUp();
  }

  /** What has become of jobs while the server was not heard. */
  async #catchUp(): Promise<void> {
    for (const job of this.running) {
      const response = await fetch(address(`jobs/${job.id}`)).catch(() => null);
      if (response?.ok) this.#put(await response.json());
      else if (response?.status === 404) {
        this.#put({ ...job, state: "failed", error: "the server has forgotten this job; ask again" });
      }
    }
  }
}

export const jobs = new Jobs();
