import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { classify } from '@jsigr/attacks';
import { createEngine, uniform } from '@jsigr/engine';
import { type Classifier, createClassifier, initialParameters } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { judged } from '../bench/peers/attacks/judge.ts';
import { findResult, keepResult, type Result, readResults } from '../bench/peers/attacks/results.ts';
import { runCase } from '../bench/peers/attacks/run.ts';
import { attacksPage, comparisons } from '../bench/peers/attacks/table.ts';

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function result(change: Partial<Result>): Result {
  return {
    model: 'lenet-standard',
    digest: 'd',
    attack: 'pgd-40',
    tool: 'ours',
    epsilon: 0.1,
    samples: 200,
    batchSize: 100,
    threads: 2,
    device: 'cpu',
    versions: 'v',
    seconds: 2,
    peakBytes: 200e6,
    startBytes: 100e6,
    forwards: 10,
    backwards: 9,
    deviation: 1e-6,
    processor: 'p',
    otherCores: 0,
    correct: range(0, 190),
    broken: range(0, 100),
    outside: [],
    ...change,
  };
}

describe('our attack beside a peer', () => {
  it('is compared image by image', () => {
    // Both break 2..99; ours 0, 1 alone, the peer 100..104 alone: of 7 disagreements 2 against 5, p = 2 (1 + 7 + 21) / 128.
    const [row] = comparisons([result({}), result({ tool: 'art', broken: range(2, 105) })]);
    expect(row).toMatchObject({ onlyOurs: 2, onlyPeer: 5, isHeld: false });
    expect(row?.p).toBeCloseTo(58 / 128, 12);
  });

  it('may miss one image in 200', () => {
    const held = (count: number) =>
      comparisons([result({}), result({ tool: 'art', broken: range(0, count) })])[0]?.isHeld;
    expect([held(100), held(101), held(102)]).toEqual([true, true, false]);
  });

  it('is not compared with another model, radius or number of images', () => {
    for (const change of [{ digest: 'e' }, { epsilon: 0.3 }, { samples: 100 }])
      expect(comparisons([result({}), result({ tool: 'art', ...change })])).toEqual([]);
  });

  it('is compared in strength wherever both ran, in seconds and memory only on the same processors', () => {
    const ours = [result({}), result({ device: 'cuda', broken: range(0, 90) })];
    const times = (page: string) => page.slice(page.indexOf('## Seconds'));
    for (const change of [{ device: 'cuda' }, { batchSize: 50 }, { processor: 'q' }] as const) {
      const page = attacksPage([result({}), result({ tool: 'art', ...change })]);
      expect(page).toContain('| lenet-standard | d | 0.1 | pgd-40 | 200 | art |');
      expect(times(page)).not.toContain('| art |');
    }
    const page = attacksPage([...ours, result({ tool: 'art', device: 'cuda' })]);
    expect(page).toContain('| art | cuda | 50.0 | 45.0 | 0 | 10 |');
    expect(times(page)).not.toContain('| art |');
  });

  it('says how far the profile rapid is from AutoAttack', () => {
    const rapid = result({ attack: 'rapid', seconds: 2, broken: range(0, 90) });
    const full = result({ attack: 'autoattack', seconds: 30, broken: range(5, 100) });
    const pages = [[], [full], [{ ...full, processor: 'q' }]].map((more) => {
      const page = attacksPage([rapid, result({}), ...more]);
      return page.slice(page.indexOf('## How far'));
    });
    expect(pages[0]).not.toContain('lenet');
    expect(pages[1]).toContain('| lenet-standard | d | 0.1 | 200 | 50.0, 47.5 | 10 | 5 | 2.0, 30.0 | 15.0 |');
    expect(pages[2]).toContain('| lenet-standard | d | 0.1 | 200 | 50.0, 47.5 | 10 | 5 |  |  |');
  });

  it('has a table with bounds: speed against the fastest peer, memory against each', () => {
    const page = attacksPage([
      result({}),
      result({ tool: 'torchattacks', seconds: 2.8, peakBytes: 500e6 }),
      result({ tool: 'art', seconds: 10, peakBytes: 300e6, outside: [7] }),
    ]);
    expect(page).toContain(
      '| torchattacks | 2.0, 2.8 | 1.40 (at least 1.5: **not held**) | 200 (100), 500 (100) | 0.40 (at most 0.5: held) |',
    );
    expect(page).toContain('| art | 2.0, 10.0 | 5.00 | 200 (100), 300 (100) | 0.67 (at most 0.5: **not held**) |');
    expect(page).toContain(
      '| lenet-standard | d | 0.1 | pgd-40 | 200 | art | cpu | 45.0 | 45.0 (1 outside the ball) | 0 | 0 | 1.0 | held |',
    );
  });
});

