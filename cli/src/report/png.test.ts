import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { encodePng } from './png.ts';

describe('PNG files', () => {
  it('hold signature, size, colour type and the rows, each after its filter byte', () => {
    const file = encodePng(Uint8Array.of(1, 2, 3, 4, 5, 6), 1, 2, 3);
    expect(file.subarray(0, 8).toString('latin1')).toBe('\u0089PNG\r\n\u001a\n');
    expect([file.readUInt32BE(16), file.readUInt32BE(20), file[24], file[25]]).toEqual([2, 1, 8, 2]);
    const length = file.readUInt32BE(33);
    expect([...inflateSync(file.subarray(41, 41 + length))]).toEqual([0, 1, 2, 3, 4, 5, 6]);
    // The last chunk of every PNG file, with its checksum (PNG specification, section 11.2.4).
    expect(file.subarray(-12).toString('hex')).toBe('0000000049454e44ae426082');
  });

  it.each([
    [2, 2, 1],
    [1, 3, 2],
  ])('refuse pixels that do not make %d x %d of %d channels', (height, width, channels) =>
    expect(() => encodePng(new Uint8Array(6), height, width, channels)).toThrow(RangeError),
  );
});
