import { ListObjectivesResponse } from '@jsigr/proto';
import { afterEach, describe, expect, it } from 'vitest';
import { jsigr } from '../testing/command.ts';
import { answers, type FakeGateway, startFakeGateway } from '../testing/fake-gateway.ts';

let gateway: FakeGateway | undefined;
afterEach(() => gateway?.close());

const known = ListObjectivesResponse.fromPartial({
  objectives: [
    { name: 'standard', summary: 'cross-entropy alone', source: 'textbook' },
    {
      name: 'trades',
      summary: 'clean cross-entropy and a divergence',
      source: 'Zhang et al. 2019',
      settings: [
        { name: 'epsilon', defaultValue: '0.1', allowed: '0..1000', description: 'radius of the ball' },
        { name: 'stepSize', defaultValue: '', allowed: 'above 0', description: 'length of a step' },
      ],
    },
  ],
  techniques: [{ name: 'averageDecay', defaultValue: '0', allowed: '0.. below 1', description: 'of the weights' }],
});

async function run(line: string) {
  gateway = await startFakeGateway({ training: { listObjectives: answers(() => known) } });
  return jsigr(line.split(' '), { gateway });
}

describe('objectives', () => {
  it('are listed with their papers, and with what goes with any of them', async () => {
    const { code, out } = await run('objectives list');
    expect(code).toBe(0);
    expect(out).toMatch(/trades +clean cross-entropy and a divergence +Zhang et al. 2019/);
    expect(out).toMatch(/averageDecay +0 +0\.\. below 1 +of the weights/);
  });

  it('are shown with every setting', async () => {
    const { out } = await run('objectives show trades');
    expect(out).toContain('source: Zhang et al. 2019\n');
    expect(out).toMatch(/epsilon +0.1 +0..1000 +radius of the ball/);
    expect(out).toMatch(/stepSize +- +above 0 +length of a step/);
    expect((await run('objectives show standard')).out).toContain('it has no settings');
  });

  it('are refused by name, with the known ones', async () => {
    const { code, err } = await run('objectives show peace');
    expect(code).toBe(3);
    expect(err).toContain('known: standard, trades');
  });

  it('are messages of the contract with -o json', async () => {
    const { out } = await run('objectives show trades -o json');
    expect(ListObjectivesResponse.fromJSON(JSON.parse(out)).objectives).toEqual(known.objectives.slice(1));
  });
});
