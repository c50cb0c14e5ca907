/** What an upload shows while it needs its file again. Made only then: few uploads ever do. */
import type { Upload } from '../client/index.ts';
import { h, icon, setText } from './dom.ts';
import { refusalLine } from './wording.ts';

export class NeedsFilePanel {
  readonly element: HTMLElement;
  readonly #refusal = h('p', {
    class: 'hf-refusal',
    part: 'refusal',
    role: 'alert',
    'data-testid': 'refusal',
  });
  readonly #choose = h('span');
  readonly #uploadAsNew = h('button', {
    type: 'button',
    class: 'hf-button hf-quiet',
    part: 'button upload-as-new',
    'data-testid': 'upload-as-new',
    'data-action': 'upload-as-new',
  });

  constructor() {
    this.element = h(
      'div',
      { class: 'hf-needs-file', part: 'needs-file' },
      this.#refusal,
      h(
        'div',
        { class: 'hf-choices' },
        h(
          'label',
          { class: 'hf-button', part: 'button choose-file' },
          icon('upload'),
          this.#choose,
          h('input', {
            type: 'file',
            class: 'hf-hidden-input',
            'data-testid': 'choose-file',
            'data-choose': '',
          }),
        ),
        this.#uploadAsNew,
      ),
    );
  }

  draw(upload: Upload & { status: 'needs-file' }): void {
    const { refusal } = upload;
    setText(this.#refusal, refusalLine(upload));
    this.#refusal.hidden = !refusal;
    setText(this.#choose, refusal ? 'Choose another file' : 'Choose the file again');
    setText(this.#uploadAsNew, `Upload “${refusal?.fileName ?? ''}” as a new file`);
    this.#uploadAsNew.hidden = !refusal?.canUploadAsNew;
  }
}
