import { type DType, float32 } from '@jsigr/engine';
import { ModelError } from '../errors.ts';
import type { Oracle } from './black-box.ts';
import type { Endpoint } from './manifest.ts';

interface Described {
  readonly name: string;
  /** FP32, INT64, ... */
  readonly datatype: string;
  /** -1: any. */
  readonly shape: readonly number[];
}

/** Who asks an endpoint: this package knows no network. */
export interface EndpointClient {
  readonly metadata: () => Promise<{ readonly inputs: readonly Described[]; readonly outputs: readonly Described[] }>;
  readonly infer: (
    request: {
      readonly input: string;
      readonly output: string;
      readonly shape: readonly number[];
      readonly data: Float32Array;
    },
    signal?: AbortSignal,
  ) => Promise<{ readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly close: () => void;
}

const FLOATS: readonly string[] = ['FP32', 'FP64'];

/** A live endpoint as an oracle. @throws what the client throws; ModelError if it takes no floating-point images */
export async function oracleOfEndpoint(client: EndpointClient, { batch }: Pick<Endpoint, 'batch'>): Promise<Oracle> {
  const { inputs, outputs } = await client.metadata();
  return {
    inputs: inputs.map(({ name, datatype, shape }) => ({
      name,
      dtype: dtypeOf(name, datatype),
      shape: shape.map((size) => (size < 0 ? '' : size)),
    })),
    outputs: outputs.filter(({ datatype }) => FLOATS.includes(datatype)).map(({ name }) => name),
    most: batch,
    ask: async ({ data, shape }, { inputName, outputName }, signal) => {
      const request = { input: inputName, output: outputName, shape, data: data as Float32Array };
      const scores = await client.infer(request, signal);
      return float32(scores.data, scores.shape);
    },
    close: client.close,
  };
}

function dtypeOf(name: string, datatype: string): DType {
  if (datatype === 'FP32') return 'float32';
  throw new ModelError('UNSUPPORTED_MODEL', 'endpoint', `its input '${name}' takes ${datatype}; FP32 is supported`);
}
