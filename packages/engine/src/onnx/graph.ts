import { EngineError } from '../errors.ts';
import { sameShape } from '../graph.ts';
import type { DType } from '../ndarray.ts';

/** A whole number is an integer attribute; a float attribute says so, since 1 could be either. */
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };
export type OnnxType = DType | 'int64';

export interface OnnxNode {
  readonly id: number;
  /** An ONNX operator, or `Input`, or `Constant`. */
  readonly operator: string;
  /** '' is standard ONNX. */
  readonly domain: string;
  readonly inputs: readonly OnnxNode[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
  /** Which of the operator's outputs this value is, if not the first. */
  readonly slot?: number;
  readonly shape: readonly number[];
  /** Only set for `Input` and `Constant`; ONNX infers the others. */
  readonly dtype?: OnnxType;
  /** Name of an `Input`. */
  readonly name?: string;
  /** Bytes of a `Constant`. */
  readonly raw?: Uint8Array;
}

export const DOMAIN = { standard: '', microsoft: 'com.microsoft', blocked: 'com.microsoft.nchwc' } as const;

/** ONNX element types. */
export const ELEMENT_TYPE: Readonly<Record<OnnxType, number>> = { float32: 1, int32: 6, int64: 7, bool: 9 };

export interface OnnxGraphOptions {
  /** Only operators of standard ONNX, which every device has: those of ONNX Runtime are written with them. */
  readonly onlyStandard?: boolean;
  /** Standard ONNX in the formulations that GPUs are fast with. */
  readonly isForGpu?: boolean;
}

interface NodeOptions {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  readonly slot?: number;
}

/** A graph of ONNX operators over row-major values. Equal nodes are one node; reshapes and transposes merge and vanish. */
export class OnnxGraph {
  /** Channels per block of the blocked layout; 1 is standard NCHW. */
  readonly block: number;
  readonly nodes: OnnxNode[] = [];
  readonly isForGpu: boolean;
  readonly #onlyStandard: boolean;
  readonly #table = new Map<string, OnnxNode>();

  constructor(block: number, { isForGpu = false, onlyStandard = isForGpu }: OnnxGraphOptions = {}) {
    this.block = block;
    this.isForGpu = isForGpu;
    this.#onlyStandard = onlyStandard;
  }

