/** Trying again what may fail for a moment. */

/** Pauses between tries in ms: the first, doubled after each failure up to the longest. */
const PAUSE_MS = 500;
const PAUSE_MS_MAX = 8_000;

/** Resolves to the first answer of `attempt` that is no rejection, however many tries it takes. */
export async function untilItWorks<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  for (let pause = PAUSE_MS; ; pause = Math.min(2 * pause, PAUSE_MS_MAX)) {
    try {
      return await attempt();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
