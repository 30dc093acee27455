/** How a model is trained, but for what all models of a study share. */
export interface Recipe {
  /** Of the objective; what is absent takes the objective's default. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** Uniform noise on the training images, 0..1; none by default. */
  readonly noise?: number;
}

/** An objective as a row of the tables. */
export interface StudyObjective {
  readonly label: string;
  /** Name in the registry of objectives. */
  readonly objective: string;
  /** With more than one, held-out images choose (see `Profile.choice`). */
  readonly recipes: readonly [Recipe, ...Recipe[]];
  /** Label of the row whose held-out clean accuracy the choice comes as near to as its recipes allow: then robust accuracies compare. */
  readonly cleanOf?: string;
  /** Trained for as many steps as fit into the time that another row took, at the pace of a third one, whose recipe it has: schedule and warm-up over those steps. */
  readonly sameTime?: { readonly as: string; readonly pace: string };
}

export interface Ball {
  readonly norm: 'linf' | 'l2';
  /** Ascending, in units of images in [0,1]. */
  readonly epsilons: readonly number[];
}

/** A whole study as data. */
export interface Profile {
  /** Of the page that it writes. */
  readonly name: string;
  /** datasets/{id}, and the importer of its files where it is not embedded. */
  readonly dataset: string;
  readonly format?: string;
  /** The first so many training images are used; 0: all. */
  readonly images: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** Adam's, with a cosine schedule. */
  readonly learningRate: number;
  readonly augmentation: { readonly cropPadding: number; readonly flip: boolean };
  /** Each is trained with every objective and seed. */
  readonly architectures: readonly string[];
  /** Standard models of these make the transferred examples; the architectures are among them. Their seeds are others than those of the study. */
  readonly sources: readonly string[];
  /** The ones that the claims are about come by these labels: see `LABELS`. */
  readonly objectives: readonly StudyObjective[];
  readonly seeds: readonly number[];
  /** The first is the main one: choices and masking verdicts are made at its largest radius. */
  readonly balls: readonly [Ball, ...Ball[]];
  /** Profile of `@jsigr/attacks`. */
  readonly attack: string;
  /** Test samples (the first ones) for each kind of measurement. */
  readonly samples: { readonly attacked: number; readonly transferred: number; readonly explained: number };
  /** Saliency methods. */
  readonly methods: readonly string[];
  /** Held-out accuracy to which costs are compared, 0..1. */
  readonly target: number;
  /** Where objectives with several recipes are tried before the study: the held-out images of one architecture and seed. */
  readonly choice?: {
    readonly architecture: string;
    readonly epochs: number;
    readonly seed: number;
    /** Held-out images that are attacked. */
    readonly samples: number;
    /** Clean accuracy that a recipe may cost against the best of its objective, 0..1. */
    readonly tolerance: number;
  };
}

/** The rows of some objectives (names in the registry), and those whose choice or time they depend on; in the study's order. */
export function rowsOf({ objectives }: Profile, names: readonly string[]): StudyObjective[] {
  const labels = new Set(objectives.filter(({ objective }) => names.includes(objective)).map(({ label }) => label));
  for (const label of labels) {
    // A set is walked to its end, with what is added on the way.
    const { cleanOf, sameTime } = objectives.find((row) => row.label === label) ?? {};
    for (const needed of [cleanOf, sameTime?.as, sameTime?.pace]) if (needed !== undefined) labels.add(needed);
  }
  return objectives.filter(({ label }) => labels.has(label));
}

/** Labels that the findings look for; a study without one says nothing about it. */
export const LABELS = {
  jsigr: 'J-SIGR',
  standard: 'standard',
  jacobian: 'Jacobian norm alone',
  selective: 'selective gradient alone',
  ross: 'input gradient (Ross)',
  adversarial: 'PGD-AT-7',
  equalTime: 'PGD-AT-7, equal time',
} as const;
