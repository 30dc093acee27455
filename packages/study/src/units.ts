import { isTried } from './choice.ts';
import type { Profile } from './profile.ts';

/** A part of a study that one process can make: a source with its transferred examples, a candidate of a choice, or a model with all its measurements. */
export type StudyUnit =
  | { readonly kind: 'source'; readonly architecture: string }
  | { readonly kind: 'trial'; readonly label: string; readonly candidate: number }
  | { readonly kind: 'run'; readonly label: string; readonly architecture: string; readonly seed: number };

/** A unit, and those that must be made before it. */
export interface Planned {
  readonly unit: StudyUnit;
  readonly after: readonly StudyUnit[];
}

/** All units of a study, each behind those that it needs; what others wait for comes first. */
export function planOf(profile: Profile): Planned[] {
  const { sources, objectives, architectures, seeds } = profile;
  const crafting = sources.map((architecture): StudyUnit => ({ kind: 'source', architecture }));
  const trials = objectives
    .filter((row) => isTried(profile, row))
    .flatMap(({ label, recipes }) => recipes.map((_, candidate): StudyUnit => ({ kind: 'trial', label, candidate })));
  const needed = new Set(objectives.flatMap(({ sameTime }) => (sameTime ? [sameTime.as, sameTime.pace] : [])));
  const ordered = [...objectives].sort((one, other) => rank(one) - rank(other));
  function rank({ label, sameTime }: Profile['objectives'][number]): number {
    if (needed.has(label)) return 0;
    // As soon as what it waits for is there: a study that is interrupted has the comparisons that the claims are about.
    return sameTime ? 1 : 2;
  }
  const runs = seeds.flatMap((seed) =>
    ordered.flatMap(({ label, sameTime }) =>
      architectures.map((architecture): Planned => {
        const run = (of: string): StudyUnit => ({ kind: 'run', label: of, architecture, seed });
        const paced = sameTime ? [run(sameTime.as), run(sameTime.pace)] : [];
        return { unit: run(label), after: [...crafting, ...trials, ...paced] };
      }),
    ),
  );
  return [
    ...crafting.map((unit) => ({ unit, after: [] })),
    ...trials.map((unit) => ({ unit, after: crafting })),
    ...runs,
  ];
}

/** Its name in logs; no two units of a study have the same. */
export function nameOfUnit(unit: StudyUnit): string {
  switch (unit.kind) {
    case 'source':
      return `source ${unit.architecture}`;
    case 'trial':
      return `choice ${unit.label} ${unit.candidate + 1}`;
    case 'run':
      return `${unit.architecture} ${unit.label} ${unit.seed}`;
  }
}