describe('results of other seeds', () => {
  it('stand in a table of their own, and decide nothing', () => {
    const mine = [result({}), result({ tool: 'art' })];
    const page = attacksPage([...mine, result({ seed: 3, broken: [1, 2] })]);
    expect(page).toContain(`| lenet-standard | d | 0.1 | pgd-40 | 200 | ours | 1: ${result({}).broken.length}, 3: 2 |`);
    expect(page).toContain('**Held: 1 of 1.**');
    expect(attacksPage(mine)).not.toContain('How much is chance');
  });
});

describe('a raw result', () => {
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-test-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is found again only for what it was made with', () => {
    const kept = result({});
    keepResult(folder, kept);
    const { model, digest, attack, tool, epsilon, samples, batchSize, threads, device } = kept;
    const setup = { model, digest, attack, tool, epsilon, samples, batchSize, threads, device };
    expect(findResult(folder, setup)).toEqual(kept);
    expect(findResult(folder, { ...setup, digest: 'other weights' })).toBeUndefined();
    expect(findResult(folder, { ...setup, threads: 1 })).toBeUndefined();
    expect(findResult(folder, { ...setup, seed: 2 })).toBeUndefined();
    expect(readResults(folder)).toEqual([kept]);
    const other = result({ seed: 2, broken: [1] });
    keepResult(folder, other);
    expect([findResult(folder, setup), findResult(folder, { ...setup, seed: 2 })]).toEqual([kept, other]);
  });
});

describe('a case', () => {
  const folder = mkdtempSync(join(tmpdir(), 'jsigr-test-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is attacked in a process of its own, judged and kept, and not made again', async () => {
    const engine = await createEngine({ threads: 1 });
    const spec = { architecture: 'mlp', input: [28, 28, 1] as const, classes: 10 };
    const classifier = createClassifier(spec, initialParameters(spec, 1), 'mlp');
    // The first ten images are labelled as the model sees them, the others are not.
    const images = Uint8Array.from(uniform({ seed: 1, stream: 'test.images' }, 12 * 784), (u) => 255 * u);
    const unlabelled = { count: 12, images, labels: new Uint8Array(12) };
    const predictions = await classify(engine, classifier, unlabelled, range(0, 12), { batchSize: 12 });
    const labels = Uint8Array.from(predictions, (prediction, i) => (i < 10 ? prediction : (prediction + 1) % 10));
    const each = {
      model: { name: 'mlp-standard', network: 'mlp', objective: 'standard' },
      trained: { classifier, digest: 'abcdefghij', test: { ...unlabelled, labels } },
      attack: 'pgd-40',
      tool: 'ours',
      epsilon: 0.3,
      samples: 12,
    } as const;
    const setup = {
      folder,
      results: join(folder, 'results'),
      python: '',
      threads: 1,
      batchSize: 12,
      device: 'cpu',
      seed: 1,
      processor: 'p',
    } as const;
    await runCase(engine, setup, each);
    const [made] = readResults(setup.results);
    // An untrained network falls to anything.
    expect(made).toMatchObject({ correct: range(0, 10), broken: range(0, 10), outside: [] });
    expect(made?.deviation).toBeLessThan(1e-6);
    expect(made?.peakBytes).toBeGreaterThanOrEqual(made?.startBytes ?? Number.NaN);
    expect(readdirSync(folder).sort()).toEqual(['inputs', 'results']);
    // The first look is at all ten and nothing falls before it: at least so many images went through the model.
    expect(made?.backwards).toBeGreaterThanOrEqual(10);
    await runCase(engine, setup, each);
    expect(readResults(setup.results)).toEqual([made]);
    await engine.dispose();
  });
});

describe('an adversarial image', () => {
  it('counts if the model is wrong on it, and it lies in the ball and in the box', async () => {
    const engine = await createEngine({ threads: 1 });
    // One pixel; class 1 where it is brighter than a half.
    const classifier: Classifier = {
      id: 'pixel',
      input: [1, 1, 1],
      classes: 2,
      parameters: {},
      forward: (_, images) => {
        const pixel = tf.reshape(images, [-1, 1]);
        return tf.concat([tf.zerosLike(pixel), tf.sub(pixel, tf.scalar(0.5))], 1);
      },
    };
    // 102 / 255 = 0.4
    const test = { count: 5, images: new Uint8Array(5).fill(102), labels: new Uint8Array(5) };
    const images = Float32Array.of(0.55, 0.45, 0.601, 0.6, 1.1);
    const given = { indices: [0, 1, 2, 3, 4], epsilon: 0.2, images };
    expect(await judged(engine, { classifier, test }, given)).toEqual({ broken: [0, 3], outside: [2, 4] });
    await expect(judged(engine, { classifier, test }, { ...given, indices: [0] })).rejects.toThrow(
      '5 adversarial images for 1 attacked ones',
    );
    await engine.dispose();
  });
});
