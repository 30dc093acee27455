import type { Engine } from '@jsigr/engine';
import type { Access } from './attack.ts';
import type { Beyond } from './beyond.ts';
import { type CellResult, sum } from './cells.ts';
import type { CertifiedAccuracy } from './certified.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import type { Flag } from './flags.ts';
import type { MaskingAssessment } from './masking.ts';
import type { SmallestEpsilons } from './nearest-boundary.ts';
import type { NormName } from './norms.ts';
import type { Source } from './plan.ts';
import { type Proportion, proportion } from './statistics.ts';

/** One attack at one epsilon. */
export interface AttackResult {
  readonly attack: string;
  readonly access: Access;
  readonly source: Source;
  readonly norm: NormName;
  readonly epsilon: number;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Restarts, times targets, of each sample at most. */
  readonly attempts: number;
  /** Samples that stay correctly classified under the worst of the attack's attempts, of all samples; in a cascade also under the attacks before it. */
  readonly robustAccuracy: Proportion;
  /** Misclassified ones of those that the attack met: all that are correctly classified without attack, or in a cascade what the others left. */
  readonly successRate: Proportion;
  /** Samples that a budget did not reach; they count as robust. */
  readonly unattempted: number;
  /** Samples that still stood when a budget ended the attack before all its steps and attempts; they count as robust. */
  readonly cutShort: number;
  readonly seconds: number;
  readonly forwards: number;
  readonly backwards: number;
}

/** All attacks of a kind together at one epsilon: a sample counts as robust if it withstands every one of them. */
export interface WorstCase {
  readonly norm: NormName;
  readonly epsilon: number;
  /** Under every attack on the target itself, by gradients or queries; absent where the plan has none. */
  readonly whiteBox?: Proportion;
  /** Under every attack with the surrogates' gradients; absent where the plan has none. */
  readonly transferred?: Proportion;
}

/** JSON-able. Only `seconds` differ from one run to the next. */
export interface EvaluationReport {
  readonly target: string;
  readonly surrogates: readonly string[];
  readonly samples: number;
  readonly seed: number;
  readonly batchSize: number;
  readonly cascade: boolean;
  readonly engine: Engine['info'];
  /** Accuracy without attack. */
  readonly clean: Proportion;
  readonly attacks: readonly AttackResult[];
  readonly worstCase: readonly WorstCase[];
  /** What a reader must know besides the figures. */
  readonly flags: readonly Flag[];
  /** Of all units of work; those of a ledger that was resumed count too. The passes also of the looks at clean images: their classes and gradients. */
  readonly seconds: number;
  readonly forwards: number;
  readonly backwards: number;
  /** Of each attack of the plan but controls, where it was asked for. */
  readonly smallestEpsilons: readonly SmallestEpsilons[];
  /** Where it was asked for. */
  readonly certified?: CertifiedAccuracy;
  /** A high robust accuracy may be due to masked gradients. Unless it was asked for, nobody has looked for them. */
  readonly masking: 'not assessed' | MaskingAssessment;
}

interface Findings extends EvaluationOptions {
  readonly batchSize: number;
  readonly info: Engine['info'];
  readonly flags: readonly Flag[];
  readonly results: readonly CellResult[];
  readonly assessment: MaskingAssessment | undefined;
  readonly beyond: Beyond;
  /** Samples that are correctly classified without attack. */
  readonly correct: number;
  /** Samples whose gradient was looked at beforehand. */
  readonly looks: number;
}

export function reportOf(findings: Findings): EvaluationReport {
  const {
    target,
    surrogates,
    indices,
    seed,
    batchSize,
    cascade = false,
    info,
    flags,
    results,
    correct,
    looks,
    beyond,
  } = findings;
  const samples = indices.length;
  const attacks = results.map((result) => resultOf(result, correct, samples, target.classes));
  return {
    target: target.id,
    surrogates: surrogates.map(({ id }) => id),
    samples,
    seed,
    batchSize,
    cascade,
    engine: info,
    clean: proportion(correct, samples),
    attacks,
    worstCase: worstCases(results, correct, samples),
    flags,
    seconds: sum(attacks.map(({ seconds }) => seconds)),
    forwards: samples + looks + sum(attacks.map(({ forwards }) => forwards)),
    backwards: looks + sum(attacks.map(({ backwards }) => backwards)),
    smallestEpsilons: beyond.smallest.map(({ summary }) => summary),
    ...(beyond.certified && { certified: beyond.certified.summary }),
    masking: findings.assessment ?? 'not assessed',
  };
}

function resultOf(result: CellResult, correct: number, samples: number, classes: number): AttackResult {
  const { planned, epsilon, units, faced, unattempted, cutShort, fooled, fallen } = result;
  const { attack, source, norm, settings } = planned;
  const rows = units.flatMap((unit) => unit.rows);
  return {
    attack: attack.name,
    access: attack.access,
    source,
    norm: norm.name,
    epsilon,
    settings,
    attempts: attack.attempts(settings, classes),
    robustAccuracy: proportion(correct - fallen.size, samples),
    successRate: proportion(fooled.size, faced),
    unattempted,
    cutShort,
    seconds: sum(units.map((unit) => unit.seconds)),
    forwards: sum(rows.map((row) => row.forwards)),
    backwards: sum(rows.map((row) => row.backwards)),
  };
}

function worstCases(results: readonly CellResult[], correct: number, samples: number): WorstCase[] {
  const places = new Map(
    results.map(({ planned: { norm }, epsilon }) => [`${norm.name} ${epsilon}`, { norm, epsilon }]),
  );
  return [...places.values()]
    .sort((a, b) => a.norm.name.localeCompare(b.norm.name) || a.epsilon - b.epsilon)
    .map(({ norm, epsilon }) => {
      const robustUnder = (source: Source): Proportion | undefined => {
        const weaker = results.filter(
          ({ planned, epsilon: at }) =>
            planned.source === source && planned.attack.access !== 'control' && planned.norm === norm && at <= epsilon,
        );
        const fooled = new Set(weaker.flatMap((cell) => [...cell.fooled]));
        return weaker.some((cell) => cell.epsilon === epsilon) ? proportion(correct - fooled.size, samples) : undefined;
      };
      const whiteBox = robustUnder('target');
      const transferred = robustUnder('surrogates');
      return { norm: norm.name, epsilon, ...(whiteBox && { whiteBox }), ...(transferred && { transferred }) };
    });
}
