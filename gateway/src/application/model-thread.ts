/** The thread that writes models in other formats: tracing a network takes a moment. */
import { classifierToOnnx, createClassifier, decodeCheckpoint } from '@jsigr/models';
import { serveCompute, transferring } from '@jsigr/service/compute';
import type { ModelMethods } from './model-methods.ts';

serveCompute<ModelMethods>({
  async toOnnx({ digest, files }) {
    const { model, parameters } = decodeCheckpoint(files);
    const file = new Uint8Array(classifierToOnnx(createClassifier(model, parameters, digest)));
    return transferring({ file }, [file.buffer]);
  },
});
