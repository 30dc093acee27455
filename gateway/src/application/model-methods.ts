import type { Files } from '@jsigr/service/compute';

/** Methods of the thread that writes models in other formats. */
export type ModelMethods = {
  /** A checkpoint's files as an ONNX file. */
  toOnnx: { argument: { digest: string; files: Files }; result: { file: Uint8Array<ArrayBuffer> } };
};
