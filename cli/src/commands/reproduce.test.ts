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
});
