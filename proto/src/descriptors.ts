import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createFileRegistry, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** The .proto files as a compiler has read them, comments included. */
export interface Descriptors {
  /** Full names of all messages. */
  readonly messages: ReadonlySet<string>;
  /** Full names of all services. */
  readonly services: ReadonlySet<string>;
  /** A file by its path and those that it rests on, each as a FileDescriptorProto; undefined: there is none. */
  file(path: string): Uint8Array[] | undefined;
  /** The same of the file with a message, an enum, a service or a method, by its full name. */
  fileOfSymbol(name: string): Uint8Array[] | undefined;
}

/** Reads what `npm run generate` has made of the .proto files. */
export function readDescriptors(): Descriptors {
  const place = fileURLToPath(new URL('../src/generated/contract.binpb', import.meta.url));
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(place)));
  const [messages, services] = [new Set<string>(), new Set<string>()];
  const symbols = new Map<string, DescFile>();
  for (const type of registry) {
    symbols.set(type.typeName, type.file);
    if (type.kind === 'message') messages.add(type.typeName);
    if (type.kind !== 'service') continue;
    services.add(type.typeName);
    for (const { name } of type.methods) symbols.set(`${type.typeName}.${name}`, type.file);
  }
  const files = new Map([...registry.files].map((file) => [file.proto.name, file]));
  const withDependencies = (file: DescFile | undefined) =>
    file && [...closure(file)].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return {
    messages,
    services,
    file: (path) => withDependencies(files.get(path)),
    fileOfSymbol: (name) => withDependencies(symbols.get(name)),
  };
}

function closure(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  if (found.has(file)) return found;
  found.add(file);
  for (const dependency of file.dependencies) closure(dependency, found);
  return found;
}
