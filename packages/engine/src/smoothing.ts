import { EngineError } from './errors.ts';
import { activeTrace } from './trace.ts';

/**
 * Traces `body` with softplus(beta x) / beta in place of every `tf.relu(x)`: attacks on explanations need a curvature, and ReLU has none
 * (Dombrowski et al. 2019, "Explanations can be manipulated and geometry is to blame", section 5). The larger beta, the closer to ReLU; `Infinity` is
 * ReLU itself. Only ReLU is replaced, not what else has a kink (ReLU6, leaky ReLU, PReLU, ELU, SELU, maximum). The derivative is that of what was traced:
 * `grad` around `withSoftplus` and `withSoftplus` around `grad` are the same.
 * @throws EngineError INVALID_INPUT if beta is not positive, INVALID_GRAPH outside a function that the engine compiles
 */
export function withSoftplus<T>(beta: number, body: () => T): T {
  if (!(beta > 0))
    throw new EngineError('INVALID_INPUT', `withSoftplus: beta is ${beta}; it must be a positive number, or Infinity`);
  const trace = activeTrace('withSoftplus');
  const before = trace.reluSharpness;
  trace.reluSharpness = beta;
  try {
    return body();
  } finally {
    trace.reluSharpness = before;
  }
}
