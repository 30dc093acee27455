import { apgd, apgdT } from './apgd.ts';
import type { Attack } from './attack.ts';
import { bim } from './bim.ts';
import { carliniWagner } from './carlini-wagner.ts';
import { deepfool } from './deepfool.ts';
import { AttackError } from './errors.ts';
import { fabT } from './fab.ts';
import { fgsm } from './fgsm.ts';
import { hopSkipJump } from './hop-skip-jump.ts';
import { miFgsm } from './mi-fgsm.ts';
import { gaussianNoise, noise } from './noise.ts';
import { pgd } from './pgd.ts';
import { square } from './square.ts';
import { transfer } from './transfer.ts';

/** Every attack by name. To add one: its file, and its line here. */
export const attacks: Readonly<Record<string, Attack>> = {
  noise,
  'gaussian-noise': gaussianNoise,
  fgsm,
  bim,
  pgd,
  apgd,
  'apgd-t': apgdT,
  'fab-t': fabT,
  deepfool,
  cw: carliniWagner,
  square,
  'hop-skip-jump': hopSkipJump,
  'mi-fgsm': miFgsm,
  transfer,
};

/** @throws AttackError UNKNOWN_ATTACK, with the known names. */
export function attackNamed(name: string, field = 'attack'): Attack {
  const attack = Object.hasOwn(attacks, name) ? attacks[name] : undefined;
  if (!attack)
    throw new AttackError('UNKNOWN_ATTACK', field, `"${name}" is none of ${Object.keys(attacks).join(', ')}`);
  return attack;
}
