import { bytesOf, type Graph, type Node } from './graph.ts';
import { sizeOf } from './ndarray.ts';

export interface ExplainOptions {
  /** Measured milliseconds of each node, see `Compiled.profile`; adds a column. */
  readonly milliseconds?: ReadonlyMap<Node, number>;
  /** Only so many nodes, the slowest first (by FLOPs where no times are given). Default: all, in order. */
  readonly top?: number;
}

/** A table of the nodes, for people: type, inputs, floating-point operations, bytes, and where measured the time. */
export function explainGraph(graph: Graph, { milliseconds, top }: ExplainOptions = {}): string {
  const outputs = new Map<Node, string[]>();
  for (const { name, node } of graph.outputs) outputs.set(node, [...(outputs.get(node) ?? []), name]);
  const cost = (node: Node) => milliseconds?.get(node) ?? (milliseconds ? 0 : flopsOf(node));
  const nodes = top === undefined ? graph.nodes : graph.nodes.toSorted((a, b) => cost(b) - cost(a)).slice(0, top);
  const rows = nodes.map((node) => [
    `%${node.id}`,
    node.kernel,
    `${node.dtype}[${node.shape}]`,
    node.inputs.map((input) => `%${input.id}`).join(' '),
    flopsOf(node) ? `${quantity(flopsOf(node))}FLOP` : '',
    `${quantity(bytesOf(node))}B`,
    ...(milliseconds ? [`${(milliseconds.get(node) ?? 0).toFixed(3)} ms`] : []),
    [explainAttributes(node), ...(outputs.get(node) ?? []).map((name) => `-> ${name}`)].join(' ').trim(),
  ]);
  const widths = (rows[0] ?? []).map((_, column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)));
  const numbers = new Set(milliseconds ? [4, 5, 6] : [4, 5]); // columns that are set to the right
  const pad = (cell: string, column: number) =>
    numbers.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  const lines = rows.map((row) => row.map(pad).join('  ').trimEnd());
  const total = (of: (node: Node) => number) => quantity(graph.nodes.reduce((sum, node) => sum + of(node), 0));
  const time = milliseconds ? `, ${[...milliseconds.values()].reduce((sum, ms) => sum + ms, 0).toFixed(2)} ms` : '';
  const head = `${graph.name}: ${graph.nodes.length} nodes, ${total(flopsOf)}FLOP, ${total(bytesOf)}B${time}`;
  return [head, ...lines].join('\n');
}

/** Kernels that only move numbers. */
const MOVING = new Set([
  ...['Input', 'Constant', 'Fill', 'Identity', 'Cast', 'Reshape', 'Transpose', 'Tile', 'Concat', 'Slice', 'PadV2'],
  ...['Reverse', 'GatherV2', 'ResizeNearestNeighbor'],
]);

const sizeOfInput = ({ inputs }: Node, index: number) => sizeOf(inputs[index]?.shape ?? []);
/** Two operations for each tap of the filter [kh, kw, I, O] at each place of the image [N, OH, OW, O]. */
const convolution = (image: readonly number[], filter: readonly number[]) =>
  (2 * sizeOf(image) * sizeOf(filter)) / (filter[3] ?? 1);

const FLOPS: Readonly<Record<string, (node: Node) => number>> = {
  Conv2D: ({ shape, inputs }) => convolution(shape, inputs[1]?.shape ?? []),
  Conv2DBackpropInput: ({ inputs }) => convolution(inputs[0]?.shape ?? [], inputs[1]?.shape ?? []),
  Conv2DBackpropFilter: ({ shape, inputs }) => convolution(inputs[1]?.shape ?? [], shape),
  BatchMatMul: ({ shape, inputs, attributes }) =>
    2 * sizeOf(shape) * (inputs[0]?.shape.at(attributes.transposeA ? -2 : -1) ?? 0),
  ...Object.fromEntries(
    ['Sum', 'Mean', 'Max', 'Min', 'ArgMax', 'ArgMin', 'MaxPool', 'AvgPool'].map((kernel) => [
      kernel,
      (node: Node) => sizeOfInput(node, 0),
    ]),
  ),
};

/** Floating-point operations of a node: a multiplication and an addition are two; an element-wise function is one a number. */
export function flopsOf(node: Node): number {
  if (MOVING.has(node.kernel)) return 0;
  return FLOPS[node.kernel]?.(node) ?? sizeOf(node.shape);
}

function quantity(value: number): string {
  const units = ['', 'k', 'M', 'G', 'T'];
  const unit = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return unit === 0 ? `${value} ` : `${(value / 1000 ** unit).toPrecision(3)} ${units[unit]}`;
}

function explainAttributes({ kernel, attributes, values }: Node): string {
  if (values) return `${values.slice(0, 4).join(', ')}${values.length > 4 ? ', ...' : ''}`;
  const entries = Object.entries(attributes).filter(([key]) => kernel !== 'Fill' || key === 'value');
  return entries.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(' ');
}
