import { forbidTensorFloat, nvidiaObstacle } from '../gpu.ts';
import { float32 } from '../ndarray.ts';
import { isCudaInstalled } from './cuda.ts';
import { encodeModel } from './encode.ts';
import { OnnxGraph } from './graph.ts';
import { openSession, type Provider } from './session.ts';

const INSTALL_CUDA =
  "ONNX Runtime's CUDA provider is not installed: run `npm run setup:cuda` (Linux on x64; it brings CUDA 13 and cuDNN 9, and needs NVIDIA's driver 580 or later)";

/** What hinders ONNX Runtime from running on a GPU; found out by running a graph of one node on it. */
export async function providerObstacle(provider: Exclude<Provider, 'cpu'>): Promise<string | undefined> {
  // first what can be seen from outside: a provider that cannot be loaded writes to standard error
  const visible =
    provider === 'cuda' ? (nvidiaObstacle() ?? (isCudaInstalled() ? undefined : INSTALL_CUDA)) : undefined;
  return visible ?? (await sessionObstacle(provider));
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
    const model = encodeModel({ nodes: [x, y], inputs: [input], outputs: [output] });
    const session = await openSession(model, { threads: 1, device: provider });
    const given = new Map([['x', float32([1, -2], [2])]]);
    const [result] = await session.run(given, [{ name: 'y', shape: [2], dtype: 'float32' }]);
    const [first, second] = result?.data ?? [];
    await session.release();
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
