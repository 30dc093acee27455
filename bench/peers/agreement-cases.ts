import { findObjective } from '@jsigr/defenses';
import { type Engine, float32, type NdArray, sizeOf, specsOf, type Tree, uniform, valueAndGrad } from '@jsigr/engine';
import {
  type ImageShape,
  initialParameters,
  parameterShapes,
  statisticNames,
  type TrainingForward,
  trainingForwardOf,
} from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { vit, vitParameters } from './vit.ts';

type Named<Value> = Readonly<Record<string, Value>>;

/** A network, a loss and a batch on which derivatives are compared. */
export interface AgreementCase {
  readonly name: string;
  readonly network: string;
  readonly objective: 'standard' | 'jsigr';
  /** `vit` has its own. */
  readonly activation: 'relu' | 'softplus';
  readonly seed: number;
  readonly input: ImageShape;
  readonly batch: number;
}

export const CLASSES = 10;
/** Coefficients at which all terms of the J-SIGR loss are of one order. */
export const WEIGHTS = { jacobianWeight: 0.1, gradientWeight: 1 } as const;
export const NETWORKS = ['lenet', 'resnet8', 'resnet18', 'wrn-16-4', 'vgg11', 'vit'] as const;

/**
 * Every network with both losses: `full` as users train them; `small` for tests on any machine: smaller images, and smooth, so that no rounding can
 * switch a rectifier.
 */
export function agreementCases(size: 'full' | 'small', seed = 11): AgreementCase[] {
  const side = (network: string) => (size === 'small' ? 16 : network === 'lenet' ? 28 : 32);
  return NETWORKS.flatMap((network) =>
    (['standard', 'jsigr'] as const).map((objective) => ({
      name: `${network}.${objective}`,
      network,
      objective,
      activation: size === 'small' ? 'softplus' : 'relu',
      seed,
      input: [side(network), side(network), network === 'lenet' ? 1 : 3] as const,
      batch: 8,
    })),
  );
}

/** What both sides start from. */
export interface CaseInputs {
  readonly parameters: Named<NdArray>;
  readonly statistics: Named<NdArray>;
  readonly images: NdArray;
  /** One-hot. */
  readonly labels: NdArray;
  readonly projection0: NdArray;
}

/** Inputs from seeds alone: the same on every machine. */
export function caseInputs({ network, objective, seed, input, batch }: AgreementCase): CaseInputs {
  const shape = [batch, ...input];
  const labels = new Float32Array(batch * CLASSES);
  for (let row = 0; row < batch; row++) labels[row * CLASSES + ((row * 7) % CLASSES)] = 1;
  const context = { seed, step: 1, batchSize: batch, input, classes: CLASSES, saliency: undefined };
  const { projection0 } = findObjective('jsigr').bind({}).inputs(context);
  if (!projection0) throw new Error(`the objective ${objective} draws no projection`);
  return {
    ...parametersOf(network, input, seed),
    images: float32(uniform({ seed, stream: 'images' }, sizeOf(shape)), shape),
    labels: float32(labels, [batch, CLASSES]),
    projection0,
  };
}

/** First parameters moved a little, because a gradient at an exact zero or one could be right by chance. */
function parametersOf(network: string, input: ImageShape, seed: number): Pick<CaseInputs, 'parameters' | 'statistics'> {
  if (network === 'vit') return { parameters: vitParameters(input, CLASSES, seed), statistics: {} };
  const model = { architecture: network, input, classes: CLASSES };
  const shapes = parameterShapes(model);
  const moved = Object.entries(initialParameters(model, seed)).map(([name, { shape, data }]): [string, NdArray] => {
    const range = 0.3 * (shapes[name]?.deviation || 0.1);
    const noise = uniform({ seed, stream: `agreement/${name}` }, data.length);
    return [
      name,
      float32(
        noise.map((u, i) => (data[i] ?? 0) + (2 * u - 1) * range),
        shape,
      ),
    ];
  });
  const statistics = statisticNames(model);
  const part = (wanted: boolean) => Object.fromEntries(moved.filter(([name]) => statistics.has(name) === wanted));
  return { parameters: part(false), statistics: part(true) };
}

export interface Derivatives {
  readonly loss: NdArray;
  readonly parameters: Named<NdArray>;
  readonly images: NdArray;
  /** Running statistics after the step. */
  readonly statistics: Named<NdArray>;
}

/** The loss of a case, its gradient by every parameter and by the images, and the running statistics, from the engine. */
export async function derivatives(engine: Engine, given: AgreementCase, inputs: CaseInputs): Promise<Derivatives> {
  const forward = forwardOfCase(given);
  // without the input `penalised` nothing is masked, as in the peers
  const objective = findObjective(given.objective).bind(given.objective === 'jsigr' ? WEIGHTS : {});
  const traced = (tree: Tree<Tensor>): Tree<Tensor> => {
    const { parameters, statistics, images, labels, projection0 } = tree as unknown as CaseInputs & Named<Tensor>;
    let next: Named<Tensor> = {};
    const { value, gradient } = valueAndGrad(
      (at: { parameters: Named<Tensor>; images: Tensor }) => {
        const { terms } = objective.loss({
          forward: (x) => {
            const passed = forward({ ...at.parameters, ...(statistics as unknown as Named<Tensor>) }, x);
            next = passed.statistics;
            return passed.logits;
          },
          images: at.images,
          labels: labels as unknown as Tensor,
          targets: labels as unknown as Tensor,
          ramp: tf.scalar(1),
          inputs: { projection0: projection0 as unknown as Tensor },
        });
        return Object.values(terms).reduce((sum, term) => tf.add(sum, term));
      },
      { parameters: parameters as unknown as Named<Tensor>, images: images as unknown as Tensor },
    );
    const found = { loss: value, ...gradient };
    return (Object.keys(next).length === 0 ? found : { ...found, statistics: next }) as unknown as Tree<Tensor>;
  };
  const tree = inputs as unknown as Tree<NdArray>;
  const compiled = await engine.compile(traced, specsOf(tree), { name: given.name });
  const result = (await compiled.run(tree)) as unknown as Omit<Derivatives, 'statistics'> & Partial<Derivatives>;
  await compiled.release();
  return { statistics: {}, ...result };
}

function forwardOfCase({ network, activation, input }: AgreementCase): TrainingForward {
  if (network !== 'vit') return trainingForwardOf({ architecture: network, activation, input, classes: CLASSES });
  return (parameters, images) => ({ logits: vit(parameters, images), statistics: {} });
}
