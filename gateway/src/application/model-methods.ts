import type { ImportOptions } from '@jsigr/models';
import type { Files } from '@jsigr/service/compute';

/** Methods of the thread that reads and writes models in other formats. */
export type ModelMethods = {
  /** A model's files as an ONNX file. */
  toOnnx: { argument: { digest: string; files: Files }; result: { file: Uint8Array<ArrayBuffer> } };
  /** The artefact of a foreign model, checked and tried. */
  fromForeign: { argument: { files: Files; options: ImportOptions }; result: { files: Files } };
};
