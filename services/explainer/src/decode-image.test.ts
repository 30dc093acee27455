import { JsigrError } from '@jsigr/service';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage, MAX_IMAGE_BYTES } from './decode-image.ts';
import { imageOf } from './image.ts';

type Channels = 1 | 2 | 3 | 4;

function raw(values: number[], width: number, height: number, channels: Channels) {
  return sharp(Uint8Array.from(values), { raw: { width, height, channels } });
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (error) => JsigrError.from(error),
  );
  expect(error?.reason).toBe('INVALID_ARGUMENT');
  expect(error?.violations.map(({ field }) => field)).toEqual(['image']);
  return error?.message ?? '';
}

const bytesOf = (values: Float32Array) => [...values].map((value) => value * 255);

describe('a file of the right size comes out as its pixels', () => {
  test('grey', async () => {
    const png = await raw([0, 51, 204, 255], 2, 2, 1).toColourspace('b-w').png().toBuffer();
    expect(bytesOf(await decodeImage(png, [2, 2, 1])).map(Math.round)).toEqual([0, 51, 204, 255]);
  });

  test('colour', async () => {
    const png = await raw([255, 0, 0, 0, 255, 0], 2, 1, 3).png().toBuffer();
    expect(bytesOf(await decodeImage(png, [1, 2, 3]))).toEqual([255, 0, 0, 0, 255, 0]);
  });

  test('grey for a model of colours', async () => {
    const png = await raw([0, 51], 2, 1, 1).toColourspace('b-w').png().toBuffer();
    expect(bytesOf(await decodeImage(png, [1, 2, 3])).map(Math.round)).toEqual([0, 0, 0, 51, 51, 51]);
  });

  test('transparent pixels lie on white', async () => {
    const png = await raw([10, 20, 30, 0, 10, 20, 30, 255], 2, 1, 4).png().toBuffer();
    expect(bytesOf(await decodeImage(png, [1, 2, 3])).map(Math.round)).toEqual([255, 255, 255, 10, 20, 30]);
  });

  test('JPEG', async () => {
    const jpeg = await raw(new Array(64 * 3).fill(100), 8, 8, 3)
      .jpeg({ quality: 100 })
      .toBuffer();
    for (const value of bytesOf(await decodeImage(jpeg, [8, 8, 3])))
      expect(Math.abs(value - 100)).toBeLessThanOrEqual(2);
  });
});

test('an image of another size is scaled', async () => {
  const png = await raw(new Array(6 * 10 * 3).fill(77), 10, 6, 3)
    .png()
    .toBuffer();
  expect(bytesOf(await decodeImage(png, [4, 4, 1])).map(Math.round)).toEqual(new Array(16).fill(77));
});

describe('refused, naming the field', () => {
  test.each([
    ['no byte', new Uint8Array(), 'neither a PNG nor a JPEG'],
    ['one byte', Uint8Array.of(1), 'neither a PNG nor a JPEG'],
    ['a GIF', new TextEncoder().encode('GIF89a..............'), 'neither a PNG nor a JPEG'],
    ['SVG text', new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'neither a PNG nor a JPEG'],
    ['a JPEG that is only a signature', Uint8Array.of(0xff, 0xd8, 0xff), 'cannot be read'],
    ['too many bytes', new Uint8Array(MAX_IMAGE_BYTES + 1), 'at most 8388608'],
  ])('%s', async (_name, bytes, words) => {
    expect(await refusal(decodeImage(bytes, [4, 4, 1]))).toContain(words);
  });

  test('a PNG that announces 100,000 x 100,000 pixels, from its header alone', async () => {
    const png = await raw([0], 1, 1, 1).png().toBuffer();
    // IHDR: width and height are the four bytes each after signature, length and type; its check sum is then wrong, as in a crafted file.
    png.writeUInt32BE(100_000, 16);
    png.writeUInt32BE(100_000, 20);
    expect(await refusal(decodeImage(png, [4, 4, 1]))).toMatch(/at most 16000000|cannot be read/);
  });

  test('more than 16 megapixels', async () => {
    const blank = { create: { width: 4001, height: 4000, channels: 3 as const, background: '#000000' } };
    const png = await sharp(blank).png({ compressionLevel: 1 }).toBuffer();
    expect(await refusal(decodeImage(png, [4, 4, 1]))).toContain('4001 x 4000 pixels given, at most 16000000');
  });

  test('a truncated file', async () => {
    const noise = Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 256);
    const png = await raw(noise, 64, 64, 3).png().toBuffer();
    expect(await refusal(decodeImage(png.subarray(0, png.length / 2), [4, 4, 1]))).toContain('cannot be read');
  });
});

describe('tensors', () => {
  const tensor = (shape: number[], values: number[]) => ({
    source: { $case: 'tensor' as const, value: { shape, data: Buffer.from(Float32Array.from(values).buffer) } },
  });

  test('are taken as they are, wherever their bytes lie', async () => {
    const image = tensor([1, 2, 1], [0.25, 1]);
    const shifted = Buffer.concat([Buffer.alloc(1), image.source.value.data]).subarray(1);
    image.source.value.data = shifted;
    expect([...(await imageOf(image, [1, 2, 1]))]).toEqual([0.25, 1]);
  });

  test.each([
    ['another shape', tensor([2, 1, 1], [0, 0]), '[2,1,1]'],
    ['too few numbers', tensor([1, 2, 1], [0]), '4 bytes given'],
    ['NaN', tensor([1, 2, 1], [0, Number.NaN]), 'value 1 is NaN'],
    ['infinity', tensor([1, 2, 1], [Number.POSITIVE_INFINITY, 0]), 'value 0 is Infinity'],
    ['a negative value', tensor([1, 2, 1], [-0.5, 0]), 'value 0 is -0.5'],
    ['a value over 1', tensor([1, 2, 1], [0, 2]), 'value 1 is 2'],
    ['nothing', undefined, 'is missing'],
    [
      'a sample',
      { source: { $case: 'sample' as const, value: { dataset: 'datasets/a', part: '', index: 0 } } },
      'gateway',
    ],
  ])('%s is refused', async (_name, image, words) => {
    expect(await refusal(imageOf(image, [1, 2, 1]))).toContain(words);
  });
});
