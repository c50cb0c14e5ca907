/**
 * Importing this module defines `<holdfast-uploader>`.
 *
 * @packageDocumentation
 */
import { HoldfastUploader } from './holdfast-uploader.ts';

if (!customElements.get('holdfast-uploader')) customElements.define('holdfast-uploader', HoldfastUploader);

declare global {
  interface HTMLElementTagNameMap {
    'holdfast-uploader': HoldfastUploader;
  }
}

export { HoldfastUploader };
