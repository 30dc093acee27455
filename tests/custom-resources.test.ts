import { readFileSync } from 'node:fs';
import { Feedback } from '@jsigr/proto';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { RobustnessEvaluationSpec, TrainingRunSpec } from '../gateway/src/operator/generated/resources.ts';
import { evaluationSpec, trainingSpec } from '../gateway/src/operator/spec.ts';
import { loadContract } from './fuzz/messages.ts';

const FINISHED = 'is for finished models: it is too much for every checkpoint';

/** What a resource does not carry, and why; everything else of the contract it must. */
const leftOut = {
  TrainingSpec: {
    'loop.plan.part': 'a loop attacks held-out samples: what is selected on the test set says nothing about it',
    'loop.plan.maxQueries': 'is for live endpoints, and what is trained is none',
    'loop.plan.resumeLedger': 'a loop begins again with the next checkpoint',
    'loop.plan.smallestEpsilons': FINISHED,
    'loop.plan.certification.sigma': FINISHED,
    'loop.plan.certification.samples': FINISHED,
    'loop.plan.certification.draws': FINISHED,
    'loop.plan.certification.alpha': FINISHED,
  },
  EvaluationSpec: {
    models: 'a transfer matrix is a table, which a status of a few figures cannot hold: it comes by gRPC and the CLI',
  },
  CreateTrainingRunRequest: {
    displayName: 'is metadata.name',
    requestId: 'is metadata.uid',
    labels: "say which resource the run came from; people's own are metadata.labels",
  },
  CreateEvaluationRequest: {
    requestId: 'is metadata.uid',
    labels: "say which resource the evaluation came from; people's own are metadata.labels",
  },
} as const;

const radii = ['8/255'];
const attack = { name: 'pgd', norm: 'l2', epsilons: radii, settings: { steps: 3 }, keepExamples: 2 } as const;
const plan = { samples: 10, seed: 3, epsilons: radii, surrogates: ['models/0123'], attacks: [attack] };
const limits = { maxForwards: 1000, maxBackwards: 500, maxSeconds: '2.5' };
const more = { ...limits, profile: 'rapid', cascade: true, assessMasking: true, keepAdversarial: 4 };

/** Resources in which every field is something else than its default. */
const training: Required<TrainingRunSpec> = {
  dataset: 'datasets/a',
  architecture: 'lenet',
  activation: 'tanh',
  norm: 'group',
  denoise: true,
  objective: { name: 'jsigr', settings: { jacobian: '0.3' } },
  epochs: 3,
  batchSize: 32,
  seed: 7,
  checkpointEveryEpochs: 2,
  optimizer: { name: 'sgd', learningRate: '0.1', momentum: '0.9', weightDecay: '0.001', schedule: 'cosine' },
  augmentation: { cropPadding: 2, flip: true, cutout: 3, noise: '0.1' },
  techniques: { labelSmoothing: '0.1' },
  initialModel: 'models/0123',
  teacher: 'models/4567',
  surrogates: ['models/89ab'],
  loop: {
    ...{ ...plan, ...more, feedback: 'adapt' },
    ...{ patience: 3, cleanTolerance: '0.1', trainingExamples: 16, exampleShare: '0.3' },
  },
  suspend: true,
};
const evaluation: Required<RobustnessEvaluationSpec> = {
  ...{ ...plan, ...more, model: 'models/0123', modelFrom: { trainingRun: 'a' }, dataset: 'datasets/a' },
  ...{ smallestEpsilons: 20, certification: { sigma: '0.25', samples: 50, draws: 500, alpha: '0.01' } },
  ...{ part: 'held-out', shards: 4, maxQueries: 100, resumeLedger: 'ab', suspend: true },
};

type Fields = Readonly<Record<string, unknown>>;

/** Every field of a message and of those within, as `loop.plan.seed`. */
function fieldsOf(type: protobuf.Type, prefix = ''): string[] {
  return type.fieldsArray.flatMap((field) => {
    const path = `${prefix}${field.name}`;
    const isMap = field instanceof protobuf.MapField;
    return field.resolvedType instanceof protobuf.Type && !isMap ? fieldsOf(field.resolvedType, `${path}.`) : [path];
  });
}

/** Whether a message says something at this path; of lists the first item counts. */
function says(message: unknown, path: string): boolean {
  const value = path.split('.').reduce<unknown>((at, name) => {
    const of = Array.isArray(at) ? at[0] : at;
    return (of as Fields | undefined)?.[name];
  }, message);
  if (value === undefined || value === 0 || value === '' || value === false) return false;
  return typeof value !== 'object' || Object.keys(value ?? {}).length > 0;
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly default?: unknown;
  readonly enum?: readonly string[];
}

function schemaOf(plural: string): Schema {
  const crd = parse(readFileSync(new URL(`../k8s/crds/${plural}.jsigr.dev.yaml`, import.meta.url), 'utf8'));
  return crd.spec.versions[0].schema.openAPIV3Schema.properties.spec;
}

/** Fields of a schema that a resource lacks, or that it leaves at their defaults. */
function missingIn(value: unknown, schema: Schema, path = 'spec'): string[] {
  if (schema.items) return missingIn((value as unknown[])[0], schema.items, `${path}[]`);
  if (!schema.properties) return value === undefined || value === schema.default ? [path] : [];
  return Object.entries(schema.properties).flatMap(([name, each]) =>
    missingIn((value as Fields | undefined)?.[name], each, `${path}.${name}`),
  );
}

const contract = loadContract();
const type = (name: string) => contract.lookupType(`jsigr.v1.${name}`);

describe.each([
  ['TrainingRun', 'trainingruns', 'TrainingSpec', training, trainingSpec(training)],
  [
    'RobustnessEvaluation',
    'robustnessevaluations',
    'EvaluationSpec',
    evaluation,
    evaluationSpec(evaluation, evaluation.model),
  ],
] as const)('a %s', (_, plural, message, resource, converted) => {
  test('has here a value for every field of its schema, none the default', () => {
    expect(missingIn(resource, schemaOf(plural))).toEqual([]);
  });

  test('carries every field of the contract but those that are left out for a reason', () => {
    const silent = fieldsOf(type(message)).filter((path) => !says(converted, path));
    expect(silent.sort()).toEqual(Object.keys(leftOut[message]).sort());
  });

  test('stands for the whole request but what is left out for a reason', () => {
    const request = `Create${message.replace('TrainingSpec', 'TrainingRun').replace('EvaluationSpec', 'Evaluation')}Request`;
    const others = type(request).fieldsArray.map(({ name }) => name);
    expect(others.filter((name) => name !== 'spec').sort()).toEqual(
      Object.keys(leftOut[request as keyof typeof leftOut]).sort(),
    );
  });
});

test('every feedback of the contract can be asked for', () => {
  const schema = schemaOf('trainingruns').properties?.loop?.properties?.feedback;
  const reached = (schema?.enum ?? []).map((each) => {
    const feedback = each as Required<TrainingRunSpec>['loop']['feedback'];
    return trainingSpec({ ...training, loop: { ...training.loop, feedback } }).loop?.feedback;
  });
  expect(reached.sort()).toEqual(
    Object.values(Feedback)
      .filter((each) => each !== Feedback.FEEDBACK_UNSPECIFIED && each !== Feedback.UNRECOGNIZED)
      .sort(),
  );
});
