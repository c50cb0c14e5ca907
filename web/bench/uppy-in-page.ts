/** Uppy, bundled for the page: puts the function that uploads by it on the window. */
import AwsS3 from '@uppy/aws-s3';
import Uppy from '@uppy/core';

window.benchUppy = async (files, job, sign) => {
  const uppy = new Uppy({ autoProceed: false }).use(AwsS3, {
    shouldUseMultipart: (file) => (file.size ?? 0) > job.partSizeBytes,
    getChunkSize: () => job.partSizeBytes,
    limit: job.concurrency,
    generateObjectKey: (file) => `${job.prefix}/${file.name}`,
    signRequest: async (request) => ({ url: (await sign([request]))[0] ?? '' }),
  });
  uppy.addFiles(files.map((data) => ({ name: data.name, type: data.type, data, source: 'bench' })));
  const result = await uppy.upload();
  if (result?.successful?.length !== files.length) {
    throw new Error(`Uppy uploaded ${result?.successful?.length} of ${files.length}`);
  }
  uppy.destroy();
};
