import type { Access, Attack, Cost, Goal } from './attack.ts';
import type { NormName } from './norms.ts';
import { attacks } from './registry.ts';

/** What one attack can do, for lists and documentation: JSON-able. */
export interface Capability {
  readonly name: string;
  readonly summary: string;
  readonly access: Access;
  readonly goal: Goal;
  readonly norms: readonly NormName[];
  readonly targeted: boolean;
  /** Does it need gradients, of whomever it looks at? */
  readonly gradients: boolean;
  /** Attempts on a sample that resists, and passes of each, with the default settings and 10 classes. */
  readonly attempts: number;
  readonly cost: Cost;
  readonly settings: readonly Setting[];
}

export interface Setting {
  readonly name: string;
  readonly description: string;
  /** As text; empty where there is none. */
  readonly preset: string;
}

const CLASSES = 10;

/** The capability table, from the registry. */
export function capabilities(): Capability[] {
  return Object.values(attacks).map((attack) => {
    const { name, summary, access, goal, norms, targeted } = attack;
    const cost = attack.cost({}, CLASSES);
    return {
      name,
      summary,
      access,
      goal,
      norms,
      targeted,
      gradients: cost.backwards > 0,
      attempts: attack.attempts({}, CLASSES),
      cost,
      settings: settingsOf(attack),
    };
  });
}

/** The table as Markdown, for the README; a test holds it there. */
export function capabilityMarkdown(): string {
  const rows = capabilities().map(({ name, access, goal, norms, attempts, cost, settings }) => {
    const presets = settings.map((setting) => `\`${setting.name}\`${setting.preset ? ` ${setting.preset}` : ''}`);
    const price = `${attempts} x ${cost.forwards} / ${cost.backwards}`;
    return `| \`${name}\` | ${access} | ${goal} | ${norms.join(' ')} | ${price} | ${presets.join(', ')} |`;
  });
  const head = ['attack', 'sees', 'looks for', 'norms', 'attempts x forwards / backwards', 'settings (defaults)'];
  return [`| ${head.join(' | ')} |`, `| ${head.map(() => '---').join(' | ')} |`, ...rows].join('\n');
}

function settingsOf({ settings, parse }: Attack): Setting[] {
  const presets = parse({});
  return Object.entries(settings.shape).map(([name, schema]) => ({
    name,
    description: 'description' in schema ? String(schema.description ?? '') : '',
    preset: presets[name] === undefined ? '' : String(presets[name]),
  }));
}
