import {
  CreateEvaluationRequest,
  EvaluationPlan,
  RobustnessReport as Report,
  type RobustnessReport,
  RunState,
  TransferMatrix,
} from '@jsigr/proto';
import { unavailable } from '@jsigr/service';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { LOCAL } from '../access/caller.ts';
import { DATABASE_UNAVAILABLE } from '../store/database.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import type { FakeAttacker } from '../testing/fake-workers.ts';
import { reasonOf, saved, type TestGateway, TINY, testGateway, words } from '../testing/gateway.ts';
import { reportCommand } from './report-command.ts';

let store: Store;
let gateway: TestGateway;
let model: string;
beforeAll(async () => {
  store = await memoryStore();
}, OPENING_MS);
afterAll(() => store.close());
beforeEach(async () => {
  gateway = await testGateway(store);
  model = await gateway.checkpoint(1);
  await gateway.application.models.record(model.replace('models/', ''));
});
afterEach(() => gateway.close());

const plan = (attack: string, surrogates: string[] = []) =>
  EvaluationPlan.fromPartial({ attacks: [{ attack, epsilons: [0.1, 0.2] }], samples: 10, surrogates, seed: 3 });

async function create(given: EvaluationPlan): Promise<string> {
  const request = CreateEvaluationRequest.fromPartial({ spec: { model: model.slice(0, 20), plan: given } });
  const { name } = await gateway.application.evaluations.create(request, LOCAL);
  return name.replace('evaluations/', '');
}
const get = (id: string) => gateway.application.evaluations.get({ name: `evaluations/${id}` }, LOCAL);

function found(): RobustnessReport {
  return Report.fromPartial({
    model,
    cleanAccuracy: { successes: 9, trials: 10, value: 0.9 },
    examples: [{ attack: 'fgsm', epsilon: 0.1 }],
  });
}

describe('an evaluation', () => {
  test('is made by an attacker; the report goes into the run, with the command that makes it again', async () => {
    const id = await create(plan('fgsm'));
    const attacker = await gateway.pool.attacker();
    expect(attacker.threads).toBe(4);
    expect(attacker.evaluating).toMatchObject({
      modelDigest: model.replace('models/', ''),
      surrogateDigests: [],
      dataset: TINY,
      plan: { part: 'test', samples: 10, attacks: [{ attack: 'fgsm', norm: 'linf', epsilons: [0.1, 0.2] }] },
    });
    attacker.say({ $case: 'progress', value: { attack: 'fgsm', epsilon: 0.1, fraction: 0.5 } });
    attacker.say({ $case: 'report', value: found() });
    attacker.end();
    const events = await gateway.events(id);
    expect(words(events).slice(-4)).toEqual(['RUNNING', 'evaluationProgress', 'robustnessReported', 'SUCCEEDED']);
    expect(reasonOf(events)).toBe('attacked 10 samples');
    const { report, spec } = await get(id);
    expect(spec).toMatchObject({ model, dataset: TINY });
    expect(report).toMatchObject({
      cleanAccuracy: { value: 0.9 },
      examples: [{ attack: 'fgsm' }],
      command: `jsigr evaluate ${model} --dataset datasets/tiny --part test --attack fgsm@linf:0.1,0.2 --samples 10 --seed 3`,
    });
    const { evaluations } = await gateway.application.evaluations.list({ pageSize: 1, pageToken: '' }, LOCAL);
    expect(evaluations[0]?.report?.examples).toEqual([]);
  });

  test('whose report was written, and whose end was not, is not attacked again', async () => {
    const transition = store.runs.transition.bind(store.runs);
    let broken = 0;
    const spy = vi.spyOn(store.runs, 'transition').mockImplementation(async (...given) => {
      if (given[1] === RunState.RUN_STATE_SUCCEEDED && broken++ === 0)
        throw unavailable(DATABASE_UNAVAILABLE, 'the database server cannot be reached');
      return transition(...given);
    });
    const id = await create(plan('fgsm'));
    const attacker = await gateway.pool.attacker();
    attacker.say({ $case: 'report', value: found() });
    attacker.end();
    const told = words(await gateway.events(id));
    spy.mockRestore();
    expect(told.filter((word) => word === 'robustnessReported')).toHaveLength(1);
    expect(told.slice(-2)).toEqual(['RUNNING', 'SUCCEEDED']);
    expect(gateway.pool.attackers).toHaveLength(1);
  });

  test('trains the surrogates that a transfer attack needs, of other architectures than the model', async () => {
    gateway.pool.onStart = async (trainer) => {
      trainer.emit(saved(await gateway.checkpoint(5, trainer.started?.spec?.architecture), 5));
      trainer.end();
    };
    await create(plan('mi-fgsm'));
    const attacker = await gateway.pool.attacker();
    expect(gateway.pool.trainers.map(({ started }) => started?.spec?.architecture)).toEqual(['smallcnn', 'mlp']);
    const digests = [await gateway.checkpoint(5, 'smallcnn'), await gateway.checkpoint(5, 'mlp')];
    expect(attacker.evaluating?.surrogateDigests).toEqual(digests.map((name) => name.replace('models/', '')));
  });

  test('takes the surrogates that it is given', async () => {
    const named = await gateway.checkpoint(6, 'mlp');
    await gateway.application.models.record(named.replace('models/', ''));
    await create(plan('mi-fgsm', [named.slice(0, 20)]));
    const attacker = await gateway.pool.attacker();
    expect(attacker.evaluating?.surrogateDigests).toEqual([named.replace('models/', '')]);
    expect(gateway.pool.trainers).toEqual([]);
  });

  const failures: [string, (attacker: FakeAttacker) => unknown, RegExp][] = [
    ['refuses', (attacker) => attacker.refuse('the model is not finite'), /^the model is not finite$/],
  ];
  for (const [what, happens, reason] of failures)
    test(`fails with the reason when the attacker ${what}`, async () => {
      const id = await create(plan('fgsm'));
      await happens(await gateway.pool.attacker());
      const events = await gateway.events(id);
      expect(words(events).at(-1)).toBe('FAILED');
      expect(reasonOf(events)).toMatch(reason);
      await gateway.pool.changed.until(() => gateway.pool.list().length === 0);
    });

  test('goes on from its ledger when the attacker dies, and is given up when it comes no further', async () => {
    const id = await create(plan('fgsm'));
    const first = await gateway.pool.attacker();
    expect(first.evaluating?.resume).toBeUndefined();
    const resumePoint = { kind: 'states', digest: 'a'.repeat(64), step: 3 };
    first.say({ $case: 'resumePoint', value: resumePoint });
    while (!(await store.runs.get('evaluation', id)).resumePoint) await new Promise((resolve) => setImmediate(resolve));
    await first.die('was killed by SIGKILL');
    const second = await gateway.pool.attacker(1);
    expect(second.evaluating).toMatchObject({ run: `evaluations/${id}`, resume: resumePoint });
    await second.die('was killed by SIGKILL');
    (await gateway.pool.attacker(2)).end();
    const events = await gateway.events(id);
    expect(words(events).at(-1)).toBe('FAILED');
    expect(reasonOf(events)).toBe('the attacker ended without a report; it was begun again 2 times, in vain');
    expect((await get(id)).retries).toBe(2);
  });

  test('is cancelled, and its attacker with it', async () => {
    const id = await create(plan('fgsm'));
    const attacker = await gateway.pool.attacker();
    const cancelled = await gateway.application.evaluations.cancel({ name: `evaluations/${id}`, etag: '' }, LOCAL);
    expect(cancelled.state).toBe(RunState.RUN_STATE_CANCELLED);
    await gateway.pool.changed.until(() => attacker.cancelled && attacker.released?.discard === true);
  });
});

