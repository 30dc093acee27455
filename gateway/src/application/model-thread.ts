/** The thread that reads and writes models in other formats, in a process of its own (model-process.ts). */
import { classifierToOnnx, importEndpoint, importModel, openModel, oracleOfEndpoint } from '@jsigr/models';
import { serveCompute, transferring } from '@jsigr/service/compute';
import { openInference } from '@jsigr/service/inference';
import type { ModelMethods } from './model-methods.ts';

serveCompute<ModelMethods>({
  async toOnnx({ digest, files }) {
    const { classifier } = await openModel(files, digest);
    const file = new Uint8Array(classifierToOnnx(classifier));
    return transferring({ file }, [file.buffer]);
  },
  fromForeign: async ({ files, options, endpoint, endpointNetworks: networks }) => {
    if (!endpoint) return { files: await importModel(files, options) };
    const client = openInference({ ...endpoint, networks });
    try {
      return { files: await importEndpoint(await oracleOfEndpoint(client, endpoint), endpoint, options) };
    } finally {
      client.close();
    }
  },
});
