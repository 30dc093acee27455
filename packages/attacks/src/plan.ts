import type { Classifier } from '@jsigr/models';
import type { Attack } from './attack.ts';
import { checkEpsilon, checkGradients, checkTarget } from './check-context.ts';
import { AttackError } from './errors.ts';
import { type Norm, type NormName, normNamed } from './norms.ts';
import { attackNamed } from './registry.ts';

/** One line of an evaluation plan: JSON-able. */
export interface PlanEntry {
  /** Name in the registry of attacks. */
  readonly attack: string;
  readonly norm: NormName;
  /** In units of the images (8/255, not 8); 0 is the clean image. */
  readonly epsilons: readonly number[];
  /** As the attack's schema has it; defaults are filled in. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Who is looked at; by default the surrogates for transfer attacks, the target for all others. */
  readonly source?: Source;
}

export type Source = 'target' | 'surrogates';

/** A plan entry that was checked, with everything filled in. */
export interface PlannedAttack {
  readonly attack: Attack;
  readonly norm: Norm;
  /** Ascending, each once. */
  readonly epsilons: readonly number[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly source: Source;
}

/**
 * A small honest plan in linf: noise (the control), FGSM, PGD with the margin loss, and transferred MI-FGSM (needs surrogates).
 * It finds weak models cheaply; it is not AutoAttack, and no verdict on gradient masking.
 */
export function defaultPlan(epsilons: readonly number[], options: { readonly transfer?: boolean } = {}): PlanEntry[] {
  const { transfer = true } = options;
  return [
    { attack: 'noise', norm: 'linf', epsilons },
    { attack: 'fgsm', norm: 'linf', epsilons },
    { attack: 'pgd', norm: 'linf', epsilons, settings: { steps: 10, loss: 'margin' } },
    ...(transfer ? [{ attack: 'mi-fgsm', norm: 'linf', epsilons } as const] : []),
  ];
}

/**
 * @param size numbers of one image.
 * @throws AttackError INVALID_PLAN, UNKNOWN_ATTACK, UNKNOWN_NORM, INVALID_EPSILON, INVALID_SETTING, NO_SURROGATES, NO_GRADIENTS, each naming its field.
 */
export function checkPlan(
  plan: readonly PlanEntry[],
  size: number,
  { target, surrogates }: { readonly target: Classifier; readonly surrogates: number },
): PlannedAttack[] {
  if (plan.length === 0) throw new AttackError('INVALID_PLAN', 'plan', 'no attack is planned; name at least one');
  return plan.map((entry, index) => {
    const field = `plan[${index}]`;
    const attack = attackNamed(entry.attack, `${field}.attack`);
    const norm = normNamed(entry.norm, `${field}.norm`);
    if (!attack.norms.includes(norm.name))
      throw new AttackError(
        'INVALID_PLAN',
        `${field}.norm`,
        `attack "${attack.name}" knows ${attack.norms.join(', ')}`,
      );
    if (entry.epsilons.length === 0)
      throw new AttackError('INVALID_PLAN', `${field}.epsilons`, 'no epsilon is given; name at least one');
    entry.epsilons.forEach((epsilon, i) => {
      checkEpsilon(epsilon, norm, size, `${field}.epsilons[${i}]`);
    });
    const source = entry.source ?? (attack.access === 'transfer' ? 'surrogates' : 'target');
    if (source === 'surrogates' && surrogates === 0)
      throw new AttackError('NO_SURROGATES', `${field}.source`, `attack "${attack.name}" needs at least one surrogate`);
    const settings = attack.parse(entry.settings, `${field}.settings`);
    checkTarget(targetOf(settings), target.classes, `${field}.settings.target`);
    if (source === 'target' && attack.cost(settings, target.classes).backwards > 0)
      checkGradients(target, attack.name, `${field}.attack`);
    return { attack, norm, epsilons: [...new Set(entry.epsilons)].sort((a, b) => a - b), settings, source };
  });
}

/** The class that a planned attack steers towards, where it was told one. */
export function targetOf(settings: PlannedAttack['settings']): number | undefined {
  return typeof settings.target === 'number' ? settings.target : undefined;
}
