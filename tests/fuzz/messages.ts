import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { protoDirectory } from '@jsigr/proto';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { mutated, texts } from './texts.ts';

/** The contract as its files say it: a new message or method is there by itself. */
export function loadContract(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_, target) => join(protoDirectory, target);
  const files = readdirSync(join(protoDirectory, 'jsigr/v1')).filter((name) => name.endsWith('.proto'));
  root.loadSync([...files.map((name) => `jsigr/v1/${name}`), 'externalscaler/externalscaler.proto'], {
    keepCase: false,
  });
  root.resolveAll();
  return root;
}

export interface ContractMethod {
  /** `package.Service/Method` */
  readonly name: string;
  readonly request: protobuf.Type;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

export function methodsOf(root: protobuf.Root): ContractMethod[] {
  return ['jsigr.v1', 'externalscaler'].flatMap((namespace) =>
    (root.lookup(namespace) as protobuf.Namespace).nestedArray
      .filter((each) => each instanceof protobuf.Service)
      .flatMap((service) =>
        (service as protobuf.Service).methodsArray.map((method) => ({
          name: `${namespace}.${service.name}/${method.name}`,
          request: method.resolvedRequestType as protobuf.Type,
          requestStream: method.requestStream === true,
          responseStream: method.responseStream === true,
        })),
      ),
  );
}

const DEPTH = 5;
const integers: Record<string, [number, number]> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [-(2 ** 53), 2 ** 53],
  uint64: [0, 2 ** 63],
};

type Value = unknown;

/** Any message of a type, as an object: most fields sensible, some not. */
export function messages(
  type: protobuf.Type,
  names: readonly string[],
  depth = 0,
): fc.Arbitrary<Record<string, Value>> {
  const fields = type.fieldsArray.filter(
    ({ resolvedType }) => depth < DEPTH || !(resolvedType instanceof protobuf.Type),
  );
  const arbitraries = Object.fromEntries(fields.map((field) => [field.name, fieldValues(field, names, depth)]));
  return fc.record(arbitraries, { requiredKeys: [] }).map((message) => {
    // Of a oneof one member at most.
    for (const { fieldsArray } of type.oneofsArray)
      for (const { name } of fieldsArray.filter((field) => field.name in message).slice(1)) delete message[name];
    return message;
  });
}

function fieldValues(field: protobuf.Field, names: readonly string[], depth: number): fc.Arbitrary<Value> {
  const one = single(field, names, depth);
  if (field instanceof protobuf.MapField) return fc.dictionary(texts(names), one, { maxKeys: 4 });
  return field.repeated ? fc.array(one, { maxLength: 5 }) : one;
}

function single({ type, resolvedType }: protobuf.Field, names: readonly string[], depth: number): fc.Arbitrary<Value> {
  if (resolvedType instanceof protobuf.Enum)
    return fc.oneof(fc.constantFrom(...Object.values(resolvedType.values)), fc.integer({ min: -3, max: 100 }));
  if (resolvedType instanceof protobuf.Type) return messages(resolvedType, names, depth + 1);
  const range = integers[type];
  if (range) {
    const [min, max] = range;
    return fc.oneof(
      fc.integer({ min: 0, max: 20 }),
      fc.constantFrom(min, max),
      fc.double({ min, max, noNaN: true }).map(Math.trunc),
    );
  }
  if (type === 'double' || type === 'float') return fc.oneof(fc.double({ min: 0, max: 1 }), fc.double());
  if (type === 'bool') return fc.boolean();
  if (type === 'bytes') return fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.constant(new Uint8Array(3136)));
  return texts(names);
}

/** The message on the wire: as it is, or with bytes changed. */
export function wire(type: protobuf.Type, names: readonly string[]): fc.Arbitrary<Buffer> {
  const whole = messages(type, names).map((message) => Buffer.from(type.encode(type.fromObject(message)).finish()));
  const broken = whole.chain((bytes) => mutated([bytes]).map((changed) => Buffer.from(changed)));
  return fc.oneof({ weight: 4, arbitrary: whole }, { weight: 1, arbitrary: broken });
}
