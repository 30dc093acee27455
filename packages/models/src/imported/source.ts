import { type ImportedModel, importLayersModel, importOnnx } from '@jsigr/engine';
import type { CheckpointFiles } from '../checkpoint.ts';
import { ModelError } from '../errors.ts';

export const ONNX_FILE = 'model.onnx';
export const LAYERS_FILE = 'model.json';

/** A foreign model, whatever its format. */
export interface Source extends ImportedModel {
  readonly format: 'onnx' | 'layers-model';
  readonly producer: string;
  /** Outputs that can be compared with ONNX Runtime's. */
  readonly tensorOutputs: readonly string[];
  /** Parameters that no gradient should move, as far as the format tells. */
  readonly statistics: readonly string[];
  /** Value whose softmax, or sigmoid, the first output is. */
  readonly softmaxInput?: string;
  readonly sigmoidInput?: string;
  /** Whether the first output may be any number, as far as the format tells. */
  readonly isAffine?: boolean;
}

/**
 * Reads the files of a foreign model: `model.onnx`, or `model.json` with its weight files.
 * @param output the value that is wanted of an ONNX file; by default its first output of scores
 * @throws EngineError for what is malformed or not supported; ModelError if there is neither file
 */
export async function readSource(files: CheckpointFiles, output?: string): Promise<Source> {
  const onnx = files[ONNX_FILE];
  if (onnx) {
    const model = await importOnnx(onnx, output === undefined ? {} : { outputs: [output] });
    const producer = `${model.producer || 'unknown'}, operator set ${model.opset}`;
    return { ...model, format: 'onnx', producer };
  }
  const layers = files[LAYERS_FILE];
  if (layers)
    return {
      ...importLayersModel(layers, files),
      format: 'layers-model',
      producer: 'LayersModel',
      tensorOutputs: [],
      statistics: [],
    };
  throw new ModelError(
    'UNSUPPORTED_MODEL',
    'files',
    `there is neither ${ONNX_FILE} nor ${LAYERS_FILE} among ${Object.keys(files).join(', ') || 'no files'}`,
  );
}