test('an evaluation of several models is a transfer matrix, and files of its ledger can be read', async () => {
  const second = await gateway.checkpoint(2, 'mlp');
  await gateway.application.models.record(second.replace('models/', ''));
  const { digest: ledger } = await gateway.artefacts.put('ledgers', {
    'predictions.safetensors': Buffer.from('0123456789'),
  });
  gateway.pool.matrix = TransferMatrix.fromPartial({ models: [model, second], ledger, samples: 10 });
  const spec = { models: [model.slice(0, 20), second], plan: EvaluationPlan.fromPartial({ samples: 10, seed: 3 }) };
  const { name } = await gateway.application.evaluations.create(CreateEvaluationRequest.fromPartial({ spec }), LOCAL);
  const read = { name, path: 'predictions.safetensors', readOffset: 4 };
  await expect(gateway.application.evaluations.readFile(read, LOCAL).next()).rejects.toThrow(/it has no ledger/);
  const attacker = await gateway.pool.attacker();
  expect(attacker.comparing).toMatchObject({
    modelDigests: [model, second].map((each) => each.replace('models/', '')),
    dataset: TINY,
    plan: { attacks: [{ attack: 'noise' }, { attack: 'mi-fgsm', norm: 'linf', epsilons: [0.1] }], part: 'test' },
  });
  attacker.end();
  const events = await gateway.events(name.replace('evaluations/', ''));
  expect(words(events).slice(-3)).toEqual(['RUNNING', 'transferMatrixReported', 'SUCCEEDED']);
  const { transferMatrix, report } = await gateway.application.evaluations.get({ name }, LOCAL);
  expect(report).toBeUndefined();
  expect(transferMatrix?.command).toBe(
    `jsigr transfer-matrix ${model} ${second} --dataset datasets/tiny --attack noise@linf:0.1 --attack mi-fgsm@linf:0.1 --samples 10 --seed 3`,
  );
  for await (const { offset, data } of gateway.application.evaluations.readFile(read, LOCAL))
    expect([offset, data.toString()]).toEqual([4, '456789']);
});

test('the command of a report names norm, radii and settings of every attack', () => {
  const attacks = [
    { attack: 'pgd', norm: 'l2', epsilons: [0.5], settings: { steps: '40', restarts: '2' } },
    { attack: 'noise', norm: 'linf', epsilons: [0.1, 0.2] },
  ];
  const limits = { maxForwards: 5000, maxSeconds: 2.5 };
  const more = { smallestEpsilons: 50, certification: { sigma: 0.25, draws: 1000, alpha: 0.01 } };
  const given = EvaluationPlan.fromPartial({
    ...{ attacks, part: 'test', samples: 0, seed: 1, cascade: true, ...limits },
    ...more,
  });
  expect(reportCommand({ model: 'models/ab', dataset: 'datasets/mnist', plan: given, surrogates: ['models/cd'] })).toBe(
    'jsigr evaluate models/ab --dataset datasets/mnist --part test --attack pgd@l2:0.5:steps=40,restarts=2 --attack noise@linf:0.1,0.2 --cascade --surrogate models/cd --max-forwards 5000 --max-seconds 2.5 --smallest-epsilons 50 --certify 0.25:draws=1000,alpha=0.01 --samples 0 --seed 1',
  );
});
