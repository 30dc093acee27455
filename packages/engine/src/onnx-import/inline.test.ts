import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { decodeModel, type FileTensor } from './decode.ts';
import { inlineOnnx } from './inline.ts';

type Field = readonly [number: number, content: string | number | readonly Field[]];

/** A protobuf message. */
function message(fields: readonly Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, content] of fields)
    if (typeof content === 'number') writer.tag(number, WireType.Varint).uint32(content);
    else if (typeof content === 'string') writer.tag(number, WireType.LengthDelimited).string(content);
    else writer.tag(number, WireType.LengthDelimited).bytes(message(content));
  return writer.finish();
}

/** Two bytes, uint8, in the file `weights` from `offset` on. */
function external(offset: number, location = 'weights'): Field[] {
  const entry = (key: string, value: string): Field => [
    13,
    [
      [1, key],
      [2, value],
    ],
  ];
  return [
    [1, 2],
    [2, 2],
    [8, 'w'],
    entry('location', location),
    entry('offset', String(offset)),
    entry('length', '2'),
    [14, 1],
  ];
}

/** A model with a weight of its own, one in a node's attribute, and one in the branch of an `If`. */
function modelOf(...[own, constant, branch]: readonly (readonly Field[])[]): Uint8Array {
  const attribute = (name: string, number: number, content: readonly Field[]): Field => [
    5,
    [
      [1, name],
      [number, content],
    ],
  ];
  const graph: Field[] = [
    [1, [[2, 'c'], [4, 'Constant'], attribute('value', 5, constant ?? [])]],
    [1, [[1, 'c'], [2, 'y'], [4, 'If'], attribute('then_branch', 6, [[5, branch ?? []]])]],
    [5, own ?? []],
  ];
  return message([
    [1, 8],
    [7, graph],
    [8, [[2, 18]]],
    [2, 'after'],
  ]);
}

function tensorsOf(file: Uint8Array): (FileTensor | undefined)[] {
  const { nodes, initializers } = decodeModel(file).graph;
  const [constant, branching] = nodes;
  return [
    initializers[0],
    constant?.attributes.get('value')?.tensor,
    branching?.attributes.get('then_branch')?.graph?.initializers[0],
  ];
}

describe('inlineOnnx', () => {
  it('puts weights from other files into the model, wherever it has them', () => {
    const file = modelOf(external(0), external(2), external(4));
    const whole = inlineOnnx(file, (location) =>
      location === 'weights' ? Uint8Array.of(1, 2, 3, 4, 5, 6) : undefined,
    );
    const tensors = tensorsOf(whole);
    expect(tensors.map((tensor) => [...(tensor?.raw ?? [])])).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    for (const tensor of tensors) expect(tensor).toMatchObject({ name: 'w', shape: [2], external: new Map() });
    expect(decodeModel(whole).producer).toBe('after');
  });

  it('leaves a whole file as it is', () => {
    const file = modelOf(
      [
        [1, 1],
        [2, 2],
        [5, 7],
        [14, 0],
      ],
      [],
      [],
    );
    expect(inlineOnnx(file, () => undefined)).toBe(file);
  });

  it.each(['/etc/passwd', '../weights', ''])('never looks for %j itself', (location) => {
    const file = modelOf([], [], external(0, location));
    expect(() => inlineOnnx(file, () => undefined)).toThrow(
      `the numbers of 'w' lie in the file '${location}' beside the model, which is not at hand`,
    );
  });

  it.each([
    [5, /'w' ends at byte 7 of 'weights', which has 6/],
    [-1, /the place of 'w' in 'weights' is not a number/],
    [2 ** 60, /is not a number/],
  ])('from byte %d on, beyond the file, is an error', (offset, message) => {
    expect(() => inlineOnnx(modelOf(external(offset)), () => new Uint8Array(6))).toThrow(message);
  });
});
