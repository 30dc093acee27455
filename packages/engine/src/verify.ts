import { EngineError } from './errors.ts';
import { describe, type Graph, type Node, sameShape } from './graph.ts';
import { isPrimitive } from './operations/operation.ts';
import { operations } from './operations/table.ts';

/** Says what a valid graph is. @throws EngineError INVALID_GRAPH at the first node that breaks a rule. */
export function verifyGraph(graph: Graph): void {
  const known = new Set<Node>();
  for (const node of graph.nodes) {
    const missing = node.inputs.find((input) => !known.has(input));
    if (missing) throw invalid(graph, node, `its input %${missing.id} does not come before it`);
    if (known.has(node)) throw invalid(graph, node, 'it occurs twice');
    verifyNode(graph, node);
    known.add(node);
  }
  for (const { name, node } of [...graph.inputs, ...graph.outputs])
    if (!known.has(node)) throw invalid(graph, node, `'${name}' is not part of the graph`);
  for (const { name, node } of graph.inputs)
    if (node.kernel !== 'Input') throw invalid(graph, node, `'${name}' is not an input`);
}

function verifyNode(graph: Graph, node: Node): void {
  if (node.kernel === 'Input') return;
  if (node.kernel === 'Constant') {
    if (!node.values) throw invalid(graph, node, 'a constant has no values');
    return;
  }
  const operation = operations.get(node.kernel);
  if (!operation || !isPrimitive(operation)) throw invalid(graph, node, 'it is no primitive operation of the engine');
  if (node.kernel === 'Identity') throw invalid(graph, node, 'markers do not belong into a finished graph');
  if (operation.inputs !== 'list' && operation.inputs.length !== node.inputs.length)
    throw invalid(graph, node, `it has ${node.inputs.length} inputs instead of ${operation.inputs.length}`);
  const { shape, dtype } = operation.infer(node.inputs, node.attributes);
  if (!sameShape(shape, node.shape) || dtype !== node.dtype)
    throw invalid(graph, node, `it should be ${describe({ shape, dtype })}, by its inputs and attributes`);
}

function invalid(graph: Graph, node: Node, problem: string): EngineError {
  return new EngineError(
    'INVALID_GRAPH',
    `graph '${graph.name}', %${node.id} ${node.kernel} ${describe(node)}: ${problem}`,
  );
}
