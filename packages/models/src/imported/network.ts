import type { NdArray } from '@jsigr/engine';
import { ModelError } from '../errors.ts';
import type { Network } from '../network.ts';
import { classifierOf } from './classifier.ts';
import type { ImportManifest } from './manifest.ts';
import { ONNX_FILE, readSource } from './source.ts';
import { IMPORTED_ARCHITECTURE, type ImportedSpec } from './spec.ts';

/** @throws ModelError UNSUPPORTED_MODEL or BLACK_BOX for an imported model without gradients by its weights */
export function importedSpecOf({ model, reading, blackBox, files }: ImportManifest): ImportedSpec {
  if (blackBox !== undefined)
    throw new ModelError('BLACK_BOX', 'model', `the model is a black box, which cannot be trained: ${blackBox}`);
  const file = files[ONNX_FILE];
  if (reading.format !== 'onnx' || file === undefined)
    throw new ModelError('UNSUPPORTED_MODEL', 'model', `an imported ${reading.format} cannot be trained, ONNX can`);
  const { input, classes } = model;
  return { architecture: IMPORTED_ARCHITECTURE, input, classes, reading, file };
}

/**
 * The network of an imported ONNX file, to be trained on: its lists and matrices of floats are the parameters, the rest stays as it is. Batch
 * normalisation is frozen: in both modes it uses the running statistics of the file, which no step moves. So is dropout, which stays off.
 * @throws EngineError for what is malformed or not supported
 */
export async function importedNetwork(
  model: ImportedSpec,
  file: Uint8Array,
): Promise<{ readonly network: Network; readonly parameters: Readonly<Record<string, NdArray>> }> {
  const files = { [ONNX_FILE]: file };
  const source = await readSource(files, model.reading.outputName);
  const { forward } = classifierOf(source, model.reading, { ...model, id: model.architecture });
  const statistics = new Set(source.statistics);
  const shapes = Object.entries(source.parameters).map(([name, { shape }]) => {
    return [name, { shape, isStatistic: statistics.has(name) }] as const;
  });
  const network: Network = {
    model,
    shapes: Object.fromEntries(shapes),
    forward,
    trainingForward: (parameters, images) => ({
      logits: forward(parameters, images),
      statistics: Object.fromEntries(Object.entries(parameters).filter(([name]) => statistics.has(name))),
    }),
    foreign: files,
  };
  return { network, parameters: source.parameters };
}
