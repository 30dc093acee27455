/** A file of uint8 tensors, by hand: the length of the header in 8 bytes little-endian, JSON, data. */
export function safetensorsOf(tensors: Readonly<Record<string, readonly number[]>>): Buffer {
  let at = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, bytes]) => {
      const begin = at;
      at += bytes.length;
      return [name, { dtype: 'U8', shape: [bytes.length], data_offsets: [begin, at] }];
    }),
  );
  const json = Buffer.from(JSON.stringify({ __metadata__: { a: 'b' }, ...header }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.from(Object.values(tensors).flat())]);
}
