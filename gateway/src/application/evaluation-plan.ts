import {
  attackNamed,
  attacks,
  defaultPlan,
  type NormName,
  normNamed,
  type PlanEntry,
  profilePlan,
  profiles,
} from '@jsigr/attacks';
import { MAX_SEED } from '@jsigr/models';
import { type AttackPlan, type Certification, type Dataset, EvaluationPlan, type Model } from '@jsigr/proto';
import { idOf } from './names.ts';
import { checkSettings } from './settings.ts';
import type { Violations } from './violations.ts';

const MOST_ATTACKS = 32;
const MOST_EPSILONS = 32;
const MOST_SURROGATES = 8;
const MOST_EXAMPLES = 16;
/** More than there are means all of them. */
const MAX_SAMPLES = 2 ** 32 - 1;
const PARTS = ['test', 'held-out'];

/** Radius of the default plan, in linf: half of what is usual for MNIST; what is usual for colour images. */
const DEFAULT_EPSILON = { grey: 0.1, colour: 8 / 255 } as const;

/**
 * The plan with its defaults written out.
 * @param dataset by its channels the default radius is chosen; undefined: grey.
 */
export function completePlan(
  plan: EvaluationPlan | undefined,
  part: 'test' | 'held-out',
  dataset: Dataset | undefined,
): EvaluationPlan {
  const given = withoutProfile(plan ?? EvaluationPlan.fromPartial({}), dataset);
  // A profile that is still there is a mistake, which the check names; nothing is to be put in its place.
  const isOpen = given.attacks.length === 0 && !given.profile;
  const attacks = isOpen ? defaultAttacks(dataset, given.epsilons) : given.attacks;
  return {
    ...given,
    epsilons: isOpen ? [] : given.epsilons,
    part: given.part || part,
    attacks: attacks.map((each) => ({ ...each, norm: each.norm || 'linf' })),
  };
}

/** The plan with its profile written out as attacks; one that is unknown, or that stands beside attacks, stays. */
function withoutProfile(plan: EvaluationPlan, dataset: Dataset | undefined): EvaluationPlan {
  const { profile, epsilons, attacks: given } = plan;
  if (!profile || given.length > 0 || !Object.hasOwn(profiles, nameOf(profile))) return plan;
  const written = profilePlan(profile, epsilons.length > 0 ? epsilons : [defaultEpsilon(dataset)]);
  return { ...plan, profile: '', epsilons: [], attacks: written.plan.map(attackPlan), cascade: written.cascade };
}

function nameOf(profile: string): string {
  return profile.split('@')[0] ?? '';
}

function defaultEpsilon(dataset: Dataset | undefined): number {
  return dataset && dataset.input[2] !== 1 ? DEFAULT_EPSILON.colour : DEFAULT_EPSILON.grey;
}

function defaultAttacks(dataset: Dataset | undefined, epsilons: readonly number[]): AttackPlan[] {
  return defaultPlan(epsilons.length > 0 ? epsilons : [defaultEpsilon(dataset)]).map(attackPlan);
}

/** Images that a live endpoint is asked about at most, unless told. */
const MAX_QUERIES = 100_000;

/** The plan with the defaults of a model that can only be asked: attacks that need no gradients, and a budget. */
export function completeBlackBoxPlan(
  plan: EvaluationPlan | undefined,
  model: Model,
  dataset: Dataset | undefined,
): EvaluationPlan {
  const given = plan ?? EvaluationPlan.fromPartial({});
  const isOpen = given.attacks.length === 0 && !given.profile;
  const complete = completePlan(isOpen ? { ...given, profile: 'black-box' } : given, 'test', dataset);
  return { ...complete, maxQueries: isEndpoint(model) ? complete.maxQueries || MAX_QUERIES : complete.maxQueries };
}

function isEndpoint({ architecture }: Model): boolean {
  return architecture === 'endpoint';
}

/** Attacks that need what the model has not, each by name. */
export function checkAccess(plan: EvaluationPlan, field: string, model: Model, violations: Violations): void {
  if (plan.maxQueries > 0 && !isEndpoint(model)) violations.add(`${field}.maxQueries`, 'is for live endpoints only');
  if (plan.smallestEpsilons > 0 && isEndpoint(model))
    violations.add(`${field}.smallestEpsilons`, 'is not for live endpoints: how many questions it takes is not known');
  const { blackBox } = model;
  if (!blackBox) return;
  if (plan.assessMasking)
    violations.add(`${field}.assessMasking`, `needs gradients, and the model has none: ${blackBox}`);
  if (plan.certification)
    violations.add(`${field}.certification`, `needs many answers, and the model can only be asked: ${blackBox}`);
  plan.attacks.forEach(({ attack }, i) => {
    if (Object.hasOwn(attacks, attack) && attacks[attack]?.access === 'white-box')
      violations.add(
        `${field}.attacks[${i}].attack`,
        `${attack} needs gradients, and the model has none: ${blackBox}. The profile black-box has what needs none`,
      );
  });
}

