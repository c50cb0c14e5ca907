/** Work spread over frames, so that no task of the page grows long. */

/** Time in ms that one frame's drawing may take; far below a long task's 50 ms even on slow machines. */
const FRAME_BUDGET_MS = 8;

/** A hidden page gets no frames; its drawing goes on by this timer, in ms. */
const HIDDEN_PAGE_MS = 250;

/** Draws keyed items once a frame at most, the rest in the next frame when time is up. */
export class FrameQueue<Key> {
  readonly #draw: (key: Key) => void;
  readonly #afterwards: () => void;
  readonly #waiting = new Set<Key>();
  #frame: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `afterwards` runs at the end of each frame that drew something. */
  constructor(draw: (key: Key) => void, afterwards: () => void) {
    this.#draw = draw;
    this.#afterwards = afterwards;
  }

  /** Draws the item in the next frame. Asked twice before it comes, it is drawn once. */
  add(key: Key): void {
    this.#waiting.add(key);
    this.wake();
  }

  /** Makes sure that a next frame comes, with nothing to draw but what `afterwards` does. */
  wake(): void {
    if (this.#frame !== undefined || this.#timer !== undefined) return;
    this.#frame = requestAnimationFrame(() => this.#run());
    this.#timer = setTimeout(() => this.#run(), HIDDEN_PAGE_MS);
  }

  remove(key: Key): void {
    this.#waiting.delete(key);
  }

  stop(): void {
    this.#waiting.clear();
    this.#unschedule();
  }

  #run(): void {
    this.#unschedule();
    const end = performance.now() + FRAME_BUDGET_MS;
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#draw(key);
      if (performance.now() >= end) break;
    }
    this.#afterwards();
    if (this.#waiting.size > 0) this.wake();
  }

  #unschedule(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = undefined;
    this.#timer = undefined;
  }
}
