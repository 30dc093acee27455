import type * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import type { ImportedModel, Tensors } from '../imported.ts';
import type { NdArray } from '../ndarray.ts';
import { type Json, list, malformed, record, text } from './json.ts';
import { LAYERS, type Layer } from './layers.ts';
import { readWeights, type WeightFiles } from './weights.ts';

/** A layer as it stands in the model: what it is, and the names of the layers that feed it. */
interface LayerNode {
  readonly className: string;
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly sources: readonly string[];
}

interface Topology {
  /** Whether Keras wrote the model, and not TensorFlow.js: its `backend` says so. */
  readonly isKeras: boolean;
  readonly layers: readonly LayerNode[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * Reads a TensorFlow.js LayersModel (`model.json` and its weight files; Sequential and Functional models of Keras 2's format) as a
 * differentiable function. Images are [N, H, W, C].
 * @param files the weight files by the names that `model.json` gives them
 * @throws EngineError MALFORMED_FILE if the files are not such a model; UNSUPPORTED_OPERATION naming the first layer that is not known
 */
export function importLayersModel(modelJson: Uint8Array | string, files: WeightFiles): ImportedModel {
  const json = parse(modelJson);
  const parameters = readWeights(list(json.weightsManifest, 'weightsManifest'), files);
  const topology = topologyOf(json);
  const { layers, inputs, outputs } = topology;
  for (const { className, name } of layers) layerOf(className, name);
  const entries = inputs.map((name) => {
    const layer = layers.find((candidate) => candidate.name === name);
    const shape = list(
      layer?.config.batch_input_shape ?? layer?.config.batch_shape,
      `the input shape of layer '${name}'`,
    );
    const dimensions = shape.map((dimension) => (typeof dimension === 'number' && dimension >= 1 ? dimension : ''));
    return { name, dtype: 'float32' as const, shape: dimensions };
  });
  return {
    inputs: entries,
    outputs,
    parameters,
    forward: (given, images) => evaluate(topology, parameters, given, images),
  };
}

function evaluate(
  { isKeras, layers, inputs, outputs }: Topology,
  parameters: Readonly<Record<string, NdArray>>,
  given: Tensors,
  images: Tensors,
): Tensors {
  const values = new Map<string, tf.Tensor>();
  const valueNamed = (name: string, user: string): tf.Tensor => {
    const value = values.get(name);
    if (value) return value;
    throw malformed(`'${user}' uses '${name}', which is not computed before it`);
  };
  for (const { className, name, config, sources } of layers) {
    const own = inputs.includes(name) ? images[name] : undefined;
    if (inputs.includes(name) && !own)
      throw new EngineError('INVALID_INPUT', `the imported model was not given '${name}'`);
    const call = {
      className,
      name,
      config,
      isKeras,
      inputs: [...(own ? [own] : []), ...sources.map((source) => valueNamed(source, name))],
      weight(weight: string) {
        const key = `${name}/${weight}`;
        const found = namesOf(key, Object.keys(parameters));
        const tensor = given[found[0] ?? ''];
        if (tensor && found.length === 1) return tensor;
        const what = found.length > 1 ? `may be any of ${found.join(', ')}` : 'is missing';
        throw malformed(`the weight ${key} of layer '${name}' (${className}) ${what}`);
      },
    };
    values.set(
      name,
      located(call, () => layerOf(className, name)(call)),
    );
  }
  return Object.fromEntries(outputs.map((name) => [name, valueNamed(name, 'output')]));
}

/** The weights that a layer may mean: that of this name, otherwise those whose name has scopes before it. */
function namesOf(key: string, names: readonly string[]): readonly string[] {
  return names.includes(key) ? [key] : names.filter((name) => name.endsWith(`/${key}`));
}

/** TensorFlow.js' own errors do not say which layer they come from. */
function located<T>({ name, className }: { name: string; className: string }, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    if (cause instanceof EngineError && message.includes(`layer '${name}'`)) throw cause;
    const reason = cause instanceof EngineError ? cause.reason : 'SHAPE_MISMATCH';
    throw new EngineError(reason, `layer '${name}' (${className}): ${message}`, { cause });
  }
}

function layerOf(className: string, name: string): Layer {
  const layer = Object.hasOwn(LAYERS, className) ? LAYERS[className] : undefined;
  if (layer) return layer;
  throw new EngineError(
    'UNSUPPORTED_OPERATION',
    `layer '${name}' is a ${className}, which is not supported; there are ${Object.keys(LAYERS).join(', ')}`,
  );
}

function parse(modelJson: Uint8Array | string): Record<string, Json> {
  try {
    const source =
      typeof modelJson === 'string' ? modelJson : new TextDecoder('utf-8', { fatal: true }).decode(modelJson);
    return record(JSON.parse(source), 'model.json');
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw malformed('model.json is not JSON in UTF-8 (truncated?)', cause);
  }
}

/** The model as Keras writes it is in `modelTopology`, or one deeper in `model_config`. */
function topologyOf(json: Record<string, Json>): Topology {
  const topology = record(json.modelTopology, 'modelTopology');
  const model = 'model_config' in topology ? record(topology.model_config, 'model_config') : topology;
  const className = text(model.class_name, 'class_name');
  const config = Array.isArray(model.config) ? { layers: model.config } : record(model.config, 'config');
  const layers = list(config.layers, 'layers').map((layer) => record(layer, 'a layer'));
  const isKeras = typeof topology.backend === 'string' && topology.backend !== 'tensor_flow.js';
  if (className === 'Sequential') return { isKeras, ...sequential(layers) };
  if (className === 'Model' || className === 'Functional') return { isKeras, ...functional(config, layers) };
  throw new EngineError('UNSUPPORTED_OPERATION', `the model is a ${className}; there are Sequential and Functional`);
}

function headOf(layer: Record<string, Json>): Omit<LayerNode, 'sources'> {
  const className = text(layer.class_name, 'class_name of a layer');
  const config = record(layer.config, `config of a ${className} layer`);
  return { className, config, name: text(config.name ?? layer.name, `name of a ${className} layer`) };
}

function sequential(layers: readonly Record<string, Json>[]): Omit<Topology, 'isKeras'> {
  const heads = layers.map(headOf);
  const nodes = heads.map((head, i) => ({
    ...head,
    sources: heads.slice(Math.max(0, i - 1), i).map(({ name }) => name),
  }));
  const [start, end] = [nodes[0], nodes.at(-1)];
  if (!start || !end) throw malformed('the model has no layers');
  return { layers: nodes, inputs: [start.name], outputs: [end.name] };
}

function functional(config: Record<string, Json>, layers: readonly Record<string, Json>[]): Omit<Topology, 'isKeras'> {
  const ends = (key: string) => {
    const given = list(config[key], key);
    // one end may be written without the list around it
    return (Array.isArray(given[0]) ? given : [given]).map((end) => text(list(end, key)[0], key));
  };
  const nodes = layers.map((layer) => ({ ...headOf(layer), sources: sourcesOf(layer) }));
  return { layers: nodes, inputs: ends('input_layers'), outputs: ends('output_layers') };
}

/** `inbound_nodes` is [[[name, node, tensor, options], ...]] in Keras 2's format: one entry for each use of the layer. */
function sourcesOf(layer: Record<string, Json>): string[] {
  const what = `inbound_nodes of '${String(layer.name)}'`;
  const uses = list(layer.inbound_nodes ?? [], what);
  if (uses.length > 1)
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `layer '${String(layer.name)}' is used ${uses.length} times; shared layers are not supported`,
    );
  if (uses.length === 0) return [];
  if (!Array.isArray(uses[0]))
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `${what} are in the format of Keras 3; save the model in that of Keras 2 (tf_keras)`,
    );
  return uses[0].map((source) => text(list(source, what)[0], what));
}
