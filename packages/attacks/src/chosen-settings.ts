import type { Attack } from './attack.ts';

/**
 * What tells an attack from the same one set otherwise, as text: its recipe if it has one, which is what a transfer attack is known by, and all that is not
 * at its default.
 * @throws AttackError INVALID_SETTING
 */
export function chosenSettings({ parse }: Attack, settings: unknown): Record<string, string> {
  const presets = parse({});
  const chosen = Object.entries(parse(settings)).filter(
    ([name, value]) => name === 'recipe' || value !== presets[name],
  );
  return Object.fromEntries(chosen.map(([name, value]) => [name, String(value)]));
}
