/** Small tools to build and to change elements with no needless write. */

type Child = Node | string;

/** An element with attributes and children; attributes of value `''` are set empty. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Outlines on a 24-pixel grid, drawn with the text's colour. */
const ICONS = {
  pause: 'M9 5v14M15 5v14',
  resume: 'M8 5.5v13l10.5-6.5z',
  cancel: 'M6.5 6.5l11 11M17.5 6.5l-11 11',
  retry: 'M19.5 12a7.5 7.5 0 1 1-2.4-5.5M19.5 3.5v4.2h-4.2',
  upload: 'M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5M4.5 16v2a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-2',
  shield: 'M12 3.5l7 2.6v5.2c0 4.4-2.9 7.6-7 9.2-4.1-1.6-7-4.8-7-9.2V6.1zM9 12l2.2 2.2L15.2 10',
  page: 'M6.5 3.5h7l4.5 4.5v12.5H6.5zM13.5 3.5v4.5h4.5',
  check: 'M5.5 12.5l4.3 4.3 8.7-9.3',
  alert: 'M12 8v5m0 3.2v.1M12 3.5l9 16H3z',
} as const;

export type IconName = keyof typeof ICONS;

/** An icon; decoration only, so it says nothing to a screen reader. */
export function icon(name: IconName): SVGSVGElement {
  const namespace = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(namespace, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'hf-icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(namespace, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** Sets an attribute, or removes it for `undefined`, only when that changes something. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** Sets the text only when it differs, so that nothing is laid out again for nothing. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
