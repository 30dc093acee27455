import fc from 'fast-check';

/** Texts that somebody may mean harm with, or that code may trip over. */
const odd = [
  '',
  ' ',
  '../../../../etc/passwd',
  '..%2f..%2fetc%2fpasswd',
  '/etc/passwd',
  'file:///etc/passwd',
  'models/../datasets/glyphs',
  '\0',
  'a\0b',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '%s%n',
  "'; drop table runs; --",
  '%',
  '_',
  '\\',
  'NaN',
  '-1',
  '1e309',
  '18446744073709551616',
  '\uD800',
  '\u202E',
  'ﷺ',
  '🧨'.repeat(50),
  'a'.repeat(100_000),
  '{"$ne": null}',
  '[object Object]',
  'http://169.254.169.254/latest/meta-data',
];

/** Words of the platform, so that a good part of the requests gets beyond the first check. */
const words = [
  ...[
    'glyphs',
    'tiny',
    'lenet',
    'mlp',
    'standard',
    'jsigr',
    'pgd',
    'fgsm',
    'mi-fgsm',
    'linf',
    'l2',
    'test',
    'held-out',
  ],
  ...[
    'train',
    'adam',
    'sgd',
    'cosine',
    'constant',
    'smoke',
    'autoattack@l2',
    'gradient',
    'smoothgrad',
    'mnist',
    'cifar10',
  ],
  ...[
    'weights.safetensors',
    'manifest.json',
    'data.safetensors',
    'model.onnx',
    'model.json',
    'NCHW',
    'NHWC',
    '0.1',
    '8',
    'true',
  ],
  ...['w1', '127.0.0.1:1', 'weight', 'steps', 'epsilon', 'lambda', '/tmp', '/'],
];

/** Tokens that look like those of pages, good and bad. */
const pageToken = fc
  .tuple(
    fc.constantFrom('training', 'evaluation', 'models:', 'datasets', 'x'),
    fc.oneof(fc.integer(), fc.double(), fc.string()),
  )
  .map(([scope, number]) => Buffer.from(`${scope} ${number}`).toString('base64url'));

/** @param names of things that there are */
export function texts(names: readonly string[]): fc.Arbitrary<string> {
  const known = [...names, ...names.map((name) => name.slice(0, name.indexOf('/') + 9)), ...words];
  return fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...known) },
    { weight: 2, arbitrary: fc.constantFrom(...odd) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
    { weight: 1, arbitrary: pageToken },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...known), fc.constantFrom(...odd)).map(([a, b]) => a + b) },
  );
}

/** Bytes of a file that was changed: bits flipped, cut, repeated, lengths overwritten. */
export function mutated(corpus: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    kind: fc.constantFrom('flip', 'cut', 'insert', 'repeat', 'length'),
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    value: fc.integer({ min: 0, max: 255 }),
  });
  return fc
    .tuple(fc.integer({ min: 0, max: corpus.length - 1 }), fc.array(edit, { minLength: 1, maxLength: 6 }))
    .map(([index, edits]) => edits.reduce(apply, Buffer.from(corpus[index] ?? new Uint8Array())));
}

function apply(bytes: Buffer, { kind, at, value }: { kind: string; at: number; value: number }): Buffer {
  const place = Math.floor(at * bytes.length);
  if (kind === 'cut') return bytes.subarray(0, place);
  if (kind === 'insert') return Buffer.concat([bytes.subarray(0, place), Buffer.alloc(value), bytes.subarray(place)]);
  if (kind === 'repeat') return Buffer.concat([bytes.subarray(0, place), bytes.subarray(Math.max(0, place - value))]);
  const changed = Buffer.from(bytes);
  if (kind === 'length') for (let i = 0; i < 4; i++) changed[place + i] = value;
  else if (place < changed.length) changed[place] = (changed[place] ?? 0) ^ (1 << (value & 7));
  return changed.subarray(0, bytes.length);
}
