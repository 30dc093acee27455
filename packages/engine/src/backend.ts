import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from './errors.ts';
import type { DType, NdArray } from './ndarray.ts';
import { isPrimitive, type Operation } from './operations/operation.ts';
import { operations } from './operations/table.ts';
import { activeTrace, type Trace, unsupported } from './trace.ts';

const NAME = 'jsigr-trace';

/** A TensorFlow.js backend whose kernels record what they are asked to compute. */
class TraceBackend extends tf.KernelBackend {
  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    return activeTrace('the tracing backend').write(values as NdArray['data'], shape, checkedType(dtype));
  }
  override readSync(): never {
    const { name } = activeTrace('the tracing backend');
    throw new EngineError(
      'INVALID_GRAPH',
      `'${name}' reads the value of a tensor (data, dataSync, array, print ...): there is none while it is traced. Return it as an output`,
    );
  }
  override read(): never {
    return this.readSync();
  }
  override move(): never {
    throw new EngineError('INVALID_GRAPH', 'tensors of another backend cannot enter a traced function');
  }
  // nodes live as long as their trace: there is nothing to count
  override disposeData(): boolean {
    return true;
  }
  override refCount(): number {
    return 1;
  }
  override incRef(): void {}
  decRef(): void {}
  override numDataIds(): number {
    return 0;
  }
  override memory() {
    return { unreliable: true };
  }
  override timerAvailable(): boolean {
    return false;
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override epsilon(): number {
    return 1e-7;
  }
  override dispose(): void {}
}

/** Runs `body` on the tracing backend; the backend before is restored, whatever happens. */
export function onTraceBackend<T>(body: () => T): T {
  register();
  if (!tf.getBackend()) tf.backend(); // lets TensorFlow.js choose its default first, so that there is one to restore
  const before = tf.getBackend();
  void tf.setBackend(NAME); // both are made at once; there is nothing to wait for
  try {
    return body();
  } finally {
    void tf.setBackend(before);
  }
}

let isRegistered = false;

function register(): void {
  if (isRegistered) return;
  isRegistered = true;
  tf.registerBackend(NAME, () => new TraceBackend(), 0);
  // TensorFlow.js exports the name of each of its kernels as a constant of that name
  const all = Object.entries(tf).flatMap(([key, value]) => (key === value ? [key] : []));
  for (const kernelName of new Set([...all, ...operations.keys(), '_FusedMatMul'])) {
    tf.registerKernel({
      kernelName,
      backendName: NAME,
      kernelFunc: ({ inputs, attrs = {} }) => {
        const operation = operations.get(kernelName);
        if (!operation) throw unsupported(kernelName);
        return record(kernelName, operation, inputs, attrs);
      },
    });
  }
}

function record(
  kernel: string,
  operation: Operation,
  inputs: tf.NamedTensorInfoMap,
  attributes: object,
): tf.TensorInfo | tf.TensorInfo[] {
  const trace = activeTrace(`the kernel ${kernel}`);
  const given = attributes as Record<string, number>;
  const names = namesOf(operation, inputs);
  const nodes = names.flatMap((name) => inputs[name] ?? []).map((info) => trace.node(info));
  const composed = operation.compose?.(
    nodes.map((node) => trace.tensor(node)),
    given,
    { names, reluSharpness: trace.reluSharpness },
  );
  if (composed) return infosOfTensors(trace, composed);
  if (!isPrimitive(operation)) throw unsupported(kernel);
  return trace.info(trace.add(kernel, nodes, given));
}

/** Names of the inputs that were given, in the order of the row. */
function namesOf(operation: Operation, inputs: tf.NamedTensorInfoMap): readonly string[] {
  return operation.inputs === 'list' ? Object.keys(inputs) : operation.inputs.filter((name) => inputs[name]);
}

function infosOfTensors(trace: Trace, tensors: tf.Tensor | readonly tf.Tensor[]): tf.TensorInfo | tf.TensorInfo[] {
  const info = (tensor: tf.Tensor) => trace.info(trace.node(tensor));
  return tensors instanceof tf.Tensor ? info(tensors) : tensors.map(info);
}

function checkedType(dtype: tf.DataType): DType {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype;
  throw new EngineError('UNSUPPORTED_OPERATION', `${dtype} tensors: only float32, int32 and bool`);
}
