import { AttackError } from './errors.ts';
import type { NormName } from './norms.ts';
import type { PlanEntry } from './plan.ts';

/** A plan with a name. */
export interface Profile {
  readonly summary: string;
  /** Each attack meets only what the ones before it left standing. */
  readonly cascade: boolean;
  readonly attacks: readonly { readonly attack: string; readonly settings?: Readonly<Record<string, unknown>> }[];
}

/** Cheap attacks come first everywhere: what falls to them costs the dear ones nothing, and who falls in the end is the same. */
export const profiles: Readonly<Record<string, Profile>> = {
  smoke: {
    summary: 'seconds: noise, FGSM and a short PGD; finds models that resist nothing',
    cascade: false,
    attacks: [{ attack: 'noise' }, { attack: 'fgsm' }, { attack: 'pgd', settings: { steps: 10, loss: 'margin' } }],
  },
  rapid: {
    summary: 'a fraction of AutoAttack: short APGD on cross-entropy, then on the four likeliest classes',
    cascade: true,
    attacks: [
      { attack: 'apgd', settings: { steps: 30 } },
      { attack: 'apgd-t', settings: { steps: 50, targets: 4 } },
    ],
  },
  standard: {
    summary: 'controls, PGD with restarts, APGD on all losses, and queries alone',
    cascade: true,
    attacks: [
      { attack: 'noise', settings: { restarts: 3 } },
      { attack: 'fgsm' },
      { attack: 'pgd', settings: { steps: 40, restarts: 3, loss: 'margin' } },
      { attack: 'apgd', settings: { loss: 'ce' } },
      { attack: 'apgd-t' },
      { attack: 'square', settings: { queries: 1000 } },
    ],
  },
  autoattack: {
    summary: 'AutoAttack-standard as published: APGD-CE, APGD-T and FAB-T on 9 classes, Square with 5000 queries',
    cascade: true,
    attacks: [
      { attack: 'apgd', settings: { loss: 'ce', steps: 100, restarts: 1 } },
      { attack: 'apgd-t', settings: { steps: 100, restarts: 1, targets: 9 } },
      { attack: 'fab-t', settings: { steps: 100, restarts: 1, targets: 9 } },
      { attack: 'square', settings: { queries: 5000, restarts: 1, area: 0.8, stretch: false } },
    ],
  },
  'black-box': {
    summary: 'what needs no gradients of the model: noise, transferred examples, queries for scores and for classes',
    cascade: false,
    attacks: [
      { attack: 'noise', settings: { restarts: 3 } },
      { attack: 'mi-fgsm' },
      { attack: 'square', settings: { queries: 1000 } },
      { attack: 'hop-skip-jump', settings: { queries: 1000 } },
    ],
  },
  transfer: {
    summary: 'examples made on surrogates by the known recipes; each meets all samples, so that they can be compared',
    cascade: false,
    attacks: [
      { attack: 'noise' },
      { attack: 'mi-fgsm' },
      ...['ni+si', 'mi+di+ti', 'vmi+mi', 'mi+admix+si', 'mi+ssa', 'mi+bsr'].map((recipe) => ({
        attack: 'transfer',
        settings: { recipe },
      })),
    ],
  },
};

/**
 * `autoattack` or `autoattack@l2` at some epsilons, written out. Attacks that do not know the norm are an error, not left out.
 * @throws AttackError UNKNOWN_PROFILE
 */
export function profilePlan(
  text: string,
  epsilons: readonly number[],
  field = 'profile',
): { readonly plan: PlanEntry[]; readonly cascade: boolean } {
  const [name = '', norm = 'linf'] = text.split('@');
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (!profile)
    throw new AttackError('UNKNOWN_PROFILE', field, `"${name}" is none of ${Object.keys(profiles).join(', ')}`);
  return {
    plan: profile.attacks.map((each) => ({ ...each, norm: norm as NormName, epsilons })),
    cascade: profile.cascade,
  };
}