/** Noise as control, and examples with momentum, which are made for being shown to others. */
export function completeMatrixPlan(plan: EvaluationPlan | undefined, dataset: Dataset | undefined): EvaluationPlan {
  const given = plan ?? EvaluationPlan.fromPartial({});
  const epsilons = given.epsilons.length > 0 ? given.epsilons : [defaultEpsilon(dataset)];
  const attacks = ['noise', 'mi-fgsm'].map((attack) => attackPlan({ attack, norm: 'linf', epsilons }));
  const all = given.attacks.length > 0 ? given : { ...given, attacks, epsilons: [] };
  return completePlan(all, 'test', dataset);
}

/** What one attacker keeps to itself, and several would not add up: a budget, images, what is gone on from. */
const OF_ONE_ATTACKER = ['maxQueries', 'keepAdversarial', 'resumeLedger'] as const;

export function checkSharing(plan: EvaluationPlan, field: string, shards: number, violations: Violations): void {
  if (shards <= 1) return;
  for (const name of OF_ONE_ATTACKER)
    if (plan[name]) violations.add(`${field}.${name}`, `is for one attacker, and ${shards} shards are given`);
}

/** What a plan may hold, but not that of a transfer matrix. */
export function checkMatrixPlan(plan: EvaluationPlan, field: string, violations: Violations): void {
  const { part, surrogates, profile, cascade, assessMasking, keepAdversarial, attacks: planned } = plan;
  const { maxQueries, maxForwards, maxBackwards, maxSeconds, resumeLedger } = plan;
  const foreign = {
    profile: profile !== '',
    surrogates: surrogates.length > 0,
    cascade,
    assessMasking,
    keepAdversarial: keepAdversarial > 0,
    maxQueries: maxQueries > 0,
    maxForwards: maxForwards !== 0,
    maxBackwards: maxBackwards !== 0,
    maxSeconds: maxSeconds !== 0,
    ...beyond(plan),
    resumeLedger: resumeLedger !== '',
    'attacks.keepExamples': planned.some(({ keepExamples }) => keepExamples > 0),
  };
  for (const [name, isGiven] of Object.entries(foreign))
    if (isGiven) violations.add(`${field}.${name}`, 'is not for a transfer matrix');
  if (part !== 'test')
    violations.add(`${field}.part`, `${part} given, test allowed: models hold out samples of their own`);
}

/** What only the evaluation of one finished model finds out, and whether a plan asks for it. */
function beyond({ smallestEpsilons, certification }: EvaluationPlan) {
  return { smallestEpsilons: smallestEpsilons !== 0, certification: certification !== undefined };
}

/** What a plan may hold, but not that of a loop: it is too much for every checkpoint. */
export function checkLoopPlan(plan: EvaluationPlan, field: string, violations: Violations): void {
  for (const [name, isGiven] of Object.entries(beyond(plan)))
    if (isGiven) violations.add(`${field}.${name}`, 'is for finished models: evaluate one');
}

function attackPlan({ attack, norm, epsilons, settings = {} }: PlanEntry): AttackPlan {
  return {
    attack,
    norm,
    epsilons: [...epsilons],
    settings: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
    keepExamples: 0,
  };
}

/**
 * Checks a complete plan: names, norms, radii, settings, limits.
 * @param dataset what is attacked; undefined where it is not known, and its limits with it.
 */
