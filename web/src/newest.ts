// Asking while the question changes: one request at a time, and then the newest question; those between are dropped.

export class Newest<Question, Answer> {
  #next: { question: Question; since: number } | null = null;
  #busy = false;
  #stopped = false;

  /** `answered` is told the answer, and after how many milliseconds since it was asked for. */
  constructor(
    private readonly ask: (question: Question) => Promise<Answer>,
    private readonly answered: (answer: Answer, question: Question, milliseconds: number) => void,
    private readonly failed: (error: unknown) => void,
  ) {}

  put(question: Question): void {
    this.#next = { question, since: performance.now() };
    void this.#run();
  }

  /** Answers that are on their way are for nobody any more. */
  stop(): void {
    this.#stopped = true;
    this.#next = null;
  }

  async #run(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next && !this.#stopped) {
      const { question, since } = this.#next;
      this.#next = null;
      try {
        const answer = await this.ask(question);
        if (!this.#stopped) this.answered(answer, question, performance.now() - since);
      } catch (error) {
        if (!this.#stopped) this.failed(error);
      }
    }
    this.#busy = false;
  }
}
