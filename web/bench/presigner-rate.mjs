/**
 * How many UploadPart URLs `@aws-sdk/s3-request-presigner` signs a second, on this one thread.
 *
 * A process of its own, so that nothing else runs in it:
 * `node presigner-rate.mjs WAY SECONDS UNIX_TIME` prints one line of JSON. `sample` is the URL of part 1
 * at that time, to be compared with another signer's.
 *
 * Ways: `getSignedUrl`, the package's function, as its documentation shows it; `presign`, its class
 * below that, given an HTTP request made by hand, which leaves out all of the client's own work.
 */
import { S3Client, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl, S3RequestPresigner } from '@aws-sdk/s3-request-presigner';

const BUCKET = 'bucket';
const REGION = 'eu-central-1';
const KEY = 'uploads/local/2026-11-22/6a0d4f0e-6f7f-4f0e-8d8e-0d8b3f0e6f7f/file.mov';
const UPLOAD_ID = '2~upload';
const PART_BYTES = 8 << 20;
const CHECKSUM_HEADER = 'x-amz-checksum-crc64nvme';
const BATCH_PARTS = 100;
const WARM_UP_BATCHES = 50;

const [way, seconds, unixTime] = process.argv.slice(2);
const client = new S3Client({
  region: REGION,
  credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
  requestChecksumCalculation: 'WHEN_REQUIRED',
});
const options = {
  expiresIn: 3600,
  signingDate: new Date(Number(unixTime) * 1000),
  // Left to itself it moves the checksum into the query, where a store may ignore it.
  unhoistableHeaders: new Set([CHECKSUM_HEADER]),
};
const checksums = Array.from({ length: BATCH_PARTS }, (_, index) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(index + 1));
  return bytes.toString('base64');
});

const ways = {
  getSignedUrl: (index) => {
    const command = new UploadPartCommand({
      Bucket: BUCKET,
      Key: KEY,
      UploadId: UPLOAD_ID,
      PartNumber: index + 1,
      ContentLength: PART_BYTES,
      ChecksumCRC64NVME: checksums[index],
    });
    return getSignedUrl(client, command, options);
  },
  presign: async (index) => {
    const hostname = `${BUCKET}.s3.${REGION}.amazonaws.com`;
    const request = {
      method: 'PUT',
      protocol: 'https:',
      hostname,
      path: `/${KEY}`,
      query: { partNumber: String(index + 1), uploadId: UPLOAD_ID, 'x-id': 'UploadPart' },
      headers: {
        host: hostname,
        'content-length': String(PART_BYTES),
        [CHECKSUM_HEADER]: checksums[index],
      },
    };
    const signed = await presigner.presign(request, options);
    const query = Object.entries(signed.query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return `https://${hostname}${signed.path}?${query.join('&')}`;
  },
};
const presigner = new S3RequestPresigner({ ...client.config });
const sign = ways[way];

async function signBatch() {
  for (let index = 0; index < BATCH_PARTS; index += 1) await sign(index);
}

for (let batch = 0; batch < WARM_UP_BATCHES; batch += 1) await signBatch();
const start = performance.now();
const usedBefore = process.cpuUsage();
let urls = 0;
while (performance.now() - start < seconds * 1000) {
  await signBatch();
  urls += BATCH_PARTS;
}
const used = process.cpuUsage(usedBefore);
const urlsPerSecond = (urls / (performance.now() - start)) * 1000;
const urlsPerCoreSecond = (urls / (used.user + used.system)) * 1e6;
console.log(JSON.stringify({ urlsPerSecond, urlsPerCoreSecond, sample: await sign(0) }));
