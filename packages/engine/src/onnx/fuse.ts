import { sameShape } from '../graph.ts';
import { at, DOMAIN, type OnnxGraph, type OnnxNode } from './graph.ts';

/** A list of operators after a pass: in order, and what each one became. */
export interface Fused {
  readonly nodes: readonly OnnxNode[];
  readonly became: ReadonlyMap<OnnxNode, OnnxNode>;
}

/**
 * A blocked convolution adds an image and clips at zero while it writes its result (ONNX Runtime's com.microsoft.nchwc.Conv, input `Sum` and attribute
 * `activation`), so the sum or ReLU that is alone in using a convolution costs no pass of its own over memory. The nodes are live and in order; those
 * in `kept` stay what they are.
 */
export function fuseIntoConvolutions(graph: OnnxGraph, nodes: readonly OnnxNode[], kept: ReadonlySet<OnnxNode>): Fused {
  const uses = new Map<OnnxNode, number>();
  for (const { inputs } of nodes) for (const input of inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  const became = new Map<OnnxNode, OnnxNode>();
  const swallowed = new Set<OnnxNode>();
  /** The convolution that an operand is, if it may end in something else. */
  const open = (operand: OnnxNode | undefined) => {
    if (!operand || uses.get(operand) !== 1 || kept.has(operand)) return undefined;
    const convolution = became.get(operand) ?? operand;
    return isBlockedConvolution(convolution) && convolution.attributes.activation === undefined
      ? { operand, convolution }
      : undefined;
  };
  const fused = (node: OnnxNode): OnnxNode | undefined => {
    if (node.operator === 'Relu') {
      const found = open(node.inputs[0]);
      return found && replaced(found, found.convolution.inputs, { activation: 'Relu' });
    }
    if (node.operator !== 'Add' || node.inputs[0] === node.inputs[1]) return undefined;
    for (const i of [1, 0]) {
      const [found, other] = [open(node.inputs[i]), node.inputs[1 - i] as OnnxNode];
      if (!found || found.convolution.inputs.length > 3 || !sameShape(other.shape, found.operand.shape)) continue;
      const [x, filter, bias = noBias(graph, found.convolution)] = found.convolution.inputs as [OnnxNode, OnnxNode];
      return replaced(found, [x, filter, bias, became.get(other) ?? other]);
    }
    return undefined;
  };
  const replaced = (
    { operand, convolution }: { operand: OnnxNode; convolution: OnnxNode },
    inputs: readonly OnnxNode[],
    more: OnnxNode['attributes'] = {},
  ) => {
    swallowed.add(operand);
    const { shape, domain, attributes } = convolution;
    return graph.node('Conv', inputs, shape, { domain, attributes: { ...attributes, ...more } });
  };
  for (const node of nodes) {
    const made = fused(node) ?? rebuilt(graph, node, became);
    if (made !== node) became.set(node, made);
  }
  const order = new Set<OnnxNode>();
  for (const node of nodes) {
    if (swallowed.has(node)) continue;
    const made = became.get(node) ?? node;
    for (const input of made.inputs) if (input.operator === 'Constant') order.add(input);
    order.add(made);
  }
  return { nodes: [...order], became };
}

function isBlockedConvolution({ operator, domain }: OnnxNode): boolean {
  return operator === 'Conv' && domain === DOMAIN.blocked;
}

function noBias(graph: OnnxGraph, { shape }: OnnxNode): OnnxNode {
  const channels = at(shape, 1);
  return graph.constant(new Float32Array(channels), [channels]);
}

/** The node with what its inputs became. */
export function rebuilt(graph: OnnxGraph, node: OnnxNode, became: ReadonlyMap<OnnxNode, OnnxNode>): OnnxNode {
  if (!node.inputs.some((input) => became.has(input))) return node;
  const { operator, shape, domain, attributes, slot } = node;
  const inputs = node.inputs.map((input) => became.get(input) ?? input);
  return graph.node(operator, inputs, shape, { domain, attributes, ...(slot === undefined ? {} : { slot }) });
}
