/** Tells screen readers what happened, one sentence at a time and not one for each of a thousand files. */
import type { Uploader } from '../client/index.ts';
import { h, setText } from './dom.ts';
import { count } from './format.ts';

/** Events within this time, in ms, are told together. */
const GATHER_MS = 800;

export class Announcer {
  readonly element = h('div', {
    class: 'hf-spoken',
    role: 'status',
    'aria-live': 'polite',
    'aria-atomic': 'true',
  });
  readonly #names = { safe: [] as string[], completed: [] as string[], failed: [] as string[] };
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Listens to an uploader; answers the function that ends it. */
  follow(uploader: Uploader): () => void {
    const ends = (['safe', 'completed', 'failed'] as const).map((event) =>
      uploader.on(event, ({ upload }) => {
        this.#names[event].push(upload.name);
        this.#timer ??= setTimeout(() => this.#speak(), GATHER_MS);
      }),
    );
    return () => {
      for (const end of ends) end();
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  }

  #speak(): void {
    this.#timer = undefined;
    const { safe, completed, failed } = this.#names;
    const sentences = [
      sentence(failed, 'failed'),
      sentence(completed, 'uploaded'),
      // Of a file that is already there nobody needs to hear that it was safe before.
      sentence(
        safe.filter((name) => !completed.includes(name)),
        'safe: the page may be closed',
      ),
    ];
    setText(this.element, sentences.filter((each) => each !== '').join('. '));
    for (const names of Object.values(this.#names)) names.length = 0;
  }
}

function sentence(names: readonly string[], what: string): string {
  if (names.length === 0) return '';
  return `${names.length === 1 ? names[0] : count(names.length, 'file')} ${what}`;
}
