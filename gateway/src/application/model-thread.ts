/** The thread that reads and writes models in other formats: tracing a network takes a moment. */
import { classifierToOnnx, importModel, openModel } from '@jsigr/models';
import { serveCompute, transferring } from '@jsigr/service/compute';
import type { ModelMethods } from './model-methods.ts';

serveCompute<ModelMethods>({
  async toOnnx({ digest, files }) {
    const { classifier } = await openModel(files, digest);
    const file = new Uint8Array(classifierToOnnx(classifier));
    return transferring({ file }, [file.buffer]);
  },
  fromForeign: async ({ files, options }) => ({ files: await importModel(files, options) }),
});
