import type { Endpoint, ImportOptions } from '@jsigr/models';
import type { Files } from '@jsigr/service/compute';

/** Methods of the thread that reads and writes models in other formats. */
export type ModelMethods = {
  /** A model's files as an ONNX file. */
  toOnnx: { argument: { digest: string; files: Files }; result: { file: Uint8Array<ArrayBuffer> } };
  /** The artefact of a foreign model, checked and tried: of its files, or of the endpoint that serves it. */
  fromForeign: { argument: Foreign; result: { files: Files } };
};

export interface Foreign {
  readonly files: Files;
  readonly options: ImportOptions;
  readonly endpoint?: Endpoint;
  /** Private networks in which it may be asked. */
  readonly endpointNetworks: readonly string[];
}
