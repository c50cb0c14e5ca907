/** CRC-64/NVME as the wire carries it, written by the definition: slow, and independent of the project. */

/** The polynomial 0xad93d23594c93659, bits reversed. */
const POLYNOMIAL = 0x9a6c9329ac4bc9b5n;
const ALL_ONES = 0xffffffffffffffffn;

/** Base64 of the eight checksum bytes, most significant first. */
export function crc64nvme(bytes: Uint8Array): string {
  let crc = ALL_ONES;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
  }
  const answer = Buffer.alloc(8);
  answer.writeBigUInt64BE(crc ^ ALL_ONES);
  return answer.toString('base64');
}
