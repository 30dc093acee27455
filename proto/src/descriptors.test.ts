import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { readDescriptors } from './descriptors.ts';

const descriptors = readDescriptors();

/** Each after those that it imports. */
function inOrder(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const found = new Set<FileDescriptorProto>();
  const visit = (file: FileDescriptorProto) => {
    for (const each of files) if (file.dependency.includes(each.name)) visit(each);
    found.add(file);
  };
  files.forEach(visit);
  return [...found];
}

test.each([...descriptors.services])('a client that has nothing else can resolve %s', (service) => {
  const files = descriptors.fileOfSymbol(service)?.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)) ?? [];
  const names = files.map(({ name }) => name);
  for (const { dependency } of files) expect(names).toEqual(expect.arrayContaining(dependency));
  // Compilers write types by their full names, and entries of maps and optional fields as clients look for them.
  for (const { messageType } of files)
    for (const { field, nestedType } of messageType) {
      for (const { typeName } of field) expect(typeName).toMatch(/^(\..+)?$/);
      for (const { name, options } of nestedType) if (options?.mapEntry) expect(name).toMatch(/Entry$/);
    }
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(files) }));
  expect(registry.getService(service)?.methods.length).toBeGreaterThan(0);
});

test('fields that may be absent are told from those with a default', () => {
  const file = descriptors.file('jsigr/v1/explanation.proto')?.[0] ?? new Uint8Array();
  const request = fromBinary(FileDescriptorProtoSchema, file).messageType.find(({ name }) => name === 'ExplainRequest');
  const optional = request?.field.filter(({ proto3Optional }) => proto3Optional).map(({ name }) => name);
  expect(optional).toEqual(['target']);
});