  node(operator: string, inputs: readonly OnnxNode[], shape: readonly number[], options: NodeOptions = {}): OnnxNode {
    const { domain = DOMAIN.standard, attributes = {}, slot = 0 } = options;
    if (this.#onlyStandard && domain !== DOMAIN.standard)
      return standardForm(this, operator, inputs, shape, attributes);
    const key = `${domain}:${operator}|${inputs.map((input) => input.id)}|${JSON.stringify(attributes)}|${slot}`;
    return this.#make(key, { operator, domain, inputs, attributes, slot, shape });
  }

  input(name: string, shape: readonly number[], dtype: DType): OnnxNode {
    const leaf = { operator: 'Input', domain: DOMAIN.standard, inputs: [], attributes: {} };
    return this.#make(`Input|${name}`, { ...leaf, shape, dtype, name });
  }

  constant(values: ArrayLike<number>, shape: readonly number[], dtype: OnnxType = 'float32'): OnnxNode {
    const raw = rawBytes(values, dtype);
    const key = `Constant|${dtype}|${shape}|${Buffer.from(raw).toString('base64')}`;
    const leaf = { operator: 'Constant', domain: DOMAIN.standard, inputs: [], attributes: {} };
    return this.#make(key, { ...leaf, shape, dtype, raw });
  }

  scalar(value: number, dtype: DType = 'float32'): OnnxNode {
    return this.constant([value], [], dtype);
  }

  /** A list of int64: shapes, axes, paddings. */
  integers(values: readonly number[]): OnnxNode {
    return this.constant(values, [values.length], 'int64');
  }

  reshape(value: OnnxNode, shape: readonly number[]): OnnxNode {
    let source = value;
    while (source.operator === 'Reshape') source = first(source);
    return sameShape(source.shape, shape) ? source : this.node('Reshape', [source, this.integers(shape)], shape);
  }

  transpose(value: OnnxNode, perm: readonly number[]): OnnxNode {
    if (value.operator === 'Transpose') {
      const before = value.attributes.perm as readonly number[];
      return this.transpose(
        first(value),
        perm.map((axis) => at(before, axis)),
      );
    }
    const shape = perm.map((axis) => at(value.shape, axis));
    const moved = perm.filter((axis) => value.shape[axis] !== 1);
    const inOrder = moved.every((axis, i) => i === 0 || at(moved, i - 1) < axis);
    return inOrder ? this.reshape(value, shape) : this.node('Transpose', [value], shape, { attributes: { perm } });
  }

  /**
   * The numbers of a value, read as an array of this shape, with its axes in another order. Those of length 1 are left out of the transposition: with
   * them the runtime takes several times as long.
   */
  reordered(value: OnnxNode, shape: readonly number[], perm: readonly number[]): OnnxNode {
    const axes = [...shape.keys()].filter((axis) => shape[axis] !== 1);
    const sizes = (list: readonly number[]) => list.map((axis) => at(shape, axis));
    const order = perm.filter((axis) => axes.includes(axis)).map((axis) => axes.indexOf(axis));
    return this.reshape(this.transpose(this.reshape(value, sizes(axes)), order), sizes(perm));
  }

  pad(value: OnnxNode, before: readonly number[], after: readonly number[], fill?: OnnxNode): OnnxNode {
    if ([...before, ...after].every((width) => width === 0)) return value;
    const shape = value.shape.map((dimension, i) => dimension + at(before, i) + at(after, i));
    return this.node('Pad', [value, this.integers([...before, ...after]), fill ?? this.scalar(0)], shape);
  }

  /** Every `step`th element from `begin` to before `end`. */
  slice(
    value: OnnxNode,
    begin: readonly number[],
    end: readonly number[],
    steps: readonly number[] = value.shape.map(() => 1),
  ): OnnxNode {
    const axes = [...value.shape.keys()].filter((i) => begin[i] !== 0 || end[i] !== value.shape[i] || steps[i] !== 1);
    if (axes.length === 0) return value;
    const pick = (list: readonly number[]) => this.integers(axes.map((axis) => at(list, axis)));
    const shape = value.shape.map((_, i) => Math.ceil((at(end, i) - at(begin, i)) / at(steps, i)));
    const stride = axes.some((axis) => steps[axis] !== 1) ? [pick(steps)] : [];
    return this.node('Slice', [value, pick(begin), pick(end), this.integers(axes), ...stride], shape);
  }

  gather(value: OnnxNode, indices: readonly number[], axis: number): OnnxNode {
    const shape = value.shape.map((dimension, i) => (i === axis ? indices.length : dimension));
    if (indices.length === value.shape[axis] && indices.every((index, i) => index === i)) return value;
    return this.node('Gather', [value, this.integers(indices)], shape, { attributes: { axis } });
  }

  /** ReduceSum, ReduceMean, ReduceMax or ReduceMin; the axes vanish. */
  reduce(operator: string, value: OnnxNode, axes: readonly number[]): OnnxNode {
    if (axes.length === 0) return value;
    const shape = value.shape.filter((_, i) => !axes.includes(i));
    if (this.isForGpu) return this.reshape(this.#reduceRuns(operator, value, axes), shape);
    return this.node(operator, [value, this.integers(axes)], shape, { attributes: { keepdims: 0 } });
  }

  /** Neighbouring axes as one, the last ones first: ONNX Runtime's own kernels for GPUs know matrices alone, and cuDNN's are many times slower. */
  #reduceRuns(operator: string, value: OnnxNode, axes: readonly number[]): OnnxNode {
    const runs: { size: number; isReduced: boolean }[] = [];
    for (const [i, size] of value.shape.entries()) {
      if (size === 1) continue;
      const isReduced = axes.includes(i);
      const last = runs.at(-1);
      if (last?.isReduced === isReduced) last.size *= size;
      else runs.push({ size, isReduced });
    }
    let result = this.reshape(
      value,
      runs.map(({ size }) => size),
    );
    for (let axis = runs.length - 1; axis >= 0; axis--) {
      if (!runs[axis]?.isReduced) continue;
      const shape = result.shape.filter((_, i) => i !== axis);
      result = this.node(operator, [result, this.integers([axis])], shape, { attributes: { keepdims: 0 } });
    }
    return result;
  }

  concat(values: readonly OnnxNode[], axis: number): OnnxNode {
    const [one] = values;
    if (one && values.length === 1) return one;
    const total = values.reduce((sum, value) => sum + at(value.shape, axis), 0);
    const shape = values[0]?.shape.map((dimension, i) => (i === axis ? total : dimension)) ?? [];
    return this.node('Concat', values, shape, { attributes: { axis } });
  }

  expand(value: OnnxNode, shape: readonly number[]): OnnxNode {
    return sameShape(value.shape, shape) ? value : this.node('Expand', [value, this.integers(shape)], shape);
  }

  cast(value: OnnxNode, dtype: DType): OnnxNode {
    return this.node('Cast', [value], value.shape, { attributes: { to: ELEMENT_TYPE[dtype] } });
  }

  #make(key: string, draft: Omit<OnnxNode, 'id'>): OnnxNode {
    const known = this.#table.get(key);
    if (known) return known;
    const node = { ...draft, id: this.nodes.length };
    this.nodes.push(node);
    this.#table.set(key, node);
    return node;
  }
}

type Rewrite = (
  graph: OnnxGraph,
  inputs: readonly OnnxNode[],
  shape: readonly number[],
  attributes: OnnxNode['attributes'],
) => OnnxNode;

/** What ONNX Runtime adds to ONNX, in standard operators. */
const STANDARD_FORMS: Readonly<Record<string, Rewrite>> = {
  FusedMatMul(graph, inputs, shape, { transA, transB }) {
    const operands = [transA, transB].map((isTransposed, i) => {
      const operand = inputs[i] as OnnxNode;
      const axes = [...operand.shape.keys()];
      const swapped = [...axes.slice(0, -2), axes.length - 1, axes.length - 2];
      return isTransposed ? graph.transpose(operand, swapped) : operand;
    });
    return graph.node('MatMul', operands, shape);
  },
};

function standardForm(
  graph: OnnxGraph,
  operator: string,
  ...rest: [inputs: readonly OnnxNode[], shape: readonly number[], attributes: OnnxNode['attributes']]
): OnnxNode {
  const form = STANDARD_FORMS[operator];
  if (!form)
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `${operator} is no operator of standard ONNX: how it is written with them belongs into packages/engine/src/onnx/graph.ts`,
    );
  return form(graph, ...rest);
}

/** The number at a place that exists: index arithmetic over shapes is checked by construction, not by the type system. */
export function at(list: ArrayLike<number>, index: number): number {
  const value = list[index];
  if (value === undefined) throw new RangeError(`index ${index} is outside a list of ${list.length}`);
  return value;
}

function first(node: OnnxNode): OnnxNode {
  const input = node.inputs[0];
  if (!input) throw new RangeError(`${node.operator} has no input`);
  return input;
}

function rawBytes(values: ArrayLike<number>, dtype: OnnxType): Uint8Array {
  const make = {
    float32: () => Float32Array.from(values),
    int32: () => Int32Array.from(values),
    int64: () => BigInt64Array.from(Array.from(values, BigInt)),
    bool: () => Uint8Array.from(values),
  }[dtype];
  const typed = make();
  return new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
}
