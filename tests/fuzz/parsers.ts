import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeLedger, encodeLedger } from '@jsigr/attacks';
import { decodeDataset, encodeDataset, glyphs, importers } from '@jsigr/datasets';
import { importLayersModel, importOnnx, readSafetensors } from '@jsigr/engine';
import { readConfig } from '@jsigr/gateway/config';
import { JsigrError } from '@jsigr/service';
import fc from 'fast-check';
import sharp from 'sharp';
import { readSweep } from '../../cli/src/sweep/sweep-file.ts';
import { collectGarbage } from '../../packages/service/src/memory.ts';
import { decodeImage } from '../../services/explainer/src/decode-image.ts';
import type { Target } from './target.ts';
import { mutated, texts } from './texts.ts';

const golden = (path: string) => readFileSync(new URL(`../../packages/engine/golden/${path}`, import.meta.url));
/** A file in a million parts takes no parser so long. */
const MOST_MS = 10_000;

/** Nor so much memory beyond what the process has. */
const MOST_BYTES = 128 * 2 ** 20;

/** What a parser may do with a file: take it, or refuse it with a reason of its own, in bounded time and memory. */
export async function orderly(work: () => unknown): Promise<string> {
  // What dies young is gone before: its end during the work would hide as much of the work's own.
  collectGarbage({ type: 'minor' });
  const before = heldBytes();
  const start = performance.now();
  let outcome = 'taken';
  try {
    await work();
  } catch (error) {
    const { reason, message } = JsigrError.from(error);
    outcome = reason;
    if (reason === 'INTERNAL') throw new Error(`an error without reason: ${message}`, { cause: error });
  }
  const ms = performance.now() - start;
  if (ms > MOST_MS) throw new Error(`took ${Math.round(ms)} ms`);
  const grown = heldBytes() - before;
  if (grown > MOST_BYTES) throw new Error(`took ${Math.round(grown / 2 ** 20)} MiB`);
  return outcome;
}

/** Of the heap and of buffers outside of it: what a parser let go of counts until it is collected, so a large buffer shows even if it was not kept. */
function heldBytes(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const target = <Input>(name: string, input: fc.Arbitrary<Input>, work: (input: Input) => unknown) =>
  ({ name: `parser ${name}`, input, check: (value: Input) => orderly(() => work(value)) }) as unknown as Target;

/** @param folder for the files of parsers that read folders */
export async function parserTargets(folder: string): Promise<Target[]> {
  const image = { create: { width: 9, height: 7, channels: 3, background: '#a03' } } as const;
  const pictures = await Promise.all([sharp(image).png().toBuffer(), sharp(image).jpeg().toBuffer()]);
  const dataset = encodeDataset(glyphs({ variant: 'gray28', train: 3, test: 2, seed: 1 }));
  const idx = Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, ...Array.from({ length: 8 }, (_, i) => i)]);
  const record = Buffer.alloc(1 + 32 * 32 * 3, 3);
  const ledger = encodeLedger({
    fingerprint: 'f',
    seed: 1,
    cells: [{ attack: 'pgd', norm: 'linf', epsilon: 0.1 }],
    clean: [0, 1, 2].map((sample) => ({ sample, prediction: 3, label: sample })),
    units: [{ cell: 0, block: 0, seconds: 1, rows: [] }],
  });
  const models = ['torch-plain-11', 'sklearn-mlp-17', 'torch-products-18', 'keras-cnn-17'].map((name) =>
    golden(`onnx/${name}/model.onnx`),
  );
  const layers = JSON.parse(golden('layers/sequential/model.json').toString());
  const yaml = [
    Buffer.from('matrix: { objective: [standard, jsigr], seed: [1, 2] }\nbase: { epochs: 1 }\n'),
    Buffer.from('host: 0.0.0.0\nlimits: { burst: 3 }\n'),
  ];
  return [
    target('safetensors', mutated([dataset['data.safetensors'] ?? new Uint8Array()]), readSafetensors),
    target('safetensors header', headers(), readSafetensors),
    target('dataset manifest', mutated([dataset['manifest.json'] ?? new Uint8Array()]), (bytes) =>
      decodeDataset({ ...dataset, 'manifest.json': bytes }),
    ),
    target('ONNX', mutated(models), (bytes) => importOnnx(bytes)),
    target('LayersModel', changedJson(layers), (json) => {
      return importLayersModel(JSON.stringify(json), weightsOf(layers));
    }),
    target('IDX', mutated([idx]), async (bytes) => {
      for (const part of ['train', 't10k']) {
        writeFileSync(join(folder, `${part}-images-idx3-ubyte`), bytes);
        writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 0, 1]));
      }
      await importers.mnist?.read(folder);
    }),
    target('CIFAR', mutated([record, Buffer.from('a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n')]), async (bytes) => {
      for (const name of ['data_batch_1.bin', 'test_batch.bin']) writeFileSync(join(folder, name), bytes);
      writeFileSync(join(folder, 'batches.meta.txt'), bytes.length > 100 ? 'a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n' : bytes);
      await importers.cifar10?.read(folder);
    }),
    ...Object.keys(ledger).map((file) =>
      target(`ledger ${file}`, mutated([ledger[file as keyof typeof ledger]]), (bytes) =>
        decodeLedger({ ...ledger, [file]: bytes }),
      ),
    ),
    target('PNG and JPEG', mutated(pictures), (bytes) => decodeImage(bytes, [8, 8, 3])),
    target('sweep YAML', mutated(yaml), (bytes) => readSweep(Buffer.from(bytes).toString())),
    target('settings YAML', mutated(yaml), async (bytes) => {
      const file = join(folder, 'config.yaml');
      writeFileSync(file, bytes);
      await readConfig({ environment: {}, file });
    }),
  ];
}

