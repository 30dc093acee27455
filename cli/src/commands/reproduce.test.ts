import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { takeLock } from '@jsigr/gateway/lock';
import { Dataset } from '@jsigr/proto';
import { notFound } from '@jsigr/service/client';
import { profiles } from '@jsigr/study/profiles';
import { afterEach, describe, expect, it } from 'vitest';
import { jsigr } from '../testing/command.ts';
import { answers, type FakeGateway, startFakeGateway } from '../testing/fake-gateway.ts';

let gateway: FakeGateway | undefined;
afterEach(() => gateway?.close());

describe('reproduce', () => {
  it('names the studies that there are', async () => {
    const { code, out } = await jsigr(['reproduce', '--help']);
    expect(code).toBe(0);
    for (const [name, { summary }] of Object.entries(profiles)) expect(out).toMatch(`${name.padEnd(14)}${summary}`);
    const wrong = await jsigr(['reproduce', 'imagenet']);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('Allowed choices are glyphs, mnist, cifar-subset');
  });

  it('makes a part of a study, of architectures that it has', async () => {
    const { code, err } = await jsigr(['reproduce', 'mnist', '--architectures', 'lenet,resnet8']);
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('--architectures: the study mnist has lenet, smallcnn, not "resnet8"'),
    ]);
    const rival = await jsigr(['reproduce', 'mnist', '--objectives', 'jsigr,mart']);
    expect([rival.code, rival.err]).toEqual([
      2,
      expect.stringMatching(/--objectives: the study mnist has standard, jacobian, .*, jsigr-fgsm-rs, not "mart"/),
    ]);
    const empty = await jsigr(['reproduce', 'mnist', '--architectures', 'lenet,']);
    expect([empty.code, empty.err]).toEqual([2, expect.stringContaining('write names with commas between them')]);
  });

  it('says how to import a dataset that is missing', async () => {
    gateway = await startFakeGateway({
      datasets: {
        getDataset: answers(({ name }: { name: string }): never => {
          throw notFound('dataset', name);
        }),
      },
    });
    const { code, err } = await jsigr(['reproduce', 'mnist'], { gateway });
    expect(code).toBe(3);
    expect(err).toContain('hint: import it first: jsigr datasets import mnist --format mnist FOLDER');
  });

  it('does not work on a study that another command is at', async () => {
    gateway = await startFakeGateway({
      datasets: {
        getDataset: answers(() => ({ dataset: Dataset.fromPartial({ name: 'datasets/glyphs', digest: 'd' }) })),
      },
    });
    const folder = await mkdtemp(join(tmpdir(), 'jsigr-reproduce-'));
    const studies = join(folder, 'studies', 'glyphs-quick');
    await mkdir(studies, { recursive: true });
    const lock = await takeLock(studies);
    const line = ['reproduce', 'glyphs', '--quick', '--data-dir', folder, '--out', join(folder, 'out')];
    const { code, err } = await jsigr(line, { gateway });
    expect([code, err]).toEqual([4, expect.stringContaining(`another \`jsigr reproduce\` is at work in ${studies}`)]);
    await lock.release();
    await rm(folder, { recursive: true });
  });
});
