import type { Attack } from './attack.ts';
import { AttackError } from './errors.ts';
import { fgsm } from './fgsm.ts';
import { miFgsm } from './mi-fgsm.ts';
import { noise } from './noise.ts';
import { pgd } from './pgd.ts';

/** Every attack by name. To add one: its file, and its line here. */
export const attacks: Readonly<Record<string, Attack>> = {
  noise,
  fgsm,
  pgd,
  'mi-fgsm': miFgsm,
};

/** @throws AttackError UNKNOWN_ATTACK, with the known names. */
export function attackNamed(name: string, field = 'attack'): Attack {
  const attack = Object.hasOwn(attacks, name) ? attacks[name] : undefined;
  if (!attack)
    throw new AttackError('UNKNOWN_ATTACK', field, `"${name}" is none of ${Object.keys(attacks).join(', ')}`);
  return attack;
}
