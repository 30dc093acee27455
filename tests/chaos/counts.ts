export interface Counts {
  [kind: string]: number;
}

export function counts(kinds: readonly string[]): Counts {
  return totals(kinds.map((kind) => ({ [kind]: 1 })));
}

export function totals(all: readonly Readonly<Counts>[]): Counts {
  const found: Counts = {};
  for (const each of all) for (const [kind, count] of Object.entries(each)) found[kind] = (found[kind] ?? 0) + count;
  return found;
}

/** `3 killTrainer, 1 fillDisk` */
export function inWords(all: Readonly<Counts>): string {
  return Object.entries(all)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
}
