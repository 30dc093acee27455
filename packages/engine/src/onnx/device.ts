import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { forbidTensorFloat, nvidiaObstacle } from '../gpu.ts';
import { encodeModel } from './encode.ts';
import { OnnxGraph } from './graph.ts';
import { createSession, type Provider } from './session.ts';

const INSTALL_CUDA =
  "ONNX Runtime's CUDA provider is not installed: run `ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node --ignore-scripts=false`, " +
  'which downloads it (Linux on x64; it needs CUDA 12 and cuDNN 9)';

/** What hinders ONNX Runtime from running on a GPU; found out by running a graph of one node on it. */
export async function providerObstacle(provider: Exclude<Provider, 'cpu'>): Promise<string | undefined> {
  // first what can be seen from outside: a provider that cannot be loaded writes to standard error
  const visible =
    provider === 'cuda' ? (nvidiaObstacle() ?? (isCudaInstalled() ? undefined : INSTALL_CUDA)) : undefined;
  return visible ?? (await sessionObstacle(provider));
}

function isCudaInstalled(): boolean {
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const binaries = join(folder, 'bin', 'napi-v6', process.platform, process.arch);
  return existsSync(join(binaries, 'libonnxruntime_providers_cuda.so'));
}

async function sessionObstacle(provider: Provider): Promise<string | undefined> {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', [2], 'float32');
  const y = graph.node('Neg', [x], [2]);
  const [input, output] = [
    { name: 'x', node: x, dtype: 'float32' as const },
    { name: 'y', node: y, dtype: 'float32' as const },
  ];
  if (provider === 'cuda') forbidTensorFloat();
  try {
    const session = await createSession(encodeModel([x, y], [input], [output]), { threads: 1, device: provider });
    const result = await session.run({ x: new ort.Tensor('float32', new Float32Array([1, -2]), [2]) });
    await session.release();
    const [first, second] = result.y?.data ?? [];
    return first === -1 && second === 2 ? undefined : `ONNX Runtime computes wrong results with ${provider}`;
  } catch (cause) {
    return `ONNX Runtime cannot use it (${cause instanceof Error ? lastSentence(cause.message) : cause})`;
  }
}

/** ONNX Runtime puts places in its source before what it has to say. */
function lastSentence(message: string): string {
  return (
    message
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^.* was false\. /, '')
      .trim() ?? message
  );
}
