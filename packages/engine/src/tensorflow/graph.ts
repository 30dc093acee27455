import type { DType } from '../ndarray.ts';

/** An attribute of a TensorFlow operation: its one key is the kind that the operation declares. */
export type Attribute =
  | { readonly type: DType }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly integer: number }
  | { readonly integers: readonly number[] }
  | { readonly shape: readonly number[] }
  | { readonly tensor: Tensor };

export type Attributes = Readonly<Record<string, Attribute>>;

export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Row-major, little-endian. */
  readonly raw: Uint8Array;
}

/** A NodeDef of a GraphDef. Every operation here has one output, so a node and its value share the name. */
export interface TensorflowNode {
  readonly name: string;
  readonly operation: string;
  readonly inputs: readonly string[];
  readonly attributes: Attributes;
}

/** Collects the nodes of a GraphDef; equal constants are one node. */
export class TensorflowGraph {
  readonly nodes: TensorflowNode[] = [];
  readonly #constants = new Map<string, string>();

  /** Adds an operation; gives the name of its value. */
  node(operation: string, inputs: readonly string[], attributes: Attributes = {}, name?: string): string {
    const given = name ?? `t${this.nodes.length}`;
    this.nodes.push({ name: given, operation, inputs, attributes });
    return given;
  }

  placeholder(name: string, shape: readonly number[], dtype: DType): string {
    return this.node('Placeholder', [], { dtype: { type: dtype }, shape: { shape } }, name);
  }

  constant(values: ArrayLike<number>, shape: readonly number[], dtype: DType): string {
    const raw = rawBytes(values, dtype);
    const key = `${dtype}|${shape}|${Buffer.from(raw).toString('base64')}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const name = this.node('Const', [], { dtype: { type: dtype }, value: { tensor: { dtype, shape, raw } } });
    this.#constants.set(key, name);
    return name;
  }

  scalar(value: number, dtype: DType): string {
    return this.constant([value], [], dtype);
  }

  /** A list of int32: shapes, axes, paddings. */
  integers(values: readonly number[]): string {
    return this.constant(values, [values.length], 'int32');
  }

  reshape(value: string, shape: readonly number[], dtype: DType): string {
    return this.node('Reshape', [value, this.integers(shape)], { T: { type: dtype }, Tshape: { type: 'int32' } });
  }
}

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

function rawBytes(values: ArrayLike<number>, dtype: DType): Uint8Array {
  const typed = ARRAYS[dtype].from(values);
  return new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength);
}
