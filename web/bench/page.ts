/** What runs in the page: each function is sent there as source text and must stand alone. */
import type { Presignable } from './presign.ts';

/** What is uploaded: the file picked in the page's own input, or files made in the page. */
export interface Job {
  readonly made?: { readonly count: number; readonly sizeBytes: number };
  readonly partSizeBytes: number;
  readonly concurrency: number;
  /** Begins each key. */
  readonly prefix: string;
}

declare global {
  interface Window {
    benchFiles(job: Job): File[];
    benchSign(requests: readonly Presignable[]): Promise<string[]>;
    benchUppy(
      files: readonly File[],
      job: Job,
      sign: (requests: readonly Presignable[]) => Promise<string[]>,
    ): Promise<void>;
  }
}

/** Adds an input for the file, and the function that gives the files of a job. */
export function prepare(): void {
  const input = document.createElement('input');
  input.type = 'file';
  input.id = 'bench-input';
  document.body.append(input);
  window.benchFiles = (job) => {
    const { made } = job;
    if (!made) return [...(input.files ?? [])];
    return Array.from({ length: made.count }, (_, index) => {
      const line = `small file ${index}\n`;
      const text = line.repeat(Math.ceil(made.sizeBytes / line.length)).slice(0, made.sizeBytes);
      return new File([text], `small-${index}.txt`);
    });
  };
}

/** Holdfast: from `add` to the last `completed`. Answers ms. */
export async function uploadByHoldfast(job: Job): Promise<number> {
  const files = window.benchFiles(job);
  const uploader = document.querySelector('holdfast-uploader')?.uploader;
  if (!uploader) throw new Error('the page has no uploader');
  const begun = performance.now();
  const ended = new Promise<void>((resolve, reject) => {
    let left = files.length;
    uploader.on('completed', () => {
      left -= 1;
      if (left === 0) resolve();
    });
    uploader.on('failed', ({ upload }) => reject(new Error(`${upload.name} failed`)));
  });
  await uploader.add(files);
  await ended;
  return performance.now() - begun;
}

/** XHR PUTs of slices on URLs signed in one call: the least that an upload can be. Answers ms. */
export async function uploadRaw(job: Job): Promise<number> {
  const files = window.benchFiles(job);
  const put = (url: string, body: Blob) =>
    new Promise<string>((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open('PUT', url);
      request.onload = () => {
        if (request.status === 200) resolve(request.getResponseHeader('etag') ?? '');
        else reject(new Error(`PUT: ${request.status}`));
      };
      request.onerror = () => reject(new Error('PUT: no answer'));
      request.send(body);
    });
  const post = async (url: string, body?: string) => {
    const response = await fetch(url, { method: 'POST', ...(body === undefined ? {} : { body }) });
    const text = await response.text();
    if (!response.ok || text.includes('<Error>')) throw new Error(`POST: ${response.status} ${text}`);
    return text;
  };
  /** Runs all tasks, so many at a time, in order. */
  const runAll = async <Result>(tasks: readonly (() => Promise<Result>)[]): Promise<Result[]> => {
    const results: Result[] = [];
    let next = 0;
    const work = async () => {
      while (next < tasks.length) {
        const at = next;
        next += 1;
        const task = tasks[at];
        if (task) results[at] = await task();
      }
    };
    await Promise.all(Array.from({ length: job.concurrency }, work));
    return results;
  };

  const begun = performance.now();
  const small = files.filter((file) => file.size <= job.partSizeBytes);
  const keyOf = (file: File) => `${job.prefix}/${file.name}`;
  const urls = await window.benchSign(small.map((file) => ({ method: 'PUT', key: keyOf(file) })));
  await runAll(small.map((file, index) => () => put(urls[index] ?? '', file)));

  for (const file of files.filter((each) => !small.includes(each))) {
    const key = keyOf(file);
    const [create] = await window.benchSign([{ method: 'POST', key }]);
    const uploadId = /<UploadId>(.*?)<\/UploadId>/.exec(await post(create ?? ''))?.[1] ?? '';
    const partCount = Math.ceil(file.size / job.partSizeBytes);
    const numbers = Array.from({ length: partCount }, (_, index) => index + 1);
    const [complete, ...parts] = await window.benchSign([
      { method: 'POST', key, uploadId },
      ...numbers.map((partNumber): Presignable => ({ method: 'PUT', key, uploadId, partNumber })),
    ]);
    const tags = await runAll(
      parts.map((url, index) => () => {
        const start = index * job.partSizeBytes;
        return put(url, file.slice(start, start + job.partSizeBytes));
      }),
    );
    const list = tags
      .map((tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`)
      .join('');
    await post(complete ?? '', `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`);
  }
  return performance.now() - begun;
}

/** The newest `@uppy/aws-s3`, as its documentation has it. Answers ms. */
export async function uploadByUppy(job: Job): Promise<number> {
  const files = window.benchFiles(job);
  const begun = performance.now();
  await window.benchUppy(files, job, window.benchSign);
  return performance.now() - begun;
}