export function checkPlan(plan: EvaluationPlan, field: string, dataset: Dataset | undefined, violations: Violations) {
  const { attacks: planned, samples, part, surrogates, seed, profile } = plan;
  if (profile && planned.length > 0) violations.add(`${field}.profile`, 'stands beside attacks: give one of the two');
  else if (profile) violations.oneOf(`${field}.profile`, nameOf(profile), Object.keys(profiles));
  if (plan.epsilons.length > 0 && planned.length > 0 && !profile)
    violations.add(`${field}.epsilons`, 'stand beside attacks, each of which has its own: leave them out');
  violations.oneOf(`${field}.part`, part, PARTS);
  violations.integer(`${field}.seed`, seed, 0, MAX_SEED);
  violations.integer(`${field}.samples`, samples, 0, MAX_SAMPLES);
  violations.integer(`${field}.keepAdversarial`, plan.keepAdversarial, 0, MAX_SAMPLES);
  for (const name of ['maxQueries', 'maxForwards', 'maxBackwards'] as const)
    violations.integer(`${field}.${name}`, plan[name], 0, Number.MAX_SAFE_INTEGER);
  violations.number(`${field}.maxSeconds`, plan.maxSeconds, 'a number from 0', (value) => value >= 0);
  violations.integer(`${field}.smallestEpsilons`, plan.smallestEpsilons, 0, MOST_SEARCHED);
  if (plan.certification) checkCertification(plan.certification, `${field}.certification`, violations);
  if (!/^([0-9a-f]{64})?$/.test(plan.resumeLedger))
    violations.add(`${field}.resumeLedger`, 'is no digest of 64 digits');
  if ((planned.length < 1 && !profile) || planned.length > MOST_ATTACKS)
    violations.add(`${field}.attacks`, `${planned.length} given, 1 to ${MOST_ATTACKS} allowed`);
  planned.slice(0, MOST_ATTACKS).forEach((attack, i) => {
    checkAttack(attack, `${field}.attacks[${i}]`, dataset, violations);
  });
  if (surrogates.length > MOST_SURROGATES)
    violations.add(`${field}.surrogates`, `${surrogates.length} given, at most ${MOST_SURROGATES} allowed`);
  surrogates.forEach((name, i) => {
    violations.try(`${field}.surrogates[${i}]`, () => idOf('models', name, `${field}.surrogates[${i}]`));
  });
}

const MOST_SEARCHED = 100_000;
const MOST_CERTIFIED = 10_000;
const MOST_DRAWS = 1_000_000;
/** Fewer certify nothing that is worth the name. */
const LEAST_DRAWS = 100;
const MOST_NOISE = 10;

function checkCertification(
  { sigma, samples, draws, alpha }: Certification,
  field: string,
  violations: Violations,
): void {
  const allowed = `a number above 0, up to ${MOST_NOISE},`;
  violations.number(`${field}.sigma`, sigma, allowed, (value) => value > 0 && value <= MOST_NOISE);
  violations.integer(`${field}.samples`, samples, 0, MOST_CERTIFIED);
  if (draws !== 0) violations.integer(`${field}.draws`, draws, LEAST_DRAWS, MOST_DRAWS);
  violations.number(`${field}.alpha`, alpha, 'a number from 0 below 0.5', (value) => value >= 0 && value < 0.5);
}

function checkAttack(plan: AttackPlan, field: string, dataset: Dataset | undefined, violations: Violations): void {
  violations.integer(`${field}.keepExamples`, plan.keepExamples, 0, MOST_EXAMPLES);
  const attack = violations.try(`${field}.attack`, () => attackNamed(plan.attack, `${field}.attack`));
  if (attack) {
    violations.oneOf(`${field}.norm`, plan.norm, attack.norms);
    checkSettings(attack.settings, plan.settings, `${field}.settings`, violations);
  }
  const { epsilons } = plan;
  if (epsilons.length < 1 || epsilons.length > MOST_EPSILONS)
    violations.add(`${field}.epsilons`, `${epsilons.length} given, 1 to ${MOST_EPSILONS} allowed`);
  const most = attack?.norms.some((norm) => norm === plan.norm) ? diameter(plan.norm as NormName, dataset) : undefined;
  epsilons.slice(0, MOST_EPSILONS).forEach((epsilon, i) => {
    const allowed = most === undefined ? 'a number from 0' : `a number from 0 to ${most}`;
    violations.number(`${field}.epsilons[${i}]`, epsilon, allowed, (value) => value >= 0 && value <= (most ?? value));
  });
}

/** The largest distance between two images; in l2 it depends on their size. */
function diameter(norm: NormName, dataset: Dataset | undefined): number | undefined {
  if (!dataset && norm !== 'linf') return undefined;
  return normNamed(norm).diameter(dataset ? dataset.input.reduce((size, side) => size * side, 1) : 1);
}

/** Attacks that craft their examples on surrogates. */
export const transferAttacks: readonly string[] = Object.values(attacks)
  .filter(({ access }) => access === 'transfer')
  .map(({ name }) => name);

export function needsSurrogates(plan: EvaluationPlan): boolean {
  return plan.attacks.some(({ attack }) => transferAttacks.includes(attack));
}
