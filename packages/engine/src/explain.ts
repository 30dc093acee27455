import { flopsOf } from './flops.ts';
import { bytesOf, type Graph, type Node } from './graph.ts';

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