/** safetensors files whose header says anything about no data at all. */
function headers(): fc.Arbitrary<Uint8Array> {
  const entry = fc.record({
    dtype: fc.oneof(fc.constantFrom('F32', 'U8', 'I64', 'BF16'), fc.jsonValue()),
    shape: fc.oneof(fc.array(fc.oneof(fc.nat(5), fc.integer())), fc.jsonValue()),
    data_offsets: fc.oneof(fc.tuple(fc.nat(64), fc.nat(64)), fc.jsonValue()),
  });
  const header = fc.oneof(fc.dictionary(texts([]), fc.oneof(entry, fc.jsonValue()), { maxKeys: 4 }), fc.jsonValue());
  return fc
    .tuple(header, fc.uint8Array({ maxLength: 64 }), fc.integer({ min: -8, max: 8 }))
    .map(([json, data, off]) => {
      const text = Buffer.from(JSON.stringify(json));
      const length = Buffer.alloc(8);
      length.writeBigInt64LE(BigInt(text.length + off));
      return Buffer.concat([length, text, data]);
    });
}

/** The JSON with one place of it replaced by something else. */
function changedJson(json: unknown): fc.Arbitrary<unknown> {
  const places = placesOf(json);
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom(-1, 0, 1e9, '', 'Dense', null, [], {}));
  return fc.tuple(fc.integer({ min: 0, max: places.length - 1 }), value).map(([at, replacement]) => {
    const copy = structuredClone(json);
    const path = places[at] ?? [];
    let parent = copy as Record<string, unknown>;
    for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
    parent[path.at(-1) ?? ''] = replacement;
    return copy;
  });
}

function placesOf(json: unknown, path: readonly string[] = []): string[][] {
  if (typeof json !== 'object' || json === null) return [];
  return Object.entries(json).flatMap(([key, value]) => [[...path, key], ...placesOf(value, [...path, key])]);
}

function weightsOf(json: { weightsManifest: { paths: string[] }[] }): Record<string, Uint8Array> {
  const paths = json.weightsManifest.flatMap((group) => group.paths);
  return Object.fromEntries(paths.map((path) => [path, golden(`layers/sequential/${path}`)]));
}
