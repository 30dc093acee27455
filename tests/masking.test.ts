import {
  assessMasking,
  type EvaluationReport,
  evaluate,
  linf,
  type MaskingAssessment,
  type PlanEntry,
  profilePlan,
} from '@jsigr/attacks';
import { type Dataset, glyphs } from '@jsigr/datasets';
import { type TrainingConfig, trainToEnd } from '@jsigr/defenses';
import { createEngine, type Engine, float32 } from '@jsigr/engine';
import { type Checkpoint, type Classifier, createClassifier, zooNetwork } from '@jsigr/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What the verdict on masked gradients says of networks that were really trained: two honest ones, and one whose training hid its gradients.
const SAMPLES = 48;
let engine: Engine;
let data: Dataset;
let standard: Checkpoint;

const network = (config: TrainingConfig): TrainingConfig => ({ architecture: 'mlp', seed: 1, ...config });
const classifierOf = ({ model, parameters }: Checkpoint, id: string) => createClassifier(model, parameters, id);

beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
  data = glyphs({ variant: 'gray28', train: 1500, test: SAMPLES, seed: 1 });
  standard = await trainToEnd(engine, network({ epochs: 4, objective: { name: 'standard' } }), data);
}, 240_000);
afterAll(() => engine.dispose());

const common = () => ({
  surrogates: [],
  split: data.test,
  indices: Array.from({ length: SAMPLES }, (_, i) => i),
  seed: 1,
});

async function assess(target: Classifier, epsilon: number): Promise<MaskingAssessment> {
  const assessment = await assessMasking(engine, { ...common(), target, norm: linf, epsilon });
  if (!assessment) throw new Error('nothing was assessed');
  return assessment;
}

async function attacked(target: Classifier, plan: readonly PlanEntry[]): Promise<EvaluationReport> {
  return (await evaluate(engine, { ...common(), target, input: data.input, plan })).report;
}

describe('honest networks show no sign', { timeout: 240_000 }, () => {
  it('trained on clean images', async () => {
    const { verdict, signals } = await assess(classifierOf(standard, 'standard'), 0.03);
    expect(signals.filter((signal) => signal.verdict !== 'no_sign')).toEqual([]);
    expect(verdict).toBe('no_sign');
  });

  it('trained on adversarial images (PGD-AT), and more robust for it', async () => {
    const objective = { name: 'pgd-at', settings: { epsilon: 0.03, steps: 4 } };
    const hardened = classifierOf(await trainToEnd(engine, network({ epochs: 6, objective }), data), 'pgd-at');
    const { verdict, signals } = await assess(hardened, 0.03);
    expect(signals.filter((signal) => signal.verdict !== 'no_sign')).toEqual([]);
    expect(verdict).toBe('no_sign');
    const pgd: PlanEntry[] = [{ attack: 'pgd', norm: 'linf', epsilons: [0.03], settings: { steps: 20 } }];
    const left = async (target: Classifier) => (await attacked(target, pgd)).attacks[0]?.robustAccuracy.count ?? 0;
    expect(await left(hardened)).toBeGreaterThan(await left(classifierOf(standard, 'standard')));
  });
});

/**
 * A network that is trained to have no Jacobian: its logits are blown up until the probabilities are 0 and 1, then the Jacobian of the probabilities is
 * penalised. The regulariser is content (nothing is left to penalise but at a few images), accuracy stays, and the cross-entropy has no gradient.
 */
async function trainedToMask(): Promise<Classifier> {
  const parameters = Object.fromEntries(
    Object.entries(standard.parameters).map(([name, { data: numbers, shape }]) => [
      name,
      float32(
        Float32Array.from(numbers, (value) => (name.startsWith('logits.') ? 1e4 * value : value)),
        shape,
      ),
    ]),
  );
  const config = network({
    epochs: 1,
    optimizer: { name: 'adam', settings: { learningRate: 1e-6 } },
    objective: { name: 'jacobian', settings: { jacobianOutput: 'probabilities', jacobianWeight: 1000 } },
  });
  const initial = { id: 'blown up', network: zooNetwork(standard.model), parameters };
  return classifierOf(await trainToEnd(engine, config, data, { initial }), 'masked');
}

it('a network that was trained to mask looks robust to PGD, falls to the full evaluation, and the verdict says why', {
  timeout: 240_000,
}, async () => {
  const masked = await trainedToMask();
  const epsilon = 0.1;
  const { clean, attacks, flags } = await attacked(masked, [
    { attack: 'pgd', norm: 'linf', epsilons: [epsilon], settings: { steps: 20 } },
    ...profilePlan('rapid', [epsilon]).plan,
    { attack: 'square', norm: 'linf', epsilons: [epsilon], settings: { queries: 200 } },
  ]);
  const left = Object.fromEntries(attacks.map(({ attack, robustAccuracy }) => [attack, robustAccuracy.count]));
  expect(clean.value).toBeGreaterThan(0.5);
  expect(left.pgd).toBe(clean.count);
  expect(left['apgd-t']).toBeLessThanOrEqual(1);
  expect(left.square).toBeLessThan(clean.count / 4);
  // The cross-entropy has none; the cascade's other attacks found what queries found.
  expect(flags.map(({ name }) => name)).toEqual(['zero-gradients']);
  const { verdict, signals } = await assess(masked, epsilon);
  expect(verdict).toBe('evident');
  const evident = signals.filter((signal) => signal.verdict === 'evident').map(({ name }) => name);
  expect(evident).toEqual(expect.arrayContaining(['zero-gradients', 'loss-matters']));
});
