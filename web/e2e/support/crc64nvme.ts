/** CRC-64/NVME as the wire carries it, a byte at a time by a table: independent of the project. */

/** The polynomial 0xad93d23594c93659, bits reversed, as two halves of 32 bits. */
const POLYNOMIAL_HIGH = 0x9a6c9329;
const POLYNOMIAL_LOW = 0xac4bc9b5;

const TABLE_HIGH = new Uint32Array(256);
const TABLE_LOW = new Uint32Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  let [high, low] = [0, byte];
  for (let bit = 0; bit < 8; bit += 1) {
    const carry = low & 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (carry) [high, low] = [high ^ POLYNOMIAL_HIGH, low ^ POLYNOMIAL_LOW];
  }
  TABLE_HIGH[byte] = high;
  TABLE_LOW[byte] = low;
}

/** The checksum of bytes that come bit by bit. */
export class Crc64Nvme {
  #high = ~0;
  #low = ~0;

  update(bytes: Uint8Array): this {
    let [high, low] = [this.#high, this.#low];
    for (let at = 0; at < bytes.length; at += 1) {
      const index = (low ^ (bytes[at] ?? 0)) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (TABLE_LOW[index] ?? 0);
      high = (high >>> 8) ^ (TABLE_HIGH[index] ?? 0);
    }
    [this.#high, this.#low] = [high, low];
    return this;
  }

  /** Base64 of the eight checksum bytes, most significant first. */
  digest(): string {
    const answer = Buffer.alloc(8);
    answer.writeUInt32BE(~this.#high >>> 0, 0);
    answer.writeUInt32BE(~this.#low >>> 0, 4);
    return answer.toString('base64');
  }
}

/** The checksum of these bytes. */
export function crc64nvme(bytes: Uint8Array): string {
  return new Crc64Nvme().update(bytes).digest();
}
